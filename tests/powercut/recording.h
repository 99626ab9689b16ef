/* recording.h - the log in which several processes write down, in one order, what they do to a
 * store's files.
 *
 * It is one file, mapped by all of them: a header, then a fixed number of events, then the bytes
 * that events refer to. What lasts is two events: its beginning (the operation itself) and, if it
 * succeeded, EVENT_END, which names the beginning. The order of events is that of the taking of
 * their numbers: a beginning is noted before the operation begins, an end after it returned, so
 * whatever the log says came before, did.
 */
#ifndef MLKV_TESTS_POWERCUT_RECORDING_H
#define MLKV_TESTS_POWERCUT_RECORDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SECTOR_SIZE = 512, /* what a disk writes whole */
    RECORDING_NAMES_MAX = 32,
    RECORDING_NAME_SIZE = 32,
    FILE_NONE = 0, /* in an EVENT_NAME: the name is gone */
};

typedef enum {
    EVENT_UNUSED = 0, /* taken by a process that died before it said what for: nothing happened */
    EVENT_WRITE,      /* bytes of a file; flag: O_DSYNC, durable at its end */
    EVENT_SAMPLE,     /* a sector of a mapped file that was seen changed */
    EVENT_SIZE,       /* number: a file's new size */
    EVENT_NAME,       /* number: index of a name, which is the file's from here on */
    EVENT_SYNC,       /* of a file */
    EVENT_SYNC_FOLDER,
    EVENT_END,     /* number: the event that ended well */
    EVENT_BEGUN,   /* number: a step of the workload, about to run */
    EVENT_DURABLE, /* number: all steps up to it are said to survive a power cut */
    EVENT_STARTED, /* number: so many processes have begun to work, which was written with `sync` */
} event_kind;

/* What became of a write whose process was killed inside it. */
typedef enum {
    FATE_RETURNED = 0, /* not such a one */
    FATE_HAPPENED, /* the kernel had the bytes at the event `offset`, the last of that process */
    FATE_VOID,     /* it did not come to that */
} event_fate;

typedef struct {
    uint32_t kind; /* event_kind; stored last */
    uint32_t file;
    uint32_t size;
    uint32_t dsync;
    uint32_t process; /* who noted it */
    uint32_t fate;    /* of an EVENT_END: event_fate */
    uint64_t offset;
    uint64_t data; /* offset of its bytes */
    uint64_t number;
} event;

typedef struct recording recording;

/* Makes the log and maps it. NULL with errno set. */
recording *recording_create(const char *path);
recording *recording_open(const char *path);
void recording_close(recording *self); /* NULL accepted */

/* Notes an event with `size` bytes of its own (0: none). Its number. Ends the program if the log is
 * full. Any thread of any process. */
uint32_t recording_add(recording *self, event what, const void *data);
void recording_end(recording *self, uint32_t begun);

uint32_t recording_count(const recording *self);
const event *recording_event(const recording *self, uint32_t at);
const void *recording_data(const recording *self, const event *at);

/* Files and names. Only whoever is alone in the store makes new ones, so these take no lock. */
uint32_t recording_new_file(recording *self);
uint32_t recording_file_count(const recording *self);
/* The index of a name, -1 if there is none; recording_bind adds it as needed and notes EVENT_NAME
 * with its end. */
int recording_find_name(const recording *self, const char *name);
void recording_bind(recording *self, const char *name, uint32_t file);
const char *recording_name(const recording *self, unsigned index);
unsigned recording_name_count(const recording *self);
uint32_t recording_bound(const recording *self, unsigned index);

/* What the folder holds is taken in as the durable beginning; afterwards nothing before the
 * returned event may be cut. 0 on failure, errno set. */
uint32_t recording_take_folder(recording *self, const char *folder);
uint32_t recording_start(const recording *self);

/* After the death of a process: looks into the folder which of its writes that did not end have
 * happened, and notes it. */
void recording_settle(recording *self, const char *folder, uint32_t process);

/* Whether a power cut can harm the file of this name. The lock files say nothing to whoever is
 * alone. */
bool recording_follows(const char *name);

#endif
