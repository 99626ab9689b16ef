/* mend_rest.c - what follows from the records that stay: reference counts, expiries in order of time,
 * the number of keys; and records that no class of this version explains.
 *
 *   R   of each blob that is referred to, so many; of no other
 *   W   of each blob with pieces that nobody refers to: the cleaner takes it
 *   X   of each key with an expiry (put when the key was looked at); of no other. So with F, of hashes
 *       of which fields expire, and Q, of tensors with rows beside their chunks
 *   C   Ckeys, the number of keys
 *   G   none: the elements of deleted keys went with the sweep
 *
 * Nothing is written where it is right already. Locks: none.
 */
#include "types/mend.h"

#include "base/bytes.h"
#include "base/error.h"
#include "types/expiry.h"
#include "types/named.h"
#include "types/tensor_rows_fold.h"

enum { KEY_HEAD_SIZE = 1, ID_KEY_SIZE = 9, PIECE_KEY_SIZE = 13, COUNTER_SIZE = 8 };

static const char counter_key[] = "Ckeys";

/* --- blobs --- */

static int check_count(mender *self, mlkv_slice key, mlkv_slice value)
{
    verify_blob *blob =
        key.size != ID_KEY_SIZE
            ? NULL
            : id_map_find(&self->check.blobs, load_be64((const unsigned char *)key.data + 1));
    if (blob == NULL || blob->references == 0)
        return mend_delete(self, key);
    if (value.size == COUNTER_SIZE && load_le64(value.data) == blob->references)
        blob->has_count = true;
    return MLKV_OK;
}

static int check_waste(mender *self, mlkv_slice key, mlkv_slice value)
{
    verify_blob *blob =
        key.size != ID_KEY_SIZE
            ? NULL
            : id_map_find(&self->check.blobs, load_be64((const unsigned char *)key.data + 1));
    if (blob == NULL || blob->references != 0 || value.size != 0)
        return mend_delete(self, key);
    blob->is_waste = true;
    return MLKV_OK;
}

static int check_piece(mender *self, mlkv_slice key, mlkv_slice value)
{
    (void)value;
    return key.size == PIECE_KEY_SIZE ? MLKV_OK : mend_delete(self, key);
}

static int put_counts(mender *self)
{
    int result = MLKV_OK;
    for (size_t i = 0; i < self->check.blobs.count && result == MLKV_OK; i++) {
        const verify_blob *blob = (const verify_blob *)(const void *)self->check.blobs.items + i;
        record_key key;
        unsigned char count[COUNTER_SIZE];
        store_le64(count, blob->references);
        self->report.blobs += blob->references != 0;
        layout_id(blob->references != 0 ? RECORD_REFERENCE : RECORD_WASTE, blob->id, &key);
        if (blob->references != 0 && !blob->has_count)
            result = mend_put(self, record_key_slice(&key), slice_of(count, sizeof count));
        if (blob->references == 0 && blob->has_pieces && !blob->is_waste)
            result = mend_put(self, record_key_slice(&key), slice_of(NULL, 0));
    }
    return result;
}

static int mend_blobs(mender *self)
{
    int result = mend_each_class(self, RECORD_REFERENCE, check_count);
    if (result == MLKV_OK)
        result = mend_each_class(self, RECORD_WASTE, check_waste);
    if (result == MLKV_OK)
        result = mend_each_class(self, RECORD_BLOB, check_piece);
    return result == MLKV_OK ? put_counts(self) : result;
}

/* --- expiries --- */

typedef struct {
    mlkv_slice name;
    int64_t expiry_ms, first_ms;
    bool rows_beside;
} expiry_lookup;

/* What the key's own record says; not entry_open, for which it may be gone. */
static int lookup_rule(op *o, void *context)
{
    expiry_lookup *self = context;
    record_key key;
    key_header header = {0};
    mlkv_slice value, rest;
    int result = layout_key(self->name, &key);
    if (result == MLKV_OK)
        result = named_borrow(o, &key, KEY_HEAD_SIZE, self->name, &value);
    if (result == MLKV_OK)
        result = layout_read_header(value, &header, &rest);
    if (result == MLKV_OK)
        result = layout_read_fields(&header, &rest);
    self->expiry_ms = header.expiry_ms;
    self->first_ms = header.fields_expire ? header.first_ms : 0;
    self->rows_beside = header.rows_beside;
    return result;
}

