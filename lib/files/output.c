/* output.c - a new file that appears in the place of another one when it is whole and on the disk, or not at all.
 *
 * States:
 *   without a name   made by O_TMPFILE: the kernel removes it if the process dies; linked to the hidden name right before the end
 *   hidden           .NAME.XXXXXXXXXXXXXXXX in the same folder, where the file system has no files without a name, or /proc is missing
 *   published        renamed to its own name, the folder synced
 *
 * Invariants:
 *  1. What stands at path is the old file or the new one, whole; the new one was synced before it was named.
 *  2. After a failure neither the hidden name nor the descriptor is left.
 *
 * The folder is opened once, so a folder that is renamed meanwhile is no problem. A file system whose folders cannot be synced
 * (EINVAL) is accepted. Locks: none.
 */
#include "files/files.h"

#include "base/error.h"
#include "base/fault.h"
#include "base/random.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    MODE = 0666, /* less the umask, as with any new file */
    NAME_KEPT_MAX =
        200, /* of the name in the hidden one, so that it is not too long for a name itself */
    HIDDEN_SIZE = 200 + 20, /* ".", name, ".", 16 digits, 0 */
    WRITE_BYTES_MAX = 1 << 30,
    PROC_SIZE = 40,
};

static int fail(const file_output *self, const char *doing)
{
    return error_set_system(errno, "%s %.300s", doing, self->path);
}

/* Opens the folder that the path is in, and finds the name. */
static int open_folder(file_output *self)
{
    const char *slash = strrchr(self->path, '/');
    self->name = slash == NULL ? self->path : slash + 1;
    if (*self->name == '\0')
        return error_set(MLKV_E_ARGUMENT, "the path '%.300s' names no file", self->path);
    size_t size = slash == NULL ? 1 : (size_t)(slash - self->path) + 1;
    char *folder = malloc(size + 1);
    if (folder == NULL)
        return error_set_memory("a path");
    memcpy(folder, slash == NULL ? "." : self->path, size);
    folder[size] = '\0';
    do
        self->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (self->folder < 0 && errno == EINTR);
    free(folder);
    return self->folder < 0 ? fail(self, "opening the folder of") : MLKV_OK;
}

static int choose_hidden_name(file_output *self)
{
    uint64_t number;
    int result = random_system(&number, sizeof number);
    if (result != MLKV_OK)
        return result;
    self->hidden = malloc(HIDDEN_SIZE);
    if (self->hidden == NULL)
        return error_set_memory("a path");
    (void)snprintf(self->hidden, HIDDEN_SIZE, ".%.*s.%016llx", NAME_KEPT_MAX, self->name,
                   (unsigned long long)number);
    return MLKV_OK;
}

static void proc_name(const file_output *self, char ret_name[PROC_SIZE])
{
    (void)snprintf(ret_name, PROC_SIZE, "/proc/self/fd/%d", self->fd);
}

int output_open(const char *path, file_output *ret_output)
{
    file_output *self = ret_output;
    char proc[PROC_SIZE];
    *self = (file_output){.fd = -1, .folder = -1, .path = path};
    int result = open_folder(self);
    if (result == MLKV_OK)
        result = choose_hidden_name(self);
    if (result != MLKV_OK)
        return result;
    do
        self->fd = openat(self->folder, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, MODE);
    while (self->fd < 0 && errno == EINTR);
    if (self->fd >= 0) {
        proc_name(self, proc);
        if (access(proc, F_OK) == 0)
            return MLKV_OK;
        (void)close(self->fd); /* no /proc: it could never be given a name */
    }
    do
        self->fd =
            openat(self->folder, self->hidden, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, MODE);
    while (self->fd < 0 && errno == EINTR);
    if (self->fd < 0)
        return fail(self, "writing");
    self->named = true;
    return MLKV_OK;
}

int output_write(file_output *self, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    size_t done = 0;
    while (done < size) {
        size_t wanted = size - done < WRITE_BYTES_MAX ? size - done : WRITE_BYTES_MAX;
        ssize_t put = write(self->fd, bytes + done, wanted);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return put < 0 ? fail(self, "writing")
                           : error_set(MLKV_E_IO, "writing %.300s: nothing was taken", self->path);
        done += (size_t)put;
    }
    return MLKV_OK;
}

static int sync_file(const file_output *self, int fd)
{
    int result;
    do
        result = fsync(fd);
    while (result != 0 && errno == EINTR);
    if (result != 0 && (fd != self->folder || (errno != EINVAL && errno != ENOTSUP)))
        return fail(self, "syncing");
    return MLKV_OK;
}

int output_publish(file_output *self)
{
    char proc[PROC_SIZE];
    int result = sync_file(self, self->fd);
    if (result != MLKV_OK)
        return result;
    WATCH_POINT(FILE_WRITTEN);
    proc_name(self, proc);
    if (!self->named && linkat(AT_FDCWD, proc, self->folder, self->hidden, AT_SYMLINK_FOLLOW) != 0)
        return fail(self, "naming");
    self->named = true;
    if (renameat(self->folder, self->hidden, self->folder, self->name) != 0)
        return fail(self, "naming");
    self->named = false;
    return sync_file(self, self->folder);
}

void output_close(file_output *self)
{
    if (self->named)
        (void)unlinkat(self->folder, self->hidden, 0);
    if (self->fd >= 0)
        (void)close(self->fd);
    if (self->folder >= 0)
        (void)close(self->folder);
    free(self->hidden);
    *self = (file_output){.fd = -1, .folder = -1};
}
