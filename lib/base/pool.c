/* pool.c - work shared by a few threads.
 *
 * Work is a `job` on its caller's stack, in a list while it has tasks that nobody has begun. Who takes part (the caller, threads of the
 * pool, or of the program through its executor) takes the next number until there is none.
 *
 *   caller: list the job, wake threads, take part, take the job off the list, wait until those inside have left
 *   thread: sleep until a job is listed; enter it, take part, leave it
 *
 * Invariants:
 *  1. Each number below n is taken once: `next` is only raised by atomic additions.
 *  2. A thread is inside a job only between entering and leaving under the lock; it enters only jobs that are listed. So a job that is off
 *     the list and has nobody inside is the caller's alone again.
 *  3. Numbers are taken in ascending order, and one that is above a failed one is dropped. So the lowest that fails is always run,
 *     whoever else fails, and what is reported does not depend on the threads.
 *  4. Who waits has run all that he could; those inside wait only for jobs that were made inside it. So everybody ends.
 *
 * Fork: a child has none of the threads, perhaps with the lock held by one. The pool knows the process that made it; in any other it is
 * no more than a loop, and only pool_forget ends it.
 *
 * Locks: the pool's, for list, counts and failures; nothing is called under it but pthread_create. None is held while a task runs.
 */
#include "base/pool.h"

#include "base/error.h"
#include "base/lock.h"

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    BYTES_A_THREAD =
        512 << 10,           /* some 200 us of decoding, ten times what it costs to wake a thread */
    DEFAULT_THREADS_MAX = 4, /* more is the program's to say: it has threads of its own */
    DETAIL_SIZE = 512,
};

typedef struct job {
    pool *owner;
    pool_task task;
    void *argument;
    size_t n;
    _Atomic size_t next;
    _Atomic size_t
        failed; /* the lowest number that failed; SIZE_MAX: none. Written under the lock */
    int result; /* of that one, as is the detail; under the lock */
    char detail[DETAIL_SIZE];
    unsigned inside;           /* threads of the pool; under the lock */
    struct job *later, **link; /* the list; under the lock */
} job;

struct pool {
    pid_t process;
    unsigned width;
    pool_executor executor;
    pthread_mutex_t lock;
    pthread_cond_t wake, left; /* for threads: a job was listed; for callers: somebody left one */
    job *jobs, **jobs_end;
    unsigned started, asleep;
    bool stopping;
    pthread_t threads[]; /* width - 1 */
};

static _Thread_local bool in_executor; /* this thread runs a task for the program's executor */

unsigned pool_default_threads(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set)
                                                            : (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (count < 1)
        return 1;
    return count < DEFAULT_THREADS_MAX ? (unsigned)count : DEFAULT_THREADS_MAX;
}

int pool_create(unsigned threads, const pool_executor *executor, pool **ret_pool)
{
    unsigned width = threads < 1 ? 1 : threads > POOL_THREADS_MAX ? POOL_THREADS_MAX : threads;
    pool *self = calloc(1, sizeof *self + (width - 1) * sizeof self->threads[0]);
    if (self == NULL)
        return error_set_memory("a pool of threads");
    self->process = getpid();
    self->width = width;
    if (executor != NULL)
        self->executor = *executor;
    self->jobs_end = &self->jobs;
    lock_init(&self->lock);
    int number = pthread_cond_init(&self->wake, NULL);
    if (number == 0 && (number = pthread_cond_init(&self->left, NULL)) != 0)
        (void)pthread_cond_destroy(&self->wake);
    if (number != 0) {
        lock_destroy(&self->lock);
        free(self);
        return error_set_system(number, "cannot make a pool of threads");
    }
    *ret_pool = self;
    return 0;
}

void pool_destroy(pool *self)
{
    if (self == NULL)
        return;
    lock_take(&self->lock);
    self->stopping = true;
    (void)pthread_cond_broadcast(&self->wake);
    lock_release(&self->lock);
    for (unsigned i = 0; i < self->started; i++)
        (void)pthread_join(self->threads[i], NULL);
    (void)pthread_cond_destroy(&self->wake);
    (void)pthread_cond_destroy(&self->left);
    lock_destroy(&self->lock);
    free(self);
}

void pool_forget(pool *self)
{
    free(self);
}

static bool is_here(const pool *self)
{
    return self != NULL && self->process == getpid();
}

unsigned pool_width(const pool *self)
{
    return is_here(self) ? self->width : 1;
}

unsigned pool_started(pool *self)
{
    lock_take(&self->lock);
    unsigned started = self->started;
    lock_release(&self->lock);
    return started;
}

/* --- a job --- */

