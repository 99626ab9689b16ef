/* test_read.c - snapshots, their pool under threads and at its limits, cursors, and the checksum of
 * values. */
#include "store/fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

START_TEST(a_snapshot_stays)
{
    const char *folder = harness_folder();
    store *self = fresh(folder);
    store_read *before = NULL, *after = NULL;
    store_write *write = NULL;
    store_position position;
    mlkv_slice value;
    put_one(self, TEXT("Kone"), TEXT("old"));
    OK(store_read_begin(self, &before));
    OK(store_write_begin(self, &write));
    OK(store_write_put(write, TEXT("Kone"), TEXT("new"), TEXT("")));
    OK(store_write_put(write, TEXT("Ktwo"), TEXT(""), TEXT("")));
    OK(store_write_set_position(write, (store_position){7, 8, 9}));
    OK(store_read_begin(self, &after));
    MUST(MLKV_ABSENT, store_read_get(after, TEXT("Ktwo"), &value));
    store_read_end(after);
    OK(store_write_commit(write));
    OK(store_read_begin(self, &after));
    OK(store_read_get(before, TEXT("Kone"), &value));
    ck_assert(slice_equal(value, TEXT("old")));
    MUST(MLKV_ABSENT, store_read_get(before, TEXT("Ktwo"), &value));
    OK(store_read_position(before, &position));
    ck_assert_uint_eq(position.applied, 0);
    OK(store_read_get(after, TEXT("Kone"), &value));
    ck_assert(slice_equal(value, TEXT("new")));
    OK(store_read_get(after, TEXT("Ktwo"), &value));
    ck_assert(value.size == 0 && value.data != NULL);
    OK(store_read_position(after, &position));
    ck_assert(position.applied == 7 && position.next_id == 8 && position.chain == 9);
    store_read_end(before);
    store_read_end(after);
    OK(store_read_begin(self, &before)); /* renewed: nothing of the old snapshot may remain */
    OK(store_read_position(before, &position));
    ck_assert_uint_eq(position.applied, 7);
    store_read_end(before);
    store_read_end(NULL);
    store_close(self);
    harness_remove(folder);
}
END_TEST

START_TEST(odd_keys_are_absent)
{
    static char key[600];
    memset(key, 'k', sizeof key);
    const char *folder = harness_folder();
    store *self = fresh(folder);
    store_read *read = NULL;
    mlkv_slice value;
    put_one(self, slice_of(key, 511), TEXT("longest"));
    OK(store_read_begin(self, &read));
    MUST(MLKV_ABSENT, store_read_get(read, TEXT(""), &value));
    MUST(MLKV_ABSENT, store_read_get(read, slice_of(key, 512), &value));
    MUST(MLKV_ABSENT, store_read_get(read, slice_of(key, 510), &value));
    OK(store_read_get(read, slice_of(key, 511), &value));
    ck_assert(slice_equal(value, TEXT("longest")));
    store_read_end(read);
    store_close(self);
    harness_remove(folder);
}
END_TEST

