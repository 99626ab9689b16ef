/* remains_page.c - a page of data.mdb split into its nodes, whatever its bytes are.
 *
 * A page says twice what it holds: its offsets (their number follows from `lower`) point to the
 * nodes, and the nodes lie without a hole from `upper` to the page's end, each with its own sizes.
 * So one damaged place in head or offsets can be told and got over:
 *
 *   offsets lead to nodes that tile [smallest offset, end)    all nodes are known, `upper` counts
 *                                                             for nothing
 *   walking from `upper` node by node ends exactly at the     all nodes are known, the offsets count
 *   page's end                                                for nothing; order follows from keys
 *   neither                                                   the nodes that offsets lead to and
 *                                                             that have a form
 *
 * A node of the last kind may be one that was deleted long ago. Its seal holds then, so the caller
 * takes the page's range for a gap.
 *
 * Invariants:
 *  1. Nothing is read outside [bytes, bytes + page size).
 *  2. Keys of what is returned rise strictly; the first of a branch says nothing.
 *
 * No locks, no state, no allocation. LMDB's format stands in pages.c and tree.c.
 */
#include "store/remains_page.h"

#include "base/record.h"

#include <stdlib.h>

enum {
    HEADER_SIZE = 16,
    NODE_HEADER_SIZE = 8,
    NODE_SIZE_MIN = NODE_HEADER_SIZE + 2, /* a key of 1 byte, made even */
    OFFSET_SIZE = 2,
    FLAG_BRANCH = 1,
    FLAG_LEAF = 2,
    NODE_BIG = 1,
    RUN_SIZE = 8,
};

size_t remains_nodes_max(size_t page_size)
{
    return page_size / (NODE_SIZE_MIN + OFFSET_SIZE) + 1;
}

static size_t load_le16(const unsigned char *from)
{
    return (size_t)(from[0] | from[1] << 8);
}

/* Splits the node at `offset`. *ret_size: what it takes. */
static bool take_node(const unsigned char *bytes, size_t page_size, size_t offset, bool is_leaf,
                      remains_node *ret_node, size_t *ret_size)
{
    if (offset < HEADER_SIZE || offset % 2 != 0 || offset > page_size - NODE_HEADER_SIZE)
        return false;
    const unsigned char *node = bytes + offset;
    size_t left = page_size - offset - NODE_HEADER_SIZE;
    size_t flags = load_le16(node + 4), key_size = load_le16(node + 6);
    if (key_size > RECORD_KEY_SIZE_MAX || key_size > left || (is_leaf && key_size == 0))
        return false;
    left -= key_size;
    *ret_node = (remains_node){.key = slice_of(node + NODE_HEADER_SIZE, key_size)};
    size_t size = NODE_HEADER_SIZE + key_size;
    if (is_leaf) {
        ret_node->value = node + NODE_HEADER_SIZE + key_size;
        ret_node->value_size = load_le32(node);
        ret_node->is_run = (flags & NODE_BIG) != 0;
        size_t inside = ret_node->is_run ? (size_t)RUN_SIZE : ret_node->value_size;
        if ((flags & ~(size_t)NODE_BIG) != 0 || left < inside)
            return false;
        size += inside;
    } else {
        ret_node->child = load_le32(node) | (uint64_t)flags << 32;
    }
    *ret_size = size + size % 2;
    return offset + *ret_size <= page_size;
}

static bool keys_rise(const remains_page *page)
{
    size_t first = page->is_leaf ? 1 : 2;
    for (size_t i = first; i < page->count; i++) {
        if (slice_compare(page->nodes[i - 1].key, page->nodes[i].key) >= 0)
            return false;
    }
    return page->is_leaf || page->count < 2 || page->nodes[1].key.size != 0;
}

/* By the offsets. True if they lead to all that is there. */
static bool split_by_offsets(const unsigned char *bytes, size_t page_size, remains_page *page,
                             size_t *ret_lowest)
{
    size_t lower = load_le16(bytes + 12), total = 0;
    *ret_lowest = page_size;
    page->count = 0;
    if (lower <= HEADER_SIZE || lower % 2 != 0 || lower > page_size)
        return false;
    size_t offsets = (lower - HEADER_SIZE) / OFFSET_SIZE;
    for (size_t i = 0; i < offsets && page->count < remains_nodes_max(page_size); i++) {
        size_t at = load_le16(bytes + HEADER_SIZE + OFFSET_SIZE * i), size;
        if (at < lower ||
            !take_node(bytes, page_size, at, page->is_leaf, &page->nodes[page->count], &size))
            continue;
        page->count++;
        total += size;
        *ret_lowest = at < *ret_lowest ? at : *ret_lowest;
    }
    return page->count == offsets && total == page_size - *ret_lowest && keys_rise(page);
}

static int order_nodes(const void *a, const void *b)
{
    return slice_compare(((const remains_node *)a)->key, ((const remains_node *)b)->key);
}

/* By the nodes as they lie. True if they end exactly where the page does. */
static bool split_by_nodes(const unsigned char *bytes, size_t page_size, remains_page *page)
{
    size_t at = load_le16(bytes + 14), size;
    page->count = 0;
    if (at >= page_size)
        return false;
    for (; at < page_size; at += size) {
        if (page->count == remains_nodes_max(page_size) ||
            !take_node(bytes, page_size, at, page->is_leaf, &page->nodes[page->count], &size))
            return false;
        page->count++;
    }
    qsort(page->nodes, page->count, sizeof *page->nodes, order_nodes);
    return keys_rise(page);
}

/* Leaves out what does not rise. */
static void keep_rising(remains_page *page)
{
    size_t kept = 0;
    for (size_t i = 0; i < page->count; i++) {
        if (kept != 0 && slice_compare(page->nodes[kept - 1].key, page->nodes[i].key) >= 0)
            continue;
        page->nodes[kept++] = page->nodes[i];
    }
    page->count = kept;
}

static remains_form split_as(const unsigned char *bytes, size_t page_size, bool is_leaf,
                             remains_page *page)
{
    size_t lowest;
    page->is_leaf = is_leaf;
    bool tiled = split_by_offsets(bytes, page_size, page, &lowest);
    if (tiled && load_le16(bytes + 14) == lowest)
        return REMAINS_WHOLE;
    if (split_by_nodes(bytes, page_size, page))
        return tiled ? REMAINS_PART : REMAINS_HEALED; /* both say something, and not the same */
    if (tiled)
        return split_by_offsets(bytes, page_size, page, &lowest) ? REMAINS_HEALED : REMAINS_NONE;
    (void)split_by_offsets(bytes, page_size, page, &lowest);
    keep_rising(page);
    return page->count != 0 ? REMAINS_PART : REMAINS_NONE;
}

remains_form remains_page_split(const unsigned char *bytes, size_t page_size, uint64_t number,
                                remains_page *page)
{
    size_t flags = load_le16(bytes + 10);
    bool named = load_le64(bytes) == number;
    if (flags == FLAG_BRANCH || flags == FLAG_LEAF) {
        remains_form form = split_as(bytes, page_size, flags == FLAG_LEAF, page);
        if (form == REMAINS_WHOLE && !named)
            return REMAINS_HEALED;
        if (form != REMAINS_PART || named)
            return form;
        page->count = 0;
        return REMAINS_NONE;
    }
    for (int is_leaf = 1; is_leaf >= 0 && named;
         is_leaf--) { /* one field may be damaged, not two */
        if (split_as(bytes, page_size, is_leaf != 0, page) == REMAINS_WHOLE)
            return REMAINS_HEALED;
    }
    page->count = 0;
    return REMAINS_NONE;
}
