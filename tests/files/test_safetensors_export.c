/* test_safetensors_export.c - exporting: what stands in the file, and that there is either a whole one or none. */
#include "safetensors_files.h"

#include <signal.h>
#include <sys/resource.h>

static int export_to(mlkv *view, const char *path, const char *prefix)
{
    return mlkv_safetensors_export(view, path, slice_of_text(prefix), NULL, 0, NULL, NULL, NULL);
}

static void expect_bytes(const char *path, mlkv_slice wanted)
{
    mlkv_buffer bytes = read_file(path);
    ck_assert(slice_equal(slice_of_buffer(&bytes), wanted));
    mlkv_buffer_free(&bytes);
}

START_TEST(round_trips)
{
    static const size_t blocks[] = {0, 1, 100, 5000};
    begin();
    made_file *file = full_file();
    OK(import_file(db, finish_file(file, "x"), "m/"));
    OK(mlkv_string_set(db, TEXT("m/other"), TEXT("is passed over"), MLKV_SET_ALWAYS));
    OK(mlkv_tensor_put(db, TEXT("mlkv:staged:x"), &(mlkv_tensor){MLKV_U8, 0, {0}}, "x", NULL));
    mlkv_buffer first = {0};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        mlkv_rows keys = {0}, metadata = {0};
        mlkv_file_info info = {.size = sizeof info};
        mlkv_file_options options = {.size = sizeof options, .block_bytes = blocks[i]};
        mlkv_pair pairs[] = {{TEXT("k"), TEXT("v\n")}, {TEXT(""), TEXT("")}};
        OK(mlkv_safetensors_export(db, path_of("y"), TEXT("m/"), pairs, 2, &options, &keys, &info));
        ck_assert(info.tensors == file->n && info.bytes == file->data.size &&
                  keys.count == file->n);
        mlkv_rows_free(&keys);
        mlkv_buffer bytes = read_file(path_of("y"));
        ck_assert_uint_eq(load_le64(bytes.data) % 64, 56);
        if (i == 0)
            OK(buffer_assign(&first, bytes.data, bytes.size));
        ck_assert(slice_equal(slice_of_buffer(&bytes), slice_of_buffer(&first)));
        mlkv_buffer_free(&bytes);
        OK(mlkv_safetensors_import(db, path_of("y"), TEXT("n/"), NULL, NULL, &metadata, NULL));
        ck_assert_uint_eq(metadata.count, 4);
        for (size_t k = 0; k < 4; k++)
            ck_assert(slice_equal(metadata.items[k],
                                  k % 2 == 0 ? pairs[k / 2].name : pairs[k / 2].value));
        mlkv_rows_free(&metadata);
        expect_file(db, file, "n/");
    }
    MUST(MLKV_ABSENT, export_to(db, path_of("z"), "mlkv"));
    mlkv_buffer_free(&first);
    free_file(file);
    ck_assert_uint_eq(count_files(), 2);
    end();
}
END_TEST

START_TEST(the_bytes_of_a_small_file)
{
    static const char wanted[] = "\370\0\0\0\0\0\0\0{\"__metadata__\":{\"format\":\"pt\"},"
                                 "\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
                                 "\"a\":{\"dtype\":\"U8\",\"shape\":[2,1],\"data_offsets\":[4,6]},"
                                 "\"b\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[6,7]}}"
                                 "                                                          "
                                 "1234aab";
    mlkv_pair pair = {TEXT("format"), TEXT("pt")};
    begin();
    OK(mlkv_tensor_put(db, TEXT("m.b"), &(mlkv_tensor){MLKV_U8, 0, {0}}, "b", NULL));
    OK(mlkv_tensor_put(db, TEXT("m.a"), &(mlkv_tensor){MLKV_U8, 2, {2, 1}}, "aa", NULL));
    OK(mlkv_tensor_put(db, TEXT("m.w"), &(mlkv_tensor){MLKV_F32, 1, {1}}, "1234", NULL));
    OK(mlkv_safetensors_export(db, path_of("y"), TEXT("m."), &pair, 1, NULL, NULL, NULL));
    mlkv_buffer bytes = read_file(path_of("y"));
    ck_assert_msg(slice_equal(slice_of_buffer(&bytes), slice_of(wanted, sizeof wanted - 1)),
                  "%zu: %.*s", bytes.size, (int)bytes.size - 8, (char *)bytes.data + 8);
    mlkv_buffer_free(&bytes);
    end();
}
END_TEST

