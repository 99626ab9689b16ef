/* op.h - the narrow waist: all that a typed operation may do. types/ knows this header, base/ and
 * codec/, and nothing below.
 *
 * An operation is a rule: a function that reads records, decides, and (in a write) puts and deletes
 * records. view/ runs it against the view it was given: live (with the writer lock held for a
 * write; again and again until it saw one state, for a read), a transaction (its own writes
 * included), a snapshot. A rule may therefore run several times: it begins by resetting what it
 * fills. A rule that returns a negative result has changed nothing; 0 and MLKV_ABSENT commit what
 * it put. An op belongs to one thread and lives for one run of the rule. Slices from op_borrow live
 * until the next op_ call.
 */
#ifndef MLKV_VIEW_OP_H
#define MLKV_VIEW_OP_H

#include "codec/cell.h"

#include <mlkv/base.h>
#include <mlkv/error.h>
#include <stdbool.h>

typedef struct op op;
typedef int (*op_rule)(op *o, void *context);

/* Run a rule. They check the view (owner, fork, poison), clear the error detail, disable
 * cancellation. op_write on a snapshot or read-only handle: MLKV_E_READONLY. */
int op_read(mlkv *view, op_rule rule, void *context);
int op_write(mlkv *view, op_rule rule, void *context);

/* Neither a transaction nor a snapshot: one in which others' writes are seen. */
bool op_is_live(const mlkv *view);

/* Runs several operations as one: in a transaction of their own, committed if the result is 0 or MLKV_ABSENT and aborted if it is
 * negative; if the view is a transaction, in that one, so at most the last of them may write. */
int op_transact(mlkv *view, int (*run)(mlkv *inside, void *context), void *context);

/* --- reading records --- */
/* Copies the value into *ret_value (an internal buffer or the caller's). 0, MLKV_ABSENT, negative.
 */
int op_get(op *o, mlkv_slice record_key, mlkv_buffer *ret_value);
/* The same into a scratch of the op. */
int op_borrow(op *o, mlkv_slice record_key, mlkv_slice *ret_value);
/* Hints that these records will be read soon. */
void op_prefetch(op *o, mlkv_slice record_key);

/* --- writing records (op_write only) --- */
int op_put(op *o, mlkv_slice record_key, mlkv_slice value);
/* value in two parts, joined */
int op_put_parts(op *o, mlkv_slice record_key, mlkv_slice head, mlkv_slice body);
/* A value of `size` bytes, to be filled by the caller before the next op_ call. */
int op_put_reserve(op *o, mlkv_slice record_key, size_t size, void **ret_bytes);
int op_delete(op *o, mlkv_slice record_key);
/* An id for a new life of a key. */
int op_take_id(op *o, uint64_t *ret_id);
/* The session of this process, which ends with it at the latest, and whether one has not ended. */
uint64_t op_session(op *o);
bool op_session_lives(op *o, uint64_t session);

/* Wall clock in ms, one value for the whole operation (R11), frozen in a snapshot. It does not go
 * back behind what was said to be expired (op_saw_expired), even if the machine's does. */
int64_t op_now_ms(const op *o);
/* The operation answers that something which expires at this time is not there any more. */
void op_saw_expired(op *o, int64_t expiry_ms);
/* The operation puts a record that says that something expires at this time. */
void op_note_expiry(op *o, int64_t expiry_ms);

/* When to look for what has expired; for the cleaner (types/expiry.c). */
typedef struct {
    int64_t now_ms; /* as of this store */
    int64_t due_ms; /* nothing expires earlier; INT64_MAX: nothing at all */
    int64_t
        behind_ms; /* by how much the machine's clock was set back; time stands still until all is removed */
} expiry_times;
int op_expiry_times(mlkv *view, expiry_times *ret_times);
/* A look at all that is due begins: if it does not come to an end (a death), the next one begins `again_ms` later. Returns a
 * ticket. */
