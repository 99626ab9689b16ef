/* model_stage.c - a version that is being written: begin, put, carry, include, abort.
 *
 * A staged version has a field in the index, which names the session of its process and a token; its tensors stand under their keys
 * already, where nobody looks. What a put does:
 *   1. In a rule: if the current version has such a tensor, the staged key becomes a copy of it, which shares its chunks.
 *   2. Outside every lock: an ordinary put over that key, which writes the chunks that differ.
 *   3. In a rule: the manifest lists the tensor.
 * So a key that is not listed is no part of the version, and goes when the version goes.
 *
 * Invariants
 *   1. Every rule looks whether the version is still staged, by this session and with this token: else MLKV_E_OWNER. So a forked child,
 *      or one that comes late, does no harm.
 *   2. A staged version whose session is dead is nobody's: the next begin deletes it. Keys of versions that the index does not have,
 *      which a death between two rules may leave, go likewise.
 * Locks: none but those of the rules. A publication's two counters are atomic: several threads may put at once.
 */
#include "types/model.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "types/argument.h"
#include "types/key_copy.h"
#include "types/tensor_put.h"

#include <mlkv/key.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
    SHARED_CHUNK_MIN = 32 << 10, /* of smaller chunks a copy shares nothing ... */
    COPIED_BYTES_MAX = 64 << 20  /* ... and is made up to here only: it is held in memory */
};

/* --- begin --- */

typedef struct {
    model model;
    mlkv_publication *publication;
    bool sweeps;
} begin_call;

/* Versions of dead processes are taken out of self->versions; *ret_found: there are such. */
static int find_dead(op *o, model *self, bool removes, bool *ret_found)
{
    size_t kept = 0;
    int result = model_read_versions(o, self);
    for (size_t i = 0; i < model_version_count(self) && result == MLKV_OK; i++) {
        model_version version = *model_version_at(self, i);
        if (version.state == MODEL_PUBLISHED || op_session_lives(o, version.session)) {
            *model_version_at(self, kept++) = version;
            continue;
        }
        *ret_found = true;
        if (removes)
            result = model_remove_version(o, self, version.version);
    }
    self->versions.size = kept * sizeof(model_version);
    return result;
}

/* Whether something is to be deleted is found out without the lock. */
static int look_rule(op *o, void *context)
{
    begin_call *call = context;
    bool dead = false, strays = false;
    call->sweeps = false;
    call->model.versions.size = 0;
    int result = model_open(o, &call->model);
    if (result == MLKV_OK)
        result = find_dead(o, &call->model, false, &dead);
    if (result >= 0)
        result = model_sweep(o, &call->model, false, &strays);
    call->sweeps = dead || strays;
    return result;
}

static int sweep_all(op *o, begin_call *call)
{
    bool found;
    int result = find_dead(o, &call->model, true, &found);
    return result != MLKV_OK ? result : model_sweep(o, &call->model, true, &found);
}

static int begin_rule(op *o, void *context)
{
    begin_call *call = context;
    model *self = &call->model;
    model_version version = {.state = MODEL_STAGED, .at_ms = op_now_ms(o)};
    int result = model_open(o, self);
    if (result == MLKV_ABSENT)
        result = model_create(o, self);
    if (result == MLKV_OK && call->sweeps)
        result = sweep_all(o, call);
    if (result == MLKV_OK && self->next == UINT64_MAX)
        result = error_set(MLKV_E_RANGE, "model \"%s\" has no more versions",
                           error_quote(self->name.data, self->name.size));
    if (result == MLKV_OK)
        result = op_take_id(o, &version.token);
    if (result != MLKV_OK)
        return result;
    version.version = self->next++;
    version.session = op_session(o);
    call->publication->version = version.version;
    call->publication->token = version.token;
    result = model_put_version(o, self, &version);
    return result != MLKV_OK ? result : model_store(o, self);
}

void model_publication_free(mlkv_publication *publication)
{
    mlkv_buffer_free(&publication->name);
    free(publication);
}

int mlkv_model_begin(mlkv *view, mlkv_slice name, mlkv_publication **ret_publication)
{
    begin_call call = {.sweeps = false};
    mlkv_publication *publication = NULL;
    int result = model_init(&call.model, view, name);
    if (result == MLKV_OK)
        result = argument_pointer(ret_publication, "ret_publication");
    if (result != MLKV_OK)
        goto done;
    publication = calloc(1, sizeof *publication);
    result = publication == NULL ? error_set_memory("a publication")
                                 : buffer_assign(&publication->name, name.data, name.size);
    if (result != MLKV_OK)
        goto done;
    publication->view = view;
    call.publication = publication;
    result = op_read(view, look_rule, &call);
    if (result >= 0)
        result = model_unpublished(op_write(view, begin_rule, &call));
    if (result == MLKV_OK)
        *ret_publication = publication;
done:
    if (result != MLKV_OK && publication != NULL)
        model_publication_free(publication);
    model_done(&call.model);
    return result;
}

