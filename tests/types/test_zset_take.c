/* test_zset_take.c - members taken from the ends of sorted sets, and members by chance. */
#include "types/zsets.h"

static void pops(mlkv *view, const char *key, uint64_t n, int highest, const char *expected)
{
    mlkv_rows rows = {0};
    mlkv_buffer scores = {0};
    OK(mlkv_zset_pop(view, slice_of_text(key), n, highest, &rows, &scores));
    ck_assert_str_eq(zset_text(&rows, &scores), expected);
    mlkv_rows_free(&rows);
    mlkv_buffer_free(&scores);
}

START_TEST(pop)
{
    mlkv *db = memory_store();
    pops(db, "z", 5, 0, "");
    for (int i = 0; i < 10; i++)
        zadd(db, "z", (char[2]){(char)('a' + i), 0}, i);
    pops(db, "z", 0, 0, "");
    pops(db, "z", 2, 0, "a=0 b=1");
    pops(db, "z", 3, 1, "j=9 i=8 h=7");
    mlkv_rows rows = {0};
    OK(mlkv_zset_pop(db, TEXT("z"), 1, 0, &rows, NULL));
    ck_assert_str_eq(zset_text(&rows, NULL), "c");
    zset_all_is(db, "z", "d=3 e=4 f=5 g=6");
    verify_all(db);
    pops(db, "z", UINT64_MAX, 1, "g=6 f=5 e=4 d=3");
    ck_assert(!key_exists(db, "z"));
    ck_assert_uint_eq(count_records(db, "E") + count_records(db, "O") + count_records(db, "G"), 0);
    MUST(MLKV_E_ARGUMENT, mlkv_zset_pop(db, TEXT("z"), 1, 0, NULL, NULL));
    mlkv_rows_free(&rows);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(pop_first)
{
    mlkv *db = memory_store(), *tx = NULL;
    mlkv_slice keys[] = {TEXT("no"), TEXT("x"), TEXT("y"), TEXT("text")};
    mlkv_rows rows = {0};
    mlkv_buffer scores = {0};
    size_t index = 77;
    MUST(MLKV_ABSENT, mlkv_zset_pop_first(db, keys, 4, 1, 0, &index, &rows, &scores));
    ck_assert_uint_eq(index, 77);
    zadd(db, "y", "a", 1);
    zadd(db, "y", "b", 2);
    OK(mlkv_string_set(db, TEXT("text"), TEXT("v"), MLKV_SET_ALWAYS));
    OK(mlkv_zset_pop_first(db, keys, 4, 1, 1, &index, &rows, &scores));
    ck_assert_uint_eq(index, 2);
    ck_assert_str_eq(zset_text(&rows, &scores), "b=2");
    OK(mlkv_begin(db, &tx));
    OK(mlkv_zset_pop_first(tx, keys, 4, 5, 0, NULL, &rows, NULL));
    ck_assert_str_eq(zset_text(&rows, NULL), "a");
    MUST(MLKV_E_TYPE, mlkv_zset_pop_first(tx, keys, 4, 5, 0, &index, &rows, NULL));
    OK(mlkv_abort(tx));
    zset_all_is(db, "y", "a=1");
    MUST(MLKV_E_ARGUMENT, mlkv_zset_pop_first(db, keys, 4, 0, 0, &index, &rows, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_zset_pop_first(db, NULL, 4, 1, 0, &index, &rows, NULL));
    MUST(MLKV_ABSENT, mlkv_zset_pop_first(db, NULL, 0, 1, 0, &index, &rows, NULL));
    mlkv_rows_free(&rows);
    mlkv_buffer_free(&scores);
    OK(mlkv_close(db));
}
END_TEST

enum { COUNT = 40 };

static mlkv *numbered_store(void)
{
    mlkv *db = memory_store();
    for (int i = 0; i < COUNT; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", i);
        zadd(db, "z", name, i / 4);
    }
    return db;
}

static int number_of(mlkv_slice member)
{
    char text[8] = {0};
    ck_assert_uint_lt(member.size, sizeof text);
    memcpy(text, member.data, member.size);
    return atoi(text);
}

START_TEST(random_members)
{
    mlkv *db = numbered_store();
    static const size_t sizes[] = {0, 1, 3, 19, 20, 39, COUNT, COUNT + 1, 100000};
    mlkv_rows rows = {0};
    mlkv_buffer scores = {0};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        bool seen[COUNT] = {false};
        OK(mlkv_zset_random(db, TEXT("z"), sizes[i], 1, &rows, &scores));
        ck_assert_uint_eq(rows.count, sizes[i] < COUNT ? sizes[i] : COUNT);
        ck_assert_uint_eq(scores.size, rows.count * sizeof(double));
        for (size_t j = 0; j < rows.count; j++) {
            int number = number_of(rows.items[j]);
            ck_assert(!seen[number]);
            seen[number] = true;
            ck_assert(((const double *)scores.data)[j] == number / 4);
        }
    }
    OK(mlkv_zset_random(db, TEXT("z"), 1000, 0, &rows, &scores));
    ck_assert_uint_eq(rows.count, 1000);
    for (size_t j = 0; j < rows.count; j++)
        ck_assert(((const double *)scores.data)[j] == number_of(rows.items[j]) / 4);
    OK(mlkv_zset_random(db, TEXT("missing"), 1000, 0, &rows, NULL));
    ck_assert_uint_eq(rows.count, 0);
    MUST(MLKV_E_ARGUMENT, mlkv_zset_random(db, TEXT("z"), 1, 0, NULL, NULL));
    mlkv_rows_free(&rows);
    mlkv_buffer_free(&scores);
    OK(mlkv_close(db));
}
END_TEST

/* 40,000 draws from 40 members, with repetition, and the first of 2,000 distinct pairs: with 39 degrees of freedom chi squared exceeds
 * 110 once in 10^8 runs. */
START_TEST(random_members_are_uniform)
{
    mlkv *db = numbered_store();
    enum { DRAWS = 40000, PAIRS = 2000 };
    mlkv_rows rows = {0};
    double counts[2][COUNT] = {{0}}, sums[2] = {0};
    OK(mlkv_zset_random(db, TEXT("z"), DRAWS, 0, &rows, NULL));
    for (size_t i = 0; i < rows.count; i++)
        counts[0][number_of(rows.items[i])]++;
    for (int i = 0; i < PAIRS; i++) {
        OK(mlkv_zset_random(db, TEXT("z"), 2, 1, &rows, NULL));
        counts[1][number_of(rows.items[0])]++;
    }
    for (int i = 0; i < COUNT; i++) {
        sums[0] +=
            (counts[0][i] - DRAWS / COUNT) * (counts[0][i] - DRAWS / COUNT) / (DRAWS / COUNT);
        sums[1] +=
            (counts[1][i] - PAIRS / COUNT) * (counts[1][i] - PAIRS / COUNT) / (PAIRS / COUNT);
    }
    ck_assert_double_lt(sums[0], 110);
    ck_assert_double_lt(sums[1], 110);
    mlkv_rows_free(&rows);
    OK(mlkv_close(db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("zset_take");
    TCase *tcase = harness_case(suite, "zset_take");
    tcase_add_test(tcase, pop);
    tcase_add_test(tcase, pop_first);
    tcase_add_test(tcase, random_members);
    tcase_add_test(tcase, random_members_are_uniform);
    return harness_run(suite);
}
