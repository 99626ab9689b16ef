/* zset.h - sorted sets: distinct members under a key, in the order of their scores.
 *
 * Members are any bytes, also none, at most 16 MiB. A score is a double, infinities included, never
 * NaN; -0.0 is stored as 0.0. Members stand in the order of their scores, equal scores in the order of
 * the members' bytes. A member's rank is its place in this order, from 0. A sorted set exists as long as
 * it has a member: the first add makes it, the removal of the last member ends it, and a missing key
 * reads as an empty sorted set.
 *
 * Cost of ranks, n members: up to 256 members a rank is found by looking at all of them. From there on
 * O(log n): by a counted tree of the members, kept in the memory of each process that asks for ranks. The
 * first question makes it (a scan: about a second for 4 million members, without a lock; a transaction
 * makes it under its own); writes of all processes then keep it up to date. A tree takes what scores and
 * members take, and about 4 bytes a member (what members have in common is stored less often). All trees
 * of a process stay within twice its cache budget: one that was not asked for long is given back when
 * another needs the room, and a sorted set whose tree would not fit is scanned: O(n). What is said below
 * to cost one rank means this.
 *
 * Scores of many members come in a buffer of the caller's, one double for each item of the rows, in the
 * same order: ((double *)scores.data)[i]. A NULL instead of the buffer: no scores are wanted.
 *
 * Views, threads, atomicity and the errors that every call may return are those of string.h:
 * MLKV_E_ARGUMENT, MLKV_E_SIZE (a key or member of more than 16 MiB), MLKV_E_OWNER, MLKV_E_MEMORY,
 * MLKV_E_IO, MLKV_E_CORRUPT; from writes also MLKV_E_READONLY, MLKV_E_BUSY, MLKV_E_FULL,
 * MLKV_E_POISONED, MLKV_E_DURABILITY. Every call returns MLKV_E_TYPE if the key holds another type, and
 * MLKV_E_NUMBER if it is given NaN or a score would become NaN. A failed call has changed nothing (but for
 * MLKV_E_DURABILITY: it is visible then), and its outputs are untouched (rows become empty). Rows and
 * buffers are the caller's, start as {0}, are freed by their free function; items live until the rows are
 * filled again or freed.
 */
#ifndef MLKV_ZSET_H
#define MLKV_ZSET_H

#include <mlkv/base.h>

MLKV_BEGIN_DECLS

/* --- members and their scores --- */

typedef struct {
    mlkv_slice member;
    double score;
} mlkv_scored;

/* Conditions of adding; values are pinned for ever. MLKV_ZSET_NEW goes with none of the others, and
 * MLKV_ZSET_GREATER not with MLKV_ZSET_LESS. The last two do not keep new members out. */
typedef enum {
    MLKV_ZSET_NEW = 1,     /* only members that are not there (NX) */
    MLKV_ZSET_PRESENT = 2, /* only members that are there (XX) */
    MLKV_ZSET_GREATER = 4, /* a member that is there: only if its score grows (GT) */
    MLKV_ZSET_LESS = 8,    /* a member that is there: only if its score falls (LT) */
} mlkv_zset_condition;

/* Adds n members or gives them new scores, all at once, one after another. conditions: 0, or
 * mlkv_zset_condition joined by |. *ret_added (may be NULL): how many are new; *ret_changed (may be
 * NULL): how many are new or have another score now (CH). n == 0 adds nothing and does not make the key.
 * Cost: n + 1 record reads, two or three records written for each member that changes, one more for the
 * key; one lock, one frame. Returns MLKV_OK. Mirrors ZADD. Since 0.1. */
MLKV_API int mlkv_zset_add(mlkv *view, mlkv_slice key, const mlkv_scored *members, size_t n,
                           uint32_t conditions, size_t *ret_added, size_t *ret_changed);

