/* catchup.c - taking frames of the journal into this process: pending first, then the cache, the
 * cursor last.
 *
 * Order within a frame, and why: all its records go to pending before any goes to the cache,
 * because a reader notes the cache's position before it looks anywhere (R1). If the cache were
 * raised first, even by another record of the same stripe, a reader could note the raised position,
 * miss in pending, read an old value from LMDB and be allowed to fill the cache with it
 * (tests/model/journal.pml, R1_CACHE_FIRST and R1_INTERLEAVED).
 * `reaching` is raised before the first change, so that a reader of several records can tell that
 * what it read may be half of a frame. A marker frame says that LMDB was changed behind the
 * journal: everything cached is void.
 *
 * Overtaken (R5): if the ring has been reused past the cursor, everything lost is in LMDB. Raise
 * every shard, empty the cache, drop pending, the cursor last. A process that is overtaken several
 * times in a row catches up under the writer lock, where nobody can overtake it.
 *
 * Locks: the catch-up lock around all of it. Memory is reserved before a frame is begun, so that
 * nothing fails half-way.
 */
#include "engine/engine.h"

#include "base/error.h"
#include "base/fault.h"
#include "base/hash.h"
#include "base/lock.h"
#include "base/record.h"

#include <stdlib.h>

enum { OVERTAKEN_MAX = 3 };

typedef struct retired_link {
    journal *journal;
    pending *pending;
    struct retired_link *next;
} retired_link;

/* From here on readers of several records see that the state moves. */
static void reach(engine *self, uint64_t position)
{
    atomic_store_explicit(&self->reaching, position, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst); /* before any change that a reader could see */
}

static void arrive(engine *self, uint64_t position)
{
    atomic_store_explicit(&self->cursor, position, memory_order_release);
}

/* Empties what this process knows; LMDB holds everything below `position`. */
static void restart_at(engine *self, uint64_t position)
{
    reach(self, position);
    cache_reset(self->cache, position);
    pending_reset(self->pending, position);
    ranks_reset(self->ranks);
    arrive(self, position);
    dictionaries_change(self->dictionaries);
}

/* After the frame was taken in: the dictionaries' records can be read now. */
static void tell_dictionaries(engine *self, const journal_frame *frame)
{
    size_t offset = 0;
    journal_record record;
    while (journal_next_record(frame, &offset, &record) == MLKV_OK)
        if (*(const unsigned char *)record.key.data == RECORD_DICTIONARY)
            dictionaries_change(self->dictionaries);
}

