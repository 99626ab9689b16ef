/* salvage_store.h - what the tests of salvage share: a store with one of everything in it, a look at
 * what a salvaged one still has of that, and files taken into memory and put back damaged. */
#ifndef MLKV_TESTS_FAULTS_SALVAGE_STORE_H
#define MLKV_TESTS_FAULTS_SALVAGE_STORE_H

#include "harness.h"

#include <fcntl.h>
#include <mlkv/mlkv.h>
#include <string.h>
#include <unistd.h>

enum {
    STRINGS = 120,
    MEMBERS = 40, /* of each collection */
    PAGE = 4096,
    BLOB_SIZE = 6000, /* at a ring of 64 KiB a blob */
};

/* What was found of it. */
typedef struct {
    bool string[STRINGS], blob, tensor, long_name, expiring;
    unsigned strings, hash, set, list, zset; /* elements that are there */
    bool has_hash, has_set, has_list, has_zset;
    unsigned keys;
} content;

static const mlkv_options store_options = {.size = sizeof store_options,
                                           .ring_bytes = 64 << 10,
                                           .batch_bytes = 1 << 20,
                                           .cache_bytes = 1 << 20};

static inline mlkv_slice name_of(char kind, int i, char name[16])
{
    return slice_of(name, (size_t)snprintf(name, 16, "%c%04d", kind, i));
}

static inline mlkv_slice value_of(char kind, int i, char value[200])
{
    size_t size = (size_t)(i * 37 % 150);
    for (size_t j = 0; j < size; j++)
        value[j] = (char)(kind + i * 31 + (int)j * (i + 3));
    return slice_of(value, size);
}

static inline mlkv_slice blob_bytes(void)
{
    static unsigned char bytes[BLOB_SIZE];
    uint64_t state = 99;
    for (size_t i = 0; i < sizeof bytes; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        bytes[i] = (unsigned char)(state >> 56);
    }
    return slice_of(bytes, sizeof bytes);
}

static inline mlkv_slice long_name(void)
{
    static char bytes[700];
    memset(bytes, 'n', sizeof bytes);
    return slice_of(bytes, sizeof bytes);
}

static const mlkv_tensor store_tensor = {.dtype = MLKV_I32, .dimensions = 2, .shape = {8, 16}};

static inline void tensor_numbers(int32_t numbers[128])
{
    for (int i = 0; i < 128; i++)
        numbers[i] = i * i - 7;
}

static inline void write_strings(mlkv *db, char kind, int n)
{
    char name[16], value[200];
    for (int i = 0; i < n; i++)
        OK(mlkv_string_set(db, name_of('k', i, name), value_of(kind, i, value), MLKV_SET_ALWAYS));
}

static inline void write_members(mlkv *db)
{
    char name[16], value[200];
    for (int i = 0; i < MEMBERS; i++) {
        mlkv_slice member = name_of('m', i, name), bytes = value_of('f', i, value);
        mlkv_pair pair = {member, bytes};
        mlkv_scored scored = {.member = member, .score = i * 1.5 - 10};
        OK(mlkv_hash_set(db, TEXT("hash"), &pair, 1, NULL));
        OK(mlkv_set_add(db, TEXT("set"), &member, 1, NULL));
        OK(mlkv_zset_add(db, TEXT("zset"), &scored, 1, 0, NULL, NULL));
        OK(mlkv_list_push(db, TEXT("list"), MLKV_LIST_RIGHT, &bytes, 1, NULL));
    }
}

