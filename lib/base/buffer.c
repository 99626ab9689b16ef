/* buffer.c - growing the caller's buffers and rows.
 *
 * A buffer is one allocation; rows are two: an arena of bytes and an array of items. Both grow by
 * half or to what is asked for, whichever is more, so that appending costs O(1) on average.
 *
 * Invariants:
 *  1. A failed growth changes nothing that was there: realloc's old block stays, and data and size
 * with it.
 *  2. While rows are being filled, the arena may move, so a present item holds its offset in it
 * plus one, in the place of the pointer. The one added makes NULL free to mean "absent" before and
 * after rows_finish.
 *  3. An arena exists (non-NULL) as soon as there is one present item, so that an empty item has a
 * non-NULL data.
 *
 * No locks: a buffer belongs to one thread at a time.
 */
#include "base/buffer.h"

#include "base/bytes.h"
#include "base/error.h"

#include <stdlib.h>

/* Bytes of the smallest allocation: smaller ones would be grown again at once. */
enum { CAPACITY_MIN = 64, ITEM_CAPACITY_MIN = 16 };

/* What to grow to: by half, at least `least`, at least `wanted`. SIZE_MAX / 2 bounds every object,
 * as in C. */
static size_t grown_capacity(size_t capacity, size_t wanted, size_t least)
{
    size_t grown = capacity <= SIZE_MAX / 4 ? capacity + capacity / 2 : capacity;
    if (grown < least)
        grown = least;
    return grown < wanted ? wanted : grown;
}

/* Grows one allocation of bytes; `what` names it in the error. */
static int bytes_grow(void **data, size_t *capacity, size_t wanted, const char *what)
{
    if (wanted <= *capacity && *data != NULL)
        return 0;
    if (wanted > SIZE_MAX / 2)
        return error_set_memory(what);
    size_t grown = grown_capacity(*capacity, wanted, CAPACITY_MIN);
    void *moved = realloc(*data, grown);
    if (moved == NULL && grown > wanted) {
        grown = wanted; /* the half more was only for speed */
        moved = wanted == 0 ? NULL : realloc(*data, grown);
    }
    if (moved == NULL)
        return error_set_memory(what);
    *data = moved;
    *capacity = grown;
    return 0;
}

int buffer_reserve(mlkv_buffer *buffer, size_t capacity)
{
    return bytes_grow(&buffer->data, &buffer->capacity, capacity, "a buffer");
}

/* Whether data begins inside the buffer's own bytes: then it moves when they do. */
static bool buffer_holds(const mlkv_buffer *buffer, const void *data)
{
    uintptr_t start = (uintptr_t)buffer->data;
    uintptr_t place = (uintptr_t)data;
    return start != 0 && place >= start && place - start < buffer->capacity;
}

/* Writes size bytes of data at `place` of the buffer, which ends after them. data may be a part of
 * the buffer. */
static int buffer_write(mlkv_buffer *buffer, size_t place, const void *data, size_t size)
{
    if (size > SIZE_MAX - place)
        return error_set_memory("a buffer");
    bool own = buffer_holds(buffer, data);
    size_t offset = own ? (size_t)((uintptr_t)data - (uintptr_t)buffer->data) : 0;
    int result = buffer_reserve(buffer, place + size);
    if (result != 0)
        return result;
    unsigned char *bytes = buffer->data;
    if (size != 0)
        memmove(bytes + place, own ? bytes + offset : data, size);
    buffer->size = place + size;
    return 0;
}

int buffer_assign(mlkv_buffer *buffer, const void *data, size_t size)
{
    return buffer_write(buffer, 0, data, size);
}

int buffer_append(mlkv_buffer *buffer, const void *data, size_t size)
{
    return buffer_write(buffer, buffer->size, data, size);
}

void *buffer_extend(mlkv_buffer *buffer, size_t size)
{
    size_t place = buffer->size;
    if (size > SIZE_MAX - place) {
        (void)error_set_memory("a buffer");
        return NULL;
    }
    if (buffer_reserve(buffer, place + size) != 0)
        return NULL;
    buffer->size = place + size;
    return (unsigned char *)buffer->data + place;
}

int mlkv_buffer_assign(mlkv_buffer *buffer, const void *data, size_t size)
{
    if (buffer == NULL || (data == NULL && size != 0))
        return error_set(MLKV_E_ARGUMENT, "%s is NULL", buffer == NULL ? "buffer" : "data");
    return buffer_assign(buffer, data, size);
}

void mlkv_buffer_free(mlkv_buffer *buffer)
{
    if (buffer == NULL)
        return;
    free(buffer->data);
    *buffer = (mlkv_buffer){0};
}

void rows_clear(mlkv_rows *rows)
{
    rows->count = 0;
    rows->arena_size = 0;
}

/* Room for one more item. */
static int rows_reserve_item(mlkv_rows *rows)
{
    if (rows->count < rows->item_capacity)
        return 0;
    size_t grown = grown_capacity(rows->item_capacity, rows->count + 1, ITEM_CAPACITY_MIN);
    if (grown > SIZE_MAX / 2 / sizeof(mlkv_slice))
        return error_set_memory("the items of a result");
    mlkv_slice *moved = realloc(rows->items, grown * sizeof *moved);
    if (moved == NULL)
        return error_set_memory("the items of a result");
    rows->items = moved;
    rows->item_capacity = grown;
    return 0;
}

void *rows_extend(mlkv_rows *rows, size_t size)
{
    size_t place = rows->arena_size;
    if (size > SIZE_MAX - place) {
        (void)error_set_memory("the bytes of a result");
        return NULL;
    }
    if (rows_reserve_item(rows) != 0 ||
        bytes_grow(&rows->arena, &rows->arena_capacity, place + size, "the bytes of a result") != 0)
        return NULL;
    rows->items[rows->count++] = (mlkv_slice){(const void *)(uintptr_t)(place + 1), size};
    rows->arena_size = place + size;
    return (unsigned char *)rows->arena + place;
}

int rows_append(mlkv_rows *rows, mlkv_slice value)
{
    void *place = rows_extend(rows, value.size);
    if (place == NULL)
        return MLKV_E_MEMORY;
    bytes_copy(place, value.data, value.size);
    return 0;
}

int rows_append_absent(mlkv_rows *rows)
{
    int result = rows_reserve_item(rows);
    if (result == 0)
        rows->items[rows->count++] = (mlkv_slice){NULL, 0};
    return result;
}

void rows_finish(mlkv_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++) {
        mlkv_slice *item = &rows->items[i];
        if (item->data != NULL)
            item->data = (const unsigned char *)rows->arena + ((uintptr_t)item->data - 1);
    }
}

void mlkv_rows_free(mlkv_rows *rows)
{
    if (rows == NULL)
        return;
    free(rows->items);
    free(rows->arena);
    *rows = (mlkv_rows){0};
}
