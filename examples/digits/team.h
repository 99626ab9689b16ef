/* team.h - the parent's side: starts the workers, listens to them, kills one and replaces it. */
#ifndef DIGITS_TEAM_H
#define DIGITS_TEAM_H

#include "worker.h"

#include <stdbool.h>
#include <sys/types.h>

enum { WORKERS_MAX = 64 };

typedef struct {
    worker_task task;
    pid_t process;
    int pipe;          /* -1: it has ended */
    step_message last; /* the last step that it told of */
    int in_place_of;   /* number of the worker that it replaced; -1: none */
    bool killed;
    bool failed; /* ended in another way than by finishing or by the parent's kill */
} worker;

typedef struct {
    worker workers[WORKERS_MAX + 1]; /* and the replacement */
    unsigned count;
    uint64_t steps; /* wanted from all of them together */
    double seconds; /* the training took */
} team;

/* Trains with so many processes, each forked with the open db; the parent kills one in the middle.
 * False: a worker failed, or *interrupted became non-zero. */
bool team_train(team *self, mlkv *db, unsigned workers, uint64_t steps,
                const volatile int *interrupted);

uint64_t team_acknowledged(const team *self);

#endif
