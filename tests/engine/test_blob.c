/* test_blob.c - immutable large data: written, read in parts, given up, lost with their writer, and
 * cleaned away (clean.c). Counts B, N, R, W records in LMDB. */
#include "fixture.h"

enum { PIECE = 1 << 20, MANY = 300 };

static unsigned char *bytes_of(size_t size, uint64_t seed)
{
    unsigned char *bytes = malloc(size + 1);
    ck_assert_ptr_nonnull(bytes);
    for (size_t i = 0; i < size; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        bytes[i] = i % 8192 < 4096 ? (unsigned char)(seed >> 56) : (unsigned char)seed & 1;
    }
    return bytes;
}

static mlkv_slice id_key(int record_class, uint64_t id, unsigned char bytes[9])
{
    bytes[0] = (unsigned char)record_class;
    store_be64(bytes + 1, id);
    return slice_of(bytes, 9);
}

/* What an operation does when a record refers to a blob, and when the last one lets it go. */
static void refer(engine *self, uint64_t id)
{
    unsigned char key[9], count[8] = {1};
    put(self, id_key(RECORD_REFERENCE, id, key), slice_of(count, sizeof count));
}

static void let_go(engine *self, uint64_t id)
{
    unsigned char reference[9], waste[9];
    batch records = {0};
    uint64_t end;
    add_delete(&records, id_key(RECORD_REFERENCE, id, reference));
    add_put(&records, id_key(RECORD_WASTE, id, waste), slice_of(NULL, 0));
    OK(commit(self, &records, &end));
    batch_done(&records);
}

static int read_part(engine *self, const cell_blob *blob, uint64_t offset, size_t size, void *to)
{
    store_read *read = NULL;
    OK(store_read_begin(self->store, &read));
    int result = engine_blob_read(self, read, blob, offset, size, to);
    store_read_end(read);
    return result;
}

static void expect_blob(engine *self, const cell_blob *blob, const unsigned char *want, size_t size)
{
    static const size_t steps[] = {1, 4096, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE};
    unsigned char *got = malloc(size + 1);
    ck_assert_ptr_nonnull(got);
    ck_assert(blob->id != 0 && blob->size == size && blob->pieces == (size + PIECE - 1) / PIECE);
    OK(read_part(self, blob, 0, size, got));
    ck_assert_int_eq(memcmp(got, want, size), 0);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        size_t offset = steps[i] < size ? size - steps[i] : size / 2,
               part = size - offset < 5000 ? size - offset : 5000;
        memset(got, 0, part);
        OK(read_part(self, blob, offset, part, got));
        ck_assert_int_eq(memcmp(got, want + offset, part), 0);
    }
    OK(read_part(self, blob, size, 0, got));
    free(got);
}

