/* snapshot.c - one record of a snapshot view: what was pending at its begin (read-only engines
 * only), then LMDB. No locks: nothing of it changes. */
#include "view/view.h"

#include "base/buffer.h"
#include "base/bytes.h"

static const pending_item *find(const pending_copy *above, mlkv_slice key)
{
    size_t low = 0, high = above->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = slice_compare(above->items[middle].key, key);
        if (order == 0)
            return &above->items[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

int view_snapshot_get(mlkv *view, mlkv_slice key, mlkv_buffer *ret_value)
{
    const pending_item *item = find(&view->above, key);
    mlkv_slice value;
    if (item != NULL && item->is_delete)
        return MLKV_ABSENT;
    if (item != NULL)
        return buffer_assign(ret_value, item->value.data, item->value.size);
    int result = store_read_get(view->read, key, &value);
    return result == MLKV_OK ? buffer_assign(ret_value, value.data, value.size) : result;
}
