/* watch.c - sleeping until a record changes, in any process.
 *
 * Writers are many and waiters are few, so a writer must learn with a load or two that nobody waits for
 * what it wrote. Waiters stamp: the hash of what they wait for chooses one of 512 stamps, which takes the
 * number of the current epoch (EPOCH_SECONDS of the monotonic clock, the same for all processes of a
 * machine). A stamp of this epoch or the last one means that somebody waits; so the dead are forgotten by
 * themselves, and nobody has to clear anything. A wait lasts JOURNAL_WATCH_MAX_MS at most, less than an
 * epoch, and its beginner stamps anew.
 *
 * Who writes what is stamped raises watch_round and wakes the futex, with the bits that the hashes choose:
 * of those who sleep there, the kernel wakes those who wait with one of the same bits.
 *
 *   waiter: stamps | fence | reads round, looks at the records (not yet changed) | sleeps if round is the same
 *   writer: tail | fence | reads stamps | raises round | wakes
 *
 * Invariants
 *  1. Of the two fences one comes first: either the waiter sees the change, or the writer sees the stamp.
 *  2. A wake-up means "look": hashes may collide, and a round counts every notification.
 *  3. What is lost with a writer that dies between tail and wake costs the waiter JOURNAL_WATCH_MAX_MS.
 *
 * Locks: none.
 */
#include "base/clock.h"
#include "journal/frame.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { EPOCH_SECONDS = 4, READ_ONLY_POLL_MS = 10 };

_Static_assert(JOURNAL_WATCH_MAX_MS < EPOCH_SECONDS * 1000, "a stamp outlives its wait");

static uint32_t epoch_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint32_t)(now.tv_sec / EPOCH_SECONDS) + 1; /* 0: never */
}

static uint16_t *stamp_of(journal *self, uint64_t hash)
{
    return &self->head->watch_stamps[hash % JOURNAL_WATCH_STAMPS];
}

static uint32_t bits_of(const uint64_t *hashes, size_t n, bool any)
{
    uint32_t bits = any ? FUTEX_BITSET_MATCH_ANY : 0;
    for (size_t i = 0; i < n; i++)
        bits |= UINT32_C(1) << (hashes[i] / JOURNAL_WATCH_STAMPS % 32);
    return bits;
}

uint32_t journal_watch_begin(journal *self, const uint64_t *hashes, size_t n, bool any)
{
    if (self->read_only)
        return 0;
    uint32_t epoch = epoch_now();
    for (size_t i = 0; i < n; i++)
        __atomic_store_n(stamp_of(self, hashes[i]), (uint16_t)epoch, __ATOMIC_RELAXED);
    if (any)
        __atomic_store_n(&self->head->watch_any, epoch, __ATOMIC_RELAXED);
    __atomic_store_n(&self->head->watch_epoch, epoch, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return __atomic_load_n(&self->head->watch_round, __ATOMIC_ACQUIRE);
}

void journal_watch_wait(journal *self, uint32_t round, const uint64_t *hashes, size_t n, bool any,
                        uint32_t timeout_ms)
{
    if (self->read_only) {
        clock_sleep_us((timeout_ms < READ_ONLY_POLL_MS ? timeout_ms : READ_ONLY_POLL_MS) * 1000);
        return;
    }
    if (timeout_ms > JOURNAL_WATCH_MAX_MS)
        timeout_ms = JOURNAL_WATCH_MAX_MS;
    uint64_t until_ns = clock_monotonic_ns() + (uint64_t)timeout_ms * 1000000;
    struct timespec until = {.tv_sec = (time_t)(until_ns / 1000000000),
                             .tv_nsec = (long)(until_ns % 1000000000)};
    (void)syscall(SYS_futex, &self->head->watch_round, FUTEX_WAIT_BITSET, round, &until, NULL,
                  bits_of(hashes, n, any));
}

static bool is_fresh(uint32_t stamp, uint32_t epoch)
{
    return (uint16_t)(epoch - stamp) <= 1;
}

bool journal_watched(const journal *self)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    uint32_t last = __atomic_load_n(&self->head->watch_epoch, __ATOMIC_RELAXED);
    return __builtin_expect(last != 0, 0) && epoch_now() - last <= 1;
}

void journal_watch_notify(journal *self, const uint64_t *hashes, size_t n)
{
    uint32_t epoch = epoch_now(), bits = 0;
    uint32_t any = __atomic_load_n(&self->head->watch_any, __ATOMIC_RELAXED);
    if (hashes == NULL || (any != 0 && epoch - any <= 1))
        bits = FUTEX_BITSET_MATCH_ANY;
    for (size_t i = 0; i < n && bits != FUTEX_BITSET_MATCH_ANY; i++) {
        uint16_t stamp = __atomic_load_n(stamp_of(self, hashes[i]), __ATOMIC_RELAXED);
        if (stamp != 0 && is_fresh(stamp, epoch))
            bits |= bits_of(&hashes[i], 1, false);
    }
    if (bits == 0)
        return;
    __atomic_fetch_add(&self->head->watch_round, 1, __ATOMIC_ACQ_REL);
    (void)syscall(SYS_futex, &self->head->watch_round, FUTEX_WAKE_BITSET, INT_MAX, NULL, NULL,
                  bits);
}
