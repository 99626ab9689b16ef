/* verify_rows.c - the part of mlkv_verify that knows rows of tensors that stand beside their chunks (types/tensor_rows.c).
 *
 * Each P record has a place in the tensor's shape and the size of a row, and there are as many as the K record says; a tensor that has
 * such rows has a Q record, and a Q record names such a tensor. Of deleted lives nothing is said: the cleaner is at work.
 *
 * Locks: none.
 */
#include "types/verify.h"

#include "base/bytes.h"
#include "base/error.h"
#include "types/entry.h"
#include "types/tensor.h"
#include "types/tensor_rows_fold.h"

enum { ID_KEY_SIZE = 9 };

int verify_row(verifier *self, mlkv_slice key, mlkv_slice value)
{
    uint64_t chunk, row;
    verify_life *life;
    int result = verify_life_of(self, key, key.size >= ID_KEY_SIZE, &life);
    if (life == NULL)
        return result;
    self->report.unclaimed += life->deleted;
    life->beside_found++;
    if (life->broken || life->deleted)
        return MLKV_OK;
    if (life->type != TYPE_TENSOR)
        return verify_problem(self, "record '%s' belongs to a key that is no tensor",
                              error_quote(key.data, key.size));
    tensor_form form = {.rows = life->rows,
                        .row_bytes = life->row_bytes,
                        .chunk_rows = life->chunk_rows,
                        .chunks = life->chunks};
    return verify_result(self, key, rows_split(&form, key, value, &chunk, &row));
}

typedef struct {
    mlkv_slice name;
    bool same;
} rows_lookup;

static int lookup_tensor(op *o, void *context)
{
    rows_lookup *self = context;
    entry found;
    int result = entry_open(o, self->name, TYPE_ANY, &found);
    self->same =
        (result == MLKV_OK || (result == MLKV_ABSENT && found.expired)) && found.header.rows_beside;
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

static int lookup_name(op *o, void *context)
{
    rows_lookup *self = context;
    int result = fold_find(o, self->name);
    self->same = result == MLKV_OK;
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

int verify_rows_of(verifier *self, mlkv_slice key, mlkv_slice value)
{
    rows_lookup lookup;
    int result = fold_split(key, value, &lookup.name);
    if (result != MLKV_OK)
        return verify_result(self, key, result);
    result = op_read(self->view, lookup_tensor, &lookup);
    if (result != MLKV_OK)
        return result == MLKV_E_CORRUPT ? MLKV_OK : result; /* the key's own record is told of */
    return lookup.same ? MLKV_OK
                       : verify_problem(self, "record '%s': the key has no rows beside its chunks",
                                        error_quote(key.data, key.size));
}

int verify_tensor_rows(verifier *self, mlkv_slice name, const key_header *header)
{
    rows_lookup lookup = {.name = name};
    if (!header->rows_beside)
        return MLKV_OK;
    int result = op_read(self->view, lookup_name, &lookup);
    if (result < 0 && result != MLKV_E_CORRUPT)
        return result;
    return lookup.same ? MLKV_OK
                       : verify_problem(self,
                                        "tensor '%s' has rows beside its chunks, but no record to "
                                        "be found by",
                                        error_quote(name.data, name.size));
}

int verify_rows_counted(verifier *self, mlkv_slice name, const verify_life *life)
{
    return verify_problem(self, "tensor '%s' says that %llu rows stand beside its chunks, %llu do",
                          error_quote(name.data, name.size), (unsigned long long)life->beside,
                          (unsigned long long)life->beside_found);
}
