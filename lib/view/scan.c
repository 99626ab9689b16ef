/* scan.c - ordered scans: LMDB's records from below, merged with what is newer.
 *
 * The overlay holds, sorted by key, the newest of: what the op has put, what its transaction has
 * put, what is pending; tombstones included. It is copied at the opening, so no lock is held
 * between calls. The LMDB snapshot is begun under the catch-up lock, after the copy (R2): together
 * they are the state at one cursor. Whatever an op has read before it opens a scan is confirmed at
 * that moment, if the state still stands at the op's cursor. Locks: the catch-up lock while
 * opening.
 */
#include "view/view.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/lock.h"
#include "base/record.h"

#include <stdlib.h>

enum { OPEN_MAX = 10000, SETTLE_EVERY = 16 };

typedef struct {
    mlkv_slice key, value;
    bool is_delete;
    uint8_t rank; /* higher is newer */
} overlay_item;

struct scan {
    mlkv *view;
    engine *engine;
    bool retains; /* the engine, or the snapshot: a scan outside an op outlives its view */
    bool on_snapshot;
    bool owns_read;
    store_read *read;
    store_cursor *cursor;
    pending_copy pending;
    mlkv_buffer copied; /* bytes of batch records */
    overlay_item *items;
    size_t item_count, item_next;
    unsigned char prefix[RECORD_KEY_SIZE_MAX];
    size_t prefix_size;
    mlkv_slice key, value; /* LMDB's next record, if has_stored */
    bool has_stored, stored_moves;
};

/* --- the overlay --- */

static bool wanted(mlkv_slice key, mlkv_slice prefix, mlkv_slice after)
{
    return slice_starts_with(key, prefix) && (after.size == 0 || slice_compare(key, after) > 0);
}

static size_t count_wanted(const batch *writes, mlkv_slice prefix, mlkv_slice after, size_t *bytes)
{
    size_t count = 0;
    for (size_t i = 0; i < writes->count; i++) {
        mlkv_slice key = batch_key(writes, &writes->entries[i]);
        if (!wanted(key, prefix, after))
            continue;
        count++;
        *bytes += key.size + writes->entries[i].value_size;
    }
    return count;
}

/* Copies, because the op may go on putting records while it scans; the buffer was reserved, so it
 * does not move. */
static void add_batch(scan *self, const batch *writes, mlkv_slice prefix, mlkv_slice after,
                      uint8_t rank)
{
    for (size_t i = 0; i < writes->count; i++) {
        const batch_entry *from = &writes->entries[i];
        mlkv_slice key = batch_key(writes, from), value = batch_value(writes, from);
        if (!wanted(key, prefix, after))
            continue;
        unsigned char *to = (unsigned char *)self->copied.data + self->copied.size;
        bytes_copy(to, key.data, key.size);
        bytes_copy(to + key.size, value.data, value.size);
        self->copied.size += key.size + value.size;
        self->items[self->item_count++] = (overlay_item){
            slice_of(to, key.size), slice_of(to + key.size, value.size), from->is_delete, rank};
    }
}

static void add_pending(scan *self, const pending_copy *copy, mlkv_slice prefix, mlkv_slice after)
{
    for (size_t i = 0; i < copy->count; i++) {
        const pending_item *from = &copy->items[i];
        if (wanted(from->key, prefix, after))
            self->items[self->item_count++] =
                (overlay_item){from->key, from->value, from->is_delete, 0};
    }
}

static int compare_items(const void *left, const void *right)
{
    const overlay_item *a = left, *b = right;
    int order = slice_compare(a->key, b->key);
    return order != 0 ? order : (int)b->rank - (int)a->rank;
}

static void keep_newest(scan *self)
{
    size_t kept = 0;
    for (size_t i = 0; i < self->item_count; i++) {
        if (kept == 0 || !slice_equal(self->items[kept - 1].key, self->items[i].key))
            self->items[kept++] = self->items[i];
    }
    self->item_count = kept;
}

