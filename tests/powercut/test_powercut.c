/* test_powercut.c - the power goes at any moment, and the disk keeps what it may: the store opens,
 * and holds what was promised.
 *
 * A run is a folder on a real disk in which the workload works, is killed at fault points, is taken
 * over or recovers, under the recorder (recorder.c). From its recording disks are made that a power
 * cut at some event may leave (history.c), in memory, and each is opened: it opens; the store is
 * exactly what some n steps leave; n is at least what was marked durable before the cut and at most
 * the last step begun (so `journal` writes are lost from the end only); verify finds nothing; now
 * and then it also takes the next step. The next run begins with such a disk, so that recovery
 * itself, and what follows it, lose their power too. The second test does the same with a disk
 * whose syncs do nothing and must see it fail.
 *
 *   MLKV_POWERCUT_STATES   how many disks (default 10000; under sanitizers 500)
 *   MLKV_POWERCUT_SEED     which (default: always the same; tests/torture.sh takes new ones)
 *   MLKV_POWERCUT_LOG      a recording that a failed test kept: its disks instead of new ones ...
 *   MLKV_POWERCUT_STATE    ... or this one of them only, with the seed of that run
 *   MLKV_POWERCUT_RUN      the run that the kept recording was of (default 0)
 *   MLKV_POWERCUT_MEMORY   where disks are made (default /dev/shm if that can be written)
 */
#include "harness.h"

#include "base/fault.h"
#include "history.h"
#include "powercut/recording.h"
#include "system/steps.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    STATES_DEFAULT = 500,
#else
    STATES_DEFAULT = 10000,
#endif
    SEED_DEFAULT = 20261121,
    STATES_PER_RUN = 500,
    RUNS_MIN = 3,
    WORKERS = 2,
    SEGMENTS = 6, /* processes one after the other, within a run */
    SEGMENT_STEPS_MAX = 45,
    NEXT_STEP_EVERY = 4,
    COMPLAINTS_MAX = 5, /* of one worker */
    CREATION_EVENTS = 36,
    NEAR_EVENTS = 60,
    FAR_EVENTS = 400, /* past the sampling of all the ring that an opening begins with */
};

/* What kinds of disks there were: a proof over disks that all hold everything would say little. */
typedef struct {
    uint64_t looked_at, kept_more, lost;
} tally;

typedef struct {
    char folder[520], log[520], memory[520];
    uint64_t seed;
    uint64_t states;
    uint64_t held;  /* how many steps the folder holds when a run begins: they stay */
    uint64_t begun; /* recovery that loses its power, too, may find up to so many the next time */
    uint32_t run;
    tally *counts; /* shared with the workers, one for each */
} proof;

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *value = getenv(name);
    return value != NULL && *value != '\0' ? strtoull(value, NULL, 10) : otherwise;
}

/* A folder of files only, and none left in it. */
static void make_empty(const char *folder)
{
    (void)mkdir(folder, 0700);
    DIR *all = opendir(folder);
    ck_assert_ptr_nonnull(all);
    for (struct dirent *entry = readdir(all); entry != NULL; entry = readdir(all))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            ck_assert_int_eq(unlinkat(dirfd(all), entry->d_name, 0), 0);
    (void)closedir(all);
}

/* --- the workload --- */

