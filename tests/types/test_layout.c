/* test_layout.c - record keys from names, headers of K values, and hostile bytes in both. */
#include "harness.h"
#include "types/layout.h"

static char name_bytes[NAME_SIZE_MAX + 1];

static mlkv_slice name_of(size_t size)
{
    memset(name_bytes, 'x', size);
    return slice_of(name_bytes, size);
}

START_TEST(short_names_stand_in_the_key)
{
    record_key key;
    OK(layout_key(TEXT("abc"), &key));
    ck_assert(slice_equal(record_key_slice(&key), TEXT("Kabc")));
    OK(layout_key(slice_of(NULL, 0), &key));
    ck_assert(slice_equal(record_key_slice(&key), TEXT("K")));
    OK(layout_element(0x0102030405060708u, TEXT("f"), &key));
    ck_assert(slice_equal(record_key_slice(&key), TEXT("E\1\2\3\4\5\6\7\10f")));
    layout_indexed(RECORD_LIST, 1, 2, &key);
    ck_assert(slice_equal(record_key_slice(&key), TEXT("L\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\2")));
    layout_id(RECORD_GARBAGE, 3, &key);
    ck_assert(slice_equal(record_key_slice(&key), TEXT("G\0\0\0\0\0\0\0\3")));
}
END_TEST

/* At the border: 510 bytes of record key are short, what would be 511 is long. */
START_TEST(the_border_of_long_names)
{
    record_key key;
    OK(layout_key(name_of(509), &key));
    ck_assert_uint_eq(key.size, 510);
    ck_assert(!key.is_long);
    OK(layout_key(name_of(510), &key));
    ck_assert_uint_eq(key.size, 511);
    ck_assert(key.is_long);
    OK(layout_element(1, name_of(501), &key));
    ck_assert_uint_eq(key.size, 510);
    ck_assert(!key.is_long);
    OK(layout_element(1, name_of(502), &key));
    ck_assert_uint_eq(key.size, 511);
    ck_assert(key.is_long);
    OK(layout_key(name_of(NAME_SIZE_MAX), &key));
    ck_assert_uint_eq(key.size, 511);
    MUST(MLKV_E_SIZE, layout_key(name_of(NAME_SIZE_MAX + 1), &key));
    MUST(MLKV_E_SIZE, layout_element(1, name_of(NAME_SIZE_MAX + 1), &key));
}
END_TEST

START_TEST(long_names_keep_their_begin_and_differ)
{
    record_key one, two;
    OK(layout_key(name_of(600), &one));
    name_bytes[599] = 'y';
    OK(layout_key(slice_of(name_bytes, 600), &two));
    ck_assert_mem_eq(one.bytes, two.bytes, 495);
    ck_assert_mem_ne(one.bytes, two.bytes, 511);
    ck_assert_uint_eq(layout_name_begin(1, name_of(600)), 494);
    ck_assert_uint_eq(layout_name_begin(1, name_of(100)), 100);
    ck_assert_uint_eq(layout_name_begin(9, name_of(600)), 486);
}
END_TEST

START_TEST(headers_come_back)
{
    unsigned char bytes[LAYOUT_KEY_HEADER_SIZE + 3] = {0};
    key_header header = {.type = TYPE_SET, .id = 0x1122334455667788u, .count = 7, .expiry_ms = -5},
               read = {0};
    mlkv_slice rest;
    layout_write_header(&header, bytes);
    OK(layout_read_header(slice_of(bytes, sizeof bytes), &read, &rest));
    ck_assert_uint_eq(read.type, TYPE_SET);
    ck_assert_uint_eq(read.id, header.id);
    ck_assert_uint_eq(read.count, 7);
    ck_assert_int_eq(read.expiry_ms, -5);
    ck_assert_uint_eq(rest.size, 3);
    ck_assert_ptr_eq(rest.data, bytes + LAYOUT_KEY_HEADER_SIZE);
    ck_assert_uint_eq(bytes[8], 0x88); /* little-endian */
}
END_TEST

START_TEST(hostile_headers_are_refused)
{
    unsigned char bytes[LAYOUT_KEY_HEADER_SIZE];
    key_header header = {.type = TYPE_HASH, .id = 1}, read;
    mlkv_slice rest;
    for (size_t size = 0; size < sizeof bytes; size++) {
        layout_write_header(&header, bytes);
        MUST(MLKV_E_CORRUPT, layout_read_header(slice_of(bytes, size), &read, &rest));
    }
    for (size_t i = 0; i < 8; i++) {
        layout_write_header(&header, bytes);
        bytes[i] = 0xee;
        MUST(MLKV_E_CORRUPT, layout_read_header(slice_of(bytes, sizeof bytes), &read, &rest));
    }
    bytes[0] = 0;
    MUST(MLKV_E_CORRUPT, layout_read_header(slice_of(bytes, sizeof bytes), &read, &rest));
}
END_TEST

START_TEST(names_are_split_off)
{
    record_key key;
    mlkv_slice name, rest;
    OK(layout_key(TEXT("abc"), &key));
    OK(layout_split_name(record_key_slice(&key), 1, TEXT("value"), &name, &rest));
    ck_assert(slice_equal(name, TEXT("abc")));
    ck_assert(slice_equal(rest, TEXT("value")));
    unsigned char value[4 + 600 + 5];
    OK(layout_key(name_of(600), &key));
    store_le32(value, 600);
    memcpy(value + 4, name_bytes, 600);
    memcpy(value + 604, "value", 5);
    OK(layout_split_name(record_key_slice(&key), 1, slice_of(value, sizeof value), &name, &rest));
    ck_assert(slice_equal(name, slice_of(name_bytes, 600)));
    ck_assert(slice_equal(rest, TEXT("value")));
}
END_TEST

START_TEST(hostile_names_are_refused)
{
    record_key key;
    mlkv_slice name, rest;
    unsigned char value[4 + 600];
    OK(layout_key(name_of(600), &key));
    store_le32(value, 600);
    memcpy(value + 4, name_bytes, 600);
    for (size_t size = 0; size < sizeof value; size++)
        MUST(MLKV_E_CORRUPT,
             layout_split_name(record_key_slice(&key), 1, slice_of(value, size), &name, &rest));
    static const uint32_t sizes[] = {0, 509, 601, NAME_SIZE_MAX + 1, UINT32_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        store_le32(value, sizes[i]);
        MUST(MLKV_E_CORRUPT, layout_split_name(record_key_slice(&key), 1,
                                               slice_of(value, sizeof value), &name, &rest));
    }
    store_le32(value, 600);
    value[4] = '?';
    MUST(MLKV_E_CORRUPT,
         layout_split_name(record_key_slice(&key), 1, slice_of(value, sizeof value), &name, &rest));
    MUST(MLKV_E_CORRUPT,
         layout_split_name(slice_of("E", 1), 9, slice_of(value, sizeof value), &name, &rest));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("layout");
    TCase *tcase = harness_case(suite, "layout");
    tcase_add_test(tcase, short_names_stand_in_the_key);
    tcase_add_test(tcase, the_border_of_long_names);
    tcase_add_test(tcase, long_names_keep_their_begin_and_differ);
    tcase_add_test(tcase, headers_come_back);
    tcase_add_test(tcase, hostile_headers_are_refused);
    tcase_add_test(tcase, names_are_split_off);
    tcase_add_test(tcase, hostile_names_are_refused);
    return harness_run(suite);
}
