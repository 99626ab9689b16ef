/* test_tensor_add.c - t += alpha * delta: alone, by many threads and processes, in transactions,
 * and the path of large tensors. */
#include "types/tensor.h"

#include "harness.h"

#include <math.h>
#include <mlkv/mlkv.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

static int show_problem(void *context, const char *problem)
{
    (void)context;
    fprintf(stderr, "%s\n", problem);
    return 0;
}

static void check_store(mlkv *db)
{
    OK(mlkv_verify(db, show_problem, NULL, NULL));
}

static uint64_t version_of(mlkv *view, mlkv_slice key)
{
    mlkv_tensor_info info = {.size = sizeof info};
    OK(mlkv_tensor_get_info(view, key, &info));
    return info.version;
}

START_TEST(test_add)
{
    mlkv *db = NULL;
    OK(mlkv_open(NULL, NULL, &db));
    enum { ROWS = 50, COLUMNS = 30, COUNT = ROWS * COLUMNS };
    mlkv_tensor tensor = {MLKV_F32, 2, {ROWS, COLUMNS}}, other = {MLKV_F32, 2, {COLUMNS, ROWS}},
                wrong = {MLKV_I32, 2, {ROWS, COLUMNS}};
    static const size_t chunk_bytes[] = {1, 7 * COLUMNS * 4, 0};
    for (int c = 0; c < 3; c++) {
        mlkv_tensor_options options = {.size = sizeof options, .chunk_bytes = chunk_bytes[c]};
        float data[COUNT], delta[COUNT], got[COUNT];
        for (int i = 0; i < COUNT; i++) {
            data[i] = (float)i;
            delta[i] = (float)(i % 13);
        }
        OK(mlkv_tensor_put(db, TEXT("t"), &tensor, data, &options));
        OK(mlkv_tensor_add(db, TEXT("t"), -0.5, &tensor, delta));
        OK(mlkv_tensor_add_rows(db, TEXT("t"), 2, 10, 5, delta, 5 * COLUMNS * 4));
        OK(mlkv_tensor_add_rows(db, TEXT("t"), 2, 50, 0, NULL, 0));
        OK(mlkv_tensor_get(db, TEXT("t"), got, sizeof got));
        for (int i = 0; i < COUNT; i++) {
            float expected = data[i] - 0.5f * delta[i];
            if (i >= 10 * COLUMNS && i < 15 * COLUMNS)
                expected += 2 * delta[i - 10 * COLUMNS];
            ck_assert_msg(got[i] == expected, "element %d", i);
        }
        uint64_t version = version_of(db, TEXT("t"));
        MUST(MLKV_E_SHAPE, mlkv_tensor_add(db, TEXT("t"), 1, &other, delta));
        ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "f32[30, 50]"));
        ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "f32[50, 30]"));
        MUST(MLKV_E_SHAPE, mlkv_tensor_add(db, TEXT("t"), 1, &wrong, delta));
        MUST(MLKV_E_SHAPE, mlkv_tensor_add_rows(db, TEXT("t"), 1, 49, 2, delta, 2 * COLUMNS * 4));
        MUST(MLKV_E_SHAPE,
             mlkv_tensor_add_rows(db, TEXT("t"), 1, 40, 2, delta, 2 * COLUMNS * 4 + 1));
        MUST(MLKV_E_ARGUMENT, mlkv_tensor_add(db, TEXT("t"), 1, NULL, delta));
        MUST(MLKV_E_ARGUMENT, mlkv_tensor_add(db, TEXT("t"), 1, &tensor, NULL));
        ck_assert_uint_eq(version_of(db, TEXT("t")), version);
        OK(mlkv_tensor_add(db, TEXT("t"), (double)INFINITY, &tensor, delta));
        check_store(db);
    }
    int32_t whole[COUNT] = {0};
    OK(mlkv_tensor_put(db, TEXT("i"), &wrong, whole, NULL));
    MUST(MLKV_E_NUMBER, mlkv_tensor_add(db, TEXT("i"), (double)NAN, &wrong, whole));
    MUST(MLKV_E_NUMBER,
         mlkv_tensor_add_rows(db, TEXT("i"), (double)-INFINITY, 0, 1, whole, COLUMNS * 4));
    OK(mlkv_close(db));
}
END_TEST

/* --- many at once --- */

enum { THREADS = 4, ADDS = 40 };

typedef struct {
    mlkv *db;
    const mlkv_tensor *tensor;
    size_t count;
    int number, adds;
} worker;

/* Adds to the whole, and to single rows. Row r gets r + number from each add. */
static void *add_many(void *argument)
{
    const worker *self = argument;
    int64_t *delta = malloc(self->count * sizeof *delta);
    size_t columns = self->tensor->shape[1];
    ck_assert_ptr_nonnull(delta);
    for (size_t i = 0; i < self->count; i++)
        delta[i] = (int64_t)(i / columns) + self->number;
    for (int i = 0; i < self->adds; i++) {
        OK(mlkv_tensor_add(self->db, TEXT("t"), 1, self->tensor, delta));
        uint64_t row = (uint64_t)(i + self->number) % self->tensor->shape[0];
        OK(mlkv_tensor_add_rows(self->db, TEXT("t"), 3, row, 1, delta + row * columns,
                                columns * sizeof *delta));
        OK(mlkv_tensor_add_rows(self->db, TEXT("t"), -3, row, 1, delta + row * columns,
                                columns * sizeof *delta));
    }
    free(delta);
    return NULL;
}

