/* test_space.c - what the file takes, and holes in it: only what nobody needs is given back, in
 * bounded steps, and a damaged list or a file system that cannot are errors. */
#include "store/fixture.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { VALUE_SIZE = 100000, VALUES = 60, SMALLS = 3000, SMALL_SIZE = 3000 };

static int refusal;  /* an errno that fallocate fails with */
static int refusals; /* so often; then it works */
static unsigned calls;

/* In place of the C library's, for the store's calls too. */
int fallocate(int file, int mode, off_t offset, off_t size)
{
    calls++;
    if (refusals > 0) {
        refusals--;
        errno = refusal;
        return -1;
    }
    return (int)syscall(SYS_fallocate, file, mode, offset, size);
}

/* Values made of their number and the round. */
static void put_all(store *self, int from, int to, size_t size, int round)
{
    static unsigned char bytes[VALUE_SIZE];
    store_write *write = NULL;
    OK(store_write_begin(self, &write));
    for (int i = from; i < to; i++) {
        char key[16];
        int length = snprintf(key, sizeof key, "K%06d", i);
        memset(bytes, (i * 7 + round) & 0xff, size);
        OK(store_write_put(write, slice_of(key, (size_t)length), slice_of(bytes, size), TEXT("")));
    }
    OK(store_write_commit(write));
}

static void delete_all(store *self, int from, int to, int every)
{
    store_write *write = NULL;
    OK(store_write_begin(self, &write));
    for (int i = from; i < to; i += every) {
        char key[16];
        int length = snprintf(key, sizeof key, "K%06d", i);
        OK(store_write_delete(write, slice_of(key, (size_t)length)));
    }
    OK(store_write_commit(write));
}

static bool holds(store_read *read, int from, int to, int every, size_t size, int round)
{
    for (int i = from; i < to; i += every) {
        char key[16];
        mlkv_slice value;
        int length = snprintf(key, sizeof key, "K%06d", i);
        if (store_read_get(read, slice_of(key, (size_t)length), &value) != 0 || value.size != size)
            return false;
        const unsigned char *bytes = value.data;
        for (size_t j = 0; j < size; j++)
            if (bytes[j] != ((i * 7 + round) & 0xff))
                return false;
    }
    return true;
}

static bool holds_now(store *self, int from, int to, int every, size_t size, int round)
{
    store_read *read = NULL;
    OK(store_read_begin(self, &read));
    bool same = holds(read, from, to, every, size, round);
    store_read_end(read);
    return same;
}

/* A commit that says nothing new. */
static void age(store *self)
{
    store_write *write = NULL;
    OK(store_write_begin(self, &write));
    OK(store_write_put(write, TEXT("Kage"), TEXT("x"), TEXT("")));
    OK(store_write_commit(write));
}

static int step(store *self, uint64_t *below, uint64_t *ret_bytes)
{
    store_write *write = NULL;
    OK(store_write_begin(self, &write));
    int result = store_punch(self, write, below, ret_bytes);
    store_write_abort(write);
    return result;
}

/* All steps; how many there were. */
static unsigned punch_all(store *self, uint64_t *ret_bytes)
{
    uint64_t below = UINT64_MAX, bytes;
    unsigned steps = 0;
    for (*ret_bytes = 0; below != 0; steps++) {
        uint64_t before = below;
        OK(step(self, &below, &bytes));
        ck_assert_uint_lt(below, before);
        *ret_bytes += bytes;
    }
    return steps;
}

static store_space space_of(store *self)
{
    store_space space;
    OK(store_get_space(self, &space));
    return space;
}

static void file_path(char path[700], const char *folder)
{
    snprintf(path, 700, "%s/data.mdb", folder);
}

START_TEST(tells_what_it_takes)
{
    const char *folder = harness_folder();
    char path[700];
    struct stat status;
    store *self = fresh(folder);
    put_all(self, 0, VALUES, VALUE_SIZE, 1);
    put_all(self, 1000, 1000 + SMALLS, 100, 1);
    store_space space = space_of(self);
    ck_assert_uint_ge(space.run_bytes, (uint64_t)VALUES * VALUE_SIZE);
    ck_assert_uint_ge(space.leaf_bytes, (uint64_t)SMALLS * 100);
    store_info info;
    OK(store_get_info(self, &info));
    ck_assert_uint_eq(space.leaf_bytes + space.run_bytes + space.free_bytes + 2 * 4096,
                      info.used_bytes);
    file_path(path, folder);
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_uint_eq(space.disk_bytes, (uint64_t)status.st_blocks * 512);
    uint64_t before = space.free_bytes;
    delete_all(self, 0, VALUES, 1);
    ck_assert_uint_ge(space_of(self).free_bytes, before + (uint64_t)VALUES * VALUE_SIZE);
    store_close(self);
    harness_remove(folder);
}
END_TEST

