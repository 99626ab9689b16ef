/* test_store.c - opening, creating and refusing: fresh stores, foreign and damaged files, dead
 * processes, forked children.
 *
 * Files are damaged as bytes while no store has them open. Nothing here reads lock.mdb. Check forks
 * each test, so a crash is a failure of one test; children that die on purpose open the store
 * themselves.
 */
#include "store/fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static const char *path_of(const char *folder)
{
    static char path[600];
    snprintf(path, sizeof path, "%s/data.mdb", folder);
    return path;
}

static off_t size_of(const char *folder)
{
    struct stat status;
    ck_assert_int_eq(stat(path_of(folder), &status), 0);
    return status.st_size;
}

static void expect_value(store *self, mlkv_slice key, mlkv_slice value)
{
    store_read *read = NULL;
    mlkv_slice got;
    OK(store_read_begin(self, &read));
    OK(store_read_get(read, key, &got));
    ck_assert(slice_equal(got, value));
    store_read_end(read);
}

/* A store with enough records for a tree of some depth and a large value. */
static void fill_store(const char *folder)
{
    static char large[300000];
    memset(large, 'L', sizeof large);
    store *self = fresh(folder);
    store_write *write = NULL;
    OK(store_write_begin(self, &write));
    for (int i = 0; i < 2000; i++) {
        char key[32];
        int size = snprintf(key, sizeof key, "Kkey-%06d", i);
        OK(store_write_put(write, slice_of(key, (size_t)size), slice_of(large, 200), TEXT("")));
    }
    OK(store_write_put(write, TEXT("Kzlarge"), slice_of(large, sizeof large), TEXT("")));
    OK(store_write_commit(write));
    store_close(self);
}

static void write_file(const char *folder, off_t offset, const void *bytes, size_t size)
{
    int file = open(path_of(folder), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(pwrite(file, bytes, size, offset), (ssize_t)size);
    close(file);
}

static void read_file(const char *folder, void *to, size_t size)
{
    int file = open(path_of(folder), O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(pread(file, to, size, 0), (ssize_t)size);
    close(file);
}

START_TEST(makes_a_store_once)
{
    const char *folder = harness_folder();
    store *self = NULL;
    MUST(MLKV_E_ABSENT_STORE, store_open(folder, false, false, &self));
    MUST(MLKV_E_ABSENT_STORE, store_open(folder, true, true, &self));
    ck_assert_ptr_null(self);
    self = fresh(folder);
    store_read *read = NULL;
    store_identity first, second;
    store_position position;
    OK(store_read_begin(self, &read));
    OK(store_read_identity(read, &first));
    OK(store_read_position(read, &position));
    ck_assert(first.clean);
    ck_assert_uint_eq(first.generation, 0);
    static const unsigned char zeros[16];
    ck_assert_int_ne(memcmp(first.uuid, zeros, 16), 0);
    ck_assert(position.applied == 0 && position.next_id == 0 && position.chain == 0);
    store_read_end(read);
    put_one(self, TEXT("Kone"), TEXT("1"));
    store_close(self);

    struct stat status;
    ck_assert_int_eq(stat(path_of(folder), &status), 0);
    ck_assert_uint_eq(status.st_mode & 0777, 0600);

    self = fresh(folder);
    expect_value(self, TEXT("Kone"), TEXT("1"));
    OK(store_read_begin(self, &read));
    OK(store_read_identity(read, &second));
    ck_assert_int_eq(memcmp(first.uuid, second.uuid, 16), 0);
    store_read_end(read);
    OK(store_sync(self));
    store_close(self);
    store_close(NULL);
    harness_remove(folder);
}
END_TEST

START_TEST(reads_only)
{
    const char *folder = harness_folder();
    store *self = fresh(folder);
    put_one(self, TEXT("Kone"), TEXT("1"));
    store_close(self);
    OK(store_open(folder, false, true, &self));
    expect_value(self, TEXT("Kone"), TEXT("1"));
    store_write *write = NULL;
    MUST(MLKV_E_READONLY, store_write_begin(self, &write));
    MUST(MLKV_E_READONLY, store_sync(self));
    OK(store_check_readers(self));
    store_info info;
    OK(store_get_info(self, &info));
    ck_assert_uint_eq(info.records, 4);
    store_close(self);
    harness_remove(folder);
}
END_TEST

START_TEST(refuses_other_formats)
{
    const char *folder = harness_folder();
    store *self = fresh(folder);
    put_one(self, TEXT("Sformat"), slice_of("MLKV\x63\0\0\0", 8));
    store_close(self);
    MUST(MLKV_E_VERSION, store_open(folder, true, false, &self));
    MUST(MLKV_E_VERSION, store_open(folder, false, true, &self));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "99"));
    harness_remove(folder);

    folder = harness_folder();
    self = fresh(folder);
    store_write *write = NULL;
    OK(store_write_begin(self, &write));
    OK(store_write_delete(write, TEXT("Sformat")));
    OK(store_write_commit(write));
    store_close(self);
    MUST(MLKV_E_VERSION, store_open(folder, true, false, &self));
    MUST(MLKV_E_VERSION, store_open(folder, false, true, &self));
    harness_remove(folder);
}
END_TEST

