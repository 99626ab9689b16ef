/* set_merge.c - merges of sets, without holding any of them in memory.
 *
 * The E records of each set stand in one order: that of their record keys behind the id, which a member has in common in all sets. So
 * the sets are walked over side by side:
 *   union         the lowest member of all that stand somewhere; whoever stands on it goes on
 *   intersection  the leader's members; the others are moved up to each, and it counts if all of them stand on it
 *   difference    the same, if none of them does
 * In the latter two a set may be probed instead: a look-up for each member of the leader, which costs less if it is much larger.
 *
 * Invariants
 *   1. What a source shows lives until that source moves; a sink is called before anything moves.
 *   2. Two long names with one digest are an error, as everywhere (named.c): they would be one member.
 * Locks: none.
 */
#include "types/set_merge.h"

#include "base/bytes.h"
#include "base/error.h"
#include "types/element.h"

int merge_open(op *o, merge_source *self)
{
    record_key prefix;
    layout_id(RECORD_ELEMENT, self->id, &prefix);
    return op_scan_open(o, record_key_slice(&prefix), slice_of(NULL, 0), &self->walk);
}

void merge_close(merge_source *self)
{
    scan_close(self->walk);
    self->walk = NULL;
}

/* --- one source --- */

static void set_place(merge_source *self, mlkv_slice key)
{
    self->rest =
        slice_of((const unsigned char *)key.data + ELEMENT_HEAD_SIZE, key.size - ELEMENT_HEAD_SIZE);
}

/* MLKV_ABSENT at the end. */
static int step(merge_source *self)
{
    mlkv_slice key, value, index;
    int result;
    if (self->list != NULL) {
        if (self->next == self->list->count)
            return MLKV_ABSENT;
        self->name = self->list->items[self->next++];
        result = layout_element(0, self->name, self->key);
        if (result == MLKV_OK)
            set_place(self, record_key_slice(self->key));
        return result;
    }
    result = scan_next(self->walk, &key, &value);
    if (result == MLKV_OK)
        result = layout_split_name(key, ELEMENT_HEAD_SIZE, value, &self->name, &index);
    if (result == MLKV_OK)
        set_place(self, key);
    return result;
}

static int move(merge_source *self)
{
    int result = step(self);
    self->ended = result == MLKV_ABSENT;
    return self->ended ? MLKV_OK : result;
}

static int begin(merge_source *sources, size_t n)
{
    int result = MLKV_OK;
    for (size_t i = 0; i < n && result == MLKV_OK; i++)
        if (!sources[i].probed)
            result = move(&sources[i]);
    return result;
}

/* Of two that stand: their order; *ret_result: MLKV_E_CORRUPT if they only seem to be one member. */
static int compare(const merge_source *a, const merge_source *b, int *ret_result)
{
    int order = slice_compare(a->rest, b->rest);
    if (order == 0 && a->rest.size == RECORD_KEY_SIZE_MAX - ELEMENT_HEAD_SIZE &&
        !slice_equal(a->name, b->name))
        *ret_result = error_set(MLKV_E_CORRUPT, "two long names have one digest: \"%s...\"",
                                error_quote(a->name.data, a->name.size));
    return order;
}

/* --- union --- */

/* The one that stands lowest; NULL at the end. */
static merge_source *find_lowest(merge_source *sources, size_t n, int *ret_result)
{
    merge_source *lowest = NULL;
    for (size_t i = 0; i < n; i++)
        if (!sources[i].ended && (lowest == NULL || compare(&sources[i], lowest, ret_result) < 0))
            lowest = &sources[i];
    return lowest;
}

static int merge_union(merge_source *sources, size_t n, set_sink sink, void *context)
{
    int result = MLKV_OK;
    merge_source *lowest;
    while (result == MLKV_OK && (lowest = find_lowest(sources, n, &result)) != NULL) {
        if (result == MLKV_OK)
            result = sink(context, lowest->name);
        for (size_t i = 0; i < n && result == MLKV_OK;
             i++) /* those beside it first: it is what they are compared with */
            if (&sources[i] != lowest && !sources[i].ended &&
                compare(&sources[i], lowest, &result) == 0 && result == MLKV_OK)
                result = move(&sources[i]);
        if (result == MLKV_OK)
            result = move(lowest);
    }
    return result;
}

/* --- intersection and difference --- */

/* Whether the leader's member is in the other one. 0, MLKV_ABSENT, negative. */
static int find(op *o, merge_source *self, const merge_source *leader)
{
    element found;
    int result = MLKV_OK, order = -1;
    if (self->probed)
        return element_open(o, self->id, leader->name, &found);
    while (!self->ended && result == MLKV_OK && (order = compare(self, leader, &result)) < 0)
        result = move(self);
    if (result != MLKV_OK)
        return result;
    return self->ended || order != 0 ? MLKV_ABSENT : MLKV_OK;
}

static int merge_leader(op *o, bool wanted, merge_source *sources, size_t n, set_sink sink,
                        void *context)
{
    merge_source *leader = &sources[0];
    int result = MLKV_OK;
    while (!leader->ended && result == MLKV_OK) {
        bool counts = true;
        for (size_t i = 1; i < n && counts && result >= 0; i++) {
            if (sources[i].ended && wanted)
                return MLKV_OK; /* nothing behind here can be in all of them */
            result = find(o, &sources[i], leader);
            counts = (result == MLKV_OK) == wanted;
        }
        if (result < 0)
            return result;
        result = counts ? sink(context, leader->name) : MLKV_OK;
        if (result == MLKV_OK)
            result = move(leader);
    }
    return result;
}

int merge_run(op *o, set_operation operation, merge_source *sources, size_t n, set_sink sink,
              void *context)
{
    int result = begin(sources, n);
    if (result == MLKV_OK)
        result = operation == SET_UNION
                     ? merge_union(sources, n, sink, context)
                     : merge_leader(o, operation == SET_INTERSECT, sources, n, sink, context);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}
