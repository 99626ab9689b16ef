/* store.c - opens, creates and closes the environment: data.mdb and lock.mdb in the store's folder.
 * The values' form stands in env.h.
 *
 * Opening: look at the file as bytes (pages.c); open LMDB at the largest map that fits; check that
 * no page is missing; look for the format record. It is absent in a file that somebody else made
 * (refused) and in a file that is still empty, because its creator died before its first commit or
 * is about to make it: so that one is looked at again inside a write transaction, and only then
 * written.
 *
 * Flags: MDB_NOTLS, so that a read transaction is a thing in a pool and not a property of a thread.
 * Full sync always. Read-ahead stays on: tensors are runs of megabytes, and a fault a page would
 * make them ten times slower to load than random records gain.
 *
 * Invariants:
 * 1. The map is reserved once and never moves: lent slices stay where they are.
 * 2. One environment a process and folder (the caller sees to it).
 * 3. A forked child touches nothing of the parent's environment.
 *
 * Locks: LMDB's own. The pool's lock is in read.c.
 */
#include "base/error.h"
#include "base/lock.h"
#include "store/env.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MODE = 0600, READERS_MAX = 4096 };

/* The first that the process can map: sanitizers have room for a few of the first, valgrind for the third. The last
 * is for a process whose address space is limited; LMDB itself raises it to what the file needs. */
static const size_t MAP_SIZES[] = {(size_t)1 << 40, (size_t)256 << 30, (size_t)16 << 30,
                                   (size_t)1 << 30};

static _Atomic(store *) abandoned_stores; /* kept reachable: nothing of them may be freed */

int store_error(int code, const char *what)
{
    int result = MLKV_E_IO;
    switch (code) {
    case MDB_MAP_FULL:
        result = MLKV_E_FULL;
        break;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
        result = MLKV_E_CORRUPT;
        break;
    case MDB_VERSION_MISMATCH:
    case MDB_INCOMPATIBLE:
        result = MLKV_E_VERSION;
        break;
    case MDB_READERS_FULL:
        result = MLKV_E_BUSY;
        break;
    case MDB_PANIC:
        result = MLKV_E_POISONED;
        break;
    case MDB_MAP_RESIZED: /* another process mapped more than this one could, and the data outgrew
                             this one's map */
        result = MLKV_E_PLATFORM;
        break;
    case MDB_TXN_FULL:
    case MDB_BAD_VALSIZE:
        result = MLKV_E_SIZE;
        break;
    default:
        if (code > 0)
            return error_set_system(code, "data.mdb: %s", what);
    }
    return error_set(result, "data.mdb: %s: %s", what, mdb_strerror(code));
}

/* Opens LMDB with the largest map that fits. An environment whose opening failed cannot be opened
 * again, so each try makes one. */
static int open_env(store *self, const char *folder)
{
    unsigned flags = MDB_NOTLS | (self->read_only ? MDB_RDONLY : 0);
    int code = 0;
    for (size_t i = 0; i < sizeof MAP_SIZES / sizeof MAP_SIZES[0]; i++) {
        MDB_env *env = NULL;
        code = mdb_env_create(&env);
        if (code != 0)
            return store_error(code, "making an environment");
        code = mdb_env_set_mapsize(env, MAP_SIZES[i]);
        if (code == 0)
            code = mdb_env_set_maxreaders(env, READERS_MAX);
        if (code == 0)
            code = mdb_env_open(env, folder, flags, FILE_MODE);
        if (code == 0) {
            self->env = env;
            return 0;
        }
        mdb_env_close(env);
        if (code != ENOMEM && code != EINVAL) /* EINVAL: what valgrind answers to too large a map */
            break;
    }
    return store_error(code, "opening");
}

/* The length of a file that is short but whole is made what LMDB counts, so that it need not be
 * walked at each opening. The writer lock keeps others from growing it meanwhile. It is a
 * convenience: failing changes nothing. */
