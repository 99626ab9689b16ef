/* test_io_errors.c - every call to the operating system that a store makes on its files fails once,
 * or from then on, with each errno that disks are known for; writes come out short.
 *
 * What must hold:
 *  1. The call that met the failure says so (full, io, or what fits the errno), with words; no
 *     other result comes. What was acknowledged before and after is there: through the same
 *     handle, and in a new opening once the cause is gone.
 *  2. Afterwards the same handle works, or it is poisoned: then writes say MLKV_E_POISONED with the
 *     reason until the store is opened anew, and reads go on; but when LMDB could not write its
 *     meta page, it refuses to read, too, and what has to come from there is MLKV_E_POISONED.
 *  3. `verify` is clean in the end, and nothing hangs.
 *  4. What POSIX allows at any time (EINTR, short writes) is no failure at all, but where LMDB
 *     itself does not go on: it takes a short write for an EIO, and opens, reads its meta page and
 * syncs only once.
 *
 * Descriptors that run out, a file-size limit and a full file system are the real thing, in a child
 * process; the full one needs the right to mount, and is passed over without it. Calls of all
 * threads count, so rounds are not the same in each run: which background call is hit may differ,
 * what must hold does not. To bound the time a part of the calls is tried, all with MLKV_LONG=1.
 */
#include "harness.h"
#include "inject.h"
#include "scenario.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum {
    IO_ERRORS = ALLOW(MLKV_E_IO) | ALLOW(MLKV_E_FULL) | ALLOW(MLKV_E_POISONED) |
                ALLOW(MLKV_E_MEMORY) | ALLOW(MLKV_E_PERMISSION) | ALLOW(MLKV_E_DURABILITY),
    WRITES = INJECT_WRITE | INJECT_SIZE,
    EVERYTHING = INJECT_OPEN | INJECT_WRITE | INJECT_SYNC | INJECT_SIZE | INJECT_MAP | INJECT_NAME,
};

static bool is_long(void)
{
    const char *text = getenv("MLKV_LONG");
    return text != NULL && strcmp(text, "1") == 0;
}

static void remove_store(const char *folder)
{
    static const char *const names[] = {"data.mdb",         "lock.mdb",        "journal.head",
                                        "journal.ring",     "journal.log",     "journal.head.tmp",
                                        "journal.ring.tmp", "journal.log.tmp", "journal.lock"};
    char path[600];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
}

/* The handle after a failure: usable, or poisoned with a reason and still readable. */
static void prove_state(scenario *self)
{
    int result = mlkv_string_set(self->db, TEXT("after"), TEXT("it"), MLKV_SET_ALWAYS);
    if (result == MLKV_E_POISONED)
        ck_assert_msg(strstr(mlkv_error_detail(), "writing has stopped: ") != NULL ||
                          strstr(mlkv_error_detail(), "MDB_PANIC") != NULL,
                      "no reason: %s", mlkv_error_detail());
    else if (result == MLKV_OK)
        scenario_prove_usable(self);
    else
        ck_abort_msg("the cause is gone, and a write says %s (%s)", mlkv_error_name(result),
                     mlkv_error_detail());
    unsigned failed = self->failed;
    scenario_look(self, self->db);
    if (failed != self->failed)
        ck_assert_msg(result == MLKV_E_POISONED && self->last_error == MLKV_E_POISONED,
                      "a read failed: %s", self->last_detail);
}

