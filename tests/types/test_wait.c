/* test_wait.c - blocking pops and watches: nothing missed, nothing doubled, no polling; across threads, processes and deaths. */
#include "types/stores.h"

#include "base/clock.h"
#include "base/fault.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

enum { LONG_MS = 60000 }; /* longer than any test may take */

static void push(mlkv *view, mlkv_slice key, mlkv_slice value)
{
    OK(mlkv_list_push(view, key, MLKV_LIST_RIGHT, &value, 1, NULL));
}

typedef struct {
    mlkv *db;
    int result;
    size_t which;
    mlkv_rows values;
} popper;

static void *pop_one(void *argument)
{
    popper *self = argument;
    mlkv_slice keys[] = {TEXT("a"), TEXT("b")};
    self->result = mlkv_list_pop_wait(self->db, keys, 2, MLKV_LIST_LEFT, 1, LONG_MS, &self->which,
                                      &self->values);
    return NULL;
}

START_TEST(a_push_ends_the_wait)
{
    mlkv *db = memory_store();
    popper self = {.db = db, .result = 77};
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, pop_one, &self), 0);
    for (int i = 0; i < 20; i++) { /* other keys do not */
        OK(mlkv_string_set(db, TEXT("other"), TEXT("v"), MLKV_SET_ALWAYS));
        clock_sleep_us(1000);
    }
    push(db, TEXT("b"), TEXT("value"));
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    MUST(MLKV_OK, self.result);
    ck_assert_uint_eq(self.which, 1);
    ck_assert_uint_eq(self.values.count, 1);
    ck_assert(slice_equal(self.values.items[0], TEXT("value")));
    mlkv_rows_free(&self.values);
    ck_assert_uint_eq(key_count(db), 1);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(what_is_there_needs_no_wait)
{
    mlkv *db = memory_store(), *transaction = NULL, *snapshot = NULL;
    mlkv_slice key = TEXT("a");
    mlkv_rows values = {0};
    mlkv_buffer value = {0};
    size_t which;
    push(db, key, TEXT("1"));
    OK(mlkv_list_pop_wait(db, &key, 1, MLKV_LIST_LEFT, 5, -1, &which, &values));
    ck_assert_uint_eq(values.count, 1);
    MUST(MLKV_ABSENT, mlkv_list_pop_wait(db, &key, 1, MLKV_LIST_LEFT, 1, 0, &which, &values));
    MUST(MLKV_ABSENT, mlkv_list_pop_wait(db, &key, 1, MLKV_LIST_LEFT, 1, 20, &which, &values));
    MUST(MLKV_ABSENT,
         mlkv_list_move_wait(db, key, TEXT("b"), MLKV_LIST_LEFT, MLKV_LIST_RIGHT, 20, &value));
    MUST(MLKV_E_ARGUMENT, mlkv_list_pop_wait(db, NULL, 0, MLKV_LIST_LEFT, 1, 20, &which, &values));
    MUST(MLKV_E_ARGUMENT, mlkv_list_pop_wait(db, &key, 1, MLKV_LIST_LEFT, 0, 20, &which, &values));
    OK(mlkv_begin(db, &transaction)); /* nobody else can write: at once */
    MUST(MLKV_ABSENT,
         mlkv_list_pop_wait(transaction, &key, 1, MLKV_LIST_LEFT, 1, -1, &which, &values));
    ck_assert(mlkv_view_waits(db) == 1 && mlkv_view_waits(transaction) == 0 &&
              mlkv_view_waits(NULL) == 0);
    OK(mlkv_abort(transaction));
    OK(mlkv_snapshot(db, &snapshot));
    ck_assert_int_eq(mlkv_view_waits(snapshot), 0);
    MUST(MLKV_E_READONLY,
         mlkv_list_pop_wait(snapshot, &key, 1, MLKV_LIST_LEFT, 1, -1, &which, &values));
    OK(mlkv_close(snapshot));
    OK(mlkv_string_set(db, key, TEXT("v"), MLKV_SET_ALWAYS));
    MUST(MLKV_E_TYPE, mlkv_list_pop_wait(db, &key, 1, MLKV_LIST_LEFT, 1, -1, &which, &values));
    push(db, TEXT("s"), TEXT("2"));
    OK(mlkv_list_move_wait(db, TEXT("s"), TEXT("d"), MLKV_LIST_LEFT, MLKV_LIST_RIGHT, -1, &value));
    IS(TEXT("2"), value);
    mlkv_rows_free(&values);
    mlkv_buffer_free(&value);
    OK(mlkv_close(db));
}
END_TEST

