/* test_registry.c - one engine per folder and process, counted; what a fork leaves behind and how
 * the child gets its own.
 *
 * Processes fork here without threads of their own: AddressSanitizer's allocator does not survive a
 * fork beside a thread that allocates. tests/system forks with threads.
 */
#include "fixture.h"

/* Fails under R09-two-instances of tests/broken. */
START_TEST(shares_one_engine)
{
    const char *folder = harness_folder();
    char plain[600], dotted[640], linked[640], other[600];
    snprintf(plain, sizeof plain, "%s/store", folder);
    snprintf(dotted, sizeof dotted, "%s/../%s/./store", folder, strrchr(folder, '/') + 1);
    snprintf(linked, sizeof linked, "%s/link", folder);
    snprintf(other, sizeof other, "%s/other", folder);
    mlkv_options options = small_options();
    engine *first = open_running(plain, &options);
    ck_assert_int_eq(symlink(plain, linked), 0);
    engine *second = open_running(dotted, &options), *third = open_running(linked, &options),
           *apart = open_running(other, &options);
    ck_assert_ptr_eq(first, second);
    ck_assert_ptr_eq(first, third);
    ck_assert_ptr_ne(first, apart);
    put_number(first, 1, 0, 10);
    ck_assert(holds_number(second, 1, 0, 10) && lacks(apart, TEXT("K000001")));
    OK(engine_release(first));
    OK(engine_release(second));
    engine_retain(third);
    OK(engine_release(third));
    ck_assert(holds_number(third, 1, 0, 10)); /* still open */
    OK(engine_release(third));
    third = open_running(plain, &options);
    ck_assert(holds_number(third, 1, 0, 10));
    OK(engine_release(third));
    OK(engine_release(apart));
    harness_remove(folder);
}
END_TEST

START_TEST(refuses)
{
    const char *folder = harness_folder();
    char file[600];
    mlkv_options options = small_options(),
                 read_only = {.size = sizeof read_only, .flags = MLKV_READ_ONLY};
    snprintf(file, sizeof file, "%s/file", folder);
    int made = open(file, O_CREAT | O_WRONLY, 0600);
    ck_assert_int_ge(made, 0);
    (void)close(made);
    engine *self = NULL;
    MUST(MLKV_E_IO, try_open(file, &options, &self));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), file));
    self = open_still(folder);
    OK(engine_release(self));
    self = open_running(folder, &read_only);
    engine *writer = NULL;
    MUST(MLKV_E_READONLY, try_open(folder, &options, &writer));
    ck_assert_ptr_null(writer);
    MUST(MLKV_E_READONLY, engine_write_begin(self));
    MUST(MLKV_E_READONLY, engine_check_writable(self));
    OK(engine_release(self));
    writer = open_running(folder, &options);
    self = open_running(folder, &read_only); /* the handle's flag; the engine is shared */
    ck_assert_ptr_eq(self, writer);
    OK(engine_release(self));
    OK(engine_release(writer));
    harness_remove(folder);
}
END_TEST

typedef struct {
    engine *_Atomic *handle;
    engine *got;
    int result;
} replacing;

static void *replace(void *argument)
{
    replacing *self = argument;
    self->result = engine_replace(self->handle, &self->got);
    return NULL;
}

