/* remains_fill.c - what the walk missed: looks for the records of gaps.
 *
 * A gap is a range of keys whose page is broken. It is filled from the first of these that can:
 *
 *   1. The state before the base, if the caller can replay the journal from its position up to the
 *      base's (or the two are equal): then its records in the range are exact. LMDB writes a changed
 *      page to another place, so a page that was changed last has an old copy there. Used only if
 *      all of the range can be read.
 *   2. Leaves that belong to nothing: neither reached from the base's roots nor listed as free, with
 *      all their keys in the gap. If the list of free pages could be read, these are the leaves that
 *      the broken page led to. Leaves in use never overlap; of those that do, the records are taken
 *      on which all agree that could have them, and the others left out.
 *   3. The page that stood there, if it was refused because it is listed as free, too.
 *   4. The state before, though it may be older than what was lost.
 *
 * What 3 and 4 give, and 2 without a list of free pages, is uncertain: told and counted.
 *
 * Invariants:
 *  1. Only 1 replaces what the walk gave: with what was there earlier, and is then replayed.
 *  2. Each record has its seal.
 *
 * Memory: 48 bytes for each leaf that belongs to nothing; those that overlap, at most CLUSTER_MAX
 * pages. No locks.
 */
#include "store/remains_page.h"

#include "base/buffer.h"
#include "base/error.h"

#include <stdlib.h>

enum { PREFIX_SIZE = 39, CLUSTER_MAX = 512 };

/* A leaf that belongs to nothing. */
typedef struct {
    uint64_t page;
    unsigned char size; /* of the first key, at most PREFIX_SIZE */
    unsigned char first[PREFIX_SIZE];
} orphan;

typedef struct {
    store_remains *file;
    mlkv_buffer orphans; /* orphan[] */
    remains_frame scratch[2];
    remains_frame cluster[CLUSTER_MAX];
    uint64_t numbers[CLUSTER_MAX];
    size_t count;
    mlkv_buffer last; /* the highest key of the cluster */
    uint64_t added, left_out;
} search;

static mlkv_slice first_key(const remains_frame *frame)
{
    return frame->page.nodes[0].key;
}

static mlkv_slice last_key(const remains_frame *frame)
{
    return frame->page.nodes[frame->page.count - 1].key;
}

static const char *quote_bound(mlkv_slice key, const char *none)
{
    return key.size == 0 ? none : error_quote(key.data, key.size);
}

static int tell_gap(store_remains *self, const remains_gap *gap, bool loss, uint64_t n,
                    const char *what)
{
    return remains_tell(self, loss, "records from '%s' to '%s': %llu %s",
                        quote_bound(gap_from(gap), "the first"),
                        quote_bound(gap_below(gap), "the last"), (unsigned long long)n, what);
}

/* --- 1 and 4: the state before --- */

static int fill_from_before(store_remains *self, remains_gap *gap, bool exact)
{
    remains_walk walk = {.kind = WALK_BEFORE, .from = gap_from(gap), .below = gap_below(gap)};
    int result = 0;
    if (exact) {
        walk.try_only = true;
        result = remains_tree_walk(self, self->before.root, &walk);
        if (result != 0 || walk.broken)
            return result;
    }
    walk =
        (remains_walk){.kind = WALK_BEFORE, .from = walk.from, .below = walk.below, .over = exact};
    result = remains_tree_walk(self, self->before.root, &walk);
    if (result != 0)
        return result;
    gap->filled = exact;
    if (exact) {
        self->summary.used_older = true;
        self->summary.records += walk.added;
        return tell_gap(self, gap, false, walk.records,
                        "were found in the state before, and nothing of them is lost");
    }
    self->summary.uncertain += walk.added;
    self->summary.records += walk.added;
    return walk.added == 0
               ? 0
               : tell_gap(self, gap, true, walk.added,
                          "are those of the state before, which may be older than what was lost");
}

/* --- 2: leaves that belong to nothing --- */

static const remains_gap *gap_of(const store_remains *self, const remains_frame *leaf)
{
    for (size_t i = 0; i < self->gap_count; i++) {
        const remains_gap *gap = &self->gaps[i];
        if (!gap->filled && key_within(first_key(leaf), gap_from(gap), gap_below(gap)) &&
            key_within(last_key(leaf), gap_from(gap), gap_below(gap)))
            return gap;
    }
    return NULL;
}

