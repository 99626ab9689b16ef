/* engine_level.h - the benchmark's engine for LevelDB, and for RocksDB, whose C interface is LevelDB's under another prefix.
 *
 * The file that includes this once is the engine. Before, it defines
 *   PEER(x)                            the peer's name of x: leveldb_##x
 *   PEER_NAME                          for messages
 *   peer_parts                         what the options refer to
 *   make_options(peer_parts *)         the options, and the parts
 *   free_parts(peer_parts *)           after the database was closed
 * and behind it defines get, for the two hand out values in different ways, settle, and the engine's table.
 *
 * Durability: each put takes the write options of its level; only PUT_BUFFERED is not synced. Locks: the peers' own.
 */
#ifndef MLKV_BENCH_ENGINE_LEVEL_H
#define MLKV_BENCH_ENGINE_LEVEL_H

#include "engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    PEER(t) * db;
    PEER(options_t) * options;
    PEER(readoptions_t) * read;
    PEER(writeoptions_t) * write[PUT_LEVELS];
    peer_parts parts;
} database;

static int report(const char *what, char *error)
{
    fprintf(stderr, PEER_NAME ": %s: %s\n", what, error != NULL ? error : "wrong size");
    PEER(free)(error);
    return -1;
}

static void close_all(void *db)
{
    database *self = db;
    if (self->db != NULL)
        PEER(close)(self->db);
    for (int level = 0; level < PUT_LEVELS; level++)
        PEER(writeoptions_destroy)(self->write[level]);
    PEER(readoptions_destroy)(self->read);
    PEER(options_destroy)(self->options);
    free_parts(&self->parts);
    free(self);
}

static int open_all(const char *folder, void **ret_db)
{
    database *self = calloc(1, sizeof *self);
    char *error = NULL;
    if (self == NULL)
        return report("open", NULL);
    self->options = make_options(&self->parts);
    self->read = PEER(readoptions_create)();
    for (int level = 0; level < PUT_LEVELS; level++) {
        self->write[level] = PEER(writeoptions_create)();
        PEER(writeoptions_set_sync)(self->write[level], level != PUT_BUFFERED);
    }
    self->db = PEER(open)(self->options, folder, &error);
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
    PEER(writebatch_t) *batch = PEER(writebatch_create)();
    for (size_t i = 0; i < n; i++)
        PEER(writebatch_put)(batch, items[i].key, KEY_BYTES, items[i].value, VALUE_BYTES);
    PEER(write)(self->db, self->write[PUT_BUFFERED], batch, &error);
    PEER(writebatch_destroy)(batch);
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
    PEER(put)(self->db, self->write[level], key, KEY_BYTES, value, VALUE_BYTES, &error);
    return error == NULL ? 0 : report("put", error);
}

#endif
