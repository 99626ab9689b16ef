/* internal.h - what the two halves of pending share: its state. Private to lib/pending.
 *
 * A table is never changed in size: a larger one is filled and published, and the old one is kept
 * until pending_destroy, because readers may be in it; as sizes double, the old ones together are
 * no larger than the newest. An old table stays complete for the positions that were added before.
 * The same holds for stashes.
 */
#ifndef MLKV_PENDING_INTERNAL_H
#define MLKV_PENDING_INTERNAL_H

#include "pending/pending.h"

#include <pthread.h>

enum {
    PENDING_BUCKET_SLOTS = 8, /* 128 bytes: a pair of lines, which the hardware fetches together */
    PENDING_SLOTS_MIN = 512,  /* 8 KiB for a process that writes little */
    PENDING_STASH_MIN = 16,
    PENDING_RUNS_MAX = 64,  /* each run is at least twice as long as the next */
    PENDING_KEY_BYTES = 23, /* of a key that a run's item holds */
    PENDING_KEY_LONG = 24,  /* in place of the size: the key is longer than that */
};

typedef struct {
    uint64_t hash;     /* atomic */
    uint64_t position; /* atomic; 0: dead */
} pending_slot;

/* Slots for keys both of whose buckets were full; searched one after another. */
typedef struct pending_stash {
    struct pending_stash *older;
    size_t capacity;
    size_t count; /* atomic: slots below it may be live */
    pending_slot slots[];
} pending_stash;

typedef struct pending_table {
    struct pending_table *older;
    uint64_t bucket_mask;
    pending_slot *slots;
    size_t mapped_size;
    pending_stash *stash; /* atomic */
} pending_table;

/* A record in key order: the key's first 23 bytes padded with zeros, and the smaller of its size
 * and 24, as three big-endian numbers. So keys of up to 23 bytes are compared without a look into
 * the ring, and longer ones unless they are equal so far. */
typedef struct {
    uint64_t words[3];
    uint64_t position;
} pending_run_item;

typedef struct {
    pending_run_item *items;
    size_t count;
    uint64_t newest; /* position */
} pending_run;

struct pending {
    const journal *source;
    uint64_t trimmed;     /* atomic */
    uint64_t newest;      /* atomic: the highest position added */
    pending_table *table; /* atomic */
    size_t table_bytes;   /* atomic: of all tables and stashes */
    /* how many slots are live, at most: a sweep counts a bucket for each slot claimed */
    size_t live_bound;
    size_t sweep_bucket, sweep_live, sweep_claims;

    pthread_mutex_t runs_lock;
    pending_run runs[PENDING_RUNS_MAX]; /* oldest first */
    size_t run_count;
    uint64_t indexed_to; /* frames below it are in the runs, or were below trimmed */
    size_t run_bytes;    /* atomic */
};

void pending_raise_trimmed(pending *self, uint64_t position);

/* Frees the runs whose positions all lie below trimmed. Under the runs' lock. */
void pending_drop_runs(pending *self);

#endif
