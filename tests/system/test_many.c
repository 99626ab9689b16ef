/* test_many.c - many processes and threads that come and go, and forks while every lock is in use:
 * sums are right, the store is well, no reader slot is left behind.
 *
 * By default a small crowd; MLKV_LONG=1 makes it 64 processes of 8 threads, and 1,000 forks.
 */
#include "visitors.h"

#include <pthread.h>
#include <stdatomic.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { CAN_FORK = 0 }; /* as in test_fork.c */
#else
enum { CAN_FORK = 1 };
#endif

/* Idle read transactions that one process keeps at most (lib/store/env.h). */
enum { READERS_OF_A_PROCESS_MAX = 256 };

static bool is_long(void)
{
    const char *text = getenv("MLKV_LONG");
    return text != NULL && text[0] == '1';
}

static mlkv *open_store(const char *folder)
{
    mlkv_options options = steps_options(MLKV_JOURNAL);
    options.lock_timeout_ms = 200000;
    mlkv *db = NULL;
    OK(mlkv_open(folder, &options, &db));
    return db;
}

static void check_store(const char *folder, int64_t sum)
{
    mlkv *db = open_store(folder);
    mlkv_stats stats = {.size = sizeof stats};
    mlkv_report report = {.size = sizeof report};
    ck_assert_int_eq(number_of(db, "sum"), sum);
    OK(mlkv_verify(db, NULL, NULL, &report));
    OK(mlkv_stats_get(db, &stats));
    ck_assert_uint_le(stats.readers, READERS_OF_A_PROCESS_MAX);
    OK(mlkv_close(db));
    db = open_store(
        folder); /* everybody left: the slots of those who did not say so are given back */
    OK(mlkv_stats_get(db, &stats));
    ck_assert_uint_le(stats.readers, 8);
    OK(mlkv_close(db));
    harness_remove(folder);
}

START_TEST(come_and_go)
{
    enum { PROCESSES_MAX = 64 };
    const char *folder = harness_folder();
    process visitors[PROCESSES_MAX];
    int processes = is_long() ? 64 : 16, threads = is_long() ? 8 : 4, rounds = is_long() ? 200 : 60;
    char numbers[3][16];
    use_visitor();
    snprintf(numbers[1], sizeof numbers[1], "%d", threads);
    snprintf(numbers[2], sizeof numbers[2], "%d", rounds);
    for (int i = 0; i < processes; i++) {
        snprintf(numbers[0], sizeof numbers[0], "%d", i);
        const char *arguments[] = {"many", folder, numbers[0], numbers[1], numbers[2], NULL};
        visitors[i] = process_start(arguments);
    }
    for (int i = 0; i < processes; i++) {
        int status = process_end(&visitors[i]);
        ck_assert_msg(status == 0, "visitor %d ended with status %x", i, (unsigned)status);
    }
    check_store(folder, (int64_t)processes * threads * rounds);
}
END_TEST

typedef struct {
    mlkv *db;
    _Atomic bool stop;
    _Atomic int64_t added;
} hammers;

/* The writer lock, drains (the ring is small), and now and then LMDB directly. */
static void *hammer_writes(void *argument)
{
    hammers *self = argument;
    unsigned char value[9000];
    memset(value, 'x', sizeof value);
    for (unsigned i = 0; !atomic_load(&self->stop); i++) {
        char key[32];
        int64_t sum;
        snprintf(key, sizeof key, "hammer %u", i % 100);
        OK(mlkv_string_set(self->db, slice_of_text(key),
                           slice_of(value, i % 50 == 0 ? sizeof value : i % 900), MLKV_SET_ALWAYS));
        OK(mlkv_string_add(self->db, TEXT("sum"), 1, &sum));
        atomic_fetch_add(&self->added, 1);
    }
    return NULL;
}

/* Catching up, the cache, pending, read transactions. */
static void *hammer_reads(void *argument)
{
    hammers *self = argument;
    mlkv_buffer value = {0};
    for (unsigned i = 0; !atomic_load(&self->stop); i++) {
        char key[32];
        snprintf(key, sizeof key, "hammer %u", i * 7 % 100);
        ck_assert_int_ge(mlkv_string_get(self->db, slice_of_text(key), &value), 0);
    }
    mlkv_buffer_free(&value);
    return NULL;
}

/* Snapshots and flushes: the drain, the sync lock. */
static void *hammer_waits(void *argument)
{
    hammers *self = argument;
    for (unsigned i = 0; !atomic_load(&self->stop); i++) {
        mlkv *snapshot = NULL;
        OK(mlkv_snapshot(self->db, &snapshot));
        ck_assert_int_ge(number_of(snapshot, "sum"), 0);
        OK(mlkv_close(snapshot));
        OK(mlkv_flush(self->db, i % 2 == 0 ? MLKV_SYNC : MLKV_STORE));
    }
    return NULL;
}

/* No Check assertions in children: an exit status. */
static int live_as_child(mlkv *db, bool closes)
{
    int64_t sum;
    mlkv_buffer value = {0};
    if (mlkv_string_add(db, TEXT("sum"), 1, &sum) != MLKV_OK)
        return 1;
    if (mlkv_string_get(db, TEXT("hammer 7"), &value) < 0)
        return 2;
    mlkv_buffer_free(&value);
    return !closes || mlkv_close(db) == MLKV_OK ? 0 : 3;
}

static void fork_often(hammers *self, int forks)
{
    enum { AT_ONCE = 4 };
    pid_t children[AT_ONCE];
    for (int i = 0; i < forks; i += AT_ONCE) {
        for (int j = 0; j < AT_ONCE; j++) {
            children[j] = fork();
            if (children[j] == 0)
                _exit(live_as_child(self->db, j % 2 == 0));
            ck_assert_int_gt(children[j], 0);
        }
        for (int j = 0; j < AT_ONCE; j++) {
            int status;
            ck_assert_int_eq(waitpid(children[j], &status, 0), children[j]);
            ck_assert_msg(status == 0, "child %d ended with status %x", i + j, (unsigned)status);
            atomic_fetch_add(&self->added, 1);
        }
    }
}

START_TEST(fork_while_every_lock_is_in_use)
{
    enum { HAMMERS = 4, SPAWNS = 4, SPAWN_ROUNDS = 5 };
    const char *folder = harness_folder();
    if (CAN_FORK) {
        void *(*const runs[HAMMERS])(void *) = {hammer_writes, hammer_writes, hammer_reads,
                                                hammer_waits};
        hammers shared = {.db = open_store(folder)};
        pthread_t threads[HAMMERS];
        use_visitor();
        for (int i = 0; i < HAMMERS; i++)
            ck_assert_int_eq(pthread_create(&threads[i], NULL, runs[i], &shared), 0);
        fork_often(&shared, is_long() ? 1000 : 200);
        for (int i = 0; i < SPAWNS; i++) { /* spawn inherits nothing */
            const char *arguments[] = {"many", folder, "1", "1", "5", NULL};
            process child = process_start(arguments);
            ck_assert_int_eq(process_end(&child), 0);
            atomic_fetch_add(&shared.added, SPAWN_ROUNDS);
        }
        atomic_store(&shared.stop, true);
        for (int i = 0; i < HAMMERS; i++)
            ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        OK(mlkv_close(shared.db));
        check_store(folder, atomic_load(&shared.added));
    } else {
        harness_remove(folder);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("many");
    TCase *tcase = harness_case(suite, "many");
    if (is_long())
        tcase_set_timeout(tcase, 3000);
    tcase_add_test(tcase, come_and_go);
    tcase_add_test(tcase, fork_while_every_lock_is_in_use);
    return harness_run(suite);
}
