/* space.c - what the file takes on the disk, and giving back what is free in it.
 *
 * LMDB's file never shrinks, and its map never moves (R12), so free pages are given back where they
 * stand: holes are punched into the file (fallocate), its length stays. A page may be punched when
 * LMDB itself might write over it in this very write transaction. That is what its list of free
 * pages says: tree 0 of the environment, whose records are
 *
 *   transaction u64 -> count u64, then so many page numbers u64, falling
 *
 * the pages that were in use before that transaction and are not since. LMDB takes pages from
 * records that are older than every reader's snapshot and than the last commit. So a hole is in
 * nobody's snapshot and in neither of the two states that the meta pages name, of which a power cut
 * may bring back the older one. To whoever reads it anyway (LMDB before it writes the page anew, a
 * copy of all pages) it is zeros.
 *
 *   write transaction begun, nothing changed in it --> read transaction of the last commit: the list
 *   --> pages noted in a bitmap of a window of the file, from its end down --> runs punched, a
 *   bounded number --> both ended, nothing was changed in LMDB
 *
 * Invariants:
 * 1. LMDB's writer lock is held from before the list is read until after the last hole, and the
 *    transaction that holds it has taken no page and takes none.
 * 2. Only pages of records older than min(oldest reader's snapshot, last commit) are punched.
 * 3. Nothing from the list is used as an index before it was bounded.
 * 4. A step is bounded: STEP_RUNS holes, STEP_PAGES pages, PROBES_MAX looks for data, STEP_MS. Writers wait
 *    for no more than that.
 *
 * Locks: LMDB's writer lock, which the caller's write transaction holds.
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/fault.h"
#include "store/env.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FREE_TREE = 0,  /* LMDB's handle of the list of free pages; mdb_stat asks for it so too */
    FIRST_PAGE = 2, /* behind the two meta pages */
    WINDOW_PAGES = 1 << 20, /* a bitmap of 128 KiB; 4 GiB of the file */
    WORD_BITS = 64,
    STEP_RUNS = 1024,   /* some 10 us each */
    STEP_PAGES = 16384, /* 64 MiB: freeing many blocks is work for the file system, too */
    STEP_MS = 20,       /* and no longer, however slow the file system is */
    PROBES_MAX = 8192,  /* some 1 us each */
    SYSTEM_BLOCK = 512, /* the unit of st_blocks, whatever the file system's */
};

typedef struct {
    store *owner;
    int file;
    uint64_t pages;     /* of the file, as LMDB counts */
    uint64_t newest;    /* records of this transaction and later ones may not be taken */
    uint64_t *bits;     /* of the window */
    uint64_t low, high; /* the window: pages low .. high - 1 */
    unsigned runs, probes;
    uint64_t until_ns;
    uint64_t punched; /* pages */
} step;

static int disk_bytes(int file, uint64_t *ret_bytes)
{
    struct stat status;
    if (fstat(file, &status) != 0)
        return error_set_system(errno, "looking at data.mdb");
    *ret_bytes = (uint64_t)status.st_blocks * SYSTEM_BLOCK;
    return 0;
}

int store_get_space(store *self, store_space *ret_space)
{
    MDB_envinfo info;
    MDB_stat stat;
    int file;
    int code = mdb_env_info(self->env, &info);
    if (code == 0)
        code = mdb_env_stat(self->env, &stat);
    if (code == 0)
        code = mdb_env_get_fd(self->env, &file);
    if (code != 0)
        return store_error(code, "asking for sizes");
    uint64_t disk = 0, used = stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages;
    uint64_t pages = (uint64_t)info.me_last_pgno + 1 - FIRST_PAGE;
    int result = disk_bytes(file, &disk);
    if (result != 0)
        return result;
    *ret_space = (store_space){
        .leaf_bytes = (stat.ms_branch_pages + stat.ms_leaf_pages) * stat.ms_psize,
        .run_bytes = stat.ms_overflow_pages * stat.ms_psize,
        .free_bytes = used < pages ? (pages - used) * stat.ms_psize : 0,
        .disk_bytes = disk,
    };
    return 0;
}

