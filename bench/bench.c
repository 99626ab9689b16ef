/* bench.c - the benchmark: one table, every engine in the same run. `sh bench/run.sh` builds and
 * runs it.
 *
 * Workloads: get, put (overwrite) and put-sync of 100-byte values under 16-byte keys, in uniform
 * and zipf order, by 1 and 4 threads (16 for put-sync), and tensor_add by 4 processes. The engines
 * take turns in every round, so that a slow moment of the machine strikes them alike; a row is the
 * median of its rounds. Each workload gives every engine that can do it a row; a peer's ratio is
 * its time over mlkv's at the durability that is meant to match: `journal` for put, `sync` for
 * put-sync.
 *
 * Options: --quick (100,000 keys, short rounds), --keys N, --rounds N, --only WORKLOAD, --engines
 * a,b, --folder DIR, --json FILE.
 */
#include "measure.h"
#include "report.h"
#include "tensor.h"

#include <errno.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const bench_engine *const engines[] = {
    &engine_mlkv, /* first: the others are compared with it */
    &engine_lmdb,
#ifdef HAVE_ROCKSDB
    &engine_rocksdb,
#endif
#ifdef HAVE_LEVELDB
    &engine_leveldb,
#endif
};
enum { ENGINES = sizeof engines / sizeof *engines, ROWS_MAX = 128, PATH_BYTES = 512 };

typedef struct {
    uint32_t keys;
    int rounds;
    int tensor_additions;
    double seconds;
    const char *only, *chosen, *folder, *json;
} settings;

typedef struct {
    settings set;
    char folder[PATH_BYTES];
    void *dbs[ENGINES]; /* NULL: not chosen */
    report_row rows[ROWS_MAX];
    int row_count;
    uint64_t seed;
} bench;

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status;
    (void)kind;
    (void)place;
    return remove(path);
}

static report_row *add_row(bench *self, const char *workload, const char *engine,
                           const char *durability)
{
    if (self->row_count == ROWS_MAX) {
        fprintf(stderr, "bench: more than %d rows\n", ROWS_MAX);
        exit(1);
    }
    report_row *row = &self->rows[self->row_count++];
    *row = (report_row){
        .workload = workload, .engine = engine, .durability = durability, .keys = self->set.keys};
    row->key_bytes = KEY_BYTES;
    row->value_bytes = VALUE_BYTES;
    return row;
}

/* The rows of one workload: rounds outside, engines inside. level -1: a get. */
typedef struct {
    const char *name;
    put_level first_level, last_level; /* of puts */
    measure_plan plan;
} workload;

static int run_round(bench *self, const workload *work, report_row *const rows[ENGINES][PUT_LEVELS],
                     int round)
{
    double reference = 0;
    for (int e = 0; e < ENGINES; e++) {
        for (int level = (int)work->first_level; level <= (int)work->last_level; level++) {
            report_row *row = rows[e][level];
            if (row == NULL)
                continue;
            measure_plan plan = work->plan;
            plan.level = (put_level)level;
            plan.seed = self->seed + (uint64_t)round;
            if (measure_run(engines[e], self->dbs[e], &plan, &row->ns[round]) != 0) {
                fprintf(stderr, "bench: %s failed at %s\n", engines[e]->name, work->name);
                return -1;
            }
            if (reference == 0 && e == 0)
                reference = row->ns[round];
            row->ratio[round] = reference > 0 ? row->ns[round] / reference : 0;
            row->rounds = round + 1;
        }
    }
    return 0;
}

static int run_workload(bench *self, const workload *work)
{
    report_row *rows[ENGINES][PUT_LEVELS] = {{NULL}};
    int first = self->row_count;
    if (self->set.only != NULL && strcmp(self->set.only, work->name) != 0)
        return 0;
    for (int e = 0; e < ENGINES; e++) {
        for (int level = (int)work->first_level; level <= (int)work->last_level; level++) {
            if (self->dbs[e] == NULL || engines[e]->levels[level] == NULL)
                continue;
            const char *durability =
                work->plan.kind == WORKLOAD_GET ? "-" : engines[e]->levels[level];
            rows[e][level] = add_row(self, work->name, engines[e]->name, durability);
            rows[e][level]->threads = work->plan.threads;
            rows[e][level]->distribution =
                work->plan.order == DISTRIBUTION_ZIPF ? "zipf" : "uniform";
        }
    }
    for (int round = 0; round < self->set.rounds; round++) {
        if (run_round(self, work, (report_row *const(*)[PUT_LEVELS])rows, round) != 0)
            return -1;
    }
    self->seed += 1000;
    for (int i = first; i < self->row_count; i++)
        report_line(stdout, &self->rows[i]);
    return 0;
}

static int run_workloads(bench *self)
{
    static const struct {
        const char *name;
        workload_kind kind;
        put_level first, last;
        int threads[2];
        size_t operations_max;
    } kinds[] = {
        {"get", WORKLOAD_GET, PUT_BUFFERED, PUT_BUFFERED, {1, 4}, 2000000},
        {"put", WORKLOAD_PUT, PUT_BUFFERED, PUT_BUFFERED, {1, 4}, 1000000},
        {"put-sync", WORKLOAD_PUT, PUT_SYNCED, PUT_STORED, {1, 16}, 100000},
    };
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        for (int order = DISTRIBUTION_UNIFORM; order <= DISTRIBUTION_ZIPF; order++) {
            for (int t = 0; t < 2; t++) {
                workload work = {.name = kinds[k].name,
                                 .first_level = kinds[k].first,
                                 .last_level = kinds[k].last};
                work.plan = (measure_plan){.kind = kinds[k].kind,
                                           .order = (distribution)order,
                                           .keys = self->set.keys,
                                           .threads = kinds[k].threads[t],
                                           .operations_max = kinds[k].operations_max /
                                                             (size_t)kinds[k].threads[t],
                                           .seconds_max = self->set.seconds};
                if (run_workload(self, &work) != 0)
                    return -1;
            }
        }
    }
    return 0;
}

