/* fuzz_record.c - arbitrary bytes as a typed record: its key, and its value with name, header and
 * cell.
 *
 * Input: one byte (class: odd is an element's record, even a key's), two bytes (the record key's
 * size), the key, the value.
 *
 * What must hold for any input:
 *  1. Nothing is read outside (sanitizers watch); each result is 0 or a corruption error.
 *  2. Name and rest lie in key or value; a name that was split off makes the same record key again,
 *     but for the digest of a long one.
 *  3. A header that is accepted is the same when written again, and a cell that is accepted in what
 *     follows decodes to the size it says.
 */
#define FUZZ_MUTATIONS_EACH 150000
#include "fuzz.h"

#include "codec/cell.h"
#include "types/layout.h"

#include <string.h>

enum { RAW_SIZE_MAX = 1 << 20, LIFE_ID = 300 };

static uint64_t names_short, names_long, headers, cells, refused;

static bool inside(mlkv_slice part, mlkv_slice whole)
{
    const unsigned char *from = part.data, *begin = whole.data;
    return part.size == 0 || (from >= begin && from + part.size <= begin + whole.size);
}

static void try_cell(mlkv_slice cell)
{
    static mlkv_buffer raw;
    int kind;
    uint64_t raw_size;
    cell_blob blob;
    int result = cell_inspect(cell, &kind, &raw_size, &blob);
    REQUIRE(result == 0 || result == MLKV_E_CORRUPT);
    if (result != 0 || kind == CELL_BLOB || kind == CELL_DICTIONARY || raw_size > RAW_SIZE_MAX)
        return;
    raw.size = 0;
    result = cell_decode(cell, &raw);
    REQUIRE(result == 0 || result == MLKV_E_CORRUPT);
    REQUIRE(result != 0 || raw.size == raw_size);
    cells += result == 0;
}

static void try_header(mlkv_slice value)
{
    key_header header;
    mlkv_slice rest;
    unsigned char again[LAYOUT_KEY_HEADER_SIZE];
    int result = layout_read_header(value, &header, &rest);
    REQUIRE(result == 0 || result == MLKV_E_CORRUPT);
    refused += result != 0;
    if (result != 0)
        return;
    REQUIRE(inside(rest, value) && rest.size == value.size - LAYOUT_KEY_HEADER_SIZE);
    layout_write_header(&header, again);
    REQUIRE(memcmp(again, value.data, sizeof again) == 0);
    headers++;
    if (header.type == TYPE_STRING)
        try_cell(rest);
}

static void try_name(mlkv_slice key, bool is_element, mlkv_slice name)
{
    record_key made;
    int result = is_element ? layout_element(load_be64((const char *)key.data + 1), name, &made)
                            : layout_key(name, &made);
    REQUIRE(result == 0 && made.size == key.size);
    /* the digest is compared by who looks the name up */
    size_t same = made.is_long ? RECORD_KEY_SIZE_MAX - 16 : key.size;
    REQUIRE(memcmp(made.bytes + 1, (const char *)key.data + 1, same - 1) == 0);
    *(made.is_long ? &names_long : &names_short) += 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    bool is_element = data[0] % 2 == 1;
    size_t key_size = (size_t)data[1] << 8 | data[2];
    size -= 3;
    data += 3;
    if (key_size > size)
        key_size = size;
    mlkv_slice key = slice_of(data, key_size), name, rest;
    mlkv_slice value = slice_of(data + key_size, size - key_size);
    int result = layout_split_name(key, is_element ? 9 : 1, value, &name, &rest);
    REQUIRE(result == 0 || result == MLKV_E_CORRUPT);
    refused += result != 0;
    if (result != 0)
        return 0;
    REQUIRE(inside(rest, value) && (inside(name, key) || inside(name, value)));
    try_name(key, is_element, name);
    if (is_element)
        try_cell(rest);
    else
        try_header(rest);
    return 0;
}

#ifndef FUZZ_WITH_LIBFUZZER

static void add_value(mlkv_buffer *seed, bool is_element, size_t raw_size)
{
    char raw[600];
    memset(raw, 'r', sizeof raw);
    key_header header = {.type = TYPE_STRING, .id = LIFE_ID, .count = 0};
    unsigned char bytes[LAYOUT_KEY_HEADER_SIZE];
    layout_write_header(&header, bytes);
    if (!is_element)
        REQUIRE(buffer_append(seed, bytes, sizeof bytes) == 0);
    REQUIRE(cell_encode(&(cell_options){100, 1}, slice_of(raw, raw_size), seed) == 0);
}

static bool make_seed(unsigned number, mlkv_buffer *seed)
{
    static const size_t name_sizes[] = {0, 20, 502, 700};
    char name[700];
    record_key key;
    if (number >= 2 * sizeof name_sizes / sizeof name_sizes[0])
        return false;
    bool is_element = number % 2 == 1;
    size_t name_size = name_sizes[number / 2];
    memset(name, 'n', sizeof name);
    REQUIRE((is_element ? layout_element(LIFE_ID, slice_of(name, name_size), &key)
                        : layout_key(slice_of(name, name_size), &key)) == 0);
    unsigned char begin[3] = {is_element, (unsigned char)(key.size >> 8), (unsigned char)key.size};
    seed->size = 0;
    REQUIRE(buffer_append(seed, begin, sizeof begin) == 0);
    REQUIRE(buffer_append(seed, key.bytes, key.size) == 0);
    uint32_t stored_size = (uint32_t)name_size;
    if (key.is_long)
        REQUIRE(buffer_append(seed, &stored_size, sizeof stored_size) == 0 &&
                buffer_append(seed, name, name_size) == 0);
    add_value(seed, is_element, number < 4 ? 30 : 600);
    return true;
}

static void check_reached(void)
{
    fprintf(stderr,
            "fuzz_record: %llu short names, %llu long ones, %llu headers, %llu cells, %llu "
            "refused\n",
            (unsigned long long)names_short, (unsigned long long)names_long,
            (unsigned long long)headers, (unsigned long long)cells, (unsigned long long)refused);
    REQUIRE(names_short > 1000 && names_long > 1000 && headers > 1000 && cells > 1000 &&
            refused > 1000);
}

#endif
