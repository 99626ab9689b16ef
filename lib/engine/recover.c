/* recover.c - opening a store, recovering what a crash left, and closing it.
 *
 * Alone in the store (nobody else holds liveness, I7):
 *   1 LMDB opens; a write transaction reads identity and position; a forced sync (R7).
 *   2 clean: the journal must hold nothing newer (a clean LMDB restored from a backup beside a
 * newer journal is refused). Unclean: journal and LMDB must belong together and LMDB must not be
 * older than the header's applied; the frames from LMDB's position on are scanned (R6) and applied.
 * Refusals can be waived (accept_loss). 3 LMDB is marked clean. New journal files of a new
 * generation are made, fsynced, renamed. Only then LMDB is marked unclean with that generation. A
 * crash between any two steps leaves a state that the same procedure takes: before 3 it repeats
 * itself; between the new files and the last mark LMDB is clean and the new journal is empty. Not
 * alone: the journal that the others use is mapped. Read-only: never recovers, takes no part in
 * liveness; needs a clean store or a living writer. Locks: none yet; exclusive liveness keeps
 * everybody else out.
 */
#include "engine/engine.h"

#include "base/bytes.h"
#include "base/error.h"
#include "base/fault.h"
#include "base/lock.h"
#include "base/random.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    store_identity identity;
    store_position position;
    journal_header header;
    bool has_header;
} found_state;

static int read_store(engine *self, found_state *found)
{
    store_write *write = NULL;
    int result = store_write_begin(self->store, &write);
    if (result != MLKV_OK)
        return result;
    result = store_write_identity(write, &found->identity);
    if (result == MLKV_OK)
        result = store_write_position(write, &found->position);
    store_write_abort(write);
    return result == MLKV_OK ? store_sync(self->store) : result;
}

/* Why journal and LMDB must not be joined, or NULL. */
static const char *mismatch(const found_state *found)
{
    const journal_header *header = &found->header;
    const store_identity *identity = &found->identity;
    if (!found->has_header)
        return identity->clean ? NULL : "the journal is missing, and the store was not closed";
    bool same_store = memcmp(header->uuid, identity->uuid, sizeof header->uuid) == 0;
    bool same_generation = same_store && header->generation == identity->generation;
    if (identity->clean) {
        if (same_generation)
            return header->tail > found->position.applied
                       ? "the journal holds writes that LMDB, though marked clean, does not"
                       : NULL;
        return header->tail > header->base
                   ? "the journal belongs to another state of this store, and holds writes"
                   : NULL;
    }
    if (!same_store)
        return "the journal belongs to another store";
    if (!same_generation)
        return "the journal is of another generation";
    return header->applied > found->position.applied
               ? "LMDB is older than the journal: it was replaced by a backup"
               : NULL;
}

static int read_dead(const void *from, uint64_t position, uint64_t limit, journal_frame *ret_frame)
{
    (void)limit;
    return journal_scan_frame((journal_scan *)(uintptr_t)from, position, ret_frame);
}

/* As many of the dead journal's frames as one transaction takes. */
static int apply_batch(engine *self, journal_scan *scan, uint64_t tail, found_state *found)
{
    store_write *write = NULL;
    collected *into = NULL;
    uint64_t put;
    int result = collect_create(&into);
    if (result == MLKV_OK)
        result = store_write_begin(self->store, &write);
    if (result == MLKV_OK)
        result = engine_put_frames(self, write, into, &(frame_source){read_dead, scan}, tail,
                                   &found->position, &put);
    if (result == MLKV_OK) {
        result = store_write_commit(write);
        write = NULL;
    }
    store_write_abort(write);
    collect_destroy(into);
    return result;
}

static int replay(engine *self, found_state *found)
{
    journal_scan *scan = NULL;
    uint64_t tail, next_id;
    int result = journal_scan_open(self->path, found->identity.generation, found->position.applied,
                                   found->position.chain, &scan, &tail, &next_id);
    if (result == MLKV_ABSENT)
        return MLKV_OK;
    FAULT_POINT(RECOVER_SCANNED);
    while (result == MLKV_OK && found->position.applied < tail)
        result = apply_batch(self, scan, tail, found);
    journal_scan_close(scan);
    return result;
}

