/* tensor_group.c - many chunks of one tensor, read by several threads at once.
 *
 * The op fetches the T values one after another: those of large tensors are references to blobs, a few
 * dozen bytes. What takes long, decoding them, is a task for each chunk, straight into the caller's
 * memory, and compared with the chunk's checksum there.
 *
 * State: a group belongs to one call, and its parts' buffers are used again by the next chunks.
 *
 * Invariants:
 *  1. Parts below count are fetched, in the op that runs the group, and their cells borrowed from their
 *     own values: so nothing moves while tasks read.
 *  2. Tasks write where no other task does, and call of op.h only what is for tasks.
 *
 * Locks: none.
 */
#include "types/tensor.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"

#include <stdlib.h>

enum {
    PARTS_MAX = 256,            /* fetched before any is decoded */
    BYTES_MAX = 16 << 20,       /* the same, of raw bytes */
    CHUNK_BYTES_MIN = 16 << 10, /* a smaller chunk is decoded as fast as handed over */
    WORTH_BYTES = 1 << 20,      /* less is not worth a second thread */
};

bool group_pays(const tensor_form *form, uint64_t bytes)
{
    return bytes >= WORTH_BYTES && form->chunk_rows * form->row_bytes >= CHUNK_BYTES_MIN;
}

static int reserve(chunk_group *self)
{
    if (self->count < self->capacity)
        return MLKV_OK;
    size_t capacity = self->capacity == 0 ? 16 : 2 * self->capacity;
    chunk_part *parts = reallocarray(self->parts, capacity, sizeof *parts);
    if (parts == NULL)
        return error_set_memory("a tensor's chunks");
    memset(parts + self->capacity, 0, (capacity - self->capacity) * sizeof *parts);
    self->parts = parts;
    self->capacity = capacity;
    return MLKV_OK;
}

int group_take(chunk_group *self, op *o, uint64_t id, const chunk_part *part, mlkv_buffer *value)
{
    int result = reserve(self);
    if (result != MLKV_OK)
        return result;
    chunk_part *own = &self->parts[self->count++];
    mlkv_buffer other = own->value;
    *own = *part;
    own->value = *value;
    *value = other;
    self->o = o;
    self->id = id;
    self->bytes += part->head.raw_size;
    return MLKV_OK;
}

bool group_is_full(const chunk_group *self)
{
    return self->count >= PARTS_MAX || self->bytes >= BYTES_MAX;
}

int group_run(chunk_group *self, op_task task, void *context)
{
    int result = self->count == 0
                     ? MLKV_OK
                     : op_share_reads(self->o, self->bytes, task, context, self->count);
    group_begin(self);
    return result;
}

/* Task: a part of a chunk to where it is wanted. */
static int read_part(void *context, size_t i)
{
    const chunk_group *self = context;
    const chunk_part *part = &self->parts[i];
    int result = chunk_named(
        op_cell_read_task(self->o, part->cell, part->offset, part->size, part->to), part->chunk);
    if (result == MLKV_OK && part->size == part->head.raw_size)
        result = chunk_check(&part->head, self->id, part->chunk, part->to);
    return result;
}

int group_read(chunk_group *self)
{
    return group_run(self, read_part, self);
}

void group_begin(chunk_group *self)
{
    self->count = 0;
    self->bytes = 0;
}

void group_done(chunk_group *self)
{
    for (size_t i = 0; i < self->capacity; i++)
        mlkv_buffer_free(&self->parts[i].value);
    free(self->parts);
    *self = (chunk_group){0};
}
