/* element.h - one element (E) of a hash or a set: its record found, written and deleted by the element's name. */
#ifndef MLKV_TYPES_ELEMENT_H
#define MLKV_TYPES_ELEMENT_H

#include "types/layout.h"
#include "view/op.h"

enum { ELEMENT_HEAD_SIZE = 9 }; /* class and id */

typedef struct {
    record_key key;
    mlkv_slice name; /* the caller's bytes */
    mlkv_slice
        rest; /* after element_open == 0: the value after the name; lives until the next op_ call */
} element;

/* Finds element `name` of life `id`. 0, MLKV_ABSENT (element_put may follow), negative. One record read. */
int element_open(op *o, uint64_t id, mlkv_slice name, element *ret_element);

/* Writes it: head and body, joined. */
int element_put(op *o, const element *self, mlkv_slice head, mlkv_slice body);

int element_delete(op *o, const element *self);

/* Hints that this element will be opened soon. */
void element_prefetch(op *o, uint64_t id, mlkv_slice name);
/* The same for the next NAMED_BATCH of n names, when `i` stands at the first of them; otherwise nothing. */
void element_prefetch_batch(op *o, uint64_t id, const mlkv_slice *names, size_t n, size_t i);

/* Releases what a hash element's cell refers to, if it is a blob. */
int element_release_cell(op *o, mlkv_slice cell);

#endif
