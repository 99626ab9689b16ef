/* test_lease.c - locks by name: one holder at a time, over threads, processes, deaths, leases that end. */
#include "types/stores.h"

#include "base/clock.h"
#include "base/fault.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define HOUR INT64_C(3600000)
enum { LONG_MS = 60000 };

START_TEST(one_holder_at_a_time)
{
    mlkv *db = memory_store();
    mlkv_slice key = TEXT("lock");
    mlkv_lock first, second, found;
    MUST(MLKV_ABSENT, mlkv_lock_holder(db, key, &found));
    OK(mlkv_lock_acquire(db, key, 0, 0, &first));
    MUST(MLKV_ABSENT, mlkv_lock_acquire(db, key, 0, 0, &second));
    MUST(MLKV_ABSENT, mlkv_lock_acquire(db, key, 0, 20, &second));
    OK(mlkv_lock_holder(db, key, &found));
    ck_assert_int_eq(memcmp(&found, &first, sizeof found), 0);
    found.token[0] = (char)(found.token[0] == '0' ? '1' : '0');
    MUST(MLKV_ABSENT, mlkv_lock_release(db, key, &found));
    MUST(MLKV_ABSENT, mlkv_lock_renew(db, key, &found, HOUR));
    OK(mlkv_lock_release(db, key, &first));
    MUST(MLKV_ABSENT, mlkv_lock_release(db, key, &first));
    OK(mlkv_lock_acquire(db, key, 0, 0, &second));
    ck_assert_uint_gt(second.fence, first.fence);
    ck_assert_int_ne(memcmp(second.token, first.token, sizeof first.token), 0);
    MUST(MLKV_ABSENT, mlkv_lock_release(db, key, &first)); /* not any more */
    ck_assert_uint_eq(key_count(db), 1);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(a_lease_ends)
{
    mlkv *db = memory_store();
    mlkv_slice key = TEXT("lock");
    mlkv_lock first, second, none;
    OK(mlkv_lock_acquire(db, key, HOUR, 0, &first));
    fault_clock_shift(HOUR / 2);
    OK(mlkv_lock_renew(db, key, &first, HOUR));
    fault_clock_shift(HOUR + HOUR / 4);
    MUST(MLKV_ABSENT, mlkv_lock_acquire(db, key, HOUR, 0, &second));
    fault_clock_shift(2 * HOUR);
    MUST(MLKV_ABSENT, mlkv_lock_holder(db, key, &none));
    MUST(MLKV_ABSENT, mlkv_lock_renew(db, key, &first, HOUR));
    OK(mlkv_lock_acquire(db, key, HOUR, 0, &second));
    ck_assert_uint_gt(second.fence, first.fence);
    MUST(MLKV_ABSENT, mlkv_lock_release(db, key, &first));
    OK(mlkv_lock_renew(db, key, &second, 0));
    fault_clock_shift(5 * HOUR);
    OK(mlkv_lock_release(db, key, &second));
    OK(mlkv_lock_acquire(db, key, 50, 0, &first));
    OK(mlkv_lock_acquire(db, key, 0, LONG_MS, &second)); /* waits for the lease to end */
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(misuse)
{
    mlkv *db = memory_store(), *snapshot = NULL;
    mlkv_lock lock = {.fence = 1};
    mlkv_slice member = TEXT("m");
    OK(mlkv_string_set(db, TEXT("string"), TEXT("v"), MLKV_SET_ALWAYS));
    OK(mlkv_set_add(db, TEXT("set"), &member, 1, NULL));
    MUST(MLKV_E_TYPE, mlkv_lock_acquire(db, TEXT("string"), 0, -1, &lock));
    MUST(MLKV_E_TYPE, mlkv_lock_acquire(db, TEXT("set"), 0, -1, &lock));
    MUST(MLKV_E_TYPE, mlkv_lock_release(db, TEXT("string"), &lock));
    MUST(MLKV_E_RANGE, mlkv_lock_acquire(db, TEXT("lock"), -1, 0, &lock));
    MUST(MLKV_E_RANGE, mlkv_lock_acquire(db, TEXT("lock"), INT64_MAX, 0, &lock));
    MUST(MLKV_E_ARGUMENT, mlkv_lock_acquire(db, TEXT("lock"), 0, 0, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_lock_renew(db, TEXT("lock"), NULL, 0));
    OK(mlkv_snapshot(db, &snapshot));
    MUST(MLKV_E_READONLY, mlkv_lock_acquire(snapshot, TEXT("lock"), 0, 0, &lock));
    OK(mlkv_close(snapshot));
    char forged[96];
    memset(forged, '9', sizeof forged);
    OK(mlkv_string_set(db, TEXT("forged"), slice_of(forged, 84), MLKV_SET_ALWAYS));
    MUST(MLKV_E_TYPE, mlkv_lock_acquire(db, TEXT("forged"), 0, 0, &lock));
    ck_assert_uint_eq(key_count(db), 3);
    OK(mlkv_close(db));
}
END_TEST

/* --- exclusion --- */

enum { PROCESSES = 4, ROUNDS = 150 };

typedef struct {
    _Atomic int inside, overlaps, entered;
    uint64_t last_fence;
    _Atomic int backwards;
} guarded;

static void enter_often(const char *folder, guarded *shared)
{
    mlkv *db = folder_store(folder);
    mlkv_slice key = TEXT("lock");
    for (int i = 0; i < ROUNDS; i++) {
        mlkv_lock lock;
        OK(mlkv_lock_acquire(db, key, 0, LONG_MS, &lock));
        if (atomic_fetch_add(&shared->inside, 1) != 0)
            atomic_fetch_add(&shared->overlaps, 1);
        if (lock.fence <= shared->last_fence)
            atomic_fetch_add(&shared->backwards, 1);
        shared->last_fence = lock.fence;
        atomic_fetch_add(&shared->entered, 1);
        atomic_fetch_sub(&shared->inside, 1);
        OK(mlkv_lock_release(db, key, &lock));
    }
    OK(mlkv_close(db));
}

START_TEST(processes_exclude_each_other)
{
    const char *folder = harness_folder();
    guarded *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pids[PROCESSES];
    int status;
    for (int i = 0; i < PROCESSES; i++) {
        pids[i] = harness_fork();
        if (pids[i] == 0) {
            enter_often(folder, shared);
            _exit(0);
        }
    }
    for (int i = 0; i < PROCESSES; i++) {
        ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
        ck_assert_int_eq(status, 0);
    }
    ck_assert_int_eq(shared->entered, PROCESSES * ROUNDS);
    ck_assert_int_eq(shared->overlaps, 0);
    ck_assert_int_eq(shared->backwards, 0);
    harness_remove(folder);
}
END_TEST

/* A holder that is killed frees the lock, without a lease, and also while the others stay. */
START_TEST(a_dead_holder_frees_the_lock)
{
    const char *folder = harness_folder();
    guarded *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    mlkv *db = NULL;
    mlkv_slice key = TEXT("lock");
    mlkv_lock lock;
    pid_t pid = harness_fork();
    if (pid == 0) {
        mlkv *mine = folder_store(folder);
        OK(mlkv_lock_acquire(mine, key, 0, 0, &lock));
        shared->last_fence = lock.fence;
        atomic_store(&shared->entered, 1);
        for (;;)
            pause();
    }
    while (atomic_load(&shared->entered) == 0)
        clock_sleep_us(1000);
    db = folder_store(folder);
    MUST(MLKV_ABSENT, mlkv_lock_acquire(db, key, 0, 50, &lock));
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    OK(mlkv_lock_acquire(db, key, 0, LONG_MS, &lock));
    ck_assert_uint_gt(lock.fence, shared->last_fence);
    OK(mlkv_lock_release(db, key, &lock));
    verify_all(db);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

typedef struct {
    mlkv *db;
    int result;
    mlkv_lock lock;
} waiter;

static void *acquire(void *argument)
{
    waiter *self = argument;
    self->result = mlkv_lock_acquire(self->db, TEXT("lock"), 0, LONG_MS, &self->lock);
    return NULL;
}

START_TEST(a_release_wakes_a_waiter)
{
    mlkv *db = memory_store();
    mlkv_lock lock;
    waiter self = {.db = db};
    pthread_t thread;
    OK(mlkv_lock_acquire(db, TEXT("lock"), 0, 0, &lock));
    ck_assert_int_eq(pthread_create(&thread, NULL, acquire, &self), 0);
    clock_sleep_us(20000);
    OK(mlkv_lock_release(db, TEXT("lock"), &lock));
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    OK(self.result);
    OK(mlkv_lock_release(db, TEXT("lock"), &self.lock));
    OK(mlkv_close(db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("types/lease");
    TCase *tcase = harness_case(suite, "lease");
    tcase_add_test(tcase, one_holder_at_a_time);
    tcase_add_test(tcase, a_lease_ends);
    tcase_add_test(tcase, misuse);
    tcase_add_test(tcase, processes_exclude_each_other);
    tcase_add_test(tcase, a_dead_holder_frees_the_lock);
    tcase_add_test(tcase, a_release_wakes_a_waiter);
    return harness_run(suite);
}
