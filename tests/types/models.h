/* models.h - what the tests of models share: a model whose every element says which one it is. */
#ifndef MLKV_TESTS_TYPES_MODELS_H
#define MLKV_TESTS_TYPES_MODELS_H

#include "stores.h"

/* Two tensors of several chunks that are shared, one that is copied, a scalar, and one without bytes. */
enum { FILLED_ROWS = 96, FILLED_COLUMNS = 256, FILLED_SMALL = 50, FILLED_TENSORS = 5 };
static const mlkv_tensor_options filled_options = {.size = sizeof filled_options,
                                                   .chunk_bytes = 32 << 10};

static inline void fill_items(mlkv_model_item items[FILLED_TENSORS], float *numbers, float value)
{
    const mlkv_tensor large = {MLKV_F32, 2, {FILLED_ROWS, FILLED_COLUMNS}};
    const mlkv_tensor small = {MLKV_F32, 1, {FILLED_SMALL}}, scalar = {MLKV_F32, 0, {0}};
    const mlkv_tensor none = {MLKV_F32, 2, {0, 7}};
    for (size_t i = 0; i < FILLED_ROWS * FILLED_COLUMNS; i++)
        numbers[i] = value;
    items[0] = (mlkv_model_item){TEXT("z/first"), large, numbers, 0};
    items[1] = (mlkv_model_item){TEXT("small"), small, numbers, 0};
    items[2] = (mlkv_model_item){TEXT(""), scalar, numbers, 0};
    items[3] = (mlkv_model_item){TEXT("none"), none, NULL, 0};
    items[4] = (mlkv_model_item){TEXT("a/last"), large, numbers, 0};
}

static inline int save_filled(mlkv *view, mlkv_slice name, float value, uint32_t keep_last,
                              uint64_t *ret_version)
{
    static float numbers[FILLED_ROWS * FILLED_COLUMNS];
    mlkv_model_item items[FILLED_TENSORS];
    mlkv_publish_options options = {.size = sizeof options, .keep_last = keep_last};
    fill_items(items, numbers, value);
    return mlkv_model_save(view, name, items, FILLED_TENSORS, &filled_options, &options,
                           ret_version);
}

/* Whether every element is this; with 0, whether all are the same. */
static inline bool is_filled(const mlkv_model_contents *contents, float value)
{
    static const char *const names[FILLED_TENSORS] = {"z/first", "small", "", "none", "a/last"};
    static const size_t sizes[FILLED_TENSORS] = {FILLED_ROWS * FILLED_COLUMNS, FILLED_SMALL, 1, 0,
                                                 FILLED_ROWS * FILLED_COLUMNS};
    if (contents->count != FILLED_TENSORS)
        return false;
    for (size_t i = 0; i < FILLED_TENSORS; i++) {
        const mlkv_model_item *item = &contents->items[i];
        const float *numbers = item->data;
        if (!slice_equal(item->name, slice_of_text(names[i])) ||
            item->bytes != sizes[i] * sizeof *numbers)
            return false;
        for (size_t k = 0; k < sizes[i]; k++) {
            value = value == 0 ? numbers[k] : value;
            if (numbers[k] != value)
                return false;
        }
    }
    return true;
}

static inline void expect_filled(mlkv *view, mlkv_slice name, uint64_t version, float value)
{
    mlkv_model_contents contents = {0};
    OK(mlkv_model_load(view, name, version, &contents));
    ck_assert(version == 0 || contents.version == version);
    ck_assert(is_filled(&contents, value));
    mlkv_model_contents_free(&contents);
}

static inline uint64_t current_of(mlkv *view, mlkv_slice name)
{
    uint64_t version = 0;
    int result = mlkv_model_current(view, name, &version);
    ck_assert_msg(result == MLKV_OK || result == MLKV_ABSENT, "%s", mlkv_error_detail());
    return version;
}

static inline int count_version(void *context, const mlkv_model_info *info)
{
    size_t *count = context;
    ck_assert_uint_eq(info->size, sizeof *info);
    ++*count;
    return 0;
}

static inline size_t versions_of(mlkv *view, mlkv_slice name)
{
    size_t count = 0;
    OK(mlkv_model_list(view, name, count_version, &count));
    return count;
}

/* No key, and after the cleaner no record of a life or a blob. */
static inline void nothing_is_left(mlkv *db)
{
    enum { TRIES = 600, TRY_US = 50000 };
    static const char *const classes[] = {"K", "E", "T", "R", "B", "G"};
    mlkv_report report = {.size = sizeof report, .unclaimed = 1};
    OK(mlkv_flush(db, MLKV_STORE));
    clean_all(db);
    for (int i = 0; i < TRIES && report.unclaimed != 0;
         i++) { /* blobs are the keeper's to delete */
        if (i != 0)
            (void)usleep(TRY_US);
        OK(mlkv_verify(db, NULL, NULL, &report));
    }
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        ck_assert_msg(count_records(db, classes[i]) == 0, "%s", classes[i]);
    verify_all(db);
}

#endif
