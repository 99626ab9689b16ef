/* loan.c - blobs that are lent where they stand, behind the waist.
 *
 * In the rule the blobs' pieces are looked up in one read transaction: a snapshot's, or one of the loan's own, which then holds them
 * whatever becomes of the records that refer to them. Afterwards, outside every lock, their pages are mapped.
 *
 *   none -- op_lend, in each run of the rule --> held -- op_loan_map --> lent -- op_loan_end --> none
 *
 * Invariants:
 *  1. A run that does not count leaves a held loan behind, which the next one lets go of.
 *  2. What is lent retains what it stands on: the engine, or the snapshot's view. So all handles may be closed before.
 *
 * Locks: none; a held or lent loan belongs to one thread at a time.
 */
#include "view/view.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/record.h"

#include <stdlib.h>

enum { MISSING_MAX = 64 }; /* as in value.c */

struct op_loan {
    engine *engine;
    mlkv *snapshot;   /* NULL: read is the loan's own */
    store_read *read; /* NULL: none */
    mlkv_buffer runs; /* store_run[] */
    engine_loan lent;
    bool retains;
};

static int hold_blob(op *o, op_loan *loan, const cell_blob *blob)
{
    int result = MLKV_OK;
    for (uint32_t i = 0; i < blob->pieces && result == MLKV_OK; i++) {
        store_run run;
        result = engine_blob_place(loan->read, blob, i, &run);
        if (result == MLKV_OK)
            result = buffer_append(&loan->runs, &run, sizeof run);
    }
    if (result != MLKV_ABSENT)
        return result;
    if (loan->snapshot != NULL || ++o->missing > MISSING_MAX)
        return error_set(MLKV_E_CORRUPT, "blob %llu is missing", (unsigned long long)blob->id);
    o->again = true;
    return ENGINE_AGAIN;
}

static int hold(op *o, op_loan *loan, mlkv_slice cells)
{
    int result = MLKV_OK;
    loan->engine = o->engine;
    if (o->view->kind == VIEW_SNAPSHOT) {
        loan->snapshot = o->view;
        loan->read = o->view->read;
    } else {
        result = store_read_begin(o->engine->store, &loan->read);
    }
    for (size_t at = 0; at < cells.size && result == MLKV_OK; at += CELL_BLOB_SIZE) {
        int kind;
        uint64_t size;
        cell_blob blob;
        result = cell_inspect(slice_of((const unsigned char *)cells.data + at, CELL_BLOB_SIZE),
                              &kind, &size, &blob);
        if (result == MLKV_OK && kind != CELL_BLOB)
            result = error_set(MLKV_E_ARGUMENT, "a cell is no blob");
        if (result == MLKV_OK)
            result = hold_blob(o, loan, &blob);
    }
    return result;
}

int op_lend(op *o, mlkv_slice cells, op_loan **loan)
{
    op_loan_end(*loan);
    *loan = calloc(1, sizeof **loan);
    return *loan == NULL ? error_set_memory("a loan") : hold(o, *loan, cells);
}

int op_loan_map(op_loan *loan, bool is_private, void **ret_memory)
{
    const store_run *runs = loan->runs.data;
    int state = cancel_disable();
    int result =
        engine_lend(loan->engine, runs, loan->runs.size / sizeof *runs, is_private, &loan->lent);
    if (result == MLKV_OK) {
        loan->retains = true;
        if (loan->snapshot != NULL)
            atomic_fetch_add(&loan->snapshot->holders, 1);
        else
            engine_retain(loan->engine);
        *ret_memory = loan->lent.mapping.memory;
    }
    mlkv_buffer_free(&loan->runs);
    cancel_restore(state);
    return result;
}

int op_loan_end(op_loan *loan)
{
    int result = MLKV_OK;
    if (loan == NULL)
        return result;
    int state = cancel_disable();
    engine_lend_end(&loan->lent);
    if (loan->snapshot == NULL && loan->read != NULL && !atomic_load(&loan->engine->abandoned))
        store_read_end(loan->read);
    if (loan->retains)
        result =
            loan->snapshot != NULL ? view_let_go(loan->snapshot) : engine_release(loan->engine);
    mlkv_buffer_free(&loan->runs);
    free(loan);
    cancel_restore(state);
    return result;
}