static void check_sum(mlkv *db, const mlkv_tensor *tensor, size_t count, int workers, int adds)
{
    int64_t *got = malloc(count * sizeof *got);
    ck_assert_ptr_nonnull(got);
    OK(mlkv_tensor_get(db, TEXT("t"), got, count * sizeof *got));
    for (size_t i = 0; i < count; i++) {
        int64_t row = (int64_t)(i / tensor->shape[1]),
                expected = (row * workers + workers * (workers - 1) / 2) * adds;
        ck_assert_msg(got[i] == expected, "element %zu is %lld, not %lld", i, (long long)got[i],
                      (long long)expected);
    }
    ck_assert_uint_eq(version_of(db, TEXT("t")), 1 + 3 * (uint64_t)(workers * adds));
    free(got);
}

static void run_threads(mlkv *db, const mlkv_tensor *tensor, size_t chunk_bytes, int adds)
{
    size_t count = tensor->shape[0] * tensor->shape[1];
    mlkv_tensor_options options = {.size = sizeof options, .chunk_bytes = chunk_bytes};
    int64_t *zeros = calloc(count, sizeof *zeros);
    pthread_t threads[THREADS];
    worker workers[THREADS];
    OK(mlkv_tensor_put(db, TEXT("t"), tensor, zeros, &options));
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (worker){db, tensor, count, i, adds};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, add_many, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    check_sum(db, tensor, count, THREADS, adds);
    check_store(db);
    free(zeros);
}

START_TEST(test_threads)
{
    mlkv *db = NULL;
    OK(mlkv_open(NULL, NULL, &db));
    run_threads(db, &(mlkv_tensor){MLKV_I64, 2, {64, 100}}, 8 * 800, ADDS);
    OK(mlkv_close(db));
}
END_TEST

