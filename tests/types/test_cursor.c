/* test_cursor.c - cursors over keys, fields and members: order, prefixes, tokens, one moment, hostile queries. */
#include "types/stores.h"

static mlkv_cursor *open_cursor(mlkv *view, mlkv_scan_kind kind, mlkv_slice key, mlkv_slice prefix,
                                mlkv_slice token)
{
    mlkv_query query = {
        .size = sizeof query, .kind = (int32_t)kind, .key = key, .prefix = prefix, .token = token};
    mlkv_cursor *cursor = NULL;
    OK(mlkv_cursor_open(view, &query, &cursor));
    return cursor;
}

static size_t count_names(mlkv *view, mlkv_scan_kind kind, mlkv_slice key, mlkv_slice prefix)
{
    mlkv_cursor *cursor = open_cursor(view, kind, key, prefix, slice_of(NULL, 0));
    mlkv_slice name, value;
    size_t count = 0;
    int result;
    while ((result = mlkv_cursor_next(cursor, &name, &value)) == MLKV_OK) {
        ck_assert(slice_starts_with(name, prefix));
        count++;
    }
    ck_assert_int_eq(result, MLKV_ABSENT);
    MUST(MLKV_ABSENT, mlkv_cursor_next(cursor, &name, &value));
    mlkv_cursor_close(cursor);
    return count;
}

static void make_keys(mlkv *db)
{
    mlkv_slice names[] = {TEXT("apple"), TEXT("b"), TEXT("ba"), TEXT("banana"),
                          TEXT("bz"),    TEXT("c"), {NULL, 0}};
    mlkv_pair pair = {TEXT("f"), TEXT("v")};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        OK(mlkv_string_set(db, names[i], TEXT("v"), MLKV_SET_ALWAYS));
    OK(mlkv_hash_set(db, TEXT("bh"), &pair, 1, NULL));
    OK(mlkv_set_add(db, TEXT("bs"), &pair.name, 1, NULL));
}

START_TEST(keys_in_order_with_their_types)
{
    mlkv *db = memory_store();
    static const char *const expected[][2] = {
        {"", "string"},   {"apple", "string"},  {"b", "string"},
        {"ba", "string"}, {"banana", "string"}, {"bh", "hash"},
        {"bs", "set"},    {"bz", "string"},     {"c", "string"}};
    mlkv_slice name, value, none = {NULL, 0};
    make_keys(db);
    mlkv_cursor *cursor = open_cursor(db, MLKV_SCAN_KEYS, none, none, none);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        OK(mlkv_cursor_next(cursor, &name, &value));
        ck_assert(slice_equal(name, slice_of_text(expected[i][0])));
        ck_assert(slice_equal(value, slice_of_text(expected[i][1])));
    }
    MUST(MLKV_ABSENT, mlkv_cursor_next(cursor, &name, NULL));
    mlkv_cursor_close(cursor);
    ck_assert_uint_eq(count_names(db, MLKV_SCAN_KEYS, none, TEXT("b")), 6);
    ck_assert_uint_eq(count_names(db, MLKV_SCAN_KEYS, none, TEXT("ba")), 2);
    ck_assert_uint_eq(count_names(db, MLKV_SCAN_KEYS, none, TEXT("bananas")), 0);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(fields_and_members)
{
    mlkv *db = memory_store();
    enum { LARGE = 300000 };
    static char noise[LARGE], even[5000];
    fill_noise(noise, LARGE, 1);
    mlkv_pair pairs[] = {{TEXT("a"), slice_of(noise, LARGE)},
                         {TEXT("b"), slice_of(even, sizeof even)},
                         {TEXT("c"), TEXT("small")},
                         {{NULL, 0}, {NULL, 0}}};
    mlkv_slice members[] = {TEXT("y"), TEXT("x"), {NULL, 0}}, name, value, none = {NULL, 0};
    OK(mlkv_hash_set(db, TEXT("h"), pairs, 4, NULL));
    OK(mlkv_set_add(db, TEXT("s"), members, 3, NULL));
    mlkv_cursor *cursor = open_cursor(db, MLKV_SCAN_HASH, TEXT("h"), none, none);
    for (int i = 0; i < 4; i++) {
        OK(mlkv_cursor_next(cursor, &name, &value));
        ck_assert(slice_equal(name, pairs[(i + 3) % 4].name));
        ck_assert(slice_equal(value, pairs[(i + 3) % 4].value));
    }
    MUST(MLKV_ABSENT, mlkv_cursor_next(cursor, &name, &value));
    mlkv_cursor_close(cursor);
    cursor = open_cursor(db, MLKV_SCAN_SET, TEXT("s"), none, none);
    for (int i = 0; i < 3; i++) {
        OK(mlkv_cursor_next(cursor, &name, &value));
        ck_assert(slice_equal(name, members[2 - i]));
        ck_assert_uint_eq(value.size, 0);
    }
    mlkv_cursor_close(cursor);
    ck_assert_uint_eq(count_names(db, MLKV_SCAN_SET, TEXT("missing"), none), 0);
    mlkv_query query = {.size = sizeof query, .kind = MLKV_SCAN_SET, .key = TEXT("h")};
    cursor = NULL;
    MUST(MLKV_E_TYPE, mlkv_cursor_open(db, &query, &cursor));
    ck_assert_ptr_null(cursor);
    OK(mlkv_close(db));
}
END_TEST

