/* worker.c - see worker.h.
 *
 * A step: draw a batch, pull the model, compute the gradient, and in ONE transaction add it to the
 * model and one to the worker's counter. Then tell the parent the counter's value. So whenever the
 * worker dies, the store holds either as many steps as it told of, or one more (it died between the
 * commit and the message), and never a part of a step.
 */
#include "worker.h"

#include "data.h"
#include "model.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Falls from the first to the second over the quota: large steps at the start find the place, small
 * ones at the end settle there. */
static const double rate_first = 0.5, rate_last = 0.1;

static mlkv_slice counter_name(char (*buffer)[32], unsigned number)
{
    return (mlkv_slice){*buffer, (size_t)snprintf(*buffer, sizeof *buffer, "worker:%u", number)};
}

static double rate_at(uint64_t step, uint64_t quota)
{
    double progress = step < quota ? (double)step / (double)quota : 1;
    return rate_first + (rate_last - rate_first) * progress;
}

static uint64_t commit_step(mlkv *db, const model *gradient, double rate, unsigned number)
{
    char field[32];
    int64_t step = 0;
    mlkv *transaction;
    must(mlkv_begin(db, &transaction), "beginning a step");
    model_push(transaction, gradient, -rate);
    must(mlkv_hash_add(transaction, text_slice(KEY_STEPS), counter_name(&field, number), 1, &step),
         "counting a step");
    must(mlkv_commit(transaction), "committing a step");
    return (uint64_t)step;
}

static void tell(int pipe, const step_message *message)
{
    ssize_t written;
    do
        written = write(pipe, message, sizeof *message);
    while (written < 0 && errno == EINTR);
    if (written != (ssize_t)sizeof *message)
        exit(3); /* the parent is gone */
}

void worker_run(mlkv *db, const worker_task *task)
{
    digit_reader reader = {0};
    step_message message = {0};
    for (uint64_t step = task->first; task->endless || step < task->quota; step++) {
        digit batch[BATCH_SIZE];
        model shared, gradient;
        size_t count = data_draw_batch(db, &reader, batch);
        if (count == 0)
            give_up("there are no training digits in the store");
        model_pull(db, &shared);
        message.loss = model_gradient(&shared, batch, count, &gradient);
        message.step = commit_step(db, &gradient, rate_at(step, task->quota), task->number);
        message.reads = reader.reads += 2; /* the two tensors */
        message.writes += 3;               /* two tensors and the counter, in one transaction */
        tell(task->pipe, &message);
    }
    digit_reader_done(&reader);
}

uint64_t worker_stored_steps(mlkv *view, unsigned number)
{
    char field[32];
    mlkv_buffer value = {0};
    uint64_t steps = 0;
    if (must(mlkv_hash_get(view, text_slice(KEY_STEPS), counter_name(&field, number), &value),
             "reading a counter") == 0) {
        char text[32];
        snprintf(text, sizeof text, "%.*s", (int)value.size, (const char *)value.data);
        steps = strtoumax(text, NULL, 10);
    }
    mlkv_buffer_free(&value);
    return steps;
}
