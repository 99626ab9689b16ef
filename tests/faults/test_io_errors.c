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
 *     itself does not go on.
 *
 * Descriptors that run out, a file-size limit and a full file system are the real thing, in a child
 * process; the full one needs the right to mount, and is passed over without it. Calls of all
 * threads count, so rounds are not the same in each run: which background call is hit may differ,
 * what must hold does not. To bound the time a part of the calls is tried, all with MLKV_LONG=1.
 */
#include "harness.h"
#include "inject.h"
#include "scenario.h"

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
                ALLOW(MLKV_E_MEMORY) | ALLOW(MLKV_E_PERMISSION),
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
    static const char *const names[] = {
        "data.mdb",         "lock.mdb",         "journal.head",    "journal.ring", "journal.log",
        "journal.head.tmp", "journal.ring.tmp", "journal.log.tmp", "journal.lock"};
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
        ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "failed"));
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
    if (getenv("DBG")) fprintf(stderr, "DBG kinds %#x errno %d times %d nth %d: failed %u %s\n", plan->kinds, plan->error, (int)plan->times, (int)plan->nth, self.failed, self.last_detail);
    if (allowed == 0)
        ck_assert_uint_eq(self.failed, 0);
    scenario_prove(&self);
    return struck;
}

/* Rounds over the calls of these kinds until none is left. Returns how many there were. */
static uint64_t rounds(unsigned kinds, int error, uint64_t times, unsigned allowed,
                       mlkv_durability durability, uint64_t stride)
{
    const char *folder = harness_folder();
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
    rounds(WRITES, ENOSPC, 1, IO_ERRORS, MLKV_JOURNAL, 7);
    rounds(WRITES, ENOSPC, UINT64_MAX, IO_ERRORS, MLKV_SYNC, 7);
    rounds(WRITES, ENOSPC, UINT64_MAX, IO_ERRORS, MLKV_STORE, 11);
    rounds(INJECT_OPEN | INJECT_NAME, ENOSPC, 1, IO_ERRORS, MLKV_JOURNAL, 2);
}
END_TEST

START_TEST(quota_reached)
{
    rounds(WRITES, EDQUOT, UINT64_MAX, IO_ERRORS, MLKV_JOURNAL, 11);
}
END_TEST

START_TEST(disk_broken)
{
    rounds(EVERYTHING, EIO, 1, IO_ERRORS, MLKV_JOURNAL, 7);
    rounds(EVERYTHING, EIO, UINT64_MAX, IO_ERRORS, MLKV_SYNC, 11);
    rounds(INJECT_SYNC, EIO, 1, IO_ERRORS, MLKV_STORE, 3);
    rounds(INJECT_READ, EIO, 1, IO_ERRORS, MLKV_JOURNAL, 2);
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
    rounds(INJECT_OPEN, ENFILE, UINT64_MAX, IO_ERRORS, MLKV_JOURNAL, 3);
    rounds(INJECT_OPEN, EACCES, 1, IO_ERRORS, MLKV_JOURNAL, 3);
}
END_TEST

/* Interrupted calls are called again. */
START_TEST(interrupted)
{
    rounds(INJECT_OPEN | INJECT_WRITE | INJECT_SIZE | INJECT_READ | INJECT_SYNC, EINTR, 1,
           IO_ERRORS, MLKV_SYNC, 5);
}
END_TEST

/* A write that comes out short goes on behind it; LMDB alone takes it for an EIO. */
START_TEST(short_writes)
{
    rounds(INJECT_WRITE, 0, 1, IO_ERRORS, MLKV_SYNC, 3);
    rounds(INJECT_WRITE, 0, 5, IO_ERRORS, MLKV_STORE, 9);
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
    return harness_run(suite);
}
