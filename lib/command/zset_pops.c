/* zset_pops.c - the commands that take members from an end of a sorted set: ZPOPMIN, ZPOPMAX, ZMPOP, and those that wait for one: BZPOPMIN,
 * BZPOPMAX, BZMPOP.
 *
 * Three forms of reply, as Redis has them: ZPOPMIN gives members and scores, flat; with a count as pairs. BZPOPMIN gives the key, the
 * member and the score, flat. ZMPOP and BZMPOP give the key and an array of arrays of two, in both protocols. What ends without a member is
 * an empty array for ZPOPMIN and no array for the others.
 *
 * Waiting is the typed function's, which does not wait in a transaction; what it returns then is answered as if the time were over, as
 * Redis does in MULTI.
 *
 * Scratch: the scores stand in the reply's `value`.
 * No locks, no state.
 */
#include "command/call.h"

static int pop(call *c, int highest)
{
    int64_t count = 1;
    int result = 0;
    if (c->count > 3)
        return call_syntax(c);
    if (c->count == 3)
        result = call_integer_within(c, 2, 0, INT64_MAX,
                                     "ERR value is out of range, must be positive", &count);
    if (result != 0)
        return result;
    result = mlkv_zset_pop(c->view, c->words[1], (uint64_t)count, highest, &c->reply->rows,
                           &c->reply->value);
    if (result < 0)
        return call_refuse(c, result);
    reply_scored(c->reply, c->count == 3 ? MLKV_REPLY_PAIRS : MLKV_REPLY_ARRAY, &c->reply->rows,
                 &c->reply->value);
    return 0;
}

int command_zpopmin(call *c)
{
    return pop(c, 0);
}

int command_zpopmax(call *c)
{
    return pop(c, 1);
}

/* --- from the first of several keys --- */

typedef struct {
    const mlkv_slice *keys;
    size_t n;
    int highest;
    int64_t count;
} first_words;

/* The number of keys at word i, the keys, MIN or MAX, and COUNT. */
static int read_first_words(call *c, size_t i, first_words *words)
{
    int64_t n = 0;
    int result =
        call_integer_within(c, i, 1, INT64_MAX, "ERR numkeys should be greater than 0", &n);
    if (result != 0)
        return result;
    if ((uint64_t)n >= c->count - i - 1) /* an end must stand behind them */
        return call_syntax(c);
    words->keys = c->words + i + 1;
    words->n = (size_t)n;
    i += words->n + 1;
    words->highest = call_is(c, i, "MAX");
    if (words->highest == 0 && !call_is(c, i, "MIN"))
        return call_syntax(c);
    for (i++; i < c->count; i += 2) {
        if (words->count != 0 || !call_is(c, i, "COUNT") || i + 1 == c->count)
            return call_syntax(c);
        result = call_integer_within(c, i + 1, 1, INT64_MAX, "ERR count should be greater than 0",
                                     &words->count);
        if (result != 0)
            return result;
    }
    if (words->count == 0)
        words->count = 1;
    return 0;
}

/* [key, [[member, score] ...]] */
static int answer_nested(call *c, int result, const first_words *words, size_t which)
{
    const mlkv_rows *rows = &c->reply->rows;
    const double *scores = c->reply->value.data;
    if (result < 0)
        return call_refuse(c, result);
    if (result == MLKV_ABSENT) {
        reply_nil_array(c->reply);
        return 0;
    }
    (void)reply_array(c->reply, 2);
    reply_bytes(c->reply, words->keys[which]);
    (void)reply_array(c->reply, rows->count);
    for (size_t i = 0; i < rows->count; i++) {
        (void)reply_array(c->reply, 2);
        reply_bytes(c->reply, rows->items[i]);
        reply_double(c->reply, scores[i]);
    }
    return 0;
}

int command_zmpop(call *c)
{
    first_words words = {.count = 0};
    size_t which = 0;
    int result = read_first_words(c, 1, &words);
    if (result != 0)
        return result;
    result = mlkv_zset_pop_first(c->view, words.keys, words.n, (uint64_t)words.count, words.highest,
                                 &which, &c->reply->rows, &c->reply->value);
    return answer_nested(c, result, &words, which);
}

int command_bzmpop(call *c)
{
    first_words words = {.count = 0};
    int64_t timeout_ms = 0;
    size_t which = 0;
    int result = read_first_words(c, 2, &words);
    if (result == 0)
        result = call_timeout(c, 1, &timeout_ms);
    if (result != 0)
        return result;
    result = mlkv_zset_pop_wait(c->view, words.keys, words.n, (uint64_t)words.count, words.highest,
                                timeout_ms, &which, &c->reply->rows, &c->reply->value);
    return answer_nested(c, result, &words, which);
}

static int wait_and_pop(call *c, int highest)
{
    int64_t timeout_ms = 0;
    size_t which = 0;
    int result = call_timeout(c, c->count - 1, &timeout_ms);
    if (result != 0)
        return result;
    result = mlkv_zset_pop_wait(c->view, c->words + 1, c->count - 2, 1, highest, timeout_ms, &which,
                                &c->reply->rows, &c->reply->value);
    if (result < 0)
        return call_refuse(c, result);
    if (result == MLKV_ABSENT) {
        reply_nil_array(c->reply);
        return 0;
    }
    (void)reply_array(c->reply, 3);
    reply_bytes(c->reply, c->words[1 + which]);
    reply_bytes(c->reply, c->reply->rows.items[0]);
    reply_double(c->reply, *(const double *)c->reply->value.data);
    return 0;
}

int command_bzpopmin(call *c)
{
    return wait_and_pop(c, 0);
}

int command_bzpopmax(call *c)
{
    return wait_and_pop(c, 1);
}
