/* list_walk.c - reading many elements of a list in order. It owns no bytes (list.c does).
 *
 * Two ways, chosen by how many elements are asked for:
 *   reads   one record each, a batch of them prefetched at a time. Cached elements cost little, and what else stands in the list nothing.
 *   scans   LMDB's own order, tens of nanoseconds a record; but opening one copies what is pending behind its begin. So a scan that
 *           wants little of the rest of the list takes an aligned block of numbers (256, 65536 ... of them: the elements whose record
 *           keys begin alike) and then the next; a walk over much of the rest takes one scan for all.
 * Several scans of one operation stand on one state, or the operation runs again (view/scan.c).
 *
 * Invariant: the elements visited are numbered without a gap; a missing one is MLKV_E_CORRUPT (or the state moved, and the view runs the
 * rule again).
 * Locks: none.
 */
#include "types/list.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "types/named.h"

enum {
    WHOLE_PART = 4, /* who wants this part of the rest takes one scan for it */
    BLOCKS_MAX = 8, /* scans that one walk opens, and one more for an unaligned begin */
    SEQ_SIZE = 8,   /* bytes of a number in a record key */
    SEQ_AT = 9,
    BLOCK_BITS = 8, /* of a number, for each byte that is left out of the prefix */
    ELEMENT_KEY_SIZE = 17,
};

typedef struct {
    op *o;
    const list *list;
    list_visit visit;
    void *context;
} walker;

/* --- one by one --- */

static int read_each(const walker *self, uint64_t first, uint64_t n)
{
    record_key key;
    mlkv_buffer cell = {0};
    int result = MLKV_OK;
    for (uint64_t i = 0; i < n && result == MLKV_OK; i++) {
        for (uint64_t j = i; i % NAMED_BATCH == 0 && j < n && j - i < NAMED_BATCH; j++) {
            list_element_key(self->list, first + j, &key);
            op_prefetch(self->o, record_key_slice(&key));
        }
        result = list_read(self->o, self->list, first + i, &cell);
        if (result == MLKV_OK)
            result = self->visit(self->o, &(list_item){first + i, slice_of_buffer(&cell), NULL},
                                 self->context);
    }
    mlkv_buffer_free(&cell);
    return result;
}

/* --- by scans --- */

/* One scan over the elements from seq `*first` on whose record keys agree in all but the last `dropped` bytes. *first and *n move on. */
static int scan_block(const walker *self, uint64_t *first, uint64_t *n, unsigned dropped)
{
    record_key prefix, after;
    scan *walk = NULL;
    mlkv_slice key, value;
    bool some = false;
    list_element_key(self->list, *first, &prefix);
    prefix.size = (uint16_t)(ELEMENT_KEY_SIZE - dropped);
    list_element_key(self->list, *first - 1, &after); /* pushes never number an element 0 */
    int result = op_scan_open(self->o, record_key_slice(&prefix), record_key_slice(&after), &walk);
    while (result == MLKV_OK && *n != 0) {
        result = scan_next(walk, &key, &value);
        if (result != MLKV_OK)
            break;
        if (key.size != ELEMENT_KEY_SIZE ||
            load_be64((const unsigned char *)key.data + SEQ_AT) != *first) {
            result = list_corrupt(self->list, "an element is missing");
            break;
        }
        some = true;
        (*n)--;
        result = self->visit(self->o, &(list_item){(*first)++, value, walk}, self->context);
    }
    scan_close(walk);
    if (result != MLKV_ABSENT)
        return result;
    return some ? MLKV_OK : list_corrupt(self->list, "an element is missing");
}

static unsigned choose_block(uint64_t n, uint64_t rest)
{
    unsigned dropped = 1;
    if (n >= rest / WHOLE_PART)
        return SEQ_SIZE;
    while (dropped < SEQ_SIZE && n >> (BLOCK_BITS * dropped) >= BLOCKS_MAX)
        dropped++;
    return dropped;
}

int list_walk(op *o, const list *self, uint64_t first, uint64_t n, list_visit visit, void *context)
{
    const walker walk = {o, self, visit, context};
    if (n <= LIST_READS_MAX)
        return read_each(&walk, first, n);
    unsigned dropped = choose_block(n, self->tail - first);
    int result = MLKV_OK;
    while (n != 0 && result == MLKV_OK)
        result = scan_block(&walk, &first, &n, dropped);
    return result;
}

int list_walk_frozen(op *o, const list *self, uint64_t first, uint64_t n, list_visit visit,
                     void *context)
{
    const walker walk = {o, self, visit, context};
    int result = n == 0 ? MLKV_OK : scan_block(&walk, &first, &n, SEQ_SIZE);
    return result == MLKV_OK && n != 0 ? list_corrupt(self, "an element is missing") : result;
}

/* --- what a walk comes by --- */

int list_item_append(op *o, const list_item *item, mlkv_buffer *out)
{
    mlkv_slice raw;
    if (cell_borrow(item->cell, &raw))
        return buffer_append(out, raw.data, raw.size);
    return item->walk != NULL ? scan_cell_append(item->walk, item->cell, out)
                              : op_cell_append(o, item->cell, out);
}

int list_item_append_row(op *o, const list_item *item, mlkv_buffer *scratch, mlkv_rows *rows)
{
    mlkv_slice raw;
    if (cell_borrow(item->cell, &raw))
        return rows_append(rows, raw);
    scratch->size = 0;
    int result = list_item_append(o, item, scratch);
    return result != MLKV_OK ? result : rows_append(rows, slice_of_buffer(scratch));
}
