/* sort_order.c - elements, what they are compared by, and their order.
 *
 * State: one sort_items a call; its bytes stand in two growing arenas, so items hold places and not pointers.
 *
 * The order is Redis 7.0's:
 *   numbers   by score, then by all bytes of the elements; without a weight: 0
 *   alpha     by bytes, up to the first zero byte unless `whole`; without a weight: first; then by place
 * Descending turns round all but the last. Since the places differ, so that no two elements compare equal, any sorting algorithm has one
 * result.
 * Locks: none.
 */
#include "types/sort.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "types/named.h"
#include "types/number.h"

#include <stdlib.h>

/* --- items --- */

void sort_items_clear(sort_items *self)
{
    self->names.size = 0;
    self->weights.size = 0;
    self->items.size = 0;
}

void sort_items_done(sort_items *self)
{
    mlkv_buffer_free(&self->names);
    mlkv_buffer_free(&self->weights);
    mlkv_buffer_free(&self->items);
    mlkv_buffer_free(&self->key);
    mlkv_buffer_free(&self->decoded);
}

size_t sort_items_count(const sort_items *self)
{
    return self->items.size / sizeof(sort_item);
}

sort_item *sort_items_at(const sort_items *self, size_t i)
{
    return (sort_item *)self->items.data + i;
}

static mlkv_slice bytes_of(const mlkv_buffer *arena, size_t at, size_t size)
{
    return size == 0 ? slice_of("", 0) : slice_of((const char *)arena->data + at, size);
}

mlkv_slice sort_items_name(const sort_items *self, const sort_item *item)
{
    return bytes_of(&self->names, item->at, item->size);
}

int sort_items_add(sort_items *self, size_t at, uint64_t seq, bool plain)
{
    const sort_item item = {.at = at,
                            .size = self->names.size - at,
                            .seq = seq,
                            .place = sort_items_count(self),
                            .plain = plain};
    return buffer_append(&self->items, &item, sizeof item);
}

void sort_items_reverse(sort_items *self)
{
    size_t n = sort_items_count(self);
    for (size_t i = 0; i < n / 2; i++) {
        sort_item *a = sort_items_at(self, i), *b = sort_items_at(self, n - 1 - i), kept = *a;
        *a = *b;
        *b = kept;
    }
}

/* --- weights --- */

static int weigh_bytes(sort_items *self, sort_item *item, mlkv_slice bytes)
{
    if (!self->alpha)
        return number_parse_weight(bytes, &item->score);
    item->weight_at = self->weights.size;
    item->weight_size = bytes.size;
    item->weighted = true;
    return buffer_append(&self->weights, bytes.data, bytes.size);
}

static int weigh_other(sort_items *self, op *o, sort_item *item)
{
    mlkv_slice cell, raw;
    int result = sort_pattern_find(o, self->by, sort_items_name(self, item), &self->key, &cell);
    if (result != MLKV_OK)
        return result == MLKV_ABSENT ? MLKV_OK : result;
    if (cell_borrow(cell, &raw))
        return weigh_bytes(self, item, raw);
    self->decoded.size = 0;
    result = op_cell_append(o, cell, &self->decoded);
    return result != MLKV_OK ? result : weigh_bytes(self, item, slice_of_buffer(&self->decoded));
}

static int prefetch(sort_items *self, op *o, size_t i)
{
    int result = MLKV_OK;
    for (size_t j = i; j < sort_items_count(self) && j - i < NAMED_BATCH && result == MLKV_OK; j++)
        result = sort_pattern_prefetch(o, self->by, sort_items_name(self, sort_items_at(self, j)),
                                       &self->key);
    return result;
}

int sort_items_weigh(sort_items *self, op *o)
{
    int result = MLKV_OK;
    if (self->by == NULL && self->alpha)
        return MLKV_OK;
    for (size_t i = 0; i < sort_items_count(self) && result == MLKV_OK; i++) {
        sort_item *item = sort_items_at(self, i);
        if (self->by != NULL && i % NAMED_BATCH == 0)
            result = prefetch(self, o, i);
        if (result == MLKV_OK)
            result = self->by != NULL ? weigh_other(self, o, item)
                                      : weigh_bytes(self, item, sort_items_name(self, item));
    }
    return result;
}

/* --- the order --- */

static int compare_text(const sort_items *self, mlkv_slice a, mlkv_slice b)
{
    if (!self->whole) {
        a.size = a.size == 0 ? 0 : strnlen(a.data, a.size);
        b.size = b.size == 0 ? 0 : strnlen(b.data, b.size);
    }
    return slice_compare(a, b);
}

static int compare_alpha(const sort_items *self, const sort_item *a, const sort_item *b)
{
    if (self->by == NULL)
        return compare_text(self, sort_items_name(self, a), sort_items_name(self, b));
    if (!a->weighted || !b->weighted)
        return a->weighted - b->weighted;
    return compare_text(self, bytes_of(&self->weights, a->weight_at, a->weight_size),
                        bytes_of(&self->weights, b->weight_at, b->weight_size));
}

static int compare(const void *left, const void *right, void *context)
{
    const sort_items *self = context;
    const sort_item *a = left, *b = right;
    int order =
        self->alpha ? compare_alpha(self, a, b) : (a->score > b->score) - (a->score < b->score);
    if (order == 0 && !self->alpha)
        order = slice_compare(sort_items_name(self, a), sort_items_name(self, b));
    if (order == 0)
        return (a->place > b->place) - (a->place < b->place);
    return (order < 0) == self->descending ? 1 : -1;
}

void sort_items_order(sort_items *self)
{
    size_t n = sort_items_count(self);
    if (n > 1)
        qsort_r(self->items.data, n, sizeof(sort_item), compare, self);
}