/* In the list's order; a token goes on after a place, whatever was pushed and popped meanwhile. */
START_TEST(elements_of_a_list)
{
    mlkv *db = memory_store();
    enum { LARGE = 300000, COUNT = 300 };
    static char noise[LARGE], even[5000], texts[COUNT][16];
    mlkv_slice list = TEXT("l"), name, value, none = {NULL, 0}, large[] = {TEXT(""), TEXT("")};
    mlkv_buffer token = {0};
    fill_noise(noise, LARGE, 1);
    for (int i = 0; i < COUNT; i++) {
        mlkv_slice text = slice_of(texts[i], (size_t)snprintf(texts[i], 16, "%d", i));
        OK(mlkv_list_push(db, list, MLKV_LIST_RIGHT, &text, 1, NULL));
    }
    large[0] = slice_of(noise, LARGE);
    large[1] = slice_of(even, sizeof even);
    OK(mlkv_list_push(db, list, MLKV_LIST_LEFT, large, 2, NULL));
    mlkv_cursor *cursor = open_cursor(db, MLKV_SCAN_LIST, list, none, none);
    for (int i = 0; i < COUNT + 2; i++) {
        OK(mlkv_cursor_next(cursor, &name, &value));
        ck_assert(slice_equal(name, i < 2 ? large[1 - i] : slice_of_text(texts[i - 2])));
        ck_assert_uint_eq(value.size, 0);
        if (i == 101)
            OK(mlkv_cursor_token(cursor, &token));
    }
    MUST(MLKV_ABSENT, mlkv_cursor_next(cursor, &name, NULL));
    mlkv_cursor_close(cursor);
    ck_assert_uint_eq(count_names(db, MLKV_SCAN_LIST, list, TEXT("29")), 11);
    ck_assert_uint_eq(count_names(db, MLKV_SCAN_LIST, TEXT("missing"), none), 0);
    OK(mlkv_list_trim(db, list, 1, -1));
    OK(mlkv_list_push(db, list, MLKV_LIST_LEFT, &list, 1, NULL));
    cursor = open_cursor(db, MLKV_SCAN_LIST, list, none, slice_of_buffer(&token));
    OK(mlkv_cursor_next(cursor, &name, &value));
    ck_assert(slice_equal(name, TEXT("100")));
    mlkv_cursor_close(cursor);
    OK(mlkv_set_add(db, TEXT("s"), &list, 1, NULL));
    mlkv_query query = {.size = sizeof query, .kind = MLKV_SCAN_LIST, .key = TEXT("s")};
    MUST(MLKV_E_TYPE, mlkv_cursor_open(db, &query, &cursor));
    query.token = slice_of("\1\3short", 7);
    MUST(MLKV_E_ARGUMENT, mlkv_cursor_open(db, &query, &cursor));
    mlkv_buffer_free(&token);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(long_names_and_prefixes)
{
    mlkv *db = memory_store();
    mlkv_slice none = {NULL, 0};
    static char prefix[3000];
    for (unsigned i = 0; i < 20; i++) {
        mlkv_pair pair = {long_name(3000, i), TEXT("v")};
        OK(mlkv_hash_set(db, TEXT("h"), &pair, 1, NULL));
        OK(mlkv_string_set(db, pair.name, TEXT("v"), MLKV_SET_ALWAYS));
    }
    OK(mlkv_string_set(db, long_name(400, 1), TEXT("v"), MLKV_SET_ALWAYS));
    memset(prefix, 'n', sizeof prefix);
    static const size_t sizes[] = {1, 300, 486, 487, 494, 495, 510, 600, 2996};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        ck_assert_uint_eq(count_names(db, MLKV_SCAN_HASH, TEXT("h"), slice_of(prefix, sizes[i])),
                          20);
        ck_assert_uint_eq(count_names(db, MLKV_SCAN_KEYS, none, slice_of(prefix, sizes[i])),
                          sizes[i] <= 396 ? 21 : 20);
    }
    ck_assert_uint_eq(count_names(db, MLKV_SCAN_KEYS, none, slice_of(prefix, 2997)), 0);
    ck_assert_uint_eq(count_names(db, MLKV_SCAN_KEYS, none, long_name(3000, 7)), 1);
    OK(mlkv_close(db));
}
END_TEST