int op_expiry_begin(op *o, int64_t again_ms, uint64_t *ret_ticket);
/* It has ended: nothing expires before due_ms but what was put since. Lets the clock go back if it was set back. */
int op_expiry_end(op *o, uint64_t ticket, int64_t due_ms, const expiry_times *times);

/* --- values of any size --- */
/* A value made ready outside every lock: compressed, or, if it is large, written to LMDB as a blob
 * under an id nobody knows yet. */
typedef struct {
    mlkv_buffer cell; /* what goes into the record */
    cell_blob blob;   /* blob.id != 0: it is one */
    bool adopted;     /* a committed operation refers to it */
    bool in_rule;     /* view's own: adopted in the current run */
} op_value;
/* Start *value as {0}. raw is read only during the call. MLKV_E_MEMORY, MLKV_E_FULL, MLKV_E_IO,
 * MLKV_E_READONLY. */
int op_value_prepare(mlkv *view, mlkv_slice raw, op_value *value);
/* The same for n values at once, which share LMDB commits; form: what numbers they are, {0} if none. as_blobs: each
 * becomes a blob whatever its size (but not an empty one), for data of which the sum is large. */
int op_values_prepare(mlkv *view, planes_form form, const mlkv_slice *raws, size_t n, bool as_blobs,
                      op_value *values);
/* In the rule: says that a record put by it refers to the value: counts the reference. Once for
 * each record that does. */
int op_value_adopt(op *o, op_value *value);
/* After op_write: frees; a blob that no committed operation adopted is deleted. */
void op_value_done(mlkv *view, op_value *value);

/* Drops what a cell refers to, when the record that held it is replaced or deleted (a blob's
 * reference; others hold nothing). */
int op_cell_release(op *o, mlkv_slice cell);
/* One more reference, when another record gets a copy of the cell. */
int op_cell_retain(op *o, mlkv_slice cell);
/* Decodes a cell of any kind to the end of *out; blobs are read from LMDB. If a blob is missing
 * because it was replaced meanwhile, the op is run again. */
int op_cell_append(op *o, mlkv_slice cell, mlkv_buffer *out);
/* Raw bytes [offset, offset + size) of a cell's value into `to`. MLKV_E_RANGE outside. Reads only
 * the pieces concerned. */
int op_cell_read(op *o, mlkv_slice cell, uint64_t offset, size_t size, void *to);
/* n parts of a blob's value, which are best in the order of their offsets: of a piece that is stored raw only the parts are copied, and the
 * store's seal, which a process looks at once, is its only check; any other is decoded once for all parts that follow each other in it. */
int op_cell_read_parts(op *o, mlkv_slice cell, const blob_part *parts, size_t n);

/* n values made ready as op_values_prepare does, as blobs, raw, and so that op_lend can lend them. raws are not empty. */
int op_values_prepare_paged(mlkv *view, const mlkv_slice *raws, size_t n, op_value *values);
/* Bytes of a page, of which what is lent one behind another must be multiples, the last one excepted. */
size_t op_page_bytes(void);

/* Memory that shows blobs where they stand in the store. */
typedef struct op_loan op_loan;
/* In a reading rule: takes hold of the blobs that cells (CELL_BLOB_SIZE bytes each, one behind
 * another) refer to. *loan starts NULL; what an earlier run left there ends. After a failure too it
 * is to be ended by op_loan_end. MLKV_E_PLATFORM: they are not as op_values_prepare_paged makes
 * them. */
int op_lend(op *o, mlkv_slice cells, op_loan **loan);
/* After the rule: maps them one behind another, is_private: to be written to, which changes nothing
 * of the store. From here on the loan keeps the store open, whatever handles are closed.
 * *ret_memory: NULL if there was no cell. MLKV_E_MEMORY, MLKV_E_PLATFORM, MLKV_E_IO. */
