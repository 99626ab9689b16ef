/* lists.h - what the tests of lists share: lists of letters. */
#ifndef MLKV_TESTS_TYPES_LISTS_H
#define MLKV_TESTS_TYPES_LISTS_H

#include "types/stores.h"

static const mlkv_list_end LEFT = MLKV_LIST_LEFT, RIGHT = MLKV_LIST_RIGHT;

/* Pushes each letter on the right. */
static inline void push_letters(mlkv *view, mlkv_slice key, const char *letters)
{
    for (size_t i = 0; letters[i] != '\0'; i++) {
        mlkv_slice value = slice_of(letters + i, 1);
        OK(mlkv_list_push(view, key, RIGHT, &value, 1, NULL));
    }
}

/* A new list of these letters in "l". */
static inline void make(mlkv *view, const char *letters)
{
    mlkv_slice key = TEXT("l");
    OK(mlkv_key_delete(view, &key, 1, NULL));
    push_letters(view, key, letters);
}

/* The elements, each of one letter, as a text. */
static inline const char *joined(const mlkv_rows *rows)
{
    static char text[1000];
    ck_assert_uint_lt(rows->count, sizeof text);
    for (size_t i = 0; i < rows->count; i++) {
        ck_assert_uint_eq(rows->items[i].size, 1);
        text[i] = *(const char *)rows->items[i].data;
    }
    text[rows->count] = '\0';
    return text;
}

static inline void check_list(mlkv *view, mlkv_slice key, const char *letters)
{
    mlkv_rows rows = {0};
    uint64_t length = 77;
    size_t exists = 77;
    OK(mlkv_list_range(view, key, 0, -1, &rows));
    ck_assert_str_eq(joined(&rows), letters);
    OK(mlkv_list_length(view, key, &length));
    ck_assert_uint_eq(length, strlen(letters));
    OK(mlkv_key_exists(view, &key, 1, &exists));
    ck_assert_uint_eq(exists, letters[0] != '\0');
    mlkv_rows_free(&rows);
}

static inline void check(mlkv *view, const char *letters)
{
    check_list(view, TEXT("l"), letters);
}

static inline size_t left_over(mlkv *db)
{
    return count_records(db, "K") + count_records(db, "L") + count_records(db, "G") +
           count_records(db, "R");
}

#endif
