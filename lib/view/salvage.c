/* salvage.c - behind the waist: the records of a damaged store in a new one, opened to be mended.
 *
 * The new store's records are those that were found, and need not fit each other. Its keeper must
 * clean nothing meanwhile: it would take for garbage, or for expired, what is about to be mended. So it
 * is opened with the engine's option `quiet`, in a folder that nobody else knows.
 *
 *   begin: folder made, records put, opened --> the caller mends --> end: closed clean, put in place
 *
 * Locks: none.
 */
#include "view/view.h"

#include "base/error.h"
#include "base/lock.h"
#include "engine/salvage.h"

#include <stdlib.h>

enum { RING_BYTES = 1 << 20, CACHE_BYTES = 16 << 20 }; /* a store that is mended once: few frames */

struct salvage_site {
    salvage_folder folder;
};

static int open_quietly(const char *path, mlkv **ret_db)
{
    mlkv_options given = {.size = sizeof given,
                          .flags = MLKV_NO_CREATE,
                          .ring_bytes = RING_BYTES,
                          .cache_bytes = CACHE_BYTES};
    engine_options checked;
    engine *self = NULL;
    mlkv *view = calloc(1, sizeof *view);
    int result =
        view == NULL ? error_set_memory("a view") : engine_check_options(&given, false, &checked);
    if (result == MLKV_OK) {
        checked.quiet = true;
        result = engine_acquire(path, &checked, &self);
    }
    if (result != MLKV_OK) {
        free(view);
        return result;
    }
    view->kind = VIEW_LIVE;
    view->durability = checked.durability;
    atomic_init(&view->engine, self);
    atomic_init(&view->holders, 1);
    *ret_db = view;
    return MLKV_OK;
}

static int begin(const char *damaged, const char *path, salvage_records *records,
                 salvage_site *site, mlkv **ret_db)
{
    const salvage_listener listener = {.tell = records->tell, .context = records->context};
    salvage_counts counts = {0};
    int result = salvage_folder_begin(damaged, path, &site->folder);
    if (result != MLKV_OK)
        return result;
    result = engine_salvage(damaged, site->folder.part, &listener, &counts);
    if (result == MLKV_OK)
        result = open_quietly(site->folder.part, ret_db);
    if (result != MLKV_OK) {
        salvage_folder_abandon(&site->folder);
        return result;
    }
    records->pages = counts.pages;
    records->pages_damaged = counts.pages_damaged;
    records->records = counts.records;
    records->records_lost = counts.records_lost;
    records->records_uncertain = counts.records_uncertain;
    records->frames = counts.frames;
    return MLKV_OK;
}

int op_salvage_begin(const char *damaged, const char *path, salvage_records *records,
                     salvage_site **ret_site, mlkv **ret_db)
{
    error_clear();
    salvage_site *site = calloc(1, sizeof *site);
    if (site == NULL)
        return error_set_memory("a salvage");
    int state = cancel_disable();
    int result = begin(damaged, path, records, site, ret_db);
    cancel_restore(state);
    if (result == MLKV_OK)
        *ret_site = site;
    else
        free(site);
    return result;
}

int op_salvage_end(salvage_site *site, mlkv *db, int result)
{
    int state = cancel_disable();
    if (result == MLKV_OK)
        result = mlkv_flush(db, MLKV_STORE);
    int cleaned = result;
    while (cleaned == MLKV_OK)
        cleaned = engine_clean_waste(atomic_load(&db->engine)); /* blobs that nobody refers to */
    result = result == MLKV_OK && cleaned < 0 ? cleaned : result;
    int closed = mlkv_close(db);
    result = result == MLKV_OK ? closed : result;
    if (result == MLKV_OK)
        result = salvage_folder_finish(&site->folder);
    if (result != MLKV_OK)
        salvage_folder_abandon(&site->folder);
    free(site);
    cancel_restore(state);
    return result;
}
