/* range.h - "from start to stop" as Redis counts it: both ends included, negative numbers from the end (-1: the last).
 * Pure functions, for lists, sorted sets and strings alike. */
#ifndef MLKV_TYPES_RANGE_H
#define MLKV_TYPES_RANGE_H

#include <stdbool.h>
#include <stdint.h>

/* Of `count` elements, those from start to stop (LRANGE, LTRIM, ZRANGE by rank). Both may be out of range: what is outside is cut
 * off. false: nothing is in the range, and *ret_first and *ret_n are 0; otherwise n elements from index `first` on. */
bool range_resolve(int64_t start, int64_t stop, uint64_t count, uint64_t *ret_first,
                   uint64_t *ret_n);

/* The same for the bytes of a string (GETRANGE, BITCOUNT), where Redis differs in one point: a stop before the first byte means the
 * first byte, unless both are negative and start is above stop. */
bool range_resolve_bytes(int64_t start, int64_t stop, uint64_t count, uint64_t *ret_first,
                         uint64_t *ret_n);

/* One index. false: outside. */
bool range_resolve_index(int64_t index, uint64_t count, uint64_t *ret_index);

#endif
