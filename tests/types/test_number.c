/* test_number.c - numbers as text, in Redis's way and in any locale. */
#include "harness.h"
#include "types/number.h"

#include <locale.h>
#include <math.h>

static void parses(const char *text, double expected)
{
    double value = 77;
    MUST(0, number_parse(slice_of_text(text), &value));
    ck_assert_msg(memcmp(&value, &expected, sizeof value) == 0, "%s: %.17g", text, value);
}

static void refuses(mlkv_slice text)
{
    double value = 77;
    long double wide = 77;
    MUST(MLKV_E_NUMBER, number_parse(text, &value));
    ck_assert(value == 77);
    if (text.size < 3 || memcmp(text.data, "1e4", 3) != 0) {
        MUST(MLKV_E_NUMBER, number_parse_long(text, &wide));
        ck_assert(wide == 77);
    }
}

START_TEST(parse)
{
    parses("0", 0);
    parses("-0", -0.0);
    parses("3.1", 3.1);
    parses("+3.", 3);
    parses(".5", 0.5);
    parses("-1e3", -1000);
    parses("0x10", 16);
    parses("inf", INFINITY);
    parses("-Infinity", -INFINITY);
    parses("4.9e-324", nextafter(0, 1));
    static const char *const bad[] = {"",   " 1",  "\t1", "1 ", "nan", "-nan", "1x",
                                      "1e", "--1", "1,5", "(1", "e5",  "."};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refuses(slice_of_text(bad[i]));
    refuses(slice_of("1\0", 2));
    refuses(TEXT("1e400"));
    static char digits[6000];
    memset(digits, '1', sizeof digits);
    refuses(slice_of(digits, sizeof digits));
    double value;
    MUST(MLKV_E_NUMBER, number_parse(TEXT("1e-400"), &value));
    memset(digits, '0', sizeof digits);
    OK(number_parse(slice_of(digits, 5000), &value));
}
END_TEST

START_TEST(bounds)
{
    static const struct {
        const char *text;
        double value;
    } rows[] = {{"", 0},      {" 1", 1}, {"0x10", 16}, {"1e400", INFINITY}, {"-1e400", -INFINITY},
                {"1e-400", 0}};
    double value = 77;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        OK(number_parse_bound(slice_of_text(rows[i].text), &value));
        ck_assert(value == rows[i].value);
    }
    OK(number_parse_bound(slice_of("2\0x", 3), &value));
    ck_assert(value == 2);
    MUST(MLKV_E_NUMBER, number_parse_bound(TEXT("nan"), &value));
    MUST(MLKV_E_NUMBER, number_parse_bound(TEXT("1 "), &value));
    MUST(MLKV_E_NUMBER, number_parse_bound(TEXT("(1"), &value));
    ck_assert(value == 2);
}
END_TEST

START_TEST(format)
{
    static const struct {
        double value;
        const char *text;
    } rows[] = {{0, "0"},
                {-0.0, "-0"},
                {3, "3"},
                {-17, "-17"},
                {3.1, "3.1000000000000001"},
                {1e17, "1e+17"},
                {1e16, "10000000000000000"},
                {0.5, "0.5"},
                {INFINITY, "inf"},
                {-INFINITY, "-inf"},
                {-1.7976931348623157e308, "-1.7976931348623157e+308"},
                {5e-324, "4.9406564584124654e-324"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[NUMBER_TEXT_MAX];
        size_t size = number_format(rows[i].value, text);
        ck_assert_msg(slice_equal(slice_of(text, size), slice_of_text(rows[i].text)), "%.*s",
                      (int)size, text);
        parses(rows[i].text, rows[i].value);
    }
}
END_TEST

START_TEST(long_numbers)
{
    static const struct {
        const char *from, *text;
    } rows[] = {{"3.1", "3.1"},    {"1e20", "100000000000000000000"},
                {"-0", "0"},       {"0.1", "0.1"},
                {"10.50", "10.5"}, {"-100", "-100"},
                {"1e-19", "0"},    {"1234567890.125", "1234567890.125"}};
    static char text[NUMBER_LONG_TEXT_MAX];
    long double value;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        OK(number_parse_long(slice_of_text(rows[i].from), &value));
        size_t size = number_format_long(value, text);
        ck_assert_msg(slice_equal(slice_of(text, size), slice_of_text(rows[i].text)), "%.*s",
                      (int)size, text);
    }
    OK(number_parse_long(TEXT("1e4932"), &value));
    ck_assert_uint_eq(number_format_long(value, text), 4933);
    OK(number_parse_long(TEXT("inf"), &value));
    MUST(MLKV_E_NUMBER, number_parse_long(TEXT("1e5000"), &value));
}
END_TEST

START_TEST(any_locale)
{
    static const char *const commas[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "fr_FR.utf8"};
    for (size_t i = 0; i < sizeof commas / sizeof *commas; i++)
        (void)setlocale(LC_NUMERIC, commas[i]); /* stays "C" where none is installed */
    char text[NUMBER_TEXT_MAX];
    parses("1.5", 1.5);
    ck_assert(slice_equal(slice_of(text, number_format(1.5, text)), TEXT("1.5")));
    (void)setlocale(LC_NUMERIC, "C");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("number");
    TCase *tcase = harness_case(suite, "number");
    tcase_add_test(tcase, parse);
    tcase_add_test(tcase, bounds);
    tcase_add_test(tcase, format);
    tcase_add_test(tcase, long_numbers);
    tcase_add_test(tcase, any_locale);
    return harness_run(suite);
}
