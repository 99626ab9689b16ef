/* files.c - the journal's files: making them, mapping them, refusing those that do not fit.
 *
 * journal.head, journal.ring and journal.log (journal.h says what for, frame.h has the bytes). A
 * file is made as NAME.tmp, given its full size with all its blocks (a disk that is full is found
 * here, not as a SIGBUS later), written, fsynced and renamed; then the folder is fsynced. So under
 * its own name a file is whole, whenever the machine stops. A ring and a log of the right size are
 * kept: their frames are of an older generation, which every reader refuses. The head is made last
 * and always anew.
 *
 * Invariants:
 *  1. Only the opener that is alone in the store creates (I7).
 *  2. The constant part of the head is followed by its checksum; nothing is believed before.
 *  3. A ring is mapped only if its size is what the head says, twice in a row, so that whatever
 *     begins in the first half can be read on without a wrap.
 *  4. A read-only process may have the old head mapped, and the ring that is kept. Before a new
 * head takes its name, the old one is retired: its `reserved` goes above everything, so that such a
 *     reader finds all ring bytes overtaken (R4), and LMDB, which holds them all, answers it.
 *  5. The log's record of where it was written before (zero_start, zeroed) is carried into a new
 *     head only with the log itself. It is about speed: a wrong value loses nothing.
 *
 * No locks: opening and closing are the engine's to order.
 */
#include "base/bytes.h"
#include "base/error.h"
#include "base/fault.h"
#include "journal/frame.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#define HEAD_NAME "journal.head"
#define RING_NAME "journal.ring"
#define LOG_NAME  "journal.log"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14; an older one refuses it, which does no harm */
#endif

enum { PATH_SIZE = 4096 }; /* PATH_MAX */

/* --- small things over files --- */

static int make_path(char path[PATH_SIZE], const char *folder, const char *name, const char *suffix)
{
    int length = snprintf(path, PATH_SIZE, "%s/%s%s", folder, name, suffix);
    if (length > 0 && length < PATH_SIZE)
        return 0;
    errno = ENAMETOOLONG;
    return -1;
}

int journal_open_file(const char *folder, const char *name, int flags)
{
    char path[PATH_SIZE];
    if (make_path(path, folder, name, "") != 0)
        return -1;
    int fd;
    do
        fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
    while (fd < 0 && errno == EINTR);
    return fd;
}

static void close_file(int fd)
{
    if (fd >= 0)
        (void)close(fd);
}

/* Gives a file its size and all its blocks. 0 or an errno. */
static int allocate(int fd, uint64_t size)
{
    /* beyond this limit the kernel would not only refuse, but send SIGXFSZ */
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        size > limit.rlim_cur)
        return EFBIG;
    /* asked first, because posix_fallocate takes all that is left before it says that it is too
     * little: meanwhile everybody else's disk is full */
    struct statvfs space;
    if (fstatvfs(fd, &space) == 0 && space.f_frsize != 0 && size / space.f_frsize > space.f_bavail)
        return ENOSPC;
    int error;
    do
        error = ftruncate(fd, (off_t)size) == 0 ? 0 : errno;
    while (error == EINTR);
    if (error != 0)
        return error;
    do
        error = posix_fallocate(fd, 0, (off_t)size);
    while (error == EINTR);
    return error;
}

static int sync_folder(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set_system(errno, "opening the folder %s", folder);
    int result = fsync(fd) == 0 ? 0 : error_set_system(errno, "syncing the folder %s", folder);
    close_file(fd);
    return result;
}

/* --- identity --- */

/* The pid namespace; zeros where /proc is not mounted, which then must be so for all. */
static void find_namespace(uint64_t *ret_device, uint64_t *ret_inode)
{
    struct stat status;
    bool found = stat("/proc/self/ns/pid", &status) == 0;
    *ret_device = found ? (uint64_t)status.st_dev : 0;
    *ret_inode = found ? (uint64_t)status.st_ino : 0;
}

static uint64_t identity_checksum(const journal_identity *identity)
{
    return hash_checksum(identity, offsetof(journal_identity, checksum), JOURNAL_MAGIC);
}

