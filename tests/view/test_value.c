/* test_value.c - values behind the waist: small ones as cells, large ones as blobs that are
 * adopted, counted, released, given up; nothing is left over.
 *
 * Records under test are "K<name>" -> cell, put and dropped by rules that adopt, retain and release
 * as types do.
 */
#include "fixture.h"

enum { LARGE = 9000, SMALL = 700 };

static mlkv_slice bytes_of(size_t size, unsigned seed)
{
    static unsigned char bytes[8][3 << 20];
    static unsigned slot;
    unsigned char *to = bytes[slot++ % 8];
    uint64_t x = seed * 2654435761u + 1;
    ck_assert_uint_le(size, sizeof bytes[0]);
    for (size_t i = 0; i < size; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        to[i] = (unsigned char)(x >> 56);
    }
    return slice_of(to, size);
}

typedef struct {
    mlkv_slice key, other;
    op_value *value;
    mlkv_buffer *into;
    uint64_t offset;
    size_t size;
    void *to;
    int result, runs;
} call;

/* As a typed set does: lets go of what stood there, refers to the new one. */
static int set_rule(op *o, void *context)
{
    call *c = context;
    mlkv_buffer old = {0};
    c->runs++;
    int result = op_get(o, c->key, &old);
    if (result == MLKV_OK)
        result = op_cell_release(o, slice_of_buffer(&old));
    else if (result == MLKV_ABSENT)
        result = MLKV_OK;
    if (result == MLKV_OK && c->value != NULL)
        result = op_value_adopt(o, c->value);
    if (result == MLKV_OK)
        result = c->value != NULL ? op_put(o, c->key, slice_of_buffer(&c->value->cell))
                                  : op_delete(o, c->key);
    if (result == MLKV_OK && c->other.size != 0) {
        result = op_value_adopt(o, c->value);
        if (result == MLKV_OK)
            result = op_put(o, c->other, slice_of_buffer(&c->value->cell));
    }
    mlkv_buffer_free(&old);
    return result != MLKV_OK ? result : c->result;
}

static int copy_rule(op *o, void *context)
{
    call *c = context;
    mlkv_buffer cell = {0};
    int result = op_get(o, c->key, &cell);
    if (result == MLKV_OK)
        result = op_cell_retain(o, slice_of_buffer(&cell));
    if (result == MLKV_OK)
        result = op_put(o, c->other, slice_of_buffer(&cell));
    mlkv_buffer_free(&cell);
    return result;
}

static int read_rule(op *o, void *context)
{
    call *c = context;
    mlkv_buffer cell = {0};
    c->runs++;
    c->into->size = 0;
    int result = op_get(o, c->key, &cell);
    if (result == MLKV_OK)
        result = op_cell_append(o, slice_of_buffer(&cell), c->into);
    mlkv_buffer_free(&cell);
    return result;
}

static int part_rule(op *o, void *context)
{
    call *c = context;
    mlkv_buffer cell = {0};
    int result = op_get(o, c->key, &cell);
    if (result == MLKV_OK)
        result = op_cell_read(o, slice_of_buffer(&cell), c->offset, c->size, c->to);
    mlkv_buffer_free(&cell);
    return result;
}

static int set_with(mlkv *view, mlkv_slice key, mlkv_slice other, mlkv_slice raw, int result)
{
    op_value value = {0};
    call c = {.key = key, .other = other, .value = &value, .result = result};
    OK(op_value_prepare(view, raw, &value));
    int got = op_write(view, set_rule, &c);
    op_value_done(view, &value);
    return got;
}

static int set(mlkv *view, mlkv_slice key, mlkv_slice raw)
{
    return set_with(view, key, slice_of(NULL, 0), raw, MLKV_OK);
}

static int unset(mlkv *view, mlkv_slice key)
{
    call c = {.key = key};
    return op_write(view, set_rule, &c);
}

