/* test_list.c - lists, call by call: both ends, indexes, ranges, edits in the middle, moves. Redis's answers, case by case.
 * (test_list_long.c has large elements, long lists and damage; test_list_model.c compares random sequences with an oracle.) */
#include "types/lists.h"

START_TEST(push_and_pop)
{
    mlkv *db = memory_store();
    mlkv_slice abc[] = {TEXT("a"), TEXT("b"), TEXT("c")}, key = TEXT("l");
    mlkv_buffer value = {0};
    uint64_t length = 77;
    OK(mlkv_list_push(db, key, LEFT, abc, 0, &length));
    ck_assert_uint_eq(length, 0);
    ck_assert_uint_eq(key_count(db), 0);
    length = 77;
    MUST(MLKV_ABSENT, mlkv_list_push_if_present(db, key, LEFT, abc, 3, &length));
    MUST(MLKV_ABSENT, mlkv_list_push_if_present(db, key, LEFT, abc, 0, &length));
    ck_assert_uint_eq(length, 77);
    OK(mlkv_list_push(db, key, LEFT, abc, 3, &length));
    ck_assert_uint_eq(length, 3);
    check(db, "cba");
    OK(mlkv_list_push(db, key, RIGHT, abc, 2, &length));
    ck_assert_uint_eq(length, 5);
    OK(mlkv_list_push_if_present(db, key, RIGHT, abc + 2, 1, &length));
    OK(mlkv_list_push_if_present(db, key, LEFT, abc + 2, 1, NULL));
    ck_assert_uint_eq(length, 6);
    check(db, "ccbaabc");
    OK(mlkv_list_push(db, key, LEFT, NULL, 0, &length));
    ck_assert_uint_eq(length, 7);
    OK(mlkv_list_pop(db, key, LEFT, &value));
    IS(TEXT("c"), value);
    OK(mlkv_list_pop(db, key, RIGHT, &value));
    IS(TEXT("c"), value);
    check(db, "cbaab");
    for (int i = 0; i < 5; i++)
        OK(mlkv_list_pop(db, key, i % 2 ? LEFT : RIGHT, &value));
    IS(TEXT("a"), value);
    MUST(MLKV_ABSENT, mlkv_list_pop(db, key, LEFT, &value));
    IS(TEXT("a"), value);
    ck_assert_uint_eq(left_over(db), 0);
    ck_assert_uint_eq(key_count(db), 0);
    mlkv_buffer_free(&value);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(pop_many)
{
    mlkv *db = memory_store();
    mlkv_slice key = TEXT("l"), keys[] = {TEXT("none"), TEXT("l"), TEXT("m"), TEXT("text")};
    mlkv_rows rows = {0};
    size_t which = 77;
    MUST(MLKV_ABSENT, mlkv_list_pop_many(db, key, LEFT, 0, &rows));
    MUST(MLKV_ABSENT, mlkv_list_pop_many(db, key, LEFT, 3, &rows));
    make(db, "abcdef");
    OK(mlkv_list_pop_many(db, key, LEFT, 0, &rows));
    ck_assert_uint_eq(rows.count, 0);
    OK(mlkv_list_pop_many(db, key, LEFT, 2, &rows));
    ck_assert_str_eq(joined(&rows), "ab");
    OK(mlkv_list_pop_many(db, key, RIGHT, 3, &rows));
    ck_assert_str_eq(joined(&rows), "fed");
    check(db, "c");
    OK(mlkv_list_pop_many(db, key, RIGHT, UINT64_MAX, &rows));
    ck_assert_str_eq(joined(&rows), "c");
    ck_assert_uint_eq(left_over(db), 0);
    MUST(MLKV_ABSENT, mlkv_list_pop_first(db, keys, 3, LEFT, 1, &which, &rows));
    MUST(MLKV_ABSENT, mlkv_list_pop_first(db, keys, 0, LEFT, 1, &which, &rows));
    ck_assert_uint_eq(which, 77);
    ck_assert_uint_eq(rows.count, 0);
    OK(mlkv_string_set(db, TEXT("text"), TEXT("x"), MLKV_SET_ALWAYS));
    MUST(MLKV_E_TYPE, mlkv_list_pop_first(db, keys, 4, LEFT, 1, &which, &rows));
    push_letters(db, TEXT("m"), "xyz");
    OK(mlkv_list_pop_first(db, keys, 4, RIGHT, 2, &which, &rows));
    ck_assert_uint_eq(which, 2);
    ck_assert_str_eq(joined(&rows), "zy");
    OK(mlkv_list_pop_first(db, keys, 4, LEFT, 2, NULL, &rows));
    ck_assert_str_eq(joined(&rows), "x");
    MUST(MLKV_E_ARGUMENT, mlkv_list_pop_first(db, keys, 4, LEFT, 0, &which, &rows));
    mlkv_rows_free(&rows);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(one_element)
{
    static const struct {
        int64_t index;
        char letter;
    } cases[] = {{0, 'a'},  {3, 'd'}, {4, 0},         {-1, 'd'},
                 {-4, 'a'}, {-5, 0},  {INT64_MIN, 0}, {INT64_MAX, 0}};
    mlkv *db = memory_store();
    mlkv_slice key = TEXT("l");
    mlkv_buffer value = {0};
    MUST(MLKV_ABSENT, mlkv_list_get(db, key, 0, &value));
    MUST(MLKV_ABSENT, mlkv_list_set(db, key, 0, TEXT("x")));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make(db, "abcd");
        int want = cases[i].letter ? MLKV_OK : MLKV_ABSENT;
        MUST(want, mlkv_list_get(db, key, cases[i].index, &value));
        if (want == MLKV_OK)
            IS(slice_of(&cases[i].letter, 1), value);
        MUST(want == MLKV_OK ? MLKV_OK : MLKV_E_RANGE,
             mlkv_list_set(db, key, cases[i].index, TEXT("x")));
        if (want == MLKV_OK) {
            OK(mlkv_list_get(db, key, cases[i].index, &value));
            IS(TEXT("x"), value);
        } else {
            check(db, "abcd");
        }
    }
    OK(mlkv_list_set(db, key, 2, slice_of(NULL, 0)));
    OK(mlkv_list_get(db, key, 2, &value));
    ck_assert_uint_eq(value.size, 0);
    mlkv_buffer_free(&value);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(ranges_and_trims)
{
    static const char letters[] = "abcdef";
    mlkv *db = memory_store();
    mlkv_slice key = TEXT("l");
    mlkv_rows rows = {0};
    OK(mlkv_list_range(db, key, 0, -1, &rows));
    ck_assert_uint_eq(rows.count, 0);
    OK(mlkv_list_trim(db, key, 0, -1));
    for (int64_t start = -8; start <= 8; start++) {
        for (int64_t stop = -8; stop <= 8; stop++) {
            int64_t first = start < 0 ? start + 6 : start, last = stop < 0 ? stop + 6 : stop;
            first = first < 0 ? 0 : first;
            last = last > 5 ? 5 : last;
            char want[7] = {0};
            if (first <= last)
                memcpy(want, letters + first, (size_t)(last - first + 1));
            make(db, letters);
            OK(mlkv_list_range(db, key, start, stop, &rows));
            ck_assert_str_eq(joined(&rows), want);
            OK(mlkv_list_trim(db, key, start, stop));
            check(db, want);
        }
    }
    OK(mlkv_key_delete(db, &key, 1, NULL));
    clean_all(db);
    ck_assert_uint_eq(left_over(db), 0);
    mlkv_rows_free(&rows);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(removals)
{
    static const struct {
        const char *before;
        int64_t count;
        const char *after;
        uint64_t removed;
    } cases[] = {
        {"abcabcabc", 0, "bcbcbc", 3},
        {"abcabcabc", 1, "bcabcabc", 1},
        {"abcabcabc", 2, "bcbcabc", 2},
        {"abcabcabc", -1, "abcabcbc", 1},
        {"abcabcabc", -2, "abcbcbc", 2},
        {"abcabcabc", 9, "bcbcbc", 3},
        {"abcabcabc", -9, "bcbcbc", 3},
        {"bcdefa", 0, "bcdef", 1},
        {"abcdef", 0, "bcdef", 1},
        {"aaaa", 0, "", 4},
        {"aaaa", 3, "a", 3},
        {"baaab", 0, "bb", 3},
        {"bc", 0, "bc", 0},
        {"a", -1, "", 1},
        {"xaxaxaxax", INT64_MIN, "xxxxx", 4},
        {"xaxaxaxax", INT64_MAX, "xxxxx", 4},
        {"xyzaxyzwwwwwaq", 0, "xyzxyzwwwwwq", 2},
    };
    mlkv *db = memory_store();
    uint64_t removed = 77;
    OK(mlkv_list_remove(db, TEXT("l"), 0, TEXT("a"), &removed));
    ck_assert_uint_eq(removed, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make(db, cases[i].before);
        OK(mlkv_list_remove(db, TEXT("l"), cases[i].count, TEXT("a"), &removed));
        ck_assert_uint_eq(removed, cases[i].removed);
        check(db, cases[i].after);
        verify_all(db);
    }
    OK(mlkv_list_remove(db, TEXT("l"), 0, TEXT("nothing"), NULL));
    OK(mlkv_close(db));
}
END_TEST

START_TEST(insertions)
{
    static const struct {
        const char *before;
        mlkv_list_side side;
        const char *pivot;
        const char *after;
    } cases[] = {
        {"abcde", MLKV_LIST_BEFORE, "a", "xabcde"}, {"abcde", MLKV_LIST_AFTER, "a", "axbcde"},
        {"abcde", MLKV_LIST_BEFORE, "e", "abcdxe"}, {"abcde", MLKV_LIST_AFTER, "e", "abcdex"},
        {"abcde", MLKV_LIST_BEFORE, "c", "abxcde"}, {"abcde", MLKV_LIST_AFTER, "c", "abcxde"},
        {"abab", MLKV_LIST_AFTER, "b", "abxab"},    {"a", MLKV_LIST_BEFORE, "a", "xa"},
    };
    mlkv *db = memory_store();
    mlkv_slice key = TEXT("l");
    int64_t length = 77;
    MUST(MLKV_ABSENT, mlkv_list_insert(db, key, MLKV_LIST_BEFORE, TEXT("a"), TEXT("x"), &length));
    ck_assert_int_eq(length, 0);
    ck_assert_uint_eq(key_count(db), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make(db, cases[i].before);
        OK(mlkv_list_insert(db, key, cases[i].side, slice_of_text(cases[i].pivot), TEXT("x"),
                            &length));
        ck_assert_int_eq(length, (int64_t)strlen(cases[i].after));
        check(db, cases[i].after);
        MUST(MLKV_ABSENT, mlkv_list_insert(db, key, cases[i].side, TEXT("q"), TEXT("x"), &length));
        ck_assert_int_eq(length, -1);
        check(db, cases[i].after);
    }
    OK(mlkv_list_insert(db, key, MLKV_LIST_AFTER, TEXT("a"), TEXT("y"), NULL));
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(searches)
{
    static const struct {
        int64_t rank;
        uint64_t count, compared_max;
        const char *indexes; /* digits */
    } cases[] = {
        {1, 1, 0, "2"},
        {2, 1, 0, "6"},
        {4, 1, 0, ""},
        {-1, 1, 0, "7"},
        {-3, 1, 0, "2"},
        {-4, 1, 0, ""},
        {1, 0, 0, "267"},
        {1, 2, 0, "26"},
        {2, 0, 0, "67"},
        {-1, 0, 0, "762"},
        {-1, 2, 0, "76"},
        {-2, 2, 0, "62"},
        {1, 0, 6, "2"},
        {1, 0, 7, "26"},
        {1, 0, 2, ""},
        {-1, 0, 1, "7"},
        {-1, 0, 5, "76"},
        {-1, 0, 6, "762"},
        {-2, 0, 2, "6"},
        {INT64_MAX, 0, 0, ""},
        {2, UINT64_MAX, 0, "67"},
        {-INT64_MAX, 1, 0, ""},
        {1, 0, UINT64_MAX, "267"},
    };
    mlkv *db = memory_store();
    mlkv_slice key = TEXT("l");
    mlkv_buffer found = {0};
    uint64_t index = 77;
    MUST(MLKV_ABSENT, mlkv_list_find(db, key, TEXT("c"), 1, 0, &index));
    OK(mlkv_list_find_many(db, key, TEXT("c"), 1, 0, 0, &found));
    ck_assert_uint_eq(found.size, 0);
    make(db, "abc123cc");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n = strlen(cases[i].indexes);
        OK(mlkv_list_find_many(db, key, TEXT("c"), cases[i].rank, cases[i].count,
                               cases[i].compared_max, &found));
        ck_assert_uint_eq(found.size, n * sizeof index);
        for (size_t j = 0; j < n; j++)
            ck_assert_uint_eq(((uint64_t *)found.data)[j], (uint64_t)(cases[i].indexes[j] - '0'));
        MUST(n == 0 ? MLKV_ABSENT : MLKV_OK,
             mlkv_list_find(db, key, TEXT("c"), cases[i].rank, cases[i].compared_max, &index));
        if (n != 0)
            ck_assert_uint_eq(index, (uint64_t)(cases[i].indexes[0] - '0'));
    }
    index = 77;
    MUST(MLKV_E_ARGUMENT, mlkv_list_find(db, key, TEXT("c"), 0, 0, &index));
    MUST(MLKV_E_ARGUMENT, mlkv_list_find_many(db, key, TEXT("c"), INT64_MIN, 0, 0, &found));
    ck_assert_uint_eq(index, 77);
    ck_assert_uint_eq(found.size, 3 * sizeof index);
    mlkv_buffer_free(&found);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(moves)
{
    mlkv *db = memory_store();
    mlkv_slice l = TEXT("l"), m = TEXT("m");
    mlkv_buffer value = {0};
    MUST(MLKV_ABSENT, mlkv_list_move(db, l, m, LEFT, RIGHT, &value));
    ck_assert_uint_eq(key_count(db), 0);
    make(db, "abcd");
    OK(mlkv_list_move(db, l, m, RIGHT, LEFT, &value));
    IS(TEXT("d"), value);
    OK(mlkv_list_move(db, l, m, LEFT, LEFT, &value));
    OK(mlkv_list_move(db, l, m, LEFT, RIGHT, NULL));
    check(db, "c");
    check_list(db, m, "adb");
    OK(mlkv_list_move(db, l, m, RIGHT, RIGHT, &value));
    IS(TEXT("c"), value);
    check(db, "");
    check_list(db, m, "adbc");
    OK(mlkv_list_move(db, m, m, LEFT, RIGHT, &value));
    IS(TEXT("a"), value);
    check_list(db, m, "dbca");
    OK(mlkv_list_move(db, m, m, RIGHT, LEFT, &value));
    check_list(db, m, "adbc");
    OK(mlkv_list_move(db, m, m, RIGHT, RIGHT, &value));
    IS(TEXT("c"), value);
    OK(mlkv_list_move(db, m, m, LEFT, LEFT, NULL));
    check_list(db, m, "adbc");
    make(db, "x");
    OK(mlkv_list_move(db, l, l, RIGHT, LEFT, &value));
    IS(TEXT("x"), value);
    check(db, "x");
    OK(mlkv_string_set(db, TEXT("text"), TEXT("x"), MLKV_SET_ALWAYS));
    MUST(MLKV_ABSENT, mlkv_list_move(db, TEXT("none"), TEXT("text"), LEFT, LEFT, &value));
    MUST(MLKV_E_TYPE, mlkv_list_move(db, l, TEXT("text"), LEFT, LEFT, &value));
    MUST(MLKV_E_TYPE, mlkv_list_move(db, TEXT("text"), l, LEFT, LEFT, &value));
    IS(TEXT("x"), value);
    check(db, "x");
    verify_all(db);
    mlkv_buffer_free(&value);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(refusals)
{
    mlkv *db = memory_store(), *snapshot = NULL;
    mlkv_slice l = TEXT("l"), text = TEXT("text"), bad = {NULL, 3}, x = TEXT("x");
    mlkv_buffer value = {0};
    mlkv_rows rows = {0};
    uint64_t n = 77;
    int64_t m = 77;
    OK(mlkv_string_set(db, text, x, MLKV_SET_ALWAYS));
    make(db, "ab");
    OK(mlkv_snapshot(db, &snapshot));
    for (mlkv *view = db;; view = snapshot) {
        int writing = view == db ? MLKV_E_TYPE : MLKV_E_READONLY;
        MUST(writing, mlkv_list_push(view, text, LEFT, &x, 1, &n));
        MUST(writing, mlkv_list_push(view, text, LEFT, &x, 0, &n));
        MUST(writing, mlkv_list_push_if_present(view, text, LEFT, &x, 1, &n));
        MUST(writing, mlkv_list_pop(view, text, LEFT, &value));
        MUST(writing, mlkv_list_pop_many(view, text, LEFT, 1, &rows));
        MUST(writing, mlkv_list_pop_many(view, text, LEFT, 0, &rows));
        MUST(writing, mlkv_list_set(view, text, 0, x));
        MUST(writing, mlkv_list_trim(view, text, 0, 1));
        MUST(writing, mlkv_list_remove(view, text, 0, x, &n));
        MUST(writing, mlkv_list_insert(view, text, MLKV_LIST_AFTER, x, x, &m));
        MUST(MLKV_E_TYPE, mlkv_list_length(view, text, &n));
        MUST(MLKV_E_TYPE, mlkv_list_get(view, text, 0, &value));
        MUST(MLKV_E_TYPE, mlkv_list_range(view, text, 0, -1, &rows));
        MUST(MLKV_E_TYPE, mlkv_list_find(view, text, x, 1, 0, &n));
        MUST(MLKV_E_TYPE, mlkv_list_find_many(view, text, x, 1, 0, 0, &value));
        if (view == snapshot)
            break;
    }
    OK(mlkv_close(snapshot));
    MUST(MLKV_E_ARGUMENT, mlkv_list_push(NULL, l, LEFT, &x, 1, &n));
    MUST(MLKV_E_ARGUMENT, mlkv_list_push(db, bad, LEFT, &x, 1, &n));
    MUST(MLKV_E_ARGUMENT, mlkv_list_push(db, l, LEFT, &bad, 1, &n));
    MUST(MLKV_E_ARGUMENT, mlkv_list_push(db, l, LEFT, NULL, 1, &n));
    MUST(MLKV_E_ARGUMENT, mlkv_list_push(db, l, (mlkv_list_end)2, &x, 1, &n));
    MUST(MLKV_E_ARGUMENT, mlkv_list_push_if_present(db, l, (mlkv_list_end)-1, &x, 1, &n));
    MUST(MLKV_E_ARGUMENT, mlkv_list_pop(db, l, (mlkv_list_end)2, &value));
    MUST(MLKV_E_ARGUMENT, mlkv_list_pop(db, l, LEFT, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_list_pop_many(db, l, LEFT, 1, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_list_pop_many(db, l, (mlkv_list_end)7, 1, &rows));
    MUST(MLKV_E_ARGUMENT, mlkv_list_pop_first(db, NULL, 1, LEFT, 1, NULL, &rows));
    MUST(MLKV_E_ARGUMENT, mlkv_list_move(db, l, bad, LEFT, LEFT, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_list_move(db, bad, l, LEFT, LEFT, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_list_move(db, l, l, LEFT, (mlkv_list_end)2, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_list_move(db, l, l, (mlkv_list_end)2, LEFT, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_list_length(db, l, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_list_get(db, l, 0, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_list_range(db, l, 0, 0, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_list_find(db, l, x, 1, 0, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_list_find(db, l, bad, 1, 0, &n));
    MUST(MLKV_E_ARGUMENT, mlkv_list_find_many(db, l, x, 1, 0, 0, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_list_set(db, l, 0, bad));
    MUST(MLKV_E_ARGUMENT, mlkv_list_remove(db, l, 0, bad, &n));
    MUST(MLKV_E_ARGUMENT, mlkv_list_insert(db, l, (mlkv_list_side)2, x, x, &m));
    MUST(MLKV_E_ARGUMENT, mlkv_list_insert(db, l, MLKV_LIST_AFTER, bad, x, &m));
    MUST(MLKV_E_ARGUMENT, mlkv_list_insert(db, l, MLKV_LIST_AFTER, x, bad, &m));
    ck_assert_uint_eq(n, 77);
    ck_assert_int_eq(m, 77);
    ck_assert_uint_eq(value.size + rows.count, 0);
    check(db, "ab");
    mlkv_rows_free(&rows);
    OK(mlkv_close(db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("list");
    TCase *tcase = harness_case(suite, "list");
    tcase_add_test(tcase, push_and_pop);
    tcase_add_test(tcase, pop_many);
    tcase_add_test(tcase, one_element);
    tcase_add_test(tcase, ranges_and_trims);
    tcase_add_test(tcase, removals);
    tcase_add_test(tcase, insertions);
    tcase_add_test(tcase, searches);
    tcase_add_test(tcase, moves);
    tcase_add_test(tcase, refusals);
    return harness_run(suite);
}
