/* error.h - how the library says what went wrong: a result, and a detail text kept per thread. */
#ifndef MLKV_BASE_ERROR_H
#define MLKV_BASE_ERROR_H

#include <mlkv/error.h>

/* Sets this thread's detail text (at most 511 bytes, cut) and returns `result`, so that it can stand in a return statement. */
int error_set(int result, const char *format, ...) __attribute__((format(printf, 2, 3), cold));

/* As error_set, for a failed system call: the result follows from the errno `number` (ENOSPC, EDQUOT, EFBIG: MLKV_E_FULL;
 * EACCES, EPERM, EROFS: MLKV_E_PERMISSION; ENOMEM, EAGAIN: MLKV_E_MEMORY; ETIMEDOUT: MLKV_E_BUSY; else MLKV_E_IO), and its
 * text is appended. */
int error_set_system(int number, const char *format, ...)
    __attribute__((format(printf, 2, 3), cold));

/* Out of memory, naming what for. */
int error_set_memory(const char *what) __attribute__((cold));

#ifdef __clang_analyzer__ /* clang's analyzer reads one source file at a time, and has to know what these return */
#define error_set(result, ...)        ((void)error_set(result, __VA_ARGS__), (result))
#define error_set_system(number, ...) ((void)error_set_system(number, __VA_ARGS__), MLKV_E_IO)
#define error_set_memory(what)        ((void)error_set_memory(what), MLKV_E_MEMORY)
#endif

/* Forgets the detail: public calls begin with it. */
void error_clear(void);

/* The detail text, kept while something is tidied up that may set another. */
typedef struct {
    char text[512];
} error_kept;
void error_keep(error_kept *ret_kept);
void error_restore(const error_kept *kept);

/* For messages: up to 64 bytes of a name with unprintable bytes escaped, in one of four rotating per-thread buffers. */
const char *error_quote(const void *data, size_t size);

#endif
