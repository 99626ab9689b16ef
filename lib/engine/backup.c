/* backup.c - a copy of everything acknowledged, while all processes go on.
 *
 * What is acknowledged and not in LMDB yet is applied first, so that LMDB's newest snapshot alone
 * holds everything below the tail noted at the beginning; store/ copies that snapshot. What it
 * holds besides (later frames, blobs that nobody refers to yet with their notes) does no harm: a
 * snapshot ends on a frame boundary, and whoever opens the copy finds the sessions of the notes
 * dead.
 *
 * A read-only engine cannot apply. It waits for those who can, and gives up after lock_timeout_ms.
 *
 * Locks: those of engine_apply_until, and none during the copy.
 */
#include "engine/engine.h"

#include "base/clock.h"
#include "base/error.h"

enum { POLL_US = 5000 };

/* Whether new snapshots of LMDB hold everything below `position`: 0 or MLKV_ABSENT. */
static int snapshots_reach(engine *self, uint64_t position)
{
    store_read *read = NULL;
    store_position found = {0};
    int result = store_read_begin(self->store, &read);
    if (result == MLKV_OK)
        result = store_read_position(read, &found);
    store_read_end(read);
    return result == MLKV_OK && found.applied < position ? MLKV_ABSENT : result;
}

/* LMDB shows readers an old commit after a death: settled once, they see the newest. */
static int apply_all(engine *self, uint64_t tail)
{
    int result = engine_apply_until(self, tail);
    if (result == MLKV_OK)
        result = snapshots_reach(self, tail);
    return result == MLKV_ABSENT ? engine_settle(self) : result;
}

static int wait_applied(engine *self, uint64_t tail)
{
    uint64_t until_ns =
        clock_monotonic_ns() + (uint64_t)self->options.lock_timeout_ms * UINT64_C(1000000);
    int result;
    while ((result = snapshots_reach(self, tail)) == MLKV_ABSENT) {
        if (clock_monotonic_ns() >= until_ns)
            return error_set(
                MLKV_E_READONLY,
                "a read-only opening cannot bring to LMDB what only the journal holds, "
                "and no writer did so for %u ms",
                (unsigned)self->options.lock_timeout_ms);
        clock_sleep_us(POLL_US);
    }
    return result;
}

int engine_backup(engine *self, const char *path)
{
    int result = self->options.read_only ? engine_refresh(self) : MLKV_OK;
    if (result != MLKV_OK)
        return result;
    journal *log = engine_journal(self); /* none in a read-only engine: LMDB is all there is */
    uint64_t tail = log != NULL ? journal_tail(log) : 0;
    result = self->options.read_only ? wait_applied(self, tail) : apply_all(self, tail);
    if (result == MLKV_OK)
        result = store_backup(self->store, path, tail);
    if (result == MLKV_OK)
        (void)liveness_make(path); /* only those who open the copy read-only miss it */
    return result == MLKV_ABSENT
               ? error_set(MLKV_E_BUSY, "LMDB's snapshots lag behind its commits: a writer died, "
                                        "and nobody has written since")
               : result;
}
