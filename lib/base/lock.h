/* lock.h - the two kinds of lock: a thread's (within a process) and a shared one (robust, between processes, in shared memory).
 *
 * A shared lock's owner may die at any instruction; the next taker learns that (LOCK_OWNER_DIED), repairs what the lock guards and
 * goes on. glibc's robust mutex loses a wake-up when the woken waiter is killed before it runs, so waits are made in slices of 20 ms.
 * The wait spins first.
 */
#ifndef MLKV_BASE_LOCK_H
#define MLKV_BASE_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    pthread_mutex_t mutex; /* PTHREAD_MUTEX_ROBUST, PROCESS_SHARED, ERRORCHECK */
} shared_lock;

enum { LOCK_TAKEN = 0, LOCK_OWNER_DIED = 1 }; /* negative: an MLKV_E_ code */

/* Makes a lock in zeroed shared memory. */
int shared_lock_init(shared_lock *lock);

/* Takes it within timeout_ms. LOCK_TAKEN; LOCK_OWNER_DIED: taken, already marked consistent, but the caller must repair what it guards;
 * MLKV_E_BUSY: time is up, or this thread holds it already; MLKV_E_IO: the lock's bytes are broken. */
int shared_lock_take(shared_lock *lock, uint32_t timeout_ms);

/* Takes it only if that needs no wait: LOCK_TAKEN, LOCK_OWNER_DIED, MLKV_E_BUSY (no error detail is set then). */
int shared_lock_try(shared_lock *lock);

void shared_lock_release(shared_lock *lock);

/* Thread locks cannot fail but by our own bug: these abort then. */
void lock_init(pthread_mutex_t *lock);
void lock_take(pthread_mutex_t *lock);
bool lock_try(pthread_mutex_t *lock);
/* False: not had within timeout_ms. */
bool lock_take_within(pthread_mutex_t *lock, uint32_t timeout_ms);
void lock_release(pthread_mutex_t *lock);
void lock_destroy(pthread_mutex_t *lock);

/* One pause in a spin loop. */
static inline void lock_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    __asm__ volatile("" ::: "memory");
#endif
}

/* R10: no thread is cancelled inside the library. Returns the state for cancel_restore. */
int cancel_disable(void);
void cancel_restore(int state);

#endif
