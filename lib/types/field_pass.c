/* field_pass.c - removing fields of hashes that are due: the part of the background pass (expiry.c) that follows F records.
 *
 * The pass hands over some hashes whose first field is due. They are settled in one write rule, as many as BUDGET_FIELDS removals
 * allow: a hash's Y records are read in order of time, due fields are removed, and the first one behind them becomes the hash's
 * first_ms. A hash with more due fields than that is drained: its Y records are read outside the lock, and removed a batch at a time.
 *
 * Invariants
 *   1. A field is removed by a rule that reads it again, so one that was set anew, or moved, meanwhile stays.
 *   2. A hash of which every field is gone is removed whole, O(1): the cleaner reclaims its records.
 *   3. first_ms is set by a rule that reads the Y records itself: no expiry that comes in meanwhile is overlooked.
 *   4. What cannot be understood is put out of the way, not waited for: mlkv_verify tells of it.
 * Locks: the writer lock, for a batch at a time.
 */
#include "types/field.h"

#include "base/bytes.h"
#include "base/error.h"

enum {
    BUDGET_FIELDS = 512, /* removals under the writer lock at a time: well below a millisecond */
    STEP_FIELDS = 8192,  /* of one hash in one step of the pass */
};

/* Removes one field that a Y record says is due. */
static int remove_field(op *o, entry *hash, mlkv_slice name, int64_t at_ms)
{
    hash_field found;
    record_key key;
    int result = field_open(o, hash, name, &found);
    if (result == MLKV_E_CORRUPT)
        found.stands = false;
    else if (result < 0)
        return result;
    if (found.stands && found.at_ms == at_ms) {
        result = field_delete(o, hash, &found);
        if (result != MLKV_E_CORRUPT)
            return result;
    }
    result = layout_field_expiry(hash->header.id, at_ms, name, &key);
    return result != MLKV_OK ? result : op_delete(o, record_key_slice(&key));
}

/* --- settling small ones --- */

typedef struct {
    const due_list *hashes;
    int64_t now_ms;
    size_t done, at;           /* hashes settled, and where the next one stands */
    size_t next_done, next_at; /* of the run of the rule */
    size_t budget;             /* of a run */
    bool more;                 /* the last one settled has fields left that are due */
    mlkv_slice last_name;
} settle_call;

/* *ret_next_ms: when the first field behind those removed expires. */
static int remove_due(op *o, entry *hash, scan *walk, settle_call *call, int64_t *ret_next_ms)
{
    mlkv_slice key, value, name;
    int64_t at_ms = 0;
    *ret_next_ms = INT64_MAX;
    for (;;) {
        int result = scan_next(walk, &key, &value);
        if (result == MLKV_OK)
            result = field_split_expiry(key, value, &at_ms, &name);
        if (result == MLKV_E_CORRUPT)
            continue;
        if (result != MLKV_OK)
            return result == MLKV_ABSENT ? MLKV_OK : result;
        if (at_ms > call->now_ms || call->budget == 0) {
            *ret_next_ms = at_ms;
            call->more = at_ms <= call->now_ms;
            return MLKV_OK;
        }
        call->budget--;
        result = remove_field(o, hash, name, at_ms);
        if (result != MLKV_OK)
            return result;
    }
}

static int settle_hash(op *o, entry *hash, settle_call *call)
{
    scan *walk = NULL;
    int64_t next_ms = INT64_MAX;
    key_header before = hash->header;
    int result = field_open_expiries(o, hash->header.id, 0, &walk);
    if (result == MLKV_OK)
        result = remove_due(o, hash, walk, call, &next_ms);
    scan_close(walk);
    if (result != MLKV_OK)
        return result;
    hash->header.first_ms = next_ms;
    hash->header.last_ms = hash->header.last_ms < next_ms ? next_ms : hash->header.last_ms;
    return field_store(o, hash, &before);
}

static int settle_one(op *o, settle_call *call, mlkv_slice name, int64_t at_ms)
{
    entry found;
    int result = entry_open(o, name, TYPE_ANY, &found);
    if (result < 0)
        return result == MLKV_E_CORRUPT ? MLKV_OK : result;
    bool stands = result == MLKV_OK || found.expired;
    bool due = stands && found.header.fields_expire && found.header.first_ms <= call->now_ms;
    result = MLKV_OK;
    if (!stands || found.header.first_ms != at_ms) /* this F record says what the hash does not */
        result = field_move_first(o, name, at_ms, 0);
    if (result != MLKV_OK || !due)
        return result;
    return found.expired ? entry_remove(o, &found) : settle_hash(o, &found, call);
}

