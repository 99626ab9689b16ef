/* test_fault.c - armed points kill, pause and fail at the passing that they should, and the
 * counters say where a child died. */
#include "base/fault.h"

#include "harness.h"

#ifdef MLKV_FAULTS

#include "base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

static uint64_t *shared_counters(void)
{
    uint64_t *counters = mmap(NULL, (FAULT_COUNT + 1) * sizeof *counters, PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(counters, MAP_FAILED);
    return counters;
}

START_TEST(nothing_armed)
{
    FAULT_POINT(WRITE_LOCKED);
    ck_assert_int_eq(FAULT_FAIL(WRITE_LOCKED), 0);
}
END_TEST

START_TEST(error_once_at_its_pass)
{
    fault_arm(FAULT_APPLY_PUT, FAULT_ERROR, 3, ENOSPC);
    ck_assert_int_eq(FAULT_FAIL(APPLY_PUT), 0);
    ck_assert_int_eq(FAULT_FAIL(APPLY_COMMITTED), 0); /* another point does not count */
    ck_assert_int_eq(FAULT_FAIL(APPLY_PUT), 0);
    ck_assert_int_eq(FAULT_FAIL(APPLY_PUT), ENOSPC);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(FAULT_FAIL(APPLY_PUT), 0);
    fault_arm(FAULT_APPLY_PUT, FAULT_ERROR, 1, EIO);
    fault_disarm_all();
    ck_assert_int_eq(FAULT_FAIL(APPLY_PUT), 0);
}
END_TEST

START_TEST(sleep_from_its_pass_on)
{
    fault_arm(FAULT_SYNC_LOCKED, FAULT_SLEEP, 2, 5000);
    uint64_t start = clock_monotonic_ns();
    FAULT_POINT(SYNC_LOCKED);
    FAULT_POINT(SYNC_LOCKED);
    FAULT_POINT(SYNC_LOCKED);
    ck_assert_uint_ge(clock_monotonic_ns() - start, 10000000U);
}
END_TEST

START_TEST(killed_child_leaves_its_counters)
{
    uint64_t *counters = shared_counters();
    pid_t child = harness_fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        fault_counters_place(counters);
        fault_arm(FAULT_APPEND_HALF, FAULT_KILL, 2, 0);
        for (int i = 0; i < 5; i++) {
            FAULT_POINT(APPEND_RESERVED);
            FAULT_POINT(APPEND_HALF);
        }
        _exit(3);
    }
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status));
    ck_assert_int_eq(WTERMSIG(status), SIGKILL);
    ck_assert_uint_eq(counters[FAULT_APPEND_RESERVED], 2);
    ck_assert_uint_eq(counters[FAULT_APPEND_HALF], 2);
    ck_assert_uint_eq(counters[FAULT_COUNT], FAULT_APPEND_HALF);
    ck_assert_str_eq(fault_name((fault_point)counters[FAULT_COUNT]), "APPEND_HALF");
}
END_TEST

enum { THREADS = 4, PASSES = 5000 };

static void *pass_many(void *unused)
{
    (void)unused;
    uintptr_t failed = 0;
    for (int i = 0; i < PASSES; i++)
        failed += FAULT_FAIL(BLOB_PIECE) == EIO;
    return (void *)failed;
}

START_TEST(one_of_many_threads_fails)
{
    uint64_t *counters = shared_counters();
    fault_counters_place(counters);
    fault_arm(FAULT_BLOB_PIECE, FAULT_ERROR, THREADS * PASSES / 2, EIO);
    pthread_t threads[THREADS];
    uintptr_t failed = 0;
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, pass_many, NULL), 0);
    for (int i = 0; i < THREADS; i++) {
        void *got = NULL;
        ck_assert_int_eq(pthread_join(threads[i], &got), 0);
        failed += (uintptr_t)got;
    }
    ck_assert_uint_eq(failed, 1);
    ck_assert_uint_eq(counters[FAULT_BLOB_PIECE], THREADS * PASSES);
    fault_counters_place(NULL);
    FAULT_POINT(BLOB_PIECE);
    ck_assert_uint_eq(counters[FAULT_BLOB_PIECE], THREADS * PASSES);
}
END_TEST

static unsigned watched[2];

static void watch(watch_point point)
{
    watched[point == WATCH_READ_FILL]++;
    WATCH_POINT(READ_FILL); /* what a watcher does is not watched */
}

START_TEST(watch_points_call_the_watcher)
{
    WATCH_POINT(READ_FILL);
    fault_watch(watch);
    WATCH_POINT(READ_FILL);
    WATCH_POINT(READ_NOTED);
    WATCH_POINT(READ_FILL);
    fault_watch(NULL);
    WATCH_POINT(READ_FILL);
    ck_assert_uint_eq(watched[0], 1);
    ck_assert_uint_eq(watched[1], 2);
}
END_TEST

START_TEST(names)
{
    ck_assert_str_eq(fault_name(FAULT_WRITE_LOCKED), "WRITE_LOCKED");
    ck_assert_str_eq(fault_name(FAULT_CLOSE_CLEAN), "CLOSE_CLEAN");
    ck_assert_str_eq(fault_name(FAULT_COUNT), "unknown");
}
END_TEST

#else

START_TEST(release_builds_have_none)
{
    FAULT_POINT(WRITE_LOCKED);
    ck_assert_int_eq(FAULT_FAIL(WRITE_LOCKED), 0);
    WATCH_POINT(READ_FILL);
}
END_TEST

#endif

int main(void)
{
    Suite *suite = suite_create("fault");
    TCase *tcase = harness_case(suite, "fault");
#ifdef MLKV_FAULTS
    tcase_add_test(tcase, nothing_armed);
    tcase_add_test(tcase, error_once_at_its_pass);
    tcase_add_test(tcase, sleep_from_its_pass_on);
    tcase_add_test(tcase, killed_child_leaves_its_counters);
    tcase_add_test(tcase, one_of_many_threads_fails);
    tcase_add_test(tcase, watch_points_call_the_watcher);
    tcase_add_test(tcase, names);
#else
    tcase_add_test(tcase, release_builds_have_none);
#endif
    return harness_run(suite);
}
