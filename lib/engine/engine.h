/* engine.h - what joins journal, pending, cache and LMDB into one store of one process; views stand
 * on it.
 *
 * One engine per folder and process (registry.c), shared by all handles. It owns two threads: the
 * applier, which moves frames into LMDB, and the keeper, which syncs the journal, keeps an idle
 * process caught up and cleans.
 *
 * State: cursor, up to which this process has taken frames into cache and pending; reaching, raised
 * before the first change of a frame and so different from cursor while one is half taken.
 *
 * Invariants: cursor <= reaching <= tail. I4: a read begins by catching up to the tail it saw. I5,
 * I6, R1-R5 as docs/architecture.md tells.
 *
 * Locks, in order: writer lock (journal), catch-up lock, pending's, cache shard's. Draining takes
 * LMDB's lock and none of these after it, never inside the catch-up lock. Every write transaction of
 * LMDB stands inside the journal's applier lock (engine_store_begin), because that one can be waited
 * for in limits.
 */
#ifndef MLKV_ENGINE_ENGINE_H
#define MLKV_ENGINE_ENGINE_H

#include "base/pool.h"
#include "cache/cache.h"
#include "cache/kept.h"
#include "codec/cell.h"
#include "engine/batch.h"
#include "engine/dictionaries.h"
#include "engine/ranks.h"
#include "journal/journal.h"
#include "pending/pending.h"
#include "store/store.h"

#include <mlkv/db.h>
#include <stdatomic.h>
#include <sys/types.h>

typedef struct engine engine;

typedef struct {
    cell_options cells;
    size_t cache_bytes, ring_bytes, batch_bytes;
    uint32_t sync_interval_ms, lock_timeout_ms;
    unsigned threads;
    pool_executor executor;
    int durability;
    bool read_only, create, accept_loss, in_memory;
    bool quiet; /* the keeper cleans nothing: what it would clean is being mended */
} engine_options;

/* Counters that mlkv_stats shows; relaxed atomics. */
typedef struct {
    _Atomic uint64_t pending_hits, frames_appended, frames_caught_up, batches_applied,
        records_applied, throttled, overtaken, blobs_written;
} engine_counters;

/* Memory that shows pages of the store (loans.c). Starts {0}. */
typedef struct engine_loan {
    engine *engine;
    store_mapping mapping;
    uint64_t bytes, since_ns;
    bool listed;
    struct engine_loan *next, **link;
} engine_loan;

struct engine {
    char *path;
    dev_t device;
    ino_t inode;
    unsigned references; /* guarded by the registry's lock, as are the next two */
    engine *next;
    _Atomic bool abandoned; /* inherited through fork: nothing of it may be used */
    pid_t creator;          /* of an in-memory store: who removes the folder */
    engine_options options;

    store *store;
    journal *_Atomic journal; /* changes only in a read-only engine, when writers restarted; old
                                 ones stay mapped until the end */
    pending *_Atomic pending;
    cache *cache;
    kept_cache *kept; /* decoded chunks: a part of the cache's budget */
    pool *pool;       /* for what is large: encoding, decoding, checksums */
    liveness *liveness;
    dictionaries *dictionaries;
    ranks *ranks;              /* counted trees, as of the cursor */
    ranks_budget ranks_budget; /* theirs and those of this engine's snapshots */

    _Alignas(64) _Atomic uint64_t cursor;
    _Atomic uint64_t reaching;
    _Alignas(64) pthread_mutex_t catchup_lock; /* guards the taking in of frames and frame_buffer */
    mlkv_buffer frame_buffer;
    struct retired_link *retired;

    _Alignas(64) pthread_mutex_t
        drain_lock; /* callers of one process that wait for LMDB stand here, so that they share a
                       commit; never inside another lock but the writer lock */
    pthread_mutex_t blob_lock; /* guards the range of blob ids */
    uint64_t blob_next, blob_end;
    pthread_mutex_t loans_lock; /* guards the next four */
    engine_loan *loans, **loans_end;
    uint64_t loan_count, loan_bytes;
    _Atomic uint64_t
        waste_bytes; /* of blobs that this process let go since waste was last reclaimed */
    uint64_t
        punch_below; /* under the applier lock: where the next step of engine_give_back goes on */
    bool punch_refused; /* the same: the file system takes no holes */

