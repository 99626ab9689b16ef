/* test_range.c - ranges against Redis's own arithmetic, written out in numbers that cannot overflow. */
#include "harness.h"
#include "types/range.h"

__extension__ typedef __int128 wide;

/* LRANGE of Redis 7.0. */
static bool expected(wide start, wide stop, wide count, uint64_t *ret_first, uint64_t *ret_n)
{
    if (start < 0)
        start += count;
    if (stop < 0)
        stop += count;
    if (start < 0)
        start = 0;
    *ret_first = *ret_n = 0;
    if (start > stop || start >= count)
        return false;
    if (stop >= count)
        stop = count - 1;
    *ret_first = (uint64_t)start;
    *ret_n = (uint64_t)(stop - start + 1);
    return true;
}

/* GETRANGE of Redis 7.0. */
static bool expected_bytes(wide start, wide stop, wide count, uint64_t *ret_first, uint64_t *ret_n)
{
    *ret_first = *ret_n = 0;
    if (start < 0 && stop < 0 && start > stop)
        return false;
    start = start < 0 ? start + count : start;
    stop = stop < 0 ? stop + count : stop;
    start = start < 0 ? 0 : start;
    stop = stop < 0 ? 0 : stop;
    stop = stop >= count ? count - 1 : stop;
    if (start > stop || count == 0)
        return false;
    *ret_first = (uint64_t)start;
    *ret_n = (uint64_t)(stop - start + 1);
    return true;
}

static void compare(int64_t start, int64_t stop, uint64_t count)
{
    uint64_t first = 7, n = 7, want_first, want_n;
    bool want = expected(start, stop, count, &want_first, &want_n);
    ck_assert_int_eq(range_resolve(start, stop, count, &first, &n), want);
    ck_assert_uint_eq(first, want_first);
    ck_assert_uint_eq(n, want_n);
    want = expected_bytes(start, stop, count, &want_first, &want_n);
    first = n = 7;
    ck_assert_int_eq(range_resolve_bytes(start, stop, count, &first, &n), want);
    ck_assert_uint_eq(first, want_first);
    ck_assert_uint_eq(n, want_n);
    wide at = start < 0 ? (wide)start + count : start;
    first = 7;
    want = at >= 0 && at < (wide)count;
    ck_assert_int_eq(range_resolve_index(start, count, &first), want);
    ck_assert_uint_eq(first, want ? (uint64_t)at : 7);
}

START_TEST(small_ones)
{
    for (uint64_t count = 0; count < 7; count++)
        for (int64_t start = -9; start < 10; start++)
            for (int64_t stop = -9; stop < 10; stop++)
                compare(start, stop, count);
}
END_TEST

START_TEST(ends_of_the_numbers)
{
    static const int64_t ends[] = {INT64_MIN, INT64_MIN + 1, INT64_MIN / 2, -1,       0,
                                   1,         INT64_MAX / 2, INT64_MAX - 1, INT64_MAX};
    static const uint64_t counts[] = {0, 1, 2, INT64_MAX, 1ULL << 63, (1ULL << 63) + 1, UINT64_MAX};
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
        for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
            for (size_t j = 0; j < sizeof ends / sizeof *ends; j++)
                compare(ends[i], ends[j], counts[c]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("range");
    TCase *tcase = harness_case(suite, "range");
    tcase_add_test(tcase, small_ones);
    tcase_add_test(tcase, ends_of_the_numbers);
    return harness_run(suite);
}
