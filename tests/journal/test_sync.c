/* test_sync.c - what journal.log holds after a sync, who waits for whom, and what a failure does.
 */
#include "fixture.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/vfs.h>

/* Asserts that journal.log holds the bytes of [from, to) as the ring has them. */
static void check_log(journal *self, const char *folder, uint64_t from, uint64_t to)
{
    ck_assert_uint_le(to - from, TEST_RING);
    int fd = open_in(folder, "journal.log", O_RDONLY);
    unsigned char *log = malloc(TEST_RING);
    ck_assert_int_eq(pread(fd, log, TEST_RING, 0), TEST_RING);
    for (uint64_t at = from; at < to; at++)
        if (log[at % TEST_RING] != *ring_at(self, at))
            ck_abort_msg("position %llu of [%llu, %llu)", (unsigned long long)at,
                         (unsigned long long)from, (unsigned long long)to);
    free(log);
    close(fd);
}

START_TEST(test_sync_writes_the_log)
{
    const char *folder = harness_folder();
    journal *self = make_journal(folder, 5000);
    OK(journal_sync(self, 5000, TEST_LOCK_MS));
    for (unsigned i = 0; i < 60; i++) {
        append_number(self, i, i * 17 % 900);
        uint64_t tail = journal_tail(self);
        ck_assert_uint_lt(journal_synced(self), tail);
        OK(journal_sync(self, tail, TEST_LOCK_MS));
        ck_assert_uint_eq(journal_synced(self), tail);
        OK(journal_sync(self, tail, TEST_LOCK_MS)); /* nothing to do */
        check_log(self, folder, 5000, tail);
    }
    MUST(MLKV_E_ARGUMENT, journal_sync(self, journal_tail(self) + 8, TEST_LOCK_MS));
    journal_close(self);
    harness_remove(folder);
}
END_TEST

START_TEST(test_many_laps)
{
    const char *folder = harness_folder();
    journal *self = make_journal(folder, 0);
    for (unsigned i = 0; i < 3000; i++) {
        append_number(self, i, i * 37 % 3001); /* drains when full: applied jumps to tail */
        if (i % 7 != 0)
            continue;
        OK(journal_sync(self, journal_tail(self), TEST_LOCK_MS));
        if (i % 70 == 0)
            check_log(self, folder, journal_applied(self), journal_tail(self));
    }
    ck_assert_uint_eq(self->head->zeroed, self->head->zero_start + TEST_RING);
    journal_close(self);
    harness_remove(folder);
}
END_TEST

START_TEST(test_full_ring_keeps_the_lap_before)
{
    /* applied is one whole ring behind tail: the last block of the sync holds the tail and, behind
     * it, the oldest bytes that are not applied. They must survive in the log. */
    const char *folder = harness_folder();
    journal *self = make_journal(folder, 0);
    for (unsigned i = 0; i < 300; i++) {
        mlkv_buffer payload = {0};
        char key[16];
        snprintf(key, sizeof key, "k%u", i);
        unsigned char value[500];
        memset(value, (int)(i & 0xff), sizeof value);
        put_record(&payload, slice_of_text(key), slice_of(value, sizeof value));
        size_t size = FRAME_HEADER_SIZE + payload.size;
        if (!journal_has_room(self, size)) { /* make just room enough */
            uint64_t short_of = journal_tail(self) + size - TEST_RING;
            journal_raise_applied(self, short_of);
        }
        journal_append(self, FRAME_BATCH, 1, slice_of_buffer(&payload));
        mlkv_buffer_free(&payload);
        OK(journal_sync(self, journal_tail(self), TEST_LOCK_MS));
        check_log(self, folder, journal_applied(self), journal_tail(self));
    }
    ck_assert_uint_eq(journal_tail(self) - journal_applied(self), TEST_RING);
    journal_close(self);
    harness_remove(folder);
}
END_TEST

