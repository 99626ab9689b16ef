/* op.c - running a rule against a view.
 *
 * Live read: the cursor is fixed by the first record read; a rule that read several records counts
 * only if the state stood still since (I2: no half frames). After READS_MAX runs the writer lock is
 * taken, so that the state must stand still. Live write: the writer lock around rule and commit;
 * afterwards, without the lock, the wait for durability and the throttle. In a transaction: the
 * rule's writes go into a batch of its own, merged into the transaction's only if it succeeded, so
 * a refused operation changes nothing. Locks: the writer lock, as said; a rule runs without any
 * other.
 */
#include "view/view.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/lock.h"
#include "base/record.h"

#include <stdlib.h>

enum {
    READS_MAX = 4,       /* optimistic runs of a read before it takes the lock */
    SETTLE_AFTER = 8,    /* runs after which LMDB is asked whether a death left it ahead */
    KEEPER_LOCK_MS = 20, /* the keeper has more to do than to wait for somebody's transaction */
    AGAIN_MAX = 10000,   /* runs of one operation: only a bug or a broken store gets there */
};

/* --- scratch memory --- */

static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;
static int scratch_key_error;
static _Thread_local op_scratch
    *scratch_of_thread; /* the same as the key's value, without a call */

static void scratch_free(void *memory)
{
    op_scratch *scratch = memory;
    scratch_of_thread = NULL;
    batch_done(&scratch->writes);
    mlkv_buffer_free(&scratch->value);
    mlkv_buffer_free(&scratch->adoptees);
    free(scratch);
}

static void scratch_init(void)
{
    scratch_key_error = pthread_key_create(&scratch_key, scratch_free);
}

int op_scratch_take(op_scratch **ret_scratch)
{
    op_scratch *scratch = scratch_of_thread;
    if (scratch != NULL && !scratch->taken) {
        scratch->taken = true;
        *ret_scratch = scratch;
        return MLKV_OK;
    }
    bool nested = scratch != NULL;
    (void)pthread_once(&scratch_once, scratch_init);
    scratch = calloc(1, sizeof *scratch);
    if (scratch == NULL)
        return error_set_memory("an operation");
    if (!nested && scratch_key_error == 0 && pthread_setspecific(scratch_key, scratch) == 0)
        scratch_of_thread = scratch;
    scratch->taken = true;
    *ret_scratch = scratch;
    return MLKV_OK;
}

void op_scratch_release(op_scratch *scratch)
{
    enum { KEPT_MAX = 4 << 20 }; /* what a thread keeps between operations */
    if (scratch != scratch_of_thread) {
        batch_done(&scratch->writes);
        mlkv_buffer_free(&scratch->value);
        mlkv_buffer_free(&scratch->adoptees);
        free(scratch);
        return;
    }
    scratch->adoptees.size = 0;
    batch_clear(&scratch->writes);
    if (scratch->value.capacity > KEPT_MAX)
        mlkv_buffer_free(&scratch->value);
    scratch->taken = false;
}

/* --- running --- */

static void op_begin(op *o, mlkv *view, engine *self, op_scratch *scratch, bool writing)
{
    *o = (op){.view = view,
              .engine = self,
              .writing = writing,
              .writes = &scratch->writes,
              .value = &scratch->value,
              .adoptees = &scratch->adoptees};
    o->now_ms = view->kind == VIEW_LIVE ? 0 : view->now_ms; /* 0: asked for when it is wanted */
    o->locked = view->kind == VIEW_TRANSACTION;
    if (view->kind == VIEW_TRANSACTION) {
        o->cursor = engine_cursor(self);
        o->begun = true;
    }
}

static void op_reset(op *o)
{
    o->reads = 0;
    o->released_bytes = 0;
    o->again = false;
    o->wants = false;
    o->scanned = false;
    o->begun = o->view->kind == VIEW_TRANSACTION;
    batch_clear(o->writes);
    op_adopt_none(o);
}

static int begin_locked(op *o)
{
    int result = o->view->borrowed ? engine_write_begin_within(o->engine, KEEPER_LOCK_MS)
                                   : engine_write_begin(o->engine);
    if (result != MLKV_OK)
        return result;
    o->locked = true;
    o->cursor = engine_cursor(o->engine);
    o->begun = true;
    return MLKV_OK;
}

/* Whether what a read saw belongs to one state. */
static bool run_counts(op *o, int result)
{
    if (o->again || result == ENGINE_AGAIN)
        return false;
    if (o->locked || o->view->kind == VIEW_SNAPSHOT || o->reads + o->scanned <= 1 ||
        engine_journal(o->engine) == NULL)
        return true;
    return engine_stood_still(o->engine, o->cursor);
}

