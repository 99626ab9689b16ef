/* tensor_put.c - storing a whole tensor, of which only the chunks that changed are written.
 *
 * The way of a put:
 *   1. Outside the lock, note the heads of the chunks that stand there, if they have the same form
 *      (a hint only).
 *   2. Outside the lock, encode the chunks whose checksum or size differs; many of them, or large
 *      ones, become blobs.
 *   3. In the rule: if the same form still stands there, and each chunk that was not encoded with
 *      the same checksum, put the encoded ones, version + 1. If not, mark the missing ones, put
 *      nothing, and begin again at 2. That nothing changed since 1 is seen from id and version. A
 *      chunk with rows beside it (tensor_rows.c) counts as changed.
 *      If another form stands there, or nothing, all chunks must have been encoded; the old life is
 *      left to the cleaner and a new one begins.
 * Each round encodes more chunks, so it ends at the latest when all are; after PUTTING_ROUNDS_MAX all are
 * encoded at once.
 *
 * State: one `tensor_putting` a call, which a put from a stream (tensor_stream.c) has for each tensor.
 *
 * Invariants:
 *  1. encoded[c] == true: exactly one prepared item has chunk c.
 *
 * Locks: none but the rule's.
 */
#include "types/tensor_put.h"

#include "base/bytes.h"
#include "base/error.h"
#include "base/hash.h"

#include <stdlib.h>

enum {
    NOTED_AT_ONCE = 256, /* chunk heads read in one operation: a hint need not be of one moment */
    GROUP_CHUNKS = 1024, /* chunks that share LMDB commits */
    GROUP_BYTES = 32 << 20, /* of raw bytes */
};

/* Rule: notes the heads of chunks [note_from, note_end). */
static int note_rule(op *o, void *context)
{
    tensor_putting *self = context;
    entry found;
    tensor_form form;
    mlkv_buffer *scratch = chunk_scratch();
    if (scratch == NULL)
        return MLKV_E_MEMORY;
    int result = tensor_open(o, self->key, &found, &form);
    if (result != MLKV_OK || !tensor_form_same(&form, &self->form)) {
        self->noted_life = false;
        return result == MLKV_OK ? MLKV_ABSENT : result;
    }
    if (self->note_from == 0) {
        self->noted_life = true;
        self->noted_id = found.header.id;
        self->noted_version = form.version;
    } else if (self->noted_id != found.header.id || self->noted_version != form.version) {
        self->noted_life = false;
    }
    for (uint64_t chunk = self->note_from; chunk < self->note_end && result == MLKV_OK; chunk++) {
        mlkv_slice cell;
        result = chunk_note(o, &form, found.header.id, chunk, scratch, &self->noted[chunk], &cell);
        if (result == MLKV_OK && !chunk_is_settled(&form, cell))
            self->noted[chunk] = (chunk_head){0};
    }
    return result;
}

