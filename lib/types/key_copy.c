/* key_copy.c - a key becomes two.
 *
 * Bytes owned: none. The copy is a new life: each record of the source's (life.h) is put again under the new id, with the value that it
 * has, for nothing in such a record but its key says whose it is. A blob that it refers to is counted once more. The K record follows,
 * with its header and own part; a tensor's version begins anew, as that of every life.
 *
 * Invariants
 *   1. All records of the copy are put in one rule: it is there whole, or not at all.
 *   2. What stood under the destination's name is put away first; its life has another id, so nothing of it can mix with the copy.
 *   3. Fields of a hash that are gone, but stand, are copied as they stand: the header counts them.
 * Locks: none; everything happens inside a rule.
 */
#include <mlkv/key.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "types/argument.h"
#include "types/entry.h"
#include "types/key_copy.h"
#include "types/life.h"
#include "types/tensor.h"

enum { ID_AT = 1, ID_END = 9 }; /* in a record key */

typedef struct {
    mlkv_slice source, destination;
    bool replace;
    bool copied;
} copy_call;

/* --- elements --- */

static int copy_record(op *o, const life_class *which, uint64_t id, mlkv_slice key,
                       mlkv_slice value)
{
    unsigned char bytes[RECORD_KEY_SIZE_MAX];
    mlkv_slice cell;
    int result = MLKV_OK;
    if (key.size < ID_END || key.size > sizeof bytes)
        return error_set(MLKV_E_CORRUPT, "the record key of an element has %zu bytes", key.size);
    memcpy(bytes, key.data, key.size);
    store_be64(bytes + ID_AT, id);
    if (life_find_blob(key, value, which->cell_at, &cell))
        result = op_cell_retain(o, cell);
    return result != MLKV_OK ? result : op_put(o, slice_of(bytes, key.size), value);
}

static int copy_class(op *o, const life_class *which, uint64_t from, uint64_t to)
{
    record_key prefix;
    scan *walk = NULL;
    mlkv_slice key, value;
    layout_id(which->record_class, from, &prefix);
    int result = op_scan_open(o, record_key_slice(&prefix), slice_of(NULL, 0), &walk);
    while (result == MLKV_OK) {
        result = scan_next(walk, &key, &value);
        if (result == MLKV_OK)
            result = copy_record(o, which, to, key, value);
    }
    scan_close(walk);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

static int copy_elements(op *o, const key_header *from, uint64_t to)
{
    const life_class *which = life_classes(from->type);
    int result = MLKV_OK;
    for (; which != NULL && which->record_class != 0 && result == MLKV_OK; which++)
        result = copy_class(o, which, from->id, to);
    return result;
}

/* --- the key --- */

/* A tensor's version counts the changes of one life. */
static int begin_version(mlkv_buffer *rest)
{
    tensor_form form;
    unsigned char bytes[TENSOR_DESCRIPTOR_SIZE_MAX];
    int result = tensor_form_read(slice_of_buffer(rest), &form);
    if (result != MLKV_OK)
        return result;
    form.version = 1;
    return buffer_assign(rest, bytes, tensor_form_write(&form, bytes));
}

/* *rest: the source's own part, as the source's entry lent it. */
static int copy_life(op *o, const entry *from, entry *to, mlkv_buffer *rest)
{
    int result = entry_create(o, to, from->header.type);
    if (result != MLKV_OK)
        return result;
    uint64_t id = to->header.id;
    if (from->has_blob)
        result = op_cell_retain(o, slice_of(from->blob_cell, sizeof from->blob_cell));
    if (result == MLKV_OK)
        result = copy_elements(o, &from->header, id);
    if (result == MLKV_OK && from->header.type == TYPE_TENSOR)
        result = begin_version(rest);
    to->header = from->header;
    to->header.id = id;
    return result != MLKV_OK ? result
                             : entry_store(o, to, slice_of(NULL, 0), slice_of_buffer(rest));
}

static int copy_rule(op *o, void *context)
{
    copy_call *call = context;
    entry from, to;
    mlkv_buffer rest = {0};
    call->copied = false;
    int there = entry_open(o, call->destination, TYPE_ANY, &to);
    if (there < 0)
        return there;
    int result = entry_open(o, call->source, TYPE_ANY, &from);
    if (result != MLKV_OK || (there == MLKV_OK && !call->replace))
        return result;
    call->copied = true;
    result = buffer_assign(&rest, from.rest.data, from.rest.size); /* it is borrowed */
    if (result == MLKV_OK && there == MLKV_OK)
        result = entry_remove(o, &to);
    if (result == MLKV_OK)
        result = copy_life(o, &from, &to, &rest);
    mlkv_buffer_free(&rest);
    return result;
}

int mlkv_key_copy(mlkv *view, mlkv_slice source, mlkv_slice destination, int replace,
                  int *ret_copied)
{
    copy_call call = {.source = source, .destination = destination, .replace = replace != 0};
    int result = argument_pointer(view, "view");
    if (result == MLKV_OK)
        result = argument_slice(source, "source");
    if (result == MLKV_OK)
        result = argument_slice(destination, "destination");
    if (result == MLKV_OK && slice_equal(source, destination))
        result = error_set(MLKV_E_ARGUMENT, "source and destination are the same");
    if (result == MLKV_OK)
        result = op_write(view, copy_rule, &call);
    if (result == MLKV_OK && ret_copied != NULL)
        *ret_copied = call.copied;
    return result;
}

int key_copy_over(op *o, mlkv_slice source, mlkv_slice destination)
{
    copy_call call = {.source = source, .destination = destination, .replace = true};
    return copy_rule(o, &call);
}
