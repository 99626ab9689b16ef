/* test_pool.c - each task runs once, whoever runs it; errors are the lowest task's; any number of callers end; forked children, executors
 * of all kinds and systems that refuse threads are no more than slower. */
#include "base/pool.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/lock.h"
#include "harness.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>

#define LARGE ((uint64_t)1 << 30)

enum { TASKS = 1000, CALLERS = 6 };

typedef struct {
    pool *pool;
    _Atomic unsigned runs[TASKS];
    size_t fails_from; /* tasks from this one on fail */
    unsigned depth;    /* so deep tasks call the pool themselves */
    unsigned pause_us; /* of each task */
} counted;

static int count_one(void *argument, size_t i)
{
    counted *self = argument;
    atomic_fetch_add(&self->runs[i], 1);
    if (self->pause_us != 0)
        clock_sleep_us(self->pause_us);
    if (i >= self->fails_from)
        return error_set(MLKV_E_SIZE, "task %zu", i);
    if (self->depth == 0 || i % 100 != 0)
        return 0;
    counted inner = {.pool = self->pool, .fails_from = SIZE_MAX, .depth = self->depth - 1};
    int result = pool_run(self->pool, false, LARGE, count_one, &inner, 200);
    for (size_t k = 0; k < 200 && result == 0; k++)
        result = inner.runs[k] == 1 ? 0 : MLKV_E_CORRUPT;
    return result;
}

static void run_counted(pool *self, bool locked, unsigned depth, unsigned pause_us)
{
    counted all = {.pool = self, .fails_from = SIZE_MAX, .depth = depth, .pause_us = pause_us};
    size_t n = pause_us != 0 ? 50 : TASKS;
    OK(pool_run(self, locked, LARGE, count_one, &all, n));
    for (size_t i = 0; i < TASKS; i++)
        ck_assert_uint_eq(all.runs[i], i < n);
}

START_TEST(each_runs_once)
{
    for (unsigned threads = 0; threads < 6; threads++) {
        pool *self = NULL;
        OK(pool_create(threads, NULL, &self));
        ck_assert_uint_eq(pool_width(self), threads < 1 ? 1 : threads);
        ck_assert_uint_eq(pool_started(self), 0);
        OK(pool_run(self, false, LARGE, count_one, NULL, 0));
        for (unsigned i = 0; i < harness_rounds(50); i++)
            run_counted(self, i % 2 != 0, 0, 0);
        run_counted(self, false, 0, 200);
        ck_assert_uint_le(pool_started(self), threads < 1 ? 0 : threads - 1);
        if (threads > 1)
            ck_assert_uint_gt(pool_started(self), 0);
        pool_destroy(self);
    }
    run_counted(NULL, false, 0, 0);
    ck_assert_uint_eq(pool_width(NULL), 1);
    pool_destroy(NULL);
    pool_forget(NULL);
    unsigned few = pool_default_threads();
    ck_assert(few >= 1 && few <= 4);
}
END_TEST

START_TEST(small_work_needs_nobody)
{
    pool *self = NULL;
    counted all = {.fails_from = SIZE_MAX};
    OK(pool_create(4, NULL, &self));
    OK(pool_run(self, false, (1 << 20) - 1, count_one, &all, TASKS));
    OK(pool_run(self, false, LARGE, count_one, &all, 1));
    ck_assert_uint_eq(pool_started(self), 0);
    OK(pool_run(self, false, 1 << 20, count_one, &all, TASKS));
    ck_assert_uint_eq(pool_started(self), 1);
    OK(pool_run(self, false, LARGE, count_one, &all, 3));
    ck_assert_uint_ge(pool_started(self), 1);
    pool_destroy(self);
}
END_TEST

START_TEST(the_lowest_error_is_told)
{
    pool *self = NULL;
    OK(pool_create(4, NULL, &self));
    for (size_t from = 0; from < TASKS; from += 97) {
        counted all = {.fails_from = from};
        char text[32];
        MUST(MLKV_E_SIZE, pool_run(self, false, LARGE, count_one, &all, TASKS));
        snprintf(text, sizeof text, "task %zu", from);
        ck_assert_str_eq(mlkv_error_detail(), text);
        for (size_t i = 0; i < TASKS; i++)
            ck_assert_msg(i <= from ? all.runs[i] == 1 : all.runs[i] <= 1, "%zu of %zu", i, from);
        MUST(MLKV_E_SIZE, pool_run(NULL, false, LARGE, count_one, &all, TASKS));
        ck_assert_str_eq(mlkv_error_detail(), text);
    }
    run_counted(self, false, 0, 0);
    pool_destroy(self);
}
END_TEST

