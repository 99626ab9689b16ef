/* test_tensor_gather.c - rows by an array of their numbers: gathered from every way in which a chunk
 * can be stored, against a copy in memory; what is refused; one state under writers. */
#include "types/tensor.h"

#include "stores.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct {
    uint64_t state;
} randoms;

static uint64_t draw(randoms *self, uint64_t below)
{
    self->state = self->state * 6364136223846793005u + 1442695040888963407u;
    return (self->state >> 20) % below;
}

static void compare(const unsigned char *data, size_t row_bytes, const uint64_t *rows, size_t n,
                    const unsigned char *got)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(got + i * row_bytes, data + rows[i] * row_bytes, row_bytes) != 0)
            ck_abort_msg("row %llu, at place %zu of %zu", (unsigned long long)rows[i], i, n);
}

/* Gathers n rows, drawn out of `below`, and compares them. */
static void gather(mlkv *view, mlkv_slice key, const unsigned char *data, size_t row_bytes,
                   uint64_t below, size_t n, uint64_t seed)
{
    randoms numbers = {seed};
    uint64_t *rows = malloc((n + 1) * sizeof *rows);
    unsigned char *got = malloc(n * row_bytes + 1);
    ck_assert(rows != NULL && got != NULL);
    for (size_t i = 0; i < n; i++)
        rows[i] = draw(&numbers, below);
    got[n * row_bytes] = 77;
    OK(mlkv_tensor_gather(view, key, rows, n, got, n * row_bytes));
    compare(data, row_bytes, rows, n, got);
    ck_assert_uint_eq(got[n * row_bytes], 77);
    free(rows);
    free(got);
}

START_TEST(test_every_dtype)
{
    mlkv *db = memory_store();
    enum { ROWS = 300, COLUMNS = 5 };
    unsigned char data[ROWS * COLUMNS * 16];
    static const size_t chunk_bytes[] = {1, 1000, 0};
    for (int dtype = MLKV_F64; dtype <= MLKV_C128; dtype++) {
        size_t row_bytes = COLUMNS * mlkv_dtype_size((mlkv_dtype)dtype);
        for (size_t c = 0; c < 3; c++) {
            mlkv_tensor_options options = {.size = sizeof options, .chunk_bytes = chunk_bytes[c]};
            mlkv_tensor tensor = {dtype, 2, {ROWS, COLUMNS}};
            if (c % 2 == 0)
                fill_noise(data, sizeof data, (uint64_t)dtype);
            else
                memset(data, dtype, sizeof data);
            OK(mlkv_tensor_put(db, TEXT("t"), &tensor, data, &options));
            for (size_t n = 0; n < 70; n = 3 * n + 1)
                gather(db, TEXT("t"), data, row_bytes, ROWS, n, n + c);
            gather(db, TEXT("t"), data, row_bytes, 2, 50, 1); /* nothing but duplicates */
            gather(db, TEXT("t"), data, row_bytes, ROWS, 2000, 9);
        }
    }
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(test_shapes)
{
    mlkv *db = memory_store();
    unsigned char data[120], got[240];
    uint64_t zero = 0, rows[3] = {2, 0, 2};
    fill_noise(data, sizeof data, 1);
    mlkv_tensor scalar = {MLKV_F64, 0, {0}}, vector = {MLKV_U8, 1, {7}},
                deep = {MLKV_U8, 8, {3, 1, 2, 1, 5, 1, 4, 1}}, hollow = {MLKV_F32, 3, {3, 0, 2}},
                empty = {MLKV_F32, 2, {0, 4}};
    OK(mlkv_tensor_put(db, TEXT("scalar"), &scalar, data, NULL));
    OK(mlkv_tensor_gather(db, TEXT("scalar"), &zero, 1, got, 8));
    compare(data, 8, &zero, 1, got);
    OK(mlkv_tensor_put(db, TEXT("vector"), &vector, data, NULL));
    gather(db, TEXT("vector"), data, 1, 7, 20, 3);
    OK(mlkv_tensor_put(db, TEXT("deep"), &deep, data, NULL));
    gather(db, TEXT("deep"), data, 40, 3, 6, 3);
    OK(mlkv_tensor_put(db, TEXT("hollow"), &hollow, NULL, NULL));
    OK(mlkv_tensor_gather(db, TEXT("hollow"), rows, 3, NULL, 0));
    rows[1] = 3;
    MUST(MLKV_E_SHAPE, mlkv_tensor_gather(db, TEXT("hollow"), rows, 3, NULL, 0));
    OK(mlkv_tensor_put(db, TEXT("empty"), &empty, NULL, NULL));
    OK(mlkv_tensor_gather(db, TEXT("empty"), NULL, 0, NULL, 0));
    MUST(MLKV_E_SHAPE, mlkv_tensor_gather(db, TEXT("empty"), &zero, 1, got, 16));
    OK(mlkv_close(db));
}
END_TEST

/* Compressed or raw, in records, in blobs of one piece and of several, small rows and large. */
START_TEST(test_blobs)
{
    const char *folder = harness_folder();
    mlkv *db = NULL, *snapshot = NULL;
    enum { BYTES = 12 << 20 };
    unsigned char *data = malloc(BYTES);
    static const struct {
        size_t row_bytes, chunk_bytes;
        bool noise;
    } ways[] = {{256, 0, true},           {256, 0, false},       {256, 3 << 20, true},
                {256, 3 << 20, false},    {786432, 0, true},     {6 << 20, 6 << 20, true},
                {24, 5000, false},        {1000, 2500000, true}, {1000, 2500000, false},
                {6 << 20, 6 << 20, false}};
    ck_assert_ptr_nonnull(data);
    OK(mlkv_open(folder, NULL, &db));
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        size_t row_bytes = ways[i].row_bytes;
        mlkv_tensor tensor = {MLKV_U8, 2, {BYTES / row_bytes, row_bytes}};
        mlkv_tensor_options options = {.size = sizeof options, .chunk_bytes = ways[i].chunk_bytes};
        fill_noise(data, BYTES, i);
        for (size_t j = 0; j < BYTES && !ways[i].noise; j++)
            data[j] &= 3;
        OK(mlkv_tensor_put(db, TEXT("t"), &tensor, data, &options));
        gather(db, TEXT("t"), data, row_bytes, tensor.shape[0], row_bytes > 1000 ? 3 : 5000, i);
        gather(db, TEXT("t"), data, row_bytes, tensor.shape[0], 1, i);
        OK(mlkv_snapshot(db, &snapshot));
        OK(mlkv_tensor_write_rows(db, TEXT("t"), 1, 1, data, row_bytes));
        gather(snapshot, TEXT("t"), data, row_bytes, tensor.shape[0], 4, i);
        OK(mlkv_close(snapshot));
        memcpy(data + row_bytes, data, row_bytes);
        gather(db, TEXT("t"), data, row_bytes, tensor.shape[0], 4, i);
    }
    verify_all(db);
    OK(mlkv_close(db));
    free(data);
    harness_remove(folder);
}
END_TEST

