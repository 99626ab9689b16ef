/* strings.c - the commands of strings: GET, SET and their relatives.
 *
 * Each reads its words, calls mlkv/string.h, and answers. Redis's rules that are not the library's stand here: SET's options and their
 * order of complaints, expiries in seconds, values of at most 512 MiB.
 * No locks, no state.
 */
#include "command/expects.h"
#include "command/expiry.h"

#include "base/bytes.h"

static const uint64_t VALUE_SIZE_MAX = 512 * 1024 * 1024; /* proto-max-bulk-len, as Redis has it */
static const char VALUE_TOO_LARGE[] =
    "ERR string exceeds maximum allowed size (proto-max-bulk-len)";

int command_get(call *c)
{
    return call_answer_value(c, mlkv_string_get(c->view, c->words[1], &c->reply->value));
}

int command_getdel(call *c)
{
    return call_answer_value(c, mlkv_string_get_delete(c->view, c->words[1], &c->reply->value));
}

int command_strlen(call *c)
{
    uint64_t length = 0;
    int result = mlkv_string_length(c->view, c->words[1], &length);
    return call_answer_count(c, result, length);
}

/* --- setting --- */

typedef struct {
    mlkv_set_condition condition;
    bool gets;
    expiry_words expiry;
} set_options;

static int read_set_options(call *c, set_options *ret_options)
{
    set_options o = {.condition = MLKV_SET_ALWAYS};
    for (size_t i = 3; i < c->count; i++) {
        bool condition = call_is(c, i, "NX") || call_is(c, i, "XX");
        if (condition) {
            mlkv_set_condition wanted =
                call_is(c, i, "NX") ? MLKV_SET_IF_ABSENT : MLKV_SET_IF_PRESENT;
            if (o.condition != MLKV_SET_ALWAYS && o.condition != wanted)
                return call_syntax(c);
            o.condition = wanted;
        } else if (call_is(c, i, "GET")) {
            o.gets = true;
        } else if (call_is(c, i, "KEEPTTL") && o.expiry.at == 0 && !o.expiry.keeps) {
            o.expiry.keeps = true;
        } else if (call_is(c, i, "KEEPTTL") && o.expiry.at == 0) {
            continue;
        } else if (!expiry_take(c, &i, &o.expiry)) {
            return call_syntax(c);
        }
    }
    *ret_options = o;
    return 0;
}

int command_set(call *c)
{
    set_options options = {.condition = MLKV_SET_ALWAYS};
    mlkv_expiry expiry = {.kind = MLKV_EXPIRY_NONE};
    int existed = 0;
    int result = read_set_options(c, &options);
    if (result == 0)
        result = expiry_read(c, &options.expiry, &expiry);
    if (result != 0)
        return result;
    result = mlkv_string_set_with(c->view, c->words[1], c->words[2], options.condition, expiry,
                                  options.gets ? &c->reply->value : NULL,
                                  options.gets ? &existed : NULL);
    if (result < 0)
        return expiry_refuse(c, result);
    if (options.gets && existed != 0)
        reply_buffer(c->reply, &c->reply->value);
    else if (options.gets || result == MLKV_ABSENT)
        reply_nil(c->reply);
    else
        reply_ok(c->reply);
    return 0;
}

static int set_expiring(call *c, bool seconds)
{
    expiry_words words = {.at = 2, .seconds = seconds};
    mlkv_expiry expiry = {.kind = MLKV_EXPIRY_NONE};
    int result = expiry_read(c, &words, &expiry);
    if (result != 0)
        return result;
    result = mlkv_string_set_with(c->view, c->words[1], c->words[3], MLKV_SET_ALWAYS, expiry, NULL,
                                  NULL);
    if (result < 0)
        return expiry_refuse(c, result);
    reply_ok(c->reply);
    return 0;
}

int command_setex(call *c)
{
    return set_expiring(c, true);
}

int command_psetex(call *c)
{
    return set_expiring(c, false);
}

int command_setnx(call *c)
{
    return call_answer_whether(
        c, mlkv_string_set(c->view, c->words[1], c->words[2], MLKV_SET_IF_ABSENT));
}

int command_getset(call *c)
{
    int existed = 0;
    mlkv_expiry none = {.kind = MLKV_EXPIRY_NONE};
    int result = mlkv_string_set_with(c->view, c->words[1], c->words[2], MLKV_SET_ALWAYS, none,
                                      &c->reply->value, &existed);
    return call_answer_value(c, result < 0 ? result : existed != 0 ? MLKV_OK : MLKV_ABSENT);
}

/* The time was refused. Redis looks at the key first, and says that only of a string that is there. */
static int refuse_time(call *c, int refused)
{
    int result = expects_type(c, 1, MLKV_TYPE_STRING);
    if (result != MLKV_ABSENT)
        return result < 0 ? result : refused;
    reply_restart(c->reply);
    reply_nil(c->reply);
    return 0;
}