    pthread_mutex_t background_lock; /* guards stopping and the conditions */
    pthread_cond_t applier_wake, keeper_wake;
    pthread_t applier, keeper;
    bool applier_runs, keeper_runs, stopping;
    _Atomic bool applier_asked;
    engine_counters counters;
};

enum {
    ENGINE_AGAIN = -1000
}; /* internal: the state moved under a read, run it again; never leaves the view */

/* --- registry.c --- */
int engine_acquire(const char *path, const engine_options *options, engine **ret_engine);
int engine_release(engine *self);
void engine_retain(engine *self);
/* After a fork: puts the child's own engine in place of an abandoned one at *handle, moving one
 * reference. Any number of threads may ask at once. */
int engine_replace(engine *_Atomic *handle, engine **ret_engine);

/* --- options.c --- */
int engine_check_options(const mlkv_options *given, bool in_memory, engine_options *ret_options);

/* --- memory.c --- */
int engine_memory_folder(char *ret_path, size_t size);
void engine_remove_folder(const char *path);

/* --- recover.c --- */
/* Opens everything in self->path; `alone` recovers. */
int engine_open(engine *self);
/* Ends threads, applies, marks clean if alone, frees everything. The error of the last write. */
int engine_close(engine *self);

/* --- catchup.c --- */
/* Takes in everything up to the tail of now (at least `target`). Returns with cursor >= target. */
int engine_catch_up(engine *self, uint64_t target);
/* The same under the writer lock, where the tail stands still. */
int engine_catch_up_locked(engine *self);
/* Takes in the frame [start, end) that this thread just appended from `records`, under the writer
 * lock. */
void engine_take_own(engine *self, const batch *records, uint64_t start, uint64_t end);
/* A read-only engine looks whether writers restarted with a new journal. */
int engine_refresh(engine *self);
void engine_free_retired(engine *self);

static inline journal *engine_journal(engine *self)
{
    return atomic_load_explicit(&self->journal, memory_order_acquire);
}

static inline uint64_t engine_cursor(engine *self)
{
    return atomic_load_explicit(&self->cursor, memory_order_acquire);
}

/* True if nothing was taken in, not even in part, since the cursor was `cursor`. */
static inline bool engine_stood_still(engine *self, uint64_t cursor)
{
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&self->reaching, memory_order_acquire) == cursor;
}

/* --- read.c --- */
/* Catches up to the tail of now and returns the cursor a read stands on. */
int engine_read_begin(engine *self, uint64_t *ret_cursor);
/* The record as of `cursor` or, if frames are being taken in, a later state (engine_stood_still
 * tells). Replaces *ret_value. 0, MLKV_ABSENT, ENGINE_AGAIN (LMDB is not at a state that fits the
 * cursor: begin again), negative. */
int engine_get(engine *self, uint64_t cursor, uint64_t hash, mlkv_slice key,
               mlkv_buffer *ret_value);
void engine_prefetch(engine *self, mlkv_slice key);
/* What taking in a write of this record will touch: first the slots, then, once those are there,
 * the record that they point to. */
void engine_prefetch_pending(engine *self, uint64_t hash, bool record);
/* LMDB is ahead of the tail (its writer died between commit and marker) or shows an old commit:
 * mends both. A read-only engine waits until somebody did, for lock_timeout_ms: MLKV_E_RECOVERY. Not
 * with the writer lock held (that holder calls engine_mend). */
int engine_settle(engine *self);
/* A snapshot of LMDB that fits `cursor` (R2): trimmed <= applied <= cursor. ENGINE_AGAIN if there
 * is none now. */
int engine_snapshot_at(engine *self, uint64_t cursor, store_read **ret_read);

/* --- write.c --- */
/* Takes the writer lock, repairs what a dead owner left, catches up. */
int engine_write_begin(engine *self);
int engine_write_begin_within(engine *self, uint32_t timeout_ms); /* not lock_timeout_ms */
void engine_write_end(engine *self);
/* In a forked child: what its thread held is its parent's. */
void engine_write_forget(void);
/* pool_run by the engine's pool, with what this thread holds minded. The tasks take no lock but the
 * gate of LMDB's readers. */
