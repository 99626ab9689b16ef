/* set_random.c - random members of a set, uniform and O(1) each, through its dense index (set.c owns the bytes): shown, or taken out.
 *
 * Numbers below the count are drawn first, then their members are read, a batch of records prefetched at a time. All of it happens in
 * one read operation, so count and members belong to one state. What a torn run sees is thrown away by the view.
 */
#include <mlkv/set.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/random.h"
#include "types/argument.h"
#include "types/draw.h"
#include "types/named.h"
#include "types/set.h"
#include "types/values.h"

typedef struct {
    mlkv_slice key;
    size_t n;
    bool distinct;
    mlkv_rows *rows;
} random_call;

static int append_members(op *o, random_call *call, const record_key *keys, size_t n)
{
    mlkv_slice member;
    for (size_t i = 0; i < n; i++) {
        int result = op_borrow(o, record_key_slice(&keys[i]), &member);
        if (result == MLKV_ABSENT)
            return error_set(MLKV_E_CORRUPT, "set \"%s\": its dense index has a hole",
                             error_quote(call->key.data, call->key.size));
        if (result == MLKV_OK)
            result = rows_append(call->rows, member);
        if (result != MLKV_OK)
            return result;
    }
    return MLKV_OK;
}

static int random_rule(op *o, void *context)
{
    random_call *call = context;
    entry set;
    draw numbers = {0};
    record_key keys[NAMED_BATCH];
    rows_clear(call->rows);
    int result = entry_open(o, call->key, TYPE_SET, &set);
    if (result != MLKV_OK)
        return result == MLKV_ABSENT ? MLKV_OK : result;
    uint64_t count = set.header.count, left = call->distinct && call->n > count ? count : call->n;
    if (count == 0)
        return error_set(MLKV_E_CORRUPT, "set \"%s\" counts no members",
                         error_quote(call->key.data, call->key.size));
    if (call->distinct && left != 0)
        result = draw_create(&numbers, count, left);
    while (left != 0 && result == MLKV_OK) {
        size_t batch = left < NAMED_BATCH ? (size_t)left : NAMED_BATCH;
        for (size_t i = 0; i < batch; i++) {
            layout_indexed(RECORD_LIST, set.header.id,
                           call->distinct ? draw_next(&numbers) : random_below(count), &keys[i]);
            if (batch > 1)
                op_prefetch(o, record_key_slice(&keys[i]));
        }
        result = append_members(o, call, keys, batch);
        left -= batch;
    }
    draw_destroy(&numbers);
    return result;
}

int mlkv_set_random(mlkv *view, mlkv_slice key, size_t n, int distinct, mlkv_rows *ret_members)
{
    random_call call = {key, n, distinct != 0, ret_members};
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = argument_pointer(ret_members, "ret_members");
    if (result != MLKV_OK)
        return result;
    return values_end_rows(op_read(view, random_rule, &call), ret_members);
}

/* --- pop --- */

typedef struct {
    mlkv_slice key;
    size_t n;
    mlkv_rows *rows;
    mlkv_buffer name, moved;
} pop_call;

static int pop_one(op *o, pop_call *call, entry *set)
{
    record_key key;
    layout_indexed(RECORD_LIST, set->header.id, random_below(set->header.count), &key);
    int result = op_get(o, record_key_slice(&key), &call->name);
    if (result == MLKV_OK)
        result = rows_append(call->rows, slice_of_buffer(&call->name));
    if (result == MLKV_OK)
        result = set_remove(o, set, slice_of_buffer(&call->name), &call->moved);
    if (result == MLKV_ABSENT)
        return error_set(MLKV_E_CORRUPT, "set \"%s\": its dense index does not fit its members",
                         error_quote(call->key.data, call->key.size));
    return result;
}

/* All members: the set goes as a deleted key does. */
static int pop_all(op *o, pop_call *call, entry *set)
{
    record_key prefix;
    scan *walk = NULL;
    mlkv_slice key, value;
    layout_id(RECORD_LIST, set->header.id, &prefix);
    int result = op_scan_open(o, record_key_slice(&prefix), slice_of(NULL, 0), &walk);
    while (result == MLKV_OK) {
        result = scan_next(walk, &key, &value);
        if (result == MLKV_OK)
            result = rows_append(call->rows, value);
    }
    scan_close(walk);
    return result == MLKV_ABSENT ? entry_remove(o, set) : result;
}

static int pop_rule(op *o, void *context)
{
    pop_call *call = context;
    entry set;
    rows_clear(call->rows);
    int result = entry_open(o, call->key, TYPE_SET, &set);
    if (result != MLKV_OK || call->n == 0)
        return result == MLKV_ABSENT ? MLKV_OK : result;
    if (call->n >= set.header.count)
        return pop_all(o, call, &set);
    for (size_t i = 0; i < call->n && result == MLKV_OK; i++)
        result = pop_one(o, call, &set);
    return result != MLKV_OK ? result : set_store_rest(o, &set);
}

int mlkv_set_pop(mlkv *view, mlkv_slice key, size_t n, mlkv_rows *ret_members)
{
    pop_call call = {.key = key, .n = n, .rows = ret_members};
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = argument_pointer(ret_members, "ret_members");
    if (result != MLKV_OK)
        return result;
    result = op_write(view, pop_rule, &call);
    mlkv_buffer_free(&call.name);
    mlkv_buffer_free(&call.moved);
    (void)values_end_rows(result == MLKV_E_DURABILITY ? MLKV_OK : result, ret_members);
    return result;
}
