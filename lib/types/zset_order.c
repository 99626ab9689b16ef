/* zset_order.c - the order of a sorted set's members: positions of scores and members in it, and members at positions.
 *
 * It stands on order (view/op.h), which counts O records by their keys: class, id (8), score (8), member. For members of fewer than
 * TIED_SIZE - 17 bytes the order of the keys is the order of the members. Longer ones may be tied (zset.h): they agree in the first
 * TIED_SIZE bytes of their keys, and the keys may go on with a digest. A tied group stands together; wherever a position within a group
 * matters, the group's full names are read and sorted. That costs O(group), and nearly every group is of one member.
 *
 * Invariant: a group's bounds are found by keys that cannot stand within it: its first TIED_SIZE bytes, and the least key behind
 * everything that begins with them.
 */
#include "types/zset.h"

#include "base/buffer.h"
#include "base/error.h"

#include <stdlib.h>

enum {
    TIED_SIZE = RECORD_KEY_SIZE_MAX - 16, /* what a long name's key has of head and name */
    VISIT_BATCH = 512,                    /* keys selected at a time */
    PASS_FROM = 4096, /* members: so many take long enough for others to write meanwhile */
};

static int corrupt_order(const char *what)
{
    return error_set(MLKV_E_CORRUPT, "a sorted set: %s", what);
}

/* --- keys and names --- */

/* The first key of an order's selection, which it leaves behind. */
static mlkv_slice take_key(mlkv_slice *keys)
{
    const unsigned char *at = keys->data;
    size_t size = (size_t)(at[0] | at[1] << 8);
    *keys = slice_of(at + 2 + size, keys->size - 2 - size);
    return slice_of(at + 2, size);
}

static double key_score(mlkv_slice key)
{
    return layout_bits_score(load_be64((const unsigned char *)key.data + ELEMENT_HEAD_SIZE));
}

/* The full name of an O key; lives until the next op_ call. */
static int key_member(op *o, mlkv_slice key, mlkv_slice *ret_member)
{
    mlkv_slice value = {NULL, 0}, rest;
    if (key.size < LAYOUT_ORDER_HEAD_SIZE)
        return corrupt_order("a record of its order is too short");
    int result = key.size < RECORD_KEY_SIZE_MAX ? MLKV_OK : op_borrow(o, key, &value);
    if (result == MLKV_ABSENT)
        return corrupt_order("the record of a long member is missing");
    return result != MLKV_OK
               ? result
               : layout_split_name(key, LAYOUT_ORDER_HEAD_SIZE, value, ret_member, &rest);
}

/* The least byte string behind everything that begins with these bytes: 0xff at the end goes, and the last byte is raised. */
static void make_successor(record_key *key)
{
    while (key->size > 1 && key->bytes[key->size - 1] == 0xff)
        key->size--;
    key->bytes[key->size - 1]++;
}

/* --- tied groups --- */

typedef struct {
    uint64_t first, count; /* positions */
    double score;
    mlkv_buffer names;   /* bytes */
    mlkv_buffer members; /* mlkv_slice[], sorted */
} tied_group;

static void group_done(tied_group *self)
{
    mlkv_buffer_free(&self->names);
    mlkv_buffer_free(&self->members);
}

static int compare_names(const void *left, const void *right)
{
    return slice_compare(*(const mlkv_slice *)left, *(const mlkv_slice *)right);
}

/* Copies the full names behind the selected keys. */
static int read_names(op *o, tied_group *self, mlkv_slice keys)
{
    while (keys.size != 0) {
        mlkv_slice name = {NULL, 0};
        int result = key_member(o, take_key(&keys), &name);
        mlkv_slice noted = slice_of(NULL, name.size);
        if (result == MLKV_OK)
            result = buffer_append(&self->names, name.data, name.size);
        if (result == MLKV_OK)
            result = buffer_append(&self->members, &noted, sizeof noted);
        if (result != MLKV_OK)
            return result;
    }
    const unsigned char *at = self->names.data;
    mlkv_slice *members = self->members.data;
    for (uint64_t i = 0; i < self->count; at += members[i++].size)
        members[i].data = at; /* as many as the keys. NOLINT(clang-analyzer-core.NullDereference) */
    qsort(members, (size_t)self->count, sizeof *members, compare_names);
    return MLKV_OK;
}

