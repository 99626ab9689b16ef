/* test_rules.c - the rules R1 to R7 of docs/architecture.md and the half frames of I2: for each
 * the interleaving that loses or revives a write without it, made at the watch points of
 * base/fault.h and not hoped for.
 *
 * A watcher stands where a reader or a catching up could be overtaken by somebody else, and does
 * there, in the same thread, what that one would: other processes are played by put_elsewhere,
 * which appends a frame that this process has not taken in. Each test has been seen to fail under
 * the patches of tests/broken that its comment names; sh tests/broken/run.sh sees it again. */
#include "fixture.h"

#include <pthread.h>
#include <semaphore.h>
#include <sys/syscall.h>

/* What is to happen, once, at which watch point. */
static struct {
    engine *self;
    watch_point at;
    void (*act)(engine *self);
    unsigned times;
} scene;

static void watcher(watch_point point)
{
    if (point == scene.at && scene.times++ == 0)
        scene.act(scene.self);
}

static void expect_at(engine *self, watch_point at, void (*act)(engine *self))
{
    scene.self = self;
    scene.at = at;
    scene.act = act;
    scene.times = 0;
    fault_watch(watcher);
}

static unsigned stripe_of(mlkv_slice key)
{
    return (unsigned)(hash_key(key.data, key.size) >> 40) % 128;
}

/* A key of the same stripe of the cache's positions as `like`, or of another one. */
static mlkv_slice key_beside(mlkv_slice like, bool same)
{
    static char key[32];
    for (unsigned i = 0;; i++) {
        mlkv_slice made = slice_of(key, (size_t)snprintf(key, sizeof key, "Kbeside%u", i));
        if ((stripe_of(made) == stripe_of(like)) == same)
            return made;
    }
}

/* Appends a frame as another process would; this one has not taken it in. Drains for room as that one would. */
static void append_elsewhere(engine *self, batch *records)
{
    journal *log = engine_journal(self);
    mlkv_slice payload;
    bool more;
    OK(batch_payload(records, &payload));
    while (!journal_has_room(log, FRAME_HEADER_SIZE + payload.size))
        OK(engine_apply(self, &more));
    OK(journal_lock(log, 10000));
    (void)journal_append(log, FRAME_BATCH, (uint32_t)records->count, payload);
    journal_unlock(log);
}

static void put_elsewhere(engine *self, mlkv_slice key, mlkv_slice value)
{
    batch records = {0};
    add_put(&records, key, value);
    append_elsewhere(self, &records);
    batch_done(&records);
}

static uint64_t tail_of(engine *self)
{
    return journal_tail(engine_journal(self));
}

/* More than a ring of frames of one record whose stripe is not that of Kone, so that nothing but
 * the overtaking can raise Kone's position. */
static void lap_elsewhere(engine *self)
{
    static const char bytes[4000];
    mlkv_slice key = key_beside(TEXT("Kone"), false);
    for (uint64_t until = tail_of(self) + TEST_RING + 8192; tail_of(self) < until;)
        put_elsewhere(self, key, slice_of(bytes, sizeof bytes));
}

/* Kone -> value in LMDB, and neither pending nor cached here. */
static void only_in_lmdb(engine *self, mlkv_slice key, mlkv_slice value)
{
    put(self, key, value);
    apply_all(self);
    put_number(self, 900, 0, 8); /* whoever takes in a frame lets go of what is applied */
    ck_assert_uint_gt(pending_trimmed(self->pending), 0);
    cache_reset(self->cache, engine_cursor(self));
}

static int get_now(engine *self, mlkv_slice key, mlkv_buffer *ret_value)
{
    return engine_get(self, engine_cursor(self), hash_key(key.data, key.size), key, ret_value);
}

/* --- R1 --- */

static void another_puts_new(engine *self)
{
    put_elsewhere(self, TEXT("Kone"), TEXT("new"));
    OK(engine_catch_up(self, tail_of(self)));
}

