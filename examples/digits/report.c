/* report.c - see report.h. Progress goes to stderr, the table to stdout. */
#include "report.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

enum { BAR_WIDTH = 40, QUARTERS = 4 };

static int last_percent = -1; /* what was printed last: the bar is drawn anew only when it moves */

static double mean_loss(const team *trained)
{
    double sum = 0;
    unsigned count = 0;
    for (unsigned i = 0; i < trained->count; i++)
        if (trained->workers[i].last.step > 0 && !trained->workers[i].killed) {
            sum += trained->workers[i].last.loss;
            count++;
        }
    return count == 0 ? 0 : sum / count;
}

void report_progress(const team *trained)
{
    uint64_t done = team_acknowledged(trained);
    int percent = done >= trained->steps ? 100 : (int)(done * 100 / trained->steps);
    if (percent == last_percent)
        return;
    if (isatty(STDERR_FILENO)) {
        char bar[BAR_WIDTH + 1];
        for (int i = 0; i < BAR_WIDTH; i++)
            bar[i] = i * 100 < percent * BAR_WIDTH ? '#' : '.';
        bar[BAR_WIDTH] = '\0';
        fprintf(stderr, "\r[%s] %3d %%  loss %.3f ", bar, percent, mean_loss(trained));
    } else if (percent * QUARTERS / 100 != last_percent * QUARTERS / 100) {
        fprintf(stderr, "%3d %% of %llu steps, loss %.3f\n", percent,
                (unsigned long long)trained->steps, mean_loss(trained));
    }
    last_percent = percent;
}

void report_progress_end(void)
{
    if (last_percent >= 0 && isatty(STDERR_FILENO))
        fputc('\n', stderr);
    last_percent = -1;
}

void report_event(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

static const char *end_of(const worker *one, char (*buffer)[64])
{
    if (one->failed)
        return "failed";
    if (one->killed)
        return "killed (SIGKILL)";
    if (one->in_place_of < 0)
        return "finished";
    snprintf(*buffer, sizeof *buffer, "finished, in place of worker %d", one->in_place_of);
    return *buffer;
}

/* A worker that finished told of every step; a killed one may have committed one more than it told
 * of. */
static bool is_kept(const worker *one, uint64_t stored)
{
    return stored == one->last.step || (one->killed && stored == one->last.step + 1);
}

/* The rows of the workers; true if each kept what it had acknowledged. */
static bool report_workers(const team *trained, const outcome *result, uint64_t *ret_stored)
{
    bool kept = true;
    uint64_t sum = 0;
    printf("\n%-8s %14s %14s   %s\n", "worker", "acknowledged", "in the store", "end");
    for (unsigned i = 0; i < trained->count; i++) {
        const worker *one = &trained->workers[i];
        char end[64];
        bool fine = !one->failed && is_kept(one, result->stored[i]);
        printf("%-8u %14llu %14llu   %s%s\n", i, (unsigned long long)one->last.step,
               (unsigned long long)result->stored[i], end_of(one, &end), fine ? "" : "  WRONG");
        kept = kept && fine;
        sum += result->stored[i];
    }
    *ret_stored = sum;
    return kept;
}

static void report_speed(const team *trained)
{
    uint64_t reads = 0, writes = 0;
    for (unsigned i = 0; i < trained->count; i++) {
        reads += trained->workers[i].last.reads;
        writes += trained->workers[i].last.writes;
    }
    double seconds = trained->seconds > 0 ? trained->seconds : 1e-9;
    uint64_t steps = team_acknowledged(trained);
    printf("%-26s %llu steps of %d digits in %.2f s\n", "training", (unsigned long long)steps,
           BATCH_SIZE, seconds);
    printf("%-26s %.0f a second\n", "reads", (double)reads / seconds);
    printf("%-26s %.0f a second, in %.0f transactions\n", "writes", (double)writes / seconds,
           (double)steps / seconds);
}

bool report_outcome(const team *trained, const outcome *result)
{
    uint64_t stored = 0;
    bool kept = report_workers(trained, result, &stored);
    bool whole = result->changes == stored;
    bool learned = result->accuracy >= result->accuracy_wanted;
    bool sound = result->verified.problems == 0;

    printf("\n%-26s %.2f %% of %zu held-out digits (%.0f %% wanted)%s\n", "accuracy",
           100 * result->accuracy, result->held_out, 100 * result->accuracy_wanted,
           learned ? "" : "  WRONG");
    report_speed(trained);
    printf("%-26s %llu bytes in %llu, %.2f : 1\n", "tensors, compressed",
           (unsigned long long)result->raw_bytes, (unsigned long long)result->stored_bytes,
           (double)result->raw_bytes /
               (double)(result->stored_bytes > 0 ? result->stored_bytes : 1));
    printf("%-26s %.1f KiB in LMDB\n", "store", (double)result->store_bytes / 1024);
    printf("%-26s %llu records, %llu problems%s\n", "verified",
           (unsigned long long)result->verified.records,
           (unsigned long long)result->verified.problems, sound ? "" : "  WRONG");
    printf("%-26s %llu counted, %llu in the model%s\n", "steps after reopening",
           (unsigned long long)stored, (unsigned long long)result->changes, whole ? "" : "  WRONG");
    printf("%-26s %s\n", "lost with a killed worker",
           kept ? "nothing that was acknowledged" : "acknowledged steps  WRONG");
    return kept && whole && learned && sound;
}
