/* clock.c - the words of journal.head that expiry needs: a clock that does not go back, and when to
 * look next.
 *
 * A wall clock may be set back. What a caller was told to have expired must not come back then, so
 * whoever tells notes the time here, and time stands still for all processes of the store until
 * everything that was due by then is removed (types/expiry.c), or the clock has caught up.
 *
 * clock, 64 bits: the time in ms in the lower 48, a check of it in the upper 16. A damaged word would
 * expire everything, so one whose check fails counts as none.
 *
 * Invariants:
 *  1. clock grows, but for journal_lower_clock, which fails if somebody raised it meanwhile.
 *  2. expiry_due is no later than the earliest expiry in the store, unless expiry_notes was raised
 *     since it was set: who notes an expiry holds the writer lock until it is visible, and who sets
 *     expiry_due later than it was holds it too, and has looked at everything since the last note.
 *
 * Locks: none; 2 says who holds the writer lock.
 */
#include "base/hash.h"
#include "journal/frame.h"

#include <assert.h>

#define CLOCK_MASK ((UINT64_C(1) << 48) - 1)

static uint64_t encode(int64_t now_ms)
{
    uint64_t time = now_ms <= 0 ? 0 : (uint64_t)now_ms & CLOCK_MASK;
    return time == 0 ? 0 : time | (hash_checksum(&time, sizeof time, 0) << 48);
}

static int64_t decode(uint64_t word)
{
    int64_t now_ms = (int64_t)(word & CLOCK_MASK);
    return encode(now_ms) == word ? now_ms : 0;
}

int64_t journal_clock(const journal *self)
{
    uint64_t word = __atomic_load_n(&self->head->clock, __ATOMIC_ACQUIRE);
    return __builtin_expect(word == 0, 1) ? 0 : decode(word);
}

void journal_raise_clock(journal *self, int64_t now_ms)
{
    if (self->read_only)
        return;
    uint64_t seen = __atomic_load_n(&self->head->clock, __ATOMIC_ACQUIRE), wanted = encode(now_ms);
    while (decode(seen) < now_ms &&
           !__atomic_compare_exchange_n(&self->head->clock, &seen, wanted, true, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE))
        ;
}

void journal_lower_clock(journal *self, int64_t seen, int64_t now_ms)
{
    assert(!self->read_only);
    uint64_t expected = encode(seen);
    (void)__atomic_compare_exchange_n(&self->head->clock, &expected, encode(now_ms), false,
                                      __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

int64_t journal_expiry_due(const journal *self)
{
    return __atomic_load_n(&self->head->expiry_due, __ATOMIC_ACQUIRE);
}

uint64_t journal_expiry_notes(const journal *self)
{
    return __atomic_load_n(&self->head->expiry_notes, __ATOMIC_ACQUIRE);
}

void journal_expiry_note_due(journal *self, int64_t at_ms)
{
    assert(!self->read_only);
    int64_t seen = journal_expiry_due(self);
    while (at_ms < seen && !__atomic_compare_exchange_n(&self->head->expiry_due, &seen, at_ms, true,
                                                        __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        ;
}

void journal_expiry_note(journal *self, int64_t at_ms)
{
    __atomic_fetch_add(&self->head->expiry_notes, 1, __ATOMIC_ACQ_REL);
    journal_expiry_note_due(self, at_ms);
}

void journal_expiry_set_due(journal *self, int64_t at_ms)
{
    assert(!self->read_only);
    __atomic_store_n(&self->head->expiry_due, at_ms, __ATOMIC_RELEASE);
}
