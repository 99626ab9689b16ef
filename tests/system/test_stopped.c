/* test_stopped.c - a process that is stopped (SIGSTOP) with something in its hands: others go on
 * where they can, and where they cannot they are told so in time.
 *
 * The victim stops itself at a fault point, so it stops exactly there: with the writer lock, with
 * the lock of journal.log, inside LMDB's write lock; or with a snapshot. This process waits at most
 * LOCK_TIMEOUT_MS for it. Then the victim goes on, ends well, and everything adds up. No times are
 * asserted: a wait without an end would be ended by Check.
 */
#include "visitors.h"

#include "base/fault.h"

#include <pthread.h>

enum { LOCK_TIMEOUT_MS = 150 };

static mlkv *open_store(const char *folder, int durability)
{
    mlkv_options options = steps_options(durability);
    options.lock_timeout_ms = LOCK_TIMEOUT_MS;
    mlkv *db = NULL;
    use_visitor();
    OK(mlkv_open(folder, &options, &db));
    return db;
}

static void await_stop(const process *self)
{
    int status;
    pid_t got;
    do
        got = waitpid(self->pid, &status, WUNTRACED);
    while (got < 0 && errno == EINTR);
    ck_assert_int_eq(got, self->pid);
    ck_assert_msg(WIFSTOPPED(status), "the process ended (%x) instead of stopping",
                  (unsigned)status);
}

static process stop_at(const char *folder, fault_point point, int durability)
{
    char numbers[2][16];
    snprintf(numbers[0], sizeof numbers[0], "%d", durability);
    snprintf(numbers[1], sizeof numbers[1], "%d", (int)point);
    const char *arguments[] = {"stop", folder, numbers[0], numbers[1], NULL};
    process victim = process_start(arguments);
    await_stop(&victim);
    return victim;
}

static void go_on(process *victim)
{
    ck_assert_int_eq(kill(victim->pid, SIGCONT), 0);
    int status = process_end(victim);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0,
                  "the victim went on and ended with status %x", (unsigned)status);
}

static void check_end(mlkv *db, const char *folder)
{
    int64_t value;
    mlkv_report report = {.size = sizeof report};
    ck_assert_int_eq(number_of(db, "stopped"), 1);
    OK(mlkv_string_add(db, TEXT("n"), 1, &value));
    OK(mlkv_verify(db, NULL, NULL, &report));
    OK(mlkv_close(db));
    harness_remove(folder);
}

START_TEST(with_the_writer_lock)
{
    const char *folder = harness_folder();
    int64_t value;
    mlkv *db = open_store(folder, MLKV_JOURNAL), *tx = NULL;
    OK(mlkv_string_add(db, TEXT("n"), 1, &value));
    process victim = stop_at(folder, FAULT_WRITE_LOCKED, MLKV_JOURNAL);
    for (int i = 0; i < 3; i++) {
        MUST(MLKV_E_BUSY, mlkv_string_add(db, TEXT("n"), 1, &value));
        MUST(MLKV_E_BUSY, mlkv_begin(db, &tx));
        ck_assert_int_eq(number_of(db, "n"), 1);
    }
    OK(mlkv_flush(db, MLKV_STORE)); /* what was acknowledged does not wait for writers */
    go_on(&victim);
    ck_assert_int_eq(number_of(db, "n"), 1); /* a refusal changed nothing */
    check_end(db, folder);
}
END_TEST

/* The victim has appended, but its frame's fate is open: others read on, and write when it goes on.
 */
START_TEST(in_the_middle_of_a_frame)
{
    static const fault_point points[] = {FAULT_APPEND_RESERVED, FAULT_APPEND_HALF,
                                         FAULT_APPEND_WRITTEN, FAULT_APPEND_CHAINED};
    const char *folder = harness_folder();
    int64_t value;
    mlkv *db = open_store(folder, MLKV_JOURNAL);
    OK(mlkv_string_add(db, TEXT("n"), 1, &value));
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
        process victim = stop_at(folder, points[i], MLKV_JOURNAL);
        ck_assert_int_eq(number_of(db, "n"), 1);
        ck_assert_int_eq(number_of(db, "stopped"), (int64_t)i);
        MUST(MLKV_E_BUSY, mlkv_string_add(db, TEXT("n"), 1, &value));
        OK(mlkv_flush(db, MLKV_STORE));
        go_on(&victim);
        ck_assert_int_eq(number_of(db, "stopped"), (int64_t)i + 1);
    }
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

