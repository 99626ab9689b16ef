/* zset_bounds.c - a range of a sorted set, by rank, score or member, becomes positions in its order.
 *
 * Whatever a range goes by, in the end it is `n` positions from `first` on, counted upwards; a reversed range is the same positions, told
 * from the end. An offset and a limit cut it from the end that it is told from.
 *
 * By member a range is positions only if all scores are equal: then the bounds are looked for among the members of that one score. If
 * they are not, Redis leaves open what comes; here, as in its small sets, the first member within the bounds is looked for from the end
 * that the range is told from, and all that follow are taken up to the first that is not.
 * Locks: none.
 */
#include "types/zset.h"

#include "base/error.h"
#include "types/argument.h"
#include "types/range.h"

#include <math.h>

enum { SPEC_SIZE_MAX = 4096 /* of a newer caller's struct; more is no struct of ours */ };

/* --- checks --- */

static int check_size(const mlkv_zset_range_spec *range)
{
    if (range->size < sizeof *range || range->size > SPEC_SIZE_MAX)
        return error_set(MLKV_E_ARGUMENT, "range->size is %zu, not %zu", range->size,
                         sizeof *range);
    for (size_t i = sizeof *range; i < range->size; i++)
        if (((const unsigned char *)range)[i] != 0)
            return error_set(MLKV_E_ARGUMENT,
                             "range has a member at byte %zu that this library does not know", i);
    return range->reserved == 0
               ? MLKV_OK
               : error_set(MLKV_E_ARGUMENT, "range->reserved is %u, not 0", range->reserved);
}

static int check_bound(int32_t bound, const char *name)
{
    return bound >= MLKV_ZSET_INCLUDED && bound <= MLKV_ZSET_HIGHEST
               ? MLKV_OK
               : error_set(MLKV_E_ARGUMENT, "%s %d is unknown", name, (int)bound);
}

int zset_check_range(const mlkv_zset_range_spec *range)
{
    int result = argument_pointer(range, "range");
    if (result == MLKV_OK)
        result = check_size(range);
    if (result == MLKV_OK && (range->by < MLKV_ZSET_BY_RANK || range->by > MLKV_ZSET_BY_MEMBER))
        result = error_set(MLKV_E_ARGUMENT, "range->by %d is unknown", (int)range->by);
    if (result == MLKV_OK)
        result = check_bound(range->min_bound, "range->min_bound");
    if (result == MLKV_OK)
        result = check_bound(range->max_bound, "range->max_bound");
    if (result == MLKV_OK && range->by == MLKV_ZSET_BY_RANK && range->limited != 0)
        result = error_set(MLKV_E_ARGUMENT, "range: a limit goes with scores and members only");
    if (result == MLKV_OK && range->by == MLKV_ZSET_BY_SCORE) {
        result = zset_check_score(range->min, "range->min");
        if (result == MLKV_OK)
            result = zset_check_score(range->max, "range->max");
    }
    if (result == MLKV_OK && range->by == MLKV_ZSET_BY_MEMBER) {
        result = argument_slice(range->min_member, "range->min_member");
        if (result == MLKV_OK)
            result = argument_slice(range->max_member, "range->max_member");
    }
    return result;
}

/* --- positions --- */

typedef struct {
    op *o;
    const entry *set;
    const mlkv_zset_range_spec *range;
    ranking *by;
    uint64_t low, high; /* positions: the range is low .. high - 1 */
} resolving;

/* A bound that needs no looking for. */
static bool is_outside(const resolving *self, int32_t bound, uint64_t *ret_position)
{
    *ret_position = bound == MLKV_ZSET_HIGHEST ? self->set->header.count : 0;
    return bound == MLKV_ZSET_HIGHEST || bound == MLKV_ZSET_LOWEST;
}

static int resolve_scores(resolving *self)
{
    const mlkv_zset_range_spec *range = self->range;
    uint64_t id = self->set->header.id;
    int result = MLKV_OK;
    if (!is_outside(self, range->min_bound, &self->low))
        result = zset_score_position(self->by, id, range->min,
                                     range->min_bound == MLKV_ZSET_EXCLUDED, &self->low);
    if (result == MLKV_OK && !is_outside(self, range->max_bound, &self->high))
        result = zset_score_position(self->by, id, range->max,
                                     range->max_bound == MLKV_ZSET_INCLUDED, &self->high);
    return result;
}

static bool reaches_min(const mlkv_zset_range_spec *range, mlkv_slice member)
{
    if (range->min_bound == MLKV_ZSET_LOWEST || range->min_bound == MLKV_ZSET_HIGHEST)
        return range->min_bound == MLKV_ZSET_LOWEST;
    int order = slice_compare(member, range->min_member);
    return order > 0 || (order == 0 && range->min_bound == MLKV_ZSET_INCLUDED);
}

static bool keeps_max(const mlkv_zset_range_spec *range, mlkv_slice member)
{
    if (range->max_bound == MLKV_ZSET_LOWEST || range->max_bound == MLKV_ZSET_HIGHEST)
        return range->max_bound == MLKV_ZSET_HIGHEST;
    int order = slice_compare(member, range->max_member);
    return order < 0 || (order == 0 && range->max_bound == MLKV_ZSET_INCLUDED);
}

