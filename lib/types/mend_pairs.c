/* mend_pairs.c - sets and sorted sets of which records are missing: members and places are made from
 * each other.
 *
 *   set          E id member -> index          L id index -> member
 *   sorted set   E id member -> score          O id score member
 *
 * Either record alone names the member, so a member is lost only with both. A set's indexes are given
 * anew from 0 on: first to the members that have an E record, in their order, then to those that only
 * the index names. Of a sorted set E is believed where the two differ.
 *
 * What a member's name leads to is looked up in the store as it is by now, so that a member that two
 * places name gets one record. Locks: none.
 */
#include "types/mend.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "types/element.h"

enum { ID_KEY_SIZE = 9, INDEXED_KEY_SIZE = 17, PLACE_SIZE = 8 };

/* The life being mended: walks have no other context. */
typedef struct {
    mender *self;
    mend_life *life;
    uint64_t count; /* members so far */
} pairing;

static _Thread_local pairing now;

static int put_member(mlkv_slice name, const unsigned char rest[PLACE_SIZE])
{
    record_key key;
    int result = layout_element(now.life->id, name, &key);
    return result != MLKV_OK ? result
                             : mend_put_named(now.self, &key, name, slice_of(rest, PLACE_SIZE));
}

/* What the member's E record says, as of now. */
typedef struct {
    mlkv_slice name;
    uint64_t id;
    unsigned char rest[PLACE_SIZE];
    bool good;
} lookup;

static int lookup_rule(op *o, void *context)
{
    lookup *self = context;
    element found;
    int result = element_open(o, self->id, self->name, &found);
    self->good = result == MLKV_OK && found.rest.size == PLACE_SIZE;
    if (self->good)
        memcpy(self->rest, found.rest.data, PLACE_SIZE);
    return result;
}

/* 0, MLKV_ABSENT. */
static int find_member(mlkv_slice name, lookup *ret_found)
{
    *ret_found = (lookup){.name = name, .id = now.life->id};
    int result = mend_flush(now.self);
    if (result == MLKV_OK)
        result = op_read(now.self->db, lookup_rule, ret_found);
    return result == MLKV_E_CORRUPT ? MLKV_ABSENT : result;
}

/* --- sets --- */

static int place_member(mlkv_slice name)
{
    unsigned char index[PLACE_SIZE];
    record_key key;
    store_le64(index, now.count);
    int result = put_member(name, index);
    layout_indexed(RECORD_LIST, now.life->id, now.count++, &key);
    return result != MLKV_OK ? result : mend_put(now.self, record_key_slice(&key), name);
}

static int set_member(mender *self, mlkv_slice key, mlkv_slice value)
{
    mlkv_slice name, rest;
    if (layout_split_name(key, ELEMENT_HEAD_SIZE, value, &name, &rest) != MLKV_OK)
        return mend_delete(self, key);
    return place_member(name);
}

static int set_index(mender *self, mlkv_slice key, mlkv_slice value)
{
    (void)self;
    lookup found;
    if (key.size != INDEXED_KEY_SIZE || value.size > NAME_SIZE_MAX)
        return MLKV_OK;
    int result = find_member(value, &found);
    return result == MLKV_ABSENT ? place_member(value) : result;
}

static int set_trim(mender *self, mlkv_slice key, mlkv_slice value)
{
    (void)value;
    bool kept = key.size == INDEXED_KEY_SIZE &&
                load_be64((const unsigned char *)key.data + ID_KEY_SIZE) < now.count;
    return kept ? MLKV_OK : mend_delete(self, key);
}

/* --- sorted sets --- */

static bool read_score(mlkv_slice rest, double *ret_score)
{
    if (rest.size != sizeof *ret_score)
        return false;
    memcpy(ret_score, rest.data, sizeof *ret_score);
    double score = *ret_score;
    return score == score && !(score == 0 && __builtin_signbit(score));
}

static int put_order(mlkv_slice name, double score)
{
    record_key key;
    int result = layout_ordered(now.life->id, layout_score_bits(score), name, &key);
    return result != MLKV_OK ? result : mend_put_named(now.self, &key, name, slice_of(NULL, 0));
}

static int zset_member(mender *self, mlkv_slice key, mlkv_slice value)
{
    mlkv_slice name, rest;
    double score;
    if (layout_split_name(key, ELEMENT_HEAD_SIZE, value, &name, &rest) != MLKV_OK ||
        !read_score(rest, &score))
        return mend_delete(self, key);
    now.count++;
    return put_order(name, score);
}

static int zset_ordered(mender *self, mlkv_slice key, mlkv_slice value)
{
    mlkv_slice name, rest;
    lookup found;
    double score;
    if (key.size < LAYOUT_ORDER_HEAD_SIZE ||
        layout_split_name(key, LAYOUT_ORDER_HEAD_SIZE, value, &name, &rest) != MLKV_OK ||
        rest.size != 0)
        return mend_delete(self, key);
    uint64_t bits = load_be64((const unsigned char *)key.data + ID_KEY_SIZE);
    int result = find_member(name, &found);
    if (result == MLKV_OK) {
        bool same = found.good && read_score(slice_of(found.rest, sizeof score), &score) &&
                    layout_score_bits(score) == bits;
        return same ? MLKV_OK : mend_delete(self, key);
    }
    score = layout_bits_score(bits);
    unsigned char bytes[PLACE_SIZE];
    memcpy(bytes, &score, sizeof score);
    if (result != MLKV_ABSENT || !read_score(slice_of(bytes, sizeof bytes), &score))
        return result != MLKV_ABSENT ? result : mend_delete(self, key);
    now.count++;
    return put_member(name, bytes);
}

/* --- either --- */

static int each_of(mender *self, int record_class, mend_visit visit)
{
    record_key prefix;
    layout_id(record_class, now.life->id, &prefix);
    return mend_each(self, record_key_slice(&prefix), visit);
}

int mend_pairs(mender *self, mend_life *life)
{
    bool is_set = life->type == TYPE_SET;
    int order_class = is_set ? RECORD_LIST : RECORD_ORDER;
    if (life->doomed)
        return MLKV_OK;
    now = (pairing){.self = self, .life = life};
    int result = each_of(self, RECORD_ELEMENT, is_set ? set_member : zset_member);
    if (result == MLKV_OK)
        result = each_of(self, order_class, is_set ? set_index : zset_ordered);
    if (result == MLKV_OK && is_set)
        result = each_of(self, order_class, set_trim);
    life->elements = now.count;
    life->doomed = now.count == 0;
    return result;
}
