/* wait.h - waiting for a change: blocking pops, and watches on keys and prefixes.
 *
 * Waiting sleeps in the kernel until some thread of some process writes to what is waited for; it does not poll, and an idle wait costs
 * a wake-up every three seconds. (Only a read-only opening, which cannot say that it waits, looks every 10 ms.) Writers pay for it only
 * while somebody waits.
 *
 * timeout_ms: how long to wait; 0: not at all; negative: for ever. When it is over the call returns MLKV_ABSENT. In a transaction, where
 * nobody else can write, and in a snapshot a call does what it can at once, and waits for nothing.
 *
 * Of several who wait for one element, one gets it; who, is not said. The errors that every call may return are those of string.h.
 */
#ifndef MLKV_WAIT_H
#define MLKV_WAIT_H

#include <mlkv/list.h>
#include <mlkv/zset.h>

MLKV_BEGIN_DECLS

/* Whether calls wait on this view: 1 for a live one; 0 for a transaction, a snapshot, NULL. Cost: none. Since 0.1. */
MLKV_API int mlkv_view_waits(const mlkv *view);

/* mlkv_list_pop_first, waiting until one of the keys has an element. Returns MLKV_OK; MLKV_ABSENT: the time is over; MLKV_E_TYPE: the
 * first of the keys that exists is no list. Mirrors BLPOP, BRPOP, BLMPOP. Since 0.1. */
MLKV_API int mlkv_list_pop_wait(mlkv *view, const mlkv_slice *keys, size_t n, mlkv_list_end end,
                                uint64_t count, int64_t timeout_ms, size_t *ret_which,
                                mlkv_rows *ret_values);

/* mlkv_list_move, waiting until source has an element. Returns MLKV_OK; MLKV_ABSENT: the time is over; MLKV_E_TYPE. Mirrors BLMOVE,
 * BRPOPLPUSH. Since 0.1. */
MLKV_API int mlkv_list_move_wait(mlkv *view, mlkv_slice source, mlkv_slice destination,
                                 mlkv_list_end from, mlkv_list_end to, int64_t timeout_ms,
                                 mlkv_buffer *ret_value);

/* mlkv_zset_pop_first, waiting until one of the keys has a member. *ret_key, ret_scores: may be NULL. Returns MLKV_OK; MLKV_ABSENT: the
 * time is over; MLKV_E_TYPE: the first of the keys that exists is no sorted set. Mirrors BZPOPMIN, BZPOPMAX, BZMPOP. Since 0.1. */
MLKV_API int mlkv_zset_pop_wait(mlkv *view, const mlkv_slice *keys, size_t key_count, uint64_t n,
                                int highest, int64_t timeout_ms, size_t *ret_key,
                                mlkv_rows *ret_members, mlkv_buffer *ret_scores);

/* --- watches --- */

typedef struct mlkv_watch mlkv_watch;

/* What is watched. The slices are read during mlkv_watch_open only. */
typedef struct {
    size_t size;            /* sizeof(mlkv_watch_query) */
    const mlkv_slice *keys; /* n of them: the key itself, its expiry, any of its elements */
    size_t key_count;
    const mlkv_slice *prefixes; /* n of them: any key that begins with it */
    size_t prefix_count;
} mlkv_watch_query;

/* Begins to watch on a live view, as of now: every write that becomes visible from here on counts, also one that puts what was there
 * already. A key that ends by its expiry changes when it is removed, some moments later. The watch is the caller's, ended by
 * mlkv_watch_close before its view is closed; one thread at a time. Cost: some record reads. Returns MLKV_OK, MLKV_E_ARGUMENT. Since
 * 0.1. */
MLKV_API int mlkv_watch_open(mlkv *db, const mlkv_watch_query *query, mlkv_watch **ret_watch);

/* Waits until something watched has changed since the watch was opened or since the last time this said so, and begins anew. If so much
 * was written meanwhile that the journal has forgotten it (a ring full), that counts as a change. Cost: of what other keys' writes cost
 * while it waits, little: it is woken for keys of the same hash, and looks through the journal then. Returns MLKV_OK: changed;
 * MLKV_ABSENT: the time is over. Since 0.1. */
MLKV_API int mlkv_watch_wait(mlkv_watch *watch, int64_t timeout_ms);

/* Begins a transaction (mlkv_begin), if nothing watched has changed; the question and the beginning are one moment. Returns MLKV_OK;
 * MLKV_ABSENT: it has changed (the watch begins anew then), and there is no transaction; what mlkv_begin returns. Mirrors WATCH ... MULTI
 * EXEC. Since 0.1. */
MLKV_API int mlkv_begin_unchanged(mlkv *db, mlkv_watch *watch, mlkv **ret_transaction);

/* Ends a watch. NULL is accepted. Mirrors UNWATCH. Since 0.1. */
MLKV_API void mlkv_watch_close(mlkv_watch *watch);

MLKV_END_DECLS

#endif
