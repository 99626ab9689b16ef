/* recording.c - see recording.h.
 *
 * The bytes, page by page: the header (counts and names), EVENTS_MAX events, DATA_MAX bytes. The
 * file is sparse. An event's number and its bytes' place are taken by atomic additions; the event
 * counts once its kind is there, which is stored last (release). So a process may be killed at any
 * instruction: at worst it leaves an event of kind EVENT_UNUSED, and as beginnings are noted first,
 * what it was about to do has not been done.
 *
 * Invariants:
 *  1. A file number is never used again, though inodes and names are.
 *  2. The names' table only grows; what a name stands for is changed by whoever is alone in the
 * store.
 *
 * No locks.
 */
#include "recording.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EVENTS_MAX = 1 << 20, HEADER_SIZE = 4096 };
#define DATA_MAX ((uint64_t)512 << 20)
#define MAP_SIZE (HEADER_SIZE + EVENTS_MAX * sizeof(event) + DATA_MAX)

struct recording {
    uint64_t count;
    uint64_t data_used;
    uint32_t files; /* numbers 1 .. files are in use */
    uint32_t names;
    uint32_t start;
    uint32_t bound[RECORDING_NAMES_MAX];
    char name[RECORDING_NAMES_MAX][RECORDING_NAME_SIZE];
};

_Static_assert(sizeof(struct recording) <= HEADER_SIZE, "the header's page");

static event *events_of(const recording *self)
{
    return (event *)((uintptr_t)self + HEADER_SIZE);
}

static unsigned char *data_of(const recording *self)
{
    return (unsigned char *)((uintptr_t)self + HEADER_SIZE + EVENTS_MAX * sizeof(event));
}

static recording *map_log(const char *path, int flags)
{
    int file = open(path, flags | O_RDWR | O_CLOEXEC, 0600);
    if (file < 0)
        return NULL;
    void *map = MAP_FAILED;
    if (ftruncate(file, (off_t)MAP_SIZE) == 0)
        map = mmap(NULL, MAP_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    (void)close(file);
    return map == MAP_FAILED ? NULL : map;
}

recording *recording_create(const char *path)
{
    return map_log(path, O_CREAT | O_TRUNC);
}

recording *recording_open(const char *path)
{
    return map_log(path, 0);
}

void recording_close(recording *self)
{
    if (self != NULL)
        (void)munmap(self, MAP_SIZE);
}

uint32_t recording_add(recording *self, event what, const void *data)
{
    uint64_t at = __atomic_fetch_add(&self->count, 1, __ATOMIC_SEQ_CST);
    what.data = what.size != 0 && data != NULL
                    ? __atomic_fetch_add(&self->data_used, what.size, __ATOMIC_RELAXED)
                    : 0;
    if (at >= EVENTS_MAX || what.data + what.size > DATA_MAX) {
        fprintf(stderr, "the recording is full\n");
        abort();
    }
    if (data != NULL)
        memcpy(data_of(self) + what.data, data, what.size);
    uint32_t kind = what.kind;
    what.kind = EVENT_UNUSED;
    what.process = (uint32_t)getpid();
    event *to = events_of(self) + at;
    *to = what;
    __atomic_store_n(&to->kind, kind, __ATOMIC_RELEASE);
    return (uint32_t)at;
}

void recording_end(recording *self, uint32_t begun)
{
    (void)recording_add(self, (event){.kind = EVENT_END, .number = begun}, NULL);
}

uint32_t recording_count(const recording *self)
{
    return (uint32_t)__atomic_load_n(&self->count, __ATOMIC_ACQUIRE);
}

const event *recording_event(const recording *self, uint32_t at)
{
    return events_of(self) + at;
}

const void *recording_data(const recording *self, const event *at)
{
    return data_of(self) + at->data;
}

uint32_t recording_new_file(recording *self)
{
    return ++self->files;
}

uint32_t recording_file_count(const recording *self)
{
    return self->files;
}

int recording_find_name(const recording *self, const char *name)
{
    for (unsigned i = 0; i < self->names; i++)
        if (strcmp(self->name[i], name) == 0)
            return (int)i;
    return -1;
}

void recording_bind(recording *self, const char *name, uint32_t file)
{
    int index = recording_find_name(self, name);
    if (index < 0) {
        if (self->names == RECORDING_NAMES_MAX || strlen(name) >= RECORDING_NAME_SIZE)
            abort(); /* the store has a handful of files */
        index = (int)self->names;
        snprintf(self->name[index], RECORDING_NAME_SIZE, "%s", name);
        self->names++;
    }
    self->bound[index] = file;
    recording_end(
        self,
        recording_add(self, (event){.kind = EVENT_NAME, .file = file, .number = (uint64_t)index},
                      NULL));
}

const char *recording_name(const recording *self, unsigned index)
{
    return self->name[index];
}

unsigned recording_name_count(const recording *self)
{
    return self->names;
}

uint32_t recording_bound(const recording *self, unsigned index)
{
    return self->bound[index];
}

bool recording_follows(const char *name)
{
    return strcmp(name, "lock.mdb") != 0 && strcmp(name, "journal.lock") != 0;
}

/* One file of the folder: its name, size and bytes. */
static int take_file(recording *self, int folder, const char *name)
{
    struct stat status;
    int result = -1;
    void *map = MAP_FAILED;
    int file = openat(folder, name, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &status) != 0)
        goto done;
    uint32_t number = recording_new_file(self);
    size_t size = (size_t)status.st_size;
    recording_bind(self, name, number);
    recording_end(
        self,
        recording_add(self, (event){.kind = EVENT_SIZE, .file = number, .number = size}, NULL));
    if (size != 0) {
        map = mmap(NULL, size, PROT_READ, MAP_PRIVATE, file, 0);
        if (map == MAP_FAILED)
            goto done;
        recording_end(
            self,
            recording_add(
                self, (event){.kind = EVENT_WRITE, .file = number, .size = (uint32_t)size}, map));
        (void)munmap(map, size);
    }
    recording_end(self, recording_add(self, (event){.kind = EVENT_SYNC, .file = number}, NULL));
    result = 0;
done:
    if (file >= 0)
        (void)close(file);
    return result;
}

