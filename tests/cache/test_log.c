/* test_log.c - what the logs keep: everything while there is room, the hot records across a scan,
 * and live entries when dead ones fill the log. */
#include "harness.h"

#include "base/hash.h"
#include "cache/cache.h"
#include "cache/shard.h"

#include <math.h>

enum { VALUE_SIZE = 104, ENTRY_SIZE = 16 + 8 + VALUE_SIZE };

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Looks the record up and fills it if missing; true: hit. */
static bool use(cache *self, uint64_t key, mlkv_buffer *buffer)
{
    static const unsigned char value[VALUE_SIZE];
    uint64_t hash = hash_key(&key, sizeof key), note = cache_note(self, hash);
    if (cache_get(self, hash, slice_of(&key, sizeof key), buffer) == CACHE_HIT)
        return true;
    cache_fill(self, hash, slice_of(&key, sizeof key), slice_of(value, sizeof value), false, note);
    return false;
}

START_TEST(what_fits_stays)
{
    cache *self = NULL;
    mlkv_buffer buffer = {0};
    OK(cache_create(4 << 20, &self));
    uint64_t count = (4 << 20) * 7 / 10 / ENTRY_SIZE, misses = 0;
    for (uint64_t key = 0; key < count; key++)
        ck_assert(!use(self, key, &buffer));
    for (uint64_t key = 0; key < count; key++)
        misses += !use(self, key, &buffer);
    ck_assert_uint_le(misses, count / 100);
    mlkv_buffer_free(&buffer);
    cache_destroy(self);
}
END_TEST

/* --- hit ratio beside LRU --- */

enum { TRACE_KEYS = 60000, TRACE_SIZE = 400000 };

/* Zipf (exponent 0.9) with a scan of never-used keys after every 40,000 accesses. */
static uint64_t *make_trace(void)
{
    double *sums = calloc(TRACE_KEYS, sizeof *sums);
    uint64_t *trace = calloc(TRACE_SIZE, sizeof *trace);
    double sum = 0;
    for (unsigned i = 0; i < TRACE_KEYS; i++)
        sums[i] = sum += 1 / pow(i + 1, 0.9);
    uint64_t random = 20240229, scan = 1000000;
    for (unsigned at = 0; at < TRACE_SIZE; at++) {
        if (at % 50000 >= 40000) {
            trace[at] = scan++;
            continue;
        }
        double wanted = (double)(next_random(&random) >> 11) / 9007199254740992.0 * sum;
        unsigned low = 0, high = TRACE_KEYS - 1;
        while (low < high) {
            unsigned middle = (low + high) / 2;
            if (sums[middle] < wanted)
                low = middle + 1;
            else
                high = middle;
        }
        trace[at] = low;
    }
    free(sums);
    return trace;
}

/* Hits of an LRU or FIFO of `capacity` records: each key's last use, and a queue of uses whose
 * outdated members are skipped. */
static unsigned simulate(const uint64_t *trace, unsigned capacity, bool lru)
{
    enum { KEYS = 1000000 + TRACE_SIZE };
    unsigned *stamp = calloc(KEYS, sizeof *stamp), hits = 0, held = 0, oldest = 0, queued = 0;
    uint64_t *queue =
        calloc(TRACE_SIZE, sizeof *queue); /* queue[n]: key of the use with stamp n + 1 */
    for (unsigned at = 0; at < TRACE_SIZE; at++) {
        uint64_t key = trace[at];
        if (stamp[key] != 0) {
            hits++;
            if (!lru)
                continue;
        } else {
            held++;
        }
        queue[queued++] = key;
        stamp[key] = queued;
        while (held > capacity) {
            uint64_t old = queue[oldest++];
            if (stamp[old] == oldest) {
                stamp[old] = 0;
                held--;
            }
        }
    }
    free(stamp);
    free(queue);
    return hits;
}

