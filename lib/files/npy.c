/* npy.c - importing and exporting one tensor as a .npy file.
 *
 * Elements are read in pieces of a chunk. Those of the other byte order are turned round in place; those in Fortran's order are put into
 * rows in memory first, where they are twice for a moment.
 *
 * State: one `importing` a call. Invariants: as in safetensors.c. Locks: none but the rule's.
 */
#include "files/npy.h"

#include "base/bytes.h"
#include "base/error.h"
#include "base/lock.h"
#include "types/tensor_stream.h"

#include <stdlib.h>

typedef struct {
    file_input input;
    npy_form form;
    uint64_t start;      /* of the elements in the file */
    unsigned char *rows; /* all of them, if they stand columns first in the file */
} importing;

static int read_form(importing *self, int dtype)
{
    unsigned char bytes[NPY_START_MAX + NPY_HEADER_MAX];
    size_t start = 0, size = 0;
    size_t first = self->input.size < NPY_START_MAX ? (size_t)self->input.size : NPY_START_MAX;
    int result = input_read(&self->input, 0, first, bytes);
    if (result == MLKV_OK)
        result = npy_find(bytes, first, self->input.size, &start, &size);
    if (result == MLKV_OK)
        result = input_read(&self->input, start, size, bytes);
    if (result == MLKV_OK)
        result = npy_read(slice_of(bytes, size), dtype, &self->form);
    self->start = start + size;
    if (result == MLKV_OK && self->input.size - self->start != self->form.bytes)
        result = error_set(MLKV_E_FORMAT, "it has %llu bytes of elements, and its shape makes %llu",
                           (unsigned long long)(self->input.size - self->start),
                           (unsigned long long)self->form.bytes);
    return result;
}

/* Elements as they stand in the file, in the machine's byte order. */
static int read_elements(const importing *self, uint64_t offset, size_t size, void *to)
{
    int result = input_read(&self->input, self->start + offset, size, to);
    if (result == MLKV_OK && self->form.swapped)
        npy_swap(self->form.tensor.dtype, to, size);
    if (result == MLKV_OK && self->form.tensor.dtype == MLKV_BOOL)
        result = input_check_truths(&self->input, self->start + offset, to, size);
    return result;
}

static int read_rows(void *source, uint64_t offset, size_t size, void *to)
{
    const importing *self = source;
    if (self->rows == NULL)
        return read_elements(self, offset, size, to);
    memcpy(to, self->rows + offset, size);
    return MLKV_OK;
}

static int settle(void *context)
{
    const importing *self = context;
    return input_check_unchanged(&self->input);
}

static int make_rows(importing *self, size_t block_bytes)
{
    size_t size = (size_t)self->form.bytes;
    if (!self->form.columns)
        return MLKV_OK;
    if (self->form.bytes > block_bytes)
        return error_set(
            MLKV_E_FORMAT,
            "its %llu bytes are in Fortran's order, and %zu are the most; save it in C's",
            (unsigned long long)self->form.bytes, block_bytes);
    unsigned char *columns = malloc(size);
    self->rows = malloc(size);
    int result = columns == NULL || self->rows == NULL
                     ? error_set_memory("an array in Fortran's order")
                     : read_elements(self, 0, size, columns);
    if (result == MLKV_OK)
        npy_to_rows(&self->form, columns, self->rows);
    free(columns);
    return result;
}

static int import_file(mlkv *view, mlkv_slice key, int dtype, const mlkv_file_options *options,
                       importing *self, uint64_t *ret_chunks_written)
{
    tensor_stream_options how = {.read = read_rows,
                                 .settle = settle,
                                 .context = self,
                                 .chunk_bytes = options->chunk_bytes,
                                 .block_bytes = options->block_bytes,
                                 .contiguous = options->contiguous != 0};
    const char *path = self->input.path;
    int result = read_form(self, dtype);
    if (result == MLKV_OK)
        result = make_rows(self, options->block_bytes);
    if (result == MLKV_E_FORMAT)
        return error_set(result, "%.200s: %s", path, mlkv_error_detail());
    tensor_stream stream = {key, self->form.tensor, self};
    return result != MLKV_OK ? result
                             : tensor_streams_put(view, &stream, 1, &how, ret_chunks_written);
}

int mlkv_npy_import(mlkv *view, mlkv_slice key, const char *path, int dtype,
                    const mlkv_file_options *options, mlkv_file_info *ret_info)
{
    importing self = {.start = 0};
    mlkv_file_options chosen;
    uint64_t written = 0;
    int result = call_check(view, path, key, ret_info);
    if (result == MLKV_OK)
        result = call_options(options, &chosen);
    if (result == MLKV_OK && dtype != 0 && mlkv_dtype_size((mlkv_dtype)dtype) == 0)
        result = error_set(MLKV_E_ARGUMENT, "the dtype %d is unknown", dtype);
    if (result != MLKV_OK)
        return result;
    int state = cancel_disable();
    result = input_open(path, &self.input);
    if (result == MLKV_OK) {
        result = import_file(view, key, dtype, &chosen, &self, &written);
        input_close(&self.input);
    }
    if (result == MLKV_OK && ret_info != NULL)
        *ret_info = (mlkv_file_info){sizeof *ret_info, 1, self.form.bytes, written};
    free(self.rows);
    cancel_restore(state);
    return result;
}

static int export_frozen(mlkv *frozen, mlkv_slice key, const char *path, size_t block_bytes,
                         mlkv_tensor_info *ret_info)
{
    unsigned char header[NPY_WRITTEN_MAX];
    mlkv_buffer memory = {0};
    file_output output;
    *ret_info = (mlkv_tensor_info){.size = sizeof *ret_info};
    int result = mlkv_tensor_get_info(frozen, key, ret_info);
    if (result != MLKV_OK)
        return result;
    result = output_open(path, &output);
    if (result == MLKV_OK)
        result = output_write(&output, header, npy_write(&ret_info->tensor, header));
    if (result == MLKV_OK)
        result = call_write_tensor(frozen, key, ret_info, block_bytes, &memory, &output);
    if (result == MLKV_OK)
        result = output_publish(&output);
    output_close(&output);
    mlkv_buffer_free(&memory);
    return result;
}

int mlkv_npy_export(mlkv *view, mlkv_slice key, const char *path, const mlkv_file_options *options,
                    mlkv_file_info *ret_info)
{
    mlkv_file_options chosen;
    mlkv_tensor_info info;
    mlkv *frozen = NULL;
    int result = call_check(view, path, key, ret_info);
    if (result == MLKV_OK)
        result = call_options(options, &chosen);
    if (result != MLKV_OK)
        return result;
    int state = cancel_disable();
    result = call_freeze(view, &frozen);
    if (result == MLKV_OK) {
        result = export_frozen(frozen, key, path, chosen.block_bytes, &info);
        call_thaw(view, frozen);
    }
    if (result == MLKV_OK && ret_info != NULL)
        *ret_info = (mlkv_file_info){sizeof *ret_info, 1, info.raw_bytes, 0};
    cancel_restore(state);
    return result;
}
