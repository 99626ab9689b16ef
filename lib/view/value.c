/* value.c - values of any size behind the waist: prepared outside every lock, referred to by
 * records, counted, read back.
 *
 * A value below the blob threshold is a cell that travels in its record. A larger one is a blob: in
 * LMDB before any record refers to it (I8). The rule that puts such a record adopts the value: R =
 * 1 in the same frame. Dropping the last reference puts W in R's place, which is final (R8). A blob
 * that is missing when a live reader comes for it was replaced meanwhile: the operation runs again;
 * only if that goes on is it corruption. State: op_value.in_rule while the current run has adopted
 * it, .adopted once such a run was committed. No locks.
 */
#include "view/view.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/fault.h"
#include "base/record.h"

#include <stdlib.h>

enum {
    BLOB_THRESHOLD =
        512 << 10,       /* below it a copy through the ring costs less than a commit of its own */
    BLOB_RING_PART = 16, /* and never more of the ring than this part */
    RECLAIM_LAG = 2,     /* so many times what may lie about before a writer cleans itself */
    MISSING_MAX =
        64, /* runs of an operation that found a blob missing before it counts as corruption */
    ID_KEY_SIZE = 9,
};

static size_t threshold(engine *self)
{
    journal *log = engine_journal(self);
    size_t part = log == NULL ? BLOB_THRESHOLD : journal_ring_bytes(log) / BLOB_RING_PART;
    return part < BLOB_THRESHOLD ? part : BLOB_THRESHOLD;
}

size_t op_blob_threshold(const op *o)
{
    return threshold(o->engine);
}

/* --- preparing --- */

static int prepare_blobs(engine *self, planes_form form, const mlkv_slice *raws,
                         const size_t *which, size_t n, op_value *values)
{
    mlkv_slice *chosen = calloc(n, sizeof *chosen);
    cell_blob *blobs = calloc(n, sizeof *blobs);
    int result = chosen == NULL || blobs == NULL ? error_set_memory("large values") : MLKV_OK;
    for (size_t i = 0; i < n && result == MLKV_OK; i++)
        chosen[i] = raws[which[i]];
    if (result == MLKV_OK)
        result = engine_blobs_write(self, form, chosen, n, blobs);
    for (size_t i = 0; i < n && result == MLKV_OK; i++) {
        values[which[i]].blob = blobs[i];
        result = cell_encode_blob(&blobs[i], &values[which[i]].cell);
    }
    free(chosen);
    free(blobs);
    return result;
}

/* Values that are encoded into their cells, each by itself. */
typedef struct {
    const cell_options *options;
    planes_form form;
    const mlkv_slice *raws;
    op_value *values;
    const size_t *which;
} encoding;

static int encode_one(void *context, size_t i)
{
    const encoding *self = context;
    size_t at = self->which[i];
    return cell_encode_numbers(self->options, self->form, self->raws[at], &self->values[at].cell);
}

/* which: room for n numbers. */
static int prepare_sorted(engine *self, planes_form form, const mlkv_slice *raws, size_t n,
                          size_t limit, size_t *which, op_value *values)
{
    size_t small = 0, large = n; /* which: small ones from the front, large ones from the back */
    uint64_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        values[i].cell.size = 0;
    for (size_t i = n; i > 0; i--)
        if (raws[i - 1].size >= limit)
            which[--large] = i - 1;
    for (size_t i = 0; i < n; i++) {
        if (raws[i].size >= limit)
            continue;
        which[small++] = i;
        bytes += raws[i].size;
    }
    encoding all = {&self->options.cells, form, raws, values, which};
    int result = engine_share(self, bytes, encode_one, &all, small);
    if (result == MLKV_OK && large != n)
        result = prepare_blobs(self, form, raws, which + large, n - large, values);
    return result;
}

