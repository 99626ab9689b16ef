/* test_apply.c - frames into LMDB: bounded batches that are prefixes, callers who wait together;
 * the two background threads (background.c) and the numbers (stats.c). */
#include "fixture.h"

/* What LMDB holds is what the frames up to its position say: frame i puts "Klast" -> i, and each
 * ends where ends[i] says. */
static void check_prefix(engine *self, const uint64_t *ends, unsigned count)
{
    store_read *read = NULL;
    store_position position;
    mlkv_slice value;
    OK(store_read_begin(self->store, &read));
    OK(store_read_position(read, &position));
    unsigned i = 0;
    while (i < count && ends[i] != position.applied)
        i++;
    ck_assert_uint_lt(i, count);
    OK(store_read_get(read, TEXT("Klast"), &value));
    ck_assert(slice_equal(value, slice_of(&i, sizeof i)));
    const numbered *made = number_of(i, 1, 2500);
    OK(store_read_get(read, made->key_slice, &value));
    ck_assert(slice_equal(value, made->value_slice));
    MUST(MLKV_ABSENT, store_read_get(read, number_of(i + 1, 1, 2500)->key_slice, &value));
    store_read_end(read);
}

START_TEST(applies_prefixes)
{
    enum { FRAMES = 600 };
    static uint64_t ends[FRAMES];
    const char *folder = harness_folder();
    mlkv_options options = small_options();
    options.ring_bytes = 4 << 20;
    engine *self = open_running(folder, &options);
    engine_background_stop(self);
    for (unsigned i = 0; i < FRAMES; i++) {
        batch records = {0};
        const numbered *made = number_of(i, 1, 2500);
        add_put(&records, made->key_slice, made->value_slice);
        add_put(&records, TEXT("Klast"), slice_of(&i, sizeof i));
        OK(commit(self, &records, &ends[i]));
        batch_done(&records);
    }
    bool more = true;
    unsigned batches = 0;
    uint64_t before = journal_applied(engine_journal(self));
    for (; more; batches++) {
        OK(engine_apply(self, &more));
        ck_assert_uint_gt(journal_applied(engine_journal(self)), before);
        before = journal_applied(engine_journal(self));
        check_prefix(self, ends, FRAMES);
    }
    ck_assert_uint_ge(batches, 3); /* 1 MiB of pages a batch, 2 pages a record */
    ck_assert_uint_eq(before, ends[FRAMES - 1]);
    OK(engine_apply(self, &more)); /* nothing to do */
    ck_assert(!more);
    ck_assert_uint_eq(atomic_load(&self->counters.batches_applied), batches);
    ck_assert_uint_eq(atomic_load(&self->counters.records_applied),
                      FRAMES + batches); /* Klast once a batch */
    for (unsigned i = 0; i < FRAMES; i += 11)
        ck_assert(holds_number(self, i, 1, 2500));
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

/* Died between commit and announcement: the next one announces what is there and applies nothing
 * twice. */
START_TEST(announces_for_the_dead)
{
    const char *folder = harness_folder();
    engine *self = open_still(folder);
    engine *_Atomic handle = self;
    int status;
    put_number(self, 1, 1, 100);
    uint64_t tail = journal_tail(engine_journal(self));
    IN_CHILD(status, {
        engine *own;
        bool ignored;
        CHILD_MUST(engine_replace(&handle, &own) == MLKV_OK);
        engine_background_stop(own);
        fault_arm(FAULT_APPLY_COMMITTED, FAULT_KILL, 1, 0);
        (void)engine_apply(own, &ignored);
    });
    ck_assert_int_eq(status, -SIGKILL);
    ck_assert_uint_lt(journal_applied(engine_journal(self)), tail);
    ck_assert(holds_number(self, 1, 1, 100));
    OK(engine_apply_until(self, tail));
    ck_assert_uint_eq(journal_applied(engine_journal(self)), tail);
    ck_assert_uint_eq(atomic_load(&self->counters.batches_applied), 0);
    ck_assert(holds_number(self, 1, 1, 100));
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

typedef struct {
    engine *engine;
    unsigned number;
} waiter;

static void *write_through(void *argument)
{
    waiter *self = argument;
    for (unsigned i = 0; i < 20; i++) {
        uint64_t end = put_number(self->engine, self->number * 100 + i, 1, 200);
        OK(engine_wait(self->engine, end, MLKV_STORE));
        ck_assert_uint_ge(journal_applied(engine_journal(self->engine)), end);
    }
    return NULL;
}

START_TEST(is_shared_by_those_who_wait)
{
    enum { THREADS = 6 };
    const char *folder = harness_folder();
    engine *self = open_still(folder);
    pthread_t threads[THREADS];
    waiter waiters[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        waiters[i] = (waiter){self, i};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_through, &waiters[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    ck_assert_uint_eq(count_class(self, RECORD_KEY), THREADS * 20);
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

/* Waits for what the background does sooner or later; Check's own time limit ends a wait for
 * nothing. */
#define EVENTUALLY(condition)   \
    do {                        \
        while (!(condition))    \
            (void)usleep(1000); \
    } while (0)

/* Begun before there are threads; writes when it is told to. */
static pid_t start_another(const char *folder, int *ret_tell)
{
    int tell[2];
    char byte;
    ck_assert_int_eq(pipe(tell), 0);
    fflush(NULL);
    pid_t pid = harness_fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        CHILD_MUST(read(tell[0], &byte, 1) == 1);
        engine *own = open_still(folder);
        for (unsigned i = 0; i < 20; i++)
            put_number(own, i, 3, 500);
        CHILD_MUST(engine_release(own) == MLKV_OK);
        _exit(0);
    }
    (void)close(tell[0]);
    *ret_tell = tell[1];
    return pid;
}

START_TEST(works_in_the_background)
{
    const char *folder = harness_folder();
    mlkv_options options = small_options();
    options.sync_interval_ms = 5;
    int tell;
    pid_t another = start_another(folder, &tell);
    engine *self = open_running(folder, &options);
    journal *log = engine_journal(self);
    uint64_t end = put_number(self, 1, 1, 100);
    if (journal_sync_is_durable(log))
        EVENTUALLY(journal_synced(log) >= end);
    EVENTUALLY(journal_applied(log) >= end); /* idle, far from a quarter full */
    for (unsigned i = 0; i < 30; i++)
        end = put_number(self, i, 2, 1000); /* more than a quarter */
    engine_wake_applier(self);
    EVENTUALLY(journal_applied(log) >= end);
    ck_assert_int_eq(write(tell, "g", 1), 1);
    ck_assert_int_eq(child_status(another), 0);
    (void)close(tell);
    EVENTUALLY(engine_cursor(self) >= journal_tail(log)); /* nobody here reads */
    engine_background_stop(self);
    engine_background_stop(self);
    ck_assert(holds_number(self, 3, 3, 500));
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

static _Atomic int cleanings;

static int count_cleaning(engine *self)
{
    (void)self;
    return atomic_fetch_add(&cleanings, 1) % 2 == 0 ? MLKV_OK : MLKV_ABSENT;
}

START_TEST(lets_the_cleaner_work)
{
    const char *folder = harness_folder();
    mlkv_options options = small_options();
    engine_set_cleaner(count_cleaning);
    engine *self = open_running(folder, &options);
    EVENTUALLY(atomic_load(&cleanings) >= 3);
    OK(engine_release(self));
    engine_set_cleaner(NULL);
    harness_remove(folder);
}
END_TEST

START_TEST(tells_numbers)
{
    const char *folder = harness_folder();
    engine *self = open_still(folder);
    mlkv_stats stats = {.size = sizeof stats, .keys = 77};
    for (unsigned i = 0; i < 10; i++)
        put_number(self, i, 1, 100);
    ck_assert(holds_number(self, 1, 1, 100));
    ck_assert(lacks(self, TEXT("Knothing")) && lacks(self, TEXT("Knothing")));
    OK(engine_stats(self, &stats));
    ck_assert_uint_eq(stats.keys, 77); /* the view's business */
    ck_assert_uint_eq(stats.size, sizeof stats);
    ck_assert_uint_eq(stats.ring_bytes, TEST_RING);
    ck_assert_uint_eq(stats.frames_appended, 10);
    ck_assert_uint_eq(stats.ring_used_bytes, stats.tail - stats.applied);
    ck_assert_uint_ge(stats.ring_used_bytes, 10 * 100);
    ck_assert_uint_ge(stats.cache_hits, 2);
    ck_assert_uint_ge(stats.cache_misses, 1);
    ck_assert(stats.cache_bytes > 0 && stats.cache_bytes_max == 256 << 10);
    ck_assert_uint_eq(stats.batches_applied, 0);
    cache_reset(self->cache, engine_cursor(self));
    ck_assert(holds_number(self, 1, 1, 100)); /* from the ring now */
    apply_all(self);
    store_read *read = NULL;
    OK(store_read_begin(self->store, &read));
    OK(engine_stats(self, &stats));
    store_read_end(read);
    ck_assert_uint_eq(stats.pending_hits, 1);
    ck_assert_uint_eq(stats.ring_used_bytes, 0);
    ck_assert_uint_eq(stats.batches_applied, 1);
    ck_assert_uint_eq(stats.records_applied, 10);
    ck_assert_uint_ge(stats.readers, 1);
    ck_assert_uint_ge(stats.store_bytes, 4096);
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("apply");
    TCase *tcase = harness_case(suite, "apply");
    tcase_add_test(tcase, applies_prefixes);
    tcase_add_test(tcase, announces_for_the_dead);
    tcase_add_test(tcase, is_shared_by_those_who_wait);
    tcase_add_test(tcase, works_in_the_background);
    tcase_add_test(tcase, lets_the_cleaner_work);
    tcase_add_test(tcase, tells_numbers);
    return harness_run(suite);
}
