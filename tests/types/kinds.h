/* kinds.h - what the tests of whole keys share: a key of every kind, and all that can be said of a key as one text to compare. */
#ifndef MLKV_TESTS_TYPES_KINDS_H
#define MLKV_TESTS_TYPES_KINDS_H

#include "types/stores.h"

#include "base/buffer.h"

enum { KIND_BLOB_SIZE = 200000, KIND_MEMBERS = 40, LONG_MEMBER = 700 };

typedef enum {
    KIND_STRING,
    KIND_LARGE_STRING, /* a blob */
    KIND_HASH,
    KIND_EXPIRING_HASH,
    KIND_LIST,
    KIND_SET,
    KIND_ZSET,
    KIND_TENSOR,
    KIND_LARGE_TENSOR, /* of blobs */
    KIND_EMPTY_TENSOR,
    KINDS
} kind;

static const int64_t far_ms = INT64_C(4000000000000); /* in the year 2096 */

/* Bytes of a blob, different for each seed; static storage. */
static inline mlkv_slice large_value(unsigned seed)
{
    static unsigned char bytes[KIND_BLOB_SIZE];
    fill_noise(bytes, sizeof bytes, seed);
    return slice_of(bytes, sizeof bytes);
}

static inline void make_hash(mlkv *view, mlkv_slice key, unsigned seed, bool expires)
{
    char name[40];
    for (unsigned i = 0; i < KIND_MEMBERS; i++) {
        mlkv_slice field =
            i == 0 ? long_name(LONG_MEMBER, seed)
                   : slice_of(name, (size_t)snprintf(name, sizeof name, "f%u", seed + i));
        mlkv_pair pair = {field, i == 1 ? large_value(seed) : field};
        OK(mlkv_hash_set(view, key, &pair, 1, NULL));
        int64_t outcome;
        if (expires && i % 3 == 0)
            OK(mlkv_hash_expire_at(view, key, &field, 1, far_ms + seed + i, MLKV_EXPIRE_ALWAYS,
                                   &outcome));
    }
}

static inline void make_list(mlkv *view, mlkv_slice key, unsigned seed)
{
    mlkv_slice large = large_value(seed);
    for (unsigned i = 0; i < KIND_MEMBERS; i++) {
        unsigned number = seed + i;
        mlkv_slice value = slice_of(&number, sizeof number);
        OK(mlkv_list_push(view, key, i % 3 == 0 ? MLKV_LIST_LEFT : MLKV_LIST_RIGHT, &value, 1,
                          NULL));
    }
    OK(mlkv_list_push(view, key, MLKV_LIST_LEFT, &large, 1, NULL));
}

static inline void make_members(mlkv *view, mlkv_slice key, unsigned seed, bool scored)
{
    for (unsigned i = 0; i < KIND_MEMBERS; i++) {
        unsigned number = seed + i;
        mlkv_slice member =
            i < 4 ? long_name(LONG_MEMBER, number) : slice_of(&number, sizeof number);
        mlkv_scored pair = {member, i % 7 - 3.5};
        if (scored)
            OK(mlkv_zset_add(view, key, &pair, 1, 0, NULL, NULL));
        else
            OK(mlkv_set_add(view, key, &member, 1, NULL));
    }
}

static inline void make_tensor(mlkv *view, mlkv_slice key, unsigned seed, uint64_t rows,
                               size_t chunk_bytes)
{
    static float numbers[1 << 16];
    mlkv_tensor tensor = {.dtype = MLKV_F32, .dimensions = 2, .shape = {rows, 16}};
    mlkv_tensor_options options = {.size = sizeof options, .chunk_bytes = chunk_bytes};
    fill_noise(numbers, sizeof numbers, seed);
    OK(mlkv_tensor_put(view, key, &tensor, numbers, &options));
}

static inline void make_kind(mlkv *view, kind which, mlkv_slice key, unsigned seed)
{
    switch (which) {
    case KIND_STRING:
        OK(mlkv_string_set(view, key, slice_of(&seed, sizeof seed), MLKV_SET_ALWAYS));
        break;
    case KIND_LARGE_STRING:
        OK(mlkv_string_set(view, key, large_value(seed), MLKV_SET_ALWAYS));
        break;
    case KIND_HASH:
    case KIND_EXPIRING_HASH:
        make_hash(view, key, seed, which == KIND_EXPIRING_HASH);
        break;
    case KIND_LIST:
        make_list(view, key, seed);
        break;
    case KIND_SET:
    case KIND_ZSET:
        make_members(view, key, seed, which == KIND_ZSET);
        break;
    case KIND_TENSOR:
        make_tensor(view, key, seed, 100, 512);
        break;
    case KIND_LARGE_TENSOR:
        make_tensor(view, key, seed, 4096, 128 << 10);
        break;
    default:
        make_tensor(view, key, seed, 0, 512);
        break;
    }
}

