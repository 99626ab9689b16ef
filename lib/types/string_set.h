/* string_set.h - setting a string on a condition of the caller's. */
#ifndef MLKV_TYPES_STRING_SET_H
#define MLKV_TYPES_STRING_SET_H

#include "view/op.h"

#include <mlkv/key.h>

/* mlkv_string_set_with, but that the guard is asked first, in the same rule: what it says other than MLKV_OK is the result, and nothing is
 * set. What it puts belongs to the same atomic change. Arguments are checked by the caller. */
int string_set_guarded(mlkv *view, mlkv_slice key, mlkv_slice value, mlkv_expiry expiry,
                       op_rule guard, void *context);

#endif
