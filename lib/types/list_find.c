/* list_find.c - looking for elements by their value, from either end. list.c owns the bytes.
 *
 * There is no order among values, so elements are compared one after another: sizes first, which are known without decoding; only a
 * compressed or large value of the same size is decoded. A search for few matches walks in parts that grow, so that one that ends early
 * costs little; one from the right walks each part from its left end and takes its matches the other way round.
 *
 * Locks: none.
 */
#include "types/list.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "types/argument.h"

enum {
    PART_FIRST = 64, /* elements looked at first */
    PART_GROWTH =
        64, /* so many times more in the next part: few parts, for in each the state must be the same (view/op.c) */
};

typedef struct {
    mlkv_slice value;
    mlkv_buffer *seqs;
    mlkv_buffer scratch;
    uint64_t want; /* matches after which the walk ends; 0: never */
} comparing;

static int equals(op *o, comparing *self, const list_item *item, bool *ret_equal)
{
    mlkv_slice raw;
    int kind;
    uint64_t size;
    cell_blob blob;
    *ret_equal = false;
    if (cell_borrow(item->cell, &raw)) {
        *ret_equal = slice_equal(raw, self->value);
        return MLKV_OK;
    }
    int result = cell_inspect(item->cell, &kind, &size, &blob);
    if (result != MLKV_OK || size != self->value.size)
        return result;
    self->scratch.size = 0;
    result = list_item_append(o, item, &self->scratch);
    *ret_equal = result == MLKV_OK && slice_equal(slice_of_buffer(&self->scratch), self->value);
    return result;
}

static size_t found(const mlkv_buffer *seqs)
{
    return seqs->size / sizeof(uint64_t);
}

static int compare_element(op *o, const list_item *item, void *context)
{
    comparing *self = context;
    bool equal;
    int result = equals(o, self, item, &equal);
    if (result == MLKV_OK && equal)
        result = buffer_append(self->seqs, &item->seq, sizeof item->seq);
    return result == MLKV_OK && self->want != 0 && found(self->seqs) >= self->want ? LIST_STOP
                                                                                   : result;
}

static void turn_around(mlkv_buffer *seqs, size_t from)
{
    uint64_t *items = seqs->data;
    for (size_t i = from, j = found(seqs); i + 1 < j; i++) {
        uint64_t seq = items[i];
        items[i] = items[--j];
        items[j] = seq;
    }
}

/* Leaves out what the search passes over, and what is more than it wants. */
static void keep_wanted(const list_search *search, mlkv_buffer *seqs)
{
    size_t count = found(seqs), skip = search->skip < count ? (size_t)search->skip : count;
    size_t kept = count - skip;
    if (search->want != 0 && search->want < kept)
        kept = (size_t)search->want;
    if (skip != 0 && kept != 0)
        memmove(seqs->data, (uint64_t *)seqs->data + skip, kept * sizeof(uint64_t));
    seqs->size = kept * sizeof(uint64_t);
}

int list_find_seqs(op *o, const list *self, const list_search *search, mlkv_buffer *ret_seqs)
{
    comparing call = {.value = search->value, .seqs = ret_seqs};
    uint64_t left = list_count(self), done = 0, part = PART_FIRST;
    int result = MLKV_OK;
    if (search->compared_max != 0 && search->compared_max < left)
        left = search->compared_max;
    if (search->want != 0 && search->want <= UINT64_MAX - search->skip)
        call.want = search->skip + search->want;
    bool forward = !search->from_right;
    ret_seqs->size = 0;
    while (left != 0 && result == MLKV_OK && (call.want == 0 || found(ret_seqs) < call.want)) {
        uint64_t n = part < left && call.want != 0 ? part : left;
        comparing piece = call;
        piece.want = forward ? call.want : 0;
        size_t before = found(ret_seqs);
        result = list_walk(o, self, forward ? self->head + done : self->tail - done - n, n,
                           compare_element, &piece);
        call.scratch = piece.scratch;
        if (!forward)
            turn_around(ret_seqs, before);
        done += n;
        left -= n;
        part = part < UINT64_MAX / PART_GROWTH ? part * PART_GROWTH : UINT64_MAX;
    }
    mlkv_buffer_free(&call.scratch);
    keep_wanted(search, ret_seqs);
    return result == LIST_STOP ? MLKV_OK : result;
}

/* --- the calls --- */

typedef struct {
    mlkv_slice key;
    list_search search;
    mlkv_buffer indexes; /* seqs, until the rule's end */
} find_call;

static int find_rule(op *o, void *context)
{
    find_call *call = context;
    list in;
    call->indexes.size = 0;
    int result = list_open(o, call->key, &in);
    if (result == MLKV_ABSENT)
        return MLKV_OK;
    if (result == MLKV_OK)
        result = list_find_seqs(o, &in, &call->search, &call->indexes);
    uint64_t *items = call->indexes.data;
    for (size_t i = 0; result == MLKV_OK && i < found(&call->indexes); i++)
        items[i] -= in.head;
    return result;
}

static int run_find(mlkv *view, find_call *call, int64_t rank)
{
    int result = argument_view_key(view, call->key);
    if (result == MLKV_OK)
        result = argument_slice(call->search.value, "value");
    if (result == MLKV_OK && (rank == 0 || rank == INT64_MIN))
        result = error_set(MLKV_E_ARGUMENT, "rank is %lld: 1 is the first match, -1 the last",
                           (long long)rank);
    if (result != MLKV_OK)
        return result;
    call->search.from_right = rank < 0;
    call->search.skip = (uint64_t)(rank < 0 ? -rank : rank) - 1;
    return op_read(view, find_rule, call);
}

int mlkv_list_find(mlkv *view, mlkv_slice key, mlkv_slice value, int64_t rank,
                   uint64_t compared_max, uint64_t *ret_index)
{
    find_call call = {.key = key,
                      .search = {.value = value, .want = 1, .compared_max = compared_max}};
    int result = argument_pointer(ret_index, "ret_index");
    if (result == MLKV_OK)
        result = run_find(view, &call, rank);
    if (result == MLKV_OK && found(&call.indexes) == 0)
        result = MLKV_ABSENT;
    if (result == MLKV_OK)
        *ret_index = *(uint64_t *)call.indexes.data;
    mlkv_buffer_free(&call.indexes);
    return result;
}

int mlkv_list_find_many(mlkv *view, mlkv_slice key, mlkv_slice value, int64_t rank, uint64_t count,
                        uint64_t compared_max, mlkv_buffer *ret_indexes)
{
    find_call call = {.key = key,
                      .search = {.value = value, .want = count, .compared_max = compared_max}};
    int result = argument_pointer(ret_indexes, "ret_indexes");
    if (result == MLKV_OK)
        result = run_find(view, &call, rank);
    if (result == MLKV_OK)
        result = buffer_assign(ret_indexes, call.indexes.data, call.indexes.size);
    mlkv_buffer_free(&call.indexes);
    return result;
}
