/* recorder.h - what a program that is linked with recorder.c says to it. Until recorder_start all
 * calls pass through unseen. */
#ifndef MLKV_TESTS_POWERCUT_RECORDER_H
#define MLKV_TESTS_POWERCUT_RECORDER_H

#include <stdbool.h>
#include <stdint.h>

/* From now on what this process does to the files of `folder` is noted in the log at `log_path`. 0
 * or -1. */
int recorder_start(const char *folder, const char *log_path);

/* The process dies in its n-th write from now that is O_DSYNC: the bytes are the kernel's and not
 * yet the disk's. small: only writes of less than a sector count, which are those of LMDB's meta
 * page. */
void recorder_die_in_write(uint64_t n, bool small);

/* The workload's own marks. */
void recorder_begun(uint64_t step);
void recorder_durable(uint64_t step);
void recorder_started(uint64_t starts);

#endif