START_TEST(nested_calls_end)
{
    pool *self = NULL;
    OK(pool_create(3, NULL, &self));
    for (unsigned i = 0; i < harness_rounds(20); i++)
        run_counted(self, false, 2, 0);
    pool_destroy(self);
}
END_TEST

static void *call_often(void *argument)
{
    pool *self = argument;
    for (unsigned i = 0; i < harness_rounds(60); i++) {
        counted all = {.pool = self, .fails_from = i % 3 == 0 ? i : SIZE_MAX, .depth = i % 2};
        int result = pool_run(self, false, LARGE, count_one, &all, TASKS);
        CHILD_MUST(result == (i % 3 == 0 ? MLKV_E_SIZE : 0));
        for (size_t k = 0; k < TASKS; k++)
            CHILD_MUST(all.runs[k] == 1 || (i % 3 == 0 && k > i && all.runs[k] == 0));
    }
    return NULL;
}

START_TEST(many_callers_share_it)
{
    pool *self = NULL;
    pthread_t callers[CALLERS];
    OK(pool_create(3, NULL, &self));
    for (unsigned i = 0; i < CALLERS; i++)
        ck_assert_int_eq(pthread_create(&callers[i], NULL, call_often, self), 0);
    for (unsigned i = 0; i < CALLERS; i++)
        ck_assert_int_eq(pthread_join(callers[i], NULL), 0);
    pool_destroy(self);
}
END_TEST

/* --- executors --- */

typedef struct {
    unsigned calls;
    size_t tasks;
} seen;

static void serially(void *context, void (*task)(void *, size_t), void *argument, size_t n)
{
    seen *self = context;
    self->calls++;
    self->tasks += n;
    for (size_t i = n; i > 0; i--)
        task(argument, i - 1);
}

static void lazily(void *context, void (*task)(void *, size_t), void *argument, size_t n)
{
    seen *self = context;
    self->calls += task != NULL && argument != NULL && n != 0;
}

typedef struct {
    void (*task)(void *, size_t);
    void *argument;
    size_t i;
} one_task;

static void *run_task(void *argument)
{
    const one_task *self = argument;
    self->task(self->argument, self->i);
    return NULL;
}

static void by_threads(void *context, void (*task)(void *, size_t), void *argument, size_t n)
{
    pthread_t threads[8];
    one_task tasks[8];
    (void)context;
    CHILD_MUST(n <= 8);
    for (size_t i = 0; i < n; i++) {
        tasks[i] = (one_task){task, argument, i};
        CHILD_MUST(pthread_create(&threads[i], NULL, run_task, &tasks[i]) == 0);
    }
    for (size_t i = 0; i < n; i++)
        CHILD_MUST(pthread_join(threads[i], NULL) == 0);
}

START_TEST(executors_of_all_kinds)
{
    pool *self = NULL;
    seen told = {0};
    pool_executor executor = {serially, &told};
    OK(pool_create(4, &executor, &self));
    run_counted(self, false, 0, 0);
    ck_assert_uint_eq(told.calls, 1);
    ck_assert_uint_eq(told.tasks, 4);
    run_counted(self, true, 0, 0); /* with a lock held it is not asked */
    ck_assert_uint_eq(told.calls, 1);
    run_counted(self, false, 2, 0); /* nor inside its tasks */
    ck_assert_uint_eq(told.calls, 2);
    counted all = {.fails_from = 7};
    MUST(MLKV_E_SIZE, pool_run(self, false, LARGE, count_one, &all, TASKS));
    ck_assert_str_eq(mlkv_error_detail(), "task 7");
    ck_assert_uint_eq(pool_started(self), 0);
    pool_destroy(self);
    executor = (pool_executor){lazily, &told};
    OK(pool_create(4, &executor, &self));
    told.calls = 0;
    run_counted(self, false, 0, 0);
    ck_assert_uint_eq(told.calls, 1);
    pool_destroy(self);
    executor = (pool_executor){by_threads, NULL};
    OK(pool_create(5, &executor, &self));
    for (unsigned i = 0; i < harness_rounds(20); i++) {
        run_counted(self, false, 1, 0);
        counted failing = {.fails_from = i};
        MUST(MLKV_E_SIZE, pool_run(self, false, LARGE, count_one, &failing, TASKS));
    }
    pool_destroy(self);
}
END_TEST

