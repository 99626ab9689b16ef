/* journal.h - the log that all processes of a store share: a ring in shared memory, a file that
 * makes it durable, and the locks.
 *
 * Files in the store's folder: journal.head (one page: positions, locks, identity; mapped),
 * journal.ring (mapped twice in a row, so that no frame wraps; never synced), journal.log (the same
 * size; receives [synced, tail) by synchronous writes; after a power cut it is what is left),
 * journal.lock (never read or written: OFD locks of the living). A position is the number of bytes
 * ever appended, a multiple of 8; its place is position % ring size.
 *
 * Invariants: I1 applied <= tail <= reserved, synced <= tail, reserved - applied <= ring size, all
 * only grow. I2 a frame is visible as a whole, by the store of tail. Locks: the writer lock guards
 * append; the sync lock guards journal.log; both robust, in journal.head.
 */
#ifndef MLKV_JOURNAL_JOURNAL_H
#define MLKV_JOURNAL_JOURNAL_H

#include "base/lock.h"

#include <mlkv/base.h>
#include <stdbool.h>

typedef struct journal journal;

/* --- files.c: opening, creating --- */

typedef struct {
    uint32_t
        version; /* the protocol; of the words below those of another one can be believed, too */
    unsigned char uuid[16];
    uint64_t generation;
    uint64_t base;    /* where this generation began */
    uint64_t tail;    /* as the header says: a hint only, after a crash */
    uint64_t applied; /* as the header says */
    uint64_t
        synced; /* the same: frames up to here were durable in journal.log when it was written */
    uint64_t ring_bytes;
} journal_header;

/* What the header file of a possibly dead journal says. MLKV_ABSENT: there is none, or it is none
 * of ours (the detail says which). MLKV_E_VERSION: of another protocol, and damaged; or a system's
 * error. */
int journal_read_header(const char *folder, journal_header *ret_header);
/* Beside others that are alive: 0 if a journal is there that speaks this protocol, or none is there;
 * MLKV_E_VERSION names both. */
int journal_check_version(const char *folder);
/* MLKV_E_VERSION for a journal of another protocol that was not closed, 0 for one of this. */
int journal_check_header(const journal_header *header);

/* Whether ring and log are there with the size they were made with, which no death and no power cut
 * changes. MLKV_E_MISMATCH names the one that somebody removed, cut or replaced. */
int journal_check_files(const char *folder, uint64_t ring_bytes);

/* Makes head, ring and log for a new generation (only alone in the store, I7): files written,
 * fsynced, renamed, folder fsynced. Ring and log of the same size are kept: old frames are refused
 * by their generation. All positions start at `base`. */
int journal_create(const char *folder, const unsigned char uuid[16], uint64_t generation,
                   uint64_t base, uint64_t next_id, size_t ring_bytes);

/* Maps the journal of the folder. MLKV_E_MISMATCH (not this uuid), MLKV_E_PLATFORM (pid namespace,
 * sizeof pthread_mutex_t, page size differ), MLKV_E_CORRUPT, MLKV_ABSENT (no file). read_only maps
 * PROT_READ and can take no lock. */
int journal_open(const char *folder, const unsigned char uuid[16], bool read_only,
                 journal **ret_journal);
void journal_close(journal *self);   /* NULL accepted */
void journal_abandon(journal *self); /* in a forked child: unmaps, closes its descriptors */

/* Makes the ring's pages behind `position` present for writing, without changing a byte: a put to a
 * page not touched before faults (1-2 us). For a background thread that keeps some MiB ahead of
 * tail through the first lap. Best effort. */
void journal_prefault(journal *self, uint64_t position, size_t size);

size_t journal_ring_bytes(const journal *self);
uint64_t journal_generation(const journal *self);
/* True once journal_create makes a newer generation in this one's place: it marks the old head just
 * before the rename, and raises its `reserved` above everything, so that a read-only process finds
 * every ring byte overtaken (all of them are in LMDB by then) and opens the new one. */
bool journal_retired(const journal *self);
/* The same, or about to be: its `reserved` tells already. Looks at a word that writers change. */
bool journal_retiring(const journal *self);

/* --- positions (acquire loads; raises are monotonic) --- */
uint64_t journal_tail(const journal *self);
uint64_t journal_reserved(const journal *self);
uint64_t journal_applied(const journal *self);
uint64_t journal_synced(const journal *self);
void journal_raise_applied(journal *self, uint64_t position); /* never above tail */

/* Life ids: unique for ever, taken by whoever creates a key. Each frame carries the counter, so
 * recovery never gives one twice. */
uint64_t journal_take_ids(journal *self, uint64_t n); /* the first of n */
uint64_t journal_next_id(const journal *self);

/* --- clock.c: wall time that does not go back for what expired (R11) --- */
/* The latest time, in ms since 1970, at which somebody found something expired; 0: none. It outlives
 * the death of all processes, and journal_create carries it over. */
