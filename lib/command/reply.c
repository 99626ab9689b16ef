/* reply.c - replies: a flat tree of nodes over an arena of bytes, and its form on the wire.
 *
 * State, in the caller's mlkv_reply: nodes[count], and `bytes`, where the texts of all nodes stand. While a reply is made a node's bytes
 * hold an offset into `bytes`, not a pointer, because the arena moves; reply_finish makes them pointers, once.
 *
 * Invariants:
 *  1. `failed` is set by the first lack of memory, and nothing is added from then on.
 *  2. A finished reply is whole: after a collection stand the nodes of all its elements.
 *
 * No locks: a reply belongs to one thread.
 */
#include "command/reply.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "types/integer.h"
#include "types/number.h"

#include <stdlib.h>

enum { NODES_FIRST = 8, DEPTH_MAX = 8 /* no command nests deeper than 4 */ };

void mlkv_reply_free(mlkv_reply *reply)
{
    if (reply == NULL)
        return;
    free(reply->nodes);
    mlkv_buffer_free(&reply->bytes);
    mlkv_buffer_free(&reply->value);
    mlkv_buffer_free(&reply->numbers);
    mlkv_rows_free(&reply->rows);
    *reply = (mlkv_reply){0};
}

void reply_restart(mlkv_reply *reply)
{
    reply->count = 0;
    reply->bytes.size = 0;
    reply->failed = 0;
}

static mlkv_reply_node *add_node(mlkv_reply *reply, mlkv_reply_kind kind)
{
    if (reply->failed == 0 && reply->count == reply->capacity) {
        size_t capacity = reply->capacity < NODES_FIRST ? NODES_FIRST : reply->capacity * 2;
        mlkv_reply_node *nodes = capacity > SIZE_MAX / sizeof *nodes
                                     ? NULL
                                     : realloc(reply->nodes, capacity * sizeof *nodes);
        if (nodes == NULL)
            reply->failed = error_set_memory("a reply");
        else {
            reply->nodes = nodes;
            reply->capacity = capacity;
        }
    }
    if (reply->failed != 0)
        return NULL;
    mlkv_reply_node *node = &reply->nodes[reply->count++];
    *node = (mlkv_reply_node){.kind = (int32_t)kind};
    return node;
}

static void add_bytes(mlkv_reply *reply, mlkv_reply_kind kind, mlkv_slice bytes)
{
    mlkv_reply_node *node = add_node(reply, kind);
    if (node == NULL)
        return;
    node->integer = (int64_t)reply->bytes.size;
    node->bytes.size = bytes.size;
    if (bytes.size > 0 && buffer_append(&reply->bytes, bytes.data, bytes.size) != 0) {
        reply->count--;
        reply->failed = error_set_memory("a reply");
    }
}

void reply_nil(mlkv_reply *reply)
{
    (void)add_node(reply, MLKV_REPLY_NIL);
}

void reply_nil_array(mlkv_reply *reply)
{
    (void)add_node(reply, MLKV_REPLY_NIL_ARRAY);
}

void reply_status(mlkv_reply *reply, const char *text)
{
    add_bytes(reply, MLKV_REPLY_STATUS, slice_of_text(text));
}

void reply_ok(mlkv_reply *reply)
{
    reply_status(reply, "OK");
}

void reply_error(mlkv_reply *reply, const char *text)
{
    reply_restart(reply);
    add_bytes(reply, MLKV_REPLY_ERROR, slice_of_text(text));
}

void reply_integer(mlkv_reply *reply, int64_t value)
{
    mlkv_reply_node *node = add_node(reply, MLKV_REPLY_INTEGER);
    if (node != NULL)
        node->integer = value;
}

void reply_count(mlkv_reply *reply, uint64_t value)
{
    reply_integer(reply, value > INT64_MAX ? INT64_MAX : (int64_t)value);
}

void reply_double(mlkv_reply *reply, double value)
{
    mlkv_reply_node *node = add_node(reply, MLKV_REPLY_DOUBLE);
    if (node != NULL)
        node->number = value;
}

