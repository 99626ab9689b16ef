/* clock.c - wall time and monotonic time.
 *
 * Wall time (CLOCK_REALTIME) is what is stored: expiry must mean the same to every process and
 * after a reboot. It may jump. Monotonic time is what waits are measured by: it never goes back and
 * is the same for all processes of a machine. Neither call can fail on a Linux that has the clocks
 * at all; both are vDSO calls of some 20 ns.
 *
 * No state, but for a test's shift of the wall clock in builds with fault points; no locks.
 */
#include "base/clock.h"

#include "base/fault.h"

#include <errno.h>
#include <time.h>

#ifdef MLKV_FAULTS
static int64_t shift_ms; /* a test's */

void fault_clock_shift(int64_t ms)
{
    __atomic_store_n(&shift_ms, ms, __ATOMIC_RELAXED);
}
#define SHIFT_MS __atomic_load_n(&shift_ms, __ATOMIC_RELAXED)
#else
#define SHIFT_MS 0
#endif

int64_t clock_wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 + SHIFT_MS;
}

uint64_t clock_monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

void clock_sleep_us(uint32_t us)
{
    uint64_t until_ns = clock_monotonic_ns() + (uint64_t)us * 1000U;
    struct timespec until = {
        .tv_sec = (time_t)(until_ns / 1000000000U),
        .tv_nsec = (long)(until_ns % 1000000000U),
    };
    /* an absolute end, so that interrupted sleeps do not add up */
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        ;
}
