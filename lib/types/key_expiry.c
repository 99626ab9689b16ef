/* key_expiry.c - setting, ending and asking for the expiry of a key of any type.
 *
 * Bytes owned: none; the time stands in the key's header, and entry.c keeps the X record beside it.
 *
 * Invariants
 *   1. A time that is over deletes the key in the same rule, so no key is ever stored as expired.
 *   2. The condition and the change belong to one state.
 * Locks: none; everything happens inside a rule.
 */
#include <mlkv/key.h>

#include "base/error.h"
#include "types/argument.h"
#include "types/entry.h"
#include "types/expiry.h"

/* --- expire, persist --- */

typedef struct {
    mlkv_slice key;
    int64_t ms;
    bool relative;
    mlkv_expire_condition condition;
} expire_call;

bool expiry_holds(mlkv_expire_condition condition, int64_t old_ms, int64_t new_ms)
{
    switch (condition) {
    case MLKV_EXPIRE_IF_NONE:
        return old_ms == 0;
    case MLKV_EXPIRE_IF_ANY:
        return old_ms != 0;
    case MLKV_EXPIRE_IF_LATER:
        return old_ms != 0 && new_ms > old_ms;
    case MLKV_EXPIRE_IF_SOONER:
        return old_ms == 0 || new_ms < old_ms;
    case MLKV_EXPIRE_IF_ANY_SOONER:
        return old_ms != 0 && new_ms < old_ms;
    default:
        return true;
    }
}

static int expire_rule(op *o, void *context)
{
    const expire_call *call = context;
    entry found;
    int64_t at_ms = call->ms, now_ms = op_now_ms(o);
    int result = call->relative ? expiry_at(now_ms, call->ms, &at_ms) : MLKV_OK;
    if (result == MLKV_OK)
        result = entry_open(o, call->key, TYPE_ANY, &found);
    if (result != MLKV_OK)
        return result;
    if (!expiry_holds(call->condition, found.header.expiry_ms, at_ms))
        return MLKV_ABSENT;
    if (at_ms <= now_ms)
        return entry_remove(o, &found);
    found.header.expiry_ms = at_ms;
    return entry_store_again(o, &found);
}

static int expire(mlkv *view, const expire_call *call)
{
    int result = argument_view_key(view, call->key);
    if (result == MLKV_OK && (unsigned)call->condition > MLKV_EXPIRE_IF_ANY_SOONER)
        result = error_set(MLKV_E_ARGUMENT, "condition %d is unknown", (int)call->condition);
    if (result == MLKV_OK && call->relative)
        result = expiry_settle(view);
    return result != MLKV_OK ? result : op_write(view, expire_rule, (void *)(uintptr_t)call);
}

int mlkv_key_expire(mlkv *view, mlkv_slice key, int64_t ttl_ms, mlkv_expire_condition condition)
{
    return expire(view, &(expire_call){key, ttl_ms, true, condition});
}

int mlkv_key_expire_at(mlkv *view, mlkv_slice key, int64_t at_ms, mlkv_expire_condition condition)
{
    return expire(view, &(expire_call){key, at_ms, false, condition});
}

static int persist_rule(op *o, void *context)
{
    const mlkv_slice *key = context;
    entry found;
    int result = entry_open(o, *key, TYPE_ANY, &found);
    if (result != MLKV_OK || found.header.expiry_ms == 0)
        return result != MLKV_OK ? result : MLKV_ABSENT;
    found.header.expiry_ms = 0;
    return entry_store_again(o, &found);
}

int mlkv_key_persist(mlkv *view, mlkv_slice key)
{
    int result = argument_view_key(view, key);
    return result != MLKV_OK ? result : op_write(view, persist_rule, &key);
}

/* --- asking --- */

typedef struct {
    mlkv_slice key;
    bool relative;
    int64_t ms;
} expiry_call;

static int expiry_rule(op *o, void *context)
{
    expiry_call *call = context;
    entry found;
    int result = entry_open(o, call->key, TYPE_ANY, &found);
    if (result != MLKV_OK)
        return result;
    call->ms = found.header.expiry_ms == 0 ? MLKV_NO_EXPIRY
               : call->relative            ? found.header.expiry_ms - op_now_ms(o)
                                           : found.header.expiry_ms;
    return MLKV_OK;
}

static int ask(mlkv *view, mlkv_slice key, bool relative, int64_t *ret_ms, const char *name)
{
    expiry_call call = {.key = key, .relative = relative};
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = argument_pointer(ret_ms, name);
    if (result == MLKV_OK)
        result = op_read(view, expiry_rule, &call);
    if (result == MLKV_OK)
        *ret_ms = call.ms;
    return result;
}

int mlkv_key_expiry(mlkv *view, mlkv_slice key, int64_t *ret_at_ms)
{
    return ask(view, key, false, ret_at_ms, "ret_at_ms");
}

int mlkv_key_ttl(mlkv *view, mlkv_slice key, int64_t *ret_ms)
{
    return ask(view, key, true, ret_ms, "ret_ms");
}
