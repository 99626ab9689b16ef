/* test_bytes.c - slices compare as LMDB's keys do, and numbers have the byte order that the format
 * says. */
#include "harness.h"

START_TEST(slices_of)
{
    mlkv_buffer buffer = {.data = "xyz", .size = 2, .capacity = 3};
    ck_assert(slice_equal(slice_of_text("abc"), TEXT("abc")));
    ck_assert(slice_equal(slice_of_buffer(&buffer), TEXT("xy")));
    ck_assert(slice_equal(slice_of(NULL, 0), TEXT("")));
    ck_assert(!slice_equal(TEXT("abc"), TEXT("abd")));
    ck_assert(!slice_equal(TEXT("abc"), TEXT("ab")));
    ck_assert(slice_valid(slice_of(NULL, 0)));
    ck_assert(slice_valid(TEXT("a")));
    ck_assert(!slice_valid(slice_of(NULL, 1)));
}
END_TEST

START_TEST(prefixes)
{
    ck_assert(slice_starts_with(TEXT("abc"), TEXT("ab")));
    ck_assert(slice_starts_with(TEXT("abc"), TEXT("abc")));
    ck_assert(slice_starts_with(TEXT("abc"), slice_of(NULL, 0)));
    ck_assert(slice_starts_with(slice_of(NULL, 0), slice_of(NULL, 0)));
    ck_assert(!slice_starts_with(TEXT("ab"), TEXT("abc")));
    ck_assert(!slice_starts_with(TEXT("abc"), TEXT("b")));
}
END_TEST

static int sign(int value)
{
    return (value > 0) - (value < 0);
}

START_TEST(order)
{
    const mlkv_slice ascending[] = {
        slice_of(NULL, 0), TEXT("\0"), TEXT("\0\0"), TEXT("\0\1"), TEXT("a"),
        TEXT("a\0"),       TEXT("ab"), TEXT("b"),    TEXT("\377"),
    };
    const size_t n = sizeof ascending / sizeof ascending[0];
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            ck_assert_int_eq(sign(slice_compare(ascending[i], ascending[j])), (i > j) - (i < j));
}
END_TEST

START_TEST(numbers)
{
    unsigned char bytes[9] = {0};
    store_be32(bytes + 1, 0x01020304U);
    ck_assert_mem_eq(bytes, "\0\1\2\3\4", 5);
    ck_assert_uint_eq(load_be32(bytes + 1), 0x01020304U);
    store_be64(bytes + 1, 0x0102030405060708U);
    ck_assert_mem_eq(bytes, "\0\1\2\3\4\5\6\7\10", 9);
    ck_assert_uint_eq(load_be64(bytes + 1), 0x0102030405060708U);
    store_le32(bytes + 1, 0x01020304U);
    ck_assert_mem_eq(bytes, "\0\4\3\2\1\5", 6);
    ck_assert_uint_eq(load_le32(bytes + 1), 0x01020304U);
    store_le64(bytes + 1, 0x0102030405060708U);
    ck_assert_mem_eq(bytes, "\0\10\7\6\5\4\3\2\1", 9);
    ck_assert_uint_eq(load_le64(bytes + 1), 0x0102030405060708U);
}
END_TEST

/* Big-endian numbers sort as bytes the way they sort as numbers. */
START_TEST(big_endian_order)
{
    const uint64_t ascending[] = {0, 1, 255, 256, 65535, 1ULL << 32, UINT64_MAX - 1, UINT64_MAX};
    for (size_t i = 1; i < sizeof ascending / sizeof ascending[0]; i++) {
        unsigned char less[8];
        unsigned char more[8];
        store_be64(less, ascending[i - 1]);
        store_be64(more, ascending[i]);
        ck_assert_int_lt(slice_compare(slice_of(less, 8), slice_of(more, 8)), 0);
    }
}
END_TEST

START_TEST(rounding)
{
    ck_assert_uint_eq(round_up(0, 8), 0);
    ck_assert_uint_eq(round_up(1, 8), 8);
    ck_assert_uint_eq(round_up(8, 8), 8);
    ck_assert_uint_eq(round_up(4097, 4096), 8192);
}
END_TEST

START_TEST(copy_nothing)
{
    char kept = 'k';
    bytes_copy(NULL, NULL, 0);
    bytes_copy(&kept, NULL, 0);
    ck_assert_int_eq(kept, 'k');
    bytes_copy(&kept, "n", 1);
    ck_assert_int_eq(kept, 'n');
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bytes");
    TCase *tcase = harness_case(suite, "bytes");
    tcase_add_test(tcase, slices_of);
    tcase_add_test(tcase, prefixes);
    tcase_add_test(tcase, order);
    tcase_add_test(tcase, numbers);
    tcase_add_test(tcase, big_endian_order);
    tcase_add_test(tcase, rounding);
    tcase_add_test(tcase, copy_nothing);
    return harness_run(suite);
}
