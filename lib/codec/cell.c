/* cell.c - cells and the pieces of blobs, as cell.h lays their bytes out.
 *
 *   cell:  kind | raw bytes                            piece:  "MLKB" kind 000 | blob id | piece, raw size | checksum | payload
 *          kind | raw size | zstd frame or planes
 *          kind | id | size | pieces, piece size                  "MLKB" 5 000 ... | begin | zeros | raw bytes at a page's start
 *          kind | dictionary | raw size | frame without magic number
 *
 * Invariants:
 *  1. A zstd frame is chosen only if it is at least an eighth smaller than the raw bytes, its
 * header counted; so most reads of poorly compressible values borrow or copy instead of decoding. Byte
 * planes, of which what does not shrink is copied, are chosen if they are a 32nd smaller.
 *  2. On failure *out has the content that it had.
 *  3. Decoders believe no length: kinds, sizes and counts are checked against each other and
 * against the bytes that are there, before memory is allocated by them. What follows a frame or a
 * header without belonging to it is an error.
 *  4. A piece's checksum is over its raw bytes and seeded by its place, so a right piece in a wrong
 * place is found too.
 *
 * No state, no locks.
 */
#include "codec/cell.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/hash.h"
#include "codec/compress.h"

/* Offsets of the fields, as in cell.h. */
enum { TRIAL_SIZE = 16 << 10 };
enum { AT_KIND = 0, AT_RAW = 1, AT_SIZE = 1, AT_FRAME = 9 };
enum { AT_DICTIONARY = 1, AT_DICTIONARY_RAW = 5, AT_DICTIONARY_FRAME = 7 };
enum { AT_BLOB_ID = 1, AT_BLOB_RAW_SIZE = 9, AT_BLOB_PIECES = 17, AT_BLOB_PIECE_SIZE = 21 };
enum {
    AT_PIECE_KIND = 4,
    AT_PIECE_ZERO = 5,
    AT_PIECE_ID = 8,
    AT_PIECE_NUMBER = 16,
    AT_PIECE_SIZE = 20,
    AT_PIECE_SUM = 24,
    AT_PIECE_BEGIN = 32,
};

_Static_assert((int)AT_FRAME == (int)CELL_ZSTD_HEADER_SIZE, "cell.h");
_Static_assert((int)AT_DICTIONARY_FRAME == (int)CELL_DICTIONARY_HEADER_SIZE, "cell.h");
_Static_assert(CELL_DICTIONARY_RAW_MAX <= UINT16_MAX, "its size has two bytes");
_Static_assert(AT_BLOB_PIECE_SIZE + 4 == CELL_BLOB_SIZE, "cell.h");
_Static_assert(AT_PIECE_SUM + 8 == BLOB_HEADER_SIZE, "cell.h");
_Static_assert(AT_PIECE_BEGIN + 4 == BLOB_PAGED_HEADER_SIZE_MIN, "cell.h");

static const unsigned char piece_magic[4] = {'M', 'L', 'K', 'B'};

/* One size less than a part of it. */
static size_t smaller_by(size_t size, size_t part)
{
    return size - size / part - (size % part != 0);
}

/* Whether a frame over whole elements is smaller than planes, for a part of them: records of several small numbers repeat as they are. */
static int frame_is_better(const cell_options *options, planes_form form, mlkv_slice raw,
                           bool *ret_better)
{
    size_t size = raw.size < TRIAL_SIZE ? raw.size : TRIAL_SIZE;
    mlkv_slice part =
        slice_of((const unsigned char *)raw.data + (raw.size - size) / 2 / 8 * 8, size);
    mlkv_buffer trial = {0};
    *ret_better = false;
    int result = form.rotated || form.width < 2 || raw.size < TRIAL_SIZE
                     ? MLKV_ABSENT
                     : planes_append(form, part, options->level, size, &trial);
    size_t planes = result == 0 ? trial.size : size;
    trial.size = 0;
    if (result == 0)
        *ret_better = compress_append(part, options->level, planes, &trial) == 0;
    mlkv_buffer_free(&trial);
    return result < 0 ? result : 0;
}

