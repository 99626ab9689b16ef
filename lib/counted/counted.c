/* counted.c - a counted B+tree.
 *
 * Leaves hold the keys (strings.h) and are linked. An inner node holds children, how many keys are below each, and the separators between
 * them: separators[i] is above every key of child i and not above any of child i + 1. Separators are as short as they can be.
 *
 *   rank     go down, adding the counts of the children to the left
 *   number   go down, taking them off
 *
 * A leaf that is full is split in the middle, or, if the new key comes behind all others, left as it is, packed, with a new leaf behind it:
 * so an ascending load leaves full leaves. A leaf that becomes empty goes; one that becomes small is merged with a neighbour under the same
 * parent if both fit one. That is all the balance there is: depth never grows but by a split of the root, so it stays O(log of all
 * insertions), whatever is deleted.
 *
 * Invariants
 *   1. counts[i] is the number of keys below children[i]. All leaves are at the same depth.
 *   2. No leaf is empty but the only one; no inner node is without children.
 *   3. bytes is the sum of what was allocated, malloc's own included by estimate.
 *   4. After MLKV_E_MEMORY nothing but counted_destroy may be called: the key may be in a leaf and not in the counts.
 * Locks: none; see counted.h.
 */
#include "counted/counted.h"

#include "base/bytes.h"
#include "base/error.h"

#include <stdlib.h>

enum {
    CHILDREN_MAX = 64,
    DEPTH_MAX =
        24, /* inner nodes above a leaf; each doubles the insertions that it takes to get there, at the least */
    MALLOC_BYTES = 16, /* what an allocation costs beside its bytes */
    SMALL = 32,        /* keys: a leaf with fewer looks for a neighbour to merge with */
    MERGED_MAX = 96,   /* keys of a merged leaf: it should not be split again at once */
};

typedef struct leaf {
    strings keys;
    struct leaf *next, *before;
} leaf;

typedef struct {
    strings separators; /* one fewer than children */
    unsigned children_count;
    void *children[CHILDREN_MAX];
    uint64_t counts[CHILDREN_MAX];
} inner;

struct counted {
    void *root;     /* a leaf if depth is 0 */
    unsigned depth; /* inner nodes on the way to a leaf */
    uint64_t count;
    size_t bytes;
};

/* The way from the root to a leaf. */
typedef struct {
    inner *nodes[DEPTH_MAX];
    unsigned slots[DEPTH_MAX];
    leaf *end;
} path;

/* --- life --- */

static void *allocate(counted *self, size_t size)
{
    void *memory = calloc(1, size);
    if (memory == NULL)
        error_set_memory("a counted tree");
    else
        self->bytes += size + 2 * MALLOC_BYTES;
    return memory;
}

static void release(counted *self, void *memory, strings *its, size_t size)
{
    self->bytes -= size + 2 * MALLOC_BYTES + strings_bytes(its);
    strings_done(its);
    free(memory);
}

counted *counted_create(void)
{
    counted *self = calloc(1, sizeof *self);
    if (self == NULL)
        return NULL;
    self->bytes = sizeof *self + MALLOC_BYTES;
    self->root = allocate(self, sizeof(leaf));
    if (self->root == NULL) {
        free(self);
        return NULL;
    }
    return self;
}

/* The inner nodes in the order in which their last child is passed; the leaves along their chain. */
static void destroy_inner(inner *root, unsigned depth, leaf **ret_first)
{
    inner *nodes[DEPTH_MAX];
    unsigned slots[DEPTH_MAX] = {0}, at = 0;
    nodes[0] = root;
    for (;;) {
        inner *node = nodes[at];
        if (slots[at] < node->children_count && at + 1 < depth) {
            nodes[at + 1] = node->children[slots[at]++];
            slots[++at] = 0;
            continue;
        }
        if (at + 1 == depth && *ret_first == NULL)
            *ret_first = node->children[0];
        strings_done(&node->separators);
        free(node);
        if (at-- == 0)
            return;
    }
}

void counted_destroy(counted *self)
{
    if (self == NULL)
        return;
    leaf *first = self->depth == 0 ? self->root : NULL;
    if (self->depth != 0)
        destroy_inner(self->root, self->depth, &first);
    while (first != NULL) {
        leaf *next = first->next;
        strings_done(&first->keys);
        free(first);
        first = next;
    }
    free(self);
}

