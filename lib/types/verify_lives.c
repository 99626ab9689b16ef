/* verify_lives.c - the part of mlkv_verify that knows keys and what belongs to them.
 *
 * Before the walk G and K are read for what lives there are, because elements (E) come before both
 * in key order. During the walk each element finds its life by id and is counted there; after it
 * the counts are compared, and if one is wrong K is read once more to name the key.
 *
 * A set's member m has an E record with its index i, and the L record i holds m. Each E record is
 * looked up in L; that there are as many L as E records then leaves no room for another L record.
 * A sorted set's members and O records likewise.
 *
 * Elements of a deleted life (G) may be there in part: the cleaner is at work. They count as
 * unclaimed. A K record that is wrong itself is told of once; its elements are not blamed too.
 *
 * Locks: none.
 */
#include "types/verify.h"

#include "base/bytes.h"
#include "base/error.h"
#include "base/hash.h"
#include "types/element.h"
#include "types/list.h"
#include "types/tensor.h"
#include "types/zset.h"

enum { KEY_HEAD_SIZE = 1, ID_KEY_SIZE = 9, INDEXED_KEY_SIZE = 17, KEY_ID_AT = 8 };

/* Splits a K record; the form is that of a tensor. MLKV_E_CORRUPT. */
static int split_key(mlkv_slice key, mlkv_slice value, mlkv_slice *ret_name, key_header *ret_header,
                     mlkv_slice *ret_rest, tensor_form *ret_form)
{
    uint64_t head, tail;
    int result = layout_split_name(key, KEY_HEAD_SIZE, value, ret_name, ret_rest);
    if (result == MLKV_OK)
        result = layout_read_header(*ret_rest, ret_header, ret_rest);
    if (result == MLKV_OK)
        result = layout_read_fields(ret_header, ret_rest);
    if (result == MLKV_OK && ret_header->type == TYPE_TENSOR)
        result = tensor_form_read(*ret_rest, ret_form);
    if (result == MLKV_OK &&
        (ret_header->type == TYPE_HASH || ret_header->type == TYPE_SET ||
         ret_header->type == TYPE_ZSET) &&
        ret_rest->size != 0)
        result = error_set(MLKV_E_CORRUPT, "%zu bytes too many", ret_rest->size);
    if (result == MLKV_OK && ret_header->type == TYPE_LIST)
        result = list_read_part(*ret_rest, ret_header->count, &head, &tail);
    if (result == MLKV_OK && (ret_header->type == TYPE_STRING) != (ret_header->id == 0))
        result = error_set(MLKV_E_CORRUPT, "its type does not fit its id, %llu",
                           (unsigned long long)ret_header->id);
    return result;
}

static verify_life *new_life(verifier *self, uint64_t id, bool *ret_known)
{
    *ret_known = id_map_find(&self->lives, id) != NULL;
    verify_life *life = id_map_take(&self->lives, id);
    if (life == NULL)
        error_set_memory("what is known of keys");
    return life;
}

static int begin_garbage(verifier *self, mlkv_slice key, mlkv_slice value)
{
    bool known;
    if (key.size != ID_KEY_SIZE || value.size == 0)
        return verify_problem(self, "record '%s' has a wrong size",
                              error_quote(key.data, key.size));
    verify_life *life = new_life(self, load_be64((const unsigned char *)key.data + 1), &known);
    if (life == NULL)
        return MLKV_E_MEMORY;
    life->type = *(const unsigned char *)value.data;
    life->deleted = true;
    return MLKV_OK;
}

/* A K record that the walk will complain of. Its id is noted if it can be seen, so that its
 * elements are not blamed too. */