/* More numbers than are sorted at once: mixed, rising, falling. */
START_TEST(test_many)
{
    mlkv *db = memory_store();
    enum { ROWS = 5000, N = (4 << 20) + 1000 };
    unsigned char data[ROWS], *got = malloc(N);
    uint64_t *rows = malloc(N * sizeof *rows);
    randoms numbers = {5};
    mlkv_tensor tensor = {MLKV_U8, 1, {ROWS}};
    mlkv_tensor_options options = {.size = sizeof options, .chunk_bytes = 64};
    ck_assert(got != NULL && rows != NULL);
    fill_noise(data, sizeof data, 2);
    OK(mlkv_tensor_put(db, TEXT("t"), &tensor, data, &options));
    for (int way = 0; way < 3; way++) {
        for (size_t i = 0; i < N; i++)
            rows[i] = way == 0   ? draw(&numbers, ROWS)
                      : way == 1 ? i * ROWS / N
                                 : ROWS - 1 - i % ROWS;
        memset(got, 0, N);
        OK(mlkv_tensor_gather(db, TEXT("t"), rows, N, got, N));
        compare(data, 1, rows, N, got);
    }
    rows[N - 1] = ROWS; /* in the last batch */
    MUST(MLKV_E_SHAPE, mlkv_tensor_gather(db, TEXT("t"), rows, N, got, N));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "4195303"));
    free(rows);
    free(got);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(test_refused)
{
    mlkv *db = memory_store(), *transaction = NULL;
    float data[12] = {0}, got[12];
    uint64_t rows[3] = {0, 1, 2}, negative = (uint64_t)-5;
    mlkv_tensor tensor = {MLKV_F32, 2, {3, 4}};
    OK(mlkv_tensor_put(db, TEXT("t"), &tensor, data, NULL));
    OK(mlkv_string_set(db, TEXT("s"), TEXT("x"), MLKV_SET_ALWAYS));
    MUST(MLKV_ABSENT, mlkv_tensor_gather(db, TEXT("none"), rows, 3, got, 48));
    MUST(MLKV_E_TYPE, mlkv_tensor_gather(db, TEXT("s"), rows, 3, got, 48));
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_gather(NULL, TEXT("t"), rows, 3, got, 48));
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_gather(db, slice_of(NULL, 1), rows, 3, got, 48));
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_gather(db, TEXT("t"), NULL, 3, got, 48));
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_gather(db, TEXT("t"), rows, 3, NULL, 48));
    MUST(MLKV_E_SHAPE, mlkv_tensor_gather(db, TEXT("t"), rows, 3, got, 47));
    MUST(MLKV_E_SHAPE, mlkv_tensor_gather(db, TEXT("t"), rows, 3, got, 32));
    MUST(MLKV_E_SHAPE, mlkv_tensor_gather(db, TEXT("t"), rows, 0, got, 16));
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_gather(db, TEXT("t"), rows, (size_t)1 << 61, got, 48));
    /* 2^60 rows of 16 bytes are 2^64: not 0 */
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_gather(db, TEXT("t"), rows, (size_t)1 << 60, got, 0));
    MUST(MLKV_E_SHAPE, mlkv_tensor_gather(db, TEXT("t"), rows, (size_t)1 << 59, got, 0));
    rows[1] = 3;
    MUST(MLKV_E_SHAPE, mlkv_tensor_gather(db, TEXT("t"), rows, 3, got, 48));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "row number 3, at place 1 "));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "f32[3, 4]"));
    MUST(MLKV_E_SHAPE, mlkv_tensor_gather(db, TEXT("t"), &negative, 1, got, 16));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "negative"));
    rows[1] = 1;
    OK(mlkv_begin(db, &transaction));
    data[5] = 8;
    OK(mlkv_tensor_put(transaction, TEXT("t"), &tensor, data, NULL));
    OK(mlkv_tensor_gather(transaction, TEXT("t"), rows + 1, 1, got, 16));
    ck_assert(got[1] == 8);
    OK(mlkv_tensor_gather(db, TEXT("t"), rows + 1, 1, got, 16));
    ck_assert(got[1] == 0);
    OK(mlkv_abort(transaction));
    OK(mlkv_close(db));
}
END_TEST

