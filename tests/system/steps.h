/* steps.h - a workload whose whole state follows from one number: what the crash tests run, kill,
 * and check.
 *
 * Step i is one transaction that adds 1 to the string "counter" and changes a string, a hash field,
 * a set, a list, now and then a large value (a blob, under a small ring), a tensor, and now and then so
 * much that it goes past the ring. After n steps every key has exactly the content that steps_check
 * computes from n. So a store that holds half a step, or an older version of anything, is found.
 */
#ifndef MLKV_TESTS_SYSTEM_STEPS_H
#define MLKV_TESTS_SYSTEM_STEPS_H

#include <mlkv/mlkv.h>
#include <stdint.h>

enum { STEPS_RING_BYTES = 64 << 10, STEPS_CACHE_BYTES = 256 << 10 };

/* Options that make every path run: a tiny ring, a tiny cache, syncs all the time. */
mlkv_options steps_options(int durability);

/* Runs step i (from 1). 0, or the first error. */
int steps_run(mlkv *db, uint64_t i);

/* Reads the counter: how many steps the store holds. */
int steps_count(mlkv *db, uint64_t *ret_steps);

/* Compares everything with what n steps leave. 0, or -1 with the difference on stderr. */
int steps_check(mlkv *view, uint64_t n);

#endif
