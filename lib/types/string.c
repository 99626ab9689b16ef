/* string.c - strings: one value under a key, kept in the key's own record.
 *
 * Bytes owned: the type's own part of a string's K record, which is the cell of its value (codec/cell.h). A string has no elements and
 * therefore no id of its own (0): setting it needs one record read and one record written.
 *
 * Invariants
 *   1. A cell that is replaced is released in the same rule (a blob's reference; other cells hold nothing).
 *   2. Setting replaces a key of any type and ends its expiry, as Redis SET does; adding keeps the expiry, as INCRBY does.
 *   3. A caller's buffer changes only on success (values.h).
 */
#include <mlkv/string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "types/argument.h"
#include "types/entry.h"
#include "types/integer.h"
#include "types/named.h"
#include "types/values.h"

/* --- set --- */

typedef struct {
    const mlkv_pair *pairs;
    size_t n;
    mlkv_set_condition condition;
    values values;
} set_call;

/* Makes the entry a string that is ready for a new cell, whatever it was. */
static int make_string(op *o, entry *self, bool exists)
{
    if (!exists)
        return entry_create(o, self, TYPE_STRING);
    self->header.expiry_ms = 0;
    if (self->header.type == TYPE_STRING)
        return entry_release_string(o, self);
    int result = entry_remove(o, self);
    return result != MLKV_OK ? result : entry_create(o, self, TYPE_STRING);
}

static int set_one(op *o, set_call *call, const mlkv_pair *pair)
{
    entry found;
    mlkv_slice head = {NULL, 0}, body = {NULL, 0};
    int result = entry_open(o, pair->name, TYPE_ANY, &found);
    if (result != MLKV_OK && result != MLKV_ABSENT)
        return result;
    bool exists = result == MLKV_OK;
    if ((call->condition == MLKV_SET_IF_ABSENT && exists) ||
        (call->condition == MLKV_SET_IF_PRESENT && !exists))
        return MLKV_ABSENT;
    result = make_string(o, &found, exists);
    if (result == MLKV_OK)
        result = values_next(&call->values, o, pair->value, &head, &body);
    return result != MLKV_OK ? result : entry_store(o, &found, head, body);
}

static int set_rule(op *o, void *context)
{
    set_call *call = context;
    values_restart(&call->values);
    int result = MLKV_OK;
    for (size_t i = 0; i < call->n && result == MLKV_OK; i++) {
        if (i % NAMED_BATCH == 0 && call->n > 1)
            for (size_t j = i; j < call->n && j - i < NAMED_BATCH; j++)
                entry_prefetch(o, call->pairs[j].name);
        result = set_one(o, call, &call->pairs[i]);
    }
    return result;
}

static int run_set(mlkv *view, const mlkv_pair *pairs, size_t n, mlkv_set_condition condition)
{
    set_call call = {.pairs = pairs, .n = n, .condition = condition};
    int result = values_prepare(&call.values, view, pairs, n);
    if (result == MLKV_OK)
        result = op_write(view, set_rule, &call);
    values_done(&call.values);
    return result;
}

int mlkv_string_set(mlkv *view, mlkv_slice key, mlkv_slice value, mlkv_set_condition condition)
{
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = argument_slice(value, "value");
    if (result == MLKV_OK && (unsigned)condition > MLKV_SET_IF_PRESENT)
        result = error_set(MLKV_E_ARGUMENT, "condition %d is unknown", (int)condition);
    if (result != MLKV_OK)
        return result;
    mlkv_pair pair = {key, value};
    return run_set(view, &pair, 1, condition);
}

int mlkv_string_set_many(mlkv *view, const mlkv_pair *pairs, size_t n)
{
    int result = argument_pointer(view, "view");
    if (result == MLKV_OK)
        result = argument_pairs(pairs, n, "pairs");
    return result != MLKV_OK ? result : run_set(view, pairs, n, MLKV_SET_ALWAYS);
}

/* --- get --- */

typedef struct {
    mlkv_slice key;
    mlkv_buffer *value;
    size_t old_size;
} get_call;

static int get_rule(op *o, void *context)
{
    get_call *call = context;
    entry found;
    call->value->size = call->old_size;
    int result = entry_open(o, call->key, TYPE_STRING, &found);
    return result != MLKV_OK ? result : values_append_cell(o, found.rest, call->value);
}

