/* ranks.c - counted trees by prefix, kept up to date by the frames that are taken in.
 *
 *   none --begin--> making --finish--> ready --change--> ready        any --reset, given back--> none
 *                   making --abandon--> none, or refused, if it does not fit the budget
 *
 * While a tree is being made, changes are noted beside it; finish adds them to the tree, all but the last few outside the lock, and then
 * the tree is as of what was taken in. What was forgotten meanwhile (reset) is marked as lost, and its maker throws the tree away.
 *
 * Memory: the sum of all trees and notes, of the engine's ranks and its snapshots', is held within the budget. What grows beyond lets a
 * tree go that was not asked for long; its memory is freed later, outside locks (bury). An unlucky allocation lets a tree go too: it can
 * always be made again.
 *
 * Invariants
 *   1. A ready tree is exactly what its prefix holds, as of the last frame that was taken in, whenever the lock is held for reading.
 *   2. A tree is changed, and the table too, only with the lock held for writing.
 *   3. watched is the number of entries that are making or ready.
 * Locks: lock (readers together, a writer alone; a waiting writer goes first), inside the catch-up lock.
 */
#include "engine/ranks.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"

#include <pthread.h>
#include <stdlib.h>

enum {
    BUCKETS = 1024,      /* of the table: a load of thousands of trees is still a short chain */
    ENTRIES_MAX = 16384, /* refused ones included */
    FEW_BYTES =
        64
        << 10, /* of notes that are added under the lock: some thousand changes, about a millisecond */
    CATCH_UPS_MAX =
        20, /* rounds of adding notes outside the lock, against writers that are as fast */
    KEY_BYTES_MIN = 3, /* of a key in a tree at the least, to see early that a prefix cannot fit */
    SAMPLE =
        32, /* entries among which the oldest is let go: as good as the oldest of all, and found at once */
    WAIT_US = 500,
};

typedef struct place {
    struct place *next;
    unsigned char prefix[RANKS_PREFIX_SIZE];
    bool making, lost, refused;
    uint64_t count; /* when it was refused */
    _Atomic uint64_t used;
    counted *tree;
    mlkv_buffer notes; /* size (2), is_delete (1), bytes of each change */
    size_t bytes;      /* accounted for: tree and notes */
} place;

struct ranks {
    pthread_rwlock_t lock;
    place *buckets[BUCKETS];
    size_t entries, hand;
    _Atomic size_t watched;
    _Atomic uint64_t clock; /* of uses */
    ranks_budget *budget;
    bool gives_back;
    counted *graves
        [64]; /* trees that were let go of and are not yet freed; more than fit are freed at once */
    _Atomic size_t grave_count;
};

/* --- life --- */

static void must(int number)
{
    if (number != 0)
        abort(); /* only a bug of ours: locks of a thread cannot fail */
}

ranks *ranks_create(ranks_budget *budget, bool gives_back)
{
    pthread_rwlockattr_t attributes;
    ranks *self = calloc(1, sizeof *self);
    if (self == NULL)
        return NULL;
    self->budget = budget;
    self->gives_back = gives_back;
    must(pthread_rwlockattr_init(&attributes));
    must(pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP));
    must(pthread_rwlock_init(&self->lock, &attributes));
    must(pthread_rwlockattr_destroy(&attributes));
    return self;
}

static void take_writing(ranks *self)
{
    must(pthread_rwlock_wrlock(&self->lock));
}

static void take_reading(ranks *self)
{
    must(pthread_rwlock_rdlock(&self->lock));
}

static void give(ranks *self)
{
    must(pthread_rwlock_unlock(&self->lock));
}

static size_t hash_of(mlkv_slice prefix)
{
    uint64_t id = load_be64((const unsigned char *)prefix.data + 1);
    return (size_t)(id * 0x9e3779b97f4a7c15u >> 32) %
           BUCKETS; /* 2^64 / golden ratio: neighbours land far apart */
}

