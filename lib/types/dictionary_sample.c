/* dictionary_sample.c - a sample of the values under a prefix, spread over all of them, within limits of memory and of records read.
 *
 * All records in order are read, if there are up to WALK_MAX: of their values every stride-th is taken, and whenever
 * what was taken outgrows its limit, every second one of it is let go and the stride doubles. If there are more, they
 * are read in runs: RUN of them behind each different begin of `depth` bytes, where depth is the largest that gives up
 * to RUNS_MAX of these. So names that count (user:00000001 ...) are taken from all over, and names of several kinds are
 * all met.
 *
 * What a hash or list holds is a tree of records of its own, walked in the same way: the first one may take as many
 * records as all keys, each one after it less, down to ELEMENTS_MIN.
 *
 * Invariants
 *   1. The records read are at most about WALK_MAX + RUNS_MAX * (RUN + the depths tried), of each tree.
 *   2. A value that cannot be decoded is left out: a sample needs no particular one.
 * Locks: none; each tree is one scan.
 */
#include "types/dictionary.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "types/entry.h"

enum {
    WALK_MAX = 256 << 10,
    RUNS_MAX = 2048,
    RUN = 64,
    DEPTHS_MAX = 128,
    ELEMENTS_MIN = 64,
    SPREAD_MIN = 4096, /* a limit below it is not worth the search for a depth */
    ELEMENT_HEAD = 9,
};

typedef struct sampler {
    mlkv *view;
    value_samples *to;
    size_t bytes_max;
    uint64_t seen, stride, lives;
} sampler;

/* What is done with a record of a walk: negative results end it. */
typedef int (*visit_record)(sampler *self, scan *walk, mlkv_slice key, mlkv_slice value);

/* --- taking --- */

/* Every second of what was taken goes. */
static void thin(sampler *self)
{
    value_samples *to = self->to;
    size_t *sizes = to->sizes.data, kept = 0;
    unsigned char *from = to->bytes.data, *at = from;
    for (size_t i = 0; i < to->count; i++) {
        size_t size = sizes[i];
        if (i % 2 == 0) {
            memmove(at, from, size);
            at += size;
            sizes[kept++] = size;
        }
        from += size;
    }
    to->count = kept;
    to->sizes.size = kept * sizeof *sizes;
    to->bytes.size = (size_t)(at - (unsigned char *)to->bytes.data);
    self->stride *= 2;
}

static int take(sampler *self, scan *walk, mlkv_slice cell)
{
    int kind;
    uint64_t size;
    cell_blob blob;
    value_samples *to = self->to;
    if (cell_inspect(cell, &kind, &size, &blob) != MLKV_OK || size < CELL_DICTIONARY_RAW_MIN ||
        size > CELL_DICTIONARY_RAW_MAX)
        return MLKV_OK;
    if (self->seen++ % self->stride != 0)
        return MLKV_OK;
    size_t taken = (size_t)size;
    int result = scan_cell_append(walk, cell, &to->bytes);
    if (result != MLKV_OK)
        return result == MLKV_E_CORRUPT ? MLKV_OK : result;
    result = buffer_append(&to->sizes, &taken, sizeof taken);
    if (result != MLKV_OK) {
        to->bytes.size -= taken;
        return result;
    }
    to->count++;
    while (to->bytes.size > self->bytes_max && to->count > 1)
        thin(self);
    return MLKV_OK;
}

/* --- walks --- */

/* All from the prefix on. MLKV_ABSENT: there are more than `most`. */
static int walk_all(sampler *self, scan *walk, uint64_t most, visit_record visit)
{
    mlkv_slice key, value;
    int result = MLKV_OK;
    for (uint64_t i = 0; result == MLKV_OK; i++) {
        result = scan_next(walk, &key, &value);
        if (result != MLKV_OK)
            return result == MLKV_ABSENT ? MLKV_OK : result;
        if (i == most)
            return MLKV_ABSENT;
        result = visit(self, walk, key, value);
    }
    return result;
}

/* The first key behind all that begin with these bytes. False: there is none. */
static bool make_behind(record_key *begin)
{
    while (begin->size != 0 && begin->bytes[begin->size - 1] == 0xff)
        begin->size--;
    if (begin->size == 0)
        return false;
    begin->bytes[begin->size - 1]++;
    return true;
}

/* Up to `run` records behind each begin of `depth` bytes. visit: NULL: they are only counted. MLKV_ABSENT: there are
 * more than RUNS_MAX. */
