/* test_npy.c - .npy files by hand: every dtype, shape, version and order, hostile headers, every cut; and what is written. */
#include "fixture.h"

static mlkv_buffer file_of(int version, const char *header, const void *data, size_t size)
{
    mlkv_buffer bytes = {0};
    size_t n = strlen(header);
    unsigned char start[12] = "\x93NUMPY";
    start[6] = (unsigned char)version;
    store_le32(start + 8, (uint32_t)n);
    OK(buffer_append(&bytes, start, version == 1 ? 10 : 12));
    OK(buffer_append(&bytes, header, n));
    OK(buffer_append(&bytes, data, size));
    return bytes;
}

static int import(int version, const char *header, const void *data, size_t size, int dtype)
{
    mlkv_buffer bytes = file_of(version, header, data, size);
    int result = mlkv_npy_import(db, TEXT("a"), write_file("x.npy", bytes.data, bytes.size), dtype,
                                 NULL, NULL);
    mlkv_buffer_free(&bytes);
    return result;
}

static const struct {
    mlkv_dtype dtype;
    const char *descr;
    size_t width; /* of what has an order */
} kinds[] = {
    {MLKV_F64, "<f8", 8},    {MLKV_F32, "<f4", 4},    {MLKV_F16, "<f2", 2},  {MLKV_BF16, "<u2", 2},
    {MLKV_F8E4M3, "|u1", 1}, {MLKV_F8E5M2, "|u1", 1}, {MLKV_I64, "<i8", 8},  {MLKV_I32, "<i4", 4},
    {MLKV_I16, "<i2", 2},    {MLKV_I8, "|i1", 1},     {MLKV_U64, "<u8", 8},  {MLKV_U32, "<u4", 4},
    {MLKV_U16, "<u2", 2},    {MLKV_U8, "|u1", 1},     {MLKV_BOOL, "|b1", 1}, {MLKV_C64, "<c8", 4},
    {MLKV_C128, "<c16", 8},
};

enum { KINDS = sizeof kinds / sizeof kinds[0], DATA_MAX = 300 * 41 * 16 };

static size_t print_shape(char *to, size_t room, const mlkv_tensor *tensor)
{
    size_t at = 0;
    for (uint32_t i = 0; i < tensor->dimensions; i++)
        at += (size_t)snprintf(to + at, room - at, i == 0 ? "%llu" : ", %llu",
                               (unsigned long long)tensor->shape[i]);
    if (tensor->dimensions == 1)
        at += (size_t)snprintf(to + at, room - at, ",");
    return at;
}

START_TEST(every_dtype_shape_and_byte_order)
{
    static unsigned char data[DATA_MAX], turned[DATA_MAX];
    char shape[200] = "", header[400];
    begin();
    for (size_t kind = 0; kind < KINDS; kind++) {
        for (size_t i = 0; i < SHAPES; i++) {
            size_t size, width = kinds[kind].width;
            mlkv_tensor tensor = tensor_of((int)kinds[kind].dtype, i, &size);
            fill(data, size, kind * 100 + i, kinds[kind].dtype == MLKV_BOOL);
            shape[0] = '\0';
            print_shape(shape, sizeof shape, &tensor);
            (void)snprintf(header, sizeof header,
                           "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }   \n",
                           kinds[kind].descr, shape);
            OK(import(1 + (int)(i % 3), header, data, size, (int)kinds[kind].dtype));
            expect_tensor(db, TEXT("a"), &tensor, data, size);
            for (size_t at = 0; at < size; at++)
                turned[at / width * width + width - 1 - at % width] = data[at];
            (void)snprintf(header, sizeof header,
                           "{\"shape\":(%s),'fortran_order':False,'descr':'>%s'}", shape,
                           kinds[kind].descr + 1);
            OK(import(2, header, turned, size, (int)kinds[kind].dtype));
            expect_tensor(db, TEXT("a"), &tensor, data, size);
        }
    }
    end();
}
END_TEST

