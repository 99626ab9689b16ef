/* tensor_gather.c - rows by an array of their numbers, into the caller's matrix: the lookup of
 * embeddings.
 *
 * The numbers are sorted, BATCH_MAX of them at a time, so that memory is bounded; within a batch each
 * chunk is visited once. Of a chunk that is stored raw, in a record or in a blob, only the rows are
 * copied; any other is decoded once, by several threads if there are many: as much of it as a few rows
 * need, or all of it, to be kept for the next who wants rows of it (chunk_copy).
 *
 * Rows that stand beside their chunks (tensor_rows.c) are laid over what was copied; if all that is
 * wanted of a chunk stands there, it is not touched.
 *
 * All rows are of one state, as those of a read (tensor_pass): a change of the tensor by others makes
 * the whole gathering begin anew, at last with the writers held back.
 *
 * State: one `gathering` a call. Locks: none.
 *
 * Invariants:
 *  1. pass.at counts places of the sorted order: whole batches, and entries of the batch that the
 *     plan is of.
 *  2. The group refers to entries of the plan: it is run before another plan is made.
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
    FEW_PART = 4, /* more than this part of a chunk is a scan: all is decoded, nothing kept */
};

typedef struct {
    tensor_pass pass; /* the first: the step is given it */
    const uint64_t *rows;
    size_t n;
    unsigned char *data;
    size_t size;
    row_plan plan;
    bool grouped;
    chunk_group group; /* chunks that have to be decoded; it refers to the plan */
    tensor_form form;  /* what its tasks know of the tensor */
    size_t laid,
        gathered; /* entries of the plan: up to where rows beside were laid, chunks copied */
} gathering;

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

static void make_parts(const gathering *self, const tensor_form *form, const plan_entry *entries,
                       size_t n, uint64_t chunk_first, blob_part *ret_parts)
{
    size_t row_bytes = (size_t)form->row_bytes;
    for (size_t i = 0; i < n; i++)
        ret_parts[i] = (blob_part){(entries[i].row - chunk_first) * row_bytes, row_bytes,
                                   self->data + entries[i].at * row_bytes};
}

/* Rows of a chunk that is a blob: the view copies them out of its pieces. */
static int copy_parts(op *o, const gathering *self, const tensor_form *form,
                      const plan_entry *entries, size_t n, uint64_t chunk_first, mlkv_slice cell)
{
    blob_part parts[PARTS];
    int result = MLKV_OK;
    for (size_t done = 0; done < n && result == MLKV_OK;) {
        size_t count = n - done < PARTS ? n - done : PARTS;
        make_parts(self, form, entries + done, count, chunk_first, parts);
        result = op_cell_read_parts(o, cell, parts, count);
        done += count;
    }
    return result;
}

static int copy_packed(const op *o, const gathering *self, const chunk_part *part)
{
    const tensor_form *form = &self->form;
    const packed_chunk packed = {self->pass.id, part->chunk, part->head, part->cell};
    uint64_t first = part->chunk * form->chunk_rows;
    chunk_loan loan = {0};
    if (part->n <= PARTS && part->n <= form->chunk_rows / FEW_PART) {
        blob_part parts[PARTS];
        make_parts(self, form, part->entries, part->n, first, parts);
        return chunk_copy(o, &packed, parts, part->n);
    }
    int result = chunk_borrow(o, &packed, &loan);
    if (result != MLKV_OK)
        return result;
    copy_rows(self, form, part->entries, part->n, first, loan.raw);
    chunk_return(o, &loan);
    return MLKV_OK;
}

/* Task. */
static int copy_ith(void *context, size_t i)
{
    const gathering *self = context;
    return copy_packed(self->group.o, self, &self->group.parts[i]);
}

/* The rows of one chunk: at once, or, if it has to be decoded and is one of many, when the group is run. */
static int gather_chunk(op *o, gathering *self, uint64_t chunk, const plan_entry *entries, size_t n)
{
    chunk_part part = {.chunk = chunk, .entries = entries, .n = n};
    const tensor_form *form = &self->form;
    mlkv_slice raw;
    mlkv_buffer *buffers = chunk_scratch();
    if (buffers == NULL)
        return MLKV_E_MEMORY;
    int result = chunk_get(o, form, self->pass.id, chunk, &buffers[0], &part.head, &part.cell);
    if (result != MLKV_OK)
        return result;
    if (cell_borrow(part.cell, &raw)) {
        copy_rows(self, form, entries, n, chunk * form->chunk_rows, raw.data);
        return MLKV_OK;
    }
    if (!chunk_is_packed(&part.head, part.cell))
        return chunk_named(
            copy_parts(o, self, form, entries, n, chunk * form->chunk_rows, part.cell), chunk);
    if (!self->grouped)
        return op_judge(o, copy_packed(o, self, &part));
    result = group_take(&self->group, o, self->pass.id, &part, &buffers[0]);
    return result == MLKV_OK && group_is_full(&self->group)
               ? group_run(&self->group, copy_ith, self)
               : result;
}

