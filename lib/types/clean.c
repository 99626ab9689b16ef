/* clean.c - the cleaner: reclaims the elements of deleted lives, a bounded step at a time, in the background.
 *
 * Deleting a key with elements leaves one record (entry.c):
 *   G id -> type (1), then, once work has begun, the last record key that was reclaimed
 * A step walks G records and, for each, the records of that id in the classes that its type uses; they are deleted in batches of
 * BATCH_RECORDS, each an ordinary atomic write, so that other writers wait no longer than for one batch. When a life is done, its
 * G goes.
 * Work that was cut short goes on after the key in G: in this process or another, today or after a crash.
 *
 * Invariants
 *   1. Nobody adds to a dead life or changes it: whatever a scan finds of it may be deleted blindly, also twice (two processes
 * may be at it).
 *   2. Only a blob's reference must be dropped exactly once: such a record is read again in the rule, and skipped if it is gone.
 *   3. G is deleted in the same batch as its last element or a later one, and never put again after that (its progress is put
 * only if it
 *      is still there).
 *   4. A record that cannot be understood does not stop the cleaner: it goes, and at worst a blob stays behind.
 *   5. An idle process pays next to nothing: a step that finds nothing is followed by longer and longer pauses, until clean_note.
 * Locks: the writer lock, during a batch.
 */
#include "types/clean.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "types/element.h"
#include "types/expiry.h"
#include "types/layout.h"
#include "types/life.h"
#include "types/tensor_rows_fold.h"

#include <stdatomic.h>

enum {
    BATCH_RECORDS = 256, /* deletions under the writer lock at a time: well below a millisecond */
    STEP_RECORDS = 8192, /* the keeper thread has other duties, and a scan holds a snapshot */
    STEP_LIVES = 1024,
    PAUSE_MAX = 256, /* steps left out at most when there was nothing to do: about a minute */
    ID_HEAD_SIZE = 9,
};

/* --- scans --- */

typedef struct {
    mlkv_slice prefix, after;
    scan *walk;
} scan_call;

static int scan_rule(op *o, void *context)
{
    scan_call *call = context;
    scan_close(call->walk); /* of a run that did not count */
    call->walk = NULL;
    return op_scan_open(o, call->prefix, call->after, &call->walk);
}

/* Not scan_open: its scans keep the store open, and the last close waits for the very thread that cleans. */
static int open_scan(mlkv *view, mlkv_slice prefix, mlkv_slice after, scan **ret_scan)
{
    scan_call call = {.prefix = prefix, .after = after};
    int result = op_read(view, scan_rule, &call);
    if (result != MLKV_OK) {
        scan_close(call.walk);
        return result;
    }
    *ret_scan = call.walk;
    return MLKV_OK;
}

/* --- a batch of deletions --- */

enum { ITEM_DELETE, ITEM_RELEASE, ITEM_PROGRESS };

typedef struct {
    uint8_t what;
    uint8_t type; /* of the life */
    uint16_t size;
    int32_t cell_at;
} item; /* followed by `size` bytes of record key */

typedef struct {
    mlkv *view;
    mlkv_buffer items;
    size_t count;          /* in items */
    size_t records, lives; /* of this step */
} sweep;

static int release_rule(op *o, const item *it, mlkv_slice key)
{
    mlkv_slice value, cell;
    int result = op_borrow(o, key, &value);
    if (result == MLKV_ABSENT)
        return MLKV_OK;
    if (result == MLKV_OK && life_find_blob(key, value, it->cell_at, &cell))
        result = element_release_cell(o, cell);
    if (result == MLKV_E_CORRUPT)
        result = MLKV_OK; /* a blob without a count: nothing to count down */
    return result != MLKV_OK ? result : op_delete(o, key);
}

static int progress_rule(op *o, const item *it, mlkv_slice key)
{
    record_key garbage;
    mlkv_slice value;
    layout_id(RECORD_GARBAGE, load_be64((const unsigned char *)key.data + 1), &garbage);
    int result = op_borrow(o, record_key_slice(&garbage), &value);
    if (result != MLKV_OK)
        return result == MLKV_ABSENT ? MLKV_OK : result;
    return op_put_parts(o, record_key_slice(&garbage), slice_of(&it->type, 1), key);
}

static int sweep_rule(op *o, void *context)
{
    const sweep *self = context;
    const unsigned char *at = self->items.data;
    int result = MLKV_OK;
    for (size_t i = 0; i < self->count && result == MLKV_OK; i++) {
        item it;
        memcpy(&it, at, sizeof it);
        mlkv_slice key = slice_of(at + sizeof it, it.size);
        at += sizeof it + it.size;
        if (it.what == ITEM_DELETE)
            result = op_delete(o, key);
        else
            result =
                it.what == ITEM_RELEASE ? release_rule(o, &it, key) : progress_rule(o, &it, key);
    }
    return result;
}

static int flush(sweep *self)
{
    int result = self->count == 0 ? MLKV_OK : op_write(self->view, sweep_rule, self);
    self->items.size = 0;
    self->count = 0;
    return result;
}

static int add(sweep *self, int what, int type, int cell_at, mlkv_slice key)
{
    item it = {.what = (uint8_t)what,
               .type = (uint8_t)type,
               .size = (uint16_t)key.size,
               .cell_at = cell_at};
    int result = buffer_append(&self->items, &it, sizeof it);
    if (result == MLKV_OK)
        result = buffer_append(&self->items, key.data, key.size);
    if (result != MLKV_OK)
        return result;
    self->count++;
    return self->count >= BATCH_RECORDS ? flush(self) : MLKV_OK;
}

