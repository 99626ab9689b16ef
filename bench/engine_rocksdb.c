/* engine_rocksdb.c - RocksDB under the benchmark, through its C interface.
 *
 * The same memory as the others: a block cache of 256 MiB, Bloom filters of 10 bits; no
 * compression, because the values do not compress. A get copies out of a pinned slice, which saves
 * RocksDB an allocation. remark() looks into the library that was loaded: a build with assertions
 * on (as Debian's) imports __assert_fail, and puts about twice as slowly as a release build of the
 * same source.
 */
#include "engine.h"

#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CACHE_BYTES = 256 << 20, BLOOM_BITS = 10, BACKGROUND_THREADS = 2 };

typedef struct {
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_readoptions_t *read;
    rocksdb_writeoptions_t *write[PUT_LEVELS];
} database;

static int report(const char *what, char *error)
{
    fprintf(stderr, "rocksdb: %s: %s\n", what, error != NULL ? error : "wrong size");
    rocksdb_free(error);
    return -1;
}

static rocksdb_options_t *make_options(void)
{
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_cache_t *cache = rocksdb_cache_create_lru(CACHE_BYTES);
    rocksdb_block_based_options_set_block_cache(table, cache);
    rocksdb_block_based_options_set_filter_policy(
        table, rocksdb_filterpolicy_create_bloom_full(BLOOM_BITS));
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_compression(options, rocksdb_no_compression);
    rocksdb_options_increase_parallelism(options, BACKGROUND_THREADS);
    rocksdb_options_set_block_based_table_factory(options, table);
    rocksdb_block_based_options_destroy(table);
    rocksdb_cache_destroy(cache); /* the table holds it */
    return options;
}

static void close_all(void *db)
{
    database *self = db;
    if (self->db != NULL)
        rocksdb_close(self->db);
    for (int level = 0; level < PUT_LEVELS; level++)
        rocksdb_writeoptions_destroy(self->write[level]);
    rocksdb_readoptions_destroy(self->read);
    rocksdb_options_destroy(self->options);
    free(self);
}

static int open_all(const char *folder, void **ret_db)
{
    database *self = calloc(1, sizeof *self);
    char *error = NULL;
    if (self == NULL)
        return report("open", NULL);
    self->options = make_options();
    self->read = rocksdb_readoptions_create();
    for (int level = 0; level < PUT_LEVELS; level++) {
        self->write[level] = rocksdb_writeoptions_create();
        rocksdb_writeoptions_set_sync(self->write[level], level != PUT_BUFFERED);
    }
    self->db = rocksdb_open(self->options, folder, &error);
    if (error != NULL) {
        close_all(self);
        return report("open", error);
    }
    *ret_db = self;
    return 0;
}

static int load(void *db, const bench_item *items, size_t n)
{
    database *self = db;
    char *error = NULL;
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    for (size_t i = 0; i < n; i++)
        rocksdb_writebatch_put(batch, items[i].key, KEY_BYTES, items[i].value, VALUE_BYTES);
    rocksdb_write(self->db, self->write[PUT_BUFFERED], batch, &error);
    rocksdb_writebatch_destroy(batch);
    return error == NULL ? 0 : report("load", error);
}

static void *lane_begin(void *db)
{
    return db;
}

static void lane_end(void *lane)
{
    (void)lane;
}

static int put(void *lane, const char *key, const char *value, put_level level)
{
    database *self = lane;
    char *error = NULL;
    rocksdb_put(self->db, self->write[level], key, KEY_BYTES, value, VALUE_BYTES, &error);
    return error == NULL ? 0 : report("put", error);
}

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
