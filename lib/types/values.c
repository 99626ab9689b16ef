/* values.c - the values of one call between the caller and the records.
 *
 * A small value needs no preparation: kind byte and bytes are put straight into the record, without an allocation. Larger ones are
 * compressed, or written as blobs, before the writer lock is taken. The border is the default compression threshold: a store that
 * was opened with a smaller one compresses the few small values in question under the lock, which takes microseconds.
 *
 * Small values of a key that has a dictionary are coded with it there too, large ones up to a size; which ones it made
 * smaller is noted by pair.
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

static bool is_coded(const values *self, size_t i)
{
    return self->coded != NULL && self->coded[i].size != 0;
}

/* One pair's value with its dictionary, if that is worth it. */
static int code_one(values *self, const dictionary_coder *with, const mlkv_pair *pairs, size_t n,
                    size_t i)
{
    size_t start = self->cells.size;
    if (pairs[i].value.size < CELL_DICTIONARY_RAW_MIN ||
        pairs[i].value.size > CELL_DICTIONARY_RAW_MAX)
        return MLKV_OK;
    int result = cell_encode_with(with, pairs[i].value, &self->cells);
    if (result != MLKV_OK)
        return result == MLKV_ABSENT ? MLKV_OK : result;
    if (self->coded == NULL)
        self->coded = n == 1 ? &self->single_coded : calloc(n, sizeof *self->coded);
    if (self->coded == NULL)
        return error_set_memory("values");
    self->coded[i] = (values_cell){start, self->cells.size - start};
    return MLKV_OK;
}

static int code(values *self, const mlkv_slice *key, const mlkv_pair *pairs, size_t n)
{
    const dictionary_coder *with = key == NULL ? NULL : op_dictionary(self->view, *key);
    int result = MLKV_OK;
    if (key != NULL && with == NULL)
        return MLKV_OK;
    for (size_t i = 0; i < n && result == MLKV_OK; i++) {
        if (key == NULL)
            with = op_dictionary(self->view, pairs[i].name);
        if (with != NULL)
            result = code_one(self, with, pairs, n, i);
    }
    return result;
}

static bool is_large(const values *self, const mlkv_pair *pairs, size_t i)
{
    return pairs[i].value.size >= DIRECT_SIZE_MAX && !is_coded(self, i);
}

static size_t count_large(const values *self, const mlkv_pair *pairs, size_t n)
{
    size_t large = 0;
    for (size_t i = 0; i < n; i++)
        large += is_large(self, pairs, i);
    return large;
}

int values_prepare(values *self, mlkv *view, const mlkv_slice *key, const mlkv_pair *pairs,
                   size_t n)
{
    self->view = view;
    int result = code(self, key, pairs, n);
    size_t large = result != MLKV_OK ? 0 : count_large(self, pairs, n);
    if (large == 0)
        return result;
    if (large == 1) {
        size_t i = 0;
        while (!is_large(self, pairs, i))
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
        if (is_large(self, pairs, i))
            raws[k++] = pairs[i].value;
    result = op_values_prepare(view, (planes_form){0}, raws, large, false, self->prepared);
    free(raws);
    return result;
}

void values_restart(values *self)
{
    self->next = 0;
    self->at = 0;
}

int values_next(values *self, op *o, mlkv_slice raw, mlkv_slice *ret_head, mlkv_slice *ret_body)
{
    static const unsigned char raw_kind = CELL_RAW;
    size_t at = self->at++;
    if (is_coded(self, at)) {
        *ret_head = slice_of((const unsigned char *)self->cells.data + self->coded[at].offset,
                             self->coded[at].size);
        *ret_body = slice_of(NULL, 0);
        return MLKV_OK;
    }
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
    if (self->coded != &self->single_coded)
        free(self->coded);
    mlkv_buffer_free(&self->scratch);
    mlkv_buffer_free(&self->cells);
    *self = (values){0};
}

int values_append_cell(op *o, mlkv_slice cell, mlkv_buffer *out)
{
    mlkv_slice raw;
    if (cell_borrow(cell, &raw))
        return buffer_append(out, raw.data, raw.size);
    return op_cell_append(o, cell, out);
}

int values_append_value(op *o, mlkv_slice key, mlkv_slice cell, mlkv_buffer *out)
{
    return values_of_key(values_append_cell(o, cell, out), key);
}

int values_of_key(int result, mlkv_slice key)
{
    if (result != MLKV_E_CORRUPT)
        return result;
    return error_set(MLKV_E_CORRUPT, "key '%s': %s", error_quote(key.data, key.size),
                     mlkv_error_detail());
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
