/* shard.h - inside the cache: the shape of a shard, its index words and its entries. Private to
 * lib/cache.
 *
 * A shard is one block of memory: index buckets, ghosts, the small log, the main log. Places in it
 * are counted in units of 8 bytes from the block's start.
 *
 *   index word   tag 16 (the hash's top bits) | frequency 2 | lap and place 46; 0 is empty
 *   entry        word 0: hash; word 1: info; key; value (each padded to whole words)
 *   info         value size 26 | key size 9 | absent 1 | sequence 28 (odd while being rewritten)
 *
 * The place takes the low `place_bits` of its 46, the lap of its log the rest. So no two entries
 * ever written get the same word, until a log has gone round at least 2^14 times while one reader
 * copies one entry.
 *
 * Invariants
 *
 * C1 Bytes of an entry are overwritten only after its index word was changed (other than in the
 *    frequency), or while its sequence is odd. So a reader that finds word and info unchanged
 *    after its copy has copied one version, whole.
 *
 * C2 An index word is stored (release) after the bytes that it points to.
 *
 * C3 Everything but the frequency bits is written under the shard's lock only. A reader's exchange
 *    of the frequency fails if the word moved.
 *
 * C4 A log's live units are those of its entries that an index word points to; every other unit
 *    between tail and head is dead.
 */
#ifndef MLKV_CACHE_SHARD_H
#define MLKV_CACHE_SHARD_H

#include "base/bytes.h"
#include "cache/cache.h"

#include <pthread.h>

enum {
    CACHE_LINE = 64,
    CACHE_BUCKET_SLOTS = 8,      /* one cache line */
    CACHE_ENTRY_HEADER = 2,      /* units */
    CACHE_FREQUENCY_MAX = 3,     /* two bits, as in S3-FIFO */
    CACHE_PROMOTE_FREQUENCY = 2, /* hits in the small log that earn a place in the main log */
    CACHE_SHARD_STRIPES = 128,   /* R1 positions of a shard: so many that a write seldom refuses the
                                    fill of another record */
    CACHE_GHOST_WORDS = 16,      /* a ghost bucket: its rotor and 15 fingerprints, one cache line */
    CACHE_PLACE_SHIFT = 46,
    CACHE_VALUE_BITS = 26,
    CACHE_KEY_BITS = 9,
    CACHE_SEQUENCE_SHIFT = 36,
    CACHE_VALUE_SIZE_MAX = (1 << CACHE_VALUE_BITS) - 1,
    CACHE_KEY_SIZE_MAX = (1 << CACHE_KEY_BITS) - 1,
};

#define CACHE_FREQUENCY_ONE  ((uint64_t)1 << CACHE_PLACE_SHIFT)
#define CACHE_FREQUENCY_MASK ((uint64_t)CACHE_FREQUENCY_MAX << CACHE_PLACE_SHIFT)
#define CACHE_ABSENT_BIT     ((uint64_t)1 << 35)
#define CACHE_SEQUENCE_ONE   ((uint64_t)1 << CACHE_SEQUENCE_SHIFT)

/* A circular log in units [begin, end) of the block. Wrapped: the entries stand in [tail, limit)
 * and [begin, head), else in [tail, head). */
typedef struct {
    uint32_t begin, end;
    uint32_t head, tail;
    uint32_t limit;
    bool wrapped;
    uint64_t lap;
    uint64_t live; /* units */
} cache_log;

typedef struct {
    /* read by everybody, written once */
    uint64_t *block;
    uint32_t *ghosts;
    uint64_t block_units;
    uint32_t bucket_count; /* even: a bucket's other choice is its neighbour */
    uint32_t ghost_count;
    uint32_t place_bits;
    uint32_t entry_units_max;
    /* written under the lock */
    __attribute__((aligned(CACHE_LINE))) pthread_mutex_t lock;
    cache_log small_log, main_log;
    bool huge;        /* huge pages were asked for */
    uint64_t entries; /* atomic, so that get_info needs no lock; so are the next three */
    uint64_t evictions;
    uint64_t live_units;
    __attribute__((aligned(CACHE_LINE))) uint64_t positions[CACHE_SHARD_STRIPES];
} cache_shard;

