/* mend_survey.c - looks at every record once: which lives there are, how many good elements each has,
 * which blobs are whole; and decides what becomes of each life.
 *
 * Blobs, deleted lives and keys come first, because elements are judged by them.
 *
 *   hash                 sound if its count is right, and its fields' expiries are; else corrected;
 *                        without elements it goes
 *   list                 the same; corrected means numbered anew without holes
 *   set, sorted set      sound if both orders pair and the count is right; else mended (mend_pairs.c)
 *   tensor               sound if all chunks are good, and as many rows beside them as it says; without
 *                        such a row it has the number of before; without a chunk it goes
 *   neither K nor G      its elements go, and are told of
 *
 * Both orders pair if a sum over all (place, member) of one is that of the other: a hash of each,
 * added up. Nothing is changed here. Locks: none.
 */
#include "types/mend.h"

#include "base/bytes.h"
#include "base/error.h"
#include "base/hash.h"
#include "types/element.h"
#include "types/field.h"

#include <mlkv/key.h>

enum {
    KEY_HEAD_SIZE = 1,
    ID_KEY_SIZE = 9,
    INDEXED_KEY_SIZE = 17,
    LIST_PART_SIZE = 16,
    PLACE_SIZE = 8
};

/* --- keys --- */

/* The type's own part. A text if it is wrong. */
static const char *check_part(const mend_key *self)
{
    const key_header *header = &self->header;
    if ((header->type == TYPE_STRING) != (header->id == 0))
        return "its type does not fit its id";
    if (header->expiry_ms < 0)
        return "its expiry is negative";
    if (header->type == TYPE_LIST) {
        if (self->rest.size != LIST_PART_SIZE)
            return "its own part has a wrong size";
        uint64_t head = load_le64(self->rest.data);
        uint64_t tail = load_le64((const unsigned char *)self->rest.data + 8);
        return head >= tail || tail - head != header->count ? "it counts other elements" : NULL;
    }
    bool bare = header->type != TYPE_STRING && header->type != TYPE_TENSOR;
    return bare && self->rest.size != 0 ? "its own part has a wrong size" : NULL;
}

int mend_split_key(mlkv_slice key, mlkv_slice value, mend_key *ret_key)
{
    mend_key self = {0};
    int result = layout_split_name(key, KEY_HEAD_SIZE, value, &self.name, &self.rest);
    self.value_head = value.size - self.rest.size;
    if (result == MLKV_OK)
        result = layout_read_header(self.rest, &self.header, &self.rest);
    if (result == MLKV_OK)
        result = layout_read_fields(&self.header, &self.rest);
    if (result == MLKV_OK && self.header.type == TYPE_TENSOR)
        result = tensor_form_read(self.rest, &self.form);
    const char *why = result == MLKV_OK ? check_part(&self) : NULL;
    if (why != NULL)
        result = error_set(MLKV_E_CORRUPT, "%s", why);
    if (result == MLKV_OK)
        *ret_key = self;
    return result;
}

static int look_at_garbage(mender *self, mlkv_slice key, mlkv_slice value)
{
    if (key.size != ID_KEY_SIZE || value.size == 0)
        return MLKV_OK;
    mend_life *life = mend_take(self, load_be64((const unsigned char *)key.data + 1));
    if (life == NULL)
        return MLKV_E_MEMORY;
    life->type = *(const unsigned char *)value.data;
    life->deleted = true;
    self->must_sweep = true;
    return MLKV_OK;
}

