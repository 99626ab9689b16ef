/* test_cell.c - cells and pieces: their bytes are pinned, every wrong byte is found, and a failure
 * changes nothing. */
#include "codec/cell.h"

#include "base/buffer.h"
#include "base/hash.h"
#include "base/random.h"
#include "codec/compress.h"
#include "harness.h"

static const cell_options options = {.threshold_bytes = 64, .level = 1};
static const cell_options no_compression = {.threshold_bytes = SIZE_MAX, .level = 1};

static void fill_text(unsigned char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)((size_t) "lorem ipsum dolor sit amet "[i % 27] + (i / 500) % 5);
}

START_TEST(raw_cells)
{
    mlkv_buffer cell = {0};
    mlkv_buffer back = {0};
    OK(buffer_append(&cell, "!", 1));
    OK(cell_encode(&options, TEXT("value"), &cell));
    ck_assert(slice_equal(slice_of_buffer(&cell), TEXT("!\0value")));
    int kind = -1;
    uint64_t size = 0;
    mlkv_slice inside = slice_of((char *)cell.data + 1, cell.size - 1);
    OK(cell_inspect(inside, &kind, &size, NULL));
    ck_assert_int_eq(kind, CELL_RAW);
    ck_assert_uint_eq(size, 5);
    OK(buffer_append(&back, "<", 1));
    OK(cell_decode(inside, &back));
    ck_assert(slice_equal(slice_of_buffer(&back), TEXT("<value")));
    mlkv_slice borrowed = {0};
    ck_assert(cell_borrow(inside, &borrowed));
    ck_assert(slice_equal(borrowed, TEXT("value")));
    ck_assert_ptr_eq(borrowed.data, (char *)cell.data + 2);
    cell.size = 0;
    OK(cell_encode(&options, slice_of(NULL, 0), &cell));
    ck_assert(slice_equal(slice_of_buffer(&cell), TEXT("\0")));
    OK(cell_inspect(slice_of_buffer(&cell), &kind, &size, NULL));
    ck_assert_uint_eq(size, 0);
    ck_assert(cell_borrow(slice_of_buffer(&cell), &borrowed));
    ck_assert_uint_eq(borrowed.size, 0);
    mlkv_buffer_free(&cell);
    mlkv_buffer_free(&back);
}
END_TEST

START_TEST(compressed_cells)
{
    unsigned char raw[5000];
    fill_text(raw, sizeof raw);
    mlkv_buffer cell = {0};
    mlkv_buffer back = {0};
    OK(cell_encode(&options, slice_of(raw, sizeof raw), &cell));
    const unsigned char *bytes = cell.data;
    ck_assert_uint_eq(bytes[0], CELL_ZSTD);
    ck_assert_uint_eq(load_le64(bytes + 1), sizeof raw);
    ck_assert_mem_eq(bytes + 9, "\x28\xb5\x2f\xfd", 4);
    int kind = -1;
    uint64_t size = 0;
    OK(cell_inspect(slice_of_buffer(&cell), &kind, &size, NULL));
    ck_assert_int_eq(kind, CELL_ZSTD);
    ck_assert_uint_eq(size, sizeof raw);
    OK(cell_decode(slice_of_buffer(&cell), &back));
    ck_assert(slice_equal(slice_of_buffer(&back), slice_of(raw, sizeof raw)));
    mlkv_slice borrowed = TEXT("untouched");
    ck_assert(!cell_borrow(slice_of_buffer(&cell), &borrowed));
    ck_assert(slice_equal(borrowed, TEXT("untouched")));
    cell.size = 0;
    OK(cell_encode(&no_compression, slice_of(raw, sizeof raw), &cell));
    ck_assert_uint_eq(cell.size, sizeof raw + 1);
    mlkv_buffer_free(&cell);
    mlkv_buffer_free(&back);
}
END_TEST

/* Bytes of which a part is random: zstd is chosen exactly while it saves an eighth, and the value
 * always comes back. */