int64_t journal_clock(const journal *self);
void journal_raise_clock(journal *self, int64_t now_ms);
/* Takes it back from `seen` to now_ms, once nothing is left that was due by then. */
void journal_lower_clock(journal *self, int64_t seen, int64_t now_ms);
/* When something expires next, at the earliest (0: not known, look now), and how often that was
 * noted. Hints; changed under the writer lock, but for journal_expiry_note_due. */
int64_t journal_expiry_due(const journal *self);
uint64_t journal_expiry_notes(const journal *self);
void journal_expiry_note(journal *self,
                         int64_t at_ms); /* a record that expires then is being put */
void journal_expiry_note_due(journal *self, int64_t at_ms); /* lowers it, without a note */
void journal_expiry_set_due(journal *self, int64_t at_ms);

/* --- the writer lock (R10: an epoch for each taking) --- */
/* LOCK_TAKEN, LOCK_OWNER_DIED (the caller repairs: engine), MLKV_E_BUSY, MLKV_E_POISONED (stopped).
 */
int journal_lock(journal *self, uint32_t timeout_ms);
void journal_unlock(journal *self);
uint64_t journal_epoch(const journal *self); /* of the current or last taking */
/* Taken around every write transaction of LMDB: LMDB's own lock can only be waited for without limit,
 * this one in limits (engine_store_begin). */
shared_lock *journal_applier_lock(journal *self);

/* Stops all writing until the store is recovered anew: a failed sync or commit left the truth
 * unknown. reason is kept in the header (127 bytes). */
void journal_poison(journal *self, const char *reason);
/* 0 or MLKV_E_POISONED with the reason as detail. */
int journal_check(const journal *self);

/* --- append.c (under the writer lock) --- */

/* Sizes: a frame is FRAME_HEADER_SIZE, then for each record a header of 8 bytes (u16 key size, u16
 * flags, u32 value size), key, value, padded with zeros to 8. */
enum {
    FRAME_HEADER_SIZE = 64,
    FRAME_RECORD_HEADER_SIZE = 8,
    FRAME_DELETE = 1,
    FRAME_BATCH = 0,
    FRAME_MARKER = 1
};

/* Bytes that a record takes in a frame. */
static inline size_t frame_record_size(size_t key_size, size_t value_size)
{
    return (FRAME_RECORD_HEADER_SIZE + key_size + value_size + 7) & ~(size_t)7;
}

/* Largest frame that this ring takes: a quarter of it. */
size_t journal_frame_size_max(const journal *self);
/* True if a frame of this size can be appended now (reserved - applied would stay within the ring).
 */
bool journal_has_room(const journal *self, size_t frame_size);

/* One part of a frame's payload: whole encoded records, total size a multiple of 8. */
/* Appends and makes visible. The room is there and cannot fail (the caller checked
 * journal_has_room). Order: reserved by exchange (R4), bytes, checksum, chain slot, tail. Returns
 * the frame's end, the new tail. */
uint64_t journal_append(journal *self, uint32_t kind, uint32_t record_count, mlkv_slice payload);

/* After LOCK_OWNER_DIED: what the dead owner wrote above tail is given up; `lmdb_applied` above
 * tail means that it died between a direct commit and its marker: appends that marker (size
 * FRAME_HEADER_SIZE, so it ends exactly at lmdb_applied; anything else is MLKV_E_CORRUPT). The
 * caller has synced LMDB (R7): applied is raised to the old tail for it. Until this has succeeded
 * once, every journal_lock says LOCK_OWNER_DIED. */
int journal_take_over(journal *self, uint64_t lmdb_applied);

/* --- reading the ring --- */

/* Copies ring bytes [position, position + size) as relaxed words, then rechecks `reserved`: 0, or
 * MLKV_ABSENT if they may have been overwritten (R4). position a multiple of 8, size <= ring bytes.
 */
int journal_copy(const journal *self, uint64_t position, size_t size, void *to);
/* Touches the cache lines where the record at `position` begins. */
void journal_prefetch(const journal *self, uint64_t position);

/* One frame at `position` (below tail), copied whole into *buffer and validated. 0, MLKV_ABSENT
 * (overtaken), MLKV_E_CORRUPT. */
typedef struct {
    uint32_t kind;
    uint32_t record_count;
    uint64_t position, end;
    uint64_t checksum;            /* the successor's chain */
    uint64_t next_id;             /* the life id counter when it was appended */
    const unsigned char *payload; /* in the buffer */
    size_t payload_size;
} journal_frame;
int journal_read_frame(const journal *self, uint64_t position, uint64_t limit, mlkv_buffer *buffer,
                       journal_frame *ret_frame);

/* The same without a copy, for the applier, whose frames cannot be overwritten while it holds
 * LMDB's lock. */
int journal_borrow_frame(const journal *self, uint64_t position, uint64_t limit,
                         journal_frame *ret_frame);

/* Walks the records of a payload. Start with *offset = 0; 0, MLKV_ABSENT at the end,
 * MLKV_E_CORRUPT. */
typedef struct {
    mlkv_slice key, value;
    bool is_delete;
    uint64_t position; /* of the record's header in the journal */
} journal_record;
int journal_next_record(const journal_frame *frame, size_t *offset, journal_record *ret_record);

