/* index.c - a shard's index of entries and its ghosts.
 *
 * The index is an array of buckets of eight words, one cache line each; a record's word stands in
 * the bucket of its hash or, if that was full, in the neighbour. Nothing is ever moved between the
 * two, so a lookup that finds neither misses at worst what is being inserted meanwhile, which is a
 * miss and no error (I5).
 *
 * Ghosts are fingerprints of hashes that were evicted from the small log unused: buckets of 15,
 * each a queue of its own, overwritten in turn. A record that returns while its ghost is there is
 * no one-hit wonder and goes to the main log.
 *
 * Locks: all functions run under the shard's lock; index words are atomic because readers without
 * the lock look at them (C1-C3 in shard.h).
 */
#include "cache/shard.h"

#include "base/words.h"

static bool key_at(const uint64_t *entry, mlkv_slice key)
{
    const unsigned char *bytes = key.data;
    for (size_t i = 0; i * 8 < key.size; i++) {
        uint64_t word = 0;
        size_t rest = key.size - i * 8;
        bytes_copy(&word, bytes + i * 8, rest < 8 ? rest : 8);
        if (relaxed_load(entry + CACHE_ENTRY_HEADER + i) != word)
            return false;
    }
    return true;
}

uint64_t *index_find(cache_shard *shard, uint64_t hash, mlkv_slice key)
{
    for (unsigned choice = 0; choice < 2; choice++) {
        uint64_t *bucket = index_bucket(shard, hash, choice);
        for (unsigned i = 0; i < CACHE_BUCKET_SLOTS; i++) {
            uint64_t word = relaxed_load(bucket + i);
            if (word == 0 || word >> 48 != hash >> 48)
                continue;
            const uint64_t *entry = shard->block + word_place(shard, word);
            if (relaxed_load(entry) == hash && info_key_size(relaxed_load(entry + 1)) == key.size &&
                key_at(entry, key))
                return bucket + i;
        }
    }
    return NULL;
}

uint64_t *index_find_place(cache_shard *shard, uint64_t hash, uint32_t place)
{
    for (unsigned choice = 0; choice < 2; choice++) {
        uint64_t *bucket = index_bucket(shard, hash, choice);
        for (unsigned i = 0; i < CACHE_BUCKET_SLOTS; i++) {
            uint64_t word = relaxed_load(bucket + i);
            if (word != 0 && word_place(shard, word) == place)
                return bucket + i;
        }
    }
    return NULL;
}

void index_remove(cache_shard *shard, uint64_t *slot)
{
    uint32_t place = word_place(shard, relaxed_load(slot));
    uint32_t units = info_units(relaxed_load(shard->block + place + 1));
    cache_log *log = place < shard->main_log.begin ? &shard->small_log : &shard->main_log;
    relaxed_store(slot, 0);
    log->live -= units;
    relaxed_store(&shard->live_units, shard->live_units - units);
    relaxed_store(&shard->entries, shard->entries - 1);
}

void index_insert(cache_shard *shard, uint64_t hash, uint64_t word)
{
    uint64_t *victim = NULL;
    uint32_t victim_frequency = CACHE_FREQUENCY_MAX + 1;
    for (unsigned choice = 0; choice < 2; choice++) {
        uint64_t *bucket = index_bucket(shard, hash, choice);
        for (unsigned i = 0; i < CACHE_BUCKET_SLOTS; i++) {
            uint64_t old = relaxed_load(bucket + i);
            if (old == 0) {
                __atomic_store_n(bucket + i, word, __ATOMIC_RELEASE);
                return;
            }
            if (word_frequency(old) < victim_frequency) {
                victim = bucket + i;
                victim_frequency = word_frequency(old);
            }
        }
    }
    index_remove(shard, victim);
    relaxed_store(&shard->evictions, shard->evictions + 1);
    __atomic_store_n(victim, word, __ATOMIC_RELEASE);
}

static uint32_t *ghost_bucket(const cache_shard *shard, uint64_t hash)
{
    uint64_t mixed =
        hash * 0x9e3779b97f4a7c15u >> 32; /* Fibonacci hashing: other bits than the index's */
    return shard->ghosts + (mixed * shard->ghost_count >> 32) * CACHE_GHOST_WORDS;
}

static uint32_t ghost_print(uint64_t hash)
{
    return (uint32_t)(hash >> 24) | 1; /* 0 is an empty place */
}

void ghost_add(cache_shard *shard, uint64_t hash)
{
    uint32_t *bucket = ghost_bucket(shard, hash);
    uint32_t next = bucket[0] + 1 < CACHE_GHOST_WORDS ? bucket[0] + 1 : 1;
    bucket[next] = ghost_print(hash);
    bucket[0] = next;
}

bool ghost_take(cache_shard *shard, uint64_t hash)
{
    uint32_t *bucket = ghost_bucket(shard, hash), print = ghost_print(hash);
    for (unsigned i = 1; i < CACHE_GHOST_WORDS; i++) {
        if (bucket[i] == print) {
            bucket[i] = 0;
            return true;
        }
    }
    return false;
}
