/* fixture.h - what the tests of files share: a folder with a store, files written by hand, and a look at what the store holds. */
#ifndef MLKV_TESTS_FILES_FIXTURE_H
#define MLKV_TESTS_FILES_FIXTURE_H

#include "base/buffer.h"
#include "base/fault.h"
#include "base/hash.h"
#include "harness.h"

#include <dirent.h>
#include <mlkv/mlkv.h>

static const char *folder;
static mlkv *db;

static inline mlkv *open_store(void)
{
    char path[600];
    mlkv *opened = NULL;
    mlkv_options options = {.size = sizeof options,
                            .ring_bytes = 4 << 20,
                            .cache_bytes = 8 << 20,
                            .lock_timeout_ms = 120000};
    (void)snprintf(path, sizeof path, "%s/store", folder);
    OK(mlkv_open(path, &options, &opened));
    return opened;
}

static inline void begin(void)
{
    folder = harness_folder();
    db = open_store();
}

static inline void end(void)
{
    mlkv_report report = {.size = sizeof report};
    OK(mlkv_verify(db, NULL, NULL, &report));
    OK(mlkv_close(db));
    harness_remove(folder);
}

static inline int delete_key(mlkv_slice key)
{
    return mlkv_key_delete(db, &key, 1, NULL);
}

/* A path in the folder, in one of 16 static buffers. */
static inline const char *path_of(const char *name)
{
    static char paths[16][600];
    static unsigned next;
    char *path = paths[next++ % 16];
    (void)snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

/* Writes a file; its path. */
static inline const char *write_file(const char *name, const void *data, size_t size)
{
    const char *path = path_of(name);
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(data, 1, size, file), size);
    ck_assert_int_eq(fclose(file), 0);
    return path;
}

static inline mlkv_buffer read_file(const char *path)
{
    mlkv_buffer bytes = {0};
    FILE *file = fopen(path, "rb");
    ck_assert_ptr_nonnull(file);
    size_t got;
    do {
        void *to = buffer_extend(&bytes, 1 << 20);
        ck_assert_ptr_nonnull(to);
        got = fread(to, 1, 1 << 20, file);
        bytes.size -= (1 << 20) - got;
    } while (got != 0);
    ck_assert_int_eq(fclose(file), 0);
    return bytes;
}

/* Names in the folder, but for the store. */
static inline unsigned count_files(void)
{
    unsigned count = 0;
    DIR *entries = opendir(folder);
    ck_assert_ptr_nonnull(entries);
    for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries))
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
                 strcmp(entry->d_name, "store") != 0;
    (void)closedir(entries);
    return count;
}

/* A number of all keys, forms and bytes of all tensors: the same as long as nothing changed. */
static inline uint64_t store_digest(mlkv *view)
{
    mlkv_query query = {.size = sizeof query, .kind = MLKV_SCAN_TENSORS};
    mlkv_cursor *cursor = NULL;
    mlkv_slice key, value;
    uint64_t keys, digest;
    OK(mlkv_key_count(view, &keys));
    digest = keys;
    OK(mlkv_cursor_open(view, &query, &cursor));
    while (mlkv_cursor_next(cursor, &key, &value) == MLKV_OK) {
        mlkv_tensor_info info;
        memcpy(&info, value.data, sizeof info);
        unsigned char *data = malloc((size_t)info.raw_bytes + 1);
        ck_assert_ptr_nonnull(data);
        OK(mlkv_tensor_get(view, key, data, (size_t)info.raw_bytes));
        digest = hash_checksum(key.data, key.size, digest);
        digest = hash_checksum(&info.tensor, sizeof info.tensor, digest + info.version);
        digest = hash_checksum(data, (size_t)info.raw_bytes, digest);
        free(data);
    }
    mlkv_cursor_close(cursor);
    return digest;
}

static inline void fill(void *to, size_t size, uint64_t seed, bool truths)
{
    unsigned char *bytes = to;
    uint64_t state = seed * 2654435769u + 1;
    for (size_t i = 0; i < size; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        bytes[i] = (unsigned char)(state >> 56 & (truths ? 1 : 255));
    }
}

static inline void expect_tensor(mlkv *view, mlkv_slice key, const mlkv_tensor *tensor,
                                 const void *data, size_t size)
{
    mlkv_tensor_info info = {.size = sizeof info};
    OK(mlkv_tensor_get_info(view, key, &info));
    ck_assert_int_eq(info.tensor.dtype, tensor->dtype);
    ck_assert_uint_eq(info.tensor.dimensions, tensor->dimensions);
    for (uint32_t i = 0; i < tensor->dimensions; i++)
        ck_assert_uint_eq(info.tensor.shape[i], tensor->shape[i]);
    ck_assert_uint_eq(info.raw_bytes, size);
    unsigned char *got = malloc(size + 1);
    ck_assert_ptr_nonnull(got);
    OK(mlkv_tensor_get(view, key, got, size));
    ck_assert(size == 0 || memcmp(got, data, size) == 0);
    free(got);
}

/* Shapes of all sorts. */
static const struct {
    uint32_t dimensions;
    uint64_t shape[8];
} shapes[] = {
    {0, {0}},
    {1, {0}},
    {1, {1}},
    {1, {7}},
    {2, {0, 5}},
    {3, {3, 0, 2}},
    {2, {1, 9}},
    {2, {9, 1}},
    {2, {13, 3}},
    {3, {2, 3, 5}},
    {8, {1, 2, 1, 2, 1, 2, 1, 2}},
    {8, {2, 1, 2, 1, 2, 1, 2, 3}},
    {2, {300, 41}},
};

enum { SHAPES = sizeof shapes / sizeof shapes[0] };

static inline mlkv_tensor tensor_of(int dtype, size_t shape, size_t *ret_size)
{
    mlkv_tensor tensor = {.dtype = dtype, .dimensions = shapes[shape].dimensions};
    *ret_size = mlkv_dtype_size((mlkv_dtype)dtype);
    for (uint32_t i = 0; i < tensor.dimensions; i++) {
        tensor.shape[i] = shapes[shape].shape[i];
        *ret_size *= (size_t)tensor.shape[i];
    }
    return tensor;
}

#endif