START_TEST(test_unfinished_bytes_stay_out)
{
    /* what a dead writer left above tail is in the ring and must not be in the log */
    const char *folder = harness_folder();
    journal *self = make_journal(folder, 0);
    append_number(self, 1, 100);
    uint64_t tail = journal_tail(self);
    self->head->reserved = tail + 512;
    memset(ring_at(self, tail), 0xdd, 512);
    OK(journal_sync(self, tail, TEST_LOCK_MS));
    int fd = open_in(folder, "journal.log", O_RDONLY);
    unsigned char log[512];
    ck_assert_int_eq(pread(fd, log, sizeof log, (off_t)tail), 512);
    for (size_t i = 0; i < sizeof log; i++)
        ck_assert_uint_eq(log[i], 0);
    close(fd);
    check_log(self, folder, 0, tail);
    journal_close(self);
    harness_remove(folder);
}
END_TEST

START_TEST(test_applied_is_skipped)
{
    const char *folder = harness_folder();
    journal *self = make_journal(folder, 0);
    append_number(self, 1, 12000);
    append_number(self, 2, 100);
    journal_raise_applied(self, journal_tail(self) - 8);
    append_number(self, 3, 100);
    OK(journal_sync(self, journal_tail(self), TEST_LOCK_MS));
    int fd = open_in(folder, "journal.log", O_RDONLY);
    unsigned char byte = 1;
    ck_assert_int_eq(pread(fd, &byte, 1, 1000), 1);
    ck_assert_uint_eq(byte, 0); /* never written */
    close(fd);
    check_log(self, folder, journal_applied(self), journal_tail(self));
    /* all applied: synced follows without a write */
    append_number(self, 4, 100);
    journal_raise_applied(self, journal_tail(self));
    OK(journal_sync(self, journal_tail(self), TEST_LOCK_MS));
    ck_assert_uint_eq(journal_synced(self), journal_tail(self));
    journal_close(self);
    harness_remove(folder);
}
END_TEST

START_TEST(test_without_direct_writes)
{
    const char *folder = harness_folder();
    journal *self = make_journal(folder, 0);
    int flags = fcntl(self->log_fd, F_GETFL);
    ck_assert_int_eq(fcntl(self->log_fd, F_SETFL, flags & ~O_DIRECT), 0);
    self->log_direct = false;
    for (unsigned i = 0; i < 200; i++) {
        append_number(self, i, i * 17 % 900);
        OK(journal_sync(self, journal_tail(self), TEST_LOCK_MS));
    }
    check_log(self, folder, journal_applied(self), journal_tail(self));
    journal_close(self);
    harness_remove(folder);
}
END_TEST

START_TEST(test_direct_writes_refused_late)
{
    /* a misaligned buffer makes direct writes fail with EINVAL, as some file systems do always */
    const char *folder = harness_folder();
    journal *self = make_journal(folder, 0);
    unsigned char *aligned = self->bounce, *larger = malloc(JOURNAL_BOUNCE_SIZE + 64);
    ck_assert_ptr_nonnull(larger);
    self->bounce = larger + 8;
    append_number(self, 1, 900);
    OK(journal_sync(self, journal_tail(self), TEST_LOCK_MS));
    check_log(self, folder, 0, journal_tail(self));
    self->bounce = aligned;
    free(larger);
    journal_close(self);
    harness_remove(folder);
}
END_TEST

START_TEST(test_is_durable)
{
    const char *folder = harness_folder();
    journal *self = make_journal(folder, 0);
    struct statfs system;
    ck_assert_int_eq(statfs(folder, &system), 0);
    ck_assert_int_eq(journal_sync_is_durable(self), system.f_type != 0x01021994);
    journal_close(self);
    harness_remove(folder);
    char memory[] = "/dev/shm/mlkv-test-XXXXXX";
    if (statfs("/dev/shm", &system) == 0 && system.f_type == 0x01021994 &&
        mkdtemp(memory) != NULL) {
        self = make_journal(memory, 0);
        ck_assert(!journal_sync_is_durable(self));
        append_number(self, 1, 10);
        OK(journal_sync(self, journal_tail(self), TEST_LOCK_MS));
        journal_close(self);
        harness_remove(memory);
    }
}
END_TEST

