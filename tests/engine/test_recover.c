/* test_recover.c - opening what a crash, a backup, a stranger or a full disk left; and closing.
 * Children die with the store open; files are then changed as bytes. */
#include "fixture.h"

#include "journal/frame.h"

/* A child opens, puts numbers [from, to) of a round, and dies. sync: the journal's log has them,
 * too. */
static void crash(const char *folder, unsigned from, unsigned to, unsigned round, bool sync)
{
    int status;
    fflush(NULL);
    pid_t pid = harness_fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        engine *self = open_still(folder);
        for (unsigned i = from; i < to; i++)
            put_number(self, i, round, 100);
        if (sync)
            CHILD_MUST(engine_wait(self, journal_tail(engine_journal(self)), MLKV_SYNC) == MLKV_OK);
        die();
    }
    status = child_status(pid);
    ck_assert_int_eq(status, -SIGKILL);
}

/* Opens, puts, closes. */
static void fill(const char *folder, unsigned from, unsigned to, unsigned round)
{
    engine *self = open_still(folder);
    for (unsigned i = from; i < to; i++)
        put_number(self, i, round, 100);
    OK(engine_release(self));
}

static void expect(engine *self, unsigned from, unsigned to, unsigned round)
{
    for (unsigned i = from; i < to; i++)
        ck_assert_msg(holds_number(self, i, round, 100), "number %u", i);
}

static bool says_clean(store *kept)
{
    store_read *read = NULL;
    store_identity identity;
    OK(store_read_begin(kept, &read));
    OK(store_read_identity(read, &identity));
    store_read_end(read);
    return identity.clean;
}

/* Of a store that this process does not have open. */
static bool is_clean(const char *folder)
{
    store *kept = NULL;
    OK(store_open(folder, false, true, &kept));
    bool clean = says_clean(kept);
    store_close(kept);
    return clean;
}

static void refuses(const char *folder, int want)
{
    mlkv_options options = small_options();
    engine *self = NULL;
    MUST(want, try_open(folder, &options, &self));
    ck_assert_ptr_null(self);
    ck_assert_str_ne(mlkv_error_detail(), "");
}

static engine *open_with_loss(const char *folder)
{
    mlkv_options options = small_options();
    options.flags = MLKV_ACCEPT_LOSS;
    return open_running(folder, &options);
}

static void remove_file(const char *folder, const char *name)
{
    char path[700];
    path_in(path, folder, name);
    ck_assert_int_eq(unlink(path), 0);
}

/* Changes the constant part of a head, so that it is whole again. */
static void forge_identity(const char *folder, void (*change)(journal_identity *identity))
{
    char path[700];
    journal_identity identity;
    path_in(path, folder, "journal.head");
    int file = open(path, O_RDWR | O_CLOEXEC);
    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(pread(file, &identity, sizeof identity, 0), sizeof identity);
    change(&identity);
    identity.checksum =
        hash_checksum(&identity, offsetof(journal_identity, checksum), JOURNAL_MAGIC);
    ck_assert_int_eq(pwrite(file, &identity, sizeof identity, 0), sizeof identity);
    (void)close(file);
}

static void be_elsewhere(journal_identity *identity)
{
    identity->namespace_inode ^= 0x5555;
    identity->namespace_device += 3;
}

static void be_of_another_machine(journal_identity *identity)
{
    be_elsewhere(identity);
    identity->mutex_size += 8;
    identity->page_size *= 4;
}

static void be_newer(journal_identity *identity)
{
    identity->version = 99;
}

START_TEST(makes_closes_and_opens)
{
    static const char *const names[] = {"data.mdb",     "lock.mdb",    "journal.head",
                                        "journal.ring", "journal.log", "journal.lock"};
    const char *base = harness_folder();
    char folder[600], path[700];
    struct stat status;
    snprintf(folder, sizeof folder, "%s/new", base);
    fill(folder, 0, 50, 1);
    ck_assert_int_eq(stat(folder, &status), 0);
    ck_assert_uint_eq(status.st_mode & 0777, 0700);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        path_in(path, folder, names[i]);
        ck_assert_msg(stat(path, &status) == 0, "%s", names[i]);
        ck_assert_uint_eq(status.st_mode & 0777, 0600);
    }
    ck_assert(is_clean(folder));
    engine *self = open_still(folder);
    ck_assert(!says_clean(self->store));
    uint64_t generation = journal_generation(engine_journal(self)),
             tail = journal_tail(engine_journal(self));
    ck_assert_uint_gt(tail, 0);
    expect(self, 0, 50, 1);
    OK(engine_release(self));
    self = open_still(folder);
    ck_assert_uint_ne(journal_generation(engine_journal(self)), generation);
    ck_assert_uint_ge(journal_tail(engine_journal(self)), tail);
    OK(engine_release(self));
    harness_remove(base);
}
END_TEST

