/* test_fork_locks.c - fork() while another thread stands inside a lock of the library, for each of
 * its locks in turn; and vfork, which runs no handlers.
 *
 * A holder thread does something until it passes the point that stands inside the lock, and waits
 * there. Then the main thread forks, and lets the holder go on. The child has a copy of the lock that
 * nobody will ever release: it must read, write, scan, close and end all the same. The lock of the
 * registry is taken by fork itself: there it waits for the holder, who is let go by a third thread.
 *
 * Points are those of base/fault.h: fault points, and watch points. MLKV_LONG=1: 1,000 forks.
 *
 * Under sanitizers a process with threads may not go on after fork() in a child: nothing is tried.
 */
#include "visitors.h"

#include "base/clock.h"
#include "base/fault.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { CAN_FORK = 0 };
#else
enum { CAN_FORK = 1 };
#endif

enum { ANY = 1 << 30, TRIES_MAX = 3000 };

static struct {
    int fault, watch; /* the point to stop at; ANY: none of this sort */
    _Atomic bool armed;
    sem_t reached, go_on;
} stop;

static _Thread_local bool is_holder;

static void stand(void)
{
    atomic_store(&stop.armed, false);
    (void)sem_post(&stop.reached);
    while (sem_wait(&stop.go_on) != 0)
        ;
}

static void observe(fault_point point)
{
    if (is_holder && (int)point == stop.fault && atomic_load(&stop.armed))
        stand();
}

static void watch(watch_point point)
{
    if (is_holder && (int)point == stop.watch && atomic_load(&stop.armed))
        stand();
}

/* --- what the holder does to get there --- */

typedef struct {
    mlkv *db;
    const char *folder;
    void (*act)(mlkv *db, const char *folder, unsigned i);
} holder;

static void add(mlkv *db, const char *folder, unsigned i)
{
    int64_t value;
    (void)folder;
    (void)i;
    OK(mlkv_string_add(db, TEXT("held"), 1, &value));
}

static void write_through(mlkv *db, const char *folder, unsigned i)
{
    add(db, folder, i);
    OK(mlkv_flush(db, MLKV_STORE));
}

static void write_durably(mlkv *db, const char *folder, unsigned i)
{
    add(db, folder, i);
    OK(mlkv_flush(db, MLKV_SYNC));
}

static void write_large(mlkv *db, const char *folder, unsigned i)
{
    static unsigned char value[20000];
    (void)folder;
    for (size_t k = 0; k < sizeof value; k++)
        value[k] = (unsigned char)(k * 7 + i * (k >> 3));
    OK(mlkv_string_set(db, TEXT("large"), slice_of(value, sizeof value), MLKV_SET_ALWAYS));
}

static void write_many(mlkv *db, const char *folder, unsigned i)
{
    static unsigned char value[1500];
    mlkv *tx = NULL;
    (void)folder;
    OK(mlkv_begin(db, &tx));
    for (unsigned k = 0; k < 40; k++) {
        char key[32];
        int size = snprintf(key, sizeof key, "many %u", k);
        for (size_t n = 0; n < sizeof value; n++)
            value[n] = (unsigned char)(n * 31 + (i + k) * (n >> 2));
        OK(mlkv_string_set(tx, slice_of(key, (size_t)size), slice_of(value, sizeof value),
                           MLKV_SET_ALWAYS));
    }
    OK(mlkv_commit(tx));
}

static void write_much(mlkv *db, const char *folder, unsigned i)
{
    char key[32];
    static const char value[700];
    int size = snprintf(key, sizeof key, "much %u", i % 100);
    (void)folder;
    OK(mlkv_string_set(db, slice_of(key, (size_t)size), slice_of(value, sizeof value),
                       MLKV_SET_ALWAYS));
}

static void scan(mlkv *db, const char *folder, unsigned i)
{
    mlkv_cursor *cursor = NULL;
    mlkv_query query = {.size = sizeof query, .kind = MLKV_SCAN_KEYS};
    mlkv_slice name, value;
    add(db, folder, i);
    OK(mlkv_cursor_open(db, &query, &cursor));
    (void)mlkv_cursor_next(cursor, &name, &value);
    mlkv_cursor_close(cursor);
}

