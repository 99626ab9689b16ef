/* set_algebra.c - intersection, union and difference of sets: shown, counted, or stored.
 *
 * Bytes owned: none; what is stored is a new set (set.c). The work itself is a merge (set_merge.c), in one of two ways:
 *   aside    a read of large sets: the scans are opened in a rule, which proves that they belong to one state, and walked over after it,
 *            without a lock; others may write meanwhile for as long as it takes.
 *   inside   all in the rule: what is stored, for it must be of the state that it is stored into; a small leader with much larger others,
 *            which are then looked into member by member; and more than ROUND_MAX sets, which are merged in rounds, each with the
 *            result of the one before as a list.
 *
 * Invariants
 *   1. All sets are seen in one state, and a result is stored whole, in one write.
 *   2. The destination is read as it was before: it may be a source too. It is replaced whatever it holds, its expiry too; an empty
 *      result deletes it.
 *   3. Every key is looked at for its type before anything is done, a missing one is an empty set.
 *   4. Memory: a scan for each set, and the result where it is shown or stored (two records a member in the write). Counting takes
 *      none.
 * Locks: none of its own.
 */
#include <mlkv/set.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "types/argument.h"
#include "types/set.h"
#include "types/set_merge.h"
#include "types/values.h"

#include <stdlib.h>

enum {
    ROUND_MAX = 32,    /* scans open at once: each is a reader of LMDB */
    PROBE_FACTOR = 16, /* a look-up costs about as much as so many steps of a scan */
    PROBE_LEADER_MAX =
        65536, /* members looked up inside a read, which may have to run again: some 100 ms */
};

typedef struct {
    const mlkv_slice *keys;
    size_t n;
    set_operation operation;
    merge_source *sources; /* n of them */
    size_t count;          /* of those that take part */
    bool empty;            /* nothing can be in the result */
    bool aside;
    mlkv_rows lists[2]; /* results of rounds */
    record_key key;     /* of a list's member */
    /* where it goes */
    mlkv_rows *rows;        /* shown */
    uint64_t limit, number; /* counted; limit 0: none */
    mlkv_slice destination; /* stored */
    bool stores;
    op *o;
    entry result;
} algebra;

/* --- sinks --- */

static int show(void *context, mlkv_slice name)
{
    return rows_append(((algebra *)context)->rows, name);
}

static int tally(void *context, mlkv_slice name)
{
    algebra *self = context;
    (void)name;
    return ++self->number == self->limit ? MLKV_ABSENT : MLKV_OK;
}

static int put(void *context, mlkv_slice name)
{
    algebra *self = context;
    int result = self->number++ == 0 ? entry_create(self->o, &self->result, TYPE_SET) : MLKV_OK;
    return result != MLKV_OK ? result : set_append(self->o, &self->result, name);
}

static int list(void *context, mlkv_slice name)
{
    return rows_append(context, name);
}

static set_sink sink_of(const algebra *self)
{
    return self->stores ? put : self->rows != NULL ? show : tally;
}

/* --- what takes part --- */

static void close_all(algebra *self)
{
    for (size_t i = 0; i < self->n; i++)
        merge_close(&self->sources[i]);
}

/* Looks at all keys; sources[0..count) become the sets that are there, sources[0] the one that leads. */
static int resolve(algebra *self, op *o)
{
    entry set;
    size_t smallest = 0;
    self->count = 0;
    self->empty = false;
    for (size_t i = 0; i < self->n; i++) {
        entry_prefetch_batch(o, self->keys, self->n, i);
        int result = entry_open(o, self->keys[i], TYPE_SET, &set);
        if (result < 0)
            return result;
        bool needed =
            self->operation == SET_INTERSECT || (self->operation == SET_DIFFERENCE && i == 0);
        self->empty = self->empty || (result == MLKV_ABSENT && needed);
        if (result == MLKV_ABSENT)
            continue;
        self->sources[self->count] = (merge_source){.id = set.header.id, .count = set.header.count};
        if (set.header.count < self->sources[smallest].count)
            smallest = self->count;
        self->count++;
    }
    self->empty = self->empty || self->count == 0;
    if (self->operation == SET_INTERSECT && !self->empty) {
        merge_source leader = self->sources[smallest];
        self->sources[smallest] = self->sources[0];
        self->sources[0] = leader;
    }
    return MLKV_OK;
}

/* Decides how to go about it. */
static void choose(algebra *self)
{
    const merge_source *leader = &self->sources[0];
    bool may_probe =
        self->operation != SET_UNION && (self->stores || leader->count <= PROBE_LEADER_MAX);
    bool probes = false;
    for (size_t i = 1; i < self->count && may_probe; i++) {
        self->sources[i].probed = self->sources[i].count / PROBE_FACTOR > leader->count;
        probes = probes || self->sources[i].probed;
    }
    self->aside = !self->stores && !probes && self->count <= ROUND_MAX;
}

static int open_some(op *o, merge_source *sources, size_t n)
{
    int result = MLKV_OK;
    for (size_t i = 0; i < n && result == MLKV_OK; i++)
        if (sources[i].list == NULL && !sources[i].probed)
            result = merge_open(o, &sources[i]);
    return result;
}

/* --- rounds --- */