void reply_bytes(mlkv_reply *reply, mlkv_slice bytes)
{
    add_bytes(reply, MLKV_REPLY_BYTES, bytes);
}

void reply_buffer(mlkv_reply *reply, const mlkv_buffer *buffer)
{
    reply_bytes(reply, slice_of_buffer(buffer));
}

void reply_text(mlkv_reply *reply, mlkv_slice text)
{
    add_bytes(reply, MLKV_REPLY_TEXT, text);
}

void reply_string(mlkv_reply *reply, const char *text)
{
    reply_bytes(reply, slice_of_text(text));
}

void reply_item(mlkv_reply *reply, mlkv_slice item)
{
    if (item.data == NULL)
        reply_nil(reply);
    else
        reply_bytes(reply, item);
}

size_t reply_collection(mlkv_reply *reply, mlkv_reply_kind kind, uint64_t count)
{
    size_t place = reply->count;
    mlkv_reply_node *node = add_node(reply, kind);
    if (node != NULL)
        node->integer = (int64_t)count;
    return place;
}

size_t reply_array(mlkv_reply *reply, uint64_t count)
{
    return reply_collection(reply, MLKV_REPLY_ARRAY, count);
}

void reply_set_count(mlkv_reply *reply, size_t place, uint64_t count)
{
    if (reply->failed == 0)
        reply->nodes[place].integer = (int64_t)count;
}

void reply_last_to(mlkv_reply *reply, size_t place)
{
    if (reply->failed != 0)
        return;
    mlkv_reply_node last = reply->nodes[reply->count - 1], *to = &reply->nodes[place];
    memmove(to + 1, to, (reply->count - 1 - place) * sizeof *to);
    *to = last;
}

void reply_rows(mlkv_reply *reply, mlkv_reply_kind kind, const mlkv_rows *rows)
{
    (void)reply_collection(reply, kind, rows->count);
    for (size_t i = 0; i < rows->count; i++)
        reply_item(reply, rows->items[i]);
}

void reply_scored(mlkv_reply *reply, mlkv_reply_kind kind, const mlkv_rows *members,
                  const mlkv_buffer *scores)
{
    const double *numbers = scores->data;
    (void)reply_collection(reply, kind, 2 * (uint64_t)members->count);
    for (size_t i = 0; i < members->count; i++) {
        reply_item(reply, members->items[i]);
        reply_double(reply, numbers[i]);
    }
}

static bool has_bytes(const mlkv_reply_node *node)
{
    return node->kind == MLKV_REPLY_STATUS || node->kind == MLKV_REPLY_ERROR ||
           node->kind == MLKV_REPLY_BYTES || node->kind == MLKV_REPLY_TEXT;
}

int reply_finish(mlkv_reply *reply)
{
    if (reply->failed != 0) {
        int result = reply->failed;
        reply_restart(reply);
        return result;
    }
    const char *begin = reply->bytes.data;
    for (size_t i = 0; i < reply->count; i++) {
        mlkv_reply_node *node = &reply->nodes[i];
        if (!has_bytes(node))
            continue;
        node->bytes.data = node->bytes.size == 0 ? "" : begin + node->integer;
        node->integer = 0;
    }
    return 0;
}

/* --- the wire --- */

typedef struct {
    mlkv_buffer *wire;
    bool is_new; /* protocol 3 */
    int failed;
} encoder;

static void put(encoder *self, const void *bytes, size_t size)
{
    if (self->failed == 0 && size > 0)
        self->failed = buffer_append(self->wire, bytes, size);
}

/* A mark, a number, the end of the line. */
static void put_head(encoder *self, char mark, int64_t number)
{
    char line[1 + INTEGER_TEXT_MAX + 2] = {mark};
    size_t size = 1 + integer_format(number, line + 1);
    line[size++] = '\r';
    line[size++] = '\n';
    put(self, line, size);
}

static void put_bulk(encoder *self, mlkv_slice bytes)
{
    put_head(self, '$', (int64_t)bytes.size);
    put(self, bytes.data, bytes.size);
    put(self, "\r\n", 2);
}

