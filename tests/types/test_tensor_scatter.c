/* test_tensor_scatter.c - rows by an array of their numbers, written over and added to, and whole
 * tensors scaled: against a model in memory, by many threads and processes, in transactions, and the
 * path of large tensors. */
#include "types/tensor.h"

#include "stores.h"
#include "types/arithmetic.h"

#include <math.h>
#include <pthread.h>

typedef struct {
    uint64_t state;
} randoms;

static uint64_t draw(randoms *self, uint64_t below)
{
    self->state = self->state * 6364136223846793005u + 1442695040888963407u;
    return (self->state >> 20) % below;
}

static uint64_t version_of(mlkv *view)
{
    mlkv_tensor_info info = {.size = sizeof info};
    OK(mlkv_tensor_get_info(view, TEXT("t"), &info));
    return info.version;
}

static void expect(mlkv *view, const void *data, size_t size)
{
    unsigned char *got = malloc(size + 1);
    ck_assert_ptr_nonnull(got);
    OK(mlkv_tensor_get(view, TEXT("t"), got, size));
    for (size_t i = 0; i < size; i++)
        if (got[i] != ((const unsigned char *)data)[i])
            ck_abort_msg("byte %zu", i);
    free(got);
}

/* Bytes that are numbers of the dtype: small ones, so that floats have no NaN. */
static void fill(unsigned char *data, size_t size, int dtype, uint64_t seed)
{
    randoms numbers = {seed};
    size_t width = mlkv_dtype_size((mlkv_dtype)dtype);
    for (size_t i = 0; i < size; i++)
        data[i] = (unsigned char)(dtype == MLKV_BOOL       ? draw(&numbers, 2)
                                  : i % width == width - 1 ? draw(&numbers, 60)
                                                           : draw(&numbers, 256));
}