/* Fails under I08-referred-to-before-it-is-there of tests/broken. */
START_TEST(writes_and_reads)
{
    static const size_t sizes[] = {1, 5, 4096, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 17};
    enum { COUNT = sizeof sizes / sizeof *sizes };
    const char *folder = harness_folder();
    engine *self = open_still(folder);
    mlkv_slice raws[COUNT];
    cell_blob blobs[COUNT];
    size_t pieces = 0;
    uint64_t ids[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        raws[i] = slice_of(bytes_of(sizes[i], i), sizes[i]);
        pieces += (sizes[i] + PIECE - 1) / PIECE;
    }
    OK(engine_blobs_write(self, (planes_form){0}, raws, COUNT, blobs));
    ck_assert_uint_eq(atomic_load(&self->counters.blobs_written), COUNT);
    ck_assert_uint_eq(count_class(self, RECORD_BLOB), pieces);
    ck_assert_uint_eq(count_class(self, RECORD_NOTE), COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        expect_blob(self, &blobs[i], raws[i].data, sizes[i]);
        ids[i] = blobs[i].id;
        for (size_t j = 0; j < i; j++)
            ck_assert_uint_ne(ids[i], ids[j]);
    }
    engine_blobs_discard(self, ids, COUNT);
    ck_assert_uint_eq(count_class(self, RECORD_BLOB) + count_class(self, RECORD_NOTE), 0);
    unsigned char byte;
    MUST(MLKV_ABSENT, read_part(self, &blobs[0], 0, 1, &byte));
    engine_blobs_discard(self, ids, COUNT); /* again: nothing */
    for (size_t i = 0; i < COUNT; i++)
        free((void *)(uintptr_t)raws[i].data);
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

/* More blobs than one range of ids and one list of the cleaner hold. */
START_TEST(cleans_waste)
{
    const char *folder = harness_folder();
    engine *self = open_still(folder);
    mlkv_slice raws[MANY];
    cell_blob blobs[MANY];
    for (unsigned round = 0; round < 3; round++) {
        for (size_t i = 0; i < MANY; i++)
            raws[i] = TEXT("a small blob");
        OK(engine_blobs_write(self, (planes_form){0}, raws, MANY, blobs));
        for (size_t i = 0; i < MANY; i++)
            refer(self, blobs[i].id);
    }
    MUST(MLKV_ABSENT, engine_clean_waste(self));
    for (size_t i = 0; i < MANY; i++) {
        let_go(self, blobs[i].id);
        let_go(self, blobs[i].id - MANY);
    }
    apply_all(self);
    ck_assert_uint_eq(count_class(self, RECORD_WASTE), 2 * MANY);
    while (engine_clean_waste(self) != MLKV_ABSENT)
        apply_all(self);
    ck_assert_uint_eq(count_class(self, RECORD_WASTE), 0);
    ck_assert_uint_eq(count_class(self, RECORD_BLOB), MANY);
    ck_assert_uint_eq(count_class(self, RECORD_REFERENCE), MANY);
    ck_assert_uint_eq(count_class(self, RECORD_NOTE), MANY);
    /* what was cleaned but is still listed in LMDB is known to be gone */
    blobs[0].id -= 2 * MANY;
    let_go(self, blobs[0].id);
    apply_all(self);
    OK(engine_clean_waste(self));
    MUST(MLKV_ABSENT, engine_clean_waste(self));
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

/* The cleaner dies between deleting pieces and forgetting that they are waste. */
/* Fails under R08-waste-forgotten-first of tests/broken. */
START_TEST(cleans_again_after_a_death)
{
    const char *folder = harness_folder();
    engine *self = open_still(folder);
    engine *_Atomic handle = self;
    mlkv_slice raw = TEXT("a blob");
    cell_blob blob;
    int status;
    OK(engine_blobs_write(self, (planes_form){0}, &raw, 1, &blob));
    refer(self, blob.id);
    let_go(self, blob.id);
    apply_all(self);
    IN_CHILD(status, {
        engine *own;
        CHILD_MUST(engine_replace(&handle, &own) == MLKV_OK);
        engine_background_stop(own);
        fault_arm(FAULT_CLEAN_WASTE, FAULT_KILL, 1, 0);
        (void)engine_clean_waste(own);
    });
    ck_assert_int_eq(status, -SIGKILL);
    ck_assert_uint_eq(count_class(self, RECORD_WASTE), 1);
    OK(engine_clean_waste(self));
    apply_all(self);
    ck_assert_uint_eq(count_class(self, RECORD_WASTE) + count_class(self, RECORD_BLOB) +
                          count_class(self, RECORD_NOTE),
                      0);
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

/* A child writes three blobs: one it refers to, one it refers to and lets go, one that nobody ever
 * knows. Then it dies. */
static void write_and_die(engine *_Atomic *handle)
{
    engine *own;
    mlkv_slice raws[3] = {TEXT("kept"), TEXT("waste"), TEXT("orphan")};
    cell_blob blobs[3];
    CHILD_MUST(engine_replace(handle, &own) == MLKV_OK);
    engine_background_stop(own);
    CHILD_MUST(engine_blobs_write(own, (planes_form){0}, raws, 3, blobs) == MLKV_OK);
    refer(own, blobs[0].id);
    refer(own, blobs[1].id);
    let_go(own, blobs[1].id);
    die();
}

START_TEST(cleans_after_dead_sessions)
{
    const char *folder = harness_folder();
    engine *self = open_still(folder);
    engine *_Atomic handle = self;
    mlkv_slice raw = TEXT("of a living session");
    cell_blob own;
    int status;
    OK(engine_blobs_write(self, (planes_form){0}, &raw, 1, &own));
    IN_CHILD(status, write_and_die(&handle));
    ck_assert_int_eq(status, -SIGKILL);
    ck_assert_uint_eq(count_class(self, RECORD_BLOB), 4);
    OK(engine_clean_notes(self, false));
    ck_assert_uint_eq(count_class(self, RECORD_BLOB), 3); /* kept, waste, ours */
    ck_assert_uint_eq(count_class(self, RECORD_NOTE), 1);
    apply_all(self);
    OK(engine_clean_waste(self));
    ck_assert_uint_eq(count_class(self, RECORD_BLOB), 2);
    expect_blob(self, &own, raw.data, raw.size);
    OK(engine_clean_notes(self, true)); /* not referred to: the note stays */
    ck_assert_uint_eq(count_class(self, RECORD_NOTE), 1);
    refer(self, own.id);
    OK(engine_clean_notes(self, true));
    ck_assert_uint_eq(count_class(self, RECORD_NOTE), 0);
    expect_blob(self, &own, raw.data, raw.size);
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

START_TEST(cleans_at_the_next_opening)
{
    const char *folder = harness_folder();
    engine *self = open_still(folder);
    mlkv_slice raw = TEXT("nobody's");
    cell_blob blob;
    OK(engine_blobs_write(self, (planes_form){0}, &raw, 1, &blob));
    OK(engine_release(
        self)); /* never referred to nor given up: as if its operation had failed badly */
    self = open_still(folder);
    ck_assert_uint_eq(count_class(self, RECORD_BLOB), 1);
    OK(engine_clean_notes(self, false));
    ck_assert_uint_eq(count_class(self, RECORD_BLOB) + count_class(self, RECORD_NOTE), 0);
    /* ids are never given twice */
    uint64_t before = blob.id;
    OK(engine_blobs_write(self, (planes_form){0}, &raw, 1, &blob));
    ck_assert_uint_gt(blob.id, before);
    engine_blobs_discard(self, &blob.id, 1);
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

static void write_on_a_full_disk(const char *folder)
{
    engine *self = open_still(folder);
    struct stat status;
    char path[700];
    mlkv_slice raw = slice_of(bytes_of(40 * PIECE, 3), 40 * PIECE);
    cell_blob blob;
    path_in(path, folder, "data.mdb");
    apply_all(self);
    CHILD_MUST(stat(path, &status) == 0);
    limit_files((rlim_t)status.st_size + 10 * PIECE);
    CHILD_MUST(engine_blobs_write(self, (planes_form){0}, &raw, 1, &blob) == MLKV_E_FULL);
    limit_files(RLIM_INFINITY);
    CHILD_MUST(count_class(self, RECORD_BLOB) == 0 && count_class(self, RECORD_NOTE) == 0);
    CHILD_MUST(engine_blobs_write(self, (planes_form){0}, &raw, 1, &blob) == MLKV_OK);
    unsigned char *got = malloc(raw.size);
    CHILD_MUST(got != NULL && read_part(self, &blob, 0, raw.size, got) == MLKV_OK &&
               memcmp(got, raw.data, raw.size) == 0);
    free(got);
    free((void *)(uintptr_t)raw.data);
    engine_blobs_discard(self, &blob.id, 1);
    CHILD_MUST(engine_release(self) == MLKV_OK);
}

START_TEST(meets_a_full_disk)
{
    const char *folder = harness_folder();
    int status;
    IN_CHILD(status, write_on_a_full_disk(folder));
    ck_assert_int_eq(status, 0);
    harness_remove(folder);
}
END_TEST

/* Writes a blob that nobody refers to, says so, and lives until its input ends. */
static void write_and_live(const char *folder, int in, int out)
{
    engine *self = open_still(folder);
    mlkv_slice raw = TEXT("of a living session");
    cell_blob blob;
    char byte = 'k';
    CHILD_MUST(engine_blobs_write(self, (planes_form){0}, &raw, 1, &blob) == MLKV_OK);
    CHILD_MUST(write(out, &byte, 1) == 1);
    CHILD_MUST(read(in, &byte, 1) == 0);
    refer(self, blob.id);
    CHILD_MUST(engine_release(self) == MLKV_OK);
}

/* R8: what a living process has written and not yet referred to is no orphan. Fails under
 * R08-living-session-cleaned of tests/broken. */
START_TEST(spares_living_sessions)
{
    const char *folder = harness_folder();
    int to[2], from[2];
    char byte;
    ck_assert_int_eq(pipe(to) | pipe(from), 0);
    fflush(NULL);
    pid_t pid = harness_fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        (void)close(to[1]);
        write_and_live(folder, to[0], from[1]);
        _exit(0);
    }
    (void)close(to[0]);
    ck_assert_int_eq(read(from[0], &byte, 1), 1);
    engine *self = open_still(folder);
    OK(engine_clean_notes(self, false));
    ck_assert_uint_eq(count_class(self, RECORD_BLOB), 1);
    ck_assert_uint_eq(count_class(self, RECORD_NOTE), 1);
    (void)close(to[1]);
    ck_assert_int_eq(child_status(pid), 0);
    OK(engine_clean_notes(self, false)); /* dead, and referred to */
    ck_assert_uint_eq(count_class(self, RECORD_BLOB), 1);
    ck_assert_uint_eq(count_class(self, RECORD_NOTE), 0);
    OK(engine_release(self));
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("blob");
    TCase *tcase = harness_case(suite, "blob");
    tcase_add_test(tcase, writes_and_reads);
    tcase_add_test(tcase, cleans_waste);
    tcase_add_test(tcase, cleans_again_after_a_death);
    tcase_add_test(tcase, cleans_after_dead_sessions);
    tcase_add_test(tcase, cleans_at_the_next_opening);
    tcase_add_test(tcase, meets_a_full_disk);
    tcase_add_test(harness_case(suite, "rules"), spares_living_sessions);
    return harness_run(suite);
}
