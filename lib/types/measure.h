/* measure.h - asking how long or how many: the calls that read one number of one key. */
#ifndef MLKV_TYPES_MEASURE_H
#define MLKV_TYPES_MEASURE_H

#include "view/op.h"

/* The number of a key, of the type that it is about. 0; MLKV_ABSENT: no such key, or it has none; negative. */
typedef int (*measure_reader)(op *o, mlkv_slice key, uint64_t *ret_number);

/* Checks the arguments and runs the reader; 0 for a missing key. name: of the last argument, as the public header calls it. */
int measure_key(mlkv *view, mlkv_slice key, measure_reader read, uint64_t *ret_number,
                const char *name);

/* A reader's body where the number is that of the elements that the key's record counts. */
int measure_count(op *o, mlkv_slice key, int type, uint64_t *ret_number);

#endif
