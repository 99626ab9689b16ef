/* dtype.h - the element types of tensors: sizes, names, and the small floats' conversions. Pure
 * functions, no state, no locks.
 *
 * The small floats are stored as their bits and computed in float:
 *   f16     1 sign, 5 exponent, 10 mantissa bits (IEEE binary16)
 *   bf16    the upper half of a float
 *   f8e4m3  1, 4, 3 bits, bias 7, no infinities ("fn"): 0x7f and 0xff are NaN, the largest is 448
 *   f8e5m2  1, 5, 2 bits, bias 15, with infinities: the largest number is 57344
 *
 * From float they round to the nearest, ties to even. What is too large becomes infinity, in f8e4m3
 * NaN: as PyTorch does.
 */
#ifndef MLKV_TYPES_DTYPE_H
#define MLKV_TYPES_DTYPE_H

#include "codec/planes.h"

#include <mlkv/tensor.h>
#include <stdbool.h>

/* One of the 17 that this version knows; takes untrusted numbers. */
bool dtype_known(int dtype);

/* Whole numbers and bool: what computes without a float. */
bool dtype_is_integer(int dtype);

/* How the codec takes them apart. */
planes_form dtype_planes(int dtype);

float dtype_from_f16(uint16_t bits);
uint16_t dtype_to_f16(float value);
float dtype_from_bf16(uint16_t bits);
uint16_t dtype_to_bf16(float value);
float dtype_from_f8e4m3(uint8_t bits);
uint8_t dtype_to_f8e4m3(float value);
float dtype_from_f8e5m2(uint8_t bits);
uint8_t dtype_to_f8e5m2(float value);

#endif
