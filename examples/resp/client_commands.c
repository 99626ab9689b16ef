/* client_commands.c - what a client says about other clients: CLIENT LIST, KILL, UNBLOCK, PAUSE. Redis's rules and texts.
 *
 * A client that is killed is only marked here; the network closes it in its next turn.
 */
#include "server.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool describe(const client *c, mlkv_buffer *text)
{
    char flags[8], *flag = flags;
    int64_t now = now_ms();
    if (c->parked != NULL)
        *flag++ = 'b';
    if (c->in_multi || c->in_exec)
        *flag++ = 'x';
    if (c->watch_broken)
        *flag++ = 'd';
    if (c->ending)
        *flag++ = 'c';
    if (c->doomed)
        *flag++ = 'A';
    if (c->no_evict)
        *flag++ = 'e';
    if (c->over_unix)
        *flag++ = 'U';
    if (flag == flags)
        *flag++ = 'N';
    *flag = 0;
    int64_t queued_count = c->in_multi || c->in_exec ? (int64_t)c->queue_count : -1;
    return text_add(
        text,
        "id=%" PRId64 " addr=%s laddr=%s fd=%d name=%s age=%" PRId64 " idle=%" PRId64
        " flags=%s db=0 sub=0 psub=0 ssub=0 "
        "multi=%" PRId64
        " qbuf=%zu qbuf-free=%zu argv-mem=0 multi-mem=%zu rbs=%zu rbp=%zu obl=%zu oll=0 omem=%zu "
        "tot-mem=%zu events=r cmd=%s user=default redir=-1 resp=%d\n",
        c->id, c->peer, c->local, c->descriptor, c->name, (now - c->since_ms) / 1000,
        (now - c->used_ms) / 1000, flags, queued_count, request_waiting(&c->in),
        c->in.capacity - request_waiting(&c->in), c->queue_bytes, c->out.bytes.capacity,
        c->out.bytes.capacity, c->out.bytes.size, c->sending, c->memory,
        c->last_command != NULL ? c->last_command : "NULL", c->out.protocol);
}

void run_client_info(client *self, const mlkv_slice *words, size_t n)
{
    mlkv_buffer text = {0};
    (void)words;
    (void)n;
    if (describe(self, &text))
        wire_lines(&self->out, (mlkv_slice){text.data, text.size});
    else
        self->out.failed = true;
    mlkv_buffer_free(&text);
}

/* --- LIST --- */

/* Whether it is a type of client that Redis knows: normal is the only one here. */
static bool read_type(client *self, mlkv_slice word, bool *ret_normal)
{
    *ret_normal = slice_is(word, "normal");
    if (*ret_normal || slice_is(word, "replica") || slice_is(word, "slave") ||
        slice_is(word, "master") || slice_is(word, "pubsub"))
        return true;
    wire_error(&self->out, "ERR Unknown client type '%.*s'",
               (int)(word.size < 128 ? word.size : 128), (const char *)word.data);
    return false;
}

static bool is_listed(int64_t id, const mlkv_slice *ids, size_t n)
{
    int64_t wanted;
    for (size_t i = 0; i < n; i++)
        if (slice_integer(ids[i], &wanted) && wanted == id)
            return true;
    return n == 0;
}

static bool check_ids(client *self, const mlkv_slice *ids, size_t n)
{
    int64_t id;
    for (size_t i = 0; i < n; i++)
        if (!slice_integer(ids[i], &id) || id < 1) {
            wire_error(&self->out, "ERR Invalid client ID");
            return false;
        }
    return true;
}

void run_client_list(client *self, const mlkv_slice *words, size_t n)
{
    const mlkv_slice *ids = NULL;
    size_t id_count = 0;
    bool normal = true, done = true;
    mlkv_buffer text = {0};
    if (n == 4 && slice_is(words[2], "TYPE")) {
        if (!read_type(self, words[3], &normal))
            return;
    } else if (n > 3 && slice_is(words[2], "ID")) {
        ids = words + 3;
        id_count = n - 3;
        if (!check_ids(self, ids, id_count))
            return;
    } else if (n != 2) {
        wire_error(&self->out, "ERR syntax error");
        return;
    }
    for (client *c = self->server->clients; c != NULL && normal && done; c = c->next)
        if (is_listed(c->id, ids, id_count))
            done = describe(c, &text);
    if (done)
        wire_lines(&self->out, (mlkv_slice){text.data, text.size});
    else
        self->out.failed = true;
    mlkv_buffer_free(&text);
}

/* --- KILL --- */

typedef struct {
    int64_t id; /* 0: any */
    mlkv_slice address, local_address;
    bool normal, skip_me;
} kill_filter;

