/* remains_tree.c - walks what is left of a tree, and notes where it is broken.
 *
 * A page that cannot be what refers to it (not in the file, of no form, listed as free, met before)
 * is left out, and the range of keys that it stands for becomes a gap. A page of which some nodes can
 * be read, or whose keys lie outside its range, gives what it has, and its range becomes a gap too:
 * gaps cost a search, and nothing is lost by one too many. Each record that is given has its seal.
 *
 * A tree of the state before is walked for one range. It shares most pages with the base; those that
 * were seen there, as they should be, gave their records already.
 *
 * Invariants:
 *  1. Each page of the base is entered once, so a circle of pages ends.
 *  2. Gaps rise and do not overlap. There are at most GAPS_MAX: then the last one grows.
 *
 * Memory: a page and its nodes for each level. No locks.
 */
#include "store/remains_page.h"

#include "base/buffer.h"
#include "base/error.h"
#include "base/record.h"
#include "store/env.h"

#include <stdlib.h>

enum { GAPS_MAX = 4096, FREE_PIECE = 8 };
static const uint64_t NO_ROOT = UINT64_MAX;

typedef struct {
    remains_frame frame;
    uint64_t number;
    size_t next;
    mlkv_slice from, below;
} level;

typedef struct {
    store_remains *file;
    remains_walk *walk;
    unsigned depth;   /* levels in use */
    uint64_t entered; /* pages */
    level levels[REMAINS_DEPTH_MAX];
} walker;

/* --- gaps --- */

static int copy_bounds(remains_gap *gap, mlkv_slice from, mlkv_slice below)
{
    unsigned char *bytes = malloc(from.size + below.size + 1);
    if (bytes == NULL)
        return error_set_memory("a gap in data.mdb");
    bytes_copy(bytes, from.data, from.size);
    bytes_copy(bytes + from.size, below.data, below.size);
    free(gap->bytes);
    gap->bytes = bytes;
    gap->from_size = from.size;
    gap->below_size = below.size;
    return 0;
}

static bool bound_reaches(mlkv_slice below, mlkv_slice from)
{
    return below.size == 0 || (from.size != 0 && slice_compare(from, below) < 0);
}

int remains_add_gap(store_remains *self, mlkv_slice from, mlkv_slice below, uint64_t suspect)
{
    remains_gap *last = self->gap_count == 0 ? NULL : &self->gaps[self->gap_count - 1];
    if (last != NULL && (self->gap_count == GAPS_MAX || bound_reaches(gap_below(last), from) ||
                         (from.size == 0 && self->gap_count != 0))) {
        bool further =
            last->below_size != 0 && (below.size == 0 || slice_compare(below, gap_below(last)) > 0);
        bool earlier = from.size == 0
                           ? last->from_size != 0
                           : last->from_size != 0 && slice_compare(from, gap_from(last)) < 0;
        last->suspect = suspect != 0 ? suspect : last->suspect;
        return further || earlier ? copy_bounds(last, earlier ? from : gap_from(last),
                                                further ? below : gap_below(last))
                                  : 0;
    }
    if (self->gaps == NULL || self->gap_count == self->gap_capacity) {
        size_t capacity = self->gap_capacity == 0 ? 16 : 2 * self->gap_capacity;
        remains_gap *gaps = reallocarray(self->gaps, capacity, sizeof *gaps);
        if (gaps == NULL)
            return error_set_memory("gaps in data.mdb");
        self->gaps = gaps;
        self->gap_capacity = capacity;
    }
    remains_gap *gap = &self->gaps[self->gap_count];
    *gap = (remains_gap){.suspect = suspect};
    int result = copy_bounds(gap, from, below);
    self->gap_count += result == 0;
    return result;
}

/* --- records --- */

