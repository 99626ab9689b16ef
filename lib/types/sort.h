/* sort.h - what the parts of sorting share: patterns that name other keys, and elements with what they are compared by. */
#ifndef MLKV_TYPES_SORT_H
#define MLKV_TYPES_SORT_H

#include "types/layout.h"
#include "view/op.h"

/* --- sort_pattern.c --- */

/* A pattern, taken apart; slices of the caller's bytes. */
typedef struct {
    bool itself;              /* "#" */
    bool constant;            /* without `*`: names nothing */
    mlkv_slice before, after; /* of the key, around the element */
    mlkv_slice field;         /* of a hash; data NULL: a string is meant */
} sort_pattern;

void sort_pattern_read(mlkv_slice text, sort_pattern *ret_pattern);
/* The cell of what the pattern (neither "#" nor constant) names for an element; lives until the next op_ call. `key` is memory for the
 * key's name. 0; MLKV_ABSENT: nothing is there, or something of another type; negative. */
int sort_pattern_find(op *o, const sort_pattern *self, mlkv_slice name, mlkv_buffer *key,
                      mlkv_slice *ret_cell);
/* Hints that this will be looked for soon. */
int sort_pattern_prefetch(op *o, const sort_pattern *self, mlkv_slice name, mlkv_buffer *key);

/* --- sort_order.c --- */

typedef struct {
    size_t at, size;               /* its bytes, in names */
    size_t weight_at, weight_size; /* what it is compared by, in weights, if `by` compares bytes */
    double score;
    uint64_t seq; /* of a list's element */
    size_t place; /* in which it came */
    bool plain;   /* its cell is nothing but its bytes */
    bool weighted;
} sort_item;

/* Elements, and how they compare. */
typedef struct {
    mlkv_buffer names, weights;
    mlkv_buffer items; /* sort_item[] */
    bool alpha, descending;
    bool whole;             /* bytes behind the first zero byte count, too */
    const sort_pattern *by; /* NULL: the elements themselves */
    mlkv_buffer key, decoded;
} sort_items;

/* Frees all memory, or empties it for another run. */
void sort_items_done(sort_items *self);
void sort_items_clear(sort_items *self);
size_t sort_items_count(const sort_items *self);
sort_item *sort_items_at(const sort_items *self, size_t i);
mlkv_slice sort_items_name(const sort_items *self, const sort_item *item);
/* The element whose bytes are what was appended to names since `at`. */
int sort_items_add(sort_items *self, size_t at, uint64_t seq, bool plain);
void sort_items_reverse(sort_items *self);
/* Finds what each is compared by. o may be NULL without `by`. MLKV_E_NUMBER. */
int sort_items_weigh(sort_items *self, op *o);
void sort_items_order(sort_items *self);

#endif
