/* remains_file.c - opens a damaged data.mdb, and decides which state of it to begin with.
 *
 * LMDB keeps the last two states: each meta page names the roots of one. Nothing in a meta page has
 * a checksum, so they are judged by what they lead to:
 *
 *   - A root must be a page of a tree, and no page that its own list of free pages names.
 *   - Of two usable ones the base is that with the higher position in its sealed record Sposition,
 *     which never goes back; with equal positions, that with the higher transaction number.
 *   - No usable root, but a list of free pages that can be read: all other pages are in use, and their
 *     leaves hold the store (remains_fill.c).
 *   - Not even that: all pages are looked at. The base is the branch (or leaf) from which the
 *     record Sposition with the highest position is found; of several the one with most records below.
 *     An older root may lead to pages that were used again since, and so to the newest position: pages
 *     that the newest list of free pages names are left out, and without one all is uncertain.
 *
 * Invariants:
 *  1. The file is opened for reading only and through no symbolic link, and read with pread: a file
 *     that is cut meanwhile is no SIGBUS.
 *  2. No size from the file is used before it was bounded by the file's length.
 *
 * Memory: three bits a page, a page and its nodes for each level. No locks.
 */
#include "store/remains_page.h"

#include "base/buffer.h"
#include "base/error.h"
#include "store/env.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    HEADER_SIZE = 16,
    META_END = 152,
    META_PAGE_SIZE = 40,
    META_FREE_ROOT = 80,
    META_ENTRIES = 120,
    META_ROOT = 128,
    META_LAST_PAGE = 136,
    META_TXN = 144,
    META_VERSION = 20,
    LMDB_VERSION = 1,
    FLAG_RUN = 4,
    ROOT_WALKS_MAX = 32, /* of roots with one position: the parts and the whole of a few states */
};
static const uint32_t META_MAGIC = 0xBEEFC0DE;
static const uint64_t NO_ROOT = UINT64_MAX;

int remains_tell(store_remains *self, bool loss, const char *format, ...)
{
    char text[480];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return self->sink.tell(self->sink.context, loss, text);
}

/* --- reading --- */