static place *find(ranks *self, mlkv_slice prefix)
{
    place *at = self->buckets[hash_of(prefix)];
    while (at != NULL && memcmp(at->prefix, prefix.data, RANKS_PREFIX_SIZE) != 0)
        at = at->next;
    return at;
}

/* What the entry takes now is accounted for. */
static void account(ranks *self, place *at)
{
    size_t bytes = at->notes.capacity + (at->tree != NULL ? counted_bytes(at->tree) : 0);
    if (bytes > at->bytes)
        atomic_fetch_add_explicit(&self->budget->bytes, bytes - at->bytes, memory_order_relaxed);
    else
        atomic_fetch_sub_explicit(&self->budget->bytes, at->bytes - bytes, memory_order_relaxed);
    at->bytes = bytes;
}

static void bury_later(ranks *self, counted *tree)
{
    size_t count = atomic_load(&self->grave_count);
    if (tree != NULL && count < sizeof self->graves / sizeof *self->graves) {
        self->graves[count] = tree;
        atomic_store(&self->grave_count, count + 1);
    } else {
        counted_destroy(tree);
    }
}

/* Takes an entry's memory away. */
static void strip(ranks *self, place *at)
{
    bury_later(self, at->tree);
    at->tree = NULL;
    mlkv_buffer_free(&at->notes);
    account(self, at);
}

static void unlink_place(ranks *self, place *at)
{
    place **link = &self->buckets[hash_of(slice_of(at->prefix, RANKS_PREFIX_SIZE))];
    while (*link != at)
        link = &(*link)->next;
    *link = at->next;
    strip(self, at);
    if (!at->refused)
        atomic_fetch_sub(&self->watched, 1);
    self->entries--;
    free(at);
}

/* All but what is being made, which its maker ends. */
static void forget(ranks *self)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        for (place *at = self->buckets[i], *next; at != NULL; at = next) {
            next = at->next;
            if (at->making) {
                at->lost = true;
                strip(self, at);
            } else {
                unlink_place(self, at);
            }
        }
    }
}

void ranks_reset(ranks *self)
{
    take_writing(self);
    forget(self);
    give(self);
}

void ranks_bury(ranks *self)
{
    counted *dead[sizeof self->graves / sizeof *self->graves];
    if (self == NULL || atomic_load_explicit(&self->grave_count, memory_order_relaxed) == 0)
        return;
    take_writing(self);
    size_t count = atomic_load(&self->grave_count);
    memcpy(dead, self->graves, count * sizeof *dead);
    atomic_store(&self->grave_count, 0);
    give(self);
    for (size_t i = 0; i < count; i++)
        counted_destroy(dead[i]);
}

void ranks_destroy(ranks *self)
{
    if (self == NULL)
        return;
    forget(self);
    for (size_t i = 0; i < atomic_load(&self->grave_count); i++)
        counted_destroy(self->graves[i]);
    free(self); /* the lock needs no end, and in a forked child another thread may have held it */
}

/* --- the budget --- */

static bool over(const ranks *self)
{
    return atomic_load_explicit(&self->budget->bytes, memory_order_relaxed) >
           self->budget->bytes_max;
}

size_t ranks_room(const ranks *self)
{
    size_t used = self->gives_back ? 0 : atomic_load(&self->budget->bytes);
    return used < self->budget->bytes_max ? self->budget->bytes_max - used : 0;
}

/* An entry that was asked for long ago and is not being made, nor is `but`: the oldest of the next few in the table. */
static place *oldest(ranks *self, const place *but)
{
    place *found = NULL;
    uint64_t used = UINT64_MAX;
    size_t seen = 0;
    for (size_t i = 0; i < BUCKETS && seen < SAMPLE; i++) {
        self->hand = (self->hand + 1) % BUCKETS;
        for (place *at = self->buckets[self->hand]; at != NULL; at = at->next) {
            uint64_t its = atomic_load_explicit(&at->used, memory_order_relaxed);
            if (at == but || at->making)
                continue;
            seen++;
            if (its < used) {
                found = at;
                used = its;
            }
        }
    }
    return found;
}

