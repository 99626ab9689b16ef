/* lock.c - taking locks, with all that can go wrong between processes.
 *
 * A shared lock is a robust, process-shared, error-checking pthread mutex in shared memory. How it
 * is waited for:
 *
 *   try, spin (some microseconds: most holds are shorter), yield a few times, then sleep in slices
 * of 20 ms until time is up
 *
 * The slices are there because a wake-up can be lost: a holder that releases wakes one waiter
 * through the futex, and if that one is killed before it has run, the others sleep on although the
 * lock is free. After a slice each of them looks again.
 *
 * Invariants:
 *  1. Whoever takes a lock from a dead owner marks it consistent at once, and must repair what it
 * guards before releasing it; dying in between makes the next taker the repairer.
 *  2. No wait is longer than the caller's timeout and a scheduling delay.
 *  3. A thread that holds the lock already is told so (MLKV_E_BUSY), never deadlocked.
 *
 * Thread locks are error-checking in test builds, so that a wrong use aborts, and adaptive
 * otherwise, so that short holds are spun for.
 */
#include "base/lock.h"

#include "base/clock.h"
#include "base/error.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Pauses double up to SPIN_PAUSE_MAX between tries: a try writes the lock's cache line, which the
 * holder needs. In all some 250 pauses: 3 us (40 cycles each) to 10 us (140 cycles, Skylake and
 * later). */
enum { SPIN_PAUSE_MAX = 64, SPIN_PAUSE_TOTAL = 256, YIELD_COUNT = 4 };

static const uint64_t slice_ns = 20U * 1000U * 1000U;

