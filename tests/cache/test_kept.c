/* test_kept.c - decoded chunks: what is found is what was put under that very key; the budget holds whatever is looked at; what is asked
 * for again outlives what is not; threads that make, look and evict at once never see others' bytes. */
#include "cache/kept.h"

#include "harness.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum { SIZE = 1000, BUDGET = 64 << 10, THREADS = 4 };

static kept_key key_of(uint64_t number)
{
    return (kept_key){number / 16, number % 16, number * number + 1, SIZE};
}

static void fill(void *to, uint64_t number, size_t size)
{
    memset(to, (int)(number % 251), size);
}

static bool is_filled(const void *from, uint64_t number, size_t size)
{
    const unsigned char *bytes = from;
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != number % 251)
            return false;
    return true;
}

static bool put(kept_cache *self, uint64_t number)
{
    kept_key key = key_of(number);
    kept_bytes *entry = NULL;
    void *to = kept_make(self, &key, &entry);
    if (to == NULL)
        return false;
    fill(to, number, key.size);
    kept_end(self, entry, true);
    return true;
}

static bool has(kept_cache *self, uint64_t number)
{
    kept_key key = key_of(number);
    kept_bytes *entry = NULL;
    bool again;
    const void *bytes = kept_get(self, &key, &entry, &again);
    if (bytes == NULL)
        return false;
    CHILD_MUST(is_filled(bytes, number, key.size));
    kept_end(self, entry, true);
    return true;
}

static uint64_t used(kept_cache *self)
{
    kept_info info;
    kept_get_info(self, &info);
    ck_assert_uint_eq(info.budget_bytes, BUDGET);
    ck_assert_uint_le(info.used_bytes, BUDGET);
    return info.used_bytes;
}

START_TEST(finds_by_the_whole_key)
{
    kept_cache *self = NULL;
    kept_info info;
    OK(kept_create(BUDGET, &self));
    ck_assert(!has(self, 5));
    ck_assert(put(self, 5));
    ck_assert(has(self, 5));
    kept_key right = key_of(5);
    for (unsigned part = 0; part < 4; part++) {
        kept_key wrong = right;
        kept_bytes *entry = NULL;
        bool again = true;
        wrong.life += part == 0;
        wrong.chunk += part == 1;
        wrong.checksum += part == 2;
        wrong.size -= part == 3;
        ck_assert_ptr_null(kept_get(self, &wrong, &entry, &again));
        ck_assert_ptr_null(entry);
        ck_assert(!again);
        ck_assert_ptr_null(kept_get(self, &wrong, &entry, &again));
        ck_assert(again);
    }
    kept_get_info(self, &info);
    ck_assert_uint_eq(info.hits, 1);
    ck_assert_uint_eq(info.misses, 9);
    ck_assert_uint_ge(info.used_bytes, SIZE);
    kept_destroy(self);
    kept_destroy(NULL);
}
END_TEST

START_TEST(what_was_not_good_is_gone)
{
    kept_cache *self = NULL;
    kept_key key = key_of(1);
    kept_bytes *entry = NULL, *other = NULL;
    OK(kept_create(BUDGET, &self));
    ck_assert_ptr_nonnull(kept_make(self, &key, &entry));
    ck_assert(!has(self, 1)); /* not before it is whole */
    kept_end(self, entry, false);
    ck_assert(!has(self, 1));
    ck_assert_uint_eq(used(self), 0);
    void *first = kept_make(self, &key, &entry), *second = kept_make(self, &key, &other);
    fill(first, 1, SIZE);
    fill(second, 1, SIZE);
    kept_end(self, entry, true); /* two made it at once: one stays */
    uint64_t one = used(self) / 2;
    kept_end(self, other, true);
    ck_assert_uint_eq(used(self), one);
    ck_assert(has(self, 1));
    kept_end(self, NULL, true);
    kept_destroy(self);
}
END_TEST

