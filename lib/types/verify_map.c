/* verify_map.c - a hash from ids to items, for a walk over a whole store.
 *
 * State: items in one growing array, in order of insertion; a table of item numbers, open
 * addressing, at most half full.
 *
 * Invariants:
 *  1. Every item begins with its id.
 *  2. table_size is a power of two, or 0 while there is no item.
 *
 * Memory: item size and 8 to 16 bytes an id. Locks: none, one thread.
 */
#include "base/hash.h"
#include "types/verify.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static uint64_t id_at(const id_map *self, size_t i)
{
    uint64_t id;
    assert(self->items != NULL); /* the table names only items that are there */
    memcpy(&id, self->items + i * self->item_size, sizeof id);
    return id;
}

/* The slot of the id, or the empty one where it belongs. */
static uint32_t *slot_of(const id_map *self, uint64_t id)
{
    size_t at = (size_t)hash_key(&id, sizeof id) & (self->table_size - 1);
    while (self->table[at] != 0 && id_at(self, self->table[at] - 1) != id)
        at = (at + 1) & (self->table_size - 1);
    return &self->table[at];
}

void *id_map_find(const id_map *self, uint64_t id)
{
    if (self->table_size == 0)
        return NULL;
    uint32_t found = *slot_of(self, id);
    return found == 0 ? NULL : self->items + (found - 1) * self->item_size;
}

static bool grow_table(id_map *self)
{
    size_t size = self->table_size == 0 ? 64 : 2 * self->table_size;
    uint32_t *table = calloc(size, sizeof *table);
    if (table == NULL)
        return false;
    free(self->table);
    self->table = table;
    self->table_size = size;
    for (size_t i = 0; i < self->count; i++)
        *slot_of(self, id_at(self, i)) = (uint32_t)i + 1;
    return true;
}

static bool grow_items(id_map *self)
{
    size_t capacity = self->capacity == 0 ? 32 : self->capacity + self->capacity / 2;
    unsigned char *items = reallocarray(self->items, capacity, self->item_size);
    if (items == NULL)
        return false;
    self->items = items;
    self->capacity = capacity;
    return true;
}

void *id_map_take(id_map *self, uint64_t id)
{
    void *found = id_map_find(self, id);
    if (found != NULL)
        return found;
    if (self->count >= UINT32_MAX - 1)
        return NULL;
    if (2 * (self->count + 1) > self->table_size && !grow_table(self))
        return NULL;
    if ((self->items == NULL || self->count == self->capacity) && !grow_items(self))
        return NULL;
    unsigned char *item = self->items + self->count * self->item_size;
    memset(item, 0, self->item_size);
    memcpy(item, &id, sizeof id);
    *slot_of(self, id) = (uint32_t)++self->count;
    return item;
}

void id_map_done(id_map *self)
{
    free(self->items);
    free(self->table);
    *self = (id_map){.item_size = self->item_size};
}
