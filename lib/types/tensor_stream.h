/* tensor_stream.h - several whole tensors put at once, their bytes read piece by piece: for those above types/. */
#ifndef MLKV_TYPES_TENSOR_STREAM_H
#define MLKV_TYPES_TENSOR_STREAM_H

#include <mlkv/tensor.h>
#include <stdbool.h>

typedef struct {
    mlkv_slice key; /* not that of another of them */
    mlkv_tensor tensor;
    void *source; /* for read */
} tensor_stream;

typedef struct {
    /* `size` bytes of the tensor, row-major, from `offset` on, into `to`. They may be asked for again, and must be the same then. */
    int (*read)(void *source, uint64_t offset, size_t size, void *to);
    /* Called when all was read, before anything is put: a negative result gives up all. */
    int (*settle)(void *context);
    void *context;      /* of settle */
    size_t chunk_bytes; /* as in mlkv_tensor_options; 0: the default */
    size_t block_bytes; /* of raw data held in memory at once, or a chunk */
    bool contiguous;    /* as in mlkv_tensor_options */
} tensor_stream_options;

/* Puts all of them, or none, as mlkv_tensor_put does: unchanged chunks are not written. The keys have no expiry afterwards.
 * *ret_chunks_written as there. Memory: block_bytes, as much again for what is compressed of it, and some 200 bytes a chunk. */
int tensor_streams_put(mlkv *view, const tensor_stream *streams, size_t n,
                       const tensor_stream_options *options, uint64_t *ret_chunks_written);

#endif
