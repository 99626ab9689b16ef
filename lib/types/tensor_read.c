/* tensor_read.c - a tensor's rows into the caller's memory, and the pass over many chunks of one
 * state that gathering is, too.
 *
 * A read of up to GROUP_BYTES is one operation. A larger one is several, each of which opens the
 * key again: id and version are the same in all of them, so all chunks are of one state (every
 * change raises the version in the same rule). If they changed, the read begins anew, after
 * RESTARTS_MAX times as one operation, for which the view at last holds the writers back. So writes
 * to other keys never disturb a long read.
 *
 * Chunks are decoded straight into the caller's memory. State: one `reading` a call. Locks: none.
 */
#include "types/tensor.h"

#include "base/bytes.h"
#include "base/error.h"

enum {
    GROUP_BYTES = 4 << 20, /* read as of one moment by the view itself: about a millisecond */
    RESTARTS_MAX = 4,
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
} reading;

static int read_chunks(op *o, reading *self, const tensor_form *form)
{
    uint64_t row = self->first + self->pass.at, end = self->first + self->count, bytes = 0;
    int result = MLKV_OK;
    while (row < end && form->row_bytes != 0 && bytes < self->pass.group_bytes &&
           result == MLKV_OK) {
        chunk_head head;
        uint64_t chunk = row / form->chunk_rows, skip = row % form->chunk_rows;
        uint64_t rows = form->chunk_rows - skip < end - row ? form->chunk_rows - skip : end - row;
        size_t size = (size_t)(rows * form->row_bytes);
        result = chunk_read(o, form, self->pass.id, chunk, skip * form->row_bytes, size,
                            self->data + (row - self->first) * form->row_bytes, &head);
        row += rows;
        bytes += size;
    }
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
