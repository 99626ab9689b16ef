/* checker.h - is there one order of these operations that explains all their results and
 * contradicts no clock?
 *
 * The state is a few numbers, all 0 at first. An operation sees some of them and then sets some and
 * adds to some, all at one moment between its invocation and its return. An operation whose return
 * was never heard of (its process died) may have happened at any moment after its invocation, or
 * never; what it saw is not known.
 */
#ifndef MLKV_TESTS_LINEAR_CHECKER_H
#define MLKV_TESTS_LINEAR_CHECKER_H

#include <stddef.h>
#include <stdint.h>

enum { CHECKER_KEYS = 4, CHECKER_OPERATIONS_MAX = 2048 };

/* A return that was never heard of. */
#define CHECKER_NEVER UINT64_MAX

typedef struct {
    uint64_t invoked, returned;   /* a clock that all share; CHECKER_NEVER */
    uint8_t sees, sets, adds;     /* sets of keys, as bits; sets and adds have none in common */
    int64_t seen[CHECKER_KEYS];   /* before sets and adds; means nothing if it never returned */
    int64_t values[CHECKER_KEYS]; /* to set, or to add */
} checker_operation;

typedef enum {
    CHECKER_LINEARIZABLE = 0,
    CHECKER_NOT = 1,
    CHECKER_UNDECIDED = 2, /* more states than the limit, or out of memory */
} checker_verdict;

/* Operations in any order, at most CHECKER_OPERATIONS_MAX. states_max: how many states to remember;
 * 0 means a million. *ret_explained: the most operations that any order could explain (may be
 * NULL). */
checker_verdict checker_run(const checker_operation *operations, size_t count, size_t states_max,
                            size_t *ret_explained);

#endif
