/* kept.h - decoded chunks of tensors, kept within a byte budget, so that reading rows of a compressed
 * chunk again and again decodes it once. Emptying it at any moment changes no answer (I5).
 *
 * A key says what the bytes are: the life and chunk that they belong to, and their checksum. Bytes
 * under a key never change, so nothing here is ever wrong, and nobody has to tell of writes.
 */
#ifndef MLKV_CACHE_KEPT_H
#define MLKV_CACHE_KEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct kept_cache kept_cache;
typedef struct kept_bytes kept_bytes; /* one that somebody looks at */

typedef struct {
    uint64_t life, chunk, checksum;
    size_t size; /* not 0 */
} kept_key;

/* 0 or MLKV_E_MEMORY. */
int kept_create(size_t budget_bytes, kept_cache **ret_cache);
/* Nobody may look at anything. NULL accepted. */
void kept_destroy(kept_cache *self);

/* The bytes, until kept_end; NULL: they are not kept. *ret_again: they were looked for lately, in vain,
 * so that keeping them will pay. Any thread. */
const void *kept_get(kept_cache *self, const kept_key *key, kept_bytes **ret_kept, bool *ret_again);
/* Memory for such bytes, which the caller fills, until kept_end; NULL: they do not fit now, or there is
 * no memory (no error is set). */
void *kept_make(kept_cache *self, const kept_key *key, kept_bytes **ret_kept);
/* The caller has looked. good: the bytes that it made are those of the key, and others may have them. */
void kept_end(kept_cache *self, kept_bytes *entry, bool good);

typedef struct {
    uint64_t hits, misses, used_bytes, budget_bytes;
} kept_info;
void kept_get_info(kept_cache *self, kept_info *ret_info);

#endif