/* Whether at least one record has its seal: not merely bytes that look like a page. */
static bool is_leaf_of_ours(store_remains *self, const remains_frame *frame)
{
    mlkv_slice value;
    for (size_t i = 0; i < frame->page.count; i++) {
        if (remains_sealed(self, &frame->page.nodes[i], false, &value) == 0)
            return true;
    }
    return false;
}

static int find_orphans(search *self)
{
    store_remains *file = self->file;
    remains_frame *frame = &self->scratch[0];
    for (uint64_t page = REMAINS_FIRST_PAGE; page < file->pages; page++) {
        if (bit_get(file->is_seen, page) || bit_get(file->is_claimed, page) ||
            bit_get(file->is_free, page))
            continue;
        int result = remains_frame_load(file, page, frame);
        if (result < 0)
            return result;
        if (result != 0 || !frame->page.is_leaf || gap_of(file, frame) == NULL ||
            !is_leaf_of_ours(file, frame))
            continue;
        orphan found = {.page = page};
        mlkv_slice key = first_key(frame);
        found.size = (unsigned char)(key.size < PREFIX_SIZE ? key.size : PREFIX_SIZE);
        memcpy(found.first, key.data, found.size);
        result = buffer_append(&self->orphans, &found, sizeof found);
        if (result != 0)
            return result;
    }
    return 0;
}

/* By their first keys, which are read again where the prefixes do not tell. */
static int order_orphans(const void *a, const void *b, void *context)
{
    const orphan *x = a, *y = b;
    search *self = context;
    int order = slice_compare(slice_of(x->first, x->size), slice_of(y->first, y->size));
    if (order != 0 || x->size < PREFIX_SIZE ||
        remains_frame_load(self->file, x->page, &self->scratch[0]) != 0 ||
        remains_frame_load(self->file, y->page, &self->scratch[1]) != 0)
        return order;
    return slice_compare(first_key(&self->scratch[0]), first_key(&self->scratch[1]));
}

typedef struct {
    const remains_node *node;
    size_t leaf;
} candidate;

static int order_candidates(const void *a, const void *b)
{
    return slice_compare(((const candidate *)a)->node->key, ((const candidate *)b)->node->key);
}

static bool same_value(const remains_node *a, const remains_node *b)
{
    size_t size = a->is_run ? 8 : a->value_size;
    return a->is_run == b->is_run && a->value_size == b->value_size &&
           memcmp(a->value, b->value, size) == 0;
}

/* Whether all leaves that could have the key have it with one value. */
static bool agreed(const search *self, const candidate *items, size_t n)
{
    size_t covering = 0;
    for (size_t i = 0; i < self->count; i++) {
        mlkv_slice key = items[0].node->key;
        covering += slice_compare(first_key(&self->cluster[i]), key) <= 0 &&
                    slice_compare(key, last_key(&self->cluster[i])) <= 0;
    }
    for (size_t i = 1; i < n; i++) {
        if (!same_value(items[0].node, items[i].node))
            return false;
    }
    return covering == n;
}

static int give_agreed(search *self, remains_walk *walk)
{
    size_t total = 0, n = 0;
    for (size_t i = 0; i < self->count; i++)
        total += self->cluster[i].page.count;
    candidate *items = calloc(total, sizeof *items);
    if (items == NULL)
        return error_set_memory("pages of data.mdb that overlap");
    for (size_t i = 0; i < self->count; i++) {
        for (size_t j = 0; j < self->cluster[i].page.count; j++)
            items[n++] = (candidate){&self->cluster[i].page.nodes[j], i};
    }
    qsort(items, n, sizeof *items, order_candidates);
    int result = 0;
    for (size_t i = 0, end; i < n && result == 0; i = end) {
        for (end = i + 1; end < n && slice_equal(items[end].node->key, items[i].node->key);)
            end++;
        remains_page one = {.is_leaf = true, .count = 1, .nodes = (remains_node[]){*items[i].node}};
        if (agreed(self, &items[i], end - i))
            result = remains_give(self->file, &one, self->numbers[items[i].leaf], walk);
        else
            self->left_out++;
    }
    free(items);
    return result;
}

