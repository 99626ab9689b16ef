/* inject.h - makes the C library's and the system's calls of this process fail.
 *
 * inject.c is linked into a test program and defines malloc, pwrite, open and their like, which
 * therefore stand before those of the C library for the program and for liblmdb and libzstd alike.
 * Each counts its calls, and the one that a plan names fails with the plan's errno, or writes only
 * half. Calls on files count only below the folder that is watched, so that the test's own reports
 * go through.
 *
 * It counts allocations that are alive, too: a leak is seen without a sanitizer.
 */
#ifndef MLKV_TESTS_FAULTS_INJECT_H
#define MLKV_TESTS_FAULTS_INJECT_H

#include <stdbool.h>
#include <stdint.h>

typedef enum {
    INJECT_ALLOCATION = 1u << 0, /* malloc, calloc, realloc, aligned_alloc, posix_memalign */
    INJECT_OPEN = 1u << 1,       /* open, openat, mkdir */
    INJECT_WRITE = 1u << 2,      /* write, writev, pwrite, pwritev */
    INJECT_SYNC = 1u << 3,       /* fsync, fdatasync, msync */
    INJECT_SIZE = 1u << 4,       /* ftruncate, fallocate, posix_fallocate */
    INJECT_MAP = 1u << 5,        /* mmap, also without a file */
    INJECT_NAME = 1u << 6,       /* rename, renameat, linkat */
    INJECT_READ = 1u << 7,       /* read, pread */
} inject_kind;

typedef struct {
    unsigned kinds;   /* which calls count */
    uint64_t nth;     /* the first call that fails, from 1; 0: none, only count */
    uint64_t times;   /* so many fail in a row; UINT64_MAX: from then on */
    int error;        /* errno; 0: writes are cut in half, other calls go through */
    bool this_thread; /* only calls of the thread that arms count */
} inject_plan;

/* Files below this folder are watched; the text is copied. */
void inject_watch(const char *folder);
/* From now on. Returns nothing that can fail; replaces the plan before. */
void inject_arm(const inject_plan *plan);
/* All goes through again. Returns how many calls counted. */
uint64_t inject_disarm(void);
/* How many calls failed or were cut since inject_arm. */
uint64_t inject_hits(void);
/* Allocations alive in the process. */
int64_t inject_alive(void);
/* What to print if the process dies of a signal: the round that it was in. */
void inject_caption(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
