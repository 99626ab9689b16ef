/* number.c - text to floating-point numbers and back, by Redis 7.0's rules.
 *
 * The C library does the work, in its "C" locale: a program that embeds this library may use another, where the decimal point is a comma.
 * Slices do not end in a zero byte, and numbers may be spread by one in the middle: so a copy is parsed, and must be used up.
 *
 * Where the rules come from: a score is printed with %.17g, which brings back every double, though not always by the shortest text; what
 * INCRBYFLOAT stores is printed with %.17Lf, and zeros behind the point are cut.
 *
 * State: the locale object, made once and kept for the life of the process. Locks: none beyond pthread_once.
 */
#include "types/number.h"

#include "base/bytes.h"
#include "base/error.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static locale_t c_locale;

static void make_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

/* The "C" locale needs no memory or files, so it is always there. */
static locale_t locale_of_c(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, make_locale);
    return c_locale;
}

static int not_a_number(mlkv_slice text)
{
    return error_set(MLKV_E_NUMBER, "\"%s\"%s is not a number", error_quote(text.data, text.size),
                     text.size > 64 ? "..." : "");
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* A copy that ends in a zero byte. False: empty, too long, or begins with a space. */
static bool terminate(mlkv_slice text, char *copy, size_t capacity)
{
    if (text.size == 0 || text.size >= capacity || is_space(*(const char *)text.data))
        return false;
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    return true;
}

int number_parse(mlkv_slice text, double *ret_value)
{
    char copy[NUMBER_LONG_TEXT_MAX], *end;
    if (!terminate(text, copy, sizeof copy))
        return not_a_number(text);
    errno = 0;
    double value = strtod_l(copy, &end, locale_of_c());
    if (end != copy + text.size || isnan(value) ||
        (errno == ERANGE && (isinf(value) || value == 0)))
        return not_a_number(text);
    *ret_value = value;
    return MLKV_OK;
}

int number_parse_long(mlkv_slice text, long double *ret_value)
{
    char copy[NUMBER_LONG_TEXT_MAX], *end;
    if (!terminate(text, copy, sizeof copy))
        return not_a_number(text);
    errno = 0;
    long double value = strtold_l(copy, &end, locale_of_c());
    if (end != copy + text.size || isnan(value) ||
        (errno == ERANGE && (isinf(value) || value == 0)))
        return not_a_number(text);
    *ret_value = value;
    return MLKV_OK;
}

/* Reads up to the first zero byte; *ret_fits: it is neither too large nor below the normal numbers. */
static int parse_prefix(mlkv_slice text, double *ret_value, bool *ret_fits)
{
    char few[NUMBER_TEXT_MAX * 2], *copy = few, *end;
    size_t size = text.size == 0 ? 0 : strnlen(text.data, text.size);
    if (size >= sizeof few && (copy = malloc(size + 1)) == NULL)
        return error_set_memory("a number");
    bytes_copy(copy, text.data, size);
    copy[size] = '\0';
    errno = 0;
    double value = strtod_l(copy, &end, locale_of_c());
    bool good = *end == '\0' && !isnan(value);
    *ret_fits = errno != ERANGE;
    if (copy != few)
        free(copy);
    if (!good)
        return not_a_number(text);
    *ret_value = value;
    return MLKV_OK;
}

int number_parse_weight(mlkv_slice text, double *ret_value)
{
    double value = 0;
    bool fits = false;
    int result = parse_prefix(text, &value, &fits);
    if (result == MLKV_OK && !fits)
        result = not_a_number(text);
    if (result == MLKV_OK)
        *ret_value = value;
    return result;
}

int number_parse_bound(mlkv_slice text, double *ret_value)
{
    bool fits = false;
    return parse_prefix(text, ret_value, &fits);
}

size_t number_format(double value, char ret_text[NUMBER_TEXT_MAX])
{
    locale_t before = uselocale(locale_of_c());
    int size = snprintf(ret_text, NUMBER_TEXT_MAX, "%.17g", value);
    (void)uselocale(before);
    return (size_t)size;
}

size_t number_format_long(long double value, char ret_text[NUMBER_LONG_TEXT_MAX])
{
    locale_t before = uselocale(locale_of_c());
    int printed = snprintf(ret_text, NUMBER_LONG_TEXT_MAX, "%.17Lf", value);
    (void)uselocale(before);
    size_t size = (size_t)printed;
    while (ret_text[size - 1] == '0')
        size--;
    if (ret_text[size - 1] == '.')
        size--;
    if (size == 2 && ret_text[0] == '-' && ret_text[1] == '0') {
        ret_text[0] = '0';
        size = 1;
    }
    return size;
}

long double number_as_written(double value)
{
    char text[NUMBER_TEXT_MAX];
    locale_t before = uselocale(locale_of_c());
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    long double written = strtold(text, NULL);
    (void)uselocale(before);
    return written;
}