/* Snapshots until the slots that this process has are used up. */
static void look_often(mlkv *db, const char *folder, unsigned i)
{
    enum { SNAPSHOTS = 320 }; /* more than a process keeps idle slots for (lib/store/env.h) */
    mlkv *snapshots[SNAPSHOTS];
    int taken = 0;
    (void)folder;
    (void)i;
    for (; taken < SNAPSHOTS && atomic_load(&stop.armed); taken++)
        OK(mlkv_snapshot(db, &snapshots[taken]));
    for (int k = 0; k < taken; k++)
        OK(mlkv_close(snapshots[k]));
}

static void open_another(mlkv *db, const char *folder, unsigned i)
{
    char path[700];
    mlkv *other = NULL;
    mlkv_options options = steps_options(MLKV_JOURNAL);
    (void)db;
    (void)i;
    snprintf(path, sizeof path, "%s/other", folder);
    OK(mlkv_open(path, &options, &other));
    OK(mlkv_close(other));
}

static void *hold(void *argument)
{
    holder *self = argument;
    is_holder = true;
    for (unsigned i = 0; i < TRIES_MAX && atomic_load(&stop.armed); i++)
        self->act(self->db, self->folder, i);
    ck_assert_msg(!atomic_load(&stop.armed), "the holder never came to its point");
    return NULL;
}

/* --- the child --- */

/* No assertions here: an exit status. */
static int live_as_child(mlkv *db, bool closes)
{
    int64_t value;
    mlkv_buffer got = {0};
    mlkv_cursor *cursor = NULL;
    mlkv *snapshot = NULL;
    mlkv_query query = {.size = sizeof query, .kind = MLKV_SCAN_KEYS};
    mlkv_slice name, content;
    if (mlkv_string_get(db, TEXT("before"), &got) != MLKV_OK || got.size != 6)
        return 1;
    mlkv_buffer_free(&got);
    if (mlkv_string_add(db, TEXT("children"), 1, &value) != MLKV_OK)
        return 2;
    if (mlkv_cursor_open(db, &query, &cursor) != MLKV_OK ||
        mlkv_cursor_next(cursor, &name, &content) != MLKV_OK)
        return 3;
    mlkv_cursor_close(cursor);
    if (mlkv_snapshot(db, &snapshot) != MLKV_OK || mlkv_close(snapshot) != MLKV_OK)
        return 4;
    return !closes || mlkv_close(db) == MLKV_OK ? 0 : 5;
}

/* malloc's own locks are in use all the time, too. */
static void *churn(void *argument)
{
    _Atomic bool *ends = argument;
    for (unsigned i = 0; !atomic_load(ends); i++)
        free(malloc(i * 37 % 300000 + 1));
    return NULL;
}

static void *let_go_later(void *argument)
{
    (void)argument;
    clock_sleep_us(20000);
    (void)sem_post(&stop.go_on);
    return NULL;
}

/* --- the table --- */

typedef struct {
    const char *lock;
    int fault, watch;
    void (*act)(mlkv *db, const char *folder, unsigned i);
    bool on_disk, fork_waits;
} place;

static const place places[] = {
    {"the writer lock", FAULT_WRITE_LOCKED, ANY, add, false, false},
    {"the writer lock, half of a frame written", FAULT_APPEND_HALF, ANY, add, false, false},
    {"the catch-up lock", ANY, WATCH_TAKE_PENDING, add, false, false},
    {"a lock of the cache", ANY, WATCH_HELD_SHARD, add, false, false},
    {"the lock of the ordered index", ANY, WATCH_HELD_RUNS, scan, false, false},
    {"the lock of the background threads", ANY, WATCH_HELD_WAKING, write_much, false, false},
    {"the lock of journal.log", FAULT_SYNC_LOCKED, ANY, write_durably, true, false},
    {"the locks of draining, of appliers and of LMDB", FAULT_APPLY_LOCKED, ANY, write_through,
     false, false},
    {"the same, committed", FAULT_APPLY_COMMITTED, ANY, write_through, false, false},
    {"the same, of a batch past the ring", FAULT_DIRECT_COMMITTED, ANY, write_many, false, false},
    {"a large value's", FAULT_BLOB_PIECE, ANY, write_large, false, false},
    {"the gate of the table of readers", FAULT_READER_SLOT, ANY, look_often, false, false},
    {"the registry's", FAULT_RECOVER_FILES, ANY, open_another, false, true},
};
enum { PLACES = sizeof places / sizeof places[0] };

