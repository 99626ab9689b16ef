/* backup.c - a consistent, compacted copy of the environment in another folder, made while readers
 * and writers of all processes go on.
 *
 * LMDB copies one snapshot, page by page, without what is free. The copy then gets an identity of
 * its own state: marked clean, because no journal belongs to it. It keeps the uuid, so that it is
 * known again beside the original's journal (engine/recover.c).
 *
 *   absent -- folder --> data.mdb.part: copied -- marked clean, synced --> renamed: data.mdb
 *
 * Invariants:
 * 1. A file named data.mdb is whole, clean and on the disk. A crash leaves data.mdb.part, which
 *    nothing takes for a store.
 * 2. What a failed copy made is removed, and nothing else: the folder only if it was made here.
 * 3. data.mdb that somebody else made in the folder meanwhile is never replaced.
 *
 * The part is opened without lock.mdb: nobody else knows it. LMDB's snapshot keeps pages of the
 * original from being used again for as long as the copy takes.
 *
 * Locks: none. If compacting has to be given up (below), LMDB's writer lock for two pages.
 */
#include "base/error.h"
#include "base/fault.h"
#include "base/lock.h"
#include "store/env.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define PART_NAME "data.mdb.part"
#define DATA_NAME "data.mdb"

enum {
    MARK_ROOM = 16 << 20, /* in the copy's map, to rewrite one record: the way down to it, and lists
                             of free pages */
    COPY_TRIES = 4,       /* of a copy that a signal interrupted: LMDB does not go on by itself */
};

typedef struct {
    const char *folder;
    int folder_file;  /* -1: not opened */
    int file;         /* -1: not opened */
    bool made_folder; /* and so removed if the copy fails */
    bool made_part;
} target;

