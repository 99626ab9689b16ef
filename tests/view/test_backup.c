/* test_backup.c - mlkv_backup: one state while others write, refused and failing targets, copies
 * put back, openings that only read, notes of the living, an applier that died. */
#include "fixture.h"

#include <dirent.h>
#include <mlkv/mlkv.h>
#include <stdatomic.h>

enum { WRITERS = 2, BACKUPS = 4, NUMBERS = 64, BLOB_SIZE = 200000, BLOB_EVERY = 8 };

static void path_in(char to[700], const char *folder, const char *name)
{
    ck_assert_int_lt(snprintf(to, 700, "%s/%s", folder, name), 700);
}

static size_t count_entries(const char *folder)
{
    DIR *listing = opendir(folder);
    size_t count = 0;
    ck_assert_ptr_nonnull(listing);
    while (readdir(listing) != NULL)
        count++;
    (void)closedir(listing);
    return count - 2;
}

static int tell(void *context, const char *problem)
{
    (void)context;
    fprintf(stderr, "problem: %s\n", problem);
    return 0;
}

static uint64_t verify_clean(mlkv *db)
{
    mlkv_report report = {.size = sizeof report};
    OK(mlkv_verify(db, tell, NULL, &report));
    return report.unclaimed;
}

/* --- one state --- */

/* Each transaction raises all that a writer has to the same number. */
typedef struct {
    mlkv *db;
    char names[4][24]; /* counter, hash, tensor, blob */
    _Atomic uint64_t begun, done;
    atomic_bool *stop;
} writer;

static const mlkv_tensor SHAPE = {.dtype = MLKV_F32, .dimensions = 1, .shape = {NUMBERS}};

static mlkv_slice name(const writer *self, int i)
{
    return slice_of(self->names[i], strlen(self->names[i]));
}

static void fill_blob(unsigned char *to, uint64_t number)
{
    uint64_t state = number * 2654435769u + 1;
    for (size_t i = 0; i < BLOB_SIZE; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        to[i] = (unsigned char)(state >> 56);
    }
}

static void write_round(writer *self, mlkv *view, uint64_t number, unsigned char *blob)
{
    float numbers[NUMBERS];
    char text[24];
    mlkv_pair pair = {TEXT("n"), slice_of(text, (size_t)snprintf(text, sizeof text, "%llu",
                                                                 (unsigned long long)number))};
    for (int i = 0; i < NUMBERS; i++)
        numbers[i] = (float)number;
    CHILD_MUST(mlkv_string_add(view, name(self, 0), 1, NULL) == MLKV_OK);
    CHILD_MUST(mlkv_hash_set(view, name(self, 1), &pair, 1, NULL) == MLKV_OK);
    CHILD_MUST(mlkv_tensor_put(view, name(self, 2), &SHAPE, numbers, NULL) == MLKV_OK);
    if (number % BLOB_EVERY != 1)
        return;
    fill_blob(blob, number);
    CHILD_MUST(mlkv_string_set(view, name(self, 3), slice_of(blob, BLOB_SIZE), MLKV_SET_ALWAYS) ==
               MLKV_OK);
}

/* The number that all of it agrees on; 0: nothing is there. */
static uint64_t read_round(const writer *self, mlkv *view)
{
    mlkv_buffer counter = {0}, field = {0}, blob = {0};
    float numbers[NUMBERS];
    int result = mlkv_string_get(view, name(self, 0), &counter);
    if (result == MLKV_ABSENT) {
        CHILD_MUST(mlkv_hash_get(view, name(self, 1), TEXT("n"), &field) == MLKV_ABSENT);
        return 0;
    }
    CHILD_MUST(result == MLKV_OK && buffer_append(&counter, "", 1) == MLKV_OK);
    uint64_t number = strtoull(counter.data, NULL, 10);
    CHILD_MUST(mlkv_hash_get(view, name(self, 1), TEXT("n"), &field) == MLKV_OK &&
               buffer_append(&field, "", 1) == MLKV_OK);
    CHILD_MUST(number != 0 && strtoull(field.data, NULL, 10) == number);
    CHILD_MUST(mlkv_tensor_get(view, name(self, 2), numbers, sizeof numbers) == MLKV_OK);
    for (int i = 0; i < NUMBERS; i++)
        CHILD_MUST(numbers[i] == (float)number);
    unsigned char *wanted = malloc(BLOB_SIZE);
    CHILD_MUST(wanted != NULL);
    fill_blob(wanted, (number - 1) / BLOB_EVERY * BLOB_EVERY + 1);
    CHILD_MUST(mlkv_string_get(view, name(self, 3), &blob) == MLKV_OK);
    CHILD_MUST(slice_equal(slice_of_buffer(&blob), slice_of(wanted, BLOB_SIZE)));
    free(wanted);
    mlkv_buffer_free(&counter);
    mlkv_buffer_free(&field);
    mlkv_buffer_free(&blob);
    return number;
}