/* sources[first] leads, or is the first of a union; what a round before left stands there as a list. */
static int run_rounds(algebra *self, op *o)
{
    size_t first = 0;
    int result = MLKV_OK;
    for (unsigned round = 0; result == MLKV_OK; round++) {
        size_t n = self->count - first < ROUND_MAX ? self->count - first : ROUND_MAX;
        merge_source *sources = self->sources + first;
        mlkv_rows *between = &self->lists[round % 2];
        bool last = first + n == self->count;
        result = open_some(o, sources, n);
        if (result == MLKV_OK && !last)
            rows_clear(between);
        if (result == MLKV_OK)
            result = last ? merge_run(o, self->operation, sources, n, sink_of(self), self)
                          : merge_run(o, self->operation, sources, n, list, between);
        for (size_t i = 0; i < n; i++)
            merge_close(&sources[i]);
        if (last || result != MLKV_OK)
            break;
        rows_finish(between);
        first += n - 1; /* the last one's place is free: the list takes it */
        self->sources[first] =
            (merge_source){.list = between, .count = between->count, .key = &self->key};
    }
    return result;
}

static int reset(algebra *self, op *o)
{
    close_all(self);
    self->o = o;
    self->number = 0;
    self->aside = false;
    if (self->rows != NULL)
        rows_clear(self->rows);
    int result = resolve(self, o);
    if (result == MLKV_OK && !self->empty)
        choose(self);
    return result;
}

static int read_rule(op *o, void *context)
{
    algebra *self = context;
    int result = reset(self, o);
    if (result != MLKV_OK || self->empty)
        return result;
    return self->aside ? open_some(o, self->sources, self->count) : run_rounds(self, o);
}

static int store_rule(op *o, void *context)
{
    algebra *self = context;
    int result = reset(self, o);
    if (result == MLKV_OK)
        result = entry_open(o, self->destination, TYPE_ANY, &self->result);
    if (result == MLKV_OK || (result == MLKV_ABSENT && self->result.expired))
        result = entry_remove(o, &self->result);
    result = result == MLKV_ABSENT ? MLKV_OK : result;
    if (result == MLKV_OK && !self->empty)
        result = run_rounds(self, o);
    if (result != MLKV_OK || self->number == 0)
        return result;
    return entry_store(o, &self->result, slice_of(NULL, 0), slice_of(NULL, 0));
}

/* --- the calls --- */

static int check(const mlkv *view, const algebra *self)
{
    int result = argument_pointer(view, "view");
    if (result == MLKV_OK)
        result = argument_slices(self->keys, self->n, "keys");
    if (result == MLKV_OK && self->n == 0)
        result = error_set(MLKV_E_ARGUMENT, "n is 0, there must be a key");
    return result;
}

static int run(mlkv *view, algebra *self)
{
    self->sources = calloc(self->n, sizeof *self->sources);
    if (self->sources == NULL)
        return error_set_memory("a merge of sets");
    int result = self->stores ? op_write(view, store_rule, self) : op_read(view, read_rule, self);
    if (result == MLKV_OK && self->aside)
        result = merge_run(NULL, self->operation, self->sources, self->count, sink_of(self), self);
    close_all(self);
    mlkv_rows_free(&self->lists[0]);
    mlkv_rows_free(&self->lists[1]);
    free(self->sources);
    return result;
}

static int show_all(mlkv *view, set_operation operation, const mlkv_slice *keys, size_t n,
                    mlkv_rows *ret_members)
{
    algebra self = {.keys = keys, .n = n, .operation = operation, .rows = ret_members};
    int result = check(view, &self);
    if (result == MLKV_OK)
        result = argument_pointer(ret_members, "ret_members");
    return result != MLKV_OK ? result : values_end_rows(run(view, &self), ret_members);
}

int mlkv_set_intersection(mlkv *view, const mlkv_slice *keys, size_t n, mlkv_rows *ret_members)
{
    return show_all(view, SET_INTERSECT, keys, n, ret_members);
}

int mlkv_set_union(mlkv *view, const mlkv_slice *keys, size_t n, mlkv_rows *ret_members)
{
    return show_all(view, SET_UNION, keys, n, ret_members);
}

int mlkv_set_difference(mlkv *view, const mlkv_slice *keys, size_t n, mlkv_rows *ret_members)
{
    return show_all(view, SET_DIFFERENCE, keys, n, ret_members);
}

int mlkv_set_intersection_count(mlkv *view, const mlkv_slice *keys, size_t n, uint64_t limit,
                                uint64_t *ret_count)
{
    algebra self = {.keys = keys, .n = n, .operation = SET_INTERSECT, .limit = limit};
    int result = check(view, &self);
    if (result == MLKV_OK)
        result = argument_pointer(ret_count, "ret_count");
    if (result == MLKV_OK)
        result = run(view, &self);
    if (result == MLKV_OK)
        *ret_count = self.number;
    return result;
}

static int store_all(mlkv *view, set_operation operation, mlkv_slice destination,
                     const mlkv_slice *keys, size_t n, uint64_t *ret_count)
{
    algebra self = {
        .keys = keys, .n = n, .operation = operation, .destination = destination, .stores = true};
    int result = check(view, &self);
    if (result == MLKV_OK)
        result = argument_slice(destination, "destination");
    if (result == MLKV_OK)
        result = run(view, &self);
    if (result == MLKV_OK && ret_count != NULL)
        *ret_count = self.number;
    return result;
}

int mlkv_set_intersection_store(mlkv *view, mlkv_slice destination, const mlkv_slice *keys,
                                size_t n, uint64_t *ret_count)
{
    return store_all(view, SET_INTERSECT, destination, keys, n, ret_count);
}

int mlkv_set_union_store(mlkv *view, mlkv_slice destination, const mlkv_slice *keys, size_t n,
                         uint64_t *ret_count)
{
    return store_all(view, SET_UNION, destination, keys, n, ret_count);
}

int mlkv_set_difference_store(mlkv *view, mlkv_slice destination, const mlkv_slice *keys, size_t n,
                              uint64_t *ret_count)
{
    return store_all(view, SET_DIFFERENCE, destination, keys, n, ret_count);
}
