/* test_arithmetic.c - old + alpha * delta of every dtype against a naive element-by-element
 * reference. */
#include "types/arithmetic.h"

#include "base/random.h"
#include "harness.h"
#include "types/dtype.h"

#include <math.h>

enum { COUNT = 1037, SIZE_MAX_BYTES = COUNT * 16 };

static float float_of(int dtype, const unsigned char *at)
{
    uint16_t half;
    float value;
    memcpy(&half, at, 2);
    switch (dtype) {
    case MLKV_F32:
        memcpy(&value, at, 4);
        return value;
    case MLKV_F16:
        return dtype_from_f16(half);
    case MLKV_BF16:
        return dtype_from_bf16(half);
    case MLKV_F8E4M3:
        return dtype_from_f8e4m3(*at);
    default:
        return dtype_from_f8e5m2(*at);
    }
}

static void put_float(int dtype, unsigned char *at, float value)
{
    uint16_t half = dtype == MLKV_F16 ? dtype_to_f16(value) : dtype_to_bf16(value);
    if (dtype == MLKV_F32)
        memcpy(at, &value, 4);
    else if (dtype == MLKV_F16 || dtype == MLKV_BF16)
        memcpy(at, &half, 2);
    else
        *at = dtype == MLKV_F8E4M3 ? dtype_to_f8e4m3(value) : dtype_to_f8e5m2(value);
}

static bool is_unsigned(int dtype)
{
    return dtype >= MLKV_U64 && dtype <= MLKV_U8;
}

static long double whole_of(int dtype, const unsigned char *at)
{
    uint64_t bits = 0;
    size_t size = mlkv_dtype_size((mlkv_dtype)dtype);
    memcpy(&bits, at, size);
    if (is_unsigned(dtype))
        return (long double)bits;
    unsigned shift = 64 - 8 * (unsigned)size;
    return (long double)((int64_t)(bits << shift) >> shift);
}

static void put_whole(int dtype, unsigned char *at, long double value)
{
    unsigned bits = 8 * (unsigned)mlkv_dtype_size((mlkv_dtype)dtype);
    long double low = is_unsigned(dtype) ? 0 : -ldexpl(1, (int)bits - 1);
    long double high = is_unsigned(dtype) ? ldexpl(1, (int)bits) - 1 : ldexpl(1, (int)bits - 1) - 1;
    value = value < low ? low : value > high ? high : value;
    uint64_t result = is_unsigned(dtype) ? (uint64_t)value : (uint64_t)(int64_t)value;
    memcpy(at, &result, bits / 8);
}

/* One element; of a complex number one half. */
static void reference(int dtype, unsigned char *sum, const unsigned char *old, double alpha,
                      const unsigned char *delta)
{
    double a, b;
    if (dtype == MLKV_F64) {
        memcpy(&a, old, 8);
        memcpy(&b, delta, 8);
        volatile double product = alpha * b;
        a += product;
        memcpy(sum, &a, 8);
    } else if (dtype == MLKV_BOOL) {
        *sum = *old != 0 || (*delta != 0 && alpha != 0);
    } else if (dtype_is_integer(dtype)) {
        put_whole(dtype, sum,
                  whole_of(dtype, old) + roundl((long double)alpha * whole_of(dtype, delta)));
    } else {
        volatile float product = (float)alpha * float_of(dtype, delta);
        put_float(dtype, sum, float_of(dtype, old) + product);
    }
}

static bool is_nan(int dtype, const unsigned char *at)
{
    double value;
    memcpy(&value, at, 8);
    return !dtype_is_integer(dtype) &&
           (dtype == MLKV_F64 ? isnan(value) : isnan(float_of(dtype, at)));
}

/* Compares with the reference at an odd address, as in a record. */
static void compare(int dtype, const unsigned char *old, double alpha, const unsigned char *delta,
                    size_t n)
{
    static unsigned char memory[3 * SIZE_MAX_BYTES + 64], expected[16];
    unsigned char *sum = memory + 1, *a = memory + SIZE_MAX_BYTES + 18,
                  *b = memory + 2 * SIZE_MAX_BYTES + 35;
    int part = dtype == MLKV_C64 ? MLKV_F32 : dtype == MLKV_C128 ? MLKV_F64 : dtype;
    size_t size = mlkv_dtype_size((mlkv_dtype)dtype) * n, step = mlkv_dtype_size((mlkv_dtype)part);
    memcpy(a, old, size);
    memcpy(b, delta, size);
    memset(memory, 0xa5, SIZE_MAX_BYTES + 17);
    arithmetic_add(dtype, sum, a, alpha, b, n);
    ck_assert_uint_eq(memory[0], 0xa5);
    ck_assert_uint_eq(sum[size], 0xa5);
    for (size_t i = 0; i < size; i += step) {
        unsigned char padded[16] = {0}; /* the reference reads up to 8 bytes */
        reference(part, expected, a + i, alpha, b + i);
        memcpy(padded, sum + i, step);
        if (is_nan(part, expected))
            ck_assert_msg(is_nan(part, padded), "%s element %zu: NaN expected",
                          mlkv_dtype_name((mlkv_dtype)dtype), i / step);
        else
            ck_assert_msg(memcmp(expected, padded, step) == 0, "%s element %zu, alpha %a",
                          mlkv_dtype_name((mlkv_dtype)dtype), i / step, alpha);
    }
}

