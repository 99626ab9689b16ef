/* test_clean.c - the cleaner: everything of dead lives goes, nothing of living ones, also when it is cut short or there are two of it. */
#include "types/stores.h"

#include <pthread.h>

static void make_hash(mlkv *db, mlkv_slice key, int fields, size_t large)
{
    enum { BATCH = 500 };
    static char names[BATCH][16], noise[400000];
    static mlkv_pair pairs[BATCH];
    for (int i = 0; i < fields; i += BATCH) {
        int n = fields - i < BATCH ? fields - i : BATCH;
        for (int j = 0; j < n; j++) {
            snprintf(names[j], sizeof names[j], "f%07d", i + j);
            pairs[j] = (mlkv_pair){slice_of_text(names[j]), TEXT("value")};
        }
        OK(mlkv_hash_set(db, key, pairs, (size_t)n, NULL));
    }
    for (size_t i = 0; i < large; i++) {
        fill_noise(noise, sizeof noise, i);
        mlkv_pair pair = {long_name(600, (unsigned)i), slice_of(noise, sizeof noise)};
        OK(mlkv_hash_set(db, key, &pair, 1, NULL));
    }
}

static void make_set(mlkv *db, mlkv_slice key, int members)
{
    enum { BATCH = 500 };
    static char names[BATCH][16];
    static mlkv_slice slices[BATCH];
    for (int i = 0; i < members; i += BATCH) {
        int n = members - i < BATCH ? members - i : BATCH;
        for (int j = 0; j < n; j++) {
            /* 25 bytes that begin like a blob's cell must not be taken for one */
            snprintf(names[j], sizeof names[j], "\2%07d", i + j);
            slices[j] = slice_of_text(names[j]);
        }
        OK(mlkv_set_add(db, key, slices, (size_t)n, NULL));
    }
    unsigned char imitation[CELL_BLOB_SIZE] = {CELL_BLOB, 1, 2, 3};
    mlkv_slice member = slice_of(imitation, sizeof imitation);
    OK(mlkv_set_add(db, key, &member, 1, NULL));
}

static void must_be_empty(mlkv *db)
{
    static const char *const classes[] = {"E", "L", "T", "G", "R"};
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        ck_assert_uint_eq(count_records(db, classes[i]), 0);
}