static int set_state(engine *self, const found_state *found)
{
    store_write *write = NULL;
    int result = store_write_begin(self->store, &write);
    if (result != MLKV_OK)
        return result;
    result = store_write_set_identity(write, &found->identity);
    if (result == MLKV_OK)
        result = store_write_set_position(write, found->position);
    if (result == MLKV_OK)
        return store_write_commit(write);
    store_write_abort(write);
    return result;
}

/* Step 3. */
static int begin_generation(engine *self, found_state *found)
{
    found->identity.clean = true;
    int result = set_state(self, found);
    FAULT_POINT(RECOVER_APPLIED);
    uint64_t generation = 0;
    while (result == MLKV_OK && (generation == 0 || generation == found->identity.generation))
        result = random_system(&generation, sizeof generation);
    uint64_t next_id = found->position.next_id != 0 ? found->position.next_id : 1;
    if (result == MLKV_OK)
        result = journal_create(self->path, found->identity.uuid, generation,
                                found->position.applied, next_id, self->options.ring_bytes);
    if (result != MLKV_OK)
        return result;
    FAULT_POINT(RECOVER_FILES);
    found->identity.generation = generation;
    found->identity.clean = false;
    result = set_state(self, found);
    FAULT_POINT(RECOVER_DONE);
    return result;
}

/* What was durable must have been found: a chain that ends before that is damage, not a write that
 * a power cut interrupted. */
static int check_synced(engine *self, const found_state *found)
{
    if (found->position.applied >= found->header.synced || self->options.accept_loss)
        return MLKV_OK;
    return error_set(MLKV_E_CORRUPT,
                     "%s: the journal was synced up to position %llu, and is damaged at %llu "
                     "(MLKV_ACCEPT_LOSS opens it with what is left)",
                     self->path, (unsigned long long)found->header.synced,
                     (unsigned long long)found->position.applied);
}

static int recover(engine *self)
{
    found_state found = {.has_header = false};
    FAULT_POINT(RECOVER_BEGUN);
    int result = read_store(self, &found);
    if (result != MLKV_OK)
        return result;
    result = journal_read_header(self->path, &found.header);
    if (result < 0 && !self->options.accept_loss)
        return result;
    found.has_header = result == MLKV_OK;
    if (found.has_header && !found.identity.clean) {
        result = journal_check_header(&found.header);
        if (result != MLKV_OK && !self->options.accept_loss)
            return result;
        found.has_header = result == MLKV_OK;
    }
    const char *why = mismatch(&found);
    if (why != NULL && !self->options.accept_loss)
        return error_set(MLKV_E_MISMATCH, "%s: %s (MLKV_ACCEPT_LOSS opens it with what LMDB holds)",
                         self->path, why);
    if (why == NULL && !found.identity.clean) {
        result = self->options.accept_loss
                     ? MLKV_OK
                     : journal_check_files(self->path, found.header.ring_bytes);
        if (result == MLKV_OK)
            result = replay(self, &found);
        if (result == MLKV_OK)
            result = check_synced(self, &found);
        if (result != MLKV_OK)
            return result;
    }
    if (found.has_header && found.header.tail > found.position.applied)
        found.position.applied =
            found.header.tail; /* positions only grow, even where writes were given up */
    found.position.chain = 0;  /* the first frame of a generation has no predecessor */
    return begin_generation(self, &found);
}

static int open_journal(engine *self)
{
    store_read *read = NULL;
    store_identity identity = {0}; /* not read if what comes before it fails */
    journal *log = NULL;
    pending *above = NULL;
    int result = store_read_begin(self->store, &read);
    if (result == MLKV_OK)
        result = store_read_identity(read, &identity);
    store_read_end(read);
    if (result == MLKV_OK)
        result = journal_open(self->path, identity.uuid, self->options.read_only, &log);
    if ((result == MLKV_ABSENT || result == MLKV_E_PLATFORM || result == MLKV_E_VERSION) &&
        self->options.read_only && identity.clean)
        return MLKV_OK; /* LMDB is all there is; a journal that another machine, boot or version left
                           behind says nothing */
    if (result == MLKV_ABSENT)
        result = error_set(MLKV_E_MISMATCH,
                           "%s: other processes have it open, but its journal is gone", self->path);
    if (result == MLKV_OK)
        result = pending_create(log, &above);
    if (result != MLKV_OK) {
        journal_close(log);
        return result;
    }
    uint64_t start = journal_applied(log);
    pending_reset(above, start);
    cache_reset(self->cache, start);
    atomic_store(&self->journal, log);
    atomic_store(&self->pending, above);
    atomic_store(&self->reaching, start);
    atomic_store(&self->cursor, start);
    return MLKV_OK;
}

