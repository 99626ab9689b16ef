/* hash.c - hashes: fields and their values under a key. Setting, deleting and counting; hash_read.c reads, hash_expiry.c lets fields
 * expire, hash_random.c draws some.
 *
 * Bytes owned: the E records of a hash's life, one a field: name (if long), expiry (if it has one) and cell (layout.h, field.c). The
 * number of fields stands in the header of the key's own record, which is therefore written only when fields or expiries come or go,
 * not when a value is replaced.
 *
 * Invariants
 *   1. header.count is the number of E records of this life. With the last field the key goes: an empty hash does not exist.
 *   2. A cell that is replaced or deleted is released in the same rule.
 *   3. A missing key reads as an empty hash, and a field that is gone (field.h) as a missing one: setting it makes a new one.
 */
#include <mlkv/hash.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "types/argument.h"
#include "types/field.h"
#include "types/named.h"
#include "types/number.h"
#include "types/values.h"

#include <math.h>

static const mlkv_slice nothing = {NULL, 0};

/* Opens the hash of a write, making it if it is missing. */
static int open_or_create(op *o, mlkv_slice key, entry *ret_entry)
{
    int result = entry_open(o, key, TYPE_HASH, ret_entry);
    return result == MLKV_ABSENT ? entry_create(o, ret_entry, TYPE_HASH) : result;
}

static int check_field(const mlkv *view, mlkv_slice key, mlkv_slice field)
{
    int result = argument_view_key(view, key);
    return result != MLKV_OK ? result : argument_slice(field, "field");
}

/* --- set --- */

typedef struct {
    mlkv_slice key;
    const mlkv_pair *pairs;
    size_t n, added;
    bool only_absent; /* a field that exists keeps its value */
    values values;
} set_call;

static int set_one(op *o, set_call *call, entry *hash, const mlkv_pair *pair)
{
    hash_field found;
    mlkv_slice head = nothing, body = nothing;
    int result = field_open(o, hash, pair->name, &found);
    if (result == MLKV_OK && call->only_absent)
        return MLKV_ABSENT;
    call->added += result == MLKV_ABSENT;
    if (result >= 0)
        result = found.stands ? element_release_cell(o, found.cell) : MLKV_OK;
    if (result == MLKV_OK)
        result = values_next(&call->values, o, pair->value, &head, &body);
    return result != MLKV_OK ? result : field_put(o, hash, &found, 0, head, body);
}

static int set_rule(op *o, void *context)
{
    set_call *call = context;
    entry hash;
    values_restart(&call->values);
    call->added = 0;
    int result = open_or_create(o, call->key, &hash);
    key_header before = hash.header;
    for (size_t i = 0; i < call->n && result == MLKV_OK; i++) {
        if (i % NAMED_BATCH == 0 && call->n > 1)
            for (size_t j = i; j < call->n && j - i < NAMED_BATCH; j++)
                element_prefetch(o, hash.header.id, call->pairs[j].name);
        result = set_one(o, call, &hash, &call->pairs[i]);
    }
    return result != MLKV_OK ? result : field_store(o, &hash, &before);
}

static int run_set(mlkv *view, set_call *call)
{
    int result = values_prepare(&call->values, view, &call->key, call->pairs, call->n);
    if (result == MLKV_OK)
        result = op_write(view, set_rule, call);
    values_done(&call->values);
    return result;
}