/* A walk that is cut after every name and taken up again from its token sees everything once. */
static void walk_by_tokens(mlkv *view, mlkv_scan_kind kind, mlkv_slice key, mlkv_slice prefix,
                           size_t expected)
{
    mlkv_buffer token = {0}, again = {0};
    mlkv_slice name;
    size_t count = 0;
    for (;;) {
        mlkv_cursor *cursor = open_cursor(view, kind, key, prefix, slice_of_buffer(&token));
        OK(mlkv_cursor_token(cursor, &again));
        ck_assert(slice_equal(slice_of_buffer(&again), slice_of_buffer(&token)));
        int result = mlkv_cursor_next(cursor, &name, NULL);
        OK(mlkv_cursor_token(cursor, &token));
        mlkv_cursor_close(cursor);
        if (result == MLKV_ABSENT)
            break;
        OK(result);
        count++;
        ck_assert_uint_gt(token.size, 1);
        mlkv_query query = {.size = sizeof query,
                            .kind = ((int)kind + 1) % 3,
                            .key = key,
                            .token = slice_of_buffer(&token)};
        MUST(MLKV_E_ARGUMENT, mlkv_cursor_open(view, &query, &cursor));
    }
    ck_assert_uint_eq(count, expected);
    mlkv_buffer_free(&token);
    mlkv_buffer_free(&again);
}

