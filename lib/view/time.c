/* time.c - the time of operations, and when to look for what has expired.
 *
 * The journal's head keeps, for all processes, the latest time at which something was found to be
 * expired (journal/clock.c). `now` is the machine's clock, or that time if the clock was set back
 * behind it: what was gone stays gone. A read-only engine without a journal has the machine's clock
 * only; one with a journal reads the head, and cannot note.
 *
 * Locks: op_expiry_begin and op_expiry_end are called in a write rule, under the writer lock.
 */
#include "view/view.h"

#include "base/clock.h"

int64_t view_now_ms(engine *self)
{
    journal *log = engine_journal(self);
    int64_t wall = clock_wall_ms(), noted = log == NULL ? 0 : journal_clock(log);
    return wall > noted ? wall : noted;
}

int64_t op_now_ms(const op *o)
{
    if (o->now_ms != 0)
        return o->now_ms;
    int64_t now = view_now_ms(o->engine);
    ((op *)(uintptr_t)o)->now_ms = now; /* one value for the whole operation */
    return now;
}

void op_saw_expired(op *o, int64_t expiry_ms)
{
    journal *log = engine_journal(o->engine);
    if (log != NULL && o->view->kind != VIEW_SNAPSHOT && journal_clock(log) < expiry_ms)
        journal_raise_clock(log, expiry_ms);
}

void op_note_expiry(op *o, int64_t expiry_ms)
{
    journal_expiry_note(engine_journal(o->engine), expiry_ms);
}

int op_expiry_times(mlkv *view, expiry_times *ret_times)
{
    engine *self;
    int result = view_enter(view, &self);
    if (result != MLKV_OK)
        return result;
    journal *log = engine_journal(self);
    int64_t wall = clock_wall_ms(), noted = log == NULL ? 0 : journal_clock(log);
    ret_times->now_ms = wall > noted ? wall : noted;
    ret_times->due_ms = log == NULL ? INT64_MAX : journal_expiry_due(log);
    ret_times->behind_ms =
        noted > wall && view->kind == VIEW_LIVE && !view->read_only ? noted - wall : 0;
    return MLKV_OK;
}

int op_expiry_begin(op *o, int64_t again_ms, uint64_t *ret_ticket)
{
    journal *log = engine_journal(o->engine);
    *ret_ticket = journal_expiry_notes(log);
    journal_expiry_set_due(log, view_now_ms(o->engine) + again_ms);
    return MLKV_OK;
}

int op_expiry_end(op *o, uint64_t ticket, int64_t due_ms, const expiry_times *times)
{
    journal *log = engine_journal(o->engine);
    if (journal_expiry_notes(log) == ticket)
        journal_expiry_set_due(log, due_ms);
    else
        journal_expiry_note_due(log, due_ms);
    if (times->behind_ms != 0 && due_ms > times->now_ms)
        journal_lower_clock(log, times->now_ms, times->now_ms - times->behind_ms);
    return MLKV_OK;
}
