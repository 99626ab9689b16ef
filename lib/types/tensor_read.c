/* tensor_read.c - a tensor's rows into the caller's memory.
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

typedef struct {
    mlkv_slice key;
    bool whole;
    uint64_t first, count; /* rows */
    unsigned char *data;
    size_t size;
    uint64_t group_bytes;
    uint64_t id, version; /* of the first group */
    uint64_t row;         /* where the next group begins; first: at the beginning */
    uint64_t reached;     /* where the last group ended */
    bool moved;
} reading;

static int read_chunks(op *o, reading *self, const tensor_form *form, uint64_t id)
{
    uint64_t row = self->row, end = self->first + self->count, bytes = 0;
    int result = MLKV_OK;
    while (row < end && form->row_bytes != 0 && bytes < self->group_bytes && result == MLKV_OK) {
        chunk_head head;
        uint64_t chunk = row / form->chunk_rows, skip = row % form->chunk_rows;
        uint64_t rows = form->chunk_rows - skip < end - row ? form->chunk_rows - skip : end - row;
        size_t size = (size_t)(rows * form->row_bytes);
        result = chunk_read(o, form, id, chunk, skip * form->row_bytes, size,
                            self->data + (row - self->first) * form->row_bytes, &head);
        row += rows;
        bytes += size;
    }
    self->reached = form->row_bytes == 0 ? end : row;
    return result;
}

static int read_rule(op *o, void *context)
{
    reading *self = context;
    entry found;
    tensor_form form;
    self->moved = false;
    int result = tensor_open(o, self->key, &found, &form);
    if (result != MLKV_OK && self->row == self->first)
        return result;
    if (result != MLKV_OK || (self->row != self->first &&
                              (self->id != found.header.id || self->version != form.version))) {
        self->moved = result >= 0 || result == MLKV_E_TYPE;
        return self->moved ? MLKV_OK : result;
    }
    if (self->whole)
        self->count = form.rows;
    if (self->whole && self->size != form.raw_bytes)
        return error_set(MLKV_E_SHAPE, "%zu bytes are given for tensor '%s', which has %llu (%s)",
                         self->size, error_quote(self->key.data, self->key.size),
                         (unsigned long long)form.raw_bytes, tensor_text(&form.tensor));
    if (!self->whole)
        result = tensor_check_rows(self->key, &form, self->first, self->count, self->size);
    self->id = found.header.id;
    self->version = form.version;
    return result != MLKV_OK ? result : read_chunks(o, self, &form, found.header.id);
}

static int run(mlkv *view, reading *self)
{
    int restarts = 0;
    self->group_bytes = GROUP_BYTES;
    self->row = self->first;
    for (;;) {
        int result = op_read(view, read_rule, self);
        if (result != MLKV_OK)
            return result == MLKV_E_CORRUPT
                       ? error_set(result, "tensor '%s': %s",
                                   error_quote(self->key.data, self->key.size), mlkv_error_detail())
                       : result;
        if (self->moved) {
            self->row = self->first;
            if (++restarts >= RESTARTS_MAX)
                self->group_bytes = UINT64_MAX;
        } else if (self->reached >= self->first + self->count) {
            return MLKV_OK;
        } else {
            self->row = self->reached;
        }
    }
}

static int read_checked(mlkv *view, reading *self)
{
    int result = tensor_check_arguments(view, self->key);
    if (result == MLKV_OK && self->data == NULL && self->size != 0)
        result = error_set(MLKV_E_ARGUMENT, "%zu bytes are to be written at NULL", self->size);
    if (result == MLKV_OK)
        result = run(view, self);
    chunk_scratch_trim();
    return result;
}

int mlkv_tensor_get(mlkv *view, mlkv_slice key, void *data, size_t size)
{
    reading self = {.key = key, .whole = true, .data = data, .size = size};
    return read_checked(view, &self);
}

int mlkv_tensor_read_rows(mlkv *view, mlkv_slice key, uint64_t first, uint64_t count, void *data,
                          size_t size)
{
    reading self = {.key = key, .first = first, .count = count, .data = data, .size = size};
    return read_checked(view, &self);
}
