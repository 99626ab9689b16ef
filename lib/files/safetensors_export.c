/* safetensors_export.c - the tensors under a prefix into one safetensors file, as they are at one moment.
 *
 * State: one `exporting` a call: the list of tensors with copies of their keys, and the block that is written.
 *
 * Invariants:
 *  1. The list and the data are of one view in which nothing changes, so the header is true of the data.
 *  2. No file is begun before every tensor was found to have a place in the format.
 *
 * Locks: none.
 */
#include "files/safetensors.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/lock.h"
#include "types/argument.h"

#include <mlkv/key.h>
#include <stdlib.h>

/* Keys of tensors that are being saved under other names, until they are all there (python/mlkv/_transfer.py). */
#define STAGED "mlkv:staged:"

typedef struct {
    size_t at; /* of the key in keys */
    mlkv_slice key, name;
    mlkv_tensor_info info;
    int rank;
} found_tensor;

typedef struct {
    mlkv_buffer keys, found, header, memory;
    mlkv_rows names; /* the keys in the file's order, for the caller */
    mlkv_file_info info;
} exporting;

/* --- what there is --- */

static int add_found(exporting *self, mlkv_slice key, size_t prefix_size,
                     const mlkv_tensor_info *info)
{
    found_tensor found = {.at = self->keys.size, .key = key, .info = *info};
    const char *quoted = error_quote(key.data, key.size);
    mlkv_slice name = slice_of((const char *)key.data + prefix_size, key.size - prefix_size);
    if (slice_starts_with(key, slice_of_text(STAGED)))
        return MLKV_OK;
    if (safetensors_dtype(info->tensor.dtype, &found.rank) == NULL)
        return error_set(MLKV_E_ARGUMENT,
                         "the tensor '%s' is %s, which safetensors files do not have", quoted,
                         mlkv_dtype_name((mlkv_dtype)info->tensor.dtype));
    if (!json_is_utf8(name))
        return error_set(MLKV_E_ARGUMENT,
                         "the key '%s' is no UTF-8, as a name in a safetensors file must be",
                         quoted);
    if (slice_equal(name, slice_of_text("__metadata__")))
        return error_set(MLKV_E_ARGUMENT,
                         "the tensor '%s' would have the name '__metadata__', which is not for "
                         "tensors",
                         quoted);
    int result = buffer_append(&self->keys, key.data, key.size);
    if (result == MLKV_OK)
        result = buffer_append(&self->found, &found, sizeof found);
    self->info.bytes += info->raw_bytes;
    self->info.tensors++;
    return result;
}