int shared_lock_init(shared_lock *lock)
{
    pthread_mutexattr_t attributes;
    int error = pthread_mutexattr_init(&attributes);
    if (error != 0)
        return error_set_system(error, "making the attributes of a shared lock");
    error = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    if (error == 0)
        error = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    if (error == 0)
        error = pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
    if (error == 0)
        error = pthread_mutex_init(&lock->mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
    return error == 0 ? 0 : error_set_system(error, "making a shared lock");
}

/* What an attempt's errno comes to, without a detail. EBUSY and ETIMEDOUT: MLKV_E_BUSY. */
static int attempt_result(shared_lock *lock, int error)
{
    switch (error) {
    case 0:
        return LOCK_TAKEN;
    case EOWNERDEAD:
        return pthread_mutex_consistent(&lock->mutex) == 0 ? LOCK_OWNER_DIED : MLKV_E_IO;
    case EBUSY:
    case ETIMEDOUT:
    case EDEADLK:
    case EAGAIN:
        return MLKV_E_BUSY;
    default:
        return MLKV_E_IO;
    }
}

int shared_lock_try(shared_lock *lock)
{
    int result = attempt_result(lock, pthread_mutex_trylock(&lock->mutex));
    if (result == MLKV_E_IO)
        (void)error_set(result, "the bytes of a shared lock are broken");
    return result;
}

/* Tries for some microseconds. The errno of the last try: EBUSY if the lock stayed taken. */
static int spin(shared_lock *lock)
{
    int error = pthread_mutex_trylock(&lock->mutex);
    int pauses = 1;
    for (int spent = 0; error == EBUSY && spent < SPIN_PAUSE_TOTAL; spent += pauses) {
        for (int i = 0; i < pauses; i++)
            lock_pause();
        if (pauses < SPIN_PAUSE_MAX)
            pauses *= 2;
        error = pthread_mutex_trylock(&lock->mutex);
    }
    for (int i = 0; error == EBUSY && i < YIELD_COUNT; i++) {
        sched_yield();
        error = pthread_mutex_trylock(&lock->mutex);
    }
    return error;
}

#if defined(__SANITIZE_THREAD__)
#define THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREAD_SANITIZER 1
#endif
#endif

/* Sleeps for the lock until then at the latest. ETIMEDOUT: not had. */
static int sleep_until(pthread_mutex_t *lock, uint64_t until_ns)
{
#ifdef THREAD_SANITIZER
    /* it knows nothing of pthread_mutex_clocklock and would take every holder for an intruder */
    int error = pthread_mutex_trylock(lock);
    for (; error == EBUSY && clock_monotonic_ns() < until_ns; error = pthread_mutex_trylock(lock))
        clock_sleep_us(100);
    return error == EBUSY ? ETIMEDOUT : error;
#else
    struct timespec until = {
        .tv_sec = (time_t)(until_ns / 1000000000U),
        .tv_nsec = (long)(until_ns % 1000000000U),
    };
    return pthread_mutex_clocklock(lock, CLOCK_MONOTONIC, &until);
#endif
}

/* Sleeps for the lock, a slice at a time, until the deadline. */
static int wait_in_slices(shared_lock *lock, uint64_t deadline_ns)
{
    int error = ETIMEDOUT;
    for (uint64_t now_ns = clock_monotonic_ns(); error == ETIMEDOUT && now_ns < deadline_ns;
         now_ns = clock_monotonic_ns()) {
        uint64_t until_ns = deadline_ns - now_ns > slice_ns ? now_ns + slice_ns : deadline_ns;
        error = sleep_until(&lock->mutex, until_ns);
    }
    return error;
}

int shared_lock_take(shared_lock *lock, uint32_t timeout_ms)
{
    int error = pthread_mutex_trylock(&lock->mutex);
    if (error == EBUSY && timeout_ms != 0) {
        uint64_t deadline_ns = clock_monotonic_ns() + (uint64_t)timeout_ms * 1000000U;
        error = spin(lock);
        if (error == EBUSY)
            error = wait_in_slices(lock, deadline_ns);
    }
    int result = attempt_result(lock, error);
    if (error == EDEADLK)
        return error_set(result, "this thread holds the shared lock already");
    if (result == MLKV_E_BUSY)
        return error_set(result, "a shared lock was not to be had within %u ms",
                         (unsigned)timeout_ms);
    if (result == MLKV_E_IO)
        return error_set(result, "the bytes of a shared lock are broken (%s)",
                         error == ENOTRECOVERABLE ? "not recoverable" : "invalid");
    return result;
}

/* A thread's lock failed: a bug of ours (taken twice, released by another, destroyed while held).
 */
static void require(int error, const char *what)
{
    if (error == 0)
        return;
    fprintf(stderr, "libmlkv: %s failed (error %d)\n", what, error);
    abort();
}

void shared_lock_release(shared_lock *lock)
{
    int error = pthread_mutex_unlock(&lock->mutex);
#ifdef MLKV_FAULTS
    require(error, "releasing a shared lock");
#else
    /* Its bytes are shared: another process may have broken them, and takers are told so. That is
     * no reason to end this one. */
    (void)error;
#endif
}

void lock_init(pthread_mutex_t *lock)
{
    pthread_mutexattr_t attributes;
    require(pthread_mutexattr_init(&attributes), "making a lock's attributes");
#ifdef MLKV_FAULTS
    require(pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK),
            "setting a lock's type");
#else
    require(pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ADAPTIVE_NP),
            "setting a lock's type");
#endif
    require(pthread_mutex_init(lock, &attributes), "making a lock");
    pthread_mutexattr_destroy(&attributes);
}

void lock_take(pthread_mutex_t *lock)
{
    require(pthread_mutex_lock(lock), "taking a lock");
}

bool lock_try(pthread_mutex_t *lock)
{
    int error = pthread_mutex_trylock(lock);
    if (error == EBUSY)
        return false;
    require(error, "trying a lock");
    return true;
}

bool lock_take_within(pthread_mutex_t *lock, uint32_t timeout_ms)
{
    if (lock_try(lock))
        return true;
    int error = sleep_until(lock, clock_monotonic_ns() + (uint64_t)timeout_ms * 1000000U);
    if (error == ETIMEDOUT)
        return false;
    require(error, "waiting for a lock");
    return true;
}

void lock_release(pthread_mutex_t *lock)
{
    require(pthread_mutex_unlock(lock), "releasing a lock");
}

void lock_destroy(pthread_mutex_t *lock)
{
    require(pthread_mutex_destroy(lock), "destroying a lock");
}

int cancel_disable(void)
{
    int state = PTHREAD_CANCEL_ENABLE;
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    return state;
}

void cancel_restore(int state)
{
    (void)pthread_setcancelstate(state, NULL);
}