START_TEST(each_begins_at_a_multiple_of_its_element)
{
    begin();
    made_file *file = full_file();
    safetensors_header header = {0};
    OK(import_file(db, finish_file(file, "x"), ""));
    OK(export_to(db, path_of("y"), ""));
    mlkv_buffer bytes = read_file(path_of("y"));
    uint64_t size = load_le64(bytes.data);
    OK(safetensors_read(slice_of((char *)bytes.data + 8, (size_t)size), bytes.size - 8 - size,
                        &header));
    for (size_t i = 0; i < safetensors_count(&header); i++) {
        const safetensors_entry *entry = safetensors_entry_at(&header, i);
        ck_assert_uint_eq(entry->first % mlkv_dtype_size((mlkv_dtype)entry->tensor.dtype), 0);
    }
    safetensors_done(&header);
    mlkv_buffer_free(&bytes);
    free_file(file);
    end();
}
END_TEST

START_TEST(what_cannot_be_exported)
{
    static const char old[] = "stays";
    const mlkv_pair twice[] = {
        {TEXT("a"), TEXT("1")}, {TEXT("b"), TEXT("2")}, {TEXT("a"), TEXT("3")}};
    const mlkv_pair bad_name = {TEXT("\xff"), TEXT("")},
                    bad_text = {TEXT(""), TEXT("\xed\xa0\x80")};
    const mlkv_pair null = {{NULL, 1}, TEXT("")};
    mlkv_file_info wrong = {.size = 3};
    begin();
    const char *path = write_file("out", old, sizeof old);
    OK(mlkv_tensor_put(db, TEXT("c/x"), &(mlkv_tensor){MLKV_C128, 0, {0}}, "0123456789abcdef",
                       NULL));
    OK(mlkv_tensor_put(db, TEXT("m/__metadata__"), &(mlkv_tensor){MLKV_U8, 0, {0}}, "x", NULL));
    OK(mlkv_tensor_put(db, TEXT("b/\xff"), &(mlkv_tensor){MLKV_U8, 0, {0}}, "x", NULL));
    OK(mlkv_tensor_put(db, TEXT("g/x"), &(mlkv_tensor){MLKV_U8, 0, {0}}, "x", NULL));
    MUST(MLKV_E_ARGUMENT, export_to(db, path, "c/"));
    MUST(MLKV_E_ARGUMENT, export_to(db, path, "m/"));
    MUST(MLKV_E_ARGUMENT, export_to(db, path, "b/"));
    MUST(MLKV_ABSENT, export_to(db, path, "absent/"));
    MUST(MLKV_E_ARGUMENT,
         mlkv_safetensors_export(db, path, TEXT("g/"), twice, 3, NULL, NULL, NULL));
    MUST(MLKV_E_ARGUMENT,
         mlkv_safetensors_export(db, path, TEXT("g/"), &bad_name, 1, NULL, NULL, NULL));
    MUST(MLKV_E_ARGUMENT,
         mlkv_safetensors_export(db, path, TEXT("g/"), &bad_text, 1, NULL, NULL, NULL));
    MUST(MLKV_E_ARGUMENT,
         mlkv_safetensors_export(db, path, TEXT("g/"), &null, 1, NULL, NULL, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_safetensors_export(db, path, TEXT("g/"), NULL, 1, NULL, NULL, NULL));
    MUST(MLKV_E_ARGUMENT,
         mlkv_safetensors_export(db, path, TEXT("g/"), NULL, 0, NULL, NULL, &wrong));
    MUST(MLKV_E_ARGUMENT, export_to(NULL, path, "g/"));
    MUST(MLKV_E_ARGUMENT, export_to(db, NULL, "g/"));
    MUST(MLKV_E_ARGUMENT, export_to(db, path_of("store/"), "g/"));
    MUST(MLKV_E_IO, export_to(db, path_of("absent/x"), "g/"));
    MUST(MLKV_E_IO, export_to(db, path_of("store"), "g/")); /* a folder */
    expect_bytes(path, slice_of(old, sizeof old));
    ck_assert_uint_eq(count_files(), 1);
    OK(export_to(db, path, "g/"));
    end();
}
END_TEST

START_TEST(of_one_moment)
{
    begin();
    made_file *file = plain_file(1, 30), *next = plain_file(2, 30);
    OK(import_file(db, finish_file(file, "x"), "m/"));
    mlkv *snapshot = NULL, *tx = NULL, *reader = NULL;
    OK(mlkv_snapshot(db, &snapshot));
    OK(import_file(db, finish_file(next, "y"), "m/"));
    OK(export_to(snapshot, path_of("z"), "m/"));
    OK(mlkv_close(snapshot));
    expect_bytes(path_of("z"), slice_of_buffer(&file->bytes));
    OK(mlkv_begin(db, &tx));
    OK(import_file(tx, path_of("x"), "m/"));
    OK(export_to(tx, path_of("z"), "m/"));
    expect_bytes(path_of("z"), slice_of_buffer(&file->bytes));
    OK(mlkv_abort(tx));
    mlkv_options options = {.size = sizeof options, .flags = MLKV_READ_ONLY};
    OK(mlkv_open(path_of("store"), &options, &reader));
    OK(export_to(reader, path_of("z"), "m/"));
    MUST(MLKV_E_READONLY, import_file(reader, path_of("x"), "m/"));
    OK(mlkv_close(reader));
    expect_bytes(path_of("z"), slice_of_buffer(&next->bytes));
    free_file(file);
    free_file(next);
    end();
}
END_TEST

/* A disk with room for less than the file: the limit of a file's size stands for it. */
START_TEST(a_full_disk_leaves_the_old_file)
{
    static const char old[] = "stays";
    begin();
    made_file *file = plain_file(1, 3000);
    OK(import_file(db, finish_file(file, "x"), "m/"));
    const char *path = write_file("out", old, sizeof old);
    int status;
    mlkv *snapshot = NULL;
    OK(mlkv_close(db));
    db = NULL;
    IN_CHILD(status, {
        db = open_store();
        CHILD_MUST(mlkv_snapshot(db, &snapshot) == MLKV_OK);
        struct rlimit limit = {.rlim_cur = 5 << 20};
        limit.rlim_max = limit.rlim_cur;
        CHILD_MUST(signal(SIGXFSZ, SIG_IGN) != SIG_ERR && setrlimit(RLIMIT_FSIZE, &limit) == 0);
        CHILD_MUST(export_to(snapshot, path, "m/") == MLKV_E_FULL);
        CHILD_MUST(count_files() == 2);
    });
    ck_assert_int_eq(status, 0);
    expect_bytes(path, slice_of(old, sizeof old));
    ck_assert_uint_eq(count_files(), 2);
    db = open_store();
    free_file(file);
    end();
}
END_TEST

#ifdef MLKV_FAULTS

static void kill_itself(watch_point point)
{
    if (point == WATCH_FILE_WRITTEN)
        (void)raise(SIGKILL);
}

START_TEST(killed_before_the_name)
{
    static const char old[] = "stays";
    begin();
    OK(mlkv_tensor_put(db, TEXT("g"), &(mlkv_tensor){MLKV_U8, 0, {0}}, "x", NULL));
    const char *path = write_file("out", old, sizeof old);
    OK(mlkv_close(db));
    int status;
    IN_CHILD(status, {
        db = open_store();
        fault_watch(kill_itself);
        (void)export_to(db, path, "g");
    });
    ck_assert_int_eq(status, -SIGKILL);
    expect_bytes(path, slice_of(old, sizeof old));
    ck_assert_uint_le(count_files(),
                      2); /* a hidden one, where the file system has no files without a name */
    db = open_store();
    OK(export_to(db, path, "g"));
    end();
}
END_TEST

#endif

int main(void)
{
    Suite *suite = suite_create("safetensors_export");
    TCase *tcase = harness_case(suite, "export");
    tcase_add_test(tcase, round_trips);
    tcase_add_test(tcase, the_bytes_of_a_small_file);
    tcase_add_test(tcase, each_begins_at_a_multiple_of_its_element);
    tcase_add_test(tcase, what_cannot_be_exported);
    tcase_add_test(tcase, of_one_moment);
    tcase_add_test(tcase, a_full_disk_leaves_the_old_file);
#ifdef MLKV_FAULTS
    tcase_add_test(tcase, killed_before_the_name);
#endif
    return harness_run(suite);
}