/* Gives what has been gathered, and begins anew. */
static int end_cluster(search *self)
{
    remains_walk walk = {.kind = WALK_BASE};
    uint64_t before = self->left_out;
    int result = 0;
    if (self->count == 1)
        result = remains_give(self->file, &self->cluster[0].page, self->numbers[0], &walk);
    else if (self->count > 1)
        result = give_agreed(self, &walk);
    if (result == 0 && self->left_out != before)
        result = remains_tell(self->file, true,
                              "%llu records from '%s' on stand with different values in pages of "
                              "which it cannot be told which is newer, and are left out",
                              (unsigned long long)(self->left_out - before),
                              quote_bound(first_key(&self->cluster[0]), ""));
    self->added += walk.added;
    self->count = 0;
    return result;
}

static int add_to_cluster(search *self, uint64_t page)
{
    remains_frame *at = &self->cluster[self->count];
    int result = at->bytes == NULL ? remains_frame_make(self->file, at) : 0;
    if (result == 0)
        result = remains_frame_load(self->file, page, at);
    if (result != 0)
        return result == MLKV_ABSENT ? 0 : result;
    if (self->count != 0 && slice_compare(first_key(at), slice_of_buffer(&self->last)) > 0) {
        remains_frame kept = *at;
        *at = (remains_frame){0};
        result = end_cluster(self);
        remains_frame_free(at);
        at = &self->cluster[0];
        remains_frame_free(at);
        *at = kept;
    }
    mlkv_slice last = last_key(at);
    if (result == 0 && (self->count == 0 || slice_compare(last, slice_of_buffer(&self->last)) > 0))
        result = buffer_assign(&self->last, last.data, last.size);
    self->numbers[self->count++] = page;
    if (result == 0 && self->count == CLUSTER_MAX) {
        result = remains_tell(self->file, true, "too many pages of data.mdb overlap from '%s' on",
                              quote_bound(first_key(&self->cluster[0]), ""));
        self->count = 0;
    }
    return result;
}

static int tell_orphans(const search *self, size_t leaves, bool certain)
{
    store_remains *file = self->file;
    if (self->added == 0)
        return 0;
    return remains_tell(file, !certain,
                        "%llu records were found in %zu pages that nothing led to any more%s",
                        (unsigned long long)self->added, leaves,
                        certain ? ""
                                : "; as the list of free pages is damaged, some may be older "
                                  "than they should be, or deleted ones");
}

static int fill_from_orphans(store_remains *file)
{
    search *self = calloc(1, sizeof *self);
    if (self == NULL)
        return error_set_memory("the search for lost pages");
    self->file = file;
    int result = remains_frame_make(file, &self->scratch[0]);
    if (result == 0)
        result = remains_frame_make(file, &self->scratch[1]);
    if (result == 0)
        result = find_orphans(self);
    size_t n = self->orphans.size / sizeof(orphan);
    if (result == 0 && n != 0)
        qsort_r(self->orphans.data, n, sizeof(orphan), order_orphans, self);
    for (size_t i = 0; i < n && result == 0; i++)
        result = add_to_cluster(self, ((const orphan *)self->orphans.data)[i].page);
    if (result == 0)
        result = end_cluster(self);
    if (result == 0)
        result = tell_orphans(self, n, file->free_known);
    file->summary.records += self->added;
    file->summary.uncertain += file->free_known ? 0 : self->added;
    for (size_t i = 0; i < CLUSTER_MAX; i++)
        remains_frame_free(&self->cluster[i]);
    remains_frame_free(&self->scratch[0]);
    remains_frame_free(&self->scratch[1]);
    mlkv_buffer_free(&self->orphans);
    mlkv_buffer_free(&self->last);
    free(self);
    return result;
}

/* --- 3: a page that is in use and free --- */

static int fill_from_suspect(store_remains *self, const remains_gap *gap)
{
    remains_walk walk = {.kind = WALK_BEFORE, .from = gap_from(gap), .below = gap_below(gap)};
    int result = remains_tree_walk(self, gap->suspect, &walk);
    self->summary.uncertain += walk.added;
    self->summary.records += walk.added;
    return result != 0 || walk.added == 0
               ? result
               : tell_gap(
                     self, gap, true, walk.added,
                     "stand in a page that is also listed as free: they may be older than what "
                     "was lost");
}

