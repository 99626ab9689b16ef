/* test_golden_tensors.c - tensors that an earlier build of this format version stored, and payloads that it gave, are read as what they
 * were: every dtype, in every kind of cell and of blob piece, compared with golden_tensors.h, which makes them from nothing.
 *
 * MLKV_GOLDEN names tests/golden; a folder there is copied first. The same is asked of a store that is written now.
 */
#include "golden_tensors.h"
#include "types/stores.h"
#include "types/tensor.h"

#include "codec/cell.h"

static const char *golden_folder(void)
{
    const char *golden = getenv("MLKV_GOLDEN");
    ck_assert_msg(golden != NULL, "MLKV_GOLDEN is not set: run the tests through meson");
    return golden;
}

static mlkv_slice name_of(const golden_tensor *one)
{
    return slice_of(one->name, strlen(one->name));
}

/* --- what is in the records --- */

typedef struct {
    int cells[256], pieces[256]; /* by kind */
} kinds_found;

static void count_kinds(mlkv *view, kinds_found *ret_kinds)
{
    scan *walk = NULL;
    mlkv_slice key, value;
    *ret_kinds = (kinds_found){{0}, {0}};
    OK(scan_open(view, TEXT("T"), slice_of(NULL, 0), &walk));
    while (scan_next(walk, &key, &value) == MLKV_OK) {
        ret_kinds->cells[((const unsigned char *)value.data)[TENSOR_CHUNK_HEAD_SIZE]]++;
    }
    scan_close(walk);
    OK(scan_open(view, TEXT("B"), slice_of(NULL, 0), &walk));
    while (scan_next(walk, &key, &value) == MLKV_OK) {
        ret_kinds->pieces[((const unsigned char *)value.data)[4]]++;
    }
    scan_close(walk);
}

/* --- the store --- */

static void check_tensor(mlkv *view, int i)
{
    static unsigned char want[GOLDEN_BYTES_MAX], got[GOLDEN_BYTES_MAX];
    golden_tensor one = golden_tensor_of(i);
    mlkv_tensor_info info = {.size = sizeof info};
    OK(mlkv_tensor_get_info(view, name_of(&one), &info));
    ck_assert_int_eq(info.tensor.dtype, one.tensor.dtype);
    ck_assert_uint_eq(info.tensor.dimensions, one.tensor.dimensions);
    for (uint32_t d = 0; d < one.tensor.dimensions; d++)
        ck_assert_uint_eq(info.tensor.shape[d], one.tensor.shape[d]);
    ck_assert_uint_eq(info.raw_bytes, one.size);
    ck_assert_uint_eq(info.version, one.changed ? 2 : 1);
    golden_tensor_fill(i, &one, want);
    OK(mlkv_tensor_get(view, name_of(&one), got, one.size));
    ck_assert_msg(memcmp(got, want, one.size) == 0, "tensor '%s' has other bytes", one.name);
    if (info.rows != 0 && one.size != 0) { /* its last row, alone */
        uint64_t last = info.rows - 1;
        OK(mlkv_tensor_gather(view, name_of(&one), &last, 1, got, info.row_bytes));
        ck_assert(memcmp(got, want + last * info.row_bytes, info.row_bytes) == 0);
    }
}

/* Every way of storing that this version has is there, or the rest would prove little. */
static void check_kinds(mlkv *view)
{
    static const int cells_least[] = {20, 5, GOLDEN_BLOBS, 20}, pieces_least[] = {6, 1, 0, 6};
    kinds_found found;
    count_kinds(view, &found);
    for (int kind = CELL_RAW; kind <= CELL_PLANES; kind++) {
        ck_assert_msg(found.cells[kind] >= cells_least[kind], "%d cells of kind %d",
                      found.cells[kind], kind);
        ck_assert_msg(found.pieces[kind] >= pieces_least[kind], "%d pieces of kind %d",
                      found.pieces[kind], kind);
    }
}

static void check_all(mlkv *view)
{
    mlkv_report report = {.size = sizeof report};
    check_kinds(view);
    for (int i = 0; i < GOLDEN_TENSORS; i++)
        check_tensor(view, i);
    OK(mlkv_verify(view, NULL, NULL, &report));
    ck_assert_uint_eq(report.problems, 0);
    ck_assert_uint_eq(report.keys, GOLDEN_TENSORS);
}

