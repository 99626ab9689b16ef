/* fault.h - fault points: places where a test can make the process die, pause or fail. Only in test builds (meson -Dfaults=true).
 *
 * Each point has a number from the table. A test arms it through fault_arm (in process) or the victim program does so for itself; the
 * points that were passed are counted in memory that a test may place in a shared mapping (fault_counters_place), so that a parent sees
 * which step of the write path a killed child was in. In a release build FAULT_POINT is nothing and FAULT_FAIL is 0.
 *
 * Watch points are where a reader stands between two looks, or a catching up between two changes. Nobody dies there, since nothing
 * shared changes: a test's watcher does there what another thread or process might do at that moment, so that an interleaving is made
 * and not hoped for. In a release build WATCH_POINT is nothing.
 */
#ifndef MLKV_BASE_FAULT_H
#define MLKV_BASE_FAULT_H

#include <stdint.h>

#define FAULT_TABLE(X)                                                                             \
    X(WRITE_LOCKED)       /* writer lock taken, nothing done */                                    \
    X(WRITE_CAUGHT_UP)    /* others' frames applied here */                                        \
    X(WRITE_RULE_DONE)    /* batch collected */                                                    \
    X(APPEND_RESERVED)    /* reserved raised, no byte written */                                   \
    X(APPEND_HALF)        /* half of the frame's bytes written */                                  \
    X(APPEND_WRITTEN)     /* whole frame written, not visible */                                   \
    X(APPEND_CHAINED)     /* chain slot written, tail not yet */                                   \
    X(APPEND_VISIBLE)     /* tail advanced */                                                      \
    X(WRITE_APPLIED_HERE) /* own frame in cache and pending */                                     \
    X(WRITE_UNLOCKED)     /* writer lock released */                                               \
    X(SYNC_LOCKED)        /* sync lock taken */                                                    \
    X(SYNC_WRITTEN)       /* log written, synced not raised */                                     \
    X(SYNC_RAISED)        /* synced raised */                                                      \
    X(APPLY_LOCKED)       /* LMDB write transaction begun */                                       \
    X(APPLY_COLLECTED)    /* frames collected and sorted */                                        \
    X(APPLY_PUT)          /* records put, not committed */                                         \
    X(APPLY_COMMITTED)    /* LMDB committed, header not raised */                                  \
    X(APPLY_RAISED)       /* header's applied raised */                                            \
    X(DIRECT_COMMITTED)   /* oversize batch in LMDB, no marker yet */                              \
    X(DIRECT_MARKED)      /* marker appended */                                                    \
    X(BLOB_PIECE)         /* some pieces of a blob committed with its note */                      \
    X(BLOB_WRITTEN)       /* blob committed, no reference yet */                                   \
    X(CLEAN_WASTE)        /* waste deleted from LMDB, its record not yet */                        \
    X(COMPACT_LOCKED)     /* a step of compaction: LMDB's writer lock taken, nothing given back */ \
    X(COMPACT_PUNCHED)    /* a hole punched, the lock still held */                                \
    X(BACKUP_COPIED)      /* a backup's pages copied, not marked as a closed store */              \
    X(BACKUP_MARKED)      /* marked and synced, not named */                                       \
    X(BACKUP_NAMED)       /* data.mdb is its name, the folder not synced */                        \
    X(READER_SLOT)        /* a new slot in LMDB's table of readers, about to be taken */           \
    X(RECOVER_BEGUN)      /* alone in the store, LMDB open */                                      \
    X(RECOVER_SCANNED)    /* old frames found */                                                   \
    X(RECOVER_APPLIED)    /* they are in LMDB, marked clean */                                     \
    X(RECOVER_RETIRED)    /* the old header retired, the new one not yet in its place */           \
    X(RECOVER_FILES)      /* new journal files in place */                                         \
    X(RECOVER_DONE)       /* LMDB marked unclean with the new generation */                        \
    X(CLOSE_OTHERS)       /* closing, and others were alive; still counted as one of them */       \
    X(CLOSE_RESIGNED)     /* not counted as alive any more, about to ask who is */                 \
    X(CLOSE_APPLIED)      /* last close: all in LMDB */                                            \
    X(CLOSE_CLEAN)        /* marked clean */

