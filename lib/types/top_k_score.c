/* top_k_score.c - inner products, cosines and distances of vectors of floats.
 *
 * A sum is kept in 32 parts, number i in part i % 32, so that it can be computed by vectors of any width and in flight several at once; the
 * parts are added at the end, in one order. So results are the same on every processor, but for fused multiplications, which round
 * once instead of twice: a score may differ in its last bits between machines.
 *
 * On x86-64 the same code is compiled twice, and the processor asked once a call: with AVX2 and FMA a row of 128 floats costs some 10 ns,
 * about what it takes to read it from memory.
 */
#include "types/top_k_score.h"

#include "types/dtype.h"

#include <math.h>
#include <string.h>

enum { LANES = 8, PARTS = 4, STEP = LANES * PARTS, TABLE_WORTH = 256 };

typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));
/* The same anywhere in memory. */
typedef float lanes_at __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));

/* --- the sums; `always_inline`, so that they are compiled for the processor of who calls them --- */

#define INLINE static inline __attribute__((always_inline))

INLINE float add_up(const lanes *parts)
{
    float sum = 0;
    lanes all = (parts[0] + parts[1]) + (parts[2] + parts[3]);
    for (int i = 0; i < LANES; i++)
        sum += all[i];
    return sum;
}

INLINE float sum_products(const float *a, const float *b, size_t width)
{
    lanes parts[PARTS] = {{0}};
    float rest = 0;
    size_t i = 0;
    for (; i + STEP <= width; i += STEP)
        for (int p = 0; p < PARTS; p++)
            parts[p] +=
                *(const lanes_at *)(a + i + p * LANES) * *(const lanes_at *)(b + i + p * LANES);
    for (; i < width; i++)
        rest += a[i] * b[i];
    return add_up(parts) + rest;
}

INLINE float sum_distances(const float *a, const float *b, size_t width)
{
    lanes parts[PARTS] = {{0}};
    float rest = 0;
    size_t i = 0;
    for (; i + STEP <= width; i += STEP)
        for (int p = 0; p < PARTS; p++) {
            lanes difference =
                *(const lanes_at *)(a + i + p * LANES) - *(const lanes_at *)(b + i + p * LANES);
            parts[p] += difference * difference;
        }
    for (; i < width; i++)
        rest += (a[i] - b[i]) * (a[i] - b[i]);
    return add_up(parts) + rest;
}

INLINE float cosine(const float *row, const float *query, size_t width, float query_length)
{
    float product = sum_products(row, query, width);
    float length = sqrtf(sum_products(row, row, width)) * query_length;
    return length == 0 ? 0 : product / length;
}

INLINE void score_all(mlkv_metric metric, const float *row, size_t rows, size_t width,
                      const float *query, float query_length, float *ret_scores)
{
    for (size_t i = 0; i < rows; i++, row += width)
        ret_scores[i] = metric == MLKV_INNER_PRODUCT ? sum_products(row, query, width)
                        : metric == MLKV_COSINE      ? cosine(row, query, width, query_length)
                                                     : -sum_distances(row, query, width);
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) static void
score_all_avx2(mlkv_metric metric, const float *row, size_t rows, size_t width, const float *query,
               float query_length, float *ret_scores)
{
    score_all(metric, row, rows, width, query, query_length, ret_scores);
}
#endif

void score_rows(mlkv_metric metric, const float *row, size_t rows, size_t width, const float *query,
                float query_length, float *ret_scores)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        score_all_avx2(metric, row, rows, width, query, query_length, ret_scores);
        return;
    }
#endif
    score_all(metric, row, rows, width, query, query_length, ret_scores);
}

float score_length(const float *vector, size_t width)
{
    return sqrtf(sum_products(vector, vector, width));
}

/* --- numbers of other dtypes --- */

bool score_known(int dtype)
{
    return dtype_known(dtype) && dtype != MLKV_C64 && dtype != MLKV_C128;
}

static void from_f8(const uint8_t *from, size_t n, float (*convert)(uint8_t), float *to)
{
    float table[256];
    for (unsigned code = 0; code < 256; code++)
        table[code] = convert((uint8_t)code);
    for (size_t i = 0; i < n; i++)
        to[i] = table[from[i]];
}

static void from_bf16(const unsigned char *from, size_t n, float *to)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t bits;
        memcpy(&bits, from + 2 * i, sizeof bits);
        uint32_t wide = (uint32_t)bits << 16;
        memcpy(to + i, &wide, sizeof wide);
    }
}

static void from_f16(const unsigned char *from, size_t n, float *to)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t bits;
        memcpy(&bits, from + 2 * i, sizeof bits);
        to[i] = dtype_from_f16(bits);
    }
}

#define DEFINE_FROM(type)                                                   \
    static void from_##type(const unsigned char *from, size_t n, float *to) \
    {                                                                       \
        for (size_t i = 0; i < n; i++) {                                    \
            type number;                                                    \
            memcpy(&number, from + i * sizeof number, sizeof number);       \
            to[i] = (float)number;                                          \
        }                                                                   \
    }
DEFINE_FROM(double)
DEFINE_FROM(int64_t)
DEFINE_FROM(int32_t)
DEFINE_FROM(int16_t)
DEFINE_FROM(int8_t)
DEFINE_FROM(uint64_t)
DEFINE_FROM(uint32_t)
DEFINE_FROM(uint16_t)
DEFINE_FROM(uint8_t)

void score_floats(int dtype, const void *from, size_t n, float *to)
{
    switch (dtype) {
    case MLKV_F32:
        memcpy(to, from, n * sizeof *to);
        break;
    case MLKV_F64:
        from_double(from, n, to);
        break;
    case MLKV_F16:
        from_f16(from, n, to);
        break;
    case MLKV_BF16:
        from_bf16(from, n, to);
        break;
    case MLKV_F8E4M3:
        from_f8(from, n, dtype_from_f8e4m3, to);
        break;
    case MLKV_F8E5M2:
        from_f8(from, n, dtype_from_f8e5m2, to);
        break;
    case MLKV_I64:
        from_int64_t(from, n, to);
        break;
    case MLKV_I32:
        from_int32_t(from, n, to);
        break;
    case MLKV_I16:
        from_int16_t(from, n, to);
        break;
    case MLKV_I8:
        from_int8_t(from, n, to);
        break;
    case MLKV_U64:
        from_uint64_t(from, n, to);
        break;
    case MLKV_U32:
        from_uint32_t(from, n, to);
        break;
    case MLKV_U16:
        from_uint16_t(from, n, to);
        break;
    default:
        from_uint8_t(from, n, to);
        break; /* u8, bool */
    }
}
