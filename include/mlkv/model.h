/* model.h - whole sets of tensors under one name (a state dict), in versions.
 *
 * A model is a name with versions 1, 2, 3 ...; each is a set of named tensors, in an order. One of them is the current
 * one. A version is written aside, where nobody finds it, and published at once: from one moment on every process sees
 * all of it as the current one. A reader gets one version whole, of one moment, or another one whole: never a mix.
 * Chunks of a tensor that are the same as in the version before are shared with it, not stored again.
 *
 *     mlkv_publication *p;
 *     mlkv_model_begin(db, name, &p);
 *     mlkv_model_put(p, tensor_name, &tensor, data, NULL, NULL);       any number of times
 *     mlkv_model_publish(p, NULL, &version);                           or mlkv_model_abort(p)
 *
 * Tensors of a version are ordinary tensors: mlkv_model_key says under which key, and all of tensor.h works on them.
 * So rows of the current version may be gathered, and updated in real time; docs/models.md has the recipes, the keys
 * and what is guaranteed.
 *
 * Names of models and of tensors are any bytes, also none; the keys made of them have at most 16 MiB. Views, threads and
 * the errors that every call may return are those of tensor.h. A key of a model that holds something else is MLKV_E_TYPE
 * or MLKV_E_CORRUPT. Redis has no such thing. Since 0.1.
 */
#ifndef MLKV_MODEL_H
#define MLKV_MODEL_H

#include <mlkv/base.h>
#include <mlkv/tensor.h>

MLKV_BEGIN_DECLS

/* A version that is being written. Several threads may put tensors into one at once. Its view must live as long as it. */
typedef struct mlkv_publication mlkv_publication;

/* A tensor with its name; data may be NULL if it has no bytes. */
typedef struct {
    mlkv_slice name;
    mlkv_tensor tensor;
    void *data;
    size_t bytes; /* set by mlkv_model_load; not looked at by mlkv_model_save */
} mlkv_model_item;

/* How a version is published. Zero means the default; unknown non-zero bytes past a known size are refused. */
typedef struct {
    size_t size; /* sizeof(mlkv_publish_options) */
    uint32_t
        keep_last; /* drops, in the same step, all published versions but so many of the newest, the new one among
                           them; 0: drops none */
    uint32_t
        carry_rest; /* not 0: tensors of the current version that the new one does not have are taken over, as by
                             mlkv_model_carry */
    mlkv_slice metadata; /* any bytes, kept with the version */
} mlkv_publish_options;

typedef struct {
    size_t size; /* in: sizeof(mlkv_model_info) */
    uint64_t version;
    int64_t published_ms; /* milliseconds since 1970 */
    uint64_t tensors;
    uint64_t raw_bytes;    /* of all tensors, when it was published */
    uint64_t stored_bytes; /* of their chunks after compression, shared ones too */
    uint64_t new_bytes; /* of these, what its puts wrote: chunks that were shared are not counted */
    uint32_t current;   /* 1: it is the current one */
    uint32_t reserved;  /* 0 */
} mlkv_model_info;

/* --- publishing --- */

/* Begins a new version of a model, which need not exist. What publications of dead processes have left is deleted. Any
 * number may be under way at once, in any processes; versions are numbered as they begin. *ret_publication is the
 * caller's, ended by mlkv_model_publish or mlkv_model_abort, before its view is closed. It belongs to this process: in a
 * forked child every call on it is MLKV_E_OWNER. If the process dies before it is published, nobody has seen it, and the
 * next mlkv_model_begin on that model deletes it.
 *
 * view: a live one; or a transaction, then all of it becomes visible with the commit, and tensors are compressed under
 * the writer lock. Cost: some record writes, and a look at each key of the model.
 * Returns MLKV_OK, MLKV_E_ARGUMENT, MLKV_E_READONLY; see the top. */
MLKV_API int mlkv_model_begin(mlkv *view, mlkv_slice name, mlkv_publication **ret_publication);

/* The number that the version will have. 0 for NULL. Cost: none. */
MLKV_API uint64_t mlkv_publication_version(const mlkv_publication *publication);

/* Puts a tensor into the new version; once more under the same name: in place of what was put before. If the current
 * version has a tensor of this name, dtype, shape and chunk size, only chunks that differ from its are compressed and
 * written: *ret_chunks_written (NULL: not wanted) says how many. Chunks of at least 32 KiB are stored so that later
 * versions can share them; smaller ones are copied into each version. Nobody sees anything of it yet. data, options: as of
 * mlkv_tensor_put; borrowed for the call.
 *
 * Cost: as mlkv_tensor_put, which does its work outside every lock; and, where there is a tensor to share with, 1 to 3 us
 * for each of its chunks under the writer lock.
 * Returns MLKV_OK, MLKV_E_ARGUMENT, MLKV_E_SIZE; MLKV_E_OWNER: the publication is another process's, or not there any more. */
