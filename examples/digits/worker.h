/* worker.h - one process that trains the shared model. */
#ifndef DIGITS_WORKER_H
#define DIGITS_WORKER_H

#include "common.h"

/* Written to the worker's pipe after each step: this step has been acknowledged by the store.
 * Smaller than PIPE_BUF, so it arrives whole or not at all, even from a worker that dies. */
typedef struct {
    uint64_t step;   /* the worker's own counter in the store, as this step left it */
    uint64_t reads;  /* calls that read, since the worker began */
    uint64_t writes; /* calls that wrote */
    double loss;     /* of this step's batch */
} step_message;

typedef struct {
    unsigned number; /* names its counter: field "worker:<number>" of model:steps */
    uint64_t quota;  /* steps that this place among the workers has to do */
    uint64_t first;  /* steps that a killed worker did of them */
    int endless;     /* goes on until it is killed */
    int pipe;        /* where step messages go */
} worker_task;

/* The worker's counter as the store has it. */
uint64_t worker_stored_steps(mlkv *view, unsigned number);

/* Does the steps. db is the handle that the parent opened before it forked. */
void worker_run(mlkv *db, const worker_task *task);

#endif
