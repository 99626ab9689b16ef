/* verify_fields.c - the part of mlkv_verify that knows the expiry of fields of hashes (types/field.c).
 *
 * Each says what another says too, and looks it up in the snapshot that is walked: a field that expires has its Y record and a Y record
 * its field; a hash with such fields has its F record and an F record its hash. Fields that expire and Y records are counted for each
 * life, and both numbers are what the hash's header says. Of deleted lives nothing is said: the cleaner is at work.
 *
 * Locks: none.
 */
#include "types/verify.h"

#include "base/bytes.h"
#include "base/error.h"
#include "types/entry.h"
#include "types/expiry.h"
#include "types/field.h"
#include "types/named.h"

enum { EXPIRY_KEY_SIZE_MIN = 17 };

/* --- fields (E, Y) --- */

typedef struct {
    uint64_t id;
    mlkv_slice name;
    int64_t at_ms;
    bool same;
} field_lookup;

static int lookup_expiry(op *o, void *context)
{
    field_lookup *self = context;
    record_key key;
    mlkv_slice rest;
    int result = layout_field_expiry(self->id, self->at_ms, self->name, &key);
    if (result == MLKV_OK)
        result = named_borrow(o, &key, LAYOUT_ORDER_HEAD_SIZE, self->name, &rest);
    self->same = result == MLKV_OK;
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

static int lookup_field(op *o, void *context)
{
    field_lookup *self = context;
    element found;
    mlkv_slice cell;
    int64_t at_ms = 0;
    int result = element_open(o, self->id, self->name, &found);
    if (result == MLKV_OK)
        result = layout_split_field(found.rest, &at_ms, &cell);
    self->same = result == MLKV_OK && at_ms == self->at_ms;
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

int verify_field(verifier *self, mlkv_slice key, verify_life *life, mlkv_slice name,
                 mlkv_slice value)
{
    field_lookup lookup = {.id = life->id, .name = name};
    mlkv_slice cell;
    int result = layout_split_field(value, &lookup.at_ms, &cell);
    if (result != MLKV_OK)
        return verify_result(self, key, result);
    result = verify_cell(self, key, cell, NULL);
    if (result != MLKV_OK || lookup.at_ms == 0 || life->deleted)
        return result;
    life->expiring_found++;
    if (lookup.at_ms < life->first_ms || lookup.at_ms > life->last_ms)
        return verify_problem(self, "field '%s' expires at %lld, its hash says from %lld to %lld",
                              error_quote(key.data, key.size), (long long)lookup.at_ms,
                              (long long)life->first_ms, (long long)life->last_ms);
    result = op_read(self->view, lookup_expiry, &lookup);
    if (result < 0 && result != MLKV_E_CORRUPT)
        return result;
    return lookup.same
               ? MLKV_OK
               : verify_problem(self,
                                "field '%s' expires at %lld, but has no record to be found by then",
                                error_quote(key.data, key.size), (long long)lookup.at_ms);
}

int verify_field_expiry(verifier *self, mlkv_slice key, mlkv_slice value)
{
    field_lookup lookup;
    verify_life *life;
    int result = verify_life_of(self, key, key.size >= EXPIRY_KEY_SIZE_MIN, &life);
    if (life == NULL)
        return result;
    lookup.id = load_be64((const unsigned char *)key.data + 1);
    result = field_split_expiry(key, value, &lookup.at_ms, &lookup.name);
    if (result != MLKV_OK)
        return verify_result(self, key, result);
    if (life->deleted || life->broken)
        return MLKV_OK;
    life->indexed++;
    result = op_read(self->view, lookup_field, &lookup);
    if (result != MLKV_OK)
        return result == MLKV_E_CORRUPT ? MLKV_OK : result; /* the field itself is told of */
    return lookup.same ? MLKV_OK
                       : verify_problem(self, "expiry '%s': the field does not expire then",
                                        error_quote(key.data, key.size));
}

/* --- hashes (K, F) --- */

typedef struct {
    mlkv_slice name;
    int64_t first_ms;
    bool same;
} hash_lookup;

static int lookup_hash(op *o, void *context)
{
    hash_lookup *self = context;
    entry found;
    int result = entry_open(o, self->name, TYPE_ANY, &found);
    self->same = (result == MLKV_OK || (result == MLKV_ABSENT && found.expired)) &&
                 found.header.fields_expire && found.header.first_ms == self->first_ms;
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

static int lookup_due(op *o, void *context)
{
    hash_lookup *self = context;
    int result = expiry_find_in(o, RECORD_FIELDS_DUE, self->name, self->first_ms);
    self->same = result == MLKV_OK;
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

int verify_fields_due(verifier *self, mlkv_slice key, mlkv_slice value)
{
    hash_lookup lookup;
    mlkv_slice rest;
    int result = expiry_split(key, value, &lookup.first_ms, &lookup.name, &rest);
    if (result != MLKV_OK)
        return verify_result(self, key, result);
    if (rest.size != 0)
        return verify_problem(self, "record '%s' has a value", error_quote(key.data, key.size));
    result = op_read(self->view, lookup_hash, &lookup);
    if (result != MLKV_OK)
        return result == MLKV_E_CORRUPT ? MLKV_OK : result; /* the key's own record is told of */
    return lookup.same ? MLKV_OK
                       : verify_problem(self, "record '%s': no field of the key is due then",
                                        error_quote(key.data, key.size));
}

int verify_hash(verifier *self, mlkv_slice name, const key_header *header)
{
    hash_lookup lookup = {.name = name, .first_ms = header->first_ms};
    if (!header->fields_expire)
        return MLKV_OK;
    int result = op_read(self->view, lookup_due, &lookup);
    if (result < 0 && result != MLKV_E_CORRUPT)
        return result;
    return lookup.same
               ? MLKV_OK
               : verify_problem(self,
                                "hash '%s' has fields that expire from %lld on, but no record "
                                "to be found by then",
                                error_quote(name.data, name.size), (long long)header->first_ms);
}

bool verify_fields_counted(const verify_life *life)
{
    return life->type != TYPE_HASH ||
           (life->expiring_found == life->expiring && life->indexed == life->expiring);
}
