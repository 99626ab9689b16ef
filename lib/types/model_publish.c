/* model_publish.c - a staged version becomes the current one; saving a whole set of tensors at once.
 *
 * One rule: tensors to be carried over are copied from the version that is current then; every tensor that is listed is looked at; the
 * version's state becomes published, the head of the index names it, and what keep_last drops goes. Readers begin at that head, so
 * they find all of it from one moment on.
 *
 * Invariants
 *   1. Nothing of a version changes in the rule that publishes it but what is carried: its tensors were whole when they were listed.
 *   2. A carried tensor is as of the moment of publishing: an update in place that was made before it is in it.
 * Locks: the writer lock, by the rule.
 */
#include "types/model.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "types/argument.h"
#include "types/key_copy.h"

#include <stdatomic.h>

enum { OPTIONS_SIZE_MAX = 4096 };

typedef struct {
    model model;
    mlkv_publication *publication;
    mlkv_publish_options options;
    op_value metadata;
    model_items items, base;
} publish_call;

/* --- what is carried --- */

/* Lists the tensors of the current version that the new one does not have. */
static int list_rest(op *o, publish_call *call)
{
    model *self = &call->model;
    uint64_t version = call->publication->version, order = UINT64_MAX / 2;
    int result = model_read_items(o, self, self->current, &call->base);
    for (size_t i = 0; i < model_item_count(&call->base) && result == MLKV_OK; i++) {
        model_item there, item = {.order = order + i, .kind = MODEL_CARRIED};
        mlkv_slice name = model_item_name(&call->base, model_item_at(&call->base, i));
        result = model_get_item(o, self, version, name, &there);
        if (result == MLKV_OK)
            continue;
        if (result == MLKV_ABSENT)
            result = model_put_item(o, self, version, name, &item);
        if (result == MLKV_OK) {
            item.name_at = call->items.names.size;
            item.name_size = name.size;
            result = buffer_append(&call->items.items, &item, sizeof item);
        }
        if (result == MLKV_OK && name.size != 0)
            result = buffer_append(&call->items.names, name.data, name.size);
    }
    return result;
}

static int carry(op *o, model *self, uint64_t version, mlkv_slice name)
{
    int result = MLKV_ABSENT;
    if (self->current != 0)
        result = model_tensor_key(self->name, self->current, name, &self->keys[1]);
    if (result == MLKV_OK)
        result = model_tensor_key(self->name, version, name, &self->keys[0]);
    if (result == MLKV_OK)
        result = key_copy_over(o, slice_of_buffer(&self->keys[1]), slice_of_buffer(&self->keys[0]));
    if (result == MLKV_ABSENT)
        return error_set(MLKV_E_ARGUMENT,
                         "tensor \"%s\", which is to be carried over, is not in version %llu of "
                         "model \"%s\", the current one",
                         error_quote(name.data, name.size), (unsigned long long)self->current,
                         error_quote(self->name.data, self->name.size));
    return result;
}

static int carry_all(op *o, publish_call *call)
{
    int result = MLKV_OK;
    for (size_t i = 0; i < model_item_count(&call->items) && result == MLKV_OK; i++) {
        const model_item *item = model_item_at(&call->items, i);
        if (item->kind == MODEL_CARRIED)
            result = carry(o, &call->model, call->publication->version,
                           model_item_name(&call->items, item));
    }
    return result;
}

/* --- the rule --- */

static void describe(publish_call *call, model_version *version)
{
    uint64_t new_bytes = atomic_load(&call->publication->new_bytes);
    version->state = MODEL_PUBLISHED;
    version->session = 0;
    version->tensors = model_item_count(&call->items);
    version->raw_bytes = 0;
    version->stored_bytes = 0;
    for (size_t i = 0; i < version->tensors; i++) {
        const tensor_form *form = &model_item_at(&call->items, i)->form;
        version->raw_bytes += form->raw_bytes;
        version->stored_bytes += form->stored_bytes;
    }
    version->new_bytes = new_bytes < version->stored_bytes ? new_bytes : version->stored_bytes;
}

static int drop_older(op *o, model *self, uint32_t keep)
{
    size_t published = 0;
    int result = keep == 0 ? MLKV_OK : model_read_versions(o, self);
    size_t n = keep == 0 ? 0 : model_version_count(self);
    for (size_t i = 0; i < n; i++)
        published += model_version_at(self, i)->state == MODEL_PUBLISHED;
    for (size_t i = 0; i < n && published > keep && result == MLKV_OK; i++) {
        const model_version *version = model_version_at(self, i);
        if (version->state != MODEL_PUBLISHED || version->version == self->current)
            continue;
        result = model_remove_version(o, self, version->version);
        published--;
    }
    return result;
}

