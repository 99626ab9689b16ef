/* string.h - one value under a key.
 *
 * A value is any bytes, also none, up to what the store's file can hold. Values of
 * compress_threshold_bytes or more are tried with zstd; large ones (from 512 KiB, less if the ring
 * is small) are written to LMDB in pieces before the call makes them visible, so that nobody waits
 * for them.
 *
 * Every call takes any view: live, transaction, snapshot (writes: not a snapshot). Threads: see
 * db.h; buffers and rows are the caller's, one thread at a time. Each call is one atomic operation,
 * also those with many keys. Every call that is given a view may return, besides what stands at its
 * declaration:
 *   MLKV_E_ARGUMENT  a pointer is NULL, a slice claims bytes at NULL; the detail names it
 *   MLKV_E_SIZE      a key of more than 16 MiB
 *   MLKV_E_OWNER     the view is a transaction of another thread, or is over, or crossed a fork
 *   MLKV_E_MEMORY, MLKV_E_IO, MLKV_E_CORRUPT
 * and those that write also
 *   MLKV_E_READONLY  a snapshot or a read-only opening
 *   MLKV_E_BUSY      the writer lock was not to be had within lock_timeout_ms, or this thread holds a
 *                    transaction of the store
 *   MLKV_E_FULL      the disk is full
 *   MLKV_E_POISONED  an earlier failure of the disk stopped all writing
 * A failed call has changed nothing, neither in the store nor in its outputs (rows become empty);
 * the one exception are MLKV_E_IO, MLKV_E_FULL, MLKV_E_POISONED and MLKV_E_BUSY under durability
 * `sync` or `store`, which may come after the write became visible; the error's detail says so then.
 */
#ifndef MLKV_STRING_H
#define MLKV_STRING_H

#include <mlkv/base.h>

MLKV_BEGIN_DECLS

/* When mlkv_string_set sets. */
typedef enum {
    MLKV_SET_ALWAYS = 0,
    MLKV_SET_IF_ABSENT = 1,  /* SET NX: MLKV_ABSENT and no change if the key exists */
    MLKV_SET_IF_PRESENT = 2, /* SET XX: MLKV_ABSENT and no change if the key does not exist */
} mlkv_set_condition;

/* Sets the key to the value, whatever it held before, of any type; an expiry ends. The value is
 * copied. Cost: one record read and one written (two if the key is new); O(value). Replacing a
 * large hash is O(1), too. Returns MLKV_OK; MLKV_ABSENT if the condition did not hold (a key of any
 * type counts as existing); MLKV_E_ARGUMENT also for an unknown condition. Mirrors SET, SET NX, SET
 * XX. Since 0.1. */
MLKV_API int mlkv_string_set(mlkv *view, mlkv_slice key, mlkv_slice value,
                             mlkv_set_condition condition);

/* Replaces the content of *ret_value by the value. The buffer is the caller's (start it as {0},
 * free it with mlkv_buffer_free, use it again for the next get); it keeps its old content if the
 * result is not MLKV_OK. The key must not stand in the buffer's own memory. Cost: one record read;
 * O(value), and reading its pieces from LMDB if it is large. Returns MLKV_OK; MLKV_ABSENT: no such
 * key; MLKV_E_TYPE: not a string. Mirrors GET. Since 0.1. */
MLKV_API int mlkv_string_get(mlkv *view, mlkv_slice key, mlkv_buffer *ret_value);

/* Size of the value in bytes; 0 for a missing key. Cost: one record read, the value is not decoded.
 * Returns MLKV_OK; MLKV_E_TYPE: not a string. Mirrors STRLEN. Since 0.1. */
MLKV_API int mlkv_string_length(mlkv *view, mlkv_slice key, uint64_t *ret_length);

/* Adds delta to the decimal number in the value and stores the sum as text; a missing key counts as
 * 0 and is created. An expiry stays. ret_value may be NULL. A number is what this function writes:
 * no blanks, no plus, no leading zeros, no "-0". Cost: one record read and one written. Returns
 * MLKV_OK; MLKV_E_TYPE: not a string; MLKV_E_NUMBER: the value is no such number; MLKV_E_RANGE: it
 * or the sum does not fit 64 bits. Mirrors INCRBY, DECRBY (a negative delta), INCR, DECR. Since
 * 0.1. */
MLKV_API int mlkv_string_add(mlkv *view, mlkv_slice key, int64_t delta, int64_t *ret_value);

/* The values of n keys as of one moment: ret_values->items[i] belongs to keys[i]; an item of a key
 * that is missing or no string is absent (data == NULL). The rows are the caller's (start them as
 * {0}); items live until they are filled again or freed. Cost: n record reads, with their cache
 * misses overlapped. n may be 0. Returns MLKV_OK. Mirrors MGET. Since 0.1. */
MLKV_API int mlkv_string_get_many(mlkv *view, const mlkv_slice *keys, size_t n,
                                  mlkv_rows *ret_values);

/* Sets n keys (pairs[i].name) to their values, all at once, whatever they held before. Of a key
 * named twice the last value stays. Cost: as n times mlkv_string_set, but one lock and one frame. n
 * == 0 does nothing. Returns MLKV_OK. Mirrors MSET. Since 0.1. */
MLKV_API int mlkv_string_set_many(mlkv *view, const mlkv_pair *pairs, size_t n);

MLKV_END_DECLS

#endif