static const double alphas[] = {1,     -1,      0,      0.5,  -2.75,  3,     1e-3,
                                12345, -0x1p30, 0x1p31, 1e18, 0x1p62, -1e30, 1e300};

START_TEST(test_random)
{
    static uint64_t old[2 * COUNT], delta[2 * COUNT];
    int dtype = _i;
    for (size_t a = 0; a < sizeof alphas / sizeof *alphas; a++) {
        for (size_t i = 0; i < 2 * COUNT; i++) {
            old[i] = random_u64();
            delta[i] = random_u64();
        }
        /* the reference's long double holds 64 bits: with large factors 64-bit numbers need small
         * operands to stay exact */
        if (dtype == MLKV_I64 || dtype == MLKV_U64) {
            for (size_t i = 0; i < COUNT; i++) {
                old[i] >>= i % 2 == 0 ? 2 : 40;
                delta[i] >>= 40;
            }
        }
        compare(dtype, (unsigned char *)old, alphas[a], (unsigned char *)delta, COUNT);
        for (size_t n = 0; n < 20; n++)
            compare(dtype, (unsigned char *)old, alphas[a], (unsigned char *)delta, n);
    }
}
END_TEST

/* All pairs of codes of the small types. */
START_TEST(test_all_pairs)
{
    static const int dtypes[] = {MLKV_F8E4M3, MLKV_F8E5M2, MLKV_I8, MLKV_U8, MLKV_BOOL};
    unsigned char old[256], delta[256];
    for (unsigned d = 0; d < 256; d++) {
        for (unsigned i = 0; i < 256; i++) {
            old[i] = (unsigned char)i;
            delta[i] = (unsigned char)d;
        }
        compare(dtypes[_i], old, 1, delta, 256);
        compare(dtypes[_i], old, -1.5, delta, 256);
    }
}
END_TEST

START_TEST(test_f16_all)
{
    static uint16_t old[COUNT], delta[COUNT];
    for (uint32_t start = 0; start < 0x10000; start += COUNT) {
        for (uint32_t i = 0; i < COUNT; i++) {
            old[i] = (uint16_t)(start + i);
            delta[i] = (uint16_t)random_u64();
        }
        compare(MLKV_F16, (unsigned char *)old, -0.37, (unsigned char *)delta, COUNT);
        compare(MLKV_BF16, (unsigned char *)old, -0.37, (unsigned char *)delta, COUNT);
    }
}
END_TEST

#define CHECK_ONE(type, dtype, old_value, alpha, delta_value, expected) \
    do {                                                                \
        type old = (old_value), delta = (delta_value), sum = 0;         \
        arithmetic_add(dtype, &sum, &old, alpha, &delta, 1);            \
        ck_assert(sum == (type)(expected));                             \
    } while (0)

