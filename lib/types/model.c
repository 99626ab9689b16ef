/* model.c - what can be asked of a model, and done with its published versions: current, wait, list, roll back, drop.
 *
 * State: none beyond model_index.c's. Each call is one rule; a reader's is repeated until it saw one state, so what it says of a
 * model is as of one moment.
 *
 * Locks: the writer lock, in rolling back and dropping. Callers' functions are called with none.
 */
#include "types/model.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "types/argument.h"
#include "types/wait.h"

typedef struct {
    model model;
    uint64_t version; /* asked for; then the one found */
    uint64_t seen;
    model_version found;
    uint64_t current;
    model_items items;
    mlkv_buffer metadata;
} ask_call;

/* --- current --- */

static int current_rule(op *o, void *context)
{
    ask_call *call = context;
    int result = model_open(o, &call->model);
    if (result == MLKV_OK)
        result = model_get_published(o, &call->model, 0, &call->found);
    return result == MLKV_OK && call->found.version == call->seen ? MLKV_ABSENT : result;
}

static int try_current(mlkv *view, void *context)
{
    return op_read(view, current_rule, context);
}

int mlkv_model_wait(mlkv *view, mlkv_slice name, uint64_t seen, int64_t timeout_ms,
                    uint64_t *ret_version)
{
    ask_call call = {.seen = seen};
    int result = model_init(&call.model, view, name);
    call.seen = seen;
    if (result == MLKV_OK)
        result = argument_pointer(ret_version, "ret_version");
    if (result == MLKV_OK) {
        mlkv_slice key = slice_of_buffer(&call.model.index_key);
        result = wait_for_keys(view, &key, 1, timeout_ms, try_current, &call);
    }
    if (result == MLKV_OK)
        *ret_version = call.found.version;
    model_done(&call.model);
    return result;
}

int mlkv_model_current(mlkv *view, mlkv_slice name, uint64_t *ret_version)
{
    return mlkv_model_wait(view, name, 0, 0, ret_version);
}

int mlkv_model_current_key(mlkv *view, mlkv_slice name, mlkv_slice tensor_name,
                           mlkv_buffer *ret_key, uint64_t *ret_version)
{
    uint64_t version = 0;
    error_clear();
    int result = argument_pointer(ret_key, "ret_key");
    if (result == MLKV_OK)
        result = argument_slice(tensor_name, "tensor_name");
    if (result == MLKV_OK)
        result = mlkv_model_current(view, name, &version);
    if (result == MLKV_OK)
        result = mlkv_model_key(name, version, tensor_name, ret_key);
    if (result == MLKV_OK && ret_version != NULL)
        *ret_version = version;
    return result;
}

/* --- descriptions --- */

static void fill_info(const model_version *version, uint64_t current, mlkv_model_info *ret_info)
{
    *ret_info = (mlkv_model_info){.size = sizeof *ret_info,
                                  .version = version->version,
                                  .published_ms = version->at_ms,
                                  .tensors = version->tensors,
                                  .raw_bytes = version->raw_bytes,
                                  .stored_bytes = version->stored_bytes,
                                  .new_bytes = version->new_bytes,
                                  .current = version->version == current};
}

static int info_rule(op *o, void *context)
{
    ask_call *call = context;
    int result = model_open(o, &call->model);
    call->current = call->model.current;
    return result != MLKV_OK ? result
                             : model_get_published(o, &call->model, call->version, &call->found);
}

int mlkv_model_get_info(mlkv *view, mlkv_slice name, uint64_t version, mlkv_model_info *ret_info)
{
    ask_call call = {.version = version};
    int result = model_init(&call.model, view, name);
    if (result == MLKV_OK)
        result = argument_pointer(ret_info, "ret_info");
    if (result == MLKV_OK && ret_info->size != sizeof *ret_info)
        result = error_set(MLKV_E_ARGUMENT, "ret_info->size is %zu, not %zu", ret_info->size,
                           sizeof *ret_info);
    if (result == MLKV_OK)
        result = op_read(view, info_rule, &call);
    if (result == MLKV_OK)
        fill_info(&call.found, call.current, ret_info);
    model_done(&call.model);
    return result;
}

