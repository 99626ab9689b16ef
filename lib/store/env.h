/* env.h - what the files of this folder share: the opened environment, its pool of read
 * transactions, and the form of values.
 *
 * data.mdb, one tree, keys in byte order. Every value ends in a seal:
 *
 *   value bytes
 *   u32 low half (LE) of hash_checksum(value, seed: hash_checksum(record key, seed: 0))
 *
 * The seal depends on the key, so a value that stands under the wrong key is found out too. The
 * store's own records (numbers LE):
 *
 *   key         value (without its seal)
 *   Sformat     "MLKV" u32 version
 *   Sidentity   uuid(16) u64 generation u8 clean (0 or 1)
 *   Sposition   u64 applied, u64 next_id, u64 chain
 *   Sblob       u64 next blob id; absent means 1
 */
#ifndef MLKV_STORE_ENV_H
#define MLKV_STORE_ENV_H

#include "base/bytes.h"
#include "store/store.h"

#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>

enum {
    SEAL_SIZE = 4,
    FORMAT_SIZE = 8,
    IDENTITY_SIZE = 25,
    POSITION_SIZE = 24,
    BLOB_COUNTER_SIZE = 8,
    POOL_SLOTS = 64, /* a thread's own slot first, so that threads do not meet on one cache line */
    POOL_LIST_MAX = 192, /* with the slots 256 idle transactions a process: 16 such processes fill
                            the lock file's 4096 */
    POOL_PROBES = 2,     /* a typed read holds one transaction, sometimes a cursor's beside it */
    CACHE_LINE = 64,
};

#define KEY_FORMAT   "Sformat"
#define KEY_IDENTITY "Sidentity"
#define KEY_POSITION "Sposition"
#define KEY_BLOB     "Sblob"

/* LMDB keeps a value's size in 32 bits. */
#define STORE_VALUE_SIZE_MAX ((size_t)UINT32_MAX - SEAL_SIZE)

struct store_read {
    store *owner;
    MDB_txn *txn;
    store_read *next;        /* while idle in the list */
    store_position position; /* of this snapshot, once asked for */
    bool position_known;
};

typedef struct {
    _Alignas(CACHE_LINE) _Atomic(store_read *) idle;
} store_slot;

/* Lines of seals that were looked at, a power of two: 1 MiB in all, of which a page exists once something in it is noted. */
enum { SEAL_LINES = 1 << 14, SEAL_WAYS = CACHE_LINE / sizeof(uint32_t) };

typedef struct {
    _Alignas(CACHE_LINE) _Atomic uint32_t marks[SEAL_WAYS]; /* parts of keys' hashes; 0: none */
} seal_line;

struct store {
    store_slot slots[POOL_SLOTS];
    pthread_mutex_t lock; /* guards idle_list; idle_count is also looked at without it */
    store_read *idle_list;
    _Atomic size_t idle_count;
    MDB_env *env;
    MDB_dbi dbi;
    size_t page_size;
    bool read_only;
    store_gate gate;       /* enter is NULL: none */
    seal_line *seals_seen; /* SEAL_LINES, by the keys' hashes */
    store *next_abandoned;
};

/* An LMDB or system error code as one of ours, with `what` was being done in the detail. */
int store_error(int code, const char *what) __attribute__((cold));

static inline MDB_val store_val(mlkv_slice slice)
{
    /* LMDB takes keys by a pointer that it does not write through. */
    return (MDB_val){slice.size, (void *)(uintptr_t)slice.data};
}

/* The seal of a value. */
uint32_t store_seal(mlkv_slice key, const void *value, size_t size);
/* Takes the seal off a stored value. MLKV_E_CORRUPT if it does not fit. */
int store_unseal(mlkv_slice key, const MDB_val *stored, mlkv_slice *ret_value);

/* Records as any transaction sees them. The position and the identity must be there
 * (MLKV_E_CORRUPT). */
int store_fetch(store *self, MDB_txn *txn, mlkv_slice key, mlkv_slice *ret_value);
int store_fetch_position(store *self, MDB_txn *txn, store_position *ret_position);
int store_fetch_identity(store *self, MDB_txn *txn, store_identity *ret_identity);

/* A read transaction in a new slot of the table of readers; inside the gate. */
int store_begin_reading(store *self, MDB_txn **ret_txn);
/* Ends all idle read transactions, for closing. */
void store_pool_drain(store *self);

/* Writes the records of a fresh store into `write`. */
int store_write_first(store_write *write);
/* The LMDB transaction inside. */
MDB_txn *store_write_txn(store_write *write);
/* Whether nothing was put or deleted through it. */
bool store_write_is_fresh(const store_write *write);
/* The transaction of the oldest snapshot that any process reads; UINT64_MAX: none is read. */
int store_oldest_snapshot(store *self, uint64_t *ret_transaction);

/* Before LMDB opens the file: nothing in it that would crash LMDB. 0 also when there is no file.
 * ret_empty: absent or without a byte. */
int pages_look(const char *path, bool *ret_empty);
/* ret_unborn: a file whose making the power cut short before its first sync. It holds nothing, and LMDB
 * cannot open it. */
int pages_look_unborn(const char *path, bool *ret_unborn);
/* With `txn` open: no page that its snapshot refers to lies behind the end of the file. ret_short:
 * the file is shorter than its page count says, which is legitimate (pages.c). */
int pages_check(int file, MDB_txn *txn, size_t page_size, bool *ret_short);
/* The form of all pages of the trees that this meta page has, if the file is small (tree.c). Only while a read
 * transaction keeps them from reuse. MLKV_E_CORRUPT names the page. */
int tree_check(int file, const unsigned char *meta, size_t page_size);

#endif