/* --- all that can be said of a key --- */

static inline void tell(mlkv_buffer *text, mlkv_slice bytes)
{
    OK(buffer_append(text, &bytes.size, sizeof bytes.size));
    OK(buffer_append(text, bytes.data, bytes.size));
}

static inline void tell_rows(mlkv_buffer *text, mlkv_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++)
        tell(text, rows->items[i]);
    mlkv_rows_free(rows);
}

static inline void tell_hash(mlkv *view, mlkv_slice key, mlkv_buffer *text)
{
    mlkv_rows rows = {0};
    int64_t at[2 * KIND_MEMBERS] = {0};
    OK(mlkv_hash_keys(view, key, &rows));
    ck_assert_uint_le(rows.count, 2 * KIND_MEMBERS);
    OK(mlkv_hash_expiry(view, key, rows.items, rows.count, at));
    tell(text, slice_of(at, sizeof at));
    OK(mlkv_hash_get_all(view, key, &rows));
    tell_rows(text, &rows);
}

static inline void tell_zset(mlkv *view, mlkv_slice key, mlkv_buffer *text)
{
    mlkv_zset_range_spec all = {.size = sizeof all, .stop = -1};
    mlkv_rows rows = {0};
    mlkv_buffer scores = {0};
    OK(mlkv_zset_range(view, key, &all, &rows, &scores));
    tell(text, slice_of_buffer(&scores));
    tell_rows(text, &rows);
    mlkv_buffer_free(&scores);
}

static inline void tell_tensor(mlkv *view, mlkv_slice key, mlkv_buffer *text)
{
    mlkv_tensor_info info = {.size = sizeof info};
    mlkv_buffer data = {0};
    OK(mlkv_tensor_get_info(view, key, &info));
    info.version = 0;
    tell(text, slice_of(&info, sizeof info));
    OK(buffer_reserve(&data, (size_t)info.raw_bytes + 1));
    OK(mlkv_tensor_get(view, key, data.data, (size_t)info.raw_bytes));
    tell(text, slice_of(data.data, (size_t)info.raw_bytes));
    mlkv_buffer_free(&data);
}

/* Replaces the content of *text. A tensor's version is left out. */
static inline void describe(mlkv *view, mlkv_slice key, mlkv_buffer *text)
{
    mlkv_type type = MLKV_TYPE_NONE;
    mlkv_rows rows = {0};
    mlkv_buffer value = {0};
    int64_t at_ms = -7;
    text->size = 0;
    OK(mlkv_key_type(view, key, &type));
    tell(text, slice_of(&type, sizeof type));
    if (type == MLKV_TYPE_NONE)
        return;
    OK(mlkv_key_expiry(view, key, &at_ms));
    tell(text, slice_of(&at_ms, sizeof at_ms));
    if (type == MLKV_TYPE_STRING)
        OK(mlkv_string_get(view, key, &value));
    if (type == MLKV_TYPE_HASH)
        tell_hash(view, key, text);
    if (type == MLKV_TYPE_LIST)
        OK(mlkv_list_range(view, key, 0, -1, &rows));
    if (type == MLKV_TYPE_SET)
        OK(mlkv_set_members(view, key, &rows));
    if (type == MLKV_TYPE_ZSET)
        tell_zset(view, key, text);
    if (type == MLKV_TYPE_TENSOR)
        tell_tensor(view, key, text);
    tell(text, slice_of_buffer(&value));
    tell_rows(text, &rows);
    mlkv_buffer_free(&value);
}

static inline bool is_there(mlkv *view, mlkv_slice key)
{
    size_t count = 77;
    OK(mlkv_key_exists(view, &key, 1, &count));
    return count == 1;
}

/* Asserts that the key is as it was described. */
static inline void is_as(mlkv *view, mlkv_slice key, const mlkv_buffer *expected)
{
    mlkv_buffer text = {0};
    describe(view, key, &text);
    ck_assert(slice_equal(slice_of_buffer(&text), slice_of_buffer(expected)));
    mlkv_buffer_free(&text);
}

/* When the keys are gone and the cleaner has run, nothing may be left. */
static inline void nothing_is_left(mlkv *db)
{
    static const char *const classes[] = {"K", "E", "L", "O", "T", "X", "F", "Y", "G", "R"};
    clean_all(db);
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        ck_assert_msg(count_records(db, classes[i]) == 0, "records %s are left", classes[i]);
    ck_assert_uint_eq(key_count(db), 0);
    verify_all(db);
}

#endif
