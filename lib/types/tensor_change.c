/* tensor_change.c - rows written over, t += alpha * delta, t *= factor: the path of a parameter
 * server. The rows are a range, or those of a plan (tensor_scatter.c).
 *
 * Under the writer lock, in one rule: of a chunk of which a few rows are touched, these are put beside
 * it (tensor_change_rows.c). Of any other: read it, compute the new bytes straight into the record
 * being put, checksum them. Nothing is compressed: numbers that just
 * changed hardly shrink, at 0.5 GB/s, under a lock for which all other writers wait; and most such
 * records are replaced again before the applier takes them. The next whole put compresses.
 *
 * Passes over a chunk's bytes: one copy out of cache or ring, one to add, one for the checksum, one
 * into the ring.
 *
 * What is too large for this (a chunk over TENSOR_INLINE_CHUNK_MAX, or more in all than
 * TENSOR_INLINE_TOTAL_MAX) sets change->large and puts nothing: tensor_change_large.c does it.
 *
 * Invariants:
 *  1. All of a change becomes visible at once, with version + 1.
 *  2. A chunk's old bytes are read and its new ones put in the same rule, so sums of any number of
 *     threads and processes lose nothing.
 *
 * Locks: none but the rule's.
 */
#include "types/tensor.h"

#include "base/bytes.h"
#include "base/error.h"
#include "types/arithmetic.h"

enum { BLOCK_BYTES = 4096 }; /* of a row that is added to twice: in a core's first cache */

int change_open(op *o, tensor_change *change, entry *ret_entry, tensor_form *ret_form)
{
    int result = tensor_open(o, change->key, ret_entry, ret_form);
    if (result != MLKV_OK)
        return result;
    if (change->expected != NULL && !tensor_same(change->expected, &ret_form->tensor))
        return error_set(MLKV_E_SHAPE, "%s is to be added to tensor '%s', which is %s",
                         tensor_text(change->expected),
                         error_quote(change->key.data, change->key.size),
                         tensor_text(&ret_form->tensor));
    if (change->expected != NULL || change->kind == CHANGE_SCALE) {
        change->first = 0;
        change->count = ret_form->rows;
        change->size = (size_t)ret_form->raw_bytes;
    }
    if (change->plan == NULL) {
        result =
            tensor_check_rows(change->key, ret_form, change->first, change->count, change->size);
    } else {
        result = plan_check_size(change->key, ret_form, (size_t)change->count, change->size);
        if (result == MLKV_OK)
            result = plan_check_rows(change->key, ret_form, change->plan);
    }
    if (result == MLKV_OK && change->data == NULL && change->size != 0 &&
        change->kind != CHANGE_SCALE)
        result = error_set(MLKV_E_ARGUMENT, "the data is NULL");
    if (result == MLKV_OK && change->kind != CHANGE_WRITE)
        result = arithmetic_check(ret_form->tensor.dtype, change->alpha);
    return result;
}

void change_chunks(const tensor_change *change, const tensor_form *form, uint64_t *ret_first,
                   uint64_t *ret_end)
{
    const row_plan *plan = change->plan;
    *ret_first = *ret_end = 0;
    if (change->size == 0)
        return;
    uint64_t first = plan != NULL ? plan->entries[0].row : change->first;
    uint64_t last =
        plan != NULL ? plan->entries[plan->n - 1].row : change->first + change->count - 1;
    *ret_first = first / form->chunk_rows;
    *ret_end = last / form->chunk_rows + 1;
}

uint64_t change_next(const tensor_change *change, const tensor_form *form, uint64_t chunk,
                     uint64_t end)
{
    if (change->plan == NULL || chunk >= end)
        return chunk;
    size_t found = plan_find(change->plan, chunk * form->chunk_rows);
    return found == change->plan->n ? end : change->plan->entries[found].row / form->chunk_rows;
}

change_part change_part_of(const tensor_change *change, const tensor_form *form, uint64_t chunk)
{
    uint64_t start = chunk * form->chunk_rows,
             end = start + tensor_chunk_size(form, chunk) / form->row_bytes;
    uint64_t from = start > change->first ? start : change->first;
    uint64_t to = end < change->first + change->count ? end : change->first + change->count;
    return (change_part){.offset = (size_t)((from - start) * form->row_bytes),
                         .size = (size_t)((to - from) * form->row_bytes),
                         .data = change->data == NULL
                                     ? NULL
                                     : change->data + (from - change->first) * form->row_bytes};
}