void remains_learn_own(store_remains *self, remains_state *state, mlkv_slice key, mlkv_slice value)
{
    const unsigned char *bytes = value.data;
    if (slice_equal(key, slice_of_text(KEY_POSITION)) && value.size == POSITION_SIZE) {
        store_position found = {load_le64(bytes), load_le64(bytes + 8), load_le64(bytes + 16)};
        if (!state->has_position || found.applied > state->position.applied)
            state->position = found;
        state->has_position = true;
    } else if (slice_equal(key, slice_of_text(KEY_IDENTITY)) && value.size == IDENTITY_SIZE &&
               !state->has_identity) {
        memcpy(state->identity.uuid, bytes, sizeof state->identity.uuid);
        state->identity.generation = load_le64(bytes + 16);
        state->identity.clean = bytes[24] == 1;
        state->has_identity = true;
    } else if (slice_equal(key, slice_of_text(KEY_BLOB)) && value.size == BLOB_COUNTER_SIZE &&
               load_le64(bytes) > self->summary.blob_counter) {
        self->summary.blob_counter = load_le64(bytes);
    }
}

static int check_format(mlkv_slice key, mlkv_slice value)
{
    const unsigned char *bytes = value.data;
    if (!slice_equal(key, slice_of_text(KEY_FORMAT)) || value.size != FORMAT_SIZE ||
        memcmp(bytes, "MLKV", 4) != 0 || load_le32(bytes + 4) == STORE_FORMAT_VERSION)
        return 0;
    return error_set(MLKV_E_VERSION, "data.mdb has format %u, this library writes format %d",
                     (unsigned)load_le32(bytes + 4), STORE_FORMAT_VERSION);
}

static int give_one(store_remains *self, mlkv_slice key, mlkv_slice value, remains_walk *walk)
{
    bool is_new = false;
    walk->records++;
    if (*(const unsigned char *)key.data == RECORD_SYSTEM) {
        if (walk->kind == WALK_BASE || !self->base.state.has_position)
            remains_learn_own(self, &self->base.state, key, value);
        int result = check_format(key, value);
        if (result != 0)
            return result;
    }
    int result = self->sink.put(self->sink.context, key, value, walk->over, &is_new);
    walk->added += is_new;
    return result;
}

/* How far the base's walk reaches. */
static int note_reach(store_remains *self, const remains_page *page)
{
    mlkv_slice first = page->nodes[0].key, last = page->nodes[page->count - 1].key;
    int result = 0;
    if (self->first.size == 0 || slice_compare(first, slice_of_buffer(&self->first)) < 0)
        result = buffer_assign(&self->first, first.data, first.size);
    if (result == 0 && slice_compare(last, slice_of_buffer(&self->last)) > 0)
        result = buffer_assign(&self->last, last.data, last.size);
    return result;
}

int remains_give(store_remains *self, const remains_page *page, uint64_t number, remains_walk *walk)
{
    int result = walk->kind == WALK_BASE && page->count != 0 ? note_reach(self, page) : 0;
    for (size_t i = 0; i < page->count && result == 0; i++) {
        const remains_node *node = &page->nodes[i];
        mlkv_slice value;
        if (!key_within(node->key, walk->from, walk->below))
            continue;
        result = remains_sealed(self, node, walk->kind == WALK_BASE, &value);
        if (result == MLKV_ABSENT) {
            walk->broken = true;
            result = walk->kind != WALK_BASE
                         ? 0
                         : remains_tell(self, false,
                                        "data.mdb: page %llu: record '%s' has a wrong checksum",
                                        (unsigned long long)number,
                                        error_quote(node->key.data, node->key.size));
        } else if (result == 0 && walk->try_only) {
            walk->records++;
        } else if (result == 0) {
            result = give_one(self, node->key, value, walk);
        }
    }
    return result;
}

/* --- the walk --- */

static int note_broken(walker *self, uint64_t number, mlkv_slice from, mlkv_slice below,
                       const char *what, uint64_t suspect)
{
    store_remains *file = self->file;
    self->walk->broken = true;
    if (self->walk->kind != WALK_BASE)
        return 0;
    file->summary.pages_damaged++;
    int result = remains_tell(file, false, "data.mdb: page %llu is damaged: %s",
                              (unsigned long long)number, what);
    return result != 0 ? result : remains_add_gap(file, from, below, suspect);
}

