/* ranking.c - ranks: how many record keys of a prefix stand before one, and which key stands at a number.
 *
 * Three ways to know:
 *   listed  few keys: all of them are read once, at the opening, and searched
 *   counted many: a counted tree in memory, the engine's (engine/ranks.h) or the snapshot's own. The first question makes it
 *   passed  many, of which many are wanted, one after another, or no tree can be had: a scan counts. It is kept open between selections,
 *           and what was selected last is kept too, so that selections that go forward, or overlap with the last one, are one pass
 *
 * What a ranking says is as of the state that the op stands on. Scans see to that (scan.c). An engine's tree is as of what was taken in
 * whenever nothing is just being taken in: so it is asked while it is held, and only if nothing was taken in since the op's cursor;
 * otherwise the op runs again. A snapshot's tree never changes.
 *
 * A transaction has its own writes beside the engine's tree: an overlay of two small trees, the keys that it has added and those that it
 * has removed, compared with the engine's tree, which stands still as long as the transaction holds the writer lock.
 *
 * A tree is made from a scan, without any lock: by a read at once; by a live write after it has let go of the writer lock (op.c); by a
 * transaction under its lock, for it has no other moment. Two that want one make it once, and the other waits.
 *
 * Locks: that of the trees, while one is asked; none is kept between calls.
 */
#include "view/view.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/record.h"

#include <stdlib.h>

enum {
    LISTED_MAX = 256, /* keys: reading them costs about what a few look-ups in a tree do */
    KEY_SIZE_SIZE = 2,
    PREFIX_SIZE = RANKS_PREFIX_SIZE,
};

typedef enum { RANKING_LISTED, RANKING_COUNTED, RANKING_PASSED } ranking_kind;

struct ranking {
    op *o;
    ranking_kind kind;
    unsigned char prefix[PREFIX_SIZE];
    mlkv_buffer
        keys; /* size, bytes of each. listed: all; passed: numbers `kept` to `position` - 1 */
    /* listed */
    mlkv_buffer places; /* size_t[]: where each begins in keys */
    /* counted */
    ranks *trees;
    /* passed */
    scan *walk;
    uint64_t kept, position; /* position: the number of the key that walk gives next */
};

/* A transaction's own writes under a prefix. */
typedef struct rank_overlay {
    struct rank_overlay *next;
    unsigned char prefix[PREFIX_SIZE];
    counted *added;   /* keys that the engine's tree does not have */
    counted *removed; /* keys that it has, and the transaction not */
} overlay;

static int append_key(mlkv_buffer *keys, mlkv_slice key)
{
    unsigned char size[KEY_SIZE_SIZE] = {(unsigned char)key.size, (unsigned char)(key.size >> 8)};
    int result = buffer_append(keys, size, sizeof size);
    return result != MLKV_OK ? result : buffer_append(keys, key.data, key.size);
}

static mlkv_slice prefix_of(const ranking *self)
{
    return slice_of(self->prefix, PREFIX_SIZE);
}

static int open_walk(ranking *self, scan **ret_walk)
{
    return op_scan_open(self->o, prefix_of(self), slice_of(NULL, 0), ret_walk);
}

/* --- listed --- */

static size_t listed_count(const ranking *self)
{
    return self->places.size / sizeof(size_t);
}

static mlkv_slice listed_key(const ranking *self, size_t number)
{
    const unsigned char *at =
        (const unsigned char *)self->keys.data + ((const size_t *)self->places.data)[number];
    return slice_of(at + KEY_SIZE_SIZE, (size_t)(at[0] | at[1] << 8));
}

