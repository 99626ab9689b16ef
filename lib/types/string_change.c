/* string_change.c - strings changed by their own value: numbers added to, bytes appended or overwritten.
 *
 * Bytes owned: those of string.c. A value below SMALL_SIZE is decoded, changed and encoded in the rule.
 * A larger one would keep other writers waiting for the encoding inside the rule all the same, so it
 * is changed in a transaction: read, then set as any value of its size is set, with the expiry kept.
 *
 * Invariants
 *   1. What is changed is the value as it is at the moment of the write: nobody's change is lost.
 *   2. A refused change (not a number, too long) has changed nothing, and makes no key.
 * Locks: the writer lock, during the change of a large value too.
 */
#include "types/string_change.h"

#include <mlkv/string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "types/argument.h"
#include "types/entry.h"
#include "types/integer.h"
#include "types/number.h"
#include "types/values.h"

#include <math.h>

enum { SMALL_SIZE = 16 << 10 };

/* --- any change --- */

typedef struct {
    mlkv_slice key;
    string_changer changer;
    void *context;
    mlkv_buffer raw, cell;
    bool large; /* found out by the rule, which has changed nothing then */
} change_call;

static int store_changed(op *o, change_call *call, entry *found, bool exists)
{
    call->large = call->raw.size >= SMALL_SIZE;
    if (call->large)
        return MLKV_ABSENT;
    call->cell.size = 0;
    int result = op_cell_encode(o, call->key, slice_of_buffer(&call->raw), &call->cell);
    if (result == MLKV_OK)
        result = exists ? entry_release_string(o, found) : entry_create(o, found, TYPE_STRING);
    return result != MLKV_OK
               ? result
               : entry_store(o, found, slice_of_buffer(&call->cell), slice_of(NULL, 0));
}

static int small_rule(op *o, void *context)
{
    change_call *call = context;
    entry found;
    uint64_t size = 0;
    int kind;
    cell_blob blob;
    call->raw.size = 0;
    call->large = false;
    int result = entry_open(o, call->key, TYPE_STRING, &found);
    bool exists = result == MLKV_OK;
    if (exists)
        result = cell_inspect(found.rest, &kind, &size, &blob);
    call->large = result == MLKV_OK && size >= SMALL_SIZE;
    if (call->large)
        return MLKV_ABSENT;
    if (exists && result == MLKV_OK)
        result = values_append_value(o, call->key, found.rest, &call->raw);
    if (result < 0)
        return result;
    result = call->changer(call->context, &call->raw, exists);
    return result != MLKV_OK ? result : store_changed(o, call, &found, exists);
}

static int change_large(mlkv *inside, void *context)
{
    change_call *call = context;
    static const mlkv_expiry keep = {.kind = MLKV_EXPIRY_KEEP};
    int result = mlkv_string_get(inside, call->key, &call->raw);
    if (result == MLKV_ABSENT)
        call->raw.size = 0;
    if (result >= 0)
        result = call->changer(call->context, &call->raw, result == MLKV_OK);
    if (result != MLKV_OK)
        return result;
    return mlkv_string_set_with(inside, call->key, slice_of_buffer(&call->raw), MLKV_SET_ALWAYS,
                                keep, NULL, NULL);
}

int string_change(mlkv *view, mlkv_slice key, string_changer changer, void *context)
{
    change_call call = {.key = key, .changer = changer, .context = context};
    int result = op_write(view, small_rule, &call);
    if (result >= 0 && call.large)
        result = op_transact(view, change_large, &call);
    mlkv_buffer_free(&call.raw);
    mlkv_buffer_free(&call.cell);
    return result < 0 ? result : MLKV_OK;
}

/* --- numbers --- */

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

typedef struct {
    long double delta;
    char text[NUMBER_LONG_TEXT_MAX];
    size_t size;
} add_float_call;

