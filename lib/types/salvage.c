/* salvage.c - mlkv_salvage: a new store of what is left of a damaged one.
 *
 * The records come first, whatever they mean (op_salvage_begin). Then they are made to fit each other,
 * where they stand:
 *
 *   survey   what lives there are, how many of their elements are good, which blobs are whole
 *   decide   a life is sound, or is corrected, or goes
 *   sweep    elements without a key, and bad ones, go; lists are numbered anew; K records are corrected
 *   pairs    a set's index, a sorted set's order and the members are made from each other
 *   rest     reference counts, expiries, the number of keys
 *
 * The record of a member, or of its place, is enough to have both again. Of a store without damage
 * nothing is changed.
 *
 * Invariant: what is changed follows from what the snapshot holds alone, and each change is made once.
 * Memory: some 200 bytes for each life, 72 for each blob, a batch of changes, the largest value.
 * Locks: none; nobody else knows the new store.
 */
#include "types/mend.h"

#include "base/buffer.h"
#include "base/error.h"

static int tell_record(void *context, bool loss, const char *sentence)
{
    return mend_tell(context, loss, "%s", sentence);
}

static int pair_all(mender *self)
{
    int result = MLKV_OK;
    for (size_t i = 0; i < self->lives.count && result == MLKV_OK; i++) {
        mend_life *life = (mend_life *)(void *)self->lives.items + i;
        bool paired = life->type == TYPE_SET || life->type == TYPE_ZSET;
        if (life->has_key && paired && !life->sound)
            result = mend_pairs(self, life);
    }
    return result;
}

static int mend(mender *self)
{
    int result = mlkv_snapshot(self->db, &self->view);
    if (result != MLKV_OK)
        return result;
    self->check.view = self->view;
    result = mend_survey(self);
    if (result == MLKV_OK)
        result = pair_all(self);
    if (result == MLKV_OK)
        result = mend_sweep(self);
    if (result == MLKV_OK)
        result = mend_rest(self);
    if (result == MLKV_OK)
        result = mend_flush(self);
    int closed = mlkv_close(self->view);
    return result != MLKV_OK ? result : closed;
}

static void done(mender *self)
{
    id_map_done(&self->lives);
    id_map_done(&self->check.lives);
    id_map_done(&self->check.blobs);
    mlkv_buffer_free(&self->check.raw);
    mlkv_buffer_free(&self->check.last_key);
    mlkv_buffer_free(&self->items);
    mend_dictionaries_done(self);
}

static int check_arguments(const char *damaged_path, const char *new_path,
                           const mlkv_salvage_report *report)
{
    if (damaged_path == NULL || damaged_path[0] == '\0' || new_path == NULL || new_path[0] == '\0')
        return error_set(MLKV_E_ARGUMENT, "mlkv_salvage needs two paths");
    if (report != NULL && report->size != sizeof *report)
        return error_set(MLKV_E_ARGUMENT,
                         "the size of the mlkv_salvage_report is not one that this library knows");
    return MLKV_OK;
}

int mlkv_salvage(const char *damaged_path, const char *new_path, mlkv_salvage_callback callback,
                 void *context, mlkv_salvage_report *ret_report)
{
    mender self = {.callback = callback,
                   .context = context,
                   .report.size = sizeof self.report,
                   .lives.item_size = sizeof(mend_life),
                   .check.lives.item_size = sizeof(verify_life),
                   .check.blobs.item_size = sizeof(verify_blob)};
    salvage_records records = {.tell = tell_record, .context = &self};
    salvage_site *site = NULL;
    int result = check_arguments(damaged_path, new_path, ret_report);
    if (result == MLKV_OK)
        result = op_salvage_begin(damaged_path, new_path, &records, &site, &self.db);
    if (result == MLKV_OK) {
        self.report.pages = records.pages;
        self.report.pages_damaged = records.pages_damaged;
        self.report.records_found = records.records;
        self.report.records_lost = records.records_lost;
        self.report.uncertain = records.records_uncertain;
        self.report.frames = records.frames;
        result = op_salvage_end(site, self.db, mend(&self));
    }
    done(&self);
    if (result == MLKV_OK && ret_report != NULL)
        *ret_report = self.report;
    if (result == MLKV_OK)
        error_clear(); /* what was met on the way */
    return result;
}
