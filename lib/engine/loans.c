/* loans.c - what this process has lent of the store, for mlkv_stats: how much, and since when.
 *
 * A loan is memory that shows pages of data.mdb, and the read transaction that keeps those pages from reuse. A live view's
 * loan has a transaction of its own, and a reference to the engine; that of a snapshot has those of the snapshot, which the
 * view holds for it.
 *
 * State: a list, the oldest first, guarded by loans_lock.
 *
 * Invariants:
 *  1. A mapping is given back before its transaction ends.
 *  2. In a forked child the list, the lock and the transaction are the parent's and not touched; the mapping is the child's
 *     own, and shows what it shows as long as the parent's loan lasts.
 *
 * Locks: loans_lock, in which nothing is called.
 */
#include "engine/engine.h"

#include "base/clock.h"
#include "base/lock.h"

int engine_lend(engine *self, const store_run *runs, size_t n, bool is_private, engine_loan *loan)
{
    loan->engine = self;
    loan->bytes = 0;
    for (size_t i = 0; i < n; i++)
        loan->bytes += runs[i].bytes.size;
    int result = n == 0 ? MLKV_OK : store_map(self->store, runs, n, is_private, &loan->mapping);
    if (result != MLKV_OK)
        return result;
    loan->since_ns = clock_monotonic_ns();
    lock_take(&self->loans_lock);
    loan->listed = true;
    loan->next = NULL;
    loan->link = self->loans_end;
    *loan->link = loan;
    self->loans_end = &loan->next;
    self->loan_count++;
    self->loan_bytes += loan->bytes;
    lock_release(&self->loans_lock);
    return MLKV_OK;
}

static void unlist(engine *self, engine_loan *loan)
{
    lock_take(&self->loans_lock);
    *loan->link = loan->next;
    if (loan->next != NULL)
        loan->next->link = loan->link;
    else
        self->loans_end = loan->link;
    self->loan_count--;
    self->loan_bytes -= loan->bytes;
    lock_release(&self->loans_lock);
}

void engine_lend_end(engine_loan *loan)
{
    store_unmap(&loan->mapping);
    if (!loan->listed || atomic_load(&loan->engine->abandoned))
        return;
    unlist(loan->engine, loan);
    loan->listed = false;
}

void engine_loans_stats(engine *self, mlkv_stats *stats)
{
    lock_take(&self->loans_lock);
    stats->loans = self->loan_count;
    stats->loan_bytes = self->loan_bytes;
    uint64_t since = self->loans != NULL ? self->loans->since_ns : 0;
    lock_release(&self->loans_lock);
    stats->oldest_loan_ms = since == 0 ? 0 : (clock_monotonic_ns() - since) / 1000000;
}
