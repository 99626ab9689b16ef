/* compute_refresh.c - threads that compute keys anew before anybody has to wait for them.
 *
 * Bytes owned: a queue of jobs, each with its own copy of the key and the policy; view, function, context and counts are the
 * caller's, who closes the refresher before they end.
 *
 *   refresher_take --> waiting --a thread takes it--> running --> freed
 *                        \-- mlkv_refresher_close --> freed
 *
 * Invariants
 *   1. A key of a view is in the queue at most once, waiting or running.
 *   2. At most JOBS_MAX jobs wait; one too many is dropped: the key stays due, and a later hit brings it again.
 *   3. After a fork the child has the memory but no threads, and perhaps a lock that a thread held: it touches neither, and
 *      knows by its pid.
 * Locks: refresher.lock guards the queue; nothing is called while it is held.
 */
#include "types/compute.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/lock.h"
#include "types/argument.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { THREADS_MAX = 64, JOBS_MAX = 1024 };

typedef struct job {
    struct job *next;
    compute_call call; /* of which key is the copy below */
    mlkv_buffer key;
    uint64_t hash;
    bool running;
} job;

struct mlkv_refresher {
    pthread_mutex_t lock;
    pthread_cond_t wake, idle;
    job *first; /* waiting and running */
    job **end;
    size_t waiting, count;
    bool closing;
    pid_t pid;
    uint32_t thread_count;
    pthread_t threads[THREADS_MAX];
};

/* --- the queue --- */

static bool is_job(const job *self, const compute_call *call, uint64_t hash)
{
    return self->hash == hash && self->call.view == call->view &&
           slice_equal(slice_of_buffer(&self->key), call->key);
}

static void remove_job(mlkv_refresher *self, const job *done)
{
    job **link = &self->first;
    while (*link != done)
        link = &(*link)->next;
    *link = done->next;
    if (self->end == &done->next)
        self->end = link;
    self->count--;
}

static void free_job(job *self)
{
    mlkv_buffer_free(&self->key);
    free(self);
}

static job *make_job(const compute_call *call, uint64_t hash)
{
    job *self = calloc(1, sizeof *self);
    if (self == NULL)
        return NULL;
    if (buffer_assign(&self->key, call->key.data, call->key.size) != MLKV_OK) {
        free(self);
        return NULL;
    }
    self->hash = hash;
    self->call = (compute_call){.view = call->view,
                                .key = slice_of_buffer(&self->key),
                                .policy = call->policy,
                                .fn = call->fn,
                                .context = call->context};
    if (call->policy.counts == &call->nobodys)
        self->call.policy.counts = &self->call.nobodys;
    return self;
}

static bool stands_in_queue(const mlkv_refresher *self, const compute_call *call, uint64_t hash)
{
    const job *other = self->first;
    while (other != NULL && !is_job(other, call, hash))
        other = other->next;
    return other != NULL;
}

/* In a queue that lacks it. */
static void append_job(mlkv_refresher *self, job *added)
{
    *self->end = added;
    self->end = &added->next;
    self->waiting++;
    self->count++;
    (void)pthread_cond_signal(&self->wake);
}

bool refresher_take(mlkv_refresher *self, const compute_call *call)
{
    if (self->pid != getpid())
        return false;
    uint64_t hash = hash_key(call->key.data, call->key.size);
    lock_take(&self->lock);
    bool wanted = !self->closing && self->waiting < JOBS_MAX && !stands_in_queue(self, call, hash);
    lock_release(&self->lock);
    job *added = wanted ? make_job(call, hash) : NULL;
    if (added == NULL)
        return true;
    lock_take(&self->lock);
    wanted = !self->closing && self->waiting < JOBS_MAX && !stands_in_queue(self, call, hash);
    if (wanted)
        append_job(self, added);
    lock_release(&self->lock);
    if (!wanted)
        free_job(added);
    return true;
}

/* --- the threads --- */