/* What a creator leaves that died before its first commit. */
START_TEST(finishes_an_empty_file)
{
    const char *folder = harness_folder();
    store *self = fresh(folder);
    store_write *write = NULL;
    OK(store_write_begin(self, &write));
    OK(store_write_delete(write, TEXT("Sformat")));
    OK(store_write_delete(write, TEXT("Sidentity")));
    OK(store_write_delete(write, TEXT("Sposition")));
    OK(store_write_commit(write));
    store_close(self);
    MUST(MLKV_E_ABSENT_STORE, store_open(folder, false, false, &self));
    MUST(MLKV_E_ABSENT_STORE, store_open(folder, false, true, &self));
    self = fresh(folder);
    put_one(self, TEXT("Kone"), TEXT("1"));
    store_close(self);
    OK(store_open(folder, false, false, &self));
    store_close(self);
    harness_remove(folder);

    folder = harness_folder();
    write_file(folder, 0, "", 0);
    MUST(MLKV_E_ABSENT_STORE, store_open(folder, false, false, &self));
    self = fresh(folder);
    store_close(self);
    harness_remove(folder);
}
END_TEST

/* What a power cut leaves of a file whose first two pages LMDB had written and nobody synced. */
START_TEST(makes_an_unborn_file_anew)
{
    static unsigned char pages[2][8192]; /* as LMDB makes them; zeros */
    const char *folder = harness_folder();
    MDB_env *env = NULL;
    ck_assert_int_eq(mdb_env_create(&env), 0);
    ck_assert_int_eq(mdb_env_open(env, folder, 0, 0600), 0);
    mdb_env_close(env);
    read_file(folder, pages[0], sizeof pages[0]);
    harness_remove(folder);
    for (int kind = 0; kind < 5; kind++) { /* each page made or not; the second not there */
        store *self = NULL;
        folder = harness_folder();
        write_file(folder, 0, pages[kind & 1], 4096);
        if (kind < 4)
            write_file(folder, 4096, pages[kind >> 1] + 4096, 4096);
        MUST(MLKV_E_ABSENT_STORE, store_open(folder, false, true, &self));
        self = fresh(folder);
        put_one(self, TEXT("Kone"), TEXT("1"));
        store_close(self);
        OK(store_open(folder, false, false, &self));
        expect_value(self, TEXT("Kone"), TEXT("1"));
        store_close(self);
        harness_remove(folder);
    }
    /* of a store that was committed to, a page of zeros is damage */
    folder = harness_folder();
    store *self = fresh(folder);
    store_close(self);
    write_file(folder, 0, pages[1], 4096);
    MUST(MLKV_E_CORRUPT, store_open(folder, true, false, &self));
    harness_remove(folder);
}
END_TEST

START_TEST(refuses_garbage)
{
    static unsigned char bytes[20000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 2654435761u >> 13);
    static const size_t sizes[] = {1, 16, 151, 152, 4096, 8192, sizeof bytes};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const char *folder = harness_folder();
        store *self = NULL;
        write_file(folder, 0, bytes, sizes[i]);
        MUST(MLKV_E_CORRUPT, store_open(folder, true, false, &self));
        MUST(MLKV_E_CORRUPT, store_open(folder, false, true, &self));
        harness_remove(folder);
    }
}
END_TEST

