/* watch.c - watches on keys and prefixes: what changed is found in the journal's frames.
 *
 * A watch stands at a position of the journal. A frame behind it changes a key if it has the key's own
 * record (K), or an element record (E, L, O, T) of the key's life as it was when the watch last looked:
 * a life begins with a K record, so a newer one does not go unseen. For a prefix, element records are
 * looked up: whether some key that begins with it has that id.
 *
 * Invariants
 *   1. The ids are those of the state at the position or of a later one up to which no frame touched a key watched.
 *   2. What cannot be known (the ring has overwritten it, a batch went to LMDB directly) counts as a change.
 *   3. mlkv_begin_unchanged looks while the writer lock is held: nothing comes in between.
 * Locks: none but that.
 */
#include <mlkv/db.h>
#include <mlkv/wait.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "types/argument.h"
#include "types/entry.h"
#include "types/wait.h"

#include <stdlib.h>

enum { CHANGED = 1000, IDS_MAX = 4096, QUERY_SIZE_MAX = 4096 };

typedef struct {
    mlkv_buffer name;
    uint64_t id; /* 0: missing, or a string */
} watched_key;

struct mlkv_watch {
    mlkv *view;
    watched_key *keys;
    size_t key_count;
    mlkv_buffer *prefixes;
    size_t prefix_count;
    uint64_t position;
    uint64_t *hashes; /* of the keys' records and of their lives: two a key */
    size_t hash_count;
    uint64_t *ids; /* of element records seen in a look, for the prefixes */
    size_t id_count;
    bool too_many_ids;
};

/* --- state --- */

static int ids_rule(op *o, void *context)
{
    mlkv_watch *self = context;
    entry found;
    record_key key;
    self->hash_count = 0;
    for (size_t i = 0; i < self->key_count; i++) {
        watched_key *watched = &self->keys[i];
        int result = entry_open(o, slice_of_buffer(&watched->name), TYPE_ANY, &found);
        if (result < 0)
            return result;
        bool stands = result == MLKV_OK || found.expired;
        watched->id = stands ? found.header.id : 0;
        self->hashes[self->hash_count++] = op_watch_hash(record_key_slice(&found.key));
        if (watched->id == 0)
            continue;
        layout_id(RECORD_ELEMENT, watched->id, &key);
        self->hashes[self->hash_count++] = op_watch_hash(record_key_slice(&key));
    }
    return MLKV_OK;
}

/* Begins anew: what is written from now on counts. The position comes first, so that what is written before the
 * ids are read is looked at. */
static int begin_anew(mlkv_watch *self)
{
    int result = op_watch_position(self->view, &self->position);
    return result != MLKV_OK ? result : op_read(self->view, ids_rule, self);
}

/* --- looking --- */

static bool has_id(mlkv_slice key)
{
    int class = *(const unsigned char *)key.data;
    return (class == RECORD_ELEMENT || class == RECORD_LIST || class == RECORD_ORDER ||
            class == RECORD_TENSOR) &&
           key.size >= 9;
}

static bool same_key(mlkv_slice record, mlkv_slice name)
{
    record_key key;
    return layout_key(name, &key) == MLKV_OK && slice_equal(record, record_key_slice(&key));
}

static bool under_prefix(mlkv_slice record, mlkv_slice prefix)
{
    size_t begin =
        layout_name_begin(1, prefix); /* of a longer one its begin: a change too many, at worst */
    return record.size > begin && memcmp((const char *)record.data + 1, prefix.data, begin) == 0;
}

static int visit_key(const mlkv_watch *self, mlkv_slice record)
{
    for (size_t i = 0; i < self->key_count; i++)
        if (same_key(record, slice_of_buffer(&self->keys[i].name)))
            return CHANGED;
    for (size_t i = 0; i < self->prefix_count; i++)
        if (self->prefixes[i].size == 0 ||
            under_prefix(record, slice_of_buffer(&self->prefixes[i])))
            return CHANGED;
    return MLKV_OK;
}

static int visit(void *context, mlkv_slice record)
{
    mlkv_watch *self = context;
    if (*(const unsigned char *)record.data == RECORD_KEY)
        return visit_key(self, record);
    if (!has_id(record))
        return MLKV_OK;
    uint64_t id = load_be64((const unsigned char *)record.data + 1);
    for (size_t i = 0; i < self->key_count; i++)
        if (self->keys[i].id == id)
            return CHANGED;
    if (self->prefix_count == 0 || (self->id_count != 0 && self->ids[self->id_count - 1] == id))
        return MLKV_OK;
    self->too_many_ids = self->too_many_ids || self->id_count == IDS_MAX;
    if (!self->too_many_ids)
        self->ids[self->id_count++] = id;
    return MLKV_OK;
}

