/* planes_shuffle.c - elements to byte planes and back.
 *
 * Two forms of each: plain loops, which any machine runs, and SSE2 for elements of 2, 4 and 8 bytes. Every x86-64 has SSE2, so nothing is
 * chosen at run time; wider vectors would gain little, because memory and the entropy coder set the pace.
 *
 * Invariant: both forms give the same bytes (tests/codec/test_planes.c).
 * No state, no locks.
 */
#include "codec/planes.h"

#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* --- plain --- */

static uint64_t load(const unsigned char *from, unsigned width)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < width; i++)
        value |= (uint64_t)from[i] << 8 * i;
    return value;
}

/* By one bit, of a number of so many bytes; what is above them does not count. */
static uint64_t rotate_left(uint64_t value, unsigned width)
{
    return value << 1 | value >> ((8 * width - 1) & 63);
}

static uint64_t rotate_right(uint64_t value, unsigned width)
{
    return value >> 1 | value << ((8 * width - 1) & 63);
}

/* One element after another, from number `first` on. */
static void split_from(planes_form form, const void *from, size_t first, size_t n,
                       unsigned char *const *planes)
{
    const unsigned char *bytes = from;
    for (size_t i = first; i < n; i++) {
        uint64_t value = load(bytes + i * form.width, form.width);
        if (form.rotated)
            value = rotate_left(value, form.width);
        for (unsigned p = 0; p < form.width; p++)
            planes[p][i] = (unsigned char)(value >> 8 * p);
    }
}

static void join_from(planes_form form, const unsigned char *const *planes, size_t first, size_t n,
                      void *to)
{
    unsigned char *bytes = to;
    for (size_t i = first; i < n; i++) {
        uint64_t value = 0;
        for (unsigned p = 0; p < form.width; p++)
            value |= (uint64_t)planes[p][i] << 8 * p;
        if (form.rotated)
            value = rotate_right(value, form.width);
        for (unsigned p = 0; p < form.width; p++)
            bytes[i * form.width + p] = (unsigned char)(value >> 8 * p);
    }
}

void planes_split_plain(planes_form form, const void *from, size_t n,
                        unsigned char *const planes[PLANES_MAX])
{
    split_from(form, from, 0, n, planes);
}

void planes_join_plain(planes_form form, const unsigned char *const planes[PLANES_MAX], size_t n,
                       void *to)
{
    join_from(form, planes, 0, n, to);
}

/* --- SSE2: 16 elements at a time; each returns how many it has done --- */

#ifdef __SSE2__

enum { LANE = 16 };

static __m128i load_vector(const void *from)
{
    return _mm_loadu_si128(from);
}

static void store_vector(void *to, __m128i value)
{
    _mm_storeu_si128(to, value);
}

static __m128i left16(__m128i v, bool rotated)
{
    return rotated ? _mm_or_si128(_mm_slli_epi16(v, 1), _mm_srli_epi16(v, 15)) : v;
}

static __m128i right16(__m128i v, bool rotated)
{
    return rotated ? _mm_or_si128(_mm_srli_epi16(v, 1), _mm_slli_epi16(v, 15)) : v;
}

static __m128i left32(__m128i v, bool rotated)
{
    return rotated ? _mm_or_si128(_mm_slli_epi32(v, 1), _mm_srli_epi32(v, 31)) : v;
}

static __m128i right32(__m128i v, bool rotated)
{
    return rotated ? _mm_or_si128(_mm_srli_epi32(v, 1), _mm_slli_epi32(v, 31)) : v;
}

static size_t split2(bool rotated, const unsigned char *from, size_t n,
                     unsigned char *const *planes)
{
    const __m128i low = _mm_set1_epi16(0xff);
    size_t i = 0;
    for (; i + LANE <= n; i += LANE) {
        __m128i a = left16(load_vector(from + 2 * i), rotated),
                b = left16(load_vector(from + 2 * i + 16), rotated);
        store_vector(planes[0] + i, _mm_packus_epi16(_mm_and_si128(a, low), _mm_and_si128(b, low)));
        store_vector(planes[1] + i, _mm_packus_epi16(_mm_srli_epi16(a, 8), _mm_srli_epi16(b, 8)));
    }
    return i;
}

static size_t join2(bool rotated, const unsigned char *const *planes, size_t n, unsigned char *to)
{
    size_t i = 0;
    for (; i + LANE <= n; i += LANE) {
        __m128i a = load_vector(planes[0] + i), b = load_vector(planes[1] + i);
        store_vector(to + 2 * i, right16(_mm_unpacklo_epi8(a, b), rotated));
        store_vector(to + 2 * i + 16, right16(_mm_unpackhi_epi8(a, b), rotated));
    }
    return i;
}

/* The bytes of weight p of 16 elements of 4 bytes. */
static __m128i gather4(const __m128i v[4], int p)
{
    const __m128i low = _mm_set1_epi32(0xff);
    __m128i bytes[4];
    for (int j = 0; j < 4; j++)
        bytes[j] = _mm_and_si128(_mm_srli_epi32(v[j], 8 * p), low);
    return _mm_packus_epi16(_mm_packs_epi32(bytes[0], bytes[1]),
                            _mm_packs_epi32(bytes[2], bytes[3]));
}

