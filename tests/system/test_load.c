/* test_load.c - what a store takes of memory and disk under a mixed load, and that it does not grow.
 *
 * The processes of load.c work on one store; this one, which never opens it meanwhile, looks at them
 * once a second: anonymous memory of each (the ring and LMDB's map are shared pages of files, and
 * not counted), cache against its budget, length and blocks of the files. At the end:
 *
 *   no process gave up, and all ended by themselves
 *   no cache was over its budget by more than 5 %
 *   no process had more anonymous memory than its budgets say (ANONYMOUS_REST), and what all had
 *   together did not rise in the second half
 *   data.mdb took no more than twice the live data plus the ring: once all is quiet, and before, in
 *   the second half, at nine of ten looks that no snapshot or backup disturbed: while one lives, and
 *   until the keeper has tidied up behind it, the file holds what was overwritten meanwhile
 *   verify is clean, backups were made and were, too
 *
 * MLKV_LOAD_SECONDS (default 20), MLKV_LOAD_SCALE (live data, some 4 MiB times this; default 10),
 * MLKV_LOAD_CACHE and MLKV_LOAD_RING (MiB, default 4 and 8), MLKV_LOAD_CSV: a file for what was
 * seen. `sh tests/load.sh` runs the long form.
 */
#include "harness.h"
#include "load.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

enum {
    ROLES_MAX = 16,
    LOOKS_MAX = 7200,
    MIB = 1 << 20,
    RISE_SLACK_MIB = 8,
    LONG_S =
        300, /* a shorter run has few looks, and on a busy machine each may meet a late reader: a
                     quarter more is allowed */
};
/* Beside the cache: LMDB's changed pages of one batch, which stay in the heap of each thread that has
 * written to it (the program's, and the two in the background); the index of what is pending;
 * buffers of the operations, of which the load's own are 10 MiB. docs/performance.md. */
enum { WRITING_THREADS = 3, ANONYMOUS_REST = 48 * MIB };

typedef struct {
    double seconds;
    uint64_t anonymous, anonymous_max; /* of all processes, and of the largest */
    uint64_t cache_max, ring_disk, log_disk, data_size, data_disk;
    uint64_t operations, held;
    bool disturbed; /* a snapshot or a backup lives, or did so since the look before */
} look;

typedef struct {
    char folder[600], store[640], backup[640];
    load_plan plan;
    load_report *reports;
    _Atomic int *stop;
    pid_t pids[ROLES_MAX];
    look looks[LOOKS_MAX];
    unsigned count;
    unsigned seconds;
    bool cache_exceeded;
    FILE *csv;
} watch;

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL && text[0] != '\0' ? strtoull(text, NULL, 10) : otherwise;
}

static void *shared(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(memory, MAP_FAILED);
    return memory;
}

static double now_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void begin(watch *w)
{
    snprintf(w->folder, sizeof w->folder, "%s", harness_folder());
    snprintf(w->store, sizeof w->store, "%s/store", w->folder);
    snprintf(w->backup, sizeof w->backup, "%s/copy", w->folder);
    w->seconds = (unsigned)setting("MLKV_LOAD_SECONDS", 20);
    ck_assert_uint_lt(w->seconds, LOOKS_MAX);
    w->plan = (load_plan){.folder = w->store,
                          .backup_folder = w->backup,
                          .cache_bytes = (size_t)setting("MLKV_LOAD_CACHE", 4) * MIB,
                          .ring_bytes = (size_t)setting("MLKV_LOAD_RING", 8) * MIB,
                          .batch_bytes = 16 * MIB,
                          .scale = (unsigned)setting("MLKV_LOAD_SCALE", 10)};
    w->reports = shared(sizeof *w->reports * ROLES_MAX);
    w->stop = shared(sizeof *w->stop);
    const char *csv = getenv("MLKV_LOAD_CSV");
    w->csv = csv == NULL || csv[0] == '\0' ? NULL : fopen(csv, "we");
    if (w->csv != NULL)
        fprintf(w->csv, "second,anonymous_mib,anonymous_largest_mib,cache_largest_mib,data_length_"
                        "mib,data_disk_mib,"
                        "ring_disk_mib,log_disk_mib,operations,disturbed\n");
}

