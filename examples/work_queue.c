/* work_queue.c - a work queue whose workers are killed: build/examples/work_queue [FOLDER]
 *
 * Four processes square numbers; eight times one of them is killed (SIGKILL) and another started in its place. At the end every number has
 * one square, and the sum, which each job adds to in the transaction that ends it, is right. The queue itself is queue/queue.c.
 */
#include "queue/queue.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { JOBS = 4000, WORKERS = 4, KILLS = 8, PAUSE_MS = 20 };

static void must(int result, const char *what)
{
    if (result < 0) {
        fprintf(stderr, "%s: %s\n", what, mlkv_error_detail());
        _exit(1);
    }
}

static mlkv_slice text(const char *string)
{
    return (mlkv_slice){string, strlen(string)};
}

/* A job's result and its part of the sum are written in the transaction that ends the job: both, and once. */
static void finish(const queue *jobs, const queue_job *job)
{
    long number = strtol(job->id, NULL, 10);
    char square[32];
    snprintf(square, sizeof square, "%ld", number * number);
    mlkv_pair pair = {text(job->id), text(square)};
    mlkv *transaction;
    int result = queue_finish(jobs, job, &transaction);
    must(result, "finish");
    if (result == MLKV_ABSENT)
        return; /* too late: the lease is lost, and the job another's */
    must(mlkv_hash_set(transaction, text("squares:results"), &pair, 1, NULL), "result");
    must(mlkv_string_add(transaction, text("sum"), number, NULL), "sum");
    must(mlkv_commit(transaction), "commit");
}

static void work(const char *folder)
{
    mlkv *db;
    must(mlkv_open(folder, NULL, &db), folder);
    queue jobs = {
        .db = db, .name = "squares", .lease_ms = 5000, .attempts_max = 100, .look_ms = 100};
    queue_job job = {0};
    queue_counts counts = {0};
    while (counts.done < JOBS) {
        int result = queue_claim(&jobs, 100, &job);
        must(result, "claim");
        if (result == MLKV_OK)
            finish(&jobs, &job);
        else
            must(queue_count(&jobs, &counts), "count");
    }
    queue_job_free(&job);
    must(mlkv_close(db), "close");
}

static pid_t start(const char *folder)
{
    fflush(NULL);
    pid_t process = fork();
    if (process == 0) {
        work(folder);
        _exit(0);
    }
    if (process < 0)
        exit(1);
    return process;
}

static void kill_some(const char *folder, pid_t workers[WORKERS])
{
    struct timespec pause = {0, PAUSE_MS * 1000000};
    for (int i = 0; i < KILLS; i++) {
        pid_t *victim = &workers[i % WORKERS];
        nanosleep(&pause, NULL);
        kill(*victim, SIGKILL);
        waitpid(*victim, NULL, 0);
        *victim = start(folder);
    }
}

static int report(mlkv *db)
{
    queue jobs = {.db = db, .name = "squares"};
    queue_counts counts = {0};
    int64_t sum = 0;
    must(queue_count(&jobs, &counts), "count");
    must(mlkv_string_add(db, text("sum"), 0, &sum), "sum");
    printf("%d jobs, %d workers killed: %llu results, the sum of the numbers is %lld\n", JOBS,
           KILLS, (unsigned long long)counts.done, (long long)sum);
    return counts.done == JOBS && counts.ready + counts.taken + counts.dead == 0 &&
                   sum == (int64_t)JOBS * (JOBS - 1) / 2
               ? 0
               : 1;
}

int main(int argc, char **argv)
{
    const char *folder = argc > 1 ? argv[1] : "work-queue.mlkv";
    pid_t workers[WORKERS];
    mlkv *db;
    int status, failed = 0;
    for (int i = 0; i < WORKERS; i++)
        workers[i] = start(folder);
    must(mlkv_open(folder, NULL, &db), folder);
    queue jobs = {.db = db, .name = "squares"};
    for (int i = 0; i < JOBS; i++) {
        char id[16];
        snprintf(id, sizeof id, "%d", i);
        must(queue_push(&jobs, id, text("")), "push");
    }
    kill_some(folder, workers);
    for (int i = 0; i < WORKERS; i++)
        failed |= waitpid(workers[i], &status, 0) != workers[i] || status != 0;
    failed |= report(db);
    must(mlkv_close(db), "close");
    return failed;
}
