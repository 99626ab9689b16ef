/* test_model_misuse.c - models: hostile arguments, and records that others wrote where a model's should be. */
#include "types/model.h"

#include "models.h"

#define M TEXT("m")

static void *no_place(void *context, size_t index, mlkv_slice name, const mlkv_tensor_info *info)
{
    (void)context, (void)index, (void)name, (void)info;
    return NULL;
}

START_TEST(arguments)
{
    mlkv *db = memory_store();
    mlkv_slice bad = {NULL, 3}, huge = {"", (16 << 20) + 1};
    mlkv_publication *p = NULL;
    mlkv_buffer key = {0};
    mlkv_rows rows = {0};
    uint64_t version = 77;
    mlkv_model_info info = {.size = 3};
    mlkv_tensor tensor = {MLKV_U8, 0, {0}};
    mlkv_model_contents contents = {0};
    mlkv_model_reader reader = {.size = sizeof reader};
    unsigned char grown[sizeof(mlkv_publish_options) + 8] = {0};
    mlkv_publish_options options = {.size = 3};
    MUST(MLKV_E_ARGUMENT, mlkv_model_begin(NULL, M, &p));
    MUST(MLKV_E_ARGUMENT, mlkv_model_begin(db, bad, &p));
    MUST(MLKV_E_ARGUMENT, mlkv_model_begin(db, M, NULL));
    MUST(MLKV_E_SIZE, mlkv_model_begin(db, huge, &p));
    MUST(MLKV_E_ARGUMENT, mlkv_model_put(NULL, M, &tensor, "", NULL, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_model_carry(NULL, M));
    MUST(MLKV_E_ARGUMENT, mlkv_model_include(NULL, M));
    MUST(MLKV_E_ARGUMENT, mlkv_model_publish(NULL, NULL, NULL));
    ck_assert_uint_eq(mlkv_publication_version(NULL), 0);
    OK(mlkv_model_begin(db, M, &p));
    MUST(MLKV_E_ARGUMENT, mlkv_model_put(p, bad, &tensor, "", NULL, NULL));
    MUST(MLKV_E_SIZE, mlkv_model_put(p, huge, &tensor, "", NULL, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_model_carry(p, bad));
    MUST(MLKV_E_ARGUMENT, mlkv_model_publish(p, &options, &version));
    options = (mlkv_publish_options){.size = sizeof options, .metadata = bad};
    MUST(MLKV_E_ARGUMENT, mlkv_model_publish(p, &options, &version));
    options = (mlkv_publish_options){.size = sizeof grown};
    memcpy(grown, &options, sizeof options);
    grown[sizeof grown - 1] = 1;
    MUST(MLKV_E_ARGUMENT, mlkv_model_publish(p, (void *)grown, &version));
    ck_assert_uint_eq(version, 77);
    grown[sizeof grown - 1] = 0;
    OK(mlkv_model_publish(p, (void *)grown, &version));
    MUST(MLKV_E_ARGUMENT, mlkv_model_save(db, M, NULL, 1, NULL, NULL, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_model_current(db, M, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_model_wait(NULL, M, 0, 0, &version));
    MUST(MLKV_E_ARGUMENT, mlkv_model_key(bad, 1, M, &key));
    MUST(MLKV_E_ARGUMENT, mlkv_model_key(M, 0, M, &key));
    MUST(MLKV_E_ARGUMENT, mlkv_model_key(M, 1, bad, &key));
    MUST(MLKV_E_ARGUMENT, mlkv_model_key(M, 1, M, NULL));
    MUST(MLKV_E_SIZE, mlkv_model_key(M, 1, huge, &key));
    MUST(MLKV_E_ARGUMENT, mlkv_model_current_key(db, M, bad, &key, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_model_current_key(db, M, M, NULL, NULL));
    MUST(MLKV_ABSENT, mlkv_model_current_key(db, TEXT("n"), M, &key, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_model_read(db, M, 0, NULL, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_model_read(db, M, 0, &reader, NULL));
    reader = (mlkv_model_reader){.size = 1, .place = no_place};
    MUST(MLKV_E_ARGUMENT, mlkv_model_read(db, M, 0, &reader, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_model_load(db, M, 0, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_model_load(NULL, M, 0, &contents));
    MUST(MLKV_ABSENT, mlkv_model_load(db, M, UINT64_MAX, &contents));
    MUST(MLKV_E_ARGUMENT, mlkv_model_tensors(db, M, 0, NULL, NULL));
    MUST(MLKV_ABSENT, mlkv_model_tensors(db, M, 5, &rows, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_model_get_info(db, M, 0, &info));
    MUST(MLKV_E_ARGUMENT, mlkv_model_get_info(db, M, 0, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_model_list(db, M, NULL, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_model_names(NULL, &rows));
    MUST(MLKV_E_ARGUMENT, mlkv_model_names(db, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_model_rollback(NULL, M, 0, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_model_drop(db, bad, 0));
    OK(mlkv_close(db));
}
END_TEST

/* Keys that others wrote where a model's should be. */
START_TEST(records_of_somebody_else)
{
    mlkv *db = memory_store();
    mlkv_slice index = TEXT("mlkv:model:m"), manifest = TEXT("mlkv:version:1:m:1");
    mlkv_publication *p = NULL;
    uint64_t version;
    mlkv_pair head = {TEXT("model"), TEXT("short")}, first = {TEXT("v\0\0\0\0\0\0\0\1"), TEXT("x")};
    char zeros[64] = {0};
    OK(mlkv_string_set(db, index, TEXT("v"), MLKV_SET_ALWAYS));
    MUST(MLKV_E_TYPE, mlkv_model_begin(db, M, &p));
    MUST(MLKV_E_TYPE, mlkv_model_current(db, M, &version));
    OK(mlkv_key_delete(db, &index, 1, NULL));
    OK(mlkv_hash_set(db, index, &first, 1, NULL));
    MUST(MLKV_E_CORRUPT, mlkv_model_current(db, M, &version));
    OK(mlkv_hash_set(db, index, &head, 1, NULL));
    MUST(MLKV_E_CORRUPT, mlkv_model_begin(db, M, &p));
    head.value = slice_of(zeros, 24);
    OK(mlkv_hash_set(db, index, &head, 1, NULL));
    MUST(MLKV_E_CORRUPT, mlkv_model_drop(db, M, 0));
    OK(mlkv_key_delete(db, &index, 1, NULL));
    OK(save_filled(db, M, 1, 0, NULL));
    OK(mlkv_hash_set(db, manifest, &(mlkv_pair){TEXT("tsmall"), slice_of(zeros, 3)}, 1, NULL));
    mlkv_model_contents contents = {0};
    MUST(MLKV_E_CORRUPT, mlkv_model_load(db, M, 0, &contents));
    OK(mlkv_hash_delete(db, manifest, &(mlkv_slice){"tsmall", 6}, 1, NULL));
    OK(mlkv_key_delete(db, &(mlkv_slice){"mlkv:version:1:m:1:a/last", 25}, 1, NULL));
    MUST(MLKV_E_CORRUPT, mlkv_model_load(db, M, 0, &contents));
    ck_assert_msg(strstr(mlkv_error_detail(), "a/last") != NULL, "%s", mlkv_error_detail());
    first.value = slice_of(zeros, 64); /* neither staged nor published */
    OK(mlkv_hash_set(db, index, &first, 1, NULL));
    MUST(MLKV_E_CORRUPT, mlkv_model_load(db, M, 0, &contents));
    MUST(MLKV_E_CORRUPT, mlkv_model_drop(db, M, 0));
    MUST(MLKV_E_CORRUPT, mlkv_model_begin(db, M, &p));
    OK(mlkv_key_delete(db, &index, 1, NULL)); /* all that is left belongs to nobody */
    OK(save_filled(db, M, 2, 0, NULL));
    ck_assert_uint_eq(key_count(db), 2 + FILLED_TENSORS);
    OK(mlkv_model_drop(db, M, 0));
    nothing_is_left(db);
    OK(mlkv_close(db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model_misuse");
    TCase *tcase = harness_case(suite, "misuse");
    tcase_add_test(tcase, arguments);
    tcase_add_test(tcase, records_of_somebody_else);
    return harness_run(suite);
}
