/* zsets.h - what the tests of sorted sets share: adding, and comparing a range with a text like "a=1 b=2.5". */
#ifndef MLKV_TESTS_TYPES_ZSETS_H
#define MLKV_TESTS_TYPES_ZSETS_H

#include "types/stores.h"

#include <math.h>

static inline void zadd(mlkv *view, const char *key, const char *member, double score)
{
    mlkv_scored pair = {slice_of_text(member), score};
    OK(mlkv_zset_add(view, slice_of_text(key), &pair, 1, 0, NULL, NULL));
}

/* "a=1 b=2.5": members and scores in the order in which they came; without scores "a b". */
static inline const char *zset_text(const mlkv_rows *rows, const mlkv_buffer *scores)
{
    static char text[4096];
    size_t used = 0;
    text[0] = '\0';
    if (scores != NULL)
        ck_assert_uint_eq(scores->size, rows->count * sizeof(double));
    for (size_t i = 0; i < rows->count; i++) {
        ck_assert_uint_lt(used + rows->items[i].size + 40, sizeof text);
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%.*s", i == 0 ? "" : " ",
                                 (int)rows->items[i].size, (const char *)rows->items[i].data);
        if (scores != NULL)
            used += (size_t)snprintf(text + used, sizeof text - used, "=%.17g",
                                     ((const double *)scores->data)[i]);
    }
    return text;
}

/* Asserts what a range holds, with scores. */
static inline void zset_is(mlkv *view, const char *key, const mlkv_zset_range_spec *range,
                           const char *expected)
{
    mlkv_rows rows = {0};
    mlkv_buffer scores = {0};
    uint64_t count = UINT64_MAX;
    OK(mlkv_zset_range(view, slice_of_text(key), range, &rows, &scores));
    ck_assert_str_eq(zset_text(&rows, &scores), expected);
    OK(mlkv_zset_range_count(view, slice_of_text(key), range, &count));
    ck_assert_uint_eq(count, rows.count);
    mlkv_rows_free(&rows);
    mlkv_buffer_free(&scores);
}

static inline void zset_all_is(mlkv *view, const char *key, const char *expected)
{
    mlkv_zset_range_spec all = {.size = sizeof all, .stop = -1};
    zset_is(view, key, &all, expected);
}

static inline bool key_exists(mlkv *view, const char *key)
{
    size_t count = 0;
    mlkv_slice name = slice_of_text(key);
    OK(mlkv_key_exists(view, &name, 1, &count));
    return count == 1;
}

#endif
