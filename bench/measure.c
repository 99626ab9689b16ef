/* measure.c - runs a workload on an engine by several threads.
 *
 * Each thread has a lane of the engine and its own sequence of key numbers, drawn before the clock
 * starts. All begin together behind a barrier and end at their number of operations or at the time
 * limit, whichever comes first; the result is the time from the first beginning to the last end,
 * divided by all operations. Every value that a get copied out is checked against its key.
 */
#include "measure.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { THREADS_MAX = 64, CLOCK_EVERY = 32 };

typedef struct {
    const bench_engine *engine;
    void *db;
    const measure_plan *plan;
    pthread_barrier_t *barrier;
    uint32_t *indices;
    uint64_t seed;
    size_t done;
    double begun, ended;
    int result;
} worker;

double measure_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int one_get(worker *self, void *lane, uint32_t i)
{
    char key[KEY_BYTES], value[VALUE_BYTES];
    workload_key(i, key);
    if (self->engine->get(lane, key, value) != 0)
        return -1;
    if (workload_value_is_of(key, i, value))
        return 0;
    fprintf(stderr, "%s: key %u has a value that is not its own\n", self->engine->name, i);
    return -1;
}

static int one_put(worker *self, void *lane, uint32_t i)
{
    char key[KEY_BYTES], value[VALUE_BYTES];
    workload_key(i, key);
    workload_value(i, self->seed + self->done, value);
    return self->engine->put(lane, key, value, self->plan->level);
}

static void work(worker *self, void *lane)
{
    const measure_plan *plan = self->plan;
    size_t clock_every =
        plan->kind == WORKLOAD_PUT && plan->level != PUT_BUFFERED ? 1 : CLOCK_EVERY;
    double limit = self->begun + plan->seconds_max;
    while (self->done < plan->operations_max && self->result == 0) {
        uint32_t i = self->indices[self->done];
        self->result = plan->kind == WORKLOAD_GET ? one_get(self, lane, i) : one_put(self, lane, i);
        self->done++;
        if (self->done % clock_every == 0 && measure_seconds() > limit)
            break;
    }
}

static void *run_worker(void *opaque)
{
    worker *self = opaque;
    void *lane = self->engine->lane_begin(self->db);
    pthread_barrier_wait(self->barrier);
    self->begun = measure_seconds();
    if (lane == NULL)
        self->result = -1;
    else
        work(self, lane);
    self->ended = measure_seconds();
    if (lane != NULL)
        self->engine->lane_end(lane);
    return NULL;
}

static int collect(const worker *workers, int n, double *ret_ns_per_op)
{
    double begun = workers[0].begun, ended = workers[0].ended;
    size_t done = 0;
    for (int t = 0; t < n; t++) {
        if (workers[t].result != 0)
            return -1;
        done += workers[t].done;
        begun = workers[t].begun < begun ? workers[t].begun : begun;
        ended = workers[t].ended > ended ? workers[t].ended : ended;
    }
    *ret_ns_per_op = (ended - begun) * 1e9 / (double)done;
    return 0;
}

int measure_run(const bench_engine *engine, void *db, const measure_plan *plan,
                double *ret_ns_per_op)
{
    worker workers[THREADS_MAX];
    pthread_t threads[THREADS_MAX];
    pthread_barrier_t barrier;
    uint32_t *indices = malloc((size_t)plan->threads * plan->operations_max * sizeof *indices);
    if (indices == NULL || plan->threads > THREADS_MAX) {
        free(indices);
        return -1;
    }
    if (engine->level != NULL && plan->kind == WORKLOAD_PUT)
        engine->level(db, plan->level);
    pthread_barrier_init(&barrier, NULL, (unsigned)plan->threads);
    for (int t = 0; t < plan->threads; t++) {
        uint64_t seed = plan->seed * THREADS_MAX + (uint64_t)t;
        uint32_t *mine = indices + (size_t)t * plan->operations_max;
        workload_indices(plan->order, plan->keys, seed, mine, plan->operations_max);
        workers[t] = (worker){.engine = engine,
                              .db = db,
                              .plan = plan,
                              .barrier = &barrier,
                              .indices = mine,
                              .seed = seed << 32};
    }
    for (int t = 0; t < plan->threads; t++) {
        if (pthread_create(&threads[t], NULL, run_worker, &workers[t]) != 0) {
            fprintf(stderr, "bench: no thread to be had\n");
            abort(); /* the others wait at the barrier for ever */
        }
    }
    for (int t = 0; t < plan->threads; t++)
        pthread_join(threads[t], NULL);
    pthread_barrier_destroy(&barrier);
    free(indices);
    if (engine->settle != NULL && plan->kind == WORKLOAD_PUT)
        engine->settle(db);
    return collect(workers, plan->threads, ret_ns_per_op);
}

int measure_load(const bench_engine *engine, void *db, uint32_t keys)
{
    static bench_item items[BATCH_ITEMS];
    int result = 0;
    if (engine->level != NULL)
        engine->level(db, PUT_BUFFERED);
    for (uint32_t first = 0; result == 0 && first < keys; first += BATCH_ITEMS) {
        uint32_t n = keys - first < BATCH_ITEMS ? keys - first : BATCH_ITEMS;
        for (uint32_t i = 0; i < n; i++) {
            workload_key(first + i, items[i].key);
            workload_value(first + i, 0, items[i].value);
        }
        result = engine->load(db, items, n);
    }
    if (engine->settle != NULL)
        engine->settle(db);
    return result;
}

int measure_warm(const bench_engine *engine, void *db, uint32_t keys)
{
    worker self = {.engine = engine, .db = db};
    void *lane = engine->lane_begin(db);
    int result = lane == NULL ? -1 : 0;
    for (uint32_t i = 0; result == 0 && i < keys; i++)
        result = one_get(&self, lane, i);
    if (lane != NULL)
        engine->lane_end(lane);
    return result;
}