static void fill_up(store *self, int file)
{
    MDB_txn *txn = NULL;
    MDB_envinfo info;
    struct stat status;
    if (mdb_txn_begin(self->env, NULL, 0, &txn) != 0)
        return;
    if (mdb_env_info(self->env, &info) == 0 && fstat(file, &status) == 0) {
        off_t size = (off_t)((info.me_last_pgno + 1) * self->page_size);
        int ignored = status.st_size < size ? ftruncate(file, size) : 0;
        (void)ignored;
    }
    mdb_txn_abort(txn);
}

/* Takes the tree's handle and checks that all its pages are there. */
static int open_tree(store *self, const char *path)
{
    MDB_txn *txn = NULL;
    MDB_stat stat;
    unsigned tree_flags = 0;
    bool is_short = false;
    int result = 0;
    int file = open(path, (self->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOFOLLOW);
    if (file < 0)
        return error_set_system(errno, "opening %s", path);
    int code = mdb_env_stat(self->env, &stat);
    if (code == 0) {
        result = store_begin_reading(self, &txn);
        if (result != 0)
            goto done;
        code = mdb_dbi_open(txn, NULL, 0, &self->dbi);
    }
    if (code == 0)
        code = mdb_dbi_flags(txn, self->dbi, &tree_flags);
    if (code != 0) {
        result = store_error(code, "opening the tree");
        goto done;
    }
    if (tree_flags != 0) {
        result = error_set(MLKV_E_VERSION, "%s: a tree with the flags %#x is not of this format",
                           path, tree_flags);
        goto done;
    }
    self->page_size = stat.ms_psize;
    result = pages_check(file, txn, self->page_size, &is_short);
done:
    if (txn != NULL)
        mdb_txn_abort(txn);
    if (result == 0 && is_short && !self->read_only)
        fill_up(self, file);
    close(file);
    return result;
}

/* The format record as a transaction sees it. MLKV_ABSENT: the tree is empty. */
static int check_format(store *self, MDB_txn *txn)
{
    mlkv_slice value;
    MDB_stat stat;
    int result = store_fetch(self, txn, slice_of_text(KEY_FORMAT), &value);
    if (result < 0)
        return result;
    if (result == MLKV_ABSENT) {
        int code = mdb_stat(txn, self->dbi, &stat);
        if (code != 0)
            return store_error(code, "counting records");
        return stat.ms_entries == 0
                   ? MLKV_ABSENT
                   : error_set(MLKV_E_VERSION,
                               "data.mdb has records but not the format record of a store");
    }
    if (value.size != FORMAT_SIZE || memcmp(value.data, "MLKV", 4) != 0)
        return error_set(MLKV_E_VERSION, "data.mdb has a format record of an unknown kind");
    uint32_t version = load_le32((const char *)value.data + 4);
    if (version != STORE_FORMAT_VERSION)
        return error_set(MLKV_E_VERSION, "data.mdb has format %u, this library writes format %d",
                         (unsigned)version, STORE_FORMAT_VERSION);
    return 0;
}

/* Looks again with the writer lock (which also makes LMDB repair what a dead writer left), and
 * writes the first records if still none. */
static int make_format(store *self, bool create)
{
    store_write *write = NULL;
    int result = store_write_begin(self, &write);
    if (result != 0)
        return result;
    result = check_format(self, store_write_txn(write));
    if (result == MLKV_ABSENT && create) {
        result = store_write_first(write);
        if (result == 0)
            return store_write_commit(write);
    }
    store_write_abort(write);
    return result;
}

/* The names of new files are durable only with their folder. */
static int sync_folder(const char *folder)
{
    int file = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file < 0)
        return error_set_system(errno, "opening %s", folder);
    int result = 0;
    if (fsync(file) != 0 && errno != EINVAL) /* EINVAL: a file system without it */
        result = error_set_system(errno, "syncing %s", folder);
    close(file);
    return result;
}

static int absent_store(const char *folder)
{
    return error_set(MLKV_E_ABSENT_STORE, "there is no store in %s", folder);
}

static int open_format(store *self, const char *folder, bool create)
{
    MDB_txn *txn = NULL;
    int result = store_begin_reading(self, &txn);
    if (result != 0)
        return result;
    result = check_format(self, txn);
    mdb_txn_abort(txn);
    if (result == MLKV_ABSENT && !self->read_only) {
        result = make_format(self, create);
        if (result == 0)
            result = sync_folder(folder);
    }
    return result == MLKV_ABSENT ? absent_store(folder) : result;
}

