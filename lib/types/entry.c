/* entry.c - a key's own record, and the number of keys.
 *
 * Bytes owned: K records (layout.h), the X, F and Q records beside them (expiry.c, field.c, tensor_rows_fold.c), the counter record "Ckeys"
 * (u64 LE), and the creation of G records, which clean.c ends.
 *
 *   missing --create--> new life --store--> alive --store--> alive
 *   alive --remove--> missing, and G id if elements were left        alive --vanish--> missing
 *   alive --rename--> missing, and alive under another name: the same life, so not one element is touched
 *   alive --its time passes, or that of the last of a hash's fields--> expired: MLKV_ABSENT to everybody;
 *                                                                      the next creation puts the old life away first
 *
 * Invariants
 *   1. "Ckeys" is the number of K records, expired ones included: whoever makes or deletes a K record changes it in the same rule.
 *   2. An id is one life. Elements are found through the id in the K record only, so those of a dead life can't come back.
 *   3. A life that ends with elements left leaves a G record in the same frame, so that none is forgotten.
 * Locks: none; everything happens inside a rule.
 */
#include "types/entry.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "types/clean.h"
#include "types/expiry.h"
#include "types/field.h"
#include "types/named.h"
#include "types/tensor_rows_fold.h"

#include <mlkv/key.h>

enum { HEAD_SIZE_KEY = 1, STACK_HEAD_SIZE = 160 };

static const char counter_key[] = {RECORD_COUNTER, 'k', 'e', 'y', 's'};

/* --- the number of keys --- */

int entry_count(op *o, uint64_t *ret_count)
{
    mlkv_slice value;
    int result = op_borrow(o, slice_of(counter_key, sizeof counter_key), &value);
    if (result == MLKV_ABSENT) {
        *ret_count = 0;
        return MLKV_OK;
    }
    if (result != MLKV_OK)
        return result;
    if (value.size != 8)
        return error_set(MLKV_E_CORRUPT, "the counter of keys has %zu bytes", value.size);
    *ret_count = load_le64(value.data);
    return MLKV_OK;
}

static int count_change(op *o, int change)
{
    uint64_t count = 0;
    unsigned char bytes[8];
    int result = entry_count(o, &count);
    if (result != MLKV_OK)
        return result;
    if (change < 0 && count == 0)
        return error_set(MLKV_E_CORRUPT, "the counter of keys is 0, but there is a key");
    store_le64(bytes, change < 0 ? count - 1 : count + 1);
    return op_put(o, slice_of(counter_key, sizeof counter_key), slice_of(bytes, sizeof bytes));
}

/* --- finding --- */

static int check_type(const entry *self, int type)
{
    if (type == TYPE_ANY || self->header.type == type)
        return MLKV_OK;
    return error_set(MLKV_E_TYPE, "key \"%s\" holds a %s, not a %s",
                     error_quote(self->name.data, self->name.size),
                     mlkv_type_name((mlkv_type)self->header.type), mlkv_type_name((mlkv_type)type));
}

/* A blob's cell is kept, because the record is gone from the op's scratch when it has to be released. */
static void keep_blob(entry *self)
{
    const unsigned char *cell = self->rest.data;
    self->has_blob = self->header.type == TYPE_STRING && self->rest.size == CELL_BLOB_SIZE &&
                     cell[0] == CELL_BLOB;
    if (self->has_blob)
        memcpy(self->blob_cell, cell, CELL_BLOB_SIZE);
}

static void begin_entry(entry *self)
{
    self->expired = false;
    self->has_blob = false;
    self->stored_expiry_ms = 0;
    self->stored_first_ms = 0;
    self->stored_rows_beside = false;
    self->rest = slice_of(NULL, 0);
}

/* value: of the K record, behind the name. */
static int read_entry(entry *self, mlkv_slice value)
{
    int result = layout_read_header(value, &self->header, &self->rest);
    if (result == MLKV_OK)
        result = layout_read_fields(&self->header, &self->rest);
    if (result != MLKV_OK)
        return result;
    keep_blob(self);
    self->stored_expiry_ms = self->header.expiry_ms;
    self->stored_first_ms = self->header.first_ms;
    self->stored_rows_beside = self->header.rows_beside;
    return MLKV_OK;
}

int entry_of_record(mlkv_slice key, mlkv_slice value, entry *ret_entry)
{
    entry *self = ret_entry;
    mlkv_slice behind;
    begin_entry(self);
    int result = layout_split_name(key, HEAD_SIZE_KEY, value, &self->name, &behind);
    if (result != MLKV_OK)
        return result;
    bytes_copy(self->key.bytes, key.data, key.size);
    self->key.size = (uint16_t)key.size;
    self->key.is_long = key.size == RECORD_KEY_SIZE_MAX;
    return read_entry(self, behind);
}

int entry_open(op *o, mlkv_slice name, int type, entry *ret_entry)
{
    entry *self = ret_entry;
    mlkv_slice value;
    self->name = name;
    begin_entry(self);
    int result = layout_key(name, &self->key);
    if (result == MLKV_OK)
        result = named_borrow(o, &self->key, HEAD_SIZE_KEY, name, &value);
    if (result == MLKV_OK)
        result = read_entry(self, value);
    if (result != MLKV_OK)
        return result;
    if (self->header.expiry_ms != 0 && self->header.expiry_ms <= op_now_ms(o)) {
        op_saw_expired(o, self->header.expiry_ms);
        self->expired = true;
        return MLKV_ABSENT;
    }
    if (self->header.fields_expire) {
        result = field_all_gone(o, &self->header, &self->expired);
        if (result != MLKV_OK || self->expired)
            return result != MLKV_OK ? result : MLKV_ABSENT;
    }
    return check_type(self, type);
}

