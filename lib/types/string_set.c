/* string_set.c - setting strings whole: SET in all its forms, several keys at once, and reading a value while its key or its expiry goes.
 *
 * Bytes owned: those of string.c.
 *
 * Invariants
 *   1. Condition, old value and new value belong to one state, and all keys of a call change at once.
 *   2. Values are made ready outside every lock (values.h); what the key held before is released in the rule.
 *   3. An expiry counts from the operation's one time. One that is over leaves no key behind.
 *   4. A caller's buffer changes only on success.
 * Locks: none; everything happens inside a rule.
 */
#include <mlkv/string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "types/argument.h"
#include "types/entry.h"
#include "types/expiry.h"
#include "types/named.h"
#include "types/string_set.h"
#include "types/values.h"

/* --- expiry --- */

static int check_expiry(mlkv_expiry expiry)
{
    if (expiry.kind < MLKV_EXPIRY_NONE || expiry.kind > MLKV_EXPIRY_AT || expiry.reserved != 0)
        return error_set(MLKV_E_ARGUMENT, "expiry: kind %d is unknown", (int)expiry.kind);
    if (expiry.kind >= MLKV_EXPIRY_IN && expiry.ms <= 0)
        return error_set(MLKV_E_RANGE, "expiry: %lld ms", (long long)expiry.ms);
    return MLKV_OK;
}

/* What the key's expiry becomes. *ret_over: a time that has passed already. */
static int new_expiry(op *o, mlkv_expiry expiry, int64_t old_ms, int64_t *ret_ms, bool *ret_over)
{
    int result = MLKV_OK;
    *ret_ms = expiry.kind == MLKV_EXPIRY_KEEP ? old_ms
              : expiry.kind == MLKV_EXPIRY_AT ? expiry.ms
                                              : 0;
    if (expiry.kind == MLKV_EXPIRY_IN)
        result = expiry_at(op_now_ms(o), expiry.ms, ret_ms);
    *ret_over = expiry.kind == MLKV_EXPIRY_AT && expiry.ms <= op_now_ms(o);
    return result;
}

/* --- set --- */

typedef struct {
    const mlkv_pair *pairs;
    size_t n;
    mlkv_set_condition condition;
    mlkv_expiry expiry;
    mlkv_buffer *old; /* NULL: not asked for */
    size_t old_size;
    bool existed;
    values values;
} set_call;

/* Makes the entry a string that is ready for a new cell, whatever it was. */
static int make_string(op *o, entry *self, bool exists)
{
    if (!exists)
        return entry_create(o, self, TYPE_STRING);
    if (self->header.type == TYPE_STRING)
        return entry_release_string(o, self);
    int result = entry_remove(o, self);
    return result != MLKV_OK ? result : entry_create(o, self, TYPE_STRING);
}

static int put_value(op *o, set_call *call, entry *found, bool exists, mlkv_slice value)
{
    mlkv_slice head = {NULL, 0}, body = {NULL, 0};
    int64_t expiry_ms = 0;
    bool over = false;
    int result =
        new_expiry(o, call->expiry, exists ? found->header.expiry_ms : 0, &expiry_ms, &over);
    if (result == MLKV_OK && over)
        return exists ? entry_remove(o, found) : MLKV_OK;
    if (result == MLKV_OK)
        result = make_string(o, found, exists);
    if (result == MLKV_OK)
        result = values_next(&call->values, o, value, &head, &body);
    if (result != MLKV_OK)
        return result;
    found->header.expiry_ms = expiry_ms;
    return entry_store(o, found, head, body);
}

static int give_old(op *o, set_call *call, const entry *found)
{
    call->existed = true;
    return values_append_value(o, found->name, found->rest, call->old);
}

static int set_one(op *o, set_call *call, const mlkv_pair *pair)
{
    entry found;
    int result = entry_open(o, pair->name, call->old != NULL ? TYPE_STRING : TYPE_ANY, &found);
    bool exists = result == MLKV_OK;
    if (exists && call->old != NULL)
        result = give_old(o, call, &found);
    if (result < 0)
        return result;
    if ((call->condition == MLKV_SET_IF_ABSENT && exists) ||
        (call->condition == MLKV_SET_IF_PRESENT && !exists))
        return MLKV_ABSENT;
    return put_value(o, call, &found, exists, pair->value);
}

static void prefetch_pairs(op *o, const set_call *call, size_t i)
{
    if (i % NAMED_BATCH == 0 && call->n > 1)
        for (size_t j = i; j < call->n && j - i < NAMED_BATCH; j++)
            entry_prefetch(o, call->pairs[j].name);
}

static int set_rule(op *o, void *context)
{
    set_call *call = context;
    values_restart(&call->values);
    call->existed = false;
    if (call->old != NULL)
        call->old->size = call->old_size;
    int result = MLKV_OK;
    for (size_t i = 0; i < call->n && result == MLKV_OK; i++) {
        prefetch_pairs(o, call, i);
        result = set_one(o, call, &call->pairs[i]);
    }
    return result;
}

static int run_set(mlkv *view, set_call *call, op_rule rule)
{
    int result = call->expiry.kind == MLKV_EXPIRY_IN ? expiry_settle(view) : MLKV_OK;
    if (result == MLKV_OK)
        result = values_prepare(&call->values, view, NULL, call->pairs, call->n);
    if (result == MLKV_OK)
        result = op_write(view, rule, call);
    values_done(&call->values);
    return result;
}

static int check_set(const mlkv *view, mlkv_slice key, mlkv_slice value,
                     mlkv_set_condition condition)
{
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = argument_slice(value, "value");
    if (result == MLKV_OK && (unsigned)condition > MLKV_SET_IF_PRESENT)
        result = error_set(MLKV_E_ARGUMENT, "condition %d is unknown", (int)condition);
    return result;
}

