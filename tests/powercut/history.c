/* history.c - see history.h: what a disk may hold when the power goes at some moment of a
 * recording.
 *
 * Everything that the disk holds is a row of versions, each with the moments at which its making
 * began and ended (0: it did not): each 512-byte sector of each file, each file's size, each name
 * of the folder. At a cut the versions that had begun are possible, back to the last that must be
 * there:
 *
 *   a sector, a size   the last that had ended before a sync of its file began which has itself
 * ended before the cut; or was written with O_DSYNC and has ended a name             the same with
 * syncs of the folder
 *
 * and each sector, size and name is chosen for itself. That is more than most file systems leave
 * (they keep names in order, and a new file's name with its fsync) and all that POSIX promises. How
 * it is chosen is itself chosen, for each file, from the seed: all new, all old, evenly, mostly one
 * of both, or as of a moment before the cut, with strays.
 *
 * Invariants:
 *  1. A version that may be chosen had begun before the cut.
 *  2. What the row's floor says is never undercut. history_build chooses nothing else.
 *
 * No locks: one thread.
 */
#include "history.h"

#include "recording.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    uint32_t begun, ended; /* ended 0: never */
    bool dsync;
    uint64_t number;    /* of a size or a name */
    const void *sector; /* of a sector; NULL: zeros */
} version;

typedef struct {
    version *at;
    size_t count, capacity;
} row;

typedef struct {
    uint32_t begun, ended;
} sync_moment;

typedef struct {
    row sizes;
    row *sectors;
    size_t sector_count;
    sync_moment *syncs;
    size_t sync_count, sync_capacity;
} file_history;

enum { DEATHS_MAX = 256 };

static const uint32_t VOID = UINT32_MAX;

typedef struct patch {
    struct patch *next;
    unsigned char bytes[SECTOR_SIZE];
} patch;

struct history {
    recording *log;
    uint32_t end;
    uint32_t *ends;      /* of each event, 0: none, VOID: it did not happen */
    bool *settled;       /* of each event: its process was killed in it */
    file_history *files; /* by number; 0 is the folder, whose syncs it has */
    uint32_t file_count;
    row names[RECORDING_NAMES_MAX];
    uint32_t deaths[DEATHS_MAX]; /* the last events of processes that were killed inside a write */
    size_t death_count;
    patch *patches;
    unsigned char *space; /* a file that is being put together */
    size_t space_size;
};

