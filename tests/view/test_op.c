/* test_op.c - running rules: what they put and see, what a refusal leaves, one state for a read of
 * several records while others write. */
#include "fixture.h"

START_TEST(refuses)
{
    const char *folder = harness_folder();
    mlkv *db = open_still(folder), *read_only = open_with(folder, MLKV_READ_ONLY), *snapshot = NULL;
    unsigned char long_key[RECORD_KEY_SIZE_MAX + 1];
    memset(long_key, 'K', sizeof long_key);
    MUST(MLKV_E_ARGUMENT, put(NULL, TEXT("K"), TEXT("")));
    MUST(MLKV_E_ARGUMENT, get(NULL, TEXT("K"), NULL));
    MUST(MLKV_E_SIZE, put(db, TEXT(""), TEXT("")));
    MUST(MLKV_E_SIZE, put(db, slice_of(long_key, sizeof long_key), TEXT("")));
    MUST(MLKV_E_SIZE, drop(db, slice_of(long_key, sizeof long_key)));
    OK(put(db, slice_of(long_key, RECORD_KEY_SIZE_MAX), TEXT("1")));
    ck_assert(holds(db, slice_of(long_key, RECORD_KEY_SIZE_MAX), TEXT("1")));
    MUST(MLKV_E_READONLY, put(read_only, TEXT("K"), TEXT("")));
    OK(mlkv_snapshot(db, &snapshot));
    MUST(MLKV_E_READONLY, put(snapshot, TEXT("K"), TEXT("")));
    one_record call = {.key = TEXT("Kread")};
    MUST(MLKV_E_READONLY, op_read(db, put_rule, &call));
    MUST(MLKV_E_READONLY, op_read(snapshot, delete_rule, &call));
    ck_assert(lacks(db, TEXT("Kread")));
    OK(mlkv_close(snapshot));
    OK(mlkv_close(read_only));
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* Negative: nothing happened. 0 and MLKV_ABSENT: it is done. */
START_TEST(commits_or_not)
{
    const char *folder = harness_folder();
    mlkv *db = open_still(folder);
    for (int inside = 0; inside < 2; inside++) {
        mlkv *view = db;
        if (inside)
            OK(mlkv_begin(db, &view));
        one_record call = {.key = TEXT("Kone"), .value = TEXT("1"), .result = MLKV_E_NUMBER};
        MUST(MLKV_E_NUMBER, op_write(view, put_rule, &call));
        ck_assert(lacks(view, TEXT("Kone")));
        call.result = MLKV_ABSENT;
        MUST(MLKV_ABSENT, op_write(view, put_rule, &call));
        ck_assert(holds(view, TEXT("Kone"), TEXT("1")));
        OK(drop(view, TEXT("Kone")));
        ck_assert(lacks(view, TEXT("Kone")));
        if (inside)
            OK(mlkv_commit(view));
        ck_assert(lacks(db, TEXT("Kone")));
    }
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* Reads its own writes, in all the ways of writing. */
static int many_rule(op *o, void *context)
{
    mlkv_buffer got = {0};
    mlkv_slice borrowed;
    void *room;
    uint64_t *ids = context;
    OK(op_put_parts(o, TEXT("Kparts"), TEXT("head,"), TEXT("body")));
    OK(op_put_reserve(o, TEXT("Kroom"), 5, &room));
    memcpy(room, "12345", 5);
    OK(op_put(o, TEXT("Kempty"), TEXT("")));
    OK(op_get(o, TEXT("Kparts"), &got));
    ck_assert(slice_equal(slice_of_buffer(&got), TEXT("head,body")));
    OK(op_borrow(o, TEXT("Kroom"), &borrowed));
    ck_assert(slice_equal(borrowed, TEXT("12345")));
    OK(op_get(o, TEXT("Kempty"), &got));
    ck_assert_uint_eq(got.size, 0);
    OK(op_put(o, TEXT("Kroom"), TEXT("other")));
    OK(op_borrow(o, TEXT("Kroom"), &borrowed));
    ck_assert(slice_equal(borrowed, TEXT("other")));
    OK(op_delete(o, TEXT("Kparts")));
    MUST(MLKV_ABSENT, op_get(o, TEXT("Kparts"), &got));
    MUST(MLKV_ABSENT, op_borrow(o, TEXT("Knever"), &borrowed));
    op_prefetch(o, TEXT("Kwhatever"));
    OK(op_take_id(o, &ids[0]));
    OK(op_take_id(o, &ids[1]));
    ck_assert_uint_ne(ids[0], ids[1]);
    ck_assert_uint_gt(op_blob_threshold(o), 100);
    ck_assert_uint_eq(op_cell_options(o)->threshold_bytes, 1024);
    mlkv_buffer_free(&got);
    return MLKV_OK;
}

START_TEST(sees_its_own)
{
    const char *folder = harness_folder();
    mlkv *db = open_still(folder), *transaction = NULL;
    uint64_t first[2], second[2];
    OK(op_write(db, many_rule, first));
    ck_assert(holds(db, TEXT("Kroom"), TEXT("other")) && holds(db, TEXT("Kempty"), TEXT("")) &&
              lacks(db, TEXT("Kparts")));
    OK(mlkv_begin(db, &transaction));
    OK(op_write(transaction, many_rule, second));
    OK(put(transaction, TEXT("Kroom"), TEXT("third")));
    ck_assert(holds(transaction, TEXT("Kroom"), TEXT("third")) &&
              holds(db, TEXT("Kroom"), TEXT("other")));
    OK(mlkv_abort(transaction));
    ck_assert_uint_gt(second[0], first[1]);
    ck_assert(holds(db, TEXT("Kroom"), TEXT("other")));
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

static int now_rule(op *o, void *context)
{
    int64_t *now = context;
    *now = op_now_ms(o);
    (void)usleep(3000);
    ck_assert_int_eq(*now, op_now_ms(o));
    uint64_t id;
    MUST(MLKV_E_READONLY, op_take_id(o, &id));
    return MLKV_OK;
}

/* Fails under R11-now-twice, R11-snapshot-thaws of tests/broken. */
START_TEST(has_one_time)
{
    const char *folder = harness_folder();
    mlkv *db = open_still(folder), *snapshot = NULL, *transaction = NULL;
    int64_t first, second;
    OK(op_read(db, now_rule, &first));
    OK(op_read(db, now_rule, &second));
    ck_assert_int_gt(second, first);
    OK(mlkv_snapshot(db, &snapshot));
    OK(mlkv_begin(db, &transaction));
    for (int i = 0; i < 2; i++) {
        mlkv *view = i == 0 ? snapshot : transaction;
        OK(op_read(view, now_rule, &first));
        OK(op_read(view, now_rule, &second));
        ck_assert_int_eq(second, first);
    }
    OK(mlkv_commit(transaction));
    OK(mlkv_close(snapshot));
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

typedef struct {
    mlkv *db;
    int inner;
} nesting;

/* An op within an op of the same thread: reads are fine, writes would wait for themselves. */
static int nesting_rule(op *o, void *context)
{
    nesting *self = context;
    mlkv_slice borrowed;
    OK(op_put(o, TEXT("Kouter"), TEXT("new")));
    OK(op_borrow(o, TEXT("Kouter"), &borrowed));
    ck_assert(holds(self->db, TEXT("Kouter"), TEXT("old")));
    ck_assert(slice_equal(borrowed, TEXT("new")));
    self->inner = put(self->db, TEXT("Kinner"), TEXT("1"));
    return MLKV_OK;
}

START_TEST(nests)
{
    const char *folder = harness_folder();
    mlkv *db = open_still(folder);
    nesting self = {.db = db};
    OK(put(db, TEXT("Kouter"), TEXT("old")));
    atomic_load(&db->engine)->options.lock_timeout_ms = 10;
    OK(op_write(db, nesting_rule, &self));
    ck_assert_int_eq(self.inner, MLKV_E_BUSY);
    ck_assert(holds(db, TEXT("Kouter"), TEXT("new")) && lacks(db, TEXT("Kinner")));
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* --- one state --- */

enum { RECORDS = 6, WRITES = 6000, READERS = 3 };

static mlkv_slice name_of(int i, char name[8])
{
    return slice_of(name, (size_t)snprintf(name, 8, "Ks%d", i));
}

typedef struct {
    mlkv *db;
    uint64_t number;
    _Atomic bool *over;
    uint64_t seen;
} racing;

static int write_all_rule(op *o, void *context)
{
    racing *self = context;
    char name[8];
    unsigned char value[200] = {0};
    store_le64(value, self->number);
    for (int i = 0; i < RECORDS; i++)
        OK(op_put(o, name_of(i, name), slice_of(value, sizeof value)));
    return MLKV_OK;
}

static int read_all_rule(op *o, void *context)
{
    racing *self = context;
    uint64_t numbers[RECORDS] = {0};
    char name[8];
    mlkv_slice value;
    for (int i = 0; i < RECORDS; i++) {
        int result = op_borrow(o, name_of(i, name), &value);
        if (result < 0)
            return result;
        if (result == MLKV_OK)
            numbers[i] = load_le64(value.data);
    }
    self->seen = numbers[0];
    for (int i = 1; i < RECORDS; i++) {
        if (numbers[i] != numbers[0])
            self->seen = UINT64_MAX; /* only wrong if this run counts */
    }
    return MLKV_OK;
}

static int scan_all_rule(op *o, void *context)
{
    racing *self = context;
    scan *opened = NULL;
    mlkv_slice key, value;
    uint64_t first = 0;
    int count = 0, result = op_borrow(o, TEXT("Ks0"), &value);
    if (result == MLKV_OK)
        first = load_le64(value.data);
    if (result >= 0)
        result = op_scan_open(o, TEXT("Ks"), slice_of(NULL, 0), &opened);
    if (result != MLKV_OK)
        return result;
    self->seen = first;
    while ((result = scan_next(opened, &key, &value)) == MLKV_OK) {
        count++;
        if (load_le64(value.data) != first)
            self->seen = UINT64_MAX;
    }
    scan_close(opened);
    if (first != 0 && count != RECORDS)
        self->seen = UINT64_MAX;
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

static void *read_on(void *argument)
{
    racing *self = argument;
    uint64_t before = 0, runs = 0;
    while (!atomic_load(self->over)) {
        int result = op_read(self->db, runs++ % 3 == 0 ? scan_all_rule : read_all_rule, self);
        CHILD_MUST(result == MLKV_OK);
        CHILD_MUST(self->seen != UINT64_MAX && self->seen >= before);
        before = self->seen;
    }
    return NULL;
}

START_TEST(reads_one_state)
{
    const char *folder = harness_folder();
    mlkv *db = open_with(folder, 0);
    pthread_t threads[READERS];
    racing readers[READERS];
    _Atomic bool over = false;
    for (int i = 0; i < READERS; i++) {
        readers[i] = (racing){.db = db, .over = &over};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, read_on, &readers[i]), 0);
    }
    for (uint64_t i = 1; i <= WRITES; i++) {
        racing self = {.db = db, .number = i};
        OK(op_write(db, write_all_rule, &self));
    }
    atomic_store(&over, true);
    for (int i = 0; i < READERS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("op");
    TCase *tcase = harness_case(suite, "op");
    tcase_add_test(tcase, refuses);
    tcase_add_test(tcase, commits_or_not);
    tcase_add_test(tcase, sees_its_own);
    tcase_add_test(tcase, has_one_time);
    tcase_add_test(tcase, nests);
    tcase_add_test(tcase, reads_one_state);
    return harness_run(suite);
}
