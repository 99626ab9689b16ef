/* tensor_loan.c - a tensor's data where they stand in the store.
 *
 * A tensor that was put contiguous has chunks of whole pages (tensor_form.c), each in a blob whose
 * pieces begin at pages (op_values_prepare_paged). So the pieces of all chunks can be mapped one
 * behind another, and are the tensor. Changes and appends put chunks into records, as in any
 * tensor, because that is fast; who borrows the tensor next folds them back (tensor_fold.c).
 *
 * State: one `lending` a call. A loan is the view's op_loan.
 *
 * Invariants:
 *  1. All cells that are lent are of one state of the tensor: they are read in the rule that takes hold of their blobs.
 *
 * Locks: none but the rule's.
 */
#include "types/tensor.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { FOLDS_MAX = 8 }; /* each time others changed it before it could be lent */

struct mlkv_loan {
    op_loan *held;
    _Atomic unsigned holders; /* the caller, and what was made of it for others */
    void *data;
    mlkv_tensor tensor;
    bool is_private;
};

typedef struct {
    mlkv_slice key;
    tensor_form form;
    bool changed;      /* the rule found chunks that are in records, or rows beside them */
    mlkv_buffer cells; /* of all chunks */
    op_loan *held;
} lending;

static int collect_cells(op *o, lending *self, uint64_t id)
{
    mlkv_buffer *scratch = chunk_scratch();
    int result = scratch == NULL ? MLKV_E_MEMORY : MLKV_OK;
    self->cells.size = 0;
    for (uint64_t chunk = 0; chunk < self->form.chunks && result == MLKV_OK; chunk++) {
        chunk_head head;
        mlkv_slice cell;
        result = chunk_note(o, &self->form, id, chunk, scratch, &head, &cell);
        if (result != MLKV_OK)
            break;
        self->changed = !chunk_is_settled(&self->form, cell) || head.beside != 0;
        if (self->changed)
            return MLKV_ABSENT;
        result = buffer_append(&self->cells, cell.data, cell.size);
    }
    return result;
}

static int lend_rule(op *o, void *context)
{
    lending *self = context;
    entry found;
    self->changed = false;
    int result = tensor_open(o, self->key, &found, &self->form);
    if (result != MLKV_OK)
        return result;
    if (!self->form.contiguous && self->form.raw_bytes != 0)
        return error_set(MLKV_E_CONTIGUOUS,
                         "tensor '%s' was not put with the option contiguous, so it cannot be lent",
                         error_quote(self->key.data, self->key.size));
    result = collect_cells(o, self, found.header.id);
    if (result == MLKV_OK)
        result = op_lend(o, slice_of_buffer(&self->cells), &self->held);
    return result;
}

/* The pages are not where they must be. */
static int displaced(mlkv_slice key, int result)
{
    return result != MLKV_E_PLATFORM
               ? result
               : error_set(MLKV_E_CONTIGUOUS,
                           "tensor '%s' cannot be lent by this machine, unless it is put again: %s",
                           error_quote(key.data, key.size), mlkv_error_detail());
}

static int fold(mlkv *view, mlkv_slice key)
{
    int result = tensor_fold(view, key);
    return result != MLKV_E_READONLY
               ? result
               : error_set(MLKV_E_CONTIGUOUS,
                           "tensor '%s' was changed since it was put, and this view cannot write: "
                           "borrow it from one that can, or put it again",
                           error_quote(key.data, key.size));
}

static int lend(mlkv *view, lending *self)
{
    int result = op_read(view, lend_rule, self);
    for (int i = 0; self->changed && result == MLKV_ABSENT; i++) {
        if (i == FOLDS_MAX)
            return error_set(MLKV_E_BUSY, "tensor '%s' was changed by others again and again",
                             error_quote(self->key.data, self->key.size));
        result = fold(view, self->key);
        if (result == MLKV_OK)
            result = op_read(view, lend_rule, self);
    }
    return displaced(self->key, result);
}

static int borrow(mlkv *view, lending *self, bool is_private, void **ret_data, mlkv_loan **ret_loan)
{
    static _Alignas(64) unsigned char nothing[64];
    void *memory = NULL;
    mlkv_loan *loan = malloc(sizeof *loan);
    int result = loan == NULL ? error_set_memory("a loan") : lend(view, self);
    if (result == MLKV_OK)
        result = displaced(self->key, op_loan_map(self->held, is_private, &memory));
    mlkv_buffer_free(&self->cells);
    chunk_scratch_trim();
    if (result != MLKV_OK) {
        (void)op_loan_end(self->held);
        free(loan);
        return result;
    }
    *loan = (mlkv_loan){.held = self->held,
                        .data = memory != NULL ? memory : nothing,
                        .tensor = self->form.tensor,
                        .is_private = is_private};
    atomic_init(&loan->holders, 1);
    *ret_data = loan->data;
    *ret_loan = loan;
    return MLKV_OK;
}

int mlkv_tensor_borrow(mlkv *view, mlkv_slice key, unsigned flags, mlkv_tensor_info *ret_info,
                       void **ret_data, mlkv_loan **ret_loan)
{
    lending self = {.key = key};
    int result = tensor_check_arguments(view, key);
    if (result == MLKV_OK && ret_info != NULL)
        result = tensor_check_info(ret_info);
    if (result == MLKV_OK && (flags & ~(unsigned)MLKV_LOAN_PRIVATE) != 0)
        result = error_set(MLKV_E_ARGUMENT, "flags %#x: only MLKV_LOAN_PRIVATE is known", flags);
    if (result == MLKV_OK && (ret_data == NULL || ret_loan == NULL))
        result =
            error_set(MLKV_E_ARGUMENT, "%s is NULL", ret_data == NULL ? "ret_data" : "ret_loan");
    if (result == MLKV_OK)
        result = borrow(view, &self, (flags & MLKV_LOAN_PRIVATE) != 0, ret_data, ret_loan);
    if (result == MLKV_OK && ret_info != NULL)
        tensor_describe(&self.form, ret_info);
    return result;
}

bool loan_share(mlkv_loan *loan, const mlkv_tensor **ret_tensor, void **ret_data)
{
    atomic_fetch_add(&loan->holders, 1);
    *ret_tensor = &loan->tensor;
    *ret_data = loan->data;
    return loan->is_private;
}

int mlkv_loan_return(mlkv_loan *loan)
{
    error_clear();
    if (loan == NULL || atomic_fetch_sub(&loan->holders, 1) != 1)
        return MLKV_OK;
    int result = op_loan_end(loan->held);
    free(loan);
    return result;
}
