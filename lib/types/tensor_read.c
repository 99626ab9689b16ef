/* tensor_read.c - a tensor's rows into the caller's memory, or into memory that is allocated for them,
 * and the pass over many chunks of one state that gathering is, too.
 *
 * A read of up to GROUP_BYTES is one operation. A larger one is several, each of which opens the
 * key again: id and version are the same in all of them, so all chunks are of one state (every
 * change raises the version in the same rule). If they changed, the read begins anew, after
 * RESTARTS_MAX times as one operation, for which the view at last holds the writers back. So writes
 * to other keys never disturb a long read.
 *
 * Chunks are decoded straight into the caller's memory, many at once by several threads
 * (tensor_group.c); rows that stand beside them (tensor_rows.c) are laid over that. State: one `reading`
 * a call. Locks: none.
 *
 * Memory is allocated between two passes, never in one: the allocator may be the caller's, and a rule
 * may run under the writer lock. So each state that a pass meets is compared with what was allocated;
 * if it needs more, the pass ends, and the next one begins with new memory. From the second time on a
 * quarter more is asked for: so a tensor that grows all the time is overtaken, and memory that is
 * enough is kept, so that one that shrinks and grows again costs nothing. The form that is returned is
 * that of the pass that read the data.
 */
#include "types/tensor.h"

#include "base/bytes.h"
#include "base/error.h"

#include <stdlib.h>

enum {
    GROUP_BYTES = 4 << 20, /* read as of one moment by the view itself: about a millisecond */
    RESTARTS_MAX = 4,
    TENSOR_ALIGNMENT = 64, /* a cache line and the widest vector; as DLPack wants it */
};

static int pass_rule(op *o, void *context)
{
    tensor_pass *self = context;
    entry found;
    tensor_form form;
    self->moved = false;
    int result = tensor_open(o, self->key, &found, &form);
    if (result != MLKV_OK && !self->begun)
        return result;
    if (result != MLKV_OK ||
        (self->begun && (self->id != found.header.id || self->version != form.version))) {
        self->moved = result >= 0 || result == MLKV_E_TYPE;
        return self->moved ? MLKV_OK : result;
    }
    self->id = found.header.id;
    self->version = form.version;
    return self->step(o, self, &form);
}

int tensor_pass_run(mlkv *view, tensor_pass *self)
{
    int restarts = 0;
    self->group_bytes = GROUP_BYTES;
    for (;;) {
        int result = op_read(view, pass_rule, self);
        if (result != MLKV_OK)
            return result == MLKV_E_CORRUPT
                       ? error_set(result, "tensor '%s': %s",
                                   error_quote(self->key.data, self->key.size), mlkv_error_detail())
                       : result;
        if (!self->moved && self->done)
            return MLKV_OK;
        self->begun = !self->moved;
        self->at = self->moved ? 0 : self->reached;
        if (self->moved && ++restarts >= RESTARTS_MAX)
            self->group_bytes = UINT64_MAX;
    }
}

typedef struct {
    tensor_pass pass; /* the first: the step is given it. at: rows behind `first` */
    bool whole;
    uint64_t first, count; /* rows */
    unsigned char *data;
    size_t size;
    chunk_group group;
    tensor_form form; /* read_allocated: the state that the pass met */
    size_t wanted;    /* likewise: the bytes that it needs if it does not go into data, else 0 */
} reading;

/* Rows [row, row + rows) of one chunk: at once, or when the group is read. */
static int read_chunk(op *o, reading *self, const tensor_form *form, bool grouped, uint64_t row,
                      uint64_t rows)
{
    chunk_head head;
    chunk_part part = {.chunk = row / form->chunk_rows,
                       .offset = row % form->chunk_rows * form->row_bytes,
                       .size = (size_t)(rows * form->row_bytes),
                       .to = self->data + (row - self->first) * form->row_bytes};
    if (!grouped)
        return chunk_read(o, form, self->pass.id, part.chunk, part.offset, part.size, part.to,
                          &head);
    mlkv_buffer *buffers = chunk_scratch();
    if (buffers == NULL)
        return MLKV_E_MEMORY;
    int result = chunk_get(o, form, self->pass.id, part.chunk, &buffers[0], &part.head, &part.cell);
    return result != MLKV_OK ? result
                             : group_take(&self->group, o, self->pass.id, &part, &buffers[0]);
}

/* Of rows [from, end) those that stand beside their chunks, laid over what the group has read. */
static int lay_over(op *o, const reading *self, const tensor_form *form, uint64_t from,
                    uint64_t end)
{
    int result = MLKV_OK;
    while (form->beside != 0 && from < end && result == MLKV_OK) {
        uint64_t skip = from % form->chunk_rows, left = form->chunk_rows - skip;
        uint64_t rows = left < end - from ? left : end - from;
        const rows_at at = {o, form, self->pass.id, from / form->chunk_rows};
        result =
            rows_lay(&at, skip, rows, self->data + (from - self->first) * form->row_bytes, NULL);
        from += rows;
    }
    return result;
}

/* Reads the group, which has rows [*from, row), and goes on behind it. */
static int read_group(op *o, reading *self, const tensor_form *form, uint64_t *from, uint64_t row)
{
    int result = group_read(&self->group);
    if (result == MLKV_OK)
        result = lay_over(o, self, form, *from, row);
    *from = row;
    return result;
}

