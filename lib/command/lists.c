/* lists.c - the commands of lists that do not wait: LPUSH, LRANGE and their relatives.
 *
 * Each reads its words, calls mlkv/list.h, and answers. Redis's rules that are not the library's stand here: LPOS's and LMPOP's options,
 * and the order of complaints, where a missing key or one of another type is noticed before a bad index (LINDEX, LSET) or after it.
 * No locks, no state.
 */
#include "command/lists.h"
#include "command/expects.h"

#include "types/integer.h"

int lists_read_end(call *c, size_t i, mlkv_list_end *ret_end)
{
    bool left = call_is(c, i, "LEFT");
    if (!left && !call_is(c, i, "RIGHT"))
        return call_syntax(c);
    *ret_end = left ? MLKV_LIST_LEFT : MLKV_LIST_RIGHT;
    return 0;
}

/* --- pushing --- */

static int push(call *c, mlkv_list_end end)
{
    uint64_t length = 0;
    int result = mlkv_list_push(c->view, c->words[1], end, c->words + 2, c->count - 2, &length);
    return call_answer_count(c, result, length);
}

int command_lpush(call *c)
{
    return push(c, MLKV_LIST_LEFT);
}

int command_rpush(call *c)
{
    return push(c, MLKV_LIST_RIGHT);
}

static int push_if_present(call *c, mlkv_list_end end)
{
    uint64_t length = 0;
    int result =
        mlkv_list_push_if_present(c->view, c->words[1], end, c->words + 2, c->count - 2, &length);
    return call_answer_count(c, result, result == MLKV_ABSENT ? 0 : length);
}

int command_lpushx(call *c)
{
    return push_if_present(c, MLKV_LIST_LEFT);
}

int command_rpushx(call *c)
{
    return push_if_present(c, MLKV_LIST_RIGHT);
}

/* --- popping --- */

static int pop(call *c, mlkv_list_end end)
{
    int64_t count = 0;
    if (c->count == 2)
        return call_answer_value(c, mlkv_list_pop(c->view, c->words[1], end, &c->reply->value));
    if (c->count > 3)
        return call_wrong_arity(c);
    int result = call_integer_within(c, 2, 0, INT64_MAX,
                                     "ERR value is out of range, must be positive", &count);
    if (result != 0)
        return result;
    result = mlkv_list_pop_many(c->view, c->words[1], end, (uint64_t)count, &c->reply->rows);
    if (result != MLKV_ABSENT)
        return call_answer_rows(c, result, MLKV_REPLY_ARRAY);
    reply_nil_array(c->reply);
    return 0;
}

int command_lpop(call *c)
{
    return pop(c, MLKV_LIST_LEFT);
}

int command_rpop(call *c)
{
    return pop(c, MLKV_LIST_RIGHT);
}

int lists_read_pop(call *c, size_t i, list_pop_words *ret_words)
{
    int64_t count = 0;
    ret_words->keys = c->words + i + 1;
    int result = call_key_count(c, i, &ret_words->key_count);
    if (result != 0)
        return result;
    i += 1 + ret_words->key_count;
    result = lists_read_end(c, i, &ret_words->end);
    if (result != 0)
        return result;
    for (i++; i < c->count; i++) {
        if (count != 0 || !call_is(c, i, "COUNT") || i + 1 == c->count)
            return call_syntax(c);
        result =
            call_integer_within(c, ++i, 1, INT64_MAX, "ERR count should be greater than 0", &count);
        if (result != 0)
            return result;
    }
    ret_words->count = count == 0 ? 1 : (uint64_t)count;
    return 0;
}

int lists_answer_pop(call *c, int result, mlkv_slice key)
{
    if (result < 0)
        return call_refuse(c, result);
    if (result == MLKV_ABSENT) {
        reply_nil_array(c->reply);
        return 0;
    }
    (void)reply_array(c->reply, 2);
    reply_bytes(c->reply, key);
    reply_rows(c->reply, MLKV_REPLY_ARRAY, &c->reply->rows);
    return 0;
}

int command_lmpop(call *c)
{
    list_pop_words words = {0};
    size_t which = 0;
    int result = lists_read_pop(c, 1, &words);
    if (result != 0)
        return result;
    result = mlkv_list_pop_first(c->view, words.keys, words.key_count, words.end, words.count,
                                 &which, &c->reply->rows);
    return lists_answer_pop(c, result, words.keys[which]);
}

/* --- moving --- */

int command_lmove(call *c)
{
    mlkv_list_end from = MLKV_LIST_LEFT, to = MLKV_LIST_LEFT;
    int result = lists_read_end(c, 3, &from);
    if (result == 0)
        result = lists_read_end(c, 4, &to);
    return result != 0 ? result
                       : call_answer_value(c, mlkv_list_move(c->view, c->words[1], c->words[2],
                                                             from, to, &c->reply->value));
}

int command_rpoplpush(call *c)
{
    return call_answer_value(c, mlkv_list_move(c->view, c->words[1], c->words[2], MLKV_LIST_RIGHT,
                                               MLKV_LIST_LEFT, &c->reply->value));
}

/* --- reading --- */

int command_llen(call *c)
{
    uint64_t length = 0;
    int result = mlkv_list_length(c->view, c->words[1], &length);
    return call_answer_count(c, result, length);
}

