/* test_linear.c - what concurrent processes were told by the store, checked: one order must explain
 * it all.
 *
 * A history: PROCESSES clients of THREADS threads each on one store; some are killed, at a fault
 * point or at any moment, and another takes the place of each. In half of the histories this
 * process has the store open all along. At the end the store is opened, looked at and verified;
 * what is found belongs to the history. Each partition of the keys is then checked for itself.
 * MLKV_LINEAR_HISTORIES: how many (default 25). MLKV_LINEAR_SEED: the first one's seed.
 */
#include "harness.h"
#include "history.h"

#include "base/clock.h"
#include "base/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <mlkv/mlkv.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

extern char **environ;

enum {
    PROCESSES = 4,
    THREADS = 4,
    OPERATIONS = 60,
    CLIENTS_MAX = 2 * PROCESSES,
    HISTORIES = 25,
    SEED = 20261121
};

typedef struct {
    const char *folder;
    char store[600], prefix[16];
    unsigned seed;
    history_file *logs[CLIENTS_MAX];
    pid_t pids[CLIENTS_MAX];
    bool may_die[CLIENTS_MAX];
    size_t clients;
    checker_operation operations[CHECKER_OPERATIONS_MAX];
    size_t killed, undecided, checked;
} trial;

static uint64_t number_from(const char *name, uint64_t otherwise)
{
    const char *given = getenv(name);
    return given != NULL ? strtoull(given, NULL, 10) : otherwise;
}

static history_file *make_log(const char *path)
{
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(ftruncate(file, sizeof(history_file)), 0);
    void *map = mmap(NULL, sizeof(history_file), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    ck_assert_ptr_ne(map, MAP_FAILED);
    (void)close(file);
    return map;
}

/* Starts a client; dies: at a random passing of a random fault point of the write path or the
 * applier. */
static void start_client(trial *self, bool dies)
{
    char log[700], numbers[6][24];
    size_t number = self->clients++;
    int point = dies ? rand_r(&self->seed) % FAULT_RECOVER_BEGUN : -1;
    ck_assert_uint_lt(number, CLIENTS_MAX);
    snprintf(log, sizeof log, "%s/log %zu", self->folder, number);
    self->logs[number] = make_log(log);
    self->may_die[number] = dies;
    snprintf(numbers[0], sizeof numbers[0], "%d",
             rand_r(&self->seed) % 60000000); /* times 64 threads: fits 32 bits */
    snprintf(numbers[1], sizeof numbers[1], "%d", THREADS);
    snprintf(numbers[2], sizeof numbers[2], "%d", OPERATIONS);
    snprintf(numbers[3], sizeof numbers[3], "%d",
             rand_r(&self->seed) % 4 == 0 ? MLKV_SYNC + rand_r(&self->seed) % 2 : MLKV_JOURNAL);
    snprintf(numbers[4], sizeof numbers[4], "%d", point);
    snprintf(numbers[5], sizeof numbers[5], "%d", 1 + rand_r(&self->seed) % 60);
    const char *program = getenv("MLKV_LINEAR_CLIENT");
    ck_assert_msg(program != NULL, "MLKV_LINEAR_CLIENT is not set: run the tests through meson");
    const char *arguments[] = {program,    self->store, log,        self->prefix,
                               numbers[0], numbers[1],  numbers[2], numbers[3],
                               numbers[4], numbers[5],  NULL};
    int error = posix_spawn(&self->pids[number], program, NULL, NULL, (char **)(uintptr_t)arguments,
                            environ);
    ck_assert_msg(error == 0, "starting %s: %s", program, strerror(error));
}

/* Waits for a client. True if it was killed. */
static bool end_client(trial *self, size_t number)
{
    int status;
    pid_t got;
    do
        got = waitpid(self->pids[number], &status, 0);
    while (got < 0 && errno == EINTR);
    ck_assert_int_eq(got, self->pids[number]);
    bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    ck_assert_msg((killed && self->may_die[number]) || status == 0,
                  "history %s: a client ended with status %x", self->prefix, (unsigned)status);
    return killed;
}

/* All clients of a history, the dead ones replaced once. */
static void run_clients(trial *self)
{
    for (int i = 0; i < PROCESSES; i++)
        start_client(self, i != 0 && rand_r(&self->seed) % 2 == 0);
    if (rand_r(&self->seed) % 3 == 0) { /* and one at any moment */
        (void)usleep((useconds_t)(rand_r(&self->seed) % 30000));
        self->may_die[0] = true;
        (void)kill(self->pids[0], SIGKILL);
    }
    for (size_t i = 0; i < self->clients; i++) {
        if (!end_client(self, i))
            continue;
        self->killed++;
        if (self->clients < CLIENTS_MAX && i < PROCESSES)
            start_client(self, false);
    }
}

static int64_t leading_number(const mlkv_slice *value)
{
    char digits[24] = {0};
    if (value->data != NULL)
        memcpy(digits, value->data,
               value->size < sizeof digits - 1 ? value->size : sizeof digits - 1);
    return strtoll(digits, NULL, 10);
}

/* A last look, by this process, at what the store holds. */
static checker_operation look(trial *self, mlkv *db, unsigned partition)
{
    checker_operation op = {.invoked = clock_monotonic_ns(), .sees = (1u << CHECKER_KEYS) - 1};
    char names[CHECKER_KEYS][64], hash[64];
    mlkv_slice keys[CHECKER_KEYS];
    mlkv_rows rows = {0};
    for (size_t i = 0; i < CHECKER_KEYS; i++) {
        if (partition % 2 == 0)
            snprintf(names[i], sizeof names[i], "field %zu", i);
        else
            snprintf(names[i], sizeof names[i], "%s:%u:%zu", self->prefix, partition, i);
        keys[i] = slice_of_text(names[i]);
    }
    snprintf(hash, sizeof hash, "%s:%u", self->prefix, partition);
    if (partition % 2 == 0)
        OK(mlkv_hash_get_many(db, slice_of_text(hash), keys, CHECKER_KEYS, &rows));
    else
        OK(mlkv_string_get_many(db, keys, CHECKER_KEYS, &rows));
    for (size_t i = 0; i < CHECKER_KEYS; i++)
        op.seen[i] = leading_number(&rows.items[i]);
    op.returned = clock_monotonic_ns();
    mlkv_rows_free(&rows);
    return op;
}

/* The operations of one partition, of all clients. */
static size_t gather(trial *self, unsigned partition)
{
    size_t count = 0;
    for (size_t i = 0; i < self->clients; i++) {
        for (size_t j = 0; j < THREADS * RECORDS_MAX; j++) {
            const history_record *at = &self->logs[i]->records[j / RECORDS_MAX][j % RECORDS_MAX];
            uint32_t state = __atomic_load_n(&at->state, __ATOMIC_ACQUIRE);
            if (state == HISTORY_EMPTY || at->partition != partition)
                continue;
            ck_assert_uint_lt(count, CHECKER_OPERATIONS_MAX - 1);
            self->operations[count] = at->operation;
            if (state == HISTORY_ASKED)
                self->operations[count].returned = CHECKER_NEVER;
            count++;
        }
    }
    return count;
}

static void print_history(const checker_operation *operations, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const checker_operation *op = &operations[i];
        fprintf(stderr, "  %llu %llu", (unsigned long long)op->invoked,
                (unsigned long long)op->returned);
        for (int key = 0; key < CHECKER_KEYS; key++) {
            if ((op->sees >> key & 1) != 0)
                fprintf(stderr, " sees %d=%lld", key, (long long)op->seen[key]);
            if (((op->sets | op->adds) >> key & 1) != 0)
                fprintf(stderr, " %s %d %lld", (op->sets >> key & 1) != 0 ? "sets" : "adds", key,
                        (long long)op->values[key]);
        }
        fputc('\n', stderr);
    }
}

