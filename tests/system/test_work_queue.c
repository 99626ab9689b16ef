/* test_work_queue.c - the work queue of docs/work-queue.md (examples/queue): each rule by itself, and then eight processes that are killed
 * all the time.
 *
 * In the long test two processes push and six work. Killed are, at random moments, any of them; a job in 400 kills each worker that takes
 * it; now and then a worker outstays its lease before it reports. Others are started in the place of the dead until every job is done or
 * in the list of the dead. What a job leaves is a result, a count of its own, and its part of a sum, all written in the transaction that
 * ends it: so a job done twice shows in count and sum, a lost one in all three.
 *
 * The parent opens the store only when nobody else lives. MLKV_QUEUE_JOBS: how many jobs (default 3000); MLKV_QUEUE_SEED.
 */
#include "harness.h"

#include "queue/queue.h"

#include <mlkv/mlkv.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

enum { LONG_MS = 60000 };

static mlkv *store(const char *folder)
{
    mlkv *db = NULL;
    mlkv_options options = {.size = sizeof options, .ring_bytes = 1 << 20, .cache_bytes = 1 << 20};
    CHILD_MUST(mlkv_open(folder, &options, &db) == MLKV_OK);
    return db;
}

static void sleep_ms(unsigned ms)
{
    (void)usleep(ms * 1000);
}

static void counts_are(const queue *jobs, uint64_t ready, uint64_t taken, uint64_t done,
                       uint64_t dead)
{
    queue_counts counts = {77, 77, 77, 77};
    OK(queue_count(jobs, &counts));
    ck_assert_uint_eq(counts.ready, ready);
    ck_assert_uint_eq(counts.taken, taken);
    ck_assert_uint_eq(counts.done, done);
    ck_assert_uint_eq(counts.dead, dead);
}

static void payload_is(const queue_job *job, const char *expected)
{
    ck_assert(slice_equal(slice_of(job->payload.data, job->payload.size), slice_of_text(expected)));
}