static size_t split4(bool rotated, const unsigned char *from, size_t n,
                     unsigned char *const *planes)
{
    size_t i = 0;
    for (; i + LANE <= n; i += LANE) {
        __m128i v[4];
        for (int j = 0; j < 4; j++)
            v[j] = left32(load_vector(from + 4 * i + 16 * (size_t)j), rotated);
        for (int p = 0; p < 4; p++)
            store_vector(planes[p] + i, gather4(v, p));
    }
    return i;
}

static __m128i left64(__m128i v, bool rotated)
{
    return rotated ? _mm_or_si128(_mm_slli_epi64(v, 1), _mm_srli_epi64(v, 63)) : v;
}

static __m128i right64(__m128i v, bool rotated)
{
    return rotated ? _mm_or_si128(_mm_srli_epi64(v, 1), _mm_slli_epi64(v, 63)) : v;
}

/* The lower (or upper) halves of two times two elements of 8 bytes. */
static __m128i halves(__m128i a, __m128i b, bool upper)
{
    __m128 x = _mm_castsi128_ps(a), y = _mm_castsi128_ps(b);
    return _mm_castps_si128(upper ? _mm_shuffle_ps(x, y, 0xdd) : _mm_shuffle_ps(x, y, 0x88));
}

static size_t split8(bool rotated, const unsigned char *from, size_t n,
                     unsigned char *const *planes)
{
    size_t i = 0;
    for (; i + LANE <= n; i += LANE) {
        __m128i lower[4], upper[4];
        for (size_t j = 0; j < 4; j++) {
            __m128i a = left64(load_vector(from + 8 * i + 32 * j), rotated);
            __m128i b = left64(load_vector(from + 8 * i + 32 * j + 16), rotated);
            lower[j] = halves(a, b, false);
            upper[j] = halves(a, b, true);
        }
        for (int p = 0; p < 4; p++) {
            store_vector(planes[p] + i, gather4(lower, p));
            store_vector(planes[p + 4] + i, gather4(upper, p));
        }
    }
    return i;
}

/* 16 elements of 4 bytes out of four planes. */
static void spread4(const unsigned char *const *planes, size_t i, __m128i ret_v[4])
{
    __m128i a = load_vector(planes[0] + i), b = load_vector(planes[1] + i);
    __m128i c = load_vector(planes[2] + i), d = load_vector(planes[3] + i);
    __m128i ab[2] = {_mm_unpacklo_epi8(a, b), _mm_unpackhi_epi8(a, b)};
    __m128i cd[2] = {_mm_unpacklo_epi8(c, d), _mm_unpackhi_epi8(c, d)};
    for (size_t j = 0; j < 2; j++) {
        ret_v[2 * j] = _mm_unpacklo_epi16(ab[j], cd[j]);
        ret_v[2 * j + 1] = _mm_unpackhi_epi16(ab[j], cd[j]);
    }
}

static size_t join4(bool rotated, const unsigned char *const *planes, size_t n, unsigned char *to)
{
    size_t i = 0;
    for (; i + LANE <= n; i += LANE) {
        __m128i v[4];
        spread4(planes, i, v);
        for (size_t j = 0; j < 4; j++)
            store_vector(to + 4 * i + 16 * j, right32(v[j], rotated));
    }
    return i;
}

static size_t join8(bool rotated, const unsigned char *const *planes, size_t n, unsigned char *to)
{
    size_t i = 0;
    for (; i + LANE <= n; i += LANE) {
        __m128i lower[4], upper[4];
        spread4(planes, i, lower);
        spread4(planes + 4, i, upper);
        for (size_t j = 0; j < 4; j++) {
            store_vector(to + 8 * i + 32 * j,
                         right64(_mm_unpacklo_epi32(lower[j], upper[j]), rotated));
            store_vector(to + 8 * i + 32 * j + 16,
                         right64(_mm_unpackhi_epi32(lower[j], upper[j]), rotated));
        }
    }
    return i;
}

void planes_split(planes_form form, const void *from, size_t n,
                  unsigned char *const planes[PLANES_MAX])
{
    size_t done = form.width == 2   ? split2(form.rotated, from, n, planes)
                  : form.width == 4 ? split4(form.rotated, from, n, planes)
                  : form.width == 8 ? split8(form.rotated, from, n, planes)
                                    : 0;
    split_from(form, from, done, n, planes);
}

void planes_join(planes_form form, const unsigned char *const planes[PLANES_MAX], size_t n,
                 void *to)
{
    size_t done = form.width == 2   ? join2(form.rotated, planes, n, to)
                  : form.width == 4 ? join4(form.rotated, planes, n, to)
                  : form.width == 8 ? join8(form.rotated, planes, n, to)
                                    : 0;
    join_from(form, planes, done, n, to);
}

#else

void planes_split(planes_form form, const void *from, size_t n,
                  unsigned char *const planes[PLANES_MAX])
{
    split_from(form, from, 0, n, planes);
}

void planes_join(planes_form form, const unsigned char *const planes[PLANES_MAX], size_t n,
                 void *to)
{
    join_from(form, planes, 0, n, to);
}

#endif
