/* test_write.c - write transactions: puts and deletes against a model, aborts, limits, counters, a
 * full disk, dying writers. */
#include "store/fixture.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void expect(store *self, mlkv_slice key, const char *value)
{
    store_read *read = NULL;
    mlkv_slice got = {0};
    OK(store_read_begin(self, &read));
    MUST(value != NULL ? 0 : MLKV_ABSENT, store_read_get(read, key, &got));
    if (value != NULL)
        ck_assert(slice_equal(got, slice_of_text(value)));
    store_read_end(read);
}

START_TEST(puts_joins_and_deletes)
{
    const char *folder = harness_folder();
    store *self = fresh(folder);
    store_write *write = NULL;
    mlkv_slice value;
    OK(store_write_begin(self, &write));
    OK(store_write_put(write, TEXT("Kjoined"), TEXT("head "), TEXT("body")));
    OK(store_write_put(write, TEXT("Kbody"), (mlkv_slice){0}, TEXT("body")));
    OK(store_write_put(write, TEXT("Kempty"), (mlkv_slice){0}, (mlkv_slice){0}));
    OK(store_write_put(write, TEXT("Kgone"), TEXT("x"), TEXT("")));
    OK(store_write_get(write, TEXT("Kjoined"), &value));
    ck_assert(slice_equal(value, TEXT("head body")));
    OK(store_write_put(write, TEXT("Kjoined"), TEXT("another, longer head "), TEXT("body")));
    OK(store_write_delete(write, TEXT("Kgone")));
    OK(store_write_delete(write, TEXT("Kgone")));
    OK(store_write_delete(write, TEXT("Knever")));
    MUST(MLKV_ABSENT, store_write_get(write, TEXT("Kgone"), &value));
    OK(store_write_commit(write));
    expect(self, TEXT("Kjoined"), "another, longer head body");
    expect(self, TEXT("Kbody"), "body");
    expect(self, TEXT("Kempty"), "");
    expect(self, TEXT("Kgone"), NULL);
    OK(store_write_begin(self, &write));
    OK(store_write_put(write, TEXT("Kbody"), TEXT("changed"), TEXT("")));
    OK(store_write_delete(write, TEXT("Kempty")));
    store_write_abort(write);
    store_write_abort(NULL);
    expect(self, TEXT("Kbody"), "body");
    expect(self, TEXT("Kempty"), "");
    store_close(self);
    self = fresh(folder);
    expect(self, TEXT("Kjoined"), "another, longer head body");
    store_close(self);
    harness_remove(folder);
}
END_TEST

START_TEST(limits_are_refused)
{
    static char key[600];
    memset(key, 'k', sizeof key);
    const char *folder = harness_folder();
    store *self = fresh(folder);
    store_write *write = NULL;
    OK(store_write_begin(self, &write));
    MUST(MLKV_E_ARGUMENT, store_write_put(write, TEXT(""), TEXT("x"), TEXT("")));
    MUST(MLKV_E_SIZE, store_write_put(write, slice_of(key, 512), TEXT("x"), TEXT("")));
    MUST(MLKV_E_ARGUMENT, store_write_delete(write, TEXT("")));
    MUST(MLKV_E_SIZE, store_write_delete(write, slice_of(key, 512)));
    MUST(MLKV_E_SIZE,
         store_write_put(write, TEXT("Kbig"), slice_of(key, (size_t)UINT32_MAX - 3), TEXT("")));
    MUST(MLKV_E_SIZE,
         store_write_put(write, TEXT("Kbig"), slice_of(key, (size_t)UINT32_MAX - 4), TEXT("x")));
    MUST(MLKV_E_SIZE,
         store_write_put(write, TEXT("Kbig"), slice_of(key, SIZE_MAX), slice_of(key, SIZE_MAX)));
    OK(store_write_put(write, slice_of(key, 511), TEXT("longest"),
                       TEXT(""))); /* refusals did not harm it */
    OK(store_write_commit(write));
    expect(self, slice_of(key, 511), "longest");
    expect(self, TEXT("Kbig"), NULL);
    store_close(self);
    harness_remove(folder);
}
END_TEST