/* Chunks over the limit: computed outside the lock, with retries, at last in transactions. */
START_TEST(test_threads_large)
{
    const char *folder = harness_folder();
    mlkv *db = NULL;
    OK(mlkv_open(folder, NULL, &db));
    run_threads(db, &(mlkv_tensor){MLKV_I64, 2, {3, 160 << 10}}, 2 << 20, 4);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

START_TEST(test_processes)
{
    const char *folder = harness_folder();
    mlkv *db = NULL;
    mlkv_tensor tensor = {MLKV_I64, 2, {40, 1000}};
    enum { COUNT = 40 * 1000 };
    static int64_t zeros[COUNT];
    OK(mlkv_open(folder, NULL, &db));
    OK(mlkv_tensor_put(db, TEXT("t"), &tensor, zeros, NULL));
    OK(mlkv_close(
        db)); /* a sanitizer's allocator may be locked by one of its threads at the fork */
    pid_t children[THREADS];
    for (int i = 0; i < THREADS; i++) {
        children[i] = harness_fork();
        if (children[i] == 0) {
            mlkv *own = NULL;
            OK(mlkv_open(folder, NULL, &own));
            add_many(&(worker){own, &tensor, COUNT, i, ADDS / 2});
            OK(mlkv_close(own));
            _exit(0);
        }
    }
    OK(mlkv_open(folder, NULL, &db));
    for (int i = 0; i < THREADS; i++) {
        int status;
        ck_assert_int_eq(waitpid(children[i], &status, 0), children[i]);
        ck_assert_int_eq(status, 0);
    }
    check_sum(db, &tensor, COUNT, THREADS, ADDS / 2);
    check_store(db);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* A reader sees each add whole or not at all, whatever is written. */
typedef struct {
    mlkv *db;
    const mlkv_tensor *tensor;
    size_t count;
    _Atomic bool stop;
} watcher;

static void *watch(void *argument)
{
    watcher *self = argument;
    int32_t *got = malloc(self->count * sizeof *got);
    do {
        OK(mlkv_tensor_get(self->db, TEXT("w"), got, self->count * sizeof *got));
        for (size_t i = 1; i < self->count; i++)
            ck_assert_msg(got[i] == got[0], "element %zu is %d, the first %d", i, got[i], got[0]);
    } while (!self->stop);
    free(got);
    return NULL;
}

static void run_watched(mlkv *db, const mlkv_tensor *tensor, int adds)
{
    watcher watching = {.db = db, .tensor = tensor, .count = tensor->shape[0] * tensor->shape[1]};
    int32_t *delta = calloc(watching.count, sizeof *delta);
    pthread_t thread;
    OK(mlkv_tensor_put(db, TEXT("w"), tensor, delta, NULL));
    ck_assert_int_eq(pthread_create(&thread, NULL, watch, &watching), 0);
    for (size_t i = 0; i < watching.count; i++)
        delta[i] = 1;
    for (int i = 0; i < adds; i++) {
        if (i % 5 == 4) { /* every fifth time a put, of all the same number */
            for (size_t j = 0; j < watching.count; j++)
                delta[j] = i;
            OK(mlkv_tensor_put(db, TEXT("w"), tensor, delta, NULL));
            for (size_t j = 0; j < watching.count; j++)
                delta[j] = 1;
        } else {
            OK(mlkv_tensor_add(db, TEXT("w"), 1, tensor, delta));
        }
    }
    watching.stop = true;
    pthread_join(thread, NULL);
    free(delta);
}

START_TEST(test_readers)
{
    const char *folder = harness_folder();
    mlkv *db = NULL;
    OK(mlkv_open(folder, NULL, &db));
    run_watched(db, &(mlkv_tensor){MLKV_I32, 2, {100, 4000}}, 40); /* one operation */
    run_watched(db, &(mlkv_tensor){MLKV_I32, 2, {600, 4000}}, 15); /* a read of several */
    check_store(db);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* --- transactions and the large path --- */

START_TEST(test_transaction)
{
    mlkv *db = NULL, *transaction = NULL;
    OK(mlkv_open(NULL, NULL, &db));
    mlkv_tensor tensor = {MLKV_I32, 1, {5}};
    int32_t data[5] = {1, 2, 3, 4, 5}, got[5];
    OK(mlkv_tensor_put(db, TEXT("t"), &tensor, data, NULL));
    for (int commit = 0; commit < 2; commit++) {
        OK(mlkv_begin(db, &transaction));
        OK(mlkv_tensor_add(transaction, TEXT("t"), 1, &tensor, data));
        OK(mlkv_tensor_add(transaction, TEXT("t"), 10, &tensor, data));
        OK(mlkv_tensor_get(transaction, TEXT("t"), got, sizeof got));
        ck_assert_int_eq(got[2], 36);
        OK(mlkv_tensor_get(db, TEXT("t"), got, sizeof got));
        ck_assert_int_eq(got[2], 3);
        OK(commit ? mlkv_commit(transaction) : mlkv_abort(transaction));
        OK(mlkv_tensor_get(db, TEXT("t"), got, sizeof got));
        ck_assert_int_eq(got[2], commit ? 36 : 3);
    }
    check_store(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(test_large)
{
    const char *folder = harness_folder();
    mlkv *db = NULL, *transaction = NULL;
    enum { ROWS = 10, COLUMNS = 300 << 10, COUNT = ROWS * COLUMNS };
    mlkv_tensor tensor = {MLKV_I16, 2, {ROWS, COLUMNS}};
    mlkv_tensor_options options = {.size = sizeof options,
                                   .chunk_bytes = 2 << 20}; /* 3 rows a chunk, 1.8 MB */
    int16_t *data = calloc(COUNT, 2), *got = calloc(COUNT, 2);
    OK(mlkv_open(folder, NULL, &db));
    OK(mlkv_tensor_put(db, TEXT("t"), &tensor, data, &options));
    for (int i = 0; i < COUNT; i++)
        data[i] = (int16_t)(i / 7);
    OK(mlkv_tensor_add(db, TEXT("t"), 1, &tensor, data));
    OK(mlkv_tensor_write_rows(db, TEXT("t"), 2, 2, data, 2 * COLUMNS * 2));
    OK(mlkv_begin(db, &transaction));
    OK(mlkv_tensor_add_rows(transaction, TEXT("t"), -1, 9, 1, data + 9 * COLUMNS, COLUMNS * 2));
    OK(mlkv_tensor_get(transaction, TEXT("t"), got, COUNT * 2));
    ck_assert_int_eq(got[9 * COLUMNS + 55], 0);
    OK(mlkv_commit(transaction));
    OK(mlkv_begin(db, &transaction));
    OK(mlkv_tensor_add_rows(transaction, TEXT("t"), 1, 8, 1, data, COLUMNS * 2));
    OK(mlkv_abort(transaction));
    memcpy(data + 2 * COLUMNS, data, 2 * COLUMNS * 2);
    memset(data + 9 * COLUMNS, 0, COLUMNS * 2);
    OK(mlkv_tensor_get(db, TEXT("t"), got, COUNT * 2));
    ck_assert(memcmp(got, data, COUNT * 2) == 0);
    ck_assert_uint_eq(version_of(db, TEXT("t")), 4);
    mlkv_tensor_info info = {.size = sizeof info};
    OK(mlkv_tensor_get_info(db, TEXT("t"), &info));
    ck_assert_uint_eq(info.chunks, 4);
    MUST(MLKV_E_SHAPE, mlkv_tensor_add_rows(db, TEXT("t"), 1, 8, 3, data, 3 * COLUMNS * 2));
    check_store(db);
    free(data);
    free(got);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tensor_add");
    TCase *tcase = harness_case(suite, "add");
    tcase_add_test(tcase, test_add);
    tcase_add_test(tcase, test_transaction);
    tcase_add_test(tcase, test_large);
    tcase_add_test(tcase, test_threads);
    tcase_add_test(tcase, test_threads_large);
    tcase_add_test(tcase, test_processes);
    tcase_add_test(tcase, test_readers);
    return harness_run(suite);
}
