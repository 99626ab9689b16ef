/* queue.c - see queue.h.
 *
 * Keys
 *   NAME:ready     list: ids of the jobs that wait, the oldest on the left
 *   NAME:taken     set: ids of the jobs that workers have
 *   NAME:lease:ID  lock: the worker's claim on one of them. It ends with its lease, and with the process that took it
 *   NAME:job:ID    hash: payload, attempts; as long as the job is not done
 *   NAME:results   hash: id -> result
 *   NAME:dead      list: ids of the jobs that were given out too often; their hash stays
 *
 * Invariants, at every moment, because each call is one transaction
 *   1. A job that was pushed stands in one of ready, taken, results (or what the caller keeps instead of it), dead.
 *   2. Who has the lease has the job. Only with it is a result written, and the lease goes in the same transaction.
 *   3. A job in taken without a lease belongs to nobody: whoever sees it first gives it back.
 */
#include "queue.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    KEY_BYTES = QUEUE_NAME_BYTES + QUEUE_ID_BYTES + 16,
    LEASE_MS = 30000,
    ATTEMPTS_MAX = 5,
    LOOK_MS = 1000
};

static mlkv_slice text(const char *string)
{
    return (mlkv_slice){string, strlen(string)};
}

/* NAME:PART or NAME:PART:ID. */
static mlkv_slice key(char room[KEY_BYTES], const queue *self, const char *part, mlkv_slice id)
{
    int size = snprintf(room, KEY_BYTES, "%s:%s%s%.*s", self->name, part, id.size > 0 ? ":" : "",
                        (int)id.size, id.size > 0 ? (const char *)id.data : "");
    return (mlkv_slice){room, size < KEY_BYTES ? (size_t)size : KEY_BYTES - 1};
}

#define KEY(part)         key((char[KEY_BYTES]){0}, self, part, (mlkv_slice){0})
#define JOB_KEY(part, id) key((char[KEY_BYTES]){0}, self, part, id)

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t or_default(int64_t value, int64_t otherwise)
{
    return value != 0 ? value : otherwise;
}

/* All of it, or nothing. */
static int end(mlkv *transaction, int result)
{
    if (result == MLKV_OK)
        return mlkv_commit(transaction);
    mlkv_abort(transaction);
    return result;
}

void queue_job_free(queue_job *job)
{
    mlkv_buffer_free(&job->payload);
}

/* --- push --- */

int queue_push(const queue *self, const char *id, mlkv_slice payload)
{
    mlkv *transaction;
    mlkv_slice name = text(id);
    if (name.size == 0 || name.size >= QUEUE_ID_BYTES || strlen(self->name) >= QUEUE_NAME_BYTES)
        return MLKV_E_SIZE;
    int result = mlkv_begin(self->db, &transaction);
    if (result != MLKV_OK)
        return result;
    result = mlkv_hash_exists(transaction, KEY("results"), name);
    if (result == MLKV_ABSENT)
        result =
            mlkv_hash_set_if_absent(transaction, JOB_KEY("job", name), text("payload"), payload);
    else if (result == MLKV_OK)
        result = MLKV_ABSENT; /* it is done */
    if (result == MLKV_OK)
        result = mlkv_list_push(transaction, KEY("ready"), MLKV_LIST_RIGHT, &name, 1, NULL);
    return end(transaction, result);
}

/* --- claim --- */

/* The job is in nobody's hands any more: into ready, or to the dead if it was given out too often. */
static int put_back(const queue *self, mlkv *transaction, mlkv_slice id)
{
    int64_t attempts = 0;
    int result = mlkv_set_remove(transaction, KEY("taken"), &id, 1, NULL);
    if (result == MLKV_OK)
        result = mlkv_hash_exists(transaction, JOB_KEY("job", id), text("payload"));
    if (result == MLKV_ABSENT)
        return MLKV_OK; /* it was cancelled */
    if (result == MLKV_OK)
        result = mlkv_hash_add(transaction, JOB_KEY("job", id), text("attempts"), 0, &attempts);
    bool dead = attempts >= or_default(self->attempts_max, ATTEMPTS_MAX);
    if (result == MLKV_OK)
        result = mlkv_list_push(transaction, dead ? KEY("dead") : KEY("ready"), MLKV_LIST_RIGHT,
                                &id, 1, NULL);
    return result;
}