/* One line: its own end of line must not stand in it. */
static void put_line(encoder *self, char mark, mlkv_slice bytes)
{
    const char *text = bytes.data;
    put(self, &mark, 1);
    for (size_t i = 0; i < bytes.size; i++)
        put(self, text[i] == '\r' || text[i] == '\n' ? " " : &text[i], 1);
    put(self, "\r\n", 2);
}

static void put_text(encoder *self, mlkv_slice bytes)
{
    if (!self->is_new) {
        put_bulk(self, bytes);
        return;
    }
    put_head(self, '=', (int64_t)bytes.size + 4);
    put(self, "txt:", 4);
    put(self, bytes.data, bytes.size);
    put(self, "\r\n", 2);
}

static void put_double(encoder *self, double value)
{
    char text[NUMBER_TEXT_MAX];
    size_t size = number_format(value, text);
    if (self->is_new)
        put_line(self, ',', slice_of(text, size));
    else
        put_bulk(self, slice_of(text, size));
}

static void put_nil(encoder *self, bool is_array)
{
    const char *text = self->is_new ? "_\r\n" : is_array ? "*-1\r\n" : "$-1\r\n";
    put(self, text, strlen(text));
}

static void put_collection(encoder *self, const mlkv_reply_node *node)
{
    bool halved = self->is_new && (node->kind == MLKV_REPLY_MAP || node->kind == MLKV_REPLY_PAIRS);
    char mark = '*';
    if (self->is_new && node->kind == MLKV_REPLY_MAP)
        mark = '%';
    else if (self->is_new && node->kind == MLKV_REPLY_SET)
        mark = '~';
    put_head(self, mark, halved ? node->integer / 2 : node->integer);
}

static void put_node(encoder *self, const mlkv_reply_node *node)
{
    switch (node->kind) {
    case MLKV_REPLY_NIL:
        put_nil(self, false);
        break;
    case MLKV_REPLY_NIL_ARRAY:
        put_nil(self, true);
        break;
    case MLKV_REPLY_STATUS:
        put_line(self, '+', node->bytes);
        break;
    case MLKV_REPLY_ERROR:
        put_line(self, '-', node->bytes);
        break;
    case MLKV_REPLY_INTEGER:
        put_head(self, ':', node->integer);
        break;
    case MLKV_REPLY_DOUBLE:
        put_double(self, node->number);
        break;
    case MLKV_REPLY_BYTES:
        put_bulk(self, node->bytes);
        break;
    case MLKV_REPLY_TEXT:
        put_text(self, node->bytes);
        break;
    default:
        put_collection(self, node);
        break;
    }
}

/* The pairs of a protocol-3 reply are arrays of two. Their elements are never collections. */
static size_t put_pairs(encoder *self, const mlkv_reply_node *nodes, size_t left)
{
    size_t count = (size_t)nodes[0].integer;
    put_node(self, &nodes[0]);
    for (size_t i = 1; i <= count && i < left; i++) {
        if (i % 2 == 1)
            put_head(self, '*', 2);
        put_node(self, &nodes[i]);
    }
    return count;
}

int mlkv_reply_encode(const mlkv_reply *reply, int protocol, mlkv_buffer *wire)
{
    error_clear();
    if (reply == NULL || wire == NULL)
        return error_set(MLKV_E_ARGUMENT, "%s is NULL", reply == NULL ? "reply" : "wire");
    if (protocol != 2 && protocol != 3)
        return error_set(MLKV_E_ARGUMENT, "protocol is %d; there are 2 and 3", protocol);
    encoder self = {.wire = wire, .is_new = protocol == 3};
    size_t before = wire->size;
    for (size_t i = 0; i < reply->count && self.failed == 0; i++)
        if (self.is_new && reply->nodes[i].kind == MLKV_REPLY_PAIRS)
            i += put_pairs(&self, &reply->nodes[i], reply->count - i);
        else
            put_node(&self, &reply->nodes[i]);
    if (self.failed != 0)
        wire->size = before;
    return self.failed;
}
