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
 *   MLKV_E_BUSY      a process was stopped in LMDB's table of readers, and this thread needs a slot
 *   MLKV_E_RECOVERY  a read-only opening, and a writer died between two steps: open it for writing
 * and those that write also
 *   MLKV_E_READONLY  a snapshot or a read-only opening
 *   MLKV_E_BUSY      the writer lock was not to be had within lock_timeout_ms, or this thread holds a
 *                    transaction of the store
 *   MLKV_E_FULL      the disk is full
 *   MLKV_E_POISONED  an earlier failure of the disk stopped all writing
 *   MLKV_E_DURABILITY  the write is visible, and whether it is durable is not known: waiting for that
 *                    failed or took lock_timeout_ms (durability `sync` or `store`; the detail says why)
 * A failed call has changed nothing, neither in the store nor in its outputs (rows become empty),
 * but for MLKV_E_DURABILITY: the store has changed then, and the outputs have not.
 */
#ifndef MLKV_STRING_H
#define MLKV_STRING_H

#include <mlkv/base.h>
#include <mlkv/key.h>

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

/* The same with all that SET can do. expiry: what the key's expiry becomes. If ret_old is not NULL and
 * the key holds a string, its value replaces the content of *ret_old, also when the condition does
 * not hold; *ret_existed (may be NULL if ret_old is) becomes 1 then, and 0 if there was no such key.
 * With ret_old a key of another type is MLKV_E_TYPE. Returns MLKV_OK; MLKV_ABSENT if the condition
 * did not hold; MLKV_E_RANGE: the expiry is out of range; MLKV_E_ARGUMENT also for an unknown
 * condition or kind of expiry. Mirrors SET with NX XX GET EX PX EXAT PXAT KEEPTTL, SETEX, PSETEX,
 * GETSET. Since 0.1. */
MLKV_API int mlkv_string_set_with(mlkv *view, mlkv_slice key, mlkv_slice value,
                                  mlkv_set_condition condition, mlkv_expiry expiry,
                                  mlkv_buffer *ret_old, int *ret_existed);

/* The value as mlkv_string_get gives it, and the key is deleted. Cost: one record read, two written;
 * O(value). Returns MLKV_OK; MLKV_ABSENT: no such key; MLKV_E_TYPE: not a string. Mirrors GETDEL.
 * Since 0.1. */
MLKV_API int mlkv_string_get_delete(mlkv *view, mlkv_slice key, mlkv_buffer *ret_value);

/* The value as mlkv_string_get gives it, and the key's expiry becomes `expiry`. Cost: one record read,
 * and two or three written if the expiry changes. Returns MLKV_OK; MLKV_ABSENT: no such key;
 * MLKV_E_TYPE: not a string; MLKV_E_RANGE, MLKV_E_ARGUMENT as above. Mirrors GETEX (MLKV_EXPIRY_NONE
 * is PERSIST). Since 0.1. */
MLKV_API int mlkv_string_get_expire(mlkv *view, mlkv_slice key, mlkv_expiry expiry,
                                    mlkv_buffer *ret_value);

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
 * MLKV_OK; MLKV_E_TYPE: not a string; MLKV_E_NUMBER: the value is no such number; MLKV_E_RANGE: the
 * sum does not fit 64 bits. Mirrors INCRBY, DECRBY (a negative delta), INCR, DECR. Since
 * 0.1. */
MLKV_API int mlkv_string_add(mlkv *view, mlkv_slice key, int64_t delta, int64_t *ret_value);

/* Adds a floating-point delta (as it is written: 0.1 is a tenth) to the number in the value and stores the sum as text, with 17 digits
 * behind the point at most, without an exponent and trailing zeros; a missing key counts as 0 and is
 * created. An expiry stays. The text replaces the content of *ret_text, which may be NULL. Cost: as
 * mlkv_string_add. Returns MLKV_OK; MLKV_E_TYPE; MLKV_E_NUMBER: the value or delta is no finite number;
 * MLKV_E_RANGE: the sum is not finite. Mirrors INCRBYFLOAT. Since 0.1. */
MLKV_API int mlkv_string_add_float(mlkv *view, mlkv_slice key, double delta, mlkv_buffer *ret_text);

/* The same with the number as text, which may have more digits than a double holds (18 count), and a larger
 * exponent. MLKV_E_NUMBER: it is no number; infinity gives MLKV_E_RANGE. Mirrors INCRBYFLOAT. Since 0.1. */
MLKV_API int mlkv_string_add_decimal(mlkv *view, mlkv_slice key, mlkv_slice delta,
                                     mlkv_buffer *ret_text);

/* Appends bytes to the value; a missing key is created. An expiry stays. *ret_length (may be NULL): the
 * new size. Cost: the value is read and written whole, O(value); from 16 KiB on other writers wait
 * meanwhile. Returns MLKV_OK; MLKV_E_TYPE; MLKV_E_SIZE: the value would have more than 4 GiB. Mirrors
 * APPEND. Since 0.1. */
MLKV_API int mlkv_string_append(mlkv *view, mlkv_slice key, mlkv_slice value, uint64_t *ret_length);

/* Overwrites the bytes from offset on; what lies between the old end and offset becomes zeros. With no
 * bytes nothing changes and no key is made. Otherwise as mlkv_string_append. Mirrors SETRANGE. Since
 * 0.1. */
MLKV_API int mlkv_string_set_range(mlkv *view, mlkv_slice key, uint64_t offset, mlkv_slice value,
                                   uint64_t *ret_length);

/* The bytes from start to stop, both included; negative numbers count from the end (-1: the last). What
 * lies outside is left out; a missing key is empty. Cost: one record read; of a large value only the
 * pieces concerned. Returns MLKV_OK; MLKV_E_TYPE. Mirrors GETRANGE, SUBSTR. Since 0.1. */
MLKV_API int mlkv_string_get_range(mlkv *view, mlkv_slice key, int64_t start, int64_t stop,
                                   mlkv_buffer *ret_value);

/* Bytes that two strings have in common: [a_begin, a_begin + length) of one, the same from b_begin on of
 * the other. */
typedef struct {
    uint64_t a_begin, b_begin, length;
} mlkv_match;

/* The longest common subsequence of two strings; a missing key is empty. *ret_length: its length.
 * ret_text (may be NULL): its bytes. ret_matches (may be NULL): its runs of at least min_match bytes, from
 * the last to the first, an array of mlkv_match in the buffer. Cost: O(a * b) time and 4 bytes of memory
 * each. Returns MLKV_OK; MLKV_E_TYPE; MLKV_E_SIZE: that would take more than 512 MiB. Mirrors LCS.
 * Since 0.1. */
MLKV_API int mlkv_string_lcs(mlkv *view, mlkv_slice a, mlkv_slice b, uint64_t min_match,
                             uint64_t *ret_length, mlkv_buffer *ret_text, mlkv_buffer *ret_matches);

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

/* The same, but only if none of the keys exists: MLKV_ABSENT and no change otherwise. Mirrors MSETNX.
 * Since 0.1. */
MLKV_API int mlkv_string_set_many_if_absent(mlkv *view, const mlkv_pair *pairs, size_t n);

MLKV_END_DECLS

#endif
