/* test_lock.c - shared locks exclude threads and processes, outlive their owners, and never wait
 * for ever. */
#include "base/lock.h"

#include "base/clock.h"
#include "harness.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

/* What the processes of a test share. */
typedef struct {
    shared_lock lock;
    int ready;           /* a child says how far it is */
    uint64_t guarded[2]; /* equal whenever the lock is free */
    uint64_t repairs;
} shared_memory;

enum { LONG_MS = 60000 };

static shared_memory *map_shared(void)
{
    shared_memory *memory =
        mmap(NULL, sizeof *memory, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(memory, MAP_FAILED);
    OK(shared_lock_init(&memory->lock));
    return memory;
}

static void wait_ready(const shared_memory *memory, int ready)
{
    while (__atomic_load_n(&memory->ready, __ATOMIC_ACQUIRE) < ready)
        clock_sleep_us(200);
}

static void become_ready(shared_memory *memory, int ready)
{
    __atomic_store_n(&memory->ready, ready, __ATOMIC_RELEASE);
}

/* A child that takes the lock and holds it until it is killed. */
static pid_t fork_holder(shared_memory *memory)
{
    pid_t child = harness_fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        if (shared_lock_take(&memory->lock, LONG_MS) != LOCK_TAKEN)
            _exit(1);
        become_ready(memory, 1);
        for (;;)
            pause();
    }
    wait_ready(memory, 1);
    return child;
}

static void kill_child(pid_t child)
{
    int status = 0;
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status));
}

START_TEST(take_and_release)
{
    shared_memory *memory = map_shared();
    for (int i = 0; i < 100; i++) {
        MUST(LOCK_TAKEN, shared_lock_take(&memory->lock, i % 2 == 0 ? 0 : 100));
        shared_lock_release(&memory->lock);
        MUST(LOCK_TAKEN, shared_lock_try(&memory->lock));
        shared_lock_release(&memory->lock);
    }
}
END_TEST

START_TEST(same_thread_is_told)
{
    shared_memory *memory = map_shared();
    MUST(LOCK_TAKEN, shared_lock_take(&memory->lock, 0));
    MUST(MLKV_E_BUSY, shared_lock_take(&memory->lock, LONG_MS));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "this thread"));
    MUST(MLKV_E_BUSY, shared_lock_try(&memory->lock));
    shared_lock_release(&memory->lock);
    MUST(LOCK_TAKEN, shared_lock_take(&memory->lock, 0));
    shared_lock_release(&memory->lock);
}
END_TEST

START_TEST(time_is_up)
{
    shared_memory *memory = map_shared();
    pid_t child = fork_holder(memory);
    MUST(MLKV_E_BUSY, shared_lock_try(&memory->lock));
    ck_assert_str_eq(mlkv_error_detail(), "");
    MUST(MLKV_E_BUSY, shared_lock_take(&memory->lock, 0));
    uint64_t start = clock_monotonic_ns();
    MUST(MLKV_E_BUSY, shared_lock_take(&memory->lock, 50));
    ck_assert_uint_ge(clock_monotonic_ns() - start,
                      50000000U); /* more than two slices, and not less than was asked */
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "50 ms"));
    kill_child(child);
}
END_TEST

/* Fails under I04-lock-stays-with-the-dead of tests/broken. */
START_TEST(owner_died)
{
    shared_memory *memory = map_shared();
    for (int i = 0; i < 3; i++) {
        become_ready(memory, 0);
        kill_child(fork_holder(memory));
        MUST(LOCK_OWNER_DIED,
             i == 1 ? shared_lock_try(&memory->lock) : shared_lock_take(&memory->lock, LONG_MS));
        shared_lock_release(&memory->lock);
        MUST(LOCK_TAKEN, shared_lock_take(&memory->lock, 0)); /* told once */
        shared_lock_release(&memory->lock);
    }
}
END_TEST

/* A repairer that is killed before it is done makes the next one the repairer. */
START_TEST(repairer_died_too)
{
    shared_memory *memory = map_shared();
    kill_child(fork_holder(memory));
    become_ready(memory, 0);
    pid_t child = harness_fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        become_ready(memory, shared_lock_take(&memory->lock, LONG_MS) == LOCK_OWNER_DIED ? 1 : 2);
        for (;;)
            pause();
    }
    wait_ready(memory, 1);
    ck_assert_int_eq(memory->ready, 1);
    kill_child(child);
    MUST(LOCK_OWNER_DIED, shared_lock_take(&memory->lock, LONG_MS));
    shared_lock_release(&memory->lock);
}
END_TEST

