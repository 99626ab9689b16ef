/* test_tensor.c - descriptors, puts, reads and row writes of tensors through the public functions.
 */
#include "types/tensor.h"

#include "base/fault.h"
#include "base/random.h"
#include "harness.h"
#include "types/dtype.h"
#include "types/stores.h"

#include <mlkv/mlkv.h>

/* --- descriptors --- */

static const mlkv_tensor matrix = {MLKV_F32, 2, {100, 7}};

START_TEST(test_form)
{
    tensor_form form, again;
    unsigned char bytes[TENSOR_DESCRIPTOR_SIZE_MAX];
    OK(tensor_form_make(&matrix, 100, false, &form));
    ck_assert_uint_eq(form.rows, 100);
    ck_assert_uint_eq(form.row_bytes, 28);
    ck_assert_uint_eq(form.raw_bytes, 2800);
    ck_assert_uint_eq(form.chunk_rows, 3);
    ck_assert_uint_eq(form.chunks, 34);
    ck_assert_uint_eq(tensor_chunk_size(&form, 0), 84);
    ck_assert_uint_eq(tensor_chunk_size(&form, 33), 28);
    form.version = 9;
    form.stored_bytes = 12345;
    size_t size = tensor_form_write(&form, bytes);
    ck_assert_uint_eq(size, 48);
    OK(tensor_form_read(slice_of(bytes, size), &again));
    ck_assert(memcmp(&form, &again, sizeof form) == 0);
    ck_assert_str_eq(tensor_text(&matrix), "f32[100, 7]");

    mlkv_tensor scalar = {
        MLKV_C128, 0, {55}}; /* what stands behind the dimensions is not looked at */
    OK(tensor_form_make(&scalar, 1, false, &form));
    ck_assert_uint_eq(form.rows, 1);
    ck_assert_uint_eq(form.raw_bytes, 16);
    ck_assert_uint_eq(form.chunks, 1);
    ck_assert_uint_eq(form.tensor.shape[0], 0);

    mlkv_tensor empty = {MLKV_U8, 3, {5, 0, 7}};
    OK(tensor_form_make(&empty, 1, false, &form));
    ck_assert_uint_eq(form.rows, 5);
    ck_assert_uint_eq(form.row_bytes, 0);
    ck_assert_uint_eq(form.chunks, 0);
    empty.shape[0] = 0;
    empty.shape[1] = 3;
    OK(tensor_form_make(&empty, 1, false, &form));
    ck_assert_uint_eq(form.row_bytes, 21);
    ck_assert_uint_eq(form.raw_bytes, 0);
    ck_assert_uint_eq(form.chunks, 0);
}
END_TEST