int op_loan_map(op_loan *loan, bool is_private, void **ret_memory);
/* Any thread, in a forked child too. NULL accepted. Results are those of mlkv_close, if this was the store's last user. */
int op_loan_end(op_loan *loan);

/* With what values of this key are coded, outside an op: NULL: with no dictionary, or the view cannot write. Two loads
 * if the store has none. It lives as long as the store is open. */
const dictionary_coder *op_dictionary(mlkv *view, mlkv_slice key);
/* Appends the cell of a small value of this key, in a rule: with its dictionary, compressed, or as it is. MLKV_E_MEMORY. */
int op_cell_encode(op *o, mlkv_slice key, mlkv_slice raw, mlkv_buffer *out);

/* How values are encoded in this store (threshold, level). */
const cell_options *op_cell_options(const op *o);
/* Raw size from which op_value_prepare writes a blob. */
size_t op_blob_threshold(const op *o);

/* --- work shared by the store's threads --- */
typedef int (*op_task)(void *context, size_t i); /* 0 or negative, with a detail */
/* Runs task(context, i) for all i below n, by this thread and those of the store's pool, if `bytes` (what is read and written in all) is
 * worth it; outside an op or in one. Tasks belong to no op: of what is here they call op_cell_read_task alone. Of those that fail the one
 * with the lowest i says the result and the detail. No lock is held while a task runs, but perhaps the writer lock of this thread. */
int op_share(mlkv *view, uint64_t bytes, op_task task, void *context, size_t n);
/* The same in a rule whose tasks call op_cell_read_task. */
int op_share_reads(op *o, uint64_t bytes, op_task task, void *context, size_t n);
/* op_cell_read for tasks. What it returns is what the task returns. */
int op_cell_read_task(const op *o, mlkv_slice cell, uint64_t offset, size_t size, void *to);
/* Parts of a cell's value, for less than all of it costs. For tasks, too; MLKV_ABSENT: this cell's parts are not to be had so. */
int op_cell_parts_task(const op *o, mlkv_slice cell, const blob_part *parts, size_t n);
/* What a result of these two means outside a task. */
int op_judge(op *o, int result);

/* Decoded bytes that the process keeps for some time, of a chunk of a life, told by their checksum (which is what makes a stale one
 * impossible) and size, not 0. For rules and tasks. The three are kept_get, kept_make and kept_end of cache/kept.h. */
typedef struct kept_bytes kept_bytes;
typedef struct {
    uint64_t life, chunk, checksum;
    size_t size;
} op_kept_key;
const void *op_kept_get(const op *o, const op_kept_key *key, kept_bytes **ret_kept,
                        bool *ret_again);
void *op_kept_make(const op *o, const op_kept_key *key, kept_bytes **ret_kept);
void op_kept_end(const op *o, kept_bytes *entry, bool good);

/* --- ordered scans --- */
typedef struct scan scan;
/* All records whose key starts with prefix and is > after (after.size == 0: from the start;
 * otherwise a record key), in order, as of one moment. No lock is held between calls. In a
 * transaction: its own writes included, as of the opening. */
int op_scan_open(op *o, mlkv_slice prefix, mlkv_slice after, scan **ret_scan);
/* The same for cursors, outside an op. */
int scan_open(mlkv *view, mlkv_slice prefix, mlkv_slice after, scan **ret_scan);
/* 0, MLKV_ABSENT at the end. Slices live until the next call on the scan. */
int scan_next(scan *self, mlkv_slice *ret_key, mlkv_slice *ret_value);
/* Goes to the first record from this key on, back or forth within what it was opened for; scan_next gives it. What was returned before
 * is gone. O(log store), no lock. */
int scan_seek(scan *self, mlkv_slice record_key);
/* Decodes a cell that the scan returned, from the scan's own snapshot. */
int scan_cell_append(scan *self, mlkv_slice cell, mlkv_buffer *out);
void scan_close(scan *self);

