/* hash_expiry.c - setting, ending and asking for the expiry of fields of a hash.
 *
 * Bytes owned: none; field.c keeps the time in the field's record and the records in order of time.
 *
 * Invariants
 *   1. A time that is over deletes the field in the same rule, so no field is ever stored as expired.
 *   2. All fields of a call are looked at with one and the same time, in one state; conditions and changes belong together.
 *   3. Nothing is written that does not change anything.
 * Locks: none; everything happens inside a rule.
 */
#include <mlkv/hash.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "types/argument.h"
#include "types/field.h"

#include <stdlib.h>

typedef struct {
    mlkv_slice key;
    const mlkv_slice *fields;
    size_t n;
    int64_t ms;
    bool relative;
    mlkv_expire_condition condition;
    int64_t *answers;
    mlkv_buffer cell; /* what is read is borrowed, and storing it is an op_ call */
} fields_call;

/* What is done to one field, or asked of it. */
typedef int (*field_act)(op *o, fields_call *call, entry *hash, hash_field *found,
                         int64_t *ret_answer);

/* --- one of them --- */

static int put_again(op *o, fields_call *call, entry *hash, hash_field *found, int64_t at_ms)
{
    int result = buffer_assign(&call->cell, found->cell.data, found->cell.size);
    if (result == MLKV_OK)
        result = field_put(o, hash, found, at_ms, slice_of_buffer(&call->cell), slice_of(NULL, 0));
    return result;
}

static int expire_one(op *o, fields_call *call, entry *hash, hash_field *found, int64_t *ret_answer)
{
    int64_t at_ms = call->ms, now_ms = op_now_ms(o);
    int result = call->relative ? expiry_at(now_ms, call->ms, &at_ms) : MLKV_OK;
    *ret_answer = MLKV_FIELD_UNCHANGED;
    if (result != MLKV_OK || !expiry_holds(call->condition, found->at_ms, at_ms))
        return result;
    if (at_ms <= now_ms) {
        *ret_answer = MLKV_FIELD_DELETED;
        return field_delete(o, hash, found);
    }
    *ret_answer = MLKV_FIELD_CHANGED;
    return at_ms == found->at_ms ? MLKV_OK : put_again(o, call, hash, found, at_ms);
}

static int persist_one(op *o, fields_call *call, entry *hash, hash_field *found,
                       int64_t *ret_answer)
{
    *ret_answer = found->at_ms == 0 ? MLKV_NO_EXPIRY : MLKV_FIELD_CHANGED;
    return found->at_ms == 0 ? MLKV_OK : put_again(o, call, hash, found, 0);
}

static int ask_one(op *o, fields_call *call, entry *hash, hash_field *found, int64_t *ret_answer)
{
    (void)hash;
    *ret_answer = found->at_ms == 0 ? MLKV_NO_EXPIRY
                  : call->relative  ? found->at_ms - op_now_ms(o)
                                    : found->at_ms;
    return MLKV_OK;
}

/* --- all of them --- */

static int each_field(op *o, fields_call *call, entry *hash, field_act act)
{
    hash_field found;
    int result = MLKV_OK;
    for (size_t i = 0; i < call->n && result == MLKV_OK; i++) {
        element_prefetch_batch(o, hash->header.id, call->fields, call->n, i);
        result = field_open(o, hash, call->fields[i], &found);
        if (result == MLKV_OK)
            result = act(o, call, hash, &found, &call->answers[i]);
        else if (result == MLKV_ABSENT) {
            call->answers[i] = MLKV_FIELD_ABSENT;
            result = MLKV_OK;
        }
    }
    return result;
}

static int run_rule(op *o, fields_call *call, field_act act, bool writes)
{
    entry hash;
    int result = entry_open(o, call->key, TYPE_HASH, &hash);
    for (size_t i = 0; i < call->n && result == MLKV_ABSENT; i++)
        call->answers[i] = MLKV_FIELD_ABSENT;
    if (result != MLKV_OK)
        return result == MLKV_ABSENT ? MLKV_OK : result;
    key_header before = hash.header;
    result = each_field(o, call, &hash, act);
    return result != MLKV_OK || !writes ? result : field_store(o, &hash, &before);
}

