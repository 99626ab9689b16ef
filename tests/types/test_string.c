/* test_string.c - strings on stores in memory and on disk, in transactions and snapshots. */
#include "types/stores.h"

START_TEST(set_and_get)
{
    mlkv *db = memory_store();
    mlkv_buffer value = {0};
    uint64_t length = 77;
    MUST(MLKV_ABSENT, mlkv_string_get(db, TEXT("k"), &value));
    OK(mlkv_string_length(db, TEXT("k"), &length));
    ck_assert_uint_eq(length, 0);
    OK(mlkv_string_set(db, TEXT("k"), TEXT("value"), MLKV_SET_ALWAYS));
    OK(mlkv_string_get(db, TEXT("k"), &value));
    IS(TEXT("value"), value);
    OK(mlkv_string_length(db, TEXT("k"), &length));
    ck_assert_uint_eq(length, 5);
    OK(mlkv_string_set(db, TEXT("k"), TEXT("x"), MLKV_SET_ALWAYS));
    OK(mlkv_string_get(db, TEXT("k"), &value));
    IS(TEXT("x"), value);
    ck_assert_uint_eq(key_count(db), 1);
    mlkv_buffer_free(&value);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(conditions)
{
    mlkv *db = memory_store();
    mlkv_buffer value = {0};
    mlkv_pair pair = {TEXT("f"), TEXT("v")};
    MUST(MLKV_ABSENT, mlkv_string_set(db, TEXT("k"), TEXT("a"), MLKV_SET_IF_PRESENT));
    MUST(MLKV_ABSENT, mlkv_string_get(db, TEXT("k"), &value));
    OK(mlkv_string_set(db, TEXT("k"), TEXT("b"), MLKV_SET_IF_ABSENT));
    MUST(MLKV_ABSENT, mlkv_string_set(db, TEXT("k"), TEXT("c"), MLKV_SET_IF_ABSENT));
    OK(mlkv_string_get(db, TEXT("k"), &value));
    IS(TEXT("b"), value);
    OK(mlkv_string_set(db, TEXT("k"), TEXT("d"), MLKV_SET_IF_PRESENT));
    OK(mlkv_string_get(db, TEXT("k"), &value));
    IS(TEXT("d"), value);
    OK(mlkv_hash_set(db, TEXT("h"), &pair, 1, NULL));
    MUST(MLKV_ABSENT, mlkv_string_set(db, TEXT("h"), TEXT("e"), MLKV_SET_IF_ABSENT));
    MUST(MLKV_E_ARGUMENT, mlkv_string_set(db, TEXT("k"), TEXT("e"), (mlkv_set_condition)3));
    mlkv_buffer_free(&value);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(empty_and_long_names_and_values)
{
    mlkv *db = memory_store();
    mlkv_buffer value = {0};
    OK(mlkv_string_set(db, slice_of(NULL, 0), TEXT("of the empty key"), MLKV_SET_ALWAYS));
    OK(mlkv_string_set(db, TEXT("empty"), slice_of(NULL, 0), MLKV_SET_ALWAYS));
    static const size_t sizes[] = {509, 510, 511, 512, 4096, 60000};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (unsigned j = 0; j < 2; j++)
            OK(mlkv_string_set(db, long_name(sizes[i], j), slice_of(&j, sizeof j),
                               MLKV_SET_ALWAYS));
    OK(mlkv_string_get(db, slice_of(NULL, 0), &value));
    IS(TEXT("of the empty key"), value);
    OK(mlkv_string_get(db, TEXT("empty"), &value));
    ck_assert_uint_eq(value.size, 0);
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (unsigned j = 0; j < 2; j++) {
            OK(mlkv_string_get(db, long_name(sizes[i], j), &value));
            IS(slice_of(&j, sizeof j), value);
        }
    MUST(MLKV_ABSENT, mlkv_string_get(db, long_name(4096, 3), &value));
    ck_assert_uint_eq(key_count(db), 14);
    mlkv_buffer_free(&value);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

/* Raw, compressed, and large as blobs; each replaced by each; the blobs of replaced values go. */
START_TEST(values_of_every_size)
{
    const char *folder = harness_folder();
    mlkv *db = folder_store(folder);
    mlkv_buffer value = {0};
    static const size_t sizes[] = {0, 1, 100, 1023, 1024, 5000, 300000, 2000000};
    enum { COUNT = sizeof sizes / sizeof *sizes };
    char *noise = malloc(sizes[COUNT - 1]), *even = malloc(sizes[COUNT - 1]);
    ck_assert(noise != NULL && even != NULL);
    memset(even, 'e', sizes[COUNT - 1]);
    for (size_t i = 0; i < COUNT; i++)
        for (size_t j = 0; j < COUNT; j++) {
            fill_noise(noise, sizes[i], i * 100 + j);
            OK(mlkv_string_set(db, TEXT("k"), slice_of(noise, sizes[i]), MLKV_SET_ALWAYS));
            OK(mlkv_string_get(db, TEXT("k"), &value));
            IS(slice_of(noise, sizes[i]), value);
            OK(mlkv_string_set(db, TEXT("k"), slice_of(even, sizes[j]), MLKV_SET_ALWAYS));
            OK(mlkv_string_get(db, TEXT("k"), &value));
            IS(slice_of(even, sizes[j]), value);
            uint64_t length;
            OK(mlkv_string_length(db, TEXT("k"), &length));
            ck_assert_uint_eq(length, sizes[j]);
        }
    OK(mlkv_string_set(db, TEXT("k"), TEXT("small"), MLKV_SET_ALWAYS));
    ck_assert_uint_eq(count_records(db, "R"), 0);
    verify_all(db);
    OK(mlkv_close(db));
    db = folder_store(folder);
    OK(mlkv_string_get(db, TEXT("k"), &value));
    IS(TEXT("small"), value);
    OK(mlkv_close(db));
    mlkv_buffer_free(&value);
    free(noise);
    free(even);
    harness_remove(folder);
}
END_TEST

START_TEST(setting_replaces_any_type)
{
    mlkv *db = memory_store();
    mlkv_buffer value = {0};
    mlkv_pair pairs[] = {{TEXT("f"), TEXT("1")}, {TEXT("g"), TEXT("2")}};
    OK(mlkv_hash_set(db, TEXT("k"), pairs, 2, NULL));
    MUST(MLKV_E_TYPE, mlkv_string_get(db, TEXT("k"), &value));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "hash"));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "k"));
    uint64_t length = 77;
    int64_t sum = 77;
    MUST(MLKV_E_TYPE, mlkv_string_length(db, TEXT("k"), &length));
    MUST(MLKV_E_TYPE, mlkv_string_add(db, TEXT("k"), 1, &sum));
    ck_assert_uint_eq(length, 77);
    ck_assert_int_eq(sum, 77);
    OK(mlkv_string_set(db, TEXT("k"), TEXT("s"), MLKV_SET_ALWAYS));
    OK(mlkv_string_get(db, TEXT("k"), &value));
    IS(TEXT("s"), value);
    ck_assert_uint_eq(key_count(db), 1);
    clean_all(db);
    ck_assert_uint_eq(count_records(db, "E"), 0);
    verify_all(db);
    mlkv_buffer_free(&value);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(add_counts)
{
    mlkv *db = memory_store();
    mlkv_buffer value = {0};
    int64_t sum = 0;
    OK(mlkv_string_add(db, TEXT("n"), 5, &sum));
    ck_assert_int_eq(sum, 5);
    OK(mlkv_string_add(db, TEXT("n"), -15, NULL));
    OK(mlkv_string_get(db, TEXT("n"), &value));
    IS(TEXT("-10"), value);
    OK(mlkv_string_set(db, TEXT("n"), TEXT("9223372036854775807"), MLKV_SET_ALWAYS));
    MUST(MLKV_E_RANGE, mlkv_string_add(db, TEXT("n"), 1, &sum));
    OK(mlkv_string_set(db, TEXT("n"), TEXT("9223372036854775808"), MLKV_SET_ALWAYS));
    MUST(MLKV_E_NUMBER,
         mlkv_string_add(db, TEXT("n"), -1, &sum)); /* no number of 64 bits, as Redis says */
    static char even[3000000];
    const mlkv_slice no_numbers[] = {
        TEXT(""),    TEXT(" 1"),           TEXT("01"),
        TEXT("1.5"), slice_of(even, 2000), slice_of(even, sizeof even)};
    for (size_t i = 0; i < sizeof no_numbers / sizeof *no_numbers; i++) {
        OK(mlkv_string_set(db, TEXT("n"), no_numbers[i], MLKV_SET_ALWAYS));
        MUST(MLKV_E_NUMBER, mlkv_string_add(db, TEXT("n"), 1, &sum));
    }
    ck_assert_int_eq(sum, 5);
    ck_assert_uint_eq(key_count(db), 1);
    mlkv_buffer_free(&value);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(many_at_once)
{
    mlkv *db = memory_store();
    enum { COUNT = 300, LARGE = 40000 };
    static char names[COUNT][8], bytes[COUNT][8], large[2][LARGE];
    mlkv_pair pairs[COUNT + 3];
    mlkv_slice keys[COUNT + 3];
    mlkv_rows rows = {0};
    for (int i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "k%d", i);
        snprintf(bytes[i], sizeof bytes[i], "v%d", i);
        keys[i] = slice_of_text(names[i]);
        pairs[i] = (mlkv_pair){keys[i], slice_of_text(bytes[i])};
    }
    fill_noise(large[0], LARGE, 1);
    fill_noise(large[1], LARGE, 2);
    pairs[7].value =
        slice_of(large[0], LARGE); /* named again below: its large value is not needed */
    pairs[8].value = slice_of(large[0], LARGE);
    pairs[COUNT] = (mlkv_pair){keys[7], slice_of(large[1], LARGE)};
    pairs[COUNT + 1] = (mlkv_pair){keys[3], TEXT("last")};
    pairs[COUNT + 2] = (mlkv_pair){keys[3], TEXT("really last")};
    OK(mlkv_string_set_many(db, pairs, COUNT + 3));
    ck_assert_uint_eq(key_count(db), COUNT);
    OK(mlkv_hash_set(db, TEXT("hash"), pairs, 1, NULL));
    keys[COUNT] = TEXT("hash");
    keys[COUNT + 1] = TEXT("missing");
    keys[COUNT + 2] = keys[5];
    OK(mlkv_string_get_many(db, keys, COUNT + 3, &rows));
    ck_assert_uint_eq(rows.count, COUNT + 3);
    for (size_t i = 0; i < COUNT; i++) {
        mlkv_slice expected = i == 3   ? TEXT("really last")
                              : i == 7 ? slice_of(large[1], LARGE)
                                       : pairs[i].value;
        ck_assert(slice_equal(expected, rows.items[i]));
    }
    ck_assert_ptr_null(rows.items[COUNT].data);
    ck_assert_ptr_null(rows.items[COUNT + 1].data);
    ck_assert(slice_equal(pairs[5].value, rows.items[COUNT + 2]));
    OK(mlkv_string_get_many(db, NULL, 0, &rows));
    ck_assert_uint_eq(rows.count, 0);
    OK(mlkv_string_set_many(db, NULL, 0));
    mlkv_rows_free(&rows);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(transactions_and_snapshots)
{
    mlkv *db = memory_store(), *tx = NULL, *snapshot = NULL;
    mlkv_buffer value = {0};
    OK(mlkv_string_set(db, TEXT("k"), TEXT("old"), MLKV_SET_ALWAYS));
    OK(mlkv_snapshot(db, &snapshot));
    OK(mlkv_begin(db, &tx));
    OK(mlkv_string_set(tx, TEXT("k"), TEXT("new"), MLKV_SET_ALWAYS));
    OK(mlkv_string_set(tx, TEXT("l"), TEXT("more"), MLKV_SET_ALWAYS));
    OK(mlkv_string_get(tx, TEXT("k"), &value));
    IS(TEXT("new"), value);
    ck_assert_uint_eq(key_count(tx), 2);
    OK(mlkv_string_get(db, TEXT("k"), &value));
    IS(TEXT("old"), value);
    ck_assert_uint_eq(key_count(db), 1);
    OK(mlkv_abort(tx));
    MUST(MLKV_ABSENT, mlkv_string_get(db, TEXT("l"), &value));
    OK(mlkv_begin(db, &tx));
    OK(mlkv_string_set(tx, TEXT("k"), TEXT("newer"), MLKV_SET_ALWAYS));
    OK(mlkv_commit(tx));
    OK(mlkv_string_get(db, TEXT("k"), &value));
    IS(TEXT("newer"), value);
    OK(mlkv_string_get(snapshot, TEXT("k"), &value));
    IS(TEXT("old"), value);
    MUST(MLKV_E_READONLY, mlkv_string_set(snapshot, TEXT("k"), TEXT("x"), MLKV_SET_ALWAYS));
    MUST(MLKV_E_READONLY, mlkv_string_add(snapshot, TEXT("k"), 1, NULL));
    mlkv_buffer_free(&value);
    OK(mlkv_close(snapshot));
    OK(mlkv_close(db));
}
END_TEST

START_TEST(hostile_arguments)
{
    mlkv *db = memory_store();
    mlkv_buffer value = {0};
    mlkv_rows rows = {0};
    mlkv_slice bad = {NULL, 3}, keys[] = {TEXT("a"), bad};
    mlkv_pair bad_name = {bad, TEXT("v")}, bad_value = {TEXT("k"), bad};
    uint64_t length;
    MUST(MLKV_E_ARGUMENT, mlkv_string_set(NULL, TEXT("k"), TEXT("v"), MLKV_SET_ALWAYS));
    MUST(MLKV_E_ARGUMENT, mlkv_string_set(db, bad, TEXT("v"), MLKV_SET_ALWAYS));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "key"));
    MUST(MLKV_E_ARGUMENT, mlkv_string_set(db, TEXT("k"), bad, MLKV_SET_ALWAYS));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "value"));
    MUST(MLKV_E_ARGUMENT, mlkv_string_get(db, bad, &value));
    MUST(MLKV_E_ARGUMENT, mlkv_string_get(NULL, TEXT("k"), &value));
    MUST(MLKV_E_ARGUMENT, mlkv_string_get(db, TEXT("k"), NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_string_length(db, TEXT("k"), NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_string_length(db, bad, &length));
    MUST(MLKV_E_ARGUMENT, mlkv_string_add(db, bad, 1, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_string_get_many(db, keys, 2, &rows));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "keys[1]"));
    MUST(MLKV_E_ARGUMENT, mlkv_string_get_many(db, NULL, 2, &rows));
    MUST(MLKV_E_ARGUMENT, mlkv_string_get_many(db, keys, 1, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_string_set_many(db, NULL, 1));
    MUST(MLKV_E_ARGUMENT, mlkv_string_set_many(db, &bad_name, 1));
    MUST(MLKV_E_ARGUMENT, mlkv_string_set_many(db, &bad_value, 1));
    char *huge = calloc(1, NAME_SIZE_MAX + 1);
    ck_assert_ptr_nonnull(huge);
    MUST(MLKV_E_SIZE,
         mlkv_string_set(db, slice_of(huge, NAME_SIZE_MAX + 1), TEXT("v"), MLKV_SET_ALWAYS));
    MUST(MLKV_E_SIZE, mlkv_string_get(db, slice_of(huge, NAME_SIZE_MAX + 1), &value));
    OK(mlkv_string_set(db, slice_of(huge, NAME_SIZE_MAX), TEXT("of a huge key"), MLKV_SET_ALWAYS));
    OK(mlkv_string_get(db, slice_of(huge, NAME_SIZE_MAX), &value));
    IS(TEXT("of a huge key"), value);
    free(huge);
    mlkv_buffer_free(&value);
    OK(mlkv_close(db));
}
END_TEST

/* A buffer in use keeps its content when the call does not succeed, and is replaced, not appended to, when it does. */
START_TEST(buffers_keep_their_content)
{
    mlkv *db = memory_store();
    mlkv_buffer value = {0};
    mlkv_pair pair = {TEXT("f"), TEXT("v")};
    OK(mlkv_string_set(db, TEXT("k"), TEXT("content"), MLKV_SET_ALWAYS));
    OK(mlkv_hash_set(db, TEXT("h"), &pair, 1, NULL));
    OK(mlkv_string_get(db, TEXT("k"), &value));
    MUST(MLKV_ABSENT, mlkv_string_get(db, TEXT("missing"), &value));
    IS(TEXT("content"), value);
    MUST(MLKV_E_TYPE, mlkv_string_get(db, TEXT("h"), &value));
    IS(TEXT("content"), value);
    OK(mlkv_hash_get(db, TEXT("h"), TEXT("f"), &value));
    IS(TEXT("v"), value);
    MUST(MLKV_ABSENT, mlkv_hash_get(db, TEXT("h"), TEXT("g"), &value));
    IS(TEXT("v"), value);
    mlkv_buffer_free(&value);
    OK(mlkv_close(db));
}
END_TEST

/* A store opened with another threshold compresses small values, or none. */
START_TEST(compression_thresholds)
{
    static const size_t thresholds[] = {1, 64, SIZE_MAX};
    static char even[3000];
    mlkv_buffer value = {0};
    memset(even, 'e', sizeof even);
    for (size_t i = 0; i < sizeof thresholds / sizeof *thresholds; i++) {
        mlkv *db = NULL;
        mlkv_options options = {.size = sizeof options,
                                .ring_bytes = 1 << 20,
                                .compress_threshold_bytes = thresholds[i]};
        mlkv_pair pair = {TEXT("f"), slice_of(even, 500)};
        OK(mlkv_open(NULL, &options, &db));
        OK(mlkv_string_set(db, TEXT("k"), slice_of(even, 500), MLKV_SET_ALWAYS));
        OK(mlkv_string_set(db, TEXT("l"), slice_of(even, sizeof even), MLKV_SET_ALWAYS));
        OK(mlkv_hash_set(db, TEXT("h"), &pair, 1, NULL));
        OK(mlkv_string_get(db, TEXT("k"), &value));
        IS(slice_of(even, 500), value);
        OK(mlkv_string_get(db, TEXT("l"), &value));
        IS(slice_of(even, sizeof even), value);
        OK(mlkv_hash_get(db, TEXT("h"), TEXT("f"), &value));
        IS(slice_of(even, 500), value);
        OK(mlkv_string_add(db, TEXT("n"), 1000000000000, NULL));
        OK(mlkv_string_set(db, TEXT("n"), TEXT("1000000000000"), MLKV_SET_ALWAYS));
        OK(mlkv_string_add(db, TEXT("n"), 1, NULL));
        OK(mlkv_string_get(db, TEXT("n"), &value));
        IS(TEXT("1000000000001"), value);
        OK(mlkv_close(db));
    }
    mlkv_buffer_free(&value);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("string");
    TCase *tcase = harness_case(suite, "string");
    tcase_add_test(tcase, set_and_get);
    tcase_add_test(tcase, conditions);
    tcase_add_test(tcase, empty_and_long_names_and_values);
    tcase_add_test(tcase, values_of_every_size);
    tcase_add_test(tcase, setting_replaces_any_type);
    tcase_add_test(tcase, add_counts);
    tcase_add_test(tcase, many_at_once);
    tcase_add_test(tcase, transactions_and_snapshots);
    tcase_add_test(tcase, hostile_arguments);
    tcase_add_test(tcase, buffers_keep_their_content);
    tcase_add_test(tcase, compression_thresholds);
    return harness_run(suite);
}
