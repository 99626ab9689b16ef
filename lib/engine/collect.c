/* collect.c - the applier's batch: many frames in, the last write of each record out, sorted for
 * LMDB.
 *
 * Records are borrowed from the ring, which cannot be reused under the applier (the header's
 * applied has not moved). Duplicates fall away first, through an open-addressing table of entry
 * numbers; what is left is sorted by key: by the 8 bytes that follow the prefix that all keys of a
 * class share, then by the whole key. Owned by one thread; no locks.
 */
#include "engine/engine.h"

#include "base/bytes.h"
#include "base/error.h"
#include "base/hash.h"

#include <math.h>
#include <stdlib.h>

enum {
    PAGE_SIZE = 4096,
    OVERFLOW_VALUE_MIN = 1900, /* LMDB gives a value of about this size pages of its own (two
                                  records must fit a leaf) */
    LEAF_FILL = 2048, /* bytes of new records that a leaf takes before it splits: half full */
    COUNT_MAX = 1 << 28,
};

typedef struct {
    uint64_t order; /* bytes of the key after the common prefix, as a number */
    const unsigned char *key;
    const unsigned char *value; /* NULL: delete */
    uint32_t value_size;
    uint16_t key_size;
} entry;

struct collected {
    entry *entries;
    uint64_t *hashes;
    size_t count, capacity;
    uint32_t *table; /* entry + 1 */
    size_t table_size;
    uint64_t bytes;          /* of records small enough for leaves */
    uint64_t overflow_pages; /* of the others */
};

int collect_create(collected **ret_collected)
{
    collected *self = calloc(1, sizeof *self);
    if (self == NULL)
        return error_set_memory("the applier's batch");
    *ret_collected = self;
    return MLKV_OK;
}

void collect_destroy(collected *self)
{
    if (self == NULL)
        return;
    free(self->entries);
    free(self->hashes);
    free(self->table);
    free(self);
}

static void table_place(collected *self, size_t index)
{
    size_t i = self->hashes[index] & (self->table_size - 1);
    while (self->table[i] != 0)
        i = (i + 1) & (self->table_size - 1);
    self->table[i] = (uint32_t)index + 1;
}

static int grow(collected *self)
{
    size_t capacity = self->capacity == 0 ? 1024 : self->capacity * 2;
    if (capacity > COUNT_MAX)
        return error_set(MLKV_E_SIZE, "a batch of more than %d records", COUNT_MAX);
    entry *entries = realloc(self->entries, capacity * sizeof *entries);
    if (entries == NULL)
        return error_set_memory("the applier's batch");
    self->entries = entries;
    uint64_t *hashes = realloc(self->hashes, capacity * sizeof *hashes);
    if (hashes == NULL)
        return error_set_memory("the applier's batch");
    self->hashes = hashes;
    uint32_t *table = calloc(capacity * 2, sizeof *table);
    if (table == NULL)
        return error_set_memory("the applier's batch");
    free(self->table);
    self->table = table;
    self->table_size = capacity * 2;
    self->capacity = capacity;
    for (size_t i = 0; i < self->count; i++)
        table_place(self, i);
    return MLKV_OK;
}

static void account(collected *self, const entry *e, bool add)
{
    uint64_t pages = 0, bytes = 0;
    if (e->value_size >= OVERFLOW_VALUE_MIN)
        pages = e->value_size / PAGE_SIZE + 2;
    else
        bytes = e->value_size + e->key_size + 16u;
    self->bytes = add ? self->bytes + bytes : self->bytes - bytes;
    self->overflow_pages = add ? self->overflow_pages + pages : self->overflow_pages - pages;
}

static int add_record(collected *self, const journal_record *record)
{
    if (self->count == self->capacity) {
        int result = grow(self);
        if (result != MLKV_OK)
            return result;
    }
    uint64_t hash = hash_key(record->key.data, record->key.size);
    entry fresh = {0, record->key.data, record->is_delete ? NULL : record->value.data,
                   (uint32_t)record->value.size, (uint16_t)record->key.size};
    size_t i = hash & (self->table_size - 1);
    for (; self->table[i] != 0; i = (i + 1) & (self->table_size - 1)) {
        size_t at = self->table[i] - 1;
        entry *old = &self->entries[at];
        if (self->hashes[at] == hash && old->key_size == fresh.key_size &&
            memcmp(old->key, fresh.key, fresh.key_size) == 0) {
            account(self, old, false);
            *old = fresh;
            account(self, old, true);
            return MLKV_OK;
        }
    }
    self->entries[self->count] = fresh;
    self->hashes[self->count] = hash;
    self->table[i] = (uint32_t)++self->count;
    account(self, &fresh, true);
    return MLKV_OK;
}

int collect_add(collected *self, const journal_frame *frame)
{
    if (frame->kind != FRAME_BATCH)
        return MLKV_OK;
    size_t offset = 0;
    journal_record record;
    int result;
    while ((result = journal_next_record(frame, &offset, &record)) == MLKV_OK) {
        result = add_record(self, &record);
        if (result != MLKV_OK)
            return result;
    }
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

size_t collect_count(const collected *self)
{
    return self->count;
}

uint64_t collect_pages(const collected *self, uint64_t tree_pages)
{
    uint64_t touched = self->count < tree_pages ? self->count : tree_pages;
    return touched + self->bytes / LEAF_FILL + self->overflow_pages;
}

/* n keys thrown at t pages hit t * (1 - e^(-n/t)) of them. */
bool collect_fills(const collected *self, uint64_t tree_pages, uint64_t room)
{
    uint64_t fresh = self->overflow_pages + self->bytes / PAGE_SIZE;
    if (self->count + fresh < room)
        return false; /* each key a page of its own */
    double pages = (double)tree_pages + 1;
    return -pages * expm1(-(double)self->count / pages) + (double)fresh >= (double)room;
}

static int compare(const void *left, const void *right)
{
    const entry *a = left, *b = right;
    if (a->order != b->order)
        return a->order < b->order ? -1 : 1;
    return slice_compare(slice_of(a->key, a->key_size), slice_of(b->key, b->key_size));
}

/* How many first bytes all keys share. */
static size_t common_prefix(const collected *self)
{
    const entry *first = &self->entries[0];
    size_t shared = first->key_size;
    for (size_t i = 1; i < self->count && shared != 0; i++) {
        const entry *e = &self->entries[i];
        size_t limit = e->key_size < shared ? e->key_size : shared, j = 0;
        while (j < limit && e->key[j] == first->key[j])
            j++;
        shared = j;
    }
    return shared;
}

static void sort(collected *self)
{
    size_t shared = common_prefix(self);
    for (size_t i = 0; i < self->count; i++) {
        entry *e = &self->entries[i];
        unsigned char bytes[8] = {0};
        size_t left = e->key_size - shared;
        memcpy(bytes, e->key + shared, left < 8 ? left : 8);
        e->order = load_be64(bytes);
    }
    qsort(self->entries, self->count, sizeof *self->entries, compare);
}

int collect_write(collected *self, store_write *write, uint64_t *ret_records)
{
    *ret_records = self->count;
    if (self->count == 0)
        return MLKV_OK;
    sort(self);
    for (size_t i = 0; i < self->count; i++) {
        const entry *e = &self->entries[i];
        mlkv_slice key = slice_of(e->key, e->key_size);
        int result =
            e->value == NULL
                ? store_write_delete(write, key)
                : store_write_put(write, key, slice_of(e->value, e->value_size), slice_of(NULL, 0));
        if (result != MLKV_OK)
            return result;
    }
    return MLKV_OK;
}
