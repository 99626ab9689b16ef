/* recorder.c - stands between a program and the system and notes what is done to the files of one
 * folder.
 *
 * It defines open, close, write, writev, pwrite, fsync, fdatasync, ftruncate, fallocate (holes are
 * writes of zeros), posix_fallocate, rename, unlink and msync; the program that is linked with it, and the shared libraries below it
 * (LMDB), call these instead of the C library's, and they go on by system call. LMDB's pages come
 * by pwrite and by lseek and writev, its meta page by pwrite through a descriptor with O_DSYNC;
 * journal.log comes by pwrite with O_DIRECT | O_DSYNC.
 *
 * The mapped files, journal.head and journal.ring, change by plain stores. They are mapped here
 * too, and looked through for changed sectors at each fault point (fault_observe), at each recorded
 * call and at the workload's marks; each new version of a sector is noted. One fsync of such a file
 * is seen as of what was sampled just before it. An msync earns nothing: nobody calls it, and a
 * disk that has ignored it is a legal one.
 *
 * State of this process: descriptors (file number, whether O_DSYNC), the watched files with the
 * content last seen. Only where off_t has 64 bits either way, so that open and open64 are one.
 * Lock: `watch_lock` guards the watched files; nothing else is taken inside it.
 */
#undef _FILE_OFFSET_BITS /* the plain names here, and the others as aliases: this program's parts \
                            call open64, LMDB calls open */
#include "recorder.h"

#include "base/fault.h"
#include "recording.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define INTERPOSED __attribute__((visibility("default")))

enum { DESCRIPTORS_MAX = 4096, WATCHED_MAX = 256, FOLDER_NUMBER = UINT16_MAX };

typedef struct {
    uint16_t file; /* 0: not one of ours */
    bool dsync;
} descriptor;

typedef struct {
    uint32_t file;
    size_t size;
    const unsigned char *live; /* the shared mapping */
    unsigned char *seen;
} watched_file;

static recording *record;
static char folder_path[512];
static descriptor descriptors[DESCRIPTORS_MAX];
static watched_file watched[WATCHED_MAX];
static size_t watched_count;
static int64_t writes_left = INT64_MAX; /* O_DSYNC ones, before this process dies in one */
static bool only_small_writes;
static pthread_mutex_t watch_lock = PTHREAD_MUTEX_INITIALIZER;

/* --- mapped files --- */

static void sample_file(watched_file *at, bool all)
{
    for (size_t offset = 0; offset + SECTOR_SIZE <= at->size; offset += SECTOR_SIZE) {
        unsigned char *seen = at->seen + offset;
        if (!all && memcmp(seen, at->live + offset, SECTOR_SIZE) == 0)
            continue;
        memcpy(seen, at->live + offset, SECTOR_SIZE);
        (void)recording_add(
            record,
            (event){.kind = EVENT_SAMPLE, .file = at->file, .offset = offset, .size = SECTOR_SIZE},
            seen);
    }
}

static void sample_all(void)
{
    if (record == NULL)
        return;
    (void)pthread_mutex_lock(&watch_lock);
    for (size_t i = 0; i < watched_count; i++)
        sample_file(&watched[i], false);
    (void)pthread_mutex_unlock(&watch_lock);
}

static void observe(fault_point point)
{
    (void)point;
    sample_all();
}

static bool is_watched(uint32_t file)
{
    for (size_t i = 0; i < watched_count; i++)
        if (watched[i].file == file)
            return true;
    return false;
}

/* Maps a file that has its size, unless that is done, and notes all of it. */
static void watch(int fd, uint32_t file)
{
    struct stat status;
    if (fstat(fd, &status) != 0 || status.st_size == 0)
        return;
    (void)pthread_mutex_lock(&watch_lock);
    if (!is_watched(file)) {
        size_t size = (size_t)status.st_size;
        void *live = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
        unsigned char *seen = malloc(size);
        if (watched_count == WATCHED_MAX || live == MAP_FAILED || seen == NULL)
            abort();
        watched[watched_count] =
            (watched_file){.file = file, .size = size, .live = live, .seen = seen};
        sample_file(&watched[watched_count], true);
        watched_count++;
    }
    (void)pthread_mutex_unlock(&watch_lock);
}

static bool is_mapped_by_name(const char *name)
{
    return strncmp(name, "journal.head", 12) == 0 || strncmp(name, "journal.ring", 12) == 0;
}

/* --- paths and descriptors --- */

/* The name inside the folder that a path means, or NULL. */
static const char *name_of(const char *path)
{
    size_t length = strlen(folder_path);
    if (record == NULL || strncmp(path, folder_path, length) != 0 || path[length] != '/')
        return NULL;
    const char *name = path + length;
    while (*name == '/')
        name++;
    return *name != '\0' && strchr(name, '/') == NULL && recording_follows(name) ? name : NULL;
}

static descriptor *find(int fd)
{
    bool ours = record != NULL && fd >= 0 && fd < DESCRIPTORS_MAX && descriptors[fd].file != 0;
    return ours ? &descriptors[fd] : NULL;
}