int mlkv_string_set(mlkv *view, mlkv_slice key, mlkv_slice value, mlkv_set_condition condition)
{
    mlkv_pair pair = {key, value};
    set_call call = {.pairs = &pair, .n = 1, .condition = condition};
    int result = check_set(view, key, value, condition);
    return result != MLKV_OK ? result : run_set(view, &call, set_rule);
}

int mlkv_string_set_with(mlkv *view, mlkv_slice key, mlkv_slice value, mlkv_set_condition condition,
                         mlkv_expiry expiry, mlkv_buffer *ret_old, int *ret_existed)
{
    mlkv_pair pair = {key, value};
    set_call call = {.pairs = &pair,
                     .n = 1,
                     .condition = condition,
                     .expiry = expiry,
                     .old = ret_old,
                     .old_size = ret_old == NULL ? 0 : ret_old->size};
    int result = check_set(view, key, value, condition);
    if (result == MLKV_OK)
        result = check_expiry(expiry);
    if (result == MLKV_OK && ret_old != NULL)
        result = argument_pointer(ret_existed, "ret_existed");
    if (result != MLKV_OK)
        return result;
    result = run_set(view, &call, set_rule);
    if (ret_old != NULL)
        (void)values_end_get(result >= 0 && call.existed ? MLKV_OK : MLKV_ABSENT, call.old_size,
                             ret_old);
    if (result >= 0 && ret_existed != NULL)
        *ret_existed = call.existed;
    return result;
}

typedef struct {
    set_call set; /* the first, so that set_rule is given the whole */
    op_rule guard;
    void *context;
} guarded_call;

static int guarded_rule(op *o, void *context)
{
    guarded_call *call = context;
    int result = call->guard(o, call->context);
    return result != MLKV_OK ? result : set_rule(o, &call->set);
}

int string_set_guarded(mlkv *view, mlkv_slice key, mlkv_slice value, mlkv_expiry expiry,
                       op_rule guard, void *context)
{
    mlkv_pair pair = {key, value};
    guarded_call call = {
        .set = {.pairs = &pair, .n = 1, .expiry = expiry}, .guard = guard, .context = context};
    return run_set(view, &call.set, guarded_rule);
}

int mlkv_string_set_many(mlkv *view, const mlkv_pair *pairs, size_t n)
{
    set_call call = {.pairs = pairs, .n = n};
    int result = argument_pointer(view, "view");
    if (result == MLKV_OK)
        result = argument_pairs(pairs, n, "pairs");
    return result != MLKV_OK ? result : run_set(view, &call, set_rule);
}

static int set_many_if_absent_rule(op *o, void *context)
{
    set_call *call = context;
    entry found;
    for (size_t i = 0; i < call->n; i++) {
        prefetch_pairs(o, call, i);
        int result = entry_open(o, call->pairs[i].name, TYPE_ANY, &found);
        if (result != MLKV_ABSENT)
            return result == MLKV_OK ? MLKV_ABSENT : result;
    }
    return set_rule(o, call);
}

int mlkv_string_set_many_if_absent(mlkv *view, const mlkv_pair *pairs, size_t n)
{
    set_call call = {.pairs = pairs, .n = n};
    int result = argument_pointer(view, "view");
    if (result == MLKV_OK)
        result = argument_pairs(pairs, n, "pairs");
    return result != MLKV_OK ? result : run_set(view, &call, set_many_if_absent_rule);
}

/* --- get, and more --- */

typedef struct {
    mlkv_slice key;
    bool deletes;
    mlkv_expiry expiry;
    mlkv_buffer *value;
    size_t old_size;
} get_call;

static int get_rule(op *o, void *context)
{
    get_call *call = context;
    entry found;
    int64_t expiry_ms = 0;
    bool over = false;
    call->value->size = call->old_size;
    int result = entry_open(o, call->key, TYPE_STRING, &found);
    if (result == MLKV_OK)
        result = values_append_value(o, call->key, found.rest, call->value);
    if (result == MLKV_OK && !call->deletes)
        result = new_expiry(o, call->expiry, found.header.expiry_ms, &expiry_ms, &over);
    if (result != MLKV_OK)
        return result;
    if (call->deletes || over)
        return entry_remove(o, &found);
    result = entry_open(o, call->key, TYPE_STRING,
                        &found); /* its cell again: decoding may have used the scratch */
    if (result != MLKV_OK || found.header.expiry_ms == expiry_ms)
        return result;
    found.header.expiry_ms = expiry_ms;
    return entry_store_again(o, &found);
}

static int run_get(mlkv *view, get_call *call)
{
    int result = argument_view_key(view, call->key);
    if (result == MLKV_OK)
        result = argument_pointer(call->value, "ret_value");
    if (result == MLKV_OK && !call->deletes)
        result = check_expiry(call->expiry);
    if (result == MLKV_OK && call->expiry.kind == MLKV_EXPIRY_IN)
        result = expiry_settle(view);
    if (result != MLKV_OK)
        return result;
    call->old_size = call->value->size;
    return values_end_get(op_write(view, get_rule, call), call->old_size, call->value);
}

int mlkv_string_get_delete(mlkv *view, mlkv_slice key, mlkv_buffer *ret_value)
{
    return run_get(view, &(get_call){.key = key, .deletes = true, .value = ret_value});
}

int mlkv_string_get_expire(mlkv *view, mlkv_slice key, mlkv_expiry expiry, mlkv_buffer *ret_value)
{
    return run_get(view, &(get_call){.key = key, .expiry = expiry, .value = ret_value});
}
