/* hash.h - fields and their values under a key.
 *
 * Fields and values are any bytes, also none; a field has at most 16 MiB. A hash exists as long as
 * it has a field: the first set makes it, the deletion of the last field ends it, and a missing key
 * reads as an empty hash.
 *
 * Views, threads, atomicity and the errors that every call may return are those of string.h:
 * MLKV_E_ARGUMENT, MLKV_E_SIZE (a key or field of more than 16 MiB), MLKV_E_OWNER, MLKV_E_MEMORY,
 * MLKV_E_IO, MLKV_E_CORRUPT; from writes also MLKV_E_READONLY, MLKV_E_BUSY, MLKV_E_FULL,
 * MLKV_E_POISONED, MLKV_E_DURABILITY. Every call returns MLKV_E_TYPE if the key holds another type.
 * A failed call has changed nothing (but for MLKV_E_DURABILITY: it is visible then), and its outputs
 * are untouched (rows become empty). Rows and buffers are the caller's, start as {0}, are freed by
 * their free function; items live until the rows are filled again or freed.
 */
#ifndef MLKV_HASH_H
#define MLKV_HASH_H

#include <mlkv/base.h>
#include <mlkv/key.h>

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

/* The number of fields; 0 for a missing key. Cost: one record read, as a rule. Returns MLKV_OK. Mirrors HLEN.
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
 * as 0 and is created, the key too; a field's expiry stays. ret_value may be NULL. Numbers are those of mlkv_string_add.
 * Cost: two record reads, one or two written. Returns MLKV_OK; MLKV_E_NUMBER: the value is no such
 * number; MLKV_E_RANGE: the sum does not fit 64 bits. Mirrors HINCRBY. Since 0.1. */
MLKV_API int mlkv_hash_add(mlkv *view, mlkv_slice key, mlkv_slice field, int64_t delta,
                           int64_t *ret_value);

/* Adds a floating-point delta to the number in the field and stores the sum as text, as
 * mlkv_string_add_float does; a missing field counts as 0 and is created, the key too; a field's expiry
 * stays. The text replaces the content of *ret_text, which may be NULL. Cost: as mlkv_hash_add. Returns
 * MLKV_OK; MLKV_E_NUMBER: the value or delta is no finite number; MLKV_E_RANGE: the sum is not finite.
 * Mirrors HINCRBYFLOAT. Since 0.1. */
MLKV_API int mlkv_hash_add_float(mlkv *view, mlkv_slice key, mlkv_slice field, double delta,
                                 mlkv_buffer *ret_text);

/* The same with the number as text, as mlkv_string_add_decimal takes it. Mirrors HINCRBYFLOAT. Since 0.1. */
MLKV_API int mlkv_hash_add_decimal(mlkv *view, mlkv_slice key, mlkv_slice field, mlkv_slice delta,
                                   mlkv_buffer *ret_text);

/* The size of the field's value in bytes. Cost: two record reads; the value is not decoded. Returns
 * MLKV_OK; MLKV_ABSENT: no such key or field. Mirrors HSTRLEN. Since 0.1. */
MLKV_API int mlkv_hash_value_length(mlkv *view, mlkv_slice key, mlkv_slice field,
                                    uint64_t *ret_length);

/* Random fields, each equally likely, in random order. distinct != 0: min(n, length) different ones
 * (HRANDFIELD key n); distinct == 0: exactly n, drawn independently, so that one may come several times
 * (HRANDFIELD key -n). with_values != 0: items f0 v0 f1 v1 ... No items for a missing key. Cost: one
 * rank (zset.h) and one record read for each field; a walk over the hash, O(hash), if n is a 16th of it
 * or more, or while fields have expired and are not yet removed. Memory: O(n), and a rank may build its
 * tree. Returns MLKV_OK. Mirrors HRANDFIELD. Since 0.1. */
MLKV_API int mlkv_hash_random(mlkv *view, mlkv_slice key, size_t n, int distinct, int with_values,
                              mlkv_rows *ret_fields);