START_TEST(the_life_of_a_job)
{
    mlkv *db = store(NULL);
    queue jobs = {.db = db, .name = "q"};
    queue_job job = {0};
    mlkv_buffer result = {0};
    char long_name[QUEUE_NAME_BYTES + 1] = {0};
    memset(long_name, 'n', QUEUE_NAME_BYTES);
    queue refused = {.db = db, .name = long_name};
    MUST(MLKV_ABSENT, queue_claim(&jobs, 0, &job));
    MUST(MLKV_ABSENT, queue_claim(&jobs, 20, &job));
    OK(queue_push(&jobs, "a", TEXT("1")));
    OK(queue_push(&jobs, "b", TEXT("")));
    MUST(MLKV_ABSENT, queue_push(&jobs, "a", TEXT("2")));
    MUST(MLKV_E_SIZE, queue_push(&jobs, "", TEXT("")));
    MUST(MLKV_E_SIZE, queue_push(&jobs, long_name, TEXT("")));
    MUST(MLKV_E_SIZE, queue_push(&refused, "a", TEXT("")));
    MUST(MLKV_E_SIZE, queue_claim(&refused, 0, &job));
    counts_are(&jobs, 2, 0, 0, 0);
    OK(queue_claim(&jobs, -1, &job));
    ck_assert_str_eq(job.id, "a");
    ck_assert_int_eq(job.attempt, 1);
    payload_is(&job, "1");
    counts_are(&jobs, 1, 1, 0, 0);
    MUST(MLKV_ABSENT, queue_push(&jobs, "a", TEXT("2"))); /* somebody has it */
    OK(queue_renew(&jobs, &job));
    OK(queue_acknowledge(&jobs, &job, TEXT("one")));
    MUST(MLKV_ABSENT, queue_acknowledge(&jobs, &job, TEXT("two")));
    MUST(MLKV_ABSENT, queue_push(&jobs, "a", TEXT("2"))); /* it is done */
    OK(mlkv_hash_get(db, TEXT("q:results"), TEXT("a"), &result));
    ck_assert(slice_equal(slice_of(result.data, result.size), TEXT("one")));
    OK(queue_claim(&jobs, 0, &job));
    payload_is(&job, "");
    OK(queue_release(&jobs, &job));
    counts_are(&jobs, 1, 0, 1, 0);
    OK(queue_claim(&jobs, 0, &job));
    ck_assert_int_eq(job.attempt, 2);
    OK(queue_acknowledge(&jobs, &job, TEXT("")));
    counts_are(&jobs, 0, 0, 2, 0);
    queue_job_free(&job);
    mlkv_buffer_free(&result);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(a_lost_lease_is_refused)
{
    mlkv *db = store(NULL), *transaction = NULL;
    queue slow = {.db = db, .name = "q", .lease_ms = 20},
          fast = {.db = db, .name = "q", .look_ms = 1};
    queue_job late = {0}, job = {0};
    OK(queue_push(&slow, "a", TEXT("payload")));
    OK(queue_claim(&slow, 0, &late));
    OK(queue_claim(&fast, LONG_MS, &job)); /* sleeps until the lease is over */
    ck_assert_str_eq(job.id, "a");
    payload_is(&job, "payload");
    ck_assert_int_eq(job.attempt, 2);
    ck_assert_uint_gt(job.lease.fence, late.lease.fence);
    MUST(MLKV_ABSENT, queue_renew(&slow, &late));
    MUST(MLKV_ABSENT, queue_release(&slow, &late));
    MUST(MLKV_ABSENT, queue_finish(&slow, &late, &transaction));
    ck_assert_ptr_null(transaction);
    MUST(MLKV_ABSENT, queue_acknowledge(&slow, &late, TEXT("late")));
    counts_are(&fast, 0, 1, 0, 0);
    OK(queue_acknowledge(&fast, &job, TEXT("in time")));
    MUST(MLKV_ABSENT, queue_acknowledge(&slow, &late, TEXT("late")));
    counts_are(&fast, 0, 0, 1, 0);
    queue_job_free(&late);
    queue_job_free(&job);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(an_aborted_end_has_not_happened)
{
    mlkv *db = store(NULL), *transaction = NULL;
    queue jobs = {.db = db, .name = "q"};
    queue_job job = {0};
    OK(queue_push(&jobs, "a", TEXT("")));
    OK(queue_claim(&jobs, 0, &job));
    OK(queue_finish(&jobs, &job, &transaction));
    OK(mlkv_abort(transaction));
    counts_are(&jobs, 0, 1, 0, 0);
    OK(queue_acknowledge(&jobs, &job, TEXT("")));
    counts_are(&jobs, 0, 0, 1, 0);
    queue_job_free(&job);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(a_cancelled_job_is_passed_over)
{
    mlkv *db = store(NULL);
    queue jobs = {.db = db, .name = "q"};
    queue_job job = {0};
    mlkv_slice keys[] = {TEXT("q:job:a"), TEXT("q:job:b")};
    OK(queue_push(&jobs, "a", TEXT("1")));
    OK(queue_push(&jobs, "b", TEXT("2")));
    OK(queue_push(&jobs, "c", TEXT("3")));
    OK(mlkv_key_delete(db, &keys[0], 1, NULL)); /* while it waits */
    OK(queue_claim(&jobs, 0, &job));
    ck_assert_str_eq(job.id, "b");
    payload_is(&job, "2");
    OK(mlkv_key_delete(db, &keys[1], 1, NULL)); /* while somebody has it, who gives it back */
    OK(queue_release(&jobs, &job));
    OK(queue_claim(&jobs, 0, &job));
    ck_assert_str_eq(job.id, "c");
    OK(queue_acknowledge(&jobs, &job, TEXT("")));
    MUST(MLKV_ABSENT, queue_claim(&jobs, 0, &job));
    counts_are(&jobs, 0, 0, 1, 0);
    queue_job_free(&job);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(too_many_attempts)
{
    mlkv *db = store(NULL);
    queue jobs = {.db = db, .name = "q", .attempts_max = 3};
    queue_job job = {0};
    mlkv_buffer id = {0};
    size_t count = 77;
    OK(queue_push(&jobs, "bad", TEXT("payload")));
    for (int i = 1; i <= 3; i++) {
        OK(queue_claim(&jobs, 0, &job));
        ck_assert_int_eq(job.attempt, i);
        OK(queue_release(&jobs, &job));
    }
    MUST(MLKV_ABSENT, queue_claim(&jobs, 0, &job));
    counts_are(&jobs, 0, 0, 0, 1);
    MUST(MLKV_ABSENT, queue_push(&jobs, "bad", TEXT("")));
    OK(mlkv_list_get(db, TEXT("q:dead"), 0, &id));
    ck_assert(slice_equal(slice_of(id.data, id.size), TEXT("bad")));
    OK(mlkv_hash_get(db, TEXT("q:job:bad"), TEXT("payload"), &id));
    OK(queue_reap(&jobs, &count));
    ck_assert_uint_eq(count, 0);
    queue_job_free(&job);
    mlkv_buffer_free(&id);
    OK(mlkv_close(db));
}
END_TEST

static void die_with_a_job(const char *folder)
{
    queue jobs = {.db = store(folder), .name = "q", .lease_ms = 100 * LONG_MS};
    queue_job job = {0};
    CHILD_MUST(queue_push(&jobs, "a", TEXT("")) == MLKV_OK);
    CHILD_MUST(queue_claim(&jobs, 0, &job) == MLKV_OK);
    (void)kill(getpid(), SIGKILL);
}

/* A lease of a hundred minutes, and no wait for it: the process is dead. */
START_TEST(the_job_of_a_dead_worker)
{
    const char *folder = harness_folder();
    int status;
    IN_CHILD(status, die_with_a_job(folder));
    ck_assert_int_eq(status, -SIGKILL);
    mlkv *db = store(folder);
    queue jobs = {.db = db, .name = "q", .look_ms = 50};
    queue_job job = {0};
    counts_are(&jobs, 0, 1, 0, 0);
    OK(queue_claim(&jobs, LONG_MS, &job));
    ck_assert_str_eq(job.id, "a");
    ck_assert_int_eq(job.attempt, 2);
    OK(queue_acknowledge(&jobs, &job, TEXT("")));
    queue_job_free(&job);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

static void *push_one(void *context)
{
    queue jobs = {.db = context, .name = "q"};
    sleep_ms(30);
    OK(queue_push(&jobs, "a", TEXT("")));
    return NULL;
}

START_TEST(an_empty_queue_sleeps)
{
    mlkv *db = store(NULL);
    queue jobs = {.db = db, .name = "q", .look_ms = 1};
    queue_job job = {0};
    struct rusage before, after;
    pthread_t thread;
    ck_assert_int_eq(getrusage(RUSAGE_THREAD, &before), 0);
    MUST(MLKV_ABSENT, queue_claim(&jobs, 500, &job));
    ck_assert_int_eq(getrusage(RUSAGE_THREAD, &after), 0);
    ck_assert_int_lt(after.ru_nvcsw - before.ru_nvcsw, 10); /* not 500 */
    ck_assert_int_eq(pthread_create(&thread, NULL, push_one, db), 0);
    OK(queue_claim(&jobs, -1, &job));
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    queue_job_free(&job);
    OK(mlkv_close(db));
}
END_TEST

/* --- eight processes, killed all the time --- */

enum {
    PRODUCERS = 2,
    PROCESSES = 8,
    POISON_EVERY = 400, /* such a job kills its worker */
    LATE_EVERY = 60,    /* about so often a worker outstays its lease */
    ATTEMPTS_MAX = 20,
    LEASE_MS = 150,
    LOOK_MS = 20,
    READY_MAX = 40,
    KILL_MS_MAX = 30
};

typedef struct {
    const char *folder;
    unsigned jobs, seed;
    struct {
        _Atomic uint32_t pushed[PRODUCERS], refused, late, killed;
    } * shared;
    pid_t processes[PROCESSES];
    bool over[PROCESSES]; /* ended by itself */
} load;

static queue load_queue(mlkv *db)
{
    return (queue){.db = db,
                   .name = "load",
                   .lease_ms = LEASE_MS,
                   .attempts_max = ATTEMPTS_MAX,
                   .look_ms = LOOK_MS};
}

/* The queue is kept short, so that a job that goes back is soon in other hands: while its late worker is still about to report. */
static void wait_for_room(const queue *jobs)
{
    queue_counts counts;
    for (;;) {
        CHILD_MUST(queue_count(jobs, &counts) == MLKV_OK);
        if (counts.ready < READY_MAX)
            return;
        sleep_ms(1);
    }
}

/* Each pushes its share. What was said to be pushed is not pushed again; the one in doubt is. */
static void produce(load *self, unsigned number)
{
    queue jobs = load_queue(store(self->folder));
    for (;;) {
        char id[16];
        unsigned next = atomic_load(&self->shared->pushed[number]) * PRODUCERS + number;
        if (next >= self->jobs)
            break;
        wait_for_room(&jobs);
        snprintf(id, sizeof id, "%u", next);
        CHILD_MUST(queue_push(&jobs, id, slice_of(&next, sizeof next)) >= 0);
        atomic_fetch_add(&self->shared->pushed[number], 1);
    }
    CHILD_MUST(mlkv_close(jobs.db) == MLKV_OK);
}

/* Result, count and sum: all in one transaction. */
static void end_job(load *self, queue *jobs, const queue_job *job, unsigned number)
{
    mlkv *transaction;
    mlkv_pair pair = {slice_of_text(job->id), slice_of(job->payload.data, job->payload.size)};
    int result = queue_finish(jobs, job, &transaction);
    CHILD_MUST(result >= 0);
    if (result == MLKV_ABSENT) {
        atomic_fetch_add(&self->shared->refused, 1);
        return;
    }
    CHILD_MUST(mlkv_hash_set(transaction, TEXT("load:results"), &pair, 1, NULL) == MLKV_OK);
    CHILD_MUST(mlkv_hash_add(transaction, TEXT("counts"), pair.name, 1, NULL) == MLKV_OK);
    CHILD_MUST(mlkv_string_add(transaction, TEXT("sum"), number, NULL) == MLKV_OK);
    CHILD_MUST(mlkv_commit(transaction) == MLKV_OK);
}

static void work(load *self, unsigned seed)
{
    queue jobs = load_queue(store(self->folder));
    queue_job job = {0};
    queue_counts counts = {0};
    while (counts.done + counts.dead < self->jobs) {
        unsigned number;
        int result = queue_claim(&jobs, 100, &job);
        CHILD_MUST(result >= 0);
        if (result == MLKV_ABSENT) {
            CHILD_MUST(queue_count(&jobs, &counts) == MLKV_OK);
            continue;
        }
        CHILD_MUST(job.payload.size == sizeof number);
        memcpy(&number, job.payload.data, sizeof number);
        if (number % POISON_EVERY == 0)
            (void)kill(getpid(), SIGKILL);
        if (rand_r(&seed) % LATE_EVERY == 0) {
            atomic_fetch_add(&self->shared->late, 1);
            sleep_ms(LEASE_MS + LEASE_MS / 4);
        }
        end_job(self, &jobs, &job, number);
    }
    queue_job_free(&job);
    CHILD_MUST(mlkv_close(jobs.db) == MLKV_OK);
}

static void start(load *self, unsigned i)
{
    unsigned seed = (unsigned)rand_r(&self->seed);
    pid_t pid = harness_fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* none goes on without the test */
        if (i < PRODUCERS)
            produce(self, i);
        else
            work(self, seed);
        harness_exit(0);
    }
    self->processes[i] = pid;
}

/* Starts another in the place of each that was killed. Whether some process is not at its end. */
static bool look_after(load *self)
{
    bool some = false;
    for (unsigned i = 0; i < PROCESSES; i++) {
        int status;
        if (self->over[i])
            continue;
        some = true;
        if (waitpid(self->processes[i], &status, WNOHANG) != self->processes[i])
            continue;
        self->over[i] = WIFEXITED(status);
        ck_assert_msg(self->over[i] ? WEXITSTATUS(status) == 0 : WTERMSIG(status) == SIGKILL,
                      "process %u ended with status %d", i, status);
        if (!self->over[i]) {
            atomic_fetch_add(&self->shared->killed, 1);
            start(self, i);
        }
    }
    return some;
}

/* One kill for each twenty jobs, and then it is calm, so that it ends. */
static void run(load *self)
{
    unsigned kills_left = self->jobs / 20;
    for (unsigned i = 0; i < PROCESSES; i++)
        start(self, i);
    while (look_after(self)) {
        (void)usleep(1000 + (unsigned)rand_r(&self->seed) % (KILL_MS_MAX * 1000));
        unsigned victim = (unsigned)rand_r(&self->seed) % PROCESSES;
        if (kills_left == 0 || self->over[victim])
            continue;
        (void)kill(self->processes[victim], SIGKILL); /* a child of ours, not yet waited for */
        kills_left--;
    }
}

static int64_t number_at(mlkv *db, const char *key)
{
    int64_t number = -1;
    OK(mlkv_string_add(db, slice_of_text(key), 0, &number));
    return number;
}

static void check_job(mlkv *db, unsigned number, uint64_t *dead, int64_t *sum)
{
    char id[16];
    int64_t count = 0;
    mlkv_buffer result = {0};
    snprintf(id, sizeof id, "%u", number);
    int found = mlkv_hash_get(db, TEXT("load:results"), slice_of_text(id), &result);
    OK(mlkv_hash_add(db, TEXT("counts"), slice_of_text(id), 0, &count));
    if (number % POISON_EVERY == 0) {
        MUST(MLKV_ABSENT, found);
        ck_assert_int_eq(count, 0);
        ++*dead;
    } else {
        ck_assert_msg(found == MLKV_OK, "job %u has no result", number);
        ck_assert_msg(count == 1, "job %u was done %lld times", number, (long long)count);
        ck_assert(
            slice_equal(slice_of(result.data, result.size), slice_of(&number, sizeof number)));
        *sum += number;
    }
    mlkv_buffer_free(&result);
}

static unsigned number_of(const char *variable, unsigned otherwise)
{
    const char *text = getenv(variable);
    return text != NULL ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

START_TEST(killed_workers_lose_and_double_nothing)
{
    load self = {.folder = harness_folder(),
                 .jobs = number_of("MLKV_QUEUE_JOBS", harness_rounds(3000)),
                 .seed = number_of("MLKV_QUEUE_SEED", (unsigned)time(NULL)),
                 .shared = shared_page()};
    mlkv_report report = {.size = sizeof report};
    int64_t sum = 0;
    uint64_t dead = 0;
    printf("MLKV_QUEUE_SEED=%u\n", self.seed);
    run(&self);
    mlkv *db = store(self.folder);
    queue jobs = load_queue(db);
    for (unsigned i = 0; i < self.jobs; i++)
        check_job(db, i, &dead, &sum);
    counts_are(&jobs, 0, 0, self.jobs - dead, dead);
    ck_assert_int_eq(number_at(db, "sum"), sum);
    OK(mlkv_verify(db, NULL, NULL, &report));
    printf("%u jobs, %llu of them deadly; %u processes killed, %u workers late, %u refused\n",
           self.jobs, (unsigned long long)dead, self.shared->killed, self.shared->late,
           self.shared->refused);
    ck_assert_uint_ge(self.shared->killed, dead * ATTEMPTS_MAX);
    OK(mlkv_close(db));
    harness_remove(self.folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("system/work_queue");
    TCase *tcase = harness_case(suite, "work_queue");
    tcase_add_test(tcase, the_life_of_a_job);
    tcase_add_test(tcase, a_lost_lease_is_refused);
    tcase_add_test(tcase, an_aborted_end_has_not_happened);
    tcase_add_test(tcase, a_cancelled_job_is_passed_over);
    tcase_add_test(tcase, too_many_attempts);
    tcase_add_test(tcase, the_job_of_a_dead_worker);
    tcase_add_test(tcase, an_empty_queue_sleeps);
    tcase_add_test(tcase, killed_workers_lose_and_double_nothing);
    return harness_run(suite);
}
