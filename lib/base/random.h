/* random.h - random numbers: from the system for identities, from a per-thread generator for sampling. */
#ifndef MLKV_BASE_RANDOM_H
#define MLKV_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* getrandom(2), whole. 0 or MLKV_E_IO. */
int random_system(void *ret_bytes, size_t size);

/* xoshiro256**-quality numbers of this thread, seeded from the system; not for secrets. After fork the child's differ from the parent's. */
uint64_t random_u64(void);

/* Uniform in [0, bound), without bias; bound > 0. */
uint64_t random_below(uint64_t bound);

#endif
