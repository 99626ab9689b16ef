/* tensor_prepared.c - chunks that were encoded, and if large written to LMDB as blobs, outside
 * every lock; and the rule's part that puts them.
 *
 * State: a list of chunks with their op_values. A value is either adopted by a committed operation
 * or given back by prepared_done.
 *
 * Invariants:
 *  1. items and values have the same count.
 *  2. After prepared_put every item's T record is that of the new bytes, what stood there before is
 *     released with the rows beside it, and the form's stored_bytes is again the sum of all chunks'.
 *
 * How large a blob is when encoded is not told by its cell, so its B records are looked at once,
 * right after they were written: one scan for a whole group, whose ids follow each other.
 *
 * Locks: none; prepared_put runs inside a rule.
 */
#include "types/tensor.h"

#include "base/bytes.h"
#include "base/error.h"
#include "types/dtype.h"

#include <stdlib.h>

enum {
    BLOBS_FROM_TOTAL = 8 << 20,  /* more than this of a call's chunks is not held in memory: it goes
                                    to LMDB at once */
    BLOBS_FROM_CHUNK = 32 << 10, /* below, a blob's three records cost more than they save */
    BLOB_KEY_SIZE = 13,          /* B id piece */
};

bool prepared_as_blobs(const tensor_form *form, uint64_t total_bytes)
{
    return total_bytes > BLOBS_FROM_TOTAL && form->chunk_rows * form->row_bytes >= BLOBS_FROM_CHUNK;
}

bool prepared_shareable(const tensor_form *form)
{
    uint64_t chunk = form->chunk_rows * form->row_bytes;
    return (chunk < form->raw_bytes ? chunk : form->raw_bytes) >= BLOBS_FROM_CHUNK;
}

static int reserve(prepared_chunks *self, size_t n)
{
    if (self->capacity - self->count >= n)
        return MLKV_OK;
    size_t capacity = self->count + n + self->capacity / 2;
    prepared_chunk *items = reallocarray(self->items, capacity, sizeof *items);
    if (items != NULL)
        self->items = items;
    op_value *values = items == NULL ? NULL : reallocarray(self->values, capacity, sizeof *values);
    if (values == NULL)
        return error_set_memory("a tensor's chunks");
    self->values = values;
    self->capacity = capacity;
    return MLKV_OK;
}

static uint32_t bounded32(uint64_t size)
{
    return size > UINT32_MAX ? UINT32_MAX : (uint32_t)size;
}

/* Adds what the B records of these items take. The items' blobs have ascending ids. */
static int measure_blobs(mlkv *view, prepared_chunk *items, const op_value *values, size_t n)
{
    record_key start;
    scan *records = NULL;
    mlkv_slice key, value;
    size_t i = 0;
    layout_id(RECORD_BLOB, values[0].blob.id, &start);
    int result = scan_open(view, slice_of(start.bytes, 1), record_key_slice(&start), &records);
    while (result == MLKV_OK && (result = scan_next(records, &key, &value)) == MLKV_OK &&
           key.size == BLOB_KEY_SIZE) {
        uint64_t id = load_be64((const unsigned char *)key.data + 1);
        while (i < n && values[i].blob.id < id)
            i++;
        if (i == n)
            break;
        if (values[i].blob.id == id)
            items[i].head.stored_size = bounded32((uint64_t)items[i].head.stored_size + value.size);
    }
    scan_close(records);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

static int measure(mlkv *view, prepared_chunk *items, const op_value *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        items[i].head.stored_size = bounded32(values[i].cell.size);
    size_t i = 0;
    int result = MLKV_OK;
    while (i < n && result == MLKV_OK) {
        size_t run = 0;
        while (i + run < n && values[i + run].blob.id != 0 &&
               (run == 0 || values[i + run].blob.id > values[i + run - 1].blob.id))
            run++;
        if (run != 0)
            result = measure_blobs(view, items + i, values + i, run);
        i += run != 0 ? run : 1;
    }
    return result;
}

int prepared_add(mlkv *view, prepared_chunks *self, const tensor_form *form,
                 const prepared_chunk *chunks, const mlkv_slice *raws, size_t n, bool as_blobs)
{
    if (n == 0)
        return MLKV_OK;
    int result = reserve(self, n);
    if (result != MLKV_OK)
        return result;
    prepared_chunk *items = self->items + self->count;
    op_value *values = self->values + self->count;
    memcpy(items, chunks, n * sizeof *items);
    memset(values, 0, n * sizeof *values);
    self->count += n; /* so that prepared_done also frees what a failure leaves half done */
    result = form->contiguous ? op_values_prepare_paged(view, raws, n, values)
                              : op_values_prepare(view, dtype_planes(form->tensor.dtype), raws, n,
                                                  as_blobs, values);
    return result != MLKV_OK ? result : measure(view, items, values, n);
}

int prepared_move(prepared_chunks *self, size_t first, size_t n, prepared_chunks *to)
{
    if (n == 0)
        return MLKV_OK;
    int result = reserve(to, n);
    if (result != MLKV_OK)
        return result;
    memcpy(to->items + to->count, self->items + first, n * sizeof *to->items);
    memcpy(to->values + to->count, self->values + first, n * sizeof *to->values);
    memset(self->values + first, 0, n * sizeof *self->values);
    to->count += n;
    return MLKV_OK;
}

void prepared_drop(mlkv *view, prepared_chunks *self, const bool *drop, const uint64_t *first)
{
    size_t kept = 0;
    for (size_t i = 0; i < self->count; i++) {
        if (drop[first == NULL ? i : self->items[i].chunk - *first]) {
            op_value_done(view, &self->values[i]);
            continue;
        }
        self->items[kept] = self->items[i];
        self->values[kept++] = self->values[i];
    }
    self->count = kept;
}

static int release_old(op *o, tensor_form *form, uint64_t id, uint64_t chunk, mlkv_buffer *scratch)
{
    chunk_head head;
    mlkv_slice cell;
    int result = chunk_get(o, form, id, chunk, scratch, &head, &cell);
    if (result == MLKV_OK)
        result = rows_note(&(rows_at){o, form, id, chunk}, NULL, true, &head);
    if (result != MLKV_OK)
        return result;
    chunk_forget(form, &head);
    return op_cell_release(o, cell);
}

int prepared_put(op *o, prepared_chunks *self, tensor_form *form, uint64_t id, bool replace)
{
    mlkv_buffer *scratch = chunk_scratch();
    int result = scratch == NULL ? MLKV_E_MEMORY : MLKV_OK;
    for (size_t i = 0; i < self->count && result == MLKV_OK; i++) {
        record_key key;
        unsigned char head[TENSOR_CHUNK_HEAD_SIZE];
        if (replace)
            result = release_old(o, form, id, self->items[i].chunk, scratch);
        if (result == MLKV_OK)
            result = op_value_adopt(o, &self->values[i]);
        if (result != MLKV_OK)
            return result;
        layout_indexed(RECORD_TENSOR, id, self->items[i].chunk, &key);
        chunk_write_head(&self->items[i].head, head);
        result = op_put_parts(o, record_key_slice(&key), slice_of(head, sizeof head),
                              slice_of_buffer(&self->values[i].cell));
        form->stored_bytes += self->items[i].head.stored_size;
    }
    return result;
}

void prepared_done(mlkv *view, prepared_chunks *self)
{
    for (size_t i = 0; i < self->count; i++)
        op_value_done(view, &self->values[i]);
    free(self->items);
    free(self->values);
    *self = (prepared_chunks){0};
}
