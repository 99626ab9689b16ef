/* tensor_stream.c - several whole tensors put at once, from a source that is read piece by piece.
 *
 * The way is that of a put from memory (tensor_put.c), with one pass over the bytes: a chunk is read,
 * compared by its checksum with the one that was noted, and stays in the group if it differs. A full
 * group is encoded, as blobs from HELD_BYTES_MAX on. In the end one rule puts all tensors. If one of
 * them finds that a chunk is missing (others wrote meanwhile), the rule fails as a whole and has put
 * nothing; the missing chunks are read again.
 *
 * A group is of one dtype, and goes over the ends of tensors: so a thousand small ones share LMDB
 * commits. Its chunks are partitioned when it is encoded: those that are worth a blob, and the others.
 *
 * State: one `streaming` a call.
 *
 * Invariants:
 *  1. A member of the group is encoded, or about to be: encoded[c] is set, and heads[c] is of the bytes
 *     in the group's memory.
 *  2. A chunk that is read again has the checksum that it had, or the source has changed and all is
 *     given up.
 *  3. What has been encoded is in its tensor's prepared list, or in none and freed.
 *
 * Locks: none but the rule's.
 */
#include "types/tensor_stream.h"

#include "base/bytes.h"
#include "base/error.h"
#include "base/hash.h"
#include "types/tensor_put.h"

#include <stdlib.h>

enum {
    HELD_BYTES_MAX =
        8
        << 20, /* raw bytes of what is held encoded in memory; what is more goes to LMDB at once */
    GROUP_CHUNKS = 1024, /* that share LMDB commits */
};

typedef struct {
    size_t tensor;
    uint64_t chunk;
    size_t at, size; /* in the group's memory */
} group_member;

typedef struct {
    tensor_putting *tensors;
    size_t n;
    const tensor_stream *streams;
    const tensor_stream_options *options;
    bool read_once; /* every chunk has been */
    unsigned char *memory;
    size_t capacity, used;
    group_member *members;
    size_t count;
    uint64_t held_bytes;
} streaming;

static int make_form(const tensor_stream *stream, const tensor_stream_options *options,
                     tensor_form *ret_form)
{
    size_t bytes = options->chunk_bytes;
    if (bytes == 0)
        bytes = tensor_chunk_default(options->contiguous);
    if (bytes > TENSOR_CHUNK_BYTES_MAX)
        return error_set(MLKV_E_ARGUMENT, "chunk_bytes is %zu, at most %d is possible", bytes,
                         TENSOR_CHUNK_BYTES_MAX);
    return tensor_form_make(&stream->tensor, bytes, options->contiguous, ret_form);
}

/* All that can be said before anything is read. */
static int check_all(mlkv *view, const streaming *self)
{
    tensor_form form;
    int result = MLKV_OK;
    for (size_t i = 0; i < self->n && result == MLKV_OK; i++) {
        result = tensor_check_arguments(view, self->streams[i].key);
        if (result == MLKV_OK)
            result = make_form(&self->streams[i], self->options, &form);
    }
    return result;
}

static int open_all(mlkv *view, streaming *self)
{
    self->tensors = calloc(self->n + 1, sizeof *self->tensors);
    self->members = calloc(GROUP_CHUNKS, sizeof *self->members);
    self->capacity = self->options->block_bytes;
    self->memory = malloc(self->capacity + 1);
    if (self->tensors == NULL || self->members == NULL || self->memory == NULL)
        return error_set_memory("the tensors of a stream");
    int result = check_all(view, self);
    for (size_t i = 0; i < self->n && result == MLKV_OK; i++) {
        tensor_putting *tensor = &self->tensors[i];
        tensor->key = self->streams[i].key;
        tensor->persist = true;
        result = make_form(&self->streams[i], self->options, &tensor->form);
        if (result == MLKV_OK)
            result = putting_open(tensor);
        if (result == MLKV_OK)
            result = putting_note(view, tensor);
    }
    return result;
}

/* --- the group --- */

static bool worth_a_blob(const streaming *self, const group_member *member)
{
    return prepared_as_blobs(&self->tensors[member->tensor].form, UINT64_MAX);
}

/* Gives what was encoded to the tensors, run by run. */
static int give(streaming *self, const size_t *which, size_t n, prepared_chunks *batch)
{
    int result = MLKV_OK;
    for (size_t first = 0, end; first < n && result == MLKV_OK; first = end) {
        size_t tensor = self->members[which[first]].tensor;
        for (end = first + 1; end < n && self->members[which[end]].tensor == tensor;)
            end++;
        result = prepared_move(batch, first, end - first, &self->tensors[tensor].prepared);
    }
    return result;
}

/* Encodes the members that are, or are not, to be blobs. */
static int encode_some(mlkv *view, streaming *self, bool as_blobs, bool any)
{
    size_t n = 0;
    prepared_chunks batch = {0};
    prepared_chunk *items = calloc(self->count, sizeof *items);
    mlkv_slice *raws = calloc(self->count, sizeof *raws);
    size_t *which = calloc(self->count, sizeof *which);
    int result = MLKV_OK;
    if (items == NULL || raws == NULL || which == NULL) {
        result = error_set_memory("a tensor's chunks");
        goto done;
    }
    for (size_t i = 0; i < self->count; i++) {
        const group_member *member = &self->members[i];
        const tensor_putting *tensor = &self->tensors[member->tensor];
        if (!any && worth_a_blob(self, member) != as_blobs)
            continue;
        items[n] = (prepared_chunk){member->chunk, tensor->noted[member->chunk],
                                    tensor->heads[member->chunk]};
        raws[n] = slice_of(self->memory + member->at, member->size);
        which[n++] = i;
    }
    if (n != 0)
        result = prepared_add(view, &batch, &self->tensors[self->members[0].tensor].form, items,
                              raws, n, as_blobs);
    if (result == MLKV_OK)
        result = give(self, which, n, &batch);
done:
    prepared_done(view, &batch);
    free(items);
    free(raws);
    free(which);
    return result;
}

