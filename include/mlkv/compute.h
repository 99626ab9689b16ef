/* compute.h - get or compute: a cache that computes what it does not have, at most once at a time.
 *
 * A service asks for a key and says how its value is computed. If the key holds a value that is fresh, that is the answer. If not,
 * one caller of all threads and processes of the store computes it and stores it; the others wait for that, or take the value that
 * was there before. So a key that runs out under load costs one computation, not one for each request that comes meanwhile.
 *
 * The value is a plain string under the key: mlkv_string_get reads it, and deleting the key makes the next caller compute it. It is
 * fresh for ttl_ms after it was stored, and may be served stale for stale_ms more; its expiry is the sum. Beside the key stand, as
 * long as they are needed, two others: "mlkv:computing:" and the key is the lock of who computes, and "mlkv:absent:" and the key
 * says that a computation found nothing.
 *
 *   missing --computed--> fresh --ttl_ms - refresh_ahead_ms--> aging --refresh_ahead_ms--> stale --stale_ms--> missing
 *
 * Who computes may fail (nothing is stored, and one of those who wait computes) or die (the same, within three seconds), or be told
 * meanwhile that the value is wrong (mlkv_compute_forget: what it computes is not stored).
 *
 * Views: live ones; in transactions and snapshots, where nobody is waited for and no computation may hold up writers,
 * MLKV_E_ARGUMENT. Threads: any. The errors that every call may return are those of string.h. Redis has no such command: it takes
 * GET, SET NX PX, a script and pub/sub for a part of it.
 */
#ifndef MLKV_COMPUTE_H
#define MLKV_COMPUTE_H

#include <mlkv/base.h>

MLKV_BEGIN_DECLS

/* Computes the value of a key into *ret_value, which is an empty buffer (mlkv_buffer_assign, or memory of malloc). The store is not
 * locked meanwhile; the function may use it, also for other keys' computations, but must not ask for the same key: that would wait
 * for itself. Returns MLKV_OK; MLKV_ABSENT: there is no such thing; anything else: it failed, and mlkv_get_or_compute returns that
 * number. It must return: a thread that ends inside keeps the key locked until lease_ms is over or the process ends. */
typedef int (*mlkv_compute_fn)(void *context, mlkv_slice key, mlkv_buffer *ret_value);

/* Threads that compute ahead. */
typedef struct mlkv_refresher mlkv_refresher;

/* What was done, counted since the program zeroed it, by all calls that are given it; each number is written atomically. Times are
 * in nanoseconds. */
typedef struct {
    uint64_t hits;         /* answered by a fresh value */
    uint64_t stale_hits;   /* answered by one that was not fresh any more */
    uint64_t absent_hits;  /* answered by what is known not to exist */
    uint64_t misses;       /* neither: computed, or waited for */
    uint64_t computations; /* calls of the function, refreshes included */
    uint64_t failures;     /* of them: failed */
    uint64_t absences;     /* of them: found nothing */
    uint64_t
        unwanted; /* of them: not stored, for somebody else had the lock by then (forgotten, lease over) */
    uint64_t waits;      /* misses that another's computation answered: computations saved */
    uint64_t refreshes;  /* computations begun before anybody had to wait for them */
    uint64_t compute_ns; /* time spent in the function */
    uint64_t
        saved_ns; /* hits, stale hits and waits, each with the mean time of a computation so far */
} mlkv_compute_counts;

