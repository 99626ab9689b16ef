/* test_safetensors.c - importing safetensors files: all or nothing, whatever the file, other writers, or a kill do; in bounded memory. */
#include "safetensors_files.h"

#include <mlkv/string.h>
#include <signal.h>
#include <sys/resource.h>

START_TEST(every_dtype_and_shape)
{
    begin();
    made_file *file = full_file();
    const char *path = finish_file(file, "x");
    static const size_t blocks[] = {0, 1, 100, 5000};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        char prefix[8];
        mlkv_rows keys = {0}, metadata = {0};
        mlkv_file_info info = {.size = sizeof info};
        mlkv_file_options options = {
            .size = sizeof options, .block_bytes = blocks[i], .chunk_bytes = i * 100};
        (void)snprintf(prefix, sizeof prefix, "m%zu/", i);
        OK(mlkv_safetensors_import(db, path, slice_of_text(prefix), &options, &keys, &metadata,
                                   &info));
        expect_file(db, file, prefix);
        ck_assert_uint_eq(keys.count, file->n);
        ck_assert(info.tensors == file->n && info.bytes == file->data.size);
        ck_assert_uint_eq(metadata.count, 0);
        for (size_t k = 0; k < keys.count; k++)
            ck_assert(slice_starts_with(keys.items[k], slice_of_text(prefix)) &&
                      keys.items[k].size == 3 + file->rows[k].name.size);
        mlkv_rows_free(&keys);
        mlkv_rows_free(&metadata);
    }
    free_file(file);
    end();
}
END_TEST

/* Small tensors and large ones of several dtypes, more than is held in memory: groups over their ends, blobs and not. */
START_TEST(more_than_is_held)
{
    begin();
    made_file *file = new_file();
    for (int i = 0; i < 60; i++) {
        int dtype = i % 7 == 0 ? MLKV_U16 : MLKV_F32;
        uint64_t rows = i % 3 == 0 ? 1 : (uint64_t)(100 + i);
        make_tensor(file, (mlkv_tensor){dtype, 2, {rows, 1024}},
                    (size_t)rows * 1024 * mlkv_dtype_size((mlkv_dtype)dtype));
    }
    const char *path = finish_file(file, "x");
    mlkv_file_info info = {.size = sizeof info};
    mlkv_file_options options = {.size = sizeof options, .block_bytes = 3 << 20};
    OK(mlkv_safetensors_import(db, path, TEXT(""), &options, NULL, NULL, &info));
    expect_file(db, file, "");
    ck_assert_uint_gt(info.chunks_written, 60);
    OK(mlkv_safetensors_import(db, path, TEXT(""), &options, NULL, NULL, &info));
    ck_assert_uint_eq(info.chunks_written, 0);
    ((unsigned char *)file->data.data)[file->data.size / 2] ^= 1;
    path = finish_file(file, "x");
    OK(mlkv_safetensors_import(db, path, TEXT(""), &options, NULL, NULL, &info));
    ck_assert_uint_eq(info.chunks_written, 1);
    expect_file(db, file, "");
    free_file(file);
    end();
}
END_TEST

/* Imported contiguous, tensors can be lent, and importing again leaves them so. */
START_TEST(contiguous)
{
    begin();
    made_file *file = plain_file(7, 300);
    make_tensor(file, (mlkv_tensor){MLKV_F32, 2, {3000, 1000}}, 12000000);
    const char *path = finish_file(file, "x");
    mlkv_file_options options = {.size = sizeof options, .contiguous = 1};
    mlkv_file_info info = {.size = sizeof info};
    for (int i = 0; i < 2; i++) {
        OK(mlkv_safetensors_import(db, path, TEXT("m/"), &options, NULL, NULL, &info));
        ck_assert(i == 0 || info.chunks_written == 0);
        for (size_t k = 0; k < file->n; k++) {
            mlkv_tensor_info tensor = {.size = sizeof tensor};
            mlkv_loan *loan = NULL;
            void *data = NULL;
            char key[64];
            int size = snprintf(key, sizeof key, "m/%s", file->names[k]);
            OK(mlkv_tensor_borrow(db, slice_of(key, (size_t)size), 0, &tensor, &data, &loan));
            ck_assert(tensor.contiguous == 1 && tensor.raw_bytes == file->rows[k].bytes);
            ck_assert(memcmp(data, (const char *)file->data.data + file->at[k],
                             (size_t)tensor.raw_bytes) == 0);
            OK(mlkv_loan_return(loan));
        }
    }
    options.contiguous = 2;
    MUST(MLKV_E_ARGUMENT,
         mlkv_safetensors_import(db, path, TEXT("m/"), &options, NULL, NULL, NULL));
    free_file(file);
    end();
}
END_TEST