MLKV_API int mlkv_model_put(mlkv_publication *publication, mlkv_slice tensor_name,
                            const mlkv_tensor *tensor, const void *data,
                            const mlkv_tensor_options *options, uint64_t *ret_chunks_written);

/* The new version has this tensor as the version has it that is current when it is published: updates made to its rows until
 * that very moment are in it. It takes the place of what was put under the name. All chunks are shared (small ones copied), for
 * 1 to 3 us each, under the writer lock, when it is published.
 * Returns MLKV_OK; MLKV_ABSENT: the current version has no such tensor now; MLKV_E_OWNER as mlkv_model_put. */
MLKV_API int mlkv_model_carry(mlkv_publication *publication, mlkv_slice tensor_name);

/* The new version has this tensor, which the caller has itself put under mlkv_model_key(name,
 * mlkv_publication_version(publication), tensor_name): for one that is larger than memory, with mlkv_tensor_append_rows. Do not
 * begin to write to that key before mlkv_model_begin, and do not go on after mlkv_model_abort.
 * Returns MLKV_OK; MLKV_ABSENT: there is no such key; MLKV_E_TYPE; MLKV_E_OWNER as mlkv_model_put. */
MLKV_API int mlkv_model_include(mlkv_publication *publication, mlkv_slice tensor_name);

/* Publishes: in one step the version is there, with all its tensors, is the current one, and what keep_last drops is gone. Then
 * the publication is ended and freed; after a failure (but for MLKV_E_DURABILITY) it is as it was, to be tried again or
 * aborted. options, ret_version: may be NULL.
 *
 * Cost: a record read for each tensor, and what mlkv_model_carry and keep_last cost, under the writer lock; O(metadata).
 * Returns MLKV_OK; MLKV_E_ARGUMENT: also if a tensor to be carried over is not there any more; MLKV_E_OWNER as mlkv_model_put. */
MLKV_API int mlkv_model_publish(mlkv_publication *publication, const mlkv_publish_options *options,
                                uint64_t *ret_version);

/* Ends a publication and deletes what was written. The handle is freed in any case; if the result is not MLKV_OK, what was
 * written is deleted when this process has ended. NULL is accepted. Cost: that of deleting its keys. */
MLKV_API int mlkv_model_abort(mlkv_publication *publication);

/* Begins, puts n tensors, publishes; after a failure it aborts. tensor_options, options, ret_version: may be NULL. Cost, returns: of these;
 * MLKV_E_ARGUMENT: also if two items have one name. */
MLKV_API int mlkv_model_save(mlkv *view, mlkv_slice name, const mlkv_model_item *items, size_t n,
                             const mlkv_tensor_options *tensor_options,
                             const mlkv_publish_options *options, uint64_t *ret_version);

/* --- reading --- */

/* The current version. Cost: two record reads. Returns MLKV_OK; MLKV_ABSENT: nothing was published under this name. */
MLKV_API int mlkv_model_current(mlkv *view, mlkv_slice name, uint64_t *ret_version);

/* Waits until the model has a current version that is not `seen` (0: any), for timeout_ms at most (0: not at all; negative: for
 * ever). Nothing is polled; publishing, rolling back and dropping wake it. Returns MLKV_OK; MLKV_ABSENT: the time is over, and
 * *ret_version is untouched. */
MLKV_API int mlkv_model_wait(mlkv *view, mlkv_slice name, uint64_t seen, int64_t timeout_ms,
                             uint64_t *ret_version);

/* The key of a tensor of a version (docs/models.md), in place of the content of *ret_key. No two (name, version, tensor) have one key.
 * Cost: a copy. Returns MLKV_OK, MLKV_E_ARGUMENT, MLKV_E_MEMORY. */
MLKV_API int mlkv_model_key(mlkv_slice name, uint64_t version, mlkv_slice tensor_name,
                            mlkv_buffer *ret_key);

/* The same of the version that is current. ret_version may be NULL. To update rows so that no update goes to a version that has just been
 * replaced, call this and mlkv_tensor_scatter_add in one transaction. Returns MLKV_OK; MLKV_ABSENT: there is no current version. */
MLKV_API int mlkv_model_current_key(mlkv *view, mlkv_slice name, mlkv_slice tensor_name,
                                    mlkv_buffer *ret_key, uint64_t *ret_version);

