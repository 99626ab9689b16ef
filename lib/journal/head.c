/* head.c - the words of journal.head that change: positions, life ids, the locks, the poison.
 *
 * Owns the mapped page behind its constant part (frame.h has the table). Everything in it is read
 * and written by several processes at once, through atomics.
 *
 * Invariants:
 *  1. tail, reserved, applied, synced and next_id only grow (I1).
 *  2. applied never passes tail: what is not visible cannot be in LMDB, but for the marker that a
 *     dead owner did not come to append, and journal_take_over appends that first.
 *  3. The epoch is raised by each taking of the writer lock, under it (R10).
 *  4. A dead owner is reported to every taker until journal_take_over has succeeded, not only to
 * the first: that one may fail or die, too.
 *  5. A poisoned journal stays poisoned; only new files (journal_create) end that.
 *
 * Locks: the writer lock guards epoch, repair, reserved, chain and tail; applied has many raisers.
 */
#include "base/error.h"
#include "journal/frame.h"

#include <assert.h>
#include <stdio.h>

size_t journal_ring_bytes(const journal *self)
{
    return self->ring_bytes;
}

uint64_t journal_generation(const journal *self)
{
    return self->generation;
}

bool journal_retired(const journal *self)
{
    return __atomic_load_n(&self->head->retired, __ATOMIC_ACQUIRE) != 0;
}

bool journal_retiring(const journal *self)
{
    return journal_retired(self) || journal_reserved(self) == RESERVED_RETIRED;
}

uint64_t journal_tail(const journal *self)
{
    return __atomic_load_n(&self->head->tail, __ATOMIC_ACQUIRE);
}

uint64_t journal_reserved(const journal *self)
{
    return __atomic_load_n(&self->head->reserved, __ATOMIC_ACQUIRE);
}

uint64_t journal_applied(const journal *self)
{
    return __atomic_load_n(&self->head->applied, __ATOMIC_ACQUIRE);
}

uint64_t journal_synced(const journal *self)
{
    return __atomic_load_n(&self->head->synced, __ATOMIC_ACQUIRE);
}

void journal_raise_applied(journal *self, uint64_t position)
{
    assert(!self->read_only);
    uint64_t tail = journal_tail(self);
    uint64_t wanted = position < tail ? position : tail;
    uint64_t seen = journal_applied(self);
    while (seen < wanted && !__atomic_compare_exchange_n(&self->head->applied, &seen, wanted, true,
                                                         __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        ;
}

uint64_t journal_take_ids(journal *self, uint64_t n)
{
    assert(!self->read_only);
    return __atomic_fetch_add(&self->head->next_id, n, __ATOMIC_ACQ_REL);
}

uint64_t journal_next_id(const journal *self)
{
    return __atomic_load_n(&self->head->next_id, __ATOMIC_ACQUIRE);
}

int journal_lock(journal *self, uint32_t timeout_ms)
{
    if (self->read_only)
        return error_set(MLKV_E_READONLY, "a read-only opening has no writer lock");
    journal_head *head = self->head;
    int result = shared_lock_take(&head->writer_lock, timeout_ms);
    if (result < 0)
        return result;
    /* the owner alone writes these two */
    __atomic_store_n(&head->epoch, __atomic_load_n(&head->epoch, __ATOMIC_RELAXED) + 1,
                     __ATOMIC_RELAXED);
    if (result == LOCK_OWNER_DIED)
        __atomic_store_n(&head->repair, 1, __ATOMIC_RELAXED);
    else if (__atomic_load_n(&head->repair, __ATOMIC_RELAXED) != 0)
        result = LOCK_OWNER_DIED;
    int poisoned = journal_check(self);
    if (poisoned != 0) {
        shared_lock_release(&head->writer_lock);
        return poisoned;
    }
    return result;
}

void journal_unlock(journal *self)
{
    shared_lock_release(&self->head->writer_lock);
}

uint64_t journal_epoch(const journal *self)
{
    return __atomic_load_n(&self->head->epoch, __ATOMIC_RELAXED);
}

shared_lock *journal_applier_lock(journal *self)
{
    return self->read_only ? NULL : &self->head->applier_lock;
}

void journal_poison(journal *self, const char *reason)
{
    journal_head *head = self->head;
    uint32_t none = POISON_NONE;
    if (self->read_only || !__atomic_compare_exchange_n(&head->poison, &none, POISON_BEGUN, false,
                                                        __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return; /* the first reason is the one to know */
    char text[JOURNAL_REASON_SIZE] = "";
    snprintf(text, sizeof text, "%s", reason);
    words_store(head->reason, text, sizeof text);
    __atomic_store_n(&head->poison, POISON_TOLD, __ATOMIC_RELEASE);
}

int journal_check(const journal *self)
{
    uint32_t poison = __atomic_load_n(&self->head->poison, __ATOMIC_ACQUIRE);
    if (poison == POISON_NONE)
        return 0;
    char text[JOURNAL_REASON_SIZE] = "";
    if (poison == POISON_TOLD) {
        words_load(text, self->head->reason, sizeof text);
        text[sizeof text - 1] = '\0';
    }
    return error_set(MLKV_E_POISONED, "writing has stopped: %s",
                     text[0] != '\0' ? text : "an earlier failure");
}