static int other_version(uint32_t version, const char *what)
{
    return error_set(MLKV_E_VERSION,
                     HEAD_NAME ": of protocol %u; this library, %s, speaks protocol %u%s",
                     (unsigned)version, mlkv_version(), (unsigned)JOURNAL_VERSION, what);
}

/* Whether the constant part is whole, whichever version wrote it. */
static bool identity_whole(const journal_identity *identity)
{
    return identity->magic == JOURNAL_MAGIC && identity->checksum == identity_checksum(identity) &&
           identity->head_size == JOURNAL_HEAD_SIZE && ring_size_valid(identity->ring_bytes);
}

/* What makes a head's constant part ours and whole, in the order in which it can be believed. 0,
 * MLKV_ABSENT (not one of ours), MLKV_E_VERSION, MLKV_E_CORRUPT. */
static int check_identity(const journal_identity *identity)
{
    if (identity->magic != JOURNAL_MAGIC)
        return error_set(MLKV_ABSENT, HEAD_NAME ": not a journal's header");
    if (identity->version != JOURNAL_VERSION)
        return other_version(identity->version, "");
    return identity_whole(identity)
               ? 0
               : error_set(MLKV_E_CORRUPT, HEAD_NAME ": the constant part is damaged");
}

/* Reads the whole head with read(2): for a journal that may be dead, and damaged. */
static int read_head(const char *folder, journal_head *ret_head)
{
    int fd = journal_open_file(folder, HEAD_NAME, O_RDONLY);
    if (fd < 0 && errno == ENOENT)
        return error_set(MLKV_ABSENT, HEAD_NAME ": there is none");
    if (fd < 0)
        return error_set_system(errno, "opening %s/" HEAD_NAME, folder);
    int result = 0;
    size_t done = 0;
    while (done < sizeof *ret_head && result == 0) {
        ssize_t n = read(fd, (unsigned char *)ret_head + done, sizeof *ret_head - done);
        if (n < 0 && errno != EINTR)
            result = error_set_system(errno, "reading %s/" HEAD_NAME, folder);
        else if (n == 0)
            result = error_set(MLKV_ABSENT, HEAD_NAME ": only %zu bytes long", done);
        else if (n > 0)
            done += (size_t)n;
    }
    close_file(fd);
    return result != 0 ? result : check_identity(&ret_head->identity);
}

static bool position_valid(const journal_head *head, uint64_t position)
{
    return position % 8 == 0 && position >= head->identity.base && position <= JOURNAL_POSITION_MAX;
}

/* `synced`, if it can be: 0 in a damaged head. Never more than a lap in front of the tail, even if
 * a power cut left the two sectors of different ages. */
static uint64_t believable_synced(const journal_head *head)
{
    bool valid = position_valid(head, head->synced) &&
                 head->synced <= head->tail + head->identity.ring_bytes;
    return valid ? head->synced : 0;
}

int journal_check_files(const char *folder, uint64_t ring_bytes)
{
    static const char *const names[] = {"journal.ring", "journal.log"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct stat status;
        int fd = journal_open_file(folder, names[i], O_RDONLY);
        if (fd < 0 && errno != ENOENT)
            return error_set_system(errno, "opening %s/%s", folder, names[i]);
        if (fd < 0)
            return error_set(MLKV_E_MISMATCH, "%s/%s was removed", folder, names[i]);
        int result = fstat(fd, &status) == 0
                         ? 0
                         : error_set_system(errno, "looking at %s/%s", folder, names[i]);
        close_file(fd);
        if (result == 0 && (uint64_t)status.st_size != ring_bytes)
            result =
                error_set(MLKV_E_MISMATCH, "%s/%s has %lld bytes, and was made with %llu", folder,
                          names[i], (long long)status.st_size, (unsigned long long)ring_bytes);
        if (result != 0)
            return result;
    }
    return 0;
}

