/* write.c - the writer lock's side: taking it, repairing what a dead owner left, appending, waiting
 * for durability.
 *
 * A commit: the frame's size decides between ring and direct; room is made by draining (holding the
 * writer lock, never the catch-up lock); memory is reserved; then nothing can fail any more: the
 * frame is appended, and taken in here. After EOWNERDEAD the tail is the truth (R6: a live
 * take-over never scans); only LMDB may be ahead of it by one direct commit, whose marker is
 * appended now. The header's applied moves only after a forced sync then (R7). Waits happen after
 * the lock is released, so that those who wait together share one sync or one commit.
 */
#include "engine/engine.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/fault.h"
#include "base/lock.h"
#include "base/record.h"

enum {
    THROTTLE_FROM_PERCENT = 60, /* of the ring: the applier has this long been behind */
    THROTTLE_PERCENT_MAX = 90,
    THROTTLE_US_MAX = 200, /* at THROTTLE_PERCENT_MAX a write takes this long: slower than the
                              applier's cost of a record on any disk */
    WAKE_APPLIER_PERCENT = 25,
};

/* Writer locks that this thread holds, of any store. */
static _Thread_local unsigned locks_held;

int engine_check_writable(engine *self)
{
    if (self->options.read_only)
        return error_set(MLKV_E_READONLY, "%s was opened read-only", self->path);
    return journal_check(engine_journal(self));
}

/* The one place where LMDB's failures stop the journal: after a disk's error nobody knows what the
 * disk holds, and an environment that LMDB gave up takes no more. */
static int judge(engine *self, int result)
{
    if (result == MLKV_E_IO || result == MLKV_E_POISONED)
        journal_poison(engine_journal(self), mlkv_error_detail());
    return result;
}

int engine_store_begin(engine *self, uint32_t timeout_ms, store_write **ret_write)
{
    shared_lock *gate = journal_applier_lock(engine_journal(self));
    int result = timeout_ms == 0 ? shared_lock_try(gate) : shared_lock_take(gate, timeout_ms);
    if (result == MLKV_E_BUSY)
        return error_set(MLKV_E_BUSY, "data.mdb: another process has been writing to it for %u ms",
                         (unsigned)timeout_ms);
    if (result < 0)
        return result;
    result = store_write_begin(self->store, ret_write); /* LMDB mends what a dead owner left */
    if (result == MLKV_E_POISONED)
        (void)judge(self, result);
    if (result != MLKV_OK)
        shared_lock_release(gate);
    return result;
}

int engine_store_commit_to(engine *self, store_write *write, uint64_t applied)
{
    int result = judge(self, store_write_commit(write));
    if (result == MLKV_OK && applied != 0) {
        FAULT_POINT(APPLY_COMMITTED);
        journal_raise_applied(engine_journal(self), applied);
        FAULT_POINT(APPLY_RAISED);
    }
    if (result == MLKV_OK)
        engine_give_back(self);
    shared_lock_release(journal_applier_lock(engine_journal(self)));
    return result;
}

int engine_store_commit(engine *self, store_write *write)
{
    return engine_store_commit_to(self, write, 0);
}

void engine_store_abort(engine *self, store_write *write)
{
    store_write_abort(write);
    shared_lock_release(journal_applier_lock(engine_journal(self)));
}

int engine_store_sync(engine *self)
{
    return judge(self, store_sync(self->store));
}

/* LMDB's position as its last commit has it: asked in a write transaction, because after a death
 * readers may be shown the commit before. */
static int store_truth(engine *self, store_position *ret_position)
{
    store_write *write = NULL;
    int result = engine_store_begin(self, self->options.lock_timeout_ms, &write);
    if (result != MLKV_OK)
        return result;
    result = store_write_position(write, ret_position);
    engine_store_abort(self, write);
    return result;
}

int engine_mend(engine *self)
{
    store_position position;
    journal *log = engine_journal(self);
    int result = store_truth(self, &position);
    if (result != MLKV_OK)
        return result;
    if (position.applied > journal_applied(log))
        result = engine_store_sync(self);
    if (result == MLKV_OK)
        result = journal_take_over(log, position.applied);
    if (result != MLKV_OK)
        return result;
    journal_raise_applied(log, position.applied);
    return engine_catch_up_locked(self);
}

static void unlock(engine *self)
{
    journal_unlock(engine_journal(self));
    locks_held--;
}

int engine_write_begin(engine *self)
{
    return engine_write_begin_within(self, self->options.lock_timeout_ms);
}