START_TEST(test_form_refused)
{
    static const struct {
        mlkv_tensor tensor;
        int expected;
    } cases[] = {
        {{0, 1, {1}}, MLKV_E_ARGUMENT},
        {{18, 1, {1}}, MLKV_E_ARGUMENT},
        {{-1, 1, {1}}, MLKV_E_ARGUMENT},
        {{MLKV_U8, 9, {1}}, MLKV_E_ARGUMENT},
        {{MLKV_U8, UINT32_MAX, {1}}, MLKV_E_ARGUMENT},
        {{MLKV_U8, 1, {(uint64_t)1 << 62}}, MLKV_E_SIZE},
        {{MLKV_U8, 1, {UINT64_MAX}}, MLKV_E_SIZE},
        {{MLKV_F64, 1, {(uint64_t)1 << 59}}, MLKV_E_SIZE},
        {{MLKV_U8, 2, {(uint64_t)1 << 32, (uint64_t)1 << 32}}, MLKV_E_SIZE},
        {{MLKV_U8, 3, {0, (uint64_t)1 << 32, (uint64_t)1 << 32}},
         MLKV_E_SIZE}, /* also with a 0 beside */
        {{MLKV_U8, 2, {1, TENSOR_ROW_BYTES_MAX + 1}}, MLKV_E_SIZE},
        {{MLKV_U8, 2, {1, TENSOR_ROW_BYTES_MAX}}, MLKV_OK},
        {{MLKV_U8, 1, {((uint64_t)1 << 62) - 1}}, MLKV_OK},
        {{MLKV_U8, 2, {0, (uint64_t)1 << 61}}, MLKV_OK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tensor_form form;
        MUST(cases[i].expected, tensor_form_make(&cases[i].tensor, 1 << 20, false, &form));
    }
}
END_TEST

/* Whatever bytes stand there: refused, or a form whose numbers are safe to use. */
static void check_hostile(const unsigned char *bytes, size_t size)
{
    tensor_form form;
    unsigned char *exact = malloc(size + 1); /* so that a sanitizer sees a read behind the end */
    ck_assert_ptr_nonnull(exact);
    memcpy(exact, bytes, size);
    int result = tensor_form_read(slice_of(exact, size), &form);
    free(exact);
    ck_assert(result == MLKV_OK || result == MLKV_E_CORRUPT);
    if (result != MLKV_OK)
        return;
    ck_assert(dtype_known(form.tensor.dtype) && form.tensor.dimensions <= 8);
    ck_assert(form.raw_bytes < (uint64_t)1 << 62);
    ck_assert_uint_ge(form.chunk_rows, 1);
    if (form.raw_bytes == 0) {
        ck_assert_uint_eq(form.chunks, 0);
        return;
    }
    ck_assert_uint_le(form.chunk_rows, form.rows);
    ck_assert_uint_le(form.chunk_rows * form.row_bytes, TENSOR_ROW_BYTES_MAX);
    ck_assert_uint_eq(form.rows * form.row_bytes, form.raw_bytes);
    ck_assert_uint_eq((form.chunks - 1) * form.chunk_rows * form.row_bytes +
                          tensor_chunk_size(&form, form.chunks - 1),
                      form.raw_bytes);
}

START_TEST(test_form_hostile)
{
    tensor_form form;
    unsigned char good[TENSOR_DESCRIPTOR_SIZE_MAX], bytes[TENSOR_DESCRIPTOR_SIZE_MAX];
    mlkv_tensor tensor = {MLKV_BF16, 8, {3, 1, 4, 1, 5, 9, 2, 6}};
    OK(tensor_form_make(&tensor, 4096, false, &form));
    size_t size = tensor_form_write(&form, good);
    for (size_t cut = 0; cut < size; cut++)
        MUST(MLKV_E_CORRUPT, tensor_form_read(slice_of(good, cut), &form));
    for (int i = 0; i < 200000; i++) {
        memcpy(bytes, good, sizeof bytes);
        for (uint64_t n = random_below(4) + 1; n > 0; n--)
            bytes[random_below(size)] = random_below(3) == 0 ? (unsigned char)(random_below(3) - 1)
                                                             : (unsigned char)random_u64();
        check_hostile(bytes, i % 2 == 0 ? size : random_below(size + 1));
    }
}
END_TEST

/* --- a store --- */

static mlkv *open_store(const char *folder)
{
    mlkv *db = NULL;
    mlkv_options options = {.size = sizeof options, .cache_bytes = 8 << 20, .ring_bytes = 16 << 20};
    OK(mlkv_open(folder, &options, &db));
    return db;
}

static void *random_bytes(size_t size)
{
    unsigned char *bytes = malloc(size + 8);
    ck_assert_ptr_nonnull(bytes);
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = random_u64();
        memcpy(bytes + i, &word, 8);
    }
    return bytes;
}

static mlkv_tensor_info info_of(mlkv *view, mlkv_slice key)
{
    mlkv_tensor_info info = {.size = sizeof info};
    OK(mlkv_tensor_get_info(view, key, &info));
    return info;
}