/* What is to be stored. */
typedef struct {
    uint64_t hash;
    mlkv_slice key, value;
    bool absent;
} cache_record;

static inline uint64_t relaxed_load(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static inline void relaxed_store(uint64_t *word, uint64_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELAXED);
}

/* --- info and words --- */

static inline uint64_t info_make(size_t key_size, size_t value_size, bool absent)
{
    return (uint64_t)value_size | (uint64_t)key_size << CACHE_VALUE_BITS |
           (absent ? CACHE_ABSENT_BIT : 0);
}

static inline size_t info_value_size(uint64_t info)
{
    return info & CACHE_VALUE_SIZE_MAX;
}

static inline size_t info_key_size(uint64_t info)
{
    return info >> CACHE_VALUE_BITS & CACHE_KEY_SIZE_MAX;
}

static inline uint32_t units_of(size_t key_size, size_t value_size)
{
    return (uint32_t)(CACHE_ENTRY_HEADER + (key_size + 7) / 8 + (value_size + 7) / 8);
}

static inline uint32_t info_units(uint64_t info)
{
    return units_of(info_key_size(info), info_value_size(info));
}

static inline uint32_t word_place(const cache_shard *shard, uint64_t word)
{
    return (uint32_t)(word & (((uint64_t)1 << shard->place_bits) - 1));
}

static inline uint32_t word_frequency(uint64_t word)
{
    return (uint32_t)(word >> CACHE_PLACE_SHIFT) & CACHE_FREQUENCY_MAX;
}

static inline uint64_t word_make(const cache_shard *shard, uint64_t hash, uint32_t frequency,
                                 uint64_t lap, uint32_t place)
{
    uint64_t where = (lap << shard->place_bits | place) & (CACHE_FREQUENCY_ONE - 1);
    return (hash >> 48) << 48 | (uint64_t)frequency << CACHE_PLACE_SHIFT | where;
}

/* --- index.c --- */

/* The bucket's first word: choice 0, the hash's own, or 1, its neighbour (the hardware fetches
 * lines in such pairs). */
static inline uint64_t *index_bucket(const cache_shard *shard, uint64_t hash, unsigned choice)
{
    uint64_t bucket = (uint64_t)(uint32_t)(hash >> 6) * shard->bucket_count >> 32;
    return shard->block + (bucket ^ choice) * CACHE_BUCKET_SLOTS;
}

/* All under the lock. */
uint64_t *index_find(cache_shard *shard, uint64_t hash, mlkv_slice key);
uint64_t *index_find_place(cache_shard *shard, uint64_t hash, uint32_t place);
/* Stores the word in a free slot; a full bucket pair gives up its least used entry. */
void index_insert(cache_shard *shard, uint64_t hash, uint64_t word);
/* Empties a slot: its entry's units are dead from now on. */
void index_remove(cache_shard *shard, uint64_t *slot);

/* Hashes that fell out of the small log lately. */
void ghost_add(cache_shard *shard, uint64_t hash);
bool ghost_take(cache_shard *shard, uint64_t hash); /* true: it was there, and is no more */

/* --- log.c, all under the lock --- */

void log_init(cache_log *log, uint32_t begin, uint32_t end);
void log_empty(cache_log *log);
/* Stores a record that is not in the index: in the small log, or in the main log if `to_main`. Too
 * large: nothing happens. */
void log_insert(cache_shard *shard, const cache_record *record, uint32_t frequency, bool to_main);
/* Gives the record in `slot` a new version: in place where the extent is the same, else anew in the
 * same log. */
void log_replace(cache_shard *shard, uint64_t *slot, const cache_record *record);

#endif