int journal_read_header(const char *folder, journal_header *ret_header)
{
    journal_head head;
    int result = read_head(folder, &head);
    if (result == MLKV_E_CORRUPT)
        return MLKV_ABSENT; /* none of ours that can be believed; the detail says why */
    if (result != 0 && (result != MLKV_E_VERSION || !identity_whole(&head.identity)))
        return result;
    if (!position_valid(&head, head.tail) || !position_valid(&head, head.applied))
        return error_set(MLKV_ABSENT, HEAD_NAME ": its positions are none");
    *ret_header = (journal_header){
        .version = head.identity.version,
        .generation = head.identity.generation,
        .base = head.identity.base,
        .tail = head.tail,
        .applied = head.applied,
        .synced = believable_synced(&head),
        .ring_bytes = head.identity.ring_bytes,
    };
    memcpy(ret_header->uuid, head.identity.uuid, sizeof ret_header->uuid);
    return 0;
}

int journal_check_version(const char *folder)
{
    journal_head head;
    return read_head(folder, &head) == MLKV_E_VERSION ? MLKV_E_VERSION : 0;
}

int journal_check_header(const journal_header *header)
{
    if (header->version == JOURNAL_VERSION)
        return 0;
    return other_version(header->version,
                         ", and the store was not closed: open it with a library that speaks the "
                         "former, and close it");
}

/* --- creating --- */

/* Where the log was written before: positions [start, end), at most a ring size of them. */
typedef struct {
    uint64_t start, end;
} zeroed_range;

/* What the new head says of that: what the old one did, if the log is the same. */
static zeroed_range plan_zeroing(const char *folder, bool log_kept, uint64_t base,
                                 uint64_t ring_bytes)
{
    uint64_t start = base & ~(uint64_t)(JOURNAL_BLOCK_SIZE - 1);
    zeroed_range none = {start, start};
    journal_head old;
    if (!log_kept || read_head(folder, &old) != 0 || old.identity.ring_bytes != ring_bytes)
        return none;
    if (old.zeroed - old.zero_start == ring_bytes)
        return (zeroed_range){start, start + ring_bytes}; /* all of it */
    if (old.zero_start <= start && start <= old.zeroed && old.zeroed - old.zero_start < ring_bytes)
        return (zeroed_range){old.zero_start, old.zeroed}; /* that lap goes on */
    return none;
}

/* The clock word of the head that is replaced, if it is this store's. */
static uint64_t old_clock(const char *folder, const unsigned char uuid[16])
{
    journal_head old;
    return read_head(folder, &old) == 0 && memcmp(old.identity.uuid, uuid, 16) == 0 ? old.clock : 0;
}

/* Fills a new, zeroed head. */
static int fill_head(journal_head *head, const journal_identity *identity, uint64_t next_id,
                     uint64_t clock, zeroed_range zeroed)
{
    uint64_t base = identity->base;
    head->clock = clock;
    head->identity = *identity;
    head->tail = head->reserved = head->applied = head->synced = base;
    head->next_id = next_id;
    head->zero_start = zeroed.start;
    head->zeroed = zeroed.end;
    head->chain[0].position_end = base;
    head->chain[1].position_end = UINT64_MAX; /* names no position */
    int result = shared_lock_init(&head->writer_lock);
    if (result == 0)
        result = shared_lock_init(&head->applier_lock);
    if (result == 0)
        result = shared_lock_init(&head->sync_lock);
    return result;
}

/* Invariant 4. Whatever stands there and is no head of ours, of any version, has no readers either.
 */
