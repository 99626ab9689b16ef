/* batch.c - see batch.h.
 *
 * Small batches (nearly all: one to a few records) are searched linearly by hash; from LINEAR_MAX
 * entries on a table is kept. Invariants: 1 every entry's offset is a multiple of 8 and points to a
 * whole encoded record. 2 no two entries have the same key. 3 bytes.size = the sizes of all
 * entries' records + dead_bytes. No locks: a batch belongs to one thread.
 */
#include "engine/batch.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "journal/journal.h"

#include <stdlib.h>

enum {
    LINEAR_MAX = 12, /* as many hashes as two cache lines of entries show at a glance */
    KEPT_BYTES_MAX = 4 * 1 << 20, /* memory a thread keeps between operations */
    KEPT_ENTRIES_MAX = 4096,
};

void batch_done(batch *self)
{
    mlkv_buffer_free(&self->bytes);
    free(self->entries);
    free(self->table);
    *self = (batch){0};
}

void batch_clear(batch *self)
{
    if (self->bytes.capacity > KEPT_BYTES_MAX || self->capacity > KEPT_ENTRIES_MAX) {
        batch_done(self);
        return;
    }
    if (self->table_size != 0) {
        free(self->table);
        self->table = NULL;
        self->table_size = 0;
    }
    self->bytes.size = 0;
    self->count = 0;
    self->dead_bytes = 0;
}

mlkv_slice batch_key(const batch *self, const batch_entry *entry)
{
    return slice_of((const unsigned char *)self->bytes.data + entry->offset +
                        FRAME_RECORD_HEADER_SIZE,
                    entry->key_size);
}

mlkv_slice batch_value(const batch *self, const batch_entry *entry)
{
    return slice_of((const unsigned char *)self->bytes.data + entry->offset +
                        FRAME_RECORD_HEADER_SIZE + entry->key_size,
                    entry->value_size);
}

static bool entry_is(const batch *self, const batch_entry *entry, uint64_t hash, mlkv_slice key)
{
    return entry->hash == hash && slice_equal(batch_key(self, entry), key);
}

static batch_entry *find(const batch *self, uint64_t hash, mlkv_slice key)
{
    if (self->table_size == 0) {
        for (size_t i = 0; i < self->count; i++) {
            if (entry_is(self, &self->entries[i], hash, key))
                return &self->entries[i];
        }
        return NULL;
    }
    for (size_t i = hash & (self->table_size - 1); self->table[i] != 0;
         i = (i + 1) & (self->table_size - 1)) {
        batch_entry *entry = &self->entries[self->table[i] - 1];
        if (entry_is(self, entry, hash, key))
            return entry;
    }
    return NULL;
}

const batch_entry *batch_find(const batch *self, uint64_t hash, mlkv_slice key)
{
    return self->count == 0 ? NULL : find(self, hash, key);
}

static void table_insert(batch *self, uint32_t index)
{
    size_t i = self->entries[index].hash & (self->table_size - 1);
    while (self->table[i] != 0)
        i = (i + 1) & (self->table_size - 1);
    self->table[i] = index + 1;
}

/* Keeps the table at most half full. */
static int table_grow(batch *self)
{
    size_t size = self->table_size == 0 ? 64 : self->table_size * 2;
    while (size < self->capacity * 2)
        size *= 2;
    uint32_t *table = calloc(size, sizeof *table);
    if (table == NULL)
        return error_set_memory("the index of a batch");
    free(self->table);
    self->table = table;
    self->table_size = size;
    for (size_t i = 0; i < self->count; i++)
        table_insert(self, (uint32_t)i);
    return MLKV_OK;
}

static int reserve_entry(batch *self)
{
    if (self->count == self->capacity) {
        if (self->capacity >= UINT32_MAX / 4)
            return error_set(MLKV_E_SIZE, "a transaction of more than %zu records", self->capacity);
        size_t capacity = self->capacity == 0 ? 8 : self->capacity * 2;
        batch_entry *entries = realloc(self->entries, capacity * sizeof *entries);
        if (entries == NULL)
            return error_set_memory("the records of a batch");
        self->entries = entries;
        self->capacity = capacity;
    }
    if (self->count >= LINEAR_MAX && (self->count + 1) * 2 > self->table_size)
        return table_grow(self);
    return MLKV_OK;
}

