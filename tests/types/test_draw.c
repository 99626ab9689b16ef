/* test_draw.c - drawing without replacement: all different, all in range, and every choice equally likely. */
#include "harness.h"
#include "types/draw.h"

static void check_different(uint64_t bound, uint64_t n)
{
    draw numbers;
    unsigned char *seen = calloc(1, (size_t)bound + 1);
    ck_assert_ptr_nonnull(seen);
    OK(draw_create(&numbers, bound, n));
    for (uint64_t i = 0; i < n; i++) {
        uint64_t number = draw_next(&numbers);
        ck_assert_uint_lt(number, bound);
        ck_assert_uint_eq(seen[number]++, 0);
    }
    draw_destroy(&numbers);
    free(seen);
}

START_TEST(numbers_are_different)
{
    for (uint64_t bound = 1; bound <= 40; bound++)
        for (uint64_t n = 0; n <= bound; n++)
            check_different(bound, n);
    check_different(100000, 100000);
    check_different(100000, 49999);
    check_different(100000, 17);
}
END_TEST

/* Chi-squared over all ordered pairs of 5 (20 of them): 19 degrees of freedom exceed 70 once in 10^7 runs. Both ways of drawing. */
static double pairs_chi_squared(uint64_t bound, uint64_t n)
{
    enum { ROUNDS = 40000 };
    double cells = (double)(bound * (bound - 1)), expected = ROUNDS / cells, sum = 0;
    unsigned counts[32][32] = {{0}};
    for (int round = 0; round < ROUNDS; round++) {
        draw numbers;
        OK(draw_create(&numbers, bound, n));
        uint64_t first = draw_next(&numbers), second = draw_next(&numbers);
        counts[first][second]++;
        draw_destroy(&numbers);
    }
    for (uint64_t i = 0; i < bound; i++)
        for (uint64_t j = 0; j < bound; j++)
            if (i != j)
                sum += (counts[i][j] - expected) * (counts[i][j] - expected) / expected;
    return sum;
}

START_TEST(choices_are_uniform)
{
    ck_assert_double_lt(pairs_chi_squared(5, 5), 70);
    ck_assert_double_lt(pairs_chi_squared(6, 2), 90); /* rejection; 29 degrees of freedom */
}
END_TEST

START_TEST(absurd_sizes_are_refused)
{
    draw numbers;
    MUST(MLKV_E_MEMORY, draw_create(&numbers, UINT64_MAX, UINT64_MAX));
    MUST(MLKV_E_MEMORY, draw_create(&numbers, UINT64_MAX, UINT64_MAX / 4));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("draw");
    TCase *tcase = harness_case(suite, "draw");
    tcase_add_test(tcase, numbers_are_different);
    tcase_add_test(tcase, choices_are_uniform);
    tcase_add_test(tcase, absurd_sizes_are_refused);
    return harness_run(suite);
}