/* One life of a store under the plan. Returns whether it struck. */
static bool round_of(const char *folder, const inject_plan *plan, unsigned allowed,
                     mlkv_durability durability)
{
    scenario self;
    remove_store(folder);
    scenario_init(&self, folder, durability, allowed);
    inject_caption("test_io_errors: kinds %#x, errno %d, %llu of them from call %llu on",
                   plan->kinds, plan->error, (unsigned long long)plan->times,
                   (unsigned long long)plan->nth);
    inject_arm(plan);
    bool opened = scenario_open(&self) == MLKV_OK;
    if (opened) {
        scenario_write(&self);
        scenario_look(&self, self.db);
        scenario_visit(&self);
    }
    if (plan->times == UINT64_MAX)
        (void)inject_disarm();
    if (opened && plan->times == UINT64_MAX)
        prove_state(&self);
    if (opened)
        scenario_close(&self);
    if (scenario_open(&self) == MLKV_OK) {
        scenario_look(&self, self.db);
        scenario_close(&self);
    }
    (void)inject_disarm();
    bool struck = inject_hits() != 0;
    if (allowed == 0)
        ck_assert_uint_eq(self.failed, 0);
    scenario_prove(&self);
    return struck;
}

/* A folder in memory, or on a disk. */
static const char *new_folder(bool in_memory)
{
    if (in_memory && access("/dev/shm", W_OK) == 0 && getenv("MLKV_TEST_FOLDER") == NULL) {
        static char folder[64];
        snprintf(folder, sizeof folder, "/dev/shm/mlkv-test-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(folder));
        return folder;
    }
    return harness_folder();
}

/* Rounds over the calls of these kinds until none is left. Returns how many there were. */
static uint64_t rounds(unsigned kinds, int error, uint64_t times, unsigned allowed,
                       mlkv_durability durability, uint64_t stride)
{
    const char *folder = new_folder(durability != MLKV_SYNC);
    uint64_t nth = 1 + (uint64_t)(error + (int)durability) % stride; /* others for each errno */
    inject_watch(folder);
    if (is_long())
        nth = stride = 1;
    for (;; nth += stride) {
        inject_plan plan = {kinds, nth, times, error, false};
        if (!round_of(folder, &plan, allowed, durability))
            break;
    }
    ck_assert_uint_gt(nth, stride);
    harness_remove(folder);
    return nth;
}

START_TEST(disk_full)
{
    rounds(WRITES, ENOSPC, 1, IO_ERRORS, MLKV_JOURNAL, 3);
    rounds(WRITES, ENOSPC, UINT64_MAX, IO_ERRORS, MLKV_SYNC, 15);
    rounds(WRITES, ENOSPC, UINT64_MAX, IO_ERRORS, MLKV_STORE, 7);
    rounds(INJECT_OPEN | INJECT_NAME, ENOSPC, 1, IO_ERRORS, MLKV_JOURNAL, 1);
}
END_TEST

START_TEST(quota_reached)
{
    rounds(WRITES, EDQUOT, UINT64_MAX, IO_ERRORS, MLKV_JOURNAL, 5);
}
END_TEST

START_TEST(disk_broken)
{
    rounds(EVERYTHING, EIO, 1, IO_ERRORS, MLKV_JOURNAL, 5);
    rounds(EVERYTHING, EIO, UINT64_MAX, IO_ERRORS, MLKV_SYNC, 25);
    rounds(INJECT_SYNC, EIO, 1, IO_ERRORS, MLKV_STORE, 2);
    rounds(INJECT_READ, EIO, 1, IO_ERRORS, MLKV_JOURNAL, 1);
}
END_TEST

START_TEST(maps_refused)
{
    rounds(INJECT_MAP, ENOMEM, 1, IO_ERRORS, MLKV_JOURNAL, 1);
}
END_TEST

START_TEST(descriptors_refused)
{
    rounds(INJECT_OPEN, EMFILE, 1, IO_ERRORS, MLKV_JOURNAL, 1);
    rounds(INJECT_OPEN, ENFILE, UINT64_MAX, IO_ERRORS, MLKV_JOURNAL, 2);
    rounds(INJECT_OPEN, EACCES, 1, IO_ERRORS, MLKV_JOURNAL, 2);
}
END_TEST

/* Interrupted calls are called again. */
START_TEST(interrupted)
{
    rounds(INJECT_WRITE, EINTR, 1, 0, MLKV_SYNC, 9);
    rounds(INJECT_WRITE, EINTR, 1, 0, MLKV_STORE, 2);
    rounds(INJECT_OPEN | INJECT_SIZE | INJECT_READ | INJECT_SYNC, EINTR, 1, IO_ERRORS, MLKV_STORE,
           2);
}
END_TEST

START_TEST(short_writes)
{
    rounds(INJECT_WRITE, 0, 1, IO_ERRORS, MLKV_SYNC, 9);
    rounds(INJECT_WRITE, 0, 1, IO_ERRORS, MLKV_STORE, 2);
    rounds(INJECT_WRITE, 0, 5, IO_ERRORS, MLKV_STORE, 5);
}
END_TEST

/* Backups of one store, which is open all the time, each with another call failing. The number of
 * those that failed. */
static uint64_t backups(scenario *self, const char *copy, unsigned kinds, int error, uint64_t times)
{
    uint64_t failed = 0;
    for (uint64_t nth = 1, struck = 1; struck; nth++) {
        inject_plan plan = {kinds, nth, times, error, false};
        inject_caption(
            "test_io_errors: backup, kinds %#x, errno %d, %llu of them from call %llu on", kinds,
            error, (unsigned long long)times, (unsigned long long)nth);
        inject_arm(&plan);
        failed += scenario_backup(self, copy) != MLKV_OK;
        struck = inject_hits() != 0;
        if (access(copy, F_OK) == 0)
            harness_remove(copy);
    }
    return failed;
}

START_TEST(backups_that_fail)
{
    const char *folder = new_folder(true);
    char store[600], copy[620], aside[600];
    scenario self;
    snprintf(store, sizeof store, "%s/store", folder);
    snprintf(aside, sizeof aside, "%s/aside", folder);
    snprintf(copy, sizeof copy, "%s/copy", aside); /* only calls on its files count */
    ck_assert_int_eq(mkdir(aside, 0700), 0);
    inject_watch(aside);
    scenario_init(&self, store, MLKV_JOURNAL, IO_ERRORS);
    OK(scenario_open(&self));
    scenario_write(&self);
    OK(mlkv_flush(self.db, MLKV_STORE));
    ck_assert_uint_gt(backups(&self, copy, WRITES, ENOSPC, 1), 2);
    ck_assert_uint_gt(backups(&self, copy, WRITES, EDQUOT, UINT64_MAX), 2);
    ck_assert_uint_gt(backups(&self, copy, EVERYTHING, EIO, 1), 5);
    ck_assert_uint_gt(backups(&self, copy, EVERYTHING, EIO, UINT64_MAX), 5);
    ck_assert_uint_gt(backups(&self, copy, INJECT_OPEN, EMFILE, 1), 2);
    ck_assert_uint_eq(backups(&self, copy, INJECT_WRITE, EINTR, 1), 0);
    (void)backups(&self, copy, INJECT_WRITE, 0, 1);
    scenario_look(&self, self.db);
    scenario_close(&self);
    scenario_prove(&self);
    harness_remove(folder);
}
END_TEST

/* --- the real thing --- */

/* How many descriptors the process has. */
static rlim_t descriptors(void)
{
    int next = dup(STDERR_FILENO);
    ck_assert_int_ge(next, 0);
    (void)close(next);
    return (rlim_t)next;
}

static void limit(int what, rlim_t value)
{
    struct rlimit limits;
    ck_assert_int_eq(getrlimit((__rlimit_resource_t)what, &limits), 0);
    limits.rlim_cur = value < limits.rlim_max ? value : limits.rlim_max;
    ck_assert_int_eq(setrlimit((__rlimit_resource_t)what, &limits), 0);
}

START_TEST(no_descriptors_left_at_open)
{
    const char *folder = new_folder(true);
    rlim_t used = descriptors();
    int opened = 0, refused = 0;
    for (rlim_t left = 0; left < 14; left++) {
        scenario self;
        remove_store(folder);
        scenario_init(&self, folder, MLKV_JOURNAL, IO_ERRORS);
        limit(RLIMIT_NOFILE, used + left);
        int result = scenario_open(&self);
        refused += result != MLKV_OK;
        if (result == MLKV_OK) {
            opened++;
            scenario_write(&self);
            scenario_visit(&self);
            scenario_close(&self);
        }
        limit(RLIMIT_NOFILE, RLIM_INFINITY);
        scenario_prove(&self);
        ck_assert_uint_eq(descriptors(), used); /* none leaked */
    }
    ck_assert_int_gt(refused, 2);
    ck_assert_int_gt(opened, 2);
    harness_remove(folder);
}
END_TEST

START_TEST(no_descriptors_left_in_use)
{
    scenario self;
    const char *folder = new_folder(false);
    scenario_init(&self, folder, MLKV_SYNC, IO_ERRORS);
    OK(scenario_open(&self));
    limit(RLIMIT_NOFILE, descriptors());
    scenario_write(&self);
    scenario_look(&self, self.db);
    scenario_visit(&self);
    ck_assert_uint_eq(self.failed, 0); /* an open store needs no more */
    limit(RLIMIT_NOFILE, RLIM_INFINITY);
    scenario_prove_usable(&self);
    scenario_close(&self);
    scenario_prove(&self);
    harness_remove(folder);
}
END_TEST

/* Writes values until one is refused. Returns how many were acknowledged. */
static unsigned fill_up(mlkv *db, unsigned n, int *ret_result)
{
    static unsigned char value[20000];
    for (unsigned i = 0; i < n; i++) {
        memset(value, (int)(i * 31 + 1), sizeof value);
        for (size_t k = 0; k < sizeof value; k += 3)
            value[k] = (unsigned char)(k * 7 + i * (k >> 3)); /* so that it does not shrink */
        int result = mlkv_string_set(db, slice_of(&i, sizeof i), slice_of(value, sizeof value),
                                     MLKV_SET_ALWAYS);
        if (result == MLKV_OK)
            result = mlkv_flush(db, MLKV_STORE);
        if (result != MLKV_OK) {
            *ret_result = result;
            return i;
        }
    }
    *ret_result = MLKV_OK;
    return n;
}

static void check_filled(mlkv *db, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        mlkv_buffer value = {0};
        OK(mlkv_string_get(db, slice_of(&i, sizeof i), &value));
        ck_assert_uint_eq(value.size, 20000);
        ck_assert_int_eq(((unsigned char *)value.data)[1], (unsigned char)(i * 31 + 1));
        mlkv_buffer_free(&value);
    }
}

