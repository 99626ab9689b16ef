/* test_zset_order.c - the order of members against a sorted array: names of all sizes, many equal scores, in live views, transactions,
 * snapshots, after reopening; small sets and larger ones. MLKV_TEST_ROUNDS multiplies the work. */
#include "types/zset_model.h"

static int rounds(int usual)
{
    const char *text = getenv("MLKV_TEST_ROUNDS");
    return text != NULL && atoi(text) > 0 ? usual * atoi(text)
                                          : (int)harness_rounds((unsigned)usual);
}

static const model_kind few = {40, false, 10}, tied = {120, true, 3}, equal = {150, true, 1},
                        many = {1500, false, 400}, many_tied = {700, true, 4};

static void fill(mlkv *db, zset_model *model, unsigned *seed)
{
    for (unsigned i = 0; i < model->kind->names; i++)
        if (rand_r(seed) % 8 != 0)
            model_add(db, TEXT("z"), model, i, model_score(model->kind, seed));
}

/* Rounds of: a transaction that sees its own changes and ends either way; a snapshot that does not see later ones; live changes. */
static void run(const model_kind *kind, unsigned seed, int count)
{
    const char *folder = harness_folder();
    mlkv *db = folder_store(folder), *tx = NULL, *snapshot = NULL;
    static zset_model now, inside, before;
    now = (zset_model){.kind = kind};
    fill(db, &now, &seed);
    for (int i = 0; i < count; i++) {
        before = inside = now;
        OK(mlkv_snapshot(db, &snapshot));
        OK(mlkv_begin(db, &tx));
        for (int j = 0; j < 6; j++) {
            model_step(tx, TEXT("z"), &inside, &seed);
            model_check(tx, TEXT("z"), &inside, &seed, 1);
        }
        model_check(tx, TEXT("z"), &inside, &seed, 4);
        model_check(db, TEXT("z"), &now, &seed, 2);
        bool keeps = rand_r(&seed) % 2;
        OK(keeps ? mlkv_commit(tx) : mlkv_abort(tx));
        if (keeps)
            now = inside;
        for (int j = 0; j < 4; j++)
            model_step(db, TEXT("z"), &now, &seed);
        model_check(db, TEXT("z"), &now, &seed, 6);
        model_check(snapshot, TEXT("z"), &before, &seed, 2);
        OK(mlkv_close(snapshot));
        if (i % 16 == 15) {
            verify_all(db);
            OK(mlkv_close(db));
            db = folder_store(folder);
            model_check(db, TEXT("z"), &now, &seed, 4);
        }
    }
    verify_all(db);
    OK(mlkv_close(db));
    harness_remove(folder);
}

START_TEST(few_members)
{
    run(&few, 1, rounds(48));
}
END_TEST

START_TEST(tied_members)
{
    run(&tied, 2, rounds(32));
}
END_TEST

START_TEST(equal_scores)
{
    run(&equal, 3, rounds(32));
}
END_TEST

START_TEST(many_members)
{
    run(&many, 4, rounds(16));
}
END_TEST

START_TEST(many_tied_members)
{
    run(&many_tied, 5, rounds(16));
}
END_TEST

/* A group of tied members that is larger than what is selected at a time. */
START_TEST(one_large_group)
{
    mlkv *db = memory_store();
    static const model_kind large = {1400, true, 1};
    static zset_model model;
    unsigned seed = 6;
    model = (zset_model){.kind = &large};
    for (unsigned i = 0; i < large.names; i++)
        if (i % 4 < 2 && i % 9 > 3)
            model_add(db, TEXT("z"), &model, i, 0);
    model_check(db, TEXT("z"), &model, &seed, 20);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

/* More members than are selected from a tree: a range goes on as one scan. */
START_TEST(a_long_range)
{
    mlkv *db = memory_store();
    enum { COUNT = 12000 };
    static mlkv_scored pairs[1000];
    static char names[1000][16];
    mlkv_rows rows = {0};
    mlkv_buffer scores = {0};
    for (unsigned i = 0; i < COUNT; i += 1000) {
        for (unsigned j = 0; j < 1000; j++)
            pairs[j] = (mlkv_scored){
                slice_of(names[j], (size_t)snprintf(names[j], 16, "%u", i + j)), i + j};
        OK(mlkv_zset_add(db, TEXT("z"), pairs, 1000, 0, NULL, NULL));
    }
    mlkv_zset_range_spec range = {.size = sizeof range, .start = 3000, .stop = 8000};
    for (range.reverse = 0; range.reverse < 2; range.reverse++) {
        OK(mlkv_zset_range(db, TEXT("z"), &range, &rows, &scores));
        ck_assert_uint_eq(rows.count, 5001);
        for (unsigned i = 0; i < rows.count; i++)
            ck_assert(((const double *)scores.data)[i] ==
                      (range.reverse ? COUNT - 1 - 3000 - i : 3000 + i));
    }
    mlkv_rows_free(&rows);
    mlkv_buffer_free(&scores);
    OK(mlkv_close(db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("zset_order");
    TCase *tcase = harness_case(suite, "zset_order");
    tcase_add_test(tcase, few_members);
    tcase_add_test(tcase, tied_members);
    tcase_add_test(tcase, equal_scores);
    tcase_add_test(tcase, many_members);
    tcase_add_test(tcase, many_tied_members);
    tcase_add_test(tcase, one_large_group);
    tcase_add_test(tcase, a_long_range);
    return harness_run(suite);
}