/* In the child: many threads meet the abandoned engine at once. */
static void child_uses(engine *_Atomic *handle)
{
    enum { THREADS = 8 };
    pthread_t threads[THREADS];
    replacing each[THREADS];
    engine *old = atomic_load(handle);
    CHILD_MUST(atomic_load(&old->abandoned));
    for (int i = 0; i < THREADS; i++) {
        each[i] = (replacing){.handle = handle};
        CHILD_MUST(pthread_create(&threads[i], NULL, replace, &each[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        (void)pthread_join(threads[i], NULL);
        CHILD_MUST(each[i].result == MLKV_OK && each[i].got == atomic_load(handle));
    }
    engine *fresh = atomic_load(handle);
    CHILD_MUST(!atomic_load(&fresh->abandoned) && fresh->references == 1);
    CHILD_MUST(holds_number(fresh, 1, 0, 100));
    put_number(fresh, 2, 0, 100);
    CHILD_MUST(holds_number(fresh, 2, 0, 100));
    CHILD_MUST(engine_release(fresh) == MLKV_OK);
}

/* Fails under R09-child-goes-on of tests/broken. */
START_TEST(crosses_a_fork)
{
    const char *folder = harness_folder();
    engine *_Atomic handle = open_still(folder);
    engine *self = atomic_load(&handle);
    int status;
    put_number(self, 1, 0, 100);
    for (int i = 0; i < 3; i++) {
        IN_CHILD(status, child_uses(&handle));
        ck_assert_int_eq(status, 0);
        ck_assert(holds_number(self, 1, 0, 100) && holds_number(self, 2, 0, 100));
    }
    IN_CHILD(status, CHILD_MUST(engine_release(self) == MLKV_OK)); /* never used there */
    ck_assert_int_eq(status, 0);
    put_number(self, 3, 0, 100);
    ck_assert(holds_number(self, 3, 0, 100));
    OK(engine_release(self));
    self = open_still(folder); /* was closed clean by the parent, who was the last */
    store_read *read = NULL;
    OK(store_read_begin(self->store, &read));
    store_read_end(read);
    ck_assert(holds_number(self, 2, 0, 100) && holds_number(self, 3, 0, 100));
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

static void grandchild(engine *_Atomic *handle)
{
    int status;
    engine *own;
    CHILD_MUST(engine_replace(handle, &own) == MLKV_OK);
    engine_background_stop(own);
    IN_CHILD(status, child_uses(handle));
    CHILD_MUST(status == 0);
    CHILD_MUST(holds_number(own, 2, 0, 100));
    CHILD_MUST(engine_release(own) == MLKV_OK);
}

START_TEST(crosses_two_forks)
{
    const char *folder = harness_folder();
    engine *_Atomic handle = open_still(folder);
    int status;
    put_number(atomic_load(&handle), 1, 0, 100);
    IN_CHILD(status, grandchild(&handle));
    ck_assert_int_eq(status, 0);
    ck_assert(holds_number(atomic_load(&handle), 2, 0, 100));
    OK(engine_release(atomic_load(&handle)));
    harness_remove(folder);
}
END_TEST

static void child_of_memory(engine *_Atomic *handle)
{
    engine *own;
    CHILD_MUST(engine_replace(handle, &own) == MLKV_OK);
    put_number(own, 5, 0, 10);
    CHILD_MUST(engine_release(own) == MLKV_OK); /* must not take the folder away */
}

START_TEST(keeps_memory_for_its_maker)
{
    char folder[300];
    engine_options options;
    engine *self = NULL;
    int status;
    OK(engine_memory_folder(folder, sizeof folder));
    OK(engine_check_options(NULL, true, &options));
    options.ring_bytes = TEST_RING;
    OK(engine_acquire(folder, &options, &self));
    engine_background_stop(self);
    engine *_Atomic handle = self;
    IN_CHILD(status, child_of_memory(&handle));
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(access(folder, F_OK), 0);
    ck_assert(holds_number(self, 5, 0, 10));
    OK(engine_release(self));
    ck_assert_int_ne(access(folder, F_OK), 0);
}
END_TEST

/* --- rules: R9 --- */

typedef struct {
    pid_t grandchild;
    uint64_t generation;
} family;

/* Opens the store, forks a child that only waits, and dies. */
static void open_fork_and_die(const char *folder, int out, int wait)
{
    engine *self = open_still(folder);
    put_number(self, 1, 0, 100);
    family mine = {.generation = journal_generation(engine_journal(self))};
    int begun[2];
    char byte = 'b';
    CHILD_MUST(pipe(begun) == 0);
    mine.grandchild = harness_fork();
    CHILD_MUST(mine.grandchild >= 0);
    if (mine.grandchild == 0) {
        CHILD_MUST(write(begun[1], &byte, 1) == 1);
        CHILD_MUST(read(wait, &byte, 1) == 0);
        _exit(0);
    }
    CHILD_MUST(read(begun[0], &byte, 1) == 1); /* it has left the C library's fork */
    CHILD_MUST(write(out, &mine, sizeof mine) == sizeof mine);
    die();
}

/* The opener after that is alone, although the grandchild lives: it recovers. Fails under
 * R09-child-keeps-liveness of tests/broken. */
START_TEST(a_child_does_not_keep_its_parent_alive)
{
    const char *folder = harness_folder();
    int tell[2], wait[2], status;
    family heard;
    ck_assert_int_eq(pipe(tell) | pipe(wait), 0);
    IN_CHILD(status, {
        (void)close(wait[1]);
        open_fork_and_die(folder, tell[1], wait[0]);
    });
    ck_assert_int_eq(status, -SIGKILL);
    ck_assert_int_eq(read(tell[0], &heard, sizeof heard), sizeof heard);
    engine *self = open_still(folder);
    ck_assert_int_eq(kill(heard.grandchild, 0), 0);
    ck_assert_uint_ne(journal_generation(engine_journal(self)), heard.generation);
    ck_assert(holds_number(self, 1, 0, 100));
    (void)close(wait[1]);
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

/* A child that ends without a call leaves the parent's slots in LMDB's table of readers alone.
 * Fails under R09-child-frees-the-parents of tests/broken. */
START_TEST(a_child_leaves_its_parents_readers)
{
    const char *folder = harness_folder();
    engine *self = open_still(folder);
    store_read *held = NULL, *pooled = NULL;
    store_info before, after;
    mlkv_slice value;
    int status;
    put_number(self, 1, 0, 100);
    apply_all(self);
    OK(store_read_begin(self->store, &held));
    OK(store_read_begin(self->store, &pooled));
    store_read_end(pooled);
    OK(store_get_info(self->store, &before));
    IN_CHILD(status, (void)0);
    ck_assert_int_eq(status, 0);
    OK(store_get_info(self->store, &after));
    ck_assert_uint_eq(after.readers, before.readers);
    put_number(self, 1, 1, 100);
    apply_all(self);
    OK(store_get_info(self->store, &after));
    ck_assert_uint_ge(after.oldest_snapshot_age, 1);
    const numbered *made = number_of(1, 0, 100);
    OK(store_read_get(held, made->key_slice, &value));
    ck_assert(slice_equal(value, made->value_slice));
    store_read_end(held);
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("registry");
    TCase *tcase = harness_case(suite, "registry");
    tcase_add_test(tcase, shares_one_engine);
    tcase_add_test(tcase, refuses);
    tcase_add_test(tcase, crosses_a_fork);
    tcase_add_test(tcase, crosses_two_forks);
    tcase_add_test(tcase, keeps_memory_for_its_maker);
    TCase *rules = harness_case(suite, "rules");
    tcase_add_test(rules, a_child_does_not_keep_its_parent_alive);
    tcase_add_test(rules, a_child_leaves_its_parents_readers);
    return harness_run(suite);
}
