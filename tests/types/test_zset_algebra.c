/* test_zset_algebra.c - unions, intersections and differences of sorted sets and sets, with weights, aggregates and destinations. */
#include "types/zsets.h"

static mlkv *two_sets(void)
{
    mlkv *db = memory_store();
    mlkv_slice members[] = {TEXT("b"), TEXT("s")};
    zadd(db, "x", "a", 1);
    zadd(db, "x", "b", 2);
    zadd(db, "x", "c", 3);
    zadd(db, "y", "b", 10);
    zadd(db, "y", "c", -1);
    zadd(db, "y", "d", 4);
    zadd(db, "y", "e", 0);
    OK(mlkv_set_add(db, TEXT("s"), members, 2, NULL));
    OK(mlkv_string_set(db, TEXT("text"), TEXT("v"), MLKV_SET_ALWAYS));
    return db;
}

enum { UNION, INTERSECTION, DIFFERENCE };

/* The result of an operation on "x y" (a key a letter), read and stored; weights may be NULL. */
static void result_is(mlkv *db, int kind, const char *letters, const double *weights,
                      mlkv_zset_aggregate aggregate, const char *expected)
{
    mlkv_slice keys[8], d = TEXT("destination");
    size_t n = strlen(letters);
    for (size_t i = 0; i < n; i++)
        keys[i] = slice_of(letters + i, 1);
    mlkv_rows rows = {0};
    mlkv_buffer scores = {0};
    uint64_t stored = 77, counted = 77;
    if (kind == UNION) {
        OK(mlkv_zset_union(db, keys, n, weights, aggregate, &rows, &scores));
        OK(mlkv_zset_union_store(db, d, keys, n, weights, aggregate, &stored));
    } else if (kind == INTERSECTION) {
        OK(mlkv_zset_intersection(db, keys, n, weights, aggregate, &rows, &scores));
        OK(mlkv_zset_intersection_store(db, d, keys, n, weights, aggregate, &stored));
        OK(mlkv_zset_intersection_count(db, keys, n, 0, &counted));
        ck_assert_uint_eq(counted, rows.count);
        OK(mlkv_zset_intersection_count(db, keys, n, 1, &counted));
        ck_assert_uint_eq(counted, rows.count != 0);
    } else {
        OK(mlkv_zset_difference(db, keys, n, &rows, &scores));
        OK(mlkv_zset_difference_store(db, d, keys, n, &stored));
    }
    ck_assert_str_eq(zset_text(&rows, &scores), expected);
    ck_assert_uint_eq(stored, rows.count);
    zset_all_is(db, "destination", expected);
    ck_assert_int_eq(key_exists(db, "destination"), stored != 0);
    mlkv_rows_free(&rows);
    mlkv_buffer_free(&scores);
}

START_TEST(unions)
{
    mlkv *db = two_sets();
    result_is(db, UNION, "xy", NULL, MLKV_ZSET_SUM, "e=0 a=1 c=2 d=4 b=12");
    result_is(db, UNION, "xy", NULL, MLKV_ZSET_MIN, "c=-1 e=0 a=1 b=2 d=4");
    result_is(db, UNION, "xy", NULL, MLKV_ZSET_MAX, "e=0 a=1 c=3 d=4 b=10");
    result_is(db, UNION, "xs", NULL, MLKV_ZSET_SUM, "a=1 s=1 b=3 c=3");
    result_is(db, UNION, "x", NULL, MLKV_ZSET_SUM, "a=1 b=2 c=3");
    result_is(db, UNION, "xmx", NULL, MLKV_ZSET_SUM, "a=2 b=4 c=6");
    result_is(db, UNION, "mn", NULL, MLKV_ZSET_SUM, "");
    result_is(db, UNION, "xy", (double[]){2, -1}, MLKV_ZSET_SUM, "b=-6 d=-4 e=0 a=2 c=7");
    result_is(db, UNION, "sx", (double[]){5, 0}, MLKV_ZSET_MAX, "a=0 c=0 b=5 s=5");
    OK(mlkv_close(db));
}
END_TEST

