/* tensor_scatter.c - rows by an array of their numbers, written over or added to: the sparse update
 * of embeddings.
 *
 * A change of rows as any other (tensor_change.c), with the rows of a plan in place of a range. The
 * numbers are sorted before the lock is taken; each chunk is read, changed and put once, and all of
 * it becomes visible at once. What one call has of one row is done in the caller's order.
 *
 * State: one `tensor_change` and its plan a call. Locks: none but the rule's.
 */
#include "types/tensor.h"

#include "base/bytes.h"
#include "base/error.h"

/* Before the caller's numbers are looked at: there are as many as the data says. */
static int check_rule(op *o, void *context)
{
    entry found;
    tensor_form form;
    return change_open(o, context, &found, &form);
}

static int scatter(mlkv *view, const tensor_change *rough, const uint64_t *rows)
{
    row_plan plan = {0};
    tensor_change change = *rough;
    change.plan = &plan;
    int result = tensor_check_arguments(view, change.key);
    if (result == MLKV_OK)
        result = plan_check_arguments(rows, (size_t)change.count);
    if (result == MLKV_OK)
        result = op_read(view, check_rule, &change);
    if (result == MLKV_OK)
        result = plan_make(rows, 0, (size_t)change.count, &plan);
    if (result == MLKV_OK)
        result = change_run(view, &change);
    plan_done(&plan);
    return result;
}

int mlkv_tensor_scatter(mlkv *view, mlkv_slice key, const uint64_t *rows, size_t n,
                        const void *data, size_t size)
{
    tensor_change change = {
        .kind = CHANGE_WRITE, .key = key, .count = n, .data = data, .size = size};
    return scatter(view, &change, rows);
}

int mlkv_tensor_scatter_add(mlkv *view, mlkv_slice key, double alpha, const uint64_t *rows,
                            size_t n, const void *delta, size_t size)
{
    tensor_change change = {
        .kind = CHANGE_ADD, .key = key, .count = n, .data = delta, .size = size, .alpha = alpha};
    return scatter(view, &change, rows);
}
