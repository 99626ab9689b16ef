/* list_pop.c - taking elements away at the ends: pops of one, of many, from the first of several lists, and moves between lists. list.c
 * owns the bytes.
 *
 * The rules here are what the calls that wait run again and again: they answer MLKV_ABSENT, having put nothing, while there is nothing
 * to take.
 *
 * Invariants
 *   1. An element is read before its record goes, in the same rule: it is in the caller's hands or in the list, never neither.
 *   2. A moved element takes its cell along as it is: what it refers to keeps its count.
 *   3. After MLKV_E_DURABILITY the pop has happened, so its outputs stand as after MLKV_OK.
 */
#include "types/list.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "types/argument.h"

enum {
    LEAVE_MIN = 256
}; /* so many elements at once are left to the cleaner if the whole list goes */

static int check_end(mlkv_list_end end, const char *name)
{
    return (unsigned)end <= MLKV_LIST_RIGHT
               ? MLKV_OK
               : error_set(MLKV_E_ARGUMENT, "%s %d is no end of a list", name, (int)end);
}

/* The number of the element at an end, of a list that has one. */
static uint64_t seq_at(const list *self, mlkv_list_end end)
{
    return end == MLKV_LIST_LEFT ? self->head : self->tail - 1;
}

/* That number goes, or one more is taken. */
static void shorten(list *self, mlkv_list_end end)
{
    if (end == MLKV_LIST_LEFT)
        self->head++;
    else
        self->tail--;
}

static int lengthen(list *self, mlkv_list_end end)
{
    if (end == MLKV_LIST_LEFT ? self->head <= 1 : self->tail == UINT64_MAX)
        return error_set(MLKV_E_SIZE, "list \"%s\" has used up its numbers",
                         error_quote(self->entry.name.data, self->entry.name.size));
    if (end == MLKV_LIST_LEFT)
        self->head--;
    else
        self->tail++;
    return MLKV_OK;
}

/* As values_end_get, for a write that takes away what it returns. */
static int end_get(int result, size_t old_size, mlkv_buffer *buffer)
{
    (void)values_end_get(result == MLKV_E_DURABILITY ? MLKV_OK : result, old_size, buffer);
    return result;
}

/* --- one --- */

typedef struct {
    mlkv_slice key;
    mlkv_list_end end;
    mlkv_buffer *value;
    size_t old_size;
} pop_call;

static int pop_rule(op *o, void *context)
{
    pop_call *call = context;
    list from;
    record_key key;
    mlkv_slice cell;
    unsigned char blob[CELL_BLOB_SIZE];
    call->value->size = call->old_size;
    int result = list_open(o, call->key, &from);
    if (result != MLKV_OK)
        return result;
    list_element_key(&from, seq_at(&from, call->end), &key);
    result = op_borrow(o, record_key_slice(&key), &cell);
    if (result == MLKV_ABSENT)
        return list_corrupt(&from, "an element is missing");
    if (result != MLKV_OK)
        return result;
    bool refers = cell.size == sizeof blob && *(const unsigned char *)cell.data == CELL_BLOB;
    if (refers) /* it is borrowed, and needed twice */
        memcpy(blob, cell.data, sizeof blob);
    result = values_append_value(o, call->key, cell, call->value);
    if (result == MLKV_OK && refers)
        result = op_cell_release(o, slice_of(blob, sizeof blob));
    if (result == MLKV_OK)
        result = op_delete(o, record_key_slice(&key));
    shorten(&from, call->end);
    return result != MLKV_OK ? result : list_store(o, &from);
}

int mlkv_list_pop(mlkv *view, mlkv_slice key, mlkv_list_end end, mlkv_buffer *ret_value)
{
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = check_end(end, "end");
    if (result == MLKV_OK)
        result = argument_pointer(ret_value, "ret_value");
    if (result != MLKV_OK)
        return result;
    pop_call call = {key, end, ret_value, ret_value->size};
    return end_get(op_write(view, pop_rule, &call), call.old_size, ret_value);
}

/* --- many --- */

typedef struct {
    list_pop_call *call;
    const list *from;
    bool leaves; /* the records are left to the cleaner */
} taking;

static int take_element(op *o, const list_item *item, void *context)
{
    const taking *self = context;
    int result = list_item_append_row(o, item, &self->call->scratch, self->call->rows);
    return result != MLKV_OK || self->leaves ? result
                                             : list_drop(o, self->from, item->seq, item->cell);
}

/* A pop on the right takes the last element first. The rows are still being filled, so items hold offsets. */
static void turn_around(mlkv_rows *rows)
{
    for (size_t i = 0, j = rows->count; i + 1 < j; i++) {
        mlkv_slice item = rows->items[i];
        rows->items[i] = rows->items[--j];
        rows->items[j] = item;
    }
}

static int pop_from(op *o, list_pop_call *call, list *from)
{
    uint64_t count = list_count(from), n = call->count < count ? call->count : count;
    uint64_t first = call->end == MLKV_LIST_LEFT ? from->head : from->tail - n;
    taking self = {call, from, n == count && n >= LEAVE_MIN};
    if (n == 0)
        return MLKV_OK;
    int result = list_walk(o, from, first, n, take_element, &self);
    if (result != MLKV_OK)
        return result;
    if (call->end == MLKV_LIST_RIGHT)
        turn_around(call->rows);
    if (self.leaves)
        return entry_remove(o, &from->entry);
    if (call->end == MLKV_LIST_LEFT)
        from->head += n;
    else
        from->tail -= n;
    return list_store(o, from);
}

