/* engine.h - what the benchmark asks of an engine, and the engines that there are.
 *
 * An engine is a table of functions over an opaque database, shared by the measuring threads; what
 * one thread needs for itself (a read transaction, a buffer) is its lane. Every get copies the
 * value into memory of the caller's. Results: 0, or -1 after a line on stderr.
 */
#ifndef MLKV_BENCH_ENGINE_H
#define MLKV_BENCH_ENGINE_H

#include <stddef.h>

enum { KEY_BYTES = 16, VALUE_BYTES = 100, BATCH_ITEMS = 1000 };

/* When a put counts as done. An engine has those of them for which `has` says yes. */
typedef enum {
    PUT_BUFFERED, /* survives the process at best: mlkv `journal`, the peers without sync */
    PUT_SYNCED,   /* on the disk, as a log: mlkv `sync`, the peers with sync */
    PUT_STORED,   /* in the tree, synced: mlkv `store` */
    PUT_LEVELS,
} put_level;

typedef struct {
    char key[KEY_BYTES];
    char value[VALUE_BYTES];
} bench_item;

typedef struct {
    const char *name;
    const char *levels[PUT_LEVELS]; /* what the engine calls them; NULL: it has no such level */
    /* Makes a database in an existing empty folder. */
    int (*open)(const char *folder, void **ret_db);
    void (*close)(void *db);
    /* Puts many at once, in any way that is fast. */
    int (*load)(void *db, const bench_item *items, size_t n);
    void *(*lane_begin)(void *db);
    void (*lane_end)(void *lane);
    int (*put)(void *lane, const char *key, const char *value, put_level level);
    /* The value must have VALUE_BYTES, all of which are copied. */
    int (*get)(void *lane, const char *key, char *ret_value);
    /* Told before a workload of puts; waits after one until the background work that it left is
     * done. Both may be NULL. */
    void (*level)(void *db, put_level level);
    void (*settle)(void *db);
    /* A remark on how the engine was built, or "". */
    const char *(*remark)(void);
} bench_engine;

extern const bench_engine engine_mlkv, engine_lmdb;
#ifdef HAVE_ROCKSDB
extern const bench_engine engine_rocksdb;
#endif
#ifdef HAVE_LEVELDB
extern const bench_engine engine_leveldb;
#endif

#endif
