/* space.c - how much of the disk a store takes, and what holds it down.
 *
 * LMDB writes each changed page anew, and the pages that a commit left behind can be written over
 * only by the one after the next. So a store that is steadily overwritten has a file of its live
 * pages and twice the pages that one batch touches. Three things keep that near twice the live data
 * plus the ring:
 *
 *   a batch    touches no more than engine_room_pages, unless one frame does
 *   waste      of blobs that nobody refers to any more is deleted once there is a certain amount of
 *              it, by the keeper, and by whoever writes large values if the keeper lags
 *   holes      pages that are free beyond that are given back to the file system, by whoever has
 *              committed to LMDB, and by the keeper; all of them by engine_compact. They come from snapshots that were held for long, from
 *              deletions and from large transactions
 *
 * Live leaf pages are filled to 60 % and more where keys come in no order, runs of large values to
 * 75 % and more; the parts below follow from that: 2 batches + live pages <= 2 live data + ring.
 *
 * Invariants:
 * 1. A step of compaction holds the applier lock and LMDB's for a bounded time (store_punch), and
 *    changes nothing of what LMDB holds. Between steps others get both.
 * 2. The keeper gives back only what steady overwriting would not use again at once
 *    (free_allowed > 2 * room), so that it rests while nothing else happens.
 *
 * Locks: none but those of the steps.
 */
#include "engine/engine.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/fault.h"

enum {
    PAGE_SIZE = 4096,
    LEAF_PART = 32, /* of the leaf pages that a batch may touch beside half of the ring, */
    RUN_PART = 16,  /* and of the pages of large values; */
    LAG_PART = 16,  /* less this of the ring, at most LAG_MAX: readers keep pages for some time */
    LAG_MAX = 2 << 20,
    ROOM_PAGES_MIN = 256,
    FREE_MIN = 4 << 20, /* nothing below is worth giving back unasked */
    WASTE_MIN = 4 << 20,
    WASTE_RING_PART = 8,
    WASTE_RUN_PART = 16,
    REST_US_MIN = 200, /* between two steps, in which others take the lock */
    REST_US_MAX = 20000,
    WASTE_ROUNDS_MAX = 64,
    CHECK_MS = 100,
    CHECK_MS_MAX = 1000,
    KEEPER_LOCK_MS = 50, /* under load LMDB's lock is seldom free at once */
    KEEPER_STEPS = 4,    /* at once; then the keeper has other things to do */
};

static uint64_t ring_bytes(engine *self)
{
    journal *log = engine_journal(self); /* none yet while a store is recovered */
    return log != NULL ? journal_ring_bytes(log) : self->options.ring_bytes;
}

/* Free bytes on the disk that the keeper leaves alone. */
static uint64_t free_allowed(engine *self, const store_space *space)
{
    uint64_t bytes =
        ring_bytes(self) + space->leaf_bytes * 2 / LEAF_PART + space->run_bytes * 2 / RUN_PART;
    return bytes > FREE_MIN ? bytes : FREE_MIN;
}

/* Free bytes that are no holes. */
static uint64_t free_on_disk(const store_space *space)
{
    uint64_t used = space->leaf_bytes + space->run_bytes;
    return space->disk_bytes > used ? space->disk_bytes - used : 0;
}

/* A little more is free than is left alone: steady overwriting itself reaches what is allowed. */
static bool is_too_much(engine *self, const store_space *space)
{
    uint64_t allowed = free_allowed(self, space);
    return free_on_disk(space) > allowed + allowed / 8;
}

uint64_t engine_room_pages(engine *self)
{
    store_space space;
    if (store_get_space(self->store, &space) != MLKV_OK)
        return ROOM_PAGES_MIN;
    uint64_t ring = ring_bytes(self), lag = ring / LAG_PART < LAG_MAX ? ring / LAG_PART : LAG_MAX;
    uint64_t bytes = ring / 2 - lag + space.leaf_bytes / LEAF_PART + space.run_bytes / RUN_PART;
    if (is_too_much(self, &space))
        bytes /= 2; /* readers keep the pages of more than two batches: they shall be smaller */
    return bytes / PAGE_SIZE > ROOM_PAGES_MIN ? bytes / PAGE_SIZE : ROOM_PAGES_MIN;
}

/* --- blobs that nobody refers to --- */

static uint64_t waste_allowed(engine *self)
{
    store_space space;
    if (store_get_space(self->store, &space) != MLKV_OK)
        return WASTE_MIN;
    uint64_t bytes = ring_bytes(self) / WASTE_RING_PART + space.run_bytes / WASTE_RUN_PART;
    return bytes > WASTE_MIN ? bytes : WASTE_MIN;
}

void engine_note_waste(engine *self, uint64_t bytes)
{
    atomic_fetch_add_explicit(&self->waste_bytes, bytes, memory_order_relaxed);
}

