/* call.c - what every import and export begins and ends with; and the elements of a tensor written to a file.
 *
 * State: none. Invariants: outputs are given at the end alone, when nothing can fail any more. Locks: none.
 */
#include "files/files.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "types/argument.h"
#include "view/op.h"

#include <mlkv/db.h>

enum {
    BLOCK_BYTES_DEFAULT = 32 << 20, /* as much as a put compresses at once */
    BLOCK_BYTES_MAX = 1 << 30,
};

int call_options(const mlkv_file_options *options, mlkv_file_options *ret_options)
{
    const mlkv_file_options none = {.size = sizeof none};
    if (options == NULL)
        options = &none;
    if (options->size < sizeof *options)
        return error_set(MLKV_E_ARGUMENT, "mlkv_file_options has size %zu, at least %zu is needed",
                         options->size, sizeof *options);
    const unsigned char *bytes = (const unsigned char *)options;
    for (size_t i = sizeof *options; i < options->size; i++) {
        if (bytes[i] != 0)
            return error_set(
                MLKV_E_ARGUMENT,
                "mlkv_file_options sets an option that this library does not know (byte %zu)", i);
    }
    if (options->block_bytes > BLOCK_BYTES_MAX)
        return error_set(MLKV_E_ARGUMENT, "block_bytes is %zu, at most %d is possible",
                         options->block_bytes, BLOCK_BYTES_MAX);
    if (options->contiguous > 1)
        return error_set(MLKV_E_ARGUMENT, "contiguous is %zu, neither 0 nor 1",
                         options->contiguous);
    *ret_options = *options;
    if (ret_options->block_bytes == 0)
        ret_options->block_bytes = BLOCK_BYTES_DEFAULT;
    return MLKV_OK;
}

int call_check(mlkv *view, const char *path, mlkv_slice name, const mlkv_file_info *info)
{
    int result = argument_view_key(view, name);
    if (result == MLKV_OK)
        result = argument_pointer(path, "path");
    if (result == MLKV_OK && info != NULL && info->size != sizeof *info)
        result = error_set(MLKV_E_ARGUMENT,
                           "the size of the mlkv_file_info is not one that this library knows");
    return result;
}

void call_give_rows(mlkv_rows *from, mlkv_rows *ret_rows)
{
    if (ret_rows == NULL)
        return;
    mlkv_rows_free(ret_rows);
    *ret_rows = *from;
    *from = (mlkv_rows){0};
}

int call_freeze(mlkv *view, mlkv **ret_frozen)
{
    if (op_is_live(view))
        return mlkv_snapshot(view, ret_frozen);
    *ret_frozen = view;
    return MLKV_OK;
}

void call_thaw(mlkv *view, mlkv *frozen)
{
    if (frozen != view)
        (void)mlkv_close(frozen);
}

int call_write_tensor(mlkv *frozen, mlkv_slice key, const mlkv_tensor_info *info,
                      size_t block_bytes, mlkv_buffer *memory, file_output *output)
{
    if (info->raw_bytes == 0)
        return MLKV_OK;
    uint64_t chunk_bytes = info->chunk_rows * info->row_bytes;
    uint64_t chunks = chunk_bytes < block_bytes ? block_bytes / chunk_bytes : 1;
    uint64_t count = chunks * info->chunk_rows;
    int result = MLKV_OK;
    for (uint64_t first = 0; first < info->rows && result == MLKV_OK; first += count) {
        uint64_t rows = info->rows - first < count ? info->rows - first : count;
        size_t size = (size_t)(rows * info->row_bytes);
        memory->size = 0;
        void *to = buffer_extend(memory, size);
        if (to == NULL)
            return error_set_memory("a block of a tensor");
        result = mlkv_tensor_read_rows(frozen, key, first, rows, to, size);
        if (result == MLKV_ABSENT)
            result = error_set(MLKV_E_CORRUPT, "tensor '%s' is not there any more",
                               error_quote(key.data, key.size));
        if (result == MLKV_OK)
            result = output_write(output, to, size);
    }
    return result;
}