static int look_at_key(mender *self, mlkv_slice key, mlkv_slice value)
{
    mend_key found;
    int result = mend_split_key(key, value, &found);
    if (result == MLKV_E_CORRUPT) {
        self->must_sweep = true;
        return MLKV_OK;
    }
    if (result != MLKV_OK || found.header.id == 0)
        return result;
    mend_life *life = mend_take(self, found.header.id);
    if (life == NULL)
        return MLKV_E_MEMORY;
    if (life->has_key || life->deleted) {
        self->must_sweep = true;
        return MLKV_OK;
    }
    *life = (mend_life){.id = found.header.id,
                        .owner = hash_key(key.data, key.size),
                        .type = found.header.type,
                        .has_key = true,
                        .expected = found.header.count,
                        .rows = found.form.rows,
                        .row_bytes = found.form.row_bytes,
                        .chunk_rows = found.form.chunk_rows,
                        .chunks = found.form.chunks,
                        .stored_bytes = found.form.stored_bytes,
                        .beside = found.header.beside,
                        .beside_ms = found.header.beside_ms,
                        .expiring = found.header.expiring,
                        .first_ms = found.header.first_ms,
                        .last_ms = found.header.last_ms};
    if (life->type == TYPE_LIST)
        life->head = life->next = load_le64(found.rest.data);
    return MLKV_OK;
}