static int open_engines(bench *self)
{
    for (int e = 0; e < ENGINES; e++) {
        char folder[PATH_BYTES + 32];
        const char *found = self->set.chosen == NULL ? engines[e]->name
                                                     : strstr(self->set.chosen, engines[e]->name);
        if (found == NULL)
            continue;
        snprintf(folder, sizeof folder, "%s/%s", self->folder, engines[e]->name);
        if (mkdir(folder, 0755) != 0 || engines[e]->open(folder, &self->dbs[e]) != 0)
            return -1;
        const char *remark = engines[e]->remark != NULL ? engines[e]->remark() : "";
        printf("# %s%s%s\n", engines[e]->name, *remark != '\0' ? ": " : "", remark);
        fflush(stdout);
        if (measure_load(engines[e], self->dbs[e], self->set.keys) != 0 ||
            measure_warm(engines[e], self->dbs[e], self->set.keys) != 0)
            return -1;
    }
    return 0;
}

/* Before the engines are opened, so that their threads and memory are not there when it forks. */
static int run_tensor(bench *self)
{
    if (self->set.only != NULL && strcmp(self->set.only, "tensor_add") != 0)
        return 0;
    report_row *add = add_row(self, "tensor_add", "mlkv", "journal"),
               *copy = add_row(self, "tensor_add", "memcpy", "-");
    for (int round = 0; round < self->set.rounds; round++) {
        char folder[PATH_BYTES + 32];
        snprintf(folder, sizeof folder, "%s/tensor%d", self->folder, round);
        if (tensor_run(folder, TENSOR_PROCESSES, self->set.tensor_additions, &add->ns[round],
                       &copy->ns[round]) != 0)
            return -1;
        add->ratio[round] = 1;
        copy->ratio[round] = copy->ns[round] / add->ns[round];
        nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    }
    report_row *both[] = {add, copy};
    for (int i = 0; i < 2; i++) {
        both[i]->keys = 1;
        both[i]->value_bytes = TENSOR_BYTES;
        both[i]->threads = TENSOR_PROCESSES;
        both[i]->rounds = self->set.rounds;
        both[i]->distribution = "one";
        report_line(stdout, both[i]);
    }
    printf("# tensor_add: %d processes, a tensor of 1 MiB: %.2f GB/s added, %.2f GB/s copied by "
           "memcpy\n",
           TENSOR_PROCESSES, TENSOR_BYTES / report_median(add->ns, add->rounds),
           TENSOR_BYTES / report_median(copy->ns, copy->rounds));
    return 0;
}

static int usage(void)
{
    fprintf(stderr, "usage: bench [--quick] [--keys N] [--rounds N] [--only "
                    "get|put|put-sync|tensor_add] [--engines mlkv,lmdb,...]\n"
                    "             [--folder DIR] [--json FILE]\n");
    return 2;
}

static int parse(int argc, char **argv, settings *ret_set)
{
    settings set = {.keys = 1000000,
                    .rounds = 5,
                    .tensor_additions = 100,
                    .seconds = 2,
                    .folder = getenv("TMPDIR")};
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(name, "--quick") == 0) {
            set.keys = 100000;
            set.rounds = 3;
            set.seconds = 0.3;
            set.tensor_additions = 30;
            continue;
        }
        if (value == NULL)
            return -1;
        i++;
        if (strcmp(name, "--keys") == 0)
            set.keys = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(name, "--rounds") == 0)
            set.rounds = (int)strtol(value, NULL, 10);
        else if (strcmp(name, "--only") == 0)
            set.only = value;
        else if (strcmp(name, "--engines") == 0)
            set.chosen = value;
        else if (strcmp(name, "--folder") == 0)
            set.folder = value;
        else if (strcmp(name, "--json") == 0)
            set.json = value;
        else
            return -1;
    }
    *ret_set = set;
    return set.keys >= 1000 && set.rounds >= 1 && set.rounds <= ROUNDS_MAX ? 0 : -1;
}

int main(int argc, char **argv)
{
    static bench self;
    int result = -1;
    if (parse(argc, argv, &self.set) != 0)
        return usage();
    snprintf(self.folder, sizeof self.folder, "%s/mlkv-bench-XXXXXX",
             self.set.folder != NULL ? self.set.folder : "/var/tmp");
    if (mkdtemp(self.folder) == NULL) {
        fprintf(stderr, "bench: %s: %s\n", self.folder, strerror(errno));
        return 1;
    }
    printf("# %u keys of %d bytes, values of %d bytes; median of %d rounds; ns/op is wall time "
           "over all operations of all threads\n",
           self.set.keys, KEY_BYTES, VALUE_BYTES, self.set.rounds);
    report_head(stdout);
    if (run_tensor(&self) == 0 && (self.set.only != NULL && strcmp(self.set.only, "tensor_add") == 0
                                       ? 0
                                       : open_engines(&self)) == 0)
        result = run_workloads(&self);
    for (int e = 0; e < ENGINES; e++) {
        if (self.dbs[e] != NULL)
            engines[e]->close(self.dbs[e]);
    }
    nftw(self.folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    if (result == 0 && self.set.json != NULL)
        result = report_json(self.set.json, self.rows, self.row_count);
    return result == 0 ? 0 : 1;
}
