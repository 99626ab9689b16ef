/* range.c - Redis's ranges. Pure functions, no state, no locks.
 *
 * Counts may be as large as 2^64 - 1 and ends as small as INT64_MIN, so nothing here is added before it is known to fit: an end becomes
 * a position in 0..count, or "before the first".
 *
 * Invariant: if a function returns true, first < count and 1 <= n <= count - first.
 */
#include "types/range.h"

/* How many elements stand before index `end`, 0 <= result <= count. *ret_before: it lies before the first one. */
static uint64_t position(int64_t end, uint64_t count, bool *ret_before)
{
    *ret_before = false;
    if (end >= 0)
        return (uint64_t)end < count ? (uint64_t)end : count;
    uint64_t back = 0 - (uint64_t)end; /* 1: the last one */
    *ret_before = back > count;
    return *ret_before ? 0 : count - back;
}

static bool between(uint64_t first, uint64_t last, uint64_t count, uint64_t *ret_first,
                    uint64_t *ret_n)
{
    bool some = first <= last && first < count;
    *ret_first = some ? first : 0;
    *ret_n = !some ? 0 : (last < count ? last : count - 1) - first + 1;
    return some;
}

static bool none(uint64_t *ret_first, uint64_t *ret_n)
{
    *ret_first = *ret_n = 0;
    return false;
}

bool range_resolve(int64_t start, int64_t stop, uint64_t count, uint64_t *ret_first,
                   uint64_t *ret_n)
{
    bool start_before, stop_before;
    uint64_t first = position(start, count, &start_before);
    uint64_t last = position(stop, count, &stop_before);
    return stop_before ? none(ret_first, ret_n) : between(first, last, count, ret_first, ret_n);
}

bool range_resolve_bytes(int64_t start, int64_t stop, uint64_t count, uint64_t *ret_first,
                         uint64_t *ret_n)
{
    bool start_before, stop_before;
    if (start < 0 && stop < 0 && start > stop)
        return none(ret_first, ret_n);
    uint64_t first = position(start, count, &start_before);
    uint64_t last = position(stop, count, &stop_before);
    return between(first, last, count, ret_first, ret_n);
}

bool range_resolve_index(int64_t index, uint64_t count, uint64_t *ret_index)
{
    bool before;
    uint64_t at = position(index, count, &before);
    if (before || at >= count)
        return false;
    *ret_index = at;
    return true;
}
