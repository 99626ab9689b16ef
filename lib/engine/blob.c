/* blob.c - immutable large data: written into LMDB directly, before anything refers to it (I8), and
 * read back in pieces.
 *
 * Writing: the first commit of a blob carries its note (N: which session wrote it) and its first
 * pieces, further commits the rest; several blobs share commits. A crash leaves pieces under a
 * noted id that no R record knows: an orphan, which clean.c deletes once the session is dead. When
 * a small frame then makes the references visible, it puts R = 1; the note goes later, whenever it
 * is convenient. Ids come from LMDB's own counter (I9), taken a range at a time. A commit is
 * bounded (COMMIT_BYTES), so that LMDB never spills and the writers' drain is not kept waiting for
 * long. Locks: blob_lock for the range of ids; LMDB's write lock for a commit; no other.
 */
#include "engine/engine.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/fault.h"
#include "base/lock.h"
#include "base/record.h"

enum {
    ID_RANGE = 256,          /* ids taken from LMDB at once: one commit for so many blobs */
    COMMIT_BYTES = 32 << 20, /* encoded bytes of one LMDB transaction */
    PIECE_SIZE = 1 << 20, /* raw bytes of a piece: LMDB's free list degrades with many different run
                             lengths, so there is one */
    BLOB_KEY_SIZE = 13,
    NOTE_KEY_SIZE = 9,
};

static void blob_key(uint64_t id, uint32_t piece, unsigned char ret_key[BLOB_KEY_SIZE])
{
    ret_key[0] = RECORD_BLOB;
    store_be64(ret_key + 1, id);
    store_be32(ret_key + 9, piece);
}

static void note_key(uint64_t id, unsigned char ret_key[NOTE_KEY_SIZE])
{
    ret_key[0] = RECORD_NOTE;
    store_be64(ret_key + 1, id);
}

static int take_ids_locked(engine *self, uint64_t n, uint64_t *ret_first)
{
    if (self->blob_end - self->blob_next < n) {
        store_write *write = NULL;
        uint64_t first, range = n > ID_RANGE ? n : ID_RANGE;
        int result = engine_store_begin(self, self->options.lock_timeout_ms, &write);
        if (result != MLKV_OK)
            return result;
        result = store_write_take_blob_ids(write, range, &first);
        if (result != MLKV_OK) {
            engine_store_abort(self, write);
            return result;
        }
        result = engine_store_commit(self, write);
        if (result != MLKV_OK)
            return result;
        self->blob_next = first;
        self->blob_end = first + range;
    }
    *ret_first = self->blob_next;
    self->blob_next += n;
    return MLKV_OK;
}

static int take_ids(engine *self, uint64_t n, uint64_t *ret_first)
{
    if (!lock_take_within(&self->blob_lock, self->options.lock_timeout_ms))
        return error_set(MLKV_E_BUSY, "data.mdb: another process has been writing to it for %u ms",
                         (unsigned)self->options.lock_timeout_ms);
    int result = take_ids_locked(self, n, ret_first);
    lock_release(&self->blob_lock);
    return result;
}

/* One piece of one value, encoded and waiting for its commit. */
typedef struct {
    uint64_t id;
    uint32_t piece;
    size_t offset, size;
} pending_piece;

typedef struct {
    engine *engine;
    mlkv_buffer bytes;  /* encoded pieces */
    mlkv_buffer pieces; /* pending_piece[] */
} writer;

static int put_pieces(writer *w, store_write *write)
{
    const pending_piece *pieces = w->pieces.data;
    int result = MLKV_OK;
    for (size_t i = 0; i < w->pieces.size / sizeof *pieces && result == MLKV_OK; i++) {
        unsigned char key[BLOB_KEY_SIZE], session[8];
        blob_key(pieces[i].id, pieces[i].piece, key);
        result = store_write_put(
            write, slice_of(key, sizeof key),
            slice_of((unsigned char *)w->bytes.data + pieces[i].offset, pieces[i].size),
            slice_of(NULL, 0));
        if (result == MLKV_OK && pieces[i].piece == 0) {
            note_key(pieces[i].id, key);
            store_le64(session, liveness_session(w->engine->liveness));
            result = store_write_put(write, slice_of(key, NOTE_KEY_SIZE),
                                     slice_of(session, sizeof session), slice_of(NULL, 0));
        }
    }
    return result;
}

static int flush(writer *w)
{
    if (w->pieces.size == 0)
        return MLKV_OK;
    store_write *write = NULL;
    int result = engine_store_begin(w->engine, w->engine->options.lock_timeout_ms, &write);
    if (result != MLKV_OK)
        return result;
    result = put_pieces(w, write);
    if (result == MLKV_OK)
        result = engine_store_commit(w->engine, write);
    else
        engine_store_abort(w->engine, write);
    w->bytes.size = 0;
    w->pieces.size = 0;
    FAULT_POINT(BLOB_PIECE);
    return result;
}

static int write_one(writer *w, planes_form form, mlkv_slice raw, const cell_blob *blob)
{
    int result = MLKV_OK;
    for (uint32_t i = 0; i < blob->pieces && result == MLKV_OK; i++) {
        size_t start = (size_t)i * PIECE_SIZE,
               size = raw.size - start < PIECE_SIZE ? raw.size - start : PIECE_SIZE;
        pending_piece piece = {blob->id, i, w->bytes.size, 0};
        result =
            blob_piece_encode(&w->engine->options.cells, form, blob->id, i,
                              slice_of((const unsigned char *)raw.data + start, size), &w->bytes);
        piece.size = w->bytes.size - piece.offset;
        if (result == MLKV_OK)
            result = buffer_append(&w->pieces, &piece, sizeof piece);
        if (result == MLKV_OK && w->bytes.size >= COMMIT_BYTES)
            result = flush(w);
    }
    return result;
}