/* Read-only: a store that nobody has open must be clean. */
static int check_readable(engine *self, bool alone)
{
    store_read *read = NULL;
    store_identity identity = {.clean = false};
    int result = alone ? store_read_begin(self->store, &read) : MLKV_OK;
    if (result == MLKV_OK && alone)
        result = store_read_identity(read, &identity);
    store_read_end(read);
    if (result == MLKV_OK && alone && !identity.clean)
        return error_set(MLKV_E_RECOVERY, "%s was not closed: open it once for writing",
                         self->path);
    return result;
}

static bool lacks_data(const engine *self)
{
    char path[PATH_MAX];
    struct stat status;
    int size = snprintf(path, sizeof path, "%s/data.mdb", self->path);
    return size > 0 && (size_t)size < sizeof path && lstat(path, &status) != 0 && errno == ENOENT;
}

/* What is not to be created must be there, before anything is made beside it. */
static int check_there(const engine *self)
{
    if (access(self->path, F_OK) != 0)
        return error_set(MLKV_E_ABSENT_STORE, "there is no folder %s", self->path);
    return lacks_data(self) ? error_set(MLKV_E_ABSENT_STORE, "there is no store in %s", self->path)
                            : MLKV_OK;
}

/* Alone, and about to make data.mdb: not where the journal of a store that was used is all that is
 * left of it. */
static int check_unused(const engine *self)
{
    journal_header header;
    if (self->options.accept_loss || !lacks_data(self) ||
        journal_read_header(self->path, &header) != MLKV_OK || header.tail == 0)
        return MLKV_OK;
    return error_set(MLKV_E_MISMATCH,
                     "%s: data.mdb is missing, and the journal of a store that was used is there "
                     "(MLKV_ACCEPT_LOSS makes a new store)",
                     self->path);
}

static int make_folder(const engine *self)
{
    if (!self->options.create || mkdir(self->path, 0700) == 0 || errno == EEXIST)
        return MLKV_OK;
    return error_set_system(errno, "cannot make the folder %s", self->path);
}

static int enter_gate(void *context)
{
    engine *self = context;
    return liveness_gate_enter(self->liveness, self->options.lock_timeout_ms);
}

static void leave_gate(void *context)
{
    engine *self = context;
    liveness_gate_leave(self->liveness);
}

static int create_ranks(engine *self)
{
    enum { TREES = 2 }; /* times the cache: what 10 million short members take, with the default */
    self->ranks_budget.bytes_max = TREES * self->options.cache_bytes;
    self->ranks = ranks_create(&self->ranks_budget, true);
    return self->ranks != NULL ? MLKV_OK : error_set_memory("a store");
}

enum { KEPT_PART = 16 }; /* of the cache's budget: 64 chunks of 256 KiB by default */

/* Both within the budget. */
static int create_caches(engine *self)
{
    size_t part = self->options.cache_bytes / KEPT_PART;
    int result = cache_create(self->options.cache_bytes - part, &self->cache);
    return result != MLKV_OK ? result : kept_create(part, &self->kept);
}

static int open_parts(engine *self)
{
    bool alone = false;
    int result = make_folder(self);
    if (result == MLKV_OK && !self->options.create)
        result = check_there(self);
    if (result == MLKV_OK)
        result = liveness_enter(self->path, self->options.read_only, self->options.lock_timeout_ms,
                                &self->liveness, &alone);
    if (result == MLKV_OK && !alone)
        result = journal_check_version(self->path); /* before anything of theirs is touched */
    if (result == MLKV_OK && alone && !self->options.read_only)
        result = check_unused(self);
    if (result == MLKV_OK)
        result = store_open_gated(self->path, self->options.create, self->options.read_only,
                                  &(store_gate){enter_gate, leave_gate, self}, &self->store);
    if (result == MLKV_OK)
        result = create_caches(self);
    if (result == MLKV_OK)
        result = pool_create(self->options.threads, &self->options.executor, &self->pool);
    if (result == MLKV_OK)
        result = create_ranks(self);
    if (result == MLKV_OK)
        result = dictionaries_create(&self->dictionaries);
    if (result == MLKV_OK && self->options.read_only)
        result = check_readable(self, alone);
    if (result == MLKV_OK && alone && !self->options.read_only)
        result = recover(self);
    if (result == MLKV_OK)
        result = open_journal(self);
    if (result == MLKV_OK && alone && !self->options.read_only)
        result = liveness_share(self->liveness);
    return result;
}