int command_getex(call *c)
{
    expiry_words words = {.at = 0};
    bool persists = false;
    mlkv_expiry expiry = {.kind = MLKV_EXPIRY_NONE};
    for (size_t i = 2; i < c->count; i++) {
        if (call_is(c, i, "PERSIST") && words.at == 0 && !persists)
            persists = true;
        else if (call_is(c, i, "PERSIST") && words.at == 0)
            continue;
        else if (persists || !expiry_take(c, &i, &words))
            return call_syntax(c);
    }
    words.keeps = !persists && words.at == 0;
    int result = expiry_read(c, &words, &expiry);
    if (result != 0)
        return refuse_time(c, result);
    result = mlkv_string_get_expire(c->view, c->words[1], expiry, &c->reply->value);
    return result < 0 ? expiry_refuse(c, result) : call_answer_value(c, result);
}

/* --- several keys --- */

int command_mget(call *c)
{
    return call_answer_rows(
        c, mlkv_string_get_many(c->view, c->words + 1, c->count - 1, &c->reply->rows),
        MLKV_REPLY_ARRAY);
}

int command_mset(call *c)
{
    mlkv_pair *pairs = NULL;
    size_t n = 0;
    int result = call_pairs(c, 1, &pairs, &n);
    if (result != 0)
        return result;
    result = mlkv_string_set_many(c->view, pairs, n);
    return call_answer_ok(c, result);
}

int command_msetnx(call *c)
{
    mlkv_pair *pairs = NULL;
    size_t n = 0;
    int result = call_pairs(c, 1, &pairs, &n);
    return result != 0 ? result
                       : call_answer_whether(c, mlkv_string_set_many_if_absent(c->view, pairs, n));
}

/* --- numbers --- */

static int add(call *c, int64_t delta)
{
    int64_t sum = 0;
    int result = mlkv_string_add(c->view, c->words[1], delta, &sum);
    if (result == MLKV_E_NUMBER)
        return call_not_integer(c);
    if (result == MLKV_E_RANGE)
        return call_fail(c, result, "ERR increment or decrement would overflow");
    if (result < 0)
        return call_refuse(c, result);
    reply_integer(c->reply, sum);
    return 0;
}

int command_incr(call *c)
{
    return add(c, 1);
}

int command_decr(call *c)
{
    return add(c, -1);
}

int command_incrby(call *c)
{
    int64_t delta = 0;
    int result = call_integer(c, 2, &delta);
    return result != 0 ? result : add(c, delta);
}

int command_decrby(call *c)
{
    int64_t delta = 0;
    int result = call_integer(c, 2, &delta);
    if (result != 0)
        return result;
    if (delta == INT64_MIN)
        return call_fail(c, MLKV_E_RANGE, "ERR decrement would overflow");
    return add(c, -delta);
}

int command_incrbyfloat(call *c)
{
    int result = mlkv_string_add_decimal(c->view, c->words[1], c->words[2], &c->reply->value);
    if (result == MLKV_E_NUMBER) { /* of the words, maybe: Redis complains of the key first */
        result = expects_type(c, 1, MLKV_TYPE_STRING);
        return result < 0 ? result : call_not_float(c);
    }
    if (result == MLKV_E_RANGE)
        return call_fail(c, result, "ERR increment would produce NaN or Infinity");
    return call_answer_value(c, result);
}

/* --- parts --- */

int command_append(call *c)
{
    uint64_t length = 0;
    int result = mlkv_string_length(c->view, c->words[1], &length);
    if (result == 0 &&
        c->words[2].size > VALUE_SIZE_MAX - (length < VALUE_SIZE_MAX ? length : VALUE_SIZE_MAX))
        return call_fail(c, MLKV_E_SIZE, "%s", VALUE_TOO_LARGE);
    if (result >= 0)
        result = mlkv_string_append(c->view, c->words[1], c->words[2], &length);
    return call_answer_count(c, result, length);
}

int command_setrange(call *c)
{
    int64_t offset = 0;
    uint64_t length = 0;
    int result = call_integer(c, 2, &offset);
    if (result != 0)
        return result;
    if (offset < 0)
        return call_fail(c, MLKV_E_RANGE, "ERR offset is out of range");
    if (c->words[3].size > 0 && (uint64_t)offset > VALUE_SIZE_MAX - c->words[3].size) {
        result = expects_type(c, 1, MLKV_TYPE_STRING);
        return result < 0 ? result : call_fail(c, MLKV_E_SIZE, "%s", VALUE_TOO_LARGE);
    }
    result = mlkv_string_set_range(c->view, c->words[1], (uint64_t)offset, c->words[3], &length);
    return call_answer_count(c, result, length);
}

int command_getrange(call *c)
{
    int64_t start = 0, stop = 0;
    int result = call_integer(c, 2, &start);
    if (result == 0)
        result = call_integer(c, 3, &stop);
    if (result != 0)
        return result;
    c->reply->value.size = 0;
    result = mlkv_string_get_range(c->view, c->words[1], start, stop, &c->reply->value);
    if (result < 0)
        return call_refuse(c, result);
    reply_buffer(c->reply, &c->reply->value);
    return 0;
}

int command_substr(call *c)
{
    return command_getrange(c);
}
