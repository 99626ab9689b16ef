/* liveness.c - who is alive in a store, told by locks that the kernel drops with their owner.
 *
 * journal.lock is never read or written; its bytes stand for:
 *
 *   0               held shared by every writing opener, exclusively by one that is alone
 *   1               the gate: held exclusively by a writing opener while it enters
 *   2 .. 2^61 - 1   sessions: each held exclusively by the writing opener of that number
 *
 * The gate in front of LMDB's table of readers is a lock of another kind (flock) on the whole file,
 * which does not meet those, because a read-only descriptor can take it, too. Threads of a process
 * share it, so they pass a lock of their own first.
 *
 * Read-only openers hold none of the bytes and only look: they must not keep a writer from recovering, and
 * what they have mapped is retired by whoever replaces it (files.c).
 *
 * The locks are open-file-description locks: they belong to the descriptor, not to the process, so
 * another descriptor of the same file does not drop them, threads do not share them by accident,
 * and a forked child neither holds nor loses them by itself.
 *
 * Invariants:
 *  1. Who enters as not alone has seen, inside the gate and holding byte 0 itself, that somebody
 *     else holds it. Without the gate two openers could each take the other for the living process
 *     that has just ended, and nobody would recover.
 *  2. Shared becomes exclusive, and exclusive shared, in one step: nobody comes in between. Only who
 *     leaves lets go first (liveness_resign): of two that closed at once, each would see the other's
 *     shared lock, and neither be the last.
 *  3. A read-only opener excludes nobody.
 *
 * No locks but those, and gate_lock for a process's own threads at the gate.
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/fault.h"
#include "base/lock.h"
#include "base/random.h"
#include "journal/frame.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

enum { BYTE_LIVING = 0, BYTE_GATE = 1, SESSION_MIN = 2, POLL_US = 2000 };

#define SESSION_END (UINT64_C(1) << 61) /* far within an off_t, which is signed */

struct liveness {
    int fd;
    bool read_only;
    uint64_t session; /* 0 if read_only */
    pthread_mutex_t gate_lock;
};

/* Sets byte `at` to F_RDLCK, F_WRLCK or F_UNLCK without waiting. 0, MLKV_ABSENT (taken by another),
 * negative. */
static int set_lock(const liveness *self, uint64_t at, int type)
{
    struct flock lock = {
        .l_type = (short)type,
        .l_whence = SEEK_SET,
        .l_start = (off_t)at,
        .l_len = 1,
    };
    int got;
    do
        got = fcntl(self->fd, F_OFD_SETLK, &lock);
    while (got != 0 && errno == EINTR);
    if (got == 0)
        return 0;
    if (errno == EAGAIN || errno == EACCES)
        return MLKV_ABSENT;
    return error_set_system(errno, "locking journal.lock");
}

/* Whether somebody else holds byte `at`: exclusively (asked with F_RDLCK), or in any way (F_WRLCK).
 */
static bool held_by_another(const liveness *self, uint64_t at, int type)
{
    struct flock lock = {
        .l_type = (short)type,
        .l_whence = SEEK_SET,
        .l_start = (off_t)at,
        .l_len = 1,
    };
    if (fcntl(self->fd, F_OFD_GETLK, &lock) != 0)
        return true; /* not known: what the living own must not be cleaned */
    return lock.l_type != F_UNLCK;
}

/* One attempt to come in, through the gate. 0, MLKV_ABSENT (not now), negative. */
static int try_enter(const liveness *self, bool *ret_alone)
{
    int result = set_lock(self, BYTE_LIVING, F_WRLCK);
    if (result <= 0) {
        *ret_alone = true;
        return result;
    }
    result = set_lock(self, BYTE_LIVING, F_RDLCK);
    if (result != 0)
        return result; /* somebody is alone in it */
    /* whoever was there a moment ago may have left before we held it, too */
    result = set_lock(self, BYTE_LIVING, F_WRLCK);
    if (result >= 0)
        *ret_alone = result == 0;
    return result < 0 ? result : 0;
}

/* A reader waits only for one that is alone: what that one finds may be about to change. */
static int try_enter_read_only(const liveness *self, bool *ret_alone)
{
    if (held_by_another(self, BYTE_LIVING, F_RDLCK))
        return MLKV_ABSENT;
    *ret_alone = !held_by_another(self, BYTE_LIVING, F_WRLCK);
    return 0;
}

/* Repeats until it is in or the time is up. */
static int enter(const liveness *self, uint32_t timeout_ms, bool *ret_alone)
{
    uint64_t deadline_ns = clock_monotonic_ns() + (uint64_t)timeout_ms * 1000000U;
    bool in_gate = false;
    int result;
    for (;;) {
        result = self->read_only || in_gate ? 0 : set_lock(self, BYTE_GATE, F_WRLCK);
        in_gate = in_gate || (result == 0 && !self->read_only);
        if (result == 0)
            result =
                self->read_only ? try_enter_read_only(self, ret_alone) : try_enter(self, ret_alone);
        if (result != MLKV_ABSENT)
            break;
        if (clock_monotonic_ns() >= deadline_ns) {
            result = error_set(MLKV_E_BUSY,
                               "another process is opening or closing the store alone; waited "
                               "%u ms",
                               (unsigned)timeout_ms);
            break;
        }
        clock_sleep_us(POLL_US);
    }
    if (in_gate)
        (void)set_lock(self, BYTE_GATE, F_UNLCK);
    return result;
}