/* Adds delta to the member's score; a missing member counts as 0 and is added, the key too. conditions
 * as above: GREATER, LESS compare the sum with the score that is there. *ret_score (may be NULL): the new
 * score. Cost: as mlkv_zset_add of one member. Returns MLKV_OK; MLKV_ABSENT: the conditions did not hold,
 * nothing was changed; MLKV_E_NUMBER: the sum is not a number (inf - inf). Mirrors ZINCRBY, ZADD INCR.
 * Since 0.1. */
MLKV_API int mlkv_zset_add_score(mlkv *view, mlkv_slice key, mlkv_slice member, double delta,
                                 uint32_t conditions, double *ret_score);

/* Removes n members, all at once; with the last one the key goes. *ret_removed (may be NULL): how many
 * there were. n may be 0. Cost: n + 1 record reads, two records deleted for each member that goes, one
 * written for the key. Returns MLKV_OK. Mirrors ZREM. Since 0.1. */
MLKV_API int mlkv_zset_remove(mlkv *view, mlkv_slice key, const mlkv_slice *members, size_t n,
                              size_t *ret_removed);

/* The member's score. Cost: two record reads. Returns MLKV_OK; MLKV_ABSENT: no such key or member.
 * Mirrors ZSCORE. Since 0.1. */
MLKV_API int mlkv_zset_score(mlkv *view, mlkv_slice key, mlkv_slice member, double *ret_score);

/* The scores of n members as of one moment: ret_scores[i], n doubles of the caller's, belongs to
 * members[i], and is NaN if there is no such member or key. n may be 0. Cost: n + 1 record reads, with
 * their cache misses overlapped. Returns MLKV_OK. Mirrors ZMSCORE. Since 0.1. */
MLKV_API int mlkv_zset_scores(mlkv *view, mlkv_slice key, const mlkv_slice *members, size_t n,
                              double *ret_scores);

/* The number of members; 0 for a missing key. Cost: one record read. Returns MLKV_OK. Mirrors ZCARD.
 * Since 0.1. */
MLKV_API int mlkv_zset_count(mlkv *view, mlkv_slice key, uint64_t *ret_count);

/* --- ranks and ranges --- */

/* The member's rank: how many members stand before it; reverse != 0: behind it. *ret_score (may be NULL):
 * its score. Cost: two record reads and one rank. Returns MLKV_OK; MLKV_ABSENT: no such key or member.
 * Mirrors ZRANK, ZREVRANK. Since 0.1. */
MLKV_API int mlkv_zset_rank(mlkv *view, mlkv_slice key, mlkv_slice member, int reverse,
                            uint64_t *ret_rank, double *ret_score);

/* What a range goes by; values are pinned for ever. */
typedef enum {
    MLKV_ZSET_BY_RANK = 0,   /* start..stop, both included; negative: from the end, -1 the last */
    MLKV_ZSET_BY_SCORE = 1,  /* min..max */
    MLKV_ZSET_BY_MEMBER = 2, /* min_member..max_member, where all scores are equal (BYLEX) */
} mlkv_zset_by;

/* How a bound counts; values are pinned for ever. */
typedef enum {
    MLKV_ZSET_INCLUDED = 0, /* [ */
    MLKV_ZSET_EXCLUDED = 1, /* ( */
    MLKV_ZSET_LOWEST = 2,   /* before everything (-inf, -); the bound's value is ignored */
    MLKV_ZSET_HIGHEST = 3,  /* behind everything (+inf, +) */
} mlkv_zset_bound;

/* A part of a sorted set. Zero means the default, so `mlkv_zset_range_spec s = {.size = sizeof s, .stop =
 * -1}` is all of it. min is always the lower bound and max the upper one. Unknown non-zero bytes past a
 * known size are refused. */
typedef struct {
    size_t size;                  /* sizeof(mlkv_zset_range_spec) */
    int32_t by;                   /* mlkv_zset_by */
    int32_t min_bound, max_bound; /* mlkv_zset_bound; by score and by member */
    int32_t reverse;              /* not 0: from the end; start, stop and offset count from there */
    int64_t start, stop;          /* by rank */
    double min, max;              /* by score */
    mlkv_slice min_member;        /* by member */
    mlkv_slice max_member;
    int32_t limited;       /* not 0: offset and limit count (LIMIT); not by rank */
    uint32_t reserved;     /* 0 */
    int64_t offset, limit; /* so many are left out; so many are taken. Negative: all are */
} mlkv_zset_range_spec;