static void start_all(watch *w)
{
    mlkv *db = NULL;
    mlkv_options options = load_options(&w->plan);
    ck_assert_uint_le(load_role_count, ROLES_MAX);
    pid_t maker = harness_fork(); /* nobody meets a store that is being made */
    if (maker == 0)
        _exit(mlkv_open(w->store, &options, &db) == MLKV_OK && mlkv_close(db) == MLKV_OK ? 0 : 1);
    int status;
    ck_assert_int_eq(waitpid(maker, &status, 0), maker);
    ck_assert_int_eq(status, 0);
    for (unsigned i = 0; i < load_role_count; i++) {
        w->pids[i] = harness_fork();
        ck_assert_int_ge(w->pids[i], 0);
        if (w->pids[i] == 0)
            _exit(load_work(&w->plan, i, &w->reports[i], w->stop));
    }
}

/* --- looking --- */

static uint64_t anonymous_of(pid_t pid)
{
    char path[64], line[128];
    unsigned long long kib = 0;
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "Anonymous: %llu kB", &kib) == 1)
            break;
    if (file != NULL)
        (void)fclose(file);
    return (uint64_t)kib << 10;
}

static void file_of(const watch *w, const char *name, uint64_t *ret_size, uint64_t *ret_disk)
{
    char path[700];
    struct stat status = {0};
    snprintf(path, sizeof path, "%s/%s", w->store, name);
    (void)stat(path, &status);
    *ret_size = (uint64_t)status.st_size;
    *ret_disk = (uint64_t)status.st_blocks * 512;
}

static double mib(uint64_t bytes)
{
    return (double)bytes / MIB;
}

static void write_line(watch *w, const look *l)
{
    if (w->csv != NULL)
        fprintf(w->csv, "%.0f,%.1f,%.1f,%.1f,%.1f,%.1f,%.1f,%.1f,%llu,%d\n", l->seconds,
                mib(l->anonymous), mib(l->anonymous_max), mib(l->cache_max), mib(l->data_size),
                mib(l->data_disk), mib(l->ring_disk), mib(l->log_disk),
                (unsigned long long)l->operations, (int)l->disturbed);
}

static void look_once(watch *w, double begun)
{
    uint64_t size;
    look l = {.seconds = now_s() - begun};
    for (unsigned i = 0; i < load_role_count; i++) {
        load_report *report = &w->reports[i];
        uint64_t anonymous = anonymous_of(w->pids[i]), cache = atomic_load(&report->cache_bytes);
        l.anonymous += anonymous;
        l.anonymous_max = anonymous > l.anonymous_max ? anonymous : l.anonymous_max;
        l.cache_max = cache > l.cache_max ? cache : l.cache_max;
        l.operations += atomic_load(&report->operations);
        uint64_t held = atomic_load(&report->held);
        l.held += held;
        l.disturbed |= held % 2 != 0;
        if (cache > atomic_load(&report->cache_bytes_max) / 20 * 21)
            w->cache_exceeded = true;
    }
    file_of(w, "data.mdb", &l.data_size, &l.data_disk);
    file_of(w, "journal.ring", &size, &l.ring_disk);
    file_of(w, "journal.log", &size, &l.log_disk);
    l.disturbed |= w->count == 0 || l.held != w->looks[w->count - 1].held;
    w->looks[w->count++] = l;
    write_line(w, &l);
}

static bool any_failed(const watch *w)
{
    for (unsigned i = 0; i < load_role_count; i++)
        if (atomic_load(&w->reports[i].failed))
            return true;
    return false;
}

static void look_all(watch *w)
{
    double begun = now_s();
    for (unsigned i = 1; i <= w->seconds && !any_failed(w); i++) {
        double left = begun + i - now_s();
        if (left > 0)
            (void)usleep((useconds_t)(left * 1e6));
        look_once(w, begun);
    }
    atomic_store(w->stop, 1);
}

static void end_all(watch *w)
{
    for (unsigned i = 0; i < load_role_count; i++) {
        int status;
        ck_assert_int_eq(waitpid(w->pids[i], &status, 0), w->pids[i]);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0,
                      "the %s ended with status %x: %s", load_roles[i].name, (unsigned)status,
                      w->reports[i].detail);
    }
    if (w->csv != NULL)
        (void)fclose(w->csv);
}

/* --- judging --- */

/* With a sanitizer, memory is not what it would be. */
static bool memory_counts(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    return false;
#endif
#endif
    return true;
}

