/* bits.h - a string's value as an array of bits.
 *
 * Bit 0 is the highest bit of the first byte. A bit behind the end of the value is 0, and a missing key has no bits. Everything else -
 * views, threads, atomicity, the errors that every call may return - is as in string.h; each call returns MLKV_E_TYPE for a key that
 * is no string.
 */
#ifndef MLKV_BITS_H
#define MLKV_BITS_H

#include <mlkv/base.h>

MLKV_BEGIN_DECLS

/* What a range counts in. */
typedef enum {
    MLKV_UNIT_BYTE = 0,
    MLKV_UNIT_BIT = 1,
} mlkv_bit_unit;

typedef enum {
    MLKV_BITS_AND = 0,
    MLKV_BITS_OR = 1,
    MLKV_BITS_XOR = 2,
    MLKV_BITS_NOT = 3, /* of one key */
} mlkv_bits_operation;

/* Sets the bit at offset, below 2^35, to 0 or 1; the value grows as needed, with zeros. *ret_old (may be NULL): what it was. An
 * expiry stays. Cost: the value is read and written whole (mlkv_string_set_range). Returns MLKV_OK; MLKV_E_RANGE: the offset is too
 * large; MLKV_E_ARGUMENT: bit is neither. Mirrors SETBIT. Since 0.1. */
MLKV_API int mlkv_bits_set(mlkv *view, mlkv_slice key, uint64_t offset, int bit, int *ret_old);

/* The bit at offset, below 2^35. Cost: one record read; of a large value one piece. Returns MLKV_OK; MLKV_E_RANGE. Mirrors GETBIT.
 * Since 0.1. */
MLKV_API int mlkv_bits_get(mlkv *view, mlkv_slice key, uint64_t offset, int *ret_bit);

/* How many bits are 1 from start to stop, both included, in bytes or bits; negative numbers count from the end. 0, -1: in all. Cost:
 * O(range). Returns MLKV_OK; MLKV_E_ARGUMENT: unknown unit. Mirrors BITCOUNT. Since 0.1. */
MLKV_API int mlkv_bits_count(mlkv *view, mlkv_slice key, int64_t start, int64_t stop,
                             mlkv_bit_unit unit, uint64_t *ret_count);

/* Where the first bit of this kind stands in the range, from the value's begin; -1: nowhere. stop NULL: to the end, and then zeros
 * without end: there a 0 is found right behind the value. Cost: O(range). Returns MLKV_OK; MLKV_E_ARGUMENT. Mirrors BITPOS. Since
 * 0.1. */
MLKV_API int mlkv_bits_find(mlkv *view, mlkv_slice key, int bit, int64_t start, const int64_t *stop,
                            mlkv_bit_unit unit, int64_t *ret_position);

/* Combines n values bit by bit (NOT: one), shorter ones as if zeros followed, and sets the key `destination` to the result as
 * mlkv_string_set does, all at once; an empty result deletes it. *ret_length (may be NULL): bytes of the result. Cost: O(all values);
 * other writers wait meanwhile. Returns MLKV_OK; MLKV_E_ARGUMENT: unknown operation, or a number of keys that it does not take.
 * Mirrors BITOP. Since 0.1. */
MLKV_API int mlkv_bits_combine(mlkv *view, mlkv_bits_operation operation, mlkv_slice destination,
                               const mlkv_slice *keys, size_t n, uint64_t *ret_length);

MLKV_END_DECLS

#endif
