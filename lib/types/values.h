/* values.h - the values of one call (a string's, a hash's), made ready before the rule and put by it. */
#ifndef MLKV_TYPES_VALUES_H
#define MLKV_TYPES_VALUES_H

#include "types/integer.h"
#include "view/op.h"

/* A cell in `cells`; size 0: the value is coded otherwise. */
typedef struct {
    size_t offset, size;
} values_cell;

typedef struct {
    mlkv *view;
    op_value *prepared; /* the large ones, in the order of the call */
    size_t count, next;
    op_value single;     /* memory for one of them */
    mlkv_buffer scratch; /* the cell of a small one that this store compresses */
    /* values of keys with a dictionary: */
    mlkv_buffer cells;
    values_cell *coded; /* NULL or one a pair, in the order of the call */
    values_cell single_coded;
    size_t at; /* the pair that is next */
} values;

/* Start *self as {0}. key: whose values these are; NULL: each pair's name is its key. Makes the large values ready, and those that a
 * dictionary makes smaller, outside every lock; small ones without a dictionary cost nothing here. */
int values_prepare(values *self, mlkv *view, const mlkv_slice *key, const mlkv_pair *pairs,
                   size_t n);

/* In the rule, at its begin. */
void values_restart(values *self);

/* In the rule, for each pair's value in the order of the call, exactly once: its cell in two parts, which live until the next
 * values_ call. */
int values_next(values *self, op *o, mlkv_slice raw, mlkv_slice *ret_head, mlkv_slice *ret_body);

/* After the operation, whatever became of it. */
void values_done(values *self);

/* A cell's bytes to the end of *out, without a detour for raw ones. */
int values_append_cell(op *o, mlkv_slice cell, mlkv_buffer *out);
/* The same of this key's, which is named if they are broken. */
int values_append_value(op *o, mlkv_slice key, mlkv_slice cell, mlkv_buffer *out);

/* Returns result; if it is MLKV_E_CORRUPT, the detail names the key whose value it was. */
int values_of_key(int result, mlkv_slice key);

/* A caller's buffer must keep its content unless the whole operation succeeds. So a rule sets its size to what it was before
 * the operation, appends the new bytes, and afterwards
 * this gives the buffer the new bytes only (MLKV_OK) or the old ones only. Returns result. */
int values_end_get(int result, size_t old_size, mlkv_buffer *buffer);

/* The same for rows: on MLKV_OK they are finished, otherwise empty. Returns result. */
int values_end_rows(int result, mlkv_rows *rows);

/* The number in a cell. MLKV_E_NUMBER, MLKV_E_RANGE. */
int values_read_integer(op *o, mlkv_slice cell, int64_t *ret_value);
/* The cell of a number. Returns its size. */
size_t values_integer_cell(int64_t value, unsigned char ret_cell[1 + INTEGER_TEXT_MAX]);

#endif