static int begin_broken(verifier *self, mlkv_slice key, mlkv_slice value)
{
    bool known;
    mlkv_slice name, rest;
    uint64_t id = 0;
    if (layout_split_name(key, KEY_HEAD_SIZE, value, &name, &rest) == MLKV_OK &&
        rest.size >= LAYOUT_KEY_HEADER_SIZE)
        id = load_le64((const unsigned char *)rest.data + KEY_ID_AT);
    verify_life *life = id == 0 ? NULL : new_life(self, id, &known);
    if (life != NULL)
        life->broken = true;
    return id != 0 && life == NULL ? MLKV_E_MEMORY : MLKV_OK;
}

static int begin_key(verifier *self, mlkv_slice key, mlkv_slice value)
{
    bool known;
    mlkv_slice name, rest;
    key_header header;
    tensor_form form = {0};
    int result = split_key(key, value, &name, &header, &rest, &form);
    if (result == MLKV_E_CORRUPT)
        return begin_broken(self, key, value);
    if (result != MLKV_OK || header.id == 0)
        return result;
    verify_life *life = new_life(self, header.id, &known);
    if (life == NULL)
        return MLKV_E_MEMORY;
    if (known)
        return verify_problem(self,
                              "key '%s' has id %llu, which another key or a deleted one has too",
                              error_quote(name.data, name.size), (unsigned long long)header.id);
    *life = (verify_life){.id = header.id,
                          .type = header.type,
                          .expected = header.count,
                          .expiring = header.expiring,
                          .first_ms = header.first_ms,
                          .last_ms = header.last_ms,
                          .rows = form.rows,
                          .row_bytes = form.row_bytes,
                          .chunk_rows = form.chunk_rows,
                          .chunks = form.chunks,
                          .stored_bytes = form.stored_bytes,
                          .beside = header.beside};
    uint64_t tail;
    return header.type == TYPE_LIST ? list_read_part(rest, header.count, &life->head, &tail)
                                    : MLKV_OK;
}

static int each_record(verifier *self, int class, int (*visit)(verifier *, mlkv_slice, mlkv_slice))
{
    scan *records = NULL;
    unsigned char prefix[1] = {(unsigned char)class};
    mlkv_slice key, value;
    int result = scan_open(self->view, slice_of(prefix, 1), slice_of(NULL, 0), &records);
    while (result == MLKV_OK) {
        result = scan_next(records, &key, &value);
        if (result == MLKV_ABSENT) {
            result = MLKV_OK;
            break;
        }
        if (result == MLKV_OK)
            result = visit(self, key, value);
    }
    scan_close(records);
    if (result != MLKV_E_CORRUPT)
        return result;
    self->partial = true; /* the walk comes to this record too, and tells of it */
    return MLKV_OK;
}

int verify_lives_begin(verifier *self)
{
    int result = each_record(self, RECORD_GARBAGE, begin_garbage);
    return result != MLKV_OK ? result : each_record(self, RECORD_KEY, begin_key);
}

int verify_key(verifier *self, mlkv_slice key, mlkv_slice value)
{
    mlkv_slice name, rest;
    key_header header;
    tensor_form form;
    self->report.keys++;
    int result = split_key(key, value, &name, &header, &rest, &form);
    if (result != MLKV_OK)
        return verify_result(self, key, result);
    result = verify_key_expiry(self, name, header.expiry_ms);
    if (result == MLKV_OK)
        result = verify_hash(self, name, &header);
    if (result == MLKV_OK)
        result = verify_tensor_rows(self, name, &header);
    if (result != MLKV_OK)
        return result;
    if (header.type == TYPE_STRING)
        return verify_cell(self, key, rest, NULL);
    if (header.type == TYPE_TENSOR && header.count != form.chunks)
        return verify_problem(self, "tensor '%s' counts %llu chunks, its shape needs %llu",
                              error_quote(name.data, name.size), (unsigned long long)header.count,
                              (unsigned long long)form.chunks);
    if (header.type != TYPE_TENSOR && header.count == 0)
        return verify_problem(self, "key '%s' has no elements, and should not be there",
                              error_quote(name.data, name.size));
    return MLKV_OK;
}

typedef struct {
    uint64_t id, index;
    mlkv_slice member;
    bool same;
} index_lookup;