/* In the store as it is by now: keys that were lost are gone. */
static int check_expiry(mender *self, mlkv_slice key, mlkv_slice value)
{
    expiry_lookup lookup;
    mlkv_slice rest;
    int64_t at_ms;
    bool of_key = *(const unsigned char *)key.data == RECORD_EXPIRY;
    if (key.size < ID_KEY_SIZE ||
        expiry_split(key, value, &at_ms, &lookup.name, &rest) != MLKV_OK || rest.size != 0 ||
        at_ms == 0)
        return mend_delete(self, key);
    int result = op_read(self->db, lookup_rule, &lookup);
    if (result != MLKV_OK && result != MLKV_E_CORRUPT && result != MLKV_ABSENT)
        return result;
    bool same = result == MLKV_OK && at_ms == (of_key ? lookup.expiry_ms : lookup.first_ms);
    return same ? MLKV_OK : mend_delete(self, key);
}

static int check_rows_of(mender *self, mlkv_slice key, mlkv_slice value)
{
    expiry_lookup lookup;
    if (fold_split(key, value, &lookup.name) != MLKV_OK)
        return mend_delete(self, key);
    int result = op_read(self->db, lookup_rule, &lookup);
    if (result != MLKV_OK && result != MLKV_E_CORRUPT && result != MLKV_ABSENT)
        return result;
    return result == MLKV_OK && lookup.rows_beside ? MLKV_OK : mend_delete(self, key);
}

/* --- the number of keys, and what has no place --- */

static int check_counter(mender *self, mlkv_slice key, mlkv_slice value)
{
    if (!slice_equal(key, slice_of_text(counter_key)))
        return mend_delete(self, key);
    self->has_counter = value.size == COUNTER_SIZE && load_le64(value.data) == self->report.keys;
    return MLKV_OK;
}

static int mend_counter(mender *self)
{
    unsigned char count[COUNTER_SIZE];
    int result = mend_each_class(self, RECORD_COUNTER, check_counter);
    if (result != MLKV_OK || self->has_counter)
        return result;
    store_le64(count, self->report.keys);
    return mend_put(self, slice_of_text(counter_key), slice_of(count, sizeof count));
}

static int drop(mender *self, mlkv_slice key, mlkv_slice value)
{
    (void)value;
    return mend_delete(self, key);
}

static int drop_strange(mender *self, mlkv_slice key, mlkv_slice value)
{
    int result = mend_tell(self, true, "record '%s' is left out: this version knows no such class",
                           error_quote(key.data, key.size));
    return result != MLKV_OK ? result : drop(self, key, value);
}

static int drop_classes(mender *self)
{
    static const char known[] = {
        RECORD_KEY,          RECORD_ELEMENT, RECORD_ORDER,   RECORD_LIST,
        RECORD_TENSOR,       RECORD_EXPIRY,  RECORD_COUNTER, RECORD_REFERENCE,
        RECORD_WASTE,        RECORD_BLOB,    RECORD_SYSTEM,  RECORD_FIELDS_DUE,
        RECORD_FIELD_EXPIRY, RECORD_ROW,     RECORD_ROWS_OF, RECORD_DICTIONARY};
    int result = mend_each_class(self, RECORD_GARBAGE, drop);
    if (result == MLKV_OK)
        result = mend_each_class(self, RECORD_NOTE, drop);
    for (int class = 0; class <= 0xff && result == MLKV_OK; class ++) {
        if (class != RECORD_GARBAGE && class != RECORD_NOTE &&
            (class == 0 || memchr(known, class, sizeof known) == NULL))
            result = mend_each_class(self, class, drop_strange);
    }
    return result;
}

int mend_rest(mender *self)
{
    int result = mend_blobs(self);
    if (result == MLKV_OK)
        result = mend_flush(self);
    if (result == MLKV_OK)
        result = mend_each_class(self, RECORD_EXPIRY, check_expiry);
    if (result == MLKV_OK)
        result = mend_each_class(self, RECORD_FIELDS_DUE, check_expiry);
    if (result == MLKV_OK)
        result = mend_each_class(self, RECORD_ROWS_OF, check_rows_of);
    if (result == MLKV_OK)
        result = mend_counter(self);
    if (result == MLKV_OK)
        result = mend_dictionaries(self);
    return result == MLKV_OK ? drop_classes(self) : result;
}