static int add_float(void *context, mlkv_buffer *raw, bool exists)
{
    add_float_call *call = context;
    long double old = 0;
    int result = exists ? number_parse_long(slice_of_buffer(raw), &old) : MLKV_OK;
    if (result != MLKV_OK)
        return result;
    long double sum = old + call->delta;
    if (!isfinite(sum))
        return error_set(MLKV_E_RANGE, "the sum is not a finite number");
    call->size = number_format_long(sum, call->text);
    return buffer_assign(raw, call->text, call->size);
}

static int add_long(mlkv *view, mlkv_slice key, long double delta, mlkv_buffer *ret_text)
{
    add_float_call call = {.delta = delta};
    int result = MLKV_OK;
    if (ret_text != NULL) /* nothing may fail once it is written */
        result = buffer_reserve(ret_text, sizeof call.text);
    if (result == MLKV_OK)
        result = string_change(view, key, add_float, &call);
    if (result == MLKV_OK && ret_text != NULL)
        result = buffer_assign(ret_text, call.text, call.size);
    return result;
}

int mlkv_string_add_float(mlkv *view, mlkv_slice key, double delta, mlkv_buffer *ret_text)
{
    int result = argument_view_key(view, key);
    if (result == MLKV_OK && !isfinite(delta))
        result = error_set(MLKV_E_NUMBER, "delta is not a finite number");
    return result != MLKV_OK ? result : add_long(view, key, number_as_written(delta), ret_text);
}

int mlkv_string_add_decimal(mlkv *view, mlkv_slice key, mlkv_slice delta, mlkv_buffer *ret_text)
{
    long double number = 0;
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = argument_slice(delta, "delta");
    if (result == MLKV_OK)
        result = number_parse_long(delta, &number);
    return result != MLKV_OK ? result : add_long(view, key, number, ret_text);
}

/* --- bytes --- */

typedef struct {
    uint64_t offset;
    bool at_end; /* offset is ignored */
    mlkv_slice bytes;
    uint64_t length;
} write_call;

static int write_bytes(void *context, mlkv_buffer *raw, bool exists)
{
    write_call *call = context;
    size_t old_size = raw->size, offset = call->at_end ? old_size : (size_t)call->offset;
    (void)exists;
    call->length = old_size;
    if (call->bytes.size == 0)
        return call->at_end ? MLKV_OK
                            : MLKV_ABSENT; /* APPEND of nothing makes the key, SETRANGE does not */
    if (offset > STRING_CHANGED_MAX || call->bytes.size > STRING_CHANGED_MAX - offset)
        return error_set(MLKV_E_SIZE, "the value would have more than %llu bytes",
                         (unsigned long long)STRING_CHANGED_MAX);
    size_t end = offset + call->bytes.size;
    if (end > old_size && buffer_extend(raw, end - old_size) == NULL)
        return MLKV_E_MEMORY;
    if (offset > old_size)
        memset((unsigned char *)raw->data + old_size, 0, offset - old_size);
    memcpy((unsigned char *)raw->data + offset, call->bytes.data, call->bytes.size);
    call->length = raw->size;
    return MLKV_OK;
}

static int run_write(mlkv *view, mlkv_slice key, write_call *call, uint64_t *ret_length)
{
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = argument_slice(call->bytes, "value");
    if (result == MLKV_OK)
        result = string_change(view, key, write_bytes, call);
    if (result == MLKV_OK && ret_length != NULL)
        *ret_length = call->length;
    return result;
}

int mlkv_string_append(mlkv *view, mlkv_slice key, mlkv_slice value, uint64_t *ret_length)
{
    return run_write(view, key, &(write_call){.at_end = true, .bytes = value}, ret_length);
}

int mlkv_string_set_range(mlkv *view, mlkv_slice key, uint64_t offset, mlkv_slice value,
                          uint64_t *ret_length)
{
    return run_write(view, key, &(write_call){.offset = offset, .bytes = value}, ret_length);
}