/* Appends what raw is compressed to, if, with `header_size` bytes before it, that is enough smaller than raw; *ret_kind: which form it is.
 * 0, MLKV_ABSENT, MLKV_E_MEMORY. */
static int compress_if_worth(const cell_options *options, planes_form form, size_t header_size,
                             mlkv_slice raw, mlkv_buffer *out, unsigned char *ret_kind)
{
    size_t most = smaller_by(raw.size, 8), most_planes = smaller_by(raw.size, 32);
    bool better = false;
    if (raw.size < options->threshold_bytes || most <= header_size)
        return MLKV_ABSENT;
    int result = frame_is_better(options, form, raw, &better);
    if (result == 0 && !better) {
        *ret_kind = CELL_PLANES;
        result = planes_append(form, raw, options->level, most_planes - header_size + 1, out);
        if (result != MLKV_ABSENT || form.rotated)
            return result;
    }
    *ret_kind = CELL_ZSTD;
    return result < 0 ? result : compress_append(raw, options->level, most - header_size + 1, out);
}

int cell_encode(const cell_options *options, mlkv_slice raw, mlkv_buffer *out)
{
    return cell_encode_numbers(options, (planes_form){0}, raw, out);
}

int cell_encode_numbers(const cell_options *options, planes_form form, mlkv_slice raw,
                        mlkv_buffer *out)
{
    size_t start = out->size;
    unsigned char header[CELL_ZSTD_HEADER_SIZE] = {CELL_ZSTD};
    store_le64(header + AT_SIZE, raw.size);
    int result = buffer_append(out, header, sizeof header);
    if (result != 0)
        return result;
    unsigned char kind = CELL_RAW;
    result = compress_if_worth(options, form, sizeof header, raw, out, &kind);
    if (result == 0) {
        ((unsigned char *)out->data)[start] = kind;
        return 0;
    }
    out->size = start;
    if (result != MLKV_ABSENT)
        return result;
    kind = CELL_RAW;
    result = buffer_append(out, &kind, sizeof kind);
    if (result == 0)
        result = buffer_append(out, raw.data, raw.size);
    if (result != 0)
        out->size = start;
    return result;
}

int cell_encode_with(const dictionary_coder *with, mlkv_slice raw, mlkv_buffer *out)
{
    size_t start = out->size, most = smaller_by(raw.size, 8);
    unsigned char header[CELL_DICTIONARY_HEADER_SIZE] = {CELL_DICTIONARY};
    if (raw.size < CELL_DICTIONARY_RAW_MIN || raw.size > CELL_DICTIONARY_RAW_MAX)
        return MLKV_ABSENT;
    store_le32(header + AT_DICTIONARY, dictionary_coder_id(with));
    header[AT_DICTIONARY_RAW] = (unsigned char)raw.size;
    header[AT_DICTIONARY_RAW + 1] = (unsigned char)(raw.size >> 8);
    int result = buffer_append(out, header, sizeof header);
    if (result == MLKV_OK)
        result = compress_append_with(with, raw, most - sizeof header + 1, out);
    if (result != MLKV_OK)
        out->size = start;
    return result;
}

/* Whether the four numbers fit each other. */
static bool blob_valid(const cell_blob *blob)
{
    if (blob->piece_size == 0 || blob->piece_size > BLOB_PIECE_SIZE_MAX)
        return false;
    return blob->pieces == blob->size / blob->piece_size + (blob->size % blob->piece_size != 0);
}

int cell_encode_blob(const cell_blob *blob, mlkv_buffer *out)
{
    if (!blob_valid(blob))
        return error_set(MLKV_E_ARGUMENT, "a blob of %llu bytes does not have %u pieces of %u",
                         (unsigned long long)blob->size, (unsigned)blob->pieces,
                         (unsigned)blob->piece_size);
    unsigned char bytes[CELL_BLOB_SIZE] = {CELL_BLOB};
    store_le64(bytes + AT_BLOB_ID, blob->id);
    store_le64(bytes + AT_BLOB_RAW_SIZE, blob->size);
    store_le32(bytes + AT_BLOB_PIECES, blob->pieces);
    store_le32(bytes + AT_BLOB_PIECE_SIZE, blob->piece_size);
    return buffer_append(out, bytes, sizeof bytes);
}