START_TEST(intersections)
{
    mlkv *db = two_sets();
    result_is(db, INTERSECTION, "xy", NULL, MLKV_ZSET_SUM, "c=2 b=12");
    result_is(db, INTERSECTION, "xy", NULL, MLKV_ZSET_MIN, "c=-1 b=2");
    result_is(db, INTERSECTION, "xy", NULL, MLKV_ZSET_MAX, "c=3 b=10");
    result_is(db, INTERSECTION, "xys", (double[]){1, 1, 100}, MLKV_ZSET_SUM, "b=112");
    result_is(db, INTERSECTION, "xm", NULL, MLKV_ZSET_SUM, "");
    result_is(db, INTERSECTION, "xx", NULL, MLKV_ZSET_SUM, "a=2 b=4 c=6");
    result_is(db, INTERSECTION, "y", (double[]){0.5}, MLKV_ZSET_SUM, "c=-0.5 e=0 d=2 b=5");
    OK(mlkv_close(db));
}
END_TEST

START_TEST(differences)
{
    mlkv *db = two_sets();
    result_is(db, DIFFERENCE, "xy", NULL, 0, "a=1");
    result_is(db, DIFFERENCE, "yx", NULL, 0, "e=0 d=4");
    result_is(db, DIFFERENCE, "xs", NULL, 0, "a=1 c=3");
    result_is(db, DIFFERENCE, "sx", NULL, 0, "s=1");
    result_is(db, DIFFERENCE, "xx", NULL, 0, "");
    result_is(db, DIFFERENCE, "mx", NULL, 0, "");
    result_is(db, DIFFERENCE, "xm", NULL, 0, "a=1 b=2 c=3");
    OK(mlkv_close(db));
}
END_TEST

/* Products and sums that are not numbers count as 0. */
START_TEST(infinities)
{
    mlkv *db = memory_store();
    zadd(db, "x", "a", INFINITY);
    zadd(db, "x", "b", 0);
    zadd(db, "y", "a", -INFINITY);
    zadd(db, "y", "b", 1);
    result_is(db, UNION, "xy", NULL, MLKV_ZSET_SUM, "a=0 b=1");
    result_is(db, INTERSECTION, "xy", NULL, MLKV_ZSET_SUM, "a=0 b=1");
    result_is(db, UNION, "xy", (double[]){INFINITY, 1}, MLKV_ZSET_SUM, "a=0 b=1");
    result_is(db, UNION, "xy", (double[]){0, 0}, MLKV_ZSET_SUM, "a=0 b=0");
    result_is(db, UNION, "xy", NULL, MLKV_ZSET_MIN, "a=-inf b=0");
    result_is(db, UNION, "xy", (double[]){1, -1}, MLKV_ZSET_SUM, "b=-1 a=inf");
    OK(mlkv_close(db));
}
END_TEST

START_TEST(destinations)
{
    mlkv *db = two_sets();
    mlkv_slice keys[] = {TEXT("x"), TEXT("y")};
    uint64_t count;
    OK(mlkv_zset_union_store(db, TEXT("x"), keys, 2, NULL, MLKV_ZSET_SUM, &count));
    ck_assert_uint_eq(count, 5);
    zset_all_is(db, "x", "e=0 a=1 c=2 d=4 b=12");
    OK(mlkv_zset_difference_store(db, TEXT("text"), keys, 2, NULL));
    zset_all_is(db, "text", "a=1");
    OK(mlkv_zset_difference_store(db, TEXT("text"), keys + 1, 1, NULL));
    OK(mlkv_zset_intersection_store(db, TEXT("y"), (mlkv_slice[]){TEXT("y"), TEXT("no")}, 2, NULL,
                                    MLKV_ZSET_SUM, &count));
    ck_assert(count == 0 && !key_exists(db, "y"));
    clean_all(db);
    verify_all(db);
    ck_assert_uint_eq(count_records(db, "O"), 5 + 4);
    OK(mlkv_close(db));
}
END_TEST