static int run_read(op *o, op_rule rule, void *context)
{
    for (int i = 0; i < AGAIN_MAX; i++) {
        op_reset(o);
        int result = MLKV_OK;
        if (i >= READS_MAX && o->view->kind == VIEW_LIVE && !o->engine->options.read_only)
            result = begin_locked(o);
        if (result == MLKV_OK)
            result = rule(o, context);
        bool counts = run_counts(o, result);
        if (!counts && o->locked && i >= SETTLE_AFTER)
            (void)engine_mend(o->engine);
        if (o->locked && o->view->kind == VIEW_LIVE) {
            engine_write_end(o->engine);
            o->locked = false;
        }
        if (counts)
            return result;
        if (o->view->kind == VIEW_SNAPSHOT)
            break;
        if (o->engine->options.read_only && i >= SETTLE_AFTER &&
            (result = engine_settle(o->engine)) != MLKV_OK)
            return result;
    }
    return error_set(MLKV_E_CORRUPT, "a record refers to data that is not there");
}

int op_read(mlkv *view, op_rule rule, void *context)
{
    engine *self;
    op_scratch *scratch;
    int result = view_enter(view, &self);
    if (result != MLKV_OK)
        return result;
    result = op_scratch_take(&scratch);
    if (result != MLKV_OK)
        return result;
    int state = cancel_disable();
    op o;
    op_begin(&o, view, self, scratch, false);
    result = run_read(&o, rule, context);
    op_scratch_release(scratch);
    cancel_restore(state);
    return result;
}

/* Runs a write rule with the lock held until it counts. */
static int run_locked(op *o, op_rule rule, void *context)
{
    for (int i = 0; i < AGAIN_MAX; i++) {
        op_reset(o);
        o->cursor = engine_cursor(o->engine);
        o->begun = true;
        int result = rule(o, context);
        if ((!o->again && result != ENGINE_AGAIN) || o->wants)
            return result;
        if (o->view->kind == VIEW_TRANSACTION && i > READS_MAX)
            break;
        result = engine_mend(o->engine);
        if (result != MLKV_OK)
            return result;
    }
    return error_set(MLKV_E_CORRUPT, "a record refers to data that is not there");
}

/* Takes the lock and runs the rule, and once more after what it wanted to have without the lock was made. */
static int lock_and_run(op *o, op_rule rule, void *context)
{
    int result = begin_locked(o);
    o->may_want = true;
    if (result == MLKV_OK)
        result = run_locked(o, rule, context);
    if (!o->locked || !o->wants)
        return result;
    engine_write_end(o->engine);
    o->locked = false;
    view_make_wanted(o);
    o->may_want = false;
    result = begin_locked(o);
    return result != MLKV_OK ? result : run_locked(o, rule, context);
}

static int write_live(op *o, op_rule rule, void *context)
{
    uint64_t end = 0;
    int result = lock_and_run(o, rule, context);
    if (!o->locked)
        return result;
    int committed = MLKV_OK;
    if (result >= 0 && o->writes->count != 0)
        committed = engine_commit(o->engine, o->writes, &end);
    engine_write_end(o->engine);
    o->locked = false;
    if (committed != MLKV_OK)
        return committed;
    if (end != 0)
        engine_notify(o->engine, o->writes);
    if (result >= 0)
        op_adopt_all(o);
    if (end == 0)
        return result;
    int waited = engine_wait_written(o->engine, end, o->view->durability);
    engine_throttle(o->engine);
    return waited != MLKV_OK ? waited : result;
}

/* If the transaction is aborted, the blobs that it would have referred to go too. */
static int note_adopted(op *o)
{
    op_value **values = o->adoptees->data;
    int result = MLKV_OK;
    for (size_t i = 0; i < o->adoptees->size / sizeof *values && result == MLKV_OK; i++)
        result = buffer_append(&o->view->adopted, &values[i]->blob.id, sizeof values[i]->blob.id);
    return result;
}

static int write_transaction(op *o, op_rule rule, void *context)
{
    int result = run_locked(o, rule, context);
    if (result < 0)
        return result;
    int merged = batch_merge(&o->view->writes, o->writes);
    if (merged == MLKV_OK)
        merged = note_adopted(o);
    if (merged == MLKV_OK && o->view->overlays != NULL)
        view_overlays_merge(o->view, o->engine, o->writes);
    if (merged != MLKV_OK)
        o->view->failed = merged;
    else
        op_adopt_all(o);
    return merged != MLKV_OK ? merged : result;
}

int op_write(mlkv *view, op_rule rule, void *context)
{
    engine *self;
    op_scratch *scratch;
    int result = view_enter(view, &self);
    if (result != MLKV_OK)
        return result;
    if (view->kind == VIEW_SNAPSHOT || view->read_only)
        return error_set(MLKV_E_READONLY, "this view cannot write");
    result = op_scratch_take(&scratch);
    if (result != MLKV_OK)
        return result;
    int state = cancel_disable();
    op o;
    op_begin(&o, view, self, scratch, true);
    result = view->kind == VIEW_TRANSACTION ? write_transaction(&o, rule, context)
                                            : write_live(&o, rule, context);
    op_adopt_none(&o); /* after a refusal: the caller may use its values again */
    op_scratch_release(scratch);
    cancel_restore(state);
    return result;
}

bool op_is_live(const mlkv *view)
{
    return view->kind == VIEW_LIVE;
}

