/* history.h - what linear_client.c writes down, in a file mapped by it and by test_linear.c: it
 * outlives the client's death.
 *
 * For each thread a row of records. A record is filled, its state set to ASKED just before the
 * call, then its result, then RETURNED.
 */
#ifndef MLKV_TESTS_LINEAR_HISTORY_H
#define MLKV_TESTS_LINEAR_HISTORY_H

#include "checker.h"

/* Partitions are checked each for itself: even ones are the fields of a hash, odd ones strings. Of
 * their keys the first two are registers, with values of any size, and the others counters. */
enum { PARTITIONS = 6, REGISTERS = 2, THREADS_MAX = 8, RECORDS_MAX = 512 };

enum { HISTORY_EMPTY = 0, HISTORY_ASKED = 1, HISTORY_RETURNED = 2 };

typedef struct {
    uint32_t state; /* atomic */
    uint32_t partition;
    checker_operation operation;
} history_record;

typedef struct {
    history_record records[THREADS_MAX][RECORDS_MAX];
} history_file;

#endif
