/* model_index.c - the index of a model: which versions there are, and which one is current.
 *
 * Bytes owned: the fields of the hash "mlkv:model:NAME"; numbers are little-endian:
 *   "model"            0 4 form, 1 | 4 4 zero | 8 8 current version, 0: none | 16 8 next version
 *   "v" version(8 BE)  0 1 state, 1 staged, 2 published | 1 7 zero | 8 8 when begun or published, ms since 1970 | 16 8 tensors |
 *                      24 8 raw bytes | 32 8 stored bytes | 40 8 new bytes | 48 8 session of the writer, 0 when published | 56 8 token
 *
 *   (nothing) --begin--> staged --publish--> published --drop--> (nothing)
 *                        staged --abort, or its session is dead and another begins--> (nothing)
 *
 * Invariants
 *   1. The current version is a published one. Every change of it, and every end of a version, is one rule with what it does to keys.
 *   2. next is above every version. A token is a life id: no two versions of any time have the same, though numbers begin anew
 *      when the last version of a model is gone.
 *   3. Whoever changes the index writes its K record too, which is what waiters wait for.
 * Locks: none; everything happens inside a rule.
 */
#include "types/model.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "types/argument.h"
#include "types/field.h"

enum {
    FORM = 1,
    HEAD_SIZE = 24,
    VERSION_SIZE = 64,
    VERSION_NAME_SIZE = 9,
    KEY_HEAD_SIZE = 1,
    CELL_MAX = 1 + VERSION_SIZE
};

static const mlkv_slice head_name = {"model", 5};

int model_init(model *self, mlkv *view, mlkv_slice name)
{
    *self = (model){.name = name};
    error_clear();
    int result = argument_pointer(view, "view");
    if (result == MLKV_OK)
        result = argument_slice(name, "name");
    if (result == MLKV_OK && name.size > NAME_SIZE_MAX)
        result = error_set(MLKV_E_SIZE, "the name of a model has %zu bytes", name.size);
    return result != MLKV_OK ? result : model_index_key(name, &self->index_key);
}

void model_done(model *self)
{
    mlkv_buffer_free(&self->index_key);
    mlkv_buffer_free(&self->keys[0]);
    mlkv_buffer_free(&self->keys[1]);
    mlkv_buffer_free(&self->versions);
}

static int corrupt(const model *self, const char *what)
{
    return error_set(MLKV_E_CORRUPT, "the index of model \"%s\" %s",
                     error_quote(self->name.data, self->name.size), what);
}

/* The `size` bytes of a field's cell. */
static int read_bytes(op *o, const model *self, mlkv_slice cell, size_t size, unsigned char *to)
{
    int kind;
    uint64_t raw_size;
    cell_blob blob;
    int result = cell_inspect(cell, &kind, &raw_size, &blob);
    if (result == MLKV_OK && raw_size != size)
        result = corrupt(self, "has a field of another size");
    return result != MLKV_OK ? result : op_cell_read(o, cell, 0, size, to);
}

static int put_bytes(op *o, model *self, mlkv_slice name, const unsigned char *bytes, size_t size)
{
    hash_field field;
    unsigned char cell[CELL_MAX] = {CELL_RAW};
    memcpy(cell + 1, bytes, size);
    int result = field_open(o, &self->index, name, &field);
    if (result >= 0 && field.stands)
        result = element_release_cell(o, field.cell);
    return result < 0
               ? result
               : field_put(o, &self->index, &field, 0, slice_of(cell, 1 + size), slice_of(NULL, 0));
}

/* --- the model --- */

int model_open(op *o, model *self)
{
    hash_field field;
    unsigned char bytes[HEAD_SIZE];
    self->current = 0;
    self->next = 1;
    int result = entry_open(o, slice_of_buffer(&self->index_key), TYPE_HASH, &self->index);
    if (result != MLKV_OK)
        return result;
    result = field_open(o, &self->index, head_name, &field);
    if (result == MLKV_ABSENT)
        return corrupt(self, "has no head");
    if (result == MLKV_OK)
        result = read_bytes(o, self, field.cell, sizeof bytes, bytes);
    if (result != MLKV_OK)
        return result;
    self->current = load_le64(bytes + 8);
    self->next = load_le64(bytes + 16);
    if (load_le32(bytes) != FORM || self->next == 0 || self->current >= self->next)
        return corrupt(self, "has a head that cannot be");
    return MLKV_OK;
}