/* The first job that waits, or NULL: the refresher is being closed. */
static job *next_job(mlkv_refresher *self)
{
    lock_take(&self->lock);
    while (self->waiting == 0 && !self->closing)
        (void)pthread_cond_wait(&self->wake, &self->lock);
    job *taken = self->closing ? NULL : self->first;
    while (taken != NULL && taken->running)
        taken = taken->next;
    if (taken != NULL) {
        taken->running = true;
        self->waiting--;
    }
    lock_release(&self->lock);
    return taken;
}

static void *refresher_main(void *argument)
{
    mlkv_refresher *self = argument;
    job *taken;
    while ((taken = next_job(self)) != NULL) {
        mlkv_buffer old = {0};
        taken->call.value = &old;
        (void)compute_anew(&taken->call); /* a failure is counted; the key stays due */
        mlkv_buffer_free(&old);
        lock_take(&self->lock);
        remove_job(self, taken);
        if (self->count == 0)
            (void)pthread_cond_broadcast(&self->idle);
        lock_release(&self->lock);
        free_job(taken);
    }
    return NULL;
}

/* Signals are the program's: its own threads take them. */
static int start_threads(mlkv_refresher *self, uint32_t threads)
{
    sigset_t all, before;
    int number = 0;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    while (number == 0 && self->thread_count < threads) {
        number = pthread_create(&self->threads[self->thread_count], NULL, refresher_main, self);
        self->thread_count += number == 0;
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return number == 0 ? MLKV_OK : error_set_system(number, "cannot start a refresher's thread");
}

static int make_conditions(mlkv_refresher *self)
{
    pthread_condattr_t attributes;
    int number = pthread_condattr_init(&attributes);
    if (number == 0)
        number = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    if (number == 0)
        number = pthread_cond_init(&self->wake, &attributes);
    if (number == 0)
        number = pthread_cond_init(&self->idle, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    return number == 0 ? MLKV_OK : error_set_system(number, "cannot make a condition");
}

/* --- the calls --- */

int mlkv_refresher_open(uint32_t threads, mlkv_refresher **ret_refresher)
{
    if (threads == 0 || threads > THREADS_MAX)
        return error_set(MLKV_E_ARGUMENT, "%u threads of a refresher; 1 to %d are possible",
                         threads, THREADS_MAX);
    int result = argument_pointer(ret_refresher, "ret_refresher");
    if (result != MLKV_OK)
        return result;
    mlkv_refresher *self = calloc(1, sizeof *self);
    if (self == NULL)
        return error_set_memory("a refresher");
    self->end = &self->first;
    self->pid = getpid();
    lock_init(&self->lock);
    result = make_conditions(self);
    if (result == MLKV_OK)
        result = start_threads(self, threads);
    if (result != MLKV_OK)
        mlkv_refresher_close(self);
    else
        *ret_refresher = self;
    return result;
}

int mlkv_refresher_wait(mlkv_refresher *self, int64_t timeout_ms)
{
    struct timespec until;
    int number = 0;
    int result = argument_pointer(self, "refresher");
    if (result != MLKV_OK || self->pid != getpid())
        return result;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(timeout_ms / 1000);
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    lock_take(&self->lock);
    while (self->count != 0 && number == 0)
        number = timeout_ms < 0 ? pthread_cond_wait(&self->idle, &self->lock)
                                : pthread_cond_timedwait(&self->idle, &self->lock, &until);
    bool idle = self->count == 0;
    lock_release(&self->lock);
    return idle ? MLKV_OK : MLKV_ABSENT;
}

void mlkv_refresher_close(mlkv_refresher *self)
{
    if (self == NULL || self->pid != getpid())
        return; /* of a forked child it is a copy: its lock may be held for ever */
    lock_take(&self->lock);
    self->closing = true;
    (void)pthread_cond_broadcast(&self->wake);
    lock_release(&self->lock);
    for (uint32_t i = 0; i < self->thread_count; i++)
        (void)pthread_join(self->threads[i], NULL);
    for (job *left = self->first, *next; left != NULL; left = next) {
        next = left->next;
        free_job(left);
    }
    (void)pthread_cond_destroy(&self->wake);
    (void)pthread_cond_destroy(&self->idle);
    lock_destroy(&self->lock);
    free(self);
}
