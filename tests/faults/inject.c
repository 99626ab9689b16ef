/* inject.c - see inject.h.
 *
 * Allocation goes on to glibc's own functions under their internal names, which need no look-up
 * (dlsym itself allocates); the rest is looked up behind this program (RTLD_NEXT) before main.
 *
 * State: one plan, read by all threads while they run. It is replaced only by the test's main
 * thread, which stores `kinds` last when it arms and first when it disarms; other threads may see a
 * call or two late, which tests of background threads must expect anyway.
 *
 * Invariants:
 *  1. Without a plan every call goes through unchanged.
 *  2. A call that fails has done nothing; a write that is cut has written what it says.
 *  3. Nothing here allocates or takes a lock.
 */
#undef _FILE_OFFSET_BITS /* or the names below were those of the 64-bit variants */
#include "inject.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PATH_SIZE = 600, BLOCK_SIZE = 4096, CAPTION_SIZE = 200, IOV_MAX_CUT = 64 };

static _Atomic unsigned kinds;
static inject_plan plan;
static atomic_uint_fast64_t calls, hits;
static _Atomic int64_t alive;
static char folder[PATH_SIZE];
static size_t folder_size;
static char caption[CAPTION_SIZE];
static _Thread_local bool arming_thread;

/* --- the plan --- */

void inject_watch(const char *path)
{
    char *absolute = realpath(path, NULL);
    snprintf(folder, sizeof folder, "%s", absolute != NULL ? absolute : path);
    folder_size = strlen(folder);
    free(absolute);
}

void inject_arm(const inject_plan *new_plan)
{
    atomic_store(&kinds, 0);
    plan = *new_plan;
    atomic_store(&calls, 0);
    atomic_store(&hits, 0);
    arming_thread = true;
    atomic_store(&kinds, plan.kinds);
}

uint64_t inject_disarm(void)
{
    atomic_store(&kinds, 0);
    return atomic_load(&calls);
}

uint64_t inject_hits(void)
{
    return atomic_load(&hits);
}

int64_t inject_alive(void)
{
    return atomic_load(&alive);
}

/* Whether this call of a kind that counts is one that the plan names. */
static bool strikes(inject_kind kind)
{
    if ((atomic_load_explicit(&kinds, memory_order_acquire) & kind) == 0)
        return false;
    if (plan.this_thread && !arming_thread)
        return false;
    uint64_t number = atomic_fetch_add(&calls, 1) + 1;
    if (plan.nth == 0 || number < plan.nth || number - plan.nth >= plan.times)
        return false;
    atomic_fetch_add(&hits, 1);
    return true;
}

/* The same where only an errno makes sense. */
static bool fails(inject_kind kind)
{
    if (!strikes(kind) || plan.error == 0)
        return false;
    errno = plan.error;
    return true;
}

static bool is_below(const char *path)
{
    return folder_size != 0 && strncmp(path, folder, folder_size) == 0;
}

static bool watched(inject_kind kind, int fd)
{
    char name[64], path[PATH_SIZE];
    if ((atomic_load_explicit(&kinds, memory_order_relaxed) & kind) == 0)
        return false;
    int error = errno;
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(name, path, sizeof path - 1);
    errno = error;
    if (size <= 0)
        return false;
    path[size] = '\0';
    return is_below(path);
}

/* --- dying with a caption --- */