/* Why the page may not be entered, or NULL. */
static const char *refuse(const walker *self, uint64_t number)
{
    const store_remains *file = self->file;
    if (number < REMAINS_FIRST_PAGE || number >= file->pages)
        return "it is not in the file";
    if (self->walk->kind == WALK_BASE && bit_get(file->is_seen, number))
        return "it has two uses";
    if (self->walk->kind == WALK_BASE && bit_get(file->is_free, number))
        return "it is in use, and listed as free";
    if (self->walk->no_free && bit_get(file->is_free, number))
        return "it is listed as free";
    if (self->walk->kind == WALK_BEFORE && bit_get(file->is_bad, number))
        return "it was found damaged";
    if (self->entered > file->pages)
        return "its tree has more pages than the file";
    return self->depth == REMAINS_DEPTH_MAX ? "its tree is too deep" : NULL;
}

static bool outside(const remains_page *page, mlkv_slice from, mlkv_slice below)
{
    size_t first = page->is_leaf ? 0 : 1; /* the first key of a branch says nothing */
    return page->count > first && (!key_within(page->nodes[first].key, from, below) ||
                                   !key_within(page->nodes[page->count - 1].key, from, below));
}

/* Goes into a page, if it can be one. Of a leaf all is given at once. */
static int enter(walker *self, uint64_t number, mlkv_slice from, mlkv_slice below)
{
    store_remains *file = self->file;
    bool is_base = self->walk->kind == WALK_BASE;
    const char *why = refuse(self, number);
    if (why != NULL) {
        if (is_base && self->depth != 0) /* whose number may be damaged, too */
            bit_set(file->is_bad, self->levels[self->depth - 1].number);
        bool listed = number >= REMAINS_FIRST_PAGE && number < file->pages &&
                      !bit_get(file->is_seen, number) && bit_get(file->is_free, number);
        return note_broken(self, number, from, below, why, is_base && listed ? number : 0);
    }
    self->entered++;
    level *at = &self->levels[self->depth];
    int result = at->frame.bytes == NULL ? remains_frame_make(file, &at->frame) : 0;
    if (result == 0)
        result = remains_frame_load(file, number, &at->frame);
    if (result == MLKV_ABSENT && is_base)
        bit_set(file->is_bad, number);
    if (result != 0)
        return result == MLKV_ABSENT
                   ? note_broken(self, number, from, below, "nothing can be told from it", 0)
                   : result;
    *at = (level){.frame = at->frame, .number = number, .from = from, .below = below};
    const remains_page *page = &at->frame.page;
    if (!is_base && page->is_leaf && bit_get(file->is_seen, number))
        return 0; /* the base gave its records */
    if (is_base)
        bit_set(file->is_seen, number);
    bool stray = outside(page, from, below);
    if (is_base && stray && self->depth != 0)
        bit_set(file->is_bad, self->levels[self->depth - 1].number);
    /* a branch read without its head may lack children, which nothing else would tell of */
    bool in_part =
        at->frame.form == REMAINS_PART || (at->frame.form == REMAINS_HEALED && !page->is_leaf);
    if (is_base && in_part)
        bit_set(file->is_bad, number);
    if (at->frame.form == REMAINS_HEALED && is_base && !in_part) {
        file->summary.pages_damaged++;
        result = remains_tell(file, false,
                              "data.mdb: page %llu has a damaged head, and is read "
                              "without it",
                              (unsigned long long)number);
    } else if (in_part || stray) {
        result = note_broken(
            self, number, from, below,
            stray ? "its keys are not where they should be" : "not all of it can be read", 0);
    }
    if (result != 0)
        return result;
    if (!page->is_leaf) {
        self->depth++;
        return 0;
    }
    bool before = self->walk->broken;
    self->walk->broken = false;
    result = remains_give(file, page, number, self->walk);
    if (result == 0 && self->walk->broken && is_base) {
        file->summary.pages_damaged++;
        bit_set(file->is_bad, number);
        result = remains_add_gap(file, from, below, 0);
    }
    self->walk->broken = self->walk->broken || before;
    return result;
}