START_TEST(with_a_snapshot)
{
    const char *folder = harness_folder();
    int64_t value;
    mlkv *db = open_store(folder, MLKV_JOURNAL);
    mlkv_stats stats = {.size = sizeof stats};
    OK(mlkv_string_set(db, TEXT("key"), TEXT("old"), MLKV_SET_ALWAYS));
    const char *arguments[] = {"snapshot", folder, NULL};
    process victim = process_start(arguments);
    await_stop(&victim);
    uint64_t before = 0;
    for (int i = 0; i < 20; i++) {
        OK(mlkv_string_set(db, TEXT("key"), TEXT("new"), MLKV_SET_ALWAYS));
        OK(mlkv_string_add(db, TEXT("n"), 1, &value));
        OK(mlkv_flush(db, MLKV_STORE));
        OK(mlkv_stats_get(db, &stats));
        ck_assert_uint_gt(stats.oldest_snapshot_age, before); /* each commit makes it older */
        before = stats.oldest_snapshot_age;
        ck_assert_uint_ge(stats.readers, 1);
    }
    go_on(&victim);
    OK(mlkv_stats_get(db, &stats));
    ck_assert_uint_lt(stats.oldest_snapshot_age, before);
    ck_assert_int_eq(number_of(db, "n"), 20);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* What was taken is visible, so nobody else gets it any more: it is returned although it may not be durable. */
static void pop_without_durability(mlkv *db, mlkv *durable)
{
    mlkv_rows rows = {0};
    mlkv_scored member = {TEXT("member"), 1};
    mlkv_slice value = TEXT("element"), key = TEXT("sorted");
    size_t which = 7;
    OK(mlkv_zset_add(db, key, &member, 1, 0, NULL, NULL));
    MUST(MLKV_E_DURABILITY, mlkv_zset_pop_first(durable, &key, 1, 1, 0, &which, &rows, NULL));
    ck_assert(rows.count == 1 && which == 0 && slice_equal(rows.items[0], member.member));
    OK(mlkv_list_push(db, TEXT("list"), MLKV_LIST_LEFT, &value, 1, NULL));
    MUST(MLKV_E_DURABILITY, mlkv_list_pop_many(durable, TEXT("list"), MLKV_LIST_LEFT, 1, &rows));
    ck_assert(rows.count == 1 && slice_equal(rows.items[0], value));
    mlkv_rows_free(&rows);
}

START_TEST(with_the_lock_of_the_log)
{
    const char *folder = harness_folder();
    int64_t value;
    if (folder_is_in_memory(folder)) {
        printf("journal.log is in memory: nobody writes it here\n");
        harness_remove(folder);
        return;
    }
    mlkv *db = open_store(folder, MLKV_JOURNAL), *durable = open_store(folder, MLKV_SYNC);
    process victim = stop_at(folder, FAULT_SYNC_LOCKED, MLKV_SYNC);
    for (int i = 0; i < 3; i++) {
        MUST(MLKV_E_DURABILITY, mlkv_string_add(durable, TEXT("n"), 1, &value));
        ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "visible"));
        ck_assert_int_eq(number_of(db, "n"),
                         3 * i + 1); /* as documented: visible, not known to be durable */
        MUST(MLKV_E_BUSY, mlkv_flush(db, MLKV_SYNC));
        OK(mlkv_string_add(db, TEXT("n"), 1, &value));
        OK(mlkv_flush(db, MLKV_STORE));
        OK(mlkv_string_add(db, TEXT("n"), 1, &value));
    }
    pop_without_durability(db, durable);
    go_on(&victim);
    OK(mlkv_flush(durable, MLKV_SYNC));
    OK(mlkv_close(durable));
    ck_assert_int_eq(number_of(db, "n"), 9);
    check_end(db, folder);
}
END_TEST