/* --- which pages --- */

static int damaged(uint64_t transaction)
{
    return error_set(MLKV_E_CORRUPT,
                     "data.mdb: the list of free pages is damaged at transaction %llu",
                     (unsigned long long)transaction);
}

/* Notes those of one record that lie in the window. */
static int note_pages(step *self, uint64_t transaction, const MDB_val *stored)
{
    uint64_t count, page;
    const unsigned char *bytes = stored->mv_data;
    if (stored->mv_size < sizeof count || stored->mv_size / self->owner->page_size >= self->pages)
        return damaged(transaction);
    memcpy(&count, bytes, sizeof count);
    if (count > stored->mv_size / sizeof page - 1)
        return damaged(transaction);
    for (uint64_t i = 1; i <= count; i++) {
        memcpy(&page, bytes + i * sizeof page, sizeof page);
        if (page < FIRST_PAGE || page >= self->pages)
            return damaged(transaction);
        if (page < self->low)
            break; /* they fall */
        if (page < self->high)
            self->bits[(page - self->low) / WORD_BITS] |= UINT64_C(1)
                                                          << (page - self->low) % WORD_BITS;
    }
    return 0;
}

static int note_all(step *self, MDB_txn *txn)
{
    MDB_cursor *cursor = NULL;
    MDB_val key, stored;
    int result = 0, code = mdb_cursor_open(txn, FREE_TREE, &cursor);
    if (code == 0)
        code = mdb_cursor_get(cursor, &key, &stored, MDB_FIRST);
    while (code == 0 && result == 0) {
        uint64_t transaction = 0;
        if (key.mv_size != sizeof transaction)
            result = damaged(0);
        else
            memcpy(&transaction, key.mv_data, sizeof transaction);
        if (result == 0 && transaction >= self->newest)
            break; /* in order */
        if (result == 0)
            result = note_pages(self, transaction, &stored);
        if (result == 0)
            code = mdb_cursor_get(cursor, &key, &stored, MDB_NEXT);
    }
    if (cursor != NULL)
        mdb_cursor_close(cursor);
    return result != 0 || code == 0 || code == MDB_NOTFOUND
               ? result
               : store_error(code, "reading the list of free pages");
}

/* --- holes --- */

/* Where in [from, to) there is data: 0, or MLKV_ABSENT if all of it is a hole. A file system that
 * does not tell calls everything data. */
static int find_data(step *self, uint64_t from, uint64_t to, uint64_t *ret_from)
{
    off_t page_size = (off_t)self->owner->page_size;
    self->probes++;
    off_t at = lseek(self->file, (off_t)from * page_size, SEEK_DATA);
    if (at < 0)
        return errno == ENXIO ? MLKV_ABSENT : (*ret_from = from, 0);
    if (at >= (off_t)to * page_size)
        return MLKV_ABSENT;
    *ret_from = (uint64_t)(at / page_size);
    return 0;
}

static int punch(step *self, uint64_t from, uint64_t to)
{
    off_t page_size = (off_t)self->owner->page_size;
    int code;
    do
        code = fallocate(self->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                         (off_t)from * page_size, (off_t)(to - from) * page_size);
    while (code != 0 && errno == EINTR);
    if (code != 0 && (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL))
        return error_set(
            MLKV_E_PLATFORM,
            "data.mdb: its file system cannot punch holes, so it cannot give free space back");
    if (code != 0)
        return error_set_system(errno, "data.mdb: giving free pages back");
    self->runs++;
    self->punched += to - from;
    FAULT_POINT(COMPACT_PUNCHED);
    return 0;
}

static bool has_bit(const step *self, uint64_t page)
{
    return (self->bits[(page - self->low) / WORD_BITS] >> (page - self->low) % WORD_BITS & 1) != 0;
}