START_TEST(positions_identities_and_blob_ids)
{
    const char *folder = harness_folder();
    store *self = fresh(folder);
    store_write *write = NULL;
    store_position position;
    store_identity identity, again;
    uint64_t first = 0;
    OK(store_write_begin(self, &write));
    OK(store_write_identity(write, &identity));
    identity.generation = 0x1122334455667788;
    identity.clean = false;
    OK(store_write_set_identity(write, &identity));
    OK(store_write_set_position(write, (store_position){UINT64_MAX, 2, 3}));
    OK(store_write_position(write, &position));
    ck_assert(position.applied == UINT64_MAX && position.next_id == 2 && position.chain == 3);
    OK(store_write_take_blob_ids(write, 10, &first));
    ck_assert_uint_eq(first, 1);
    OK(store_write_take_blob_ids(write, 1, &first));
    ck_assert_uint_eq(first, 11);
    OK(store_write_commit(write));
    OK(store_write_begin(self, &write));
    OK(store_write_take_blob_ids(write, 5, &first));
    ck_assert_uint_eq(first, 12);
    store_write_abort(write);
    store_close(self);
    self = fresh(folder);
    OK(store_write_begin(self, &write));
    OK(store_write_identity(write, &again));
    ck_assert_int_eq(memcmp(again.uuid, identity.uuid, 16), 0);
    ck_assert_uint_eq(again.generation, identity.generation);
    ck_assert(!again.clean);
    OK(store_write_take_blob_ids(write, UINT64_MAX - 12, &first));
    ck_assert_uint_eq(first, 12);
    MUST(MLKV_E_RANGE, store_write_take_blob_ids(write, 1, &first));
    ck_assert_uint_eq(first, 12);
    OK(store_write_commit(write));
    store_close(self);
    harness_remove(folder);
}
END_TEST

/* The model: for each key number the seed and size of its value, 0 for absent. */
enum { KEYS = 1500, VALUE_MAX = 9000 };
typedef struct {
    uint32_t seed;
    uint32_t size;
} model_entry;

