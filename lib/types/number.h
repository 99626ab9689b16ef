/* number.h - floating-point numbers as text, exactly as Redis reads and writes them, whatever the program's locale. Pure functions. */
#ifndef MLKV_TYPES_NUMBER_H
#define MLKV_TYPES_NUMBER_H

#include <mlkv/base.h>

enum {
    NUMBER_TEXT_MAX = 32, /* "-1.7976931348623157e+308" and more */
    NUMBER_LONG_TEXT_MAX =
        5120, /* a long double without an exponent has up to 4,933 digits before its point */
};

/* The whole text must be a number as C reads it ("1", "-1.5e3", "0x10", "inf", "-infinity"): no spaces, not NaN, not too large, not so
 * small that it becomes 0. MLKV_E_NUMBER. */
int number_parse(mlkv_slice text, double *ret_value);
/* The same with more digits, for INCRBYFLOAT. */
int number_parse_long(mlkv_slice text, long double *ret_value);
/* As SORT reads its weights: up to the first zero byte; spaces in front are passed over, nothing at all is 0; not NaN, not too large, not
 * so small that digits are lost. MLKV_E_NUMBER; MLKV_E_MEMORY. */
int number_parse_weight(mlkv_slice text, double *ret_value);
/* As ZRANGEBYSCORE reads its bounds: the same, and what is too large is infinity, what is too small 0. MLKV_E_NUMBER; MLKV_E_MEMORY. */
int number_parse_bound(mlkv_slice text, double *ret_value);

/* 17 digits where they are needed: "3", "3.1000000000000001", "1e+17", "inf", "-inf". Returns the size of the text. */
size_t number_format(double value, char ret_text[NUMBER_TEXT_MAX]);
/* 17 digits behind the point, without exponent and zeros at the end: what INCRBYFLOAT stores. Finite values only. */
size_t number_format_long(long double value, char ret_text[NUMBER_LONG_TEXT_MAX]);

/* The shortest decimal number that this double stands for, with more digits: 0.1 is a tenth, and not 0.1000000000000000055. */
long double number_as_written(double value);

#endif
