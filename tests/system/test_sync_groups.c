/* test_sync_groups.c - group sync is real: those who wait for durability together share one write
 * of journal.log. Counted through the fault point behind that write. */
#include "visitors.h"

#include "base/fault.h"

#include <pthread.h>

enum { THREADS = 16, COMMITS = 60 };

static uint64_t counters[FAULT_COUNT + 1];

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
    fault_counters_place(counters);
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
        ck_assert_uint_eq(writes_of_log(), COMMITS); /* the count counts */
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
        ck_assert_uint_eq(stats.frames_appended, THREADS * COMMITS);
        ck_assert_uint_eq(stats.synced, stats.tail);
        ck_assert_msg(writes_of_log() < THREADS * COMMITS / 2,
                      "%llu writes of the log for %d commits", (unsigned long long)writes_of_log(),
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