START_TEST(cursors_walk_in_order)
{
    const char *folder = harness_folder();
    store *self = fresh(folder);
    store_write *write = NULL;
    OK(store_write_begin(self, &write));
    for (unsigned i = 0; i < 3000; i++) {
        unsigned char key[5] = {'K'}, value[4];
        store_be32(key + 1, i * 7919 % 3000 * 2);
        store_le32(value, i * 7919 % 3000 * 2);
        OK(store_write_put(write, slice_of(key, 5), slice_of(value, 4), TEXT("")));
    }
    OK(store_write_commit(write));
    store_read *read = NULL;
    store_cursor *cursor = NULL, *fresh_cursor = NULL;
    mlkv_slice key, value;
    OK(store_read_begin(self, &read));
    OK(store_cursor_open(read, &cursor));
    unsigned char from[5] = {'K'};
    store_be32(from + 1, 1001);
    OK(store_cursor_seek(cursor, slice_of(from, 5), &key, &value)); /* between two keys */
    for (unsigned want = 1002; want < 6000; want += 2) {
        ck_assert_uint_eq(key.size, 5);
        ck_assert_uint_eq(load_be32((const char *)key.data + 1), want);
        ck_assert_uint_eq(load_le32(value.data), want);
        OK(store_cursor_next(cursor, &key, &value));
    }
    ck_assert(slice_equal(key, TEXT("Sformat")));
    OK(store_cursor_next(cursor, &key, &value));
    OK(store_cursor_next(cursor, &key, &value));
    ck_assert(slice_equal(key, TEXT("Sposition")));
    MUST(MLKV_ABSENT, store_cursor_next(cursor, &key, &value));
    MUST(MLKV_ABSENT, store_cursor_next(cursor, &key, &value));
    MUST(MLKV_ABSENT, store_cursor_seek(cursor, TEXT("T"), &key, &value));
    OK(store_cursor_seek(cursor, TEXT("K"), &key, &value)); /* back */
    ck_assert_uint_eq(load_be32((const char *)key.data + 1), 0);
    OK(store_cursor_seek(cursor, TEXT(""), &key, &value));
    ck_assert_uint_eq(load_be32((const char *)key.data + 1), 0);
    OK(store_cursor_open(read, &fresh_cursor));
    OK(store_cursor_next(fresh_cursor, &key, &value)); /* without a seek: the first */
    ck_assert_uint_eq(load_be32((const char *)key.data + 1), 0);
    store_cursor_close(fresh_cursor);
    store_cursor_close(cursor);
    store_cursor_close(NULL);
    store_read_end(read);
    store_close(self);
    harness_remove(folder);
}
END_TEST

/* Changes the byte at `offset` of every copy of `pattern` in data.mdb. */
static void flip(const char *folder, const char *pattern, size_t offset)
{
    char path[600];
    struct stat status;
    snprintf(path, sizeof path, "%s/data.mdb", folder);
    int file = open(path, O_RDWR | O_CLOEXEC);
    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(fstat(file, &status), 0);
    size_t size = (size_t)status.st_size;
    char *bytes = malloc(size);
    ck_assert_ptr_nonnull(bytes);
    ck_assert_int_eq(pread(file, bytes, size, 0), (ssize_t)size);
    bool found = false;
    for (char *at = bytes;
         (at = memmem(at, size - (size_t)(at - bytes), pattern, strlen(pattern))) != NULL; at++) {
        at[offset] ^= 4;
        found = true;
    }
    ck_assert(found);
    ck_assert_int_eq(pwrite(file, bytes, size, 0), (ssize_t)size);
    free(bytes);
    close(file);
}

/* A flipped bit in a value, in its seal, in a key, and in a large value. */
START_TEST(finds_flipped_bits)
{
    static char large[100000];
    memset(large, 'a', sizeof large);
    memcpy(large + 90000, "needle in the hay", 17);
    static const struct {
        const char *pattern;
        size_t offset;
        const char *key;
    } flips[] = {
        {"a value to find", 3, "Kvalue"},
        {"a value to find", 16, "Kvalue"}, /* the seal behind it */
        {"Kvalue", 5, "Kvalua"},           /* e to a: the value stands under another key then */
        {"needle in the hay", 0, "Klarge"},
    };
    for (size_t i = 0; i < sizeof flips / sizeof flips[0]; i++) {
        const char *folder = harness_folder();
        store *self = fresh(folder);
        put_one(self, TEXT("Kother"), TEXT("fine"));
        put_one(self, TEXT("Kvalue"), TEXT("a value to find"));
        put_one(self, TEXT("Klarge"), slice_of(large, sizeof large));
        store_close(self);
        flip(folder, flips[i].pattern, flips[i].offset);
        OK(store_open(folder, false, false, &self));
        store_read *read = NULL;
        store_write *write = NULL;
        store_cursor *cursor = NULL;
        mlkv_slice key, value;
        OK(store_read_begin(self, &read));
        for (int again = 0; again < 2; again++) /* what was refused is not remembered as good */
            MUST(MLKV_E_CORRUPT, store_read_get_lasting(read, slice_of_text(flips[i].key), &value));
        MUST(MLKV_E_CORRUPT, store_read_get(read, slice_of_text(flips[i].key), &value));
        ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), flips[i].key));
        OK(store_read_get(read, TEXT("Kother"), &value));
        OK(store_cursor_open(read, &cursor));
        MUST(MLKV_E_CORRUPT, store_cursor_seek(cursor, slice_of_text(flips[i].key), &key, &value));
        store_cursor_close(cursor);
        store_read_end(read);
        OK(store_write_begin(self, &write));
        MUST(MLKV_E_CORRUPT, store_write_get(write, slice_of_text(flips[i].key), &value));
        store_write_abort(write);
        store_close(self);
        harness_remove(folder);
    }
}
END_TEST

