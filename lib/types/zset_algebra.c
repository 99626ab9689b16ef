/* zset_algebra.c - union, intersection and difference of sorted sets and plain sets (whose members have score 1).
 *
 * The sources' E records are passed through, which stand in the order of the members' record keys in every life alike (layout.h). So a
 * union is a merge: one scan of each source, all as of one state. An intersection passes through the smallest source, a difference through
 * the first, and looks each member up in the others.
 *
 * Scores are joined as Redis does it, to the bit: the sources of a union or intersection are taken in the order of their counts; a product
 * or a sum that is not a number counts as 0.
 *
 * Results stand in memory (members in one buffer, an item for each), are sorted by score and member for the caller, and are written
 * unsorted into a destination. All reading comes before all writing, so a destination may be a source.
 * Locks: none.
 */
#include "types/zset.h"

#include "base/buffer.h"
#include "base/error.h"
#include "types/argument.h"

#include <math.h>
#include <stdlib.h>

typedef enum { ALGEBRA_UNION, ALGEBRA_INTERSECTION, ALGEBRA_DIFFERENCE } algebra;

typedef struct {
    uint64_t id, count; /* 0: a missing key */
    bool has_scores;    /* a sorted set */
    double weight;
    scan *walk;
    mlkv_slice key, member, rest; /* where walk stands; key.size 0: at its end */
} source;

typedef struct {
    mlkv_slice member; /* an offset into members until they are finished */
    double score;
} result_item;

typedef struct {
    algebra kind;
    mlkv_slice destination;
    const mlkv_slice *keys;
    size_t n;
    const double *weights;
    int aggregate;
    bool only_counts;
    uint64_t limit; /* of counting; 0: none */
    source *sources;
    mlkv_buffer members, items; /* bytes; result_item[] */
    mlkv_buffer name;
    uint64_t count;
    zset_output output;
} algebra_call;

/* --- scores --- */

static double weighted(const source *from, double score)
{
    double product = from->weight * score;
    return isnan(product) ? 0 : product;
}

static double joined(int aggregate, double a, double b)
{
    if (aggregate == MLKV_ZSET_MIN)
        return b < a ? b : a; /* a, if b is NaN */
    if (aggregate == MLKV_ZSET_MAX)
        return b > a ? b : a;
    return isnan(a + b) ? 0 : a + b;
}

/* The score in an E value; 1 in a plain set's. */
static int read_score(const source *from, mlkv_slice rest, double *ret_score)
{
    *ret_score = 1;
    return from->has_scores ? zset_score(rest, ret_score) : MLKV_OK;
}

/* --- sources --- */

static void close_sources(algebra_call *call)
{
    for (size_t i = 0; i < call->n; i++) {
        scan_close(call->sources[i].walk);
        call->sources[i].walk = NULL;
    }
}

static int open_source(op *o, mlkv_slice key, source *ret_source)
{
    entry found;
    int result = entry_open(o, key, TYPE_ANY, &found);
    if (result != MLKV_OK)
        return result == MLKV_ABSENT ? MLKV_OK : result;
    if (found.header.type != TYPE_ZSET && found.header.type != TYPE_SET)
        return error_set(MLKV_E_TYPE, "key \"%s\" holds neither a sorted set nor a set",
                         error_quote(key.data, key.size));
    ret_source->id = found.header.id;
    ret_source->count = found.header.count;
    ret_source->has_scores = found.header.type == TYPE_ZSET;
    return MLKV_OK;
}

/* By count, those of one count as they were given: there are few keys, and their order decides how sums are rounded. */
static void sort_sources(source *sources, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        source moved = sources[i];
        size_t j = i;
        for (; j != 0 && sources[j - 1].count > moved.count; j--)
            sources[j] = sources[j - 1];
        sources[j] = moved;
    }
}

static int open_sources(op *o, algebra_call *call)
{
    int result = MLKV_OK;
    for (size_t i = 0; i < call->n && result == MLKV_OK; i++) {
        call->sources[i] = (source){.weight = call->weights != NULL ? call->weights[i] : 1};
        result = open_source(o, call->keys[i], &call->sources[i]);
    }
    if (call->kind != ALGEBRA_DIFFERENCE)
        sort_sources(call->sources, call->n);
    return result;
}

