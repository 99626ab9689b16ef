/* sync.c - making [synced, tail) durable in journal.log.
 *
 * The ring itself is never synced: that would write-protect its pages, and the next put to each
 * would fault. Its bytes are copied through an aligned buffer into journal.log, at the same offset,
 * by O_DIRECT|O_DSYNC writes of whole blocks (buffered ones and fdatasync where those are refused).
 *
 * Waiting: whoever gets the sync lock writes all up to the tail that it finds then, for everybody
 * who waits. The others do not queue for the lock, where they would be let in one after the other
 * only to learn that they are done; they sleep on the futex sync_round, which the writer raises
 * after each round and on which it wakes all. Sleeps end after 20 ms, because the writer may die. The
 * writer may also be stopped, with the lock: it raises sync_round after each part of a long round,
 * too, without waking anybody, and who sees it stand still for too long gives up.
 *
 * What goes into a block, position by position (T the tail noted, R reserved after the copy):
 *
 *   below R - ring        zeros: overwritten in the ring since, hence applied (I1), hence never
 *                         asked for by a recovery, which begins at LMDB's applied
 *   up to T               the frames
 *   from T up to R        zeros: somebody is writing there, or died there
 *   from R on             what the ring has: the lap before. It may not be applied yet, and of it
 *                         journal.log holds the only durable copy: zeros would destroy that
 *
 * Invariants:
 *  1. synced is raised after the write has returned with success, by the holder of the sync lock
 *     only, and never lowered.
 *  2. Positions below applied are skipped: they are in LMDB, durably (R7).
 *  3. After a failed write nothing is known of the disk's content (the kernel forgets the error and
 *     the data), so the journal is poisoned: no later write may pretend that all is well.
 *  4. A block of journal.log is written twice before it counts: with zeros, some MiB ahead, in the
 *     first lap. Overwriting what was written before costs no file system journal.
 *
 * Locks: the sync lock guards journal.log, synced, zeroed and, in this process, the buffer.
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/fault.h"
#include "journal/frame.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Zeros are written by ZERO_STEP when less than ZERO_LOW of them are left: some milliseconds each
 * time, and rarely. */
enum { ZERO_STEP = 4 * JOURNAL_BOUNCE_SIZE, ZERO_LOW = JOURNAL_BOUNCE_SIZE };

/* Those who were woken together append again within microseconds. Whoever is first lets them do so
 * before it notes the tail, or half of them would wait for the round after: with 16 threads on a
 * disk of 139 us a write, 77-98 thousand durable puts a second instead of 57. */
enum { COMPANY_YIELDS = 3 };

static const struct timespec round_timeout = {.tv_nsec = 20 * 1000 * 1000};

