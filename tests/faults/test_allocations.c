/* test_allocations.c - every allocation of a store's life fails once.
 *
 * The way of SQLite's tests: the scenario runs with its first allocation failing, then with its
 * second, and so on until it passes without a failure. The main thread's allocations are counted
 * by themselves, which makes the rounds repeatable and the expectation sharp: exactly the call
 * whose allocation failed says MLKV_E_MEMORY, has changed nothing, and the next one works. Then the
 * same with all threads and with memory that stays away for a while: several calls fail then, but
 * nothing that was acknowledged is lost, and the same handle works once memory is back.
 *
 * To bound the time, behind the first rounds only some allocations fail, others in each run of the
 * test; MLKV_LONG=1 tries all. Not built under sanitizers: they bring their own malloc.
 */
#include "harness.h"
#include "inject.h"
#include "scenario.h"

#include <errno.h>
#include <string.h>

enum { ALL_FIRST = 500, STRIDE = 13, WARM_UPS = 3 };

/* In memory: these rounds are about memory, and each makes files and syncs them. */
static const char *quick_folder(void)
{
    if (getenv("MLKV_TEST_FOLDER") == NULL && access("/dev/shm", W_OK) == 0)
        ck_assert_int_eq(setenv("MLKV_TEST_FOLDER", "/dev/shm", 1), 0);
    return harness_folder();
}

static bool is_long(void)
{
    const char *text = getenv("MLKV_LONG");
    return text != NULL && strcmp(text, "1") == 0;
}