static int inspect_blob(mlkv_slice cell, uint64_t *ret_raw_size, cell_blob *ret_blob)
{
    const unsigned char *bytes = cell.data;
    if (cell.size != CELL_BLOB_SIZE)
        return error_set(MLKV_E_CORRUPT, "a blob's cell has %zu bytes instead of %d", cell.size,
                         CELL_BLOB_SIZE);
    cell_blob blob = {
        .id = load_le64(bytes + AT_BLOB_ID),
        .size = load_le64(bytes + AT_BLOB_RAW_SIZE),
        .pieces = load_le32(bytes + AT_BLOB_PIECES),
        .piece_size = load_le32(bytes + AT_BLOB_PIECE_SIZE),
    };
    if (!blob_valid(&blob))
        return error_set(MLKV_E_CORRUPT, "blob %llu of %llu bytes cannot have %u pieces of %u",
                         (unsigned long long)blob.id, (unsigned long long)blob.size,
                         (unsigned)blob.pieces, (unsigned)blob.piece_size);
    *ret_raw_size = blob.size;
    if (ret_blob != NULL)
        *ret_blob = blob;
    return 0;
}

/* The frame or planes inside a cell, once it is known that the header is whole and says what they say. */
static int inspect_compressed(mlkv_slice cell, int kind, uint64_t *ret_raw_size,
                              mlkv_slice *ret_frame)
{
    const unsigned char *bytes = cell.data;
    if (cell.size < CELL_ZSTD_HEADER_SIZE)
        return error_set(MLKV_E_CORRUPT, "a compressed cell has %zu bytes, fewer than its header",
                         cell.size);
    uint64_t raw_size = load_le64(bytes + AT_SIZE);
    mlkv_slice frame = slice_of(bytes + AT_FRAME, cell.size - AT_FRAME);
    int result =
        kind == CELL_PLANES ? planes_check(frame, raw_size) : decompress_check(frame, raw_size);
    if (result != 0)
        return result;
    *ret_raw_size = raw_size;
    *ret_frame = frame;
    return 0;
}

static int inspect_coded(mlkv_slice cell, uint64_t *ret_raw_size, mlkv_slice *ret_frame)
{
    const unsigned char *bytes = cell.data;
    if (cell.size < CELL_DICTIONARY_HEADER_SIZE)
        return error_set(MLKV_E_CORRUPT,
                         "a cell with a dictionary has %zu bytes, fewer than its header",
                         cell.size);
    unsigned raw_size = bytes[AT_DICTIONARY_RAW] | (unsigned)bytes[AT_DICTIONARY_RAW + 1] << 8;
    mlkv_slice frame = slice_of(bytes + AT_DICTIONARY_FRAME, cell.size - AT_DICTIONARY_FRAME);
    if (load_le32(bytes + AT_DICTIONARY) == 0)
        return error_set(MLKV_E_CORRUPT, "a cell's dictionary is 0");
    if (raw_size < CELL_DICTIONARY_RAW_MIN || raw_size > CELL_DICTIONARY_RAW_MAX ||
        frame.size >= raw_size)
        return error_set(MLKV_E_CORRUPT, "a cell with a dictionary has %zu bytes for %u", cell.size,
                         raw_size);
    int result = decompress_check_with(frame, raw_size);
    if (result != MLKV_OK)
        return result;
    *ret_raw_size = raw_size;
    *ret_frame = frame;
    return 0;
}