static int publish_rule(op *o, void *context)
{
    publish_call *call = context;
    model *self = &call->model;
    model_version version;
    int result = model_open_staged(o, self, call->publication, &version);
    if (result == MLKV_OK)
        result = model_read_items(o, self, version.version, &call->items);
    if (result == MLKV_OK && call->options.carry_rest != 0 && self->current != 0)
        result = list_rest(o, call);
    if (result == MLKV_OK)
        result = carry_all(o, call);
    if (result == MLKV_OK)
        result = model_look_at_tensors(o, self, version.version, &call->items);
    if (result == MLKV_OK && call->options.metadata.size != 0)
        result = model_put_metadata(o, self, version.version, &call->metadata);
    if (result != MLKV_OK)
        return result;
    describe(call, &version);
    version.at_ms = op_now_ms(o);
    self->current = version.version;
    result = model_put_version(o, self, &version);
    if (result == MLKV_OK)
        result = drop_older(o, self, call->options.keep_last);
    return result != MLKV_OK ? result : model_store(o, self);
}

/* --- calls --- */

static int read_options(const mlkv_publish_options *options, mlkv_publish_options *ret_options)
{
    *ret_options = (mlkv_publish_options){0};
    if (options == NULL)
        return MLKV_OK;
    if (options->size < sizeof *options || options->size > OPTIONS_SIZE_MAX)
        return error_set(MLKV_E_ARGUMENT, "mlkv_publish_options has size %zu, not %zu",
                         options->size, sizeof *options);
    for (size_t i = sizeof *options; i < options->size; i++)
        if (((const unsigned char *)options)[i] != 0)
            return error_set(
                MLKV_E_ARGUMENT,
                "mlkv_publish_options sets an option that this library does not know (byte %zu)",
                i);
    *ret_options = *options;
    return argument_slice(options->metadata, "options->metadata");
}

int mlkv_model_publish(mlkv_publication *publication, const mlkv_publish_options *options,
                       uint64_t *ret_version)
{
    publish_call call = {.publication = publication};
    error_clear();
    int result = argument_pointer(publication, "publication");
    if (result == MLKV_OK)
        result = read_options(options, &call.options);
    if (result != MLKV_OK)
        return result;
    mlkv *view = publication->view;
    result = model_init(&call.model, view, slice_of_buffer(&publication->name));
    if (result == MLKV_OK && call.options.metadata.size != 0)
        result = op_value_prepare(view, call.options.metadata, &call.metadata);
    if (result == MLKV_OK)
        result = op_write(view, publish_rule, &call);
    op_value_done(view, &call.metadata);
    model_done(&call.model);
    model_items_done(&call.items);
    model_items_done(&call.base);
    if (result != MLKV_OK && result != MLKV_E_DURABILITY)
        return result;
    if (ret_version != NULL)
        *ret_version = publication->version;
    model_publication_free(publication);
    return result;
}

static int put_items(mlkv_publication *publication, const mlkv_model_item *items, size_t n,
                     const mlkv_tensor_options *options)
{
    int result = MLKV_OK;
    for (size_t i = 0; i < n && result == MLKV_OK; i++) {
        bool again = false;
        result = model_stage_put(publication, &items[i], options, NULL, &again);
        if (result == MLKV_OK && again)
            result = error_set(MLKV_E_ARGUMENT, "two items have the name \"%s\"",
                               error_quote(items[i].name.data, items[i].name.size));
    }
    return result;
}

static void abort_quietly(mlkv_publication *publication)
{
    error_kept kept;
    error_keep(&kept);
    (void)mlkv_model_abort(publication);
    error_restore(&kept);
}

int mlkv_model_save(mlkv *view, mlkv_slice name, const mlkv_model_item *items, size_t n,
                    const mlkv_tensor_options *tensor_options, const mlkv_publish_options *options,
                    uint64_t *ret_version)
{
    mlkv_publication *publication = NULL;
    mlkv_publish_options checked;
    error_clear();
    if (items == NULL && n != 0)
        return error_set(MLKV_E_ARGUMENT, "items is NULL");
    int result = read_options(options, &checked);
    if (result == MLKV_OK)
        result = mlkv_model_begin(view, name, &publication);
    if (result != MLKV_OK)
        return result;
    result = put_items(publication, items, n, tensor_options);
    if (result == MLKV_OK)
        result = mlkv_model_publish(publication, options, ret_version);
    if (result != MLKV_OK && result != MLKV_E_DURABILITY)
        abort_quietly(publication);
    return result;
}
