/* test_crash.c - kill -9 at every step of the write path, the applier, recovery and closing, and at
 * random moments.
 *
 * A victim runs the steps of steps.h and says each that returned. It dies at a chosen passing of a
 * chosen fault point, or is killed at a random moment. In half of the rounds another process (this
 * one) has the store open the whole time, so that a living process takes over; in the other half
 * the next opener recovers. After each round: what was said is there, nothing half-done is, verify
 * is clean, and the lock is free. In some rounds the victim also makes a backup, which then is whole
 * or no store. What was said is written down by this process, through a pipe: it outlives the victim.
 *
 * Now and then it is looked whether the dead left something behind: slots in LMDB's table of readers
 * are given back by the next opener; once the cleaner has rested there is nothing to clean; and what
 * the folder takes on the disk does not grow, although the steps write the same keys all the time.
 *
 * The run fails unless every fault point was passed and every one killed somebody.
 * MLKV_TORTURE_ROUNDS: how many rounds (default 200).
 */
#include "processes.h"
#include "steps.h"

#include "base/fault.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/vfs.h>

enum {
    STEPS_PER_ROUND = 45,
    RANDOM_EVERY = 6,
    CLEANER_PAUSE_US = 20000,
    BACKUP_EVERY = 5,
    LEAKS_EVERY = 16,
    READERS_MAX = 8, /* of one process that has just opened the store */
    DISK_BYTES_MAX =
        4 << 20, /* some 200 KiB live, blobs that wait for the cleaner, batches of 1 MiB,
                                 ring and log */
};

typedef struct {
    char folder[600], counters[640], backup[640];
    uint64_t *memory;
    uint64_t steps; /* that the store is known to hold */
    bool killed[FAULT_COUNT];
    unsigned seed;
    uint64_t killed_at_random, backups_whole, backups_none, disk_bytes_max;
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
    snprintf(t->backup, sizeof t->backup, "%s/backup", folder);
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

/* What the store's folder takes on the disk. */
static uint64_t disk_bytes(const char *folder)
{
    uint64_t bytes = 0;
    char path[1200];
    struct dirent *entry;
    DIR *listing = opendir(folder);
    ck_assert_ptr_nonnull(listing);
    while ((entry = readdir(listing)) != NULL) {
        struct stat status;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (lstat(path, &status) == 0 && S_ISREG(status.st_mode))
            bytes += (uint64_t)status.st_blocks * 512;
    }
    ck_assert_int_eq(closedir(listing), 0);
    return bytes;
}

/* Nobody but this process lives: nothing of the dead is left, once the cleaner has had its time. */
static void check_leaks(torture *t, const char *what)
{
    enum { TRIES = 600, TRY_US = 50000 };
    mlkv_options options = steps_options(MLKV_JOURNAL);
    mlkv *db = NULL;
    mlkv_stats stats = {.size = sizeof stats};
    mlkv_report report = {.size = sizeof report, .unclaimed = 1};
    OK(mlkv_open(t->folder, &options, &db));
    OK(mlkv_stats_get(db, &stats));
    ck_assert_msg(stats.readers <= READERS_MAX, "%s: %llu slots for readers are taken", what,
                  (unsigned long long)stats.readers);
    for (int i = 0; i < TRIES && report.unclaimed != 0; i++) {
        if (i != 0)
            (void)usleep(TRY_US);
        OK(mlkv_verify(db, NULL, NULL, &report));
    }
    ck_assert_msg(report.unclaimed == 0, "%s: %llu records are left to nobody", what,
                  (unsigned long long)report.unclaimed);
    OK(mlkv_close(db));
    uint64_t bytes = disk_bytes(t->folder);
    t->disk_bytes_max = bytes > t->disk_bytes_max ? bytes : t->disk_bytes_max;
    ck_assert_msg(bytes <= DISK_BYTES_MAX, "%s: the folder takes %llu bytes", what,
                  (unsigned long long)bytes);
}

/* What a victim that was making a backup left: no store, or one that is whole. */
static void check_backup(torture *t, const char *what)
{
    mlkv_options options = steps_options(MLKV_JOURNAL);
    mlkv_report report = {.size = sizeof report};
    char path[700];
    mlkv *db = NULL;
    uint64_t held;
    snprintf(path, sizeof path, "%s/data.mdb", t->backup);
    if (access(path, F_OK) != 0) {
        options.flags = MLKV_NO_CREATE;
        MUST(MLKV_E_ABSENT_STORE, mlkv_open(t->backup, &options, &db));
        t->backups_none++;
    } else {
        OK(mlkv_open(t->backup, &options, &db));
        OK(steps_count(db, &held));
        ck_assert_msg(held <= t->steps && steps_check(db, held) == 0,
                      "%s: the backup is not what %llu steps leave", what,
                      (unsigned long long)held);
        int result = mlkv_verify(db, NULL, NULL, &report);
        ck_assert_msg(result == MLKV_OK, "%s: verify of the backup: %s", what, mlkv_error_detail());
        OK(mlkv_close(db));
        t->backups_whole++;
    }
    if (access(t->backup, F_OK) == 0)
        harness_remove(t->backup);
}

typedef struct {
    int point, durability;
    uint64_t pass;
    bool at_random, attended, backs_up;
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
    const char *arguments[] = {"steps",     t->folder,  numbers[0],
                               t->counters, numbers[1], numbers[2],
                               numbers[3],  numbers[4], p->backs_up ? t->backup : "-",
                               NULL};
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
    bool others = p.point == FAULT_CLOSE_OTHERS || p.point == FAULT_CLOSE_RESIGNED;
    bool backup = (p.point >= FAULT_BACKUP_COPIED && p.point <= FAULT_BACKUP_NAMED) ||
                  p.point == FAULT_COMPACT_LOCKED || p.point == FAULT_COMPACT_PUNCHED;
    p.attended = others || (lap % 2 == 1 && !once);
    p.backs_up = backup || round % BACKUP_EVERY == 0;
    if (backup)
        p.pass = 1;
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
    if (p.backs_up)
        check_backup(t, what);
    if (round % LEAKS_EVERY == LEAKS_EVERY - 1)
        check_leaks(t, what);
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
    ck_assert_msg(rounds < 2 * FAULT_COUNT || (t.backups_whole != 0 && t.backups_none != 0),
                  "%llu backups were whole, %llu were none", (unsigned long long)t.backups_whole,
                  (unsigned long long)t.backups_none);
    printf("%d rounds, %llu steps, at most %llu bytes on the disk\n", rounds,
           (unsigned long long)t.steps, (unsigned long long)t.disk_bytes_max);
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
