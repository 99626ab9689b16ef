/* test_processes.c - several processes on one store: counts add up, writes are seen at once (I4),
 * the death of one does not stop the others, leftovers are refused or mended. */
#include "processes.h"
#include "steps.h"

#include <fcntl.h>
#include <pthread.h>

static mlkv *open_store(const char *folder)
{
    mlkv_options options = steps_options(MLKV_JOURNAL);
    mlkv *db = NULL;
    OK(mlkv_open(folder, &options, &db));
    return db;
}

static int64_t number_of(mlkv *db, const char *key)
{
    mlkv_buffer value = {0};
    int result = mlkv_string_get(db, slice_of_text(key), &value);
    if (result == MLKV_ABSENT)
        return 0;
    OK(result);
    char text[24] = {0};
    memcpy(text, value.data, value.size < 23 ? value.size : 23);
    mlkv_buffer_free(&value);
    return strtoll(text, NULL, 10);
}

START_TEST(four_processes_add_up)
{
    enum { PROCESSES = 4, ADDS = 3000 };
    const char *folder = harness_folder();
    mlkv *db = open_store(folder);
    process workers[PROCESSES];
    char count[16];
    snprintf(count, sizeof count, "%d", ADDS);
    const char *arguments[] = {"add", folder, "shared", count, NULL};
    for (int i = 0; i < PROCESSES; i++)
        workers[i] = process_start(arguments);
    int64_t before = 0;
    for (int i = 0; i < 2000;
         i++) { /* what this process reads never goes back, and its own adds are in it */
        int64_t mine;
        OK(mlkv_string_add(db, TEXT("shared"), 1, &mine));
        ck_assert_int_gt(mine, before);
        before = number_of(db, "shared");
        ck_assert_int_ge(before, mine);
    }
    for (int i = 0; i < PROCESSES; i++)
        ck_assert_int_eq(process_end(&workers[i]), 0);
    ck_assert_int_eq(number_of(db, "shared"), PROCESSES * ADDS + 2000);
    OK(mlkv_verify(db, NULL, NULL, &(mlkv_report){.size = sizeof(mlkv_report)}));
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

START_TEST(a_write_is_seen_at_once)
{
    const char *folder = harness_folder();
    mlkv *db = open_store(folder);
    for (int i = 0; i < 12; i++) {
        char value[32], got[64] = {0};
        snprintf(value, sizeof value, "value %d", i);
        OK(mlkv_string_set(db, TEXT("key"), slice_of_text(value), MLKV_SET_ALWAYS));
        const char *arguments[] = {"get", folder, "key", NULL};
        process reader = process_start(arguments);
        ck_assert_int_ge(read(reader.from, got, sizeof got - 1), 0);
        ck_assert_int_eq(process_end(&reader), 0);
        ck_assert_str_eq(got, value);
    }
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

START_TEST(the_death_of_a_lock_holder)
{
    const char *folder = harness_folder();
    mlkv *db = open_store(folder);
    for (int i = 0; i < 5; i++) {
        uint64_t ready;
        int64_t value;
        const char *hold[] = {"hold", folder, NULL};
        process holder = process_start(hold);
        ck_assert(process_hear(&holder, &ready));
        ck_assert_int_eq(kill(holder.pid, SIGKILL), 0);
        OK(mlkv_string_add(db, TEXT("after"), 1, &value));
        ck_assert_int_eq(value, i + 1);
        ck_assert(WIFSIGNALED(process_end(&holder)));
    }
    ck_assert_int_eq(number_of(db, "held"), 0);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

START_TEST(a_lock_holder_that_lives_is_waited_for_in_vain)
{
    const char *folder = harness_folder();
    mlkv_options options = steps_options(MLKV_JOURNAL);
    mlkv *db = NULL;
    uint64_t ready;
    int64_t value;
    options.lock_timeout_ms = 150;
    OK(mlkv_open(folder, &options, &db));
    const char *hold[] = {"hold", folder, NULL};
    process holder = process_start(hold);
    ck_assert(process_hear(&holder, &ready));
    MUST(MLKV_E_BUSY, mlkv_string_add(db, TEXT("x"), 1, &value));
    ck_assert_int_eq(number_of(db, "held"), 0); /* reading goes on */
    (void)kill(holder.pid, SIGKILL);
    (void)process_end(&holder);
    OK(mlkv_string_add(db, TEXT("x"), 1, &value));
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

static void copy_file(const char *folder, const char *name, const char *to)
{
    char command[1400];
    snprintf(command, sizeof command, "cp '%s/%s' '%s/%s'", folder, name, folder, to);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(a_backup_of_lmdb_beside_a_newer_journal_is_refused)
{
    const char *folder = harness_folder();
    mlkv_options options = steps_options(MLKV_JOURNAL);
    int64_t value;
    mlkv *db = open_store(folder);
    OK(mlkv_string_add(db, TEXT("n"), 1, &value));
    OK(mlkv_close(db));
    copy_file(folder, "data.mdb", "backup");
    const char *add[] = {"add", folder, "n", "3", NULL}; /* a second session, with writes */
    process adder = process_start(add);
    ck_assert_int_eq(process_end(&adder), 0);
    copy_file(folder, "backup", "data.mdb");
    db = NULL;
    int result = mlkv_open(folder, &options, &db);
    ck_assert_msg(result == MLKV_E_MISMATCH, "an older LMDB was taken: %d %s", result,
                  mlkv_error_detail());
    options.flags = MLKV_ACCEPT_LOSS;
    OK(mlkv_open(folder, &options, &db));
    ck_assert_int_eq(number_of(db, "n"), 1);
    OK(mlkv_string_add(db, TEXT("n"), 1, &value));
    OK(mlkv_close(db));
    db = open_store(folder);
    ck_assert_int_eq(number_of(db, "n"), 2);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

START_TEST(read_only_beside_a_writer)
{
    const char *folder = harness_folder();
    int64_t value;
    mlkv *db = open_store(folder);
    OK(mlkv_string_add(db, TEXT("n"), 7, &value));
    OK(mlkv_close(db));
    mlkv_options options = {.size = sizeof options, .flags = MLKV_READ_ONLY};
    OK(mlkv_open(folder, &options, &db));
    ck_assert_int_eq(number_of(db, "n"), 7);
    MUST(MLKV_E_READONLY, mlkv_string_add(db, TEXT("n"), 1, &value));
    const char *add[] = {"add", folder, "n", "500", NULL};
    for (int i = 1; i <= 3; i++) { /* writers come and go: each makes a new journal */
        process adder = process_start(add);
        ck_assert_int_eq(process_end(&adder), 0);
        ck_assert_int_eq(number_of(db, "n"), 7 + 500 * i);
    }
    const char *idle[] = {"idle", folder, NULL};
    process idler = process_start(idle);
    uint64_t ready;
    ck_assert(process_hear(&idler, &ready));
    process adder = process_start(add);
    ck_assert_int_eq(process_end(&adder), 0);
    mlkv *snapshot = NULL;
    OK(mlkv_snapshot(db, &snapshot));
    ck_assert_int_eq(number_of(db, "n"), 2007);
    adder = process_start(add);
    ck_assert_int_eq(process_end(&adder), 0);
    ck_assert_int_eq(number_of(db, "n"), 2507);
    ck_assert_int_eq(number_of(snapshot, "n"), 2007);
    OK(mlkv_close(snapshot));
    ck_assert_int_eq(process_end(&idler), 0);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

START_TEST(read_only_needs_a_store_at_rest)
{
    const char *folder = harness_folder();
    mlkv *db = open_store(folder);
    OK(mlkv_close(db));
    const char *hold[] = {"hold", folder, NULL};
    process holder = process_start(hold);
    uint64_t ready;
    ck_assert(process_hear(&holder, &ready));
    (void)kill(holder.pid, SIGKILL);
    (void)process_end(&holder);
    mlkv_options options = {.size = sizeof options, .flags = MLKV_READ_ONLY};
    MUST(MLKV_E_RECOVERY, mlkv_open(folder, &options, &db));
    char nowhere[700];
    snprintf(nowhere, sizeof nowhere, "%s/nothing", folder);
    MUST(MLKV_E_ABSENT_STORE, mlkv_open(nowhere, &options, &db));
    options.flags = MLKV_NO_CREATE;
    MUST(MLKV_E_ABSENT_STORE, mlkv_open(nowhere, &options, &db));
    ck_assert_int_ne(access(nowhere, F_OK), 0);
    harness_remove(folder);
}
END_TEST

START_TEST(what_is_not_created_leaves_nothing)
{
    static const uint32_t flags[] = {MLKV_NO_CREATE, MLKV_READ_ONLY,
                                     MLKV_NO_CREATE | MLKV_READ_ONLY,
                                     MLKV_NO_CREATE | MLKV_ACCEPT_LOSS};
    const char *folder = harness_folder();
    mlkv *db = NULL;
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        mlkv_options options = {.size = sizeof options, .flags = flags[i]};
        MUST(MLKV_E_ABSENT_STORE, mlkv_open(folder, &options, &db));
        ck_assert_int_eq(rmdir(folder), 0); /* it is empty */
        ck_assert_int_eq(mkdir(folder, 0700), 0);
    }
    db = open_store(folder);
    OK(mlkv_close(db));
    mlkv_options options = {.size = sizeof options, .flags = MLKV_NO_CREATE};
    OK(mlkv_open(folder, &options, &db)); /* what is there is opened, and so is data.mdb alone */
    OK(mlkv_close(db));
    char command[1500];
    snprintf(command, sizeof command, "rm -f '%s'/journal.* '%s/lock.mdb'", folder, folder);
    ck_assert_int_eq(system(command), 0);
    OK(mlkv_open(folder, &options, &db));
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

static void *open_and_add(void *argument)
{
    const char *folder = argument;
    mlkv_options options = steps_options(MLKV_JOURNAL);
    for (int i = 0; i < 10; i++) {
        mlkv *db = NULL;
        int64_t value;
        OK(mlkv_open(folder, &options, &db));
        OK(mlkv_string_add(db, TEXT("n"), 1, &value));
        OK(mlkv_close(db));
    }
    return NULL;
}

START_TEST(openers_race)
{
    const char *folder = harness_folder();
    pthread_t threads[3];
    process others[3];
    const char *add[] = {"add", folder, "n", "1", NULL};
    for (int i = 0; i < 3; i++)
        others[i] = process_start(add);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, open_and_add, (void *)(uintptr_t)folder),
                         0);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(process_end(&others[i]), 0);
    mlkv *db = open_store(folder);
    ck_assert_int_eq(number_of(db, "n"), 33);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("processes");
    TCase *tcase = harness_case(suite, "processes");
    tcase_add_test(tcase, four_processes_add_up);
    tcase_add_test(tcase, a_write_is_seen_at_once);
    tcase_add_test(tcase, the_death_of_a_lock_holder);
    tcase_add_test(tcase, a_lock_holder_that_lives_is_waited_for_in_vain);
    tcase_add_test(tcase, a_backup_of_lmdb_beside_a_newer_journal_is_refused);
    tcase_add_test(tcase, read_only_beside_a_writer);
    tcase_add_test(tcase, read_only_needs_a_store_at_rest);
    tcase_add_test(tcase, what_is_not_created_leaves_nothing);
    tcase_add_test(tcase, openers_race);
    return harness_run(suite);
}
