/* blob.c - immutable large data: written into LMDB directly, before anything refers to it (I8), and
 * read back in pieces.
 *
 * Writing: the first commit of a blob carries its note (N: which session wrote it) and its first
 * pieces, further commits the rest; several blobs share commits. A crash leaves pieces under a
 * noted id that no R record knows: an orphan, which clean.c deletes once the session is dead. When
 * a small frame then makes the references visible, it puts R = 1; the note goes later, whenever it
 * is convenient. Ids come from LMDB's own counter (I9), taken a range at a time. A commit is
 * bounded (COMMIT_BYTES), so that LMDB never spills and the writers' drain is not kept waiting for
 * long. Pieces are encoded and decoded by the threads of the engine's pool. Locks: blob_lock for the
 * range of ids; LMDB's write lock for a commit; no other, and none while tasks run.
 */
#include "engine/engine.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/fault.h"
#include "base/lock.h"
#include "base/record.h"

#include <stdlib.h>

enum {
    ID_RANGE = 256,          /* ids taken from LMDB at once: one commit for so many blobs */
    COMMIT_BYTES = 32 << 20, /* raw bytes of one LMDB transaction, and encoded at once */
    ENCODED_SLACK = 256,     /* what a piece's header and planes' heads take beyond its bytes */
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

/* One piece of one value, which waits for its commit. */
typedef struct {
    uint64_t id;
    uint32_t piece;
    mlkv_slice raw;
    mlkv_buffer bytes; /* encoded, or in pages its header; its memory is used again */
} pending_piece;

typedef struct {
    engine *engine;
    planes_form form;
    size_t piece_size;
    size_t page_bytes; /* 0; else the pieces are not encoded, and their bytes begin at a page */
    pending_piece *pieces;
    size_t count, capacity;
    size_t raw_bytes; /* of all pieces */
} writer;

static int make_header(pending_piece *piece, size_t page_bytes)
{
    void *header = buffer_extend(&piece->bytes, page_bytes - BLOB_BEFORE_VALUE);
    if (header == NULL)
        return error_set_memory("a blob's pieces");
    blob_paged_header(piece->id, piece->piece, piece->raw, page_bytes, header);
    return MLKV_OK;
}

static int encode_piece(void *context, size_t i)
{
    const writer *w = context;
    pending_piece *piece = &w->pieces[i];
    piece->bytes.size = 0;
    if (w->page_bytes != 0)
        return make_header(piece, w->page_bytes);
    int result = buffer_reserve(&piece->bytes, piece->raw.size + ENCODED_SLACK);
    return result != MLKV_OK ? result
                             : blob_piece_encode(&w->engine->options.cells, w->form, piece->id,
                                                 piece->piece, piece->raw, &piece->bytes);
}

static int put_pieces(writer *w, store_write *write)
{
    int result = MLKV_OK;
    for (size_t i = 0; i < w->count && result == MLKV_OK; i++) {
        const pending_piece *piece = &w->pieces[i];
        unsigned char key[BLOB_KEY_SIZE], session[8];
        blob_key(piece->id, piece->piece, key);
        result = store_write_put(write, slice_of(key, sizeof key), slice_of_buffer(&piece->bytes),
                                 w->page_bytes != 0 ? piece->raw : slice_of(NULL, 0));
        if (result == MLKV_OK && piece->piece == 0) {
            note_key(piece->id, key);
            store_le64(session, liveness_session(w->engine->liveness));
            result = store_write_put(write, slice_of(key, NOTE_KEY_SIZE),
                                     slice_of(session, sizeof session), slice_of(NULL, 0));
        }
    }
    return result;
}

/* Encodes the pieces, by several threads if they are many, and commits them. */
static int flush(writer *w)
{
    if (w->count == 0)
        return MLKV_OK;
    store_write *write = NULL;
    int result = engine_share(w->engine, w->raw_bytes, encode_piece, w, w->count);
    if (result == MLKV_OK)
        result = engine_store_begin(w->engine, w->engine->options.lock_timeout_ms, &write);
    if (result != MLKV_OK)
        return result;
    result = put_pieces(w, write);
    if (result == MLKV_OK)
        result = engine_store_commit(w->engine, write);
    else
        engine_store_abort(w->engine, write);
    w->count = w->raw_bytes = 0;
    FAULT_POINT(BLOB_PIECE);
    return result;
}

static int add_piece(writer *w, const cell_blob *blob, uint32_t piece, mlkv_slice raw)
{
    if (w->count == w->capacity) {
        size_t capacity = w->capacity + w->capacity / 2 + 16;
        pending_piece *pieces = reallocarray(w->pieces, capacity, sizeof *pieces);
        if (pieces == NULL)
            return error_set_memory("a blob's pieces");
        memset(pieces + w->capacity, 0, (capacity - w->capacity) * sizeof *pieces);
        w->pieces = pieces;
        w->capacity = capacity;
    }
    pending_piece *own = &w->pieces[w->count++];
    own->id = blob->id;
    own->piece = piece;
    own->raw = raw;
    w->raw_bytes += raw.size;
    return w->raw_bytes >= COMMIT_BYTES ? flush(w) : MLKV_OK;
}

static int write_one(writer *w, mlkv_slice raw, const cell_blob *blob)
{
    int result = MLKV_OK;
    for (uint32_t i = 0; i < blob->pieces && result == MLKV_OK; i++) {
        size_t start = (size_t)i * w->piece_size, rest = raw.size - start;
        size_t size = rest < w->piece_size ? rest : w->piece_size;
        result = add_piece(w, blob, i, slice_of((const unsigned char *)raw.data + start, size));
    }
    return result;
}

static void writer_done(writer *w)
{
    for (size_t i = 0; i < w->capacity; i++)
        mlkv_buffer_free(&w->pieces[i].bytes);
    free(w->pieces);
}

static int write_all(writer *w, const mlkv_slice *raws, size_t n, cell_blob *ret_blobs)
{
    engine *self = w->engine;
    uint64_t first = 0;
    int result = engine_check_writable(self);
    if (result == MLKV_OK)
        result = take_ids(self, n, &first);
    if (result != MLKV_OK)
        return result;
    for (size_t i = 0; i < n && result == MLKV_OK; i++) {
        uint64_t pieces = (raws[i].size + w->piece_size - 1) / w->piece_size;
        if (pieces > UINT32_MAX)
            result = error_set(MLKV_E_SIZE, "a value of %zu bytes", raws[i].size);
        ret_blobs[i] =
            (cell_blob){first + i, raws[i].size, (uint32_t)pieces, (uint32_t)w->piece_size};
        if (result == MLKV_OK)
            result = write_one(w, raws[i], &ret_blobs[i]);
    }
    if (result == MLKV_OK)
        result = flush(w);
    writer_done(w);
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

int engine_blobs_write(engine *self, planes_form form, const mlkv_slice *raws, size_t n,
                       cell_blob *ret_blobs)
{
    writer w = {.engine = self, .form = form, .piece_size = PIECE_SIZE};
    return write_all(&w, raws, n, ret_blobs);
}

int engine_blobs_write_paged(engine *self, size_t page_bytes, const mlkv_slice *raws, size_t n,
                             cell_blob *ret_blobs)
{
    /* With header and seal a piece takes as many pages as one that is stored raw otherwise. */
    writer w = {.engine = self, .page_bytes = page_bytes, .piece_size = PIECE_SIZE - page_bytes};
    return write_all(&w, raws, n, ret_blobs);
}

/* All bytes of a piece: borrowed if it is stored raw, of which the seal was looked at, else decoded into *whole. */
static int open_raw(uint64_t id, uint32_t piece, mlkv_slice stored, size_t raw_size,
                    mlkv_buffer *whole, mlkv_slice *ret_raw)
{
    int result = blob_piece_borrow(id, piece, stored, raw_size, ret_raw);
    if (result != MLKV_ABSENT)
        return result;
    result = buffer_reserve(whole, raw_size);
    if (result == MLKV_OK)
        result = blob_piece_decode(id, piece, stored, whole->data, raw_size);
    *ret_raw = slice_of(whole->data, raw_size);
    return result;
}

/* A part of a blob that is being read; a task for each piece of it. */
typedef struct {
    store_read *read; /* several threads may get from it at once */
    const cell_blob *blob;
    uint64_t offset;
    size_t size;
    unsigned char *to;
} reading;

static int read_piece(void *context, size_t i)
{
    const reading *self = context;
    const cell_blob *blob = self->blob;
    unsigned char key[BLOB_KEY_SIZE];
    mlkv_slice stored;
    uint32_t piece = (uint32_t)(self->offset / blob->piece_size + i);
    uint64_t start = (uint64_t)piece * blob->piece_size, end = self->offset + self->size;
    size_t raw_size =
        blob->size - start < blob->piece_size ? (size_t)(blob->size - start) : blob->piece_size;
    uint64_t from = start < self->offset ? self->offset : start;
    size_t part = (size_t)((end - start < raw_size ? end : start + raw_size) - from);
    unsigned char *out = self->to + (from - self->offset);
    blob_key(blob->id, piece, key);
    int result = store_read_get_lasting(self->read, slice_of(key, sizeof key), &stored);
    if (result != MLKV_OK)
        return result == MLKV_ABSENT ? ENGINE_AGAIN : result;
    if (part == raw_size)
        return blob_piece_decode(blob->id, piece, stored, out, raw_size);
    mlkv_buffer whole = {0};
    mlkv_slice raw;
    result = open_raw(blob->id, piece, stored, raw_size, &whole, &raw);
    if (result == MLKV_OK)
        memcpy(out, (const unsigned char *)raw.data + (from - start), part);
    mlkv_buffer_free(&whole);
    return result;
}

int engine_blob_read(engine *self, store_read *read, const cell_blob *blob, uint64_t offset,
                     size_t size, void *to)
{
    if (size == 0)
        return MLKV_OK;
    reading all = {read, blob, offset, size, to};
    uint64_t last = (offset + size - 1) / blob->piece_size;
    size_t pieces = (size_t)(last - offset / blob->piece_size + 1);
    int result = engine_share(self, size, read_piece, &all, pieces);
    return result == ENGINE_AGAIN ? MLKV_ABSENT : result;
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
    result = open_raw(blob->id, number, stored, raw_size, &self->whole, &self->raw);
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

int engine_blob_place(store_read *read, const cell_blob *blob, uint32_t piece, store_run *ret_run)
{
    unsigned char key[BLOB_KEY_SIZE];
    mlkv_slice value, raw;
    uint64_t offset, start = (uint64_t)piece * blob->piece_size;
    size_t raw_size =
        blob->size - start < blob->piece_size ? (size_t)(blob->size - start) : blob->piece_size;
    blob_key(blob->id, piece, key);
    int result = store_read_place(read, slice_of(key, sizeof key), &value, &offset);
    if (result != MLKV_OK)
        return result;
    result = blob_piece_borrow(blob->id, piece, value, raw_size, &raw);
    if (result == MLKV_ABSENT)
        return error_set(MLKV_E_PLATFORM, "piece %u of blob %llu is compressed", (unsigned)piece,
                         (unsigned long long)blob->id);
    offset += (uint64_t)((const unsigned char *)raw.data - (const unsigned char *)value.data);
    *ret_run = (store_run){raw, offset};
    return result;
}

int engine_blob_decode_parts(store_read *read, const cell_blob *blob, const blob_part *parts,
                             size_t n)
{
    unsigned char key[BLOB_KEY_SIZE];
    mlkv_slice stored;
    if (blob->pieces != 1)
        return MLKV_ABSENT;
    blob_key(blob->id, 0, key);
    int result = store_read_get_lasting(read, slice_of(key, sizeof key), &stored);
    return result != MLKV_OK
               ? (result == MLKV_ABSENT ? ENGINE_AGAIN : result)
               : blob_piece_decode_parts(blob->id, 0, stored, (size_t)blob->size, parts, n);
}
