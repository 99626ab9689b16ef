/* main.c - the tensors' benchmark: `sh bench/run.sh tensors` builds and runs it.
 *
 * Options: --quick (smaller sizes, two minutes), --smoke (the smallest, to see that it runs), --rounds N, --only PART, --folder DIR
 * (default TMPDIR or /var/tmp: a real disk), --json FILE. Prints a line for each row. JSON: an array of objects:
 *
 *   workload, engine       codec, threads, whole, gather, partial, add; who did it
 *   dtype, data            the numbers, and what they are (data.h)
 *   bytes, threads         raw bytes of the thing stored; threads, or processes, at once
 *   saved                  share of the bytes that is not stored
 *   encode_gbps            GB/s of raw bytes coded or stored: the median of the rounds; encode_min, encode_max: of the rounds
 *   decode_gbps            the same decoded or read
 *   memcpy_gbps            what memcpy does with such bytes
 *   encode_ratio, ratio    of the rates of storing and of reading to those of the engine `against`, median of the rounds' quotients; of
 *                          a workload that reads nothing back, ratio is of storing
 *   written_bytes          that the process gave to the disk
 *
 * What was not measured is null. Exit status 0: all ran, and every engine gave back what it was given.
 */
#include "measure.h"
#include "tensors/tensors.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    int (*run)(tensors_bench *bench);
} parts[] = {
    {"add", add_run}, /* first: it forks, and nothing of the others is there yet */
    {"codec", codec_run},   {"threads", threads_run}, {"whole", whole_run},
    {"gather", gather_run}, {"partial", partial_run},
};

typedef struct {
    const char *only, *folder, *json; /* only: that part */
    int rounds;
} settings;

static int usage(void)
{
    fprintf(stderr, "usage: bench_tensors [--quick|--smoke] [--rounds N] [--only "
                    "codec|threads|whole|gather|partial|add] [--folder DIR] [--json FILE]\n");
    return 2;
}

static int parse(int argc, char **argv, tensors_bench *self, settings *set)
{
    static const struct option options[] = {{"quick", no_argument, NULL, 'q'},
                                            {"smoke", no_argument, NULL, 's'},
                                            {"rounds", required_argument, NULL, 'r'},
                                            {"only", required_argument, NULL, 'o'},
                                            {"folder", required_argument, NULL, 'f'},
                                            {"json", required_argument, NULL, 'j'},
                                            {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'q')
            self->size = SIZE_QUICK;
        else if (option == 's')
            self->size = SIZE_SMOKE;
        else if (option == 'r')
            set->rounds = (int)strtol(optarg, NULL, 10);
        else if (option == 'o')
            set->only = optarg;
        else if (option == 'f')
            set->folder = optarg;
        else if (option == 'j')
            set->json = optarg;
        else
            return -1;
    }
    self->rounds = set->rounds != 0 ? set->rounds : (int)bench_pick(self, 5, 3, 1);
    bool known = set->only == NULL;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        known = known || strcmp(set->only, parts[i].name) == 0;
    return known && optind == argc && self->rounds >= 1 && self->rounds <= ROUNDS_MAX ? 0 : -1;
}

int main(int argc, char **argv)
{
    static tensors_bench self = {.digits = BENCH_DIGITS, .scripts = BENCH_SCRIPTS};
    settings set = {.folder = getenv("TMPDIR")};
    int result = 0;
    if (parse(argc, argv, &self, &set) != 0)
        return usage();
    snprintf(self.folder, sizeof self.folder, "%s/mlkv-tensors-XXXXXX",
             set.folder != NULL ? set.folder : "/var/tmp");
    if (mkdtemp(self.folder) == NULL) {
        fprintf(stderr, "bench: %s: %s\n", self.folder, strerror(errno));
        return 1;
    }
    printf("# median of %d rounds; in: coded or stored, out: decoded or read\n", self.rounds);
    for (size_t i = 0; i < sizeof parts / sizeof *parts && result == 0; i++) {
        double begun = measure_seconds();
        if (set.only != NULL && strcmp(set.only, parts[i].name) != 0)
            continue;
        (void)fflush(stdout);
        result = parts[i].run(&self);
        printf("# %s: %.0f s\n", parts[i].name, measure_seconds() - begun);
    }
    bench_remove(&self, "");
    if (result == 0 && set.json != NULL)
        result = rates_json(set.json, &self.rates);
    return result == 0 ? 0 : 1;
}
