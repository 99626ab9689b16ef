/* report.h - what the user sees: progress while it trains, a table at the end. */
#ifndef DIGITS_REPORT_H
#define DIGITS_REPORT_H

#include "team.h"

typedef struct {
    size_t digits;                    /* loaded */
    size_t held_out;                  /* judged on */
    double accuracy;                  /* 0 to 1 */
    double accuracy_wanted;           /* less is a failure */
    uint64_t stored[WORKERS_MAX + 1]; /* each worker's counter after the store was opened again */
    uint64_t changes;                 /* steps that the model itself says it has seen */
    uint64_t raw_bytes;               /* of the tensors */
    uint64_t stored_bytes;            /* of the tensors, compressed */
    uint64_t store_bytes;             /* LMDB's pages in use */
    mlkv_report verified;
} outcome;

/* A bar on a terminal; a line each quarter elsewhere. */
void report_progress(const team *trained);
void report_progress_end(void);

/* A line of its own between two states of the bar. */
void report_event(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints the table and judges: true if everything held. */
bool report_outcome(const team *trained, const outcome *result);

#endif