/* --- the order of many records: how many stand before one, which ones stand at a number --- */
typedef struct ranking ranking;
/* All record keys that start with prefix, which is a class and an id (9 bytes); about `count` of them. passing: most of them
 * will be looked at once, in order, so that nothing is worth building. Answers are as of the op's state without the records
 * that this op itself has put (those of its transaction's earlier ops count). To be closed before the rule ends. */
int op_ranking_open(op *o, mlkv_slice prefix, uint64_t count, bool passing, ranking **ret_ranking);
/* How many of them are < key. O(log count), or O(count) if no counted tree can be had. */
int ranking_rank(ranking *self, mlkv_slice key, uint64_t *ret_rank);
/* Keys number first, first + 1 ... in their order, at most n: appends size (2, LE) and bytes of each to *keys. *ret_count: how
 * many there were; fewer than n only at the end. O(log count + n); forward selections one after another never cost more than
 * one pass in all. */
int ranking_select(ranking *self, uint64_t first, size_t n, mlkv_buffer *keys, size_t *ret_count);
/* Many selections will follow, forward from number `first` on: they are one scan from there, so that none of them finds the state
 * moved, and no lock is needed however long they take. */
int ranking_pass(ranking *self, uint64_t first);
void ranking_close(ranking *self);

/* --- a damaged store (types/salvage.c) --- */
typedef struct salvage_site salvage_site; /* where a new store is built */
typedef struct {
    /* A sentence; loss: about something that is lost. Non-zero ends the salvage: MLKV_ABSENT. */
    int (*tell)(void *context, bool loss, const char *sentence);
    void *context;
    /* filled in: */
    uint64_t pages, pages_damaged, records, records_lost, records_uncertain, frames;
} salvage_records;
/* Puts the records that are left of `damaged` into a new store, which is built aside and opened for the caller alone: its cleaner
 * does nothing. Its records may not fit each other: that is for the caller to mend. Results as of mlkv_salvage. */
int op_salvage_begin(const char *damaged, const char *path, salvage_records *records,
                     salvage_site **ret_site, mlkv **ret_db);
/* Closes the store and, if result is 0, puts it in its place; else removes all of it. Returns result or what failed. */
int op_salvage_end(salvage_site *site, mlkv *db, int result);

/* --- waiting for changes (watch.c) --- */
/* By what changes of a record are waited for. Records of one life (E, L, O, T) have one hash, that of a prefix
 * of class and id. */
uint64_t op_watch_hash(mlkv_slice record_key);
/* Says that changes of records with these hashes (any: of any record) are waited for. Then look; then
 * op_watch_wait, which returns at once if
 * something was written since. */
int op_watch_begin(mlkv *view, const uint64_t *hashes, size_t n, bool any, uint32_t *ret_round);
/* Returns when something may have changed, or after timeout_ms, or after some seconds anyway: begin again then. */
int op_watch_wait(mlkv *view, uint32_t round, const uint64_t *hashes, size_t n, bool any,
                  uint32_t timeout_ms);
/* Whether the view can wait at all: a live one. */
bool op_watch_possible(const mlkv *view);
/* Where the journal stands; what is written later is found by op_watch_changes. */
int op_watch_position(mlkv *view, uint64_t *ret_position);
/* Visits the keys of the records written since, and moves the position; what the visitor says other than 0 ends
 * it. MLKV_ABSENT: that is not known
 * any more. */
int op_watch_changes(mlkv *view, uint64_t *position,
                     int (*visit)(void *context, mlkv_slice record_key), void *context);

/* --- upcalls: what view needs of types, registered at load by types/ so that view does not depend
 * on it --- */
typedef struct {
    /* One step of the cleaner: reclaims some elements of some deleted life. 0: did something;
     * MLKV_ABSENT: nothing to do; negative: error. */
    int (*clean)(mlkv *view);
} op_upcalls;
void op_register(const op_upcalls *upcalls);

#endif
