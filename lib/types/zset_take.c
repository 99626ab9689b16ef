/* zset_take.c - members taken from the ends of a sorted set, and members by chance.
 *
 * Both are positions in the order (zset_order.c): the ends are the first and the last ones, chance draws numbers below the count. All of it
 * happens in one operation, so count and members belong to one state.
 *
 * Drawn positions are looked at in ascending order, so that an order that can only be passed through is passed once; the results are then
 * put into the order in which the numbers were drawn, which for distinct ones is what makes them random.
 * Locks: none.
 */
#include "types/zset.h"

#include "base/buffer.h"
#include "base/error.h"
#include "base/random.h"
#include "types/argument.h"
#include "types/draw.h"

#include <stdlib.h>

/* --- pop --- */

typedef struct {
    const mlkv_slice *keys;
    size_t key_count, key; /* key: the one that has members; key_count: none */
    uint64_t n;
    bool highest;
    zset_output output;
} pop_call;

static int delete_popped(op *o, const zset_output *output, entry *set)
{
    const double *scores = output->found.data;
    int result = MLKV_OK;
    for (size_t i = 0; i < output->rows->count && result == MLKV_OK; i++)
        result = zset_delete(o, set->header.id, output->rows->items[i], scores[i]);
    set->header.count -= output->rows->count;
    return result != MLKV_OK ? result : zset_store(o, set);
}

static int pop_members(op *o, pop_call *call, entry *set)
{
    ranking *by = NULL;
    uint64_t count = set->header.count, n = call->n < count ? call->n : count;
    int result = zset_order_open(o, set, false, &by);
    if (result == MLKV_OK)
        result =
            zset_visit(o, by, call->highest ? count - n : 0, n, zset_output_add, &call->output);
    ranking_close(by);
    if (result != MLKV_OK)
        return result;
    if (call->highest)
        zset_output_reverse(&call->output);
    zset_output_finish(&call->output);
    return delete_popped(o, &call->output, set);
}

static int pop_rule(op *o, void *context)
{
    pop_call *call = context;
    entry set;
    int result = MLKV_ABSENT;
    zset_output_restart(&call->output);
    for (call->key = 0; call->key < call->key_count; call->key++) {
        result = entry_open(o, call->keys[call->key], TYPE_ZSET, &set);
        if (result != MLKV_ABSENT)
            break;
    }
    if (result != MLKV_OK || call->n == 0)
        return result;
    return pop_members(o, call, &set);
}

/* MLKV_ABSENT: no key has members; the outputs are then filled with nothing. MLKV_E_DURABILITY: they are filled, as nobody else will get
 * these members any more. */
static int run_pop(mlkv *view, pop_call *call, mlkv_rows *members, mlkv_buffer *scores)
{
    mlkv_buffer found = {0};
    call->output = (zset_output){.rows = members, .scores = &found};
    int popped = op_write(view, pop_rule, call);
    bool done = popped == MLKV_ABSENT || popped == MLKV_E_DURABILITY;
    int result = zset_output_end(&call->output, done ? MLKV_OK : popped);
    if (result == MLKV_OK && scores != NULL) {
        mlkv_buffer old = *scores;
        *scores = found;
        found = old;
    }
    mlkv_buffer_free(&found);
    return result == MLKV_OK ? popped : result;
}

