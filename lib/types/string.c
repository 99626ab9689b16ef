/* string.c - strings: one value under a key, kept in the key's own record; reading them. Setting stands in string_set.c, changing in
 * string_change.c.
 *
 * Bytes owned: the type's own part of a string's K record, which is the cell of its value (codec/cell.h). A string has no elements and
 * therefore no id of its own (0): setting it needs one record read and one record written.
 *
 * Invariants
 *   1. A cell that is replaced is released in the same rule (a blob's reference; other cells hold nothing).
 *   2. Setting replaces a key of any type and ends its expiry, as Redis SET does; changing keeps the expiry, as INCRBY does.
 *   3. A caller's buffer changes only on success (values.h).
 */
#include <mlkv/string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "types/argument.h"
#include "types/entry.h"
#include "types/measure.h"
#include "types/named.h"
#include "types/range.h"
#include "types/values.h"

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
    return result != MLKV_OK ? result : values_append_value(o, call->key, found.rest, call->value);
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

/* --- length --- */

static int read_length(op *o, mlkv_slice key, uint64_t *ret_length)
{
    entry found;
    int kind;
    cell_blob blob;
    int result = entry_open(o, key, TYPE_STRING, &found);
    return result != MLKV_OK ? result : cell_inspect(found.rest, &kind, ret_length, &blob);
}

int mlkv_string_length(mlkv *view, mlkv_slice key, uint64_t *ret_length)
{
    return measure_key(view, key, read_length, ret_length, "ret_length");
}

typedef struct {
    mlkv_slice key;
    int64_t start, stop;
    mlkv_buffer *value;
    size_t old_size;
} range_call;

static int get_range_rule(op *o, void *context)
{
    range_call *call = context;
    entry found;
    int kind;
    cell_blob blob;
    uint64_t length, first, n;
    call->value->size = call->old_size;
    int result = entry_open(o, call->key, TYPE_STRING, &found);
    if (result != MLKV_OK)
        return result == MLKV_ABSENT ? MLKV_OK : result;
    result = cell_inspect(found.rest, &kind, &length, &blob);
    if (result != MLKV_OK || !range_resolve_bytes(call->start, call->stop, length, &first, &n))
        return result;
    void *to = buffer_extend(call->value, (size_t)n);
    return to == NULL ? MLKV_E_MEMORY : op_cell_read(o, found.rest, first, (size_t)n, to);
}

int mlkv_string_get_range(mlkv *view, mlkv_slice key, int64_t start, int64_t stop,
                          mlkv_buffer *ret_value)
{
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = argument_pointer(ret_value, "ret_value");
    if (result != MLKV_OK)
        return result;
    range_call call = {key, start, stop, ret_value, ret_value->size};
    return values_end_get(op_read(view, get_range_rule, &call), call.old_size, ret_value);
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
    return result != MLKV_OK ? values_of_key(result, key)
                             : rows_append(call->rows, slice_of_buffer(&call->decoded));
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
