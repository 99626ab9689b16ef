/* test_tensor_put.c - what a put writes: the chunks that differ, no other, and it says how many. */
#include "types/tensor.h"

#include "stores.h"

enum { CHUNKS = 200, CHUNK = 1000, BYTES = CHUNKS * CHUNK };

static const mlkv_tensor table = {MLKV_U8, 2, {CHUNKS * 10, CHUNK / 10}};
static const mlkv_tensor_options options = {.size = sizeof options, .chunk_bytes = CHUNK};

/* --- the records written since, from the journal --- */

typedef struct {
    uint64_t
        id; /* of the life that stands: of earlier ones the cleaner deletes records meanwhile */
    size_t chunks, descriptions;
} written;

static int find_life(op *o, void *context)
{
    written *self = context;
    entry found;
    tensor_form form;
    int result = tensor_open(o, TEXT("t"), &found, &form);
    if (result == MLKV_OK)
        self->id = found.header.id;
    return result;
}

static int count_record(void *context, mlkv_slice key)
{
    written *self = context;
    record_key chunks;
    layout_id(RECORD_TENSOR, self->id, &chunks);
    self->chunks += slice_starts_with(key, record_key_slice(&chunks));
    self->descriptions += slice_equal(key, TEXT("Kt"));
    return 0;
}

/* Puts data, and compares what the call says with the T records that the journal got. */
static uint64_t put(mlkv *db, const void *data)
{
    uint64_t position, count = 99999;
    written since = {0};
    OK(op_watch_position(db, &position));
    OK(mlkv_tensor_put_counted(db, TEXT("t"), &table, data, &options, &count));
    OK(op_read(db, find_life, &since));
    OK(op_watch_changes(db, &position, count_record, &since));
    ck_assert_uint_eq(since.chunks, count);
    ck_assert_uint_eq(since.descriptions, 1); /* the version */
    return count;
}

static void expect(mlkv *view, const void *data)
{
    static unsigned char got[BYTES];
    OK(mlkv_tensor_get(view, TEXT("t"), got, BYTES));
    ck_assert(memcmp(got, data, BYTES) == 0);
}

static uint64_t version_of(mlkv *view)
{
    mlkv_tensor_info info = {.size = sizeof info};
    OK(mlkv_tensor_get_info(view, TEXT("t"), &info));
    ck_assert_uint_eq(info.chunks, CHUNKS);
    return info.version;
}

START_TEST(test_changed_chunks_are_written)
{
    mlkv *db = memory_store();
    static unsigned char data[BYTES];
    static const unsigned changed[] = {1, 2, 7, 50, CHUNKS - 1, CHUNKS};
    uint64_t version = 1;
    fill_noise(data, BYTES, 1);
    ck_assert_uint_eq(put(db, data), CHUNKS);
    ck_assert_uint_eq(put(db, data), 0);
    ck_assert_uint_eq(version_of(db), ++version);
    for (size_t i = 0; i < sizeof changed / sizeof *changed; i++) {
        for (unsigned k = 0; k < changed[i]; k++)
            data[(k * 67 + i) % CHUNKS * CHUNK + (k * 31 + i) % CHUNK] ^=
                1; /* 67: prime to CHUNKS */
        ck_assert_uint_eq(put(db, data), changed[i]);
        ck_assert_uint_eq(put(db, data), 0);
        version += 2;
        ck_assert_uint_eq(version_of(db), version);
        expect(db, data);
    }
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

/* Over rows that were changed meanwhile, another form, another type of key, in a transaction. */
START_TEST(test_over_something_else)
{
    mlkv *db = memory_store(), *transaction = NULL;
    static unsigned char data[BYTES];
    uint64_t count = 99;
    fill_noise(data, BYTES, 2);
    ck_assert_uint_eq(put(db, data), CHUNKS);
    OK(mlkv_tensor_write_rows(db, TEXT("t"), 5, 10, data, CHUNK)); /* of two chunks */
    ck_assert_uint_eq(put(db, data), 2);
    expect(db, data);
    mlkv_tensor flat = {MLKV_U8, 1, {BYTES}}, empty = {MLKV_U8, 2, {0, 5}};
    OK(mlkv_tensor_put_counted(db, TEXT("t"), &flat, data, &options, &count));
    ck_assert_uint_eq(count, CHUNKS);
    OK(mlkv_tensor_put_counted(db, TEXT("t"), &empty, NULL, NULL, &count));
    ck_assert_uint_eq(count, 0);
    ck_assert_uint_eq(put(db, data), CHUNKS);
    OK(mlkv_begin(db, &transaction));
    data[0] ^= 1;
    OK(mlkv_tensor_put_counted(transaction, TEXT("t"), &table, data, &options, &count));
    ck_assert_uint_eq(count, 1);
    OK(mlkv_tensor_put_counted(transaction, TEXT("t"), &table, data, &options, &count));
    ck_assert_uint_eq(count, 0);
    data[0] ^= 1;
    OK(mlkv_tensor_put_counted(transaction, TEXT("t"), &table, data, &options, &count));
    ck_assert_uint_eq(count, 1);
    OK(mlkv_commit(transaction));
    ck_assert_uint_eq(put(db, data), 0);
    OK(mlkv_tensor_put_counted(db, TEXT("t"), &table, data, &options, NULL));
    OK(mlkv_string_set(db, TEXT("s"), TEXT("x"), MLKV_SET_ALWAYS));
    count = 99;
    MUST(MLKV_E_TYPE, mlkv_tensor_put_counted(db, TEXT("s"), &table, data, &options, &count));
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_put_counted(db, TEXT("t"), &table, NULL, &options, &count));
    ck_assert_uint_eq(count, 99);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

/* So large that its chunks are blobs: each one written is a blob more. */
START_TEST(test_blobs)
{
    const char *folder = harness_folder();
    mlkv *db = NULL;
    enum { LARGE = 48, PIECE = 256 << 10 };
    mlkv_tensor tensor = {MLKV_F32, 2, {LARGE * 4, PIECE / 16}};
    unsigned char *data = malloc((size_t)LARGE * PIECE);
    mlkv_stats before = {.size = sizeof before}, after = before;
    uint64_t count;
    ck_assert_ptr_nonnull(data);
    fill_noise(data, (size_t)LARGE * PIECE, 3);
    OK(mlkv_open(folder, NULL, &db));
    OK(mlkv_tensor_put_counted(db, TEXT("t"), &tensor, data, NULL, &count));
    ck_assert_uint_eq(count, LARGE);
    for (size_t changed = 0; changed <= LARGE; changed += LARGE) {
        for (size_t i = 0; i < changed; i++)
            data[i * PIECE + i] ^= 1;
        OK(mlkv_stats_get(db, &before));
        OK(mlkv_tensor_put_counted(db, TEXT("t"), &tensor, data, NULL, &count));
        OK(mlkv_stats_get(db, &after));
        ck_assert_uint_eq(count, changed);
        ck_assert_uint_eq(after.blobs_written - before.blobs_written, changed);
    }
    verify_all(db);
    OK(mlkv_close(db));
    free(data);
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tensor_put");
    TCase *tcase = harness_case(suite, "tensor_put");
    tcase_add_test(tcase, test_changed_chunks_are_written);
    tcase_add_test(tcase, test_over_something_else);
    tcase_add_test(tcase, test_blobs);
    return harness_run(suite);
}