int engine_share(engine *self, uint64_t bytes, pool_task task, void *argument, size_t n);
/* Appends the batch as one frame (or directly, if it is too large), takes it in here. Under the
 * writer lock. *ret_end: the position to wait for. */
int engine_commit(engine *self, batch *records, uint64_t *ret_end);
/* Returns when everything below `position` is durable at this level. Without locks. */
int engine_wait(engine *self, uint64_t position, int durability);
/* The same for who wrote up to there: what he wrote is visible, so a failure is MLKV_E_DURABILITY. */
int engine_wait_written(engine *self, uint64_t position, int durability);
/* Slows a writer down while the ring is filling, and wakes the applier. Without locks. */
void engine_throttle(engine *self);
int engine_mend(engine *self); /* under the writer lock */
int engine_check_writable(engine *self);

/* --- changes.c --- */
/* By what hash changes of this record are waited for (journal_watch_begin): records that belong to a
 * life by that of its id. hash: the key's. */
uint64_t engine_watch_hash(mlkv_slice key, uint64_t hash);
/* After the commit and without the writer lock: wakes those who wait for one of these records. */
void engine_notify(engine *self, const batch *records);
typedef int (*engine_visitor)(void *context, mlkv_slice record_key);
/* Visits the records of the frames in [*position, tail), and moves the position. What the visitor says
 * other than 0 ends the walk. MLKV_ABSENT: what changed is not known; *position is the tail then. */
int engine_changes(engine *self, uint64_t *position, engine_visitor visit, void *context);

/* --- direct.c --- */
int engine_commit_direct(engine *self, batch *records, uint64_t *ret_end);

/* A write transaction of LMDB, inside the applier lock; to be ended by one of the next two.
 * MLKV_E_BUSY: others had it for all of timeout_ms. */
int engine_store_begin(engine *self, uint32_t timeout_ms, store_write **ret_write);
int engine_store_commit(engine *self, store_write *write);
/* The same with frames up to `applied` in it: the header is raised before the lock is released. */
int engine_store_commit_to(engine *self, store_write *write, uint64_t applied);
void engine_store_abort(engine *self, store_write *write);
/* LMDB's last commit is on the disk (R7). These three poison the journal if the disk failed. */
int engine_store_sync(engine *self);

/* --- apply.c --- */
typedef struct collected collected;
/* Where frames are read: in the living ring, or in a dead journal's. */
typedef struct {
    int (*read)(const void *from, uint64_t position, uint64_t limit, journal_frame *ret_frame);
    const void *from;
} frame_source;
/* Puts the frames from *position on, as many as one transaction may hold (options.batch_bytes) and
 * at most up to `tail`, and the position behind them. *ret_put: records, without duplicates. */
int engine_put_frames(engine *self, store_write *write, collected *into, const frame_source *source,
                      uint64_t tail, store_position *position, uint64_t *ret_put);
/* One LMDB transaction with frames of (applied, tail]; 0 also when there was nothing to do.
 * *ret_more: frames are left. MLKV_E_BUSY: others wrote to LMDB for all of lock_timeout_ms. */
int engine_apply(engine *self, bool *ret_more);
/* The same without waiting for others. */
int engine_apply_try(engine *self, bool *ret_more);
/* Applies until everything below position is in LMDB. MLKV_E_BUSY: applied did not move for
 * lock_timeout_ms. */
int engine_apply_until(engine *self, uint64_t position);

/* --- collect.c --- */
int collect_create(collected **ret_collected);
void collect_destroy(collected *self);
/* Adds a frame's records. 0 or an error. */
int collect_add(collected *self, const journal_frame *frame);
size_t collect_count(const collected *self);
/* Pages that putting all of them may touch, at most, in a tree of tree_pages. */
uint64_t collect_pages(const collected *self, uint64_t tree_pages);
/* Whether it will probably write `room` pages or more of such a tree: if its keys lie anywhere in
 * it. */
bool collect_fills(const collected *self, uint64_t tree_pages, uint64_t room);
/* Sorts what is left of them and puts it. *ret_records: how many. */
int collect_write(collected *self, store_write *write, uint64_t *ret_records);