uint64_t history_random(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* Memory is not what is tested here. */
static void *grow(void *memory, size_t count, size_t size)
{
    void *grown = reallocarray(memory, count, size);
    if (grown == NULL)
        abort();
    return grown;
}

/* --- reading --- */

static void push(row *to, version what)
{
    if (to->count == to->capacity) {
        to->capacity = to->capacity == 0 ? 4 : 2 * to->capacity;
        to->at = grow(to->at, to->capacity, sizeof *to->at);
    }
    to->at[to->count++] = what;
}

static void reach_sectors(file_history *file, size_t count)
{
    if (count <= file->sector_count)
        return;
    file->sectors = grow(file->sectors, count, sizeof *file->sectors);
    memset(file->sectors + file->sector_count, 0,
           (count - file->sector_count) * sizeof *file->sectors);
    file->sector_count = count;
}

static uint64_t last_size(const file_history *file)
{
    return file->sizes.count == 0 ? 0 : file->sizes.at[file->sizes.count - 1].number;
}

/* A file that shrinks and grows again has zeros there. */
static void add_size(file_history *file, version what)
{
    for (size_t i = (size_t)(what.number / SECTOR_SIZE); i < file->sector_count; i++)
        push(&file->sectors[i], (version){.begun = what.begun, .ended = what.ended});
    push(&file->sizes, what);
}

/* The version that a write of a part of a sector makes: the rest is what it was (LMDB writes its
 * meta page so). */
static const unsigned char *patch_sector(history *self, const row *sector, size_t from,
                                         const unsigned char *data, size_t size)
{
    patch *made = grow(NULL, 1, sizeof *made);
    const void *before = sector->count == 0 ? NULL : sector->at[sector->count - 1].sector;
    if (before != NULL)
        memcpy(made->bytes, before, SECTOR_SIZE);
    else
        memset(made->bytes, 0, SECTOR_SIZE);
    memcpy(made->bytes + from, data, size);
    made->next = self->patches;
    self->patches = made;
    return made->bytes;
}

static void add_bytes(history *self, const event *what, version at)
{
    file_history *file = &self->files[what->file];
    const unsigned char *data = recording_data(self->log, what);
    uint64_t end = what->offset + what->size;
    reach_sectors(file, (size_t)((end + SECTOR_SIZE - 1) / SECTOR_SIZE));
    for (uint64_t place = what->offset; place < end;) {
        row *sector = &file->sectors[place / SECTOR_SIZE];
        size_t from = (size_t)(place % SECTOR_SIZE);
        size_t size = end - place < SECTOR_SIZE - from ? (size_t)(end - place) : SECTOR_SIZE - from;
        const unsigned char *bytes = data + (place - what->offset);
        at.sector = size == SECTOR_SIZE ? bytes : patch_sector(self, sector, from, bytes, size);
        push(sector, at);
        place += size;
    }
    if (end > last_size(file)) {
        at.sector = NULL;
        at.number = end;
        push(&file->sizes, at);
    }
}

static void add_sync(file_history *file, version at)
{
    if (at.ended == 0)
        return;
    if (file->sync_count == file->sync_capacity) {
        file->sync_capacity = file->sync_capacity == 0 ? 16 : 2 * file->sync_capacity;
        file->syncs = grow(file->syncs, file->sync_capacity, sizeof *file->syncs);
    }
    file->syncs[file->sync_count++] = (sync_moment){at.begun, at.ended};
}

static int add_event(history *self, uint32_t number)
{
    const event *what = recording_event(self->log, number);
    version at = {.begun = number,
                  .ended = self->ends[number],
                  .dsync = what->dsync != 0,
                  .number = what->number};
    if (what->file >= self->file_count ||
        (what->kind == EVENT_NAME && what->number >= RECORDING_NAMES_MAX)) {
        fprintf(stderr, "the recording is damaged at event %u\n", (unsigned)number);
        return -1;
    }
    if (at.ended == VOID)
        return 0;
    if (self->settled[number])
        at.dsync = false; /* the kernel had it; nobody waited for the disk */
    if (what->kind == EVENT_SAMPLE)
        at.ended = number;
    if (what->kind == EVENT_WRITE || what->kind == EVENT_SAMPLE)
        add_bytes(self, what, at);
    else if (what->kind == EVENT_SIZE)
        add_size(&self->files[what->file], at);
    else if (what->kind == EVENT_SYNC || what->kind == EVENT_SYNC_FOLDER)
        add_sync(&self->files[what->kind == EVENT_SYNC ? what->file : 0], at);
    else if (what->kind == EVENT_NAME) {
        at.number = what->file;
        push(&self->names[what->number], at);
    }
    return 0;
}

static void take_end(history *self, uint32_t number)
{
    const event *what = recording_event(self->log, number);
    if (what->number >= number)
        return;
    self->settled[what->number] = what->fate != FATE_RETURNED;
    self->ends[what->number] = what->fate == FATE_VOID       ? VOID
                               : what->fate == FATE_HAPPENED ? (uint32_t)what->offset
                                                             : number;
    if (what->fate == FATE_HAPPENED && self->death_count < DEATHS_MAX)
        self->deaths[self->death_count++] = (uint32_t)what->offset;
}

history *history_load(const char *log_path)
{
    history *self = calloc(1, sizeof *self);
    if (self == NULL)
        return NULL;
    self->log = recording_open(log_path);
    if (self->log == NULL) {
        fprintf(stderr, "no recording at %s\n", log_path);
        free(self);
        return NULL;
    }
    self->end = recording_count(self->log);
    self->file_count = recording_file_count(self->log) + 1;
    self->files = calloc(self->file_count, sizeof *self->files);
    self->ends = calloc(self->end, sizeof *self->ends);
    self->settled = calloc(self->end, sizeof *self->settled);
    bool well = self->files != NULL && self->ends != NULL && self->settled != NULL;
    for (uint32_t i = 0; well && i < self->end; i++)
        if (recording_event(self->log, i)->kind == EVENT_END)
            take_end(self, i);
    for (uint32_t i = 0; well && i < self->end; i++)
        well = add_event(self, i) == 0;
    if (well)
        return self;
    history_free(self);
    return NULL;
}

void history_free(history *self)
{
    if (self == NULL)
        return;
    for (uint32_t i = 0; self->files != NULL && i < self->file_count; i++) {
        file_history *file = &self->files[i];
        for (size_t j = 0; j < file->sector_count; j++)
            free(file->sectors[j].at);
        free(file->sectors);
        free(file->sizes.at);
        free(file->syncs);
    }
    for (size_t i = 0; i < RECORDING_NAMES_MAX; i++)
        free(self->names[i].at);
    while (self->patches != NULL) {
        patch *next = self->patches->next;
        free(self->patches);
        self->patches = next;
    }
    free(self->files);
    free(self->ends);
    free(self->settled);
    free(self->space);
    recording_close(self->log);
    free(self);
}

uint32_t history_start(const history *self)
{
    return recording_start(self->log);
}

uint32_t history_end(const history *self)
{
    return self->end;
}

static void raise(uint64_t *to, uint64_t number)
{
    *to = number > *to ? number : *to;
}

promises history_promises(const history *self, uint32_t limit)
{
    promises made = {0};
    for (uint32_t i = 0; i < limit; i++) {
        const event *what = recording_event(self->log, i);
        if (what->kind == EVENT_STARTED)
            raise(&made.started, what->number);
        if (what->kind == EVENT_DURABLE)
            raise(&made.durable, what->number);
        if (what->kind == EVENT_BEGUN || what->kind == EVENT_DURABLE)
            raise(&made.begun, what->number);
    }
    return made;
}

uint32_t history_turn(const history *self, uint64_t random)
{
    if (self->death_count != 0 && random % 2 == 0)
        return self->deaths[(random >> 8) % self->death_count];
    const row *names = &self->names[(random >> 1) % recording_name_count(self->log)];
    return names->count == 0 ? history_start(self) : names->at[(random >> 8) % names->count].begun;
}

/* --- choosing --- */

typedef enum {
    ALL_NEW,
    ALL_OLD,
    MOSTLY_NEW,
    MOSTLY_OLD,
    AS_OF,
    EVENLY,
    MANNERS = EVENLY + 3 /* so often */
} manner;

typedef struct {
    uint32_t cut;
    uint32_t synced; /* the latest beginning of a sync that has ended before the cut; 0: none */
    uint32_t as_of;
    manner how;
    bool lies;
    uint64_t random;
} chooser;

static chooser make_chooser(const file_history *file, power_cut cut, uint64_t salt)
{
    chooser made = {
        .cut = cut.event, .lies = cut.lies, .random = cut.seed + salt * 0x2545f4914f6cdd1du};
    for (size_t i = 0; i < file->sync_count && file->syncs[i].begun < cut.event; i++)
        if (file->syncs[i].ended < cut.event && file->syncs[i].begun > made.synced)
            made.synced = file->syncs[i].begun;
    uint64_t seed = cut.seed;
    bool together =
        history_random(&seed) % 2 == 0; /* all files in one manner, and as of one moment */
    uint64_t *from = together ? &seed : &made.random;
    made.how = (manner)(history_random(from) % MANNERS);
    uint32_t reach = 1U << (history_random(from) % 14);
    uint32_t back = (uint32_t)(history_random(from) % reach);
    made.as_of = back < cut.event ? cut.event - back : 0;
    return made;
}

static bool must_be_there(const chooser *self, const version *at)
{
    if (at->ended == 0 || self->lies)
        return false;
    return at->ended < self->synced || (at->dsync && at->ended < self->cut);
}

/* The index behind the last version that had begun before `moment`. */
static size_t begun_before(const row *from, uint32_t moment)
{
    size_t low = 0, high = from->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (from->at[middle].begun < moment)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* How many of `count` possible versions, the floor being 0, to go up. */
static size_t choose_step(chooser *self, const row *from, size_t floor, size_t end)
{
    uint64_t chance = history_random(&self->random);
    size_t last = end - floor;
    bool stray = chance % 16 == 0;
    manner how = self->how >= EVENLY || (stray && self->how >= MOSTLY_NEW) ? EVENLY : self->how;
    if (how == ALL_OLD || how == MOSTLY_OLD)
        return 0;
    if (how == EVENLY)
        return (size_t)((chance >> 8) % (last + 1));
    if (how == AS_OF) {
        size_t reached = begun_before(from, self->as_of);
        return reached > floor ? (reached < end ? reached : end) - floor : 0;
    }
    return last;
}

/* One legal version of the row; NULL: it was never made. A place counts from 1, 0 is the state
 * before the first. */
static const version *choose(chooser *self, const row *from)
{
    size_t end = begun_before(from, self->cut), floor = end;
    while (floor > 0 && !must_be_there(self, &from->at[floor - 1]))
        floor--;
    if (end == 0)
        return NULL;
    size_t place = floor + (end == floor ? 0 : choose_step(self, from, floor, end));
    return place == 0 ? NULL : &from->at[place - 1];
}

/* --- building --- */

static int write_file(const char *folder, const char *name, const void *data, size_t size)
{
    char path[700];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool well = file >= 0;
    for (size_t done = 0; well && done < size;) {
        ssize_t n = write(file, (const char *)data + done, size - done);
        well = n > 0;
        done += well ? (size_t)n : 0;
    }
    if (file >= 0)
        (void)close(file);
    if (!well)
        perror(path);
    return well ? 0 : -1;
}

static int build_file(history *self, uint32_t number, power_cut cut, const char *folder,
                      const char *name)
{
    file_history *file = &self->files[number];
    chooser chosen = make_chooser(file, cut, number);
    const version *length = choose(&chosen, &file->sizes);
    size_t size = length == NULL ? 0 : (size_t)length->number;
    if (size > self->space_size) {
        self->space = grow(self->space, size, 1);
        self->space_size = size;
    }
    for (size_t at = 0; at < size; at += SECTOR_SIZE) {
        const version *sector = at / SECTOR_SIZE < file->sector_count
                                    ? choose(&chosen, &file->sectors[at / SECTOR_SIZE])
                                    : NULL;
        size_t part = size - at < SECTOR_SIZE ? size - at : SECTOR_SIZE;
        if (sector != NULL && sector->sector != NULL)
            memcpy(self->space + at, sector->sector, part);
        else
            memset(self->space + at, 0, part);
    }
    return write_file(folder, name, self->space, size);
}

/* The lock file of LMDB is there, with any bytes, or not. */
static int build_lock_file(power_cut cut, const char *folder)
{
    uint64_t bytes[1024], random = cut.seed ^ 0x5ca1ab1e;
    if (history_random(&random) % 2 == 0)
        return 0;
    for (size_t i = 0; i < sizeof bytes / sizeof bytes[0]; i++)
        bytes[i] = history_random(&random);
    return write_file(folder, "lock.mdb", bytes, sizeof bytes);
}

int history_build(history *self, power_cut cut, const char *folder)
{
    chooser chosen = make_chooser(&self->files[0], cut, 0);
    for (unsigned i = 0; i < recording_name_count(self->log); i++) {
        const version *bound = choose(&chosen, &self->names[i]);
        if (bound == NULL || bound->number == FILE_NONE)
            continue;
        if (build_file(self, (uint32_t)bound->number, cut, folder, recording_name(self->log, i)) !=
            0)
            return -1;
    }
    return build_lock_file(cut, folder);
}