static uint64_t dice(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

static mlkv_slice key_of(unsigned number, char bytes[64])
{
    /* of varied length, so that pages split at varied places */
    int size = snprintf(bytes, 64, "K%05u%.*s", number, (int)(number % 40),
                        "........................................");
    return slice_of(bytes, (size_t)size);
}

static void value_of(model_entry entry, char *bytes)
{
    for (uint32_t i = 0; i < entry.size; i++)
        bytes[i] = (char)(entry.seed + i * 31);
}

static void change(store_write *write, model_entry *model, uint64_t *state, bool sorted,
                   unsigned deletes)
{
    static char bytes[VALUE_MAX];
    char name[64];
    unsigned number = 0;
    for (int i = 0; i < 400; i++) {
        number = sorted ? number + 1 + (unsigned)(dice(state) % 6) : (unsigned)(dice(state) % KEYS);
        if (number >= KEYS)
            break;
        mlkv_slice key = key_of(number, name);
        if (dice(state) % 100 < deletes) {
            model[number] = (model_entry){0};
            OK(store_write_delete(write, key));
            continue;
        }
        model_entry entry = {
            (uint32_t)dice(state),
            1 + (uint32_t)(dice(state) % (dice(state) % 16 == 0 ? VALUE_MAX : 300))};
        model[number] = entry;
        value_of(entry, bytes);
        size_t head = dice(state) % (entry.size + 1);
        OK(store_write_put(write, key, slice_of(bytes, head),
                           slice_of(bytes + head, entry.size - head)));
    }
}

static void compare(store *self, const model_entry *model)
{
    static char bytes[VALUE_MAX];
    char name[64];
    store_read *read = NULL;
    store_cursor *cursor = NULL;
    mlkv_slice key, value;
    OK(store_read_begin(self, &read));
    OK(store_cursor_open(read, &cursor));
    int result = store_cursor_seek(cursor, TEXT("K"), &key, &value);
    for (unsigned i = 0; i < KEYS; i++) {
        if (model[i].size == 0)
            continue;
        OK(result);
        value_of(model[i], bytes);
        ck_assert(slice_equal(key, key_of(i, name)));
        ck_assert(slice_equal(value, slice_of(bytes, model[i].size)));
        OK(store_read_get(read, key, &value));
        ck_assert(slice_equal(value, slice_of(bytes, model[i].size)));
        result = store_cursor_next(cursor, &key, &value);
    }
    OK(result);
    ck_assert_int_eq(((const char *)key.data)[0], 'S');
    store_cursor_close(cursor);
    store_read_end(read);
}

START_TEST(agrees_with_a_model)
{
    static model_entry model[KEYS], before[KEYS];
    const char *folder = harness_folder();
    store *self = fresh(folder);
    uint64_t state = 42;
    for (int round = 0; round < 80; round++) {
        store_write *write = NULL;
        memcpy(before, model, sizeof model);
        OK(store_write_begin(self, &write));
        change(write, model, &state, round % 3 != 0, (unsigned)(round % 4) * 30);
        if (round % 7 == 6) {
            store_write_abort(write);
            memcpy(model, before, sizeof model);
        } else {
            OK(store_write_commit(write));
        }
        if (round % 4 == 3)
            compare(self, model);
        if (round == 40) {
            store_close(self);
            self = fresh(folder);
        }
    }
    compare(self, model);
    store_close(self);
    harness_remove(folder);
}
END_TEST

START_TEST(a_full_disk_takes_nothing)
{
    static char large[4 << 20];
    memset(large, 'x', sizeof large);
    const char *folder = harness_folder();
    store *self = fresh(folder);
    put_one(self, TEXT("Kone"), TEXT("1"));
    store_info info;
    store_write *write = NULL;
    struct rlimit limit, old;
    OK(store_get_info(self, &info));
    ck_assert_ptr_ne((void *)(uintptr_t)signal(SIGXFSZ, SIG_IGN), (void *)(uintptr_t)SIG_ERR);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
    for (unsigned extra = 0; extra < 3; extra++) {
        limit = old;
        limit.rlim_cur = info.used_bytes + extra * 100000;
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
        OK(store_write_begin(self, &write));
        OK(store_write_put(write, TEXT("Kone"), TEXT("changed"), TEXT("")));
        OK(store_write_put(write, TEXT("Klarge"), slice_of(large, sizeof large), TEXT("")));
        int result = store_write_commit(write);
        ck_assert_msg(result == MLKV_E_FULL || result == MLKV_E_IO, "%s", mlkv_error_name(result));
        expect(self, TEXT("Kone"), "1");
        expect(self, TEXT("Klarge"), NULL);
    }
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
    OK(store_write_begin(self, &write));
    OK(store_write_put(write, TEXT("Kone"), TEXT("2"), TEXT("")));
    OK(store_write_put(write, TEXT("Klarge"), slice_of(large, sizeof large), TEXT("")));
    OK(store_write_commit(write));
    store_close(self);
    self = fresh(folder);
    expect(self, TEXT("Kone"), "2");
    store_close(self);
    harness_remove(folder);
}
END_TEST

static void tell(int file, const char *byte)
{
    if (write(file, byte, 1) != 1)
        _exit(9);
}

static void hear(int file, char want)
{
    char byte = 0;
    ck_assert_int_eq(read(file, &byte, 1), 1);
    ck_assert_int_eq(byte, want);
}

/* Child: holds a write transaction for ever. */
static void die_writing(const char *folder, int file)
{
    store *self = NULL;
    store_write *write = NULL;
    static char large[1 << 20];
    if (store_open(folder, false, false, &self) != 0 || store_write_begin(self, &write) != 0)
        _exit(1);
    if (store_write_put(write, TEXT("Kdead"), slice_of(large, sizeof large), TEXT("")) != 0)
        _exit(2);
    tell(file, "d");
    for (;;)
        pause();
}

/* Child: waits for the writer lock and writes. */
static void write_next(const char *folder, int file)
{
    store *self = NULL;
    store_write *write = NULL;
    if (store_open(folder, false, false, &self) != 0)
        _exit(1);
    tell(file, "n");
    if (store_write_begin(self, &write) != 0 ||
        store_write_put(write, TEXT("Knext"), TEXT("here"), TEXT("")) != 0)
        _exit(2);
    int result = store_write_commit(write);
    store_close(self);
    _exit(result == 0 ? 0 : 3);
}

START_TEST(a_dead_writer_holds_nobody)
{
    const char *folder = harness_folder();
    store *self = fresh(folder);
    put_one(self, TEXT("Kone"), TEXT("1"));
    store_close(self);
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    for (int round = 0; round < 3; round++) {
        pid_t dying = harness_fork();
        if (dying == 0)
            die_writing(folder, ends[1]);
        hear(ends[0], 'd');
        pid_t next = harness_fork();
        if (next == 0)
            write_next(folder, ends[1]);
        hear(ends[0], 'n');
        int status = 0;
        ck_assert_int_eq(waitpid(next, &status, WNOHANG), 0); /* it waits */
        ck_assert_int_eq(kill(dying, SIGKILL), 0);
        ck_assert_int_eq(waitpid(dying, NULL, 0), dying);
        ck_assert_int_eq(waitpid(next, &status, 0), next);
        ck_assert_int_eq(status, 0);
        self = fresh(folder);
        expect(self, TEXT("Kone"), "1");
        expect(self, TEXT("Kdead"), NULL);
        expect(self, TEXT("Knext"), "here");
        store_write *write = NULL;
        OK(store_write_begin(self, &write));
        OK(store_write_delete(write, TEXT("Knext")));
        OK(store_write_commit(write));
        store_close(self);
    }
    harness_remove(folder);
}
END_TEST

/* Child: commits numbers, telling after each through shared memory. */
static void commit_for_ever(const char *folder, volatile uint64_t *done)
{
    store *self = NULL;
    if (store_open(folder, false, false, &self) != 0)
        _exit(1);
    for (uint64_t number = *done + 1;; number++) {
        store_write *write = NULL;
        unsigned char bytes[8];
        store_le64(bytes, number);
        if (store_write_begin(self, &write) != 0 ||
            store_write_put(write, TEXT("Knumber"), slice_of(bytes, 8), TEXT("")) != 0 ||
            store_write_set_position(write, (store_position){.applied = number}) != 0 ||
            store_write_commit(write) != 0)
            _exit(2);
        *done = number;
    }
}

/* Killed at any moment: what was committed is there, whole, and nothing of the rest. */
START_TEST(kills_lose_no_commit)
{
    const char *folder = harness_folder();
    volatile uint64_t *done =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne((void *)(uintptr_t)done, MAP_FAILED);
    store_close(fresh(folder));
    for (int round = 0; round < 30; round++) {
        uint64_t start = *done;
        pid_t child = harness_fork();
        if (child == 0)
            commit_for_ever(folder, done);
        while (*done < start + 3)
            usleep(100);
        usleep((unsigned)(round * 37) % 1000);
        ck_assert_int_eq(kill(child, SIGKILL), 0);
        int status = 0;
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert(WIFSIGNALED(status));
        store *self = fresh(folder);
        store_write *write = NULL;
        store_position position;
        mlkv_slice value;
        OK(store_write_begin(self, &write));
        OK(store_write_position(write, &position));
        OK(store_write_get(write, TEXT("Knumber"), &value));
        ck_assert_uint_eq(load_le64(value.data), position.applied);
        ck_assert_uint_ge(position.applied, *done);
        ck_assert_uint_le(position.applied, *done + 1);
        *done = position.applied;
        store_write_abort(write);
        store_close(self);
    }
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("write");
    TCase *tcase = harness_case(suite, "write");
    tcase_add_test(tcase, puts_joins_and_deletes);
    tcase_add_test(tcase, limits_are_refused);
    tcase_add_test(tcase, positions_identities_and_blob_ids);
    tcase_add_test(tcase, agrees_with_a_model);
    tcase_add_test(tcase, a_full_disk_takes_nothing);
    tcase_add_test(tcase, a_dead_writer_holds_nobody);
    tcase_add_test(tcase, kills_lose_no_commit);
    return harness_run(suite);
}
