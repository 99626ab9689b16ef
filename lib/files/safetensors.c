/* safetensors.c - importing a safetensors file: its header is checked whole, then its tensors are put from a stream, all at once.
 *
 * State: one `importing` a call: the open file, its header, and for each tensor where its bytes are.
 *
 * Invariants:
 *  1. Nothing is written before the header was accepted (safetensors_header.c), and every key and shape is one that a store takes.
 *  2. All tensors become visible in one step, after the file was found unchanged (types/tensor_stream.c).
 *
 * Locks: none but the rule's.
 */
#include "files/safetensors.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/lock.h"
#include "types/argument.h"
#include "types/tensor_stream.h"

#include <stdlib.h>

typedef struct {
    const file_input *input;
    uint64_t start; /* in the file */
    bool truths;
} tensor_place;

typedef struct {
    file_input input;
    safetensors_header header;
    uint64_t data; /* where it begins */
    mlkv_buffer key_bytes;
    tensor_place *places;
    tensor_stream *streams;
    mlkv_rows keys, metadata;
    mlkv_file_info info;
} importing;

static int read_header_text(importing *self, uint64_t size, mlkv_buffer *text)
{
    void *to = buffer_extend(text, (size_t)size);
    if (size != 0 && to == NULL)
        return error_set_memory("a file's header");
    int result = input_read(&self->input, SAFETENSORS_SIZE, (size_t)size, to);
    if (result == MLKV_OK)
        result =
            safetensors_read(slice_of_buffer(text), self->input.size - self->data, &self->header);
    return result != MLKV_E_FORMAT ? result
                                   : error_set(result, "%.200s: its header is not valid: %s",
                                               self->input.path, mlkv_error_detail());
}

static int read_header(importing *self)
{
    unsigned char bytes[SAFETENSORS_SIZE];
    mlkv_buffer text = {0};
    const file_input *input = &self->input;
    if (input->size < sizeof bytes)
        return error_set(MLKV_E_FORMAT, "%.200s: is no safetensors file: it has %llu bytes",
                         input->path, (unsigned long long)input->size);
    int result = input_read(input, 0, sizeof bytes, bytes);
    if (result != MLKV_OK)
        return result;
    uint64_t size = load_le64(bytes);
    if (size > input->size - sizeof bytes)
        return error_set(
            MLKV_E_FORMAT,
            "%.200s: is no safetensors file: its header would have %llu bytes, and %llu are there",
            input->path, (unsigned long long)size,
            (unsigned long long)(input->size - sizeof bytes));
    if (size > SAFETENSORS_HEADER_MAX)
        return error_set(MLKV_E_FORMAT, "%.200s: its header has %llu bytes, and %d are the most",
                         input->path, (unsigned long long)size, SAFETENSORS_HEADER_MAX);
    self->data = sizeof bytes + size;
    result = read_header_text(self, size, &text);
    mlkv_buffer_free(&text);
    return result;
}

/* --- what is put --- */

static int read_data(void *source, uint64_t offset, size_t size, void *to)
{
    const tensor_place *place = source;
    int result = input_read(place->input, place->start + offset, size, to);
    if (result == MLKV_OK && place->truths)
        result = input_check_truths(place->input, place->start + offset, to, size);
    return result;
}

static int settle(void *context)
{
    return input_check_unchanged(context);
}

/* The keys: the prefix and a name each, one behind another. */
static int make_keys(importing *self, mlkv_slice prefix)
{
    size_t n = safetensors_count(&self->header), room = self->header.strings.size;
    if (__builtin_add_overflow(room, n * prefix.size, &room) ||
        (prefix.size != 0 && n > SIZE_MAX / prefix.size))
        return error_set_memory("the keys of a file");
    int result = buffer_reserve(&self->key_bytes, room + 1); /* so that it does not move */
    for (size_t i = 0; i < n && result == MLKV_OK; i++) {
        mlkv_slice name =
            safetensors_slice(&self->header, safetensors_entry_at(&self->header, i)->name);
        size_t at = self->key_bytes.size;
        result = buffer_append(&self->key_bytes, prefix.data, prefix.size);
        if (result == MLKV_OK)
            result = buffer_append(&self->key_bytes, name.data, name.size);
        self->streams[i].key =
            slice_of((char *)self->key_bytes.data + at, self->key_bytes.size - at);
        if (result == MLKV_OK)
            result = rows_append(&self->keys, self->streams[i].key);
    }
    return result;
}

