/* model_load.c - all tensors of a version as of one moment.
 *
 * The way of a read: (1) one rule finds the version and notes of each of its tensors the life, the version of its bytes, and the form;
 * (2) each tensor is read by itself; (3) one rule looks whether all of them are as they were noted. If so nothing changed between (1) and
 * (3), for both numbers change with every change of a tensor, so what was read is of one moment. If not it begins again; after
 * ATTEMPTS_LIVE times it reads a snapshot, in which nothing changes.
 *
 * Nothing is locked meanwhile, and the caller is asked for memory between (1) and (2) of a tensor.
 * Invariants: 1. A version is told from another of the same number by its token, which no two versions share.
 * Locks: none.
 */
#include "types/model.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "types/argument.h"

#include <mlkv/db.h>
#include <stdlib.h>

enum {
    ATTEMPTS_LIVE = 4,
    ATTEMPTS_MAX = 100, /* only a `place` that itself changes what is read comes near */
    ALIGNMENT = 64      /* as that of mlkv_tensor_get_allocated */
};

typedef struct {
    model model;
    uint64_t wanted; /* 0: the current one */
    model_version found;
    model_items items;
    mlkv_buffer metadata;
    bool same;
} load_call;

/* --- one moment --- */

static int survey_rule(op *o, void *context)
{
    load_call *call = context;
    model *self = &call->model;
    int result = model_open(o, self);
    if (result == MLKV_OK)
        result = model_get_published(o, self, call->wanted, &call->found);
    if (result == MLKV_OK)
        result = model_read_metadata(o, self, call->found.version, &call->metadata);
    if (result == MLKV_OK)
        result = model_read_items(o, self, call->found.version, &call->items);
    return result != MLKV_OK ? result
                             : model_look_at_tensors(o, self, call->found.version, &call->items);
}

static int compare_rule(op *o, void *context)
{
    load_call *call = context;
    model *self = &call->model;
    model_version now = {0};
    call->same = false;
    int result = model_open(o, self);
    if (result == MLKV_OK)
        result = model_get_published(o, self, call->found.version, &now);
    if (result != MLKV_OK || now.token != call->found.token)
        return result < 0 ? result : MLKV_OK;
    for (size_t i = 0; i < model_item_count(&call->items); i++) {
        entry found;
        tensor_form form;
        const model_item *item = model_item_at(&call->items, i);
        result = model_tensor_key(self->name, now.version, model_item_name(&call->items, item),
                                  &self->keys[0]);
        if (result == MLKV_OK)
            result = tensor_open(o, slice_of_buffer(&self->keys[0]), &found, &form);
        if (result < 0)
            return result == MLKV_E_TYPE ? MLKV_OK : result;
        if (result != MLKV_OK || found.header.id != item->id || form.version != item->version)
            return MLKV_OK;
    }
    call->same = true;
    return MLKV_OK;
}

/* --- reading --- */

/* MLKV_ABSENT: it is not as it was noted any more. */
static int read_tensor(mlkv *view, load_call *call, const mlkv_model_reader *reader, size_t i)
{
    mlkv_tensor_info info = {.size = sizeof info};
    const model_item *item = model_item_at(&call->items, i);
    mlkv_slice name = model_item_name(&call->items, item);
    mlkv_buffer *key = &call->model.keys[0];
    tensor_describe(&item->form, &info);
    void *data = reader->place(reader->context, i, name, &info);
    if (data == NULL && info.raw_bytes != 0)
        return error_set(MLKV_E_MEMORY, "no %llu bytes for tensor \"%s\"",
                         (unsigned long long)info.raw_bytes, error_quote(name.data, name.size));
    int result = model_tensor_key(call->model.name, call->found.version, name, key);
    if (result == MLKV_OK)
        result = mlkv_tensor_get(view, slice_of_buffer(key), data, (size_t)info.raw_bytes);
    return result == MLKV_E_SHAPE || result == MLKV_E_TYPE ? MLKV_ABSENT : result;
}

