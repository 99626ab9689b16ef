/* verify_blobs.c - the part of mlkv_verify that knows blobs: pieces, who refers to them, how often.
 *
 * A blob's records: B (pieces, decoded here and compared with their checksums), R (number of
 * references) or W (waiting for the cleaner), N (noted by the session that wrote it). In key order
 * B comes first, then the cells of E, K and L, then N and R, the cells of T, and W: so each cell is
 * compared with the pieces found, and the counts only at the end.
 *
 * What is no problem: a noted blob without references, whole or in part (being written, or left by
 * a crash); a waste blob in part (being deleted). Both count as unclaimed.
 *
 * Locks: none.
 */
#include "types/verify.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"

enum { ID_KEY_SIZE = 9, PIECE_KEY_SIZE = 13, PIECE_RAW_SIZE_AT = 20 };

static verify_blob *take(verifier *self, uint64_t id)
{
    verify_blob *blob = id_map_take(&self->blobs, id);
    if (blob == NULL)
        error_set_memory("what is known of blobs");
    return blob;
}

/* Decodes it, so that its checksum is compared. */
static int decode_piece(verifier *self, uint64_t id, uint32_t piece, mlkv_slice value,
                        uint32_t *ret_raw_size)
{
    if (value.size < BLOB_HEADER_SIZE)
        return error_set(MLKV_E_CORRUPT, "piece %u of blob %llu is shorter than its header", piece,
                         (unsigned long long)id);
    uint32_t raw_size = load_le32((const unsigned char *)value.data + PIECE_RAW_SIZE_AT);
    if (raw_size == 0 || raw_size > BLOB_PIECE_SIZE_MAX)
        return error_set(MLKV_E_CORRUPT, "piece %u of blob %llu says that it has %u bytes", piece,
                         (unsigned long long)id, raw_size);
    int result = buffer_reserve(&self->raw, raw_size);
    if (result == MLKV_OK)
        result = blob_piece_decode(id, piece, value, self->raw.data, raw_size);
    *ret_raw_size = raw_size;
    return result;
}

int verify_blob_piece(verifier *self, mlkv_slice key, mlkv_slice value)
{
    if (key.size != PIECE_KEY_SIZE)
        return verify_problem(self, "record '%s' is no piece of a blob",
                              error_quote(key.data, key.size));
    uint64_t id = load_be64((const unsigned char *)key.data + 1);
    uint32_t piece = load_be32((const unsigned char *)key.data + 9), raw_size = 0;
    verify_blob *blob = take(self, id);
    if (blob == NULL)
        return MLKV_E_MEMORY;
    int result = decode_piece(self, id, piece, value, &raw_size);
    bool good = result == MLKV_OK;
    if (blob->pieces == 0)
        blob->piece_size = raw_size;
    bool fits = piece == blob->pieces && raw_size <= blob->piece_size &&
                (piece == 0 || blob->last_size == blob->piece_size);
    blob->broken = blob->broken || !good || !fits;
    blob->has_pieces = true;
    blob->last_size = raw_size;
    blob->pieces++;
    blob->size += raw_size;
    return verify_result(self, key, result);
}

int verify_blob_id(verifier *self, mlkv_slice key, mlkv_slice value)
{
    const unsigned char *bytes = key.data;
    if (key.size != ID_KEY_SIZE || value.size != (bytes[0] == RECORD_WASTE ? 0 : 8))
        return verify_problem(self, "record '%s' has a wrong size",
                              error_quote(key.data, key.size));
    verify_blob *blob = take(self, load_be64(bytes + 1));
    if (blob == NULL)
        return MLKV_E_MEMORY;
    if (bytes[0] == RECORD_WASTE) {
        blob->is_waste = true;
    } else if (bytes[0] == RECORD_NOTE) {
        blob->is_noted = true;
    } else {
        blob->has_count = true;
        blob->counted = load_le64(value.data);
        if (blob->counted == 0)
            return verify_problem(self, "the reference count of blob %llu is 0",
                                  (unsigned long long)blob->id);
    }
    return MLKV_OK;
}

static int verify_reference(verifier *self, mlkv_slice key, const cell_blob *cell, bool *ret_good)
{
    verify_blob *blob = take(self, cell->id);
    if (blob == NULL)
        return MLKV_E_MEMORY;
    blob->references++;
    bool one_piece = cell->pieces == 1; /* then the piece size is only an upper limit */
    bool same = blob->pieces == cell->pieces && blob->size == cell->size &&
                (one_piece || blob->piece_size == cell->piece_size);
    if (self->partial || (!blob->broken && same)) {
        *ret_good = !blob->broken && same;
        return MLKV_OK;
    }
    return verify_problem(self,
                          "record '%s' refers to blob %llu of %u pieces and %llu bytes, of which "
                          "%u pieces and %llu bytes are there%s",
                          error_quote(key.data, key.size), (unsigned long long)cell->id,
                          cell->pieces, (unsigned long long)cell->size, blob->pieces,
                          (unsigned long long)blob->size,
                          blob->broken ? ", some of them bad or in a wrong place" : "");
}

int verify_cell(verifier *self, mlkv_slice key, mlkv_slice cell, bool *ret_good)
{
    int kind;
    uint64_t size;
    cell_blob blob;
    bool good = false;
    int result = cell_inspect(cell, &kind, &size, &blob);
    if (result == MLKV_OK && kind == CELL_BLOB) {
        result = verify_reference(self, key, &blob, &good);
    } else {
        self->raw.size = 0;
        if (result == MLKV_OK)
            result = scan_cell_append(self->records, cell, &self->raw); /* with its dictionary */
        good = result == MLKV_OK;
        result = verify_result(self, key, result);
    }
    if (ret_good != NULL)
        *ret_good = good;
    return result;
}

static int blob_end(verifier *self, const verify_blob *blob)
{
    unsigned long long id = blob->id;
    if (blob->has_count && blob->is_waste)
        return verify_problem(
            self, "blob %llu has references and waits for the cleaner at the same time", id);
    if (blob->has_count && blob->counted != blob->references)
        return verify_problem(self, "blob %llu counts %llu references, %llu are there", id,
                              (unsigned long long)blob->counted,
                              (unsigned long long)blob->references);
    if (blob->has_count)
        return MLKV_OK;
    if (blob->references != 0)
        return verify_problem(self,
                              "blob %llu is referred to %llu times, but has no reference count", id,
                              (unsigned long long)blob->references);
    if (!blob->is_waste && !blob->is_noted)
        return verify_problem(self, "blob %llu belongs to nobody: no reference, no note, not waste",
                              id);
    self->report.unclaimed++;
    return MLKV_OK;
}

int verify_blobs_end(verifier *self)
{
    int result = MLKV_OK;
    const verify_blob *blobs = (const void *)self->blobs.items;
    for (size_t i = 0; i < self->blobs.count && result == MLKV_OK; i++)
        result = blob_end(self, &blobs[i]);
    return result;
}