int engine_write_begin_within(engine *self, uint32_t timeout_ms)
{
    int result = engine_check_writable(self);
    if (result != MLKV_OK)
        return result;
    int taken = journal_lock(engine_journal(self), timeout_ms);
    if (taken < 0)
        return taken;
    locks_held++;
    FAULT_POINT(WRITE_LOCKED);
    result = taken == LOCK_OWNER_DIED ? engine_mend(self) : engine_catch_up_locked(self);
    if (result != MLKV_OK)
        unlock(self);
    FAULT_POINT(WRITE_CAUGHT_UP);
    return result;
}

void engine_write_end(engine *self)
{
    unlock(self);
    FAULT_POINT(WRITE_UNLOCKED);
}

void engine_write_forget(void)
{
    locks_held = 0;
}

int engine_share(engine *self, uint64_t bytes, pool_task task, void *argument, size_t n)
{
    return pool_run(self->pool, locks_held != 0, bytes, task, argument, n);
}

/* Drains until the frame fits. */
static int make_room(engine *self, size_t frame_size)
{
    journal *log = engine_journal(self);
    while (!journal_has_room(log, frame_size)) {
        uint64_t before = journal_applied(log);
        bool more;
        int result = engine_apply(self, &more);
        if (result != MLKV_OK)
            return result;
        if (journal_applied(log) == before && !journal_has_room(log, frame_size))
            return error_set(MLKV_E_SIZE, "a frame of %zu bytes does not fit the ring", frame_size);
    }
    return MLKV_OK;
}

static int reserve_pending(engine *self, size_t count)
{
    lock_take(&self->catchup_lock);
    int result = pending_reserve(self->pending, count);
    lock_release(&self->catchup_lock);
    return result;
}

int engine_commit(engine *self, batch *records, uint64_t *ret_end)
{
    journal *log = engine_journal(self);
    FAULT_POINT(WRITE_RULE_DONE);
    size_t size = FRAME_HEADER_SIZE + batch_size(records);
    if (size > journal_frame_size_max(log))
        return engine_commit_direct(self, records, ret_end);
    int result = make_room(self, size);
    if (result != MLKV_OK)
        return result;
    result = reserve_pending(self, records->count);
    mlkv_slice payload;
    if (result == MLKV_OK)
        result = batch_payload(records, &payload);
    if (result != MLKV_OK)
        return result;
    uint64_t start = journal_tail(log);
    uint64_t end = journal_append(log, FRAME_BATCH, (uint32_t)records->count, payload);
    engine_take_own(self, records, start, end);
    for (size_t i = 0; i < records->count; i++)
        if (*(const unsigned char *)batch_key(records, &records->entries[i]).data ==
            RECORD_DICTIONARY)
            dictionaries_change(self->dictionaries);
    FAULT_POINT(WRITE_APPLIED_HERE);
    atomic_fetch_add_explicit(&self->counters.frames_appended, 1, memory_order_relaxed);
    *ret_end = end;
    return MLKV_OK;
}

int engine_wait(engine *self, uint64_t position, int durability)
{
    journal *log = engine_journal(self);
    if (durability == MLKV_SYNC && journal_sync_is_durable(log))
        return journal_sync(log, position, self->options.lock_timeout_ms);
    if (durability == MLKV_STORE || durability == MLKV_SYNC)
        return engine_apply_until(self, position);
    return MLKV_OK;
}

int engine_wait_written(engine *self, uint64_t position, int durability)
{
    if (engine_wait(self, position, durability) == MLKV_OK)
        return MLKV_OK;
    return error_set(MLKV_E_DURABILITY, "the write is visible, and not known to be durable: %s",
                     mlkv_error_detail());
}

void engine_throttle(engine *self)
{
    journal *log = engine_journal(self);
    uint64_t ring = journal_ring_bytes(log), tail = journal_tail(log),
             applied = journal_applied(log);
    uint64_t percent = tail <= applied ? 0 : (tail - applied) / (ring / 100 + 1);
    if (percent < WAKE_APPLIER_PERCENT)
        return;
    if (!atomic_load_explicit(&self->applier_asked, memory_order_relaxed))
        engine_wake_applier(self);
    if (percent < THROTTLE_FROM_PERCENT)
        return;
    atomic_fetch_add_explicit(&self->counters.throttled, 1, memory_order_relaxed);
    uint64_t excess = percent - THROTTLE_FROM_PERCENT,
             range = THROTTLE_PERCENT_MAX - THROTTLE_FROM_PERCENT;
    uint64_t wait_ns = excess >= range ? THROTTLE_US_MAX * 1000
                                       : excess * excess * THROTTLE_US_MAX * 1000 / (range * range);
    if (wait_ns > 60000) {
        clock_sleep_us((uint32_t)(wait_ns / 1000)); /* the timer adds some 50 us by itself */
        return;
    }
    for (uint64_t until = clock_monotonic_ns() + wait_ns; clock_monotonic_ns() < until;)
        lock_pause();
}
