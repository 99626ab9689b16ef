/* tensor_chunk.c - T records: their bytes, reading a part of a chunk, and the scratch memory that
 * reading needs.
 *
 * What stands beside a chunk (tensor_rows.c) is laid over it here, for whoever reads it.
 *
 * Bytes owned: the head of a T value (tensor.h has its table); the cell behind it is codec's.
 *
 * Invariants:
 *  1. The head's raw size is what the form says of that chunk.
 *  2. The checksum is that of the chunk's own raw bytes, however they are stored. It is looked at whenever a
 *     whole chunk is read; a part is covered by the checksums of store, journal and blob pieces.
 *  3. What is kept decoded (op_kept_get) is all of a chunk, compared with its checksum.
 *
 * State: three buffers a thread, made at its first use and freed at its end, so that the steady state
 * does not allocate. Locks: none.
 */
#include "types/tensor.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/hash.h"

#include <pthread.h>
#include <stdlib.h>

_Static_assert(TENSOR_CHUNK_HEAD_SIZE == 8 + 4 + 4, "the T value's head");

enum { SCRATCH_BUFFERS = 3 };
enum { SCRATCH_KEPT_MAX = 4 << 20 }; /* a thread keeps at most this much in each of its buffers */
enum { RAW_AT = TENSOR_CHUNK_HEAD_SIZE + 1 }; /* of a chunk stored raw: behind the cell's kind */

typedef struct {
    mlkv_buffer buffers[SCRATCH_BUFFERS];
} scratch;

static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;
static bool scratch_usable;

static void scratch_free(void *memory)
{
    scratch *self = memory;
    for (int i = 0; i < SCRATCH_BUFFERS; i++)
        mlkv_buffer_free(&self->buffers[i]);
    free(self);
}

static void scratch_make_key(void)
{
    scratch_usable = pthread_key_create(&scratch_key, scratch_free) == 0;
}

mlkv_buffer *chunk_scratch(void)
{
    pthread_once(&scratch_once, scratch_make_key);
    scratch *self = scratch_usable ? pthread_getspecific(scratch_key) : NULL;
    if (self == NULL && scratch_usable) {
        self = calloc(1, sizeof *self);
        if (self != NULL && pthread_setspecific(scratch_key, self) != 0) {
            free(self);
            self = NULL;
        }
    }
    if (self == NULL)
        error_set_memory("a thread's scratch for tensor chunks");
    return self == NULL ? NULL : self->buffers;
}

void chunk_scratch_trim(void)
{
    scratch *self = scratch_usable ? pthread_getspecific(scratch_key) : NULL;
    for (int i = 0; self != NULL && i < SCRATCH_BUFFERS; i++) {
        if (self->buffers[i].capacity > SCRATCH_KEPT_MAX)
            mlkv_buffer_free(&self->buffers[i]);
    }
}

static int corrupt(uint64_t id, uint64_t chunk, const char *what)
{
    return error_set(MLKV_E_CORRUPT, "chunk %llu of the tensor with id %llu %s",
                     (unsigned long long)chunk, (unsigned long long)id, what);
}

int chunk_named(int result, uint64_t chunk)
{
    return result != MLKV_E_CORRUPT ? result
                                    : error_set(result, "chunk %llu: %s", (unsigned long long)chunk,
                                                mlkv_error_detail());
}

int chunk_split(const tensor_form *form, uint64_t id, uint64_t chunk, mlkv_slice value,
                chunk_head *ret_head, mlkv_slice *ret_cell)
{
    const unsigned char *bytes = value.data;
    if (value.size <= TENSOR_CHUNK_HEAD_SIZE)
        return corrupt(id, chunk, "has a record that is too short");
    chunk_head head = {.checksum = load_le64(bytes),
                       .raw_size = load_le32(bytes + 8),
                       .stored_size = load_le32(bytes + 12)};
    mlkv_slice cell = slice_of(bytes + TENSOR_CHUNK_HEAD_SIZE, value.size - TENSOR_CHUNK_HEAD_SIZE);
    if (chunk >= form->chunks || head.raw_size != tensor_chunk_size(form, chunk))
        return corrupt(id, chunk, "has a size that does not fit the shape");
    int kind;
    uint64_t raw_size;
    cell_blob blob;
    int result = chunk_named(cell_inspect(cell, &kind, &raw_size, &blob), chunk);
    if (result == MLKV_OK && raw_size != head.raw_size)
        result = corrupt(id, chunk, "has a cell of another size");
    if (result != MLKV_OK)
        return result;
    *ret_head = head;
    *ret_cell = cell;
    return MLKV_OK;
}