static int look_at_piece(mender *self, mlkv_slice key, mlkv_slice value)
{
    int result = verify_blob_piece(&self->check, key, value);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

/* --- elements --- */

static uint64_t pair_hash(uint64_t place, mlkv_slice member)
{
    return hash_checksum(member.data, member.size, place * UINT64_C(0x9e3779b97f4a7c15));
}

static bool split_score(mlkv_slice rest, uint64_t *ret_bits)
{
    double score;
    if (rest.size != sizeof score)
        return false;
    memcpy(&score, rest.data, sizeof score);
    if (score != score || (score == 0 && __builtin_signbit(score)))
        return false;
    *ret_bits = layout_score_bits(score);
    return true;
}

static int check_field(mender *self, mend_life *life, mlkv_slice key, mlkv_slice name,
                       mlkv_slice rest, bool *ret_good, mlkv_slice *ret_cell)
{
    int64_t at_ms;
    if (layout_split_field(rest, &at_ms, ret_cell) != MLKV_OK)
        return MLKV_OK;
    int result = mend_check_cell(self, key, *ret_cell, ret_good);
    if (result != MLKV_OK || !*ret_good || at_ms == 0)
        return result;
    bool first = life->expiring_found++ == 0;
    life->first_found = first || at_ms < life->first_found ? at_ms : life->first_found;
    life->last_found = first || at_ms > life->last_found ? at_ms : life->last_found;
    life->due_sum += pair_hash((uint64_t)at_ms, name);
    return MLKV_OK;
}

static int check_named(mender *self, mend_life *life, mlkv_slice key, mlkv_slice value,
                       bool *ret_good, mlkv_slice *ret_cell)
{
    mlkv_slice name, rest;
    uint64_t place = 0;
    if (layout_split_name(key, ELEMENT_HEAD_SIZE, value, &name, &rest) != MLKV_OK)
        return MLKV_OK;
    if (life->type == TYPE_HASH)
        return check_field(self, life, key, name, rest, ret_good, ret_cell);
    if (life->type == TYPE_SET && rest.size == PLACE_SIZE) {
        place = load_le64(rest.data);
        life->highest = place > life->highest ? place : life->highest;
        *ret_good = true;
    } else if (life->type == TYPE_ZSET) {
        *ret_good = split_score(rest, &place);
    }
    if (*ret_good)
        life->sum += pair_hash(place, name);
    return MLKV_OK;
}

static int check_listed(mender *self, mend_life *life, mlkv_slice key, mlkv_slice value,
                        bool *ret_good, mlkv_slice *ret_cell)
{
    uint64_t place = load_be64((const unsigned char *)key.data + ID_KEY_SIZE);
    if (life->type == TYPE_SET) {
        life->sum -= pair_hash(place, value);
        *ret_good = true;
        return MLKV_OK;
    }
    if (life->type != TYPE_LIST || place < life->head || place - life->head >= life->expected)
        return MLKV_OK;
    *ret_cell = value;
    return mend_check_cell(self, key, value, ret_good);
}

static void check_ordered(mend_life *life, mlkv_slice key, mlkv_slice value, bool *ret_good)
{
    mlkv_slice name, rest;
    if (life->type != TYPE_ZSET || key.size < LAYOUT_ORDER_HEAD_SIZE ||
        layout_split_name(key, LAYOUT_ORDER_HEAD_SIZE, value, &name, &rest) != MLKV_OK ||
        rest.size != 0)
        return;
    life->sum -= pair_hash(load_be64((const unsigned char *)key.data + ID_KEY_SIZE), name);
    *ret_good = true;
}

static int check_chunk(mender *self, mend_life *life, mlkv_slice key, mlkv_slice value,
                       bool *ret_good, mlkv_slice *ret_cell)
{
    chunk_head head;
    tensor_form form = {.rows = life->rows,
                        .row_bytes = life->row_bytes,
                        .chunk_rows = life->chunk_rows,
                        .chunks = life->chunks};
    uint64_t chunk = load_be64((const unsigned char *)key.data + ID_KEY_SIZE);
    if (life->type != TYPE_TENSOR ||
        chunk_split(&form, life->id, chunk, value, &head, ret_cell) != MLKV_OK)
        return MLKV_OK;
    int result = mend_check_cell(self, key, *ret_cell, ret_good);
    if (result != MLKV_OK || !*ret_good)
        return result;
    self->check.raw.size = 0;
    result = scan_cell_append(self->check.records, *ret_cell, &self->check.raw);
    *ret_good = result == MLKV_OK &&
                hash_checksum(self->check.raw.data, self->check.raw.size, 0) == head.checksum;
    if (*ret_good)
        life->stored_bytes_found += head.stored_size;
    return result == MLKV_E_CORRUPT ? MLKV_OK : result;
}

int mend_check_element(mender *self, mend_life *life, mlkv_slice key, mlkv_slice value,
                       bool *ret_good, mlkv_slice *ret_cell)
{
    *ret_good = false;
    *ret_cell = slice_of(NULL, 0);
    switch (*(const unsigned char *)key.data) {
    case RECORD_ELEMENT:
        return check_named(self, life, key, value, ret_good, ret_cell);
    case RECORD_LIST:
        return key.size == INDEXED_KEY_SIZE
                   ? check_listed(self, life, key, value, ret_good, ret_cell)
                   : MLKV_OK;
    case RECORD_ORDER:
        check_ordered(life, key, value, ret_good);
        return MLKV_OK;
    default:
        return key.size == INDEXED_KEY_SIZE
                   ? check_chunk(self, life, key, value, ret_good, ret_cell)
                   : MLKV_OK;
    }
}

static int look_at_element(mender *self, mlkv_slice key, mlkv_slice value)
{
    const unsigned char *bytes = key.data;
    bool good = false;
    mlkv_slice cell;
    if (key.size < ID_KEY_SIZE) {
        self->must_sweep = true;
        return MLKV_OK;
    }
    mend_life *life = mend_take(self, load_be64(bytes + 1));
    if (life == NULL)
        return MLKV_E_MEMORY;
    bool other = bytes[0] == RECORD_ORDER || (bytes[0] == RECORD_LIST && life->type == TYPE_SET);
    if (!life->has_key) {
        life->elements += !other;
        return MLKV_OK;
    }
    int result = mend_check_element(self, life, key, value, &good, &cell);
    life->has_bad = life->has_bad || !good;
    life->elements += good && !other;
    life->others += good && other;
    return result;
}

static int look_at_due(mender *self, mlkv_slice key, mlkv_slice value)
{
    mlkv_slice name;
    int64_t at_ms;
    mend_life *life =
        key.size < LAYOUT_ORDER_HEAD_SIZE
            ? NULL
            : id_map_find(&self->lives, load_be64((const unsigned char *)key.data + 1));
    if (life == NULL || !life->has_key ||
        field_split_expiry(key, value, &at_ms, &name) != MLKV_OK) {
        self->must_sweep = true;
        return MLKV_OK;
    }
    life->dues++;
    life->due_sum -= pair_hash((uint64_t)at_ms, name);
    return MLKV_OK;
}

bool mend_check_row(const mend_life *life, mlkv_slice key, mlkv_slice value)
{
    uint64_t chunk, row;
    tensor_form form = {.rows = life->rows,
                        .row_bytes = life->row_bytes,
                        .chunk_rows = life->chunk_rows,
                        .chunks = life->chunks};
    return life->type == TYPE_TENSOR && rows_split(&form, key, value, &chunk, &row) == MLKV_OK;
}

static int look_at_row(mender *self, mlkv_slice key, mlkv_slice value)
{
    mend_life *life = key.size < ID_KEY_SIZE
                          ? NULL
                          : mend_take(self, load_be64((const unsigned char *)key.data + 1));
    if (life == NULL && key.size >= ID_KEY_SIZE)
        return MLKV_E_MEMORY;
    if (life == NULL || !life->has_key) {
        self->must_sweep = true;
        return MLKV_OK;
    }
    bool good = mend_check_row(life, key, value);
    life->beside_found += good;
    life->has_bad_rows = life->has_bad_rows || !good;
    return MLKV_OK;
}

/* --- deciding --- */

static bool expiries_fit(const mend_life *life)
{
    if (life->expiring_found != life->expiring || life->dues != life->expiring ||
        life->due_sum != 0)
        return false;
    return life->expiring == 0 ||
           (life->first_ms <= life->first_found && life->last_ms >= life->last_found);
}

static void decide(mender *self, mend_life *life)
{
    bool whole = life->elements == life->expected && !life->has_bad;
    switch (life->has_key ? life->type : 0) {
    case TYPE_HASH:
    case TYPE_LIST:
        life->sound = whole && expiries_fit(life);
        life->doomed = life->elements == 0;
        break;
    case TYPE_SET:
        whole = whole && (life->expected == 0 || life->highest < life->expected);
        life->sound = whole && life->others == life->expected && life->sum == 0;
        life->doomed = life->elements == 0 && life->others == 0;
        break;
    case TYPE_ZSET:
        life->sound = whole && life->others == life->expected && life->sum == 0;
        life->doomed = life->elements == 0 && life->others == 0;
        break;
    case TYPE_TENSOR:
        life->doomed = life->elements != life->chunks || life->expected != life->chunks;
        life->sound = !life->doomed && !life->has_bad &&
                      life->stored_bytes == life->stored_bytes_found &&
                      life->beside == life->beside_found && !life->has_bad_rows;
        break;
    default:
        life->doomed = true;
        break;
    }
    life->sound = life->sound && !life->doomed;
    self->must_sweep = self->must_sweep || !life->sound;
}

int mend_survey(mender *self)
{
    static const int classes[] = {RECORD_ELEMENT, RECORD_LIST, RECORD_ORDER, RECORD_TENSOR};
    self->counting = true;
    int result = mend_each_class(self, RECORD_BLOB, look_at_piece);
    if (result == MLKV_OK)
        result = mend_each_class(self, RECORD_GARBAGE, look_at_garbage);
    if (result == MLKV_OK)
        result = mend_each_class(self, RECORD_KEY, look_at_key);
    for (size_t i = 0; i < sizeof classes / sizeof classes[0] && result == MLKV_OK; i++)
        result = mend_each_class(self, classes[i], look_at_element);
    if (result == MLKV_OK)
        result = mend_each_class(self, RECORD_FIELD_EXPIRY, look_at_due);
    if (result == MLKV_OK)
        result = mend_each_class(self, RECORD_ROW, look_at_row);
    self->counting = false;
    for (size_t i = 0; i < self->lives.count && result == MLKV_OK; i++)
        decide(self, (mend_life *)(void *)self->lives.items + i);
    return result;
}