START_TEST(a_scan_does_not_flush_the_hot)
{
    enum { BUDGET = 1 << 20 };
    uint64_t *trace = make_trace();
    unsigned capacity =
        BUDGET / ENTRY_SIZE; /* generous to the peers: they pay for no index and no ghosts */
    unsigned lru = simulate(trace, capacity, true), fifo = simulate(trace, capacity, false),
             hits = 0;
    cache *self = NULL;
    mlkv_buffer buffer = {0};
    OK(cache_create(BUDGET, &self));
    for (unsigned at = 0; at < TRACE_SIZE; at++)
        hits += use(self, trace[at], &buffer);
    cache_info info;
    cache_get_info(self, &info);
    ck_assert_uint_le(info.used_bytes, BUDGET);
    ck_assert_uint_gt(info.evictions, 10000);
    ck_assert_uint_eq(info.hits, hits);
    ck_assert_uint_eq(info.misses, TRACE_SIZE - hits);
    if (getenv("MLKV_TEST_VERBOSE") != NULL)
        printf("hits of %d: cache %u, LRU %u, FIFO %u\n", TRACE_SIZE, hits, lru, fifo);
    ck_assert_msg(hits > fifo && hits > lru + lru / 10, "cache %u, LRU %u, FIFO %u", hits, lru,
                  fifo); /* without ghosts it is 4 % */
    mlkv_buffer_free(&buffer);
    cache_destroy(self);
    free(trace);
}
END_TEST

START_TEST(dead_space_is_compacted)
{
    cache *self = NULL;
    mlkv_buffer buffer = {0};
    OK(cache_create(1 << 20, &self));
    unsigned char value[400] = {0};
    uint64_t random = 5,
             keys = (1 << 20) / 2 / 232; /* half of the budget, at a mean entry of 232 bytes */
    for (uint64_t i = 0; i < keys * 100;
         i++) { /* sizes change all the time: nearly every update leaves a dead entry */
        uint64_t key = next_random(&random) % keys;
        size_t size = next_random(&random) % sizeof value;
        cache_update(self, hash_key(&key, sizeof key), slice_of(&key, sizeof key),
                     slice_of(value, size), false, 8 * i, true);
    }
    uint64_t misses = 0;
    for (uint64_t key = 0; key < keys; key++)
        misses += cache_get(self, hash_key(&key, sizeof key), slice_of(&key, sizeof key),
                            &buffer) == CACHE_MISS;
    ck_assert_msg(misses <= keys / 20, "%u of %u", (unsigned)misses, (unsigned)keys);
    mlkv_buffer_free(&buffer);
    cache_destroy(self);
}
END_TEST

START_TEST(a_sequence_is_never_used_twice)
{
    uint64_t hash = 77, block[512] = {0};
    cache_shard shard = {.block = block,
                         .ghosts = (uint32_t *)(block + 16),
                         .block_units = 512,
                         .bucket_count = 2,
                         .ghost_count = 1,
                         .place_bits = 9,
                         .entry_units_max = 50};
    log_init(&shard.small_log, 24, 100);
    log_init(&shard.main_log, 100, 512);
    cache_record record = {.hash = hash, .key = TEXT("k"), .value = TEXT("12345678")};
    log_insert(&shard, &record, 1, false);
    uint64_t *slot = index_find(&shard, hash, record.key);
    ck_assert_ptr_nonnull(slot);
    uint64_t word = *slot;
    log_replace(&shard, slot, &record);
    ck_assert_uint_eq(*slot, word); /* in place */
    ck_assert_uint_eq(block[word_place(&shard, word) + 1] >> CACHE_SEQUENCE_SHIFT, 2);
    block[word_place(&shard, word) + 1] |= ~(uint64_t)0
                                           << (CACHE_SEQUENCE_SHIFT + 1); /* the last even one */
    log_replace(&shard, slot, &record);
    slot = index_find(&shard, hash, record.key);
    ck_assert_ptr_nonnull(slot);
    ck_assert_uint_ne(*slot, word); /* another place, sequence from 0, its frequency kept */
    ck_assert_uint_eq(word_frequency(*slot), 1);
    ck_assert_uint_eq(block[word_place(&shard, *slot) + 1] >> CACHE_SEQUENCE_SHIFT, 0);
    ck_assert_uint_eq(shard.entries, 1);
    ck_assert_uint_eq(shard.live_units, 4);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cache log");
    TCase *tcase = harness_case(suite, "log");
    tcase_add_test(tcase, what_fits_stays);
    tcase_add_test(tcase, a_scan_does_not_flush_the_hot);
    tcase_add_test(tcase, dead_space_is_compacted);
    tcase_add_test(tcase, a_sequence_is_never_used_twice);
    return harness_run(suite);
}
