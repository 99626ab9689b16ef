/* view.h - the three kinds of view, inside. Only lib/view includes it; types/ knows op.h.
 *
 *   live         an engine, shared by all handles of the folder
 *   transaction  the writer lock held by the thread that began it, and a batch of its writes; reads
 *                go to the batch, then as live
 *   snapshot     one LMDB read transaction that holds everything acknowledged at its begin; a
 *                read-only engine adds a copy of what was pending
 *
 * Invariants: a transaction's thread and the lock's epoch are checked by every call (R10). A
 * derived view holds a reference to the engine of its own.
 *
 * Locks: none but the writer lock of a transaction.
 */
#ifndef MLKV_VIEW_VIEW_H
#define MLKV_VIEW_VIEW_H

#include "engine/engine.h"
#include "view/op.h"

typedef enum { VIEW_LIVE, VIEW_TRANSACTION, VIEW_SNAPSHOT } view_kind;

struct mlkv {
    view_kind kind;
    engine *_Atomic engine;
    bool read_only; /* the handle's own */
    bool borrowed; /* the keeper's view: what it opens retains nothing, for the last close waits for
                      the keeper with the registry's lock held */
    int durability; /* the handle's own */
    /* transaction */
    pthread_t thread;
    uint64_t epoch;
    batch writes;
    int failed; /* a merge that failed half-way: the transaction can only be aborted */
    mlkv_buffer
        adopted; /* uint64_t[]: blobs that its operations refer to, deleted if it is aborted */
    bool in_operation;
    struct rank_overlay
        *overlays; /* its own writes, beside the engine's counted trees (ranking.c) */
    /* transaction, snapshot */
    int64_t now_ms;
    /* snapshot */
    _Atomic unsigned
        holders; /* the handle, and the scans outside an op that walk it: the last to end frees it */
    store_read *read;
    pending_copy above;   /* newer than LMDB, sorted; only in a read-only engine */
    ranks *_Atomic ranks; /* its own counted trees; NULL until one is wanted */
};

struct op {
    mlkv *view;
    engine *engine;
    uint64_t cursor;  /* the state that reads stand on */
    unsigned reads;   /* records read since the state was last known to stand at the cursor */
    unsigned missing; /* runs that found a blob missing */
    bool scanned;     /* a scan was opened in this run */
    bool writing;
    bool begun;    /* cursor is set */
    bool locked;   /* the writer lock is held */
    bool again;    /* something was not as of one state: the run does not count */
    bool may_want; /* a live write: it may stop to have a counted tree made without the lock */
    bool wants;    /* it did: of this prefix, with about so many keys */
    unsigned char wanted[RANKS_PREFIX_SIZE];
    uint64_t wanted_count;
    uint64_t released_bytes; /* of blobs whose last reference this run lets go */
    int64_t now_ms;
    batch *writes;         /* of this run */
    mlkv_buffer *value;    /* scratch of op_borrow */
    mlkv_buffer *adoptees; /* op_value *[]: what this run refers to; they become adopted when it is
                              committed */
};

/* The engine of a view, opened anew if a fork left the old one behind. Checks NULL, ownership. */
int view_enter(mlkv *view, engine **ret_engine);

/* time.c: what time it is for this store (op_now_ms). */
int64_t view_now_ms(engine *self);

/* scan.c: a scan of what the engine has (a transaction's own writes left out), or a snapshot. moment->at is called when the state
 * is taken, for an engine's under the catch-up lock; what it returns but MLKV_OK ends the opening. */
typedef struct {
    int (*at)(void *context);
    void *context;
} view_moment;
int view_scan_base(mlkv *view, engine *source, mlkv_slice prefix, const view_moment *moment,
                   scan **ret_scan);

/* ranking.c: makes the counted tree that a write stopped for, without the writer lock. Failing is no harm. */
void view_make_wanted(op *o);
/* A transaction's operation succeeded: its writes are now among the transaction's. */
void view_overlays_merge(mlkv *view, engine *self, const batch *writes);
void view_rankings_done(mlkv *view);

/* One holder of a snapshot less. */
int view_let_go(mlkv *snapshot);

/* A record of a snapshot view. */
int view_snapshot_get(mlkv *view, mlkv_slice key, mlkv_buffer *ret_value);

/* value.c: the bytes of a cell that is no blob, to the end of *out; loads its dictionary, if it needs one. */
int view_cell_decode(engine *self, mlkv_slice cell, int kind, mlkv_buffer *out);

/* Scratch memory of a thread, freed when it ends. Taken by one op at a time; a nested op gets fresh
 * memory. */
typedef struct {
    batch writes;
    mlkv_buffer value;
    mlkv_buffer adoptees;
    bool taken;
} op_scratch;
int op_scratch_take(op_scratch **ret_scratch);
void op_scratch_release(op_scratch *scratch);

/* value.c: the values that a committed run referred to are the store's now; those of a run that
 * does not count are free again. */
void op_adopt_all(op *o);
void op_adopt_none(op *o);

/* clean.c: one step of types' cleaner, for the engine's keeper. */
int view_clean(engine *self);
/* The number of keys, from the record that types/ keep. */
int view_key_count(mlkv *view, uint64_t *ret_count);

#endif
