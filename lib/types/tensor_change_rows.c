/* tensor_change_rows.c - the few rows of a chunk that a change touches, put beside it: the update of
 * embeddings, which writes the rows and not the chunks they lie in.
 *
 * Of each row the bytes of now are needed, or at least whether it stands beside the chunk already: so
 * it is looked up there, and what is missing is copied out of the chunk, if it is added to. All rows of
 * a chunk are computed in the thread's scratch, one behind the other, and then put.
 *
 * A chunk beside which too much stands costs its readers more than it saves its writers. How much it is
 * only a scan can tell; so a writer looks once in LOOK_EVERY times, by chance, and writes the chunk
 * whole then: a chunk is rewritten after about a quarter of it was changed, and a look costs little
 * beside that.
 *
 * Invariants:
 *  1. form->beside grows by the rows that had no P record before, each counted once however often the
 *     change names it.
 *
 * State: none. Locks: none; everything happens inside a rule.
 */
#include "types/tensor.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"

#include <stdlib.h>

enum {
    PARTS = 128,     /* rows given to the view at once */
    LOOK_EVERY = 16, /* a power of two */
};

/* The rows of one chunk, in their order, each once. */
typedef struct {
    const tensor_change *change;
    rows_at at;
    uint64_t first, end; /* of the tensor's rows */
    size_t next;         /* of the plan's entries */
} row_walk;

static row_walk walk_rows(op *o, const tensor_change *change, const tensor_form *form, uint64_t id,
                          uint64_t chunk)
{
    row_walk self = {.change = change, .at = {o, form, id, chunk}};
    uint64_t start = chunk * form->chunk_rows;
    self.first = start;
    self.end = start + tensor_chunk_size(form, chunk) / form->row_bytes;
    if (change->plan != NULL) {
        self.next = plan_find(change->plan, start);
    } else {
        change_part touched = change_part_of(change, form, chunk);
        self.first += touched.offset / form->row_bytes;
        self.end = self.first + touched.size / form->row_bytes;
    }
    return self;
}

/* The number in the chunk of the next row; false at the end. */
static bool next_row(row_walk *self, uint64_t *ret_row)
{
    const row_plan *plan = self->change->plan;
    uint64_t start = self->at.chunk * self->at.form->chunk_rows, row = self->first;
    if (plan != NULL) {
        if (self->next == plan->n)
            return false;
        row = plan->entries[self->next].row;
    }
    if (row >= self->end)
        return false;
    *ret_row = row - start;
    self->first = row + 1;
    while (plan != NULL && self->next < plan->n && plan->entries[self->next].row == row)
        self->next++;
    return true;
}

/* How often the change names a row of the chunk. */
static uint64_t count_named(const tensor_change *change, const tensor_form *form, uint64_t chunk)
{
    uint64_t first = chunk * form->chunk_rows;
    if (change->plan == NULL)
        return change_part_of(change, form, chunk).size / form->row_bytes;
    return plan_find(change->plan, first + form->chunk_rows) - plan_find(change->plan, first);
}

bool change_is_few(const tensor_change *change, const tensor_form *form, uint64_t chunk)
{
    return rows_may_stand(form, chunk, 1) &&
           rows_may_stand(form, chunk, count_named(change, form, chunk));
}

static int count_one(op *o, void *context, mlkv_slice key, uint64_t row, const unsigned char *bytes)
{
    (void)o;
    (void)key;
    (void)row;
    (void)bytes;
    ++*(uint64_t *)context;
    return MLKV_OK;
}

int change_find_full(op *o, const tensor_form *form, uint64_t id, uint64_t chunk, bool *ret_full)
{
    uint64_t mixed =
        (form->version * UINT64_C(0x9e3779b97f4a7c15) ^ chunk) * UINT64_C(0xbf58476d1ce4e5b9);
    uint64_t count = 0;
    *ret_full = false;
    if (form->beside == 0 || (mixed >> 32) % LOOK_EVERY != 0)
        return MLKV_OK;
    int result = rows_each(&(rows_at){o, form, id, chunk}, 0, count_one, &count);
    *ret_full = !rows_may_stand(form, chunk, count);
    return result;
}

