/* salvage_folder.c - where a new store is built before it is one.
 *
 *   absent or empty -- begin --> path/salvage.part: a store being built -- finish --> path/data.mdb
 *
 * Invariants:
 *  1. A data.mdb in `path` is whole, clean and on the disk. A crash leaves the folder salvage.part,
 *     which nothing takes for a store.
 *  2. Nothing is made inside the damaged store's folder.
 *  3. What a failed salvage made is removed, and nothing else.
 *
 * No locks.
 */
#include "engine/salvage.h"

#include "base/bytes.h"
#include "base/error.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define PART_NAME "salvage.part"

static int check_empty(const char *path)
{
    DIR *listing = opendir(path);
    struct dirent *entry;
    if (listing == NULL && errno == ENOTDIR)
        return error_set(MLKV_E_ARGUMENT, "%s is not a folder", path);
    if (listing == NULL)
        return error_set_system(errno, "looking into %s", path);
    int result = 0;
    /* Other threads have listings of their own. NOLINTNEXTLINE(concurrency-mt-unsafe) */
    while (result == 0 && (errno = 0, entry = readdir(listing)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            result = error_set(MLKV_E_ARGUMENT, "%s is not empty", path);
    }
    if (result == 0 && errno != 0)
        result = error_set_system(errno, "looking into %s", path);
    (void)closedir(listing);
    return result;
}

/* The folder that `path` stands in is not the damaged one. */
static int check_apart(const char *damaged, const char *path)
{
    char parent[4096];
    struct stat there, here;
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/')
        size--;
    while (size > 0 && path[size - 1] != '/')
        size--;
    if (size >= sizeof parent)
        return error_set(MLKV_E_ARGUMENT, "the new folder's name is too long");
    memcpy(parent, size == 0 ? "." : path, size == 0 ? 1 : size);
    parent[size == 0 ? 1 : size] = '\0';
    if (stat(damaged, &there) != 0 || stat(parent, &here) != 0)
        return 0; /* whatever it is, it is said by who opens it */
    return there.st_dev == here.st_dev && there.st_ino == here.st_ino
               ? error_set(MLKV_E_ARGUMENT, "%s stands in the damaged store's folder", path)
               : 0;
}

int salvage_folder_begin(const char *damaged, const char *path, salvage_folder *ret_folder)
{
    salvage_folder self = {.path = path};
    int size = snprintf(self.part, sizeof self.part, "%s/%s", path, PART_NAME);
    if (size < 0 || (size_t)size >= sizeof self.part)
        return error_set(MLKV_E_ARGUMENT, "the new folder's name is too long");
    int result = check_apart(damaged, path);
    if (result == 0 && mkdir(path, 0700) == 0)
        self.made_folder = true;
    else if (result == 0)
        result = errno == EEXIST ? check_empty(path)
                                 : error_set_system(errno, "cannot make the folder %s", path);
    if (result == 0 && mkdir(self.part, 0700) != 0)
        result = error_set_system(errno, "cannot make the folder %s", self.part);
    self.made_part = result == 0;
    if (result != 0 && self.made_folder)
        (void)rmdir(path);
    if (result == 0)
        *ret_folder = self;
    return result;
}

/* All of it: a journal that could not be made may have left files under other names. */
static void remove_part(const salvage_folder *self)
{
    DIR *listing = opendir(self->part);
    struct dirent *entry;
    /* Other threads have listings of their own. NOLINTNEXTLINE(concurrency-mt-unsafe) */
    while (listing != NULL && (entry = readdir(listing)) != NULL)
        (void)unlinkat(dirfd(listing), entry->d_name, 0);
    if (listing != NULL)
        (void)closedir(listing);
    (void)rmdir(self->part);
}

static int sync_at(int folder, const char *name, const char *path)
{
    int file = openat(folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file < 0)
        return errno == EACCES ? 0 : error_set_system(errno, "opening the folder of %s", path);
    int result = 0;
    if (fsync(file) != 0 && errno != EINVAL) /* EINVAL: a file system without it */
        result = error_set_system(errno, "syncing the folder of %s", path);
    (void)close(file);
    return result;
}

int salvage_folder_finish(salvage_folder *self)
{
    int folder = open(self->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return error_set_system(errno, "opening %s", self->path);
    int result = 0;
    if (linkat(folder, PART_NAME "/data.mdb", folder, "data.mdb", 0) != 0) {
        if (errno == EEXIST)
            result =
                error_set(MLKV_E_ARGUMENT, "somebody made a store in %s meanwhile", self->path);
        else if (renameat(folder, PART_NAME "/data.mdb", folder, "data.mdb") !=
                 0) /* no links here */
            result = error_set_system(errno, "naming %s/data.mdb", self->path);
    }
    bool named = result == 0;
    if (result == 0)
        result = sync_at(folder, ".", self->path);
    if (result == 0 && self->made_folder)
        result = sync_at(folder, "..", self->path);
    if (result != 0 && named)
        (void)unlinkat(folder, "data.mdb", 0);
    (void)close(folder);
    if (result != 0)
        return result;
    remove_part(self);
    (void)liveness_make(self->path); /* only those who open it read-only miss it */
    self->made_part = self->made_folder = false;
    return 0;
}

void salvage_folder_abandon(salvage_folder *self)
{
    if (self->made_part)
        remove_part(self);
    if (self->made_folder)
        (void)rmdir(self->path); /* stays if somebody put something into it */
    self->made_part = self->made_folder = false;
}
