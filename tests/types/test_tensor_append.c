/* test_tensor_append.c - rows behind the last one: every dtype and step, against a copy in memory; by
 * many threads and processes; what readers, snapshots and transactions see; what is refused. */
#include "types/tensor.h"

#include "stores.h"

#include <pthread.h>
#include <stdatomic.h>

static mlkv_tensor_info info_of(mlkv *view)
{
    mlkv_tensor_info info = {.size = sizeof info};
    OK(mlkv_tensor_get_info(view, TEXT("t"), &info));
    return info;
}

static void expect(mlkv *view, const void *data, size_t size)
{
    unsigned char *got = malloc(size + 1);
    ck_assert_ptr_nonnull(got);
    OK(mlkv_tensor_get(view, TEXT("t"), got, size));
    if (memcmp(got, data, size) != 0)
        ck_abort_msg("%zu bytes are others", size);
    free(got);
}

/* Appends all of data in steps that grow by `more`, to a tensor of none of the rows. */
static void append_steps(mlkv *db, int dtype, uint64_t columns, const unsigned char *data,
                         uint64_t rows, uint64_t step, uint64_t more)
{
    mlkv_tensor tensor = {dtype, 2, {0, columns}};
    size_t row_bytes = columns * mlkv_dtype_size((mlkv_dtype)dtype);
    uint64_t at = 0, now = 99, version = 1;
    OK(mlkv_tensor_put(db, TEXT("t"), &tensor, NULL, NULL));
    while (at < rows) {
        uint64_t count = rows - at < step ? rows - at : step;
        OK(mlkv_tensor_append_rows(db, TEXT("t"), count, data + at * row_bytes, count * row_bytes,
                                   &now));
        at += count;
        step += more;
        version++;
        ck_assert_uint_eq(now, at);
    }
    mlkv_tensor_info info = info_of(db);
    ck_assert_uint_eq(info.tensor.shape[0], rows);
    ck_assert_uint_eq(info.version, version);
    expect(db, data, rows * row_bytes);
}

