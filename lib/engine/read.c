/* read.c - one record: cache, then pending, then LMDB, and what was read goes into the cache.
 *
 * R1: the cache's position is noted before anything is looked up, and the fill is refused if it
 * moved. R2: the LMDB snapshot is begun after the look into pending, and must satisfy trimmed <=
 * applied(snapshot) <= cursor: not older than what pending has let go, not newer than the cursor
 * that the operation stands on. Otherwise the state moved, and the caller begins again. No locks
 * here; engine_settle takes the writer lock, for the rare case that LMDB is ahead of the tail, and in
 * a read-only engine waits for somebody who can.
 */
#include "engine/engine.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fault.h"
#include "base/hash.h"

enum { POLL_US = 1000 };

int engine_read_begin(engine *self, uint64_t *ret_cursor)
{
    if (self->options.read_only) {
        int result = engine_refresh(self);
        if (result != MLKV_OK)
            return result;
        if (engine_journal(self) == NULL) {
            *ret_cursor = UINT64_MAX; /* nobody writes: LMDB is all there is */
            return MLKV_OK;
        }
    }
    uint64_t tail = journal_tail(engine_journal(self));
    if (engine_cursor(self) < tail) {
        int result = engine_catch_up(self, tail);
        if (result != MLKV_OK)
            return result;
    }
    *ret_cursor = engine_cursor(self);
    return MLKV_OK;
}

int engine_snapshot_at(engine *self, uint64_t cursor, store_read **ret_read)
{
    store_read *read = NULL;
    store_position position;
    int result = store_read_begin(self->store, &read);
    if (result != MLKV_OK)
        return result;
    result = store_read_position(read, &position);
    pending *above = atomic_load_explicit(&self->pending, memory_order_acquire);
    if (result == MLKV_OK && above != NULL &&
        (position.applied > cursor || position.applied < pending_trimmed(above)))
        result = ENGINE_AGAIN;
    if (result != MLKV_OK) {
        store_read_end(read);
        return result;
    }
    WATCH_POINT(READ_SNAPSHOT);
    *ret_read = read;
    return MLKV_OK;
}

static int get_from_store(engine *self, uint64_t cursor, uint64_t hash, mlkv_slice key,
                          uint64_t note, mlkv_buffer *ret_value)
{
    store_read *read = NULL;
    mlkv_slice value;
    int result = engine_snapshot_at(self, cursor, &read);
    if (result != MLKV_OK)
        return result;
    result = store_read_get(read, key, &value);
    if (result == MLKV_OK) {
        cache_fill(self->cache, hash, key, value, false, note);
        result = buffer_assign(ret_value, value.data, value.size);
    } else if (result == MLKV_ABSENT) {
        cache_fill(self->cache, hash, key, slice_of(NULL, 0), true, note);
    }
    store_read_end(read);
    return result;
}

int engine_get(engine *self, uint64_t cursor, uint64_t hash, mlkv_slice key, mlkv_buffer *ret_value)
{
    uint64_t note = cache_note(self->cache, hash);
    WATCH_POINT(READ_NOTED);
    int found = cache_get(self->cache, hash, key, ret_value);
    if (found == CACHE_HIT)
        return MLKV_OK;
    if (found == CACHE_HIT_ABSENT)
        return MLKV_ABSENT;
    if (found < 0)
        return found;
    pending *above = atomic_load_explicit(&self->pending, memory_order_acquire);
    if (above != NULL) {
        found = pending_get(above, hash, key, ret_value);
        if (found == JOURNAL_FOUND || found == JOURNAL_DELETED) {
            atomic_fetch_add_explicit(&self->counters.pending_hits, 1, memory_order_relaxed);
            return found == JOURNAL_FOUND ? MLKV_OK : MLKV_ABSENT;
        }
        if (found < 0)
            return found;
    }
    WATCH_POINT(READ_PENDING);
    return get_from_store(self, cursor, hash, key, note, ret_value);
}

void engine_prefetch(engine *self, mlkv_slice key)
{
    uint64_t hash = hash_key(key.data, key.size);
    cache_prefetch(self->cache, hash);
}

void engine_prefetch_pending(engine *self, uint64_t hash, bool record)
{
    pending *above = atomic_load_explicit(&self->pending, memory_order_relaxed);
    if (record)
        pending_prefetch_record(above, hash);
    else
        pending_prefetch(above, hash);
}

/* Whether LMDB is ahead of the tail: a batch too large for the ring is committed, its marker is not
 * there yet. 1, 0, or an error. */
static int is_ahead(engine *self)
{
    store_read *read = NULL;
    store_position position = {0};
    journal *log = engine_journal(self);
    if (log == NULL)
        return 0;
    int result = store_read_begin(self->store, &read);
    if (result == MLKV_OK)
        result = store_read_position(read, &position);
    store_read_end(read);
    if (result != MLKV_OK)
        return result;
    return position.applied > journal_tail(log) && !journal_retired(log);
}

/* A read-only engine cannot append the marker that a dead writer left out: it waits for one who
 * can. */
static int await_writer(engine *self)
{
    uint64_t until_ns =
        clock_monotonic_ns() + (uint64_t)self->options.lock_timeout_ms * UINT64_C(1000000);
    for (;;) {
        int ahead = is_ahead(self);
        if (ahead <= 0)
            return ahead;
        if (clock_monotonic_ns() >= until_ns)
            return error_set(MLKV_E_RECOVERY,
                             "%s: a writer died, or was stopped, between two steps of a write, and "
                             "none has gone on for %u ms",
                             self->path, (unsigned)self->options.lock_timeout_ms);
        clock_sleep_us(POLL_US);
        int result = engine_refresh(self);
        if (result != MLKV_OK)
            return result;
    }
}

int engine_settle(engine *self)
{
    if (self->options.read_only)
        return await_writer(self);
    int result = engine_write_begin(self);
    if (result != MLKV_OK)
        return result;
    result = engine_mend(self);
    engine_write_end(self);
    return result;
}
