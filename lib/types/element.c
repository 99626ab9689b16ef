/* element.c - elements of a hash or a set by name. It owns the records E id name; what their values mean is the types' own (layout.h).
 *
 * An element belongs to a life (id), not to a key: a deleted key's elements stay behind for the cleaner and can't come back.
 */
#include "types/element.h"

#include "base/bytes.h"
#include "types/named.h"

int element_open(op *o, uint64_t id, mlkv_slice name, element *ret_element)
{
    int result = layout_element(id, name, &ret_element->key);
    if (result != MLKV_OK)
        return result;
    ret_element->name = name;
    return named_borrow(o, &ret_element->key, ELEMENT_HEAD_SIZE, name, &ret_element->rest);
}

int element_put(op *o, const element *self, mlkv_slice head, mlkv_slice body)
{
    return named_put(o, &self->key, self->name, head, body);
}

int element_delete(op *o, const element *self)
{
    return op_delete(o, record_key_slice(&self->key));
}

void element_prefetch(op *o, uint64_t id, mlkv_slice name)
{
    record_key key;
    if (layout_element(id, name, &key) == MLKV_OK)
        op_prefetch(o, record_key_slice(&key));
}

void element_prefetch_batch(op *o, uint64_t id, const mlkv_slice *names, size_t n, size_t i)
{
    if (n == 1 || i % NAMED_BATCH != 0)
        return;
    for (size_t j = i; j < n && j - i < NAMED_BATCH; j++)
        element_prefetch(o, id, names[j]);
}

int element_release_cell(op *o, mlkv_slice cell)
{
    unsigned char copy[CELL_BLOB_SIZE]; /* cell is borrowed, and releasing is an op_ call */
    if (cell.size != CELL_BLOB_SIZE || *(const unsigned char *)cell.data != CELL_BLOB)
        return MLKV_OK;
    memcpy(copy, cell.data, sizeof copy);
    return op_cell_release(o, slice_of(copy, sizeof copy));
}
