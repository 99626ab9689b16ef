/* test_zset_range.c - ranges by rank, score and member: read, counted, removed, stored elsewhere; ranks. */
#include "types/zsets.h"

/* a=1 b=2 c=2 d=3 e=5, in "z" */
static mlkv *small_store(void)
{
    mlkv *db = memory_store();
    mlkv_scored pairs[] = {{slice_of("e", 1), 5},
                           {slice_of("c", 1), 2},
                           {slice_of("a", 1), 1},
                           {slice_of("b", 1), 2},
                           {slice_of("d", 1), 3}};
    OK(mlkv_zset_add(db, TEXT("z"), pairs, 5, 0, NULL, NULL));
    return db;
}

static mlkv_zset_range_spec ranks(int64_t start, int64_t stop)
{
    return (mlkv_zset_range_spec){
        .size = sizeof(mlkv_zset_range_spec), .start = start, .stop = stop};
}

static mlkv_zset_range_spec scores(double min, int min_bound, double max, int max_bound)
{
    return (mlkv_zset_range_spec){.size = sizeof(mlkv_zset_range_spec),
                                  .by = MLKV_ZSET_BY_SCORE,
                                  .min = min,
                                  .min_bound = min_bound,
                                  .max = max,
                                  .max_bound = max_bound};
}

static mlkv_zset_range_spec members(const char *min, int min_bound, const char *max, int max_bound)
{
    return (mlkv_zset_range_spec){.size = sizeof(mlkv_zset_range_spec),
                                  .by = MLKV_ZSET_BY_MEMBER,
                                  .min_member = slice_of_text(min),
                                  .min_bound = min_bound,
                                  .max_member = slice_of_text(max),
                                  .max_bound = max_bound};
}

static mlkv_zset_range_spec reversed(mlkv_zset_range_spec range)
{
    range.reverse = 1;
    return range;
}

static mlkv_zset_range_spec limited(mlkv_zset_range_spec range, int64_t offset, int64_t limit)
{
    range.limited = 1;
    range.offset = offset;
    range.limit = limit;
    return range;
}

#define Z(range, expected)                   \
    do {                                     \
        mlkv_zset_range_spec z_spec = range; \
        zset_is(db, "z", &z_spec, expected); \
    } while (0)

enum {
    INC = MLKV_ZSET_INCLUDED,
    EXC = MLKV_ZSET_EXCLUDED,
    LOW = MLKV_ZSET_LOWEST,
    HIGH = MLKV_ZSET_HIGHEST
};