static int settle_rule(op *o, void *context)
{
    settle_call *call = context;
    int64_t at_ms;
    int result = MLKV_OK;
    call->next_done = call->done;
    call->next_at = call->at;
    call->budget = BUDGET_FIELDS;
    call->more = false;
    while (call->next_done < call->hashes->count && call->budget != 0 && !call->more &&
           result == MLKV_OK) {
        call->last_name = due_next(call->hashes, &call->next_at, &at_ms);
        result = settle_one(o, call, call->last_name, at_ms);
        call->next_done++;
    }
    return result;
}

/* --- draining large ones --- */

typedef struct {
    mlkv_slice name; /* of the hash */
    int64_t now_ms;
    uint64_t id;
    scan *walk;
    due_list fields;
} drain_call;

static int drain_scan_rule(op *o, void *context)
{
    drain_call *call = context;
    entry hash;
    scan_close(call->walk); /* of a run that did not count */
    call->walk = NULL;
    int result = entry_open(o, call->name, TYPE_HASH, &hash);
    if (result != MLKV_OK)
        return result;
    call->id = hash.header.id;
    return field_open_expiries(o, call->id, 0, &call->walk);
}

static int drain_rule(op *o, void *context)
{
    const drain_call *call = context;
    entry hash;
    size_t at = 0;
    int64_t at_ms;
    int result = entry_open(o, call->name, TYPE_HASH, &hash);
    if (result != MLKV_OK || hash.header.id != call->id)
        return result == MLKV_OK ? MLKV_ABSENT : result;
    key_header before = hash.header;
    for (size_t i = 0; i < call->fields.count && result == MLKV_OK; i++) {
        mlkv_slice name = due_next(&call->fields, &at, &at_ms);
        result = remove_field(o, &hash, name, at_ms);
    }
    return result != MLKV_OK ? result : field_store(o, &hash, &before);
}

/* MLKV_ABSENT: the hash is gone, or all that was due. */
static int drain_batch(mlkv *view, drain_call *call)
{
    mlkv_slice key, value, name;
    int64_t at_ms = 0;
    int result = MLKV_OK;
    call->fields.bytes.size = 0;
    call->fields.count = 0;
    while (result == MLKV_OK && call->fields.count < BUDGET_FIELDS) {
        result = scan_next(call->walk, &key, &value);
        if (result == MLKV_OK)
            result = field_split_expiry(key, value, &at_ms, &name);
        if (result == MLKV_OK)
            result = at_ms > call->now_ms ? MLKV_ABSENT : due_add(&call->fields, at_ms, name);
        else if (result == MLKV_E_CORRUPT)
            result = MLKV_OK;
    }
    if (result < 0 || call->fields.count == 0)
        return result;
    int written = op_write(view, drain_rule, call);
    return written != MLKV_OK ? written : result;
}

static int drain(mlkv *view, mlkv_slice name, int64_t now_ms)
{
    drain_call call = {.name = name, .now_ms = now_ms};
    int result = op_read(view, drain_scan_rule, &call);
    for (size_t n = 0; n < STEP_FIELDS && result == MLKV_OK; n += BUDGET_FIELDS)
        result = drain_batch(view, &call);
    scan_close(call.walk);
    mlkv_buffer_free(&call.fields.bytes);
    return result < 0 && result != MLKV_E_TYPE ? result : MLKV_OK;
}

static int settle(mlkv *view, settle_call *call)
{
    int result = op_write(view, settle_rule, call);
    call->done = call->next_done;
    call->at = call->next_at;
    return result;
}

/* A hash with much that is due. *ret_more: there is more than belongs into a step. */
static int drain_and_settle(mlkv *view, mlkv_slice name, int64_t now_ms, bool *ret_more)
{
    due_list one = {.count = 0};
    settle_call call = {.hashes = &one, .now_ms = now_ms};
    int result = drain(view, name, now_ms);
    if (result == MLKV_OK)
        result = due_add(&one, 0, name);
    if (result == MLKV_OK)
        result = settle(view, &call);
    mlkv_buffer_free(&one.bytes);
    *ret_more = call.more;
    return result;
}

int field_pass(mlkv *view, int64_t now_ms, const due_list *hashes)
{
    settle_call call = {.hashes = hashes, .now_ms = now_ms};
    bool unfinished = false, more = false;
    int result = MLKV_OK;
    while (call.done < hashes->count && result == MLKV_OK) {
        result = settle(view, &call);
        if (result == MLKV_OK && call.more) {
            result = drain_and_settle(view, call.last_name, now_ms, &more);
            unfinished = unfinished || more;
        }
    }
    return result == MLKV_OK && unfinished ? MLKV_ABSENT : result;
}
