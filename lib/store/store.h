/* store.h - the truth at rest: one LMDB environment with one tree. The only folder that includes
 * <lmdb.h>.
 *
 * Always full sync; the map is reserved once at the largest of 1 TiB, 256 GiB, 16 GiB that fits
 * (R12); read transactions are renewed from a pool (MDB_NOTLS), never begun anew in the steady
 * state. Every value carries a 4-byte checksum behind it (of key and value), added on put and
 * checked on get: callers never see it. LMDB's codes are translated here. Threads: every function
 * may be called by any thread; a store_read or store_write belongs to one thread at a time, but
 * several may get records from one store_read at once.
 */
#ifndef MLKV_STORE_STORE_H
#define MLKV_STORE_STORE_H

#include <mlkv/base.h>
#include <stdbool.h>

typedef struct store store;
typedef struct store_read store_read;
typedef struct store_cursor store_cursor;
typedef struct store_write store_write;

#if !defined(MLKV_FAULTS) || !defined(MLKV_FORMAT_TEST) /* a test's second build */
#undef MLKV_FORMAT_TEST
#define MLKV_FORMAT_TEST 1
#endif

enum { STORE_FORMAT_VERSION = MLKV_FORMAT_TEST };

/* S records that store itself keeps, in every write transaction that asks for it. */
typedef struct {
    unsigned char uuid[16]; /* of the store, made at its creation */
    uint64_t generation;    /* of the journal that belongs to it */
    bool clean;             /* closed cleanly: the journal holds nothing that is not here */
} store_identity;

typedef struct {
    uint64_t applied; /* journal position up to which the records are here */
    uint64_t next_id; /* no life id at or above it is in use here */
    uint64_t chain;   /* checksum of the frame that ends at applied; 0: not known, taken on trust */
} store_position;

/* Opens or (create) makes data.mdb and lock.mdb in the folder. A new store gets its format record
 * and uuid in one first transaction. MLKV_E_ABSENT_STORE, MLKV_E_VERSION (another format),
 * MLKV_E_CORRUPT, MLKV_E_IO, MLKV_E_FULL, MLKV_E_PERMISSION, MLKV_E_MEMORY. */
int store_open(const char *folder, bool create, bool read_only, store **ret_store);
/* LMDB waits without limit for the lock of its table of readers, which a stopped process may hold. So
 * whoever goes there passes a gate first that is waited for in limits. enter: 0 or an error. */
typedef struct {
    int (*enter)(void *context);
    void (*leave)(void *context);
    void *context;
} store_gate;
int store_open_gated(const char *folder, bool create, bool read_only, const store_gate *gate,
                     store **ret_store);
/* No read or write may be open. NULL accepted. */
void store_close(store *self);
/* In a forked child: frees nothing that LMDB owns, takes no lock, closes nothing. */
void store_abandon(store *self);

/* A snapshot of the last commit. From a pool; ends by store_read_end. MLKV_E_BUSY when 4096 readers
 * are out. */
int store_read_begin(store *self, store_read **ret_read);
void store_read_end(store_read *read);
/* The journal position this snapshot holds (read inside it, R2). */
int store_read_position(store_read *read, store_position *ret_position);
int store_read_identity(store_read *read, store_identity *ret_identity);
/* Borrowed until store_read_end. 0, MLKV_ABSENT, MLKV_E_CORRUPT. */
int store_read_get(store_read *read, mlkv_slice key, mlkv_slice *ret_value);
/* The same of a record that is never changed as long as it is there: its seal is looked at when this process meets it first, and is
 * remembered of the last ones (some 10,000). For values so large that the seal would cost more than what is done with them. */
int store_read_get_lasting(store_read *read, mlkv_slice key, mlkv_slice *ret_value);

/* --- lend.c --- */
/* As store_read_get_lasting, of a large value, and at which byte of data.mdb it stands. MLKV_E_PLATFORM: that cannot be known. */
int store_read_place(store_read *read, mlkv_slice key, mlkv_slice *ret_value, uint64_t *ret_offset);
/* Bytes of data.mdb: as LMDB shows them, and where they begin. */
typedef struct {
    mlkv_slice bytes;
    uint64_t offset;
} store_run;
typedef struct {
    void *memory; /* NULL: none */
    size_t size;  /* in whole pages */
} store_mapping;
/* The machine's, not LMDB's. */
size_t store_page_bytes(void);
/* Maps n (not 0) runs that a read transaction holds one behind another, each of whole pages but for
 * the last. is_private: to be written to, which changes nothing of the file; else read-only. Lives
 * until store_unmap, before which the transaction must not end. O(n) system calls; no byte is
 * copied. MLKV_E_PLATFORM (they are not at pages of this machine), MLKV_E_MEMORY, MLKV_E_IO. */