START_TEST(columns_become_rows)
{
    static unsigned char rows[DATA_MAX], columns[DATA_MAX];
    char shape[200], header[400];
    begin();
    for (size_t kind = 0; kind < KINDS; kind++) {
        for (size_t i = 0; i < SHAPES; i++) {
            size_t size, element = mlkv_dtype_size(kinds[kind].dtype);
            mlkv_tensor tensor = tensor_of((int)kinds[kind].dtype, i, &size);
            fill(rows, size, kind * 100 + i, kinds[kind].dtype == MLKV_BOOL);
            for (size_t at = 0; at < size / element; at++) {
                size_t rest = at, to = 0;
                for (uint32_t d = tensor.dimensions; d-- > 0; rest /= (size_t)tensor.shape[d]) {
                    size_t stride = 1;
                    for (uint32_t below = 0; below < d; below++)
                        stride *= (size_t)tensor.shape[below];
                    to += rest % (size_t)tensor.shape[d] * stride;
                }
                memcpy(columns + to * element, rows + at * element, element);
            }
            shape[0] = '\0';
            print_shape(shape, sizeof shape, &tensor);
            (void)snprintf(header, sizeof header,
                           "{'descr': '%s', 'fortran_order': True, 'shape': (%s)}",
                           kinds[kind].descr, shape);
            OK(import(1, header, columns, size, (int)kinds[kind].dtype));
            expect_tensor(db, TEXT("a"), &tensor, rows, size);
        }
    }
    mlkv_file_options options = {.size = sizeof options, .block_bytes = 399};
    mlkv_buffer bytes =
        file_of(1, "{'descr': '|u1', 'fortran_order': True, 'shape': (20, 20)}", rows, 400);
    const char *path = write_file("x.npy", bytes.data, bytes.size);
    MUST(MLKV_E_FORMAT, mlkv_npy_import(db, TEXT("b"), path, 0, &options, NULL));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "Fortran"));
    options.block_bytes = 400;
    OK(mlkv_npy_import(db, TEXT("b"), path, 0, &options, NULL));
    mlkv_buffer_free(&bytes);
    end();
}
END_TEST

#define U8(rest)         "{'descr': '|u1', 'fortran_order': False, 'shape': " rest "}"
#define OF(descr, shape) "{'descr': " descr ", 'fortran_order': False, 'shape': " shape "}"

