/* test_dictionary.c - dictionaries and cells that are coded with them: round trips at every size and level, and bytes that are none. */
#include "codec/dictionary.h"

#include "base/buffer.h"
#include "codec/cell.h"
#include "codec/compress.h"
#include "harness.h"
#include "small_values.h"

#include <pthread.h>

enum { VALUES = 2000, BYTES = 20000 };

/* One that was learned from JSON, number 7. */
static mlkv_buffer learned(void)
{
    static char texts[VALUES * SMALL_VALUE_MAX];
    static size_t sizes[VALUES];
    size_t total = 0;
    mlkv_buffer bytes = {0};
    for (size_t i = 0; i < VALUES; i++)
        total += sizes[i] = small_json(i, texts + total);
    OK(dictionary_learn(slice_of(texts, total), sizes, VALUES, BYTES, &bytes));
    ck_assert_uint_le(bytes.size, BYTES);
    dictionary_set_id(bytes.data, 7);
    OK(dictionary_check(7, slice_of_buffer(&bytes)));
    return bytes;
}

typedef struct {
    mlkv_buffer bytes;
    dictionary_coder *coder;
    dictionary_decoder *decoder;
} pair;

static pair pair_of(uint32_t id, int level)
{
    pair self = {.bytes = learned()};
    dictionary_set_id(self.bytes.data, id);
    OK(dictionary_coder_create(id, slice_of_buffer(&self.bytes), level, &self.coder));
    OK(dictionary_decoder_create(id, slice_of_buffer(&self.bytes), &self.decoder));
    ck_assert_uint_eq(dictionary_coder_id(self.coder), id);
    ck_assert_uint_gt(dictionary_coder_size(self.coder), self.bytes.size);
    ck_assert_uint_gt(dictionary_decoder_size(self.decoder), self.bytes.size);
    return self;
}

static void pair_done(pair *self)
{
    dictionary_coder_destroy(self->coder);
    dictionary_decoder_destroy(self->decoder);
    mlkv_buffer_free(&self->bytes);
}

/* Encodes if that is worth it, decodes, compares. Returns whether it was. */
static bool there_and_back(const pair *with, mlkv_slice raw)
{
    mlkv_buffer cell = {0}, back = {0};
    int kind = 0;
    uint64_t size = 0;
    OK(buffer_append(&back, "kept", 4));
    int result = cell_encode_with(with->coder, raw, &cell);
    ck_assert_int_ge(result, 0);
    if (result == MLKV_OK) {
        ck_assert_uint_le(cell.size, raw.size - raw.size / 8);
        OK(cell_inspect(slice_of_buffer(&cell), &kind, &size, NULL));
        ck_assert_int_eq(kind, CELL_DICTIONARY);
        ck_assert_uint_eq(size, raw.size);
        ck_assert_uint_eq(cell_dictionary(slice_of_buffer(&cell)),
                          dictionary_decoder_id(with->decoder));
        MUST(MLKV_E_ARGUMENT, cell_decode(slice_of_buffer(&cell), &back));
        OK(cell_decode_with(with->decoder, slice_of_buffer(&cell), &back));
        ck_assert_mem_eq(back.data, "kept", 4);
        ck_assert(slice_equal(slice_of((char *)back.data + 4, back.size - 4), raw));
    } else {
        ck_assert_uint_eq(cell.size, 0);
    }
    mlkv_buffer_free(&cell);
    mlkv_buffer_free(&back);
    return result == MLKV_OK;
}

START_TEST(round_trips)
{
    char text[SMALL_VALUE_MAX];
    static char large[40000];
    for (size_t i = 0, k = 0; i < sizeof large; k++)
        for (size_t n = small_json(k, text), j = 0; j < n && i < sizeof large;)
            large[i++] = text[j++];
    for (int level = -5; level <= 9; level += 7) {
        pair with = pair_of(70000 + (uint32_t)level, level);
        unsigned coded = 0;
        for (uint64_t i = VALUES; i < VALUES + 200; i++)
            coded += there_and_back(&with, slice_of(text, small_json(i, text)));
        ck_assert_uint_ge(coded, 190);
        for (size_t size = 0; size < sizeof large; size = size * 9 / 8 + 1)
            there_and_back(&with, slice_of(large, size));
        ck_assert(there_and_back(&with, slice_of(large, CELL_DICTIONARY_RAW_MAX)));
        ck_assert(!there_and_back(&with, slice_of(large, CELL_DICTIONARY_RAW_MAX + 1)));
        ck_assert(!there_and_back(&with, slice_of(large, CELL_DICTIONARY_RAW_MIN - 1)));
        /* after a frame that did not fit, the next one is coded all the same */
        ck_assert(!there_and_back(&with, TEXT("0p9oi8u7zt6r5e4w3q2yXsDcFvGbHnJmK")));
        ck_assert(there_and_back(&with, slice_of(text, small_json(5, text))));
        pair_done(&with);
    }
}
END_TEST