static bool is_text(mlkv_slice word, const char *text)
{
    return word.size == strlen(text) && memcmp(word.data, text, word.size) == 0;
}

static void doom(client *victim, const client *killer)
{
    if (victim == killer) {
        victim->ending = true;
        return;
    }
    victim->doomed = true;
    network_ready(victim);
}

static bool read_kill_option(client *self, mlkv_slice option, mlkv_slice value, kill_filter *filter)
{
    if (slice_is(option, "ID")) {
        if (slice_integer(value, &filter->id) && filter->id > 0)
            return true;
        wire_error(&self->out, "ERR client-id should be greater than 0");
        return false;
    }
    if (slice_is(option, "TYPE"))
        return read_type(self, value, &filter->normal);
    if (slice_is(option, "USER")) {
        if (is_text(value, "default"))
            return true;
        wire_error(&self->out, "ERR No such user '%.*s'",
                   (int)(value.size < 128 ? value.size : 128), (const char *)value.data);
        return false;
    }
    if (slice_is(option, "ADDR")) {
        filter->address = value;
    } else if (slice_is(option, "LADDR")) {
        filter->local_address = value;
    } else if (slice_is(option, "SKIPME") && (slice_is(value, "yes") || slice_is(value, "no"))) {
        filter->skip_me = slice_is(value, "yes");
    } else {
        wire_error(&self->out, "ERR syntax error");
        return false;
    }
    return true;
}

/* The form of old: CLIENT KILL address. */
static void kill_address(client *self, mlkv_slice address)
{
    for (client *c = self->server->clients; c != NULL; c = c->next)
        if (is_text(address, c->peer) && !c->doomed) {
            doom(c, self);
            wire_ok(&self->out);
            return;
        }
    wire_error(&self->out, "ERR No such client");
}

void run_client_kill(client *self, const mlkv_slice *words, size_t n)
{
    kill_filter filter = {.normal = true, .skip_me = true};
    int64_t killed = 0;
    if (n == 3) {
        kill_address(self, words[2]);
        return;
    }
    if (n % 2 != 0) {
        wire_error(&self->out, "ERR syntax error");
        return;
    }
    for (size_t i = 2; i < n; i += 2)
        if (!read_kill_option(self, words[i], words[i + 1], &filter))
            return;
    for (client *c = self->server->clients; c != NULL; c = c->next) {
        bool meant = filter.normal && !c->doomed && (filter.id == 0 || filter.id == c->id) &&
                     (c != self || !filter.skip_me) &&
                     (filter.address.data == NULL || is_text(filter.address, c->peer)) &&
                     (filter.local_address.data == NULL || is_text(filter.local_address, c->local));
        if (meant) {
            doom(c, self);
            killed++;
        }
    }
    wire_integer(&self->out, killed);
}

/* --- UNBLOCK, PAUSE --- */

void run_client_unblock(client *self, const mlkv_slice *words, size_t n)
{
    int64_t id;
    bool with_error = n == 4 && slice_is(words[3], "ERROR");
    if (n > 4) {
        wire_error(&self->out, "ERR syntax error");
        return;
    }
    if (n == 4 && !with_error && !slice_is(words[3], "TIMEOUT")) {
        wire_error(&self->out, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
        return;
    }
    if (!slice_integer(words[2], &id)) {
        wire_error(&self->out, "ERR value is not an integer or out of range");
        return;
    }
    for (client *c = self->server->clients; c != NULL; c = c->next)
        if (c->id == id) {
            wire_integer(&self->out, parked_unblock(c, with_error));
            return;
        }
    wire_integer(&self->out, 0);
}

void run_client_pause(client *self, const mlkv_slice *words, size_t n)
{
    int64_t timeout_ms;
    if (n > 4) {
        wire_error(&self->out, "ERR wrong number of arguments for 'client|pause' command");
    } else if (n == 4 && !slice_is(words[3], "WRITE") && !slice_is(words[3], "ALL")) {
        wire_error(&self->out, "ERR CLIENT PAUSE mode must be WRITE or ALL");
    } else if (!slice_integer(words[2], &timeout_ms) || timeout_ms > INT32_MAX) {
        wire_error(&self->out, "ERR timeout is not an integer or out of range");
    } else if (timeout_ms < 0) {
        wire_error(&self->out, "ERR timeout is negative");
    } else {
        self->server->pause_until_ms = now_ms() + timeout_ms + 1;
        self->server->pause_writes_only = n == 4 && slice_is(words[3], "WRITE");
        network_paused(self->server);
        wire_ok(&self->out);
    }
}

void run_client_unpause(client *self, const mlkv_slice *words, size_t n)
{
    (void)words;
    (void)n;
    self->server->pause_until_ms = 0;
    network_paused(self->server);
    wire_ok(&self->out);
}
