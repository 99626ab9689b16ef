/* set.h - distinct members under a key. */
#ifndef MLKV_SET_H
#define MLKV_SET_H

#include <mlkv/base.h>

MLKV_BEGIN_DECLS

MLKV_API int mlkv_set_add(mlkv *view, mlkv_slice key, const mlkv_slice *members, size_t n, size_t *ret_added);
MLKV_API int mlkv_set_remove(mlkv *view, mlkv_slice key, const mlkv_slice *members, size_t n, size_t *ret_removed);
MLKV_API int mlkv_set_contains(mlkv *view, mlkv_slice key, const mlkv_slice *members, size_t n, uint8_t *ret_present); /* n bytes, 0 or 1 */
MLKV_API int mlkv_set_members(mlkv *view, mlkv_slice key, mlkv_rows *ret_members);
MLKV_API int mlkv_set_count(mlkv *view, mlkv_slice key, uint64_t *ret_count);
/* distinct != 0: up to n different members (SRANDMEMBER key n); 0: exactly n with repetition (SRANDMEMBER key -n). O(1) a member. */
MLKV_API int mlkv_set_random(mlkv *view, mlkv_slice key, size_t n, int distinct, mlkv_rows *ret_members);

MLKV_END_DECLS

#endif
