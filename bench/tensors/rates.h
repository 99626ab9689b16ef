/* rates.h - the rows of the tensors' benchmark: how fast an engine takes bytes and gives them back, as a table and as JSON. */
#ifndef MLKV_BENCH_TENSORS_RATES_H
#define MLKV_BENCH_TENSORS_RATES_H

#include "report.h"

enum { RATES_MAX = 256 };

typedef struct {
    const char *workload, *engine;
    const char *dtype, *data; /* what the bytes are */
    uint64_t bytes;           /* of one operation, raw */
    int threads;              /* or processes, that work at once */
    int rounds;
    double saved; /* share of the bytes that is not stored; NAN: not asked */
    double encode[ROUNDS_MAX],
        decode[ROUNDS_MAX]; /* GB/s of raw bytes, each round's; 0: not done */
    double written;         /* bytes that the process wrote for one operation; NAN: not asked */
    /* Filled by rates_end: medians of the rounds' quotients, 0: none. */
    const char *against;
    double encode_ratio, ratio, memcpy_gbps;
} rate_row;

typedef struct {
    rate_row rows[RATES_MAX];
    int count, group; /* group: the first row of those that were measured in turn */
} rates;

/* A row of the group that is being measured. The strings are kept, not copied. */
rate_row *rates_add(rates *self, const char *workload, const char *engine, const char *dtype,
                    const char *data, uint64_t bytes, int threads);

/* Notes a round of a row; times in seconds for `bytes` raw bytes, 0: not done. */
void rates_note(rate_row *row, int round, uint64_t bytes, double encode_seconds,
                double decode_seconds);

/* Ends a group: its rows are compared with `yardstick` (one of them), and its lines are printed. copy_gbps: what memcpy does with such
 * bytes; 0: the group has a row of the engine memcpy. */
void rates_end(rates *self, const rate_row *yardstick, double copy_gbps);

/* An array of objects, one a row. 0, or -1 with a line on stderr. */
int rates_json(const char *path, const rates *self);

#endif
