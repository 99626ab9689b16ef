/* background.c - the engine's two threads.
 *
 * The applier moves frames into LMDB once the ring is a quarter full, or when something has waited
 * for IDLE_APPLY_MS; one process at a time (the journal's applier lock). The keeper syncs the
 * journal every sync_interval_ms, keeps an idle process caught up, lets the cleaners work a
 * little, and gives disk space back (space.c). Both poll at intervals that no reader or writer pays for, and are woken early through
 * conditions. Errors are not theirs to report: the next call that needs what failed meets it
 * itself. Locks: background_lock guards stopping and the conditions; none of the engine's other
 * locks is taken inside it.
 */
#include "engine/engine.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/fault.h"
#include "base/lock.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

enum {
    APPLIER_POLL_MS = 20,
    IDLE_APPLY_MS =
        500,     /* something acknowledged reaches LMDB about this soon, even in a quiet store */
    QUARTER = 4, /* the applier begins when the ring is this part full */
    KEEPER_POLL_MS = 10, /* how far an idle process may lag: 10 ms of frames */
    CLEAN_INTERVAL_MS = 250,
    KEEPER_SYNC_MS = 250, /* another is at it: the next interval comes soon, and a closing waits for
                             the keeper */
    NOTES_INTERVAL_MS = 30000,
    CLEAN_STEPS_MAX = 8,
    PREFAULT_BYTES = 32 << 20, /* more than a process can write in KEEPER_POLL_MS */
};

static engine_cleaner _Atomic cleaner_of_types;

void engine_set_cleaner(engine_cleaner cleaner)
{
    atomic_store(&cleaner_of_types, cleaner);
}

/* Waits for the condition, the time, or until *asked (may be NULL), which it resets; false when the
 * engine stops. */
static bool wait_for(engine *self, pthread_cond_t *condition, uint32_t milliseconds,
                     _Atomic bool *asked)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)(milliseconds % 1000) * 1000000;
    until.tv_sec += (time_t)(milliseconds / 1000) + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    lock_take(&self->background_lock);
    if (!self->stopping && (asked == NULL || !atomic_load(asked)))
        (void)pthread_cond_timedwait(condition, &self->background_lock, &until);
    if (asked != NULL)
        atomic_store(asked, false);
    bool goes_on = !self->stopping;
    lock_release(&self->background_lock);
    return goes_on;
}

static bool is_stopping(engine *self)
{
    lock_take(&self->background_lock);
    bool stopping = self->stopping;
    lock_release(&self->background_lock);
    return stopping;
}

/* Applies up to the tail noted now, never "until empty": that might not end. */
static int apply_noted(engine *self)
{
    journal *log = engine_journal(self);
    uint64_t target = journal_tail(log);
    int result = MLKV_OK;
    bool more = true;
    while (result == MLKV_OK && more && journal_applied(log) < target && !is_stopping(self))
        result = engine_apply_try(self, &more);
    return result == MLKV_E_BUSY ? MLKV_OK : result; /* busy: another process is at it */
}

static void *applier_main(void *argument)
{
    engine *self = argument;
    journal *log = engine_journal(self);
    uint64_t seen = journal_applied(log), since = clock_monotonic_ns(), failures = 0;
    while (wait_for(self, &self->applier_wake, failures != 0 ? 500 : APPLIER_POLL_MS,
                    &self->applier_asked)) {
        uint64_t applied = journal_applied(log), lag = journal_tail(log) - applied,
                 now = clock_monotonic_ns();
        if (applied != seen || lag == 0) {
            seen = applied;
            since = now;
        }
        if (lag >= journal_ring_bytes(log) / QUARTER ||
            (lag != 0 && now - since > (uint64_t)IDLE_APPLY_MS * 1000000))
            failures = apply_noted(self) == MLKV_OK ? 0 : failures + 1;
    }
    return NULL;
}

static void sync_if_due(engine *self, uint64_t *last_ns)
{
    journal *log = engine_journal(self);
    uint64_t now = clock_monotonic_ns();
    if (now - *last_ns < (uint64_t)self->options.sync_interval_ms * 1000000)
        return;
    *last_ns = now;
    uint64_t tail = journal_tail(log);
    if (journal_sync_is_durable(log) && journal_synced(log) < tail && journal_check(log) == MLKV_OK)
        (void)journal_sync(log, tail, KEEPER_SYNC_MS);
}