/* The next member of a source's walk. */
static int step(source *from)
{
    mlkv_slice value;
    int result = scan_next(from->walk, &from->key, &value);
    if (result == MLKV_ABSENT) {
        from->key = slice_of(NULL, 0);
        return MLKV_OK;
    }
    return result != MLKV_OK
               ? result
               : layout_split_name(from->key, ELEMENT_HEAD_SIZE, value, &from->member, &from->rest);
}

static int open_walk(op *o, source *from)
{
    record_key prefix;
    if (from->count == 0)
        return MLKV_OK;
    layout_id(RECORD_ELEMENT, from->id, &prefix);
    int result = op_scan_open(o, record_key_slice(&prefix), slice_of(NULL, 0), &from->walk);
    return result != MLKV_OK ? result : step(from);
}

/* --- results --- */

static int add_result(algebra_call *call, mlkv_slice member, double score)
{
    call->count++;
    if (call->only_counts)
        return call->limit != 0 && call->count >= call->limit ? MLKV_ABSENT : MLKV_OK;
    result_item item = {slice_of(NULL, member.size), score == 0 ? 0 : score};
    int result = buffer_append(&call->members, member.data, member.size);
    return result != MLKV_OK ? result : buffer_append(&call->items, &item, sizeof item);
}

static void finish_results(algebra_call *call)
{
    const unsigned char *at = call->members.data;
    result_item *items = call->items.data;
    for (size_t i = 0; i < call->items.size / sizeof *items; at += items[i++].member.size)
        items[i].member.data = at;
}

static int compare_items(const void *left, const void *right)
{
    const result_item *a = left, *b = right;
    int order = (a->score > b->score) - (a->score < b->score);
    return order != 0 ? order : slice_compare(a->member, b->member);
}

/* --- the three --- */

static mlkv_slice tail_of(const source *from)
{
    return slice_of((const unsigned char *)from->key.data + ELEMENT_HEAD_SIZE,
                    from->key.size - ELEMENT_HEAD_SIZE);
}

/* The source whose walk stands at the least record key, ids left out; NULL: all are at their end. */
static source *least_source(algebra_call *call)
{
    source *least = NULL;
    for (size_t i = 0; i < call->n; i++) {
        source *from = &call->sources[i];
        if (from->key.size != 0 &&
            (least == NULL || slice_compare(tail_of(from), tail_of(least)) < 0))
            least = from;
    }
    return least;
}

/* Joins the scores of all sources that stand at this member, and takes them a step on. */
static int join_member(algebra_call *call, source *least)
{
    double sum = 0, score;
    bool is_first = true;
    unsigned char tail[RECORD_KEY_SIZE_MAX];
    mlkv_slice key = tail_of(least);
    memcpy(tail, key.data, key.size);
    key.data = tail;
    call->name.size = 0;
    int result = buffer_append(&call->name, least->member.data, least->member.size);
    for (size_t i = 0; i < call->n && result == MLKV_OK; i++) {
        source *from = &call->sources[i];
        if (from->key.size == 0 || !slice_equal(tail_of(from), key))
            continue;
        if (!slice_equal(from->member, slice_of_buffer(&call->name)))
            return error_set(MLKV_E_CORRUPT, "two long names have one digest: \"%s...\"",
                             error_quote(from->member.data, from->member.size));
        result = read_score(from, from->rest, &score);
        score = weighted(from, score);
        sum = is_first ? score : joined(call->aggregate, sum, score);
        is_first = false;
        if (result == MLKV_OK)
            result = step(from);
    }
    return result != MLKV_OK ? result : add_result(call, slice_of_buffer(&call->name), sum);
}

static int make_union(op *o, algebra_call *call)
{
    source *least;
    int result = MLKV_OK;
    for (size_t i = 0; i < call->n && result == MLKV_OK; i++)
        result = open_walk(o, &call->sources[i]);
    while (result == MLKV_OK && (least = least_source(call)) != NULL)
        result = join_member(call, least);
    return result;
}

/* Whether a source has the member, and its score. 0, MLKV_ABSENT, negative. */
static int look_up(op *o, const source *from, mlkv_slice member, double *ret_score)
{
    element found;
    if (from->count == 0)
        return MLKV_ABSENT;
    int result = element_open(o, from->id, member, &found);
    return result != MLKV_OK ? result : read_score(from, found.rest, ret_score);
}

