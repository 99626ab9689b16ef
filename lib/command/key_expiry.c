/* key_expiry.c - the commands that set a key's expiry or ask for it.
 *
 * Redis reads the options first, then the time, then looks at the key. Times in seconds are rounded to the nearest when asked for.
 * No locks, no state.
 */
#include "command/call.h"
#include "command/expiry.h"

enum { NX = 1, XX = 2, GT = 4, LT = 8, NO_KEY = -2 };

static int read_condition(call *c, mlkv_expire_condition *ret_condition)
{
    unsigned said = 0;
    for (size_t i = 3; i < c->count; i++) {
        unsigned one = call_is(c, i, "NX")   ? NX
                       : call_is(c, i, "XX") ? XX
                       : call_is(c, i, "GT") ? GT
                       : call_is(c, i, "LT") ? LT
                                             : 0;
        if (one == 0)
            return call_fail(c, MLKV_E_ARGUMENT, "ERR Unsupported option %.*s",
                             (int)(c->words[i].size < 128 ? c->words[i].size : 128),
                             c->words[i].size == 0 ? "" : (const char *)c->words[i].data);
        said |= one;
    }
    if ((said & NX) != 0 && said != NX)
        return call_fail(c, MLKV_E_ARGUMENT,
                         "ERR NX and XX, GT or LT options at the same time are not compatible");
    if ((said & GT) != 0 && (said & LT) != 0)
        return call_fail(c, MLKV_E_ARGUMENT,
                         "ERR GT and LT options at the same time are not compatible");
    *ret_condition = said == 0           ? MLKV_EXPIRE_ALWAYS
                     : said == NX        ? MLKV_EXPIRE_IF_NONE
                     : (said & GT) != 0  ? MLKV_EXPIRE_IF_LATER /* none counts as never */
                     : said == (XX | LT) ? MLKV_EXPIRE_IF_ANY_SOONER
                     : said == LT        ? MLKV_EXPIRE_IF_SOONER
                                         : MLKV_EXPIRE_IF_ANY;
    return 0;
}

static int expire(call *c, bool seconds, bool absolute)
{
    mlkv_expire_condition condition = MLKV_EXPIRE_ALWAYS;
    int64_t ms = 0;
    int result = read_condition(c, &condition);
    if (result == 0)
        result = expiry_read_time(c, 2, seconds, absolute, &ms);
    if (result != 0)
        return result;
    result = absolute ? mlkv_key_expire_at(c->view, c->words[1], ms, condition)
                      : mlkv_key_expire(c->view, c->words[1], ms, condition);
    return result == MLKV_E_RANGE ? expiry_invalid(c) : call_answer_whether(c, result);
}

int command_expire(call *c)
{
    return expire(c, true, false);
}

int command_pexpire(call *c)
{
    return expire(c, false, false);
}

int command_expireat(call *c)
{
    return expire(c, true, true);
}

int command_pexpireat(call *c)
{
    return expire(c, false, true);
}

int command_persist(call *c)
{
    return call_answer_whether(c, mlkv_key_persist(c->view, c->words[1]));
}

static int answer_time(call *c, int result, int64_t ms, bool seconds)
{
    if (result < 0)
        return call_refuse(c, result);
    if (result == MLKV_ABSENT)
        reply_integer(c->reply, NO_KEY);
    else if (ms < 0 || !seconds) /* MLKV_NO_EXPIRY is Redis's -1 */
        reply_integer(c->reply, ms);
    else
        reply_integer(c->reply, ms / 1000 + (ms % 1000 >= 500));
    return 0;
}

static int answer_ttl(call *c, bool seconds)
{
    int64_t ms = 0;
    int result = mlkv_key_ttl(c->view, c->words[1], &ms);
    return answer_time(c, result, ms, seconds);
}

int command_ttl(call *c)
{
    return answer_ttl(c, true);
}

int command_pttl(call *c)
{
    return answer_ttl(c, false);
}

static int answer_end(call *c, bool seconds)
{
    int64_t ms = 0;
    int result = mlkv_key_expiry(c->view, c->words[1], &ms);
    return answer_time(c, result, ms, seconds);
}

int command_expiretime(call *c)
{
    return answer_end(c, true);
}

int command_pexpiretime(call *c)
{
    return answer_end(c, false);
}