typedef enum {
#define FAULT_ENUM(name) FAULT_##name,
    FAULT_TABLE(FAULT_ENUM)
#undef FAULT_ENUM
        FAULT_COUNT
} fault_point;

#define WATCH_TABLE(X)                                                                               \
    X(READ_NOTED)    /* the cache's position of the record noted, nothing looked up */               \
    X(READ_PENDING)  /* neither in the cache nor pending, LMDB not yet asked */                      \
    X(READ_SNAPSHOT) /* LMDB's snapshot found fit, nothing read from it */                           \
    X(READ_FILL)     /* read from LMDB, about to go into the cache */                                \
    X(RING_PEEKED) /* a header in the ring believed for its sizes, the bytes behind it not copied */ \
    X(TAKE_PENDING) /* of a frame, all records in pending, none in the cache */                      \
    X(TAKE_CACHE)   /* of a frame, one more record in the cache */                                   \
    X(RESET_RAISED) /* all positions of the cache raised, nothing emptied */                         \
    X(BLOB_READ)    /* a reference to a blob read, the blob not yet */                               \
    X(HELD_SHARD)   /* the lock of a part of the cache is held */                                    \
    X(HELD_RUNS)    /* the lock of the ordered index of what is pending is held */                   \
    X(HELD_WAKING)  /* the lock of the background threads is held */                                 \
    X(FILE_READ)    /* a piece of a file that is imported was read */                                \
    X(FILE_WRITTEN) /* an exported file is whole and synced, and does not bear its name */

typedef enum {
#define WATCH_ENUM(name) WATCH_##name,
    WATCH_TABLE(WATCH_ENUM)
#undef WATCH_ENUM
} watch_point;

typedef enum { FAULT_NONE, FAULT_KILL, FAULT_SLEEP, FAULT_ERROR, FAULT_STOP } fault_action;

#ifdef MLKV_FAULTS
/* Arms one point: at its `pass`-th passing from now (1 = next) the action happens (KILL: SIGKILL to itself; SLEEP: for `argument` us
 * at that and every later passing; ERROR: FAULT_FAIL yields `argument`, an errno, once; STOP: SIGSTOP to itself, until SIGCONT). */
void fault_arm(fault_point point, fault_action action, uint64_t pass, int argument);
void fault_disarm_all(void);
/* Counters of passings, FAULT_COUNT of them, from now on kept in `counters` (shared memory of a test),
 * plus the last point passed in counters[FAULT_COUNT]. */
void fault_counters_place(uint64_t *counters);
/* From now on `observer` is called at each passing of any point, in the passing thread, before the
 * point does anything else; NULL: nobody. It must not pass a point itself. */
typedef void (*fault_observer)(fault_point point);
void fault_observe(fault_observer observer);
const char *fault_name(fault_point point);
int fault_pass(fault_point point); /* 0 or an errno */
/* From now on this process's wall clock is `ms` ahead of the machine's (clock.c). */
void fault_clock_shift(int64_t ms);
/* From now on `watcher` is called at each passing of a watch point, in the passing thread, with the locks that the thread holds there;
 * NULL: nobody. What it does passes watch points unwatched. */
typedef void (*fault_watcher)(watch_point point);
void fault_watch(fault_watcher watcher);
void fault_watch_pass(watch_point point);
#define FAULT_POINT(name) ((void)fault_pass(FAULT_##name))
#define FAULT_FAIL(name)  fault_pass(FAULT_##name)
#define WATCH_POINT(name) fault_watch_pass(WATCH_##name)
#else
#define FAULT_POINT(name) ((void)0)
#define FAULT_FAIL(name)  0
#define WATCH_POINT(name) ((void)0)
#endif

#endif
