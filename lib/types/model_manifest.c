/* model_manifest.c - the list of a version's tensors.
 *
 * Bytes owned: the fields of the hash "mlkv:version:SIZE:NAME:VERSION"; numbers are little-endian:
 *   "t" TENSOR  0 8 its place in the order | 8 8 0: put, 1: taken over from the version that was current before
 *   "m"         the metadata, any bytes
 * A version without tensors and metadata has no such hash.
 *
 * Invariants
 *   1. Of a published version, each tensor that is listed has its key, unless somebody deleted it by hand.
 *   2. Of a staged version a tensor is listed once it is whole; keys that are not listed are deleted with the version.
 * Locks: none; everything happens inside a rule.
 */
#include "types/model.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "types/field.h"
#include "types/values.h"

#include <stdlib.h>

enum { ITEM_SIZE = 16 };

static const mlkv_slice metadata_name = {"m", 1};

/* --- the list in memory --- */

size_t model_item_count(const model_items *self)
{
    return self->items.size / sizeof(model_item);
}

model_item *model_item_at(const model_items *self, size_t i)
{
    return (model_item *)self->items.data + i;
}

mlkv_slice model_item_name(const model_items *self, const model_item *item)
{
    return slice_of((const char *)self->names.data + item->name_at, item->name_size);
}

void model_items_done(model_items *self)
{
    mlkv_buffer_free(&self->items);
    mlkv_buffer_free(&self->names);
}

static int compare_order(const void *a, const void *b)
{
    const model_item *left = a, *right = b;
    return left->order != right->order
               ? (left->order < right->order ? -1 : 1)
               : (left->name_at > right->name_at) - (left->name_at < right->name_at);
}

/* --- fields --- */

static int corrupt(const model *self, uint64_t version, const char *what)
{
    return error_set(MLKV_E_CORRUPT, "the manifest of version %llu of model \"%s\" %s",
                     (unsigned long long)version, error_quote(self->name.data, self->name.size),
                     what);
}

static int open_manifest(op *o, model *self, uint64_t version, entry *ret_manifest)
{
    int result = model_manifest_key(self->name, version, &self->keys[0]);
    return result != MLKV_OK
               ? result
               : entry_open(o, slice_of_buffer(&self->keys[0]), TYPE_HASH, ret_manifest);
}

static int read_item(op *o, const model *self, uint64_t version, mlkv_slice cell,
                     model_item *ret_item)
{
    unsigned char bytes[ITEM_SIZE];
    int kind;
    uint64_t size;
    cell_blob blob;
    int result = cell_inspect(cell, &kind, &size, &blob);
    if (result == MLKV_OK && size != sizeof bytes)
        result = corrupt(self, version, "has a field of another size");
    if (result == MLKV_OK)
        result = op_cell_read(o, cell, 0, sizeof bytes, bytes);
    if (result != MLKV_OK)
        return result;
    *ret_item = (model_item){.order = load_le64(bytes), .kind = load_le64(bytes + 8)};
    return ret_item->kind <= MODEL_CARRIED ? MLKV_OK
                                           : corrupt(self, version, "has a field that cannot be");
}

/* 't' and the name, in keys[1]. */
static int item_name(model *self, mlkv_slice tensor_name)
{
    self->keys[1].size = 0;
    int result = buffer_append(&self->keys[1], "t", 1);
    return result != MLKV_OK || tensor_name.size == 0
               ? result
               : buffer_append(&self->keys[1], tensor_name.data, tensor_name.size);
}

int model_get_item(op *o, model *self, uint64_t version, mlkv_slice tensor_name,
                   model_item *ret_item)
{
    entry manifest;
    hash_field field;
    int result = item_name(self, tensor_name);
    if (result == MLKV_OK)
        result = open_manifest(o, self, version, &manifest);
    if (result == MLKV_OK)
        result = field_open(o, &manifest, slice_of_buffer(&self->keys[1]), &field);
    return result != MLKV_OK ? result : read_item(o, self, version, field.cell, ret_item);
}

static int put_field(op *o, model *self, uint64_t version, mlkv_slice name, mlkv_slice cell)
{
    entry manifest;
    hash_field field = {.stands = false};
    int result = open_manifest(o, self, version, &manifest);
    if (result == MLKV_ABSENT)
        result = entry_create(o, &manifest, TYPE_HASH);
    key_header before = manifest.header;
    if (result == MLKV_OK)
        result = field_open(o, &manifest, name, &field);
    if (result >= 0 && field.stands)
        result = element_release_cell(o, field.cell);
    if (result >= 0)
        result = field_put(o, &manifest, &field, 0, cell, slice_of(NULL, 0));
    return result != MLKV_OK ? result : field_store(o, &manifest, &before);
}