/* Goes into the next child of the deepest level that lies in the wanted range. */
static int go_on(walker *self)
{
    level *at = &self->levels[self->depth - 1];
    const remains_page *page = &at->frame.page;
    while (at->next < page->count) {
        size_t i = at->next++;
        mlkv_slice from = i == 0 ? at->from : page->nodes[i].key;
        mlkv_slice below = i + 1 < page->count ? page->nodes[i + 1].key : at->below;
        const remains_walk *walk = self->walk;
        bool before =
            below.size != 0 && walk->from.size != 0 && slice_compare(below, walk->from) <= 0;
        bool behind =
            from.size != 0 && walk->below.size != 0 && slice_compare(walk->below, from) <= 0;
        if (!before && !behind)
            return enter(self, page->nodes[i].child, from, below);
    }
    self->depth--;
    return 0;
}

int remains_tree_walk(store_remains *self, uint64_t root, remains_walk *walk)
{
    walker *state = calloc(1, sizeof *state);
    if (state == NULL)
        return error_set_memory("a walk over data.mdb");
    state->file = self;
    state->walk = walk;
    int result = root == NO_ROOT ? 0 : enter(state, root, slice_of(NULL, 0), slice_of(NULL, 0));
    while (result == 0 && state->depth != 0)
        result = go_on(state);
    for (unsigned i = 0; i < REMAINS_DEPTH_MAX; i++)
        remains_frame_free(&state->levels[i].frame);
    free(state);
    return result;
}

/* --- single records --- */

static int descend(store_remains *self, uint64_t root, mlkv_slice key, remains_frame *frame,
                   const remains_node **ret_node)
{
    uint64_t number = root;
    for (unsigned depth = 0; depth < REMAINS_DEPTH_MAX; depth++) {
        int result = remains_frame_load(self, number, frame);
        if (result != 0)
            return result;
        const remains_page *page = &frame->page;
        if (page->is_leaf) {
            for (size_t i = 0; i < page->count; i++) {
                *ret_node = &page->nodes[i];
                if (slice_equal(page->nodes[i].key, key))
                    return 0;
            }
            return MLKV_ABSENT;
        }
        size_t i = 1;
        while (i < page->count && slice_compare(page->nodes[i].key, key) <= 0)
            i++;
        if (page->count == 0)
            return MLKV_ABSENT;
        number = page->nodes[i - 1].child;
    }
    return MLKV_ABSENT;
}

int remains_find_own(store_remains *self, uint64_t root, remains_root *ret_root)
{
    static const char *const names[] = {KEY_IDENTITY, KEY_POSITION, KEY_BLOB};
    remains_frame frame;
    int result = remains_frame_make(self, &frame);
    for (size_t i = 0; i < sizeof names / sizeof names[0] && result >= 0; i++) {
        const remains_node *node = NULL;
        mlkv_slice value;
        result = descend(self, root, slice_of_text(names[i]), &frame, &node);
        if (result == 0)
            result = remains_sealed(self, node, false, &value);
        if (result == 0)
            remains_learn_own(self, &ret_root->state, node->key, value);
    }
    remains_frame_free(&frame);
    return result < 0 ? result : 0;
}

/* --- free pages --- */

/* One list: a count, then so many page numbers, falling. False: not as it should be. */
static bool take_free(store_remains *self, mlkv_slice list)
{
    const unsigned char *bytes = list.data;
    if (list.size < FREE_PIECE || list.size % FREE_PIECE != 0)
        return false;
    bool good = load_le64(bytes) == list.size / FREE_PIECE - 1;
    uint64_t above = UINT64_MAX;
    for (size_t i = 1; i < list.size / FREE_PIECE; i++) {
        uint64_t page = load_le64(bytes + FREE_PIECE * i);
        good = good && page < above && page >= REMAINS_FIRST_PAGE;
        above = page;
        if (page >= REMAINS_FIRST_PAGE && page < self->pages)
            bit_set(self->is_free, page);
    }
    return good;
}