START_TEST(test_every_dtype)
{
    mlkv *db = memory_store();
    enum { ROWS = 9000, COLUMNS = 7 };
    static unsigned char data[ROWS * COLUMNS * 16];
    for (int dtype = MLKV_F64; dtype <= MLKV_C128; dtype++) {
        if (dtype % 2 == 0)
            fill_noise(data, sizeof data, (uint64_t)dtype);
        else
            memset(data, dtype, sizeof data);
        append_steps(db, dtype, COLUMNS, data, ROWS, 1, 300);
        append_steps(db, dtype, COLUMNS, data, 5, 1, 0);
        append_steps(db, dtype, COLUMNS, data, ROWS, ROWS, 0);
    }
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

/* Exactly full chunks, rows as large as a chunk and larger, and blobs. */
START_TEST(test_edges)
{
    const char *folder = harness_folder();
    mlkv *db = NULL;
    enum { BYTES = 20 << 20 };
    unsigned char *data = malloc(BYTES);
    ck_assert_ptr_nonnull(data);
    fill_noise(data, BYTES, 1);
    OK(mlkv_open(folder, NULL, &db));
    append_steps(db, MLKV_U8, 1 << 16, data, 9, 1, 0);  /* 4 rows a chunk, one at a time */
    append_steps(db, MLKV_U8, 1 << 16, data, 12, 2, 0); /* two */
    append_steps(db, MLKV_U8, 1 << 16, data, 40, 4, 0); /* a chunk */
    append_steps(db, MLKV_U8, 1 << 18, data, 5, 1, 0);  /* a row a chunk */
    append_steps(db, MLKV_U8, 3 << 19, data, 5, 1, 1);  /* 1.5 MiB rows */
    append_steps(db, MLKV_U8, 1 << 12, data, 5000, 5,
                 2400); /* 20 MB: blobs behind a partial chunk */
    ck_assert_uint_eq(info_of(db).chunk_rows, 64);
    verify_all(db);
    OK(mlkv_close(db));
    OK(mlkv_open(folder, NULL, &db));
    expect(db, data, 5000 << 12);
    clean_all(db);
    verify_all(db);
    OK(mlkv_close(db));
    free(data);
    harness_remove(folder);
}
END_TEST

/* Behind a tensor that was put, of one chunk or of several; puts afterwards. */
START_TEST(test_after_put)
{
    mlkv *db = memory_store();
    static int32_t data[100000];
    for (int i = 0; i < 100000; i++)
        data[i] = i;
    for (uint64_t rows = 1; rows < 4000; rows = rows * 2 + 1) {
        mlkv_tensor tensor = {MLKV_I32, 2, {rows, 10}};
        mlkv_tensor_options options = {.size = sizeof options, .chunk_bytes = 4000}; /* 100 rows */
        OK(mlkv_tensor_put(db, TEXT("t"), &tensor, data, &options));
        uint64_t before = info_of(db).version;
        OK(mlkv_tensor_append_rows(db, TEXT("t"), 150, data + rows * 10, 6000, NULL));
        OK(mlkv_tensor_append_rows(db, TEXT("t"), 0, NULL, 0, NULL));
        ck_assert_uint_eq(info_of(db).version, before + 2);
        ck_assert_uint_eq(info_of(db).chunk_rows, rows > 100 ? 100 : rows + 150);
        expect(db, data, (rows + 150) * 40);
        tensor.shape[0] += 150;
        data[5] = (int32_t)rows;
        OK(mlkv_tensor_put(db, TEXT("t"), &tensor, data, rows > 100 ? &options : NULL));
        ck_assert_uint_eq(info_of(db).version, before + 3); /* the same life */
        expect(db, data, (rows + 150) * 40);
        OK(mlkv_tensor_write_rows(db, TEXT("t"), rows + 149, 1, data, 40));
        verify_all(db);
    }
    OK(mlkv_close(db));
}
END_TEST

START_TEST(test_refused)
{
    mlkv *db = memory_store(), *snapshot = NULL;
    float data[40] = {1, 2, 3};
    uint64_t now = 99;
    mlkv_tensor scalar = {MLKV_F32, 0, {0}}, tensor = {MLKV_F32, 2, {3, 4}},
                hollow = {MLKV_F32, 3, {3, 0, 2}}, vast = {MLKV_F32, 2, {0, UINT64_C(1) << 50}};
    OK(mlkv_tensor_put(db, TEXT("scalar"), &scalar, data, NULL));
    OK(mlkv_tensor_put(db, TEXT("t"), &tensor, data, NULL));
    OK(mlkv_tensor_put(db, TEXT("hollow"), &hollow, NULL, NULL));
    OK(mlkv_tensor_put(db, TEXT("vast"), &vast, NULL, NULL));
    OK(mlkv_string_set(db, TEXT("s"), TEXT("x"), MLKV_SET_ALWAYS));
    MUST(MLKV_E_SHAPE, mlkv_tensor_append_rows(db, TEXT("scalar"), 1, data, 4, &now));
    MUST(MLKV_ABSENT, mlkv_tensor_append_rows(db, TEXT("none"), 1, data, 16, &now));
    MUST(MLKV_E_TYPE, mlkv_tensor_append_rows(db, TEXT("s"), 1, data, 16, &now));
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_append_rows(NULL, TEXT("t"), 1, data, 16, &now));
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_append_rows(db, TEXT("t"), 1, NULL, 16, &now));
    MUST(MLKV_E_SHAPE, mlkv_tensor_append_rows(db, TEXT("t"), 1, data, 15, &now));
    MUST(MLKV_E_SHAPE, mlkv_tensor_append_rows(db, TEXT("t"), 2, data, 16, &now));
    MUST(MLKV_E_SHAPE, mlkv_tensor_append_rows(db, TEXT("t"), UINT64_C(1) << 61, data, 0, &now));
    MUST(MLKV_E_SHAPE, mlkv_tensor_append_rows(db, TEXT("t"), UINT64_C(1) << 60, data, 0, &now));
    MUST(MLKV_E_SHAPE, mlkv_tensor_append_rows(db, TEXT("vast"), 1, data, 16, &now));
    MUST(MLKV_E_SIZE, mlkv_tensor_append_rows(db, TEXT("hollow"), UINT64_MAX, NULL, 0, &now));
    MUST(MLKV_E_SIZE,
         mlkv_tensor_append_rows(db, TEXT("hollow"), UINT64_C(1) << 61, NULL, 0, &now));
    ck_assert_uint_eq(now, 99);
    OK(mlkv_tensor_append_rows(db, TEXT("hollow"), 1000, NULL, 0, &now));
    ck_assert_uint_eq(now, 1003);
    OK(mlkv_snapshot(db, &snapshot));
    MUST(MLKV_E_READONLY, mlkv_tensor_append_rows(snapshot, TEXT("t"), 1, data, 16, &now));
    ck_assert_uint_eq(info_of(db).version, 1);
    OK(mlkv_tensor_append_rows(db, TEXT("t"), 7, data + 12, 112, &now));
    expect(db, data, 160);
    expect(snapshot, data, 48);
    ck_assert_uint_eq(info_of(snapshot).rows, 3);
    OK(mlkv_close(snapshot));
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(test_transaction)
{
    const char *folder = harness_folder();
    mlkv *db = folder_store(folder), *transaction = NULL;
    enum { ROWS = 3000, COLUMNS = 1024 };
    unsigned char *data = malloc(ROWS * COLUMNS);
    mlkv_tensor tensor = {MLKV_U8, 2, {0, COLUMNS}};
    ck_assert_ptr_nonnull(data);
    fill_noise(data, ROWS * COLUMNS, 3);
    OK(mlkv_tensor_put(db, TEXT("t"), &tensor, NULL, NULL));
    for (int commit = 0; commit < 2; commit++) {
        OK(mlkv_begin(db, &transaction));
        OK(mlkv_tensor_append_rows(transaction, TEXT("t"), 10, data, 10 * COLUMNS, NULL));
        OK(mlkv_tensor_append_rows(transaction, TEXT("t"), ROWS - 10, data + 10 * COLUMNS,
                                   (ROWS - 10) * COLUMNS, NULL));
        expect(transaction, data, ROWS * COLUMNS);
        expect(db, data, 0);
        OK(commit ? mlkv_commit(transaction) : mlkv_abort(transaction));
    }
    expect(db, data, ROWS * COLUMNS);
    clean_all(db);
    verify_all(db);
    OK(mlkv_close(db));
    free(data);
    harness_remove(folder);
}
END_TEST