int op_transact(mlkv *view, int (*run)(mlkv *inside, void *context), void *context)
{
    if (view != NULL && view->kind == VIEW_TRANSACTION)
        return run(view, context);
    mlkv *inside = NULL;
    int result = mlkv_begin(view, &inside);
    if (result != MLKV_OK)
        return result;
    result = run(inside, context);
    if (result < 0) {
        (void)mlkv_abort(inside);
        return result;
    }
    int committed = mlkv_commit(inside);
    return committed != MLKV_OK ? committed : result;
}

/* --- what a rule may do --- */

static int get_live(op *o, uint64_t hash, mlkv_slice key, mlkv_buffer *ret_value)
{
    if (!o->begun) {
        int result = engine_read_begin(o->engine, &o->cursor);
        if (result != MLKV_OK)
            return result;
        o->begun = true;
    }
    if (o->writing) /* likely to be put next: what pending will look at loads meanwhile */
        engine_prefetch_pending(o->engine, hash, false);
    int result = engine_get(o->engine, o->cursor, hash, key, ret_value);
    if (o->writing)
        engine_prefetch_pending(o->engine, hash, true);
    if (result == ENGINE_AGAIN)
        o->again = true;
    return result;
}

static int get_batched(const batch *writes, uint64_t hash, mlkv_slice key, mlkv_buffer *ret_value,
                       bool *ret_found)
{
    const batch_entry *entry = batch_find(writes, hash, key);
    *ret_found = entry != NULL;
    if (entry == NULL)
        return MLKV_OK;
    if (entry->is_delete)
        return MLKV_ABSENT;
    mlkv_slice value = batch_value(writes, entry);
    return buffer_assign(ret_value, value.data, value.size);
}

int op_get(op *o, mlkv_slice record_key, mlkv_buffer *ret_value)
{
    if (o->view->kind == VIEW_SNAPSHOT)
        return view_snapshot_get(o->view, record_key, ret_value);
    uint64_t hash = hash_key(record_key.data, record_key.size);
    o->reads++;
    if (o->writes->count != 0) {
        bool found;
        int result = get_batched(o->writes, hash, record_key, ret_value, &found);
        if (found)
            return result;
    }
    if (o->view->kind == VIEW_TRANSACTION && o->view->writes.count != 0) {
        bool found;
        int result = get_batched(&o->view->writes, hash, record_key, ret_value, &found);
        if (found)
            return result;
    }
    return get_live(o, hash, record_key, ret_value);
}

int op_borrow(op *o, mlkv_slice record_key, mlkv_slice *ret_value)
{
    int result = op_get(o, record_key, o->value);
    if (result == MLKV_OK)
        *ret_value = slice_of_buffer(o->value);
    return result;
}

void op_prefetch(op *o, mlkv_slice record_key)
{
    if (o->view->kind != VIEW_SNAPSHOT)
        engine_prefetch(o->engine, record_key);
}

static int check_key(const op *o, mlkv_slice key)
{
    if (!o->writing)
        return error_set(MLKV_E_READONLY, "a read cannot put records");
    if (key.size == 0 || key.size > RECORD_KEY_SIZE_MAX)
        return error_set(MLKV_E_SIZE, "a record key of %zu bytes", key.size);
    return MLKV_OK;
}

int op_put_reserve(op *o, mlkv_slice record_key, size_t size, void **ret_bytes)
{
    unsigned char *to = NULL;
    int result = check_key(o, record_key);
    if (result == MLKV_OK)
        result =
            batch_put(o->writes, hash_key(record_key.data, record_key.size), record_key, size, &to);
    if (result == MLKV_OK)
        *ret_bytes = to;
    return result;
}

int op_put_parts(op *o, mlkv_slice record_key, mlkv_slice head, mlkv_slice body)
{
    void *to;
    if (body.size > SIZE_MAX - head.size)
        return error_set(MLKV_E_SIZE, "a record of %zu bytes", body.size);
    int result = op_put_reserve(o, record_key, head.size + body.size, &to);
    if (result != MLKV_OK)
        return result;
    bytes_copy(to, head.data, head.size);
    bytes_copy((unsigned char *)to + head.size, body.data, body.size);
    return MLKV_OK;
}

int op_put(op *o, mlkv_slice record_key, mlkv_slice value)
{
    return op_put_parts(o, record_key, value, slice_of(NULL, 0));
}

int op_delete(op *o, mlkv_slice record_key)
{
    int result = check_key(o, record_key);
    return result != MLKV_OK
               ? result
               : batch_delete(o->writes, hash_key(record_key.data, record_key.size), record_key);
}

int op_take_id(op *o, uint64_t *ret_id)
{
    if (!o->writing)
        return error_set(MLKV_E_READONLY, "a read cannot create keys");
    *ret_id = journal_take_ids(engine_journal(o->engine), 1);
    return MLKV_OK;
}

uint64_t op_session(op *o)
{
    return liveness_session(o->engine->liveness);
}

bool op_session_lives(op *o, uint64_t session)
{
    return liveness_session_alive(o->engine->liveness, session);
}

const cell_options *op_cell_options(const op *o)
{
    return &o->engine->options.cells;
}
