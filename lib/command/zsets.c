/* zsets.c - the commands of one sorted set and its members: ZADD, ZINCRBY, ZREM, ZCARD, ZSCORE, ZMSCORE, ZRANK, ZREVRANK, ZRANDMEMBER.
 *
 * Each reads its words, calls mlkv/zset.h, and answers. Redis's rules that are not the library's stand here: ZADD's options, which may be
 * followed by anything that is no option, and the order of its complaints; ZINCRBY, which is ZADD with INCR; the limits of ZRANDMEMBER's
 * count. Ranges, several sets at once, and members taken out stand in zset_ranges.c, zset_algebra.c and zset_pops.c.
 *
 * Scratch: members with their scores, and scores alone, stand in the reply's `numbers` or `value`.
 * No locks, no state.
 */
#include "command/call.h"
#include "command/expects.h"

#include "base/buffer.h"

#include <math.h>

/* --- adding --- */

typedef struct {
    uint32_t conditions; /* mlkv_zset_condition */
    bool counts_changed; /* CH */
    bool adds;           /* INCR */
    size_t at;           /* the first score */
    size_t n;            /* members */
} add_words;

/* Takes word i, if it is an option. */
static bool take_add_option(const call *c, size_t i, add_words *words)
{
    if (call_is(c, i, "NX"))
        words->conditions |= MLKV_ZSET_NEW;
    else if (call_is(c, i, "XX"))
        words->conditions |= MLKV_ZSET_PRESENT;
    else if (call_is(c, i, "GT"))
        words->conditions |= MLKV_ZSET_GREATER;
    else if (call_is(c, i, "LT"))
        words->conditions |= MLKV_ZSET_LESS;
    else if (call_is(c, i, "CH"))
        words->counts_changed = true;
    else if (call_is(c, i, "INCR"))
        words->adds = true;
    else
        return false;
    return true;
}

static int read_add_options(call *c, add_words *words)
{
    uint32_t given;
    for (words->at = 2; words->at < c->count && take_add_option(c, words->at, words);)
        words->at++;
    size_t left = c->count - words->at;
    if (left == 0 || left % 2 != 0)
        return call_syntax(c);
    words->n = left / 2;
    given = words->conditions;
    if ((given & MLKV_ZSET_NEW) != 0 && (given & MLKV_ZSET_PRESENT) != 0)
        return call_fail(c, MLKV_E_ARGUMENT,
                         "ERR XX and NX options at the same time are not compatible");
    given &= MLKV_ZSET_NEW | MLKV_ZSET_GREATER | MLKV_ZSET_LESS;
    if ((given & (given - 1)) != 0) /* more than one of them */
        return call_fail(c, MLKV_E_ARGUMENT,
                         "ERR GT, LT, and/or NX options at the same time are not compatible");
    if (words->adds && words->n > 1)
        return call_fail(c, MLKV_E_ARGUMENT,
                         "ERR INCR option supports a single increment-element pair");
    return 0;
}

static int add_score(call *c, const add_words *words)
{
    double delta = 0, score = 0;
    int result = call_double(c, words->at, &delta);
    if (result != 0)
        return result;
    result = mlkv_zset_add_score(c->view, c->words[1], c->words[words->at + 1], delta,
                                 words->conditions, &score);
    if (result == MLKV_E_NUMBER)
        return call_fail(c, result, "ERR resulting score is not a number (NaN)");
    if (result < 0)
        return call_refuse(c, result);
    if (result == MLKV_ABSENT)
        reply_nil(c->reply);
    else
        reply_double(c->reply, score);
    return 0;
}

static int add_members(call *c, const add_words *words)
{
    size_t added = 0, changed = 0;
    if (buffer_reserve(&c->reply->numbers, words->n * sizeof(mlkv_scored)) != 0)
        return call_refuse(c, MLKV_E_MEMORY);
    mlkv_scored *members = c->reply->numbers.data;
    for (size_t i = 0; i < words->n; i++) {
        size_t at = words->at + 2 * i;
        int result = call_double(c, at, &members[i].score);
        if (result != 0)
            return result;
        members[i].member = c->words[at + 1];
    }
    int result =
        mlkv_zset_add(c->view, c->words[1], members, words->n, words->conditions, &added, &changed);
    return call_answer_count(c, result, words->counts_changed ? changed : added);
}

