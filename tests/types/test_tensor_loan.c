/* test_tensor_loan.c - tensors lent where they stand: the bytes, how long they live, what changes them, what does not. */
#include "stores.h"

#include <pthread.h>
#include <signal.h>

enum { PAGE = 4096, COLUMNS = 64, ROWS = 400, ROW = COLUMNS * 4, BYTES = ROWS * ROW };

static const mlkv_tensor table = {MLKV_F32, 2, {ROWS, COLUMNS}};
/* Seven chunks. */
static const mlkv_tensor_options lent_options = {
    .size = sizeof lent_options, .chunk_bytes = 4 * PAGE, .contiguous = 1};

static mlkv_slice key(void)
{
    return TEXT("t");
}

static void put(mlkv *view, uint64_t seed)
{
    static unsigned char data[BYTES];
    fill_noise(data, BYTES, seed);
    OK(mlkv_tensor_put(view, key(), &table, data, &lent_options));
}

static void expect_noise(const void *data, uint64_t seed)
{
    static unsigned char want[BYTES];
    fill_noise(want, BYTES, seed);
    ck_assert(memcmp(data, want, BYTES) == 0);
}

static mlkv_loan *borrow(mlkv *view, unsigned flags, void **ret_data)
{
    mlkv_loan *loan = NULL;
    *ret_data = NULL;
    OK(mlkv_tensor_borrow(view, key(), flags, NULL, ret_data, &loan));
    ck_assert_uint_eq((uintptr_t)*ret_data % PAGE, 0);
    return loan;
}

static mlkv_stats stats_of(mlkv *db)
{
    mlkv_stats stats = {.size = sizeof stats};
    OK(mlkv_stats_get(db, &stats));
    return stats;
}

static uint64_t put_counted(mlkv *db, const void *data)
{
    uint64_t count = 99;
    OK(mlkv_tensor_put_counted(db, key(), &table, data, &lent_options, &count));
    return count;
}

/* --- every form --- */

static void check_reads(mlkv *db, const mlkv_tensor_info *info, const unsigned char *want)
{
    unsigned char *got = malloc((size_t)info->raw_bytes + 1);
    ck_assert_ptr_nonnull(got);
    OK(mlkv_tensor_get(db, key(), got, (size_t)info->raw_bytes));
    ck_assert(memcmp(got, want, (size_t)info->raw_bytes) == 0);
    uint64_t first = info->rows / 3, last = info->rows - 1, rows[3] = {last, first, last};
    if (info->raw_bytes != 0) {
        size_t size = (size_t)info->row_bytes;
        OK(mlkv_tensor_read_rows(db, key(), first, info->rows - first, got,
                                 (size_t)(info->rows - first) * size));
        ck_assert(memcmp(got, want + first * size, (size_t)(info->rows - first) * size) == 0);
        unsigned char *three = malloc(3 * size);
        ck_assert_ptr_nonnull(three);
        OK(mlkv_tensor_gather(db, key(), rows, 3, three, 3 * size));
        for (size_t i = 0; i < 3; i++)
            ck_assert(memcmp(three + i * size, want + rows[i] * size, size) == 0);
        free(three);
    }
    free(got);
}

static void check_form(mlkv *db, const mlkv_tensor *tensor, size_t chunk_bytes, uint64_t seed)
{
    mlkv_tensor_options options = {
        .size = sizeof options, .chunk_bytes = chunk_bytes, .contiguous = 1};
    mlkv_tensor_info info = {.size = sizeof info};
    mlkv_loan *loan = NULL;
    void *data = NULL;
    size_t size = mlkv_dtype_size((mlkv_dtype)tensor->dtype);
    for (uint32_t i = 0; i < tensor->dimensions; i++)
        size *= tensor->shape[i];
    unsigned char *want = malloc(size + 1);
    ck_assert_ptr_nonnull(want);
    fill_noise(want, size, seed);
    OK(mlkv_tensor_put(db, key(), tensor, want, &options));
    OK(mlkv_tensor_borrow(db, key(), 0, &info, &data, &loan));
    ck_assert_ptr_nonnull(data);
    ck_assert_uint_eq((uintptr_t)data % 64, 0);
    ck_assert_uint_eq(info.raw_bytes, size);
    ck_assert_uint_eq(info.contiguous, 1);
    ck_assert_int_eq(info.tensor.dtype, tensor->dtype);
    ck_assert(memcmp(data, want, size) == 0);
    check_reads(db, &info, want);
    OK(mlkv_loan_return(loan));
    free(want);
}

