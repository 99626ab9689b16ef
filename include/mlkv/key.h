/* key.h - keys of any type, and cursors over keys and elements. */
#ifndef MLKV_KEY_H
#define MLKV_KEY_H

#include <mlkv/base.h>

MLKV_BEGIN_DECLS

typedef enum {
    MLKV_TYPE_NONE = 0,
    MLKV_TYPE_STRING = 1,
    MLKV_TYPE_HASH = 2,
    MLKV_TYPE_LIST = 3,
    MLKV_TYPE_SET = 4,
    MLKV_TYPE_ZSET = 5,
    MLKV_TYPE_TENSOR = 6,
} mlkv_type;

MLKV_API int mlkv_key_exists(mlkv *view, const mlkv_slice *keys, size_t n, size_t *ret_count); /* EXISTS: a key named twice counts twice */
MLKV_API int mlkv_key_delete(mlkv *view, const mlkv_slice *keys, size_t n, size_t *ret_deleted);
MLKV_API int mlkv_key_type(mlkv *view, mlkv_slice key, mlkv_type *ret_type); /* MLKV_TYPE_NONE and 0 for a missing key */
MLKV_API int mlkv_key_count(mlkv *view, uint64_t *ret_count); /* DBSIZE, O(1): a counter record kept by every creation and deletion? see key.c */
MLKV_API const char *mlkv_type_name(mlkv_type type); /* "string", ..., "none" */

typedef enum {
    MLKV_SCAN_KEYS = 0,   /* name: the key; value: its type's name */
    MLKV_SCAN_HASH = 1,   /* name: field, value */
    MLKV_SCAN_SET = 2,    /* name: member, value empty */
} mlkv_scan_kind;

typedef struct {
    size_t size; /* sizeof(mlkv_query) */
    int32_t kind;
    uint32_t reserved;
    mlkv_slice key;    /* the hash or set; ignored for MLKV_SCAN_KEYS */
    mlkv_slice prefix; /* only names that start with it */
    mlkv_slice token;  /* resume after this position: from mlkv_cursor_token, of this or another cursor, process or day; empty: from the start */
} mlkv_query;

typedef struct mlkv_cursor mlkv_cursor;
MLKV_API int mlkv_cursor_open(mlkv *view, const mlkv_query *query, mlkv_cursor **ret_cursor);
MLKV_API int mlkv_cursor_next(mlkv_cursor *cursor, mlkv_slice *ret_name, mlkv_slice *ret_value); /* 0, MLKV_ABSENT at the end */
MLKV_API int mlkv_cursor_token(mlkv_cursor *cursor, mlkv_buffer *ret_token); /* where it stands: after the last name returned */
MLKV_API void mlkv_cursor_close(mlkv_cursor *cursor);

MLKV_END_DECLS

#endif
