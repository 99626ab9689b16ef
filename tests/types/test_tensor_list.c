/* test_tensor_list.c - cursors over tensors: which keys they find, what they say of them, order, long names, tokens, one moment,
 * damage. */
#include "types/tensor.h"

#include "base/fault.h"
#include "stores.h"

static const mlkv_slice none = {NULL, 0};

static mlkv_cursor *open_list(mlkv *view, mlkv_slice prefix, mlkv_slice token)
{
    mlkv_query query = {
        .size = sizeof query, .kind = MLKV_SCAN_TENSORS, .prefix = prefix, .token = token};
    mlkv_cursor *cursor = NULL;
    OK(mlkv_cursor_open(view, &query, &cursor));
    return cursor;
}

/* The next one, of which the information is what mlkv_tensor_get_info says in `view`. */
static mlkv_tensor_info expect_next(mlkv *view, mlkv_cursor *cursor, mlkv_slice expected)
{
    mlkv_slice name, value;
    mlkv_tensor_info info, other = {.size = sizeof other};
    OK(mlkv_cursor_next(cursor, &name, &value));
    ck_assert_msg(slice_equal(name, expected), "%.*s", (int)(name.size < 99 ? name.size : 99),
                  (const char *)name.data);
    ck_assert_uint_eq(value.size, sizeof info);
    ck_assert_uint_eq((uintptr_t)value.data % _Alignof(mlkv_tensor_info), 0);
    memcpy(&info, value.data, sizeof info);
    if (view != NULL) {
        OK(mlkv_tensor_get_info(view, name, &other));
        ck_assert(memcmp(&info, &other, sizeof info) == 0);
    }
    return info;
}

static void expect_end(mlkv_cursor *cursor)
{
    mlkv_slice name, value;
    MUST(MLKV_ABSENT, mlkv_cursor_next(cursor, &name, &value));
    MUST(MLKV_ABSENT, mlkv_cursor_next(cursor, &name, &value));
    mlkv_cursor_close(cursor);
}

static void put(mlkv *view, mlkv_slice key, uint64_t rows)
{
    static float data[4000];
    mlkv_tensor tensor = {MLKV_F32, 2, {rows, 4}};
    mlkv_tensor_options options = {.size = sizeof options, .chunk_bytes = 160};
    OK(mlkv_tensor_put(view, key, &tensor, data, &options));
}

/* Keys of every type between the tensors. */
static void fill(mlkv *db)
{
    mlkv_pair pair = {TEXT("f"), TEXT("v")};
    mlkv_scored scored = {TEXT("f"), 1};
    mlkv_tensor scalar = {MLKV_C128, 0, {0}};
    double data[2] = {1, 2};
    put(db, TEXT("layer.1/w"), 100);
    put(db, TEXT("layer.1/b"), 1);
    put(db, TEXT("layer.10/w"), 0);
    put(db, TEXT("layers"), 7);
    put(db, none, 3);
    OK(mlkv_tensor_put(db, TEXT("layer.2/scale"), &scalar, data, NULL));
    OK(mlkv_string_set(db, TEXT("layer.1/name"), TEXT("dense"), MLKV_SET_ALWAYS));
    OK(mlkv_hash_set(db, TEXT("layer.1/x"), &pair, 1, NULL));
    OK(mlkv_set_add(db, TEXT("layer.1/y"), &pair.name, 1, NULL));
    OK(mlkv_list_push(db, TEXT("layer.1/z"), MLKV_LIST_LEFT, &pair.name, 1, NULL));
    OK(mlkv_zset_add(db, TEXT("layer.2"), &scored, 1, 0, NULL, NULL));
}

static void check_all(mlkv *db)
{
    mlkv_cursor *cursor = open_list(db, none, none);
    mlkv_tensor_info info = expect_next(db, cursor, none);
    ck_assert_uint_eq(info.raw_bytes, 48);
    ck_assert_uint_eq(expect_next(db, cursor, TEXT("layer.1/b")).chunks, 1);
    info = expect_next(db, cursor, TEXT("layer.1/w"));
    ck_assert_int_eq(info.tensor.dtype, MLKV_F32);
    ck_assert_uint_eq(info.tensor.shape[0], 100);
    ck_assert_uint_eq(info.raw_bytes, 1600);
    ck_assert_uint_eq(info.chunk_rows, 10);
    ck_assert_uint_eq(info.chunks, 10);
    ck_assert_uint_gt(info.stored_bytes, 0);
    ck_assert_uint_eq(expect_next(db, cursor, TEXT("layer.10/w")).raw_bytes, 0);
    ck_assert_uint_eq(expect_next(db, cursor, TEXT("layer.2/scale")).tensor.dimensions, 0);
    ck_assert_uint_eq(expect_next(db, cursor, TEXT("layers")).rows, 7);
    expect_end(cursor);
    cursor = open_list(db, TEXT("layer.1"), none);
    expect_next(db, cursor, TEXT("layer.1/b"));
    expect_next(db, cursor, TEXT("layer.1/w"));
    expect_next(db, cursor, TEXT("layer.10/w"));
    expect_end(cursor);
    expect_end(open_list(db, TEXT("layer.1/n"), none));
    expect_end(open_list(db, TEXT("m"), none));
}