START_TEST(test_every_form)
{
    mlkv *db = memory_store();
    static const mlkv_tensor shapes[] = {
        {0, 0, {0}},       {0, 1, {1}},        {0, 1, {100001}},
        {0, 2, {0, 7}},    {0, 2, {7, 0}},     {0, 2, {1, 20000}},
        {0, 2, {5000, 3}}, {0, 2, {513, 256}}, {0, 8, {3, 2, 1, 4, 5, 2, 3, 7}},
    };
    static const size_t chunks[] = {0, 1, 10000};
    uint64_t seed = 0;
    for (int dtype = MLKV_F64; dtype <= MLKV_C128; dtype++) {
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            mlkv_tensor tensor = shapes[i];
            tensor.dtype = dtype;
            seed++;
            check_form(db, &tensor, chunks[seed % 3], seed);
        }
    }
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

/* Several pieces a chunk, several commits. */
START_TEST(test_large)
{
    mlkv *db = memory_store();
    static const mlkv_tensor wide = {MLKV_U8, 2, {3, (9 << 20) + 1}},
                             deep = {MLKV_F32, 2, {75000, 150}};
    mlkv_tensor_info info = {.size = sizeof info};
    check_form(db, &wide, 0, 1); /* one chunk: its rows have no whole pages */
    OK(mlkv_tensor_get_info(db, key(), &info));
    ck_assert_uint_eq(info.chunks, 1);
    check_form(db, &deep, 0, 2);
    OK(mlkv_tensor_get_info(db, key(), &info));
    ck_assert_uint_ge(info.chunks, 30);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

/* --- what is refused --- */

START_TEST(test_refused)
{
    mlkv *db = memory_store();
    mlkv_loan *loan = NULL;
    void *data = NULL;
    mlkv_tensor_info small = {.size = 3};
    MUST(MLKV_ABSENT, mlkv_tensor_borrow(db, key(), 0, NULL, &data, &loan));
    put(db, 1);
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_borrow(NULL, key(), 0, NULL, &data, &loan));
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_borrow(db, slice_of(NULL, 3), 0, NULL, &data, &loan));
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_borrow(db, key(), 2, NULL, &data, &loan));
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_borrow(db, key(), 0, NULL, NULL, &loan));
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_borrow(db, key(), 0, NULL, &data, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_borrow(db, key(), 0, &small, &data, &loan));
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_to_dlpack(db, key(), 0, 2, &data));
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_to_dlpack(db, key(), 0, 1, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_to_dlpack(db, key(), 8, 1, &data));
    OK(mlkv_string_set(db, TEXT("s"), TEXT("x"), MLKV_SET_ALWAYS));
    MUST(MLKV_E_TYPE, mlkv_tensor_borrow(db, TEXT("s"), 0, NULL, &data, &loan));
    static unsigned char bytes[BYTES];
    OK(mlkv_tensor_put(db, TEXT("plain"), &table, bytes, NULL));
    MUST(MLKV_E_CONTIGUOUS, mlkv_tensor_borrow(db, TEXT("plain"), 0, NULL, &data, &loan));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "'plain'"));
    MUST(MLKV_E_CONTIGUOUS, mlkv_tensor_to_dlpack(db, TEXT("plain"), 0, 1, &data));
    ck_assert_ptr_null(data);
    ck_assert_ptr_null(loan);
    OK(mlkv_loan_return(NULL));
    ck_assert_uint_eq(stats_of(db).loans, 0);
    mlkv_tensor_options options = {.size = sizeof options, .contiguous = 2};
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_put(db, key(), &table, bytes, &options));
    mlkv_tensor broad = {MLKV_U8, 2, {8192, (1 << 20) + 1}}; /* 4096 rows have whole pages: 4 GiB */
    options.contiguous = 1;
    MUST(MLKV_E_SIZE, mlkv_tensor_put(db, key(), &broad, bytes, &options));
    options.size = 2 * sizeof(size_t); /* as programs say that know no more */
    OK(mlkv_tensor_put(db, TEXT("plain"), &table, bytes, &options));
    MUST(MLKV_E_CONTIGUOUS, mlkv_tensor_borrow(db, TEXT("plain"), 0, NULL, &data, &loan));
    OK(mlkv_close(db));
}
END_TEST

