/* test_dtype.c - sizes, names, and the small floats against a slow reference that searches for the
 * nearest number. */
#include "types/dtype.h"

#include "harness.h"

#include <math.h>

START_TEST(test_table)
{
    static const struct {
        mlkv_dtype dtype;
        size_t size;
        const char *name;
    } expected[] = {{MLKV_F64, 8, "f64"},   {MLKV_F32, 4, "f32"},       {MLKV_F16, 2, "f16"},
                    {MLKV_BF16, 2, "bf16"}, {MLKV_F8E4M3, 1, "f8e4m3"}, {MLKV_F8E5M2, 1, "f8e5m2"},
                    {MLKV_I64, 8, "i64"},   {MLKV_I32, 4, "i32"},       {MLKV_I16, 2, "i16"},
                    {MLKV_I8, 1, "i8"},     {MLKV_U64, 8, "u64"},       {MLKV_U32, 4, "u32"},
                    {MLKV_U16, 2, "u16"},   {MLKV_U8, 1, "u8"},         {MLKV_BOOL, 1, "bool"},
                    {MLKV_C64, 8, "c64"},   {MLKV_C128, 16, "c128"}};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        ck_assert_uint_eq(i + 1, expected[i].dtype); /* the numbers stand in files */
        ck_assert_uint_eq(mlkv_dtype_size(expected[i].dtype), expected[i].size);
        ck_assert_str_eq(mlkv_dtype_name(expected[i].dtype), expected[i].name);
        ck_assert(dtype_known((int)i + 1));
    }
    static const int unknown[] = {0, -1, 18, 255, 1 << 30};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        ck_assert(!dtype_known(unknown[i]));
        ck_assert_uint_eq(mlkv_dtype_size((mlkv_dtype)unknown[i]), 0);
        ck_assert_str_eq(mlkv_dtype_name((mlkv_dtype)unknown[i]), "unknown");
    }
}
END_TEST

/* What a code of a small float means, from its definition. */
static double value_of(unsigned code, unsigned exponent_bits, unsigned mantissa_bits, int bias,
                       bool has_infinity)
{
    unsigned mantissa = code & ((1u << mantissa_bits) - 1),
             exponent = code >> mantissa_bits & ((1u << exponent_bits) - 1);
    double sign = code >> (exponent_bits + mantissa_bits) & 1 ? -1 : 1;
    if (has_infinity && exponent == (1u << exponent_bits) - 1)
        return mantissa == 0 ? sign * INFINITY : NAN;
    if (!has_infinity && (code & 0x7f) == 0x7f)
        return NAN;
    if (exponent == 0)
        return sign * ldexp(mantissa, 1 - bias - (int)mantissa_bits);
    return sign *
           ldexp((1u << mantissa_bits) + mantissa, (int)exponent - bias - (int)mantissa_bits);
}

typedef struct {
    unsigned exponent_bits, mantissa_bits;
    int bias;
    bool has_infinity;
    float (*from)(unsigned);
    unsigned (*to)(float);
} small_float;

static float from_f16(unsigned code)
{
    return dtype_from_f16((uint16_t)code);
}
static unsigned to_f16(float value)
{
    return dtype_to_f16(value);
}
static float from_bf16(unsigned code)
{
    return dtype_from_bf16((uint16_t)code);
}
static unsigned to_bf16(float value)
{
    return dtype_to_bf16(value);
}
static float from_f8e4m3(unsigned code)
{
    return dtype_from_f8e4m3((uint8_t)code);
}
static unsigned to_f8e4m3(float value)
{
    return dtype_to_f8e4m3(value);
}
static float from_f8e5m2(unsigned code)
{
    return dtype_from_f8e5m2((uint8_t)code);
}
static unsigned to_f8e5m2(float value)
{
    return dtype_to_f8e5m2(value);
}

static const small_float small_floats[] = {
    {5, 10, 15, true, from_f16, to_f16},
    {8, 7, 127, true, from_bf16, to_bf16},
    {4, 3, 7, false, from_f8e4m3, to_f8e4m3},
    {5, 2, 15, true, from_f8e5m2, to_f8e5m2},
};