static int build_overlay(scan *self, const batch *own, const batch *outer, const pending_copy *copy,
                         mlkv_slice prefix, mlkv_slice after)
{
    size_t bytes = 0, count = copy->count;
    count += own != NULL ? count_wanted(own, prefix, after, &bytes) : 0;
    count += outer != NULL ? count_wanted(outer, prefix, after, &bytes) : 0;
    if (count == 0)
        return MLKV_OK;
    self->items = calloc(count, sizeof *self->items);
    if (self->items == NULL || buffer_reserve(&self->copied, bytes + 1) != MLKV_OK)
        return error_set_memory("a scan");
    add_pending(self, copy, prefix, after);
    bool sorted = true; /* what is pending comes sorted */
    if (own != NULL || outer != NULL) {
        size_t before = self->item_count;
        if (outer != NULL)
            add_batch(self, outer, prefix, after, 1);
        if (own != NULL)
            add_batch(self, own, prefix, after, 2);
        sorted = self->item_count == before;
    }
    if (!sorted)
        qsort(self->items, self->item_count, sizeof *self->items, compare_items);
    keep_newest(self);
    return MLKV_OK;
}

/* --- the state it stands on --- */

/* Pending records and an LMDB snapshot as of exactly `cursor`; moment (may be NULL) is told of it. */
static int take_state(scan *self, uint64_t cursor, mlkv_slice prefix, mlkv_slice after,
                      const view_moment *moment)
{
    engine *source = self->engine;
    lock_take(&source->catchup_lock);
    pending *above = atomic_load(&source->pending);
    int result = above != NULL && engine_cursor(source) != cursor ? ENGINE_AGAIN : MLKV_OK;
    if (result == MLKV_OK && above != NULL) {
        result = pending_collect(above, cursor, prefix, after, &self->pending);
        if (result == JOURNAL_LOST)
            result = ENGINE_AGAIN;
    }
    if (result == MLKV_OK)
        result = engine_snapshot_at(source, cursor, &self->read);
    self->owns_read = result == MLKV_OK;
    if (result == MLKV_OK && moment != NULL)
        result = moment->at(moment->context);
    lock_release(&source->catchup_lock);
    if (result != MLKV_OK)
        pending_copy_free(&self->pending);
    return result;
}

static int take_live_state(scan *self, mlkv_slice prefix, mlkv_slice after,
                           const view_moment *moment)
{
    for (int i = 1; i < OPEN_MAX; i++) {
        uint64_t cursor;
        int result = engine_read_begin(self->engine, &cursor);
        if (result == MLKV_OK)
            result = take_state(self, cursor, prefix, after, moment);
        if (result != ENGINE_AGAIN)
            return result;
        result = i % SETTLE_EVERY == 0 ? engine_settle(self->engine) : MLKV_OK;
        if (result != MLKV_OK)
            return result;
    }
    return error_set(MLKV_E_BUSY, "a scan finds no moment to begin at");
}

static int take_op_state(scan *self, op *o, mlkv_slice prefix, mlkv_slice after)
{
    if (!o->begun) {
        int result = engine_read_begin(o->engine, &o->cursor);
        if (result != MLKV_OK)
            return result;
        o->begun = true;
    }
    int result = take_state(self, o->cursor, prefix, after, NULL);
    if (result == ENGINE_AGAIN)
        o->again = true;
    if (result == MLKV_OK) {
        o->reads = 0; /* under the catch-up lock the cursor was the op's: all that it read before is
                         of that state */
        o->scanned = true;
    }
    return result;
}

/* --- opening --- */

