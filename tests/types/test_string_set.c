/* test_string_set.c - SET in all its forms, several keys at once, GETDEL, GETEX. */
#include "types/stores.h"

#include "base/clock.h"
#include "base/fault.h"

#define HOUR INT64_C(3600000)

static const mlkv_expiry none = {.kind = MLKV_EXPIRY_NONE}, keep = {.kind = MLKV_EXPIRY_KEEP},
                         in_an_hour = {.kind = MLKV_EXPIRY_IN, .ms = HOUR};

static int64_t ttl(mlkv *view, mlkv_slice key)
{
    int64_t ms = -7;
    OK(mlkv_key_ttl(view, key, &ms));
    return ms;
}

static void is(mlkv *view, mlkv_slice key, mlkv_slice expected)
{
    mlkv_buffer value = {0};
    OK(mlkv_string_get(view, key, &value));
    IS(expected, value);
    mlkv_buffer_free(&value);
}

static void is_absent(mlkv *view, mlkv_slice key)
{
    mlkv_buffer value = {0};
    MUST(MLKV_ABSENT, mlkv_string_get(view, key, &value));
    mlkv_buffer_free(&value);
}

START_TEST(expiries_of_set)
{
    mlkv *db = memory_store();
    mlkv_expiry at = {.kind = MLKV_EXPIRY_AT, .ms = clock_wall_ms() + HOUR};
    OK(mlkv_string_set_with(db, TEXT("k"), TEXT("1"), MLKV_SET_ALWAYS, in_an_hour, NULL, NULL));
    ck_assert_int_gt(ttl(db, TEXT("k")), HOUR / 2);
    OK(mlkv_string_set_with(db, TEXT("k"), TEXT("2"), MLKV_SET_ALWAYS, keep, NULL, NULL));
    ck_assert_int_gt(ttl(db, TEXT("k")), HOUR / 2);
    is(db, TEXT("k"), TEXT("2"));
    OK(mlkv_string_set_with(db, TEXT("k"), TEXT("3"), MLKV_SET_ALWAYS, none, NULL, NULL));
    ck_assert_int_eq(ttl(db, TEXT("k")), MLKV_NO_EXPIRY);
    OK(mlkv_string_set_with(db, TEXT("new"), TEXT("4"), MLKV_SET_ALWAYS, keep, NULL, NULL));
    ck_assert_int_eq(ttl(db, TEXT("new")), MLKV_NO_EXPIRY);
    OK(mlkv_string_set_with(db, TEXT("k"), TEXT("5"), MLKV_SET_IF_PRESENT, at, NULL, NULL));
    int64_t found;
    OK(mlkv_key_expiry(db, TEXT("k"), &found));
    ck_assert_int_eq(found, at.ms);
    verify_all(db);
    at.ms = 1; /* over */
    OK(mlkv_string_set_with(db, TEXT("k"), TEXT("6"), MLKV_SET_ALWAYS, at, NULL, NULL));
    OK(mlkv_string_set_with(db, TEXT("other"), TEXT("6"), MLKV_SET_ALWAYS, at, NULL, NULL));
    ck_assert_uint_eq(key_count(db), 1);
    OK(mlkv_set_add(db, TEXT("set"), &(mlkv_slice){"m", 1}, 1, NULL));
    OK(mlkv_key_expire(db, TEXT("set"), HOUR, MLKV_EXPIRE_ALWAYS));
    OK(mlkv_string_set_with(db, TEXT("set"), TEXT("7"), MLKV_SET_ALWAYS, keep, NULL, NULL));
    ck_assert_int_gt(ttl(db, TEXT("set")),
                     HOUR / 2); /* as Redis has it: kept over a change of type */
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(arguments_are_checked)
{
    mlkv *db = memory_store();
    mlkv_buffer old = {0};
    mlkv_expiry unknown = {.kind = 4}, zero = {.kind = MLKV_EXPIRY_IN}, odd = {.reserved = 1},
                far = {.kind = MLKV_EXPIRY_IN, .ms = INT64_MAX};
    MUST(MLKV_E_ARGUMENT,
         mlkv_string_set_with(db, TEXT("k"), TEXT("v"), MLKV_SET_ALWAYS, unknown, NULL, NULL));
    MUST(MLKV_E_ARGUMENT,
         mlkv_string_set_with(db, TEXT("k"), TEXT("v"), MLKV_SET_ALWAYS, odd, NULL, NULL));
    MUST(MLKV_E_RANGE,
         mlkv_string_set_with(db, TEXT("k"), TEXT("v"), MLKV_SET_ALWAYS, zero, NULL, NULL));
    MUST(MLKV_E_RANGE,
         mlkv_string_set_with(db, TEXT("k"), TEXT("v"), MLKV_SET_ALWAYS, far, NULL, NULL));
    MUST(MLKV_E_ARGUMENT,
         mlkv_string_set_with(db, TEXT("k"), TEXT("v"), (mlkv_set_condition)3, none, NULL, NULL));
    MUST(MLKV_E_ARGUMENT,
         mlkv_string_set_with(db, TEXT("k"), TEXT("v"), MLKV_SET_ALWAYS, none, &old, NULL));
    MUST(MLKV_E_ARGUMENT,
         mlkv_string_set_with(NULL, TEXT("k"), TEXT("v"), MLKV_SET_ALWAYS, none, NULL, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_string_get_delete(db, TEXT("k"), NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_string_get_expire(db, TEXT("k"), unknown, &old));
    ck_assert_uint_eq(key_count(db), 0);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(set_gives_the_old_value)
{
    mlkv *db = memory_store();
    mlkv_buffer old = {0};
    int existed = 7;
    OK(mlkv_string_set_with(db, TEXT("k"), TEXT("1"), MLKV_SET_ALWAYS, none, &old, &existed));
    ck_assert_int_eq(existed, 0);
    OK(mlkv_string_set_with(db, TEXT("k"), TEXT("2"), MLKV_SET_ALWAYS, none, &old, &existed));
    ck_assert_int_eq(existed, 1);
    IS(TEXT("1"), old);
    MUST(MLKV_ABSENT,
         mlkv_string_set_with(db, TEXT("k"), TEXT("3"), MLKV_SET_IF_ABSENT, none, &old, &existed));
    ck_assert_int_eq(existed, 1);
    IS(TEXT("2"), old);
    MUST(MLKV_ABSENT,
         mlkv_string_set_with(db, TEXT("x"), TEXT("3"), MLKV_SET_IF_PRESENT, none, &old, &existed));
    ck_assert_int_eq(existed, 0);
    IS(TEXT("2"), old); /* nothing to give: as it was */
    is(db, TEXT("k"), TEXT("2"));
    OK(mlkv_set_add(db, TEXT("set"), &(mlkv_slice){"m", 1}, 1, NULL));
    existed = 7;
    MUST(MLKV_E_TYPE,
         mlkv_string_set_with(db, TEXT("set"), TEXT("3"), MLKV_SET_ALWAYS, none, &old, &existed));
    ck_assert_int_eq(existed, 7);
    IS(TEXT("2"), old);
    size_t size = 2 << 20;
    char *large = malloc(size);
    fill_noise(large, size, 3);
    OK(mlkv_string_set(db, TEXT("k"), slice_of(large, size), MLKV_SET_ALWAYS));
    OK(mlkv_string_set_with(db, TEXT("k"), TEXT("small"), MLKV_SET_ALWAYS, none, &old, &existed));
    IS(slice_of(large, size), old);
    ck_assert_uint_eq(count_records(db, "R"), 0);
    verify_all(db);
    free(large);
    mlkv_buffer_free(&old);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(several_keys_if_none_exists)
{
    mlkv *db = memory_store();
    mlkv_pair pairs[] = {{TEXT("a"), TEXT("1")}, {TEXT("b"), TEXT("2")}, {TEXT("a"), TEXT("3")}};
    OK(mlkv_string_set_many_if_absent(db, pairs, 3));
    is(db, TEXT("a"), TEXT("3"));
    is(db, TEXT("b"), TEXT("2"));
    pairs[0].name = TEXT("c");
    MUST(MLKV_ABSENT, mlkv_string_set_many_if_absent(db, pairs, 2));
    is_absent(db, TEXT("c"));
    OK(mlkv_string_set_many_if_absent(db, NULL, 0));
    MUST(MLKV_E_ARGUMENT, mlkv_string_set_many_if_absent(db, NULL, 1));
    OK(mlkv_key_expire(db, TEXT("b"), HOUR, MLKV_EXPIRE_ALWAYS));
    fault_clock_shift(2 * HOUR);
    pairs[0].value = TEXT("9");
    OK(mlkv_string_set_many_if_absent(db, pairs, 2)); /* an expired key is absent */
    is(db, TEXT("b"), TEXT("2"));
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(get_and_delete)
{
    mlkv *db = memory_store();
    mlkv_buffer value = {0};
    size_t size = 2 << 20;
    char *large = malloc(size);
    fill_noise(large, size, 4);
    MUST(MLKV_ABSENT, mlkv_string_get_delete(db, TEXT("k"), &value));
    OK(mlkv_string_set_with(db, TEXT("k"), slice_of(large, size), MLKV_SET_ALWAYS, in_an_hour, NULL,
                            NULL));
    OK(mlkv_string_get_delete(db, TEXT("k"), &value));
    IS(slice_of(large, size), value);
    ck_assert_uint_eq(key_count(db), 0);
    ck_assert_uint_eq(count_records(db, "R"), 0);
    ck_assert_uint_eq(count_records(db, "X"), 0);
    OK(mlkv_set_add(db, TEXT("set"), &(mlkv_slice){"m", 1}, 1, NULL));
    MUST(MLKV_E_TYPE, mlkv_string_get_delete(db, TEXT("set"), &value));
    IS(slice_of(large, size), value);
    verify_all(db);
    free(large);
    mlkv_buffer_free(&value);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(get_and_change_the_expiry)
{
    mlkv *db = memory_store();
    mlkv_buffer value = {0};
    size_t size = 2 << 20;
    char *large = malloc(size);
    fill_noise(large, size, 5);
    MUST(MLKV_ABSENT, mlkv_string_get_expire(db, TEXT("k"), none, &value));
    const mlkv_slice values[] = {TEXT("small"), slice_of(large, size)};
    for (size_t i = 0; i < 2; i++) {
        OK(mlkv_string_set(db, TEXT("k"), values[i], MLKV_SET_ALWAYS));
        OK(mlkv_string_get_expire(db, TEXT("k"), in_an_hour, &value));
        IS(values[i], value);
        ck_assert_int_gt(ttl(db, TEXT("k")), HOUR / 2);
        OK(mlkv_string_get_expire(db, TEXT("k"), keep, &value));
        ck_assert_int_gt(ttl(db, TEXT("k")), HOUR / 2);
        OK(mlkv_string_get_expire(db, TEXT("k"), none, &value));
        ck_assert_int_eq(ttl(db, TEXT("k")), MLKV_NO_EXPIRY);
        is(db, TEXT("k"), values[i]);
        verify_all(db);
    }
    OK(mlkv_string_get_expire(db, TEXT("k"), (mlkv_expiry){.kind = MLKV_EXPIRY_AT, .ms = 1},
                              &value));
    IS(values[1], value);
    ck_assert_uint_eq(key_count(db), 0);
    verify_all(db);
    free(large);
    mlkv_buffer_free(&value);
    OK(mlkv_close(db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("types/string_set");
    TCase *tcase = harness_case(suite, "string_set");
    tcase_add_test(tcase, expiries_of_set);
    tcase_add_test(tcase, arguments_are_checked);
    tcase_add_test(tcase, set_gives_the_old_value);
    tcase_add_test(tcase, several_keys_if_none_exists);
    tcase_add_test(tcase, get_and_delete);
    tcase_add_test(tcase, get_and_change_the_expiry);
    return harness_run(suite);
}
