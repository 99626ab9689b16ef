/* list.c - lists: the key's record, pushing, and single elements by index. (list_pop.c takes elements away, list_range.c and list_find.c
 * read many, list_edit.c changes the middle, list_walk.c is how they read.)
 *
 * Bytes owned, of a list's life:
 *   K's own part   offset size
 *                  0      8    head: number of the first element (LE)
 *                  8      8    tail: one above the number of the last (LE)
 *   L id seq    -> cell        the element with that number, seq in head .. tail-1
 * The first element of a life gets number 2^63, so that both ends can grow; element i has number head + i.
 *
 * Invariants
 *   1. header.count == tail - head, and exactly the L records from head to tail - 1 exist: numbers have no gaps.
 *   2. With the last element the key goes: an empty list does not exist. A missing key reads as an empty list.
 *   3. A cell that is replaced or deleted is released in the same rule; one that only moves is neither released nor retained.
 *   4. A push writes K once, whatever it pushes; an element that is replaced does not write K.
 * Locks: none; everything happens inside a rule.
 */
#include "types/list.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "types/argument.h"
#include "types/element.h"
#include "types/measure.h"
#include "types/range.h"

#include <stdlib.h>

enum { PART_SIZE = 16 };

static const uint64_t first_seq = 1ULL << 63;
static const mlkv_slice nothing = {NULL, 0};

/* --- the list of a key --- */

int list_corrupt(const list *self, const char *what)
{
    return error_set(MLKV_E_CORRUPT, "list \"%s\": %s",
                     error_quote(self->entry.name.data, self->entry.name.size), what);
}

int list_read_part(mlkv_slice part, uint64_t count, uint64_t *ret_head, uint64_t *ret_tail)
{
    if (part.size != PART_SIZE)
        return error_set(MLKV_E_CORRUPT, "a list's record has %zu bytes of its own, not %d",
                         part.size, PART_SIZE);
    uint64_t head = load_le64(part.data), tail = load_le64((const unsigned char *)part.data + 8);
    if (head >= tail || tail - head != count)
        return error_set(
            MLKV_E_CORRUPT, "a list counts %llu elements, but they are numbered %llu to %llu",
            (unsigned long long)count, (unsigned long long)head, (unsigned long long)tail);
    *ret_head = head;
    *ret_tail = tail;
    return MLKV_OK;
}

int list_open(op *o, mlkv_slice key, list *ret_list)
{
    int result = entry_open(o, key, TYPE_LIST, &ret_list->entry);
    if (result == MLKV_OK)
        result = list_read_part(ret_list->entry.rest, ret_list->entry.header.count, &ret_list->head,
                                &ret_list->tail);
    return result;
}

int list_create(op *o, list *self)
{
    self->head = self->tail = first_seq;
    return entry_create(o, &self->entry, TYPE_LIST);
}

int list_store(op *o, list *self)
{
    unsigned char part[PART_SIZE];
    self->entry.header.count = list_count(self);
    if (list_count(self) == 0)
        return entry_vanish(o, &self->entry);
    store_le64(part, self->head);
    store_le64(part + 8, self->tail);
    return entry_store(o, &self->entry, slice_of(part, sizeof part), nothing);
}

/* --- its elements --- */

void list_element_key(const list *self, uint64_t seq, record_key *ret_key)
{
    layout_indexed(RECORD_LIST, self->entry.header.id, seq, ret_key);
}

int list_read(op *o, const list *self, uint64_t seq, mlkv_buffer *ret_cell)
{
    record_key key;
    list_element_key(self, seq, &key);
    int result = op_get(o, record_key_slice(&key), ret_cell);
    return result == MLKV_ABSENT ? list_corrupt(self, "an element is missing") : result;
}

int list_drop(op *o, const list *self, uint64_t seq, mlkv_slice cell)
{
    record_key key;
    list_element_key(self, seq, &key);
    int result = element_release_cell(o, cell);
    return result != MLKV_OK ? result : op_delete(o, record_key_slice(&key));
}

/* --- push --- */

typedef struct {
    mlkv_slice key;
    mlkv_list_end end;
    const mlkv_pair *pairs; /* without names */
    size_t n;
    bool only_present;
    uint64_t length;
    values values;
} push_call;

static int push_values(op *o, push_call *call, list *to)
{
    bool left = call->end == MLKV_LIST_LEFT;
    mlkv_slice head = nothing, body = nothing;
    record_key key;
    if (call->n >= (left ? to->head : UINT64_MAX - to->tail))
        return error_set(MLKV_E_SIZE, "list \"%s\" has used up its numbers",
                         error_quote(call->key.data, call->key.size));
    for (size_t i = 0; i < call->n; i++) {
        int result = values_next(&call->values, o, call->pairs[i].value, &head, &body);
        list_element_key(to, left ? --to->head : to->tail++, &key);
        if (result == MLKV_OK)
            result = op_put_parts(o, record_key_slice(&key), head, body);
        if (result != MLKV_OK)
            return result;
    }
    return list_store(o, to);
}

static int push_rule(op *o, void *context)
{
    push_call *call = context;
    list to;
    values_restart(&call->values);
    call->length = 0;
    int result = list_open(o, call->key, &to);
    if (result == MLKV_ABSENT && (call->only_present || call->n == 0))
        return call->only_present ? MLKV_ABSENT : MLKV_OK;
    if (result == MLKV_ABSENT)
        result = list_create(o, &to);
    if (result == MLKV_OK && call->n != 0)
        result = push_values(o, call, &to);
    if (result == MLKV_OK)
        call->length = list_count(&to);
    return result;
}

