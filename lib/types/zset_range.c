/* zset_range.c - what is done with a range of a sorted set: read, count, remove, store elsewhere; and a member's rank.
 *
 * A range becomes positions first (zset_bounds.c), then its members are visited (zset_order.c) and copied. Only after the last look at the
 * order are records written: the order does not see what its own operation writes (view/op.h).
 *
 * Members and scores go to the caller through zset_output: rows are filled by each run of a rule and belong to the last; scores are
 * collected apart, because the caller's buffer must keep its content until the whole operation has succeeded.
 * Locks: none.
 */
#include "types/zset.h"

#include "base/buffer.h"
#include "base/error.h"
#include "types/argument.h"
#include "types/values.h"

/* --- output --- */

int zset_check_output(mlkv_rows *rows)
{
    return argument_pointer(rows, "ret_members");
}

void zset_output_restart(zset_output *self)
{
    rows_clear(self->rows);
    self->found.size = 0;
    self->finished = false;
}

int zset_output_add(void *context, mlkv_slice member, double score)
{
    zset_output *self = context;
    int result = rows_append(self->rows, member);
    if (result == MLKV_OK && self->scores != NULL)
        result = buffer_append(&self->found, &score, sizeof score);
    return result;
}

void zset_output_reverse(zset_output *self)
{
    mlkv_slice *items = self->rows->items;
    double *scores = self->found.data;
    size_t count = self->rows->count;
    for (size_t i = 0; i < count / 2; i++) {
        mlkv_slice item = items[i];
        items[i] = items[count - 1 - i];
        items[count - 1 - i] = item;
        if (self->scores == NULL)
            continue;
        double score = scores[i];
        scores[i] = scores[count - 1 - i];
        scores[count - 1 - i] = score;
    }
}

void zset_output_finish(zset_output *self)
{
    rows_finish(self->rows);
    self->finished = true;
}

int zset_output_end(zset_output *self, int result)
{
    if (result == MLKV_OK && self->scores != NULL) {
        mlkv_buffer old = *self->scores;
        *self->scores = self->found;
        self->found = old;
    }
    mlkv_buffer_free(&self->found);
    return result == MLKV_OK && self->finished ? MLKV_OK : values_end_rows(result, self->rows);
}

/* --- rank --- */

typedef struct {
    mlkv_slice key, member;
    bool reverse;
    uint64_t rank;
    double score;
} rank_call;

static int rank_rule(op *o, void *context)
{
    rank_call *call = context;
    entry set;
    element found;
    ranking *by = NULL;
    int result = entry_open(o, call->key, TYPE_ZSET, &set);
    if (result == MLKV_OK)
        result = zset_find(o, set.header.id, call->member, &found, &call->score);
    if (result == MLKV_OK)
        result = zset_order_open(o, &set, false, &by);
    if (result == MLKV_OK)
        result = zset_position(o, by, set.header.id, call->score, call->member, false, &call->rank);
    ranking_close(by);
    if (result == MLKV_OK && call->rank >= set.header.count)
        return error_set(MLKV_E_CORRUPT, "sorted set \"%s\" has more members than it counts",
                         error_quote(call->key.data, call->key.size));
    if (result == MLKV_OK && call->reverse)
        call->rank = set.header.count - 1 - call->rank;
    return result;
}

int mlkv_zset_rank(mlkv *view, mlkv_slice key, mlkv_slice member, int reverse, uint64_t *ret_rank,
                   double *ret_score)
{
    rank_call call = {.key = key, .member = member, .reverse = reverse != 0};
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = argument_slice(member, "member");
    if (result == MLKV_OK)
        result = argument_pointer(ret_rank, "ret_rank");
    if (result == MLKV_OK)
        result = op_read(view, rank_rule, &call);
    if (result == MLKV_OK)
        *ret_rank = call.rank;
    if (result == MLKV_OK && ret_score != NULL)
        *ret_score = call.score;
    return result;
}

/* --- reading --- */

typedef struct {
    mlkv_slice key, destination;
    const mlkv_zset_range_spec *range;
    zset_output output;
    uint64_t n;
    bool removes, all; /* all: the whole set is to be removed, and nothing was collected */
} range_call;

enum { FEW = 64 }; /* members that are better deleted one by one than left to the cleaner */

/* The members of the range, in ascending order. Nothing for a missing key: MLKV_ABSENT. */
static int collect(op *o, range_call *call, entry *ret_set)
{
    ranking *by = NULL;
    uint64_t first;
    call->n = 0;
    call->all = false;
    zset_output_restart(&call->output);
    int result = entry_open(o, call->key, TYPE_ZSET, ret_set);
    if (result != MLKV_OK)
        return result;
    result = zset_resolve(o, ret_set, call->range, &by, &first, &call->n);
    call->all = call->removes && call->n > FEW && call->n == ret_set->header.count;
    if (result == MLKV_OK && call->n != 0 && !call->all && by == NULL)
        result = zset_order_open(o, ret_set, call->n > ret_set->header.count / 2, &by);
    if (result == MLKV_OK && call->n != 0 && !call->all)
        result = zset_visit(o, by, first, call->n, zset_output_add, &call->output);
    ranking_close(by);
    return result;
}

