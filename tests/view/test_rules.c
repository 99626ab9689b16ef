/* test_rules.c - the rules R8 and R10 of docs/architecture.md and the one state of I2, as the
 * typed functions show them: each with the interleaving that it is there for, made at the fault
 * and watch points of base/fault.h. Each test has been seen to fail under the patches of
 * tests/broken that its comment names; sh tests/broken/run.sh sees it again. */
#include "fixture.h"

#include <mlkv/mlkv.h>

static mlkv *store_of_test;
static unsigned passed;

/* --- I2: a read of several records is of one state --- */

static void put_both(mlkv *db, mlkv_slice value)
{
    mlkv *transaction = NULL;
    OK(mlkv_begin(db, &transaction));
    OK(mlkv_string_set(transaction, TEXT("one"), value, MLKV_SET_ALWAYS));
    OK(mlkv_string_set(transaction, TEXT("two"), value, MLKV_SET_ALWAYS));
    OK(mlkv_commit(transaction));
}

static void write_before_the_second(watch_point point)
{
    if (point == WATCH_READ_NOTED && ++passed == 2)
        put_both(store_of_test, TEXT("new"));
}

/* Both keys change in one transaction, after a reader has read the first and before it reads the
 * second. Fails under I02-torn-reads-count. */
START_TEST(a_read_of_two_keys_is_one_state)
{
    const char *folder = harness_folder();
    mlkv_slice keys[] = {TEXT("one"), TEXT("two")};
    mlkv_rows rows = {0};
    mlkv *db = open_still(folder);
    store_of_test = db;
    put_both(db, TEXT("old"));
    if (_i == 1) { /* from LMDB */
        apply_all(db);
        put_both(db, TEXT("old"));
        apply_all(db);
        cache_reset(atomic_load(&db->engine)->cache, engine_cursor(atomic_load(&db->engine)));
    }
    fault_watch(write_before_the_second);
    OK(mlkv_string_get_many(db, keys, 2, &rows));
    fault_watch(NULL);
    ck_assert_uint_ge(passed, 4); /* it read again */
    ck_assert_uint_eq(rows.count, 2);
    ck_assert(slice_equal(rows.items[0], TEXT("new")) && slice_equal(rows.items[1], TEXT("new")));
    mlkv_rows_free(&rows);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* The key's life ends and a new one begins, in one transaction, and the cleaner takes what the old one had. */
static void begin_a_new_life(watch_point point)
{
    mlkv *transaction = NULL;
    mlkv_slice key = TEXT("hash");
    mlkv_pair pair = {TEXT("field"), TEXT("new")};
    if (point != WATCH_READ_NOTED || ++passed != 2)
        return;
    OK(mlkv_begin(store_of_test, &transaction));
    OK(mlkv_key_delete(transaction, &key, 1, NULL));
    OK(mlkv_hash_set(transaction, key, &pair, 1, NULL));
    OK(mlkv_commit(transaction));
    while (view_clean(atomic_load(&store_of_test->engine)) == MLKV_OK)
        ;
}

/* A field was there before and after: a reader that has the key of the one life must not miss
 * the field in the other. Fails under I02-torn-reads-count. */
START_TEST(a_read_of_key_and_field_is_one_state)
{
    const char *folder = harness_folder();
    mlkv_pair pair = {TEXT("field"), TEXT("old")};
    mlkv_buffer value = {0};
    mlkv *db = open_still(folder);
    store_of_test = db;
    OK(mlkv_hash_set(db, TEXT("hash"), &pair, 1, NULL));
    fault_watch(begin_a_new_life);
    OK(mlkv_hash_get(db, TEXT("hash"), TEXT("field"), &value));
    fault_watch(NULL);
    ck_assert_uint_ge(passed, 4);
    ck_assert(slice_equal(slice_of_buffer(&value), TEXT("new")));
    mlkv_buffer_free(&value);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

typedef struct {
    bool scan_first, written;
    uint64_t read, scanned;
} mixing;

static int put_numbers_rule(op *o, void *context)
{
    const uint64_t *number = context;
    OK(op_put(o, TEXT("Kn1"), slice_of(number, sizeof *number)));
    return op_put(o, TEXT("Kn2"), slice_of(number, sizeof *number));
}

/* What another thread writes between the two looks of the first run. */
static void write_between(mixing *self)
{
    uint64_t number = 2;
    if (!self->written)
        OK(op_write(store_of_test, put_numbers_rule, &number));
    self->written = true;
}

static int scan_numbers(op *o, mixing *self)
{
    scan *opened = NULL;
    mlkv_slice key, value;
    int result = op_scan_open(o, TEXT("Kn"), slice_of(NULL, 0), &opened);
    if (result == MLKV_OK)
        result = scan_next(opened, &key, &value);
    if (result == MLKV_OK)
        memcpy(&self->scanned, value.data, sizeof self->scanned);
    scan_close(opened);
    return result;
}

static int mixing_rule(op *o, void *context)
{
    mixing *self = context;
    mlkv_slice value;
    int result = MLKV_OK;
    if (self->scan_first) {
        result = scan_numbers(o, self);
        write_between(self);
    }
    if (result == MLKV_OK)
        result = op_borrow(o, TEXT("Kn2"), &value);
    if (result == MLKV_OK)
        memcpy(&self->read, value.data, sizeof self->read);
    if (result == MLKV_OK && !self->scan_first) {
        write_between(self);
        result = scan_numbers(o, self);
    }
    return result;
}

/* A record and a scan of the same operation, in either order. Fails under
 * I02-scan-of-another-state and I02-read-behind-a-scan-counts. */
START_TEST(a_scan_and_a_read_are_one_state)
{
    const char *folder = harness_folder();
    mlkv *db = open_still(folder);
    uint64_t number = 1;
    mixing self = {.scan_first = _i == 1};
    store_of_test = db;
    OK(op_write(db, put_numbers_rule, &number));
    OK(op_read(db, mixing_rule, &self));
    ck_assert(self.written);
    ck_assert_uint_eq(self.read, 2);
    ck_assert_uint_eq(self.scanned, 2);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* --- R8 --- */

static char large[2][9000];

static void replace_and_clean(watch_point point)
{
    if (point != WATCH_BLOB_READ || passed++ != 0)
        return;
    engine *self = atomic_load(&store_of_test->engine);
    OK(mlkv_string_set(store_of_test, TEXT("large"), slice_of(large[1], sizeof large[1]),
                       MLKV_SET_ALWAYS));
    apply_all(store_of_test);
    OK(engine_clean_waste(self));
}

/* The blob that a reader has the reference of is replaced and cleaned before it reads it: it
 * reads again. Fails under R08-missing-is-corruption. */
START_TEST(a_missing_blob_is_read_again)
{
    const char *folder = harness_folder();
    mlkv_buffer value = {0};
    mlkv *db = open_still(folder);
    store_of_test = db;
    for (size_t i = 0; i < sizeof large[0]; i++) {
        large[0][i] = (char)(i * i * 7 + i / 251);
        large[1][i] = (char)(i * i * 13 + i / 241 + 1);
    }
    OK(mlkv_string_set(db, TEXT("large"), slice_of(large[0], sizeof large[0]), MLKV_SET_ALWAYS));
    ck_assert_uint_eq(count_class(db, RECORD_BLOB), 1);
    fault_watch(replace_and_clean);
    OK(mlkv_string_get(db, TEXT("large"), &value));
    fault_watch(NULL);
    ck_assert_uint_ge(passed, 2);
    ck_assert(slice_equal(slice_of_buffer(&value), slice_of(large[1], sizeof large[1])));
    mlkv_buffer_free(&value);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* --- R10 --- */

typedef struct {
    mlkv *transaction;
    pthread_t first;
    bool same;
} heirs;

static void *begin_and_end(void *argument)
{
    heirs *self = argument;
    self->first = pthread_self();
    CHILD_MUST(mlkv_begin(store_of_test, &self->transaction) == MLKV_OK);
    CHILD_MUST(put(self->transaction, TEXT("Kleft"), TEXT("1")) == MLKV_OK);
    return NULL;
}

/* Has the lock, and is asked to commit what the dead thread left: its name is no right to it. */
static void *inherit(void *argument)
{
    heirs *self = argument;
    mlkv *own = NULL;
    self->same = pthread_equal(self->first, pthread_self());
    CHILD_MUST(mlkv_begin(store_of_test, &own) == MLKV_OK);
    CHILD_MUST(put(self->transaction, TEXT("Kheir"), TEXT("1")) == MLKV_E_OWNER);
    CHILD_MUST(mlkv_commit(self->transaction) == MLKV_E_OWNER);
    CHILD_MUST(put(own, TEXT("Kown"), TEXT("1")) == MLKV_OK);
    CHILD_MUST(mlkv_commit(own) == MLKV_OK);
    return NULL;
}

/* A thread ends in its transaction, and the next one bears its number, as the C library gives
 * them out. Fails under R10-any-epoch-commits. */
START_TEST(a_transaction_ends_with_its_lock)
{
    const char *folder = harness_folder();
    mlkv *db = open_still(folder);
    heirs self = {0};
    store_of_test = db;
    for (int tries = 0; tries < 20 && !self.same; tries++) {
        in_thread(begin_and_end, &self);
        in_thread(inherit, &self);
        ck_assert(lacks(db, TEXT("Kleft")) && lacks(db, TEXT("Kheir")) &&
                  holds(db, TEXT("Kown"), TEXT("1")));
    }
    if (!self.same)
        printf("no thread was given the number of one that had ended\n");
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

typedef struct {
    bool reads;
    int result;
    bool came_back;
} cancelled;

/* Cancelled before the call already: the first place inside that lets itself be cancelled would be its end. */
static void *call_when_cancelled(void *argument)
{
    cancelled *self = argument;
    mlkv_buffer got = {0};
    (void)pthread_cancel(pthread_self());
    self->result = self->reads ? get(store_of_test, TEXT("Kone"), &got)
                               : put(store_of_test, TEXT("Kone"), TEXT("new"));
    (void)cancel_disable(); /* it ends by its return, whose way out sanitizers know */
    self->came_back = true;
    mlkv_buffer_free(&got);
    return NULL;
}

static void be_cancelled(watch_point point)
{
    if (point == WATCH_READ_NOTED)
        pthread_testcancel();
}

static void be_cancelled_with_the_lock(fault_point point)
{
    if (point == FAULT_APPEND_WRITTEN)
        pthread_testcancel();
}

/* Fails under R10-cancelled-in-a-write and R10-cancelled-in-a-read. */
START_TEST(no_thread_is_cancelled_inside)
{
    const char *folder = harness_folder();
    mlkv *db = open_still(folder);
    cancelled self = {.reads = _i == 1};
    store_of_test = db;
    OK(put(db, TEXT("Kone"), TEXT("old")));
    fault_watch(be_cancelled);
    fault_observe(be_cancelled_with_the_lock);
    in_thread(call_when_cancelled, &self);
    fault_watch(NULL);
    fault_observe(NULL);
    ck_assert(self.came_back);
    OK(self.result);
    ck_assert(holds(db, TEXT("Kone"), self.reads ? TEXT("old") : TEXT("new")));
    OK(put(db, TEXT("Kone"), TEXT("newer")));
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rules");
    TCase *tcase = harness_case(suite, "rules");
    tcase_add_loop_test(tcase, a_read_of_two_keys_is_one_state, 0, 2);
    tcase_add_test(tcase, a_read_of_key_and_field_is_one_state);
    tcase_add_loop_test(tcase, a_scan_and_a_read_are_one_state, 0, 2);
    tcase_add_test(tcase, a_missing_blob_is_read_again);
    tcase_add_test(tcase, a_transaction_ends_with_its_lock);
    tcase_add_loop_test(tcase, no_thread_is_cancelled_inside, 0, 2);
    return harness_run(suite);
}