void entry_prefetch(op *o, mlkv_slice name)
{
    record_key key;
    if (layout_key(name, &key) == MLKV_OK)
        op_prefetch(o, record_key_slice(&key));
}

void entry_prefetch_batch(op *o, const mlkv_slice *names, size_t n, size_t i)
{
    if (n == 1 || i % NAMED_BATCH != 0)
        return;
    for (size_t j = i; j < n && j - i < NAMED_BATCH; j++)
        entry_prefetch(o, names[j]);
}

/* --- beginning and storing --- */

/* What a life leaves behind when its K record goes or is replaced. */
static int leave(op *o, entry *self)
{
    if (self->header.type == TYPE_STRING)
        return entry_release_string(o, self);
    record_key key;
    layout_id(RECORD_GARBAGE, self->header.id, &key);
    clean_note();
    return op_put(o, record_key_slice(&key), slice_of(&self->header.type, 1));
}

int entry_create(op *o, entry *self, int type)
{
    uint64_t id = 0;
    int result = self->expired ? leave(o, self) : count_change(o, +1);
    if (result == MLKV_OK && type != TYPE_STRING)
        result = op_take_id(o, &id);
    if (result != MLKV_OK)
        return result;
    self->header = (key_header){.type = (uint8_t)type, .id = id};
    self->rest = slice_of(NULL, 0);
    self->expired = false;
    self->has_blob = false;
    return MLKV_OK;
}

int entry_store(op *o, entry *self, mlkv_slice head, mlkv_slice body)
{
    unsigned char joined[LAYOUT_KEY_HEADER_SIZE + LAYOUT_FIELDS_SIZE + STACK_HEAD_SIZE];
    size_t size = LAYOUT_KEY_HEADER_SIZE;
    int result = expiry_move(o, self->name, self->stored_expiry_ms, self->header.expiry_ms);
    if (result == MLKV_OK)
        result = field_move_first(o, self->name, self->stored_first_ms, self->header.first_ms);
    if (result == MLKV_OK)
        result = fold_note(o, self->name, self->stored_rows_beside, self->header.rows_beside);
    if (result != MLKV_OK)
        return result;
    self->stored_rows_beside = self->header.rows_beside;
    self->stored_expiry_ms = self->header.expiry_ms;
    self->stored_first_ms = self->header.first_ms;
    layout_write_header(&self->header, joined);
    size += layout_write_fields(&self->header, joined + size);
    if (head.size <= STACK_HEAD_SIZE) {
        bytes_copy(joined + size, head.data, head.size);
        return named_put(o, &self->key, self->name, slice_of(joined, size + head.size), body);
    }
    if (body.size != 0)
        return error_set(MLKV_E_SIZE, "a head of %zu bytes", head.size);
    return named_put(o, &self->key, self->name, slice_of(joined, size), head);
}

int entry_store_again(op *o, entry *self)
{
    mlkv_buffer rest = {0}; /* what was read is borrowed, and storing it is an op_ call */
    int result = buffer_assign(&rest, self->rest.data, self->rest.size);
    if (result == MLKV_OK)
        result = entry_store(o, self, slice_of(NULL, 0), slice_of_buffer(&rest));
    mlkv_buffer_free(&rest);
    return result;
}

/* --- ending --- */

int entry_release_string(op *o, entry *self)
{
    if (!self->has_blob)
        return MLKV_OK;
    self->has_blob = false;
    return op_cell_release(o, slice_of(self->blob_cell, sizeof self->blob_cell));
}

int entry_remove(op *o, entry *self)
{
    int result = leave(o, self);
    return result != MLKV_OK ? result : entry_vanish(o, self);
}

/* K goes, and what stands beside it; the number of keys is not touched. */
static int unstore(op *o, entry *self)
{
    int result = op_delete(o, record_key_slice(&self->key));
    if (result == MLKV_OK)
        result = expiry_move(o, self->name, self->stored_expiry_ms, 0);
    if (result == MLKV_OK)
        result = field_move_first(o, self->name, self->stored_first_ms, 0);
    if (result == MLKV_OK)
        result = fold_note(o, self->name, self->stored_rows_beside, false);
    self->stored_rows_beside = false;
    self->stored_expiry_ms = 0;
    self->stored_first_ms = 0;
    self->expired = false;
    return result;
}

int entry_vanish(op *o, entry *self)
{
    int result = unstore(o, self);
    return result != MLKV_OK ? result : count_change(o, -1);
}

/* --- another name --- */

int entry_rename(op *o, entry *self, entry *to, bool stands)
{
    mlkv_buffer rest = {0};
    int result = buffer_assign(&rest, self->rest.data, self->rest.size);
    if (result == MLKV_OK && stands)
        result = leave(o, to);
    to->header = self->header;
    to->expired = false;
    to->has_blob = self->has_blob; /* the cell moves, so its blob keeps its count */
    memcpy(to->blob_cell, self->blob_cell, sizeof to->blob_cell);
    if (result == MLKV_OK)
        result = entry_store(o, to, slice_of(NULL, 0), slice_of_buffer(&rest));
    if (result == MLKV_OK)
        result = stands ? entry_vanish(o, self) : unstore(o, self);
    mlkv_buffer_free(&rest);
    return result;
}