/* The group of all members whose keys begin with these TIED_SIZE bytes. */
static int group_read(op *o, ranking *by, mlkv_slice begin, tied_group *ret_group)
{
    tied_group *self = ret_group;
    mlkv_buffer keys = {0};
    record_key bound;
    uint64_t end = 0;
    size_t count = 0;
    memset(self, 0, sizeof *self);
    self->score = key_score(begin);
    memcpy(bound.bytes, begin.data, TIED_SIZE);
    bound.size = TIED_SIZE;
    int result = ranking_rank(by, record_key_slice(&bound), &self->first);
    make_successor(&bound);
    if (result == MLKV_OK)
        result = ranking_rank(by, record_key_slice(&bound), &end);
    if (result == MLKV_OK && end > self->first)
        result = ranking_select(by, self->first, (size_t)(end - self->first), &keys, &count);
    self->count = count;
    if (result == MLKV_OK && count != end - self->first)
        result = corrupt_order("its order has a hole");
    if (result == MLKV_OK)
        result = read_names(o, self, slice_of_buffer(&keys));
    mlkv_buffer_free(&keys);
    return result;
}

/* --- positions --- */

int zset_order_open(op *o, const entry *set, bool passing, ranking **ret_ranking)
{
    record_key prefix;
    layout_id(RECORD_ORDER, set->header.id, &prefix);
    return op_ranking_open(o, record_key_slice(&prefix), set->header.count, passing, ret_ranking);
}

static int tied_position(op *o, ranking *by, mlkv_slice begin, mlkv_slice member, bool after,
                         uint64_t *ret_position)
{
    tied_group group;
    int result = group_read(o, by, begin, &group);
    const mlkv_slice *members = group.members.data;
    uint64_t before = 0;
    while (result == MLKV_OK && before < group.count &&
           slice_compare(members[before], member) < (after ? 1 : 0))
        before++;
    if (result == MLKV_OK)
        *ret_position = group.first + before;
    group_done(&group);
    return result;
}

int zset_position(op *o, ranking *by, uint64_t id, double score, mlkv_slice member, bool after,
                  uint64_t *ret_position)
{
    record_key key;
    size_t name_size_max = TIED_SIZE - LAYOUT_ORDER_HEAD_SIZE;
    size_t kept = member.size < name_size_max ? member.size : name_size_max;
    int result = layout_ordered(id, layout_score_bits(score), slice_of(member.data, kept), &key);
    if (result != MLKV_OK)
        return result;
    if (kept == name_size_max)
        return tied_position(o, by, record_key_slice(&key), member, after, ret_position);
    if (after)
        key.bytes[key.size++] = 0; /* nothing stands between a name and the name with a zero byte */
    return ranking_rank(by, record_key_slice(&key), ret_position);
}

int zset_score_position(ranking *by, uint64_t id, double score, bool after, uint64_t *ret_position)
{
    record_key key;
    uint64_t bits = layout_score_bits(score); /* at most that of inf, so that there is a next one */
    (void)layout_ordered(id, after ? bits + 1 : bits, slice_of(NULL, 0), &key);
    return ranking_rank(by, record_key_slice(&key), ret_position);
}

/* --- members at positions --- */

typedef struct {
    op *o;
    ranking *by;
    uint64_t next, end;
    zset_visitor visit;
    void *context;
    record_key before; /* the key at next - 1; size 0: not known */
} visiting;

static bool are_tied(mlkv_slice a, mlkv_slice b)
{
    return a.size >= TIED_SIZE && b.size >= TIED_SIZE && memcmp(a.data, b.data, TIED_SIZE) == 0;
}

static void remember(visiting *self, mlkv_slice key)
{
    self->before.size = (uint16_t)key.size;
    memcpy(self->before.bytes, key.data, key.size);
}

/* Visits the part of a group that is wanted. */
static int visit_members(visiting *self, const tied_group *group)
{
    const mlkv_slice *members = group->members.data;
    int result = MLKV_OK;
    while (result == MLKV_OK && self->next < self->end &&
           self->next - group->first < group->count) {
        result = self->visit(self->context, members[self->next - group->first], group->score);
        self->next++;
    }
    return result;
}