/* Holds, forks, lets go; the holder and the child end well. */
static void one_fork(mlkv *db, const char *folder, const place *at, bool child_closes)
{
    holder self = {db, folder, at->act};
    pthread_t thread, helper;
    int status;
    stop.fault = at->fault;
    stop.watch = at->watch;
    atomic_store(&stop.armed, true);
    ck_assert_int_eq(pthread_create(&thread, NULL, hold, &self), 0);
    while (sem_wait(&stop.reached) != 0)
        ck_assert_int_eq(errno, EINTR);
    if (at->fork_waits)
        ck_assert_int_eq(pthread_create(&helper, NULL, let_go_later, NULL), 0);
    pid_t child = harness_fork();
    if (child == 0)
        _exit(live_as_child(db, child_closes));
    if (at->fork_waits)
        ck_assert_int_eq(pthread_join(helper, NULL), 0);
    else
        (void)sem_post(&stop.go_on);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(status == 0, "%s: the child ended with status %x", at->lock, (unsigned)status);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

START_TEST(while_a_thread_holds_each_lock)
{
    const char *folder = harness_folder();
    const char *text = getenv("MLKV_LONG");
    int rounds = text != NULL && text[0] == '1' ? 1000 / PLACES + 1 : 4;
    if (CAN_FORK) {
        mlkv_options options = steps_options(MLKV_JOURNAL);
        mlkv *db = NULL;
        int64_t children = 0;
        _Atomic bool ends = false;
        pthread_t churner;
        options.sync_interval_ms = 3600 * 1000; /* the keeper shall not take the holder's work */
        options.lock_timeout_ms = 100000;
        ck_assert_int_eq(sem_init(&stop.reached, 0, 0), 0);
        ck_assert_int_eq(sem_init(&stop.go_on, 0, 0), 0);
        OK(mlkv_open(folder, &options, &db));
        OK(mlkv_string_set(db, TEXT("before"), TEXT("a fork"), MLKV_SET_ALWAYS));
        ck_assert_int_eq(pthread_create(&churner, NULL, churn, &ends), 0);
        fault_observe(observe);
        fault_watch(watch);
        for (int round = 0; round < rounds; round++) {
            for (size_t i = 0; i < PLACES; i++) {
                if (places[i].on_disk && folder_is_in_memory(folder))
                    continue;
                one_fork(db, folder, &places[i], round % 2 == 0);
                children++;
            }
        }
        fault_observe(NULL);
        fault_watch(NULL);
        atomic_store(&ends, true);
        ck_assert_int_eq(pthread_join(churner, NULL), 0);
        ck_assert_int_eq(number_of(db, "children"), children);
        OK(mlkv_verify(db, NULL, NULL, &(mlkv_report){.size = sizeof(mlkv_report)}));
        OK(mlkv_close(db));
    }
    harness_remove(folder);
}
END_TEST

/* vfork's child shares the memory of its parent and runs no handler: it may do nothing but begin
 * another program, and then the store must be as it was, a transaction in it included. */
START_TEST(vfork_and_another_program)
{
    const char *folder = harness_folder();
    mlkv_options options = steps_options(MLKV_JOURNAL);
    mlkv *db = NULL, *tx = NULL;
    int64_t value;
    use_visitor();
    const char *program = getenv("MLKV_VISITOR");
    OK(mlkv_open(folder, &options, &db));
    OK(mlkv_string_add(db, TEXT("n"), 1, &value));
    for (int i = 0; i < 5; i++) {
        int status;
        OK(mlkv_begin(db, &tx));
        OK(mlkv_string_add(tx, TEXT("n"), 1, &value));
        pid_t child = vfork();
        if (child == 0) {
            execl(program, program, "get", folder, "n", (char *)NULL);
            _exit(9);
        }
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_int_eq(status, 0); /* it read while the transaction was open */
        OK(mlkv_commit(tx));
        ck_assert_int_eq(number_of(db, "n"), i + 2);
    }
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fork_locks");
    TCase *tcase = harness_case(suite, "fork_locks");
    tcase_set_timeout(tcase, 900);
    tcase_add_test(tcase, while_a_thread_holds_each_lock);
    tcase_add_test(tcase, vfork_and_another_program);
    return harness_run(suite);
}