static int prepare(engine *self, planes_form form, const mlkv_slice *raws, size_t n, bool as_blobs,
                   op_value *values)
{
    size_t one = 0, *which = n == 1 ? &one : calloc(n != 0 ? n : 1, sizeof *which);
    int result = which == NULL ? error_set_memory("values")
                               : prepare_sorted(self, form, raws, n, as_blobs ? 1 : threshold(self),
                                                which, values);
    if (which != &one)
        free(which);
    return result;
}

static int enter_preparing(mlkv *view, engine **ret_engine)
{
    int result = view_enter(view, ret_engine);
    if (result == MLKV_OK && (view->kind == VIEW_SNAPSHOT || view->read_only))
        result = error_set(MLKV_E_READONLY, "this view cannot write");
    return result;
}

static void reclaim(mlkv *view, engine *self)
{
    if (view->kind == VIEW_LIVE && !view->borrowed && engine_check_writable(self) == MLKV_OK)
        (void)engine_reclaim(self, RECLAIM_LAG); /* the keeper is behind; if it fails here, it is
                                                    tried again by the next */
}

int op_values_prepare(mlkv *view, planes_form form, const mlkv_slice *raws, size_t n, bool as_blobs,
                      op_value *values)
{
    engine *self;
    int result = enter_preparing(view, &self);
    if (result != MLKV_OK)
        return result;
    int state = cancel_disable();
    reclaim(view, self);
    result = prepare(self, form, raws, n, as_blobs, values);
    cancel_restore(state);
    return result;
}

size_t op_page_bytes(void)
{
    return store_page_bytes();
}

static int prepare_paged(engine *self, const mlkv_slice *raws, size_t n, op_value *values)
{
    cell_blob *blobs = calloc(n != 0 ? n : 1, sizeof *blobs);
    int result = blobs == NULL ? error_set_memory("large values") : MLKV_OK;
    if (result == MLKV_OK)
        result = engine_blobs_write_paged(self, store_page_bytes(), raws, n, blobs);
    for (size_t i = 0; i < n && result == MLKV_OK; i++)
        values[i].blob = blobs[i];
    for (size_t i = 0; i < n && result == MLKV_OK; i++) {
        values[i].cell.size = 0;
        result = cell_encode_blob(&blobs[i], &values[i].cell);
    }
    free(blobs);
    return result;
}

int op_values_prepare_paged(mlkv *view, const mlkv_slice *raws, size_t n, op_value *values)
{
    engine *self;
    int result = enter_preparing(view, &self);
    if (result != MLKV_OK)
        return result;
    int state = cancel_disable();
    reclaim(view, self);
    result = prepare_paged(self, raws, n, values);
    cancel_restore(state);
    return result;
}

int op_value_prepare(mlkv *view, mlkv_slice raw, op_value *value)
{
    return op_values_prepare(view, (planes_form){0}, &raw, 1, false, value);
}

void op_value_done(mlkv *view, op_value *value)
{
    if (value->blob.id != 0 && !value->adopted && view != NULL) {
        engine *self = atomic_load(&view->engine);
        if (!atomic_load(&self->abandoned))
            engine_blobs_discard(self, &value->blob.id, 1);
    }
    mlkv_buffer_free(&value->cell);
    *value = (op_value){0};
}

/* --- dictionaries --- */

const dictionary_coder *op_dictionary(mlkv *view, mlkv_slice key)
{
    if (view == NULL || view->kind == VIEW_SNAPSHOT || view->read_only)
        return NULL;
    engine *self = atomic_load_explicit(&view->engine, memory_order_acquire);
    if (__builtin_expect(atomic_load_explicit(&self->abandoned, memory_order_relaxed), 0) &&
        view_enter(view, &self) != MLKV_OK)
        return NULL; /* the write itself will say so */
    return engine_dictionary_for(self, key);
}