static const struct {
    const char *why, *header;
    size_t size;
} refused[] = {
    {"'{'", "", 4},
    {"'{'", " " U8("(4,)"), 4},
    {"'{'", "1", 4},
    {"'{'", "[('descr', '|u1')]", 4},
    {"':'", "{'descr'", 4},
    {"a text", "{'descr': }", 4},
    {"a text", "{4: 5}", 4},
    {"a text", "{b'descr': '|u1'}", 4},
    {"a text", OF("1", "(4,)"), 4},
    {"a text", OF("None", "(4,)"), 4},
    {"the end of a text", "{'descr", 4},
    {"a plain letter", "{'de\\x73cr': '|u1'}", 4},
    {"a plain letter", "{'d\xc3\xa9scr': '|u1'}", 4},
    {"':'", "{'descr', 'fortran_order', 'shape'}", 4},
    {"unknown", "{'more': 1}", 4},
    {"twice", "{'descr': '|u1', 'descr': '|u1', 'fortran_order': False, 'shape': (4,)}", 4},
    {"no 'descr'", "{'fortran_order': False, 'shape': (4,)}", 4},
    {"no 'fortran_order'", "{'descr': '|u1', 'shape': (4,)}", 4},
    {"no 'shape'", "{'descr': '|u1', 'fortran_order': False}", 4},
    {"no 'descr'", "{}", 4},
    {"its end", U8("(4,)") "}", 4},
    {"its end", U8("(4,)") " x", 4},
    {"True or False", "{'descr': '|u1', 'fortran_order': 0, 'shape': (4,)}", 4},
    {"True or False", "{'descr': '|u1', 'fortran_order': 'False', 'shape': (4,)}", 4},
    {"a tuple", U8("4"), 4},
    {"a tuple", U8("[4]"), 4},
    {"','", U8("(4)"), 4},
    {"a whole number", U8("(-4,)"), 4},
    {"a whole number", U8("(True,)"), 4},
    {"a whole number", U8("(None,)"), 4},
    {"a whole number", U8("((((((((((4,)"), 4},
    {"','", U8("(4.0,)"), 4},
    {"',' or ')'", U8("(4, 1.0)"), 4},
    {"',' or ')'", U8("(4, 1"), 4},
    {"out of range", U8("(04,)"), 4},
    {"out of range", U8("(99999999999999999999,)"), 4},
    {"8 dimensions", U8("(1, 1, 1, 1, 1, 1, 1, 1, 4)"), 4},
    {"too large", U8("(4611686018427387904, 4, 4)"), 4},
    {"too large", U8("(4611686018427387904, 0)"), 0},
    {"its shape makes 5", U8("(5,)"), 4},
    {"its shape makes 3", U8("(3,)"), 4},
    {"its shape makes 0", U8("(0,)"), 4},
    {"its shape makes 1099511627776", U8("(1099511627776,)"), 4},
    {"structured", OF("[('a', '|u1'), ('b', '|u1')]", "(2,)"), 4},
    {"structured", OF("('|u1', (2,))", "(2,)"), 4},
    {"objects", OF("'|O'", "(1,)"), 8},
    {"objects", OF("'|O8'", "(1,)"), 8},
    {"texts", OF("'<U1'", "(1,)"), 4},
    {"byte strings", OF("'|S4'", "(1,)"), 4},
    {"times", OF("'<M8[ns]'", "(1,)"), 8},
    {"time spans", OF("'<m8'", "(1,)"), 8},
    {"raw bytes", OF("'|V4'", "(1,)"), 4},
    {"'<f16'", OF("'<f16'", "(1,)"), 16},
    {"'|f1'", OF("'|f1'", "(4,)"), 4},
    {"'<i3'", OF("'<i3'", "(1,)"), 3},
    {"'<f'", OF("'<f'", "(4,)"), 4},
    {"'<f0'", OF("'<f0'", "(4,)"), 0},
    {"'<f99999'", OF("'<f99999'", "(4,)"), 4},
    {"'f4'", OF("'f4'", "(1,)"), 4},
    {"''", OF("''", "(1,)"), 4},
    {"does not say the order", OF("'|f4'", "(1,)"), 4},
};

static void expect_refused(const char *path, int dtype, const char *why)
{
    uint64_t before = store_digest(db);
    int result = mlkv_npy_import(db, TEXT("a"), path, dtype, NULL, NULL);
    if (result != MLKV_E_FORMAT || strstr(mlkv_error_detail(), why) == NULL)
        ck_abort_msg("got %s: %s, want '%s'", mlkv_error_name(result), mlkv_error_detail(), why);
    ck_assert_uint_eq(store_digest(db), before);
}

START_TEST(each_rule_is_broken_by_one)
{
    static const unsigned char data[16] = {1, 2, 3};
    begin();
    OK(mlkv_tensor_put(db, TEXT("a"), &(mlkv_tensor){MLKV_U8, 1, {16}}, data, NULL));
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        mlkv_buffer bytes = file_of(1, refused[i].header, data, refused[i].size);
        expect_refused(write_file("x.npy", bytes.data, bytes.size), 0, refused[i].why);
        mlkv_buffer_free(&bytes);
    }
    static const unsigned char wrong[4] = {0, 1, 97, 1};
    mlkv_buffer bytes = file_of(1, OF("'|b1'", "(4,)"), wrong, 4);
    expect_refused(write_file("x.npy", bytes.data, bytes.size), 0, "is bool, and is 97");
    mlkv_buffer_free(&bytes);
    bytes = file_of(1, OF("'<u2'", "(2,)"), data, 4);
    const char *path = write_file("x.npy", bytes.data, bytes.size);
    static const int unlike[] = {MLKV_F8E4M3, MLKV_F32, MLKV_I16, MLKV_F16};
    for (size_t i = 0; i < sizeof unlike / sizeof unlike[0]; i++)
        expect_refused(path, unlike[i], "its elements are '<u2', not ");
    MUST(MLKV_E_ARGUMENT, mlkv_npy_import(db, TEXT("a"), path, 99, NULL, NULL));
    OK(mlkv_npy_import(db, TEXT("a"), path, MLKV_BF16, NULL, NULL));
    mlkv_buffer_free(&bytes);
    bytes = file_of(1, OF("'<f16'", "(1,)"), data, 16);
    expect_refused(write_file("x.npy", bytes.data, bytes.size), MLKV_BF16, "not bf16");
    mlkv_buffer_free(&bytes);
    end();
}
END_TEST

