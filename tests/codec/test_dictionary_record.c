/* test_dictionary_record.c - records of class D: there and back, cut, out of order; the longest prefix against a plain search. */
#include "codec/dictionary_record.h"

#include "base/buffer.h"
#include "harness.h"
#include "small_values.h"

START_TEST(keys)
{
    unsigned char key[DICTIONARY_KEY_SIZE];
    uint32_t id = 0;
    dictionary_key(0x01020304, key);
    ck_assert_mem_eq(key, "D\1\2\3\4", sizeof key);
    OK(dictionary_key_read(slice_of(key, sizeof key), &id));
    ck_assert_uint_eq(id, 0x01020304);
    MUST(MLKV_E_CORRUPT, dictionary_key_read(slice_of(key, 4), &id));
    MUST(MLKV_E_CORRUPT, dictionary_key_read(TEXT("E1234"), &id));
}
END_TEST

static void take(dictionary_table *table, const char *prefix, uint32_t id)
{
    dictionary_entry *entry = NULL;
    OK(dictionary_table_take(table, slice_of_text(prefix), &entry));
    *entry = (dictionary_entry){id, id + 10, slice_of_text(prefix)};
}

START_TEST(a_table_there_and_back)
{
    static dictionary_table table = {.next_id = 5}, back;
    mlkv_buffer bytes = {0};
    take(&table, "b", 1);
    take(&table, "", 2);
    take(&table, "ab", 3);
    take(&table, "a", 4);
    take(&table, "ab", 0);
    ck_assert_uint_eq(table.count, 4);
    OK(dictionary_table_write(&table, &bytes));
    OK(dictionary_table_read(slice_of_buffer(&bytes), &back));
    ck_assert_uint_eq(back.next_id, 5);
    static const char *const order[] = {"", "a", "ab", "b"};
    for (size_t i = 0; i < 4; i++) {
        ck_assert(slice_equal(back.entries[i].prefix, slice_of_text(order[i])));
        ck_assert_uint_eq(back.entries[i].id, table.entries[i].id);
        ck_assert_uint_eq(back.entries[i].version, table.entries[i].version);
    }
    for (size_t size = 0; size < bytes.size; size++)
        MUST(MLKV_E_CORRUPT, dictionary_table_read(slice_of(bytes.data, size), &back));
    unsigned char *at = bytes.data;
    static const size_t places[] = {0, 1, 3, 7, 8, 11, 20, 21};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        at[places[i]] ^= 0x40;
        MUST(MLKV_E_CORRUPT, dictionary_table_read(slice_of_buffer(&bytes), &back));
        at[places[i]] ^= 0x40;
    }
    at[bytes.size - 1] = 'a'; /* out of order */
    MUST(MLKV_E_CORRUPT, dictionary_table_read(slice_of_buffer(&bytes), &back));
    mlkv_buffer_free(&bytes);
}
END_TEST

START_TEST(the_longest_prefix_is_found)
{
    static dictionary_table table = {.next_id = 1};
    static char prefixes[200][8], name[12];
    uint64_t state = 11;
    ck_assert_ptr_null(dictionary_table_match(&table, TEXT("x")));
    for (unsigned i = 0; i < 200; i++) {
        size_t size = small_random(&state) % 7 + 1;
        dictionary_entry *entry = NULL;
        for (size_t k = 0; k < size; k++)
            prefixes[i][k] = (char)('a' + small_random(&state) % 3);
        OK(dictionary_table_take(&table, slice_of(prefixes[i], size), &entry));
    }
    for (unsigned i = 0; i < 5000; i++) {
        size_t size = small_random(&state) % sizeof name;
        const dictionary_entry *best = NULL;
        for (size_t k = 0; k < size; k++)
            name[k] = (char)('a' + small_random(&state) % 4);
        for (size_t k = 0; k < table.count; k++)
            if (slice_starts_with(slice_of(name, size), table.entries[k].prefix) &&
                (best == NULL || best->prefix.size < table.entries[k].prefix.size))
                best = &table.entries[k];
        ck_assert_ptr_eq(dictionary_table_match(&table, slice_of(name, size)), best);
    }
}
END_TEST

START_TEST(a_table_has_a_limit)
{
    static dictionary_table table = {.next_id = 1};
    static char names[DICTIONARY_PREFIXES_MAX + 1][8];
    dictionary_entry *entry = NULL;
    for (unsigned i = 0; i <= DICTIONARY_PREFIXES_MAX; i++) {
        size_t size = (size_t)snprintf(names[i], sizeof names[i], "%u", i);
        MUST(i < DICTIONARY_PREFIXES_MAX ? MLKV_OK : MLKV_E_SIZE,
             dictionary_table_take(&table, slice_of(names[i], size), &entry));
    }
    OK(dictionary_table_take(&table, TEXT("7"), &entry));
}
END_TEST

START_TEST(records_without_form)
{
    dictionary_record record = {.version = 3, .prefix = TEXT("p:"), .bytes = TEXT("no dictionary")};
    mlkv_buffer bytes = {0};
    OK(dictionary_record_write(&record, &bytes));
    ck_assert_uint_eq(bytes.size, DICTIONARY_HEAD_SIZE + 2 + 13);
    for (size_t size = 0; size <= bytes.size; size++)
        MUST(MLKV_E_CORRUPT, dictionary_record_read(1, slice_of(bytes.data, size), &record));
    mlkv_buffer_free(&bytes);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("codec/dictionary_record");
    TCase *tcase = harness_case(suite, "dictionary_record");
    tcase_add_test(tcase, keys);
    tcase_add_test(tcase, a_table_there_and_back);
    tcase_add_test(tcase, the_longest_prefix_is_found);
    tcase_add_test(tcase, a_table_has_a_limit);
    tcase_add_test(tcase, records_without_form);
    return harness_run(suite);
}
