/* list_range.c - a range of a list, read (all of it at once) or kept (the rest goes). list.c owns the bytes.
 *
 * Trimming deletes what goes, unless that is much more than what stays: then what stays moves to a new life of the key, with its numbers,
 * and the old life is left to the cleaner. So a trim costs about the smaller of both, and emptying a list O(1).
 *
 * Invariants
 *   1. An element that moves to the new life leaves no record in the old one: the cleaner releases only what really goes.
 *   2. The new life keeps the key's expiry.
 */
#include "types/list.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "types/argument.h"
#include "types/range.h"

enum {
    LEAVE_MIN = 1024, /* fewer elements are deleted at once: cheaper than a walk of the cleaner */
    LEAVE_PART = 2,   /* moving an element writes two records, deleting one writes one */
};

typedef struct {
    mlkv_slice key;
    int64_t start, stop;
    mlkv_rows *rows;
    mlkv_buffer scratch;
} range_call;

/* --- reading --- */

static int append_element(op *o, const list_item *item, void *context)
{
    range_call *call = context;
    return list_item_append_row(o, item, &call->scratch, call->rows);
}

static int range_rule(op *o, void *context)
{
    range_call *call = context;
    list from;
    uint64_t first, n;
    rows_clear(call->rows);
    int result = list_open(o, call->key, &from);
    if (result != MLKV_OK)
        return result == MLKV_ABSENT ? MLKV_OK : result;
    if (!range_resolve(call->start, call->stop, list_count(&from), &first, &n))
        return MLKV_OK;
    return list_walk(o, &from, from.head + first, n, append_element, call);
}

int mlkv_list_range(mlkv *view, mlkv_slice key, int64_t start, int64_t stop, mlkv_rows *ret_values)
{
    range_call call = {.key = key, .start = start, .stop = stop, .rows = ret_values};
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = argument_pointer(ret_values, "ret_values");
    if (result != MLKV_OK)
        return result;
    result = op_read(view, range_rule, &call);
    mlkv_buffer_free(&call.scratch);
    return values_end_rows(result, ret_values);
}

/* --- trimming --- */

static int drop_element(op *o, const list_item *item, void *context)
{
    return list_drop(o, context, item->seq, item->cell);
}

/* What goes is deleted at both ends. */
static int cut(op *o, list *self, uint64_t head, uint64_t tail)
{
    int result = list_walk(o, self, self->head, head - self->head, drop_element, self);
    if (result == MLKV_OK)
        result = list_walk(o, self, tail, self->tail - tail, drop_element, self);
    self->head = head;
    self->tail = tail;
    return result != MLKV_OK ? result : list_store(o, self);
}

typedef struct {
    const list *old, *new;
} carrying;

static int carry_element(op *o, const list_item *item, void *context)
{
    const carrying *self = context;
    record_key from, to;
    list_element_key(self->old, item->seq, &from);
    list_element_key(self->new, item->seq, &to);
    int result = op_put(o, record_key_slice(&to), item->cell);
    return result != MLKV_OK ? result : op_delete(o, record_key_slice(&from));
}

/* What stays moves to a new life. */
static int renew(op *o, list *self, uint64_t head, uint64_t tail)
{
    const list old = *self;
    carrying call = {&old, self};
    int result = entry_remove(o, &self->entry);
    if (result == MLKV_OK)
        result = list_create(o, self);
    if (result == MLKV_OK)
        result = list_walk(o, &old, head, tail - head, carry_element, &call);
    self->head = head;
    self->tail = tail;
    self->entry.header.expiry_ms = old.entry.header.expiry_ms;
    return result != MLKV_OK ? result : list_store(o, self);
}

static int trim_rule(op *o, void *context)
{
    const range_call *call = context;
    list self;
    uint64_t first, n;
    int result = list_open(o, call->key, &self);
    if (result != MLKV_OK)
        return result == MLKV_ABSENT ? MLKV_OK : result;
    bool some = range_resolve(call->start, call->stop, list_count(&self), &first, &n);
    uint64_t gone = list_count(&self) - n, head = self.head + first;
    if (gone == 0)
        return MLKV_OK;
    if (!some && gone >= LEAVE_MIN)
        return entry_remove(o, &self.entry);
    if (gone >= LEAVE_MIN && gone / LEAVE_PART > n)
        return renew(o, &self, head, head + n);
    return cut(o, &self, some ? head : self.tail, some ? head + n : self.tail);
}

int mlkv_list_trim(mlkv *view, mlkv_slice key, int64_t start, int64_t stop)
{
    range_call call = {.key = key, .start = start, .stop = stop};
    int result = argument_view_key(view, key);
    return result != MLKV_OK ? result : op_write(view, trim_rule, &call);
}
