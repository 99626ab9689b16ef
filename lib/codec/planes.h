/* planes.h - numbers of one kind, coded byte plane by byte plane. Bytes to bytes, no I/O.
 *
 * The bytes of equal weight of all elements stand together, a plane each, because they are alike: a float's exponents are a few values,
 * its lowest bits are noise. Floats are rotated left by one bit first, so that the sign stands behind the exponent, and the highest
 * plane is nothing but exponent. Each plane is coded by itself, in the way that pays for it.
 *
 *   offset size
 *   0      1     bytes of an element (1, 2, 4, 8), + 16 if rotated
 *   1      5 n   for each of the n planes, the lowest first: how u8 (0 raw, 1 zstd frame, 2 one byte, repeated), its size u32 LE
 *   ..           the planes
 *   ..           bytes behind the last whole element, raw
 *
 * Decoders take untrusted bytes.
 */
#ifndef MLKV_CODEC_PLANES_H
#define MLKV_CODEC_PLANES_H

#include <mlkv/base.h>
#include <stdbool.h>

/* What the elements are. {0}: bytes of no known form, which planes_append does not take. */
typedef struct {
    unsigned char width; /* bytes: 1, 2, 4, 8 */
    bool rotated;        /* floats of more than one byte */
} planes_form;

enum { PLANES_MAX = 8, PLANES_RAW_SIZE_MAX = 1 << 30 };

/* Appends the coded form of raw to *out if it is smaller than limit bytes. level: zstd's, where matches help. 0; MLKV_ABSENT: not smaller,
 * or too large or small for planes; MLKV_E_MEMORY. */
int planes_append(planes_form form, mlkv_slice raw, int level, size_t limit, mlkv_buffer *out);

/* Whether these can be the planes of raw_size bytes, by their heads; to be asked before memory of raw_size bytes is allocated. 0 or
 * MLKV_E_CORRUPT. */
int planes_check(mlkv_slice coded, uint64_t raw_size);

/* Exactly raw_size bytes at `to`. MLKV_E_CORRUPT, MLKV_E_MEMORY. */
int planes_decode(mlkv_slice coded, void *to, size_t raw_size);

/* A part of the raw bytes, and where it is to be copied to. */
typedef struct {
    uint64_t offset;
    size_t size;
    void *to;
} planes_part;

/* Some parts of the raw_size bytes, without the rest: only planes that are coded are decoded, and nothing is joined but the parts. 0;
 * MLKV_ABSENT: a part is not whole elements, or not inside; MLKV_E_CORRUPT, MLKV_E_MEMORY. */
int planes_decode_parts(mlkv_slice coded, size_t raw_size, const planes_part *parts, size_t n);

/* --- planes_shuffle.c: between elements and planes --- */

/* n elements at `from` become n bytes at each of planes[0..width). Regions do not overlap. */
void planes_split(planes_form form, const void *from, size_t n,
                  unsigned char *const planes[PLANES_MAX]);
void planes_join(planes_form form, const unsigned char *const planes[PLANES_MAX], size_t n,
                 void *to);

/* The same without vector instructions: what the others are compared with, and what other machines run. */
void planes_split_plain(planes_form form, const void *from, size_t n,
                        unsigned char *const planes[PLANES_MAX]);
void planes_join_plain(planes_form form, const unsigned char *const planes[PLANES_MAX], size_t n,
                       void *to);

#endif
