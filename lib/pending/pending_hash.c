/* pending_hash.c - the hash from record key to the position of its newest version in the ring.
 *
 * A slot is live if its position is not 0 and not below `trimmed`. Trimming kills slots without
 * touching them; they are claimed again in place. One key has one live slot at most, in one of its
 * two buckets or in the stash. Keys stand in the ring only: slots of equal hash are told apart by
 * reading the key there.
 *
 * Invariants
 *
 * P1 A slot is claimed by position = 0, then hash, then the new position, each a release. So a
 *    reader that sees a hash sees no older position than the 0 after it.
 *
 * P2 What a reader finds it checks against the ring, key and all: a slot that changed under it
 *    yields JOURNAL_OTHER, or a version that is newer.
 *
 * P3 A table that grows by doubling splits each bucket into buckets of its own, so that a split
 *    cannot overflow.
 *
 * P4 live_bound is never less than the number of live slots in the table.
 *
 * Locks: one writer (the engine's catch-up lock); readers take none.
 */
#include "pending/internal.h"

#include "base/bytes.h"
#include "base/error.h"
#include "base/lock.h"
#include "base/record.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20, PAGE = 4096 };

static uint64_t load(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_RELAXED);
}

/* --- tables --- */

static size_t slot_count(const pending_table *table)
{
    return (size_t)(table->bucket_mask + 1) * PENDING_BUCKET_SLOTS;
}

static pending_slot *bucket_of(const pending_table *table, uint64_t hash, unsigned choice)
{
    uint64_t bits = choice == 0 ? hash : hash >> 32;
    return table->slots + (bits & table->bucket_mask) * PENDING_BUCKET_SLOTS;
}

