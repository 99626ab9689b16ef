/* glob.h - Redis's patterns for names. */
#ifndef MLKV_BASE_GLOB_H
#define MLKV_BASE_GLOB_H

#include <mlkv/base.h>
#include <stdbool.h>

/* Whether all of the name matches the pattern, as KEYS and SCAN ... MATCH of Redis 7.0 decide. O(pattern * name) at worst. */
bool glob_matches(mlkv_slice pattern, mlkv_slice name);

/* What every name that matches begins with: the pattern's bytes before its first of ?*[, without backslashes that escape. Replaces the
 * content of *ret_prefix. 0 or MLKV_E_MEMORY. */
int glob_prefix(mlkv_slice pattern, mlkv_buffer *ret_prefix);

#endif