/* --- expiry: fields that end by themselves ---
 *
 * A field with an expiry is gone, to every reader of every process and every call here, at that
 * millisecond; mlkv_hash_length does not count it any more. The room it takes is given back in the
 * background, soon after. With the last field the key goes, at the same millisecond (a walk over all
 * keys may still meet it until it is removed, if the field that would have expired last had been
 * deleted or moved before). What key.h says of clocks, snapshots and transactions holds for fields too.
 *
 * Setting a field (mlkv_hash_set) ends its expiry; adding to it keeps it. The expiry of the key as a
 * whole is another matter: what comes first counts.
 *
 * Costs, where fields have expiries: a record more for each of them, and one for the hash. Setting or
 * deleting such a field writes these too, and the key's own record. mlkv_hash_length, while fields have
 * expired and are not yet removed: a step of a scan, some 40 ns, for each of them.
 */

/* What became of a field. */
enum {
    MLKV_FIELD_ABSENT = -2,   /* no such field */
    MLKV_FIELD_UNCHANGED = 0, /* the condition did not hold */
    MLKV_FIELD_CHANGED = 1,
    MLKV_FIELD_DELETED = 2, /* the time was over already */
};

/* Lets n fields end ttl_ms milliseconds from now; with 0 or less they are deleted at once. The
 * conditions are those of mlkv_key_expire, for each field by itself. ret_outcomes: n numbers of the
 * caller's, one of MLKV_FIELD_ABSENT, _UNCHANGED, _CHANGED, _DELETED for each field; all
 * MLKV_FIELD_ABSENT for a missing key. n may be 0. Cost: n + 1 record reads; two to four records written
 * for each field that changes, two more for the key. Returns MLKV_OK; MLKV_E_RANGE: the end is out of
 * range; MLKV_E_ARGUMENT: also an unknown condition. Mirrors HPEXPIRE, HEXPIRE (in seconds). Since 0.1.
 */
MLKV_API int mlkv_hash_expire(mlkv *view, mlkv_slice key, const mlkv_slice *fields, size_t n,
                              int64_t ttl_ms, mlkv_expire_condition condition,
                              int64_t *ret_outcomes);

/* The same at a point in time: milliseconds since 1970; a point that is over deletes. Mirrors
 * HPEXPIREAT, HEXPIREAT (in seconds). Since 0.1. */
MLKV_API int mlkv_hash_expire_at(mlkv *view, mlkv_slice key, const mlkv_slice *fields, size_t n,
                                 int64_t at_ms, mlkv_expire_condition condition,
                                 int64_t *ret_outcomes);

/* The expiries of n fields go. ret_outcomes: MLKV_FIELD_CHANGED; MLKV_NO_EXPIRY: it has none;
 * MLKV_FIELD_ABSENT. Cost: as mlkv_hash_expire. Returns MLKV_OK. Mirrors HPERSIST. Since 0.1. */
MLKV_API int mlkv_hash_persist(mlkv *view, mlkv_slice key, const mlkv_slice *fields, size_t n,
                               int64_t *ret_outcomes);

/* When n fields end, in milliseconds since 1970; MLKV_NO_EXPIRY: never; MLKV_FIELD_ABSENT: no such
 * field. Cost: n + 1 record reads. Returns MLKV_OK. Mirrors HPEXPIRETIME, HEXPIRETIME. Since 0.1. */
MLKV_API int mlkv_hash_expiry(mlkv *view, mlkv_slice key, const mlkv_slice *fields, size_t n,
                              int64_t *ret_at_ms);

/* How long n fields have, in milliseconds, at least 1; MLKV_NO_EXPIRY: for ever; MLKV_FIELD_ABSENT: no
 * such field. Cost: n + 1 record reads. Returns MLKV_OK. Mirrors HPTTL, HTTL. Since 0.1. */
MLKV_API int mlkv_hash_ttl(mlkv *view, mlkv_slice key, const mlkv_slice *fields, size_t n,
                           int64_t *ret_ms);

MLKV_END_DECLS

#endif
