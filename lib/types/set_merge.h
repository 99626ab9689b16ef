/* set_merge.h - intersection, union and difference of sets as merges of ordered scans: what set_algebra.c is made of. */
#ifndef MLKV_TYPES_SET_MERGE_H
#define MLKV_TYPES_SET_MERGE_H

#include "types/layout.h"
#include "view/op.h"

typedef enum { SET_INTERSECT, SET_UNION, SET_DIFFERENCE } set_operation;

/* Takes one member of the result; they come in the order of record keys, each once. 0; MLKV_ABSENT: no more is wanted; negative. */
typedef int (*set_sink)(void *context, mlkv_slice name);

/* One set in a merge: a scan, or a list of members in order. */
typedef struct {
    uint64_t id, count;
    scan *walk;            /* of its E records */
    const mlkv_rows *list; /* instead of one; not owned */
    size_t next;           /* in list */
    bool probed;           /* looked up member by member instead of walked over */
    bool ended;
    mlkv_slice rest, name; /* where it stands: the record key behind the id, and the name */
    record_key *key;       /* of a list: memory for rest; not owned */
} merge_source;

/* Opens the scan of a source that is neither a list nor probed. */
int merge_open(op *o, merge_source *self);
void merge_close(merge_source *self);

/* Merges n sources, the first of which leads an intersection or difference (and is not probed). o may be NULL if none is probed.
 * 0, also if the sink wanted no more; negative. */
int merge_run(op *o, set_operation operation, merge_source *sources, size_t n, set_sink sink,
              void *context);

#endif
