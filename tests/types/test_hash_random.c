/* test_hash_random.c - random fields of a hash: how many, which, how likely, by rank and by a walk, with values of every kind, in every
 * view, and while some fields have expired.
 */
#include "types/stores.h"

#include "base/fault.h"

#define HOUR INT64_C(3600000)

static void fill(mlkv *view, mlkv_slice key, unsigned count)
{
    char name[16], value[16];
    for (unsigned i = 0; i < count; i++) {
        mlkv_pair pair = {slice_of(name, (size_t)snprintf(name, sizeof name, "f%u", i)),
                          slice_of(value, (size_t)snprintf(value, sizeof value, "value%u", i))};
        OK(mlkv_hash_set(view, key, &pair, 1, NULL));
    }
}

static unsigned number_of(mlkv_slice name, size_t skipped)
{
    char text[16] = {0};
    ck_assert_uint_gt(name.size, skipped);
    ck_assert_uint_lt(name.size, sizeof text);
    memcpy(text, (const char *)name.data + skipped, name.size - skipped);
    return (unsigned)atoi(text);
}

enum { COUNT_MAX = 5000 };

static void check(mlkv *view, mlkv_slice key, unsigned count, size_t n, bool distinct, bool values)
{
    static unsigned char seen[COUNT_MAX];
    mlkv_rows rows = {0};
    memset(seen, 0, sizeof seen);
    OK(mlkv_hash_random(view, key, n, distinct, values, &rows));
    size_t width = values ? 2 : 1, expected = count == 0 ? 0 : distinct && n > count ? count : n;
    ck_assert_uint_eq(rows.count, expected * width);
    for (size_t i = 0; i < expected; i++) {
        unsigned number = number_of(rows.items[i * width], 1);
        ck_assert_uint_lt(number, count);
        ck_assert(!distinct || !seen[number]);
        seen[number] = 1;
        if (values)
            ck_assert_uint_eq(number_of(rows.items[i * width + 1], 5), number);
    }
    mlkv_rows_free(&rows);
}

START_TEST(as_many_as_asked_for)
{
    static const unsigned counts[] = {0, 1, 2, 40, 300, 3000};
    static const size_t sizes[] = {0, 1, 2, 10, 39, 40, 41, 187, 188, 299, 300, 3000, 9000};
    mlkv *db = memory_store(), *tx = NULL, *snapshot = NULL;
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        OK(mlkv_key_delete(db, &(mlkv_slice){"h", 1}, 1, NULL));
        OK(mlkv_begin(db, &tx));
        fill(tx, TEXT("h"), counts[c]);
        check(tx, TEXT("h"), counts[c], 7, true, true);
        OK(mlkv_commit(tx));
        OK(mlkv_snapshot(db, &snapshot));
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            for (int kind = 0; kind < 4; kind++)
                check(i % 3 == 0 ? snapshot : db, TEXT("h"), counts[c], sizes[i], kind & 1,
                      kind & 2);
        OK(mlkv_close(snapshot));
    }
    OK(mlkv_close(db));
}
END_TEST

/* 600 fields: by rank; 8 fields: by a walk. Chi squared with COUNT - 1 degrees of freedom lies above these once in 10^8 runs. */
static void check_uniform(mlkv *db, mlkv_slice key, unsigned count, size_t each, bool distinct,
                          size_t draws, double limit)
{
    static unsigned counts[COUNT_MAX];
    mlkv_rows rows = {0};
    size_t drawn = 0;
    memset(counts, 0, sizeof counts);
    while (drawn < draws) {
        OK(mlkv_hash_random(db, key, each, distinct, 0, &rows));
        ck_assert_uint_eq(rows.count, each);
        counts[number_of(rows.items[0], 1)]++; /* the first of several is as likely any as others */
        drawn++;
        for (size_t i = 1; i < each && !distinct; i++, drawn++)
            counts[number_of(rows.items[i], 1)]++;
    }
    double sum = 0, expected = (double)drawn / count;
    for (unsigned i = 0; i < count; i++)
        sum += (counts[i] - expected) * (counts[i] - expected) / expected;
    ck_assert_msg(sum < limit, "chi squared is %f", sum);
    mlkv_rows_free(&rows);
}