static void check(trial *self, mlkv *db, unsigned seed)
{
    for (unsigned partition = 0; partition < PARTITIONS; partition++) {
        size_t explained, count = gather(self, partition);
        self->operations[count++] = look(self, db, partition);
        checker_verdict verdict = checker_run(self->operations, count, 0, &explained);
        if (verdict == CHECKER_NOT)
            print_history(self->operations, count);
        ck_assert_msg(verdict != CHECKER_NOT,
                      "MLKV_LINEAR_SEED=%u: no order explains partition %u of history %s (%zu "
                      "operations, at most %zu explained)",
                      seed, partition, self->prefix, count, explained);
        self->undecided += verdict == CHECKER_UNDECIDED;
        self->checked += count;
    }
}

static void one_history(trial *self, unsigned number, unsigned seed)
{
    mlkv_options options = {.size = sizeof options,
                            .ring_bytes = 64 << 10,
                            .cache_bytes = 256 << 10,
                            .sync_interval_ms = 5,
                            .lock_timeout_ms = 200000};
    mlkv *db = NULL;
    bool attended = number % 2 == 1;
    self->seed = seed;
    self->clients = 0;
    snprintf(self->prefix, sizeof self->prefix, "h%u", number);
    if (attended)
        OK(mlkv_open(self->store, &options, &db));
    run_clients(self);
    if (!attended)
        OK(mlkv_open(self->store, &options, &db));
    check(self, db, seed);
    OK(mlkv_verify(db, NULL, NULL, &(mlkv_report){.size = sizeof(mlkv_report)}));
    OK(mlkv_close(db));
    for (size_t i = 0; i < self->clients; i++)
        (void)munmap(self->logs[i], sizeof(history_file));
}

START_TEST(histories_are_linearizable)
{
    static trial self;
    unsigned count = (unsigned)number_from("MLKV_LINEAR_HISTORIES", HISTORIES),
             seed = (unsigned)number_from("MLKV_LINEAR_SEED", SEED);
    self.folder = harness_folder();
    snprintf(self.store, sizeof self.store, "%s/store", self.folder);
    for (unsigned i = 0; i < count; i++)
        one_history(&self, i, seed + i);
    printf("%u histories, %zu operations, %zu clients killed, %zu partitions undecided\n", count,
           self.checked, self.killed, self.undecided);
    ck_assert_uint_le(self.undecided * 50, (size_t)count * PARTITIONS);
    ck_assert_msg(count < 10 || self.killed != 0, "nobody was killed");
    harness_remove(self.folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("linear");
    TCase *tcase = harness_case(suite, "linear");
    tcase_set_timeout(tcase, 36000);
    tcase_add_test(tcase, histories_are_linearizable);
    return harness_run(suite);
}