static int lookup_rule(op *o, void *context)
{
    index_lookup *self = context;
    record_key key;
    mlkv_slice value;
    layout_indexed(RECORD_LIST, self->id, self->index, &key);
    int result = op_borrow(o, record_key_slice(&key), &value);
    self->same = result == MLKV_OK && slice_equal(value, self->member);
    return result;
}

static int verify_member(verifier *self, mlkv_slice key, const verify_life *life, mlkv_slice name,
                         mlkv_slice rest)
{
    if (rest.size != 8)
        return verify_problem(self, "set member '%s' has an index of %zu bytes",
                              error_quote(key.data, key.size), rest.size);
    if (life->deleted)
        return MLKV_OK;
    index_lookup lookup = {.id = life->id, .index = load_le64(rest.data), .member = name};
    if (lookup.index >= life->expected)
        return verify_problem(self, "set member '%s' has index %llu, but the set counts %llu",
                              error_quote(key.data, key.size), (unsigned long long)lookup.index,
                              (unsigned long long)life->expected);
    int result = op_read(self->view, lookup_rule, &lookup);
    if (result < 0 && result != MLKV_E_CORRUPT)
        return result;
    if (!lookup.same)
        return verify_problem(self, "set member '%s' does not stand at its index, %llu",
                              error_quote(key.data, key.size), (unsigned long long)lookup.index);
    return MLKV_OK;
}

static int ordered_rule(op *o, void *context)
{
    index_lookup *self = context;
    record_key key;
    mlkv_slice value, name = {0}, rest;
    self->same = false;
    int result = layout_ordered(self->id, self->index, self->member, &key);
    if (result == MLKV_OK)
        result = op_borrow(o, record_key_slice(&key), &value);
    if (result == MLKV_OK)
        result =
            layout_split_name(record_key_slice(&key), LAYOUT_ORDER_HEAD_SIZE, value, &name, &rest);
    self->same = result == MLKV_OK && slice_equal(name, self->member);
    return result;
}

/* A sorted set's member has a record in its order, at its score. */
static int verify_scored(verifier *self, mlkv_slice key, const verify_life *life, mlkv_slice name,
                         mlkv_slice rest)
{
    double score;
    int result = zset_score(rest, &score);
    if (result != MLKV_OK)
        return verify_result(self, key, result);
    if (life->deleted)
        return MLKV_OK;
    index_lookup lookup = {.id = life->id, .index = layout_score_bits(score), .member = name};
    result = op_read(self->view, ordered_rule, &lookup);
    if (result < 0 && result != MLKV_E_CORRUPT)
        return result;
    return lookup.same
               ? MLKV_OK
               : verify_problem(self, "sorted set member '%s' does not stand at its score, %.17g",
                                error_quote(key.data, key.size), score);
}

int verify_life_of(verifier *self, mlkv_slice key, bool size_fits, verify_life **ret_life)
{
    *ret_life = NULL;
    if (!size_fits)
        return verify_problem(self, "record key '%s' has a wrong size",
                              error_quote(key.data, key.size));
    *ret_life = id_map_find(&self->lives, load_be64((const unsigned char *)key.data + 1));
    if (*ret_life != NULL || self->partial)
        return MLKV_OK;
    return verify_problem(self, "record '%s' belongs to no key", error_quote(key.data, key.size));
}

int verify_ordered(verifier *self, mlkv_slice key, mlkv_slice value)
{
    mlkv_slice name, rest;
    verify_life *life;
    int result = verify_life_of(self, key, key.size >= LAYOUT_ORDER_HEAD_SIZE, &life);
    if (life == NULL)
        return result;
    life->indexed++;
    self->report.unclaimed += life->deleted;
    if (life->broken)
        return MLKV_OK;
    if (life->type != TYPE_ZSET)
        return verify_problem(self, "record '%s' belongs to a key that is no sorted set",
                              error_quote(key.data, key.size));
    result = layout_split_name(key, LAYOUT_ORDER_HEAD_SIZE, value, &name, &rest);
    if (result == MLKV_OK && rest.size != 0)
        result = error_set(MLKV_E_CORRUPT, "%zu bytes too many", rest.size);
    return verify_result(self, key, result);
}