uint64_t counted_count(const counted *self)
{
    return self->count;
}

size_t counted_bytes(const counted *self)
{
    return self->bytes;
}

/* --- going down --- */

static unsigned child_of(const inner *node, mlkv_slice key)
{
    bool equal;
    unsigned below = strings_find(&node->separators, key, &equal);
    return below + equal;
}

static void descend(counted *self, mlkv_slice key, path *ret_path)
{
    void *node = self->root;
    for (unsigned level = 0; level < self->depth; level++) {
        inner *parent = node;
        ret_path->nodes[level] = parent;
        ret_path->slots[level] = child_of(parent, key);
        node = parent->children[ret_path->slots[level]];
    }
    ret_path->end = node;
}

uint64_t counted_rank(const counted *self, mlkv_slice key, bool *ret_found)
{
    const void *node = self->root;
    uint64_t rank = 0;
    bool found;
    for (unsigned level = 0; level < self->depth; level++) {
        const inner *parent = node;
        unsigned slot = child_of(parent, key);
        for (unsigned i = 0; i < slot; i++)
            rank += parent->counts[i];
        node = parent->children[slot];
    }
    rank += strings_find(&((const leaf *)node)->keys, key, &found);
    if (ret_found != NULL)
        *ret_found = found;
    return rank;
}

counted_place counted_seek(const counted *self, uint64_t index)
{
    const void *node = self->root;
    if (index >= self->count)
        return (counted_place){NULL, 0};
    for (unsigned level = 0; level < self->depth; level++) {
        const inner *parent = node;
        unsigned slot = 0;
        while (index >= parent->counts[slot])
            index -= parent->counts[slot++];
        node = parent->children[slot];
    }
    return (counted_place){node, (unsigned)index};
}

bool counted_next(counted_place *place, unsigned char *ret_key, size_t *ret_size)
{
    const leaf *node = place->leaf;
    if (node != NULL && place->slot == node->keys.count) {
        node = node->next;
        *place = (counted_place){node, 0};
    }
    if (node == NULL || node->keys.count == 0)
        return false;
    *ret_size = strings_get(&node->keys, place->slot++, ret_key);
    return true;
}

/* --- inserting --- */

/* strings_insert, accounted for. */
static int put_string(counted *self, strings *to, unsigned at, mlkv_slice key)
{
    size_t before = strings_bytes(to);
    int result = strings_insert(to, at, key);
    self->bytes += strings_bytes(to) - before;
    return result;
}

static void pack(counted *self, strings *which)
{
    size_t before = strings_bytes(which);
    strings_pack(which);
    self->bytes += strings_bytes(which) - before;
}

/* Moves numbers [from, count) of one to an empty other. */
static int move_tail(counted *self, strings *from, unsigned at, strings *to)
{
    int result = strings_append(to, from, at, from->count - at);
    self->bytes += strings_bytes(to);
    if (result != MLKV_OK)
        return result;
    strings_truncate(from, at);
    pack(self, from);
    pack(self, to);
    return MLKV_OK;
}

/* The shortest string above a and not above b. */
static mlkv_slice separator(mlkv_slice a, mlkv_slice b)
{
    size_t size = 0;
    while (size < a.size &&
           ((const unsigned char *)a.data)[size] == ((const unsigned char *)b.data)[size])
        size++;
    return slice_of(b.data, size + 1);
}

/* A child that comes behind child `slot` of a node: its keys were that child's, or are to come. */
typedef struct {
    void *node;
    uint64_t count;
    unsigned char bytes[STRING_SIZE_MAX];
    size_t size; /* of the separator in bytes */
    unsigned
        height; /* inner nodes on the way from it to a leaf, itself included; 0: it is a leaf */
} newcomer;

/* It could not be taken in. Leaves are found along their chain. */
static void drop(newcomer *child)
{
    leaf *first = NULL;
    if (child->height != 0)
        destroy_inner(child->node, child->height, &first);
}

