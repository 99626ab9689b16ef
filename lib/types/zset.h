/* zset.h - what the files of the sorted set share: its records, its order, ranges of it.
 *
 *   E id member        -> [name] score (8, LE)     finds a member
 *   O id score member  -> [name]                   stands where the member stands
 * A member whose O key has TIED_SIZE or more bytes is not told from its neighbours by the key alone: with a long name the key ends in a
 * digest. Those that agree in the first TIED_SIZE bytes are *tied*: they stand together, and are sorted by their full names when they
 * are looked at.
 */
#ifndef MLKV_TYPES_ZSET_H
#define MLKV_TYPES_ZSET_H

#include "base/bytes.h"
#include "types/element.h"
#include "types/entry.h"

#include <mlkv/zset.h>

enum { ZSET_SCORE_SIZE = 8 };

/* --- zset.c: records --- */

/* The score in an E value, after the name. MLKV_E_CORRUPT. */
int zset_score(mlkv_slice rest, double *ret_score);
/* Finds a member. 0, MLKV_ABSENT (zset_put may follow), negative. */
int zset_find(op *o, uint64_t id, mlkv_slice member, element *ret_element, double *ret_score);
/* Writes both records of a new member. */
int zset_put(op *o, uint64_t id, const element *member, double score);
/* Deletes both records. */
int zset_delete(op *o, uint64_t id, mlkv_slice member, double score);
/* Stores the entry, or lets the key go if it counts nothing. */
int zset_store(op *o, entry *set);
/* The life of `key` that is to be overwritten goes; *ret_set is a new one, of no members (not to be stored if none is put). */
int zset_replace(op *o, mlkv_slice key, entry *ret_set);
/* MLKV_E_NUMBER for NaN. */
int zset_check_score(double score, const char *name);

/* --- members and scores on their way to the caller --- */

typedef struct {
    mlkv_rows *rows;     /* the caller's; cleared by each run of a rule */
    mlkv_buffer *scores; /* the caller's, or NULL */
    mlkv_buffer found;   /* double[] of this run */
    bool finished;       /* the rows' items are pointers */
} zset_output;

int zset_check_output(mlkv_rows *rows);
void zset_output_restart(zset_output *self);
int zset_output_add(void *self, mlkv_slice member, double score); /* a zset_visitor */
void zset_output_reverse(zset_output *self);
/* From here on rows->items can be read; nothing is added any more. */
void zset_output_finish(zset_output *self);
/* After the operation: the caller's outputs are filled, or as they were (rows: empty). Returns result. */
int zset_output_end(zset_output *self, int result);

/* --- zset_order.c: positions --- */

typedef int (*zset_visitor)(void *context, mlkv_slice member, double score);

/* The set's order, to be closed by ranking_close. passing: most of the members will be looked at, once. */
int zset_order_open(op *o, const entry *set, bool passing, ranking **ret_ranking);
/* How many members stand before this score and member; after: or are it. */
int zset_position(op *o, ranking *by, uint64_t id, double score, mlkv_slice member, bool after,
                  uint64_t *ret_position);
/* How many members have a lower score; after: or this one. */
int zset_score_position(ranking *by, uint64_t id, double score, bool after, uint64_t *ret_position);
/* n members from position `first` on, in ascending order. A visitor that returns anything but 0 ends it, with its result. It may not
 * write records of this set. MLKV_E_CORRUPT if there are fewer. */
int zset_visit(op *o, ranking *by, uint64_t first, uint64_t n, zset_visitor visit, void *context);

/* --- zset_bounds.c: a range becomes positions --- */

int zset_check_range(const mlkv_zset_range_spec *range);
/* *ret_first, *ret_n: positions in ascending order, whatever the range's direction. *ret_ranking: opened, to be closed, also after a
 * failure; NULL if nothing was asked of it: *ret_n is 0 then, or the range goes by rank. */
int zset_resolve(op *o, const entry *set, const mlkv_zset_range_spec *range, ranking **ret_ranking,
                 uint64_t *ret_first, uint64_t *ret_n);

#endif