START_TEST(gives_back_what_is_free)
{
    const char *folder = harness_folder();
    char path[700];
    struct stat before, after;
    uint64_t bytes;
    store *self = fresh(folder);
    put_all(self, 0, VALUES, VALUE_SIZE, 1);
    delete_all(self, 0, VALUES, 2);
    file_path(path, folder);
    ck_assert_int_eq(stat(path, &before), 0);
    punch_all(self, &bytes); /* the last commit's pages are those of the state before it */
    ck_assert_uint_lt(bytes, VALUE_SIZE);
    age(self);
    punch_all(self, &bytes);
    ck_assert_int_eq(stat(path, &after), 0);
    ck_assert_uint_ge(bytes, (uint64_t)VALUES / 2 * (VALUE_SIZE - 8192));
    ck_assert_int_ge(after.st_size, before.st_size);
    ck_assert_uint_le((uint64_t)after.st_blocks * 512 + bytes,
                      (uint64_t)before.st_blocks * 512 + 65536);
    unsigned called = calls;
    punch_all(self, &bytes); /* holes are not punched twice */
    ck_assert_uint_eq(bytes, 0);
    ck_assert_uint_eq(calls, called);
    ck_assert(holds_now(self, 1, VALUES, 2, VALUE_SIZE, 1));
    store_close(self);
    OK(store_open(folder, false, false, &self));
    ck_assert(holds_now(self, 1, VALUES, 2, VALUE_SIZE, 1));
    for (int round = 2; round < 6; round++) /* holes are written to like other free pages */
        put_all(self, 0, VALUES, VALUE_SIZE, round);
    ck_assert(holds_now(self, 0, VALUES, 1, VALUE_SIZE, 5));
    store_close(self);
    harness_remove(folder);
}
END_TEST

START_TEST(works_in_bounded_steps)
{
    const char *folder = harness_folder();
    uint64_t below = UINT64_MAX, bytes, all;
    store *self = fresh(folder);
    put_all(self, 0, SMALLS, SMALL_SIZE, 1);
    delete_all(self, 0, SMALLS, 2); /* 1500 free pages, each between two that are in use */
    age(self);
    calls = 0;
    OK(step(self, &below, &bytes));
    ck_assert_uint_ne(below, 0);
    ck_assert_uint_ge(calls, 1);
    ck_assert_uint_le(calls, 1024);
    put_all(self, SMALLS, SMALLS + 50, SMALL_SIZE, 2); /* others write between the steps */
    ck_assert_uint_ge(punch_all(self, &all), 1);
    ck_assert(holds_now(self, 1, SMALLS, 2, SMALL_SIZE, 1));
    ck_assert(holds_now(self, SMALLS, SMALLS + 50, 1, SMALL_SIZE, 2));
    store_close(self);
    harness_remove(folder);
}
END_TEST

static bool read_one(int file, char *ret_byte)
{
    return read(file, ret_byte, 1) == 1;
}

/* A process that reads a snapshot at the first byte of `go`, and looks at it at the second. */
static void hold_snapshot(const char *folder, int go, int done)
{
    char byte = 0;
    store *self = NULL;
    store_read *snapshot = NULL;
    bool well = store_open(folder, false, false, &self) == 0 &&
                store_read_begin(self, &snapshot) == 0 && holds(snapshot, 0, 1, 1, VALUE_SIZE, 1) &&
                write(done, "x", 1) == 1 && read_one(go, &byte);
    well = well && holds(snapshot, 0, VALUES, 1, VALUE_SIZE, 1);
    store_read_end(snapshot);
    store_close(self);
    _exit(well ? 0 : 1);
}

START_TEST(keeps_what_a_snapshot_needs)
{
    const char *folder = harness_folder();
    int go[2], done[2], status;
    char byte;
    uint64_t bytes;
    store *self = fresh(folder);
    put_all(self, 0, VALUES, VALUE_SIZE, 1);
    store_close(self);
    ck_assert_int_eq(pipe(go), 0);
    ck_assert_int_eq(pipe(done), 0);
    pid_t pid = harness_fork();
    if (pid == 0)
        hold_snapshot(folder, go[0], done[1]);
    ck_assert(read_one(done[0], &byte));
    OK(store_open(folder, false, false, &self));
    for (int round = 2; round < 5; round++)
        put_all(self, 0, VALUES, VALUE_SIZE, round);
    age(self);
    punch_all(self, &bytes);
    ck_assert_uint_lt(bytes, VALUE_SIZE);
    ck_assert_int_eq((int)write(go[1], "x", 1), 1);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the snapshot lost something: %x",
                  (unsigned)status);
    punch_all(self, &bytes);
    ck_assert_uint_ge(bytes, (uint64_t)VALUES * VALUE_SIZE);
    ck_assert(holds_now(self, 0, VALUES, 1, VALUE_SIZE, 4));
    store_close(self);
    harness_remove(folder);
}
END_TEST