static int make_streams(importing *self, mlkv_slice prefix)
{
    size_t n = safetensors_count(&self->header);
    self->streams = calloc(n + 1, sizeof *self->streams);
    self->places = calloc(n + 1, sizeof *self->places);
    if (self->streams == NULL || self->places == NULL)
        return error_set_memory("the tensors of a file");
    for (size_t i = 0; i < n; i++) {
        const safetensors_entry *entry = safetensors_entry_at(&self->header, i);
        self->places[i] = (tensor_place){&self->input, self->data + entry->first,
                                         entry->tensor.dtype == MLKV_BOOL};
        self->streams[i] = (tensor_stream){.tensor = entry->tensor, .source = &self->places[i]};
        self->info.bytes += entry->end - entry->first;
    }
    self->info.tensors = n;
    return make_keys(self, prefix);
}

static int list_metadata(importing *self)
{
    const safetensors_text *texts = self->header.metadata.data;
    int result = MLKV_OK;
    for (size_t i = 0; i < self->header.metadata.size / sizeof *texts && result == MLKV_OK; i++) {
        result = rows_append(&self->metadata, safetensors_slice(&self->header, texts[i].name));
        if (result == MLKV_OK)
            result = rows_append(&self->metadata, safetensors_slice(&self->header, texts[i].text));
    }
    return result;
}

static int import_file(mlkv *view, const char *path, mlkv_slice prefix,
                       const mlkv_file_options *options, importing *self)
{
    tensor_stream_options how = {.read = read_data,
                                 .settle = settle,
                                 .context = &self->input,
                                 .chunk_bytes = options->chunk_bytes,
                                 .block_bytes = options->block_bytes,
                                 .contiguous = options->contiguous != 0};
    int result = input_open(path, &self->input);
    if (result == MLKV_OK)
        result = read_header(self);
    if (result == MLKV_OK)
        result = make_streams(self, prefix);
    if (result == MLKV_OK)
        result = list_metadata(self);
    return result != MLKV_OK
               ? result
               : tensor_streams_put(view, self->streams, safetensors_count(&self->header), &how,
                                    &self->info.chunks_written);
}

int mlkv_safetensors_import(mlkv *view, const char *path, mlkv_slice prefix,
                            const mlkv_file_options *options, mlkv_rows *ret_keys,
                            mlkv_rows *ret_metadata, mlkv_file_info *ret_info)
{
    importing self = {.input = {.fd = -1}, .info = {.size = sizeof self.info}};
    mlkv_file_options chosen;
    int result = call_check(view, path, prefix, ret_info);
    if (result == MLKV_OK)
        result = call_options(options, &chosen);
    if (result != MLKV_OK)
        return result;
    int state = cancel_disable();
    result = import_file(view, path, prefix, &chosen, &self);
    if (result == MLKV_OK) {
        rows_finish(&self.keys);
        rows_finish(&self.metadata);
        call_give_rows(&self.keys, ret_keys);
        call_give_rows(&self.metadata, ret_metadata);
        if (ret_info != NULL)
            *ret_info = self.info;
    }
    input_close(&self.input);
    safetensors_done(&self.header);
    mlkv_buffer_free(&self.key_bytes);
    mlkv_rows_free(&self.keys);
    mlkv_rows_free(&self.metadata);
    free(self.streams);
    free(self.places);
    cancel_restore(state);
    return result;
}
