/* db.h - opening a store, its three views, durability, statistics, verification.
 *
 * A store is a folder. Any number of processes of one machine may have it open at once; a write
 * that returned is seen by every later read in each of them, and survives the death of any of them.
 * Inside a process the same folder opened twice is one instance, counted.
 *
 * Threads: a live view and a snapshot may be used by any number of threads at once. A transaction
 * belongs to the thread that began it. Fork: a live view opened before fork() works in the child
 * (which opens the store anew at its first call); transactions, snapshots and cursors do not cross
 * a fork: MLKV_E_OWNER there, and closing them in the child only frees their memory.
 */
#ifndef MLKV_DB_H
#define MLKV_DB_H

#include <mlkv/base.h>
#include <mlkv/error.h>

MLKV_BEGIN_DECLS

/* When a write counts as done. */
typedef enum {
    MLKV_DURABILITY_DEFAULT = 0, /* as MLKV_JOURNAL */
    MLKV_JOURNAL = 1, /* in shared memory: survives the death of any process; a power cut takes at
                         most sync_interval_ms */
    MLKV_SYNC = 2,    /* the journal is on the disk; callers that wait together share one write */
    MLKV_STORE = 3, /* LMDB has committed it, with a full sync; callers that wait together share one
                       commit */
} mlkv_durability;

enum {
    MLKV_READ_ONLY =
        1u << 0, /* never writes; the folder may be one that this user cannot write to */
    MLKV_NO_CREATE = 1u << 1,   /* a folder without a store is MLKV_E_ABSENT_STORE */
    MLKV_ACCEPT_LOSS = 1u << 2, /* open although journal and LMDB do not belong together, giving up
                                   what only the journal held */
};

/* A program's own pool of threads: runs task(argument, i) for all i below n, in any order and by any
 * threads (its own thread alone will do), and returns when all have returned. It may be called by
 * several threads at once, is never called inside a task, nor by who holds the store's writer lock
 * (inside a transaction one thread does it all). It and the tasks do not jump out or fork; the
 * tasks do not wait for each other, take no lock that writers hold, and are not cancelled. */
typedef void (*mlkv_parallel)(void *context, void (*task)(void *argument, size_t i), void *argument,
                              size_t n);

/* Zero means the default, so `mlkv_options o = {sizeof o}` is all defaults. Unknown non-zero bytes
 * past a known size are refused. */
typedef struct {
    size_t size;        /* sizeof(mlkv_options) */
    uint32_t flags;     /* MLKV_READ_ONLY ... */
    int32_t durability; /* of every write through this handle; mlkv_durability */
    size_t cache_bytes; /* budget of the record cache; default 256 MiB, at most 1/8 of the machine's
                           or cgroup's memory */
    size_t ring_bytes;  /* size of the journal's ring, a power of two from 64 KiB to 64 GiB; default
                           256 MiB, 16 MiB in  memory. Taken by the opener who finds no other process
                           alive; others use what they find */
    size_t batch_bytes; /* pages that one LMDB transaction may touch, in bytes; default 256 MiB, at
                           least 1 MiB */
    uint32_t sync_interval_ms; /* the journal reaches the disk this often while a process lives;
                                  default 1000 */
    uint32_t lock_timeout_ms;  /* longest wait for another's transaction, or for one that writes to
                                  the disk for all and gives no sign of life; default 10000; then
                                  MLKV_E_BUSY, or MLKV_E_DURABILITY if the write is visible */
    size_t compress_threshold_bytes; /* values of this size or more are tried with zstd; default
                                        1024; SIZE_MAX never */
    int32_t compress_level;          /* zstd level -7..19; 0 means the default, 1 */
    uint32_t threads;       /* that encode and decode one large value or tensor at once, the caller
                         counted: 1 never another, at most 256; default the processors that the
                         process may use, at most 4. They start at the first work of 1 MiB, sleep
                         when there is none, and end with the last close */
    mlkv_parallel parallel; /* NULL, or the program's own threads, which then do it: `threads` of
                               them at once */
    void *parallel_context; /* passed to it */
} mlkv_options;