/* Every code: its value, and the way back. */
START_TEST(test_codes)
{
    const small_float *type = &small_floats[_i];
    for (unsigned code = 0; code < 1u << (1 + type->exponent_bits + type->mantissa_bits); code++) {
        double expected = value_of(code, type->exponent_bits, type->mantissa_bits, type->bias,
                                   type->has_infinity);
        float got = type->from(code);
        if (isnan(expected)) {
            ck_assert_msg(isnan(got), "code %x is NaN, got %a", code, (double)got);
            ck_assert(isnan(type->from(type->to(got))));
            continue;
        }
        ck_assert_msg((double)got == expected && !signbit(got) == !signbit(expected),
                      "code %x: %a, got %a", code, expected, (double)got);
        ck_assert_msg(type->to(got) == code, "code %x comes back as %x", code, type->to(got));
    }
}
END_TEST

/* Between every two neighbours: the middle goes to the even one, a little less or more to the
 * nearer one. */
START_TEST(test_rounding)
{
    const small_float *type = &small_floats[_i];
    unsigned top =
        type->has_infinity ? ((1u << type->exponent_bits) - 1) << type->mantissa_bits : 0x7f;
    for (unsigned code = 0; code + 1 < top; code++) {
        double low = (double)type->from(code), high = (double)type->from(code + 1);
        float middle = (float)((low + high) / 2);
        if ((double)middle != (low + high) / 2)
            continue; /* bf16's smallest: the middle is no float */
        unsigned even = code % 2 == 0 ? code : code + 1,
                 sign = 1u << (type->exponent_bits + type->mantissa_bits);
        ck_assert_msg(type->to(middle) == even, "%a between %x and %x went to %x", (double)middle,
                      code, code + 1, type->to(middle));
        ck_assert_uint_eq(type->to(-middle), even | sign);
        ck_assert_uint_eq(type->to(nextafterf(middle, 0)), code);
        ck_assert_uint_eq(type->to(nextafterf(middle, INFINITY)), code + 1);
    }
}
END_TEST

START_TEST(test_ends)
{
    ck_assert_uint_eq(dtype_to_f8e4m3(448), 0x7e);
    ck_assert_uint_eq(dtype_to_f8e4m3(464), 0x7e); /* the middle to the missing 480: even */
    ck_assert_uint_eq(dtype_to_f8e4m3(nextafterf(464, 500)), 0x7f);
    ck_assert_uint_eq(dtype_to_f8e4m3(-1e9f), 0xff);
    ck_assert_uint_eq(dtype_to_f8e4m3(INFINITY), 0x7f);
    ck_assert_uint_eq(dtype_to_f8e5m2(57344), 0x7b);
    ck_assert_uint_eq(dtype_to_f8e5m2(nextafterf(61440, 0)), 0x7b);
    ck_assert_uint_eq(dtype_to_f8e5m2(61440), 0x7c);
    ck_assert_uint_eq(dtype_to_f8e5m2(-INFINITY), 0xfc);
    ck_assert_uint_eq(dtype_to_f16(65504), 0x7bff);
    ck_assert_uint_eq(dtype_to_f16(nextafterf(65520, 0)), 0x7bff);
    ck_assert_uint_eq(dtype_to_f16(65520), 0x7c00);
    ck_assert_uint_eq(dtype_to_f16(-INFINITY), 0xfc00);
    ck_assert_uint_eq(dtype_to_bf16(3.4e38f), 0x7f80);
    ck_assert_uint_eq(dtype_to_bf16(0x1.fep127f), 0x7f7f);
    ck_assert(isnan(dtype_from_f16(dtype_to_f16(-NAN))));
    ck_assert(isnan(dtype_from_bf16(dtype_to_bf16(NAN))));
    for (size_t i = 0; i < sizeof small_floats / sizeof *small_floats; i++) {
        ck_assert_uint_eq(small_floats[i].to(0x1p-149f), 0);
        ck_assert(signbit(small_floats[i].from(small_floats[i].to(-0x1p-149f))));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dtype");
    TCase *tcase = harness_case(suite, "dtype");
    tcase_add_test(tcase, test_table);
    tcase_add_loop_test(tcase, test_codes, 0, 4);
    tcase_add_loop_test(tcase, test_rounding, 0, 4);
    tcase_add_test(tcase, test_ends);
    return harness_run(suite);
}
