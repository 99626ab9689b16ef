/* input.c - a file of somebody else's, read by pread: a mapping of it would end the process by a signal if somebody cut it.
 *
 * State: a descriptor, and the file's size and time of change when it was opened.
 *
 * Invariants:
 *  1. It is a regular file; a pipe is not waited for.
 *  2. input_read gives all bytes or fails; interrupted and short reads go on.
 *
 * Locks: none.
 */
#include "files/files.h"

#include "base/error.h"
#include "base/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_BYTES_MAX = 1 << 30 }; /* Linux reads at most 2 GiB at once */

int input_open(const char *path, file_input *ret_input)
{
    struct stat status;
    int fd;
    do
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return error_set_system(errno, "%.300s", path);
    int result = MLKV_OK;
    if (fstat(fd, &status) != 0)
        result = error_set_system(errno, "%.300s", path);
    else if (!S_ISREG(status.st_mode))
        result = error_set(MLKV_E_FORMAT, "%.300s: is not a regular file", path);
    if (result != MLKV_OK) {
        (void)close(fd);
        return result;
    }
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* only a hint */
    *ret_input = (file_input){fd, path, (uint64_t)status.st_size, status.st_mtim};
    return MLKV_OK;
}

void input_close(file_input *self)
{
    if (self->fd >= 0)
        (void)close(self->fd);
    self->fd = -1;
}

int input_read(const file_input *self, uint64_t offset, size_t size, void *to)
{
    unsigned char *bytes = to;
    size_t done = 0;
    while (done < size) {
        size_t wanted = size - done < READ_BYTES_MAX ? size - done : READ_BYTES_MAX;
        ssize_t got = pread(self->fd, bytes + done, wanted, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set_system(errno, "reading %.300s at byte %llu", self->path,
                                    (unsigned long long)(offset + done));
        if (got == 0)
            return error_set(MLKV_E_IO, "%.300s ends at byte %llu, while it was read", self->path,
                             (unsigned long long)(offset + done));
        done += (size_t)got;
    }
    WATCH_POINT(FILE_READ);
    return MLKV_OK;
}

int input_check_unchanged(const file_input *self)
{
    struct stat status;
    if (fstat(self->fd, &status) != 0)
        return error_set_system(errno, "%.300s", self->path);
    if ((uint64_t)status.st_size != self->size || status.st_mtim.tv_sec != self->changed.tv_sec ||
        status.st_mtim.tv_nsec != self->changed.tv_nsec)
        return error_set(MLKV_E_IO, "%.300s was changed while it was read; nothing was imported",
                         self->path);
    return MLKV_OK;
}

int input_check_truths(const file_input *self, uint64_t offset, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    unsigned char all = 0;
    for (size_t i = 0; i < size; i++)
        all |= bytes[i];
    if (all <= 1)
        return MLKV_OK;
    size_t i = 0;
    while (bytes[i] <= 1)
        i++;
    return error_set(MLKV_E_FORMAT, "%.300s: the element at byte %llu is bool, and is %d",
                     self->path, (unsigned long long)(offset + i), bytes[i]);
}
