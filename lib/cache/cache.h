/* cache.h - hot records of one process, within a byte budget. Emptying it at any moment changes no
 * answer (I5). Absence is cached too.
 *
 * Sharded by hash (a power of two, at most 64, fewer for small budgets). Each shard: an index of
 * atomic words, and two circular logs, a small and a main FIFO (S3-FIFO with ghosts:
 * scan-resistant). Readers take no lock: they copy an entry's words, and believe them if its index
 * word and its sequence are unchanged.
 *
 * R1 (fill): each shard keeps positions, one for each of 128 stripes of its hashes. cache_note
 * reads the hash's before the lookup; catch-up raises it by cache_update even for records that are
 * not cached; cache_fill compares and inserts under the shard's lock and refuses if it moved.
 * Locks: one mutex a shard (I6: the last in the order).
 */
#ifndef MLKV_CACHE_CACHE_H
#define MLKV_CACHE_CACHE_H

#include <mlkv/base.h>
#include <stdbool.h>

typedef struct cache cache;

int cache_create(size_t budget_bytes, cache **ret_cache);
void cache_destroy(cache *self);

enum { CACHE_HIT = 0, CACHE_MISS = 1, CACHE_HIT_ABSENT = 2 };
/* Replaces *ret_value on a hit. CACHE_HIT, CACHE_MISS, CACHE_HIT_ABSENT (known not to exist),
 * MLKV_E_MEMORY. No lock. On a miss the size is untouched; bytes within the capacity may have been
 * overwritten by a copy that turned out to be torn. */
int cache_get(cache *self, uint64_t hash, mlkv_slice key, mlkv_buffer *ret_value);
/* Fetches the hash's index line; then, called a few dozen nanoseconds later, the first lines of its
 * entry. For batches. */
void cache_prefetch(const cache *self, uint64_t hash);
void cache_prefetch_entry(const cache *self, uint64_t hash);

/* The position of the hash's stripe, to be passed to cache_fill. */
uint64_t cache_note(const cache *self, uint64_t hash);
/* Inserts what was read since the note (absent: value ignored), unless the stripe moved. Too large
 * for the cache: not inserted. Never fails, at worst does nothing. */
void cache_fill(cache *self, uint64_t hash, mlkv_slice key, mlkv_slice value, bool absent,
                uint64_t note);
/* Catch-up: the record has a new version as of `position` (deleted: absent). Raises the stripe's
 * position, then replaces what is cached, or removes it if it does not fit; a record that is not
 * cached is not inserted, unless `insert`. */
void cache_update(cache *self, uint64_t hash, mlkv_slice key, mlkv_slice value, bool deleted,
                  uint64_t position, bool insert);
/* R5: raises every shard to `position`, then empties it. */
void cache_reset(cache *self, uint64_t position);

typedef struct {
    uint64_t hits, misses, used_bytes /* of entries that can be found */, budget_bytes, entries,
        evictions;
} cache_info;
void cache_get_info(const cache *self, cache_info *ret_info);

#endif
