/* fuzz_tensor.c - arbitrary bytes as a tensor's descriptor, followed by the value of one of its
 * chunks.
 *
 * Input: one byte (the descriptor's size), the descriptor, the T record's value.
 *
 * What must hold for any input:
 *  1. Nothing is read outside (sanitizers watch), no sum or product overflows; each result is 0 or
 *     a corruption error.
 *  2. A form that is accepted is written as the same bytes; its chunks cover its rows, none is
 *     larger than 32 bits say, and their sizes add up to its bytes.
 *  3. A chunk's value is accepted only with the raw size that the form gives that chunk.
 */
#define FUZZ_MUTATIONS_EACH 150000
#include "fuzz.h"

#include "codec/cell.h"
#include "types/tensor.h"

#include <string.h>

enum { CHUNKS_SUMMED = 64 };

static uint64_t forms, refused, chunks_accepted, chunks_refused;

static void check_form(const tensor_form *form, mlkv_slice descriptor)
{
    unsigned char again[TENSOR_DESCRIPTOR_SIZE_MAX];
    size_t size = tensor_form_write(form, again);
    REQUIRE(slice_equal(slice_of(again, size), descriptor));
    REQUIRE(form->tensor.dimensions <= MLKV_DIMENSIONS_MAX && form->raw_bytes < (1ULL << 62));
    REQUIRE(strlen(tensor_text(&form->tensor)) < 224);
    if (form->raw_bytes == 0) {
        REQUIRE(form->chunks == 0);
        return;
    }
    REQUIRE(form->rows * form->row_bytes == form->raw_bytes && form->chunk_rows <= form->rows);
    REQUIRE((form->chunks - 1) * form->chunk_rows < form->rows);
    REQUIRE(form->chunks >= form->rows / form->chunk_rows);
    uint64_t total = 0;
    for (uint64_t i = 0; i < form->chunks && i < CHUNKS_SUMMED; i++) {
        size_t chunk = tensor_chunk_size(form, i);
        REQUIRE(chunk != 0 && chunk <= TENSOR_ROW_BYTES_MAX);
        total += chunk;
    }
    REQUIRE(form->chunks > CHUNKS_SUMMED || total == form->raw_bytes);
    REQUIRE(tensor_chunk_size(form, form->chunks - 1) <= form->chunk_rows * form->row_bytes);
}

static void try_chunk(const tensor_form *form, uint64_t chunk, mlkv_slice value)
{
    chunk_head head;
    mlkv_slice cell;
    int result = chunk_split(form, 7, chunk, value, &head, &cell);
    REQUIRE(result == 0 || result == MLKV_E_CORRUPT);
    if (result == 0) {
        REQUIRE(head.raw_size == tensor_chunk_size(form, chunk));
        REQUIRE(cell.size == value.size - TENSOR_CHUNK_HEAD_SIZE);
        int kind;
        uint64_t raw_size;
        cell_blob blob;
        int inspected = cell_inspect(cell, &kind, &raw_size, &blob);
        REQUIRE(inspected == 0 || inspected == MLKV_E_CORRUPT);
    }
    *(result == 0 ? &chunks_accepted : &chunks_refused) += 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    size_t descriptor_size = data[0];
    data++;
    size--;
    if (descriptor_size > size)
        descriptor_size = size;
    tensor_form form;
    mlkv_slice descriptor = slice_of(data, descriptor_size);
    int result = tensor_form_read(descriptor, &form);
    REQUIRE(result == 0 || result == MLKV_E_CORRUPT);
    *(result == 0 ? &forms : &refused) += 1;
    if (result != 0)
        return 0;
    check_form(&form, descriptor);
    if (form.chunks == 0)
        return 0;
    mlkv_slice value = slice_of(data + descriptor_size, size - descriptor_size);
    try_chunk(&form, 0, value);
    try_chunk(&form, form.chunks - 1, value);
    return 0;
}

#ifndef FUZZ_WITH_LIBFUZZER

static bool make_seed(unsigned number, mlkv_buffer *seed)
{
    static const mlkv_tensor tensors[] = {
        {.dtype = MLKV_F32, .dimensions = 2, .shape = {10, 4}},
        {.dtype = MLKV_BF16, .dimensions = 8, .shape = {3, 1, 2, 1, 2, 1, 2, 1}},
        {.dtype = MLKV_U8, .dimensions = 0},
        {.dtype = MLKV_I64, .dimensions = 3, .shape = {4, 0, 9}},
        {.dtype = MLKV_C128, .dimensions = 1, .shape = {1ULL << 20}},
    };
    tensor_form form;
    unsigned char descriptor[TENSOR_DESCRIPTOR_SIZE_MAX], head[TENSOR_CHUNK_HEAD_SIZE];
    char raw[1024] = {1, 2, 3};
    if (number >= sizeof tensors / sizeof tensors[0])
        return false;
    REQUIRE(tensor_form_make(&tensors[number], 64, false, &form) == 0);
    form.version = 3;
    unsigned char size = (unsigned char)tensor_form_write(&form, descriptor);
    seed->size = 0;
    REQUIRE(buffer_append(seed, &size, 1) == 0 && buffer_append(seed, descriptor, size) == 0);
    if (form.chunks == 0)
        return true;
    size_t raw_size = tensor_chunk_size(&form, 0);
    chunk_head chunk = {.checksum = 5, .raw_size = (uint32_t)raw_size};
    chunk_write_head(&chunk, head);
    REQUIRE(buffer_append(seed, head, sizeof head) == 0);
    REQUIRE(cell_encode(&(cell_options){SIZE_MAX, 1}, slice_of(raw, raw_size), seed) == 0);
    return true;
}

static void check_reached(void)
{
    fprintf(stderr, "fuzz_tensor: %llu forms, %llu refused, %llu chunks, %llu refused\n",
            (unsigned long long)forms, (unsigned long long)refused,
            (unsigned long long)chunks_accepted, (unsigned long long)chunks_refused);
    REQUIRE(forms > 1000 && refused > 1000 && chunks_accepted > 1000 && chunks_refused > 1000);
}

#endif
