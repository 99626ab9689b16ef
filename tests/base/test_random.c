/* test_random.c - numbers differ between threads and after a fork, and small ranges are hit evenly; a
 * system that gives its bytes piece by piece, or none. getrandom is this program's own, so that it can do that.
 */
#include "base/random.h"

#include "harness.h"

#include <pthread.h>
#include <sys/random.h>
#include <sys/syscall.h>

static enum { GIVES, GIVES_PIECES, GIVES_NOTHING } system_mood; /* of this test's process */

ssize_t getrandom(void *to, size_t size, unsigned flags)
{
    static unsigned calls;
    if (system_mood == GIVES_NOTHING) {
        errno = ENOSYS;
        return -1;
    }
    if (system_mood == GIVES_PIECES && calls++ % 2 == 0) {
        errno = EINTR;
        return -1;
    }
    if (system_mood == GIVES_PIECES && size > 7)
        size = 7;
    return syscall(SYS_getrandom, to, size, flags);
}

START_TEST(system_bytes)
{
    unsigned char a[1000] = {0};
    unsigned char b[1000] = {0};
    OK(random_system(a, 0));
    ck_assert_uint_eq(a[0], 0);
    OK(random_system(a, sizeof a));
    OK(random_system(b, sizeof b));
    ck_assert_mem_ne(a, b, sizeof a);
    ck_assert_mem_ne(a + 984, b + 984, 16); /* to the last byte */
}
END_TEST

START_TEST(bits_are_even)
{
    unsigned ones[64] = {0};
    for (int i = 0; i < 10000; i++) {
        uint64_t value = random_u64();
        for (int bit = 0; bit < 64; bit++)
            ones[bit] += (unsigned)(value >> bit & 1);
    }
    for (int bit = 0; bit < 64; bit++) { /* 5000 +- 10 standard deviations of 50 */
        ck_assert_uint_gt(ones[bit], 4500);
        ck_assert_uint_lt(ones[bit], 5500);
    }
}
END_TEST

START_TEST(below_is_even)
{
    unsigned counts[10] = {0};
    for (int i = 0; i < 100000; i++) {
        uint64_t value = random_below(10);
        ck_assert_uint_lt(value, 10);
        counts[value]++;
    }
    for (int i = 0; i < 10; i++) { /* 10000 +- 10 standard deviations of 95 */
        ck_assert_uint_gt(counts[i], 9000);
        ck_assert_uint_lt(counts[i], 11000);
    }
    ck_assert_uint_eq(random_below(1), 0);
    unsigned upper = 0;
    /* with a modulus, a bound of 3/4 of the range would hit its lowest third twice as often */
    const uint64_t bound = 3ULL << 62;
    for (int i = 0; i < 10000; i++) {
        uint64_t value = random_below(bound);
        ck_assert(value < bound);
        upper += value >= bound / 3;
    }
    ck_assert_uint_gt(upper, 6200); /* 6667 +- 10 standard deviations of 47; a modulus gives 5000 */
}
END_TEST

static void *draw(void *to)
{
    uint64_t *numbers = to;
    numbers[0] = random_u64();
    numbers[1] = random_u64();
    return NULL;
}

START_TEST(threads_differ)
{
    uint64_t numbers[4][2];
    for (int i = 0; i < 4; i++) {
        pthread_t thread;
        ck_assert_int_eq(pthread_create(&thread, NULL, draw, numbers[i]), 0);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        for (int j = 0; j < i; j++)
            ck_assert_mem_ne(numbers[i], numbers[j], sizeof numbers[i]);
    }
}
END_TEST

START_TEST(child_differs_from_parent)
{
    (void)random_u64(); /* the parent's generator is seeded, and the child inherits it */
    uint64_t *numbers = shared_page();
    for (int i = 0; i < 2; i++) {
        int status;
        IN_CHILD(status, draw(numbers + 2 * i));
        ck_assert_int_eq(status, 0);
    }
    draw(numbers + 4);
    ck_assert_mem_ne(numbers, numbers + 2, 16);
    ck_assert_mem_ne(numbers, numbers + 4, 16);
    ck_assert_mem_ne(numbers + 2, numbers + 4, 16);
}
END_TEST

START_TEST(a_system_that_gives_pieces)
{
    unsigned char a[100] = {0}, b[100] = {0};
    system_mood = GIVES_PIECES;
    OK(random_system(a, sizeof a));
    OK(random_system(b, sizeof b));
    for (size_t at = 0; at + 14 <= sizeof a; at += 7) /* each piece is filled */
        ck_assert_mem_ne(a + at, b + at, 14);
    ck_assert_mem_ne(a + 86, b + 86, 14);
}
END_TEST

/* A sandbox may refuse getrandom: ids that must be unique are not made then, but samples are drawn. */
START_TEST(a_system_that_gives_nothing)
{
    unsigned char bytes[16];
    uint64_t numbers[3][2];
    system_mood = GIVES_NOTHING;
    MUST(MLKV_E_IO, random_system(bytes, sizeof bytes));
    for (int i = 0; i < 3; i++) {
        pthread_t thread; /* each seeds a generator of its own */
        ck_assert_int_eq(pthread_create(&thread, NULL, draw, numbers[i]), 0);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        for (int j = 0; j < i; j++)
            ck_assert_mem_ne(numbers[i], numbers[j], sizeof numbers[i]);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("random");
    TCase *tcase = harness_case(suite, "random");
    tcase_add_test(tcase, system_bytes);
    tcase_add_test(tcase, bits_are_even);
    tcase_add_test(tcase, below_is_even);
    tcase_add_test(tcase, threads_differ);
    tcase_add_test(tcase, child_differs_from_parent);
    tcase_add_test(tcase, a_system_that_gives_pieces);
    tcase_add_test(tcase, a_system_that_gives_nothing);
    return harness_run(suite);
}
