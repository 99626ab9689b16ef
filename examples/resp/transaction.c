/* transaction.c - MULTI EXEC DISCARD, WATCH UNWATCH.
 *
 * MULTI queues; EXEC runs the queue in one transaction of the store, so that it is seen, and survives a crash, whole or not at all. As
 * in Redis, a command that fails is an error in the reply, and the others are done. While EXEC runs, every writer of every process
 * waits.
 *
 * Invariants
 *   1. client->watch covers all of client->watched since the first WATCH: a further WATCH opens a watch of the union first, and then
 *      asks the old one. What it had noticed is in client->watch_broken.
 *   2. A transaction of the store begins and ends within run_exec.
 */
#include "server.h"

#include <stdlib.h>
#include <string.h>

static void forget_watch(client *self)
{
    mlkv_watch_close(self->watch);
    self->watch = NULL;
    free(self->watched);
    self->watched = NULL;
    self->watch_broken = false;
}

static void forget_queue(client *self)
{
    while (self->queue != NULL) {
        queued *first = self->queue;
        self->queue = first->next;
        free(first);
    }
    self->queue_end = &self->queue;
    self->queue_count = 0;
    self->queue_bytes = 0;
    self->in_multi = false;
    self->multi_broken = false;
}

void transaction_forget(client *self)
{
    forget_queue(self);
    forget_watch(self);
}

void transaction_queue(client *self, command *row, const mlkv_slice *words, size_t n)
{
    queued *item = queued_new(row, words, n);
    if (item == NULL) {
        wire_error(&self->out, "OOM out of memory");
        self->multi_broken = true;
        return;
    }
    *self->queue_end = item;
    self->queue_end = &item->next;
    self->queue_count++;
    self->queue_bytes += item->memory;
    if (self->queue_bytes > self->server->options.query_bytes_max)
        self->doomed = true;
    wire_status(&self->out, "QUEUED");
}

void run_multi(client *self, const mlkv_slice *words, size_t n)
{
    (void)words;
    (void)n;
    if (self->in_multi) {
        wire_error(&self->out, "ERR MULTI calls can not be nested");
        return;
    }
    self->in_multi = true;
    wire_ok(&self->out);
}

void run_discard(client *self, const mlkv_slice *words, size_t n)
{
    (void)words;
    (void)n;
    if (!self->in_multi) {
        wire_error(&self->out, "ERR DISCARD without MULTI");
        return;
    }
    transaction_forget(self);
    wire_ok(&self->out);
}

/* --- WATCH --- */

/* Opens a watch of all that was watched and of these words. */
static int watch_more(client *self, const mlkv_slice *words, size_t n)
{
    size_t old = self->watched != NULL ? self->watched->count : 0;
    mlkv_slice *names = calloc(old + n, sizeof *names);
    queued *watched = NULL;
    mlkv_watch *watch = NULL;
    int result = MLKV_E_MEMORY;
    if (names == NULL)
        return result;
    if (old != 0)
        memcpy(names, self->watched->words, old * sizeof *names);
    memcpy(names + old, words, n * sizeof *names);
    watched = queued_new(NULL, names, old + n);
    free(names);
    if (watched == NULL)
        return result;
    mlkv_watch_query query = {
        .size = sizeof query, .keys = watched->words, .key_count = watched->count};
    result = mlkv_watch_open(self->server->db, &query, &watch);
    if (result == MLKV_OK && self->watch != NULL) {
        int changed = mlkv_watch_wait(self->watch, 0);
        if (changed != MLKV_ABSENT)
            self->watch_broken = true;
    }
    if (result != MLKV_OK) {
        free(watched);
        return result;
    }
    mlkv_watch_close(self->watch);
    free(self->watched);
    self->watch = watch;
    self->watched = watched;
    return MLKV_OK;
}

static bool is_watched(const client *self, mlkv_slice name)
{
    for (size_t i = 0; self->watched != NULL && i < self->watched->count; i++) {
        mlkv_slice other = self->watched->words[i];
        if (other.size == name.size &&
            (name.size == 0 || memcmp(other.data, name.data, name.size) == 0))
            return true;
    }
    return false;
}

void run_watch(client *self, const mlkv_slice *words, size_t n)
{
    bool new = false;
    if (self->in_multi) {
        wire_error(&self->out, "ERR WATCH inside MULTI is not allowed");
        return;
    }
    for (size_t i = 1; i < n && !new; i++)
        new = !is_watched(self, words[i]);
    int result = new ? watch_more(self, words + 1, n - 1) : MLKV_OK;
    if (result != MLKV_OK)
        dispatch_refused(self, result);
    else
        wire_ok(&self->out);
}

void run_unwatch(client *self, const mlkv_slice *words, size_t n)
{
    (void)words;
    (void)n;
    forget_watch(self);
    wire_ok(&self->out);
}

/* --- EXEC --- */

/* Runs the queue on the transaction. Replies that nobody will read because they are too many are let go, but all is done. */
static void run_queue(client *self, mlkv *transaction)
{
    size_t mark = self->out.bytes.size;
    wire_array(&self->out, self->queue_count);
    self->view = transaction;
    self->in_exec = true;
    for (queued *item = self->queue; item != NULL; item = item->next) {
        dispatch_run(self, item->command, item->words, item->count);
        if (self->out.bytes.size - mark > self->server->options.output_bytes_max) {
            self->out.bytes.size = mark;
            self->doomed = true;
        }
    }
    self->in_exec = false;
    self->view = self->server->db;
}

void run_exec(client *self, const mlkv_slice *words, size_t n)
{
    mlkv *transaction = NULL;
    mlkv_watch *watch = self->watch;
    int result = MLKV_ABSENT;
    (void)words;
    (void)n;
    if (!self->in_multi) {
        wire_error(&self->out, "ERR EXEC without MULTI");
        return;
    }
    if (self->multi_broken) {
        wire_error(&self->out, "EXECABORT Transaction discarded because of previous errors.");
        transaction_forget(self);
        return;
    }
    size_t mark = self->out.bytes.size;
    self->in_multi = false;
    if (!self->watch_broken)
        result = watch != NULL ? mlkv_begin_unchanged(self->server->db, watch, &transaction)
                               : mlkv_begin(self->server->db, &transaction);
    if (result == MLKV_OK) {
        run_queue(self, transaction);
        result = mlkv_commit(transaction);
        if (result != MLKV_OK)
            self->out.bytes.size = mark;
    }
    if (result == MLKV_ABSENT)
        wire_nil_array(&self->out);
    else if (result != MLKV_OK)
        dispatch_refused(self, result);
    transaction_forget(self);
}