int mlkv_zset_pop(mlkv *view, mlkv_slice key, uint64_t n, int highest, mlkv_rows *ret_members,
                  mlkv_buffer *ret_scores)
{
    pop_call call = {.keys = &key, .key_count = 1, .n = n, .highest = highest != 0};
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = zset_check_output(ret_members);
    if (result == MLKV_OK)
        result = run_pop(view, &call, ret_members, ret_scores);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

int mlkv_zset_pop_first(mlkv *view, const mlkv_slice *keys, size_t key_count, uint64_t n,
                        int highest, size_t *ret_key, mlkv_rows *ret_members,
                        mlkv_buffer *ret_scores)
{
    pop_call call = {.keys = keys, .key_count = key_count, .n = n, .highest = highest != 0};
    int result = argument_pointer(view, "view");
    if (result == MLKV_OK)
        result = argument_slices(keys, key_count, "keys");
    if (result == MLKV_OK && n == 0)
        result = error_set(MLKV_E_ARGUMENT, "n is 0");
    if (result == MLKV_OK)
        result = zset_check_output(ret_members);
    if (result == MLKV_OK)
        result = run_pop(view, &call, ret_members, ret_scores);
    if ((result == MLKV_OK || result == MLKV_E_DURABILITY) && ret_key != NULL)
        *ret_key = call.key;
    return result;
}

/* --- by chance --- */

typedef struct {
    uint64_t position;
    size_t drawn; /* it was the so-manieth */
} drawing;

typedef struct {
    mlkv_slice key;
    size_t n;
    bool distinct;
    zset_output output;
} random_call;

static int compare_drawings(const void *left, const void *right)
{
    const drawing *a = left, *b = right;
    return (a->position > b->position) - (a->position < b->position);
}

/* `n` positions below `count`, in ascending order. */
static int draw_positions(const random_call *call, uint64_t count, size_t n, drawing *ret_drawings)
{
    draw numbers = {0};
    int result = call->distinct ? draw_create(&numbers, count, n) : MLKV_OK;
    if (result != MLKV_OK)
        return result;
    for (size_t i = 0; i < n; i++)
        ret_drawings[i] = (drawing){call->distinct ? draw_next(&numbers) : random_below(count), i};
    draw_destroy(&numbers);
    qsort(ret_drawings, n, sizeof *ret_drawings, compare_drawings);
    return MLKV_OK;
}

/* Into the order in which they were drawn. */
static int shuffle(zset_output *output, const drawing *drawings, size_t n)
{
    mlkv_slice *items = calloc(n, sizeof *items);
    double *scores = calloc(n, sizeof *scores);
    int result = items != NULL && scores != NULL ? MLKV_OK : error_set_memory("random members");
    for (size_t i = 0; i < n && result == MLKV_OK; i++) {
        items[drawings[i].drawn] = output->rows->items[i];
        if (output->scores != NULL)
            scores[drawings[i].drawn] = ((const double *)output->found.data)[i];
    }
    if (result == MLKV_OK)
        memcpy(output->rows->items, items, n * sizeof *items);
    if (result == MLKV_OK && output->scores != NULL)
        memcpy(output->found.data, scores, n * sizeof *scores);
    free(items);
    free(scores);
    return result;
}

static int append_drawn(op *o, random_call *call, const entry *set, size_t n)
{
    ranking *by = NULL;
    if (n > SIZE_MAX / sizeof(drawing))
        return error_set(MLKV_E_SIZE, "%zu random members", n);
    drawing *drawings = malloc(n * sizeof *drawings);
    if (drawings == NULL)
        return error_set_memory("random members");
    int result = draw_positions(call, set->header.count, n, drawings);
    if (result == MLKV_OK)
        result = zset_order_open(o, set, n > set->header.count / 2, &by);
    for (size_t i = 0; i < n && result == MLKV_OK; i++)
        result = zset_visit(o, by, drawings[i].position, 1, zset_output_add, &call->output);
    ranking_close(by);
    if (result == MLKV_OK)
        result = shuffle(&call->output, drawings, n);
    free(drawings);
    return result;
}

static int random_rule(op *o, void *context)
{
    random_call *call = context;
    entry set;
    zset_output_restart(&call->output);
    int result = entry_open(o, call->key, TYPE_ZSET, &set);
    if (result != MLKV_OK)
        return result == MLKV_ABSENT ? MLKV_OK : result;
    if (set.header.count == 0)
        return error_set(MLKV_E_CORRUPT, "sorted set \"%s\" counts no members",
                         error_quote(call->key.data, call->key.size));
    size_t n = call->distinct && call->n > set.header.count ? (size_t)set.header.count : call->n;
    return n == 0 ? MLKV_OK : append_drawn(o, call, &set, n);
}

int mlkv_zset_random(mlkv *view, mlkv_slice key, size_t n, int distinct, mlkv_rows *ret_members,
                     mlkv_buffer *ret_scores)
{
    random_call call = {.key = key,
                        .n = n,
                        .distinct = distinct != 0,
                        .output = {.rows = ret_members, .scores = ret_scores}};
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = zset_check_output(ret_members);
    if (result != MLKV_OK)
        return result;
    return zset_output_end(&call.output, op_read(view, random_rule, &call));
}