/* Meta pages that would make LMDB divide by zero, or map more than there can be. */
START_TEST(refuses_broken_meta_pages)
{
    static const struct {
        off_t offset;
        unsigned char bytes[8];
        size_t size;
        int result;
    } damages[] = {
        {40, {0}, 4, MLKV_E_CORRUPT},          /* page size 0 */
        {40, {1, 2, 3, 4}, 4, MLKV_E_CORRUPT}, /* not a power of two */
        {4096 + 40, {0}, 4, MLKV_E_CORRUPT},   /* of the second meta page */
        {136, {255, 255, 255, 255, 255, 255, 255, 255}, 8, MLKV_E_CORRUPT}, /* last page */
        {4096 + 136, {0, 0, 0, 0, 0, 0, 0, 1}, 8, MLKV_E_CORRUPT},
        {20, {77}, 1, MLKV_E_VERSION}, /* LMDB's format */
        {16, {1, 2, 3, 4}, 4, MLKV_E_CORRUPT},
    };
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        const char *folder = harness_folder();
        store *self = fresh(folder);
        store_close(self);
        write_file(folder, damages[i].offset, damages[i].bytes, damages[i].size);
        MUST(damages[i].result, store_open(folder, true, false, &self));
        MUST(damages[i].result, store_open(folder, false, true, &self));
        harness_remove(folder);
    }
}
END_TEST

START_TEST(refuses_a_cut_file)
{
    static const struct {
        int numerator, denominator;
    } parts[] = {{1, 2}, {1, 10}, {9, 10}, {99, 100}};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        const char *folder = harness_folder();
        store *self = NULL;
        fill_store(folder);
        ck_assert_int_eq(
            truncate(path_of(folder), size_of(folder) * parts[i].numerator / parts[i].denominator),
            0);
        MUST(MLKV_E_CORRUPT, store_open(folder, true, false, &self));
        ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "shorter than its pages"));
        MUST(MLKV_E_CORRUPT, store_open(folder, false, true, &self));
        harness_remove(folder);
    }
    static const off_t sizes[] = {100, 4096, 4200, 8192};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const char *folder = harness_folder();
        store *self = NULL;
        fill_store(folder);
        ck_assert_int_eq(truncate(path_of(folder), sizes[i]), 0);
        MUST(MLKV_E_CORRUPT, store_open(folder, true, false, &self));
        harness_remove(folder);
    }
}
END_TEST

/* One of the many random transactions after which LMDB counts pages at the end that it never wrote.
 */
static void random_transaction(store *self, uint64_t *state, const char *bytes)
{
#define NEXT(bound) \
    ((*state = *state * 6364136223846793005u + 1442695040888963407u) >> 33) % (bound)
    store_write *write = NULL;
    OK(store_write_begin(self, &write));
    unsigned n = (unsigned)NEXT(400), deletes = (unsigned)NEXT(100);
    for (unsigned i = 0; i < n; i++) {
        char name[32];
        int size = snprintf(name, sizeof name, "K%06u", (unsigned)NEXT(3000));
        mlkv_slice key = slice_of(name, (size_t)size);
        size_t bound = NEXT(8) == 0 ? 200000 : 1200;
        if (NEXT(100) < deletes)
            OK(store_write_delete(write, key));
        else
            OK(store_write_put(write, key, slice_of(bytes, NEXT(bound)), TEXT("")));
    }
    OK(store_write_commit(write));
#undef NEXT
}

static uint64_t count_records(store *self)
{
    store_read *read = NULL;
    store_cursor *cursor = NULL;
    mlkv_slice key, value;
    uint64_t count = 0;
    OK(store_read_begin(self, &read));
    OK(store_cursor_open(read, &cursor));
    int result = store_cursor_seek(cursor, TEXT(""), &key, &value);
    for (; result == 0; result = store_cursor_next(cursor, &key, &value))
        count++;
    MUST(MLKV_ABSENT, result);
    store_cursor_close(cursor);
    store_read_end(read);
    return count;
}

START_TEST(accepts_a_short_but_whole_file)
{
    static char bytes[200000];
    const char *folder = harness_folder();
    store *self = fresh(folder);
    store_info info;
    uint64_t state = 1;
    bool found = false;
    for (int i = 0; i < 1000 && !found; i++) {
        random_transaction(self, &state, bytes);
        OK(store_get_info(self, &info));
        found = (uint64_t)size_of(folder) < info.used_bytes;
    }
    ck_assert_msg(found, "no transaction left the file short: the test must be made stronger");
    off_t size = size_of(folder);
    store_close(self);

    OK(store_open(folder, false, true, &self));
    ck_assert_uint_eq(count_records(self), info.records);
    store_close(self);
    ck_assert_int_eq(size_of(folder), size);
    OK(store_open(folder, false, false, &self));
    ck_assert_uint_eq(count_records(self), info.records);
    ck_assert_uint_ge((uint64_t)size_of(folder), info.used_bytes);
    random_transaction(self, &state, bytes);
    store_close(self);

    /* The same file, with what it needs cut off: refused. */
    ck_assert_int_eq(truncate(path_of(folder), size / 2), 0);
    MUST(MLKV_E_CORRUPT, store_open(folder, false, false, &self));
    harness_remove(folder);
}
END_TEST