static bool is_free(const queue *self, mlkv *view, mlkv_slice id)
{
    mlkv_lock holder;
    return mlkv_lock_holder(view, JOB_KEY("lease", id), &holder) == MLKV_ABSENT;
}

/* Looked at before without a lock: now it counts. */
static int put_back_free(const queue *self, mlkv *transaction, mlkv_slice id, size_t *count)
{
    uint8_t taken = 0;
    int result = mlkv_set_contains(transaction, KEY("taken"), &id, 1, &taken);
    if (result != MLKV_OK || !taken || !is_free(self, transaction, id))
        return result;
    ++*count;
    return put_back(self, transaction, id);
}

int queue_reap(const queue *self, size_t *ret_count)
{
    mlkv_rows taken = {0};
    mlkv *transaction;
    size_t free_count = 0, count = 0;
    int result = mlkv_set_members(self->db, KEY("taken"), &taken);
    for (size_t i = 0; i < taken.count; i++)
        if (is_free(self, self->db, taken.items[i]))
            taken.items[free_count++] = taken.items[i];
    if (result == MLKV_OK && free_count > 0)
        result = mlkv_begin(self->db, &transaction);
    if (result == MLKV_OK && free_count > 0) {
        for (size_t i = 0; i < free_count && result == MLKV_OK; i++)
            result = put_back_free(self, transaction, taken.items[i], &count);
        result = end(transaction, result);
    }
    mlkv_rows_free(&taken);
    if (result == MLKV_OK)
        *ret_count = count;
    return result;
}

/* The oldest job leaves ready. One whose hash was deleted is cancelled, and passed over. */
static int take_oldest(const queue *self, mlkv *transaction, mlkv_buffer *id, mlkv_buffer *payload)
{
    int result;
    do {
        result = mlkv_list_pop(transaction, KEY("ready"), MLKV_LIST_LEFT, id);
        if (result != MLKV_OK || id->size >= QUEUE_ID_BYTES)
            return result != MLKV_OK ? result : MLKV_E_SIZE;
        mlkv_slice name = {id->data, id->size};
        result = mlkv_hash_get(transaction, JOB_KEY("job", name), text("payload"), payload);
    } while (result == MLKV_ABSENT);
    return result;
}

/* The oldest job becomes ours: out of ready, into taken, with a lease, all at once. */
static int claim_now(const queue *self, queue_job *ret_job)
{
    mlkv *transaction;
    mlkv_buffer id = {0};
    int64_t lease_ms = or_default(self->lease_ms, LEASE_MS);
    int result = mlkv_begin(self->db, &transaction);
    if (result != MLKV_OK)
        return result;
    result = take_oldest(self, transaction, &id, &ret_job->payload);
    mlkv_slice name = {id.data, id.size};
    if (result == MLKV_OK)
        result = mlkv_set_add(transaction, KEY("taken"), &name, 1, NULL);
    if (result == MLKV_OK)
        result =
            mlkv_lock_acquire(transaction, JOB_KEY("lease", name), lease_ms, 0, &ret_job->lease);
    if (result == MLKV_OK)
        result = mlkv_hash_add(transaction, JOB_KEY("job", name), text("attempts"), 1,
                               &ret_job->attempt);
    if (result == MLKV_OK)
        snprintf(ret_job->id, sizeof ret_job->id, "%.*s", (int)id.size, (const char *)id.data);
    result = end(transaction, result);
    mlkv_buffer_free(&id);
    return result;
}

/* Every look_ms: jobs whose worker is gone. */
static int look(queue *self)
{
    size_t count = 0;
    if (self->looked_ms != 0 && now_ms() - self->looked_ms < or_default(self->look_ms, LOOK_MS))
        return MLKV_OK;
    self->looked_ms = now_ms();
    return queue_reap(self, &count);
}

/* How long to sleep: until the time is over, but while others have jobs no longer than until the next look. */
static int sleep_ms(const queue *self, int64_t end_ms, int64_t *ret_ms)
{
    uint64_t taken = 0;
    int64_t left_ms = end_ms - now_ms();
    int64_t look_ms = self->looked_ms + or_default(self->look_ms, LOOK_MS) - now_ms();
    int result = mlkv_set_count(self->db, KEY("taken"), &taken);
    *ret_ms = left_ms > 0 ? left_ms : 0;
    if (taken > 0 && *ret_ms > look_ms)
        *ret_ms = look_ms > 1 ? look_ms : 1;
    return result;
}

