/* test_key.c - keys of any type: existence, type, deletion, count. */
#include "types/stores.h"

static void make_one_of_each(mlkv *db)
{
    mlkv_pair pair = {TEXT("f"), TEXT("v")};
    mlkv_slice member = TEXT("m");
    mlkv_tensor tensor = {.dtype = MLKV_F32, .dimensions = 1, .shape = {4}};
    float numbers[4] = {1, 2, 3, 4};
    OK(mlkv_string_set(db, TEXT("string"), TEXT("v"), MLKV_SET_ALWAYS));
    OK(mlkv_hash_set(db, TEXT("hash"), &pair, 1, NULL));
    OK(mlkv_set_add(db, TEXT("set"), &member, 1, NULL));
    OK(mlkv_tensor_put(db, TEXT("tensor"), &tensor, numbers, NULL));
}

START_TEST(types)
{
    mlkv *db = memory_store();
    static const struct {
        const char *key;
        mlkv_type type;
    } cases[] = {{"string", MLKV_TYPE_STRING},
                 {"hash", MLKV_TYPE_HASH},
                 {"set", MLKV_TYPE_SET},
                 {"tensor", MLKV_TYPE_TENSOR},
                 {"missing", MLKV_TYPE_NONE}};
    make_one_of_each(db);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mlkv_type type = MLKV_TYPE_ZSET;
        OK(mlkv_key_type(db, slice_of_text(cases[i].key), &type));
        ck_assert_int_eq(type, cases[i].type);
    }
    ck_assert_str_eq(mlkv_type_name(MLKV_TYPE_NONE), "none");
    ck_assert_str_eq(mlkv_type_name(MLKV_TYPE_STRING), "string");
    ck_assert_str_eq(mlkv_type_name(MLKV_TYPE_TENSOR), "tensor");
    ck_assert_str_eq(mlkv_type_name((mlkv_type)7), "unknown");
    ck_assert_str_eq(mlkv_type_name((mlkv_type)-1), "unknown");
    OK(mlkv_close(db));
}
END_TEST