int engine_blobs_write(engine *self, planes_form form, const mlkv_slice *raws, size_t n,
                       cell_blob *ret_blobs)
{
    uint64_t first = 0;
    writer w = {.engine = self};
    int result = engine_check_writable(self);
    if (result == MLKV_OK)
        result = take_ids(self, n, &first);
    if (result != MLKV_OK)
        return result;
    for (size_t i = 0; i < n && result == MLKV_OK; i++) {
        uint64_t pieces = (raws[i].size + PIECE_SIZE - 1) / PIECE_SIZE;
        if (pieces > UINT32_MAX)
            result = error_set(MLKV_E_SIZE, "a value of %zu bytes", raws[i].size);
        ret_blobs[i] = (cell_blob){first + i, raws[i].size, (uint32_t)pieces, PIECE_SIZE};
        if (result == MLKV_OK)
            result = write_one(&w, form, raws[i], &ret_blobs[i]);
    }
    if (result == MLKV_OK)
        result = flush(&w);
    mlkv_buffer_free(&w.bytes);
    mlkv_buffer_free(&w.pieces);
    if (result == MLKV_OK) {
        FAULT_POINT(BLOB_WRITTEN);
        atomic_fetch_add_explicit(&self->counters.blobs_written, n, memory_order_relaxed);
        return result;
    }
    for (size_t i = 0; i < n; i++) { /* some pieces may be there */
        uint64_t id = first + i;
        engine_blobs_discard(self, &id, 1);
    }
    return result;
}

int engine_blob_read(store_read *read, const cell_blob *blob, uint64_t offset, size_t size,
                     void *to)
{
    unsigned char key[BLOB_KEY_SIZE], *out = to;
    mlkv_buffer whole = {0};
    int result = MLKV_OK;
    while (size != 0 && result == MLKV_OK) {
        uint32_t piece = (uint32_t)(offset / blob->piece_size);
        size_t skip = offset % blob->piece_size;
        uint64_t start = (uint64_t)piece * blob->piece_size;
        size_t raw_size =
            blob->size - start < blob->piece_size ? (size_t)(blob->size - start) : blob->piece_size;
        size_t part = raw_size - skip < size ? raw_size - skip : size;
        mlkv_slice stored;
        blob_key(blob->id, piece, key);
        result = store_read_get_lasting(read, slice_of(key, sizeof key), &stored);
        if (result == MLKV_OK && part == raw_size) {
            result = blob_piece_decode(blob->id, piece, stored, out, raw_size);
        } else if (result == MLKV_OK) {
            result = buffer_reserve(&whole, raw_size);
            if (result == MLKV_OK)
                result = blob_piece_decode(blob->id, piece, stored, whole.data, raw_size);
            if (result == MLKV_OK)
                memcpy(out, (unsigned char *)whole.data + skip, part);
        }
        out += part;
        offset += part;
        size -= part;
    }
    mlkv_buffer_free(&whole);
    return result;
}

/* The piece that parts are copied from. */
typedef struct {
    bool known;
    uint32_t number;
    mlkv_slice raw;    /* borrowed from the map, or decoded */
    mlkv_buffer whole; /* the decoded one */
} open_piece;

static int open_at(store_read *read, const cell_blob *blob, uint32_t number, open_piece *self)
{
    unsigned char key[BLOB_KEY_SIZE];
    mlkv_slice stored;
    uint64_t start = (uint64_t)number * blob->piece_size;
    size_t raw_size =
        blob->size - start < blob->piece_size ? (size_t)(blob->size - start) : blob->piece_size;
    self->known = false;
    blob_key(blob->id, number, key);
    int result = store_read_get_lasting(read, slice_of(key, sizeof key), &stored);
    if (result != MLKV_OK)
        return result;
    result = blob_piece_borrow(blob->id, number, stored, raw_size, &self->raw);
    if (result == MLKV_ABSENT) {
        result = buffer_reserve(&self->whole, raw_size);
        if (result == MLKV_OK)
            result = blob_piece_decode(blob->id, number, stored, self->whole.data, raw_size);
        self->raw = slice_of(self->whole.data, raw_size);
    }
    self->known = result == MLKV_OK;
    self->number = number;
    return result;
}

int engine_blob_read_parts(store_read *read, const cell_blob *blob, const blob_part *parts,
                           size_t n)
{
    enum { AHEAD = 8 }; /* parts whose memory is fetched beforehand */
    open_piece piece = {0};
    int result = MLKV_OK;
    for (size_t i = 0; i < n && result == MLKV_OK; i++) {
        uint64_t offset = parts[i].offset;
        unsigned char *out = parts[i].to;
        if (i + AHEAD < n) {
            const blob_part *later = &parts[i + AHEAD];
            uint64_t from = later->offset - (uint64_t)piece.number * blob->piece_size;
            __builtin_prefetch(later->to, 1);
            if (piece.known && from < piece.raw.size)
                __builtin_prefetch((const unsigned char *)piece.raw.data + from);
        }
        for (size_t left = parts[i].size; left != 0 && result == MLKV_OK;) {
            uint32_t number = (uint32_t)(offset / blob->piece_size);
            if (!piece.known || piece.number != number)
                result = open_at(read, blob, number, &piece);
            if (result != MLKV_OK)
                break;
            size_t skip = (size_t)(offset % blob->piece_size), rest = piece.raw.size - skip;
            size_t size = rest < left ? rest : left;
            memcpy(out, (const unsigned char *)piece.raw.data + skip, size);
            out += size;
            offset += size;
            left -= size;
        }
    }
    mlkv_buffer_free(&piece.whole);
    return result;
}