/* A lasting record's seal is looked at once by a store, and by each that is opened; other records' always. */
START_TEST(a_seal_is_remembered)
{
    const char *folder = harness_folder();
    store *self = fresh(folder);
    store_read *read = NULL;
    mlkv_slice value;
    put_one(self, TEXT("Bpiece"), TEXT("a value to find"));
    put_one(self, TEXT("Bother"), TEXT("another value"));
    OK(store_read_begin(self, &read));
    MUST(MLKV_ABSENT, store_read_get_lasting(read, TEXT("Bnone"), &value));
    OK(store_read_get_lasting(read, TEXT("Bpiece"), &value));
    ck_assert(slice_equal(value, TEXT("a value to find")));
    flip(folder, "a value to find", 16);
    OK(store_read_get_lasting(read, TEXT("Bpiece"), &value));
    MUST(MLKV_E_CORRUPT, store_read_get(read, TEXT("Bpiece"), &value));
    flip(folder, "another value", 3); /* not met before */
    MUST(MLKV_E_CORRUPT, store_read_get_lasting(read, TEXT("Bother"), &value));
    store_read_end(read);
    store_close(self);
    OK(store_open(folder, false, false, &self));
    OK(store_read_begin(self, &read));
    MUST(MLKV_E_CORRUPT, store_read_get_lasting(read, TEXT("Bpiece"), &value));
    store_read_end(read);
    store_close(self);
    harness_remove(folder);
}
END_TEST

START_TEST(missing_own_records_are_corruption)
{
    const char *folder = harness_folder();
    store *self = fresh(folder);
    store_write *write = NULL;
    OK(store_write_begin(self, &write));
    OK(store_write_delete(write, TEXT("Sposition")));
    OK(store_write_put(write, TEXT("Sidentity"), TEXT("short"), TEXT("")));
    OK(store_write_commit(write));
    store_read *read = NULL;
    store_position position;
    store_identity identity;
    OK(store_read_begin(self, &read));
    MUST(MLKV_E_CORRUPT, store_read_position(read, &position));
    MUST(MLKV_E_CORRUPT, store_read_identity(read, &identity));
    store_read_end(read);
    store_close(self);
    harness_remove(folder);
}
END_TEST

/* Fails under R12-few-readers of tests/broken. */
START_TEST(many_snapshots_at_once)
{
    enum { READS = 300 };
    static store_read *reads[READS];
    const char *folder = harness_folder();
    store *self = fresh(folder);
    store_info info;
    for (int round = 0; round < 3; round++) {
        for (unsigned i = 0; i < READS; i++) {
            store_write *write = NULL;
            if (i % 60 == 0) {
                OK(store_write_begin(self, &write));
                OK(store_write_set_position(write, (store_position){.applied = i}));
                OK(store_write_commit(write));
            }
            OK(store_read_begin(self, &reads[i]));
        }
        OK(store_get_info(self, &info));
        ck_assert_uint_eq(info.readers, READS);
        for (unsigned i = 0; i < READS; i++) {
            store_position position;
            OK(store_read_position(reads[i], &position));
            ck_assert_uint_eq(position.applied, i / 60 * 60);
        }
        for (unsigned i = 0; i < READS; i++)
            store_read_end(reads[i]);
        OK(store_get_info(self, &info));
        ck_assert_uint_le(info.readers, 256);
        ck_assert_uint_gt(info.readers, 0);
    }
    store_close(self);
    harness_remove(folder);
}
END_TEST

