/* argument.h - checks of what a caller passed, naming what is wrong. MLKV_OK or MLKV_E_ARGUMENT. */
#ifndef MLKV_TYPES_ARGUMENT_H
#define MLKV_TYPES_ARGUMENT_H

#include <mlkv/base.h>

/* NULL where a pointer is needed. */
int argument_pointer(const void *pointer, const char *name);
/* A slice that claims bytes at NULL. */
int argument_slice(mlkv_slice slice, const char *name);
/* The same for an array of them; the array may be NULL only if n is 0. */
int argument_slices(const mlkv_slice *slices, size_t n, const char *name);
int argument_pairs(const mlkv_pair *pairs, size_t n, const char *name);
/* The usual beginning: a view and a key. */
int argument_view_key(const mlkv *view, mlkv_slice key);

#endif
