/* tensor.h - arrays of numbers, in chunks of whole rows. */
#ifndef MLKV_TENSOR_H
#define MLKV_TENSOR_H

#include <mlkv/base.h>

MLKV_BEGIN_DECLS

typedef enum {
    MLKV_F64 = 1, MLKV_F32 = 2, MLKV_F16 = 3, MLKV_BF16 = 4, MLKV_F8E4M3 = 5, MLKV_F8E5M2 = 6,
    MLKV_I64 = 7, MLKV_I32 = 8, MLKV_I16 = 9, MLKV_I8 = 10, MLKV_U64 = 11, MLKV_U32 = 12, MLKV_U16 = 13, MLKV_U8 = 14,
    MLKV_BOOL = 15, MLKV_C64 = 16 /* complex of two f32 */, MLKV_C128 = 17 /* of two f64 */,
} mlkv_dtype;

enum { MLKV_DIMENSIONS_MAX = 8 };

typedef struct {
    int32_t dtype;      /* mlkv_dtype */
    uint32_t dimensions; /* 0 (a scalar) to 8 */
    uint64_t shape[8];  /* row-major; unused ones 0 */
} mlkv_tensor;

typedef struct {
    size_t size;          /* sizeof(mlkv_tensor_options) */
    size_t chunk_bytes;   /* raw bytes of a chunk, rounded down to whole rows, at least one; default 256 KiB, max 1 GiB */
} mlkv_tensor_options;

typedef struct {
    size_t size;           /* sizeof(mlkv_tensor_info) */
    mlkv_tensor tensor;
    uint64_t raw_bytes;
    uint64_t stored_bytes; /* after compression, references counted as what they refer to */
    uint64_t rows;         /* shape[0], 1 for a scalar */
    uint64_t row_bytes;
    uint64_t chunk_rows;
    uint64_t chunks;
    uint64_t version;      /* grows by one with each put, write or add in this life */
} mlkv_tensor_info;

MLKV_API size_t mlkv_dtype_size(mlkv_dtype dtype); /* bytes; 0 for an unknown one */
MLKV_API const char *mlkv_dtype_name(mlkv_dtype dtype);
MLKV_API int mlkv_tensor_put(mlkv *view, mlkv_slice key, const mlkv_tensor *tensor, const void *data, const mlkv_tensor_options *options);
MLKV_API int mlkv_tensor_get_info(mlkv *view, mlkv_slice key, mlkv_tensor_info *ret_info);
MLKV_API int mlkv_tensor_get(mlkv *view, mlkv_slice key, void *data, size_t size); /* size must equal raw_bytes, else MLKV_E_SHAPE */
MLKV_API int mlkv_tensor_read_rows(mlkv *view, mlkv_slice key, uint64_t first, uint64_t count, void *data, size_t size);
MLKV_API int mlkv_tensor_write_rows(mlkv *view, mlkv_slice key, uint64_t first, uint64_t count, const void *data, size_t size);
/* t += alpha * delta, atomic across threads and processes; delta has the tensor's dtype and shape. */
MLKV_API int mlkv_tensor_add(mlkv *view, mlkv_slice key, double alpha, const mlkv_tensor *tensor, const void *delta);
MLKV_API int mlkv_tensor_add_rows(mlkv *view, mlkv_slice key, double alpha, uint64_t first, uint64_t count, const void *delta, size_t size);

MLKV_END_DECLS

#endif
