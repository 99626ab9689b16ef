/* mend_sweep.c - after the decisions: what cannot stay goes, lists are numbered anew, K records say
 * what is there.
 *
 * Elements are walked only if some life is not sound. Each that stays counts what it refers to: the
 * reference counts are made from that (mend_rest.c). A list's good elements move down, in their order,
 * to where the next one belongs; so nothing is put where something that has not been walked stands but
 * what was read from the snapshot anyway.
 *
 * Locks: none.
 */
#include "types/mend.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/hash.h"
#include "types/element.h"
#include "types/expiry.h"
#include "types/field.h"
#include "types/tensor_rows_fold.h"

#include <mlkv/key.h>
#include <stdio.h>

enum {
    ID_KEY_SIZE = 9,
    LIST_TAIL_AT = 8, /* in the type's own part */
    STORED_AT = 24,
};

/* --- elements --- */

static void unrefer(mender *self, mlkv_slice cell)
{
    int kind;
    uint64_t size;
    cell_blob blob;
    verify_blob *known = NULL;
    if (cell.size != 0 && cell_inspect(cell, &kind, &size, &blob) == MLKV_OK && kind == CELL_BLOB)
        known = id_map_find(&self->check.blobs, blob.id);
    if (known != NULL && known->references != 0)
        known->references--;
}

/* The cell of a good element, without looking at it again. */
static mlkv_slice cell_of(const mend_life *life, mlkv_slice key, mlkv_slice value)
{
    mlkv_slice name, rest, cell = slice_of(NULL, 0);
    int64_t at_ms;
    if (life->type == TYPE_LIST)
        return value;
    if (life->type == TYPE_HASH &&
        layout_split_name(key, ELEMENT_HEAD_SIZE, value, &name, &rest) == MLKV_OK)
        (void)layout_split_field(rest, &at_ms, &cell);
    if (life->type == TYPE_TENSOR && value.size > TENSOR_CHUNK_HEAD_SIZE)
        cell = slice_of((const unsigned char *)value.data + TENSOR_CHUNK_HEAD_SIZE,
                        value.size - TENSOR_CHUNK_HEAD_SIZE);
    return cell;
}

static int sweep_listed(mender *self, mend_life *life, mlkv_slice key, mlkv_slice value, bool good)
{
    uint64_t seq = load_be64((const unsigned char *)key.data + ID_KEY_SIZE);
    record_key place;
    int result = MLKV_OK;
    if (good && seq != life->next) {
        layout_indexed(RECORD_LIST, life->id, life->next, &place);
        result = mend_put(self, record_key_slice(&place), value);
    }
    life->next += good;
    bool behind = seq < life->head || seq - life->head >= life->elements;
    return result == MLKV_OK && behind ? mend_delete(self, key) : result;
}

/* The Y record of a field that stays and expires. */
static int put_due(mender *self, const mend_life *life, mlkv_slice key, mlkv_slice value)
{
    record_key due;
    mlkv_slice name, rest, cell;
    int64_t at_ms = 0;
    int result = layout_split_name(key, ELEMENT_HEAD_SIZE, value, &name, &rest);
    if (result == MLKV_OK)
        result = layout_split_field(rest, &at_ms, &cell);
    if (result != MLKV_OK || at_ms == 0)
        return result;
    result = layout_field_expiry(life->id, at_ms, name, &due);
    return result != MLKV_OK ? result : mend_put_named(self, &due, name, slice_of(NULL, 0));
}

static bool is_paired(const mend_life *life, int record_class)
{
    if (record_class == RECORD_ELEMENT)
        return life->type == TYPE_SET || life->type == TYPE_ZSET;
    return (record_class == RECORD_LIST && life->type == TYPE_SET) ||
           (record_class == RECORD_ORDER && life->type == TYPE_ZSET);
}