START_TEST(tensors_and_nothing_else)
{
    const char *folder = harness_folder();
    mlkv *db = folder_store(folder), *snapshot = NULL;
    expect_end(open_list(db, none, none));
    fill(db);
    check_all(db);
    OK(mlkv_snapshot(db, &snapshot));
    check_all(snapshot);
    OK(mlkv_close(snapshot));
    OK(mlkv_close(db));
    db = folder_store(folder);
    check_all(db);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

START_TEST(one_moment)
{
    mlkv *db = memory_store(), *transaction = NULL;
    mlkv_slice gone = TEXT("layer.10/w"), name;
    float ones[4] = {1, 1, 1, 1};
    fill(db);
    mlkv_cursor *cursor = open_list(db, TEXT("layer.1"), none);
    OK(mlkv_tensor_append_rows(db, TEXT("layer.1/w"), 1, ones, sizeof ones, NULL));
    OK(mlkv_key_delete(db, &gone, 1, NULL));
    put(db, TEXT("layer.1/new"), 3);
    put(db, TEXT("layer.1/b"), 2);
    ck_assert_uint_eq(expect_next(NULL, cursor, TEXT("layer.1/b")).rows, 1);
    mlkv_tensor_info info = expect_next(NULL, cursor, TEXT("layer.1/w"));
    ck_assert_uint_eq(info.rows, 100);
    ck_assert_uint_eq(info.version, 1);
    expect_next(NULL, cursor, TEXT("layer.10/w"));
    expect_end(cursor);

    OK(mlkv_begin(db, &transaction)); /* its own writes show, in it only */
    put(transaction, TEXT("layer.1/in"), 5);
    gone = TEXT("layer.1/b");
    OK(mlkv_key_delete(transaction, &gone, 1, NULL));
    cursor = open_list(transaction, TEXT("layer.1"), none);
    expect_next(transaction, cursor, TEXT("layer.1/in"));
    expect_next(transaction, cursor, TEXT("layer.1/new"));
    ck_assert_uint_eq(expect_next(transaction, cursor, TEXT("layer.1/w")).version, 2);
    expect_end(cursor);
    OK(mlkv_abort(transaction));
    cursor = open_list(db, TEXT("layer.1"), none);
    expect_next(db, cursor, TEXT("layer.1/b"));
    OK(mlkv_cursor_next(cursor, &name, NULL)); /* the value is not wanted */
    ck_assert(slice_equal(name, TEXT("layer.1/new")));
    expect_next(db, cursor, TEXT("layer.1/w"));
    expect_end(cursor);
    OK(mlkv_close(db));
}
END_TEST

#ifdef MLKV_FAULTS
START_TEST(expired_ones_are_left_out)
{
    mlkv *db = memory_store(), *snapshot = NULL;
    put(db, TEXT("a"), 1);
    put(db, TEXT("b"), 1);
    OK(mlkv_key_expire(db, TEXT("a"), 3600000, MLKV_EXPIRE_ALWAYS));
    OK(mlkv_snapshot(db, &snapshot));
    mlkv_cursor *cursor = open_list(db, none, none);
    fault_clock_shift(3600001);
    mlkv_cursor *later = open_list(db, none, none);
    expect_next(NULL, later, TEXT("b"));
    expect_end(later);
    fault_clock_shift(0); /* what was left out once is not revived */
    later = open_list(db, none, none);
    expect_next(NULL, later, TEXT("b"));
    expect_end(later);
    expect_next(NULL, cursor, TEXT("a")); /* as of its opening */
    expect_next(NULL, cursor, TEXT("b"));
    expect_end(cursor);
    cursor = open_list(snapshot, none, none);
    expect_next(snapshot, cursor, TEXT("a"));
    expect_next(snapshot, cursor, TEXT("b"));
    expect_end(cursor);
    fault_clock_shift(0);
    OK(mlkv_close(snapshot));
    OK(mlkv_close(db));
}
END_TEST
#endif

/* Names that do not fit a record key, under a prefix that does not either; parts by tokens. */
START_TEST(long_names_and_tokens)
{
    enum { COUNT = 20, SIZE = 3000 };
    mlkv *db = memory_store();
    mlkv_buffer token = {0};
    bool found[COUNT] = {false};
    unsigned number;
    for (unsigned i = 0; i < COUNT; i++) {
        put(db, long_name(SIZE, i), i);
        OK(mlkv_string_set(db, long_name(SIZE, 1000 + i), TEXT("x"), MLKV_SET_ALWAYS));
    }
    static char letters[SIZE];
    memset(letters, 'n', sizeof letters);
    mlkv_slice prefix = slice_of(letters, SIZE - sizeof number), name, value;
    for (int i = 0; i < COUNT; i++) {
        mlkv_cursor *cursor = open_list(db, prefix, slice_of_buffer(&token));
        OK(mlkv_cursor_next(cursor, &name, &value));
        ck_assert_uint_eq(name.size, SIZE);
        memcpy(&number, (const char *)name.data + SIZE - sizeof number, sizeof number);
        ck_assert_uint_lt(number, COUNT);
        ck_assert(!found[number]);
        found[number] = true;
        ck_assert_uint_eq(((const mlkv_tensor_info *)value.data)->rows, number);
        OK(mlkv_cursor_token(cursor, &token));
        mlkv_cursor_close(cursor);
    }
    expect_end(open_list(db, prefix, slice_of_buffer(&token)));
    mlkv_query query = {
        .size = sizeof query, .kind = MLKV_SCAN_KEYS, .token = slice_of_buffer(&token)};
    mlkv_cursor *cursor = NULL;
    MUST(MLKV_E_ARGUMENT, mlkv_cursor_open(db, &query, &cursor)); /* of another kind */
    query = (mlkv_query){.size = sizeof query, .kind = MLKV_SCAN_TENSORS, .key = {NULL, 5}};
    OK(mlkv_cursor_open(db, &query, &cursor)); /* the key is not looked at */
    mlkv_cursor_close(cursor);
    query.kind = MLKV_SCAN_TENSORS + 1;
    MUST(MLKV_E_ARGUMENT, mlkv_cursor_open(db, &query, &cursor));
    mlkv_buffer_free(&token);
    OK(mlkv_close(db));
}
END_TEST

/* A description that cannot be is an error, which names the tensor, and the cursor goes on behind it. */
START_TEST(damage)
{
    mlkv *db = memory_store();
    put(db, TEXT("a"), 1);
    put(db, TEXT("b"), 30);
    put(db, TEXT("c"), 1);
    scan *walk = NULL;
    mlkv_slice key, value, name;
    unsigned char good[200], bad[200];
    OK(scan_open(db, TEXT("Kb"), none, &walk));
    OK(scan_next(walk, &key, &value));
    size_t size = value.size;
    ck_assert_uint_le(size, sizeof good);
    memcpy(good, value.data, size);
    scan_close(walk);
    for (size_t at = 16; at < 34; at += 17) { /* the number of chunks, the dimensions */
        memcpy(bad, good, size);
        bad[at] ^= 9;
        OK(op_write(db, put_record, &(record){TEXT("Kb"), slice_of(bad, size)}));
        mlkv_cursor *cursor = open_list(db, none, none);
        expect_next(db, cursor, TEXT("a"));
        MUST(MLKV_E_CORRUPT, mlkv_cursor_next(cursor, &name, &value));
        ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "tensor 'b'"));
        expect_next(db, cursor, TEXT("c"));
        expect_end(cursor);
    }
    OK(op_write(db, put_record, &(record){TEXT("Kb"), slice_of(good, size)}));
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tensor_list");
    TCase *tcase = harness_case(suite, "tensor_list");
    tcase_add_test(tcase, tensors_and_nothing_else);
    tcase_add_test(tcase, one_moment);
    tcase_add_test(tcase, long_names_and_tokens);
    tcase_add_test(tcase, damage);
#ifdef MLKV_FAULTS
    tcase_add_test(tcase, expired_ones_are_left_out);
#endif
    return harness_run(suite);
}