static pid_t start(const char *const *arguments, int *to, int *from)
{
    const char *program = getenv("MLKV_POWERCUT_WORKLOAD");
    int in[2], out[2];
    char *argv[12] = {(char *)(uintptr_t)program};
    ck_assert_msg(program != NULL,
                  "MLKV_POWERCUT_WORKLOAD is not set: run the tests through meson");
    for (int i = 0; arguments[i] != NULL; i++)
        argv[i + 1] = (char *)(uintptr_t)arguments[i];
    ck_assert_int_eq(pipe2(in, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
    pid_t pid = harness_fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        (void)dup2(in[0], STDIN_FILENO);
        (void)dup2(out[1], STDOUT_FILENO);
        (void)execv(program, argv);
        _exit(127);
    }
    (void)close(in[0]);
    (void)close(out[1]);
    *to = in[1];
    *from = out[0];
    return pid;
}

static int end(pid_t pid, int to, int from)
{
    int status;
    (void)close(to);
    while (waitpid(pid, &status, 0) != pid)
        ck_assert_int_eq(errno, EINTR);
    (void)close(from);
    return status;
}

/* Passed once in each opening or closing that is alone. */
static bool is_rare(int point)
{
    return point >= FAULT_RECOVER_BEGUN && point < FAULT_COUNT;
}

static void settle(const proof *p, pid_t pid)
{
    recording *log = recording_open(p->log);
    ck_assert_ptr_nonnull(log);
    recording_settle(log, p->folder, (uint32_t)pid);
    recording_close(log);
}

/* One process that works; killed at some point, if `point` is one. */
static void run_segment(const proof *p, uint64_t *random, int point, bool alone)
{
    char numbers[4][24];
    int to, from;
    snprintf(numbers[0], sizeof numbers[0], "%u", (unsigned)history_random(random));
    snprintf(numbers[1], sizeof numbers[1], "%u",
             5 + (unsigned)(history_random(random) % SEGMENT_STEPS_MAX));
    snprintf(numbers[2], sizeof numbers[2], "%d", point);
    snprintf(numbers[3], sizeof numbers[3], "%u",
             is_rare(point)
                 ? 1
                 : 1 + (unsigned)(history_random(random) % (point < FAULT_COUNT ? 30 : 12)));
    const char *arguments[] = {"run",      p->folder,         p->log,
                               numbers[0], numbers[1],        numbers[2],
                               numbers[3], alone ? "1" : "0", NULL};
    pid_t pid = start(arguments, &to, &from);
    int status = end(pid, to, from);
    bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    if (killed)
        settle(p, pid);
    ck_assert_msg((killed && point >= 0) || (WIFEXITED(status) && WEXITSTATUS(status) == 0),
                  "the workload ended with status %x", (unsigned)status);
}

static void run_attended(const proof *p, uint64_t *random, int point)
{
    int to, from;
    char byte;
    const char *arguments[] = {"attend", p->folder, p->log, NULL};
    pid_t pid = start(arguments, &to, &from);
    ck_assert_int_eq((int)read(from, &byte, 1), 1);
    run_segment(p, random, point, false);
    run_segment(p, random, -1, false);
    int status = end(pid, to, from);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0,
                  "the attendant ended with status %x", (unsigned)status);
}

/* Works in the folder as it is and records it. */
static void record_run(const proof *p, uint64_t *random)
{
    recording *log = recording_create(p->log);
    ck_assert_ptr_nonnull(log);
    (void)recording_add(log, (event){.kind = EVENT_BEGUN, .number = p->begun}, NULL);
    (void)recording_add(log, (event){.kind = EVENT_DURABLE, .number = p->held}, NULL);
    ck_assert_uint_ne(recording_take_folder(log, p->folder), 0);
    recording_close(log);
    for (int i = 0; i < SEGMENTS; i++) {
        uint64_t chance = history_random(random) % 8;
        int point = (int)(history_random(random) % FAULT_COUNT);
        if (chance % 4 == 0)
            point = FAULT_COUNT + point % 2; /* in a write, of any kind or of LMDB's meta page */
        if (chance == 5)
            point = FAULT_APPEND_WRITTEN; /* a frame that nobody saw, and somebody else writes over
                                             it */
        if (i == 0 || i == SEGMENTS - 1 || chance == 1)
            run_segment(p, random, -1, true);
        else if (chance < 4 || is_rare(point))
            run_segment(p, random, point, true);
        else
            run_attended(p, random, point);
    }
}

/* --- looking at one disk --- */

static int tell(void *context, const char *problem)
{
    (void)context;
    fprintf(stderr, "  verify: %s\n", problem);
    return 0;
}

