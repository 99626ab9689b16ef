/* tree.c - looks at every page of a small store's trees before LMDB follows them.
 *
 * LMDB has no checksums on its pages, and believes what stands in them: a broken offset or page
 * number makes it read outside the page or die. Values have a seal of their own (read.c); what is
 * checked here is the form of the pages around them. It reads all of a tree, so it is done at each
 * opening only while that takes milliseconds (TREE_FILE_PAGES_MAX); what is damaged in a larger
 * store, or while it is open, LMDB meets unwarned.
 *
 * What is read of LMDB's format stands in pages.c; in addition (64-bit, little-endian):
 *
 *   page   14 upper u16: nodes lie in [upper, page size); the offsets end at lower <= upper
 *   node   in a leaf: size of the value = lo | hi << 16
 *   run    10 flags = 4, 12 pages u32, for a value of more than about half a page
 *   meta   72, 120 number of entries of the free list and of the tree
 *   a value of the free list: a count u64, then so many page numbers u64, falling
 *
 * Invariants:
 * 1. Nothing from the file is used as an index or a size before it was bounded.
 * 2. Each page has one use: pages that refer to each other end the walk, and a free page that is in
 *    use is found.
 * 3. A page that LMDB wrote passes: each condition is one that LMDB's own writing keeps.
 *
 * No locks; the file is only read, and the caller's read transaction keeps its pages from reuse.
 */
#include "base/bytes.h"
#include "base/error.h"
#include "base/record.h"
#include "store/env.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    TREE_FILE_PAGES_MAX = 4096, /* 16 MiB: some 3 ms */
    PAGE_HEADER_SIZE = 16,
    NODE_HEADER_SIZE = 8,
    DEPTH_MAX = 32, /* LMDB's own stack */
    FREE_DEPTH = 46,
    FREE_ENTRIES = 72,
    FREE_ROOT = 80,
    TREE_DEPTH = 94,
    TREE_ENTRIES = 120,
    TREE_ROOT = 128,
    LAST_PAGE = 136,
    FLAG_BRANCH = 1,
    FLAG_LEAF = 2,
    FLAG_RUN = 4,
    NODE_BIG = 1,
    FIRST_PAGE = 2, /* behind the two meta pages */
};
static const uint64_t NO_ROOT = UINT64_MAX;

typedef struct {
    uint64_t number;
    size_t count, next; /* nodes, and the one to go down next */
    unsigned char *bytes;
    mlkv_slice from, below; /* keys allowed: from <= key < below; size 0: no bound */
} level;

typedef struct {
    int file;
    size_t page_size;
    uint64_t pages; /* of the file */
    uint64_t entries;
    uint64_t used[TREE_FILE_PAGES_MAX / 64]; /* bit: in a tree, a run or a list of free pages */
    bool is_free_list;
    unsigned depth;
    level levels[DEPTH_MAX];
} tree;

typedef struct {
    unsigned flags;
    uint64_t child; /* of a branch */
    mlkv_slice key;
    size_t value_size; /* of a leaf */
    const unsigned char *value;
} node;

static uint16_t load_le16(const unsigned char *from)
{
    return (uint16_t)(from[0] | from[1] << 8);
}

static int broken(uint64_t page, const char *what)
{
    return error_set(MLKV_E_CORRUPT, "data.mdb: page %llu is damaged: %s", (unsigned long long)page,
                     what);
}

