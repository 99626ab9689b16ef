/* life.c - the records of a life, by type (docs/FORMAT.md, section 2). Pure functions, no state, no locks.
 *
 * Each of them has a key of class, id of the life, and more: so a life is found by one prefix a class, and what one record says is true
 * under any id. What refers to something else, a blob, is counted there: who deletes or copies records has to see to that.
 */
#include "types/life.h"

#include "base/bytes.h"
#include "types/element.h"
#include "types/tensor.h"

const life_class *life_classes(int type)
{
    static const life_class classes[][3] = {
        [TYPE_HASH] = {{RECORD_ELEMENT, LIFE_FIELD_CELL},
                       {RECORD_FIELD_EXPIRY, LIFE_NO_CELL},
                       {0, 0}},
        [TYPE_LIST] = {{RECORD_LIST, 0}, {0, 0}, {0, 0}},
        [TYPE_SET] = {{RECORD_ELEMENT, LIFE_NO_CELL}, {RECORD_LIST, LIFE_NO_CELL}, {0, 0}},
        [TYPE_ZSET] = {{RECORD_ELEMENT, LIFE_NO_CELL}, {RECORD_ORDER, LIFE_NO_CELL}, {0, 0}},
        [TYPE_TENSOR] = {{RECORD_TENSOR, TENSOR_CHUNK_HEAD_SIZE},
                         {RECORD_ROW, LIFE_NO_CELL},
                         {0, 0}},
    };
    if (type < 0 || (size_t)type >= sizeof classes / sizeof *classes ||
        classes[type][0].record_class == 0)
        return NULL;
    return classes[type];
}

bool life_find_blob(mlkv_slice key, mlkv_slice value, int cell_at, mlkv_slice *ret_cell)
{
    mlkv_slice name;
    if (cell_at == LIFE_NO_CELL)
        return false;
    if (cell_at == LIFE_FIELD_CELL) {
        int64_t at_ms;
        if (layout_split_name(key, ELEMENT_HEAD_SIZE, value, &name, ret_cell) != MLKV_OK ||
            layout_split_field(*ret_cell, &at_ms, ret_cell) != MLKV_OK)
            return false;
    } else {
        if (value.size < (size_t)cell_at)
            return false;
        *ret_cell =
            slice_of((const unsigned char *)value.data + cell_at, value.size - (size_t)cell_at);
    }
    return ret_cell->size == CELL_BLOB_SIZE && *(const unsigned char *)ret_cell->data == CELL_BLOB;
}