START_TEST(the_budget_holds)
{
    enum { MANY = 500 };
    kept_cache *self = NULL;
    kept_bytes *held[MANY] = {NULL};
    unsigned looked_at = 0, found = 0;
    OK(kept_create(BUDGET, &self));
    for (uint64_t i = 0; i < MANY; i++) {
        ck_assert(put(self, i));
        (void)used(self);
    }
    for (uint64_t i = 0; i < MANY; i++)
        found += has(self, i);
    ck_assert_uint_ge(found, BUDGET / SIZE * 3 / 4);
    for (uint64_t i = MANY; i < 2 * MANY; i++) { /* all that there is is looked at */
        kept_key key = key_of(i);
        void *to = kept_make(self, &key, &held[i - MANY]);
        if (to != NULL)
            fill(to, i, SIZE);
        looked_at += to != NULL;
        (void)used(self);
    }
    ck_assert_uint_ge(looked_at, BUDGET / SIZE * 3 / 4);
    ck_assert_uint_lt(looked_at, BUDGET / SIZE + 1);
    ck_assert(!put(self, 3 * MANY));
    for (unsigned i = 0; i < MANY; i++)
        kept_end(self, held[i], i % 2 == 0);
    for (uint64_t i = 0; i < MANY; i++)
        ck_assert_int_eq(has(self, i + MANY), held[i] != NULL && i % 2 == 0);
    ck_assert(put(self, 3 * MANY));
    kept_key large = key_of(1);
    large.size = BUDGET / 2;
    ck_assert_ptr_null(kept_make(self, &large, &held[0]));
    kept_destroy(self);
    OK(kept_create(0, &self));
    ck_assert(!put(self, 1));
    kept_destroy(self);
}
END_TEST

START_TEST(what_is_asked_for_stays)
{
    enum { HOT = 10 };
    kept_cache *self = NULL;
    OK(kept_create(BUDGET, &self));
    for (uint64_t i = 0; i < HOT; i++)
        ck_assert(put(self, i));
    for (uint64_t scan = 1000; scan < 3000; scan++) {
        ck_assert(put(self, scan));
        ck_assert(has(self, scan % HOT));
    }
    kept_destroy(self);
}
END_TEST

START_TEST(sizes_mix)
{
    kept_cache *self = NULL;
    uint64_t seed = 1;
    OK(kept_create(BUDGET, &self));
    for (unsigned i = 0; i < 20000; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        uint64_t number = (seed >> 40) % 300;
        kept_key key = {number, 0, number, 1 + number * 40};
        kept_bytes *entry = NULL;
        bool again;
        const void *bytes = kept_get(self, &key, &entry, &again);
        if (bytes != NULL) {
            ck_assert(is_filled(bytes, number, key.size));
        } else {
            void *to = kept_make(self, &key, &entry);
            ck_assert_ptr_nonnull(to);
            fill(to, number, key.size);
        }
        kept_end(self, entry, true);
        (void)used(self);
    }
    kept_destroy(self);
}
END_TEST

static void *use(void *argument)
{
    static _Atomic unsigned seeds;
    kept_cache *self = argument;
    uint64_t seed = atomic_fetch_add(&seeds, 1) + 1;
    for (unsigned i = 0; i < harness_rounds(20000); i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        uint64_t number = (seed >> 40) % 100;
        if (!has(self, number))
            (void)put(self, number);
    }
    return NULL;
}

START_TEST(threads_at_once)
{
    kept_cache *self = NULL;
    pthread_t threads[THREADS];
    OK(kept_create(BUDGET, &self));
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, use, self), 0);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    ck_assert_uint_gt(used(self), BUDGET / 2);
    kept_destroy(self);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kept");
    TCase *tcase = harness_case(suite, "kept");
    tcase_add_test(tcase, finds_by_the_whole_key);
    tcase_add_test(tcase, what_was_not_good_is_gone);
    tcase_add_test(tcase, the_budget_holds);
    tcase_add_test(tcase, what_is_asked_for_stays);
    tcase_add_test(tcase, sizes_mix);
    tcase_add_test(tcase, threads_at_once);
    return harness_run(suite);
}