static void free_parts(engine *self)
{
    pool_destroy(self->pool);
    self->pool = NULL;
    pending_destroy(atomic_load(&self->pending));
    journal_close(engine_journal(self));
    engine_free_retired(self);
    cache_destroy(self->cache);
    kept_destroy(self->kept);
    ranks_destroy(self->ranks);
    dictionaries_destroy(self->dictionaries);
    store_close(self->store);
    liveness_leave(self->liveness);
    mlkv_buffer_free(&self->frame_buffer);
    self->store = NULL;
    self->cache = NULL;
    self->kept = NULL;
    self->ranks = NULL;
    self->dictionaries = NULL;
    self->liveness = NULL;
    atomic_store(&self->journal, NULL);
    atomic_store(&self->pending, NULL);
}

int engine_open(engine *self)
{
    lock_init(&self->catchup_lock);
    lock_init(&self->drain_lock);
    lock_init(&self->blob_lock);
    lock_init(&self->loans_lock);
    self->loans_end = &self->loans;
    int result = open_parts(self);
    if (result == MLKV_OK)
        result = engine_background_start(self);
    if (result != MLKV_OK)
        free_parts(self);
    return result;
}

/* The last of all processes: everything into LMDB, and the mark that says so. */
static int close_clean(engine *self)
{
    store_write *write = NULL;
    store_identity identity;
    journal *log = engine_journal(self);
    int result = engine_mend(self);
    if (result == MLKV_OK)
        result = engine_apply_until(self, journal_tail(log));
    if (result == MLKV_OK)
        result = engine_clean_notes(self, true);
    FAULT_POINT(CLOSE_APPLIED);
    if (result == MLKV_OK)
        result = engine_store_begin(self, self->options.lock_timeout_ms, &write);
    if (result != MLKV_OK)
        return result;
    result = store_write_identity(write, &identity);
    identity.clean = true;
    if (result == MLKV_OK)
        result = store_write_set_identity(write, &identity);
    if (result != MLKV_OK) {
        engine_store_abort(self, write);
        return result;
    }
    result = engine_store_commit(self, write);
    FAULT_POINT(CLOSE_CLEAN);
    return result;
}

/* Whether LMDB is still of this journal's generation, and not clean: MLKV_ABSENT if not. */
static int is_ours(engine *self)
{
    store_read *read = NULL;
    store_identity identity = {.clean = true};
    int result = store_read_begin(self->store, &read);
    if (result == MLKV_OK)
        result = store_read_identity(read, &identity);
    store_read_end(read);
    if (result != MLKV_OK)
        return result;
    bool ours = !identity.clean && identity.generation == journal_generation(engine_journal(self));
    return ours ? MLKV_OK : MLKV_ABSENT;
}

static int close_writable(engine *self)
{
    journal *log = engine_journal(self);
    int result = journal_check(log);
    if (result != MLKV_OK)
        return result;
    result = liveness_try_alone(self->liveness);
    if (result == MLKV_OK)
        return close_clean(self);
    if (result != MLKV_ABSENT)
        return result;
    result = engine_wait(self, journal_tail(log), MLKV_SYNC);
    FAULT_POINT(CLOSE_OTHERS);
    /* The others may be closing, too, each seeing the other: who leaves asks once more, when it is
     * not counted any longer. Of those that leave together exactly one finds itself alone. */
    int resigned = liveness_resign(self->liveness);
    if (resigned == MLKV_OK)
        resigned = is_ours(self);
    if (resigned == MLKV_OK)
        resigned = close_clean(self);
    return resigned == MLKV_ABSENT
               ? result /* somebody goes on, or came and took the journal's place */
               : resigned;
}

int engine_close(engine *self)
{
    engine_background_stop(self);
    int result =
        self->options.read_only || self->options.in_memory ? MLKV_OK : close_writable(self);
    free_parts(self);
    lock_destroy(&self->catchup_lock);
    lock_destroy(&self->drain_lock);
    lock_destroy(&self->blob_lock);
    lock_destroy(&self->loans_lock);
    return result;
}