static int verify_named(verifier *self, mlkv_slice key, mlkv_slice value, verify_life *life)
{
    mlkv_slice name, rest;
    int result = layout_split_name(key, ELEMENT_HEAD_SIZE, value, &name, &rest);
    if (result != MLKV_OK)
        return verify_result(self, key, result);
    if (life->type == TYPE_SET)
        return verify_member(self, key, life, name, rest);
    if (life->type == TYPE_HASH)
        return verify_field(self, key, life, name, rest);
    return life->type == TYPE_ZSET
               ? verify_scored(self, key, life, name, rest)
               : verify_problem(self, "record '%s' belongs to a key that has no such elements",
                                error_quote(key.data, key.size));
}

/* A chunk's bytes against its checksum, wherever they stand. */
static int verify_chunk_bytes(verifier *self, mlkv_slice key, const chunk_head *head,
                              mlkv_slice cell)
{
    bool good;
    int result = verify_cell(self, key, cell, &good);
    if (result != MLKV_OK || !good)
        return result;
    self->raw.size = 0;
    result = scan_cell_append(self->records, cell, &self->raw);
    if (result != MLKV_OK)
        return verify_result(self, key, result);
    if (hash_checksum(self->raw.data, self->raw.size, 0) != head->checksum)
        return verify_problem(
            self, "tensor chunk '%s' does not have the bytes that its checksum was made of",
            error_quote(key.data, key.size));
    return MLKV_OK;
}

static int verify_chunk_record(verifier *self, mlkv_slice key, mlkv_slice value, uint64_t chunk,
                               verify_life *life)
{
    chunk_head head;
    mlkv_slice cell;
    if (life->type != TYPE_TENSOR)
        return verify_problem(self, "record '%s' belongs to a key that is no tensor",
                              error_quote(key.data, key.size));
    if (life->deleted) { /* its shape is gone; what it refers to still counts */
        if (value.size <= TENSOR_CHUNK_HEAD_SIZE)
            return verify_problem(self, "tensor chunk '%s' is too short",
                                  error_quote(key.data, key.size));
        return verify_cell(self, key,
                           slice_of((const unsigned char *)value.data + TENSOR_CHUNK_HEAD_SIZE,
                                    value.size - TENSOR_CHUNK_HEAD_SIZE),
                           NULL);
    }
    tensor_form form = {.rows = life->rows,
                        .row_bytes = life->row_bytes,
                        .chunk_rows = life->chunk_rows,
                        .chunks = life->chunks};
    int result = chunk_split(&form, life->id, chunk, value, &head, &cell);
    if (result != MLKV_OK)
        return verify_result(self, key, result);
    life->stored_bytes_found += head.stored_size;
    return verify_chunk_bytes(self, key, &head, cell);
}

/* What was said of it names the record; the key's name is at hand at the end (end_key). */
static int verify_chunk(verifier *self, mlkv_slice key, mlkv_slice value, verify_life *life)
{
    uint64_t chunk = load_be64((const unsigned char *)key.data + ID_KEY_SIZE);
    uint64_t problems = self->report.problems;
    int result = verify_chunk_record(self, key, value, chunk, life);
    if (self->report.problems != problems && life->type == TYPE_TENSOR && life->damaged++ == 0)
        life->first_damaged = chunk;
    return result;
}

static int verify_list_element(verifier *self, mlkv_slice key, mlkv_slice value,
                               const verify_life *life)
{
    uint64_t seq = load_be64((const unsigned char *)key.data + ID_KEY_SIZE);
    if (life->type != TYPE_LIST)
        return verify_problem(self, "record '%s' belongs to a key that has no such elements",
                              error_quote(key.data, key.size));
    if (!life->deleted && seq - life->head >= life->expected)
        return verify_problem(
            self,
            "list element '%s' has number %llu, but the list is numbered from %llu, %llu of them",
            error_quote(key.data, key.size), (unsigned long long)seq,
            (unsigned long long)life->head, (unsigned long long)life->expected);
    return verify_cell(self, key, value, NULL);
}

