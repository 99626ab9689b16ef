/* cell.h - a cell: how a value of any size stands in a record. Bytes to bytes, no I/O.
 *
 *   offset size
 *   0      1     kind: 0 raw, 1 zstd, 2 blob, 3 byte planes, 4 with a dictionary
 *   raw:   1..   the bytes
 *   zstd:  1     8     raw size (LE); then an ordinary zstd frame
 *   planes: 1    8     raw size (LE); then byte planes (planes.h)
 *   blob:  1     8     blob id (LE), 9: 8 raw size (LE), 17: 4 pieces (LE), 21: 4 raw bytes of each piece but the last (LE); 25 in all
 *   dictionary: 1 4   dictionary's id (LE), 5: 2 raw size (LE); then a zstd frame coded with it, without the magic number
 *
 * A blob's bytes stand in B records, one a piece, each with a header (32 bytes) and its payload:
 *   0 4 magic "MLKB" | 4 1 kind (0 raw, 1 zstd, 3 byte planes, 5 raw in pages) | 5 3 zero | 8 8 blob id | 16 4 piece | 20 4 raw size |
 *   24 8 xxh3 of the raw bytes, seed = blob id + piece
 * A piece of kind 5 is raw, and its bytes begin at a page of the file, so that they can be mapped by themselves:
 *   32 4 where they begin, a page's size less the 16 bytes that LMDB puts before a large value | 36 zeros up to there
 *
 * Decoders take untrusted bytes: every length is checked, and a bad one is MLKV_E_CORRUPT.
 */
#ifndef MLKV_CODEC_CELL_H
#define MLKV_CODEC_CELL_H

#include "codec/dictionary.h"
#include "codec/planes.h"

#include <mlkv/base.h>

enum { CELL_RAW = 0, CELL_ZSTD = 1, CELL_BLOB = 2, CELL_PLANES = 3, CELL_DICTIONARY = 4 };
enum { PIECE_PAGED = 5 }; /* of pieces only */
enum {
    CELL_ZSTD_HEADER_SIZE = 9, /* that of planes, too */
    CELL_BLOB_SIZE = 25,
    CELL_DICTIONARY_HEADER_SIZE = 7,
    CELL_DICTIONARY_RAW_MIN = 32,       /* smaller values are not worth what a frame costs */
    CELL_DICTIONARY_RAW_MAX = 32 << 10, /* of larger ones most matches are their own */
    BLOB_HEADER_SIZE = 32,
    BLOB_PIECE_SIZE_MAX = 1 << 20,
    BLOB_PAGED_HEADER_SIZE_MIN = 36,
    BLOB_PAGE_BYTES_MAX = 64 << 10,
    BLOB_BEFORE_VALUE = 16, /* LMDB's header of the pages that hold a large value */
};

typedef struct {
    size_t threshold_bytes; /* values smaller than this are not tried */
    int level;
} cell_options;

typedef struct {
    uint64_t id;
    uint64_t size;       /* raw bytes in all */
    uint32_t pieces;     /* = ceil(size / piece_size) */
    uint32_t piece_size; /* 1..BLOB_PIECE_SIZE_MAX */
} cell_blob;

/* A part of a blob's raw bytes, and where it is to be copied to. */
typedef planes_part blob_part;

/* Appends the cell of `raw` to *out: zstd if raw.size >= threshold and that saves at least an eighth, else raw. MLKV_E_MEMORY. */
int cell_encode(const cell_options *options, mlkv_slice raw, mlkv_buffer *out);
/* The same of numbers, which may also become byte planes, if these save at least a 32nd: they cost little to decode. */
int cell_encode_numbers(const cell_options *options, planes_form form, mlkv_slice raw,
                        mlkv_buffer *out);
int cell_encode_blob(const cell_blob *blob, mlkv_buffer *out);

/* What a cell is, validated as far as its header goes. ret_blob only for CELL_BLOB. MLKV_E_CORRUPT. */
int cell_inspect(mlkv_slice cell, int *ret_kind, uint64_t *ret_raw_size, cell_blob *ret_blob);

/* Appends the cell of `raw`, coded with the dictionary, if its size is one for that and that saves at least an eighth.
 * 0; MLKV_ABSENT: it is not, *out is as it was; MLKV_E_MEMORY. */
int cell_encode_with(const dictionary_coder *with, mlkv_slice raw, mlkv_buffer *out);

/* Decodes a RAW, ZSTD or PLANES cell to the end of *out (a BLOB is MLKV_E_ARGUMENT: bring its pieces; so is a DICTIONARY: bring it). */
int cell_decode(mlkv_slice cell, mlkv_buffer *out);

/* Of a DICTIONARY cell that was inspected: the dictionary that it needs. */
uint32_t cell_dictionary(mlkv_slice cell);
/* Decodes a DICTIONARY cell with it; MLKV_E_ARGUMENT if it is another one's. */
int cell_decode_with(const dictionary_decoder *with, mlkv_slice cell, mlkv_buffer *out);

/* Parts of a PLANES cell's raw bytes, without decoding the rest. 0; MLKV_ABSENT: of another kind, or parts that planes do not give;
 * MLKV_E_CORRUPT, MLKV_E_MEMORY. */
int cell_decode_parts(mlkv_slice cell, const blob_part *parts, size_t n);

/* For a RAW cell: the bytes inside, borrowed. False for other kinds. */
_Bool cell_borrow(mlkv_slice cell, mlkv_slice *ret_raw);

/* Appends header and payload of one piece to *out. form: what its bytes are. */
int blob_piece_encode(const cell_options *options, planes_form form, uint64_t id, uint32_t piece,
                      mlkv_slice raw, mlkv_buffer *out);

/* The header of a piece of kind 5, of page_bytes - BLOB_BEFORE_VALUE bytes; behind it `raw` is to
 * follow. page_bytes: a power of two, 64 to BLOB_PAGE_BYTES_MAX. */
void blob_paged_header(uint64_t id, uint32_t piece, mlkv_slice raw, size_t page_bytes,
                       unsigned char *ret_header);

/* Checks header, length and checksum, and writes exactly raw_size bytes at `to`. MLKV_E_CORRUPT names what is wrong. */
int blob_piece_decode(uint64_t id, uint32_t piece, mlkv_slice stored, void *to, size_t raw_size);
/* The same of a piece's planes; of the checksums only the record's seal counts for them. */
int blob_piece_decode_parts(uint64_t id, uint32_t piece, mlkv_slice stored, size_t raw_size,
                            const blob_part *parts, size_t n);
/* The bytes of a piece that is stored raw, borrowed; header and length are checked, the checksum is not (the record's seal was).
 * 0, MLKV_ABSENT (it has to be decoded), MLKV_E_CORRUPT. */
int blob_piece_borrow(uint64_t id, uint32_t piece, mlkv_slice stored, size_t raw_size,
                      mlkv_slice *ret_raw);

#endif