/* cell_inspect, with the frame of a ZSTD or DICTIONARY cell or the planes of a PLANES cell. */
static int inspect(mlkv_slice cell, int *ret_kind, uint64_t *ret_raw_size, cell_blob *ret_blob,
                   mlkv_slice *ret_frame)
{
    if (cell.size == 0)
        return error_set(MLKV_E_CORRUPT, "a cell is empty");
    int kind = ((const unsigned char *)cell.data)[AT_KIND];
    int result = 0;
    uint64_t raw_size = cell.size - AT_RAW;
    if (kind == CELL_ZSTD || kind == CELL_PLANES)
        result = inspect_compressed(cell, kind, &raw_size, ret_frame);
    else if (kind == CELL_BLOB)
        result = inspect_blob(cell, &raw_size, ret_blob);
    else if (kind == CELL_DICTIONARY)
        result = inspect_coded(cell, &raw_size, ret_frame);
    else if (kind != CELL_RAW)
        result = error_set(MLKV_E_CORRUPT, "a cell's kind is %d", kind);
    if (result != 0)
        return result;
    if (ret_kind != NULL)
        *ret_kind = kind;
    if (ret_raw_size != NULL)
        *ret_raw_size = raw_size;
    return 0;
}

int cell_inspect(mlkv_slice cell, int *ret_kind, uint64_t *ret_raw_size, cell_blob *ret_blob)
{
    mlkv_slice frame;
    return inspect(cell, ret_kind, ret_raw_size, ret_blob, &frame);
}

int cell_decode(mlkv_slice cell, mlkv_buffer *out)
{
    int kind = CELL_BLOB;
    uint64_t raw_size = 0;
    mlkv_slice frame;
    int result = inspect(cell, &kind, &raw_size, NULL, &frame);
    if (result != 0)
        return result;
    if (kind == CELL_BLOB)
        return error_set(MLKV_E_ARGUMENT, "a blob's cell holds no bytes: they are in its pieces");
    if (kind == CELL_DICTIONARY)
        return error_set(MLKV_E_ARGUMENT, "a cell needs dictionary %u",
                         (unsigned)cell_dictionary(cell));
    if (kind == CELL_RAW)
        return buffer_append(out, (const unsigned char *)cell.data + AT_RAW, cell.size - AT_RAW);
    size_t start = out->size;
    void *to = buffer_extend(out, raw_size);
    if (to == NULL)
        return MLKV_E_MEMORY;
    result = kind == CELL_PLANES ? planes_decode(frame, to, raw_size)
                                 : decompress_into(frame, to, raw_size);
    if (result != 0)
        out->size = start;
    return result;
}

int cell_decode_parts(mlkv_slice cell, const blob_part *parts, size_t n)
{
    const unsigned char *bytes = cell.data;
    if (cell.size < CELL_ZSTD_HEADER_SIZE || bytes[AT_KIND] != CELL_PLANES)
        return MLKV_ABSENT;
    uint64_t raw_size = load_le64(bytes + AT_SIZE);
    if (raw_size > PLANES_RAW_SIZE_MAX)
        return error_set(MLKV_E_CORRUPT, "a cell of planes is too large");
    return planes_decode_parts(slice_of(bytes + AT_FRAME, cell.size - AT_FRAME), (size_t)raw_size,
                               parts, n);
}

uint32_t cell_dictionary(mlkv_slice cell)
{
    return load_le32((const unsigned char *)cell.data + AT_DICTIONARY);
}

int cell_decode_with(const dictionary_decoder *with, mlkv_slice cell, mlkv_buffer *out)
{
    int kind = CELL_BLOB;
    uint64_t raw_size = 0;
    mlkv_slice frame = {NULL, 0};
    int result = inspect(cell, &kind, &raw_size, NULL, &frame);
    if (result != 0)
        return result;
    if (kind != CELL_DICTIONARY || cell_dictionary(cell) != dictionary_decoder_id(with))
        return error_set(MLKV_E_ARGUMENT, "a cell was not coded with dictionary %u",
                         (unsigned)dictionary_decoder_id(with));
    size_t start = out->size;
    void *to = buffer_extend(out, raw_size);
    if (to == NULL)
        return MLKV_E_MEMORY;
    result = decompress_with(with, frame, to, raw_size);
    if (result != 0)
        out->size = start;
    return result;
}