static int sweep_element(mender *self, mlkv_slice key, mlkv_slice value)
{
    const unsigned char *bytes = key.data;
    mend_life *life =
        key.size < ID_KEY_SIZE ? NULL : id_map_find(&self->lives, load_be64(bytes + 1));
    if (life == NULL || !life->has_key || life->doomed)
        return mend_delete(self, key);
    if (is_paired(life, bytes[0]))
        return MLKV_OK; /* mend_pairs.c saw to it */
    bool good = true;
    mlkv_slice cell = cell_of(life, key, value);
    int result = MLKV_OK;
    if (life->has_bad) {
        const mend_life counted = *life;
        result =
            mend_check_element(self, life, key, value, &good, &cell); /* counts the reference */
        *life = counted;
        if (!good)
            unrefer(self, cell);
    } else {
        mend_refer(self, cell);
    }
    if (result != MLKV_OK)
        return result;
    if (bytes[0] == RECORD_LIST && life->type == TYPE_LIST && !life->sound)
        return sweep_listed(self, life, key, value, good);
    if (good && life->type == TYPE_HASH && !life->sound)
        return put_due(self, life, key, value);
    return good ? MLKV_OK : mend_delete(self, key);
}

/* The expiry that a field's own record says, 0: none. */
typedef struct {
    uint64_t id;
    mlkv_slice name;
    int64_t at_ms;
} due_lookup;

static int due_rule(op *o, void *context)
{
    due_lookup *self = context;
    element found;
    mlkv_slice cell;
    self->at_ms = 0;
    int result = element_open(o, self->id, self->name, &found);
    return result != MLKV_OK ? result : layout_split_field(found.rest, &self->at_ms, &cell);
}

/* A Y record stays if the field stays and says the same. */
static int sweep_due(mender *self, mlkv_slice key, mlkv_slice value)
{
    due_lookup lookup;
    int64_t at_ms;
    mend_life *life =
        key.size < LAYOUT_ORDER_HEAD_SIZE
            ? NULL
            : id_map_find(&self->lives, load_be64((const unsigned char *)key.data + 1));
    if (life == NULL || !life->has_key || life->doomed || life->type != TYPE_HASH ||
        field_split_expiry(key, value, &at_ms, &lookup.name) != MLKV_OK)
        return mend_delete(self, key);
    if (life->sound)
        return MLKV_OK;
    lookup.id = life->id;
    int result = mend_flush(self); /* looked up in the store as it is by now: bad fields are gone */
    if (result == MLKV_OK)
        result = op_read(self->db, due_rule, &lookup);
    if (result != MLKV_OK && result != MLKV_ABSENT && result != MLKV_E_CORRUPT)
        return result;
    return result == MLKV_OK && lookup.at_ms == at_ms ? MLKV_OK : mend_delete(self, key);
}

static int sweep_row(mender *self, mlkv_slice key, mlkv_slice value)
{
    const mend_life *life =
        key.size < ID_KEY_SIZE
            ? NULL
            : id_map_find(&self->lives, load_be64((const unsigned char *)key.data + 1));
    bool stays = life != NULL && life->has_key && !life->doomed && mend_check_row(life, key, value);
    return stays ? MLKV_OK : mend_delete(self, key);
}

static int sweep_elements(mender *self)
{
    static const int classes[] = {RECORD_ELEMENT, RECORD_LIST, RECORD_ORDER, RECORD_TENSOR};
    for (size_t i = 0; i < self->check.blobs.count; i++)
        ((verify_blob *)(void *)self->check.blobs.items + i)->references = 0;
    int result = MLKV_OK;
    for (size_t i = 0; i < sizeof classes / sizeof classes[0] && result == MLKV_OK; i++)
        result = mend_each_class(self, classes[i], sweep_element);
    if (result == MLKV_OK)
        result = mend_each_class(self, RECORD_ROW, sweep_row);
    return result == MLKV_OK ? mend_each_class(self, RECORD_FIELD_EXPIRY, sweep_due) : result;
}

/* --- keys --- */

static const char *noun(uint8_t type)
{
    static const char *const nouns[] = {"elements", "values",  "fields", "elements",
                                        "members",  "members", "chunks"};
    return nouns[type < sizeof nouns / sizeof nouns[0] ? type : 0];
}