int model_put_item(op *o, model *self, uint64_t version, mlkv_slice tensor_name,
                   const model_item *item)
{
    unsigned char cell[1 + ITEM_SIZE] = {CELL_RAW};
    store_le64(cell + 1, item->order);
    store_le64(cell + 9, item->kind);
    int result = item_name(self, tensor_name);
    return result != MLKV_OK ? result
                             : put_field(o, self, version, slice_of_buffer(&self->keys[1]),
                                         slice_of(cell, sizeof cell));
}

/* --- metadata --- */

int model_put_metadata(op *o, model *self, uint64_t version, op_value *metadata)
{
    int result = op_value_adopt(o, metadata);
    return result != MLKV_OK
               ? result
               : put_field(o, self, version, metadata_name, slice_of_buffer(&metadata->cell));
}

int model_read_metadata(op *o, model *self, uint64_t version, mlkv_buffer *ret_metadata)
{
    entry manifest;
    hash_field field;
    ret_metadata->size = 0;
    int result = open_manifest(o, self, version, &manifest);
    if (result == MLKV_OK)
        result = field_open(o, &manifest, metadata_name, &field);
    if (result == MLKV_OK) { /* the cell is borrowed until it is read */
        result = buffer_assign(&self->keys[1], field.cell.data, field.cell.size);
        if (result == MLKV_OK)
            result = values_append_cell(o, slice_of_buffer(&self->keys[1]), ret_metadata);
    }
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

/* --- all of them --- */

static int add_item(op *o, const model *self, uint64_t version, mlkv_slice key, mlkv_slice value,
                    model_items *items)
{
    mlkv_slice name, rest, cell;
    int64_t at_ms;
    model_item item = {0};
    int result = layout_split_name(key, ELEMENT_HEAD_SIZE, value, &name, &rest);
    if (result == MLKV_OK)
        result = field_look(o, rest, &at_ms, &cell);
    if (result == MLKV_OK)
        result = read_item(o, self, version, cell, &item);
    if (result != MLKV_OK)
        return result == MLKV_ABSENT ? MLKV_OK : result;
    item.name_at = items->names.size;
    item.name_size = name.size - 1;
    if (item.name_size != 0)
        result = buffer_append(&items->names, (const char *)name.data + 1, item.name_size);
    return result != MLKV_OK ? result : buffer_append(&items->items, &item, sizeof item);
}

int model_read_items(op *o, model *self, uint64_t version, model_items *items)
{
    entry manifest;
    record_key prefix;
    scan *walk = NULL;
    mlkv_slice key, value;
    items->items.size = 0;
    items->names.size = 0;
    int result = open_manifest(o, self, version, &manifest);
    if (result != MLKV_OK)
        return result == MLKV_ABSENT ? MLKV_OK : result;
    layout_id(RECORD_ELEMENT, manifest.header.id, &prefix);
    prefix.bytes[prefix.size++] = 't';
    result = op_scan_open(o, record_key_slice(&prefix), slice_of(NULL, 0), &walk);
    while (result == MLKV_OK) {
        result = scan_next(walk, &key, &value);
        if (result == MLKV_OK)
            result = add_item(o, self, version, key, value, items);
    }
    scan_close(walk);
    if (model_item_count(items) != 0)
        qsort(items->items.data, model_item_count(items), sizeof(model_item), compare_order);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

int model_look_at_tensors(op *o, model *self, uint64_t version, model_items *items)
{
    for (size_t i = 0; i < model_item_count(items); i++) {
        entry found;
        model_item *item = model_item_at(items, i);
        mlkv_slice name = model_item_name(items, item);
        int result = model_tensor_key(self->name, version, name, &self->keys[0]);
        if (result == MLKV_OK)
            result = tensor_open(o, slice_of_buffer(&self->keys[0]), &found, &item->form);
        if (result == MLKV_ABSENT)
            return error_set(MLKV_E_CORRUPT,
                             "tensor \"%s\" of version %llu of model \"%s\" was deleted",
                             error_quote(name.data, name.size), (unsigned long long)version,
                             error_quote(self->name.data, self->name.size));
        if (result != MLKV_OK)
            return result;
        item->id = found.header.id;
        item->version = item->form.version;
    }
    return MLKV_OK;
}