START_TEST(file_size_limit)
{
    scenario self;
    const char *folder = new_folder(false);
    int result;
    (void)signal(SIGXFSZ, SIG_IGN); /* what a program with such a limit has to do */
    scenario_init(&self, folder, MLKV_JOURNAL, IO_ERRORS);
    limit(RLIMIT_FSIZE, 32 << 10);
    result = scenario_open(&self); /* the ring alone has more */
    ck_assert_int_eq(result, MLKV_E_FULL);
    limit(RLIMIT_FSIZE, 1 << 20);
    OK(scenario_open(&self));
    unsigned written = fill_up(self.db, 1000, &result);
    ck_assert_int_eq(result, MLKV_E_FULL);
    ck_assert_uint_gt(written, 10);
    check_filled(self.db, written);
    limit(RLIMIT_FSIZE, RLIM_INFINITY);
    scenario_prove_usable(&self);
    check_filled(self.db, written);
    scenario_close(&self);
    OK(scenario_open(&self));
    check_filled(self.db, written);
    scenario_close(&self);
    scenario_prove(&self);
    harness_remove(folder);
}
END_TEST

/* Mounts a file system of this size there, in a mount namespace of its own. */
static bool mount_small(const char *folder, const char *size)
{
    if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
        return false;
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return false;
    return mount("tmpfs", folder, "tmpfs", 0, size) == 0;
}

