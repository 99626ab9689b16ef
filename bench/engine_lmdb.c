/* engine_lmdb.c - LMDB under the benchmark, used as its documentation advises: one environment,
 * read transactions renewed, a commit a put.
 *
 * Buffered puts run with MDB_NOSYNC (a power cut may then damage the whole file), synced ones with
 * full sync. A lane is a read transaction that is reset and renewed, which is the fast way;
 * MDB_NOTLS lets a lane move between threads.
 */
#include "engine.h"

#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { READERS_MAX = 126 };
static const size_t map_bytes = (size_t)16 << 30; /* far more than any run writes */

typedef struct {
    MDB_env *env;
    MDB_dbi tree;
} database;

typedef struct {
    database *db;
    MDB_txn *read;
} lane;

static int report(const char *what, int result)
{
    fprintf(stderr, "lmdb: %s: %s\n", what, mdb_strerror(result));
    return -1;
}

static void close_all(void *db)
{
    database *self = db;
    if (self->env != NULL)
        mdb_env_close(self->env);
    free(self);
}

static int open_all(const char *folder, void **ret_db)
{
    database *self = calloc(1, sizeof *self);
    if (self == NULL)
        return report("open", MDB_PANIC);
    MDB_txn *txn = NULL;
    int result = mdb_env_create(&self->env);
    if (result == 0)
        result = mdb_env_set_mapsize(self->env, map_bytes);
    if (result == 0)
        result = mdb_env_open(self->env, folder, MDB_NOTLS | MDB_NORDAHEAD, 0644);
    if (result == 0)
        result = mdb_txn_begin(self->env, NULL, 0, &txn);
    if (result == 0)
        result = mdb_dbi_open(txn, NULL, 0, &self->tree);
    if (result == 0)
        result = mdb_txn_commit(txn);
    if (result != 0) {
        close_all(self);
        return report("open", result);
    }
    *ret_db = self;
    return 0;
}

static int put_items(database *self, const bench_item *items, size_t n)
{
    MDB_txn *txn = NULL;
    int result = mdb_txn_begin(self->env, NULL, 0, &txn);
    for (size_t i = 0; result == 0 && i < n; i++) {
        MDB_val key = {KEY_BYTES, (void *)(size_t)items[i].key},
                value = {VALUE_BYTES, (void *)(size_t)items[i].value};
        result = mdb_put(txn, self->tree, &key, &value, 0);
    }
    if (result == 0)
        result = mdb_txn_commit(txn);
    else if (txn != NULL)
        mdb_txn_abort(txn);
    return result == 0 ? 0 : report("put", result);
}

static int load(void *db, const bench_item *items, size_t n)
{
    return put_items(db, items, n);
}

static void *lane_begin(void *db)
{
    lane *self = calloc(1, sizeof *self);
    if (self == NULL)
        return NULL;
    self->db = db;
    int result = mdb_txn_begin(self->db->env, NULL, MDB_RDONLY, &self->read);
    if (result != 0) {
        report("read", result);
        free(self);
        return NULL;
    }
    mdb_txn_reset(self->read);
    return self;
}

static void lane_end(void *opaque)
{
    lane *self = opaque;
    mdb_txn_abort(self->read);
    free(self);
}

static int put(void *opaque, const char *key, const char *value, put_level level)
{
    lane *self = opaque;
    MDB_txn *txn = NULL;
    MDB_val key_val = {KEY_BYTES, (void *)(size_t)key},
            value_val = {VALUE_BYTES, (void *)(size_t)value};
    (void)level; /* set for the whole environment by set_level */
    int result = mdb_txn_begin(self->db->env, NULL, 0, &txn);
    if (result != 0)
        return report("put", result);
    result = mdb_put(txn, self->db->tree, &key_val, &value_val, 0);
    if (result != 0)
        mdb_txn_abort(txn);
    else
        result = mdb_txn_commit(txn);
    return result == 0 ? 0 : report("put", result);
}

static int get(void *opaque, const char *key, char *ret_value)
{
    lane *self = opaque;
    MDB_val key_val = {KEY_BYTES, (void *)(size_t)key}, value;
    int result = mdb_txn_renew(self->read);
    if (result != 0)
        return report("renew", result);
    result = mdb_get(self->read, self->db->tree, &key_val, &value);
    if (result == 0 && value.mv_size == VALUE_BYTES)
        memcpy(ret_value, value.mv_data, VALUE_BYTES);
    mdb_txn_reset(self->read);
    return result == 0 && value.mv_size == VALUE_BYTES ? 0 : report("get", result);
}

static void set_level(void *db, put_level level)
{
    database *self = db;
    mdb_env_set_flags(self->env, MDB_NOSYNC, level == PUT_BUFFERED);
}

static void settle(void *db)
{
    database *self = db;
    mdb_env_sync(self->env, 1);
}

const bench_engine engine_lmdb = {
    .name = "lmdb",
    .levels = {"nosync", "sync", NULL},
    .open = open_all,
    .close = close_all,
    .load = load,
    .lane_begin = lane_begin,
    .lane_end = lane_end,
    .put = put,
    .get = get,
    .level = set_level,
    .settle = settle,
};
