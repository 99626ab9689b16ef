/* dispatch.c - one command: finding it, who may run it and when, and running it.
 *
 * The commands of the library's table and those of the server are one table here, found by a hash of the name; where both have one, the
 * server's counts. A subcommand of a container ("client list") has the name "client|list".
 *
 * Invariants
 *   1. What a command adds to client->out is one whole reply, or nothing (CLIENT REPLY, parking).
 *   2. After a command that wrote on the live view, parked clients have been tried before the next command runs, as in Redis.
 */
#include "server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    SLOTS = 2048, /* a power of two, more than four times the commands */
    REPLY_BYTES_KEPT_MAX = 1 << 20,
    REPLY_NODES_KEPT_MAX = 16384,
    SHOWN_BYTES_MAX = 128, /* of what a client sent, in an error */
};

static command *rows; /* the library's in the order of names, then the server's */
static size_t row_count;
static command *slots[SLOTS];
static command **in_order; /* without subcommands */
static size_t in_order_count;

/* --- the table --- */

static unsigned char lower(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c + 32) : c;
}

bool slice_is(mlkv_slice word, const char *text)
{
    return strlen(text) == word.size && strncasecmp(word.data, text, word.size) == 0;
}

static size_t hash_of(const unsigned char *name, size_t size)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ lower(name[i])) * 1099511628211u;
    return (size_t)(hash ^ hash >> 32) & (SLOTS - 1);
}

static command *find_name(mlkv_slice name)
{
    size_t slot = hash_of(name.data, name.size);
    while (slots[slot] != NULL && !slice_is(name, slots[slot]->info.name))
        slot = (slot + 1) & (SLOTS - 1);
    return slots[slot];
}

static void insert(command *row)
{
    size_t size = strlen(row->info.name);
    size_t slot = hash_of((const unsigned char *)row->info.name, size);
    while (slots[slot] != NULL)
        slot = (slot + 1) & (SLOTS - 1);
    slots[slot] = row;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp((*(command *const *)a)->info.name, (*(command *const *)b)->info.name);
}

int commands_open(void)
{
    mlkv_command_info info = {.size = sizeof info};
    size_t library = 0;
    while (mlkv_command_row(library, &info) == MLKV_OK)
        library++;
    row_count = library + server_command_count;
    rows = calloc(row_count, sizeof *rows);
    in_order = calloc(row_count, sizeof(command *));
    if (rows == NULL || in_order == NULL || row_count > SLOTS / 2)
        return MLKV_E_MEMORY;
    memcpy(rows, server_commands, server_command_count * sizeof *rows);
    for (size_t i = 0; i < library; i++) {
        rows[server_command_count + i].info.size = sizeof info;
        (void)mlkv_command_row(i, &rows[server_command_count + i].info);
    }
    for (size_t i = 0; i < row_count; i++) {
        mlkv_slice name = {rows[i].info.name, strlen(rows[i].info.name)};
        if (find_name(name) != NULL)
            continue; /* the server's counts */
        insert(&rows[i]);
        if (strchr(rows[i].info.name, '|') == NULL)
            in_order[in_order_count++] = &rows[i];
    }
    qsort(in_order, in_order_count, sizeof(command *), compare_names);
    return MLKV_OK;
}

void commands_close(void)
{
    free(rows);
    free(in_order);
}

command *command_at(size_t i)
{
    return i < in_order_count ? in_order[i] : NULL;
}

command *command_sub(const command *container, size_t i)
{
    size_t size = strlen(container->info.name);
    for (size_t at = 0; at < server_command_count; at++)
        if (strncmp(rows[at].info.name, container->info.name, size) == 0 &&
            rows[at].info.name[size] == '|' && i-- == 0)
            return &rows[at];
    return NULL;
}

command *command_find(const mlkv_slice *words, size_t n)
{
    char name[NAME_BYTES_MAX];
    command *found = words[0].size < NAME_BYTES_MAX ? find_name(words[0]) : NULL;
    if (found == NULL || (found->info.flags & COMMAND_CONTAINER) == 0 || n < 2)
        return found;
    if (words[0].size + words[1].size + 1 > sizeof name)
        return NULL;
    memcpy(name, words[0].data, words[0].size);
    name[words[0].size] = '|';
    if (words[1].size != 0)
        memcpy(name + words[0].size + 1, words[1].data, words[1].size);
    return find_name((mlkv_slice){name, words[0].size + 1 + words[1].size});
}

