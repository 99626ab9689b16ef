/* apply.c - frames of (applied, tail] into LMDB, in one transaction that ends on a frame boundary
 * and carries the new position.
 *
 * R3: `applied` is read inside the write transaction, the tail after it; every drain, even an empty
 * one, raises the header's applied to LMDB's. If LMDB turns out to be ahead of the header, somebody
 * died between commit and raise: LMDB is synced by force before the header moves (R7). A batch is
 * bounded by the pages it may touch (options.batch_bytes), so that LMDB never spills, and by those
 * that it probably will (space.c), so that the file stays near twice its live data. Locks: LMDB's
 * write lock (one applier at a time, whichever process), under the drain lock, by which callers of
 * one process share a commit.
 */
#include "engine/engine.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/fault.h"
#include "base/lock.h"

enum { PAGE_SIZE = 4096 };

/* Adds whole frames while they fit the page budget; *position: the end of the last one. */
static int collect_frames(engine *self, collected *into, const frame_source *source, uint64_t tail,
                          store_position *position)
{
    store_info info;
    int result = store_get_info(self->store, &info);
    uint64_t budget = self->options.batch_bytes / PAGE_SIZE, room = engine_room_pages(self);
    while (result == MLKV_OK && position->applied < tail) {
        journal_frame frame;
        result = source->read(source->from, position->applied, tail, &frame);
        if (result == MLKV_ABSENT)
            result = error_set(MLKV_E_CORRUPT,
                               "journal: the frame at %llu is gone before it was applied",
                               (unsigned long long)position->applied);
        if (result == MLKV_OK)
            result = collect_add(into, &frame);
        if (result == MLKV_OK)
            *position = (store_position){frame.end, frame.next_id, frame.checksum};
        if (collect_pages(into, info.tree_pages) >= budget ||
            collect_fills(into, info.tree_pages, room))
            break;
    }
    return result;
}

int engine_put_frames(engine *self, store_write *write, collected *into, const frame_source *source,
                      uint64_t tail, store_position *position, uint64_t *ret_put)
{
    int result = collect_frames(self, into, source, tail, position);
    FAULT_POINT(APPLY_COLLECTED);
    if (result == MLKV_OK)
        result = collect_write(into, write, ret_put);
    return result == MLKV_OK ? store_write_set_position(write, *position) : result;
}

static int read_living(const void *from, uint64_t position, uint64_t limit,
                       journal_frame *ret_frame)
{
    return journal_borrow_frame(from, position, limit, ret_frame);
}

/* What another applier committed but could not announce. */
static int announce(engine *self, uint64_t applied)
{
    journal *log = engine_journal(self);
    if (applied <= journal_applied(log))
        return MLKV_OK;
    int result = engine_store_sync(self);
    if (result == MLKV_OK)
        journal_raise_applied(log, applied);
    return result;
}

/* Inside the write transaction: 0 filled, MLKV_ABSENT nothing to do. */
static int fill(engine *self, store_write *write, collected *into, uint64_t *ret_end,
                bool *ret_more)
{
    journal *log = engine_journal(self);
    store_position position;
    int result = store_write_position(write, &position);
    if (result == MLKV_OK)
        result = announce(self, position.applied);
    if (result != MLKV_OK)
        return result;
    uint64_t tail = journal_tail(log);
    if (position.applied >= tail)
        return MLKV_ABSENT;
    uint64_t put = 0;
    result = engine_put_frames(self, write, into, &(frame_source){read_living, log}, tail,
                               &position, &put);
    atomic_fetch_add_explicit(&self->counters.records_applied, put, memory_order_relaxed);
    *ret_end = position.applied;
    *ret_more = position.applied < tail;
    return result;
}

static int apply_once(engine *self, uint32_t timeout_ms, bool *ret_more)
{
    store_write *write = NULL;
    collected *into = NULL;
    uint64_t end = 0;
    *ret_more = false;
    int result = collect_create(&into);
    if (result == MLKV_OK)
        result = engine_store_begin(self, timeout_ms, &write);
    if (result != MLKV_OK)
        goto done;
    FAULT_POINT(APPLY_LOCKED);
    result = fill(self, write, into, &end, ret_more);
    if (result != MLKV_OK) {
        engine_store_abort(self, write);
        goto done;
    }
    FAULT_POINT(APPLY_PUT);
    result = engine_store_commit_to(self, write, end);
    if (result == MLKV_OK)
        atomic_fetch_add_explicit(&self->counters.batches_applied, 1, memory_order_relaxed);
done:
    collect_destroy(into);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

static int busy(uint32_t timeout_ms)
{
    return error_set(MLKV_E_BUSY, "data.mdb: others have been writing to it for %u ms",
                     (unsigned)timeout_ms);
}

static int apply_within(engine *self, uint32_t timeout_ms, bool *ret_more)
{
    if (timeout_ms == 0 ? !lock_try(&self->drain_lock)
                        : !lock_take_within(&self->drain_lock, timeout_ms))
        return busy(timeout_ms);
    int result = journal_check(engine_journal(self));
    if (result == MLKV_OK)
        result = apply_once(self, timeout_ms, ret_more);
    lock_release(&self->drain_lock);
    return result;
}

int engine_apply(engine *self, bool *ret_more)
{
    return apply_within(self, self->options.lock_timeout_ms, ret_more);
}

int engine_apply_try(engine *self, bool *ret_more)
{
    return apply_within(self, 0, ret_more);
}

/* One turn of waiting for `position`, and of working for it: 0 also if others did. */
static int apply_turn(engine *self, uint64_t position, uint32_t timeout_ms)
{
    journal *log = engine_journal(self);
    bool more;
    if (!lock_take_within(&self->drain_lock, timeout_ms))
        return busy(timeout_ms);
    int result = MLKV_OK;
    if (journal_applied(log) < position)
        result = journal_check(log);
    if (result == MLKV_OK && journal_applied(log) < position)
        result = apply_once(self, timeout_ms, &more);
    lock_release(&self->drain_lock);
    return result;
}

int engine_apply_until(engine *self, uint64_t position)
{
    journal *log = engine_journal(self);
    uint64_t seen, since_ns = clock_monotonic_ns(),
                   limit_ns = (uint64_t)self->options.lock_timeout_ms * 1000000;
    while ((seen = journal_applied(log)) < position) {
        uint64_t spent_ns = clock_monotonic_ns() - since_ns;
        uint32_t left_ms =
            spent_ns < limit_ns ? (uint32_t)((limit_ns - spent_ns) / 1000000) + 1 : 1;
        int result = apply_turn(self, position, left_ms);
        if (journal_applied(log) != seen)
            since_ns = clock_monotonic_ns(); /* somebody works for it */
        else if (result == MLKV_E_BUSY && spent_ns < limit_ns)
            continue; /* the lock of this process was not to be had for a moment, or the time is
                         nearly up */
        else if (result == MLKV_E_BUSY)
            return error_set(MLKV_E_BUSY,
                             "data.mdb: another process has been writing to it for %u ms",
                             (unsigned)self->options.lock_timeout_ms);
        if (result != MLKV_OK && result != MLKV_E_BUSY)
            return result;
    }
    return MLKV_OK;
}
