/* dtype.c - the table of element types and the conversions of the small floats.
 *
 * One table gives size and name of each dtype, at the place of its enum value, which stands in
 * files and never changes.
 *
 * Conversion to a small float with M mantissa bits and bias B, from a float's bits without sign:
 *   - Below the smallest normal number, 2^(1-B): add the float whose last place is worth one
 *     smallest subnormal, 2^(1-B-M), so that the processor rounds. What the sum's bits exceed that
 *     float's by is the result.
 *   - Otherwise: rebias the exponent, add just under half of the place that falls away (exactly
 *     half if the kept part is odd), shift. A carry runs into the exponent as it must. A result at
 *     or above the code of infinity (in f8e4m3: of NaN) is that code.
 *
 * Invariants:
 *  1. The conversion from a small float is exact.
 *  2. to(from(x)) == x for every x that is no NaN.
 *  3. NaN stays NaN.
 *
 * No state, no locks.
 */
#include "types/dtype.h"

#include <string.h>

static const struct {
    uint8_t size;
    char name[8];
} dtypes[] = {
    [MLKV_F64] = {8, "f64"},   [MLKV_F32] = {4, "f32"},       [MLKV_F16] = {2, "f16"},
    [MLKV_BF16] = {2, "bf16"}, [MLKV_F8E4M3] = {1, "f8e4m3"}, [MLKV_F8E5M2] = {1, "f8e5m2"},
    [MLKV_I64] = {8, "i64"},   [MLKV_I32] = {4, "i32"},       [MLKV_I16] = {2, "i16"},
    [MLKV_I8] = {1, "i8"},     [MLKV_U64] = {8, "u64"},       [MLKV_U32] = {4, "u32"},
    [MLKV_U16] = {2, "u16"},   [MLKV_U8] = {1, "u8"},         [MLKV_BOOL] = {1, "bool"},
    [MLKV_C64] = {8, "c64"},   [MLKV_C128] = {16, "c128"},
};

planes_form dtype_planes(int dtype)
{
    if (!dtype_known(dtype))
        return (planes_form){0};
    bool complex = dtype == MLKV_C64 || dtype == MLKV_C128; /* of two floats */
    return (planes_form){
        .width = complex ? dtypes[dtype].size / 2 : dtypes[dtype].size,
        .rotated = !dtype_is_integer(dtype) && dtypes[dtype].size > 1,
    };
}

bool dtype_known(int dtype)
{
    return dtype >= MLKV_F64 && dtype <= MLKV_C128;
}

bool dtype_is_integer(int dtype)
{
    return dtype >= MLKV_I64 && dtype <= MLKV_BOOL;
}

size_t mlkv_dtype_size(mlkv_dtype dtype)
{
    return dtype_known((int)dtype) ? dtypes[dtype].size : 0;
}

const char *mlkv_dtype_name(mlkv_dtype dtype)
{
    return dtype_known((int)dtype) ? dtypes[dtype].name : "unknown";
}

static uint32_t float_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float bits_float(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The code of |value| in a small float whose codes end at `top` (infinity, or the only NaN); NaN is
 * the caller's. */
static inline uint32_t narrow(uint32_t magnitude, uint32_t mantissa_bits, uint32_t bias,
                              uint32_t top)
{
    if (magnitude < (128 - bias) << 23) {
        uint32_t unit = (128 - bias - mantissa_bits + 23) << 23; /* 2^(1-B-M+23) */
        return float_bits(bits_float(magnitude) + bits_float(unit)) - unit;
    }
    uint32_t shift = 23 - mantissa_bits;
    uint32_t odd = (magnitude >> shift) & 1;
    uint32_t code = (magnitude - ((127 - bias) << 23) + ((1u << (shift - 1)) - 1) + odd) >> shift;
    return code > top ? top : code;
}

/* The float of a small float's code without sign, infinity and NaN excepted. */
static inline float widen(uint32_t code, uint32_t mantissa_bits, uint32_t bias)
{
    if (code >> mantissa_bits == 0)
        return (float)code * bits_float((128 - bias - mantissa_bits) << 23);
    return bits_float((code << (23 - mantissa_bits)) + ((127 - bias) << 23));
}

static inline float with_sign(float magnitude, bool negative)
{
    return negative ? -magnitude : magnitude;
}

enum { FLOAT_INFINITY_BITS = 0x7f800000 };

float dtype_from_f16(uint16_t bits)
{
    uint32_t code = bits & 0x7fffu;
    if (code >= 0x7c00)
        return bits_float(((uint32_t)bits & 0x8000u) << 16 | FLOAT_INFINITY_BITS |
                          (code & 0x3ffu) << 13);
    return with_sign(widen(code, 10, 15), bits >> 15);
}

uint16_t dtype_to_f16(float value)
{
    uint32_t bits = float_bits(value), magnitude = bits & 0x7fffffffu, sign = bits >> 16 & 0x8000u;
    if (magnitude > FLOAT_INFINITY_BITS)
        return (uint16_t)(sign | 0x7e00u |
                          (magnitude >> 13 & 0x1ffu)); /* quiet, the payload's upper bits kept */
    return (uint16_t)(sign | narrow(magnitude, 10, 15, 0x7c00));
}

float dtype_from_bf16(uint16_t bits)
{
    return bits_float((uint32_t)bits << 16);
}

uint16_t dtype_to_bf16(float value)
{
    uint32_t bits = float_bits(value);
    if ((bits & 0x7fffffffu) > FLOAT_INFINITY_BITS)
        return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

float dtype_from_f8e4m3(uint8_t bits)
{
    uint32_t code = bits & 0x7fu;
    if (code == 0x7f)
        return bits_float(((uint32_t)bits & 0x80u) << 24 | 0x7fc00000u);
    return with_sign(widen(code, 3, 7), bits >> 7);
}

uint8_t dtype_to_f8e4m3(float value)
{
    uint32_t bits = float_bits(value), magnitude = bits & 0x7fffffffu, sign = bits >> 24 & 0x80u;
    if (magnitude > FLOAT_INFINITY_BITS)
        return (uint8_t)(sign | 0x7fu);
    return (uint8_t)(sign | narrow(magnitude, 3, 7, 0x7f));
}

float dtype_from_f8e5m2(uint8_t bits)
{
    uint32_t code = bits & 0x7fu;
    if (code > 0x7c)
        return bits_float(((uint32_t)bits & 0x80u) << 24 | 0x7fc00000u);
    if (code == 0x7c)
        return bits_float(((uint32_t)bits & 0x80u) << 24 | FLOAT_INFINITY_BITS);
    return with_sign(widen(code, 2, 15), bits >> 7);
}

uint8_t dtype_to_f8e5m2(float value)
{
    uint32_t bits = float_bits(value), magnitude = bits & 0x7fffffffu, sign = bits >> 24 & 0x80u;
    if (magnitude > FLOAT_INFINITY_BITS)
        return (uint8_t)(sign | 0x7fu);
    return (uint8_t)(sign | narrow(magnitude, 2, 15, 0x7c));
}
