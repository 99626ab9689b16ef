/* test_index.c - index buckets that overflow, and ghosts. */
#include "harness.h"

#include "cache/cache.h"
#include "cache/shard.h"

START_TEST(a_full_bucket_gives_up_the_least_used)
{
    cache *self = NULL;
    mlkv_buffer buffer = {0};
    OK(cache_create(1 << 20, &self));
    uint64_t hash = 0x123456789abcdef0u;
    for (unsigned i = 0; i < 16; i++)
        cache_fill(self, hash, slice_of(&i, sizeof i), slice_of(&i, sizeof i), false, 0);
    for (unsigned i = 0; i < 16; i++) {
        if (i != 11)
            MUST(CACHE_HIT, cache_get(self, hash, slice_of(&i, sizeof i), &buffer));
    }
    unsigned late = 99, unused = 11;
    cache_fill(self, hash, slice_of(&late, sizeof late), TEXT("late"), false, 0);
    MUST(CACHE_MISS, cache_get(self, hash, slice_of(&unused, sizeof unused), &buffer));
    MUST(CACHE_HIT, cache_get(self, hash, slice_of(&late, sizeof late), &buffer));
    for (unsigned i = 0; i < 16; i++) {
        if (i == 11)
            continue;
        MUST(CACHE_HIT, cache_get(self, hash, slice_of(&i, sizeof i), &buffer));
        ck_assert_int_eq(memcmp(buffer.data, &i, sizeof i), 0);
    }
    cache_info info;
    cache_get_info(self, &info);
    ck_assert_uint_eq(info.entries, 16);
    ck_assert_uint_eq(info.evictions, 1);
    ck_assert_uint_eq(info.used_bytes, 16 * 32);
    mlkv_buffer_free(&buffer);
    cache_destroy(self);
}
END_TEST

START_TEST(small_records_find_index_words)
{
    cache *self = NULL;
    mlkv_buffer buffer = {0};
    OK(cache_create(8 << 20, &self));
    uint64_t value[3] = {1, 2, 3};
    unsigned count = (8 << 20) * 3 / 4 / 64; /* entries of 64 bytes */
    for (uint64_t i = 0; i < count; i++) {
        uint64_t key[3] = {i, ~i, i};
        cache_fill(self, (i + 1) * 0x9e3779b97f4a7c15u, slice_of(key, sizeof key),
                   slice_of(value, sizeof value), false, 0);
    }
    cache_info info;
    cache_get_info(self, &info);
    ck_assert_uint_gt(info.entries, count / 100 * 92);
    cache_destroy(self);
    mlkv_buffer_free(&buffer);
}
END_TEST

START_TEST(ghosts_are_taken_once_and_forgotten_in_turn)
{
    enum { BUCKETS = 4 };
    uint32_t ghosts[BUCKETS * CACHE_GHOST_WORDS] = {0};
    cache_shard shard = {.ghosts = ghosts, .ghost_count = BUCKETS};
    ck_assert(!ghost_take(&shard, 5));
    ghost_add(&shard, 0x5000000005u);
    ck_assert(!ghost_take(&shard, 0x6000000005u));
    ck_assert(ghost_take(&shard, 0x5000000005u));
    ck_assert(!ghost_take(&shard, 0x5000000005u));
    for (uint64_t i = 1; i <= 10000; i++)
        ghost_add(&shard, i * 0x9e3779b97f4a7c15u);
    unsigned kept = 0;
    for (uint64_t i = 1; i <= 10000 - 300; i++)
        ck_assert(!ghost_take(&shard, i * 0x9e3779b97f4a7c15u));
    for (uint64_t i = 10000 - 299; i <= 10000; i++)
        kept += ghost_take(&shard, i * 0x9e3779b97f4a7c15u);
    ck_assert_uint_eq(kept, BUCKETS * (CACHE_GHOST_WORDS - 1));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cache index");
    TCase *tcase = harness_case(suite, "index");
    tcase_add_test(tcase, a_full_bucket_gives_up_the_least_used);
    tcase_add_test(tcase, small_records_find_index_words);
    tcase_add_test(tcase, ghosts_are_taken_once_and_forgotten_in_turn);
    return harness_run(suite);
}