static uint64_t read_starts(mlkv *db)
{
    mlkv_buffer value = {0};
    char number[24] = "";
    if (mlkv_string_get(db, TEXT("starts"), &value) == MLKV_OK && value.size < sizeof number)
        memcpy(number, value.data, value.size);
    mlkv_buffer_free(&value);
    return strtoull(number, NULL, 10);
}

/* 0, or -1 with what is wrong on stderr. */
static int check_view(mlkv *db, const promises *made, bool goes_on, uint64_t *ret_held)
{
    uint64_t held = 0, starts = read_starts(db);
    mlkv_report report = {.size = sizeof report};
    if (steps_count(db, &held) != MLKV_OK || held < made->durable || held > made->begun ||
        starts < made->started) {
        fprintf(stderr,
                "  it holds %llu steps; %llu were durable, %llu had begun; it counts %llu starts "
                "of %llu (%s)\n",
                (unsigned long long)held, (unsigned long long)made->durable,
                (unsigned long long)made->begun, (unsigned long long)starts,
                (unsigned long long)made->started, mlkv_error_detail());
        return -1;
    }
    *ret_held = held;
    if (steps_check(db, held) != 0 || mlkv_verify(db, tell, NULL, &report) != MLKV_OK)
        return -1;
    if (!goes_on)
        return 0;
    int result = steps_run(db, held + 1);
    if (result != MLKV_OK)
        fprintf(stderr, "  step %llu: %d (%s)\n", (unsigned long long)held + 1, result,
                mlkv_error_detail());
    return result == MLKV_OK ? steps_check(db, held + 1) : -1;
}

static int check_disk(const char *folder, const promises *made, bool goes_on, uint64_t *ret_held)
{
    mlkv *db = NULL;
    mlkv_options options = steps_options(MLKV_JOURNAL);
    int result = mlkv_open(folder, &options, &db);
    if (result != MLKV_OK) {
        fprintf(stderr, "  it does not open: %d (%s)\n", result, mlkv_error_detail());
        return -1;
    }
    int state = check_view(db, made, goes_on, ret_held);
    result = mlkv_close(db);
    if (result != MLKV_OK)
        fprintf(stderr, "  it does not close: %d (%s)\n", result, mlkv_error_detail());
    return result == MLKV_OK ? state : -1;
}

/* Anywhere; a good part of them where a store is made, and where the least is certain, both of
 * which take few events. */
static power_cut make_cut(const proof *p, const history *from, uint64_t state)
{
    uint64_t random = p->seed * 0x9e3779b97f4a7c15u + ((uint64_t)p->run << 40) + state;
    uint32_t first = history_start(from), range = history_end(from) - first + 1;
    uint32_t at = first + (uint32_t)(history_random(&random) % range);
    uint64_t chance = history_random(&random) % 16;
    if (chance < 4 && p->run == 0) {
        at = first + (uint32_t)(history_random(&random) % CREATION_EVENTS);
    } else if (chance < 8) {
        at = history_turn(from, history_random(&random)) +
             (uint32_t)(history_random(&random) % (chance < 6 ? NEAR_EVENTS : FAR_EVENTS));
        at = at < first ? first : at > history_end(from) ? history_end(from) : at;
    }
    return (power_cut){.seed = history_random(&random), .event = at};
}

static int check_state(const proof *p, history *from, uint64_t state, bool lies, const char *folder,
                       tally *counts)
{
    uint64_t held = 0;
    power_cut cut = make_cut(p, from, state);
    cut.lies = lies;
    make_empty(folder);
    promises made = history_promises(from, cut.event);
    if (history_build(from, cut, folder) != 0)
        return -1;
    int result = check_disk(folder, &made, state % NEXT_STEP_EVERY == 0, &held);
    if (result != 0 && !lies)
        fprintf(stderr, "  seed %llu, run %u, state %llu: the power went before event %u\n",
                (unsigned long long)p->seed, (unsigned)p->run, (unsigned long long)state,
                (unsigned)cut.event);
    counts->looked_at++;
    counts->kept_more += result == 0 && held > made.durable;
    counts->lost += result == 0 && held < made.begun;
    return result;
}