int chunk_get(op *o, const tensor_form *form, uint64_t id, uint64_t chunk, mlkv_buffer *value,
              chunk_head *ret_head, mlkv_slice *ret_cell)
{
    record_key key;
    layout_indexed(RECORD_TENSOR, id, chunk, &key);
    int result = chunk_named(op_get(o, record_key_slice(&key), value), chunk);
    if (result == MLKV_ABSENT)
        return corrupt(id, chunk, "is missing");
    return result < 0 ? result
                      : chunk_split(form, id, chunk, slice_of_buffer(value), ret_head, ret_cell);
}

int chunk_check(const chunk_head *head, uint64_t id, uint64_t chunk, const void *raw)
{
    return hash_checksum(raw, head->raw_size, 0) == head->checksum
               ? MLKV_OK
               : corrupt(id, chunk, "does not have the bytes its checksum was made of");
}

bool chunk_is_packed(const chunk_head *head, mlkv_slice cell)
{
    int kind;
    uint64_t raw_size;
    cell_blob blob;
    if (cell_inspect(cell, &kind, &raw_size, &blob) != MLKV_OK || kind == CELL_RAW)
        return false;
    return kind != CELL_BLOB ||
           (head->stored_size < head->raw_size && head->raw_size <= BLOB_PIECE_SIZE_MAX);
}

/* Decodes all of it: to be kept, if there is room, else into the scratch. */
static int decode_packed(const op *o, const packed_chunk *self, bool keep, chunk_loan *ret_loan)
{
    const op_kept_key key = {self->id, self->chunk, self->head.checksum, self->head.raw_size};
    mlkv_buffer *buffers = chunk_scratch();
    kept_bytes *own = NULL;
    void *to = keep ? op_kept_make(o, &key, &own) : NULL;
    int result = buffers == NULL ? MLKV_E_MEMORY : MLKV_OK;
    if (result == MLKV_OK && to == NULL) {
        result = buffer_reserve(&buffers[1], self->head.raw_size);
        to = buffers[1].data;
    }
    if (result == MLKV_OK)
        result =
            chunk_named(op_cell_read_task(o, self->cell, 0, self->head.raw_size, to), self->chunk);
    if (result == MLKV_OK)
        result = chunk_check(&self->head, self->id, self->chunk, to);
    if (result != MLKV_OK)
        op_kept_end(o, own, false);
    else
        *ret_loan = (chunk_loan){to, own};
    return result;
}

int chunk_borrow(const op *o, const packed_chunk *self, chunk_loan *ret_loan)
{
    const op_kept_key key = {self->id, self->chunk, self->head.checksum, self->head.raw_size};
    kept_bytes *own = NULL;
    bool again;
    const void *found = op_kept_get(o, &key, &own, &again);
    if (found == NULL)
        return decode_packed(o, self, false, ret_loan);
    *ret_loan = (chunk_loan){found, own};
    return MLKV_OK;
}

void chunk_return(const op *o, const chunk_loan *loan)
{
    op_kept_end(o, loan->kept, true);
}

int chunk_copy(const op *o, const packed_chunk *self, const blob_part *parts, size_t n)
{
    const op_kept_key key = {self->id, self->chunk, self->head.checksum, self->head.raw_size};
    kept_bytes *own = NULL;
    bool again = false;
    const void *found = op_kept_get(o, &key, &own, &again);
    chunk_loan loan = {found, own};
    if (found == NULL && !again) {
        int copied = op_cell_parts_task(o, self->cell, parts, n);
        if (copied != MLKV_ABSENT)
            return chunk_named(copied, self->chunk);
    }
    int result = found != NULL ? MLKV_OK : decode_packed(o, self, true, &loan);
    if (result != MLKV_OK)
        return result;
    for (size_t i = 0; i < n; i++)
        memcpy(parts[i].to, loan.raw + parts[i].offset, parts[i].size);
    chunk_return(o, &loan);
    return MLKV_OK;
}

int chunk_note(op *o, const tensor_form *form, uint64_t id, uint64_t chunk, mlkv_buffer *value,
               chunk_head *ret_head, mlkv_slice *ret_cell)
{
    int result = chunk_get(o, form, id, chunk, value, ret_head, ret_cell);
    return result != MLKV_OK ? result
                             : rows_note(&(rows_at){o, form, id, chunk}, NULL, false, ret_head);
}