static int walk_runs(sampler *self, scan *walk, mlkv_slice prefix, size_t depth, unsigned run,
                     visit_record visit)
{
    mlkv_slice key, value;
    record_key begin = {.size = 0};
    unsigned runs = 0, in_run = 0;
    int result = scan_seek(walk, prefix);
    while (result == MLKV_OK) {
        result = scan_next(walk, &key, &value);
        if (result != MLKV_OK)
            return result == MLKV_ABSENT ? MLKV_OK : result;
        /* a key that is shorter is a run by itself: others may go on from it */
        if (runs == 0 || begin.size < depth || !slice_starts_with(key, record_key_slice(&begin))) {
            begin.size = (uint16_t)(key.size < depth ? key.size : depth);
            bytes_copy(begin.bytes, key.data, begin.size);
            in_run = 0;
            if (++runs > RUNS_MAX)
                return MLKV_ABSENT;
        }
        if (visit != NULL)
            result = visit(self, walk, key, value);
        if (result != MLKV_OK || ++in_run < run || begin.size < depth)
            continue;
        record_key next = begin;
        if (!make_behind(&next))
            return MLKV_OK;
        result = scan_seek(walk, record_key_slice(&next));
    }
    return result;
}

/* In runs, behind the longest begins that are few enough. */
static int walk_spread(sampler *self, scan *walk, mlkv_slice prefix, visit_record visit)
{
    size_t depth = prefix.size + 1, most = prefix.size + DEPTHS_MAX;
    int result = MLKV_OK;
    for (size_t next = depth; next <= most && result == MLKV_OK; next++) {
        result = walk_runs(self, walk, prefix, next, 1, NULL);
        depth = result == MLKV_OK ? next : depth;
    }
    if (result >= 0)
        result = walk_runs(self, walk, prefix, depth, RUN, visit);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

/* --- keys and elements --- */

static int visit_element(sampler *self, scan *walk, mlkv_slice key, mlkv_slice value)
{
    mlkv_slice name, rest, cell = value;
    int64_t at_ms;
    if (*(const unsigned char *)key.data == RECORD_ELEMENT &&
        (layout_split_name(key, ELEMENT_HEAD, value, &name, &rest) != MLKV_OK ||
         layout_split_field(rest, &at_ms, &cell) != MLKV_OK))
        return MLKV_OK;
    return take(self, walk, cell);
}

static int sample_life(sampler *self, int record_class, const key_header *header)
{
    record_key prefix;
    scan *walk = NULL;
    uint64_t most = WALK_MAX / ++self->lives;
    layout_id(record_class, header->id, &prefix);
    int result = scan_open(self->view, record_key_slice(&prefix), slice_of(NULL, 0), &walk);
    if (result == MLKV_OK && header->count > most && most >= SPREAD_MIN)
        result = walk_spread(self, walk, record_key_slice(&prefix), visit_element);
    else if (result == MLKV_OK)
        result = walk_all(self, walk, most < ELEMENTS_MIN ? ELEMENTS_MIN : most, visit_element);
    scan_close(walk);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

static int visit_key(sampler *self, scan *walk, mlkv_slice key, mlkv_slice value)
{
    entry found;
    int result = entry_of_record(key, value, &found);
    if (result != MLKV_OK)
        return result == MLKV_E_CORRUPT ? MLKV_OK : result;
    switch (found.header.type) {
    case TYPE_STRING:
        return take(self, walk, found.rest);
    case TYPE_HASH:
        return sample_life(self, RECORD_ELEMENT, &found.header);
    case TYPE_LIST:
        return sample_life(self, RECORD_LIST, &found.header);
    default:
        return MLKV_OK;
    }
}

int value_samples_take(mlkv *view, mlkv_slice prefix, size_t bytes_max, value_samples *ret_samples)
{
    sampler self = {.view = view, .to = ret_samples, .bytes_max = bytes_max, .stride = 1};
    record_key begin;
    scan *walk = NULL;
    int result = layout_key(prefix, &begin);
    if (result == MLKV_OK)
        result = scan_open(view, record_key_slice(&begin), slice_of(NULL, 0), &walk);
    if (result == MLKV_OK)
        result = walk_all(&self, walk, WALK_MAX, visit_key);
    if (result == MLKV_ABSENT) {
        value_samples_done(ret_samples);
        self = (sampler){.view = view, .to = ret_samples, .bytes_max = bytes_max, .stride = 1};
        result = walk_spread(&self, walk, record_key_slice(&begin), visit_key);
    }
    scan_close(walk);
    return result;
}

void value_samples_done(value_samples *self)
{
    mlkv_buffer_free(&self->bytes);
    mlkv_buffer_free(&self->sizes);
    *self = (value_samples){0};
}
