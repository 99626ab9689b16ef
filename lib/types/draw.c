/* draw.c - drawing without replacement: what distinct random members of a set need.
 *
 * Two ways, both exact. If at least half of the numbers are wanted, a Fisher-Yates shuffle that stops after n steps: O(bound) memory,
 * which is O(n). Otherwise rejection: draw, and draw again if that number was there; fewer than half are taken at any time, so two
 * tries suffice on average. The numbers that were drawn stand in an open-addressed table that is at most half full.
 */
#include "types/draw.h"

#include "base/error.h"
#include "base/random.h"

#include <stdlib.h>

int draw_create(draw *self, uint64_t bound, uint64_t n)
{
    *self = (draw){.bound = bound};
    if (n >= bound / 2 || n > SIZE_MAX / 64) {
        self->numbers = bound < SIZE_MAX / sizeof *self->numbers
                            ? malloc(((size_t)bound + 1) * sizeof *self->numbers)
                            : NULL;
        for (uint64_t i = 0; self->numbers != NULL && i < bound; i++)
            self->numbers[i] = i;
    } else {
        self->size = 16;
        while (self->size < 2 * n)
            self->size *= 2;
        self->numbers = calloc(self->size, sizeof *self->numbers);
    }
    return self->numbers != NULL ? MLKV_OK : error_set_memory("random members");
}

/* False if it was there. */
static int table_insert(draw *self, uint64_t number)
{
    uint64_t spread =
        number * 0x9e3779b97f4a7c15u; /* 2^64 / golden ratio: neighbours land far apart */
    size_t i = (size_t)(spread >> 32) & (self->size - 1);
    for (; self->numbers[i] != 0; i = (i + 1) & (self->size - 1))
        if (self->numbers[i] == number + 1)
            return 0;
    self->numbers[i] = number + 1;
    return 1;
}

uint64_t draw_next(draw *self)
{
    uint64_t number;
    if (self->size != 0) {
        do
            number = random_below(self->bound);
        while (!table_insert(self, number));
        return number;
    }
    uint64_t at = self->drawn + random_below(self->bound - self->drawn);
    number = self->numbers[at];
    self->numbers[at] = self->numbers[self->drawn];
    self->numbers[self->drawn++] = number;
    return number;
}

void draw_destroy(draw *self)
{
    free(self->numbers);
    self->numbers = NULL;
}