/* Zeroed memory, in huge pages if it is large enough for them. */
static void *map_zeroed(size_t size)
{
    size_t alignment = size >= HUGE_PAGE ? HUGE_PAGE : PAGE;
    unsigned char *base = mmap(NULL, size + alignment, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    size_t before = (alignment - (uintptr_t)base % alignment) % alignment;
    if (before != 0)
        munmap(base, before);
    munmap(base + before + size, alignment - before);
    if (size >= HUGE_PAGE)
        madvise(base + before, size, MADV_HUGEPAGE); /* advice only */
    return base + before;
}

static void destroy_table(pending_table *table)
{
    for (pending_stash *stash = table->stash, *older; stash != NULL; stash = older) {
        older = stash->older;
        free(stash);
    }
    munmap(table->slots, table->mapped_size);
    free(table);
}

/* A stash without live slots; calloc leaves large ones untouched. */
static pending_stash *create_stash(size_t capacity)
{
    pending_stash *stash = calloc(1, sizeof *stash + capacity * sizeof(pending_slot));
    if (stash != NULL)
        stash->capacity = capacity;
    return stash;
}

static pending_table *create_table(size_t slots, size_t stash_capacity)
{
    pending_table *table = calloc(1, sizeof *table);
    if (table == NULL)
        return NULL;
    table->bucket_mask = slots / PENDING_BUCKET_SLOTS - 1;
    table->mapped_size = slots * sizeof(pending_slot);
    table->slots = map_zeroed(table->mapped_size);
    if (table->slots == NULL) {
        free(table);
        return NULL;
    }
    table->stash = create_stash(stash_capacity);
    if (table->stash == NULL) {
        destroy_table(table);
        return NULL;
    }
    return table;
}

static void count_bytes(pending *self, size_t bytes)
{
    __atomic_store_n(&self->table_bytes,
                     __atomic_load_n(&self->table_bytes, __ATOMIC_RELAXED) + bytes,
                     __ATOMIC_RELAXED);
}

static size_t stash_bytes(const pending_stash *stash)
{
    return sizeof *stash + stash->capacity * sizeof(pending_slot);
}

int pending_create(const journal *source, pending **ret_pending)
{
    pending *self = calloc(1, sizeof *self);
    pending_table *table = create_table(PENDING_SLOTS_MIN, PENDING_STASH_MIN);
    if (self == NULL || table == NULL) {
        if (table != NULL)
            destroy_table(table);
        free(self);
        return error_set_memory("the index of pending records");
    }
    self->source = source;
    self->table = table;
    count_bytes(self, table->mapped_size + stash_bytes(table->stash));
    lock_init(&self->runs_lock);
    *ret_pending = self;
    return 0;
}

void pending_destroy(pending *self)
{
    if (self == NULL)
        return;
    for (pending_table *table = self->table, *older; table != NULL; table = older) {
        older = table->older;
        destroy_table(table);
    }
    for (size_t i = 0; i < self->run_count; i++)
        free(self->runs[i].items);
    lock_destroy(&self->runs_lock);
    free(self);
}

size_t pending_memory_bytes(const pending *self)
{
    return sizeof *self + __atomic_load_n(&self->table_bytes, __ATOMIC_RELAXED) +
           __atomic_load_n(&self->run_bytes, __ATOMIC_RELAXED);
}

/* --- growing --- */

static bool is_live(const pending_slot *slot, uint64_t trimmed)
{
    uint64_t position = load(&slot->position);
    return position != 0 && position >= trimmed;
}

static size_t count_live(const pending_slot *slots, size_t count, uint64_t trimmed)
{
    size_t live = 0;
    for (size_t i = 0; i < count; i++)
        live += is_live(slots + i, trimmed);
    return live;
}

/* P1 */
static void claim(pending_slot *slot, uint64_t hash, uint64_t position)
{
    __atomic_store_n(&slot->position, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&slot->hash, hash, __ATOMIC_RELEASE);
    __atomic_store_n(&slot->position, position, __ATOMIC_RELEASE);
}

/* Puts a slot's content into a dead slot of the bucket; false if there is none. */
static bool put_in(pending_slot *bucket, const pending_slot *from, uint64_t trimmed)
{
    for (unsigned i = 0; i < PENDING_BUCKET_SLOTS; i++) {
        if (!is_live(bucket + i, trimmed)) {
            claim(bucket + i, from->hash, from->position);
            return true;
        }
    }
    return false;
}

static void put_in_stash(pending_stash *stash, const pending_slot *from)
{
    claim(&stash->slots[stash->count], from->hash, from->position);
    __atomic_store_n(&stash->count, stash->count + 1, __ATOMIC_RELEASE);
}

/* The old table's live slots into an empty larger one. Returns how many. */
static size_t split_table(const pending_table *old, pending_table *larger, uint64_t trimmed)
{
    size_t live = 0;
    for (size_t i = 0; i < slot_count(old); i++) {
        const pending_slot *slot = old->slots + i;
        if (!is_live(slot, trimmed))
            continue;
        unsigned choice = (slot->hash & old->bucket_mask) == i / PENDING_BUCKET_SLOTS ? 0 : 1;
        bool put = put_in(bucket_of(larger, slot->hash, choice), slot, trimmed);
        assert(put); /* P3 */
        (void)put;
        live++;
    }
    for (size_t i = 0; i < old->stash->count; i++) {
        const pending_slot *slot = old->stash->slots + i;
        if (!is_live(slot, trimmed))
            continue;
        if (put_in(bucket_of(larger, slot->hash, 0), slot, trimmed) ||
            put_in(bucket_of(larger, slot->hash, 1), slot, trimmed))
            live++;
        else
            put_in_stash(larger->stash, slot);
    }
    return live;
}

static void begin_count(pending *self, size_t live)
{
    self->live_bound = live;
    self->sweep_bucket = self->sweep_live = self->sweep_claims = 0;
}

static size_t power_above(size_t least, size_t start)
{
    while (start < least)
        start *= 2;
    return start;
}

static int grow_table(pending *self, size_t slots, size_t n)
{
    pending_table *old = self->table;
    pending_table *larger =
        create_table(slots, power_above(old->stash->count + n, PENDING_STASH_MIN));
    if (larger == NULL)
        return error_set_memory("the index of pending records");
    begin_count(self, split_table(old, larger, load(&self->trimmed)));
    larger->older = old;
    count_bytes(self, larger->mapped_size + stash_bytes(larger->stash));
    __atomic_store_n(&self->table, larger, __ATOMIC_RELEASE);
    return 0;
}

static int grow_stash(pending *self, size_t n)
{
    pending_table *table = self->table;
    pending_stash *old = table->stash;
    uint64_t trimmed = load(&self->trimmed);
    pending_stash *larger = create_stash(power_above(old->count + n, old->capacity * 2));
    if (larger == NULL)
        return error_set_memory("the index of pending records");
    for (size_t i = 0; i < old->count; i++) {
        if (is_live(&old->slots[i], trimmed))
            put_in_stash(larger, &old->slots[i]);
    }
    larger->older = old;
    count_bytes(self, stash_bytes(larger));
    __atomic_store_n(&table->stash, larger, __ATOMIC_RELEASE);
    return 0;
}

/* Forgets dead slots at the stash's end; true if live ones remain. */
static bool stash_in_use(pending *self)
{
    pending_stash *stash = self->table->stash;
    while (stash->count > 0 && !is_live(&stash->slots[stash->count - 1], load(&self->trimmed)))
        __atomic_store_n(&stash->count, stash->count - 1, __ATOMIC_RELEASE);
    return stash->count > 0;
}

int pending_reserve(pending *self, size_t n)
{
    if (n > SIZE_MAX / 8 / sizeof(pending_slot))
        return error_set_memory("the index of pending records");
    size_t slots = slot_count(self->table);
    if (self->live_bound + n > slots / 4 * 3) {
        begin_count(self, count_live(self->table->slots, slots, load(&self->trimmed)));
        if (self->live_bound + n > slots / 2)
            return grow_table(self, power_above((self->live_bound + n) * 2, slots * 2), n);
    }
    /* Up to three quarters full a pair of buckets is hardly ever full. A stash in use says that one
     * was: so grow, unless hashes are equal beyond any growth. */
    if (stash_in_use(self) && self->live_bound + n > slots / 4)
        return grow_table(self, slots * 2, n);
    if (self->table->stash->count + n > self->table->stash->capacity)
        return grow_stash(self, n);
    return 0;
}

/* --- adding --- */

void pending_raise_trimmed(pending *self, uint64_t position)
{
    if (position > load(&self->trimmed))
        __atomic_store_n(&self->trimmed, position, __ATOMIC_RELEASE);
}

/* Whether the slot is live and its record's key is this one. An overwritten record is in LMDB: so
 * is all below the journal's applied. */
static bool holds_key(pending *self, const pending_slot *slot, uint64_t hash, mlkv_slice key)
{
    uint64_t position = load(&slot->position);
    if (load(&slot->hash) != hash || !is_live(slot, load(&self->trimmed)))
        return false;
    unsigned char other[RECORD_KEY_SIZE_MAX];
    size_t size = 0;
    int result = journal_get_record_key(self->source, position, other, &size, NULL);
    if (result == JOURNAL_LOST)
        pending_raise_trimmed(self, journal_applied(self->source));
    return result == 0 && slice_equal(slice_of(other, size), key);
}

static pending_slot *find_key(pending *self, const pending_table *table, uint64_t hash,
                              mlkv_slice key)
{
    for (unsigned choice = 0; choice < 2; choice++) {
        pending_slot *bucket = bucket_of(table, hash, choice);
        for (unsigned i = 0; i < PENDING_BUCKET_SLOTS; i++) {
            if (holds_key(self, bucket + i, hash, key))
                return bucket + i;
        }
    }
    for (size_t i = 0; i < table->stash->count; i++) {
        if (holds_key(self, &table->stash->slots[i], hash, key))
            return &table->stash->slots[i];
    }
    return NULL;
}

static pending_slot *first_dead(pending_slot *slots, size_t count, uint64_t trimmed)
{
    for (size_t i = 0; i < count; i++) {
        if (!is_live(slots + i, trimmed))
            return slots + i;
    }
    return NULL;
}

/* P4: one bucket a claim. What lives after the sweep was live when it was counted, or was claimed
 * since the sweep began. */
static void sweep(pending *self, const pending_table *table, uint64_t trimmed)
{
    self->live_bound++;
    self->sweep_claims++;
    self->sweep_live += count_live(table->slots + self->sweep_bucket * PENDING_BUCKET_SLOTS,
                                   PENDING_BUCKET_SLOTS, trimmed);
    if (++self->sweep_bucket > table->bucket_mask)
        begin_count(self, self->sweep_live + self->sweep_claims);
}

void pending_add(pending *self, uint64_t hash, mlkv_slice key, uint64_t position)
{
    pending_table *table = self->table;
    if (position < load(&self->trimmed))
        return;
    pending_prefetch(self, hash);
    pending_slot *slot = find_key(self, table, hash, key);
    uint64_t trimmed = load(&self->trimmed);
    if (slot != NULL) {
        __atomic_store_n(&slot->position, position, __ATOMIC_RELEASE);
    } else {
        pending_slot *first = bucket_of(table, hash, 0), *second = bucket_of(table, hash, 1);
        size_t first_live = count_live(first, PENDING_BUCKET_SLOTS, trimmed),
               second_live = count_live(second, PENDING_BUCKET_SLOTS, trimmed);
        /* the first choice, which is read first, unless it is much fuller */
        slot = first_dead(first_live > second_live + 2 ? second : first, PENDING_BUCKET_SLOTS,
                          trimmed);
        if (slot == NULL)
            slot = first_dead(second, PENDING_BUCKET_SLOTS, trimmed);
        if (slot != NULL) {
            claim(slot, hash, position);
            sweep(self, table, trimmed);
        } else if ((slot = first_dead(table->stash->slots, table->stash->count, trimmed)) != NULL) {
            claim(slot, hash, position);
        } else {
            put_in_stash(table->stash, &(pending_slot){hash, position});
        }
    }
    if (position > load(&self->newest))
        __atomic_store_n(&self->newest, position, __ATOMIC_RELEASE);
}

void pending_trim(pending *self, uint64_t applied)
{
    pending_raise_trimmed(self, applied);
    if (self->run_count > 0 && self->runs[self->run_count - 1].newest < load(&self->trimmed)) {
        lock_take(&self->runs_lock);
        pending_drop_runs(self);
        lock_release(&self->runs_lock);
    }
}

/* All that was added lies below the position, so raising trimmed makes every slot dead. */
void pending_reset(pending *self, uint64_t position)
{
    pending_trim(self, position);
}

uint64_t pending_trimmed(const pending *self)
{
    return __atomic_load_n(&self->trimmed, __ATOMIC_ACQUIRE);
}

/* --- reading --- */

static int read_slot(const pending *self, const pending_slot *slot, uint64_t hash, mlkv_slice key,
                     uint64_t trimmed, mlkv_buffer *ret_value)
{
    if (__atomic_load_n(&slot->hash, __ATOMIC_ACQUIRE) != hash)
        return JOURNAL_OTHER;
    uint64_t position = __atomic_load_n(&slot->position, __ATOMIC_ACQUIRE);
    if (position == 0 || position < trimmed)
        return JOURNAL_OTHER;
    return journal_get_record(self->source, position, key, ret_value);
}

int pending_get(const pending *self, uint64_t hash, mlkv_slice key, mlkv_buffer *ret_value)
{
    uint64_t newest = __atomic_load_n(&self->newest, __ATOMIC_ACQUIRE);
    uint64_t trimmed = pending_trimmed(self);
    if (newest < trimmed || newest == 0)
        return JOURNAL_OTHER;
    const pending_table *table = __atomic_load_n(&self->table, __ATOMIC_ACQUIRE);
    const pending_slot *buckets[2] = {bucket_of(table, hash, 0), bucket_of(table, hash, 1)};
    __builtin_prefetch(buckets[1]);
    __builtin_prefetch(buckets[1] + PENDING_BUCKET_SLOTS / 2);
    for (unsigned choice = 0; choice < 2; choice++) {
        for (unsigned i = 0; i < PENDING_BUCKET_SLOTS; i++) {
            int result = read_slot(self, buckets[choice] + i, hash, key, trimmed, ret_value);
            if (result != JOURNAL_OTHER)
                return result;
        }
    }
    const pending_stash *stash = __atomic_load_n(&table->stash, __ATOMIC_ACQUIRE);
    size_t count = __atomic_load_n(&stash->count, __ATOMIC_ACQUIRE);
    for (size_t i = 0; i < count; i++) {
        int result = read_slot(self, &stash->slots[i], hash, key, trimmed, ret_value);
        if (result != JOURNAL_OTHER)
            return result;
    }
    return JOURNAL_OTHER;
}

void pending_prefetch(const pending *self, uint64_t hash)
{
    const pending_table *table = __atomic_load_n(&self->table, __ATOMIC_ACQUIRE);
    for (unsigned choice = 0; choice < 2; choice++) {
        const pending_slot *bucket = bucket_of(table, hash, choice);
        __builtin_prefetch(bucket);
        __builtin_prefetch(bucket + PENDING_BUCKET_SLOTS / 2);
    }
}

void pending_prefetch_record(const pending *self, uint64_t hash)
{
    const pending_table *table = __atomic_load_n(&self->table, __ATOMIC_ACQUIRE);
    uint64_t trimmed = pending_trimmed(self);
    for (unsigned choice = 0; choice < 2; choice++) {
        const pending_slot *bucket = bucket_of(table, hash, choice);
        for (unsigned i = 0; i < PENDING_BUCKET_SLOTS; i++) {
            uint64_t position = load(&bucket[i].position);
            if (load(&bucket[i].hash) == hash && position >= trimmed && position != 0)
                journal_prefetch(self->source, position);
        }
    }
}