START_TEST(inside_the_lock_of_lmdb)
{
    static const fault_point points[] = {FAULT_APPLY_LOCKED, FAULT_APPLY_PUT,
                                         FAULT_APPLY_COMMITTED};
    const char *folder = harness_folder();
    int64_t value;
    mlkv *db = open_store(folder, MLKV_JOURNAL), *strict = open_store(folder, MLKV_STORE),
         *snapshot = NULL;
    for (int i = 0; i < 3; i++) {
        process victim = stop_at(folder, points[i], MLKV_STORE);
        unsigned char large[20000] = {0};
        MUST(MLKV_E_DURABILITY, mlkv_string_add(strict, TEXT("n"), 1, &value));
        ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "visible"));
        ck_assert_int_eq(number_of(db, "n"), 2 * i + 1);
        OK(mlkv_string_add(db, TEXT("n"), 1, &value)); /* the ring has room */
        MUST(MLKV_E_BUSY,
             mlkv_string_set(db, TEXT("large"), slice_of(large, sizeof large), MLKV_SET_ALWAYS));
        MUST(MLKV_E_BUSY, mlkv_flush(db, MLKV_STORE));
        MUST(MLKV_E_BUSY, mlkv_snapshot(db, &snapshot));
        const char *get[] = {"get", folder, "n", NULL}; /* another process can come, read and go */
        process reader = process_start(get);
        uint64_t got = 0;
        (void)process_hear(&reader, &got);
        ck_assert_uint_eq(got, (uint64_t)(2 * i + 2));
        if (!folder_is_in_memory(folder))
            ck_assert_int_eq(process_end(&reader), 0);
        else
            (void)process_end(&reader); /* to leave, it would have to write to LMDB */
        go_on(&victim);
        ck_assert_int_eq(number_of(db, "stopped"), i + 1);
        OK(mlkv_flush(db, MLKV_STORE));
        MUST(MLKV_ABSENT, mlkv_string_get(db, TEXT("large"), &(mlkv_buffer){0}));
    }
    OK(mlkv_close(strict));
    OK(mlkv_verify(db, NULL, NULL, &(mlkv_report){.size = sizeof(mlkv_report)}));
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

START_TEST(a_full_ring_behind_a_stopped_process)
{
    const char *folder = harness_folder();
    char value[4000];
    memset(value, 'v', sizeof value);
    mlkv *db = open_store(folder, MLKV_JOURNAL);
    process victim = stop_at(folder, FAULT_APPLY_LOCKED, MLKV_STORE);
    int written = 0, result;
    do {
        char key[32];
        snprintf(key, sizeof key, "key %d", written);
        value[0] =
            (char)('a' + written % 26); /* not all the same: it shall not compress to nothing */
        for (size_t i = 1; i < sizeof value; i++)
            value[i] = (char)(value[i - 1] * 73 + (int)i * written + 11);
        result =
            mlkv_string_set(db, slice_of_text(key), slice_of(value, sizeof value), MLKV_SET_ALWAYS);
        written += result == MLKV_OK;
    } while (result == MLKV_OK && written < 1000);
    MUST(MLKV_E_BUSY, result);
    ck_assert_int_ge(written, 1);
    go_on(&victim);
    mlkv_stats stats = {.size = sizeof stats};
    OK(mlkv_flush(db, MLKV_STORE));
    OK(mlkv_stats_get(db, &stats));
    ck_assert_uint_eq(stats.keys, (uint64_t)written + 1);
    check_end(db, folder);
}
END_TEST

/* Whether a store that no writer has open was closed: a read-only opening cannot recover it. */
static bool is_closed(const char *folder)
{
    mlkv *db = NULL;
    mlkv_options options = {.size = sizeof options, .flags = MLKV_READ_ONLY};
    int result = mlkv_open(folder, &options, &db);
    if (result == MLKV_OK)
        OK(mlkv_close(db));
    else
        MUST(MLKV_E_RECOVERY, result);
    return result == MLKV_OK;
}

/* Closers that have seen each other, and this process's handle: all of them are on their way out when
 * it closes, too. Whoever goes on last must find itself alone, whatever the order. */
START_TEST(closing_at_the_same_time)
{
    enum { CLOSERS = 3, ORDERS = 4 };
    static const int orders[ORDERS][CLOSERS] = {{0, 1, 2}, {2, 1, 0}, {1, 2, 0}, {0, 2, 1}};
    for (int i = 0; i < ORDERS + 2; i++) { /* one after the other; all at once */
        const char *folder = harness_folder();
        process closers[CLOSERS];
        mlkv *db = open_store(folder, MLKV_JOURNAL);
        for (int j = 0; j < CLOSERS; j++) /* some have left already, and not yet asked again */
            closers[j] = stop_at(
                folder, j == i % CLOSERS ? FAULT_CLOSE_RESIGNED : FAULT_CLOSE_OTHERS, MLKV_JOURNAL);
        OK(mlkv_close(db));
        for (int j = 0; j < CLOSERS; j++)
            if (i < ORDERS)
                go_on(&closers[orders[i][j]]);
            else
                ck_assert_int_eq(kill(closers[orders[i - ORDERS][j]].pid, SIGCONT), 0);
        for (int j = 0; j < CLOSERS && i >= ORDERS; j++)
            ck_assert_int_eq(process_end(&closers[j]), 0);
        ck_assert_msg(is_closed(folder), "order %d: nobody was the last", i);
        db = open_store(folder, MLKV_JOURNAL);
        ck_assert_int_eq(number_of(db, "stopped"), CLOSERS);
        OK(mlkv_close(db));
        harness_remove(folder);
    }
}
END_TEST

