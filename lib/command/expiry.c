/* expiry.c - times to live as commands have them.
 *
 * Redis counts in milliseconds since 1970, in 64 bits; a time that does not fit is "invalid expire time", said before the key is looked at.
 * What is in the past is none of this file's business: the typed functions delete then.
 * No locks, no state.
 */
#include "command/expiry.h"

#include "base/clock.h"

int expiry_invalid(call *c)
{
    return call_fail(c, MLKV_E_RANGE, "ERR invalid expire time in '%s' command", c->row->info.name);
}

int expiry_refuse(call *c, int result)
{
    return result == MLKV_E_RANGE ? expiry_invalid(c) : call_refuse(c, result);
}

bool expiry_take(const call *c, size_t *i, expiry_words *words)
{
    bool seconds = call_is(c, *i, "EX") || call_is(c, *i, "EXAT");
    bool known = seconds || call_is(c, *i, "PX") || call_is(c, *i, "PXAT");
    bool absolute = call_is(c, *i, "EXAT") || call_is(c, *i, "PXAT");
    bool another = words->at != 0 && (words->seconds != seconds || words->absolute != absolute);
    if (!known || *i + 1 >= c->count || another || words->keeps)
        return false;
    words->seconds = seconds;
    words->absolute = absolute;
    words->at = ++*i;
    return true;
}

/* Whether a time from now on has no room in 64 bits. */
static bool too_far(int64_t ms, bool absolute)
{
    return !absolute && ms > INT64_MAX - clock_wall_ms();
}

int expiry_read(call *c, const expiry_words *words, mlkv_expiry *ret_expiry)
{
    *ret_expiry = (mlkv_expiry){.kind = words->keeps ? MLKV_EXPIRY_KEEP : MLKV_EXPIRY_NONE};
    if (words->at == 0)
        return 0;
    int64_t number = 0;
    int result = call_integer(c, words->at, &number);
    if (result != 0)
        return result;
    if (number <= 0 || (words->seconds && number > INT64_MAX / 1000))
        return expiry_invalid(c);
    int64_t ms = words->seconds ? number * 1000 : number;
    if (too_far(ms, words->absolute))
        return expiry_invalid(c);
    *ret_expiry = (mlkv_expiry){
        .kind = words->absolute ? MLKV_EXPIRY_AT : MLKV_EXPIRY_IN,
        .ms = ms,
    };
    return 0;
}

int expiry_read_time(call *c, size_t i, bool seconds, bool absolute, int64_t *ret_ms)
{
    int64_t number = 0;
    int result = call_integer(c, i, &number);
    if (result != 0)
        return result;
    if (seconds && (number > INT64_MAX / 1000 || number < INT64_MIN / 1000))
        return expiry_invalid(c);
    int64_t ms = seconds ? number * 1000 : number;
    if (too_far(ms, absolute))
        return expiry_invalid(c);
    *ret_ms = ms;
    return 0;
}