#ifdef MLKV_FAULTS
/* Fails under I04-failed-sync-forgiven of tests/broken. */
START_TEST(test_failed_write_poisons)
{
    const char *folder = harness_folder();
    journal *self = make_journal(folder, 0), *other = NULL;
    OK(journal_open(folder, test_uuid, false, &other));
    append_number(self, 1, 10);
    OK(journal_sync(self, journal_tail(self), TEST_LOCK_MS));
    uint64_t synced = journal_synced(self);
    append_number(self, 2, 10);
    fault_arm(FAULT_SYNC_LOCKED, FAULT_ERROR, 1, EIO);
    MUST(MLKV_E_POISONED, journal_sync(self, journal_tail(self), TEST_LOCK_MS));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "journal.log"));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), strerror(EIO)));
    /* for all, and for good; what was durable stays so */
    MUST(MLKV_E_POISONED, journal_sync(other, journal_tail(self), TEST_LOCK_MS));
    MUST(MLKV_E_POISONED, journal_lock(other, TEST_LOCK_MS));
    OK(journal_sync(other, synced, TEST_LOCK_MS));
    ck_assert_uint_eq(journal_synced(self), synced);
    journal_close(other);
    journal_close(self);
    harness_remove(folder);
}
END_TEST

static const fault_point sync_points[] = {FAULT_SYNC_LOCKED, FAULT_SYNC_WRITTEN, FAULT_SYNC_RAISED};

START_TEST(test_killed_syncer)
{
    const char *folder = harness_folder();
    journal *self = make_journal(folder, 0);
    for (unsigned round = 0; round < 3; round++) {
        append_number(self, round, 100);
        uint64_t tail = journal_tail(self);
        int status;
        IN_CHILD(status, {
            fault_arm(sync_points[_i], FAULT_KILL, 1, 0);
            journal_sync(self, tail, TEST_LOCK_MS);
        });
        ck_assert_int_eq(status, -SIGKILL);
        OK(journal_sync(self, tail, TEST_LOCK_MS));
        check_log(self, folder, 0, tail);
    }
    journal_close(self);
    harness_remove(folder);
}
END_TEST

START_TEST(test_waiters_share_a_write)
{
    /* the holder sleeps in its write; what others append and wait for then takes one write more,
     * not one each. Counted, not timed. */
    const char *folder = harness_folder();
    journal *self = make_journal(folder, 0);
    uint64_t *counters = shared_page();
    fault_counters_place(counters);
    fault_arm(FAULT_SYNC_LOCKED, FAULT_SLEEP, 1, 100000);
    pid_t children[9];
    for (unsigned i = 0; i < 9; i++) {
        append_number(self, i, 10);
        children[i] = harness_fork();
        ck_assert_int_ge(children[i], 0);
        if (children[i] == 0)
            _exit(journal_sync(self, journal_tail(self), TEST_LOCK_MS) == 0 ? 0 : 1);
        while (counters[FAULT_SYNC_LOCKED] == 0)
            usleep(100);
    }
    for (unsigned i = 0; i < 9; i++) {
        int status;
        ck_assert_int_eq(waitpid(children[i], &status, 0), children[i]);
        ck_assert_int_eq(status, 0);
    }
    /* 2 where all came in time; 9 would be one for each */
    ck_assert_uint_lt(counters[FAULT_SYNC_LOCKED], 9);
    fault_disarm_all();
    journal_close(self);
    harness_remove(folder);
}
END_TEST
#endif

enum { SYNC_THREADS = 16, SYNCS = 60 };

static void *write_and_sync(void *argument)
{
    journal *self = argument;
    for (unsigned i = 0; i < SYNCS; i++) {
        if (journal_lock(self, TEST_LOCK_MS) != 0)
            return NULL;
        append_number(self, i, 64);
        uint64_t end = journal_tail(self);
        journal_unlock(self);
        if (journal_sync(self, end, TEST_LOCK_MS) != 0 || journal_synced(self) < end)
            return NULL;
    }
    return self;
}

