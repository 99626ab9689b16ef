/* dictionary.h - samples of values, which dictionaries are learned from. */
#ifndef MLKV_TYPES_DICTIONARY_H
#define MLKV_TYPES_DICTIONARY_H

#include "view/op.h"

/* One value behind the other. */
typedef struct {
    mlkv_buffer bytes;
    mlkv_buffer sizes; /* size_t[] */
    size_t count;
} value_samples;

/* Takes values of the keys whose names begin with prefix, spread over all of them, of up to bytes_max in all. A live
 * view. Start *ret_samples as {0}; value_samples_done whatever the result. */
int value_samples_take(mlkv *view, mlkv_slice prefix, size_t bytes_max, value_samples *ret_samples);
void value_samples_done(value_samples *self);

#endif
