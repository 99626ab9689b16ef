/* team.c - see team.h.
 *
 * Each worker has a pipe to the parent, and its end is the pipe's end, whatever it died of. The
 * victim works without end, so that the kill always meets it in the middle of its work, however
 * late the parent comes to it on a loaded machine; its replacement does what the victim's
 * acknowledged steps left of the quota.
 */
#include "team.h"

#include "report.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

uint64_t team_acknowledged(const team *self)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < self->count; i++)
        sum += self->workers[i].last.step;
    return sum;
}

static noreturn void run_child(team *self, mlkv *db, const worker_task *task, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* no orphans go on training if the parent dies */
    if (getppid() != parent)
        _exit(3);
    signal(SIGINT, SIG_IGN); /* the parent ends its workers */
    for (unsigned i = 0; i + 1 < self->count; i++)
        if (self->workers[i].pipe >= 0)
            close(self->workers[i].pipe);
    worker_run(db, task);
    must(mlkv_close(db), "closing the store in a worker");
    _exit(0); /* not exit(): its handlers are the parent's */
}

static void start_worker(team *self, mlkv *db, uint64_t quota, uint64_t first, bool endless,
                         int in_place_of)
{
    int ends[2];
    if (pipe(ends) != 0)
        give_up("pipe: %s", strerror(errno));
    worker *added = &self->workers[self->count];
    *added = (worker){.task = {.number = self->count,
                               .quota = quota,
                               .first = first,
                               .endless = endless,
                               .pipe = ends[1]},
                      .pipe = ends[0],
                      .in_place_of = in_place_of};
    self->count++;
    fflush(NULL); /* or the child would print it again */
    pid_t parent = getpid();
    added->process = fork();
    if (added->process < 0)
        give_up("fork: %s", strerror(errno));
    if (added->process == 0) {
        close(ends[0]);
        run_child(self, db, &added->task, parent);
    }
    close(ends[1]);
}

/* Waits for its end and judges it. */
static void end_worker(worker *ended)
{
    int status = 0;
    close(ended->pipe);
    ended->pipe = -1;
    while (waitpid(ended->process, &status, 0) < 0)
        if (errno != EINTR)
            give_up("waitpid: %s", strerror(errno));
    if (ended->killed)
        ended->failed = !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL;
    else
        ended->failed = !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

/* Takes what the worker has told; false at the end of its pipe. */
static bool hear(worker *speaker)
{
    step_message messages[64];
    ssize_t size;
    do
        size = read(speaker->pipe, messages, sizeof messages);
    while (size < 0 && errno == EINTR);
    if (size <= 0)
        return false;
    speaker->last = messages[(size_t)size / sizeof *messages - 1];
    return true;
}

static void kill_and_replace(team *self, mlkv *db, unsigned victim)
{
    worker *dying = &self->workers[victim];
    dying->killed = true;
    kill(dying->process, SIGKILL);
    while (hear(dying)) /* what it told before it died counts */
        ;
    end_worker(dying);
    uint64_t quota = dying->task.quota, done = dying->last.step;
    start_worker(self, db, quota, done < quota ? done : quota - 1, false, (int)victim);
}

/* Waits until somebody speaks, and listens to all who do. False when nobody is left. */
static bool listen_once(team *self)
{
    struct pollfd polls[WORKERS_MAX + 1];
    worker *speakers[WORKERS_MAX + 1];
    nfds_t open_count = 0;
    for (unsigned i = 0; i < self->count; i++)
        if (self->workers[i].pipe >= 0) {
            speakers[open_count] = &self->workers[i];
            polls[open_count++] = (struct pollfd){.fd = self->workers[i].pipe, .events = POLLIN};
        }
    if (open_count == 0)
        return false;
    if (poll(polls, open_count, 1000) < 0 && errno != EINTR)
        give_up("poll: %s", strerror(errno));
    for (nfds_t i = 0; i < open_count; i++)
        if (polls[i].revents != 0 && !hear(speakers[i]))
            end_worker(speakers[i]);
    return true;
}

static void kill_all(team *self)
{
    for (unsigned i = 0; i < self->count; i++)
        if (self->workers[i].pipe >= 0) {
            self->workers[i].killed = true;
            kill(self->workers[i].process, SIGKILL);
            end_worker(&self->workers[i]);
        }
}

bool team_train(team *self, mlkv *db, unsigned workers, uint64_t steps,
                const volatile int *interrupted)
{
    *self = (team){.steps = steps};
    unsigned victim = workers > 1 ? 1 : 0;
    bool replaced = false, failed = false;
    double started = seconds_now();
    for (unsigned i = 0; i < workers; i++)
        start_worker(self, db, steps / workers + (i < steps % workers), 0, i == victim, -1);
    while (!failed && !*interrupted && listen_once(self)) {
        if (!replaced &&
            self->workers[victim].last.step >= (self->workers[victim].task.quota + 1) / 2) {
            report_event("killing worker %u after step %llu and starting worker %u in its place",
                         victim, (unsigned long long)self->workers[victim].last.step, workers);
            kill_and_replace(self, db, victim);
            replaced = true;
        }
        for (unsigned i = 0; i < self->count; i++)
            failed = failed || self->workers[i].failed;
        report_progress(self);
    }
    self->seconds = seconds_now() - started;
    kill_all(self);
    report_progress_end();
    return !failed && !*interrupted;
}
