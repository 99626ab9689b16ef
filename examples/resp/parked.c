/* parked.c - clients whose command waits: BLPOP and its kin.
 *
 * The loop's thread never waits. A blocking command is run in a transaction of the store, where it does what it can at once; if that is
 * nothing, the client is parked. Parked clients are tried again, in the order in which they came, after each write through this server,
 * and when the helper thread says that another thread or process has written.
 *
 * The helper sleeps in mlkv_watch_wait while somebody is parked, and after each wake waits until the loop has tried, so that a busy
 * writer costs one round at a time. Its watch is opened before it first says "try": so what was written between a client's first try and
 * the watch is found by that try, and what is written afterwards by the watch.
 *
 * Invariants
 *   1. Parked clients are a list in the order of their coming; client->parked is not NULL exactly for its members.
 *   2. An element is taken only for a client whose other end was there a moment ago, after the try and before the commit.
 * Locks: self->lock guards what both threads touch (the first group of parked_clients). It is never held in a call of the library.
 */
#include "server.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SLICE_MS =
        1000, /* the helper looks so often whether it is still needed: that long the end of the server may take */
    FAILED_MS = 100,
};

struct parked_clients {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stop, trying; /* trying: the loop was told to, and has not yet */
    int64_t count;
    pthread_t helper;
    server *server;
    client *first, *last; /* the loop's own */
    bool in_retry;
};

/* --- the helper --- */

static int open_watch(server *owner, mlkv_watch **ret_watch)
{
    mlkv_slice every = {"", 0};
    mlkv_watch_query query = {.size = sizeof query, .prefixes = &every, .prefix_count = 1};
    return mlkv_watch_open(owner->db, &query, ret_watch);
}

/* Tells the loop to try, and waits until it has. */
static void ask_to_try(parked_clients *self)
{
    pthread_mutex_lock(&self->lock);
    self->trying = true;
    pthread_mutex_unlock(&self->lock);
    network_wake(self->server);
    pthread_mutex_lock(&self->lock);
    while (self->trying && !self->stop)
        pthread_cond_wait(&self->changed, &self->lock);
    pthread_mutex_unlock(&self->lock);
}

/* Waits until somebody is parked. False: it is over. */
static bool is_needed(parked_clients *self, mlkv_watch **watch)
{
    pthread_mutex_lock(&self->lock);
    while (self->count == 0 && !self->stop) {
        mlkv_watch *old = *watch;
        *watch = NULL;
        if (old == NULL) {
            pthread_cond_wait(&self->changed, &self->lock);
            continue;
        }
        pthread_mutex_unlock(&self->lock);
        mlkv_watch_close(old);
        pthread_mutex_lock(&self->lock);
    }
    bool needed = !self->stop;
    pthread_mutex_unlock(&self->lock);
    return needed;
}

static void *helper_main(void *context)
{
    parked_clients *self = context;
    mlkv_watch *watch = NULL;
    while (is_needed(self, &watch)) {
        int result =
            watch == NULL ? open_watch(self->server, &watch) : mlkv_watch_wait(watch, SLICE_MS);
        if (result == MLKV_OK) {
            ask_to_try(self);
        } else if (result < 0) {
            mlkv_watch_close(watch);
            watch = NULL;
            (void)usleep(FAILED_MS * 1000);
        }
    }
    mlkv_watch_close(watch);
    return NULL;
}

int parked_open(server *owner)
{
    parked_clients *self = calloc(1, sizeof *self);
    if (self == NULL)
        return MLKV_E_MEMORY;
    self->server = owner;
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->changed, NULL);
    owner->parked = self;
    if (pthread_create(&self->helper, NULL, helper_main, self) != 0) {
        owner->parked = NULL;
        free(self);
        return MLKV_E_MEMORY;
    }
    return MLKV_OK;
}

void parked_stop(server *owner)
{
    parked_clients *self = owner->parked;
    if (self == NULL || self->stop)
        return;
    pthread_mutex_lock(&self->lock);
    self->stop = true;
    pthread_cond_broadcast(&self->changed);
    pthread_mutex_unlock(&self->lock);
    (void)pthread_join(self->helper, NULL);
}

void parked_close(server *owner)
{
    parked_clients *self = owner->parked;
    if (self == NULL)
        return;
    parked_stop(owner);
    pthread_mutex_destroy(&self->lock);
    pthread_cond_destroy(&self->changed);
    free(self);
    owner->parked = NULL;
}

/* --- the list --- */

int64_t parked_count(const server *owner)
{
    return owner->parked->count; /* only the loop's thread changes it */
}

static void count(parked_clients *self, int64_t by)
{
    pthread_mutex_lock(&self->lock);
    self->count += by;
    pthread_cond_broadcast(&self->changed);
    pthread_mutex_unlock(&self->lock);
}

void parked_forget(client *self)
{
    parked_clients *all = self->server->parked;
    if (self->parked == NULL)
        return;
    if (self->parked_next != NULL)
        self->parked_next->parked_previous = self->parked_previous;
    else
        all->last = self->parked_previous;
    if (self->parked_previous != NULL)
        self->parked_previous->parked_next = self->parked_next;
    else
        all->first = self->parked_next;
    self->parked_next = self->parked_previous = NULL;
    free(self->parked);
    self->parked = NULL;
    if (self->deadline_ms >= 0)
        network_deadline(self, -1);
    self->deadline_ms = -1;
    count(all, -1);
}