/* What is known of the members at the two ends. */
typedef struct {
    const mlkv_zset_range_spec *range;
    double score;
    bool reaches_min, keeps_max;
} end_member;

static int look_at(void *context, mlkv_slice member, double score)
{
    end_member *self = context;
    self->score = score;
    self->reaches_min = reaches_min(self->range, member);
    self->keeps_max = keeps_max(self->range, member);
    return MLKV_OK;
}

static int resolve_equal_scores(resolving *self, double score)
{
    const mlkv_zset_range_spec *range = self->range;
    uint64_t id = self->set->header.id;
    int result = MLKV_OK;
    if (!is_outside(self, range->min_bound, &self->low))
        result = zset_position(self->o, self->by, id, score, range->min_member,
                               range->min_bound == MLKV_ZSET_EXCLUDED, &self->low);
    if (result == MLKV_OK && !is_outside(self, range->max_bound, &self->high))
        result = zset_position(self->o, self->by, id, score, range->max_member,
                               range->max_bound == MLKV_ZSET_INCLUDED, &self->high);
    return result;
}

/* The run of members within the bounds that is nearest to the end that the range is told from. */
typedef struct {
    const mlkv_zset_range_spec *range;
    uint64_t position; /* of the member that is looked at */
    uint64_t reaching; /* since this position all members reach the lower bound */
    uint64_t low, high;
    bool within;
} member_run;

/* Told upwards: it begins with the first member that reaches the lower bound, and ends before the first that does not keep the upper
 * one. */
static int find_upwards(void *context, mlkv_slice member, double score)
{
    member_run *self = context;
    (void)score;
    if (!self->within && reaches_min(self->range, member)) {
        self->within = true;
        self->low = self->high = self->position;
    }
    if (self->within && !keeps_max(self->range, member))
        return MLKV_ABSENT;
    self->position++;
    if (self->within)
        self->high = self->position;
    return MLKV_OK;
}

/* Told downwards: it ends with the last member that keeps the upper bound, and begins behind the last one before it that does not reach
 * the lower one. */
static int find_downwards(void *context, mlkv_slice member, double score)
{
    member_run *self = context;
    (void)score;
    bool reaches = reaches_min(self->range, member);
    if (!reaches)
        self->reaching = self->position + 1;
    if (keeps_max(self->range, member)) {
        self->high = self->position + 1;
        self->low = reaches ? self->reaching : self->high;
    }
    self->position++;
    return MLKV_OK;
}

static int resolve_mixed_scores(resolving *self)
{
    member_run run = {.range = self->range};
    int result = zset_visit(self->o, self->by, 0, self->set->header.count,
                            self->range->reverse ? find_downwards : find_upwards, &run);
    self->low = run.low;
    self->high = run.high;
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

static int resolve_members(resolving *self)
{
    end_member first = {.range = self->range}, last = first;
    int result = zset_visit(self->o, self->by, 0, 1, look_at, &first);
    if (result == MLKV_OK)
        result = zset_visit(self->o, self->by, self->set->header.count - 1, 1, look_at, &last);
    if (result != MLKV_OK)
        return result;
    if (first.score == last.score)
        return resolve_equal_scores(self, first.score);
    return first.keeps_max && last.reaches_min ? resolve_mixed_scores(self) : MLKV_OK;
}

/* What offset and limit leave. */
static void cut(resolving *self)
{
    const mlkv_zset_range_spec *range = self->range;
    uint64_t n = self->high > self->low ? self->high - self->low : 0;
    if (range->limited == 0)
        return;
    uint64_t offset =
        range->offset < 0 || (uint64_t)range->offset > n ? n : (uint64_t)range->offset;
    uint64_t left = n - offset;
    uint64_t taken =
        range->limit < 0 || (uint64_t)range->limit > left ? left : (uint64_t)range->limit;
    if (range->reverse)
        self->low = self->high - offset - taken;
    else
        self->low += offset;
    self->high = self->low + taken;
}

int zset_resolve(op *o, const entry *set, const mlkv_zset_range_spec *range, ranking **ret_ranking,
                 uint64_t *ret_first, uint64_t *ret_n)
{
    uint64_t count = set->header.count;
    *ret_ranking = NULL;
    *ret_first = *ret_n = 0;
    if (range->by == MLKV_ZSET_BY_RANK) {
        (void)range_resolve(range->start, range->stop, count, ret_first, ret_n);
        if (range->reverse)
            *ret_first = count - *ret_first - *ret_n;
        return MLKV_OK;
    }
    resolving self = {.o = o, .set = set, .range = range};
    int result = zset_order_open(o, set, false, ret_ranking);
    if (result != MLKV_OK)
        return result;
    self.by = *ret_ranking;
    result = range->by == MLKV_ZSET_BY_SCORE ? resolve_scores(&self) : resolve_members(&self);
    if (result == MLKV_OK && self.high > self.low) {
        cut(&self);
        *ret_first = self.low;
        *ret_n = self.high - self.low;
    }
    return result;
}
