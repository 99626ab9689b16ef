/* integer.h - 64-bit integers as decimal text, exactly as Redis reads and writes them. Pure functions. */
#ifndef MLKV_TYPES_INTEGER_H
#define MLKV_TYPES_INTEGER_H

#include <mlkv/base.h>

enum { INTEGER_TEXT_MAX = 20 }; /* "-9223372036854775808" */

/* The whole text must be the one way of writing a number: "0", "-1", "17"; no spaces, plus, leading zeros, "-0". MLKV_E_NUMBER: it is not,
 * or does not fit 64 bits. */
int integer_parse(mlkv_slice text, int64_t *ret_value);

/* Returns the size of the text. */
size_t integer_format(int64_t value, char ret_text[INTEGER_TEXT_MAX]);

/* MLKV_E_RANGE on overflow. */
int integer_add(int64_t a, int64_t b, int64_t *ret_sum);

#endif