static void note_failure(job *self, size_t i, int result)
{
    lock_take(&self->owner->lock);
    if (i < atomic_load_explicit(&self->failed, memory_order_relaxed)) {
        self->result = result;
        (void)snprintf(self->detail, sizeof self->detail, "%s", mlkv_error_detail());
        atomic_store_explicit(&self->failed, i, memory_order_relaxed);
    }
    lock_release(&self->owner->lock);
}

static void take_part(job *self)
{
    int state = cancel_disable();
    for (;;) {
        size_t i = atomic_fetch_add_explicit(&self->next, 1, memory_order_relaxed);
        if (i >= self->n || i > atomic_load_explicit(&self->failed, memory_order_relaxed))
            break;
        int result = self->task(self->argument, i);
        if (result < 0)
            note_failure(self, i, result);
    }
    cancel_restore(state);
}

/* After a failure all that is left is dropped. */
static bool has_tasks(const job *self)
{
    return atomic_load_explicit(&self->next, memory_order_relaxed) < self->n &&
           atomic_load_explicit(&self->failed, memory_order_relaxed) == SIZE_MAX;
}

static void list(pool *self, job *work)
{
    work->later = NULL;
    work->link = self->jobs_end;
    *self->jobs_end = work;
    self->jobs_end = &work->later;
}

static void unlist(pool *self, job *work)
{
    *work->link = work->later;
    if (work->later != NULL)
        work->later->link = work->link;
    else
        self->jobs_end = work->link;
}

/* --- the threads --- */

static void *thread_main(void *argument)
{
    pool *self = argument;
    lock_take(&self->lock);
    while (!self->stopping) {
        job *work = self->jobs;
        while (work != NULL && !has_tasks(work))
            work = work->later;
        if (work == NULL) {
            self->asleep++;
            (void)pthread_cond_wait(&self->wake, &self->lock);
            self->asleep--;
            continue;
        }
        work->inside++;
        lock_release(&self->lock);
        take_part(work);
        lock_take(&self->lock);
        if (--work->inside == 0)
            (void)pthread_cond_broadcast(&self->left);
    }
    lock_release(&self->lock);
    return NULL;
}

/* One thread more, which takes no signals: they are the program's. If the system refuses it, there are fewer. */
static bool start_locked(pool *self)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int number = pthread_create(&self->threads[self->started], NULL, thread_main, self);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    self->started += number == 0;
    return number == 0;
}

/* Sees to it that `helpers` threads look for work soon, if so many can be had. */
static void call_locked(pool *self, unsigned helpers)
{
    unsigned woken = helpers < self->asleep ? helpers : self->asleep;
    for (unsigned i = 0; i < woken; i++)
        (void)pthread_cond_signal(&self->wake);
    while (woken < helpers && self->started < self->width - 1 && start_locked(self))
        woken++;
}

/* --- running --- */

static int run_alone(pool_task task, void *argument, size_t n)
{
    int result = 0;
    for (size_t i = 0; i < n && result >= 0; i++)
        result = task(argument, i);
    return result < 0 ? result : 0;
}

static void run_with_threads(pool *self, job *work, unsigned helpers)
{
    lock_take(&self->lock);
    list(self, work);
    call_locked(self, helpers);
    lock_release(&self->lock);
    take_part(work);
    lock_take(&self->lock);
    unlist(self, work);
    while (work->inside != 0)
        (void)pthread_cond_wait(&self->left, &self->lock);
    lock_release(&self->lock);
}

static void executor_task(void *argument, size_t i)
{
    (void)i; /* each takes what is left */
    bool before = in_executor;
    in_executor = true;
    take_part(argument);
    in_executor = before;
}

static void run_with_executor(pool *self, job *work, unsigned helpers)
{
    self->executor.run(self->executor.context, executor_task, work, (size_t)helpers + 1);
    take_part(work); /* whatever it left out */
}

/* How many others are worth calling. */
static unsigned helpers_for(const pool *self, bool locked, uint64_t bytes, size_t n)
{
    uint64_t worth = bytes / BYTES_A_THREAD;
    if (self == NULL || self->width == 1 || worth < 2 || n < 2 || !is_here(self) ||
        (self->executor.run != NULL && (locked || in_executor)))
        return 0;
    if (worth > self->width)
        worth = self->width;
    return (unsigned)(n < worth ? n : worth) - 1;
}

int pool_run(pool *self, bool locked, uint64_t bytes, pool_task task, void *argument, size_t n)
{
    unsigned helpers = helpers_for(self, locked, bytes, n);
    if (helpers == 0)
        return run_alone(task, argument, n);
    job work = {.owner = self, .task = task, .argument = argument, .n = n, .failed = SIZE_MAX};
    if (self->executor.run != NULL)
        run_with_executor(self, &work, helpers);
    else
        run_with_threads(self, &work, helpers);
    return work.result == 0 ? 0 : error_set(work.result, "%s", work.detail);
}