int op_cell_encode(op *o, mlkv_slice key, mlkv_slice raw, mlkv_buffer *out)
{
    const dictionary_coder *with = engine_dictionary_for(o->engine, key);
    int result = with == NULL ? MLKV_ABSENT : cell_encode_with(with, raw, out);
    return result != MLKV_ABSENT ? result : cell_encode(&o->engine->options.cells, raw, out);
}

int view_cell_decode(engine *self, mlkv_slice cell, int kind, mlkv_buffer *out)
{
    const dictionary_decoder *with = NULL;
    if (kind != CELL_DICTIONARY)
        return cell_decode(cell, out);
    int result = engine_dictionary(self, cell_dictionary(cell), &with);
    return result != MLKV_OK ? result : cell_decode_with(with, cell, out);
}

/* --- references --- */

static mlkv_slice id_key(int class, uint64_t id, unsigned char key[ID_KEY_SIZE])
{
    key[0] = (unsigned char)class;
    store_be64(key + 1, id);
    return slice_of(key, ID_KEY_SIZE);
}

static int get_references(op *o, uint64_t id, uint64_t *ret_count)
{
    unsigned char key[ID_KEY_SIZE];
    mlkv_buffer value = {0};
    int result = op_get(o, id_key(RECORD_REFERENCE, id, key), &value);
    if (result == MLKV_OK && value.size != 8)
        result = error_set(MLKV_E_CORRUPT, "the reference count of blob %llu has %zu bytes",
                           (unsigned long long)id, value.size);
    if (result == MLKV_OK)
        *ret_count = load_le64(value.data);
    mlkv_buffer_free(&value);
    return result;
}

static int put_references(op *o, uint64_t id, uint64_t count)
{
    unsigned char key[ID_KEY_SIZE], bytes[8];
    store_le64(bytes, count);
    return op_put(o, id_key(RECORD_REFERENCE, id, key), slice_of(bytes, sizeof bytes));
}

int op_value_adopt(op *o, op_value *value)
{
    if (value->blob.id == 0)
        return MLKV_OK;
    uint64_t count = 0;
    int result =
        value->in_rule || value->adopted ? get_references(o, value->blob.id, &count) : MLKV_OK;
    if (result != MLKV_OK)
        return result;
    if (!value->in_rule) {
        result = buffer_append(o->adoptees, &value, sizeof value);
        if (result != MLKV_OK)
            return result;
        value->in_rule = true;
    }
    return put_references(o, value->blob.id, count + 1);
}

void op_adopt_all(op *o)
{
    op_value **values = o->adoptees->data;
    if (o->released_bytes != 0)
        engine_note_waste(o->engine, o->released_bytes);
    for (size_t i = 0; i < o->adoptees->size / sizeof *values; i++) {
        values[i]->adopted = true;
        values[i]->in_rule = false;
    }
    o->adoptees->size = 0;
}

void op_adopt_none(op *o)
{
    op_value **values = o->adoptees->data;
    for (size_t i = 0; i < o->adoptees->size / sizeof *values; i++)
        values[i]->in_rule = false;
    o->adoptees->size = 0;
}

static int kind_of(mlkv_slice cell, cell_blob *ret_blob, int *ret_kind)
{
    uint64_t size;
    *ret_kind = CELL_RAW;
    return cell_inspect(cell, ret_kind, &size, ret_blob);
}

/* The blob that a cell refers to, its raw size, and its references, at least 1. MLKV_ABSENT: the cell
 * is no blob. */
static int count_of(op *o, mlkv_slice cell, uint64_t *ret_id, uint64_t *ret_size,
                    uint64_t *ret_count)
{
    cell_blob blob;
    int kind;
    uint64_t count = 0;
    int result = kind_of(cell, &blob, &kind);
    if (result == MLKV_OK && kind != CELL_BLOB)
        return MLKV_ABSENT;
    if (result == MLKV_OK)
        result = get_references(o, blob.id, &count);
    if (result == MLKV_ABSENT || (result == MLKV_OK && count == 0))
        return error_set(MLKV_E_CORRUPT, "blob %llu is referred to, but has no reference count",
                         (unsigned long long)blob.id);
    if (result == MLKV_OK) {
        *ret_id = blob.id;
        *ret_size = blob.size;
        *ret_count = count;
    }
    return result;
}

