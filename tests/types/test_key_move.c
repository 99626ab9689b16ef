/* test_key_move.c - RENAME and RENAMENX: every kind onto every kind, expiries, long names, transactions, watchers, waiting pops. */
#include "types/kinds.h"

#include "base/clock.h"
#include "base/fault.h"
#include "types/expiry.h"

#include <pthread.h>

#define HOUR INT64_C(3600000)

static void rename_each(mlkv *db, mlkv_slice from, mlkv_slice to)
{
    mlkv_buffer text = {0};
    mlkv_slice keys[2] = {from, to};
    for (int a = 0; a < KINDS; a++) {
        for (int b = -1; b < KINDS; b++) {
            make_kind(db, (kind)a, from, 1);
            if (b >= 0)
                make_kind(db, (kind)b, to, 2);
            if ((a + b) % 2 == 0)
                OK(mlkv_key_expire_at(db, from, far_ms, MLKV_EXPIRE_ALWAYS));
            if (b >= 0 && b % 2 == 0)
                OK(mlkv_key_expire_at(db, to, far_ms + 1, MLKV_EXPIRE_ALWAYS));
            describe(db, from, &text);
            OK(mlkv_key_rename(db, from, to));
            ck_assert(!is_there(db, from));
            is_as(db, to, &text);
            ck_assert_uint_eq(key_count(db), 1);
            ck_assert_uint_eq(count_records(db, "X"), (a + b) % 2 == 0 ? 1 : 0);
            ck_assert_uint_eq(count_records(db, "F"), a == KIND_EXPIRING_HASH ? 1 : 0);
            if (b % 4 == 0)
                verify_all(db);
            OK(mlkv_key_delete(db, keys, 2, NULL));
        }
    }
    mlkv_buffer_free(&text);
}