/* Where mlkv_model_read writes to. Both functions are called between operations: they may use the library, and hold nobody up. */
typedef struct {
    size_t size; /* sizeof(mlkv_model_reader) */
    /* A read of this version, with so many tensors, begins. If the model changes while it is read, it is called again, maybe
       with another version: then what place gave before is not used any more. May be NULL. */
    void (*begin)(void *context, uint64_t version, uint64_t tensors);
    /* Memory for a tensor: called for each in the order in which they were put, `index` from 0, before it is read; also for one
       without bytes, where NULL may be returned. NULL for one that has bytes ends the call: MLKV_E_MEMORY. tensor_name and info
       live during the call. */
    void *(*place)(void *context, size_t index, mlkv_slice tensor_name,
                   const mlkv_tensor_info *info);
    void *context;         /* of both; the caller's */
    mlkv_buffer *metadata; /* its content is replaced by the version's metadata; NULL: not wanted */
} mlkv_model_reader;

/* Reads all tensors of a version (0: the current one) as of one moment, into memory of the caller's choice, and says which
 * version it was (ret_version may be NULL). Nothing is locked: if tensors were changed, or the version dropped, while they were
 * read, it begins again, and after a few times reads a snapshot, which costs one commit of the store. On failure the memory may
 * have been partly written.
 *
 * Cost: O(bytes), and three record reads a tensor. Returns MLKV_OK; MLKV_ABSENT: no such version; MLKV_E_CORRUPT, naming the
 * tensor: also if it was deleted; MLKV_E_MEMORY. */
MLKV_API int mlkv_model_read(mlkv *view, mlkv_slice name, uint64_t version,
                             const mlkv_model_reader *reader, uint64_t *ret_version);

/* A version in memory of the library's. Start it as {0}. */
typedef struct {
    uint64_t version;
    mlkv_model_item *items; /* in the order in which they were put; data is aligned to 64 bytes */
    size_t count;
    mlkv_buffer metadata;
    void *names; /* the library's */
} mlkv_model_contents;

/* mlkv_model_read into memory that is allocated for it: replaces what *ret_contents held, and leaves it on failure. The caller
 * frees it with mlkv_model_contents_free; all that it points to lives until then. */
MLKV_API int mlkv_model_load(mlkv *view, mlkv_slice name, uint64_t version,
                             mlkv_model_contents *ret_contents);

/* Frees, and resets it to {0}. NULL is accepted. */
MLKV_API void mlkv_model_contents_free(mlkv_model_contents *contents);

/* The names of a version's tensors (0: of the current one), in the order in which they were put. ret_version may be NULL. Cost: O(tensors).
 * Returns MLKV_OK; MLKV_ABSENT: no such version (rows become empty). */
MLKV_API int mlkv_model_tensors(mlkv *view, mlkv_slice name, uint64_t version, mlkv_rows *ret_names,
                                uint64_t *ret_version);

/* The metadata that a version (0: the current one) was published with, in place of the content of *ret_metadata; empty if there was none.
 * Cost: O(metadata). Returns MLKV_OK; MLKV_ABSENT: no such version. */
MLKV_API int mlkv_model_metadata(mlkv *view, mlkv_slice name, uint64_t version,
                                 mlkv_buffer *ret_metadata);

/* Describes a published version (0: the current one). The caller has set ret_info->size. Returns MLKV_OK; MLKV_ABSENT: no such
 * version; MLKV_E_ARGUMENT: a size that this library does not know. */
MLKV_API int mlkv_model_get_info(mlkv *view, mlkv_slice name, uint64_t version,
                                 mlkv_model_info *ret_info);

/* Calls visit for each published version, the oldest first, as of one moment; with no lock held, so it may use the library. What
 * it returns other than 0 ends it, and is returned. Cost: O(versions). Returns MLKV_OK, also if there is none. */
MLKV_API int mlkv_model_list(mlkv *view, mlkv_slice name,
                             int (*visit)(void *context, const mlkv_model_info *info),
                             void *context);

/* The names of all models, in the order of their bytes (names of more than about 470 bytes: of their first bytes), those too of which
 * nothing is published yet. Cost: 300 ns a model. Returns MLKV_OK. */
MLKV_API int mlkv_model_names(mlkv *view, mlkv_rows *ret_names);

/* --- going back, dropping --- */

/* Makes a published version the current one, for every process at once; 0: the newest of those before the current one. ret_version
 * (may be NULL): which it is. Cost: some records. Returns MLKV_OK, also if it is current already; MLKV_ABSENT: there is none. */
MLKV_API int mlkv_model_rollback(mlkv *view, mlkv_slice name, uint64_t version,
                                 uint64_t *ret_version);

/* Drops a published version; chunks that others share stay. 0: the whole model, with all published versions; a publication
 * that is under way goes on. Its bytes are given back in the background. Cost: a scan of the version's keys, a few record writes a
 * tensor. Returns MLKV_OK; MLKV_ABSENT: there is none; MLKV_E_ARGUMENT: it is the current one. */
MLKV_API int mlkv_model_drop(mlkv *view, mlkv_slice name, uint64_t version);

MLKV_END_DECLS

#endif