/* The owner dies while somebody sleeps for the lock. */
START_TEST(owner_dies_during_a_wait)
{
    shared_memory *memory = map_shared();
    pid_t holder = fork_holder(memory);
    pid_t waiter = harness_fork();
    ck_assert_int_ge(waiter, 0);
    if (waiter == 0) {
        become_ready(memory, 2);
        int result = shared_lock_take(&memory->lock, LONG_MS);
        if (result >= 0)
            shared_lock_release(&memory->lock);
        _exit(result == LOCK_OWNER_DIED ? 0 : 1);
    }
    wait_ready(memory, 2);
    clock_sleep_us(30000);
    kill_child(holder);
    int status = 0;
    ck_assert_int_eq(waitpid(waiter, &status, 0), waiter);
    ck_assert_int_eq(status, 0);
}
END_TEST

static void *take_and_end(void *lock)
{
    return shared_lock_take(lock, 0) == LOCK_TAKEN ? NULL : lock;
}

START_TEST(thread_that_ends_is_a_dead_owner)
{
    shared_memory *memory = map_shared();
    pthread_t thread;
    void *failed = NULL;
    ck_assert_int_eq(pthread_create(&thread, NULL, take_and_end, &memory->lock), 0);
    ck_assert_int_eq(pthread_join(thread, &failed), 0);
    ck_assert_ptr_null(failed);
    MUST(LOCK_OWNER_DIED, shared_lock_take(&memory->lock, LONG_MS));
    shared_lock_release(&memory->lock);
}
END_TEST

START_TEST(not_recoverable)
{
    shared_memory *memory = map_shared();
    kill_child(fork_holder(memory));
    /* a taker that releases without pthread_mutex_consistent makes it unusable for ever */
    ck_assert_int_eq(pthread_mutex_lock(&memory->lock.mutex), EOWNERDEAD);
    ck_assert_int_eq(pthread_mutex_unlock(&memory->lock.mutex), 0);
    MUST(MLKV_E_IO, shared_lock_take(&memory->lock, 10));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "not recoverable"));
    /* glibc may leave the word of such a mutex taken: then it is busy for ever, which is an error
     * as well */
    ck_assert_int_lt(shared_lock_try(&memory->lock), 0);
    OK(shared_lock_init(&memory->lock));
    MUST(LOCK_TAKEN, shared_lock_take(&memory->lock, 10));
    shared_lock_release(&memory->lock);
}
END_TEST

enum { COUNTERS = 4, COUNTS = 20000 };

/* Raises both numbers under the lock. False if the lock failed or they differed. */
static bool count(shared_memory *memory, int times)
{
    for (int i = 0; i < times; i++) {
        if (shared_lock_take(&memory->lock, LONG_MS) != LOCK_TAKEN)
            return false;
        bool equal = memory->guarded[0] == memory->guarded[1];
        memory->guarded[0]++;
        memory->guarded[1]++;
        shared_lock_release(&memory->lock);
        if (!equal)
            return false;
    }
    return true;
}

static void *count_thread(void *memory)
{
    return count(memory, COUNTS) ? NULL : memory;
}

START_TEST(threads_exclude_each_other)
{
    shared_memory *memory = map_shared();
    pthread_t threads[COUNTERS];
    for (int i = 0; i < COUNTERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, count_thread, memory), 0);
    for (int i = 0; i < COUNTERS; i++) {
        void *failed = NULL;
        ck_assert_int_eq(pthread_join(threads[i], &failed), 0);
        ck_assert_ptr_null(failed);
    }
    ck_assert_uint_eq(memory->guarded[0], COUNTERS * COUNTS);
}
END_TEST

