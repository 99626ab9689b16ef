/* key_random.c - some key of the store, drawn at random.
 *
 * Nothing counts the keys before a name, so a number cannot be looked up. Up to LISTED_MAX of them are read, and each is equally likely.
 * Of more, some are drawn by ways down the tree of their record keys: from a prefix to one of the bytes that follow it, to the next, until
 * few enough stand there to be counted. How likely a way was is known at its end; among the keys drawn one is taken with a weight of one
 * over that (importance resampling). So what the shape of the tree makes too likely is set right, as far as DRAWS draws can:
 *
 *   at a prefix, each byte that follows weighs as many keys as stand behind it, counted up to BRANCH_MAX (ROOT_BRANCH_MAX at the first)
 *   a byte with less is counted out: one of all keys there is taken, and the way ends
 *   a byte with more is gone on from
 *
 * All of it is one scan that is moved (scan_seek): keys of one moment, no lock, no second look at what is pending.
 *
 * Invariants
 *   1. A way visits at most RECORD_KEY_SIZE_MAX prefixes, and reads at most 256 * (BRANCH_MAX + 1) records at each but the first.
 *   2. Every key is the end of some way.
 *   3. A key whose time is over is never taken: such a draw is void. If too many are, all keys are read.
 * Locks: none.
 */
#include <mlkv/key.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/random.h"
#include "types/argument.h"
#include "types/entry.h"

#include <math.h>

enum {
    LISTED_MAX = 1024, /* reading so many costs about what the draws do */
    DRAWS = 16,
    TRIES_MAX = 4 * DRAWS, /* void ones included */
    BRANCH_MAX = 16,
    ROOT_BRANCH_MAX = 64, /* of the first fork, which all ways share: its branches differ most */
    KEY_HEAD_SIZE = 1,
};

/* What stands behind a prefix. */
typedef struct {
    int byte; /* -1: the key that is the prefix itself */
    unsigned count;
    bool more; /* than were counted */
} branch;

typedef struct {
    branch branches[257];
    unsigned branch_count;
    unsigned keys; /* the sum of their counts */
    bool more;     /* of one of them */
} fork_of_keys;

typedef struct {
    mlkv *view;
    int64_t now_ms;
    scan *walk;
    mlkv_buffer name; /* the key taken so far */
    bool has_name;
    record_key root; /* what all record keys begin with */
    fork_of_keys at_root, at_prefix;
    double best; /* of the draws so far */
} random_call;

/* --- is it there --- */

static int begin_rule(op *o, void *context)
{
    random_call *self = context;
    self->now_ms = op_now_ms(o);
    op_saw_expired(o, self->now_ms); /* what was due by then is left out */
    return MLKV_OK;
}

static int open_rule(op *o, void *context)
{
    const mlkv_slice *name = context;
    entry found;
    return entry_open(o, *name, TYPE_ANY, &found);
}

/* MLKV_ABSENT: the record's time is over. */
static int look(const random_call *self, mlkv_slice key, mlkv_slice value, mlkv_slice *ret_name)
{
    entry found;
    int result = entry_of_record(key, value, &found);
    if (result != MLKV_OK)
        return result;
    *ret_name = found.name;
    if (found.header.expiry_ms != 0 && found.header.expiry_ms <= self->now_ms)
        return MLKV_ABSENT;
    bool doubtful =
        found.header.fields_expire && found.header.expiring == found.header.count &&
        found.header.first_ms <= self->now_ms; /* perhaps all of a hash's fields are gone */
    return doubtful ? op_read(self->view, open_rule, ret_name) : MLKV_OK;
}

static int take(random_call *self, mlkv_slice name)
{
    self->has_name = true;
    return buffer_assign(&self->name, name.data, name.size);
}

/* --- reading all --- */

/* Reads up to `most` records and takes one of them, each as likely. MLKV_ABSENT: these were all. */
static int list(random_call *self, uint64_t most)
{
    mlkv_slice key, value, name;
    uint64_t there = 0;
    unsigned char first = RECORD_KEY;
    self->has_name = false;
    int result = scan_seek(self->walk, slice_of(&first, 1));
    for (uint64_t i = 0; i < most && result == MLKV_OK; i++) {
        result = scan_next(self->walk, &key, &value);
        if (result != MLKV_OK)
            return result;
        result = look(self, key, value, &name);
        if (result == MLKV_OK && random_below(++there) == 0)
            result = take(self, name);
        result = result == MLKV_ABSENT ? MLKV_OK : result;
    }
    return result;
}

/* --- ways down the tree --- */

/* The record key behind all that begin with the prefix and the byte. False: there is none within the prefix. */
static bool step_over(record_key *prefix, int byte)
{
    if (byte == 0xff)
        return false;
    prefix->bytes[prefix->size++] = (unsigned char)(byte + 1);
    return true;
}

