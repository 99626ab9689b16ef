/* random.c - random numbers from the system, and quick ones from a generator of each thread.
 *
 * State: per thread, the four words of xoshiro256** and the fork generation that it was seeded in;
 * for the process, the fork generation, which the child's handler of pthread_atfork raises.
 *
 * Invariants:
 *  1. A thread whose generation is not the process's seeds itself anew, so parent and child never
 * share a sequence.
 *  2. The state is never all zero (xoshiro would stay there).
 *
 * No locks: the child's handler runs while the child has one thread.
 */
#include "base/random.h"

#include "base/clock.h"
#include "base/error.h"

#include <errno.h>
#include <pthread.h>
#include <sys/random.h>
#include <unistd.h>

static unsigned fork_generation = 1; /* 0 is that of a thread never seeded */

static _Thread_local struct {
    uint64_t word[4];
    unsigned generation;
} generator;

static void raise_generation(void)
{
    __atomic_fetch_add(&fork_generation, 1, __ATOMIC_RELAXED);
}

__attribute__((constructor)) static void watch_forks(void)
{
    (void)pthread_atfork(NULL, NULL, raise_generation);
}

int random_system(void *ret_bytes, size_t size)
{
    unsigned char *bytes = ret_bytes;
    size_t done = 0;
    while (done < size) {
        ssize_t got = getrandom(bytes + done, size - done, 0);
        if (got > 0)
            done += (size_t)got;
        else if (got == 0 || errno != EINTR)
            return error_set(MLKV_E_IO, "getrandom gave no random bytes (error %d)",
                             got == 0 ? 0 : errno);
    }
    return 0;
}

/* One step of splitmix64: spreads a poor seed over all bits. */
static uint64_t split(uint64_t *state)
{
    uint64_t value = (*state += 0x9e3779b97f4a7c15U);
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9U;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebU;
    return value ^ (value >> 31);
}

static void seed(unsigned generation)
{
    if (getrandom(generator.word, sizeof generator.word, 0) != (ssize_t)sizeof generator.word) {
        /* a sandbox without getrandom: sampling needs no secrets, only differences between threads
         * and processes */
        uint64_t poor =
            clock_monotonic_ns() ^ (uint64_t)(uintptr_t)&generator ^ ((uint64_t)getpid() << 40);
        for (int i = 0; i < 4; i++)
            generator.word[i] = split(&poor);
    }
    generator.word[0] |= 1;
    generator.generation = generation;
}

static uint64_t rotate(uint64_t value, int by)
{
    return (value << by) | (value >> (64 - by));
}

uint64_t random_u64(void)
{
    unsigned generation = __atomic_load_n(&fork_generation, __ATOMIC_RELAXED);
    if (generator.generation != generation)
        seed(generation);
    uint64_t *word = generator.word;
    uint64_t result = rotate(word[1] * 5, 7) * 9;
    uint64_t shifted = word[1] << 17;
    word[2] ^= word[0];
    word[3] ^= word[1];
    word[1] ^= word[2];
    word[0] ^= word[3];
    word[2] ^= shifted;
    word[3] = rotate(word[3], 45);
    return result;
}

__extension__ typedef unsigned __int128 wide;

/* Lemire: the high half of a 128-bit product is uniform once the low halves that are too frequent
 * are thrown away. */
uint64_t random_below(uint64_t bound)
{
    wide product = (wide)random_u64() * bound;
    if ((uint64_t)product < bound) {
        uint64_t excess = (0 - bound) % bound;
        while ((uint64_t)product < excess)
            product = (wide)random_u64() * bound;
    }
    return (uint64_t)(product >> 64);
}
