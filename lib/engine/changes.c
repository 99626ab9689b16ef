/* changes.c - what changed: waking those who wait for it, and looking through the journal for it.
 *
 * Waking is by hash (journal/watch.c), and so a hint. What really changed since a position is found in
 * the frames behind it, as long as the ring has them: the records of a typed write name the key (K) or
 * its life's id (E, L, O, T).
 *
 * Locks: none. Frames are copied out of the ring and checked (R4), so a slow look is told that they are
 * gone, not fed with bytes of newer ones.
 */
#include "engine/engine.h"

#include "base/hash.h"
#include "base/record.h"

uint64_t engine_watch_hash(mlkv_slice key, uint64_t hash)
{
    const unsigned char *bytes = key.data;
    bool has_id = bytes[0] == RECORD_ELEMENT || bytes[0] == RECORD_LIST ||
                  bytes[0] == RECORD_ORDER || bytes[0] == RECORD_TENSOR;
    return has_id && key.size >= 9 ? hash_key(bytes + 1, 8) : hash;
}

void engine_notify(engine *self, const batch *records)
{
    enum { HASHES = 64 };
    uint64_t hashes[HASHES];
    journal *log = engine_journal(self);
    if (!journal_watched(log))
        return;
    for (size_t i = 0; i < records->count;) {
        size_t n = 0;
        for (; n < HASHES && i < records->count; i++)
            hashes[n++] = engine_watch_hash(batch_key(records, &records->entries[i]),
                                            records->entries[i].hash);
        journal_watch_notify(log, hashes, n);
    }
}

static int visit_frame(const journal_frame *frame, engine_visitor visit, void *context)
{
    journal_record record;
    size_t offset = 0;
    if (frame->kind != FRAME_BATCH)
        return MLKV_ABSENT; /* a marker: its records went to LMDB directly */
    for (;;) {
        int result = journal_next_record(frame, &offset, &record);
        if (result != MLKV_OK)
            return result == MLKV_ABSENT ? MLKV_OK : result;
        result = visit(context, record.key);
        if (result != MLKV_OK)
            return result;
    }
}

int engine_changes(engine *self, uint64_t *position, engine_visitor visit, void *context)
{
    journal *log = engine_journal(self);
    uint64_t tail = journal_tail(log);
    mlkv_buffer buffer = {0};
    int result = MLKV_OK;
    while (result == MLKV_OK && *position < tail) {
        journal_frame frame;
        result = journal_read_frame(log, *position, tail, &buffer, &frame);
        if (result == MLKV_OK)
            result = visit_frame(&frame, visit, context);
        if (result == MLKV_OK)
            *position = frame.end;
    }
    mlkv_buffer_free(&buffer);
    if (result == MLKV_ABSENT)
        *position = tail;
    return result;
}