bool command_arity_fits(const command *row, size_t n)
{
    int32_t arity = row->info.arity;
    return arity >= 0 ? n == (size_t)arity : n >= (size_t)-arity;
}

/* --- words --- */

bool slice_integer(mlkv_slice word, int64_t *ret_value)
{
    char text[24], *end;
    if (word.size == 0 || word.size >= sizeof text)
        return false;
    memcpy(text, word.data, word.size);
    text[word.size] = 0;
    if (text[0] != '-' && (text[0] < '0' || text[0] > '9'))
        return false;
    long long value = strtoll(text, &end, 10);
    if (end != text + word.size || snprintf(NULL, 0, "%lld", value) != (int)word.size)
        return false;
    *ret_value = value;
    return true;
}

/* One element of a pattern against one byte; *pattern is moved behind the element. */
static bool matches_byte(const unsigned char **pattern, const unsigned char *end, unsigned char c)
{
    const unsigned char *p = *pattern;
    bool found = false, inverted;
    switch (*p) {
    case '?':
        *pattern = p + 1;
        return true;
    case '[':
        inverted = ++p < end && *p == '^';
        p += inverted;
        for (; p < end && *p != ']'; p++) {
            if (*p == '\\' && p + 1 < end)
                p++;
            if (end - p > 2 && p[1] == '-') {
                unsigned char low = lower(p[0]), high = lower(p[2]);
                found = found || (c >= (low < high ? low : high) && c <= (low < high ? high : low));
                p += 2;
            } else {
                found = found || lower(*p) == c;
            }
        }
        *pattern = p < end ? p + 1 : end;
        return found != inverted;
    case '\\':
        p += p + 1 < end;
        break;
    default:
        break;
    }
    *pattern = p + 1;
    return lower(*p) == c;
}

bool slice_matches(mlkv_slice text, mlkv_slice pattern)
{
    const unsigned char *t = text.data, *t_end = t + text.size, *p = pattern.data,
                        *p_end = p + pattern.size;
    const unsigned char *star = NULL, *star_text = NULL;
    while (t < t_end) {
        const unsigned char *next = p;
        if (p < p_end && *p == '*') {
            star = ++p;
            star_text = t;
        } else if (p < p_end && matches_byte(&next, p_end, lower(*t))) {
            p = next;
            t++;
        } else if (star != NULL) {
            p = star;
            t = ++star_text;
        } else {
            return false;
        }
    }
    while (p < p_end && *p == '*')
        p++;
    return p == p_end;
}

/* --- running --- */

void dispatch_refused(client *self, int result)
{
    const char *kind = result == MLKV_E_MEMORY || result == MLKV_E_FULL ? "OOM"
                       : result == MLKV_E_READONLY                      ? "READONLY"
                                                                        : "ERR";
    const char *detail = mlkv_error_detail();
    wire_error(&self->out, "%s %s", kind, detail[0] != 0 ? detail : mlkv_error_message(result));
}

/* The reply in server->reply, and an end to one that took much memory. */
void dispatch_reply(client *self)
{
    mlkv_reply *reply = &self->server->reply;
    if (reply->count == 0)
        wire_error(&self->out, "OOM out of memory");
    else if (mlkv_reply_encode(reply, self->out.protocol, &self->out.bytes) != MLKV_OK)
        self->out.failed = true;
    if (reply->bytes.capacity > REPLY_BYTES_KEPT_MAX ||
        reply->value.capacity > REPLY_BYTES_KEPT_MAX ||
        reply->numbers.capacity > REPLY_BYTES_KEPT_MAX ||
        reply->rows.arena_capacity > REPLY_BYTES_KEPT_MAX ||
        reply->capacity > REPLY_NODES_KEPT_MAX || reply->rows.item_capacity > REPLY_NODES_KEPT_MAX)
        mlkv_reply_free(reply);
}

static size_t cursor_place(const command *row)
{
    return row->info.first_key == 0 ? 1 : 2;
}

int dispatch_library(server *self, mlkv *view, command *row, mlkv_slice *words, size_t n)
{
    int result = mlkv_command(view, words, n, &self->reply);
    if ((row->info.flags & MLKV_COMMAND_WRITE) != 0)
        self->dirty = true;
    return result;
}