START_TEST(file_system_full)
{
    scenario self;
    const char *folder = new_folder(false);
    int result;
    if (!mount_small(folder, "size=3m")) {
        printf("test_io_errors: a small file system cannot be mounted here: passed over\n");
        harness_remove(folder);
        return;
    }
    scenario_init(&self, folder, MLKV_JOURNAL, IO_ERRORS);
    self.options.ring_bytes = 4 << 20;
    ck_assert_int_eq(scenario_open(&self), MLKV_E_FULL); /* no room for its journal */
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "room"));
    self.options.ring_bytes = 64 << 10;
    OK(scenario_open(&self));
    unsigned written = fill_up(self.db, 1000, &result);
    ck_assert_int_eq(result, MLKV_E_FULL);
    ck_assert_uint_gt(written, 10);
    check_filled(self.db, written);
    ck_assert_int_eq(mount("tmpfs", folder, "tmpfs", MS_REMOUNT, "size=24m"), 0);
    scenario_prove_usable(&self);
    check_filled(self.db, written);
    scenario_close(&self);
    OK(scenario_open(&self));
    check_filled(self.db, written);
    scenario_close(&self);
    scenario_prove(&self);
    (void)umount(folder);
    harness_remove(folder);
}
END_TEST

static int entries_of(const char *folder)
{
    int count = 0;
    DIR *listing = opendir(folder);
    ck_assert_ptr_nonnull(listing);
    while (readdir(listing) != NULL)
        count++;
    ck_assert_int_eq(closedir(listing), 0);
    return count - 2;
}