/* --- one life --- */

/* Sweeps the records of one class. MLKV_ABSENT: cut short, and progress is noted. */
static int sweep_class(sweep *self, int type, const life_class *which, uint64_t id,
                       mlkv_slice after)
{
    record_key prefix;
    scan *walk = NULL;
    mlkv_slice key, value, cell;
    layout_id(which->record_class, id, &prefix);
    int result = open_scan(self->view, record_key_slice(&prefix), after, &walk);
    while (result == MLKV_OK) {
        result = scan_next(walk, &key, &value);
        if (result != MLKV_OK)
            break;
        bool refers = life_find_blob(key, value, which->cell_at, &cell);
        result = add(self, refers ? ITEM_RELEASE : ITEM_DELETE, type, which->cell_at, key);
        if (result == MLKV_OK && ++self->records >= STEP_RECORDS) {
            result = add(self, ITEM_PROGRESS, type, 0, key);
            scan_close(walk);
            return result != MLKV_OK ? result : MLKV_ABSENT;
        }
    }
    scan_close(walk);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

/* progress: the last record key that was reclaimed, or empty. */
static int sweep_life(sweep *self, int type, mlkv_slice garbage_key, mlkv_slice progress)
{
    uint64_t id = load_be64((const unsigned char *)garbage_key.data + 1);
    const life_class *which = life_classes(type);
    if (progress.size != 0)
        while (which->record_class != 0 && which->record_class != *(const char *)progress.data)
            which++;
    if (which->record_class ==
        0) { /* no class of this type: the progress is not ours, so it is not believed */
        which = life_classes(type);
        progress = slice_of(NULL, 0);
    }
    for (; which->record_class != 0; which++) {
        int result = sweep_class(self, type, which, id, progress);
        if (result != MLKV_OK)
            return result;
        progress = slice_of(NULL, 0);
    }
    self->lives++;
    return add(self, ITEM_DELETE, type, 0, garbage_key);
}

/* --- a step --- */

/* Copies what a scan returned, which the next call on it takes away. MLKV_ABSENT: not a life that this library knows how to
 * clean. */
static int read_garbage(mlkv_slice key, mlkv_slice value, record_key *ret_key, int *ret_type,
                        record_key *ret_progress)
{
    const unsigned char *bytes = value.data;
    if (key.size != ID_HEAD_SIZE || value.size < 1 || value.size > 1 + RECORD_KEY_SIZE_MAX)
        return MLKV_ABSENT;
    if (life_classes(bytes[0]) == NULL)
        return MLKV_ABSENT;
    memcpy(ret_key->bytes, key.data, key.size);
    ret_key->size = (uint16_t)key.size;
    *ret_type = bytes[0];
    ret_progress->size = (uint16_t)(value.size - 1);
    memcpy(ret_progress->bytes, bytes + 1, ret_progress->size);
    return MLKV_OK;
}

int clean_step(mlkv *view)
{
    static const unsigned char garbage_class = RECORD_GARBAGE;
    sweep self = {.view = view};
    scan *lives = NULL;
    mlkv_slice key, value;
    record_key garbage, progress;
    int type;
    int result = open_scan(view, slice_of(&garbage_class, 1), slice_of(NULL, 0), &lives);
    while (result == MLKV_OK && self.lives < STEP_LIVES) {
        result = scan_next(lives, &key, &value);
        if (result == MLKV_OK && read_garbage(key, value, &garbage, &type, &progress) == MLKV_OK)
            result =
                sweep_life(&self, type, record_key_slice(&garbage), record_key_slice(&progress));
    }
    scan_close(lives);
    if (result == MLKV_OK || result == MLKV_ABSENT)
        result = flush(&self);
    mlkv_buffer_free(&self.items);
    if (result == MLKV_OK && self.records == 0 && self.lives == 0)
        return MLKV_ABSENT;
    return result;
}

/* --- when --- */

static _Atomic uint64_t
    notes; /* of this process; a hint: what a rule noted may be refused, or committed much later */

void clean_note(void)
{
    atomic_fetch_add_explicit(&notes, 1, memory_order_relaxed);
}

/* The upcall. Each store's keeper thread asks every 250 ms; looking costs a scan of what is pending, so a thread that found
 * nothing
 * pauses for 1, 2, 4 ... PAUSE_MAX calls, until there is a note. Lives that other processes or earlier runs left are found by the
 * looks in between. */
static int clean_due(mlkv *view)
{
    static _Thread_local uint64_t seen = UINT64_MAX;
    static _Thread_local unsigned pause = 1, left;
    uint64_t now = atomic_load_explicit(&notes, memory_order_relaxed);
    if (now != seen) {
        seen = now;
        pause = 1;
        left = 0;
    }
    if (left != 0) {
        left--;
        return MLKV_ABSENT;
    }
    int result = clean_step(view);
    if (result != MLKV_OK) {
        left = pause;
        pause = pause < PAUSE_MAX ? pause * 2 : PAUSE_MAX;
    }
    return result;
}

static int upkeep(mlkv *view)
{
    int expired = expiry_step(view);
    int cleaned = clean_due(view);
    int folded = fold_due(view);
    if (expired == MLKV_OK || cleaned == MLKV_OK || folded == MLKV_OK)
        return MLKV_OK;
    return expired < 0 ? expired : cleaned < 0 ? cleaned : folded;
}

__attribute__((constructor)) static void clean_register(void)
{
    static const op_upcalls upcalls = {.clean = upkeep};
    op_register(&upcalls);
}
