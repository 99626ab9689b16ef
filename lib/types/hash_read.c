/* hash_read.c - reading hashes: one field, some, all; how many there are.
 *
 * Bytes owned: none (hash.c). A field that is gone, though its record may still stand, is missing to everything here (field.h).
 *
 * Invariants
 *   1. All answers of one call belong to one state and one moment (op_now_ms).
 *   2. The number of fields is exact: those that are gone but stand are counted and taken off.
 * Locks: none; everything happens inside a rule.
 */
#include <mlkv/hash.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "types/argument.h"
#include "types/field.h"
#include "types/measure.h"
#include "types/values.h"

static const mlkv_slice nothing = {NULL, 0};

static int check_field(const mlkv *view, mlkv_slice key, mlkv_slice field)
{
    int result = argument_view_key(view, key);
    return result != MLKV_OK ? result : argument_slice(field, "field");
}

/* --- get --- */

typedef struct {
    mlkv_slice key, field;
    mlkv_buffer *value; /* NULL: only whether it is there */
    size_t old_size;
    bool wants_length;
    uint64_t length;
} get_call;

static int get_rule(op *o, void *context)
{
    get_call *call = context;
    entry hash;
    hash_field found;
    cell_blob blob;
    int kind;
    if (call->value != NULL)
        call->value->size = call->old_size;
    int result = entry_open(o, call->key, TYPE_HASH, &hash);
    if (result == MLKV_OK)
        result = field_open(o, &hash, call->field, &found);
    if (result == MLKV_OK && call->wants_length)
        return cell_inspect(found.cell, &kind, &call->length, &blob);
    if (result != MLKV_OK || call->value == NULL)
        return result;
    return values_append_value(o, call->key, found.cell, call->value);
}

int mlkv_hash_get(mlkv *view, mlkv_slice key, mlkv_slice field, mlkv_buffer *ret_value)
{
    int result = check_field(view, key, field);
    if (result == MLKV_OK)
        result = argument_pointer(ret_value, "ret_value");
    if (result != MLKV_OK)
        return result;
    get_call call = {.key = key, .field = field, .value = ret_value, .old_size = ret_value->size};
    return values_end_get(op_read(view, get_rule, &call), call.old_size, ret_value);
}

int mlkv_hash_exists(mlkv *view, mlkv_slice key, mlkv_slice field)
{
    get_call call = {.key = key, .field = field};
    int result = check_field(view, key, field);
    return result != MLKV_OK ? result : op_read(view, get_rule, &call);
}

int mlkv_hash_value_length(mlkv *view, mlkv_slice key, mlkv_slice field, uint64_t *ret_length)
{
    get_call call = {.key = key, .field = field, .wants_length = true};
    int result = check_field(view, key, field);
    if (result == MLKV_OK)
        result = argument_pointer(ret_length, "ret_length");
    if (result == MLKV_OK)
        result = op_read(view, get_rule, &call);
    if (result == MLKV_OK)
        *ret_length = call.length;
    return result;
}

typedef struct {
    mlkv_slice key;
    const mlkv_slice *fields;
    size_t n;
    mlkv_rows *rows;
    mlkv_buffer decoded;
} get_many_call;

static int get_one(op *o, get_many_call *call, const entry *hash, mlkv_slice name)
{
    hash_field found;
    mlkv_slice raw;
    int result = field_open(o, hash, name, &found);
    if (result == MLKV_ABSENT)
        return rows_append_absent(call->rows);
    if (result != MLKV_OK)
        return result;
    if (cell_borrow(found.cell, &raw))
        return rows_append(call->rows, raw);
    call->decoded.size = 0;
    result = op_cell_append(o, found.cell, &call->decoded);
    return result != MLKV_OK ? values_of_key(result, call->key)
                             : rows_append(call->rows, slice_of_buffer(&call->decoded));
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
        result = get_one(o, call, &hash, call->fields[i]);
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

static int read_length(op *o, mlkv_slice key, uint64_t *ret_length)
{
    entry hash;
    uint64_t gone = 0;
    int result = entry_open(o, key, TYPE_HASH, &hash);
    if (result == MLKV_OK)
        result = field_count_gone(o, &hash.header, &gone);
    if (result == MLKV_OK)
        *ret_length = hash.header.count - gone;
    return result;
}

int mlkv_hash_length(mlkv *view, mlkv_slice key, uint64_t *ret_length)
{
    return measure_key(view, key, read_length, ret_length, "ret_length");
}

/* --- all fields --- */

typedef struct {
    mlkv_slice key;
    mlkv_rows *rows;
    bool wants_names, wants_values;
    mlkv_buffer decoded;
} all_call;

static int append_field(op *o, all_call *call, scan *walk, mlkv_slice key, mlkv_slice value)
{
    mlkv_slice name, cell, raw;
    int64_t at_ms;
    int result = layout_split_name(key, ELEMENT_HEAD_SIZE, value, &name, &cell);
    if (result == MLKV_OK)
        result = field_look(o, cell, &at_ms, &cell);
    if (result == MLKV_ABSENT)
        return MLKV_OK;
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
            result = append_field(o, call, walk, key, value);
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