START_TEST(only_if_an_eighth_is_saved)
{
    mlkv_buffer cell = {0};
    mlkv_buffer back = {0};
    bool seen[2] = {false, false};
    for (size_t size = 0; size <= 2048; size = size * 3 / 2 + 1)
        for (size_t random_part = 0; random_part <= 16; random_part++) {
            unsigned char raw[4096] = {0};
            OK(random_system(raw, size * random_part / 16));
            cell.size = back.size = 0;
            OK(cell_encode(&options, slice_of(raw, size), &cell));
            int kind = *(unsigned char *)cell.data;
            if (kind == CELL_ZSTD) {
                ck_assert_uint_ge(size, options.threshold_bytes);
                ck_assert_uint_le(cell.size * 8, size * 7);
            } else {
                ck_assert_int_eq(kind, CELL_RAW);
                ck_assert_uint_eq(cell.size, size + 1);
                if (random_part == 0)
                    ck_assert_uint_lt(size, options.threshold_bytes);
            }
            seen[kind] = true;
            OK(cell_decode(slice_of_buffer(&cell), &back));
            ck_assert(slice_equal(slice_of_buffer(&back), slice_of(raw, size)));
        }
    ck_assert(seen[0] && seen[1]);
    mlkv_buffer_free(&cell);
    mlkv_buffer_free(&back);
}
END_TEST

START_TEST(old_zstd)
{
    unsigned char raw[5000];
    fill_text(raw, sizeof raw);
    mlkv_buffer cell = {0};
    mlkv_buffer back = {0};
    compress_refuse_parameters(true);
    OK(cell_encode(&options, slice_of(raw, sizeof raw), &cell));
    compress_refuse_parameters(false);
    ck_assert_uint_eq(*(unsigned char *)cell.data, CELL_ZSTD);
    OK(cell_decode(slice_of_buffer(&cell), &back));
    ck_assert(slice_equal(slice_of_buffer(&back), slice_of(raw, sizeof raw)));
    mlkv_buffer_free(&cell);
    mlkv_buffer_free(&back);
}
END_TEST

START_TEST(blob_cells)
{
    mlkv_buffer cell = {0};
    mlkv_buffer back = {0};
    cell_blob blob = {.id = 0x0102030405060708U, .size = 2500, .pieces = 3, .piece_size = 1000};
    OK(cell_encode_blob(&blob, &cell));
    ck_assert(slice_equal(
        slice_of_buffer(&cell),
        TEXT("\2\x08\x07\x06\x05\x04\x03\x02\x01\xc4\x09\0\0\0\0\0\0\3\0\0\0\xe8\3\0\0")));
    int kind = -1;
    uint64_t size = 0;
    cell_blob got = {0};
    OK(cell_inspect(slice_of_buffer(&cell), &kind, &size, &got));
    ck_assert_int_eq(kind, CELL_BLOB);
    ck_assert_uint_eq(size, 2500);
    ck_assert_uint_eq(got.id, blob.id);
    ck_assert_uint_eq(got.size, blob.size);
    ck_assert_uint_eq(got.pieces, blob.pieces);
    ck_assert_uint_eq(got.piece_size, blob.piece_size);
    OK(cell_inspect(slice_of_buffer(&cell), NULL, NULL, NULL));
    MUST(MLKV_E_ARGUMENT, cell_decode(slice_of_buffer(&cell), &back));
    mlkv_slice borrowed = {0};
    ck_assert(!cell_borrow(slice_of_buffer(&cell), &borrowed));
    ck_assert_uint_eq(back.size, 0);
    mlkv_buffer_free(&cell);
    mlkv_buffer_free(&back);
}
END_TEST

START_TEST(blob_numbers_that_do_not_fit)
{
    static const cell_blob wrong[] = {
        {1, 2500, 2, 1000},
        {1, 2500, 4, 1000},
        {1, 2000, 3, 1000},
        {1, 0, 1, 1000},
        {1, 2500, 3, 0},
        {1, BLOB_PIECE_SIZE_MAX + 1, 1, BLOB_PIECE_SIZE_MAX + 1},
        {1, UINT64_MAX, UINT32_MAX, BLOB_PIECE_SIZE_MAX},
        {1, 1ULL << 52, 0, BLOB_PIECE_SIZE_MAX}, /* 2^32 pieces, in 32 bits none */
    };
    mlkv_buffer cell = {0};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        MUST(MLKV_E_ARGUMENT, cell_encode_blob(&wrong[i], &cell));
        ck_assert_uint_eq(cell.size, 0);
        unsigned char bytes[CELL_BLOB_SIZE] = {CELL_BLOB};
        store_le64(bytes + 1, wrong[i].id);
        store_le64(bytes + 9, wrong[i].size);
        store_le32(bytes + 17, wrong[i].pieces);
        store_le32(bytes + 21, wrong[i].piece_size);
        uint64_t size = 4711;
        MUST(MLKV_E_CORRUPT, cell_inspect(slice_of(bytes, sizeof bytes), NULL, &size, NULL));
        ck_assert_uint_eq(size, 4711);
    }
    const cell_blob right = {1, 2000, 2, 1000};
    OK(cell_encode_blob(&right, &cell));
    OK(buffer_append(&cell, "x", 1));
    for (size_t size = 1; size <= cell.size; size++)
        MUST(size == CELL_BLOB_SIZE ? 0 : MLKV_E_CORRUPT,
             cell_inspect(slice_of(cell.data, size), NULL, NULL, NULL));
    mlkv_buffer_free(&cell);
}
END_TEST

