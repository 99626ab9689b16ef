/* zset_ranges.c - the commands of a range of a sorted set: ZRANGE and the older ones that it stands for, ZRANGESTORE, ZCOUNT, ZLEXCOUNT,
 * and ZREMRANGEBYRANK, ...BYSCORE, ...BYLEX.
 *
 * All ranges become one mlkv_zset_range_spec. Bounds are read here:
 *   by rank    two integers
 *   by score   a number as C reads it, up to a zero byte, nothing being 0; "(" in front leaves the bound itself out
 *   by name    "-" and "+" are before and behind everything, "[name" is a bound, "(name" one that is left out
 * ZRANGE and ZRANGESTORE are told by options what the range goes by, and in which direction; of the older commands the name says it, and
 * they refuse these options. From the end (REV) the upper bound stands first, but for ranks, which count from there.
 *
 * Order of complaints: options from left to right, options that do not go together, bounds, the key's type.
 * Scratch: scores stand in the reply's `value`.
 * No locks, no state.
 */
#include "command/call.h"

#include "types/number.h"

/* --- bounds --- */

static int not_a_score(call *c)
{
    return call_fail(c, MLKV_E_NUMBER, "ERR min or max is not a float");
}

static int not_a_name(call *c)
{
    return call_fail(c, MLKV_E_ARGUMENT, "ERR min or max not valid string range item");
}

static char first_byte(mlkv_slice word)
{
    char first = '\0';
    if (word.size > 0)
        first = *(const char *)word.data;
    return first;
}

static mlkv_slice behind_first(mlkv_slice word)
{
    return (mlkv_slice){(const char *)word.data + 1, word.size - 1};
}

static int read_score(call *c, mlkv_slice word, double *ret_score, int32_t *ret_bound)
{
    bool excluded = first_byte(word) == '(';
    int result = number_parse_bound(excluded ? behind_first(word) : word, ret_score);
    if (result == MLKV_E_MEMORY)
        return call_refuse(c, result);
    *ret_bound = excluded ? MLKV_ZSET_EXCLUDED : MLKV_ZSET_INCLUDED;
    return result == 0 ? 0 : not_a_score(c);
}

static int read_name(call *c, mlkv_slice word, mlkv_slice *ret_name, int32_t *ret_bound)
{
    char first = first_byte(word);
    if (first == '(' || first == '[') {
        *ret_name = behind_first(word);
        *ret_bound = first == '(' ? MLKV_ZSET_EXCLUDED : MLKV_ZSET_INCLUDED;
        return 0;
    }
    if ((first != '-' && first != '+') || (word.size > 1 && first_byte(behind_first(word)) != '\0'))
        return not_a_name(c);
    *ret_bound = first == '-' ? MLKV_ZSET_LOWEST : MLKV_ZSET_HIGHEST;
    return 0;
}

/* The two words from `at` on. */
static int read_bounds(call *c, size_t at, mlkv_zset_range_spec *spec)
{
    size_t min = at, max = at + 1;
    int result = 0;
    if (spec->by == MLKV_ZSET_BY_RANK) {
        result = call_integer(c, min, &spec->start);
        return result != 0 ? result : call_integer(c, max, &spec->stop);
    }
    if (spec->reverse != 0) {
        min = at + 1;
        max = at;
    }
    if (spec->by == MLKV_ZSET_BY_SCORE) {
        result = read_score(c, c->words[min], &spec->min, &spec->min_bound);
        return result != 0 ? result : read_score(c, c->words[max], &spec->max, &spec->max_bound);
    }
    result = read_name(c, c->words[min], &spec->min_member, &spec->min_bound);
    return result != 0 ? result : read_name(c, c->words[max], &spec->max_member, &spec->max_bound);
}

/* --- ranges with options --- */

/* What the command's name says; ANY: its options do. */
enum { ANY = -1 };

typedef struct {
    size_t key; /* the word; the bounds stand behind it */
    bool stores;
    int by;      /* mlkv_zset_by, or ANY */
    int reverse; /* 0, 1, or ANY */
} range_form;

/* Takes word *i, and those that belong to it. */
static int read_option(call *c, size_t *i, range_form *form, mlkv_zset_range_spec *spec,
                       bool *ret_scored)
{
    if (!form->stores && call_is(c, *i, "WITHSCORES")) {
        *ret_scored = true;
    } else if (call_is(c, *i, "LIMIT") && c->count - *i > 2) {
        spec->limited = 1;
        int result = call_integer(c, ++*i, &spec->offset);
        return result != 0 ? result : call_integer(c, ++*i, &spec->limit);
    } else if (form->reverse == ANY && call_is(c, *i, "REV")) {
        form->reverse = 1;
    } else if (form->by == ANY && call_is(c, *i, "BYLEX")) {
        form->by = MLKV_ZSET_BY_MEMBER;
    } else if (form->by == ANY && call_is(c, *i, "BYSCORE")) {
        form->by = MLKV_ZSET_BY_SCORE;
    } else {
        return call_syntax(c);
    }
    return 0;
}

