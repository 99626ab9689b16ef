/* key_dump.c - a key of any type as a payload (payload.h).
 *
 * Bytes owned: none. A rule walks over the key's elements and writes what they mean; a hash, set or sorted set goes by its E records, which
 * stand in the order of the names but for those of some 480 bytes and more.
 *
 * A tensor may be large, and others may write to other keys while it is read. So it is read as mlkv_tensor_get reads, in groups:
 *   form -> data -> form: the same life and version mean that all three are of one state (tensor.c). After TRIES_MAX, in one rule.
 *
 * Invariants
 *   1. A payload is of one state and one moment; what has expired is not in it.
 *   2. The caller's buffer changes only on success.
 * Locks: none of its own.
 */
#include <mlkv/dump.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "types/argument.h"
#include "types/field.h"
#include "types/list.h"
#include "types/payload.h"
#include "types/values.h"
#include "types/zset.h"

enum { TRIES_MAX = 4 };

typedef struct {
    mlkv_slice key;
    mlkv_buffer *out;
    size_t old_size;
    payload_writer writer;
    bool at_once; /* a tensor's data is read in the rule */
    bool is_tensor;
    uint64_t id; /* of a tensor */
    tensor_form form;
} dumping;

/* --- elements --- */

static int add_cell(op *o, dumping *self, scan *walk, mlkv_slice cell)
{
    size_t at;
    mlkv_slice raw;
    int result = payload_open_value(&self->writer, &at);
    if (result != MLKV_OK)
        return result;
    if (cell_borrow(cell, &raw))
        result = buffer_append(self->out, raw.data, raw.size);
    else
        result = walk != NULL ? scan_cell_append(walk, cell, self->out)
                              : op_cell_append(o, cell, self->out);
    if (result == MLKV_OK)
        payload_close_value(&self->writer, at);
    return result;
}

static int add_field(op *o, dumping *self, scan *walk, mlkv_slice name, mlkv_slice rest)
{
    mlkv_slice cell;
    int64_t at_ms;
    int result = field_look(o, rest, &at_ms, &cell);
    if (result == MLKV_OK)
        result = payload_add_name(&self->writer, name);
    if (result == MLKV_OK)
        result = payload_add_number(&self->writer, (uint64_t)at_ms);
    return result != MLKV_OK ? result : add_cell(o, self, walk, cell);
}

static int add_member(dumping *self, mlkv_slice name, mlkv_slice rest)
{
    double score;
    uint64_t bits;
    int result = payload_add_name(&self->writer, name);
    if (result != MLKV_OK || self->writer.type == TYPE_SET)
        return result;
    result = zset_score(rest, &score);
    if (result != MLKV_OK)
        return result;
    memcpy(&bits, &score, sizeof bits);
    return payload_add_number(&self->writer, bits);
}

