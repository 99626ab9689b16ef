/* backup.c - mlkv_backup: the hot copy of a live view. The engine brings everything to LMDB, the
 * store copies it. Locks: none of its own. */
#include "view/view.h"

#include "base/error.h"
#include "base/lock.h"

int mlkv_backup(mlkv *db, const char *path)
{
    engine *self;
    int result = view_enter(db, &self);
    if (result != MLKV_OK)
        return result;
    if (path == NULL || path[0] == '\0')
        return error_set(MLKV_E_ARGUMENT, "mlkv_backup: no path was given");
    if (db->kind != VIEW_LIVE)
        return error_set(MLKV_E_ARGUMENT, "mlkv_backup needs a live view");
    int state = cancel_disable();
    result = engine_backup(self, path);
    if (result == MLKV_OK)
        error_clear(); /* what was met on the way and got over */
    cancel_restore(state);
    return result;
}
