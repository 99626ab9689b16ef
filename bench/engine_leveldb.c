/* engine_leveldb.c - LevelDB under the benchmark, through its C interface.
 *
 * The same memory as the others: a block cache of 256 MiB, a write buffer of 64 MiB (RocksDB's
 * default), Bloom filters of 10 bits; no compression, because the values do not compress. Its
 * interface has no way to see whether a compaction runs: settle waits a moment.
 */
#include <leveldb/c.h>
#include <time.h>

enum {
    CACHE_BYTES = 256 << 20,
    WRITE_BUFFER_BYTES = 64 << 20,
    BLOOM_BITS = 10,
    SETTLE_SECONDS = 1
};

typedef struct {
    leveldb_cache_t *cache;
    leveldb_filterpolicy_t *filter;
} peer_parts;

static leveldb_options_t *make_options(peer_parts *parts)
{
    leveldb_options_t *options = leveldb_options_create();
    parts->cache = leveldb_cache_create_lru(CACHE_BYTES);
    parts->filter = leveldb_filterpolicy_create_bloom(BLOOM_BITS);
    leveldb_options_set_create_if_missing(options, 1);
    leveldb_options_set_cache(options, parts->cache);
    leveldb_options_set_filter_policy(options, parts->filter);
    leveldb_options_set_write_buffer_size(options, WRITE_BUFFER_BYTES);
    leveldb_options_set_compression(options, leveldb_no_compression);
    return options;
}

static void free_parts(peer_parts *parts)
{
    leveldb_filterpolicy_destroy(parts->filter);
    leveldb_cache_destroy(parts->cache);
}

#define PEER(name) leveldb_##name
#define PEER_NAME  "leveldb"
#include "engine_level.h"

static int get(void *lane, const char *key, char *ret_value)
{
    database *self = lane;
    char *error = NULL;
    size_t size = 0;
    char *value = leveldb_get(self->db, self->read, key, KEY_BYTES, &size, &error);
    if (error != NULL || value == NULL || size != VALUE_BYTES)
        return report("get", error);
    memcpy(ret_value, value, VALUE_BYTES);
    leveldb_free(value);
    return 0;
}

static void settle(void *db)
{
    (void)db;
    nanosleep(&(struct timespec){.tv_sec = SETTLE_SECONDS}, NULL);
}

const bench_engine engine_leveldb = {
    .name = "leveldb",
    .levels = {"unsynced", "sync", NULL},
    .open = open_all,
    .close = close_all,
    .load = load,
    .lane_begin = lane_begin,
    .lane_end = lane_end,
    .put = put,
    .get = get,
    .settle = settle,
};