int verify_element(verifier *self, mlkv_slice key, mlkv_slice value)
{
    const unsigned char *bytes = key.data;
    verify_life *life;
    bool named = bytes[0] == RECORD_ELEMENT;
    bool size_fits = named ? key.size >= ID_KEY_SIZE : key.size == INDEXED_KEY_SIZE;
    int result = verify_life_of(self, key, size_fits, &life);
    if (life == NULL)
        return result;
    bool index = bytes[0] == RECORD_LIST && life->type == TYPE_SET;
    life->indexed += index;
    life->elements += !index;
    self->report.elements += !index;
    self->report.unclaimed += life->deleted;
    if (life->broken)
        return MLKV_OK;
    if (named)
        return verify_named(self, key, value, life);
    if (bytes[0] == RECORD_TENSOR)
        return verify_chunk(self, key, value, life);
    return index ? MLKV_OK : verify_list_element(self, key, value, life);
}

static bool counts_right(const verify_life *life)
{
    return life->deleted || life->broken ||
           (life->elements == life->expected && life->damaged == 0 &&
            ((life->type != TYPE_SET && life->type != TYPE_ZSET) ||
             life->indexed == life->expected) &&
            verify_fields_counted(life) && life->stored_bytes == life->stored_bytes_found &&
            life->beside == life->beside_found);
}

static int end_key(verifier *self, mlkv_slice key, mlkv_slice value)
{
    mlkv_slice name, rest;
    key_header header;
    tensor_form form;
    int result = split_key(key, value, &name, &header, &rest, &form);
    const verify_life *life =
        result == MLKV_OK && header.id != 0 ? id_map_find(&self->lives, header.id) : NULL;
    if (life == NULL || counts_right(life))
        return MLKV_OK;
    const char *quoted = error_quote(name.data, name.size);
    unsigned long long expected = life->expected;
    if (life->elements != expected)
        result = verify_problem(self, "key '%s' counts %llu elements, %llu are there", quoted,
                                expected, (unsigned long long)life->elements);
    else if (life->type == TYPE_SET && life->indexed != expected)
        result = verify_problem(self, "set '%s' has %llu members, but %llu in its index", quoted,
                                expected, (unsigned long long)life->indexed);
    else if (life->type == TYPE_ZSET && life->indexed != expected)
        result = verify_problem(self, "sorted set '%s' has %llu members, but %llu in its order",
                                quoted, expected, (unsigned long long)life->indexed);
    else if (life->damaged != 0)
        result = verify_problem(
            self, "tensor '%s' has %llu damaged chunks, the first is chunk %llu", quoted,
            (unsigned long long)life->damaged, (unsigned long long)life->first_damaged);
    else if (!verify_fields_counted(life))
        result = verify_problem(
            self,
            "hash '%s' counts %llu fields that expire, %llu are there, and %llu in order of time",
            quoted, (unsigned long long)life->expiring, (unsigned long long)life->expiring_found,
            (unsigned long long)life->indexed);
    else if (life->beside != life->beside_found)
        result = verify_rows_counted(self, name, life);
    else
        result = verify_problem(
            self, "tensor '%s' says that %llu bytes are stored, its chunks say %llu", quoted,
            (unsigned long long)life->stored_bytes, (unsigned long long)life->stored_bytes_found);
    return result;
}

int verify_lives_end(verifier *self)
{
    const verify_life *lives = (const void *)self->lives.items;
    for (size_t i = 0; i < self->lives.count; i++) {
        if (!counts_right(&lives[i]))
            return each_record(self, RECORD_KEY, end_key);
    }
    return MLKV_OK;
}