int op_cell_release(op *o, mlkv_slice cell)
{
    uint64_t id = 0, size = 0, count = 0;
    unsigned char key[ID_KEY_SIZE];
    int result = count_of(o, cell, &id, &size, &count);
    if (result != MLKV_OK)
        return result == MLKV_ABSENT ? MLKV_OK : result;
    if (count > 1)
        return put_references(o, id, count - 1);
    o->released_bytes += size;
    result = op_delete(o, id_key(RECORD_REFERENCE, id, key));
    return result != MLKV_OK ? result : op_put(o, id_key(RECORD_WASTE, id, key), slice_of(NULL, 0));
}

int op_cell_retain(op *o, mlkv_slice cell)
{
    uint64_t id = 0, size = 0, count = 0;
    int result = count_of(o, cell, &id, &size, &count);
    if (result != MLKV_OK)
        return result == MLKV_ABSENT ? MLKV_OK : result;
    return put_references(o, id, count + 1);
}

/* --- reading --- */

/* checked: one part, by way of the checksums of its pieces. ENGINE_AGAIN: a piece is not there. */
static int read_parts(const op *o, const cell_blob *blob, bool checked, const blob_part *parts,
                      size_t n)
{
    bool own = o->view->kind != VIEW_SNAPSHOT;
    store_read *read = o->view->read;
    WATCH_POINT(BLOB_READ);
    int result = own ? store_read_begin(o->engine->store, &read) : MLKV_OK;
    if (result != MLKV_OK)
        return result;
    result = checked
                 ? engine_blob_read(o->engine, read, blob, parts->offset, parts->size, parts->to)
                 : engine_blob_read_parts(read, blob, parts, n);
    if (own)
        store_read_end(read);
    if (result != MLKV_ABSENT)
        return result;
    return error_set(ENGINE_AGAIN, "blob %llu is missing", (unsigned long long)blob->id);
}

/* Of what read_parts says: a missing blob makes the op run again, for some time. */
int op_judge(op *o, int result)
{
    if (result != ENGINE_AGAIN)
        return result;
    if (o->view->kind == VIEW_SNAPSHOT || ++o->missing > MISSING_MAX)
        return error_set(MLKV_E_CORRUPT, "%s", mlkv_error_detail());
    o->again = true;
    return ENGINE_AGAIN;
}

static int read_blob(const op *o, const cell_blob *blob, uint64_t offset, size_t size, void *to)
{
    return read_parts(o, blob, true, &(blob_part){offset, size, to}, 1);
}

int op_cell_read_parts(op *o, mlkv_slice cell, const blob_part *parts, size_t n)
{
    cell_blob blob;
    int kind;
    int result = kind_of(cell, &blob, &kind);
    if (result == MLKV_OK && kind != CELL_BLOB)
        result = error_set(MLKV_E_ARGUMENT, "a cell is no blob");
    for (size_t i = 0; i < n && result == MLKV_OK; i++) {
        if (parts[i].offset > blob.size || parts[i].size > blob.size - parts[i].offset)
            result = error_set(MLKV_E_RANGE, "bytes from %llu on of a value of %llu",
                               (unsigned long long)parts[i].offset, (unsigned long long)blob.size);
    }
    return result != MLKV_OK ? result : op_judge(o, read_parts(o, &blob, false, parts, n));
}