/* --- the system --- */

static void fill(pool *self)
{
    counted all = {.fails_from = SIZE_MAX, .pause_us = 1000};
    OK(pool_run(self, false, LARGE, count_one, &all, 50));
}

START_TEST(a_forked_child_is_alone)
{
    pool *self = NULL;
    int status;
    OK(pool_create(4, NULL, &self));
    fill(self);
    ck_assert_uint_gt(pool_started(self), 0);
    IN_CHILD(status, {
        counted all = {.fails_from = SIZE_MAX};
        CHILD_MUST(pool_width(self) == 1);
        CHILD_MUST(pool_run(self, false, LARGE, count_one, &all, TASKS) == 0);
        for (size_t i = 0; i < TASKS; i++)
            CHILD_MUST(all.runs[i] == 1);
        pool_forget(self);
        CHILD_MUST(pool_create(4, NULL, &self) == 0); /* its own threads it may have */
        CHILD_MUST(pool_run(self, false, LARGE, count_one, &all, TASKS) == 0);
        pool_destroy(self);
    });
    ck_assert_int_eq(status, 0);
    run_counted(self, false, 0, 0);
    pool_destroy(self);
}
END_TEST

START_TEST(a_fork_amid_work)
{
    pool *self = NULL;
    pthread_t caller;
    OK(pool_create(4, NULL, &self));
    ck_assert_int_eq(pthread_create(&caller, NULL, call_often, self), 0);
    for (unsigned i = 0; i < harness_rounds(20); i++) {
        int status;
        IN_CHILD(status, {
            static counted all = {.fails_from = SIZE_MAX};
            CHILD_MUST(pool_run(self, false, LARGE, count_one, &all, TASKS) == 0);
            CHILD_MUST(all.runs[0] == 1 && all.runs[TASKS - 1] == 1);
            pool_forget(self);
        });
        ck_assert_int_eq(status, 0);
    }
    ck_assert_int_eq(pthread_join(caller, NULL), 0);
    pool_destroy(self);
}
END_TEST

static void run_refused(void)
{
    pool *self = NULL;
    const struct rlimit none = {0, 0};
    counted all = {.fails_from = SIZE_MAX, .pause_us = 100};
    CHILD_MUST(pool_create(4, NULL, &self) == 0);
    CHILD_MUST(setrlimit(RLIMIT_NPROC, &none) == 0);
    if (geteuid() == 0) /* whom the limit does not bind */
        CHILD_MUST(setgid(65534) == 0 && setuid(65534) == 0);
    CHILD_MUST(pool_run(self, false, LARGE, count_one, &all, 50) == 0);
    for (size_t i = 0; i < 50; i++)
        CHILD_MUST(all.runs[i] == 1);
    CHILD_MUST(pool_started(self) == 0);
    pool_destroy(self);
}

START_TEST(threads_may_be_refused)
{
    int status;
    IN_CHILD(status, run_refused());
    ck_assert_int_eq(status, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pool");
    TCase *tcase = harness_case(suite, "pool");
    tcase_add_test(tcase, each_runs_once);
    tcase_add_test(tcase, small_work_needs_nobody);
    tcase_add_test(tcase, the_lowest_error_is_told);
    tcase_add_test(tcase, nested_calls_end);
    tcase_add_test(tcase, many_callers_share_it);
    tcase_add_test(tcase, executors_of_all_kinds);
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
    tcase_add_test(tcase, a_forked_child_is_alone);
    tcase_add_test(tcase, a_fork_amid_work);
    tcase_add_test(tcase, threads_may_be_refused);
#endif
    return harness_run(suite);
}
