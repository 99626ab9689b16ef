/* kept.c - decoded chunks, evicted by SIEVE.
 *
 * State: entries in a hash table and, from the newest to the oldest, in one queue. An entry that is found is marked; the hand goes
 * from the oldest to the newest, takes marks away, and evicts what has none. So what is read once goes before what is read again.
 *
 *   none -- make --> held by its maker -- end(good) --> listed, found by others -- evicted --> none
 *                                      \-- end(bad), or listed by another meanwhile --> none
 *
 * Invariants:
 *  1. used is the memory of all entries, listed or not, and never above the budget.
 *  2. An entry that somebody looks at is not freed and not evicted; if nothing else can go, nothing is made.
 *  3. Listed entries are whole, and never written to again.
 *  4. An entry is at most a quarter of the budget: a few large ones do not drive all others out.
 *
 * Locks: one mutex for all, held for some dozens of nanoseconds: what is done with a chunk takes a hundred times as long. Memory is taken
 * and given back without it.
 */
#include "cache/kept.h"

#include "base/error.h"
#include "base/lock.h"

#include <stdlib.h>
#include <string.h>

enum {
    GHOSTS =
        256, /* some times as many as are kept; what comes again less often would be evicted before */
    BUCKETS = 1024, /* a power of two; chunks are of 256 KiB, mostly: the default budget has 64 */
    PART_OF_BUDGET = 4,
};

struct kept_bytes {
    kept_key key;
    struct kept_bytes *chain;         /* of its bucket; of victims, when it is evicted */
    struct kept_bytes *newer, *older; /* the queue */
    unsigned lookers;
    bool listed, marked;
    _Alignas(64) unsigned char bytes[];
};

struct kept_cache {
    pthread_mutex_t lock;
    size_t budget, used;
    uint64_t hits, misses;
    uint64_t ghosts[GHOSTS]; /* hashes of what was looked for in vain */
    kept_bytes *newest, *oldest, *hand;
    kept_bytes *buckets[BUCKETS];
};

int kept_create(size_t budget_bytes, kept_cache **ret_cache)
{
    kept_cache *self = calloc(1, sizeof *self);
    if (self == NULL)
        return error_set_memory("a cache of decoded chunks");
    lock_init(&self->lock);
    self->budget = budget_bytes;
    *ret_cache = self;
    return 0;
}

void kept_destroy(kept_cache *self)
{
    if (self == NULL)
        return;
    for (kept_bytes *each = self->newest; each != NULL;) {
        kept_bytes *older = each->older;
        free(each);
        each = older;
    }
    lock_destroy(&self->lock);
    free(self);
}

static size_t memory_of(size_t size)
{
    size_t whole = sizeof(kept_bytes) + size;
    return whole + (64 - whole % 64) % 64;
}

static bool same(const kept_key *a, const kept_key *b)
{
    return a->life == b->life && a->chunk == b->chunk && a->checksum == b->checksum &&
           a->size == b->size;
}

static uint64_t hash_of(const kept_key *key)
{
    uint64_t mixed =
        (key->checksum ^ key->life * 0x9e3779b97f4a7c15u ^ key->chunk ^ (uint64_t)key->size << 40) *
        0xff51afd7ed558ccdu;
    return mixed ^ mixed >> 32;
}

static kept_bytes **bucket_of(kept_cache *self, const kept_key *key)
{
    return &self->buckets[hash_of(key) & (BUCKETS - 1)];
}

/* Whether it was looked for lately; from now on it was. */
static bool was_missed(kept_cache *self, const kept_key *key)
{
    uint64_t hash = hash_of(key), *ghost = &self->ghosts[(hash >> 20) & (GHOSTS - 1)];
    bool again = *ghost == hash;
    *ghost = hash;
    return again;
}

static kept_bytes *find(kept_cache *self, const kept_key *key)
{
    kept_bytes *each = *bucket_of(self, key);
    while (each != NULL && !same(&each->key, key))
        each = each->chain;
    return each;
}

