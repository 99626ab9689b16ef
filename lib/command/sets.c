/* sets.c - the commands of sets: SADD, SPOP, SINTER and their relatives.
 *
 * Each reads its words, calls mlkv/set.h, and answers. Members are a set in RESP3 where Redis says so (SMEMBERS, SINTER, SPOP with a
 * count) and an array where it does not (SRANDMEMBER).
 * No locks, no state.
 */
#include "command/call.h"
#include "command/expects.h"

#include "base/buffer.h"

/* --- members --- */

int command_sadd(call *c)
{
    size_t added = 0;
    int result = mlkv_set_add(c->view, c->words[1], c->words + 2, c->count - 2, &added);
    return call_answer_count(c, result, added);
}

int command_srem(call *c)
{
    size_t removed = 0;
    int result = mlkv_set_remove(c->view, c->words[1], c->words + 2, c->count - 2, &removed);
    return call_answer_count(c, result, removed);
}

int command_smove(call *c)
{
    return call_answer_whether(c, mlkv_set_move(c->view, c->words[1], c->words[2], c->words[3]));
}

int command_sismember(call *c)
{
    uint8_t present = 0;
    int result = mlkv_set_contains(c->view, c->words[1], c->words + 2, 1, &present);
    return call_answer_count(c, result, present);
}

int command_smismember(call *c)
{
    size_t n = c->count - 2;
    if (buffer_reserve(&c->reply->numbers, n) != 0)
        return call_refuse(c, MLKV_E_MEMORY);
    uint8_t *present = c->reply->numbers.data;
    int result = mlkv_set_contains(c->view, c->words[1], c->words + 2, n, present);
    if (result < 0)
        return call_refuse(c, result);
    (void)reply_array(c->reply, n);
    for (size_t i = 0; i < n; i++)
        reply_integer(c->reply, present[i]);
    return 0;
}

int command_scard(call *c)
{
    uint64_t count = 0;
    int result = mlkv_set_count(c->view, c->words[1], &count);
    return call_answer_count(c, result, count);
}

int command_smembers(call *c)
{
    return call_answer_rows(c, mlkv_set_members(c->view, c->words[1], &c->reply->rows),
                            MLKV_REPLY_SET);
}

/* --- random members --- */

/* One member in c->reply->rows, or none. */
static int answer_member(call *c, int result)
{
    const mlkv_rows *rows = &c->reply->rows;
    if (result < 0)
        return call_refuse(c, result);
    if (rows->count == 0)
        reply_nil(c->reply);
    else
        reply_bytes(c->reply, rows->items[0]);
    return 0;
}

int command_spop(call *c)
{
    int64_t count = 0;
    if (c->count == 2)
        return answer_member(c, mlkv_set_pop(c->view, c->words[1], 1, &c->reply->rows));
    if (c->count > 3)
        return call_syntax(c);
    int result = call_integer_within(c, 2, 0, INT64_MAX,
                                     "ERR value is out of range, must be positive", &count);
    if (result != 0)
        return result;
    size_t n = (uint64_t)count > SIZE_MAX ? SIZE_MAX : (size_t)count;
    return call_answer_rows(c, mlkv_set_pop(c->view, c->words[1], n, &c->reply->rows),
                            MLKV_REPLY_SET);
}

int command_srandmember(call *c)
{
    random_count count = {0};
    mlkv_rows *rows = &c->reply->rows;
    if (c->count == 2)
        return answer_member(c, mlkv_set_random(c->view, c->words[1], 1, 1, rows));
    if (c->count > 3)
        return call_syntax(c);
    int result = expects_random_count(c, 2, &count);
    if (result == 0)
        result = expects_drawable(c, &count, MLKV_TYPE_SET);
    if (result == MLKV_ABSENT)
        (void)reply_array(c->reply, 0);
    if (result != 0)
        return result < 0 ? result : 0;
    result = mlkv_set_random(c->view, c->words[1], count.n, count.distinct, rows);
    return call_answer_rows(c, result, MLKV_REPLY_ARRAY);
}

/* --- several sets --- */

typedef int (*merging)(mlkv *view, const mlkv_slice *keys, size_t n, mlkv_rows *ret_members);
typedef int (*storing)(mlkv *view, mlkv_slice destination, const mlkv_slice *keys, size_t n,
                       uint64_t *ret_count);

static int merge(call *c, merging function)
{
    return call_answer_rows(c, function(c->view, c->words + 1, c->count - 1, &c->reply->rows),
                            MLKV_REPLY_SET);
}

static int merge_store(call *c, storing function)
{
    uint64_t count = 0;
    int result = function(c->view, c->words[1], c->words + 2, c->count - 2, &count);
    return call_answer_count(c, result, count);
}

int command_sinter(call *c)
{
    return merge(c, mlkv_set_intersection);
}

int command_sunion(call *c)
{
    return merge(c, mlkv_set_union);
}

int command_sdiff(call *c)
{
    return merge(c, mlkv_set_difference);
}

int command_sinterstore(call *c)
{
    return merge_store(c, mlkv_set_intersection_store);
}

int command_sunionstore(call *c)
{
    return merge_store(c, mlkv_set_union_store);
}

int command_sdiffstore(call *c)
{
    return merge_store(c, mlkv_set_difference_store);
}

int command_sintercard(call *c)
{
    int64_t n = 0, limit = 0;
    uint64_t count = 0;
    int result =
        call_integer_within(c, 1, 1, INT64_MAX, "ERR numkeys should be greater than 0", &n);
    if (result != 0)
        return result;
    if ((uint64_t)n > c->count - 2)
        return call_fail(c, MLKV_E_ARGUMENT,
                         "ERR Number of keys can't be greater than number of args");
    for (size_t i = 2 + (size_t)n; i < c->count; i += 2) {
        if (!call_is(c, i, "LIMIT") || i + 1 == c->count)
            return call_syntax(c);
        result = call_integer_within(c, i + 1, 0, INT64_MAX, "ERR LIMIT can't be negative", &limit);
        if (result != 0)
            return result;
    }
    result = mlkv_set_intersection_count(c->view, c->words + 2, (size_t)n, (uint64_t)limit, &count);
    return call_answer_count(c, result, count);
}
