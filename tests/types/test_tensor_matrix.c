/* test_tensor_matrix.c - the whole product: every dtype, shape, content and chunk size is put and read back, and is what it was.
 *
 * The oracle is the data itself, which golden_tensors.h makes from nothing. Contents make the codec choose raw bytes, frames and planes;
 * the store's small ring makes chunks from 4 KiB on blobs, so the larger chunk sizes give blobs of all three, with odd tails. Each
 * tensor is asked whole, by a range of rows, by gathered rows and as a payload; the same put again writes nothing, one changed element
 * one chunk.
 */
#include "stores.h"
#include "system/golden_tensors.h"
#include "types/tensor.h"

#include "codec/cell.h"

enum { SIZE_MAX_BYTES = 16 * 6000, GATHERED = 40, CONTENTS = GOLDEN_CONTENTS + 1, SHAPES = 11 };

/* dtype is filled in. */
static const mlkv_tensor shapes[SHAPES] = {
    {0, 0, {0}},                      /* a scalar */
    {0, 1, {0}},                      /* nothing */
    {0, 3, {3, 0, 5}},                /* rows without bytes */
    {0, 2, {0, 7}},                   /* no rows */
    {0, 1, {1}},                      /* one element */
    {0, 2, {1, 777}},                 /* one row, longer than small chunks */
    {0, 1, {1001}},                   /* an odd count */
    {0, 2, {37, 13}},                 /* odd tails everywhere */
    {0, 8, {3, 1, 2, 1, 5, 2, 1, 7}}, /* all dimensions */
    {0, 8, {1, 1, 1, 1, 1, 1, 1, 1}}, /* all of them 1 */
    {0, 2, {6000, 1}},                /* many short rows */
};
static const size_t chunk_sizes[] = {0, 100, 1600, 5000, 20 << 10};
enum { CHUNK_SIZES = sizeof chunk_sizes / sizeof *chunk_sizes };

static unsigned char data[SIZE_MAX_BYTES], got[SIZE_MAX_BYTES];

static void fill(const mlkv_tensor *tensor, int content, size_t size)
{
    golden_tensor one = {.tensor = *tensor, .size = size, .content = (golden_content)content};
    if (content == GOLDEN_CONTENTS) /* all alike; 1 is good in every dtype */
        memset(data, 1, size);
    else
        golden_tensor_fill(tensor->dtype + 100 * content, &one, data);
}

static size_t size_of(const mlkv_tensor *tensor)
{
    size_t size = mlkv_dtype_size((mlkv_dtype)tensor->dtype);
    for (uint32_t d = 0; d < tensor->dimensions; d++)
        size *= tensor->shape[d];
    return size;
}

static void expect(const void *bytes, const void *want, size_t size, const mlkv_tensor *tensor)
{
    if (size != 0 && memcmp(bytes, want, size) != 0)
        ck_abort_msg("%s has other bytes", tensor_text(tensor));
}

/* Whole, its rows [1, n - 1), and some of its rows in no order, one of them twice. */
static void read_back(mlkv *view, const mlkv_tensor *tensor, size_t size)
{
    mlkv_tensor_info info = {.size = sizeof info};
    uint64_t rows[GATHERED];
    size_t n = 0;
    OK(mlkv_tensor_get_info(view, TEXT("t"), &info));
    ck_assert(tensor_same(&info.tensor, tensor));
    ck_assert_uint_eq(info.raw_bytes, size);
    memset(got, 99, sizeof got);
    OK(mlkv_tensor_get(view, TEXT("t"), got, size));
    expect(got, data, size, tensor);
    if (info.rows > 2) {
        size_t part = (info.rows - 2) * info.row_bytes;
        memset(got, 99, sizeof got);
        OK(mlkv_tensor_read_rows(view, TEXT("t"), 1, info.rows - 2, got, part));
        expect(got, data + info.row_bytes, part, tensor);
    }
    for (; n < GATHERED && info.rows > 0 && info.row_bytes * (n + 1) <= sizeof got; n++)
        rows[n] = n == 1 ? rows[0] : golden_mix(n + info.rows) % info.rows;
    memset(got, 99, sizeof got);
    OK(mlkv_tensor_gather(view, TEXT("t"), rows, n, got, n * info.row_bytes));
    for (size_t i = 0; i < n; i++)
        expect(got + i * info.row_bytes, data + rows[i] * info.row_bytes, info.row_bytes, tensor);
}