START_TEST(beginnings_of_other_files)
{
    static const struct {
        const char *why;
        mlkv_slice bytes;
    } rows[] = {
        {"no .npy file", {"", 0}},
        {"no .npy file", {"\x93NUM", 4}},
        {"no .npy file", {"\x94NUMPY\1\0\0\0\0\0\0\0", 14}},
        {"no .npy file", {"PK\3\4aaaaaaaaaaaa", 16}},
        {"no .npy file", {"\x93NUMPY\1\0", 8}},
        {"version 0.0", {"\x93NUMPY\0\0\0\0\0\0\0\0", 14}},
        {"version 4.0", {"\x93NUMPY\4\0\0\0\0\0\0\0", 14}},
        {"version 1.1", {"\x93NUMPY\1\1\0\0\0\0\0\0", 14}},
        {"within its header's size", {"\x93NUMPY\2\0\1\0\0", 11}},
        {"would have 5 bytes, and 4", {"\x93NUMPY\1\0\5\0aaaa", 14}},
        {"would have 4294967295 bytes", {"\x93NUMPY\2\0\xff\xff\xff\xff", 12}},
    };
    begin();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect_refused(write_file("x.npy", rows[i].bytes.data, rows[i].bytes.size), 0, rows[i].why);
    static char blanks[10002];
    memset(blanks, ' ', sizeof blanks - 1);
    memcpy(blanks, "{}", 2);
    mlkv_buffer bytes = file_of(2, blanks, "", 0);
    expect_refused(write_file("x.npy", bytes.data, bytes.size), 0, "10000 are the most");
    mlkv_buffer_free(&bytes);
    end();
}
END_TEST

START_TEST(every_cut_is_refused)
{
    static const char data[] = "abcdefgh";
    begin();
    for (int version = 1; version <= 3; version++) {
        mlkv_buffer bytes = file_of(version, U8("(2, 4)") "  \n", data, 8);
        for (size_t size = 0; size < bytes.size; size++)
            expect_refused(write_file("x.npy", bytes.data, size), 0, "");
        OK(mlkv_npy_import(db, TEXT("a"), write_file("x.npy", bytes.data, bytes.size), 0, NULL,
                           NULL));
        OK(delete_key(TEXT("a")));
        mlkv_buffer_free(&bytes);
    }
    end();
}
END_TEST

START_TEST(what_is_written)
{
    static unsigned char data[DATA_MAX];
    char shape[200], header[400];
    begin();
    for (size_t kind = 0; kind < KINDS; kind++) {
        for (size_t i = 0; i < SHAPES; i++) {
            size_t size;
            mlkv *tx = NULL;
            if ((kind + i) % 3 != 0) /* each waits for the disk twice */
                continue;
            mlkv_tensor tensor = tensor_of((int)kinds[kind].dtype, i, &size);
            mlkv_file_info info = {.size = sizeof info};
            mlkv_file_options options = {.size = sizeof options, .block_bytes = 1 + i * 100};
            fill(data, size, kind, kinds[kind].dtype == MLKV_BOOL);
            OK(mlkv_begin(db, &tx));
            OK(mlkv_tensor_put(
                tx, TEXT("t"), &tensor, data,
                &(mlkv_tensor_options){.size = sizeof(mlkv_tensor_options), .chunk_bytes = 64}));
            OK(mlkv_npy_export(tx, TEXT("t"), path_of("y.npy"), &options, &info));
            OK(mlkv_abort(tx));
            ck_assert(info.tensors == 1 && info.bytes == size);
            mlkv_buffer bytes = read_file(path_of("y.npy"));
            ck_assert_uint_eq((bytes.size - size) % 64, 0);
            ck_assert_mem_eq(bytes.data, "\x93NUMPY\1", 8);
            shape[0] = '\0';
            print_shape(shape, sizeof shape, &tensor);
            int n = snprintf(header, sizeof header,
                             "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }",
                             kinds[kind].descr, shape);
            ck_assert_mem_eq((char *)bytes.data + 10, header, (size_t)n);
            ck_assert_int_eq(((char *)bytes.data)[bytes.size - size - 1], '\n');
            ck_assert(size == 0 || memcmp((char *)bytes.data + bytes.size - size, data, size) == 0);
            mlkv_buffer_free(&bytes);
        }
    }
    ck_assert_uint_eq(count_files(), 1);
    end();
}
END_TEST