static double mean_anonymous(const watch *w, unsigned from, unsigned to)
{
    double sum = 0;
    for (unsigned i = from; i < to; i++)
        sum += mib(w->looks[i].anonymous);
    return to > from ? sum / (to - from) : 0;
}

static void check_memory(const watch *w)
{
    uint64_t limit = w->plan.cache_bytes + WRITING_THREADS * w->plan.batch_bytes + ANONYMOUS_REST,
             most = 0;
    double third = mean_anonymous(w, w->count / 2, w->count * 3 / 4),
           last = mean_anonymous(w, w->count * 3 / 4, w->count);
    for (unsigned i = 0; i < w->count; i++)
        most = w->looks[i].anonymous_max > most ? w->looks[i].anonymous_max : most;
    printf("memory: largest process %.1f of %.1f MiB; all %.1f, then %.1f MiB\n", mib(most),
           mib(limit), third, last);
    ck_assert_msg(!w->cache_exceeded, "a cache was over its budget by more than 5 %%");
    if (!memory_counts())
        return;
    ck_assert_msg(most <= limit,
                  "a process had %.1f MiB of anonymous memory, and its budgets say %.1f", mib(most),
                  mib(limit));
    ck_assert_msg(last <= third * 1.1 + RISE_SLACK_MIB,
                  "anonymous memory rose from %.1f to %.1f MiB in the second half", third, last);
}

static void check_disk(const watch *w, uint64_t live)
{
    uint64_t limit = 2 * live + w->plan.ring_bytes, most = 0;
    if (w->seconds < LONG_S)
        limit += limit / 4;
    unsigned over = 0, looked = 0;
    for (unsigned i = w->count / 2; i < w->count; i++) {
        uint64_t disk = w->looks[i].data_disk;
        most = disk > most ? disk : most;
        if (w->looks[i].disturbed)
            continue;
        looked++;
        over += disk > limit;
    }
    printf("disk: live %.1f MiB, at most %.1f with snapshots; allowed %.1f, over that at %u of %u "
           "looks without\n",
           mib(live), mib(most), mib(limit), over, looked);
    ck_assert_msg(over * 10 <= looked,
                  "data.mdb took more than twice its live data and the ring at %u of %u looks: "
                  "%.1f of %.1f MiB",
                  over, looked, mib(most), mib(limit));
}

/* What is there once all is quiet: 0 problems, and no more than allowed. */
static void check_store(watch *w, uint64_t *ret_live)
{
    mlkv *db = NULL;
    mlkv_report report = {.size = sizeof report};
    mlkv_stats stats = {.size = sizeof stats};
    mlkv_options options = load_options(&w->plan);
    char detail[LOAD_DETAIL_SIZE] = "";
    OK(mlkv_open(w->store, &options, &db));
    OK(mlkv_compact(db, NULL));
    OK(mlkv_verify(db, NULL, NULL, &report));
    ck_assert_msg(load_check(db, detail) == 0, "%s", detail);
    OK(mlkv_stats_get(db, &stats));
    OK(mlkv_close(db));
    *ret_live = report.bytes;
    printf("quiet: %llu operations, %llu backups, %.1f MiB freed by mlkv_compact; %.1f MiB of %.1f "
           "MiB live\n",
           (unsigned long long)w->looks[w->count - 1].operations,
           (unsigned long long)atomic_load(&w->reports[load_role_count - 1].backups),
           mib(atomic_load(&w->reports[load_role_count - 1].freed_bytes)),
           mib(stats.store_disk_bytes), mib(report.bytes));
    ck_assert_uint_le(stats.store_disk_bytes, 2 * report.bytes + w->plan.ring_bytes);
}

START_TEST(budgets_hold_and_nothing_grows)
{
    static watch w;
    uint64_t live = 0;
    begin(&w);
    start_all(&w);
    look_all(&w);
    end_all(&w);
    check_store(&w, &live);
    check_memory(&w);
    check_disk(&w, live);
    ck_assert_msg(w.seconds < 20 || atomic_load(&w.reports[load_role_count - 1].backups) != 0,
                  "no backup was made");
    harness_remove(w.folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("load");
    TCase *tcase = harness_case(suite, "load");
    tcase_set_timeout(tcase, (double)setting("MLKV_LOAD_SECONDS", 20) + 600);
    tcase_add_test(tcase, budgets_hold_and_nothing_grows);
    return harness_run(suite);
}
