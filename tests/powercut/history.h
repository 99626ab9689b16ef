/* history.h - from a recording to the disks that a power cut may leave. */
#ifndef MLKV_TESTS_POWERCUT_HISTORY_H
#define MLKV_TESTS_POWERCUT_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

typedef struct history history;

/* Reads a finished recording, which stays mapped until history_free. NULL on failure, said on
 * stderr. */
history *history_load(const char *log_path);
void history_free(history *self); /* NULL accepted */

/* Cuts are possible after event `start` - 1 to `end` - 1. */
uint32_t history_start(const history *self);
uint32_t history_end(const history *self);

typedef struct {
    uint64_t seed;  /* which of the legal disks */
    uint32_t event; /* the first that did not come to be */
    bool lies;      /* a disk whose syncs do nothing: what the tests try on themselves */
} power_cut;

/* What was promised before the cut, and the last step that had begun. */
typedef struct {
    uint64_t durable, begun; /* steps */
    uint64_t started;        /* processes that had begun to work */
} promises;
promises history_promises(const history *self, uint32_t event);

/* One of the events after which the least is certain: files made or replaced, processes killed
 * inside a write. */
uint32_t history_turn(const history *self, uint64_t random);

/* Writes one disk that the cut may leave into `folder`, which exists and is empty. 0 or -1, said on
 * stderr. One thread of a process at a time. */
int history_build(history *self, power_cut cut, const char *folder);

/* Pseudo-random numbers, the same for the same seed. */
uint64_t history_random(uint64_t *state);

#endif