/* How to go about it. Start it from MLKV_COMPUTE_POLICY. */
typedef struct {
    size_t size; /* sizeof(mlkv_compute_policy) */
    /* Fresh for so long; 0: for ever, and then the next two mean nothing. */
    int64_t ttl_ms;
    /* Then served stale for so long, while one caller or the refresher computes anew. */
    int64_t stale_ms;
    /* Computed anew, as above, so long before it gets stale; less than ttl_ms. */
    int64_t refresh_ahead_ms;
    /* MLKV_ABSENT is remembered for so long; 0: not. */
    int64_t absent_ms;
    /* A computation that takes longer loses its right; 0: as long as its process lives. */
    int64_t lease_ms;
    /* How long to wait for another's computation; 0: not; negative: for ever. */
    int64_t wait_ms;
    /* ttl_ms and absent_ms vary at random by up to so much, 0 to 100, so that what was stored together does not end together. */
    uint32_t jitter_percent;
    /* 1: a stale value is the answer if computing it anew fails. */
    uint32_t stale_on_failure;
    /* Computes anew, and the caller has the old value at once; NULL: the first caller that meets an old value computes. */
    mlkv_refresher *refresher;
    /* May be NULL; must outlive the calls and the refresher. */
    mlkv_compute_counts *counts;
} mlkv_compute_policy;

#define MLKV_COMPUTE_POLICY                                              \
    {                                                                    \
        sizeof(mlkv_compute_policy), 0, 0, 0, 0, 0, -1, 0, 0, NULL, NULL \
    }

typedef enum {
    MLKV_COMPUTE_HIT = 0,
    MLKV_COMPUTE_STALE = 1,    /* an old value; it is being computed anew, or that failed */
    MLKV_COMPUTE_COMPUTED = 2, /* by this call */
    MLKV_COMPUTE_WAITED = 3,   /* by another call, during this one */
} mlkv_compute_how;

/* Replaces the content of *ret_value by the key's value, computing it if need be. policy NULL: for ever fresh, waiting for ever.
 * *ret_how (may be NULL): where the answer comes from, also of MLKV_ABSENT. Cost of a hit: one record read, as mlkv_string_get; of
 * a computation four records written, at once with two deleted. Returns MLKV_OK; MLKV_ABSENT: computed to be absent, or remembered
 * so; MLKV_E_BUSY: another computed for longer than wait_ms; MLKV_E_TYPE: the key holds no string; MLKV_E_ARGUMENT: the policy;
 * MLKV_E_RANGE: times that overflow; MLKV_E_READONLY: it would have to be computed; what the function returned if it failed. If the
 * value was computed but could not be stored, the error says so, and *ret_value is untouched. Since 0.1. */
MLKV_API int mlkv_get_or_compute(mlkv *view, mlkv_slice key, const mlkv_compute_policy *policy,
                                 mlkv_compute_fn fn, void *context, mlkv_buffer *ret_value,
                                 mlkv_compute_how *ret_how);

/* The key's value is wrong: removes it and what is remembered of its absence; what is being computed at this moment is given to
 * those who asked before, and not stored. Deleting the key alone lets a computation that began before still store what it found.
 * Cost: up to six records. Returns MLKV_OK; MLKV_ABSENT: there was nothing. Since 0.1. */
MLKV_API int mlkv_compute_forget(mlkv *view, mlkv_slice key);

/* Starts so many threads, 1 to 64, that compute ahead for the calls whose policy names the refresher. It is the caller's, and ended
 * by mlkv_refresher_close before the views, functions and contexts of those calls end. A key is refreshed once at a time; if 1,024
 * wait for it, no more are taken, and later hits try again. In a forked child its threads are missing: the calls there do as
 * without one. Returns MLKV_OK, MLKV_E_ARGUMENT, MLKV_E_MEMORY, MLKV_E_IO (no thread). Since 0.1. */
MLKV_API int mlkv_refresher_open(uint32_t threads, mlkv_refresher **ret_refresher);

/* Waits until no key waits to be refreshed and none is. Returns MLKV_OK; MLKV_ABSENT: not within timeout_ms (negative: for ever).
 * Since 0.1. */
MLKV_API int mlkv_refresher_wait(mlkv_refresher *refresher, int64_t timeout_ms);

/* Waits for computations that are running, drops those that have not begun, and frees it. NULL is accepted. Since 0.1. */
MLKV_API void mlkv_refresher_close(mlkv_refresher *refresher);

MLKV_END_DECLS

#endif