static void list(kept_cache *self, kept_bytes *entry)
{
    kept_bytes **bucket = bucket_of(self, &entry->key);
    entry->chain = *bucket;
    *bucket = entry;
    entry->older = self->newest;
    entry->newer = NULL;
    if (self->newest != NULL)
        self->newest->newer = entry;
    else
        self->oldest = entry;
    self->newest = entry;
    entry->listed = true;
}

static void unlist(kept_cache *self, kept_bytes *entry)
{
    kept_bytes **link = bucket_of(self, &entry->key);
    while (*link != entry)
        link = &(*link)->chain;
    *link = entry->chain;
    if (entry->newer != NULL)
        entry->newer->older = entry->older;
    else
        self->newest = entry->older;
    if (entry->older != NULL)
        entry->older->newer = entry->newer;
    else
        self->oldest = entry->newer;
    entry->listed = false;
}

/* Evicts until `size` bytes more are within the budget, or nothing can go. Returns the victims. */
static kept_bytes *evict(kept_cache *self, size_t size)
{
    kept_bytes *victims = NULL, *each = self->hand != NULL ? self->hand : self->oldest;
    for (unsigned rounds = 0; self->used + size > self->budget && rounds < 3;) {
        if (each ==
            NULL) { /* the first round takes marks, the second finds none, unless others look */
            each = self->oldest;
            rounds++;
            continue;
        }
        kept_bytes *next = each->newer;
        if (each->lookers == 0 && !each->marked) {
            unlist(self, each);
            self->used -= memory_of(each->key.size);
            each->chain = victims;
            victims = each;
        }
        each->marked = false;
        each = next;
    }
    self->hand = each;
    return victims;
}

const void *kept_get(kept_cache *self, const kept_key *key, kept_bytes **ret_kept, bool *ret_again)
{
    lock_take(&self->lock);
    kept_bytes *found = find(self, key);
    if (found != NULL) {
        found->lookers++;
        found->marked = true;
        self->hits++;
    } else {
        self->misses++;
        *ret_again = was_missed(self, key);
    }
    lock_release(&self->lock);
    *ret_kept = found;
    return found == NULL ? NULL : found->bytes;
}

/* Of the victims one whose memory is as large as is needed, the others are freed. */
static kept_bytes *use_again(kept_bytes *victims, size_t memory)
{
    kept_bytes *chosen = NULL;
    while (victims != NULL) {
        kept_bytes *next = victims->chain;
        if (chosen == NULL && memory_of(victims->key.size) == memory)
            chosen = victims;
        else
            free(victims);
        victims = next;
    }
    return chosen;
}

void *kept_make(kept_cache *self, const kept_key *key, kept_bytes **ret_kept)
{
    if (key->size > self->budget / PART_OF_BUDGET)
        return NULL;
    size_t memory = memory_of(key->size);
    lock_take(&self->lock);
    kept_bytes *victims = evict(self, memory);
    bool fits = self->used + memory <= self->budget;
    if (fits)
        self->used += memory;
    lock_release(&self->lock);
    kept_bytes *entry = use_again(victims, fits ? memory : 0);
    if (fits && entry == NULL && (entry = aligned_alloc(64, memory)) == NULL) {
        lock_take(&self->lock);
        self->used -= memory;
        lock_release(&self->lock);
    }
    if (entry == NULL)
        return NULL;
    memset(entry, 0, sizeof *entry);
    entry->key = *key;
    entry->lookers = 1;
    *ret_kept = entry;
    return entry->bytes;
}

void kept_end(kept_cache *self, kept_bytes *entry, bool good)
{
    if (entry == NULL)
        return;
    lock_take(&self->lock);
    entry->lookers--;
    if (!entry->listed && good && find(self, &entry->key) == NULL)
        list(self, entry);
    bool gone = !entry->listed;
    if (gone)
        self->used -= memory_of(entry->key.size);
    lock_release(&self->lock);
    if (gone)
        free(entry);
}

void kept_get_info(kept_cache *self, kept_info *ret_info)
{
    lock_take(&self->lock);
    *ret_info = (kept_info){self->hits, self->misses, self->used, self->budget};
    lock_release(&self->lock);
}
