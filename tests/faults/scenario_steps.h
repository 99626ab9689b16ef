/* scenario_steps.h - the scenario's table: one call or one transaction a step, and how to look whether it is there. */
#ifndef MLKV_TESTS_FAULTS_SCENARIO_STEPS_H
#define MLKV_TESTS_FAULTS_SCENARIO_STEPS_H

#include "inject.h"
#include "scenario.h"

enum {
    SCENARIO_RING_SIZE = 64 << 10,
    BLOB_SIZE = 40000,  /* a blob of one piece */
    MANY = 600,         /* pairs that no frame takes: an oversize batch */
    COUNTER_FIRST = 11, /* the steps that add to the counter */
    COUNTER_LAST = 14,
};

typedef enum { LOOK_ABSENT = 0, LOOK_DONE = 1 } look_state;

typedef struct {
    const char *name;
    int (*act)(scenario *self, mlkv *view);
    int (*look)(mlkv *view); /* a look_state, or an error */
} scenario_step;

extern const scenario_step scenario_steps[SCENARIO_STEPS];

/* Bytes that zstd does not shrink, the same for the same seed; static storage. */
mlkv_slice scenario_value(size_t size, unsigned seed);

/* Check's own assertions allocate even when they hold. */
#define REQUIRE(condition, ...)        \
    do {                               \
        if (!(condition)) {            \
            (void)inject_disarm();     \
            ck_abort_msg(__VA_ARGS__); \
        }                              \
    } while (0)

#endif
