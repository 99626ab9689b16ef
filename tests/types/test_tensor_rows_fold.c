/* test_tensor_rows_fold.c - rows beside their chunks are folded while others read, add and die: no sum is lost, nobody sees a part of a
 * change, a snapshot keeps what it saw; and what is folded when. */
#include "types/tensor.h"
#include "types/tensor_rows_fold.h"

#include "base/clock.h"
#include "base/fault.h"
#include "stores.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

enum { ROWS = 600, COLUMNS = 128, ROW = COLUMNS * 4, CHUNK = 100 << 10, PICKED = 24 };

static uint64_t draw(uint64_t *state, uint64_t below)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (*state >> 20) % below;
}

static void put_zeros(mlkv *db)
{
    static int32_t zeros[ROWS * COLUMNS];
    mlkv_tensor tensor = {MLKV_I32, 2, {ROWS, COLUMNS}};
    mlkv_tensor_options options = {.size = sizeof options, .chunk_bytes = CHUNK};
    OK(mlkv_tensor_put(db, TEXT("t"), &tensor, zeros, &options));
}

static uint64_t picked(size_t i)
{
    return i * (ROWS / PICKED);
}

/* All picked rows become the number, in one change. */
static int scatter_number(mlkv *db, int32_t number)
{
    int32_t data[PICKED * COLUMNS];
    uint64_t rows[PICKED];
    for (size_t i = 0; i < PICKED * COLUMNS; i++)
        data[i] = number;
    for (size_t i = 0; i < PICKED; i++)
        rows[i] = picked(i);
    return mlkv_tensor_scatter(db, TEXT("t"), rows, PICKED, data, sizeof data);
}

/* The one number of all picked rows; -1: they carry several, or others do not carry 0. */
static int32_t number_of(mlkv *view, bool whole)
{
    static _Thread_local int32_t data[ROWS * COLUMNS];
    uint64_t rows[PICKED];
    for (size_t i = 0; i < PICKED; i++)
        rows[i] = picked(i);
    int result = whole ? mlkv_tensor_get(view, TEXT("t"), data, sizeof data)
                       : mlkv_tensor_gather(view, TEXT("t"), rows, PICKED, data,
                                            PICKED * COLUMNS * sizeof *data);
    CHILD_MUST(result == 0);
    for (size_t i = 0; i < (whole ? ROWS : PICKED) * COLUMNS; i++) {
        size_t row = i / COLUMNS;
        bool is_picked = !whole || (row % (ROWS / PICKED) == 0 && row / (ROWS / PICKED) < PICKED);
        if (data[i] != (is_picked ? data[0] : 0))
            return -1;
    }
    return data[0];
}

static void fold_all(mlkv *db)
{
    int result = MLKV_OK;
    for (int i = 0; i < 1000 && result == MLKV_OK; i++)
        result = fold_step(db, 0);
    MUST(MLKV_ABSENT, result);
    ck_assert_uint_eq(count_records(db, "P"), 0);
    ck_assert_uint_eq(count_records(db, "Q"), 0);
}

/* --- with others --- */

typedef struct {
    mlkv *db;
    _Atomic bool *stop;
    uint64_t seed;
} worker;

static void *fold_on(void *argument)
{
    const worker *self = argument;
    while (!atomic_load(self->stop))
        CHILD_MUST(fold_step(self->db, 0) >= 0);
    return NULL;
}

static void *read_on(void *argument)
{
    const worker *self = argument;
    int32_t last = 0;
    for (unsigned i = 0; !atomic_load(self->stop); i++) {
        int32_t number = number_of(self->db, i % 2 == 0);
        CHILD_MUST(number >= last);
        last = number;
    }
    return NULL;
}

START_TEST(test_readers_see_whole_changes)
{
    mlkv *db = memory_store();
    _Atomic bool stop = false;
    pthread_t threads[3];
    worker self = {.db = db, .stop = &stop};
    int32_t changes = (int32_t)harness_rounds(400);
    put_zeros(db);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, i == 0 ? fold_on : read_on, &self), 0);
    for (int32_t number = 1; number <= changes; number++)
        OK(scatter_number(db, number));
    atomic_store(&stop, true);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    mlkv_tensor_info info = {.size = sizeof info};
    OK(mlkv_tensor_get_info(db, TEXT("t"), &info));
    ck_assert_uint_eq(info.version, 1 + (uint64_t)changes); /* folds are no changes */
    ck_assert_int_eq(number_of(db, true), changes);
    fold_all(db);
    ck_assert_int_eq(number_of(db, true), changes);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

enum { ADDERS = 3, N = 16 };

static void add_ones(mlkv *db, uint64_t seed, unsigned adds)
{
    int32_t ones[N * COLUMNS];
    for (size_t i = 0; i < N * COLUMNS; i++)
        ones[i] = 1;
    for (unsigned i = 0; i < adds; i++) {
        uint64_t rows[N];
        for (size_t j = 0; j < N; j++)
            rows[j] = draw(&seed, i % 2 == 0 ? 40 : ROWS);
        if (i % 8 == 7)
            CHILD_MUST(mlkv_tensor_add_rows(db, TEXT("t"), 1, rows[0] % 500, 2, ones, 2 * ROW) ==
                       0);
        else
            CHILD_MUST(mlkv_tensor_scatter_add(db, TEXT("t"), 1, rows, N, ones, sizeof ones) == 0);
    }
}