bool cell_borrow(mlkv_slice cell, mlkv_slice *ret_raw)
{
    const unsigned char *bytes = cell.data;
    if (cell.size == 0 || bytes[AT_KIND] != CELL_RAW)
        return false;
    *ret_raw = slice_of(bytes + AT_RAW, cell.size - AT_RAW);
    return true;
}

static void fill_header(uint64_t id, uint32_t piece, mlkv_slice raw,
                        unsigned char ret_header[BLOB_HEADER_SIZE])
{
    memcpy(ret_header, piece_magic, sizeof piece_magic);
    store_le64(ret_header + AT_PIECE_ID, id);
    store_le32(ret_header + AT_PIECE_NUMBER, piece);
    store_le32(ret_header + AT_PIECE_SIZE, (uint32_t)raw.size);
    store_le64(ret_header + AT_PIECE_SUM, hash_checksum(raw.data, raw.size, id + piece));
}

void blob_paged_header(uint64_t id, uint32_t piece, mlkv_slice raw, size_t page_bytes,
                       unsigned char *ret_header)
{
    size_t begin = page_bytes - BLOB_BEFORE_VALUE;
    memset(ret_header, 0, begin);
    fill_header(id, piece, raw, ret_header);
    ret_header[AT_PIECE_KIND] = PIECE_PAGED;
    store_le32(ret_header + AT_PIECE_BEGIN, (uint32_t)begin);
}

int blob_piece_encode(const cell_options *options, planes_form form, uint64_t id, uint32_t piece,
                      mlkv_slice raw, mlkv_buffer *out)
{
    if (raw.size > BLOB_PIECE_SIZE_MAX)
        return error_set(MLKV_E_SIZE, "piece %u of blob %llu would have %zu bytes; the limit is %d",
                         (unsigned)piece, (unsigned long long)id, raw.size, BLOB_PIECE_SIZE_MAX);
    size_t start = out->size;
    unsigned char header[BLOB_HEADER_SIZE] = {0};
    fill_header(id, piece, raw, header);
    int result = buffer_append(out, header, sizeof header);
    if (result != 0)
        return result;
    unsigned char kind = CELL_RAW;
    result = compress_if_worth(options, form, 0, raw, out, &kind);
    if (result == MLKV_ABSENT) {
        kind = CELL_RAW;
        result = buffer_append(out, raw.data, raw.size);
    }
    if (result == 0)
        ((unsigned char *)out->data)[start + AT_PIECE_KIND] = kind;
    else
        out->size = start;
    return result;
}

/* Where a piece's payload begins, once its header is known to be good. */
static size_t piece_begin(const unsigned char *bytes)
{
    return bytes[AT_PIECE_KIND] == PIECE_PAGED ? load_le32(bytes + AT_PIECE_BEGIN)
                                               : BLOB_HEADER_SIZE;
}

static bool paged_begins_within(mlkv_slice stored)
{
    size_t begin = stored.size < BLOB_PAGED_HEADER_SIZE_MIN
                       ? 0
                       : piece_begin((const unsigned char *)stored.data);
    return begin >= BLOB_PAGED_HEADER_SIZE_MIN && begin <= stored.size &&
           begin <= BLOB_PAGE_BYTES_MAX;
}

/* What is wrong with a piece's header, or NULL. */
static const char *piece_fault(uint64_t id, uint32_t piece, mlkv_slice stored, size_t raw_size)
{
    const unsigned char *bytes = stored.data;
    if (stored.size < BLOB_HEADER_SIZE)
        return "it is shorter than its header";
    if (memcmp(bytes, piece_magic, sizeof piece_magic) != 0)
        return "it does not begin with MLKB";
    int kind = bytes[AT_PIECE_KIND];
    if (kind != CELL_RAW && kind != CELL_ZSTD && kind != CELL_PLANES && kind != PIECE_PAGED)
        return "its kind is unknown";
    if (kind == PIECE_PAGED && !paged_begins_within(stored))
        return "its bytes do not begin within it";
    if ((bytes[AT_PIECE_ZERO] | bytes[AT_PIECE_ZERO + 1] | bytes[AT_PIECE_ZERO + 2]) != 0)
        return "bytes that must be zero are not";
    if (load_le64(bytes + AT_PIECE_ID) != id)
        return "it says that it belongs to another blob";
    if (load_le32(bytes + AT_PIECE_NUMBER) != piece)
        return "it says that it is another piece";
    if (load_le32(bytes + AT_PIECE_SIZE) != raw_size)
        return "its raw size is not what the blob's is";
    if ((kind == CELL_RAW || kind == PIECE_PAGED) && stored.size - piece_begin(bytes) != raw_size)
        return "its payload has another length than it says";
    return NULL;
}

