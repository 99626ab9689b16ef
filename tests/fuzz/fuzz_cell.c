/* fuzz_cell.c - arbitrary bytes as cells and as pieces: decode, validate, use.
 *
 * What must hold for any input:
 *  1. No call reads or writes outside its bytes (sanitizers watch), and each result is 0, an
 * argument or a corruption error.
 *  2. cell_inspect and cell_decode agree about the size; a refused cell leaves the output as it
 * was.
 *  3. What was decoded, encoded again and decoded again, is the same.
 *  4. The same for cells with a dictionary, which is that of the seeds: another one, or none, is refused.
 *  5. A piece that is accepted has the checksum that it says.
 */
#define FUZZ_MUTATIONS_EACH 15000
#include "fuzz.h"

#include "base/hash.h"
#include "codec/cell.h"
#include "small_values.h"

/* Decoding more than this only costs time. */
enum { RAW_SIZE_MAX = 4 << 20, PIECE_SIZE_TRIED = 16 << 10 };

static const cell_options options = {.threshold_bytes = 32, .level = 1};
static mlkv_buffer decoded;
static mlkv_buffer encoded;
static mlkv_buffer again;
static uint64_t accepted[5]; /* by kind, so that main can see that the seeds reach the depths */
static uint64_t pieces_accepted;

static void use_raw(mlkv_slice raw)
{
    static const planes_form forms[] = {{0}, {1, false}, {2, true}, {4, true}, {8, false}};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        encoded.size = again.size = 0;
        REQUIRE(cell_encode_numbers(&options, forms[i], raw, &encoded) == 0);
        REQUIRE(cell_decode(slice_of_buffer(&encoded), &again) == 0);
        REQUIRE(slice_equal(raw, slice_of_buffer(&again)));
    }
}

/* The first bytes and the last whole elements, beside the bytes that decoding the cell gave (NULL: it is broken). */
static void try_parts(mlkv_slice cell, const mlkv_slice *raw)
{
    unsigned char first[8] = {0}, last[16] = {0};
    uint64_t end = raw == NULL || raw->size < 24 ? 24 : raw->size / 8 * 8;
    const blob_part parts[] = {{0, sizeof first, first}, {end - 16, sizeof last, last}};
    int result = cell_decode_parts(cell, parts, 2);
    REQUIRE(result == 0 || result == MLKV_ABSENT || result == MLKV_E_CORRUPT);
    if (raw == NULL)
        return;
    REQUIRE(result != MLKV_E_CORRUPT);
    const unsigned char *bytes = raw->data;
    if (result == 0)
        REQUIRE(memcmp(first, bytes, 8) == 0 && memcmp(last, bytes + end - 16, 16) == 0);
}

enum { DICTIONARY = 3, LEARNED = 400 };
static dictionary_coder *coder;
static dictionary_decoder *decoder;

static void make_dictionary(void)
{
    static char texts[LEARNED * SMALL_VALUE_MAX];
    static size_t sizes[LEARNED];
    size_t total = 0;
    mlkv_buffer bytes = {0};
    for (size_t i = 0; i < LEARNED; i++)
        total += sizes[i] = small_json(i, texts + total);
    REQUIRE(dictionary_learn(slice_of(texts, total), sizes, LEARNED, 8000, &bytes) == 0);
    dictionary_set_id(bytes.data, DICTIONARY);
    REQUIRE(dictionary_coder_create(DICTIONARY, slice_of_buffer(&bytes), 1, &coder) == 0);
    REQUIRE(dictionary_decoder_create(DICTIONARY, slice_of_buffer(&bytes), &decoder) == 0);
    mlkv_buffer_free(&bytes);
}

/* A cell that was inspected as one with a dictionary. */
static void try_dictionary(mlkv_slice cell, uint64_t raw_size)
{
    if (decoder == NULL)
        make_dictionary();
    decoded.size = 0;
    REQUIRE(buffer_append(&decoded, "kept", 4) == 0);
    int result = cell_decode_with(decoder, cell, &decoded);
    REQUIRE((result == MLKV_E_ARGUMENT) == (cell_dictionary(cell) != DICTIONARY));
    REQUIRE(result == 0 || result == MLKV_E_CORRUPT || result == MLKV_E_ARGUMENT);
    REQUIRE(decoded.size == 4 + (result == 0 ? raw_size : 0));
    if (result != 0)
        return;
    mlkv_slice raw = slice_of((char *)decoded.data + 4, decoded.size - 4);
    encoded.size = again.size = 0;
    if (cell_encode_with(coder, raw, &encoded) == 0) {
        REQUIRE(cell_decode_with(decoder, slice_of_buffer(&encoded), &again) == 0);
        REQUIRE(slice_equal(raw, slice_of_buffer(&again)));
    }
    accepted[CELL_DICTIONARY]++;
}