/* --- all of it --- */

/* A root that was searched for may be that of a part. Outside of what it reaches the newest state, if
 * it is that, has nothing that counts: every store has records of the classes C and S, and what stands
 * before and behind them belongs to keys between. */
static int add_outside(store_remains *self)
{
    mlkv_slice none = slice_of(NULL, 0);
    size_t n = self->gap_count;
    remains_gap *inner = self->gaps;
    self->gaps = NULL;
    self->gap_count = self->gap_capacity = 0;
    int result = remains_add_gap(self, none, slice_of_buffer(&self->first), 0);
    for (size_t i = 0; i < n; i++) {
        if (result == 0)
            result =
                remains_add_gap(self, gap_from(&inner[i]), gap_below(&inner[i]), inner[i].suspect);
        free(inner[i].bytes);
    }
    free(inner);
    return result == 0 ? remains_add_gap(self, slice_of_buffer(&self->last), none, 0) : result;
}

int store_remains_walk(store_remains *self)
{
    remains_walk walk = {.kind = WALK_BASE, .over = true};
    if (!self->base.valid)
        return 0;
    int result = remains_tree_walk(self, self->base.root, &walk);
    self->summary.records = walk.records;
    if (result != 0)
        return result;
    if (self->summary.found_roots && !self->free_found) {
        self->summary.uncertain = walk.records;
        result = remains_tell(self, true,
                              "no list of free pages is left: the root that was found may be an "
                              "older one, and its records older than they should be");
    }
    if (self->summary.found_roots)
        return result != 0 ? result : add_outside(self);
    if (self->gap_count != 0 || walk.records == self->base.entries)
        return 0;
    result = remains_add_gap(self, slice_of(NULL, 0), slice_of(NULL, 0), 0);
    if (result == 0)
        self->gaps[0].by_count = true;
    return result;
}

bool store_remains_has_gaps(const store_remains *self)
{
    return self->gap_count != 0;
}

static size_t open_gaps(const store_remains *self)
{
    size_t n = 0;
    for (size_t i = 0; i < self->gap_count; i++)
        n += !self->gaps[i].filled;
    return n;
}

/* How many records are missing, by the count that the state keeps. */
static int count_lost(store_remains *self)
{
    uint64_t expected = self->base.entries, found = self->summary.records;
    if (open_gaps(self) == 0)
        return 0;
    if (self->summary.found_roots && self->summary.uncertain == 0 &&
        self->summary.pages_damaged == 0)
        return 0;
    if (!self->base.valid || self->summary.found_roots)
        return remains_tell(self, true,
                            "how many records are lost cannot be told: no page says how "
                            "many there were");
    if (self->gaps[0].by_count && found != 0 && self->summary.uncertain == 0 && self->free_known &&
        self->gap_count == 1)
        return remains_tell(self, false,
                            "data.mdb counts %llu records and has %llu, and no page is missing",
                            (unsigned long long)expected, (unsigned long long)found);
    self->summary.lost = expected > found ? expected - found : 0;
    return self->summary.lost == 0 ? 0
                                   : remains_tell(self, true, "%llu records of data.mdb are lost",
                                                  (unsigned long long)self->summary.lost);
}

int store_remains_fill(store_remains *self, remains_older older)
{
    int result = 0;
    for (size_t i = 0; i < self->gap_count && result == 0; i++) {
        if (self->before.valid && older == REMAINS_OLDER_EXACT)
            result = fill_from_before(self, &self->gaps[i], true);
    }
    if (result == 0 && open_gaps(self) != 0)
        result = fill_from_orphans(self);
    for (size_t i = 0; i < self->gap_count && result == 0; i++) {
        if (!self->gaps[i].filled && self->gaps[i].suspect != 0)
            result = fill_from_suspect(self, &self->gaps[i]);
        bool missing = !self->base.valid || self->summary.records < self->base.entries;
        if (result == 0 && !self->gaps[i].filled && missing && self->before.valid)
            result = fill_from_before(self, &self->gaps[i], false);
    }
    return result == 0 ? count_lost(self) : result;
}