/* The payload as it stands behind its header, and in the right order. */
static const char *copy_raw(mlkv_slice stored, void *to, size_t raw_size)
{
    const unsigned char *bytes = stored.data;
    size_t begin = piece_begin(bytes);
    for (size_t i = BLOB_PAGED_HEADER_SIZE_MIN; i < begin; i++) {
        if (bytes[i] != 0)
            return "bytes that must be zero are not";
    }
    bytes_copy(to, bytes + begin, raw_size);
    return NULL;
}

int blob_piece_decode(uint64_t id, uint32_t piece, mlkv_slice stored, void *to, size_t raw_size)
{
    const char *fault = piece_fault(id, piece, stored, raw_size);
    if (fault == NULL) {
        const unsigned char *bytes = stored.data;
        mlkv_slice payload = slice_of(bytes + BLOB_HEADER_SIZE, stored.size - BLOB_HEADER_SIZE);
        int result = 0;
        if (bytes[AT_PIECE_KIND] == CELL_RAW || bytes[AT_PIECE_KIND] == PIECE_PAGED)
            fault = copy_raw(stored, to, raw_size);
        else if (bytes[AT_PIECE_KIND] == CELL_PLANES)
            result = planes_decode(payload, to, raw_size);
        else
            result = decompress_into(payload, to, raw_size);
        if (result == MLKV_E_MEMORY)
            return result;
        if (result != 0)
            fault = mlkv_error_detail();
        else if (fault == NULL &&
                 hash_checksum(to, raw_size, id + piece) != load_le64(bytes + AT_PIECE_SUM))
            fault = "its checksum is wrong";
    }
    if (fault == NULL)
        return 0;
    return error_set(MLKV_E_CORRUPT, "piece %u of blob %llu: %s", (unsigned)piece,
                     (unsigned long long)id, fault);
}

int blob_piece_borrow(uint64_t id, uint32_t piece, mlkv_slice stored, size_t raw_size,
                      mlkv_slice *ret_raw)
{
    const char *fault = piece_fault(id, piece, stored, raw_size);
    if (fault != NULL)
        return error_set(MLKV_E_CORRUPT, "piece %u of blob %llu: %s", (unsigned)piece,
                         (unsigned long long)id, fault);
    const unsigned char *bytes = stored.data;
    if (bytes[AT_PIECE_KIND] != CELL_RAW && bytes[AT_PIECE_KIND] != PIECE_PAGED)
        return MLKV_ABSENT;
    size_t begin = piece_begin(bytes);
    *ret_raw = slice_of(bytes + begin, stored.size - begin);
    return 0;
}

int blob_piece_decode_parts(uint64_t id, uint32_t piece, mlkv_slice stored, size_t raw_size,
                            const blob_part *parts, size_t n)
{
    const char *fault = piece_fault(id, piece, stored, raw_size);
    const unsigned char *bytes = stored.data;
    if (fault == NULL && bytes[AT_PIECE_KIND] != CELL_PLANES)
        return MLKV_ABSENT;
    mlkv_slice payload =
        fault != NULL ? stored : slice_of(bytes + BLOB_HEADER_SIZE, stored.size - BLOB_HEADER_SIZE);
    int result = fault != NULL ? MLKV_E_CORRUPT : planes_decode_parts(payload, raw_size, parts, n);
    if (result != MLKV_E_CORRUPT)
        return result;
    return error_set(MLKV_E_CORRUPT, "piece %u of blob %llu: %s", (unsigned)piece,
                     (unsigned long long)id, fault != NULL ? fault : mlkv_error_detail());
}