START_TEST(broken_cells)
{
    unsigned char raw[3000];
    fill_text(raw, sizeof raw);
    mlkv_buffer cell = {0};
    mlkv_buffer back = {0};
    OK(buffer_append(&back, "kept", 4));
    MUST(MLKV_E_CORRUPT, cell_decode(slice_of(NULL, 0), &back));
    MUST(MLKV_E_CORRUPT, cell_inspect(slice_of(NULL, 0), NULL, NULL, NULL));
    MUST(MLKV_E_CORRUPT, cell_decode(TEXT("\11abc"), &back));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "kind is 9"));
    OK(cell_encode(&options, slice_of(raw, sizeof raw), &cell));
    for (size_t size = 1; size < cell.size; size++)
        MUST(MLKV_E_CORRUPT, cell_decode(slice_of(cell.data, size), &back));
    unsigned char *bytes = cell.data;
    for (size_t i = 1; i < 9; i++) { /* the size that the cell claims, each byte of it */
        bytes[i] ^= 0x40;
        MUST(MLKV_E_CORRUPT, cell_decode(slice_of_buffer(&cell), &back));
        MUST(MLKV_E_CORRUPT, cell_inspect(slice_of_buffer(&cell), NULL, NULL, NULL));
        bytes[i] ^= 0x40;
    }
    OK(buffer_append(&cell, "x", 1));
    MUST(MLKV_E_CORRUPT, cell_decode(slice_of_buffer(&cell), &back));
    ck_assert(slice_equal(slice_of_buffer(&back), TEXT("kept")));
    mlkv_buffer_free(&cell);
    mlkv_buffer_free(&back);
}
END_TEST

/* Encodes raw as piece 7 of blob 99. */
static void encode_piece(const cell_options *how, mlkv_slice raw, mlkv_buffer *piece)
{
    piece->size = 0;
    OK(blob_piece_encode(how, (planes_form){0}, 99, 7, raw, piece));
}

START_TEST(pieces)
{
    mlkv_buffer piece = {0};
    encode_piece(&options, TEXT("payload"), &piece);
    const unsigned char *bytes = piece.data;
    ck_assert_uint_eq(piece.size, BLOB_HEADER_SIZE + 7);
    ck_assert_mem_eq(bytes, "MLKB\0\0\0\0\x63\0\0\0\0\0\0\0\7\0\0\0\7\0\0\0", 24);
    ck_assert_uint_eq(load_le64(bytes + 24), hash_checksum("payload", 7, 99 + 7));
    ck_assert_mem_eq(bytes + 32, "payload", 7);
    char back[8] = "";
    OK(blob_piece_decode(99, 7, slice_of_buffer(&piece), back, 7));
    ck_assert_str_eq(back, "payload");

    const size_t size = BLOB_PIECE_SIZE_MAX;
    unsigned char *raw = malloc(size + 1);
    unsigned char *decoded = malloc(size);
    ck_assert(raw != NULL && decoded != NULL);
    fill_text(raw, size + 1);
    const cell_options *hows[] = {&options, &no_compression};
    for (int i = 0; i < 2; i++) {
        encode_piece(hows[i], slice_of(raw, size), &piece);
        ck_assert_uint_eq(((unsigned char *)piece.data)[4], i == 0 ? CELL_ZSTD : CELL_RAW);
        memset(decoded, 0, size);
        OK(blob_piece_decode(99, 7, slice_of_buffer(&piece), decoded, size));
        ck_assert(memcmp(raw, decoded, size) == 0);
    }
    OK(buffer_assign(&piece, "kept", 4));
    MUST(MLKV_E_SIZE,
         blob_piece_encode(&options, (planes_form){0}, 1, 0, slice_of(raw, size + 1), &piece));
    ck_assert(slice_equal(slice_of_buffer(&piece), TEXT("kept")));
    OK(blob_piece_encode(&options, (planes_form){0}, 1, 0, slice_of(NULL, 0),
                         &piece)); /* appended */
    OK(blob_piece_decode(1, 0, slice_of((char *)piece.data + 4, piece.size - 4), NULL, 0));
    free(raw);
    free(decoded);
    mlkv_buffer_free(&piece);
}
END_TEST