/* --- many at once: every row is there once, those of one call together --- */

enum { WORKERS = 4, COLUMNS = 256 };

typedef struct {
    mlkv *db;
    uint32_t number, calls;
    uint32_t rows; /* of a call, at most */
    _Atomic bool *stop;
} worker;

static void fill_row(uint32_t *row, uint32_t number, uint32_t call, uint32_t place, uint32_t count)
{
    for (int i = 0; i < COLUMNS; i += 4) {
        row[i] = number;
        row[i + 1] = call;
        row[i + 2] = place;
        row[i + 3] = count;
    }
}

static void *append_many(void *argument)
{
    const worker *self = argument;
    uint32_t *rows = malloc(self->rows * COLUMNS * sizeof *rows);
    CHILD_MUST(rows != NULL);
    for (uint32_t call = 0; call < self->calls; call++) {
        uint32_t count = 1 + call * 37 % self->rows;
        for (uint32_t place = 0; place < count; place++)
            fill_row(rows + place * COLUMNS, self->number, call, place, count);
        CHILD_MUST(mlkv_tensor_append_rows(self->db, TEXT("t"), count, rows,
                                           count * COLUMNS * sizeof *rows, NULL) == 0);
    }
    free(rows);
    return NULL;
}

/* Whole calls, of each worker in their order. */
static bool rows_are_whole(const uint32_t *got, uint64_t rows, uint32_t calls[WORKERS])
{
    uint32_t expected[COLUMNS];
    memset(calls, 0, WORKERS * sizeof *calls);
    for (uint64_t row = 0; row < rows;) {
        uint32_t number = got[row * COLUMNS], count = got[row * COLUMNS + 3];
        if (number >= WORKERS || count > rows - row)
            return false;
        for (uint32_t place = 0; place < count; place++, row++) {
            fill_row(expected, number, calls[number], place, count);
            if (memcmp(got + row * COLUMNS, expected, sizeof expected) != 0)
                return false;
        }
        calls[number]++;
    }
    return true;
}

