/* engine_mlkv.c - libmlkv under the benchmark: strings in one store, one handle a durability level.
 *
 * The handles share one instance, as any handles of one folder in one process do; defaults in all
 * else. A lane is a buffer that is reused, so that a get copies and does not allocate, which is how
 * the interface is meant to be used.
 */
#include "engine.h"

#include <mlkv/mlkv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    mlkv *handles[PUT_LEVELS];
} database;

typedef struct {
    database *db;
    mlkv_buffer value;
} lane;

static int report(const char *what, int result)
{
    fprintf(stderr, "mlkv: %s: %s: %s\n", what, mlkv_error_name(result), mlkv_error_detail());
    return -1;
}

static void close_all(void *db)
{
    database *self = db;
    for (int level = 0; self != NULL && level < PUT_LEVELS; level++) {
        int result = mlkv_close(self->handles[level]);
        if (result != MLKV_OK)
            report("close", result);
    }
    free(self);
}

static int open_all(const char *folder, void **ret_db)
{
    static const int durability[PUT_LEVELS] = {MLKV_JOURNAL, MLKV_SYNC, MLKV_STORE};
    database *self = calloc(1, sizeof *self);
    int result = self == NULL ? MLKV_E_MEMORY : MLKV_OK;
    for (int level = 0; result == MLKV_OK && level < PUT_LEVELS; level++) {
        mlkv_options options = {.size = sizeof options, .durability = durability[level]};
        result = mlkv_open(folder, &options, &self->handles[level]);
    }
    if (result != MLKV_OK) {
        report("open", result);
        close_all(self);
        return -1;
    }
    *ret_db = self;
    return 0;
}

static int load(void *db, const bench_item *items, size_t n)
{
    database *self = db;
    mlkv_pair pairs[BATCH_ITEMS];
    for (size_t i = 0; i < n; i++)
        pairs[i] = (mlkv_pair){{items[i].key, KEY_BYTES}, {items[i].value, VALUE_BYTES}};
    int result = mlkv_string_set_many(self->handles[PUT_BUFFERED], pairs, n);
    return result == MLKV_OK ? 0 : report("load", result);
}

static void *lane_begin(void *db)
{
    lane *self = calloc(1, sizeof *self);
    if (self != NULL)
        self->db = db;
    return self;
}

static void lane_end(void *opaque)
{
    lane *self = opaque;
    mlkv_buffer_free(&self->value);
    free(self);
}

static int put(void *opaque, const char *key, const char *value, put_level level)
{
    lane *self = opaque;
    mlkv_slice key_slice = {key, KEY_BYTES}, value_slice = {value, VALUE_BYTES};
    int result = mlkv_string_set(self->db->handles[level], key_slice, value_slice, MLKV_SET_ALWAYS);
    return result == MLKV_OK ? 0 : report("put", result);
}

static int get(void *opaque, const char *key, char *ret_value)
{
    lane *self = opaque;
    int result = mlkv_string_get(self->db->handles[PUT_BUFFERED], (mlkv_slice){key, KEY_BYTES},
                                 &self->value);
    if (result != MLKV_OK || self->value.size != VALUE_BYTES)
        return report("get", result);
    memcpy(ret_value, self->value.data, VALUE_BYTES);
    return 0;
}

static void settle(void *db)
{
    database *self = db;
    int result = mlkv_flush(self->handles[PUT_BUFFERED], MLKV_STORE);
    if (result != MLKV_OK)
        report("flush", result);
}

const bench_engine engine_mlkv = {
    .name = "mlkv",
    .levels = {"journal", "sync", "store"},
    .open = open_all,
    .close = close_all,
    .load = load,
    .lane_begin = lane_begin,
    .lane_end = lane_end,
    .put = put,
    .get = get,
    .settle = settle,
};
