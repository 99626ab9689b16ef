/* watch.c - waiting for changes, and finding them, through a live view. The work is done by
 * engine/changes.c and journal/watch.c. No locks. */
#include "view/view.h"

#include "base/error.h"
#include "base/hash.h"
#include "base/lock.h"

uint64_t op_watch_hash(mlkv_slice record_key)
{
    return engine_watch_hash(record_key, hash_key(record_key.data, record_key.size));
}

bool op_watch_possible(const mlkv *view)
{
    return view->kind == VIEW_LIVE;
}

/* The journal of a live view, or of the live view's store that a transaction writes to. */
static int enter(mlkv *view, engine **ret_engine)
{
    int result = view_enter(view, ret_engine);
    if (result == MLKV_OK && view->kind == VIEW_SNAPSHOT)
        return error_set(MLKV_E_ARGUMENT, "nothing changes in a snapshot");
    if (result == MLKV_OK && engine_journal(*ret_engine) == NULL)
        return error_set(MLKV_E_READONLY, "nobody has this store open for writing");
    return result;
}

int op_watch_begin(mlkv *view, const uint64_t *hashes, size_t n, bool any, uint32_t *ret_round)
{
    engine *self;
    int result = enter(view, &self);
    if (result == MLKV_OK)
        *ret_round = journal_watch_begin(engine_journal(self), hashes, n, any);
    return result;
}

int op_watch_wait(mlkv *view, uint32_t round, const uint64_t *hashes, size_t n, bool any,
                  uint32_t timeout_ms)
{
    engine *self;
    int result = enter(view, &self);
    if (result != MLKV_OK)
        return result;
    int state = cancel_disable();
    journal_watch_wait(engine_journal(self), round, hashes, n, any, timeout_ms);
    cancel_restore(state);
    return MLKV_OK;
}

int op_watch_position(mlkv *view, uint64_t *ret_position)
{
    engine *self;
    int result = enter(view, &self);
    if (result == MLKV_OK)
        *ret_position = journal_tail(engine_journal(self));
    return result;
}

int op_watch_changes(mlkv *view, uint64_t *position,
                     int (*visit)(void *context, mlkv_slice record_key), void *context)
{
    engine *self;
    int result = enter(view, &self);
    return result != MLKV_OK ? result : engine_changes(self, position, visit, context);
}