/* While a reader holds the old value that LMDB gave it, a newer one goes by that is not cached
 * here: the reader's fill is refused. Fails under R01-noted-after-the-lookup,
 * R01-fill-not-compared, R01-compared-outside-the-lock, R01-uncached-not-raised. */
START_TEST(a_late_fill_is_refused)
{
    static const watch_point points[] = {WATCH_READ_NOTED, WATCH_READ_PENDING, WATCH_READ_SNAPSHOT,
                                         WATCH_READ_FILL};
    const char *folder = harness_folder();
    engine *self = open_still(folder);
    mlkv_buffer value = {0};
    only_in_lmdb(self, TEXT("Kone"), TEXT("old"));
    expect_at(self, points[_i], another_puts_new);
    OK(get(self, TEXT("Kone"), &value)); /* either is right: both stood there while it ran */
    fault_watch(NULL);
    ck_assert_uint_ge(scene.times, 1);
    ck_assert(holds(self, TEXT("Kone"), TEXT("new")));
    mlkv_buffer_free(&value);
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

static void read_meanwhile(engine *self)
{
    mlkv_buffer value = {0};
    ck_assert_int_ne(get_now(self, TEXT("Kone"), &value), MLKV_ABSENT);
    mlkv_buffer_free(&value);
}

/* A reader that comes in the middle of the taking in of a frame. Fails under
 * R01-cached-before-pending. */
START_TEST(a_frame_is_pending_before_it_is_cached)
{
    const char *folder = harness_folder();
    engine *self = open_still(folder);
    only_in_lmdb(self, TEXT("Kone"), TEXT("old"));
    put_elsewhere(self, TEXT("Kone"), TEXT("new"));
    expect_at(self, WATCH_TAKE_PENDING, read_meanwhile);
    OK(engine_catch_up(self, tail_of(self)));
    fault_watch(NULL);
    ck_assert_uint_eq(scene.times, 1);
    ck_assert(holds(self, TEXT("Kone"), TEXT("new")));
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

/* The second thread: reads Kone, and if it comes to a fill, waits before it. */
static struct {
    engine *self;
    pthread_t thread;
    sem_t arrived, go_on;
    bool started;
} reader;

static void *read_one(void *unused)
{
    mlkv_buffer value = {0};
    CHILD_MUST(get_now(reader.self, TEXT("Kone"), &value) != MLKV_ABSENT);
    mlkv_buffer_free(&value);
    (void)sem_post(&reader.arrived); /* also if it needed no fill */
    return unused;
}

static void watch_two(watch_point point)
{
    if (point == WATCH_TAKE_CACHE && !reader.started) {
        reader.started = true;
        ck_assert_int_eq(pthread_create(&reader.thread, NULL, read_one, NULL), 0);
        while (sem_wait(&reader.arrived) != 0)
            ;
    } else if (point == WATCH_READ_FILL && reader.started) {
        (void)sem_post(&reader.arrived);
        while (sem_wait(&reader.go_on) != 0)
            ;
    }
}

/* A frame of two records that share a stripe: a reader notes the position that the first has
 * raised, does not find the second pending, and fills the cache when all is over. Fails under
 * R01-record-by-record. */
START_TEST(all_of_a_frame_is_pending_first)
{
    const char *folder = harness_folder();
    engine *self = open_still(folder);
    batch records = {0};
    reader.self = self;
    ck_assert_int_eq(sem_init(&reader.arrived, 0, 0) | sem_init(&reader.go_on, 0, 0), 0);
    only_in_lmdb(self, TEXT("Kone"), TEXT("old"));
    add_put(&records, key_beside(TEXT("Kone"), true), TEXT("first"));
    add_put(&records, TEXT("Kone"), TEXT("new"));
    append_elsewhere(self, &records);
    fault_watch(watch_two);
    OK(engine_catch_up(self, tail_of(self)));
    ck_assert(reader.started);
    (void)sem_post(&reader.go_on);
    ck_assert_int_eq(pthread_join(reader.thread, NULL), 0);
    fault_watch(NULL);
    ck_assert(holds(self, TEXT("Kone"), TEXT("new")));
    batch_done(&records);
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

/* --- R2 --- */

static void all_is_applied_and_let_go(engine *self)
{
    apply_all(self);
    put_number(self, 901, 0, 8);
}

/* The applier takes the record to LMDB and pending lets it go, between the two looks of a
 * reader: it must not miss it in both. Fails under R02-lmdb-before-pending. */
START_TEST(pending_is_asked_before_lmdb)
{
    static const watch_point points[] = {WATCH_READ_NOTED, WATCH_READ_PENDING, WATCH_READ_SNAPSHOT};
    const char *folder = harness_folder();
    engine *self = open_still(folder);
    only_in_lmdb(self, TEXT("Kone"), TEXT("old"));
    put(self, TEXT("Kone"), TEXT("new"));
    cache_reset(self->cache, engine_cursor(self));
    expect_at(self, points[_i], all_is_applied_and_let_go);
    ck_assert(holds(self, TEXT("Kone"), TEXT("new")));
    fault_watch(NULL);
    ck_assert(holds(self, TEXT("Kone"), TEXT("new")));
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

/* Older than what pending has let go: LMDB shows readers the commit before the last, after a
 * death in the middle of one; here pending is told too much instead. Newer than the cursor:
 * another process's writes that this one has not taken in. Fails under R02-snapshot-too-old,
 * R02-snapshot-too-new. */
START_TEST(a_snapshot_fits_or_is_refused)
{
    const char *folder = harness_folder();
    engine *self = open_still(folder);
    store_read *read = NULL;
    only_in_lmdb(self, TEXT("Kone"), TEXT("old"));
    put_elsewhere(self, TEXT("Kone"), TEXT("new"));
    uint64_t cursor = engine_cursor(self);
    OK(engine_snapshot_at(self, cursor, &read));
    store_read_end(read);
    apply_all(self);
    MUST(ENGINE_AGAIN, engine_snapshot_at(self, cursor, &read));
    OK(engine_catch_up(self, tail_of(self)));
    put(self, TEXT("Kone"), TEXT("newer"));
    cursor = engine_cursor(self);
    OK(engine_snapshot_at(self, cursor, &read));
    store_read_end(read);
    lock_take(&self->catchup_lock);
    pending_trim(self->pending, cursor);
    lock_release(&self->catchup_lock);
    MUST(ENGINE_AGAIN, engine_snapshot_at(self, cursor, &read));
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

static void look_before_the_marker(fault_point point)
{
    if (point != FAULT_DIRECT_COMMITTED)
        return;
    fault_observe(NULL);
    mlkv_buffer value = {0};
    scene.times++;
    MUST(ENGINE_AGAIN, get_now(scene.self, TEXT("Kone"), &value));
    mlkv_buffer_free(&value);
}

/* LMDB has a batch that no frame tells of yet: nobody may read it, least of all one process
 * alone. Fails under R02-applied-from-the-header. */
START_TEST(what_is_not_announced_is_not_read)
{
    const char *folder = harness_folder();
    engine *self = open_still(folder);
    batch records = {0};
    uint64_t end;
    only_in_lmdb(self, TEXT("Kone"), TEXT("old"));
    for (unsigned i = 0; i < 60; i++) {
        const numbered *made = number_of(i, 1, 1000);
        add_put(&records, made->key_slice, made->value_slice);
    }
    add_put(&records, TEXT("Kone"), TEXT("new"));
    scene.self = self;
    scene.times = 0;
    fault_observe(look_before_the_marker);
    OK(commit(self, &records, &end));
    ck_assert_uint_eq(scene.times, 1);
    ck_assert(holds(self, TEXT("Kone"), TEXT("new")));
    batch_done(&records);
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

/* --- R3 --- */

static uint64_t position_of_lmdb(engine *self)
{
    store_read *read = NULL;
    store_position position;
    OK(store_read_begin(self->store, &read));
    OK(store_read_position(read, &position));
    store_read_end(read);
    return position.applied;
}

/* An applier of larger batches dies between its commit and the header; the next one's batch
 * would end before what LMDB has. Fails under R03-applied-from-the-header, R03-prepared-work-kept. */
START_TEST(lmdb_never_goes_back)
{
    enum { FRAMES = 600 };
    const char *folder = harness_folder();
    mlkv_options options = small_options();
    options.ring_bytes = 4 << 20;
    engine *self = open_running(folder, &options);
    engine_background_stop(self);
    engine *_Atomic handle = self;
    int status;
    bool more;
    for (unsigned i = 0; i < FRAMES; i++)
        put_number(self, i, 1, 2500);
    IN_CHILD(status, {
        engine *own;
        CHILD_MUST(engine_replace(&handle, &own) == MLKV_OK);
        engine_background_stop(own);
        own->options.batch_bytes = 64 << 20;
        fault_arm(FAULT_APPLY_COMMITTED, FAULT_KILL, 1, 0);
        (void)engine_apply(own, &more);
    });
    ck_assert_int_eq(status, -SIGKILL);
    uint64_t before = position_of_lmdb(self);
    ck_assert_uint_lt(journal_applied(engine_journal(self)), before);
    OK(engine_apply(self, &more));
    ck_assert_uint_ge(position_of_lmdb(self), before);
    ck_assert_uint_eq(journal_applied(engine_journal(self)), position_of_lmdb(self));
    for (unsigned i = 0; i < FRAMES; i += 7)
        ck_assert(holds_number(self, i, 1, 2500));
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

/* Another process, to order: writes past the ring, if it gets the locks at once; answers 'k' or 'b'. */
static void write_large_to_order(const char *folder, int in, int out)
{
    engine *self = open_still(folder);
    char what;
    self->options.lock_timeout_ms = 50;
    while (read(in, &what, 1) == 1) {
        batch records = {0};
        uint64_t end;
        for (unsigned i = 0; i < 60; i++) {
            const numbered *made = number_of(i, 2, 1000);
            add_put(&records, made->key_slice, made->value_slice);
        }
        add_put(&records, TEXT("Kone"), TEXT("new"));
        int result = commit(self, &records, &end);
        CHILD_MUST(result == MLKV_OK || result == MLKV_E_BUSY);
        char answer = result == MLKV_OK ? 'k' : 'b';
        CHILD_MUST(write(out, &answer, 1) == 1);
        batch_done(&records);
    }
    CHILD_MUST(engine_release(self) == MLKV_OK);
}

static int to_another, from_another;
static char another_says;

static void another_goes_past_the_ring(fault_point point)
{
    if (point != FAULT_APPLY_LOCKED || another_says != 0)
        return;
    ck_assert_int_eq(write(to_another, "m", 1), 1);
    ck_assert_int_eq(read(from_another, &another_says, 1), 1);
}

/* Between the applier's look at `applied` and its commit another process drains and goes past
 * the ring: it cannot, or what the applier has gathered is void. Fails under
 * R03-prepared-work-kept. */
START_TEST(work_of_before_is_thrown_away)
{
    const char *folder = harness_folder();
    int to[2], from[2];
    bool more;
    ck_assert_int_eq(pipe(to) | pipe(from), 0);
    fflush(NULL);
    OK(engine_release(open_still(folder)));
    pid_t pid = harness_fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        (void)close(to[1]);
        write_large_to_order(folder, to[0], from[1]);
        _exit(0);
    }
    (void)close(to[0]);
    to_another = to[1];
    from_another = from[0];
    engine *self = open_still(folder);
    put(self, TEXT("Kone"), TEXT("old"));
    fault_observe(another_goes_past_the_ring);
    OK(engine_apply(self, &more));
    fault_observe(NULL);
    ck_assert(another_says == 'k' || another_says == 'b');
    ck_assert(holds(self, TEXT("Kone"), another_says == 'k' ? TEXT("new") : TEXT("old")));
    cache_reset(self->cache, engine_cursor(self));
    ck_assert(holds(self, TEXT("Kone"), another_says == 'k' ? TEXT("new") : TEXT("old")));
    (void)close(to_another);
    ck_assert_int_eq(child_status(pid), 0);
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

/* A child of this process's engine that dies at a point of the applier, or past the ring. */
static void die_at(engine *self, fault_point point)
{
    engine *_Atomic handle = self;
    int status;
    IN_CHILD(status, {
        engine *own;
        bool more;
        batch records = {0};
        uint64_t end;
        CHILD_MUST(engine_replace(&handle, &own) == MLKV_OK);
        engine_background_stop(own);
        fault_arm(point, FAULT_KILL, 1, 0);
        for (unsigned i = 0; i < 60; i++) {
            const numbered *made = number_of(i, 3, 1000);
            add_put(&records, made->key_slice, made->value_slice);
        }
        (void)(point == FAULT_DIRECT_COMMITTED ? commit(own, &records, &end)
                                               : engine_apply(own, &more));
    });
    ck_assert_int_eq(status, -SIGKILL);
}

/* Whoever waits for room waits for the header's applied. Fails under
 * R03-empty-drain-says-nothing. */
START_TEST(an_empty_drain_announces)
{
    const char *folder = harness_folder();
    engine *self = open_still(folder);
    bool more;
    put_number(self, 1, 1, 100);
    die_at(self, FAULT_APPLY_COMMITTED);
    ck_assert_uint_lt(journal_applied(engine_journal(self)), tail_of(self));
    OK(engine_apply(self, &more));
    ck_assert_uint_eq(journal_applied(engine_journal(self)), tail_of(self));
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

/* --- R5 --- */

static void another_laps(engine *self)
{
    put_elsewhere(self, TEXT("Kone"), TEXT("new"));
    lap_elsewhere(self);
    OK(engine_catch_up(self, tail_of(self)));
}

/* What a reader holds from before this process was overtaken does not get into its cache. Fails
 * under R05-positions-not-raised. */
START_TEST(a_fill_from_before_the_overtaking_is_refused)
{
    const char *folder = harness_folder();
    engine *self = open_still(folder);
    mlkv_buffer value = {0};
    only_in_lmdb(self, TEXT("Kone"), TEXT("old"));
    expect_at(self, WATCH_READ_FILL, another_laps);
    OK(get(self, TEXT("Kone"), &value));
    fault_watch(NULL);
    ck_assert_uint_eq(atomic_load(&self->counters.overtaken), 1);
    ck_assert(holds(self, TEXT("Kone"), TEXT("new")));
    mlkv_buffer_free(&value);
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

static void read_at_the_new_cursor(engine *self)
{
    mlkv_buffer value = {0};
    if (engine_cursor(self) < tail_of(self))
        return; /* a reader of now would have to catch up first */
    OK(get_now(self, TEXT("Kone"), &value));
    ck_assert(slice_equal(slice_of_buffer(&value), TEXT("new")));
    mlkv_buffer_free(&value);
}

/* Who sees the new cursor sees nothing of before the overtaking. Fails under R05-cursor-first. */
START_TEST(the_cursor_moves_last)
{
    const char *folder = harness_folder();
    engine *self = open_still(folder);
    put(self, TEXT("Kone"), TEXT("old")); /* cached */
    put_elsewhere(self, TEXT("Kone"), TEXT("new"));
    lap_elsewhere(self);
    apply_all(self);
    expect_at(self, WATCH_RESET_RAISED, read_at_the_new_cursor);
    OK(engine_catch_up(self, tail_of(self)));
    fault_watch(NULL);
    ck_assert_uint_eq(scene.times, 1);
    ck_assert(holds(self, TEXT("Kone"), TEXT("new")));
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

/* Just so much that the ring has gone on over `position`. */
static void write_over(engine *self, uint64_t position)
{
    static const char bytes[4000];
    journal *log = engine_journal(self);
    while (journal_reserved(log) <= position + TEST_RING)
        put_elsewhere(self, key_beside(TEXT("Kone"), false), slice_of(bytes, sizeof bytes));
}

/* Another overtakes this process again and again, as long as it gets the writer lock. */
static void overtake_once_more(watch_point point)
{
    journal *log = engine_journal(scene.self);
    if (point != WATCH_RESET_RAISED)
        return;
    scene.times++;
    if (journal_lock(log, 0) != MLKV_OK)
        return; /* this thread has it */
    journal_unlock(log);
    write_over(scene.self, journal_applied(log)); /* where the cursor is about to stand */
}

/* Each time a frame more is lost and a frame more is gained: it would go on for all of the ring.
 * Fails under R05-overtaken-for-ever. */
START_TEST(after_a_few_overtakings_it_takes_the_lock)
{
    const char *folder = harness_folder();
    engine *self = open_still(folder);
    put(self, TEXT("Kone"), TEXT("old"));
    put_elsewhere(self, TEXT("Kone"), TEXT("new"));
    self->options.batch_bytes = 4096; /* an applier that makes room for one frame at a time */
    write_over(self, engine_cursor(self));
    scene.self = self;
    scene.times = 0;
    fault_watch(overtake_once_more);
    OK(engine_catch_up(self, tail_of(self)));
    fault_watch(NULL);
    ck_assert_uint_ge(scene.times, 4);
    ck_assert_uint_lt(scene.times, 8);
    ck_assert(holds(self, TEXT("Kone"), TEXT("new")));
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

/* --- R6 --- */

/* Dead a second time while it recovers, at each step: the next one finds everything. Fails under
 * R06-generation-before-its-files. */
START_TEST(a_death_within_the_recovery_is_recovered)
{
    const char *folder = harness_folder();
    int status;
    IN_CHILD(status, {
        engine *own = open_still(folder);
        for (unsigned i = 0; i < 5; i++)
            put_number(own, i, 1, 100);
        die();
    });
    ck_assert_int_eq(status, -SIGKILL);
    IN_CHILD(status, {
        fault_arm((fault_point)_i, FAULT_KILL, 1, 0);
        (void)open_still(folder);
    });
    ck_assert_int_eq(status, -SIGKILL);
    engine *self = open_still(folder);
    for (unsigned i = 0; i < 5; i++)
        ck_assert(holds_number(self, i, 1, 100));
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

/* --- R7 --- */

static struct {
    engine *self; /* NULL: not yet open */
    unsigned count, before_the_header;
    unsigned at_scan;
    uint64_t applied;
} syncs;

/* LMDB syncs through this one; that it was synced before the header moved is seen nowhere else but
 * after a power cut. */
__attribute__((visibility("default"))) int fdatasync(int file)
{
    syncs.count++;
    if (syncs.self != NULL && journal_applied(engine_journal(syncs.self)) == syncs.applied)
        syncs.before_the_header++;
    return (int)syscall(SYS_fdatasync, file);
}

static void note_syncs_at_scan(fault_point point)
{
    if (point == FAULT_RECOVER_SCANNED)
        syncs.at_scan = syncs.count;
}

/* Dead between LMDB's commit and the header: nobody knows whether that commit is on the disk.
 * Fails under R07-announced-unsynced, R07-mended-unsynced. */
START_TEST(what_the_dead_committed_is_synced_first)
{
    const char *folder = harness_folder();
    engine *self = open_still(folder);
    bool more;
    put_number(self, 1, 1, 100);
    die_at(self, _i == 0 ? FAULT_APPLY_COMMITTED : FAULT_DIRECT_COMMITTED);
    memset(&syncs, 0, sizeof syncs);
    syncs.self = self;
    syncs.applied = journal_applied(engine_journal(self));
    if (_i == 0)
        OK(engine_apply(self, &more));
    else
        OK(engine_settle(self));
    syncs.self = NULL;
    ck_assert_uint_gt(journal_applied(engine_journal(self)), syncs.applied);
    ck_assert_uint_ge(syncs.before_the_header, 1);
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

/* The same, and everybody is dead. Fails under R07-recovered-unsynced. */
START_TEST(recovery_syncs_before_it_believes)
{
    const char *folder = harness_folder();
    int status;
    IN_CHILD(status, {
        engine *own = open_still(folder);
        bool more;
        put_number(own, 1, 1, 100);
        fault_arm(FAULT_APPLY_COMMITTED, FAULT_KILL, 1, 0);
        (void)engine_apply(own, &more);
    });
    ck_assert_int_eq(status, -SIGKILL);
    memset(&syncs, 0, sizeof syncs);
    fault_observe(note_syncs_at_scan);
    engine *self = open_still(folder);
    fault_observe(NULL);
    ck_assert_uint_ge(syncs.at_scan, 1); /* LMDB commits nothing of its own before the scan */
    ck_assert(holds_number(self, 1, 1, 100));
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

/* --- I2 --- */

static uint64_t stood_at;

static void half_taken(engine *self)
{
    ck_assert(!engine_stood_still(self, stood_at));
}

/* A reader of several records can tell that half of a frame is taken in. Fails under
 * I02-reached-too-late, I02-reached-too-late-by-the-writer, I02-torn-reads-count. */
START_TEST(half_a_frame_shows)
{
    const char *folder = harness_folder();
    engine *self = open_still(folder);
    put(self, TEXT("Kone"), TEXT("old"));
    stood_at = engine_cursor(self);
    ck_assert(engine_stood_still(self, stood_at));
    expect_at(self, WATCH_TAKE_PENDING, half_taken);
    if (_i == 0)
        put(self, TEXT("Kone"), TEXT("new"));
    else
        another_puts_new(self);
    fault_watch(NULL);
    ck_assert_uint_eq(scene.times, 1);
    ck_assert(engine_stood_still(self, engine_cursor(self)));
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rules");
    TCase *tcase = harness_case(suite, "rules");
    tcase_add_loop_test(tcase, a_late_fill_is_refused, 0, 4);
    tcase_add_test(tcase, a_frame_is_pending_before_it_is_cached);
    tcase_add_test(tcase, all_of_a_frame_is_pending_first);
    tcase_add_loop_test(tcase, pending_is_asked_before_lmdb, 0, 3);
    tcase_add_test(tcase, a_snapshot_fits_or_is_refused);
    tcase_add_test(tcase, what_is_not_announced_is_not_read);
    tcase_add_test(tcase, lmdb_never_goes_back);
    tcase_add_test(tcase, work_of_before_is_thrown_away);
    tcase_add_test(tcase, an_empty_drain_announces);
    tcase_add_test(tcase, a_fill_from_before_the_overtaking_is_refused);
    tcase_add_test(tcase, the_cursor_moves_last);
    tcase_add_test(tcase, after_a_few_overtakings_it_takes_the_lock);
    tcase_add_loop_test(tcase, a_death_within_the_recovery_is_recovered, FAULT_RECOVER_BEGUN,
                        FAULT_RECOVER_DONE + 1);
    tcase_add_loop_test(tcase, what_the_dead_committed_is_synced_first, 0, 2);
    tcase_add_test(tcase, recovery_syncs_before_it_believes);
    tcase_add_loop_test(tcase, half_a_frame_shows, 0, 2);
    return harness_run(suite);
}