static void *write_on(void *context)
{
    writer *self = context;
    unsigned char *blob = malloc(BLOB_SIZE);
    CHILD_MUST(blob != NULL);
    for (uint64_t number = atomic_load(&self->done) + 1; !atomic_load(self->stop); number++) {
        mlkv *transaction = NULL, *snapshot = NULL;
        atomic_store(&self->begun, number);
        CHILD_MUST(mlkv_begin(self->db, &transaction) == MLKV_OK);
        write_round(self, transaction, number, blob);
        CHILD_MUST(mlkv_commit(transaction) == MLKV_OK);
        atomic_store(&self->done, number);
        if (number % 16 == 0) {
            CHILD_MUST(mlkv_snapshot(self->db, &snapshot) == MLKV_OK);
            CHILD_MUST(read_round(self, snapshot) == number);
            CHILD_MUST(mlkv_close(snapshot) == MLKV_OK);
        }
    }
    free(blob);
    return NULL;
}

static void check_copy(const char *path, const writer *writers, const uint64_t *acknowledged)
{
    mlkv *copy = open_with(path, MLKV_NO_CREATE);
    for (int i = 0; i < WRITERS; i++) {
        uint64_t number = read_round(&writers[i], copy);
        ck_assert_uint_ge(number, acknowledged[i]);
        ck_assert_uint_le(number, atomic_load(&writers[i].begun));
    }
    (void)verify_clean(copy);
    OK(mlkv_string_set(copy, TEXT("copy"), TEXT("a store of its own"), MLKV_SET_ALWAYS));
    OK(mlkv_close(copy));
}

START_TEST(is_one_state_while_others_write)
{
    const char *folder = harness_folder();
    char path[700], target[24];
    pthread_t threads[WRITERS];
    writer writers[WRITERS] = {{0}};
    atomic_bool stop = false;
    path_in(path, folder, "store");
    mlkv *db = open_with(path, 0);
    for (int i = 0; i < WRITERS; i++) {
        static const char *const kinds[] = {"counter", "hash", "tensor", "blob"};
        for (int j = 0; j < 4; j++)
            snprintf(writers[i].names[j], sizeof writers[i].names[j], "%s:%d", kinds[j], i);
        writers[i].db = db;
        writers[i].stop = &stop;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_on, &writers[i]), 0);
    }
    for (int round = 0; round < BACKUPS; round++) {
        uint64_t acknowledged[WRITERS];
        uint64_t last = atomic_load(&writers[0].done);
        while (atomic_load(&writers[0].done) < last + 20)
            (void)usleep(1000);
        for (int i = 0; i < WRITERS; i++)
            acknowledged[i] = atomic_load(&writers[i].done);
        snprintf(target, sizeof target, "copy-%d", round);
        path_in(path, folder, target);
        OK(mlkv_backup(db, path));
        check_copy(path, writers, acknowledged);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < WRITERS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < WRITERS; i++)
        ck_assert_uint_eq(read_round(&writers[i], db), atomic_load(&writers[i].done));
    mlkv_buffer none = {0};
    MUST(MLKV_ABSENT, mlkv_string_get(db, TEXT("copy"), &none));
    (void)verify_clean(db);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* --- targets --- */

static unsigned mode_of(const char *path)
{
    struct stat status;
    ck_assert_int_eq(stat(path, &status), 0);
    return (unsigned)status.st_mode & 07777;
}