static void check_rows(mlkv *db, uint32_t calls_each)
{
    uint32_t calls[WORKERS];
    mlkv_tensor_info info = info_of(db);
    uint32_t *got = malloc(info.raw_bytes + 1);
    ck_assert_ptr_nonnull(got);
    OK(mlkv_tensor_get(db, TEXT("t"), got, info.raw_bytes));
    ck_assert(rows_are_whole(got, info.rows, calls));
    for (int i = 0; i < WORKERS; i++)
        ck_assert_uint_eq(calls[i], calls_each);
    ck_assert_uint_eq(info.version, 1 + WORKERS * (uint64_t)calls_each);
    verify_all(db);
    free(got);
}

/* A snapshot, and a read of the rows that there are, are whole at any time. */
static void *watch(void *argument)
{
    const worker *self = argument;
    while (!*self->stop) {
        mlkv *snapshot = NULL;
        uint32_t calls[WORKERS];
        OK(mlkv_snapshot(self->db, &snapshot));
        mlkv_tensor_info info = info_of(snapshot);
        uint32_t *got = malloc(info.raw_bytes + 1);
        OK(mlkv_tensor_get(snapshot, TEXT("t"), got, info.raw_bytes));
        OK(mlkv_close(snapshot));
        ck_assert(rows_are_whole(got, info.rows, calls));
        OK(mlkv_tensor_read_rows(self->db, TEXT("t"), 0, info.rows, got, info.raw_bytes));
        ck_assert(rows_are_whole(got, info.rows, calls));
        free(got);
    }
    return NULL;
}

static void run_threads(uint32_t calls, uint32_t rows)
{
    const char *folder = harness_folder();
    mlkv *db = NULL;
    mlkv_tensor tensor = {MLKV_U32, 2, {0, COLUMNS}};
    _Atomic bool stop = false;
    pthread_t threads[WORKERS], watcher;
    worker workers[WORKERS];
    OK(mlkv_open(folder, NULL, &db));
    OK(mlkv_tensor_put(db, TEXT("t"), &tensor, NULL, NULL));
    for (uint32_t i = 0; i < WORKERS; i++) {
        workers[i] = (worker){db, i, calls, rows, &stop};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, append_many, &workers[i]), 0);
    }
    ck_assert_int_eq(pthread_create(&watcher, NULL, watch, &workers[0]), 0);
    for (int i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    stop = true;
    pthread_join(watcher, NULL);
    check_rows(db, calls);
    OK(mlkv_close(db));
    OK(mlkv_open(folder, NULL, &db));
    check_rows(db, calls);
    OK(mlkv_close(db));
    harness_remove(folder);
}

START_TEST(test_threads)
{
    run_threads(harness_rounds(40), 9);   /* most go inline */
    run_threads(harness_rounds(10), 700); /* chunks are filled: prepared, and again */
}
END_TEST

