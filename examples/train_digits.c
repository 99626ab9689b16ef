/* train_digits.c - several processes train one model over one store, and one of them is killed.
 *
 * The 1,797 digits of examples/data/digits.csv go into a store. Workers, forked with the store
 * open, draw batches from it and add their gradients to one shared softmax model, whose parameters
 * are tensors there. In the middle the parent kills a worker with SIGKILL and starts another. Then
 * it closes the store, opens it again, verifies it, and judges the model on the fifth of the digits
 * that no worker saw.
 *
 * Exit status: 0 if the model is good, the store is sound and no acknowledged step was lost; 1 if
 * not; 2 on an error.
 */
#include "digits/data.h"
#include "digits/model.h"
#include "digits/report.h"
#include "digits/team.h"

#include <errno.h>
#include <ftw.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const double accuracy_wanted =
    0.94; /* softmax regression reaches 0.95 to 0.97 on this split */

enum {
    WORKERS_DEFAULT = 4,
    STEPS_DEFAULT = 12000, /* 267 times through the training digits: a second or two */
    STEPS_MAX = 10000000,
    RING_BYTES = 4 << 20, /* the digits are small */
};

typedef struct {
    unsigned workers;
    uint64_t steps;
    const char *store; /* NULL: a temporary folder */
    const char *data;
} settings;

static char temporary_store[PATH_MAX];
static pid_t temporary_owner; /* workers leave through exit() too, and must not remove the store */
static volatile int interrupted;

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *position)
{
    (void)status, (void)kind, (void)position;
    return remove(path);
}

static void remove_temporary_store(void)
{
    if (temporary_owner == getpid())
        nftw(temporary_store, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static const char *make_temporary_store(void)
{
    const char *base = getenv("TMPDIR");
    int size = snprintf(temporary_store, sizeof temporary_store, "%s/train-digits-XXXXXX",
                        base != NULL && *base != '\0' ? base : "/tmp");
    if (size < 0 || (size_t)size >= sizeof temporary_store || mkdtemp(temporary_store) == NULL)
        give_up("no temporary folder under %s: %s", base != NULL ? base : "/tmp", strerror(errno));
    temporary_owner = getpid();
    atexit(remove_temporary_store);
    return temporary_store;
}

static void interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

static void usage(FILE *to)
{
    fprintf(to,
            "usage: train_digits [OPTION]...\n"
            "Trains a classifier of handwritten digits in several processes over one store, kills "
            "one of them, and checks what is left.\n\n"
            "  --workers N    worker processes, 1 to %d (default %d)\n"
            "  --steps N      training steps of all workers together (default %d; fewer may not "
            "reach the accuracy wanted)\n"
            "  --store PATH   folder of the store, kept (default: a temporary one, removed at the "
            "end)\n"
            "  --data FILE    the digits (default %s)\n"
            "  --help         this\n\n"
            "Exit status: 0 all held, 1 something did not, 2 an error.\n",
            WORKERS_MAX, WORKERS_DEFAULT, STEPS_DEFAULT, DIGITS_DATA);
}

static uint64_t read_number(const char *name, const char *text, uint64_t least, uint64_t most)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || *text == '-' || number < least ||
        number > most)
        give_up("--%s is %s; a number from %llu to %llu is wanted", name, text,
                (unsigned long long)least, (unsigned long long)most);
    return number;
}

static settings read_settings(int argc, char **argv)
{
    static const struct option options[] = {
        {"workers", required_argument, NULL, 'w'}, {"steps", required_argument, NULL, 's'},
        {"store", required_argument, NULL, 'o'},   {"data", required_argument, NULL, 'd'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0}};
    settings chosen = {.workers = WORKERS_DEFAULT, .steps = STEPS_DEFAULT, .data = DIGITS_DATA};
    for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (option == 'w')
            chosen.workers = (unsigned)read_number("workers", optarg, 1, WORKERS_MAX);
        else if (option == 's')
            chosen.steps = read_number("steps", optarg, 2, STEPS_MAX);
        else if (option == 'o')
            chosen.store = optarg;
        else if (option == 'd')
            chosen.data = optarg;
        else {
            usage(option == 'h' ? stdout : stderr);
            exit(option == 'h' ? 0 : 2);
        }
    }
    if (optind < argc)
        give_up("%s is no option; see --help", argv[optind]);
    if (chosen.steps < 2 * (uint64_t)chosen.workers)
        give_up("%u workers need at least %u steps", chosen.workers, 2 * chosen.workers);
    return chosen;
}