static void try_cell(mlkv_slice cell)
{
    int kind = -1;
    uint64_t raw_size = 0;
    cell_blob blob = {0};
    int inspected = cell_inspect(cell, &kind, &raw_size, &blob);
    REQUIRE(inspected == 0 || inspected == MLKV_E_CORRUPT);
    if (inspected == 0 && kind != CELL_BLOB && raw_size > RAW_SIZE_MAX)
        return;
    decoded.size = 0;
    REQUIRE(buffer_append(&decoded, "kept", 4) == 0);
    int result = cell_decode(cell, &decoded);
    mlkv_slice borrowed = {0};
    bool lent = cell_borrow(cell, &borrowed);
    REQUIRE(memcmp(decoded.data, "kept", 4) == 0);
    if (result != 0) {
        REQUIRE(decoded.size == 4 && !lent);
        try_parts(cell, NULL);
        REQUIRE(result == MLKV_E_CORRUPT || (result == MLKV_E_ARGUMENT && inspected == 0 &&
                                             (kind == CELL_BLOB || kind == CELL_DICTIONARY)));
    } else {
        REQUIRE(inspected == 0 && kind != CELL_BLOB && decoded.size == 4 + raw_size);
        mlkv_slice raw = slice_of((char *)decoded.data + 4, decoded.size - 4);
        REQUIRE(lent == (kind == CELL_RAW));
        REQUIRE(!lent || slice_equal(raw, borrowed));
        try_parts(cell, &raw);
        use_raw(raw);
    }
    if (inspected == 0 && kind == CELL_BLOB) {
        encoded.size = 0;
        REQUIRE(cell_encode_blob(&blob, &encoded) == 0);
        REQUIRE(slice_equal(cell, slice_of_buffer(&encoded)));
    }
    if (inspected == 0 && kind == CELL_DICTIONARY)
        try_dictionary(cell, raw_size);
    if (inspected == 0 && (result == 0 || kind == CELL_BLOB))
        accepted[kind]++;
}

/* The bytes as a piece: of the blob, with the number and size that they say themselves, or the
 * checks behind these were never reached. */
static void try_piece(mlkv_slice stored)
{
    uint64_t id = 0;
    uint32_t piece = 0;
    size_t raw_size = 8;
    const unsigned char *bytes = stored.data;
    if (stored.size >= BLOB_HEADER_SIZE) {
        id = load_le64(bytes + 8);
        piece = load_le32(bytes + 16);
        raw_size = load_le32(bytes + 20) % (PIECE_SIZE_TRIED + 1);
    }
    void *to =
        malloc(raw_size +
               1); /* of its exact size but for nothing at all, so that a write past it is seen */
    REQUIRE(to != NULL);
    void *exact = raw_size == 0 ? to : realloc(to, raw_size);
    REQUIRE(exact != NULL);
    int result = blob_piece_decode(id, piece, stored, exact, raw_size);
    REQUIRE(result == 0 || result == MLKV_E_CORRUPT);
    unsigned char part[8] = {0};
    int parted = blob_piece_decode_parts(id, piece, stored, raw_size, &(blob_part){0, 8, part}, 1);
    REQUIRE(parted == 0 || parted == MLKV_ABSENT || parted == MLKV_E_CORRUPT);
    if (result == 0 && parted == 0)
        REQUIRE(memcmp(part, exact, 8) == 0);
    REQUIRE(result != 0 || parted != MLKV_E_CORRUPT);
    if (result == 0) {
        REQUIRE(hash_checksum(exact, raw_size, id + piece) == load_le64(bytes + 24));
        REQUIRE(blob_piece_decode(id + 1, piece, stored, exact, raw_size) == MLKV_E_CORRUPT);
        REQUIRE(blob_piece_decode(id, piece + 1, stored, exact, raw_size) == MLKV_E_CORRUPT);
        pieces_accepted++;
    }
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_cell(slice_of(data, size));
    try_piece(slice_of(data, size));
    return 0;
}