int op_cell_append(op *o, mlkv_slice cell, mlkv_buffer *out)
{
    cell_blob blob;
    int kind;
    int result = kind_of(cell, &blob, &kind);
    if (result != MLKV_OK)
        return result;
    if (kind != CELL_BLOB)
        return view_cell_decode(o->engine, cell, kind, out);
    size_t before = out->size;
    if (blob.size > SIZE_MAX / 2 - before)
        return error_set(MLKV_E_SIZE, "a value of %llu bytes", (unsigned long long)blob.size);
    void *to = buffer_extend(out, (size_t)blob.size);
    if (to == NULL)
        return error_set_memory("a large value");
    result = op_judge(o, read_blob(o, &blob, 0, (size_t)blob.size, to));
    if (result != MLKV_OK)
        out->size = before;
    return result;
}

int op_cell_read(op *o, mlkv_slice cell, uint64_t offset, size_t size, void *to)
{
    return op_judge(o, op_cell_read_task(o, cell, offset, size, to));
}

int op_cell_read_task(const op *o, mlkv_slice cell, uint64_t offset, size_t size, void *to)
{
    cell_blob blob;
    int kind;
    uint64_t raw_size;
    int result = cell_inspect(cell, &kind, &raw_size, &blob);
    if (result != MLKV_OK)
        return result;
    if (offset > raw_size || size > raw_size - offset)
        return error_set(MLKV_E_RANGE, "bytes %llu..%llu of a value of %llu",
                         (unsigned long long)offset, (unsigned long long)(offset + size),
                         (unsigned long long)raw_size);
    mlkv_slice raw;
    if (kind == CELL_BLOB)
        return read_blob(o, &blob, offset, size, to);
    if (cell_borrow(cell, &raw)) {
        bytes_copy(to, (const unsigned char *)raw.data + offset, size);
        return MLKV_OK;
    }
    mlkv_buffer direct = {.data = to, .capacity = size}; /* all of it fits, so it does not grow */
    if (size == raw_size && size != 0 && kind != CELL_DICTIONARY)
        return cell_decode(cell, &direct);
    mlkv_buffer whole = {0};
    result = view_cell_decode(o->engine, cell, kind, &whole);
    if (result == MLKV_OK)
        bytes_copy(to, (unsigned char *)whole.data + offset, size);
    mlkv_buffer_free(&whole);
    return result;
}

int op_cell_parts_task(const op *o, mlkv_slice cell, const blob_part *parts, size_t n)
{
    cell_blob blob;
    int kind;
    bool own = o->view->kind != VIEW_SNAPSHOT;
    store_read *read = o->view->read;
    int result = kind_of(cell, &blob, &kind);
    if (result != MLKV_OK || kind != CELL_BLOB)
        return result != MLKV_OK ? result : cell_decode_parts(cell, parts, n);
    result = own ? store_read_begin(o->engine->store, &read) : MLKV_OK;
    if (result != MLKV_OK)
        return result;
    result = engine_blob_decode_parts(read, &blob, parts, n);
    if (own)
        store_read_end(read);
    return result;
}

/* --- work shared by threads --- */

int op_share(mlkv *view, uint64_t bytes, op_task task, void *context, size_t n)
{
    engine *self;
    int result = view_enter(view, &self);
    return result != MLKV_OK ? result : engine_share(self, bytes, task, context, n);
}

int op_share_reads(op *o, uint64_t bytes, op_task task, void *context, size_t n)
{
    return op_judge(o, engine_share(o->engine, bytes, task, context, n));
}

static kept_key kept_key_of(const op_kept_key *key)
{
    return (kept_key){key->life, key->chunk, key->checksum, key->size};
}

const void *op_kept_get(const op *o, const op_kept_key *key, kept_bytes **ret_kept, bool *ret_again)
{
    kept_key own = kept_key_of(key);
    return kept_get(o->engine->kept, &own, ret_kept, ret_again);
}

void *op_kept_make(const op *o, const op_kept_key *key, kept_bytes **ret_kept)
{
    kept_key own = kept_key_of(key);
    return kept_make(o->engine->kept, &own, ret_kept);
}

void op_kept_end(const op *o, kept_bytes *entry, bool good)
{
    kept_end(o->engine->kept, entry, good);
}
