/* queue.h - a work queue for any number of processes: lease, acknowledge, retry. docs/work-queue.md explains it; copy queue.c and this
 * file into your program and change what you like. examples/work_queue.py is the same in Python, on the same keys.
 *
 * Results are those of mlkv: 0 done, MLKV_ABSENT, or a negative error. A queue is used by one thread at a time; each thread has its own,
 * on the same mlkv *.
 */
#ifndef QUEUE_H
#define QUEUE_H

#include <mlkv/mlkv.h>

/* Of a job's id and of a queue's name, their zero bytes included; what is longer is MLKV_E_SIZE. */
enum { QUEUE_ID_BYTES = 64, QUEUE_NAME_BYTES = 128 };

/* Start it as {.db = db, .name = "resize"}; what is 0 gets its default. */
typedef struct {
    mlkv *db;             /* a live view */
    const char *name;     /* its keys begin with it */
    int64_t lease_ms;     /* a job is its worker's for so long, unless renewed; default 30000 */
    int64_t attempts_max; /* so often a job is given out before it goes to NAME:dead; default 5 */
    int64_t look_ms;      /* so often claims look for jobs whose worker is gone; default 1000 */
    int64_t looked_ms;    /* when this one did so last; its own */
} queue;

/* A job that was claimed. Start it as {0}; queue_claim fills it, again and again; queue_job_free ends it. */
typedef struct {
    char id[QUEUE_ID_BYTES];
    mlkv_buffer payload;
    int64_t attempt; /* 1: nobody had it before */
    mlkv_lock lease; /* what shows that it is ours; lease.fence grows from claim to claim */
} queue_job;

/* Puts a job in. MLKV_ABSENT: a job of this id is known already, waiting or done; so a push that may have happened can be repeated. */
int queue_push(const queue *self, const char *id, mlkv_slice payload);

/* Takes the oldest job out, waiting for one for timeout_ms (0: not at all, negative: for ever). MLKV_ABSENT: the time is over. */
int queue_claim(queue *self, int64_t timeout_ms, queue_job *ret_job);

/* The lease begins anew. MLKV_ABSENT: it is lost; stop working on the job. */
int queue_renew(const queue *self, const queue_job *job);

/* Ends the job: the caller writes its results into *ret_transaction and commits it; until then nothing has happened. MLKV_ABSENT: the
 * lease is lost, somebody else does the job or has done it, and there is no transaction. */
int queue_finish(const queue *self, const queue_job *job, mlkv **ret_transaction);

/* queue_finish with one result, which goes into the hash NAME:results under the job's id. */
int queue_acknowledge(const queue *self, const queue_job *job, mlkv_slice result);

/* Gives the job back undone, for another attempt. MLKV_ABSENT: the lease is lost. */
int queue_release(const queue *self, const queue_job *job);

/* Gives back the jobs whose lease is over or whose worker has died; how many. Claims do it by themselves, every look_ms. */
int queue_reap(const queue *self, size_t *ret_count);

typedef struct {
    uint64_t ready, taken, done, dead;
} queue_counts;

/* How many jobs stand where, as of one moment. */
int queue_count(const queue *self, queue_counts *ret_counts);

void queue_job_free(queue_job *job);

#endif