static int flush(mlkv *view, streaming *self)
{
    int result = MLKV_OK;
    if (self->count == 0)
        return MLKV_OK;
    if (self->held_bytes + self->used <= HELD_BYTES_MAX) {
        self->held_bytes += self->used;
        result = encode_some(view, self, false, true);
    } else {
        result = encode_some(view, self, true, false);
        if (result == MLKV_OK)
            result = encode_some(view, self, false, false);
    }
    self->count = self->used = 0;
    return result;
}

/* Room for one more chunk of this tensor. */
static int make_room(mlkv *view, streaming *self, size_t tensor, size_t size)
{
    bool other = self->count != 0 && self->tensors[self->members[0].tensor].form.tensor.dtype !=
                                         self->tensors[tensor].form.tensor.dtype;
    int result = MLKV_OK;
    if (other || self->count == GROUP_CHUNKS || size > self->capacity - self->used)
        result = flush(view, self);
    if (result != MLKV_OK || size <= self->capacity - self->used)
        return result;
    unsigned char *memory = realloc(self->memory, size);
    if (memory == NULL)
        return error_set_memory("a tensor's chunk");
    self->memory = memory;
    self->capacity = size;
    return MLKV_OK;
}

static int take_chunk(mlkv *view, streaming *self, size_t i, uint64_t chunk, bool all)
{
    tensor_putting *tensor = &self->tensors[i];
    chunk_head *head = &tensor->heads[chunk];
    uint64_t offset = chunk * tensor->form.chunk_rows * tensor->form.row_bytes;
    int result = make_room(view, self, i, head->raw_size);
    unsigned char *to = self->memory + self->used;
    if (result == MLKV_OK)
        result = self->options->read(self->streams[i].source, offset, head->raw_size, to);
    if (result != MLKV_OK)
        return result;
    uint64_t checksum = hash_checksum(to, head->raw_size, 0);
    if (self->read_once && checksum != head->checksum)
        return error_set(MLKV_E_IO, "the data of tensor '%s' were changed while they were read",
                         error_quote(tensor->key.data, tensor->key.size));
    head->checksum = checksum;
    if (!putting_must_encode(tensor, chunk, all))
        return MLKV_OK;
    self->members[self->count++] = (group_member){i, chunk, self->used, head->raw_size};
    self->used += head->raw_size;
    tensor->encoded[chunk] = true;
    return MLKV_OK;
}

/* Reads what was not read before, or must be encoded, and encodes it. */
static int read_all(mlkv *view, streaming *self, bool all)
{
    int result = MLKV_OK;
    for (size_t i = 0; i < self->n && result == MLKV_OK; i++) {
        tensor_putting *tensor = &self->tensors[i];
        for (uint64_t chunk = 0; chunk < tensor->form.chunks && result == MLKV_OK; chunk++) {
            if (!self->read_once || putting_must_encode(tensor, chunk, all))
                result = take_chunk(view, self, i, chunk, all);
        }
    }
    if (result == MLKV_OK)
        result = flush(view, self);
    self->read_once = true;
    return result;
}

/* --- the end --- */

static int streams_rule(op *o, void *context)
{
    streaming *self = context;
    bool again = false;
    for (size_t i = 0; i < self->n; i++) {
        int result = putting_rule(o, &self->tensors[i]);
        if (result < 0)
            return result;
        again = again || self->tensors[i].again;
    }
    return again ? error_set(MLKV_E_BUSY, "the tensors were changed by others again and again")
                 : MLKV_OK;
}

static bool is_again(const streaming *self)
{
    for (size_t i = 0; i < self->n; i++)
        if (self->tensors[i].again)
            return true;
    return false;
}

static int run(mlkv *view, streaming *self)
{
    for (int round = 0;; round++) {
        int result = read_all(view, self, round >= PUTTING_ROUNDS_MAX);
        if (result == MLKV_OK && self->options->settle != NULL)
            result = self->options->settle(self->options->context);
        if (result != MLKV_OK)
            return result;
        for (size_t i = 0; i < self->n; i++)
            self->tensors[i].again = false; /* the rule may not come to run */
        result = op_write(view, streams_rule, self);
        if (result != MLKV_E_BUSY || !is_again(self))
            return result;
    }
}

int tensor_streams_put(mlkv *view, const tensor_stream *streams, size_t n,
                       const tensor_stream_options *options, uint64_t *ret_chunks_written)
{
    streaming self = {.streams = streams, .n = n, .options = options};
    uint64_t written = 0;
    int result = open_all(view, &self);
    if (result == MLKV_OK)
        result = run(view, &self);
    for (size_t i = 0; i < n && self.tensors != NULL; i++) {
        written += self.tensors[i].prepared.count;
        putting_done(view, &self.tensors[i]);
    }
    free(self.tensors);
    free(self.members);
    free(self.memory);
    if (result == MLKV_OK)
        *ret_chunks_written = written;
    return result;
}
