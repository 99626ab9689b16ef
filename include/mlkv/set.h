/* set.h - distinct members under a key.
 *
 * Members are any bytes, also none, at most 16 MiB. A set exists as long as it has a member: the
 * first add makes it, the removal of the last member ends it, and a missing key reads as an empty
 * set.
 *
 * Views, threads, atomicity and the errors that every call may return are those of string.h:
 * MLKV_E_ARGUMENT, MLKV_E_SIZE (a key or member of more than 16 MiB), MLKV_E_OWNER, MLKV_E_MEMORY,
 * MLKV_E_IO, MLKV_E_CORRUPT; from writes also MLKV_E_READONLY, MLKV_E_BUSY, MLKV_E_FULL,
 * MLKV_E_POISONED. Every call returns MLKV_E_TYPE if the key holds another type. A failed call has
 * changed nothing, and its outputs are untouched (rows become empty). Rows are the caller's, start
 * as {0}, are freed by mlkv_rows_free; items live until the rows are filled again or freed.
 */
#ifndef MLKV_SET_H
#define MLKV_SET_H

#include <mlkv/base.h>

MLKV_BEGIN_DECLS

/* Adds n members, all at once. *ret_added (may be NULL): how many are new; one named twice counts
 * once. n == 0 adds nothing and does not make the key. Cost: n + 1 record reads, two records
 * written for each new member, one more for the key; one lock, one frame. Returns MLKV_OK. Mirrors
 * SADD. Since 0.1. */
MLKV_API int mlkv_set_add(mlkv *view, mlkv_slice key, const mlkv_slice *members, size_t n,
                          size_t *ret_added);

/* Removes n members, all at once; with the last one the key goes. *ret_removed (may be NULL): how
 * many there were. n may be 0. Cost: n + 1 record reads; for each member that goes two more reads
 * and at most four records written, one more for the key. Returns MLKV_OK. Mirrors SREM. Since 0.1.
 */
MLKV_API int mlkv_set_remove(mlkv *view, mlkv_slice key, const mlkv_slice *members, size_t n,
                             size_t *ret_removed);

/* Whether each of n members is there, as of one moment: ret_present[i], n bytes of the caller's,
 * becomes 1 or 0 for members[i]. Cost: n + 1 record reads, with their cache misses overlapped. n
 * may be 0 (ret_present may be NULL then). Returns MLKV_OK. Mirrors SMISMEMBER, SISMEMBER. Since
 * 0.1. */
MLKV_API int mlkv_set_contains(mlkv *view, mlkv_slice key, const mlkv_slice *members, size_t n,
                               uint8_t *ret_present);

/* All members as of one moment, in the order of their bytes (members of more than about 480 bytes:
 * by their first bytes only). No items for a missing key. For sets that do not fit memory:
 * mlkv_cursor_open. Cost: a scan, O(set). Returns MLKV_OK. Mirrors SMEMBERS. Since 0.1. */
MLKV_API int mlkv_set_members(mlkv *view, mlkv_slice key, mlkv_rows *ret_members);

/* The number of members; 0 for a missing key. Cost: one record read. Returns MLKV_OK. Mirrors
 * SCARD. Since 0.1. */
MLKV_API int mlkv_set_count(mlkv *view, mlkv_slice key, uint64_t *ret_count);

/* Random members, each equally likely. distinct != 0: min(n, count) different ones, in random order
 * (SRANDMEMBER key n); distinct == 0: exactly n, drawn independently, so that one may come several
 * times (SRANDMEMBER key -n). No items for a missing key. Cost: O(n), whatever the size of the set:
 * one record read a member, their cache misses overlapped. Returns MLKV_OK. Mirrors SRANDMEMBER.
 * Since 0.1. */
MLKV_API int mlkv_set_random(mlkv *view, mlkv_slice key, size_t n, int distinct,
                             mlkv_rows *ret_members);

MLKV_END_DECLS

#endif