/* Counts what stands behind the prefix, a branch up to `most`. */
static int look_at_fork(random_call *self, const record_key *prefix, unsigned most,
                        fork_of_keys *ret_fork)
{
    mlkv_slice key, value, begin = record_key_slice(prefix);
    branch *last = NULL;
    ret_fork->branch_count = ret_fork->keys = 0;
    ret_fork->more = false;
    int result = scan_seek(self->walk, begin);
    while (result == MLKV_OK) {
        result = scan_next(self->walk, &key, &value);
        if (result != MLKV_OK || !slice_starts_with(key, begin))
            break;
        int byte = key.size == begin.size ? -1 : ((const unsigned char *)key.data)[begin.size];
        if (last == NULL || last->byte != byte) {
            last = &ret_fork->branches[ret_fork->branch_count++];
            *last = (branch){.byte = byte};
        }
        last->more = last->count == most;
        if (last->more) {
            record_key next = *prefix;
            ret_fork->more = true;
            if (!step_over(&next, byte))
                break;
            result = scan_seek(self->walk, record_key_slice(&next));
        } else {
            last->count++;
            ret_fork->keys++;
        }
    }
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

/* Takes the key that is number `skipped` of a branch, if this draw beats the ones before. */
static int take_from(random_call *self, const record_key *prefix, const branch *from,
                     unsigned skipped, double weight)
{
    record_key begin = *prefix;
    mlkv_slice key, value, name;
    if (from->byte >= 0)
        begin.bytes[begin.size++] = (unsigned char)from->byte;
    int result = scan_seek(self->walk, record_key_slice(&begin));
    for (unsigned i = 0; i <= skipped && result == MLKV_OK; i++)
        result = scan_next(self->walk, &key, &value);
    if (result == MLKV_OK)
        result = look(self, key, value, &name);
    if (result != MLKV_OK)
        return result;
    /* the greatest of weight + noise of this form (Gumbel's) is each with a likelihood in proportion to exp(weight) */
    double noise = -log(-log(((double)(random_u64() >> 11) + 0.5) * 0x1p-53));
    if (self->has_name && weight + noise <= self->best)
        return MLKV_OK;
    self->best = weight + noise;
    return take(self, name);
}

/* One way down. weight: the logarithm of one over its likelihood. MLKV_ABSENT: the draw is void. */
static int draw_one(random_call *self)
{
    record_key prefix = self->root;
    const fork_of_keys *fork = &self->at_root;
    double weight = 0;
    for (;;) {
        if (fork->keys == 0)
            return MLKV_ABSENT;
        unsigned number = (unsigned)random_below(fork->keys);
        const branch *way = fork->branches;
        for (; number >= way->count; way++)
            number -= way->count;
        weight += log(fork->keys);
        if (!way->more)
            return take_from(self, &prefix, way, number, weight);
        weight -= log(way->count);
        prefix.bytes[prefix.size++] = (unsigned char)way->byte;
        fork = &self->at_prefix;
        int result = look_at_fork(self, &prefix, BRANCH_MAX, &self->at_prefix);
        if (result != MLKV_OK)
            return result;
    }
}

/* All ways begin alike: down to where the names begin to differ. */
static int find_root(random_call *self)
{
    const fork_of_keys *fork = &self->at_root;
    self->root.bytes[0] = RECORD_KEY;
    self->root.size = KEY_HEAD_SIZE;
    for (;;) {
        int result = look_at_fork(self, &self->root, 1, &self->at_root);
        if (result != MLKV_OK)
            return result;
        if (fork->branch_count != 1 || !fork->more)
            return look_at_fork(self, &self->root, ROOT_BRANCH_MAX, &self->at_root);
        self->root.bytes[self->root.size++] = (unsigned char)fork->branches[0].byte;
    }
}

static int draw_some(random_call *self)
{
    int draws = 0;
    self->has_name = false;
    int result = find_root(self);
    for (int i = 0; i < TRIES_MAX && draws < DRAWS && result == MLKV_OK; i++) {
        result = draw_one(self);
        draws += result == MLKV_OK;
        result = result == MLKV_ABSENT ? MLKV_OK : result;
    }
    return result;
}

/* --- the call --- */

static int run(random_call *self)
{
    static const unsigned char prefix = RECORD_KEY;
    int result = op_read(self->view, begin_rule, self);
    if (result == MLKV_OK)
        result = scan_open(self->view, slice_of(&prefix, 1), slice_of(NULL, 0), &self->walk);
    if (result == MLKV_OK)
        result = list(self, LISTED_MAX);
    if (result == MLKV_OK)
        result = draw_some(self);
    if (result == MLKV_OK && !self->has_name)
        result = list(self, UINT64_MAX);
    return result == MLKV_ABSENT && self->has_name ? MLKV_OK : result;
}

int mlkv_key_random(mlkv *view, mlkv_buffer *ret_key)
{
    random_call self = {.view = view};
    int result = argument_pointer(view, "view");
    if (result == MLKV_OK)
        result = argument_pointer(ret_key, "ret_key");
    if (result != MLKV_OK)
        return result;
    result = run(&self);
    scan_close(self.walk);
    if (result == MLKV_OK)
        result = buffer_assign(ret_key, self.name.data, self.name.size);
    mlkv_buffer_free(&self.name);
    return result;
}
