/* fuzz_safetensors.c - arbitrary bytes as the header of a safetensors file.
 *
 * Input: how many bytes of data the file has (2, LE), then the header's text.
 *
 * What must hold for any input:
 *  1. Nothing is read outside (sanitizers watch); the result is 0 or a format error.
 *  2. What is accepted has names of UTF-8, no name twice, and tensors that cover the data: sorted by place, each begins where the one
 *     before ends, and has the bytes that its dtype and shape make.
 *  3. Written again, in the order of the places, and read again, it says the same.
 */
#define FUZZ_MUTATIONS_EACH 100000
#include "fuzz.h"

#include "files/safetensors.h"

static uint64_t accepted, refused, tensors, texts;

static int by_place(const void *left, const void *right)
{
    const safetensors_entry *a = left, *b = right;
    if (a->first != b->first)
        return a->first < b->first ? -1 : 1;
    return (a->end > b->end) - (a->end < b->end);
}

static uint64_t bytes_of(const mlkv_tensor *tensor)
{
    uint64_t bytes = mlkv_dtype_size((mlkv_dtype)tensor->dtype);
    REQUIRE(tensor->dimensions <= MLKV_DIMENSIONS_MAX && bytes != 0);
    for (uint32_t i = 0; i < tensor->dimensions; i++)
        bytes *= tensor->shape[i];
    return bytes;
}

static void check_again(const safetensors_row *rows, size_t n, const mlkv_pair *pairs,
                        size_t pair_count, uint64_t size)
{
    mlkv_buffer bytes = {0};
    safetensors_header again = {0};
    REQUIRE(safetensors_write(rows, n, pairs, pair_count, &bytes) == 0);
    REQUIRE(bytes.size % FILES_ALIGN == 0);
    mlkv_slice text =
        slice_of((char *)bytes.data + SAFETENSORS_SIZE, bytes.size - SAFETENSORS_SIZE);
    REQUIRE(load_le64(bytes.data) == text.size);
    REQUIRE(safetensors_read(text, size, &again) == 0);
    REQUIRE(safetensors_count(&again) == n);
    for (size_t i = 0; i < n; i++) {
        const safetensors_entry *entry = safetensors_entry_at(&again, i);
        REQUIRE(slice_equal(safetensors_slice(&again, entry->name), rows[i].name));
        REQUIRE(memcmp(&entry->tensor, &rows[i].tensor, sizeof entry->tensor) == 0);
    }
    const safetensors_text *found = again.metadata.data;
    REQUIRE(again.metadata.size == pair_count * sizeof *found);
    for (size_t i = 0; i < pair_count; i++) {
        REQUIRE(slice_equal(safetensors_slice(&again, found[i].name), pairs[i].name));
        REQUIRE(slice_equal(safetensors_slice(&again, found[i].text), pairs[i].value));
    }
    safetensors_done(&again);
    mlkv_buffer_free(&bytes);
}

static void check_header(safetensors_header *header, uint64_t size)
{
    size_t n = safetensors_count(header);
    const safetensors_text *found = header->metadata.data;
    size_t pair_count = header->metadata.size / sizeof *found;
    safetensors_row *rows = calloc(n + 1, sizeof *rows);
    mlkv_pair *pairs = calloc(pair_count + 1, sizeof *pairs);
    REQUIRE(rows != NULL && pairs != NULL);
    uint64_t at = 0;
    if (n != 0)
        qsort(header->entries.data, n, sizeof(safetensors_entry), by_place);
    for (size_t i = 0; i < n; i++) {
        const safetensors_entry *entry = safetensors_entry_at(header, i);
        REQUIRE(entry->first == at && entry->end - entry->first == bytes_of(&entry->tensor));
        at = entry->end;
        rows[i] = (safetensors_row){safetensors_slice(header, entry->name), entry->tensor,
                                    entry->end - entry->first};
        REQUIRE(json_is_utf8(rows[i].name));
        for (size_t k = 0; k < i && i < 100; k++)
            REQUIRE(!slice_equal(rows[k].name, rows[i].name));
    }
    REQUIRE(at == size);
    for (size_t i = 0; i < pair_count; i++)
        pairs[i] = (mlkv_pair){safetensors_slice(header, found[i].name),
                               safetensors_slice(header, found[i].text)};
    tensors += n;
    texts += pair_count;
    check_again(rows, n, pairs, pair_count, size);
    free(rows);
    free(pairs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    safetensors_header header = {0};
    if (size < 2)
        return 0;
    uint64_t data_size = (uint64_t)data[0] | (uint64_t)data[1] << 8;
    int result = safetensors_read(slice_of(data + 2, size - 2), data_size, &header);
    REQUIRE(result == 0 || result == MLKV_E_FORMAT);
    *(result == 0 ? &accepted : &refused) += 1;
    if (result == 0)
        check_header(&header, data_size);
    safetensors_done(&header);
    return 0;
}

#ifndef FUZZ_WITH_LIBFUZZER

static bool make_seed(unsigned number, mlkv_buffer *seed)
{
    static const char *const texts_of[] = {
        "{}  ",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]}}",
        "{\"__metadata__\":{\"format\":\"pt\",\"\\u00e9\":\"\\ud83d\\ude00\\n\"},"
        "\"b\\\"\":{\"dtype\":\"BOOL\",\"shape\":[3],\"data_offsets\":[8,11]},"
        "\"c\":{\"dtype\":\"BF16\",\"shape\":[1,2,2],\"data_offsets\":[0,8]},"
        "\"d\":{\"dtype\":\"C64\",\"shape\":[],\"data_offsets\":[11,19]},"
        "\"\":{\"dtype\":\"I64\",\"shape\":[7,0],\"data_offsets\":[19,19]}}   ",
        "{\"x\":{\"shape\":[1,1,1,1,1,1,1,4],\"data_offsets\":[0,4],\"dtype\":\"F8_E4M3\"}}",
    };
    static const unsigned char sizes[] = {0, 24, 19, 4};
    if (number >= sizeof sizes)
        return false;
    const unsigned char size[2] = {sizes[number], 0};
    REQUIRE(buffer_assign(seed, size, sizeof size) == 0);
    REQUIRE(buffer_append(seed, texts_of[number], strlen(texts_of[number])) == 0);
    return true;
}

static void check_reached(void)
{
    fprintf(stderr, "fuzz_safetensors: %llu accepted, %llu refused, %llu tensors, %llu texts\n",
            (unsigned long long)accepted, (unsigned long long)refused, (unsigned long long)tensors,
            (unsigned long long)texts);
    REQUIRE(accepted > 1000 && refused > 10000 && tensors > 1000 && texts > 100);
}

#endif
