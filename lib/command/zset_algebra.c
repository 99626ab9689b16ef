/* zset_algebra.c - the commands of several sorted sets: ZUNION, ZINTER, ZDIFF, the same with STORE, and ZINTERCARD.
 *
 * All have the same words: a destination if they store, the number of keys, the keys, options. Redis looks at the keys before it looks at
 * the options, so a key of another type is complained of first; the typed function looks at them last. Therefore bad options ask for the
 * types: what is written never depends on that answer, only which error is reported.
 *
 * Scratch: weights stand in the reply's `numbers`, scores in `value`.
 * No locks, no state.
 */
#include "command/call.h"

#include "base/buffer.h"
#include "types/number.h"

typedef enum { UNION, INTERSECTION, DIFFERENCE, CARDINALITY } operation;

typedef struct {
    operation operation;
    bool stores;
    const mlkv_slice *keys;
    size_t n;
    double *weights; /* NULL: none were given */
    mlkv_zset_aggregate aggregate;
    bool scored;
    int64_t limit;
} algebra;

/* The number of keys at word i, and the keys behind it. */
static int read_keys(call *c, size_t i, algebra *a)
{
    int64_t n = 0;
    int result = call_integer(c, i, &n);
    if (result != 0)
        return result;
    if (n < 1)
        return call_fail(c, MLKV_E_ARGUMENT, "ERR at least 1 input key is needed for '%s' command",
                         c->row->info.name);
    if ((uint64_t)n > c->count - i - 1)
        return call_syntax(c);
    a->keys = c->words + i + 1;
    a->n = (size_t)n;
    return 0;
}

/* --- options; each moves *i to the last word that it takes --- */

static int read_weights(call *c, size_t *i, algebra *a)
{
    if (buffer_reserve(&c->reply->numbers, a->n * sizeof(double)) != 0)
        return call_refuse(c, MLKV_E_MEMORY);
    a->weights = c->reply->numbers.data;
    for (size_t k = 0; k < a->n; k++)
        if (number_parse(c->words[++*i], &a->weights[k]) != 0)
            return call_fail(c, MLKV_E_NUMBER, "ERR weight value is not a float");
    return 0;
}

static int read_aggregate(call *c, size_t *i, algebra *a)
{
    ++*i;
    if (call_is(c, *i, "SUM"))
        a->aggregate = MLKV_ZSET_SUM;
    else if (call_is(c, *i, "MIN"))
        a->aggregate = MLKV_ZSET_MIN;
    else if (call_is(c, *i, "MAX"))
        a->aggregate = MLKV_ZSET_MAX;
    else
        return call_syntax(c);
    return 0;
}

static int read_option(call *c, size_t *i, algebra *a)
{
    size_t behind = c->count - *i - 1;
    bool combines = a->operation == UNION || a->operation == INTERSECTION;
    if (combines && behind >= a->n && call_is(c, *i, "WEIGHTS"))
        return read_weights(c, i, a);
    if (combines && behind >= 1 && call_is(c, *i, "AGGREGATE"))
        return read_aggregate(c, i, a);
    if (!a->stores && a->operation != CARDINALITY && call_is(c, *i, "WITHSCORES")) {
        a->scored = true;
        return 0;
    }
    if (a->operation == CARDINALITY && behind >= 1 && call_is(c, *i, "LIMIT"))
        return call_integer_within(c, ++*i, 0, INT64_MAX, "ERR LIMIT can't be negative", &a->limit);
    return call_syntax(c);
}

/* MLKV_E_TYPE if a key is neither a sorted set nor a set. */
static int check_types(call *c, const algebra *a)
{
    int result = 0;
    for (size_t k = 0; k < a->n && result >= 0; k++) {
        mlkv_type type = MLKV_TYPE_NONE;
        result = mlkv_key_type(c->view, a->keys[k], &type);
        if (result >= 0 && type != MLKV_TYPE_NONE && type != MLKV_TYPE_ZSET &&
            type != MLKV_TYPE_SET)
            result = MLKV_E_TYPE;
    }
    return result < 0 ? result : 0;
}

/* All words, from the number of keys at word i. */
static int read_words(call *c, size_t i, algebra *a)
{
    int result = read_keys(c, i, a);
    if (result != 0)
        return result;
    for (i += a->n + 1; i < c->count && result == 0; i++)
        result = read_option(c, &i, a);
    if (result != 0 && check_types(c, a) == MLKV_E_TYPE)
        return call_refuse(c, MLKV_E_TYPE);
    return result;
}

/* --- the commands --- */

static int read_combined(call *c, operation which)
{
    algebra a = {.operation = which};
    int result = read_words(c, 1, &a);
    if (result != 0)
        return result;
    mlkv_rows *rows = &c->reply->rows;
    mlkv_buffer *scores = a.scored ? &c->reply->value : NULL;
    if (which == UNION)
        result = mlkv_zset_union(c->view, a.keys, a.n, a.weights, a.aggregate, rows, scores);
    else if (which == INTERSECTION)
        result = mlkv_zset_intersection(c->view, a.keys, a.n, a.weights, a.aggregate, rows, scores);
    else
        result = mlkv_zset_difference(c->view, a.keys, a.n, rows, scores);
    if (result < 0 || !a.scored)
        return call_answer_rows(c, result, MLKV_REPLY_ARRAY);
    reply_scored(c->reply, MLKV_REPLY_PAIRS, rows, scores);
    return 0;
}

static int store_combined(call *c, operation which)
{
    algebra a = {.operation = which, .stores = true};
    uint64_t count = 0;
    int result = read_words(c, 2, &a);
    if (result != 0)
        return result;
    if (which == UNION)
        result = mlkv_zset_union_store(c->view, c->words[1], a.keys, a.n, a.weights, a.aggregate,
                                       &count);
    else if (which == INTERSECTION)
        result = mlkv_zset_intersection_store(c->view, c->words[1], a.keys, a.n, a.weights,
                                              a.aggregate, &count);
    else
        result = mlkv_zset_difference_store(c->view, c->words[1], a.keys, a.n, &count);
    return call_answer_count(c, result, count);
}

int command_zunion(call *c)
{
    return read_combined(c, UNION);
}

int command_zinter(call *c)
{
    return read_combined(c, INTERSECTION);
}

int command_zdiff(call *c)
{
    return read_combined(c, DIFFERENCE);
}

int command_zunionstore(call *c)
{
    return store_combined(c, UNION);
}

int command_zinterstore(call *c)
{
    return store_combined(c, INTERSECTION);
}

int command_zdiffstore(call *c)
{
    return store_combined(c, DIFFERENCE);
}

int command_zintercard(call *c)
{
    algebra a = {.operation = CARDINALITY};
    uint64_t count = 0;
    int result = read_words(c, 1, &a);
    if (result != 0)
        return result;
    result = mlkv_zset_intersection_count(c->view, a.keys, a.n, (uint64_t)a.limit, &count);
    return call_answer_count(c, result, count);
}
