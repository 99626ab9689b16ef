/* test_key_flush.c - FLUSHALL: nothing of any kind is left, at once or not at all. */
#include "types/kinds.h"

#include "base/fault.h"

static void make_all(mlkv *view, unsigned seed)
{
    char name[20];
    for (int which = 0; which < KINDS; which++) {
        snprintf(name, sizeof name, "key%d", which);
        make_kind(view, (kind)which, slice_of_text(name), seed);
        if (which % 2 == 0)
            OK(mlkv_key_expire_at(view, slice_of_text(name), far_ms, MLKV_EXPIRE_ALWAYS));
    }
    OK(mlkv_string_set(view, long_name(3000, 1), TEXT("v"), MLKV_SET_ALWAYS));
    OK(mlkv_string_set(view, TEXT(""), TEXT("v"), MLKV_SET_ALWAYS));
}

START_TEST(nothing_stays)
{
    const char *folder = harness_folder();
    mlkv *db = folder_store(folder);
    OK(mlkv_key_delete_all(db)); /* of nothing */
    ck_assert_uint_eq(key_count(db), 0);
    for (unsigned round = 0; round < 3; round++) {
        make_all(db, round);
        ck_assert_uint_eq(key_count(db), KINDS + 2);
        if (round == 1)
            OK(mlkv_flush(db, MLKV_STORE));
        OK(mlkv_key_delete_all(db));
        ck_assert_uint_eq(key_count(db), 0);
        ck_assert_uint_eq(count_records(db, "K") + count_records(db, "X") + count_records(db, "F"),
                          0);
        verify_all(db);
    }
    make_all(db, 9); /* new lives beside what the cleaner has not taken yet */
    verify_all(db);
    OK(mlkv_key_delete_all(db));
    OK(mlkv_close(db));
    db = folder_store(folder);
    nothing_is_left(db);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

START_TEST(in_a_transaction)
{
    mlkv *db = memory_store(), *inside = NULL, *snapshot = NULL;
    for (int commits = 0; commits < 2; commits++) {
        make_all(db, 1);
        OK(mlkv_snapshot(db, &snapshot));
        MUST(MLKV_E_READONLY, mlkv_key_delete_all(snapshot));
        OK(mlkv_begin(db, &inside));
        make_kind(inside, KIND_ZSET, TEXT("new"), 1);
        OK(mlkv_key_delete(inside, &(mlkv_slice){"key3", 4}, 1, NULL));
        OK(mlkv_key_delete_all(inside));
        ck_assert_uint_eq(key_count(inside), 0);
        ck_assert(!is_there(inside, TEXT("new")) && !is_there(inside, TEXT("key1")));
        make_kind(inside, KIND_LIST, TEXT("after"), 1);
        ck_assert_uint_eq(key_count(inside), 1);
        OK(commits ? mlkv_commit(inside) : mlkv_abort(inside));
        ck_assert_uint_eq(key_count(db), commits ? 1 : KINDS + 2);
        ck_assert_uint_eq(key_count(snapshot), KINDS + 2);
        ck_assert(is_there(snapshot, TEXT("key3")));
        verify_all(db);
        OK(mlkv_close(snapshot));
    }
    OK(mlkv_key_delete_all(db));
    nothing_is_left(db);
    MUST(MLKV_E_ARGUMENT, mlkv_key_delete_all(NULL));
    OK(mlkv_close(db));
}
END_TEST

/* More keys than a ring holds; expired ones count too. */
START_TEST(many_keys)
{
    mlkv *db = memory_store();
    enum { KEYS = 30000 };
    for (unsigned i = 0; i < KEYS; i++)
        OK(mlkv_string_set(db, slice_of(&i, sizeof i), TEXT("v"), MLKV_SET_ALWAYS));
    OK(mlkv_key_expire(db, slice_of(&(unsigned){7}, 4), 1000, MLKV_EXPIRE_ALWAYS));
    fault_clock_shift(3600000);
    OK(mlkv_key_delete_all(db));
    nothing_is_left(db);
    OK(mlkv_close(db));
    fault_clock_shift(0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("key_flush");
    TCase *tcase = harness_case(suite, "key_flush");
    tcase_add_test(tcase, nothing_stays);
    tcase_add_test(tcase, in_a_transaction);
    tcase_add_test(tcase, many_keys);
    return harness_run(suite);
}
