/* integer.c - decimal text to 64-bit integers and back, for the operations that count (INCRBY, HINCRBY).
 *
 * Every number has exactly one text, so what is parsed and formatted again is the same bytes. Magnitudes are built as unsigned numbers,
 * where the most negative one has a representation too.
 */
#include "types/integer.h"

#include "base/bytes.h"
#include "base/error.h"

static int not_a_number(mlkv_slice text)
{
    return error_set(MLKV_E_NUMBER, "\"%s\"%s is not an integer", error_quote(text.data, text.size),
                     text.size > 64 ? "..." : "");
}

int integer_parse(mlkv_slice text, int64_t *ret_value)
{
    if (text.size == 0)
        return not_a_number(text);
    const unsigned char *at = text.data, *end = at + text.size;
    bool negative = *at == '-';
    at += negative;
    if (at == end || (*at == '0' && (negative || end - at > 1)))
        return not_a_number(text);
    uint64_t limit = negative ? (uint64_t)INT64_MAX + 1 : INT64_MAX, magnitude = 0;
    bool fits = true;
    for (; at < end; at++) {
        unsigned digit = (unsigned)*at - '0';
        if (digit > 9)
            return not_a_number(text);
        fits = fits && magnitude <= (limit - digit) / 10;
        magnitude = fits ? magnitude * 10 + digit : magnitude;
    }
    if (!fits)
        return error_set(MLKV_E_NUMBER, "%s does not fit 64 bits",
                         error_quote(text.data, text.size));
    *ret_value = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return MLKV_OK;
}

size_t integer_format(int64_t value, char ret_text[INTEGER_TEXT_MAX])
{
    char reversed[INTEGER_TEXT_MAX];
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    size_t size = 0, digits = 0;
    do {
        reversed[digits++] = (char)('0' + magnitude % 10);
        magnitude /= 10;
    } while (magnitude != 0);
    if (value < 0)
        ret_text[size++] = '-';
    while (digits != 0)
        ret_text[size++] = reversed[--digits];
    return size;
}

int integer_add(int64_t a, int64_t b, int64_t *ret_sum)
{
    int64_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return error_set(MLKV_E_RANGE, "%lld plus %lld does not fit 64 bits", (long long)a,
                         (long long)b);
    *ret_sum = sum;
    return MLKV_OK;
}
