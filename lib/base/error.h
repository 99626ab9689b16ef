/* error.h - how the library says what went wrong: a result, and a detail text kept per thread. */
#ifndef MLKV_BASE_ERROR_H
#define MLKV_BASE_ERROR_H

#include <mlkv/error.h>

/* Sets this thread's detail text (at most 511 bytes, cut) and returns `result`, so that it can stand in a return statement. */
int error_set(int result, const char *format, ...) __attribute__((format(printf, 2, 3), cold));

/* As error_set, for a failed system call: the result follows from the errno `number` (ENOSPC, EDQUOT, EFBIG: MLKV_E_FULL;
 * EACCES, EPERM, EROFS: MLKV_E_PERMISSION; ENOMEM: MLKV_E_MEMORY; ETIMEDOUT: MLKV_E_BUSY; else MLKV_E_IO), and its text is appended. */
int error_set_system(int number, const char *format, ...) __attribute__((format(printf, 2, 3), cold));

/* Out of memory, naming what for. */
int error_set_memory(const char *what) __attribute__((cold));

/* Forgets the detail: public calls begin with it. */
void error_clear(void);

/* For messages: up to 64 bytes of a name with unprintable bytes escaped, in one of four rotating per-thread buffers. */
const char *error_quote(const void *data, size_t size);

#endif
