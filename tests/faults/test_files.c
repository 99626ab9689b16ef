/* test_files.c - imports and exports under calls that fail: each allocation once, and each call on the files once or cut short.
 *
 * What must hold:
 *  1. The call that met the failure says so; no other result comes. An import that failed has changed nothing, one that did not is there
 *     whole; an exported file is the old one or the new one.
 *  2. No memory and no hidden file is left.
 */
#include "harness.h"
#include "inject.h"

#include <dirent.h>
#include <mlkv/mlkv.h>
#include <string.h>

enum { ROWS = 300, COLUMNS = 100, BYTES = ROWS * COLUMNS, CALLS = 4, WARM_UPS = 3 };

static char root[512], store[600], files[600], in_tensors[700], out_tensors[700], in_npy[700],
    out_npy[700];
static unsigned char was[BYTES], will[BYTES];

static void write_whole(const char *path, const char *header, size_t size, const void *data)
{
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(header, 1, size, file), size);
    ck_assert_uint_eq(fwrite(data, 1, BYTES, file), BYTES);
    ck_assert_int_eq(fclose(file), 0);
}

/* The files that are imported: a tensor of two that is will, and the same as an array in Fortran's order. */
static void make_files(void)
{
    static const char header[] =
        "\140\0\0\0\0\0\0\0{\"__metadata__\":{\"k\":\"v\"},\"a\":{\"dtype\":\"U8\","
        "\"shape\":[300,100],\"data_offsets\":[0,30000]}}        ";
    static const char npy[] =
        "\x93NUMPY\1\0\101\0{'descr': '|u1', 'fortran_order': True, 'shape': (300, 100)}    \n";
    static unsigned char columns[BYTES];
    for (size_t i = 0; i < BYTES; i++) {
        was[i] = (unsigned char)(i * 7);
        will[i] = (unsigned char)(i * 31 + i / 999);
    }
    for (size_t row = 0; row < ROWS; row++)
        for (size_t column = 0; column < COLUMNS; column++)
            columns[column * ROWS + row] = will[row * COLUMNS + column];
    ck_assert_uint_eq((unsigned char)header[0] + 8, sizeof header - 1);
    ck_assert_uint_eq((unsigned char)npy[8] + 10, sizeof npy - 1);
    write_whole(in_tensors, header, sizeof header - 1, will);
    write_whole(in_npy, npy, sizeof npy - 1, columns);
}

static void make_folder(void)
{
    if (getenv("MLKV_TEST_FOLDER") == NULL && access("/dev/shm", W_OK) == 0)
        ck_assert_int_eq(setenv("MLKV_TEST_FOLDER", "/dev/shm", 1), 0);
    (void)snprintf(root, sizeof root, "%s", harness_folder());
    (void)snprintf(store, sizeof store, "%s/store", root);
    (void)snprintf(files, sizeof files, "%s/files", root);
    ck_assert_int_eq(mkdir(files, 0700), 0);
    (void)snprintf(in_tensors, sizeof in_tensors, "%s/in", files);
    (void)snprintf(out_tensors, sizeof out_tensors, "%s/out", files);
    (void)snprintf(in_npy, sizeof in_npy, "%s/in.npy", files);
    (void)snprintf(out_npy, sizeof out_npy, "%s/out.npy", files);
    make_files();
}

static unsigned count_files(void)
{
    unsigned count = 0;
    DIR *entries = opendir(files);
    ck_assert_ptr_nonnull(entries);
    while (readdir(entries) != NULL)
        count++;
    (void)closedir(entries);
    return count - 2; /* "." and ".." */
}

/* What the end of a file is; false: there is none. */
static bool ends_in(const char *path, const void *data)
{
    static unsigned char got[BYTES];
    FILE *file = fopen(path, "rb");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fseek(file, -BYTES, SEEK_END), 0);
    ck_assert_uint_eq(fread(got, 1, BYTES, file), BYTES);
    ck_assert_int_eq(fclose(file), 0);
    return memcmp(got, data, BYTES) == 0;
}

static void expect_tensor(mlkv *db, mlkv_slice key, bool done)
{
    static unsigned char got[BYTES];
    OK(mlkv_tensor_get(db, key, got, BYTES));
    ck_assert(memcmp(got, done ? will : was, BYTES) == 0);
}

static void run_calls(mlkv *db, int results[CALLS])
{
    mlkv_rows keys = {0}, metadata = {0};
    mlkv_file_info info = {.size = sizeof info};
    mlkv_file_options options = {.size = sizeof options, .block_bytes = 40000, .chunk_bytes = 5000};
    mlkv_pair pair = {TEXT("k"), TEXT("v")};
    results[0] =
        mlkv_safetensors_import(db, in_tensors, TEXT("t/"), &options, &keys, &metadata, &info);
    results[1] = mlkv_npy_import(db, TEXT("n"), in_npy, 0, &options, &info);
    results[2] =
        mlkv_safetensors_export(db, out_tensors, TEXT("o/"), &pair, 1, &options, &keys, &info);
    results[3] = mlkv_npy_export(db, TEXT("o/b"), out_npy, &options, &info);
    mlkv_rows_free(&keys);
    mlkv_rows_free(&metadata);
}

