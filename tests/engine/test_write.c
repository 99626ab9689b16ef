/* test_write.c - the writer lock, frames of all sizes, batches past the ring (direct.c), waiting
 * for durability, the throttle, failing disks. */
#include "fixture.h"

START_TEST(takes_the_lock_once)
{
    const char *folder = harness_folder();
    engine *self = open_still(folder);
    self->options.lock_timeout_ms = 20;
    OK(engine_write_begin(self));
    uint64_t epoch = journal_epoch(engine_journal(self));
    MUST(MLKV_E_BUSY, engine_write_begin(self));
    engine_write_end(self);
    OK(engine_write_begin(self));
    ck_assert_uint_gt(journal_epoch(engine_journal(self)), epoch);
    engine_write_end(self);
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

/* A child holds the lock, having put something that it does not commit, and is killed: the next
 * taker goes on. */
START_TEST(takes_it_from_the_dead)
{
    const char *folder = harness_folder();
    uint64_t *counters = shared_counters();
    engine *self = open_still(folder);
    engine *_Atomic handle = self;
    put_number(self, 1, 1, 100);
    for (int point = FAULT_WRITE_LOCKED; point <= FAULT_WRITE_APPLIED_HERE; point++) {
        counters[point] = 0; /* before the child can pass it */
        fflush(NULL);
        pid_t pid = harness_fork();
        ck_assert_int_ge(pid, 0);
        if (pid == 0) {
            engine *own;
            CHILD_MUST(engine_replace(&handle, &own) == MLKV_OK);
            engine_background_stop(own);
            fault_counters_place(counters);
            fault_arm((fault_point)point, FAULT_SLEEP, 1, 600000000);
            put_number(own, 2, (unsigned)point, 3000);
            _exit(1);
        }
        wait_until_passed(counters, (fault_point)point);
        self->options.lock_timeout_ms = 20;
        MUST(MLKV_E_BUSY, engine_write_begin(self));
        ck_assert(holds_number(self, 1, 1, 100)); /* reads go on */
        self->options.lock_timeout_ms = 120000;
        (void)kill(pid, SIGKILL);
        ck_assert_int_eq(child_status(pid), -SIGKILL);
        put_number(self, 1, 1, 100);
        if (point >= FAULT_APPEND_VISIBLE)
            ck_assert(holds_number(self, 2, (unsigned)point, 3000));
        else
            ck_assert(lacks(self, number_of(2, 0, 0)->key_slice));
        if (point >= FAULT_APPEND_VISIBLE)
            delete_one(self, number_of(2, 0, 0)->key_slice);
        apply_all(self);
    }
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

/* Exactly the largest frame, one record more, and sizes around them; and many rings full. */
START_TEST(takes_all_sizes)
{
    const char *folder = harness_folder();
    engine *self = open_still(folder);
    journal *log = engine_journal(self);
    size_t largest = journal_frame_size_max(log);
    for (size_t size = largest - 200; size < largest + 200; size += 8) {
        size_t value = size - FRAME_HEADER_SIZE - FRAME_RECORD_HEADER_SIZE -
                       8; /* a key of 7 bytes, one of padding */
        uint64_t before = journal_tail(log), end = put_number(self, 1, (unsigned)size, value);
        ck_assert_uint_eq(end, journal_tail(log));
        ck_assert_uint_eq(end - before, size > largest ? (size_t)FRAME_HEADER_SIZE : size);
        ck_assert(holds_number(self, 1, (unsigned)size, value));
        if (size > largest)
            ck_assert_uint_eq(journal_applied(log), end);
    }
    for (unsigned i = 0; i < 400; i++)
        put_number(self, i % 50, i, 1 + i * 37 % 9000);
    for (unsigned i = 350; i < 400; i++)
        ck_assert(holds_number(self, i % 50, i, 1 + i * 37 % 9000));
    ck_assert_uint_gt(journal_tail(log), 10 * TEST_RING);
    ck_assert_uint_gt(atomic_load(&self->counters.batches_applied), 5);
    OK(engine_release(self));
    self = open_still(folder);
    for (unsigned i = 350; i < 400; i++)
        ck_assert(holds_number(self, i % 50, i, 1 + i * 37 % 9000));
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

static uint64_t put_many(engine *self, unsigned count, unsigned round, int want)
{
    batch records = {0};
    uint64_t end = 0;
    for (unsigned i = 0; i < count; i++) {
        const numbered *made = number_of(i, round, 1000);
        add_put(&records, made->key_slice, made->value_slice);
    }
    add_delete(&records, TEXT("Kgone"));
    MUST(want, commit(self, &records, &end));
    batch_done(&records);
    return end;
}

START_TEST(goes_past_the_ring)
{
    const char *folder = harness_folder();
    engine *self = open_still(folder);
    journal *log = engine_journal(self);
    int status;
    put(self, TEXT("Kgone"), TEXT("1"));
    put_number(self, 5, 1, 10);
    put_number(self, 1000, 1, 10);
    ck_assert(holds_number(self, 5, 1, 10) &&
              !lacks(self, TEXT("Kgone"))); /* cached, and pending */
    for (unsigned round = 2; round < 5; round++) {
        uint64_t end = put_many(self, 300, round, MLKV_OK);
        ck_assert(end == journal_tail(log) && end == journal_applied(log) &&
                  end == engine_cursor(self));
        ck_assert(lacks(self, TEXT("Kgone")));
        for (unsigned i = 0; i < 300; i += 7)
            ck_assert(holds_number(self, i, round, 1000));
        ck_assert(holds_number(self, 1000, 1, 10));
        put_number(self, 5, round, 33); /* and the ring goes on */
        ck_assert(holds_number(self, 5, round, 33));
        IN_CHILD(status, {
            engine *_Atomic handle = self;
            engine *own;
            CHILD_MUST(engine_replace(&handle, &own) == MLKV_OK);
            CHILD_MUST(holds_number(own, 299, round, 1000) && holds_number(own, 5, round, 33));
            put_many(own, 400, round, MLKV_OK);
            CHILD_MUST(engine_release(own) == MLKV_OK);
        });
        ck_assert_int_eq(status, 0);
        ck_assert(holds_number(self, 399, round, 1000) && holds_number(self, 5, round, 1000));
    }
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

/* Death between LMDB's commit and the marker: a living reader, or the next writer, makes it
 * visible. */
/* Fails under I04-dead-owner-ignored of tests/broken. */
START_TEST(mends_a_direct_commit)
{
    const char *folder = harness_folder();
    for (unsigned round = 0; round < 4; round++) {
        engine *self = open_still(folder);
        engine *_Atomic handle = self;
        int status;
        put_number(self, 1, round, 10);
        IN_CHILD(status, {
            engine *own;
            CHILD_MUST(engine_replace(&handle, &own) == MLKV_OK);
            fault_arm(FAULT_DIRECT_COMMITTED, FAULT_KILL, 1, 0);
            put_many(own, 300, round, MLKV_OK);
        });
        ck_assert_int_eq(status, -SIGKILL);
        if (round % 2 == 0)
            ck_assert(holds_number(self, 299, round, 1000));
        else
            put_number(self, 400, round, 10);
        for (unsigned i = 0; i < 300; i += 13)
            ck_assert(holds_number(self, i, round, 1000));
        OK(engine_release(self));
    }
    harness_remove(folder);
}
END_TEST

START_TEST(waits_for_durability)
{
    const char *folder = harness_folder();
    engine *self = open_still(folder);
    journal *log = engine_journal(self);
    uint64_t end = put_number(self, 1, 1, 100);
    OK(engine_wait(self, end, MLKV_DURABILITY_DEFAULT));
    OK(engine_wait(self, end, MLKV_JOURNAL));
    ck_assert(journal_applied(log) < end && journal_synced(log) < end);
    OK(engine_wait(self, end, MLKV_SYNC));
    ck_assert(journal_sync_is_durable(log) ? journal_synced(log) >= end
                                           : journal_applied(log) >= end);
    end = put_number(self, 2, 1, 100);
    OK(engine_wait(self, end, MLKV_STORE));
    ck_assert_uint_ge(journal_applied(log), end);
    ck_assert_uint_eq(count_class(self, RECORD_KEY), 2);
    OK(engine_wait(self, end, MLKV_STORE));
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

START_TEST(slows_down_when_it_fills)
{
    const char *folder = harness_folder();
    engine *self = open_still(folder);
    journal *log = engine_journal(self);
    unsigned i = 0;
    engine_throttle(self);
    ck_assert(!atomic_load(&self->applier_asked));
    for (; journal_tail(log) - journal_applied(log) < TEST_RING * 2 / 5; i++)
        put_number(self, i, 1, 1000);
    engine_throttle(self);
    ck_assert(atomic_load(&self->applier_asked));
    ck_assert_uint_eq(atomic_load(&self->counters.throttled), 0);
    for (; journal_tail(log) - journal_applied(log) < TEST_RING * 4 / 5; i++)
        put_number(self, i, 1, 1000);
    engine_throttle(self);
    ck_assert_uint_eq(atomic_load(&self->counters.throttled), 1);
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

START_TEST(stops_when_the_disk_fails)
{
    const char *folder = harness_folder();
    engine *self = open_still(folder);
    journal *log = engine_journal(self);
    batch records = {0};
    if (journal_sync_is_durable(log)) {
        uint64_t end = put_number(self, 1, 1, 100), ignored;
        fault_arm(FAULT_SYNC_LOCKED, FAULT_ERROR, 1, EIO);
        int result = engine_wait(self, end, MLKV_SYNC);
        ck_assert_msg(result == MLKV_E_IO || result == MLKV_E_POISONED, "%d", result);
        fault_disarm_all();
        MUST(MLKV_E_POISONED, engine_wait(self, end, MLKV_SYNC));
        MUST(MLKV_E_POISONED, engine_wait(self, end, MLKV_STORE));
        MUST(MLKV_E_POISONED, engine_write_begin(self));
        ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "stopped"));
        MUST(MLKV_E_POISONED, engine_check_writable(self));
        add_put(&records, TEXT("Kno"), TEXT("1"));
        MUST(MLKV_E_POISONED, commit(self, &records, &ignored));
        ck_assert(holds_number(self, 1, 1, 100));
        MUST(MLKV_E_POISONED, engine_release(self));
        self = open_still(folder);
        ck_assert(holds_number(self, 1, 1, 100) && lacks(self, TEXT("Kno")));
        put_number(self, 2, 1, 100);
    }
    batch_done(&records);
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

static rlim_t size_of_data(engine *self)
{
    struct stat status;
    char path[700];
    path_in(path, self->path, "data.mdb");
    CHILD_MUST(stat(path, &status) == 0);
    return (rlim_t)status.st_size;
}

/* LMDB cannot grow: the ring fills, then writes are refused, reads go on, and with room again all
 * goes on. */
static void write_on_a_full_disk(const char *folder)
{
    engine *self = open_still(folder);
    batch records = {0};
    uint64_t end;
    unsigned i = 0, written = 0;
    apply_all(self);
    limit_files(size_of_data(self));
    for (; i < 3000; i++) {
        const numbered *made = number_of(i, 1, 3000);
        batch_clear(&records);
        add_put(&records, made->key_slice, made->value_slice);
        int result = commit(self, &records, &end);
        if (result != MLKV_OK) {
            CHILD_MUST(result == MLKV_E_FULL);
            break;
        }
    }
    written = i;
    CHILD_MUST(written > 3 && written < 3000);
    for (i = 0; i < written; i++)
        CHILD_MUST(holds_number(self, i, 1, 3000));
    CHILD_MUST(lacks(self, number_of(written, 0, 0)->key_slice));
    put_many(self, 300, 2, MLKV_E_FULL);
    CHILD_MUST(engine_wait(self, journal_tail(engine_journal(self)), MLKV_STORE) == MLKV_E_FULL);
    CHILD_MUST(engine_check_writable(self) == MLKV_OK);
    limit_files(RLIM_INFINITY);
    put_number(self, 9999, 1, 3000);
    CHILD_MUST(engine_wait(self, journal_tail(engine_journal(self)), MLKV_STORE) == MLKV_OK);
    for (i = 0; i < written; i++)
        CHILD_MUST(holds_number(self, i, 1, 3000));
    batch_done(&records);
    CHILD_MUST(engine_release(self) == MLKV_OK);
}

START_TEST(meets_a_full_disk)
{
    const char *folder = harness_folder();
    int status;
    IN_CHILD(status, write_on_a_full_disk(folder));
    ck_assert_int_eq(status, 0);
    engine *self = open_still(folder);
    ck_assert(holds_number(self, 9999, 1, 3000) && holds_number(self, 0, 1, 3000));
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("write");
    TCase *tcase = harness_case(suite, "write");
    tcase_add_test(tcase, takes_the_lock_once);
    tcase_add_test(tcase, takes_it_from_the_dead);
    tcase_add_test(tcase, takes_all_sizes);
    tcase_add_test(tcase, goes_past_the_ring);
    tcase_add_test(tcase, mends_a_direct_commit);
    tcase_add_test(tcase, waits_for_durability);
    tcase_add_test(tcase, slows_down_when_it_fills);
    tcase_add_test(tcase, stops_when_the_disk_fails);
    tcase_add_test(tcase, meets_a_full_disk);
    return harness_run(suite);
}