static int read_page(const tree *self, uint64_t number, void *to, size_t size)
{
    size_t got = 0;
    if (number < FIRST_PAGE || number >= self->pages)
        return broken(number, "something refers to it, and it cannot be");
    while (got < size) {
        ssize_t n = pread(self->file, (char *)to + got, size - got,
                          (off_t)(number * self->page_size + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_system(errno, "reading data.mdb");
        if (n == 0)
            return broken(number, "it is behind the end of the file");
        got += (size_t)n;
    }
    return load_le64(to) == number ? 0 : broken(number, "it says that it is another");
}

static int take(tree *self, uint64_t number, uint64_t n)
{
    for (uint64_t i = number; i < number + n; i++) {
        uint64_t bit = (uint64_t)1 << i % 64;
        if ((self->used[i / 64] & bit) != 0)
            return broken(i, "it has two uses");
        self->used[i / 64] |= bit;
    }
    return 0;
}

/* The run of pages of a large value. */
static int check_run(tree *self, uint64_t number, size_t size)
{
    unsigned char header[PAGE_HEADER_SIZE];
    int result = read_page(self, number, header, sizeof header);
    if (result != 0)
        return result;
    uint64_t run = load_le32(header + 12);
    if (load_le16(header + 10) != FLAG_RUN || run > self->pages - number ||
        run < (size + PAGE_HEADER_SIZE + self->page_size - 1) / self->page_size)
        return broken(number, "it does not hold the large value that it should");
    return take(self, number, run);
}

/* Splits a node; its bounds are good then. */
static int take_node(const tree *self, const level *at, size_t index, node *ret_node)
{
    const unsigned char *page = at->bytes;
    size_t offset = load_le16(page + PAGE_HEADER_SIZE + 2 * index);
    if (offset < load_le16(page + 14) || offset % 2 != 0 ||
        offset + NODE_HEADER_SIZE > self->page_size)
        return broken(at->number, "a node is outside");
    const unsigned char *bytes = page + offset;
    size_t key_size = load_le16(bytes + 6), left = self->page_size - offset - NODE_HEADER_SIZE;
    if (key_size > RECORD_KEY_SIZE_MAX || key_size > left)
        return broken(at->number, "a key is outside");
    ret_node->flags = load_le16(bytes + 4);
    ret_node->key = slice_of(bytes + NODE_HEADER_SIZE, key_size);
    ret_node->value = bytes + NODE_HEADER_SIZE + key_size;
    ret_node->value_size = load_le32(bytes);
    ret_node->child = load_le32(bytes) | (uint64_t)ret_node->flags << 32;
    left -= key_size;
    bool is_leaf = (load_le16(page + 10) & FLAG_LEAF) != 0;
    if (!is_leaf)
        return 0;
    if ((ret_node->flags & ~(unsigned)NODE_BIG) != 0)
        return broken(at->number, "a node has unknown flags");
    if ((ret_node->flags & NODE_BIG) != 0 ? left < 8 : left < ret_node->value_size)
        return broken(at->number, "a value is outside");
    return 0;
}

/* Keys of the free list are numbers in the machine's order, all others bytes. */
static int compare(const tree *self, mlkv_slice a, mlkv_slice b)
{
    if (!self->is_free_list)
        return slice_compare(a, b);
    uint64_t x = load_le64(a.data), y = load_le64(b.data);
    return (x > y) - (x < y);
}

static int check_key(const tree *self, const level *at, size_t index, mlkv_slice key,
                     mlkv_slice before)
{
    if (key.size == 0 || (self->is_free_list && key.size != 8))
        return broken(at->number, "a key has an impossible size");
    if ((index != 0 && before.size != 0 && compare(self, before, key) >= 0) ||
        (at->from.size != 0 && compare(self, at->from, key) > 0) ||
        (at->below.size != 0 && compare(self, key, at->below) >= 0))
        return broken(at->number, "its keys are not in order");
    return 0;
}

/* A value of the free list that stands in its leaf. */
static int check_free(tree *self, const level *at, const node *one)
{
    if ((one->flags & NODE_BIG) != 0)
        return 0;
    uint64_t count = one->value_size < 8 ? UINT64_MAX : load_le64(one->value);
    if (one->value_size % 8 != 0 || count != one->value_size / 8 - 1)
        return broken(at->number, "a list of free pages has an impossible size");
    uint64_t above = self->pages;
    for (uint64_t i = 1; i <= count; i++) {
        uint64_t page = load_le64(one->value + 8 * i);
        if (page < FIRST_PAGE || page >= above)
            return broken(at->number, "a list of free pages is not in order");
        int result = take(self, page, 1);
        if (result != 0)
            return result;
        above = page;
    }
    return 0;
}

static int check_node(tree *self, const level *at, size_t index, mlkv_slice *before)
{
    node one = {0};
    int result = take_node(self, at, index, &one);
    bool is_leaf = (load_le16(at->bytes + 10) & FLAG_LEAF) != 0;
    if (result == 0 && (is_leaf || index != 0)) /* the first key of a branch says nothing */
        result = check_key(self, at, index, one.key, *before);
    if (result != 0)
        return result;
    *before = is_leaf || index != 0 ? one.key : slice_of(NULL, 0);
    if (!is_leaf)
        return 0;
    self->entries++;
    if ((one.flags & NODE_BIG) != 0)
        result = check_run(self, load_le64(one.value), one.value_size);
    return result == 0 && self->is_free_list ? check_free(self, at, &one) : result;
}

/* Loads a page and checks all of it but what is below. */
static int enter(tree *self, unsigned depth, uint64_t number)
{
    level *at = &self->levels[depth];
    int result = read_page(self, number, at->bytes, self->page_size);
    if (result == 0)
        result = take(self, number, 1);
    if (result != 0)
        return result;
    unsigned form = depth + 1 == self->depth ? FLAG_LEAF : FLAG_BRANCH;
    size_t lower = load_le16(at->bytes + 12), upper = load_le16(at->bytes + 14);
    if (load_le16(at->bytes + 10) != form)
        return broken(number, "it is of another kind");
    if (lower < PAGE_HEADER_SIZE || lower % 2 != 0 || lower > upper || upper > self->page_size)
        return broken(number, "its head is impossible");
    at->number = number;
    at->count = (lower - PAGE_HEADER_SIZE) / 2;
    at->next = 0;
    if (at->count < (form == FLAG_BRANCH ? 2U : 1U))
        return broken(number, "it is empty");
    mlkv_slice before = {0};
    for (size_t i = 0; i < at->count && result == 0; i++)
        result = check_node(self, at, i, &before);
    return result;
}

/* Goes into the next child of a branch. */
static int go_down(tree *self, unsigned depth)
{
    level *at = &self->levels[depth], *below = at + 1;
    node child = {0}, behind = {0};
    size_t index = at->next++;
    int result = take_node(self, at, index, &child);
    below->from = index == 0 ? at->from : child.key;
    below->below = at->below;
    if (result == 0 && index + 1 < at->count) {
        result = take_node(self, at, index + 1, &behind);
        below->below = behind.key;
    }
    return result == 0 ? enter(self, depth + 1, child.child) : result;
}

static int walk(tree *self, uint64_t root)
{
    unsigned depth = 0;
    self->levels[0].from = self->levels[0].below = slice_of(NULL, 0);
    int result = enter(self, 0, root);
    while (result == 0) {
        level *at = &self->levels[depth];
        if (depth + 1 == self->depth || at->next == at->count) {
            if (depth-- == 0)
                return 0;
            continue;
        }
        result = go_down(self, depth);
        depth++;
    }
    return result;
}

static int check_one(tree *self, uint64_t root, unsigned depth, uint64_t entries)
{
    self->entries = 0;
    self->depth = depth;
    if (root == NO_ROOT)
        return entries == 0 ? 0 : broken(root, "an empty tree counts records");
    if (depth == 0 || depth > DEPTH_MAX)
        return error_set(MLKV_E_CORRUPT, "data.mdb: a tree of depth %u cannot be", depth);
    int result = walk(self, root);
    if (result == 0 && self->entries != entries)
        result = broken(root, "its tree has another number of records than is counted");
    return result;
}

int tree_check(int file, const unsigned char *meta, size_t page_size)
{
    uint64_t pages = load_le64(meta + LAST_PAGE) + 1;
    if (pages > TREE_FILE_PAGES_MAX)
        return 0;
    tree *self = calloc(1, sizeof *self);
    unsigned char *bytes = malloc(DEPTH_MAX * page_size);
    int result = self == NULL || bytes == NULL ? error_set_memory("checking data.mdb") : 0;
    if (result == 0) {
        self->file = file;
        self->page_size = page_size;
        self->pages = pages;
        for (unsigned i = 0; i < DEPTH_MAX; i++)
            self->levels[i].bytes = bytes + i * page_size;
        self->is_free_list = true;
        result = check_one(self, load_le64(meta + FREE_ROOT), load_le16(meta + FREE_DEPTH),
                           load_le64(meta + FREE_ENTRIES));
    }
    if (result == 0) {
        self->is_free_list = false;
        result = check_one(self, load_le64(meta + TREE_ROOT), load_le16(meta + TREE_DEPTH),
                           load_le64(meta + TREE_ENTRIES));
    }
    free(self);
    free(bytes);
    return result;
}