/* The highest run of noted pages below `below`: 0 or MLKV_ABSENT. It is cut to STEP_PAGES. */
static int next_run(const step *self, uint64_t below, uint64_t *ret_from, uint64_t *ret_to)
{
    uint64_t to = below;
    while (to > self->low) {
        uint64_t place = to - self->low;
        if (place % WORD_BITS == 0 && self->bits[place / WORD_BITS - 1] == 0)
            to -= WORD_BITS;
        else if (has_bit(self, to - 1))
            break;
        else
            to--;
    }
    if (to == self->low)
        return MLKV_ABSENT;
    uint64_t from = to - 1;
    while (from > self->low && has_bit(self, from - 1) && to - from < STEP_PAGES)
        from--;
    *ret_from = from;
    *ret_to = to;
    return 0;
}

/* The window's runs, from its end. *below: where to go on. */
static int punch_window(step *self, uint64_t *below)
{
    uint64_t from = 0, to = 0, data = 0;
    int result = 0;
    while (result == 0 && self->runs < STEP_RUNS && self->punched < STEP_PAGES &&
           self->probes < PROBES_MAX &&
           (self->probes == 0 || clock_monotonic_ns() < self->until_ns)) {
        if (next_run(self, *below, &from, &to) == MLKV_ABSENT) {
            *below = self->low;
            break;
        }
        if (find_data(self, from, to, &data) == 0)
            result = punch(self, data, to);
        *below = from;
    }
    return result;
}

/* --- the step --- */

/* A snapshot of the commit that the write transaction stands on. MLKV_ABSENT: readers are shown an
 * older one, until the next commit. */
static int begin_reading(store_write *write, store *self, store_read **ret_read)
{
    store_read *read = NULL;
    int result = store_read_begin(self, &read);
    if (result == 0 && mdb_txn_id(read->txn) + 1 != mdb_txn_id(store_write_txn(write))) {
        store_read_end(read);
        return MLKV_ABSENT;
    }
    *ret_read = read;
    return result;
}

static int do_step(step *self, MDB_txn *txn, uint64_t *below)
{
    MDB_envinfo info;
    uint64_t oldest = UINT64_MAX;
    int code = mdb_env_get_fd(self->owner->env, &self->file);
    if (code == 0)
        code = mdb_env_info(self->owner->env, &info);
    if (code != 0)
        return store_error(code, "asking for sizes");
    int result = store_oldest_snapshot(self->owner, &oldest);
    if (result != 0)
        return result;
    self->newest = oldest < mdb_txn_id(txn) ? oldest : mdb_txn_id(txn);
    self->pages = (uint64_t)info.me_last_pgno + 1;
    self->high = *below < self->pages ? *below : self->pages;
    uint64_t size = self->high % WINDOW_PAGES == 0 ? WINDOW_PAGES : self->high % WINDOW_PAGES;
    self->low = self->high > size ? self->high - size : 0;
    self->bits = calloc(WINDOW_PAGES / WORD_BITS, sizeof *self->bits);
    if (self->bits == NULL)
        return error_set_memory("a map of free pages");
    *below = self->high;
    result = note_all(self, txn);
    self->until_ns = clock_monotonic_ns() + (uint64_t)STEP_MS * 1000000;
    return result == 0 ? punch_window(self, below) : result;
}

int store_punch(store *self, store_write *write, uint64_t *below, uint64_t *ret_bytes)
{
    step state = {.owner = self, .file = -1};
    store_read *read = NULL;
    uint64_t before = 0, after = 0;
    if (!store_write_is_fresh(write))
        return error_set(MLKV_E_ARGUMENT, "data.mdb: holes are punched before anything is written");
    int result = begin_reading(write, self, &read);
    if (result == MLKV_ABSENT) {
        *ret_bytes = 0;
        *below = 0;
        return 0;
    }
    if (result != 0)
        return result;
    int code = mdb_env_get_fd(self->env, &state.file);
    result = code == 0 ? disk_bytes(state.file, &before)
                       : store_error(code, "asking for the descriptor");
    if (result == 0)
        result = do_step(&state, read->txn, below);
    if (result == 0)
        result = disk_bytes(state.file, &after);
    free(state.bits);
    store_read_end(read);
    if (result == 0)
        *ret_bytes = after < before ? before - after : 0;
    return result;
}
