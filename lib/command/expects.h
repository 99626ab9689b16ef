/* expects.h - what a command asks of the store before it runs, so that it complains in Redis's order. */
#ifndef MLKV_COMMAND_EXPECTS_H
#define MLKV_COMMAND_EXPECTS_H

#include "command/call.h"

/* Whether the key at word i holds this type: 0; MLKV_ABSENT: there is no such key; negative: refused. Only which error is reported may
 * depend on it: the next moment another may write to the key. */
int expects_type(call *c, size_t i, mlkv_type type);

/* How many random elements are wanted. */
typedef struct {
    size_t n;
    int distinct; /* else one may come several times */
} random_count;

/* The count of HRANDFIELD and SRANDMEMBER at word i; negative: so many, not distinct. */
int expects_random_count(call *c, size_t i, random_count *ret_count);
/* Whether so many can be drawn of the key at word 1: 0; MLKV_ABSENT: there is no such key; negative: refused. */
int expects_drawable(call *c, const random_count *count, mlkv_type type);

#endif