/* Processor time of ten seconds of waiting, in which it wakes fewer than five times. */
static long idle_wait_us(mlkv *db)
{
    mlkv_slice key = TEXT("a");
    mlkv_rows values = {0};
    size_t which;
    struct rusage before, after;
    ck_assert_int_eq(getrusage(RUSAGE_THREAD, &before), 0);
    MUST(MLKV_ABSENT, mlkv_list_pop_wait(db, &key, 1, MLKV_LIST_LEFT, 1, 10000, &which, &values));
    ck_assert_int_eq(getrusage(RUSAGE_THREAD, &after), 0);
    ck_assert_int_lt(after.ru_nvcsw - before.ru_nvcsw, 5);
    mlkv_rows_free(&values);
    return (after.ru_utime.tv_sec + after.ru_stime.tv_sec - before.ru_utime.tv_sec -
            before.ru_stime.tv_sec) *
               1000000 +
           after.ru_utime.tv_usec + after.ru_stime.tv_usec - before.ru_utime.tv_usec -
           before.ru_stime.tv_usec;
}

/* Less than a millisecond; a machine that is busy with others may make one look dearer than it is, but not three. */
START_TEST(an_idle_wait_costs_nothing)
{
    mlkv *db = memory_store();
    mlkv_slice key = TEXT("a");
    mlkv_rows values = {0};
    size_t which;
    MUST(MLKV_ABSENT, mlkv_list_pop_wait(db, &key, 1, MLKV_LIST_LEFT, 1, 1, &which, &values));
    long cpu_us = idle_wait_us(db);
    for (int again = 0; again < 2 && cpu_us >= 1000 && !SANITIZED; again++)
        cpu_us = idle_wait_us(db);
    if (!SANITIZED)
        ck_assert_int_lt(cpu_us, 1000);
    mlkv_rows_free(&values);
    OK(mlkv_close(db));
}
END_TEST

/* --- sorted sets --- */

static void add(mlkv *view, mlkv_slice key, const char *member, double score)
{
    mlkv_scored pair = {slice_of_text(member), score};
    OK(mlkv_zset_add(view, key, &pair, 1, 0, NULL, NULL));
}

typedef struct {
    mlkv *db;
    int highest, result;
    size_t which;
    mlkv_rows members;
    mlkv_buffer scores;
} zset_popper;

static void *pop_members(void *argument)
{
    zset_popper *self = argument;
    mlkv_slice keys[] = {TEXT("a"), TEXT("b")};
    self->result = mlkv_zset_pop_wait(self->db, keys, 2, 2, self->highest, LONG_MS, &self->which,
                                      &self->members, &self->scores);
    return NULL;
}

/* Whatever makes the key ends the wait: an add, a store, a commit. */
static void make(mlkv *db, int way)
{
    mlkv_slice source = TEXT("source"), destination = TEXT("b");
    mlkv *transaction = NULL;
    if (way == 0) {
        mlkv_scored pairs[] = {{TEXT("x"), 1}, {TEXT("y"), 2}, {TEXT("z"), 3}};
        OK(mlkv_zset_add(db, destination, pairs, 3, 0, NULL, NULL));
    } else if (way == 1) {
        OK(mlkv_zset_union_store(db, destination, &source, 1, NULL, MLKV_ZSET_SUM, NULL));
    } else {
        OK(mlkv_begin(db, &transaction));
        add(transaction, destination, "x", 1);
        add(transaction, destination, "y", 2);
        add(transaction, destination, "z", 3);
        OK(mlkv_commit(transaction));
    }
}

