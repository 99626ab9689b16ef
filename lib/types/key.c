/* key.c - what can be done with a key of any type: does it exist, what is it, delete it, count them all.
 *
 * Bytes owned: none; entry.c keeps K records and the counter. Deleting is O(1) whatever the key holds: its elements belong to a life
 * that nothing refers to any more, and the cleaner (clean.c) reclaims them in the background.
 *
 * Invariants
 *   1. Several keys in one call are one atomic operation: all answers belong to one state, all deletions become visible at once.
 *   2. An expired key is missing to every call here, though its record may still stand and count until it is overwritten or deleted.
 */
#include <mlkv/key.h>

#include "base/error.h"
#include "types/argument.h"
#include "types/entry.h"

_Static_assert(MLKV_TYPE_STRING == (int)TYPE_STRING && MLKV_TYPE_HASH == (int)TYPE_HASH &&
                   MLKV_TYPE_SET == (int)TYPE_SET && MLKV_TYPE_LIST == (int)TYPE_LIST &&
                   MLKV_TYPE_ZSET == (int)TYPE_ZSET && MLKV_TYPE_TENSOR == (int)TYPE_TENSOR,
               "the public types are the stored ones");

const char *mlkv_type_name(mlkv_type type)
{
    static const char *const names[] = {"none", "string", "hash", "list", "set", "zset", "tensor"};
    return (unsigned)type < sizeof names / sizeof *names ? names[type] : "unknown";
}

/* --- several keys: exists, delete --- */

typedef struct {
    const mlkv_slice *keys;
    size_t n, count;
    bool deletes;
} keys_call;

static int one_key(op *o, keys_call *call, mlkv_slice key)
{
    entry found;
    int result = entry_open(o, key, TYPE_ANY, &found);
    if (result == MLKV_OK)
        call->count++;
    bool stands = result == MLKV_OK || (result == MLKV_ABSENT && found.expired);
    if (call->deletes && stands)
        return entry_remove(o, &found);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

static int keys_rule(op *o, void *context)
{
    keys_call *call = context;
    call->count = 0;
    int result = MLKV_OK;
    for (size_t i = 0; i < call->n && result == MLKV_OK; i++) {
        entry_prefetch_batch(o, call->keys, call->n, i);
        result = one_key(o, call, call->keys[i]);
    }
    return result;
}

static int check_keys(const mlkv *view, const mlkv_slice *keys, size_t n)
{
    int result = argument_pointer(view, "view");
    return result != MLKV_OK ? result : argument_slices(keys, n, "keys");
}

int mlkv_key_exists(mlkv *view, const mlkv_slice *keys, size_t n, size_t *ret_count)
{
    keys_call call = {.keys = keys, .n = n};
    int result = check_keys(view, keys, n);
    if (result == MLKV_OK)
        result = argument_pointer(ret_count, "ret_count");
    if (result == MLKV_OK)
        result = op_read(view, keys_rule, &call);
    if (result == MLKV_OK)
        *ret_count = call.count;
    return result;
}

int mlkv_key_touch(mlkv *view, const mlkv_slice *keys, size_t n, size_t *ret_count)
{
    return mlkv_key_exists(view, keys, n, ret_count);
}

int mlkv_key_delete(mlkv *view, const mlkv_slice *keys, size_t n, size_t *ret_deleted)
{
    keys_call call = {.keys = keys, .n = n, .deletes = true};
    int result = check_keys(view, keys, n);
    if (result == MLKV_OK)
        result = op_write(view, keys_rule, &call);
    if (result == MLKV_OK && ret_deleted != NULL)
        *ret_deleted = call.count;
    return result;
}

/* --- one key: type --- */

typedef struct {
    mlkv_slice key;
    mlkv_type type;
} type_call;

static int type_rule(op *o, void *context)
{
    type_call *call = context;
    entry found;
    int result = entry_open(o, call->key, TYPE_ANY, &found);
    call->type = result == MLKV_OK ? (mlkv_type)found.header.type : MLKV_TYPE_NONE;
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

int mlkv_key_type(mlkv *view, mlkv_slice key, mlkv_type *ret_type)
{
    type_call call = {.key = key};
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = argument_pointer(ret_type, "ret_type");
    if (result == MLKV_OK)
        result = op_read(view, type_rule, &call);
    if (result == MLKV_OK)
        *ret_type = call.type;
    return result;
}

/* --- all keys: count --- */

static int count_rule(op *o, void *context)
{
    uint64_t *count = context;
    return entry_count(o, count);
}

int mlkv_key_count(mlkv *view, uint64_t *ret_count)
{
    uint64_t count = 0;
    int result = argument_pointer(view, "view");
    if (result == MLKV_OK)
        result = argument_pointer(ret_count, "ret_count");
    if (result == MLKV_OK)
        result = op_read(view, count_rule, &count);
    if (result == MLKV_OK)
        *ret_count = count;
    return result;
}
