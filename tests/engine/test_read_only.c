/* test_read_only.c - a read-only engine beside writers that die at awkward moments: it cannot mend
 * what they left, so it must read on from LMDB, wait for somebody who can, or say why it cannot.
 *
 * The engine under test has no threads: it takes frames in when the test says so, and not before.
 * Writers are children that die at fault points.
 */
#include "fixture.h"

enum { FIRST = 10, MORE = 25, SIZE = 100 };

static engine *open_reader(const char *folder, uint32_t timeout_ms)
{
    mlkv_options options = {.size = sizeof options,
                            .flags = MLKV_READ_ONLY,
                            .cache_bytes = 256 << 10,
                            .lock_timeout_ms = timeout_ms};
    engine *self = open_running(folder, &options);
    engine_background_stop(self);
    return self;
}

/* A child puts numbers [from, to) and ends well. */
static void fill(const char *folder, unsigned from, unsigned to)
{
    int status;
    IN_CHILD(status, {
        engine *self = open_still(folder);
        for (unsigned i = from; i < to; i++)
            put_number(self, i, 1, SIZE);
        CHILD_MUST(engine_release(self) == MLKV_OK);
    });
    ck_assert_int_eq(status, 0);
}

/* The same in a child that dies with the store open. */
static void fill_and_die(const char *folder, unsigned from, unsigned to)
{
    int status;
    IN_CHILD(status, {
        engine *self = open_still(folder);
        for (unsigned i = from; i < to; i++)
            put_number(self, i, 1, SIZE);
        die();
    });
    ck_assert_int_eq(status, -SIGKILL);
}

static void open_and_die_at(const char *folder, fault_point point)
{
    int status;
    IN_CHILD(status, {
        fault_arm(point, FAULT_KILL, 1, 0);
        (void)open_still(folder);
    });
    ck_assert_int_eq(status, -SIGKILL);
}

/* A batch too large for the ring; the child dies between LMDB's commit and the marker. */
static void commit_directly_and_die(const char *folder, unsigned from, unsigned to)
{
    int status;
    IN_CHILD(status, {
        engine *self = open_still(folder);
        batch records = {0};
        uint64_t end;
        for (unsigned i = from; i < to; i++) {
            const numbered *made = number_of(i, 1, 4000);
            add_put(&records, made->key_slice, made->value_slice);
        }
        fault_arm(FAULT_DIRECT_COMMITTED, FAULT_KILL, 1, 0);
        (void)commit(self, &records, &end);
    });
    ck_assert_int_eq(status, -SIGKILL);
}

static void expect(engine *self, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++)
        ck_assert_msg(holds_number(self, i, 1, SIZE), "number %u: %s", i, mlkv_error_detail());
}

/* The reader has the journal of a writer that died, and has not taken all of it in. Whoever recovers
 * dies, too, at each step: before the journal is retired, after that, and with a new one in place. */
START_TEST(behind_when_its_journal_is_retired)
{
    static const fault_point points[] = {FAULT_RECOVER_SCANNED, FAULT_RECOVER_APPLIED,
                                         FAULT_RECOVER_RETIRED, FAULT_RECOVER_FILES,
                                         FAULT_RECOVER_DONE};
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
        const char *folder = harness_folder();
        fill(folder, 0, FIRST);
        engine *self = open_reader(folder, 100);
        expect(self, 0, FIRST);
        int to_child[2], from_child[2];
        char byte = 0;
        ck_assert_int_eq(pipe(to_child), 0);
        ck_assert_int_eq(pipe(from_child), 0);
        pid_t writer = harness_fork();
        if (writer == 0) {
            engine *mine = open_still(folder);
            put_number(mine, FIRST, 1, SIZE);
            CHILD_MUST(write(from_child[1], &byte, 1) == 1 && read(to_child[0], &byte, 1) == 1);
            for (unsigned n = FIRST + 1; n < MORE; n++)
                put_number(mine, n, 1, SIZE);
            die();
        }
        ck_assert_int_eq(read(from_child[0], &byte, 1), 1);
        expect(self, 0, FIRST + 1); /* it has the writer's journal, and is at its tail */
        ck_assert_int_eq(write(to_child[1], &byte, 1), 1);
        ck_assert_int_eq(child_status(writer), -SIGKILL);
        open_and_die_at(folder, points[i]);
        /* as if the reader had looked for a new journal just before the old one was retired */
        OK(engine_catch_up(self, journal_tail(engine_journal(self))));
        expect(self, 0, MORE);
        fill(folder, MORE, MORE + 1); /* and goes on with the next */
        expect(self, 0, MORE + 1);
        OK(engine_release(self));
        for (int end = 0; end < 2; end++) {
            (void)close(to_child[end]);
            (void)close(from_child[end]);
        }
        harness_remove(folder);
    }
}
END_TEST

START_TEST(a_writer_died_before_its_marker)
{
    const char *folder = harness_folder();
    mlkv_buffer value = {0};
    fill(folder, 0, FIRST);
    engine *self = open_reader(folder, 60);
    commit_directly_and_die(folder, 100, 120);
    /* LMDB shows what is not announced: neither state may be read, and nobody is there to decide */
    uint64_t cursor;
    const numbered *made = number_of(3, 1, SIZE);
    OK(engine_read_begin(self, &cursor));
    MUST(ENGINE_AGAIN, engine_get(self, cursor, hash_key(made->key, made->key_slice.size),
                                  made->key_slice, &value));
    MUST(MLKV_E_RECOVERY, engine_settle(self));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "died"));
    fill(folder, FIRST, FIRST + 1); /* recovers */
    expect(self, 0, FIRST + 1);
    const numbered *large = number_of(100, 1, 4000);
    ck_assert(holds(self, large->key_slice, large->value_slice));
    mlkv_buffer_free(&value);
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

/* The same, and the recovering opener dies with the journal retired: all is decided then. */
START_TEST(a_writer_died_before_its_marker_and_its_heir)
{
    const char *folder = harness_folder();
    fill(folder, 0, FIRST);
    engine *self = open_reader(folder, 60);
    commit_directly_and_die(folder, 100, 120);
    open_and_die_at(folder, FAULT_RECOVER_RETIRED);
    expect(self, 0, FIRST);
    const numbered *large = number_of(119, 1, 4000);
    ck_assert(holds(self, large->key_slice, large->value_slice));
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

START_TEST(opened_when_the_journal_is_retired)
{
    const char *folder = harness_folder();
    fill_and_die(folder, 0, MORE);
    open_and_die_at(folder, FAULT_RECOVER_RETIRED);
    engine *self = open_reader(folder, 60); /* LMDB is clean by then */
    expect(self, 0, MORE);
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("read_only");
    TCase *tcase = harness_case(suite, "read_only");
    tcase_add_test(tcase, behind_when_its_journal_is_retired);
    tcase_add_test(tcase, a_writer_died_before_its_marker);
    tcase_add_test(tcase, a_writer_died_before_its_marker_and_its_heir);
    tcase_add_test(tcase, opened_when_the_journal_is_retired);
    return harness_run(suite);
}
