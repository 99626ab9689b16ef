/* hash.c - hashes: fields and their values under a key.
 *
 * Bytes owned: the E records of a hash's life, one a field: name (if long) and cell (layout.h). The number of fields stands in the
 * header of the key's own record, which is therefore written only when fields come or go, not when a value is replaced.
 *
 * Invariants
 *   1. header.count is the number of E records of this life. With the last field the key goes: an empty hash does not exist.
 *   2. A cell that is replaced or deleted is released in the same rule.
 *   3. A missing key reads as an empty hash.
 */
#include <mlkv/hash.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "types/argument.h"
#include "types/element.h"
#include "types/entry.h"
#include "types/named.h"
#include "types/values.h"

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

static int set_one(op *o, set_call *call, uint64_t id, const mlkv_pair *pair)
{
    element field;
    mlkv_slice head = nothing, body = nothing;
    int result = element_open(o, id, pair->name, &field);
    if (result == MLKV_OK && call->only_absent)
        return MLKV_ABSENT;
    if (result == MLKV_ABSENT)
        call->added++;
    else if (result == MLKV_OK)
        result = element_release_cell(o, field.rest);
    if (result == MLKV_OK || result == MLKV_ABSENT)
        result = values_next(&call->values, o, pair->value, &head, &body);
    return result != MLKV_OK ? result : element_put(o, &field, head, body);
}

static int set_rule(op *o, void *context)
{
    set_call *call = context;
    entry hash;
    values_restart(&call->values);
    call->added = 0;
    int result = open_or_create(o, call->key, &hash);
    for (size_t i = 0; i < call->n && result == MLKV_OK; i++) {
        if (i % NAMED_BATCH == 0 && call->n > 1)
            for (size_t j = i; j < call->n && j - i < NAMED_BATCH; j++)
                element_prefetch(o, hash.header.id, call->pairs[j].name);
        result = set_one(o, call, hash.header.id, &call->pairs[i]);
    }
    if (result != MLKV_OK || call->added == 0)
        return result;
    hash.header.count += call->added;
    return entry_store(o, &hash, nothing, nothing);
}