static void check_content(mlkv *view, mlkv_slice key, const void *expected, size_t size)
{
    unsigned char *got = malloc(size + 1);
    ck_assert_ptr_nonnull(got);
    got[size] = 0x5a;
    OK(mlkv_tensor_get(view, key, got, size));
    ck_assert(memcmp(got, expected, size) == 0);
    ck_assert_uint_eq(got[size], 0x5a);
    free(got);
}

static uint64_t blobs_written(mlkv *db)
{
    mlkv_stats stats = {.size = sizeof stats};
    OK(mlkv_stats_get(db, &stats));
    return stats.blobs_written;
}

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

/* All dtypes, dimensions and chunk sizes: put, read back, also after opening anew. */
START_TEST(test_round_trip)
{
    const char *folder = harness_folder();
    mlkv *db = open_store(folder);
    enum { CASES = 17 * 4 };
    void *content[CASES];
    mlkv_tensor tensors[CASES];
    for (int i = 0; i < CASES; i++) {
        mlkv_tensor tensor = {.dtype = i % 17 + 1, .dimensions = (uint32_t)i % 9};
        uint64_t count = 1;
        for (uint32_t d = 0; d < tensor.dimensions; d++)
            count *= tensor.shape[d] = random_below(d < 2 ? 20 : 3) + 1;
        mlkv_tensor_options options = {.size = sizeof options,
                                       .chunk_bytes = (size_t[]){0, 1, 100, 5000}[i % 4]};
        size_t size = count * mlkv_dtype_size((mlkv_dtype)tensor.dtype);
        content[i] = random_bytes(size);
        if (i % 3 == 0)
            memset(content[i], i, size); /* compressible */
        tensors[i] = tensor;
        OK(mlkv_tensor_put(db, slice_of(&i, sizeof i), &tensor, content[i], &options));
    }
    for (int opened = 0; opened < 2; opened++) {
        for (int i = 0; i < CASES; i++) {
            mlkv_tensor_info info = info_of(db, slice_of(&i, sizeof i));
            ck_assert(memcmp(&info.tensor, &tensors[i], sizeof info.tensor) == 0);
            ck_assert_uint_eq(info.version, 1);
            check_content(db, slice_of(&i, sizeof i), content[i], info.raw_bytes);
        }
        check_store(db);
        OK(mlkv_close(db));
        db = open_store(folder);
    }
    for (int i = 0; i < CASES; i++)
        free(content[i]);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

START_TEST(test_empty)
{
    mlkv *db = NULL;
    OK(mlkv_open(NULL, NULL, &db));
    mlkv_tensor tensor = {MLKV_F32, 3, {4, 0, 5}};
    OK(mlkv_tensor_put(db, TEXT("e"), &tensor, NULL, NULL));
    OK(mlkv_tensor_put(db, TEXT("e"), &tensor, NULL, NULL));
    mlkv_tensor_info info = info_of(db, TEXT("e"));
    ck_assert_uint_eq(info.rows, 4);
    ck_assert_uint_eq(info.chunks, 0);
    ck_assert_uint_eq(info.version, 2);
    OK(mlkv_tensor_get(db, TEXT("e"), NULL, 0));
    OK(mlkv_tensor_read_rows(db, TEXT("e"), 1, 3, NULL, 0));
    MUST(MLKV_E_SHAPE, mlkv_tensor_read_rows(db, TEXT("e"), 2, 3, NULL, 0));
    OK(mlkv_tensor_write_rows(db, TEXT("e"), 0, 4, NULL, 0));
    OK(mlkv_tensor_add(db, TEXT("e"), 1, &tensor, NULL));
    ck_assert_uint_eq(info_of(db, TEXT("e")).version, 4);
    check_store(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(test_arguments)
{
    mlkv *db = NULL;
    OK(mlkv_open(NULL, NULL, &db));
    float data[700] = {0}, out[700];
    struct {
        mlkv_tensor_options known;
        size_t more;
    } options = {{.size = sizeof options}, 0};
    mlkv_tensor_info info = {.size = sizeof info};
    MUST(MLKV_ABSENT, mlkv_tensor_get_info(db, TEXT("t"), &info));
    MUST(MLKV_ABSENT, mlkv_tensor_get(db, TEXT("t"), out, sizeof out));
    MUST(MLKV_ABSENT, mlkv_tensor_read_rows(db, TEXT("t"), 0, 1, out, 28));
    MUST(MLKV_ABSENT, mlkv_tensor_write_rows(db, TEXT("t"), 0, 1, out, 28));
    MUST(MLKV_ABSENT, mlkv_tensor_add(db, TEXT("t"), 1, &matrix, data));
    MUST(MLKV_ABSENT, mlkv_tensor_add_rows(db, TEXT("t"), 1, 0, 1, data, 28));
    OK(mlkv_tensor_put(db, TEXT("t"), &matrix, data, &options.known));
    options.more = 1;
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_put(db, TEXT("t"), &matrix, data, &options.known));
    options.known.size = 3;
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_put(db, TEXT("t"), &matrix, data, &options.known));
    options.known =
        (mlkv_tensor_options){.size = sizeof options.known, .chunk_bytes = ((size_t)1 << 30) + 1};
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_put(db, TEXT("t"), &matrix, data, &options.known));
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_put(db, TEXT("t"), &matrix, NULL, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_put(db, TEXT("t"), NULL, data, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_put(NULL, TEXT("t"), &matrix, data, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_put(db, slice_of(NULL, 1), &matrix, data, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_get(db, TEXT("t"), NULL, sizeof out));
    MUST(MLKV_E_SHAPE, mlkv_tensor_get(db, TEXT("t"), out, sizeof out - 1));
    MUST(MLKV_E_SHAPE, mlkv_tensor_read_rows(db, TEXT("t"), 100, 1, out, 28));
    MUST(MLKV_E_SHAPE, mlkv_tensor_read_rows(db, TEXT("t"), UINT64_MAX, 2, out, 56));
    MUST(MLKV_E_SHAPE, mlkv_tensor_read_rows(db, TEXT("t"), 1, UINT64_MAX, out, 56));
    MUST(MLKV_E_SHAPE, mlkv_tensor_read_rows(db, TEXT("t"), 1, 2, out, 55));
    OK(mlkv_tensor_read_rows(db, TEXT("t"), 100, 0, NULL, 0));
    MUST(MLKV_E_SHAPE, mlkv_tensor_write_rows(db, TEXT("t"), 99, 2, data, 56));
    MUST(MLKV_E_SHAPE, mlkv_tensor_write_rows(db, TEXT("t"), 99, 1, data, 29));
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_write_rows(db, TEXT("t"), 99, 1, NULL, 28));
    info.size--;
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_get_info(db, TEXT("t"), &info));
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_get_info(db, TEXT("t"), NULL));
    ck_assert_uint_eq(info_of(db, TEXT("t")).version, 1);

    OK(mlkv_string_set(db, TEXT("s"), TEXT("value"), MLKV_SET_ALWAYS));
    MUST(MLKV_E_TYPE, mlkv_tensor_put(db, TEXT("s"), &matrix, data, NULL));
    MUST(MLKV_E_TYPE, mlkv_tensor_get(db, TEXT("s"), out, sizeof out));
    MUST(MLKV_E_TYPE, mlkv_tensor_add(db, TEXT("s"), 1, &matrix, data));
    MUST(MLKV_E_TYPE, mlkv_string_get(db, TEXT("t"), &(mlkv_buffer){0}));
    check_store(db);
    OK(mlkv_close(db));
}
END_TEST