static int run_push(mlkv *view, push_call *call, const mlkv_slice *raws, uint64_t *ret_length)
{
    enum { STACK_MAX = 16 };
    mlkv_pair few[STACK_MAX], *pairs = few;
    few[0] = (mlkv_pair){nothing, nothing};
    if (call->n > STACK_MAX && call->n > SIZE_MAX / sizeof *pairs)
        return error_set_memory("the values of a push");
    if (call->n > STACK_MAX && (pairs = malloc(call->n * sizeof *pairs)) == NULL)
        return error_set_memory("the values of a push");
    for (size_t i = 0; i < call->n; i++)
        pairs[i] = (mlkv_pair){nothing, raws[i]};
    call->pairs = pairs;
    int result = values_prepare(&call->values, view, &call->key, pairs, call->n);
    if (result == MLKV_OK)
        result = op_write(view, push_rule, call);
    values_done(&call->values);
    if (pairs != few)
        free(pairs);
    if (result == MLKV_OK && ret_length != NULL)
        *ret_length = call->length;
    return result;
}

static int check_push(const mlkv *view, const push_call *call, const mlkv_slice *raws)
{
    int result = argument_view_key(view, call->key);
    if (result == MLKV_OK && (unsigned)call->end > MLKV_LIST_RIGHT)
        result = error_set(MLKV_E_ARGUMENT, "end %d is no end of a list", (int)call->end);
    return result != MLKV_OK ? result : argument_slices(raws, call->n, "values");
}

int mlkv_list_push(mlkv *view, mlkv_slice key, mlkv_list_end end, const mlkv_slice *raws, size_t n,
                   uint64_t *ret_length)
{
    push_call call = {.key = key, .end = end, .n = n};
    int result = check_push(view, &call, raws);
    return result != MLKV_OK ? result : run_push(view, &call, raws, ret_length);
}

int mlkv_list_push_if_present(mlkv *view, mlkv_slice key, mlkv_list_end end, const mlkv_slice *raws,
                              size_t n, uint64_t *ret_length)
{
    push_call call = {.key = key, .end = end, .n = n, .only_present = true};
    int result = check_push(view, &call, raws);
    return result != MLKV_OK ? result : run_push(view, &call, raws, ret_length);
}

/* --- one element: get, set --- */

typedef struct {
    mlkv_slice key;
    int64_t index;
    mlkv_buffer *value;
    size_t old_size;
} get_call;

static int get_rule(op *o, void *context)
{
    get_call *call = context;
    list from;
    record_key key;
    mlkv_slice cell;
    uint64_t index;
    call->value->size = call->old_size;
    int result = list_open(o, call->key, &from);
    if (result != MLKV_OK)
        return result;
    if (!range_resolve_index(call->index, list_count(&from), &index))
        return MLKV_ABSENT;
    list_element_key(&from, from.head + index, &key);
    result = op_borrow(o, record_key_slice(&key), &cell);
    if (result == MLKV_ABSENT)
        return list_corrupt(&from, "an element is missing");
    return result != MLKV_OK ? result : values_append_value(o, call->key, cell, call->value);
}

int mlkv_list_get(mlkv *view, mlkv_slice key, int64_t index, mlkv_buffer *ret_value)
{
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = argument_pointer(ret_value, "ret_value");
    if (result != MLKV_OK)
        return result;
    get_call call = {key, index, ret_value, ret_value->size};
    return values_end_get(op_read(view, get_rule, &call), call.old_size, ret_value);
}

typedef struct {
    mlkv_slice key;
    int64_t index;
    mlkv_pair pair;
    values values;
} set_call;

static int set_rule(op *o, void *context)
{
    set_call *call = context;
    list in;
    record_key key;
    mlkv_slice cell, head = nothing, body = nothing;
    uint64_t index;
    values_restart(&call->values);
    int result = list_open(o, call->key, &in);
    if (result != MLKV_OK)
        return result;
    if (!range_resolve_index(call->index, list_count(&in), &index))
        return error_set(MLKV_E_RANGE, "index %lld is outside of list \"%s\", which has %llu",
                         (long long)call->index, error_quote(call->key.data, call->key.size),
                         (unsigned long long)list_count(&in));
    list_element_key(&in, in.head + index, &key);
    result = op_borrow(o, record_key_slice(&key), &cell);
    if (result == MLKV_ABSENT)
        return list_corrupt(&in, "an element is missing");
    if (result == MLKV_OK)
        result = element_release_cell(o, cell);
    if (result == MLKV_OK)
        result = values_next(&call->values, o, call->pair.value, &head, &body);
    return result != MLKV_OK ? result : op_put_parts(o, record_key_slice(&key), head, body);
}

int mlkv_list_set(mlkv *view, mlkv_slice key, int64_t index, mlkv_slice value)
{
    set_call call = {.key = key, .index = index, .pair = {nothing, value}};
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = argument_slice(value, "value");
    if (result == MLKV_OK)
        result = values_prepare(&call.values, view, &key, &call.pair, 1);
    if (result == MLKV_OK)
        result = op_write(view, set_rule, &call);
    values_done(&call.values);
    return result;
}

/* --- length --- */

static int read_length(op *o, mlkv_slice key, uint64_t *ret_length)
{
    list found;
    int result = list_open(o, key, &found);
    if (result == MLKV_OK)
        *ret_length = list_count(&found);
    return result;
}

int mlkv_list_length(mlkv *view, mlkv_slice key, uint64_t *ret_length)
{
    return measure_key(view, key, read_length, ret_length, "ret_length");
}
