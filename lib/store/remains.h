/* remains.h - what is left of a damaged data.mdb: its records, found page by page without LMDB's
 * library, which believes what stands in its pages. Only read; no locks; one thread.
 *
 * The way: store_remains_open chooses a base, the newest state whose root can be found.
 * store_remains_walk gives all records that can be reached from there. Where a page is broken a gap
 * in the order of keys is noted. store_remains_fill looks for what the gaps held (remains_fill.c). A
 * record is only ever given if its seal holds; it may be given twice.
 */
#ifndef MLKV_STORE_REMAINS_H
#define MLKV_STORE_REMAINS_H

#include "store/store.h"

typedef struct store_remains store_remains;

/* What the caller does with it. Each returns 0 to go on; what else it returns ends the work, and is
 * its result. */
typedef struct {
    void *context;
    /* certain: the newest state has this record. Otherwise it is put only if the key is not there
     * yet. *ret_new: it was not there before. */
    int (*put)(void *context, mlkv_slice key, mlkv_slice value, bool over, bool *ret_new);
    /* A sentence about something that was lost (loss) or is as it should be in spite of damage. */
    int (*tell)(void *context, bool loss, const char *sentence);
} remains_sink;

/* A state of the store: the snapshot that a meta page names. */
typedef struct {
    bool has_identity, has_position;
    store_identity identity;
    store_position position;
} remains_state;

typedef struct {
    uint64_t pages;         /* in the file */
    uint64_t pages_damaged; /* met on the way */
    uint64_t records;       /* whose seal holds, of the newest state */
    uint64_t lost;          /* records that are missing, as far as the store's own count tells */
    uint64_t uncertain;     /* records from pages that may be older than they should be */
    uint64_t blob_counter;  /* record Sblob; 0: none was found */
    bool used_older;        /* gaps were filled from the state before: replay from its position */
    bool base_is_older;     /* one of the two meta pages is unusable, perhaps the newer one */
    bool found_roots;       /* both are: the root was searched for */
} remains_summary;

/* How the state before the newest may be used to fill gaps. */
typedef enum {
    REMAINS_OLDER_EXACT,    /* replaying the journal from its position gives the newest state */
    REMAINS_OLDER_UNCERTAIN /* it may be older than what was lost */
} remains_older;

/* MLKV_ABSENT: no data.mdb, or an empty one. MLKV_E_CORRUPT: nothing in it can be recognised.
 * MLKV_E_IO (a symbolic link, no regular file), MLKV_E_PERMISSION, MLKV_E_MEMORY, MLKV_E_VERSION. */
int store_remains_open(const char *folder, const remains_sink *sink, store_remains **ret_remains);
void store_remains_close(store_remains *self);

int store_remains_walk(store_remains *self);
/* Whether the walk left gaps. */
bool store_remains_has_gaps(const store_remains *self);
int store_remains_fill(store_remains *self, remains_older older);

/* The base's; after the fill also what the gaps gave. */
const remains_state *store_remains_newest(const store_remains *self);
/* The state before it, NULL if there is none. */
const remains_state *store_remains_before(const store_remains *self);
const remains_summary *store_remains_summary(const store_remains *self);

#endif