START_TEST(test_every_dtype)
{
    mlkv *db = memory_store();
    enum { ROWS = 40, COLUMNS = 300, N = 60, SIZE_MAX_OF = ROWS * COLUMNS * 16 };
    static unsigned char data[SIZE_MAX_OF], delta[N * COLUMNS * 16], row[COLUMNS * 16];
    static const size_t chunk_bytes[] = {1, 9000, 0};
    static const double alphas[] = {1, -0.25};
    for (int dtype = MLKV_F64; dtype <= MLKV_C128; dtype++) {
        size_t row_bytes = COLUMNS * mlkv_dtype_size((mlkv_dtype)dtype), size = ROWS * row_bytes;
        for (size_t c = 0; c < 3; c++) {
            mlkv_tensor tensor = {dtype, 2, {ROWS, COLUMNS}};
            mlkv_tensor_options options = {.size = sizeof options, .chunk_bytes = chunk_bytes[c]};
            randoms numbers = {(uint64_t)dtype + c};
            uint64_t rows[N];
            fill(data, size, dtype, 1);
            OK(mlkv_tensor_put(db, TEXT("t"), &tensor, data, &options));
            for (int round = 0; round < 4; round++) {
                for (int i = 0; i < N; i++) /* many are there twice */
                    rows[i] = round == 3 ? 7 + draw(&numbers, 3) : draw(&numbers, ROWS);
                fill(delta, N * row_bytes, dtype, 2 + (uint64_t)round);
                double alpha = alphas[round % 2];
                for (size_t i = 0; i < N; i++) {
                    unsigned char *at = data + rows[i] * row_bytes;
                    memcpy(row, at, row_bytes);
                    if (round < 2)
                        arithmetic_add(dtype, at, row, alpha, delta + i * row_bytes, COLUMNS);
                    else
                        memcpy(at, delta + i * row_bytes, row_bytes);
                }
                if (round < 2)
                    OK(mlkv_tensor_scatter_add(db, TEXT("t"), alpha, rows, N, delta,
                                               N * row_bytes));
                else
                    OK(mlkv_tensor_scatter(db, TEXT("t"), rows, N, delta, N * row_bytes));
                expect(db, data, size);
            }
            ck_assert_uint_eq(version_of(db), 5);
            OK(mlkv_key_delete(db, &(mlkv_slice){"t", 1}, 1, NULL));
        }
    }
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

/* A row longer than what is added at once, named twice. */
START_TEST(test_long_rows)
{
    mlkv *db = memory_store();
    enum { COLUMNS = 5003 };
    static double data[2 * COLUMNS], delta[3 * COLUMNS];
    uint64_t rows[3] = {1, 0, 1};
    mlkv_tensor tensor = {MLKV_F64, 2, {2, COLUMNS}};
    for (int i = 0; i < 3 * COLUMNS; i++)
        delta[i] = i;
    OK(mlkv_tensor_put(db, TEXT("t"), &tensor, data, NULL));
    OK(mlkv_tensor_scatter_add(db, TEXT("t"), 2, rows, 3, delta, sizeof delta));
    for (int i = 0; i < COLUMNS; i++) {
        data[i] = 2 * delta[COLUMNS + i];
        data[COLUMNS + i] = 2 * delta[i] + 2 * delta[2 * COLUMNS + i];
    }
    expect(db, data, sizeof data);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(test_scale)
{
    mlkv *db = memory_store();
    static const float factors[] = {0.5F, -3, 0};
    float data[600];
    double number = 2.5;
    int8_t bytes[5] = {100, -100, 3, 0, -1}, scaled[5] = {127, -128, 5, 0, -2};
    mlkv_tensor tensor = {MLKV_F32, 2, {30, 20}}, small = {MLKV_I8, 1, {5}},
                scalar = {MLKV_F64, 0, {0}}, empty = {MLKV_F32, 2, {0, 3}};
    mlkv_tensor_options options = {.size = sizeof options, .chunk_bytes = 500};
    for (int i = 0; i < 600; i++)
        data[i] = (float)(i - 300);
    OK(mlkv_tensor_put(db, TEXT("t"), &tensor, data, &options));
    for (size_t f = 0; f < 3; f++) {
        for (int i = 0; i < 600; i++)
            data[i] *= factors[f];
        OK(mlkv_tensor_scale(db, TEXT("t"), (double)factors[f]));
        expect(db, data, sizeof data); /* signs of zeros, too */
    }
    ck_assert_uint_eq(version_of(db), 4);
    OK(mlkv_tensor_put(db, TEXT("t"), &small, bytes, NULL));
    OK(mlkv_tensor_scale(db, TEXT("t"), 1.5));
    expect(db, scaled, sizeof scaled);
    MUST(MLKV_E_NUMBER, mlkv_tensor_scale(db, TEXT("t"), (double)NAN));
    MUST(MLKV_E_NUMBER, mlkv_tensor_scale(db, TEXT("t"), (double)INFINITY));
    expect(db, scaled, sizeof scaled);
    OK(mlkv_tensor_put(db, TEXT("t"), &scalar, &number, NULL));
    OK(mlkv_tensor_scale(db, TEXT("t"), 4));
    number = 10;
    expect(db, &number, sizeof number);
    OK(mlkv_tensor_put(db, TEXT("t"), &empty, NULL, NULL));
    OK(mlkv_tensor_scale(db, TEXT("t"), 4));
    ck_assert_uint_eq(version_of(db), 2);
    MUST(MLKV_ABSENT, mlkv_tensor_scale(db, TEXT("none"), 4));
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_scale(NULL, TEXT("t"), 4));
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(test_refused)
{
    mlkv *db = memory_store(), *snapshot = NULL;
    int32_t data[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    uint64_t rows[3] = {0, 1, 2}, one = 1;
    size_t huge = (size_t)1 << 61;
    mlkv_tensor tensor = {MLKV_I32, 2, {3, 4}}, hollow = {MLKV_F32, 2, {3, 0}};
    OK(mlkv_tensor_put(db, TEXT("t"), &tensor, data, NULL));
    OK(mlkv_string_set(db, TEXT("s"), TEXT("x"), MLKV_SET_ALWAYS));
    MUST(MLKV_ABSENT, mlkv_tensor_scatter(db, TEXT("none"), rows, 3, data, 48));
    MUST(MLKV_E_TYPE, mlkv_tensor_scatter(db, TEXT("s"), rows, 3, data, 48));
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_scatter(NULL, TEXT("t"), rows, 3, data, 48));
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_scatter(db, TEXT("t"), NULL, 3, data, 48));
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_scatter(db, TEXT("t"), rows, 3, NULL, 48));
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_scatter(db, TEXT("t"), rows, huge, data, 0));
    MUST(MLKV_E_SHAPE, mlkv_tensor_scatter(db, TEXT("t"), rows, huge / 4, data, 0));
    MUST(MLKV_E_SHAPE, mlkv_tensor_scatter(db, TEXT("t"), rows, 3, data, 47));
    MUST(MLKV_E_SHAPE, mlkv_tensor_scatter(db, TEXT("t"), rows, 2, data, 48));
    MUST(MLKV_E_NUMBER, mlkv_tensor_scatter_add(db, TEXT("t"), (double)NAN, rows, 3, data, 48));
    rows[2] = 3;
    MUST(MLKV_E_SHAPE, mlkv_tensor_scatter(db, TEXT("t"), rows, 3, data, 48));
    MUST(MLKV_E_SHAPE, mlkv_tensor_scatter_add(db, TEXT("t"), 1, rows, 3, data, 48));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "row number 3, at place 2 "));
    rows[0] = (uint64_t)-1;
    MUST(MLKV_E_SHAPE, mlkv_tensor_scatter_add(db, TEXT("t"), 1, rows, 3, data, 48));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "negative"));
    OK(mlkv_snapshot(db, &snapshot));
    MUST(MLKV_E_READONLY, mlkv_tensor_scatter(snapshot, TEXT("t"), &one, 1, data, 16));
    MUST(MLKV_E_READONLY, mlkv_tensor_scale(snapshot, TEXT("t"), 2));
    ck_assert_uint_eq(version_of(db), 1);
    expect(db, data, sizeof data);
    OK(mlkv_tensor_scatter(db, TEXT("t"), NULL, 0, NULL, 0));
    ck_assert_uint_eq(version_of(db), 2);
    expect(db, data, sizeof data);
    OK(mlkv_tensor_scatter(db, TEXT("t"), &one, 1, data, 16));
    expect(snapshot, data, sizeof data);
    OK(mlkv_close(snapshot));
    memcpy(data + 4, data, 16);
    expect(db, data, sizeof data);
    OK(mlkv_tensor_put(db, TEXT("h"), &hollow, NULL, NULL));
    rows[0] = rows[2] = 2;
    OK(mlkv_tensor_scatter_add(db, TEXT("h"), 1, rows, 3, NULL, 0));
    rows[2] = 3;
    MUST(MLKV_E_SHAPE, mlkv_tensor_scatter_add(db, TEXT("h"), 1, rows, 3, NULL, 0));
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(test_transaction)
{
    mlkv *db = memory_store(), *transaction = NULL;
    int32_t data[6] = {0}, delta[4] = {1, 2, 3, 4};
    uint64_t rows[2] = {2, 2};
    mlkv_tensor tensor = {MLKV_I32, 2, {3, 2}};
    OK(mlkv_tensor_put(db, TEXT("t"), &tensor, data, NULL));
    for (int commit = 0; commit < 2; commit++) {
        int32_t inside[6] = {0, 0, 0, 0, 40, 60};
        OK(mlkv_begin(db, &transaction));
        OK(mlkv_tensor_scatter_add(transaction, TEXT("t"), 1, rows, 2, delta, 16));
        OK(mlkv_tensor_scale(transaction, TEXT("t"), 10));
        expect(transaction, inside, sizeof inside);
        expect(db, data, sizeof data);
        OK(commit ? mlkv_commit(transaction) : mlkv_abort(transaction));
        expect(db, commit ? inside : data, sizeof data);
    }
    OK(mlkv_close(db));
}
END_TEST

