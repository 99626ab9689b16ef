/* error.c - results, their names, and the detail text of the thread's last failure.
 *
 * State: per thread, a text of at most 511 bytes, and four small buffers for quoted names that
 * rotate, so that one message can quote up to four names.
 *
 * Invariants:
 *  1. The detail is always a terminated text; a longer one is cut.
 *  2. A message may quote the detail that it replaces ("opening the store: <earlier detail>"): it
 * is put together aside first.
 *  3. errno is as it was before: a caller that has yet to look at it is not misled.
 *
 * No locks: everything is the thread's own or constant.
 */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#undef error_set /* what clang's analyzer sees elsewhere */
#undef error_set_system
#undef error_set_memory

enum { DETAIL_SIZE = 512, QUOTE_BYTES_MAX = 64, QUOTE_COUNT = 4 };

/* each byte as \xNN, then "..." and the end */
enum { QUOTE_SIZE = QUOTE_BYTES_MAX * 4 + 4 };

static _Thread_local char detail[DETAIL_SIZE];
static _Thread_local char quotes[QUOTE_COUNT][QUOTE_SIZE];
static _Thread_local unsigned next_quote;

static const struct {
    int result;
    const char *name;
    const char *message;
} result_rows[] = {
#define ERROR_ROW(symbol, value, name, message) {value, name, message},
    MLKV_RESULT_TABLE(ERROR_ROW)
#undef ERROR_ROW
};

enum { RESULT_ROW_COUNT = sizeof result_rows / sizeof result_rows[0] };

const char *mlkv_error_name(int result)
{
    for (size_t i = 0; i < RESULT_ROW_COUNT; i++)
        if (result_rows[i].result == result)
            return result_rows[i].name;
    return "unknown";
}

const char *mlkv_error_message(int result)
{
    for (size_t i = 0; i < RESULT_ROW_COUNT; i++)
        if (result_rows[i].result == result)
            return result_rows[i].message;
    return "a result that this version of the library does not know";
}

int mlkv_error_row(size_t i, int *ret_result, const char **ret_name, const char **ret_message)
{
    if (i >= RESULT_ROW_COUNT)
        return MLKV_ABSENT;
    if (ret_result != NULL)
        *ret_result = result_rows[i].result;
    if (ret_name != NULL)
        *ret_name = result_rows[i].name;
    if (ret_message != NULL)
        *ret_message = result_rows[i].message;
    return 0;
}

_Static_assert(sizeof((error_kept *)0)->text == DETAIL_SIZE, "a whole detail");

void error_keep(error_kept *ret_kept)
{
    memcpy(ret_kept->text, detail, sizeof detail);
}

void error_restore(const error_kept *kept)
{
    memcpy(detail, kept->text, sizeof detail);
}

const char *mlkv_error_detail(void)
{
    return detail;
}

void error_clear(void)
{
    detail[0] = '\0';
}

int error_set(int result, const char *format, ...)
{
    int saved_errno = errno;
    char text[DETAIL_SIZE] = "";
    va_list arguments;
    va_start(arguments, format);
    if (vsnprintf(text, sizeof text, format, arguments) < 0)
        text[0] = '\0';
    va_end(arguments);
    memcpy(detail, text, strlen(text) + 1);
    errno = saved_errno;
    return result;
}

static int result_of_errno(int number)
{
    switch (number) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return MLKV_E_FULL;
    case EACCES:
    case EPERM:
    case EROFS:
        return MLKV_E_PERMISSION;
    case ENOMEM:
    case EAGAIN: /* no memory for a thread, or too many of them */
        return MLKV_E_MEMORY;
    case ETIMEDOUT:
        return MLKV_E_BUSY;
    default:
        return MLKV_E_IO;
    }
}

int error_set_system(int number, const char *format, ...)
{
    int saved_errno = errno;
    char text[DETAIL_SIZE] = "";
    char reason_space[128];
    const char *reason = number == ELOOP ? "a symbolic link, which is not followed"
                                         : strerror_r(number, reason_space, sizeof reason_space);
    va_list arguments;
    va_start(arguments, format);
    if (vsnprintf(text, sizeof text, format, arguments) < 0)
        text[0] = '\0';
    va_end(arguments);
    /* a long text gives way to the reason, which says more */
    int room = DETAIL_SIZE - 1 - 2 - (int)strlen(reason);
    snprintf(detail, sizeof detail, "%.*s: %s", room, text, reason);
    errno = saved_errno;
    return result_of_errno(number);
}

int error_set_memory(const char *what)
{
    return error_set(MLKV_E_MEMORY, "out of memory for %s", what);
}

const char *error_quote(const void *data, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    char *text = quotes[next_quote++ % QUOTE_COUNT];
    const unsigned char *bytes = data;
    size_t shown = size < QUOTE_BYTES_MAX ? size : QUOTE_BYTES_MAX;
    size_t length = 0;
    for (size_t i = 0; i < shown; i++) {
        unsigned char byte = bytes[i];
        if (byte == '\\' || byte == '\'' || byte == '"') {
            text[length++] = '\\';
            text[length++] = (char)byte;
        } else if (byte >= 0x20 && byte < 0x7f) {
            text[length++] = (char)byte;
        } else {
            text[length++] = '\\';
            text[length++] = 'x';
            text[length++] = digits[byte >> 4];
            text[length++] = digits[byte & 15];
        }
    }
    if (shown < size) {
        memcpy(text + length, "...", 3);
        length += 3;
    }
    text[length] = '\0';
    return text;
}
