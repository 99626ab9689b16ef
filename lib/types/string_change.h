/* string_change.h - changing a string's value by its own bytes: what APPEND, SETRANGE, SETBIT, INCRBYFLOAT have in common. */
#ifndef MLKV_TYPES_STRING_CHANGE_H
#define MLKV_TYPES_STRING_CHANGE_H

#include "view/op.h"

#include <stdbool.h>

/* A longer value is not built by a change, but can be set. */
#define STRING_CHANGED_MAX (UINT64_C(4) << 30)

/* *raw is the value, empty if the key does not exist; it becomes the new value. MLKV_OK: store it; MLKV_ABSENT:
 * leave the key as it is; negative: the
 * call fails with it. May be called several times, each time with the value as it is then. */
typedef int (*string_changer)(void *context, mlkv_buffer *raw, bool exists);

/* Runs it on the value of the key. An expiry stays. MLKV_OK (also when the changer said MLKV_ABSENT),
 * MLKV_E_TYPE, what the changer said, and what every
 * write may say. */
int string_change(mlkv *view, mlkv_slice key, string_changer changer, void *context);

#endif
