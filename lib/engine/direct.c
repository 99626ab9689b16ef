/* direct.c - a batch too large for the ring goes into LMDB at once, and a marker frame tells
 * everybody.
 *
 * Under the writer lock: drain, so that applied = tail = p. Commit batch and applied = p +
 * FRAME_HEADER_SIZE in one LMDB transaction. Append the marker, which ends exactly there: now it is
 * visible. A death between the two leaves LMDB ahead of the tail; whoever takes the lock over, or
 * reads such a snapshot, appends the marker (engine_mend). The marker is as small as a frame can
 * be, whatever the batch's size, so it always fits and can be made by anybody.
 */
#include "engine/engine.h"

#include "base/error.h"
#include "base/fault.h"

static int drain(engine *self)
{
    journal *log = engine_journal(self);
    bool more = true;
    int result = MLKV_OK;
    while (result == MLKV_OK &&
           (journal_applied(log) < journal_tail(log) || !journal_has_room(log, FRAME_HEADER_SIZE)))
        result = engine_apply(self, &more);
    return result;
}

static int put_all(store_write *write, batch *records)
{
    mlkv_slice payload;
    int result = batch_payload(records, &payload);
    collected *sorted = NULL;
    if (result == MLKV_OK)
        result = collect_create(&sorted);
    if (result != MLKV_OK)
        return result;
    journal_frame frame = {.kind = FRAME_BATCH,
                           .record_count = (uint32_t)records->count,
                           .payload = payload.data,
                           .payload_size = payload.size};
    uint64_t put;
    result = collect_add(sorted, &frame);
    if (result == MLKV_OK)
        result = collect_write(sorted, write, &put);
    collect_destroy(sorted);
    return result;
}

int engine_commit_direct(engine *self, batch *records, uint64_t *ret_end)
{
    journal *log = engine_journal(self);
    store_write *write = NULL;
    int result = drain(self);
    if (result == MLKV_OK)
        result = engine_store_begin(self, self->options.lock_timeout_ms, &write);
    if (result != MLKV_OK)
        return result;
    uint64_t end = journal_tail(log) + FRAME_HEADER_SIZE;
    result = put_all(write, records);
    if (result == MLKV_OK)
        result = store_write_set_position(write, (store_position){end, journal_next_id(log), 0});
    if (result != MLKV_OK) {
        engine_store_abort(self, write);
        return result;
    }
    result = engine_store_commit(self, write);
    if (result == MLKV_E_IO || result == MLKV_E_POISONED)
        return error_set(MLKV_E_DURABILITY,
                         "whether LMDB has the write shows when the store is opened again: %s",
                         mlkv_error_detail());
    if (result != MLKV_OK)
        return result;
    FAULT_POINT(DIRECT_COMMITTED);
    journal_append(log, FRAME_MARKER, 0, (mlkv_slice){0});
    journal_raise_applied(log, end);
    FAULT_POINT(DIRECT_MARKED);
    atomic_fetch_add_explicit(&self->counters.frames_appended, 1, memory_order_relaxed);
    *ret_end = end;
    (void)engine_catch_up_locked(
        self); /* it is committed; a reader that comes later catches up if this could not */
    return MLKV_OK;
}