static int add_child(counted *self, inner *node, unsigned slot, const newcomer *child)
{
    int result = put_string(self, &node->separators, slot, slice_of(child->bytes, child->size));
    if (result != MLKV_OK)
        return result;
    unsigned behind = node->children_count - slot - 1;
    memmove(&node->children[slot + 2], &node->children[slot + 1], behind * sizeof *node->children);
    memmove(&node->counts[slot + 2], &node->counts[slot + 1], behind * sizeof *node->counts);
    node->children[slot + 1] = child->node;
    node->counts[slot + 1] = child->count;
    node->children_count++;
    return MLKV_OK;
}

/* Splits a full node, whose child `slot` gets *child behind it. *child becomes the new node for the level above. */
static int split_inner(counted *self, inner *node, unsigned slot, newcomer *child)
{
    inner *right = allocate(self, sizeof *right);
    if (right == NULL)
        return MLKV_E_MEMORY;
    int result = MLKV_OK;
    if (slot + 1 == CHILDREN_MAX) {
        right->children[0] = child->node;
        right->counts[0] = child->count;
        right->children_count = 1;
        pack(self, &node->separators);
    } else {
        enum { HALF = CHILDREN_MAX / 2 };
        newcomer up = {.node = right};
        up.size = strings_get(&node->separators, HALF - 1, up.bytes);
        result = move_tail(self, &node->separators, HALF, &right->separators);
        if (result != MLKV_OK) {
            release(self, right, &right->separators, sizeof *right);
            return result;
        }
        strings_remove(&node->separators, HALF - 1);
        memcpy(right->children, node->children + HALF, HALF * sizeof *node->children);
        memcpy(right->counts, node->counts + HALF, HALF * sizeof *node->counts);
        right->children_count = node->children_count = HALF;
        result = slot < HALF ? add_child(self, node, slot, child)
                             : add_child(self, right, slot - HALF, child);
        if (result != MLKV_OK)
            drop(child);
        memcpy(child->bytes, up.bytes, up.size);
        child->size = up.size;
    }
    child->node = right;
    child->height++;
    child->count = 0;
    for (unsigned i = 0; i < right->children_count; i++)
        child->count += right->counts[i];
    return result;
}

static int new_root(counted *self, const newcomer *child)
{
    inner *root = self->depth < DEPTH_MAX ? allocate(self, sizeof *root) : NULL;
    if (root == NULL)
        return MLKV_E_MEMORY;
    root->children[0] = self->root;
    root->counts[0] = self->count - child->count;
    root->children_count = 1;
    self->root = root;
    self->depth++;
    return add_child(self, root, 0, child);
}

/* Takes *child in behind the node that the path leads to at the lowest level. */
static int take_in_at(counted *self, const path *way, newcomer *child)
{
    for (unsigned level = self->depth; level != 0; level--) {
        inner *node = way->nodes[level - 1];
        unsigned slot = way->slots[level - 1];
        node->counts[slot] -= child->count;
        if (node->children_count < CHILDREN_MAX)
            return add_child(self, node, slot, child);
        int result = split_inner(self, node, slot, child);
        if (result != MLKV_OK)
            return result;
    }
    return new_root(self, child);
}

static int take_in(counted *self, const path *way, newcomer *child)
{
    int result = take_in_at(self, way, child);
    if (result != MLKV_OK)
        drop(child);
    return result;
}

/* The leaf at the path's end is full, and key is to be put at number `at`. */
static int split_leaf(counted *self, const path *way, unsigned at, mlkv_slice key)
{
    leaf *left = way->end, *right = allocate(self, sizeof *right);
    unsigned char last[STRING_SIZE_MAX], first[STRING_SIZE_MAX];
    mlkv_slice above = key;
    int result = MLKV_OK;
    if (right == NULL)
        return MLKV_E_MEMORY;
    right->before = left;
    right->next = left->next;
    left->next = right;
    if (right->next != NULL)
        right->next->before = right;
    if (right->next == NULL && at == left->keys.count)
        pack(self, &left->keys);
    else {
        result = move_tail(self, &left->keys, left->keys.count / 2, &right->keys);
        above = slice_of(first, result != MLKV_OK ? 0 : strings_get(&right->keys, 0, first));
    }
    if (result != MLKV_OK)
        return result;
    newcomer child = {.node = right, .count = right->keys.count};
    size_t last_size = strings_get(&left->keys, left->keys.count - 1u, last);
    mlkv_slice between = separator(slice_of(last, last_size), above);
    memcpy(child.bytes, between.data, between.size);
    child.size = between.size;
    return take_in(self, way, &child);
}