/* A store in memory, when /dev/shm is full. */
START_TEST(memory_full)
{
    mlkv *db = NULL;
    mlkv_buffer value = {0};
    int result;
    if (access("/dev/shm", W_OK) != 0 || !mount_small("/dev/shm", "size=100k")) {
        printf("test_io_errors: a small /dev/shm cannot be mounted here: passed over\n");
        return;
    }
    mlkv_options options = {.size = sizeof options, .ring_bytes = 64 << 10, .cache_bytes = 1 << 20};
    MUST(MLKV_E_FULL, mlkv_open(NULL, &options, &db)); /* no room for ring and log */
    ck_assert_int_eq(entries_of("/dev/shm"), 0);       /* and nothing is left of it */
    ck_assert_int_eq(mount("tmpfs", "/dev/shm", "tmpfs", MS_REMOUNT, "size=3m"), 0);
    OK(mlkv_open(NULL, &options, &db));
    unsigned written = fill_up(db, 1000, &result);
    ck_assert_int_eq(result, MLKV_E_FULL);
    ck_assert_uint_gt(written, 10);
    check_filled(db, written);
    ck_assert_int_eq(mount("tmpfs", "/dev/shm", "tmpfs", MS_REMOUNT, "size=24m"), 0);
    OK(mlkv_string_set(db, TEXT("more"), TEXT("room"), MLKV_SET_ALWAYS));
    OK(mlkv_flush(db, MLKV_STORE));
    OK(mlkv_string_get(db, TEXT("more"), &value));
    check_filled(db, written);
    mlkv_buffer_free(&value);
    OK(mlkv_close(db));
    ck_assert_int_eq(entries_of("/dev/shm"), 0);
    (void)umount("/dev/shm");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("io_errors");
    TCase *tcase = harness_case(suite, "io_errors");
    tcase_add_test(tcase, disk_full);
    tcase_add_test(tcase, quota_reached);
    tcase_add_test(tcase, disk_broken);
    tcase_add_test(tcase, maps_refused);
    tcase_add_test(tcase, descriptors_refused);
    tcase_add_test(tcase, interrupted);
    tcase_add_test(tcase, short_writes);
    tcase_add_test(tcase, backups_that_fail);
    tcase_add_test(tcase, no_descriptors_left_at_open);
    tcase_add_test(tcase, no_descriptors_left_in_use);
    tcase_add_test(tcase, file_size_limit);
    tcase_add_test(tcase, file_system_full);
    tcase_add_test(tcase, memory_full);
    return harness_run(suite);
}