static void clean_if_due(engine *self, uint64_t *last_ns, uint64_t *notes_ns)
{
    uint64_t now = clock_monotonic_ns();
    if (self->options.quiet || now - *last_ns < (uint64_t)CLEAN_INTERVAL_MS * 1000000 ||
        journal_check(engine_journal(self)) != MLKV_OK)
        return;
    *last_ns = now;
    engine_cleaner cleaner = atomic_load(&cleaner_of_types);
    for (int i = 0;
         cleaner != NULL && i < CLEAN_STEPS_MAX && !is_stopping(self) && cleaner(self) == MLKV_OK;
         i++)
        ;
    (void)engine_clean_waste(self);
    if (*notes_ns == 0 || now - *notes_ns > (uint64_t)NOTES_INTERVAL_MS * 1000000) {
        *notes_ns = now;
        (void)engine_clean_notes(self, false);
    }
}

/* How far the ring's pages are present in this process: it begins where the process came in, and
 * ends a lap later. */
typedef struct {
    uint64_t start, reached;
} prefaulted;

/* Touches pages a little ahead of the tail, so that no writer pays for the fault. */
static void prefault(engine *self, prefaulted *pages)
{
    journal *log = engine_journal(self);
    uint64_t tail = journal_tail(log), ring = journal_ring_bytes(log);
    uint64_t ahead = ring / 4 < PREFAULT_BYTES ? ring / 4 : PREFAULT_BYTES;
    if (pages->reached < tail)
        pages->reached = tail;
    if (pages->reached - pages->start >= ring || pages->reached - tail >= ahead / 2)
        return;
    uint64_t size = tail + ahead - pages->reached;
    journal_prefault(log, pages->reached, (size_t)size);
    pages->reached += size;
}

static void *keeper_main(void *argument)
{
    engine *self = argument;
    uint64_t synced_ns = clock_monotonic_ns(), cleaned_ns = synced_ns, notes_ns = 0,
             checked_ns = synced_ns;
    compact_state compaction = {0};
    prefaulted pages = {0};
    if (!self->options.read_only)
        pages.start = pages.reached = journal_tail(engine_journal(self));
    while (wait_for(self, &self->keeper_wake, KEEPER_POLL_MS, NULL)) {
        ranks_bury(self->ranks);
        journal *log = engine_journal(self);
        if (log == NULL)
            continue;
        uint64_t tail = journal_tail(log);
        if (engine_cursor(self) < tail)
            (void)engine_catch_up(self, tail);
        if (self->options.read_only)
            continue;
        prefault(self, &pages);
        sync_if_due(self, &synced_ns);
        clean_if_due(self, &cleaned_ns, &notes_ns);
        if (!self->options.quiet && journal_check(log) == MLKV_OK) {
            (void)engine_reclaim(self, 1);
            engine_compact_if_due(self, &compaction);
        }
        if (clock_monotonic_ns() - checked_ns > (uint64_t)NOTES_INTERVAL_MS * 1000000) {
            checked_ns = clock_monotonic_ns();
            (void)store_check_readers(self->store);
        }
    }
    return NULL;
}

/* Starts a thread that takes no signals: they are the program's. */
static int start(pthread_t *thread, void *(*run)(void *), engine *self, bool *ret_runs)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int number = pthread_create(thread, NULL, run, self);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    *ret_runs = number == 0;
    return number == 0 ? MLKV_OK : error_set_system(number, "cannot start a background thread");
}

static int make_conditions(engine *self)
{
    pthread_condattr_t attributes;
    int number = pthread_condattr_init(&attributes);
    if (number == 0)
        number = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    if (number == 0)
        number = pthread_cond_init(&self->applier_wake, &attributes);
    if (number == 0)
        number = pthread_cond_init(&self->keeper_wake, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    return number == 0 ? MLKV_OK : error_set_system(number, "cannot make a condition");
}

int engine_background_start(engine *self)
{
    lock_init(&self->background_lock);
    int result = make_conditions(self);
    if (result == MLKV_OK && !self->options.read_only)
        result = start(&self->applier, applier_main, self, &self->applier_runs);
    if (result == MLKV_OK)
        result = start(&self->keeper, keeper_main, self, &self->keeper_runs);
    if (result != MLKV_OK)
        engine_background_stop(self);
    return result;
}

void engine_background_stop(engine *self)
{
    lock_take(&self->background_lock);
    self->stopping = true;
    (void)pthread_cond_broadcast(&self->applier_wake);
    (void)pthread_cond_broadcast(&self->keeper_wake);
    lock_release(&self->background_lock);
    if (self->applier_runs)
        (void)pthread_join(self->applier, NULL);
    if (self->keeper_runs)
        (void)pthread_join(self->keeper, NULL);
    self->applier_runs = self->keeper_runs = false;
}

void engine_wake_applier(engine *self)
{
    lock_take(&self->background_lock);
    WATCH_POINT(HELD_WAKING);
    atomic_store(&self->applier_asked, true);
    (void)pthread_cond_signal(&self->applier_wake);
    lock_release(&self->background_lock);
}