/* Written to as well: an element in the middle of a chunk of each way of storing. */
static void change(mlkv *db)
{
    for (int i = 0; i < GOLDEN_TENSORS; i++) {
        golden_tensor one = golden_tensor_of(i);
        unsigned char row[4096], old[4096];
        mlkv_tensor_info info = {.size = sizeof info};
        OK(mlkv_tensor_get_info(db, name_of(&one), &info));
        if (info.row_bytes == 0 || info.row_bytes > sizeof row || info.rows < 3)
            continue;
        memset(row, 1, sizeof row);
        OK(mlkv_tensor_read_rows(db, name_of(&one), 2, 1, old, info.row_bytes));
        OK(mlkv_tensor_write_rows(db, name_of(&one), 2, 1, row, info.row_bytes));
        OK(mlkv_tensor_write_rows(db, name_of(&one), 2, 1, old, info.row_bytes));
    }
    verify_all(db);
}

START_TEST(opens_what_was_stored)
{
    const char *folder = harness_folder();
    char command[1600];
    mlkv *db = NULL, *snapshot = NULL;
    snprintf(command, sizeof command, "cp '%s/v1/tensors/'* '%s/' && chmod u+w '%s/'*",
             golden_folder(), folder, folder);
    ck_assert_int_eq(system(command), 0);
    db = folder_store(folder);
    check_all(db);
    OK(mlkv_snapshot(db, &snapshot));
    change(db);
    check_all(snapshot);
    OK(mlkv_close(snapshot));
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* What makes the golden store still makes such a one. */
START_TEST(stores_it_so_today)
{
    mlkv *db = NULL;
    mlkv_options options = {.size = sizeof options, .ring_bytes = GOLDEN_RING};
    OK(mlkv_open(NULL, &options, &db));
    OK(golden_tensors_put(db));
    check_all(db);
    OK(mlkv_close(db));
}
END_TEST

/* --- payloads --- */

static void read_payload(const char *name, mlkv_buffer *ret_payload)
{
    char path[1024];
    struct stat status;
    snprintf(path, sizeof path, "%s/v1/payloads/%s.payload", golden_folder(), name);
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL && fstat(fileno(file), &status) == 0, "%s", path);
    ret_payload->data = malloc((size_t)status.st_size);
    ret_payload->size = fread(ret_payload->data, 1, (size_t)status.st_size, file);
    ck_assert_int_eq((long)ret_payload->size, status.st_size);
    (void)fclose(file);
}

/* What was put is what is restored, and is dumped as the same bytes: a content has one payload. */
START_TEST(restores_payloads)
{
    mlkv *db = memory_store(), *made = memory_store();
    char name[48];
    OK(golden_others_put(made));
    OK(golden_tensors_put(made));
    for (int i = 0; i < GOLDEN_PAYLOADS; i++) {
        mlkv_buffer payload = {0}, again = {0};
        golden_payload_key(i, name);
        mlkv_slice key = slice_of_text(name);
        read_payload(name, &payload);
        OK(mlkv_key_restore(db, key, slice_of_buffer(&payload), 0, 0));
        OK(mlkv_key_dump(db, key, &again));
        IS(slice_of_buffer(&payload), again);
        OK(mlkv_key_dump(made, key, &again));
        IS(slice_of_buffer(&payload), again);
        mlkv_buffer_free(&payload);
        mlkv_buffer_free(&again);
    }
    for (int i = 0; i < GOLDEN_TENSORS; i++) {
        golden_tensor one = golden_tensor_of(i);
        mlkv_tensor_info info = {.size = sizeof info};
        if (mlkv_tensor_get_info(db, name_of(&one), &info) == MLKV_ABSENT)
            continue;
        static unsigned char want[GOLDEN_BYTES_MAX], got[GOLDEN_BYTES_MAX];
        golden_tensor_fill(i, &one, want);
        OK(mlkv_tensor_get(db, name_of(&one), got, one.size));
        ck_assert_msg(memcmp(got, want, one.size) == 0, "tensor '%s' has other bytes", one.name);
    }
    ck_assert_uint_eq(key_count(db), GOLDEN_PAYLOADS);
    verify_all(db);
    OK(mlkv_close(made));
    OK(mlkv_close(db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("golden_tensors");
    TCase *tcase = harness_case(suite, "golden_tensors");
    tcase_add_test(tcase, opens_what_was_stored);
    tcase_add_test(tcase, stores_it_so_today);
    tcase_add_test(tcase, restores_payloads);
    return harness_run(suite);
}
