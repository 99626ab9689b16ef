/* clean.c - the upcalls: what the layers below need of types/, registered by types/ when the
 * library is loaded. */
#include "view/view.h"

#include "base/bytes.h"
#include "base/record.h"

#include <string.h>

static op_upcalls registered; /* set once, by a constructor of types/, before any thread can run */

void op_register(const op_upcalls *upcalls)
{
    registered = *upcalls;
}

int view_clean(engine *self)
{
    if (registered.clean == NULL)
        return MLKV_ABSENT;
    mlkv view;
    memset(&view, 0, sizeof view);
    view.kind = VIEW_LIVE;
    view.borrowed = true;
    view.durability = MLKV_JOURNAL;
    atomic_init(&view.engine, self);
    return registered.clean(&view);
}

static int count_rule(op *o, void *context)
{
    uint64_t *count = context;
    mlkv_slice value;
    *count = 0;
    int result =
        op_borrow(o, slice_of_text("Ckeys"), &value); /* RECORD_COUNTER; kept by types/entry.c */
    if (result == MLKV_OK && value.size == 8)
        *count = load_le64(value.data);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

int view_key_count(mlkv *view, uint64_t *ret_count)
{
    return op_read(view, count_rule, ret_count);
}
