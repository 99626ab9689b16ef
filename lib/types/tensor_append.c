/* tensor_append.c - rows behind the last one: a data set that grows.
 *
 * Only the last chunk, if it has room, and new chunks are written. Two ways:
 *   inline    the rows go into one chunk and leave room in it: under the lock, stored raw, as it will
 *             be written again soon
 *   prepared  otherwise: read the last chunk, encode it with its new rows and the chunks behind it
 *             outside the lock (as blobs, if there are many); then, in one rule: the tensor still has
 *             that form, and its last chunk that head, so put all. If not, begin anew; after TRIES_MAX
 *             rounds in a transaction, which keeps all other writers out.
 *
 * Rows of a chunk: a tensor that has a single chunk may have had its rows of a chunk cut down to the
 * rows there were. So as long as there is one chunk they are again what the default size of a chunk
 * makes of them, or what they are, if that is more; from two chunks on they stay.
 *
 * State: one `appending` a call.
 *
 * Invariants:
 *  1. The rows become visible at once, with the new shape and version + 1.
 *  2. What was prepared belongs to `before`: nothing else is put upon.
 *
 * Locks: none but the rule's, at last the transaction's.
 */
#include "types/tensor.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/hash.h"

#include <stdlib.h>

enum {
    TRIES_MAX = 4,
    GROUP_CHUNKS = 1024, /* that share LMDB commits */
    GROUP_BYTES = 32 << 20,
};

typedef struct {
    mlkv_slice key;
    uint64_t count;
    const unsigned char *data;
    size_t size;
    uint64_t rows; /* in the end */
    bool large;    /* set by the inline rule */
    /* prepared: */
    uint64_t id;
    tensor_form before, after;
    chunk_head noted; /* of the last chunk, if it is not full; raw_size 0: it is */
    mlkv_buffer tail; /* that chunk's bytes, then with the first new rows */
    prepared_chunks prepared;
    bool again; /* the tensor is not as it was prepared for */
} appending;

/* Bytes of a chunk if there are rows enough. */
static uint64_t chunk_bytes_of(const tensor_form *form)
{
    uint64_t bytes = form->chunk_rows * form->row_bytes;
    uint64_t least = tensor_chunk_default(form->contiguous);
    return form->chunks > 1 || bytes > least ? bytes : least;
}

/* The form with the new rows; version and stored bytes are those of before. */
static int grow(const appending *self, const tensor_form *form, tensor_form *ret_form)
{
    mlkv_tensor tensor = form->tensor;
    bool fits = form->row_bytes == 0 ? self->size == 0
                                     : self->size / form->row_bytes == self->count &&
                                           self->size % form->row_bytes == 0;
    if (tensor.dimensions == 0)
        return error_set(MLKV_E_SHAPE, "rows are to be appended to tensor '%s', which is a scalar",
                         error_quote(self->key.data, self->key.size));
    if (!fits)
        return error_set(MLKV_E_SHAPE,
                         "%zu bytes are given for %llu rows of tensor '%s', each of which takes "
                         "%llu (%s)",
                         self->size, (unsigned long long)self->count,
                         error_quote(self->key.data, self->key.size),
                         (unsigned long long)form->row_bytes, tensor_text(&form->tensor));
    if (self->data == NULL && self->size != 0)
        return error_set(MLKV_E_ARGUMENT, "the data is NULL");
    if (self->count > UINT64_MAX - tensor.shape[0])
        return error_set(MLKV_E_SIZE, "%llu rows cannot be appended to tensor '%s', which is %s",
                         (unsigned long long)self->count,
                         error_quote(self->key.data, self->key.size), tensor_text(&form->tensor));
    tensor.shape[0] += self->count;
    int result =
        tensor_form_make(&tensor, (size_t)chunk_bytes_of(form), form->contiguous, ret_form);
    ret_form->version = form->version;
    ret_form->stored_bytes = form->stored_bytes;
    ret_form->beside = form->beside;
    return result;
}

