/* test_sync_groups.c - group sync is real: those who wait for durability together share one write
 * of journal.log.
 *
 * Counted twice: through the fault point behind that write, and by the calls themselves, for this
 * program stands before the C library's pwrite and fdatasync. A call counts if it makes journal.log
 * durable: a write through a descriptor with O_DSYNC, or an fdatasync.
 */
#undef _FILE_OFFSET_BITS /* or the names below were those of the 64-bit variants */
#include "visitors.h"

#include "base/fault.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>

enum { THREADS = 16, COMMITS = 60 };

static uint64_t counters[FAULT_COUNT + 1];

static _Atomic bool counting;
static _Atomic uint64_t durable_calls;

static bool is_log(int fd)
{
    char name[64], path[600];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(name, path, sizeof path - 1);
    if (size < 0)
        return false;
    path[size] = '\0';
    const char *last = strrchr(path, '/');
    return last != NULL && strcmp(last, "/journal.log") == 0;
}

static void *behind(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (found == NULL)
        abort();
    return found;
}

static void count_write(int fd)
{
    if (atomic_load(&counting) && (fcntl(fd, F_GETFL) & O_DSYNC) != 0 && is_log(fd))
        atomic_fetch_add(&durable_calls, 1);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    ssize_t (*next)(int, const void *, size_t, off_t);
    void *found = behind("pwrite");
    memcpy(&next, &found, sizeof next);
    count_write(fd);
    return next(fd, data, size, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
    ssize_t (*next)(int, const void *, size_t, off64_t);
    void *found = behind("pwrite64");
    memcpy(&next, &found, sizeof next);
    count_write(fd);
    return next(fd, data, size, offset);
}

int fdatasync(int fd)
{
    int (*next)(int);
    void *found = behind("fdatasync");
    memcpy(&next, &found, sizeof next);
    if (atomic_load(&counting) && is_log(fd))
        atomic_fetch_add(&durable_calls, 1);
    return next(fd);
}

static uint64_t writes_of_log(void)
{
    return __atomic_load_n(&counters[FAULT_SYNC_WRITTEN], __ATOMIC_RELAXED);
}

static mlkv *open_durable(const char *folder)
{
    mlkv_options options = {.size = sizeof options, .durability = MLKV_SYNC, .ring_bytes = 1 << 20};
    options.sync_interval_ms = 3600 * 1000; /* the keeper shall not help */
    mlkv *db = NULL;
    OK(mlkv_open(folder, &options, &db));
    int64_t value;
    OK(mlkv_string_add(db, TEXT("first"), 1, &value)); /* the first writes zeros ahead, too */
    fault_counters_place(counters);
    atomic_store(&counting, true);
    return db;
}

static void *commit_often(void *argument)
{
    for (int i = 0; i < COMMITS; i++) {
        int64_t value;
        OK(mlkv_string_add(argument, TEXT("n"), 1, &value));
    }
    return NULL;
}

START_TEST(one_alone_writes_for_each_commit)
{
    const char *folder = harness_folder();
    if (!folder_is_in_memory(folder)) {
        mlkv *db = open_durable(folder);
        (void)commit_often(db);
        ck_assert_uint_eq(writes_of_log(), COMMITS); /* the counts count */
        ck_assert_uint_ge(atomic_load(&durable_calls), (uint64_t)COMMITS);
        OK(mlkv_close(db));
    } else {
        printf("journal.log is in memory: nobody writes it here\n");
    }
    harness_remove(folder);
}
END_TEST

START_TEST(sixteen_share_their_writes)
{
    const char *folder = harness_folder();
    if (!folder_is_in_memory(folder)) {
        pthread_t threads[THREADS];
        mlkv *db = open_durable(folder);
        mlkv_stats stats = {.size = sizeof stats};
        for (int i = 0; i < THREADS; i++)
            ck_assert_int_eq(pthread_create(&threads[i], NULL, commit_often, db), 0);
        for (int i = 0; i < THREADS; i++)
            ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        OK(mlkv_stats_get(db, &stats));
        uint64_t calls = atomic_load(&durable_calls);
        ck_assert_uint_eq(stats.frames_appended, THREADS * COMMITS + 1);
        ck_assert_uint_eq(stats.synced, stats.tail);
        ck_assert_msg(writes_of_log() < THREADS * COMMITS / 2,
                      "%llu writes of the log for %d commits", (unsigned long long)writes_of_log(),
                      THREADS * COMMITS);
        ck_assert_msg(calls >= writes_of_log() && calls < (uint64_t)THREADS * COMMITS / 2,
                      "%llu durable calls for %d commits", (unsigned long long)calls,
                      THREADS * COMMITS);
        OK(mlkv_close(db));
    } else {
        printf("journal.log is in memory: nobody writes it here\n");
    }
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sync_groups");
    TCase *tcase = harness_case(suite, "sync_groups");
    tcase_add_test(tcase, one_alone_writes_for_each_commit);
    tcase_add_test(tcase, sixteen_share_their_writes);
    return harness_run(suite);
}