/* Long names are merged too: their record keys end in digests. */
START_TEST(long_members)
{
    mlkv *db = memory_store();
    mlkv_rows rows = {0};
    mlkv_buffer scores = {0};
    uint64_t count;
    enum { COUNT = 30 };
    for (unsigned i = 0; i < COUNT; i++) {
        mlkv_scored pair = {long_name(i % 3 == 0 ? 20 : 700, i), i};
        OK(mlkv_zset_add(db, i % 2 ? TEXT("x") : TEXT("y"), &pair, 1, 0, NULL, NULL));
        OK(mlkv_zset_add(db, TEXT("all"), &pair, 1, 0, NULL, NULL));
    }
    mlkv_slice keys[] = {TEXT("x"), TEXT("y"), TEXT("all")};
    OK(mlkv_zset_union(db, keys, 3, NULL, MLKV_ZSET_SUM, &rows, &scores));
    ck_assert_uint_eq(rows.count, COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        ck_assert(((const double *)scores.data)[i] == 2 * i);
        ck_assert(slice_equal(rows.items[i], long_name(i % 3 == 0 ? 20 : 700, i)));
    }
    OK(mlkv_zset_intersection_count(db, keys + 1, 2, 0, &count));
    ck_assert_uint_eq(count, COUNT / 2);
    OK(mlkv_zset_difference_store(db, TEXT("d"), (mlkv_slice[]){TEXT("all"), TEXT("x")}, 2,
                                  &count));
    ck_assert_uint_eq(count, COUNT / 2);
    verify_all(db);
    mlkv_rows_free(&rows);
    mlkv_buffer_free(&scores);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(hostile_arguments)
{
    mlkv *db = two_sets();
    mlkv_slice keys[] = {TEXT("x"), TEXT("text"), {NULL, 1}};
    mlkv_rows rows = {0};
    uint64_t count = 77;
    MUST(MLKV_E_TYPE, mlkv_zset_union(db, keys, 2, NULL, MLKV_ZSET_SUM, &rows, NULL));
    MUST(MLKV_E_TYPE,
         mlkv_zset_intersection_store(db, TEXT("x"), keys, 2, NULL, MLKV_ZSET_SUM, &count));
    MUST(MLKV_E_TYPE, mlkv_zset_difference_store(db, TEXT("x"), keys, 2, &count));
    MUST(MLKV_E_TYPE, mlkv_zset_intersection_count(db, keys, 2, 0, &count));
    MUST(MLKV_E_ARGUMENT, mlkv_zset_union(db, keys, 3, NULL, MLKV_ZSET_SUM, &rows, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_zset_union(db, keys, 0, NULL, MLKV_ZSET_SUM, &rows, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_zset_union(db, keys, 1, NULL, (mlkv_zset_aggregate)3, &rows, NULL));
    MUST(MLKV_E_NUMBER, mlkv_zset_union(db, keys, 1, (double[]){NAN}, MLKV_ZSET_SUM, &rows, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_zset_union(db, keys, 1, NULL, MLKV_ZSET_SUM, NULL, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_zset_union(NULL, keys, 1, NULL, MLKV_ZSET_SUM, &rows, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_zset_union_store(db, keys[2], keys, 1, NULL, MLKV_ZSET_SUM, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_zset_intersection_count(db, keys, 1, 0, NULL));
    ck_assert_uint_eq(count, 77);
    zset_all_is(db, "x", "a=1 b=2 c=3");
    mlkv_rows_free(&rows);
    OK(mlkv_close(db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("zset_algebra");
    TCase *tcase = harness_case(suite, "zset_algebra");
    tcase_add_test(tcase, unions);
    tcase_add_test(tcase, intersections);
    tcase_add_test(tcase, differences);
    tcase_add_test(tcase, infinities);
    tcase_add_test(tcase, destinations);
    tcase_add_test(tcase, long_members);
    tcase_add_test(tcase, hostile_arguments);
    return harness_run(suite);
}