static bool has(mlkv *view, mlkv_slice key, mlkv_slice raw)
{
    mlkv_buffer got = {0};
    call c = {.key = key, .into = &got};
    int result = op_read(view, read_rule, &c);
    bool same = result == MLKV_OK && slice_equal(slice_of_buffer(&got), raw);
    if (result < 0)
        fprintf(stderr, "reading: %d %s\n", result, mlkv_error_detail());
    mlkv_buffer_free(&got);
    return same;
}

static void clean_all(mlkv *db)
{
    engine *self = atomic_load(&db->engine);
    do
        apply_all(db);
    while (engine_clean_waste(self) == MLKV_OK);
    apply_all(db);
}

/* Blobs in the store, references to them; no waste, no note without a blob. */
static void expect_counts(mlkv *db, size_t blobs, size_t references)
{
    clean_all(db);
    OK(engine_clean_notes(atomic_load(&db->engine), true));
    ck_assert_uint_eq(count_class(db, RECORD_BLOB), blobs);
    ck_assert_uint_eq(count_class(db, RECORD_REFERENCE), references);
    ck_assert_uint_eq(count_class(db, RECORD_WASTE), 0);
    ck_assert_uint_eq(count_class(db, RECORD_NOTE), 0);
}

START_TEST(keeps_all_sizes)
{
    static const size_t sizes[] = {0,    1,    SMALL, 1023,    1024,          4095,
                                   4096, 4097, LARGE, 1 << 20, (1 << 20) + 1, 3 << 20};
    const char *folder = harness_folder();
    mlkv *db = open_still(folder), *snapshot = NULL;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        mlkv_slice raw = bytes_of(sizes[i], (unsigned)i);
        OK(set(db, TEXT("Kone"), raw));
        ck_assert(has(db, TEXT("Kone"), raw));
        OK(mlkv_snapshot(db, &snapshot));
        ck_assert(has(snapshot, TEXT("Kone"), raw));
        OK(set(db, TEXT("Kone"), TEXT("other")));
        clean_all(db);
        ck_assert(has(snapshot, TEXT("Kone"), raw)); /* its blob is gone from the live store */
        OK(mlkv_close(snapshot));
        ck_assert(has(db, TEXT("Kone"), TEXT("other")));
    }
    static char compressible[LARGE];
    OK(set(db, TEXT("Kone"), slice_of(compressible, 3000)));
    ck_assert(has(db, TEXT("Kone"), slice_of(compressible, 3000)));
    OK(set(db, TEXT("Kone"), slice_of(compressible, sizeof compressible)));
    ck_assert(has(db, TEXT("Kone"), slice_of(compressible, sizeof compressible)));
    OK(unset(db, TEXT("Kone")));
    expect_counts(db, 0, 0);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

