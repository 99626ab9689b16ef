/* set.h - distinct members under a key.
 *
 * Members are any bytes, also none, at most 16 MiB. A set exists as long as it has a member: the
 * first add makes it, the removal of the last member ends it, and a missing key reads as an empty
 * set.
 *
 * Views, threads, atomicity and the errors that every call may return are those of string.h:
 * MLKV_E_ARGUMENT, MLKV_E_SIZE (a key or member of more than 16 MiB), MLKV_E_OWNER, MLKV_E_MEMORY,
 * MLKV_E_IO, MLKV_E_CORRUPT; from writes also MLKV_E_READONLY, MLKV_E_BUSY, MLKV_E_FULL,
 * MLKV_E_POISONED, MLKV_E_DURABILITY. Every call returns MLKV_E_TYPE if the key holds another type.
 * A failed call has changed nothing (but for MLKV_E_DURABILITY: it is visible then), and its outputs
 * are untouched (rows become empty). Rows are the caller's, start as {0}, are freed by mlkv_rows_free;
 * items live until the rows are filled again or freed.
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

/* Removes n random members, all at once, each choice equally likely, in random order; with n >= count
 * all of them, in any order, and the key goes. No items for a missing key or n == 0. After
 * MLKV_E_DURABILITY the members are gone, and the rows hold them as after MLKV_OK. Cost: three record
 * reads and three or four records written for each member; all at once: a scan, and two or three
 * records written in all. Returns MLKV_OK. Mirrors SPOP. Since 0.1. */
MLKV_API int mlkv_set_pop(mlkv *view, mlkv_slice key, size_t n, mlkv_rows *ret_members);

/* Moves a member from one set to another, which is made if it is missing; a member that is in both stays
 * in the second. Cost: five record reads, up to eight written. Returns MLKV_OK; MLKV_ABSENT: it is not in
 * the first, nothing was changed; MLKV_E_TYPE: if the first is there, either key may be the wrong one.
 * Mirrors SMOVE. Since 0.1. */
MLKV_API int mlkv_set_move(mlkv *view, mlkv_slice source, mlkv_slice destination,
                           mlkv_slice member);

/* --- several sets ---
 *
 * n is at least 1; a key may be named more than once, a missing one is an empty set, and any that holds
 * another type is MLKV_E_TYPE. All sets are seen as of one moment. Members come in the order of
 * mlkv_set_members.
 *
 * Cost: the sets are walked over side by side, 40-100 ns a member of each, nothing held in memory but the
 * result; an intersection's or difference's other sets that are more than 16 times larger than the one
 * that leads (the smallest; the first) are looked into instead, a record read for each of its members (in
 * a read up to 65,536 of these). More than 32 sets are merged 32 at a time, with the results between in
 * memory. Reads hold no lock, but for a short time if others write all the time. What is stored is
 * written under the lock, others wait meanwhile: two records a member, some 3 us together, all of them in
 * memory until they are written, some 200 bytes a member and twice its own.
 */

/* The members that are in all n sets. Returns MLKV_OK. Mirrors SINTER. Since 0.1. */
MLKV_API int mlkv_set_intersection(mlkv *view, const mlkv_slice *keys, size_t n,
                                   mlkv_rows *ret_members);

/* How many those are; with a limit that is not 0 at most so many, and no more is looked for then. Memory:
 * none, up to 32 sets. Returns MLKV_OK. Mirrors SINTERCARD. Since 0.1. */
MLKV_API int mlkv_set_intersection_count(mlkv *view, const mlkv_slice *keys, size_t n,
                                         uint64_t limit, uint64_t *ret_count);

/* The members that are in any of n sets. Returns MLKV_OK. Mirrors SUNION. Since 0.1. */
MLKV_API int mlkv_set_union(mlkv *view, const mlkv_slice *keys, size_t n, mlkv_rows *ret_members);

/* The members of the first set that are in none of the others. Returns MLKV_OK. Mirrors SDIFF. Since
 * 0.1. */
MLKV_API int mlkv_set_difference(mlkv *view, const mlkv_slice *keys, size_t n,
                                 mlkv_rows *ret_members);

/* The same, stored as a new set under destination, all at once. What was there goes, of whatever type,
 * its expiry too; destination may be one of keys; an empty result leaves no key. *ret_count (may be
 * NULL): how many members it has. Returns MLKV_OK. Mirrors SINTERSTORE. Since 0.1. */
MLKV_API int mlkv_set_intersection_store(mlkv *view, mlkv_slice destination, const mlkv_slice *keys,
                                         size_t n, uint64_t *ret_count);

/* Likewise. Mirrors SUNIONSTORE. Since 0.1. */
MLKV_API int mlkv_set_union_store(mlkv *view, mlkv_slice destination, const mlkv_slice *keys,
                                  size_t n, uint64_t *ret_count);

/* Likewise. Mirrors SDIFFSTORE. Since 0.1. */
MLKV_API int mlkv_set_difference_store(mlkv *view, mlkv_slice destination, const mlkv_slice *keys,
                                       size_t n, uint64_t *ret_count);

MLKV_END_DECLS

#endif