int list_pop_rule(op *o, void *context)
{
    list_pop_call *call = context;
    list from;
    rows_clear(call->rows);
    for (size_t i = 0; i < call->n; i++) {
        entry_prefetch_batch(o, call->keys, call->n, i);
        int result = list_open(o, call->keys[i], &from);
        if (result == MLKV_ABSENT)
            continue;
        call->which = i;
        return result != MLKV_OK ? result : pop_from(o, call, &from);
    }
    return MLKV_ABSENT;
}

static int run_pop(mlkv *view, list_pop_call *call)
{
    int result = check_end(call->end, "end");
    if (result == MLKV_OK)
        result = argument_pointer(call->rows, "ret_values");
    if (result != MLKV_OK)
        return result;
    result = op_write(view, list_pop_rule, call);
    mlkv_buffer_free(&call->scratch);
    (void)values_end_rows(result == MLKV_E_DURABILITY ? MLKV_OK : result, call->rows);
    return result;
}

int mlkv_list_pop_many(mlkv *view, mlkv_slice key, mlkv_list_end end, uint64_t count,
                       mlkv_rows *ret_values)
{
    list_pop_call call = {.keys = &key, .n = 1, .end = end, .count = count, .rows = ret_values};
    int result = argument_view_key(view, key);
    return result != MLKV_OK ? result : run_pop(view, &call);
}

int mlkv_list_pop_first(mlkv *view, const mlkv_slice *keys, size_t n, mlkv_list_end end,
                        uint64_t count, size_t *ret_which, mlkv_rows *ret_values)
{
    list_pop_call call = {.keys = keys, .n = n, .end = end, .count = count, .rows = ret_values};
    int result = argument_pointer(view, "view");
    if (result == MLKV_OK)
        result = argument_slices(keys, n, "keys");
    if (result == MLKV_OK && count == 0)
        result = error_set(MLKV_E_ARGUMENT, "count is 0");
    if (result == MLKV_OK)
        result = run_pop(view, &call);
    if ((result == MLKV_OK || result == MLKV_E_DURABILITY) && ret_which != NULL)
        *ret_which = call.which;
    return result;
}

/* --- move --- */

/* Puts the cell at the end of a list that is stored afterwards. */
static int put_cell(op *o, list *to, mlkv_list_end end, mlkv_slice cell)
{
    record_key key;
    int result = lengthen(to, end);
    if (result != MLKV_OK)
        return result;
    list_element_key(to, seq_at(to, end), &key);
    return op_put(o, record_key_slice(&key), cell);
}

static int delete_at(op *o, const list *from, uint64_t seq)
{
    record_key key;
    list_element_key(from, seq, &key);
    return op_delete(o, record_key_slice(&key));
}

/* One list, from one end to the other (the same end twice changes nothing). */
static int rotate(op *o, const list_move_call *call, list *in)
{
    uint64_t seq = seq_at(in, call->from);
    if (call->from == call->to || list_count(in) == 1)
        return MLKV_OK;
    int result = put_cell(o, in, call->to, slice_of_buffer(&call->cell));
    if (result == MLKV_OK)
        result = delete_at(o, in, seq);
    shorten(in, call->from);
    return result != MLKV_OK ? result : list_store(o, in);
}

static int move_between(op *o, const list_move_call *call, list *from)
{
    list to;
    int result = list_open(o, call->destination, &to);
    if (result == MLKV_ABSENT)
        result = list_create(o, &to);
    if (result == MLKV_OK)
        result = put_cell(o, &to, call->to, slice_of_buffer(&call->cell));
    if (result == MLKV_OK)
        result = delete_at(o, from, seq_at(from, call->from));
    shorten(from, call->from);
    if (result == MLKV_OK)
        result = list_store(o, from);
    return result != MLKV_OK ? result : list_store(o, &to);
}

int list_move_rule(op *o, void *context)
{
    list_move_call *call = context;
    list from;
    if (call->value != NULL)
        call->value->size = call->old_size;
    int result = list_open(o, call->source, &from);
    if (result == MLKV_OK)
        result = list_read(o, &from, seq_at(&from, call->from), &call->cell);
    if (result == MLKV_OK && call->value != NULL)
        result = values_append_value(o, call->source, slice_of_buffer(&call->cell), call->value);
    if (result != MLKV_OK)
        return result;
    return slice_equal(call->source, call->destination) ? rotate(o, call, &from)
                                                        : move_between(o, call, &from);
}

int mlkv_list_move(mlkv *view, mlkv_slice source, mlkv_slice destination, mlkv_list_end from,
                   mlkv_list_end to, mlkv_buffer *ret_value)
{
    list_move_call call = {.source = source, .destination = destination, .from = from, .to = to};
    int result = argument_pointer(view, "view");
    if (result == MLKV_OK)
        result = argument_slice(source, "source");
    if (result == MLKV_OK)
        result = argument_slice(destination, "destination");
    if (result == MLKV_OK)
        result = check_end(from, "from");
    if (result == MLKV_OK)
        result = check_end(to, "to");
    if (result != MLKV_OK)
        return result;
    call.value = ret_value;
    call.old_size = ret_value != NULL ? ret_value->size : 0;
    result = op_write(view, list_move_rule, &call);
    mlkv_buffer_free(&call.cell);
    return ret_value != NULL ? end_get(result, call.old_size, ret_value) : result;
}
