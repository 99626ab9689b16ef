/* wait.h - trying an operation again whenever what it waits for may have changed. */
#ifndef MLKV_TYPES_WAIT_H
#define MLKV_TYPES_WAIT_H

#include "view/op.h"

/* Runs try_once, and again after each change of one of the keys, until its result is not MLKV_ABSENT or the time
 * (negative: none) is over: MLKV_ABSENT
 * then. In a view that cannot wait once. */
int wait_for_keys(mlkv *view, const mlkv_slice *keys, size_t n, int64_t timeout_ms,
                  int (*try_once)(mlkv *view, void *context), void *context);

/* Milliseconds left of a time that began at begun_ns; UINT32_MAX: more than that, or no end. */
uint32_t wait_left_ms(uint64_t begun_ns, int64_t timeout_ms);

#endif