/* A process that looks at every WORKERS-th disk of `states`; its exit says whether all are well. */
static pid_t start_worker(const proof *p, uint64_t states, int worker)
{
    (void)fflush(NULL);
    pid_t pid = harness_fork();
    ck_assert_int_ge(pid, 0);
    if (pid != 0)
        return pid;
    char folder[560];
    int complaints = 0;
    snprintf(folder, sizeof folder, "%s/disk%d", p->memory, worker);
    history *from = history_load(p->log);
    if (from == NULL)
        _exit(2);
    for (uint64_t state = (uint64_t)worker; state < states && complaints < COMPLAINTS_MAX;
         state += WORKERS)
        complaints += check_state(p, from, state, false, folder, &p->counts[worker]) != 0;
    history_free(from);
    _exit(complaints == 0 ? 0 : 1);
}

static bool check_run(const proof *p, uint64_t states)
{
    pid_t workers[WORKERS];
    bool well = true;
    for (int i = 0; i < WORKERS; i++)
        workers[i] = start_worker(p, states, i);
    for (int i = 0; i < WORKERS; i++) {
        int status;
        while (waitpid(workers[i], &status, 0) != workers[i])
            ck_assert_int_eq(errno, EINTR);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            fprintf(stderr, "a worker ended with status %x\n", (unsigned)status);
        well = well && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }
    return well;
}

/* --- the proof --- */

