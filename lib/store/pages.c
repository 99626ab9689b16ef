/* pages.c - looks at data.mdb as bytes, before and just after LMDB opens it, so that a cut or
 * foreign file is an error and not a crash.
 *
 * LMDB divides by the page size that it finds in the first meta page, and reads pages through its
 * map, where a page behind the end of the file is SIGBUS. It checks neither. The file's length
 * alone does not tell a cut file from a good one: LMDB counts pages that a transaction allocated
 * and freed again, and never writes them, so a healthy file may end before its last counted page.
 * So only when the file is shorter than its count, the trees of one snapshot are walked with pread
 * and every page they refer to must lie in the file.
 *
 * LMDB writes the two meta pages of a new file without a sync. After a power cut each may be as it
 * was made, or zeros, or not there, and LMDB refuses such a file. Nothing was ever in it: it is
 * called unborn, and made anew.
 *
 * What is read of LMDB's format (64-bit, little-endian; offset, name, type):
 *
 *   page   0 number u64, 10 flags u16, 12 lower u16, 16 offsets of (lower - 16) / 2 nodes u16
 *          of a large value: 12 count of pages in its run u32
 *   node   0 lo u16, 2 hi u16, 4 flags u16, 6 key size u16, 8 key, then data
 *          in a branch: child = lo | hi << 16 | flags << 32
 *          in a leaf, with flag 1: data is the number u64 of the first page of a large value
 *   meta   16 magic u32, 40 page size u32, 46 depth u16 and 80 root u64 of the free list,
 *          94 depth u16 and 128 root u64 of the tree, 136 last page u64, 144 transaction u64
 *
 * Invariants:
 * 1. Nothing from the file is used as an index or a size before it was bounded.
 * 2. The walk keeps to a snapshot whose pages LMDB does not reuse while its read transaction is
 *    open.
 *
 * No locks; the file is only read.
 */
#include "base/error.h"
#include "store/env.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PAGE_HEADER_SIZE = 16,
    NODE_HEADER_SIZE = 8,
    META_END = 152,
    META_PAGE_SIZE = 40,
    META_FREE_DEPTH = 46,
    META_FREE_ROOT = 80,
    META_TREE_DEPTH = 94,
    META_TREE_ROOT = 128,
    META_LAST_PAGE = 136,
    META_TXN = 144,
    FLAG_BRANCH = 1,
    FLAG_LEAF = 2,
    FLAG_FIXED_LEAF = 0x20, /* leaves of fixed-size duplicates: no nodes */
    NODE_BIG = 1,
    DEPTH_MAX = 32, /* LMDB's own stack */
    PAGE_SIZE_MIN = 512,
    PAGE_SIZE_MAX = 65536,
    SNAPSHOT_TRIES = 100, /* commits may overtake the look at the meta page; each takes far longer
                             than the look */
};

static const uint32_t META_MAGIC = 0xBEEFC0DE;
static const uint64_t NO_ROOT = UINT64_MAX;
/* No address space of ours maps more. A larger page count would make LMDB ask for such a map and
 * report a lack of memory. */
static const uint64_t FILE_SIZE_MAX = (uint64_t)1 << 46;