static int find(mlkv *frozen, mlkv_slice prefix, exporting *self)
{
    mlkv_query query = {.size = sizeof query, .kind = MLKV_SCAN_TENSORS, .prefix = prefix};
    mlkv_cursor *cursor = NULL;
    mlkv_slice key, value;
    int result = mlkv_cursor_open(frozen, &query, &cursor);
    while (result == MLKV_OK && (result = mlkv_cursor_next(cursor, &key, &value)) == MLKV_OK) {
        mlkv_tensor_info info;
        memcpy(&info, value.data, sizeof info);
        result = add_found(self, key, prefix.size, &info);
    }
    mlkv_cursor_close(cursor);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

static int by_order(const void *left, const void *right)
{
    const found_tensor *a = left, *b = right;
    return a->rank != b->rank ? b->rank - a->rank : slice_compare(a->name, b->name);
}

static int make_header(exporting *self, size_t prefix_size, const mlkv_pair *metadata, size_t n)
{
    found_tensor *found = self->found.data;
    size_t count = (size_t)self->info.tensors;
    int result = MLKV_OK;
    safetensors_row *rows = calloc(count + 1, sizeof *rows);
    if (rows == NULL)
        return error_set_memory("a file's header");
    for (size_t i = 0; i < count; i++) {
        found[i].key = slice_of((const char *)self->keys.data + found[i].at, found[i].key.size);
        found[i].name = slice_of((const char *)found[i].key.data + prefix_size,
                                 found[i].key.size - prefix_size);
    }
    qsort(found, count, sizeof *found, by_order);
    for (size_t i = 0; i < count && result == MLKV_OK; i++) {
        rows[i] = (safetensors_row){found[i].name, found[i].info.tensor, found[i].info.raw_bytes};
        result = rows_append(&self->names, found[i].key);
    }
    if (result == MLKV_OK)
        result = safetensors_write(rows, count, metadata, n, &self->header);
    free(rows);
    return result;
}

/* --- the file --- */

static int write_tensors(mlkv *frozen, exporting *self, size_t block_bytes, file_output *output)
{
    const found_tensor *found = self->found.data;
    int result = output_write(output, self->header.data, self->header.size);
    for (size_t i = 0; i < self->info.tensors && result == MLKV_OK; i++)
        result = call_write_tensor(frozen, found[i].key, &found[i].info, block_bytes, &self->memory,
                                   output);
    return result;
}

static int export_frozen(mlkv *frozen, const char *path, mlkv_slice prefix,
                         const mlkv_pair *metadata, size_t n, size_t block_bytes, exporting *self)
{
    file_output output;
    int result = find(frozen, prefix, self);
    if (result == MLKV_OK && self->info.tensors == 0)
        return MLKV_ABSENT;
    if (result == MLKV_OK)
        result = make_header(self, prefix.size, metadata, n);
    if (result != MLKV_OK)
        return result;
    result = output_open(path, &output);
    if (result == MLKV_OK)
        result = write_tensors(frozen, self, block_bytes, &output);
    if (result == MLKV_OK)
        result = output_publish(&output);
    output_close(&output);
    return result;
}

static int by_text(const void *left, const void *right)
{
    return slice_compare(((const mlkv_pair *)left)->name, ((const mlkv_pair *)right)->name);
}

static int check_metadata(const mlkv_pair *metadata, size_t n)
{
    int result = argument_pairs(metadata, n, "metadata");
    for (size_t i = 0; i < n && result == MLKV_OK; i++)
        if (!json_is_utf8(metadata[i].name) || !json_is_utf8(metadata[i].value))
            result = error_set(MLKV_E_ARGUMENT, "metadata[%zu] is no UTF-8", i);
    mlkv_pair *sorted = result == MLKV_OK ? calloc(n + 1, sizeof *sorted) : NULL;
    if (sorted == NULL)
        return result != MLKV_OK ? result : error_set_memory("metadata");
    bytes_copy(sorted, metadata, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_text);
    for (size_t i = 1; i < n && result == MLKV_OK; i++)
        if (slice_equal(sorted[i - 1].name, sorted[i].name))
            result = error_set(MLKV_E_ARGUMENT, "metadata has the name '%s' twice",
                               error_quote(sorted[i].name.data, sorted[i].name.size));
    free(sorted);
    return result;
}

int mlkv_safetensors_export(mlkv *view, const char *path, mlkv_slice prefix,
                            const mlkv_pair *metadata, size_t n, const mlkv_file_options *options,
                            mlkv_rows *ret_keys, mlkv_file_info *ret_info)
{
    exporting self = {.info = {.size = sizeof self.info}};
    mlkv_file_options chosen;
    mlkv *frozen = NULL;
    int result = call_check(view, path, prefix, ret_info);
    if (result == MLKV_OK)
        result = call_options(options, &chosen);
    if (result == MLKV_OK)
        result = check_metadata(metadata, n);
    if (result != MLKV_OK)
        return result;
    int state = cancel_disable();
    result = call_freeze(view, &frozen);
    if (result == MLKV_OK) {
        result = export_frozen(frozen, path, prefix, metadata, n, chosen.block_bytes, &self);
        call_thaw(view, frozen);
    }
    if (result == MLKV_OK) {
        rows_finish(&self.names);
        call_give_rows(&self.names, ret_keys);
        if (ret_info != NULL)
            *ret_info = self.info;
    }
    mlkv_buffer_free(&self.keys);
    mlkv_buffer_free(&self.found);
    mlkv_buffer_free(&self.header);
    mlkv_buffer_free(&self.memory);
    mlkv_rows_free(&self.names);
    cancel_restore(state);
    return result;
}
