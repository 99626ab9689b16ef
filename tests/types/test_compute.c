/* test_compute.c - get or compute: one computation at a time over threads and processes, old values, absences, failures, deaths,
 * refreshers. Time is not waited for: a value is made old by giving its key an earlier end. */
#include "types/stores.h"

#include "base/clock.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

enum { HOUR_MS = 3600 * 1000, FAILS = 77 };

/* What the function does, and how often it did. */
typedef struct {
    atomic_int calls;
    atomic_int answer; /* MLKV_OK: the number of the call as text */
    atomic_int held;   /* 1: it waits until this is 0 */
    atomic_int inside;
} origin;

static int compute(void *context, mlkv_slice key, mlkv_buffer *ret_value)
{
    origin *self = context;
    char text[32];
    int call = atomic_fetch_add(&self->calls, 1) + 1;
    atomic_store(&self->inside, 1);
    while (atomic_load(&self->held) != 0)
        clock_sleep_us(200);
    (void)key;
    if (atomic_load(&self->answer) != MLKV_OK)
        return atomic_load(&self->answer);
    int size = snprintf(text, sizeof text, "%d", call);
    return mlkv_buffer_assign(ret_value, text, (size_t)size);
}

static mlkv_compute_policy hours(mlkv_compute_counts *counts)
{
    mlkv_compute_policy policy = MLKV_COMPUTE_POLICY;
    policy.ttl_ms = HOUR_MS;
    policy.stale_ms = 2 * HOUR_MS;
    policy.counts = counts;
    return policy;
}

static void end_in(mlkv *db, mlkv_slice key, int64_t ms)
{
    OK(mlkv_key_expire(db, key, ms, MLKV_EXPIRE_ALWAYS));
}

static void must_give(mlkv *db, const mlkv_compute_policy *policy, origin *from, const char *text,
                      mlkv_compute_how expected)
{
    mlkv_buffer value = {0};
    mlkv_compute_how how = (mlkv_compute_how)9;
    OK(mlkv_get_or_compute(db, TEXT("key"), policy, compute, from, &value, &how));
    IS(slice_of_text(text), value);
    ck_assert_int_eq(how, expected);
    mlkv_buffer_free(&value);
}

