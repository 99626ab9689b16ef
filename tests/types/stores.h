/* stores.h - what the tests of typed operations share: stores to try them on, long names, a look at the records below. */
#ifndef MLKV_TESTS_TYPES_STORES_H
#define MLKV_TESTS_TYPES_STORES_H

#include "harness.h"
#include "types/clean.h"
#include "types/layout.h"
#include "view/op.h"

#include <mlkv/mlkv.h>

/* A small ring, so that blobs and drains come soon. */
static inline mlkv *memory_store(void)
{
    mlkv *db = NULL;
    mlkv_options options = {.size = sizeof options, .ring_bytes = 1 << 20};
    OK(mlkv_open(NULL, &options, &db));
    return db;
}

static inline mlkv *folder_store(const char *folder)
{
    mlkv *db = NULL;
    mlkv_options options = {.size = sizeof options, .ring_bytes = 1 << 20};
    OK(mlkv_open(folder, &options, &db));
    return db;
}

/* `size` bytes that begin alike and end in the number: a name that differs from its neighbours only far behind. */
static inline mlkv_slice long_name(size_t size, unsigned number)
{
    static char memory[4][1 << 16];
    static unsigned next;
    char *name = memory[next++ % 4];
    ck_assert_uint_le(size, sizeof memory[0]);
    memset(name, 'n', size);
    memcpy(name + size - sizeof number, &number, sizeof number);
    return slice_of(name, size);
}

/* Bytes that zstd does not shrink, different for each seed. */
static inline void fill_noise(void *to, size_t size, uint64_t seed)
{
    unsigned char *bytes = to;
    uint64_t state = seed * 2654435769u + 1;
    for (size_t i = 0; i < size; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        bytes[i] = (unsigned char)(state >> 56);
    }
}

/* A record as it stands below the types, also one that no type would write: op_write(db, put_record, &record). */
typedef struct {
    mlkv_slice key, value;
} record;

static inline int put_record(op *o, void *context)
{
    const record *self = context;
    return op_put(o, self->key, self->value);
}

static inline size_t count_records(mlkv *view, const char *prefix)
{
    scan *walk = NULL;
    mlkv_slice key, value;
    size_t count = 0;
    OK(scan_open(view, slice_of_text(prefix), slice_of(NULL, 0), &walk));
    int result;
    while ((result = scan_next(walk, &key, &value)) == MLKV_OK)
        count++;
    ck_assert_int_eq(result, MLKV_ABSENT);
    scan_close(walk);
    return count;
}

/* Runs the cleaner until nothing is left to do. */
static inline void clean_all(mlkv *db)
{
    int result = MLKV_OK;
    for (int i = 0; i < 10000 && result == MLKV_OK; i++)
        result = clean_step(db);
    MUST(MLKV_ABSENT, result);
}

static inline void verify_all(mlkv *db)
{
    mlkv_report report = {.size = sizeof report};
    OK(mlkv_verify(db, NULL, NULL, &report));
    ck_assert_uint_eq(report.problems, 0);
}

static inline uint64_t key_count(mlkv *view)
{
    uint64_t count = UINT64_MAX;
    OK(mlkv_key_count(view, &count));
    return count;
}

#define IS(expected, buffer)                                                                 \
    ck_assert_msg(slice_equal(expected, slice_of((buffer).data, (buffer).size)), "%s: %.*s", \
                  #buffer, (int)(buffer).size, (const char *)(buffer).data)

#endif