static int load_free_leaf(store_remains *self, const remains_page *page, bool *known)
{
    int result = 0;
    for (size_t i = 0; i < page->count && result == 0; i++) {
        mlkv_slice list;
        result = remains_value(self, &page->nodes[i], &list);
        if (result == 0 && take_free(self, list))
            remains_mark_run(self, &page->nodes[i]);
        else
            *known = false;
        *known = *known && page->nodes[i].key.size == FREE_PIECE;
        result = result < 0 ? result : 0;
    }
    return result;
}

/* A list of free pages is small beside the store: its branches are followed one after the other. */
static int load_free_pages(store_remains *self, uint64_t root, mlkv_buffer *todo, bool *known)
{
    remains_frame frame;
    int result = remains_frame_make(self, &frame);
    uint64_t number = root;
    for (;;) {
        bool usable =
            number >= REMAINS_FIRST_PAGE && number < self->pages && !bit_get(self->is_seen, number);
        if (result == 0)
            result = usable ? remains_frame_load(self, number, &frame) : MLKV_ABSENT;
        if (result < 0)
            break;
        *known = *known && result == 0 && frame.form != REMAINS_PART;
        if (result == 0)
            bit_set(self->is_seen, number);
        for (size_t i = 0; result == 0 && !frame.page.is_leaf && i < frame.page.count; i++)
            result = buffer_append(todo, &frame.page.nodes[i].child, sizeof number);
        if (result == 0 && frame.page.is_leaf)
            result = load_free_leaf(self, &frame.page, known);
        if (result < 0 || todo->size == 0)
            break;
        todo->size -= sizeof number;
        memcpy(&number, (char *)todo->data + todo->size, sizeof number);
        result = 0;
    }
    remains_frame_free(&frame);
    return result < 0 ? result : 0;
}

int remains_load_free(store_remains *self, uint64_t root, bool *ret_known)
{
    size_t bytes = (size_t)(self->pages / 64 + 1) * sizeof *self->is_free;
    mlkv_buffer todo = {0};
    memset(self->is_free, 0, bytes);
    memset(self->is_seen, 0, bytes);
    memset(self->is_claimed, 0, bytes);
    *ret_known = true;
    int result = root == NO_ROOT ? 0 : load_free_pages(self, root, &todo, ret_known);
    mlkv_buffer_free(&todo);
    return result;
}

/* The highest transaction that a leaf of a list of free pages names; 0: it is none. */
static uint64_t free_leaf_txn(store_remains *self, const remains_page *page)
{
    uint64_t newest = 0;
    for (size_t i = 0; i < page->count; i++) {
        mlkv_slice list;
        if (page->nodes[i].key.size != FREE_PIECE ||
            remains_value(self, &page->nodes[i], &list) != 0 || list.size < FREE_PIECE ||
            list.size % FREE_PIECE != 0 || load_le64(list.data) != list.size / FREE_PIECE - 1)
            return 0;
        uint64_t txn = load_le64(page->nodes[i].key.data);
        newest = txn > newest ? txn : newest;
    }
    return newest;
}

int remains_search_free(store_remains *self, bool *ret_found)
{
    remains_frame frame;
    uint64_t newest = 0, best = 0;
    bool known = true;
    int result = remains_frame_make(self, &frame);
    for (uint64_t page = REMAINS_FIRST_PAGE; page < self->pages && result >= 0; page++) {
        result = remains_frame_load(self, page, &frame);
        uint64_t txn = result == 0 && frame.page.is_leaf ? free_leaf_txn(self, &frame.page) : 0;
        best = txn > newest ? page : best;
        newest = txn > newest ? txn : newest;
    }
    if (result >= 0 && best != 0)
        result = remains_frame_load(self, best, &frame);
    if (result == 0 && best != 0)
        result = load_free_leaf(self, &frame.page, &known);
    *ret_found = best != 0;
    remains_frame_free(&frame);
    return result < 0 ? result : 0;
}