START_TEST(each_is_equally_likely)
{
    mlkv *db = memory_store();
    fill(db, TEXT("few"), 8);
    fill(db, TEXT("many"), 600);
    check_uniform(db, TEXT("few"), 8, 1, true, 4000, 50);
    check_uniform(db, TEXT("few"), 8, 1000, false, 32000, 50);
    check_uniform(db, TEXT("few"), 8, 3, true, 4000, 50);
    check_uniform(db, TEXT("many"), 600, 30, false, 12000, 820);
    check_uniform(db, TEXT("many"), 600, 100, false, 30000, 820);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(what_has_expired_is_not_drawn)
{
    mlkv *db = memory_store();
    mlkv_rows rows = {0};
    char name[16];
    int64_t outcome;
    fill(db, TEXT("h"), 1000);
    for (unsigned i = 0; i < 1000; i += 2) {
        mlkv_slice field = slice_of(name, (size_t)snprintf(name, sizeof name, "f%u", i));
        OK(mlkv_hash_expire(db, TEXT("h"), &field, 1, HOUR, MLKV_EXPIRE_ALWAYS, &outcome));
    }
    mlkv *tx = NULL;
    fault_clock_shift(2 * HOUR);
    OK(mlkv_begin(db, &tx)); /* holds off the pass */
    for (int kind = 0; kind < 4; kind++) {
        OK(mlkv_hash_random(tx, TEXT("h"), kind < 2 ? 5 : 2000, kind % 2, 1, &rows));
        ck_assert_uint_eq(rows.count, 2 * (kind < 2 ? 5 : kind == 2 ? 2000 : 500));
        for (size_t i = 0; i < rows.count; i += 2)
            ck_assert_uint_eq(number_of(rows.items[i], 1) % 2, 1);
    }
    OK(mlkv_abort(tx));
    mlkv_rows_free(&rows);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(long_fields_and_large_values)
{
    enum { LARGE = 200000, COUNT = 400 };
    static char noise[LARGE];
    mlkv *db = memory_store();
    mlkv_rows rows = {0};
    mlkv_buffer value = {0};
    for (unsigned i = 0; i < COUNT; i++) {
        size_t size = i == 7 ? LARGE : i % 3 == 0 ? 3000 : 10;
        fill_noise(noise, size, i);
        mlkv_pair pair = {long_name(i % 2 == 0 ? 600 : 100, i), slice_of(noise, size)};
        OK(mlkv_hash_set(db, TEXT("h"), &pair, 1, NULL));
    }
    for (int round = 0; round < 40; round++) {
        OK(mlkv_hash_random(db, TEXT("h"), round % 2 == 0 ? 20 : 100, 1, 1, &rows));
        for (size_t i = 0; i < rows.count; i += 2) {
            OK(mlkv_hash_get(db, TEXT("h"), rows.items[i], &value));
            IS(rows.items[i + 1], value);
        }
    }
    mlkv_rows_free(&rows);
    mlkv_buffer_free(&value);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(misuse)
{
    mlkv *db = memory_store();
    mlkv_rows rows = {0};
    fill(db, TEXT("h"), 3);
    MUST(MLKV_E_ARGUMENT, mlkv_hash_random(db, TEXT("h"), 1, 1, 0, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_hash_random(NULL, TEXT("h"), 1, 1, 0, &rows));
    MUST(MLKV_E_ARGUMENT, mlkv_hash_random(db, (mlkv_slice){NULL, 1}, 1, 1, 0, &rows));
    OK(mlkv_hash_random(db, TEXT("h"), 2, 1, 0, &rows));
    MUST(MLKV_E_SIZE, mlkv_hash_random(db, TEXT("h"), SIZE_MAX, 0, 0, &rows));
    ck_assert_uint_eq(rows.count, 0);
    OK(mlkv_hash_random(db, TEXT("h"), SIZE_MAX, 1, 0, &rows));
    ck_assert_uint_eq(rows.count, 3);
    OK(mlkv_string_set(db, TEXT("s"), TEXT("v"), MLKV_SET_ALWAYS));
    MUST(MLKV_E_TYPE, mlkv_hash_random(db, TEXT("s"), 1, 1, 0, &rows));
    ck_assert_uint_eq(rows.count, 0);
    mlkv_rows_free(&rows);
    OK(mlkv_close(db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("types/hash_random");
    TCase *tcase = harness_case(suite, "hash_random");
    tcase_add_test(tcase, as_many_as_asked_for);
    tcase_add_test(tcase, each_is_equally_likely);
    tcase_add_test(tcase, what_has_expired_is_not_drawn);
    tcase_add_test(tcase, long_fields_and_large_values);
    tcase_add_test(tcase, misuse);
    return harness_run(suite);
}
