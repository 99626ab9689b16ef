/* workload.c - the program whose files lose their power: it runs the steps of steps.h under the
 * recorder.
 *
 *   workload run FOLDER LOG SEED COUNT POINT PASS ALONE   opens the store three times, as
 * `journal`, `sync` and `store`; runs COUNT steps from where it stands, each through one of the
 * three; now and then flushes, compacts and rests; closes. Dies at the PASS-th passing of fault point POINT
 * (-1: none; FAULT_COUNT: in its PASS-th O_DSYNC write; FAULT_COUNT + 1: in its PASS-th write of
 * LMDB's meta page). ALONE is 1 if no other process has the store open: then all that was recovered
 * is durable when it is open workload attend FOLDER LOG                            opens, says so,
 * and waits until stdin ends: then a living process takes over from those who die
 *
 * A `run` first adds 1 to the string "starts", with `sync`: a frame of another size than a step's,
 * where the frame of a process that was killed may stand in the ring unseen. Each step is marked as
 * begun, and as durable once a call has returned that promises so: the step by `sync` or `store`, a
 * flush, the last close.
 */
#include "recorder.h"
#include "system/steps.h"

#include "base/fault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HANDLES = 3, FLUSH_EVERY = 23, REST_EVERY = 17, REST_US_MAX = 20000, COMPACT_EVERY = 13 };

static int complain(const char *what, int result)
{
    fprintf(stderr, "workload: %s: %d %s: %s\n", what, result, mlkv_error_name(result),
            mlkv_error_detail());
    return 3;
}

/* Mostly `journal`, so that there is something to lose. */
static int choose_durability(unsigned *seed)
{
    int chance = rand_r(seed) % 10;
    return chance < 7 ? MLKV_JOURNAL : chance < 9 ? MLKV_SYNC : MLKV_STORE;
}

static int one_step(mlkv **handles, uint64_t i, unsigned *seed)
{
    int durability = choose_durability(seed);
    recorder_begun(i);
    int result = steps_run(handles[durability - 1], i);
    if (result != MLKV_OK)
        return complain("step", result);
    if (durability != MLKV_JOURNAL)
        recorder_durable(i);
    if (rand_r(seed) % REST_EVERY == 0)
        (void)usleep((useconds_t)(rand_r(seed) % REST_US_MAX));
    if (rand_r(seed) % FLUSH_EVERY == 0) {
        result = mlkv_flush(handles[0], rand_r(seed) % 2 == 0 ? MLKV_SYNC : MLKV_STORE);
        if (result != MLKV_OK)
            return complain("flush", result);
        recorder_durable(i);
    }
    if (rand_r(seed) % COMPACT_EVERY == 0) { /* brings all to LMDB first */
        result = mlkv_compact(handles[0], NULL);
        if (result != MLKV_OK)
            return complain("compact", result);
        recorder_durable(i);
    }
    return 0;
}

static int open_all(const char *folder, mlkv **handles)
{
    int result = MLKV_OK;
    for (int i = 0; i < HANDLES && result == MLKV_OK; i++) {
        mlkv_options options = steps_options(i + 1);
        result = mlkv_open(folder, &options, &handles[i]);
    }
    return result;
}

static int run(char **arguments)
{
    mlkv *handles[HANDLES] = {NULL};
    unsigned seed = (unsigned)strtoul(arguments[2], NULL, 10);
    uint64_t held = 0, count = strtoull(arguments[3], NULL, 10);
    int64_t starts = 0;
    int point = atoi(arguments[4]);
    if (recorder_start(arguments[0], arguments[1]) != 0)
        return complain("recorder", -1);
    if (point >= FAULT_COUNT)
        recorder_die_in_write(strtoull(arguments[5], NULL, 10), point > FAULT_COUNT);
    else if (point >= 0)
        fault_arm((fault_point)point, FAULT_KILL, strtoull(arguments[5], NULL, 10), 0);
    int result = open_all(arguments[0], handles);
    if (result == MLKV_OK)
        result = mlkv_string_add(handles[MLKV_SYNC - 1], (mlkv_slice){"starts", 6}, 1, &starts);
    if (result ==
        MLKV_OK) /* after a write: whether a dead writer's step counts is decided by then */
        result = steps_count(handles[0], &held);
    if (result != MLKV_OK)
        return complain("open", result);
    recorder_started((uint64_t)starts);
    if (atoi(arguments[6]) == 1)
        recorder_durable(held);
    for (uint64_t i = held + 1; i <= held + count; i++)
        if (one_step(handles, i, &seed) != 0)
            return 3;
    for (int i = 0; i < HANDLES && result == MLKV_OK; i++)
        result = mlkv_close(handles[i]);
    if (result != MLKV_OK)
        return complain("close", result);
    recorder_durable(held + count);
    return 0;
}

static int attend(const char *folder, const char *log_path)
{
    mlkv *db = NULL;
    mlkv_options options = steps_options(MLKV_JOURNAL);
    if (recorder_start(folder, log_path) != 0)
        return complain("recorder", -1);
    int result = mlkv_open(folder, &options, &db);
    if (result != MLKV_OK)
        return complain("open", result);
    char byte = '\n';
    if (write(STDOUT_FILENO, &byte, 1) != 1)
        return 3;
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    result = mlkv_close(db);
    return result == MLKV_OK ? 0 : complain("close", result);
}

int main(int count, char **arguments)
{
    if (count == 9 && strcmp(arguments[1], "run") == 0)
        return run(arguments + 2);
    if (count == 4 && strcmp(arguments[1], "attend") == 0)
        return attend(arguments[2], arguments[3]);
    return 2;
}
