/* test_scan.c - scans beside an oracle: LMDB, what is pending, a transaction's writes and the
 * operation's own merged, tombstones included; frozen at their opening. */
#include "fixture.h"

#include <inttypes.h>

enum { NAMES = 120, DELETED = 0, ROUNDS = 400 };

static uint64_t random_state = 4711;

static uint64_t draw(uint64_t bound)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (random_state >> 11) % bound;
}

/* In key order: "Ka", "Ka0", ... names that are prefixes of others, in four groups. */
static mlkv_slice name_of(size_t i)
{
    static char names[4][32];
    static unsigned slot;
    char *to = names[slot++ % 4];
    return slice_of(to, (size_t)snprintf(to, 32, "K%c%.*s%02zu", (int)('a' + i / 30),
                                         (int)(i % 30 / 10), "xx", i % 30));
}

typedef struct {
    uint64_t versions[NAMES]; /* DELETED, or what the value says */
} oracle;

static uint64_t last_version = 1;

static mlkv_slice value_of(uint64_t version)
{
    static unsigned char value[1200];
    store_le64(value, version);
    return slice_of(value, 8 + version * 37 % 1190);
}

typedef struct {
    op *o;
    mlkv *view;
} target;

static int change_one(const target *to, oracle *expected)
{
    size_t i = draw(NAMES);
    bool deletes = draw(3) == 0;
    expected->versions[i] = deletes ? DELETED : ++last_version;
    mlkv_slice name = name_of(i);
    if (to->o != NULL)
        return deletes ? op_delete(to->o, name) : op_put(to->o, name, value_of(last_version));
    return deletes ? drop(to->view, name) : put(to->view, name, value_of(last_version));
}

/* Walks a scan of [prefix, after) to its end and compares. */
static void expect(scan *opened, const oracle *expected, mlkv_slice prefix, mlkv_slice after)
{
    mlkv_slice key, value;
    for (size_t i = 0; i < NAMES; i++) {
        mlkv_slice name = name_of(i);
        if (expected->versions[i] == DELETED || !slice_starts_with(name, prefix) ||
            (after.size != 0 && slice_compare(name, after) <= 0))
            continue;
        OK(scan_next(opened, &key, &value));
        ck_assert_msg(slice_equal(key, name), "%.*s instead of %.*s", (int)key.size,
                      (const char *)key.data, (int)name.size, (const char *)name.data);
        ck_assert(slice_equal(value, value_of(expected->versions[i])));
    }
    MUST(MLKV_ABSENT, scan_next(opened, &key, &value));
    MUST(MLKV_ABSENT, scan_next(opened, &key, &value));
}

/* Goes here and there in the same scan, forward and back, within what it was opened for. */
static void expect_seeks(scan *opened, const oracle *expected, mlkv_slice prefix, mlkv_slice after)
{
    mlkv_slice key, value;
    for (int round = 0; round < 10; round++) {
        size_t i = draw(NAMES), j = i;
        if (after.size != 0 && slice_compare(name_of(i), after) <= 0)
            continue;
        OK(scan_seek(opened, name_of(i)));
        while (j < NAMES &&
               (expected->versions[j] == DELETED || slice_compare(name_of(j), prefix) < 0))
            j++;
        bool there = j < NAMES && slice_starts_with(name_of(j), prefix);
        for (int steps = 0; steps < 2 && there; steps++) {
            OK(scan_next(opened, &key, &value));
            ck_assert(slice_equal(key, name_of(j)));
            ck_assert(slice_equal(value, value_of(expected->versions[j])));
            for (j++; j < NAMES && expected->versions[j] == DELETED; j++)
                ;
            there = j < NAMES && slice_starts_with(name_of(j), prefix);
        }
        if (!there)
            MUST(MLKV_ABSENT, scan_next(opened, &key, &value));
    }
}

typedef struct {
    char prefix_bytes[32], after_bytes[32];
    mlkv_slice prefix, after;
} range;

static range draw_range(void)
{
    range r = {.prefix_bytes = "K"};
    mlkv_slice name = name_of(draw(NAMES)), other = name_of(draw(NAMES));
    memcpy(r.prefix_bytes, name.data, name.size);
    memcpy(r.after_bytes, other.data, other.size);
    r.prefix.size = draw(3) == 0 ? name.size : 1 + draw(2);
    r.after.size = draw(2) == 0 ? 0 : draw(4) == 0 ? 1 : other.size;
    return r;
}

static void check_view(mlkv *view, const oracle *expected)
{
    range r = draw_range();
    scan *opened = NULL;
    r.prefix.data = r.prefix_bytes;
    r.after.data = r.after_bytes;
    OK(scan_open(view, r.prefix, r.after, &opened));
    expect(opened, expected, r.prefix, r.after);
    scan_close(opened);
}

typedef struct {
    mlkv *view;
    oracle *expected;
} in_rule;

/* Changes, scans within the operation, changes while the scan is open, which it must not show. */
static int mixed_rule(op *o, void *context)
{
    in_rule *self = context;
    target own = {.o = o};
    range r = draw_range();
    scan *opened = NULL;
    r.prefix.data = r.prefix_bytes;
    r.after.data = r.after_bytes;
    for (uint64_t i = draw(8); i > 0; i--)
        OK(change_one(&own, self->expected));
    int result = op_scan_open(o, r.prefix, r.after, &opened);
    if (result != MLKV_OK)
        return result; /* runs again: the changes made so far are void, which single-threaded tests
                          do not meet */
    oracle then = *self->expected;
    for (uint64_t i = draw(8); i > 0; i--)
        OK(change_one(&own, self->expected));
    expect(opened, &then, r.prefix, r.after);
    expect_seeks(opened, &then, r.prefix, r.after);
    scan_close(opened);
    return MLKV_OK;
}

