/* key_restore.c - a key from a payload (payload.h).
 *
 * Bytes owned: none; what is written is a new life of the payload's type, by that type's own functions.
 *
 *   look     whether the key is there, and what time it is: who may not replace learns it before anything is read or made
 *   read     the whole payload is checked; fields of a hash that have expired are dropped
 *   prepare  large values and a tensor's chunks are made ready, outside every lock
 *   rule     the old life goes, the new one comes, in one write
 *
 * Invariants
 *   1. Nothing of a payload that is not wholly good reaches the store.
 *   2. Names in a payload rise, so short ones go in without being looked for; one of which only a digest stands in the record key is
 * looked
 *      for, since another name may have the same.
 * Locks: none of its own.
 */
#include <mlkv/dump.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/hash.h"
#include "types/argument.h"
#include "types/field.h"
#include "types/list.h"
#include "types/payload.h"
#include "types/set.h"
#include "types/values.h"
#include "types/zset.h"

#include <stdlib.h>

enum {
    GROUP_CHUNKS = 1024, /* of a tensor, that share LMDB commits */
    GROUP_BYTES = 32 << 20,
};

typedef struct {
    mlkv_slice key;
    int64_t ttl_ms;
    bool replaces, absolute;
    bool gone; /* a hash none of whose fields is left */
    payload content;
    values values;
    prepared_chunks chunks;
    int64_t now_ms; /* when it was looked */
} restoring;

static const mlkv_slice nothing = {NULL, 0};

/* --- look --- */

static int look_rule(op *o, void *context)
{
    restoring *self = context;
    entry found;
    int result = entry_open(o, self->key, TYPE_ANY, &found);
    self->now_ms = op_now_ms(o);
    if (result < 0)
        return result;
    return result == MLKV_OK && !self->replaces ? MLKV_ABSENT : MLKV_OK;
}

/* --- read --- */

static void drop_expired_fields(restoring *self)
{
    payload *content = &self->content;
    size_t kept = 0;
    for (size_t i = 0; i < content->count; i++) {
        if (content->numbers[i] != 0 && (int64_t)content->numbers[i] <= self->now_ms)
            continue;
        content->pairs[kept] = content->pairs[i];
        content->numbers[kept++] = content->numbers[i];
    }
    content->count = kept;
    self->gone = kept == 0;
}

static int read_content(restoring *self, mlkv_slice bytes)
{
    if (self->ttl_ms < 0)
        return error_set(MLKV_E_ARGUMENT, "ttl_ms is %lld", (long long)self->ttl_ms);
    int result = payload_read(bytes, &self->content);
    if (result == MLKV_OK && self->content.type == TYPE_HASH)
        drop_expired_fields(self);
    return result;
}

/* --- prepare --- */

static int prepare_chunks(mlkv *view, restoring *self)
{
    const tensor_form *form = &self->content.form;
    const unsigned char *at = self->content.data.data;
    bool as_blobs = prepared_as_blobs(form, form->raw_bytes);
    prepared_chunk *group = calloc(GROUP_CHUNKS, sizeof *group);
    mlkv_slice *raws = calloc(GROUP_CHUNKS, sizeof *raws);
    int result = group == NULL || raws == NULL ? error_set_memory("a tensor's chunks") : MLKV_OK;
    for (uint64_t chunk = 0; chunk < form->chunks && result == MLKV_OK;) {
        size_t n = 0, bytes = 0;
        for (; chunk < form->chunks && n < GROUP_CHUNKS && bytes < GROUP_BYTES; chunk++, n++) {
            size_t size = tensor_chunk_size(form, chunk);
            group[n] = (prepared_chunk){
                .chunk = chunk,
                .head = {.checksum = hash_checksum(at, size, 0), .raw_size = (uint32_t)size}};
            raws[n] = slice_of(at, size);
            at += size;
            bytes += size;
        }
        result = prepared_add(view, &self->chunks, form, group, raws, n, as_blobs);
    }
    free(group);
    free(raws);
    return result;
}

static int prepare(mlkv *view, restoring *self)
{
    switch (self->content.type) {
    case TYPE_TENSOR:
        return prepare_chunks(view, self);
    case TYPE_SET:
    case TYPE_ZSET:
        return MLKV_OK;
    default:
        return values_prepare(&self->values, view, &self->key, self->content.pairs,
                              self->content.count);
    }
}

/* --- the rule --- */

static int put_string(op *o, restoring *self, entry *to)
{
    mlkv_slice head = nothing, body = nothing;
    int result = values_next(&self->values, o, self->content.pairs[0].value, &head, &body);
    return result != MLKV_OK ? result : entry_store(o, to, head, body);
}

static int put_list(op *o, restoring *self, list *to)
{
    mlkv_slice head = nothing, body = nothing;
    record_key key;
    for (size_t i = 0; i < self->content.count; i++) {
        int result = values_next(&self->values, o, self->content.pairs[i].value, &head, &body);
        list_element_key(to, to->tail++, &key);
        if (result == MLKV_OK)
            result = op_put_parts(o, record_key_slice(&key), head, body);
        if (result != MLKV_OK)
            return result;
    }
    return list_store(o, to);
}