int command_lindex(call *c)
{
    int64_t index = 0;
    if (integer_parse(c->words[2], &index) == 0)
        return call_answer_value(c, mlkv_list_get(c->view, c->words[1], index, &c->reply->value));
    int result = expects_type(c, 1, MLKV_TYPE_LIST);
    if (result == 0)
        return call_not_integer(c);
    if (result == MLKV_ABSENT)
        reply_nil(c->reply);
    return result < 0 ? result : 0;
}

static int read_range(call *c, int64_t *ret_start, int64_t *ret_stop)
{
    int result = call_integer(c, 2, ret_start);
    return result != 0 ? result : call_integer(c, 3, ret_stop);
}

int command_lrange(call *c)
{
    int64_t start = 0, stop = 0;
    int result = read_range(c, &start, &stop);
    return result != 0 ? result
                       : call_answer_rows(
                             c, mlkv_list_range(c->view, c->words[1], start, stop, &c->reply->rows),
                             MLKV_REPLY_ARRAY);
}

typedef struct {
    int64_t rank;
    int64_t count; /* -1: one index is wanted, not an array */
    int64_t compared_max;
} find_options;

static int read_rank(call *c, size_t i, int64_t *ret_rank)
{
    int result = call_integer(c, i, ret_rank);
    if (result != 0)
        return result;
    if (*ret_rank == 0)
        return call_fail(c, MLKV_E_RANGE,
                         "ERR RANK can't be zero: use 1 to start from the first match, 2 from the "
                         "second ... or use negative to start from the end of the list");
    if (*ret_rank == INT64_MIN) /* its opposite has no room: Redis 7.0 finds the last one */
        *ret_rank = -1;
    return 0;
}

static int read_find_options(call *c, find_options *ret_options)
{
    find_options o = {.rank = 1, .count = -1};
    for (size_t i = 3; i < c->count; i += 2) {
        int result = 0;
        if (i + 1 == c->count)
            return call_syntax(c);
        if (call_is(c, i, "RANK"))
            result = read_rank(c, i + 1, &o.rank);
        else if (call_is(c, i, "COUNT"))
            result = call_integer_within(c, i + 1, 0, INT64_MAX, "ERR COUNT can't be negative",
                                         &o.count);
        else if (call_is(c, i, "MAXLEN"))
            result = call_integer_within(c, i + 1, 0, INT64_MAX, "ERR MAXLEN can't be negative",
                                         &o.compared_max);
        else
            result = call_syntax(c);
        if (result != 0)
            return result;
    }
    *ret_options = o;
    return 0;
}

static int find_one(call *c, const find_options *options)
{
    uint64_t index = 0;
    int result = mlkv_list_find(c->view, c->words[1], c->words[2], options->rank,
                                (uint64_t)options->compared_max, &index);
    if (result != MLKV_ABSENT)
        return call_answer_count(c, result, index);
    reply_nil(c->reply);
    return 0;
}

int command_lpos(call *c)
{
    find_options options = {0};
    int result = read_find_options(c, &options);
    if (result != 0)
        return result;
    if (options.count < 0)
        return find_one(c, &options);
    mlkv_buffer *found = &c->reply->numbers;
    result = mlkv_list_find_many(c->view, c->words[1], c->words[2], options.rank,
                                 (uint64_t)options.count, (uint64_t)options.compared_max, found);
    if (result < 0)
        return call_refuse(c, result);
    const uint64_t *indexes = found->data;
    size_t n = found->size / sizeof *indexes;
    (void)reply_array(c->reply, n);
    for (size_t i = 0; i < n; i++)
        reply_count(c->reply, indexes[i]);
    return 0;
}

/* --- editing --- */

int command_lset(call *c)
{
    int64_t index = 0;
    int result;
    bool is_number = integer_parse(c->words[2], &index) == 0;
    if (is_number)
        result = mlkv_list_set(c->view, c->words[1], index, c->words[3]);
    else
        result = expects_type(c, 1, MLKV_TYPE_LIST);
    if (result == MLKV_ABSENT)
        return call_fail(c, MLKV_E_ARGUMENT, "ERR no such key");
    if (!is_number)
        return result < 0 ? result : call_not_integer(c);
    if (result == MLKV_E_RANGE)
        return call_fail(c, result, "ERR index out of range");
    return call_answer_ok(c, result);
}

int command_ltrim(call *c)
{
    int64_t start = 0, stop = 0;
    int result = read_range(c, &start, &stop);
    if (result != 0)
        return result;
    result = mlkv_list_trim(c->view, c->words[1], start, stop);
    return call_answer_ok(c, result);
}

int command_lrem(call *c)
{
    int64_t count = 0;
    uint64_t removed = 0;
    int result = call_integer(c, 2, &count);
    if (result != 0)
        return result;
    result = mlkv_list_remove(c->view, c->words[1], count, c->words[3], &removed);
    return call_answer_count(c, result, removed);
}

int command_linsert(call *c)
{
    int64_t length = 0;
    bool before = call_is(c, 2, "BEFORE");
    if (!before && !call_is(c, 2, "AFTER"))
        return call_syntax(c);
    int result = mlkv_list_insert(c->view, c->words[1], before ? MLKV_LIST_BEFORE : MLKV_LIST_AFTER,
                                  c->words[3], c->words[4], &length);
    if (result < 0)
        return call_refuse(c, result);
    reply_integer(c->reply, length);
    return 0;
}
