/* expiry.c - keys that end by themselves, in order of time.
 *
 * Bytes owned: X records, expiry(8, big-endian ms since 1970) name -> empty (a long name: the full
 * name). They say nothing that the K record does not: they are how what is due is found without
 * looking at anything else.
 *
 *   K says expiry e  <=>  X e name is there          (both change in one rule: entry.c)
 *
 * To every reader a key is gone at the millisecond of its expiry (entry_open). The pass here removes
 * it some time later: the keeper of each process asks for a step four times a second, and a step that
 * finds the shared hint (journal/clock.c) in the future costs two loads.
 *
 * Invariants
 *   1. A key is removed by a rule that reads it again, so one whose expiry was moved meanwhile stays.
 *   2. Two processes may be at it at once: the second finds nothing to remove.
 *   3. An X record whose key says otherwise is put away (it would be looked at for ever).
 *   4. The hint is set to what the scan found behind what is due, only if the scan came to an end and
 *      nobody noted an expiry since the pass began (op_expiry_begin). A pass that dies or fails is
 *      begun anew after AGAIN_MS.
 *
 * Locks: the writer lock, for a batch of removals at a time.
 */
#include "types/expiry.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "types/entry.h"
#include "types/field.h"
#include "types/named.h"

enum {
    BATCH_KEYS = 128, /* removals under the writer lock at a time */
    STEP_KEYS = 8192, /* the keeper has other duties */
    AGAIN_MS = 2000,  /* after a pass that did not come to its end */
    SLACK_MS = 1000,  /* a clock set back by less is waited for */
    SETTLE_STEPS = 1000,
    HEAD_SIZE_EXPIRY = 9,
};

static int layout_expiry(int record_class, int64_t at_ms, mlkv_slice name, record_key *ret_key)
{
    int result = layout_element((uint64_t)at_ms, name, ret_key);
    ret_key->bytes[0] = (unsigned char)record_class;
    return result;
}

int expiry_move_in(op *o, int record_class, mlkv_slice name, int64_t from_ms, int64_t to_ms)
{
    record_key key;
    int result = MLKV_OK;
    if (from_ms == to_ms)
        return MLKV_OK;
    if (from_ms != 0) {
        result = layout_expiry(record_class, from_ms, name, &key);
        if (result == MLKV_OK)
            result = op_delete(o, record_key_slice(&key));
    }
    if (result == MLKV_OK && to_ms != 0) {
        result = layout_expiry(record_class, to_ms, name, &key);
        if (result == MLKV_OK)
            result = named_put(o, &key, name, slice_of(NULL, 0), slice_of(NULL, 0));
        if (result == MLKV_OK)
            op_note_expiry(o, to_ms);
    }
    return result;
}

int expiry_move(op *o, mlkv_slice name, int64_t from_ms, int64_t to_ms)
{
    return expiry_move_in(o, RECORD_EXPIRY, name, from_ms, to_ms);
}

int expiry_find_in(op *o, int record_class, mlkv_slice name, int64_t at_ms)
{
    record_key key;
    mlkv_slice rest;
    int result = layout_expiry(record_class, at_ms, name, &key);
    return result != MLKV_OK ? result : named_borrow(o, &key, HEAD_SIZE_EXPIRY, name, &rest);
}

int expiry_find(op *o, mlkv_slice name, int64_t at_ms)
{
    return expiry_find_in(o, RECORD_EXPIRY, name, at_ms);
}

int expiry_split(mlkv_slice key, mlkv_slice value, int64_t *ret_at_ms, mlkv_slice *ret_name,
                 mlkv_slice *ret_rest)
{
    int result = layout_split_name(key, HEAD_SIZE_EXPIRY, value, ret_name, ret_rest);
    if (result == MLKV_OK)
        *ret_at_ms = (int64_t)load_be64((const unsigned char *)key.data + 1);
    return result;
}

int expiry_at(int64_t now_ms, int64_t ttl_ms, int64_t *ret_at_ms)
{
    if (__builtin_add_overflow(now_ms, ttl_ms, ret_at_ms))
        return error_set(MLKV_E_RANGE, "an expiry %lld ms from now is out of range",
                         (long long)ttl_ms);
    return MLKV_OK;
}

/* --- what is due --- */

typedef struct {
    int64_t at_ms;
    uint64_t size;
} due_head;

int due_add(due_list *self, int64_t at_ms, mlkv_slice name)
{
    due_head head = {at_ms, name.size};
    int result = buffer_append(&self->bytes, &head, sizeof head);
    if (result == MLKV_OK)
        result = buffer_append(&self->bytes, name.data, name.size);
    self->count += result == MLKV_OK;
    return result;
}

mlkv_slice due_next(const due_list *self, size_t *at, int64_t *ret_at_ms)
{
    const unsigned char *bytes = self->bytes.data;
    due_head head;
    memcpy(&head, bytes + *at, sizeof head);
    mlkv_slice name = slice_of(bytes + *at + sizeof head, (size_t)head.size);
    *at += sizeof head + (size_t)head.size;
    *ret_at_ms = head.at_ms;
    return name;
}

/* --- a pass: first over keys (X), then over hashes with fields that are due (F) --- */