static int run_set(mlkv *view, set_call *call)
{
    int result = values_prepare(&call->values, view, call->pairs, call->n);
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

/* --- get --- */

typedef struct {
    mlkv_slice key, field;
    mlkv_buffer *value; /* NULL: only whether it is there */
    size_t old_size;
} get_call;

static int get_rule(op *o, void *context)
{
    get_call *call = context;
    entry hash;
    element field;
    if (call->value != NULL)
        call->value->size = call->old_size;
    int result = entry_open(o, call->key, TYPE_HASH, &hash);
    if (result == MLKV_OK)
        result = element_open(o, hash.header.id, call->field, &field);
    if (result != MLKV_OK || call->value == NULL)
        return result;
    return values_append_cell(o, field.rest, call->value);
}

int mlkv_hash_get(mlkv *view, mlkv_slice key, mlkv_slice field, mlkv_buffer *ret_value)
{
    int result = check_field(view, key, field);
    if (result == MLKV_OK)
        result = argument_pointer(ret_value, "ret_value");
    if (result != MLKV_OK)
        return result;
    get_call call = {key, field, ret_value, ret_value->size};
    return values_end_get(op_read(view, get_rule, &call), call.old_size, ret_value);
}

int mlkv_hash_exists(mlkv *view, mlkv_slice key, mlkv_slice field)
{
    get_call call = {key, field, NULL, 0};
    int result = check_field(view, key, field);
    return result != MLKV_OK ? result : op_read(view, get_rule, &call);
}

typedef struct {
    mlkv_slice key;
    const mlkv_slice *fields;
    size_t n;
    mlkv_rows *rows;
    mlkv_buffer decoded;
} get_many_call;

static int get_one(op *o, get_many_call *call, uint64_t id, mlkv_slice name)
{
    element field;
    mlkv_slice raw;
    int result = element_open(o, id, name, &field);
    if (result == MLKV_ABSENT)
        return rows_append_absent(call->rows);
    if (result != MLKV_OK)
        return result;
    if (cell_borrow(field.rest, &raw))
        return rows_append(call->rows, raw);
    call->decoded.size = 0;
    result = op_cell_append(o, field.rest, &call->decoded);
    return result != MLKV_OK ? result : rows_append(call->rows, slice_of_buffer(&call->decoded));
}

static int get_many_rule(op *o, void *context)
{
    get_many_call *call = context;
    entry hash;
    rows_clear(call->rows);
    int result = entry_open(o, call->key, TYPE_HASH, &hash);
    bool missing = result == MLKV_ABSENT;
    result = missing ? MLKV_OK : result;
    for (size_t i = 0; i < call->n && result == MLKV_OK; i++) {
        if (missing) {
            result = rows_append_absent(call->rows);
            continue;
        }
        element_prefetch_batch(o, hash.header.id, call->fields, call->n, i);
        result = get_one(o, call, hash.header.id, call->fields[i]);
    }
    return result;
}

int mlkv_hash_get_many(mlkv *view, mlkv_slice key, const mlkv_slice *fields, size_t n,
                       mlkv_rows *ret_values)
{
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = argument_slices(fields, n, "fields");
    if (result == MLKV_OK)
        result = argument_pointer(ret_values, "ret_values");
    if (result != MLKV_OK)
        return result;
    get_many_call call = {.key = key, .fields = fields, .n = n, .rows = ret_values};
    result = op_read(view, get_many_rule, &call);
    mlkv_buffer_free(&call.decoded);
    return values_end_rows(result, ret_values);
}

typedef struct {
    mlkv_slice key;
    uint64_t length;
} length_call;

static int length_rule(op *o, void *context)
{
    length_call *call = context;
    entry hash;
    int result = entry_open(o, call->key, TYPE_HASH, &hash);
    call->length = result == MLKV_OK ? hash.header.count : 0;
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

int mlkv_hash_length(mlkv *view, mlkv_slice key, uint64_t *ret_length)
{
    length_call call = {.key = key};
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = argument_pointer(ret_length, "ret_length");
    if (result == MLKV_OK)
        result = op_read(view, length_rule, &call);
    if (result == MLKV_OK)
        *ret_length = call.length;
    return result;
}

/* --- all fields --- */

typedef struct {
    mlkv_slice key;
    mlkv_rows *rows;
    bool wants_names, wants_values;
    mlkv_buffer decoded;
} all_call;

static int append_field(all_call *call, scan *walk, mlkv_slice key, mlkv_slice value)
{
    mlkv_slice name, cell, raw;
    int result = layout_split_name(key, ELEMENT_HEAD_SIZE, value, &name, &cell);
    if (result == MLKV_OK && call->wants_names)
        result = rows_append(call->rows, name);
    if (result != MLKV_OK || !call->wants_values)
        return result;
    if (cell_borrow(cell, &raw))
        return rows_append(call->rows, raw);
    call->decoded.size = 0;
    result = scan_cell_append(walk, cell, &call->decoded);
    return result != MLKV_OK ? result : rows_append(call->rows, slice_of_buffer(&call->decoded));
}

static int all_rule(op *o, void *context)
{
    all_call *call = context;
    entry hash;
    record_key prefix;
    scan *walk = NULL;
    mlkv_slice key, value;
    rows_clear(call->rows);
    int result = entry_open(o, call->key, TYPE_HASH, &hash);
    if (result != MLKV_OK)
        return result == MLKV_ABSENT ? MLKV_OK : result;
    layout_id(RECORD_ELEMENT, hash.header.id, &prefix);
    result = op_scan_open(o, record_key_slice(&prefix), nothing, &walk);
    while (result == MLKV_OK) {
        result = scan_next(walk, &key, &value);
        if (result == MLKV_OK)
            result = append_field(call, walk, key, value);
    }
    scan_close(walk);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

static int run_all(mlkv *view, mlkv_slice key, bool wants_names, bool wants_values, mlkv_rows *rows,
                   const char *name)
{
    all_call call = {
        .key = key, .rows = rows, .wants_names = wants_names, .wants_values = wants_values};
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = argument_pointer(rows, name);
    if (result != MLKV_OK)
        return result;
    result = op_read(view, all_rule, &call);
    mlkv_buffer_free(&call.decoded);
    return values_end_rows(result, rows);
}

int mlkv_hash_get_all(mlkv *view, mlkv_slice key, mlkv_rows *ret_fields_and_values)
{
    return run_all(view, key, true, true, ret_fields_and_values, "ret_fields_and_values");
}

int mlkv_hash_keys(mlkv *view, mlkv_slice key, mlkv_rows *ret_fields)
{
    return run_all(view, key, true, false, ret_fields, "ret_fields");
}

int mlkv_hash_values(mlkv *view, mlkv_slice key, mlkv_rows *ret_values)
{
    return run_all(view, key, false, true, ret_values, "ret_values");
}

/* --- delete --- */

typedef struct {
    mlkv_slice key;
    const mlkv_slice *fields;
    size_t n, deleted;
} delete_call;

static int delete_one(op *o, delete_call *call, uint64_t id, mlkv_slice name)
{
    element field;
    int result = element_open(o, id, name, &field);
    if (result != MLKV_OK)
        return result == MLKV_ABSENT ? MLKV_OK : result;
    call->deleted++;
    result = element_release_cell(o, field.rest);
    return result != MLKV_OK ? result : element_delete(o, &field);
}

static int delete_rule(op *o, void *context)
{
    delete_call *call = context;
    entry hash;
    call->deleted = 0;
    int result = entry_open(o, call->key, TYPE_HASH, &hash);
    if (result == MLKV_ABSENT)
        return MLKV_OK;
    for (size_t i = 0; i < call->n && result == MLKV_OK; i++) {
        element_prefetch_batch(o, hash.header.id, call->fields, call->n, i);
        result = delete_one(o, call, hash.header.id, call->fields[i]);
    }
    if (result != MLKV_OK || call->deleted == 0)
        return result;
    if (hash.header.count < call->deleted)
        return error_set(MLKV_E_CORRUPT, "hash \"%s\" has more fields than it counts",
                         error_quote(call->key.data, call->key.size));
    hash.header.count -= call->deleted;
    return hash.header.count == 0 ? entry_vanish(o, &hash)
                                  : entry_store(o, &hash, nothing, nothing);
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

static int add_rule(op *o, void *context)
{
    add_call *call = context;
    entry hash;
    element field;
    int64_t old = 0;
    unsigned char cell[1 + INTEGER_TEXT_MAX];
    int result = open_or_create(o, call->key, &hash);
    if (result == MLKV_OK)
        result = element_open(o, hash.header.id, call->name, &field);
    bool is_new = result == MLKV_ABSENT;
    if (result == MLKV_OK)
        result = values_read_integer(o, field.rest, &old);
    if (result == MLKV_OK || is_new)
        result = integer_add(old, call->delta, &call->sum);
    if (result == MLKV_OK)
        result =
            element_put(o, &field, slice_of(cell, values_integer_cell(call->sum, cell)), nothing);
    if (result != MLKV_OK || !is_new)
        return result;
    hash.header.count++;
    return entry_store(o, &hash, nothing, nothing);
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