/* SCAN and its kin: the cursor is replaced on its way in and on its way out. */
static void run_scan(client *self, command *row, mlkv_slice *words, size_t n)
{
    char text[24];
    size_t place = cursor_place(row);
    server *owner = self->server;
    if (place < n && !cursors_take(owner->cursors, words[place], &words[place])) {
        wire_error(&self->out, "ERR invalid cursor");
        return;
    }
    int result = dispatch_library(owner, self->view, row, words, n);
    mlkv_reply_node *nodes = owner->reply.nodes;
    if (result == MLKV_OK && owner->reply.count > 1 && nodes[0].kind == MLKV_REPLY_ARRAY &&
        nodes[1].kind == MLKV_REPLY_BYTES) {
        nodes[1].bytes = cursors_give(owner->cursors, nodes[1].bytes, text);
        if (nodes[1].bytes.size == 0)
            owner->reply.count = 0;
    }
    dispatch_reply(self);
}

void dispatch_run(client *self, command *row, mlkv_slice *words, size_t n)
{
    uint32_t flags = row->info.flags;
    row->calls++;
    if (row->run != NULL) {
        row->run(self, words, n);
    } else if ((flags & MLKV_COMMAND_BLOCKS) != 0) {
        parked_run(self, row, words, n);
    } else if ((flags & MLKV_COMMAND_SCANS) != 0) {
        run_scan(self, row, words, n);
    } else {
        (void)dispatch_library(self->server, self->view, row, words, n);
        dispatch_reply(self);
    }
}

/* --- who may run it --- */

static void refuse(client *self, const char *text)
{
    wire_error(&self->out, "%s", text);
    self->multi_broken = self->in_multi;
}

static void unknown(client *self, const mlkv_slice *words, size_t n)
{
    char text[1024], kind[NAME_BYTES_MAX];
    const command *container = words[0].size < NAME_BYTES_MAX ? find_name(words[0]) : NULL;
    if (container != NULL) {
        for (size_t i = 0; i <= strlen(container->info.name); i++)
            kind[i] = (char)(container->info.name[i] >= 'a' ? container->info.name[i] - 32
                                                            : container->info.name[i]);
        (void)snprintf(text, sizeof text, "ERR unknown subcommand '%.*s'. Try %s HELP.",
                       (int)(words[1].size < SHOWN_BYTES_MAX ? words[1].size : SHOWN_BYTES_MAX),
                       (const char *)words[1].data, kind);
        refuse(self, text);
        return;
    }
    (void)mlkv_command_check(words, n, &self->server->reply);
    dispatch_reply(self);
    self->multi_broken = self->in_multi;
}

static void wrong_arity(client *self, const command *row)
{
    char text[128];
    (void)snprintf(text, sizeof text, "wrong number of arguments for '%s' command", row->info.name);
    if (row->run == run_exec) {
        transaction_forget(self);
        wire_error(&self->out, "EXECABORT Transaction discarded because of: %s", text);
        return;
    }
    char whole[160];
    (void)snprintf(whole, sizeof whole, "ERR %s", text);
    refuse(self, whole);
}

/* A web page that makes a browser send requests here is not a client. */
static bool from_a_browser(client *self, mlkv_slice name)
{
    self->doomed = self->doomed || slice_is(name, "post") || slice_is(name, "host:");
    return self->doomed;
}

static void decide(client *self, mlkv_slice *words, size_t n)
{
    command *row = command_find(words, n);
    if (row == NULL) {
        if (!from_a_browser(self, words[0]))
            unknown(self, words, n);
        return;
    }
    uint32_t flags = row->info.flags;
    self->last_command = row->info.name;
    if (!command_arity_fits(row, n)) {
        wrong_arity(self, row);
    } else if (!self->trusted && (flags & COMMAND_NO_AUTH) == 0) {
        refuse(self, "NOAUTH Authentication required.");
    } else if (self->in_multi && (flags & COMMAND_AT_ONCE) == 0) {
        if ((flags & COMMAND_NO_MULTI) != 0)
            refuse(self, "ERR Command not allowed inside a transaction");
        else
            transaction_queue(self, row, words, n);
    } else {
        dispatch_run(self, row, words, n);
        if (((flags & MLKV_COMMAND_WRITE) != 0 || row->run == run_exec) &&
            parked_count(self->server) != 0)
            parked_retry(self->server);
    }
}

void dispatch(client *self, mlkv_slice *words, size_t n)
{
    size_t mark = self->out.bytes.size;
    self->server->running = self;
    decide(self, words, n);
    self->server->running = NULL;
    if (self->reply_off || self->reply_skip)
        self->out.bytes.size = mark;
    self->reply_skip = self->reply_skip_next;
    self->reply_skip_next = false;
}