static int read_range(call *c, range_form form, mlkv_zset_range_spec *ret_spec, bool *ret_scored)
{
    mlkv_zset_range_spec spec = {.size = sizeof spec, .limit = -1};
    int result = 0;
    *ret_scored = false;
    for (size_t i = form.key + 3; i < c->count && result == 0; i++)
        result = read_option(c, &i, &form, &spec, ret_scored);
    if (result != 0)
        return result;
    spec.by = form.by == ANY ? MLKV_ZSET_BY_RANK : form.by;
    spec.reverse = form.reverse == 1;
    if (spec.by == MLKV_ZSET_BY_RANK && spec.limit != -1)
        return call_fail(c, MLKV_E_ARGUMENT,
                         "ERR syntax error, LIMIT is only supported in combination with either "
                         "BYSCORE or BYLEX");
    if (spec.by == MLKV_ZSET_BY_MEMBER && *ret_scored)
        return call_fail(c, MLKV_E_ARGUMENT,
                         "ERR syntax error, WITHSCORES not supported in combination with BYLEX");
    if (spec.by == MLKV_ZSET_BY_RANK) /* LIMIT n -1 is passed over */
        spec.limited = 0;
    *ret_spec = spec;
    return read_bounds(c, form.key + 1, ret_spec);
}

static int range(call *c, int by, int reverse)
{
    range_form form = {.key = 1, .by = by, .reverse = reverse};
    mlkv_zset_range_spec spec;
    bool scored;
    int result = read_range(c, form, &spec, &scored);
    if (result != 0)
        return result;
    result = mlkv_zset_range(c->view, c->words[1], &spec, &c->reply->rows,
                             scored ? &c->reply->value : NULL);
    if (result < 0 || !scored)
        return call_answer_rows(c, result, MLKV_REPLY_ARRAY);
    reply_scored(c->reply, MLKV_REPLY_PAIRS, &c->reply->rows, &c->reply->value);
    return 0;
}

int command_zrange(call *c)
{
    return range(c, ANY, ANY);
}

int command_zrevrange(call *c)
{
    return range(c, MLKV_ZSET_BY_RANK, 1);
}

int command_zrangebyscore(call *c)
{
    return range(c, MLKV_ZSET_BY_SCORE, 0);
}

int command_zrevrangebyscore(call *c)
{
    return range(c, MLKV_ZSET_BY_SCORE, 1);
}

int command_zrangebylex(call *c)
{
    return range(c, MLKV_ZSET_BY_MEMBER, 0);
}

int command_zrevrangebylex(call *c)
{
    return range(c, MLKV_ZSET_BY_MEMBER, 1);
}

int command_zrangestore(call *c)
{
    range_form form = {.key = 2, .stores = true, .by = ANY, .reverse = ANY};
    mlkv_zset_range_spec spec;
    bool scored;
    uint64_t count = 0;
    int result = read_range(c, form, &spec, &scored);
    if (result != 0)
        return result;
    result = mlkv_zset_range_store(c->view, c->words[1], c->words[2], &spec, &count);
    return call_answer_count(c, result, count);
}

/* --- ranges without options --- */

typedef int range_function(mlkv *view, mlkv_slice key, const mlkv_zset_range_spec *spec,
                           uint64_t *ret_count);

static int count_range(call *c, mlkv_zset_by by, range_function *function)
{
    mlkv_zset_range_spec spec = {.size = sizeof spec, .by = (int32_t)by};
    uint64_t count = 0;
    int result = read_bounds(c, 2, &spec);
    if (result != 0)
        return result;
    result = function(c->view, c->words[1], &spec, &count);
    return call_answer_count(c, result, count);
}

int command_zcount(call *c)
{
    return count_range(c, MLKV_ZSET_BY_SCORE, mlkv_zset_range_count);
}

int command_zlexcount(call *c)
{
    return count_range(c, MLKV_ZSET_BY_MEMBER, mlkv_zset_range_count);
}

int command_zremrangebyrank(call *c)
{
    return count_range(c, MLKV_ZSET_BY_RANK, mlkv_zset_range_remove);
}

int command_zremrangebyscore(call *c)
{
    return count_range(c, MLKV_ZSET_BY_SCORE, mlkv_zset_range_remove);
}

int command_zremrangebylex(call *c)
{
    return count_range(c, MLKV_ZSET_BY_MEMBER, mlkv_zset_range_remove);
}