/* LMDB follows symbolic links. lock.mdb is only looked at by its name: closing a descriptor of it
 * would drop this process's locks. */
static int check_lock_file(const char *folder)
{
    char path[PATH_MAX];
    struct stat status;
    int size = snprintf(path, sizeof path, "%s/lock.mdb", folder);
    if (size < 0 || (size_t)size >= sizeof path || lstat(path, &status) != 0)
        return 0; /* LMDB makes it, or says why not */
    if (S_ISLNK(status.st_mode))
        return error_set(MLKV_E_IO, "%s is a symbolic link, and those are not followed", path);
    return S_ISREG(status.st_mode) ? 0 : error_set(MLKV_E_IO, "%s is not a regular file", path);
}

/* Afterwards: what LMDB opened is what stands in the folder, and no link that was put there
 * meanwhile. */
static int check_opened(const store *self, const char *folder, const char *path)
{
    int file;
    struct stat opened, named;
    int code = mdb_env_get_fd(self->env, &file);
    if (code != 0)
        return store_error(code, "asking for the descriptor");
    if (fstat(file, &opened) != 0 || lstat(path, &named) != 0)
        return error_set_system(errno, "looking at %s", path);
    if (opened.st_dev != named.st_dev || opened.st_ino != named.st_ino)
        return error_set(MLKV_E_IO, "%s was replaced while it was opened", path);
    return check_lock_file(folder);
}

/* Nobody else makes a store at the same moment: its opener is alone in it (I7). */
static int empty_file(const char *path)
{
    int file = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOFOLLOW);
    if (file < 0)
        return error_set_system(errno, "emptying %s", path);
    close(file);
    return 0;
}

/* The file before LMDB opens it. ret_new: LMDB will make it. */
static int prepare_file(const char *folder, const char *path, bool create, bool *ret_new)
{
    bool empty = false, unborn = false;
    int result = pages_look(path, &empty);
    if (result == 0 && !empty)
        result = pages_look_unborn(path, &unborn);
    if (result == 0 && (empty || unborn) && !create)
        result = absent_store(folder);
    if (result == 0 && unborn)
        result = empty_file(path);
    *ret_new = empty || unborn;
    return result;
}

/* LMDB does not sync a file's first pages. From here on a power cut leaves them whole. */
static int sync_new(store *self)
{
    int code = mdb_env_sync(self->env, 1);
    return code == 0 ? 0 : store_error(code, "syncing the new file");
}

static int open_all(store *self, const char *folder, bool create)
{
    char path[PATH_MAX];
    bool is_new = false;
    int size = snprintf(path, sizeof path, "%s/data.mdb", folder);
    if (size < 0 || (size_t)size >= sizeof path)
        return error_set(MLKV_E_ARGUMENT, "the folder's name is longer than %d bytes",
                         PATH_MAX - 10);
    int result = prepare_file(folder, path, create, &is_new);
    if (result == 0)
        result = check_lock_file(folder);
    if (result == 0)
        result = open_env(self, folder);
    if (result == 0 && is_new)
        result = sync_new(self);
    if (result == 0)
        result = check_opened(self, folder, path);
    if (result == 0)
        result = open_tree(self, path);
    if (result == 0 && !self->read_only)
        result = store_check_readers(self);
    if (result == 0)
        result = open_format(self, folder, create);
    return result;
}