/* A number that nobody else has now. */
static int take_session(liveness *self)
{
    for (;;) {
        uint64_t session;
        int result = random_system(&session, sizeof session);
        if (result != 0)
            return result;
        session = SESSION_MIN + session % (SESSION_END - SESSION_MIN);
        result = set_lock(self, session, F_WRLCK);
        if (result == 0)
            self->session = session;
        if (result <= 0)
            return result;
    }
}

int liveness_enter(const char *folder, bool read_only, uint32_t timeout_ms, liveness **ret_liveness,
                   bool *ret_alone)
{
    liveness *self = calloc(1, sizeof *self);
    if (self == NULL)
        return error_set_memory("a store's liveness");
    self->read_only = read_only;
    lock_init(&self->gate_lock);
    self->fd = journal_open_file(folder, "journal.lock", read_only ? O_RDONLY : O_RDWR | O_CREAT);
    int result = 0;
    bool alone = false;
    if (self->fd < 0) {
        result = read_only && errno == ENOENT
                     ? error_set(MLKV_E_ABSENT_STORE, "%s: no journal.lock", folder)
                     : error_set_system(errno, "opening %s/journal.lock", folder);
        goto done;
    }
    result = enter(self, timeout_ms, &alone);
    if (result == 0 && !read_only)
        result = take_session(self);
    if (result != 0)
        goto done;
    *ret_liveness = self;
    *ret_alone = alone;
    self = NULL;
done:
    liveness_leave(self);
    return result;
}

int liveness_make(const char *folder)
{
    int fd = journal_open_file(folder, "journal.lock", O_RDWR | O_CREAT);
    if (fd < 0)
        return error_set_system(errno, "making %s/journal.lock", folder);
    (void)close(fd);
    return 0;
}

int liveness_share(liveness *self)
{
    int result = set_lock(self, BYTE_LIVING, F_RDLCK);
    return result == MLKV_ABSENT ? error_set(MLKV_E_IO, "journal.lock: held by two") : result;
}

int liveness_try_alone(liveness *self)
{
    return self->read_only ? MLKV_ABSENT : set_lock(self, BYTE_LIVING, F_WRLCK);
}

int liveness_resign(liveness *self)
{
    if (self->read_only)
        return MLKV_ABSENT;
    int result = set_lock(self, BYTE_LIVING, F_UNLCK);
    FAULT_POINT(CLOSE_RESIGNED);
    return result == 0 ? set_lock(self, BYTE_LIVING, F_WRLCK) : result;
}

uint64_t liveness_session(const liveness *self)
{
    return self->session;
}

bool liveness_session_alive(liveness *self, uint64_t session)
{
    if (session == self->session && session != 0)
        return true;
    if (session < SESSION_MIN || session >= SESSION_END)
        return false; /* no session has such a number */
    return held_by_another(self, session, F_WRLCK);
}

static int gate_busy(uint32_t timeout_ms)
{
    return error_set(MLKV_E_BUSY,
                     "lock.mdb: another process has been at the table of readers for %u ms",
                     (unsigned)timeout_ms);
}

int liveness_gate_enter(liveness *self, uint32_t timeout_ms)
{
    uint64_t deadline_ns = clock_monotonic_ns() + (uint64_t)timeout_ms * 1000000U;
    if (!lock_take_within(&self->gate_lock, timeout_ms))
        return gate_busy(timeout_ms);
    for (uint32_t wait_us = 20; flock(self->fd, LOCK_EX | LOCK_NB) != 0;) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return 0; /* a file system without it: as if there were no gate */
        if (clock_monotonic_ns() >= deadline_ns) {
            lock_release(&self->gate_lock);
            return gate_busy(timeout_ms);
        }
        clock_sleep_us(wait_us);
        wait_us = wait_us < POLL_US ? wait_us * 2 : POLL_US;
    }
    return 0;
}

void liveness_gate_leave(liveness *self)
{
    (void)flock(self->fd, LOCK_UN);
    lock_release(&self->gate_lock);
}

void liveness_leave(liveness *self)
{
    if (self == NULL)
        return;
    if (self->fd >= 0) {
        /* a forked child that still has the descriptor would keep them */
        struct flock all = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
        (void)fcntl(self->fd, F_OFD_SETLK, &all);
        (void)close(self->fd);
    }
    lock_destroy(&self->gate_lock);
    free(self);
}

void liveness_abandon(liveness *self)
{
    if (self == NULL)
        return;
    if (self->fd >= 0)
        (void)close(self->fd);
    free(self);
}