START_TEST(keys_and_arguments)
{
    static const unsigned char data[4] = {1, 2, 3, 4};
    mlkv_file_info wrong = {.size = 1};
    mlkv_file_options options = {.size = sizeof options, .block_bytes = (size_t)2 << 30};
    begin();
    mlkv_buffer bytes = file_of(1, U8("(4,)"), data, 4);
    const char *path = write_file("x.npy", bytes.data, bytes.size), *out = path_of("y.npy");
    OK(mlkv_string_set(db, TEXT("s"), TEXT("v"), MLKV_SET_ALWAYS));
    MUST(MLKV_E_TYPE, mlkv_npy_import(db, TEXT("s"), path, 0, NULL, NULL));
    MUST(MLKV_E_TYPE, mlkv_npy_export(db, TEXT("s"), out, NULL, NULL));
    MUST(MLKV_ABSENT, mlkv_npy_export(db, TEXT("absent"), out, NULL, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_npy_import(NULL, TEXT("a"), path, 0, NULL, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_npy_import(db, slice_of(NULL, 1), path, 0, NULL, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_npy_import(db, TEXT("a"), NULL, 0, NULL, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_npy_import(db, TEXT("a"), path, -1, NULL, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_npy_import(db, TEXT("a"), path, 0, NULL, &wrong));
    MUST(MLKV_E_ARGUMENT, mlkv_npy_import(db, TEXT("a"), path, 0, &options, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_npy_export(db, TEXT("a"), out, &options, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_npy_export(NULL, TEXT("a"), out, NULL, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_npy_export(db, TEXT("a"), NULL, NULL, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_npy_export(db, TEXT("a"), out, NULL, &wrong));
    MUST(MLKV_E_IO, mlkv_npy_import(db, TEXT("a"), path_of("absent"), 0, NULL, NULL));
    MUST(MLKV_E_FORMAT, mlkv_npy_import(db, TEXT("a"), folder, 0, NULL, NULL));
    ck_assert_int_eq(mkfifo(path_of("pipe"), 0600), 0);
    MUST(MLKV_E_FORMAT, mlkv_npy_import(db, TEXT("a"), path_of("pipe"), 0, NULL, NULL));
    mlkv *snapshot = NULL;
    OK(mlkv_snapshot(db, &snapshot));
    MUST(MLKV_E_READONLY, mlkv_npy_import(snapshot, TEXT("a"), path, 0, NULL, NULL));
    OK(mlkv_close(snapshot));
    ck_assert_uint_eq(count_files(), 2);
    mlkv_buffer_free(&bytes);
    end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("npy");
    TCase *tcase = harness_case(suite, "npy");
    tcase_add_test(tcase, every_dtype_shape_and_byte_order);
    tcase_add_test(tcase, columns_become_rows);
    tcase_add_test(tcase, each_rule_is_broken_by_one);
    tcase_add_test(tcase, beginnings_of_other_files);
    tcase_add_test(tcase, every_cut_is_refused);
    tcase_add_test(tcase, what_is_written);
    tcase_add_test(tcase, keys_and_arguments);
    return harness_run(suite);
}