static void expect_refused(const char *path, int result, const char *why)
{
    uint64_t before = store_digest(db);
    mlkv_rows keys = {0};
    mlkv_file_info info = {.size = sizeof info, .bytes = 77};
    int got = mlkv_safetensors_import(db, path, TEXT("new/"), NULL, &keys, NULL, &info);
    if (got != result || strstr(mlkv_error_detail(), why) == NULL)
        ck_abort_msg("got %s: %s, want '%s'", mlkv_error_name(got), mlkv_error_detail(), why);
    ck_assert_uint_eq(store_digest(db), before);
    ck_assert(keys.count == 0 && keys.items == NULL && info.bytes == 77);
}

START_TEST(files_that_are_refused)
{
    begin();
    OK(mlkv_string_set(db, TEXT("new/s"), TEXT("v"), MLKV_SET_ALWAYS));
    expect_refused(path_of("absent"), MLKV_E_IO, "No such file");
    expect_refused(folder, MLKV_E_FORMAT, "not a regular file");
    expect_refused("/dev/zero", MLKV_E_FORMAT, "not a regular file");
    ck_assert_int_eq(mkfifo(path_of("pipe"), 0600), 0);
    expect_refused(path_of("pipe"), MLKV_E_FORMAT, "not a regular file");
    expect_refused(write_file("x", "", 0), MLKV_E_FORMAT, "it has 0 bytes");
    expect_refused(write_file("x", "\2\0\0\0\0\0\0", 7), MLKV_E_FORMAT, "it has 7 bytes");
    expect_refused(write_file("x", "\0\0\0\0\0\0\0\0", 8), MLKV_E_FORMAT, "does not begin");
    expect_refused(write_file("x", "\3\0\0\0\0\0\0\0{}", 10), MLKV_E_FORMAT, "would have 3 bytes");
    expect_refused(write_file("x", "\377\377\377\377\377\377\377\377{}", 10), MLKV_E_FORMAT,
                   "would have 18446744073709551615 bytes");
    const char *path = write_file("x", "\1\341\365\5\0\0\0\0{}", 10); /* 100,000,001 */
    ck_assert_int_eq(truncate(path, 200000000), 0);
    expect_refused(path, MLKV_E_FORMAT, "100000000 are the most");
    static const char wrong[] = "\67\0\0\0\0\0\0\0{\"t\":{\"dtype\":\"BOOL\",\"shape\":[4],"
                                "\"data_offsets\":[0,4]}}\0\1\2\1";
    expect_refused(write_file("x", wrong, sizeof wrong - 1), MLKV_E_FORMAT, "is bool, and is 2");
    static const char other[] = "\67\0\0\0\0\0\0\0{\"s\":{\"dtype\":\"BOOL\",\"shape\":[4],"
                                "\"data_offsets\":[0,4]}}\0\1\1\1";
    expect_refused(write_file("x", other, sizeof other - 1), MLKV_E_TYPE, "string");
    end();
}
END_TEST

