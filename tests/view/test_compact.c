/* test_compact.c - mlkv_compact: while threads of two processes write and read, snapshots live and
 * backups are made; and where it is refused. */
#include "fixture.h"

#include <mlkv/mlkv.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/wait.h>

enum { KEYS = 60, ROUNDS = 6, VALUE_MAX = 20000 };

static int tell(void *context, const char *problem)
{
    (void)context;
    fprintf(stderr, "problem: %s\n", problem);
    return 0;
}

static void verify_clean(mlkv *view)
{
    mlkv_report report = {.size = sizeof report};
    OK(mlkv_verify(view, tell, NULL, &report));
}

/* Key i has a value that is `round` bytes longer than it was at first. */
static size_t value_size(unsigned i, unsigned round)
{
    return (size_t)(i * 9973 % VALUE_MAX) + 100 + round;
}

/* Bytes that do not compress. */
static void fill(unsigned char *to, size_t size, unsigned i, unsigned round)
{
    uint64_t state = i * 1000003u + round;
    for (size_t j = 0; j < size; j++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        to[j] = (unsigned char)(state >> 56);
    }
}

static int set(mlkv *view, unsigned i, unsigned round)
{
    static _Thread_local unsigned char bytes[VALUE_MAX + 1000];
    char key[16];
    int length = snprintf(key, sizeof key, "key%u", i);
    fill(bytes, value_size(i, round), i, round);
    return mlkv_string_set(view, slice_of(key, (size_t)length),
                           slice_of(bytes, value_size(i, round)), MLKV_SET_ALWAYS);
}

/* The round that key i stands at, if its value is whole; -1 if it is not. */
static int round_of(mlkv *view, unsigned i, mlkv_buffer *value)
{
    char key[16];
    int length = snprintf(key, sizeof key, "key%u", i);
    if (mlkv_string_get(view, slice_of(key, (size_t)length), value) != MLKV_OK ||
        value->size < value_size(i, 0))
        return -1;
    unsigned round = (unsigned)(value->size - value_size(i, 0));
    static _Thread_local unsigned char bytes[VALUE_MAX + 1000];
    if (round > ROUNDS)
        return -1;
    fill(bytes, value->size, i, round);
    return memcmp(bytes, value->data, value->size) == 0 ? (int)round : -1;
}

static void write_rounds(const char *folder)
{
    mlkv *db = open_with(folder, 0);
    int result = MLKV_OK;
    for (unsigned round = 1; round <= ROUNDS && result == MLKV_OK; round++)
        for (unsigned i = 0; i < KEYS && result == MLKV_OK; i++)
            result = set(db, i, round);
    if (result == MLKV_OK)
        result = mlkv_close(db);
    _exit(result == MLKV_OK ? 0 : 1);
}

typedef struct {
    mlkv *db;
    _Atomic bool stop;
    _Atomic unsigned wrong, read;
} reading;

static void *read_all_the_time(void *argument)
{
    reading *self = argument;
    mlkv_buffer value = {0};
    for (unsigned i = 0; !atomic_load(&self->stop); i = (i + 1) % KEYS) {
        if (round_of(self->db, i, &value) < 0)
            atomic_fetch_add(&self->wrong, 1);
        atomic_fetch_add(&self->read, 1);
    }
    mlkv_buffer_free(&value);
    return NULL;
}

/* A snapshot shows the same, whatever is punched meanwhile. */
static void compact_beside_a_snapshot(mlkv *db)
{
    mlkv *snapshot = NULL;
    mlkv_buffer value = {0};
    static int rounds[KEYS];
    OK(mlkv_snapshot(db, &snapshot));
    for (unsigned i = 0; i < KEYS; i++)
        rounds[i] = round_of(snapshot, i, &value);
    for (int i = 0; i < 3; i++)
        OK(mlkv_compact(db, NULL));
    for (unsigned i = 0; i < KEYS; i++) {
        ck_assert_int_ge(rounds[i], 0);
        ck_assert_int_eq(round_of(snapshot, i, &value), rounds[i]);
    }
    OK(mlkv_close(snapshot));
    mlkv_buffer_free(&value);
}

static void check_copy(const char *folder)
{
    mlkv *copy = open_with(folder, 0);
    mlkv_buffer value = {0};
    verify_clean(copy);
    for (unsigned i = 0; i < KEYS; i++)
        ck_assert_int_ge(round_of(copy, i, &value), 0);
    mlkv_buffer_free(&value);
    OK(mlkv_close(copy));
}

