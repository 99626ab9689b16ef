/* test_zset.c - members and their scores: adding with conditions, removing, asking; records; hostile arguments. */
#include "types/zsets.h"

START_TEST(add_score_remove)
{
    mlkv *db = memory_store();
    mlkv_slice none = {NULL, 0}, names[] = {TEXT("a"), none, TEXT("missing"), TEXT("b")};
    mlkv_scored pairs[] = {{TEXT("b"), 2.5}, {TEXT("a"), 1}, {none, -INFINITY}, {TEXT("a"), 3}};
    size_t added = 77, changed = 77, removed = 77;
    double scores[4], score = 77;
    uint64_t count = 77;
    OK(mlkv_zset_count(db, TEXT("z"), &count));
    ck_assert_uint_eq(count, 0);
    MUST(MLKV_ABSENT, mlkv_zset_score(db, TEXT("z"), TEXT("a"), &score));
    ck_assert(score == 77);
    OK(mlkv_zset_add(db, TEXT("z"), pairs, 0, 0, &added, &changed));
    ck_assert(added == 0 && changed == 0 && key_count(db) == 0);
    OK(mlkv_zset_add(db, TEXT("z"), pairs, 4, 0, &added, &changed));
    ck_assert(added == 3 && changed == 4);
    OK(mlkv_zset_add(db, TEXT("z"), pairs, 3, 0, &added, &changed));
    ck_assert(added == 0 && changed == 1);
    OK(mlkv_zset_count(db, TEXT("z"), &count));
    ck_assert_uint_eq(count, 3);
    OK(mlkv_zset_scores(db, TEXT("z"), names, 4, scores));
    ck_assert(scores[0] == 1 && scores[1] == -INFINITY && isnan(scores[2]) && scores[3] == 2.5);
    OK(mlkv_zset_scores(db, TEXT("missing"), names, 4, scores));
    ck_assert(isnan(scores[0]) && isnan(scores[3]));
    OK(mlkv_zset_score(db, TEXT("z"), TEXT("b"), &score));
    ck_assert(score == 2.5);
    zset_all_is(db, "z", "=-inf a=1 b=2.5");
    ck_assert_uint_eq(count_records(db, "E"), 3);
    ck_assert_uint_eq(count_records(db, "O"), 3);
    verify_all(db);
    OK(mlkv_zset_remove(db, TEXT("z"), names, 3, &removed));
    ck_assert_uint_eq(removed, 2);
    OK(mlkv_zset_remove(db, TEXT("z"), names, 4, &removed));
    ck_assert_uint_eq(removed, 1);
    OK(mlkv_zset_remove(db, TEXT("z"), names, 4, &removed));
    ck_assert_uint_eq(removed, 0);
    ck_assert(!key_exists(db, "z"));
    ck_assert_uint_eq(count_records(db, "E") + count_records(db, "O") + count_records(db, "G"), 0);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

/* What one add of one pair says. */
static void add_says(mlkv *db, const char *member, double score, uint32_t conditions, size_t added,
                     size_t changed)
{
    mlkv_scored pair = {slice_of_text(member), score};
    size_t got_added = 77, got_changed = 77;
    OK(mlkv_zset_add(db, TEXT("z"), &pair, 1, conditions, &got_added, &got_changed));
    ck_assert_uint_eq(got_added, added);
    ck_assert_uint_eq(got_changed, changed);
}

START_TEST(conditions)
{
    mlkv *db = memory_store();
    add_says(db, "a", 1, MLKV_ZSET_PRESENT, 0, 0);
    ck_assert(!key_exists(db, "z"));
    add_says(db, "a", 1, MLKV_ZSET_NEW, 1, 1);
    add_says(db, "a", 2, MLKV_ZSET_NEW, 0, 0);
    zset_all_is(db, "z", "a=1");
    add_says(db, "a", 2, MLKV_ZSET_PRESENT, 0, 1);
    add_says(db, "b", 2, MLKV_ZSET_PRESENT, 0, 0);
    zset_all_is(db, "z", "a=2");
    add_says(db, "a", 1, MLKV_ZSET_GREATER, 0, 0);
    add_says(db, "a", 2, MLKV_ZSET_GREATER, 0, 0);
    add_says(db, "a", 5, MLKV_ZSET_GREATER, 0, 1);
    add_says(db, "a", 6, MLKV_ZSET_LESS, 0, 0);
    add_says(db, "a", 4, MLKV_ZSET_LESS | MLKV_ZSET_PRESENT, 0, 1);
    add_says(db, "b", 9, MLKV_ZSET_LESS, 1, 1);
    add_says(db, "c", 9, MLKV_ZSET_GREATER | MLKV_ZSET_PRESENT, 0, 0);
    zset_all_is(db, "z", "a=4 b=9");
    mlkv_scored pair = {TEXT("a"), 1};
    for (uint32_t bad = 0; bad < 64; bad++) {
        bool both = (bad & 12) == 12, more = (bad & 1) != 0 && bad != 1;
        if (both || more || bad > 15)
            MUST(MLKV_E_ARGUMENT, mlkv_zset_add(db, TEXT("z"), &pair, 1, bad, NULL, NULL));
    }
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(add_to_score)
{
    mlkv *db = memory_store();
    double score = 77;
    MUST(MLKV_ABSENT, mlkv_zset_add_score(db, TEXT("z"), TEXT("a"), 2, MLKV_ZSET_PRESENT, &score));
    ck_assert(score == 77 && !key_exists(db, "z"));
    OK(mlkv_zset_add_score(db, TEXT("z"), TEXT("a"), 2.5, 0, &score));
    ck_assert(score == 2.5);
    OK(mlkv_zset_add_score(db, TEXT("z"), TEXT("a"), -2.5, 0, &score));
    ck_assert(score == 0 && !signbit(score));
    OK(mlkv_zset_add_score(db, TEXT("z"), TEXT("a"), 0, 0, &score));
    MUST(MLKV_ABSENT, mlkv_zset_add_score(db, TEXT("z"), TEXT("a"), 1, MLKV_ZSET_NEW, &score));
    MUST(MLKV_ABSENT, mlkv_zset_add_score(db, TEXT("z"), TEXT("a"), -1, MLKV_ZSET_GREATER, &score));
    MUST(MLKV_ABSENT, mlkv_zset_add_score(db, TEXT("z"), TEXT("a"), 0, MLKV_ZSET_LESS, &score));
    OK(mlkv_zset_add_score(db, TEXT("z"), TEXT("a"), 1, MLKV_ZSET_GREATER, &score));
    OK(mlkv_zset_add_score(db, TEXT("z"), TEXT("b"), INFINITY, MLKV_ZSET_NEW, NULL));
    MUST(MLKV_E_NUMBER, mlkv_zset_add_score(db, TEXT("z"), TEXT("b"), -INFINITY, 0, &score));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "resulting score is not a number (NaN)"));
    MUST(MLKV_E_NUMBER, mlkv_zset_add_score(db, TEXT("z"), TEXT("a"), NAN, 0, &score));
    zset_all_is(db, "z", "a=1 b=inf");
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(minus_zero_and_extremes)
{
    mlkv *db = memory_store();
    double score, tiny = nextafter(0, 1), huge = 1.7976931348623157e308;
    zadd(db, "z", "minus", -0.0);
    OK(mlkv_zset_score(db, TEXT("z"), TEXT("minus"), &score));
    ck_assert(score == 0 && !signbit(score));
    zadd(db, "z", "minus", 0.0);
    zadd(db, "z", "zero", 0.0);
    zadd(db, "z", "tiny", tiny);
    zadd(db, "z", "tinier", -tiny);
    zadd(db, "z", "huge", huge);
    zadd(db, "z", "top", INFINITY);
    zadd(db, "z", "deep", -huge);
    zadd(db, "z", "bottom", -INFINITY);
    mlkv_rows rows = {0};
    mlkv_zset_range_spec all = {.size = sizeof all, .stop = -1};
    OK(mlkv_zset_range(db, TEXT("z"), &all, &rows, NULL));
    ck_assert_str_eq(zset_text(&rows, NULL), "bottom deep tinier minus zero tiny huge top");
    mlkv_rows_free(&rows);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(other_types_and_lives)
{
    mlkv *db = memory_store();
    mlkv_slice key = TEXT("z"), name = TEXT("a");
    mlkv_type type;
    zadd(db, "z", "a", 1);
    OK(mlkv_key_type(db, key, &type));
    ck_assert_int_eq(type, MLKV_TYPE_ZSET);
    MUST(MLKV_E_TYPE, mlkv_set_add(db, key, &name, 1, NULL));
    OK(mlkv_key_delete(db, &key, 1, NULL));
    zset_all_is(db, "z", "");
    clean_all(db);
    ck_assert_uint_eq(count_records(db, "E") + count_records(db, "O"), 0);
    OK(mlkv_set_add(db, key, &name, 1, NULL));
    mlkv_scored pair = {name, 1};
    mlkv_rows rows = {0};
    uint64_t number;
    double score;
    mlkv_zset_range_spec all = {.size = sizeof all, .stop = -1};
    MUST(MLKV_E_TYPE, mlkv_zset_add(db, key, &pair, 1, 0, NULL, NULL));
    MUST(MLKV_E_TYPE, mlkv_zset_add(db, key, &pair, 0, 0, NULL, NULL));
    MUST(MLKV_E_TYPE, mlkv_zset_add_score(db, key, name, 1, 0, NULL));
    MUST(MLKV_E_TYPE, mlkv_zset_remove(db, key, &name, 1, NULL));
    MUST(MLKV_E_TYPE, mlkv_zset_score(db, key, name, &score));
    MUST(MLKV_E_TYPE, mlkv_zset_scores(db, key, &name, 1, &score));
    MUST(MLKV_E_TYPE, mlkv_zset_count(db, key, &number));
    MUST(MLKV_E_TYPE, mlkv_zset_rank(db, key, name, 0, &number, NULL));
    MUST(MLKV_E_TYPE, mlkv_zset_range(db, key, &all, &rows, NULL));
    MUST(MLKV_E_TYPE, mlkv_zset_range_count(db, key, &all, &number));
    MUST(MLKV_E_TYPE, mlkv_zset_range_remove(db, key, &all, NULL));
    MUST(MLKV_E_TYPE, mlkv_zset_range_store(db, TEXT("d"), key, &all, NULL));
    MUST(MLKV_E_TYPE, mlkv_zset_pop(db, key, 1, 0, &rows, NULL));
    MUST(MLKV_E_TYPE, mlkv_zset_pop_first(db, &key, 1, 1, 0, NULL, &rows, NULL));
    MUST(MLKV_E_TYPE, mlkv_zset_random(db, key, 1, 1, &rows, NULL));
    ck_assert_uint_eq(rows.count, 0);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(hostile_arguments)
{
    mlkv *db = memory_store();
    mlkv_slice bad = {NULL, 1};
    mlkv_scored pairs[] = {{TEXT("a"), 1}, {bad, 1}}, nan_pair = {TEXT("a"), NAN};
    double scores[2] = {7, 7};
    uint64_t count = 77;
    MUST(MLKV_E_ARGUMENT, mlkv_zset_add(db, TEXT("z"), pairs, 2, 0, NULL, NULL));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "members[1]"));
    MUST(MLKV_E_ARGUMENT, mlkv_zset_add(db, TEXT("z"), NULL, 2, 0, NULL, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_zset_add(NULL, TEXT("z"), pairs, 1, 0, NULL, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_zset_add(db, bad, pairs, 1, 0, NULL, NULL));
    MUST(MLKV_E_NUMBER, mlkv_zset_add(db, TEXT("z"), &nan_pair, 1, 0, NULL, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_zset_add_score(db, TEXT("z"), bad, 1, 0, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_zset_remove(db, TEXT("z"), &bad, 1, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_zset_scores(db, TEXT("z"), &bad, 1, scores));
    MUST(MLKV_E_ARGUMENT, mlkv_zset_scores(db, TEXT("z"), &pairs[0].member, 1, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_zset_score(db, TEXT("z"), TEXT("a"), NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_zset_count(db, TEXT("z"), NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_zset_count(NULL, TEXT("z"), &count));
    OK(mlkv_zset_scores(db, TEXT("z"), NULL, 0, NULL));
    ck_assert(key_count(db) == 0 && scores[0] == 7 && count == 77);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(many_questions)
{
    mlkv *db = memory_store();
    enum { COUNT = 1000 };
    static char names[COUNT][16];
    static mlkv_scored pairs[COUNT];
    static mlkv_slice members[COUNT];
    static double scores[COUNT];
    for (int i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "%d", i);
        members[i] = slice_of_text(names[i]);
        pairs[i] = (mlkv_scored){members[i], i * 0.5};
    }
    OK(mlkv_zset_add(db, TEXT("z"), pairs, COUNT / 2, 0, NULL, NULL));
    OK(mlkv_zset_scores(db, TEXT("z"), members, COUNT, scores));
    for (int i = 0; i < COUNT; i++)
        ck_assert(i < COUNT / 2 ? scores[i] == i * 0.5 : isnan(scores[i]));
    OK(mlkv_close(db));
}
END_TEST

START_TEST(cursor)
{
    mlkv *db = memory_store(), *snapshot = NULL;
    mlkv_cursor *walk = NULL;
    mlkv_slice name, value;
    zadd(db, "z", "b", 1);
    zadd(db, "z", "a", 3.1);
    zadd(db, "z", "ab", -INFINITY);
    OK(mlkv_snapshot(db, &snapshot));
    zadd(db, "z", "later", 1);
    mlkv_query query = {.size = sizeof query,
                        .kind = MLKV_SCAN_ZSET,
                        .key = slice_of("z", 1),
                        .prefix = slice_of("a", 1)};
    OK(mlkv_cursor_open(snapshot, &query, &walk));
    OK(mlkv_cursor_next(walk, &name, &value));
    ck_assert(slice_equal(name, TEXT("a")) && slice_equal(value, TEXT("3.1000000000000001")));
    OK(mlkv_cursor_next(walk, &name, &value));
    ck_assert(slice_equal(name, TEXT("ab")) && slice_equal(value, TEXT("-inf")));
    MUST(MLKV_ABSENT, mlkv_cursor_next(walk, &name, &value));
    mlkv_cursor_close(walk);
    OK(mlkv_close(snapshot));
    OK(mlkv_close(db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("zset");
    TCase *tcase = harness_case(suite, "zset");
    tcase_add_test(tcase, add_score_remove);
    tcase_add_test(tcase, conditions);
    tcase_add_test(tcase, add_to_score);
    tcase_add_test(tcase, minus_zero_and_extremes);
    tcase_add_test(tcase, other_types_and_lives);
    tcase_add_test(tcase, hostile_arguments);
    tcase_add_test(tcase, many_questions);
    tcase_add_test(tcase, cursor);
    return harness_run(suite);
}
