/* salvage_journal.c - what a damaged store's journal adds to what was found of its LMDB file.
 *
 * Frames are taken as recovery takes them (journal/scan.c): from a position that LMDB had applied, of
 * the generation that LMDB names, as far as the chain of checksums holds. Position and generation
 * stand in sealed records of LMDB; without them it cannot be shown that the journal belongs to the
 * records, and nothing is taken from it. Without any LMDB file there is nothing to mix up: then the
 * journal's header is believed for its generation.
 *
 * Replaying from an older position of the same chain gives the same as from a newer one, for the last
 * write of each record is the same. So a state of LMDB that is older than the newest can be brought up
 * to it by frames, if none of those between is a marker: a marker says that a batch went to LMDB
 * directly, and is in no frame.
 *
 * Where a marker stands behind the position of the state that was taken, the replay ends before it; and
 * nothing is replayed if some of the records may be newer than that position.
 *
 * What is only told: a header that says that there were more frames; a journal of another store.
 * Locks: none, nobody else has the store open.
 */
#include "engine/salvage.h"

#include "base/bytes.h"
#include "base/error.h"
#include "engine/engine.h"

#include <stdarg.h>
#include <stdio.h>

enum { BATCH_PAGES = 16384 }; /* of one transaction: far below what makes LMDB spill */

int salvage_tell(const salvage_listener *listener, bool loss, const char *format, ...)
{
    char text[480];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return listener->tell(listener->context, loss, text) == 0 ? 0 : MLKV_ABSENT;
}

void salvage_journal_open(salvage_journal *self)
{
    self->has_header = journal_read_header(self->damaged, &self->header) == MLKV_OK;
}

static bool is_header_of(const salvage_journal *self, const store_identity *identity)
{
    return self->has_header && self->header.generation == identity->generation &&
           memcmp(self->header.uuid, identity->uuid, sizeof identity->uuid) == 0;
}

/* Up to where frames are known to have been visible; 0: not known. */
static uint64_t known_end(const salvage_journal *self, const store_identity *identity)
{
    if (!is_header_of(self, identity))
        return 0;
    return self->header.tail > self->header.synced ? self->header.tail : self->header.synced;
}

/* Where the first marker in [from, to) begins; `to` if there is none. */
static uint64_t first_marker(journal_scan *scan, uint64_t from, uint64_t to)
{
    while (from < to) {
        journal_frame frame;
        if (journal_scan_frame(scan, from, &frame) != MLKV_OK)
            return to; /* the replay comes to it, too */
        if (frame.kind != FRAME_BATCH)
            return from;
        from = frame.end;
    }
    return to;
}

/* Whether frames from `from` on end exactly at `to`, and are all there is to know of the way. */
static bool leads(journal_scan *scan, uint64_t from, uint64_t to)
{
    while (from < to) {
        journal_frame frame;
        if (journal_scan_frame(scan, from, &frame) != MLKV_OK || frame.kind != FRAME_BATCH)
            return false;
        from = frame.end;
    }
    return from == to;
}

bool salvage_journal_reaches(salvage_journal *self, const remains_state *before,
                             const remains_state *newest)
{
    journal_scan *scan = NULL;
    uint64_t tail = 0, next_id = 0, from = before->position.applied;
    if (!before->has_position || !before->has_identity)
        return false;
    if (newest->has_position && newest->position.applied == from)
        return true;
    uint64_t goal = newest->position.applied;
    if (!newest->has_position) {
        if (!is_header_of(self, &before->identity))
            return false;
        goal = self->header.tail; /* its `applied` may lag behind LMDB */
    }
    if (goal == from)
        return true;
    if (goal < from ||
        (newest->has_identity && newest->identity.generation != before->identity.generation))
        return false;
    int result = journal_scan_open(self->damaged, before->identity.generation, from,
                                   before->position.chain, &scan, &tail, &next_id);
    bool reaches = result == MLKV_OK && tail >= goal && leads(scan, from, goal);
    journal_scan_close(scan);
    return reaches;
}

/* --- replaying --- */

static int write_batch(salvage_journal *self, collected *into)
{
    uint64_t put;
    int result = collect_write(into, self->write, &put);
    if (result != MLKV_OK)
        return result;
    result = store_write_commit(self->write);
    self->write = NULL;
    return result == MLKV_OK ? store_write_begin(self->target, &self->write) : result;
}

/* One transaction's frames. MLKV_E_CORRUPT ends the replay, with what came before. */
static int replay_some(salvage_journal *self, journal_scan *scan, uint64_t *position, uint64_t tail)
{
    collected *into = NULL;
    store_info info;
    journal_frame frame;
    int result = collect_create(&into), ended = MLKV_OK;
    if (result == MLKV_OK)
        result = store_get_info(self->target, &info);
    while (result == MLKV_OK && *position < tail &&
           collect_pages(into, info.tree_pages) < BATCH_PAGES) {
        ended = journal_scan_frame(scan, *position, &frame);
        if (ended != MLKV_OK)
            break;
        result = collect_add(into, &frame);
        *position = frame.end;
        self->frames++;
    }
    if (result == MLKV_OK)
        result = write_batch(self, into);
    collect_destroy(into);
    return result != MLKV_OK ? result : ended;
}

