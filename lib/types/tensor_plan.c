/* tensor_plan.c - row numbers of a caller in the order of the rows, so that each chunk is visited
 * once, and each piece of it, however the caller's numbers are mixed.
 *
 * Bytes owned: the plan's entries, one a number: the row, and at which place of the caller's array
 * it stood. 16 bytes each, twice as many while they are sorted.
 *
 * Invariants of a plan that was made:
 *  1. Entries rise by row, and among those of one row by place: of duplicates the last one of the
 *     caller comes last.
 *  2. Each number was read from the caller's array once: what another thread does to the array
 *     afterwards changes nothing.
 *
 * Sorting: by digits, the lowest first, which keeps the order of equal ones; as many passes as the
 * largest row has digits, none if the numbers rise already. No state, no locks.
 */
#include "types/tensor.h"

#include "base/bytes.h"
#include "base/error.h"

#include <stdlib.h>

enum {
    DIGIT_BITS_MAX = 11, /* the counts of a pass stay in a core's first cache */
    DIGIT_BITS_FEW = 6,  /* of few numbers a pass would count zeros most of the time */
    FEW = 1024,
};

/* One pass: from `from` to `to`, by the digit at `shift`. */
static void sort_by_digit(const plan_entry *from, plan_entry *to, size_t n, unsigned shift,
                          unsigned bits)
{
    size_t starts[1 << DIGIT_BITS_MAX], digits = (size_t)1 << bits, sum = 0;
    uint64_t mask = digits - 1;
    memset(starts, 0, digits * sizeof starts[0]);
    for (size_t i = 0; i < n; i++)
        starts[from[i].row >> shift & mask]++;
    for (size_t i = 0; i < digits; i++) {
        size_t count = starts[i];
        starts[i] = sum;
        sum += count;
    }
    for (size_t i = 0; i < n; i++)
        to[starts[from[i].row >> shift & mask]++] = from[i];
}

static int sort(row_plan *self, uint64_t largest)
{
    plan_entry *spare = reallocarray(NULL, self->n, sizeof *spare);
    if (spare == NULL)
        return error_set_memory("a tensor's rows in their order");
    unsigned bits = self->n < FEW ? DIGIT_BITS_FEW : DIGIT_BITS_MAX;
    for (unsigned shift = 0; shift < 64 && largest >> shift != 0; shift += bits) {
        sort_by_digit(self->entries, spare, self->n, shift, bits);
        plan_entry *sorted = spare;
        spare = self->entries;
        self->entries = sorted;
    }
    free(spare);
    return MLKV_OK;
}

int plan_make(const uint64_t *rows, size_t first, size_t n, row_plan *self)
{
    plan_done(self);
    if (n == 0)
        return MLKV_OK;
    self->entries = reallocarray(NULL, n, sizeof *self->entries);
    if (self->entries == NULL)
        return error_set_memory("a tensor's rows in their order");
    uint64_t before = 0, largest = 0;
    bool rises = true;
    for (size_t i = 0; i < n; i++) {
        uint64_t row = rows[first + i];
        self->entries[i] = (plan_entry){row, first + i};
        rises = rises && row >= before;
        largest = row > largest ? row : largest;
        before = row;
    }
    self->first = first;
    self->n = n;
    int result = rises ? MLKV_OK : sort(self, largest);
    if (result != MLKV_OK)
        plan_done(self);
    return result;
}

void plan_done(row_plan *self)
{
    free(self->entries);
    *self = (row_plan){0};
}

size_t plan_find(const row_plan *self, uint64_t row)
{
    size_t low = 0, high = self->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (self->entries[middle].row < row)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int plan_check_arguments(const uint64_t *rows, size_t n)
{
    if (n > PTRDIFF_MAX / sizeof *rows)
        return error_set(MLKV_E_ARGUMENT, "an array of %zu row numbers cannot be", n);
    if (rows == NULL && n != 0)
        return error_set(MLKV_E_ARGUMENT, "the %zu row numbers are at NULL", n);
    return MLKV_OK;
}

int plan_check_size(mlkv_slice key, const tensor_form *form, size_t n, size_t size)
{
    bool fits = form->row_bytes == 0 ? size == 0
                                     : size / form->row_bytes == n && size % form->row_bytes == 0;
    if (fits)
        return MLKV_OK;
    return error_set(
        MLKV_E_SHAPE,
        "%zu bytes are given for %zu rows of tensor '%s', each of which takes %llu (%s)", size, n,
        error_quote(key.data, key.size), (unsigned long long)form->row_bytes,
        tensor_text(&form->tensor));
}

int plan_check_rows(mlkv_slice key, const tensor_form *form, const row_plan *self)
{
    const plan_entry *last = self->n == 0 ? NULL : &self->entries[self->n - 1];
    if (last == NULL || last->row < form->rows)
        return MLKV_OK;
    return error_set(MLKV_E_SHAPE,
                     "row number %llu%s, at place %zu of the array, is not there in tensor '%s', "
                     "which is %s",
                     (unsigned long long)last->row,
                     last->row >> 63 != 0 ? " (negative, if signed)" : "", last->at,
                     error_quote(key.data, key.size), tensor_text(&form->tensor));
}