START_TEST(test_threads_sync_together)
{
    const char *folder = harness_folder();
    journal *self = make_journal(folder, 0), *other = NULL;
    OK(journal_open(folder, test_uuid, false, &other));
    pthread_t threads[SYNC_THREADS];
    for (int i = 0; i < SYNC_THREADS; i++)
        ck_assert_int_eq(
            pthread_create(&threads[i], NULL, write_and_sync, i % 2 == 0 ? self : other), 0);
    for (int i = 0; i < SYNC_THREADS; i++) {
        void *result;
        ck_assert_int_eq(pthread_join(threads[i], &result), 0);
        ck_assert_ptr_nonnull(result);
    }
    ck_assert_uint_eq(journal_synced(self), journal_tail(self));
    check_log(self, folder, journal_applied(self), journal_tail(self));
    journal_close(other);
    journal_close(self);
    harness_remove(folder);
}
END_TEST

/* --- syncs while a writer laps --- */

static void *sync_along(void *argument)
{
    journal *self = argument;
    while (journal_tail(self) < 200 * (uint64_t)TEST_RING)
        if (journal_sync(self, journal_tail(self), TEST_LOCK_MS) != 0)
            return NULL;
    return self;
}

START_TEST(test_sync_races_a_writer)
{
    const char *folder = harness_folder();
    journal *self = make_journal(folder, 0);
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, sync_along, self), 0);
    for (unsigned i = 0; journal_tail(self) < 200 * (uint64_t)TEST_RING; i++)
        append_number(self, i, i * 37 % 3001);
    void *result;
    ck_assert_int_eq(pthread_join(thread, &result), 0);
    ck_assert_ptr_eq(result, self);
    OK(journal_sync(self, journal_tail(self), TEST_LOCK_MS));
    check_log(self, folder, journal_applied(self), journal_tail(self));
    journal_close(self);
    harness_remove(folder);
}
END_TEST

/* I1: synced tells of what is on the disk. The write fails, and nobody is told that it is
 * durable. Fails under I01-synced-before-written of tests/broken. */
START_TEST(test_nothing_is_announced_unwritten)
{
    const char *folder = harness_folder();
    journal *self = make_journal(folder, 0);
    int status;
    for (unsigned i = 0; i < 20; i++)
        append_number(self, i, 1000);
    IN_CHILD(status, {
        struct rlimit none;
        (void)signal(SIGXFSZ, SIG_IGN);
        CHILD_MUST(getrlimit(RLIMIT_FSIZE, &none) == 0);
        none.rlim_cur = 0;
        CHILD_MUST(setrlimit(RLIMIT_FSIZE, &none) == 0);
        CHILD_MUST(journal_sync(self, journal_tail(self), TEST_LOCK_MS) < 0);
    });
    ck_assert_int_eq(status, 0);
    ck_assert_uint_eq(journal_synced(self), 0);
    journal_close(self);
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("journal/sync");
    TCase *tcase = harness_case(suite, "sync");
    tcase_add_test(tcase, test_sync_writes_the_log);
    tcase_add_test(tcase, test_many_laps);
    tcase_add_test(tcase, test_full_ring_keeps_the_lap_before);
    tcase_add_test(tcase, test_unfinished_bytes_stay_out);
    tcase_add_test(tcase, test_applied_is_skipped);
    tcase_add_test(tcase, test_without_direct_writes);
    tcase_add_test(tcase, test_direct_writes_refused_late);
    tcase_add_test(tcase, test_is_durable);
#ifdef MLKV_FAULTS
    tcase_add_test(tcase, test_failed_write_poisons);
    tcase_add_loop_test(tcase, test_killed_syncer, 0, 3);
    tcase_add_test(tcase, test_waiters_share_a_write);
#endif
    tcase_add_test(tcase, test_threads_sync_together);
    tcase_add_test(tcase, test_sync_races_a_writer);
    tcase_add_test(harness_case(suite, "rules"), test_nothing_is_announced_unwritten);
    return harness_run(suite);
}
