/* wire.h - replies that the server itself writes, as bytes of RESP2 or RESP3. See wire.c. */
#ifndef RESP_WIRE_H
#define RESP_WIRE_H

#include <mlkv/base.h>
#include <stdarg.h>
#include <stdbool.h>

/* Bytes to be sent, and how to write them. */
typedef struct {
    mlkv_buffer bytes;
    int protocol; /* 2 or 3 */
    bool failed;  /* no memory: what is here is not whole, and must not be sent */
} wire;

void wire_raw(wire *self, const void *data, size_t size);
void wire_status(wire *self, const char *text);
void wire_ok(wire *self);
/* "ERR ..."; what would end the line becomes a blank. */
void wire_error(wire *self, const char *format, ...) __attribute__((format(printf, 2, 3)));
void wire_integer(wire *self, int64_t value);
void wire_nil(wire *self);
void wire_nil_array(wire *self);
void wire_bytes(wire *self, mlkv_slice bytes);
void wire_text(wire *self, const char *text); /* as bytes */
/* Lines for people. */
void wire_lines(wire *self, mlkv_slice text);
void wire_array(wire *self, uint64_t count);
void wire_set(wire *self, uint64_t count);
void wire_map(wire *self, uint64_t pairs);

/* Text that is put together: INFO, CLIENT LIST. False: no memory. */
bool text_add(mlkv_buffer *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool text_add_list(mlkv_buffer *text, const char *format, va_list arguments);
/* Makes room for so many bytes more. */
bool buffer_room(mlkv_buffer *buffer, size_t size);

#endif