static int lose_key(mender *self, mlkv_slice key, const char *name, const char *why)
{
    self->report.keys_lost++;
    int result = mend_tell(self, true, "key '%s' is lost: %s", name, why);
    return result != MLKV_OK ? result : mend_delete(self, key);
}

static int sweep_string(mender *self, mlkv_slice key, const mend_key *found)
{
    bool good = false;
    int result = mend_check_cell(self, key, found->rest, &good);
    if (result != MLKV_OK || good)
        return result != MLKV_OK ? result : MLKV_OK;
    unrefer(self, found->rest);
    result = lose_key(self, key, error_quote(found->name.data, found->name.size),
                      "parts of its value are missing or damaged");
    return result != MLKV_OK ? result : MLKV_ABSENT;
}

/* The K record with what is there by now. */
static int put_corrected(mender *self, mlkv_slice key, mlkv_slice value, mend_key *found,
                         const mend_life *life)
{
    unsigned char header[LAYOUT_KEY_HEADER_SIZE], fields[LAYOUT_FIELDS_SIZE];
    mlkv_buffer copy = {0};
    found->header.count = life->elements;
    found->header.expiring = life->expiring_found;
    found->header.fields_expire = life->expiring_found != 0;
    found->header.first_ms = life->first_found;
    found->header.last_ms = life->last_found;
    found->header.beside = life->beside_found;
    found->header.rows_beside = life->beside_found != 0;
    layout_write_header(&found->header, header);
    size_t fields_size = layout_write_fields(&found->header, fields);
    int result = buffer_append(&copy, value.data, found->value_head);
    if (result == MLKV_OK)
        result = buffer_append(&copy, header, sizeof header);
    if (result == MLKV_OK)
        result = buffer_append(&copy, fields, fields_size);
    if (result == MLKV_OK)
        result = buffer_append(&copy, found->rest.data, found->rest.size);
    unsigned char *rest = (unsigned char *)copy.data + copy.size - found->rest.size;
    if (result == MLKV_OK && life->type == TYPE_LIST)
        store_le64(rest + LIST_TAIL_AT, life->head + life->elements);
    if (result == MLKV_OK && life->type == TYPE_TENSOR)
        store_le64(rest + STORED_AT, life->stored_bytes_found);
    if (result == MLKV_OK)
        result = mend_put(self, key, slice_of_buffer(&copy));
    mlkv_buffer_free(&copy);
    return result;
}

static int tell_corrected(mender *self, const mend_key *found, const mend_life *life)
{
    const char *name = error_quote(found->name.data, found->name.size);
    const char *type = mlkv_type_name((mlkv_type)life->type);
    unsigned long long there = life->elements, expected = life->expected;
    if (there < expected) {
        self->report.elements_lost += expected - there;
        return mend_tell(self, true, "%s '%s': %llu of its %llu %s are lost", type, name,
                         expected - there, expected, noun(life->type));
    }
    if (there > expected)
        return mend_tell(self, true, "%s '%s': %llu %s were found, %llu more than it counts", type,
                         name, there, noun(life->type), there - expected);
    if (life->beside_found < life->beside) {
        self->report.elements_lost += life->beside - life->beside_found;
        return mend_tell(self, true,
                         "%s '%s': %llu of the %llu rows beside its chunks are lost: what they "
                         "were before counts again",
                         type, name, (unsigned long long)(life->beside - life->beside_found),
                         (unsigned long long)life->beside);
    }
    return mend_tell(self, false, "%s '%s': its records were made to fit each other", type, name);
}

