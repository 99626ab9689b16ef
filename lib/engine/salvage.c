/* salvage.c - the records of a damaged store, put into a new LMDB file.
 *
 *   1. Nobody may have the damaged store open (journal.lock tells).
 *   2. store/remains finds what it can of data.mdb; each record goes into the new file at once.
 *   3. Gaps are filled; the state before the newest may be used exactly if the journal leads from one
 *      to the other.
 *   4. The journal is replayed, from the position of the state that was taken.
 *   5. The counters of ids are set above everything that was seen; the new store is clean.
 *
 * The new store has an identity of its own and begins at position 0: records of class S are not
 * copied. Nor are notes (N), whose sessions are dead.
 *
 * Invariants:
 *  1. The damaged folder is only read.
 *  2. A transaction holds at most COMMIT_BYTES or COMMIT_RECORDS, so that LMDB never spills.
 *
 * Locks: none of its own.
 */
#include "engine/salvage.h"

#include "base/bytes.h"
#include "base/error.h"
#include "base/record.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

enum {
    COMMIT_BYTES = 32 << 20,
    COMMIT_RECORDS = 50000,
    ID_KEY_SIZE = 9,
};
/* Above ids that may have been given and were not seen. */
static const uint64_t IDS_SPARED = (uint64_t)1 << 32;

typedef struct {
    const salvage_listener *listener;
    salvage_journal journal; /* its `write` is the open transaction */
    store_remains *remains;
    bool filling;
    uint64_t bytes, records; /* in the open transaction */
    uint64_t id_max, blob_max;
} rescue;

static int flush(rescue *self)
{
    int result = store_write_commit(self->journal.write);
    self->journal.write = NULL;
    self->bytes = self->records = 0;
    return result == MLKV_OK ? store_write_begin(self->journal.target, &self->journal.write)
                             : result;
}

static void note_id(rescue *self, mlkv_slice key)
{
    const unsigned char *bytes = key.data;
    if (key.size < ID_KEY_SIZE)
        return;
    uint64_t id = load_be64(bytes + 1);
    switch (bytes[0]) {
    case RECORD_BLOB:
    case RECORD_REFERENCE:
    case RECORD_WASTE:
        self->blob_max = id > self->blob_max ? id : self->blob_max;
        break;
    case RECORD_ELEMENT:
    case RECORD_ORDER:
    case RECORD_LIST:
    case RECORD_TENSOR:
    case RECORD_ROW:
    case RECORD_FIELD_EXPIRY:
    case RECORD_GARBAGE:
        self->id_max = id > self->id_max ? id : self->id_max;
        break;
    default:
        break;
    }
}

static int put(void *context, mlkv_slice key, mlkv_slice value, bool over, bool *ret_new)
{
    rescue *self = context;
    const unsigned char class = *(const unsigned char *)key.data;
    mlkv_slice old;
    *ret_new = true;
    if (class == RECORD_SYSTEM || class == RECORD_NOTE)
        return MLKV_OK;
    if (self->filling) {
        int found = store_write_get(self->journal.write, key, &old);
        if (found < 0)
            return found;
        *ret_new = found == MLKV_ABSENT;
        if (!over && found == MLKV_OK)
            return MLKV_OK;
    }
    note_id(self, key);
    int result = store_write_put(self->journal.write, key, value, slice_of(NULL, 0));
    self->bytes += key.size + value.size;
    if (result == MLKV_OK && (++self->records >= COMMIT_RECORDS || self->bytes >= COMMIT_BYTES))
        result = flush(self);
    return result;
}

static int tell(void *context, bool loss, const char *sentence)
{
    return salvage_tell(((rescue *)context)->listener, loss, "%s", sentence);
}

/* As far as journal.lock tells. */
static int check_nobody(const char *damaged)
{
    liveness *look = NULL;
    bool alone = true;
    struct stat status;
    if (stat(damaged, &status) != 0)
        return errno == ENOENT ? error_set(MLKV_E_ABSENT_STORE, "there is no folder %s", damaged)
                               : error_set_system(errno, "looking at %s", damaged);
    if (!S_ISDIR(status.st_mode))
        return error_set(MLKV_E_ABSENT_STORE, "%s is not a folder", damaged);
    int result = liveness_enter(damaged, true, 0, &look, &alone);
    liveness_leave(look);
    if (result == MLKV_E_ABSENT_STORE || result == MLKV_E_IO)
        return MLKV_OK; /* no such file, or one that cannot be a lock: nobody can hold it */
    if (result == MLKV_OK && !alone)
        result = error_set(MLKV_E_BUSY, "a living process has %s open: close it first", damaged);
    return result;
}

/* The LMDB file. MLKV_ABSENT in *ret_found: there is nothing to be found in it. */
static int rescue_store(rescue *self, int *ret_found)
{
    const remains_sink sink = {.context = self, .put = put, .tell = tell};
    int result = store_remains_open(self->journal.damaged, &sink, &self->remains);
    *ret_found = MLKV_OK;
    if (result == MLKV_ABSENT || result == MLKV_E_CORRUPT) {
        *ret_found = MLKV_ABSENT;
        return self->journal.has_header
                   ? salvage_tell(self->listener, true, "%s", mlkv_error_detail())
                   : MLKV_OK;
    }
    if (result == MLKV_OK)
        result = store_remains_walk(self->remains);
    if (result != MLKV_OK || !store_remains_has_gaps(self->remains))
        return result;
    const remains_state *before = store_remains_before(self->remains);
    bool exact = before != NULL && salvage_journal_reaches(&self->journal, before,
                                                           store_remains_newest(self->remains));
    self->filling = true;
    return store_remains_fill(self->remains, exact ? REMAINS_OLDER_EXACT : REMAINS_OLDER_UNCERTAIN);
}

