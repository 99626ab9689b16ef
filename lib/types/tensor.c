/* tensor.c - a tensor's own record: open, store, describe.
 *
 * Bytes owned: none beyond the descriptor (tensor_form.c); chunks are tensor_chunk.c's.
 *
 * Invariants:
 *  1. Whoever changes what a chunk means stores the entry in the same rule, with version + 1: so an
 *     unchanged (id, version) means unchanged numbers. Folding rows into chunks changes neither.
 *  2. The header's count is the number of chunks, all of which stand in T records; its `beside` that of
 *     the rows that stand beside them (tensor_rows.c).
 *
 * Locks: none; everything happens inside a rule.
 */
#include "types/tensor.h"

#include "base/bytes.h"
#include "base/error.h"

/* A program that was built before mlkv_tensor_info grew says this. */
enum { INFO_SIZE_FIRST = offsetof(mlkv_tensor_info, contiguous) };

int tensor_read_own(mlkv_slice name, const key_header *header, mlkv_slice rest,
                    tensor_form *ret_form)
{
    int result = tensor_form_read(rest, ret_form);
    if (result == MLKV_E_CORRUPT)
        return error_set(result, "tensor '%s': %s", error_quote(name.data, name.size),
                         mlkv_error_detail());
    if (result == MLKV_OK && header->beside > ret_form->rows)
        result = error_set(MLKV_E_CORRUPT, "tensor '%s' has %llu rows, and %llu beside its chunks",
                           error_quote(name.data, name.size), (unsigned long long)ret_form->rows,
                           (unsigned long long)header->beside);
    ret_form->beside = header->beside;
    if (result == MLKV_OK && header->count != ret_form->chunks)
        result = error_set(MLKV_E_CORRUPT, "tensor '%s' counts %llu chunks, its shape needs %llu",
                           error_quote(name.data, name.size), (unsigned long long)header->count,
                           (unsigned long long)ret_form->chunks);
    return result;
}

int tensor_open(op *o, mlkv_slice key, entry *ret_entry, tensor_form *ret_form)
{
    int result = entry_open(o, key, TYPE_TENSOR, ret_entry);
    return result != MLKV_OK ? result
                             : tensor_read_own(key, &ret_entry->header, ret_entry->rest, ret_form);
}

int tensor_store(op *o, entry *self, const tensor_form *form)
{
    unsigned char bytes[TENSOR_DESCRIPTOR_SIZE_MAX];
    size_t size = tensor_form_write(form, bytes);
    self->header.count = form->chunks;
    self->header.beside = form->beside;
    self->header.rows_beside = form->beside != 0;
    return entry_store(o, self, slice_of(bytes, size), slice_of(NULL, 0));
}

int tensor_check_arguments(mlkv *view, mlkv_slice key)
{
    if (view == NULL)
        return error_set(MLKV_E_ARGUMENT, "the view is NULL");
    if (!slice_valid(key))
        return error_set(MLKV_E_ARGUMENT, "the key has %zu bytes at NULL", key.size);
    return MLKV_OK;
}

void tensor_describe(const tensor_form *form, mlkv_tensor_info *ret_info)
{
    mlkv_tensor_info info = {.size = ret_info->size,
                             .tensor = form->tensor,
                             .raw_bytes = form->raw_bytes,
                             .stored_bytes = form->stored_bytes + form->beside * form->row_bytes,
                             .rows = form->rows,
                             .row_bytes = form->row_bytes,
                             .chunk_rows = form->chunk_rows,
                             .chunks = form->chunks,
                             .version = form->version,
                             .contiguous = form->contiguous};
    memcpy(ret_info, &info, info.size);
}

int tensor_check_info(const mlkv_tensor_info *info)
{
    if (info == NULL || (info->size != sizeof *info && info->size != INFO_SIZE_FIRST))
        return error_set(MLKV_E_ARGUMENT,
                         "the size of the mlkv_tensor_info is not one that this library knows");
    return MLKV_OK;
}

typedef struct {
    mlkv_slice key;
    tensor_form form;
} describing;

static int describe(op *o, void *context)
{
    describing *self = context;
    entry found;
    return tensor_open(o, self->key, &found, &self->form);
}

int mlkv_tensor_get_info(mlkv *view, mlkv_slice key, mlkv_tensor_info *ret_info)
{
    int result = tensor_check_arguments(view, key);
    if (result == MLKV_OK)
        result = tensor_check_info(ret_info);
    if (result != MLKV_OK)
        return result;
    describing self = {.key = key};
    result = op_read(view, describe, &self);
    if (result == MLKV_OK)
        tensor_describe(&self.form, ret_info);
    return result;
}
