/* salvage.h - the records of a damaged store, from its LMDB file and its journal, put into a new LMDB
 * file. What the records mean, and that they fit each other, is for types/ to see to. */
#ifndef MLKV_ENGINE_SALVAGE_H
#define MLKV_ENGINE_SALVAGE_H

#include "journal/journal.h"
#include "store/remains.h"

/* A sentence about what was lost (loss) or is as it should be in spite of damage. Non-zero ends the
 * salvage with MLKV_ABSENT. */
typedef struct {
    int (*tell)(void *context, bool loss, const char *sentence);
    void *context;
} salvage_listener;

typedef struct {
    uint64_t pages, pages_damaged; /* of data.mdb */
    uint64_t records;              /* found in data.mdb */
    uint64_t records_lost;         /* as far as can be told */
    uint64_t records_uncertain;
    uint64_t frames; /* of the journal, applied */
} salvage_counts;

/* --- salvage.c --- */
/* Puts everything that can be found in the folder `damaged`, which is only read, into a new store in
 * the empty folder `target`, marked clean. MLKV_E_BUSY (a living process has it open),
 * MLKV_E_ABSENT_STORE, MLKV_E_CORRUPT (nothing was found), MLKV_E_VERSION, MLKV_E_IO, MLKV_E_FULL,
 * MLKV_E_MEMORY, MLKV_E_PERMISSION; MLKV_ABSENT. */
int engine_salvage(const char *damaged, const char *target, const salvage_listener *listener,
                   salvage_counts *ret_counts);

/* --- salvage_journal.c --- */
/* What the journal's header says of a store of this identity. */
typedef struct {
    const char *damaged;
    const salvage_listener *listener;
    store *target;
    store_write *write; /* open */
    journal_header header;
    bool has_header;
    bool
        stale; /* the journal, or its end, could not be taken: records may be older than they should be */
    bool mixed;       /* records may be newer than the state to replay from */
    uint64_t next_id; /* of the frames */
    uint64_t frames;
} salvage_journal;

void salvage_journal_open(salvage_journal *self);
/* Whether replaying from `before` gives what `newest` had: whether what the state before says of a
 * record is exact then. */
bool salvage_journal_reaches(salvage_journal *self, const remains_state *before,
                             const remains_state *newest);
/* Replays what is behind this state; NULL: there is no LMDB file, and the journal is all. */
int salvage_journal_replay(salvage_journal *self, const remains_state *state);
/* The state is not known: tells what that means. */
int salvage_journal_tell_unknown(salvage_journal *self);
int salvage_tell(const salvage_listener *listener, bool loss, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));

/* --- salvage_folder.c --- */
/* The folder of a store to be: `path` is made, or is empty; the store is built in a folder inside it,
 * and only named once it is whole. */
typedef struct {
    const char *path;
    char part[4096]; /* where it is built */
    bool made_folder, made_part;
} salvage_folder;

/* MLKV_E_ARGUMENT: not a folder, not empty, or inside the damaged store's. */
int salvage_folder_begin(const char *damaged, const char *path, salvage_folder *ret_folder);
/* The store in `part` is closed and clean: it gets its place, durably. */
int salvage_folder_finish(salvage_folder *self);
/* Removes what is left of it. */
void salvage_folder_abandon(salvage_folder *self);

#endif