/* Opens the store in the folder `path`, creating folder (0700) and store as needed, and recovering
 * what a crash left. path == NULL is an in-memory store of this process and its forked children: a
 * folder in /dev/shm (or TMPDIR), removed at the last close by the process that made it. options ==
 * NULL means defaults. Opening the same folder again in one process shares the instance: the first
 * opener's cache_bytes, batch_bytes, sync_interval_ms, threads and parallel hold, durability and
 * flags are each handle's own. Cost: milliseconds; after a crash, the time to replay at most a ring. Returns
 * MLKV_OK; MLKV_E_ARGUMENT (options), MLKV_E_ABSENT_STORE, MLKV_E_PERMISSION, MLKV_E_IO,
 * MLKV_E_FULL, MLKV_E_MEMORY, MLKV_E_VERSION (of another format, or another protocol of the library:
 * the detail names both), MLKV_E_MISMATCH (journal and LMDB do not belong together: see
 * MLKV_ACCEPT_LOSS), MLKV_E_RECOVERY (read-only, and a crash left work),
 * MLKV_E_PLATFORM (another pid namespace or pthread ABI shares it), MLKV_E_BUSY, MLKV_E_CORRUPT. */
MLKV_API int mlkv_open(const char *path, const mlkv_options *options, mlkv **ret_db);

/* Ends a view of any kind. On a live view the last close of the process writes everything to LMDB
 * and marks the store clean if no other process has it open; a transaction is aborted; a snapshot
 * is released. NULL is accepted. Transactions, snapshots and cursors of a live view keep its
 * instance alive until they end. Errors are those of the final write; the handle is gone in any
 * case. */
MLKV_API int mlkv_close(mlkv *view);

/* Begins a write transaction: takes the store's writer lock, which every writer of every process
 * waits for, until mlkv_commit or mlkv_abort. Reads through it see its own writes; other views see
 * all of them at once after the commit, or none. A second one in the same thread, or a write
 * through another view of the same store by that thread, is MLKV_E_BUSY. Keep it short. Mirrors
 * MULTI, with reads in between as under WATCH, but never retried. Returns MLKV_OK, MLKV_E_READONLY,
 * MLKV_E_BUSY (timeout), MLKV_E_POISONED, MLKV_E_ARGUMENT, MLKV_E_MEMORY, MLKV_E_IO. */
MLKV_API int mlkv_begin(mlkv *db, mlkv **ret_transaction);

/* Makes the transaction's writes visible, all at once, with the durability of the live view it came
 * from. The handle is freed in any case. MLKV_E_DURABILITY: they are visible, but waiting for their
 * durability failed, or whoever writes to the disk for all gave no sign of life for lock_timeout_ms;
 * the detail says which. With any other error nothing was changed: MLKV_E_POISONED, MLKV_E_IO,
 * MLKV_E_FULL, MLKV_E_BUSY (others wrote to LMDB all the time, and the ring is full), MLKV_E_MEMORY.
 * MLKV_E_OWNER: called by another thread than began it, or in a forked child (then the handle is
 * kept, for its owner). */
MLKV_API int mlkv_commit(mlkv *transaction);

/* Gives the transaction up. Nothing was changed. Same ownership rules as mlkv_commit. NULL is
 * accepted. */
MLKV_API int mlkv_abort(mlkv *transaction);

/* A consistent view of everything acknowledged so far, that later writes do not change. Waits until
 * LMDB holds it (at most one commit), then reads take no lock at all. An old snapshot keeps LMDB
 * from reusing pages: end it with mlkv_close. Writes through it are MLKV_E_READONLY. Returns
 * MLKV_OK, MLKV_E_MEMORY, MLKV_E_IO, MLKV_E_FULL, MLKV_E_BUSY, MLKV_E_POISONED. */
MLKV_API int mlkv_snapshot(mlkv *db, mlkv **ret_snapshot);

/* Waits until everything that any process had acknowledged before the call is durable at this
 * level. MLKV_E_BUSY: whoever writes to the disk gave no sign of life for lock_timeout_ms. Mirrors
 * WAITAOF / BGSAVE. */
