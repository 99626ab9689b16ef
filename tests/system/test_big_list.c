/* test_big_list.c - a list that is far larger than the cache and the ring: every operation against a model (big.h).
 *
 * The list begins as 0 ... n - 1, so index and element differ by what was taken away on the left. An insertion and a removal in the middle
 * move half of the list, in one write that is larger than the ring; what is inserted is n, which the model does not hold.
 * n is 20,000; 5,000,000 if MLKV_LONG is set; MLKV_BIG sets it.
 */
#include "big.h"

enum { READS = 400, FINDS = 4, WINDOW = 25, TAKEN = 64 };

static const mlkv_slice key = {"list", 4};

/* The element at an index: with one more in it, `extra` at its index. */
typedef struct {
    big b;
    unsigned extra; /* 0: none */
} big_list;

static unsigned length_of(const big_list *self)
{
    return self->b.hi - self->b.lo + (self->extra != 0);
}

static unsigned element_at(const big_list *self, unsigned index)
{
    if (self->extra != 0 && index == self->extra)
        return self->b.n;
    return self->b.lo + index - (self->extra != 0 && index > self->extra);
}

static void push_all(big_list *self)
{
    static char names[BATCH][NAME_BYTES];
    mlkv_slice values[BATCH];
    uint64_t length;
    for (unsigned i = 0; i < self->b.n;) {
        size_t n = 0;
        for (; n < BATCH && i < self->b.n; n++, i++)
            values[n] = name_in(names[n], i);
        OK(mlkv_list_push(self->b.db, key, MLKV_LIST_RIGHT, values, n, &length));
        ck_assert_uint_eq(length, i);
    }
    big_step(&self->b, "list: push");
}

static void element_is(big_list *self, int64_t index, mlkv_buffer *value)
{
    int64_t length = length_of(self);
    int want = index < length && index >= -length ? MLKV_OK : MLKV_ABSENT;
    MUST(want, mlkv_list_get(self->b.db, key, index, value));
    if (want == MLKV_OK)
        ck_assert_uint_eq(number_in(slice_of(value->data, value->size)),
                          element_at(self, (unsigned)(index < 0 ? length + index : index)));
}

static void elements_are(const big_list *self, const mlkv_rows *rows, unsigned first, size_t count)
{
    ck_assert_uint_eq(rows->count, count);
    for (size_t i = 0; i < count; i++)
        if (number_in(rows->items[i]) != element_at(self, first + (unsigned)i))
            ck_abort_msg("element %zu is %u", i, number_in(rows->items[i]));
}

static void walk(big_list *self)
{
    mlkv_query query = {.size = sizeof query, .kind = MLKV_SCAN_LIST, .key = key};
    mlkv_cursor *cursor = NULL;
    mlkv_slice element;
    unsigned index = 0;
    int result;
    OK(mlkv_cursor_open(self->b.db, &query, &cursor));
    for (; (result = mlkv_cursor_next(cursor, &element, NULL)) == MLKV_OK; index++)
        if (number_in(element) != element_at(self, index))
            ck_abort_msg("the walk gives %u at %u", number_in(element), index);
    MUST(MLKV_ABSENT, result);
    ck_assert_uint_eq(index, length_of(self));
    mlkv_cursor_close(cursor);
    big_step(&self->b, "walk over all");
}

static void find(big_list *self, unsigned index)
{
    char room[NAME_BYTES];
    uint64_t found = UINT64_MAX;
    mlkv_slice element = name_in(room, element_at(self, index));
    OK(mlkv_list_find(self->b.db, key, element, 1, 0, &found));
    ck_assert_uint_eq(found, index);
    OK(mlkv_list_find(self->b.db, key, element, -1, 0, &found));
    ck_assert_uint_eq(found, index);
    MUST(MLKV_ABSENT, mlkv_list_find(self->b.db, key, element, 2, 0, &found));
}

static void list_is_right(big_list *self)
{
    mlkv_buffer value = {0};
    mlkv_rows rows = {0};
    uint64_t length;
    OK(mlkv_list_length(self->b.db, key, &length));
    ck_assert_uint_eq(length, length_of(self));
    for (unsigned i = 0; i < READS; i++) {
        unsigned index = i == 0 ? 0 : any_below(&self->b, self->b.n + self->b.n / 50);
        element_is(self, index, &value);
        element_is(self, -1 - (int64_t)index, &value);
    }
    big_step(&self->b, "list: get");
    for (unsigned i = 0; i < READS; i++) {
        unsigned first = any_below(&self->b, length_of(self) - WINDOW);
        OK(mlkv_list_range(self->b.db, key, first, first + WINDOW - 1, &rows));
        elements_are(self, &rows, first, WINDOW);
    }
    big_step(&self->b, "list: range");
    for (unsigned i = 0; i < FINDS; i++)
        find(self, any_below(&self->b, length_of(self)));
    big_step(&self->b, "list: find");
    OK(mlkv_list_range(self->b.db, key, 0, -1, &rows));
    elements_are(self, &rows, 0, length_of(self));
    big_step(&self->b, "list: all elements");
    walk(self);
    mlkv_buffer_free(&value);
    mlkv_rows_free(&rows);
}