static int add_element(op *o, dumping *self, scan *walk, mlkv_slice key, mlkv_slice value)
{
    mlkv_slice name, rest;
    int result = layout_split_name(key, ELEMENT_HEAD_SIZE, value, &name, &rest);
    if (result == MLKV_OK)
        result = self->writer.type == TYPE_HASH ? add_field(o, self, walk, name, rest)
                                                : add_member(self, name, rest);
    if (result == MLKV_OK)
        payload_count_element(&self->writer);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

static int dump_elements(op *o, dumping *self, uint64_t id)
{
    record_key prefix;
    scan *walk = NULL;
    mlkv_slice key, value;
    layout_id(RECORD_ELEMENT, id, &prefix);
    int result = op_scan_open(o, record_key_slice(&prefix), slice_of(NULL, 0), &walk);
    while (result == MLKV_OK) {
        result = scan_next(walk, &key, &value);
        if (result == MLKV_OK)
            result = add_element(o, self, walk, key, value);
    }
    scan_close(walk);
    if (result == MLKV_ABSENT)
        result = self->writer.count != 0
                     ? MLKV_OK
                     : error_set(MLKV_E_CORRUPT, "key \"%s\" counts elements, but there are none",
                                 error_quote(self->key.data, self->key.size));
    return result;
}

static int add_list_item(op *o, const list_item *item, void *context)
{
    dumping *self = context;
    payload_count_element(&self->writer);
    return add_cell(o, self, item->walk, item->cell);
}

static int dump_list(op *o, dumping *self)
{
    list from;
    int result = list_open(o, self->key, &from);
    return result != MLKV_OK
               ? result
               : list_walk(o, &from, from.head, list_count(&from), add_list_item, self);
}

static int dump_string(op *o, dumping *self, const entry *found)
{
    payload_count_element(&self->writer);
    return add_cell(o, self, NULL, found->rest);
}

/* --- tensors --- */

static int read_chunks(op *o, dumping *self)
{
    chunk_head head;
    unsigned char *to = buffer_extend(self->out, (size_t)self->form.raw_bytes);
    int result = to == NULL ? error_set_memory("a payload") : MLKV_OK;
    for (uint64_t chunk = 0; chunk < self->form.chunks && result == MLKV_OK; chunk++) {
        size_t size = tensor_chunk_size(&self->form, chunk);
        result = chunk_read(o, &self->form, self->id, chunk, 0, size, to, &head);
        to += size;
    }
    return result;
}

static int dump_tensor(op *o, dumping *self)
{
    entry found;
    int result = tensor_open(o, self->key, &found, &self->form);
    self->is_tensor = true;
    self->id = found.header.id;
    if (result == MLKV_OK)
        result = payload_add_form(&self->writer, &self->form);
    return result != MLKV_OK || !self->at_once ? result : read_chunks(o, self);
}

typedef struct {
    mlkv_slice key;
    uint64_t id, version;
} looking;

static int look_rule(op *o, void *context)
{
    looking *self = context;
    entry found;
    tensor_form form;
    int result = tensor_open(o, self->key, &found, &form);
    if (result == MLKV_OK) {
        self->id = found.header.id;
        self->version = form.version;
    }
    return result;
}

/* The data behind the form that the rule has written. MLKV_ABSENT: the tensor has changed since. */
static int append_data(mlkv *view, dumping *self)
{
    looking now = {.key = self->key};
    size_t size = (size_t)self->form.raw_bytes;
    void *to = buffer_extend(self->out, size);
    if (to == NULL)
        return error_set_memory("a payload");
    int result = mlkv_tensor_get(view, self->key, to, size);
    if (result == MLKV_OK)
        result = op_read(view, look_rule, &now);
    if (result == MLKV_OK && (now.id != self->id || now.version != self->form.version))
        return MLKV_ABSENT;
    return result == MLKV_E_SHAPE || result == MLKV_E_TYPE ? MLKV_ABSENT : result;
}

/* --- the key --- */

static int dump_rule(op *o, void *context)
{
    dumping *self = context;
    entry found;
    self->out->size = self->old_size;
    self->is_tensor = false;
    int result = entry_open(o, self->key, TYPE_ANY, &found);
    if (result == MLKV_OK)
        result = payload_begin(&self->writer, self->out, found.header.type);
    if (result != MLKV_OK)
        return result;
    switch (found.header.type) {
    case TYPE_STRING:
        return dump_string(o, self, &found);
    case TYPE_LIST:
        return dump_list(o, self);
    case TYPE_TENSOR:
        return dump_tensor(o, self);
    default:
        return dump_elements(o, self, found.header.id);
    }
}

static int run(mlkv *view, dumping *self)
{
    int result = MLKV_ABSENT;
    for (int i = 0; i <= TRIES_MAX; i++) {
        self->at_once = i == TRIES_MAX;
        result = op_read(view, dump_rule, self);
        if (result != MLKV_OK || !self->is_tensor || self->at_once)
            break;
        result = append_data(view, self);
        if (result != MLKV_ABSENT)
            break;
    }
    return result != MLKV_OK ? result : payload_end(&self->writer);
}

int mlkv_key_dump(mlkv *view, mlkv_slice key, mlkv_buffer *ret_payload)
{
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = argument_pointer(ret_payload, "ret_payload");
    if (result != MLKV_OK)
        return result;
    dumping self = {.key = key, .out = ret_payload, .old_size = ret_payload->size};
    result = run(view, &self);
    chunk_scratch_trim();
    return values_end_get(result, self.old_size, ret_payload);
}
