/* list_edit.c - edits in the middle of a list: elements equal to a value removed, one inserted beside a pivot. list.c owns the bytes.
 *
 * Numbers have no gaps, so a hole in the middle is closed, and a gap is opened, by giving other numbers to the elements on one side: the
 * side with fewer elements. With several holes the elements before some hole move right, those behind it move left, and what
 * stands between stays; the place to part is the one that moves fewest.
 *
 *      head     hole        hole   tail                          1 moves right, 5 moves left
 *      | 1 | x | 2 | 3 | 4 | x | 5 |       ->      |   | 1 | 2 | 3 | 4 | 5 |   |
 *
 * Few elements are read one by one, in the order in which none is overwritten before it was read; many through one scan, which shows them
 * as they stood at its begin.
 *
 * Invariants
 *   1. Moved cells are neither released nor retained; those of removed elements are released.
 *   2. After a side has moved, exactly the numbers that it left at the list's end have no record any more.
 * Cost: a batch with one record for each element that moves or goes.
 */
#include "types/list.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "types/argument.h"
#include "types/element.h"

static const mlkv_slice nothing = {NULL, 0};

/* --- moving one side --- */

/* A side of a list that moves: right, those further left by more, as holes are filled; or left, the other way round. */
typedef struct {
    const list *list;
    bool right;
    bool backwards;        /* elements come from the last to the first */
    uint64_t gap;          /* all move at least that far */
    const uint64_t *holes; /* in this side, rising */
    size_t hole_count, passed;
} mover;

/* Whether the element is the next hole of those that the walk comes to. */
static bool at_hole(const mover *self, uint64_t seq)
{
    if (self->passed == self->hole_count)
        return false;
    return self->holes[self->backwards ? self->hole_count - 1 - self->passed : self->passed] == seq;
}

static int move_element(op *o, const list_item *item, void *context)
{
    mover *self = context;
    record_key key;
    if (at_hole(self, item->seq)) {
        self->passed++;
        return element_release_cell(o, item->cell);
    }
    bool filled = self->right == self->backwards; /* the holes that it moves over were passed */
    uint64_t far = self->gap + (filled ? self->passed : self->hole_count - self->passed);
    list_element_key(self->list, self->right ? item->seq + far : item->seq - far, &key);
    return op_put(o, record_key_slice(&key), item->cell);
}

static int move_each(op *o, mover *self, uint64_t first, uint64_t n)
{
    mlkv_buffer cell = {0};
    int result = MLKV_OK;
    self->backwards = self->right;
    for (uint64_t i = 0; i < n && result == MLKV_OK; i++) {
        uint64_t seq = self->backwards ? first + n - 1 - i : first + i;
        result = list_read(o, self->list, seq, &cell);
        if (result == MLKV_OK)
            result = move_element(o, &(list_item){seq, slice_of_buffer(&cell), NULL}, self);
    }
    mlkv_buffer_free(&cell);
    return result;
}

static int move_side(op *o, mover *self, uint64_t first, uint64_t n)
{
    return n <= LIST_READS_MAX ? move_each(o, self, first, n)
                               : list_walk_frozen(o, self->list, first, n, move_element, self);
}

static int delete_numbers(op *o, const list *self, uint64_t first, uint64_t n)
{
    record_key key;
    int result = MLKV_OK;
    for (uint64_t i = 0; i < n && result == MLKV_OK; i++) {
        list_element_key(self, first + i, &key);
        result = op_delete(o, record_key_slice(&key));
    }
    return result;
}

/* --- removing --- */

/* How many of the holes are filled from the left, so that fewest elements move. */
static size_t choose_parting(const list *self, const uint64_t *holes, size_t n)
{
    uint64_t fewest = UINT64_MAX;
    size_t best = 0;
    for (size_t i = 0; i <= n;
         i++) { /* the elements that stand before hole i - 1 and behind hole i */
        uint64_t before = i == 0 ? 0 : holes[i - 1] - self->head - (i - 1);
        uint64_t behind = i == n ? 0 : self->tail - 1 - holes[i] - (n - 1 - i);
        if (before + behind < fewest) {
            fewest = before + behind;
            best = i;
        }
    }
    return best;
}

/* holes: numbers of elements that go, rising; n is not 0. */
static int close_holes(op *o, list *self, const uint64_t *holes, size_t n)
{
    size_t i = choose_parting(self, holes, n);
    mover left = {.list = self, .right = true, .holes = holes, .hole_count = i};
    mover right = {.list = self, .holes = holes + i, .hole_count = n - i};
    int result = MLKV_OK;
    if (i != 0)
        result = move_side(o, &left, self->head, holes[i - 1] + 1 - self->head);
    if (result == MLKV_OK)
        result = delete_numbers(o, self, self->head, i);
    if (result == MLKV_OK && i != n)
        result = move_side(o, &right, holes[i], self->tail - holes[i]);
    if (result == MLKV_OK)
        result = delete_numbers(o, self, self->tail - (n - i), n - i);
    self->head += i;
    self->tail -= n - i;
    return result != MLKV_OK ? result : list_store(o, self);
}

