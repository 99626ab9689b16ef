/* test_string_change.c - APPEND, SETRANGE, GETRANGE, INCRBYFLOAT, bits, LCS: small values and large ones, alone
 * and from several threads. */
#include "types/stores.h"

#include <math.h>
#include <mlkv/bits.h>
#include <pthread.h>

static void is(mlkv *view, mlkv_slice key, mlkv_slice expected)
{
    mlkv_buffer value = {0};
    OK(mlkv_string_get(view, key, &value));
    IS(expected, value);
    mlkv_buffer_free(&value);
}

static void set(mlkv *view, mlkv_slice key, mlkv_slice value)
{
    OK(mlkv_string_set(view, key, value, MLKV_SET_ALWAYS));
}

START_TEST(append)
{
    mlkv *db = memory_store();
    uint64_t length = 7;
    OK(mlkv_string_append(db, TEXT("k"), TEXT(""), &length));
    ck_assert_uint_eq(length, 0);
    is(db, TEXT("k"), TEXT("")); /* APPEND of nothing makes the key */
    OK(mlkv_string_append(db, TEXT("k"), TEXT("ab"), &length));
    OK(mlkv_string_append(db, TEXT("k"), TEXT("cd"), NULL));
    ck_assert_uint_eq(length, 2);
    is(db, TEXT("k"), TEXT("abcd"));
    OK(mlkv_set_add(db, TEXT("set"), &(mlkv_slice){"m", 1}, 1, NULL));
    MUST(MLKV_E_TYPE, mlkv_string_append(db, TEXT("set"), TEXT("x"), &length));
    MUST(MLKV_E_ARGUMENT, mlkv_string_append(db, TEXT("k"), (mlkv_slice){NULL, 1}, &length));
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

/* Grows through all the ways a value may stand: raw, compressed, blob. */
START_TEST(append_until_it_is_large)
{
    enum { PART = 9000, PARTS = 120 };
    mlkv *db = memory_store();
    char *all = malloc((size_t)PART * PARTS);
    uint64_t length;
    OK(mlkv_string_append(db, TEXT("k"), TEXT(""), NULL));
    OK(mlkv_key_expire(db, TEXT("k"), 3600000, MLKV_EXPIRE_ALWAYS));
    for (size_t i = 0; i < PARTS; i++) {
        if (i % 2 == 0)
            fill_noise(all + i * PART, PART, i);
        else
            memset(all + i * PART, 'x', PART);
        OK(mlkv_string_append(db, TEXT("k"), slice_of(all + i * PART, PART), &length));
        ck_assert_uint_eq(length, (i + 1) * PART);
    }
    is(db, TEXT("k"), slice_of(all, (size_t)PART * PARTS));
    int64_t ms;
    OK(mlkv_key_ttl(db, TEXT("k"), &ms));
    ck_assert_int_gt(ms, 0); /* an expiry stays */
    verify_all(db);
    free(all);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(set_and_get_range)
{
    static const struct {
        int64_t start, stop;
        const char *expected;
    } cases[] = {{0, 3, "This"},
                 {-3, -1, "ing"},
                 {0, -1, "This is a string"},
                 {10, 100, "string"},
                 {5, 4, ""},
                 {-1, -3, ""},
                 {-100, -16, "T"},
                 {-100, 1, "Th"},
                 {16, 20, ""},
                 {INT64_MIN, INT64_MAX, "This is a string"},
                 {3, -100, ""},
                 {0, -100, "T"}};
    mlkv *db = memory_store();
    mlkv_buffer value = {0};
    uint64_t length = 7;
    set(db, TEXT("k"), TEXT("This is a string"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        OK(mlkv_string_get_range(db, TEXT("k"), cases[i].start, cases[i].stop, &value));
        IS(slice_of_text(cases[i].expected), value);
    }
    OK(mlkv_string_get_range(db, TEXT("missing"), 0, -1, &value));
    ck_assert_uint_eq(value.size, 0);
    OK(mlkv_string_set_range(db, TEXT("k"), 10, TEXT("thing!!"), &length));
    ck_assert_uint_eq(length, 17);
    is(db, TEXT("k"), TEXT("This is a thing!!"));
    OK(mlkv_string_set_range(db, TEXT("k"), 0, TEXT(""), &length));
    ck_assert_uint_eq(length, 17);
    OK(mlkv_string_set_range(db, TEXT("new"), 5, TEXT(""), &length));
    ck_assert_uint_eq(length, 0);
    ck_assert_uint_eq(key_count(db), 1); /* SETRANGE of nothing makes no key */
    OK(mlkv_string_set_range(db, TEXT("new"), 3, TEXT("x"), &length));
    is(db, TEXT("new"), TEXT("\0\0\0x"));
    MUST(MLKV_E_SIZE, mlkv_string_set_range(db, TEXT("new"), UINT64_MAX, TEXT("x"), &length));
    MUST(MLKV_E_SIZE,
         mlkv_string_set_range(db, TEXT("new"), UINT64_C(4) << 30, TEXT("x"), &length));
    is(db, TEXT("new"), TEXT("\0\0\0x"));
    OK(mlkv_string_set_range(db, TEXT("far"), 3000000, TEXT("end"), &length));
    ck_assert_uint_eq(length, 3000003);
    OK(mlkv_string_get_range(db, TEXT("far"), -4, -1, &value));
    IS(TEXT("\0end"), value);
    verify_all(db);
    mlkv_buffer_free(&value);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(add_float)
{
    mlkv *db = memory_store();
    mlkv_buffer text = {0};
    OK(mlkv_string_add_float(db, TEXT("k"), 10.5, &text));
    IS(TEXT("10.5"), text);
    OK(mlkv_string_add_float(db, TEXT("k"), 0.1, &text));
    IS(TEXT("10.6"), text);
    OK(mlkv_string_add_float(db, TEXT("k"), -5.6, &text));
    IS(TEXT("5"), text);
    set(db, TEXT("k"), TEXT("5.0e3"));
    OK(mlkv_string_add_float(db, TEXT("k"), 200, NULL));
    is(db, TEXT("k"), TEXT("5200"));
    set(db, TEXT("k"), TEXT(" 1"));
    MUST(MLKV_E_NUMBER, mlkv_string_add_float(db, TEXT("k"), 1, &text));
    IS(TEXT("5"), text);
    is(db, TEXT("k"), TEXT(" 1"));
    MUST(MLKV_E_NUMBER, mlkv_string_add_float(db, TEXT("k"), INFINITY, &text));
    set(db, TEXT("k"), TEXT("1.18973149535723176502e+4932")); /* the largest of all */
    OK(mlkv_string_add_float(db, TEXT("k"), 1, NULL));
    set(db, TEXT("k"), TEXT("inf"));
    MUST(MLKV_E_RANGE, mlkv_string_add_float(db, TEXT("k"), 1, &text));
    MUST(MLKV_E_NUMBER,
         (set(db, TEXT("e"), TEXT("")), mlkv_string_add_float(db, TEXT("e"), 1, &text)));
    mlkv_buffer_free(&text);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

enum { THREADS = 4, APPENDS = 200 };

static void *append_some(void *argument)
{
    mlkv *db = argument;
    char part[101];
    fill_noise(part, sizeof part, 1);
    for (int i = 0; i < APPENDS; i++)
        OK(mlkv_string_append(db, TEXT("k"), slice_of(part, sizeof part), NULL));
    return NULL;
}

START_TEST(nobody_s_change_is_lost)
{
    mlkv *db = memory_store();
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, append_some, db), 0);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    uint64_t length;
    OK(mlkv_string_length(db, TEXT("k"), &length)); /* from small to large: 80 kB */
    ck_assert_uint_eq(length, 101 * THREADS * APPENDS);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(in_a_transaction)
{
    mlkv *db = memory_store(), *transaction = NULL;
    char *large = malloc(100000);
    uint64_t length;
    memset(large, 'a', 100000);
    set(db, TEXT("k"), slice_of(large, 100000));
    OK(mlkv_begin(db, &transaction));
    OK(mlkv_string_append(transaction, TEXT("k"), TEXT("b"), &length));
    ck_assert_uint_eq(length, 100001);
    OK(mlkv_bits_combine(transaction, MLKV_BITS_OR, TEXT("d"), &(mlkv_slice){"k", 1}, 1, &length));
    ck_assert_uint_eq(length, 100001);
    OK(mlkv_abort(transaction));
    is(db, TEXT("k"), slice_of(large, 100000));
    ck_assert_uint_eq(key_count(db), 1);
    OK(mlkv_begin(db, &transaction));
    OK(mlkv_string_append(transaction, TEXT("k"), TEXT("b"), &length));
    OK(mlkv_commit(transaction));
    OK(mlkv_string_length(db, TEXT("k"), &length));
    ck_assert_uint_eq(length, 100001);
    verify_all(db);
    free(large);
    OK(mlkv_close(db));
}
END_TEST

/* --- bits --- */

START_TEST(bits_set_and_get)
{
    mlkv *db = memory_store();
    int bit = 7;
    OK(mlkv_bits_set(db, TEXT("k"), 7, 1, &bit));
    ck_assert_int_eq(bit, 0);
    is(db, TEXT("k"), TEXT("\1"));
    OK(mlkv_bits_set(db, TEXT("k"), 7, 0, &bit));
    ck_assert_int_eq(bit, 1);
    OK(mlkv_bits_set(db, TEXT("k"), 16, 1, NULL));
    is(db, TEXT("k"), TEXT("\0\0\x80"));
    OK(mlkv_bits_get(db, TEXT("k"), 16, &bit));
    ck_assert_int_eq(bit, 1);
    OK(mlkv_bits_get(db, TEXT("k"), 24, &bit));
    ck_assert_int_eq(bit, 0);
    OK(mlkv_bits_get(db, TEXT("missing"), 0, &bit));
    ck_assert_int_eq(bit, 0);
    OK(mlkv_bits_set(db, TEXT("far"), 30000000, 1, &bit)); /* 3.75 MB, in pieces */
    OK(mlkv_bits_get(db, TEXT("far"), 30000000, &bit));
    ck_assert_int_eq(bit, 1);
    MUST(MLKV_E_RANGE, mlkv_bits_set(db, TEXT("k"), UINT64_C(1) << 35, 1, &bit));
    MUST(MLKV_E_RANGE, mlkv_bits_get(db, TEXT("k"), UINT64_MAX, &bit));
    MUST(MLKV_E_ARGUMENT, mlkv_bits_set(db, TEXT("k"), 0, 2, &bit));
    MUST(MLKV_E_ARGUMENT, mlkv_bits_get(db, TEXT("k"), 0, NULL));
    OK(mlkv_close(db));
}
END_TEST

/* What a range of bits holds, bit by bit. */
static bool bit_of(mlkv_slice value, uint64_t i)
{
    return (((const unsigned char *)value.data)[i / 8] >> (7 - i % 8)) & 1;
}

static void range_of(int64_t start, int64_t stop, int64_t count, int64_t *ret_first,
                     int64_t *ret_last)
{
    start = start < 0 ? start + count : start;
    stop = stop < 0 ? stop + count : stop;
    *ret_first = start < 0 ? 0 : start;
    *ret_last = stop < 0 ? 0 : stop >= count ? count - 1 : stop;
}

/* Redis's rules, written down naively. */
static void check_range(mlkv *db, mlkv_slice value, int64_t start, int64_t stop, mlkv_bit_unit unit)
{
    int64_t count = (int64_t)value.size * (unit == MLKV_UNIT_BIT ? 8 : 1),
            scale = unit == MLKV_UNIT_BIT ? 1 : 8;
    int64_t first, last, position[2] = {-1, -1}, found;
    uint64_t ones = 0, counted = 77;
    range_of(start, stop, count, &first, &last);
    for (int64_t i = first * scale; i < (last + 1) * scale && first <= last; i++) {
        bool bit = bit_of(value, (uint64_t)i);
        ones += bit;
        if (position[bit] < 0)
            position[bit] = i;
    }
    if (start < 0 && stop < 0 && start > stop)
        ones = 0;
    OK(mlkv_bits_count(db, TEXT("k"), start, stop, unit, &counted));
    ck_assert_uint_eq(counted, ones);
    for (int bit = 0; bit < 2; bit++) {
        OK(mlkv_bits_find(db, TEXT("k"), bit, start, &stop, unit, &found));
        ck_assert_int_eq(found, position[bit]);
    }
}

START_TEST(bits_count_and_find)
{
    static const char *const values[] = {"foobar", "a", "\xff\xff\xff",
                                         "\xff\xf0\x0f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"};
    mlkv *db = memory_store();
    for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
        mlkv_slice value = slice_of_text(values[v]);
        set(db, TEXT("k"), value);
        for (int64_t start = -20; start < 20; start++)
            for (int64_t stop = -20; stop < 20; stop++) {
                check_range(db, value, start, stop, MLKV_UNIT_BYTE);
                check_range(db, value, start * 3, stop * 3 + 1, MLKV_UNIT_BIT);
            }
    }
    int64_t found = 7;
    uint64_t count = 7;
    set(db, TEXT("k"), TEXT("\xff\xff"));
    OK(mlkv_bits_find(db, TEXT("k"), 0, 0, NULL, MLKV_UNIT_BYTE, &found));
    ck_assert_int_eq(found, 16); /* zeros without end behind it */
    OK(mlkv_bits_find(db, TEXT("k"), 0, 2, NULL, MLKV_UNIT_BYTE, &found));
    ck_assert_int_eq(found, -1);
    OK(mlkv_bits_find(db, TEXT("missing"), 0, 5, NULL, MLKV_UNIT_BYTE, &found));
    ck_assert_int_eq(found, 0);
    OK(mlkv_bits_find(db, TEXT("missing"), 1, 0, NULL, MLKV_UNIT_BYTE, &found));
    ck_assert_int_eq(found, -1);
    OK(mlkv_bits_count(db, TEXT("missing"), 0, -1, MLKV_UNIT_BYTE, &count));
    ck_assert_uint_eq(count, 0);
    MUST(MLKV_E_ARGUMENT, mlkv_bits_count(db, TEXT("k"), 0, -1, (mlkv_bit_unit)2, &count));
    MUST(MLKV_E_ARGUMENT, mlkv_bits_find(db, TEXT("k"), 2, 0, NULL, MLKV_UNIT_BYTE, &found));
    OK(mlkv_close(db));
}
END_TEST

START_TEST(bits_combined)
{
    mlkv *db = memory_store();
    mlkv_slice keys[] = {TEXT("a"), TEXT("b"), TEXT("missing")};
    uint64_t length = 7;
    set(db, TEXT("a"), TEXT("foobar"));
    set(db, TEXT("b"), TEXT("abcde"));
    OK(mlkv_bits_combine(db, MLKV_BITS_AND, TEXT("d"), keys, 2, &length));
    ck_assert_uint_eq(length, 6);
    is(db, TEXT("d"), TEXT("`bc`a\0"));
    OK(mlkv_bits_combine(db, MLKV_BITS_OR, TEXT("d"), keys, 3, &length));
    is(db, TEXT("d"), TEXT("goofer"));
    OK(mlkv_bits_combine(db, MLKV_BITS_XOR, TEXT("a"), keys, 2,
                         &length)); /* a source as destination */
    is(db, TEXT("a"), TEXT("\x07\x0d\x0c\x06\x04r"));
    OK(mlkv_bits_combine(db, MLKV_BITS_NOT, TEXT("d"), keys + 1, 1, &length));
    is(db, TEXT("d"), TEXT("\x9e\x9d\x9c\x9b\x9a"));
    OK(mlkv_bits_combine(db, MLKV_BITS_AND, TEXT("d"), keys + 2, 1, &length));
    ck_assert_uint_eq(length, 0);
    ck_assert_uint_eq(key_count(db), 2);
    MUST(MLKV_E_ARGUMENT, mlkv_bits_combine(db, MLKV_BITS_NOT, TEXT("d"), keys, 2, &length));
    MUST(MLKV_E_ARGUMENT, mlkv_bits_combine(db, MLKV_BITS_AND, TEXT("d"), keys, 0, &length));
    OK(mlkv_set_add(db, TEXT("missing"), &(mlkv_slice){"m", 1}, 1, NULL));
    MUST(MLKV_E_TYPE, mlkv_bits_combine(db, MLKV_BITS_OR, TEXT("a"), keys, 3, &length));
    is(db, TEXT("a"), TEXT("\x07\x0d\x0c\x06\x04r"));
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

/* --- common subsequence --- */

START_TEST(longest_common_subsequence)
{
    mlkv *db = memory_store();
    mlkv_buffer text = {0}, matches = {0};
    uint64_t length = 77;
    set(db, TEXT("a"), TEXT("ohmytext"));
    set(db, TEXT("b"), TEXT("mynewtext"));
    OK(mlkv_string_lcs(db, TEXT("a"), TEXT("b"), 0, &length, &text, &matches));
    ck_assert_uint_eq(length, 6);
    IS(TEXT("mytext"), text);
    const mlkv_match *runs = matches.data;
    ck_assert_uint_eq(matches.size, 2 * sizeof *runs);
    ck_assert_uint_eq(runs[0].a_begin, 4);
    ck_assert_uint_eq(runs[0].b_begin, 5);
    ck_assert_uint_eq(runs[0].length, 4);
    ck_assert_uint_eq(runs[1].a_begin, 2);
    ck_assert_uint_eq(runs[1].b_begin, 0);
    ck_assert_uint_eq(runs[1].length, 2);
    OK(mlkv_string_lcs(db, TEXT("a"), TEXT("b"), 4, &length, NULL, &matches));
    ck_assert_uint_eq(matches.size, sizeof *runs);
    OK(mlkv_string_lcs(db, TEXT("a"), TEXT("missing"), 0, &length, &text, &matches));
    ck_assert_uint_eq(length + text.size + matches.size, 0);
    OK(mlkv_string_lcs(db, TEXT("a"), TEXT("a"), 0, &length, &text, &matches));
    IS(TEXT("ohmytext"), text);
    ck_assert_uint_eq(matches.size, sizeof *runs);
    char *large = calloc(1, 1 << 15);
    set(db, TEXT("large"), slice_of(large, 1 << 15));
    MUST(MLKV_E_SIZE, mlkv_string_lcs(db, TEXT("large"), TEXT("large"), 0, &length, &text, NULL));
    IS(TEXT("ohmytext"), text);
    free(large);
    OK(mlkv_set_add(db, TEXT("set"), &(mlkv_slice){"m", 1}, 1, NULL));
    MUST(MLKV_E_TYPE, mlkv_string_lcs(db, TEXT("a"), TEXT("set"), 0, &length, &text, NULL));
    mlkv_buffer_free(&text);
    mlkv_buffer_free(&matches);
    OK(mlkv_close(db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("types/string_change");
    TCase *tcase = harness_case(suite, "string_change");
    tcase_add_test(tcase, append);
    tcase_add_test(tcase, append_until_it_is_large);
    tcase_add_test(tcase, set_and_get_range);
    tcase_add_test(tcase, add_float);
    tcase_add_test(tcase, nobody_s_change_is_lost);
    tcase_add_test(tcase, in_a_transaction);
    tcase_add_test(tcase, bits_set_and_get);
    tcase_add_test(tcase, bits_count_and_find);
    tcase_add_test(tcase, bits_combined);
    tcase_add_test(tcase, longest_common_subsequence);
    return harness_run(suite);
}
