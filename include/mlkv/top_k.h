/* top_k.h - the nearest rows of a tensor: exact search by inner product, cosine or distance.
 *
 * The tensor is a table of vectors, one a row; a query is a vector of as many numbers. All rows are compared with all queries, by the
 * store's threads (mlkv_options), in blocks that stay in a core's cache; products are computed in float, several at once. Nothing is
 * approximate, and there is no index to build or to keep up to date: a row that was just written is found.
 *
 * On a live view each row is of one moment, but not all of the same: a row that is written during the call is found as it was or as
 * it is. A snapshot gives all rows of one moment. Threads, views and the errors that every call may return are those of tensor.h.
 * Redis has this in a module only (FT.SEARCH with KNN and FLAT).
 */
#ifndef MLKV_TOP_K_H
#define MLKV_TOP_K_H

#include <mlkv/base.h>

MLKV_BEGIN_DECLS

typedef enum {
    MLKV_INNER_PRODUCT = 1, /* the largest first */
    MLKV_COSINE =
        2, /* the inner product over both lengths, the largest first; 0 with a vector of length 0 */
    MLKV_L2 = 3, /* the square of the distance, the smallest first */
} mlkv_metric;

/* What is looked for. Start it as {.size = sizeof(mlkv_top_k)}. Everything is borrowed for the call. */
typedef struct {
    size_t size;
    int32_t metric;    /* mlkv_metric */
    uint32_t reserved; /* 0 */
    const void *
        queries; /* n vectors of floats (f32), one behind the other, each as long as a row of the table; of any alignment */
    size_t n;
    size_t query_bytes; /* of all of them: n times the numbers in a row times 4 */
    size_t k;           /* rows wanted for each query, at least 1 */
    /* NULL, or which rows may be found: row i if bit i % 8 of byte i / 8 is set. Rows from 8 * filter_bytes on may not. */
    const uint8_t *filter;
    size_t filter_bytes;
} mlkv_top_k;

/* Finds the k best rows of a tensor for each query. ret_rows, ret_scores: n times k numbers each, those of query q from q * k on,
 * the best first, of equal ones the one with the lower number first; ret_scores may be NULL. ret_counts: n numbers, how many were
 * found for each query (may be NULL): fewer than k if fewer rows may be found; behind them rows are UINT64_MAX and scores NaN. Rows
 * whose score is NaN are not found. Numbers of other dtypes than f32 are converted to it first. On failure the outputs may have
 * been partly written.
 *
 * Cost: reading the table once, and rows * numbers * n multiplications; memory for 4 MiB of rows, and n * k * 16 bytes. Returns
 * MLKV_OK; MLKV_ABSENT: no such key; MLKV_E_SHAPE: the tensor is a scalar, complex, or its rows have another number of elements
 * than a query, or it is replaced by others of another shape all the time; MLKV_E_ARGUMENT; MLKV_E_SIZE: n times k is too large.
 * Since 0.1. */
MLKV_API int mlkv_tensor_top_k(mlkv *view, mlkv_slice key, const mlkv_top_k *query,
                               uint64_t *ret_rows, float *ret_scores, size_t *ret_counts);

MLKV_END_DECLS

#endif