START_TEST(exists_counts_repetitions_and_delete_does_not)
{
    mlkv *db = memory_store();
    mlkv_slice keys[] = {TEXT("string"), TEXT("missing"), TEXT("hash"),
                         TEXT("string"), TEXT("set"),     TEXT("tensor")};
    size_t count = 77;
    make_one_of_each(db);
    ck_assert_uint_eq(key_count(db), 4);
    OK(mlkv_key_exists(db, keys, 6, &count));
    ck_assert_uint_eq(count, 5);
    OK(mlkv_key_exists(db, NULL, 0, &count));
    ck_assert_uint_eq(count, 0);
    OK(mlkv_key_delete(db, NULL, 0, &count));
    ck_assert_uint_eq(count, 0);
    OK(mlkv_key_delete(db, keys, 6, &count));
    ck_assert_uint_eq(count, 4);
    ck_assert_uint_eq(key_count(db), 0);
    OK(mlkv_key_delete(db, keys, 6, &count));
    ck_assert_uint_eq(count, 0);
    clean_all(db);
    static const char *const classes[] = {"K", "E", "L", "T", "G", "R"};
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        ck_assert_uint_eq(count_records(db, classes[i]), 0);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(a_new_life_has_nothing_of_the_old_one)
{
    mlkv *db = memory_store();
    mlkv_slice key = TEXT("k"), member = TEXT("new");
    mlkv_pair pairs[] = {{TEXT("a"), TEXT("1")}, {TEXT("b"), TEXT("2")}};
    mlkv_buffer value = {0};
    mlkv_rows rows = {0};
    OK(mlkv_hash_set(db, key, pairs, 2, NULL));
    OK(mlkv_key_delete(db, &key, 1, NULL));
    OK(mlkv_hash_set(db, key, pairs + 1, 1, NULL));
    MUST(MLKV_ABSENT, mlkv_hash_get(db, key, TEXT("a"), &value));
    OK(mlkv_hash_keys(db, key, &rows));
    ck_assert_uint_eq(rows.count, 1);
    clean_all(db);
    OK(mlkv_hash_get(db, key, TEXT("b"), &value));
    IS(TEXT("2"), value);
    OK(mlkv_key_delete(db, &key, 1, NULL));
    OK(mlkv_set_add(db, key, &member, 1, NULL));
    clean_all(db);
    OK(mlkv_set_members(db, key, &rows));
    ck_assert_uint_eq(rows.count, 1);
    ck_assert_uint_eq(count_records(db, "E"), 1);
    verify_all(db);
    mlkv_rows_free(&rows);
    mlkv_buffer_free(&value);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(counts_in_transactions_and_after_reopening)
{
    const char *folder = harness_folder();
    mlkv *db = folder_store(folder), *tx = NULL;
    mlkv_slice keys[] = {TEXT("hash"), TEXT("set")};
    size_t count;
    make_one_of_each(db);
    OK(mlkv_begin(db, &tx));
    OK(mlkv_key_delete(tx, keys, 2, &count));
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq(key_count(tx), 2);
    ck_assert_uint_eq(key_count(db), 4);
    OK(mlkv_key_exists(tx, keys, 2, &count));
    ck_assert_uint_eq(count, 0);
    OK(mlkv_abort(tx));
    ck_assert_uint_eq(key_count(db), 4);
    OK(mlkv_begin(db, &tx));
    OK(mlkv_key_delete(tx, keys, 1, NULL));
    OK(mlkv_string_set(tx, keys[1], TEXT("replaces the set"), MLKV_SET_ALWAYS));
    OK(mlkv_commit(tx));
    ck_assert_uint_eq(key_count(db), 3);
    OK(mlkv_close(db));
    db = folder_store(folder);
    ck_assert_uint_eq(key_count(db), 3);
    mlkv *snapshot = NULL;
    OK(mlkv_snapshot(db, &snapshot));
    OK(mlkv_key_delete(db, keys + 1, 1, NULL));
    ck_assert_uint_eq(key_count(snapshot), 3);
    OK(mlkv_key_exists(snapshot, keys, 2, &count));
    ck_assert_uint_eq(count, 1);
    MUST(MLKV_E_READONLY, mlkv_key_delete(snapshot, keys, 2, NULL));
    OK(mlkv_close(snapshot));
    ck_assert_uint_eq(key_count(db), 2);
    verify_all(db);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

START_TEST(hostile_arguments)
{
    mlkv *db = memory_store();
    mlkv_slice bad = {NULL, 1}, keys[] = {TEXT("string"), bad};
    size_t count = 77;
    mlkv_type type = MLKV_TYPE_ZSET;
    make_one_of_each(db);
    MUST(MLKV_E_ARGUMENT, mlkv_key_exists(NULL, keys, 1, &count));
    MUST(MLKV_E_ARGUMENT, mlkv_key_exists(db, keys, 2, &count));
    MUST(MLKV_E_ARGUMENT, mlkv_key_exists(db, NULL, 1, &count));
    MUST(MLKV_E_ARGUMENT, mlkv_key_exists(db, keys, 1, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_key_delete(NULL, keys, 1, &count));
    MUST(MLKV_E_ARGUMENT, mlkv_key_delete(db, keys, 2, &count));
    MUST(MLKV_E_ARGUMENT, mlkv_key_delete(db, NULL, 1, &count));
    MUST(MLKV_E_ARGUMENT, mlkv_key_type(db, bad, &type));
    MUST(MLKV_E_ARGUMENT, mlkv_key_type(db, keys[0], NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_key_count(db, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_key_count(NULL, NULL));
    ck_assert_uint_eq(count, 77);
    ck_assert_int_eq(type, MLKV_TYPE_ZSET);
    ck_assert_uint_eq(key_count(db), 4);
    OK(mlkv_close(db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("key");
    TCase *tcase = harness_case(suite, "key");
    tcase_add_test(tcase, types);
    tcase_add_test(tcase, exists_counts_repetitions_and_delete_does_not);
    tcase_add_test(tcase, a_new_life_has_nothing_of_the_old_one);
    tcase_add_test(tcase, counts_in_transactions_and_after_reopening);
    tcase_add_test(tcase, hostile_arguments);
    return harness_run(suite);
}
