/* tensor_gather.c - rows by an array of their numbers, into the caller's matrix: the lookup of
 * embeddings.
 *
 * The numbers are sorted, BATCH_MAX of them at a time, so that memory is bounded; within a batch each
 * chunk is visited once. Of a chunk that is stored raw, in a record or in a blob, only the rows are
 * copied; any other is decoded once, into the thread's scratch or piece by piece.
 *
 * All rows are of one state, as those of a read (tensor_pass): a change of the tensor by others makes
 * the whole gathering begin anew, at last with the writers held back.
 *
 * State: one `gathering` a call. Locks: none.
 *
 * Invariants:
 *  1. pass.at counts places of the sorted order: whole batches, and entries of the batch that the
 *     plan is of.
 */
#include "types/tensor.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/hash.h"

enum {
    BATCH_MAX = 4 << 20, /* row numbers sorted at once: 128 MiB while they are */
    PARTS = 128,         /* rows given to the view at once */
    AHEAD = 8,           /* rows whose memory is fetched beforehand */
};

typedef struct {
    tensor_pass pass; /* the first: the step is given it */
    const uint64_t *rows;
    size_t n;
    unsigned char *data;
    size_t size;
    row_plan plan;
} gathering;

/* The plan of the batch in which place `at` is. */
static int plan_batch(gathering *self, const tensor_form *form, uint64_t at)
{
    size_t first = (size_t)at / BATCH_MAX * BATCH_MAX;
    size_t n = self->n - first < BATCH_MAX ? self->n - first : BATCH_MAX;
    int result = self->plan.n != 0 && self->plan.first == first
                     ? MLKV_OK
                     : plan_make(self->rows, first, n, &self->plan);
    return result != MLKV_OK ? result : plan_check_rows(self->pass.key, form, &self->plan);
}

static void copy_rows(const gathering *self, const tensor_form *form, const plan_entry *entries,
                      size_t n, uint64_t chunk_first, const unsigned char *raw)
{
    size_t row_bytes = (size_t)form->row_bytes;
    for (size_t i = 0; i < n; i++) {
        if (i + AHEAD < n)
            __builtin_prefetch(self->data + entries[i + AHEAD].at * row_bytes, 1);
        memcpy(self->data + entries[i].at * row_bytes,
               raw + (entries[i].row - chunk_first) * row_bytes, row_bytes);
    }
}

/* Rows of a chunk that is a blob: the view copies them out of its pieces. */
static int copy_parts(op *o, const gathering *self, const tensor_form *form,
                      const plan_entry *entries, size_t n, uint64_t chunk_first, mlkv_slice cell)
{
    blob_part parts[PARTS];
    size_t row_bytes = (size_t)form->row_bytes;
    int result = MLKV_OK;
    for (size_t done = 0; done < n && result == MLKV_OK;) {
        size_t count = n - done < PARTS ? n - done : PARTS;
        for (size_t i = 0; i < count; i++, done++)
            parts[i] = (blob_part){(entries[done].row - chunk_first) * row_bytes, row_bytes,
                                   self->data + entries[done].at * row_bytes};
        result = op_cell_read_parts(o, cell, parts, count);
    }
    return result;
}

static int gather_chunk(op *o, const gathering *self, const tensor_form *form, uint64_t chunk,
                        const plan_entry *entries, size_t n)
{
    chunk_head head;
    mlkv_slice cell, raw;
    int kind;
    uint64_t raw_size, first = chunk * form->chunk_rows;
    cell_blob blob;
    mlkv_buffer *buffers = chunk_scratch();
    if (buffers == NULL)
        return MLKV_E_MEMORY;
    int result = chunk_get(o, form, self->pass.id, chunk, &buffers[0], &head, &cell);
    if (result == MLKV_OK)
        result = cell_inspect(cell, &kind, &raw_size, &blob);
    if (result != MLKV_OK)
        return result;
    if (kind == CELL_BLOB)
        return chunk_named(copy_parts(o, self, form, entries, n, first, cell), chunk);
    if (!cell_borrow(cell, &raw)) {
        result = chunk_decode(o, &head, self->pass.id, chunk, cell, &buffers[1]);
        raw = slice_of_buffer(&buffers[1]);
    }
    if (result == MLKV_OK)
        copy_rows(self, form, entries, n, first, raw.data);
    return result;
}

static void prefetch_chunk(op *o, const gathering *self, const tensor_form *form, uint64_t row)
{
    record_key key;
    layout_indexed(RECORD_TENSOR, self->pass.id, row / form->chunk_rows, &key);
    op_prefetch(o, record_key_slice(&key));
}

/* The rows of one chunk, from place *at of the order on. */
static int gather_next(op *o, const gathering *self, const tensor_form *form, uint64_t *at)
{
    const plan_entry *entries = self->plan.entries;
    size_t first = (size_t)*at - self->plan.first, end = first;
    uint64_t chunk = entries[first].row / form->chunk_rows;
    uint64_t chunk_end = (chunk + 1) * form->chunk_rows;
    while (end < self->plan.n && entries[end].row < chunk_end)
        end++;
    if (end < self->plan.n)
        prefetch_chunk(o, self, form, entries[end].row);
    *at += end - first;
    return gather_chunk(o, self, form, chunk, entries + first, end - first);
}

static int gather_step(op *o, tensor_pass *pass, const tensor_form *form)
{
    gathering *self = (gathering *)pass;
    uint64_t at = pass->at, bytes = 0;
    int result = plan_check_size(pass->key, form, self->n, self->size);
    while (at < self->n && bytes < pass->group_bytes && result == MLKV_OK) {
        result = plan_batch(self, form, at);
        if (result != MLKV_OK)
            break;
        if (form->raw_bytes == 0)
            at = self->plan.first + self->plan.n;
        else
            result = gather_next(o, self, form, &at);
        bytes += form->chunk_rows * form->row_bytes;
    }
    pass->reached = at;
    pass->done = at >= self->n;
    return result;
}

int mlkv_tensor_gather(mlkv *view, mlkv_slice key, const uint64_t *rows, size_t n, void *data,
                       size_t size)
{
    gathering self = {.pass = {.key = key, .step = gather_step},
                      .rows = rows,
                      .n = n,
                      .data = data,
                      .size = size};
    int result = tensor_check_arguments(view, key);
    if (result == MLKV_OK)
        result = plan_check_arguments(rows, n);
    if (result == MLKV_OK && data == NULL && size != 0)
        result = error_set(MLKV_E_ARGUMENT, "%zu bytes are to be written at NULL", size);
    if (result == MLKV_OK)
        result = tensor_pass_run(view, &self.pass);
    plan_done(&self.plan);
    chunk_scratch_trim();
    return result;
}
