/* clock.h - the two clocks: wall time for what is stored, monotonic time for waits. */
#ifndef MLKV_BASE_CLOCK_H
#define MLKV_BASE_CLOCK_H

#include <stdint.h>

/* Milliseconds since 1970. */
int64_t clock_wall_ms(void);

/* Nanoseconds since some start, never going back. */
uint64_t clock_monotonic_ns(void);

/* Sleeps; EINTR goes on sleeping. */
void clock_sleep_us(uint32_t us);

#endif