START_TEST(nothing_to_learn)
{
    mlkv_buffer bytes = {0};
    static char noise[64 * 100];
    size_t sizes[64];
    uint64_t state = 5;
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (char)small_random(&state);
    for (size_t i = 0; i < 64; i++)
        sizes[i] = 100;
    OK(buffer_append(&bytes, "kept", 4));
    MUST(MLKV_ABSENT, dictionary_learn(slice_of(noise, 0), sizes, 0, BYTES, &bytes));
    MUST(MLKV_ABSENT, dictionary_learn(slice_of(noise, 1500), sizes, 15, BYTES, &bytes));
    MUST(MLKV_ABSENT, dictionary_learn(slice_of(noise, 6400), sizes, 64, 255, &bytes));
    ck_assert_uint_eq(bytes.size, 4);
    mlkv_buffer_free(&bytes);
}
END_TEST

START_TEST(bytes_that_are_no_dictionary)
{
    mlkv_buffer bytes = learned();
    dictionary_coder *coder = NULL;
    dictionary_decoder *decoder = NULL;
    unsigned char *at = bytes.data;
    MUST(MLKV_E_CORRUPT, dictionary_check(8, slice_of_buffer(&bytes)));
    MUST(MLKV_E_CORRUPT, dictionary_coder_create(8, slice_of_buffer(&bytes), 1, &coder));
    MUST(MLKV_E_CORRUPT, dictionary_decoder_create(8, slice_of_buffer(&bytes), &decoder));
    for (size_t size = 0; size < 40; size++)
        MUST(MLKV_E_CORRUPT, dictionary_check(7, slice_of(at, size)));
    MUST(MLKV_E_CORRUPT, dictionary_check(7, slice_of(at, DICTIONARY_SIZE_MAX + 1)));
    at[0]++;
    MUST(MLKV_E_CORRUPT, dictionary_check(7, slice_of_buffer(&bytes)));
    at[0]--;
    memset(at + 8, 0xff, 60); /* its tables */
    MUST(MLKV_E_CORRUPT, dictionary_check(7, slice_of_buffer(&bytes)));
    ck_assert_ptr_null(coder);
    ck_assert_ptr_null(decoder);
    mlkv_buffer_free(&bytes);
}
END_TEST

START_TEST(broken_cells)
{
    pair with = pair_of(3, 1), other = pair_of(4, 1);
    char text[SMALL_VALUE_MAX];
    mlkv_buffer cell = {0}, out = {0};
    mlkv_slice raw = slice_of(text, small_json(1, text));
    OK(cell_encode_with(with.coder, raw, &cell));
    MUST(MLKV_E_ARGUMENT, cell_decode_with(other.decoder, slice_of_buffer(&cell), &out));
    unsigned char *bytes = cell.data;
    for (size_t size = 1; size < cell.size; size++)
        MUST(MLKV_E_CORRUPT, cell_decode_with(with.decoder, slice_of(bytes, size), &out));
    for (size_t i = 0; i < cell.size;
         i++) { /* a changed bit is refused or gives other bytes, never more */
        bytes[i] ^= 0x10;
        out.size = 0;
        int result = cell_decode_with(with.decoder, slice_of_buffer(&cell), &out);
        ck_assert(result == MLKV_E_CORRUPT || result == MLKV_E_ARGUMENT || result == MLKV_OK);
        ck_assert_uint_eq(out.size, result == MLKV_OK ? raw.size : 0);
        bytes[i] ^= 0x10;
    }
    bytes[1] = 0; /* no dictionary has this number */
    MUST(MLKV_E_CORRUPT, cell_inspect(slice_of_buffer(&cell), NULL, NULL, NULL));
    bytes[1] = 3;
    OK(buffer_append(&cell, "x", 1));
    MUST(MLKV_E_CORRUPT, cell_decode_with(with.decoder, slice_of_buffer(&cell), &out));
    OK(buffer_assign(&cell, text, raw.size)); /* a raw cell, say */
    ((char *)cell.data)[0] = CELL_RAW;
    MUST(MLKV_E_ARGUMENT, cell_decode_with(with.decoder, slice_of_buffer(&cell), &out));
    mlkv_buffer_free(&cell);
    mlkv_buffer_free(&out);
    pair_done(&with);
    pair_done(&other);
}
END_TEST

static void *code_many(void *context)
{
    const pair *with = context;
    char text[SMALL_VALUE_MAX];
    mlkv_buffer cell = {0}, back = {0};
    void *failed = NULL;
    for (uint64_t i = 0; i < 500; i++) {
        mlkv_slice raw = slice_of(text, small_json(i, text));
        cell.size = back.size = 0;
        if (cell_encode_with(with->coder, raw, &cell) != MLKV_OK ||
            cell_decode_with(with->decoder, slice_of_buffer(&cell), &back) != MLKV_OK ||
            !slice_equal(slice_of_buffer(&back), raw))
            failed = context;
    }
    mlkv_buffer_free(&cell);
    mlkv_buffer_free(&back);
    return failed;
}

START_TEST(many_threads_use_one)
{
    pair with = pair_of(5, 1);
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, code_many, &with), 0);
    for (int i = 0; i < 3; i++) {
        void *failed = NULL;
        ck_assert_int_eq(pthread_join(threads[i], &failed), 0);
        ck_assert_ptr_null(failed);
    }
    pair_done(&with);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("codec/dictionary");
    TCase *tcase = harness_case(suite, "dictionary");
    tcase_add_test(tcase, round_trips);
    tcase_add_test(tcase, nothing_to_learn);
    tcase_add_test(tcase, bytes_that_are_no_dictionary);
    tcase_add_test(tcase, broken_cells);
    tcase_add_test(tcase, many_threads_use_one);
    return harness_run(suite);
}
