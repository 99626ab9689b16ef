/* test_read.c - one record from cache, ring and LMDB; snapshots that fit a cursor; catching up,
 * being overtaken (catchup.c); read-only processes beside writers that come and go. */
#include "fixture.h"

START_TEST(looks_everywhere)
{
    const char *folder = harness_folder();
    engine *self = open_still(folder);
    cache_info before, after;
    put_number(self, 1, 1, 100);
    put_number(self, 2, 1, 100);
    delete_one(self, number_of(2, 0, 0)->key_slice);
    for (int i = 0; i < 3; i++) { /* cached; from the ring; from LMDB */
        ck_assert(holds_number(self, 1, 1, 100));
        ck_assert(lacks(self, number_of(2, 0, 0)->key_slice));
        ck_assert(lacks(self, TEXT("Knever")));
        if (i == 1) {
            apply_all(self);
            put_number(self, 3, 1, 100); /* whoever takes in a frame lets go of what is applied */
        }
        cache_reset(self->cache, engine_cursor(self));
    }
    ck_assert_uint_eq(atomic_load(&self->counters.pending_hits), 2);
    ck_assert(holds_number(self, 1, 1, 100) && lacks(self, TEXT("Knever")));
    cache_get_info(self->cache, &before);
    ck_assert(holds_number(self, 1, 1, 100) &&
              lacks(self, TEXT("Knever"))); /* filled by the reads before, absence too */
    cache_get_info(self->cache, &after);
    ck_assert_uint_eq(after.hits, before.hits + 2);
    ck_assert_uint_eq(after.misses, before.misses);
    engine_prefetch(self, TEXT("Kwhatever"));
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

/* Fails under R02-snapshot-too-new of tests/broken. */
START_TEST(knows_a_state_that_fits)
{
    const char *folder = harness_folder();
    engine *self = open_still(folder);
    store_read *read = NULL;
    uint64_t cursor, older = engine_cursor(self);
    put_number(self, 1, 1, 100);
    OK(engine_read_begin(self, &cursor));
    ck_assert_uint_eq(cursor, journal_tail(engine_journal(self)));
    ck_assert(engine_stood_still(self, cursor) && !engine_stood_still(self, older));
    OK(engine_snapshot_at(self, cursor, &read));
    store_read_end(read);
    apply_all(self);
    OK(engine_snapshot_at(self, cursor, &read));
    store_read_end(read);
    MUST(ENGINE_AGAIN, engine_snapshot_at(self, older, &read)); /* LMDB is newer than that */
    put_number(self, 2, 1, 100);
    ck_assert(!engine_stood_still(self, cursor));
    OK(engine_snapshot_at(self, cursor, &read));
    store_read_end(read);
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

/* LMDB is ahead of the tail: its writer died before the marker. */
START_TEST(settles)
{
    const char *folder = harness_folder();
    engine *self = open_still(folder);
    engine *_Atomic handle = self;
    int status;
    put_number(self, 7, 0, 100);
    apply_all(self);
    IN_CHILD(status, {
        engine *own;
        batch records = {0};
        uint64_t end;
        CHILD_MUST(engine_replace(&handle, &own) == MLKV_OK);
        for (unsigned i = 0; i < 60; i++) {
            const numbered *made = number_of(i, 1, 1000);
            add_put(&records, made->key_slice, made->value_slice);
        }
        fault_arm(FAULT_DIRECT_COMMITTED, FAULT_KILL, 1, 0);
        (void)commit(own, &records, &end);
    });
    ck_assert_int_eq(status, -SIGKILL);
    const numbered *made = number_of(30, 1, 1000);
    mlkv_buffer value = {0};
    uint64_t cursor, hash = hash_key(made->key_slice.data, made->key_slice.size);
    OK(engine_read_begin(self, &cursor));
    int result = engine_get(self, cursor, hash, made->key_slice, &value);
    ck_assert_msg(result == ENGINE_AGAIN || result == MLKV_ABSENT, "%d",
                  result); /* LMDB may show the commit before */
    OK(engine_settle(self));
    ck_assert_uint_gt(journal_tail(engine_journal(self)), cursor);
    ck_assert(holds_number(self, 30, 1, 1000) && holds_number(self, 7, 1, 1000));
    OK(engine_settle(self)); /* nothing to mend */
    mlkv_buffer_free(&value);
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

/* --- another process writes --- */

typedef struct {
    pid_t pid;
    int to, from;
} partner;

/* Starts a child that has the folder open for itself; it obeys orders of one byte each and answers
 * with one. */
static partner start(void (*serve)(const char *folder, int in, int out), const char *folder)
{
    int to[2], from[2];
    ck_assert_int_eq(pipe(to), 0);
    ck_assert_int_eq(pipe(from), 0);
    fflush(NULL);
    pid_t pid = harness_fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        (void)close(to[1]);
        (void)close(from[0]);
        serve(folder, to[0], from[1]);
        _exit(0);
    }
    (void)close(to[0]);
    (void)close(from[1]);
    return (partner){pid, to[1], from[0]};
}

static char order(const partner *self, char what)
{
    char answer = 0;
    ck_assert_int_eq(write(self->to, &what, 1), 1);
    ck_assert_int_eq(read(self->from, &answer, 1), 1);
    return answer;
}

static void finish(const partner *self)
{
    (void)close(self->to);
    ck_assert_int_eq(child_status(self->pid), 0);
    (void)close(self->from);
}

/* Orders: 'f' some frames, 'r' rings full of them, 'm' a direct batch, 'd' deletes, 'a' applies. */
static void write_to_order(const char *folder, int in, int out)
{
    engine *self = open_still(folder);
    char what;
    unsigned round = 0;
    while (read(in, &what, 1) == 1) {
        round++;
        batch records = {0};
        uint64_t end;
        unsigned count = what == 'f' ? 20 : what == 'r' ? 500 : 60;
        for (unsigned i = 0; i < count && what != 'a'; i++) {
            const numbered *made = number_of(i % 60, round, 1000);
            if (what == 'm')
                add_put(&records, made->key_slice, made->value_slice);
            else if (what == 'd')
                delete_one(self, made->key_slice);
            else
                put(self, made->key_slice, made->value_slice);
        }
        if (what == 'm')
            CHILD_MUST(commit(self, &records, &end) == MLKV_OK);
        if (what == 'a')
            apply_all(self);
        batch_done(&records);
        char answer = 'k';
        CHILD_MUST(write(out, &answer, 1) == 1);
    }
    CHILD_MUST(engine_release(self) == MLKV_OK);
}

/* The same as a table: round in which number i was put last, 0: it is not there. */
static void expect_after(unsigned *rounds, unsigned round, char what)
{
    unsigned count = what == 'f' ? 20 : what == 'a' ? 0 : 60;
    for (unsigned i = 0; i < count; i++)
        rounds[i] = what == 'd' ? 0 : round;
}

static void follow(const char *folder, engine *self, const char *script)
{
    unsigned rounds[60] = {0}, round = 0;
    partner writer = start(write_to_order, folder);
    for (; *script != '\0'; script++) {
        order(&writer, *script);
        expect_after(rounds, ++round, *script);
        for (unsigned i = round % 3; i < 60; i += 3) {
            if (rounds[i] == 0)
                ck_assert_msg(lacks(self, number_of(i, 0, 0)->key_slice), "%s: number %u", script,
                              i);
            else
                ck_assert_msg(holds_number(self, i, rounds[i], 1000), "%s: number %u of round %u",
                              script, i, rounds[i]);
        }
    }
    finish(&writer);
}

/* Fails under R05-marker-ignored of tests/broken. */
START_TEST(catches_up)
{
    const char *folder = harness_folder();
    engine *self = open_still(folder);
    follow(folder, self, "ffdfadffmfdmmaf");
    ck_assert_uint_gt(atomic_load(&self->counters.frames_caught_up), 100);
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

START_TEST(is_overtaken)
{
    const char *folder = harness_folder();
    engine *self = open_still(folder);
    follow(folder, self, "frrdrfamrrdf");
    ck_assert_uint_gt(atomic_load(&self->counters.overtaken), 2);
    put_number(self, 1, 99, 10);
    ck_assert(holds_number(self, 1, 99, 10));
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

/* A batch and its parts: nothing of it is seen before all is taken in. */
START_TEST(takes_up_to_a_target)
{
    const char *folder = harness_folder();
    engine *self = open_still(folder);
    partner writer = start(write_to_order, folder);
    order(&writer, 'f');
    uint64_t tail = journal_tail(engine_journal(self));
    ck_assert_uint_lt(engine_cursor(self), tail);
    OK(engine_catch_up(self, tail));
    ck_assert_uint_eq(engine_cursor(self), tail);
    OK(engine_catch_up(self, tail));
    order(&writer, 'f');
    OK(engine_write_begin(self));
    ck_assert_uint_eq(engine_cursor(self), journal_tail(engine_journal(self)));
    OK(engine_catch_up_locked(self));
    engine_write_end(self);
    finish(&writer);
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

/* Reads in a process that cannot write, while writers come, write, and go: 'r' reads number 1 and
 * answers its round's digit. */
static void read_to_order(const char *folder, int in, int out)
{
    mlkv_options options = {
        .size = sizeof options, .flags = MLKV_READ_ONLY, .cache_bytes = 64 << 10};
    engine *self = NULL;
    char what;
    while (read(in, &what, 1) == 1) {
        char answer = 'k';
        if (what == 'o')
            CHILD_MUST(try_open(folder, &options, &self) == MLKV_OK);
        if (what == 'r') {
            mlkv_buffer value = {0};
            int result = get(self, TEXT("Kdigit"), &value);
            CHILD_MUST(result >= 0);
            answer = result == MLKV_ABSENT || value.size == 0 ? '-' : *(char *)value.data;
            mlkv_buffer_free(&value);
        }
        CHILD_MUST(write(out, &answer, 1) == 1);
    }
    CHILD_MUST(engine_release(self) == MLKV_OK);
}

static void put_digit(engine *self, char digit, size_t frames)
{
    char value[600];
    memset(value, digit, sizeof value);
    for (size_t i = 0; i < frames; i++)
        put(self, TEXT("Kdigit"), slice_of(value, sizeof value));
}

START_TEST(reads_beside_writers)
{
    const char *folder = harness_folder();
    partner reader = start(read_to_order, folder);
    engine *self = open_still(folder);
    put_digit(self, '0', 1);
    OK(engine_release(self));
    order(&reader, 'o');
    ck_assert_int_eq(order(&reader, 'r'), '0');
    for (char digit = '1'; digit <= '8'; digit++) {
        self = open_still(folder); /* a new journal each time */
        ck_assert_int_eq(order(&reader, 'r'), digit - 1);
        put_digit(self, digit, digit % 2 == 0 ? 1 : 300); /* rings full */
        ck_assert_int_eq(order(&reader, 'r'), digit);
        if (digit % 3 == 0) {
            delete_one(self, TEXT("Kdigit"));
            ck_assert_int_eq(order(&reader, 'r'), '-');
            put_digit(self, digit, 2);
            ck_assert_int_eq(order(&reader, 'r'), digit);
        }
        OK(engine_release(self));
        ck_assert_int_eq(order(&reader, 'r'), digit);
    }
    finish(&reader);
    harness_remove(folder);
}
END_TEST

/* The writer dies; the reader sees what was acknowledged; the next writer recovers under it. */
START_TEST(reads_beside_the_dead)
{
    const char *folder = harness_folder();
    partner reader = start(read_to_order, folder);
    OK(engine_release(open_still(folder)));
    order(&reader, 'o');
    for (char digit = '1'; digit <= '6'; digit++) {
        int status;
        IN_CHILD(status, {
            engine *own = open_still(folder);
            put_digit(own, digit, digit % 2 == 0 ? 3 : 200);
            die();
        });
        ck_assert_int_eq(status, -SIGKILL);
        ck_assert_int_eq(order(&reader, 'r'), digit);
        engine *self = open_still(folder);
        ck_assert_int_eq(order(&reader, 'r'), digit);
        OK(engine_release(self));
    }
    finish(&reader);
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("read");
    TCase *tcase = harness_case(suite, "read");
    tcase_add_test(tcase, looks_everywhere);
    tcase_add_test(tcase, knows_a_state_that_fits);
    tcase_add_test(tcase, settles);
    tcase_add_test(tcase, catches_up);
    tcase_add_test(tcase, is_overtaken);
    tcase_add_test(tcase, takes_up_to_a_target);
    tcase_add_test(tcase, reads_beside_writers);
    tcase_add_test(tcase, reads_beside_the_dead);
    return harness_run(suite);
}