typedef struct {
    mlkv *view;
    expiry_times times;
    uint64_t ticket;
    unsigned char record_class;
    int64_t next_ms; /* what the scans found behind all that is due */
    scan *walk;
    due_list due;
} expiry_pass;

static int begin_rule(op *o, void *context)
{
    expiry_pass *self = context;
    return op_expiry_begin(o, AGAIN_MS, &self->ticket);
}

static int end_rule(op *o, void *context)
{
    const expiry_pass *self = context;
    return op_expiry_end(o, self->ticket, self->next_ms, &self->times);
}

static int scan_rule(op *o, void *context)
{
    expiry_pass *self = context;
    scan_close(self->walk); /* of a run that did not count */
    self->walk = NULL;
    return op_scan_open(o, slice_of(&self->record_class, 1), slice_of(NULL, 0), &self->walk);
}

static int remove_one(op *o, int64_t at_ms, mlkv_slice name)
{
    entry found;
    int result = entry_open(o, name, TYPE_ANY, &found);
    if (result < 0) /* a broken record is for mlkv_verify to tell; others must not wait for it */
        return result == MLKV_E_CORRUPT ? MLKV_OK : result;
    if (result == MLKV_ABSENT && found.expired && found.header.expiry_ms == at_ms)
        return entry_remove(o, &found);
    bool stands = result == MLKV_OK || found.expired;
    return stands && found.header.expiry_ms == at_ms ? MLKV_OK : expiry_move(o, name, at_ms, 0);
}

static int remove_rule(op *o, void *context)
{
    const expiry_pass *self = context;
    size_t at = 0;
    int64_t at_ms;
    int result = MLKV_OK;
    for (size_t i = 0; i < self->due.count && result == MLKV_OK; i++) {
        mlkv_slice name = due_next(&self->due, &at, &at_ms);
        result = remove_one(o, at_ms, name);
    }
    return result;
}

/* MLKV_ABSENT: a hash has more fields that are due than belong into a step. */
static int remove_due(expiry_pass *self)
{
    int result = MLKV_OK;
    if (self->due.count != 0)
        result = self->record_class == RECORD_EXPIRY
                     ? op_write(self->view, remove_rule, self)
                     : field_pass(self->view, self->times.now_ms, &self->due);
    self->due.bytes.size = 0;
    self->due.count = 0;
    return result;
}

/* Walks over what is due. MLKV_OK: all of it; MLKV_ABSENT: the step has done enough. */
static int walk_due(expiry_pass *self)
{
    mlkv_slice key, value, name, rest;
    int64_t at_ms = 0;
    for (size_t n = 0;; n++) {
        int result = scan_next(self->walk, &key, &value);
        if (result == MLKV_ABSENT)
            return remove_due(self);
        if (result == MLKV_OK)
            result = expiry_split(key, value, &at_ms, &name, &rest);
        if (result == MLKV_E_CORRUPT && n < STEP_KEYS)
            continue;
        if (result != MLKV_OK)
            return result;
        if (at_ms > self->times.now_ms || n == STEP_KEYS) {
            self->next_ms = at_ms < self->next_ms ? at_ms : self->next_ms;
            result = remove_due(self);
            return result == MLKV_OK && n == STEP_KEYS ? MLKV_ABSENT : result;
        }
        result = due_add(&self->due, at_ms, name);
        if (result == MLKV_OK && self->due.count == BATCH_KEYS)
            result = remove_due(self);
        if (result != MLKV_OK)
            return result;
    }
}

static int pass_over(expiry_pass *self, int record_class)
{
    self->record_class = (unsigned char)record_class;
    int result = op_read(self->view, scan_rule, self);
    if (result == MLKV_OK)
        result = walk_due(self);
    scan_close(self->walk);
    self->walk = NULL;
    if (result == MLKV_ABSENT) /* there is more, and it is due now */
        self->next_ms = self->times.now_ms;
    return result;
}

int expiry_step(mlkv *view)
{
    expiry_pass self = {.view = view, .next_ms = INT64_MAX};
    int result = op_expiry_times(view, &self.times);
    if (result != MLKV_OK)
        return result;
    if (self.times.due_ms > self.times.now_ms && self.times.behind_ms < SLACK_MS)
        return MLKV_ABSENT;
    result = op_write(view, begin_rule, &self);
    if (result == MLKV_OK)
        result = pass_over(&self, RECORD_EXPIRY);
    int keys = result;
    if (result >= 0)
        result = pass_over(&self, RECORD_FIELDS_DUE);
    bool more = keys == MLKV_ABSENT || result == MLKV_ABSENT;
    if (result >= 0)
        result = op_write(view, end_rule, &self);
    mlkv_buffer_free(&self.due.bytes);
    if (result != MLKV_OK)
        return result;
    return more ? MLKV_OK : MLKV_ABSENT;
}

int expiry_settle(mlkv *view)
{
    expiry_times times;
    int result = op_expiry_times(view, &times);
    for (int i = 0; i < SETTLE_STEPS && result == MLKV_OK && times.behind_ms >= SLACK_MS; i++) {
        result = expiry_step(view);
        if (result >= 0)
            result = op_expiry_times(view, &times);
    }
    return result;
}
