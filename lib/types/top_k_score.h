/* top_k_score.h - products of rows and queries, in float. Pure functions, no state, no locks. */
#ifndef MLKV_TYPES_TOP_K_SCORE_H
#define MLKV_TYPES_TOP_K_SCORE_H

#include <mlkv/top_k.h>
#include <stdbool.h>

/* Whether rows of this dtype can be made floats. */
bool score_known(int dtype);

/* n numbers of a known dtype as floats. */
void score_floats(int dtype, const void *from, size_t n, float *to);

/* The score of `rows` rows with one query, both of `width` floats: larger is better (of a distance, its negative). query_length: of
 * the query, for the cosine. */
void score_rows(mlkv_metric metric, const float *row, size_t rows, size_t width, const float *query,
                float query_length, float *ret_scores);

float score_length(const float *vector, size_t width);

#endif
