/* field.c - one field of a hash, and when it expires.
 *
 * Bytes owned, of a hash's life (layout.h):
 *   E id field           -> cell, or 16 expiry(8) cell       the field
 *   Y id expiry field    -> empty                            beside each field that expires: those of one hash in order of time
 *   F expiry key         -> empty                            beside each hash with such fields, at header.first_ms: hashes in order of
 *                                                            time, so that what is due is found by reading only what is due
 *
 * Invariants
 *   1. E says expiry e  <=>  Y id e field is there; header.expiring is the number of such fields (all change in one rule).
 *   2. header.first_ms <= e <= header.last_ms for each of them. Fields that go leave both as they are: the pass (field_pass.c) sets the
 *      first one right when it comes by, and the last one starts anew when no field expires any more.
 *   3. header.fields_expire, i.e. expiring > 0  <=>  F first_ms key is there (entry.c moves it).
 *   4. A hash of which every field is gone is gone itself: to entry_open, and so to every operation. What is left is put away like a
 *      deleted life, Y records too (clean.c).
 * Locks: none; everything happens inside a rule.
 */
#include "types/field.h"

#include "base/bytes.h"
#include "base/error.h"
#include "types/named.h"

enum { JOINED_MAX = 16 };

static const mlkv_slice nothing = {NULL, 0};

/* --- finding --- */

int field_look(op *o, mlkv_slice value, int64_t *ret_at_ms, mlkv_slice *ret_cell)
{
    int result = layout_split_field(value, ret_at_ms, ret_cell);
    if (result != MLKV_OK || *ret_at_ms == 0 || *ret_at_ms > op_now_ms(o))
        return result;
    op_saw_expired(o, *ret_at_ms);
    return MLKV_ABSENT;
}

int field_open(op *o, const entry *hash, mlkv_slice name, hash_field *ret_field)
{
    ret_field->stands = false;
    ret_field->at_ms = 0;
    int result = element_open(o, hash->header.id, name, &ret_field->element);
    if (result != MLKV_OK)
        return result;
    ret_field->stands = true;
    return field_look(o, ret_field->element.rest, &ret_field->at_ms, &ret_field->cell);
}

/* --- the order of time --- */

static int delete_expiry(op *o, entry *hash, const hash_field *self)
{
    record_key key;
    if (self->at_ms == 0)
        return MLKV_OK;
    if (hash->header.expiring == 0)
        return error_set(MLKV_E_CORRUPT, "hash \"%s\" has more fields that expire than it counts",
                         error_quote(hash->name.data, hash->name.size));
    int result = layout_field_expiry(hash->header.id, self->at_ms, self->element.name, &key);
    hash->header.expiring--;
    return result != MLKV_OK ? result : op_delete(o, record_key_slice(&key));
}

static int put_expiry(op *o, entry *hash, const hash_field *self, int64_t at_ms)
{
    record_key key;
    key_header *header = &hash->header;
    if (at_ms == 0)
        return MLKV_OK;
    int result = layout_field_expiry(header->id, at_ms, self->element.name, &key);
    if (result == MLKV_OK)
        result = named_put(o, &key, self->element.name, nothing, nothing);
    bool first = header->expiring++ == 0;
    header->first_ms = first || at_ms < header->first_ms ? at_ms : header->first_ms;
    header->last_ms = first || at_ms > header->last_ms ? at_ms : header->last_ms;
    return result;
}

int field_move_first(op *o, mlkv_slice key_name, int64_t from_ms, int64_t to_ms)
{
    return expiry_move_in(o, RECORD_FIELDS_DUE, key_name, from_ms, to_ms);
}

int field_split_expiry(mlkv_slice key, mlkv_slice value, int64_t *ret_at_ms, mlkv_slice *ret_name)
{
    mlkv_slice rest;
    int result = layout_split_name(key, LAYOUT_ORDER_HEAD_SIZE, value, ret_name, &rest);
    if (result != MLKV_OK)
        return result;
    if (rest.size != 0)
        return error_set(MLKV_E_CORRUPT, "a field's expiry has a value");
    *ret_at_ms = (int64_t)load_be64((const unsigned char *)key.data + 9);
    return MLKV_OK;
}

/* --- writing --- */