/* Fails under R06-generation-not-in-lmdb of tests/broken. */
START_TEST(recovers_what_died)
{
    const char *folder = harness_folder();
    uint64_t id_before = 0, tail_before = 0;
    for (unsigned round = 1; round <= 6; round++) {
        crash(folder, 0, 60 + round * 100, round, round % 2 == 0);
        ck_assert(!is_clean(folder));
        engine *self = open_still(folder);
        expect(self, 0, 60 + round * 100, round);
        ck_assert_uint_gt(journal_tail(engine_journal(self)), tail_before);
        ck_assert_uint_ge(journal_take_ids(engine_journal(self), 1), id_before);
        id_before = journal_next_id(engine_journal(self));
        put_number(self, 0, round, 50); /* carries the counter */
        tail_before = journal_tail(engine_journal(self));
        OK(engine_release(self));
        ck_assert(is_clean(folder));
    }
    harness_remove(folder);
}
END_TEST

/* A journal that somebody cut short or took away is refused, and nothing is changed by that. */
START_TEST(refuses_a_cut_journal)
{
    static const char *const names[] = {"journal.ring", "journal.log"};
    for (int i = 0; i < 4; i++) {
        const char *folder = harness_folder();
        char path[700], aside[720];
        engine *self = NULL;
        crash(folder, 0, 40, 1, true);
        snprintf(path, sizeof path, "%s/%s", folder, names[i % 2]);
        snprintf(aside, sizeof aside, "%s.aside", path);
        if (i < 2)
            ck_assert_int_eq(rename(path, aside), 0);
        else
            ck_assert_int_eq(truncate(path, TEST_RING / 2), 0);
        engine_options options;
        mlkv_options given = {.size = sizeof given, .ring_bytes = TEST_RING};
        OK(engine_check_options(&given, false, &options));
        MUST(MLKV_E_MISMATCH, engine_acquire(folder, &options, &self));
        ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), names[i % 2]));
        if (i < 2) {
            ck_assert_int_eq(rename(aside, path), 0);
            self = open_still(folder);
            expect(self, 0, 40, 1);
            OK(engine_release(self));
        }
        harness_remove(folder);
    }
}
END_TEST