MLKV_API int mlkv_flush(mlkv *db, mlkv_durability level);

/* Copies everything that any process had acknowledged before the call to `path`, compacted: a store
 * of its own, which mlkv_open opens at once. Readers and writers of all processes go on meanwhile;
 * the copy is one state of the store, at the call or a little later: each write, and each
 * transaction, is in it whole or not at all. What a transaction that is still open wrote is not in
 * it. `path` is a folder that is not there (it is made, 0700) or is empty (it keeps its mode). When
 * the call returns the copy is on the disk. It is path/data.mdb (0600), which may be moved and copied
 * like any other file; the empty journal.lock beside it serves who opens it read-only. Until
 * data.mdb is whole it is named data.mdb.part, which a failed call removes (and the folder, if it
 * made it) and a crash leaves behind.
 *
 * To restore: open the copy, or put its data.mdb into an empty folder. Put into the old store's
 * folder beside a newer journal it is refused (MLKV_E_MISMATCH): delete the other files there first,
 * with the store closed everywhere, or open it with MLKV_ACCEPT_LOSS. The copy is the same store at
 * another time and not a new one: both may be in use, each in its folder.
 *
 * db: a live view, also of a store in memory. A read-only one cannot bring to LMDB what only the
 * journal holds: it waits for a writing process to do so, for lock_timeout_ms, else
 * MLKV_E_READONLY. Cost: applies what LMDB does not have yet, then reads and writes all live pages,
 * O(size of the store), with two buffers of 1 MiB. For as long it keeps LMDB from using pages again,
 * as a snapshot does: the original may grow by what is overwritten meanwhile. Any thread. A program
 * that limits the size of its files (RLIMIT_FSIZE) ignores SIGXFSZ. Returns MLKV_OK;
 * MLKV_E_ARGUMENT (db is no live view, path is not empty or not a folder), MLKV_E_PERMISSION,
 * MLKV_E_FULL, MLKV_E_IO, MLKV_E_CORRUPT (pages of the original), MLKV_E_READONLY, MLKV_E_BUSY,
 * MLKV_E_MEMORY, MLKV_E_POISONED (the rest could not be applied), MLKV_E_OWNER. Mirrors BGSAVE, but
 * waits for it. */
MLKV_API int mlkv_backup(mlkv *db, const char *path);

/* Gives disk space that the store does not need back to the file system, while readers and writers
 * of all processes go on. data.mdb never gets shorter; what is free in it becomes holes, which take
 * no room on the disk (du and mlkv_stats.store_disk_bytes show it, ls does not). First everything
 * acknowledged is brought to LMDB, and blobs that nobody refers to any more are deleted. Pages that a
 * snapshot, a cursor or a backup of any process still needs are left alone: call it again when that
 * has ended. Pages that hold records stay as they are, however few those are; mlkv_backup makes a
 * copy that is packed.
 *
 * It is seldom needed: the background thread of a process that can write gives back by itself what
 * is free beyond a quarter or so of the live data plus the size of the ring. What was given back is
 * asked for again when the store grows, so on a full disk a write fails that would have found room
 * (MLKV_E_FULL; nothing is lost).
 *
 * *ret_freed_bytes (may be NULL): what was given back. db: a live view that can write. Cost: the free
 * pages' list is read several times, and each run of free pages is one call of the system; in steps
 * of at most 20 ms or 64 MiB, between which writers have LMDB for themselves for as long. Any
 * thread. Killed at any moment it leaves a whole store. Returns MLKV_OK; MLKV_E_PLATFORM (the file
 * system cannot punch holes: no space was given back), MLKV_E_ARGUMENT (db is no live view),
 * MLKV_E_READONLY, MLKV_E_BUSY (others wrote to LMDB for all of lock_timeout_ms; what had been given
 * back by then stays so), MLKV_E_IO, MLKV_E_FULL, MLKV_E_CORRUPT, MLKV_E_MEMORY, MLKV_E_POISONED,
 * MLKV_E_OWNER. Mirrors BGREWRITEAOF in purpose. */