/* Reads all keys; becomes a passed order if there are more than were said. */
static int list(ranking *self)
{
    scan *walk = NULL;
    mlkv_slice key, value;
    int result = open_walk(self, &walk);
    while (result == MLKV_OK) {
        result = scan_next(walk, &key, &value);
        if (result != MLKV_OK)
            break;
        size_t place = self->keys.size;
        if (listed_count(self) >= 2 * LISTED_MAX) {
            self->kind = RANKING_PASSED;
            break;
        }
        result = buffer_append(&self->places, &place, sizeof place);
        if (result == MLKV_OK)
            result = append_key(&self->keys, key);
    }
    scan_close(walk);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

static uint64_t listed_rank(const ranking *self, mlkv_slice key)
{
    size_t low = 0, high = listed_count(self);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slice_compare(listed_key(self, middle), key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int listed_select(const ranking *self, uint64_t first, size_t n, mlkv_buffer *keys,
                         size_t *ret_count)
{
    size_t count = listed_count(self), from = first < count ? (size_t)first : count;
    size_t taken = n < count - from ? n : count - from;
    const size_t *places = self->places.data;
    *ret_count = taken;
    if (taken == 0)
        return MLKV_OK;
    size_t begin = places[from],
           end = from + taken < count ? places[from + taken] : self->keys.size;
    return buffer_append(keys, (const unsigned char *)self->keys.data + begin, end - begin);
}

/* --- passed --- */

static int passed_rank(ranking *self, mlkv_slice key, uint64_t *ret_rank)
{
    scan *walk = NULL;
    mlkv_slice stored, value;
    uint64_t rank = 0;
    int result = open_walk(self, &walk);
    while (result == MLKV_OK) {
        result = scan_next(walk, &stored, &value);
        if (result != MLKV_OK || slice_compare(stored, key) >= 0)
            break;
        rank++;
    }
    scan_close(walk);
    if (result != MLKV_OK && result != MLKV_ABSENT)
        return result;
    *ret_rank = rank;
    return MLKV_OK;
}

static size_t stored_size(const mlkv_buffer *keys, size_t at)
{
    const unsigned char *bytes = (const unsigned char *)keys->data + at;
    return (size_t)(KEY_SIZE_SIZE + (bytes[0] | bytes[1] << 8));
}

/* Lets go of what was kept before `first`. */
static int passed_begin(ranking *self, uint64_t first)
{
    size_t gone = 0;
    if (self->walk == NULL || first < self->kept) {
        scan_close(self->walk);
        self->walk = NULL;
        self->keys.size = 0;
        self->kept = self->position = 0;
        return open_walk(self, &self->walk);
    }
    for (; self->kept < first && self->kept < self->position; self->kept++)
        gone += stored_size(&self->keys, gone);
    self->keys.size -= gone;
    if (gone != 0)
        memmove(self->keys.data, (unsigned char *)self->keys.data + gone, self->keys.size);
    return MLKV_OK;
}

static int passed_select(ranking *self, uint64_t first, size_t n, mlkv_buffer *keys,
                         size_t *ret_count)
{
    mlkv_slice key, value;
    int result = passed_begin(self, first);
    while (result == MLKV_OK && (self->position < first || self->position - first < n)) {
        result = scan_next(self->walk, &key, &value);
        if (result != MLKV_OK)
            break;
        if (self->position++ < first)
            self->kept = self->position;
        else
            result = append_key(&self->keys, key);
    }
    if (result != MLKV_OK && result != MLKV_ABSENT)
        return result;
    size_t size = 0, count = 0;
    for (; count < n && size < self->keys.size; count++)
        size += stored_size(&self->keys, size);
    *ret_count = count;
    return buffer_append(keys, self->keys.data, size);
}

/* --- counted: making trees --- */

typedef struct {
    ranks *trees;
    mlkv_slice prefix;
    uint64_t count;
    ranks_state state;
    bool begun; /* and neither finished nor abandoned */
} making;

/* The moment of a scan's state. MLKV_ABSENT: it is not for us to make. */
static int begin_making(void *context)
{
    making *self = context;
    int result = ranks_begin(self->trees, self->prefix, self->count, &self->state);
    self->begun = result == MLKV_OK && self->state == RANKS_NONE;
    return result != MLKV_OK || self->begun ? result : MLKV_ABSENT;
}

/* MLKV_ABSENT: it would not fit. */
static int read_tree(const making *self, scan *walk, counted *tree)
{
    mlkv_slice key, value;
    size_t room = ranks_room(self->trees);
    int result = MLKV_OK;
    while (result == MLKV_OK) {
        result = scan_next(walk, &key, &value);
        if (result == MLKV_ABSENT)
            return MLKV_OK;
        if (result == MLKV_OK)
            result = counted_insert(tree, slice_of((const unsigned char *)key.data + PREFIX_SIZE,
                                                   key.size - PREFIX_SIZE));
        if (result == MLKV_OK && counted_bytes(tree) > room)
            result = MLKV_ABSENT;
    }
    return result;
}

/* Makes the tree, or waits until another thread has. MLKV_OK whether there is one now or not. */
static int make_tree(mlkv *view, engine *self, ranks *trees, mlkv_slice prefix, uint64_t count)
{
    making call = {.trees = trees, .prefix = prefix, .count = count};
    view_moment moment = {begin_making, &call};
    scan *walk = NULL;
    counted *tree = NULL;
    ranks_bury(trees);
    int result = view_scan_base(view, self, prefix, &moment, &walk);
    if (result == MLKV_OK) {
        tree = counted_create();
        result = tree == NULL ? error_set_memory("a counted tree") : read_tree(&call, walk, tree);
    }
    scan_close(walk);
    if (call.begun && result == MLKV_OK) {
        ranks_finish(trees, prefix, tree);
        return MLKV_OK;
    }
    counted_destroy(tree);
    if (call.begun)
        ranks_abandon(trees, prefix, result == MLKV_ABSENT ? count : 0);
    else if (result == MLKV_ABSENT && call.state == RANKS_MAKING)
        ranks_wait(trees, prefix);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

/* The trees of a view, or NULL. */
static ranks *trees_of(mlkv *view, engine *self)
{
    if (view->kind != VIEW_SNAPSHOT)
        return engine_journal(self) != NULL ? self->ranks
                                            : NULL; /* without a journal nobody tells of changes */
    ranks *trees = atomic_load(&view->ranks);
    if (trees != NULL)
        return trees;
    trees = ranks_create(&self->ranks_budget, false);
    ranks *other = NULL;
    if (trees != NULL && !atomic_compare_exchange_strong(&view->ranks, &other, trees)) {
        ranks_destroy(trees);
        trees = other;
    }
    return trees;
}

void view_make_wanted(op *o)
{
    (void)make_tree(o->view, o->engine, o->engine->ranks, slice_of(o->wanted, PREFIX_SIZE),
                    o->wanted_count);
}

/* How a ranking of many keys is to be answered. ENGINE_AGAIN: the write stops here, to have a tree made. */
static int choose(ranking *self, uint64_t count, bool passing)
{
    op *o = self->o;
    ranks *trees = trees_of(o->view, o->engine);
    self->kind = RANKING_PASSED;
    if (passing)
        return MLKV_OK;
    ranks_state state = trees == NULL ? RANKS_REFUSED : ranks_look(trees, prefix_of(self), count);
    bool live_and_locked = o->locked && o->view->kind == VIEW_LIVE;
    if (state == RANKS_NONE || state == RANKS_MAKING) {
        if (live_and_locked && !o->may_want)
            return MLKV_OK;
        if (live_and_locked) {
            memcpy(o->wanted, self->prefix, PREFIX_SIZE);
            o->wanted_count = count;
            o->wants = o->again = true;
            return ENGINE_AGAIN;
        }
        int result = make_tree(o->view, o->engine, trees, prefix_of(self), count);
        if (result != MLKV_OK)
            return result;
        state = ranks_look(trees, prefix_of(self), count);
    }
    if (state == RANKS_READY) {
        self->kind = RANKING_COUNTED;
        self->trees = trees;
    }
    return MLKV_OK;
}

/* --- counted: a transaction's own writes --- */

static void overlay_destroy(overlay *self)
{
    counted_destroy(self->added);
    counted_destroy(self->removed);
    free(self);
}

static int overlay_change(overlay *self, const counted *base, mlkv_slice key, bool is_delete)
{
    bool there;
    (void)counted_rank(base, key, &there);
    if (!there && !is_delete)
        return counted_insert(self->added, key);
    if (!there)
        counted_remove(self->added, key);
    else if (!is_delete)
        counted_remove(self->removed, key);
    else
        return counted_insert(self->removed, key);
    return MLKV_OK;
}

/* Those of the writes that are under its prefix. */
static int overlay_add(overlay *self, const counted *base, const batch *writes)
{
    int result = MLKV_OK;
    for (size_t i = 0; i < writes->count && result == MLKV_OK; i++) {
        const batch_entry *entry = &writes->entries[i];
        mlkv_slice key = batch_key(writes, entry);
        if (slice_starts_with(key, slice_of(self->prefix, PREFIX_SIZE)))
            result = overlay_change(
                self, base,
                slice_of((const unsigned char *)key.data + PREFIX_SIZE, key.size - PREFIX_SIZE),
                entry->is_delete);
    }
    return result;
}

/* The overlay of the prefix, made if it is missing; base is held. */
static int take_overlay(mlkv *view, const counted *base, mlkv_slice prefix, overlay **ret_overlay)
{
    for (overlay *at = view->overlays; at != NULL; at = at->next) {
        if (slice_equal(slice_of(at->prefix, PREFIX_SIZE), prefix)) {
            *ret_overlay = at;
            return MLKV_OK;
        }
    }
    overlay *fresh = calloc(1, sizeof *fresh);
    if (fresh == NULL)
        return error_set_memory("a counted tree");
    memcpy(fresh->prefix, prefix.data, PREFIX_SIZE);
    fresh->added = counted_create();
    fresh->removed = counted_create();
    int result = fresh->added == NULL || fresh->removed == NULL
                     ? error_set_memory("a counted tree")
                     : overlay_add(fresh, base, &view->writes);
    if (result != MLKV_OK) {
        overlay_destroy(fresh);
        return result;
    }
    fresh->next = view->overlays;
    view->overlays = fresh;
    *ret_overlay = fresh;
    return MLKV_OK;
}

/* One that cannot be kept true goes, and is made anew from all of the transaction's writes when it is wanted. */
void view_overlays_merge(mlkv *view, engine *self, const batch *writes)
{
    for (overlay **link = &view->overlays, *at; (at = *link) != NULL;) {
        const counted *base = ranks_use(self->ranks, slice_of(at->prefix, PREFIX_SIZE));
        bool kept = base != NULL && overlay_add(at, base, writes) == MLKV_OK;
        if (base != NULL)
            ranks_unuse(self->ranks);
        if (kept) {
            link = &at->next;
            continue;
        }
        *link = at->next;
        overlay_destroy(at);
    }
}

void view_rankings_done(mlkv *view)
{
    while (view->overlays != NULL) {
        overlay *at = view->overlays;
        view->overlays = at->next;
        overlay_destroy(at);
    }
    ranks_destroy(atomic_load(&view->ranks));
}

/* --- counted: asking --- */

/* The trees to ask, held until counted_give; over is NULL but in a transaction with writes. */
typedef struct {
    const counted *base;
    const overlay *over;
} asked;

static void counted_give(ranking *self)
{
    ranks_unuse(self->trees);
}

static int move_away(op *o)
{
    o->again = true;
    return ENGINE_AGAIN;
}

/* MLKV_ABSENT: the tree is gone. */
static int counted_take(ranking *self, asked *ret_asked)
{
    op *o = self->o;
    overlay *over = NULL;
    bool snapshot = o->view->kind == VIEW_SNAPSHOT;
    int result = MLKV_OK;
    if (!snapshot && !o->begun)
        result = engine_read_begin(o->engine, &o->cursor);
    if (result != MLKV_OK)
        return result;
    o->begun = true;
    const counted *base = ranks_use(self->trees, prefix_of(self));
    if (base == NULL) /* given back since the ranking was opened */
        return MLKV_ABSENT;
    if (!snapshot && !engine_stood_still(o->engine, o->cursor))
        result = move_away(o);
    else if (
        !snapshot) { /* what was read before is of this state too, as at the opening of a scan */
        o->reads = 0;
        o->scanned = true;
    }
    if (result == MLKV_OK && o->view->kind == VIEW_TRANSACTION && o->view->writes.count != 0)
        result = take_overlay(o->view, base, prefix_of(self), &over);
    if (result != MLKV_OK)
        counted_give(self);
    *ret_asked = (asked){base, over};
    return result;
}

static uint64_t merged_rank(const asked *trees, mlkv_slice rest)
{
    uint64_t rank = counted_rank(trees->base, rest, NULL);
    return trees->over == NULL ? rank
                               : rank + counted_rank(trees->over->added, rest, NULL) -
                                     counted_rank(trees->over->removed, rest, NULL);
}

static int counted_rank_of(ranking *self, mlkv_slice key, uint64_t *ret_rank)
{
    asked trees;
    mlkv_slice rest = slice_of(NULL, 0), prefix = prefix_of(self);
    bool within = slice_starts_with(key, prefix),
         behind = !within && slice_compare(key, prefix) > 0;
    if (within)
        rest = slice_of((const unsigned char *)key.data + PREFIX_SIZE, key.size - PREFIX_SIZE);
    int result = counted_take(self, &trees);
    if (result != MLKV_OK)
        return result;
    *ret_rank = !behind ? merged_rank(&trees, rest)
                        : counted_count(trees.base) +
                              (trees.over == NULL ? 0
                                                  : counted_count(trees.over->added) -
                                                        counted_count(trees.over->removed));
    counted_give(self);
    return MLKV_OK;
}

/* A walk over base and added, without what is removed. */
typedef struct {
    const asked *trees;
    counted_place base, added;
    unsigned char base_key[COUNTED_KEY_SIZE_MAX], added_key[COUNTED_KEY_SIZE_MAX];
    size_t base_size, added_size;
    bool has_base, has_added;
} merged_walk;

static void next_base(merged_walk *self)
{
    bool gone = true;
    while (gone) {
        self->has_base = counted_next(&self->base, self->base_key, &self->base_size);
        gone = false;
        if (self->has_base && self->trees->over != NULL &&
            counted_count(self->trees->over->removed) != 0)
            (void)counted_rank(self->trees->over->removed,
                               slice_of(self->base_key, self->base_size), &gone);
    }
}

static void next_added(merged_walk *self)
{
    self->has_added =
        self->trees->over != NULL && counted_next(&self->added, self->added_key, &self->added_size);
}

/* The key of number `index` of the base. */
static mlkv_slice base_key(const counted *base, uint64_t index, unsigned char *memory)
{
    size_t size = 0;
    counted_place place = counted_seek(base, index);
    (void)counted_next(&place, memory, &size);
    return slice_of(memory, size);
}

/* Where a walk from number `first` begins: at these numbers of base and added. What stands before a key of the base grows with its number,
 * so the last one that has no more than `first` before it is searched for; from there on only added keys are skipped, by their number. */
static void merged_start(const asked *trees, uint64_t first, uint64_t *ret_base,
                         uint64_t *ret_added)
{
    unsigned char memory[COUNTED_KEY_SIZE_MAX];
    uint64_t low = 0,
             high = counted_count(
                 trees->base); /* low: how many keys are known to have no more before them */
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (merged_rank(trees, base_key(trees->base, middle, memory)) <= first)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_base = 0;
    *ret_added = first;
    if (low == 0)
        return;
    mlkv_slice key = base_key(trees->base, low - 1, memory);
    uint64_t skipped = first - merged_rank(trees, key);
    bool gone;
    (void)counted_rank(trees->over->removed, key, &gone);
    *ret_base = skipped == 0 || gone ? low - 1 : low;
    *ret_added =
        counted_rank(trees->over->added, key, NULL) + skipped - (skipped != 0 && !gone ? 1 : 0);
}

static void merged_open(merged_walk *self, const asked *trees, uint64_t first)
{
    uint64_t base = first, added = 0;
    *self = (merged_walk){.trees = trees};
    if (trees->over != NULL) {
        merged_start(trees, first, &base, &added);
        self->added = counted_seek(trees->over->added, added);
    }
    self->base = counted_seek(trees->base, base);
    next_base(self);
    next_added(self);
}

/* False: the end. */
static bool merged_next(merged_walk *self, unsigned char *ret_key, size_t *ret_size)
{
    if (!self->has_base && !self->has_added)
        return false;
    bool takes_base =
        self->has_base &&
        (!self->has_added || slice_compare(slice_of(self->base_key, self->base_size),
                                           slice_of(self->added_key, self->added_size)) < 0);
    *ret_size = takes_base ? self->base_size : self->added_size;
    memcpy(ret_key, takes_base ? self->base_key : self->added_key, *ret_size);
    if (takes_base)
        next_base(self);
    else
        next_added(self);
    return true;
}

static int counted_select(ranking *self, uint64_t first, size_t n, mlkv_buffer *keys,
                          size_t *ret_count)
{
    asked trees;
    merged_walk walk;
    unsigned char key[PREFIX_SIZE + COUNTED_KEY_SIZE_MAX];
    size_t size, count = 0;
    memcpy(key, self->prefix, PREFIX_SIZE);
    int result = counted_take(self, &trees);
    if (result != MLKV_OK)
        return result;
    merged_open(&walk, &trees, first);
    while (result == MLKV_OK && count < n && merged_next(&walk, key + PREFIX_SIZE, &size)) {
        result = append_key(keys, slice_of(key, PREFIX_SIZE + size));
        count++;
    }
    counted_give(self);
    *ret_count = count;
    return result;
}

/* --- all kinds --- */

int op_ranking_open(op *o, mlkv_slice prefix, uint64_t count, bool passing, ranking **ret_ranking)
{
    if (prefix.size != PREFIX_SIZE)
        return error_set(MLKV_E_SIZE, "a prefix of %zu bytes", prefix.size);
    ranking *self = calloc(1, sizeof *self);
    if (self == NULL)
        return error_set_memory("a ranking");
    self->o = o;
    memcpy(self->prefix, prefix.data, PREFIX_SIZE);
    self->kind = RANKING_LISTED;
    int result = count <= LISTED_MAX ? list(self) : choose(self, count, passing);
    if (result != MLKV_OK) {
        ranking_close(self);
        return result;
    }
    *ret_ranking = self;
    return MLKV_OK;
}

/* A tree that was given back meanwhile: from here on scans count. */
static bool has_lost_tree(ranking *self, int result)
{
    if (result != MLKV_ABSENT || self->kind != RANKING_COUNTED)
        return false;
    self->kind = RANKING_PASSED;
    return true;
}

int ranking_rank(ranking *self, mlkv_slice key, uint64_t *ret_rank)
{
    if (self->kind == RANKING_COUNTED) {
        int result = counted_rank_of(self, key, ret_rank);
        if (!has_lost_tree(self, result))
            return result;
    }
    if (self->kind == RANKING_PASSED)
        return passed_rank(self, key, ret_rank);
    *ret_rank = listed_rank(self, key);
    return MLKV_OK;
}

int ranking_select(ranking *self, uint64_t first, size_t n, mlkv_buffer *keys, size_t *ret_count)
{
    if (self->kind == RANKING_COUNTED) {
        int result = counted_select(self, first, n, keys, ret_count);
        if (!has_lost_tree(self, result))
            return result;
    }
    return self->kind == RANKING_PASSED ? passed_select(self, first, n, keys, ret_count)
                                        : listed_select(self, first, n, keys, ret_count);
}

int ranking_pass(ranking *self, uint64_t first)
{
    mlkv_buffer before = {0};
    size_t count = 0;
    if (self->kind != RANKING_COUNTED || first == 0) {
        self->kind = self->kind == RANKING_COUNTED ? RANKING_PASSED : self->kind;
        return MLKV_OK;
    }
    int result = ranking_select(self, first - 1, 1, &before, &count);
    if (result == MLKV_OK && self->kind == RANKING_COUNTED && count == 1) {
        mlkv_slice after = slice_of((const unsigned char *)before.data + KEY_SIZE_SIZE,
                                    before.size - KEY_SIZE_SIZE);
        self->kind = RANKING_PASSED;
        self->kept = self->position = first;
        result = op_scan_open(self->o, prefix_of(self), after, &self->walk);
    }
    mlkv_buffer_free(&before);
    return result;
}

void ranking_close(ranking *self)
{
    if (self == NULL)
        return;
    scan_close(self->walk);
    mlkv_buffer_free(&self->keys);
    mlkv_buffer_free(&self->places);
    free(self);
}
