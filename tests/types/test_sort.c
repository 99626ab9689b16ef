/* test_sort.c - SORT: orders, ties, limits, patterns, what is stored; by tables of what Redis 7.0 answers, and against a plain sorting.
 */
#include "types/stores.h"

#include "base/buffer.h"
#include "types/sort.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    DESC = MLKV_SORT_DESCENDING,
    ALPHA = MLKV_SORT_ALPHA,
    BY = MLKV_SORT_BY,
    LIMIT = MLKV_SORT_LIMIT
};

static void push(mlkv *db, const char *key, const char *words)
{
    char copy[200], *at = NULL;
    snprintf(copy, sizeof copy, "%s", words);
    for (char *word = strtok_r(copy, " ", &at); word != NULL; word = strtok_r(NULL, " ", &at)) {
        mlkv_slice value = slice_of_text(word);
        OK(mlkv_list_push(db, slice_of_text(key), MLKV_LIST_RIGHT, &value, 1, NULL));
    }
}

static void add(mlkv *db, const char *key, const char *words)
{
    char copy[200], *at = NULL;
    snprintf(copy, sizeof copy, "%s", words);
    for (char *word = strtok_r(copy, " ", &at); word != NULL; word = strtok_r(NULL, " ", &at)) {
        mlkv_slice value = slice_of_text(word);
        OK(mlkv_set_add(db, slice_of_text(key), &value, 1, NULL));
    }
}

static void set(mlkv *db, mlkv_slice key, mlkv_slice value)
{
    OK(mlkv_string_set(db, key, value, MLKV_SET_ALWAYS));
}

/* Items as one text: "a b -", an absent one as "-", an empty one as "''". */
static const char *text_of(const mlkv_rows *rows)
{
    static char text[4000];
    size_t size = 0;
    text[0] = '\0';
    for (size_t i = 0; i < rows->count; i++) {
        const mlkv_slice *item = &rows->items[i];
        const char *shown = item->data == NULL ? "-" : item->size == 0 ? "''" : item->data;
        int length = item->data == NULL ? 1 : item->size == 0 ? 2 : (int)item->size;
        size += (size_t)snprintf(text + size, sizeof text - size, "%s%.*s", i == 0 ? "" : " ",
                                 length, shown);
        ck_assert_uint_lt(size, sizeof text);
    }
    return text;
}

typedef struct {
    uint32_t flags;
    const char *by, *gets[3];
    int64_t offset, count;
} request;

static mlkv_sort_options options_of(const request *wanted, mlkv_slice gets[3])
{
    mlkv_sort_options options = {.size = sizeof options,
                                 .flags = wanted->flags | (wanted->by != NULL ? BY : 0),
                                 .gets = gets,
                                 .offset = wanted->offset,
                                 .count = wanted->count};
    if (wanted->by != NULL)
        options.by = slice_of_text(wanted->by);
    while (options.gets_count < 3 && wanted->gets[options.gets_count] != NULL) {
        gets[options.gets_count] = slice_of_text(wanted->gets[options.gets_count]);
        options.gets_count++;
    }
    return options;
}

/* The same shown and stored. */
static void expect_differing(mlkv *db, const char *key, const request *wanted, const char *expected,
                             const char *stored)
{
    mlkv_slice gets[3];
    mlkv_rows rows = {0};
    uint64_t count = 77;
    mlkv_sort_options options = options_of(wanted, gets);
    OK(mlkv_sort(db, slice_of_text(key), &options, &rows));
    ck_assert_str_eq(text_of(&rows), expected);
    OK(mlkv_sort_store(db, slice_of_text(key), &options, TEXT("stored"), &count));
    ck_assert_uint_eq(count, rows.count);
    OK(mlkv_list_range(db, TEXT("stored"), 0, -1, &rows));
    ck_assert_str_eq(text_of(&rows), stored);
    mlkv_rows_free(&rows);
}

#define EXPECT(key, expected, ...) \
    expect_differing(db, key, &(request){__VA_ARGS__}, expected, expected)