START_TEST(names_errors_of_the_system)
{
    store *self = NULL;
    MUST(MLKV_E_ARGUMENT, store_open(NULL, true, false, &self));
    MUST(MLKV_E_ABSENT_STORE, store_open("/nonexistent/folder", false, false, &self));
    MUST(MLKV_E_IO, store_open("/nonexistent/folder", true, false, &self));
    const char *folder = harness_folder();
    char path[600];
    snprintf(path, sizeof path, "%s/data.mdb", folder);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    MUST(MLKV_E_IO, store_open(folder, true, false, &self));
    harness_remove(folder);
    static char long_name[8192];
    memset(long_name, 'x', sizeof long_name - 1);
    MUST(MLKV_E_ARGUMENT, store_open(long_name, true, false, &self));
}
END_TEST

/* A process that may not map 1 TiB takes less. */
START_TEST(takes_a_smaller_map)
{
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    const char *folder = harness_folder();
    struct rlimit limit = {(rlim_t)20 << 30, (rlim_t)20 << 30};
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
    store *self = fresh(folder);
    put_one(self, TEXT("Kone"), TEXT("1"));
    expect_value(self, TEXT("Kone"), TEXT("1"));
    store_close(self);
    harness_remove(folder);
#endif
}
END_TEST

static void wait_for(pid_t child)
{
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a child ended with %#x",
                  (unsigned)status);
}

START_TEST(processes_may_create_at_once)
{
    enum { CHILDREN = 8 };
    const char *folder = harness_folder();
    pid_t children[CHILDREN];
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = harness_fork();
        ck_assert_int_ge(children[i], 0);
        if (children[i] != 0)
            continue;
        store *self = NULL;
        store_write *write = NULL;
        char key[16];
        int size = snprintf(key, sizeof key, "K%d", i);
        int result = store_open(folder, true, false, &self);
        if (result == 0)
            result = store_write_begin(self, &write);
        if (result == 0)
            result = store_write_put(write, slice_of(key, (size_t)size), TEXT("value"), TEXT(""));
        if (result == 0)
            result = store_write_commit(write);
        store_close(self);
        _exit(result == 0 ? 0 : 1);
    }
    for (int i = 0; i < CHILDREN; i++)
        wait_for(children[i]);
    store *self = NULL;
    OK(store_open(folder, false, false, &self));
    ck_assert_uint_eq(count_records(self), CHILDREN + 3);
    store_close(self);
    harness_remove(folder);
}
END_TEST

START_TEST(info_counts)
{
    const char *folder = harness_folder();
    fill_store(folder);
    store *self = fresh(folder);
    store_info info;
    store_read *first = NULL, *second = NULL;
    OK(store_get_info(self, &info));
    ck_assert_uint_eq(info.records, 2004);
    ck_assert_uint_gt(info.tree_pages, 100);
    ck_assert_uint_eq(info.readers, 0);
    ck_assert_uint_eq(info.oldest_snapshot_age, 0);
    ck_assert_uint_le(info.used_bytes, (uint64_t)size_of(folder));
    OK(store_read_begin(self, &first));
    put_one(self, TEXT("Kone"), TEXT("1"));
    put_one(self, TEXT("Ktwo"), TEXT("1"));
    OK(store_read_begin(self, &second));
    OK(store_get_info(self, &info));
    ck_assert_uint_eq(info.readers, 2);
    ck_assert_uint_eq(info.oldest_snapshot_age, 2);
    store_read_end(first);
    OK(store_get_info(self, &info));
    ck_assert_uint_eq(info.oldest_snapshot_age, 0);
    store_read_end(second);
    store_close(self);
    harness_remove(folder);
}
END_TEST

/* A child that inherited a store abandons it, opens its own, and dies with snapshots open: its
 * slots are freed. */
