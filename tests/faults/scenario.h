/* scenario.h - one life of a store, step by step, under calls that fail; and the oracle that knows
 * what must be there afterwards.
 *
 * Each step is one call that writes, or one transaction; it is done whole or not at all. A step
 * that said MLKV_OK must be seen by everything that reads later, in any process; one that failed has
 * changed nothing, but for MLKV_E_DURABILITY, after which it is seen whole or not at all.
 */
#ifndef MLKV_TESTS_FAULTS_SCENARIO_H
#define MLKV_TESTS_FAULTS_SCENARIO_H

#include <mlkv/mlkv.h>
#include <stdbool.h>

enum { SCENARIO_STEPS = 26, SCENARIO_NOT_RUN = 100 };

typedef struct {
    const char *folder;
    mlkv_options options;
    mlkv *db;                    /* NULL: not open */
    int results[SCENARIO_STEPS]; /* of each step's call; SCENARIO_NOT_RUN */
    unsigned failed;             /* calls of any sort that gave an error */
    int last_error;              /* the last of these */
    char last_detail[300];
    unsigned allowed; /* results that may come: bit -result */
} scenario;

/* A fresh one, over an empty folder that need not exist. */
void scenario_init(scenario *self, const char *folder, mlkv_durability durability,
                   unsigned allowed);
/* MLKV_OK: self->db is open. */
int scenario_open(scenario *self);
/* All steps once, each followed by a look at it. */
void scenario_write(scenario *self);
/* Looks at all steps through this view; an error of a read is counted, wrong content fails the
 * test. */
void scenario_look(scenario *self, mlkv *view);
/* Snapshot, scan, flush, stats. */
void scenario_visit(scenario *self);
void scenario_close(scenario *self);
/* A backup of the open store under the plan that is armed now; then, with nothing armed, what came of
 * it: a store with everything that the original holds, or no store at all. The original is as it was,
 * and not harmed. Returns what the call said. */
int scenario_backup(scenario *self, const char *path);
/* With everything healthy again: the open store takes a write and gives it back. */
void scenario_prove_usable(scenario *self);
/* With everything healthy again: opens, looks at everything strictly, verifies, proves that it is
 * usable, closes. */
void scenario_prove(scenario *self);

/* Bits of `allowed`. */
#define ALLOW(result) (1u << -(result))

#endif
