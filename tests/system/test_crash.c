/* test_crash.c - kill -9 at every step of the write path, the applier, recovery and closing, and at
 * random moments.
 *
 * A victim runs the steps of steps.h and says each that returned. It dies at a chosen passing of a
 * chosen fault point, or is killed at a random moment. In half of the rounds another process (this
 * one) has the store open the whole time, so that a living process takes over; in the other half
 * the next opener recovers. After each round: what was said is there, nothing half-done is, verify
 * is clean, and the lock is free. The run fails unless every fault point was passed and every one
 * killed somebody. MLKV_TORTURE_ROUNDS: how many rounds (default 200).
 */
#include "processes.h"
#include "steps.h"

#include "base/fault.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/vfs.h>

enum { STEPS_PER_ROUND = 45, RANDOM_EVERY = 6, CLEANER_PAUSE_US = 20000 };

typedef struct {
    char folder[600], counters[640];
    uint64_t *memory;
    uint64_t steps; /* that the store is known to hold */
    bool killed[FAULT_COUNT];
    unsigned seed;
    uint64_t killed_at_random;
} torture;

static bool on_tmpfs(const char *path)
{
    struct statfs status;
    return statfs(path, &status) == 0 && (unsigned long)status.f_type == TMPFS_MAGIC;
}

static void torture_begin(torture *t, const char *folder)
{
    size_t size = (FAULT_COUNT + 1) * sizeof(uint64_t);
    const char *seed = getenv("MLKV_TORTURE_SEED");
    *t = (torture){.seed = seed != NULL ? (unsigned)strtoul(seed, NULL, 10) : 20261121};
    snprintf(t->folder, sizeof t->folder, "%s/store", folder);
    snprintf(t->counters, sizeof t->counters, "%s/counters", folder);
    int file = open(t->counters, O_RDWR | O_CREAT, 0600);
    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(ftruncate(file, (off_t)size), 0);
    t->memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    ck_assert_ptr_ne(t->memory, MAP_FAILED);
    (void)close(file);
}

/* The store holds exactly what was said, or one step more, whole. */
static void check_store(torture *t, mlkv *db, uint64_t said, const char *what)
{
    uint64_t held;
    mlkv *tx = NULL;
    mlkv_report report = {.size = sizeof report};
    OK(mlkv_begin(db, &tx)); /* the lock is to be had; and a step whose fate was open (in LMDB, not
                                announced) is decided from here on */
    OK(mlkv_abort(tx));
    OK(steps_count(db, &held));
    ck_assert_msg(held == said || held == said + 1 || (said == t->steps && held == said + 2),
                  "%s: %llu steps returned, the store holds %llu", what, (unsigned long long)said,
                  (unsigned long long)held);
    ck_assert_msg(steps_check(db, held) == 0, "%s: the store is not what %llu steps leave", what,
                  (unsigned long long)held);
    int result = mlkv_verify(db, NULL, NULL, &report);
    ck_assert_msg(result == MLKV_OK, "%s: verify: %s", what, mlkv_error_detail());
    t->steps = held;
}

typedef struct {
    int point, durability;
    uint64_t pass;
    bool at_random, attended;
} plan;

