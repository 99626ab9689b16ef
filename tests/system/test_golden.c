/* test_golden.c - stores that an earlier build of this format version wrote are opened, recovered,
 * checked, written to and verified.
 *
 * MLKV_GOLDEN names tests/golden. The folders there are copied first; lock.mdb and journal.lock are
 * not among the files, since they carry nothing.
 */
#include "golden.h"
#include "harness.h"

static void copy_store(const char *name, const char *folder)
{
    char command[1600];
    const char *golden = getenv("MLKV_GOLDEN");
    ck_assert_msg(golden != NULL, "MLKV_GOLDEN is not set: run the tests through meson");
    snprintf(command, sizeof command, "cp '%s/v1/%s/'* '%s/' && chmod u+w '%s/'*", golden, name,
             folder, folder);
    ck_assert_int_eq(system(command), 0);
}

static bool holds(mlkv *view, mlkv_slice key, mlkv_slice want)
{
    mlkv_buffer got = {0};
    int result = mlkv_string_get(view, key, &got);
    bool same = result == MLKV_OK && slice_equal(slice_of_buffer(&got), want);
    mlkv_buffer_free(&got);
    return same;
}

static void check_strings(mlkv *view)
{
    static unsigned char blob[GOLDEN_BLOB];
    golden_bytes(blob, sizeof blob);
    ck_assert(holds(view, TEXT("blob"), slice_of(blob, sizeof blob)));
    ck_assert(holds(view, TEXT("compressed"), slice_of(blob, 3000)));
    ck_assert(holds(view, golden_long_name(), TEXT("of a long name")));
    ck_assert(holds(view, TEXT(""), TEXT("")));
    ck_assert(holds(view, TEXT("counter"), TEXT("-42")));
}

static void check_hash(mlkv *view)
{
    static unsigned char bytes[5000];
    char field[32], value[32];
    mlkv_buffer got = {0};
    uint64_t length;
    golden_bytes(bytes, sizeof bytes);
    OK(mlkv_hash_length(view, TEXT("hash"), &length));
    ck_assert_uint_eq(length, GOLDEN_FIELDS + 1);
    for (int i = 0; i < GOLDEN_FIELDS; i++) {
        OK(mlkv_hash_get(view, TEXT("hash"), golden_number(field, "field", i), &got));
        ck_assert(slice_equal(slice_of_buffer(&got), golden_number(value, "value", i)));
    }
    OK(mlkv_hash_get(view, TEXT("hash"), golden_long_name(), &got));
    ck_assert(slice_equal(slice_of_buffer(&got), slice_of(bytes, sizeof bytes)));
    mlkv_buffer_free(&got);
}

static void check_set(mlkv *view)
{
    mlkv_slice members[] = {TEXT("one"), TEXT("two"), TEXT("three"), golden_long_name(), TEXT("")};
    uint8_t present[5];
    uint64_t count;
    OK(mlkv_set_count(view, TEXT("set"), &count));
    ck_assert_uint_eq(count, 4);
    OK(mlkv_set_contains(view, TEXT("set"), members, 5, present));
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(present[i], i != 1);
}

static void check_tensor(mlkv *view)
{
    float numbers[GOLDEN_ROWS * GOLDEN_COLUMNS];
    mlkv_tensor_info info = {.size = sizeof info};
    OK(mlkv_tensor_get_info(view, TEXT("tensor"), &info));
    ck_assert(info.tensor.dtype == MLKV_F32 && info.tensor.dimensions == 2 && info.version == 2 &&
              info.chunk_rows == 25 && info.chunks == 2);
    ck_assert(info.tensor.shape[0] == GOLDEN_ROWS && info.tensor.shape[1] == GOLDEN_COLUMNS);
    OK(mlkv_tensor_get(view, TEXT("tensor"), numbers, sizeof numbers));
    for (int i = 0; i < GOLDEN_ROWS * GOLDEN_COLUMNS; i++) {
        int column = i % GOLDEN_COLUMNS;
        float want = golden_element(i) + (i / GOLDEN_COLUMNS == 3 ? 2 * golden_element(column) : 0);
        ck_assert_msg(numbers[i] == want, "element %d is %f, not %f", i, (double)numbers[i],
                      (double)want);
    }
}

static void check_all(mlkv *view)
{
    mlkv_slice deleted = TEXT("deleted");
    uint64_t keys;
    size_t count;
    check_strings(view);
    check_hash(view);
    check_set(view);
    check_tensor(view);
    OK(mlkv_key_exists(view, &deleted, 1, &count));
    ck_assert_uint_eq(count, 0);
    OK(mlkv_key_count(view, &keys));
    ck_assert_uint_eq(keys, 8);
}

/* Opens, checks, writes, closes, and all again. */
static void use(const char *folder)
{
    int64_t sum;
    for (int round = 0; round < 2; round++) {
        mlkv *db = NULL;
        mlkv_report report = {.size = sizeof report};
        OK(mlkv_open(folder, NULL, &db));
        check_all(db);
        OK(mlkv_verify(db, NULL, NULL, &report));
        ck_assert_uint_eq(report.problems, 0);
        ck_assert_uint_eq(report.keys, 8);
        OK(mlkv_string_add(db, TEXT("counter"), 1, &sum));
        ck_assert_int_eq(sum, -41);
        OK(mlkv_string_add(db, TEXT("counter"), -1, &sum));
        OK(mlkv_verify(db, NULL, NULL, &report));
        OK(mlkv_close(db));
    }
}

START_TEST(opens_what_was_closed)
{
    const char *folder = harness_folder();
    copy_store("clean", folder);
    use(folder);
    harness_remove(folder);
}
END_TEST

START_TEST(recovers_what_crashed)
{
    const char *folder = harness_folder();
    char path[700];
    mlkv_options read_only = {.size = sizeof read_only, .flags = MLKV_READ_ONLY};
    mlkv *db = NULL;
    copy_store("crashed", folder);
    snprintf(path, sizeof path, "%s/journal.lock", folder);
    FILE *lock = fopen(path, "w"); /* read-only looks whether anybody lives */
    ck_assert_ptr_nonnull(lock);
    (void)fclose(lock);
    MUST(MLKV_E_RECOVERY, mlkv_open(folder, &read_only, &db));
    use(folder);
    OK(mlkv_open(folder, &read_only, &db));
    check_all(db);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* Its head says a pid namespace that is not ours; ring or log alone are enough. */
START_TEST(recovers_from_either_copy)
{
    static const char *const names[] = {"journal.ring", "journal.log"};
    for (int i = 0; i < 2; i++) {
        const char *folder = harness_folder();
        char path[700];
        copy_store("crashed", folder);
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        ck_assert_int_eq(unlink(path), 0);
        mlkv_options options = {.size = sizeof options};
        mlkv *db = NULL;
        MUST(MLKV_E_MISMATCH, mlkv_open(folder, &options, &db)); /* no death removes a file */
        options.flags = MLKV_ACCEPT_LOSS;
        OK(mlkv_open(folder, &options, &db));
        OK(mlkv_close(db));
        use(folder);
        harness_remove(folder);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("golden");
    TCase *tcase = harness_case(suite, "golden");
    tcase_add_test(tcase, opens_what_was_closed);
    tcase_add_test(tcase, recovers_what_crashed);
    tcase_add_test(tcase, recovers_from_either_copy);
    return harness_run(suite);
}