static void expect_error(mlkv *db, int error, const char *key, const request *wanted)
{
    mlkv_slice gets[3];
    mlkv_rows rows = {0};
    uint64_t count = 77;
    mlkv_sort_options options = options_of(wanted, gets);
    MUST(error, mlkv_sort(db, slice_of_text(key), &options, &rows));
    ck_assert_uint_eq(rows.count, 0);
    MUST(error, mlkv_sort_store(db, slice_of_text(key), &options, TEXT("stored"), &count));
    ck_assert_uint_eq(count, 77);
    mlkv_rows_free(&rows);
}

static mlkv *filled(void)
{
    mlkv *db = memory_store();
    mlkv_scored scored[] = {{TEXT("1"), 5}, {TEXT("3"), 1}, {TEXT("2"), 3}, {TEXT("10"), 3}};
    mlkv_pair field = {TEXT("f"), TEXT("7")};
    push(db, "l", "3 1 10 2 1");
    push(db, "w", "b B a c a");
    add(db, "s", "3 1 10 2");
    OK(mlkv_zset_add(db, TEXT("z"), scored, 4, 0, NULL, NULL));
    set(db, TEXT("w_1"), TEXT("30"));
    set(db, TEXT("w_2"), TEXT("9"));
    set(db, TEXT("w_3"), TEXT("30"));
    OK(mlkv_hash_set(db, TEXT("h_1"), &field, 1, NULL));
    field = (mlkv_pair){TEXT("->"), TEXT("arrow")};
    OK(mlkv_hash_set(db, TEXT("h_2"), &field, 1, NULL));
    return db;
}

