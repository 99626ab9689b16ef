/* engine_leveldb.c - LevelDB under the benchmark, through its C interface.
 *
 * The same memory as the others: a block cache of 256 MiB, a write buffer of 64 MiB (RocksDB's
 * default), Bloom filters of 10 bits; no compression, because the values do not compress. Its
 * interface has no way to see whether a compaction runs: settle waits a moment.
 */
#include "engine.h"

#include <leveldb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    CACHE_BYTES = 256 << 20,
    WRITE_BUFFER_BYTES = 64 << 20,
    BLOOM_BITS = 10,
    SETTLE_SECONDS = 1
};

typedef struct {
    leveldb_t *db;
    leveldb_options_t *options;
    leveldb_cache_t *cache;
    leveldb_filterpolicy_t *filter;
    leveldb_readoptions_t *read;
    leveldb_writeoptions_t *write[PUT_LEVELS];
} database;

static int report(const char *what, char *error)
{
    fprintf(stderr, "leveldb: %s: %s\n", what, error != NULL ? error : "wrong size");
    leveldb_free(error);
    return -1;
}

static void close_all(void *db)
{
    database *self = db;
    if (self->db != NULL)
        leveldb_close(self->db);
    for (int level = 0; level < PUT_LEVELS; level++)
        leveldb_writeoptions_destroy(self->write[level]);
    leveldb_readoptions_destroy(self->read);
    leveldb_options_destroy(self->options);
    leveldb_filterpolicy_destroy(self->filter);
    leveldb_cache_destroy(self->cache);
    free(self);
}

static int open_all(const char *folder, void **ret_db)
{
    database *self = calloc(1, sizeof *self);
    char *error = NULL;
    if (self == NULL)
        return report("open", NULL);
    self->options = leveldb_options_create();
    self->cache = leveldb_cache_create_lru(CACHE_BYTES);
    self->filter = leveldb_filterpolicy_create_bloom(BLOOM_BITS);
    self->read = leveldb_readoptions_create();
    for (int level = 0; level < PUT_LEVELS; level++) {
        self->write[level] = leveldb_writeoptions_create();
        leveldb_writeoptions_set_sync(self->write[level], level != PUT_BUFFERED);
    }
    leveldb_options_set_create_if_missing(self->options, 1);
    leveldb_options_set_cache(self->options, self->cache);
    leveldb_options_set_filter_policy(self->options, self->filter);
    leveldb_options_set_write_buffer_size(self->options, WRITE_BUFFER_BYTES);
    leveldb_options_set_compression(self->options, leveldb_no_compression);
    self->db = leveldb_open(self->options, folder, &error);
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
    leveldb_writebatch_t *batch = leveldb_writebatch_create();
    for (size_t i = 0; i < n; i++)
        leveldb_writebatch_put(batch, items[i].key, KEY_BYTES, items[i].value, VALUE_BYTES);
    leveldb_write(self->db, self->write[PUT_BUFFERED], batch, &error);
    leveldb_writebatch_destroy(batch);
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
    leveldb_put(self->db, self->write[level], key, KEY_BYTES, value, VALUE_BYTES, &error);
    return error == NULL ? 0 : report("put", error);
}

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