static int position_cursor(scan *self, mlkv_slice prefix, mlkv_slice after)
{
    static const unsigned char lowest[1] = {0};
    int result = store_cursor_open(self->read, &self->cursor);
    if (result != MLKV_OK)
        return result;
    mlkv_slice start = after.size != 0 ? after : prefix.size != 0 ? prefix : slice_of(lowest, 1);
    result = store_cursor_seek(self->cursor, start, &self->key, &self->value);
    if (result == MLKV_OK && after.size != 0 && slice_equal(self->key, after))
        result = store_cursor_next(self->cursor, &self->key, &self->value);
    self->has_stored = result == MLKV_OK;
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

static scan *new_scan(mlkv *view, engine *source, mlkv_slice prefix)
{
    scan *self = calloc(1, sizeof *self);
    if (self == NULL) {
        error_set_memory("a scan");
        return NULL;
    }
    self->view = view;
    self->engine = source;
    bytes_copy(self->prefix, prefix.data, prefix.size);
    self->prefix_size = prefix.size;
    return self;
}

static int open_scan(mlkv *view, engine *source, op *o, mlkv_slice prefix, mlkv_slice after,
                     scan **ret_scan)
{
    if (prefix.size > RECORD_KEY_SIZE_MAX || after.size > RECORD_KEY_SIZE_MAX)
        return error_set(MLKV_E_SIZE, "a scan from a record key of more than %d bytes",
                         RECORD_KEY_SIZE_MAX);
    if (after.size != 0 && slice_compare(after, prefix) < 0)
        after = slice_of(NULL, 0);
    scan *self = new_scan(view, source, prefix);
    if (self == NULL)
        return MLKV_E_MEMORY;
    int result;
    if (view->kind == VIEW_SNAPSHOT) {
        self->read = view->read;
        result = MLKV_OK;
    } else {
        result = o != NULL ? take_op_state(self, o, prefix, after)
                           : take_live_state(self, prefix, after, NULL);
    }
    const batch *own = o != NULL ? o->writes : NULL,
                *outer = view->kind == VIEW_TRANSACTION ? &view->writes : NULL;
    if (result == MLKV_OK)
        result = build_overlay(self, own, outer,
                               view->kind == VIEW_SNAPSHOT ? &view->above : &self->pending, prefix,
                               after);
    if (result == MLKV_OK)
        result = position_cursor(self, prefix, after);
    if (result != MLKV_OK) {
        scan_close(self);
        return result;
    }
    *ret_scan = self;
    return MLKV_OK;
}

int view_scan_base(mlkv *view, engine *source, mlkv_slice prefix, const view_moment *moment,
                   scan **ret_scan)
{
    static const mlkv_slice start = {NULL, 0};
    bool snapshot = view->kind == VIEW_SNAPSHOT;
    scan *self = new_scan(view, source, prefix);
    if (self == NULL)
        return MLKV_E_MEMORY;
    int result;
    if (snapshot) {
        self->read = view->read;
        result = moment->at(moment->context);
    } else {
        result = take_live_state(self, prefix, start, moment);
    }
    if (result == MLKV_OK)
        result = build_overlay(self, NULL, NULL, snapshot ? &view->above : &self->pending, prefix,
                               start);
    if (result == MLKV_OK)
        result = position_cursor(self, prefix, start);
    if (result != MLKV_OK) {
        scan_close(self);
        return result;
    }
    *ret_scan = self;
    return MLKV_OK;
}

int op_scan_open(op *o, mlkv_slice prefix, mlkv_slice after, scan **ret_scan)
{
    return open_scan(o->view, o->engine, o, prefix, after, ret_scan);
}

int scan_open(mlkv *view, mlkv_slice prefix, mlkv_slice after, scan **ret_scan)
{
    engine *source;
    scan *opened = NULL;
    int result = view_enter(view, &source);
    if (result != MLKV_OK)
        return result;
    int state = cancel_disable();
    result = open_scan(view, source, NULL, prefix, after, &opened);
    if (result == MLKV_OK) {
        opened->retains = !view->borrowed;
        opened->on_snapshot = view->kind == VIEW_SNAPSHOT;
        if (opened->retains && opened->on_snapshot)
            atomic_fetch_add(&view->holders, 1);
        else if (opened->retains)
            engine_retain(source);
        *ret_scan = opened;
    }
    cancel_restore(state);
    return result;
}

/* --- walking --- */

/* Loads LMDB's next record if the last one was handed out. */
static int refill(scan *self)
{
    if (!self->stored_moves)
        return MLKV_OK;
    self->stored_moves = false;
    int result = store_cursor_next(self->cursor, &self->key, &self->value);
    self->has_stored = result == MLKV_OK;
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

int scan_next(scan *self, mlkv_slice *ret_key, mlkv_slice *ret_value)
{
    if (atomic_load_explicit(&self->engine->abandoned, memory_order_relaxed))
        return error_set(MLKV_E_OWNER, "a cursor does not cross a fork");
    for (;;) {
        int result = refill(self);
        if (result != MLKV_OK)
            return result;
        if (self->has_stored &&
            !slice_starts_with(self->key, slice_of(self->prefix, self->prefix_size)))
            self->has_stored = false;
        const overlay_item *item =
            self->item_next < self->item_count ? &self->items[self->item_next] : NULL;
        if (item == NULL && !self->has_stored)
            return MLKV_ABSENT;
        int order = item == NULL ? 1 : !self->has_stored ? -1 : slice_compare(item->key, self->key);
        if (order >= 0)
            self->stored_moves = true; /* handed out, or overlaid */
        if (order > 0) {
            *ret_key = self->key;
            *ret_value = self->value;
            return MLKV_OK;
        }
        self->item_next++;
        if (item->is_delete)
            continue;
        *ret_key = item->key;
        *ret_value = item->value;
        return MLKV_OK;
    }
}

/* The number of the first item from this key on. */
static size_t find_item(const scan *self, mlkv_slice key)
{
    size_t low = 0, high = self->item_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slice_compare(self->items[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int scan_seek(scan *self, mlkv_slice record_key)
{
    mlkv_slice prefix = slice_of(self->prefix, self->prefix_size);
    if (atomic_load_explicit(&self->engine->abandoned, memory_order_relaxed))
        return error_set(MLKV_E_OWNER, "a cursor does not cross a fork");
    if (slice_compare(record_key, prefix) < 0)
        record_key = prefix;
    self->item_next = find_item(self, record_key);
    self->stored_moves = false;
    int result = store_cursor_seek(self->cursor, record_key, &self->key, &self->value);
    self->has_stored = result == MLKV_OK;
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

int scan_cell_append(scan *self, mlkv_slice cell, mlkv_buffer *out)
{
    cell_blob blob;
    int kind;
    uint64_t size;
    int result = cell_inspect(cell, &kind, &size, &blob);
    if (result != MLKV_OK)
        return result;
    if (kind != CELL_BLOB)
        return view_cell_decode(self->engine, cell, kind, out);
    size_t before = out->size;
    void *to = blob.size > SIZE_MAX / 2 - before ? NULL : buffer_extend(out, (size_t)blob.size);
    if (to == NULL)
        return error_set_memory("a large value");
    result = engine_blob_read(self->engine, self->read, &blob, 0, (size_t)blob.size, to);
    if (result == MLKV_OK)
        return MLKV_OK;
    out->size = before;
    return result == MLKV_ABSENT
               ? error_set(MLKV_E_CORRUPT, "blob %llu is missing", (unsigned long long)blob.id)
               : result;
}

void scan_close(scan *self)
{
    if (self == NULL)
        return;
    if (!atomic_load(&self->engine->abandoned)) {
        store_cursor_close(self->cursor);
        if (self->owns_read)
            store_read_end(self->read);
    }
    pending_copy_free(&self->pending);
    mlkv_buffer_free(&self->copied);
    free(self->items);
    if (self->retains)
        (void)(self->on_snapshot ? view_let_go(self->view) : engine_release(self->engine));
    free(self);
}