/* Of fresh pages: those in which nothing is noted cost nothing. */
static int make_seals(store *self)
{
    void *lines = mmap(NULL, SEAL_LINES * sizeof(seal_line), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (lines == MAP_FAILED)
        return error_set_memory("a store's list of seals");
    self->seals_seen = lines;
    return 0;
}

int store_open(const char *folder, bool create, bool read_only, store **ret_store)
{
    return store_open_gated(folder, create, read_only, NULL, ret_store);
}

int store_open_gated(const char *folder, bool create, bool read_only, const store_gate *gate,
                     store **ret_store)
{
    if (folder == NULL)
        return error_set(MLKV_E_ARGUMENT, "no folder was given");
    store *self = aligned_alloc(CACHE_LINE, round_up(sizeof *self, CACHE_LINE));
    if (self == NULL)
        return error_set_memory("a store");
    memset(self, 0, sizeof *self);
    lock_init(&self->lock);
    self->read_only = read_only;
    if (gate != NULL)
        self->gate = *gate;
    int result = make_seals(self);
    if (result == 0)
        result = open_all(self, folder, create && !read_only);
    if (result != 0) {
        store_close(self);
        return result;
    }
    *ret_store = self;
    return 0;
}

void store_close(store *self)
{
    if (self == NULL)
        return;
    store_pool_drain(self);
    if (self->env != NULL)
        mdb_env_close(self->env);
    if (self->seals_seen != NULL)
        (void)munmap(self->seals_seen, SEAL_LINES * sizeof(seal_line));
    lock_destroy(&self->lock);
    free(self);
}

/* The child's copies stay where they are, in a list that leak checkers can follow: a handle that
 * the forking thread still holds must not point at freed memory, and LMDB's own memory hangs
 * together with descriptors that must not be closed. */
void store_abandon(store *self)
{
    if (self == NULL)
        return;
    self->next_abandoned = atomic_load(&abandoned_stores);
    while (!atomic_compare_exchange_weak(&abandoned_stores, &self->next_abandoned, self))
        ;
}

int store_sync(store *self)
{
    if (self->read_only)
        return error_set(MLKV_E_READONLY, "the store was opened for reading only");
    int code = mdb_env_sync(self->env, 1);
    return code == 0 ? 0 : store_error(code, "syncing");
}

int store_check_readers(store *self)
{
    int dead = 0;
    int result = self->gate.enter != NULL ? self->gate.enter(self->gate.context) : 0;
    if (result != 0)
        return result;
    int code = mdb_reader_check(self->env, &dead);
    if (self->gate.enter != NULL)
        self->gate.leave(self->gate.context);
    return code == 0 ? 0 : store_error(code, "looking for dead readers");
}

typedef struct {
    uint64_t count;
    uint64_t oldest; /* UINT64_MAX: none */
} reader_tally;

/* mdb_reader_list gives lines of text: "pid thread txnid", the last "-" in a slot without a
 * snapshot; and a headline. */
static int tally_reader(const char *line, void *context)
{
    reader_tally *tally = context;
    unsigned long long pid, thread, id;
    /* LMDB wrote them, from numbers of these sizes. */
    int fields = sscanf(line, "%llu %llx %llu", &pid, &thread, &id); /* NOLINT(cert-err34-c) */
    if (fields >= 2)
        tally->count++;
    if (fields == 3 && id < tally->oldest)
        tally->oldest = id;
    return 0;
}

int store_oldest_snapshot(store *self, uint64_t *ret_transaction)
{
    reader_tally tally = {.oldest = UINT64_MAX};
    int code = mdb_reader_list(self->env, tally_reader, &tally);
    if (code < 0)
        return store_error(code, "listing readers");
    *ret_transaction = tally.oldest;
    return 0;
}

int store_get_info(store *self, store_info *ret_info)
{
    MDB_envinfo info;
    MDB_stat stat;
    reader_tally tally = {.oldest = UINT64_MAX};
    int code = mdb_env_info(self->env, &info);
    if (code == 0)
        code = mdb_env_stat(self->env, &stat);
    if (code != 0)
        return store_error(code, "asking for sizes");
    code = mdb_reader_list(self->env, tally_reader, &tally);
    if (code < 0)
        return store_error(code, "listing readers");
    *ret_info = (store_info){
        .used_bytes = ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize,
        .tree_pages = (uint64_t)stat.ms_branch_pages + stat.ms_leaf_pages,
        .records = stat.ms_entries,
        .readers = tally.count,
        .oldest_snapshot_age =
            tally.oldest < info.me_last_txnid ? info.me_last_txnid - tally.oldest : 0,
    };
    return 0;
}
