/* hash_expiry.c - the commands for the expiries of a hash's fields: HEXPIRE, HTTL and their relatives, as Redis has them since 7.4.
 *
 * The reply has a number for each field, in their order: what became of it, or its time. Redis looks at the key's type first, then at the
 * words one after another, and a missing key answers only when all of them are in order.
 *
 * Invariant: seconds are milliseconds rounded up, so that no field with time left has 0 seconds, and none ends sooner than was said.
 * No locks, no state.
 */
#include "command/call.h"
#include "command/expects.h"
#include "command/expiry.h"

#include "base/buffer.h"
#include "base/clock.h"

/* The last millisecond a field can end at (in the year 4199): Redis keeps 46 bits. */
static const int64_t FIELD_END_MAX_MS = 0x3fffffffffff;

typedef struct {
    const mlkv_slice *names;
    size_t count;
    int64_t *numbers; /* one for each, in the scratch */
} field_words;

/* FIELDS at word i, how many there are, and they themselves to the end. */
static int read_fields(call *c, size_t i, const char *not_a_count, field_words *ret_fields)
{
    int64_t count = 0;
    if (!call_is(c, i, "FIELDS"))
        return call_fail(c, MLKV_E_ARGUMENT,
                         "ERR Mandatory argument FIELDS is missing or not at the right position");
    int result = call_integer_within(c, i + 1, 1, INT64_MAX, not_a_count, &count);
    if (result != 0)
        return result;
    if ((uint64_t)count != c->count - i - 2)
        return call_fail(c, MLKV_E_ARGUMENT,
                         "ERR The `numfields` parameter must match the number of arguments");
    if (buffer_reserve(&c->reply->numbers, (size_t)count * sizeof(int64_t)) != 0)
        return call_refuse(c, MLKV_E_MEMORY);
    *ret_fields = (field_words){c->words + i + 2, (size_t)count, c->reply->numbers.data};
    return 0;
}

static int answer_fields(call *c, int result, const field_words *fields)
{
    if (result < 0)
        return expiry_refuse(c, result);
    (void)reply_array(c->reply, fields->count);
    for (size_t i = 0; i < fields->count; i++)
        reply_integer(c->reply, fields->numbers[i]);
    return 0;
}

/* --- setting --- */

/* The time at word 2, in milliseconds. */
static int read_time(call *c, bool seconds, bool absolute, int64_t *ret_ms)
{
    int64_t number = 0;
    int result = call_integer(c, 2, &number);
    if (result != 0)
        return result;
    if (number < 0)
        return call_fail(c, MLKV_E_RANGE, "ERR invalid expire time, must be >= 0");
    int64_t left_ms = FIELD_END_MAX_MS - (absolute ? 0 : clock_wall_ms());
    if (number > (seconds ? FIELD_END_MAX_MS / 1000 : FIELD_END_MAX_MS) ||
        (seconds ? number * 1000 : number) > left_ms)
        return expiry_invalid(c);
    *ret_ms = seconds ? number * 1000 : number;
    return 0;
}

/* A condition at word *i, moving *i behind it, if one stands there. */
static mlkv_expire_condition take_condition(const call *c, size_t *i)
{
    static const struct {
        const char *token;
        mlkv_expire_condition condition;
    } known[] = {{"NX", MLKV_EXPIRE_IF_NONE},
                 {"XX", MLKV_EXPIRE_IF_ANY},
                 {"GT", MLKV_EXPIRE_IF_LATER},
                 {"LT", MLKV_EXPIRE_IF_SOONER}};
    for (size_t k = 0; k < sizeof known / sizeof *known; k++)
        if (call_is(c, *i, known[k].token)) {
            ++*i;
            return known[k].condition;
        }
    return MLKV_EXPIRE_ALWAYS;
}

static int expire(call *c, bool seconds, bool absolute)
{
    field_words fields = {0};
    int64_t ms = 0;
    size_t i = 3;
    int result = expects_type(c, 1, MLKV_TYPE_HASH);
    if (result >= 0)
        result = read_time(c, seconds, absolute, &ms);
    if (result != 0)
        return result;
    mlkv_expire_condition condition = take_condition(c, &i);
    result = read_fields(c, i, "ERR Parameter `numFields` should be greater than 0", &fields);
    if (result != 0)
        return result;
    result = absolute ? mlkv_hash_expire_at(c->view, c->words[1], fields.names, fields.count, ms,
                                            condition, fields.numbers)
                      : mlkv_hash_expire(c->view, c->words[1], fields.names, fields.count, ms,
                                         condition, fields.numbers);
    return answer_fields(c, result, &fields);
}

int command_hexpire(call *c)
{
    return expire(c, true, false);
}

int command_hpexpire(call *c)
{
    return expire(c, false, false);
}

int command_hexpireat(call *c)
{
    return expire(c, true, true);
}

int command_hpexpireat(call *c)
{
    return expire(c, false, true);
}

/* --- asking, ending --- */

typedef int (*field_function)(mlkv *view, mlkv_slice key, const mlkv_slice *fields, size_t n,
                              int64_t *ret_numbers);

static int for_fields(call *c, field_function function, bool seconds)
{
    field_words fields = {0};
    int result = expects_type(c, 1, MLKV_TYPE_HASH);
    if (result >= 0)
        result = read_fields(c, 2, "ERR Number of fields must be a positive integer", &fields);
    if (result != 0)
        return result;
    result = function(c->view, c->words[1], fields.names, fields.count, fields.numbers);
    for (size_t i = 0; seconds && result == 0 && i < fields.count; i++)
        if (fields.numbers[i] > 0)
            fields.numbers[i] = fields.numbers[i] / 1000 + (fields.numbers[i] % 1000 != 0);
    return answer_fields(c, result, &fields);
}

int command_httl(call *c)
{
    return for_fields(c, mlkv_hash_ttl, true);
}

int command_hpttl(call *c)
{
    return for_fields(c, mlkv_hash_ttl, false);
}

int command_hexpiretime(call *c)
{
    return for_fields(c, mlkv_hash_expiry, true);
}

int command_hpexpiretime(call *c)
{
    return for_fields(c, mlkv_hash_expiry, false);
}

int command_hpersist(call *c)
{
    return for_fields(c, mlkv_hash_persist, false);
}