START_TEST(says_what_hinders)
{
    const char *folder = harness_folder();
    uint64_t below = UINT64_MAX, bytes = 7;
    store_write *write = NULL;
    store *self = fresh(folder);
    put_all(self, 0, VALUES, VALUE_SIZE, 1);
    delete_all(self, 0, VALUES, 2);
    age(self);
    OK(store_write_begin(self, &write));
    OK(store_write_put(write, TEXT("Kone"), TEXT("1"), TEXT("")));
    MUST(MLKV_E_ARGUMENT, store_punch(self, write, &below, &bytes));
    store_write_abort(write);
    refusal = EOPNOTSUPP;
    refusals = 1;
    MUST(MLKV_E_PLATFORM, step(self, &below, &bytes));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "holes"));
    refusal = ENOSPC;
    refusals = 1;
    below = UINT64_MAX;
    MUST(MLKV_E_FULL, step(self, &below, &bytes));
    refusal = EIO;
    refusals = 1;
    below = UINT64_MAX;
    MUST(MLKV_E_IO, step(self, &below, &bytes));
    ck_assert_uint_eq(bytes, 7);
    refusal = EINTR; /* is tried again */
    refusals = 3;
    punch_all(self, &bytes);
    ck_assert_uint_ge(bytes, (uint64_t)VALUES / 2 * (VALUE_SIZE - 8192));
    ck_assert(holds_now(self, 1, VALUES, 2, VALUE_SIZE, 1));
    store_close(self);
    harness_remove(folder);
}
END_TEST

static uint64_t number_at(int file, off_t offset)
{
    uint64_t number = 0;
    ck_assert_int_eq((int)pread(file, &number, sizeof number, offset), (int)sizeof number);
    return number;
}

/* Where the first record of the list of free pages stands: its page by the newer meta page, its
 * place by the first node (lib/store/pages.c has the table). */
static off_t free_list_at(int file)
{
    off_t meta = number_at(file, 4096 + 144) > number_at(file, 144) ? 4096 : 0;
    off_t page = (off_t)number_at(file, meta + 80) * 4096;
    uint16_t node = 0, flags = 0;
    ck_assert_int_eq((int)pread(file, &node, sizeof node, page + 16), 2);
    ck_assert_int_eq((int)pread(file, &flags, sizeof flags, page + node + 4), 2);
    off_t data = page + node + 16;
    return (flags & 1) != 0 ? (off_t)number_at(file, data) * 4096 + 16 : data;
}

START_TEST(finds_a_damaged_list)
{
    static const uint64_t numbers[] = {UINT64_MAX, 1, UINT64_MAX / 8};
    const char *folder = harness_folder();
    char path[700];
    store *self = fresh(folder);
    put_all(self, 0, VALUES, VALUE_SIZE, 1);
    delete_all(self, 0, VALUES, 2);
    age(self);
    age(self);
    file_path(path, folder);
    int file = open(path, O_RDWR | O_CLOEXEC);
    ck_assert_int_ge(file, 0);
    off_t at = free_list_at(file);
    for (int i = 0; i < 3;
         i++) { /* its count; a meta page among its numbers; no page of the file */
        uint64_t below = UINT64_MAX, bytes, place = i == 0 ? 0 : 8,
                 kept = number_at(file, at + (off_t)place);
        ck_assert_int_eq((int)pwrite(file, &numbers[i], 8, at + (off_t)place), 8);
        MUST(MLKV_E_CORRUPT, step(self, &below, &bytes));
        ck_assert_int_eq((int)pwrite(file, &kept, 8, at + (off_t)place), 8);
    }
    (void)close(file);
    ck_assert(holds_now(self, 1, VALUES, 2, VALUE_SIZE, 1));
    store_close(self);
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("space");
    TCase *tcase = harness_case(suite, "space");
    tcase_add_test(tcase, tells_what_it_takes);
    tcase_add_test(tcase, gives_back_what_is_free);
    tcase_add_test(tcase, works_in_bounded_steps);
    tcase_add_test(tcase, keeps_what_a_snapshot_needs);
    tcase_add_test(tcase, says_what_hinders);
    tcase_add_test(tcase, finds_a_damaged_list);
    return harness_run(suite);
}