/* The first chunk that is written: the last one of before if it has room, whose bytes of before are
 * *ret_tail; else the one behind it. */
static uint64_t first_chunk(const tensor_form *before, const tensor_form *after, size_t *ret_tail)
{
    *ret_tail = (size_t)(before->rows % after->chunk_rows * after->row_bytes);
    return before->rows / after->chunk_rows;
}

/* --- inline --- */

static int put_inline(op *o, const appending *self, const tensor_form *before, tensor_form *after,
                      uint64_t id)
{
    size_t tail;
    chunk_head head;
    const unsigned char *old = NULL;
    unsigned char *to;
    uint64_t chunk = first_chunk(before, after, &tail);
    int result = tail == 0 ? MLKV_OK : chunk_take(o, before, id, chunk, true, &head, &old);
    if (result == MLKV_OK)
        result = chunk_reserve_raw(o, id, chunk, tail + self->size, &to);
    if (result != MLKV_OK)
        return result;
    if (tail != 0)
        chunk_forget(after, &head);
    bytes_copy(to, old, tail);
    bytes_copy(to + tail, self->data, self->size);
    after->stored_bytes += chunk_finish_raw(to, tail + self->size);
    return MLKV_OK;
}

static int inline_rule(op *o, void *context)
{
    appending *self = context;
    entry found;
    tensor_form before, after;
    size_t tail;
    self->large = false;
    int result = tensor_open(o, self->key, &found, &before);
    if (result == MLKV_OK)
        result = grow(self, &before, &after);
    if (result != MLKV_OK)
        return result;
    uint64_t full = chunk_bytes_of(&before);
    if (before.contiguous && after.chunk_rows * after.row_bytes > full)
        full = after.chunk_rows * after.row_bytes; /* in whole pages */
    bool nothing = self->size == 0;
    (void)first_chunk(&before, &after, &tail);
    self->large = !nothing && (full > TENSOR_INLINE_CHUNK_MAX || self->size > full - tail ||
                               full - tail - self->size < after.row_bytes);
    if (self->large)
        return MLKV_ABSENT;
    after.version++;
    result = nothing ? MLKV_OK : put_inline(o, self, &before, &after, found.header.id);
    self->rows = after.rows;
    return result != MLKV_OK ? result : tensor_store(o, &found, &after);
}

/* --- prepared --- */

static int open_rule(op *o, void *context)
{
    appending *self = context;
    entry found;
    size_t tail;
    self->noted = (chunk_head){0};
    self->tail.size = 0;
    int result = tensor_open(o, self->key, &found, &self->before);
    if (result == MLKV_OK)
        result = grow(self, &self->before, &self->after);
    if (result != MLKV_OK)
        return result;
    self->id = found.header.id;
    uint64_t chunk = first_chunk(&self->before, &self->after, &tail);
    if (tail == 0)
        return MLKV_OK;
    void *to = buffer_extend(&self->tail, tail);
    return to == NULL ? error_set_memory("a tensor's chunk")
                      : chunk_read(o, &self->before, self->id, chunk, 0, tail, to, &self->noted);
}

/* The raw bytes of a chunk, where they stand. The first one has been completed in the buffer. */
static mlkv_slice raw_of(const appending *self, uint64_t chunk)
{
    size_t tail;
    uint64_t first = first_chunk(&self->before, &self->after, &tail);
    if (chunk == first && tail != 0)
        return slice_of_buffer(&self->tail);
    uint64_t row = chunk * self->after.chunk_rows - self->before.rows;
    return slice_of(self->data + row * self->after.row_bytes,
                    tensor_chunk_size(&self->after, chunk));
}