typedef struct {
    mlkv_slice key;
    list_search search;
    mlkv_buffer seqs;
    uint64_t removed;
} remove_call;

static void turn_around(uint64_t *items, size_t n)
{
    for (size_t i = 0, j = n; i + 1 < j; i++) {
        uint64_t seq = items[i];
        items[i] = items[--j];
        items[j] = seq;
    }
}

static int remove_rule(op *o, void *context)
{
    enum { LEAVE_MIN = 256 }; /* so many elements at once are left to the cleaner */
    remove_call *call = context;
    list from;
    call->removed = 0;
    int result = list_open(o, call->key, &from);
    if (result == MLKV_ABSENT)
        return MLKV_OK;
    if (result == MLKV_OK)
        result = list_find_seqs(o, &from, &call->search, &call->seqs);
    if (result != MLKV_OK || call->seqs.size == 0)
        return result;
    size_t n = call->seqs.size / sizeof(uint64_t);
    call->removed = n;
    if (n == list_count(&from) && n >= LEAVE_MIN)
        return entry_remove(o, &from.entry);
    if (call->search.from_right)
        turn_around(call->seqs.data, n);
    return close_holes(o, &from, call->seqs.data, n);
}

int mlkv_list_remove(mlkv *view, mlkv_slice key, int64_t count, mlkv_slice value,
                     uint64_t *ret_removed)
{
    remove_call call = {.key = key,
                        .search = {.value = value,
                                   .from_right = count < 0,
                                   .want = count < 0 ? 0 - (uint64_t)count : (uint64_t)count}};
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = argument_slice(value, "value");
    if (result == MLKV_OK)
        result = op_write(view, remove_rule, &call);
    mlkv_buffer_free(&call.seqs);
    if (result == MLKV_OK && ret_removed != NULL)
        *ret_removed = call.removed;
    return result;
}

/* --- inserting --- */

typedef struct {
    mlkv_slice key, pivot;
    mlkv_list_side side;
    mlkv_pair pair;
    mlkv_buffer seqs;
    int64_t length;
    values values;
} insert_call;

/* Makes room for an element before number `*seq`, which becomes the number of the room. */
static int open_gap(op *o, list *self, uint64_t *seq)
{
    uint64_t before = *seq - self->head, behind = self->tail - *seq;
    bool right = behind < before;
    mover side = {.list = self, .right = right, .gap = 1};
    if (right ? self->tail == UINT64_MAX : self->head <= 1)
        return error_set(MLKV_E_SIZE, "list \"%s\" has used up its numbers",
                         error_quote(self->entry.name.data, self->entry.name.size));
    int result = move_side(o, &side, right ? *seq : self->head, right ? behind : before);
    if (right) {
        self->tail++;
    } else {
        self->head--;
        (*seq)--;
    }
    return result;
}

static int insert_at(op *o, insert_call *call, list *self, uint64_t seq)
{
    record_key key;
    mlkv_slice head = nothing, body = nothing;
    int result = open_gap(o, self, &seq);
    if (result == MLKV_OK)
        result = values_next(&call->values, o, call->pair.value, &head, &body);
    list_element_key(self, seq, &key);
    if (result == MLKV_OK)
        result = op_put_parts(o, record_key_slice(&key), head, body);
    if (result == MLKV_OK)
        result = list_store(o, self);
    call->length = (int64_t)list_count(self);
    return result;
}

static int insert_rule(op *o, void *context)
{
    insert_call *call = context;
    const list_search search = {.value = call->pivot, .want = 1};
    list self;
    values_restart(&call->values);
    call->length = 0;
    int result = list_open(o, call->key, &self);
    if (result == MLKV_OK)
        result = list_find_seqs(o, &self, &search, &call->seqs);
    if (result != MLKV_OK)
        return result;
    if (call->seqs.size == 0) {
        call->length = -1;
        return MLKV_ABSENT;
    }
    return insert_at(o, call, &self,
                     *(uint64_t *)call->seqs.data + (call->side == MLKV_LIST_AFTER));
}

int mlkv_list_insert(mlkv *view, mlkv_slice key, mlkv_list_side side, mlkv_slice pivot,
                     mlkv_slice value, int64_t *ret_length)
{
    insert_call call = {.key = key, .pivot = pivot, .side = side, .pair = {nothing, value}};
    int result = argument_view_key(view, key);
    if (result == MLKV_OK && (unsigned)side > MLKV_LIST_AFTER)
        result = error_set(MLKV_E_ARGUMENT, "side %d is no side of an element", (int)side);
    if (result == MLKV_OK)
        result = argument_slice(pivot, "pivot");
    if (result == MLKV_OK)
        result = argument_slice(value, "value");
    if (result == MLKV_OK)
        result = values_prepare(&call.values, view, &key, &call.pair, 1);
    if (result == MLKV_OK)
        result = op_write(view, insert_rule, &call);
    values_done(&call.values);
    mlkv_buffer_free(&call.seqs);
    if (result >= 0 && ret_length != NULL)
        *ret_length = call.length;
    return result;
}
