/* pool.h - a few threads that help callers with large work: n tasks, each run exactly once, by the
 * caller and by whoever is free.
 *
 * The caller always takes part and can finish alone, so nobody waits for a thread that is busy
 * elsewhere: any number of callers, and tasks that call pool_run themselves, end. Tasks must not wait
 * for each other. Threads start at the first work that is worth them.
 */
#ifndef MLKV_BASE_POOL_H
#define MLKV_BASE_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct pool pool;

/* The program's own threads, in place of ours: runs task(argument, i) for all i below n, in any
 * order, and returns when all have returned. */
typedef struct {
    void (*run)(void *context, void (*task)(void *argument, size_t i), void *argument, size_t n);
    void *context;
} pool_executor;

typedef int (*pool_task)(void *argument, size_t i); /* 0 or negative, with a detail (error.h) */

enum { POOL_THREADS_MAX = 256 };

/* threads: that work on one thing at once, the caller counted; 1: never another. executor: NULL or
 * {0}: threads of the pool. 0 or MLKV_E_MEMORY. */
int pool_create(unsigned threads, const pool_executor *executor, pool **ret_pool);
/* Nobody may be in pool_run. Waits for the threads' end. NULL accepted. */
void pool_destroy(pool *self);
/* In a forked child, in place of pool_destroy: the threads are not there. NULL accepted. */
void pool_forget(pool *self);
/* How many threads may work on one thing; 1 for NULL and in a forked child. */
unsigned pool_width(const pool *self);
/* How many threads of the pool's own have been started. */
unsigned pool_started(pool *self);
/* The processors that this process may use, at most 4. */
unsigned pool_default_threads(void);

/* Runs task(argument, i) for all i below n; bytes: what they read and write in all, from which
 * follows how many threads are worth it (below 1 MiB: none). locked: the executor is not asked,
 * because the caller holds a lock that its threads may be waiting for. If tasks fail, the result and
 * the detail are those of the one with the lowest i; all below it have run, of those above it some may
 * not have. self may be NULL: the caller does it all. */
int pool_run(pool *self, bool locked, uint64_t bytes, pool_task task, void *argument, size_t n);

#endif
