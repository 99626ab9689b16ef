/* view.c - the life of views: open, close, begin, commit, abort, snapshot, flush, stats.
 *
 * A live handle points to its engine; after a fork the first call moves it to the child's own
 * (engine_replace), once, whichever thread comes first. A transaction holds the writer lock from
 * begin to end. If its thread ends without ending it, the lock's next taker finds a dead owner and
 * goes on; the epoch tells the old handle that it is over. Locks: the writer lock, taken by
 * mlkv_begin and released by mlkv_commit, mlkv_abort or mlkv_close.
 */
#include "view/view.h"

#include "base/bytes.h"
#include "base/error.h"
#include "base/lock.h"

#include <stdlib.h>

/* Programs that were built before mlkv_stats grew say these. */
enum {
    STATS_SIZE_FIRST = offsetof(mlkv_stats, store_disk_bytes),
    STATS_SIZE_SECOND = offsetof(mlkv_stats, decoded_hits),
};

int view_enter(mlkv *view, engine **ret_engine)
{
    error_clear();
    if (view == NULL)
        return error_set(MLKV_E_ARGUMENT, "the view is NULL");
    engine *current = atomic_load_explicit(&view->engine, memory_order_acquire);
    if (__builtin_expect(atomic_load_explicit(&current->abandoned, memory_order_relaxed), 0)) {
        if (view->kind != VIEW_LIVE)
            return error_set(MLKV_E_OWNER, "a %s does not cross a fork",
                             view->kind == VIEW_SNAPSHOT ? "snapshot" : "transaction");
        int result = engine_replace(&view->engine, &current);
        if (result != MLKV_OK)
            return result;
    }
    if (view->kind == VIEW_TRANSACTION) {
        if (!pthread_equal(view->thread, pthread_self()) ||
            journal_epoch(engine_journal(current)) != view->epoch)
            return error_set(MLKV_E_OWNER, "the transaction belongs to another thread, or is over");
        if (view->failed != MLKV_OK)
            return error_set(view->failed,
                             "the transaction failed earlier and can only be aborted");
    }
    *ret_engine = current;
    return MLKV_OK;
}

static int view_create(view_kind kind, engine *self, mlkv **ret_view)
{
    mlkv *view = calloc(1, sizeof *view);
    if (view == NULL)
        return error_set_memory("a view");
    view->kind = kind;
    atomic_init(&view->engine, self);
    atomic_init(&view->holders, 1);
    *ret_view = view;
    return MLKV_OK;
}

int mlkv_open(const char *path, const mlkv_options *options, mlkv **ret_db)
{
    error_clear();
    if (ret_db == NULL)
        return error_set(MLKV_E_ARGUMENT, "ret_db is NULL");
    if (path != NULL && path[0] == '\0')
        return error_set(MLKV_E_ARGUMENT, "the path is empty");
    engine_options checked;
    engine *self = NULL;
    mlkv *view = NULL;
    char folder[4096];
    int result = engine_check_options(options, path == NULL, &checked);
    if (result == MLKV_OK && path == NULL)
        result = engine_memory_folder(folder, sizeof folder);
    if (result != MLKV_OK)
        return result;
    int state = cancel_disable();
    engine_set_cleaner(view_clean);
    result = view_create(VIEW_LIVE, NULL, &view);
    if (result == MLKV_OK)
        result = engine_acquire(path != NULL ? path : folder, &checked, &self);
    if (result == MLKV_OK) {
        atomic_store(&view->engine, self);
        view->read_only = checked.read_only;
        view->durability = checked.durability;
        *ret_db = view;
        error_clear(); /* what recovery met and got over */
    } else {
        free(view);
        if (path == NULL)
            engine_remove_folder(folder);
    }
    cancel_restore(state);
    return result;
}

/* Frees a view whose content is gone, and its reference to the engine. */
static int view_destroy(mlkv *view)
{
    engine *self = atomic_load(&view->engine);
    batch_done(&view->writes);
    mlkv_buffer_free(&view->adopted);
    view_rankings_done(view);
    free(view);
    return engine_release(self);
}

static bool inherited(const mlkv *view)
{
    return atomic_load(&atomic_load(&((mlkv *)(uintptr_t)view)->engine)->abandoned);
}

/* True if this thread may end the transaction. */
static bool owns(const mlkv *view, engine *self)
{
    return pthread_equal(view->thread, pthread_self()) &&
           journal_epoch(engine_journal(self)) == view->epoch;
}