static int read_at(int file, void *to, size_t size, uint64_t offset)
{
    size_t got = 0;
    while (got < size) {
        ssize_t n = pread(file, (char *)to + got, size - got, (off_t)(offset + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EIO)
            return MLKV_ABSENT; /* a bad sector is what a page is lost to */
        if (n < 0)
            return error_set_system(errno, "reading data.mdb");
        if (n == 0)
            return MLKV_ABSENT;
        got += (size_t)n;
    }
    return 0;
}

int remains_read(store_remains *self, uint64_t page, size_t offset, size_t size, void *to)
{
    uint64_t end = self->pages * self->page_size;
    if (page >= self->pages || offset + size > end - page * self->page_size)
        return MLKV_ABSENT;
    return read_at(self->file, to, size, page * self->page_size + offset);
}

int remains_frame_make(const store_remains *self, remains_frame *ret_frame)
{
    remains_frame frame = {.bytes = malloc(self->page_size)};
    frame.page.nodes = malloc(remains_nodes_max(self->page_size) * sizeof *frame.page.nodes);
    *ret_frame = frame;
    if (frame.bytes != NULL && frame.page.nodes != NULL)
        return 0;
    remains_frame_free(ret_frame);
    return error_set_memory("a page of data.mdb");
}

void remains_frame_free(remains_frame *frame)
{
    free(frame->bytes);
    free(frame->page.nodes);
    *frame = (remains_frame){0};
}

int remains_frame_load(store_remains *self, uint64_t number, remains_frame *frame)
{
    frame->form = REMAINS_NONE;
    frame->page.count = 0;
    if (number < REMAINS_FIRST_PAGE)
        return MLKV_ABSENT;
    int result = remains_read(self, number, 0, self->page_size, frame->bytes);
    if (result != 0)
        return result;
    frame->form = remains_page_split(frame->bytes, self->page_size, number, &frame->page);
    return frame->form == REMAINS_NONE ? MLKV_ABSENT : 0;
}

/* --- values --- */

static uint64_t pages_needed(const store_remains *self, const remains_node *node)
{
    return (node->value_size + HEADER_SIZE + self->page_size - 1) / self->page_size;
}

/* Pages of a run: what the value needs, and, less surely, what its head says beyond. */
void remains_mark_run(store_remains *self, const remains_node *node)
{
    unsigned char header[HEADER_SIZE];
    if (!node->is_run)
        return;
    uint64_t first = load_le64(node->value), needed = pages_needed(self, node), n = needed;
    if (remains_read(self, first, 0, sizeof header, header) == 0 && load_le64(header) == first &&
        (header[10] | header[11] << 8) == FLAG_RUN && load_le32(header + 12) > n &&
        load_le32(header + 12) <= self->pages - first)
        n = load_le32(header + 12);
    for (uint64_t i = 0; i < n; i++)
        bit_set(i < needed ? self->is_seen : self->is_claimed, first + i);
}

int remains_value(store_remains *self, const remains_node *node, mlkv_slice *ret_value)
{
    if (!node->is_run) {
        *ret_value = slice_of(node->value, node->value_size);
        return 0;
    }
    uint64_t first = load_le64(node->value);
    uint64_t needed = pages_needed(self, node);
    if (first < REMAINS_FIRST_PAGE || first >= self->pages || needed > self->pages - first)
        return MLKV_ABSENT;
    int result = buffer_reserve(&self->run, node->value_size);
    if (result == 0)
        result = remains_read(self, first, HEADER_SIZE, node->value_size, self->run.data);
    if (result == 0)
        *ret_value = slice_of(self->run.data, node->value_size);
    return result;
}

int remains_sealed(store_remains *self, const remains_node *node, bool mark, mlkv_slice *ret_value)
{
    mlkv_slice stored;
    int result = remains_value(self, node, &stored);
    if (result != 0)
        return result;
    if (stored.size < SEAL_SIZE || load_le32((const char *)stored.data + stored.size - SEAL_SIZE) !=
                                       store_seal(node->key, stored.data, stored.size - SEAL_SIZE))
        return MLKV_ABSENT;
    if (mark)
        remains_mark_run(self, node);
    *ret_value = slice_of(stored.data, stored.size - SEAL_SIZE);
    return 0;
}

/* --- meta pages --- */

/* The page size that one of the two meta pages says, 0 if neither can. */
static size_t find_page_size(int file)
{
    unsigned char meta[META_END];
    for (size_t size = REMAINS_PAGE_SIZE_MIN; size <= REMAINS_PAGE_SIZE_MAX; size *= 2) {
        for (unsigned i = 0; i < 2; i++) {
            if (read_at(file, meta, sizeof meta, i * size) == 0 &&
                load_le32(meta + HEADER_SIZE) == META_MAGIC &&
                load_le32(meta + META_PAGE_SIZE) == size)
                return size;
        }
    }
    return 0;
}

static int read_root(store_remains *self, unsigned index, remains_root *ret_root)
{
    unsigned char meta[META_END];
    remains_root root = {0};
    int result = read_at(self->file, meta, sizeof meta, index * self->page_size);
    if (result == 0) {
        root = (remains_root){.txn = load_le64(meta + META_TXN),
                              .free_root = load_le64(meta + META_FREE_ROOT),
                              .root = load_le64(meta + META_ROOT),
                              .entries = load_le64(meta + META_ENTRIES)};
        root.named = load_le32(meta + HEADER_SIZE) == META_MAGIC &&
                     load_le32(meta + META_VERSION) == LMDB_VERSION &&
                     load_le32(meta + META_PAGE_SIZE) == self->page_size;
        root.valid = root.named;
    }
    *ret_root = root;
    return result < 0 ? result : 0;
}

/* Whether something can be found from it: not merely that its root is a page. */
static int judge(store_remains *self, remains_root *root)
{
    remains_frame frame;
    bool known;
    if (!root->valid)
        return 0;
    if (root->root == NO_ROOT) {
        root->valid = root->entries == 0;
        return 0;
    }
    int result = remains_frame_make(self, &frame);
    if (result != 0)
        return result;
    result = remains_frame_load(self, root->root, &frame);
    if (result == 0)
        result = remains_load_free(self, root->free_root, &known);
    if (result == 0 && bit_get(self->is_free, root->root))
        result = MLKV_ABSENT;
    if (result == 0)
        result = remains_find_own(self, root->root, root);
    else
        root->valid = false;
    remains_frame_free(&frame);
    return result < 0 ? result : 0;
}

static bool is_newer(const remains_root *a, const remains_root *b)
{
    uint64_t x = a->state.position.applied, y = b->state.position.applied;
    if (a->state.has_position && b->state.has_position && x != y)
        return x > y;
    return a->txn > b->txn;
}

/* --- without meta pages --- */

/* A root that was met: what is below it. */
typedef struct {
    remains_root root;
    bool broken;
    uint64_t count;
} rooted;

static bool is_better(const rooted *a, const rooted *best)
{
    uint64_t x = a->root.state.position.applied, y = best->root.state.position.applied;
    if (!best->root.valid || x != y)
        return !best->root.valid || x > y;
    return a->broken != best->broken ? best->broken : a->count > best->count;
}

static int try_root(store_remains *self, uint64_t page, rooted *best, unsigned *walks)
{
    rooted found = {.root = {.valid = true, .root = page, .free_root = NO_ROOT}};
    int result = remains_find_own(self, page, &found.root);
    uint64_t x = found.root.state.position.applied, y = best->root.state.position.applied;
    if (result != 0 || !found.root.state.has_position ||
        (best->root.valid && (x < y || (x == y && *walks >= ROOT_WALKS_MAX))))
        return result;
    *walks = best->root.valid && x == y ? *walks + 1 : 0;
    remains_walk walk = {.kind = WALK_BEFORE, .try_only = true, .no_free = true};
    result = remains_tree_walk(self, page, &walk);
    found.broken = walk.broken;
    found.count = walk.records;
    if (result == 0 && is_better(&found, best))
        *best = found;
    return result;
}

static int search_roots(store_remains *self)
{
    remains_frame frame;
    rooted best = {.broken = true};
    unsigned walks = 0;
    int result = remains_load_free(self, NO_ROOT, &self->free_known); /* forgets what was tried */
    self->free_known = false;
    if (result == 0)
        result = remains_search_free(self, &self->free_found);
    size_t bytes = (size_t)(self->pages / 64 + 1) * sizeof *self->is_seen;
    memset(self->is_seen, 0, bytes);
    memset(self->is_claimed, 0, bytes);
    if (result == 0)
        result = remains_frame_make(self, &frame);
    if (result != 0)
        return result;
    for (uint64_t page = REMAINS_FIRST_PAGE; page < self->pages && result >= 0; page++) {
        result =
            bit_get(self->is_free, page) ? MLKV_ABSENT : remains_frame_load(self, page, &frame);
        if (result == 0)
            result = try_root(self, page, &best, &walks);
    }
    remains_frame_free(&frame);
    if (result < 0)
        return result;
    self->base = best.root;
    self->summary.found_roots = best.root.valid;
    return 0;
}

/* --- opening --- */

static int make_bits(store_remains *self)
{
    size_t words = (size_t)(self->pages / 64 + 1);
    free(self->is_free);
    free(self->is_seen);
    free(self->is_claimed);
    free(self->is_bad);
    self->is_free = calloc(words, sizeof *self->is_free);
    self->is_seen = calloc(words, sizeof *self->is_seen);
    self->is_claimed = calloc(words, sizeof *self->is_claimed);
    self->is_bad = calloc(words, sizeof *self->is_bad);
    return self->is_free == NULL || self->is_seen == NULL || self->is_claimed == NULL ||
                   self->is_bad == NULL
               ? error_set_memory("what is known of data.mdb's pages")
               : 0;
}

static int set_page_size(store_remains *self, uint64_t file_size, size_t page_size)
{
    self->page_size = page_size;
    self->pages = file_size / page_size;
    self->summary.pages = self->pages;
    return make_bits(self);
}

/* No root can be read, but a list of free pages can: then what is not free is in use, and is found
 * without a root. */
static int choose_rootless(store_remains *self, const remains_root roots[2])
{
    unsigned newer = roots[1].named && (!roots[0].named || roots[1].txn > roots[0].txn);
    for (unsigned i = 0; i < 2 && !self->base.valid; i++) {
        const remains_root *root = &roots[newer ^ i];
        if (!root->named || root->free_root == NO_ROOT)
            continue;
        int result = remains_load_free(self, root->free_root, &self->free_known);
        if (result != 0)
            return result;
        self->base = *root;
        self->base.valid = self->free_known;
    }
    return 0;
}

static int choose_base(store_remains *self)
{
    remains_root roots[2];
    int result = 0;
    for (unsigned i = 0; i < 2 && result == 0; i++) {
        result = read_root(self, i, &roots[i]);
        if (result == 0)
            result = judge(self, &roots[i]);
    }
    if (result != 0)
        return result;
    unsigned newer = roots[1].valid && (!roots[0].valid || is_newer(&roots[1], &roots[0]));
    self->base = roots[newer];
    self->before = roots[1 - newer];
    if (!self->base.valid) {
        result = choose_rootless(self, roots);
        return result != 0 || self->base.valid ? result : search_roots(self);
    }
    self->summary.base_is_older = !self->before.valid && self->pages > 2 && self->base.txn != 0;
    return remains_load_free(self, self->base.free_root, &self->free_known);
}

static int try_page_sizes(store_remains *self, uint64_t file_size, size_t page_size)
{
    size_t sizes[10] = {page_size != 0 ? page_size : (size_t)sysconf(_SC_PAGESIZE)}, n = 1;
    for (size_t size = REMAINS_PAGE_SIZE_MIN; size <= REMAINS_PAGE_SIZE_MAX; size *= 2)
        sizes[n++] = size;
    int result = 0;
    for (size_t i = 0; i < (page_size != 0 ? 1 : n) && result == 0 && !self->base.valid; i++) {
        result = set_page_size(self, file_size, sizes[i]);
        if (result == 0)
            result = choose_base(self);
    }
    if (result == 0 && !self->base.valid && page_size == 0)
        result = set_page_size(self, file_size, sizes[0]);
    return result;
}

static int open_file(store_remains *self, const char *folder, uint64_t *ret_size)
{
    char path[PATH_MAX];
    struct stat status;
    int size = snprintf(path, sizeof path, "%s/data.mdb", folder);
    if (size < 0 || (size_t)size >= sizeof path)
        return error_set(MLKV_E_ARGUMENT, "the folder's name is too long");
    self->file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (self->file < 0 && errno == ENOENT)
        return error_set(MLKV_ABSENT, "there is no %s", path);
    if (self->file < 0 && errno == ELOOP)
        return error_set(MLKV_E_IO, "%s is a symbolic link, and those are not followed", path);
    if (self->file < 0)
        return error_set_system(errno, "opening %s", path);
    if (fstat(self->file, &status) != 0)
        return error_set_system(errno, "looking at %s", path);
    if (!S_ISREG(status.st_mode))
        return error_set(MLKV_E_IO, "%s is not a regular file", path);
    if (status.st_size == 0)
        return error_set(MLKV_ABSENT, "%s is empty", path);
    *ret_size = (uint64_t)status.st_size;
    return 0;
}

/* Nothing leads to anything: all pages are one gap, if some of them can be a leaf. */
static int begin_without_base(store_remains *self)
{
    remains_frame frame;
    bool some = false;
    int result = remains_frame_make(self, &frame);
    for (uint64_t page = REMAINS_FIRST_PAGE; page < self->pages && result >= 0 && !some; page++) {
        mlkv_slice value;
        result = remains_frame_load(self, page, &frame);
        for (size_t i = 0; result == 0 && frame.page.is_leaf && i < frame.page.count && !some; i++)
            some = remains_sealed(self, &frame.page.nodes[i], false, &value) == 0;
    }
    remains_frame_free(&frame);
    if (result < 0)
        return result;
    return some ? remains_add_gap(self, slice_of(NULL, 0), slice_of(NULL, 0), 0)
                : error_set(MLKV_E_CORRUPT, "nothing in data.mdb can be recognised");
}

int store_remains_open(const char *folder, const remains_sink *sink, store_remains **ret_remains)
{
    uint64_t size = 0;
    store_remains *self = calloc(1, sizeof *self);
    if (self == NULL)
        return error_set_memory("what is left of a store");
    self->sink = *sink;
    self->file = -1;
    int result = open_file(self, folder, &size);
    if (result == 0)
        result = try_page_sizes(self, size, find_page_size(self->file));
    if (result == 0 && !self->base.valid)
        result = begin_without_base(self);
    if (result != 0) {
        store_remains_close(self);
        return result;
    }
    *ret_remains = self;
    return 0;
}

void store_remains_close(store_remains *self)
{
    if (self == NULL)
        return;
    if (self->file >= 0)
        (void)close(self->file);
    for (size_t i = 0; i < self->gap_count; i++)
        free(self->gaps[i].bytes);
    free(self->gaps);
    free(self->is_free);
    free(self->is_seen);
    free(self->is_claimed);
    free(self->is_bad);
    mlkv_buffer_free(&self->run);
    mlkv_buffer_free(&self->first);
    mlkv_buffer_free(&self->last);
    free(self);
}

const remains_state *store_remains_newest(const store_remains *self)
{
    return &self->base.state;
}

const remains_state *store_remains_before(const store_remains *self)
{
    return self->before.valid ? &self->before.state : NULL;
}

const remains_summary *store_remains_summary(const store_remains *self)
{
    return &self->summary;
}
