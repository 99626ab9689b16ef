/* tensor_rows_fold.c - the folder: rows that stand beside their chunks (tensor_rows.c) are put into them in
 * the background, a bounded step at a time.
 *
 * Bytes owned: Q records, key: the tensor's name, no value; beside each K record of a tensor that has
 * such rows. They are what a step looks through, so a store without any costs one look.
 *
 * A tensor that nobody changed for QUIET_MS is folded, chunk by chunk. One that is changed all the time
 * is left alone, as the next change would only begin it anew; chunks beside which much stands are seen
 * to by the writers (tensor_change_rows.c), but for large ones, which are looked for here.
 *
 * The way: choose chunks, up to STEP_BYTES of them; note what stands there, and read it with the rows
 * laid over it, each chunk by itself; encode them outside the lock; in one rule, put those of which chunk and rows are
 * what was noted, and delete the rows. What was changed meanwhile waits for a later step.
 *
 * Invariants:
 *  1. A fold changes no number that anybody reads, so it leaves the version alone: a pass of a reader
 *     goes on across it.
 *  2. It is one frame: readers see the chunk and the rows, or the new chunk.
 *
 * State: how long this thread pauses, and where among many tensors it stopped. Locks: none but the
 * rule's.
 */
#include "types/tensor_rows_fold.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/hash.h"
#include "types/expiry.h"
#include "types/named.h"
#include "types/tensor.h"

#include <stdlib.h>

enum {
    QUIET_MS = 5000,      /* several times what a training step takes */
    STEP_BYTES = 8 << 20, /* of raw bytes: some 10 ms of encoding, the keeper has other duties */
    STEP_CHUNKS = 256,    /* chunks that share a frame, and are checked under the lock */
    STEP_ROWS = 16384,    /* rows that a step looks at */
    STEP_TENSORS = 4096,  /* tensors that a step looks at */
    MANY_PART = 8,        /* more than this part of a chunk's bytes beside it is folded at once */
    PAUSE_MAX = 16,       /* steps left out at most when there was nothing to do: four seconds */
    HEAD_SIZE = 1,
    ID_END = 9,
    GROUP_PREFIX = 16, /* of a P record's key: those of 256 chunks have it in common */
};

/* --- Q records --- */

int fold_note(op *o, mlkv_slice name, bool had, bool has)
{
    record_key key;
    if (had == has)
        return MLKV_OK;
    int result = layout_rows_of(name, &key);
    if (result != MLKV_OK)
        return result;
    return has ? named_put(o, &key, name, slice_of(NULL, 0), slice_of(NULL, 0))
               : op_delete(o, record_key_slice(&key));
}

int fold_find(op *o, mlkv_slice name)
{
    record_key key;
    mlkv_slice rest;
    int result = layout_rows_of(name, &key);
    return result != MLKV_OK ? result : named_borrow(o, &key, HEAD_SIZE, name, &rest);
}

int fold_split(mlkv_slice key, mlkv_slice value, mlkv_slice *ret_name)
{
    mlkv_slice rest;
    int result = layout_split_name(key, HEAD_SIZE, value, ret_name, &rest);
    if (result == MLKV_OK && rest.size != 0)
        result = error_set(MLKV_E_CORRUPT, "%zu bytes too many", rest.size);
    return result;
}

/* --- one tensor --- */

typedef struct {
    mlkv_slice name;
    int64_t quiet_ms;
    uint64_t id; /* 0: not one to fold */
    tensor_form form;
    uint64_t chunks[STEP_CHUNKS]; /* that are to be folded */
    chunk_head noted[STEP_CHUNKS];
    size_t n;
    size_t at;         /* the one being read */
    mlkv_buffer bytes; /* theirs, one behind the other */
    bool drop[STEP_CHUNKS], again;
    prepared_chunks prepared;
} folding;

static uint64_t beside_bytes(const tensor_form *form, uint64_t rows)
{
    return rows * (form->row_bytes + TENSOR_ROW_OVERHEAD);
}

/* The chunks of some of the rows, in order. */
typedef struct {
    folding *fold;
    bool all;      /* every chunk with rows; else those with many */
    uint64_t seen; /* rows */
    uint64_t chunk, count;
    uint64_t bytes; /* raw, of the chunks taken */
} choosing;

static void take_chunk(choosing *self)
{
    folding *fold = self->fold;
    if (self->count == 0)
        return;
    size_t size = tensor_chunk_size(&fold->form, self->chunk);
    if (self->all || beside_bytes(&fold->form, self->count) > size / MANY_PART) {
        fold->chunks[fold->n++] = self->chunk;
        self->bytes += size;
    }
    self->count = 0;
}

