/* compute.h - what the two files of get-or-compute share: one call on its way. */
#ifndef MLKV_TYPES_COMPUTE_H
#define MLKV_TYPES_COMPUTE_H

#include <mlkv/compute.h>
#include <mlkv/lock.h>

#include <stdbool.h>

typedef enum {
    COMPUTE_MISSING,
    COMPUTE_ABSENT, /* known to be */
    COMPUTE_FRESH,
    COMPUTE_AGING, /* fresh, and to be computed anew already */
    COMPUTE_STALE,
} compute_state;

typedef struct {
    mlkv *view;
    mlkv_slice key;
    mlkv_compute_policy policy; /* counts is never NULL: nobody's, if the caller has none */
    mlkv_compute_fn fn;
    void *context;
    mlkv_buffer *
        value; /* from old_size on: what the key held at the last look, if the state says that it did */
    size_t old_size;
    compute_state state;
    mlkv_buffer names; /* memory of those two; empty: not made yet */
    mlkv_slice lock_name, absent_name;
    mlkv_lock lock;
    bool has_lock;
    bool waited;   /* for another's computation */
    bool replaced; /* *value is the new value, and nothing else */
    mlkv_compute_counts nobodys;
} compute_call;

/* --- compute.c --- */
static inline void compute_add(uint64_t *count, uint64_t amount)
{
    (void)__atomic_fetch_add(count, amount, __ATOMIC_RELAXED);
}

/* Computes the key anew unless it is fresh or somebody is at it: what a refresher's thread does. call->value is empty. */
int compute_anew(compute_call *call);

/* --- compute_refresh.c --- */
/* Leaves the call's key to the refresher: true, also if it waits there already, or there is no room or memory. False: the refresher has no
 * threads in this process. */
bool refresher_take(mlkv_refresher *self, const compute_call *call);

#endif
