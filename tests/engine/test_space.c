/* test_space.c - what holds the disk space of a store down: bounded batches, waste that is reclaimed,
 * compaction by call and by the keeper, and what a death in the middle of it leaves. */
#include "fixture.h"

#include <string.h>

enum { VALUE_SIZE = 12000, VALUES = 150, BLOB_SIZE = 1 << 20 };

/* A ring that takes a round, without threads: each of the small one's would be many commits. */
static engine *open_larger(const char *folder)
{
    mlkv_options options = small_options();
    options.ring_bytes = 4 << 20;
    engine *self = open_running(folder, &options);
    engine_background_stop(self);
    return self;
}

static uint64_t disk_of(engine *self)
{
    store_space space;
    OK(store_get_space(self->store, &space));
    return space.disk_bytes;
}

static uint64_t live_of(engine *self)
{
    store_space space;
    OK(store_get_space(self->store, &space));
    return space.leaf_bytes + space.run_bytes;
}

static void put_all(engine *self, unsigned round)
{
    for (unsigned i = 0; i < VALUES; i++)
        put_number(self, i, round, VALUE_SIZE);
    apply_all(self);
}

static void expect_all(engine *self, unsigned round)
{
    for (unsigned i = 0; i < VALUES; i++)
        ck_assert_msg(holds_number(self, i, round, VALUE_SIZE), "number %u", i);
}

static void delete_half(engine *self)
{
    for (unsigned i = 0; i < VALUES; i += 2)
        delete_one(self, number_of(i, 0, 0)->key_slice);
    apply_all(self);
}