int putting_note(mlkv *view, tensor_putting *self)
{
    int result = MLKV_OK;
    uint64_t from = 0;
    do {
        self->note_from = from;
        self->note_end =
            self->form.chunks - from < NOTED_AT_ONCE ? self->form.chunks : from + NOTED_AT_ONCE;
        result = op_read(view, note_rule, self);
        from = self->note_end;
    } while (result == MLKV_OK && from < self->form.chunks);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

bool putting_must_encode(const tensor_putting *self, uint64_t chunk, bool all)
{
    if (self->encoded[chunk])
        return false;
    return all || self->wanted[chunk] || !chunk_head_same(&self->noted[chunk], &self->heads[chunk]);
}

static mlkv_slice raw_of(const tensor_putting *self, uint64_t chunk)
{
    return slice_of(self->data + chunk * self->form.chunk_rows * self->form.row_bytes,
                    self->heads[chunk].raw_size);
}

/* Encodes what must be, group by group. */
static int encode(mlkv *view, tensor_putting *self, bool all)
{
    uint64_t total = 0;
    int result = MLKV_OK;
    for (uint64_t chunk = 0; chunk < self->form.chunks; chunk++)
        total += putting_must_encode(self, chunk, all) ? self->heads[chunk].raw_size : 0;
    if (total == 0)
        return MLKV_OK;
    bool as_blobs = prepared_as_blobs(&self->form, total) ||
                    (self->shareable && prepared_shareable(&self->form));
    prepared_chunk *group = calloc(GROUP_CHUNKS, sizeof *group);
    mlkv_slice *raws = calloc(GROUP_CHUNKS, sizeof *raws);
    if (group == NULL || raws == NULL)
        result = error_set_memory("a tensor's chunks");
    for (uint64_t chunk = 0; chunk < self->form.chunks && result == MLKV_OK;) {
        size_t n = 0, bytes = 0;
        for (; chunk < self->form.chunks && n < GROUP_CHUNKS && bytes < GROUP_BYTES; chunk++) {
            if (!putting_must_encode(self, chunk, all))
                continue;
            group[n] = (prepared_chunk){chunk, self->noted[chunk], self->heads[chunk]};
            raws[n] = raw_of(self, chunk);
            bytes += raws[n++].size;
            self->encoded[chunk] = true;
        }
        result = prepared_add(view, &self->prepared, &self->form, group, raws, n, as_blobs);
    }
    free(group);
    free(raws);
    return result;
}

/* Marks the chunks that were not encoded and do not stand there as they must. */
static int find_wanted(op *o, tensor_putting *self, const tensor_form *form, const entry *found)
{
    mlkv_buffer *scratch = chunk_scratch();
    int result = scratch == NULL ? MLKV_E_MEMORY : MLKV_OK;
    for (uint64_t chunk = 0; chunk < form->chunks && result == MLKV_OK; chunk++) {
        chunk_head head;
        mlkv_slice cell;
        if (self->encoded[chunk])
            continue;
        result = chunk_note(o, form, found->header.id, chunk, scratch, &head, &cell);
        if (result == MLKV_OK &&
            (!chunk_is_settled(form, cell) || !chunk_head_same(&head, &self->heads[chunk]))) {
            self->wanted[chunk] = true;
            self->again = true;
        }
    }
    return result;
}

static int put_over(op *o, tensor_putting *self, entry *found, tensor_form *form)
{
    bool stands = self->noted_life && self->noted_id == found->header.id &&
                  self->noted_version == form->version;
    int result = stands ? MLKV_OK : find_wanted(o, self, form, found);
    if (result != MLKV_OK)
        return result;
    if (self->again)
        return MLKV_ABSENT;
    if (self->persist)
        found->header.expiry_ms = 0;
    form->version++;
    result = prepared_put(o, &self->prepared, form, found->header.id, true);
    return result != MLKV_OK ? result : tensor_store(o, found, form);
}

static int put_new(op *o, tensor_putting *self, entry *found, bool exists)
{
    if (self->prepared.count != self->form.chunks) {
        for (uint64_t chunk = 0; chunk < self->form.chunks; chunk++)
            self->wanted[chunk] = true;
        self->again = true;
        return MLKV_ABSENT;
    }
    int result = exists ? entry_remove(o, found) : MLKV_OK;
    if (result == MLKV_OK)
        result = entry_create(o, found, TYPE_TENSOR);
    if (result != MLKV_OK)
        return result;
    tensor_form form = self->form;
    form.version = 1;
    result = prepared_put(o, &self->prepared, &form, found->header.id, false);
    return result != MLKV_OK ? result : tensor_store(o, found, &form);
}

int putting_rule(op *o, void *context)
{
    tensor_putting *self = context;
    entry found;
    tensor_form form;
    self->again = false;
    int result = tensor_open(o, self->key, &found, &form);
    if (result < 0)
        return result;
    if (result == MLKV_OK && tensor_form_same(&form, &self->form))
        return put_over(o, self, &found, &form);
    return put_new(o, self, &found, result == MLKV_OK);
}

/* Task: the checksum of a chunk's new bytes. */
static int look(void *context, size_t chunk)
{
    tensor_putting *self = context;
    mlkv_slice raw = raw_of(self, chunk);
    self->heads[chunk].checksum = hash_checksum(raw.data, raw.size, 0);
    return MLKV_OK;
}

int putting_open(tensor_putting *self)
{
    size_t n = (size_t)self->form.chunks + 1; /* calloc(0) may be NULL */
    self->heads = calloc(n, sizeof *self->heads);
    self->noted = calloc(n, sizeof *self->noted);
    self->encoded = calloc(n, sizeof *self->encoded);
    self->wanted = calloc(n, sizeof *self->wanted);
    if (self->heads == NULL || self->noted == NULL || self->encoded == NULL || self->wanted == NULL)
        return error_set_memory("a tensor's chunks");
    for (uint64_t chunk = 0; chunk < self->form.chunks; chunk++)
        self->heads[chunk].raw_size = (uint32_t)tensor_chunk_size(&self->form, chunk);
    return MLKV_OK;
}

void putting_done(mlkv *view, tensor_putting *self)
{
    prepared_done(view, &self->prepared);
    free(self->heads);
    free(self->noted);
    free(self->encoded);
    free(self->wanted);
    chunk_scratch_trim();
}

/* A program that was built before mlkv_tensor_options grew says this. */
enum { OPTIONS_SIZE_FIRST = offsetof(mlkv_tensor_options, contiguous) };

/* The options with their defaults. */
static int read_options(const mlkv_tensor_options *given, mlkv_tensor_options *ret_options)
{
    mlkv_tensor_options options = {.size = sizeof options};
    if (given != NULL && given->size < OPTIONS_SIZE_FIRST)
        return error_set(MLKV_E_ARGUMENT, "mlkv_tensor_options has size %zu, at least %d is needed",
                         given->size, (int)OPTIONS_SIZE_FIRST);
    const unsigned char *bytes = (const unsigned char *)given;
    for (size_t i = sizeof options; given != NULL && i < given->size; i++) {
        if (bytes[i] != 0)
            return error_set(
                MLKV_E_ARGUMENT,
                "mlkv_tensor_options sets an option that this library does not know (byte %zu)", i);
    }
    if (given != NULL)
        memcpy(&options, given, given->size < sizeof options ? given->size : sizeof options);
    if (options.chunk_bytes > TENSOR_CHUNK_BYTES_MAX)
        return error_set(MLKV_E_ARGUMENT, "chunk_bytes is %zu, at most %d is possible",
                         options.chunk_bytes, TENSOR_CHUNK_BYTES_MAX);
    if (options.contiguous > 1)
        return error_set(MLKV_E_ARGUMENT, "contiguous is %zu, neither 0 nor 1", options.contiguous);
    if (options.chunk_bytes == 0)
        options.chunk_bytes = tensor_chunk_default(options.contiguous != 0);
    *ret_options = options;
    return MLKV_OK;
}

static int put_run(mlkv *view, tensor_putting *self, const mlkv_tensor *tensor,
                   const mlkv_tensor_options *options)
{
    mlkv_tensor_options chosen = {.size = 0};
    int result = tensor_check_arguments(view, self->key);
    if (result == MLKV_OK && tensor == NULL)
        result = error_set(MLKV_E_ARGUMENT, "the tensor's description is NULL");
    if (result == MLKV_OK)
        result = read_options(options, &chosen);
    if (result == MLKV_OK)
        result = tensor_form_make(tensor, chosen.chunk_bytes, chosen.contiguous != 0, &self->form);
    if (result == MLKV_OK && self->data == NULL && self->form.raw_bytes != 0)
        result = error_set(MLKV_E_ARGUMENT, "the data of %s is NULL", tensor_text(tensor));
    if (result != MLKV_OK)
        return result;
    result = putting_open(self);
    if (result == MLKV_OK)
        result = op_share(view, self->form.raw_bytes, look, self, (size_t)self->form.chunks);
    if (result == MLKV_OK)
        result = putting_note(view, self);
    for (int round = 0; result == MLKV_OK; round++) {
        result = encode(view, self, round >= PUTTING_ROUNDS_MAX);
        if (result == MLKV_OK)
            result = op_write(view, putting_rule, self);
        if (!self->again)
            break;
        result = result == MLKV_ABSENT ? MLKV_OK : result;
    }
    return result;
}

int mlkv_tensor_put(mlkv *view, mlkv_slice key, const mlkv_tensor *tensor, const void *data,
                    const mlkv_tensor_options *options)
{
    return mlkv_tensor_put_counted(view, key, tensor, data, options, NULL);
}

int mlkv_tensor_put_counted(mlkv *view, mlkv_slice key, const mlkv_tensor *tensor, const void *data,
                            const mlkv_tensor_options *options, uint64_t *ret_chunks_written)
{
    tensor_putting self = {.key = key, .data = data};
    int result = put_run(view, &self, tensor, options);
    if (result == MLKV_OK && ret_chunks_written != NULL)
        *ret_chunks_written = self.prepared.count;
    putting_done(view, &self);
    return result;
}

int tensor_put_shareable(mlkv *view, mlkv_slice key, const mlkv_tensor *tensor, const void *data,
                         const mlkv_tensor_options *options, uint64_t *ret_chunks_written,
                         uint64_t *ret_bytes_written)
{
    tensor_putting self = {.key = key, .data = data, .shareable = true};
    uint64_t bytes = 0;
    int result = put_run(view, &self, tensor, options);
    for (size_t i = 0; i < self.prepared.count; i++)
        bytes += self.prepared.items[i].head.stored_size;
    *ret_chunks_written = self.prepared.count;
    *ret_bytes_written = bytes;
    putting_done(view, &self);
    return result;
}
