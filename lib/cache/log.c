/* log.c - a shard's two circular logs, small and main, and S3-FIFO upon them.
 *
 * New records enter at the head of the small log (a tenth); what reaches its tail unused leaves a
 * ghost and goes, what was used goes to the head of the main log, and so does everything while the
 * main log has room: a cache that holds all there is evicts nothing. What reaches the main log's
 * tail used is written again at its head, with one use less. A long scan thus passes through the
 * small log only. Entries never wrap round a log's end: the rest of a lap is left unused.
 *
 * Dead units (older versions of other extents, removed records) come free when the tail passes
 * them. While they are more than an eighth of the main log, live entries at its tail are kept even
 * if unused: the log is compacted, not emptied.
 *
 * Invariants: C1-C4 of shard.h. An insertion writes at most MOVES_MAX entries again, so its time
 * under the lock is bounded; beyond that it evicts.
 *
 * Locks: all functions run under the shard's lock.
 */
#include "cache/shard.h"

#include "base/words.h"

enum { MOVES_MAX = 128 };

void log_init(cache_log *log, uint32_t begin, uint32_t end)
{
    *log = (cache_log){.begin = begin, .end = end, .head = begin, .tail = begin, .lap = 1};
}

void log_empty(cache_log *log)
{
    log->head = log->tail = log->begin;
    log->wrapped = false;
    log->lap++;
    log->live = 0;
}

static bool is_empty(const cache_log *log)
{
    return !log->wrapped && log->head == log->tail;
}

static bool has_room(const cache_log *log, uint32_t units)
{
    if (log->wrapped)
        return log->tail - log->head >= units;
    return log->end - log->head >= units || log->tail - log->begin >= units || is_empty(log);
}

/* Takes units that has_room promised, at the head. */
static uint32_t take(cache_log *log, uint32_t units)
{
    if (is_empty(log)) {
        log->head = log->tail = log->begin;
        log->lap++;
    } else if (!log->wrapped && log->end - log->head < units) {
        log->limit = log->head;
        log->head = log->begin;
        log->wrapped = true;
        log->lap++;
    }
    uint32_t place = log->head;
    log->head += units;
    return place;
}

/* Gives up the entry at the tail. */
static void pop(cache_log *log, uint32_t units)
{
    log->tail += units;
    if (log->wrapped && log->tail == log->limit) {
        log->tail = log->begin;
        log->wrapped = false;
    }
}

static void add_live(cache_shard *shard, cache_log *log, uint32_t units)
{
    log->live += units;
    relaxed_store(&shard->live_units, shard->live_units + units);
    relaxed_store(&shard->entries, shard->entries + 1);
}

/* Moves the entry that `slot` points to, and that was popped from its log, to the head of the main
 * log. The places may overlap, but never the new one above the old: free space lies before the tail
 * in the order of the ring. */
static void move_to_main(cache_shard *shard, uint64_t *slot, uint32_t units, uint32_t frequency)
{
    uint64_t word = relaxed_load(slot);
    uint64_t *from = shard->block + word_place(shard, word);
    uint64_t hash = relaxed_load(from);
    index_remove(shard, slot);
    __atomic_thread_fence(
        __ATOMIC_RELEASE); /* C1: whoever sees a byte below also sees the empty slot */
    cache_log *log = &shard->main_log;
    uint32_t place = take(log, units);
    uint64_t *to = shard->block + place;
    for (uint32_t i = 0; i < units; i++)
        relaxed_store(to + i, relaxed_load(from + i));
    add_live(shard, log, units);
    __atomic_store_n(slot, word_make(shard, hash, frequency, log->lap, place), __ATOMIC_RELEASE);
}

static void evict(cache_shard *shard, uint64_t *slot)
{
    index_remove(shard, slot);
    relaxed_store(&shard->evictions, shard->evictions + 1);
}

/* True while the main log holds so much dead space that live entries need not go. */
static bool main_is_loose(const cache_shard *shard, uint32_t units)
{
    const cache_log *log = &shard->main_log;
    return log->live + units <= (uint64_t)(log->end - log->begin) * 7 / 8;
}

