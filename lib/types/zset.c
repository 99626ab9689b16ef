/* zset.c - sorted sets: members with scores under a key, and finding, adding and removing them by name.
 *
 * Bytes owned, of a sorted set's life:
 *   E id member       -> [name] score (8 LE)     finds a member
 *   O id score member -> [name]                  the order; score as big-endian bits that sort as the scores do
 * Ranks and ranges are zset_order.c, zset_bounds.c and zset_range.c; several sets at once zset_algebra.c.
 *
 * Invariants
 *   1. header.count is the number of E records and the number of O records; each member's O record stands at the score of its E record.
 *   2. No score is NaN or -0.0.
 *   3. With the last member the key goes: an empty sorted set does not exist. A missing key reads as an empty one.
 * Locks: none; everything happens inside a rule.
 */
#include "types/zset.h"

#include "base/error.h"
#include "types/argument.h"
#include "types/measure.h"
#include "types/named.h"

#include <math.h>
#include <stdlib.h>

static const mlkv_slice nothing = {NULL, 0};

/* --- records --- */

int zset_check_score(double score, const char *name)
{
    return isnan(score) ? error_set(MLKV_E_NUMBER, "%s is not a number (NaN)", name) : MLKV_OK;
}

int zset_score(mlkv_slice rest, double *ret_score)
{
    if (rest.size != ZSET_SCORE_SIZE)
        return error_set(MLKV_E_CORRUPT, "a score has %zu bytes, not 8", rest.size);
    double score;
    memcpy(&score, rest.data, sizeof score);
    if (isnan(score) || (score == 0 && signbit(score)))
        return error_set(MLKV_E_CORRUPT, "a score is NaN or -0.0");
    *ret_score = score;
    return MLKV_OK;
}

int zset_find(op *o, uint64_t id, mlkv_slice member, element *ret_element, double *ret_score)
{
    int result = element_open(o, id, member, ret_element);
    return result != MLKV_OK ? result : zset_score(ret_element->rest, ret_score);
}

static int put_score(op *o, const element *member, double score)
{
    score = score == 0 ? 0 : score; /* -0.0 */
    return element_put(o, member, slice_of(&score, sizeof score), nothing);
}

static int put_order(op *o, uint64_t id, mlkv_slice member, double score)
{
    record_key key;
    int result = layout_ordered(id, layout_score_bits(score), member, &key);
    return result != MLKV_OK ? result : named_put(o, &key, member, nothing, nothing);
}

static int delete_order(op *o, uint64_t id, mlkv_slice member, double score)
{
    record_key key;
    int result = layout_ordered(id, layout_score_bits(score), member, &key);
    return result != MLKV_OK ? result : op_delete(o, record_key_slice(&key));
}

int zset_put(op *o, uint64_t id, const element *member, double score)
{
    int result = put_score(o, member, score);
    return result != MLKV_OK ? result : put_order(o, id, member->name, score);
}

/* A member that is there gets another score. */
static int move(op *o, uint64_t id, const element *member, double from, double to)
{
    int result = delete_order(o, id, member->name, from);
    return result != MLKV_OK ? result : zset_put(o, id, member, to);
}

int zset_delete(op *o, uint64_t id, mlkv_slice member, double score)
{
    record_key key;
    int result = layout_element(id, member, &key);
    if (result == MLKV_OK)
        result = op_delete(o, record_key_slice(&key));
    return result != MLKV_OK ? result : delete_order(o, id, member, score);
}

int zset_store(op *o, entry *set)
{
    return set->header.count == 0 ? entry_vanish(o, set) : entry_store(o, set, nothing, nothing);
}