START_TEST(forked_child_abandons_and_dies)
{
    const char *folder = harness_folder();
    store *self = fresh(folder);
    put_one(self, TEXT("Kone"), TEXT("1"));
    store_read *held = NULL;
    OK(store_read_begin(self, &held));
    int ready[2];
    ck_assert_int_eq(pipe(ready), 0);
    pid_t child = harness_fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        store *own = NULL;
        store_read *read = NULL;
        store_abandon(self);
        store_abandon(NULL);
        int result = store_open(folder, false, false, &own);
        for (int i = 0; result == 0 && i < 5; i++)
            result = store_read_begin(own, &read);
        if (write(ready[1], result == 0 ? "y" : "n", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    char answer = 0;
    ck_assert_int_eq(read(ready[0], &answer, 1), 1);
    ck_assert_int_eq(answer, 'y');
    store_info info;
    OK(store_get_info(self, &info));
    ck_assert_uint_eq(info.readers, 6);
    OK(store_check_readers(self));
    OK(store_get_info(self, &info));
    ck_assert_uint_eq(info.readers, 6);
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    OK(store_check_readers(self));
    OK(store_get_info(self, &info));
    ck_assert_uint_eq(info.readers, 1);
    mlkv_slice value;
    OK(store_read_get(held, TEXT("Kone"), &value));
    store_read_end(held);
    put_one(self, TEXT("Ktwo"), TEXT("2"));
    store_close(self);
    harness_remove(folder);
}
END_TEST

/* The mapping of data.mdb in this process; false: there is none. */
static bool find_mapping(const char *folder, uintptr_t *ret_start, uintptr_t *ret_end)
{
    char line[1024], name[700];
    bool found = false;
    snprintf(name, sizeof name, "%s/data.mdb", folder);
    FILE *maps = fopen("/proc/self/maps", "r");
    ck_assert_ptr_nonnull(maps);
    while (!found && fgets(line, sizeof line, maps) != NULL) {
        char *end;
        if (strstr(line, name) == NULL)
            continue;
        *ret_start = strtoull(line, &end, 16);
        *ret_end = strtoull(end + 1, NULL, 16);
        found = true;
    }
    (void)fclose(maps);
    return found;
}

/* R12: one map, larger than any store of this machine is likely to be, where it was at the beginning. What was lent from it stays. Fails
 * under R12-map-small and R12-map-resized of tests/broken. */
START_TEST(the_map_is_large_and_stays)
{
    const char *folder = harness_folder();
    store *self = fresh(folder);
    store_read *held = NULL;
    mlkv_slice lent;
    uintptr_t start = 0, end = 0, start_later = 0, end_later = 0;
    put_one(self, TEXT("Kone"), TEXT("lent"));
    OK(store_read_begin(self, &held));
    OK(store_read_get(held, TEXT("Kone"), &lent));
    ck_assert(find_mapping(folder, &start, &end));
    ck_assert_uint_ge(
        end - start, (uintptr_t)1 << 30); /* the least that is tried; 1 TiB where nothing hinders */
    store_read_end(held);
    static char large[1 << 20];
    for (int i = 0; i < 5; i++)
        put_one(self, TEXT("Klarge"), slice_of(large, sizeof large));
    OK(store_read_begin(self, &held));
    ck_assert(find_mapping(folder, &start_later, &end_later));
    ck_assert_uint_eq(start_later, start);
    ck_assert_uint_eq(end_later, end);
    ck_assert((uintptr_t)lent.data >= start && (uintptr_t)lent.data < end);
    store_read_end(held);
    store_close(self);
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store");
    TCase *tcase = harness_case(suite, "store");
    tcase_add_test(tcase, makes_a_store_once);
    tcase_add_test(tcase, reads_only);
    tcase_add_test(tcase, refuses_other_formats);
    tcase_add_test(tcase, finishes_an_empty_file);
    tcase_add_test(tcase, makes_an_unborn_file_anew);
    tcase_add_test(tcase, refuses_garbage);
    tcase_add_test(tcase, refuses_broken_meta_pages);
    tcase_add_test(tcase, refuses_a_cut_file);
    tcase_add_test(tcase, accepts_a_short_but_whole_file);
    tcase_add_test(tcase, names_errors_of_the_system);
    tcase_add_test(tcase, takes_a_smaller_map);
    tcase_add_test(tcase, processes_may_create_at_once);
    tcase_add_test(tcase, info_counts);
    tcase_add_test(tcase, forked_child_abandons_and_dies);
    tcase_add_test(harness_case(suite, "rules"), the_map_is_large_and_stays);
    return harness_run(suite);
}