START_TEST(compacts)
{
    const char *folder = harness_folder();
    engine *self = open_larger(folder);
    uint64_t freed = 7;
    put_all(self, 1);
    delete_half(self);
    uint64_t before = disk_of(self);
    OK(engine_compact(self, &freed));
    ck_assert_uint_ge(freed, (uint64_t)VALUES / 2 * VALUE_SIZE / 2);
    ck_assert_uint_le(disk_of(self), live_of(self) + (256 << 10));
    ck_assert_uint_le(disk_of(self) + freed, before + (256 << 10));
    for (unsigned i = 1; i < VALUES; i += 2)
        ck_assert(holds_number(self, i, 1, VALUE_SIZE));
    put_all(self, 2);
    expect_all(self, 2);
    OK(engine_compact(self, &freed)); /* nothing to gain is no error */
    OK(engine_release(self));
    self = open_larger(folder);
    expect_all(self, 2);
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

static void die_compacting(const char *folder, fault_point point, uint64_t *counters)
{
    engine *self = open_larger(folder);
    uint64_t freed;
    delete_half(self);
    fault_counters_place(counters);
    fault_arm(point, FAULT_KILL, point == FAULT_COMPACT_PUNCHED ? 3 : 1, 0);
    (void)engine_compact(self, &freed);
    _exit(1);
}

START_TEST(a_death_leaves_a_whole_store)
{
    static const fault_point points[] = {FAULT_COMPACT_LOCKED, FAULT_COMPACT_PUNCHED};
    for (int attended = 0; attended < 2; attended++) {
        const char *folder = harness_folder();
        uint64_t *counters = shared_counters(), freed;
        int status;
        engine *self = open_larger(folder);
        put_all(self, 1);
        OK(engine_release(self));
        pid_t pid = harness_fork();
        if (pid == 0)
            die_compacting(folder, points[_i], counters);
        if (attended) { /* somebody lives who takes the lock over */
            self = open_larger(folder);
            ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        } else {
            ck_assert_int_eq(waitpid(pid, &status, 0), pid);
            self = open_larger(folder);
        }
        ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        ck_assert_uint_ne(counters[points[_i]], 0);
        for (unsigned i = 1; i < VALUES; i += 2)
            ck_assert(holds_number(self, i, 1, VALUE_SIZE));
        put_all(self, 2);
        expect_all(self, 2);
        OK(engine_compact(self, &freed));
        OK(engine_release(self));
        self = open_larger(folder);
        expect_all(self, 2);
        OK(engine_release(self));
        harness_remove(folder);
    }
}
END_TEST

/* The keeper gives back by itself what a snapshot had kept. */
START_TEST(the_keeper_compacts)
{
    const char *folder = harness_folder();
    mlkv_options options = small_options();
    options.ring_bytes = 1 << 20;
    engine *self = open_running(folder, &options);
    store_read *held = NULL;
    put_all(self, 1);
    OK(store_read_begin(self->store, &held));
    for (unsigned round = 2; round < 8; round++)
        put_all(self, round);
    uint64_t grown = disk_of(self);
    ck_assert_uint_ge(grown, 4 * live_of(self));
    store_read_end(held);
    put_all(self, 8);
    while (disk_of(self) >
           2 * live_of(self) + (4 << 20)) /* Check ends a test that takes too long */
        (void)usleep(1000);
    expect_all(self, 8);
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

/* Overwriting again and again takes twice the live data and the ring, and not more with each round. */
START_TEST(a_batch_is_bounded)
{
    enum { RECORDS = 20000, ROUNDS = 6, RING = 4 << 20 };
    const char *folder = harness_folder();
    mlkv_options options = small_options();
    options.ring_bytes = RING;
    options.batch_bytes = 64 << 20;
    engine *self = open_running(folder, &options);
    engine_background_stop(self); /* the keeper shall not help */
    uint64_t state = 1, most = 0;
    for (unsigned i = 0; i < RECORDS * ROUNDS; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        put_number(self, (unsigned)(state >> 33) % RECORDS, i / RECORDS, 120);
        if (i % 500 == 0 && disk_of(self) > most)
            most = disk_of(self);
    }
    apply_all(self);
    ck_assert_uint_le(most, 2 * (uint64_t)RECORDS * (120 + 7 + 4 + 10) + RING + (2 << 20));
    ck_assert_uint_ge(engine_room_pages(self) * 4096, RING / 4);
    ck_assert_uint_le(engine_room_pages(self) * 4096, RING);
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

/* Ten blobs, over and over, by a writer whose keeper sleeps. */
START_TEST(waste_is_reclaimed_by_who_makes_it)
{
    enum { BLOBS = 3, ROUNDS = 25 };
    const char *folder = harness_folder();
    mlkv_options options = small_options();
    mlkv *db = NULL;
    engine *self = open_still(folder);
    OK(mlkv_open(folder, &options, &db)); /* the same instance */
    unsigned char *bytes = malloc(BLOB_SIZE);
    ck_assert_ptr_nonnull(bytes);
    uint64_t state = 1;
    size_t most = 0;
    for (unsigned i = 0; i < BLOBS * ROUNDS; i++) {
        char key[16];
        int length = snprintf(key, sizeof key, "blob%u", i % BLOBS);
        for (size_t j = 0; j < BLOB_SIZE; j++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            bytes[j] = (unsigned char)(state >> 56);
        }
        OK(mlkv_string_set(db, slice_of(key, (size_t)length), slice_of(bytes, BLOB_SIZE),
                           MLKV_SET_ALWAYS));
        size_t pieces = count_class(self, RECORD_BLOB);
        most = pieces > most ? pieces : most;
    }
    ck_assert_uint_lt(most, BLOBS * ROUNDS / 2);
    ck_assert_uint_ge(most, BLOBS);
    MUST(MLKV_ABSENT, engine_reclaim(self, 1000));
    free(bytes);
    OK(mlkv_close(db));
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("space");
    TCase *tcase = harness_case(suite, "space");
    tcase_add_test(tcase, compacts);
    tcase_add_loop_test(tcase, a_death_leaves_a_whole_store, 0, 2);
    tcase_add_test(tcase, the_keeper_compacts);
    tcase_add_test(tcase, a_batch_is_bounded);
    tcase_add_test(tcase, waste_is_reclaimed_by_who_makes_it);
    return harness_run(suite);
}