START_TEST(every_kind_onto_every_kind)
{
    mlkv *db = memory_store();
    rename_each(db, TEXT("from"), TEXT("to"));
    nothing_is_left(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(long_names)
{
    mlkv *db = memory_store();
    char from[2000], to[600];
    mlkv_buffer text = {0};
    memset(from, 'n', sizeof from);
    memset(to, 'n', sizeof to);
    static const size_t sizes[] = {0, 1, 493, 494, 509, 510, 511, 600};
    for (int which = 0; which < KINDS; which++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            mlkv_slice first = slice_of(from, sizeof from), second = slice_of(to, sizes[i]);
            make_kind(db, (kind)which, first, 3);
            OK(mlkv_key_expire_at(db, first, far_ms, MLKV_EXPIRE_ALWAYS));
            describe(db, first, &text);
            OK(mlkv_key_rename(db, first, second));
            is_as(db, second, &text);
            OK(mlkv_key_rename(db, second, first));
            is_as(db, first, &text);
            ck_assert(!is_there(db, second));
            OK(mlkv_key_delete(db, &first, 1, NULL));
        }
        verify_all(db);
    }
    nothing_is_left(db);
    mlkv_buffer_free(&text);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(results)
{
    mlkv *db = memory_store(), *snapshot = NULL;
    int renamed = 77;
    mlkv_slice bad = {NULL, 3};
    MUST(MLKV_ABSENT, mlkv_key_rename(db, TEXT("a"), TEXT("b")));
    MUST(MLKV_ABSENT, mlkv_key_rename(db, TEXT("a"), TEXT("a")));
    MUST(MLKV_ABSENT, mlkv_key_rename_if_absent(db, TEXT("a"), TEXT("b"), &renamed));
    MUST(MLKV_ABSENT, mlkv_key_rename_if_absent(db, TEXT("a"), TEXT("a"), &renamed));
    ck_assert_int_eq(renamed, 77);
    make_kind(db, KIND_STRING, TEXT("a"), 1);
    MUST(MLKV_ABSENT, mlkv_key_rename(db, TEXT("b"), TEXT("a")));
    ck_assert(is_there(db, TEXT("a")));
    OK(mlkv_key_rename(db, TEXT("a"), TEXT("a")));
    OK(mlkv_key_rename_if_absent(db, TEXT("a"), TEXT("a"), &renamed));
    ck_assert_int_eq(renamed, 0);
    OK(mlkv_key_rename_if_absent(db, TEXT("a"), TEXT("b"), &renamed));
    ck_assert_int_eq(renamed, 1);
    make_kind(db, KIND_LIST, TEXT("a"), 1);
    OK(mlkv_key_rename_if_absent(db, TEXT("a"), TEXT("b"), &renamed));
    ck_assert_int_eq(renamed, 0);
    OK(mlkv_key_rename_if_absent(db, TEXT("a"), TEXT("b"), NULL));
    ck_assert_uint_eq(key_count(db), 2);
    MUST(MLKV_E_ARGUMENT, mlkv_key_rename(NULL, TEXT("a"), TEXT("b")));
    MUST(MLKV_E_ARGUMENT, mlkv_key_rename(db, bad, TEXT("b")));
    MUST(MLKV_E_ARGUMENT, mlkv_key_rename(db, TEXT("a"), bad));
    mlkv_slice huge = {calloc(1, (16 << 20) + 1), (16 << 20) + 1};
    MUST(MLKV_E_SIZE, mlkv_key_rename(db, TEXT("a"), huge));
    MUST(MLKV_E_SIZE, mlkv_key_rename(db, huge, TEXT("a")));
    free((void *)(uintptr_t)huge.data);
    OK(mlkv_snapshot(db, &snapshot));
    MUST(MLKV_E_READONLY, mlkv_key_rename(snapshot, TEXT("a"), TEXT("b")));
    OK(mlkv_close(snapshot));
    ck_assert_uint_eq(key_count(db), 2);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

/* An expired destination is no key, though its records stand; an expired source is none either. */
START_TEST(expired_ones)
{
    mlkv *db = memory_store();
    mlkv_buffer text = {0};
    int renamed = 77;
    for (int which = 0; which < KINDS; which++) {
        make_kind(db, (kind)which, TEXT("old"), 1);
        make_kind(db, KIND_ZSET, TEXT("new"), 2);
        mlkv_slice old = TEXT("old");
        OK(mlkv_key_expire(db, old, HOUR, MLKV_EXPIRE_ALWAYS));
        fault_clock_shift(2 * HOUR * (which + 1));
        describe(db, TEXT("new"), &text);
        MUST(MLKV_ABSENT, mlkv_key_rename(db, TEXT("old"), TEXT("new")));
        OK(mlkv_key_rename_if_absent(db, TEXT("new"), TEXT("old"), &renamed));
        ck_assert_int_eq(renamed, 1);
        is_as(db, TEXT("old"), &text);
        int result = MLKV_OK;
        while (result == MLKV_OK)
            result = expiry_step(db);
        MUST(MLKV_ABSENT, result);
        is_as(db, TEXT("old"), &text);
        ck_assert_uint_eq(key_count(db), 1);
        ck_assert_uint_eq(count_records(db, "X"), 0);
        verify_all(db);
        OK(mlkv_key_delete(db, &old, 1, NULL));
    }
    nothing_is_left(db);
    mlkv_buffer_free(&text);
    OK(mlkv_close(db));
    fault_clock_shift(0);
}
END_TEST

/* The expiries of key and fields find the key under its new name. */
START_TEST(what_is_due_is_found_under_the_new_name)
{
    mlkv *db = memory_store();
    mlkv_slice field = TEXT("f"), other = TEXT("g");
    mlkv_pair pairs[] = {{field, TEXT("v")}, {other, TEXT("w")}};
    int64_t outcome;
    uint64_t length = 77;
    OK(mlkv_hash_set(db, TEXT("h"), pairs, 2, NULL));
    OK(mlkv_hash_expire(db, TEXT("h"), &field, 1, HOUR, MLKV_EXPIRE_ALWAYS, &outcome));
    OK(mlkv_key_expire(db, TEXT("h"), 3 * HOUR, MLKV_EXPIRE_ALWAYS));
    OK(mlkv_key_rename(db, TEXT("h"), TEXT("moved")));
    fault_clock_shift(2 * HOUR);
    while (expiry_step(db) == MLKV_OK)
        ;
    OK(mlkv_hash_length(db, TEXT("moved"), &length));
    ck_assert_uint_eq(length, 1);
    ck_assert_uint_eq(count_records(db, "E"), 1);
    ck_assert_uint_eq(count_records(db, "F") + count_records(db, "Y"), 0);
    fault_clock_shift(4 * HOUR);
    while (expiry_step(db) == MLKV_OK)
        ;
    nothing_is_left(db);
    OK(mlkv_close(db));
    fault_clock_shift(0);
}
END_TEST

START_TEST(in_a_transaction)
{
    mlkv *db = memory_store(), *inside = NULL;
    mlkv_buffer text = {0};
    for (int which = 0; which < KINDS; which++) {
        for (int commits = 0; commits < 2; commits++) {
            make_kind(db, KIND_SET, TEXT("b"), 9);
            OK(mlkv_begin(db, &inside));
            make_kind(inside, (kind)which, TEXT("a"), 5); /* elements of the same transaction */
            OK(mlkv_key_rename(inside, TEXT("a"), TEXT("b")));
            OK(mlkv_key_rename(inside, TEXT("b"), TEXT("c")));
            OK(mlkv_key_rename(inside, TEXT("c"), TEXT("a")));
            make_kind(inside, (kind)which, TEXT("a"), 6); /* and more, after */
            OK(mlkv_key_rename(inside, TEXT("a"), TEXT("b")));
            describe(inside, TEXT("b"), &text);
            ck_assert(!is_there(inside, TEXT("a")));
            ck_assert_uint_eq(key_count(inside), 1);
            OK(commits ? mlkv_commit(inside) : mlkv_abort(inside));
            ck_assert(!is_there(db, TEXT("a")) && !is_there(db, TEXT("c")));
            if (commits)
                is_as(db, TEXT("b"), &text);
            ck_assert_uint_eq(key_count(db), 1);
            verify_all(db);
            mlkv_slice key = TEXT("b");
            OK(mlkv_key_delete(db, &key, 1, NULL));
        }
    }
    nothing_is_left(db);
    mlkv_buffer_free(&text);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(after_reopening)
{
    const char *folder = harness_folder();
    mlkv *db = folder_store(folder);
    mlkv_buffer texts[KINDS] = {0};
    char from[20], to[20];
    for (int which = 0; which < KINDS; which++) {
        snprintf(from, sizeof from, "from%d", which);
        snprintf(to, sizeof to, "to%d", which);
        make_kind(db, (kind)which, slice_of_text(from), 4);
        describe(db, slice_of_text(from), &texts[which]);
        OK(mlkv_flush(db, which % 2 == 0 ? MLKV_STORE : MLKV_JOURNAL));
        OK(mlkv_key_rename(db, slice_of_text(from), slice_of_text(to)));
    }
    OK(mlkv_close(db));
    db = folder_store(folder);
    for (int which = 0; which < KINDS; which++) {
        snprintf(to, sizeof to, "to%d", which);
        is_as(db, slice_of_text(to), &texts[which]);
        mlkv_buffer_free(&texts[which]);
    }
    ck_assert_uint_eq(key_count(db), KINDS);
    verify_all(db);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* A counted tree is of a life, so it stays true under another name. */
START_TEST(ranks_stay)
{
    mlkv *db = memory_store(), *inside = NULL;
    uint64_t rank = 77;
    double score;
    enum { MEMBERS = 3000 };
    for (unsigned i = 0; i < MEMBERS; i++) {
        mlkv_scored pair = {slice_of(&i, sizeof i), i};
        OK(mlkv_zset_add(db, TEXT("z"), &pair, 1, 0, NULL, NULL));
    }
    unsigned last = MEMBERS - 1;
    mlkv_slice member = slice_of(&last, sizeof last), first = slice_of(&(unsigned){0}, 4);
    OK(mlkv_zset_rank(db, TEXT("z"), member, 0, &rank, &score));
    ck_assert_uint_eq(rank, MEMBERS - 1);
    OK(mlkv_begin(db, &inside));
    OK(mlkv_zset_remove(inside, TEXT("z"), &first, 1, NULL));
    OK(mlkv_key_rename(inside, TEXT("z"), TEXT("y")));
    OK(mlkv_zset_rank(inside, TEXT("y"), member, 0, &rank, &score));
    ck_assert_uint_eq(rank, MEMBERS - 2);
    OK(mlkv_commit(inside));
    OK(mlkv_zset_rank(db, TEXT("y"), member, 0, &rank, &score));
    ck_assert_uint_eq(rank, MEMBERS - 2);
    MUST(MLKV_ABSENT, mlkv_zset_rank(db, TEXT("z"), member, 0, &rank, &score));
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

/* --- who watches, who waits --- */

START_TEST(watchers_see_both_names)
{
    mlkv *db = memory_store(), *inside = NULL;
    mlkv_slice from = TEXT("from"), to = TEXT("to"), prefix = TEXT("t"), field = TEXT("f");
    mlkv_pair pair = {field, TEXT("v")};
    mlkv_watch *watches[3] = {0};
    mlkv_watch_query queries[] = {{sizeof(mlkv_watch_query), &from, 1, NULL, 0},
                                  {sizeof(mlkv_watch_query), &to, 1, NULL, 0},
                                  {sizeof(mlkv_watch_query), NULL, 0, &prefix, 1}};
    OK(mlkv_hash_set(db, from, &pair, 1, NULL));
    for (int i = 0; i < 3; i++)
        OK(mlkv_watch_open(db, &queries[i], &watches[i]));
    OK(mlkv_key_rename(db, from, to));
    for (int i = 0; i < 3; i++)
        MUST(MLKV_OK, mlkv_watch_wait(watches[i], 0));
    OK(mlkv_hash_set(db, to, &pair, 1, NULL)); /* an element of the life that is now there */
    MUST(MLKV_ABSENT, mlkv_watch_wait(watches[0], 0));
    MUST(MLKV_OK, mlkv_watch_wait(watches[1], 0));
    MUST(MLKV_OK, mlkv_watch_wait(watches[2], 0));
    OK(mlkv_key_rename(db, to, from));
    MUST(MLKV_ABSENT, mlkv_begin_unchanged(db, watches[1], &inside));
    MUST(MLKV_OK, mlkv_watch_wait(watches[0], 0));
    for (int i = 0; i < 3; i++)
        mlkv_watch_close(watches[i]);
    OK(mlkv_close(db));
}
END_TEST

typedef struct {
    mlkv *db;
    _Atomic int begun;
    int result;
    mlkv_rows values;
} popper;

static void *pop_one(void *argument)
{
    popper *self = argument;
    mlkv_slice key = TEXT("queue");
    size_t which;
    self->begun = 1;
    self->result =
        mlkv_list_pop_wait(self->db, &key, 1, MLKV_LIST_LEFT, 1, 60000, &which, &self->values);
    return NULL;
}

START_TEST(a_renamed_list_ends_a_wait)
{
    mlkv *db = memory_store();
    mlkv_slice value = TEXT("value"), key = TEXT("other");
    for (int copies = 0; copies < 2; copies++) {
        popper self = {.db = db, .result = 77};
        pthread_t thread;
        OK(mlkv_key_delete(db, &key, 1, NULL));
        OK(mlkv_list_push(db, key, MLKV_LIST_RIGHT, &value, 1, NULL));
        ck_assert_int_eq(pthread_create(&thread, NULL, pop_one, &self), 0);
        while (!self.begun)
            clock_sleep_us(100);
        clock_sleep_us(20000);
        OK(copies ? mlkv_key_copy(db, key, TEXT("queue"), 0, NULL)
                  : mlkv_key_rename(db, key, TEXT("queue")));
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        MUST(MLKV_OK, self.result);
        ck_assert_uint_eq(self.values.count, 1);
        ck_assert(slice_equal(self.values.items[0], value));
        mlkv_rows_free(&self.values);
        ck_assert(!is_there(db, TEXT("queue")));
    }
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("key_move");
    TCase *tcase = harness_case(suite, "key_move");
    tcase_add_test(tcase, every_kind_onto_every_kind);
    tcase_add_test(tcase, long_names);
    tcase_add_test(tcase, results);
    tcase_add_test(tcase, expired_ones);
    tcase_add_test(tcase, what_is_due_is_found_under_the_new_name);
    tcase_add_test(tcase, in_a_transaction);
    tcase_add_test(tcase, after_reopening);
    tcase_add_test(tcase, ranks_stay);
    tcase_add_test(tcase, watchers_see_both_names);
    tcase_add_test(tcase, a_renamed_list_ends_a_wait);
    return harness_run(suite);
}
