/* counted.h - a set of byte strings in memory, in order, that knows how many stand before each: a counted B+tree.
 *
 * For record keys that have their first bytes in common (the caller leaves them out). Not thread-safe: the caller lets readers in together
 * and writers alone.
 */
#ifndef MLKV_COUNTED_COUNTED_H
#define MLKV_COUNTED_COUNTED_H

#include "counted/strings.h"

enum { COUNTED_KEY_SIZE_MAX = STRING_SIZE_MAX };

typedef struct counted counted;

/* NULL: out of memory. */
counted *counted_create(void);
void counted_destroy(counted *self);

/* Adds a key of at most COUNTED_KEY_SIZE_MAX bytes; one that is there already changes nothing. O(log n), and best in ascending order: then
 * memory is filled to the brim. MLKV_E_MEMORY: the tree is broken, and can only be destroyed. */
int counted_insert(counted *self, mlkv_slice key);
/* Removes it, if it is there. O(log n). */
void counted_remove(counted *self, mlkv_slice key);

uint64_t counted_count(const counted *self);
/* How many are below key; *ret_found (may be NULL): whether it is there. O(log n). */
uint64_t counted_rank(const counted *self, mlkv_slice key, bool *ret_found);
/* Bytes allocated, with what malloc adds. O(1). */
size_t counted_bytes(const counted *self);

/* A place in the tree, good until the next change. */
typedef struct {
    const void *leaf;
    unsigned slot;
} counted_place;

/* The place of number `index`, or behind the last. O(log n). */
counted_place counted_seek(const counted *self, uint64_t index);
/* Copies the key there, with room for COUNTED_KEY_SIZE_MAX, and goes on to the next one. False: there is none. */
bool counted_next(counted_place *place, unsigned char *ret_key, size_t *ret_size);

#endif
