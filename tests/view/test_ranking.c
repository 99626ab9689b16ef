/* test_ranking.c - ranks of record keys in live views, transactions and snapshots, against a model: counted trees that are made, kept true
 * by the writes of threads and processes, lost to overtakings and large batches, given back, and done without. */
#include "view/fixture.h"

enum { NUMBERS = 3000, ID = 7 };

static mlkv_slice key_of(uint64_t id, uint64_t number)
{
    static _Thread_local unsigned char memory[4][17];
    static _Thread_local unsigned next;
    unsigned char *key = memory[next++ % 4];
    key[0] = RECORD_ORDER;
    store_be64(key + 1, id);
    store_be64(key + 9, number);
    return slice_of(key, 17);
}

/* --- operations --- */

typedef struct {
    uint64_t id, count, number, rank, first;
    size_t n, got;
    bool passing;
    mlkv_buffer keys;
} question;

static int rank_rule(op *o, void *context)
{
    question *call = context;
    ranking *by = NULL;
    int result =
        op_ranking_open(o, slice_of(key_of(call->id, 0).data, 9), call->count, call->passing, &by);
    if (result == MLKV_OK)
        result = ranking_rank(by, key_of(call->id, call->number), &call->rank);
    ranking_close(by);
    return result;
}

static int select_rule(op *o, void *context)
{
    question *call = context;
    ranking *by = NULL;
    call->keys.size = 0;
    int result =
        op_ranking_open(o, slice_of(key_of(call->id, 0).data, 9), call->count, call->passing, &by);
    if (result == MLKV_OK)
        result = ranking_select(by, call->first, call->n, &call->keys, &call->got);
    ranking_close(by);
    return result;
}

static uint64_t rank_of(mlkv *view, uint64_t id, uint64_t number)
{
    question call = {.id = id, .count = NUMBERS, .number = number};
    OK(op_read(view, rank_rule, &call));
    return call.rank;
}

static uint64_t number_at(const mlkv_buffer *keys, size_t i)
{
    return load_be64((const unsigned char *)keys->data + i * 19 + 2 + 9);
}

typedef struct {
    uint64_t id, from, n, step;
    bool removes;
} change;

static int change_rule(op *o, void *context)
{
    const change *call = context;
    int result = MLKV_OK;
    for (uint64_t i = 0; i < call->n && result == MLKV_OK; i++) {
        mlkv_slice key = key_of(call->id, call->from + i * call->step);
        result = call->removes ? op_delete(o, key) : op_put(o, key, slice_of(NULL, 0));
    }
    return result;
}

static void change_all(mlkv *view, uint64_t id, uint64_t from, uint64_t n, uint64_t step,
                       bool removes)
{
    change call = {id, from, n, step, removes};
    OK(op_write(view, change_rule, &call));
}

static engine *engine_of(mlkv *view)
{
    return atomic_load(&view->engine);
}

static bool has_tree(mlkv *view, uint64_t id)
{
    ranks *trees = view->kind == VIEW_SNAPSHOT ? atomic_load(&view->ranks) : engine_of(view)->ranks;
    return trees != NULL &&
           ranks_look(trees, slice_of(key_of(id, 0).data, 9), NUMBERS) == RANKS_READY;
}

/* --- a model --- */

typedef struct {
    bool present[NUMBERS];
} numbers;

static void check_view(mlkv *view, const numbers *model, unsigned *seed)
{
    static uint64_t order[NUMBERS];
    uint64_t n = 0;
    unsigned asked[4];
    for (int i = 0; i < 4; i++)
        asked[i] = (unsigned)rand_r(seed) % (NUMBERS + 1);
    for (unsigned i = 0; i <= NUMBERS; i++) {
        for (int j = 0; j < 4; j++)
            if (asked[j] == i)
                ck_assert_uint_eq(rank_of(view, ID, i), n);
        if (i < NUMBERS && model->present[i])
            order[n++] = i;
    }
    question call = {.id = ID, .count = NUMBERS};
    for (int j = 0; j < 4; j++) {
        call.first = j == 0 ? 0 : (uint64_t)rand_r(seed) % (n + 2);
        call.n = j == 0 ? NUMBERS : (size_t)(rand_r(seed) % 50);
        OK(op_read(view, select_rule, &call));
        uint64_t left = call.first < n ? n - call.first : 0;
        ck_assert_uint_eq(call.got, left < call.n ? left : call.n);
        for (size_t i = 0; i < call.got; i++)
            if (number_at(&call.keys, i) != order[call.first + i])
                ck_abort_msg("another key at %zu of a selection from %llu", i,
                             (unsigned long long)call.first);
    }
    mlkv_buffer_free(&call.keys);
}