/* --- lifetimes --- */

START_TEST(test_overwritten_and_deleted)
{
    mlkv *db = memory_store();
    void *first, *second, *third;
    mlkv_slice name = key();
    put(db, 1);
    mlkv_loan *one = borrow(db, 0, &first);
    put(db, 2);
    mlkv_loan *two = borrow(db, 0, &second);
    OK(mlkv_key_delete(db, &name, 1, NULL));
    clean_all(db);
    for (uint64_t i = 3; i < 40; i++) { /* pages that came free are used again */
        put(db, i);
        OK(mlkv_flush(db, MLKV_STORE));
        clean_all(db);
    }
    OK(mlkv_compact(db, NULL));
    mlkv_loan *three = borrow(db, 0, &third);
    expect_noise(first, 1);
    expect_noise(second, 2);
    expect_noise(third, 39);
    mlkv_stats stats = stats_of(db);
    ck_assert_uint_eq(stats.loans, 3);
    ck_assert_uint_eq(stats.loan_bytes, 3 * BYTES);
    ck_assert_uint_ge(stats.readers, 3);
    ck_assert_uint_gt(stats.oldest_snapshot_age, 30);
    OK(mlkv_loan_return(two));
    OK(mlkv_loan_return(one));
    stats = stats_of(db);
    ck_assert_uint_eq(stats.loans, 1);
    expect_noise(third, 39);
    OK(mlkv_loan_return(three));
    stats = stats_of(db);
    ck_assert_uint_eq(stats.loans, 0);
    ck_assert_uint_eq(stats.loan_bytes, 0);
    ck_assert_uint_eq(stats.oldest_loan_ms, 0);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(test_snapshot)
{
    mlkv *db = memory_store(), *snapshot = NULL, *transaction = NULL;
    void *old, *now, *inside;
    put(db, 1);
    OK(mlkv_snapshot(db, &snapshot));
    put(db, 2);
    mlkv_loan *one = borrow(snapshot, 0, &old), *two = borrow(db, MLKV_LOAN_PRIVATE, &now);
    uint64_t readers = stats_of(db).readers;
    mlkv_loan *again = borrow(snapshot, 0, &inside);
    ck_assert_uint_eq(stats_of(db).readers, readers); /* the snapshot's slot */
    OK(mlkv_loan_return(again));
    OK(mlkv_close(snapshot)); /* the loan keeps it */
    put(db, 3);
    OK(mlkv_begin(db, &transaction));
    put(transaction, 4);
    mlkv_loan *three = borrow(transaction, 0, &inside);
    OK(mlkv_abort(transaction));
    clean_all(db);
    put(db, 5);
    expect_noise(old, 1);
    expect_noise(now, 2);
    expect_noise(inside, 4);
    OK(mlkv_close(db)); /* the loans keep the store */
    expect_noise(old, 1);
    OK(mlkv_loan_return(one));
    expect_noise(now, 2);
    OK(mlkv_loan_return(two));
    expect_noise(inside, 4);
    OK(mlkv_loan_return(three));
}
END_TEST

static void *return_it(void *loan)
{
    return (void *)(intptr_t)mlkv_loan_return(loan);
}

/* By another thread, which closes the store with it; what was written before is there. */
START_TEST(test_returned_after_close)
{
    const char *folder = harness_folder();
    mlkv *db = folder_store(folder);
    void *data, *returned;
    pthread_t thread;
    put(db, 1);
    mlkv_loan *loan = borrow(db, 0, &data);
    put(db, 2);
    OK(mlkv_close(db));
    expect_noise(data, 1);
    ck_assert_int_eq(pthread_create(&thread, NULL, return_it, loan), 0);
    ck_assert_int_eq(pthread_join(thread, &returned), 0);
    ck_assert_ptr_null(returned);
    db = folder_store(folder);
    loan = borrow(db, 0, &data);
    expect_noise(data, 2);
    mlkv *second = folder_store(folder); /* while the first one's loan is out */
    OK(mlkv_close(db));
    OK(mlkv_loan_return(loan));
    verify_all(second);
    OK(mlkv_close(second));
    harness_remove(folder);
}
END_TEST

START_TEST(test_private)
{
    mlkv *db = memory_store();
    void *shared, *own;
    put(db, 1);
    mlkv_loan *one = borrow(db, 0, &shared), *two = borrow(db, MLKV_LOAN_PRIVATE, &own);
    memset((char *)own + 5000, 0x5a, 60000);
    expect_noise(shared, 1);
    ck_assert_int_eq(((char *)own)[5000], 0x5a);
    ck_assert_int_eq(((char *)own)[64999], 0x5a);
    ck_assert(memcmp(own, shared, 5000) == 0);
    ck_assert(memcmp((char *)own + 65000, (char *)shared + 65000, BYTES - 65000) == 0);
    OK(mlkv_loan_return(two));
    two = borrow(db, MLKV_LOAN_PRIVATE, &own);
    expect_noise(own, 1);
    OK(mlkv_loan_return(two));
    OK(mlkv_loan_return(one));
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

/* --- changes --- */

/* What stands there now, borrowed, must be `want`. */
static void expect_lent(mlkv *db, const unsigned char *want, size_t size)
{
    void *data;
    mlkv_loan *loan = borrow(db, 0, &data);
    ck_assert(memcmp(data, want, size) == 0);
    OK(mlkv_loan_return(loan));
}

START_TEST(test_changed_rows)
{
    mlkv *db = memory_store(), *snapshot = NULL;
    static unsigned char want[BYTES + 100 * ROW];
    mlkv_loan *loan = NULL;
    void *data = NULL;
    mlkv_tensor_info info = {.size = sizeof info};
    uint64_t rows[] = {399, 7, 100}, count = 0;
    fill_noise(want, sizeof want, 1);
    ck_assert_uint_eq(put_counted(db, want), 7);
    memset(want + 10 * ROW, 1, 5 * ROW);
    OK(mlkv_tensor_write_rows(db, key(), 10, 5, want + 10 * ROW, 5 * ROW));
    OK(mlkv_snapshot(db, &snapshot));
    MUST(MLKV_E_CONTIGUOUS, mlkv_tensor_borrow(snapshot, key(), 0, NULL, &data, &loan));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "'t'"));
    OK(mlkv_close(snapshot));
    expect_lent(db, want, BYTES);
    OK(mlkv_tensor_get_info(db, key(), &info));
    ck_assert_uint_eq(info.version, 2); /* folding is no change */
    memcpy(want + 399 * ROW, want, ROW);
    memcpy(want + 7 * ROW, want + ROW, ROW);
    memcpy(want + 100 * ROW, want + 2 * ROW, ROW);
    OK(mlkv_tensor_scatter(db, key(), rows, 3, want, 3 * ROW));
    expect_lent(db, want, BYTES);
    OK(mlkv_snapshot(db, &snapshot));
    expect_lent(snapshot, want, BYTES);
    OK(mlkv_close(snapshot));
    /* Rows that leave room in a chunk, rows that fill some, and nothing. */
    OK(mlkv_tensor_append_rows(db, key(), 3, want + BYTES, 3 * ROW, &count));
    expect_lent(db, want, BYTES + 3 * ROW);
    OK(mlkv_tensor_append_rows(db, key(), 97, want + BYTES + 3 * ROW, 97 * ROW, &count));
    OK(mlkv_tensor_append_rows(db, key(), 0, NULL, 0, &count));
    ck_assert_uint_eq(count, ROWS + 100);
    expect_lent(db, want, BYTES + 100 * ROW);
    OK(mlkv_tensor_scale(db, key(), 1.0));
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

/* A tensor of one chunk grows: its rows of a chunk may only grow. */
START_TEST(test_appended)
{
    mlkv *db = memory_store();
    enum { WIDTH = 1000, MOST = 4000 };
    static unsigned char want[MOST * WIDTH];
    mlkv_tensor start = {MLKV_U8, 2, {0, WIDTH}};
    mlkv_tensor_options options = {.size = sizeof options, .contiguous = 1};
    fill_noise(want, sizeof want, 1);
    uint64_t rows = 0;
    OK(mlkv_tensor_put(db, key(), &start, NULL, &options));
    for (uint64_t more = 1; rows + more <= MOST; more = more * 3 / 2 + 1) {
        OK(mlkv_tensor_append_rows(db, key(), more, want + rows * WIDTH, more * WIDTH, &rows));
        expect_lent(db, want, rows * WIDTH);
    }
    ck_assert_uint_gt(rows, 2500);
    mlkv_tensor whole = {
        MLKV_U8, 2, {700, WIDTH}}; /* from one chunk that is larger than it was asked to be */
    options.chunk_bytes = 5000;
    OK(mlkv_tensor_put(db, key(), &whole, want, &options));
    OK(mlkv_tensor_append_rows(db, key(), 2000, want + 700 * WIDTH, 2000 * WIDTH, &rows));
    expect_lent(db, want, 2700 * WIDTH);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(test_put_again)
{
    mlkv *db = memory_store();
    static unsigned char data[BYTES];
    mlkv_tensor_info info = {.size = sizeof info};
    fill_noise(data, BYTES, 1);
    ck_assert_uint_eq(put_counted(db, data), 7);
    ck_assert_uint_eq(put_counted(db, data), 0);
    data[70000] ^= 1;
    ck_assert_uint_eq(put_counted(db, data), 1);
    expect_lent(db, data, BYTES);
    OK(mlkv_tensor_write_rows(db, key(), 0, 1, data, ROW)); /* the same bytes, in a record */
    ck_assert_uint_eq(put_counted(db, data), 1);
    expect_lent(db, data, BYTES);
    mlkv_tensor_options plain = {.size = sizeof plain, .chunk_bytes = 4 * PAGE};
    OK(mlkv_tensor_put(db, key(), &table, data, &plain));
    OK(mlkv_tensor_get_info(db, key(), &info));
    ck_assert_uint_eq(info.contiguous, 0);
    ck_assert_uint_eq(info.version, 1);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

/* --- other ways in and out of the store --- */

START_TEST(test_copies)
{
    const char *folder = harness_folder();
    char backup[600];
    mlkv *db = folder_store(folder), *other = NULL;
    mlkv_buffer payload = {0};
    void *data;
    mlkv_loan *loan = NULL;
    put(db, 1);
    OK(mlkv_key_copy(db, key(), TEXT("copy"), 0, NULL));
    OK(mlkv_key_dump(db, key(), &payload));
    OK(mlkv_key_restore(db, TEXT("restored"), slice_of_buffer(&payload), 0, 0));
    put(db, 2);
    mlkv_slice names[] = {TEXT("copy"), TEXT("restored")};
    for (size_t i = 0; i < 2; i++) {
        OK(mlkv_tensor_borrow(db, names[i], 0, NULL, &data, &loan));
        expect_noise(data, 1);
        OK(mlkv_loan_return(loan));
    }
    snprintf(backup, sizeof backup, "%s/backup", folder);
    OK(mlkv_backup(db, backup));
    other = folder_store(backup);
    verify_all(other);
    loan = borrow(other, 0, &data);
    expect_noise(data, 2);
    OK(mlkv_loan_return(loan));
    OK(mlkv_close(other));
    mlkv_buffer_free(&payload);
    verify_all(db);
    OK(mlkv_close(db));
    mlkv_options options = {.size = sizeof options, .flags = MLKV_READ_ONLY};
    OK(mlkv_open(folder, &options, &db));
    loan = borrow(db, MLKV_LOAN_PRIVATE, &data);
    expect_noise(data, 2);
    OK(mlkv_close(db));
    OK(mlkv_loan_return(loan));
    harness_remove(folder);
}
END_TEST

/* --- DLPack --- */

typedef struct dl_tensor {
    void *data;
    int32_t device_type, device_id, ndim;
    uint8_t code, bits;
    uint16_t lanes;
    int64_t *shape, *strides;
    uint64_t byte_offset;
} dl_tensor;
typedef struct dl_managed {
    dl_tensor tensor;
    void *context;
    void (*deleter)(struct dl_managed *);
} dl_managed;
typedef struct dl_versioned {
    uint32_t major, minor;
    void *context;
    void (*deleter)(struct dl_versioned *);
    uint64_t flags;
    dl_tensor tensor;
} dl_versioned;

static void check_dl(const dl_tensor *tensor, int code, const void *data, size_t size)
{
    ck_assert_int_eq(tensor->device_type, 1);
    ck_assert_int_eq(tensor->device_id, 0);
    ck_assert_int_eq(tensor->ndim, 3);
    ck_assert_int_eq(tensor->code, code);
    ck_assert_int_eq(tensor->lanes, 1);
    ck_assert_int_eq(tensor->shape[0], 5);
    ck_assert_int_eq(tensor->shape[1], 6);
    ck_assert_int_eq(tensor->shape[2], 7);
    ck_assert_int_eq(tensor->strides[0], 42);
    ck_assert_int_eq(tensor->strides[1], 7);
    ck_assert_int_eq(tensor->strides[2], 1);
    ck_assert_uint_eq(tensor->byte_offset, 0);
    ck_assert_uint_eq((size_t)210 * tensor->bits / 8, size);
    ck_assert(memcmp(tensor->data, data, size) == 0);
}

START_TEST(test_dlpack)
{
    static const int codes[] = {0, 2, 2, 2, 4, 10, 12, 0, 0, 0, 0, 1, 1, 1, 1, 6, 5, 5};
    static unsigned char data[210 * 16];
    mlkv *db = memory_store();
    mlkv_tensor_options options = {.size = sizeof options, .contiguous = 1};
    dl_managed *old;
    dl_versioned *newer;
    fill_noise(data, sizeof data, 1);
    for (int dtype = MLKV_F64; dtype <= MLKV_C128; dtype++) {
        mlkv_tensor tensor = {dtype, 3, {5, 6, 7}};
        size_t size = 210 * mlkv_dtype_size((mlkv_dtype)dtype);
        OK(mlkv_tensor_put(db, key(), &tensor, data, &options));
        OK(mlkv_tensor_to_dlpack(db, key(), 0, 0, (void **)&old));
        check_dl(&old->tensor, codes[dtype], data, size);
        memset(old->tensor.data, 0x77, size);
        OK(mlkv_tensor_to_dlpack(db, key(), 0, 1, (void **)&newer));
        check_dl(&newer->tensor, codes[dtype], data, size);
        ck_assert_uint_eq(newer->major, 1);
        ck_assert_uint_eq(newer->flags, 1);
        newer->deleter(newer);
        OK(mlkv_tensor_to_dlpack(db, key(), MLKV_LOAN_PRIVATE, 1, (void **)&newer));
        ck_assert_uint_eq(newer->flags, 0);
        memset(newer->tensor.data, 0x77, size);
        ck_assert_uint_eq(stats_of(db).loans, 2);
        newer->deleter(newer);
        old->deleter(old);
        ck_assert_uint_eq(stats_of(db).loans, 0);
    }
    void *shared;
    OK(mlkv_tensor_put(db, key(), &(mlkv_tensor){MLKV_U8, 3, {5, 6, 7}}, data, &options));
    mlkv_loan *loan = borrow(db, 0, &shared);
    MUST(MLKV_E_ARGUMENT, mlkv_loan_to_dlpack(loan, 0, (void **)&old));
    MUST(MLKV_E_ARGUMENT, mlkv_loan_to_dlpack(NULL, 1, (void **)&newer));
    MUST(MLKV_E_ARGUMENT, mlkv_loan_to_dlpack(loan, 3, (void **)&newer));
    MUST(MLKV_E_ARGUMENT, mlkv_loan_to_dlpack(loan, 1, NULL));
    OK(mlkv_loan_to_dlpack(loan, 1, (void **)&newer));
    ck_assert_ptr_eq(newer->tensor.data, shared);
    ck_assert_uint_eq(newer->flags, 1);
    OK(mlkv_loan_return(loan));
    check_dl(&newer->tensor, 1, data, 210);
    newer->deleter(newer);
    ck_assert_uint_eq(stats_of(db).loans, 0);
    mlkv_tensor scalar = {MLKV_F64, 0, {0}}, empty = {MLKV_F32, 2, {4, 0}};
    OK(mlkv_tensor_put(db, key(), &scalar, data, &options));
    OK(mlkv_tensor_to_dlpack(db, key(), 0, 0, (void **)&old));
    ck_assert_int_eq(old->tensor.ndim, 0);
    ck_assert(memcmp(old->tensor.data, data, 8) == 0);
    OK(mlkv_tensor_put(db, key(), &empty, NULL, NULL)); /* has nothing that could not be lent */
    OK(mlkv_tensor_to_dlpack(db, key(), 0, 1, (void **)&newer));
    ck_assert_int_eq(newer->tensor.shape[1], 0);
    OK(mlkv_close(db));
    newer->deleter(newer);
    old->deleter(old);
}
END_TEST

/* --- processes --- */

/* The child reads what the parent borrowed, returns its copies, and uses the store for itself. */
START_TEST(test_fork)
{
    const char *folder = harness_folder();
    mlkv *db = folder_store(folder), *snapshot = NULL;
    void *data, *seen;
    put(db, 1);
    OK(mlkv_snapshot(db, &snapshot));
    mlkv_loan *loan = borrow(db, 0, &data), *other = borrow(snapshot, MLKV_LOAN_PRIVATE, &seen);
    pid_t pid = harness_fork();
    if (pid == 0) {
        expect_noise(data, 1);
        memset(seen, 1, BYTES);
        OK(mlkv_loan_return(loan));
        OK(mlkv_loan_return(other));
        OK(mlkv_close(snapshot));
        loan = borrow(db, 0, &data);
        expect_noise(data, 1);
        put(db, 2);
        OK(mlkv_close(db));
        OK(mlkv_loan_return(loan));
        harness_exit(0);
    }
    ck_assert_int_eq(child_status(pid), 0);
    ck_assert_uint_eq(stats_of(db).loans, 2);
    expect_noise(data, 1);
    expect_noise(seen, 1);
    OK(mlkv_loan_return(loan));
    loan = borrow(db, 0, &data);
    expect_noise(data, 2);
    OK(mlkv_loan_return(loan));
    OK(mlkv_loan_return(other));
    OK(mlkv_close(snapshot));
    verify_all(db);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

START_TEST(test_killed_lender)
{
    const char *folder = harness_folder();
    mlkv *db = folder_store(folder);
    int ready[2];
    char byte;
    put(db, 1);
    OK(mlkv_close(db));
    ck_assert_int_eq(pipe(ready), 0);
    pid_t pid = harness_fork();
    if (pid == 0) {
        void *data[20];
        db = folder_store(folder);
        for (size_t i = 0; i < 20; i++)
            (void)borrow(db, 0, &data[i]);
        if (write(ready[1], "x", 1) == 1)
            pause();
        harness_exit(1);
    }
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    db = folder_store(folder);
    ck_assert_uint_ge(stats_of(db).readers, 20);
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(child_status(pid), -SIGKILL);
    OK(mlkv_close(db));
    db = folder_store(folder);
    ck_assert_uint_lt(stats_of(db).readers, 20);
    ck_assert_uint_eq(stats_of(db).loans, 0);
    verify_all(db);
    OK(mlkv_close(db));
    (void)close(ready[0]);
    (void)close(ready[1]);
    harness_remove(folder);
}
END_TEST

/* --- threads --- */

enum { LENDERS = 3, ROUNDS = 120 };
static mlkv *shared_db;
static _Atomic bool writing;

/* Every loan is of one put: all of it has one byte. */
static void *lend_and_return(void *unused)
{
    uint64_t looks = 0;
    do {
        mlkv_loan *loan = NULL;
        void *data = NULL;
        if (mlkv_tensor_borrow(shared_db, key(), looks % 2, NULL, &data, &loan) != MLKV_OK)
            return "not lent";
        const unsigned char *bytes = data;
        for (size_t i = 0; i < BYTES; i += 511) {
            if (bytes[i] != bytes[0])
                return "mixed";
        }
        if (mlkv_loan_return(loan) != MLKV_OK)
            return "not returned";
        looks++;
    } while (writing);
    return unused;
}

START_TEST(test_threads)
{
    static unsigned char data[BYTES];
    pthread_t threads[LENDERS];
    shared_db = memory_store();
    memset(data, 0, BYTES);
    (void)put_counted(shared_db, data);
    writing = true;
    for (int i = 0; i < LENDERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, lend_and_return, NULL), 0);
    for (int i = 1; i < ROUNDS; i++) {
        memset(data, i, BYTES);
        if (i % 3 == 0)
            OK(mlkv_tensor_write_rows(shared_db, key(), 0, ROWS, data, BYTES));
        else
            (void)put_counted(shared_db, data);
    }
    writing = false;
    for (int i = 0; i < LENDERS; i++) {
        void *problem;
        ck_assert_int_eq(pthread_join(threads[i], &problem), 0);
        ck_assert_msg(problem == NULL, "%s", (const char *)problem);
    }
    ck_assert_uint_eq(stats_of(shared_db).loans, 0);
    verify_all(shared_db);
    OK(mlkv_close(shared_db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tensor_loan");
    TCase *tcase = harness_case(suite, "tensor_loan");
    tcase_add_test(tcase, test_every_form);
    tcase_add_test(tcase, test_large);
    tcase_add_test(tcase, test_refused);
    tcase_add_test(tcase, test_overwritten_and_deleted);
    tcase_add_test(tcase, test_snapshot);
    tcase_add_test(tcase, test_returned_after_close);
    tcase_add_test(tcase, test_private);
    tcase_add_test(tcase, test_changed_rows);
    tcase_add_test(tcase, test_appended);
    tcase_add_test(tcase, test_put_again);
    tcase_add_test(tcase, test_copies);
    tcase_add_test(tcase, test_dlpack);
    tcase_add_test(tcase, test_fork);
    tcase_add_test(tcase, test_killed_lender);
    tcase_add_test(tcase, test_threads);
    return harness_run(suite);
}