/* The members of a range as of one moment, in their order (reverse: in the opposite one), and their
 * scores. No items for a missing key. By member a range means something only where all scores are equal;
 * otherwise the members from the first one within the bounds up to the next one that is not are taken, at
 * a cost of O(n). For sorted sets that do not fit memory: mlkv_cursor_open. Cost: by rank one rank, else
 * two, and O(members returned). Returns MLKV_OK. Mirrors ZRANGE with BYSCORE, BYLEX, REV, LIMIT,
 * WITHSCORES, and so ZREVRANGE, ZRANGEBYSCORE, ZREVRANGEBYSCORE, ZRANGEBYLEX, ZREVRANGEBYLEX. Since 0.1. */
MLKV_API int mlkv_zset_range(mlkv *view, mlkv_slice key, const mlkv_zset_range_spec *range,
                             mlkv_rows *ret_members, mlkv_buffer *ret_scores);

/* How many members are in a range. Cost: by rank one record read, else two ranks. Returns MLKV_OK.
 * Mirrors ZCOUNT, ZLEXCOUNT. Since 0.1. */
MLKV_API int mlkv_zset_range_count(mlkv *view, mlkv_slice key, const mlkv_zset_range_spec *range,
                                   uint64_t *ret_count);

/* Removes the members of a range; with the last member the key goes. *ret_removed (may be NULL): how many
 * there were. Cost: two ranks, and two records deleted for each member; if all go it is that of
 * mlkv_key_delete. Returns MLKV_OK. Mirrors ZREMRANGEBYRANK, ZREMRANGEBYSCORE, ZREMRANGEBYLEX. Since 0.1.
 */
MLKV_API int mlkv_zset_range_remove(mlkv *view, mlkv_slice key, const mlkv_zset_range_spec *range,
                                    uint64_t *ret_removed);

/* Makes `destination` a sorted set of the members of a range of `source`, in place of whatever it held;
 * if the range is empty, destination is deleted. They may be the same key. *ret_count (may be NULL): how
 * many members it has now. Cost: as mlkv_zset_range, and two records written for each member. Returns
 * MLKV_OK; MLKV_E_TYPE if source holds another type. Mirrors ZRANGESTORE. Since 0.1. */
MLKV_API int mlkv_zset_range_store(mlkv *view, mlkv_slice destination, mlkv_slice source,
                                   const mlkv_zset_range_spec *range, uint64_t *ret_count);

/* --- taking out, and by chance --- */

/* Removes and returns up to n members with the lowest scores, or, highest != 0, the highest; they come in
 * the order in which they are taken. No items for a missing key or n == 0. Cost: one rank, and two records
 * deleted for each member. After MLKV_E_DURABILITY the members are gone, and the outputs hold them as after
 * MLKV_OK. Returns MLKV_OK. Mirrors ZPOPMIN, ZPOPMAX. Since 0.1. */
MLKV_API int mlkv_zset_pop(mlkv *view, mlkv_slice key, uint64_t n, int highest,
                           mlkv_rows *ret_members, mlkv_buffer *ret_scores);

/* The same from the first of `key_count` keys that has members. *ret_key (may be NULL): the index of this
 * key. n must not be 0. Cost: as mlkv_zset_pop, and one record read for each key that is missing. Returns
 * MLKV_OK; MLKV_ABSENT: all are missing. MLKV_E_TYPE: a key before the first that has members holds
 * another type. Mirrors ZMPOP. Since 0.1. */
MLKV_API int mlkv_zset_pop_first(mlkv *view, const mlkv_slice *keys, size_t key_count, uint64_t n,
                                 int highest, size_t *ret_key, mlkv_rows *ret_members,
                                 mlkv_buffer *ret_scores);