/* One victim; returns how many steps are known to have returned. */
static uint64_t run_victim(torture *t, const plan *p)
{
    char numbers[5][24];
    uint64_t said = t->steps, number, heard = 0;
    uint64_t kill_after = (uint64_t)rand_r(&t->seed) % STEPS_PER_ROUND;
    snprintf(numbers[0], sizeof numbers[0], "%d", p->durability);
    snprintf(numbers[1], sizeof numbers[1], "%d", p->at_random ? -1 : p->point);
    snprintf(numbers[2], sizeof numbers[2], "%llu", (unsigned long long)p->pass);
    snprintf(numbers[3], sizeof numbers[3], "%d", STEPS_PER_ROUND);
    snprintf(numbers[4], sizeof numbers[4], "%d",
             p->point == FAULT_CLEAN_WASTE ? CLEANER_PAUSE_US : 0);
    const char *arguments[] = {"steps",    t->folder,  numbers[0], t->counters, numbers[1],
                               numbers[2], numbers[3], numbers[4], NULL};
    process victim = process_start(arguments);
    while (process_hear(&victim, &number)) {
        ck_assert_msg(number == said + 1 || (heard == 0 && number == said + 2),
                      "step %llu returned after step %llu", (unsigned long long)number,
                      (unsigned long long)said);
        said = number;
        if (p->at_random && heard == kill_after) {
            (void)usleep((useconds_t)(rand_r(&t->seed) % 3000));
            (void)kill(victim.pid, SIGKILL);
        }
        heard++;
    }
    int status = process_end(&victim);
    bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    ck_assert_msg(killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0),
                  "the victim of %s ended with status %x", fault_name((fault_point)p->point),
                  (unsigned)status);
    if (killed && !p->at_random)
        t->killed[p->point] = true;
    t->killed_at_random += killed && p->at_random;
    return said;
}

static plan make_plan(torture *t, int round)
{
    int lap = round / FAULT_COUNT;
    plan p = {.point = round % FAULT_COUNT, .durability = 1 + (round + lap) % 3, .pass = 1};
    bool once = p.point >= FAULT_RECOVER_BEGUN; /* passed once per opening or closing */
    if (!once && lap != 0)
        p.pass += (uint64_t)rand_r(&t->seed) % 12;
    p.attended = lap % 2 == 1 && !once;
    p.at_random = lap != 0 && round % RANDOM_EVERY == RANDOM_EVERY - 1;
    if (p.point >= FAULT_SYNC_LOCKED && p.point <= FAULT_SYNC_RAISED)
        p.durability = MLKV_SYNC;
    return p;
}

static void one_round(torture *t, int round)
{
    plan p = make_plan(t, round);
    char what[160];
    snprintf(what, sizeof what, "round %d (%s, passing %llu, durability %d%s%s)", round,
             fault_name((fault_point)p.point), (unsigned long long)p.pass, p.durability,
             p.attended ? ", attended" : "", p.at_random ? ", killed at random" : "");
    mlkv_options options = steps_options(MLKV_JOURNAL);
    mlkv *db = NULL;
    if (p.point >= FAULT_RECOVER_BEGUN &&
        p.point <= FAULT_RECOVER_DONE) { /* recovery needs somebody who died before */
        plan earlier = {.point = FAULT_APPEND_VISIBLE,
                        .durability = p.durability,
                        .pass = 10 + (uint64_t)round % 20};
        t->steps = run_victim(t, &earlier);
    }
    if (p.attended)
        OK(mlkv_open(t->folder, &options, &db));
    uint64_t said = run_victim(t, &p);
    if (!p.attended)
        OK(mlkv_open(t->folder, &options, &db));
    check_store(t, db, said, what);
    OK(mlkv_close(db));
}

START_TEST(kill_at_every_point)
{
    torture t;
    const char *folder = harness_folder();
    torture_begin(&t, folder);
    const char *asked = getenv("MLKV_TORTURE_ROUNDS");
    int rounds = asked != NULL ? atoi(asked) : 200;
    for (int round = 0; round < rounds; round++)
        one_round(&t, round);
    bool tmpfs = on_tmpfs(folder);
    for (int point = 0; point < FAULT_COUNT && rounds >= 2 * FAULT_COUNT; point++) {
        if (tmpfs && point >= FAULT_SYNC_LOCKED && point <= FAULT_SYNC_RAISED)
            continue; /* sync means store there */
        ck_assert_msg(t.memory[point] != 0, "fault point %s was never passed",
                      fault_name((fault_point)point));
        ck_assert_msg(t.killed[point], "fault point %s never killed anybody",
                      fault_name((fault_point)point));
    }
    ck_assert_msg(rounds < 2 * FAULT_COUNT || t.killed_at_random != 0,
                  "nobody was killed at a random moment");
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("crash");
    TCase *tcase = harness_case(suite, "crash");
    tcase_set_timeout(tcase, 3000);
    tcase_add_test(tcase, kill_at_every_point);
    return harness_run(suite);
}