static int read_once(mlkv *view, load_call *call, const mlkv_model_reader *reader)
{
    call->same = false;
    int result = op_read(view, survey_rule, call);
    if (result != MLKV_OK)
        return result;
    size_t n = model_item_count(&call->items);
    if (reader->begin != NULL)
        reader->begin(reader->context, call->found.version, n);
    for (size_t i = 0; i < n && result == MLKV_OK; i++)
        result = read_tensor(view, call, reader, i);
    if (result == MLKV_OK)
        result = op_read(view, compare_rule, call);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

static int read_whole(mlkv *view, load_call *call, const mlkv_model_reader *reader)
{
    mlkv *snapshot = NULL;
    int result = MLKV_OK;
    for (int attempt = 0; result == MLKV_OK && !call->same; attempt++) {
        if (attempt == ATTEMPTS_MAX)
            result = error_set(MLKV_E_BUSY, "model \"%s\" changes whenever it is read",
                               error_quote(call->model.name.data, call->model.name.size));
        if (result == MLKV_OK && attempt == ATTEMPTS_LIVE && op_watch_possible(view))
            result = mlkv_snapshot(view, &snapshot);
        if (result == MLKV_OK)
            result = read_once(snapshot != NULL ? snapshot : view, call, reader);
    }
    if (snapshot != NULL) {
        error_kept kept;
        error_keep(&kept);
        (void)mlkv_close(snapshot);
        error_restore(&kept);
    }
    return result;
}

static int check_reader(const mlkv_model_reader *reader)
{
    int result = argument_pointer(reader, "reader");
    if (result == MLKV_OK && (reader->size != sizeof *reader || reader->place == NULL))
        result = error_set(MLKV_E_ARGUMENT, "the mlkv_model_reader has %s",
                           reader->size != sizeof *reader ? "a size that this library does not know"
                                                          : "no place");
    return result;
}

int mlkv_model_read(mlkv *view, mlkv_slice name, uint64_t version, const mlkv_model_reader *reader,
                    uint64_t *ret_version)
{
    load_call call = {.wanted = version};
    int result = model_init(&call.model, view, name);
    if (result == MLKV_OK)
        result = check_reader(reader);
    if (result == MLKV_OK)
        result = read_whole(view, &call, reader);
    if (result == MLKV_OK && reader->metadata != NULL)
        result = buffer_assign(reader->metadata, call.metadata.data, call.metadata.size);
    if (result == MLKV_OK && ret_version != NULL)
        *ret_version = call.found.version;
    mlkv_buffer_free(&call.metadata);
    model_items_done(&call.items);
    model_done(&call.model);
    return result;
}

/* --- into memory of the library's --- */

typedef struct {
    mlkv_model_contents contents;
    mlkv_buffer items; /* mlkv_model_item[]; names are offsets while it grows */
    mlkv_buffer names;
} loading;

static void free_items(mlkv_model_item *items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(items[i].data);
}

static void empty(loading *self)
{
    free_items(self->items.data, self->items.size / sizeof(mlkv_model_item));
    self->items.size = 0;
    self->names.size = 0;
}

static void begin(void *context, uint64_t version, uint64_t tensors)
{
    (void)version;
    (void)tensors;
    empty(context);
}

static void *place(void *context, size_t index, mlkv_slice name, const mlkv_tensor_info *info)
{
    loading *self = context;
    mlkv_model_item item = {.tensor = info->tensor, .bytes = (size_t)info->raw_bytes};
    (void)index;
    item.name.size = name.size;
    if (info->raw_bytes != 0)
        item.data = aligned_alloc(ALIGNMENT, round_up(item.bytes, ALIGNMENT));
    if (info->raw_bytes != 0 && item.data == NULL)
        return NULL;
    if ((name.size != 0 && buffer_append(&self->names, name.data, name.size) != MLKV_OK) ||
        buffer_append(&self->items, &item, sizeof item) != MLKV_OK) {
        free(item.data);
        return NULL;
    }
    return item.data;
}

int mlkv_model_load(mlkv *view, mlkv_slice name, uint64_t version,
                    mlkv_model_contents *ret_contents)
{
    loading self = {.contents = {0}};
    mlkv_model_reader reader = {.size = sizeof reader,
                                .begin = begin,
                                .place = place,
                                .context = &self,
                                .metadata = &self.contents.metadata};
    error_clear();
    int result = argument_pointer(ret_contents, "ret_contents");
    if (result == MLKV_OK)
        result = mlkv_model_read(view, name, version, &reader, &self.contents.version);
    if (result != MLKV_OK) {
        empty(&self);
        mlkv_buffer_free(&self.items);
        mlkv_buffer_free(&self.names);
        mlkv_buffer_free(&self.contents.metadata);
        return result;
    }
    self.contents.items = self.items.data;
    self.contents.count = self.items.size / sizeof(mlkv_model_item);
    self.contents.names = self.names.data;
    size_t at = 0;
    for (size_t i = 0; i < self.contents.count; i++) {
        mlkv_slice *item_name = &self.contents.items[i].name;
        item_name->data = item_name->size == 0 ? "" : (const char *)self.names.data + at;
        at += item_name->size;
    }
    mlkv_model_contents_free(ret_contents);
    *ret_contents = self.contents;
    return MLKV_OK;
}

void mlkv_model_contents_free(mlkv_model_contents *contents)
{
    if (contents == NULL)
        return;
    free_items(contents->items, contents->count);
    free(contents->items);
    free(contents->names);
    mlkv_buffer_free(&contents->metadata);
    *contents = (mlkv_model_contents){0};
}
