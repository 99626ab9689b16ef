/* call.c - reading a command's words, and refusing them as Redis does.
 *
 * Every way out of a command that is not a reply is here: call_fail and its relatives put one error into the reply and return the result
 * that mlkv_command gives. The texts are Redis's own, because clients match on them.
 *
 * Invariant: what returns a negative result has made the reply an error.
 * No locks: a call belongs to one thread.
 */
#include "command/call.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "types/integer.h"
#include "types/number.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

enum { ERROR_TEXT_MAX = 700 }; /* the library's details have at most 511 bytes */

int call_fail(call *c, int code, const char *format, ...)
{
    char text[ERROR_TEXT_MAX];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    reply_error(c->reply, text);
    if (code == MLKV_E_ARGUMENT) /* said by this layer: the detail says the same */
        return error_set(code, "%s", text);
    return code;
}

int call_syntax(call *c)
{
    return call_fail(c, MLKV_E_ARGUMENT, "ERR syntax error");
}

int call_not_integer(call *c)
{
    return call_fail(c, MLKV_E_NUMBER, "ERR value is not an integer or out of range");
}

int call_not_float(call *c)
{
    return call_fail(c, MLKV_E_NUMBER, "ERR value is not a valid float");
}

int call_wrong_arity(call *c)
{
    return call_fail(c, MLKV_E_ARGUMENT, "ERR wrong number of arguments for '%s' command",
                     c->row->info.name);
}

int call_refuse(call *c, int result)
{
    switch (result) {
    case MLKV_E_TYPE:
        return call_fail(c, result,
                         "WRONGTYPE Operation against a key holding the wrong kind of value");
    case MLKV_E_READONLY:
        return call_fail(c, result, "READONLY You can't write against a read only replica.");
    case MLKV_E_MEMORY:
        return call_fail(c, result, "OOM command not allowed when used memory > 'maxmemory'.");
    default:
        break;
    }
    char detail[ERROR_TEXT_MAX - 100];
    const char *known = mlkv_error_detail();
    snprintf(detail, sizeof detail, "%s", known[0] != '\0' ? known : mlkv_error_message(result));
    if (result == MLKV_E_FULL || result == MLKV_E_POISONED || result == MLKV_E_IO)
        return call_fail(c, result, "MISCONF %s", detail);
    return call_fail(c, result, "ERR %s", detail);
}

/* --- words --- */

bool word_is(mlkv_slice word, const char *token)
{
    return word.size == strlen(token) && strncasecmp(word.data, token, word.size) == 0;
}

bool call_is(const call *c, size_t i, const char *token)
{
    return i < c->count && word_is(c->words[i], token);
}

int call_integer(call *c, size_t i, int64_t *ret_value)
{
    return integer_parse(c->words[i], ret_value) == 0 ? 0 : call_not_integer(c);
}

int call_integer_within(call *c, size_t i, int64_t min, int64_t max, const char *text,
                        int64_t *ret_value)
{
    int64_t value = 0;
    if (integer_parse(c->words[i], &value) != 0 || value < min || value > max)
        return text == NULL ? call_not_integer(c) : call_fail(c, MLKV_E_RANGE, "%s", text);
    *ret_value = value;
    return 0;
}

int call_double(call *c, size_t i, double *ret_value)
{
    return number_parse(c->words[i], ret_value) == 0 ? 0 : call_not_float(c);
}

int call_key_count(call *c, size_t i, size_t *ret_count)
{
    int64_t count = 0;
    int result =
        call_integer_within(c, i, 1, INT64_MAX, "ERR numkeys should be greater than 0", &count);
    if (result != 0)
        return result;
    if ((uint64_t)count > c->count - i - 1)
        return call_syntax(c);
    *ret_count = (size_t)count;
    return 0;
}

int call_pairs(call *c, size_t i, mlkv_pair **ret_pairs, size_t *ret_count)
{
    if ((c->count - i) % 2 != 0)
        return call_wrong_arity(c);
    size_t n = (c->count - i) / 2;
    if (buffer_reserve(&c->reply->numbers, n * sizeof(mlkv_pair)) != 0)
        return call_refuse(c, MLKV_E_MEMORY);
    mlkv_pair *pairs = c->reply->numbers.data;
    for (size_t p = 0; p < n; p++)
        pairs[p] = (mlkv_pair){c->words[i + 2 * p], c->words[i + 2 * p + 1]};
    *ret_pairs = pairs;
    *ret_count = n;
    return 0;
}

int call_timeout(call *c, size_t i, int64_t *ret_timeout_ms)
{
    long double seconds = 0;
    if (number_parse_long(c->words[i], &seconds) != 0)
        return call_fail(c, MLKV_E_NUMBER, "ERR timeout is not a float or out of range");
    long double ms = ceill(seconds * 1000);
    /* one that has no room in 64 bits becomes negative in Redis */
    if (ms < 0 || ms >= (long double)INT64_MAX)
        return call_fail(c, MLKV_E_RANGE, "ERR timeout is negative");
    *ret_timeout_ms = ms == 0 ? -1 : (int64_t)ms;
    return 0;
}

/* --- answers --- */

int call_answer_count(call *c, int result, uint64_t count)
{
    if (result < 0)
        return call_refuse(c, result);
    reply_count(c->reply, count);
    return 0;
}

int call_answer_ok(call *c, int result)
{
    if (result < 0)
        return call_refuse(c, result);
    reply_ok(c->reply);
    return 0;
}

int call_answer_whether(call *c, int result)
{
    return call_answer_count(c, result, result == MLKV_OK);
}

int call_answer_value(call *c, int result)
{
    if (result < 0)
        return call_refuse(c, result);
    if (result == MLKV_ABSENT)
        reply_nil(c->reply);
    else
        reply_buffer(c->reply, &c->reply->value);
    return 0;
}

int call_answer_rows(call *c, int result, mlkv_reply_kind kind)
{
    if (result < 0)
        return call_refuse(c, result);
    reply_rows(c->reply, kind, &c->reply->rows);
    return 0;
}
