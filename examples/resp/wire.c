/* wire.c - replies that the server itself writes, as bytes of RESP2 or RESP3.
 *
 * The library's replies come from mlkv_reply_encode; these are those of the commands that only a server has.
 * A lack of memory is remembered in the wire: who sends it asks.
 */
#include "wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUFFER_FIRST = 1024 };

bool buffer_room(mlkv_buffer *buffer, size_t size)
{
    if (buffer->capacity - buffer->size >= size)
        return true;
    size_t capacity = buffer->capacity < BUFFER_FIRST ? BUFFER_FIRST : buffer->capacity;
    while (capacity - buffer->size < size) {
        if (capacity > SIZE_MAX / 2)
            return false;
        capacity *= 2;
    }
    void *data = realloc(buffer->data, capacity);
    if (data == NULL)
        return false;
    buffer->data = data;
    buffer->capacity = capacity;
    return true;
}

bool text_add_list(mlkv_buffer *text, const char *format, va_list arguments)
{
    va_list again;
    va_copy(again, arguments);
    int size = vsnprintf(NULL, 0, format, arguments);
    bool done = size >= 0 && buffer_room(text, (size_t)size + 1);
    if (done) {
        (void)vsnprintf((char *)text->data + text->size, (size_t)size + 1, format, again);
        text->size += (size_t)size;
    }
    va_end(again);
    return done;
}

bool text_add(mlkv_buffer *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    bool done = text_add_list(text, format, arguments);
    va_end(arguments);
    return done;
}

void wire_raw(wire *self, const void *data, size_t size)
{
    if (self->failed || !buffer_room(&self->bytes, size)) {
        self->failed = true;
        return;
    }
    if (size != 0)
        memcpy((char *)self->bytes.data + self->bytes.size, data, size);
    self->bytes.size += size;
}

static void head(wire *self, char mark, int64_t number)
{
    char line[32];
    int size = snprintf(line, sizeof line, "%c%" PRId64 "\r\n", mark, number);
    wire_raw(self, line, (size_t)size);
}

void wire_status(wire *self, const char *text)
{
    wire_raw(self, "+", 1);
    wire_raw(self, text, strlen(text));
    wire_raw(self, "\r\n", 2);
}

void wire_ok(wire *self)
{
    wire_raw(self, "+OK\r\n", 5);
}

void wire_error(wire *self, const char *format, ...)
{
    va_list arguments;
    wire_raw(self, "-", 1);
    size_t begin = self->bytes.size;
    va_start(arguments, format);
    if (!self->failed && !text_add_list(&self->bytes, format, arguments))
        self->failed = true;
    va_end(arguments);
    for (size_t i = begin; i < self->bytes.size; i++) {
        char *c = (char *)self->bytes.data + i;
        if (*c == '\r' || *c == '\n')
            *c = ' ';
    }
    wire_raw(self, "\r\n", 2);
}

void wire_integer(wire *self, int64_t value)
{
    head(self, ':', value);
}

void wire_nil(wire *self)
{
    wire_raw(self, self->protocol == 3 ? "_\r\n" : "$-1\r\n", self->protocol == 3 ? 3 : 5);
}

void wire_nil_array(wire *self)
{
    wire_raw(self, self->protocol == 3 ? "_\r\n" : "*-1\r\n", self->protocol == 3 ? 3 : 5);
}

void wire_bytes(wire *self, mlkv_slice bytes)
{
    head(self, '$', (int64_t)bytes.size);
    wire_raw(self, bytes.data, bytes.size);
    wire_raw(self, "\r\n", 2);
}

void wire_text(wire *self, const char *text)
{
    wire_bytes(self, (mlkv_slice){text, strlen(text)});
}

void wire_lines(wire *self, mlkv_slice text)
{
    if (self->protocol == 2) {
        wire_bytes(self, text);
        return;
    }
    head(self, '=', (int64_t)text.size + 4);
    wire_raw(self, "txt:", 4);
    wire_raw(self, text.data, text.size);
    wire_raw(self, "\r\n", 2);
}

void wire_array(wire *self, uint64_t count)
{
    head(self, '*', (int64_t)count);
}

void wire_set(wire *self, uint64_t count)
{
    head(self, self->protocol == 3 ? '~' : '*', (int64_t)count);
}

void wire_map(wire *self, uint64_t pairs)
{
    if (self->protocol == 3)
        head(self, '%', (int64_t)pairs);
    else
        head(self, '*', (int64_t)(2 * pairs));
}