int zset_replace(op *o, mlkv_slice key, entry *ret_set)
{
    int result = entry_open(o, key, TYPE_ANY, ret_set);
    if (result == MLKV_OK)
        result = entry_remove(o, ret_set);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

/* --- add --- */

typedef struct {
    mlkv_slice key;
    const mlkv_scored *members;
    size_t n, added, changed;
    uint32_t conditions;
    bool sums;    /* the scores are differences */
    double score; /* the last one's, now */
} add_call;

static bool has(const add_call *call, mlkv_zset_condition condition)
{
    return (call->conditions & condition) != 0;
}

/* A member that is there. MLKV_ABSENT: the conditions do not hold. */
static int change_one(op *o, add_call *call, uint64_t id, const element *member, double old,
                      double score)
{
    if (has(call, MLKV_ZSET_NEW))
        return MLKV_ABSENT;
    if (call->sums)
        score += old;
    int result = zset_check_score(score, "resulting score");
    if (result != MLKV_OK)
        return result;
    if ((has(call, MLKV_ZSET_GREATER) && score <= old) ||
        (has(call, MLKV_ZSET_LESS) && score >= old))
        return MLKV_ABSENT;
    call->score = score == 0 ? 0 : score;
    if (score == old)
        return MLKV_OK;
    call->changed++;
    return move(o, id, member, old, score);
}

/* MLKV_ABSENT: the conditions do not hold. */
static int add_one(op *o, add_call *call, entry *set, const mlkv_scored *pair)
{
    element member;
    double old = 0;
    int result = zset_find(o, set->header.id, pair->member, &member, &old);
    if (result == MLKV_OK)
        return change_one(o, call, set->header.id, &member, old, pair->score);
    if (result != MLKV_ABSENT || has(call, MLKV_ZSET_PRESENT))
        return result;
    call->score = pair->score == 0 ? 0 : pair->score;
    call->added++;
    call->changed++;
    set->header.count++;
    return zset_put(o, set->header.id, &member, pair->score);
}

static void prefetch_pairs(op *o, const add_call *call, uint64_t id, size_t i)
{
    if (call->n == 1 || i % NAMED_BATCH != 0)
        return;
    for (size_t j = i; j < call->n && j - i < NAMED_BATCH; j++)
        element_prefetch(o, id, call->members[j].member);
}

static int add_rule(op *o, void *context)
{
    add_call *call = context;
    entry set;
    call->added = call->changed = 0;
    int result = entry_open(o, call->key, TYPE_ZSET, &set);
    if (result == MLKV_ABSENT && (call->n == 0 || has(call, MLKV_ZSET_PRESENT)))
        return call->sums ? MLKV_ABSENT : MLKV_OK;
    if (result == MLKV_ABSENT)
        result = entry_create(o, &set, TYPE_ZSET);
    for (size_t i = 0; i < call->n && result == MLKV_OK; i++) {
        prefetch_pairs(o, call, set.header.id, i);
        result = add_one(o, call, &set, &call->members[i]);
        if (result == MLKV_ABSENT && !call->sums)
            result = MLKV_OK;
    }
    return result != MLKV_OK || call->added == 0 ? result : zset_store(o, &set);
}

static int check_conditions(uint32_t conditions)
{
    const uint32_t all = MLKV_ZSET_NEW | MLKV_ZSET_PRESENT | MLKV_ZSET_GREATER | MLKV_ZSET_LESS;
    const uint32_t both = MLKV_ZSET_GREATER | MLKV_ZSET_LESS;
    if ((conditions & ~all) != 0)
        return error_set(MLKV_E_ARGUMENT, "conditions 0x%x are unknown", conditions & ~all);
    if ((conditions & both) == both ||
        ((conditions & MLKV_ZSET_NEW) != 0 && conditions != MLKV_ZSET_NEW))
        return error_set(MLKV_E_ARGUMENT, "conditions 0x%x exclude one another", conditions);
    return MLKV_OK;
}

static int check_members(const mlkv_scored *members, size_t n)
{
    if (members == NULL && n != 0)
        return error_set(MLKV_E_ARGUMENT, "members is NULL");
    for (size_t i = 0; i < n; i++) {
        if (!slice_valid(members[i].member))
            return error_set(MLKV_E_ARGUMENT, "members[%zu].member has %zu bytes at NULL", i,
                             members[i].member.size);
        if (isnan(members[i].score))
            return error_set(MLKV_E_NUMBER, "members[%zu].score is not a number (NaN)", i);
    }
    return MLKV_OK;
}

int mlkv_zset_add(mlkv *view, mlkv_slice key, const mlkv_scored *members, size_t n,
                  uint32_t conditions, size_t *ret_added, size_t *ret_changed)
{
    add_call call = {.key = key, .members = members, .n = n, .conditions = conditions};
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = check_conditions(conditions);
    if (result == MLKV_OK)
        result = check_members(members, n);
    if (result == MLKV_OK)
        result = op_write(view, add_rule, &call);
    if (result == MLKV_OK && ret_added != NULL)
        *ret_added = call.added;
    if (result == MLKV_OK && ret_changed != NULL)
        *ret_changed = call.changed;
    return result;
}

int mlkv_zset_add_score(mlkv *view, mlkv_slice key, mlkv_slice member, double delta,
                        uint32_t conditions, double *ret_score)
{
    mlkv_scored pair = {member, delta};
    add_call call = {.key = key, .members = &pair, .n = 1, .conditions = conditions, .sums = true};
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = argument_slice(member, "member");
    if (result == MLKV_OK)
        result = zset_check_score(delta, "delta");
    if (result == MLKV_OK)
        result = check_conditions(conditions);
    if (result == MLKV_OK)
        result = op_write(view, add_rule, &call);
    if (result == MLKV_OK && ret_score != NULL)
        *ret_score = call.score;
    return result;
}

/* --- remove --- */

typedef struct {
    mlkv_slice key;
    const mlkv_slice *members;
    size_t n, removed;
} remove_call;

static int remove_one(op *o, remove_call *call, entry *set, mlkv_slice name)
{
    element member;
    double score = 0;
    int result = zset_find(o, set->header.id, name, &member, &score);
    if (result != MLKV_OK)
        return result == MLKV_ABSENT ? MLKV_OK : result;
    if (set->header.count == 0)
        return error_set(MLKV_E_CORRUPT, "sorted set \"%s\" has more members than it counts",
                         error_quote(call->key.data, call->key.size));
    set->header.count--;
    call->removed++;
    return zset_delete(o, set->header.id, name, score);
}

static int remove_rule(op *o, void *context)
{
    remove_call *call = context;
    entry set;
    call->removed = 0;
    int result = entry_open(o, call->key, TYPE_ZSET, &set);
    if (result == MLKV_ABSENT)
        return MLKV_OK;
    for (size_t i = 0; i < call->n && result == MLKV_OK; i++) {
        element_prefetch_batch(o, set.header.id, call->members, call->n, i);
        result = remove_one(o, call, &set, call->members[i]);
    }
    return result != MLKV_OK || call->removed == 0 ? result : zset_store(o, &set);
}

int mlkv_zset_remove(mlkv *view, mlkv_slice key, const mlkv_slice *members, size_t n,
                     size_t *ret_removed)
{
    remove_call call = {.key = key, .members = members, .n = n};
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = argument_slices(members, n, "members");
    if (result == MLKV_OK)
        result = op_write(view, remove_rule, &call);
    if (result == MLKV_OK && ret_removed != NULL)
        *ret_removed = call.removed;
    return result;
}

/* --- scores, count --- */

typedef struct {
    mlkv_slice key;
    const mlkv_slice *members;
    size_t n;
    double *scores;
} scores_call;

static int scores_rule(op *o, void *context)
{
    scores_call *call = context;
    entry set;
    element member;
    for (size_t i = 0; i < call->n; i++)
        call->scores[i] = NAN;
    int result = entry_open(o, call->key, TYPE_ZSET, &set);
    if (result == MLKV_ABSENT)
        return MLKV_OK;
    for (size_t i = 0; i < call->n && result == MLKV_OK; i++) {
        element_prefetch_batch(o, set.header.id, call->members, call->n, i);
        result = zset_find(o, set.header.id, call->members[i], &member, &call->scores[i]);
        result = result == MLKV_ABSENT ? MLKV_OK : result;
    }
    return result;
}

int mlkv_zset_scores(mlkv *view, mlkv_slice key, const mlkv_slice *members, size_t n,
                     double *ret_scores)
{
    enum { STACK_MAX = 64 };
    double few[STACK_MAX];
    scores_call call = {.key = key, .members = members, .n = n, .scores = few};
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = argument_slices(members, n, "members");
    if (result == MLKV_OK && n != 0)
        result = argument_pointer(ret_scores, "ret_scores");
    if (result == MLKV_OK && n > STACK_MAX && (call.scores = calloc(n, sizeof(double))) == NULL)
        return error_set_memory("the scores of a sorted set");
    if (result == MLKV_OK)
        result = op_read(view, scores_rule, &call);
    if (result == MLKV_OK)
        bytes_copy(ret_scores, call.scores, n * sizeof(double));
    if (call.scores != few)
        free(call.scores);
    return result;
}

int mlkv_zset_score(mlkv *view, mlkv_slice key, mlkv_slice member, double *ret_score)
{
    double score = NAN;
    scores_call call = {.key = key, .members = &member, .n = 1, .scores = &score};
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = argument_slice(member, "member");
    if (result == MLKV_OK)
        result = argument_pointer(ret_score, "ret_score");
    if (result == MLKV_OK)
        result = op_read(view, scores_rule, &call);
    if (result == MLKV_OK && isnan(score))
        return MLKV_ABSENT;
    if (result == MLKV_OK)
        *ret_score = score;
    return result;
}

static int read_count(op *o, mlkv_slice key, uint64_t *ret_count)
{
    return measure_count(o, key, TYPE_ZSET, ret_count);
}

int mlkv_zset_count(mlkv *view, mlkv_slice key, uint64_t *ret_count)
{
    return measure_key(view, key, read_count, ret_count, "ret_count");
}