int store_map(store *self, const store_run *runs, size_t n, bool is_private,
              store_mapping *ret_mapping);
/* Also in a forked child. */
void store_unmap(store_mapping *mapping);

/* Walks in key order. seek: to the first key >= `key`; next: to the one after. 0, MLKV_ABSENT at
 * the end. Slices borrowed until the read ends. */
int store_cursor_open(store_read *read, store_cursor **ret_cursor);
int store_cursor_seek(store_cursor *cursor, mlkv_slice key, mlkv_slice *ret_key,
                      mlkv_slice *ret_value);
int store_cursor_next(store_cursor *cursor, mlkv_slice *ret_key, mlkv_slice *ret_value);
void store_cursor_close(store_cursor *cursor);

/* Takes LMDB's writer lock (waits for another process's applier; a dead one is recovered by LMDB).
 * Reads inside see the newest commit. */
int store_write_begin(store *self, store_write **ret_write);
/* The newest position there is. After a process died inside its commit a new snapshot may still
 * show the commit before that one, until somebody begins a write transaction: who must be sure asks
 * here and not in a read. */
int store_write_position(store_write *write, store_position *ret_position);
int store_write_identity(store_write *write, store_identity *ret_identity);
/* Borrowed until the next put, delete, commit or abort of this handle. */
int store_write_get(store_write *write, mlkv_slice key, mlkv_slice *ret_value);
int store_write_set_position(store_write *write, store_position position);
int store_write_set_identity(store_write *write, const store_identity *identity);
/* Takes n fresh blob ids from the store's own counter (direct side, I9); never 0. */
int store_write_take_blob_ids(store_write *write, uint64_t n, uint64_t *ret_first);
/* Keys in ascending order are fastest (one cursor is kept). value in two parts, joined; key and
 * value must not be what store_write_get lent. MLKV_E_SIZE: more than 4 GiB - 5 bytes. After
 * MLKV_E_FULL, _IO, _CORRUPT the commit fails with the same. */
int store_write_put(store_write *write, mlkv_slice key, mlkv_slice head, mlkv_slice body);
/* Deleting what is not there is fine. */
int store_write_delete(store_write *write, mlkv_slice key);
/* Fails with MLKV_E_FULL / MLKV_E_IO and then nothing of it is there. Ends the handle in any case.
 */
int store_write_commit(store_write *write);
void store_write_abort(store_write *write);

/* Copies the newest snapshot, compacted, to data.mdb in another folder, which is made or empty
 * (else MLKV_E_ARGUMENT), marks it clean and syncs it. Others read and write meanwhile. MLKV_ABSENT:
 * the snapshot's position was below applied_min. What a failed copy made is removed. MLKV_E_FULL,
 * MLKV_E_IO, MLKV_E_PERMISSION, MLKV_E_CORRUPT, MLKV_E_BUSY (no slot for a reader). */
int store_backup(store *self, const char *folder, uint64_t applied_min);

/* mdb_env_sync, forced (R7). */
int store_sync(store *self);
/* mdb_reader_check: frees the slots of dead processes. */
int store_check_readers(store *self);

typedef struct {
    uint64_t used_bytes; /* pages in use times page size */
    uint64_t tree_pages; /* leaf and branch pages of the tree */
    uint64_t records;
    uint64_t readers;             /* slots in use */
    uint64_t oldest_snapshot_age; /* last transaction id minus the oldest reader's */
} store_info;
int store_get_info(store *self, store_info *ret_info);

/* What the file takes and what is free in it (space.c); O(1). */
typedef struct {
    uint64_t leaf_bytes; /* pages of the tree */
    uint64_t run_bytes;  /* pages of large values */
    uint64_t free_bytes; /* pages that hold nothing, and the list of them; holes or not */
    uint64_t disk_bytes; /* blocks that the file system has given to the file */
} store_space;
int store_get_space(store *self, store_space *ret_space);

/* One bounded step of giving free pages back to the file system, as holes, from the file's end down.
 * Only pages that neither a snapshot of any process needs, nor the last two commits. `write` was
 * just begun, nothing is changed in it, and it is to be aborted. *below: UINT64_MAX at first, where
 * to go on afterwards; 0: that was all. *ret_bytes: what this step gave back. MLKV_E_PLATFORM: the
 * file system cannot do that. MLKV_E_IO, MLKV_E_FULL, MLKV_E_CORRUPT, MLKV_E_BUSY, MLKV_E_MEMORY. */
int store_punch(store *self, store_write *write, uint64_t *below, uint64_t *ret_bytes);

#endif