static void die(int number)
{
    ssize_t ignored = write(STDERR_FILENO, caption, strlen(caption));
    (void)ignored;
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

void inject_caption(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(caption, sizeof caption - 1, format, arguments);
    va_end(arguments);
    if (size > 0)
        snprintf(caption + strlen(caption), 2, "\n");
    (void)signal(SIGSEGV, die);
    (void)signal(SIGBUS, die);
    (void)signal(SIGABRT, die);
}

/* --- memory --- */

/* The shared libraries must find what follows. */
#pragma GCC visibility push(default)

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

static void *count(void *memory)
{
    if (memory != NULL)
        atomic_fetch_add_explicit(&alive, 1, memory_order_relaxed);
    return memory;
}

void *malloc(size_t size)
{
    return fails(INJECT_ALLOCATION) ? NULL : count(__libc_malloc(size));
}

void *calloc(size_t number, size_t size)
{
    return fails(INJECT_ALLOCATION) ? NULL : count(__libc_calloc(number, size));
}

void *realloc(void *memory, size_t size)
{
    if (memory != NULL && size == 0) {
        free(memory);
        return NULL;
    }
    if (fails(INJECT_ALLOCATION))
        return NULL;
    void *moved = __libc_realloc(memory, size);
    return memory == NULL ? count(moved) : moved;
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return fails(INJECT_ALLOCATION) ? NULL : count(__libc_memalign(alignment, size));
}

int posix_memalign(void **ret_memory, size_t alignment, size_t size)
{
    if (fails(INJECT_ALLOCATION))
        return plan.error;
    void *memory = count(__libc_memalign(alignment, size));
    if (memory == NULL)
        return ENOMEM;
    *ret_memory = memory;
    return 0;
}

void free(void *memory)
{
    if (memory != NULL)
        atomic_fetch_sub_explicit(&alive, 1, memory_order_relaxed);
    __libc_free(memory);
}

/* --- the system --- */

/* The function behind this program's own of the same name. */
#define NEXT(name)                                                  \
    static __typeof__(&name) next_##name;                           \
    __attribute__((constructor(101))) static void find_##name(void) \
    {                                                               \
        void *found = dlsym(RTLD_NEXT, #name);                      \
        memcpy(&next_##name, &found, sizeof found);                 \
    }

NEXT(open)
NEXT(open64)
NEXT(openat)
NEXT(openat64)
NEXT(mkdir)
NEXT(write)
NEXT(writev)
NEXT(pwrite)
NEXT(pwrite64)
NEXT(pwritev)
NEXT(pwritev64)
NEXT(fsync)
NEXT(fdatasync)
NEXT(msync)
NEXT(ftruncate)
NEXT(ftruncate64)
NEXT(fallocate)
NEXT(fallocate64)
NEXT(posix_fallocate)
NEXT(posix_fallocate64)
NEXT(mmap)
NEXT(mmap64)
NEXT(rename)
NEXT(renameat)
NEXT(linkat)
NEXT(read)
NEXT(pread)
NEXT(pread64)

#define OPEN(name)                                                                            \
    int name(const char *path, int flags, ...)                                                \
    {                                                                                         \
        va_list arguments;                                                                    \
        va_start(arguments, flags);                                                           \
        mode_t mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0; \
        va_end(arguments);                                                                    \
        if (is_below(path) && fails(INJECT_OPEN))                                             \
            return -1;                                                                        \
        return next_##name(path, flags, mode);                                                \
    }

OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                          \
    int name(int folder_fd, const char *path, int flags, ...)                                 \
    {                                                                                         \
        va_list arguments;                                                                    \
        va_start(arguments, flags);                                                           \
        mode_t mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0; \
        va_end(arguments);                                                                    \
        if (watched(INJECT_OPEN, folder_fd) && fails(INJECT_OPEN))                            \
            return -1;                                                                        \
        return next_##name(folder_fd, path, flags, mode);                                     \
    }

OPENAT(openat)
OPENAT(openat64)

int mkdir(const char *path, mode_t mode)
{
    if (is_below(path) && fails(INJECT_OPEN))
        return -1;
    return next_mkdir(path, mode);
}

int rename(const char *from, const char *to)
{
    if (is_below(from) && fails(INJECT_NAME))
        return -1;
    return next_rename(from, to);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    if (watched(INJECT_NAME, from_fd) && fails(INJECT_NAME))
        return -1;
    return next_renameat(from_fd, from, to_fd, to);
}

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
    if (watched(INJECT_NAME, from_fd) && fails(INJECT_NAME))
        return -1;
    return next_linkat(from_fd, from, to_fd, to, flags);
}

typedef enum { GO_ON, CUT, FAIL } decision;

/* What is to happen to a write of this size. */
static decision decide(int fd, size_t size, size_t *ret_size)
{
    *ret_size = size;
    if (!watched(INJECT_WRITE, fd) || !strikes(INJECT_WRITE))
        return GO_ON;
    errno = plan.error;
    if (plan.error != 0)
        return FAIL;
    if (size > BLOCK_SIZE) /* whole blocks, as the kernel does with O_DIRECT */
        *ret_size = (size / 2 + BLOCK_SIZE - 1) / BLOCK_SIZE * BLOCK_SIZE;
    else if ((fcntl(fd, F_GETFL) & O_DIRECT) == 0)
        *ret_size = size / 2;
    return CUT;
}

ssize_t write(int fd, const void *data, size_t size)
{
    size_t allowed;
    return decide(fd, size, &allowed) == FAIL ? -1 : next_write(fd, data, allowed);
}

#define PWRITE(name, offset_type)                                                                \
    ssize_t name(int fd, const void *data, size_t size, offset_type offset)                      \
    {                                                                                            \
        size_t allowed;                                                                          \
        return decide(fd, size, &allowed) == FAIL ? -1 : next_##name(fd, data, allowed, offset); \
    }

PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

static size_t total(const struct iovec *parts, int n)
{
    size_t size = 0;
    for (int i = 0; i < n; i++)
        size += parts[i].iov_len;
    return size;
}

/* The first `size` bytes of the parts. Returns how many parts they take. */
static int cut(const struct iovec *parts, int n, size_t size, struct iovec ret_parts[IOV_MAX_CUT])
{
    int used = 0;
    while (used < n && used < IOV_MAX_CUT && size != 0) {
        size_t part = parts[used].iov_len < size ? parts[used].iov_len : size;
        ret_parts[used] = (struct iovec){parts[used].iov_base, part};
        size -= part;
        used++;
    }
    return used;
}

ssize_t writev(int fd, const struct iovec *parts, int n)
{
    size_t allowed;
    struct iovec first[IOV_MAX_CUT];
    decision what = decide(fd, total(parts, n), &allowed);
    if (what == FAIL)
        return -1;
    return what == CUT ? next_writev(fd, first, cut(parts, n, allowed, first))
                       : next_writev(fd, parts, n);
}

#define PWRITEV(name, offset_type)                                                         \
    ssize_t name(int fd, const struct iovec *parts, int n, offset_type offset)             \
    {                                                                                      \
        size_t allowed;                                                                    \
        struct iovec first[IOV_MAX_CUT];                                                   \
        decision what = decide(fd, total(parts, n), &allowed);                             \
        if (what == FAIL)                                                                  \
            return -1;                                                                     \
        return what == CUT ? next_##name(fd, first, cut(parts, n, allowed, first), offset) \
                           : next_##name(fd, parts, n, offset);                            \
    }

PWRITEV(pwritev, off_t)
PWRITEV(pwritev64, off64_t)

int fsync(int fd)
{
    return watched(INJECT_SYNC, fd) && fails(INJECT_SYNC) ? -1 : next_fsync(fd);
}

int fdatasync(int fd)
{
    return watched(INJECT_SYNC, fd) && fails(INJECT_SYNC) ? -1 : next_fdatasync(fd);
}

int msync(void *memory, size_t size, int flags)
{
    return fails(INJECT_SYNC) ? -1 : next_msync(memory, size, flags);
}

#define FTRUNCATE(name, offset_type)                                                        \
    int name(int fd, offset_type size)                                                      \
    {                                                                                       \
        return watched(INJECT_SIZE, fd) && fails(INJECT_SIZE) ? -1 : next_##name(fd, size); \
    }

FTRUNCATE(ftruncate, off_t)
FTRUNCATE(ftruncate64, off64_t)

#define FALLOCATE(name, offset_type)                                 \
    int name(int fd, int mode, offset_type offset, offset_type size) \
    {                                                                \
        return watched(INJECT_SIZE, fd) && fails(INJECT_SIZE)        \
                   ? -1                                              \
                   : next_##name(fd, mode, offset, size);            \
    }

FALLOCATE(fallocate, off_t)
FALLOCATE(fallocate64, off64_t)

/* This one returns the error. */
#define POSIX_FALLOCATE(name, offset_type)                                                     \
    int name(int fd, offset_type offset, offset_type size)                                     \
    {                                                                                          \
        return watched(INJECT_SIZE, fd) && fails(INJECT_SIZE) ? plan.error                     \
                                                              : next_##name(fd, offset, size); \
    }

POSIX_FALLOCATE(posix_fallocate, off_t)
POSIX_FALLOCATE(posix_fallocate64, off64_t)

#define MMAP(name, offset_type)                                                              \
    void *name(void *at, size_t size, int protection, int flags, int fd, offset_type offset) \
    {                                                                                        \
        if ((fd < 0 || watched(INJECT_MAP, fd)) && fails(INJECT_MAP))                        \
            return MAP_FAILED;                                                               \
        return next_##name(at, size, protection, flags, fd, offset);                         \
    }

MMAP(mmap, off_t)
MMAP(mmap64, off64_t)

ssize_t read(int fd, void *to, size_t size)
{
    return watched(INJECT_READ, fd) && fails(INJECT_READ) ? -1 : next_read(fd, to, size);
}

#define PREAD(name, offset_type)                                                                   \
    ssize_t name(int fd, void *to, size_t size, offset_type offset)                                \
    {                                                                                              \
        return watched(INJECT_READ, fd) && fails(INJECT_READ) ? -1                                 \
                                                              : next_##name(fd, to, size, offset); \
    }

PREAD(pread, off_t)
PREAD(pread64, off64_t)

#pragma GCC visibility pop
