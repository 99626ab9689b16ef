/* batch.h - the records that one operation or transaction puts and deletes, the newest of each key,
 * already in the form of a frame's payload.
 *
 * Owned by one thread. Bytes: encoded records (journal.h) in `bytes`; an entry for each key points
 * to its newest record there; what a later put outgrew is dead and squeezed out by batch_payload.
 */
#ifndef MLKV_ENGINE_BATCH_H
#define MLKV_ENGINE_BATCH_H

#include <mlkv/base.h>
#include <stdbool.h>

typedef struct {
    uint64_t hash;
    size_t offset; /* of the record's header in bytes */
    uint32_t value_size;
    uint16_t key_size;
    bool is_delete;
} batch_entry;

typedef struct {
    mlkv_buffer bytes;
    batch_entry *entries;
    size_t count, capacity;
    uint32_t *table; /* open addressing, entry + 1; only once there are many entries */
    size_t table_size;
    size_t dead_bytes;
} batch;

void batch_clear(batch *self); /* keeps the memory, unless it is much */
void batch_done(batch *self);

/* A record of size value_size whose value is to be written at *ret_value. Values of 4 GiB and more:
 * MLKV_E_SIZE. */
int batch_put(batch *self, uint64_t hash, mlkv_slice key, size_t value_size,
              unsigned char **ret_value);
int batch_delete(batch *self, uint64_t hash, mlkv_slice key);
/* The newest record of the key, or NULL. */
const batch_entry *batch_find(const batch *self, uint64_t hash, mlkv_slice key);
mlkv_slice batch_key(const batch *self, const batch_entry *entry);
mlkv_slice batch_value(const batch *self, const batch_entry *entry);
/* Adds all of `from`, the newer one. */
int batch_merge(batch *self, const batch *from);
/* The payload of a frame: without dead records, entries' offsets true to it. */
int batch_payload(batch *self, mlkv_slice *ret_payload);
/* Bytes that the payload will take. */
size_t batch_size(const batch *self);

#endif