/* Chunks above the limit of what is done under the lock. */
START_TEST(test_large)
{
    const char *folder = harness_folder();
    mlkv *db = NULL;
    enum { ROWS = 9, COLUMNS = 300 << 10, COUNT = ROWS * COLUMNS };
    mlkv_tensor tensor = {MLKV_I16, 2, {ROWS, COLUMNS}};
    mlkv_tensor_options options = {.size = sizeof options,
                                   .chunk_bytes = 2 << 20}; /* 3 rows a chunk, 1.8 MB */
    int16_t *data = calloc(COUNT, 2), *delta = calloc(3 * COLUMNS, 2);
    uint64_t rows[3] = {8, 1, 8}; /* the chunk between them is not touched */
    ck_assert(data != NULL && delta != NULL);
    OK(mlkv_open(folder, NULL, &db));
    for (int i = 0; i < COUNT; i++)
        data[i] = (int16_t)(i % 100);
    for (int i = 0; i < 3 * COLUMNS; i++)
        delta[i] = (int16_t)(i % 91);
    OK(mlkv_tensor_put(db, TEXT("t"), &tensor, data, &options));
    OK(mlkv_tensor_scatter_add(db, TEXT("t"), -2, rows, 3, delta, 3 * COLUMNS * 2));
    for (int i = 0; i < COLUMNS; i++) {
        data[8 * COLUMNS + i] =
            (int16_t)(data[8 * COLUMNS + i] - 2 * delta[i] - 2 * delta[2 * COLUMNS + i]);
        data[COLUMNS + i] = (int16_t)(data[COLUMNS + i] - 2 * delta[COLUMNS + i]);
    }
    expect(db, data, COUNT * 2);
    OK(mlkv_tensor_scatter(db, TEXT("t"), rows, 3, delta, 3 * COLUMNS * 2));
    memcpy(data + 8 * COLUMNS, delta + 2 * COLUMNS, COLUMNS * 2);
    memcpy(data + COLUMNS, delta + COLUMNS, COLUMNS * 2);
    expect(db, data, COUNT * 2);
    OK(mlkv_tensor_scale(db, TEXT("t"), -1));
    for (int i = 0; i < COUNT; i++)
        data[i] = (int16_t)-data[i];
    expect(db, data, COUNT * 2);
    ck_assert_uint_eq(version_of(db), 4);
    verify_all(db);
    OK(mlkv_close(db));
    OK(mlkv_open(folder, NULL, &db));
    expect(db, data, COUNT * 2);
    OK(mlkv_close(db));
    free(data);
    free(delta);
    harness_remove(folder);
}
END_TEST