bool change_needs_old(const tensor_change *change, const tensor_form *form, uint64_t chunk)
{
    return change->kind != CHANGE_WRITE || change->plan != NULL ||
           change_part_of(change, form, chunk).size != tensor_chunk_size(form, chunk);
}

static void apply_range(const tensor_change *change, const tensor_form *form, uint64_t chunk,
                        const unsigned char *old, unsigned char *restrict to)
{
    change_part touched = change_part_of(change, form, chunk);
    size_t chunk_size = tensor_chunk_size(form, chunk), end = touched.offset + touched.size;
    size_t elements = touched.size / mlkv_dtype_size((mlkv_dtype)form->tensor.dtype);
    if (touched.size != chunk_size) {
        memcpy(to, old, touched.offset);
        memcpy(to + end, old + end, chunk_size - end);
    }
    if (change->kind == CHANGE_ADD)
        arithmetic_add(form->tensor.dtype, to + touched.offset, old + touched.offset, change->alpha,
                       touched.data, elements);
    else if (change->kind == CHANGE_SCALE)
        arithmetic_scale(form->tensor.dtype, to + touched.offset, old + touched.offset,
                         change->alpha, elements);
    else
        memcpy(to + touched.offset, touched.data, touched.size);
}

/* row += alpha * delta, where the row may just have been added to: a block at a time. */
static void add_row(const tensor_change *change, const tensor_form *form, unsigned char *row,
                    const unsigned char *delta)
{
    unsigned char old[BLOCK_BYTES];
    size_t left = (size_t)form->row_bytes,
           element = mlkv_dtype_size((mlkv_dtype)form->tensor.dtype);
    while (left != 0) {
        size_t size = left < sizeof old ? left : sizeof old;
        memcpy(old, row, size);
        arithmetic_add(form->tensor.dtype, row, old, change->alpha, delta, size / element);
        row += size;
        delta += size;
        left -= size;
    }
}

void change_row(const tensor_change *change, const tensor_form *form, unsigned char *row,
                const unsigned char *data)
{
    if (change->kind == CHANGE_ADD)
        add_row(change, form, row, data);
    else
        memcpy(row, data, (size_t)form->row_bytes);
}

static void apply_plan(const tensor_change *change, const tensor_form *form, uint64_t chunk,
                       const unsigned char *old, unsigned char *restrict to)
{
    const row_plan *plan = change->plan;
    uint64_t first = chunk * form->chunk_rows, end = first + form->chunk_rows;
    size_t row_bytes = (size_t)form->row_bytes;
    memcpy(to, old, tensor_chunk_size(form, chunk));
    for (size_t i = plan_find(plan, first); i < plan->n && plan->entries[i].row < end; i++) {
        unsigned char *row = to + (plan->entries[i].row - first) * row_bytes;
        change_row(change, form, row, change->data + plan->entries[i].at * row_bytes);
    }
}

void change_apply(const tensor_change *change, const tensor_form *form, uint64_t chunk,
                  const unsigned char *old, unsigned char *restrict to)
{
    if (change->plan != NULL)
        apply_plan(change, form, chunk, old, to);
    else
        apply_range(change, form, chunk, old, to);
}

/* Writes the chunk whole. */
static int change_chunk(op *o, const tensor_change *change, tensor_form *form, uint64_t id,
                        uint64_t chunk)
{
    chunk_head head;
    const unsigned char *old;
    unsigned char *to;
    size_t size = tensor_chunk_size(form, chunk);
    int result = chunk_take(o, form, id, chunk, change_needs_old(change, form, chunk), &head, &old);
    if (result == MLKV_OK)
        result = chunk_reserve_raw(o, id, chunk, size, &to);
    if (result != MLKV_OK)
        return result;
    chunk_forget(form, &head);
    change_apply(change, form, chunk, old, to);
    form->stored_bytes += chunk_finish_raw(to, size);
    return MLKV_OK;
}