/* --- rows that are added to while others are appended behind them in the same chunk --- */

typedef struct {
    mlkv *db;
    uint64_t added;
    _Atomic bool stop;
} adder;

static void *add_to_last(void *argument)
{
    adder *self = argument;
    static const int64_t ones[COLUMNS] = {1};
    while (!self->stop) {
        uint64_t rows = info_of(self->db).rows;
        if (rows == 0)
            continue;
        OK(mlkv_tensor_add_rows(self->db, TEXT("t"), 1, rows - 1, 1, ones, sizeof ones));
        self->added++;
    }
    return NULL;
}

START_TEST(test_added_meanwhile)
{
    const char *folder = harness_folder();
    enum { ROWS = 190, ROUNDS = 60 }; /* 1.5 chunks */
    mlkv_tensor tensor = {MLKV_I64, 2, {0, COLUMNS}};
    adder self = {0};
    pthread_t thread;
    int64_t *zeros = calloc(ROWS * COLUMNS, sizeof *zeros), sum = 0;
    OK(mlkv_open(folder, NULL, &self.db));
    OK(mlkv_tensor_put(self.db, TEXT("t"), &tensor, NULL, NULL));
    ck_assert_int_eq(pthread_create(&thread, NULL, add_to_last, &self), 0);
    unsigned rounds = harness_rounds(ROUNDS);
    for (unsigned i = 0; i < rounds; i++)
        OK(mlkv_tensor_append_rows(self.db, TEXT("t"), ROWS, zeros, ROWS * COLUMNS * sizeof *zeros,
                                   NULL));
    self.stop = true;
    pthread_join(thread, NULL);
    mlkv_tensor_info info = info_of(self.db);
    int64_t *got = malloc(info.raw_bytes);
    OK(mlkv_tensor_get(self.db, TEXT("t"), got, info.raw_bytes));
    for (size_t i = 0; i < info.raw_bytes / sizeof *got; i++)
        sum += got[i];
    ck_assert_int_eq(sum, (int64_t)self.added);
    ck_assert_uint_eq(info.version, 1 + rounds + self.added);
    verify_all(self.db);
    OK(mlkv_close(self.db));
    free(zeros);
    free(got);
    harness_remove(folder);
}
END_TEST

START_TEST(test_processes)
{
    const char *folder = harness_folder();
    mlkv *db = NULL;
    mlkv_tensor tensor = {MLKV_U32, 2, {0, COLUMNS}};
    pid_t children[WORKERS];
    uint32_t calls = harness_rounds(30);
    OK(mlkv_open(folder, NULL, &db));
    OK(mlkv_tensor_put(db, TEXT("t"), &tensor, NULL, NULL));
    OK(mlkv_close(db)); /* no threads beside the fork */
    for (uint32_t i = 0; i < WORKERS; i++) {
        children[i] = harness_fork();
        if (children[i] == 0) {
            worker self = {NULL, i, calls, 150, NULL};
            CHILD_MUST(mlkv_open(folder, NULL, &self.db) == 0);
            append_many(&self);
            CHILD_MUST(mlkv_close(self.db) == 0);
            harness_exit(0);
        }
    }
    for (int i = 0; i < WORKERS; i++)
        ck_assert_int_eq(child_status(children[i]), 0);
    OK(mlkv_open(folder, NULL, &db));
    check_rows(db, calls);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tensor_append");
    TCase *tcase = harness_case(suite, "append");
    tcase_add_test(tcase, test_every_dtype);
    tcase_add_test(tcase, test_edges);
    tcase_add_test(tcase, test_after_put);
    tcase_add_test(tcase, test_refused);
    tcase_add_test(tcase, test_transaction);
    tcase_add_test(tcase, test_threads);
    tcase_add_test(tcase, test_added_meanwhile);
    tcase_add_test(tcase, test_processes);
    return harness_run(suite);
}
