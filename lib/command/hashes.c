/* hashes.c - the commands of hashes: HSET, HGETALL and their relatives. Expiries of fields: hash_expiry.c.
 *
 * Each reads its words, calls mlkv/hash.h, and answers. Redis's rules that are not the library's stand here: HRANDFIELD's counts, and the
 * order of complaints about numbers.
 * No locks, no state.
 */
#include "command/call.h"
#include "command/expects.h"

#include "types/number.h"

#include <math.h>

/* --- setting and deleting --- */

/* Sets the fields and values behind the key. */
static int set_fields(call *c, size_t *ret_added)
{
    mlkv_pair *pairs = NULL;
    size_t n = 0;
    int result = call_pairs(c, 2, &pairs, &n);
    if (result != 0)
        return result;
    result = mlkv_hash_set(c->view, c->words[1], pairs, n, ret_added);
    return result < 0 ? call_refuse(c, result) : 0;
}

int command_hset(call *c)
{
    size_t added = 0;
    int result = set_fields(c, &added);
    if (result == 0)
        reply_count(c->reply, added);
    return result;
}

int command_hmset(call *c)
{
    int result = set_fields(c, NULL);
    if (result == 0)
        reply_ok(c->reply);
    return result;
}

int command_hsetnx(call *c)
{
    return call_answer_whether(
        c, mlkv_hash_set_if_absent(c->view, c->words[1], c->words[2], c->words[3]));
}

int command_hdel(call *c)
{
    size_t deleted = 0;
    int result = mlkv_hash_delete(c->view, c->words[1], c->words + 2, c->count - 2, &deleted);
    return call_answer_count(c, result, deleted);
}

/* --- reading --- */

int command_hget(call *c)
{
    return call_answer_value(c, mlkv_hash_get(c->view, c->words[1], c->words[2], &c->reply->value));
}

int command_hmget(call *c)
{
    int result =
        mlkv_hash_get_many(c->view, c->words[1], c->words + 2, c->count - 2, &c->reply->rows);
    return call_answer_rows(c, result, MLKV_REPLY_ARRAY);
}

int command_hgetall(call *c)
{
    return call_answer_rows(c, mlkv_hash_get_all(c->view, c->words[1], &c->reply->rows),
                            MLKV_REPLY_MAP);
}

int command_hkeys(call *c)
{
    return call_answer_rows(c, mlkv_hash_keys(c->view, c->words[1], &c->reply->rows),
                            MLKV_REPLY_ARRAY);
}

int command_hvals(call *c)
{
    return call_answer_rows(c, mlkv_hash_values(c->view, c->words[1], &c->reply->rows),
                            MLKV_REPLY_ARRAY);
}

int command_hlen(call *c)
{
    uint64_t length = 0;
    int result = mlkv_hash_length(c->view, c->words[1], &length);
    return call_answer_count(c, result, length);
}

int command_hexists(call *c)
{
    return call_answer_whether(c, mlkv_hash_exists(c->view, c->words[1], c->words[2]));
}

int command_hstrlen(call *c)
{
    uint64_t length = 0;
    int result = mlkv_hash_value_length(c->view, c->words[1], c->words[2], &length);
    return call_answer_count(c, result, result == MLKV_ABSENT ? 0 : length);
}

/* --- random fields --- */

static int random_field(call *c)
{
    mlkv_rows *rows = &c->reply->rows;
    int result = mlkv_hash_random(c->view, c->words[1], 1, 1, 0, rows);
    if (result < 0)
        return call_refuse(c, result);
    if (rows->count == 0)
        reply_nil(c->reply);
    else
        reply_bytes(c->reply, rows->items[0]);
    return 0;
}

/* WITHVALUES at word 3, and nothing behind it; so many fields and values must have room in a number. */
static int read_with_values(call *c, const random_count *count)
{
    if (c->count > 4 || !call_is(c, 3, "WITHVALUES"))
        return call_syntax(c);
    return count->n > INT64_MAX / 2 ? call_fail(c, MLKV_E_RANGE, "ERR value is out of range") : 0;
}

int command_hrandfield(call *c)
{
    random_count count = {0};
    bool with_values = c->count > 3;
    if (c->count == 2)
        return random_field(c);
    int result = expects_random_count(c, 2, &count);
    if (result == 0 && with_values)
        result = read_with_values(c, &count);
    if (result == 0)
        result = expects_drawable(c, &count, MLKV_TYPE_HASH);
    if (result == MLKV_ABSENT)
        (void)reply_array(c->reply, 0);
    if (result != 0)
        return result < 0 ? result : 0;
    result = mlkv_hash_random(c->view, c->words[1], count.n, count.distinct, with_values,
                              &c->reply->rows);
    return call_answer_rows(c, result, with_values ? MLKV_REPLY_PAIRS : MLKV_REPLY_ARRAY);
}

/* --- numbers --- */

int command_hincrby(call *c)
{
    int64_t delta = 0, sum = 0;
    int result = call_integer(c, 3, &delta);
    if (result != 0)
        return result;
    result = mlkv_hash_add(c->view, c->words[1], c->words[2], delta, &sum);
    if (result == MLKV_E_NUMBER)
        return call_fail(c, result, "ERR hash value is not an integer");
    if (result == MLKV_E_RANGE)
        return call_fail(c, result, "ERR increment or decrement would overflow");
    if (result < 0)
        return call_refuse(c, result);
    reply_integer(c->reply, sum);
    return 0;
}

int command_hincrbyfloat(call *c)
{
    long double wide = 0;
    if (number_parse_long(c->words[3], &wide) != 0)
        return call_not_float(c);
    if (isinf(wide))
        return call_fail(c, MLKV_E_RANGE, "ERR value is NaN or Infinity");
    int result =
        mlkv_hash_add_decimal(c->view, c->words[1], c->words[2], c->words[3], &c->reply->value);
    if (result == MLKV_E_NUMBER)
        return call_fail(c, result, "ERR hash value is not a float");
    if (result == MLKV_E_RANGE)
        return call_fail(c, result, "ERR increment would produce NaN or Infinity");
    return call_answer_value(c, result);
}