/* The chunk's own bytes. Of many chunks: tensor_group.c. */
static int read_base(op *o, const tensor_form *form, uint64_t id, uint64_t chunk, uint64_t offset,
                     size_t size, void *to, chunk_head *ret_head)
{
    mlkv_slice cell, raw;
    mlkv_buffer *buffers = chunk_scratch();
    if (buffers == NULL)
        return MLKV_E_MEMORY;
    int result = chunk_get(o, form, id, chunk, &buffers[0], ret_head, &cell);
    if (result != MLKV_OK)
        return result;
    if (cell_borrow(cell, &raw))
        memcpy(to, (const unsigned char *)raw.data + offset, size);
    else if (size < ret_head->raw_size && chunk_is_packed(ret_head, cell))
        result = op_judge(o, chunk_copy(o, &(packed_chunk){id, chunk, *ret_head, cell},
                                        &(blob_part){offset, size, to}, 1));
    else
        result = chunk_named(op_cell_read(o, cell, offset, size, to), chunk);
    if (result == MLKV_OK && size == ret_head->raw_size)
        result = chunk_check(ret_head, id, chunk, to);
    return result;
}

int chunk_read(op *o, const tensor_form *form, uint64_t id, uint64_t chunk, uint64_t offset,
               size_t size, void *to, chunk_head *ret_head)
{
    const rows_at at = {o, form, id, chunk};
    if (form->beside == 0)
        return read_base(o, form, id, chunk, offset, size, to, ret_head);
    uint64_t first = offset / form->row_bytes, count = size / form->row_bytes, found = 0;
    bool whole = size == tensor_chunk_size(form, chunk);
    if (!whole && count <= ROWS_FEW) {
        int looked = rows_lay(&at, first, count, to, &found);
        if (looked != MLKV_OK || found == count)
            return looked;
    }
    int result = read_base(o, form, id, chunk, offset, size, to, ret_head);
    if (result != MLKV_OK)
        return result;
    return whole ? rows_note(&at, to, false, ret_head) : rows_lay(&at, first, count, to, NULL);
}

int chunk_decode(op *o, const chunk_head *head, uint64_t id, uint64_t chunk, mlkv_slice cell,
                 mlkv_buffer *buffer)
{
    buffer->size = 0;
    int result = chunk_named(op_cell_append(o, cell, buffer), chunk);
    return result != MLKV_OK ? result : chunk_check(head, id, chunk, buffer->data);
}

int chunk_take(op *o, const tensor_form *form, uint64_t id, uint64_t chunk, bool needed,
               chunk_head *ret_head, const unsigned char **ret_raw)
{
    mlkv_slice cell, raw = {0};
    mlkv_buffer *buffers = chunk_scratch();
    if (buffers == NULL)
        return MLKV_E_MEMORY;
    int result = chunk_get(o, form, id, chunk, &buffers[0], ret_head, &cell);
    if (result == MLKV_OK && !cell_borrow(cell, &raw)) {
        if (needed) {
            buffers[1].size = 0;
            result = chunk_named(op_cell_append(o, cell, &buffers[1]), chunk);
            raw = slice_of_buffer(&buffers[1]);
        }
        if (result == MLKV_OK)
            result = op_cell_release(o, cell);
    }
    *ret_raw = raw.data;
    if (result != MLKV_OK || form->beside == 0)
        return result;
    /* raw is in one of the buffers, which are ours to write to */
    unsigned char *to = needed ? (unsigned char *)(uintptr_t)raw.data : NULL;
    return rows_note(&(rows_at){o, form, id, chunk}, to, true, ret_head);
}

int chunk_reserve_raw(op *o, uint64_t id, uint64_t chunk, size_t size, unsigned char **ret_raw)
{
    record_key key;
    void *memory;
    layout_indexed(RECORD_TENSOR, id, chunk, &key);
    int result = op_put_reserve(o, record_key_slice(&key), RAW_AT + size, &memory);
    if (result == MLKV_OK)
        *ret_raw = (unsigned char *)memory + RAW_AT;
    return result;
}

uint32_t chunk_finish_raw(unsigned char *raw, size_t size)
{
    chunk_head head = {.checksum = hash_checksum(raw, size, 0),
                       .raw_size = (uint32_t)size,
                       .stored_size = (uint32_t)(RAW_AT - TENSOR_CHUNK_HEAD_SIZE + size)};
    chunk_write_head(&head, raw - RAW_AT);
    raw[-1] = CELL_RAW;
    return head.stored_size;
}

void chunk_write_head(const chunk_head *head, unsigned char ret_bytes[TENSOR_CHUNK_HEAD_SIZE])
{
    store_le64(ret_bytes, head->checksum);
    store_le32(ret_bytes + 8, head->raw_size);
    store_le32(ret_bytes + 12, head->stored_size);
}