/* Damage is found where all of a chunk is decoded, and the tensor named; of a few rows, which are covered by the seal of the record, that
 * is so when they are asked for again. */
START_TEST(test_damage)
{
    enum { MANY = 300 };
    mlkv *db = memory_store();
    float data[4000], more[MANY * 4];
    uint64_t row = 1, rows[MANY];
    mlkv_tensor tensor = {MLKV_F32, 2, {1000, 4}};
    float got[4];
    for (int i = 0; i < 4000; i++)
        data[i] = (float)(i / 1000);
    for (uint64_t i = 0; i < MANY; i++)
        rows[i] = i;
    OK(mlkv_tensor_put(db, TEXT("t"), &tensor, data, NULL));
    OK(mlkv_tensor_gather(db, TEXT("t"), &row, 1, got, 16));
    record_key key;
    mlkv_buffer value = {0};
    scan *walk = NULL;
    mlkv_slice found, bytes;
    OK(scan_open(db, TEXT("T"), slice_of(NULL, 0), &walk));
    OK(scan_next(walk, &found, &bytes));
    memcpy(key.bytes, found.data, found.size);
    key.size = (uint16_t)found.size;
    value.data = malloc(bytes.size);
    ck_assert_ptr_nonnull(value.data);
    memcpy(value.data, bytes.data, bytes.size);
    value.size = bytes.size;
    scan_close(walk);
    ck_assert_uint_ne(((unsigned char *)value.data)[TENSOR_CHUNK_HEAD_SIZE], CELL_RAW);
    ((unsigned char *)value.data)[0] ^= 1; /* its checksum */
    OK(op_write(db, put_record, &(record){record_key_slice(&key), slice_of_buffer(&value)}));
    MUST(MLKV_E_CORRUPT, mlkv_tensor_gather(db, TEXT("t"), rows, MANY, more, sizeof more));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "tensor 't'"));
    MUST(MLKV_E_CORRUPT, mlkv_tensor_gather(db, TEXT("t"), &row, 1, got, 16));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "tensor 't'"));
    free(value.data);
    OK(mlkv_close(db));
}
END_TEST

/* --- one state, whatever is written --- */

typedef struct {
    mlkv *db;
    mlkv_tensor tensor;
    _Atomic bool stop;
} scene;

