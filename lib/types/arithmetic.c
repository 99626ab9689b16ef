/* arithmetic.c - the sums behind mlkv_tensor_add, and the products behind mlkv_tensor_scale.
 *
 * What is computed, and in what:
 *   f64, c128      double: round(old + round(alpha * d))
 *   f32, c64       float, alpha rounded to float first: as an optimiser's own loop would
 *   f16, bf16, f8  float as above, the sum rounded once, to the nearest, ties to even (dtype.h)
 *   whole numbers  exact for an integral alpha; otherwise alpha * d is rounded to the nearest whole
 *                  number, halves away from zero. A sum out of range becomes the range's end
 *   bool           old or (d and alpha != 0); the result is 0 or 1
 * Product and sum are never fused, so the result is the same whatever the processor has.
 *
 * The loops are the hot ones of a parameter server: plain, over unaligned types (a raw cell's bytes
 * begin at an odd address), so that the compiler makes vector code of them at any -O level. f16 has
 * a second form for processors with F16C, bit for bit the same but for payloads of NaN.
 *
 * No state, no locks.
 */
#include "types/arithmetic.h"

#include "base/error.h"
#include "types/dtype.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#define HOT
#else
#define HOT __attribute__((optimize("O3", "fp-contract=off")))
#endif

__extension__ typedef __int128 int128;

typedef double f64_bytes __attribute__((aligned(1), may_alias));
typedef float f32_bytes __attribute__((aligned(1), may_alias));
typedef uint16_t u16_bytes __attribute__((aligned(1), may_alias));
typedef uint32_t u32_bytes __attribute__((aligned(1), may_alias));
typedef uint64_t u64_bytes __attribute__((aligned(1), may_alias));
typedef int16_t i16_bytes __attribute__((aligned(1), may_alias));
typedef int32_t i32_bytes __attribute__((aligned(1), may_alias));
typedef int64_t i64_bytes __attribute__((aligned(1), may_alias));
typedef uint8_t u8_bytes;
typedef int8_t i8_bytes;

int arithmetic_check(int dtype, double alpha)
{
    if (dtype_is_integer(dtype) && !isfinite(alpha))
        return error_set(MLKV_E_NUMBER,
                         "alpha is %f, which whole numbers (%s) cannot be multiplied by", alpha,
                         mlkv_dtype_name((mlkv_dtype)dtype));
    return MLKV_OK;
}

HOT static void add_f64(f64_bytes *restrict sum, const f64_bytes *restrict old, double alpha,
                        const f64_bytes *restrict delta, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sum[i] = old[i] + alpha * delta[i];
}

HOT static void add_f32(f32_bytes *restrict sum, const f32_bytes *restrict old, float alpha,
                        const f32_bytes *restrict delta, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sum[i] = old[i] + alpha * delta[i];
}

/* Rounding as in dtype_to_bf16, written without a branch, for the vectoriser. */
HOT static void add_bf16(u16_bytes *restrict sum, const u16_bytes *restrict old, float alpha,
                         const u16_bytes *restrict delta, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        union {
            uint32_t bits;
            float value;
        } a = {(uint32_t)old[i] << 16}, b = {(uint32_t)delta[i] << 16}, c;
        c.value = a.value + alpha * b.value;
        uint32_t rounded = (c.bits + 0x7fffu + (c.bits >> 16 & 1)) >> 16;
        uint32_t quiet = c.bits >> 16 | 0x40u;
        sum[i] = (uint16_t)((c.bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
    }
}

HOT static void add_f16_portable(u16_bytes *restrict sum, const u16_bytes *restrict old,
                                 float alpha, const u16_bytes *restrict delta, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sum[i] = dtype_to_f16(dtype_from_f16(old[i]) + alpha * dtype_from_f16(delta[i]));
}

#if defined(__x86_64__) && \
    !defined(__clang__) /* whose test for a processor's features does not know this one */
#define HAVE_F16C 1
#include <immintrin.h>

__attribute__((target("avx,f16c"))) static void
add_f16_f16c(u16_bytes *restrict sum, const u16_bytes *restrict old, float alpha,
             const u16_bytes *restrict delta, size_t n)
{
    size_t i = 0;
    __m256 factor = _mm256_set1_ps(alpha);
    for (; i + 8 <= n; i += 8) {
        __m256 a = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(old + i)));
        __m256 b = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(delta + i)));
        __m256 c = _mm256_add_ps(a, _mm256_mul_ps(factor, b));
        _mm_storeu_si128((__m128i *)(void *)(sum + i),
                         _mm256_cvtps_ph(c, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    }
    add_f16_portable(sum + i, old + i, alpha, delta + i, n - i);
}
#endif