static void change_many(mlkv *view, oracle *expected, uint64_t n)
{
    target to = {.view = view};
    for (uint64_t i = 0; i < n; i++) {
        if (draw(4) == 0) {
            in_rule self = {view, expected};
            OK(op_write(view, mixed_rule, &self));
        } else {
            OK(change_one(&to, expected));
        }
    }
}

START_TEST(merges)
{
    const char *folder = harness_folder();
    mlkv *db = open_still(folder), *transaction, *snapshot = NULL;
    oracle now = {{0}}, then = now;
    OK(mlkv_snapshot(db, &snapshot));
    for (int round = 0; round < ROUNDS; round++) {
        change_many(db, &now, draw(12));
        check_view(db, &now);
        if (draw(4) == 0) {
            oracle inside = now;
            OK(mlkv_begin(db, &transaction));
            change_many(transaction, &inside,
                        draw(3) == 0 ? 150 : draw(10)); /* sometimes past the ring */
            check_view(transaction, &inside);
            check_view(db, &now);
            bool keeps = draw(2) == 0;
            OK(keeps ? mlkv_commit(transaction) : mlkv_abort(transaction));
            if (keeps)
                now = inside;
            check_view(db, &now);
        }
        if (draw(6) == 0)
            apply_all(db);
        check_view(snapshot, &then);
        if (draw(20) == 0) {
            OK(mlkv_close(snapshot));
            OK(mlkv_snapshot(db, &snapshot));
            then = now;
        }
    }
    OK(mlkv_close(snapshot));
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* An open scan shows its moment, whatever is written, applied, or overtakes it. */
START_TEST(stands_still)
{
    const char *folder = harness_folder();
    mlkv *db = open_still(folder);
    oracle now = {{0}};
    for (int round = 0; round < 10; round++) {
        scan *opened = NULL;
        change_many(db, &now, 60);
        if (round % 2 == 0)
            apply_all(db);
        oracle then = now;
        OK(scan_open(db, TEXT("K"), slice_of(NULL, 0), &opened));
        change_many(db, &now, 300); /* several rings */
        apply_all(db);
        expect(opened, &then, TEXT("K"), slice_of(NULL, 0));
        expect_seeks(opened, &then, TEXT("K"), slice_of(NULL, 0));
        scan_close(opened);
        check_view(db, &now);
    }
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

START_TEST(outlives_its_view)
{
    const char *folder = harness_folder();
    mlkv *db = open_still(folder);
    oracle now = {{0}};
    scan *opened = NULL;
    change_many(db, &now, 100);
    OK(scan_open(db, TEXT("K"), slice_of(NULL, 0), &opened));
    OK(mlkv_close(db));
    expect(opened, &now, TEXT("K"), slice_of(NULL, 0));
    scan_close(opened); /* now the store is closed */
    scan_close(NULL);
    db = open_still(folder);
    check_view(db, &now);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

START_TEST(refuses)
{
    const char *folder = harness_folder();
    mlkv *db = open_still(folder);
    static const unsigned char bytes[RECORD_KEY_SIZE_MAX + 1] = "K";
    scan *opened = NULL;
    mlkv_slice key, value;
    int status;
    MUST(MLKV_E_ARGUMENT, scan_open(NULL, TEXT("K"), slice_of(NULL, 0), &opened));
    MUST(MLKV_E_SIZE, scan_open(db, slice_of(bytes, sizeof bytes), slice_of(NULL, 0), &opened));
    MUST(MLKV_E_SIZE, scan_open(db, TEXT("K"), slice_of(bytes, sizeof bytes), &opened));
    ck_assert_ptr_null(opened);
    OK(scan_open(db, slice_of(bytes, RECORD_KEY_SIZE_MAX), slice_of(bytes, RECORD_KEY_SIZE_MAX),
                 &opened));
    MUST(MLKV_ABSENT, scan_next(opened, &key, &value));
    scan_close(opened);
    OK(put(db, TEXT("K1"), TEXT("1")));
    OK(scan_open(db, TEXT("K"), slice_of(NULL, 0), &opened));
    IN_CHILD(status, {
        CHILD_MUST(scan_next(opened, &key, &value) == MLKV_E_OWNER);
        scan_close(opened);
        CHILD_MUST(scan_open(db, TEXT("K"), slice_of(NULL, 0), &opened) == MLKV_OK);
        CHILD_MUST(scan_next(opened, &key, &value) == MLKV_OK && slice_equal(key, TEXT("K1")));
        scan_close(opened);
        CHILD_MUST(mlkv_close(db) == MLKV_OK);
    });
    ck_assert_int_eq(status, 0);
    OK(scan_next(opened, &key, &value));
    scan_close(opened);
    /* without a prefix: everything, the store's own records, too */
    OK(scan_open(db, slice_of(NULL, 0), slice_of(NULL, 0), &opened));
    size_t count = 0;
    while (scan_next(opened, &key, &value) == MLKV_OK)
        count++;
    ck_assert_uint_ge(count, 4);
    scan_close(opened);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("scan");
    TCase *tcase = harness_case(suite, "scan");
    tcase_add_test(tcase, merges);
    tcase_add_test(tcase, stands_still);
    tcase_add_test(tcase, outlives_its_view);
    tcase_add_test(tcase, refuses);
    return harness_run(suite);
}
