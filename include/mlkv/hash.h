/* hash.h - fields and their values under a key. */
#ifndef MLKV_HASH_H
#define MLKV_HASH_H

#include <mlkv/base.h>

MLKV_BEGIN_DECLS

MLKV_API int mlkv_hash_set(mlkv *view, mlkv_slice key, const mlkv_pair *pairs, size_t n, size_t *ret_added);
MLKV_API int mlkv_hash_set_if_absent(mlkv *view, mlkv_slice key, mlkv_slice field, mlkv_slice value);
MLKV_API int mlkv_hash_get(mlkv *view, mlkv_slice key, mlkv_slice field, mlkv_buffer *ret_value);
MLKV_API int mlkv_hash_get_many(mlkv *view, mlkv_slice key, const mlkv_slice *fields, size_t n, mlkv_rows *ret_values);
MLKV_API int mlkv_hash_get_all(mlkv *view, mlkv_slice key, mlkv_rows *ret_fields_and_values); /* f0 v0 f1 v1 ..., in field order */
MLKV_API int mlkv_hash_delete(mlkv *view, mlkv_slice key, const mlkv_slice *fields, size_t n, size_t *ret_deleted);
MLKV_API int mlkv_hash_length(mlkv *view, mlkv_slice key, uint64_t *ret_length);
MLKV_API int mlkv_hash_exists(mlkv *view, mlkv_slice key, mlkv_slice field); /* 0 or MLKV_ABSENT */
MLKV_API int mlkv_hash_keys(mlkv *view, mlkv_slice key, mlkv_rows *ret_fields);
MLKV_API int mlkv_hash_values(mlkv *view, mlkv_slice key, mlkv_rows *ret_values);
MLKV_API int mlkv_hash_add(mlkv *view, mlkv_slice key, mlkv_slice field, int64_t delta, int64_t *ret_value);

MLKV_END_DECLS

#endif