static uint64_t stride(uint64_t nth)
{
    return is_long() || nth < ALL_FIRST ? 1 : STRIDE;
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

/* Two openings, everything in between, under the plan. Returns whether it struck. */
static bool live(scenario *self, const inject_plan *plan)
{
    inject_arm(plan);
    if (scenario_open(self) == MLKV_OK) {
        scenario_write(self);
        scenario_look(self, self->db);
        scenario_visit(self);
        scenario_close(self);
    }
    if (scenario_open(self) == MLKV_OK) {
        scenario_look(self, self->db);
        scenario_close(self);
    }
    (void)inject_disarm();
    return inject_hits() != 0;
}

/* One failure in the main thread. */
static bool round_once(const char *folder, mlkv_durability durability, uint64_t nth)
{
    scenario self;
    inject_plan plan = {INJECT_ALLOCATION, nth, 1, ENOMEM, true};
    remove_store(folder);
    scenario_init(&self, folder, durability,
                  ALLOW(MLKV_E_MEMORY) |
                      (durability != MLKV_JOURNAL ? ALLOW(MLKV_E_DURABILITY) : 0));
    inject_caption("test_allocations: allocation %llu of the main thread, durability %d",
                   (unsigned long long)nth, (int)durability);
    bool struck = live(&self, &plan);
    ck_assert_msg(self.failed <= 1 || !struck, "allocation %llu: %u calls failed, the last: %s",
                  (unsigned long long)nth, self.failed, self.last_detail);
    scenario_prove(&self);
    return struck;
}

/* Rounds until none fails. Returns how many allocations there are. */
static uint64_t rounds(const char *folder, mlkv_durability durability, uint64_t step)
{
    int64_t alive = 0;
    for (int i = 0; i < WARM_UPS; i++) { /* what threads keep for ever is there then */
        ck_assert(!round_once(folder, durability, 0));
        alive = inject_alive();
    }
    uint64_t nth = 1;
    for (; round_once(folder, durability, nth); nth += step == 0 ? stride(nth) : step) {
        int64_t now = inject_alive();
        ck_assert_msg(now <= alive, "allocation %llu failed and %lld others leaked",
                      (unsigned long long)nth, (long long)(now - alive));
    }
    return nth;
}

START_TEST(each_allocation_fails_once)
{
    const char *folder = quick_folder();
    uint64_t n = rounds(folder, MLKV_JOURNAL, 0);
    ck_assert_uint_gt(n, 200); /* or the interposer does not work */
    harness_remove(folder);
}
END_TEST

START_TEST(each_allocation_fails_once_written_through)
{
    const char *folder = quick_folder();
    rounds(folder, MLKV_STORE, is_long() ? 1 : STRIDE + 4);
    harness_remove(folder);
}
END_TEST

/* Memory is away for `times` allocations of all threads, then back. */
static bool round_all_threads(const char *folder, uint64_t nth, uint64_t times)
{
    scenario self;
    inject_plan plan = {INJECT_ALLOCATION, nth, times, ENOMEM, false};
    remove_store(folder);
    scenario_init(&self, folder, MLKV_JOURNAL, ALLOW(MLKV_E_MEMORY));
    inject_caption("test_allocations: allocations %llu to %llu of all threads",
                   (unsigned long long)nth, (unsigned long long)(nth + times));
    bool struck = live(&self, &plan);
    scenario_prove(&self);
    return struck;
}

START_TEST(some_allocations_fail_in_all_threads)
{
    const char *folder = quick_folder();
    for (uint64_t nth = 1, more = 1; more; nth += is_long() ? 1 : STRIDE + 10)
        more = round_all_threads(folder, nth, 3);
    for (uint64_t nth = 5, more = 1; more; nth += is_long() ? 7 : 10 * STRIDE + 1)
        more = round_all_threads(folder, nth, 40);
    harness_remove(folder);
}
END_TEST

/* Memory goes for good somewhere between the steps, and comes back before the store is closed. */
START_TEST(memory_comes_back_for_the_same_handle)
{
    const char *folder = quick_folder();
    for (uint64_t nth = 1, more = 1; more; nth += is_long() ? 1 : 2 * STRIDE) {
        scenario self;
        inject_plan plan = {INJECT_ALLOCATION, nth, UINT64_MAX, ENOMEM, false};
        remove_store(folder);
        scenario_init(&self, folder, MLKV_JOURNAL, ALLOW(MLKV_E_MEMORY));
        OK(scenario_open(&self));
        inject_caption("test_allocations: all allocations from %llu on", (unsigned long long)nth);
        inject_arm(&plan);
        scenario_write(&self);
        scenario_look(&self, self.db);
        scenario_visit(&self);
        (void)inject_disarm();
        more = inject_hits() != 0;
        scenario_look(&self, self.db);
        scenario_prove_usable(&self);
        scenario_close(&self);
        scenario_prove(&self);
    }
    harness_remove(folder);
}
END_TEST

/* A backup's allocations; the original is open all the time, and nothing happens to it. */
START_TEST(each_allocation_of_a_backup_fails_once)
{
    const char *folder = quick_folder();
    char store[600], copy[600];
    scenario self;
    uint64_t failed = 0;
    snprintf(store, sizeof store, "%s/store", folder);
    snprintf(copy, sizeof copy, "%s/copy", folder);
    scenario_init(&self, store, MLKV_JOURNAL, ALLOW(MLKV_E_MEMORY));
    OK(scenario_open(&self));
    scenario_write(&self);
    OK(mlkv_flush(self.db, MLKV_STORE));
    for (uint64_t nth = 1, struck = 1; struck; nth++) {
        inject_plan plan = {INJECT_ALLOCATION, nth, 1, ENOMEM, false};
        inject_caption("test_allocations: allocation %llu of a backup", (unsigned long long)nth);
        inject_arm(&plan);
        failed += scenario_backup(&self, copy) != MLKV_OK;
        struck = inject_hits() != 0;
        if (access(copy, F_OK) == 0)
            harness_remove(copy);
    }
    ck_assert_uint_gt(failed, 5); /* or nothing was tried */
    scenario_look(&self, self.db);
    scenario_close(&self);
    scenario_prove(&self);
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("allocations");
    TCase *tcase = harness_case(suite, "allocations");
    tcase_add_test(tcase, each_allocation_fails_once);
    tcase_add_test(tcase, each_allocation_fails_once_written_through);
    tcase_add_test(tcase, some_allocations_fail_in_all_threads);
    tcase_add_test(tcase, memory_comes_back_for_the_same_handle);
    tcase_add_test(tcase, each_allocation_of_a_backup_fails_once);
    return harness_run(suite);
}