int model_create(op *o, model *self)
{
    return entry_create(o, &self->index, TYPE_HASH);
}

int model_store(op *o, model *self)
{
    unsigned char bytes[HEAD_SIZE] = {0};
    key_header none = {.count = UINT64_MAX}; /* so that the K record is written in any case */
    store_le32(bytes, FORM);
    store_le64(bytes + 8, self->current);
    store_le64(bytes + 16, self->next);
    int result = put_bytes(o, self, head_name, bytes, sizeof bytes);
    if (result == MLKV_OK && self->index.header.count <= 1)
        return entry_remove(o, &self->index);
    return result != MLKV_OK ? result : field_store(o, &self->index, &none);
}

/* --- versions --- */

static mlkv_slice version_name(uint64_t version, unsigned char bytes[VERSION_NAME_SIZE])
{
    bytes[0] = 'v';
    store_be64(bytes + 1, version);
    return slice_of(bytes, VERSION_NAME_SIZE);
}

static int read_version(op *o, const model *self, uint64_t number, mlkv_slice cell,
                        model_version *ret_version)
{
    unsigned char bytes[VERSION_SIZE];
    int result = read_bytes(o, self, cell, sizeof bytes, bytes);
    if (result != MLKV_OK)
        return result;
    if ((bytes[0] != MODEL_STAGED && bytes[0] != MODEL_PUBLISHED) || number == 0 ||
        number >= self->next)
        return corrupt(self, "has a version that cannot be");
    *ret_version = (model_version){.version = number,
                                   .state = bytes[0],
                                   .at_ms = (int64_t)load_le64(bytes + 8),
                                   .tensors = load_le64(bytes + 16),
                                   .raw_bytes = load_le64(bytes + 24),
                                   .stored_bytes = load_le64(bytes + 32),
                                   .new_bytes = load_le64(bytes + 40),
                                   .session = load_le64(bytes + 48),
                                   .token = load_le64(bytes + 56)};
    return MLKV_OK;
}

int model_get_version(op *o, const model *self, uint64_t version, model_version *ret_version)
{
    hash_field field;
    unsigned char name[VERSION_NAME_SIZE];
    int result = field_open(o, &self->index, version_name(version, name), &field);
    return result != MLKV_OK ? result : read_version(o, self, version, field.cell, ret_version);
}

int model_get_published(op *o, const model *self, uint64_t version, model_version *ret_version)
{
    model_version found;
    bool any = version == 0;
    if (any && self->current == 0)
        return MLKV_ABSENT;
    int result = model_get_version(o, self, any ? self->current : version, &found);
    if (any && (result == MLKV_ABSENT || (result == MLKV_OK && found.state != MODEL_PUBLISHED)))
        return corrupt(self, "has a current version that is not there");
    if (result != MLKV_OK || found.state != MODEL_PUBLISHED)
        return result != MLKV_OK ? result : MLKV_ABSENT;
    *ret_version = found;
    return MLKV_OK;
}

int model_put_version(op *o, model *self, const model_version *version)
{
    unsigned char name[VERSION_NAME_SIZE], bytes[VERSION_SIZE] = {version->state};
    store_le64(bytes + 8, (uint64_t)version->at_ms);
    store_le64(bytes + 16, version->tensors);
    store_le64(bytes + 24, version->raw_bytes);
    store_le64(bytes + 32, version->stored_bytes);
    store_le64(bytes + 40, version->new_bytes);
    store_le64(bytes + 48, version->session);
    store_le64(bytes + 56, version->token);
    return put_bytes(o, self, version_name(version->version, name), bytes, sizeof bytes);
}

size_t model_version_count(const model *self)
{
    return self->versions.size / sizeof(model_version);
}

model_version *model_version_at(const model *self, size_t i)
{
    return (model_version *)self->versions.data + i;
}

