/* fuzz_cell.c - arbitrary bytes as cells and as pieces: decode, validate, use.
 *
 * LLVMFuzzerTestOneInput is libFuzzer's entry (clang -fsanitize=fuzzer -DFUZZ_WITH_LIBFUZZER).
 * Without it, main runs well-formed seeds and many mutations of them, always the same ones, so that
 * this is an ordinary test too; with arguments it runs those files.
 *
 * What must hold for any input:
 *  1. No call reads or writes outside its bytes (sanitizers watch), and each result is 0, an
 * argument or a corruption error.
 *  2. cell_inspect and cell_decode agree about the size; a refused cell leaves the output as it
 * was.
 *  3. What was decoded, encoded again and decoded again, is the same.
 *  4. A piece that is accepted has the checksum that it says.
 */
#include "base/buffer.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "codec/cell.h"

#include <mlkv/error.h>
#include <stdio.h>
#include <stdlib.h>

/* Decoding more than this only costs time. */
enum { RAW_SIZE_MAX = 4 << 20, PIECE_SIZE_TRIED = 16 << 10 };

#define REQUIRE(condition)                                                                       \
    do {                                                                                         \
        if (!(condition)) {                                                                      \
            fprintf(stderr, "fuzz_cell: %s does not hold (line %d; %s)\n", #condition, __LINE__, \
                    mlkv_error_detail());                                                        \
            abort();                                                                             \
        }                                                                                        \
    } while (0)

static const cell_options options = {.threshold_bytes = 32, .level = 1};
static mlkv_buffer decoded;
static mlkv_buffer encoded;
static mlkv_buffer again;
static uint64_t accepted[3]; /* by kind, so that main can see that the seeds reach the depths */
static uint64_t pieces_accepted;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use_raw(mlkv_slice raw)
{
    encoded.size = again.size = 0;
    REQUIRE(cell_encode(&options, raw, &encoded) == 0);
    REQUIRE(cell_decode(slice_of_buffer(&encoded), &again) == 0);
    REQUIRE(slice_equal(raw, slice_of_buffer(&again)));
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
        REQUIRE(result == MLKV_E_CORRUPT ||
                (result == MLKV_E_ARGUMENT && inspected == 0 && kind == CELL_BLOB));
    } else {
        REQUIRE(inspected == 0 && kind != CELL_BLOB && decoded.size == 4 + raw_size);
        mlkv_slice raw = slice_of((char *)decoded.data + 4, decoded.size - 4);
        REQUIRE(lent == (kind == CELL_RAW));
        REQUIRE(!lent || slice_equal(raw, borrowed));
        use_raw(raw);
    }
    if (inspected == 0 && kind == CELL_BLOB) {
        encoded.size = 0;
        REQUIRE(cell_encode_blob(&blob, &encoded) == 0);
        REQUIRE(slice_equal(cell, slice_of_buffer(&encoded)));
    }
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
    if (result == 0) {
        REQUIRE(hash_checksum(exact, raw_size, id + piece) == load_le64(bytes + 24));
        REQUIRE(blob_piece_decode(id + 1, piece, stored, exact, raw_size) == MLKV_E_CORRUPT);
        REQUIRE(blob_piece_decode(id, piece + 1, stored, exact, raw_size) == MLKV_E_CORRUPT);
        pieces_accepted++;
    }
    free(exact);
}

/* A copy of its exact size, so that a read past it is seen; a zstd cell inside a piece's payload is
 * tried for itself. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned char *copy = malloc(size == 0 ? 1 : size);
    REQUIRE(copy != NULL);
    bytes_copy(copy, data, size);
    try_cell(slice_of(copy, size));
    try_piece(slice_of(copy, size));
    free(copy);
    return 0;
}

#ifndef FUZZ_WITH_LIBFUZZER

enum { SEED_COUNT = 10, SEED_RAW_SIZE = 2000, MUTATIONS_EACH = 15000 };

static uint64_t random_state = 4711;

/* xorshift64*: always the same mutations, so that a failure can be seen again. */
static uint64_t next_random(void)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 0x2545f4914f6cdd1dU;
}

