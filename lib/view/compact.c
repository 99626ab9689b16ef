/* compact.c - mlkv_compact: disk space back from a live view. Locks: none of its own. */
#include "view/view.h"

#include "base/error.h"
#include "base/lock.h"

int mlkv_compact(mlkv *db, uint64_t *ret_freed_bytes)
{
    engine *self;
    uint64_t freed = 0;
    int result = view_enter(db, &self);
    if (result != MLKV_OK)
        return result;
    if (db->kind != VIEW_LIVE)
        return error_set(MLKV_E_ARGUMENT, "mlkv_compact needs a live view");
    if (db->read_only)
        return error_set(MLKV_E_READONLY, "this opening cannot write");
    int state = cancel_disable();
    result = engine_compact(self, &freed);
    if (result == MLKV_OK) {
        error_clear(); /* what was met on the way and got over */
        if (ret_freed_bytes != NULL)
            *ret_freed_bytes = freed;
    }
    cancel_restore(state);
    return result;
}
