/* test_tensor_group.c - what several threads encode and decode is what one does: all types of numbers, all ways to store chunks, all
 * views; with threads of the library, of the program, and none; while others write, and in a forked child. */
#include "harness.h"

#include <mlkv/mlkv.h>
#include <pthread.h>
#include <stdatomic.h>

enum {
    KINDS = 3,        /* one thread, four, an executor */
    BYTES = 2 << 20,  /* more than is done alone, chunks in their records */
    LARGE = 11 << 20, /* chunks that are blobs, several groups of a pass */
    ROW = 1000,       /* bytes */
    ROUNDS = 12,
};

static _Atomic unsigned executor_calls;

static void backwards(void *context, void (*task)(void *, size_t), void *argument, size_t n)
{
    CHILD_MUST(context == &executor_calls);
    atomic_fetch_add(&executor_calls, 1);
    for (size_t i = n; i > 0; i--)
        task(argument, i - 1);
}

static mlkv *open_kind(int kind)
{
    mlkv *db = NULL;
    mlkv_options options = {.size = sizeof options, .threads = kind == 0 ? 1 : 4};
    if (kind == 2) {
        options.parallel = backwards;
        options.parallel_context = &executor_calls;
    }
    OK(mlkv_open(NULL, &options, &db));
    return db;
}

/* Bytes of which some planes shrink, whatever they are taken for. */
static void fill(unsigned char *data, size_t size, uint64_t seed)
{
    for (size_t i = 0; i < size; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        data[i] = (unsigned char)(i % 2 == 0 ? seed >> 56 : seed >> 61);
    }
}

static size_t element_size(int dtype)
{
    return mlkv_dtype_size((mlkv_dtype)dtype);
}

static mlkv_tensor shaped(int dtype, size_t bytes)
{
    size_t columns = ROW / 8;
    return (mlkv_tensor){.dtype = dtype,
                         .dimensions = 2,
                         .shape = {bytes / (columns * element_size(dtype)), columns}};
}

static size_t bytes_of(const mlkv_tensor *tensor)
{
    return (size_t)(tensor->shape[0] * tensor->shape[1]) * element_size(tensor->dtype);
}

/* All that is read of it by a view, against what was put. */
static void compare(mlkv *view, mlkv_slice key, const mlkv_tensor *tensor,
                    const unsigned char *data, unsigned char *back)
{
    size_t size = bytes_of(tensor), row = size / (size_t)tensor->shape[0];
    memset(back, 0xee, size);
    OK(mlkv_tensor_get(view, key, back, size));
    ck_assert_int_eq(memcmp(back, data, size), 0);
    uint64_t first = tensor->shape[0] / 7, count = tensor->shape[0] / 3 * 2 - 1;
    memset(back, 0xee, size);
    OK(mlkv_tensor_read_rows(view, key, first, count, back, (size_t)count * row));
    ck_assert_int_eq(memcmp(back, data + first * row, (size_t)count * row), 0);
    ck_assert_uint_eq(back[count * row], 0xee);
    mlkv_tensor_info info = {.size = sizeof info};
    void *allocated = NULL;
    OK(mlkv_tensor_get_allocated(view, key, NULL, &info, &allocated));
    ck_assert_int_eq(memcmp(allocated, data, size), 0);
    free(allocated);
}

static void put_and_compare(mlkv *db, int dtype, size_t bytes, const unsigned char *data,
                            unsigned char *back)
{
    mlkv_tensor tensor = shaped(dtype, bytes);
    mlkv *snapshot = NULL;
    uint64_t written = 0;
    OK(mlkv_tensor_put(db, TEXT("t"), &tensor, data, NULL));
    compare(db, TEXT("t"), &tensor, data, back);
    if (dtype % 4 == 0) {
        OK(mlkv_snapshot(db, &snapshot));
        compare(snapshot, TEXT("t"), &tensor, data, back);
        OK(mlkv_close(snapshot));
    }
    OK(mlkv_tensor_put_counted(db, TEXT("t"), &tensor, data, NULL, &written));
    ck_assert_uint_eq(written, 0);
}

START_TEST(threads_make_no_difference)
{
    unsigned char *data = malloc(LARGE), *back = malloc(LARGE);
    uint64_t stored[32] = {0};
    fill(data, LARGE, 1);
    for (int kind = 0; kind < KINDS; kind++) {
        mlkv *db = open_kind(kind);
        mlkv_tensor_info info = {.size = sizeof info};
        executor_calls = 0;
        for (int dtype = 0; dtype < 32; dtype++) {
            if (element_size(dtype) == 0)
                continue;
            put_and_compare(db, dtype, BYTES, data, back);
            OK(mlkv_tensor_get_info(db, TEXT("t"), &info));
            ck_assert_msg(kind == 0 || stored[dtype] == info.stored_bytes, "type %d", dtype);
            stored[dtype] = info.stored_bytes;
        }
        put_and_compare(db, MLKV_BF16, LARGE, data, back);
        ck_assert_int_eq(executor_calls != 0, kind == 2);
        OK(mlkv_close(db));
    }
    free(data);
    free(back);
}
END_TEST

