/* tensor_change_large.c - changes of so many bytes that they are computed and encoded outside the
 * lock.
 *
 * The way: open the tensor; for each chunk touched, note its head, compute its new bytes, encode
 * them (as a blob, if it is large or there are many). Then, in one rule: each chunk noted still
 * stands there with that head, so what was computed is what would be computed now: put all, with
 * version + 1. Chunks that changed meanwhile are marked, and computed again; what was computed from
 * unchanged ones stays good. After TRIES_MAX rounds a transaction is begun, which keeps all other
 * writers out while it is done once more.
 *
 * State: one `changing` a call.
 *
 * Invariants:
 *  1. todo[c - first] == false: the change does not touch chunk c, or exactly one prepared item has
 *     it, computed from the bytes that its `noted` head tells of.
 *
 * Locks: none but the rule's, at last the transaction's.
 */
#include "types/tensor.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/hash.h"

#include <mlkv/db.h>
#include <stdlib.h>

enum {
    TRIES_MAX = 4,
    GROUP_BYTES = 16 << 20, /* of raw bytes, encoded together */
    GROUP_CHUNKS = 256,
};

typedef struct {
    tensor_change *change;
    tensor_form form;
    uint64_t id; /* 0: nothing computed yet */
    uint64_t first, end;
    bool *todo;
    prepared_chunks prepared;
    bool again;
    bool moved; /* another life, or another form, stands there: all must be computed anew */
    /* of the chunk being read */
    uint64_t chunk;
    chunk_head noted;
    mlkv_buffer old;
} changing;

static int open_rule(op *o, void *context)
{
    changing *self = context;
    entry found;
    int result = change_open(o, self->change, &found, &self->form);
    if (result == MLKV_OK)
        self->id = found.header.id;
    return result;
}

/* Opens the tensor as it is now, with nothing computed. */
static int begin(mlkv *view, changing *self)
{
    prepared_done(view, &self->prepared);
    free(self->todo);
    self->todo = NULL;
    self->moved = false;
    int result = op_read(view, open_rule, self);
    if (result != MLKV_OK)
        return result;
    change_chunks(self->change, &self->form, &self->first, &self->end);
    self->todo = malloc(self->end - self->first + 1);
    if (self->todo == NULL)
        return error_set_memory("a tensor's chunks");
    memset(self->todo, 0, self->end - self->first + 1);
    for (uint64_t chunk = self->first; chunk < self->end;
         chunk = change_next(self->change, &self->form, chunk + 1, self->end))
        self->todo[chunk - self->first] = true;
    return MLKV_OK;
}

/* The life that was opened, or moved is set. */
static int reopen(op *o, changing *self, entry *ret_entry, tensor_form *ret_form)
{
    int result = change_open(o, self->change, ret_entry, ret_form);
    self->moved = result == MLKV_OK &&
                  (ret_entry->header.id != self->id || !tensor_form_same(ret_form, &self->form));
    return result;
}

static int read_rule(op *o, void *context)
{
    changing *self = context;
    entry found;
    tensor_form form;
    int result = reopen(o, self, &found, &form);
    if (result != MLKV_OK || self->moved)
        return result;
    size_t size = tensor_chunk_size(&form, self->chunk);
    result = buffer_reserve(&self->old, size);
    return result != MLKV_OK
               ? result
               : chunk_read(o, &form, self->id, self->chunk, 0, size, self->old.data, &self->noted);
}

/* Computes the chunk's new bytes to the end of *bytes. */
static int compute(mlkv *view, changing *self, mlkv_buffer *bytes, prepared_chunk *ret_item)
{
    int result = op_read(view, read_rule, self);
    if (result != MLKV_OK || self->moved)
        return result;
    size_t size = tensor_chunk_size(&self->form, self->chunk);
    unsigned char *to = buffer_extend(bytes, size);
    if (to == NULL)
        return error_set_memory("a tensor's chunk");
    change_apply(self->change, &self->form, self->chunk, self->old.data, to);
    *ret_item =
        (prepared_chunk){self->chunk,
                         self->noted,
                         {.checksum = hash_checksum(to, size, 0), .raw_size = (uint32_t)size}};
    return MLKV_OK;
}

