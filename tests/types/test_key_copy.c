/* test_key_copy.c - COPY: every kind, over every kind; both live on by themselves; blobs are shared and counted; transactions. */
#include "types/kinds.h"

#include "base/fault.h"
#include "types/expiry.h"

#define HOUR INT64_C(3600000)

/* Which is which after one of them was changed, and when one is gone. */
static void change(mlkv *view, kind which, mlkv_slice key)
{
    mlkv_slice name = TEXT("changed");
    mlkv_pair pair = {name, name};
    mlkv_scored scored = {name, 0.25};
    float row[16] = {1};
    if (which <= KIND_LARGE_STRING)
        OK(mlkv_string_append(view, key, name, NULL));
    else if (which <= KIND_EXPIRING_HASH)
        OK(mlkv_hash_set(view, key, &pair, 1, NULL));
    else if (which == KIND_LIST)
        OK(mlkv_list_set(view, key, 0, name));
    else if (which == KIND_SET)
        OK(mlkv_set_add(view, key, &name, 1, NULL));
    else if (which == KIND_ZSET)
        OK(mlkv_zset_add(view, key, &scored, 1, 0, NULL, NULL));
    else if (which != KIND_EMPTY_TENSOR)
        OK(mlkv_tensor_write_rows(view, key, 50, 1, row, sizeof row));
}