START_TEST(resuming_from_tokens)
{
    const char *folder = harness_folder();
    mlkv *db = folder_store(folder);
    mlkv_slice none = {NULL, 0}, first;
    make_keys(db);
    for (unsigned i = 0; i < 10; i++) {
        mlkv_slice member = long_name(i < 5 ? 5 : 5000, i);
        mlkv_pair pair = {member, TEXT("v")};
        OK(mlkv_set_add(db, TEXT("s"), &member, 1, NULL));
        OK(mlkv_hash_set(db, TEXT("h"), &pair, 1, NULL));
    }
    OK(mlkv_set_add(db, TEXT("s"), &none, 1, NULL));
    walk_by_tokens(db, MLKV_SCAN_KEYS, none, none, 11);
    walk_by_tokens(db, MLKV_SCAN_KEYS, none, TEXT("b"), 6);
    walk_by_tokens(db, MLKV_SCAN_SET, TEXT("s"), none, 11);
    walk_by_tokens(db, MLKV_SCAN_HASH, TEXT("h"), none, 10);
    /* it works on another life of the key, and after reopening */
    mlkv_buffer token = {0};
    mlkv_slice key = TEXT("s"), members[] = {TEXT("a"), TEXT("b"), TEXT("c")};
    OK(mlkv_key_delete(db, &key, 1, NULL));
    OK(mlkv_set_add(db, key, members, 2, NULL));
    mlkv_cursor *cursor = open_cursor(db, MLKV_SCAN_SET, key, none, none);
    OK(mlkv_cursor_token(cursor, &token));
    ck_assert_uint_eq(token.size, 0);
    OK(mlkv_cursor_next(cursor, &first, NULL));
    OK(mlkv_cursor_token(cursor, &token));
    mlkv_cursor_close(cursor);
    OK(mlkv_key_delete(db, &key, 1, NULL));
    OK(mlkv_close(db));
    db = folder_store(folder);
    OK(mlkv_set_add(db, key, members, 3, NULL));
    cursor = open_cursor(db, MLKV_SCAN_SET, key, none, slice_of_buffer(&token));
    OK(mlkv_cursor_next(cursor, &first, NULL));
    ck_assert(slice_equal(first, TEXT("b")));
    mlkv_cursor_close(cursor);
    mlkv_buffer_free(&token);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

START_TEST(a_cursor_sees_one_moment)
{
    mlkv *db = memory_store(), *tx = NULL, *snapshot = NULL;
    mlkv_slice none = {NULL, 0}, name, key = TEXT("h");
    char text[16];
    for (int i = 0; i < 100; i++) {
        snprintf(text, sizeof text, "f%03d", i);
        mlkv_pair pair = {slice_of_text(text), TEXT("v")};
        OK(mlkv_hash_set(db, key, &pair, 1, NULL));
    }
    mlkv_cursor *cursor = open_cursor(db, MLKV_SCAN_HASH, key, none, none);
    OK(mlkv_cursor_next(cursor, &name, NULL));
    mlkv_pair late = {TEXT("late"), TEXT("v")};
    OK(mlkv_hash_set(db, key, &late, 1, NULL));
    OK(mlkv_snapshot(db, &snapshot));
    OK(mlkv_key_delete(db, &key, 1, NULL));
    clean_all(db);
    for (int i = 1; i < 100; i++)
        OK(mlkv_cursor_next(cursor, &name, NULL));
    MUST(MLKV_ABSENT, mlkv_cursor_next(cursor, &name, NULL));
    mlkv_cursor_close(cursor);
    ck_assert_uint_eq(count_names(snapshot, MLKV_SCAN_HASH, key, none), 101);
    ck_assert_uint_eq(count_names(snapshot, MLKV_SCAN_KEYS, none, none), 1);
    ck_assert_uint_eq(count_names(db, MLKV_SCAN_HASH, key, none), 0);
    OK(mlkv_close(snapshot));
    OK(mlkv_begin(db, &tx));
    OK(mlkv_hash_set(tx, key, &late, 1, NULL));
    ck_assert_uint_eq(count_names(tx, MLKV_SCAN_HASH, key, none), 1);
    ck_assert_uint_eq(count_names(tx, MLKV_SCAN_KEYS, none, none), 1);
    ck_assert_uint_eq(count_names(db, MLKV_SCAN_KEYS, none, none), 0);
    OK(mlkv_abort(tx));
    OK(mlkv_close(db));
}
END_TEST

START_TEST(hostile_queries)
{
    mlkv *db = memory_store();
    struct {
        mlkv_query query;
        char more[64];
    } newer = {.query = {.size = sizeof newer}};
    mlkv_query good = {.size = sizeof good}, query;
    mlkv_cursor *cursor = NULL;
    mlkv_slice name;
    mlkv_buffer token = {0};
    static char bytes[600] = {1, 0};
    make_keys(db);
    MUST(MLKV_E_ARGUMENT, mlkv_cursor_open(NULL, &good, &cursor));
    MUST(MLKV_E_ARGUMENT, mlkv_cursor_open(db, NULL, &cursor));
    MUST(MLKV_E_ARGUMENT, mlkv_cursor_open(db, &good, NULL));
    query = good, query.size = 0;
    MUST(MLKV_E_ARGUMENT, mlkv_cursor_open(db, &query, &cursor));
    query = good, query.size = SIZE_MAX;
    MUST(MLKV_E_ARGUMENT, mlkv_cursor_open(db, &query, &cursor));
    query = good, query.kind = 99;
    MUST(MLKV_E_ARGUMENT, mlkv_cursor_open(db, &query, &cursor));
    query = good, query.kind = -1;
    MUST(MLKV_E_ARGUMENT, mlkv_cursor_open(db, &query, &cursor));
    query = good, query.reserved = 1;
    MUST(MLKV_E_ARGUMENT, mlkv_cursor_open(db, &query, &cursor));
    query = good, query.prefix.size = 1;
    MUST(MLKV_E_ARGUMENT, mlkv_cursor_open(db, &query, &cursor));
    query = good, query.kind = MLKV_SCAN_HASH, query.key.size = 1;
    MUST(MLKV_E_ARGUMENT, mlkv_cursor_open(db, &query, &cursor));
    const mlkv_slice tokens[] = {{NULL, 5},     TEXT("\1"),    TEXT("\0\0k"), TEXT("\2\0k"),
                                 TEXT("\1\1k"), TEXT("\1\3k"), {bytes, 513},  {bytes, 600}};
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        query = good, query.token = tokens[i];
        MUST(MLKV_E_ARGUMENT, mlkv_cursor_open(db, &query, &cursor));
    }
    OK(mlkv_cursor_open(db, &newer.query, &cursor));
    mlkv_cursor_close(cursor);
    newer.more[40] = 1;
    cursor = NULL;
    MUST(MLKV_E_ARGUMENT, mlkv_cursor_open(db, &newer.query, &cursor));
    ck_assert_ptr_null(cursor);
    MUST(MLKV_E_ARGUMENT, mlkv_cursor_next(NULL, &name, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_cursor_token(NULL, &token));
    query = good, query.token = slice_of(bytes, 512); /* as long as a token can be */
    OK(mlkv_cursor_open(db, &query, &cursor));
    MUST(MLKV_E_ARGUMENT, mlkv_cursor_next(cursor, NULL, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_cursor_token(cursor, NULL));
    mlkv_cursor_close(cursor);
    mlkv_cursor_close(NULL);
    OK(mlkv_close(db));
}
END_TEST

/* A cursor keeps what it walks over alive. */
START_TEST(a_cursor_outlives_its_handle)
{
    const char *folder = harness_folder();
    mlkv *db = folder_store(folder);
    mlkv_slice none = {NULL, 0}, name;
    make_keys(db);
    mlkv_cursor *cursor = open_cursor(db, MLKV_SCAN_KEYS, none, none, none);
    OK(mlkv_cursor_next(cursor, &name, NULL));
    OK(mlkv_close(db));
    for (int i = 1; i < 9; i++)
        OK(mlkv_cursor_next(cursor, &name, NULL));
    MUST(MLKV_ABSENT, mlkv_cursor_next(cursor, &name, NULL));
    mlkv_cursor_close(cursor);
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cursor");
    TCase *tcase = harness_case(suite, "cursor");
    tcase_add_test(tcase, keys_in_order_with_their_types);
    tcase_add_test(tcase, fields_and_members);
    tcase_add_test(tcase, elements_of_a_list);
    tcase_add_test(tcase, long_names_and_prefixes);
    tcase_add_test(tcase, resuming_from_tokens);
    tcase_add_test(tcase, a_cursor_sees_one_moment);
    tcase_add_test(tcase, hostile_queries);
    tcase_add_test(tcase, a_cursor_outlives_its_handle);
    return harness_run(suite);
}
