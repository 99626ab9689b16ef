/* measure.c - the calls that read one number of one key: a string's length, the elements of a list or a set.
 *
 * No state, no locks. The output is written only if the call succeeds; a rule that runs again begins with 0.
 */
#include "types/measure.h"

#include "types/argument.h"
#include "types/entry.h"

typedef struct {
    mlkv_slice key;
    measure_reader read;
    uint64_t number;
} measure_call;

static int measure_rule(op *o, void *context)
{
    measure_call *call = context;
    call->number = 0;
    int result = call->read(o, call->key, &call->number);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

int measure_key(mlkv *view, mlkv_slice key, measure_reader read, uint64_t *ret_number,
                const char *name)
{
    measure_call call = {.key = key, .read = read};
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = argument_pointer(ret_number, name);
    if (result == MLKV_OK)
        result = op_read(view, measure_rule, &call);
    if (result == MLKV_OK)
        *ret_number = call.number;
    return result;
}

int measure_count(op *o, mlkv_slice key, int type, uint64_t *ret_number)
{
    entry found;
    int result = entry_open(o, key, type, &found);
    if (result == MLKV_OK)
        *ret_number = found.header.count;
    return result;
}