START_TEST(while_others_write_and_read)
{
    const char *folder = harness_folder();
    char copy[600];
    int status = 0;
    pthread_t thread;
    mlkv *db = open_with(folder, 0);
    for (unsigned i = 0; i < KEYS; i++)
        OK(set(db, i, 0));
    OK(mlkv_close(db));
    pid_t pid = harness_fork();
    if (pid == 0)
        write_rounds(folder);
    db = open_with(folder, 0);
    reading reader = {.db = db};
    ck_assert_int_eq(pthread_create(&thread, NULL, read_all_the_time, &reader), 0);
    bool ended = false;
    for (int turn = 0; !ended || turn < 2; turn++) {
        uint64_t freed = 0;
        snprintf(copy, sizeof copy, "%s/copy%d", folder, turn);
        compact_beside_a_snapshot(db);
        OK(mlkv_backup(db, copy));
        check_copy(copy);
        harness_remove(copy);
        OK(mlkv_compact(db, &freed));
        if (!ended)
            ended = waitpid(pid, &status, WNOHANG) == pid;
    }
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the writer ended with status %x",
                  (unsigned)status);
    atomic_store(&reader.stop, true);
    (void)pthread_join(thread, NULL);
    ck_assert_uint_eq(atomic_load(&reader.wrong), 0);
    ck_assert_uint_ne(atomic_load(&reader.read), 0);
    mlkv_buffer value = {0};
    for (unsigned i = 0; i < KEYS; i++)
        ck_assert_int_eq(round_of(db, i, &value), ROUNDS);
    mlkv_buffer_free(&value);
    verify_clean(db);
    OK(mlkv_close(db));
    check_copy(folder);
    harness_remove(folder);
}
END_TEST

START_TEST(says_what_it_gave_back)
{
    const char *folder = harness_folder();
    mlkv *db = open_still(folder);
    mlkv_stats before = {.size = sizeof before}, after = {.size = sizeof after};
    uint64_t freed = 0;
    size_t deleted;
    for (unsigned i = 0; i < KEYS; i++)
        OK(set(db, i, 0));
    apply_all(db);
    for (unsigned i = 0; i < KEYS; i++) {
        char key[16];
        mlkv_slice name = slice_of(key, (size_t)snprintf(key, sizeof key, "key%u", i));
        OK(mlkv_key_delete(db, &name, 1, &deleted));
    }
    apply_all(db);
    OK(mlkv_stats_get(db, &before));
    OK(mlkv_compact(db, &freed));
    OK(mlkv_stats_get(db, &after));
    ck_assert_uint_ge(freed, KEYS * VALUE_MAX / 4);
    ck_assert_uint_ge(after.store_free_bytes, KEYS * VALUE_MAX / 4);
    ck_assert_uint_le(after.store_disk_bytes + freed, before.store_disk_bytes + (64 << 10));
    ck_assert_uint_le(after.store_bytes,
                      before.store_bytes + (64 << 10)); /* not shorter, and hardly longer */
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

START_TEST(is_refused)
{
    const char *folder = harness_folder();
    mlkv *db = open_still(folder), *other = NULL;
    uint64_t freed = 7;
    OK(set(db, 1, 0));
    MUST(MLKV_E_ARGUMENT, mlkv_compact(NULL, &freed));
    OK(mlkv_snapshot(db, &other));
    MUST(MLKV_E_ARGUMENT, mlkv_compact(other, &freed));
    OK(mlkv_close(other));
    OK(mlkv_begin(db, &other));
    MUST(MLKV_E_ARGUMENT, mlkv_compact(other, &freed));
    OK(mlkv_abort(other));
    other = open_with(folder, MLKV_READ_ONLY);
    MUST(MLKV_E_READONLY, mlkv_compact(other, &freed));
    OK(mlkv_close(other));
    ck_assert_uint_eq(freed, 7);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* A program that was built when mlkv_stats was shorter. */
START_TEST(stats_have_two_sizes)
{
    const char *folder = harness_folder();
    mlkv *db = open_still(folder);
    struct {
        mlkv_stats stats;
        uint64_t behind;
    } both;
    memset(&both, 0x55, sizeof both);
    both.stats.size = offsetof(mlkv_stats, store_disk_bytes);
    OK(mlkv_stats_get(db, &both.stats));
    ck_assert_uint_eq(both.stats.keys, 0);
    ck_assert_uint_eq(both.stats.size, offsetof(mlkv_stats, store_disk_bytes));
    ck_assert_uint_eq(both.stats.store_disk_bytes, 0x5555555555555555u);
    both.stats.size = sizeof both.stats;
    OK(mlkv_stats_get(db, &both.stats));
    ck_assert_uint_ne(both.stats.store_disk_bytes, 0);
    ck_assert_uint_lt(both.stats.store_disk_bytes, 1 << 20);
    ck_assert_uint_eq(both.behind, 0x5555555555555555u);
    both.stats.size = sizeof both.stats - 4;
    MUST(MLKV_E_ARGUMENT, mlkv_stats_get(db, &both.stats));
    both.stats.size = sizeof both.stats + 8;
    MUST(MLKV_E_ARGUMENT, mlkv_stats_get(db, &both.stats));
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("compact");
    TCase *tcase = harness_case(suite, "compact");
    tcase_add_test(tcase, while_others_write_and_read);
    tcase_add_test(tcase, says_what_it_gave_back);
    tcase_add_test(tcase, is_refused);
    tcase_add_test(tcase, stats_have_two_sizes);
    return harness_run(suite);
}
