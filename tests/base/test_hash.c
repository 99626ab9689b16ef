/* test_hash.c - the hashes of the format have pinned values; the one of the indexes spreads. */
#include "base/hash.h"

#include "harness.h"

/* Values of the format: computed by xxh3's reference implementation (xxhsum -H3 and -H128 print the
 * same), never to change. */
START_TEST(pinned)
{
    ck_assert_uint_eq(hash_checksum("", 0, 0), 0x2d06800538d394c2U);
    unsigned char digest[16];
    hash_digest("", 0, digest);
    ck_assert_mem_eq(digest, "\x99\xaa\x06\xd3\x01\x47\x98\xd8\x60\x01\xc3\x24\x46\x8d\x49\x7f",
                     16);
    hash_digest("libmlkv", 7, digest);
    ck_assert_mem_eq(digest, "\x3f\x89\x82\x43\x3a\xfe\x28\x0e\x52\x13\xe1\x10\xea\x50\x7f\x6e",
                     16);
    ck_assert_uint_eq(hash_checksum("libmlkv", 7, 0), 0x24ee9cf7a3cc582cU);
    ck_assert_uint_eq(hash_checksum("libmlkv", 7, 4711), 0x88403705c9b1560U);
}
END_TEST

START_TEST(checksum_sees_every_byte_and_the_seed)
{
    unsigned char bytes[600];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 13);
    for (size_t size = 1; size <= sizeof bytes; size = size * 2 + 1) {
        uint64_t whole = hash_checksum(bytes, size, 7);
        ck_assert_uint_ne(whole, hash_checksum(bytes, size, 8));
        ck_assert_uint_ne(whole, hash_checksum(bytes, size - 1, 7));
        for (size_t i = 0; i < size; i++) {
            bytes[i] ^= 0x10;
            ck_assert_uint_ne(whole, hash_checksum(bytes, size, 7));
            bytes[i] ^= 0x10;
        }
        ck_assert_uint_eq(whole, hash_checksum(bytes, size, 7));
    }
}
END_TEST

/* 65536 keys that differ in a counter: low and high bits fill 256 buckets evenly (about 256 each;
 * 16 standard deviations allowed). */
START_TEST(keys_spread)
{
    unsigned low[256] = {0};
    unsigned high[256] = {0};
    for (unsigned i = 0; i < 65536; i++) {
        char key[32];
        int size = snprintf(key, sizeof key, "Kuser:%u:profile", i);
        uint64_t hash = hash_key(key, (size_t)size);
        low[hash & 255]++;
        high[hash >> 56]++;
    }
    for (size_t i = 0; i < 256; i++) {
        ck_assert_uint_lt(low[i], 512);
        ck_assert_uint_lt(high[i], 512);
        ck_assert_uint_gt(low[i], 64);
        ck_assert_uint_gt(high[i], 64);
    }
}
END_TEST

START_TEST(nothing_to_hash)
{
    ck_assert_uint_eq(hash_key(NULL, 0), hash_key("", 0));
    ck_assert_uint_eq(hash_checksum(NULL, 0, 3), hash_checksum("", 0, 3));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hash");
    TCase *tcase = harness_case(suite, "hash");
    tcase_add_test(tcase, pinned);
    tcase_add_test(tcase, checksum_sees_every_byte_and_the_seed);
    tcase_add_test(tcase, keys_spread);
    tcase_add_test(tcase, nothing_to_hash);
    return harness_run(suite);
}