static void *begin_and_end(void *argument)
{
    store_read *read = NULL;
    if (store_read_begin(argument, &read) != 0)
        return argument;
    store_read_end(read);
    return NULL;
}

/* All 4096 slots: the next is refused, and idle ones of other threads are found first. */
START_TEST(slots_run_out)
{
    enum { SLOTS = 4096, THREADS = 6 };
    static store_read *reads[SLOTS];
    const char *folder = harness_folder();
    store *self = fresh(folder);
    store_read *more = NULL;
    OK(store_read_begin(self, &reads[0]));
    for (int i = 0; i < THREADS; i++) {
        pthread_t thread;
        void *failed = NULL;
        ck_assert_int_eq(pthread_create(&thread, NULL, begin_and_end, self), 0);
        ck_assert_int_eq(pthread_join(thread, &failed), 0);
        ck_assert_ptr_null(failed);
    }
    for (int i = 1; i < SLOTS; i++)
        OK(store_read_begin(self, &reads[i]));
    MUST(MLKV_E_BUSY, store_read_begin(self, &more));
    ck_assert_ptr_null(more);
    store_read_end(reads[17]);
    OK(store_read_begin(self, &reads[17]));
    MUST(MLKV_E_BUSY, store_read_begin(self, &more));
    for (int i = 0; i < SLOTS; i++)
        store_read_end(reads[i]);
    OK(store_read_begin(self, &more));
    store_read_end(more);
    store_close(self);
    harness_remove(folder);
}
END_TEST

enum { READERS = 8, READS_EACH = 4000 };
static store *shared;
static atomic_int readers_left;
static _Atomic uint64_t finished; /* the number of the last commit that has returned */

/* Each snapshot is one commit: both records and the position agree, and it is not older than the
 * last one that was finished or seen before. */
static void *reader_main(void *unused)
{
    uint64_t last = 0;
    const char *problem = NULL;
    for (int i = 0; i < READS_EACH && problem == NULL; i++) {
        store_read *read = NULL, *nested = NULL;
        store_position position;
        mlkv_slice a, b;
        uint64_t least = atomic_load(&finished);
        if (store_read_begin(shared, &read) != 0)
            problem = "begin";
        else if (store_read_get(read, TEXT("Ka"), &a) != 0 ||
                 store_read_get(read, TEXT("Kb"), &b) != 0)
            problem = "get";
        else if (store_read_position(read, &position) != 0)
            problem = "position";
        else if (load_le64(a.data) != load_le64(b.data) || load_le64(a.data) != position.applied)
            problem = "a torn snapshot";
        else if (position.applied < last || position.applied < least)
            problem = "an older snapshot";
        else
            last = position.applied;
        if (problem == NULL && i % 16 == 0 && store_read_begin(shared, &nested) != 0)
            problem = "nested";
        store_read_end(read);
        store_read_end(nested);
    }
    (void)unused;
    atomic_fetch_sub(&readers_left, 1);
    return (void *)(uintptr_t)problem;
}

static void commit_number(store *self, uint64_t number)
{
    unsigned char bytes[8];
    store_write *write = NULL;
    store_le64(bytes, number);
    OK(store_write_begin(self, &write));
    OK(store_write_put(write, TEXT("Ka"), slice_of(bytes, 8), TEXT("")));
    OK(store_write_put(write, TEXT("Kb"), slice_of(bytes, 8), TEXT("")));
    OK(store_write_set_position(write, (store_position){.applied = number}));
    OK(store_write_commit(write));
}

