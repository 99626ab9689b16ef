/* arithmetic.h - sum[i] = old[i] + alpha * delta[i], and to[i] = factor * old[i], for every dtype. Pure, no state, no locks;
 * pointers need no alignment. */
#ifndef MLKV_TYPES_ARITHMETIC_H
#define MLKV_TYPES_ARITHMETIC_H

#include <mlkv/tensor.h>

/* MLKV_E_NUMBER if this alpha makes no sense for the dtype: whole numbers and bool need a finite
 * one. */
int arithmetic_check(int dtype, double alpha);

/* n elements of a known dtype; sum overlaps neither old nor delta. */
void arithmetic_add(int dtype, void *restrict sum, const void *restrict old, double alpha,
                    const void *restrict delta, size_t n);

/* The product as arithmetic_add computes it, rounded once, signs of zeros included; bool: old and
 * factor != 0. `to` does not overlap old. */
void arithmetic_scale(int dtype, void *restrict to, const void *restrict old, double factor,
                      size_t n);

#endif
