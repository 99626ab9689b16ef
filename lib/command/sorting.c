/* sorting.c - SORT and SORT_RO.
 *
 * Redis reads the options, then looks at the key's type, then sorts.
 * No locks, no state; the patterns of GET stand in the reply's scratch.
 */
#include "command/call.h"

#include "base/buffer.h"
#include "base/bytes.h"

typedef struct {
    mlkv_sort_options options;
    mlkv_slice destination;
    bool stores;
} sort_words;

/* LIMIT offset count at word i. */
static int read_limit(call *c, size_t i, mlkv_sort_options *options)
{
    int result = call_integer(c, i + 1, &options->offset);
    if (result == 0)
        result = call_integer(c, i + 2, &options->count);
    options->flags |= MLKV_SORT_LIMIT;
    return result;
}

/* BY: once it was said with no pattern nothing is sorted, whatever other BY follows. */
static void take_by(mlkv_slice by, mlkv_sort_options *options)
{
    mlkv_slice old = options->by;
    bool said = (options->flags & MLKV_SORT_BY) != 0;
    if (!said || (old.size > 0 && memchr(old.data, '*', old.size) != NULL))
        options->by = by;
    options->flags |= MLKV_SORT_BY;
}

/* One option at word *i, which moves to its last word. */
static int read_option(call *c, size_t *i, bool may_store, sort_words *words)
{
    mlkv_sort_options *options = &words->options;
    size_t left = c->count - *i - 1;
    if (call_is(c, *i, "ASC")) {
        options->flags &= ~(uint32_t)MLKV_SORT_DESCENDING;
    } else if (call_is(c, *i, "DESC")) {
        options->flags |= MLKV_SORT_DESCENDING;
    } else if (call_is(c, *i, "ALPHA")) {
        options->flags |= MLKV_SORT_ALPHA;
    } else if (call_is(c, *i, "LIMIT") && left >= 2) {
        *i += 2;
        return read_limit(c, *i - 2, options);
    } else if (may_store && call_is(c, *i, "STORE") && left >= 1) {
        words->destination = c->words[++*i];
        words->stores = true;
    } else if (call_is(c, *i, "BY") && left >= 1) {
        take_by(c->words[++*i], options);
    } else if (call_is(c, *i, "GET") && left >= 1) {
        if (buffer_append(&c->reply->numbers, &c->words[++*i], sizeof(mlkv_slice)) != 0)
            return call_refuse(c, MLKV_E_MEMORY);
        options->gets_count++;
    } else {
        return call_syntax(c);
    }
    return 0;
}

static int sort(call *c, bool may_store)
{
    sort_words words = {.options = {.size = sizeof words.options}};
    uint64_t count = 0;
    c->reply->numbers.size = 0;
    for (size_t i = 2; i < c->count; i++) {
        int result = read_option(c, &i, may_store, &words);
        if (result != 0)
            return result;
    }
    words.options.gets = c->reply->numbers.data;
    int result = words.stores ? mlkv_sort_store(c->view, c->words[1], &words.options,
                                                words.destination, &count)
                              : mlkv_sort(c->view, c->words[1], &words.options, &c->reply->rows);
    if (result == MLKV_E_NUMBER)
        return call_fail(c, result, "ERR One or more scores can't be converted into double");
    return words.stores ? call_answer_count(c, result, count)
                        : call_answer_rows(c, result, MLKV_REPLY_ARRAY);
}

int command_sort(call *c)
{
    return sort(c, true);
}

int command_sort_ro(call *c)
{
    return sort(c, false);
}