/* Its tree does not fit: so it will be until it is much smaller. */
static void refuse(ranks *self, place *at, uint64_t count)
{
    strip(self, at);
    if (!at->refused)
        atomic_fetch_sub(&self->watched, 1);
    at->making = false;
    at->refused = true;
    at->count = count;
}

/* Lets others go until the rest fits; if nothing else is left, this one. */
static void make_room(ranks *self, place *at)
{
    while (over(self)) {
        place *other = self->gives_back ? oldest(self, at) : NULL;
        while (other != NULL && other->bytes == 0) { /* refused: nothing to gain */
            unlink_place(self, other);
            other = oldest(self, at);
        }
        if (other == NULL) {
            if (at->tree != NULL)
                refuse(self, at, counted_count(at->tree));
            return;
        }
        unlink_place(self, other);
    }
}

/* --- looking --- */

static ranks_state state_of(const ranks *self, const place *at, uint64_t count)
{
    if (at == NULL)
        return count > self->budget->bytes_max / KEY_BYTES_MIN ? RANKS_REFUSED : RANKS_NONE;
    if (at->making)
        return RANKS_MAKING;
    return !at->refused ? RANKS_READY : count < at->count / 2 ? RANKS_NONE : RANKS_REFUSED;
}

ranks_state ranks_look(ranks *self, mlkv_slice prefix, uint64_t count)
{
    take_reading(self);
    ranks_state state = state_of(self, find(self, prefix), count);
    give(self);
    return state;
}

const counted *ranks_use(ranks *self, mlkv_slice prefix)
{
    take_reading(self);
    place *at = find(self, prefix);
    if (at == NULL || at->making || at->refused) {
        give(self);
        return NULL;
    }
    uint64_t now = atomic_fetch_add_explicit(&self->clock, 1, memory_order_relaxed) + 1;
    atomic_store_explicit(&at->used, now, memory_order_relaxed);
    return at->tree;
}

void ranks_unuse(ranks *self)
{
    give(self);
}

/* --- making --- */

static int new_place(ranks *self, mlkv_slice prefix, place **ret_place)
{
    while (self->entries >= ENTRIES_MAX) {
        place *old = oldest(self, NULL);
        if (old == NULL)
            break;
        unlink_place(self, old);
    }
    place *at = calloc(1, sizeof *at);
    if (at == NULL)
        return error_set_memory("a counted tree");
    memcpy(at->prefix, prefix.data, RANKS_PREFIX_SIZE);
    atomic_init(&at->used, atomic_load(&self->clock));
    at->next = self->buckets[hash_of(prefix)];
    self->buckets[hash_of(prefix)] = at;
    self->entries++;
    at->refused = true; /* not watched yet */
    *ret_place = at;
    return MLKV_OK;
}

int ranks_begin(ranks *self, mlkv_slice prefix, uint64_t count, ranks_state *ret_state)
{
    int result = MLKV_OK;
    take_writing(self);
    place *at = find(self, prefix);
    *ret_state = state_of(self, at, count);
    if (*ret_state == RANKS_NONE) {
        if (at == NULL)
            result = new_place(self, prefix, &at);
        if (result == MLKV_OK) {
            at->refused = at->lost = false;
            at->making = true;
            atomic_fetch_add(&self->watched, 1);
        }
    }
    give(self);
    return result;
}

void ranks_abandon(ranks *self, mlkv_slice prefix, uint64_t refused_count)
{
    take_writing(self);
    place *at = find(self, prefix);
    at->making = false;
    if (refused_count != 0 && !at->lost)
        refuse(self, at, refused_count);
    else
        unlink_place(self, at);
    give(self);
}

static int change_tree(counted *tree, mlkv_slice key, bool is_delete)
{
    if (!is_delete)
        return counted_insert(tree, key);
    counted_remove(tree, key);
    return MLKV_OK;
}

enum { NOTE_SIZE = 3 };