static int compare_ids(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

/* Whether a key under the prefix has one of the ids. */
static int look_for_ids(mlkv_watch *self, mlkv_slice prefix)
{
    record_key begin;
    scan *walk = NULL;
    mlkv_slice key, value, name, rest;
    key_header header;
    begin.bytes[0] = RECORD_KEY;
    size_t size = layout_name_begin(1, prefix);
    bytes_copy(begin.bytes + 1, prefix.data, size);
    begin.size = (uint16_t)(1 + size);
    int result = scan_open(self->view, record_key_slice(&begin), slice_of(NULL, 0), &walk);
    while (result == MLKV_OK) {
        result = scan_next(walk, &key, &value);
        if (result == MLKV_OK)
            result = layout_split_name(key, 1, value, &name, &rest);
        if (result == MLKV_OK)
            result = layout_read_header(rest, &header, &rest);
        if (result == MLKV_OK &&
            bsearch(&header.id, self->ids, self->id_count, sizeof *self->ids, compare_ids) != NULL)
            result = CHANGED;
    }
    scan_close(walk);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

/* MLKV_OK: nothing watched has changed, and the position is the tail of now; CHANGED. */
static int look(mlkv_watch *self)
{
    self->id_count = 0;
    self->too_many_ids = false;
    int result = op_watch_changes(self->view, &self->position, visit, self);
    if (result == MLKV_ABSENT)
        return CHANGED;
    if (result != MLKV_OK || self->id_count == 0)
        return result;
    if (self->too_many_ids)
        return CHANGED;
    qsort(self->ids, self->id_count, sizeof *self->ids, compare_ids);
    for (size_t i = 0; i < self->prefix_count && result == MLKV_OK; i++)
        result = look_for_ids(self, slice_of_buffer(&self->prefixes[i]));
    return result;
}

/* --- the calls --- */

static int check_query(const mlkv *db, const mlkv_watch_query *query)
{
    int result = argument_pointer(db, "db");
    if (result == MLKV_OK)
        result = argument_pointer(query, "query");
    if (result == MLKV_OK && query->size != sizeof *query)
        result =
            error_set(MLKV_E_ARGUMENT, "query->size is %zu, not %zu", query->size, sizeof *query);
    if (result == MLKV_OK)
        result = argument_slices(query->keys, query->key_count, "query->keys");
    if (result == MLKV_OK)
        result = argument_slices(query->prefixes, query->prefix_count, "query->prefixes");
    if (result == MLKV_OK && query->key_count + query->prefix_count == 0)
        result = error_set(MLKV_E_ARGUMENT, "neither keys nor prefixes to watch");
    if (result == MLKV_OK && !op_watch_possible(db))
        result = error_set(MLKV_E_ARGUMENT, "mlkv_watch_open needs a live view");
    return result;
}

static int copy_names(mlkv_watch *self, const mlkv_watch_query *query)
{
    int result = MLKV_OK;
    for (size_t i = 0; i < query->key_count && result == MLKV_OK; i++)
        result = buffer_assign(&self->keys[i].name, query->keys[i].data, query->keys[i].size);
    for (size_t i = 0; i < query->prefix_count && result == MLKV_OK; i++)
        result =
            buffer_assign(&self->prefixes[i], query->prefixes[i].data, query->prefixes[i].size);
    return result;
}

int mlkv_watch_open(mlkv *db, const mlkv_watch_query *query, mlkv_watch **ret_watch)
{
    int result = check_query(db, query);
    if (result == MLKV_OK)
        result = argument_pointer(ret_watch, "ret_watch");
    if (result != MLKV_OK)
        return result;
    mlkv_watch *self = calloc(1, sizeof *self);
    if (self == NULL)
        return error_set_memory("a watch");
    self->view = db;
    self->keys = calloc(query->key_count + 1, sizeof *self->keys);
    self->prefixes = calloc(query->prefix_count + 1, sizeof *self->prefixes);
    self->hashes = calloc(2 * query->key_count + 1, sizeof *self->hashes);
    self->ids = calloc(IDS_MAX, sizeof *self->ids);
    if (self->keys == NULL || self->prefixes == NULL || self->hashes == NULL || self->ids == NULL) {
        result = error_set_memory("a watch");
    } else {
        self->key_count = query->key_count;
        self->prefix_count = query->prefix_count;
        result = copy_names(self, query);
    }
    if (result == MLKV_OK)
        result = begin_anew(self);
    if (result != MLKV_OK) {
        mlkv_watch_close(self);
        return result;
    }
    *ret_watch = self;
    return MLKV_OK;
}

int mlkv_watch_wait(mlkv_watch *watch, int64_t timeout_ms)
{
    int result = argument_pointer(watch, "watch");
    uint64_t begun_ns = clock_monotonic_ns();
    uint32_t round = 0, left_ms = 1;
    while (result == MLKV_OK && left_ms != 0) {
        bool any = watch->prefix_count != 0;
        result = op_watch_begin(watch->view, watch->hashes, watch->hash_count, any, &round);
        if (result == MLKV_OK)
            result = look(watch);
        if (result == CHANGED)
            return begin_anew(watch);
        left_ms = wait_left_ms(begun_ns, timeout_ms);
        if (result == MLKV_OK && left_ms != 0)
            result =
                op_watch_wait(watch->view, round, watch->hashes, watch->hash_count, any, left_ms);
    }
    return result == MLKV_OK ? MLKV_ABSENT : result;
}

int mlkv_begin_unchanged(mlkv *db, mlkv_watch *watch, mlkv **ret_transaction)
{
    mlkv *transaction = NULL;
    int result = argument_pointer(watch, "watch");
    if (result == MLKV_OK)
        result = argument_pointer(ret_transaction, "ret_transaction");
    if (result == MLKV_OK)
        result = mlkv_begin(db, &transaction);
    if (result != MLKV_OK)
        return result;
    result = look(watch);
    if (result == MLKV_OK) {
        *ret_transaction = transaction;
        return MLKV_OK;
    }
    (void)mlkv_abort(transaction);
    if (result == CHANGED)
        result = begin_anew(watch);
    return result == MLKV_OK ? MLKV_ABSENT : result;
}

void mlkv_watch_close(mlkv_watch *watch)
{
    if (watch == NULL)
        return;
    for (size_t i = 0; i < watch->key_count; i++)
        mlkv_buffer_free(&watch->keys[i].name);
    for (size_t i = 0; i < watch->prefix_count; i++)
        mlkv_buffer_free(&watch->prefixes[i]);
    free(watch->keys);
    free(watch->prefixes);
    free(watch->hashes);
    free(watch->ids);
    free(watch);
}