#ifndef FUZZ_WITH_LIBFUZZER

enum { SEED_COUNT = 18, SEED_PLANES = 10, SEED_DICTIONARY = 16, SEED_RAW_SIZE = 2000 };

/* Numbers of which some planes are noise, some repeat, some are one byte. */
static void make_planes_seed(unsigned number, mlkv_buffer *seed)
{
    static const planes_form forms[] = {{2, true}, {4, true}, {8, false}};
    planes_form form = forms[number % 3];
    unsigned char raw[SEED_RAW_SIZE * 2 + 1] = {0};
    for (size_t i = 0; i < sizeof raw; i++)
        raw[i] = i % form.width == 0 ? (unsigned char)(fuzz_random() >> 56)
                                     : (unsigned char)(i / form.width % 3 * (i % form.width - 1));
    mlkv_slice content = slice_of(raw, sizeof raw);
    int result = number < 3 ? cell_encode_numbers(&options, form, content, seed)
                            : blob_piece_encode(&options, form, 7, 3, content, seed);
    REQUIRE(result == 0);
    REQUIRE(((unsigned char *)seed->data)[number < 3 ? 0 : 4] == CELL_PLANES);
}

static bool make_seed(unsigned number, mlkv_buffer *seed)
{
    static const cell_blob blob = {.id = 5, .size = 2500, .pieces = 3, .piece_size = 1000};
    static const cell_options plain = {SIZE_MAX, 1};
    unsigned char raw[SEED_RAW_SIZE] = {0};
    if (number >= SEED_COUNT)
        return false;
    seed->size = 0;
    if (number >= SEED_DICTIONARY) {
        char text[SMALL_VALUE_MAX];
        if (coder == NULL)
            make_dictionary();
        REQUIRE(cell_encode_with(coder, slice_of(text, small_json(number, text)), seed) == 0);
        return true;
    }
    if (number >= SEED_PLANES) {
        make_planes_seed(number - SEED_PLANES, seed);
        return true;
    }
    for (size_t i = 0; i < sizeof raw; i++)
        raw[i] = (unsigned char)(number % 2 == 0 ? "abcdefgh  ijk "[i % 14]
                                                 : (int)(fuzz_random() >> 56));
    mlkv_slice content = slice_of(raw, number < 6 ? sizeof raw : 20);
    if (number == 8)
        REQUIRE(cell_encode_blob(&blob, seed) == 0);
    else if (number == 9)
        REQUIRE(blob_piece_encode(&plain, (planes_form){0}, 7, 3, content, seed) == 0);
    else if (number % 4 < 2)
        REQUIRE(cell_encode(&options, content, seed) == 0);
    else
        REQUIRE(blob_piece_encode(&options, (planes_form){0}, 7, 3, content, seed) == 0);
    return true;
}

/* Mutations must reach the depths, and not everything may be accepted. */
static void check_reached(void)
{
    fprintf(stderr,
            "fuzz_cell: %llu raw, %llu zstd, %llu blob, %llu planes, %llu dictionary cells and "
            "%llu pieces were accepted\n",
            (unsigned long long)accepted[CELL_RAW], (unsigned long long)accepted[CELL_ZSTD],
            (unsigned long long)accepted[CELL_BLOB], (unsigned long long)accepted[CELL_PLANES],
            (unsigned long long)accepted[CELL_DICTIONARY], (unsigned long long)pieces_accepted);
    REQUIRE(accepted[CELL_RAW] > 100 && accepted[CELL_ZSTD] > 100 && accepted[CELL_BLOB] > 100 &&
            pieces_accepted > 100 && accepted[CELL_DICTIONARY] > 100);
    REQUIRE(accepted[CELL_ZSTD] + accepted[CELL_BLOB] + pieces_accepted <
            (uint64_t)SEED_COUNT * FUZZ_MUTATIONS_EACH);
    mlkv_buffer_free(&decoded);
    mlkv_buffer_free(&encoded);
    mlkv_buffer_free(&again);
    dictionary_coder_destroy(coder);
    dictionary_decoder_destroy(decoder);
}

#endif