uint64_t mlkv_publication_version(const mlkv_publication *publication)
{
    return publication == NULL ? 0 : publication->version;
}

int model_open_staged(op *o, model *self, const mlkv_publication *publication,
                      model_version *ret_version)
{
    int result = model_open(o, self);
    if (result == MLKV_OK)
        result = model_get_version(o, self, publication->version, ret_version);
    if (result != MLKV_OK && result != MLKV_ABSENT)
        return result;
    if (result == MLKV_ABSENT || ret_version->state != MODEL_STAGED ||
        ret_version->token != publication->token)
        return error_set(MLKV_E_OWNER, "version %llu of model \"%s\" is not being written any more",
                         (unsigned long long)publication->version,
                         error_quote(self->name.data, self->name.size));
    if (ret_version->session != op_session(o))
        return error_set(MLKV_E_OWNER,
                         "version %llu of model \"%s\" is being written by another process",
                         (unsigned long long)publication->version,
                         error_quote(self->name.data, self->name.size));
    return MLKV_OK;
}

/* --- one tensor --- */

typedef struct {
    model model;
    mlkv_publication *publication;
    mlkv_slice tensor_name;
    const mlkv_tensor *tensor;
    mlkv_buffer key; /* of the tensor in the staged version */
    bool again;      /* it is listed as one that was put */
    uint64_t kind;   /* that it is to be listed as */
    uint64_t bytes;  /* stored bytes that were included */
} stage_call;

static int stage_init(stage_call *self, mlkv_publication *publication, mlkv_slice tensor_name)
{
    *self = (stage_call){.publication = publication, .tensor_name = tensor_name};
    error_clear();
    int result = argument_pointer(publication, "publication");
    if (result == MLKV_OK)
        result = argument_slice(tensor_name, "tensor_name");
    if (result == MLKV_OK)
        result = model_init(&self->model, publication->view, slice_of_buffer(&publication->name));
    return result != MLKV_OK
               ? result
               : mlkv_model_key(self->model.name, publication->version, tensor_name, &self->key);
}

static void stage_done(stage_call *self)
{
    model_done(&self->model);
    mlkv_buffer_free(&self->key);
}

/* Opens the tensor of the current version; its key is in keys[1]. MLKV_ABSENT: there is none. */
static int open_current(op *o, stage_call *self, tensor_form *ret_form)
{
    entry found;
    if (self->model.current == 0)
        return MLKV_ABSENT;
    int result = model_tensor_key(self->model.name, self->model.current, self->tensor_name,
                                  &self->model.keys[1]);
    return result != MLKV_OK
               ? result
               : tensor_open(o, slice_of_buffer(&self->model.keys[1]), &found, ret_form);
}

/* Lists the tensor, where it stood in the order if it was listed. */
static int list_tensor(op *o, stage_call *self)
{
    model_item item;
    uint64_t version = self->publication->version;
    int result = model_get_item(o, &self->model, version, self->tensor_name, &item);
    if (result == MLKV_ABSENT)
        item.order = atomic_fetch_add(&self->publication->order, 1);
    item.kind = self->kind;
    return result < 0 ? result : model_put_item(o, &self->model, version, self->tensor_name, &item);
}

static bool worth_sharing(const tensor_form *form, const mlkv_tensor *tensor)
{
    return tensor != NULL && tensor->dimensions <= MLKV_DIMENSIONS_MAX &&
           tensor_same(&form->tensor, tensor) && form->chunks != 0 &&
           (form->raw_bytes <= COPIED_BYTES_MAX ||
            form->chunk_rows * form->row_bytes >= SHARED_CHUNK_MIN);
}

static int share_rule(op *o, void *context)
{
    stage_call *self = context;
    model_version version;
    model_item item;
    tensor_form form;
    int result = model_open_staged(o, &self->model, self->publication, &version);
    if (result == MLKV_OK)
        result = model_get_item(o, &self->model, version.version, self->tensor_name, &item);
    if (result < 0)
        return result;
    self->again = result == MLKV_OK && item.kind == MODEL_PUT;
    if (self->again)
        return MLKV_OK;
    result = open_current(o, self, &form);
    if (result == MLKV_ABSENT || result == MLKV_E_TYPE ||
        (result == MLKV_OK && !worth_sharing(&form, self->tensor)))
        return MLKV_OK;
    return result != MLKV_OK ? result
                             : key_copy_over(o, slice_of_buffer(&self->model.keys[1]),
                                             slice_of_buffer(&self->key));
}

static int list_rule(op *o, void *context)
{
    stage_call *self = context;
    model_version version;
    int result = model_open_staged(o, &self->model, self->publication, &version);
    return result != MLKV_OK ? result : list_tensor(o, self);
}