static int add_notes(counted *tree, const mlkv_buffer *notes)
{
    const unsigned char *at = notes->data;
    int result = MLKV_OK;
    for (size_t left = notes->size; left != 0 && result == MLKV_OK;) {
        size_t size = (size_t)(at[0] | at[1] << 8);
        result = change_tree(tree, slice_of(at + NOTE_SIZE, size), at[2] != 0);
        at += NOTE_SIZE + size;
        left -= NOTE_SIZE + size;
    }
    return result;
}

/* One round: takes the notes over; if they are few, they are added and the tree is ready. MLKV_ABSENT: another round is needed. */
static int settle(ranks *self, place *at, counted *tree, bool at_once)
{
    mlkv_buffer notes = {0};
    int result;
    take_writing(self);
    if (at->lost) {
        result = MLKV_E_BUSY;
    } else if (at_once || at->notes.size <= FEW_BYTES) {
        result = add_notes(tree, &at->notes);
        mlkv_buffer_free(&at->notes);
        if (result == MLKV_OK) {
            at->tree = tree;
            at->making = false;
            account(self, at);
            make_room(self, at);
        }
    } else {
        notes = at->notes;
        at->notes = (mlkv_buffer){0};
        account(self, at);
        result = MLKV_ABSENT;
    }
    give(self);
    if (result != MLKV_ABSENT)
        return result;
    result = add_notes(tree, &notes);
    mlkv_buffer_free(&notes);
    return result == MLKV_OK ? MLKV_ABSENT : result;
}

void ranks_finish(ranks *self, mlkv_slice prefix, counted *tree)
{
    take_reading(self);
    place *at = find(self, prefix); /* what is being made stays where it is */
    give(self);
    int result = MLKV_ABSENT;
    for (int i = 0; result == MLKV_ABSENT; i++)
        result = settle(self, at, tree, i >= CATCH_UPS_MAX);
    if (result != MLKV_OK) {
        counted_destroy(tree);
        ranks_abandon(self, prefix, 0);
    }
    ranks_bury(self);
}

/* Making takes at least the time of some thousand records, so looking now and then costs nothing beside it. */
void ranks_wait(ranks *self, mlkv_slice prefix)
{
    while (ranks_look(self, prefix, 0) == RANKS_MAKING)
        clock_sleep_us(WAIT_US);
}

/* --- changes --- */

bool ranks_watch(const ranks *self)
{
    return self != NULL && atomic_load_explicit(&self->watched, memory_order_relaxed) != 0;
}

static int note(place *at, mlkv_slice key, bool is_delete)
{
    unsigned char head[NOTE_SIZE] = {(unsigned char)key.size, (unsigned char)(key.size >> 8),
                                     is_delete};
    int result = buffer_append(&at->notes, head, sizeof head);
    return result != MLKV_OK ? result : buffer_append(&at->notes, key.data, key.size);
}

static void change(ranks *self, place *at, mlkv_slice key, bool is_delete)
{
    int result = at->making ? note(at, key, is_delete) : change_tree(at->tree, key, is_delete);
    account(self, at);
    if (at->making) {
        if (result != MLKV_OK || at->notes.size > self->budget->bytes_max) {
            at->lost = true;
            strip(self, at);
        }
        return;
    }
    if (result != MLKV_OK || counted_count(at->tree) == 0)
        unlink_place(self, at);
    else if (over(self))
        make_room(self, at);
}

void ranks_change(ranks *self, mlkv_slice key, bool is_delete, bool *held)
{
    if (key.size < RANKS_PREFIX_SIZE)
        return;
    if (!*held)
        take_writing(self);
    *held = true;
    place *at = find(self, key);
    if (at != NULL && !at->refused && !at->lost)
        change(self, at,
               slice_of((const unsigned char *)key.data + RANKS_PREFIX_SIZE,
                        key.size - RANKS_PREFIX_SIZE),
               is_delete);
}

void ranks_changed(ranks *self, bool held)
{
    if (held)
        give(self);
}