/* Copies rows that do not stand beside the chunk out of it. */
static int read_missing(const rows_at *at, const blob_part *parts, size_t n)
{
    chunk_head head;
    mlkv_slice cell, raw;
    int kind;
    uint64_t raw_size;
    cell_blob blob;
    mlkv_buffer *buffers = chunk_scratch(); /* is there: the rows are in it */
    int result = chunk_get(at->o, at->form, at->id, at->chunk, &buffers[0], &head, &cell);
    if (result == MLKV_OK)
        result = cell_inspect(cell, &kind, &raw_size, &blob);
    if (result != MLKV_OK)
        return result;
    if (!cell_borrow(cell, &raw) && chunk_is_packed(&head, cell)) {
        const packed_chunk packed = {.id = at->id, .chunk = at->chunk, .head = head, .cell = cell};
        return op_judge(at->o, chunk_copy(at->o, &packed, parts, n));
    }
    if (kind == CELL_BLOB) {
        for (size_t i = 0; i < n && result == MLKV_OK; i += PARTS)
            result = op_cell_read_parts(at->o, cell, parts + i, n - i < PARTS ? n - i : PARTS);
        return result;
    }
    if (!cell_borrow(cell, &raw)) {
        result = chunk_decode(at->o, &head, at->id, at->chunk, cell, &buffers[1]);
        raw = slice_of_buffer(&buffers[1]);
    }
    for (size_t i = 0; i < n && result == MLKV_OK; i++)
        memcpy(parts[i].to, (const unsigned char *)raw.data + parts[i].offset, parts[i].size);
    return result;
}

/* The rows as they are, one behind the other in *rows, and how many of them stand beside the chunk. */
static int read_rows(row_walk walk, size_t count, mlkv_buffer *rows, uint64_t *ret_standing)
{
    size_t row_bytes = (size_t)walk.at.form->row_bytes, missing = 0;
    unsigned char *to = rows->data;
    mlkv_slice bytes;
    uint64_t row;
    blob_part *parts = reallocarray(NULL, count, sizeof *parts);
    int result = parts == NULL ? error_set_memory("the rows of a change") : MLKV_OK;
    *ret_standing = 0;
    for (; result == MLKV_OK && next_row(&walk, &row); to += row_bytes) {
        int found = rows_get(&walk.at, row, &bytes);
        if (found == MLKV_OK)
            memcpy(to, bytes.data, row_bytes);
        else if (found == MLKV_ABSENT)
            parts[missing++] = (blob_part){row * row_bytes, row_bytes, to};
        else
            result = found;
        *ret_standing += found == MLKV_OK;
    }
    if (result == MLKV_OK && missing != 0 && walk.change->kind != CHANGE_WRITE)
        result = read_missing(&walk.at, parts, missing);
    free(parts);
    return result;
}

/* The rows as they shall be, where they are. */
static void compute_rows(row_walk walk, unsigned char *to)
{
    const tensor_change *change = walk.change;
    const tensor_form *form = walk.at.form;
    size_t row_bytes = (size_t)form->row_bytes, from = walk.next;
    uint64_t start = walk.at.chunk * form->chunk_rows, row;
    for (; next_row(&walk, &row); to += row_bytes) {
        if (change->plan == NULL)
            change_row(change, form, to, change->data + (start + row - change->first) * row_bytes);
        for (; change->plan != NULL && from < walk.next; from++)
            change_row(change, form, to, change->data + change->plan->entries[from].at * row_bytes);
    }
}

int change_put_rows(op *o, const tensor_change *change, tensor_form *form, uint64_t id,
                    uint64_t chunk)
{
    row_walk walk = walk_rows(o, change, form, id, chunk), counting = walk;
    size_t row_bytes = (size_t)form->row_bytes, count = 0;
    uint64_t row, standing;
    while (next_row(&counting, &row))
        count++;
    mlkv_buffer *buffers = chunk_scratch();
    int result = buffers == NULL ? MLKV_E_MEMORY : buffer_reserve(&buffers[2], count * row_bytes);
    if (result == MLKV_OK)
        result = read_rows(walk, count, &buffers[2], &standing);
    if (result != MLKV_OK)
        return result;
    unsigned char *bytes = buffers[2].data;
    compute_rows(walk, bytes);
    for (; result == MLKV_OK && next_row(&walk, &row); bytes += row_bytes) {
        record_key key;
        layout_row(id, chunk, row, &key);
        result = op_put(o, record_key_slice(&key), slice_of(bytes, row_bytes));
    }
    form->beside += count - standing;
    return result;
}