/* What a failed put leaves is no part of the version, but may be large. */
static void give_up(stage_call *self)
{
    error_kept kept;
    mlkv_slice key = slice_of_buffer(&self->key);
    error_keep(&kept);
    (void)mlkv_key_delete(self->publication->view, &key, 1, NULL);
    error_restore(&kept);
}

int model_stage_put(mlkv_publication *publication, const mlkv_model_item *item,
                    const mlkv_tensor_options *options, uint64_t *ret_chunks_written,
                    bool *ret_again)
{
    stage_call call;
    uint64_t chunks = 0, bytes = 0;
    int result = stage_init(&call, publication, item->name);
    call.tensor = &item->tensor;
    call.kind = MODEL_PUT;
    if (result != MLKV_OK)
        goto done;
    result = model_unpublished(op_write(publication->view, share_rule, &call));
    if (result != MLKV_OK)
        goto done;
    result = model_unpublished(tensor_put_shareable(publication->view, slice_of_buffer(&call.key),
                                                    &item->tensor, item->data, options, &chunks,
                                                    &bytes));
    if (result == MLKV_OK)
        result = model_unpublished(op_write(publication->view, list_rule, &call));
    if (result != MLKV_OK && !call.again)
        give_up(&call);
done:
    stage_done(&call);
    if (result != MLKV_OK)
        return result;
    atomic_fetch_add(&publication->new_bytes, bytes);
    if (ret_chunks_written != NULL)
        *ret_chunks_written = chunks;
    *ret_again = call.again;
    return MLKV_OK;
}

int mlkv_model_put(mlkv_publication *publication, mlkv_slice tensor_name, const mlkv_tensor *tensor,
                   const void *data, const mlkv_tensor_options *options,
                   uint64_t *ret_chunks_written)
{
    bool again;
    error_clear();
    int result = argument_pointer(tensor, "tensor");
    if (result != MLKV_OK)
        return result;
    mlkv_model_item item = {.name = tensor_name, .tensor = *tensor};
    item.data = (void *)(uintptr_t)data; /* it is only read */
    return model_stage_put(publication, &item, options, ret_chunks_written, &again);
}

/* --- carry, include --- */

static int carry_rule(op *o, void *context)
{
    stage_call *self = context;
    model_version version;
    tensor_form form;
    entry staged;
    int result = model_open_staged(o, &self->model, self->publication, &version);
    if (result == MLKV_OK)
        result = open_current(o, self, &form);
    if (result != MLKV_OK)
        return result;
    result = entry_open(o, slice_of_buffer(&self->key), TYPE_ANY, &staged);
    if (result == MLKV_OK || (result == MLKV_ABSENT && staged.expired))
        result = entry_remove(o, &staged);
    return result < 0 ? result : list_tensor(o, self);
}

static int include_rule(op *o, void *context)
{
    stage_call *self = context;
    model_version version;
    tensor_form form;
    entry staged;
    int result = model_open_staged(o, &self->model, self->publication, &version);
    if (result == MLKV_OK)
        result = tensor_open(o, slice_of_buffer(&self->key), &staged, &form);
    self->bytes = result == MLKV_OK ? form.stored_bytes : 0;
    return result != MLKV_OK ? result : list_tensor(o, self);
}

static int list_as(mlkv_publication *publication, mlkv_slice tensor_name, uint64_t kind,
                   op_rule rule)
{
    stage_call call;
    int result = stage_init(&call, publication, tensor_name);
    call.kind = kind;
    if (result == MLKV_OK)
        result = model_unpublished(op_write(publication->view, rule, &call));
    if (result == MLKV_OK)
        atomic_fetch_add(&publication->new_bytes, call.bytes);
    stage_done(&call);
    return result;
}

int mlkv_model_carry(mlkv_publication *publication, mlkv_slice tensor_name)
{
    return list_as(publication, tensor_name, MODEL_CARRIED, carry_rule);
}

int mlkv_model_include(mlkv_publication *publication, mlkv_slice tensor_name)
{
    return list_as(publication, tensor_name, MODEL_PUT, include_rule);
}

/* --- abort --- */

static int abort_rule(op *o, void *context)
{
    stage_call *self = context;
    model_version version;
    int result = model_open_staged(o, &self->model, self->publication, &version);
    if (result == MLKV_OK)
        result = model_remove_version(o, &self->model, version.version);
    return result != MLKV_OK ? result : model_store(o, &self->model);
}

int mlkv_model_abort(mlkv_publication *publication)
{
    stage_call call;
    if (publication == NULL)
        return MLKV_OK;
    int result = stage_init(&call, publication, slice_of(NULL, 0));
    if (result == MLKV_OK)
        result = model_unpublished(op_write(publication->view, abort_rule, &call));
    stage_done(&call);
    model_publication_free(publication);
    return result;
}
