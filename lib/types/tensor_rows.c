/* tensor_rows.c - rows of a tensor that stand beside their chunks: looked up, laid over the chunk's
 * bytes, compared, deleted.
 *
 * A change of few rows would rewrite the chunks that they lie in, a thousand times as much as it
 * changes. So it puts the rows alone (tensor_change_rows.c): P records, which count in place of what
 * the chunk holds. Whoever writes the chunk whole folds them into it: another change, a put, or the
 * background (tensor_rows_fold.c).
 *
 * Bytes owned: P records. Key: id(8) chunk(8) row in the chunk(8); value: the row's bytes.
 *
 * Invariants:
 *  1. form->beside is the number of the life's P records. A tensor without any is read as ever: every
 *     function here returns at once.
 *  2. A chunk is never put without its P records being deleted in the same rule, so none of them is
 *     older than its chunk.
 *  3. Two chunks with equal checksums, and equal checksums of what is beside them, mean the same bytes.
 *
 * A few rows are looked up one by one, which the cache answers; more, or all of a chunk, by a scan,
 * which costs some microseconds, and 50 ns a row. Locks: none; everything happens inside a rule.
 */
#include "types/tensor.h"

#include "base/bytes.h"
#include "base/error.h"
#include "base/hash.h"

enum { ID_AT = 1, CHUNK_AT = 9, ROW_AT = 17 };

int rows_split(const tensor_form *form, mlkv_slice key, mlkv_slice value, uint64_t *ret_chunk,
               uint64_t *ret_row)
{
    const unsigned char *bytes = key.data;
    if (key.size != LAYOUT_ROW_KEY_SIZE)
        return error_set(MLKV_E_CORRUPT, "the record key of a tensor's row has %zu bytes",
                         key.size);
    uint64_t id = load_be64(bytes + ID_AT), chunk = load_be64(bytes + CHUNK_AT);
    uint64_t row = load_be64(bytes + ROW_AT);
    bool stands = form->row_bytes != 0 && chunk < form->chunks &&
                  row < tensor_chunk_size(form, chunk) / form->row_bytes;
    if (!stands || value.size != form->row_bytes)
        return error_set(MLKV_E_CORRUPT, "row %llu beside chunk %llu of the tensor with id %llu %s",
                         (unsigned long long)row, (unsigned long long)chunk, (unsigned long long)id,
                         stands ? "has another size than the shape says" : "is not in the shape");
    *ret_chunk = chunk;
    *ret_row = row;
    return MLKV_OK;
}

bool rows_may_stand(const tensor_form *form, uint64_t chunk, uint64_t count)
{
    size_t size = tensor_chunk_size(form, chunk);
    return form->row_bytes != 0 && form->row_bytes <= TENSOR_ROW_BESIDE_MAX &&
           size >= TENSOR_ROW_BESIDE_CHUNK_MIN &&
           count <=
               size / TENSOR_ROW_BESIDE_PART / (form->row_bytes + (uint64_t)TENSOR_ROW_OVERHEAD);
}

int rows_get(const rows_at *at, uint64_t row, mlkv_slice *ret_bytes)
{
    record_key key;
    uint64_t chunk;
    if (at->form->beside == 0)
        return MLKV_ABSENT;
    layout_row(at->id, at->chunk, row, &key);
    int result = op_borrow(at->o, record_key_slice(&key), ret_bytes);
    return result != MLKV_OK
               ? result
               : rows_split(at->form, record_key_slice(&key), *ret_bytes, &chunk, &row);
}

int rows_each(const rows_at *at, uint64_t first, rows_visit visit, void *context)
{
    record_key prefix, after;
    scan *walk = NULL;
    mlkv_slice key, value;
    uint64_t chunk, row;
    if (at->form->beside == 0)
        return MLKV_OK;
    layout_indexed(RECORD_ROW, at->id, at->chunk, &prefix);
    layout_row(at->id, at->chunk, first - 1, &after);
    int result = op_scan_open(at->o, record_key_slice(&prefix),
                              first != 0 ? record_key_slice(&after) : slice_of(NULL, 0), &walk);
    while (result == MLKV_OK) {
        result = scan_next(walk, &key, &value);
        if (result == MLKV_OK)
            result = rows_split(at->form, key, value, &chunk, &row);
        if (result == MLKV_OK)
            result = visit(at->o, context, key, row, value.data);
    }
    scan_close(walk);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

typedef struct {
    uint64_t first, count; /* rows that are wanted */
    size_t row_bytes;
    unsigned char *to;
    uint64_t found, checksum;
    bool remove;
} laying;

static int lay(op *o, void *context, mlkv_slice key, uint64_t row, const unsigned char *bytes)
{
    laying *self = context;
    if (row - self->first >= self->count)
        return MLKV_ABSENT;
    if (self->to != NULL)
        memcpy(self->to + (row - self->first) * self->row_bytes, bytes, self->row_bytes);
    self->found++;
    return self->remove ? op_delete(o, key) : MLKV_OK;
}

static int lay_noted(op *o, void *context, mlkv_slice key, uint64_t row, const unsigned char *bytes)
{
    laying *self = context;
    uint64_t seed = (self->checksum ^ row) * UINT64_C(0x9e3779b97f4a7c15);
    self->checksum = hash_checksum(bytes, self->row_bytes, seed) | 1; /* 0 means: none */
    return lay(o, context, key, row, bytes);
}

static int lay_few(const rows_at *at, laying *self)
{
    mlkv_slice bytes;
    for (uint64_t i = 0; i < self->count; i++) {
        int result = rows_get(at, self->first + i, &bytes);
        if (result < 0)
            return result;
        if (result == MLKV_OK) {
            memcpy(self->to + i * self->row_bytes, bytes.data, self->row_bytes);
            self->found++;
        }
    }
    return MLKV_OK;
}

int rows_lay(const rows_at *at, uint64_t first, uint64_t count, unsigned char *to,
             uint64_t *ret_found)
{
    laying self = {
        .first = first, .count = count, .row_bytes = (size_t)at->form->row_bytes, .to = to};
    int result = MLKV_OK;
    if (at->form->beside != 0)
        result = count <= ROWS_FEW ? lay_few(at, &self) : rows_each(at, first, lay, &self);
    if (ret_found != NULL)
        *ret_found = self.found;
    return result;
}

int rows_note(const rows_at *at, unsigned char *to, bool remove, chunk_head *head)
{
    laying self = {
        .count = UINT64_MAX, .row_bytes = (size_t)at->form->row_bytes, .to = to, .remove = remove};
    int result = rows_each(at, 0, lay_noted, &self);
    head->beside = self.found;
    head->beside_checksum = self.checksum;
    return result;
}