START_TEST(makes_its_folder)
{
    const char *folder = harness_folder();
    char path[700], file[700];
    mlkv *db = open_with(NULL, 0), *copy; /* a store in memory is kept in this way */
    OK(put(db, TEXT("Ka"), TEXT("1")));
    (void)umask(0);
    path_in(path, folder, "new");
    OK(mlkv_backup(db, path));
    path_in(file, path, "data.mdb");
    ck_assert_uint_eq(mode_of(path), 0700);
    ck_assert_uint_eq(mode_of(file), 0600);
    ck_assert_uint_eq(count_entries(path), 2);
    path_in(file, path, "journal.lock");
    ck_assert_uint_eq(mode_of(file), 0600);
    path_in(path, folder, "empty");
    ck_assert_int_eq(mkdir(path, 0750), 0);
    OK(mlkv_backup(db, path));
    ck_assert_uint_eq(mode_of(path), 0750);
    OK(mlkv_close(db));
    copy = open_with(path, MLKV_READ_ONLY);
    ck_assert(holds(copy, TEXT("Ka"), TEXT("1")));
    OK(mlkv_close(copy));
    harness_remove(folder);
}
END_TEST

START_TEST(refuses_what_it_cannot_use)
{
    const char *folder = harness_folder();
    char path[700], file[700];
    mlkv *snapshot = NULL, *transaction = NULL;
    path_in(path, folder, "store");
    mlkv *db = open_with(path, 0);
    OK(put(db, TEXT("Ka"), TEXT("1")));
    MUST(MLKV_E_ARGUMENT, mlkv_backup(db, path)); /* the store's own folder */
    MUST(MLKV_E_ARGUMENT, mlkv_backup(db, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_backup(db, ""));
    MUST(MLKV_E_ARGUMENT, mlkv_backup(NULL, path));
    path_in(path, folder, "full");
    ck_assert_int_eq(mkdir(path, 0700), 0);
    path_in(file, path, "something");
    ck_assert_int_eq(mkdir(file, 0700), 0);
    MUST(MLKV_E_ARGUMENT, mlkv_backup(db, path));
    ck_assert_uint_eq(count_entries(path), 1);
    path_in(path, folder, "store/data.mdb");
    MUST(MLKV_E_ARGUMENT, mlkv_backup(db, path)); /* a file */
    path_in(path, folder, "copy");
    OK(mlkv_snapshot(db, &snapshot));
    MUST(MLKV_E_ARGUMENT, mlkv_backup(snapshot, path));
    OK(mlkv_close(snapshot));
    OK(mlkv_begin(db, &transaction));
    OK(put(transaction, TEXT("Kopen"), TEXT("2")));
    MUST(MLKV_E_ARGUMENT, mlkv_backup(transaction, path));
    OK(mlkv_backup(db, path)); /* an open transaction hinders nobody, and is not in it */
    OK(mlkv_commit(transaction));
    mlkv *copy = open_with(path, MLKV_READ_ONLY);
    ck_assert(holds(copy, TEXT("Ka"), TEXT("1")) && lacks(copy, TEXT("Kopen")));
    OK(mlkv_close(copy));
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

START_TEST(leaves_nothing_where_it_cannot_write)
{
    const char *folder = harness_folder();
    char path[700];
    path_in(path, folder, "store");
    mlkv *db = open_with(path, 0);
    path_in(path, folder, "nowhere/copy");
    MUST(MLKV_E_IO, mlkv_backup(db, path));
    if (geteuid() != 0) { /* nothing is unwritable for root */
        path_in(path, folder, "locked");
        ck_assert_int_eq(mkdir(path, 0500), 0);
        MUST(MLKV_E_PERMISSION, mlkv_backup(db, path));
        path_in(path, folder, "locked/copy");
        MUST(MLKV_E_PERMISSION, mlkv_backup(db, path));
    }
    ck_assert_uint_eq(count_entries(folder), geteuid() != 0 ? 2 : 1);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

static void limit_files(rlim_t size)
{
    struct rlimit limit;
    CHILD_MUST(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = size < limit.rlim_max ? size : limit.rlim_max;
    CHILD_MUST(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

static void backup_on_a_full_disk(const char *folder)
{
    char path[700], empty[700];
    unsigned char *large = calloc(1, BLOB_SIZE);
    (void)signal(SIGXFSZ, SIG_IGN);
    path_in(path, folder, "store");
    mlkv *db = open_still(path), *copy = NULL;
    CHILD_MUST(large != NULL);
    fill_blob(large, 7);
    CHILD_MUST(mlkv_string_set(db, TEXT("large"), slice_of(large, BLOB_SIZE), MLKV_SET_ALWAYS) ==
               MLKV_OK);
    apply_all(db);
    path_in(path, folder, "copy");
    path_in(empty, folder, "empty");
    CHILD_MUST(mkdir(empty, 0700) == 0);
    for (rlim_t limit = 0; limit <= 160 << 10; limit += 40 << 10) {
        limit_files(limit + 100); /* not at a page's end: writes come out short */
        CHILD_MUST(mlkv_backup(db, path) == MLKV_E_FULL);
        CHILD_MUST(access(path, F_OK) != 0);
        CHILD_MUST(mlkv_backup(db, empty) == MLKV_E_FULL);
        CHILD_MUST(count_entries(empty) == 0);
    }
    limit_files(RLIM_INFINITY);
    CHILD_MUST(put(db, TEXT("Ka"), TEXT("1")) == MLKV_OK);
    CHILD_MUST(mlkv_backup(db, path) == MLKV_OK);
    copy = open_with(path, 0);
    CHILD_MUST(holds(copy, TEXT("Ka"), TEXT("1")));
    CHILD_MUST(mlkv_close(copy) == MLKV_OK && mlkv_close(db) == MLKV_OK);
    free(large);
}

START_TEST(leaves_nothing_on_a_full_disk)
{
    const char *folder = harness_folder();
    int status;
    IN_CHILD(status, backup_on_a_full_disk(folder));
    ck_assert_int_eq(status, 0);
    harness_remove(folder);
}
END_TEST

/* --- putting it back --- */

static void copy_file(const char *from, const char *to)
{
    char command[1500];
    snprintf(command, sizeof command, "cp '%s' '%s'", from, to);
    ck_assert_int_eq(system(command), 0);
}

static void expect_refusal(const char *path)
{
    mlkv_options options = small_options();
    mlkv *db = NULL;
    MUST(MLKV_E_MISMATCH, mlkv_open(path, &options, &db));
    ck_assert_ptr_null(db);
}

START_TEST(is_known_beside_a_newer_journal)
{
    const char *folder = harness_folder();
    char store_path[700], copy_path[700], from[700], to[700];
    int status;
    path_in(store_path, folder, "store");
    path_in(copy_path, folder, "copy");
    path_in(from, copy_path, "data.mdb");
    path_in(to, store_path, "data.mdb");
    mlkv *db = open_with(store_path, 0);
    OK(put(db, TEXT("Ka"), TEXT("old")));
    OK(mlkv_backup(db, copy_path));
    OK(put(db, TEXT("Ka"), TEXT("new")));
    OK(mlkv_close(db));

    copy_file(from, to); /* the journal of the same generation has more */
    expect_refusal(store_path);
    db = open_with(store_path, MLKV_ACCEPT_LOSS);
    ck_assert(holds(db, TEXT("Ka"), TEXT("old")));
    OK(put(db, TEXT("Ka"), TEXT("newer")));
    OK(mlkv_close(db));
    copy_file(from, to); /* a later generation */
    expect_refusal(store_path);

    db = open_with(store_path, MLKV_ACCEPT_LOSS);
    OK(mlkv_close(db));
    IN_CHILD(status, { /* and one that was not closed */
                       mlkv *victim = open_still(store_path);
                       CHILD_MUST(put(victim, TEXT("Ka"), TEXT("newest")) == MLKV_OK);
    });
    ck_assert_int_eq(status, 0);
    copy_file(from, to);
    expect_refusal(store_path);

    path_in(store_path, folder, "fresh"); /* into an empty folder it goes */
    path_in(to, store_path, "data.mdb");
    ck_assert_int_eq(mkdir(store_path, 0700), 0);
    copy_file(from, to);
    db = open_with(store_path, MLKV_NO_CREATE);
    ck_assert(holds(db, TEXT("Ka"), TEXT("old")));
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* --- who only reads, who is alive, who died --- */

static void backup_read_only(const char *path, const char *to, int expected)
{
    mlkv_options options = small_options();
    mlkv *db = NULL;
    options.flags = MLKV_READ_ONLY;
    options.lock_timeout_ms = 100;
    CHILD_MUST(mlkv_open(path, &options, &db) == MLKV_OK);
    int result = mlkv_backup(db, to);
    if (result != expected)
        fprintf(stderr, "%d: %s\n", result, mlkv_error_detail());
    CHILD_MUST(result == expected && mlkv_close(db) == MLKV_OK);
}

static void write_beside(const char *path, int ready, int go)
{
    char byte = 0;
    mlkv *db = open_still(path);
    CHILD_MUST(put(db, TEXT("Ka"), TEXT("1")) == MLKV_OK);
    CHILD_MUST(write(ready, &byte, 1) == 1 && read(go, &byte, 1) == 1);
    apply_all(db);
    CHILD_MUST(write(ready, &byte, 1) == 1 && read(go, &byte, 1) == 1);
    CHILD_MUST(mlkv_close(db) == MLKV_OK);
    _exit(0);
}

/* In a process of its own, which has nothing open. */
static void backup_beside_a_writer(const char *path, const char *to, const char *closed)
{
    int ready[2], go[2];
    char byte = 0;
    CHILD_MUST(pipe(ready) == 0 && pipe(go) == 0);
    pid_t pid = harness_fork();
    if (pid == 0)
        write_beside(path, ready[1], go[0]);
    CHILD_MUST(read(ready[0], &byte, 1) == 1);
    backup_read_only(path, to, MLKV_E_READONLY); /* the writer's applier is asleep */
    CHILD_MUST(access(to, F_OK) != 0);
    CHILD_MUST(write(go[1], &byte, 1) == 1 && read(ready[0], &byte, 1) == 1);
    backup_read_only(path, to, MLKV_OK);
    CHILD_MUST(write(go[1], &byte, 1) == 1 && child_status(pid) == 0);
    backup_read_only(path, closed, MLKV_OK);
}

START_TEST(is_made_by_readers_if_lmdb_has_all)
{
    const char *folder = harness_folder();
    char path[700], to[700], closed[700];
    int status;
    path_in(path, folder, "store");
    path_in(to, folder, "copy");
    path_in(closed, folder, "closed");
    IN_CHILD(status, backup_beside_a_writer(path, to, closed));
    ck_assert_int_eq(status, 0);
    const char *const copies[] = {to, closed};
    for (int i = 0; i < 2; i++) {
        mlkv *copy = open_with(copies[i], MLKV_NO_CREATE);
        ck_assert(holds(copy, TEXT("Ka"), TEXT("1")));
        OK(mlkv_close(copy));
    }
    harness_remove(folder);
}
END_TEST

START_TEST(has_the_orphans_of_the_living_cleaned)
{
    const char *folder = harness_folder();
    char path[700];
    unsigned char *large = malloc(BLOB_SIZE);
    op_value value = {.cell = {0}};
    ck_assert_ptr_nonnull(large);
    fill_blob(large, 3);
    path_in(path, folder, "store");
    mlkv *db = open_still(path);
    OK(mlkv_string_set(db, TEXT("kept"), slice_of(large, BLOB_SIZE), MLKV_SET_ALWAYS));
    OK(op_value_prepare(db, slice_of(large, BLOB_SIZE), &value));
    ck_assert_uint_ne(value.blob.id, 0);
    path_in(path, folder, "copy");
    OK(mlkv_backup(db, path));
    op_value_done(db, &value);
    OK(mlkv_close(db));

    mlkv *copy = open_still(path);
    ck_assert_uint_ge(count_class(copy, RECORD_NOTE), 1);
    (void)verify_clean(copy);
    OK(engine_clean_notes(atomic_load(&copy->engine), false));
    ck_assert_uint_eq(count_class(copy, RECORD_NOTE), 0);
    ck_assert_uint_eq(verify_clean(copy), 0);
    mlkv_buffer got = {0};
    OK(mlkv_string_get(copy, TEXT("kept"), &got));
    ck_assert(slice_equal(slice_of_buffer(&got), slice_of(large, BLOB_SIZE)));
    mlkv_buffer_free(&got);
    OK(mlkv_close(copy));
    free(large);
    harness_remove(folder);
}
END_TEST

/* The applier of another process dies between commit and announcement. */
START_TEST(holds_what_a_dead_applier_left)
{
    const char *folder = harness_folder();
    char path[700], to[700], target[24];
    int status;
    path_in(path, folder, "store");
    mlkv *db = open_still(path);
    for (int round = 1; round < 4; round++) {
        char text[8];
        mlkv_slice value = slice_of(text, (size_t)snprintf(text, sizeof text, "%d", round));
        OK(put(db, TEXT("Ka"), value));
        IN_CHILD(status, {
            fault_arm(round == 2 ? FAULT_APPLY_PUT : FAULT_APPLY_COMMITTED, FAULT_KILL, 1, 0);
            (void)mlkv_flush(db, MLKV_STORE);
        });
        ck_assert_int_eq(status, -SIGKILL);
        snprintf(target, sizeof target, "copy-%d", round);
        path_in(to, folder, target);
        OK(mlkv_backup(db, to));
        mlkv *copy = open_with(to, MLKV_NO_CREATE);
        ck_assert(holds(copy, TEXT("Ka"), value));
        OK(mlkv_close(copy));
    }
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* A copy that was cut short is no store. */
START_TEST(is_no_store_before_it_is_whole)
{
    const char *folder = harness_folder();
    char path[700], from[700], to[700];
    path_in(path, folder, "store");
    mlkv *db = open_with(path, 0), *none = NULL;
    path_in(path, folder, "copy");
    OK(mlkv_backup(db, path));
    OK(mlkv_close(db));
    path_in(from, path, "data.mdb");
    path_in(to, path, "data.mdb.part");
    ck_assert_int_eq(rename(from, to), 0);
    mlkv_options options = small_options();
    options.flags = MLKV_NO_CREATE;
    MUST(MLKV_E_ABSENT_STORE, mlkv_open(path, &options, &none));
    harness_remove(folder);
}
END_TEST

/* --- killed, overtaken, pages that belong to nothing --- */

/* Noise that takes some time to copy. */
static void fill_store(mlkv *db, unsigned blobs)
{
    unsigned char *large = malloc(BLOB_SIZE);
    ck_assert_ptr_nonnull(large);
    for (unsigned i = 0; i < blobs; i++) {
        char text[16];
        mlkv_slice key = slice_of(text, (size_t)snprintf(text, sizeof text, "blob:%u", i));
        fill_blob(large, i + 1);
        OK(mlkv_string_set(db, key, slice_of(large, BLOB_SIZE), MLKV_SET_ALWAYS));
    }
    free(large);
}

/* Killed at any instruction: what is named data.mdb is whole, and otherwise there is no store. */
START_TEST(is_whole_or_no_store_when_killed)
{
    enum { ROUNDS = 30 };
    const char *folder = harness_folder();
    char path[700], target[24], data[700];
    unsigned whole = 0, none = 0;
    path_in(path, folder, "store");
    mlkv *db = open_with(path, 0);
    fill_store(db, 10);
    apply_all(db);
    for (unsigned round = 0; round < ROUNDS; round++) {
        snprintf(target, sizeof target, "copy-%u", round);
        path_in(path, folder, target);
        pid_t pid = harness_fork();
        if (pid == 0) {
            CHILD_MUST(mlkv_backup(db, path) == MLKV_OK);
            (void)pause();
        }
        (void)usleep(round * 1500);
        ck_assert_int_eq(kill(pid, SIGKILL), 0);
        ck_assert_int_eq(child_status(pid), -SIGKILL);
        path_in(data, path, "data.mdb");
        if (access(data, F_OK) != 0) {
            none++;
            continue;
        }
        mlkv *copy = open_with(path, MLKV_NO_CREATE);
        (void)verify_clean(copy);
        uint64_t keys = 0;
        OK(mlkv_key_count(copy, &keys));
        ck_assert_uint_eq(keys, 10);
        OK(mlkv_close(copy));
        whole++;
    }
    ck_assert_uint_eq(whole + none, ROUNDS);
    (void)verify_clean(db);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

typedef struct {
    char part[700], data[700];
    atomic_bool stop, made;
} intruder;

/* Makes data.mdb as soon as the copy has begun. */
static void *intrude(void *context)
{
    intruder *self = context;
    while (!atomic_load(&self->stop) && !atomic_load(&self->made)) {
        int fd = access(self->part, F_OK) != 0
                     ? -1
                     : open(self->data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        atomic_store(&self->made, fd >= 0);
        if (fd >= 0)
            (void)close(fd);
    }
    return NULL;
}

START_TEST(replaces_no_store_that_came_first)
{
    const char *folder = harness_folder();
    char path[700], target[24];
    bool met = false;
    path_in(path, folder, "store");
    mlkv *db = open_with(path, 0);
    fill_store(db, 10);
    for (unsigned round = 0; round < 200 && !met; round++) {
        intruder other = {.stop = false};
        struct stat status;
        pthread_t thread;
        snprintf(target, sizeof target, "copy-%u", round);
        path_in(path, folder, target);
        ck_assert_int_lt(snprintf(other.part, 700, "%s/%s/data.mdb.part", folder, target), 700);
        ck_assert_int_lt(snprintf(other.data, 700, "%s/%s/data.mdb", folder, target), 700);
        ck_assert_int_eq(pthread_create(&thread, NULL, intrude, &other), 0);
        int result = mlkv_backup(db, path);
        atomic_store(&other.stop, true);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        met = atomic_load(&other.made);
        MUST(met ? MLKV_E_ARGUMENT : MLKV_OK, result);
        ck_assert_int_eq(stat(other.data, &status), 0);
        ck_assert_int_eq(status.st_size == 0, met);
        ck_assert_int_ne(access(other.part, F_OK), 0);
    }
    ck_assert(met);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* LMDB cannot compact then, and says so only at the end of its copy. */
START_TEST(copies_pages_that_belong_to_nothing)
{
    enum { PAGE = 4096, MAGIC_AT = 16, LAST_PAGE_AT = 136 };
    const char *folder = harness_folder();
    char path[700], data[700];
    struct stat status;
    path_in(path, folder, "store");
    mlkv *db = open_with(path, 0);
    fill_store(db, 3);
    OK(mlkv_close(db));
    path_in(data, path, "data.mdb");
    int fd = open(data, O_RDWR | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    uint64_t last[2];
    for (int i = 0; i < 2; i++) {
        unsigned char magic[4];
        ck_assert_int_eq(pread(fd, magic, 4, i * PAGE + MAGIC_AT), 4);
        ck_assert_uint_eq(load_le32(magic), 0xBEEFC0DE);
        ck_assert_int_eq(pread(fd, &last[i], 8, i * PAGE + LAST_PAGE_AT), 8);
        last[i] += 5;
        ck_assert_int_eq(pwrite(fd, &last[i], 8, i * PAGE + LAST_PAGE_AT), 8);
    }
    uint64_t pages = (last[0] > last[1] ? last[0] : last[1]) + 1;
    ck_assert_int_eq(fstat(fd, &status), 0);
    if ((uint64_t)status.st_size < pages * PAGE)
        ck_assert_int_eq(ftruncate(fd, (off_t)(pages * PAGE)), 0);
    (void)close(fd);
    db = open_with(path, 0);
    path_in(path, folder, "copy");
    OK(mlkv_backup(db, path));
    OK(mlkv_close(db));
    mlkv *copy = open_with(path, MLKV_NO_CREATE);
    (void)verify_clean(copy);
    uint64_t keys = 0;
    OK(mlkv_key_count(copy, &keys));
    ck_assert_uint_eq(keys, 3);
    OK(mlkv_close(copy));
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("backup");
    TCase *tcase = harness_case(suite, "backup");
    tcase_add_test(tcase, is_one_state_while_others_write);
    tcase_add_test(tcase, makes_its_folder);
    tcase_add_test(tcase, refuses_what_it_cannot_use);
    tcase_add_test(tcase, leaves_nothing_where_it_cannot_write);
    tcase_add_test(tcase, leaves_nothing_on_a_full_disk);
    tcase_add_test(tcase, is_known_beside_a_newer_journal);
    tcase_add_test(tcase, is_made_by_readers_if_lmdb_has_all);
    tcase_add_test(tcase, has_the_orphans_of_the_living_cleaned);
    tcase_add_test(tcase, holds_what_a_dead_applier_left);
    tcase_add_test(tcase, is_no_store_before_it_is_whole);
    tcase_add_test(tcase, is_whole_or_no_store_when_killed);
    tcase_add_test(tcase, replaces_no_store_that_came_first);
    tcase_add_test(tcase, copies_pages_that_belong_to_nothing);
    return harness_run(suite);
}
