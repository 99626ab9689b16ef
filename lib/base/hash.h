/* hash.h - xxh3, for indexes and checksums. Pure functions. */
#ifndef MLKV_BASE_HASH_H
#define MLKV_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* Hash of a record key, for the in-memory indexes: never stored. Inline for speed (XXH_INLINE_ALL). */
uint64_t hash_key(const void *data, size_t size);

/* Checksum of stored bytes (XXH3 64, seed chained): part of the format. */
uint64_t hash_checksum(const void *data, size_t size, uint64_t seed);

/* 128-bit digest of a long name, big-endian canonical form; part of the format (XXH3 128 with a fixed secret-free seed). */
void hash_digest(const void *data, size_t size, unsigned char ret_digest[16]);

#endif