/* The time that the command may wait, in milliseconds; -1: for ever. The library has checked the word. */
static int64_t timeout_of(const command *row, const mlkv_slice *words, size_t n)
{
    char text[64];
    bool first = strcmp(row->info.name, "blmpop") == 0 || strcmp(row->info.name, "bzmpop") == 0;
    mlkv_slice word = words[first ? 1 : n - 1];
    size_t size = word.size < sizeof text ? word.size : sizeof text - 1;
    memcpy(text, word.data, size);
    text[size] = 0;
    double timeout_ms = ceil(strtod(text, NULL) * 1000);
    if (!(timeout_ms > 0))
        return -1;
    return timeout_ms > 9e15 ? (int64_t)9e15 : (int64_t)timeout_ms;
}

static void park(client *self, command *row, const mlkv_slice *words, size_t n)
{
    parked_clients *all = self->server->parked;
    self->parked = queued_new(row, words, n);
    if (self->parked == NULL) {
        wire_error(&self->out, "OOM out of memory");
        return;
    }
    self->parked_previous = all->last;
    if (all->last != NULL)
        all->last->parked_next = self;
    else
        all->first = self;
    all->last = self;
    int64_t timeout_ms = timeout_of(row, words, n);
    self->deadline_ms = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
    if (timeout_ms >= 0)
        network_deadline(self, timeout_ms);
    count(all, 1);
}

/* --- trying --- */

static bool is_nil(const mlkv_reply *reply)
{
    return reply->count != 0 &&
           (reply->nodes[0].kind == MLKV_REPLY_NIL || reply->nodes[0].kind == MLKV_REPLY_NIL_ARRAY);
}

typedef enum { TRY_NOTHING, TRY_ANSWERED, TRY_GONE } try_result;

/* Tries a command on *transaction, which it begins if it is NULL, and which is left for the next one if nothing was done. */
static try_result try_one(client *self, command *row, mlkv_slice *words, size_t n,
                          mlkv **transaction)
{
    server *owner = self->server;
    int result = *transaction == NULL ? mlkv_begin(owner->db, transaction) : MLKV_OK;
    if (result != MLKV_OK) {
        dispatch_refused(self, result);
        return TRY_ANSWERED;
    }
    result = dispatch_library(owner, *transaction, row, words, n);
    if (result == MLKV_OK && is_nil(&owner->reply))
        return TRY_NOTHING;
    mlkv *mine = *transaction;
    *transaction = NULL;
    if (result != MLKV_OK) {
        (void)mlkv_abort(mine);
        dispatch_reply(self);
        return TRY_ANSWERED;
    }
    if (!network_alive(self)) {
        (void)mlkv_abort(mine);
        return TRY_GONE;
    }
    result = mlkv_commit(mine);
    if (result != MLKV_OK)
        dispatch_refused(self, result);
    else
        dispatch_reply(self);
    return TRY_ANSWERED;
}

void parked_run(client *self, command *row, mlkv_slice *words, size_t n)
{
    mlkv *transaction = NULL;
    if (self->in_exec) {
        (void)dispatch_library(self->server, self->view, row, words, n);
        dispatch_reply(self);
        return;
    }
    if (parked_count(self->server) != 0)
        parked_retry(self->server); /* those who came before have the first look */
    try_result tried = try_one(self, row, words, n, &transaction);
    if (transaction != NULL)
        (void)mlkv_abort(transaction);
    if (tried == TRY_NOTHING)
        park(self, row, words, n);
    else if (tried == TRY_GONE)
        self->doomed = true;
}

/* Lets it go on, with the reply that stands in its out behind mark. */
static void release(client *self, size_t mark)
{
    parked_forget(self);
    if (self->reply_off)
        self->out.bytes.size = mark;
    if (self->out.failed)
        self->doomed = true;
    network_ready(self);
}

/* Tries everybody once. Whether somebody was served. */
static bool retry_all(parked_clients *all)
{
    mlkv *transaction = NULL;
    bool progress = false;
    for (client *c = all->first, *next; c != NULL; c = next) {
        next = c->parked_next;
        size_t mark = c->out.bytes.size;
        if (c->doomed)
            continue;
        queued *waits = c->parked;
        mlkv_slice *words = waits->words;
        switch (try_one(c, waits->command, words, waits->count, &transaction)) {
        case TRY_ANSWERED:
            release(c, mark);
            progress = true;
            break;
        case TRY_GONE:
            c->doomed = true;
            network_ready(c);
            break;
        case TRY_NOTHING:
        default:
            break;
        }
    }
    if (transaction != NULL)
        (void)mlkv_abort(transaction);
    return progress;
}

void parked_retry(server *owner)
{
    parked_clients *self = owner->parked;
    if (!self->in_retry) {
        self->in_retry = true;
        while (self->first != NULL && retry_all(self))
            continue;
        self->in_retry = false;
    }
    pthread_mutex_lock(&self->lock);
    if (self->trying) {
        self->trying = false;
        pthread_cond_broadcast(&self->changed);
    }
    pthread_mutex_unlock(&self->lock);
}

void parked_deadline(client *self)
{
    if (self->parked == NULL)
        return;
    size_t mark = self->out.bytes.size;
    wire_nil_array(&self->out);
    release(self, mark);
}

bool parked_unblock(client *self, bool with_error)
{
    if (self->parked == NULL)
        return false;
    size_t mark = self->out.bytes.size;
    if (with_error)
        wire_error(&self->out, "UNBLOCKED client unblocked via CLIENT UNBLOCK");
    else
        wire_nil_array(&self->out);
    release(self, mark);
    return true;
}
