/* session.c - a client's life: its requests are read and run, some at a turn, and its replies collected.
 *
 * The network puts bytes into client->in and gives the client turns; a turn runs what is complete and leaves replies in client->out. A
 * turn ends after so many commands or some milliseconds, so that a long pipeline does not keep others waiting, and when more than
 * OUTPUT_PAUSE_BYTES of replies wait to be taken: who does not read is not served.
 *
 * Invariants
 *   1. A client that is doomed runs nothing any more, and is closed by the network in its next turn, not within a call from elsewhere.
 *   2. server->clients_bytes is the sum of client->memory. Beyond the limit the client that holds most is doomed.
 */
#include "server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TURN_MS_MAX = 5,  /* so long others wait for a client at most, but for single slow commands */
    LOOK_EVERY = 16,  /* commands between looks at the clock */
    WORDS_FIRST = 64, /* room in server->words */
    WORDS_KEPT_MAX = 65536, /* larger is given back */
    WATCH_BYTES = 36864,    /* what the library's watch takes, about */
};

client *session_open(server *self, void *connection)
{
    client *created = calloc(1, sizeof *created);
    if (created == NULL)
        return NULL;
    created->server = self;
    created->connection = connection;
    created->id = ++self->next_id;
    created->out.protocol = 2;
    created->view = self->db;
    created->trusted = self->options.password == NULL;
    created->queue_end = &created->queue;
    created->deadline_ms = -1;
    created->since_ms = created->used_ms = now_ms();
    created->next = self->clients;
    if (self->clients != NULL)
        self->clients->previous = created;
    self->clients = created;
    self->client_count++;
    request_init(&created->in);
    session_account(created);
    return created;
}

void session_close(client *self)
{
    server *owner = self->server;
    parked_forget(self);
    transaction_forget(self);
    request_done(&self->in);
    mlkv_buffer_free(&self->out.bytes);
    if (self->next != NULL)
        self->next->previous = self->previous;
    if (self->previous != NULL)
        self->previous->next = self->next;
    else
        owner->clients = self->next;
    owner->client_count--;
    owner->clients_bytes -= self->memory;
    free(self);
}

/* --- memory --- */

static void doom_largest(server *self)
{
    client *largest = NULL;
    for (client *c = self->clients; c != NULL; c = c->next)
        if (!c->doomed && !c->no_evict && (largest == NULL || c->memory > largest->memory))
            largest = c;
    if (largest == NULL)
        return;
    largest->doomed = true;
    self->evicted_clients++;
    network_ready(largest);
}

void session_account(client *self)
{
    server *owner = self->server;
    size_t memory = sizeof *self + request_memory(&self->in) + self->out.bytes.capacity +
                    self->sending + self->queue_bytes;
    memory += self->watch != NULL ? WATCH_BYTES + self->watched->memory : 0;
    memory += self->parked != NULL ? self->parked->memory : 0;
    owner->clients_bytes += memory - self->memory;
    self->memory = memory;
    if (request_waiting(&self->in) > owner->options.query_bytes_max ||
        self->queue_bytes > owner->options.query_bytes_max ||
        self->out.bytes.size + self->sending > owner->options.output_bytes_max)
        self->doomed = true;
    if (owner->clients_bytes > owner->options.clients_bytes_max)
        doom_largest(owner);
}

void session_trim(client *self)
{
    request_trim(&self->in);
    if (self->out.bytes.size == 0)
        mlkv_buffer_free(&self->out.bytes);
    session_account(self);
}

/* --- running --- */

queued *queued_new(command *row, const mlkv_slice *words, size_t n)
{
    size_t size = sizeof(queued) + n * sizeof *words, bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += words[i].size;
    queued *created = malloc(size + bytes);
    if (created == NULL)
        return NULL;
    *created = (queued){.command = row, .memory = size + bytes, .count = n};
    char *at = (char *)created + size;
    for (size_t i = 0; i < n; i++) {
        if (words[i].size != 0)
            memcpy(at, words[i].data, words[i].size);
        created->words[i] = (mlkv_slice){at, words[i].size};
        at += words[i].size;
    }
    return created;
}

/* The words of the request that is ready, in server->words. */
static mlkv_slice *request_slices(client *self)
{
    server *owner = self->server;
    const request *in = &self->in;
    if (in->count > owner->word_capacity) {
        size_t capacity = in->count < WORDS_FIRST ? WORDS_FIRST : in->count;
        mlkv_slice *words = realloc(owner->words, capacity * sizeof *words);
        if (words == NULL)
            return NULL;
        owner->words = words;
        owner->word_capacity = capacity;
    }
    for (size_t i = 0; i < in->count; i++)
        owner->words[i] =
            (mlkv_slice){in->data + in->start + in->words[i].offset, in->words[i].size};
    return owner->words;
}

static void give_words_back(server *self)
{
    if (self->word_capacity <= WORDS_KEPT_MAX)
        return;
    free(self->words);
    self->words = NULL;
    self->word_capacity = 0;
}

/* Whether CLIENT PAUSE holds this request back. */
static bool is_paused(const client *self, const mlkv_slice *words)
{
    const server *owner = self->server;
    if (owner->pause_until_ms == 0 || owner->pause_until_ms <= now_ms())
        return false;
    const command *row = command_find(words, self->in.count);
    if (row != NULL && row->run == run_client_unpause)
        return false;
    return !owner->pause_writes_only || row == NULL ||
           (row->info.flags & MLKV_COMMAND_WRITE) != 0 || row->run == run_exec;
}

/* MORE: it was run. */
static session_state run_request(client *self)
{
    mlkv_slice *words = request_slices(self);
    if (words == NULL)
        return SESSION_DOOMED;
    if (is_paused(self, words))
        return SESSION_WAITS;
    self->server->commands_run++;
    dispatch(self, words, self->in.count);
    request_consume(&self->in);
    give_words_back(self->server);
    if (self->out.failed ||
        self->out.bytes.size + self->sending > self->server->options.output_bytes_max)
        self->doomed = true;
    return SESSION_MORE;
}

static session_state step(client *self)
{
    char error[128];
    if (self->doomed)
        return SESSION_DOOMED;
    if (self->ending)
        return SESSION_ENDS;
    if (self->parked != NULL)
        return SESSION_WAITS;
    if (self->out.bytes.size + self->sending > OUTPUT_PAUSE_BYTES)
        return SESSION_FULL;
    switch (request_next(&self->in, self->trusted, self->server->options.word_bytes_max, error)) {
    case REQUEST_READY:
        return run_request(self);
    case REQUEST_NOTHING:
        return SESSION_MORE;
    case REQUEST_PARTIAL:
        return SESSION_WAITS;
    case REQUEST_BROKEN:
        wire_error(&self->out, "%s", error);
        self->ending = true;
        return SESSION_ENDS;
    case REQUEST_MEMORY:
    default:
        self->doomed = true;
        return SESSION_DOOMED;
    }
}

session_state session_turn(client *self)
{
    session_state state = SESSION_MORE;
    int64_t begun_ms = now_ms();
    self->used_ms = begun_ms;
    for (int i = 1; i <= TURN_COMMANDS_MAX && state == SESSION_MORE; i++) {
        state = step(self);
        if (i % LOOK_EVERY == 0 && now_ms() - begun_ms > TURN_MS_MAX)
            break;
    }
    session_account(self);
    return self->doomed ? SESSION_DOOMED : state;
}