static void check_sums(mlkv *db, unsigned adds)
{
    static int32_t got[ROWS * COLUMNS], expected[ROWS];
    memset(expected, 0, sizeof expected);
    for (uint64_t a = 0; a < ADDERS; a++) {
        uint64_t seed = 100 + a;
        for (unsigned i = 0; i < adds; i++) {
            uint64_t rows[N];
            for (size_t j = 0; j < N; j++)
                rows[j] = draw(&seed, i % 2 == 0 ? 40 : ROWS);
            for (size_t j = 0; j < (i % 8 == 7 ? 2 : N); j++)
                expected[i % 8 == 7 ? rows[0] % 500 + j : rows[j]]++;
        }
    }
    OK(mlkv_tensor_get(db, TEXT("t"), got, sizeof got));
    for (size_t i = 0; i < ROWS * COLUMNS; i++)
        ck_assert_int_eq(got[i], expected[i / COLUMNS]);
}

START_TEST(test_processes_add_while_folded)
{
    const char *folder = harness_folder();
    unsigned adds = harness_rounds(120);
    pid_t children[ADDERS + 1];
    _Atomic bool *stop = shared_page();
    mlkv *db = folder_store(folder);
    put_zeros(db);
    OK(mlkv_close(db)); /* no threads beside the fork */
    for (int i = 0; i <= ADDERS; i++) {
        children[i] = harness_fork();
        if (children[i] != 0)
            continue;
        worker self = {.stop = stop};
        mlkv_options options = {.size = sizeof options, .ring_bytes = 1 << 20};
        CHILD_MUST(mlkv_open(folder, &options, &self.db) == 0);
        if (i < ADDERS)
            add_ones(self.db, 100 + (uint64_t)i, adds);
        else
            fold_on(&self);
        CHILD_MUST(mlkv_close(self.db) == 0);
        harness_exit(0);
    }
    for (int i = 0; i <= ADDERS; i++) {
        if (i == ADDERS)
            atomic_store(stop, true);
        ck_assert_int_eq(child_status(children[i]), 0);
    }
    db = folder_store(folder);
    check_sums(db, adds);
    verify_all(db);
    fold_all(db);
    check_sums(db, adds);
    verify_all(db);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* --- deaths --- */

/* What dies: writes numbers that rise and notes each that it was told is done, or folds. */
static void live_until_killed(const char *folder, bool folds, int32_t *noted, int point)
{
    mlkv_options options = {.size = sizeof options, .ring_bytes = 1 << 20};
    mlkv *db = NULL;
    CHILD_MUST(mlkv_open(folder, &options, &db) == 0);
    int32_t number = *noted;
#ifdef MLKV_FAULTS
    if (point >= 0)
        fault_arm((fault_point)point, FAULT_KILL, 1, 0);
#else
    (void)point;
#endif
    for (;;) {
        if (folds)
            CHILD_MUST(fold_step(db, 0) >= 0);
        if (folds && point < 0)
            continue;
        CHILD_MUST(scatter_number(db, ++number) == 0);
        *noted = number;
    }
}

START_TEST(test_killed)
{
    static const int points[] = {
#ifdef MLKV_FAULTS
        /* those that only a fold passes come last */
        FAULT_WRITE_RULE_DONE,
        FAULT_APPEND_HALF,
        FAULT_APPEND_VISIBLE,
        FAULT_BLOB_PIECE,
        FAULT_BLOB_WRITTEN,
#endif
        -1};
    enum { POINTS = sizeof points / sizeof points[0] };
    const char *folder = harness_folder();
    unsigned rounds = harness_rounds(getenv("MLKV_LONG") != NULL ? 200 : 24);
    int32_t *noted = shared_page(), before = 0;
    mlkv *db = folder_store(folder);
    put_zeros(db);
    OK(mlkv_close(db));
    for (unsigned i = 0; i < rounds; i++) {
        int point = points[i % POINTS];
        pid_t writer = harness_fork();
        if (writer == 0)
            live_until_killed(folder,
                              point >= 0 && (POINTS - i % POINTS < 4 || i / POINTS % 2 == 0), noted,
                              point);
        pid_t folder_pid = point >= 0 ? -1 : harness_fork();
        if (folder_pid == 0)
            live_until_killed(folder, true, noted, -1);
        if (point < 0) {
            struct timespec some = {0, 1000000L * (long)(5 + i * 7 % 40)};
            nanosleep(&some, NULL);
            kill(i % 4 < 2 ? writer : folder_pid, SIGKILL);
            nanosleep(&some, NULL);
            kill(i % 4 < 2 ? folder_pid : writer, SIGKILL);
            ck_assert_int_eq(child_status(folder_pid), -SIGKILL);
        }
        ck_assert_int_eq(child_status(writer), -SIGKILL);
        db = folder_store(folder);
        int32_t number = number_of(db, true);
        ck_assert_msg(number == *noted || number == *noted + 1, "%d, noted %d (before %d)", number,
                      *noted, before);
        ck_assert_int_eq(number_of(db, false), number);
        before = *noted = number;
        verify_all(db);
        OK(mlkv_close(db));
    }
    if (rounds >= POINTS) /* fewer may all have died before their first write was visible */
        ck_assert_int_gt(before, 0);
    harness_remove(folder);
}
END_TEST

/* --- snapshots --- */

START_TEST(test_snapshot)
{
    mlkv *db = memory_store(), *empty = NULL, *first = NULL;
    mlkv_buffer before = {0}, now = {0};
    put_zeros(db);
    OK(mlkv_snapshot(db, &empty));
    OK(scatter_number(db, 1));
    OK(mlkv_snapshot(db, &first));
    OK(mlkv_key_dump(db, TEXT("t"), &before));
    OK(scatter_number(db, 2));
    ck_assert_int_eq(number_of(first, true), 1);
    fold_all(db);
    OK(scatter_number(db, 3));
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(number_of(empty, true), 0);
        ck_assert_int_eq(number_of(first, true), 1);
        ck_assert_int_eq(number_of(first, false), 1);
        ck_assert_int_eq(number_of(db, false), 3);
        OK(mlkv_key_dump(first, TEXT("t"), &now));
        ck_assert(now.size == before.size && memcmp(now.data, before.data, now.size) == 0);
        now.size = 0;
        fold_all(db);
    }
    OK(mlkv_close(empty));
    OK(mlkv_close(first));
    verify_all(db);
    mlkv_buffer_free(&before);
    mlkv_buffer_free(&now);
    OK(mlkv_close(db));
}
END_TEST

