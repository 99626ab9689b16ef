/* common.c - giving up: this is an example, so every error ends the process with the library's own
 * words. */
#include "common.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

noreturn void give_up(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("train_digits: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(2);
}

int must(int result, const char *what)
{
    if (result < 0)
        give_up("%s: %s (%s)", what, mlkv_error_detail(), mlkv_error_name(result));
    return result;
}