static void *add_ones(void *argument)
{
    scene *self = argument;
    size_t count = self->tensor.shape[0] * self->tensor.shape[1];
    int32_t *ones = malloc(count * sizeof *ones);
    for (size_t i = 0; i < count; i++)
        ones[i] = 1;
    while (!self->stop) {
        OK(mlkv_tensor_add(self->db, TEXT("t"), 1, &self->tensor, ones));
        OK(mlkv_string_set(self->db, TEXT("other"), TEXT("x"), MLKV_SET_ALWAYS));
    }
    free(ones);
    return NULL;
}

static void *gather_all(void *argument)
{
    scene *self = argument;
    randoms numbers = {(uint64_t)(uintptr_t)&numbers};
    enum { N = 300 };
    size_t columns = self->tensor.shape[1];
    int32_t *got = malloc(N * columns * sizeof *got);
    for (unsigned round = 0; round < harness_rounds(40); round++) {
        uint64_t rows[N];
        for (int i = 0; i < N; i++)
            rows[i] = draw(&numbers, self->tensor.shape[0]);
        OK(mlkv_tensor_gather(self->db, TEXT("t"), rows, N, got, N * columns * sizeof *got));
        for (size_t i = 1; i < N * columns; i++)
            if (got[i] != got[0])
                ck_abort_msg("element %zu is %d, the first %d", i, got[i], got[0]);
    }
    free(got);
    return NULL;
}

START_TEST(test_one_state)
{
    const char *folder = harness_folder();
    scene self = {.tensor = {MLKV_I32, 2, {700, 2000}}}; /* 5.6 MB: a pass of several operations */
    pthread_t writer, readers[2];
    int32_t *zeros = calloc(700 * 2000, sizeof *zeros);
    OK(mlkv_open(folder, NULL, &self.db));
    OK(mlkv_tensor_put(self.db, TEXT("t"), &self.tensor, zeros, NULL));
    ck_assert_int_eq(pthread_create(&writer, NULL, add_ones, &self), 0);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&readers[i], NULL, gather_all, &self), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(readers[i], NULL);
    self.stop = true;
    pthread_join(writer, NULL);
    OK(mlkv_close(self.db));
    free(zeros);
    harness_remove(folder);
}
END_TEST

START_TEST(test_plan)
{
    enum { N = 3000 };
    uint64_t rows[N];
    row_plan plan = {0};
    randoms numbers = {11};
    for (int way = 0; way < 6; way++) {
        uint64_t below = way == 0 ? 3 : way == 1 ? N : way == 2 ? 1 << 23 : UINT64_MAX >> way;
        size_t n = way == 5 ? 40 : N, first = way == 4 ? 7 : 0;
        for (size_t i = 0; i < N; i++)
            rows[i] = way == 3 ? UINT64_MAX - draw(&numbers, 5) : draw(&numbers, below);
        OK(plan_make(rows, first, n - first, &plan));
        ck_assert_uint_eq(plan.n, n - first);
        for (size_t i = 0; i < plan.n; i++) {
            const plan_entry *one = &plan.entries[i], *before = i == 0 ? one : one - 1;
            if (one->at < first || one->at >= n || rows[one->at] != one->row)
                ck_abort_msg("way %d: entry %zu is not what stands there", way, i);
            if (i > 0 &&
                (before->row > one->row || (before->row == one->row && before->at >= one->at)))
                ck_abort_msg("way %d: entry %zu is out of order", way, i);
        }
        size_t found = plan_find(&plan, plan.entries[plan.n / 2].row);
        ck_assert(found <= plan.n / 2 && plan.entries[found].row == plan.entries[plan.n / 2].row);
        ck_assert(found == 0 || plan.entries[found - 1].row < plan.entries[found].row);
        ck_assert_uint_eq(plan_find(&plan, 0), 0);
        if (way != 3)
            ck_assert_uint_eq(plan_find(&plan, UINT64_MAX), plan.n);
    }
    plan_done(&plan);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tensor_gather");
    TCase *tcase = harness_case(suite, "gather");
    tcase_add_test(tcase, test_plan);
    tcase_add_test(tcase, test_every_dtype);
    tcase_add_test(tcase, test_shapes);
    tcase_add_test(tcase, test_blobs);
    tcase_add_test(tcase, test_many);
    tcase_add_test(tcase, test_refused);
    tcase_add_test(tcase, test_damage);
    tcase_add_test(tcase, test_one_state);
    return harness_run(suite);
}
