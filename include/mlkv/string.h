/* string.h - one value under a key. */
#ifndef MLKV_STRING_H
#define MLKV_STRING_H

#include <mlkv/base.h>

MLKV_BEGIN_DECLS

typedef enum {
    MLKV_SET_ALWAYS = 0,
    MLKV_SET_IF_ABSENT = 1,  /* SET NX: MLKV_ABSENT and no change if the key exists */
    MLKV_SET_IF_PRESENT = 2, /* SET XX */
} mlkv_set_condition;

MLKV_API int mlkv_string_set(mlkv *view, mlkv_slice key, mlkv_slice value, mlkv_set_condition condition);
MLKV_API int mlkv_string_get(mlkv *view, mlkv_slice key, mlkv_buffer *ret_value);
MLKV_API int mlkv_string_length(mlkv *view, mlkv_slice key, uint64_t *ret_length);
MLKV_API int mlkv_string_add(mlkv *view, mlkv_slice key, int64_t delta, int64_t *ret_value);
MLKV_API int mlkv_string_get_many(mlkv *view, const mlkv_slice *keys, size_t n, mlkv_rows *ret_values);
MLKV_API int mlkv_string_set_many(mlkv *view, const mlkv_pair *pairs, size_t n);

MLKV_END_DECLS

#endif