static void add_f16(u16_bytes *restrict sum, const u16_bytes *restrict old, float alpha,
                    const u16_bytes *restrict delta, size_t n)
{
#ifdef HAVE_F16C
    if (__builtin_cpu_supports("f16c")) {
        add_f16_f16c(sum, old, alpha, delta, n);
        return;
    }
#endif
    add_f16_portable(sum, old, alpha, delta, n);
}

/* All 256 values are looked up: worth it from a few hundred elements on, harmless below. */
static void add_f8(u8_bytes *restrict sum, const u8_bytes *restrict old, float alpha,
                   const u8_bytes *restrict delta, size_t n, float (*from)(uint8_t),
                   uint8_t (*to)(float))
{
    float table[256];
    for (unsigned code = 0; code < 256; code++)
        table[code] = from((uint8_t)code);
    for (size_t i = 0; i < n; i++) {
        float product = alpha * table[delta[i]];
        sum[i] = to(table[old[i]] + product);
    }
}

/* The smaller whole numbers with an integral alpha of at most 2^30: every product and sum fits 64
 * bits. */
#define DEFINE_ADD_SMALL(type, low, high)                                                          \
    HOT static void add_small_##type(type##_bytes *restrict sum, const type##_bytes *restrict old, \
                                     int64_t alpha, const type##_bytes *restrict delta, size_t n)  \
    {                                                                                              \
        for (size_t i = 0; i < n; i++) {                                                           \
            int64_t value = (int64_t)old[i] + alpha * (int64_t)delta[i];                           \
            value = value < (low) ? (low) : value;                                                 \
            value = value > (high) ? (high) : value;                                               \
            sum[i] = (type##_bytes)value;                                                          \
        }                                                                                          \
    }
DEFINE_ADD_SMALL(i32, INT32_MIN, INT32_MAX)
DEFINE_ADD_SMALL(i16, INT16_MIN, INT16_MAX)
DEFINE_ADD_SMALL(i8, INT8_MIN, INT8_MAX)
DEFINE_ADD_SMALL(u32, 0, (int64_t)UINT32_MAX)
DEFINE_ADD_SMALL(u16, 0, UINT16_MAX)
DEFINE_ADD_SMALL(u8, 0, UINT8_MAX)

/* alpha * d as a whole number, bounded to +-2^126 so that a sum with any 64-bit number fits.
 * `whole`: alpha is integral and below 2^62. */
static inline int128 product_whole(bool whole, int128 alpha_whole, double alpha, int128 d)
{
    if (whole)
        return alpha_whole * d;
    long double product = roundl((long double)alpha * (long double)d);
    if (product >= 0x1p126L)
        return (int128)1 << 126;
    if (product <= -0x1p126L)
        return -((int128)1 << 126);
    return (int128)product;
}

/* Any alpha, any whole number. */
#define DEFINE_ADD_WHOLE(type, low, high)                                                      \
    static void add_whole_##type(type##_bytes *restrict sum, const type##_bytes *restrict old, \
                                 double alpha, const type##_bytes *restrict delta, size_t n)   \
    {                                                                                          \
        bool whole = fabs(alpha) < 0x1p62 && alpha == trunc(alpha);                            \
        int128 alpha_whole = whole ? (int128)alpha : 0;                                        \
        for (size_t i = 0; i < n; i++) {                                                       \
            int128 value =                                                                     \
                (int128)old[i] + product_whole(whole, alpha_whole, alpha, (int128)delta[i]);   \
            value = value < (low) ? (low) : value;                                             \
            value = value > (high) ? (high) : value;                                           \
            sum[i] = (type##_bytes)value;                                                      \
        }                                                                                      \
    }
DEFINE_ADD_WHOLE(i64, INT64_MIN, INT64_MAX)
DEFINE_ADD_WHOLE(i32, INT32_MIN, INT32_MAX)
DEFINE_ADD_WHOLE(i16, INT16_MIN, INT16_MAX)
DEFINE_ADD_WHOLE(i8, INT8_MIN, INT8_MAX)
DEFINE_ADD_WHOLE(u64, 0, (int128)UINT64_MAX)
DEFINE_ADD_WHOLE(u32, 0, (int128)UINT32_MAX)
DEFINE_ADD_WHOLE(u16, 0, UINT16_MAX)
DEFINE_ADD_WHOLE(u8, 0, UINT8_MAX)

static void add_bool(u8_bytes *restrict sum, const u8_bytes *restrict old, double alpha,
                     const u8_bytes *restrict delta, size_t n)
{
    bool counts = alpha != 0;
    for (size_t i = 0; i < n; i++)
        sum[i] = (uint8_t)((old[i] != 0) | (counts & (delta[i] != 0)));
}

#define ADD_INTEGER(type)                                     \
    if (small)                                                \
        add_small_##type(sum, old, (int64_t)alpha, delta, n); \
    else                                                      \
        add_whole_##type(sum, old, alpha, delta, n)

static void add_integer(int dtype, void *restrict sum, const void *restrict old, double alpha,
                        const void *restrict delta, size_t n)
{
    bool small = fabs(alpha) <= 0x1p30 && alpha == trunc(alpha);
    switch (dtype) {
    case MLKV_I64:
        add_whole_i64(sum, old, alpha, delta, n);
        break;
    case MLKV_U64:
        add_whole_u64(sum, old, alpha, delta, n);
        break;
    case MLKV_I32:
        ADD_INTEGER(i32);
        break;
    case MLKV_I16:
        ADD_INTEGER(i16);
        break;
    case MLKV_I8:
        ADD_INTEGER(i8);
        break;
    case MLKV_U32:
        ADD_INTEGER(u32);
        break;
    case MLKV_U16:
        ADD_INTEGER(u16);
        break;
    case MLKV_U8:
        ADD_INTEGER(u8);
        break;
    default:
        add_bool(sum, old, alpha, delta, n);
        break;
    }
}

void arithmetic_add(int dtype, void *restrict sum, const void *restrict old, double alpha,
                    const void *restrict delta, size_t n)
{
    switch (dtype) {
    case MLKV_F64:
        add_f64(sum, old, alpha, delta, n);
        break;
    case MLKV_C128:
        add_f64(sum, old, alpha, delta, 2 * n);
        break;
    case MLKV_F32:
        add_f32(sum, old, (float)alpha, delta, n);
        break;
    case MLKV_C64:
        add_f32(sum, old, (float)alpha, delta, 2 * n);
        break;
    case MLKV_F16:
        add_f16(sum, old, (float)alpha, delta, n);
        break;
    case MLKV_BF16:
        add_bf16(sum, old, (float)alpha, delta, n);
        break;
    case MLKV_F8E4M3:
        add_f8(sum, old, (float)alpha, delta, n, dtype_from_f8e4m3, dtype_to_f8e4m3);
        break;
    case MLKV_F8E5M2:
        add_f8(sum, old, (float)alpha, delta, n, dtype_from_f8e5m2, dtype_to_f8e5m2);
        break;
    default:
        add_integer(dtype, sum, old, alpha, delta, n);
        break;
    }
}

/* -0.0 is what changes nothing when something is added to it, not even the sign of a zero. */
static void fill_zeros(int dtype, unsigned char *zeros, size_t size)
{
    size_t width = mlkv_dtype_size((mlkv_dtype)dtype);
    memset(zeros, 0, size);
    if (dtype_is_integer(dtype))
        return;
    if (dtype == MLKV_C64 || dtype == MLKV_C128)
        width /= 2;
    for (size_t i = width - 1; i < size; i += width)
        zeros[i] = 0x80;
}

void arithmetic_scale(int dtype, void *restrict to, const void *restrict old, double factor,
                      size_t n)
{
    enum { BLOCK_BYTES = 4096 }; /* stays in a core's first cache */
    unsigned char zeros[BLOCK_BYTES], *out = to;
    const unsigned char *in = old;
    size_t width = mlkv_dtype_size((mlkv_dtype)dtype), left = n * width;
    fill_zeros(dtype, zeros, left < sizeof zeros ? left : sizeof zeros);
    while (left != 0) {
        size_t size = left < sizeof zeros ? left : sizeof zeros;
        arithmetic_add(dtype, out, zeros, factor, in, size / width);
        out += size;
        in += size;
        left -= size;
    }
}