START_TEST(computed_once_then_found)
{
    mlkv *db = memory_store();
    mlkv_compute_counts counts = {0};
    mlkv_compute_policy policy = hours(&counts);
    origin from = {0};
    int64_t left;
    must_give(db, &policy, &from, "1", MLKV_COMPUTE_COMPUTED);
    must_give(db, &policy, &from, "1", MLKV_COMPUTE_HIT);
    must_give(db, NULL, &from, "1", MLKV_COMPUTE_HIT);
    OK(mlkv_key_ttl(db, TEXT("key"), &left));
    ck_assert_int_gt(left, 3 * HOUR_MS - 600000);
    ck_assert_int_le(left, 3 * HOUR_MS);
    ck_assert_uint_eq(key_count(db), 1);
    ck_assert_uint_eq(counts.misses, 1);
    ck_assert_uint_eq(counts.hits, 1);
    ck_assert_uint_eq(counts.computations, 1);
    size_t deleted;
    OK(mlkv_key_delete(db, (mlkv_slice[]){TEXT("key")}, 1, &deleted));
    must_give(db, &policy, &from, "2", MLKV_COMPUTE_COMPUTED);
    OK(mlkv_string_set(db, TEXT("key"), TEXT("set"), MLKV_SET_ALWAYS));
    must_give(db, &policy, &from, "set", MLKV_COMPUTE_HIT);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(an_old_value_is_computed_anew_by_one)
{
    mlkv *db = memory_store();
    mlkv_compute_counts counts = {0};
    mlkv_compute_policy policy = hours(&counts);
    mlkv_lock lock;
    origin from = {0};
    must_give(db, &policy, &from, "1", MLKV_COMPUTE_COMPUTED);
    end_in(db, TEXT("key"), HOUR_MS); /* stale since an hour */
    OK(mlkv_lock_acquire(db, TEXT("mlkv:computing:key"), 0, 0, &lock));
    must_give(db, &policy, &from, "1", MLKV_COMPUTE_STALE); /* another is at it */
    ck_assert_uint_eq(counts.stale_hits, 1);
    OK(mlkv_lock_release(db, TEXT("mlkv:computing:key"), &lock));
    must_give(db, &policy, &from, "2", MLKV_COMPUTE_COMPUTED);
    must_give(db, &policy, &from, "2", MLKV_COMPUTE_HIT);
    policy.refresh_ahead_ms = HOUR_MS / 2;
    end_in(db, TEXT("key"), 2 * HOUR_MS + HOUR_MS / 4); /* aging */
    must_give(db, &policy, &from, "3", MLKV_COMPUTE_COMPUTED);
    ck_assert_uint_eq(counts.refreshes, 2);
    ck_assert_uint_eq(counts.misses, 1);
    ck_assert_uint_eq(key_count(db), 1);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(absence_is_remembered)
{
    mlkv *db = memory_store();
    mlkv_compute_counts counts = {0};
    mlkv_compute_policy policy = hours(&counts);
    mlkv_buffer value = {0};
    mlkv_compute_how how;
    origin from = {.answer = MLKV_ABSENT};
    OK(mlkv_buffer_assign(&value, "old", 3));
    for (int i = 0; i < 2; i++) {
        MUST(MLKV_ABSENT,
             mlkv_get_or_compute(db, TEXT("key"), &policy, compute, &from, &value, &how));
        ck_assert_int_eq(how, MLKV_COMPUTE_COMPUTED);
        IS(TEXT("old"), value);
    }
    ck_assert_uint_eq(key_count(db), 0);
    policy.absent_ms = HOUR_MS;
    for (int i = 0; i < 3; i++)
        MUST(MLKV_ABSENT,
             mlkv_get_or_compute(db, TEXT("key"), &policy, compute, &from, &value, &how));
    ck_assert_int_eq(how, MLKV_COMPUTE_HIT);
    ck_assert_int_eq(from.calls, 3);
    ck_assert_uint_eq(counts.absent_hits, 2);
    ck_assert_uint_eq(counts.absences, 3);
    from.answer = MLKV_OK;
    OK(mlkv_compute_forget(db, TEXT("key")));
    MUST(MLKV_ABSENT, mlkv_compute_forget(db, TEXT("key")));
    must_give(db, &policy, &from, "4", MLKV_COMPUTE_COMPUTED);
    end_in(db, TEXT("key"), HOUR_MS);
    from.answer = MLKV_ABSENT; /* it is gone: so is the old value */
    MUST(MLKV_ABSENT, mlkv_get_or_compute(db, TEXT("key"), &policy, compute, &from, &value, &how));
    MUST(MLKV_ABSENT, mlkv_string_get(db, TEXT("key"), &value));
    ck_assert_uint_eq(key_count(db), 1);
    IS(TEXT("old"), value);
    mlkv_buffer_free(&value);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(failures_are_not_stored)
{
    mlkv *db = memory_store();
    mlkv_compute_counts counts = {0};
    mlkv_compute_policy policy = hours(&counts);
    mlkv_buffer value = {0};
    origin from = {.answer = FAILS};
    OK(mlkv_buffer_assign(&value, "old", 3));
    MUST(FAILS, mlkv_get_or_compute(db, TEXT("key"), &policy, compute, &from, &value, NULL));
    atomic_store(&from.answer, MLKV_E_IO);
    MUST(MLKV_E_IO, mlkv_get_or_compute(db, TEXT("key"), &policy, compute, &from, &value, NULL));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "key"));
    IS(TEXT("old"), value);
    ck_assert_uint_eq(key_count(db), 0);
    atomic_store(&from.answer, MLKV_OK);
    must_give(db, &policy, &from, "3", MLKV_COMPUTE_COMPUTED);
    end_in(db, TEXT("key"), HOUR_MS);
    atomic_store(&from.answer, FAILS);
    MUST(FAILS, mlkv_get_or_compute(db, TEXT("key"), &policy, compute, &from, &value, NULL));
    policy.stale_on_failure = 1;
    must_give(db, &policy, &from, "3", MLKV_COMPUTE_STALE);
    ck_assert_uint_eq(counts.failures, 4);
    ck_assert_uint_eq(key_count(db), 1);
    mlkv_buffer_free(&value);
    OK(mlkv_close(db));
}
END_TEST

typedef struct {
    mlkv *db;
    const mlkv_compute_policy *policy;
    origin *from;
    int result;
    mlkv_compute_how how;
    char text[32];
} asker;

static void *ask(void *argument)
{
    asker *self = argument;
    mlkv_buffer value = {0};
    self->result = mlkv_get_or_compute(self->db, TEXT("key"), self->policy, compute, self->from,
                                       &value, &self->how);
    (void)snprintf(self->text, sizeof self->text, "%.*s", (int)value.size,
                   (const char *)value.data);
    mlkv_buffer_free(&value);
    return NULL;
}

static void await(atomic_int *what)
{
    while (atomic_load(what) == 0)
        clock_sleep_us(200);
}

START_TEST(what_is_forgotten_meanwhile_is_not_stored)
{
    mlkv *db = memory_store();
    mlkv_compute_counts counts = {0};
    mlkv_compute_policy policy = hours(&counts);
    mlkv_buffer value = {0};
    origin from = {.held = 1};
    asker other = {.db = db, .policy = &policy, .from = &from};
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, ask, &other), 0);
    await(&from.inside);
    policy.wait_ms = 0;
    MUST(MLKV_E_BUSY, mlkv_get_or_compute(db, TEXT("key"), &policy, compute, &from, &value, NULL));
    OK(mlkv_compute_forget(db, TEXT("key")));
    atomic_store(&from.held, 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    MUST(MLKV_OK, other.result);
    ck_assert_str_eq(other.text, "1");
    ck_assert_uint_eq(counts.unwanted, 1);
    ck_assert_uint_eq(key_count(db), 0);
    must_give(db, &policy, &from, "2", MLKV_COMPUTE_COMPUTED);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(arguments)
{
    mlkv *db = memory_store(), *transaction = NULL, *snapshot = NULL;
    origin from = {0};
    mlkv_buffer value = {0};
    mlkv_refresher *refresher = NULL;
    mlkv_compute_policy policy = MLKV_COMPUTE_POLICY;
#define ASK(expected, view, policy_) \
    MUST(expected, mlkv_get_or_compute(view, TEXT("key"), policy_, compute, &from, &value, NULL))
    ASK(MLKV_E_ARGUMENT, NULL, NULL);
    MUST(MLKV_E_ARGUMENT, mlkv_get_or_compute(db, TEXT("key"), NULL, NULL, NULL, &value, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_get_or_compute(db, TEXT("key"), NULL, compute, &from, NULL, NULL));
    MUST(MLKV_E_ARGUMENT,
         mlkv_get_or_compute(db, slice_of(NULL, 1), NULL, compute, &from, &value, NULL));
    policy.size--;
    ASK(MLKV_E_ARGUMENT, db, &policy);
    policy = (mlkv_compute_policy)MLKV_COMPUTE_POLICY;
    policy.ttl_ms = -1;
    ASK(MLKV_E_ARGUMENT, db, &policy);
    policy.ttl_ms = 5;
    policy.refresh_ahead_ms = 5;
    ASK(MLKV_E_ARGUMENT, db, &policy);
    policy.refresh_ahead_ms = 0;
    policy.jitter_percent = 101;
    ASK(MLKV_E_ARGUMENT, db, &policy);
    policy.jitter_percent = 0;
    policy.stale_ms = INT64_MAX - 9;
    ASK(MLKV_E_RANGE, db, &policy);
    OK(mlkv_snapshot(db, &snapshot));
    ASK(MLKV_E_ARGUMENT, snapshot, NULL);
    OK(mlkv_close(snapshot));
    OK(mlkv_begin(db, &transaction));
    ASK(MLKV_E_ARGUMENT, transaction, NULL);
    OK(mlkv_abort(transaction));
    OK(mlkv_set_add(db, TEXT("key"), (mlkv_slice[]){TEXT("member")}, 1, NULL));
    ASK(MLKV_E_TYPE, db, NULL);
    MUST(MLKV_E_ARGUMENT, mlkv_refresher_open(0, &refresher));
    MUST(MLKV_E_ARGUMENT, mlkv_refresher_open(65, &refresher));
    MUST(MLKV_E_ARGUMENT, mlkv_refresher_open(1, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_refresher_wait(NULL, 0));
    mlkv_refresher_close(NULL);
    MUST(MLKV_E_ARGUMENT, mlkv_compute_forget(NULL, TEXT("key")));
    MUST(MLKV_E_ARGUMENT, mlkv_buffer_assign(NULL, "a", 1));
    ck_assert_int_eq(from.calls, 0);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(times_vary)
{
    mlkv *db = memory_store();
    mlkv_compute_policy policy = MLKV_COMPUTE_POLICY;
    origin from = {0};
    int64_t least = INT64_MAX, most = 0, left;
    policy.ttl_ms = 100 * (int64_t)HOUR_MS;
    policy.jitter_percent = 20;
    for (int i = 0; i < 200; i++) {
        mlkv_buffer value = {0};
        (void)mlkv_compute_forget(db, TEXT("key"));
        OK(mlkv_get_or_compute(db, TEXT("key"), &policy, compute, &from, &value, NULL));
        OK(mlkv_key_ttl(db, TEXT("key"), &left));
        least = left < least ? left : least;
        most = left > most ? left : most;
        mlkv_buffer_free(&value);
    }
    ck_assert_int_ge(least, 79 * (int64_t)HOUR_MS);
    ck_assert_int_lt(least, 90 * (int64_t)HOUR_MS);
    ck_assert_int_gt(most, 110 * (int64_t)HOUR_MS);
    ck_assert_int_le(most, 120 * (int64_t)HOUR_MS);
    OK(mlkv_close(db));
}
END_TEST

/* --- a refresher --- */

START_TEST(a_refresher_computes_ahead)
{
    mlkv *db = memory_store();
    mlkv_compute_counts counts = {0};
    mlkv_compute_policy policy = hours(&counts);
    mlkv_refresher *refresher = NULL;
    origin from = {0};
    OK(mlkv_refresher_open(2, &refresher));
    policy.refresher = refresher;
    must_give(db, &policy, &from, "1", MLKV_COMPUTE_COMPUTED);
    end_in(db, TEXT("key"), HOUR_MS);
    atomic_store(&from.inside, 0);
    atomic_store(&from.held, 1);
    for (int i = 0; i < 100; i++)
        must_give(db, &policy, &from, "1", MLKV_COMPUTE_STALE);
    await(&from.inside);
    MUST(MLKV_ABSENT, mlkv_refresher_wait(refresher, 1));
    atomic_store(&from.held, 0);
    OK(mlkv_refresher_wait(refresher, -1));
    must_give(db, &policy, &from, "2", MLKV_COMPUTE_HIT);
    ck_assert_int_eq(from.calls, 2);
    ck_assert_uint_eq(counts.stale_hits, 100);
    ck_assert_uint_eq(counts.refreshes, 1);
    end_in(db, TEXT("key"), HOUR_MS); /* a failure leaves it as it is, and due */
    atomic_store(&from.answer, FAILS);
    must_give(db, &policy, &from, "2", MLKV_COMPUTE_STALE);
    OK(mlkv_refresher_wait(refresher, -1));
    must_give(db, &policy, &from, "2", MLKV_COMPUTE_STALE);
    mlkv_refresher_close(refresher);
    ck_assert_uint_eq(key_count(db), 1);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(a_full_refresher_takes_no_more)
{
    mlkv *db = memory_store();
    mlkv_compute_policy policy = hours(NULL);
    mlkv_refresher *refresher = NULL;
    mlkv_buffer value = {0};
    origin from = {0};
    OK(mlkv_refresher_open(1, &refresher));
    for (int i = 0; i < 1200; i++) {
        char name[16];
        int size = snprintf(name, sizeof name, "key %d", i);
        OK(mlkv_string_set(db, slice_of(name, (size_t)size), TEXT("old"), MLKV_SET_ALWAYS));
        end_in(db, slice_of(name, (size_t)size), HOUR_MS);
    }
    policy.refresher = refresher;
    atomic_store(&from.held, 1);
    for (int i = 0; i < 1200; i++) {
        char name[16];
        int size = snprintf(name, sizeof name, "key %d", i);
        OK(mlkv_get_or_compute(db, slice_of(name, (size_t)size), &policy, compute, &from, &value,
                               NULL));
        IS(TEXT("old"), value);
    }
    await(&from.inside);
    atomic_store(&from.held, 0);
    mlkv_refresher_close(refresher); /* drops what waits */
    ck_assert_int_ge(from.calls, 1);
    ck_assert_int_le(from.calls, 1026);
    ck_assert_uint_eq(key_count(db), 1200);
    mlkv_buffer_free(&value);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(a_forked_child_computes_itself)
{
#ifdef __SANITIZE_ADDRESS__
    return; /* its allocator's lock may be held by a thread that the child lacks */
#endif
    const char *folder = harness_folder();
    mlkv *db = folder_store(folder);
    mlkv_compute_policy policy = hours(NULL);
    mlkv_refresher *refresher = NULL;
    origin from = {0};
    int status;
    OK(mlkv_refresher_open(1, &refresher));
    policy.refresher = refresher;
    must_give(db, &policy, &from, "1", MLKV_COMPUTE_COMPUTED);
    end_in(db, TEXT("key"), HOUR_MS);
    IN_CHILD(status, {
        mlkv *own = NULL;
        mlkv_buffer value = {0};
        CHILD_MUST(mlkv_open(folder, NULL, &own) == 0);
        CHILD_MUST(mlkv_get_or_compute(own, TEXT("key"), &policy, compute, &from, &value, NULL) ==
                   0);
        CHILD_MUST(slice_equal(slice_of(value.data, value.size), TEXT("2")));
        CHILD_MUST(mlkv_refresher_wait(refresher, -1) == 0);
        mlkv_refresher_close(refresher);
        CHILD_MUST(mlkv_close(own) == 0);
    });
    ck_assert_int_eq(status, 0);
    must_give(db, &policy, &from, "2", MLKV_COMPUTE_HIT);
    mlkv_refresher_close(refresher);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* --- one at a time --- */

enum { THREADS = 8, PROCESSES = 4, KEYS = 25 };

typedef struct {
    atomic_int calls[KEYS];
    atomic_int running[KEYS];
    atomic_int twice, ready, go;
} crowd;

static int compute_in_crowd(void *context, mlkv_slice key, mlkv_buffer *ret_value)
{
    crowd *self = context;
    int i = *(const unsigned char *)key.data;
    if (atomic_fetch_add(&self->running[i], 1) != 0)
        atomic_store(&self->twice, 1);
    atomic_fetch_add(&self->calls[i], 1);
    clock_sleep_us(500);
    atomic_fetch_sub(&self->running[i], 1);
    return mlkv_buffer_assign(ret_value, key.data, key.size);
}

typedef struct {
    mlkv *db;
    crowd *all;
} crowd_member;

static void *be_crowd(void *argument)
{
    crowd_member *self = argument;
    mlkv_buffer value = {0};
    atomic_fetch_add(&self->all->ready, 1);
    while (atomic_load(&self->all->go) == 0)
        clock_sleep_us(100);
    for (unsigned char i = 0; i < KEYS; i++) {
        CHILD_MUST(mlkv_get_or_compute(self->db, slice_of(&i, 1), NULL, compute_in_crowd, self->all,
                                       &value, NULL) == 0);
        CHILD_MUST(value.size == 1 && *(unsigned char *)value.data == i);
    }
    mlkv_buffer_free(&value);
    return NULL;
}

static void be_process(const char *folder, crowd *all)
{
    crowd_member self = {.all = all};
    pthread_t threads[THREADS];
    CHILD_MUST(mlkv_open(folder, NULL, &self.db) == 0);
    for (int i = 0; i < THREADS; i++)
        CHILD_MUST(pthread_create(&threads[i], NULL, be_crowd, &self) == 0);
    for (int i = 0; i < THREADS; i++)
        CHILD_MUST(pthread_join(threads[i], NULL) == 0);
    CHILD_MUST(mlkv_close(self.db) == 0);
    harness_exit(0);
}

START_TEST(one_computation_for_a_crowd)
{
    const char *folder = harness_folder();
    crowd *all = shared_page();
    pid_t pids[PROCESSES];
    for (int i = 0; i < PROCESSES; i++) {
        pids[i] = harness_fork();
        ck_assert_int_ge(pids[i], 0);
        if (pids[i] == 0)
            be_process(folder, all);
    }
    while (atomic_load(&all->ready) < THREADS * PROCESSES)
        clock_sleep_us(1000);
    atomic_store(&all->go, 1);
    for (int i = 0; i < PROCESSES; i++)
        ck_assert_int_eq(child_status(pids[i]), 0);
    ck_assert_int_eq(all->twice, 0);
    for (int i = 0; i < KEYS; i++)
        ck_assert_int_eq(all->calls[i], 1);
    mlkv *db = folder_store(folder);
    ck_assert_uint_eq(key_count(db), KEYS);
    verify_all(db);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

START_TEST(a_dead_computer_frees_the_others)
{
    const char *folder = harness_folder();
    atomic_int *inside = shared_page();
    pid_t pid = harness_fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        mlkv *own = NULL;
        mlkv_buffer value = {0};
        origin *from = (origin *)(void *)inside;
        atomic_store(&from->held, 1);
        CHILD_MUST(mlkv_open(folder, NULL, &own) == 0);
        (void)mlkv_get_or_compute(own, TEXT("key"), NULL, compute, from, &value, NULL);
        _exit(1);
    }
    await(&((origin *)(void *)inside)->inside);
    mlkv *db = folder_store(folder);
    origin from = {0};
    asker others[3];
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        others[i] = (asker){.db = db, .from = &from};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, ask, &others[i]), 0);
    }
    clock_sleep_us(20000);
    ck_assert_int_eq(from.calls, 0);
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(child_status(pid), -SIGKILL);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        MUST(MLKV_OK, others[i].result);
        ck_assert_str_eq(others[i].text, "1");
    }
    ck_assert_int_eq(from.calls, 1);
    ck_assert_uint_eq(key_count(db), 1);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("compute");
    TCase *tcase = harness_case(suite, "one");
    tcase_add_test(tcase, computed_once_then_found);
    tcase_add_test(tcase, an_old_value_is_computed_anew_by_one);
    tcase_add_test(tcase, absence_is_remembered);
    tcase_add_test(tcase, failures_are_not_stored);
    tcase_add_test(tcase, what_is_forgotten_meanwhile_is_not_stored);
    tcase_add_test(tcase, arguments);
    tcase_add_test(tcase, times_vary);
    TCase *refreshers = harness_case(suite, "refresher");
    tcase_add_test(refreshers, a_refresher_computes_ahead);
    tcase_add_test(refreshers, a_full_refresher_takes_no_more);
    tcase_add_test(refreshers, a_forked_child_computes_itself);
    TCase *crowds = harness_case(suite, "crowd");
    tcase_add_test(crowds, one_computation_for_a_crowd);
    tcase_add_test(crowds, a_dead_computer_frees_the_others);
    return harness_run(suite);
}
