/* test_view.c - the life of views through the public calls: every refusal of open, begin, commit,
 * abort, snapshot, flush and stats; ownership across threads and forks; the upcalls (clean.c). */
#include "fixture.h"

START_TEST(opens_or_refuses)
{
    const char *folder = harness_folder();
    char path[700], deep[700];
    mlkv_options options = small_options();
    mlkv *db = NULL;
    snprintf(path, sizeof path, "%s/store", folder);
    snprintf(deep, sizeof deep, "%s/no/such/folder", folder);
    MUST(MLKV_E_ARGUMENT, mlkv_open(path, &options, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_open("", &options, &db));
    options.threads = 1000;
    MUST(MLKV_E_ARGUMENT, mlkv_open(path, &options, &db));
    options = small_options();
    options.size = 3;
    MUST(MLKV_E_ARGUMENT, mlkv_open(path, &options, &db));
    options = small_options();
    options.flags = MLKV_READ_ONLY;
    MUST(MLKV_E_ARGUMENT, mlkv_open(NULL, &options, &db));
    MUST(MLKV_E_ABSENT_STORE, mlkv_open(path, &options, &db));
    options.flags = MLKV_NO_CREATE;
    MUST(MLKV_E_ABSENT_STORE, mlkv_open(path, &options, &db));
    ck_assert_int_ne(access(path, F_OK), 0);
    options.flags = 0;
    int result = mlkv_open(deep, &options, &db);
    ck_assert_msg(result == MLKV_E_IO || result == MLKV_E_ABSENT_STORE, "%d", result);
    int made = open(path, O_CREAT | O_WRONLY, 0600);
    ck_assert_int_ge(made, 0);
    (void)close(made);
    MUST(MLKV_E_IO, mlkv_open(path, &options, &db));
    ck_assert_ptr_null(db);
    ck_assert_str_ne(mlkv_error_detail(), "");
    ck_assert_int_eq(unlink(path), 0);
    OK(mlkv_open(path, &options, &db));
    ck_assert_str_eq(mlkv_error_detail(), "");
    OK(mlkv_close(db));
    OK(mlkv_close(NULL));
    harness_remove(folder);
}
END_TEST

START_TEST(is_denied)
{
    const char *folder = harness_folder();
    mlkv_options options = small_options();
    mlkv *db = NULL;
    if (geteuid() != 0) { /* root may do anything */
        OK(mlkv_close(open_still(folder)));
        ck_assert_int_eq(chmod(folder, 0500), 0);
        char path[700];
        snprintf(path, sizeof path, "%s/data.mdb", folder);
        ck_assert_int_eq(chmod(path, 0), 0);
        MUST(MLKV_E_PERMISSION, mlkv_open(folder, &options, &db));
        ck_assert_int_eq(chmod(folder, 0700), 0);
    }
    harness_remove(folder);
}
END_TEST

START_TEST(lives_in_memory)
{
    mlkv *first = NULL, *second = NULL;
    char path[4096];
    mlkv_options options = small_options();
    OK(mlkv_open(NULL, &options, &first));
    OK(mlkv_open(NULL, NULL, &second));
    snprintf(path, sizeof path, "%s", atomic_load(&first->engine)->path);
    OK(put(first, TEXT("K1"), TEXT("1")));
    ck_assert(holds(first, TEXT("K1"), TEXT("1")) && lacks(second, TEXT("K1")));
    for (int i = 0; i < 300; i++)
        OK(put(first, TEXT("K2"), slice_of(path, 1000)));
    OK(mlkv_flush(first, MLKV_SYNC));
    OK(mlkv_flush(first, MLKV_STORE));
    ck_assert_int_eq(access(path, F_OK), 0);
    OK(mlkv_close(first));
    ck_assert_int_ne(access(path, F_OK), 0);
    OK(mlkv_close(second));
}
END_TEST

START_TEST(shares_an_instance)
{
    const char *folder = harness_folder();
    mlkv *db = open_with(folder, 0), *other = open_with(folder, 0),
         *read_only = open_with(folder, MLKV_READ_ONLY), *transaction = NULL;
    OK(put(db, TEXT("K1"), TEXT("1")));
    ck_assert(holds(other, TEXT("K1"), TEXT("1")) && holds(read_only, TEXT("K1"), TEXT("1")));
    MUST(MLKV_E_READONLY, mlkv_begin(read_only, &transaction));
    MUST(MLKV_E_READONLY, mlkv_flush(read_only, MLKV_SYNC));
    OK(mlkv_close(db));
    OK(mlkv_begin(other, &transaction));
    OK(mlkv_close(other));
    OK(mlkv_close(read_only)); /* the transaction holds the instance */
    OK(put(transaction, TEXT("K1"), TEXT("2")));
    OK(mlkv_commit(transaction)); /* and closes it */
    db = open_with(folder, MLKV_READ_ONLY);
    ck_assert(holds(db, TEXT("K1"), TEXT("2")));
    mlkv *writer = NULL;
    MUST(MLKV_E_READONLY, mlkv_open(folder, NULL, &writer));
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* --- transactions --- */

START_TEST(begins_or_refuses)
{
    const char *folder = harness_folder();
    mlkv *db = open_still(folder), *transaction = NULL, *second = NULL, *snapshot = NULL;
    atomic_load(&db->engine)->options.lock_timeout_ms = 10;
    MUST(MLKV_E_ARGUMENT, mlkv_begin(NULL, &transaction));
    MUST(MLKV_E_ARGUMENT, mlkv_begin(db, NULL));
    OK(mlkv_snapshot(db, &snapshot));
    MUST(MLKV_E_READONLY, mlkv_begin(snapshot, &transaction));
    OK(mlkv_begin(db, &transaction));
    MUST(MLKV_E_ARGUMENT, mlkv_begin(transaction, &second));
    MUST(MLKV_E_BUSY, mlkv_begin(db, &second));
    ck_assert_ptr_null(second);
    MUST(MLKV_E_BUSY,
         put(db, TEXT("K1"), TEXT("1"))); /* through another view, by the same thread */
    MUST(MLKV_E_ARGUMENT, mlkv_snapshot(transaction, &second));
    MUST(MLKV_E_ARGUMENT, mlkv_snapshot(snapshot, &second));
    MUST(MLKV_E_ARGUMENT, mlkv_snapshot(NULL, &second));
    MUST(MLKV_E_ARGUMENT, mlkv_snapshot(db, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_flush(transaction, MLKV_SYNC));
    MUST(MLKV_E_ARGUMENT, mlkv_flush(NULL, MLKV_SYNC));
    MUST(MLKV_E_ARGUMENT, mlkv_flush(db, (mlkv_durability)4));
    MUST(MLKV_E_ARGUMENT, mlkv_flush(db, (mlkv_durability)-1));
    MUST(MLKV_E_ARGUMENT, mlkv_commit(NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_commit(db));
    MUST(MLKV_E_ARGUMENT, mlkv_commit(snapshot));
    MUST(MLKV_E_ARGUMENT, mlkv_abort(db));
    MUST(MLKV_E_ARGUMENT, mlkv_abort(snapshot));
    OK(mlkv_abort(NULL));
    OK(put(transaction, TEXT("K1"), TEXT("2")));
    OK(mlkv_flush(db, MLKV_STORE)); /* of what is acknowledged; the transaction is not */
    OK(mlkv_commit(transaction));
    ck_assert(holds(db, TEXT("K1"), TEXT("2")) && lacks(snapshot, TEXT("K1")));
    OK(mlkv_begin(db, &transaction)); /* without writes */
    OK(mlkv_commit(transaction));
    OK(mlkv_begin(db, &transaction));
    OK(put(transaction, TEXT("K1"), TEXT("3")));
    OK(mlkv_close(transaction)); /* as abort */
    ck_assert(holds(db, TEXT("K1"), TEXT("2")));
    for (int level = 0; level <= MLKV_STORE; level++)
        OK(mlkv_flush(db, (mlkv_durability)level));
    OK(mlkv_close(snapshot));
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

static void *misuse(void *argument)
{
    mlkv *transaction = argument;
    mlkv_buffer got = {0};
    scan *opened = NULL;
    CHILD_MUST(put(transaction, TEXT("Kstolen"), TEXT("1")) == MLKV_E_OWNER);
    CHILD_MUST(get(transaction, TEXT("K1"), &got) == MLKV_E_OWNER);
    CHILD_MUST(scan_open(transaction, TEXT("K"), slice_of(NULL, 0), &opened) == MLKV_E_OWNER);
    CHILD_MUST(mlkv_commit(transaction) == MLKV_E_OWNER);
    CHILD_MUST(mlkv_abort(transaction) == MLKV_E_OWNER);
    CHILD_MUST(mlkv_close(transaction) == MLKV_E_OWNER);
    return NULL;
}

typedef struct {
    mlkv *db, *transaction;
} leaving;

static void *begin_and_leave(void *argument)
{
    leaving *self = argument;
    CHILD_MUST(mlkv_begin(self->db, &self->transaction) == MLKV_OK);
    CHILD_MUST(put(self->transaction, TEXT("Kleft"), TEXT("1")) == MLKV_OK);
    return NULL;
}

/* Fails under R10-any-thread-commits of tests/broken. */
START_TEST(belongs_to_its_thread)
{
    const char *folder = harness_folder();
    mlkv *db = open_still(folder), *transaction = NULL;
    OK(mlkv_begin(db, &transaction));
    in_thread(misuse, transaction);
    OK(put(transaction, TEXT("K1"), TEXT("1")));
    OK(mlkv_commit(transaction));
    ck_assert(lacks(db, TEXT("Kstolen")) && holds(db, TEXT("K1"), TEXT("1")));
    for (int how = 0; how < 3; how++) { /* its thread is gone */
        leaving self = {.db = db};
        in_thread(begin_and_leave, &self);
        OK(put(db, TEXT("K1"), TEXT("2"))); /* the lock's next taker goes on */
        mlkv_buffer got = {0};
        MUST(MLKV_E_OWNER, get(self.transaction, TEXT("K1"), &got));
        if (how == 0)
            MUST(MLKV_E_OWNER, mlkv_commit(self.transaction));
        else
            OK(how == 1 ? mlkv_abort(self.transaction) : mlkv_close(self.transaction));
        ck_assert(lacks(db, TEXT("Kleft")));
        OK(put(db, TEXT("K1"), TEXT("3")));
    }
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

START_TEST(does_not_cross_a_fork)
{
    const char *folder = harness_folder();
    mlkv *db = open_still(folder), *transaction = NULL, *snapshot = NULL;
    int status;
    OK(put(db, TEXT("K1"), TEXT("1")));
    OK(mlkv_snapshot(db, &snapshot));
    OK(mlkv_begin(db, &transaction));
    OK(put(transaction, TEXT("K1"), TEXT("2")));
    IN_CHILD(status, {
        mlkv_buffer got = {0};
        CHILD_MUST(get(transaction, TEXT("K1"), &got) == MLKV_E_OWNER);
        CHILD_MUST(get(snapshot, TEXT("K1"), &got) == MLKV_E_OWNER);
        CHILD_MUST(mlkv_commit(transaction) == MLKV_E_OWNER);
        CHILD_MUST(holds(db, TEXT("K1"), TEXT("1"))); /* the parent's is not committed */
        CHILD_MUST(mlkv_abort(transaction) == MLKV_OK);
        CHILD_MUST(mlkv_close(snapshot) == MLKV_OK);
        CHILD_MUST(mlkv_close(db) == MLKV_OK);
    });
    ck_assert_int_eq(status, 0);
    ck_assert(holds(transaction, TEXT("K1"), TEXT("2")));
    OK(mlkv_commit(transaction));
    ck_assert(holds(db, TEXT("K1"), TEXT("2")) && holds(snapshot, TEXT("K1"), TEXT("1")));
    OK(mlkv_close(snapshot));
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

START_TEST(commits_with_every_durability)
{
    static char large[200 << 10];
    const char *folder = harness_folder();
    for (int durability = 0; durability <= MLKV_STORE; durability++) {
        mlkv_options options = small_options();
        mlkv *db = NULL, *transaction = NULL;
        options.durability = durability;
        OK(mlkv_open(folder, &options, &db));
        engine *self = atomic_load(&db->engine);
        engine_background_stop(self);
        for (int i = 0; i < 3; i++) {
            OK(mlkv_begin(db, &transaction));
            for (char key[] = "K0"; key[1] <= (i == 2 ? '8' : '0');
                 key[1]++) /* once past the ring */
                OK(put(transaction, slice_of(key, 2), slice_of(large, i == 2 ? 25000 : 100)));
            OK(mlkv_commit(transaction));
            uint64_t tail = journal_tail(engine_journal(self)),
                     applied = journal_applied(engine_journal(self));
            uint64_t synced = journal_synced(engine_journal(self));
            if (durability == MLKV_STORE)
                ck_assert_uint_eq(applied, tail);
            if (durability == MLKV_SYNC)
                ck_assert(synced == tail || applied == tail);
            OK(put(db, TEXT("Klive"), TEXT("1")));
        }
        OK(mlkv_close(db));
    }
    harness_remove(folder);
}
END_TEST

START_TEST(goes_on_reading_when_poisoned)
{
    const char *folder = harness_folder();
    mlkv *db = open_still(folder), *transaction = NULL, *snapshot = NULL;
    engine *self = atomic_load(&db->engine);
    if (journal_sync_is_durable(engine_journal(self))) {
        OK(put(db, TEXT("K1"), TEXT("1")));
        OK(mlkv_snapshot(db, &snapshot));
        OK(mlkv_close(snapshot));
        OK(put(db, TEXT("K2"), TEXT("1")));
        fault_arm(FAULT_SYNC_LOCKED, FAULT_ERROR, 1, EIO);
        int result = mlkv_flush(db, MLKV_SYNC);
        ck_assert_msg(result == MLKV_E_IO || result == MLKV_E_POISONED, "%d", result);
        fault_disarm_all();
        MUST(MLKV_E_POISONED, mlkv_begin(db, &transaction));
        MUST(MLKV_E_POISONED, put(db, TEXT("K3"), TEXT("1")));
        MUST(MLKV_E_POISONED, mlkv_flush(db, MLKV_JOURNAL));
        MUST(MLKV_E_POISONED,
             mlkv_snapshot(db, &snapshot)); /* K2 is not in LMDB, and cannot come there */
        ck_assert(holds(db, TEXT("K1"), TEXT("1")) && holds(db, TEXT("K2"), TEXT("1")) &&
                  lacks(db, TEXT("K3")));
        MUST(MLKV_E_POISONED, mlkv_close(db));
        db = open_still(folder);
        ck_assert(holds(db, TEXT("K1"), TEXT("1")) && holds(db, TEXT("K2"), TEXT("1")));
        OK(put(db, TEXT("K3"), TEXT("1")));
    }
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* --- numbers, upcalls --- */

START_TEST(tells_stats)
{
    const char *folder = harness_folder();
    mlkv *db = open_still(folder), *transaction = NULL;
    mlkv_stats stats = {.size = 0};
    unsigned char count[8] = {5};
    MUST(MLKV_E_ARGUMENT, mlkv_stats_get(NULL, &stats));
    MUST(MLKV_E_ARGUMENT, mlkv_stats_get(db, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_stats_get(db, &stats));
    stats.size = sizeof stats + 8;
    MUST(MLKV_E_ARGUMENT, mlkv_stats_get(db, &stats));
    stats.size = sizeof stats;
    OK(mlkv_stats_get(db, &stats));
    ck_assert_uint_eq(stats.keys, 0);
    OK(put(db, TEXT("Ckeys"), slice_of(count, sizeof count))); /* as types keep it */
    OK(mlkv_stats_get(db, &stats));
    ck_assert_uint_eq(stats.keys, 5);
    ck_assert_uint_eq(stats.frames_appended, 1);
    OK(mlkv_begin(db, &transaction));
    OK(mlkv_stats_get(transaction, &stats));
    OK(mlkv_abort(transaction));
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

static _Atomic unsigned cleanings;

static int clean(mlkv *view)
{
    mlkv_buffer got = {0};
    int result = get(view, TEXT("Kclean me"), &got);
    mlkv_buffer_free(&got);
    if (result != MLKV_OK)
        return result;
    atomic_fetch_add(&cleanings, 1);
    return drop(view, TEXT("Kclean me"));
}

START_TEST(calls_the_cleaner)
{
    static const op_upcalls upcalls = {.clean = clean}, none = {.clean = NULL};
    const char *folder = harness_folder();
    mlkv *db = open_still(folder);
    op_register(&none);
    MUST(MLKV_ABSENT, view_clean(atomic_load(&db->engine)));
    op_register(&upcalls);
    MUST(MLKV_ABSENT, view_clean(atomic_load(&db->engine)));
    OK(put(db, TEXT("Kclean me"), TEXT("")));
    OK(view_clean(atomic_load(&db->engine)));
    ck_assert_uint_eq(atomic_load(&cleanings), 1);
    ck_assert(lacks(db, TEXT("Kclean me")));
    OK(mlkv_close(db));
    db = open_with(folder, 0); /* by the keeper */
    OK(put(db, TEXT("Kclean me"), TEXT("")));
    while (atomic_load(&cleanings) != 2)
        (void)usleep(1000);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("view");
    TCase *tcase = harness_case(suite, "view");
    tcase_add_test(tcase, opens_or_refuses);
    tcase_add_test(tcase, is_denied);
    tcase_add_test(tcase, lives_in_memory);
    tcase_add_test(tcase, shares_an_instance);
    tcase_add_test(tcase, begins_or_refuses);
    tcase_add_test(tcase, belongs_to_its_thread);
    tcase_add_test(tcase, does_not_cross_a_fork);
    tcase_add_test(tcase, commits_with_every_durability);
    tcase_add_test(tcase, goes_on_reading_when_poisoned);
    tcase_add_test(tcase, tells_stats);
    tcase_add_test(tcase, calls_the_cleaner);
    return harness_run(suite);
}
