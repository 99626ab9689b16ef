/* test_top_k.c - the nearest rows against a search by hand in double: every dtype and metric, ties, filters, NaNs, odd widths,
 * tables that change. */
#include "types/stores.h"

#include "types/top_k_score.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>

static uint64_t state;

static uint64_t next_random(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return state >> 33;
}

/* Whole numbers from -8 to 7 (bool: 0, 1; unsigned: 0 to 15): every dtype holds them, and all sums are exact. */
static double small_number(int dtype)
{
    int64_t number = (int64_t)(next_random() % 16);
    if (dtype == MLKV_BOOL)
        return (double)(number % 2);
    return dtype >= MLKV_U64 && dtype <= MLKV_U8 ? (double)number : (double)(number - 8);
}

static void store_number(int dtype, double number, unsigned char *to)
{
    /* of bf16, f16 and f8 the exact bits of small whole numbers */
    float value = (float)number;
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t sign = bits >> 31, exponent = bits >> 23 & 255, mantissa = bits & 0x7fffff;
    bool zero = number == 0;
#define AS(type)                          \
    do {                                  \
        type typed = (type)number;        \
        memcpy(to, &typed, sizeof typed); \
    } while (0)
#define BITS(type, expression)            \
    do {                                  \
        type typed = (type)(expression);  \
        memcpy(to, &typed, sizeof typed); \
    } while (0)
    switch (dtype) {
    case MLKV_F64:
        AS(double);
        break;
    case MLKV_F32:
        AS(float);
        break;
    case MLKV_BF16:
        BITS(uint16_t, bits >> 16);
        break;
    case MLKV_F16:
        BITS(uint16_t, zero ? 0 : sign << 15 | (exponent - 127 + 15) << 10 | mantissa >> 13);
        break;
    case MLKV_F8E4M3:
        BITS(uint8_t, zero ? 0 : sign << 7 | (exponent - 127 + 7) << 3 | mantissa >> 20);
        break;
    case MLKV_F8E5M2:
        BITS(uint8_t, zero ? 0 : sign << 7 | (exponent - 127 + 15) << 2 | mantissa >> 21);
        break;
    case MLKV_I64:
        AS(int64_t);
        break;
    case MLKV_I32:
        AS(int32_t);
        break;
    case MLKV_I16:
        AS(int16_t);
        break;
    case MLKV_I8:
        AS(int8_t);
        break;
    case MLKV_U64:
        AS(uint64_t);
        break;
    case MLKV_U32:
        AS(uint32_t);
        break;
    case MLKV_U16:
        AS(uint16_t);
        break;
    default:
        AS(uint8_t);
        break;
    }
}

/* --- by hand --- */

enum { ROWS_MAX = 4000, WIDTH_MAX = 130, QUERIES_MAX = 5, K_MAX = 50 };

static double numbers[ROWS_MAX][WIDTH_MAX];
static double queries[QUERIES_MAX][WIDTH_MAX];

static double score_of(mlkv_metric metric, const double *row, const double *query, size_t width)
{
    double product = 0, distance = 0, row_length = 0, query_length = 0;
    for (size_t i = 0; i < width; i++) {
        product += row[i] * query[i];
        distance += (row[i] - query[i]) * (row[i] - query[i]);
        row_length += row[i] * row[i];
        query_length += query[i] * query[i];
    }
    if (metric == MLKV_INNER_PRODUCT)
        return product;
    if (metric == MLKV_L2)
        return distance;
    return row_length == 0 || query_length == 0 ? 0 : product / sqrt(row_length * query_length);
}

typedef struct {
    mlkv_metric metric;
    int dtype;
    size_t rows, width, n, k, filter_bytes;
    const uint8_t *filter;
} trial;

static bool allowed(const trial *self, size_t row)
{
    return self->filter == NULL ||
           (row / 8 < self->filter_bytes && (self->filter[row / 8] >> row % 8 & 1) != 0);
}

/* What was found is right: scores are those of the rows, the rows differ, come in order, and no other row is better than the last. */
static void check_found(const trial *self, size_t q, const uint64_t *rows, const float *scores,
                        size_t count)
{
    static bool found[ROWS_MAX];
    size_t possible = 0;
    double sign = self->metric == MLKV_L2 ? -1 : 1, slack = self->metric == MLKV_COSINE ? 1e-5 : 0;
    memset(found, 0, sizeof found);
    for (size_t row = 0; row < self->rows; row++)
        possible += allowed(self, row);
    ck_assert_uint_eq(count, possible < self->k ? possible : self->k);
    for (size_t i = 0; i < count; i++) {
        ck_assert_uint_lt(rows[i], self->rows);
        ck_assert(!found[rows[i]] && allowed(self, rows[i]));
        found[rows[i]] = true;
        double wanted = score_of(self->metric, numbers[rows[i]], queries[q], self->width);
        ck_assert_msg(fabs((double)scores[i] - wanted) <= slack, "row %zu: %g instead of %g",
                      (size_t)rows[i], (double)scores[i], wanted);
        if (i != 0)
            ck_assert(sign * (double)scores[i - 1] > sign * (double)scores[i] ||
                      (scores[i - 1] == scores[i] && rows[i - 1] < rows[i]));
    }
    for (size_t i = count; i < self->k; i++)
        ck_assert(rows[i] == UINT64_MAX && isnan(scores[i]));
    for (size_t row = 0; row < self->rows && count != 0; row++)
        if (!found[row] && allowed(self, row)) {
            double score = sign * score_of(self->metric, numbers[row], queries[q], self->width);
            ck_assert(score <= sign * (double)scores[count - 1] + slack);
        }
}