/* A new element's place. */
static int place(op *o, uint64_t id, mlkv_slice name, element *ret_element)
{
    int result = layout_element(id, name, &ret_element->key);
    ret_element->name = name;
    if (result == MLKV_OK && ret_element->key.is_long) {
        result = element_open(o, id, name, ret_element);
        result = result == MLKV_ABSENT ? MLKV_OK : result;
    }
    return result;
}

static int put_hash(op *o, restoring *self, entry *to)
{
    const key_header before = to->header;
    mlkv_slice head = nothing, body = nothing;
    int result = MLKV_OK;
    for (size_t i = 0; i < self->content.count && result == MLKV_OK; i++) {
        const mlkv_pair *pair = &self->content.pairs[i];
        hash_field field = {.stands = false};
        result = place(o, to->header.id, pair->name, &field.element);
        if (result == MLKV_OK)
            result = values_next(&self->values, o, pair->value, &head, &body);
        if (result == MLKV_OK)
            result = field_put(o, to, &field, (int64_t)self->content.numbers[i], head, body);
    }
    return result != MLKV_OK ? result : field_store(o, to, &before);
}

static int put_members(op *o, restoring *self, entry *to)
{
    int result = MLKV_OK;
    for (size_t i = 0; i < self->content.count && result == MLKV_OK; i++) {
        element member = {.name = nothing};
        result = place(o, to->header.id, self->content.pairs[i].name, &member);
        if (result != MLKV_OK)
            break;
        if (self->content.type == TYPE_SET) {
            result = set_append(o, to, member.name);
        } else {
            to->header.count++;
            result = zset_put(o, to->header.id, &member, payload_score(self->content.numbers[i]));
        }
    }
    return result != MLKV_OK ? result : entry_store(o, to, nothing, nothing);
}

static int put_tensor(op *o, restoring *self, entry *to)
{
    tensor_form form = self->content.form;
    int result = prepared_put(o, &self->chunks, &form, to->header.id, false);
    return result != MLKV_OK ? result : tensor_store(o, to, &form);
}

/* The new life, in place of an entry that is not there. */
static int put_content(op *o, restoring *self, list *to, int64_t expiry_ms)
{
    int type = self->content.type;
    int result = type == TYPE_LIST ? list_create(o, to) : entry_create(o, &to->entry, type);
    if (result != MLKV_OK)
        return result;
    to->entry.header.expiry_ms = expiry_ms;
    switch (type) {
    case TYPE_STRING:
        return put_string(o, self, &to->entry);
    case TYPE_LIST:
        return put_list(o, self, to);
    case TYPE_HASH:
        return put_hash(o, self, &to->entry);
    case TYPE_TENSOR:
        return put_tensor(o, self, &to->entry);
    default:
        return put_members(o, self, &to->entry);
    }
}

static int restore_rule(op *o, void *context)
{
    restoring *self = context;
    list to;
    int64_t expiry_ms = self->ttl_ms;
    values_restart(&self->values);
    int result = entry_open(o, self->key, TYPE_ANY, &to.entry);
    if (result == MLKV_OK && !self->replaces)
        return MLKV_ABSENT;
    if (result == MLKV_OK)
        result = entry_remove(o, &to.entry);
    if (result < 0)
        return result;
    if (!self->absolute && expiry_ms != 0) {
        result = expiry_at(op_now_ms(o), self->ttl_ms, &expiry_ms);
        if (result != MLKV_OK)
            return result;
    }
    if (self->gone || (expiry_ms != 0 && expiry_ms <= op_now_ms(o)))
        return MLKV_OK;
    return put_content(o, self, &to, expiry_ms);
}

/* --- the call --- */

static int run(mlkv *view, restoring *self, mlkv_slice bytes)
{
    int result = op_read(view, look_rule, self);
    if (result == MLKV_OK)
        result = read_content(self, bytes);
    if (result == MLKV_OK && !self->absolute && self->ttl_ms != 0)
        result = expiry_settle(view);
    if (result == MLKV_OK)
        result = prepare(view, self);
    return result != MLKV_OK ? result : op_write(view, restore_rule, self);
}

int mlkv_key_restore(mlkv *view, mlkv_slice key, mlkv_slice bytes, int64_t ttl_ms, uint32_t flags)
{
    restoring self = {.key = key,
                      .ttl_ms = ttl_ms,
                      .replaces = (flags & MLKV_RESTORE_REPLACE) != 0,
                      .absolute = (flags & MLKV_RESTORE_AT) != 0};
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = argument_slice(bytes, "payload");
    if (result == MLKV_OK && (flags & ~(uint32_t)(MLKV_RESTORE_REPLACE | MLKV_RESTORE_AT)) != 0)
        result = error_set(MLKV_E_ARGUMENT, "flags 0x%x are unknown", flags);
    if (result == MLKV_OK)
        result = run(view, &self, bytes);
    values_done(&self.values);
    prepared_done(view, &self.chunks);
    payload_done(&self.content);
    return result;
}