static uint32_t note(const descriptor *of, event_kind kind, uint64_t number)
{
    return recording_add(record, (event){.kind = kind, .file = of->file, .number = number}, NULL);
}

static int finish(uint32_t begun, long result)
{
    if (result >= 0)
        recording_end(record, begun);
    sample_all();
    return (int)result;
}

static void note_open(const char *name, int fd, int flags, bool existed)
{
    int index = recording_find_name(record, name);
    uint32_t file = existed && index >= 0 ? recording_bound(record, (unsigned)index) : FILE_NONE;
    if (file == FILE_NONE) {
        file = recording_new_file(record);
        recording_bind(record, name, file);
    }
    if (fd >= DESCRIPTORS_MAX || file >= FOLDER_NUMBER)
        abort();
    descriptors[fd] = (descriptor){.file = (uint16_t)file, .dsync = (flags & O_DSYNC) != 0};
    if (existed && (flags & O_TRUNC) != 0)
        recording_end(record, note(&descriptors[fd], EVENT_SIZE, 0));
    if (is_mapped_by_name(name))
        watch(fd, file);
}

/* --- the calls --- */

INTERPOSED int open(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;
    va_end(more);
    const char *name = name_of(path);
    struct stat status;
    bool existed = name == NULL || lstat(path, &status) == 0;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    if (fd >= 0 && name != NULL)
        note_open(name, fd, flags, existed);
    else if (fd >= 0 && record != NULL && fd < DESCRIPTORS_MAX && strcmp(path, folder_path) == 0)
        descriptors[fd] = (descriptor){.file = FOLDER_NUMBER};
    return fd;
}

INTERPOSED int close(int fd)
{
    if (find(fd) != NULL)
        descriptors[fd] = (descriptor){0};
    return (int)syscall(SYS_close, fd);
}

static uint32_t note_write(const descriptor *of, const void *data, size_t size, off_t offset)
{
    sample_all();
    event what = {.kind = EVENT_WRITE,
                  .file = of->file,
                  .size = (uint32_t)size,
                  .offset = (uint64_t)offset,
                  .dsync = of->dsync};
    return recording_add(record, what, data);
}

/* What a write leaves whose process is killed while it waits for the disk. */
static void die_in_write(int fd, const void *data, size_t size, off_t offset)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int plain = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CLOEXEC);
    (void)note_write(&descriptors[fd], data, size, offset);
    (void)syscall(SYS_pwrite64, plain, data, size, offset);
    (void)kill(getpid(), SIGKILL);
    for (;;)
        (void)pause();
}

INTERPOSED ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    descriptor *of = find(fd);
    if (of == NULL)
        return syscall(SYS_pwrite64, fd, data, size, offset);
    bool counts = of->dsync && (!only_small_writes || size < SECTOR_SIZE);
    if (counts && __atomic_sub_fetch(&writes_left, 1, __ATOMIC_RELAXED) == 0)
        die_in_write(fd, data, size, offset);
    uint32_t begun = note_write(of, data, size, offset);
    long result = syscall(SYS_pwrite64, fd, data, size, offset);
    (void)finish(begun, result == (long)size ? 0 : -1); /* a short write may have left anything */
    return result;
}

INTERPOSED ssize_t write(int fd, const void *data, size_t size)
{
    descriptor *of = find(fd);
    if (of == NULL)
        return syscall(SYS_write, fd, data, size);
    uint32_t begun = note_write(of, data, size, (off_t)syscall(SYS_lseek, fd, 0, SEEK_CUR));
    long result = syscall(SYS_write, fd, data, size);
    (void)finish(begun, result == (long)size ? 0 : -1);
    return result;
}

INTERPOSED ssize_t writev(int fd, const struct iovec *parts, int count)
{
    descriptor *of = find(fd);
    if (of == NULL)
        return syscall(SYS_writev, fd, parts, count);
    uint32_t begun[1024]; /* IOV_MAX */
    off_t at = (off_t)syscall(SYS_lseek, fd, 0, SEEK_CUR), start = at;
    for (int i = 0; i < count && i < 1024; i++) {
        begun[i] = note_write(of, parts[i].iov_base, parts[i].iov_len, at);
        at += (off_t)parts[i].iov_len;
    }
    long result = syscall(SYS_writev, fd, parts, count);
    for (int i = 0; i < count && i < 1024 && result == at - start; i++)
        recording_end(record, begun[i]);
    return result;
}

static int sync_file(int fd, long call)
{
    descriptor *of = find(fd);
    if (of == NULL)
        return (int)syscall(call, fd);
    sample_all();
    descriptor folder = {.file = 0};
    uint32_t begun =
        of->file == FOLDER_NUMBER ? note(&folder, EVENT_SYNC_FOLDER, 0) : note(of, EVENT_SYNC, 0);
    return finish(begun, syscall(call, fd));
}

INTERPOSED int fsync(int fd)
{
    return sync_file(fd, SYS_fsync);
}