/* --- many at once: no sum is lost --- */

enum { WORKERS = 4, N = 32, ADDS = 60 };

typedef struct {
    mlkv *db;
    mlkv_tensor tensor;
    uint64_t seed;
    int adds;
} worker;

/* Each element of row r becomes the number of times that r was drawn; so does `counts`, if wanted. */
static void *add_many(void *argument)
{
    const worker *self = argument;
    randoms numbers = {self->seed};
    size_t columns = self->tensor.shape[1];
    size_t width = mlkv_dtype_size((mlkv_dtype)self->tensor.dtype), size = N * columns * width;
    unsigned char *ones = malloc(size);
    CHILD_MUST(ones != NULL);
    for (size_t i = 0; i < N * columns; i++) {
        int64_t whole = 1;
        float single = 1;
        memcpy(ones + i * width, width == 8 ? (void *)&whole : (void *)&single, width);
    }
    for (int i = 0; i < self->adds; i++) {
        uint64_t rows[N];
        for (int j = 0; j < N; j++)
            rows[j] = draw(&numbers, self->tensor.shape[0]);
        CHILD_MUST(mlkv_tensor_scatter_add(self->db, TEXT("t"), 1, rows, N, ones, size) == 0);
    }
    free(ones);
    return NULL;
}

static void check_counts(mlkv *db, const worker *workers)
{
    const mlkv_tensor *tensor = &workers[0].tensor;
    size_t n_rows = tensor->shape[0], columns = tensor->shape[1], elements = n_rows * columns;
    size_t width = mlkv_dtype_size((mlkv_dtype)tensor->dtype);
    int64_t *counts = calloc(n_rows, sizeof *counts);
    unsigned char *got = malloc(elements * width);
    ck_assert(counts != NULL && got != NULL);
    for (int w = 0; w < WORKERS; w++) {
        randoms numbers = {workers[w].seed};
        for (int i = 0; i < workers[w].adds * N; i++)
            counts[draw(&numbers, n_rows)]++;
    }
    OK(mlkv_tensor_get(db, TEXT("t"), got, elements * width));
    for (size_t i = 0; i < elements; i++) {
        int64_t whole = 0;
        float single = 0;
        memcpy(width == 8 ? (void *)&whole : (void *)&single, got + i * width, width);
        if ((width == 8 ? whole : (int64_t)single) != counts[i / columns])
            ck_abort_msg("element %zu is %lld or %f, not %lld", i, (long long)whole, (double)single,
                         (long long)counts[i / columns]);
    }
    ck_assert_uint_eq(version_of(db), 1 + (uint64_t)(WORKERS * workers[0].adds));
    verify_all(db);
    free(counts);
    free(got);
}

