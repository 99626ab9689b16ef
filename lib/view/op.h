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

/* Wall clock in ms, one value for the whole operation (R11), frozen in a snapshot. */
int64_t op_now_ms(const op *o);

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
/* The same for n values at once, which share LMDB commits. as_blobs: each becomes a blob whatever
 * its size (but not an empty one), for data of which the sum is large. */
int op_values_prepare(mlkv *view, const mlkv_slice *raws, size_t n, bool as_blobs,
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

/* How values are encoded in this store (threshold, level). */
const cell_options *op_cell_options(const op *o);
/* Raw size from which op_value_prepare writes a blob. */
size_t op_blob_threshold(const op *o);

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
/* Decodes a cell that the scan returned, from the scan's own snapshot. */
int scan_cell_append(scan *self, mlkv_slice cell, mlkv_buffer *out);
void scan_close(scan *self);

/* --- upcalls: what view needs of types, registered at load by types/ so that view does not depend
 * on it --- */
typedef struct {
    /* One step of the cleaner: reclaims some elements of some deleted life. 0: did something;
     * MLKV_ABSENT: nothing to do; negative: error. */
    int (*clean)(mlkv *view);
} op_upcalls;
void op_register(const op_upcalls *upcalls);

#endif