static void make_seed(int number, mlkv_buffer *seed)
{
    static const cell_blob blob = {.id = 5, .size = 2500, .pieces = 3, .piece_size = 1000};
    unsigned char raw[SEED_RAW_SIZE] = {0};
    for (size_t i = 0; i < sizeof raw; i++)
        raw[i] = (unsigned char)(number % 2 == 0 ? "abcdefgh  ijk "[i % 14]
                                                 : (int)(next_random() >> 56));
    size_t size = number < 6 ? sizeof raw : 20;
    seed->size = 0;
    if (number == 8)
        REQUIRE(cell_encode_blob(&blob, seed) == 0);
    else if (number == 9)
        REQUIRE(blob_piece_encode(&(cell_options){SIZE_MAX, 1}, 7, 3, slice_of(raw, size), seed) ==
                0);
    else if (number % 4 < 2)
        REQUIRE(cell_encode(&options, slice_of(raw, size), seed) == 0);
    else
        REQUIRE(blob_piece_encode(&options, 7, 3, slice_of(raw, size), seed) == 0);
}

/* Changes a few bytes, mostly near the beginning, where the headers are; sometimes cuts or
 * lengthens. */
static void mutate(mlkv_buffer *bytes)
{
    uint64_t changes = next_random() % 4;
    for (uint64_t i = 0; i < changes && bytes->size != 0; i++) {
        size_t range = next_random() % 2 == 0 && bytes->size > 48 ? 48 : bytes->size;
        unsigned char *at = (unsigned char *)bytes->data + next_random() % range;
        if (next_random() % 2 == 0)
            *at ^= (unsigned char)(1U << next_random() % 8);
        else
            *at = (unsigned char)next_random();
    }
    if (next_random() % 8 == 0)
        bytes->size = next_random() % (bytes->size + 1);
    if (next_random() % 8 == 0) {
        uint64_t more = next_random();
        REQUIRE(buffer_append(bytes, &more, next_random() % 9) == 0);
    }
}

static void run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    REQUIRE(file != NULL);
    mlkv_buffer bytes = {0};
    unsigned char block[4096];
    for (size_t got = fread(block, 1, sizeof block, file); got != 0;
         got = fread(block, 1, sizeof block, file))
        REQUIRE(buffer_append(&bytes, block, got) == 0);
    fclose(file);
    LLVMFuzzerTestOneInput(bytes.data, bytes.size);
    mlkv_buffer_free(&bytes);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        run_file(argv[i]);
    if (argc > 1)
        return 0;
    mlkv_buffer seed = {0};
    mlkv_buffer mutated = {0};
    LLVMFuzzerTestOneInput(NULL, 0);
    for (int number = 0; number < SEED_COUNT; number++) {
        make_seed(number, &seed);
        LLVMFuzzerTestOneInput(seed.data, seed.size);
        for (int i = 0; i < MUTATIONS_EACH; i++) {
            REQUIRE(buffer_assign(&mutated, seed.data, seed.size) == 0);
            mutate(&mutated);
            LLVMFuzzerTestOneInput(mutated.data, mutated.size);
        }
    }
    fprintf(stderr,
            "fuzz_cell: %llu raw, %llu zstd, %llu blob cells and %llu pieces were accepted\n",
            (unsigned long long)accepted[CELL_RAW], (unsigned long long)accepted[CELL_ZSTD],
            (unsigned long long)accepted[CELL_BLOB], (unsigned long long)pieces_accepted);
    /* mutations must reach the depths, and not everything may be accepted */
    REQUIRE(accepted[CELL_RAW] > 100 && accepted[CELL_ZSTD] > 100 && accepted[CELL_BLOB] > 100 &&
            pieces_accepted > 100);
    REQUIRE(accepted[CELL_ZSTD] + accepted[CELL_BLOB] + pieces_accepted <
            (uint64_t)SEED_COUNT * MUTATIONS_EACH);
    mlkv_buffer_free(&seed);
    mlkv_buffer_free(&mutated);
    mlkv_buffer_free(&decoded);
    mlkv_buffer_free(&encoded);
    mlkv_buffer_free(&again);
    return 0;
}

#endif
