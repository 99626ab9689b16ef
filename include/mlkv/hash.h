/* hash.h - fields and their values under a key.
 *
 * Fields and values are any bytes, also none; a field has at most 16 MiB. A hash exists as long as
 * it has a field: the first set makes it, the deletion of the last field ends it, and a missing key
 * reads as an empty hash.
 *
 * Views, threads, atomicity and the errors that every call may return are those of string.h:
 * MLKV_E_ARGUMENT, MLKV_E_SIZE (a key or field of more than 16 MiB), MLKV_E_OWNER, MLKV_E_MEMORY,
 * MLKV_E_IO, MLKV_E_CORRUPT; from writes also MLKV_E_READONLY, MLKV_E_BUSY, MLKV_E_FULL,
 * MLKV_E_POISONED. Every call returns MLKV_E_TYPE if the key holds another type. A failed call has
 * changed nothing, and its outputs are untouched (rows become empty). Rows and buffers are the
 * caller's, start as {0}, are freed by their free function; items live until the rows are filled
 * again or freed.
 */
#ifndef MLKV_HASH_H
#define MLKV_HASH_H

#include <mlkv/base.h>

MLKV_BEGIN_DECLS

/* Sets n fields (pairs[i].name) to their values, all at once. Of a field named twice the last value
 * stays. *ret_added (may be NULL): how many fields are new. n == 0 adds nothing and does not make
 * the key. Cost: n + 1 record reads, n records written, one more if fields were added; one lock,
 * one frame. Returns MLKV_OK. Mirrors HSET. Since 0.1. */
MLKV_API int mlkv_hash_set(mlkv *view, mlkv_slice key, const mlkv_pair *pairs, size_t n,
                           size_t *ret_added);

/* Sets one field if it does not exist. Cost: as mlkv_hash_set.
 * Returns MLKV_OK; MLKV_ABSENT: the field exists, nothing was changed. Mirrors HSETNX. Since 0.1.
 */
MLKV_API int mlkv_hash_set_if_absent(mlkv *view, mlkv_slice key, mlkv_slice field,
                                     mlkv_slice value);

/* Replaces the content of *ret_value by the field's value; it keeps its old content if the result
 * is not MLKV_OK. Key and field must not stand in the buffer's own memory. Cost: two record reads;
 * O(value). Returns MLKV_OK; MLKV_ABSENT: no such key or field. Mirrors HGET. Since 0.1. */
MLKV_API int mlkv_hash_get(mlkv *view, mlkv_slice key, mlkv_slice field, mlkv_buffer *ret_value);

/* The values of n fields as of one moment: items[i] belongs to fields[i], absent (data == NULL) if
 * there is no such field or key. Cost: n + 1 record reads, with their cache misses overlapped. n
 * may be 0. Returns MLKV_OK. Mirrors HMGET. Since 0.1. */
MLKV_API int mlkv_hash_get_many(mlkv *view, mlkv_slice key, const mlkv_slice *fields, size_t n,
                                mlkv_rows *ret_values);

/* All fields and values as of one moment, as items f0 v0 f1 v1 ..., in the order of the fields'
 * bytes (fields of more than about 480 bytes: by their first bytes only). No items for a missing
 * key. For hashes that do not fit memory: mlkv_cursor_open. Cost: a scan, O(hash). Returns MLKV_OK.
 * Mirrors HGETALL. Since 0.1. */
MLKV_API int mlkv_hash_get_all(mlkv *view, mlkv_slice key, mlkv_rows *ret_fields_and_values);

/* Deletes n fields, all at once; with the last field the key goes. *ret_deleted (may be NULL): how
 * many there were. n may be 0. Cost: n + 1 record reads, and a record written for each field that
 * goes, one more for the key. Returns MLKV_OK. Mirrors HDEL. Since 0.1. */
MLKV_API int mlkv_hash_delete(mlkv *view, mlkv_slice key, const mlkv_slice *fields, size_t n,
                              size_t *ret_deleted);

/* The number of fields; 0 for a missing key. Cost: one record read. Returns MLKV_OK. Mirrors HLEN.
 * Since 0.1. */
MLKV_API int mlkv_hash_length(mlkv *view, mlkv_slice key, uint64_t *ret_length);

/* Whether the field is there. Cost: two record reads. Returns MLKV_OK: it is; MLKV_ABSENT: it is
 * not. Mirrors HEXISTS. Since 0.1. */
MLKV_API int mlkv_hash_exists(mlkv *view, mlkv_slice key, mlkv_slice field);

/* All fields, in the order of mlkv_hash_get_all. Cost: a scan, O(hash), values not decoded. Returns
 * MLKV_OK. Mirrors HKEYS. Since 0.1. */
MLKV_API int mlkv_hash_keys(mlkv *view, mlkv_slice key, mlkv_rows *ret_fields);

/* All values, in the order of their fields. Cost: a scan, O(hash). Returns MLKV_OK. Mirrors HVALS.
 * Since 0.1. */
MLKV_API int mlkv_hash_values(mlkv *view, mlkv_slice key, mlkv_rows *ret_values);

/* Adds delta to the decimal number in the field and stores the sum as text; a missing field counts
 * as 0 and is created, the key too. ret_value may be NULL. Numbers are those of mlkv_string_add.
 * Cost: two record reads, one or two written. Returns MLKV_OK; MLKV_E_NUMBER: the value is no such
 * number; MLKV_E_RANGE: it or the sum does not fit 64 bits. Mirrors HINCRBY. Since 0.1. */
MLKV_API int mlkv_hash_add(mlkv *view, mlkv_slice key, mlkv_slice field, int64_t delta,
                           int64_t *ret_value);

MLKV_END_DECLS

#endif