static int type_rule(op *o, void *context)
{
    const mlkv_slice *key = context;
    entry hash;
    int result = entry_open(o, *key, TYPE_HASH, &hash);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

int mlkv_hash_set(mlkv *view, mlkv_slice key, const mlkv_pair *pairs, size_t n, size_t *ret_added)
{
    set_call call = {.key = key, .pairs = pairs, .n = n};
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = argument_pairs(pairs, n, "pairs");
    if (result == MLKV_OK)
        result = n == 0 ? op_write(view, type_rule, &key) : run_set(view, &call);
    if (result == MLKV_OK && ret_added != NULL)
        *ret_added = call.added;
    return result;
}

int mlkv_hash_set_if_absent(mlkv *view, mlkv_slice key, mlkv_slice field, mlkv_slice value)
{
    mlkv_pair pair = {field, value};
    set_call call = {.key = key, .pairs = &pair, .n = 1, .only_absent = true};
    int result = check_field(view, key, field);
    if (result == MLKV_OK)
        result = argument_slice(value, "value");
    return result != MLKV_OK ? result : run_set(view, &call);
}

/* --- delete --- */

typedef struct {
    mlkv_slice key;
    const mlkv_slice *fields;
    size_t n, deleted;
} delete_call;

static int delete_one(op *o, delete_call *call, entry *hash, mlkv_slice name)
{
    hash_field found;
    int result = field_open(o, hash, name, &found);
    if (result != MLKV_OK)
        return result == MLKV_ABSENT ? MLKV_OK : result;
    call->deleted++;
    return field_delete(o, hash, &found);
}

static int delete_rule(op *o, void *context)
{
    delete_call *call = context;
    entry hash;
    call->deleted = 0;
    int result = entry_open(o, call->key, TYPE_HASH, &hash);
    if (result == MLKV_ABSENT)
        return MLKV_OK;
    key_header before = hash.header;
    for (size_t i = 0; i < call->n && result == MLKV_OK; i++) {
        element_prefetch_batch(o, hash.header.id, call->fields, call->n, i);
        result = delete_one(o, call, &hash, call->fields[i]);
    }
    return result != MLKV_OK ? result : field_store(o, &hash, &before);
}

int mlkv_hash_delete(mlkv *view, mlkv_slice key, const mlkv_slice *fields, size_t n,
                     size_t *ret_deleted)
{
    delete_call call = {.key = key, .fields = fields, .n = n};
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = argument_slices(fields, n, "fields");
    if (result == MLKV_OK)
        result = op_write(view, delete_rule, &call);
    if (result == MLKV_OK && ret_deleted != NULL)
        *ret_deleted = call.deleted;
    return result;
}

/* --- add --- */

typedef struct {
    mlkv_slice key, name;
    int64_t delta, sum;
} add_call;

/* Opens a field that is to be changed in place, its hash too; both may be new. */
static int open_field(op *o, mlkv_slice key, mlkv_slice name, entry *ret_hash,
                      hash_field *ret_field)
{
    int result = open_or_create(o, key, ret_hash);
    return result != MLKV_OK ? result : field_open(o, ret_hash, name, ret_field);
}

/* Puts a number in place of what was there: a field that was there keeps its expiry, one that is gone leaves it behind. */
static int put_number(op *o, entry *hash, hash_field *self, bool was_there, mlkv_slice cell)
{
    key_header before = hash->header;
    int result = self->stands && !was_there ? element_release_cell(o, self->cell) : MLKV_OK;
    if (result == MLKV_OK)
        result = field_put(o, hash, self, was_there ? self->at_ms : 0, cell, nothing);
    return result != MLKV_OK ? result : field_store(o, hash, &before);
}

static int add_rule(op *o, void *context)
{
    add_call *call = context;
    entry hash;
    hash_field found = {0};
    int64_t old = 0;
    unsigned char cell[1 + INTEGER_TEXT_MAX];
    int result = open_field(o, call->key, call->name, &hash, &found);
    bool there = result == MLKV_OK;
    if (there)
        result = values_read_integer(o, found.cell, &old);
    if (result >= 0)
        result = integer_add(old, call->delta, &call->sum);
    if (result != MLKV_OK)
        return result;
    return put_number(o, &hash, &found, there,
                      slice_of(cell, values_integer_cell(call->sum, cell)));
}

int mlkv_hash_add(mlkv *view, mlkv_slice key, mlkv_slice field, int64_t delta, int64_t *ret_value)
{
    add_call call = {.key = key, .name = field, .delta = delta};
    int result = check_field(view, key, field);
    if (result == MLKV_OK)
        result = op_write(view, add_rule, &call);
    if (result == MLKV_OK && ret_value != NULL)
        *ret_value = call.sum;
    return result;
}

typedef struct {
    mlkv_slice key, name;
    long double delta;
    char cell[1 + NUMBER_LONG_TEXT_MAX];
    size_t size; /* of the cell */
} add_float_call;

static int read_float(op *o, mlkv_slice cell, long double *ret_value)
{
    char text[NUMBER_LONG_TEXT_MAX];
    int kind;
    uint64_t size;
    cell_blob blob;
    int result = cell_inspect(cell, &kind, &size, &blob);
    if (result == MLKV_OK && size > sizeof text)
        return error_set(MLKV_E_NUMBER, "a value of %llu bytes is not a number",
                         (unsigned long long)size);
    if (result == MLKV_OK)
        result = op_cell_read(o, cell, 0, (size_t)size, text);
    return result != MLKV_OK ? result : number_parse_long(slice_of(text, (size_t)size), ret_value);
}

static int add_float_rule(op *o, void *context)
{
    add_float_call *call = context;
    entry hash;
    hash_field found = {0};
    long double old = 0;
    int result = open_field(o, call->key, call->name, &hash, &found);
    bool there = result == MLKV_OK;
    if (there)
        result = read_float(o, found.cell, &old);
    if (result < 0)
        return result;
    if (!isfinite(old + call->delta))
        return error_set(MLKV_E_RANGE, "the sum is not a finite number");
    call->cell[0] = CELL_RAW;
    call->size = 1 + number_format_long(old + call->delta, call->cell + 1);
    return put_number(o, &hash, &found, there, slice_of(call->cell, call->size));
}

static int add_long(mlkv *view, mlkv_slice key, mlkv_slice field, long double delta,
                    mlkv_buffer *ret_text)
{
    add_float_call call = {.key = key, .name = field, .delta = delta};
    int result = MLKV_OK;
    if (ret_text != NULL) /* nothing may fail once it is written */
        result = buffer_reserve(ret_text, sizeof call.cell);
    if (result == MLKV_OK)
        result = op_write(view, add_float_rule, &call);
    if (result == MLKV_OK && ret_text != NULL)
        result = buffer_assign(ret_text, call.cell + 1, call.size - 1);
    return result;
}

int mlkv_hash_add_float(mlkv *view, mlkv_slice key, mlkv_slice field, double delta,
                        mlkv_buffer *ret_text)
{
    int result = check_field(view, key, field);
    if (result == MLKV_OK && !isfinite(delta))
        result = error_set(MLKV_E_NUMBER, "delta is not a finite number");
    return result != MLKV_OK ? result
                             : add_long(view, key, field, number_as_written(delta), ret_text);
}

int mlkv_hash_add_decimal(mlkv *view, mlkv_slice key, mlkv_slice field, mlkv_slice delta,
                          mlkv_buffer *ret_text)
{
    long double number = 0;
    int result = check_field(view, key, field);
    if (result == MLKV_OK)
        result = argument_slice(delta, "delta");
    if (result == MLKV_OK)
        result = number_parse_long(delta, &number);
    return result != MLKV_OK ? result : add_long(view, key, field, number, ret_text);
}