static void put_table(mlkv *db, const trial *self)
{
    size_t element = mlkv_dtype_size((mlkv_dtype)self->dtype);
    unsigned char *bytes = malloc(self->rows * self->width * element + 1);
    mlkv_tensor tensor = {self->dtype, 2, {self->rows, self->width}};
    mlkv_tensor_options options = {.size = sizeof options, .chunk_bytes = 20000};
    for (size_t row = 0; row < self->rows; row++)
        for (size_t i = 0; i < self->width; i++) {
            numbers[row][i] = small_number(self->dtype);
            store_number(self->dtype, numbers[row][i], bytes + (row * self->width + i) * element);
        }
    OK(mlkv_tensor_put(db, TEXT("table"), &tensor, bytes, &options));
    free(bytes);
}

static void try_search(mlkv *db, const trial *self)
{
    static float vectors[QUERIES_MAX * WIDTH_MAX + 1];
    uint64_t rows[QUERIES_MAX * K_MAX];
    float scores[QUERIES_MAX * K_MAX];
    size_t counts[QUERIES_MAX];
    for (size_t q = 0; q < self->n; q++)
        for (size_t i = 0; i < self->width; i++) {
            queries[q][i] = (double)(next_random() % 16) - 8;
            vectors[q * self->width + i] = (float)queries[q][i];
        }
    mlkv_top_k query = {.size = sizeof query,
                        .metric = (int32_t)self->metric,
                        .queries = vectors,
                        .n = self->n,
                        .query_bytes = self->n * self->width * sizeof(float),
                        .k = self->k,
                        .filter = self->filter,
                        .filter_bytes = self->filter_bytes};
    OK(mlkv_tensor_top_k(db, TEXT("table"), &query, rows, scores, counts));
    for (size_t q = 0; q < self->n; q++)
        check_found(self, q, rows + q * self->k, scores + q * self->k, counts[q]);
    uint64_t again[QUERIES_MAX * K_MAX];
    OK(mlkv_tensor_top_k(db, TEXT("table"), &query, again, NULL, NULL));
    ck_assert_mem_eq(rows, again, self->n * self->k * sizeof *rows);
}

START_TEST(every_dtype_and_metric)
{
    mlkv *db = memory_store();
    state = 1;
    for (int dtype = MLKV_F64; dtype <= MLKV_BOOL; dtype++) {
        trial self = {.dtype = dtype, .rows = 300, .width = 40, .n = 3, .k = 10};
        put_table(db, &self);
        for (self.metric = MLKV_INNER_PRODUCT; self.metric <= MLKV_L2; self.metric++)
            try_search(db, &self);
    }
    OK(mlkv_close(db));
}
END_TEST

START_TEST(every_size)
{
    static const size_t widths[] = {1, 2, 31, 32, 33, 64, 100, 130}, counts[] = {1, 2, 9, 1000};
    mlkv *db = memory_store();
    state = 2;
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            trial self = {.dtype = MLKV_F32, .rows = counts[c], .width = widths[w]};
            put_table(db, &self);
            self.metric = (mlkv_metric)(1 + (w + c) % 3);
            self.n = 1 + next_random() % QUERIES_MAX;
            self.k = 1 + next_random() % K_MAX;
            try_search(db, &self);
        }
    OK(mlkv_close(db));
}
END_TEST