/* Computes and encodes some of the chunks that are to do, from *at on. */
static int compute_group(mlkv *view, changing *self, uint64_t *at, bool as_blobs)
{
    prepared_chunk items[GROUP_CHUNKS];
    mlkv_slice raws[GROUP_CHUNKS];
    mlkv_buffer bytes = {0};
    size_t n = 0, offset = 0;
    int result = MLKV_OK;
    for (; *at < self->end && n < GROUP_CHUNKS && bytes.size < GROUP_BYTES && result == MLKV_OK &&
           !self->moved;
         ++*at) {
        if (!self->todo[*at - self->first])
            continue;
        self->chunk = *at;
        result = compute(view, self, &bytes, &items[n]);
        n += result == MLKV_OK && !self->moved;
    }
    for (size_t i = 0; i < n; i++) { /* only now, as the buffer moved while it grew */
        raws[i] = slice_of((unsigned char *)bytes.data + offset, items[i].head.raw_size);
        offset += items[i].head.raw_size;
        self->todo[items[i].chunk - self->first] = false;
    }
    if (result == MLKV_OK && !self->moved)
        result = prepared_add(view, &self->prepared, &self->form, items, raws, n, as_blobs);
    mlkv_buffer_free(&bytes);
    return result;
}

static int compute_all(mlkv *view, changing *self)
{
    uint64_t at = self->first, chunks = 0;
    int result = MLKV_OK;
    for (uint64_t chunk = self->first; chunk < self->end; chunk++)
        chunks += self->todo[chunk - self->first];
    bool as_blobs =
        prepared_as_blobs(&self->form, chunks * self->form.chunk_rows * self->form.row_bytes);
    while (at < self->end && result == MLKV_OK && !self->moved)
        result = compute_group(view, self, &at, as_blobs);
    return result;
}

static int put_rule(op *o, void *context)
{
    changing *self = context;
    entry found;
    tensor_form form;
    mlkv_buffer *scratch = chunk_scratch();
    self->again = false;
    int result = scratch == NULL ? MLKV_E_MEMORY : reopen(o, self, &found, &form);
    if (result != MLKV_OK || self->moved)
        return result;
    for (size_t i = 0; i < self->prepared.count && result == MLKV_OK; i++) {
        chunk_head head;
        mlkv_slice cell;
        prepared_chunk *item = &self->prepared.items[i];
        result = chunk_note(o, &form, self->id, item->chunk, scratch, &head, &cell);
        if (result == MLKV_OK && !chunk_head_same(&head, &item->noted)) {
            self->todo[item->chunk - self->first] = true;
            self->again = true;
        }
    }
    if (result != MLKV_OK || self->again)
        return result != MLKV_OK ? result : MLKV_ABSENT;
    form.version++;
    result = prepared_put(o, &self->prepared, &form, self->id, true);
    return result != MLKV_OK ? result : tensor_store(o, &found, &form);
}

/* One round. *ret_again: something changed meanwhile, and nothing was put. */
static int attempt(mlkv *view, changing *self, bool *ret_again)
{
    int result = self->todo == NULL || self->moved ? begin(view, self) : MLKV_OK;
    self->again = false;
    if (result == MLKV_OK)
        result = compute_all(view, self);
    if (result == MLKV_OK && !self->moved)
        result = op_write(view, put_rule, self);
    bool again = self->again && result == MLKV_ABSENT;
    if (again)
        prepared_drop(view, &self->prepared, self->todo, &self->first);
    *ret_again = again || (self->moved && result == MLKV_OK);
    return result;
}

static int in_transaction(mlkv *view, changing *self)
{
    mlkv *transaction = NULL;
    bool again;
    int result = mlkv_begin(view, &transaction);
    if (result != MLKV_OK)
        return result;
    do {
        result = attempt(transaction, self, &again);
    } while (again); /* at most once more: nobody else can write now */
    if (result == MLKV_OK)
        return mlkv_commit(transaction);
    mlkv_abort(transaction);
    return result;
}

int change_run_large(mlkv *view, tensor_change *change)
{
    changing self = {.change = change};
    bool again = true;
    int result = MLKV_OK;
    for (int i = 0; again && i < TRIES_MAX; i++)
        result = attempt(view, &self, &again);
    if (again)
        result = in_transaction(view, &self);
    prepared_done(view, &self.prepared);
    free(self.todo);
    mlkv_buffer_free(&self.old);
    return result;
}
