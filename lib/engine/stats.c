/* stats.c - the numbers of mlkv_stats, gathered from all parts. Relaxed loads; no locks but what
 * the parts take. */
#include "engine/engine.h"

static uint64_t count(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void add_journal(engine *self, mlkv_stats *stats)
{
    journal *log = engine_journal(self);
    if (log == NULL)
        return;
    stats->ring_bytes = journal_ring_bytes(log);
    stats->applied = journal_applied(log);
    stats->synced = journal_synced(log);
    stats->tail = journal_tail(log);
    stats->ring_used_bytes = stats->tail - stats->applied;
}

int engine_stats(engine *self, mlkv_stats *ret_stats)
{
    cache_info cached;
    kept_info decoded;
    store_info stored;
    store_space space;
    int result = store_get_info(self->store, &stored);
    if (result == MLKV_OK)
        result = store_get_space(self->store, &space);
    if (result != MLKV_OK)
        return result;
    cache_get_info(self->cache, &cached);
    kept_get_info(self->kept, &decoded);
    engine_counters *counters = &self->counters;
    mlkv_stats stats = {
        .size = ret_stats->size,
        .cache_hits = cached.hits,
        .cache_misses = cached.misses,
        .pending_hits = count(&counters->pending_hits),
        .cache_bytes = cached.used_bytes + decoded.used_bytes,
        .cache_bytes_max = cached.budget_bytes + decoded.budget_bytes,
        .frames_appended = count(&counters->frames_appended),
        .frames_caught_up = count(&counters->frames_caught_up),
        .batches_applied = count(&counters->batches_applied),
        .records_applied = count(&counters->records_applied),
        .throttled = count(&counters->throttled),
        .overtaken = count(&counters->overtaken),
        .oldest_snapshot_age = stored.oldest_snapshot_age,
        .readers = stored.readers,
        .store_bytes = stored.used_bytes,
        .keys = ret_stats->keys,
        .blobs_written = count(&counters->blobs_written),
        .store_disk_bytes = space.disk_bytes,
        .store_free_bytes = space.free_bytes,
        .decoded_hits = decoded.hits,
        .decoded_misses = decoded.misses,
        .decoded_bytes = decoded.used_bytes,
        .dictionary_bytes = dictionaries_size(self->dictionaries),
    };
    add_journal(self, &stats);
    engine_loans_stats(self, &stats);
    *ret_stats = stats;
    return MLKV_OK;
}
