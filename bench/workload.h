/* workload.h - keys, values and the order in which they are asked for. Pure functions; the same
 * seed gives the same run. */
#ifndef MLKV_BENCH_WORKLOAD_H
#define MLKV_BENCH_WORKLOAD_H

#include "engine.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum { DISTRIBUTION_UNIFORM, DISTRIBUTION_ZIPF } distribution;

/* The text of key number i. */
void workload_key(uint32_t i, char ret_key[KEY_BYTES]);

/* A value of key number i; it names its key and carries a check word over its number and version,
 * so that a wrong one is noticed. */
void workload_value(uint32_t i, uint64_t version, char ret_value[VALUE_BYTES]);
bool workload_value_is_of(const char key[KEY_BYTES], uint32_t i, const char value[VALUE_BYTES]);

/* n key numbers below `keys`. Zipf: exponent 0.99, the hot keys scattered over the whole range. */
void workload_indices(distribution kind, uint32_t keys, uint64_t seed, uint32_t *ret_indices,
                      size_t n);

#endif