START_TEST(values_of_many_pieces)
{
    unsigned char *data = malloc(LARGE);
    mlkv_buffer back = {0};
    fill(data, LARGE, 2);
    for (int kind = 0; kind < KINDS; kind++) {
        mlkv *db = open_kind(kind);
        OK(mlkv_string_set(db, TEXT("s"), slice_of(data, LARGE - 5), MLKV_SET_ALWAYS));
        OK(mlkv_string_get(db, TEXT("s"), &back));
        ck_assert_uint_eq(back.size, LARGE - 5);
        ck_assert_int_eq(memcmp(back.data, data, LARGE - 5), 0);
        for (size_t first = 1; first < LARGE - 5; first += 7 << 20) {
            OK(mlkv_string_get_range(db, TEXT("s"), (int64_t)first, (int64_t)first + (3 << 20),
                                     &back));
            ck_assert_uint_ge(back.size, 1);
            ck_assert_int_eq(memcmp(back.data, data + first, back.size), 0);
        }
        mlkv_tensor tensor = shaped(MLKV_F32, LARGE);
        mlkv_tensor_options options = {.size = sizeof options, .chunk_bytes = 8 << 20};
        unsigned char *whole = malloc(LARGE);
        OK(mlkv_tensor_put(db, TEXT("t"), &tensor, data, &options)); /* chunks of several pieces */
        compare(db, TEXT("t"), &tensor, data, whole);
        options.chunk_bytes = 4 << 10; /* not worth handing over */
        tensor = shaped(MLKV_F32, BYTES);
        OK(mlkv_tensor_put(db, TEXT("u"), &tensor, data, &options));
        compare(db, TEXT("u"), &tensor, data, whole);
        free(whole);
        OK(mlkv_close(db));
    }
    mlkv_buffer_free(&back);
    free(data);
}
END_TEST

START_TEST(no_executor_under_the_lock)
{
    unsigned char *data = malloc(LARGE), *back = malloc(LARGE);
    mlkv *db = open_kind(2), *inside = NULL;
    mlkv_tensor tensor = shaped(MLKV_F32, LARGE);
    fill(data, LARGE, 3);
    OK(mlkv_begin(db, &inside));
    executor_calls = 0;
    OK(mlkv_tensor_put(inside, TEXT("t"), &tensor, data, NULL));
    compare(inside, TEXT("t"), &tensor, data, back);
    ck_assert_uint_eq(executor_calls, 0);
    OK(mlkv_commit(inside));
    compare(db, TEXT("t"), &tensor, data, back);
    ck_assert_uint_gt(executor_calls, 0);
    OK(mlkv_close(db));
    free(data);
    free(back);
}
END_TEST

typedef struct {
    mlkv *db;
    const unsigned char *data;
    mlkv_tensor tensor;
    _Atomic bool over;
} shared;

/* The tensor is a run of equal states: each is one of the two that are put. */
static void *read_states(void *argument)
{
    shared *self = argument;
    size_t size = bytes_of(&self->tensor);
    unsigned char *back = malloc(size);
    while (!atomic_load(&self->over)) {
        CHILD_MUST(mlkv_tensor_get(self->db, TEXT("t"), back, size) == MLKV_OK);
        CHILD_MUST(memcmp(back, self->data, size) == 0 ||
                   memcmp(back, self->data + ROW, size) == 0);
    }
    free(back);
    return NULL;
}

START_TEST(readers_and_writers_at_once)
{
    enum { READERS = 3 };
    unsigned char *data = malloc(LARGE);
    pthread_t readers[READERS];
    shared all = {.db = open_kind(1), .data = data, .tensor = shaped(MLKV_BF16, 9 << 20)};
    fill(data, LARGE, 4);
    OK(mlkv_tensor_put(all.db, TEXT("t"), &all.tensor, data, NULL));
    for (int i = 0; i < READERS; i++)
        ck_assert_int_eq(pthread_create(&readers[i], NULL, read_states, &all), 0);
    for (unsigned i = 0; i < harness_rounds(ROUNDS); i++)
        OK(mlkv_tensor_put(all.db, TEXT("t"), &all.tensor, data + (i % 2 != 0 ? ROW : 0), NULL));
    atomic_store(&all.over, true);
    for (int i = 0; i < READERS; i++)
        ck_assert_int_eq(pthread_join(readers[i], NULL), 0);
    OK(mlkv_close(all.db));
    free(data);
}
END_TEST

START_TEST(a_child_has_threads_of_its_own)
{
    unsigned char *data = malloc(LARGE), *back = malloc(LARGE);
    mlkv *db = open_kind(1);
    mlkv_tensor tensor = shaped(MLKV_F32, LARGE);
    int status;
    fill(data, LARGE, 5);
    OK(mlkv_tensor_put(db, TEXT("t"), &tensor, data, NULL));
    OK(mlkv_tensor_get(db, TEXT("t"), back, bytes_of(&tensor)));
    IN_CHILD(status, {
        CHILD_MUST(mlkv_tensor_get(db, TEXT("t"), back, bytes_of(&tensor)) == MLKV_OK);
        CHILD_MUST(memcmp(back, data, bytes_of(&tensor)) == 0);
        CHILD_MUST(mlkv_tensor_put(db, TEXT("u"), &tensor, data, NULL) == MLKV_OK);
        CHILD_MUST(mlkv_close(db) == MLKV_OK);
    });
    ck_assert_int_eq(status, 0);
    compare(db, TEXT("u"), &tensor, data, back);
    OK(mlkv_close(db));
    free(data);
    free(back);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tensor_group");
    TCase *tcase = harness_case(suite, "tensor_group");
    tcase_add_test(tcase, threads_make_no_difference);
    tcase_add_test(tcase, values_of_many_pieces);
    tcase_add_test(tcase, no_executor_under_the_lock);
    tcase_add_test(tcase, readers_and_writers_at_once);
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
    tcase_add_test(tcase, a_child_has_threads_of_its_own);
#endif
    return harness_run(suite);
}