int mlkv_string_get(mlkv *view, mlkv_slice key, mlkv_buffer *ret_value)
{
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = argument_pointer(ret_value, "ret_value");
    if (result != MLKV_OK)
        return result;
    get_call call = {key, ret_value, ret_value->size};
    return values_end_get(op_read(view, get_rule, &call), call.old_size, ret_value);
}

typedef struct {
    mlkv_slice key;
    uint64_t length;
} length_call;

static int length_rule(op *o, void *context)
{
    length_call *call = context;
    entry found;
    int kind;
    cell_blob blob;
    call->length = 0;
    int result = entry_open(o, call->key, TYPE_STRING, &found);
    if (result == MLKV_ABSENT)
        return MLKV_OK;
    return result != MLKV_OK ? result : cell_inspect(found.rest, &kind, &call->length, &blob);
}

int mlkv_string_length(mlkv *view, mlkv_slice key, uint64_t *ret_length)
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

typedef struct {
    const mlkv_slice *keys;
    size_t n;
    mlkv_rows *rows;
    mlkv_buffer decoded;
} get_many_call;

/* A key that is missing or of another type is absent in the rows, as Redis MGET has it. */
static int get_one(op *o, get_many_call *call, mlkv_slice key)
{
    entry found;
    mlkv_slice raw;
    int result = entry_open(o, key, TYPE_ANY, &found);
    if (result == MLKV_ABSENT || (result == MLKV_OK && found.header.type != TYPE_STRING))
        return rows_append_absent(call->rows);
    if (result != MLKV_OK)
        return result;
    if (cell_borrow(found.rest, &raw))
        return rows_append(call->rows, raw);
    call->decoded.size = 0;
    result = op_cell_append(o, found.rest, &call->decoded);
    return result != MLKV_OK ? result : rows_append(call->rows, slice_of_buffer(&call->decoded));
}

static int get_many_rule(op *o, void *context)
{
    get_many_call *call = context;
    rows_clear(call->rows);
    int result = MLKV_OK;
    for (size_t i = 0; i < call->n && result == MLKV_OK; i++) {
        entry_prefetch_batch(o, call->keys, call->n, i);
        result = get_one(o, call, call->keys[i]);
    }
    return result;
}

int mlkv_string_get_many(mlkv *view, const mlkv_slice *keys, size_t n, mlkv_rows *ret_values)
{
    int result = argument_pointer(view, "view");
    if (result == MLKV_OK)
        result = argument_slices(keys, n, "keys");
    if (result == MLKV_OK)
        result = argument_pointer(ret_values, "ret_values");
    if (result != MLKV_OK)
        return result;
    get_many_call call = {.keys = keys, .n = n, .rows = ret_values};
    result = op_read(view, get_many_rule, &call);
    mlkv_buffer_free(&call.decoded);
    return values_end_rows(result, ret_values);
}

/* --- add --- */

typedef struct {
    mlkv_slice key;
    int64_t delta, sum;
} add_call;

static int add_rule(op *o, void *context)
{
    add_call *call = context;
    entry found;
    int64_t old = 0;
    unsigned char cell[1 + INTEGER_TEXT_MAX];
    int result = entry_open(o, call->key, TYPE_STRING, &found);
    if (result == MLKV_OK)
        result = values_read_integer(o, found.rest, &old);
    else if (result == MLKV_ABSENT)
        result = entry_create(o, &found, TYPE_STRING);
    if (result == MLKV_OK)
        result = integer_add(old, call->delta, &call->sum);
    if (result == MLKV_OK)
        result = entry_release_string(o, &found);
    if (result != MLKV_OK)
        return result;
    return entry_store(o, &found, slice_of(cell, values_integer_cell(call->sum, cell)),
                       slice_of(NULL, 0));
}

int mlkv_string_add(mlkv *view, mlkv_slice key, int64_t delta, int64_t *ret_value)
{
    add_call call = {.key = key, .delta = delta};
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = op_write(view, add_rule, &call);
    if (result == MLKV_OK && ret_value != NULL)
        *ret_value = call.sum;
    return result;
}
