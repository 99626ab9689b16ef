/* tensor_change.c - rows written over, and t += alpha * delta: the path of a parameter server.
 *
 * Under the writer lock, in one rule: read each chunk that is touched, compute the new bytes
 * straight into the record being put, checksum them. Nothing is compressed: numbers that just
 * changed hardly shrink, at 0.5 GB/s, under a lock for which all other writers wait; and most such
 * records are replaced again before the applier takes them. The next whole put compresses.
 *
 * Passes over a chunk's bytes: one copy out of cache or ring, one to add, one for the checksum, one
 * into the ring.
 *
 * What is too large for this (a chunk over TENSOR_INLINE_CHUNK_MAX, or more in all than
 * TENSOR_INLINE_TOTAL_MAX) sets change->large and puts nothing: tensor_change_large.c does it.
 *
 * Invariants:
 *  1. All of a change becomes visible at once, with version + 1.
 *  2. A chunk's old bytes are read and its new ones put in the same rule, so sums of any number of
 *     threads and processes lose nothing.
 *
 * Locks: none but the rule's.
 */
#include "types/tensor.h"

#include "base/bytes.h"
#include "base/error.h"
#include "base/hash.h"
#include "types/arithmetic.h"

int change_open(op *o, tensor_change *change, entry *ret_entry, tensor_form *ret_form)
{
    int result = tensor_open(o, change->key, ret_entry, ret_form);
    if (result != MLKV_OK)
        return result;
    if (change->expected != NULL) {
        if (!tensor_same(change->expected, &ret_form->tensor))
            return error_set(MLKV_E_SHAPE, "%s is to be added to tensor '%s', which is %s",
                             tensor_text(change->expected),
                             error_quote(change->key.data, change->key.size),
                             tensor_text(&ret_form->tensor));
        change->first = 0;
        change->count = ret_form->rows;
        change->size = (size_t)ret_form->raw_bytes;
    }
    result = tensor_check_rows(change->key, ret_form, change->first, change->count, change->size);
    if (result == MLKV_OK && change->data == NULL && change->size != 0)
        result = error_set(MLKV_E_ARGUMENT, "the data is NULL");
    if (result == MLKV_OK && change->adds)
        result = arithmetic_check(ret_form->tensor.dtype, change->alpha);
    return result;
}

void change_chunks(const tensor_change *change, const tensor_form *form, uint64_t *ret_first,
                   uint64_t *ret_end)
{
    bool empty = change->size == 0;
    *ret_first = empty ? 0 : change->first / form->chunk_rows;
    *ret_end = empty ? 0 : (change->first + change->count - 1) / form->chunk_rows + 1;
}

change_part change_part_of(const tensor_change *change, const tensor_form *form, uint64_t chunk)
{
    uint64_t start = chunk * form->chunk_rows,
             end = start + tensor_chunk_size(form, chunk) / form->row_bytes;
    uint64_t from = start > change->first ? start : change->first;
    uint64_t to = end < change->first + change->count ? end : change->first + change->count;
    return (change_part){.offset = (size_t)((from - start) * form->row_bytes),
                         .size = (size_t)((to - from) * form->row_bytes),
                         .data = change->data + (from - change->first) * form->row_bytes};
}

void change_apply(const tensor_change *change, const tensor_form *form, const change_part *part,
                  size_t chunk_size, const unsigned char *old, unsigned char *restrict to)
{
    size_t end = part->offset + part->size;
    if (part->size != chunk_size) {
        memcpy(to, old, part->offset);
        memcpy(to + end, old + end, chunk_size - end);
    }
    if (change->adds)
        arithmetic_add(form->tensor.dtype, to + part->offset, old + part->offset, change->alpha,
                       part->data, part->size / mlkv_dtype_size((mlkv_dtype)form->tensor.dtype));
    else
        memcpy(to + part->offset, part->data, part->size);
}

/* Reads a chunk, decoding it only if its old bytes are needed, and lets go of what its cell refers
 * to. */