/* One round in a new store; whether the plan struck. */
static bool round_once(const inject_plan *plan, unsigned allowed)
{
    const mlkv_tensor form = {MLKV_U8, 2, {ROWS, COLUMNS}};
    mlkv_options options = {.size = sizeof options, .ring_bytes = 1 << 20, .cache_bytes = 1 << 20};
    mlkv_tensor_options small = {.size = sizeof small, .chunk_bytes = 5000};
    mlkv_report report = {.size = sizeof report};
    mlkv *db = NULL;
    int results[CALLS];
    OK(mlkv_open(store, &options, &db));
    OK(mlkv_tensor_put(db, TEXT("t/a"), &form, was, &small));
    OK(mlkv_tensor_put(db, TEXT("n"), &form, was, NULL));
    OK(mlkv_tensor_put(db, TEXT("o/b"), &form, will, NULL));
    write_whole(out_tensors, "", 0, was);
    write_whole(out_npy, "", 0, was);
    OK(mlkv_flush(db, MLKV_STORE)); /* so that a snapshot has nothing to wait for */
    inject_arm(plan);
    run_calls(db, results);
    (void)inject_disarm();
    bool struck = inject_hits() != 0;
    unsigned failed = 0;
    for (int i = 0; i < CALLS; i++) {
        failed += results[i] != MLKV_OK;
        ck_assert_msg(results[i] == MLKV_OK ||
                          (results[i] < 0 && (allowed & 1U << -results[i]) != 0),
                      "call %d: %s: %s", i, mlkv_error_name(results[i]), mlkv_error_detail());
    }
    ck_assert_msg(failed <= 1, "%u calls failed of one failure", failed);
    expect_tensor(db, TEXT("t/a"), results[0] == MLKV_OK);
    expect_tensor(db, TEXT("n"), results[1] == MLKV_OK);
    if (plan->kinds == INJECT_ALLOCATION ||
        results[2] == MLKV_OK) /* else the folder may have failed to be synced */
        ck_assert(ends_in(out_tensors, results[2] == MLKV_OK ? will : was));
    if (plan->kinds == INJECT_ALLOCATION || results[3] == MLKV_OK)
        ck_assert(ends_in(out_npy, results[3] == MLKV_OK ? will : was));
    ck_assert(ends_in(out_tensors, was) || ends_in(out_tensors, will));
    ck_assert(ends_in(out_npy, was) || ends_in(out_npy, will));
    ck_assert_uint_eq(count_files(), 4);
    OK(mlkv_verify(db, NULL, NULL, &report));
    OK(mlkv_close(db));
    return struck;
}

START_TEST(each_allocation_fails_once)
{
    int64_t alive = 0;
    uint64_t nth = 0;
    make_folder();
    for (int i = 0; i < WARM_UPS; i++) {
        ck_assert(!round_once(&(inject_plan){INJECT_ALLOCATION, 0, 1, ENOMEM, true}, 0));
        alive = inject_alive();
    }
    bool struck;
    do {
        inject_caption("test_files: allocation %llu", (unsigned long long)++nth);
        struck = round_once(&(inject_plan){INJECT_ALLOCATION, nth, 1, ENOMEM, true},
                            1U << -MLKV_E_MEMORY);
        int64_t now = inject_alive();
        ck_assert_msg(now <= alive, "allocation %llu failed and %lld others leaked",
                      (unsigned long long)nth, (long long)(now - alive));
    } while (struck);
    ck_assert_uint_gt(nth, 50);
    harness_remove(root);
}
END_TEST

static const unsigned io_kinds[] = {INJECT_OPEN, INJECT_READ, INJECT_WRITE, INJECT_SYNC,
                                    INJECT_NAME};

START_TEST(each_call_on_the_files_fails_once)
{
    static const int errors[] = {EIO, ENOSPC, EINTR};
    unsigned hits = 0;
    make_folder();
    inject_watch(files);
    for (size_t kind = 0; kind < sizeof io_kinds / sizeof io_kinds[0]; kind++) {
        for (size_t error = 0; error < sizeof errors / sizeof errors[0]; error++) {
            unsigned allowed = 1U << -(errors[error] == ENOSPC ? MLKV_E_FULL : MLKV_E_IO);
            if (errors[error] == EINTR && io_kinds[kind] != INJECT_NAME)
                allowed = 0; /* it goes on */
            for (uint64_t nth = 1;; nth++) {
                inject_caption("test_files: kind %x error %d call %llu", io_kinds[kind],
                               errors[error], (unsigned long long)nth);
                if (!round_once(&(inject_plan){io_kinds[kind], nth, 1, errors[error], true},
                                allowed))
                    break;
                hits++;
            }
        }
    }
    ck_assert_uint_gt(hits, 60);
    for (uint64_t nth = 1; nth < 12; nth++) /* writes that take half */
        (void)round_once(&(inject_plan){INJECT_WRITE, nth, 3, 0, true}, 0);
    harness_remove(root);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("files");
    TCase *tcase = harness_case(suite, "files");
    tcase_add_test(tcase, each_allocation_fails_once);
    tcase_add_test(tcase, each_call_on_the_files_fails_once);
    return harness_run(suite);
}
