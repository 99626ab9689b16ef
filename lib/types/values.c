/* values.c - the values of one call between the caller and the records.
 *
 * A small value needs no preparation: kind byte and bytes are put straight into the record, without an allocation. Larger ones are
 * compressed, or written as blobs, before the writer lock is taken. The border is the default compression threshold: a store that
 * was opened with a smaller one compresses the few small values in question under the lock, which takes microseconds.
 *
 * Invariants
 *   1. values_next walks the same pairs in the same order as values_prepare: the k-th large value is prepared[k].
 *   2. A caller's buffer changes its content only after the whole operation succeeded (a rule may run several times, and end absent).
 */
#include "types/values.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"

#include <stdlib.h>

enum {
    DIRECT_SIZE_MAX = 1024
}; /* values below it are put as they are: that is the default of compress_threshold_bytes */

static size_t count_large(const mlkv_pair *pairs, size_t n)
{
    size_t large = 0;
    for (size_t i = 0; i < n; i++)
        large += pairs[i].value.size >= DIRECT_SIZE_MAX;
    return large;
}

int values_prepare(values *self, mlkv *view, const mlkv_pair *pairs, size_t n)
{
    self->view = view;
    size_t large = count_large(pairs, n);
    if (large == 0)
        return MLKV_OK;
    if (large == 1) {
        size_t i = 0;
        while (pairs[i].value.size < DIRECT_SIZE_MAX)
            i++;
        self->prepared = &self->single;
        self->count = 1;
        return op_value_prepare(view, pairs[i].value, self->prepared);
    }
    mlkv_slice *raws = calloc(large, sizeof *raws);
    self->prepared = calloc(large, sizeof *self->prepared);
    if (raws == NULL || self->prepared == NULL) {
        free(raws);
        return error_set_memory("values");
    }
    self->count = large;
    for (size_t i = 0, k = 0; i < n; i++)
        if (pairs[i].value.size >= DIRECT_SIZE_MAX)
            raws[k++] = pairs[i].value;
    int result = op_values_prepare(view, (planes_form){0}, raws, large, false, self->prepared);
    free(raws);
    return result;
}

void values_restart(values *self)
{
    self->next = 0;
}

int values_next(values *self, op *o, mlkv_slice raw, mlkv_slice *ret_head, mlkv_slice *ret_body)
{
    static const unsigned char raw_kind = CELL_RAW;
    if (raw.size >= DIRECT_SIZE_MAX) {
        op_value *prepared = &self->prepared[self->next++];
        *ret_head = slice_of_buffer(&prepared->cell);
        *ret_body = slice_of(NULL, 0);
        return op_value_adopt(o, prepared);
    }
    const cell_options *options = op_cell_options(o);
    if (raw.size < options->threshold_bytes) {
        *ret_head = slice_of(&raw_kind, 1);
        *ret_body = raw;
        return MLKV_OK;
    }
    self->scratch.size = 0;
    int result = cell_encode(options, raw, &self->scratch);
    *ret_head = slice_of_buffer(&self->scratch);
    *ret_body = slice_of(NULL, 0);
    return result;
}

void values_done(values *self)
{
    for (size_t i = 0; i < self->count; i++)
        op_value_done(self->view, &self->prepared[i]);
    if (self->prepared != &self->single)
        free(self->prepared);
    mlkv_buffer_free(&self->scratch);
    *self = (values){0};
}

int values_append_cell(op *o, mlkv_slice cell, mlkv_buffer *out)
{
    mlkv_slice raw;
    if (cell_borrow(cell, &raw))
        return buffer_append(out, raw.data, raw.size);
    return op_cell_append(o, cell, out);
}

int values_end_get(int result, size_t old_size, mlkv_buffer *buffer)
{
    if (result != MLKV_OK) {
        buffer->size = old_size;
        return result;
    }
    buffer->size -= old_size;
    if (old_size != 0)
        memmove(buffer->data, (unsigned char *)buffer->data + old_size, buffer->size);
    return MLKV_OK;
}

int values_end_rows(int result, mlkv_rows *rows)
{
    if (result == MLKV_OK)
        rows_finish(rows);
    else
        rows_clear(rows);
    return result;
}

int values_read_integer(op *o, mlkv_slice cell, int64_t *ret_value)
{
    char text[INTEGER_TEXT_MAX];
    int kind;
    uint64_t size;
    cell_blob blob;
    int result = cell_inspect(cell, &kind, &size, &blob);
    if (result == MLKV_OK && size > sizeof text)
        return error_set(MLKV_E_NUMBER, "a value of %llu bytes is not an integer",
                         (unsigned long long)size);
    if (result == MLKV_OK)
        result = op_cell_read(o, cell, 0, (size_t)size, text);
    return result != MLKV_OK ? result : integer_parse(slice_of(text, (size_t)size), ret_value);
}

size_t values_integer_cell(int64_t value, unsigned char ret_cell[1 + INTEGER_TEXT_MAX])
{
    char text[INTEGER_TEXT_MAX];
    size_t size = integer_format(value, text);
    ret_cell[0] = CELL_RAW;
    memcpy(ret_cell + 1, text, size);
    return 1 + size;
}
