/* mend.c - the tools of the salvage: sentences, changes made in batches, walks, cells and what they
 * refer to.
 *
 * A change is an item in a buffer: its key's size, its value's (DELETE: it goes), key, value. A batch
 * is one ordinary write, by a rule that may run more than once. Locks: the writer lock, in a batch.
 */
#include "types/mend.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>

enum { BATCH_ITEMS = 4096, BATCH_BYTES = 200 << 10, NAME_HEAD_SIZE = 4 };

typedef struct {
    uint32_t key_size;
    uint32_t is_delete;
    uint64_t value_size;
} item;

int mend_tell(mender *self, bool loss, const char *format, ...)
{
    char text[560];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    self->report.losses += loss;
    self->report.repairs += !loss;
    if (self->callback == NULL || self->callback(self->context, loss, text) == 0)
        return MLKV_OK;
    error_set(MLKV_OK, "given up by the caller");
    return MLKV_ABSENT;
}

/* --- changes --- */

static int batch_rule(op *o, void *context)
{
    const mender *self = context;
    const unsigned char *at = self->items.data;
    int result = MLKV_OK;
    for (size_t i = 0; i < self->item_count && result == MLKV_OK; i++) {
        item it;
        memcpy(&it, at, sizeof it);
        at += sizeof it;
        mlkv_slice key = slice_of(at, it.key_size);
        mlkv_slice value = slice_of(at + it.key_size, (size_t)it.value_size);
        result = it.is_delete ? op_delete(o, key) : op_put(o, key, value);
        at += it.key_size + it.value_size;
    }
    return result;
}

int mend_flush(mender *self)
{
    int result = self->item_count == 0 ? MLKV_OK : op_write(self->db, batch_rule, self);
    self->items.size = 0;
    self->item_count = 0;
    return result;
}

static int add(mender *self, bool is_delete, mlkv_slice key, mlkv_slice value)
{
    item it = {.key_size = (uint32_t)key.size, .is_delete = is_delete, .value_size = value.size};
    int result = buffer_append(&self->items, &it, sizeof it);
    if (result == MLKV_OK)
        result = buffer_append(&self->items, key.data, key.size);
    if (result == MLKV_OK)
        result = buffer_append(&self->items, value.data, value.size);
    if (result != MLKV_OK)
        return result;
    self->item_count++;
    return self->item_count >= BATCH_ITEMS || self->items.size >= BATCH_BYTES ? mend_flush(self)
                                                                              : MLKV_OK;
}

int mend_put(mender *self, mlkv_slice key, mlkv_slice value)
{
    return add(self, false, key, value);
}

int mend_put_named(mender *self, const record_key *key, mlkv_slice name, mlkv_slice rest)
{
    mlkv_buffer whole = {0};
    unsigned char size[NAME_HEAD_SIZE];
    if (!key->is_long)
        return mend_put(self, record_key_slice(key), rest);
    store_le32(size, (uint32_t)name.size);
    int result = buffer_append(&whole, size, sizeof size);
    if (result == MLKV_OK)
        result = buffer_append(&whole, name.data, name.size);
    if (result == MLKV_OK)
        result = buffer_append(&whole, rest.data, rest.size);
    if (result == MLKV_OK)
        result = mend_put(self, record_key_slice(key), slice_of_buffer(&whole));
    mlkv_buffer_free(&whole);
    return result;
}

int mend_delete(mender *self, mlkv_slice key)
{
    return add(self, true, key, slice_of(NULL, 0));
}

/* --- walks --- */

int mend_each(mender *self, mlkv_slice prefix, mend_visit visit)
{
    scan *outer = self->check.records; /* one walk may stand inside another */
    mlkv_slice key, value;
    self->check.records = NULL;
    int result = scan_open(self->view, prefix, slice_of(NULL, 0), &self->check.records);
    while (result == MLKV_OK) {
        result = scan_next(self->check.records, &key, &value);
        if (result == MLKV_ABSENT) {
            result = MLKV_OK;
            break;
        }
        if (result == MLKV_OK && self->counting)
            self->report.bytes += key.size + value.size;
        if (result == MLKV_OK)
            result = visit(self, key, value);
    }
    scan_close(self->check.records);
    self->check.records = outer;
    return result;
}

int mend_each_class(mender *self, int record_class, mend_visit visit)
{
    unsigned char prefix = (unsigned char)record_class;
    return mend_each(self, slice_of(&prefix, 1), visit);
}

mend_life *mend_take(mender *self, uint64_t id)
{
    mend_life *life = id_map_take(&self->lives, id);
    if (life == NULL)
        error_set_memory("what is known of keys");
    return life;
}

/* --- cells --- */

void mend_refer(mender *self, mlkv_slice cell)
{
    int kind;
    uint64_t size;
    cell_blob blob;
    if (cell.size == 0 || cell_inspect(cell, &kind, &size, &blob) != MLKV_OK || kind != CELL_BLOB)
        return;
    verify_blob *known = id_map_find(&self->check.blobs, blob.id);
    if (known != NULL)
        known->references++;
}

/* What is wrong is told by who loses something by it. */
int mend_check_cell(mender *self, mlkv_slice key, mlkv_slice cell, bool *ret_good)
{
    int result = verify_cell(&self->check, key, cell, ret_good);
    if (result == MLKV_E_CORRUPT || result == MLKV_ABSENT) {
        *ret_good = false;
        result = MLKV_OK;
    }
    return result;
}