static size_t entry_size(const batch_entry *entry)
{
    return frame_record_size(entry->key_size, entry->value_size);
}

/* Makes room for a record at the end of bytes and writes header, key and padding. */
static int write_record(batch *self, mlkv_slice key, size_t value_size, bool is_delete,
                        size_t *ret_offset)
{
    size_t size = frame_record_size(key.size, value_size), offset = self->bytes.size;
    unsigned char *to = buffer_extend(&self->bytes, size);
    if (to == NULL)
        return error_set_memory("a batch");
    uint16_t key_size = (uint16_t)key.size, flags = is_delete ? FRAME_DELETE : 0;
    uint32_t stored_size = (uint32_t)value_size;
    memset(to + size - 8, 0, 8);
    memcpy(to, &key_size, 2);
    memcpy(to + 2, &flags, 2);
    memcpy(to + 4, &stored_size, 4);
    memcpy(to + FRAME_RECORD_HEADER_SIZE, key.data, key.size);
    *ret_offset = offset;
    return MLKV_OK;
}

static int add(batch *self, uint64_t hash, mlkv_slice key, size_t value_size, bool is_delete,
               size_t *ret_offset)
{
    if (value_size > UINT32_MAX - 1024)
        return error_set(MLKV_E_SIZE, "a record of %zu bytes", value_size);
    batch_entry *entry = self->count == 0 ? NULL : find(self, hash, key);
    if (entry != NULL && entry->value_size == value_size && entry->is_delete == is_delete) {
        *ret_offset = entry->offset; /* same form: overwritten in place */
        return MLKV_OK;
    }
    int result = entry == NULL ? reserve_entry(self) : MLKV_OK;
    if (result != MLKV_OK)
        return result;
    result = write_record(self, key, value_size, is_delete, ret_offset);
    if (result != MLKV_OK)
        return result;
    bool is_new = entry == NULL;
    if (is_new)
        entry = &self->entries[self->count++];
    else
        self->dead_bytes += entry_size(entry);
    *entry = (batch_entry){hash, *ret_offset, (uint32_t)value_size, (uint16_t)key.size, is_delete};
    if (is_new && self->table_size != 0)
        table_insert(self, (uint32_t)(self->count - 1));
    return MLKV_OK;
}

int batch_put(batch *self, uint64_t hash, mlkv_slice key, size_t value_size,
              unsigned char **ret_value)
{
    size_t offset = 0;
    int result = add(self, hash, key, value_size, false, &offset);
    if (result == MLKV_OK)
        *ret_value =
            (unsigned char *)self->bytes.data + offset + FRAME_RECORD_HEADER_SIZE + key.size;
    return result;
}

int batch_delete(batch *self, uint64_t hash, mlkv_slice key)
{
    size_t offset = 0;
    return add(self, hash, key, 0, true, &offset);
}

int batch_merge(batch *self, const batch *from)
{
    for (size_t i = 0; i < from->count; i++) {
        const batch_entry *entry = &from->entries[i];
        mlkv_slice key = batch_key(from, entry), value = batch_value(from, entry);
        unsigned char *to = NULL;
        int result = entry->is_delete ? batch_delete(self, entry->hash, key)
                                      : batch_put(self, entry->hash, key, value.size, &to);
        if (result != MLKV_OK)
            return result;
        if (!entry->is_delete)
            bytes_copy(to, value.data, value.size);
    }
    return MLKV_OK;
}

size_t batch_size(const batch *self)
{
    return self->bytes.size - self->dead_bytes;
}

int batch_payload(batch *self, mlkv_slice *ret_payload)
{
    if (self->dead_bytes != 0) {
        mlkv_buffer squeezed = {0};
        if (buffer_reserve(&squeezed, batch_size(self)) != MLKV_OK)
            return error_set_memory("a batch");
        unsigned char *to = squeezed.data;
        for (size_t i = 0; i < self->count; i++) {
            size_t size = entry_size(&self->entries[i]);
            memcpy(to + squeezed.size, (unsigned char *)self->bytes.data + self->entries[i].offset,
                   size);
            self->entries[i].offset = squeezed.size;
            squeezed.size += size;
        }
        mlkv_buffer_free(&self->bytes);
        self->bytes = squeezed;
        self->dead_bytes = 0;
    }
    *ret_payload = slice_of_buffer(&self->bytes);
    return MLKV_OK;
}