/* The group of this key, whose bounds are not known. */
static int visit_group(visiting *self, mlkv_slice key)
{
    tied_group group;
    int result = group_read(self->o, self->by, key, &group);
    if (result == MLKV_OK && (group.first > self->next || group.count <= self->next - group.first))
        result = corrupt_order("its order changes while it is read");
    if (result == MLKV_OK)
        result = visit_members(self, &group);
    group_done(&group);
    return result;
}

/* The group of these keys, all of it. */
static int visit_run(visiting *self, mlkv_slice run, size_t count)
{
    tied_group group = {.first = self->next, .count = count};
    mlkv_slice keys = run;
    group.score = key_score(take_key(&keys));
    int result = read_names(self->o, &group, run);
    if (result == MLKV_OK)
        result = visit_members(self, &group);
    group_done(&group);
    return result;
}

/* How many keys are tied with the first one; *ret_rest: those behind them. */
static size_t measure_run(mlkv_slice keys, mlkv_slice *ret_rest)
{
    mlkv_slice first = take_key(&keys);
    size_t count = 1;
    *ret_rest = keys;
    while (keys.size != 0 && are_tied(first, take_key(&keys))) {
        count++;
        *ret_rest = keys;
    }
    return count;
}

/* Visits a key that may be tied with its neighbours. *keys: what is left; nothing: they have to be selected anew. */
static int visit_tied(visiting *self, mlkv_slice *keys, bool is_first, bool at_end)
{
    mlkv_slice rest, run = *keys, copy = *keys, key = take_key(&copy);
    size_t count = measure_run(run, &rest);
    bool begins = self->next == 0 ||
                  (self->before.size != 0 && !are_tied(record_key_slice(&self->before), key));
    bool ends = rest.size != 0 || at_end;
    run.size -= rest.size;
    *keys = begins && ends ? rest : slice_of(NULL, 0);
    if (!is_first && !ends)
        return MLKV_OK; /* a selection that begins with it is likely to hold all of it */
    int result = begins && ends ? visit_run(self, run, count) : visit_group(self, key);
    remember(self, key);
    return result;
}

/* Visits what was selected, as far as it goes; at_end: nothing stands behind it. */
static int visit_keys(visiting *self, mlkv_slice keys, bool at_end)
{
    int result = MLKV_OK;
    mlkv_slice last = {NULL, 0}, member;
    bool is_first = true;
    for (; result == MLKV_OK && keys.size != 0 && self->next < self->end; is_first = false) {
        mlkv_slice rest = keys, key = take_key(&rest);
        if (key.size < TIED_SIZE) {
            last = key;
            result = key_member(self->o, key, &member);
            if (result == MLKV_OK)
                result = self->visit(self->context, member, key_score(key));
            self->next++;
            keys = rest;
            continue;
        }
        if (last.size != 0)
            remember(self, last);
        last = slice_of(NULL, 0);
        result = visit_tied(self, &keys, is_first, at_end);
    }
    if (last.size != 0)
        remember(self, last);
    return result;
}

int zset_visit(op *o, ranking *by, uint64_t first, uint64_t n, zset_visitor visit, void *context)
{
    visiting self = {
        .o = o, .by = by, .next = first, .end = first + n, .visit = visit, .context = context};
    mlkv_buffer keys = {0};
    int result = n > PASS_FROM ? ranking_pass(by, first) : MLKV_OK;
    while (result == MLKV_OK && self.next < self.end) {
        uint64_t left = self.end - self.next;
        size_t count, wanted = left < VISIT_BATCH ? (size_t)left + 1 : VISIT_BATCH + 1;
        keys.size = 0;
        result = ranking_select(by, self.next, wanted, &keys, &count); /* one more: a neighbour */
        if (result == MLKV_OK && count == 0)
            result = corrupt_order("its order has fewer members than it counts");
        if (result == MLKV_OK)
            result = visit_keys(&self, slice_of_buffer(&keys), count < wanted);
    }
    mlkv_buffer_free(&keys);
    return result;
}