static int range_rule(op *o, void *context)
{
    range_call *call = context;
    entry set;
    int result = collect(o, call, &set);
    if (result == MLKV_OK && call->range->reverse)
        zset_output_reverse(&call->output);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

static int check(const mlkv *view, mlkv_slice key, const mlkv_zset_range_spec *range)
{
    int result = argument_view_key(view, key);
    return result != MLKV_OK ? result : zset_check_range(range);
}

int mlkv_zset_range(mlkv *view, mlkv_slice key, const mlkv_zset_range_spec *range,
                    mlkv_rows *ret_members, mlkv_buffer *ret_scores)
{
    range_call call = {
        .key = key, .range = range, .output = {.rows = ret_members, .scores = ret_scores}};
    int result = check(view, key, range);
    if (result == MLKV_OK)
        result = zset_check_output(ret_members);
    if (result != MLKV_OK)
        return result;
    return zset_output_end(&call.output, op_read(view, range_rule, &call));
}

static int count_rule(op *o, void *context)
{
    range_call *call = context;
    entry set;
    ranking *by = NULL;
    uint64_t first;
    call->n = 0;
    int result = entry_open(o, call->key, TYPE_ZSET, &set);
    if (result == MLKV_OK)
        result = zset_resolve(o, &set, call->range, &by, &first, &call->n);
    else if (result == MLKV_ABSENT)
        return MLKV_OK;
    ranking_close(by);
    return result;
}

int mlkv_zset_range_count(mlkv *view, mlkv_slice key, const mlkv_zset_range_spec *range,
                          uint64_t *ret_count)
{
    range_call call = {.key = key, .range = range};
    int result = check(view, key, range);
    if (result == MLKV_OK)
        result = argument_pointer(ret_count, "ret_count");
    if (result == MLKV_OK)
        result = op_read(view, count_rule, &call);
    if (result == MLKV_OK)
        *ret_count = call.n;
    return result;
}

/* --- writing --- */

/* Deletes what was collected. */
static int delete_collected(op *o, range_call *call, entry *set)
{
    const zset_output *output = &call->output;
    const double *scores = output->found.data;
    int result = MLKV_OK;
    for (size_t i = 0; i < output->rows->count && result == MLKV_OK; i++)
        result = zset_delete(o, set->header.id, output->rows->items[i], scores[i]);
    set->header.count -= call->n;
    return result != MLKV_OK ? result : zset_store(o, set);
}

static int remove_rule(op *o, void *context)
{
    range_call *call = context;
    entry set;
    int result = collect(o, call, &set);
    zset_output_finish(&call->output);
    if (result == MLKV_ABSENT || (result == MLKV_OK && call->n == 0))
        return MLKV_OK;
    if (result == MLKV_OK && call->all)
        return entry_remove(o, &set);
    return result != MLKV_OK ? result : delete_collected(o, call, &set);
}

static int store_rule(op *o, void *context)
{
    range_call *call = context;
    entry source, set;
    element member;
    int result = collect(o, call, &source);
    zset_output_finish(&call->output);
    if (result == MLKV_OK || result == MLKV_ABSENT)
        result = zset_replace(o, call->destination, &set);
    if (result != MLKV_OK || call->n == 0)
        return result;
    const double *scores = call->output.found.data;
    result = entry_create(o, &set, TYPE_ZSET);
    for (size_t i = 0; i < call->n && result == MLKV_OK; i++) {
        member.name = call->output.rows->items[i];
        result = layout_element(set.header.id, member.name, &member.key);
        if (result == MLKV_OK)
            result = zset_put(o, set.header.id, &member, scores[i]);
    }
    set.header.count = call->n;
    return result != MLKV_OK ? result : zset_store(o, &set);
}

static int run_write(mlkv *view, op_rule rule, range_call *call, uint64_t *ret_n)
{
    mlkv_rows members = {0};
    mlkv_buffer scores = {0};
    call->output = (zset_output){.rows = &members, .scores = &scores};
    int result = zset_output_end(&call->output, op_write(view, rule, call));
    mlkv_rows_free(&members);
    mlkv_buffer_free(&scores);
    if (result == MLKV_OK && ret_n != NULL)
        *ret_n = call->n;
    return result;
}

int mlkv_zset_range_remove(mlkv *view, mlkv_slice key, const mlkv_zset_range_spec *range,
                           uint64_t *ret_removed)
{
    range_call call = {.key = key, .range = range, .removes = true};
    int result = check(view, key, range);
    return result != MLKV_OK ? result : run_write(view, remove_rule, &call, ret_removed);
}

int mlkv_zset_range_store(mlkv *view, mlkv_slice destination, mlkv_slice source,
                          const mlkv_zset_range_spec *range, uint64_t *ret_count)
{
    range_call call = {.key = source, .destination = destination, .range = range};
    int result = argument_slice(destination, "destination");
    if (result == MLKV_OK)
        result = argument_slice(source, "source");
    if (result == MLKV_OK)
        result = check(view, source, range);
    return result != MLKV_OK ? result : run_write(view, store_rule, &call, ret_count);
}