INTERPOSED int fdatasync(int fd)
{
    return sync_file(fd, SYS_fdatasync);
}

INTERPOSED int msync(void *from, size_t size, int flags)
{
    return (int)syscall(SYS_msync, from, size, flags);
}

/* The name whose file this is, for the files that are mapped once they have a size. */
static void watch_if_mapped(int fd, uint32_t file)
{
    for (unsigned i = 0; i < recording_name_count(record); i++)
        if (recording_bound(record, i) == file && is_mapped_by_name(recording_name(record, i)))
            watch(fd, file);
}

INTERPOSED int ftruncate(int fd, off_t size)
{
    descriptor *of = find(fd);
    if (of == NULL)
        return (int)syscall(SYS_ftruncate, fd, size);
    uint32_t begun = note(of, EVENT_SIZE, (uint64_t)size);
    int result = finish(begun, syscall(SYS_ftruncate, fd, size));
    if (result == 0)
        watch_if_mapped(fd, of->file);
    return result;
}

INTERPOSED int posix_fallocate(int fd, off_t offset, off_t size)
{
    struct stat status;
    descriptor *of = find(fd);
    bool grows = of != NULL && fstat(fd, &status) == 0 && offset + size > status.st_size;
    uint32_t begun = grows ? note(of, EVENT_SIZE, (uint64_t)(offset + size)) : 0;
    int error = syscall(SYS_fallocate, fd, 0, offset, size) == 0 ? 0 : errno;
    if (grows)
        (void)finish(begun, error == 0 ? 0 : -1);
    return error;
}

/* A hole is zeros that are written, whose sectors reach the disk when they like; what only reserves
 * room changes nothing that is read. */
INTERPOSED int fallocate(int fd, int mode, off_t offset, off_t size)
{
    enum { PART = 1 << 16, PARTS_MAX = 1024 };
    static const unsigned char zeros[PART];
    uint32_t begun[PARTS_MAX];
    unsigned parts = 0;
    descriptor *of = find(fd);
    for (off_t done = 0; of != NULL && (mode & FALLOC_FL_PUNCH_HOLE) != 0 && done < size;
         done += PART) {
        off_t left = size - done;
        if (parts == PARTS_MAX)
            abort(); /* the workload's files are small */
        begun[parts++] = note_write(of, zeros, (size_t)(left < PART ? left : PART), offset + done);
    }
    long result = syscall(SYS_fallocate, fd, mode, offset, size);
    for (unsigned i = 0; i < parts && result == 0; i++)
        recording_end(record, begun[i]);
    sample_all();
    return (int)result;
}

INTERPOSED int rename(const char *from, const char *to)
{
    const char *name = name_of(from), *new_name = name_of(to);
    int result = (int)syscall(SYS_rename, from, to);
    int index =
        result == 0 && name != NULL && new_name != NULL ? recording_find_name(record, name) : -1;
    if (index >= 0) {
        recording_bind(record, new_name, recording_bound(record, (unsigned)index));
        recording_bind(record, name, FILE_NONE);
    }
    return result;
}

INTERPOSED int unlink(const char *path)
{
    const char *name = name_of(path);
    int result = (int)syscall(SYS_unlink, path);
    if (result == 0 && name != NULL)
        recording_bind(record, name, FILE_NONE);
    return result;
}

_Static_assert(sizeof(off_t) == 8, "pwrite and pwrite64 are one");
INTERPOSED int open64(const char *path, int flags, ...) __attribute__((alias("open")));
INTERPOSED ssize_t pwrite64(int fd, const void *data, size_t size, off_t offset)
    __attribute__((alias("pwrite")));
INTERPOSED int ftruncate64(int fd, off_t size) __attribute__((alias("ftruncate")));
INTERPOSED int fallocate64(int fd, int mode, off_t offset, off_t size)
    __attribute__((alias("fallocate")));
INTERPOSED int posix_fallocate64(int fd, off_t offset, off_t size)
    __attribute__((alias("posix_fallocate")));

/* --- the program's side --- */

int recorder_start(const char *folder, const char *log_path)
{
    if (strlen(folder) >= sizeof folder_path)
        return -1;
    recording *made = recording_open(log_path);
    if (made == NULL)
        return -1;
    memcpy(folder_path, folder, strlen(folder) + 1);
    record = made;
    fault_observe(observe);
    return 0;
}

void recorder_die_in_write(uint64_t n, bool small)
{
    only_small_writes = small;
    __atomic_store_n(&writes_left, (int64_t)n, __ATOMIC_RELAXED);
}

static void mark(event_kind kind, uint64_t step)
{
    sample_all();
    (void)recording_add(record, (event){.kind = kind, .number = step}, NULL);
}

void recorder_begun(uint64_t step)
{
    mark(EVENT_BEGUN, step);
}

void recorder_durable(uint64_t step)
{
    mark(EVENT_DURABLE, step);
}

void recorder_started(uint64_t starts)
{
    mark(EVENT_STARTED, starts);
}
