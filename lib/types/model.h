/* model.h - what the model files share: the keys, the index, the list of a version's tensors (docs/models.md has the bytes).
 *
 * A model is made of ordinary keys, and nothing below the types knows of it:
 *   mlkv:model:NAME                       hash: the index, one field for the model and one a version
 *   mlkv:version:SIZE:NAME:VERSION        hash: the manifest, one field a tensor
 *   mlkv:version:SIZE:NAME:VERSION:TENSOR the tensor
 * SIZE is that of NAME, so that every key says in one way only what it is, whatever bytes the names have.
 */
#ifndef MLKV_TYPES_MODEL_H
#define MLKV_TYPES_MODEL_H

#include "types/tensor.h"

#include <mlkv/model.h>

/* --- model_key.c --- */
#define MODEL_INDEX_PREFIX "mlkv:model:"
int model_index_key(mlkv_slice name, mlkv_buffer *ret_key);
/* What all keys of all versions begin with. */
int model_versions_prefix(mlkv_slice name, mlkv_buffer *ret_prefix);
int model_manifest_key(mlkv_slice name, uint64_t version, mlkv_buffer *ret_key);
int model_tensor_key(mlkv_slice name, uint64_t version, mlkv_slice tensor_name,
                     mlkv_buffer *ret_key);
/* Which version a key belongs to, from what stands behind model_versions_prefix. False: to none. */
bool model_parse_version(mlkv_slice rest, uint64_t *ret_version);

/* --- model_index.c --- */
enum { MODEL_STAGED = 1, MODEL_PUBLISHED = 2 };

typedef struct {
    uint64_t version;
    uint8_t state;
    int64_t at_ms; /* when it was begun, or published */
    uint64_t tensors, raw_bytes, stored_bytes, new_bytes;
    uint64_t session; /* of who writes it; 0 when published */
    uint64_t token;   /* an id: no two versions have the same, ever */
} model_version;

/* One call on a model; in a rule also its index as it stands. */
typedef struct {
    mlkv_slice name;
    mlkv_buffer index_key;
    mlkv_buffer keys[2];  /* scratch for keys */
    mlkv_buffer versions; /* model_version[], filled by model_read_versions */
    entry index;
    uint64_t current, next;
} model;

/* The checks that every call begins with; to be ended by model_done in any case. */
int model_init(model *self, mlkv *view, mlkv_slice name);
void model_done(model *self);

/* In a rule: reads the index. MLKV_ABSENT: there is none; model_create may follow. */
int model_open(op *o, model *self);
int model_create(op *o, model *self);
/* Writes what was changed, and wakes who waits; an index without versions goes. */
int model_store(op *o, model *self);

/* One version. MLKV_ABSENT. */
int model_get_version(op *o, const model *self, uint64_t version, model_version *ret_version);
/* The same of a published one; 0: the current. */
int model_get_published(op *o, const model *self, uint64_t version, model_version *ret_version);
int model_put_version(op *o, model *self, const model_version *version);
/* All of them into self->versions, in ascending order. */
int model_read_versions(op *o, model *self);
size_t model_version_count(const model *self);
model_version *model_version_at(const model *self, size_t i);

/* Deletes a version: its field in the index, manifest and tensors. */
int model_remove_version(op *o, model *self, uint64_t version);
/* Looks for keys of versions that are not in self->versions, and deletes them if asked to. */
int model_sweep(op *o, model *self, bool removes, bool *ret_found);

/* --- model_manifest.c --- */
enum { MODEL_PUT = 0, MODEL_CARRIED = 1 };

typedef struct {
    uint64_t order, kind;
    size_t name_at, name_size; /* in the names of the list */
    uint64_t id, version;      /* set by model_look_at_tensors: of the tensor's life */
    tensor_form form;
} model_item;

/* The tensors of a version, in their order. Start it as {0}. */
typedef struct {
    mlkv_buffer items; /* model_item[] */
    mlkv_buffer names;
} model_items;

size_t model_item_count(const model_items *self);
model_item *model_item_at(const model_items *self, size_t i);
mlkv_slice model_item_name(const model_items *self, const model_item *item);
void model_items_done(model_items *self);

int model_read_items(op *o, model *self, uint64_t version, model_items *items);
/* Opens each tensor. MLKV_E_CORRUPT names one that is missing. */
int model_look_at_tensors(op *o, model *self, uint64_t version, model_items *items);

/* The manifest's field of a tensor: MLKV_ABSENT: it has none. */
int model_get_item(op *o, model *self, uint64_t version, mlkv_slice tensor_name,
                   model_item *ret_item);
int model_put_item(op *o, model *self, uint64_t version, mlkv_slice tensor_name,
                   const model_item *item);
/* The metadata, prepared by op_value_prepare. */
int model_put_metadata(op *o, model *self, uint64_t version, op_value *metadata);
/* Replaces the content of *ret_metadata; empty if there is none. */
int model_read_metadata(op *o, model *self, uint64_t version, mlkv_buffer *ret_metadata);

/* --- model_stage.c: a version that is being written --- */
struct mlkv_publication {
    mlkv *view;
    mlkv_buffer name;
    uint64_t version, token;
    _Atomic uint64_t order;     /* of the next tensor */
    _Atomic uint64_t new_bytes; /* written by its puts */
};

/* In a rule: opens the index and finds the version, staged and this process's own. MLKV_E_OWNER. */
int model_open_staged(op *o, model *self, const mlkv_publication *publication,
                      model_version *ret_version);
/* mlkv_model_put; *ret_again: it was put before. */
int model_stage_put(mlkv_publication *publication, const mlkv_model_item *item,
                    const mlkv_tensor_options *options, uint64_t *ret_chunks_written,
                    bool *ret_again);
void model_publication_free(mlkv_publication *publication);

/* Of a write that publishes nothing: that it is visible is enough, for what publishes it comes behind it in the journal. */
static inline int model_unpublished(int result)
{
    return result == MLKV_E_DURABILITY ? MLKV_OK : result;
}

#endif