static int sweep_life(mender *self, mlkv_slice key, mlkv_slice value, mend_key *found)
{
    char why[100];
    const mend_life *life = id_map_find(&self->lives, found->header.id);
    const char *name = error_quote(found->name.data, found->name.size);
    int result = MLKV_OK;
    if (life == NULL || !life->has_key || life->owner != hash_key(key.data, key.size)) {
        result = lose_key(self, key, name, "its elements belong to another key");
        return result != MLKV_OK ? result : MLKV_ABSENT;
    }
    if (life->doomed) {
        snprintf(why, sizeof why, "%llu of its %llu %s are",
                 (unsigned long long)(life->elements < life->expected
                                          ? life->expected - life->elements
                                          : life->expected),
                 (unsigned long long)life->expected, noun(life->type));
        self->report.elements_lost += life->expected;
        result = lose_key(self, key, name, why);
        return result != MLKV_OK ? result : MLKV_ABSENT;
    }
    self->report.elements += life->elements;
    if (life->sound)
        return MLKV_OK;
    result = tell_corrected(self, found, life);
    return result != MLKV_OK ? result : put_corrected(self, key, value, found, life);
}

/* --- the X record of a key that stays, the F record of a hash of which fields expire, the Q record --- */

typedef struct {
    int record_class;
    mlkv_slice name;
    int64_t at_ms;
} expiry_call;

static int find_expiry(op *o, void *context)
{
    const expiry_call *call = context;
    return expiry_find_in(o, call->record_class, call->name, call->at_ms);
}

static int put_expiry(op *o, void *context)
{
    const expiry_call *call = context;
    return expiry_move_in(o, call->record_class, call->name, 0, call->at_ms);
}

static int mend_expiry(mender *self, int record_class, mlkv_slice name, int64_t at_ms)
{
    expiry_call call = {.record_class = record_class, .name = name, .at_ms = at_ms};
    if (at_ms == 0)
        return MLKV_OK;
    int result = op_read(self->view, find_expiry, &call);
    return result == MLKV_ABSENT || result == MLKV_E_CORRUPT ? op_write(self->db, put_expiry, &call)
                                                             : result;
}

/* The Q record of a tensor with rows beside its chunks, which may be there. */
static int put_rows_of(op *o, void *context)
{
    const mend_key *found = context;
    int result = fold_find(o, found->name);
    return result == MLKV_ABSENT || result == MLKV_E_CORRUPT
               ? fold_note(o, found->name, false, true)
               : result;
}

static int sweep_key(mender *self, mlkv_slice key, mlkv_slice value)
{
    mend_key found;
    int result = mend_split_key(key, value, &found);
    if (result == MLKV_E_CORRUPT)
        return lose_key(self, key, error_quote((const char *)key.data + 1, key.size - 1),
                        mlkv_error_detail());
    uint64_t losses = self->report.keys_lost;
    if (result == MLKV_OK)
        result = found.header.type == TYPE_STRING ? sweep_string(self, key, &found)
                                                  : sweep_life(self, key, value, &found);
    if (result == MLKV_ABSENT && self->report.keys_lost != losses)
        return MLKV_OK;
    if (result == MLKV_OK)
        result = mend_expiry(self, RECORD_EXPIRY, found.name, found.header.expiry_ms);
    if (result == MLKV_OK && found.header.fields_expire)
        result = mend_expiry(self, RECORD_FIELDS_DUE, found.name, found.header.first_ms);
    if (result == MLKV_OK && found.header.rows_beside)
        result = op_write(self->db, put_rows_of, &found);
    self->report.keys++;
    return result;
}

/* Elements whose key is not known any more. */
static int tell_ownerless(mender *self)
{
    int result = MLKV_OK;
    for (size_t i = 0; i < self->lives.count && result == MLKV_OK; i++) {
        const mend_life *life = (const mend_life *)(const void *)self->lives.items + i;
        if (life->has_key || life->deleted || life->elements == 0)
            continue;
        self->report.elements_lost += life->elements;
        result = mend_tell(self, true,
                           "%llu records of elements with id %llu are lost: the key that they "
                           "belong to is not known any more",
                           (unsigned long long)life->elements, (unsigned long long)life->id);
    }
    return result;
}

int mend_sweep(mender *self)
{
    int result = self->must_sweep ? sweep_elements(self) : MLKV_OK;
    if (result == MLKV_OK)
        result = tell_ownerless(self);
    return result == MLKV_OK ? mend_each_class(self, RECORD_KEY, sweep_key) : result;
}
