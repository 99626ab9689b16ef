/* test_snapshot.c - snapshots: everything acknowledged, nothing later; many threads on one; in
 * processes that only read; on a full disk. */
#include "fixture.h"

enum { NAMES = 50, THREADS = 4 };

static mlkv_slice name_of(unsigned i)
{
    static _Thread_local char names[2][16];
    static _Thread_local unsigned slot;
    char *to = names[slot++ % 2];
    return slice_of(to, (size_t)snprintf(to, 16, "K%04u", i));
}

/* Value of name i in a round. Rounds that are multiples of 5 have no odd names. */
static bool exists(unsigned i, unsigned round)
{
    return round % 5 != 0 || i % 2 == 0;
}

static mlkv_slice value_of(unsigned i, unsigned round)
{
    static _Thread_local unsigned char value[900];
    memset(value, (int)((i + round * 3) & 0xff), sizeof value);
    return slice_of(value, 20 + (i * 7 + round) % 800);
}

static void write_round(mlkv *db, unsigned round)
{
    for (unsigned i = 0; i < NAMES; i++)
        OK(exists(i, round) ? put(db, name_of(i), value_of(i, round)) : drop(db, name_of(i)));
}

static void expect_round(mlkv *view, unsigned round)
{
    scan *opened = NULL;
    mlkv_slice key, value;
    unsigned seen = 0, want = 0;
    for (unsigned i = 0; i < NAMES; i++) {
        want += exists(i, round);
        CHILD_MUST(exists(i, round) ? holds(view, name_of(i), value_of(i, round))
                                    : lacks(view, name_of(i)));
    }
    CHILD_MUST(lacks(view, TEXT("Knever")));
    CHILD_MUST(scan_open(view, TEXT("K"), slice_of(NULL, 0), &opened) == MLKV_OK);
    while (scan_next(opened, &key, &value) == MLKV_OK) {
        char digits[5] = {0};
        CHILD_MUST(key.size == 5);
        memcpy(digits, (const char *)key.data + 1, 4);
        unsigned i = (unsigned)strtoul(digits, NULL, 10);
        CHILD_MUST(exists(i, round) && slice_equal(value, value_of(i, round)));
        seen++;
    }
    CHILD_MUST(seen == want);
    scan_close(opened);
}

START_TEST(stands_still)
{
    enum { ROUNDS = 12 };
    const char *folder = harness_folder();
    mlkv *db = open_with(folder, 0), *snapshots[ROUNDS];
    for (unsigned round = 0; round < ROUNDS; round++) {
        write_round(db, round);
        OK(mlkv_snapshot(db, &snapshots[round]));
    }
    for (unsigned round = 0; round < ROUNDS; round++)
        expect_round(snapshots[round], round);
    mlkv_stats stats = {.size = sizeof stats};
    OK(mlkv_stats_get(db, &stats));
    ck_assert_uint_ge(stats.readers, ROUNDS);
    ck_assert_uint_ge(stats.oldest_snapshot_age, ROUNDS / 2);
    OK(mlkv_close(db)); /* they keep the instance */
    for (unsigned round = 0; round < ROUNDS; round++) {
        expect_round(snapshots[round], round);
        OK(mlkv_close(snapshots[round]));
    }
    harness_remove(folder);
}
END_TEST

typedef struct {
    mlkv *view;
    unsigned round;
} reading;

static void *read_all(void *argument)
{
    reading *self = argument;
    for (int i = 0; i < 20; i++)
        expect_round(self->view, self->round);
    return NULL;
}

START_TEST(is_read_by_many_threads)
{
    const char *folder = harness_folder();
    mlkv *db = open_with(folder, 0), *snapshot = NULL;
    pthread_t threads[THREADS];
    write_round(db, 5);
    OK(mlkv_snapshot(db, &snapshot));
    reading self = {snapshot, 5};
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, read_all, &self), 0);
    for (unsigned round = 6; round < 20; round++)
        write_round(db, round);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    OK(mlkv_close(snapshot));
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* Walks a snapshot whose handle is closed half-way. */
static void close_and_walk(mlkv *snapshot, unsigned round)
{
    scan *opened = NULL;
    mlkv_slice key, value;
    unsigned i = 0, seen = 0, want = 0;
    for (unsigned n = 0; n < NAMES; n++)
        want += exists(n, round);
    CHILD_MUST(scan_open(snapshot, TEXT("K"), slice_of(NULL, 0), &opened) == MLKV_OK);
    while (scan_next(opened, &key, &value) == MLKV_OK) {
        while (!exists(i, round))
            i++;
        CHILD_MUST(slice_equal(key, name_of(i)) && slice_equal(value, value_of(i, round)));
        i++;
        if (++seen == NAMES / 4)
            CHILD_MUST(mlkv_close(snapshot) == MLKV_OK);
    }
    CHILD_MUST(seen == want);
    scan_close(opened);
}

