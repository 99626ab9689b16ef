/* buffer.h - growing mlkv_buffer and mlkv_rows. No locks; a buffer belongs to one thread at a time. */
#ifndef MLKV_BASE_BUFFER_H
#define MLKV_BASE_BUFFER_H

#include <mlkv/base.h>

/* Room for at least `capacity` bytes in all (grown by half, so that appending is O(1)); content kept. 0 or MLKV_E_MEMORY. */
int buffer_reserve(mlkv_buffer *buffer, size_t capacity);
int buffer_assign(mlkv_buffer *buffer, const void *data, size_t size);
int buffer_append(mlkv_buffer *buffer, const void *data, size_t size);
/* Adds size bytes of undefined content and returns where they begin, or NULL (out of memory). */
void *buffer_extend(mlkv_buffer *buffer, size_t size);

/* Empties rows, keeping their memory. */
void rows_clear(mlkv_rows *rows);
/* Adds a copy of value, or an absent item. While rows are being filled items hold offsets, not pointers;
 * rows_finish makes them pointers, once. */
int rows_append(mlkv_rows *rows, mlkv_slice value);
int rows_append_absent(mlkv_rows *rows);
/* Adds an item of `size` undefined bytes and returns where to write them (valid until the next append), or NULL. size 0 gives non-NULL. */
void *rows_extend(mlkv_rows *rows, size_t size);
void rows_finish(mlkv_rows *rows);

#endif