/* The same again writes nothing; one changed element, one chunk. */
static void put_again(mlkv *db, const mlkv_tensor *tensor, const mlkv_tensor_options *options,
                      size_t size)
{
    uint64_t written = 99;
    OK(mlkv_tensor_put_counted(db, TEXT("t"), tensor, data, options, &written));
    ck_assert_uint_eq(written, 0);
    if (size == 0)
        return;
    data[size / 2] ^= 1;
    OK(mlkv_tensor_put_counted(db, TEXT("t"), tensor, data, options, &written));
    ck_assert_uint_eq(written, 1);
}

static void as_payload(mlkv *db, const mlkv_tensor *tensor, size_t size)
{
    mlkv_buffer payload = {0};
    OK(mlkv_key_dump(db, TEXT("t"), &payload));
    OK(mlkv_key_restore(db, TEXT("t"), slice_of_buffer(&payload), 0, MLKV_RESTORE_REPLACE));
    mlkv_buffer_free(&payload);
    read_back(db, tensor, size);
}

/* Which kinds of cells and of pieces the tensor that stands there is made of. */
static void note_kinds(mlkv *db, bool cells[256], bool pieces[256])
{
    scan *walk = NULL;
    mlkv_slice key, value;
    OK(scan_open(db, TEXT("T"), slice_of(NULL, 0), &walk));
    while (scan_next(walk, &key, &value) == MLKV_OK)
        cells[((const unsigned char *)value.data)[TENSOR_CHUNK_HEAD_SIZE]] = true;
    scan_close(walk);
    OK(scan_open(db, TEXT("B"), slice_of(NULL, 0), &walk));
    while (scan_next(walk, &key, &value) == MLKV_OK)
        pieces[((const unsigned char *)value.data)[4]] = true;
    scan_close(walk);
}

/* One dtype a test, so that each has a process and a store of its own. */
START_TEST(every_form)
{
    mlkv *db = NULL;
    mlkv_options store = {.size = sizeof store, .ring_bytes = GOLDEN_RING};
    bool cells[256] = {false}, pieces[256] = {false};
    OK(mlkv_open(NULL, &store, &db));
    for (int n = 0; n < SHAPES * CONTENTS * CHUNK_SIZES; n++) {
        mlkv_tensor tensor = shapes[n % SHAPES];
        mlkv_tensor_options options = {.size = sizeof options,
                                       .chunk_bytes =
                                           chunk_sizes[n / SHAPES / CONTENTS % CHUNK_SIZES]};
        tensor.dtype = _i;
        size_t size = size_of(&tensor);
        ck_assert_uint_le(size, sizeof data);
        fill(&tensor, n / SHAPES % CONTENTS, size);
        OK(mlkv_tensor_put(db, TEXT("t"), &tensor, data, &options));
        read_back(db, &tensor, size);
        put_again(db, &tensor, &options, size);
        read_back(db, &tensor, size);
        if (n % SHAPES >= 6 && n % 2 == 0)
            as_payload(db, &tensor, size);
        note_kinds(db, cells, pieces);
    }
    ck_assert(cells[CELL_RAW] && cells[CELL_BLOB] && (pieces[CELL_RAW] || _i == MLKV_BOOL));
    ck_assert(cells[CELL_PLANES] || cells[CELL_ZSTD]); /* bytes alone are a frame */
    ck_assert(pieces[CELL_PLANES] || pieces[CELL_ZSTD]);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tensor_matrix");
    TCase *tcase = harness_case(suite, "tensor_matrix");
    tcase_add_loop_test(tcase, every_form, MLKV_F64, MLKV_C128 + 1);
    return harness_run(suite);
}
