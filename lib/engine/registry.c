/* registry.c - one engine per folder and process (R9), counted; and what fork does to it.
 *
 * State: a list of engines, guarded by the registry's lock. Found by (device, inode) of the folder.
 * This list and the lock are the library's only mutable globals: fork safety needs them. Fork: the
 * lock is held across fork(), so the child finds the list whole. In the child every engine is
 * abandoned: its descriptors are closed (the liveness lock is the parent's), its mappings of the
 * journal dropped, LMDB's left alone; nothing is locked or freed. The first call through a handle
 * then opens the store anew (engine_replace), once for all handles of one abandoned engine.
 */
#include "engine/engine.h"

#include "base/error.h"
#include "base/lock.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static engine *registry;

static void before_fork(void)
{
    lock_take(&registry_lock);
}

static void after_fork_parent(void)
{
    lock_release(&registry_lock);
}

static void after_fork_child(void)
{
    engine_write_forget();
    for (engine *each = registry; each != NULL; each = each->next) {
        if (atomic_load(&each->abandoned))
            continue;
        atomic_store(&each->abandoned, true);
        liveness_abandon(each->liveness);
        journal_abandon(engine_journal(each));
        store_abandon(each->store);
    }
    lock_release(&registry_lock); /* the child's only thread is the one that took it */
}

__attribute__((constructor)) static void registry_init(void)
{
    (void)pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

static engine *registry_find(dev_t device, ino_t inode)
{
    for (engine *each = registry; each != NULL; each = each->next) {
        if (each->device == device && each->inode == inode && !atomic_load(&each->abandoned))
            return each;
    }
    return NULL;
}

static void registry_remove(engine *self)
{
    for (engine **link = &registry; *link != NULL; link = &(*link)->next) {
        if (*link == self) {
            *link = self->next;
            return;
        }
    }
}

static void engine_free(engine *self)
{
    pool_forget(self->pool); /* an abandoned one's: whoever closes has ended it */
    free(self->path);
    free(self);
}

static int create(const char *path, const engine_options *options, engine **ret_engine)
{
    engine *self = aligned_alloc(64, sizeof *self);
    if (self == NULL)
        return error_set_memory("a store");
    memset(self, 0, sizeof *self);
    self->options = *options;
    self->creator = getpid();
    self->references = 1;
    self->path = realpath(path, NULL);
    if (self->path == NULL)
        self->path = strdup(path);
    if (self->path == NULL) {
        free(self);
        return error_set_memory("a store's path");
    }
    int result = engine_open(self);
    struct stat status;
    if (result == MLKV_OK && stat(self->path, &status) != 0) {
        result = error_set_system(errno, "cannot look at the folder %s", self->path);
        (void)engine_close(self);
    }
    if (result != MLKV_OK) {
        engine_free(self);
        return result;
    }
    self->device = status.st_dev;
    self->inode = status.st_ino;
    char *absolute =
        realpath(self->path, NULL); /* the folder exists now; a fork's child may stand elsewhere */
    if (absolute != NULL) {
        free(self->path);
        self->path = absolute;
    }
    *ret_engine = self;
    return MLKV_OK;
}

static int acquire_locked(const char *path, const engine_options *options, engine **ret_engine)
{
    struct stat status;
    engine *found = NULL;
    if (stat(path, &status) == 0) {
        if (!S_ISDIR(status.st_mode))
            return error_set(MLKV_E_IO, "%s is not a folder", path);
        found = registry_find(status.st_dev, status.st_ino);
    }
    if (found != NULL) {
        if (found->options.read_only && !options->read_only)
            return error_set(MLKV_E_READONLY,
                             "this process has %s open read-only: close that first", path);
        found->references++;
        *ret_engine = found;
        return MLKV_OK;
    }
    int result = create(path, options, &found);
    if (result != MLKV_OK)
        return result;
    found->next = registry;
    registry = found;
    *ret_engine = found;
    return MLKV_OK;
}

int engine_acquire(const char *path, const engine_options *options, engine **ret_engine)
{
    lock_take(&registry_lock);
    int result = acquire_locked(path, options, ret_engine);
    lock_release(&registry_lock);
    return result;
}

static int release_locked(engine *self)
{
    if (--self->references != 0)
        return MLKV_OK;
    registry_remove(self);
    int result = MLKV_OK;
    if (!atomic_load(&self->abandoned)) { /* otherwise what it held is the parent's */
        result = engine_close(self);
        if (self->options.in_memory && self->creator == getpid())
            engine_remove_folder(self->path);
    }
    engine_free(self);
    return result;
}

int engine_release(engine *self)
{
    lock_take(&registry_lock);
    int result = release_locked(self);
    lock_release(&registry_lock);
    return result;
}

void engine_retain(engine *self)
{
    lock_take(&registry_lock);
    self->references++;
    lock_release(&registry_lock);
}

static int replace_locked(engine *_Atomic *handle)
{
    engine *old = atomic_load(handle), *fresh = NULL;
    if (!atomic_load(&old->abandoned))
        return MLKV_OK; /* another thread was first */
    engine_options options = old->options;
    options.create = false; /* it was there when the parent opened it */
    int result = acquire_locked(old->path, &options, &fresh);
    if (result != MLKV_OK)
        return result;
    if (fresh->options.in_memory)
        fresh->creator = old->creator;
    atomic_store(handle, fresh);
    return release_locked(old);
}

int engine_replace(engine *_Atomic *handle, engine **ret_engine)
{
    lock_take(&registry_lock);
    int result = replace_locked(handle);
    *ret_engine = atomic_load(handle);
    lock_release(&registry_lock);
    return result;
}