static bool is_known(const remains_state *state)
{
    return state != NULL && state->has_position && state->has_identity;
}

/* From where the journal goes on; NULL: not known. */
static const remains_state *choose_state(const rescue *self)
{
    const remains_state *newest = store_remains_newest(self->remains);
    const remains_state *before = store_remains_before(self->remains);
    bool older = store_remains_summary(self->remains)->used_older;
    if (is_known(newest) && (!older || newest->position.applied == before->position.applied))
        return newest; /* which also says whether the store was closed */
    return is_known(before) ? before : NULL;
}

static int tell_base(const rescue *self)
{
    const remains_summary *summary = store_remains_summary(self->remains);
    if (summary->found_roots)
        return salvage_tell(self->listener, false,
                            "both meta pages of data.mdb are unusable: the newest state whose root "
                            "is in the file is taken");
    if (summary->base_is_older)
        return salvage_tell(
            self->listener, false,
            "one meta page of data.mdb is unusable: the other's state is taken, and "
            "brought up to date by the journal as far as that holds");
    return MLKV_OK;
}

static int rescue_journal(rescue *self, int found)
{
    if (found == MLKV_ABSENT)
        return salvage_journal_replay(&self->journal, NULL);
    const remains_state *state = choose_state(self);
    self->journal.mixed = state != NULL && state != store_remains_newest(self->remains) &&
                          !store_remains_newest(self->remains)->has_position;
    int result = tell_base(self);
    if (result != MLKV_OK)
        return result;
    return state != NULL ? salvage_journal_replay(&self->journal, state)
                         : salvage_journal_tell_unknown(&self->journal);
}

/* Ids that nobody had. */
static int set_counters(rescue *self)
{
    uint64_t next_id = self->id_max + 1, next_blob = self->blob_max + 1, first;
    if (self->remains != NULL) {
        const remains_state *newest = store_remains_newest(self->remains);
        const remains_summary *summary = store_remains_summary(self->remains);
        if (newest->has_position && newest->position.next_id > next_id)
            next_id = newest->position.next_id;
        next_blob = summary->blob_counter > next_blob ? summary->blob_counter : next_blob;
    }
    next_id = self->journal.next_id > next_id ? self->journal.next_id : next_id;
    bool all_seen = self->remains != NULL && !store_remains_has_gaps(self->remains);
    if (!all_seen && next_id < UINT64_MAX / 2 && next_blob < UINT64_MAX / 2) {
        next_id += IDS_SPARED;
        next_blob += IDS_SPARED;
    }
    int result =
        store_write_set_position(self->journal.write, (store_position){.next_id = next_id});
    if (result == MLKV_OK && next_blob > 1)
        result = store_write_take_blob_ids(self->journal.write, next_blob - 1, &first);
    return result;
}

static void count(const rescue *self, salvage_counts *ret_counts)
{
    *ret_counts = (salvage_counts){.frames = self->journal.frames};
    if (self->remains == NULL)
        return;
    const remains_summary *summary = store_remains_summary(self->remains);
    ret_counts->pages = summary->pages;
    ret_counts->pages_damaged = summary->pages_damaged;
    ret_counts->records = summary->records;
    ret_counts->records_lost = summary->lost;
    ret_counts->records_uncertain = self->journal.stale ? summary->records : summary->uncertain;
}

/* Whether there is a store at all, for the error's sake. */
static int check_something(const rescue *self, int found, int result)
{
    if (found != MLKV_ABSENT || self->journal.has_header || result != MLKV_E_CORRUPT)
        return result;
    struct stat status;
    char path[4096];
    int size = snprintf(path, sizeof path, "%s/data.mdb", self->journal.damaged);
    if (size > 0 && (size_t)size < sizeof path && lstat(path, &status) != 0)
        return error_set(MLKV_E_ABSENT_STORE, "there is no store in %s", self->journal.damaged);
    return result;
}

int engine_salvage(const char *damaged, const char *target, const salvage_listener *listener,
                   salvage_counts *ret_counts)
{
    rescue self = {.listener = listener, .journal = {.damaged = damaged, .listener = listener}};
    int found = MLKV_OK, result = check_nobody(damaged);
    if (result != MLKV_OK)
        return result;
    salvage_journal_open(&self.journal);
    result = store_open(target, true, false, &self.journal.target);
    if (result == MLKV_OK)
        result = store_write_begin(self.journal.target, &self.journal.write);
    if (result == MLKV_OK)
        result = rescue_store(&self, &found);
    if (result == MLKV_OK)
        result = rescue_journal(&self, found);
    result = check_something(&self, found, result);
    if (result == MLKV_OK)
        result = set_counters(&self);
    if (result == MLKV_OK) {
        result = store_write_commit(self.journal.write);
        self.journal.write = NULL;
    }
    if (result == MLKV_OK)
        count(&self, ret_counts);
    store_write_abort(self.journal.write);
    store_remains_close(self.remains);
    store_close(self.journal.target);
    return result;
}