START_TEST(every_cut_is_refused)
{
    begin();
    made_file *file = new_file();
    make_tensor(file, (mlkv_tensor){MLKV_F32, 2, {2, 3}}, 24);
    make_tensor(file, (mlkv_tensor){MLKV_BOOL, 1, {3}}, 3);
    finish_file(file, "x");
    for (size_t size = 0; size < file->bytes.size; size++)
        expect_refused(write_file("x", file->bytes.data, size), MLKV_E_FORMAT, "");
    OK(buffer_append(&file->bytes, "x", 1));
    expect_refused(write_file("x", file->bytes.data, file->bytes.size), MLKV_E_FORMAT,
                   "28 are there");
    free_file(file);
    end();
}
END_TEST

START_TEST(arguments)
{
    begin();
    made_file *file = plain_file(1, 2);
    const char *path = finish_file(file, "x");
    mlkv_file_info wrong = {.size = 3};
    struct {
        mlkv_file_options known;
        uint64_t more;
    } options = {{.size = sizeof options}, 0};
    OK(mlkv_safetensors_import(db, path, TEXT(""), &options.known, NULL, NULL, NULL));
    options.more = 1;
    MUST(MLKV_E_ARGUMENT,
         mlkv_safetensors_import(db, path, TEXT(""), &options.known, NULL, NULL, NULL));
    options.known.size = 8;
    MUST(MLKV_E_ARGUMENT,
         mlkv_safetensors_import(db, path, TEXT(""), &options.known, NULL, NULL, NULL));
    options.known =
        (mlkv_file_options){.size = sizeof(mlkv_file_options), .chunk_bytes = (size_t)2 << 30};
    MUST(MLKV_E_ARGUMENT,
         mlkv_safetensors_import(db, path, TEXT(""), &options.known, NULL, NULL, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_safetensors_import(NULL, path, TEXT(""), NULL, NULL, NULL, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_safetensors_import(db, NULL, TEXT(""), NULL, NULL, NULL, NULL));
    MUST(MLKV_E_ARGUMENT,
         mlkv_safetensors_import(db, path, slice_of(NULL, 2), NULL, NULL, NULL, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_safetensors_import(db, path, TEXT(""), NULL, NULL, NULL, &wrong));
    static char huge[(16 << 20) + 1];
    MUST(MLKV_E_SIZE,
         mlkv_safetensors_import(db, path, slice_of(huge, sizeof huge), NULL, NULL, NULL, NULL));
    free_file(file);
    end();
}
END_TEST

START_TEST(views_and_expiries)
{
    begin();
    made_file *file = plain_file(1, 30), *next = plain_file(2, 30);
    const char *path = finish_file(file, "x"), *other = finish_file(next, "y");
    mlkv *tx = NULL, *snapshot = NULL;
    uint64_t count;
    int64_t ttl;
    OK(mlkv_begin(db, &tx));
    OK(import_file(tx, path, "m/"));
    expect_file(tx, file, "m/");
    OK(import_file(tx, other, "m/"));
    expect_file(tx, next, "m/");
    OK(mlkv_key_count(db, &count));
    ck_assert_uint_eq(count, 0);
    OK(mlkv_abort(tx));
    OK(mlkv_key_count(db, &count));
    ck_assert_uint_eq(count, 0);
    OK(mlkv_begin(db, &tx));
    OK(import_file(tx, path, "m/"));
    OK(mlkv_commit(tx));
    expect_file(db, file, "m/");
    OK(mlkv_snapshot(db, &snapshot));
    MUST(MLKV_E_READONLY, import_file(snapshot, other, "m/"));
    OK(mlkv_key_expire(db, TEXT("m/U8 0"), 1000000, MLKV_EXPIRE_ALWAYS));
    OK(import_file(db, path, "m/"));
    OK(mlkv_key_ttl(db, TEXT("m/U8 0"), &ttl));
    ck_assert_int_eq(ttl, MLKV_NO_EXPIRY);
    OK(import_file(db, other, "m/"));
    expect_file(db, next, "m/");
    expect_file(snapshot, file, "m/");
    OK(mlkv_close(snapshot));
    free_file(file);
    free_file(next);
    end();
}
END_TEST

#ifdef MLKV_FAULTS

static unsigned passed, act_at;
static void (*act)(void);

static void watch(watch_point point)
{
    if (point == WATCH_FILE_READ && ++passed == act_at)
        act();
}

static int import_acting(const char *path, unsigned at, void (*what)(void))
{
    passed = 0;
    act_at = at;
    act = what;
    fault_watch(watch);
    int result = import_file(db, path, "m/");
    fault_watch(NULL);
    return result;
}

static void touch(void)
{
    struct timespec times[2] = {{1, 1}, {1, 1}};
    CHILD_MUST(utimensat(AT_FDCWD, path_of("x"), times, 0) == 0);
}

static void cut(void)
{
    CHILD_MUST(truncate(path_of("x"), 1000) == 0);
}

static void overwrite(void)
{
    FILE *file = fopen(path_of("x"), "r+b");
    CHILD_MUST(file != NULL && fseek(file, -1, SEEK_END) == 0 && fputc('x', file) == 'x' &&
               fclose(file) == 0);
    CHILD_MUST(truncate(path_of("x"), 4000000) == 0);
}

START_TEST(a_file_that_changes_meanwhile)
{
    begin();
    made_file *file = plain_file(1, 300), *next = plain_file(2, 300);
    finish_file(next, "x");
    OK(import_file(db, path_of("x"), "m/"));
    static void (*const whats[])(void) = {touch, cut, overwrite};
    for (size_t i = 0; i < 3; i++) {
        for (unsigned at = 1; at < 8; at++) {
            uint64_t before = store_digest(db);
            MUST(MLKV_E_IO, import_acting(finish_file(file, "x"), at, whats[i]));
            ck_assert_uint_eq(passed >= at, 1);
            ck_assert_uint_eq(store_digest(db), before);
        }
    }
    OK(import_acting(finish_file(file, "x"), 1000, touch));
    expect_file(db, file, "m/");
    free_file(file);
    free_file(next);
    end();
}
END_TEST

/* What another thread or process may do to the tensors while the file is read. */
static unsigned char others[300 * 1000];

static void change_a_row(void)
{
    CHILD_MUST(mlkv_tensor_write_rows(db, TEXT("m/U8 1"), 5, 1, others, 1000) == MLKV_OK);
}

static void delete_one(void)
{
    CHILD_MUST(delete_key(TEXT("m/U8 1")) == MLKV_OK);
}

static void replace_one(void)
{
    const mlkv_tensor form = {MLKV_U8, 1, {12345}};
    CHILD_MUST(mlkv_tensor_put(db, TEXT("m/U8 1"), &form, others, NULL) == MLKV_OK);
}

static void make_it_a_string(void)
{
    delete_one();
    CHILD_MUST(mlkv_string_set(db, TEXT("m/U8 1"), TEXT("s"), MLKV_SET_ALWAYS) == MLKV_OK);
}

START_TEST(others_write_meanwhile)
{
    begin();
    made_file *file = plain_file(1, 300);
    const char *path = finish_file(file, "x");
    static void (*const whats[])(void) = {change_a_row, delete_one, replace_one};
    for (size_t i = 0; i < 3; i++) {
        for (unsigned at = 1; at < 10; at++) {
            OK(import_file(db, path, "m/")); /* so that nothing need be encoded, at first */
            OK(import_acting(path, at, whats[i]));
            ck_assert_uint_ge(passed, at < 8 ? at : 8);
            expect_file(db, file, "m/");
        }
    }
    MUST(MLKV_E_TYPE, import_acting(path, 3, make_it_a_string));
    end();
    free_file(file);
}
END_TEST

static void kill_itself(void)
{
    (void)raise(SIGKILL);
}

/* A child imports the other file over the first, and is killed after each piece in turn. */
START_TEST(killed_at_every_piece)
{
    begin();
    made_file *file = plain_file(1, 300), *next = plain_file(2, 9000);
    const char *path = finish_file(file, "x");
    finish_file(next, "y");
    OK(import_file(db, path, "m/"));
    OK(mlkv_close(db));
    for (unsigned at = 2; at < 105; at += 13) {
        int status;
        mlkv_report report = {.size = sizeof report};
        IN_CHILD(status, {
            db = open_store();
            (void)import_acting(path_of("y"), at, kill_itself);
        });
        ck_assert_int_eq(status, -SIGKILL);
        db = open_store();
        expect_file(db, file, "m/");
        uint64_t count;
        OK(mlkv_key_count(db, &count));
        ck_assert_uint_eq(count, 3);
        OK(mlkv_verify(db, NULL, NULL, &report));
        OK(mlkv_close(db));
    }
    db = open_store();
    OK(import_file(db, path_of("y"), "m/"));
    expect_file(db, next, "m/");
    free_file(file);
    free_file(next);
    end();
}
END_TEST

#endif

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MEASURES_MEMORY 0
#else
#define MEASURES_MEMORY 1
#endif

/* A tensor of 512 MiB (a hole in the file) beside a small one. MLKV_LONG: exported too. */
START_TEST(memory_is_bounded)
{
    enum { LARGE = 512 << 20, GROWTH_MAX_KIB = 200 << 10 };
    if (RUNNING_ON_VALGRIND || !MEASURES_MEMORY)
        return;
    begin();
    safetensors_row rows[] = {{TEXT("large"), {MLKV_F32, 2, {LARGE / 4096, 1024}}, LARGE},
                              {TEXT("small"), {MLKV_U8, 1, {5}}, 5}};
    mlkv_buffer bytes = {0};
    OK(safetensors_write(rows, 2, NULL, 0, &bytes));
    const char *path = write_file("x", bytes.data, bytes.size);
    ck_assert_int_eq(truncate(path, (off_t)bytes.size + LARGE + 5), 0);
    mlkv_buffer_free(&bytes);
    bool is_long = getenv("MLKV_LONG") != NULL;
    OK(mlkv_close(db));
    int status;
    IN_CHILD(status, {
        struct rusage before;
        struct rusage after;
        db = open_store();
        CHILD_MUST(getrusage(RUSAGE_SELF, &before) == 0);
        CHILD_MUST(import_file(db, path, "") == MLKV_OK);
        if (is_long)
            CHILD_MUST(mlkv_safetensors_export(db, path_of("y"), TEXT(""), NULL, 0, NULL, NULL,
                                               NULL) == MLKV_OK);
        CHILD_MUST(getrusage(RUSAGE_SELF, &after) == 0);
        fprintf(stderr, "import of 512 MiB: %ld KiB more\n", after.ru_maxrss - before.ru_maxrss);
        CHILD_MUST(after.ru_maxrss - before.ru_maxrss < GROWTH_MAX_KIB);
    });
    ck_assert_int_eq(status, 0);
    db = open_store();
    mlkv_tensor_info info = {.size = sizeof info};
    OK(mlkv_tensor_get_info(db, TEXT("large"), &info));
    ck_assert_uint_eq(info.raw_bytes, LARGE);
    end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("safetensors");
    TCase *tcase = harness_case(suite, "import");
    tcase_add_test(tcase, every_dtype_and_shape);
    tcase_add_test(tcase, more_than_is_held);
    tcase_add_test(tcase, contiguous);
    tcase_add_test(tcase, files_that_are_refused);
    tcase_add_test(tcase, every_cut_is_refused);
    tcase_add_test(tcase, arguments);
    tcase_add_test(tcase, views_and_expiries);
#ifdef MLKV_FAULTS
    tcase_add_test(tcase, a_file_that_changes_meanwhile);
    tcase_add_test(tcase, others_write_meanwhile);
    tcase_add_test(tcase, killed_at_every_piece);
#endif
    tcase_add_test(tcase, memory_is_bounded);
    return harness_run(suite);
}