int counted_insert(counted *self, mlkv_slice key)
{
    path way;
    bool equal;
    if (key.size > COUNTED_KEY_SIZE_MAX)
        return error_set(MLKV_E_SIZE, "a key of %zu bytes in a counted tree", key.size);
    descend(self, key, &way);
    unsigned at = strings_find(&way.end->keys, key, &equal);
    if (equal)
        return MLKV_OK;
    if (strings_full(&way.end->keys)) {
        int result = split_leaf(self, &way, at, key);
        if (result != MLKV_OK)
            return result;
        descend(self, key, &way);
        at = strings_find(&way.end->keys, key, &equal);
    }
    int result = put_string(self, &way.end->keys, at, key);
    if (result != MLKV_OK)
        return result;
    for (unsigned level = 0; level < self->depth; level++)
        way.nodes[level]->counts[way.slots[level]]++;
    self->count++;
    return MLKV_OK;
}

/* --- removing --- */

/* The child that the path leads to at this level goes; so does a node that has none left. */
static void drop_child(counted *self, const path *way, unsigned level)
{
    for (;; level--) {
        inner *node = way->nodes[level];
        unsigned slot = way->slots[level], behind = node->children_count - slot - 1;
        if (node->separators.count != 0)
            strings_remove(&node->separators, slot == 0 ? 0 : slot - 1);
        memmove(&node->children[slot], &node->children[slot + 1], behind * sizeof *node->children);
        memmove(&node->counts[slot], &node->counts[slot + 1], behind * sizeof *node->counts);
        if (--node->children_count != 0 || level == 0)
            return;
        release(self, node, &node->separators, sizeof *node);
    }
}

static void unlink_leaf(counted *self, leaf *node)
{
    if (node->before != NULL)
        node->before->next = node->next;
    if (node->next != NULL)
        node->next->before = node->before;
    release(self, node, &node->keys, sizeof *node);
}

/* Joins a small leaf with a neighbour, if both fit one. */
static void merge_leaf(counted *self, path *way)
{
    unsigned level = self->depth - 1, slot = way->slots[level];
    inner *parent = way->nodes[level];
    if (parent->children_count < 2)
        return;
    if (slot + 1 == parent->children_count)
        slot--;
    leaf *left = parent->children[slot], *right = parent->children[slot + 1];
    if (left->keys.count + right->keys.count > MERGED_MAX ||
        strings_bytes(&left->keys) + strings_bytes(&right->keys) > STRINGS_TEXT_FULL)
        return;
    size_t before = strings_bytes(&left->keys);
    int result = strings_append(&left->keys, &right->keys, 0, right->keys.count);
    self->bytes += strings_bytes(&left->keys) - before;
    if (result != MLKV_OK)
        return; /* two small leaves are as right as one */
    parent->counts[slot] += parent->counts[slot + 1];
    way->slots[level] = slot + 1;
    unlink_leaf(self, right);
    drop_child(self, way, level);
    pack(self, &left->keys);
}

/* A root with one child is of no use. */
static void lower_root(counted *self)
{
    while (self->depth != 0 && ((inner *)self->root)->children_count == 1) {
        inner *root = self->root;
        self->root = root->children[0];
        self->depth--;
        release(self, root, &root->separators, sizeof *root);
    }
}

void counted_remove(counted *self, mlkv_slice key)
{
    path way;
    bool equal;
    descend(self, key, &way);
    unsigned at = strings_find(&way.end->keys, key, &equal);
    if (!equal)
        return;
    strings_remove(&way.end->keys, at);
    for (unsigned level = 0; level < self->depth; level++)
        way.nodes[level]->counts[way.slots[level]]--;
    self->count--;
    if (self->depth == 0 || way.end->keys.count >= SMALL)
        return;
    if (way.end->keys.count == 0 && self->count != 0) {
        unlink_leaf(self, way.end);
        drop_child(self, &way, self->depth - 1);
    } else if (way.end->keys.count != 0) {
        merge_leaf(self, &way);
    }
    lower_root(self);
}
