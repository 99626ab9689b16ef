/* test_words.c - copies to and from shared words keep every byte, pad with zeros, and touch nothing
 * else. */
#include "base/words.h"

#include "harness.h"

#include <pthread.h>

enum { SIZE_MAX_TRIED = 70 };

START_TEST(every_size_and_alignment)
{
    unsigned char from[SIZE_MAX_TRIED + 8];
    for (size_t i = 0; i < sizeof from; i++)
        from[i] = (unsigned char)(i * 7 + 1);
    for (size_t size = 0; size <= SIZE_MAX_TRIED; size++)
        for (size_t shift = 0; shift < 8; shift++) {
            uint64_t shared[SIZE_MAX_TRIED / 8 + 3];
            unsigned char to[SIZE_MAX_TRIED + 16];
            memset(shared, 0xee, sizeof shared);
            memset(to, 0xdd, sizeof to);
            words_store(shared, from + shift, size);
            ck_assert_mem_eq(shared, from + shift, size);
            const unsigned char *bytes = (const unsigned char *)shared;
            size_t padded = round_up(size, 8);
            for (size_t i = size; i < padded; i++)
                ck_assert_uint_eq(bytes[i], 0);
            for (size_t i = padded; i < sizeof shared; i++)
                ck_assert_uint_eq(bytes[i], 0xee);
            words_load(to + shift, shared, size);
            ck_assert_mem_eq(to + shift, from + shift, size);
            for (size_t i = 0; i < sizeof to; i++)
                if (i < shift || i >= shift + size)
                    ck_assert_uint_eq(to[i], 0xdd);
        }
}
END_TEST

static uint64_t contended[4];

static void *write_words(void *unused)
{
    (void)unused;
    for (unsigned round = 0; round < 20000; round++) {
        unsigned char bytes[32];
        memset(bytes, (int)(round & 0xff), sizeof bytes);
        words_store(contended, bytes, sizeof bytes);
    }
    return NULL;
}

/* Words may be torn from each other, never in themselves; under TSan this is also the proof that it
 * is no race. */
START_TEST(words_are_whole)
{
    pthread_t writer;
    ck_assert_int_eq(pthread_create(&writer, NULL, write_words, NULL), 0);
    for (int round = 0; round < 20000; round++) {
        unsigned char bytes[32];
        words_load(bytes, contended, sizeof bytes);
        for (size_t i = 0; i < sizeof bytes; i++)
            if (bytes[i] != bytes[i & ~(size_t)7])
                ck_abort_msg("byte %zu is %u in a word of %u", i, bytes[i], bytes[i & ~(size_t)7]);
    }
    ck_assert_int_eq(pthread_join(writer, NULL), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("words");
    TCase *tcase = harness_case(suite, "words");
    tcase_add_test(tcase, every_size_and_alignment);
    tcase_add_test(tcase, words_are_whole);
    return harness_run(suite);
}