static int expire_rule(op *o, void *context)
{
    return run_rule(o, context, expire_one, true);
}

static int persist_rule(op *o, void *context)
{
    return run_rule(o, context, persist_one, true);
}

static int ask_rule(op *o, void *context)
{
    return run_rule(o, context, ask_one, false);
}

static int check(const mlkv *view, const fields_call *call, const int64_t *answers,
                 const char *name)
{
    int result = argument_view_key(view, call->key);
    if (result == MLKV_OK)
        result = argument_slices(call->fields, call->n, "fields");
    if (result == MLKV_OK && call->n != 0)
        result = argument_pointer(answers, name);
    if (result == MLKV_OK && (unsigned)call->condition > MLKV_EXPIRE_IF_ANY_SOONER)
        result = error_set(MLKV_E_ARGUMENT, "condition %d is unknown", (int)call->condition);
    return result;
}

/* The caller's answers change only when all is done. */
static int run(mlkv *view, fields_call *call, op_rule rule, int64_t *ret_answers, const char *name)
{
    enum { STACK_MAX = 64 };
    int64_t few[STACK_MAX];
    int result = check(view, call, ret_answers, name);
    if (result == MLKV_OK && rule == expire_rule && call->relative)
        result = expiry_settle(view);
    if (result != MLKV_OK)
        return result;
    call->answers = call->n <= STACK_MAX ? few : calloc(call->n, sizeof *call->answers);
    if (call->answers == NULL)
        return error_set_memory("the answers of a hash");
    result = rule == ask_rule ? op_read(view, rule, call) : op_write(view, rule, call);
    if (result == MLKV_OK)
        bytes_copy(ret_answers, call->answers, call->n * sizeof *ret_answers);
    if (call->answers != few)
        free(call->answers);
    mlkv_buffer_free(&call->cell);
    return result;
}

/* --- the calls --- */

int mlkv_hash_expire(mlkv *view, mlkv_slice key, const mlkv_slice *fields, size_t n, int64_t ttl_ms,
                     mlkv_expire_condition condition, int64_t *ret_outcomes)
{
    fields_call call = {.key = key,
                        .fields = fields,
                        .n = n,
                        .ms = ttl_ms,
                        .relative = true,
                        .condition = condition};
    return run(view, &call, expire_rule, ret_outcomes, "ret_outcomes");
}

int mlkv_hash_expire_at(mlkv *view, mlkv_slice key, const mlkv_slice *fields, size_t n,
                        int64_t at_ms, mlkv_expire_condition condition, int64_t *ret_outcomes)
{
    fields_call call = {.key = key, .fields = fields, .n = n, .ms = at_ms, .condition = condition};
    return run(view, &call, expire_rule, ret_outcomes, "ret_outcomes");
}

int mlkv_hash_persist(mlkv *view, mlkv_slice key, const mlkv_slice *fields, size_t n,
                      int64_t *ret_outcomes)
{
    fields_call call = {.key = key, .fields = fields, .n = n};
    return run(view, &call, persist_rule, ret_outcomes, "ret_outcomes");
}

int mlkv_hash_expiry(mlkv *view, mlkv_slice key, const mlkv_slice *fields, size_t n,
                     int64_t *ret_at_ms)
{
    fields_call call = {.key = key, .fields = fields, .n = n};
    return run(view, &call, ask_rule, ret_at_ms, "ret_at_ms");
}

int mlkv_hash_ttl(mlkv *view, mlkv_slice key, const mlkv_slice *fields, size_t n, int64_t *ret_ms)
{
    fields_call call = {.key = key, .fields = fields, .n = n, .relative = true};
    return run(view, &call, ask_rule, ret_ms, "ret_ms");
}