static int transaction_abort(mlkv *view)
{
    engine *self = atomic_load(&view->engine);
    if (inherited(view))
        return view_destroy(view); /* in a forked child: only its memory */
    bool over = journal_epoch(engine_journal(self)) != view->epoch;
    if (!over && !owns(view, self))
        return error_set(MLKV_E_OWNER, "the transaction belongs to another thread");
    if (!over)
        engine_write_end(self);
    engine_blobs_discard(self, view->adopted.data, view->adopted.size / sizeof(uint64_t));
    return view_destroy(view);
}

int view_let_go(mlkv *view)
{
    if (atomic_fetch_sub(&view->holders, 1) != 1)
        return MLKV_OK;
    if (!inherited(view))
        store_read_end(view->read);
    pending_copy_free(&view->above);
    return view_destroy(view);
}

int mlkv_close(mlkv *view)
{
    error_clear();
    if (view == NULL)
        return MLKV_OK;
    int state = cancel_disable();
    int result;
    switch (view->kind) {
    case VIEW_TRANSACTION:
        result = transaction_abort(view);
        break;
    case VIEW_SNAPSHOT:
        result = view_let_go(view);
        break;
    default:
        result = view_destroy(view);
    }
    cancel_restore(state);
    return result;
}

int mlkv_abort(mlkv *transaction)
{
    if (transaction != NULL && transaction->kind != VIEW_TRANSACTION)
        return error_set(MLKV_E_ARGUMENT, "mlkv_abort: this view is no transaction");
    return mlkv_close(transaction);
}

static int begin(mlkv *db, engine *self, mlkv **ret_transaction)
{
    mlkv *view = NULL;
    int result = view_create(VIEW_TRANSACTION, self, &view);
    if (result == MLKV_OK)
        result = engine_write_begin(self);
    if (result != MLKV_OK) {
        free(view);
        return result;
    }
    engine_retain(self);
    view->thread = pthread_self();
    view->epoch = journal_epoch(engine_journal(self));
    view->durability = db->durability;
    view->now_ms = view_now_ms(self);
    *ret_transaction = view;
    return MLKV_OK;
}

int mlkv_begin(mlkv *db, mlkv **ret_transaction)
{
    engine *self;
    int result = view_enter(db, &self);
    if (result != MLKV_OK)
        return result;
    if (ret_transaction == NULL)
        return error_set(MLKV_E_ARGUMENT, "ret_transaction is NULL");
    if (db->kind == VIEW_TRANSACTION)
        return error_set(MLKV_E_ARGUMENT, "mlkv_begin needs a live view");
    if (db->kind == VIEW_SNAPSHOT || db->read_only)
        return error_set(MLKV_E_READONLY, "this view cannot write");
    int state = cancel_disable();
    result = begin(db, self, ret_transaction);
    cancel_restore(state);
    return result;
}

/* Appends, releases the lock, waits as durability asks, frees. */
static int transaction_commit(mlkv *view, engine *self)
{
    uint64_t end = 0;
    int durability = view->durability, result = view->failed;
    if (result == MLKV_OK && view->writes.count != 0)
        result = engine_commit(self, &view->writes, &end);
    engine_write_end(self);
    if (end != 0)
        engine_notify(self, &view->writes);
    if (result != MLKV_OK)
        engine_blobs_discard(self, view->adopted.data, view->adopted.size / sizeof(uint64_t));
    else if (end != 0)
        result = engine_wait_written(self, end, durability);
    if (end != 0)
        engine_throttle(self);
    int released = view_destroy(view); /* the last handle's: what closing meets */
    if (result == MLKV_OK && released != MLKV_OK && end != 0)
        result =
            error_set(MLKV_E_DURABILITY, "the write is visible, and closing the store failed: %s",
                      mlkv_error_detail());
    return result != MLKV_OK ? result : released;
}

int mlkv_commit(mlkv *transaction)
{
    error_clear();
    if (transaction == NULL)
        return error_set(MLKV_E_ARGUMENT, "the transaction is NULL");
    if (transaction->kind != VIEW_TRANSACTION)
        return error_set(MLKV_E_ARGUMENT, "mlkv_commit: this view is no transaction");
    if (inherited(transaction))
        return error_set(MLKV_E_OWNER, "a transaction does not cross a fork");
    engine *self = atomic_load(&transaction->engine);
    int state = cancel_disable(), result;
    if (journal_epoch(engine_journal(self)) != transaction->epoch) {
        (void)transaction_abort(transaction);
        result = error_set(MLKV_E_OWNER,
                           "the transaction is over: its thread ended, and another took the lock");
    } else if (!owns(transaction, self)) {
        result = error_set(MLKV_E_OWNER, "the transaction belongs to another thread");
    } else {
        result = transaction_commit(transaction, self);
    }
    cancel_restore(state);
    return result;
}