/* Rows beside a chunk, looked for by a scan. */
typedef struct {
    const gathering *self;
    size_t end; /* entries of the plan */
    uint64_t chunk_first;
} overlaying;

static int overlay(op *o, void *context, mlkv_slice key, uint64_t row, const unsigned char *bytes)
{
    const overlaying *all = context;
    const gathering *self = all->self;
    const plan_entry *entries = self->plan.entries;
    size_t row_bytes = (size_t)self->form.row_bytes;
    uint64_t wanted = all->chunk_first + row;
    (void)o;
    (void)key;
    for (size_t i = plan_find(&self->plan, wanted); i < all->end && entries[i].row == wanted; i++)
        memcpy(self->data + entries[i].at * row_bytes, bytes, row_bytes);
    return MLKV_OK;
}

/* Of entries [first, end), which are of one chunk, those that stand beside it. *ret_all: every one is known
 * to. */
static int lay_over(op *o, const gathering *self, size_t first, size_t end, bool *ret_all)
{
    const plan_entry *entries = self->plan.entries;
    size_t found = 0, row_bytes = (size_t)self->form.row_bytes;
    const rows_at at = {o, &self->form, self->pass.id, entries[first].row / self->form.chunk_rows};
    uint64_t chunk_first = at.chunk * self->form.chunk_rows;
    overlaying all = {self, end, chunk_first};
    mlkv_slice bytes;
    *ret_all = false;
    if (end - first > ROWS_FEW)
        return rows_each(&at, entries[first].row - chunk_first, overlay, &all);
    for (size_t i = first; i < end; i++) {
        int result = rows_get(&at, entries[i].row - chunk_first, &bytes);
        if (result < 0)
            return result;
        if (result == MLKV_OK)
            memcpy(self->data + entries[i].at * row_bytes, bytes.data, row_bytes);
        found += result == MLKV_OK;
    }
    *ret_all = found == end - first;
    return MLKV_OK;
}

/* Copies what is still to be decoded, and lays over all that was gathered since the last time what
 * stands beside the chunks. */
static int finish(op *o, gathering *self)
{
    bool all;
    size_t first = self->laid, end = first;
    int result = group_run(&self->group, copy_ith, self);
    for (; first < self->gathered && self->form.beside != 0 && result == MLKV_OK; first = end) {
        uint64_t chunk = self->plan.entries[first].row / self->form.chunk_rows;
        uint64_t chunk_end = (chunk + 1) * self->form.chunk_rows;
        while (end < self->gathered && self->plan.entries[end].row < chunk_end)
            end++;
        result = lay_over(o, self, first, end, &all);
    }
    self->laid = self->gathered;
    return result;
}

/* The plan of the batch in which place `at` is. */
static int plan_batch(op *o, gathering *self, const tensor_form *form, uint64_t at)
{
    size_t first = (size_t)at / BATCH_MAX * BATCH_MAX;
    size_t n = self->n - first < BATCH_MAX ? self->n - first : BATCH_MAX;
    int result = MLKV_OK;
    if (self->plan.n == 0 || self->plan.first != first) {
        result = finish(o, self);
        if (result == MLKV_OK)
            result = plan_make(self->rows, first, n, &self->plan);
        self->laid = self->gathered = 0;
    }
    return result != MLKV_OK ? result : plan_check_rows(self->pass.key, form, &self->plan);
}

static void prefetch_chunk(op *o, const gathering *self, const tensor_form *form, uint64_t row)
{
    record_key key;
    layout_indexed(RECORD_TENSOR, self->pass.id, row / form->chunk_rows, &key);
    op_prefetch(o, record_key_slice(&key));
}

/* The rows of one chunk, from place *at of the order on. */
static int gather_next(op *o, gathering *self, const tensor_form *form, uint64_t *at)
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
    bool all = false;
    int result = MLKV_OK;
    if (form->beside != 0 && end - first <= ROWS_FEW) /* perhaps the chunk need not be touched */
        result = lay_over(o, self, first, end, &all);
    if (result == MLKV_OK && !all)
        result = gather_chunk(o, self, chunk, entries + first, end - first);
    self->gathered = end;
    return result;
}

static int gather_step(op *o, tensor_pass *pass, const tensor_form *form)
{
    gathering *self = (gathering *)pass;
    uint64_t at = pass->at, bytes = 0;
    self->form = *form;
    self->grouped = group_pays(form, (self->n < form->chunks ? self->n : form->chunks) *
                                         form->chunk_rows * form->row_bytes);
    group_begin(&self->group);
    self->laid = self->gathered = (size_t)at - self->plan.first;
    int result = plan_check_size(pass->key, form, self->n, self->size);
    while (at < self->n && bytes < pass->group_bytes && result == MLKV_OK) {
        result = plan_batch(o, self, form, at);
        if (result != MLKV_OK)
            break;
        if (form->raw_bytes == 0)
            at = self->plan.first + self->plan.n;
        else
            result = gather_next(o, self, form, &at);
        bytes += form->chunk_rows * form->row_bytes;
    }
    if (result == MLKV_OK)
        result = finish(o, self);
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
    group_done(&self.group);
    chunk_scratch_trim();
    return result;
}