static void begin_proof(proof *p)
{
    const char *memory = getenv("MLKV_POWERCUT_MEMORY");
    char base[512];
    snprintf(base, sizeof base, "%s", harness_folder());
    *p = (proof){.seed = number_of("MLKV_POWERCUT_SEED", SEED_DEFAULT),
                 .states = number_of("MLKV_POWERCUT_STATES", STATES_DEFAULT)};
    snprintf(p->folder, sizeof p->folder, "%s/s", base);
    if (memory == NULL)
        memory = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : base;
    snprintf(p->memory, sizeof p->memory, "%.480s/mlkv-powercut-XXXXXX", memory);
    ck_assert_ptr_nonnull(mkdtemp(p->memory));
    snprintf(p->log, sizeof p->log, "%.500s/log", p->memory);
    make_empty(p->folder);
    p->counts = mmap(NULL, WORKERS * sizeof *p->counts, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(p->counts, MAP_FAILED);
}

static void end_proof(proof *p)
{
    *strrchr(p->folder, '/') = '\0';
    harness_remove(p->folder);
    harness_remove(p->memory);
    (void)munmap(p->counts, WORKERS * sizeof *p->counts);
}

/* Disks of both kinds must have been there: those that kept more than was promised, and those that
 * lost what was begun. */
static void judge(const proof *p)
{
    tally sum = {0};
    for (int i = 0; i < WORKERS; i++) {
        sum.looked_at += p->counts[i].looked_at;
        sum.kept_more += p->counts[i].kept_more;
        sum.lost += p->counts[i].lost;
    }
    printf("power cuts: %llu disks were well; %llu held more than was promised, %llu less than had "
           "begun\n",
           (unsigned long long)sum.looked_at, (unsigned long long)sum.kept_more,
           (unsigned long long)sum.lost);
    ck_assert_uint_gt(sum.kept_more, sum.looked_at / 20);
    ck_assert_uint_gt(sum.lost, sum.looked_at / 20);
}

/* How many steps a disk turns out to hold; the folder is another afterwards. */
static uint64_t count_steps(const char *folder)
{
    uint64_t held;
    mlkv *db = NULL;
    mlkv_options options = steps_options(MLKV_JOURNAL);
    OK(mlkv_open(folder, &options, &db));
    OK(steps_count(db, &held));
    OK(mlkv_close(db));
    return held;
}

/* A disk of this run is what the next one begins with. */
static void lose_power(proof *p, uint64_t *random)
{
    char folder[560];
    history *from = history_load(p->log);
    ck_assert_ptr_nonnull(from);
    power_cut cut = make_cut(p, from, history_random(random));
    snprintf(folder, sizeof folder, "%s/disk", p->memory);
    make_empty(folder);
    ck_assert_int_eq(history_build(from, cut, folder), 0);
    p->held = count_steps(folder);
    p->begun = history_promises(from, cut.event).begun;
    make_empty(p->folder);
    ck_assert_int_eq(history_build(from, cut, p->folder), 0);
    history_free(from);
}

START_TEST(every_disk_opens_with_what_was_promised)
{
    proof p;
    begin_proof(&p);
    uint64_t random = p.seed;
    uint32_t runs = (uint32_t)(p.states / STATES_PER_RUN);
    runs = runs < RUNS_MIN ? RUNS_MIN : runs;
    printf("power cuts: seed %llu, %llu disks from %u runs\n", (unsigned long long)p.seed,
           (unsigned long long)p.states, (unsigned)runs);
    for (p.run = 0; p.run < runs; p.run++) {
        record_run(&p, &random);
        ck_assert_msg(check_run(&p, p.states / runs + 1),
                      "seed %llu, run %u: the recording is kept as %s", (unsigned long long)p.seed,
                      (unsigned)p.run, p.log);
        lose_power(&p, &random);
    }
    judge(&p);
    end_proof(&p);
}
END_TEST

/* Whether the disk of a cut without syncs is seen to be none. LMDB may well die of it, so that is
 * another process. */
static bool is_found_out(const proof *p, history *from, uint64_t state, const char *folder)
{
    int status;
    (void)fflush(NULL);
    pid_t pid = harness_fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        (void)alarm(10);
        int quiet = open("/dev/null", O_WRONLY | O_CLOEXEC);
        (void)dup2(quiet, STDERR_FILENO);
        _exit(check_state(p, from, state, true, folder, p->counts) != 0 ? 1 : 0);
    }
    while (waitpid(pid, &status, 0) != pid)
        ck_assert_int_eq(errno, EINTR);
    return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

/* The proof is none if it cannot fail. */
START_TEST(a_disk_that_lies_is_found_out)
{
    proof p;
    char folder[560];
    begin_proof(&p);
    uint64_t random = p.seed, found = 0;
    record_run(&p, &random);
    history *from = history_load(p.log);
    ck_assert_ptr_nonnull(from);
    snprintf(folder, sizeof folder, "%s/disk", p.memory);
    for (uint64_t state = 0; state < 50; state++)
        found += is_found_out(&p, from, state, folder);
    history_free(from);
    ck_assert_uint_gt(found, 10);
    end_proof(&p);
}
END_TEST

/* What a failed test kept is looked at again. */
START_TEST(a_kept_recording)
{
    proof p;
    const char *log = getenv("MLKV_POWERCUT_LOG"), *one = getenv("MLKV_POWERCUT_STATE");
    begin_proof(&p);
    snprintf(p.log, sizeof p.log, "%s", log);
    p.run = (uint32_t)number_of("MLKV_POWERCUT_RUN", 0);
    if (one == NULL) {
        ck_assert(check_run(&p, p.states));
    } else {
        char folder[560];
        history *from = history_load(p.log);
        ck_assert_ptr_nonnull(from);
        snprintf(folder, sizeof folder, "%s/disk", p.memory);
        ck_assert_int_eq(check_state(&p, from, strtoull(one, NULL, 10), false, folder, p.counts),
                         0);
        history_free(from);
    }
    end_proof(&p);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("powercut");
    TCase *tcase = harness_case(suite, "powercut");
    tcase_set_timeout(tcase, 7200);
    if (getenv("MLKV_POWERCUT_LOG") != NULL) {
        tcase_add_test(tcase, a_kept_recording);
    } else {
        tcase_add_test(tcase, every_disk_opens_with_what_was_promised);
        tcase_add_test(tcase, a_disk_that_lies_is_found_out);
    }
    return harness_run(suite);
}