/* Read-only: what is pending is copied, since the applier cannot be asked. */
static int snapshot_read_only(engine *self, mlkv *view)
{
    enum { SETTLE_EVERY = 8 };
    for (unsigned i = 1;; i++) {
        uint64_t cursor;
        int result = engine_read_begin(self, &cursor);
        if (result != MLKV_OK)
            return result;
        lock_take(&self->catchup_lock);
        pending *above = atomic_load(&self->pending);
        if (above != NULL && engine_cursor(self) != cursor)
            result = ENGINE_AGAIN;
        if (result == MLKV_OK && above != NULL) {
            result =
                pending_collect(above, cursor, slice_of(NULL, 0), slice_of(NULL, 0), &view->above);
            if (result == JOURNAL_LOST)
                result = ENGINE_AGAIN;
        }
        if (result == MLKV_OK)
            result = engine_snapshot_at(self, cursor, &view->read);
        lock_release(&self->catchup_lock);
        if (result == MLKV_OK)
            return MLKV_OK;
        pending_copy_free(&view->above);
        if (result == ENGINE_AGAIN && i % SETTLE_EVERY == 0)
            result = engine_settle(self);
        if (result != ENGINE_AGAIN && result != MLKV_OK)
            return result;
    }
}

static int snapshot_begin(engine *self, mlkv *view)
{
    if (self->options.read_only)
        return snapshot_read_only(self, view);
    uint64_t tail = journal_tail(engine_journal(self));
    int result = engine_apply_until(self, tail);
    if (result == MLKV_OK)
        result = store_read_begin(self->store, &view->read);
    store_position position;
    if (result == MLKV_OK)
        result = store_read_position(view->read, &position);
    if (result == MLKV_OK &&
        position.applied <
            tail) { /* LMDB shows readers an old commit after a death: settle, once */
        store_read_end(view->read);
        view->read = NULL;
        result = engine_settle(self);
        if (result == MLKV_OK)
            result = store_read_begin(self->store, &view->read);
    }
    return result;
}

int mlkv_snapshot(mlkv *db, mlkv **ret_snapshot)
{
    engine *self;
    mlkv *view = NULL;
    int result = view_enter(db, &self);
    if (result != MLKV_OK)
        return result;
    if (ret_snapshot == NULL)
        return error_set(MLKV_E_ARGUMENT, "ret_snapshot is NULL");
    if (db->kind != VIEW_LIVE)
        return error_set(MLKV_E_ARGUMENT, "mlkv_snapshot needs a live view");
    int state = cancel_disable();
    result = view_create(VIEW_SNAPSHOT, self, &view);
    if (result == MLKV_OK)
        result = snapshot_begin(self, view);
    if (result == MLKV_OK) {
        engine_retain(self);
        view->read_only = true;
        view->now_ms = view_now_ms(self);
        *ret_snapshot = view;
    } else if (view != NULL) {
        store_read_end(view->read);
        free(view);
    }
    cancel_restore(state);
    return result;
}

int mlkv_flush(mlkv *db, mlkv_durability level)
{
    engine *self;
    int result = view_enter(db, &self);
    if (result != MLKV_OK)
        return result;
    if (level < MLKV_DURABILITY_DEFAULT || level > MLKV_STORE)
        return error_set(MLKV_E_ARGUMENT, "level %d is not one of mlkv_durability", (int)level);
    if (db->kind != VIEW_LIVE)
        return error_set(MLKV_E_ARGUMENT, "mlkv_flush needs a live view");
    if (db->read_only)
        return error_set(MLKV_E_READONLY, "this opening cannot write");
    int state = cancel_disable();
    result = engine_check_writable(self);
    if (result == MLKV_OK)
        result = engine_wait(self, journal_tail(engine_journal(self)), (int)level);
    cancel_restore(state);
    return result;
}

int mlkv_stats_get(mlkv *db, mlkv_stats *stats)
{
    engine *self;
    int result = view_enter(db, &self);
    if (result != MLKV_OK)
        return result;
    if (stats == NULL || (stats->size != sizeof *stats && stats->size != STATS_SIZE_FIRST &&
                          stats->size != STATS_SIZE_SECOND))
        return error_set(MLKV_E_ARGUMENT, "stats: size must be sizeof(mlkv_stats), %zu",
                         sizeof *stats);
    mlkv_stats filled = {.size = stats->size};
    int state = cancel_disable();
    result = view_key_count(db, &filled.keys);
    if (result == MLKV_OK)
        result = engine_stats(self, &filled);
    if (result == MLKV_OK)
        memcpy(stats, &filled, filled.size);
    cancel_restore(state);
    return result;
}