static void retire_head(const char *folder)
{
    journal_head copy;
    int result = read_head(folder, &copy);
    if (result != 0 && (result != MLKV_E_VERSION || !identity_whole(&copy.identity)))
        return;
    int fd = journal_open_file(folder, HEAD_NAME, O_RDWR);
    void *map = fd < 0 ? MAP_FAILED
                       : mmap(NULL, JOURNAL_HEAD_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close_file(fd);
    if (map == MAP_FAILED)
        return;
    journal_head *head = map;
    __atomic_store_n(&head->reserved, RESERVED_RETIRED, __ATOMIC_SEQ_CST);
    __atomic_store_n(&head->retired, 1, __ATOMIC_RELEASE);
    (void)munmap(map, JOURNAL_HEAD_SIZE);
}

/* The temporary file under `name`, whole and durable, takes the name's place. Closes fd. */
static int publish(int fd, const char *folder, const char *name)
{
    char path[PATH_SIZE], temporary[PATH_SIZE];
    int result = 0;
    if (make_path(path, folder, name, "") != 0 || make_path(temporary, folder, name, ".tmp") != 0)
        result = error_set_system(errno, "naming %s/%s", folder, name);
    else if (fsync(fd) != 0)
        result = error_set_system(errno, "syncing %s", temporary);
    else if (rename(temporary, path) != 0)
        result = error_set_system(errno, "renaming %s", temporary);
    close_file(fd);
    return result;
}

/* Opens NAME.tmp, empty, with room for `size` bytes. */
static int open_temporary(const char *folder, const char *name, uint64_t size, int *ret_fd)
{
    char path[PATH_SIZE];
    int length = snprintf(path, sizeof path, "%s.tmp", name);
    int fd = length > 0 && length < PATH_SIZE
                 ? journal_open_file(folder, path, O_RDWR | O_CREAT | O_TRUNC)
                 : -1;
    if (fd < 0)
        return error_set_system(errno, "making %s/%s", folder, name);
    int error = allocate(fd, size);
    if (error != 0) {
        close_file(fd);
        if (make_path(path, folder, name, ".tmp") == 0)
            (void)unlink(path); /* gives the blocks back */
        return error_set_system(error, "making room for %llu bytes in %s/%s",
                                (unsigned long long)size, folder, name);
    }
    *ret_fd = fd;
    return 0;
}

/* A file of the ring's size: the one that is there if it has that, else a new one. */
static int keep_or_make(const char *folder, const char *name, uint64_t size, bool *ret_kept)
{
    int fd = journal_open_file(folder, name, O_RDWR);
    struct stat status;
    if (fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
        (uint64_t)status.st_size == size) {
        /* a copy of a store may have holes */
        int error = allocate(fd, size);
        close_file(fd);
        if (error != 0)
            return error_set_system(error, "making room for %llu bytes in %s/%s",
                                    (unsigned long long)size, folder, name);
        *ret_kept = true;
        return 0;
    }
    close_file(fd);
    int result = open_temporary(folder, name, size, &fd);
    if (result != 0)
        return result;
    *ret_kept = false;
    return publish(fd, folder, name);
}

static int make_head(const char *folder, const journal_identity *identity, uint64_t next_id,
                     zeroed_range zeroed)
{
    int fd = -1;
    int result = open_temporary(folder, HEAD_NAME, JOURNAL_HEAD_SIZE, &fd);
    if (result != 0)
        return result;
    journal_head *head = mmap(NULL, JOURNAL_HEAD_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (head == MAP_FAILED) {
        result = error_set_system(errno, "mapping %s/" HEAD_NAME, folder);
    } else {
        result = fill_head(head, identity, next_id, old_clock(folder, identity->uuid), zeroed);
        (void)munmap(head, JOURNAL_HEAD_SIZE);
    }
    if (result != 0) {
        close_file(fd);
        return result;
    }
    retire_head(folder);
    FAULT_POINT(RECOVER_RETIRED);
    return publish(fd, folder, HEAD_NAME);
}

int journal_create(const char *folder, const unsigned char uuid[16], uint64_t generation,
                   uint64_t base, uint64_t next_id, size_t ring_bytes)
{
    if (!ring_size_valid(ring_bytes))
        return error_set(MLKV_E_ARGUMENT, "ring size %zu: not a power of two from %d to 2^40",
                         ring_bytes, (int)JOURNAL_RING_SIZE_MIN);
    if (base % 8 != 0 || base > JOURNAL_POSITION_MAX)
        return error_set(MLKV_E_ARGUMENT, "%llu is no journal position", (unsigned long long)base);
    journal_identity identity = {
        .magic = JOURNAL_MAGIC,
        .version = JOURNAL_VERSION,
        .mutex_size = sizeof(pthread_mutex_t),
        .page_size = (uint32_t)sysconf(_SC_PAGESIZE),
        .head_size = JOURNAL_HEAD_SIZE,
        .generation = generation,
        .base = base,
        .ring_bytes = ring_bytes,
    };
    find_namespace(&identity.namespace_device, &identity.namespace_inode);
    memcpy(identity.uuid, uuid, sizeof identity.uuid);
    identity.checksum = identity_checksum(&identity);

    bool ring_kept, log_kept;
    int result = keep_or_make(folder, RING_NAME, ring_bytes, &ring_kept);
    if (result == 0)
        result = keep_or_make(folder, LOG_NAME, ring_bytes, &log_kept);
    if (result != 0)
        return result;
    zeroed_range zeroed = plan_zeroing(folder, log_kept, base, ring_bytes);
    result = make_head(folder, &identity, next_id, zeroed);
    return result != 0 ? result : sync_folder(folder);
}

/* --- opening --- */

unsigned char *ring_map(int fd, size_t ring_bytes, int protection)
{
    unsigned char *space =
        mmap(NULL, 2 * ring_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (space == MAP_FAILED)
        return NULL;
    for (int half = 0; half < 2; half++) {
        void *at = space + (size_t)half * ring_bytes;
        if (mmap(at, ring_bytes, protection, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
            int error = errno;
            (void)munmap(space, 2 * ring_bytes);
            errno = error;
            return NULL;
        }
    }
#ifdef MADV_HUGEPAGE
    (void)madvise(space, 2 * ring_bytes, MADV_HUGEPAGE); /* refused but on tmpfs: no harm */
#endif
    return space;
}

void ring_unmap(unsigned char *ring, size_t ring_bytes)
{
    if (ring != NULL)
        (void)munmap(ring, 2 * ring_bytes);
}

/* Whether processes that map this head share what its locks and its ring need. */
static int check_platform(const journal_identity *identity)
{
    uint64_t device, inode;
    find_namespace(&device, &inode);
    if (identity->mutex_size != sizeof(pthread_mutex_t))
        return error_set(MLKV_E_PLATFORM, HEAD_NAME ": locks of %u bytes, here they have %zu",
                         (unsigned)identity->mutex_size, sizeof(pthread_mutex_t));
    if (identity->page_size != (uint32_t)sysconf(_SC_PAGESIZE))
        return error_set(MLKV_E_PLATFORM, HEAD_NAME ": pages of %u bytes, here they have %ld",
                         (unsigned)identity->page_size, sysconf(_SC_PAGESIZE));
    if (identity->namespace_device != device || identity->namespace_inode != inode)
        return error_set(MLKV_E_PLATFORM,
                         HEAD_NAME ": the store is open in another pid namespace (container)");
    return 0;
}

static int map_head(journal *self, const char *folder, const unsigned char uuid[16])
{
    int fd = journal_open_file(folder, HEAD_NAME, self->read_only ? O_RDONLY : O_RDWR);
    if (fd < 0 && errno == ENOENT)
        return error_set(MLKV_ABSENT, HEAD_NAME ": there is none");
    if (fd < 0)
        return error_set_system(errno, "opening %s/" HEAD_NAME, folder);
    int result = 0;
    struct stat status;
    struct statfs system;
    if (fstat(fd, &status) != 0 || fstatfs(fd, &system) != 0) {
        result = error_set_system(errno, "looking at %s/" HEAD_NAME, folder);
    } else if (status.st_size != JOURNAL_HEAD_SIZE) {
        result = error_set(MLKV_E_CORRUPT, HEAD_NAME ": %lld bytes long, it must be %d",
                           (long long)status.st_size, (int)JOURNAL_HEAD_SIZE);
    } else {
        self->durable = system.f_type != TMPFS_MAGIC && system.f_type != RAMFS_MAGIC &&
                        system.f_type != HUGETLBFS_MAGIC;
        int protection = self->read_only ? PROT_READ : PROT_READ | PROT_WRITE;
        void *head = mmap(NULL, JOURNAL_HEAD_SIZE, protection, MAP_SHARED, fd, 0);
        if (head == MAP_FAILED)
            result = error_set_system(errno, "mapping %s/" HEAD_NAME, folder);
        else
            self->head = head;
    }
    close_file(fd);
    if (result != 0)
        return result;
    const journal_identity *identity = &self->head->identity;
    result = check_identity(identity);
    if (result == MLKV_ABSENT)
        return MLKV_E_CORRUPT; /* it is there, with the wrong bytes */
    if (result != 0)
        return result;
    if (memcmp(identity->uuid, uuid, sizeof identity->uuid) != 0)
        return error_set(MLKV_E_MISMATCH, HEAD_NAME ": belongs to another store");
    return check_platform(identity);
}

static int map_ring(journal *self, const char *folder)
{
    int fd = journal_open_file(folder, RING_NAME, self->read_only ? O_RDONLY : O_RDWR);
    if (fd < 0)
        return errno == ENOENT
                   ? error_set(MLKV_E_CORRUPT, RING_NAME ": missing, but " HEAD_NAME " is there")
                   : error_set_system(errno, "opening %s/" RING_NAME, folder);
    int result = 0;
    struct stat status;
    if (fstat(fd, &status) != 0) {
        result = error_set_system(errno, "looking at %s/" RING_NAME, folder);
    } else if ((uint64_t)status.st_size != self->ring_bytes) {
        result = error_set(MLKV_E_CORRUPT, RING_NAME ": %lld bytes long, it must be %zu",
                           (long long)status.st_size, self->ring_bytes);
    } else {
        self->ring =
            ring_map(fd, self->ring_bytes, self->read_only ? PROT_READ : PROT_READ | PROT_WRITE);
        if (self->ring == NULL)
            result = error_set_system(errno, "mapping %s/" RING_NAME, folder);
    }
    close_file(fd);
    return result;
}

static int open_log(journal *self, const char *folder)
{
    self->log_direct = true;
    self->log_fd = journal_open_file(folder, LOG_NAME, O_RDWR | O_DIRECT | O_DSYNC);
    if (self->log_fd < 0 && errno == EINVAL) {
        self->log_direct = false;
        self->log_fd = journal_open_file(folder, LOG_NAME, O_RDWR);
    }
    if (self->log_fd < 0)
        return errno == ENOENT
                   ? error_set(MLKV_E_CORRUPT, LOG_NAME ": missing, but " HEAD_NAME " is there")
                   : error_set_system(errno, "opening %s/" LOG_NAME, folder);
    struct stat status;
    if (fstat(self->log_fd, &status) != 0)
        return error_set_system(errno, "looking at %s/" LOG_NAME, folder);
    if ((uint64_t)status.st_size != self->ring_bytes)
        return error_set(MLKV_E_CORRUPT, LOG_NAME ": %lld bytes long, it must be %zu",
                         (long long)status.st_size, self->ring_bytes);
    self->bounce = aligned_alloc(JOURNAL_BLOCK_SIZE, JOURNAL_BOUNCE_SIZE);
    return self->bounce != NULL ? 0 : error_set_memory("the journal's write buffer");
}

int journal_open(const char *folder, const unsigned char uuid[16], bool read_only,
                 journal **ret_journal)
{
    journal *self = calloc(1, sizeof *self);
    if (self == NULL)
        return error_set_memory("a journal");
    self->read_only = read_only;
    self->log_fd = -1;
    int result = map_head(self, folder, uuid);
    if (result != 0)
        goto done;
    self->ring_bytes = self->head->identity.ring_bytes;
    self->mask = self->ring_bytes - 1;
    self->generation = self->head->identity.generation;
    result = map_ring(self, folder);
    if (result == 0 && !read_only)
        result = open_log(self, folder);
    if (result != 0)
        goto done;
    *ret_journal = self;
    self = NULL;
done:
    journal_close(self);
    return result;
}

void journal_close(journal *self)
{
    if (self == NULL)
        return;
    ring_unmap(self->ring, self->ring_bytes);
    if (self->head != NULL)
        (void)munmap(self->head, JOURNAL_HEAD_SIZE);
    close_file(self->log_fd);
    free(self->bounce);
    free(self);
}

void journal_abandon(journal *self)
{
    /* no lock is taken or released by closing, so a child may do just that */
    journal_close(self);
}

void journal_prefault(journal *self, uint64_t position, size_t size)
{
    if (self->read_only || size > self->ring_bytes)
        return;
    size_t page = self->head->identity.page_size;
    unsigned char *from = ring_at(self, position);
    size_t before = (size_t)(from - self->ring) & (page - 1);
    (void)madvise(from - before, size + before, MADV_POPULATE_WRITE);
}

bool journal_sync_is_durable(const journal *self)
{
    return self->durable;
}