int queue_claim(queue *self, int64_t timeout_ms, queue_job *ret_job)
{
    bool for_ever = timeout_ms < 0 || timeout_ms > INT64_MAX / 2;
    int64_t end_ms = for_ever ? INT64_MAX : now_ms() + timeout_ms, ms = 0;
    mlkv_slice ready = KEY("ready");
    mlkv_watch_query query = {.size = sizeof query, .keys = &ready, .key_count = 1};
    mlkv_watch *watch = NULL;
    int result = strlen(self->name) < QUEUE_NAME_BYTES ? look(self) : MLKV_E_SIZE;
    if (result == MLKV_OK)
        result = claim_now(self, ret_job);
    if (result != MLKV_ABSENT || timeout_ms == 0)
        return result;
    result = mlkv_watch_open(self->db, &query, &watch); /* what comes from here on is not missed */
    while (result == MLKV_OK) {
        result = claim_now(self, ret_job);
        if (result != MLKV_ABSENT || now_ms() >= end_ms)
            break;
        result = sleep_ms(self, end_ms, &ms);
        if (result == MLKV_OK)
            result = mlkv_watch_wait(watch, ms);
        if (result == MLKV_OK || result == MLKV_ABSENT)
            result = look(self);
    }
    mlkv_watch_close(watch);
    return result;
}

int queue_renew(const queue *self, const queue_job *job)
{
    return mlkv_lock_renew(self->db, JOB_KEY("lease", text(job->id)), &job->lease,
                           or_default(self->lease_ms, LEASE_MS));
}

/* --- the end of a job --- */

int queue_finish(const queue *self, const queue_job *job, mlkv **ret_transaction)
{
    mlkv *transaction;
    mlkv_slice id = text(job->id), job_key = JOB_KEY("job", id);
    int result = mlkv_begin(self->db, &transaction);
    if (result != MLKV_OK)
        return result;
    result = mlkv_lock_release(transaction, JOB_KEY("lease", id), &job->lease); /* is it ours? */
    if (result == MLKV_OK)
        result = mlkv_set_remove(transaction, KEY("taken"), &id, 1, NULL);
    if (result == MLKV_OK)
        result = mlkv_key_delete(transaction, &job_key, 1, NULL);
    if (result != MLKV_OK)
        return end(transaction, result);
    *ret_transaction = transaction;
    return MLKV_OK;
}

int queue_acknowledge(const queue *self, const queue_job *job, mlkv_slice value)
{
    mlkv *transaction;
    mlkv_pair pair = {text(job->id), value};
    int result = queue_finish(self, job, &transaction);
    if (result != MLKV_OK)
        return result;
    return end(transaction, mlkv_hash_set(transaction, KEY("results"), &pair, 1, NULL));
}

int queue_release(const queue *self, const queue_job *job)
{
    mlkv *transaction;
    mlkv_slice id = text(job->id);
    int result = mlkv_begin(self->db, &transaction);
    if (result != MLKV_OK)
        return result;
    result = mlkv_lock_release(transaction, JOB_KEY("lease", id), &job->lease);
    if (result == MLKV_OK)
        result = put_back(self, transaction, id);
    return end(transaction, result);
}

int queue_count(const queue *self, queue_counts *ret_counts)
{
    queue_counts counts = {0};
    mlkv *transaction;
    int result = mlkv_begin(self->db, &transaction);
    if (result != MLKV_OK)
        return result;
    result = mlkv_list_length(transaction, KEY("ready"), &counts.ready);
    if (result == MLKV_OK)
        result = mlkv_set_count(transaction, KEY("taken"), &counts.taken);
    if (result == MLKV_OK)
        result = mlkv_hash_length(transaction, KEY("results"), &counts.done);
    if (result == MLKV_OK)
        result = mlkv_list_length(transaction, KEY("dead"), &counts.dead);
    if (result == MLKV_OK)
        *ret_counts = counts;
    mlkv_abort(transaction);
    return result;
}