START_TEST(members_end_the_wait)
{
    mlkv *db = memory_store();
    mlkv_slice keys[] = {TEXT("source"), TEXT("b")};
    add(db, keys[0], "x", 1);
    add(db, keys[0], "y", 2);
    add(db, keys[0], "z", 3);
    for (int way = 0; way < 3; way++) {
        zset_popper self = {.db = db, .highest = way % 2, .result = 77};
        pthread_t thread;
        ck_assert_int_eq(pthread_create(&thread, NULL, pop_members, &self), 0);
        for (int i = 0; i < 10; i++) { /* other keys do not */
            OK(mlkv_string_set(db, TEXT("other"), TEXT("v"), MLKV_SET_ALWAYS));
            clock_sleep_us(1000);
        }
        make(db, way);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        MUST(MLKV_OK, self.result);
        ck_assert_uint_eq(self.which, 1);
        ck_assert_uint_eq(self.members.count, 2);
        ck_assert(slice_equal(self.members.items[0], self.highest ? TEXT("z") : TEXT("x")));
        ck_assert(slice_equal(self.members.items[1], TEXT("y")));
        ck_assert_uint_eq(self.scores.size, 2 * sizeof(double));
        ck_assert_double_eq(((double *)self.scores.data)[0], self.highest ? 3 : 1);
        ck_assert_double_eq(((double *)self.scores.data)[1], 2);
        mlkv_rows_free(&self.members);
        mlkv_buffer_free(&self.scores);
        OK(mlkv_key_delete(db, &keys[1], 1, NULL));
    }
    OK(mlkv_close(db));
}
END_TEST