START_TEST(processes_exclude_each_other)
{
    shared_memory *memory = map_shared();
    pid_t children[COUNTERS];
    for (int i = 0; i < COUNTERS; i++) {
        children[i] = harness_fork();
        ck_assert_int_ge(children[i], 0);
        if (children[i] == 0)
            _exit(count(memory, COUNTS) ? 0 : 1);
    }
    for (int i = 0; i < COUNTERS; i++) {
        int status = 0;
        ck_assert_int_eq(waitpid(children[i], &status, 0), children[i]);
        ck_assert_int_eq(status, 0);
    }
    ck_assert_uint_eq(memory->guarded[0], COUNTERS * COUNTS);
}
END_TEST

/* Counts for ever, repairing what a dead owner left half done. */
static void count_and_repair(shared_memory *memory)
{
    for (;;) {
        int result = shared_lock_take(&memory->lock, LONG_MS);
        if (result < 0)
            _exit(1);
        if (result == LOCK_OWNER_DIED) {
            memory->guarded[1] = memory->guarded[0];
            memory->repairs++;
        }
        if (memory->guarded[0] != memory->guarded[1])
            _exit(2);
        memory->guarded[0]++;
        sched_yield(); /* a likely place to be killed at */
        memory->guarded[1]++;
        shared_lock_release(&memory->lock);
    }
}

/* Children that all use the lock are killed at random; the last one and the parent always get it in
 * the end. */
START_TEST(storm)
{
    shared_memory *memory = map_shared();
    pid_t children[3];
    for (int i = 0; i < 3; i++)
        children[i] = 0;
    for (int round = 0; round < 150; round++) {
        int i = round % 3;
        if (children[i] != 0)
            kill_child(children[i]);
        children[i] = harness_fork();
        ck_assert_int_ge(children[i], 0);
        if (children[i] == 0)
            count_and_repair(memory);
        clock_sleep_us((uint32_t)(round * 37 % 1500));
    }
    for (int i = 0; i < 3; i++)
        kill_child(children[i]);
    int result = shared_lock_take(&memory->lock, LONG_MS);
    ck_assert_int_ge(result, 0);
    if (result == LOCK_TAKEN)
        ck_assert_uint_eq(memory->guarded[0], memory->guarded[1]);
    shared_lock_release(&memory->lock);
    ck_assert_uint_gt(memory->guarded[0], 0);
}
END_TEST

START_TEST(thread_locks)
{
    pthread_mutex_t lock;
    lock_init(&lock);
    lock_take(&lock);
    lock_release(&lock);
    ck_assert(lock_try(&lock));
    ck_assert(!lock_try(&lock));
    lock_release(&lock);
    lock_destroy(&lock);
}
END_TEST

#ifdef MLKV_FAULTS
START_TEST(misuse_aborts)
{
    pthread_mutex_t lock;
    lock_init(&lock);
    fclose(stderr);
    lock_release(&lock);
}
END_TEST
#endif

START_TEST(cancelling)
{
    int outer = cancel_disable();
    int inner = cancel_disable();
    ck_assert_int_eq(outer, PTHREAD_CANCEL_ENABLE);
    ck_assert_int_eq(inner, PTHREAD_CANCEL_DISABLE);
    cancel_restore(inner);
    int state = 0;
    ck_assert_int_eq(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state), 0);
    ck_assert_int_eq(state, PTHREAD_CANCEL_DISABLE);
    cancel_restore(outer);
    ck_assert_int_eq(pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state), 0);
    ck_assert_int_eq(state, PTHREAD_CANCEL_ENABLE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lock");
    TCase *tcase = harness_case(suite, "shared");
    tcase_add_test(tcase, take_and_release);
    tcase_add_test(tcase, same_thread_is_told);
    tcase_add_test(tcase, time_is_up);
    tcase_add_test(tcase, owner_died);
    tcase_add_test(tcase, repairer_died_too);
    tcase_add_test(tcase, owner_dies_during_a_wait);
    tcase_add_test(tcase, thread_that_ends_is_a_dead_owner);
    tcase_add_test(tcase, not_recoverable);
    tcase_add_test(tcase, threads_exclude_each_other);
    tcase_add_test(tcase, processes_exclude_each_other);
    tcase_add_test(tcase, storm);
    tcase = harness_case(suite, "thread");
    tcase_add_test(tcase, thread_locks);
    tcase_add_test(tcase, cancelling);
#ifdef MLKV_FAULTS
    tcase_add_test_raise_signal(tcase, misuse_aborts, SIGABRT);
#endif
    return harness_run(suite);
}