START_TEST(test_ends)
{
    CHECK_ONE(int64_t, MLKV_I64, INT64_MAX, 1, 1, INT64_MAX);
    CHECK_ONE(int64_t, MLKV_I64, INT64_MIN, 1, -1, INT64_MIN);
    CHECK_ONE(int64_t, MLKV_I64, INT64_MIN, -1, INT64_MIN, 0);
    CHECK_ONE(int64_t, MLKV_I64, -1, 1, INT64_MAX, INT64_MAX - 1);
    CHECK_ONE(int64_t, MLKV_I64, 5, 1e300, 1, INT64_MAX);
    CHECK_ONE(int64_t, MLKV_I64, 5, 1e300, -1, INT64_MIN);
    CHECK_ONE(int64_t, MLKV_I64, 5, 1e300, 0, 5);
    CHECK_ONE(uint64_t, MLKV_U64, UINT64_MAX, 1, UINT64_MAX, UINT64_MAX);
    CHECK_ONE(uint64_t, MLKV_U64, UINT64_MAX, -1, UINT64_MAX, 0);
    CHECK_ONE(uint64_t, MLKV_U64, UINT64_MAX, -1, 1, UINT64_MAX - 1);
    CHECK_ONE(uint64_t, MLKV_U64, 3, -1, 4, 0);
    CHECK_ONE(int32_t, MLKV_I32, 10, 0.5, 3, 12); /* 1.5: away from zero */
    CHECK_ONE(int32_t, MLKV_I32, 10, 0.5, -3, 8);
    CHECK_ONE(int32_t, MLKV_I32, 10, 0.49, 1, 10);
    CHECK_ONE(uint8_t, MLKV_U8, 250, 1, 10, 255);
    CHECK_ONE(int8_t, MLKV_I8, -100, 1, -100, -128);
    CHECK_ONE(uint8_t, MLKV_BOOL, 0, 1, 7, 1);
    CHECK_ONE(uint8_t, MLKV_BOOL, 0, 0, 7, 0);
    CHECK_ONE(uint8_t, MLKV_BOOL, 9, 0, 0, 1);
}
END_TEST

START_TEST(test_alpha)
{
    for (int dtype = MLKV_F64; dtype <= MLKV_C128; dtype++) {
        int expected = dtype_is_integer(dtype) ? MLKV_E_NUMBER : MLKV_OK;
        OK(arithmetic_check(dtype, -1.5));
        MUST(expected, arithmetic_check(dtype, (double)NAN));
        MUST(expected, arithmetic_check(dtype, (double)-INFINITY));
    }
}
END_TEST

/* One element's product, without the sum that arithmetic_scale makes it from: -0.0 stays what it is. */
static void reference_scale(int dtype, unsigned char *to, const unsigned char *old, double factor)
{
    double value;
    if (dtype == MLKV_F64) {
        memcpy(&value, old, 8);
        value *= factor;
        memcpy(to, &value, 8);
    } else if (dtype == MLKV_BOOL) {
        *to = *old != 0 && factor != 0;
    } else if (dtype_is_integer(dtype)) {
        put_whole(dtype, to, roundl((long double)factor * whole_of(dtype, old)));
    } else {
        put_float(dtype, to, (float)factor * float_of(dtype, old));
    }
}

START_TEST(test_scale)
{
    static const double factors[] = {1, -1, 0, -0.0, 0.5, -2.75, 1e-3, 12345, 1e18, -1e30};
    static unsigned char memory[2 * SIZE_MAX_BYTES + 64];
    int dtype = _i, part = dtype == MLKV_C64 ? MLKV_F32 : dtype == MLKV_C128 ? MLKV_F64 : dtype;
    unsigned char *old = memory + 1, *to = memory + SIZE_MAX_BYTES + 18, expected[16];
    size_t size = mlkv_dtype_size((mlkv_dtype)dtype) * COUNT,
           step = mlkv_dtype_size((mlkv_dtype)part);
    for (size_t f = 0; f < sizeof factors / sizeof *factors; f++) {
        for (size_t i = 0; i < size; i++)
            old[i] = (unsigned char)random_u64();
        memset(old, 0, step);
        memset(old + step, 0, step);
        old[2 * step - 1] = 0x80; /* -0.0, or the lowest number */
        for (size_t i = 0; step == 8 && dtype_is_integer(dtype) && i < size; i += 8)
            memset(old + i + 5, 0, 3); /* so that the reference is exact */
        to[size] = 0xa5;
        arithmetic_scale(dtype, to, old, factors[f], COUNT);
        ck_assert_uint_eq(to[size], 0xa5);
        for (size_t i = 0; i < size; i += step) {
            unsigned char padded[16] = {0};
            memcpy(padded, to + i, step);
            reference_scale(part, expected, old + i, factors[f]);
            if (!(is_nan(part, expected) && is_nan(part, padded)) &&
                memcmp(expected, padded, step) != 0)
                ck_abort_msg("%s element %zu, factor %a", mlkv_dtype_name((mlkv_dtype)dtype),
                             i / step, factors[f]);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("arithmetic");
    TCase *tcase = harness_case(suite, "arithmetic");
    tcase_add_loop_test(tcase, test_random, MLKV_F64, MLKV_C128 + 1);
    tcase_add_loop_test(tcase, test_all_pairs, 0, 5);
    tcase_add_test(tcase, test_f16_all);
    tcase_add_test(tcase, test_ends);
    tcase_add_test(tcase, test_alpha);
    tcase_add_loop_test(tcase, test_scale, MLKV_F64, MLKV_C128 + 1);
    return harness_run(suite);
}
