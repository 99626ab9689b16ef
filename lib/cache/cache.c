/* cache.c - the cache of hot records: creation, lookup without a lock, fills and updates.
 *
 * One mapping holds all shards' blocks (shard.h); the descriptors stand beside it. A lookup loads
 * one index line and the entry's lines: it copies atomic words and believes them only if index word
 * and info are unchanged afterwards (C1). After a few failures it takes the shard's lock, so it
 * always ends.
 *
 * R1: a shard keeps positions for 128 stripes of its hashes. cache_note loads one before the
 * lookup; cache_update raises it under the lock, cached or not; cache_fill compares it under the
 * lock. A fill that finds the record cached already does nothing: what is there is at least as new.
 *
 * Memory: the budget covers the blocks; descriptors and counters add at most 1.4 KiB a shard and 4
 * KiB. Below 1 KiB the cache holds nothing. Pages are touched as the logs first go round; huge
 * pages are asked for when a shard is a sixteenth full, so a process with few records stays small.
 * Locks: one mutex a shard, none for cache_get, cache_note and the counters.
 */
#include "cache/cache.h"

#include "base/buffer.h"
#include "base/error.h"
#include "base/fault.h"
#include "base/lock.h"
#include "base/words.h"
#include "cache/shard.h"

#include <stdlib.h>
#include <sys/mman.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1; refused by older kernels, which does no harm */
#endif

enum {
    BUDGET_MIN = 1024,
    SHARDS_MAX = 64,
    HUGE_PAGE = 2 << 20,
    COUNTER_SLOTS = 64,
    TRIES_MAX = 8,
    RETRY = 3, /* beside CACHE_HIT, CACHE_MISS, CACHE_HIT_ABSENT */
    OTHER = 4,
};

/* Threads count in slots of their own as long as there are at most 64 of them; sharing one may lose
 * a count. */
typedef struct {
    __attribute__((aligned(CACHE_LINE))) uint64_t hits;
    uint64_t misses;
} counters;

struct cache {
    cache_shard *shards; /* NULL: holds nothing */
    uint64_t shard_mask;
    uint64_t budget;
    void *mapping;
    size_t mapping_size;
    counters counts[COUNTER_SLOTS];
};

static unsigned counter_threads;
static _Thread_local unsigned counter_slot; /* 0: not yet given */

static counters *own_counters(const cache *self)
{
    unsigned slot = counter_slot;
    if (slot == 0) {
        slot = 1 + __atomic_fetch_add(&counter_threads, 1, __ATOMIC_RELAXED) % COUNTER_SLOTS;
        counter_slot = slot;
    }
    return (counters *)&self->counts[slot - 1];
}

/* --- creation --- */

/* Few shards for small budgets, so that a shard's records are not too small; many for large ones,
 * so that threads seldom meet. */
static size_t choose_shards(size_t budget)
{
    if (budget >= (size_t)1 << 30)
        return SHARDS_MAX;
    if (budget >= (size_t)256 << 20)
        return 32;
    size_t shards = 1;
    while (shards < 16 && budget / (shards * 2) >= (size_t)1 << 20)
        shards *= 2;
    return shards;
}

/* Index: an eighth of the block, a word for each 64 bytes; ghosts: a thirty-second. */
static void init_shard(cache_shard *shard, void *block, size_t block_size)
{
    size_t index_size = block_size / 8 & ~(size_t)(2 * CACHE_LINE - 1);
    size_t ghost_size = block_size / 32 & ~(size_t)(CACHE_LINE - 1);
    if (ghost_size == 0)
        ghost_size = CACHE_LINE;
    shard->block = block;
    shard->block_units = block_size / 8;
    shard->bucket_count = (uint32_t)(index_size / CACHE_LINE);
    shard->ghosts = (uint32_t *)(void *)((unsigned char *)block + index_size);
    shard->ghost_count = (uint32_t)(ghost_size / CACHE_LINE);
    uint32_t begin = (uint32_t)((index_size + ghost_size) / 8), end = (uint32_t)shard->block_units;
    uint32_t middle = begin + (end - begin) / 10;
    log_init(&shard->small_log, begin, middle);
    log_init(&shard->main_log, middle, end);
    shard->entry_units_max = (end - middle) / 8;
    while ((uint64_t)1 << shard->place_bits < shard->block_units)
        shard->place_bits++;
    lock_init(&shard->lock);
}