START_TEST(filters)
{
    mlkv *db = memory_store();
    uint8_t filter[ROWS_MAX / 8];
    trial self = {
        .dtype = MLKV_F32, .rows = ROWS_MAX, .width = 20, .n = 2, .k = 30, .filter = filter};
    state = 3;
    put_table(db, &self);
    for (size_t i = 0; i < sizeof filter; i++)
        filter[i] = (uint8_t)(next_random() & next_random());
    for (self.metric = MLKV_INNER_PRODUCT; self.metric <= MLKV_L2; self.metric++)
        for (self.filter_bytes = 0; self.filter_bytes <= sizeof filter; self.filter_bytes += 250)
            try_search(db, &self);
    memset(filter, 0, sizeof filter);
    filter[17] = 4;
    self.metric = MLKV_L2;
    self.filter_bytes = sizeof filter;
    try_search(db, &self);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(what_is_no_number_is_not_found)
{
    mlkv *db = memory_store();
    float table[4] = {1, NAN, -INFINITY, INFINITY}, one = 1, scores[4];
    uint64_t rows[4];
    size_t count;
    mlkv_tensor tensor = {MLKV_F32, 1, {4}};
    mlkv_top_k query = {sizeof query, MLKV_INNER_PRODUCT, 0, &one, 1, sizeof one, 4, NULL, 0};
    OK(mlkv_tensor_put(db, TEXT("table"), &tensor, table, NULL));
    OK(mlkv_tensor_top_k(db, TEXT("table"), &query, rows, scores, &count));
    ck_assert_uint_eq(count, 3);
    ck_assert(rows[0] == 3 && rows[1] == 0 && rows[2] == 2 && rows[3] == UINT64_MAX);
    ck_assert(isinf(scores[0]) && scores[1] == 1);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(large_tables_and_snapshots)
{
    mlkv *db = memory_store(), *snapshot = NULL;
    enum { ROWS = 40000, WIDTH = 64 };
    float *table = malloc(sizeof(float) * ROWS * WIDTH), scores[3], query[WIDTH];
    uint64_t rows[3];
    mlkv_tensor tensor = {MLKV_F32, 2, {ROWS, WIDTH}};
    ck_assert_ptr_nonnull(table);
    state = 4;
    for (size_t i = 0; i < (size_t)ROWS * WIDTH; i++)
        table[i] = (float)(next_random() % 1000) / 1000;
    OK(mlkv_tensor_put(db, TEXT("table"), &tensor, table, NULL));
    OK(mlkv_snapshot(db, &snapshot));
    memcpy(query, table + 39999 * WIDTH, sizeof query);
    mlkv_top_k nearest = {sizeof nearest, MLKV_L2, 0, query, 1, sizeof query, 3, NULL, 0};
    OK(mlkv_tensor_top_k(db, TEXT("table"), &nearest, rows, scores, NULL));
    ck_assert(rows[0] == 39999 && scores[0] == 0 && scores[1] > 0 && scores[2] >= scores[1]);
    OK(mlkv_tensor_write_rows(db, TEXT("table"), 7, 1, query, sizeof query));
    OK(mlkv_tensor_top_k(db, TEXT("table"), &nearest, rows, scores, NULL));
    ck_assert(rows[0] == 7 && rows[1] == 39999 && scores[1] == 0);
    OK(mlkv_tensor_top_k(snapshot, TEXT("table"), &nearest, rows, scores, NULL));
    ck_assert(rows[0] == 39999 && scores[1] > 0);
    free(table);
    OK(mlkv_close(snapshot));
    OK(mlkv_close(db));
}
END_TEST

START_TEST(arguments)
{
    mlkv *db = memory_store();
    float vectors[8] = {0};
    uint64_t rows[8];
    float table[12] = {0};
    mlkv_tensor tensor = {MLKV_F32, 2, {3, 4}};
    const mlkv_top_k good = {sizeof good, MLKV_L2, 0, vectors, 2, sizeof vectors, 2, NULL, 0};
    OK(mlkv_tensor_put(db, TEXT("table"), &tensor, table, NULL));
#define REFUSED(expected, change)                                                       \
    do {                                                                                \
        mlkv_top_k query = good;                                                        \
        change;                                                                         \
        MUST(expected, mlkv_tensor_top_k(db, TEXT("table"), &query, rows, NULL, NULL)); \
    } while (0)
    REFUSED(MLKV_OK, (void)query);
    REFUSED(MLKV_E_ARGUMENT, query.size++);
    REFUSED(MLKV_E_ARGUMENT, query.metric = 0);
    REFUSED(MLKV_E_ARGUMENT, query.metric = 4);
    REFUSED(MLKV_E_ARGUMENT, query.reserved = 1);
    REFUSED(MLKV_E_ARGUMENT, query.k = 0);
    REFUSED(MLKV_E_ARGUMENT, query.queries = NULL);
    REFUSED(MLKV_E_ARGUMENT, query.filter_bytes = 1);
    REFUSED(MLKV_E_SHAPE, query.query_bytes--);
    REFUSED(MLKV_E_SHAPE, query.n = 1);
    REFUSED(MLKV_E_SIZE, query.k = SIZE_MAX / 8);
    REFUSED(MLKV_E_SIZE, query.k = SIZE_MAX);
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_top_k(NULL, TEXT("table"), &good, rows, NULL, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_top_k(db, TEXT("table"), NULL, rows, NULL, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_top_k(db, TEXT("table"), &good, NULL, NULL, NULL));
    MUST(MLKV_ABSENT, mlkv_tensor_top_k(db, TEXT("none"), &good, rows, NULL, NULL));
    OK(mlkv_string_set(db, TEXT("text"), TEXT("value"), MLKV_SET_ALWAYS));
    MUST(MLKV_E_TYPE, mlkv_tensor_top_k(db, TEXT("text"), &good, rows, NULL, NULL));
    tensor = (mlkv_tensor){MLKV_C64, 2, {1, 4}};
    OK(mlkv_tensor_put(db, TEXT("table"), &tensor, table, NULL));
    REFUSED(MLKV_E_SHAPE, (void)query);
    tensor = (mlkv_tensor){MLKV_F32, 0, {0}};
    OK(mlkv_tensor_put(db, TEXT("table"), &tensor, table, NULL));
    REFUSED(MLKV_E_SHAPE, (void)query);
    tensor = (mlkv_tensor){MLKV_F32, 2, {0, 4}};
    OK(mlkv_tensor_put(db, TEXT("table"), &tensor, NULL, NULL));
    REFUSED(MLKV_OK, (void)query);
    ck_assert(rows[0] == UINT64_MAX && rows[3] == UINT64_MAX);
    REFUSED(MLKV_OK, query.n = 0; query.query_bytes = 0);
    OK(mlkv_close(db));
}
END_TEST

/* --- while it changes --- */

enum { TABLE_ROWS = 20000, TABLE_WIDTH = 16 };

typedef struct {
    mlkv *db;
    atomic_bool stop;
} changer;

/* Rows all of one number, and now and then a table of another shape. */
static void *change(void *argument)
{
    changer *self = argument;
    float *table = malloc(sizeof(float) * TABLE_ROWS * TABLE_WIDTH);
    for (unsigned turn = 0; !atomic_load(&self->stop); turn++) {
        float row[TABLE_WIDTH];
        for (size_t i = 0; i < TABLE_WIDTH; i++)
            row[i] = (float)(turn % 50);
        CHILD_MUST(
            mlkv_tensor_write_rows(self->db, TEXT("table"), turn % 100, 1, row, sizeof row) == 0);
        if (turn % 64 != 0)
            continue;
        mlkv_tensor tensor = {MLKV_F32, 2, {TABLE_ROWS - turn / 64 % 2 * 1000, TABLE_WIDTH}};
        for (size_t i = 0; i < (size_t)TABLE_ROWS * TABLE_WIDTH; i++)
            table[i] = 1;
        CHILD_MUST(mlkv_tensor_put(self->db, TEXT("table"), &tensor, table, NULL) == 0);
    }
    free(table);
    return NULL;
}

START_TEST(rows_are_whole_while_they_change)
{
    changer self = {.db = memory_store()};
    pthread_t thread;
    float ones[TABLE_WIDTH], scores[5];
    uint64_t rows[5];
    float *table = malloc(sizeof(float) * TABLE_ROWS * TABLE_WIDTH);
    mlkv_tensor tensor = {MLKV_F32, 2, {TABLE_ROWS, TABLE_WIDTH}};
    mlkv_top_k query = {sizeof query, MLKV_INNER_PRODUCT, 0, ones, 1, sizeof ones, 5, NULL, 0};
    for (size_t i = 0; i < (size_t)TABLE_ROWS * TABLE_WIDTH; i++)
        table[i] = 1;
    for (size_t i = 0; i < TABLE_WIDTH; i++)
        ones[i] = 1;
    OK(mlkv_tensor_put(self.db, TEXT("table"), &tensor, table, NULL));
    ck_assert_int_eq(pthread_create(&thread, NULL, change, &self), 0);
    for (unsigned i = 0; i < harness_rounds(100); i++) {
        int result = mlkv_tensor_top_k(self.db, TEXT("table"), &query, rows, scores, NULL);
        if (result == MLKV_E_SHAPE)
            continue; /* it was replaced each time */
        MUST(MLKV_OK, result);
        for (int j = 0; j < 5; j++)
            ck_assert_msg(fmodf(scores[j], TABLE_WIDTH) == 0, "half a row: %g", (double)scores[j]);
    }
    atomic_store(&self.stop, true);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    free(table);
    OK(mlkv_close(self.db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("top_k");
    TCase *tcase = harness_case(suite, "search");
    tcase_add_test(tcase, every_dtype_and_metric);
    tcase_add_test(tcase, every_size);
    tcase_add_test(tcase, filters);
    tcase_add_test(tcase, what_is_no_number_is_not_found);
    tcase_add_test(tcase, large_tables_and_snapshots);
    tcase_add_test(tcase, arguments);
    tcase_add_test(tcase, rows_are_whole_while_they_change);
    return harness_run(suite);
}