/* One that is no longer counted, and has not asked again: whoever comes now recovers, and what he
 * makes is not the old one's to close. */
START_TEST(coming_while_one_leaves)
{
    const char *folder = harness_folder();
    int64_t value;
    mlkv *db = open_store(folder, MLKV_JOURNAL);
    process leaver = stop_at(folder, FAULT_CLOSE_RESIGNED, MLKV_JOURNAL);
    OK(mlkv_close(db));
    db = open_store(folder, MLKV_JOURNAL);
    OK(mlkv_string_add(db, TEXT("n"), 1, &value));
    OK(mlkv_close(db)); /* came and went */
    go_on(&leaver);
    ck_assert(is_closed(folder));
    db = open_store(folder, MLKV_JOURNAL);
    leaver = stop_at(folder, FAULT_CLOSE_RESIGNED, MLKV_JOURNAL);
    OK(mlkv_close(db));
    db = open_store(folder, MLKV_JOURNAL); /* came and stays */
    OK(mlkv_string_add(db, TEXT("n"), 1, &value));
    go_on(&leaver);
    ck_assert_int_eq(number_of(db, "n"), 2);
    OK(mlkv_string_add(db, TEXT("n"), 1, &value));
    ck_assert_int_eq(value, 3);
    OK(mlkv_close(db));
    ck_assert(is_closed(folder));
    db = open_store(folder, MLKV_JOURNAL);
    ck_assert_int_eq(number_of(db, "n"), 3);
    ck_assert_int_eq(number_of(db, "stopped"), 2);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

static void *read_once(void *argument)
{
    mlkv_buffer value = {0};
    static int result;
    result = mlkv_string_get(argument, TEXT("n"), &value);
    mlkv_buffer_free(&value);
    return &result;
}

/* LMDB waits without limit for the lock of its table of readers. Nobody gets there to wait. */
START_TEST(at_the_table_of_readers)
{
    const char *folder = harness_folder();
    char point[16];
    int64_t value;
    void *result = NULL;
    pthread_t thread;
    mlkv *db = open_store(folder, MLKV_JOURNAL), *other = NULL, *snapshots[300] = {0};
    OK(mlkv_string_add(db, TEXT("n"), 1, &value));
    snprintf(point, sizeof point, "%d", (int)FAULT_READER_SLOT);
    const char *arguments[] = {"enter", folder, "1", point, NULL};
    process victim = process_start(arguments);
    await_stop(&victim);
    OK(mlkv_string_add(db, TEXT("n"), 1, &value)); /* who has a slot goes on */
    ck_assert_int_eq(number_of(db, "n"), 2);
    ck_assert_int_eq(pthread_create(&thread, NULL, read_once, db), 0);
    ck_assert_int_eq(pthread_join(thread, &result), 0);
    MUST(MLKV_OK, *(int *)result); /* of a cached record */
    int taken = 0, got = MLKV_OK;
    while (taken < 300 && (got = mlkv_snapshot(db, &snapshots[taken])) == MLKV_OK)
        taken++;
    MUST(MLKV_E_BUSY, got); /* the slots that this process had are all in use */
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "readers"));
    const char *get[] = {"get", folder, "n", NULL};
    process comer = process_start(get); /* waits for its own time, which is longer */
    mlkv_options options = {.size = sizeof options, .flags = MLKV_READ_ONLY, .lock_timeout_ms = 50};
    char copy[700];
    snprintf(copy, sizeof copy, "%s/.", folder);
    MUST(MLKV_OK, mlkv_open(copy, &options, &other)); /* the same instance: no new slot */
    OK(mlkv_close(other));
    go_on(&victim);
    ck_assert_int_eq(process_end(&comer), 0);
    for (int i = 0; i < taken; i++)
        OK(mlkv_close(snapshots[i]));
    check_end(db, folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stopped");
    TCase *tcase = harness_case(suite, "stopped");
    tcase_add_test(tcase, with_the_writer_lock);
    tcase_add_test(tcase, in_the_middle_of_a_frame);
    tcase_add_test(tcase, with_a_snapshot);
    tcase_add_test(tcase, with_the_lock_of_the_log);
    tcase_add_test(tcase, inside_the_lock_of_lmdb);
    tcase_add_test(tcase, a_full_ring_behind_a_stopped_process);
    tcase_add_test(tcase, closing_at_the_same_time);
    tcase_add_test(tcase, coming_while_one_leaves);
    tcase_add_test(tcase, at_the_table_of_readers);
    return harness_run(suite);
}