static int map_blocks(cache *self, size_t size)
{
    size_t alignment = size >= HUGE_PAGE ? HUGE_PAGE : 4096;
    size_t reserved = round_up(size, 4096) + alignment;
    unsigned char *base = mmap(NULL, reserved, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return error_set_memory("the cache");
    size_t before = (alignment - (uintptr_t)base % alignment) % alignment;
    size_t after = alignment - before;
    if (before != 0)
        munmap(base, before);
    if (after != 0)
        munmap(base + reserved - after, after);
    self->mapping = base + before;
    self->mapping_size = reserved - alignment;
    return 0;
}

int cache_create(size_t budget_bytes, cache **ret_cache)
{
    int result = 0;
    cache *self = NULL;
    if (posix_memalign((void **)&self, CACHE_LINE, sizeof *self) != 0)
        return error_set_memory("the cache");
    memset(self, 0, sizeof *self);
    self->budget = budget_bytes;
    if (budget_bytes >= BUDGET_MIN) {
        size_t shards = choose_shards(budget_bytes);
        size_t block_size = budget_bytes / shards & ~(size_t)(2 * CACHE_LINE - 1);
        if (block_size > (size_t)UINT32_MAX * 4)
            block_size = (size_t)UINT32_MAX * 4 &
                         ~(size_t)(2 * CACHE_LINE - 1); /* places are 32 bits of 8-byte units */
        if (posix_memalign((void **)&self->shards, CACHE_LINE, shards * sizeof(cache_shard)) != 0) {
            self->shards = NULL;
            result = error_set_memory("the cache");
            goto failed;
        }
        memset(self->shards, 0, shards * sizeof(cache_shard));
        result = map_blocks(self, shards * block_size);
        if (result != 0)
            goto failed;
        self->shard_mask = shards - 1;
        for (size_t i = 0; i < shards; i++)
            init_shard(&self->shards[i], (unsigned char *)self->mapping + i * block_size,
                       block_size);
    }
    *ret_cache = self;
    return 0;
failed:
    free(self->shards);
    free(self);
    return result;
}

void cache_destroy(cache *self)
{
    if (self == NULL)
        return;
    if (self->shards != NULL) {
        for (size_t i = 0; i <= self->shard_mask; i++)
            lock_destroy(&self->shards[i].lock);
        munmap(self->mapping, self->mapping_size);
        free(self->shards);
    }
    free(self);
}

/* --- lookup --- */

static cache_shard *shard_of(const cache *self, uint64_t hash)
{
    return &self->shards[hash & self->shard_mask];
}

static uint64_t *position_of(cache_shard *shard, uint64_t hash)
{
    return &shard->positions[(hash >> 40) % CACHE_SHARD_STRIPES];
}

/* C1: true if all that was copied from the entry since `word` and `info` were loaded is one
 * version. */
static bool unchanged(const uint64_t *slot, uint64_t word, const uint64_t *entry, uint64_t info)
{
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return relaxed_load(entry + 1) == info &&
           ((relaxed_load(slot) ^ word) & ~CACHE_FREQUENCY_MASK) == 0;
}

static bool key_equals(const uint64_t *entry, mlkv_slice key)
{
    const uint64_t *words = entry + CACHE_ENTRY_HEADER;
    const unsigned char *bytes = key.data;
    size_t whole = key.size / 8;
    for (size_t i = 0; i < whole; i++) {
        if (relaxed_load(words + i) != load_le64(bytes + 8 * i))
            return false;
    }
    if (key.size % 8 == 0)
        return true;
    uint64_t last = 0;
    memcpy(&last, bytes + 8 * whole, key.size % 8);
    return relaxed_load(words + whole) == last;
}

/* Reads the entry of one index word. CACHE_HIT, CACHE_HIT_ABSENT, OTHER (another key), RETRY
 * (changed meanwhile), MLKV_E_MEMORY. */
static int read_entry(const cache_shard *shard, uint64_t *slot, uint64_t word, uint64_t hash,
                      mlkv_slice key, mlkv_buffer *ret_value)
{
    uint32_t place = word_place(shard, word);
    if ((uint64_t)place + CACHE_ENTRY_HEADER > shard->block_units)
        return RETRY;
    const uint64_t *entry = shard->block + place;
    uint64_t info = __atomic_load_n(entry + 1, __ATOMIC_ACQUIRE);
    if ((info & CACHE_SEQUENCE_ONE) != 0 || (uint64_t)place + info_units(info) > shard->block_units)
        return RETRY;
    if (relaxed_load(entry) != hash || info_key_size(info) != key.size || !key_equals(entry, key))
        return unchanged(slot, word, entry, info) ? OTHER : RETRY;
    size_t size = info_value_size(info);
    if ((info & CACHE_ABSENT_BIT) == 0) {
        if (size > ret_value->capacity) {
            if (!unchanged(slot, word, entry, info)) /* a size that is none must not be allocated */
                return RETRY;
            int result = buffer_reserve(ret_value, size);
            if (result != 0)
                return result;
        }
        words_load(ret_value->data, entry + CACHE_ENTRY_HEADER + (key.size + 7) / 8, size);
    }
    if (!unchanged(slot, word, entry, info))
        return RETRY;
    if (word_frequency(word) <
        CACHE_FREQUENCY_MAX) /* C3: written at most three times an entry, then never */
        __atomic_compare_exchange_n(slot, &word, word + CACHE_FREQUENCY_ONE, false,
                                    __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    if ((info & CACHE_ABSENT_BIT) != 0)
        return CACHE_HIT_ABSENT;
    ret_value->size = size;
    return CACHE_HIT;
}

static int try_get(const cache_shard *shard, uint64_t hash, mlkv_slice key, mlkv_buffer *ret_value)
{
    for (unsigned choice = 0; choice < 2; choice++) {
        uint64_t *bucket = index_bucket(shard, hash, choice);
        for (unsigned i = 0; i < CACHE_BUCKET_SLOTS; i++) {
            uint64_t word = __atomic_load_n(bucket + i, __ATOMIC_ACQUIRE);
            if (word >> 48 != hash >> 48 || word == 0)
                continue;
            int result = read_entry(shard, bucket + i, word, hash, key, ret_value);
            if (result != OTHER)
                return result;
        }
    }
    return CACHE_MISS;
}

int cache_get(cache *self, uint64_t hash, mlkv_slice key, mlkv_buffer *ret_value)
{
    int result = CACHE_MISS;
    if (self->shards != NULL) {
        cache_shard *shard = shard_of(self, hash);
        result = RETRY;
        for (unsigned i = 0; i < TRIES_MAX && result == RETRY; i++)
            result = try_get(shard, hash, key, ret_value);
        if (result == RETRY) {
            lock_take(&shard->lock);
            result = try_get(shard, hash, key, ret_value);
            lock_release(&shard->lock);
        }
    }
    counters *own = own_counters(self);
    uint64_t *count = result == CACHE_MISS ? &own->misses : &own->hits;
    relaxed_store(count, relaxed_load(count) + 1);
    return result;
}

void cache_prefetch(const cache *self, uint64_t hash)
{
    if (self->shards != NULL)
        __builtin_prefetch(index_bucket(shard_of(self, hash), hash, 0));
}

void cache_prefetch_entry(const cache *self, uint64_t hash)
{
    if (self->shards == NULL)
        return;
    const cache_shard *shard = shard_of(self, hash);
    const uint64_t *bucket = index_bucket(shard, hash, 0);
    for (unsigned i = 0; i < CACHE_BUCKET_SLOTS; i++) {
        uint64_t word = relaxed_load(bucket + i);
        if (word >> 48 == hash >> 48 && word != 0) {
            const uint64_t *entry = shard->block + word_place(shard, word);
            __builtin_prefetch(entry);
            __builtin_prefetch(entry + 8);
            __builtin_prefetch(entry + 16);
        }
    }
}

/* --- changes --- */

uint64_t cache_note(const cache *self, uint64_t hash)
{
    return self->shards == NULL
               ? 0
               : __atomic_load_n(position_of(shard_of(self, hash), hash), __ATOMIC_ACQUIRE);
}

/* Under the lock. */
static void raise_position(uint64_t *at, uint64_t position)
{
    if (relaxed_load(at) < position)
        __atomic_store_n(at, position, __ATOMIC_RELEASE);
}

/* Asks for huge pages once a shard is a sixteenth full. Under the lock; only the index's part is
 * made huge at once, the rest as it is first touched. */
static void ask_for_huge_pages(const cache *self, cache_shard *shard)
{
    if (shard->huge || shard->live_units < shard->block_units / 16)
        return;
    shard->huge = true;
    if (self->mapping_size < HUGE_PAGE)
        return;
    uintptr_t first = (uintptr_t)shard->block & ~(uintptr_t)(HUGE_PAGE - 1);
    uintptr_t last = round_up((uintptr_t)shard->block + shard->block_units * 8, HUGE_PAGE);
    uintptr_t index_last = round_up((uintptr_t)(shard->block + shard->small_log.begin), HUGE_PAGE);
    uintptr_t end = (uintptr_t)self->mapping + self->mapping_size;
    last = last < end ? last : end;
    index_last = index_last < end ? index_last : end;
    madvise((void *)first, last - first,
            MADV_HUGEPAGE); /* advice only: a refusal changes nothing */
    madvise((void *)first, index_last - first, MADV_COLLAPSE);
}

void cache_fill(cache *self, uint64_t hash, mlkv_slice key, mlkv_slice value, bool absent,
                uint64_t note)
{
    if (self->shards == NULL)
        return;
    cache_shard *shard = shard_of(self, hash);
    cache_record record = {.hash = hash, .key = key, .absent = absent};
    if (!absent)
        record.value = value;
    WATCH_POINT(READ_FILL);
    lock_take(&shard->lock);
    if (relaxed_load(position_of(shard, hash)) == note && index_find(shard, hash, key) == NULL) {
        log_insert(shard, &record, 0, ghost_take(shard, hash));
        ask_for_huge_pages(self, shard);
    }
    lock_release(&shard->lock);
}

void cache_update(cache *self, uint64_t hash, mlkv_slice key, mlkv_slice value, bool deleted,
                  uint64_t position, bool insert)
{
    if (self->shards == NULL)
        return;
    cache_shard *shard = shard_of(self, hash);
    cache_record record = {.hash = hash, .key = key, .absent = deleted};
    if (!deleted)
        record.value = value;
    lock_take(&shard->lock);
    WATCH_POINT(HELD_SHARD);
    raise_position(position_of(shard, hash), position);
    uint64_t *slot = index_find(shard, hash, key);
    if (slot != NULL) {
        log_replace(shard, slot, &record);
    } else if (insert) {
        log_insert(shard, &record, 0, ghost_take(shard, hash));
        ask_for_huge_pages(self, shard);
    }
    lock_release(&shard->lock);
}

static void empty_shard(cache_shard *shard)
{
    size_t words = (size_t)shard->bucket_count * CACHE_BUCKET_SLOTS;
    for (size_t i = 0; i < words; i++) {
        if (relaxed_load(shard->block + i) != 0) /* pages that were never touched stay so */
            relaxed_store(shard->block + i, 0);
    }
    log_empty(&shard->small_log);
    log_empty(&shard->main_log);
    relaxed_store(&shard->entries, 0);
    relaxed_store(&shard->live_units, 0);
}

void cache_reset(cache *self, uint64_t position)
{
    if (self->shards == NULL)
        return;
    for (size_t i = 0; i <= self->shard_mask;
         i++) { /* R5: all positions first, so that no fill noted before gets in */
        cache_shard *shard = &self->shards[i];
        lock_take(&shard->lock);
        for (size_t j = 0; j < CACHE_SHARD_STRIPES; j++)
            raise_position(&shard->positions[j], position);
        lock_release(&shard->lock);
    }
    WATCH_POINT(RESET_RAISED);
    for (size_t i = 0; i <= self->shard_mask; i++) {
        cache_shard *shard = &self->shards[i];
        lock_take(&shard->lock);
        if (shard->entries != 0)
            empty_shard(shard);
        lock_release(&shard->lock);
    }
}

void cache_get_info(const cache *self, cache_info *ret_info)
{
    cache_info info = {.budget_bytes = self->budget};
    for (size_t i = 0; i < COUNTER_SLOTS; i++) {
        info.hits += relaxed_load(&self->counts[i].hits);
        info.misses += relaxed_load(&self->counts[i].misses);
    }
    for (size_t i = 0; self->shards != NULL && i <= self->shard_mask; i++) {
        const cache_shard *shard = &self->shards[i];
        info.used_bytes += relaxed_load(&shard->live_units) * 8;
        info.entries += relaxed_load(&shard->entries);
        info.evictions += relaxed_load(&shard->evictions);
    }
    *ret_info = info;
}
