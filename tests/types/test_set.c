/* test_set.c - sets and their dense index, against an oracle, and random members. */
#include "types/stores.h"

START_TEST(add_contains_remove)
{
    mlkv *db = memory_store();
    mlkv_slice none = {NULL, 0}, members[] = {TEXT("a"), TEXT("b"), TEXT("a"), none, TEXT("c")};
    uint8_t present[5] = {7, 7, 7, 7, 7};
    size_t changed = 77, exists = 77;
    uint64_t count = 77;
    OK(mlkv_set_contains(db, TEXT("s"), members, 5, present));
    for (int i = 0; i < 5; i++)
        ck_assert_uint_eq(present[i], 0);
    OK(mlkv_set_add(db, TEXT("s"), members, 0, &changed));
    ck_assert_uint_eq(changed, 0);
    ck_assert_uint_eq(key_count(db), 0);
    OK(mlkv_set_add(db, TEXT("s"), members, 4, &changed));
    ck_assert_uint_eq(changed, 3);
    OK(mlkv_set_contains(db, TEXT("s"), members, 5, present));
    for (int i = 0; i < 5; i++)
        ck_assert_uint_eq(present[i], i < 4);
    OK(mlkv_set_count(db, TEXT("s"), &count));
    ck_assert_uint_eq(count, 3);
    OK(mlkv_set_remove(db, TEXT("s"), members, 3, &changed));
    ck_assert_uint_eq(changed, 2);
    OK(mlkv_set_remove(db, TEXT("s"), members + 3, 2, &changed));
    ck_assert_uint_eq(changed, 1);
    mlkv_slice key = TEXT("s");
    OK(mlkv_key_exists(db, &key, 1, &exists));
    ck_assert_uint_eq(exists, 0);
    ck_assert_uint_eq(count_records(db, "E") + count_records(db, "L") + count_records(db, "G") +
                          count_records(db, "K"),
                      0);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(members_in_order_and_long_ones)
{
    const char *folder = harness_folder();
    mlkv *db = folder_store(folder);
    mlkv_rows rows = {0};
    mlkv_slice members[] = {TEXT("c"), TEXT("a"), TEXT("b")};
    OK(mlkv_set_add(db, TEXT("s"), members, 3, NULL));
    OK(mlkv_set_members(db, TEXT("s"), &rows));
    ck_assert_uint_eq(rows.count, 3);
    ck_assert(slice_equal(rows.items[0], TEXT("a")));
    ck_assert(slice_equal(rows.items[2], TEXT("c")));
    for (unsigned i = 0; i < 20; i++) {
        mlkv_slice member = long_name(i < 10 ? 502 : 30000, i);
        OK(mlkv_set_add(db, TEXT("s"), &member, 1, NULL));
    }
    OK(mlkv_close(db));
    db = folder_store(folder);
    OK(mlkv_set_members(db, TEXT("s"), &rows));
    ck_assert_uint_eq(rows.count, 23);
    size_t removed;
    for (unsigned i = 0; i < 20; i++) { /* holes are filled by long members, too */
        mlkv_slice member = long_name(i < 10 ? 502 : 30000, i);
        uint8_t present;
        OK(mlkv_set_contains(db, TEXT("s"), &member, 1, &present));
        ck_assert_uint_eq(present, 1);
        OK(mlkv_set_remove(db, TEXT("s"), &member, 1, &removed));
        ck_assert_uint_eq(removed, 1);
        verify_all(db);
    }
    OK(mlkv_set_members(db, TEXT("s"), &rows));
    ck_assert_uint_eq(rows.count, 3);
    OK(mlkv_set_members(db, TEXT("missing"), &rows));
    ck_assert_uint_eq(rows.count, 0);
    mlkv_rows_free(&rows);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

START_TEST(random_members)
{
    mlkv *db = memory_store();
    enum { COUNT = 200 };
    char names[COUNT][8];
    mlkv_slice members[COUNT];
    mlkv_rows rows = {0};
    OK(mlkv_set_random(db, TEXT("s"), 5, 1, &rows));
    ck_assert_uint_eq(rows.count, 0);
    for (int i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "%d", i);
        members[i] = slice_of_text(names[i]);
    }
    OK(mlkv_set_add(db, TEXT("s"), members, COUNT, NULL));
    static const size_t sizes[] = {0, 1, 31, 32, 33, 99, 100, 150, COUNT, COUNT + 1, 100000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        bool seen[COUNT] = {false};
        OK(mlkv_set_random(db, TEXT("s"), sizes[i], 1, &rows));
        ck_assert_uint_eq(rows.count, sizes[i] < COUNT ? sizes[i] : COUNT);
        for (size_t j = 0; j < rows.count; j++) {
            char text[8] = {0};
            ck_assert_uint_lt(rows.items[j].size, sizeof text);
            bytes_copy(text, rows.items[j].data, rows.items[j].size);
            int number = atoi(text);
            ck_assert(!seen[number]);
            seen[number] = true;
        }
    }
    OK(mlkv_set_random(db, TEXT("s"), 1000, 0, &rows));
    ck_assert_uint_eq(rows.count, 1000);
    mlkv_rows_free(&rows);
    OK(mlkv_close(db));
}
END_TEST

/* 8 members, after removals that moved them about: 32,000 draws; with 7 degrees of freedom chi squared exceeds 50 once in 10^8 runs. */
START_TEST(random_members_are_uniform)
{
    mlkv *db = memory_store();
    enum { COUNT = 8, DRAWS = 32000 };
    mlkv_rows rows = {0};
    unsigned counts[2 * COUNT] = {0};
    for (int i = 0; i < 2 * COUNT; i++) {
        char name = (char)('a' + i);
        mlkv_slice member = slice_of(&name, 1);
        OK(mlkv_set_add(db, TEXT("s"), &member, 1, NULL));
    }
    for (int i = 0; i < 2 * COUNT; i += 2) {
        char name = (char)('a' + i);
        mlkv_slice member = slice_of(&name, 1);
        OK(mlkv_set_remove(db, TEXT("s"), &member, 1, NULL));
    }
    OK(mlkv_set_random(db, TEXT("s"), DRAWS, 0, &rows));
    for (size_t i = 0; i < rows.count; i++)
        counts[*(const char *)rows.items[i].data - 'a']++;
    double sum = 0, expected = DRAWS / COUNT;
    for (int i = 0; i < 2 * COUNT; i++) {
        if (i % 2 == 0)
            ck_assert_uint_eq(counts[i], 0);
        else
            sum += (counts[i] - expected) * (counts[i] - expected) / expected;
    }
    ck_assert_double_lt(sum, 50);
    mlkv_rows_free(&rows);
    OK(mlkv_close(db));
}
END_TEST

enum { NAMES = 60 };

static void check_oracle(mlkv *view, const bool *expected)
{
    mlkv_rows rows = {0};
    uint64_t count;
    size_t wanted = 0;
    OK(mlkv_set_members(view, TEXT("s"), &rows));
    OK(mlkv_set_count(view, TEXT("s"), &count));
    for (int i = 0; i < NAMES; i++) {
        char name[16];
        snprintf(name, sizeof name, "member%03d", i);
        if (expected[i]) {
            ck_assert_uint_lt(wanted, rows.count);
            ck_assert(slice_equal(rows.items[wanted++], slice_of_text(name)));
        }
    }
    ck_assert_uint_eq(rows.count, wanted);
    ck_assert_uint_eq(count, wanted);
    OK(mlkv_set_random(view, TEXT("s"), NAMES, 1, &rows)); /* the dense index holds the same */
    ck_assert_uint_eq(rows.count, wanted);
    mlkv_rows_free(&rows);
}

static void random_step(mlkv *view, bool *expected, unsigned *seed)
{
    char names[4][16];
    mlkv_slice members[4], key = TEXT("s");
    size_t changed, wanted = 0;
    bool adds = rand_r(seed) % 2;
    for (int i = 0; i < 4; i++) {
        int number = rand_r(seed) % NAMES;
        snprintf(names[i], sizeof names[i], "member%03d", number);
        members[i] = slice_of_text(names[i]);
        wanted += expected[number] != adds;
        expected[number] = adds;
    }
    OK(adds ? mlkv_set_add(view, key, members, 4, &changed)
            : mlkv_set_remove(view, key, members, 4, &changed));
    ck_assert_uint_eq(changed, wanted);
    if (rand_r(seed) % 50 == 0) {
        OK(mlkv_key_delete(view, &key, 1, NULL));
        memset(expected, 0, NAMES * sizeof *expected);
    }
}

START_TEST(random_operations)
{
    mlkv *db = memory_store();
    bool now[NAMES] = {false}, inside[NAMES];
    unsigned seed = 54321;
    for (int round = 0; round < 150; round++) {
        mlkv *tx = NULL;
        memcpy(inside, now, sizeof now);
        OK(mlkv_begin(db, &tx));
        for (int i = 0; i < 6; i++)
            random_step(tx, inside, &seed);
        check_oracle(tx, inside);
        check_oracle(db, now);
        bool keeps = rand_r(&seed) % 2;
        OK(keeps ? mlkv_commit(tx) : mlkv_abort(tx));
        if (keeps)
            memcpy(now, inside, sizeof now);
        for (int i = 0; i < 3; i++)
            random_step(db, now, &seed);
        check_oracle(db, now);
        if (round % 50 == 49)
            verify_all(db);
    }
    OK(mlkv_close(db));
}
END_TEST

/* Takes some out; which ones, the answer says. */
static void pop_step(mlkv *view, bool *expected, unsigned *seed)
{
    mlkv_rows rows = {0};
    size_t count = 0, n = (size_t)(rand_r(seed) % (rand_r(seed) % 8 == 0 ? NAMES + 2 : 5));
    for (int i = 0; i < NAMES; i++)
        count += expected[i];
    OK(mlkv_set_pop(view, TEXT("s"), n, &rows));
    ck_assert_uint_eq(rows.count, n < count ? n : count);
    for (size_t k = 0; k < rows.count; k++) {
        char text[16] = {0};
        ck_assert_uint_eq(rows.items[k].size, 9);
        memcpy(text, rows.items[k].data, 9);
        int number = atoi(text + 6);
        ck_assert(expected[number]);
        expected[number] = false;
    }
    mlkv_rows_free(&rows);
}

static void move_step(mlkv *view, bool *from, bool *to, unsigned *seed)
{
    char name[16];
    int number = rand_r(seed) % NAMES;
    bool back = rand_r(seed) % 2, *source = back ? to : from, *target = back ? from : to;
    snprintf(name, sizeof name, "member%03d", number);
    MUST(source[number] ? MLKV_OK : MLKV_ABSENT,
         mlkv_set_move(view, back ? TEXT("t") : TEXT("s"), back ? TEXT("s") : TEXT("t"),
                       slice_of_text(name)));
    target[number] = target[number] || source[number];
    source[number] = false;
}

static void check_both(mlkv *view, const bool *s, const bool *t)
{
    mlkv_rows rows = {0};
    size_t wanted = 0;
    check_oracle(view, s);
    OK(mlkv_set_random(view, TEXT("t"), NAMES, 1, &rows));
    for (int i = 0; i < NAMES; i++)
        wanted += t[i];
    ck_assert_uint_eq(rows.count, wanted);
    mlkv_rows_free(&rows);
}

START_TEST(random_pops_and_moves)
{
    const char *folder = harness_folder();
    mlkv *db = folder_store(folder);
    bool now[2][NAMES] = {{false}}, inside[2][NAMES];
    unsigned seed = 777;
    for (int round = 0; round < 150; round++) {
        mlkv *tx = NULL;
        for (int i = 0; i < 4; i++)
            random_step(db, now[0], &seed);
        pop_step(db, now[0], &seed);
        memcpy(inside, now, sizeof now);
        OK(mlkv_begin(db, &tx));
        for (int i = 0; i < 6; i++) {
            move_step(tx, inside[0], inside[1], &seed);
            pop_step(tx, inside[0], &seed);
            random_step(tx, inside[0], &seed);
        }
        check_both(tx, inside[0], inside[1]);
        check_both(db, now[0], now[1]);
        bool keeps = rand_r(&seed) % 2;
        OK(keeps ? mlkv_commit(tx) : mlkv_abort(tx));
        if (keeps)
            memcpy(now, inside, sizeof now);
        move_step(db, now[0], now[1], &seed);
        check_both(db, now[0], now[1]);
        if (round % 50 == 49) {
            verify_all(db);
            OK(mlkv_close(db));
            db = folder_store(folder);
            check_both(db, now[0], now[1]);
        }
    }
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

START_TEST(pop_takes_out_and_the_last_takes_the_key_along)
{
    mlkv *db = memory_store(), *snapshot = NULL;
    mlkv_rows rows = {0};
    mlkv_slice members[] = {TEXT("a"), TEXT("b"), long_name(600, 1), long_name(600, 2)};
    uint64_t count = 77;
    OK(mlkv_set_pop(db, TEXT("s"), 3, &rows));
    ck_assert_uint_eq(rows.count, 0);
    OK(mlkv_set_add(db, TEXT("s"), members, 4, NULL));
    OK(mlkv_set_pop(db, TEXT("s"), 0, &rows));
    ck_assert_uint_eq(rows.count, 0);
    OK(mlkv_set_pop(db, TEXT("s"), 3, &rows));
    ck_assert_uint_eq(rows.count, 3);
    OK(mlkv_set_count(db, TEXT("s"), &count));
    ck_assert_uint_eq(count, 1);
    verify_all(db);
    OK(mlkv_set_pop(db, TEXT("s"), 1, &rows));
    ck_assert_uint_eq(rows.count, 1);
    ck_assert_uint_eq(key_count(db), 0);
    OK(mlkv_set_add(db, TEXT("s"), members, 4, NULL));
    OK(mlkv_set_pop(db, TEXT("s"), 100, &rows));
    ck_assert_uint_eq(rows.count, 4);
    clean_all(db);
    ck_assert_uint_eq(count_records(db, "E") + count_records(db, "L") + count_records(db, "K"), 0);
    OK(mlkv_string_set(db, TEXT("string"), TEXT("v"), MLKV_SET_ALWAYS));
    MUST(MLKV_E_TYPE, mlkv_set_pop(db, TEXT("string"), 1, &rows));
    ck_assert_uint_eq(rows.count, 0);
    MUST(MLKV_E_ARGUMENT, mlkv_set_pop(db, TEXT("s"), 1, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_set_pop(NULL, TEXT("s"), 1, &rows));
    OK(mlkv_snapshot(db, &snapshot));
    MUST(MLKV_E_READONLY, mlkv_set_pop(snapshot, TEXT("s"), 1, &rows));
    OK(mlkv_close(snapshot));
    verify_all(db);
    mlkv_rows_free(&rows);
    OK(mlkv_close(db));
}
END_TEST

/* 8 members, one popped at a time and put back: 8,000 pops; with 7 degrees of freedom chi squared exceeds 50 once in 10^8 runs. */
START_TEST(pops_are_uniform)
{
    mlkv *db = memory_store();
    enum { COUNT = 8, DRAWS = 8000 };
    mlkv_rows rows = {0};
    unsigned counts[COUNT] = {0};
    for (int i = 0; i < COUNT; i++) {
        char name = (char)('a' + i);
        mlkv_slice member = slice_of(&name, 1);
        OK(mlkv_set_add(db, TEXT("s"), &member, 1, NULL));
    }
    for (int i = 0; i < DRAWS; i++) {
        OK(mlkv_set_pop(db, TEXT("s"), 1, &rows));
        ck_assert_uint_eq(rows.count, 1);
        counts[*(const char *)rows.items[0].data - 'a']++;
        OK(mlkv_set_add(db, TEXT("s"), rows.items, 1, NULL));
    }
    double sum = 0, expected = DRAWS / COUNT;
    for (int i = 0; i < COUNT; i++)
        sum += (counts[i] - expected) * (counts[i] - expected) / expected;
    ck_assert_double_lt(sum, 50);
    mlkv_rows_free(&rows);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(move_by_hand)
{
    mlkv *db = memory_store();
    mlkv_slice members[] = {TEXT("a"), TEXT("b")}, bad = {NULL, 1};
    mlkv_slice s = TEXT("s"), t = TEXT("t"), string = TEXT("string"), a = TEXT("a");
    uint64_t count = 77;
    OK(mlkv_string_set(db, string, TEXT("v"), MLKV_SET_ALWAYS));
    MUST(MLKV_ABSENT, mlkv_set_move(db, s, t, a));
    MUST(MLKV_ABSENT, mlkv_set_move(db, s, string, a)); /* as Redis: a missing source is enough */
    OK(mlkv_set_add(db, s, members, 2, NULL));
    MUST(MLKV_E_TYPE, mlkv_set_move(db, s, string, TEXT("x")));
    MUST(MLKV_E_TYPE, mlkv_set_move(db, string, s, a));
    MUST(MLKV_ABSENT, mlkv_set_move(db, s, t, TEXT("x")));
    ck_assert_uint_eq(key_count(db), 2);
    OK(mlkv_set_move(db, s, s, a));
    MUST(MLKV_ABSENT, mlkv_set_move(db, s, s, TEXT("x")));
    OK(mlkv_set_move(db, s, t, a));
    OK(mlkv_set_add(db, t, members + 1, 1, NULL));
    OK(mlkv_set_move(db, s, t, members[1])); /* it stands there already; the source goes */
    OK(mlkv_set_count(db, t, &count));
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq(key_count(db), 2);
    MUST(MLKV_E_ARGUMENT, mlkv_set_move(db, bad, t, a));
    MUST(MLKV_E_ARGUMENT, mlkv_set_move(db, s, bad, a));
    MUST(MLKV_E_ARGUMENT, mlkv_set_move(db, s, t, bad));
    MUST(MLKV_E_ARGUMENT, mlkv_set_move(NULL, s, t, a));
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(hostile_arguments)
{
    mlkv *db = memory_store();
    mlkv_slice bad = {NULL, 1}, members[] = {TEXT("a"), bad};
    mlkv_rows rows = {0};
    uint8_t present[2] = {7, 7};
    uint64_t count = 77;
    MUST(MLKV_E_ARGUMENT, mlkv_set_add(db, TEXT("s"), members, 2, NULL));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "members[1]"));
    MUST(MLKV_E_ARGUMENT, mlkv_set_add(db, TEXT("s"), NULL, 2, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_set_add(NULL, TEXT("s"), members, 1, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_set_remove(db, bad, members, 1, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_set_contains(db, TEXT("s"), members, 1, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_set_contains(db, TEXT("s"), members, 2, present));
    OK(mlkv_set_contains(db, TEXT("s"), NULL, 0, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_set_members(db, TEXT("s"), NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_set_count(db, TEXT("s"), NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_set_random(db, TEXT("s"), 1, 1, NULL));
    ck_assert_uint_eq(key_count(db), 0);
    OK(mlkv_string_set(db, TEXT("s"), TEXT("v"), MLKV_SET_ALWAYS));
    MUST(MLKV_E_TYPE, mlkv_set_add(db, TEXT("s"), members, 1, NULL));
    MUST(MLKV_E_TYPE, mlkv_set_add(db, TEXT("s"), members, 0, NULL));
    MUST(MLKV_E_TYPE, mlkv_set_remove(db, TEXT("s"), members, 1, NULL));
    MUST(MLKV_E_TYPE, mlkv_set_contains(db, TEXT("s"), members, 1, present));
    MUST(MLKV_E_TYPE, mlkv_set_members(db, TEXT("s"), &rows));
    MUST(MLKV_E_TYPE, mlkv_set_count(db, TEXT("s"), &count));
    MUST(MLKV_E_TYPE, mlkv_set_random(db, TEXT("s"), 1, 0, &rows));
    ck_assert_uint_eq(present[0], 7);
    ck_assert_uint_eq(count, 77);
    mlkv_rows_free(&rows);
    OK(mlkv_close(db));
}
END_TEST

/* More questions than fit the stack's answers. */
START_TEST(many_questions)
{
    mlkv *db = memory_store();
    enum { COUNT = 1000 };
    static char names[COUNT][8];
    static mlkv_slice members[COUNT];
    static uint8_t present[COUNT];
    for (int i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "%d", i);
        members[i] = slice_of_text(names[i]);
    }
    OK(mlkv_set_add(db, TEXT("s"), members, COUNT / 2, NULL));
    OK(mlkv_set_contains(db, TEXT("s"), members, COUNT, present));
    for (int i = 0; i < COUNT; i++)
        ck_assert_uint_eq(present[i], i < COUNT / 2);
    OK(mlkv_close(db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("set");
    TCase *tcase = harness_case(suite, "set");
    tcase_add_test(tcase, add_contains_remove);
    tcase_add_test(tcase, members_in_order_and_long_ones);
    tcase_add_test(tcase, random_members);
    tcase_add_test(tcase, random_members_are_uniform);
    tcase_add_test(tcase, random_operations);
    tcase_add_test(tcase, random_pops_and_moves);
    tcase_add_test(tcase, pop_takes_out_and_the_last_takes_the_key_along);
    tcase_add_test(tcase, pops_are_uniform);
    tcase_add_test(tcase, move_by_hand);
    tcase_add_test(tcase, hostile_arguments);
    tcase_add_test(tcase, many_questions);
    return harness_run(suite);
}
