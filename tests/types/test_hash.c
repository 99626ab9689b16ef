/* test_hash.c - hashes on stores in memory and on disk, against an oracle, in transactions and snapshots. */
#include "types/stores.h"

#include <math.h>

START_TEST(set_and_get)
{
    mlkv *db = memory_store();
    mlkv_buffer value = {0};
    mlkv_pair pairs[] = {{TEXT("a"), TEXT("1")}, {TEXT("b"), TEXT("2")}, {TEXT("a"), TEXT("3")}};
    size_t added = 77;
    uint64_t length = 77;
    MUST(MLKV_ABSENT, mlkv_hash_get(db, TEXT("h"), TEXT("a"), &value));
    OK(mlkv_hash_length(db, TEXT("h"), &length));
    ck_assert_uint_eq(length, 0);
    OK(mlkv_hash_set(db, TEXT("h"), pairs, 0, &added));
    ck_assert_uint_eq(added, 0);
    ck_assert_uint_eq(key_count(db), 0);
    OK(mlkv_hash_set(db, TEXT("h"), pairs, 3, &added));
    ck_assert_uint_eq(added, 2);
    OK(mlkv_hash_length(db, TEXT("h"), &length));
    ck_assert_uint_eq(length, 2);
    OK(mlkv_hash_get(db, TEXT("h"), TEXT("a"), &value));
    IS(TEXT("3"), value);
    OK(mlkv_hash_set(db, TEXT("h"), pairs + 1, 1, &added));
    ck_assert_uint_eq(added, 0);
    OK(mlkv_hash_exists(db, TEXT("h"), TEXT("b")));
    MUST(MLKV_ABSENT, mlkv_hash_exists(db, TEXT("h"), TEXT("c")));
    MUST(MLKV_ABSENT, mlkv_hash_exists(db, TEXT("i"), TEXT("c")));
    MUST(MLKV_ABSENT, mlkv_hash_set_if_absent(db, TEXT("h"), TEXT("b"), TEXT("9")));
    OK(mlkv_hash_set_if_absent(db, TEXT("h"), TEXT("c"), TEXT("9")));
    OK(mlkv_hash_get(db, TEXT("h"), TEXT("b"), &value));
    IS(TEXT("2"), value);
    ck_assert_uint_eq(key_count(db), 1);
    mlkv_buffer_free(&value);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(the_last_field_takes_the_key_along)
{
    mlkv *db = memory_store();
    mlkv_pair pairs[] = {{TEXT("a"), TEXT("1")}, {TEXT("b"), TEXT("2")}, {TEXT("c"), TEXT("3")}};
    mlkv_slice fields[] = {TEXT("a"), TEXT("a"), TEXT("x"), TEXT("b"), TEXT("c")};
    size_t deleted = 77, exists = 77;
    mlkv_slice key = TEXT("h");
    OK(mlkv_hash_delete(db, key, fields, 5, &deleted));
    ck_assert_uint_eq(deleted, 0);
    OK(mlkv_hash_set(db, key, pairs, 3, NULL));
    OK(mlkv_hash_delete(db, key, fields, 3, &deleted));
    ck_assert_uint_eq(deleted, 1);
    OK(mlkv_key_exists(db, &key, 1, &exists));
    ck_assert_uint_eq(exists, 1);
    OK(mlkv_hash_delete(db, key, fields, 5, NULL));
    OK(mlkv_key_exists(db, &key, 1, &exists));
    ck_assert_uint_eq(exists, 0);
    ck_assert_uint_eq(key_count(db), 0);
    ck_assert_uint_eq(count_records(db, "E") + count_records(db, "G") + count_records(db, "K"), 0);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(many_fields_at_once)
{
    mlkv *db = memory_store();
    mlkv_rows rows = {0};
    mlkv_slice none = {NULL, 0}, fields[] = {TEXT("b"), TEXT("x"), none, TEXT("a"), TEXT("b")};
    mlkv_pair pairs[] = {
        {TEXT("b"), TEXT("2")}, {none, TEXT("of the empty field")}, {TEXT("a"), none}};
    OK(mlkv_hash_get_many(db, TEXT("h"), fields, 5, &rows));
    ck_assert_uint_eq(rows.count, 5);
    for (int i = 0; i < 5; i++)
        ck_assert_ptr_null(rows.items[i].data);
    OK(mlkv_hash_set(db, TEXT("h"), pairs, 3, NULL));
    OK(mlkv_hash_get_many(db, TEXT("h"), fields, 5, &rows));
    ck_assert(slice_equal(rows.items[0], TEXT("2")));
    ck_assert_ptr_null(rows.items[1].data);
    ck_assert(slice_equal(rows.items[2], TEXT("of the empty field")));
    ck_assert_ptr_nonnull(rows.items[3].data);
    ck_assert_uint_eq(rows.items[3].size, 0);
    ck_assert(slice_equal(rows.items[4], TEXT("2")));
    OK(mlkv_hash_get_all(db, TEXT("h"), &rows));
    ck_assert_uint_eq(rows.count, 6);
    const mlkv_slice all[] = {none,     TEXT("of the empty field"), TEXT("a"), none, TEXT("b"),
                              TEXT("2")};
    for (int i = 0; i < 6; i++)
        ck_assert(slice_equal(rows.items[i], all[i]));
    OK(mlkv_hash_keys(db, TEXT("h"), &rows));
    ck_assert_uint_eq(rows.count, 3);
    ck_assert(slice_equal(rows.items[2], TEXT("b")));
    OK(mlkv_hash_values(db, TEXT("h"), &rows));
    ck_assert_uint_eq(rows.count, 3);
    ck_assert(slice_equal(rows.items[2], TEXT("2")));
    OK(mlkv_hash_get_all(db, TEXT("missing"), &rows));
    ck_assert_uint_eq(rows.count, 0);
    OK(mlkv_string_set(db, TEXT("s"), TEXT("v"), MLKV_SET_ALWAYS));
    OK(mlkv_hash_keys(db, TEXT("h"), &rows));
    MUST(MLKV_E_TYPE, mlkv_hash_get_all(db, TEXT("s"), &rows));
    ck_assert_uint_eq(rows.count, 0);
    mlkv_rows_free(&rows);
    OK(mlkv_close(db));
}
END_TEST

/* Long names, values of every kind, all of them read back in bulk and one by one, also after reopening. */
START_TEST(long_fields_and_large_values)
{
    const char *folder = harness_folder();
    mlkv *db = folder_store(folder);
    enum { COUNT = 12, LARGE = 400000 };
    static const size_t names[] = {1, 100, 501, 502, 503, 20000}, sizes[] = {10, 3000, LARGE};
    static char noise[LARGE];
    mlkv_buffer value = {0};
    mlkv_rows rows = {0};
    mlkv_slice key = long_name(700, 1);
    static char key_copy[700];
    memcpy(key_copy, key.data, sizeof key_copy);
    key.data = key_copy;
    for (unsigned i = 4; i < 6 * COUNT; i++) {
        size_t name = names[i / COUNT], size = sizes[i % 3];
        fill_noise(noise, size, i);
        mlkv_pair pair = {name < 4 ? TEXT("n") : long_name(name, i), slice_of(noise, size)};
        OK(mlkv_hash_set(db, key, &pair, 1, NULL));
    }
    for (int round = 0; round < 2; round++) {
        for (unsigned i = COUNT; i < 6 * COUNT; i++) {
            fill_noise(noise, sizes[i % 3], i);
            OK(mlkv_hash_get(db, key, long_name(names[i / COUNT], i), &value));
            IS(slice_of(noise, sizes[i % 3]), value);
        }
        uint64_t length;
        OK(mlkv_hash_length(db, key, &length));
        ck_assert_uint_eq(length, 5 * COUNT + 1);
        OK(mlkv_hash_get_all(db, key, &rows));
        ck_assert_uint_eq(rows.count, 2 * length);
        for (size_t i = 0; i < length; i++) {
            OK(mlkv_hash_get(db, key, rows.items[2 * i], &value));
            IS(rows.items[2 * i + 1], value);
        }
        verify_all(db);
        OK(mlkv_close(db));
        db = folder_store(folder);
    }
    OK(mlkv_key_delete(db, &key, 1, NULL));
    MUST(MLKV_ABSENT, mlkv_hash_get(db, key, long_name(100, COUNT), &value));
    clean_all(db);
    ck_assert_uint_eq(count_records(db, "E") + count_records(db, "G") + count_records(db, "R"), 0);
    verify_all(db);
    mlkv_buffer_free(&value);
    mlkv_rows_free(&rows);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

START_TEST(large_values_are_released)
{
    mlkv *db = memory_store();
    enum { LARGE = 200000 };
    static char noise[2][LARGE];
    fill_noise(noise[0], LARGE, 1);
    fill_noise(noise[1], LARGE, 2);
    mlkv_slice field = TEXT("f");
    mlkv_pair twice[] = {{field, slice_of(noise[0], LARGE)}, {field, slice_of(noise[1], LARGE)}};
    OK(mlkv_hash_set(db, TEXT("h"), twice, 2, NULL));
    ck_assert_uint_eq(count_records(db, "R"), 1);
    OK(mlkv_hash_set(db, TEXT("h"), twice, 1, NULL));
    ck_assert_uint_eq(count_records(db, "R"), 1);
    MUST(MLKV_ABSENT, mlkv_hash_set_if_absent(db, TEXT("h"), field, twice[1].value));
    ck_assert_uint_eq(count_records(db, "R"), 1);
    OK(mlkv_hash_delete(db, TEXT("h"), &field, 1, NULL));
    ck_assert_uint_eq(count_records(db, "R"), 0);
    OK(mlkv_string_set(db, TEXT("s"), TEXT("v"), MLKV_SET_ALWAYS));
    MUST(MLKV_E_TYPE, mlkv_hash_set(db, TEXT("s"), twice, 2, NULL));
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(add_counts)
{
    mlkv *db = memory_store();
    mlkv_buffer value = {0};
    int64_t sum = 77;
    OK(mlkv_hash_add(db, TEXT("h"), TEXT("n"), -3, &sum));
    ck_assert_int_eq(sum, -3);
    OK(mlkv_hash_add(db, TEXT("h"), TEXT("n"), 5, NULL));
    OK(mlkv_hash_get(db, TEXT("h"), TEXT("n"), &value));
    IS(TEXT("2"), value);
    mlkv_pair pair = {TEXT("t"), TEXT("text")};
    OK(mlkv_hash_set(db, TEXT("h"), &pair, 1, NULL));
    MUST(MLKV_E_NUMBER, mlkv_hash_add(db, TEXT("h"), TEXT("t"), 1, &sum));
    OK(mlkv_hash_add(db, TEXT("h"), TEXT("n"), INT64_MAX - 2, NULL));
    MUST(MLKV_E_RANGE, mlkv_hash_add(db, TEXT("h"), TEXT("n"), 1, &sum));
    ck_assert_int_eq(sum, -3);
    uint64_t length;
    OK(mlkv_hash_length(db, TEXT("h"), &length));
    ck_assert_uint_eq(length, 2);
    mlkv_buffer_free(&value);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(add_float_counts)
{
    static const struct {
        const char *old;
        double delta;
        const char *sum;
    } cases[] = {
        {NULL, 10.5, "10.5"},
        {"10.5", 0.1, "10.6"},
        {"3", 1, "4"},
        {"5.0e3", 200, "5200"},
        {"1", -1, "0"},
        {"-1.5", 1.5, "0"},
        {"0x10", 1, "17"},
        {"1e-3", 0, "0.001"},
        {"3.0", 1e-17, "3.00000000000000001"},
        {"17179869184", 17179869184, "34359738368"},
    };
    static const char *const wrong[] = {"", " 1", "1 ", "abc", "nan", "1,5", "--1"};
    mlkv *db = memory_store();
    mlkv_buffer text = {0};
    mlkv_slice field = TEXT("f"), key = TEXT("h");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        OK(mlkv_hash_delete(db, key, &field, 1, NULL));
        mlkv_pair pair = {field, slice_of_text(cases[i].old != NULL ? cases[i].old : "")};
        if (cases[i].old != NULL)
            OK(mlkv_hash_set(db, key, &pair, 1, NULL));
        OK(mlkv_hash_add_float(db, key, field, cases[i].delta, i % 2 == 0 ? &text : NULL));
        OK(mlkv_hash_get(db, key, field, &text));
        IS(slice_of_text(cases[i].sum), text);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        mlkv_pair pair = {field, slice_of_text(wrong[i])};
        OK(mlkv_hash_set(db, key, &pair, 1, NULL));
        MUST(MLKV_E_NUMBER, mlkv_hash_add_float(db, key, field, 1, &text));
        OK(mlkv_hash_get(db, key, field, &text));
        IS(slice_of_text(wrong[i]), text);
    }
    mlkv_pair large = {field, TEXT("1e4932")};
    OK(mlkv_hash_set(db, key, &large, 1, NULL));
    OK(mlkv_hash_add_float(db, key, field, 0, &text)); /* all of its digits */
    ck_assert_uint_eq(text.size, 4933);
    OK(mlkv_hash_add_float(db, key, field, 0, NULL));
    MUST(MLKV_E_NUMBER, mlkv_hash_add_float(db, key, field, (double)INFINITY, NULL));
    MUST(MLKV_E_NUMBER, mlkv_hash_add_float(db, key, field, (double)NAN, NULL));
    OK(mlkv_string_set(db, TEXT("s"), TEXT("1"), MLKV_SET_ALWAYS));
    MUST(MLKV_E_TYPE, mlkv_hash_add_float(db, TEXT("s"), field, 1, &text));
    ck_assert_uint_eq(text.size, 4933);
    MUST(MLKV_E_ARGUMENT, mlkv_hash_add_float(db, TEXT("s"), (mlkv_slice){NULL, 1}, 1, &text));
    MUST(MLKV_E_NUMBER, mlkv_hash_add_float(db, TEXT("new"), field, (double)NAN, NULL));
    ck_assert_uint_eq(key_count(db), 2);
    mlkv_buffer_free(&text);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(lengths_of_values)
{
    enum { LARGE = 300000 };
    static const size_t sizes[] = {0, 1, 1000, 5000, LARGE};
    static char noise[LARGE], zeros[LARGE];
    mlkv *db = memory_store();
    uint64_t size = 77;
    fill_noise(noise, LARGE, 1);
    MUST(MLKV_ABSENT, mlkv_hash_value_length(db, TEXT("h"), TEXT("f"), &size));
    for (size_t i = 0; i < 2 * sizeof sizes / sizeof *sizes; i++) { /* raw, compressed, blob */
        mlkv_pair pair = {TEXT("f"), slice_of(i % 2 == 0 ? noise : zeros, sizes[i / 2])};
        OK(mlkv_hash_set(db, TEXT("h"), &pair, 1, NULL));
        OK(mlkv_hash_value_length(db, TEXT("h"), TEXT("f"), &size));
        ck_assert_uint_eq(size, sizes[i / 2]);
    }
    MUST(MLKV_ABSENT, mlkv_hash_value_length(db, TEXT("h"), TEXT("g"), &size));
    MUST(MLKV_E_ARGUMENT, mlkv_hash_value_length(db, TEXT("h"), TEXT("f"), NULL));
    OK(mlkv_string_set(db, TEXT("s"), TEXT("1"), MLKV_SET_ALWAYS));
    MUST(MLKV_E_TYPE, mlkv_hash_value_length(db, TEXT("s"), TEXT("f"), &size));
    ck_assert_uint_eq(size, LARGE);
    OK(mlkv_close(db));
}
END_TEST

/* A refused operation on a missing key makes nothing. */
START_TEST(refused_operations_change_nothing)
{
    mlkv *db = memory_store();
    mlkv_slice bad = {NULL, 1};
    mlkv_pair pairs[] = {{TEXT("a"), TEXT("1")}, {TEXT("b"), bad}}, bad_name = {bad, TEXT("1")};
    mlkv_slice fields[] = {TEXT("a"), bad};
    mlkv_rows rows = {0};
    mlkv_buffer value = {0};
    uint64_t length;
    MUST(MLKV_E_ARGUMENT, mlkv_hash_set(db, TEXT("h"), pairs, 2, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_hash_set(db, TEXT("h"), &bad_name, 1, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_hash_set(db, TEXT("h"), NULL, 1, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_hash_set(NULL, TEXT("h"), pairs, 1, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_hash_set(db, bad, pairs, 1, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_hash_set_if_absent(db, TEXT("h"), bad, TEXT("v")));
    MUST(MLKV_E_ARGUMENT, mlkv_hash_set_if_absent(db, TEXT("h"), TEXT("f"), bad));
    MUST(MLKV_E_ARGUMENT, mlkv_hash_get(db, TEXT("h"), bad, &value));
    MUST(MLKV_E_ARGUMENT, mlkv_hash_get(db, TEXT("h"), TEXT("f"), NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_hash_get_many(db, TEXT("h"), fields, 2, &rows));
    MUST(MLKV_E_ARGUMENT, mlkv_hash_get_many(db, TEXT("h"), fields, 1, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_hash_get_all(db, TEXT("h"), NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_hash_keys(NULL, TEXT("h"), &rows));
    MUST(MLKV_E_ARGUMENT, mlkv_hash_values(db, bad, &rows));
    MUST(MLKV_E_ARGUMENT, mlkv_hash_delete(db, TEXT("h"), fields, 2, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_hash_length(db, TEXT("h"), NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_hash_length(db, bad, &length));
    MUST(MLKV_E_ARGUMENT, mlkv_hash_exists(db, TEXT("h"), bad));
    MUST(MLKV_E_ARGUMENT, mlkv_hash_add(db, TEXT("h"), bad, 1, NULL));
    char *huge = calloc(1, NAME_SIZE_MAX + 1);
    ck_assert_ptr_nonnull(huge);
    pairs[1] = (mlkv_pair){slice_of(huge, NAME_SIZE_MAX + 1), TEXT("v")};
    MUST(MLKV_E_SIZE, mlkv_hash_set(db, TEXT("h"), pairs, 2, NULL));
    free(huge);
    ck_assert_uint_eq(key_count(db), 0);
    ck_assert_uint_eq(count_records(db, "K") + count_records(db, "E"), 0);
    OK(mlkv_string_set(db, TEXT("s"), TEXT("v"), MLKV_SET_ALWAYS));
    pairs[1] = (mlkv_pair){TEXT("b"), TEXT("2")};
    MUST(MLKV_E_TYPE, mlkv_hash_set(db, TEXT("s"), pairs, 2, NULL));
    MUST(MLKV_E_TYPE, mlkv_hash_set(db, TEXT("s"), pairs, 0, NULL));
    MUST(MLKV_E_TYPE, mlkv_hash_get(db, TEXT("s"), TEXT("a"), &value));
    MUST(MLKV_E_TYPE, mlkv_hash_get_many(db, TEXT("s"), fields, 1, &rows));
    MUST(MLKV_E_TYPE, mlkv_hash_delete(db, TEXT("s"), fields, 1, NULL));
    MUST(MLKV_E_TYPE, mlkv_hash_length(db, TEXT("s"), &length));
    MUST(MLKV_E_TYPE, mlkv_hash_exists(db, TEXT("s"), TEXT("a")));
    MUST(MLKV_E_TYPE, mlkv_hash_add(db, TEXT("s"), TEXT("a"), 1, NULL));
    MUST(MLKV_E_TYPE, mlkv_hash_set_if_absent(db, TEXT("s"), TEXT("a"), TEXT("v")));
    mlkv_rows_free(&rows);
    OK(mlkv_close(db));
}
END_TEST

/* Random operations against a table: live, in transactions that are committed or aborted, with deletions of the whole key. */
enum { FIELDS = 50 };
typedef struct {
    int64_t value[FIELDS]; /* -1: absent */
} oracle;

static void check_oracle(mlkv *view, const oracle *expected)
{
    mlkv_rows rows = {0};
    uint64_t length, count = 0;
    char name[16], text[32];
    OK(mlkv_hash_get_all(view, TEXT("h"), &rows));
    OK(mlkv_hash_length(view, TEXT("h"), &length));
    for (int i = 0; i < FIELDS; i++) {
        if (expected->value[i] < 0)
            continue;
        snprintf(name, sizeof name, "field%03d", i);
        snprintf(text, sizeof text, "%lld", (long long)expected->value[i]);
        ck_assert_uint_lt(2 * count + 1, rows.count);
        ck_assert(slice_equal(rows.items[2 * count], slice_of_text(name)));
        ck_assert(slice_equal(rows.items[2 * count + 1], slice_of_text(text)));
        count++;
    }
    ck_assert_uint_eq(rows.count, 2 * count);
    ck_assert_uint_eq(length, count);
    ck_assert_uint_eq(key_count(view), count != 0);
    mlkv_rows_free(&rows);
}

static void random_step(mlkv *view, oracle *expected, unsigned *seed)
{
    char name[16], text[32];
    int field = rand_r(seed) % FIELDS;
    snprintf(name, sizeof name, "field%03d", field);
    mlkv_slice slice = slice_of_text(name), key = TEXT("h");
    size_t changed;
    int what = rand_r(seed) % 40;
    if (what == 0) {
        OK(mlkv_key_delete(view, &key, 1, NULL));
        for (int i = 0; i < FIELDS; i++)
            expected->value[i] = -1;
    } else if (what <= 15) {
        OK(mlkv_hash_delete(view, key, &slice, 1, &changed));
        ck_assert_uint_eq(changed, expected->value[field] >= 0);
        expected->value[field] = -1;
    } else if (what <= 25) {
        OK(mlkv_hash_add(view, key, slice, 7, NULL));
        expected->value[field] = (expected->value[field] < 0 ? 0 : expected->value[field]) + 7;
    } else {
        int value = rand_r(seed) % 1000;
        snprintf(text, sizeof text, "%d", value);
        mlkv_pair pair = {slice, slice_of_text(text)};
        OK(mlkv_hash_set(view, key, &pair, 1, &changed));
        ck_assert_uint_eq(changed, expected->value[field] < 0);
        expected->value[field] = value;
    }
}

START_TEST(random_operations)
{
    mlkv *db = memory_store();
    oracle now;
    unsigned seed = 12345;
    for (int i = 0; i < FIELDS; i++)
        now.value[i] = -1;
    for (int round = 0; round < 150; round++) {
        mlkv *tx = NULL;
        oracle inside = now;
        OK(mlkv_begin(db, &tx));
        for (int i = 0; i < 10; i++)
            random_step(tx, &inside, &seed);
        check_oracle(tx, &inside);
        check_oracle(db, &now);
        bool keeps = rand_r(&seed) % 2;
        OK(keeps ? mlkv_commit(tx) : mlkv_abort(tx));
        if (keeps)
            now = inside;
        check_oracle(db, &now);
        for (int i = 0; i < 5; i++)
            random_step(db, &now, &seed);
        if (round % 30 == 29) {
            mlkv *snapshot = NULL;
            OK(mlkv_snapshot(db, &snapshot));
            oracle then = now;
            random_step(db, &now, &seed);
            check_oracle(snapshot, &then);
            OK(mlkv_close(snapshot));
            verify_all(db);
        }
    }
    OK(mlkv_close(db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hash");
    TCase *tcase = harness_case(suite, "hash");
    tcase_add_test(tcase, set_and_get);
    tcase_add_test(tcase, the_last_field_takes_the_key_along);
    tcase_add_test(tcase, many_fields_at_once);
    tcase_add_test(tcase, long_fields_and_large_values);
    tcase_add_test(tcase, large_values_are_released);
    tcase_add_test(tcase, add_counts);
    tcase_add_test(tcase, add_float_counts);
    tcase_add_test(tcase, lengths_of_values);
    tcase_add_test(tcase, refused_operations_change_nothing);
    tcase_add_test(tcase, random_operations);
    return harness_run(suite);
}