static int add_version(op *o, model *self, mlkv_slice key, mlkv_slice value)
{
    model_version version;
    mlkv_slice cell;
    int64_t at_ms;
    if (key.size != ELEMENT_HEAD_SIZE + VERSION_NAME_SIZE)
        return corrupt(self, "has a field that is no version");
    int result = field_look(o, value, &at_ms, &cell);
    if (result != MLKV_OK)
        return result == MLKV_ABSENT ? MLKV_OK : result;
    uint64_t number = load_be64((const unsigned char *)key.data + ELEMENT_HEAD_SIZE + 1);
    result = read_version(o, self, number, cell, &version);
    return result != MLKV_OK ? result : buffer_append(&self->versions, &version, sizeof version);
}

int model_read_versions(op *o, model *self)
{
    record_key prefix;
    scan *walk = NULL;
    mlkv_slice key, value;
    self->versions.size = 0;
    layout_id(RECORD_ELEMENT, self->index.header.id, &prefix);
    prefix.bytes[prefix.size++] = 'v';
    int result = op_scan_open(o, record_key_slice(&prefix), slice_of(NULL, 0), &walk);
    while (result == MLKV_OK) {
        result = scan_next(walk, &key, &value);
        if (result == MLKV_OK)
            result = add_version(o, self, key, value);
    }
    scan_close(walk);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

/* --- their keys --- */

static bool is_listed(const model *self, mlkv_slice rest)
{
    uint64_t number;
    size_t low = 0, high = model_version_count(self);
    if (!model_parse_version(rest, &number))
        return false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (model_version_at(self, middle)->version < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < model_version_count(self) && model_version_at(self, low)->version == number;
}

/* Visits the keys whose names begin with keys[0]; of those spares what is listed. */
static int sweep(op *o, model *self, bool spares, bool removes, bool *ret_found)
{
    record_key begin = {.bytes = {RECORD_KEY}};
    scan *walk = NULL;
    mlkv_slice key, value, prefix = slice_of_buffer(&self->keys[0]);
    size_t size = layout_name_begin(KEY_HEAD_SIZE, prefix);
    memcpy(begin.bytes + KEY_HEAD_SIZE, prefix.data, size);
    begin.size = (uint16_t)(KEY_HEAD_SIZE + size);
    int result = op_scan_open(o, record_key_slice(&begin), slice_of(NULL, 0), &walk);
    while (result == MLKV_OK) {
        entry found = {0};
        result = scan_next(walk, &key, &value);
        if (result == MLKV_OK)
            result = entry_of_record(key, value, &found);
        if (result != MLKV_OK || !slice_starts_with(found.name, prefix))
            continue;
        mlkv_slice rest =
            slice_of((const char *)found.name.data + prefix.size, found.name.size - prefix.size);
        if (spares && is_listed(self, rest))
            continue;
        *ret_found = true;
        if (removes)
            result = entry_remove(o, &found);
    }
    scan_close(walk);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

int model_sweep(op *o, model *self, bool removes, bool *ret_found)
{
    *ret_found = false;
    int result = model_versions_prefix(self->name, &self->keys[0]);
    return result != MLKV_OK ? result : sweep(o, self, true, removes, ret_found);
}

int model_remove_version(op *o, model *self, uint64_t version)
{
    hash_field field;
    entry manifest;
    bool found;
    unsigned char name[VERSION_NAME_SIZE];
    int result = field_open(o, &self->index, version_name(version, name), &field);
    if (result == MLKV_OK)
        result = field_delete(o, &self->index, &field);
    if (result >= 0)
        result = model_manifest_key(self->name, version, &self->keys[0]);
    if (result != MLKV_OK)
        return result;
    result = entry_open(o, slice_of_buffer(&self->keys[0]), TYPE_ANY, &manifest);
    if (result == MLKV_OK || (result == MLKV_ABSENT && manifest.expired))
        result = entry_remove(o, &manifest);
    if (result >= 0)
        result = buffer_append(&self->keys[0], ":", 1);
    return result != MLKV_OK ? result : sweep(o, self, false, true, &found);
}
