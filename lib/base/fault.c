/* fault.c - where a test makes the process die, pause or fail. Nothing of it is in a release build.
 *
 * State: for each point what is armed there (action, passings left, argument), and where passings
 * are counted, if anywhere, and who observes them.
 *
 * Invariants:
 *  1. A point that is neither armed nor observed costs three loads.
 *  2. Arming publishes the action last (release), so whoever sees the action sees its argument and
 * count.
 *  3. Of several threads that pass an armed point, exactly one is the pass-th: the count goes down
 * atomically.
 *  4. The counters are raised before the action, so that a parent sees the point at which its child
 * was killed.
 *
 * No locks.
 */
#include "base/fault.h"

#ifdef MLKV_FAULTS

#include "base/clock.h"

#include <signal.h>
#include <stddef.h>
#include <unistd.h>

typedef struct {
    int action;
    int argument;
    int64_t passes_left; /* 1: the next passing */
} armed_point;

static armed_point armed[FAULT_COUNT];
static uint64_t *placed_counters;
static fault_observer placed_observer;
static fault_watcher placed_watcher;
static _Thread_local int watching; /* the watcher is at work in this thread */

static const char *const fault_names[FAULT_COUNT] = {
#define FAULT_NAME(name) #name,
    FAULT_TABLE(FAULT_NAME)
#undef FAULT_NAME
};

void fault_arm(fault_point point, fault_action action, uint64_t pass, int argument)
{
    armed_point *at = &armed[point];
    __atomic_store_n(&at->action, FAULT_NONE, __ATOMIC_SEQ_CST);
    __atomic_store_n(&at->argument, argument, __ATOMIC_RELAXED);
    __atomic_store_n(&at->passes_left, pass == 0 ? 1 : (int64_t)pass, __ATOMIC_RELAXED);
    __atomic_store_n(&at->action, (int)action, __ATOMIC_RELEASE);
}

void fault_disarm_all(void)
{
    for (size_t i = 0; i < FAULT_COUNT; i++)
        __atomic_store_n(&armed[i].action, FAULT_NONE, __ATOMIC_RELEASE);
}

void fault_counters_place(uint64_t *counters)
{
    __atomic_store_n(&placed_counters, counters, __ATOMIC_RELEASE);
}

void fault_observe(fault_observer observer)
{
    __atomic_store_n(&placed_observer, observer, __ATOMIC_RELEASE);
}

void fault_watch(fault_watcher watcher)
{
    __atomic_store_n(&placed_watcher, watcher, __ATOMIC_RELEASE);
}

void fault_watch_pass(watch_point point)
{
    fault_watcher watcher = __atomic_load_n(&placed_watcher, __ATOMIC_ACQUIRE);
    if (watcher == NULL || watching)
        return;
    watching = 1;
    watcher(point);
    watching = 0;
}

const char *fault_name(fault_point point)
{
    return (unsigned)point < FAULT_COUNT ? fault_names[point] : "unknown";
}

static void die(void)
{
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

/* What an armed point does to the passing that is the `left`-th to come. */
static int act(armed_point *at, int action, int64_t left)
{
    int argument = __atomic_load_n(&at->argument, __ATOMIC_RELAXED);
    if (action == FAULT_KILL && left == 1)
        die();
    if (action == FAULT_STOP && left == 1)
        kill(getpid(), SIGSTOP);
    if (action == FAULT_SLEEP && left <= 1 && argument > 0)
        clock_sleep_us((uint32_t)argument);
    return action == FAULT_ERROR && left == 1 ? argument : 0;
}

int fault_pass(fault_point point)
{
    fault_observer observer = __atomic_load_n(&placed_observer, __ATOMIC_ACQUIRE);
    if (observer != NULL)
        observer(point);
    uint64_t *counters = __atomic_load_n(&placed_counters, __ATOMIC_ACQUIRE);
    if (counters != NULL) {
        __atomic_fetch_add(&counters[point], 1, __ATOMIC_RELAXED);
        __atomic_store_n(&counters[FAULT_COUNT], (uint64_t)point, __ATOMIC_RELAXED);
    }
    armed_point *at = &armed[point];
    int action = __atomic_load_n(&at->action, __ATOMIC_ACQUIRE);
    if (action == FAULT_NONE)
        return 0;
    return act(at, action, __atomic_fetch_sub(&at->passes_left, 1, __ATOMIC_RELAXED));
}

#endif