static int put_parts(op *o, const element *self, int64_t at_ms, mlkv_slice head, mlkv_slice body)
{
    unsigned char joined[LAYOUT_FIELD_HEAD_SIZE + JOINED_MAX];
    size_t size = layout_write_field(at_ms, joined);
    if (size == 0)
        return element_put(o, self, head, body);
    if (body.size == 0)
        return element_put(o, self, slice_of(joined, size), head);
    if (head.size > JOINED_MAX)
        return error_set(MLKV_E_SIZE, "a head of %zu bytes", head.size);
    bytes_copy(joined + size, head.data, head.size);
    return element_put(o, self, slice_of(joined, size + head.size), body);
}

int field_put(op *o, entry *hash, hash_field *self, int64_t at_ms, mlkv_slice head, mlkv_slice body)
{
    int64_t old_ms = self->stands ? self->at_ms : 0;
    int result = put_parts(o, &self->element, at_ms, head, body);
    if (result == MLKV_OK && old_ms != at_ms)
        result = delete_expiry(o, hash, self);
    if (result == MLKV_OK && old_ms != at_ms)
        result = put_expiry(o, hash, self, at_ms);
    hash->header.count += !self->stands;
    self->stands = true;
    self->at_ms = at_ms;
    return result;
}

int field_delete(op *o, entry *hash, hash_field *self)
{
    if (hash->header.count == 0)
        return error_set(MLKV_E_CORRUPT, "hash \"%s\" has more fields than it counts",
                         error_quote(hash->name.data, hash->name.size));
    int result = element_release_cell(o, self->cell);
    if (result == MLKV_OK)
        result = element_delete(o, &self->element);
    if (result == MLKV_OK)
        result = delete_expiry(o, hash, self);
    hash->header.count--;
    self->stands = false;
    return result;
}

int field_store(op *o, entry *hash, const key_header *before)
{
    key_header *header = &hash->header;
    header->fields_expire = header->expiring != 0;
    if (!header->fields_expire)
        header->first_ms = header->last_ms = 0;
    if (header->count == 0)
        return entry_vanish(o, hash);
    if (header->count == before->count && header->expiring == before->expiring &&
        header->first_ms == before->first_ms && header->last_ms == before->last_ms)
        return MLKV_OK;
    return entry_store(o, hash, nothing, nothing);
}

/* --- the hash as a whole --- */

int field_open_expiries(op *o, uint64_t id, int64_t after_ms, scan **ret_walk)
{
    record_key prefix, after;
    layout_id(RECORD_FIELD_EXPIRY, id, &prefix);
    layout_indexed(RECORD_FIELD_EXPIRY, id, (uint64_t)after_ms, &after);
    memset(after.bytes + after.size, 0xff, sizeof after.bytes - after.size);
    after.size = RECORD_KEY_SIZE_MAX;
    return op_scan_open(o, record_key_slice(&prefix),
                        after_ms == 0 ? nothing : record_key_slice(&after), ret_walk);
}

int field_all_gone(op *o, const key_header *hash, bool *ret_gone)
{
    scan *walk = NULL;
    mlkv_slice key, value;
    int64_t now_ms = op_now_ms(o);
    *ret_gone = false;
    if (hash->expiring == 0 || hash->expiring != hash->count || hash->first_ms > now_ms)
        return MLKV_OK;
    int result = MLKV_ABSENT;
    if (hash->last_ms > now_ms) {
        result = field_open_expiries(o, hash->id, now_ms, &walk);
        if (result == MLKV_OK)
            result = scan_next(walk, &key, &value);
        scan_close(walk);
    }
    *ret_gone = result == MLKV_ABSENT;
    if (*ret_gone)
        op_saw_expired(o, hash->last_ms < now_ms ? hash->last_ms : now_ms);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

int field_count_gone(op *o, const key_header *hash, uint64_t *ret_count)
{
    scan *walk = NULL;
    mlkv_slice key, value, name;
    int64_t now_ms = op_now_ms(o), at_ms = 0, seen_ms = 0;
    *ret_count = 0;
    if (hash->expiring == 0 || hash->first_ms > now_ms)
        return MLKV_OK;
    if (hash->last_ms <= now_ms) {
        op_saw_expired(o, hash->last_ms);
        *ret_count = hash->expiring;
        return MLKV_OK;
    }
    int result = field_open_expiries(o, hash->id, 0, &walk);
    while (result == MLKV_OK) {
        result = scan_next(walk, &key, &value);
        if (result == MLKV_OK)
            result = field_split_expiry(key, value, &at_ms, &name);
        if (result != MLKV_OK || at_ms > now_ms)
            break;
        seen_ms = at_ms;
        ++*ret_count;
    }
    scan_close(walk);
    if (seen_ms != 0)
        op_saw_expired(o, seen_ms);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}