/* Pops of one and of many, moves to another list and back, trims. */
static void shorten(big_list *self)
{
    mlkv_buffer value = {0};
    mlkv_rows rows = {0};
    mlkv_slice other = TEXT("other");
    char room[NAME_BYTES];
    for (unsigned i = 0; i < TAKEN; i++) {
        OK(mlkv_list_pop(self->b.db, key, i % 2 == 0 ? MLKV_LIST_LEFT : MLKV_LIST_RIGHT, &value));
        ck_assert_uint_eq(number_in(slice_of(value.data, value.size)),
                          i % 2 == 0 ? self->b.lo++ : --self->b.hi);
    }
    OK(mlkv_list_pop_many(self->b.db, key, MLKV_LIST_LEFT, TAKEN, &rows));
    elements_are(self, &rows, 0, TAKEN);
    self->b.lo += TAKEN;
    big_step(&self->b, "list: pop");
    OK(mlkv_list_move(self->b.db, key, other, MLKV_LIST_LEFT, MLKV_LIST_RIGHT, NULL));
    OK(mlkv_list_move(self->b.db, other, key, MLKV_LIST_LEFT, MLKV_LIST_LEFT, NULL));
    OK(mlkv_list_set(self->b.db, key, self->b.n / 3, TEXT("something else")));
    OK(mlkv_list_get(self->b.db, key, self->b.n / 3, &value));
    ck_assert(slice_equal(slice_of(value.data, value.size), TEXT("something else")));
    OK(mlkv_list_set(self->b.db, key, self->b.n / 3,
                     name_in(room, element_at(self, self->b.n / 3))));
    OK(mlkv_list_trim(self->b.db, key, TAKEN, -1 - TAKEN));
    self->b.lo += TAKEN;
    self->b.hi -= TAKEN;
    big_step(&self->b, "list: move, set, trim");
    mlkv_buffer_free(&value);
    mlkv_rows_free(&rows);
}

/* Half of the list moves, twice. */
static void edit_the_middle(big_list *self)
{
    char room[2][NAME_BYTES];
    int64_t length;
    uint64_t removed;
    unsigned middle = length_of(self) / 2;
    mlkv_slice pivot = name_in(room[0], element_at(self, middle)),
               added = name_in(room[1], self->b.n);
    OK(mlkv_list_insert(self->b.db, key, MLKV_LIST_BEFORE, pivot, added, &length));
    self->extra = middle;
    ck_assert_int_eq(length, length_of(self));
    big_step(&self->b, "list: insert in the middle");
    list_is_right(self);
    big_reopen(&self->b);
    OK(mlkv_list_remove(self->b.db, key, 0, added, &removed));
    ck_assert_uint_eq(removed, 1);
    self->extra = 0;
    big_step(&self->b, "list: remove in the middle");
    list_is_right(self);
}

/* Half of the list, but for some elements, is pushed anew in one transaction that is larger than the ring: given up it has not been;
 * committed, it is there whole. */
static void grow_in_a_transaction(big_list *self)
{
    char room[NAME_BYTES];
    mlkv *transaction;
    for (int commit = 0; commit < 2; commit++) {
        unsigned lo = self->b.lo, half = self->b.n / 2;
        OK(mlkv_begin(self->b.db, &transaction));
        OK(mlkv_list_trim(transaction, key, half - lo, -1));
        for (unsigned r = half; r-- > lo + TAKEN;) {
            mlkv_slice element = name_in(room, r);
            OK(mlkv_list_push(transaction, key, MLKV_LIST_LEFT, &element, 1, NULL));
        }
        OK(commit ? mlkv_commit(transaction) : mlkv_abort(transaction));
        self->b.lo += commit ? TAKEN : 0;
        big_step(&self->b, commit ? "list: large transaction" : "list: the same, given up");
        list_is_right(self);
    }
}

START_TEST(list)
{
    big_list self = {.extra = 0};
    big_begin(&self.b);
    push_all(&self);
    list_is_right(&self);
    shorten(&self);
    list_is_right(&self);
    edit_the_middle(&self);
    grow_in_a_transaction(&self);
    big_reopen(&self.b);
    list_is_right(&self);
    big_verify(&self.b);
    big_end(&self.b, &key, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("system/big_list");
    TCase *tcase = harness_case(suite, "big_list");
    tcase_set_timeout(tcase, 3600);
    tcase_add_test(tcase, list);
    return harness_run(suite);
}
