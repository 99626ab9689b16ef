/* test_counted.c - the counted tree against a sorted array: ranks, numbers, memory; ascending, descending and random loads. */
#include "counted/counted.h"
#include "harness.h"

enum { KEYS_MAX = 20000 };

/* Keys in order; present tells which are in the tree. */
static struct {
    unsigned char bytes[24];
    size_t size;
} keys[KEYS_MAX];
static bool present[KEYS_MAX];
static unsigned kinds;

static mlkv_slice key_of(unsigned i)
{
    return slice_of(keys[i].bytes, keys[i].size);
}

/* `n` keys in order: 8 bytes of a number that grows in steps, and now and then a tail. */
static void make_keys(unsigned n, unsigned seed)
{
    uint64_t number = 0;
    kinds = n;
    for (unsigned i = 0; i < n; i++) {
        number += 1 + (uint64_t)(rand_r(&seed) % 5 == 0 ? rand_r(&seed) : 0);
        store_be64(keys[i].bytes, number);
        keys[i].size = 8 + (size_t)rand_r(&seed) % 16;
        memset(keys[i].bytes + 8, 'm', 16);
        present[i] = false;
    }
}

static void check_all(const counted *tree)
{
    unsigned char got[COUNTED_KEY_SIZE_MAX];
    size_t size;
    uint64_t rank = 0;
    counted_place place = counted_seek(tree, 0);
    for (unsigned i = 0; i < kinds; i++) {
        bool found;
        ck_assert_msg(counted_rank(tree, key_of(i), &found) == rank, "rank of %u", i);
        ck_assert_int_eq(found, present[i]);
        if (!present[i])
            continue;
        ck_assert(counted_next(&place, got, &size));
        if (!slice_equal(slice_of(got, size), key_of(i)))
            ck_abort_msg("another key than %u", i);
        if (i % 7 == 0) {
            counted_place here = counted_seek(tree, rank);
            ck_assert(counted_next(&here, got, &size) &&
                      slice_equal(slice_of(got, size), key_of(i)));
        }
        rank++;
    }
    ck_assert(!counted_next(&place, got, &size));
    ck_assert_uint_eq(counted_count(tree), rank);
    place = counted_seek(tree, rank);
    ck_assert(!counted_next(&place, got, &size));
}

static void put(counted *tree, unsigned i)
{
    OK(counted_insert(tree, key_of(i)));
    present[i] = true;
}

static void take(counted *tree, unsigned i)
{
    counted_remove(tree, key_of(i));
    present[i] = false;
}

static counted *create(void)
{
    counted *tree = counted_create();
    ck_assert_ptr_nonnull(tree);
    return tree;
}

START_TEST(empty)
{
    counted *tree = create();
    make_keys(3, 1);
    check_all(tree);
    take(tree, 1);
    put(tree, 1);
    put(tree, 1);
    check_all(tree);
    take(tree, 1);
    check_all(tree);
    OK(counted_insert(tree, TEXT("")));
    ck_assert_uint_eq(counted_rank(tree, TEXT("x"), NULL), 1);
    static unsigned char large[COUNTED_KEY_SIZE_MAX + 1];
    MUST(MLKV_E_SIZE, counted_insert(tree, slice_of(large, sizeof large)));
    counted_destroy(tree);
    counted_destroy(NULL);
}
END_TEST

START_TEST(ascending_fills_memory)
{
    counted *tree = create();
    make_keys(KEYS_MAX, 2);
    size_t bytes = 0;
    for (unsigned i = 0; i < KEYS_MAX; i++) {
        put(tree, i);
        bytes += keys[i].size;
    }
    check_all(tree);
    ck_assert_uint_lt(counted_bytes(tree),
                      bytes + KEYS_MAX * 7); /* a few bytes a key beside its own */
    for (unsigned i = 0; i < KEYS_MAX; i++)
        take(tree, i);
    check_all(tree);
    ck_assert_uint_lt(counted_bytes(tree), 5000);
    counted_destroy(tree);
}
END_TEST

START_TEST(descending)
{
    counted *tree = create();
    make_keys(KEYS_MAX, 3);
    for (unsigned i = KEYS_MAX; i-- != 0;)
        put(tree, i);
    check_all(tree);
    for (unsigned i = KEYS_MAX; i-- != 0;)
        take(tree, i);
    check_all(tree);
    counted_destroy(tree);
}
END_TEST

/* Grows and shrinks in waves, by chance. */
START_TEST(random_waves)
{
    counted *tree = create();
    unsigned seed = 4;
    make_keys(KEYS_MAX, 4);
    for (int wave = 0; wave < 12; wave++) {
        int grows = wave % 2 == 0 ? 80 : wave % 4 == 1 ? 20 : 3; /* percent */
        for (int i = 0; i < 30000; i++) {
            unsigned which = (unsigned)rand_r(&seed) % KEYS_MAX;
            if (rand_r(&seed) % 100 < grows)
                put(tree, which);
            else
                take(tree, which);
        }
        check_all(tree);
    }
    size_t per_key = counted_bytes(tree) / (counted_count(tree) + 1);
    ck_assert_uint_lt(per_key, 200); /* few are left of many */
    counted_destroy(tree);
}
END_TEST

/* A queue: keys come at the end and go at the beginning. */
START_TEST(queue)
{
    counted *tree = create();
    make_keys(KEYS_MAX, 5);
    for (unsigned i = 0; i < KEYS_MAX; i++) {
        put(tree, i);
        if (i >= 1000)
            take(tree, i - 1000);
        if (i % 4999 == 0)
            check_all(tree);
    }
    check_all(tree);
    ck_assert_uint_lt(counted_bytes(tree), 1000 * 60);
    counted_destroy(tree);
}
END_TEST

/* Keys of the largest size: few fit a leaf. */
START_TEST(large_keys)
{
    counted *tree = create();
    unsigned char key[COUNTED_KEY_SIZE_MAX], got[COUNTED_KEY_SIZE_MAX];
    size_t size;
    enum { COUNT = 3000 };
    memset(key, 'x', sizeof key);
    for (uint32_t i = 0; i < COUNT; i++) {
        store_be32(key + (i % 2 == 0 ? 0 : sizeof key - 4), i * 2654435761u);
        OK(counted_insert(tree, slice_of(key, sizeof key)));
    }
    ck_assert_uint_eq(counted_count(tree), COUNT);
    counted_place place = counted_seek(tree, 0);
    for (uint64_t i = 0; i < COUNT; i++) {
        ck_assert(counted_next(&place, got, &size));
        ck_assert_uint_eq(counted_rank(tree, slice_of(got, size), NULL), i);
    }
    counted_destroy(tree);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("counted");
    TCase *tcase = harness_case(suite, "counted");
    tcase_add_test(tcase, empty);
    tcase_add_test(tcase, ascending_fills_memory);
    tcase_add_test(tcase, descending);
    tcase_add_test(tcase, random_waves);
    tcase_add_test(tcase, queue);
    tcase_add_test(tcase, large_keys);
    return harness_run(suite);
}