/* What the journal held and cannot be had: any record may be older than it should be. */
__attribute__((format(printf, 2, 3))) static int tell_stale(salvage_journal *self,
                                                            const char *format, ...)
{
    char sentence[400];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    self->stale = true;
    return salvage_tell(self->listener, true, "%s", sentence);
}

static int replay_from(salvage_journal *self, uint64_t generation, uint64_t from, uint64_t chain,
                       uint64_t *ret_end)
{
    journal_scan *scan = NULL;
    uint64_t tail = 0, next_id = 0;
    *ret_end = from;
    int result = journal_scan_open(self->damaged, generation, from, chain, &scan, &tail, &next_id);
    if (result == MLKV_OK && next_id > self->next_id)
        self->next_id = next_id;
    uint64_t marker = result == MLKV_OK ? first_marker(scan, from, tail) : tail;
    if (marker != tail) {
        tail = self->mixed ? from : marker;
        result =
            tell_stale(self,
                       "a large batch went to data.mdb directly at position %llu of the journal, "
                       "and that state of it is not to be had: nothing is taken from the journal "
                       "behind %llu",
                       (unsigned long long)marker, (unsigned long long)tail);
    }
    while (result == MLKV_OK && *ret_end < tail)
        result = replay_some(self, scan, ret_end, tail);
    journal_scan_close(scan);
    return result;
}

/* What the header knows of and was not found. */
static int tell_end(salvage_journal *self, uint64_t reached, uint64_t known)
{
    if (known <= reached)
        return MLKV_OK;
    return tell_stale(self,
                      "the journal is damaged at position %llu and went up to %llu: the newest "
                      "writes are lost",
                      (unsigned long long)reached, (unsigned long long)known);
}

static int tell_stranger(salvage_journal *self, const remains_state *state)
{
    bool same_store =
        memcmp(self->header.uuid, state->identity.uuid, sizeof self->header.uuid) == 0;
    bool clean = state->identity.clean;
    if (clean && self->header.tail <= self->header.base)
        return MLKV_OK; /* made by an opener that then wrote nothing */
    return tell_stale(self, "the journal belongs to another %s; nothing is taken from it",
                      same_store ? "state of this store, and holds writes" : "store");
}

static int replay_state(salvage_journal *self, const remains_state *state)
{
    uint64_t reached = 0;
    const store_identity *identity = &state->identity;
    if (self->has_header && !is_header_of(self, identity))
        return tell_stranger(self, state);
    int result = replay_from(self, identity->generation, state->position.applied,
                             state->position.chain, &reached);
    bool all_there = is_header_of(self, identity) && self->header.tail <= state->position.applied;
    if (result == MLKV_ABSENT)
        return identity->clean || all_there
                   ? MLKV_OK
                   : tell_stale(self, "the store was not closed, and its journal is missing: "
                                      "what only the journal held is lost");
    if (result == MLKV_E_CORRUPT && identity->clean && known_end(self, identity) <= reached)
        return MLKV_OK;
    if (result == MLKV_E_CORRUPT)
        return tell_stale(self, "the journal cannot be read from %llu on: %s",
                          (unsigned long long)reached, mlkv_error_detail());
    if (result == MLKV_OK && !self->has_header && !identity->clean)
        result = salvage_tell(self->listener, false,
                              "journal.head cannot be read: frames were followed as far as their "
                              "chain holds, up to %llu",
                              (unsigned long long)reached);
    return result == MLKV_OK ? tell_end(self, reached, known_end(self, identity)) : result;
}

/* The journal is all that there is. */
static int replay_alone(salvage_journal *self)
{
    const journal_header *header = &self->header;
    uint64_t reached = 0, from = header->base;
    if (!self->has_header)
        return error_set(MLKV_E_CORRUPT, "neither data.mdb nor journal.head can be read");
    int result = replay_from(self, header->generation, from, 0, &reached);
    if (result == MLKV_OK && reached == from && header->applied > from) {
        from = header->applied;
        result = replay_from(self, header->generation, from, 0, &reached);
    }
    if (result == MLKV_E_CORRUPT || result == MLKV_ABSENT || (result == MLKV_OK && reached == from))
        return error_set(MLKV_E_CORRUPT,
                         "there is no readable data.mdb, and no frame in the journal");
    if (result == MLKV_OK && from != 0)
        result = tell_stale(self,
                            "without data.mdb only what was written last is there: the journal "
                            "from position %llu on",
                            (unsigned long long)from);
    return result == MLKV_OK ? tell_end(self, reached, header->tail) : result;
}

int salvage_journal_replay(salvage_journal *self, const remains_state *state)
{
    return state == NULL ? replay_alone(self) : replay_state(self, state);
}

int salvage_journal_tell_unknown(salvage_journal *self)
{
    if (self->has_header && self->header.tail == self->header.applied)
        return MLKV_OK; /* all of it was in LMDB */
    return tell_stale(self,
                      "data.mdb does not say any more which journal goes on where, so nothing is "
                      "taken from the journal");
}
