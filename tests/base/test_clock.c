/* test_clock.c - wall time is today, monotonic time never goes back, and signals do not shorten a
 * sleep. */
#include "base/clock.h"

#include "harness.h"

#include <signal.h>
#include <sys/time.h>
#include <time.h>

START_TEST(wall)
{
    int64_t before = (int64_t)time(NULL) * 1000;
    int64_t now = clock_wall_ms();
    int64_t after = (int64_t)time(NULL) * 1000 + 1999;
    ck_assert_int_ge(now, before - 1000); /* time() may lag behind by a tick */
    ck_assert_int_le(now, after);
}
END_TEST

START_TEST(monotonic)
{
    uint64_t last = clock_monotonic_ns();
    for (int i = 0; i < 100000; i++) {
        uint64_t now = clock_monotonic_ns();
        ck_assert(now >= last);
        last = now;
    }
}
END_TEST

static volatile sig_atomic_t ticks;

static void count_tick(int number)
{
    (void)number;
    ticks++;
}

START_TEST(sleeps_whole_in_spite_of_signals)
{
    struct sigaction action = {.sa_handler = count_tick};
    ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
    struct itimerval every_5_ms = {{0, 5000}, {0, 5000}};
    ck_assert_int_eq(setitimer(ITIMER_REAL, &every_5_ms, NULL), 0);
    uint64_t start = clock_monotonic_ns();
    clock_sleep_us(60000);
    uint64_t slept = clock_monotonic_ns() - start;
    struct itimerval off = {{0, 0}, {0, 0}};
    ck_assert_int_eq(setitimer(ITIMER_REAL, &off, NULL), 0);
    ck_assert_int_gt(ticks, 0);
    ck_assert_uint_ge(slept, 60000000U);
    clock_sleep_us(0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("clock");
    TCase *tcase = harness_case(suite, "clock");
    tcase_add_test(tcase, wall);
    tcase_add_test(tcase, monotonic);
    tcase_add_test(tcase, sleeps_whole_in_spite_of_signals);
    return harness_run(suite);
}