/* Several states one after the other, so that older copies of pages lie about. */
static inline void write_content(mlkv *db)
{
    int32_t numbers[128];
    mlkv_tensor_options options = {.size = sizeof options, .chunk_bytes = 256};
    char name[16];
    write_strings(db, 'o', STRINGS);
    for (int i = 0; i < 60; i++) {
        mlkv_slice key = name_of('x', i, name);
        OK(mlkv_string_set(db, key, TEXT("to be deleted"), MLKV_SET_ALWAYS));
    }
    OK(mlkv_flush(db, MLKV_STORE));
    write_members(db);
    OK(mlkv_flush(db, MLKV_STORE));
    for (int i = 0; i < 60; i++) {
        mlkv_slice key = name_of('x', i, name);
        OK(mlkv_key_delete(db, &key, 1, NULL));
    }
    write_strings(db, 'v', STRINGS / 2);
    OK(mlkv_flush(db, MLKV_STORE));
    write_strings(db, 'v', STRINGS);
    OK(mlkv_string_set(db, TEXT("blob"), blob_bytes(), MLKV_SET_ALWAYS));
    OK(mlkv_string_set(db, long_name(), TEXT("long"), MLKV_SET_ALWAYS));
    OK(mlkv_string_set(db, TEXT("expiring"), TEXT("later"), MLKV_SET_ALWAYS));
    OK(mlkv_key_expire(db, TEXT("expiring"), 1000000000, MLKV_EXPIRE_ALWAYS));
    tensor_numbers(numbers);
    OK(mlkv_tensor_put(db, TEXT("tensor"), &store_tensor, numbers, &options));
}

/* Asserts that what is there has its value. */
static inline bool look_string(mlkv *db, mlkv_slice key, mlkv_slice value)
{
    mlkv_buffer got = {0};
    int result = mlkv_string_get(db, key, &got);
    if (result != MLKV_ABSENT) {
        OK(result);
        ck_assert_msg(slice_equal(slice_of(got.data, got.size), value), "'%.*s' has another value",
                      (int)key.size, (const char *)key.data);
    }
    mlkv_buffer_free(&got);
    return result == MLKV_OK;
}

static inline void look_members(mlkv *db, content *found)
{
    char name[16], value[200];
    for (int i = 0; i < MEMBERS; i++) {
        mlkv_slice member = name_of('m', i, name), bytes = value_of('f', i, value);
        mlkv_buffer got = {0};
        uint8_t present = 0;
        double score = 0;
        int result = mlkv_hash_get(db, TEXT("hash"), member, &got);
        if (result == MLKV_OK)
            ck_assert(slice_equal(slice_of(got.data, got.size), bytes));
        found->hash += result == MLKV_OK;
        mlkv_buffer_free(&got);
        OK(mlkv_set_contains(db, TEXT("set"), &member, 1, &present));
        found->set += present;
        result = mlkv_zset_score(db, TEXT("zset"), member, &score);
        if (result == MLKV_OK)
            ck_assert(score == i * 1.5 - 10);
        found->zset += result == MLKV_OK;
    }
    uint64_t n;
    OK(mlkv_hash_length(db, TEXT("hash"), &n));
    ck_assert_uint_eq(n, found->hash);
    OK(mlkv_set_count(db, TEXT("set"), &n));
    ck_assert_uint_eq(n, found->set);
    OK(mlkv_zset_count(db, TEXT("zset"), &n));
    ck_assert_uint_eq(n, found->zset);
}

/* Those that are there stand in their order. */
static inline void look_list(mlkv *db, content *found)
{
    char value[200];
    mlkv_rows rows = {0};
    OK(mlkv_list_range(db, TEXT("list"), 0, -1, &rows));
    found->list = (unsigned)rows.count;
    int next = 0;
    for (size_t i = 0; i < rows.count; i++) {
        while (next < MEMBERS && !slice_equal(rows.items[i], value_of('f', next, value)))
            next++;
        ck_assert_int_lt(next++, MEMBERS);
    }
    mlkv_rows_free(&rows);
}