static int add(call *c, bool adds)
{
    add_words words = {.adds = adds};
    int result = read_add_options(c, &words);
    if (result != 0)
        return result;
    return words.adds ? add_score(c, &words) : add_members(c, &words);
}

int command_zadd(call *c)
{
    return add(c, false);
}

int command_zincrby(call *c)
{
    return add(c, true);
}

int command_zrem(call *c)
{
    size_t removed = 0;
    int result = mlkv_zset_remove(c->view, c->words[1], c->words + 2, c->count - 2, &removed);
    return call_answer_count(c, result, removed);
}

/* --- asking --- */

int command_zcard(call *c)
{
    uint64_t count = 0;
    int result = mlkv_zset_count(c->view, c->words[1], &count);
    return call_answer_count(c, result, count);
}

int command_zscore(call *c)
{
    double score = 0;
    int result = mlkv_zset_score(c->view, c->words[1], c->words[2], &score);
    if (result < 0)
        return call_refuse(c, result);
    if (result == MLKV_ABSENT)
        reply_nil(c->reply);
    else
        reply_double(c->reply, score);
    return 0;
}

int command_zmscore(call *c)
{
    size_t n = c->count - 2;
    if (buffer_reserve(&c->reply->numbers, n * sizeof(double)) != 0)
        return call_refuse(c, MLKV_E_MEMORY);
    double *scores = c->reply->numbers.data;
    int result = mlkv_zset_scores(c->view, c->words[1], c->words + 2, n, scores);
    if (result < 0)
        return call_refuse(c, result);
    (void)reply_array(c->reply, n);
    for (size_t i = 0; i < n; i++)
        if (isnan(scores[i]))
            reply_nil(c->reply);
        else
            reply_double(c->reply, scores[i]);
    return 0;
}

static int rank(call *c, int reverse)
{
    uint64_t place = 0;
    int result = mlkv_zset_rank(c->view, c->words[1], c->words[2], reverse, &place, NULL);
    if (result == MLKV_ABSENT) {
        reply_nil(c->reply);
        return 0;
    }
    return call_answer_count(c, result, place);
}

int command_zrank(call *c)
{
    return rank(c, 0);
}

int command_zrevrank(call *c)
{
    return rank(c, 1);
}

/* --- by chance --- */

static int random_member(call *c)
{
    int result = mlkv_zset_random(c->view, c->words[1], 1, 1, &c->reply->rows, NULL);
    if (result < 0)
        return call_refuse(c, result);
    if (c->reply->rows.count == 0)
        reply_nil(c->reply);
    else
        reply_bytes(c->reply, c->reply->rows.items[0]);
    return 0;
}

int command_zrandmember(call *c)
{
    random_count count;
    if (c->count == 2)
        return random_member(c);
    int result = expects_random_count(c, 2, &count);
    if (result != 0)
        return result;
    bool scored = c->count > 3;
    if (c->count > 4 || (scored && !call_is(c, 3, "WITHSCORES")))
        return call_syntax(c);
    if (scored && count.n > INT64_MAX / 2)
        return call_fail(c, MLKV_E_RANGE, "ERR value is out of range");
    result = expects_drawable(c, &count, MLKV_TYPE_ZSET);
    if (result < 0)
        return result;
    if (result == MLKV_ABSENT) {
        (void)reply_array(c->reply, 0);
        return 0;
    }
    result = mlkv_zset_random(c->view, c->words[1], count.n, count.distinct, &c->reply->rows,
                              scored ? &c->reply->value : NULL);
    if (result < 0 || !scored)
        return call_answer_rows(c, result, MLKV_REPLY_ARRAY);
    reply_scored(c->reply, MLKV_REPLY_PAIRS, &c->reply->rows, &c->reply->value);
    return 0;
}