START_TEST(reads_parts)
{
    static const size_t sizes[] = {SMALL, LARGE, (2 << 20) + 77};
    static char zeros[3000];
    const char *folder = harness_folder();
    mlkv *db = open_still(folder);
    unsigned char got[5000];
    for (int i = 0; i < 4; i++) {
        mlkv_slice raw = i < 3 ? bytes_of(sizes[i], (unsigned)i) : slice_of(zeros, sizeof zeros);
        OK(set(db, TEXT("Kone"), raw));
        for (uint64_t offset = 0; offset <= raw.size; offset += raw.size / 7 + 1) {
            call c = {.key = TEXT("Kone"), .offset = offset, .to = got};
            c.size = raw.size - offset < sizeof got ? raw.size - (size_t)offset : sizeof got;
            OK(op_read(db, part_rule, &c));
            ck_assert_int_eq(memcmp(got, (const char *)raw.data + offset, c.size), 0);
        }
        call c = {.key = TEXT("Kone"), .offset = raw.size, .size = 1, .to = got};
        MUST(MLKV_E_RANGE, op_read(db, part_rule, &c));
        c = (call){.key = TEXT("Kone"), .offset = raw.size + 1, .to = got};
        MUST(MLKV_E_RANGE, op_read(db, part_rule, &c));
        c = (call){.key = TEXT("Kone"), .offset = 1, .size = SIZE_MAX, .to = got};
        MUST(MLKV_E_RANGE, op_read(db, part_rule, &c));
    }
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

START_TEST(leaves_nothing)
{
    const char *folder = harness_folder();
    mlkv *db = open_still(folder), *transaction;
    mlkv_slice none = slice_of(NULL, 0);
    op_value value = {0};
    OK(op_value_prepare(db, bytes_of(LARGE, 1), &value)); /* prepared, and never used */
    ck_assert_uint_ne(value.blob.id, 0);
    ck_assert_uint_eq(count_class(db, RECORD_BLOB), 1);
    op_value_done(db, &value);
    op_value_done(db, &value);
    expect_counts(db, 0, 0);
    MUST(MLKV_E_NUMBER,
         set_with(db, TEXT("Kone"), none, bytes_of(LARGE, 2), MLKV_E_NUMBER)); /* refused */
    expect_counts(db, 0, 0);
    OK(set(db, TEXT("Kone"), bytes_of(LARGE, 3)));
    expect_counts(db, 1, 1);
    OK(set(db, TEXT("Kone"), bytes_of(LARGE, 4))); /* replaced */
    ck_assert(has(db, TEXT("Kone"), bytes_of(LARGE, 4)));
    expect_counts(db, 1, 1);
    MUST(MLKV_E_TYPE,
         set_with(db, TEXT("Kone"), none, bytes_of(LARGE, 5), MLKV_E_TYPE)); /* the old one stays */
    ck_assert(has(db, TEXT("Kone"), bytes_of(LARGE, 4)));
    OK(mlkv_begin(db, &transaction)); /* given up: what it wrote and what it let go of */
    OK(set(transaction, TEXT("Kone"), bytes_of(LARGE, 6)));
    OK(set(transaction, TEXT("Ktwo"), bytes_of(LARGE, 7)));
    ck_assert(has(transaction, TEXT("Kone"), bytes_of(LARGE, 6)) &&
              has(db, TEXT("Kone"), bytes_of(LARGE, 4)));
    MUST(MLKV_E_TYPE, set_with(transaction, TEXT("Ktwo"), none, bytes_of(LARGE, 8), MLKV_E_TYPE));
    ck_assert(has(transaction, TEXT("Ktwo"), bytes_of(LARGE, 7)));
    OK(mlkv_abort(transaction));
    ck_assert(has(db, TEXT("Kone"), bytes_of(LARGE, 4)));
    expect_counts(db, 1, 1);
    OK(mlkv_begin(db, &transaction)); /* written and replaced in the same transaction */
    for (unsigned i = 10; i < 15; i++)
        OK(set(transaction, TEXT("Kone"), bytes_of(LARGE, i)));
    OK(set(transaction, TEXT("Ktwo"), bytes_of(LARGE, 15)));
    OK(unset(transaction, TEXT("Ktwo")));
    OK(mlkv_commit(transaction));
    ck_assert(has(db, TEXT("Kone"), bytes_of(LARGE, 14)));
    expect_counts(db, 1, 1);
    OK(unset(db, TEXT("Kone")));
    expect_counts(db, 0, 0);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

START_TEST(counts_references)
{
    const char *folder = harness_folder();
    mlkv *db = open_still(folder);
    mlkv_slice raw = bytes_of(LARGE, 1);
    call copy = {.key = TEXT("Kone"), .other = TEXT("Kthree")};
    OK(set_with(db, TEXT("Kone"), TEXT("Ktwo"), raw, MLKV_OK)); /* adopted twice */
    OK(op_write(db, copy_rule, &copy));
    expect_counts(db, 1, 1);
    OK(unset(db, TEXT("Kone")));
    OK(unset(db, TEXT("Ktwo")));
    ck_assert(has(db, TEXT("Kthree"), raw));
    expect_counts(db, 1, 1);
    OK(unset(db, TEXT("Kthree")));
    expect_counts(db, 0, 0);
    OK(set(db, TEXT("Kone"), TEXT("small")));
    OK(op_write(db, copy_rule, &copy)); /* nothing to count */
    OK(unset(db, TEXT("Kone")));
    ck_assert(has(db, TEXT("Kthree"), TEXT("small")));
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* A value is used again after an operation that refused, and again after one that committed. */
START_TEST(is_used_again)
{
    const char *folder = harness_folder();
    mlkv *db = open_still(folder), *transaction;
    for (int inside = 0; inside < 2; inside++) {
        op_value value = {0};
        mlkv *view = db;
        if (inside) {
            OK(mlkv_begin(db, &transaction));
            view = transaction;
        }
        OK(op_value_prepare(view, bytes_of(LARGE, 1), &value));
        call c = {.key = TEXT("Kone"), .value = &value, .result = MLKV_E_NUMBER};
        MUST(MLKV_E_NUMBER, op_write(view, set_rule, &c));
        c.result = MLKV_OK;
        OK(op_write(view, set_rule, &c));
        c.key = TEXT("Ktwo");
        OK(op_write(view, set_rule, &c));
        op_value_done(view, &value);
        if (inside)
            OK(mlkv_commit(transaction));
        ck_assert(has(db, TEXT("Kone"), bytes_of(LARGE, 1)) &&
                  has(db, TEXT("Ktwo"), bytes_of(LARGE, 1)));
        expect_counts(db, 1, 1);
        OK(unset(db, TEXT("Kone")));
        OK(unset(db, TEXT("Ktwo")));
        expect_counts(db, 0, 0);
    }
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

START_TEST(prepares_many)
{
    enum { COUNT = 40 };
    const char *folder = harness_folder();
    mlkv *db = open_still(folder), *snapshot = NULL, *read_only = open_with(folder, MLKV_READ_ONLY);
    mlkv_slice raws[COUNT];
    op_value values[COUNT];
    memset(values, 0, sizeof values);
    for (size_t i = 0; i < COUNT; i++)
        raws[i] = i == 7 ? slice_of(NULL, 0) : bytes_of(LARGE, 3);
    uint64_t before = atomic_load(&atomic_load(&db->engine)->counters.batches_applied);
    OK(op_values_prepare(db, (planes_form){0}, raws, COUNT, true, values));
    ck_assert_uint_eq(atomic_load(&atomic_load(&db->engine)->counters.batches_applied), before);
    for (size_t i = 0; i < COUNT; i++) {
        char key[16];
        ck_assert((values[i].blob.id != 0) == (i != 7));
        call c = {.key = slice_of(key, (size_t)snprintf(key, sizeof key, "K%02zu", i)),
                  .value = &values[i]};
        OK(op_write(db, set_rule, &c));
        ck_assert(has(db, c.key, raws[i]));
        op_value_done(db, &values[i]);
    }
    expect_counts(db, COUNT - 1, COUNT - 1);
    OK(op_values_prepare(db, (planes_form){0}, raws, 0, true, values));
    OK(mlkv_snapshot(db, &snapshot));
    MUST(MLKV_E_READONLY, op_value_prepare(snapshot, raws[0], &values[0]));
    MUST(MLKV_E_READONLY, op_value_prepare(read_only, raws[0], &values[0]));
    MUST(MLKV_E_ARGUMENT, op_value_prepare(NULL, raws[0], &values[0]));
    OK(mlkv_close(snapshot));
    OK(mlkv_close(read_only));
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* What refers to nothing, or is no cell, is corruption, everywhere. */
/* Fails under R08-zero-revived of tests/broken. */
START_TEST(finds_corruption)
{
    const char *folder = harness_folder();
    mlkv *db = open_still(folder), *snapshot = NULL, *transaction;
    cell_blob nowhere = {12345, LARGE, 1, 1 << 20};
    mlkv_buffer cell = {0}, got = {0};
    OK(cell_encode_blob(&nowhere, &cell));
    OK(put(db, TEXT("Kblob"), slice_of_buffer(&cell)));
    OK(put(db, TEXT("Kcell"), TEXT("\x07 is no cell")));
    OK(mlkv_snapshot(db, &snapshot));
    OK(mlkv_begin(db, &transaction));
    mlkv *views[] = {transaction, db, snapshot};
    for (size_t i = 0; i < 3; i++) {
        if (i == 1)
            OK(mlkv_abort(transaction));
        call c = {.key = TEXT("Kblob"), .into = &got};
        MUST(MLKV_E_CORRUPT, op_read(views[i], read_rule, &c));
        ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "12345"));
        c = (call){.key = TEXT("Kcell"), .into = &got};
        MUST(MLKV_E_CORRUPT, op_read(views[i], read_rule, &c));
        c = (call){.key = TEXT("Kcell"), .size = 1, .to = &got};
        MUST(MLKV_E_CORRUPT, op_read(views[i], part_rule, &c));
    }
    MUST(MLKV_E_CORRUPT, unset(db, TEXT("Kblob"))); /* no count to take it from */
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "12345"));
    call copy = {.key = TEXT("Kblob"), .other = TEXT("Kcopy")};
    MUST(MLKV_E_CORRUPT, op_write(db, copy_rule, &copy));
    OK(mlkv_close(snapshot));
    mlkv_buffer_free(&cell);
    mlkv_buffer_free(&got);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

typedef struct {
    mlkv *db;
    _Atomic bool over;
} racing;

static void *replace_on(void *argument)
{
    racing *self = argument;
    for (unsigned i = 0; i < 150; i++) {
        OK(set(self->db, TEXT("Kone"), bytes_of(LARGE, i % 2)));
        (void)engine_clean_waste(atomic_load(&self->db->engine));
    }
    atomic_store(&self->over, true);
    return NULL;
}

/* A reader may find a blob gone that was replaced a moment ago: it reads again, and never fails. */
START_TEST(is_read_while_replaced)
{
    static unsigned char one[LARGE], other[LARGE];
    const char *folder = harness_folder();
    racing self = {.db = open_with(folder, 0)};
    pthread_t thread;
    mlkv_buffer got = {0};
    memcpy(one, bytes_of(LARGE, 0).data, LARGE);
    memcpy(other, bytes_of(LARGE, 1).data, LARGE);
    OK(set(self.db, TEXT("Kone"), slice_of(one, LARGE)));
    ck_assert_int_eq(pthread_create(&thread, NULL, replace_on, &self), 0);
    while (!atomic_load(&self.over)) {
        call c = {.key = TEXT("Kone"), .into = &got};
        OK(op_read(self.db, read_rule, &c));
        ck_assert(slice_equal(slice_of_buffer(&got), slice_of(one, LARGE)) ||
                  slice_equal(slice_of_buffer(&got), slice_of(other, LARGE)));
    }
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    expect_counts(self.db, 1, 1);
    mlkv_buffer_free(&got);
    OK(mlkv_close(self.db));
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("value");
    TCase *tcase = harness_case(suite, "value");
    tcase_add_test(tcase, keeps_all_sizes);
    tcase_add_test(tcase, reads_parts);
    tcase_add_test(tcase, leaves_nothing);
    tcase_add_test(tcase, counts_references);
    tcase_add_test(tcase, is_used_again);
    tcase_add_test(tcase, prepares_many);
    tcase_add_test(tcase, finds_corruption);
    tcase_add_test(tcase, is_read_while_replaced);
    return harness_run(suite);
}
