/* test_tensor_kept.c - rows of compressed chunks that are kept decoded: they are read from memory, are never those of another state,
 * whoever writes meanwhile, and stay within their part of the budget. */
#include "harness.h"

#include <mlkv/mlkv.h>
#include <pthread.h>
#include <stdatomic.h>

enum {
    ROWS = 4096,
    COLUMNS = 64, /* f32: 256 bytes a row, 4 chunks of 1024 rows */
    ROW = COLUMNS * 4,
    CHUNK_ROWS = 1024,
    CHANGES = 300,
    BUDGET = 64 << 20,
};
#define SIZE ((size_t)ROWS * ROW)

static mlkv *open_with(size_t cache_bytes)
{
    mlkv *db = NULL;
    mlkv_options options = {.size = sizeof options, .cache_bytes = cache_bytes, .threads = 3};
    OK(mlkv_open(NULL, &options, &db));
    return db;
}

static const mlkv_tensor shape = {.dtype = MLKV_F32, .dimensions = 2, .shape = {ROWS, COLUMNS}};

/* A row's numbers say which row and state they are of, and shrink. */
static void fill_row(float *row, uint64_t number, unsigned state)
{
    for (unsigned i = 0; i < COLUMNS; i++)
        row[i] = (float)(number * 64 + i) + (float)state * 0.5f;
}

static float *make_state(unsigned state)
{
    float *data = malloc(SIZE);
    for (uint64_t i = 0; i < ROWS; i++)
        fill_row(data + i * COLUMNS, i, state);
    return data;
}

/* The state that a row is of; dies if it is of none. */
static unsigned state_of(const float *row, uint64_t number)
{
    float expected[COLUMNS];
    float state = (row[0] - (float)(number * 64)) * 2;
    CHILD_MUST(state >= 0 && state < 1000);
    fill_row(expected, number, (unsigned)state);
    CHILD_MUST(memcmp(row, expected, ROW) == 0);
    return (unsigned)state;
}

static unsigned read_row(mlkv *view, uint64_t number)
{
    float row[COLUMNS];
    CHILD_MUST(mlkv_tensor_read_rows(view, TEXT("t"), number, 1, row, ROW) == MLKV_OK);
    return state_of(row, number);
}

static mlkv_stats stats_of(mlkv *db)
{
    mlkv_stats stats = {.size = sizeof stats};
    OK(mlkv_stats_get(db, &stats));
    return stats;
}

START_TEST(decoded_once)
{
    mlkv *db = open_with(BUDGET);
    float *data = make_state(0), *back = malloc(SIZE);
    uint64_t rows[10];
    OK(mlkv_tensor_put(db, TEXT("t"), &shape, data, NULL));
    OK(mlkv_tensor_get(db, TEXT("t"), back, SIZE)); /* a scan: keeps nothing */
    ck_assert_uint_eq(stats_of(db).decoded_bytes, 0);
    for (uint64_t i = 0; i < ROWS; i += 97)
        ck_assert_uint_eq(read_row(db, i), 0);
    mlkv_stats stats = stats_of(db);
    uint64_t looks = (ROWS + 96) / 97, chunks = ROWS / CHUNK_ROWS;
    ck_assert_uint_eq(stats.decoded_misses + stats.decoded_hits, looks);
    ck_assert_uint_ge(stats.decoded_misses, chunks); /* the second look is the one that keeps it */
    ck_assert_uint_le(stats.decoded_misses, 2 * chunks);
    ck_assert_uint_ge(stats.decoded_bytes, SIZE);
    ck_assert_uint_le(stats.decoded_bytes, BUDGET / 16);
    ck_assert_uint_eq(stats.cache_bytes_max, BUDGET);
    ck_assert_uint_ge(stats.cache_bytes, stats.decoded_bytes);
    for (uint64_t i = 0; i < 10; i++)
        rows[i] = (i * 2711 + 5) % ROWS;
    OK(mlkv_tensor_gather(db, TEXT("t"), rows, 10, back, (size_t)10 * ROW));
    for (uint64_t i = 0; i < 10; i++)
        ck_assert_uint_eq(state_of(back + i * COLUMNS, rows[i]), 0);
    ck_assert_uint_eq(stats_of(db).decoded_misses, stats.decoded_misses);
    free(data);
    free(back);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(raw_chunks_are_not_kept)
{
    mlkv *db = NULL;
    mlkv_options options = {.size = sizeof options, .compress_threshold_bytes = SIZE_MAX};
    OK(mlkv_open(NULL, &options, &db));
    float *data = make_state(0);
    OK(mlkv_tensor_put(db, TEXT("t"), &shape, data, NULL));
    for (uint64_t i = 0; i < ROWS; i += 500)
        ck_assert_uint_eq(read_row(db, i), 0);
    ck_assert_uint_eq(stats_of(db).decoded_misses, 0);
    ck_assert_uint_eq(stats_of(db).decoded_bytes, 0);
    free(data);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(each_view_has_its_state)
{
    mlkv *db = open_with(BUDGET), *snapshot = NULL, *inside = NULL;
    float *old = make_state(1), *new = make_state(2);
    OK(mlkv_tensor_put(db, TEXT("t"), &shape, old, NULL));
    ck_assert_uint_eq(read_row(db, 7), 1);
    OK(mlkv_snapshot(db, &snapshot));
    OK(mlkv_begin(db, &inside));
    OK(mlkv_tensor_put(inside, TEXT("t"), &shape, new, NULL));
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_eq(read_row(inside, 7), 2);
        ck_assert_uint_eq(read_row(snapshot, 7), 1);
    }
    OK(mlkv_commit(inside));
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_eq(read_row(db, 7), 2);
        ck_assert_uint_eq(read_row(snapshot, 7), 1);
        ck_assert_uint_eq(read_row(snapshot, 3000), 1);
    }
    float row[COLUMNS];
    fill_row(row, 8, 3);
    OK(mlkv_tensor_write_rows(db, TEXT("t"), 8, 1, row, ROW));
    ck_assert_uint_eq(read_row(db, 8), 3);
    ck_assert_uint_eq(read_row(db, 7), 2);
    OK(mlkv_tensor_put(db, TEXT("t"), &shape, old,
                       NULL)); /* the bytes of before, in the same life */
    ck_assert_uint_eq(read_row(db, 8), 1);
    OK(mlkv_close(snapshot));
    OK(mlkv_close(db));
    free(old);
    free(new);
}
END_TEST

