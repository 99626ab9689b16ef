/* pending.h - where the newest version of each record not yet in LMDB stands in the ring.
 *
 * A hash from record key to journal position (pending_hash.c): 16-byte slots {hash, position} of
 * two atomic words, buckets of 8 in two cache lines, two choices; a slot whose position lies below
 * `trimmed` is dead and is reused in place. Values stay in the ring. And an ordered index for scans
 * (pending_runs.c): sorted runs of positions, caught up from the ring only when a scan wants it,
 * merged as they grow.
 *
 * Invariants: every record of the frames in [trimmed, cursor) is found by pending_get, or the
 * caller is told JOURNAL_LOST. trimmed only grows, and is raised before any slot that it makes dead
 * is reused. It may be raised here, too, but never above the journal's applied, and always to a
 * frame's end.
 *
 * Locks: pending_get, pending_prefetch, pending_trimmed and pending_memory_bytes run in any thread
 * without a lock; all else only under the engine's catch-up lock. pending_collect, and whoever
 * drops runs, takes the pending lock as well.
 */
#ifndef MLKV_PENDING_PENDING_H
#define MLKV_PENDING_PENDING_H

#include "journal/journal.h"

typedef struct pending pending;

/* memory grows with the records in the ring; reserves nothing for ring sizes that are never used.
 */
int pending_create(const journal *source, pending **ret_pending);
void pending_destroy(pending *self);

/* Makes sure that pending_add of n more records cannot fail (grows the table). 0 or MLKV_E_MEMORY.
 * Under the catch-up lock. */
int pending_reserve(pending *self, size_t n);
/* Notes that the newest version of `key` (hash = hash_key of it) stands at `position`. Cannot fail
 * after pending_reserve. */
void pending_add(pending *self, uint64_t hash, mlkv_slice key, uint64_t position);
/* Positions below `applied` are in LMDB: their slots may be reused from now on. */
void pending_trim(pending *self, uint64_t applied);
/* Forgets everything (overtaken, marker frame); trimmed becomes `position`. */
void pending_reset(pending *self, uint64_t position);
uint64_t pending_trimmed(const pending *self);

/* As journal_get_record of the newest version: JOURNAL_FOUND, JOURNAL_DELETED, JOURNAL_OTHER
 * (nothing pending under this key), JOURNAL_LOST (overwritten: so it is in LMDB by now). Negative:
 * error. */
int pending_get(const pending *self, uint64_t hash, mlkv_slice key, mlkv_buffer *ret_value);
/* Touches the cache lines that pending_get of this hash will read. */
void pending_prefetch(const pending *self, uint64_t hash);
/* Once those lines are there: touches the record in the ring that pending_get and pending_add
 * compare. */
void pending_prefetch_record(const pending *self, uint64_t hash);

/* Copies of all pending records whose key starts with prefix, is > after (if after.size > 0), in
 * key order, tombstones included, as they are at cursor. */
typedef struct {
    mlkv_slice key, value;
    bool is_delete;
} pending_item;
typedef struct {
    pending_item *items; /* point into arena */
    size_t count;
    void *arena;
} pending_copy;
/* The caller holds the engine's catch-up lock, so that the cursor stands still. 0, JOURNAL_LOST
 * (overtaken meanwhile: begin again), MLKV_E_MEMORY. */
int pending_collect(pending *self, uint64_t cursor, mlkv_slice prefix, mlkv_slice after,
                    pending_copy *ret_copy);
void pending_copy_free(pending_copy *copy);

/* What table and runs take; retired tables included. */
size_t pending_memory_bytes(const pending *self);

#endif