static mlkv *open_store(const char *path)
{
    const mlkv_options options = {.size = sizeof options, .ring_bytes = RING_BYTES};
    mlkv *db;
    must(mlkv_open(path, &options, &db), "opening the store");
    return db;
}

static void add_tensor_sizes(mlkv *db, const char *key, outcome *result)
{
    mlkv_tensor_info info = {.size = sizeof info};
    must(mlkv_tensor_get_info(db, text_slice(key), &info), "reading about a tensor");
    result->raw_bytes += info.raw_bytes;
    result->stored_bytes += info.stored_bytes;
}

static int print_problem(void *context, const char *problem)
{
    (void)context;
    fprintf(stderr, "verify: %s\n", problem);
    return 0;
}

/* Everything that is judged comes from the store as it was found after closing and opening it
 * again. */
static void examine(mlkv *db, const team *trained, uint64_t changes_before, outcome *result)
{
    result->verified = (mlkv_report){.size = sizeof result->verified};
    int verified = mlkv_verify(db, print_problem, NULL, &result->verified);
    if (verified == MLKV_E_CORRUPT && result->verified.problems == 0)
        result->verified.problems = 1;
    else if (verified != MLKV_E_CORRUPT)
        must(verified, "verifying the store");

    for (unsigned i = 0; i < trained->count; i++)
        result->stored[i] = worker_stored_steps(db, i);
    result->changes = model_changes(db) - changes_before;

    model learned;
    digit *held_out;
    model_pull(db, &learned);
    result->held_out = data_read_held_out(db, &held_out);
    result->accuracy = model_accuracy(&learned, held_out, result->held_out);
    result->accuracy_wanted = accuracy_wanted;
    free(held_out);

    add_tensor_sizes(db, KEY_PIXELS, result);
    add_tensor_sizes(db, KEY_WEIGHTS, result);
    add_tensor_sizes(db, KEY_BIAS, result);
    mlkv_stats stats = {.size = sizeof stats};
    must(mlkv_stats_get(db, &stats), "reading statistics");
    result->store_bytes = stats.store_bytes;
}

int main(int argc, char **argv)
{
    settings chosen = read_settings(argc, argv);
    struct sigaction on_interrupt = {.sa_handler = interrupt};
    sigaction(SIGINT, &on_interrupt, NULL);
    sigaction(SIGTERM, &on_interrupt, NULL);

    const char *path = chosen.store != NULL ? chosen.store : make_temporary_store();
    static team trained;
    static outcome result;
    mlkv *db = open_store(path);
    const mlkv_slice counters = text_slice(KEY_STEPS);
    must(mlkv_key_delete(db, &counters, 1, NULL), "deleting the counters of an earlier run");
    result.digits = data_load(db, chosen.data);
    model_create(db);
    uint64_t changes_before = model_changes(db);
    report_event("%zu digits are in %s; %u workers train", result.digits, path, chosen.workers);

    bool ended_well = team_train(&trained, db, chosen.workers, chosen.steps, &interrupted);
    must(mlkv_close(db), "closing the store");
    if (interrupted)
        give_up("interrupted");

    db = open_store(path);
    examine(db, &trained, changes_before, &result);
    bool held = report_outcome(&trained, &result);
    must(mlkv_close(db), "closing the store");
    if (chosen.store != NULL)
        printf("%-26s %s\n", "kept in", path);
    return ended_well && held ? 0 : 1;
}