/* 0 empty, MLKV_E_ARGUMENT not, other errors. */
static int check_empty(const char *folder)
{
    DIR *listing = opendir(folder);
    struct dirent *entry;
    if (listing == NULL && errno == ENOTDIR)
        return error_set(MLKV_E_ARGUMENT, "%s is not a folder", folder);
    if (listing == NULL)
        return error_set_system(errno, "looking into %s", folder);
    int result = 0;
    errno = 0;
    /* Other threads have listings of their own. NOLINTNEXTLINE(concurrency-mt-unsafe) */
    while (result == 0 && (entry = readdir(listing)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            result = error_set(MLKV_E_ARGUMENT, "%s is not empty", folder);
        errno = 0;
    }
    if (result == 0 && errno != 0)
        result = error_set_system(errno, "looking into %s", folder);
    (void)closedir(listing);
    return result;
}

static int open_target(target *self)
{
    int result = 0;
    if (mkdir(self->folder, 0700) == 0)
        self->made_folder = true;
    else if (errno == EEXIST)
        result = check_empty(self->folder);
    else
        result = error_set_system(errno, "cannot make the folder %s", self->folder);
    if (result != 0)
        return result;
    self->folder_file = open(self->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (self->folder_file < 0)
        return error_set_system(errno, "opening %s", self->folder);
    self->file = openat(self->folder_file, PART_NAME,
                        O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (self->file < 0)
        return error_set_system(errno, "making %s/%s", self->folder, PART_NAME);
    self->made_part = true;
    return 0;
}

/* A compacting copy counts the pages that it met. They come out short if pages belong to nothing,
 * which LMDB's spilling or another LMDB may have caused: no harm to the data, so all pages are
 * copied then. */
static int copy_pages(store *self, const target *to)
{
    unsigned flags = MDB_CP_COMPACT;
    int code = mdb_env_copyfd2(self->env, to->file, flags);
    for (int i = 0; i < COPY_TRIES && (code == EINTR || code == MDB_INCOMPATIBLE); i++) {
        if (lseek(to->file, 0, SEEK_SET) != 0 || ftruncate(to->file, 0) != 0)
            return error_set_system(errno, "beginning the copy anew");
        if (code == MDB_INCOMPATIBLE)
            flags = 0;
        code = mdb_env_copyfd2(self->env, to->file, flags);
    }
    if (code != 0)
        return store_error(code, "copying it");
    return fsync(to->file) == 0 ? 0
                                : error_set_system(errno, "syncing %s/%s", to->folder, PART_NAME);
}

static int open_part(store *copy, const target *to)
{
    char path[PATH_MAX];
    struct stat status;
    MDB_txn *txn = NULL;
    int size = snprintf(path, sizeof path, "%s/%s", to->folder, PART_NAME);
    if (size < 0 || (size_t)size >= sizeof path)
        return error_set(MLKV_E_ARGUMENT, "the folder's name is longer than %d bytes",
                         PATH_MAX - 16);
    if (fstat(to->file, &status) != 0)
        return error_set_system(errno, "looking at %s", path);
    int code = mdb_env_create(&copy->env);
    if (code == 0)
        code = mdb_env_set_mapsize(copy->env, (size_t)status.st_size + MARK_ROOM);
    if (code == 0)
        code = mdb_env_open(copy->env, path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOTLS, 0600);
    if (code == 0)
        code = mdb_txn_begin(copy->env, NULL, MDB_RDONLY, &txn);
    if (code == 0)
        code = mdb_dbi_open(txn, NULL, 0, &copy->dbi);
    if (txn != NULL)
        mdb_txn_abort(txn);
    return code == 0 ? 0 : store_error(code, "opening the copy");
}

/* MLKV_ABSENT: it holds less than applied_min. */
static int mark_clean(store *copy, uint64_t applied_min)
{
    store_write *write = NULL;
    store_position position = {0};
    store_identity identity;
    int result = store_write_begin(copy, &write);
    if (result != 0)
        return result;
    result = store_write_position(write, &position);
    if (result == 0 && position.applied < applied_min)
        result = MLKV_ABSENT;
    if (result == 0)
        result = store_write_identity(write, &identity);
    if (result == 0) {
        identity.clean = true;
        result = store_write_set_identity(write, &identity);
    }
    if (result == 0)
        return store_write_commit(write);
    store_write_abort(write);
    return result;
}

static int finish_part(const target *to, uint64_t applied_min)
{
    store copy = {.env = NULL};
    lock_init(&copy.lock);
    int result = open_part(&copy, to);
    if (result == 0)
        result = mark_clean(&copy, applied_min);
    if (result == 0)
        result = store_sync(&copy);
    if (copy.env != NULL)
        mdb_env_close(copy.env);
    lock_destroy(&copy.lock);
    return result;
}

/* The new folder's own name is durable only with the folder that it stands in. */
static int sync_parent(const target *to)
{
    int parent = openat(to->folder_file, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0)
        return errno == EACCES
                   ? 0
                   : error_set_system(errno, "opening the folder that %s is in", to->folder);
    int result = 0;
    if (fsync(parent) != 0 && errno != EINVAL) /* EINVAL: a file system without it */
        result = error_set_system(errno, "syncing the folder that %s is in", to->folder);
    (void)close(parent);
    return result;
}

/* A link first, so that a data.mdb which is there already is not replaced. */
static int name_part(target *to)
{
    int folder = to->folder_file;
    if (linkat(folder, PART_NAME, folder, DATA_NAME, 0) == 0) {
        (void)unlinkat(folder, PART_NAME, 0);
    } else if (errno == EEXIST) {
        return error_set(MLKV_E_ARGUMENT, "somebody made a store in %s meanwhile", to->folder);
    } else if (renameat(folder, PART_NAME, folder, DATA_NAME) != 0) { /* no links here */
        return error_set_system(errno, "naming %s/%s", to->folder, DATA_NAME);
    }
    to->made_part = false;
    FAULT_POINT(BACKUP_NAMED);
    int result = 0;
    if (fsync(folder) != 0 && errno != EINVAL)
        result = error_set_system(errno, "syncing %s", to->folder);
    if (result == 0 && to->made_folder)
        result = sync_parent(to);
    if (result != 0)
        (void)unlinkat(folder, DATA_NAME, 0);
    return result;
}

static void close_target(target *self, bool keep)
{
    if (self->file >= 0)
        (void)close(self->file);
    if (!keep && self->made_part)
        (void)unlinkat(self->folder_file, PART_NAME, 0);
    if (self->folder_file >= 0)
        (void)close(self->folder_file);
    if (!keep && self->made_folder)
        (void)rmdir(self->folder); /* stays if somebody put something into it */
}

int store_backup(store *self, const char *folder, uint64_t applied_min)
{
    target to = {.folder = folder, .folder_file = -1, .file = -1};
    int result = open_target(&to);
    if (result == 0)
        result = copy_pages(self, &to);
    FAULT_POINT(BACKUP_COPIED);
    if (result == 0)
        result = finish_part(&to, applied_min);
    FAULT_POINT(BACKUP_MARKED);
    if (result == 0)
        result = name_part(&to);
    close_target(&to, result == 0);
    return result;
}