START_TEST(members_that_are_there_need_no_wait)
{
    mlkv *db = memory_store(), *transaction = NULL, *snapshot = NULL;
    mlkv_slice keys[] = {TEXT("a"), TEXT("b"), TEXT("text")};
    mlkv_rows members = {0};
    size_t which = 77;
    OK(mlkv_string_set(db, keys[2], TEXT("v"), MLKV_SET_ALWAYS));
    add(db, keys[1], "m", 1);
    /* the first that exists decides: what stands behind it does not matter, what stands before it does */
    OK(mlkv_zset_pop_wait(db, keys, 3, 5, 0, -1, &which, &members, NULL));
    ck_assert_uint_eq(which, 1);
    ck_assert_uint_eq(members.count, 1);
    which = 77;
    MUST(MLKV_E_TYPE, mlkv_zset_pop_wait(db, keys, 3, 1, 0, -1, &which, &members, NULL));
    MUST(MLKV_ABSENT, mlkv_zset_pop_wait(db, keys, 2, 1, 0, 0, &which, &members, NULL));
    MUST(MLKV_ABSENT, mlkv_zset_pop_wait(db, keys, 2, 1, 1, 20, NULL, &members, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_zset_pop_wait(db, keys, 0, 1, 0, 20, &which, &members, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_zset_pop_wait(db, NULL, 2, 1, 0, 20, &which, &members, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_zset_pop_wait(db, keys, 2, 0, 0, 20, &which, &members, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_zset_pop_wait(NULL, keys, 2, 1, 0, 20, &which, &members, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_zset_pop_wait(db, keys, 2, 1, 0, 20, &which, NULL, NULL));
    OK(mlkv_begin(db, &transaction)); /* nobody else can write: at once */
    MUST(MLKV_ABSENT, mlkv_zset_pop_wait(transaction, keys, 2, 1, 0, -1, &which, &members, NULL));
    add(transaction, keys[0], "n", 1);
    OK(mlkv_zset_pop_wait(transaction, keys, 2, 1, 0, -1, NULL, &members, NULL));
    OK(mlkv_abort(transaction));
    OK(mlkv_snapshot(db, &snapshot));
    MUST(MLKV_E_READONLY, mlkv_zset_pop_wait(snapshot, keys, 2, 1, 0, -1, &which, &members, NULL));
    OK(mlkv_close(snapshot));
    ck_assert_uint_eq(which, 77);
    mlkv_rows_free(&members);
    OK(mlkv_close(db));
}
END_TEST

/* --- many processes --- */

enum { CONSUMERS = 4, PRODUCERS = 2, ITEMS = 1500 };

typedef struct {
    _Atomic uint32_t seen[PRODUCERS][ITEMS];
    _Atomic uint32_t ready;
} tally;

static void consume(const char *folder, tally *counts)
{
    mlkv *db = folder_store(folder);
    mlkv_slice key = TEXT("queue");
    mlkv_rows values = {0};
    size_t which;
    atomic_fetch_add(&counts->ready, 1);
    for (;;) {
        OK(mlkv_list_pop_wait(db, &key, 1, MLKV_LIST_LEFT, 1, LONG_MS, &which, &values));
        unsigned producer, item;
        if (sscanf(values.items[0].data, "%u %u", &producer, &item) != 2)
            break; /* "stop" */
        atomic_fetch_add(&counts->seen[producer][item], 1);
    }
    mlkv_rows_free(&values);
    OK(mlkv_close(db));
}

static void produce(const char *folder, unsigned producer)
{
    mlkv *db = folder_store(folder);
    for (unsigned i = 0; i < ITEMS; i++) {
        char text[32];
        int size = snprintf(text, sizeof text, "%u %u", producer, i);
        push(db, TEXT("queue"), slice_of(text, (size_t)size + 1));
    }
    OK(mlkv_close(db));
}

static pid_t start(void (*run)(const char *, tally *, unsigned), const char *folder, tally *counts,
                   unsigned number)
{
    pid_t pid = harness_fork();
    if (pid == 0) {
        run(folder, counts, number);
        _exit(0);
    }
    return pid;
}

static void run_consumer(const char *folder, tally *counts, unsigned number)
{
    (void)number;
    consume(folder, counts);
}

static void run_producer(const char *folder, tally *counts, unsigned number)
{
    (void)counts;
    produce(folder, number);
}

static void must_end_well(pid_t pid)
{
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}

START_TEST(each_item_reaches_one_of_many_processes)
{
    const char *folder = harness_folder();
    tally *counts =
        mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t consumers[CONSUMERS], producers[PRODUCERS];
    for (unsigned i = 0; i < CONSUMERS; i++)
        consumers[i] = start(run_consumer, folder, counts, i);
    for (unsigned i = 0; i < PRODUCERS; i++)
        producers[i] = start(run_producer, folder, counts, i);
    for (unsigned i = 0; i < PRODUCERS; i++)
        must_end_well(producers[i]);
    mlkv *db = folder_store(folder);
    for (unsigned i = 0; i < CONSUMERS; i++)
        push(db, TEXT("queue"), TEXT("stop"));
    for (unsigned i = 0; i < CONSUMERS; i++)
        must_end_well(consumers[i]);
    for (unsigned p = 0; p < PRODUCERS; p++)
        for (unsigned i = 0; i < ITEMS; i++)
            ck_assert_uint_eq(counts->seen[p][i], 1);
    ck_assert_uint_eq(key_count(db), 0);
    verify_all(db);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* A waiter that dies is forgotten, and one whose waker dies between writing and waking looks again by itself. */
START_TEST(deaths_on_both_sides)
{
    const char *folder = harness_folder();
    tally *counts =
        mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t dies = start(run_consumer, folder, counts, 0);
    while (atomic_load(&counts->ready) == 0)
        clock_sleep_us(1000);
    clock_sleep_us(20000);
    ck_assert_int_eq(kill(dies, SIGKILL), 0);
    ck_assert_int_eq(waitpid(dies, NULL, 0), dies);
    pid_t lives = start(run_consumer, folder, counts, 0);
    while (atomic_load(&counts->ready) == 1)
        clock_sleep_us(1000);
    pid_t waker = harness_fork();
    if (waker == 0) {
        mlkv *db = folder_store(folder);
        fault_arm(FAULT_WRITE_UNLOCKED, FAULT_KILL, 1, 0);
        push(db, TEXT("queue"), TEXT("0 7"));
        _exit(1);
    }
    int status;
    ck_assert_int_eq(waitpid(waker, &status, 0), waker);
    ck_assert(WIFSIGNALED(status));
    for (int i = 0; i < 60000 && atomic_load(&counts->seen[0][7]) == 0; i++)
        clock_sleep_us(1000);
    ck_assert_uint_eq(counts->seen[0][7], 1);
    mlkv *db = folder_store(folder);
    push(db, TEXT("queue"), TEXT("stop"));
    must_end_well(lives);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* --- watches --- */

static mlkv_watch *watch(mlkv *db, const mlkv_slice *keys, size_t n, const mlkv_slice *prefixes,
                         size_t m)
{
    mlkv_watch_query query = {sizeof query, keys, n, prefixes, m};
    mlkv_watch *self = NULL;
    OK(mlkv_watch_open(db, &query, &self));
    return self;
}

START_TEST(a_watch_tells_of_its_keys_only)
{
    mlkv *db = memory_store();
    mlkv_slice keys[] = {TEXT("h"), TEXT("s")}, member = TEXT("m");
    mlkv_pair pair = {TEXT("f"), TEXT("v")};
    char long_key[600];
    memset(long_key, 'k', sizeof long_key);
    OK(mlkv_hash_set(db, keys[0], &pair, 1, NULL));
    OK(mlkv_hash_set(db, TEXT("other"), &pair, 1, NULL));
    mlkv_watch *self = watch(db, keys, 2, NULL, 0);
    MUST(MLKV_ABSENT, mlkv_watch_wait(self, 0));
    pair.value = TEXT("w");
    OK(mlkv_hash_set(db, TEXT("other"), &pair, 1, NULL));
    OK(mlkv_string_set(db, TEXT("hh"), TEXT("v"), MLKV_SET_ALWAYS));
    OK(mlkv_set_add(db, TEXT("set"), &member, 1, NULL));
    MUST(MLKV_ABSENT, mlkv_watch_wait(self, 5));
    OK(mlkv_hash_set(db, keys[0], &pair, 1,
                     NULL)); /* a field that was there: the key's own record stays */
    MUST(MLKV_OK, mlkv_watch_wait(self, 0));
    MUST(MLKV_ABSENT, mlkv_watch_wait(self, 0));
    OK(mlkv_string_set(db, keys[1], TEXT("v"), MLKV_SET_ALWAYS));
    MUST(MLKV_OK, mlkv_watch_wait(self, 0));
    OK(mlkv_key_delete(db, keys, 1, NULL));
    MUST(MLKV_OK, mlkv_watch_wait(self, 0));
    OK(mlkv_hash_set(db, keys[0], &pair, 1, NULL)); /* a new life */
    MUST(MLKV_OK, mlkv_watch_wait(self, 0));
    OK(mlkv_hash_set(db, keys[0], &pair, 1, NULL));
    MUST(MLKV_OK, mlkv_watch_wait(self, 0));
    OK(mlkv_key_expire(db, keys[0], LONG_MS, MLKV_EXPIRE_ALWAYS));
    MUST(MLKV_OK, mlkv_watch_wait(self, 0));
    mlkv_watch_close(self);
    mlkv_slice name = slice_of(long_key, sizeof long_key);
    self = watch(db, &name, 1, NULL, 0);
    OK(mlkv_string_set(db, slice_of(long_key, 599), TEXT("v"), MLKV_SET_ALWAYS));
    MUST(MLKV_ABSENT, mlkv_watch_wait(self, 0));
    OK(mlkv_string_set(db, name, TEXT("v"), MLKV_SET_ALWAYS));
    MUST(MLKV_OK, mlkv_watch_wait(self, 0));
    mlkv_watch_close(self);
    mlkv_watch_close(NULL);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(a_watch_of_prefixes)
{
    mlkv *db = memory_store();
    mlkv_slice prefixes[] = {TEXT("user:"), TEXT("model/")}, all = TEXT("");
    mlkv_pair pair = {TEXT("f"), TEXT("v")};
    OK(mlkv_hash_set(db, TEXT("user:1"), &pair, 1, NULL));
    OK(mlkv_hash_set(db, TEXT("use"), &pair, 1, NULL));
    mlkv_watch *self = watch(db, NULL, 0, prefixes, 2);
    OK(mlkv_hash_set(db, TEXT("use"), &pair, 1, NULL));
    OK(mlkv_string_set(db, TEXT("models"), TEXT("v"), MLKV_SET_ALWAYS));
    MUST(MLKV_ABSENT, mlkv_watch_wait(self, 0));
    OK(mlkv_hash_set(db, TEXT("user:1"), &pair, 1, NULL)); /* an element only */
    MUST(MLKV_OK, mlkv_watch_wait(self, 0));
    OK(mlkv_string_set(db, TEXT("model/9"), TEXT("v"), MLKV_SET_ALWAYS));
    MUST(MLKV_OK, mlkv_watch_wait(self, 0));
    MUST(MLKV_ABSENT, mlkv_watch_wait(self, 0));
    mlkv_watch_close(self);
    self = watch(db, NULL, 0, &all, 1);
    OK(mlkv_string_set(db, TEXT("x"), TEXT("v"), MLKV_SET_ALWAYS));
    MUST(MLKV_OK, mlkv_watch_wait(self, 0));
    mlkv_watch_close(self);
    mlkv_watch_query query = {.size = sizeof query};
    MUST(MLKV_E_ARGUMENT, mlkv_watch_open(db, &query, &self));
    query.size = 1;
    MUST(MLKV_E_ARGUMENT, mlkv_watch_open(db, &query, &self));
    OK(mlkv_close(db));
}
END_TEST

/* More than the ring holds: what changed is not known any more, so it counts as changed. */
START_TEST(what_the_ring_forgot_counts_as_changed)
{
    mlkv *db = memory_store();
    mlkv_slice key = TEXT("k");
    mlkv_watch *self = watch(db, &key, 1, NULL, 0);
    for (int i = 0; i < 20000; i++) /* some 2 MiB of frames, in a ring of one */
        OK(mlkv_string_set(db, TEXT("other"), TEXT("v"), MLKV_SET_ALWAYS));
    MUST(MLKV_OK, mlkv_watch_wait(self, 0));
    MUST(MLKV_ABSENT, mlkv_watch_wait(self, 0));
    mlkv_watch_close(self);
    OK(mlkv_close(db));
}
END_TEST

typedef struct {
    mlkv *db;
    mlkv_watch *watch;
    int result;
} watcher;

static void *watch_one(void *argument)
{
    watcher *self = argument;
    self->result = mlkv_watch_wait(self->watch, LONG_MS);
    return NULL;
}

START_TEST(a_change_ends_the_wait_of_a_watch)
{
    mlkv *db = memory_store(), *transaction = NULL;
    mlkv_slice key = TEXT("h"), prefix = TEXT("h");
    mlkv_pair pair = {TEXT("f"), TEXT("v")};
    OK(mlkv_hash_set(db, key, &pair, 1, NULL));
    for (int i = 0; i < 2; i++) {
        watcher self = {.db = db,
                        .watch =
                            i == 0 ? watch(db, &key, 1, NULL, 0) : watch(db, NULL, 0, &prefix, 1),
                        .result = 77};
        pthread_t thread;
        ck_assert_int_eq(pthread_create(&thread, NULL, watch_one, &self), 0);
        clock_sleep_us(20000);
        OK(mlkv_begin(db, &transaction));
        OK(mlkv_hash_set(transaction, key, &pair, 1, NULL));
        OK(mlkv_commit(transaction));
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        MUST(MLKV_OK, self.result);
        mlkv_watch_close(self.watch);
    }
    OK(mlkv_close(db));
}
END_TEST

/* --- optimistic transactions --- */

START_TEST(a_transaction_only_if_nothing_changed)
{
    mlkv *db = memory_store(), *transaction = NULL;
    mlkv_slice key = TEXT("k");
    mlkv_watch *self = watch(db, &key, 1, NULL, 0);
    OK(mlkv_begin_unchanged(db, self, &transaction));
    OK(mlkv_string_set(transaction, key, TEXT("1"), MLKV_SET_ALWAYS));
    OK(mlkv_commit(transaction));
    MUST(MLKV_ABSENT, mlkv_begin_unchanged(db, self, &transaction)); /* its own write counts */
    OK(mlkv_string_set(db, TEXT("other"), TEXT("1"), MLKV_SET_ALWAYS));
    OK(mlkv_begin_unchanged(db, self, &transaction));
    OK(mlkv_abort(transaction));
    mlkv_watch_close(self);
    OK(mlkv_close(db));
}
END_TEST

enum { THREADS = 4, ADDS = 300 };

/* Reads, counts, and writes only if nobody came in between. */
static void *add_optimistically(void *argument)
{
    mlkv *db = argument, *transaction = NULL;
    mlkv_slice key = TEXT("n");
    mlkv_buffer value = {0};
    mlkv_watch *self = watch(db, &key, 1, NULL, 0);
    for (int done = 0; done < ADDS;) {
        char text[32];
        int result = mlkv_string_get(db, key, &value);
        ck_assert_int_ge(result, 0);
        long old = 0;
        if (result == MLKV_OK) {
            snprintf(text, sizeof text, "%.*s", (int)value.size, (char *)value.data);
            old = strtol(text, NULL, 10);
        }
        result = mlkv_begin_unchanged(db, self, &transaction);
        if (result == MLKV_ABSENT)
            continue;
        OK(result);
        int size = snprintf(text, sizeof text, "%ld", old + 1);
        OK(mlkv_string_set(transaction, key, slice_of(text, (size_t)size), MLKV_SET_ALWAYS));
        OK(mlkv_commit(transaction));
        MUST(MLKV_OK, mlkv_watch_wait(self, 0)); /* its own */
        done++;
    }
    mlkv_watch_close(self);
    mlkv_buffer_free(&value);
    return NULL;
}

START_TEST(optimistic_counting_loses_nothing)
{
    mlkv *db = memory_store();
    pthread_t threads[THREADS];
    int64_t sum;
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, add_optimistically, db), 0);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    OK(mlkv_string_add(db, TEXT("n"), 0, &sum));
    ck_assert_int_eq(sum, THREADS * ADDS);
    OK(mlkv_close(db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("types/wait");
    TCase *tcase = harness_case(suite, "wait");
    tcase_add_test(tcase, a_push_ends_the_wait);
    tcase_add_test(tcase, what_is_there_needs_no_wait);
    tcase_add_test(tcase, members_end_the_wait);
    tcase_add_test(tcase, members_that_are_there_need_no_wait);
    tcase_add_test(tcase, an_idle_wait_costs_nothing);
    tcase_add_test(tcase, each_item_reaches_one_of_many_processes);
    tcase_add_test(tcase, deaths_on_both_sides);
    tcase_add_test(tcase, a_watch_tells_of_its_keys_only);
    tcase_add_test(tcase, a_watch_of_prefixes);
    tcase_add_test(tcase, what_the_ring_forgot_counts_as_changed);
    tcase_add_test(tcase, a_change_ends_the_wait_of_a_watch);
    tcase_add_test(tcase, a_transaction_only_if_nothing_changed);
    tcase_add_test(tcase, optimistic_counting_loses_nothing);
    return harness_run(suite);
}