static int read_chunks(op *o, reading *self, const tensor_form *form)
{
    uint64_t row = self->first + self->pass.at, end = self->first + self->count, bytes = 0;
    uint64_t from = row;
    bool grouped = form->row_bytes != 0 && group_pays(form, (end - row) * form->row_bytes);
    int result = MLKV_OK;
    group_begin(&self->group);
    while (row < end && form->row_bytes != 0 && bytes < self->pass.group_bytes &&
           result == MLKV_OK) {
        uint64_t skip = row % form->chunk_rows;
        uint64_t rows = form->chunk_rows - skip < end - row ? form->chunk_rows - skip : end - row;
        result = read_chunk(o, self, form, grouped, row, rows);
        row += rows;
        bytes += rows * form->row_bytes;
        if (result == MLKV_OK && group_is_full(&self->group))
            result = read_group(o, self, form, &from, row);
    }
    if (result == MLKV_OK && grouped)
        result = read_group(o, self, form, &from, row);
    self->pass.reached = row - self->first;
    self->pass.done = row >= end || form->row_bytes == 0;
    return result;
}

static int read_step(op *o, tensor_pass *pass, const tensor_form *form)
{
    reading *self = (reading *)pass;
    if (self->whole)
        self->count = form->rows;
    if (self->whole && self->size != form->raw_bytes)
        return error_set(MLKV_E_SHAPE, "%zu bytes are given for tensor '%s', which has %llu (%s)",
                         self->size, error_quote(pass->key.data, pass->key.size),
                         (unsigned long long)form->raw_bytes, tensor_text(&form->tensor));
    int result = self->whole
                     ? MLKV_OK
                     : tensor_check_rows(pass->key, form, self->first, self->count, self->size);
    return result != MLKV_OK ? result : read_chunks(o, self, form);
}

static int read_checked(mlkv *view, reading *self)
{
    int result = tensor_check_arguments(view, self->pass.key);
    if (result == MLKV_OK && self->data == NULL && self->size != 0)
        result = error_set(MLKV_E_ARGUMENT, "%zu bytes are to be written at NULL", self->size);
    if (result == MLKV_OK)
        result = tensor_pass_run(view, &self->pass);
    group_done(&self->group);
    chunk_scratch_trim();
    return result;
}

int mlkv_tensor_get(mlkv *view, mlkv_slice key, void *data, size_t size)
{
    reading self = {
        .pass = {.key = key, .step = read_step}, .whole = true, .data = data, .size = size};
    return read_checked(view, &self);
}

int mlkv_tensor_read_rows(mlkv *view, mlkv_slice key, uint64_t first, uint64_t count, void *data,
                          size_t size)
{
    reading self = {.pass = {.key = key, .step = read_step},
                    .first = first,
                    .count = count,
                    .data = data,
                    .size = size};
    return read_checked(view, &self);
}

/* --- into memory that is allocated --- */

static void *allocate_aligned(void *context, size_t bytes)
{
    (void)context;
    size_t padding = (TENSOR_ALIGNMENT - bytes % TENSOR_ALIGNMENT) % TENSOR_ALIGNMENT;
    return aligned_alloc(TENSOR_ALIGNMENT, bytes + padding);
}

static void release_aligned(void *context, void *memory)
{
    (void)context;
    free(memory);
}

static const mlkv_allocator allocator_default = {
    .size = sizeof allocator_default, .allocate = allocate_aligned, .release = release_aligned};

static int allocated_step(op *o, tensor_pass *pass, const tensor_form *form)
{
    reading *self = (reading *)pass;
    self->form = *form;
    self->count = form->rows;
    self->wanted = form->raw_bytes > self->size ? (size_t)form->raw_bytes : 0;
    if (self->wanted == 0)
        return read_chunks(o, self, form);
    pass->done = true; /* there is nowhere to read it to */
    return MLKV_OK;
}

static void release(reading *self, const mlkv_allocator *allocator)
{
    if (self->data != NULL && allocator->release != NULL)
        allocator->release(allocator->context, self->data);
    self->data = NULL;
    self->size = 0;
}

/* On failure data is what is to be released. */
static int read_allocated(mlkv *view, mlkv_slice key, reading *self,
                          const mlkv_allocator *allocator)
{
    for (size_t more = 0;;) {
        self->pass = (tensor_pass){.key = key, .step = allocated_step};
        int result = tensor_pass_run(view, &self->pass);
        if (result != MLKV_OK || self->wanted == 0)
            return result;
        release(self, allocator);
        size_t size = self->wanted + more; /* both are below 2^62 */
        self->data = allocator->allocate(allocator->context, size);
        if (self->data == NULL)
            return error_set(MLKV_E_MEMORY, "no %zu bytes for tensor '%s', which is %s", size,
                             error_quote(key.data, key.size), tensor_text(&self->form.tensor));
        self->size = size;
        more = size / 4;
    }
}

int mlkv_tensor_get_allocated(mlkv *view, mlkv_slice key, const mlkv_allocator *allocator,
                              mlkv_tensor_info *ret_info, void **ret_data)
{
    reading self = {.size = 0};
    int result = tensor_check_arguments(view, key);
    if (result == MLKV_OK)
        result = tensor_check_info(ret_info);
    if (result == MLKV_OK && ret_data == NULL)
        result = error_set(MLKV_E_ARGUMENT, "ret_data is NULL");
    if (result == MLKV_OK && allocator != NULL &&
        (allocator->size != sizeof *allocator || allocator->allocate == NULL))
        result = error_set(MLKV_E_ARGUMENT, "the mlkv_allocator has %s",
                           allocator->size != sizeof *allocator
                               ? "a size that this library does not know"
                               : "no allocate");
    if (result != MLKV_OK)
        return result;
    if (allocator == NULL)
        allocator = &allocator_default;
    result = read_allocated(view, key, &self, allocator);
    group_done(&self.group);
    chunk_scratch_trim();
    if (result != MLKV_OK || self.form.raw_bytes == 0)
        release(&self, allocator);
    if (result != MLKV_OK)
        return result;
    tensor_describe(&self.form, ret_info);
    *ret_data = self.data;
    return MLKV_OK;
}