uint32_t recording_take_folder(recording *self, const char *folder)
{
    DIR *all = opendir(folder);
    if (all == NULL)
        return 0;
    int result = 0;
    for (struct dirent *entry = readdir(all); entry != NULL && result == 0; entry = readdir(all))
        if (entry->d_name[0] != '.' && recording_follows(entry->d_name))
            result = take_file(self, dirfd(all), entry->d_name);
    (void)closedir(all);
    if (result != 0)
        return 0;
    recording_end(self, recording_add(self, (event){.kind = EVENT_SYNC_FOLDER}, NULL));
    self->start = recording_count(self);
    return self->start;
}

uint32_t recording_start(const recording *self)
{
    return self->start;
}

/* Whether the file has what the write says. */
static bool has_happened(const recording *self, int folder, const event *what)
{
    unsigned char bytes[1 << 16];
    bool same = false;
    int file = -1;
    for (unsigned i = 0; i < self->names && file < 0; i++)
        if (self->bound[i] == what->file)
            file = openat(folder, self->name[i], O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    const unsigned char *data = recording_data(self, what);
    for (size_t done = 0; done < what->size;) {
        size_t part = what->size - done < sizeof bytes ? what->size - done : sizeof bytes;
        same = pread(file, bytes, part, (off_t)(what->offset + done)) == (ssize_t)part &&
               memcmp(bytes, data + done, part) == 0;
        if (!same)
            break;
        done += part;
    }
    (void)close(file);
    return same;
}

static bool has_ended(const recording *self, uint32_t begun, uint32_t count)
{
    for (uint32_t i = begun + 1; i < count; i++) {
        const event *what = recording_event(self, i);
        if (what->kind == EVENT_END && what->number == begun)
            return true;
    }
    return false;
}

void recording_settle(recording *self, const char *folder_path, uint32_t process)
{
    uint32_t count = recording_count(self), last = 0;
    int folder = open(folder_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (uint32_t i = 0; i < count; i++)
        if (recording_event(self, i)->process == process)
            last = i;
    for (uint32_t i = 0; i <= last && folder >= 0; i++) {
        const event *what = recording_event(self, i);
        if (what->process != process || what->kind != EVENT_WRITE || has_ended(self, i, count))
            continue;
        uint32_t fate = has_happened(self, folder, what) ? FATE_HAPPENED : FATE_VOID;
        (void)recording_add(
            self, (event){.kind = EVENT_END, .number = i, .fate = fate, .offset = last}, NULL);
    }
    if (folder >= 0)
        (void)close(folder);
}
