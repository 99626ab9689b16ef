/* test_integer.c - decimal text and 64-bit integers, as Redis has them. */
#include "harness.h"
#include "types/integer.h"

#include <inttypes.h>

START_TEST(numbers_have_one_text)
{
    static const int64_t numbers[] = {0,
                                      1,
                                      -1,
                                      9,
                                      10,
                                      -10,
                                      99,
                                      100,
                                      1234567890123,
                                      INT64_MAX,
                                      INT64_MAX - 1,
                                      INT64_MIN,
                                      INT64_MIN + 1};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        char text[INTEGER_TEXT_MAX], expected[32];
        size_t size = integer_format(numbers[i], text);
        int wanted = snprintf(expected, sizeof expected, "%" PRId64, numbers[i]);
        ck_assert_uint_eq(size, (size_t)wanted);
        ck_assert_mem_eq(text, expected, size);
        int64_t value = 77;
        OK(integer_parse(slice_of(text, size), &value));
        ck_assert_int_eq(value, numbers[i]);
    }
}
END_TEST

START_TEST(other_texts_are_no_numbers)
{
    static const char *const texts[] = {"",
                                        "-",
                                        "+1",
                                        " 1",
                                        "1 ",
                                        "01",
                                        "00",
                                        "-0",
                                        "-01",
                                        "0x1",
                                        "1.0",
                                        "1e3",
                                        "one",
                                        "--1",
                                        "1-",
                                        "12\n",
                                        "9223372036854775807x",
                                        "99999999999999999999x"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        int64_t value = 77;
        MUST(MLKV_E_NUMBER, integer_parse(slice_of_text(texts[i]), &value));
        ck_assert_int_eq(value, 77);
    }
    int64_t value = 77;
    MUST(MLKV_E_NUMBER, integer_parse(slice_of(NULL, 0), &value));
    MUST(MLKV_E_NUMBER, integer_parse(slice_of("1\0", 2), &value));
    ck_assert_int_eq(value, 77);
}
END_TEST

START_TEST(too_large_numbers_are_out_of_range)
{
    static const char *const texts[] = {"9223372036854775808",           "-9223372036854775809",
                                        "10000000000000000000",          "99999999999999999999",
                                        "18446744073709551616",          "-18446744073709551617",
                                        "123456789012345678901234567890"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        int64_t value = 77;
        MUST(MLKV_E_NUMBER, integer_parse(slice_of_text(texts[i]), &value));
        ck_assert_int_eq(value, 77);
    }
}
END_TEST

START_TEST(sums_overflow_visibly)
{
    int64_t sum = 77;
    MUST(MLKV_E_RANGE, integer_add(INT64_MAX, 1, &sum));
    MUST(MLKV_E_RANGE, integer_add(INT64_MIN, -1, &sum));
    ck_assert_int_eq(sum, 77);
    OK(integer_add(INT64_MAX, INT64_MIN, &sum));
    ck_assert_int_eq(sum, -1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("integer");
    TCase *tcase = harness_case(suite, "integer");
    tcase_add_test(tcase, numbers_have_one_text);
    tcase_add_test(tcase, other_texts_are_no_numbers);
    tcase_add_test(tcase, too_large_numbers_are_out_of_range);
    tcase_add_test(tcase, sums_overflow_visibly);
    return harness_run(suite);
}