static int add_to_pending(pending *to, const journal_frame *frame)
{
    size_t offset = 0;
    journal_record record;
    int result;
    while ((result = journal_next_record(frame, &offset, &record)) == MLKV_OK)
        pending_add(to, hash_key(record.key.data, record.key.size), record.key, record.position);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

static int update_cache(cache *to, const journal_frame *frame)
{
    size_t offset = 0;
    journal_record record;
    int result;
    while ((result = journal_next_record(frame, &offset, &record)) == MLKV_OK) {
        cache_update(to, hash_key(record.key.data, record.key.size), record.key, record.value,
                     record.is_delete, frame->end, false);
        WATCH_POINT(TAKE_CACHE);
    }
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

/* Classes whose ranks are asked for: members of sorted sets, fields of hashes. */
static bool is_ranked(mlkv_slice key)
{
    const unsigned char class = *(const unsigned char *)key.data;
    return class == RECORD_ORDER || class == RECORD_ELEMENT;
}

/* Counted trees: after everything else, which a reader of a tree does not look at before it knows that nothing moves. */
static int update_ranks(ranks *to, const journal_frame *frame)
{
    size_t offset = 0;
    journal_record record;
    bool held = false;
    int result;
    if (!ranks_watch(to))
        return MLKV_OK;
    while ((result = journal_next_record(frame, &offset, &record)) == MLKV_OK)
        if (is_ranked(record.key))
            ranks_change(to, record.key, record.is_delete, &held);
    ranks_changed(to, held);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

static void update_ranks_own(ranks *to, const batch *records)
{
    bool held = false;
    for (size_t i = 0; ranks_watch(to) && i < records->count; i++) {
        const batch_entry *entry = &records->entries[i];
        mlkv_slice key = batch_key(records, entry);
        if (is_ranked(key))
            ranks_change(to, key, entry->is_delete, &held);
    }
    ranks_changed(to, held);
}

static int take_frame(engine *self, const journal_frame *frame)
{
    if (frame->kind == FRAME_MARKER) {
        restart_at(self, frame->end);
        return MLKV_OK;
    }
    pending *target = self->pending;
    int result = pending_reserve(target, frame->record_count);
    if (result != MLKV_OK)
        return result;
    reach(self, frame->end);
    result = add_to_pending(target, frame);
    WATCH_POINT(TAKE_PENDING);
    if (result == MLKV_OK)
        result = update_cache(self->cache, frame);
    if (result == MLKV_OK)
        result = update_ranks(self->ranks, frame);
    if (result == MLKV_OK)
        arrive(self, frame->end);
    return result; /* an error cannot be: the frame was validated; the cursor stays, nothing is lost
                    */
}

/* The journal was retired: an opener recovered all of it into LMDB, and perhaps a batch that its
 * writer died before announcing. Its own `applied` tells nothing of that. */
static int take_retirement(engine *self)
{
    store_read *read = NULL;
    store_position position = {0};
    int result = store_read_begin(self->store, &read);
    if (result == MLKV_OK)
        result = store_read_position(read, &position);
    store_read_end(read);
    uint64_t tail = journal_tail(engine_journal(self));
    if (result == MLKV_OK)
        restart_at(self, position.applied > tail ? position.applied : tail);
    return result;
}

/* The ring moved on without us. */
static int take_overtaking(engine *self)
{
    uint64_t applied = journal_applied(engine_journal(self));
    if (journal_retiring(engine_journal(self)))
        return take_retirement(self);
    if (applied <= engine_cursor(self))
        return error_set(MLKV_E_CORRUPT,
                         "journal: bytes at %llu are gone, but LMDB holds only %llu",
                         (unsigned long long)engine_cursor(self), (unsigned long long)applied);
    atomic_fetch_add_explicit(&self->counters.overtaken, 1, memory_order_relaxed);
    restart_at(self, applied);
    return MLKV_OK;
}

/* Under the catch-up lock. MLKV_ABSENT: overtaken too often to go on without the writer lock. */
static int take_frames(engine *self, uint64_t target, int overtakings_max)
{
    journal *source = engine_journal(self);
    pending_trim(self->pending, journal_applied(source));
    int overtakings = 0;
    uint64_t taken = 0;
    int result = MLKV_OK;
    while (result == MLKV_OK && engine_cursor(self) < target) {
        journal_frame frame;
        result = journal_read_frame(source, engine_cursor(self), journal_tail(source),
                                    &self->frame_buffer, &frame);
        if (result == MLKV_ABSENT) {
            if (++overtakings > overtakings_max)
                break;
            result = take_overtaking(self);
        } else if (result == MLKV_OK) {
            result = take_frame(self, &frame);
            if (frame.kind == FRAME_BATCH)
                tell_dictionaries(self, &frame);
            taken++;
        }
        if (taken % 1024 == 1023)
            pending_trim(self->pending, journal_applied(source));
    }
    atomic_fetch_add_explicit(&self->counters.frames_caught_up, taken, memory_order_relaxed);
    return result;
}

int engine_catch_up(engine *self, uint64_t target)
{
    lock_take(&self->catchup_lock);
    int result = take_frames(self, target, self->options.read_only ? 1000 : OVERTAKEN_MAX);
    lock_release(&self->catchup_lock);
    if (result != MLKV_ABSENT)
        return result;
    if (self->options.read_only)
        return error_set(MLKV_E_BUSY, "a read-only process cannot keep up with the writers");
    result = engine_write_begin(self); /* catches up: nobody appends meanwhile */
    if (result == MLKV_OK)
        engine_write_end(self);
    return result;
}

int engine_catch_up_locked(engine *self)
{
    uint64_t tail = journal_tail(engine_journal(self));
    if (engine_cursor(self) >= tail)
        return MLKV_OK;
    lock_take(&self->catchup_lock);
    int result = take_frames(self, tail, OVERTAKEN_MAX);
    lock_release(&self->catchup_lock);
    if (result == MLKV_ABSENT)
        return error_set(MLKV_E_CORRUPT,
                         "journal: a frame below the tail is not there although nobody writes");
    return result;
}

/* The fast way for the writer's own frame: no copy out of the ring, and what was just written is
 * likely to be read. */
void engine_take_own(engine *self, const batch *records, uint64_t start, uint64_t end)
{
    lock_take(&self->catchup_lock);
    if (engine_cursor(self) == start) {
        journal *source = engine_journal(self);
        pending_trim(self->pending, journal_applied(source));
        reach(self, end);
        for (size_t i = 0; i < records->count; i++) {
            const batch_entry *entry = &records->entries[i];
            pending_add(self->pending, entry->hash, batch_key(records, entry),
                        start + FRAME_HEADER_SIZE + entry->offset);
        }
        WATCH_POINT(TAKE_PENDING);
        for (size_t i = 0; i < records->count; i++) {
            const batch_entry *entry = &records->entries[i];
            cache_update(self->cache, entry->hash, batch_key(records, entry),
                         batch_value(records, entry), entry->is_delete, end, true);
        }
        update_ranks_own(self->ranks, records);
        arrive(self, end);
    }
    lock_release(&self->catchup_lock);
}

int engine_refresh(engine *self)
{
    journal *old = engine_journal(self);
    if (old != NULL && !journal_retired(old))
        return MLKV_OK;
    store_read *read = NULL;
    store_identity identity = {0}; /* not read if what comes before it fails */
    store_position position = {0};
    journal *fresh = NULL;
    pending *fresh_pending = NULL;
    retired_link *link = NULL;
    lock_take(&self->catchup_lock);
    int result = engine_journal(self) != old ? MLKV_ABSENT : store_read_begin(self->store, &read);
    if (result == MLKV_OK)
        result = store_read_identity(read, &identity);
    if (result == MLKV_OK)
        result = store_read_position(read, &position);
    if (result == MLKV_OK)
        result = journal_open(self->path, identity.uuid, true, &fresh);
    bool at_rest = (result == MLKV_E_PLATFORM || result == MLKV_E_VERSION) && identity.clean;
    if (at_rest || (result == MLKV_OK && journal_retired(fresh))) {
        /* left behind by another machine, boot or version; or restarting just now: LMDB is all there
         * is */
        result = MLKV_ABSENT;
        if (old != NULL && engine_cursor(self) < position.applied)
            restart_at(self, position.applied);
    }
    if (result == MLKV_OK)
        result = pending_create(fresh, &fresh_pending);
    if (result == MLKV_OK && (link = calloc(1, sizeof *link)) == NULL)
        result = error_set_memory("a journal");
    if (result != MLKV_OK) {
        pending_destroy(fresh_pending);
        journal_close(fresh);
        free(link);
    } else {
        *link = (retired_link){old, self->pending, self->retired};
        self->retired = link;
        uint64_t start = journal_applied(fresh);
        pending_reset(fresh_pending, start);
        atomic_store_explicit(&self->pending, fresh_pending, memory_order_release);
        atomic_store_explicit(&self->journal, fresh, memory_order_release);
        restart_at(self, start);
    }
    store_read_end(read);
    lock_release(&self->catchup_lock);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

void engine_free_retired(engine *self)
{
    while (self->retired != NULL) {
        retired_link *link = self->retired;
        self->retired = link->next;
        pending_destroy(link->pending);
        journal_close(link->journal);
        free(link);
    }
}