/* Either of ring and log is enough, if the log was synced. */
START_TEST(recovers_from_ring_or_log)
{
    static const char zeros[TEST_RING];
    const char *folder = harness_folder();
    crash(folder, 0, 40, 1, true);
    overwrite(folder, "journal.ring", 0, zeros, sizeof zeros);
    engine *self = open_still(folder);
    bool durable = journal_sync_is_durable(engine_journal(self));
    if (durable)
        expect(self, 0, 40, 1);
    OK(engine_release(self));
    crash(folder, 0, 40, 2, true);
    overwrite(folder, "journal.log", 0, zeros, sizeof zeros);
    self = open_still(folder);
    expect(self, 0, 40, 2);
    OK(engine_release(self));
    crash(folder, 0, 40, 3, false);
    overwrite(folder, "journal.ring", TEST_RING / 2, zeros, TEST_RING / 2);
    self = open_still(folder); /* a prefix is left, whatever it is; never a mixture */
    unsigned i = 0;
    while (i < 40 && holds_number(self, i, 3, 100))
        i++;
    expect(self, i, 40, 2);
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

START_TEST(survives_another_boot)
{
    const char *folder = harness_folder();
    engine *self;
    mlkv_options read_only = {.size = sizeof read_only, .flags = MLKV_READ_ONLY};
    crash(folder, 0, 30, 1, false);
    forge_identity(folder, be_of_another_machine);
    self = open_still(folder);
    expect(self, 0, 30, 1);
    OK(engine_release(self));
    forge_identity(folder, be_of_another_machine);
    self = open_running(folder,
                        &read_only); /* clean, and nobody has it open: the journal is not needed */
    expect(self, 0, 30, 1);
    OK(engine_release(self));
    self = open_still(folder);
    expect(self, 0, 30, 1);
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

START_TEST(refuses_another_namespace_beside)
{
    const char *folder = harness_folder();
    engine *self = open_still(folder);
    int status;
    forge_identity(folder, be_elsewhere); /* as a container would find it */
    IN_CHILD(status, refuses(folder, MLKV_E_PLATFORM));
    ck_assert_int_eq(status, 0);
    put_number(self, 1, 1, 100);
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

START_TEST(refuses_other_versions)
{
    const char *folder = harness_folder();
    crash(folder, 0, 10, 1, false);
    forge_identity(folder, be_newer);
    refuses(folder, MLKV_E_VERSION);
    engine *self = open_with_loss(folder);
    ck_assert(lacks(self, TEXT("K000001")));
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

START_TEST(refuses_a_missing_journal)
{
    const char *folder = harness_folder();
    fill(folder, 0, 10, 1);
    remove_file(folder, "journal.head"); /* after a clean end it is not needed */
    remove_file(folder, "journal.ring");
    remove_file(folder, "journal.log");
    remove_file(folder, "lock.mdb");
    crash(folder, 0, 10, 2, false);
    remove_file(folder, "journal.head");
    refuses(folder, MLKV_E_MISMATCH);
    refuses(folder, MLKV_E_MISMATCH); /* refusing changed nothing */
    engine *self = open_with_loss(folder);
    expect(self, 0, 10, 1);
    OK(engine_release(self));
    self = open_still(folder);
    expect(self, 0, 10, 1);
    OK(engine_release(self));
    crash(folder, 0, 10, 3, false);
    overwrite(folder, "journal.head", 30, "damaged", 7);
    refuses(folder, MLKV_E_MISMATCH);
    harness_remove(folder);
}
END_TEST

START_TEST(refuses_backups_that_do_not_fit)
{
    const char *folder = harness_folder(), *aside = NULL;
    char backup[600];
    snprintf(backup, sizeof backup, "%s-backup", folder);
    aside = backup;
    ck_assert_int_eq(mkdir(aside, 0700), 0);
    fill(folder, 0, 20, 1);
    copy_file(folder, aside, "data.mdb"); /* clean */
    crash(folder, 0, 20, 2, false);
    copy_file(aside, folder, "data.mdb");
    refuses(folder, MLKV_E_MISMATCH);
    engine *self = open_with_loss(folder);
    expect(self, 0, 20, 1);
    uint64_t tail = journal_tail(engine_journal(self));
    OK(engine_release(self));
    /* unclean, of the same generation, but older than what the header says is applied */
    self = open_still(folder);
    ck_assert_uint_ge(journal_tail(engine_journal(self)), tail);
    copy_file(folder, aside, "data.mdb");
    put_number(self, 5, 9, 100);
    apply_all(self);
    engine_background_stop(self);
    copy_file(folder, aside, "journal.head");
    OK(engine_release(self));
    copy_file(aside, folder, "data.mdb");
    copy_file(aside, folder, "journal.head");
    refuses(folder, MLKV_E_MISMATCH);
    OK(engine_release(open_with_loss(folder)));
    harness_remove(folder);
    harness_remove(aside);
}
END_TEST

static void copy_journal(const char *from, const char *to)
{
    static const char *const names[] = {"journal.head", "journal.ring", "journal.log"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        copy_file(from, to, names[i]);
}

START_TEST(refuses_a_journal_alone)
{
    const char *folder = harness_folder();
    char path[700];
    engine *self = NULL;
    fill(folder, 0, 10, 1);
    for (int crashed = 0; crashed < 2;
         crashed++) { /* closed: its journal holds nothing that is lost */
        if (crashed)
            crash(folder, 0, 10, 2, false);
        remove_file(folder, "data.mdb");
        remove_file(folder, "lock.mdb");
        refuses(folder, MLKV_E_MISMATCH);
        ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "data.mdb"));
        path_in(path, folder, "data.mdb");
        ck_assert_int_ne(access(path, F_OK), 0); /* it made none */
        self = open_with_loss(folder);
        ck_assert(lacks(self, TEXT("K000001")));
        put_number(self, 1, 3, 100);
        OK(engine_release(self));
    }
    remove_file(folder, "data.mdb");
    remove_file(folder, "journal.head");
    self = open_still(folder); /* without the head nothing tells of a store */
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

/* The other way round than a backup: the journal is put back, and LMDB is newer. */
START_TEST(an_older_journal_beside_a_newer_lmdb)
{
    const char *folder = harness_folder();
    char aside[600];
    snprintf(aside, sizeof aside, "%s-aside", folder);
    ck_assert_int_eq(mkdir(aside, 0700), 0);
    engine *self = open_still(folder);
    for (unsigned i = 0; i < 10; i++)
        put_number(self, i, 1, 100);
    copy_journal(folder, aside); /* of an open store, holding writes */
    for (unsigned i = 0; i < 20; i++)
        put_number(self, i, 2, 100);
    OK(engine_release(self));
    copy_journal(aside, folder); /* of the same generation; LMDB is closed and has everything */
    self = open_still(folder);
    expect(self, 0, 20, 2);
    OK(engine_release(self));
    copy_journal(aside, folder); /* of an earlier one, with writes: they are of another state */
    refuses(folder, MLKV_E_MISMATCH);
    OK(engine_release(open_with_loss(folder)));
    crash(folder, 0, 20, 3, false); /* LMDB not closed, and a journal of an earlier generation */
    copy_journal(aside, folder);
    refuses(folder, MLKV_E_MISMATCH);
    OK(engine_release(open_with_loss(folder)));
    harness_remove(folder);
    harness_remove(aside);
}
END_TEST

/* LMDB not closed, and an older copy of its own journal: like what a power cut leaves. Frames that
 * LMDB has count for nothing, and those that chain on are taken. */
START_TEST(an_older_copy_of_its_own_journal)
{
    const char *folder = harness_folder();
    char aside[600];
    int status;
    snprintf(aside, sizeof aside, "%s-aside", folder);
    ck_assert_int_eq(mkdir(aside, 0700), 0);
    IN_CHILD(status, {
        engine *self = open_still(folder);
        for (unsigned i = 0; i < 10; i++)
            put_number(self, i, 1, 100);
        copy_journal(folder, aside);
        for (unsigned i = 0; i < 10; i++)
            put_number(self, i, 2, 100);
        CHILD_MUST(engine_apply_until(self, journal_tail(engine_journal(self))) == MLKV_OK);
        put_number(self, 11, 3, 100);
        die();
    });
    ck_assert_int_eq(status, -SIGKILL);
    copy_journal(aside, folder);
    engine *self = open_still(folder);
    expect(self, 0, 10, 2);
    ck_assert(lacks(self, TEXT("K000011"))); /* it was in the newer journal only */
    OK(engine_release(self));
    harness_remove(folder);
    harness_remove(aside);
}
END_TEST

START_TEST(refuses_a_strangers_journal)
{
    static const char *const names[] = {"journal.head", "journal.ring", "journal.log"};
    const char *base = harness_folder();
    char one[600], other[600];
    snprintf(one, sizeof one, "%s/one", base);
    snprintf(other, sizeof other, "%s/other", base);
    crash(one, 0, 10, 1, false);
    crash(other, 0, 10, 2, false);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        copy_file(other, one, names[i]);
    refuses(one, MLKV_E_MISMATCH);
    /* a journal of another generation of the same store */
    fill(other, 0, 10, 3);
    crash(other, 0, 10, 4, false);
    copy_file(one, other, "journal.head");
    refuses(other, MLKV_E_MISMATCH);
    OK(engine_release(open_with_loss(one)));
    OK(engine_release(open_with_loss(other)));
    harness_remove(base);
}
END_TEST

START_TEST(reads_only_what_is_whole)
{
    const char *base = harness_folder();
    char folder[600];
    snprintf(folder, sizeof folder, "%s/store", base);
    mlkv_options read_only = {.size = sizeof read_only, .flags = MLKV_READ_ONLY},
                 no_create = {.size = sizeof no_create, .flags = MLKV_NO_CREATE};
    engine *self = NULL;
    MUST(MLKV_E_ABSENT_STORE, try_open(folder, &read_only, &self));
    MUST(MLKV_E_ABSENT_STORE, try_open(folder, &no_create, &self));
    ck_assert_int_ne(access(folder, F_OK), 0);
    ck_assert_int_eq(mkdir(folder, 0700), 0);
    MUST(MLKV_E_ABSENT_STORE, try_open(folder, &read_only, &self));
    MUST(MLKV_E_ABSENT_STORE, try_open(folder, &no_create, &self));
    crash(folder, 0, 10, 1, false);
    MUST(MLKV_E_RECOVERY, try_open(folder, &read_only, &self));
    fill(folder, 10, 20, 1);
    self = open_running(folder, &read_only);
    expect(self, 0, 20, 1);
    OK(engine_release(self));
    self = open_running(folder, &no_create);
    expect(self, 0, 20, 1);
    OK(engine_release(self));
    harness_remove(base);
}
END_TEST

START_TEST(waits_for_the_one_who_is_alone)
{
    const char *folder = harness_folder();
    uint64_t *counters = shared_counters();
    mlkv_options options = small_options();
    options.lock_timeout_ms = 30;
    engine *self = NULL;
    fflush(NULL);
    pid_t pid = harness_fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        fault_counters_place(counters);
        fault_arm(FAULT_RECOVER_BEGUN, FAULT_SLEEP, 1, 600000000);
        (void)open_still(folder);
        _exit(1);
    }
    wait_until_passed(counters, FAULT_RECOVER_BEGUN);
    MUST(MLKV_E_BUSY, try_open(folder, &options, &self));
    (void)kill(pid, SIGKILL);
    ck_assert_int_eq(child_status(pid), -SIGKILL);
    self = open_still(folder);
    put_number(self, 1, 1, 100);
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

static void open_on_a_full_disk(const char *folder)
{
    limit_files(16 << 10);
    mlkv_options options = small_options();
    engine *self = NULL;
    CHILD_MUST(try_open(folder, &options, &self) == MLKV_E_FULL && self == NULL);
    limit_files(RLIM_INFINITY);
    CHILD_MUST(try_open(folder, &options, &self) == MLKV_OK);
    put_number(self, 1, 1, 100);
    CHILD_MUST(engine_release(self) == MLKV_OK);
}

START_TEST(meets_a_full_disk)
{
    const char *folder = harness_folder();
    int status;
    IN_CHILD(status, open_on_a_full_disk(folder));
    ck_assert_int_eq(status, 0);
    engine *self = open_still(folder);
    expect(self, 1, 2, 1);
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

/* Two have it open: the one who leaves first must not mark it clean. */
START_TEST(is_closed_by_the_last)
{
    const char *folder = harness_folder();
    engine *self = open_still(folder);
    int status;
    IN_CHILD(status, {
        engine *_Atomic handle = self;
        engine *own;
        CHILD_MUST(engine_replace(&handle, &own) == MLKV_OK);
        put_number(own, 3, 1, 100);
        CHILD_MUST(engine_release(own) == MLKV_OK);
    });
    ck_assert_int_eq(status, 0);
    ck_assert(!says_clean(self->store));
    expect(self, 3, 4, 1);
    OK(engine_release(self));
    ck_assert(is_clean(folder));
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("recover");
    TCase *tcase = harness_case(suite, "recover");
    tcase_add_test(tcase, makes_closes_and_opens);
    tcase_add_test(tcase, recovers_what_died);
    tcase_add_test(tcase, recovers_from_ring_or_log);
    tcase_add_test(tcase, refuses_a_cut_journal);
    tcase_add_test(tcase, survives_another_boot);
    tcase_add_test(tcase, refuses_another_namespace_beside);
    tcase_add_test(tcase, refuses_other_versions);
    tcase_add_test(tcase, refuses_a_missing_journal);
    tcase_add_test(tcase, refuses_backups_that_do_not_fit);
    tcase_add_test(tcase, refuses_a_journal_alone);
    tcase_add_test(tcase, an_older_journal_beside_a_newer_lmdb);
    tcase_add_test(tcase, an_older_copy_of_its_own_journal);
    tcase_add_test(tcase, refuses_a_strangers_journal);
    tcase_add_test(tcase, reads_only_what_is_whole);
    tcase_add_test(tcase, waits_for_the_one_who_is_alone);
    tcase_add_test(tcase, meets_a_full_disk);
    tcase_add_test(tcase, is_closed_by_the_last);
    return harness_run(suite);
}