START_TEST(threads_share_the_pool)
{
    const char *folder = harness_folder();
    pthread_t threads[READERS];
    shared = fresh(folder);
    commit_number(shared, 1);
    atomic_store(&readers_left, READERS);
    for (int i = 0; i < READERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, reader_main, NULL), 0);
    for (uint64_t number = 2; atomic_load(&readers_left) > 0; number++) {
        commit_number(shared, number);
        atomic_store(&finished, number);
    }
    for (int i = 0; i < READERS; i++) {
        void *problem = NULL;
        ck_assert_int_eq(pthread_join(threads[i], &problem), 0);
        ck_assert_msg(problem == NULL, "%s", (const char *)problem);
    }
    store_info info;
    OK(store_get_info(shared, &info));
    ck_assert_uint_le(info.readers, 2 * READERS);
    store_close(shared);
    harness_remove(folder);
}
END_TEST

/* A child that opens the store, begins n snapshots, and dies with them. */
static void die_with_snapshots(const char *folder, int n)
{
    fflush(NULL);
    pid_t pid = harness_fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        store *own = NULL;
        store_read *read = NULL;
        int result = store_open(folder, true, false, &own);
        for (int i = 0; i < n && result == 0; i++)
            result = store_read_begin(own, &read);
        if (result == 0)
            (void)kill(getpid(), SIGKILL);
        _exit(1);
    }
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status));
}

/* R12: the next opener gives back what the dead held, also if others live on. Fails under
 * R12-dead-readers-stay of tests/broken. */
START_TEST(dead_readers_go)
{
    const char *folder = harness_folder();
    store *self = fresh(folder), *next = NULL;
    store_info info;
    die_with_snapshots(folder, 3);
    OK(store_get_info(self, &info));
    ck_assert_uint_eq(info.readers, 3);
    fflush(NULL);
    pid_t pid = harness_fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        _exit(store_open(folder, true, false, &next) == 0 ? 0 : 1);
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    OK(store_get_info(self, &info));
    ck_assert_uint_eq(info.readers, 0);
    store_close(self);
    harness_remove(folder);
}
END_TEST

/* R9: what a living process holds is not given away by the next opener: nothing in this process has
 * closed a descriptor of lock.mdb, which would have dropped its locks. Fails under
 * R09-lock-file-opened of tests/broken. */
START_TEST(living_readers_stay)
{
    const char *folder = harness_folder();
    store *self = fresh(folder), *next = NULL;
    store_read *held = NULL;
    store_info info;
    OK(store_read_begin(self, &held));
    fflush(NULL);
    pid_t pid = harness_fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        _exit(store_open(folder, true, false, &next) == 0 ? 0 : 1);
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    OK(store_get_info(self, &info));
    ck_assert_uint_eq(info.readers, 1);
    store_read_end(held);
    store_close(self);
    harness_remove(folder);
}
END_TEST

/* R12: and so does who finds all slots taken. Fails under R12-no-look-when-slots-run-out of
 * tests/broken. */
START_TEST(dead_readers_make_room)
{
    const char *folder = harness_folder();
    store *self = fresh(folder);
    store_read *read = NULL;
    die_with_snapshots(folder, 4096);
    OK(store_read_begin(self, &read));
    store_read_end(read);
    store_close(self);
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("read");
    TCase *tcase = harness_case(suite, "read");
    tcase_add_test(tcase, a_snapshot_stays);
    tcase_add_test(tcase, odd_keys_are_absent);
    tcase_add_test(tcase, cursors_walk_in_order);
    tcase_add_test(tcase, finds_flipped_bits);
    tcase_add_test(tcase, a_seal_is_remembered);
    tcase_add_test(tcase, missing_own_records_are_corruption);
    tcase_add_test(tcase, many_snapshots_at_once);
    tcase_add_test(tcase, slots_run_out);
    tcase_add_test(tcase, threads_share_the_pool);
    TCase *rules = harness_case(suite, "rules");
    tcase_add_test(rules, dead_readers_go);
    tcase_add_test(rules, living_readers_stay);
    tcase_add_test(rules, dead_readers_make_room);
    return harness_run(suite);
}