/* Random members, each equally likely. distinct != 0: min(n, count) different ones, in random order
 * (ZRANDMEMBER key n); distinct == 0: exactly n, drawn independently, so that one may come several times
 * (ZRANDMEMBER key -n). No items for a missing key. Cost: one rank for each member; O(set) if it is small
 * or its tree does not fit. Returns MLKV_OK. Mirrors ZRANDMEMBER. Since 0.1. */
MLKV_API int mlkv_zset_random(mlkv *view, mlkv_slice key, size_t n, int distinct,
                              mlkv_rows *ret_members, mlkv_buffer *ret_scores);

/* --- several sorted sets --- */

/* How the scores of a member that several keys have become one; values are pinned for ever. */
typedef enum {
    MLKV_ZSET_SUM = 0, /* inf - inf counts as 0 here */
    MLKV_ZSET_MIN = 1,
    MLKV_ZSET_MAX = 2,
} mlkv_zset_aggregate;

/* The members that any of n keys has (union), that all of them have (intersection), or that the first has
 * and no other (difference), as of one moment, in the order of their scores. Keys may be sorted sets or
 * sets, whose members have score 1; a missing key is empty; n must not be 0. weights: NULL, or n factors
 * of the scores (a product that is no number counts as 0); a difference has the scores of the first key.
 * Cost: a union passes over all keys once, O(members * n), and sorts; an intersection passes over the
 * smallest key, a difference over the first, and reads one record of each other key for each member.
 * Memory: the result. Returns MLKV_OK; MLKV_E_TYPE: a key holds something else. Mirrors ZUNION, ZINTER,
 * ZDIFF. Since 0.1. */
MLKV_API int mlkv_zset_union(mlkv *view, const mlkv_slice *keys, size_t n, const double *weights,
                             mlkv_zset_aggregate aggregate, mlkv_rows *ret_members,
                             mlkv_buffer *ret_scores);
/* As mlkv_zset_union: the members that all keys have. */
MLKV_API int mlkv_zset_intersection(mlkv *view, const mlkv_slice *keys, size_t n,
                                    const double *weights, mlkv_zset_aggregate aggregate,
                                    mlkv_rows *ret_members, mlkv_buffer *ret_scores);
/* As mlkv_zset_union: the members that the first key has and no other. */
MLKV_API int mlkv_zset_difference(mlkv *view, const mlkv_slice *keys, size_t n,
                                  mlkv_rows *ret_members, mlkv_buffer *ret_scores);

/* The same, made the content of `destination`, a sorted set, in place of whatever it held; if there is no
 * such member, destination is deleted. It may be one of the keys. *ret_count (may be NULL): how many
 * members it has now. Cost: as above, and two records written for each member. Mirrors ZUNIONSTORE,
 * ZINTERSTORE, ZDIFFSTORE. Since 0.1. */
MLKV_API int mlkv_zset_union_store(mlkv *view, mlkv_slice destination, const mlkv_slice *keys,
                                   size_t n, const double *weights, mlkv_zset_aggregate aggregate,
                                   uint64_t *ret_count);
/* As mlkv_zset_union_store: an intersection. */
MLKV_API int mlkv_zset_intersection_store(mlkv *view, mlkv_slice destination,
                                          const mlkv_slice *keys, size_t n, const double *weights,
                                          mlkv_zset_aggregate aggregate, uint64_t *ret_count);
/* As mlkv_zset_union_store: a difference. */
MLKV_API int mlkv_zset_difference_store(mlkv *view, mlkv_slice destination, const mlkv_slice *keys,
                                        size_t n, uint64_t *ret_count);

/* How many members all of n keys have, counting no further than `limit` (0: no limit). Cost: as
 * mlkv_zset_intersection, up to the limit, without memory. Returns MLKV_OK. Mirrors ZINTERCARD. Since 0.1.
 */
MLKV_API int mlkv_zset_intersection_count(mlkv *view, const mlkv_slice *keys, size_t n,
                                          uint64_t limit, uint64_t *ret_count);

MLKV_END_DECLS

#endif
