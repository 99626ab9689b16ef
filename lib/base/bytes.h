/* bytes.h - slices and big-endian numbers: what record keys and values are made of. Pure functions, no locks, no state. */
#ifndef MLKV_BASE_BYTES_H
#define MLKV_BASE_BYTES_H

#include <mlkv/base.h>
#include <stdbool.h>
#include <string.h>

static inline mlkv_slice slice_of(const void *data, size_t size)
{
    return (mlkv_slice){data, size};
}

static inline mlkv_slice slice_of_text(const char *text)
{
    return (mlkv_slice){text, strlen(text)};
}

static inline mlkv_slice slice_of_buffer(const mlkv_buffer *buffer)
{
    return (mlkv_slice){buffer->data, buffer->size};
}

static inline bool slice_equal(mlkv_slice a, mlkv_slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline bool slice_starts_with(mlkv_slice slice, mlkv_slice prefix)
{
    return slice.size >= prefix.size &&
           (prefix.size == 0 || memcmp(slice.data, prefix.data, prefix.size) == 0);
}

/* The order of LMDB's default comparison: bytes, then length. */
static inline int slice_compare(mlkv_slice a, mlkv_slice b)
{
    size_t shorter = a.size < b.size ? a.size : b.size;
    int order = shorter == 0 ? 0 : memcmp(a.data, b.data, shorter);
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

/* Valid unless it claims bytes at NULL. */
static inline bool slice_valid(mlkv_slice slice)
{
    return slice.data != NULL || slice.size == 0;
}

/* memcpy that accepts NULL with 0. */
static inline void bytes_copy(void *to, const void *from, size_t size)
{
    if (size != 0)
        memcpy(to, from, size);
}

static inline void store_be32(void *to, uint32_t value)
{
    value = __builtin_bswap32(value);
    memcpy(to, &value, sizeof value);
}

static inline void store_be64(void *to, uint64_t value)
{
    value = __builtin_bswap64(value);
    memcpy(to, &value, sizeof value);
}

static inline uint32_t load_be32(const void *from)
{
    uint32_t value;
    memcpy(&value, from, sizeof value);
    return __builtin_bswap32(value);
}

static inline uint64_t load_be64(const void *from)
{
    uint64_t value;
    memcpy(&value, from, sizeof value);
    return __builtin_bswap64(value);
}

/* Little-endian, for what is stored in values: the byte order of every machine we build for (a build for another is refused). */
static inline void store_le32(void *to, uint32_t value)
{
    memcpy(to, &value, sizeof value);
}

static inline void store_le64(void *to, uint64_t value)
{
    memcpy(to, &value, sizeof value);
}

static inline uint32_t load_le32(const void *from)
{
    uint32_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

static inline uint64_t load_le64(const void *from)
{
    uint64_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "stored values are little-endian");

/* value rounded up to a multiple of a power of two */
static inline size_t round_up(size_t value, size_t multiple)
{
    return (value + multiple - 1) & ~(multiple - 1);
}

#endif