static int encode(mlkv *view, appending *self)
{
    size_t tail;
    uint64_t chunk = first_chunk(&self->before, &self->after, &tail);
    bool as_blobs = prepared_as_blobs(&self->after, tail + (uint64_t)self->size);
    int result = MLKV_OK;
    if (tail != 0) {
        size_t more = tensor_chunk_size(&self->after, chunk) - tail;
        result = buffer_append(&self->tail, self->data, more);
    }
    prepared_chunk *items = calloc(GROUP_CHUNKS, sizeof *items);
    mlkv_slice *raws = calloc(GROUP_CHUNKS, sizeof *raws);
    if (items == NULL || raws == NULL)
        result = error_set_memory("a tensor's chunks");
    while (chunk < self->after.chunks && result == MLKV_OK) {
        size_t n = 0, bytes = 0;
        for (; chunk < self->after.chunks && n < GROUP_CHUNKS && bytes < GROUP_BYTES; chunk++) {
            raws[n] = raw_of(self, chunk);
            items[n] =
                (prepared_chunk){.chunk = chunk,
                                 .head = {.checksum = hash_checksum(raws[n].data, raws[n].size, 0),
                                          .raw_size = (uint32_t)raws[n].size}};
            bytes += raws[n++].size;
        }
        result = prepared_add(view, &self->prepared, &self->after, items, raws, n, as_blobs);
    }
    free(items);
    free(raws);
    return result;
}

/* Lets go of the last chunk, which is put anew; again is set if it is another one by now. */
static int take_tail(op *o, appending *self, const tensor_form *before, tensor_form *after)
{
    size_t tail;
    chunk_head head;
    const unsigned char *unused;
    uint64_t chunk = first_chunk(before, after, &tail);
    if (tail == 0)
        return MLKV_OK;
    int result = chunk_take(o, before, self->id, chunk, false, &head, &unused);
    if (result == MLKV_OK) {
        self->again = !chunk_head_same(&head, &self->noted);
        chunk_forget(after, &head);
    }
    return result;
}

static int put_rule(op *o, void *context)
{
    appending *self = context;
    entry found;
    tensor_form before, after;
    self->again = false;
    int result = tensor_open(o, self->key, &found, &before);
    if (result == MLKV_OK)
        result = grow(self, &before, &after);
    if (result != MLKV_OK)
        return result;
    self->again = found.header.id != self->id || !tensor_form_same(&before, &self->before);
    if (!self->again)
        result = take_tail(o, self, &before, &after);
    if (result != MLKV_OK)
        return result;
    if (self->again)
        return error_set(MLKV_E_BUSY, "tensor '%s' was changed by others again and again",
                         error_quote(self->key.data, self->key.size));
    after.version++;
    result = prepared_put(o, &self->prepared, &after, self->id, false);
    self->rows = after.rows;
    return result != MLKV_OK ? result : tensor_store(o, &found, &after);
}

static int attempt(mlkv *view, void *context)
{
    appending *self = context;
    self->again = false;
    prepared_done(view, &self->prepared);
    int result = op_read(view, open_rule, self);
    if (result == MLKV_OK)
        result = encode(view, self);
    return result != MLKV_OK ? result : op_write(view, put_rule, self);
}

static int run_prepared(mlkv *view, appending *self)
{
    int result = attempt(view, self);
    for (int i = 1; self->again && i < TRIES_MAX; i++)
        result = attempt(view, self);
    if (self->again)
        result = op_transact(view, attempt, self);
    prepared_done(view, &self->prepared);
    mlkv_buffer_free(&self->tail);
    return result;
}

int mlkv_tensor_append_rows(mlkv *view, mlkv_slice key, uint64_t count, const void *data,
                            size_t size, uint64_t *ret_rows)
{
    appending self = {.key = key, .count = count, .data = data, .size = size};
    int result = tensor_check_arguments(view, key);
    if (result == MLKV_OK)
        result = op_write(view, inline_rule, &self);
    if (result == MLKV_ABSENT && self.large)
        result = run_prepared(view, &self);
    if (result == MLKV_OK && ret_rows != NULL)
        *ret_rows = self.rows;
    chunk_scratch_trim();
    return result;
}
