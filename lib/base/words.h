/* words.h - copies between private memory and memory that other threads or processes may be writing at the same time.
 *
 * The ring and the cache's segments are read under a sequence check: copy, fence, look whether it could have changed, and only then
 * believe it. Such a copy must be made of relaxed atomic words, or the compiler (and TSan) may rightly call it a race.
 * The shared side is 8-byte aligned and its size is rounded up to whole words; the private side has any alignment and exactly `size` bytes.
 */
#ifndef MLKV_BASE_WORDS_H
#define MLKV_BASE_WORDS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Private bytes into shared words; the tail of the last word becomes zero. */
static inline void words_store(void *shared, const void *private_bytes, size_t size)
{
    uint64_t *to = shared;
    const unsigned char *from = private_bytes;
    size_t words = size / 8;
    for (size_t i = 0; i < words; i++) {
        uint64_t word;
        memcpy(&word, from + 8 * i, 8);
        __atomic_store_n(to + i, word, __ATOMIC_RELAXED);
    }
    if (size % 8 != 0) {
        uint64_t word = 0;
        memcpy(&word, from + 8 * words, size % 8);
        __atomic_store_n(to + words, word, __ATOMIC_RELAXED);
    }
}

/* Shared words into private bytes. */
static inline void words_load(void *private_bytes, const void *shared, size_t size)
{
    const uint64_t *from = shared;
    unsigned char *to = private_bytes;
    size_t words = size / 8;
    for (size_t i = 0; i < words; i++) {
        uint64_t word = __atomic_load_n(from + i, __ATOMIC_RELAXED);
        memcpy(to + 8 * i, &word, 8);
    }
    if (size % 8 != 0) {
        uint64_t word = __atomic_load_n(from + words, __ATOMIC_RELAXED);
        memcpy(to + 8 * words, &word, size % 8);
    }
}

#endif