/* Walks over rows of the life. */
static int choose_in(op *o, choosing *self, mlkv_slice prefix)
{
    folding *fold = self->fold;
    scan *walk = NULL;
    mlkv_slice key, value;
    uint64_t chunk, row;
    int result = op_scan_open(o, prefix, slice_of(NULL, 0), &walk);
    while (result == MLKV_OK && self->seen < STEP_ROWS && fold->n < STEP_CHUNKS &&
           self->bytes < STEP_BYTES) {
        result = scan_next(walk, &key, &value);
        if (result == MLKV_OK)
            result = rows_split(&fold->form, key, value, &chunk, &row);
        if (result != MLKV_OK)
            break;
        if (chunk != self->chunk)
            take_chunk(self);
        self->chunk = chunk;
        self->count++;
        self->seen++;
    }
    scan_close(walk);
    if (result >= 0 && fold->n < STEP_CHUNKS && self->bytes < STEP_BYTES)
        take_chunk(self);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

static int choose_rule(op *o, void *context)
{
    folding *self = context;
    entry found;
    choosing choice = {.fold = self};
    self->id = 0;
    self->n = 0;
    int result = tensor_open(o, self->name, &found, &self->form);
    if (result != MLKV_OK || self->form.beside == 0)
        return result < 0 && result != MLKV_E_TYPE ? result : MLKV_ABSENT;
    int64_t age_ms = op_now_ms(o) - found.header.beside_ms;
    choice.all = age_ms < 0 || age_ms >= self->quiet_ms; /* the clock may have been set back */
    if (!choice.all && tensor_chunk_size(&self->form, 0) <= TENSOR_INLINE_CHUNK_MAX)
        return MLKV_ABSENT;
    self->id = found.header.id;
    record_key prefix;
    uint64_t some = hash_checksum(&self->form.version, sizeof self->form.version, 0);
    layout_indexed(RECORD_ROW, self->id, some % self->form.chunks, &prefix);
    /* of a tensor that is being changed a part, another one each time, as what is pending is copied */
    prefix.size = choice.all ? ID_END : GROUP_PREFIX;
    return choose_in(o, &choice, record_key_slice(&prefix));
}

static int read_rule(op *o, void *context)
{
    folding *self = context;
    entry found;
    tensor_form form;
    uint64_t chunk = self->chunks[self->at];
    size_t size = tensor_chunk_size(&self->form, chunk);
    int result = tensor_open(o, self->name, &found, &form);
    if (result != MLKV_OK)
        return result;
    self->again = found.header.id != self->id || !tensor_form_same(&form, &self->form);
    unsigned char *to = (unsigned char *)self->bytes.data + self->bytes.size; /* reserved */
    return self->again ? MLKV_OK
                       : chunk_read(o, &form, self->id, chunk, 0, size, to, &self->noted[self->at]);
}

static int read_chosen(mlkv *view, folding *self)
{
    int result = MLKV_OK;
    self->bytes.size = 0;
    for (self->at = 0; self->at < self->n && result == MLKV_OK; self->at++) {
        size_t size = tensor_chunk_size(&self->form, self->chunks[self->at]);
        result = buffer_reserve(&self->bytes, self->bytes.size + size);
        if (result == MLKV_OK)
            result = op_read(view, read_rule, self);
        if (result == MLKV_OK && self->again)
            return MLKV_ABSENT;
        self->bytes.size += size;
    }
    return result;
}

static int encode(mlkv *view, folding *self)
{
    prepared_chunk items[STEP_CHUNKS];
    mlkv_slice raws[STEP_CHUNKS];
    const unsigned char *at = self->bytes.data;
    for (size_t i = 0; i < self->n; i++) {
        raws[i] = slice_of(at, self->noted[i].raw_size);
        items[i] = (prepared_chunk){
            self->chunks[i],
            self->noted[i],
            {.checksum = hash_checksum(at, raws[i].size, 0), .raw_size = self->noted[i].raw_size}};
        at += raws[i].size;
    }
    return prepared_add(view, &self->prepared, &self->form, items, raws, self->n,
                        prepared_as_blobs(&self->form, self->bytes.size));
}

/* Puts all that was prepared; or nothing, and says what was changed meanwhile. */
static int swap_rule(op *o, void *context)
{
    folding *self = context;
    entry found;
    tensor_form form;
    mlkv_buffer *scratch = chunk_scratch();
    self->again = false;
    if (scratch == NULL)
        return MLKV_E_MEMORY;
    int result = tensor_open(o, self->name, &found, &form);
    if (result != MLKV_OK)
        return result;
    bool other = found.header.id != self->id || !tensor_form_same(&form, &self->form);
    for (size_t i = 0; i < self->prepared.count && result == MLKV_OK; i++) {
        chunk_head head;
        mlkv_slice cell;
        const prepared_chunk *item = &self->prepared.items[i];
        if (!other)
            result = chunk_note(o, &form, self->id, item->chunk, scratch, &head, &cell);
        self->drop[i] = other || (result == MLKV_OK && !chunk_head_same(&head, &item->noted));
        self->again = self->again || self->drop[i];
    }
    if (result != MLKV_OK || self->again)
        return result != MLKV_OK ? result : MLKV_ABSENT;
    result = prepared_put(o, &self->prepared, &form, self->id, true);
    return result != MLKV_OK ? result : tensor_store(o, &found, &form);
}

/* 0: folded something; MLKV_ABSENT: nothing. */
static int fold_tensor(mlkv *view, folding *self)
{
    int result = op_read(view, choose_rule, self);
    if (result != MLKV_OK || self->n == 0)
        return result != MLKV_OK ? result : MLKV_ABSENT;
    result = read_chosen(view, self);
    if (result == MLKV_OK)
        result = encode(view, self);
    while (result == MLKV_OK && self->prepared.count != 0) {
        result = op_write(view, swap_rule, self);
        if (result != MLKV_ABSENT || !self->again)
            break;
        prepared_drop(view, &self->prepared, self->drop, NULL);
        result = self->prepared.count != 0 ? MLKV_OK : MLKV_ABSENT;
    }
    prepared_done(view, &self->prepared);
    return result;
}

/* --- a step --- */

static _Thread_local record_key
    stopped_at; /* the last Q record of a step that found too many, else empty */

/* Names of tensors, of as many as belong into a step. */
typedef struct {
    due_list names;
    record_key last;
} looking;

static int list_rule(op *o, void *context)
{
    static const unsigned char prefix = RECORD_ROWS_OF;
    looking *self = context;
    scan *walk = NULL;
    mlkv_slice key, value, name;
    self->names.bytes.size = 0;
    self->names.count = 0;
    self->last.size = 0;
    int result = op_scan_open(o, slice_of(&prefix, 1), record_key_slice(&stopped_at), &walk);
    while (result == MLKV_OK && self->names.count < STEP_TENSORS) {
        result = scan_next(walk, &key, &value);
        if (result != MLKV_OK || fold_split(key, value, &name) != MLKV_OK)
            continue;
        result = due_add(&self->names, 0, name);
        if (self->names.count == STEP_TENSORS) {
            memcpy(self->last.bytes, key.data, key.size);
            self->last.size = (uint16_t)key.size;
        }
    }
    scan_close(walk);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

int fold_step(mlkv *view, int64_t quiet_ms)
{
    looking all = {.last.size = 0};
    folding *self = calloc(1, sizeof *self);
    size_t at = 0;
    int64_t unused;
    int result = self == NULL ? error_set_memory("folding rows") : op_read(view, list_rule, &all);
    bool folded = false;
    for (size_t i = 0; i < all.names.count && result == MLKV_OK && !folded; i++) {
        self->quiet_ms = quiet_ms;
        self->name = due_next(&all.names, &at, &unused);
        result = fold_tensor(view, self);
        folded = result == MLKV_OK;
        if (result == MLKV_ABSENT || result == MLKV_E_CORRUPT || result == MLKV_E_TYPE)
            result = MLKV_OK; /* others are folded all the same */
    }
    if (!folded)
        stopped_at = all.last;
    mlkv_buffer_free(&all.names.bytes);
    if (self != NULL)
        mlkv_buffer_free(&self->bytes);
    free(self);
    chunk_scratch_trim();
    return result != MLKV_OK || folded ? result : MLKV_ABSENT;
}

int fold_due(mlkv *view)
{
    static _Thread_local unsigned pause = 1, left;
    if (left != 0) {
        left--;
        return MLKV_ABSENT;
    }
    int result = fold_step(view, QUIET_MS);
    if (result == MLKV_OK) {
        pause = 1;
        return result;
    }
    left = pause;
    pause = pause < PAUSE_MAX ? pause * 2 : PAUSE_MAX;
    return result;
}