START_TEST(orders)
{
    mlkv *db = filled();
    EXPECT("l", "1 1 2 3 10", .flags = 0);
    EXPECT("l", "10 3 2 1 1", .flags = DESC);
    EXPECT("l", "1 1 10 2 3", .flags = ALPHA);
    EXPECT("w", "B a a b c", .flags = ALPHA);
    EXPECT("w", "c b a a B", .flags = ALPHA | DESC);
    EXPECT("s", "1 2 3 10", .flags = 0);
    EXPECT("s", "3 2 10 1", .flags = ALPHA | DESC);
    EXPECT("z", "1 2 3 10", .flags = 0);
    EXPECT("none", "", .flags = 0);
    mlkv_rows rows = {0};
    OK(mlkv_sort(db, TEXT("l"), NULL, &rows));
    ck_assert_str_eq(text_of(&rows), "1 1 2 3 10");
    mlkv_rows_free(&rows);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(limits)
{
    mlkv *db = filled();
    EXPECT("l", "1 2", .flags = LIMIT, .offset = 1, .count = 2);
    EXPECT("l", "1 1 2 3 10", .flags = LIMIT, .offset = -3, .count = -1);
    EXPECT("l", "3 10", .flags = LIMIT, .offset = 3, .count = -9);
    EXPECT("l", "3 10", .flags = LIMIT, .offset = 3, .count = INT64_MAX);
    EXPECT("l", "", .flags = LIMIT, .offset = 1, .count = 0);
    EXPECT("l", "", .flags = LIMIT, .offset = 5, .count = 1);
    EXPECT("l", "", .flags = LIMIT, .offset = INT64_MAX, .count = INT64_MAX);
    EXPECT("l", "1", .flags = LIMIT, .offset = INT64_MIN, .count = 1);
    EXPECT("z", "3 2", .flags = LIMIT | DESC, .offset = 1, .count = 2);
    EXPECT("none", "", .flags = LIMIT, .offset = 0, .count = 1);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(by_other_keys)
{
    mlkv *db = filled();
    EXPECT("l", "10 2 1 1 3", .flags = 0, .by = "w_*"); /* a missing weight is 0; ties by bytes */
    EXPECT("l", "3 1 1 2 10", .flags = DESC, .by = "w_*");
    EXPECT("l", "10 3 1 1 2", .flags = ALPHA,
           .by = "w_*"); /* a missing one is first; ties in order */
    EXPECT("l", "2 3 1 1 10", .flags = ALPHA | DESC, .by = "w_*");
    EXPECT("s", "10 2 3 1", .flags = 0, .by = "h_*->f", .gets = {NULL});
    EXPECT("s", "1 3 2 10", .flags = DESC, .by = "h_*->f");
    EXPECT("s", "10 2", .flags = LIMIT, .by = "w_*", .offset = 0, .count = 2);
    EXPECT("l", "1 1 10 2 3", .flags = 0, .by = "h_*"); /* hashes are no strings */
    OK(mlkv_close(db));
}
END_TEST

START_TEST(nothing_sorted)
{
    mlkv *db = filled();
    EXPECT("l", "3 1 10 2 1", .flags = 0, .by = "nosort");
    EXPECT("l", "1 2 10 1 3", .flags = DESC, .by = "");
    EXPECT("l", "2 10", .flags = DESC | LIMIT, .by = "#", .offset = 1, .count = 2);
    EXPECT("l", "10 2", .flags = LIMIT | ALPHA, .by = "x", .offset = 2, .count = 2);
    EXPECT("z", "3 10 2 1", .flags = 0, .by = "x");
    EXPECT("z", "1 2 10 3", .flags = DESC, .by = "x");
    EXPECT("z", "2 10", .flags = DESC | LIMIT, .by = "x", .offset = 1, .count = 2);
    EXPECT("z", "", .flags = LIMIT, .by = "x", .offset = 9, .count = 2);
    EXPECT("w", "b B a c a", .flags = 0, .by = "x"); /* nobody asks whether they are numbers */
    EXPECT("s", "1 10 2 3", .flags = 0, .by = "x");
    EXPECT("s", "10 2", .flags = LIMIT, .by = "x", .offset = 1, .count = 2);
    expect_differing(db, "s", &(request){.flags = DESC, .by = "x"}, "1 10 2 3", "3 2 10 1");
    OK(mlkv_close(db));
}
END_TEST

START_TEST(what_is_got)
{
    mlkv *db = filled();
    mlkv_slice empty = TEXT("e");
    set(db, TEXT("plain"), TEXT("x"));
    set(db, TEXT("e_1"), TEXT(""));
    set(db, TEXT("h_2->"), TEXT("string"));
    expect_differing(db, "s", &(request){.flags = 0, .gets = {"#", "w_*"}}, "1 30 2 9 3 30 10 -",
                     "1 30 2 9 3 30 10 ''");
    expect_differing(db, "s", &(request){.flags = 0, .gets = {"plain", "e_*"}}, "- '' - - - - - -",
                     "'' '' '' '' '' '' '' ''");
    expect_differing(db, "s",
                     &(request){.flags = LIMIT, .gets = {"h_*->f", "h_*->->", "h_*->"}, .count = 2},
                     "7 - - - arrow string", "7 '' '' '' arrow string");
    expect_differing(db, "s",
                     &(request){.flags = LIMIT, .gets = {"w_*->f", "h_*", "*"}, .count = 1},
                     "- - -", "'' '' ''");
    ck_assert(empty.size == 1);
    OK(mlkv_close(db));
}
END_TEST

typedef struct {
    mlkv_slice text;
    bool itself, constant;
    mlkv_slice before, after, field;
} pattern_row;

/* As Redis takes them apart, zero bytes included. */
START_TEST(patterns_are_taken_apart)
{
    const pattern_row rows[] = {
        {TEXT("#"), true, true, {0}, {0}, {0}},
        {TEXT("#\0x"), true, true, {0}, {0}, {0}},
        {TEXT("##"), false, true, {0}, {0}, {0}},
        {TEXT(""), false, true, {0}, {0}, {0}},
        {TEXT("a\0*"), false, true, {0}, {0}, {0}},
        {TEXT("*"), false, false, TEXT(""), TEXT(""), {0}},
        {TEXT("a*b*c"), false, false, TEXT("a"), TEXT("b*c"), {0}},
        {TEXT("a*b->"), false, false, TEXT("a"), TEXT("b->"), {0}},
        {TEXT("a*b->\0c"), false, false, TEXT("a"), TEXT("b->\0c"), {0}},
        {TEXT("a*b->c"), false, false, TEXT("a"), TEXT("b"), TEXT("c")},
        {TEXT("a*->b->c"), false, false, TEXT("a"), TEXT(""), TEXT("b->c")},
        {TEXT("a*->->"), false, false, TEXT("a"), TEXT(""), TEXT("->")},
        {TEXT("a->*->f\0g"), false, false, TEXT("a->"), TEXT(""), TEXT("f\0g")},
        {TEXT("a*\0->f"), false, false, TEXT("a"), TEXT("\0->f"), {0}},
        {TEXT("*-"), false, false, TEXT(""), TEXT("-"), {0}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        sort_pattern got;
        sort_pattern_read(rows[i].text, &got);
        ck_assert_int_eq(got.itself, rows[i].itself);
        ck_assert_int_eq(got.constant, rows[i].constant);
        ck_assert(slice_equal(got.before, rows[i].before));
        ck_assert(slice_equal(got.after, rows[i].after));
        ck_assert(slice_equal(got.field, rows[i].field));
        ck_assert_int_eq(got.field.data != NULL, rows[i].field.size != 0);
    }
}
END_TEST

/* Redis compares by strcoll, which ends at a zero byte, unless it stores. */
START_TEST(zero_bytes)
{
    mlkv *db = memory_store();
    mlkv_slice values[] = {TEXT("b\0z"), TEXT("b\0a"), TEXT("b"), TEXT("a")};
    static const int shown[] = {3, 0, 1, 2}, stored[] = {3, 2, 1, 0};
    mlkv_sort_options options = {.size = sizeof options, .flags = ALPHA};
    mlkv_rows rows = {0}, kept = {0};
    OK(mlkv_list_push(db, TEXT("l"), MLKV_LIST_RIGHT, values, 4, NULL));
    OK(mlkv_sort(db, TEXT("l"), &options, &rows));
    OK(mlkv_sort_store(db, TEXT("l"), &options, TEXT("l"), NULL));
    OK(mlkv_list_range(db, TEXT("l"), 0, -1, &kept));
    ck_assert_uint_eq(rows.count, 4);
    for (int i = 0; i < 4; i++) {
        ck_assert(slice_equal(rows.items[i], values[shown[i]]));
        ck_assert(slice_equal(kept.items[i], values[stored[i]]));
    }
    mlkv_rows_free(&rows);
    mlkv_rows_free(&kept);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(numbers)
{
    const mlkv_slice good[] = {TEXT("0x10"), TEXT(" 7"), TEXT(""),    TEXT("-inf"), TEXT("1e3"),
                               TEXT("5\0x"), TEXT(".5"), TEXT("inf"), TEXT("+6")};
    const mlkv_slice bad[] = {TEXT("abc"),    TEXT("1 "),    TEXT("nan"),
                              TEXT("1e"),     TEXT("1e400"), TEXT("1e-400"),
                              TEXT("1e-310"), TEXT("1,5"),   TEXT("-")};
    static const int order[] = {3, 2, 6, 5, 8, 1, 0, 4, 7};
    mlkv *db = memory_store();
    mlkv_rows rows = {0};
    OK(mlkv_list_push(db, TEXT("l"), MLKV_LIST_RIGHT, good, 9, NULL));
    OK(mlkv_sort(db, TEXT("l"), NULL, &rows));
    ck_assert_uint_eq(rows.count, 9);
    for (int i = 0; i < 9; i++)
        ck_assert(slice_equal(rows.items[i], good[order[i]]));
    for (int i = 0; i < 9; i++) {
        uint64_t length;
        OK(mlkv_list_push(db, TEXT("bad"), MLKV_LIST_RIGHT, &bad[i], 1, &length));
        expect_error(db, MLKV_E_NUMBER, "bad", &(request){.flags = 0});
        expect_error(db, MLKV_E_NUMBER, "bad", &(request){.flags = LIMIT, .offset = 1, .count = 0});
        OK(mlkv_key_delete(db, &(mlkv_slice){"bad", 3}, 1, NULL));
        set(db, TEXT("w_7"), bad[i]);
        push(db, "seven", "7");
        expect_error(db, MLKV_E_NUMBER, "seven", &(request){.flags = 0, .by = "w_*"});
    }
    static char zeros[6000];
    memset(zeros, '0', sizeof zeros);
    mlkv_slice long_zero = slice_of(zeros, sizeof zeros);
    OK(mlkv_list_push(db, TEXT("l"), MLKV_LIST_RIGHT, &long_zero, 1, NULL));
    OK(mlkv_sort(db, TEXT("l"), NULL, &rows));
    ck_assert_uint_eq(rows.items[2].size, sizeof zeros);
    mlkv_rows_free(&rows);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(misuse_changes_nothing)
{
    mlkv *db = filled(), *snapshot = NULL;
    mlkv_rows rows = {0};
    struct {
        mlkv_sort_options known;
        uint64_t unknown;
    } longer = {.known = {.size = sizeof longer}, .unknown = 1};
    mlkv_sort_options options = {.size = sizeof options, .flags = 16};
    set(db, TEXT("stored"), TEXT("x"));
    uint64_t before = key_count(db);
    expect_error(db, MLKV_E_TYPE, "w_1", &(request){.flags = 0});
    expect_error(db, MLKV_E_TYPE, "h_1", &(request){.flags = 0, .by = "x"});
    expect_error(db, MLKV_E_NUMBER, "w", &(request){.flags = 0});
    expect_error(db, MLKV_E_ARGUMENT, "l", &(request){.flags = 16});
    MUST(MLKV_E_ARGUMENT, mlkv_sort(db, TEXT("l"), &options, &rows));
    MUST(MLKV_E_ARGUMENT, mlkv_sort(db, TEXT("l"), &longer.known, &rows));
    longer.unknown = 0;
    OK(mlkv_sort(db, TEXT("l"), &longer.known, &rows));
    options = (mlkv_sort_options){.size = sizeof options, .gets_count = 1};
    MUST(MLKV_E_ARGUMENT, mlkv_sort(db, TEXT("l"), &options, &rows));
    options = (mlkv_sort_options){.size = sizeof options, .reserved = 1};
    MUST(MLKV_E_ARGUMENT, mlkv_sort(db, TEXT("l"), &options, &rows));
    options = (mlkv_sort_options){.size = sizeof options, .flags = BY, .by = {NULL, 2}};
    MUST(MLKV_E_ARGUMENT, mlkv_sort(db, TEXT("l"), &options, &rows));
    options.size--;
    MUST(MLKV_E_ARGUMENT, mlkv_sort(db, TEXT("l"), &options, &rows));
    MUST(MLKV_E_ARGUMENT, mlkv_sort(db, TEXT("l"), NULL, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_sort(NULL, TEXT("l"), NULL, &rows));
    MUST(MLKV_E_ARGUMENT, mlkv_sort_store(db, TEXT("l"), NULL, slice_of(NULL, 1), NULL));
    OK(mlkv_snapshot(db, &snapshot));
    MUST(MLKV_E_READONLY, mlkv_sort_store(snapshot, TEXT("l"), NULL, TEXT("stored"), NULL));
    OK(mlkv_close(snapshot));
    mlkv_buffer value = {0};
    OK(mlkv_string_get(db, TEXT("stored"), &value));
    IS(TEXT("x"), value);
    ck_assert_uint_eq(key_count(db), before);
    verify_all(db);
    mlkv_buffer_free(&value);
    mlkv_rows_free(&rows);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(destinations)
{
    mlkv *db = filled();
    mlkv_rows rows = {0};
    uint64_t count = 77;
    mlkv_slice get = TEXT("w_*"), key = TEXT("w_1");
    mlkv_sort_options options = {.size = sizeof options, .gets = &get, .gets_count = 1};
    OK(mlkv_key_expire(db, TEXT("z"), 1000000, MLKV_EXPIRE_ALWAYS));
    OK(mlkv_sort_store(db, TEXT("l"), NULL, TEXT("z"), &count)); /* another type, with an expiry */
    int64_t at = 0;
    OK(mlkv_key_expiry(db, TEXT("z"), &at));
    ck_assert_int_eq(at, MLKV_NO_EXPIRY);
    OK(mlkv_sort_store(db, TEXT("s"), &options, key, &count)); /* what a pattern names */
    OK(mlkv_list_range(db, key, 0, -1, &rows));
    ck_assert_str_eq(text_of(&rows), "30 9 30 ''");
    OK(mlkv_sort_store(db, TEXT("l"), NULL, TEXT("l"), &count)); /* itself */
    OK(mlkv_list_range(db, TEXT("l"), 0, -1, &rows));
    ck_assert_str_eq(text_of(&rows), "1 1 2 3 10");
    OK(mlkv_sort_store(db, TEXT("none"), NULL, TEXT("l"), &count));
    ck_assert_uint_eq(count, 0);
    mlkv_type type = MLKV_TYPE_LIST;
    OK(mlkv_key_type(db, TEXT("l"), &type));
    ck_assert_int_eq(type, MLKV_TYPE_NONE);
    OK(mlkv_sort_store(db, TEXT("none"), NULL, TEXT("none"), NULL));
    clean_all(db);
    verify_all(db);
    mlkv_rows_free(&rows);
    OK(mlkv_close(db));
}
END_TEST

/* Stored elements and what they come from are one blob, and it goes with the last of them. */
START_TEST(large_values_are_shared)
{
    enum { SIZE = 300000 };
    static char large[2][SIZE];
    mlkv *db = memory_store();
    mlkv_rows rows = {0};
    mlkv_slice values[2], get = TEXT("v_*"), keys[] = {TEXT("l"), TEXT("m"), TEXT("v_1")};
    mlkv_sort_options alpha = {.size = sizeof alpha, .flags = ALPHA | DESC};
    mlkv_sort_options gets = {.size = sizeof gets, .gets = &get, .gets_count = 1};
    for (unsigned i = 0; i < 2; i++) {
        fill_noise(large[i], SIZE, i);
        large[i][0] = (char)('a' + i);
        values[i] = slice_of(large[i], SIZE);
    }
    OK(mlkv_list_push(db, TEXT("l"), MLKV_LIST_RIGHT, values, 2, NULL));
    size_t references = count_records(db, "R");
    ck_assert_uint_eq(references, 2);
    OK(mlkv_sort_store(db, TEXT("l"), &alpha, TEXT("m"), NULL));
    OK(mlkv_sort_store(db, TEXT("l"), &alpha, TEXT("l"), NULL));
    ck_assert_uint_eq(count_records(db, "R"), references);
    set(db, TEXT("v_1"), values[0]);
    push(db, "k", "1 2");
    OK(mlkv_sort_store(db, TEXT("k"), &gets, TEXT("v_1"), NULL));
    ck_assert_uint_eq(count_records(db, "R"), references + 1);
    clean_all(db);
    OK(mlkv_list_range(db, TEXT("l"), 0, -1, &rows));
    ck_assert(slice_equal(rows.items[0], values[1]) && slice_equal(rows.items[1], values[0]));
    OK(mlkv_list_range(db, TEXT("v_1"), 0, -1, &rows));
    ck_assert(rows.count == 2 && slice_equal(rows.items[0], values[0]) && rows.items[1].size == 0);
    OK(mlkv_sort(db, TEXT("l"), &alpha, &rows));
    ck_assert(slice_equal(rows.items[0], values[1]));
    verify_all(db);
    OK(mlkv_key_delete(db, keys, 3, NULL));
    clean_all(db);
    OK(mlkv_flush(db, MLKV_STORE));
    ck_assert_uint_eq(count_records(db, "R"), 0);
    verify_all(db);
    mlkv_rows_free(&rows);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(views)
{
    mlkv *db = filled(), *snapshot = NULL, *tx = NULL;
    mlkv_rows rows = {0};
    mlkv_slice get = TEXT("w_*");
    mlkv_sort_options options = {.size = sizeof options, .gets = &get, .gets_count = 1};
    OK(mlkv_snapshot(db, &snapshot));
    OK(mlkv_begin(db, &tx));
    push(tx, "l", "0");
    set(tx, TEXT("w_10"), TEXT("new"));
    OK(mlkv_sort_store(tx, TEXT("l"), &options, TEXT("stored"), NULL));
    OK(mlkv_list_range(tx, TEXT("stored"), 0, -1, &rows));
    ck_assert_str_eq(text_of(&rows), "'' 30 30 9 30 new");
    OK(mlkv_sort(tx, TEXT("stored"), &(mlkv_sort_options){.size = sizeof options, .flags = ALPHA},
                 &rows));
    ck_assert_str_eq(text_of(&rows), "'' 30 30 30 9 new");
    OK(mlkv_commit(tx));
    OK(mlkv_sort(snapshot, TEXT("l"), &options, &rows));
    ck_assert_str_eq(text_of(&rows), "30 30 9 30 -");
    OK(mlkv_sort(db, TEXT("l"), &options, &rows));
    ck_assert_str_eq(text_of(&rows), "- 30 30 9 30 new");
    mlkv_rows_free(&rows);
    OK(mlkv_close(snapshot));
    OK(mlkv_close(db));
}
END_TEST

START_TEST(names_that_no_key_can_have)
{
    enum { HALF = 9 << 20 };
    mlkv *db = memory_store();
    mlkv_rows rows = {0};
    char *half = calloc(1, HALF + 1);
    ck_assert_ptr_nonnull(half);
    memset(half, 'x', HALF);
    mlkv_slice name = slice_of(half, HALF);
    OK(mlkv_set_add(db, TEXT("s"), &name, 1, NULL));
    half[HALF] = '*';
    mlkv_slice get = slice_of(half, HALF + 1);
    mlkv_sort_options options = {
        .size = sizeof options, .flags = BY, .by = get, .gets = &get, .gets_count = 1};
    OK(mlkv_sort(db, TEXT("s"), &options, &rows));
    ck_assert(rows.count == 1 && rows.items[0].data == NULL);
    mlkv_rows_free(&rows);
    free(half);
    OK(mlkv_close(db));
}
END_TEST

/* So many that ranks are asked of a tree. */
START_TEST(ranges_of_a_large_sorted_set)
{
    enum { N = 2000 };
    mlkv *db = memory_store();
    for (int i = 0; i < N; i++) {
        char text[16];
        mlkv_slice member = slice_of(text, (size_t)snprintf(text, sizeof text, "m%d", i));
        OK(mlkv_zset_add(db, TEXT("z"), &(mlkv_scored){member, i}, 1, 0, NULL, NULL));
    }
    EXPECT("z", "m1000 m1001 m1002", .flags = LIMIT, .by = "x", .offset = 1000, .count = 3);
    EXPECT("z", "m999 m998", .flags = LIMIT | DESC, .by = "x", .offset = 1000, .count = 2);
    EXPECT("z", "m1999", .flags = LIMIT, .by = "x", .offset = N - 1, .count = -1);
    EXPECT("z", "m0", .flags = LIMIT | DESC, .by = "x", .offset = N - 1, .count = 5);
    OK(mlkv_close(db));
}
END_TEST

/* --- against a plain sorting --- */

static int compare_numbers(const void *a, const void *b)
{
    return (*(const int *)a > *(const int *)b) - (*(const int *)a < *(const int *)b);
}

static void compare_once(mlkv *db, int key, const int *sorted, int n, uint64_t *state)
{
    static const char *const keys[] = {"l", "s", "z"};
    mlkv_rows rows = {0};
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    unsigned dice = (unsigned)(*state >> 40);
    mlkv_sort_options options = {.size = sizeof options,
                                 .flags = LIMIT | (dice & 1),
                                 .offset = (int)(dice >> 1) % (n + 5),
                                 .count = (int)(dice >> 12) % (n + 5)};
    OK(mlkv_sort(db, slice_of_text(keys[key]), &options, &rows));
    int first = (int)options.offset < n ? (int)options.offset : n;
    int count = (int)options.count < n - first ? (int)options.count : n - first;
    ck_assert_int_eq((int)rows.count, count);
    for (int i = 0; i < count; i++) {
        int at = (dice & 1) != 0 ? n - 1 - first - i : first + i;
        char text[16];
        snprintf(text, sizeof text, "%d", sorted[at]);
        ck_assert(slice_equal(rows.items[i], slice_of_text(text)));
    }
    mlkv_rows_free(&rows);
}

START_TEST(random_numbers)
{
    enum { N = 1500 };
    uint64_t state = 7;
    int all[N], distinct[N], n = 0;
    mlkv *db = memory_store();
    for (int i = 0; i < N; i++) {
        char text[16];
        state = state * 6364136223846793005u + 1442695040888963407u;
        all[i] = (int)(state >> 33) % 1000 - 500;
        mlkv_slice value = slice_of(text, (size_t)snprintf(text, sizeof text, "%d", all[i]));
        OK(mlkv_list_push(db, TEXT("l"), MLKV_LIST_LEFT, &value, 1, NULL));
        OK(mlkv_set_add(db, TEXT("s"), &value, 1, NULL));
        OK(mlkv_zset_add(db, TEXT("z"), &(mlkv_scored){value, i % 7}, 1, 0, NULL, NULL));
    }
    qsort(all, N, sizeof all[0], compare_numbers);
    for (int i = 0; i < N; i++)
        if (i == 0 || all[i] != all[i - 1])
            distinct[n++] = all[i];
    for (unsigned i = 0; i < harness_rounds(200); i++) {
        compare_once(db, 0, all, N, &state);
        compare_once(db, 1, distinct, n, &state);
        compare_once(db, 2, distinct, n, &state);
    }
    OK(mlkv_close(db));
}
END_TEST

/* --- one moment --- */

typedef struct {
    mlkv *db;
    atomic_bool stop;
} changing;

/* Element and its value always say the same. */
static void *change(void *context)
{
    changing *self = context;
    for (int i = 0; !atomic_load(&self->stop); i++) {
        mlkv *tx = NULL;
        char text[16];
        mlkv_slice value = slice_of(text, (size_t)snprintf(text, sizeof text, "%d", i));
        CHILD_MUST(mlkv_begin(self->db, &tx) == 0);
        CHILD_MUST(mlkv_list_set(tx, TEXT("l"), 0, value) == 0);
        CHILD_MUST(mlkv_string_set(tx, TEXT("v_x"), value, MLKV_SET_ALWAYS) == 0);
        CHILD_MUST(mlkv_list_set(tx, TEXT("l"), 1, TEXT("x")) == 0);
        CHILD_MUST(mlkv_commit(tx) == 0);
    }
    return NULL;
}

START_TEST(all_is_of_one_moment)
{
    changing self = {.db = memory_store()};
    pthread_t thread;
    mlkv_rows rows = {0};
    mlkv_slice gets[] = {TEXT("#"), TEXT("v_*")};
    mlkv_sort_options options = {
        .size = sizeof options, .flags = BY, .by = TEXT("x"), .gets = gets, .gets_count = 2};
    push(self.db, "l", "0 x");
    set(self.db, TEXT("v_x"), TEXT("0"));
    ck_assert_int_eq(pthread_create(&thread, NULL, change, &self), 0);
    for (unsigned i = 0; i < harness_rounds(2000); i++) {
        OK(mlkv_sort(self.db, TEXT("l"), &options, &rows));
        ck_assert_uint_eq(rows.count, 4);
        if (!slice_equal(rows.items[0], rows.items[3]))
            ck_abort_msg("two moments");
        if (i % 50 == 0)
            OK(mlkv_sort_store(self.db, TEXT("l"), &options, TEXT("stored"), NULL));
    }
    atomic_store(&self.stop, true);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    mlkv_rows_free(&rows);
    OK(mlkv_close(self.db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("types/sort");
    TCase *tcase = harness_case(suite, "sort");
    tcase_add_test(tcase, orders);
    tcase_add_test(tcase, limits);
    tcase_add_test(tcase, by_other_keys);
    tcase_add_test(tcase, nothing_sorted);
    tcase_add_test(tcase, what_is_got);
    tcase_add_test(tcase, patterns_are_taken_apart);
    tcase_add_test(tcase, zero_bytes);
    tcase_add_test(tcase, numbers);
    tcase_add_test(tcase, misuse_changes_nothing);
    tcase_add_test(tcase, destinations);
    tcase_add_test(tcase, large_values_are_shared);
    tcase_add_test(tcase, views);
    tcase_add_test(tcase, names_that_no_key_can_have);
    tcase_add_test(tcase, ranges_of_a_large_sorted_set);
    tcase_add_test(tcase, random_numbers);
    tcase_add_test(tcase, all_is_of_one_moment);
    return harness_run(suite);
}