/* --- what is folded when --- */

/* So many rows stand beside chunks; on a slow machine none may, for the store's own thread folds what was left alone for five seconds. */
static void must_stand(mlkv *db, uint64_t since_ns, size_t count)
{
    size_t found = count_records(db, "P");
    if (clock_monotonic_ns() - since_ns < UINT64_C(4) * 1000000000)
        ck_assert_uint_eq(found, count);
}

START_TEST(test_quiet)
{
    enum { HOUR = 3600 * 1000, LARGE_ROWS = 600, LARGE = 8 << 10 };
    mlkv *db = memory_store();
    static unsigned char data[LARGE_ROWS * LARGE];
    mlkv_tensor tensor = {MLKV_U8, 2, {LARGE_ROWS, LARGE}};
    mlkv_tensor_options options = {.size = sizeof options, .chunk_bytes = 2 << 20};
    uint64_t rows[40];
    put_zeros(db);
    uint64_t since = clock_monotonic_ns();
    OK(scatter_number(db, 5));
    MUST(MLKV_ABSENT, fold_step(db, HOUR)); /* it may be changed again soon */
    must_stand(db, since, PICKED);
    OK(mlkv_tensor_put(db, TEXT("large"), &tensor, data, &options));
    for (uint64_t i = 0; i < 40; i++)
        rows[i] = i * 2;
    OK(mlkv_tensor_scatter(db, TEXT("large"), rows, 40, data, 40 * LARGE));
    int result;
    do /* but here much stands beside a chunk that writers do not rewrite; the store's own thread may be first */
        result = fold_step(db, HOUR);
    while (result == MLKV_OK);
    MUST(MLKV_ABSENT, result);
    must_stand(db, since, PICKED);
    fold_all(db);
    ck_assert_uint_eq(count_records(db, "P"), 0);
    ck_assert_uint_eq(count_records(db, "Q"), 0);
    ck_assert_int_eq(number_of(db, true), 5);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

/* The store's own thread does it. */
START_TEST(test_background)
{
    mlkv *db = memory_store();
    uint64_t until = clock_monotonic_ns() + UINT64_C(120) * 1000000000;
    struct timespec pause = {0, 50000000};
    put_zeros(db);
    OK(scatter_number(db, 5));
#ifdef MLKV_FAULTS
    fault_clock_shift(60000);
#endif
    while (count_records(db, "P") != 0 && clock_monotonic_ns() < until)
        nanosleep(&pause, NULL);
    ck_assert_uint_eq(count_records(db, "P"), 0);
    ck_assert_int_eq(number_of(db, true), 5);
#ifdef MLKV_FAULTS
    fault_clock_shift(0);
#endif
    OK(mlkv_close(db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tensor_rows_fold");
    TCase *tcase = harness_case(suite, "fold");
    tcase_add_test(tcase, test_readers_see_whole_changes);
    tcase_add_test(tcase, test_processes_add_while_folded);
    tcase_add_test(tcase, test_killed);
    tcase_add_test(tcase, test_snapshot);
    tcase_add_test(tcase, test_quiet);
    tcase_add_test(tcase, test_background);
    return harness_run(suite);
}
