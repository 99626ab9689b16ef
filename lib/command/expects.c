/* expects.c - what a command asks of the store before it runs.
 *
 * Redis looks at some keys before it looks at the words behind them: LINDEX of a missing key is nil, whatever its index is. The typed
 * functions take words that were read already, so a command with a bad word asks what the key holds, to know which complaint comes first.
 * It asks only then: a command whose words are in order pays for one typed call.
 *
 * Invariant: nothing that is written depends on the answer, only which error or empty reply is given.
 * No locks, no state.
 */
#include "command/expects.h"

#include "types/integer.h"

/* Elements that are not distinct are not bounded by the key's size, and a reply stands in memory as a whole: some 100 bytes an element.
 * Redis sends such a reply part by part, and ends the connection when it has become too large. */
static const int64_t DRAWN_MAX = 1 << 24;

int expects_type(call *c, size_t i, mlkv_type type)
{
    mlkv_type held = MLKV_TYPE_NONE;
    int result = mlkv_key_type(c->view, c->words[i], &held);
    if (result == MLKV_OK && held != MLKV_TYPE_NONE && held != type)
        result = MLKV_E_TYPE;
    if (result < 0)
        return call_refuse(c, result);
    return held == MLKV_TYPE_NONE ? MLKV_ABSENT : 0;
}

int expects_random_count(call *c, size_t i, random_count *ret_count)
{
    int64_t count = 0;
    int result = call_integer(c, i, &count);
    if (result != 0)
        return result;
    if (count == INT64_MIN)
        return call_fail(c, MLKV_E_RANGE,
                         "ERR value is out of range, value must between -9223372036854775807 and "
                         "9223372036854775807");
    uint64_t n = (uint64_t)(count < 0 ? -count : count);
    *ret_count = (random_count){.n = n > SIZE_MAX ? SIZE_MAX : (size_t)n, .distinct = count >= 0};
    return 0;
}

int expects_drawable(call *c, const random_count *count, mlkv_type type)
{
    if (count->distinct != 0 || count->n <= (size_t)DRAWN_MAX)
        return 0;
    int result = expects_type(c, 1, type);
    return result != 0 ? result : call_fail(c, MLKV_E_RANGE, "ERR value is out of range");
}