START_TEST(dead_lives_go)
{
    const char *folder = harness_folder();
    mlkv *db = folder_store(folder);
    mlkv_slice keys[] = {TEXT("hash"), TEXT("set"), TEXT("tensor")};
    mlkv_tensor tensor = {.dtype = MLKV_F32, .dimensions = 1, .shape = {100000}};
    mlkv_tensor_options options = {.size = sizeof options, .chunk_bytes = 4096};
    float *numbers = calloc(100000, sizeof *numbers);
    ck_assert_ptr_nonnull(numbers);
    make_hash(db, keys[0], 3000, 6);
    make_set(db, keys[1], 3000);
    fill_noise(numbers, 400000, 1);
    OK(mlkv_tensor_put(db, keys[2], &tensor, numbers, &options));
    make_hash(db, TEXT("living hash"), 100, 1);
    make_set(db, TEXT("living set"), 99);
    OK(mlkv_key_delete(db, keys, 3, NULL));
    verify_all(db);
    clean_all(db);
    verify_all(db);
    ck_assert_uint_eq(count_records(db, "G"), 0);
    ck_assert_uint_eq(count_records(db, "E"), 201);
    ck_assert_uint_eq(count_records(db, "L"), 100);
    ck_assert_uint_eq(count_records(db, "T"), 0);
    ck_assert_uint_eq(count_records(db, "R"), 1);
    mlkv_slice living[] = {TEXT("living hash"), TEXT("living set")};
    OK(mlkv_key_delete(db, living, 2, NULL));
    OK(mlkv_close(db)); /* what is left to do survives */
    db = folder_store(folder);
    clean_all(db);
    must_be_empty(db);
    verify_all(db);
    free(numbers);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* The first G record says where to go on. */
static void check_progress(mlkv *db)
{
    scan *walk = NULL;
    mlkv_slice key, value;
    OK(scan_open(db, TEXT("G"), slice_of(NULL, 0), &walk));
    OK(scan_next(walk, &key, &value));
    ck_assert_uint_gt(value.size, 1 + 9);
    scan_close(walk);
}

/* More than one step: progress is noted in G, and taken up after reopening. */
START_TEST(a_long_life_goes_in_steps)
{ /* the store's own keeper may be at it as well: how much is left after one step is not certain */
    const char *folder = harness_folder();
    mlkv *db = folder_store(folder);
    mlkv_slice keys[] = {TEXT("hash"), TEXT("set")};
    make_hash(db, keys[0], 20000, 2);
    make_set(db, keys[1], 20000);
    OK(mlkv_key_delete(db, keys, 2, NULL));
    size_t before = count_records(db, "E");
    OK(clean_step(db));
    ck_assert_uint_lt(count_records(db, "E"), before);
    if (count_records(db, "G") == 2)
        check_progress(db);
    verify_all(db);
    OK(mlkv_close(db));
    db = folder_store(folder);
    clean_all(db);
    must_be_empty(db);
    verify_all(db);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

static void *clean_thread(void *argument)
{
    int result;
    while ((result = clean_step(argument)) == MLKV_OK)
        ;
    return result == MLKV_ABSENT ? NULL : argument;
}

/* Blobs are released once, whoever comes first. */
START_TEST(two_cleaners)
{
    mlkv *db = memory_store();
    for (int round = 0; round < 3; round++) {
        mlkv_slice keys[] = {TEXT("hash"), TEXT("set")};
        make_hash(db, keys[0], 2000, 4);
        make_set(db, keys[1], 2000);
        OK(mlkv_key_delete(db, keys, 2, NULL));
        pthread_t threads[2];
        void *failed[2];
        for (int i = 0; i < 2; i++)
            ck_assert_int_eq(pthread_create(&threads[i], NULL, clean_thread, db), 0);
        for (int i = 0; i < 2; i++)
            ck_assert_int_eq(pthread_join(threads[i], &failed[i]), 0);
        ck_assert(failed[0] == NULL && failed[1] == NULL);
        clean_all(db);
        must_be_empty(db);
        verify_all(db);
    }
    OK(mlkv_close(db));
}
END_TEST

START_TEST(many_small_lives)
{
    mlkv *db = memory_store();
    char name[16];
    for (int i = 0; i < 2500; i++) {
        snprintf(name, sizeof name, "h%d", i);
        mlkv_slice key = slice_of_text(name);
        mlkv_pair pair = {TEXT("f"), TEXT("v")};
        OK(mlkv_hash_set(db, key, &pair, 1, NULL));
        OK(mlkv_key_delete(db, &key, 1, NULL));
    }
    clean_all(db);
    must_be_empty(db);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

/* Records that make no sense are passed over, or go; they never stop the cleaner. */
START_TEST(hostile_records)
{
    mlkv *db = memory_store();
    unsigned char blob[CELL_BLOB_SIZE] = {CELL_BLOB, 99, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0,
                                          0,         0,  0, 0, 1, 0, 0, 0, 1, 0, 0, 0};
    record records[] = {{TEXT("G"), TEXT("\2")},
                        {TEXT("Gshort"), TEXT("\2")},
                        {TEXT("G\0\0\0\0\0\0\0\1"), TEXT("")},
                        {TEXT("G\0\0\0\0\0\0\0\2"), TEXT("\0")},
                        {TEXT("G\0\0\0\0\0\0\0\3"), TEXT("\377")},
                        {TEXT("G\0\0\0\0\0\0\0\4"), TEXT("\1")},
                        {TEXT("G\0\0\0\0\0\1\0\5"), TEXT("\2Tnot of a hash")},
                        {TEXT("E\0\0\0\0\0\1\0\5a"), slice_of(blob, sizeof blob)},
                        {TEXT("E\0\0\0\0\0\1\0\5b"), TEXT("")},
                        {TEXT("G\0\0\0\0\0\1\0\6"), TEXT("\6")},
                        {TEXT("T\0\0\0\0\0\1\0\6x"), TEXT("short")}};
    for (size_t i = 0; i < sizeof records / sizeof *records; i++)
        OK(op_write(db, put_record, &records[i]));
    make_hash(db, TEXT("living"), 10, 0);
    clean_all(db);
    ck_assert_uint_eq(count_records(db, "G"), 6);
    ck_assert_uint_eq(count_records(db, "E"), 10);
    ck_assert_uint_eq(count_records(db, "T"), 0);
    OK(mlkv_close(db));
}
END_TEST

/* The store's own keeper comes by itself. */
START_TEST(the_keeper_cleans)
{
    mlkv *db = memory_store();
    mlkv_slice key = TEXT("hash");
    make_hash(db, key, 100, 0);
    OK(mlkv_key_delete(db, &key, 1, NULL));
    size_t left = 1;
    for (int i = 0; i < 3000 && left != 0; i++) { /* half a minute at most: a loaded machine */
        left = count_records(db, "E") + count_records(db, "G");
        if (left != 0)
            usleep(10000);
    }
    ck_assert_uint_eq(left, 0);
    OK(mlkv_close(db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("clean");
    TCase *tcase = harness_case(suite, "clean");
    tcase_add_test(tcase, dead_lives_go);
    tcase_add_test(tcase, a_long_life_goes_in_steps);
    tcase_add_test(tcase, two_cleaners);
    tcase_add_test(tcase, many_small_lives);
    tcase_add_test(tcase, hostile_records);
    tcase_add_test(tcase, the_keeper_cleans);
    return harness_run(suite);
}