START_TEST(is_outlived_by_scans)
{
    const char *folder = harness_folder();
    mlkv *db = open_still(folder), *snapshot = NULL;
    write_round(db, 5);
    OK(mlkv_snapshot(db, &snapshot));
    write_round(db, 6);
    close_and_walk(snapshot, 5);
    OK(mlkv_snapshot(db, &snapshot));
    OK(mlkv_close(db));
    close_and_walk(snapshot, 6);
    harness_remove(folder);
}
END_TEST

/* A process that only reads copies what is pending. The parent writes a round, then the child takes
 * a snapshot, then the parent writes on. */
static void read_only_child(const char *folder, int in, int out)
{
    mlkv *db = NULL, *snapshots[4];
    mlkv_options options = {.size = sizeof options, .flags = MLKV_READ_ONLY};
    CHILD_MUST(mlkv_open(folder, &options, &db) == MLKV_OK);
    char byte;
    unsigned n = 0;
    while (n < 4 && read(in, &byte, 1) == 1) {
        CHILD_MUST(mlkv_snapshot(db, &snapshots[n++]) == MLKV_OK);
        CHILD_MUST(write(out, &byte, 1) == 1);
    }
    CHILD_MUST(read(in, &byte, 1) == 1);
    for (unsigned i = 0; i < 4; i++) {
        expect_round(snapshots[i], i + 4);
        CHILD_MUST(put(snapshots[i], TEXT("K"), TEXT("")) == MLKV_E_READONLY);
        close_and_walk(snapshots[i], i + 4);
    }
    expect_round(db, 8);
    CHILD_MUST(mlkv_close(db) == MLKV_OK);
}

START_TEST(copies_where_it_only_reads)
{
    const char *folder = harness_folder();
    int to[2], from[2];
    char byte = 1;
    OK(mlkv_close(open_still(folder)));
    ck_assert_int_eq(pipe(to), 0);
    ck_assert_int_eq(pipe(from), 0);
    fflush(NULL);
    pid_t pid = harness_fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        read_only_child(folder, to[0], from[1]);
        _exit(0);
    }
    mlkv *db = open_still(folder);
    for (unsigned round = 4; round < 8; round++) {
        write_round(db, round); /* partly pending */
        if (round == 6)
            apply_all(db);
        ck_assert_int_eq(write(to[1], &byte, 1), 1);
        ck_assert_int_eq(read(from[0], &byte, 1), 1);
    }
    write_round(db, 8);
    ck_assert_int_eq(write(to[1], &byte, 1), 1);
    ck_assert_int_eq(child_status(pid), 0);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

static void snapshot_on_a_full_disk(const char *folder)
{
    mlkv *db = open_still(folder), *snapshot = NULL;
    struct rlimit limit;
    struct stat status;
    char path[700];
    write_round(db, 1);
    snprintf(path, sizeof path, "%s/data.mdb", folder);
    CHILD_MUST(stat(path, &status) == 0 && getrlimit(RLIMIT_FSIZE, &limit) == 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    limit.rlim_cur = (rlim_t)status.st_size;
    CHILD_MUST(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    CHILD_MUST(mlkv_snapshot(db, &snapshot) == MLKV_E_FULL && snapshot == NULL);
    expect_round(db, 1);
    limit.rlim_cur = limit.rlim_max;
    CHILD_MUST(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    CHILD_MUST(mlkv_snapshot(db, &snapshot) == MLKV_OK);
    write_round(db, 2);
    expect_round(snapshot, 1);
    CHILD_MUST(mlkv_close(snapshot) == MLKV_OK && mlkv_close(db) == MLKV_OK);
}

START_TEST(meets_a_full_disk)
{
    const char *folder = harness_folder();
    int status;
    IN_CHILD(status, snapshot_on_a_full_disk(folder));
    ck_assert_int_eq(status, 0);
    harness_remove(folder);
}
END_TEST

/* The applier of another process dies between commit and announcement. */
START_TEST(comes_after_a_death)
{
    const char *folder = harness_folder();
    mlkv *db = open_still(folder), *snapshot = NULL;
    int status;
    for (unsigned round = 1; round < 4; round++) {
        write_round(db, round);
        IN_CHILD(status, {
            fault_arm(round == 2 ? FAULT_APPLY_PUT : FAULT_APPLY_COMMITTED, FAULT_KILL, 1, 0);
            (void)mlkv_flush(db, MLKV_STORE);
        });
        ck_assert_int_eq(status, -SIGKILL);
        OK(mlkv_snapshot(db, &snapshot));
        expect_round(snapshot, round);
        OK(mlkv_close(snapshot));
    }
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("snapshot");
    TCase *tcase = harness_case(suite, "snapshot");
    tcase_add_test(tcase, stands_still);
    tcase_add_test(tcase, is_read_by_many_threads);
    tcase_add_test(tcase, is_outlived_by_scans);
    tcase_add_test(tcase, copies_where_it_only_reads);
    tcase_add_test(tcase, meets_a_full_disk);
    tcase_add_test(tcase, comes_after_a_death);
    return harness_run(suite);
}