static void put_zeros(mlkv *db, const mlkv_tensor *tensor, size_t chunk_bytes)
{
    mlkv_tensor_options options = {.size = sizeof options, .chunk_bytes = chunk_bytes};
    void *zeros = calloc(tensor->shape[0] * tensor->shape[1], 8);
    OK(mlkv_tensor_put(db, TEXT("t"), tensor, zeros, &options));
    free(zeros);
}

static void run_threads(const mlkv_tensor *tensor, size_t chunk_bytes, int adds)
{
    const char *folder = harness_folder();
    mlkv *db = NULL;
    pthread_t threads[WORKERS];
    worker workers[WORKERS];
    OK(mlkv_open(folder, NULL, &db));
    put_zeros(db, tensor, chunk_bytes);
    for (int i = 0; i < WORKERS; i++) {
        workers[i] = (worker){db, *tensor, 100 + (uint64_t)i, adds};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, add_many, &workers[i]), 0);
    }
    for (int i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    check_counts(db, workers);
    OK(mlkv_close(db));
    OK(mlkv_open(folder, NULL, &db));
    check_counts(db, workers);
    OK(mlkv_close(db));
    harness_remove(folder);
}

START_TEST(test_threads)
{
    int adds = (int)harness_rounds(ADDS);
    run_threads(&(mlkv_tensor){MLKV_I64, 2, {500, 16}}, 3000, adds);
    run_threads(&(mlkv_tensor){MLKV_F32, 2, {100, 33}}, 0, adds);
    run_threads(&(mlkv_tensor){MLKV_F32, 2, {64, 10000}}, 2 << 20, 3); /* the large path */
}
END_TEST

START_TEST(test_processes)
{
    const char *folder = harness_folder();
    mlkv *db = NULL;
    mlkv_tensor tensor = {MLKV_I64, 2, {1000, 16}};
    pid_t children[WORKERS];
    worker workers[WORKERS];
    OK(mlkv_open(folder, NULL, &db));
    put_zeros(db, &tensor, 8000);
    OK(mlkv_close(db)); /* no threads beside the fork */
    for (int i = 0; i < WORKERS; i++) {
        workers[i] = (worker){NULL, tensor, 200 + (uint64_t)i, (int)harness_rounds(ADDS)};
        children[i] = harness_fork();
        if (children[i] == 0) {
            CHILD_MUST(mlkv_open(folder, NULL, &workers[i].db) == 0);
            add_many(&workers[i]);
            CHILD_MUST(mlkv_close(workers[i].db) == 0);
            harness_exit(0);
        }
    }
    for (int i = 0; i < WORKERS; i++)
        ck_assert_int_eq(child_status(children[i]), 0);
    OK(mlkv_open(folder, NULL, &db));
    check_counts(db, workers);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tensor_scatter");
    TCase *tcase = harness_case(suite, "scatter");
    tcase_add_test(tcase, test_every_dtype);
    tcase_add_test(tcase, test_long_rows);
    tcase_add_test(tcase, test_scale);
    tcase_add_test(tcase, test_refused);
    tcase_add_test(tcase, test_transaction);
    tcase_add_test(tcase, test_large);
    tcase_add_test(tcase, test_threads);
    tcase_add_test(tcase, test_processes);
    return harness_run(suite);
}
