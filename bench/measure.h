/* measure.h - runs a workload on an engine by several threads, and says how long an operation took.
 */
#ifndef MLKV_BENCH_MEASURE_H
#define MLKV_BENCH_MEASURE_H

#include "engine.h"
#include "workload.h"

typedef enum { WORKLOAD_GET, WORKLOAD_PUT } workload_kind;

typedef struct {
    workload_kind kind;
    put_level level;
    distribution order;
    uint32_t keys;
    int threads;
    size_t operations_max; /* of each thread */
    double seconds_max;
    uint64_t seed;
} measure_plan;

/* Wall-clock nanoseconds divided by the operations of all threads together. -1 if an operation
 * failed or a value was wrong. */
int measure_run(const bench_engine *engine, void *db, const measure_plan *plan,
                double *ret_ns_per_op);

/* Puts every key once; reads every key once, checking it. */
int measure_load(const bench_engine *engine, void *db, uint32_t keys);
int measure_warm(const bench_engine *engine, void *db, uint32_t keys);

double measure_seconds(void);

#endif
