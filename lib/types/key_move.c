/* key_move.c - a key gets another name.
 *
 * Bytes owned: none; entry.c keeps what stands under a name: K, and X and F beside it. Elements are found by the id in the K record, which
 * moves with it, so the same life goes on under another name, and the cost is that of a key without elements. What stood under the new
 * name is put away as by a deletion.
 *
 * Invariants
 *   1. Both names change in one rule: nobody sees the key twice, or not at all.
 *   2. The number of keys is one less if a life stood under the new name, an expired one too, else the same.
 * Locks: none; everything happens inside a rule.
 */
#include <mlkv/key.h>

#include "base/bytes.h"
#include "types/argument.h"
#include "types/entry.h"

typedef struct {
    mlkv_slice key, new_name;
    bool only_if_absent;
    bool renamed;
} rename_call;

static int rename_rule(op *o, void *context)
{
    rename_call *call = context;
    entry from, to;
    bool same = slice_equal(call->key, call->new_name);
    call->renamed = false;
    int there = same ? MLKV_ABSENT : entry_open(o, call->new_name, TYPE_ANY, &to);
    if (there < 0)
        return there;
    int result = entry_open(o, call->key, TYPE_ANY, &from);
    if (result != MLKV_OK || (call->only_if_absent && (same || there == MLKV_OK)))
        return result;
    call->renamed = true;
    return same ? MLKV_OK : entry_rename(o, &from, &to, there == MLKV_OK || to.expired);
}

static int run_rename(mlkv *view, rename_call *call)
{
    int result = argument_view_key(view, call->key);
    if (result == MLKV_OK)
        result = argument_slice(call->new_name, "new_name");
    return result != MLKV_OK ? result : op_write(view, rename_rule, call);
}

int mlkv_key_rename(mlkv *view, mlkv_slice key, mlkv_slice new_name)
{
    return run_rename(view, &(rename_call){.key = key, .new_name = new_name});
}

int mlkv_key_rename_if_absent(mlkv *view, mlkv_slice key, mlkv_slice new_name, int *ret_renamed)
{
    rename_call call = {.key = key, .new_name = new_name, .only_if_absent = true};
    int result = run_rename(view, &call);
    if (result == MLKV_OK && ret_renamed != NULL)
        *ret_renamed = call.renamed;
    return result;
}
