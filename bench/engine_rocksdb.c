/* engine_rocksdb.c - RocksDB under the benchmark, through its C interface.
 *
 * The same memory as the others: a block cache of 256 MiB, Bloom filters of 10 bits; no
 * compression, because the values do not compress. A get copies out of a pinned slice, which saves
 * RocksDB an allocation. remark() looks into the library that was loaded: a build with assertions
 * on (as Debian's) imports __assert_fail, and puts about twice as slowly as a release build of the
 * same source.
 */
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CACHE_BYTES = 256 << 20, BLOOM_BITS = 10, BACKGROUND_THREADS = 2 };

typedef struct {
    rocksdb_cache_t *cache;
} peer_parts;

static rocksdb_options_t *make_options(peer_parts *parts)
{
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    parts->cache = rocksdb_cache_create_lru(CACHE_BYTES);
    rocksdb_block_based_options_set_block_cache(table, parts->cache);
    rocksdb_block_based_options_set_filter_policy(
        table, rocksdb_filterpolicy_create_bloom_full(BLOOM_BITS));
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_compression(options, rocksdb_no_compression);
    rocksdb_options_increase_parallelism(options, BACKGROUND_THREADS);
    rocksdb_options_set_block_based_table_factory(options, table);
    rocksdb_block_based_options_destroy(table);
    return options;
}

static void free_parts(peer_parts *parts)
{
    rocksdb_cache_destroy(parts->cache);
}

#define PEER(name) rocksdb_##name
#define PEER_NAME  "rocksdb"
#include "engine_level.h"

static int get(void *lane, const char *key, char *ret_value)
{
    database *self = lane;
    char *error = NULL;
    size_t size = 0;
    rocksdb_pinnableslice_t *slice =
        rocksdb_get_pinned(self->db, self->read, key, KEY_BYTES, &error);
    const char *value = rocksdb_pinnableslice_value(slice, &size);
    if (error != NULL || value == NULL || size != VALUE_BYTES)
        return report("get", error);
    memcpy(ret_value, value, VALUE_BYTES);
    rocksdb_pinnableslice_destroy(slice);
    return 0;
}

/* Memtables flushed, no compaction running or due: at most half a minute. */
static void settle(void *db)
{
    database *self = db;
    static const char *const counters[] = {
        "rocksdb.num-running-flushes", "rocksdb.num-running-compactions",
        "rocksdb.compaction-pending", "rocksdb.mem-table-flush-pending"};
    for (int turn = 0; turn < 600; turn++) {
        uint64_t busy = 0;
        for (size_t i = 0; i < sizeof counters / sizeof *counters; i++) {
            uint64_t value = 0;
            if (rocksdb_property_int(self->db, counters[i], &value) == 0)
                busy += value;
        }
        if (busy == 0)
            return;
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
}

/* True if the file holds the text. */
static int file_holds(const char *path, const char *text)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return 0;
    size_t length = strlen(text), kept = 0, got;
    static char block[1 << 16];
    int found = 0;
    while (!found && (got = fread(block + kept, 1, sizeof block - kept, file)) > 0) {
        found = memmem(block, kept + got, text, length) != NULL;
        size_t all = kept + got;
        kept = all < length ? all : length;
        memmove(block, block + all - kept, kept);
    }
    fclose(file);
    return found;
}

static const char *remark(void)
{
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    const char *answer = "";
    while (maps != NULL && *answer == '\0' && fgets(line, sizeof line, maps) != NULL) {
        char *path = strchr(line, '/');
        if (path == NULL || strstr(path, "librocksdb") == NULL)
            continue;
        path[strcspn(path, "\n")] = '\0';
        answer = file_holds(path, "__assert_fail") ? "a build with assertions on, as Debian's is: "
                                                     "a release build puts about twice as fast"
                                                   : "a release build, assertions off";
    }
    if (maps != NULL)
        fclose(maps);
    return answer;
}

const bench_engine engine_rocksdb = {
    .name = "rocksdb",
    .levels = {"unsynced", "sync", NULL},
    .open = open_all,
    .close = close_all,
    .load = load,
    .lane_begin = lane_begin,
    .lane_end = lane_end,
    .put = put,
    .get = get,
    .settle = settle,
    .remark = remark,
};