/* What of the change is put beside the chunk, or whole. */
static int change_some(op *o, const tensor_change *change, tensor_form *form, uint64_t id,
                       uint64_t chunk, bool *beside)
{
    bool full = false;
    int result = MLKV_OK;
    if (!change_is_few(change, form, chunk))
        return change_chunk(o, change, form, id, chunk);
    if (tensor_chunk_size(form, chunk) <= TENSOR_INLINE_CHUNK_MAX)
        result = change_find_full(o, form, id, chunk, &full);
    if (result != MLKV_OK)
        return result;
    if (full)
        return change_chunk(o, change, form, id, chunk);
    *beside = true;
    return change_put_rows(o, change, form, id, chunk);
}

/* Whether what it touches of the chunks in [first, end) is too much for one operation. */
static bool is_large(const tensor_change *change, const tensor_form *form, uint64_t first,
                     uint64_t end)
{
    uint64_t chunk_size = form->chunk_rows * form->row_bytes, bytes = change->size;
    if (change->plan == NULL) { /* all chunks between the first and the last are written whole */
        uint64_t whole = end - first;
        if (whole != 0 && change_is_few(change, form, end - 1))
            whole--;
        if (end - first > 1 && change_is_few(change, form, first))
            whole--;
        return whole != 0 && (chunk_size > TENSOR_INLINE_CHUNK_MAX ||
                              whole * chunk_size > TENSOR_INLINE_TOTAL_MAX);
    }
    for (uint64_t chunk = first; chunk < end && bytes <= TENSOR_INLINE_TOTAL_MAX;
         chunk = change_next(change, form, chunk + 1, end)) {
        bool few = change_is_few(change, form, chunk);
        if (!few && chunk_size > TENSOR_INLINE_CHUNK_MAX)
            return true;
        bytes += few ? 0 : chunk_size;
    }
    return bytes > TENSOR_INLINE_TOTAL_MAX;
}

static int change_rule(op *o, void *context)
{
    tensor_change *change = context;
    entry found;
    tensor_form form;
    uint64_t chunk, end;
    bool beside = false;
    change->large = false;
    int result = change_open(o, change, &found, &form);
    if (result != MLKV_OK)
        return result;
    change_chunks(change, &form, &chunk, &end);
    change->large = is_large(change, &form, chunk, end);
    if (change->large)
        return MLKV_ABSENT;
    form.version++;
    for (; chunk < end && result == MLKV_OK; chunk = change_next(change, &form, chunk + 1, end))
        result = change_some(o, change, &form, found.header.id, chunk, &beside);
    if (beside)
        found.header.beside_ms = op_now_ms(o);
    return result != MLKV_OK ? result : tensor_store(o, &found, &form);
}

int change_run(mlkv *view, tensor_change *change)
{
    int result = tensor_check_arguments(view, change->key);
    if (result != MLKV_OK)
        return result;
    result = op_write(view, change_rule, change);
    if (result == MLKV_ABSENT && change->large)
        result = change_run_large(view, change);
    chunk_scratch_trim();
    return result;
}

int mlkv_tensor_write_rows(mlkv *view, mlkv_slice key, uint64_t first, uint64_t count,
                           const void *data, size_t size)
{
    tensor_change change = {.kind = CHANGE_WRITE,
                            .key = key,
                            .first = first,
                            .count = count,
                            .data = data,
                            .size = size};
    return change_run(view, &change);
}

int mlkv_tensor_add(mlkv *view, mlkv_slice key, double alpha, const mlkv_tensor *tensor,
                    const void *delta)
{
    tensor_change change = {
        .kind = CHANGE_ADD, .key = key, .expected = tensor, .data = delta, .alpha = alpha};
    if (tensor == NULL)
        return error_set(MLKV_E_ARGUMENT, "the delta's description is NULL");
    return change_run(view, &change);
}

int mlkv_tensor_add_rows(mlkv *view, mlkv_slice key, double alpha, uint64_t first, uint64_t count,
                         const void *delta, size_t size)
{
    tensor_change change = {.kind = CHANGE_ADD,
                            .key = key,
                            .first = first,
                            .count = count,
                            .data = delta,
                            .size = size,
                            .alpha = alpha};
    return change_run(view, &change);
}

int mlkv_tensor_scale(mlkv *view, mlkv_slice key, double factor)
{
    tensor_change change = {.kind = CHANGE_SCALE, .key = key, .alpha = factor};
    return change_run(view, &change);
}
