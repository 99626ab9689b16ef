/* report.h - the rows that were measured, as one table and as JSON. */
#ifndef MLKV_BENCH_REPORT_H
#define MLKV_BENCH_REPORT_H

#include <stdint.h>
#include <stdio.h>

enum { ROUNDS_MAX = 32 };

typedef struct {
    const char *workload, *engine, *durability, *distribution;
    uint32_t keys;
    uint32_t key_bytes, value_bytes;
    int threads;
    int rounds;
    double ns[ROUNDS_MAX];    /* of each round */
    double ratio[ROUNDS_MAX]; /* of each round: this row's time over mlkv's in the same round; 0:
                                 nothing to compare with */
} report_row;

double report_median(const double *values, int n);

/* One line of the table; the head of it comes first. */
void report_head(FILE *out);
void report_line(FILE *out, const report_row *row);

/* An array of objects, one a row. 0 or -1 with a line on stderr. */
int report_json(const char *path, const report_row *rows, int n);

#endif