static int list_rule(op *o, void *context)
{
    ask_call *call = context;
    call->model.versions.size = 0;
    int result = model_open(o, &call->model);
    call->current = call->model.current;
    if (result == MLKV_OK)
        result = model_read_versions(o, &call->model);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

int mlkv_model_list(mlkv *view, mlkv_slice name,
                    int (*visit)(void *context, const mlkv_model_info *info), void *context)
{
    ask_call call = {.version = 0};
    int result = model_init(&call.model, view, name);
    if (result == MLKV_OK && visit == NULL)
        result = error_set(MLKV_E_ARGUMENT, "visit is NULL");
    if (result == MLKV_OK)
        result = op_read(view, list_rule, &call);
    for (size_t i = 0; result == MLKV_OK && i < model_version_count(&call.model); i++) {
        mlkv_model_info info;
        const model_version *version = model_version_at(&call.model, i);
        if (version->state != MODEL_PUBLISHED)
            continue;
        fill_info(version, call.current, &info);
        result = visit(context, &info);
    }
    model_done(&call.model);
    return result;
}

static int tensors_rule(op *o, void *context)
{
    ask_call *call = context;
    int result = info_rule(o, context);
    return result != MLKV_OK ? result
                             : model_read_items(o, &call->model, call->found.version, &call->items);
}

int mlkv_model_tensors(mlkv *view, mlkv_slice name, uint64_t version, mlkv_rows *ret_names,
                       uint64_t *ret_version)
{
    ask_call call = {.version = version};
    int result = model_init(&call.model, view, name);
    if (result == MLKV_OK)
        result = argument_pointer(ret_names, "ret_names");
    if (result == MLKV_OK) {
        rows_clear(ret_names);
        result = op_read(view, tensors_rule, &call);
        for (size_t i = 0; i < model_item_count(&call.items) && result == MLKV_OK; i++)
            result =
                rows_append(ret_names, model_item_name(&call.items, model_item_at(&call.items, i)));
        if (result == MLKV_OK)
            rows_finish(ret_names);
        else
            rows_clear(ret_names);
    }
    if (result == MLKV_OK && ret_version != NULL)
        *ret_version = call.found.version;
    model_items_done(&call.items);
    model_done(&call.model);
    return result;
}

static int metadata_rule(op *o, void *context)
{
    ask_call *call = context;
    int result = info_rule(o, context);
    return result != MLKV_OK
               ? result
               : model_read_metadata(o, &call->model, call->found.version, &call->metadata);
}

int mlkv_model_metadata(mlkv *view, mlkv_slice name, uint64_t version, mlkv_buffer *ret_metadata)
{
    ask_call call = {.version = version};
    int result = model_init(&call.model, view, name);
    if (result == MLKV_OK)
        result = argument_pointer(ret_metadata, "ret_metadata");
    if (result == MLKV_OK)
        result = op_read(view, metadata_rule, &call);
    if (result == MLKV_OK)
        result = buffer_assign(ret_metadata, call.metadata.data, call.metadata.size);
    mlkv_buffer_free(&call.metadata);
    model_done(&call.model);
    return result;
}

/* --- all models --- */

static int names_rule(op *o, void *context)
{
    mlkv_rows *names = context;
    scan *walk = NULL;
    mlkv_slice key, value;
    static const char begin[] = "K" MODEL_INDEX_PREFIX;
    _Static_assert(RECORD_KEY == 'K', "the class of a key's record");
    rows_clear(names);
    int result = op_scan_open(o, slice_of_text(begin), slice_of(NULL, 0), &walk);
    while (result == MLKV_OK) {
        entry found;
        result = scan_next(walk, &key, &value);
        if (result == MLKV_OK)
            result = entry_of_record(key, value, &found);
        if (result != MLKV_OK || found.header.type != TYPE_HASH)
            continue;
        size_t skip = sizeof begin - 2;
        result = rows_append(
            names, slice_of((const char *)found.name.data + skip, found.name.size - skip));
    }
    scan_close(walk);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

int mlkv_model_names(mlkv *view, mlkv_rows *ret_names)
{
    error_clear();
    int result = argument_pointer(view, "view");
    if (result == MLKV_OK)
        result = argument_pointer(ret_names, "ret_names");
    if (result != MLKV_OK)
        return result;
    result = op_read(view, names_rule, ret_names);
    if (result == MLKV_OK)
        rows_finish(ret_names);
    else
        rows_clear(ret_names);
    return result;
}

/* --- rolling back, dropping --- */

static int find_before_current(op *o, ask_call *call)
{
    model *self = &call->model;
    int result = model_read_versions(o, self);
    for (size_t i = model_version_count(self); i-- > 0 && result == MLKV_OK;) {
        const model_version *version = model_version_at(self, i);
        if (version->state != MODEL_PUBLISHED || version->version >= self->current)
            continue;
        call->found = *version;
        return MLKV_OK;
    }
    return result != MLKV_OK ? result : MLKV_ABSENT;
}

static int rollback_rule(op *o, void *context)
{
    ask_call *call = context;
    model *self = &call->model;
    int result = model_open(o, self);
    if (result == MLKV_OK)
        result = call->version == 0 ? find_before_current(o, call)
                                    : model_get_published(o, self, call->version, &call->found);
    if (result != MLKV_OK || self->current == call->found.version)
        return result;
    self->current = call->found.version;
    return model_store(o, self);
}

int mlkv_model_rollback(mlkv *view, mlkv_slice name, uint64_t version, uint64_t *ret_version)
{
    ask_call call = {.version = version};
    int result = model_init(&call.model, view, name);
    if (result == MLKV_OK)
        result = op_write(view, rollback_rule, &call);
    if ((result == MLKV_OK || result == MLKV_E_DURABILITY) && ret_version != NULL)
        *ret_version = call.found.version;
    model_done(&call.model);
    return result;
}

static int drop_all(op *o, model *self)
{
    bool any = false;
    int result = model_read_versions(o, self);
    for (size_t i = 0; i < model_version_count(self) && result == MLKV_OK; i++) {
        const model_version *version = model_version_at(self, i);
        if (version->state != MODEL_PUBLISHED)
            continue;
        any = true;
        result = model_remove_version(o, self, version->version);
    }
    self->current = 0;
    return result != MLKV_OK || any ? result : MLKV_ABSENT;
}

static int drop_one(op *o, model *self, uint64_t version)
{
    model_version found;
    int result = model_get_published(o, self, version, &found);
    if (result == MLKV_OK && version == self->current)
        return error_set(MLKV_E_ARGUMENT,
                         "version %llu of model \"%s\" is the current one: publish or roll back "
                         "to another first, or drop the whole model",
                         (unsigned long long)version,
                         error_quote(self->name.data, self->name.size));
    return result != MLKV_OK ? result : model_remove_version(o, self, version);
}

static int drop_rule(op *o, void *context)
{
    ask_call *call = context;
    int result = model_open(o, &call->model);
    if (result == MLKV_OK)
        result = call->version == 0 ? drop_all(o, &call->model)
                                    : drop_one(o, &call->model, call->version);
    return result != MLKV_OK ? result : model_store(o, &call->model);
}

int mlkv_model_drop(mlkv *view, mlkv_slice name, uint64_t version)
{
    ask_call call = {.version = version};
    int result = model_init(&call.model, view, name);
    if (result == MLKV_OK)
        result = op_write(view, drop_rule, &call);
    model_done(&call.model);
    return result;
}
