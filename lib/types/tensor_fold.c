/* tensor_fold.c - chunks of a contiguous tensor that changes have put into records, or beside which rows stand (tensor_rows.c),
 * become blobs again, which can be lent.
 *
 * The way, for up to GROUP_BYTES of chunks at a time: read them; outside the lock write them as
 * blobs; then, in one rule: each of them still stands there with the head that it had, so put all.
 * What changed meanwhile is left as it is, for the next time. No data change, so the version stays.
 *
 * State: one `folding` a call. Locks: none but the rules'.
 */
#include "types/tensor.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/hash.h"

enum { GROUP_BYTES = 16 << 20, GROUP_CHUNKS = 256 };

typedef struct {
    mlkv_slice key;
    tensor_form form;
    uint64_t id, at; /* chunks below `at` are done */
    prepared_chunk items[GROUP_CHUNKS];
    size_t count;
    mlkv_buffer raw; /* theirs, one behind another */
    prepared_chunks prepared;
} folding;

/* The life that was opened first. MLKV_ABSENT: it is over, or has another form. */
static int open_same(op *o, folding *self, entry *ret_entry, tensor_form *ret_form)
{
    int result = tensor_open(o, self->key, ret_entry, ret_form);
    bool same = self->id == 0 || (result == MLKV_OK && ret_entry->header.id == self->id &&
                                  tensor_form_same(ret_form, &self->form));
    return result != MLKV_OK || same ? result : MLKV_ABSENT;
}

static int read_chunk(op *o, folding *self, const tensor_form *form, uint64_t id, uint64_t chunk)
{
    chunk_head head, after;
    size_t size = tensor_chunk_size(form, chunk);
    void *to = buffer_extend(&self->raw, size);
    int result = to == NULL ? error_set_memory("a tensor's chunk")
                            : chunk_read(o, form, id, chunk, 0, size, to, &head);
    if (result != MLKV_OK)
        return result;
    after = (chunk_head){.checksum = hash_checksum(to, size, 0), .raw_size = head.raw_size};
    self->items[self->count++] = (prepared_chunk){chunk, head, after};
    return result;
}

/* Copies the next chunks that stand in records. */
static int read_rule(op *o, void *context)
{
    folding *self = context;
    entry found;
    tensor_form form;
    mlkv_buffer *scratch = chunk_scratch();
    self->count = 0;
    self->raw.size = 0;
    int result = scratch == NULL ? MLKV_E_MEMORY : open_same(o, self, &found, &form);
    uint64_t chunk = self->at;
    for (; result == MLKV_OK && chunk < form.chunks && self->count < GROUP_CHUNKS &&
           self->raw.size < GROUP_BYTES;
         chunk++) {
        chunk_head head;
        mlkv_slice cell;
        result = chunk_note(o, &form, found.header.id, chunk, scratch, &head, &cell);
        if (result == MLKV_OK && (!chunk_is_settled(&form, cell) || head.beside != 0))
            result = read_chunk(o, self, &form, found.header.id, chunk);
    }
    if (result == MLKV_OK) {
        self->form = form;
        self->id = found.header.id;
    }
    return result;
}

static int put_rule(op *o, void *context)
{
    folding *self = context;
    entry found;
    tensor_form form;
    mlkv_buffer *scratch = chunk_scratch();
    int result = scratch == NULL ? MLKV_E_MEMORY : open_same(o, self, &found, &form);
    for (size_t i = 0; i < self->prepared.count && result == MLKV_OK; i++) {
        const prepared_chunk *item = &self->prepared.items[i];
        chunk_head head;
        mlkv_slice cell;
        result = chunk_note(o, &form, self->id, item->chunk, scratch, &head, &cell);
        if (result == MLKV_OK && ((chunk_is_settled(&form, cell) && head.beside == 0) ||
                                  !chunk_head_same(&head, &item->noted)))
            return MLKV_ABSENT;
    }
    if (result == MLKV_OK)
        result = prepared_put(o, &self->prepared, &form, self->id, true);
    return result != MLKV_OK ? result : tensor_store(o, &found, &form);
}

static int fold_group(mlkv *view, folding *self)
{
    mlkv_slice raws[GROUP_CHUNKS];
    size_t at = 0;
    int result = op_read(view, read_rule, self);
    if (result != MLKV_OK)
        return result;
    for (size_t i = 0; i < self->count; i++) {
        raws[i] = slice_of((unsigned char *)self->raw.data + at, self->items[i].head.raw_size);
        at += raws[i].size;
    }
    if (self->count != 0) {
        self->at = self->items[self->count - 1].chunk + 1;
        result =
            prepared_add(view, &self->prepared, &self->form, self->items, raws, self->count, true);
        if (result == MLKV_OK)
            result = op_write(view, put_rule, self);
        prepared_done(view, &self->prepared);
    } else {
        self->at = self->form.chunks;
    }
    return result == MLKV_ABSENT ? MLKV_OK : result; /* others changed it: the next time */
}

int tensor_fold(mlkv *view, mlkv_slice key)
{
    folding self = {.key = key};
    int result = MLKV_OK;
    do {
        result = fold_group(view, &self);
    } while (result == MLKV_OK && self.at < self.form.chunks);
    mlkv_buffer_free(&self.raw);
    chunk_scratch_trim();
    return result;
}