/* Puts or deletes a few numbers, in a row or scattered, some of them without effect. */
static void change_some(mlkv *view, numbers *model, unsigned *seed)
{
    uint64_t from = (uint64_t)rand_r(seed) % NUMBERS,
             step = rand_r(seed) % 2 ? 1 : 1 + (uint64_t)rand_r(seed) % 97;
    uint64_t n = 1 + (uint64_t)rand_r(seed) % 60;
    n = n < (NUMBERS - from + step - 1) / step ? n : (NUMBERS - from + step - 1) / step;
    bool removes = rand_r(seed) % 2;
    change_all(view, ID, from, n, step, removes);
    for (uint64_t i = 0; i < n; i++)
        model->present[from + i * step] = !removes;
}

START_TEST(all_views_agree_with_a_model)
{
    const char *folder = harness_folder();
    mlkv *db = open_with(folder, 0), *tx = NULL, *snapshot = NULL;
    static numbers now, inside, before;
    unsigned seed = 1;
    memset(&now, 0, sizeof now);
    for (int i = 0; i < 20; i++)
        change_some(db, &now, &seed);
    for (int i = 0; i < 60; i++) {
        inside = before = now;
        OK(mlkv_snapshot(db, &snapshot));
        OK(mlkv_begin(db, &tx));
        for (int j = 0; j < 5; j++) {
            change_some(tx, &inside, &seed);
            if (j % 2 == 0)
                check_view(tx, &inside, &seed);
        }
        check_view(tx, &inside, &seed);
        check_view(db, &now, &seed);
        bool keeps = rand_r(&seed) % 2;
        OK(keeps ? mlkv_commit(tx) : mlkv_abort(tx));
        now = keeps ? inside : now;
        change_some(db, &now, &seed);
        check_view(db, &now, &seed);
        check_view(snapshot, &before, &seed);
        ck_assert(has_tree(db, ID) && has_tree(snapshot, ID));
        OK(mlkv_close(snapshot));
    }
    ck_assert_uint_ne(atomic_load(&engine_of(db)->ranks_budget.bytes), 0);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* A transaction's overlay where nearly all is its own: many keys before, between and behind the engine's. */
START_TEST(transaction_of_many)
{
    const char *folder = harness_folder();
    mlkv *db = open_with(folder, 0), *tx = NULL;
    static numbers inside;
    unsigned seed = 2;
    memset(&inside, 0, sizeof inside);
    change_all(db, ID, 1000, 3, 500, false);
    for (unsigned i = 1000; i <= 2000; i += 500)
        inside.present[i] = true;
    OK(mlkv_begin(db, &tx));
    check_view(tx, &inside, &seed);
    change_all(tx, ID, 0, NUMBERS, 1, false);
    memset(inside.present, 1, sizeof inside.present);
    check_view(tx, &inside, &seed);
    change_all(tx, ID, 1400, 700, 1, true);
    memset(inside.present + 1400, 0, 700);
    check_view(tx, &inside, &seed);
    change_all(tx, ID, 0, 1300, 1, true);
    memset(inside.present, 0, 1300);
    check_view(tx, &inside, &seed);
    change_all(tx, ID, 1000, 3, 500, false);
    inside.present[1000] = inside.present[1500] = inside.present[2000] = true;
    check_view(tx, &inside, &seed);
    OK(mlkv_commit(tx));
    check_view(db, &inside, &seed);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* --- writes that want ranks --- */

typedef struct {
    question question;
    int runs;
} removal;

/* Removes the lowest three. */
static int remove_rule(op *o, void *context)
{
    removal *call = context;
    call->runs++;
    call->question.first = 0;
    call->question.n = 3;
    int result = select_rule(o, &call->question);
    for (size_t i = 0; i < call->question.got && result == MLKV_OK; i++)
        result = op_delete(o, key_of(ID, number_at(&call->question.keys, i)));
    return result;
}

START_TEST(a_write_has_its_tree_made)
{
    const char *folder = harness_folder();
    mlkv *db = open_with(folder, 0);
    removal call = {.question = {.id = ID, .count = NUMBERS}};
    change_all(db, ID, 0, NUMBERS, 1, false);
    OK(op_write(db, remove_rule, &call));
    ck_assert_int_eq(call.runs, 2); /* it stopped, and began again with the tree */
    ck_assert(has_tree(db, ID));
    call.runs = 0;
    OK(op_write(db, remove_rule, &call));
    ck_assert_int_eq(call.runs, 1);
    ck_assert_uint_eq(rank_of(db, ID, NUMBERS), NUMBERS - 6);
    mlkv_buffer_free(&call.question.keys);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

START_TEST(passing_makes_no_tree)
{
    const char *folder = harness_folder();
    mlkv *db = open_with(folder, 0);
    question call = {.id = ID, .count = NUMBERS, .n = NUMBERS, .passing = true};
    change_all(db, ID, 0, NUMBERS, 1, false);
    OK(op_read(db, select_rule, &call));
    ck_assert_uint_eq(call.got, NUMBERS);
    ck_assert(!has_tree(db, ID));
    call.count = 200; /* said to be few, and they are many */
    call.first = 2990;
    OK(op_read(db, select_rule, &call));
    ck_assert_uint_eq(call.got, 10);
    mlkv_buffer_free(&call.keys);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* Selections that go on where a tree found the beginning, while others write. */
typedef struct {
    mlkv *writer; /* NULL: nobody writes meanwhile */
    int runs;
} passage;

static void *write_meanwhile(void *argument)
{
    change_all(argument, ID, 2500, 1, 1, true);
    return NULL;
}

static int pass_rule(op *o, void *context)
{
    passage *call = context;
    ranking *by = NULL;
    mlkv_buffer keys = {0};
    size_t got = 0;
    call->runs++;
    int result = op_ranking_open(o, slice_of(key_of(ID, 0).data, 9), NUMBERS, false, &by);
    if (result == MLKV_OK)
        result = ranking_pass(by, 1000);
    for (uint64_t first = 1000; result == MLKV_OK && first < NUMBERS; first += 100) {
        keys.size = 0;
        result = ranking_select(by, first, 100, &keys, &got);
        if (result == MLKV_OK)
            ck_assert(got == 100 && number_at(&keys, 0) == first &&
                      number_at(&keys, 99) == first + 99);
        if (first == 2000 && call->writer != NULL)
            in_thread(write_meanwhile, call->writer);
    }
    ranking_close(by);
    mlkv_buffer_free(&keys);
    return result;
}

START_TEST(passes_from_a_number)
{
    const char *folder = harness_folder();
    mlkv *db = open_with(folder, 0), *view = NULL;
    passage call = {NULL, 0};
    change_all(db, ID, 0, NUMBERS, 1, false);
    OK(op_read(db, pass_rule, &call));
    ck_assert(has_tree(db, ID));
    OK(mlkv_snapshot(db, &view));
    OK(op_read(view, pass_rule, &call));
    OK(mlkv_close(view));
    change_all(db, ID, 500, 1, 1, true);
    OK(mlkv_begin(db, &view));
    change_all(view, ID, 500, 1, 1, false);
    OK(op_read(view, pass_rule, &call));
    OK(mlkv_abort(view));
    change_all(db, ID, 500, 1, 1, false);
    call = (passage){db, 0};
    OK(op_read(db, pass_rule, &call));
    ck_assert_int_eq(call.runs, 1); /* all of it was as of one moment */
    ck_assert_uint_eq(rank_of(db, ID, UINT64_MAX), NUMBERS - 1);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* --- memory --- */

START_TEST(budget)
{
    const char *folder = harness_folder();
    mlkv *db = open_with(folder, 0);
    enum { LIVES = 4 };
    for (uint64_t id = 1; id <= LIVES; id++)
        change_all(db, id, 0, NUMBERS, id, false);
    ck_assert_uint_eq(rank_of(db, 1, 500), 500);
    size_t one = atomic_load(&engine_of(db)->ranks_budget.bytes);
    engine_of(db)->ranks_budget.bytes_max = one * 5 / 2; /* two of them */
    ck_assert_uint_eq(rank_of(db, 2, 500), 250);
    ck_assert(has_tree(db, 1) && has_tree(db, 2));
    ck_assert_uint_eq(rank_of(db, 1, 400), 400);
    ck_assert_uint_eq(rank_of(db, 3, 500), 167);
    ck_assert(has_tree(db, 1) && !has_tree(db, 2) && has_tree(db, 3));
    engine_of(db)->ranks_budget.bytes_max =
        one / 2; /* none: the next change lets them go, and scans do the work */
    change_all(db, 3, 1, 1, 1, false);
    ck_assert(!has_tree(db, 1) && !has_tree(db, 3));
    ck_assert_uint_eq(rank_of(db, 3, 500), 168);
    ck_assert_uint_eq(rank_of(db, 4, 400), 100);
    ck_assert(!has_tree(db, 4));
    question call = {.id = 4, .count = NUMBERS, .first = 2000, .n = 5};
    OK(op_read(db, select_rule, &call));
    ck_assert(call.got == 5 && number_at(&call.keys, 4) == 2004 * 4);
    mlkv_buffer_free(&call.keys);
    ck_assert_uint_le(atomic_load(&engine_of(db)->ranks_budget.bytes), one / 2);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* A tree whose last key goes is let go, too. */
START_TEST(emptied)
{
    const char *folder = harness_folder();
    mlkv *db = open_with(folder, 0);
    change_all(db, ID, 0, NUMBERS, 1, false);
    ck_assert_uint_eq(rank_of(db, ID, 500), 500);
    change_all(db, ID, 0, NUMBERS, 1, true);
    ck_assert(!has_tree(db, ID));
    ck_assert_uint_eq(atomic_load(&engine_of(db)->ranks_budget.bytes), 0);
    ck_assert_uint_eq(rank_of(db, ID, 500), 0);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* --- other processes --- */

static void in_child(const char *folder, void (*work)(mlkv *))
{
    pid_t pid = harness_fork();
    if (pid == 0) {
        mlkv *db = open_with(folder, 0);
        work(db);
        _exit(mlkv_close(db) == MLKV_OK ? 0 : 1);
    }
    int status = 0;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}

static void write_a_little(mlkv *db)
{
    change_all(db, ID, NUMBERS, 10, 1, false);
    change_all(db, ID, 0, 100, 1, true);
}

static void write_laps(mlkv *db)
{
    for (uint64_t i = 0; i < 60; i++) {
        change_all(db, ID + 1, i * 200, 200, 1, false);
        change_all(db, ID, NUMBERS + i, 1, 1, false);
    }
}

static void write_one_large_batch(mlkv *db)
{
    change_all(db, ID, NUMBERS, 60000, 1, false);
}

static void follow(void (*work)(mlkv *), uint64_t wanted)
{
    const char *folder = harness_folder();
    mlkv *db = open_with(folder, 0), *reader = NULL;
    change_all(db, ID, 0, NUMBERS, 1, false);
    ck_assert_uint_eq(rank_of(db, ID, UINT64_MAX), NUMBERS);
    ck_assert(has_tree(db, ID));
    in_child(folder, work);
    ck_assert_uint_eq(rank_of(db, ID, UINT64_MAX), wanted);
    pid_t pid = harness_fork(); /* the tree stays behind; the child makes its own */
    if (pid == 0)
        _exit(rank_of(db, ID, UINT64_MAX) == wanted ? 0 : 1);
    int status = 0;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    OK(mlkv_close(db));
    reader = open_with(folder, MLKV_READ_ONLY);
    ck_assert_uint_eq(rank_of(reader, ID, UINT64_MAX), wanted);
    OK(mlkv_close(reader));
    harness_remove(folder);
}

START_TEST(follows_other_processes)
{
    follow(write_a_little, NUMBERS + 10 - 100);
}
END_TEST

START_TEST(is_overtaken)
{
    follow(write_laps, NUMBERS + 60);
}
END_TEST

START_TEST(a_batch_too_large_for_the_ring)
{
    follow(write_one_large_batch, NUMBERS + 60000);
}
END_TEST

/* --- threads --- */

enum { HALF = 1 << 20, WRITERS = 2, WRITES = 400 };
static _Atomic bool stop;

/* Each write adds or removes a number and its twin in the upper half: so both halves always hold as many. */
static void *write_twins(void *argument)
{
    mlkv *db = argument;
    static _Atomic unsigned starts;
    unsigned seed = atomic_fetch_add(&starts, 1) + 10;
    for (int i = 0; i < WRITES; i++) {
        change call = {ID, (uint64_t)rand_r(&seed) % 5000, 2, HALF, rand_r(&seed) % 3 == 0};
        OK(op_write(db, change_rule, &call));
        if (i % 50 == 0) { /* some work that makes trees come and go */
            lock_take(&engine_of(db)->catchup_lock);
            ranks_reset(engine_of(db)->ranks);
            lock_release(&engine_of(db)->catchup_lock);
        }
    }
    return NULL;
}

static int halves_rule(op *o, void *context)
{
    question *call = context;
    ranking *by = NULL;
    int result = op_ranking_open(o, slice_of(key_of(ID, 0).data, 9), NUMBERS, false, &by);
    if (result == MLKV_OK)
        result = ranking_rank(by, key_of(ID, HALF), &call->first);
    if (result == MLKV_OK)
        result = ranking_rank(by, key_of(ID, UINT64_MAX), &call->rank);
    ranking_close(by);
    return result;
}

static void *ask_halves(void *argument)
{
    question call = {.id = ID};
    uint64_t asked = 0;
    while (!atomic_load(&stop) || asked < 10) {
        OK(op_read(argument, halves_rule, &call));
        ck_assert_uint_eq(call.first * 2, call.rank);
        asked++;
    }
    return NULL;
}

START_TEST(threads)
{
    const char *folder = harness_folder();
    mlkv *db = open_with(folder, 0);
    pthread_t writers[WRITERS], readers[2];
    change_all(db, ID, 0, 1000, 1, false);
    change_all(db, ID, HALF, 1000, 1, false);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&readers[i], NULL, ask_halves, db), 0);
    for (int i = 0; i < WRITERS; i++)
        ck_assert_int_eq(pthread_create(&writers[i], NULL, write_twins, db), 0);
    for (int i = 0; i < WRITERS; i++)
        ck_assert_int_eq(pthread_join(writers[i], NULL), 0);
    atomic_store(&stop, true);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_join(readers[i], NULL), 0);
    uint64_t told = rank_of(db, ID, UINT64_MAX);
    question call = {.id = ID, .count = NUMBERS, .n = 1000000, .passing = true};
    OK(mlkv_close(db));
    db = open_with(folder, 0);
    OK(op_read(db, select_rule, &call));
    ck_assert_uint_eq(call.got, told); /* what the tree said is what is there */
    mlkv_buffer_free(&call.keys);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ranking");
    TCase *tcase = harness_case(suite, "ranking");
    tcase_add_test(tcase, all_views_agree_with_a_model);
    tcase_add_test(tcase, transaction_of_many);
    tcase_add_test(tcase, a_write_has_its_tree_made);
    tcase_add_test(tcase, passing_makes_no_tree);
    tcase_add_test(tcase, passes_from_a_number);
    tcase_add_test(tcase, budget);
    tcase_add_test(tcase, emptied);
    tcase_add_test(tcase, threads);
    const char *forks = getenv("CK_FORK"); /* no children beside a sanitizer's threads */
    if (forks == NULL || strcmp(forks, "no") != 0) {
        tcase_add_test(tcase, follows_other_processes);
        tcase_add_test(tcase, is_overtaken);
        tcase_add_test(tcase, a_batch_too_large_for_the_ring);
    }
    return harness_run(suite);
}