static int take_old(op *o, const tensor_form *form, uint64_t id, uint64_t chunk, bool needed,
                    chunk_head *ret_head, const unsigned char **ret_old)
{
    mlkv_slice cell, raw = {0};
    mlkv_buffer *buffers = chunk_scratch();
    if (buffers == NULL)
        return MLKV_E_MEMORY;
    int result = chunk_get(o, form, id, chunk, &buffers[0], ret_head, &cell);
    if (result == MLKV_OK && !cell_borrow(cell, &raw)) {
        if (needed) {
            buffers[1].size = 0;
            result = op_cell_append(o, cell, &buffers[1]);
            raw = slice_of_buffer(&buffers[1]);
        }
        if (result == MLKV_OK)
            result = op_cell_release(o, cell);
    }
    *ret_old = raw.data;
    return result;
}

static int change_chunk(op *o, const tensor_change *change, tensor_form *form, uint64_t id,
                        uint64_t chunk)
{
    enum { CELL_HEADER_SIZE = 1 };
    record_key key;
    chunk_head head;
    const unsigned char *old;
    void *memory;
    change_part part = change_part_of(change, form, chunk);
    size_t size = tensor_chunk_size(form, chunk);
    int result = take_old(o, form, id, chunk, change->adds || part.size != size, &head, &old);
    if (result != MLKV_OK)
        return result;
    form->stored_bytes -=
        head.stored_size < form->stored_bytes ? head.stored_size : form->stored_bytes;
    layout_indexed(RECORD_TENSOR, id, chunk, &key);
    result = op_put_reserve(o, record_key_slice(&key),
                            TENSOR_CHUNK_HEAD_SIZE + CELL_HEADER_SIZE + size, &memory);
    if (result != MLKV_OK)
        return result;
    unsigned char *bytes = memory, *to = bytes + TENSOR_CHUNK_HEAD_SIZE + CELL_HEADER_SIZE;
    change_apply(change, form, &part, size, old, to);
    head = (chunk_head){hash_checksum(to, size, 0), (uint32_t)size,
                        (uint32_t)(CELL_HEADER_SIZE + size)};
    chunk_write_head(&head, bytes);
    bytes[TENSOR_CHUNK_HEAD_SIZE] = CELL_RAW;
    form->stored_bytes += head.stored_size;
    return MLKV_OK;
}

static int change_rule(op *o, void *context)
{
    tensor_change *change = context;
    entry found;
    tensor_form form;
    uint64_t chunk, end;
    change->large = false;
    int result = change_open(o, change, &found, &form);
    if (result != MLKV_OK)
        return result;
    change_chunks(change, &form, &chunk, &end);
    uint64_t chunk_size = form.chunk_rows * form.row_bytes;
    if (chunk_size > TENSOR_INLINE_CHUNK_MAX ||
        (end - chunk) * chunk_size > TENSOR_INLINE_TOTAL_MAX) {
        change->large = end != chunk;
        if (change->large)
            return MLKV_ABSENT;
    }
    form.version++;
    for (; chunk < end && result == MLKV_OK; chunk++)
        result = change_chunk(o, change, &form, found.header.id, chunk);
    return result != MLKV_OK ? result : tensor_store(o, &found, &form);
}

static int change_run(mlkv *view, tensor_change *change)
{
    int result = tensor_check_arguments(view, change->key);
    if (result != MLKV_OK)
        return result;
    result = op_write(view, change_rule, change);
    if (result == MLKV_ABSENT && change->large)
        result = change_run_large(view, change);
    chunk_scratch_trim();
    return result;
}

int mlkv_tensor_write_rows(mlkv *view, mlkv_slice key, uint64_t first, uint64_t count,
                           const void *data, size_t size)
{
    tensor_change change = {.key = key, .first = first, .count = count, .data = data, .size = size};
    return change_run(view, &change);
}

int mlkv_tensor_add(mlkv *view, mlkv_slice key, double alpha, const mlkv_tensor *tensor,
                    const void *delta)
{
    tensor_change change = {
        .key = key, .expected = tensor, .data = delta, .alpha = alpha, .adds = true};
    if (tensor == NULL)
        return error_set(MLKV_E_ARGUMENT, "the delta's description is NULL");
    return change_run(view, &change);
}

int mlkv_tensor_add_rows(mlkv *view, mlkv_slice key, double alpha, uint64_t first, uint64_t count,
                         const void *delta, size_t size)
{
    tensor_change change = {.key = key,
                            .first = first,
                            .count = count,
                            .data = delta,
                            .size = size,
                            .alpha = alpha,
                            .adds = true};
    return change_run(view, &change);
}
