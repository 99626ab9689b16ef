/* draw.h - drawing numbers without replacement, uniformly. No locks; a draw belongs to one thread. */
#ifndef MLKV_TYPES_DRAW_H
#define MLKV_TYPES_DRAW_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t *numbers; /* shuffled so far, or an open-addressed table of number + 1 */
    uint64_t bound;
    size_t size; /* of the table, a power of two; 0: it is a shuffle */
    uint64_t drawn;
} draw;

/* Makes ready for `n` different numbers below `bound`, n <= bound. MLKV_E_MEMORY. O(n). */
int draw_create(draw *self, uint64_t bound, uint64_t n);

/* The next one; at most n times. O(1) on average. Every ordered choice of n numbers is equally likely. */
uint64_t draw_next(draw *self);

void draw_destroy(draw *self);

#endif