static inline void look_at(mlkv *db, content *found)
{
    char name[16], value[200];
    int32_t wanted[128], got[128] = {0};
    uint64_t keys;
    *found = (content){0};
    for (int i = 0; i < STRINGS; i++) {
        found->string[i] = look_string(db, name_of('k', i, name), value_of('v', i, value));
        found->strings += found->string[i];
    }
    found->blob = look_string(db, TEXT("blob"), blob_bytes());
    found->long_name = look_string(db, long_name(), TEXT("long"));
    found->expiring = look_string(db, TEXT("expiring"), TEXT("later"));
    look_members(db, found);
    look_list(db, found);
    tensor_numbers(wanted);
    int result = mlkv_tensor_get(db, TEXT("tensor"), got, sizeof got);
    found->tensor = result == MLKV_OK;
    ck_assert(result == MLKV_ABSENT || result == MLKV_OK);
    ck_assert(!found->tensor || memcmp(wanted, got, sizeof got) == 0);
    OK(mlkv_key_count(db, &keys));
    found->keys = found->strings + found->blob + found->long_name + found->expiring +
                  found->tensor + (found->hash != 0) + (found->set != 0) + (found->list != 0) +
                  (found->zset != 0);
    ck_assert_uint_eq(keys, found->keys); /* and nothing that was deleted or never there */
}

static inline bool is_whole(const content *found)
{
    return found->strings == STRINGS && found->blob && found->tensor && found->long_name &&
           found->expiring && found->hash == MEMBERS && found->set == MEMBERS &&
           found->list == MEMBERS && found->zset == MEMBERS;
}

/* --- salvaging --- */

typedef struct {
    unsigned lost, repaired;
    bool prints;
} listener;

static inline int listen_to(void *context, int lost, const char *sentence)
{
    listener *self = context;
    self->lost += lost != 0;
    self->repaired += lost == 0;
    ck_assert_uint_gt(strlen(sentence), 10);
    if (self->prints)
        fprintf(stderr, "%s: %s\n", lost ? "lost" : "note", sentence);
    return 0;
}

/* Salvages and looks at what came of it; everything of it is removed again. */
static inline int salvage_and_look(const char *damaged, const char *new_path, content *found,
                                   mlkv_salvage_report *report)
{
    listener told = {.prints = getenv("MLKV_SALVAGE_PRINT") != NULL};
    mlkv *db = NULL;
    mlkv_options options = store_options;
    *report = (mlkv_salvage_report){.size = sizeof *report};
    int result = mlkv_salvage(damaged, new_path, listen_to, &told, report);
    if (result != MLKV_OK) {
        ck_assert_msg(mlkv_error_detail()[0] != '\0', "%d without a detail", result);
        ck_assert_int_ne(access(new_path, F_OK), 0);
        return result;
    }
    ck_assert_uint_eq(report->losses, told.lost);
    ck_assert_uint_eq(report->repairs, told.repaired);
    options.flags = MLKV_NO_CREATE;
    OK(mlkv_open(new_path, &options, &db));
    OK(mlkv_verify(db, NULL, NULL, NULL));
    if (found != NULL)
        look_at(db, found);
    OK(mlkv_close(db));
    harness_remove(new_path);
    return MLKV_OK;
}

/* --- files --- */

typedef struct {
    unsigned char *bytes;
    size_t size;
} file_bytes;

static inline void path_in(const char *folder, const char *name, char path[600])
{
    snprintf(path, 600, "%s/%s", folder, name);
}

static inline file_bytes load_file(const char *folder, const char *name)
{
    char path[600];
    struct stat status;
    path_in(folder, name, path);
    int fd = open(path, O_RDONLY);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fstat(fd, &status), 0);
    file_bytes file = {malloc((size_t)status.st_size + 1), (size_t)status.st_size};
    ck_assert_int_eq(read(fd, file.bytes, file.size), (ssize_t)file.size);
    close(fd);
    return file;
}

static inline void save_file(const char *folder, const char *name, const unsigned char *bytes,
                             size_t size)
{
    char path[600];
    path_in(folder, name, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, bytes, size), (ssize_t)size);
    ck_assert_int_eq(close(fd), 0);
}

/* A folder in memory, if there is such a thing: hundreds of stores are made. */
static inline void memory_folder(char folder[64])
{
    bool memory = access("/dev/shm", W_OK) == 0;
    snprintf(folder, 64, "%s/mlkv-test-XXXXXX", memory ? "/dev/shm" : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

#endif