static uint16_t load_le16(const unsigned char *from)
{
    uint16_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

/* Reads up to size bytes; ret_got is short only at the end of the file. */
static int read_at(int file, void *to, size_t size, uint64_t offset, size_t *ret_got)
{
    size_t got = 0;
    while (got < size) {
        ssize_t n = pread(file, (char *)to + got, size - got, (off_t)(offset + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_system(errno, "reading data.mdb");
        if (n == 0)
            break;
        got += (size_t)n;
    }
    *ret_got = got;
    return 0;
}

/* One meta page: 0 also if it is none, which LMDB itself finds. */
static int meta_look(const unsigned char *meta, size_t *ret_page_size)
{
    if (load_le32(meta + PAGE_HEADER_SIZE) != META_MAGIC)
        return 0;
    uint32_t page_size = load_le32(meta + META_PAGE_SIZE);
    if (page_size < PAGE_SIZE_MIN || page_size > PAGE_SIZE_MAX ||
        (page_size & (page_size - 1)) != 0)
        return error_set(MLKV_E_CORRUPT, "data.mdb: a page size of %u bytes cannot be",
                         (unsigned)page_size);
    uint64_t last = load_le64(meta + META_LAST_PAGE);
    if (last >= FILE_SIZE_MAX / page_size)
        return error_set(MLKV_E_CORRUPT, "data.mdb: a page count of %llu cannot be",
                         (unsigned long long)last);
    *ret_page_size = page_size;
    return 0;
}

int pages_look(const char *path, bool *ret_empty)
{
    unsigned char meta[META_END];
    size_t got = 0, page_size = 0;
    int file =
        open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK); /* a pipe does not hang us */
    if (file < 0 && errno == ENOENT) {
        *ret_empty = true;
        return 0;
    }
    if (file < 0 && errno == ELOOP)
        return error_set(MLKV_E_IO, "%s is a symbolic link, and those are not followed", path);
    if (file < 0)
        return error_set_system(errno, "opening %s", path);
    struct stat status;
    int result = fstat(file, &status) == 0 ? 0 : error_set_system(errno, "looking at %s", path);
    if (result == 0 && !S_ISREG(status.st_mode))
        result = error_set(MLKV_E_IO, "%s is not a regular file", path);
    if (result == 0)
        result = read_at(file, meta, sizeof meta, 0, &got);
    if (result == 0 && got == sizeof meta)
        result = meta_look(meta, &page_size);
    if (result == 0 && page_size != 0) {
        size_t second = 0, second_page_size = page_size;
        result = read_at(file, meta, sizeof meta, page_size, &second);
        if (result == 0 && second == sizeof meta)
            result = meta_look(meta, &second_page_size);
        /* LMDB finds the second by the first one's, and all other pages by that of the newer */
        if (result == 0 && second_page_size != page_size)
            result = error_set(MLKV_E_CORRUPT, "data.mdb: pages of %zu bytes, or of %zu?",
                               page_size, second_page_size);
    }
    close(file);
    if (result == 0)
        *ret_empty = got == 0;
    return result;
}

/* Whether `size` bytes from `offset` on are zeros, or behind the end of the file. */
static int zeros_at(int file, uint64_t offset, size_t size, bool *ret_zeros)
{
    unsigned char bytes[512];
    for (size_t done = 0; done < size; done += sizeof bytes) {
        size_t got = 0;
        int result = read_at(file, bytes, sizeof bytes, offset + done, &got);
        if (result != 0)
            return result;
        for (size_t i = 0; i < got; i++)
            if (bytes[i] != 0) {
                *ret_zeros = false;
                return 0;
            }
    }
    *ret_zeros = true;
    return 0;
}

/* A meta page as LMDB makes it, before any commit. */
static bool meta_unused(const unsigned char *meta)
{
    return load_le32(meta + PAGE_HEADER_SIZE) == META_MAGIC && load_le64(meta + META_TXN) == 0 &&
           load_le64(meta + META_LAST_PAGE) == 1;
}

static int look_unborn(int file, bool *ret_unborn)
{
    struct stat status;
    uint64_t page_size = (uint64_t)sysconf(_SC_PAGESIZE); /* which LMDB takes for a new file */
    unsigned made = 0;
    if (fstat(file, &status) != 0)
        return error_set_system(errno, "looking at data.mdb");
    uint64_t size = (uint64_t)status.st_size;
    bool unborn = size == page_size || size == 2 * page_size;
    for (unsigned i = 0; i < 2 && unborn; i++) {
        unsigned char meta[META_END];
        size_t got = 0;
        int result = read_at(file, meta, sizeof meta, i * page_size, &got);
        if (result == 0 && got == sizeof meta && meta_unused(meta))
            made++;
        else if (result == 0)
            result = zeros_at(file, i * page_size, page_size, &unborn);
        if (result != 0)
            return result;
    }
    *ret_unborn = unborn && made < 2;
    return 0;
}

int pages_look_unborn(const char *path, bool *ret_unborn)
{
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (file < 0 && errno == ENOENT) {
        *ret_unborn = false;
        return 0;
    }
    if (file < 0)
        return error_set_system(errno, "opening %s", path);
    int result = look_unborn(file, ret_unborn);
    close(file);
    return result;
}

typedef struct {
    int file;
    size_t page_size;
    uint64_t file_pages;
    unsigned char *levels; /* a page for each level of the tree */
} page_walk;

static int cut_off(uint64_t page)
{
    return error_set(MLKV_E_CORRUPT, "data.mdb is shorter than its pages: page %llu is missing",
                     (unsigned long long)page);
}

static int broken(uint64_t page)
{
    return error_set(MLKV_E_CORRUPT, "data.mdb: page %llu is not what the tree says",
                     (unsigned long long)page);
}

/* Loads a page of the tree into its level and bounds its node count. */
static int load_page(page_walk *walk, uint64_t page, unsigned level, size_t *ret_count)
{
    unsigned char *at = walk->levels + level * walk->page_size;
    if (page >= walk->file_pages)
        return cut_off(page);
    size_t got = 0;
    int result = read_at(walk->file, at, walk->page_size, page * walk->page_size, &got);
    if (result != 0)
        return result;
    if (got != walk->page_size)
        return cut_off(page);
    unsigned flags = load_le16(at + 10), lower = load_le16(at + 12);
    if ((flags & (FLAG_BRANCH | FLAG_LEAF)) == 0 || lower < PAGE_HEADER_SIZE ||
        lower > walk->page_size)
        return broken(page);
    *ret_count = (flags & FLAG_FIXED_LEAF) != 0 ? 0 : (lower - PAGE_HEADER_SIZE) / 2U;
    return 0;
}

/* The run of pages of a large value. */
static int check_run(page_walk *walk, uint64_t page)
{
    unsigned char header[PAGE_HEADER_SIZE];
    if (page >= walk->file_pages)
        return cut_off(page);
    size_t got = 0;
    int result = read_at(walk->file, header, sizeof header, page * walk->page_size, &got);
    if (result != 0)
        return result;
    uint32_t pages = load_le32(header + 12);
    return got != sizeof header || pages > walk->file_pages - page ? cut_off(page) : 0;
}

/* Looks at one node. ret_child: the page below it, of a branch. */
static int check_node(page_walk *walk, const unsigned char *page, size_t index, uint64_t *ret_child)
{
    uint64_t number = load_le64(page);
    size_t at = load_le16(page + PAGE_HEADER_SIZE + 2 * index);
    if (at + NODE_HEADER_SIZE > walk->page_size)
        return broken(number);
    const unsigned char *node = page + at;
    unsigned flags = load_le16(node + 4);
    size_t key_size = load_le16(node + 6);
    if ((load_le16(page + 10) & FLAG_BRANCH) != 0) {
        *ret_child = load_le32(node) | (uint64_t)flags << 32;
        return 0;
    }
    if ((flags & NODE_BIG) == 0)
        return 0;
    if (at + NODE_HEADER_SIZE + key_size + 8 > walk->page_size)
        return broken(number);
    return check_run(walk, load_le64(node + NODE_HEADER_SIZE + key_size));
}

/* Walks one tree, depth first. */
static int check_tree(page_walk *walk, uint64_t root, unsigned depth)
{
    size_t counts[DEPTH_MAX], nexts[DEPTH_MAX];
    if (root == NO_ROOT)
        return 0;
    if (depth == 0 || depth > DEPTH_MAX)
        return error_set(MLKV_E_CORRUPT, "data.mdb: a tree of depth %u cannot be", depth);
    unsigned level = 0;
    nexts[0] = 0;
    int result = load_page(walk, root, 0, &counts[0]);
    while (result == 0) {
        const unsigned char *page = walk->levels + level * walk->page_size;
        if (nexts[level] == counts[level]) {
            if (level-- == 0)
                return 0;
            continue;
        }
        uint64_t child = NO_ROOT;
        result = check_node(walk, page, nexts[level]++, &child);
        if (result != 0 || child == NO_ROOT)
            continue;
        if (level + 1 >= depth)
            return broken(load_le64(page));
        level++;
        nexts[level] = 0;
        result = load_page(walk, child, level, &counts[level]);
    }
    return result;
}

static int check_trees(int file, const unsigned char *meta, size_t page_size, uint64_t file_pages)
{
    page_walk walk = {.file = file, .page_size = page_size, .file_pages = file_pages};
    walk.levels = malloc(DEPTH_MAX * page_size);
    if (walk.levels == NULL)
        return error_set_memory("checking data.mdb");
    int result =
        check_tree(&walk, load_le64(meta + META_FREE_ROOT), load_le16(meta + META_FREE_DEPTH));
    if (result == 0)
        result =
            check_tree(&walk, load_le64(meta + META_TREE_ROOT), load_le16(meta + META_TREE_DEPTH));
    free(walk.levels);
    return result;
}

int pages_check(int file, MDB_txn *txn, size_t page_size, bool *ret_short)
{
    unsigned char meta[META_END];
    for (unsigned i = 0; i < SNAPSHOT_TRIES; i++) {
        uint64_t id = mdb_txn_id(txn);
        size_t got = 0;
        int result = read_at(file, meta, sizeof meta, (id & 1) * page_size, &got);
        if (result != 0)
            return result;
        if (got != sizeof meta)
            return cut_off(id & 1);
        if (load_le64(meta + META_TXN) == id) {
            /* The length after the meta page: a commit that was seen had written its pages before.
             */
            struct stat status;
            if (fstat(file, &status) != 0)
                return error_set_system(errno, "looking at data.mdb");
            uint64_t file_pages = (uint64_t)status.st_size / page_size;
            *ret_short = file_pages <= load_le64(meta + META_LAST_PAGE);
            if (*ret_short)
                result = check_trees(file, meta, page_size, file_pages);
            return result == 0 ? tree_check(file, meta, page_size) : result;
        }
        mdb_txn_reset(txn);
        int code = mdb_txn_renew(txn);
        if (code != 0)
            return store_error(code, "renewing a read transaction");
    }
    *ret_short = false; /* others commit faster than we look: the file works for them */
    return 0;
}