static uint64_t max_of(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t min_of(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t block_floor(uint64_t position)
{
    return position & ~(uint64_t)(JOURNAL_BLOCK_SIZE - 1);
}

static uint64_t block_ceiling(uint64_t position)
{
    return block_floor(position + JOURNAL_BLOCK_SIZE - 1);
}

/* --- writing --- */

/* Some file systems refuse direct writes only when they see one. */
static int give_up_direct(journal *self)
{
    int flags = fcntl(self->log_fd, F_GETFL);
    if (flags < 0 || fcntl(self->log_fd, F_SETFL, flags & ~O_DIRECT) != 0)
        return errno;
    self->log_direct = false;
    return 0;
}

/* Writes whole blocks from the bounce buffer, all of them. 0 or an errno. */
static int write_blocks(journal *self, uint64_t offset, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = pwrite(self->log_fd, self->bounce + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINVAL && self->log_direct) {
            int error = give_up_direct(self);
            if (error != 0)
                return error;
        } else if (n < 0 && errno != EINTR) {
            return errno;
        } else if (n == 0) {
            return EIO;
        } else if (n > 0) {
            /* the next direct write must begin at a block, too */
            size_t whole = block_floor(done + (size_t)n);
            if (whole == done && self->log_direct) {
                int error = give_up_direct(self);
                if (error != 0)
                    return error;
            }
            done = self->log_direct ? whole : done + (size_t)n;
        }
    }
    return 0;
}

static int finish_blocks(journal *self)
{
    if (self->log_direct)
        return 0; /* O_DSYNC */
    int error;
    do
        error = fdatasync(self->log_fd) == 0 ? 0 : errno;
    while (error == EINTR);
    return error;
}

static void clear(journal *self, uint64_t start, uint64_t from, uint64_t to)
{
    if (from < to)
        memset(self->bounce + (from - start), 0, to - from);
}

/* Fills the bounce buffer with the blocks [start, end): the table at the top. */
static void copy_blocks(journal *self, uint64_t start, uint64_t end, uint64_t tail)
{
    words_load(self->bounce, ring_at(self, start), end - start);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    uint64_t reserved = __atomic_load_n(&self->head->reserved, __ATOMIC_RELAXED);
    if (reserved > self->ring_bytes)
        clear(self, start, start, min_of(reserved - self->ring_bytes, min_of(end, tail)));
    clear(self, start, max_of(start, tail), min_of(reserved, end));
}

/* Writes [from, tail) to the log. 0 or an errno. */
static int write_range(journal *self, uint64_t from, uint64_t tail)
{
    uint64_t end = block_ceiling(tail);
    for (uint64_t at = block_floor(from); at < end;) {
        uint64_t offset = at & self->mask;
        uint64_t size = min_of(end - at, JOURNAL_BOUNCE_SIZE);
        size = min_of(size, self->ring_bytes - offset);
        copy_blocks(self, at, at + size, tail);
        int error = write_blocks(self, offset, size);
        if (error != 0)
            return error;
        at += size;
        __atomic_fetch_add(&self->head->sync_round, 1, __ATOMIC_RELEASE); /* a sign of life */
    }
    return finish_blocks(self);
}

/* In the log's first lap: zeros ahead of what was just written up to `end`. 0 or an errno. */
static int zero_ahead(journal *self, uint64_t end)
{
    journal_head *head = self->head;
    uint64_t lap_end = head->zero_start + self->ring_bytes;
    uint64_t zeroed = head->zeroed;
    if (zeroed >= lap_end)
        return 0;
    uint64_t written = min_of(block_ceiling(end), lap_end);
    zeroed = max_of(zeroed, written);
    if (zeroed - written >= ZERO_LOW) {
        head->zeroed = zeroed;
        return 0;
    }
    uint64_t target = min_of(zeroed + ZERO_STEP, lap_end);
    memset(self->bounce, 0, JOURNAL_BOUNCE_SIZE);
    while (zeroed < target) {
        uint64_t offset = zeroed & self->mask;
        uint64_t size = min_of(target - zeroed, JOURNAL_BOUNCE_SIZE);
        size = min_of(size, self->ring_bytes - offset);
        int error = write_blocks(self, offset, size);
        if (error != 0)
            return error;
        zeroed += size;
    }
    int error = finish_blocks(self);
    if (error == 0)
        head->zeroed = zeroed;
    return error;
}

/* --- one round --- */

static int fail(journal *self, int error)
{
    char reason[JOURNAL_REASON_SIZE];
    char text_space[64];
    snprintf(reason, sizeof reason, "writing journal.log failed: %s",
             strerror_r(error, text_space, sizeof text_space));
    journal_poison(self, reason);
    return journal_check(self);
}

/* Under the sync lock: makes all durable that is visible now. */
static int sync_round(journal *self)
{
    journal_head *head = self->head;
    int result = journal_check(self);
    if (result != 0)
        return result;
    int error = FAULT_FAIL(SYNC_LOCKED);
    if (error != 0)
        return fail(self, error);
    if (__atomic_load_n(&head->sync_woken, __ATOMIC_RELAXED) > 1)
        for (int i = 0; i < COMPANY_YIELDS; i++)
            sched_yield();
    uint64_t tail = journal_tail(self);
    uint64_t synced = journal_synced(self);
    if (tail <= synced)
        return 0;
    uint64_t from = max_of(synced, journal_applied(self));
    if (from < tail)
        error = write_range(self, from, tail);
    if (error != 0)
        return fail(self, error);
    FAULT_POINT(SYNC_WRITTEN);
    __atomic_store_n(&head->synced, tail, __ATOMIC_RELEASE);
    FAULT_POINT(SYNC_RAISED);
    if (from < tail)
        error = zero_ahead(self, tail);
    return error != 0 ? fail(self, error) : 0;
}

static void wake_all(journal *self)
{
    __atomic_fetch_add(&self->head->sync_round, 1, __ATOMIC_RELEASE);
    long woken = syscall(SYS_futex, &self->head->sync_round, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    __atomic_store_n(&self->head->sync_woken, woken > 0 ? (uint32_t)woken : 0, __ATOMIC_RELAXED);
}

static void wait_round(journal *self, uint32_t round)
{
    (void)syscall(SYS_futex, &self->head->sync_round, FUTEX_WAIT, round, &round_timeout, NULL, 0);
}

static int give_up(uint32_t timeout_ms)
{
    return error_set(MLKV_E_BUSY, "journal.log: whoever is writing it has not gone on for %u ms",
                     (unsigned)timeout_ms);
}

int journal_sync(journal *self, uint64_t position, uint32_t timeout_ms)
{
    if (journal_synced(self) >= position)
        return 0;
    if (self->read_only)
        return error_set(MLKV_E_READONLY, "a read-only opening cannot sync");
    if (position > journal_tail(self))
        return error_set(MLKV_E_ARGUMENT, "journal_sync: %llu is behind the tail",
                         (unsigned long long)position);
    uint32_t seen = __atomic_load_n(&self->head->sync_round, __ATOMIC_ACQUIRE);
    uint64_t since_ns = clock_monotonic_ns();
    for (;;) {
        /* read before the try: if the holder ends after the try failed, the round differs */
        uint32_t round = __atomic_load_n(&self->head->sync_round, __ATOMIC_ACQUIRE);
        if (journal_synced(self) >= position)
            return 0;
        int result = journal_check(self);
        if (result != 0)
            return result;
        result = shared_lock_try(&self->head->sync_lock);
        if (result == MLKV_E_BUSY) {
            uint64_t now_ns = clock_monotonic_ns();
            if (round != seen) {
                seen = round;
                since_ns = now_ns;
            }
            if (now_ns - since_ns >= (uint64_t)timeout_ms * 1000000U)
                return give_up(timeout_ms);
            wait_round(self, round);
            continue;
        }
        if (result < 0)
            return result;
        /* a dead holder left nothing to repair: synced is raised last */
        if (journal_synced(self) < position)
            result = sync_round(self);
        shared_lock_release(&self->head->sync_lock);
        wake_all(self);
        /* a failure behind the raise is for those who come later */
        return journal_synced(self) >= position ? 0 : result;
    }
}