START_TEST(every_kind_over_every_kind)
{
    mlkv *db = memory_store();
    mlkv_buffer text = {0};
    mlkv_slice keys[2] = {TEXT("from"), TEXT("to")};
    for (int a = 0; a < KINDS; a++) {
        for (int b = -1; b < KINDS; b++) {
            int copied = 77;
            make_kind(db, (kind)a, keys[0], 1);
            if (b >= 0)
                make_kind(db, (kind)b, keys[1], 2);
            if ((a + b) % 2 == 0)
                OK(mlkv_key_expire_at(db, keys[0], far_ms, MLKV_EXPIRE_ALWAYS));
            if (b >= 0 && b % 2 == 0)
                OK(mlkv_key_expire_at(db, keys[1], far_ms + 1, MLKV_EXPIRE_ALWAYS));
            describe(db, keys[0], &text);
            OK(mlkv_key_copy(db, keys[0], keys[1], 1, &copied));
            ck_assert_int_eq(copied, 1);
            is_as(db, keys[0], &text);
            is_as(db, keys[1], &text);
            ck_assert_uint_eq(key_count(db), 2);
            ck_assert_uint_eq(count_records(db, "X"), (a + b) % 2 == 0 ? 2 : 0);
            if (b % 4 == 0)
                verify_all(db);
            int first = b % 2 == 0;
            change(db, (kind)a, keys[first]);
            is_as(db, keys[!first], &text);
            OK(mlkv_key_delete(db, &keys[first], 1, NULL));
            clean_all(db);
            is_as(db, keys[!first], &text);
            OK(mlkv_key_delete(db, keys, 2, NULL));
        }
    }
    nothing_is_left(db);
    mlkv_buffer_free(&text);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(results)
{
    mlkv *db = memory_store(), *snapshot = NULL;
    mlkv_slice a = TEXT("a"), b = TEXT("b"), bad = {NULL, 3};
    mlkv_buffer text = {0};
    int copied = 77;
    MUST(MLKV_ABSENT, mlkv_key_copy(db, a, b, 0, &copied));
    MUST(MLKV_E_ARGUMENT, mlkv_key_copy(db, a, a, 1, &copied)); /* as Redis, before it looks */
    make_kind(db, KIND_STRING, b, 1);
    MUST(MLKV_ABSENT, mlkv_key_copy(db, a, b, 1, &copied));
    ck_assert_int_eq(copied, 77);
    ck_assert(is_there(db, b));
    make_kind(db, KIND_LIST, a, 1);
    describe(db, b, &text);
    OK(mlkv_key_copy(db, a, b, 0, &copied));
    ck_assert_int_eq(copied, 0);
    is_as(db, b, &text);
    OK(mlkv_key_copy(db, a, b, 0, NULL));
    is_as(db, b, &text);
    OK(mlkv_snapshot(db, &snapshot));
    MUST(MLKV_E_READONLY, mlkv_key_copy(snapshot, a, b, 1, &copied));
    OK(mlkv_close(snapshot));
    MUST(MLKV_E_ARGUMENT, mlkv_key_copy(NULL, a, b, 1, &copied));
    MUST(MLKV_E_ARGUMENT, mlkv_key_copy(db, bad, b, 1, &copied));
    MUST(MLKV_E_ARGUMENT, mlkv_key_copy(db, a, bad, 1, &copied));
    verify_all(db);
    mlkv_buffer_free(&text);
    OK(mlkv_close(db));
}
END_TEST

/* A copied blob is the same blob: twice referred to, and gone with the last of both. */
START_TEST(blobs_are_shared)
{
    mlkv *db = memory_store();
    mlkv_slice a = TEXT("a"), b = TEXT("b"), c = TEXT("c");
    make_kind(db, KIND_LARGE_STRING, a, 1);
    OK(mlkv_key_copy(db, a, b, 0, NULL));
    OK(mlkv_key_copy(db, b, a, 1, NULL)); /* over another reference to the same blob */
    OK(mlkv_key_copy(db, b, c, 0, NULL));
    ck_assert_uint_eq(count_records(db, "R"), 1);
    OK(mlkv_key_rename(db, c, b));
    verify_all(db);
    make_kind(db, KIND_LARGE_TENSOR, c, 1);
    size_t blobs = count_records(db, "R");
    ck_assert_uint_gt(blobs, 1);
    OK(mlkv_key_copy(db, c, TEXT("d"), 0, NULL));
    ck_assert_uint_eq(count_records(db, "R"), blobs);
    verify_all(db);
    mlkv_slice keys[] = {a, b, c, TEXT("d")};
    OK(mlkv_key_delete(db, keys, 4, NULL));
    nothing_is_left(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(a_tensor_begins_anew)
{
    mlkv *db = memory_store();
    mlkv_tensor_info info = {.size = sizeof info};
    make_kind(db, KIND_TENSOR, TEXT("a"), 1);
    change(db, KIND_TENSOR, TEXT("a"));
    OK(mlkv_key_copy(db, TEXT("a"), TEXT("b"), 0, NULL));
    OK(mlkv_tensor_get_info(db, TEXT("a"), &info));
    ck_assert_uint_eq(info.version, 2);
    OK(mlkv_tensor_get_info(db, TEXT("b"), &info));
    ck_assert_uint_eq(info.version, 1);
    OK(mlkv_key_rename(db, TEXT("a"), TEXT("c"))); /* the same life */
    OK(mlkv_tensor_get_info(db, TEXT("c"), &info));
    ck_assert_uint_eq(info.version, 2);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(in_a_transaction)
{
    mlkv *db = memory_store(), *inside = NULL;
    mlkv_buffer text = {0};
    mlkv_slice keys[] = {TEXT("a"), TEXT("b"), TEXT("c")};
    for (int which = 0; which < KINDS; which++) {
        for (int commits = 0; commits < 2; commits++) {
            make_kind(db, (kind)which, keys[0], 5);
            OK(mlkv_begin(db, &inside));
            change(inside, (kind)which, keys[0]); /* of the transaction itself */
            OK(mlkv_key_copy(inside, keys[0], keys[1], 0, NULL));
            describe(inside, keys[1], &text);
            is_as(inside, keys[0], &text);
            change(inside, which == KIND_SET ? KIND_STRING : (kind)which,
                   which == KIND_SET ? TEXT("d") : keys[1]);
            OK(mlkv_key_copy(inside, keys[1], keys[2], 1, NULL));
            describe(inside, keys[2], &text);
            OK(commits ? mlkv_commit(inside) : mlkv_abort(inside));
            if (commits)
                is_as(db, keys[2], &text);
            else
                ck_assert(!is_there(db, keys[1]) && !is_there(db, keys[2]));
            verify_all(db);
            OK(mlkv_key_delete(db, keys, 3, NULL));
            OK(mlkv_key_delete(db, &(mlkv_slice){"d", 1}, 1, NULL));
        }
    }
    nothing_is_left(db);
    mlkv_buffer_free(&text);
    OK(mlkv_close(db));
}
END_TEST

/* Fields whose time is over, but stand, are copied as they stand. */
START_TEST(expired_ones)
{
    mlkv *db = memory_store();
    mlkv_slice field = TEXT("f"), h = TEXT("h");
    mlkv_pair pairs[] = {{field, TEXT("v")}, {TEXT("g"), TEXT("w")}};
    int64_t outcome;
    uint64_t length = 77;
    int copied = 77;
    OK(mlkv_hash_set(db, h, pairs, 2, NULL));
    OK(mlkv_hash_expire(db, h, &field, 1, HOUR, MLKV_EXPIRE_ALWAYS, &outcome));
    make_kind(db, KIND_LIST, TEXT("old"), 1);
    OK(mlkv_key_expire(db, TEXT("old"), HOUR, MLKV_EXPIRE_ALWAYS));
    fault_clock_shift(2 * HOUR);
    MUST(MLKV_ABSENT, mlkv_key_copy(db, TEXT("old"), TEXT("new"), 0, &copied));
    OK(mlkv_key_copy(db, h, TEXT("old"), 0, &copied)); /* an expired destination is no key */
    ck_assert_int_eq(copied, 1);
    OK(mlkv_hash_length(db, TEXT("old"), &length));
    ck_assert_uint_eq(length, 1);
    verify_all(db);
    while (expiry_step(db) == MLKV_OK)
        ;
    OK(mlkv_hash_length(db, TEXT("old"), &length));
    ck_assert_uint_eq(length, 1);
    ck_assert_uint_eq(count_records(db, "F") + count_records(db, "Y") + count_records(db, "X"), 0);
    ck_assert_uint_eq(key_count(db), 2);
    verify_all(db);
    OK(mlkv_close(db));
    fault_clock_shift(0);
}
END_TEST

/* More than the ring holds goes to LMDB at once, whole; long names, reopened. */
START_TEST(large_ones)
{
    const char *folder = harness_folder();
    mlkv *db = folder_store(folder);
    mlkv_buffer text = {0};
    char to[1200];
    enum { ELEMENTS = 30000 };
    memset(to, 'x', sizeof to);
    mlkv_slice destination = slice_of(to, sizeof to);
    mlkv_scored *pairs = calloc(ELEMENTS, sizeof *pairs);
    static unsigned numbers[ELEMENTS];
    for (unsigned i = 0; i < ELEMENTS; i++) {
        numbers[i] = i;
        pairs[i] = (mlkv_scored){slice_of(&numbers[i], sizeof numbers[i]), i % 100};
    }
    OK(mlkv_zset_add(db, TEXT("z"), pairs, ELEMENTS, 0, NULL, NULL));
    free(pairs);
    describe(db, TEXT("z"), &text);
    OK(mlkv_key_copy(db, TEXT("z"), destination, 0, NULL));
    is_as(db, destination, &text);
    mlkv_slice key = TEXT("z");
    OK(mlkv_key_delete(db, &key, 1, NULL));
    OK(mlkv_close(db));
    db = folder_store(folder);
    clean_all(db);
    is_as(db, destination, &text);
    ck_assert_uint_eq(key_count(db), 1);
    verify_all(db);
    mlkv_buffer_free(&text);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("key_copy");
    TCase *tcase = harness_case(suite, "key_copy");
    tcase_add_test(tcase, every_kind_over_every_kind);
    tcase_add_test(tcase, results);
    tcase_add_test(tcase, blobs_are_shared);
    tcase_add_test(tcase, a_tensor_begins_anew);
    tcase_add_test(tcase, in_a_transaction);
    tcase_add_test(tcase, expired_ones);
    tcase_add_test(tcase, large_ones);
    return harness_run(suite);
}