/* --- blob.c --- */
/* Writes n values as blobs into LMDB, under ids that nobody refers to yet, noted as this session's.
 * Shares commits. */
int engine_blobs_write(engine *self, planes_form form, const mlkv_slice *raws, size_t n,
                       cell_blob *ret_blobs);
/* The same, raw, and so that each piece can be mapped by itself: its bytes begin at a page of page_bytes. All pieces but the last have
 * whole pages. */
int engine_blobs_write_paged(engine *self, size_t page_bytes, const mlkv_slice *raws, size_t n,
                             cell_blob *ret_blobs);
/* Deletes blobs that nobody refers to. Errors leave them to the cleaner. */
void engine_blobs_discard(engine *self, const uint64_t *ids, size_t n);
/* Parts of a blob from a snapshot, as op_cell_read_parts says. MLKV_ABSENT if a piece is not there. */
int engine_blob_read_parts(store_read *read, const cell_blob *blob, const blob_part *parts,
                           size_t n);
/* Parts of a blob of one piece that is coded in planes, without decoding the rest. MLKV_ABSENT: it is
 * another one. ENGINE_AGAIN: the piece is not there. */
int engine_blob_decode_parts(store_read *read, const cell_blob *blob, const blob_part *parts,
                             size_t n);
/* Reads [offset, offset + size) of a blob from a snapshot. MLKV_ABSENT if a piece is not there. */
int engine_blob_read(engine *self, store_read *read, const cell_blob *blob, uint64_t offset,
                     size_t size, void *to);

/* A piece's raw bytes where they stand in data.mdb. MLKV_ABSENT if it is not there, MLKV_E_PLATFORM (not at a page). */
int engine_blob_place(store_read *read, const cell_blob *blob, uint32_t piece, store_run *ret_run);

/* --- loans.c --- */
/* Maps runs that a read transaction of the caller's holds, and counts the loan; n may be 0. As store_map. *loan must stay where it is. */
int engine_lend(engine *self, const store_run *runs, size_t n, bool is_private, engine_loan *loan);
/* Before the transaction ends. Any thread; in a forked child too. */
void engine_lend_end(engine_loan *loan);
void engine_loans_stats(engine *self, mlkv_stats *stats);

/* --- clean.c --- */
/* Deletes the pieces of waste blobs, then their W records. MLKV_ABSENT if there was none. */
int engine_clean_waste(engine *self);
/* Notes of dead sessions: orphans are deleted, other notes dropped. own: also this session's notes
 * whose blobs are referenced. */
int engine_clean_notes(engine *self, bool own);

/* --- background.c --- */
int engine_background_start(engine *self);
void engine_background_stop(engine *self);
void engine_wake_applier(engine *self);
/* Called by the keeper now and then: types' cleaner, registered by view. */
typedef int (*engine_cleaner)(engine *self);
void engine_set_cleaner(engine_cleaner cleaner);

/* --- backup.c --- */
/* Copies everything acknowledged before the call into the new or empty folder `path`. As
 * mlkv_backup. */
int engine_backup(engine *self, const char *path);

/* --- space.c --- */
/* How many pages one batch may touch, so that the file stays near twice its live data. */
uint64_t engine_room_pages(engine *self);
/* This process let the last reference to so many bytes of blobs go. */
void engine_note_waste(engine *self, uint64_t bytes);
/* Deletes blobs that nobody refers to, if this process left more than `lag` times what is allowed.
 * MLKV_ABSENT: it did not. Without locks. */
int engine_reclaim(engine *self, unsigned lag);
/* As mlkv_compact. */
int engine_compact(engine *self, uint64_t *ret_freed);
/* The keeper's: a few steps, if more is free on the disk than is needed. */
typedef struct {
    uint64_t below;
    uint64_t next_ns;
    uint32_t pause_ms;
    bool refused; /* this file system cannot */
} compact_state;
void engine_compact_if_due(engine *self, compact_state *state);
/* A step of the same, for who has committed and still holds the applier lock. */
void engine_give_back(engine *self);

/* --- stats.c --- */
int engine_stats(engine *self, mlkv_stats *ret_stats);

#endif
