/* list.h - what the parts of the list type share: the list of a key, its elements by number, walks over them, and the rules that
 * others may run (those of the calls that wait).
 *
 * Results inside: 0, MLKV_ABSENT, negative. */
#ifndef MLKV_TYPES_LIST_H
#define MLKV_TYPES_LIST_H

#include "types/entry.h"
#include "types/values.h"

#include <mlkv/list.h>

enum {
    LIST_READS_MAX =
        128, /* up to so many elements are read one by one; above it opening a scan pays */
};

/* A key's list. head: the number of the first element; tail: one above that of the last. */
typedef struct {
    entry entry;
    uint64_t head, tail;
} list;

/* --- list.c --- */
/* Finds it. 0; MLKV_ABSENT (list_create may follow); MLKV_E_TYPE; MLKV_E_CORRUPT. One record read. */
int list_open(op *o, mlkv_slice key, list *ret_list);
/* A new life, empty. */
int list_create(op *o, list *self);
/* Writes the key's record as head and tail say; without elements the key goes. */
int list_store(op *o, list *self);
/* Head and tail from a K record's own part, compared with its count. MLKV_E_CORRUPT. */
int list_read_part(mlkv_slice part, uint64_t count, uint64_t *ret_head, uint64_t *ret_tail);
static inline uint64_t list_count(const list *self)
{
    return self->tail - self->head;
}
void list_element_key(const list *self, uint64_t seq, record_key *ret_key);
/* The cell of an element that must be there. */
int list_read(op *o, const list *self, uint64_t seq, mlkv_buffer *ret_cell);
int list_corrupt(const list *self, const char *what);
/* The record of one element goes, and what its cell refers to is released. */
int list_drop(op *o, const list *self, uint64_t seq, mlkv_slice cell);

/* --- list_walk.c --- */
typedef struct {
    uint64_t seq;
    mlkv_slice cell; /* lives until visit returns, whatever the op does meanwhile */
    scan *walk;      /* that it comes from; NULL: it was read by itself */
} list_item;
/* 0 goes on; anything else ends the walk and is its result: an error, or LIST_STOP. */
enum { LIST_STOP = 2 };
typedef int (*list_visit)(op *o, const list_item *item, void *context);
/* Visits n elements from seq `first` on, in order. visit may delete what it has seen, and put elements elsewhere (of other lives, too),
 * but not where the walk still goes. */
int list_walk(op *o, const list *self, uint64_t first, uint64_t n, list_visit visit, void *context);
/* The same through one scan: all as they stand now, so visit may put what it likes. */
int list_walk_frozen(op *o, const list *self, uint64_t first, uint64_t n, list_visit visit,
                     void *context);
/* The element's bytes to the end of *out. */
int list_item_append(op *o, const list_item *item, mlkv_buffer *out);
int list_item_append_row(op *o, const list_item *item, mlkv_buffer *scratch, mlkv_rows *rows);

/* --- list_find.c --- */
typedef struct {
    mlkv_slice value;
    bool from_right;
    uint64_t skip;         /* matches passed over first */
    uint64_t want;         /* at most so many, 0: all */
    uint64_t compared_max; /* elements looked at, 0: all */
} list_search;
/* The seqs of equal elements, uint64_t[], in the order of the search; replaces the content of *ret_seqs. */
int list_find_seqs(op *o, const list *self, const list_search *search, mlkv_buffer *ret_seqs);

/* --- rules for calls that wait (list_pop.c) --- */
typedef struct {
    const mlkv_slice *keys;
    size_t n;
    mlkv_list_end end;
    uint64_t count;
    size_t which;    /* of the keys: set by the rule */
    mlkv_rows *rows; /* filled by the rule, and to be finished by rows_finish */
    mlkv_buffer scratch;
} list_pop_call;
/* Pops from the first key that exists. MLKV_ABSENT: none does. */
int list_pop_rule(op *o, void *context);

typedef struct {
    mlkv_slice source, destination;
    mlkv_list_end from, to;
    mlkv_buffer *value; /* may be NULL; see values_end_get */
    size_t old_size;
    mlkv_buffer cell;
} list_move_call;
/* MLKV_ABSENT: no source. */
int list_move_rule(op *o, void *context);

#endif
