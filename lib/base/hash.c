/* hash.c - xxh3, compiled in whole (XXH_INLINE_ALL), so that no libxxhash is needed at run time.
 *
 * hash_key is for the in-memory indexes of one process and may change from version to version. The
 * other two are part of the format: hash_checksum is XXH3 64 with the caller's seed, hash_digest is
 * XXH3 128 with seed 0 in canonical (big-endian) form. Both are stable since xxhash 0.8.0; a test
 * pins their values.
 *
 * No state, no locks.
 */
#include "base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

_Static_assert(XXH_VERSION_NUMBER >= 800, "XXH3's values are final since 0.8.0");

uint64_t hash_key(const void *data, size_t size)
{
    return XXH3_64bits(data, size);
}

uint64_t hash_checksum(const void *data, size_t size, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, size, seed);
}

void hash_digest(const void *data, size_t size, unsigned char ret_digest[16])
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(data, size));
    memcpy(ret_digest, canonical.digest, sizeof canonical.digest);
}