/* Piece 7 of blob 99 in pages of 256 bytes. */
static void make_paged(mlkv_slice raw, mlkv_buffer *piece)
{
    mlkv_slice borrowed;
    piece->size = 0;
    void *header = buffer_extend(piece, 256 - BLOB_BEFORE_VALUE);
    ck_assert_ptr_nonnull(header);
    blob_paged_header(99, 7, raw, 256, header);
    OK(buffer_append(piece, raw.data, raw.size));
    OK(blob_piece_borrow(99, 7, slice_of_buffer(piece), raw.size, &borrowed));
    ck_assert_ptr_eq(borrowed.data, (char *)piece->data + 256 - BLOB_BEFORE_VALUE);
    ck_assert_uint_eq(borrowed.size, raw.size);
}

/* Every flipped bit and every cut of a piece is found, whatever it hits. */
START_TEST(broken_pieces)
{
    unsigned char raw[400];
    unsigned char back[401];
    fill_text(raw, sizeof raw);
    mlkv_buffer piece = {0};
    const cell_options *hows[] = {&options, &no_compression};
    for (int how = 0; how < 3; how++) {
        if (how == 2)
            make_paged(slice_of(raw, sizeof raw), &piece);
        else
            encode_piece(hows[how], slice_of(raw, sizeof raw), &piece);
        unsigned char *bytes = piece.data;
        ck_assert_uint_eq(bytes[4], how == 0 ? CELL_ZSTD : how == 1 ? CELL_RAW : PIECE_PAGED);
        for (size_t size = 0; size < piece.size; size++)
            MUST(MLKV_E_CORRUPT, blob_piece_decode(99, 7, slice_of(bytes, size), back, sizeof raw));
        for (size_t bit = 0; bit < piece.size * 8; bit++) {
            bytes[bit / 8] ^= (unsigned char)(1U << bit % 8);
            memset(back, 0, sizeof back);
            int result = blob_piece_decode(99, 7, slice_of_buffer(&piece), back, sizeof raw);
            /* zstd's own header has bits without a meaning: the bytes must be right then */
            if (result != MLKV_E_CORRUPT &&
                (bit < BLOB_HEADER_SIZE * 8 || result != 0 || memcmp(back, raw, sizeof raw) != 0))
                ck_abort_msg("bit %zu: got %d", bit, result);
            bytes[bit / 8] ^= (unsigned char)(1U << bit % 8);
        }
        MUST(MLKV_E_CORRUPT, blob_piece_decode(98, 7, slice_of_buffer(&piece), back, sizeof raw));
        MUST(MLKV_E_CORRUPT, blob_piece_decode(99, 6, slice_of_buffer(&piece), back, sizeof raw));
        MUST(MLKV_E_CORRUPT,
             blob_piece_decode(99, 7, slice_of_buffer(&piece), back, sizeof raw - 1));
        MUST(MLKV_E_CORRUPT,
             blob_piece_decode(99, 7, slice_of_buffer(&piece), back, sizeof raw + 1));
        ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "piece 7 of blob 99"));
        OK(blob_piece_decode(99, 7, slice_of_buffer(&piece), back, sizeof raw));
        OK(buffer_append(&piece, "x", 1));
        MUST(MLKV_E_CORRUPT, blob_piece_decode(99, 7, slice_of_buffer(&piece), back, sizeof raw));
    }
    mlkv_buffer_free(&piece);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cell");
    TCase *tcase = harness_case(suite, "cell");
    tcase_add_test(tcase, raw_cells);
    tcase_add_test(tcase, compressed_cells);
    tcase_add_test(tcase, only_if_an_eighth_is_saved);
    tcase_add_test(tcase, old_zstd);
    tcase_add_test(tcase, blob_cells);
    tcase_add_test(tcase, blob_numbers_that_do_not_fit);
    tcase_add_test(tcase, broken_cells);
    tcase_add_test(tcase, pieces);
    tcase_add_test(tcase, broken_pieces);
    return harness_run(suite);
}