MLKV_API int mlkv_compact(mlkv *db, uint64_t *ret_freed_bytes);

/* What one process sees of its instance. Counters start at 0 when the process opens the store. Any
 * thread; cost O(1). */
typedef struct {
    size_t size;              /* in: sizeof(mlkv_stats); the library fills at most this much */
    uint64_t cache_hits;      /* record reads answered by the cache */
    uint64_t cache_misses;    /* record reads that went on to pending or LMDB */
    uint64_t pending_hits;    /* of the misses, those answered by the journal */
    uint64_t cache_bytes;     /* in use */
    uint64_t cache_bytes_max; /* the budget */
    uint64_t ring_bytes;      /* size of the ring */
    uint64_t ring_used_bytes; /* written and not yet in LMDB: the applier's lag */
    uint64_t tail;            /* journal positions: written, in LMDB, on the disk */
    uint64_t applied;
    uint64_t synced;
    uint64_t frames_appended;     /* by this process */
    uint64_t frames_caught_up;    /* read from others or from itself */
    uint64_t batches_applied;     /* LMDB transactions of the applier in this process */
    uint64_t records_applied;     /* records in them, after duplicates fell away */
    uint64_t throttled;           /* writes that were slowed because the ring was filling */
    uint64_t overtaken;           /* times that this process lagged by more than a ring */
    uint64_t oldest_snapshot_age; /* LMDB transactions since the oldest reader's snapshot, of any
                                     process */
    uint64_t readers;             /* reader slots in use, of any process */
    uint64_t store_bytes;         /* LMDB's file, pages in use */
    uint64_t keys;                /* keys in the store */
    uint64_t blobs_written;       /* immutable blobs that this process wrote */
    uint64_t store_disk_bytes;    /* what data.mdb takes on the disk; holes take nothing */
    uint64_t store_free_bytes; /* pages of it that hold nothing, holes or not; LMDB's list of them
                                     is counted in */
    uint64_t decoded_hits;   /* looks for a compressed tensor chunk, of which rows were read, among
                                those kept decoded */
    uint64_t decoded_misses; /* of those, that decoded it */
    uint64_t decoded_bytes; /* of cache_bytes, what is kept so: at most a sixteenth of the budget */
    uint64_t loans; /* tensors that this process has lent (mlkv_tensor_borrow); each keeps the pages
                                     that were in use when it began from being used again, as a snapshot does */
    uint64_t loan_bytes;     /* of their data */
    uint64_t oldest_loan_ms; /* age of the oldest; 0: none */
    uint64_t
        dictionary_bytes; /* memory of the dictionaries that this process has used, until it closes
                                     the store */
} mlkv_stats;

/* Fills *stats (its size set by the caller). MLKV_E_ARGUMENT if the size is not one that this
 * library knows. Mirrors INFO. */
MLKV_API int mlkv_stats_get(mlkv *db, mlkv_stats *stats);

typedef struct {
    size_t size;       /* in: sizeof(mlkv_report) */
    uint64_t records;  /* records looked at */
    uint64_t keys;     /* keys among them */
    uint64_t elements; /* hash fields, list elements, set members, tensor chunks */
    uint64_t blobs;    /* blobs, whose bytes were decoded and compared with their checksums */
    uint64_t bytes;    /* bytes read, keys and values as stored */
    uint64_t problems; /* 0: all is well */
    uint64_t
        unclaimed; /* elements of deleted keys and blobs that wait for the cleaner: no problem */
} mlkv_report;

/* Called for each problem with a sentence that names the record. A non-zero result ends the walk.
 */
typedef int (*mlkv_verify_callback)(void *context, const char *problem);

/* Walks every record and blob of a snapshot: classes, order, counts, references, checksums. Cost:
 * reads the whole store, takes no lock while others write. callback may be NULL. Returns MLKV_OK if
 * all is well, MLKV_E_CORRUPT if there were problems (the first is the error's detail, all go to
 * the callback), other errors as they come. */
MLKV_API int mlkv_verify(mlkv *db, mlkv_verify_callback callback, void *context,
                         mlkv_report *ret_report);

MLKV_END_DECLS

#endif