static void make_room_in_main(cache_shard *shard, uint32_t units)
{
    cache_log *log = &shard->main_log;
    for (unsigned moves = 0; !has_room(log, units);) {
        const uint64_t *entry = shard->block + log->tail;
        uint32_t entry_units = info_units(relaxed_load(entry + 1));
        uint64_t *slot = index_find_place(shard, relaxed_load(entry), log->tail);
        pop(log, entry_units);
        if (slot == NULL)
            continue;
        uint32_t frequency = word_frequency(relaxed_load(slot));
        if (moves < MOVES_MAX && (frequency > 0 || main_is_loose(shard, units))) {
            move_to_main(shard, slot, entry_units, frequency > 0 ? frequency - 1 : 0);
            moves++;
        } else {
            evict(shard, slot);
        }
    }
}

static void make_room_in_small(cache_shard *shard, uint32_t units)
{
    cache_log *log = &shard->small_log;
    while (!has_room(log, units)) {
        const uint64_t *entry = shard->block + log->tail;
        uint64_t hash = relaxed_load(entry);
        uint32_t entry_units = info_units(relaxed_load(entry + 1));
        uint64_t *slot = index_find_place(shard, hash, log->tail);
        pop(log, entry_units);
        if (slot == NULL)
            continue;
        if (word_frequency(relaxed_load(slot)) >= CACHE_PROMOTE_FREQUENCY ||
            has_room(&shard->main_log, entry_units) || main_is_loose(shard, entry_units)) {
            make_room_in_main(shard, entry_units);
            move_to_main(shard, slot, entry_units, 0);
        } else {
            evict(shard, slot);
            ghost_add(shard, hash);
        }
    }
}

static void write_value(uint64_t *entry, const cache_record *record)
{
    words_store(entry + CACHE_ENTRY_HEADER + (record->key.size + 7) / 8, record->value.data,
                record->value.size);
}

static void write_entry(uint64_t *entry, const cache_record *record)
{
    __atomic_thread_fence(
        __ATOMIC_RELEASE); /* C1: the slots that pointed here were emptied before */
    relaxed_store(entry, record->hash);
    relaxed_store(entry + 1, info_make(record->key.size, record->value.size, record->absent));
    words_store(entry + CACHE_ENTRY_HEADER, record->key.data, record->key.size);
    write_value(entry, record);
}

static bool fits(const cache_shard *shard, const cache_record *record)
{
    return record->key.size <= CACHE_KEY_SIZE_MAX && record->value.size <= CACHE_VALUE_SIZE_MAX &&
           units_of(record->key.size, record->value.size) <= shard->entry_units_max;
}

void log_insert(cache_shard *shard, const cache_record *record, uint32_t frequency, bool to_main)
{
    if (!fits(shard, record))
        return;
    uint32_t units = units_of(record->key.size, record->value.size);
    cache_log *log = &shard->small_log;
    if (to_main || units > (log->end - log->begin) / 4) {
        log = &shard->main_log;
        make_room_in_main(shard, units);
    } else {
        make_room_in_small(shard, units);
    }
    uint32_t place = take(log, units);
    write_entry(shard->block + place, record);
    add_live(shard, log, units);
    index_insert(shard, record->hash, word_make(shard, record->hash, frequency, log->lap, place));
}

void log_replace(cache_shard *shard, uint64_t *slot, const cache_record *record)
{
    uint64_t word = relaxed_load(slot);
    uint64_t *entry = shard->block + word_place(shard, word);
    uint64_t info = relaxed_load(entry + 1), sequence = info >> CACHE_SEQUENCE_SHIFT;
    bool same_extent =
        fits(shard, record) && units_of(record->key.size, record->value.size) == info_units(info);
    if (!same_extent ||
        sequence + 2 >= (uint64_t)1 << (64 - CACHE_SEQUENCE_SHIFT)) { /* a sequence is never used
                                                                         twice under one word */
        bool in_main = word_place(shard, word) >= shard->main_log.begin;
        index_remove(shard, slot);
        log_insert(shard, record, word_frequency(word), in_main);
        return;
    }
    relaxed_store(entry + 1, info + CACHE_SEQUENCE_ONE);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    write_value(entry, record);
    uint64_t new_info = info_make(record->key.size, record->value.size, record->absent) |
                        (sequence + 2) << CACHE_SEQUENCE_SHIFT;
    __atomic_store_n(entry + 1, new_info, __ATOMIC_RELEASE);
}