int engine_reclaim(engine *self, unsigned lag)
{
    uint64_t bytes = atomic_load_explicit(&self->waste_bytes, memory_order_relaxed);
    if (bytes < WASTE_MIN || bytes < waste_allowed(self) * lag)
        return MLKV_ABSENT;
    if (atomic_exchange_explicit(&self->waste_bytes, 0, memory_order_relaxed) == 0)
        return MLKV_ABSENT; /* another thread is at it */
    /* what says that they are waste must be in LMDB before they go: a power cut may take a frame back */
    int result = engine_apply_until(self, journal_tail(engine_journal(self)));
    for (int i = 0; i < WASTE_ROUNDS_MAX && result == MLKV_OK; i++)
        result = engine_clean_waste(self);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

/* --- holes --- */

/* One step. MLKV_E_BUSY: others had LMDB's lock for all of timeout_ms. */
static int punch_step(engine *self, uint32_t timeout_ms, uint64_t *below, uint64_t *freed)
{
    store_write *write = NULL;
    uint64_t bytes = 0;
    int result = engine_store_begin(self, timeout_ms, &write);
    if (result != MLKV_OK)
        return result;
    FAULT_POINT(COMPACT_LOCKED);
    result = store_punch(self->store, write, below, &bytes);
    engine_store_abort(self, write);
    *freed += bytes;
    return result;
}

/* A commit that changes nothing: what the one before left behind can be given back then. */
static int commit_nothing(engine *self)
{
    store_write *write = NULL;
    store_position position;
    int result = engine_store_begin(self, self->options.lock_timeout_ms, &write);
    if (result != MLKV_OK)
        return result;
    result = store_write_position(write, &position);
    if (result == MLKV_OK)
        result = store_write_set_position(write, position);
    if (result == MLKV_OK)
        return engine_store_commit(self, write);
    engine_store_abort(self, write);
    return result;
}

/* Steps and rests until the file's beginning is reached. */
static int punch_all(engine *self, uint64_t *freed)
{
    uint64_t below = UINT64_MAX;
    int result = MLKV_OK;
    while (result == MLKV_OK && below != 0) {
        uint64_t begun_ns = clock_monotonic_ns();
        result = punch_step(self, self->options.lock_timeout_ms, &below, freed);
        uint64_t rest_us = (clock_monotonic_ns() - begun_ns) / 1000;
        rest_us = rest_us < REST_US_MIN   ? REST_US_MIN
                  : rest_us > REST_US_MAX ? REST_US_MAX
                                          : rest_us;
        if (result == MLKV_OK && below != 0)
            clock_sleep_us((uint32_t)rest_us);
    }
    return result;
}

int engine_compact(engine *self, uint64_t *ret_freed)
{
    uint64_t freed = 0;
    int result = engine_check_writable(self);
    if (result == MLKV_OK)
        result = engine_apply_until(self, journal_tail(engine_journal(self)));
    for (int i = 0; i < WASTE_ROUNDS_MAX && result == MLKV_OK; i++)
        result = engine_clean_waste(self);
    if (result == MLKV_OK || result == MLKV_ABSENT)
        result = store_check_readers(self->store);
    if (result == MLKV_OK)
        result = engine_store_sync(self);
    if (result == MLKV_OK)
        result = commit_nothing(self);
    if (result == MLKV_OK)
        result = punch_all(self, &freed);
    if (result == MLKV_OK)
        *ret_freed = freed;
    return result;
}

/* How much the keeper would give back; 0: it is not worth it. */
static uint64_t wanted(engine *self)
{
    store_space space;
    if (store_get_space(self->store, &space) != MLKV_OK)
        return 0;
    return is_too_much(self, &space) ? free_on_disk(&space) - free_allowed(self, &space) : 0;
}

/* Under load others are always in line for the lock, and the keeper does not get it often enough. So
 * whoever has just committed to LMDB, and has the lock, does a step. */
void engine_give_back(engine *self)
{
    store_write *write = NULL;
    uint64_t freed = 0;
    if (self->punch_refused || wanted(self) == 0)
        return;
    if (self->punch_below == 0)
        self->punch_below = UINT64_MAX;
    int result = store_write_begin(self->store, &write);
    if (result != MLKV_OK)
        return;
    result = store_punch(self->store, write, &self->punch_below, &freed);
    store_write_abort(write);
    self->punch_refused = result == MLKV_E_PLATFORM;
}

void engine_compact_if_due(engine *self, compact_state *state)
{
    uint64_t now = clock_monotonic_ns();
    if (state->refused || now < state->next_ns)
        return;
    uint64_t freed = 0, want = wanted(self);
    int result = MLKV_OK;
    if (state->below == 0)
        state->below = UINT64_MAX;
    for (int i = 0; i < KEEPER_STEPS && result == MLKV_OK && freed < want && state->below != 0; i++)
        result = punch_step(self, KEEPER_LOCK_MS, &state->below, &freed);
    bool goes_on = result == MLKV_OK && want != 0 && state->below != 0 && freed < want;
    if (freed != 0 || want == 0)
        state->pause_ms = CHECK_MS;
    else if (!goes_on && state->pause_ms < CHECK_MS_MAX && result != MLKV_E_BUSY)
        state->pause_ms = state->pause_ms < CHECK_MS ? CHECK_MS : 2 * state->pause_ms;
    if (!goes_on && result != MLKV_E_BUSY)
        state->below = 0; /* from the end again */
    state->refused = result == MLKV_E_PLATFORM;
    state->next_ns =
        goes_on || result == MLKV_E_BUSY ? now : now + (uint64_t)state->pause_ms * 1000000;
}