/* The record at a position noted before (pending): compares its key and copies its value. 0 found;
 * 1 (MLKV_ABSENT) overwritten by now; 2 another key stands there; 3 found, and it is a delete;
 * negative: an error. */
enum { JOURNAL_FOUND = 0, JOURNAL_LOST = 1, JOURNAL_OTHER = 2, JOURNAL_DELETED = 3 };
int journal_get_record(const journal *self, uint64_t position, mlkv_slice key,
                       mlkv_buffer *ret_value);
/* The key of the record at a position, for ordered indexes; 0 or JOURNAL_LOST; *ret_deleted may be
 * NULL. */
int journal_get_record_key(const journal *self, uint64_t position, unsigned char ret_key[511],
                           size_t *ret_size, bool *ret_deleted);

/* --- sync.c --- */
/* Returns when synced >= position. Waiters share one write. Any thread, without the writer lock. A
 * failed write poisons the journal: MLKV_E_POISONED, MLKV_E_FULL, MLKV_E_IO. MLKV_E_BUSY: whoever
 * writes gave no sign of life for timeout_ms (a stopped process); what is waited for may still become
 * durable. */
int journal_sync(journal *self, uint64_t position, uint32_t timeout_ms);
/* False on tmpfs, where sync has no meaning and means `store`. */
bool journal_sync_is_durable(const journal *self);

/* --- watch.c: waiting for a change --- */
enum { JOURNAL_WATCH_MAX_MS = 3000 }; /* a wait ends after so long, to be begun again */
/* Says that somebody waits for a change of records with these hashes, for the next JOURNAL_WATCH_MAX_MS;
 * any: for any change at all. What changes after this ends journal_watch_wait. Returns the round. A
 * read-only journal cannot say so: it has to look again and again. */
uint32_t journal_watch_begin(journal *self, const uint64_t *hashes, size_t n, bool any);
/* Sleeps until something waited for may have changed since journal_watch_begin, or timeout_ms, at most
 * JOURNAL_WATCH_MAX_MS, have passed. */
void journal_watch_wait(journal *self, uint32_t round, const uint64_t *hashes, size_t n, bool any,
                        uint32_t timeout_ms);
/* After a frame became visible: whether anybody waits at all. */
bool journal_watched(const journal *self);
/* Wakes those who wait for one of these, or, with hashes NULL, everybody. */
void journal_watch_notify(journal *self, const uint64_t *hashes, size_t n);

/* --- scan.c: recovery (alone in the store) --- */
typedef struct journal_scan journal_scan;
/* Opens ring and log of a dead journal and scans each from `from` while position, generation, chain
 * and checksum hold (R6; the first frame must carry from_chain, if that is not 0). The log is
 * believed as far as it goes, and the ring if its chain is the longer one and comes by the end of the
 * log's. ret_tail is the end. Frames are then read with journal_scan_frame. */
int journal_scan_open(const char *folder, uint64_t generation, uint64_t from, uint64_t from_chain,
                      journal_scan **ret_scan, uint64_t *ret_tail, uint64_t *ret_next_id);
int journal_scan_frame(journal_scan *self, uint64_t position, journal_frame *ret_frame);
void journal_scan_close(journal_scan *self);

/* --- liveness.c: who is alive (R9) --- */
typedef struct liveness liveness;
/* Opens journal.lock (made if needed unless read_only) and takes a shared lock as one of the
 * living. *ret_alone: no other process had it, and this one holds it exclusively until
 * liveness_share. Waits up to timeout_ms while another opener is alone in it. O_CLOEXEC, OFD.
 * read_only: takes no lock; *ret_alone says that no writing process lives; MLKV_E_ABSENT_STORE if
 * there is no journal.lock. */
int liveness_enter(const char *folder, bool read_only, uint32_t timeout_ms, liveness **ret_liveness,
                   bool *ret_alone);
/* Makes an empty journal.lock, if there is none, and locks nothing: a store that is data.mdb alone
 * can be opened read-only then. */
int liveness_make(const char *folder);
/* Exclusive becomes shared. */
int liveness_share(liveness *self);
/* Tries shared -> exclusive: 0 if no other process is alive, MLKV_ABSENT if some is. For the last
 * close. */
int liveness_try_alone(liveness *self);
/* The second try of who leaves: gives the shared lock up, then asks for the exclusive one. 0: alone,
 * but others may have come and gone in between; MLKV_ABSENT: not alone, and holds nothing now. */
int liveness_resign(liveness *self);
/* This opener's session number (random, > 0), whose lock it holds until it ends. */
uint64_t liveness_session(const liveness *self);
/* Whether that session still lives, in any process. Own session: true. */
bool liveness_session_alive(liveness *self, uint64_t session);
/* The gate in front of LMDB's table of readers, for all processes and threads, read-only ones
 * included. 0 or MLKV_E_BUSY. */
int liveness_gate_enter(liveness *self, uint32_t timeout_ms);
void liveness_gate_leave(liveness *self);
void liveness_leave(liveness *self);
/* In a forked child: closes the descriptor (OFD locks stay with the parent). */
void liveness_abandon(liveness *self);

#endif
