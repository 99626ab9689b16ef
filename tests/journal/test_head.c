/* test_head.c - positions only grow, the lock has epochs and reports its dead, poison stays. */
#include "fixture.h"

#include <pthread.h>

START_TEST(test_applied_grows_and_stays_below_tail)
{
    const char *folder = harness_folder();
    journal *self = make_journal(folder, 64);
    append_number(self, 1, 100);
    uint64_t tail = journal_tail(self);
    journal_raise_applied(self, 80);
    ck_assert_uint_eq(journal_applied(self), 80);
    journal_raise_applied(self, 72);
    ck_assert_uint_eq(journal_applied(self), 80);
    journal_raise_applied(self, UINT64_MAX);
    ck_assert_uint_eq(journal_applied(self), tail);
    journal_close(self);
    harness_remove(folder);
}
END_TEST

enum { THREADS = 4, TAKES = 20000 };

static void *take_ids(void *argument)
{
    journal *self = argument;
    uint64_t last = 0;
    for (int i = 0; i < TAKES; i++) {
        uint64_t id = journal_take_ids(self, 2);
        if (id <= last)
            return NULL;
        last = id;
        journal_raise_applied(self, id * 8);
    }
    return self;
}

START_TEST(test_ids_are_given_once)
{
    const char *folder = harness_folder();
    journal *self = make_journal(folder, 0);
    append_number(self, 1, 1000);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, take_ids, self), 0);
    for (int i = 0; i < THREADS; i++) {
        void *result;
        ck_assert_int_eq(pthread_join(threads[i], &result), 0);
        ck_assert_ptr_eq(result, self);
    }
    ck_assert_uint_eq(journal_next_id(self), 1000 + 2 * THREADS * TAKES);
    ck_assert_uint_eq(journal_applied(self), journal_tail(self));
    journal_close(self);
    harness_remove(folder);
}
END_TEST

/* Fails under R10-epoch-stands of tests/broken. */
START_TEST(test_lock_epoch_and_timeout)
{
    const char *folder = harness_folder();
    journal *self = make_journal(folder, 0);
    OK(journal_lock(self, TEST_LOCK_MS));
    uint64_t epoch = journal_epoch(self);
    int status;
    IN_CHILD(status, {
        journal *mine = NULL;
        CHILD_MUST(journal_open(folder, test_uuid, false, &mine) == 0);
        CHILD_MUST(journal_lock(mine, 5) == MLKV_E_BUSY);
    });
    ck_assert_int_eq(status, 0);
    ck_assert_uint_eq(journal_epoch(self), epoch);
    journal_unlock(self);
    OK(journal_lock(self, 0));
    ck_assert_uint_eq(journal_epoch(self), epoch + 1);
    journal_unlock(self);
    /* the applier's lock is another */
    OK(shared_lock_try(journal_applier_lock(self)));
    OK(journal_lock(self, 0));
    journal_unlock(self);
    shared_lock_release(journal_applier_lock(self));
    journal_close(self);
    harness_remove(folder);
}
END_TEST

/* Fails under I04-dead-owner-told-once of tests/broken. */
START_TEST(test_dead_repairer)
{
    const char *folder = harness_folder();
    journal *self = make_journal(folder, 0);
    int status;
    for (int i = 0; i < 2; i++) {
        IN_CHILD(status, {
            CHILD_MUST(journal_lock(self, TEST_LOCK_MS) == (i == 0 ? 0 : LOCK_OWNER_DIED));
            raise(SIGKILL);
        });
        ck_assert_int_eq(status, -SIGKILL);
    }
    MUST(LOCK_OWNER_DIED, journal_lock(self, TEST_LOCK_MS));
    MUST(MLKV_E_CORRUPT, journal_take_over(self, 8)); /* not repaired */
    journal_unlock(self);
    MUST(LOCK_OWNER_DIED, journal_lock(self, TEST_LOCK_MS));
    OK(journal_take_over(self, 0));
    journal_unlock(self);
    OK(journal_lock(self, TEST_LOCK_MS));
    journal_unlock(self);
    journal_close(self);
    harness_remove(folder);
}
END_TEST

START_TEST(test_poison)
{
    const char *folder = harness_folder();
    journal *self = make_journal(folder, 0), *other = NULL;
    OK(journal_open(folder, test_uuid, false, &other));
    OK(journal_check(other));
    journal_poison(self, "the disk is gone");
    journal_poison(other, "a second reason");
    MUST(MLKV_E_POISONED, journal_check(other));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "the disk is gone"));
    ck_assert_ptr_null(strstr(mlkv_error_detail(), "second"));
    MUST(MLKV_E_POISONED, journal_lock(other, TEST_LOCK_MS));
    MUST(MLKV_E_POISONED, journal_lock(self, 0)); /* it was released */
    journal_close(other);
    journal_close(self);
    /* outlives all processes, but not a new generation */
    OK(journal_open(folder, test_uuid, false, &self));
    MUST(MLKV_E_POISONED, journal_check(self));
    journal_close(self);
    self = make_journal(folder, 0);
    OK(journal_check(self));
    char text[400];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    journal_poison(self, text);
    MUST(MLKV_E_POISONED, journal_check(self));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "xxx"));
    ck_assert_uint_lt(strlen(mlkv_error_detail()), 127 + 40);
    journal_close(self);
    /* a poisoner that died before it had told why */
    self = make_journal(folder, 0);
    self->head->poison = POISON_BEGUN;
    MUST(MLKV_E_POISONED, journal_check(self));
    journal_close(self);
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("journal/head");
    TCase *tcase = harness_case(suite, "head");
    tcase_add_test(tcase, test_applied_grows_and_stays_below_tail);
    tcase_add_test(tcase, test_ids_are_given_once);
    tcase_add_test(tcase, test_lock_epoch_and_timeout);
    tcase_add_test(tcase, test_dead_repairer);
    tcase_add_test(tcase, test_poison);
    return harness_run(suite);
}
