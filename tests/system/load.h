/* load.h - a mixed load on one store by several processes, and what each of them says of itself.
 *
 * The load is steady: each key that it writes it writes over and over, so that the live data stays
 * as large as it is after the first seconds. Used by test_load.c.
 */
#ifndef MLKV_TESTS_SYSTEM_LOAD_H
#define MLKV_TESTS_SYSTEM_LOAD_H

#include <mlkv/mlkv.h>
#include <stdatomic.h>
#include <stdint.h>

enum { LOAD_DETAIL_SIZE = 200 };

typedef struct {
    const char *folder;        /* of the store */
    const char *backup_folder; /* what a backup is made in, and removed from again */
    size_t cache_bytes, ring_bytes, batch_bytes;
    unsigned scale; /* how much live data: some 4 MiB times this */
} load_plan;

/* In memory that the processes share; each writes its own. */
typedef struct {
    _Atomic uint64_t operations;
    _Atomic uint64_t cache_bytes, cache_bytes_max; /* the budget */
    _Atomic uint64_t freed_bytes, backups;         /* by the one that compacts and copies */
    _Atomic uint64_t held; /* snapshots and backups: twice their number, odd while one is held */
    _Atomic int failed;
    char detail[LOAD_DETAIL_SIZE]; /* valid once failed is set */
} load_report;

typedef struct {
    const load_plan *plan;
    mlkv *db;
    load_report *report;
    const _Atomic int *stop;
    uint64_t random;
    unsigned char *bytes; /* random ones, LOAD_BYTES */
    mlkv_buffer value;
} load_worker;

enum { LOAD_BYTES = 8 << 20 };

typedef struct {
    const char *name;
    int (*turn)(load_worker *self); /* a few milliseconds of work; negative: the load has failed */
} load_role;

extern const load_role load_roles[];
extern const unsigned load_role_count;

/* One process: opens, works until *stop, closes. Its exit status. */
int load_work(const load_plan *plan, unsigned role, load_report *report, const _Atomic int *stop);

/* Options of every opening of the load. */
mlkv_options load_options(const load_plan *plan);

/* What any state of the store must satisfy, seen through any view: 0, or -1 with a text in detail. */
int load_check(mlkv *view, char *detail);

#endif