START_TEST(by_rank)
{
    mlkv *db = small_store();
    Z(ranks(0, -1), "a=1 b=2 c=2 d=3 e=5");
    Z(ranks(1, 2), "b=2 c=2");
    Z(ranks(-2, -1), "d=3 e=5");
    Z(ranks(-100, 100), "a=1 b=2 c=2 d=3 e=5");
    Z(ranks(3, 2), "");
    Z(ranks(5, 9), "");
    Z(ranks(INT64_MIN, INT64_MAX), "a=1 b=2 c=2 d=3 e=5");
    Z(reversed(ranks(0, 1)), "e=5 d=3");
    Z(reversed(ranks(-1, -1)), "a=1");
    Z(reversed(ranks(0, -1)), "e=5 d=3 c=2 b=2 a=1");
    mlkv_rows rows = {0};
    mlkv_buffer found = {0};
    mlkv_zset_range_spec all = ranks(0, -1);
    OK(mlkv_zset_range(db, TEXT("missing"), &all, &rows, &found));
    ck_assert(rows.count == 0 && found.size == 0);
    mlkv_rows_free(&rows);
    mlkv_buffer_free(&found);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(by_score)
{
    mlkv *db = small_store();
    Z(scores(2, INC, 3, INC), "b=2 c=2 d=3");
    Z(scores(2, EXC, 3, INC), "d=3");
    Z(scores(2, INC, 3, EXC), "b=2 c=2");
    Z(scores(1, EXC, 2, EXC), "");
    Z(scores(3, INC, 2, INC), "");
    Z(scores(2, EXC, 2, EXC), "");
    Z(scores(2, INC, 2, EXC), "");
    Z(scores(-INFINITY, INC, INFINITY, INC), "a=1 b=2 c=2 d=3 e=5");
    Z(scores(0, LOW, 2, INC), "a=1 b=2 c=2");
    Z(scores(2.5, INC, 0, HIGH), "d=3 e=5");
    Z(scores(0, HIGH, 0, LOW), "");
    Z(reversed(scores(2, INC, 5, EXC)), "d=3 c=2 b=2");
    Z(limited(scores(0, LOW, 0, HIGH), 1, 2), "b=2 c=2");
    Z(limited(scores(0, LOW, 0, HIGH), 3, -1), "d=3 e=5");
    Z(limited(scores(0, LOW, 0, HIGH), 0, 0), "");
    Z(limited(scores(0, LOW, 0, HIGH), -1, 5), "");
    Z(limited(scores(0, LOW, 0, HIGH), 5, 5), "");
    Z(limited(scores(0, LOW, 0, HIGH), INT64_MAX, INT64_MAX), "");
    Z(reversed(limited(scores(2, INC, 5, INC), 1, 2)), "d=3 c=2");
    Z(reversed(limited(scores(2, INC, 5, INC), 3, 9)), "b=2");
    zadd(db, "z", "top", INFINITY);
    zadd(db, "z", "bottom", -INFINITY);
    Z(scores(5, EXC, INFINITY, INC), "top=inf");
    Z(scores(5, EXC, INFINITY, EXC), "");
    Z(scores(-INFINITY, EXC, 1, INC), "a=1");
    Z(scores(INFINITY, EXC, INFINITY, INC), "");
    OK(mlkv_close(db));
}
END_TEST

START_TEST(by_member)
{
    mlkv *db = memory_store();
    static const char *const names[] = {"", "a", "aa", "b", "c", "d"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        zadd(db, "z", names[i], 7);
    Z(members("", LOW, "", HIGH), "=7 a=7 aa=7 b=7 c=7 d=7");
    Z(members("a", INC, "c", INC), "a=7 aa=7 b=7 c=7");
    Z(members("a", EXC, "c", EXC), "aa=7 b=7");
    Z(members("ab", INC, "bz", INC), "b=7");
    Z(members("c", INC, "a", INC), "");
    Z(members("a", INC, "a", INC), "a=7");
    Z(members("a", EXC, "a", INC), "");
    Z(members("", HIGH, "", LOW), "");
    Z(members("", EXC, "a", INC), "a=7");
    Z(members("", LOW, "", INC), "=7");
    Z(members("b", INC, "", HIGH), "b=7 c=7 d=7");
    Z(reversed(members("a", INC, "c", INC)), "c=7 b=7 aa=7 a=7");
    Z(limited(reversed(members("a", INC, "c", INC)), 1, 2), "b=7 aa=7");
    Z(limited(members("", LOW, "", HIGH), 4, 10), "c=7 d=7");
    OK(mlkv_close(db));
}
END_TEST

/* Where scores differ: a run of members within the bounds, from the end that the range is told from. */
START_TEST(by_member_with_mixed_scores)
{
    mlkv *db = memory_store();
    zadd(db, "z", "c", 1);
    zadd(db, "z", "b", 2);
    zadd(db, "z", "x", 3);
    zadd(db, "z", "b2", 4);
    Z(members("b", INC, "d", INC), "c=1 b=2");
    Z(members("a", INC, "z", INC), "c=1 b=2 x=3 b2=4");
    Z(reversed(members("b", INC, "d", INC)), "b2=4 x=3 b=2 c=1");
    Z(members("d", INC, "z", INC), "");
    Z(reversed(members("", LOW, "", HIGH)), "b2=4 x=3 b=2 c=1");
    OK(mlkv_close(db));
}
END_TEST

START_TEST(ranks_of_members)
{
    mlkv *db = small_store();
    static const char *const order[] = {"a", "b", "c", "d", "e"};
    uint64_t rank = 77;
    double score = 77;
    for (size_t i = 0; i < 5; i++) {
        OK(mlkv_zset_rank(db, TEXT("z"), slice_of_text(order[i]), 0, &rank, &score));
        ck_assert_uint_eq(rank, i);
        OK(mlkv_zset_rank(db, TEXT("z"), slice_of_text(order[i]), 1, &rank, NULL));
        ck_assert_uint_eq(rank, 4 - i);
    }
    ck_assert(score == 5);
    rank = 77;
    MUST(MLKV_ABSENT, mlkv_zset_rank(db, TEXT("z"), TEXT("q"), 0, &rank, &score));
    MUST(MLKV_ABSENT, mlkv_zset_rank(db, TEXT("missing"), TEXT("q"), 0, &rank, &score));
    ck_assert(rank == 77 && score == 5);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(remove_ranges)
{
    mlkv *db = small_store();
    uint64_t removed = 77;
    mlkv_zset_range_spec range = ranks(1, 2);
    OK(mlkv_zset_range_remove(db, TEXT("z"), &range, &removed));
    ck_assert_uint_eq(removed, 2);
    zset_all_is(db, "z", "a=1 d=3 e=5");
    range = scores(3, INC, 4, INC);
    OK(mlkv_zset_range_remove(db, TEXT("z"), &range, &removed));
    ck_assert_uint_eq(removed, 1);
    OK(mlkv_zset_range_remove(db, TEXT("z"), &range, &removed));
    ck_assert_uint_eq(removed, 0);
    zset_all_is(db, "z", "a=1 e=5");
    verify_all(db);
    range = ranks(0, -1);
    OK(mlkv_zset_range_remove(db, TEXT("z"), &range, NULL));
    OK(mlkv_zset_range_remove(db, TEXT("z"), &range, NULL));
    ck_assert(!key_exists(db, "z"));
    for (int i = 0; i < 300; i++) {
        char name[16];
        snprintf(name, sizeof name, "m%d", i);
        zadd(db, "z", name, 4);
    }
    range = members("m1", INC, "m2", EXC);
    OK(mlkv_zset_range_remove(db, TEXT("z"), &range, &removed));
    ck_assert_uint_eq(removed, 111);
    verify_all(db);
    range = scores(4, INC, 4, INC);
    OK(mlkv_zset_range_remove(db, TEXT("z"), &range, &removed));
    ck_assert_uint_eq(removed, 189);
    ck_assert(!key_exists(db, "z"));
    clean_all(db);
    ck_assert_uint_eq(count_records(db, "E") + count_records(db, "O") + count_records(db, "G"), 0);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(store_ranges)
{
    mlkv *db = small_store();
    uint64_t count = 77;
    mlkv_zset_range_spec range = reversed(limited(scores(2, INC, 5, INC), 0, 2));
    OK(mlkv_string_set(db, TEXT("d"), TEXT("text"), MLKV_SET_ALWAYS));
    OK(mlkv_zset_range_store(db, TEXT("d"), TEXT("z"), &range, &count));
    ck_assert_uint_eq(count, 2);
    zset_all_is(db, "d", "d=3 e=5");
    range = ranks(0, 1);
    OK(mlkv_zset_range_store(db, TEXT("z"), TEXT("z"), &range, NULL));
    zset_all_is(db, "z", "a=1 b=2");
    range = ranks(7, 9);
    OK(mlkv_zset_range_store(db, TEXT("d"), TEXT("z"), &range, &count));
    ck_assert(count == 0 && !key_exists(db, "d"));
    OK(mlkv_zset_range_store(db, TEXT("z"), TEXT("missing"), &range, &count));
    ck_assert(count == 0 && !key_exists(db, "z"));
    clean_all(db);
    ck_assert_uint_eq(key_count(db), 0);
    ck_assert_uint_eq(count_records(db, "E") + count_records(db, "O"), 0);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(hostile_arguments)
{
    mlkv *db = small_store();
    mlkv_rows rows = {0};
    uint64_t number = 77;
    struct {
        mlkv_zset_range_spec spec;
        uint64_t newer;
    } longer = {.spec = ranks(0, -1)};
    longer.spec.size = sizeof longer;
    OK(mlkv_zset_range(db, TEXT("z"), &longer.spec, &rows, NULL));
    ck_assert_uint_eq(rows.count, 5);
    longer.newer = 1;
    MUST(MLKV_E_ARGUMENT, mlkv_zset_range(db, TEXT("z"), &longer.spec, &rows, NULL));
    ck_assert_uint_eq(rows.count, 5); /* refused before anything began */
    mlkv_zset_range_spec range = ranks(0, -1), bad = range;
    bad.size--;
    MUST(MLKV_E_ARGUMENT, mlkv_zset_range_count(db, TEXT("z"), &bad, &number));
    bad = range;
    bad.by = 3;
    MUST(MLKV_E_ARGUMENT, mlkv_zset_range_count(db, TEXT("z"), &bad, &number));
    bad = range;
    bad.reserved = 1;
    MUST(MLKV_E_ARGUMENT, mlkv_zset_range_count(db, TEXT("z"), &bad, &number));
    bad = range;
    bad.max_bound = 4;
    MUST(MLKV_E_ARGUMENT, mlkv_zset_range_count(db, TEXT("z"), &bad, &number));
    bad = limited(range, 0, 1);
    MUST(MLKV_E_ARGUMENT, mlkv_zset_range_count(db, TEXT("z"), &bad, &number));
    bad = scores(NAN, INC, 1, INC);
    MUST(MLKV_E_NUMBER, mlkv_zset_range_count(db, TEXT("z"), &bad, &number));
    bad = members("a", INC, "b", INC);
    bad.max_member = (mlkv_slice){NULL, 3};
    MUST(MLKV_E_ARGUMENT, mlkv_zset_range_count(db, TEXT("z"), &bad, &number));
    MUST(MLKV_E_ARGUMENT, mlkv_zset_range_count(db, TEXT("z"), NULL, &number));
    MUST(MLKV_E_ARGUMENT, mlkv_zset_range_count(db, TEXT("z"), &range, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_zset_range(db, TEXT("z"), &range, NULL, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_zset_range(NULL, TEXT("z"), &range, &rows, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_zset_rank(db, TEXT("z"), TEXT("a"), 0, NULL, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_zset_range_store(db, bad.max_member, TEXT("z"), &range, NULL));
    mlkv *snapshot = NULL;
    OK(mlkv_snapshot(db, &snapshot));
    MUST(MLKV_E_READONLY, mlkv_zset_range_remove(snapshot, TEXT("z"), &range, &number));
    zset_all_is(snapshot, "z", "a=1 b=2 c=2 d=3 e=5");
    OK(mlkv_close(snapshot));
    ck_assert_uint_eq(number, 77);
    mlkv_rows_free(&rows);
    OK(mlkv_close(db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("zset_range");
    TCase *tcase = harness_case(suite, "zset_range");
    tcase_add_test(tcase, by_rank);
    tcase_add_test(tcase, by_score);
    tcase_add_test(tcase, by_member);
    tcase_add_test(tcase, by_member_with_mixed_scores);
    tcase_add_test(tcase, ranks_of_members);
    tcase_add_test(tcase, remove_ranges);
    tcase_add_test(tcase, store_ranges);
    tcase_add_test(tcase, hostile_arguments);
    return harness_run(suite);
}