START_TEST(the_budget_holds)
{
    enum {
        SMALL = 4 << 20
    }; /* a sixteenth of it has no room for a chunk of 256 KiB, but for some of 16 KiB */
    mlkv *db = open_with(SMALL);
    float *data = make_state(0);
    mlkv_tensor_options chunks = {.size = sizeof chunks, .chunk_bytes = 16 << 10};
    OK(mlkv_tensor_put(db, TEXT("t"), &shape, data, NULL));
    ck_assert_uint_eq(read_row(db, 7), 0);
    ck_assert_uint_eq(stats_of(db).decoded_bytes, 0);
    OK(mlkv_tensor_put(db, TEXT("u"), &shape, data, &chunks));
    for (uint64_t i = 0; i < ROWS; i += 3) {
        float row[COLUMNS];
        OK(mlkv_tensor_read_rows(db, TEXT("u"), i, 1, row, ROW));
        ck_assert_uint_eq(state_of(row, i), 0);
        ck_assert_uint_le(stats_of(db).decoded_bytes, SMALL / 16);
    }
    ck_assert_uint_gt(stats_of(db).decoded_bytes, SMALL / 32);
    free(data);
    OK(mlkv_close(db));
}
END_TEST

/* --- while others write --- */

typedef struct {
    mlkv *db;
    _Atomic unsigned done; /* the state that is there, at least */
    _Atomic bool over;
} shared;

static void *look(void *argument)
{
    enum { N = 50 };
    shared *self = argument;
    float *back = malloc((size_t)N * ROW);
    uint64_t seed = (uint64_t)(uintptr_t)back, rows[N];
    while (!atomic_load(&self->over)) {
        for (unsigned i = 0; i < N; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            rows[i] = (seed >> 33) % ROWS;
        }
        unsigned before = atomic_load(&self->done);
        CHILD_MUST(read_row(self->db, rows[0]) >= before);
        before = atomic_load(&self->done);
        CHILD_MUST(mlkv_tensor_gather(self->db, TEXT("t"), rows, N, back, (size_t)N * ROW) == 0);
        unsigned state = state_of(back, rows[0]);
        CHILD_MUST(state >= before);
        for (unsigned i = 1; i < N; i++)
            CHILD_MUST(state_of(back + i * COLUMNS, rows[i]) == state);
    }
    free(back);
    return NULL;
}

START_TEST(never_stale)
{
    enum { READERS = 2 };
    pthread_t readers[READERS];
    shared all = {.db = open_with(BUDGET)};
    float *data = make_state(0);
    OK(mlkv_tensor_put(all.db, TEXT("t"), &shape, data, NULL));
    free(data);
    for (int i = 0; i < READERS; i++)
        ck_assert_int_eq(pthread_create(&readers[i], NULL, look, &all), 0);
    unsigned changes = harness_rounds(CHANGES);
    for (unsigned state = 1; state <= changes; state++) {
        data = make_state(state);
        if (state % 3 != 0)
            OK(mlkv_tensor_put(all.db, TEXT("t"), &shape, data, NULL));
        else
            OK(mlkv_tensor_write_rows(all.db, TEXT("t"), 0, ROWS, data, SIZE));
        atomic_store(&all.done, state);
        free(data);
    }
    atomic_store(&all.over, true);
    for (int i = 0; i < READERS; i++)
        ck_assert_int_eq(pthread_join(readers[i], NULL), 0);
    OK(mlkv_close(all.db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tensor_kept");
    TCase *tcase = harness_case(suite, "tensor_kept");
    tcase_add_test(tcase, decoded_once);
    tcase_add_test(tcase, raw_chunks_are_not_kept);
    tcase_add_test(tcase, each_view_has_its_state);
    tcase_add_test(tcase, the_budget_holds);
    tcase_add_test(tcase, never_stale);
    return harness_run(suite);
}