/* Random row ranges are read and written, beside a copy in memory. */
START_TEST(test_rows)
{
    const char *folder = harness_folder();
    mlkv *db = open_store(folder);
    enum { ROWS = 301, ROW = 12 * 2 };
    mlkv_tensor tensor = {MLKV_U16, 3, {ROWS, 3, 4}};
    static const size_t chunk_bytes[] = {1, 10 * ROW, 0};
    for (int c = 0; c < 3; c++) {
        mlkv_slice key = slice_of(&c, sizeof c);
        mlkv_tensor_options options = {.size = sizeof options, .chunk_bytes = chunk_bytes[c]};
        unsigned char *model = random_bytes(ROWS * ROW), got[ROWS * ROW];
        memset(model, 7, ROWS * ROW / 2); /* some chunks are compressed */
        OK(mlkv_tensor_put(db, key, &tensor, model, &options));
        for (int i = 0; i < 150; i++) {
            uint64_t first = random_below(ROWS),
                     count = random_below(i % 4 == 0          ? ROWS - first + 1
                                          : ROWS - first < 15 ? ROWS - first + 1
                                                              : 15);
            if (i % 2 == 0) {
                unsigned char *rows = random_bytes(count * ROW);
                OK(mlkv_tensor_write_rows(db, key, first, count, rows, count * ROW));
                memcpy(model + first * ROW, rows, count * ROW);
                free(rows);
            } else {
                OK(mlkv_tensor_read_rows(db, key, first, count, got, count * ROW));
                ck_assert(memcmp(got, model + first * ROW, count * ROW) == 0);
            }
        }
        check_content(db, key, model, ROWS * ROW);
        ck_assert_uint_eq(info_of(db, key).version, 76);
        free(model);
    }
    check_store(db);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* Large chunks are blobs, and a put that changes one of them writes one. */
START_TEST(test_changed_chunks)
{
    const char *folder = harness_folder();
    mlkv *db = open_store(folder);
    enum { ROWS = 48, ROW = 64 << 10 };
    mlkv_tensor tensor = {MLKV_U8, 2, {ROWS, ROW}};
    mlkv_tensor_options options = {.size = sizeof options, .chunk_bytes = 1 << 20};
    unsigned char *data = random_bytes(ROWS * ROW), *rows = malloc(3 * ROW);
    OK(mlkv_tensor_put(db, TEXT("t"), &tensor, data, &options));
    mlkv_tensor_info info = info_of(db, TEXT("t"));
    ck_assert_uint_eq(info.chunks, 3);
    ck_assert_uint_ge(info.stored_bytes, info.raw_bytes);
    ck_assert_uint_le(info.stored_bytes, info.raw_bytes + 1000);
    ck_assert_uint_eq(blobs_written(db), 3);
    data[ROW * 20 + 5] ^= 1;
    OK(mlkv_tensor_put(db, TEXT("t"), &tensor, data, &options));
    ck_assert_uint_eq(blobs_written(db), 4);
    ck_assert_uint_eq(info_of(db, TEXT("t")).version, 2);
    OK(mlkv_tensor_put(db, TEXT("t"), &tensor, data, &options));
    ck_assert_uint_eq(blobs_written(db), 4);
    ck_assert_uint_eq(info_of(db, TEXT("t")).version, 3);
    check_content(db, TEXT("t"), data, ROWS * ROW);
    OK(mlkv_tensor_read_rows(db, TEXT("t"), 15, 3, rows, 3 * ROW)); /* across a border of chunks */
    ck_assert(memcmp(rows, data + 15 * ROW, 3 * ROW) == 0);
    check_store(db);

    memset(data, 3, ROWS * ROW); /* another chunk size: a new life, compressed this time */
    options.chunk_bytes = 2 << 20;
    OK(mlkv_tensor_put(db, TEXT("t"), &tensor, data, &options));
    info = info_of(db, TEXT("t"));
    ck_assert_uint_eq(info.version, 1);
    ck_assert_uint_eq(info.chunks, 2);
    ck_assert_uint_le(info.stored_bytes, 10000);
    check_content(db, TEXT("t"), data, ROWS * ROW);
    check_store(db);
    OK(mlkv_key_delete(db, (mlkv_slice[]){TEXT("t")}, 1, NULL));
    check_store(db);
    free(data);
    free(rows);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* More than is held in memory: chunks below the blob threshold become blobs too. */
START_TEST(test_many_chunks)
{
    const char *folder = harness_folder();
    mlkv *db = open_store(folder);
    enum { ROWS = 160, ROW = 64 << 10 };
    mlkv_tensor tensor = {MLKV_I64, 2, {ROWS, ROW / 8}};
    unsigned char *data = random_bytes(ROWS * ROW);
    OK(mlkv_tensor_put(db, TEXT("t"), &tensor, data, NULL));
    ck_assert_uint_eq(info_of(db, TEXT("t")).chunks, 40);
    ck_assert_uint_eq(blobs_written(db), 40);
    check_content(db, TEXT("t"), data, ROWS * ROW);
    memcpy(data + 7 * ROW, data, ROW);
    OK(mlkv_tensor_write_rows(db, TEXT("t"), 7, 1, data,
                              ROW)); /* inline from now on: its blob is released */
    check_content(db, TEXT("t"), data, ROWS * ROW);
    check_store(db);
    OK(mlkv_tensor_put(db, TEXT("t"), &tensor, data, NULL)); /* the same bytes: nothing to write */
    ck_assert_uint_eq(blobs_written(db), 40);
    free(data);
    OK(mlkv_close(db));
    db = open_store(folder);
    check_store(db);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

START_TEST(test_views)
{
    mlkv *db = NULL, *transaction = NULL, *snapshot = NULL;
    OK(mlkv_open(NULL, NULL, &db));
    enum { SIZE = 2 << 20 };
    mlkv_tensor tensor = {MLKV_U8, 2, {32, SIZE / 32}};
    mlkv_tensor_options options = {.size = sizeof options, .chunk_bytes = 1 << 20};
    unsigned char *one = random_bytes(SIZE), *two = random_bytes(SIZE);
    OK(mlkv_tensor_put(db, TEXT("t"), &tensor, one, &options));
    OK(mlkv_snapshot(db, &snapshot));
    MUST(MLKV_E_READONLY, mlkv_tensor_put(snapshot, TEXT("t"), &tensor, two, &options));
    MUST(MLKV_E_READONLY, mlkv_tensor_write_rows(snapshot, TEXT("t"), 0, 1, two, SIZE / 32));

    OK(mlkv_begin(db, &transaction));
    OK(mlkv_tensor_put(transaction, TEXT("t"), &tensor, two, &options));
    OK(mlkv_tensor_put(transaction, TEXT("u"), &tensor, one, NULL));
    check_content(transaction, TEXT("t"), two, SIZE);
    check_content(transaction, TEXT("u"), one, SIZE);
    check_content(db, TEXT("t"), one, SIZE);
    OK(mlkv_abort(transaction));
    check_content(db, TEXT("t"), one, SIZE);
    MUST(MLKV_ABSENT, mlkv_tensor_get(db, TEXT("u"), two, SIZE));

    OK(mlkv_begin(db, &transaction));
    OK(mlkv_tensor_put(transaction, TEXT("t"), &tensor, two, &options));
    OK(mlkv_tensor_write_rows(transaction, TEXT("t"), 3, 1, one, SIZE / 32));
    memcpy(two + 3 * (SIZE / 32), one, SIZE / 32);
    OK(mlkv_commit(transaction));
    check_content(db, TEXT("t"), two, SIZE);
    ck_assert_uint_eq(info_of(db, TEXT("t")).version, 3);
    check_content(snapshot, TEXT("t"), one, SIZE);
    ck_assert_uint_eq(info_of(snapshot, TEXT("t")).version, 1);
    OK(mlkv_close(snapshot));
    check_store(db);
    free(one);
    free(two);
    OK(mlkv_close(db));
}
END_TEST

/* Long keys, and keys with any bytes. */
START_TEST(test_keys)
{
    mlkv *db = NULL;
    OK(mlkv_open(NULL, NULL, &db));
    char name[2000];
    memset(name, 'n', sizeof name);
    for (size_t size = 0; size < sizeof name; size += size < 500 || size > 520 ? 97 : 1) {
        uint64_t value = size;
        mlkv_tensor scalar = {.dtype = MLKV_U64};
        OK(mlkv_tensor_put(db, slice_of(name, size), &scalar, &value, NULL));
    }
    for (size_t size = 0; size < sizeof name; size += size < 500 || size > 520 ? 97 : 1) {
        uint64_t value = 0;
        OK(mlkv_tensor_get(db, slice_of(name, size), &value, sizeof value));
        ck_assert_uint_eq(value, size);
    }
    check_store(db);
    OK(mlkv_close(db));
}
END_TEST

#ifdef MLKV_FAULTS
enum { SHARED_ROWS = 2, SHARED_COLUMNS = 100000 };
static mlkv *sharing_store;
static float sharing_data[3]
                         [SHARED_ROWS *
                          SHARED_COLUMNS]; /* AB, ab with only b new, the other's with only a new */
static const mlkv_tensor sharing_tensor = {MLKV_F32, 2, {SHARED_ROWS, SHARED_COLUMNS}};
static const mlkv_tensor_options sharing_options = {.size = sizeof sharing_options,
                                                    .chunk_bytes = SHARED_COLUMNS * sizeof(float)};

/* Another put comes in between: it changes the chunk that this one has found unchanged. */
static void put_in_between(fault_point point)
{
    if (point != FAULT_BLOB_WRITTEN)
        return;
    fault_observe(NULL);
    OK(mlkv_tensor_put(sharing_store, TEXT("t"), &sharing_tensor, sharing_data[2],
                       &sharing_options));
}

/* R8: which chunks are shared with what stands there is decided under the writer lock. Fails
 * under R08-shared-outside-the-lock of tests/broken. */
START_TEST(test_sharing_is_decided_under_the_lock)
{
    static float got[SHARED_ROWS * SHARED_COLUMNS];
    sharing_store = memory_store();
    for (size_t i = 0; i < SHARED_ROWS * SHARED_COLUMNS; i++) {
        fill_noise(&sharing_data[0][i], sizeof(float), i);
        bool first = i < SHARED_COLUMNS;
        sharing_data[1][i] = sharing_data[0][i] + (first ? 0 : 1);
        sharing_data[2][i] = sharing_data[0][i] + (first ? 1 : 0);
        if (sharing_data[0][i] != sharing_data[0][i]) /* not a number: equal to nothing */
            sharing_data[0][i] = sharing_data[1][i] = sharing_data[2][i] = (float)i;
    }
    OK(mlkv_tensor_put(sharing_store, TEXT("t"), &sharing_tensor, sharing_data[0],
                       &sharing_options));
    fault_observe(put_in_between);
    OK(mlkv_tensor_put(sharing_store, TEXT("t"), &sharing_tensor, sharing_data[1],
                       &sharing_options));
    fault_observe(NULL);
    OK(mlkv_tensor_get(sharing_store, TEXT("t"), got, sizeof got));
    ck_assert_int_eq(memcmp(got, sharing_data[1], sizeof got), 0);
    check_store(sharing_store);
    OK(mlkv_close(sharing_store));
}
END_TEST
#endif

int main(void)
{
    Suite *suite = suite_create("tensor");
    TCase *forms = harness_case(suite, "form"), *stores = harness_case(suite, "store");
    tcase_add_test(forms, test_form);
    tcase_add_test(forms, test_form_refused);
    tcase_add_test(forms, test_form_hostile);
    tcase_add_test(stores, test_round_trip);
    tcase_add_test(stores, test_empty);
    tcase_add_test(stores, test_arguments);
    tcase_add_test(stores, test_rows);
    tcase_add_test(stores, test_changed_chunks);
    tcase_add_test(stores, test_many_chunks);
    tcase_add_test(stores, test_views);
    tcase_add_test(stores, test_keys);
#ifdef MLKV_FAULTS
    tcase_add_test(harness_case(suite, "rules"), test_sharing_is_decided_under_the_lock);
#endif
    return harness_run(suite);
}