static int intersect_member(op *o, algebra_call *call, const source *base)
{
    double score, sum;
    int result = read_score(base, base->rest, &score);
    sum = result == MLKV_OK ? weighted(base, score) : 0;
    for (size_t i = 1; i < call->n && result == MLKV_OK; i++) {
        result = look_up(o, &call->sources[i], base->member, &score);
        if (result == MLKV_OK)
            sum = joined(call->aggregate, sum, call->sources[i].weight * score);
    }
    if (result == MLKV_OK)
        return add_result(call, base->member, sum);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

static int subtract_member(op *o, algebra_call *call, const source *base)
{
    double score, other;
    int result = MLKV_ABSENT;
    for (size_t i = 1; i < call->n && result == MLKV_ABSENT; i++)
        result = look_up(o, &call->sources[i], base->member, &other);
    if (result != MLKV_ABSENT)
        return result;
    result = read_score(base, base->rest, &score);
    return result != MLKV_OK ? result : add_result(call, base->member, score);
}

/* Passes through the first source. */
static int make_others(op *o, algebra_call *call)
{
    source *base = &call->sources[0];
    int result = open_walk(o, base);
    while (result == MLKV_OK && base->key.size != 0) {
        result = call->kind == ALGEBRA_INTERSECTION ? intersect_member(o, call, base)
                                                    : subtract_member(o, call, base);
        if (result == MLKV_OK)
            result = step(base);
    }
    return result == MLKV_ABSENT ? MLKV_OK : result; /* absent: the limit of a count */
}

/* --- running --- */

static int collect(op *o, algebra_call *call)
{
    call->count = 0;
    call->members.size = call->items.size = 0;
    int result = open_sources(o, call);
    if (result == MLKV_OK)
        result = call->kind == ALGEBRA_UNION ? make_union(o, call) : make_others(o, call);
    close_sources(call);
    finish_results(call);
    return result;
}

static int read_rule(op *o, void *context)
{
    algebra_call *call = context;
    int result = collect(o, call);
    if (result != MLKV_OK || call->only_counts)
        return result;
    result_item *items = call->items.data;
    zset_output_restart(&call->output);
    if (call->count != 0)
        qsort(items, (size_t)call->count, sizeof *items, compare_items);
    for (uint64_t i = 0; i < call->count && result == MLKV_OK; i++)
        result = zset_output_add(&call->output, items[i].member, items[i].score);
    return result;
}

static int store_rule(op *o, void *context)
{
    algebra_call *call = context;
    entry set;
    element member;
    int result = collect(o, call);
    if (result == MLKV_OK)
        result = zset_replace(o, call->destination, &set);
    if (result != MLKV_OK || call->count == 0)
        return result;
    const result_item *items = call->items.data;
    result = entry_create(o, &set, TYPE_ZSET);
    for (uint64_t i = 0; i < call->count && result == MLKV_OK; i++) {
        member.name = items[i].member;
        result = layout_element(set.header.id, member.name, &member.key);
        if (result == MLKV_OK)
            result = zset_put(o, set.header.id, &member, items[i].score);
    }
    set.header.count = call->count;
    return result != MLKV_OK ? result : zset_store(o, &set);
}

static int check(const mlkv *view, const algebra_call *call)
{
    int result = argument_pointer(view, "view");
    if (result == MLKV_OK && call->n == 0)
        result = error_set(MLKV_E_ARGUMENT, "n is 0");
    if (result == MLKV_OK)
        result = argument_slices(call->keys, call->n, "keys");
    if (result == MLKV_OK && (call->aggregate < MLKV_ZSET_SUM || call->aggregate > MLKV_ZSET_MAX))
        result = error_set(MLKV_E_ARGUMENT, "aggregate %d is unknown", call->aggregate);
    for (size_t i = 0; result == MLKV_OK && call->weights != NULL && i < call->n; i++)
        if (isnan(call->weights[i]))
            result = error_set(MLKV_E_NUMBER, "weights[%zu] is not a number (NaN)", i);
    return result;
}

static int run(mlkv *view, algebra_call *call, bool writes)
{
    int result = check(view, call);
    if (result != MLKV_OK)
        return result;
    call->sources = calloc(call->n, sizeof *call->sources);
    if (call->sources == NULL)
        return error_set_memory("the keys of a set operation");
    result = writes ? op_write(view, store_rule, call) : op_read(view, read_rule, call);
    free(call->sources);
    mlkv_buffer_free(&call->members);
    mlkv_buffer_free(&call->items);
    mlkv_buffer_free(&call->name);
    return result;
}

static int run_read(mlkv *view, algebra_call *call, mlkv_rows *members, mlkv_buffer *scores)
{
    int result = zset_check_output(members);
    if (result != MLKV_OK)
        return result;
    call->output = (zset_output){.rows = members, .scores = scores};
    return zset_output_end(&call->output, run(view, call, false));
}

static int run_store(mlkv *view, algebra_call *call, uint64_t *ret_count)
{
    int result = argument_slice(call->destination, "destination");
    if (result == MLKV_OK)
        result = run(view, call, true);
    if (result == MLKV_OK && ret_count != NULL)
        *ret_count = call->count;
    return result;
}

int mlkv_zset_union(mlkv *view, const mlkv_slice *keys, size_t n, const double *weights,
                    mlkv_zset_aggregate aggregate, mlkv_rows *ret_members, mlkv_buffer *ret_scores)
{
    algebra_call call = {.kind = ALGEBRA_UNION,
                         .keys = keys,
                         .n = n,
                         .weights = weights,
                         .aggregate = (int)aggregate};
    return run_read(view, &call, ret_members, ret_scores);
}

int mlkv_zset_intersection(mlkv *view, const mlkv_slice *keys, size_t n, const double *weights,
                           mlkv_zset_aggregate aggregate, mlkv_rows *ret_members,
                           mlkv_buffer *ret_scores)
{
    algebra_call call = {.kind = ALGEBRA_INTERSECTION,
                         .keys = keys,
                         .n = n,
                         .weights = weights,
                         .aggregate = (int)aggregate};
    return run_read(view, &call, ret_members, ret_scores);
}

int mlkv_zset_difference(mlkv *view, const mlkv_slice *keys, size_t n, mlkv_rows *ret_members,
                         mlkv_buffer *ret_scores)
{
    algebra_call call = {.kind = ALGEBRA_DIFFERENCE, .keys = keys, .n = n};
    return run_read(view, &call, ret_members, ret_scores);
}

int mlkv_zset_union_store(mlkv *view, mlkv_slice destination, const mlkv_slice *keys, size_t n,
                          const double *weights, mlkv_zset_aggregate aggregate, uint64_t *ret_count)
{
    algebra_call call = {.kind = ALGEBRA_UNION,
                         .destination = destination,
                         .keys = keys,
                         .n = n,
                         .weights = weights,
                         .aggregate = (int)aggregate};
    return run_store(view, &call, ret_count);
}

int mlkv_zset_intersection_store(mlkv *view, mlkv_slice destination, const mlkv_slice *keys,
                                 size_t n, const double *weights, mlkv_zset_aggregate aggregate,
                                 uint64_t *ret_count)
{
    algebra_call call = {.kind = ALGEBRA_INTERSECTION,
                         .destination = destination,
                         .keys = keys,
                         .n = n,
                         .weights = weights,
                         .aggregate = (int)aggregate};
    return run_store(view, &call, ret_count);
}

int mlkv_zset_difference_store(mlkv *view, mlkv_slice destination, const mlkv_slice *keys, size_t n,
                               uint64_t *ret_count)
{
    algebra_call call = {
        .kind = ALGEBRA_DIFFERENCE, .destination = destination, .keys = keys, .n = n};
    return run_store(view, &call, ret_count);
}

int mlkv_zset_intersection_count(mlkv *view, const mlkv_slice *keys, size_t n, uint64_t limit,
                                 uint64_t *ret_count)
{
    algebra_call call = {
        .kind = ALGEBRA_INTERSECTION, .keys = keys, .n = n, .only_counts = true, .limit = limit};
    int result = argument_pointer(ret_count, "ret_count");
    if (result == MLKV_OK)
        result = run(view, &call, false);
    if (result == MLKV_OK)
        *ret_count = call.count;
    return result;
}
