/* test_hash_expiry.c - fields that end by themselves: times, conditions, outcomes, every reader, and random operations
 * against a table. test_field_pass.c has the pass that removes them.
 *
 * The clock is shifted (fault_clock_shift) rather than waited for.
 */
#include "types/fields.h"

START_TEST(a_field_is_gone_to_every_reader)
{
    mlkv *db = memory_store();
    mlkv_buffer value = {0};
    mlkv_rows rows = {0};
    mlkv_slice names[] = {TEXT("a"), TEXT("b"), TEXT("c")};
    uint64_t size = 77;
    size_t count = 77;
    for (int i = 0; i < 3; i++)
        set(db, names[i], TEXT("value"));
    ck_assert_int_eq(ttl(db, names[0]), MLKV_NO_EXPIRY);
    ck_assert_int_eq(expire(db, names[1], HOUR), MLKV_FIELD_CHANGED);
    ck_assert_int_gt(ttl(db, names[1]), HOUR / 2);
    ck_assert_int_le(ttl(db, names[1]), HOUR);
    ck_assert_int_gt(expiry(db, names[1]), clock_wall_ms() + HOUR / 2);
    ck_assert_uint_eq(count_records(db, "Y"), 1);
    ck_assert_uint_eq(count_records(db, "F"), 1);
    OK(mlkv_hash_get(db, KEY, names[1], &value));
    IS(TEXT("value"), value);
    OK(mlkv_hash_get_all(db, KEY, &rows));
    ck_assert_uint_eq(rows.count, 6);
    verify_all(db);
    fault_clock_shift(HOUR);
    ck_assert_uint_eq(length(db), 2);
    MUST(MLKV_ABSENT, mlkv_hash_get(db, KEY, names[1], &value));
    MUST(MLKV_ABSENT, mlkv_hash_value_length(db, KEY, names[1], &size));
    ck_assert(!there(db, names[1]));
    ck_assert(there(db, names[2]));
    OK(mlkv_hash_get_many(db, KEY, names, 3, &rows));
    ck_assert_ptr_null(rows.items[1].data);
    ck_assert_ptr_nonnull(rows.items[2].data);
    OK(mlkv_hash_get_all(db, KEY, &rows));
    ck_assert_uint_eq(rows.count, 4);
    OK(mlkv_hash_keys(db, KEY, &rows));
    ck_assert_uint_eq(rows.count, 2);
    ck_assert(slice_equal(rows.items[1], names[2]));
    OK(mlkv_hash_values(db, KEY, &rows));
    ck_assert_uint_eq(rows.count, 2);
    OK(mlkv_hash_random(db, KEY, 50, 1, 0, &rows));
    ck_assert_uint_eq(rows.count, 2);
    OK(mlkv_hash_random(db, KEY, 50, 0, 0, &rows));
    ck_assert_uint_eq(rows.count, 50);
    for (size_t i = 0; i < 50; i++)
        ck_assert(!slice_equal(rows.items[i], names[1]));
    ck_assert_int_eq(ttl(db, names[1]), MLKV_FIELD_ABSENT);
    ck_assert_int_eq(expiry(db, names[1]), MLKV_FIELD_ABSENT);
    ck_assert_int_eq(persist(db, names[1]), MLKV_FIELD_ABSENT);
    ck_assert_int_eq(expire(db, names[1], HOUR), MLKV_FIELD_ABSENT);
    OK(mlkv_hash_delete(db, KEY, &names[1], 1, &count));
    ck_assert_uint_eq(count, 0);
    mlkv_cursor *cursor = NULL;
    mlkv_query query = {.size = sizeof query, .kind = MLKV_SCAN_HASH, .key = KEY};
    mlkv_slice name, ignored;
    OK(mlkv_cursor_open(db, &query, &cursor));
    OK(mlkv_cursor_next(cursor, &name, &ignored));
    ck_assert(slice_equal(name, names[0]));
    OK(mlkv_cursor_next(cursor, &name, NULL));
    ck_assert(slice_equal(name, names[2]));
    MUST(MLKV_ABSENT, mlkv_cursor_next(cursor, &name, NULL));
    mlkv_cursor_close(cursor);
    verify_all(db);
    expire_all(db);
    no_records(db, "YF");
    ck_assert_uint_eq(count_records(db, "E"), 2);
    ck_assert_uint_eq(length(db), 2);
    verify_all(db);
    mlkv_rows_free(&rows);
    mlkv_buffer_free(&value);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(conditions_and_outcomes_are_those_of_redis)
{
    static const struct {
        mlkv_expire_condition condition;
        int64_t old, new, expected;
    } cases[] = {
        {MLKV_EXPIRE_ALWAYS, 0, 10, 1},
        {MLKV_EXPIRE_ALWAYS, 20, 10, 1},
        {MLKV_EXPIRE_IF_NONE, 0, 10, 1},
        {MLKV_EXPIRE_IF_NONE, 20, 10, 0},
        {MLKV_EXPIRE_IF_ANY, 0, 10, 0},
        {MLKV_EXPIRE_IF_ANY, 20, 10, 1},
        {MLKV_EXPIRE_IF_LATER, 0, 10, 0},
        {MLKV_EXPIRE_IF_LATER, 20, 10, 0},
        {MLKV_EXPIRE_IF_LATER, 20, 30, 1},
        {MLKV_EXPIRE_IF_LATER, 20, 20, 0},
        {MLKV_EXPIRE_IF_SOONER, 0, 10, 1},
        {MLKV_EXPIRE_IF_SOONER, 20, 10, 1},
        {MLKV_EXPIRE_IF_SOONER, 20, 30, 0},
        {MLKV_EXPIRE_IF_SOONER, 20, 20, 0},
        /* a time that is over: the condition comes first */
        {MLKV_EXPIRE_ALWAYS, 0, -2 * HOUR, 2},
        {MLKV_EXPIRE_IF_ANY, 0, -2 * HOUR, 0},
        {MLKV_EXPIRE_IF_SOONER, 20, -2 * HOUR, 2},
        {MLKV_EXPIRE_IF_LATER, 20, -2 * HOUR, 0},
    };
    mlkv *db = memory_store();
    int64_t base = clock_wall_ms() + HOUR;
    set(db, TEXT("other"), TEXT("v"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        set(db, TEXT("f"), TEXT("v"));
        ck_assert_int_eq(expiry(db, TEXT("f")), MLKV_NO_EXPIRY); /* setting ended it */
        if (cases[i].old != 0)
            expire_at(db, TEXT("f"), base + cases[i].old, MLKV_EXPIRE_ALWAYS);
        int64_t outcome = expire_at(db, TEXT("f"), base + cases[i].new, cases[i].condition);
        ck_assert_int_eq(outcome, cases[i].expected);
        int64_t kept = outcome == 1 ? cases[i].new : cases[i].old;
        ck_assert_int_eq(expiry(db, TEXT("f")), outcome == 2 ? MLKV_FIELD_ABSENT
                                                : kept == 0  ? MLKV_NO_EXPIRY
                                                             : base + kept);
        verify_all(db);
    }
    mlkv_slice fields[] = {TEXT("f"), TEXT("none"), TEXT("other"), TEXT("f")};
    int64_t outcomes[4];
    set(db, TEXT("f"), TEXT("v"));
    OK(mlkv_hash_expire(db, KEY, fields, 4, HOUR, MLKV_EXPIRE_IF_NONE, outcomes));
    ck_assert_int_eq(outcomes[0], 1);
    ck_assert_int_eq(outcomes[1], -2);
    ck_assert_int_eq(outcomes[2], 1);
    ck_assert_int_eq(outcomes[3], 0); /* named twice: it has one by now */
    OK(mlkv_hash_persist(db, KEY, fields, 4, outcomes));
    ck_assert_int_eq(outcomes[0], 1);
    ck_assert_int_eq(outcomes[1], -2);
    ck_assert_int_eq(outcomes[3], -1);
    no_records(db, "YF");
    OK(mlkv_hash_expire(db, TEXT("none"), fields, 4, HOUR, MLKV_EXPIRE_ALWAYS, outcomes));
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(outcomes[i], -2);
    OK(mlkv_hash_expire(db, KEY, NULL, 0, HOUR, MLKV_EXPIRE_ALWAYS, NULL));
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(misuse_changes_nothing)
{
    mlkv *db = memory_store();
    mlkv_slice field = TEXT("f"), bad = {NULL, 1};
    int64_t outcome = 77;
    set(db, field, TEXT("v"));
    OK(mlkv_string_set(db, TEXT("s"), TEXT("v"), MLKV_SET_ALWAYS));
    MUST(MLKV_E_TYPE, mlkv_hash_expire(db, TEXT("s"), &field, 1, 5, MLKV_EXPIRE_ALWAYS, &outcome));
    MUST(MLKV_E_TYPE, mlkv_hash_ttl(db, TEXT("s"), &field, 1, &outcome));
    MUST(MLKV_E_ARGUMENT,
         mlkv_hash_expire(db, KEY, &field, 1, 5, (mlkv_expire_condition)6, &outcome));
    MUST(MLKV_E_ARGUMENT, mlkv_hash_expire(db, KEY, &bad, 1, 5, MLKV_EXPIRE_ALWAYS, &outcome));
    MUST(MLKV_E_ARGUMENT, mlkv_hash_expire(db, KEY, NULL, 1, 5, MLKV_EXPIRE_ALWAYS, &outcome));
    MUST(MLKV_E_ARGUMENT, mlkv_hash_expire(db, KEY, &field, 1, 5, MLKV_EXPIRE_ALWAYS, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_hash_expire(NULL, KEY, &field, 1, 5, MLKV_EXPIRE_ALWAYS, &outcome));
    MUST(MLKV_E_ARGUMENT, mlkv_hash_persist(db, bad, &field, 1, &outcome));
    MUST(MLKV_E_ARGUMENT, mlkv_hash_expiry(db, KEY, &field, 1, NULL));
    MUST(MLKV_E_RANGE,
         mlkv_hash_expire(db, KEY, &field, 1, INT64_MAX, MLKV_EXPIRE_ALWAYS, &outcome));
    ck_assert_int_eq(outcome, 77);
    no_records(db, "YF");
    ck_assert_int_eq(expire_at(db, field, INT64_MAX, MLKV_EXPIRE_ALWAYS), 1);
    ck_assert_int_eq(expiry(db, field), INT64_MAX);
    verify_all(db);
    mlkv *snapshot = NULL;
    OK(mlkv_snapshot(db, &snapshot));
    MUST(MLKV_E_READONLY,
         mlkv_hash_expire(snapshot, KEY, &field, 1, 5, MLKV_EXPIRE_ALWAYS, &outcome));
    ck_assert_int_eq(expiry(snapshot, field), INT64_MAX);
    OK(mlkv_close(snapshot));
    OK(mlkv_close(db));
}
END_TEST

START_TEST(setting_ends_an_expiry_and_adding_keeps_it)
{
    mlkv *db = memory_store();
    mlkv_buffer text = {0};
    int64_t sum = 0;
    OK(mlkv_hash_add(db, KEY, TEXT("n"), 5, NULL));
    expire(db, TEXT("n"), HOUR);
    OK(mlkv_hash_add(db, KEY, TEXT("n"), 5, &sum));
    ck_assert_int_eq(sum, 10);
    OK(mlkv_hash_add_float(db, KEY, TEXT("n"), 0.5, &text));
    IS(TEXT("10.5"), text);
    ck_assert_int_gt(ttl(db, TEXT("n")), 0);
    verify_all(db);
    set(db, TEXT("n"), TEXT("7"));
    ck_assert_int_eq(ttl(db, TEXT("n")), MLKV_NO_EXPIRY);
    no_records(db, "YF");
    /* on a field that is gone each of them begins anew, without an expiry */
    for (int i = 0; i < 4; i++) {
        size_t added = 77;
        set(db, TEXT("other"), TEXT("v"));
        fault_clock_shift(0);
        expire_all(db);
        set(db, TEXT("n"), TEXT("7"));
        ck_assert_int_eq(expire(db, TEXT("n"), HOUR), 1);
        fault_clock_shift(2 * HOUR);
        if (i == 0)
            OK(mlkv_hash_add(db, KEY, TEXT("n"), 1, &sum));
        else if (i == 1)
            OK(mlkv_hash_add_float(db, KEY, TEXT("n"), 1, &text));
        else if (i == 2)
            OK(mlkv_hash_set_if_absent(db, KEY, TEXT("n"), TEXT("1")));
        else {
            OK(mlkv_hash_set(db, KEY, &(mlkv_pair){TEXT("n"), TEXT("1")}, 1, &added));
            ck_assert_uint_eq(added, 1);
        }
        OK(mlkv_hash_get(db, KEY, TEXT("n"), &text));
        IS(TEXT("1"), text);
        ck_assert_int_eq(ttl(db, TEXT("n")), MLKV_NO_EXPIRY);
        ck_assert_uint_eq(length(db), 2);
        no_records(db, "YF");
        verify_all(db);
        set(db, TEXT("later"), TEXT("v"));
        expire_all(db);
        OK(mlkv_hash_delete(db, KEY, &(mlkv_slice){"later", 5}, 1, NULL));
    }
    mlkv_buffer_free(&text);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(the_last_field_takes_the_key_along)
{
    mlkv *db = memory_store();
    mlkv_type type;
    set(db, TEXT("a"), TEXT("1"));
    set(db, TEXT("b"), TEXT("2"));
    OK(mlkv_key_expire(db, KEY, 100 * HOUR, MLKV_EXPIRE_ALWAYS));
    expire(db, TEXT("a"), HOUR);
    expire(db, TEXT("b"), 2 * HOUR);
    fault_clock_shift(HOUR + 1);
    ck_assert(key_there(db));
    ck_assert_uint_eq(length(db), 1);
    fault_clock_shift(2 * HOUR + 1);
    ck_assert(!key_there(db));
    ck_assert_uint_eq(length(db), 0);
    OK(mlkv_key_type(db, KEY, &type));
    ck_assert_int_eq(type, MLKV_TYPE_NONE);
    mlkv_cursor *cursor = NULL;
    mlkv_query query = {.size = sizeof query};
    mlkv_slice name;
    OK(mlkv_cursor_open(db, &query, &cursor));
    MUST(MLKV_ABSENT, mlkv_cursor_next(cursor, &name, NULL));
    mlkv_cursor_close(cursor);
    verify_all(db);
    /* another type may stand there now, and a new hash has no expiry of the old one */
    OK(mlkv_string_set(db, KEY, TEXT("text"), MLKV_SET_IF_ABSENT));
    no_records(db, "XF");
    verify_all(db);
    OK(mlkv_key_delete(db, &(mlkv_slice){"h", 1}, 1, NULL));
    clean_all(db);
    no_records(db, "EGKXYF");
    verify_all(db);
    /* by the pass, and the cleaner */
    set(db, TEXT("a"), TEXT("1"));
    expire(db, TEXT("a"), HOUR);
    fault_clock_shift(4 * HOUR);
    expire_all(db);
    ck_assert_uint_eq(key_count(db), 0);
    clean_all(db);
    no_records(db, "EGKXYF");
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

/* The field that would expire last is deleted or moved: the key goes with the last one left. */
START_TEST(the_key_goes_though_its_bounds_are_stale)
{
    mlkv *db = memory_store();
    set(db, TEXT("a"), TEXT("1"));
    set(db, TEXT("b"), TEXT("2"));
    set(db, TEXT("c"), TEXT("3"));
    expire(db, TEXT("a"), HOUR);
    expire(db, TEXT("b"), 2 * HOUR);
    expire(db, TEXT("c"), 9 * HOUR);
    OK(mlkv_hash_delete(db, KEY, &(mlkv_slice){"c", 1}, 1, NULL));
    ck_assert_int_eq(persist(db, TEXT("a")), 1);
    expire(db, TEXT("a"), 2 * HOUR);
    verify_all(db);
    fault_clock_shift(HOUR + 60000); /* the earliest known is over, and nothing is gone */
    ck_assert_uint_eq(length(db), 2);
    ck_assert(key_there(db));
    expire_all(db);
    ck_assert_uint_eq(count_records(db, "Y"), 2);
    verify_all(db);
    fault_clock_shift(2 * HOUR + 60000);
    ck_assert(!key_there(db));
    ck_assert_uint_eq(length(db), 0);
    expire_all(db);
    ck_assert_uint_eq(key_count(db), 0);
    clean_all(db);
    no_records(db, "EGKXYF");
    OK(mlkv_close(db));
}
END_TEST

START_TEST(long_names_and_large_values_expire)
{
    enum { LARGE = 300000 };
    const char *folder = harness_folder();
    mlkv *db = folder_store(folder);
    static char noise[LARGE];
    mlkv_buffer value = {0};
    static const size_t sizes[] = {0, 1, 480, 493, 494, 495, 501, 502, 503, 20000};
    enum { COUNT = sizeof sizes / sizeof *sizes };
    fill_noise(noise, LARGE, 1);
    for (unsigned i = 0; i < COUNT; i++) {
        mlkv_slice name = sizes[i] < 4 ? slice_of("xy", sizes[i]) : long_name(sizes[i], i);
        set(db, name, slice_of(noise, i % 2 == 0 ? LARGE : 3000));
        ck_assert_int_eq(expire(db, name, (i % 3 + 1) * HOUR), 1);
    }
    set(db, TEXT("stays"), TEXT("v"));
    verify_all(db);
    OK(mlkv_close(db));
    db = folder_store(folder);
    for (unsigned i = 0; i < COUNT; i++) {
        mlkv_slice name = sizes[i] < 4 ? slice_of("xy", sizes[i]) : long_name(sizes[i], i);
        OK(mlkv_hash_get(db, KEY, name, &value));
        IS(slice_of(noise, i % 2 == 0 ? LARGE : 3000), value);
        ck_assert_int_gt(ttl(db, name), (i % 3) * HOUR);
    }
    for (unsigned hour = 1; hour <= 3; hour++) {
        fault_clock_shift(hour * HOUR + 30000);
        uint64_t left = length(db);
        ck_assert_uint_eq(left, hour == 1 ? 7 : hour == 2 ? 4 : 1);
        expire_all(db);
        ck_assert_uint_eq(count_records(db, "E"), left);
        ck_assert_uint_eq(count_records(db, "Y"), left - 1);
        verify_all(db);
    }
    no_records(db, "RFY");
    mlkv_buffer_free(&value);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

START_TEST(snapshots_and_transactions_stand_still)
{
    mlkv *db = memory_store(), *snapshot = NULL, *transaction = NULL;
    set(db, TEXT("a"), TEXT("1"));
    expire(db, TEXT("a"), HOUR);
    OK(mlkv_snapshot(db, &snapshot));
    fault_clock_shift(2 * HOUR);
    ck_assert(!there(db, TEXT("a")));
    ck_assert(!key_there(db));
    ck_assert(there(snapshot, TEXT("a")));
    ck_assert(key_there(snapshot));
    ck_assert_uint_eq(length(snapshot), 1);
    expire_all(db);
    ck_assert(there(snapshot, TEXT("a")));
    OK(mlkv_close(snapshot));
    OK(mlkv_begin(db, &transaction));
    set(transaction, TEXT("b"), TEXT("1"));
    ck_assert_int_eq(expire(transaction, TEXT("b"), HOUR), 1);
    fault_clock_shift(4 * HOUR);
    ck_assert(there(transaction, TEXT("b")));
    ck_assert_uint_eq(length(transaction), 1);
    OK(mlkv_commit(transaction));
    ck_assert(!there(db, TEXT("b")));
    expire_all(db);
    OK(mlkv_begin(db, &transaction));
    set(transaction, TEXT("c"), TEXT("1"));
    expire(transaction, TEXT("c"), HOUR);
    OK(mlkv_abort(transaction));
    clean_all(db);
    no_records(db, "KYFEG");
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

/* --- against a table --- */

enum { FIELDS = 24 };
typedef struct {
    int value[FIELDS];     /* -1: absent */
    int64_t at_ms[FIELDS]; /* 0: never */
} oracle;

static int64_t table_now;

static void tick(oracle *expected, int64_t shift)
{
    table_now += shift;
    fault_clock_shift(table_now);
    int64_t now = clock_wall_ms();
    for (int i = 0; i < FIELDS; i++)
        if (expected->at_ms[i] != 0 && expected->at_ms[i] <= now)
            expected->value[i] = -1, expected->at_ms[i] = 0;
}

static void check_oracle(mlkv *view, const oracle *expected)
{
    mlkv_rows rows = {0};
    char name[16], text[16];
    uint64_t count = 0;
    OK(mlkv_hash_get_all(view, KEY, &rows));
    for (int i = 0; i < FIELDS; i++) {
        snprintf(name, sizeof name, "field%02d", i);
        snprintf(text, sizeof text, "%d", expected->value[i]);
        ck_assert_int_eq(expiry(view, slice_of_text(name)), expected->value[i] < 0 ? -2
                                                            : expected->at_ms[i] == 0
                                                                ? -1
                                                                : expected->at_ms[i]);
        if (expected->value[i] < 0)
            continue;
        ck_assert_uint_lt(2 * count + 1, rows.count);
        ck_assert(slice_equal(rows.items[2 * count], slice_of_text(name)));
        ck_assert(slice_equal(rows.items[2 * count + 1], slice_of_text(text)));
        count++;
    }
    ck_assert_uint_eq(rows.count, 2 * count);
    ck_assert_uint_eq(length(view), count);
    ck_assert_int_eq(key_there(view), count != 0);
    mlkv_rows_free(&rows);
}

static void step_expire(mlkv *view, oracle *expected, int i, mlkv_slice name, unsigned *seed)
{
    mlkv_expire_condition condition = (mlkv_expire_condition)(rand_r(seed) % 6);
    int64_t now = clock_wall_ms(), old = expected->at_ms[i];
    /* ticks are 90 s and 1800 s: half a minute and more from where they end, so that a slow run is none too slow */
    int64_t at =
        now + (rand_r(seed) % 12 - 1) * (HOUR / 4) + HOUR / 8 + 45000 + 1000 * (rand_r(seed) % 7);
    bool holds = expiry_holds(condition, old, at);
    int64_t outcome = expire_at(view, name, at, condition);
    if (expected->value[i] < 0)
        ck_assert_int_eq(outcome, MLKV_FIELD_ABSENT);
    else if (!holds)
        ck_assert_int_eq(outcome, MLKV_FIELD_UNCHANGED);
    else if (outcome == MLKV_FIELD_DELETED) {
        ck_assert_int_le(at, clock_wall_ms());
        expected->value[i] = -1;
        expected->at_ms[i] = 0;
    } else {
        ck_assert_int_eq(outcome, MLKV_FIELD_CHANGED);
        ck_assert_int_gt(at, now);
        expected->at_ms[i] = at;
    }
}

static void random_step(mlkv *view, oracle *expected, unsigned *seed)
{
    char name[16], text[16];
    int i = rand_r(seed) % FIELDS, what = rand_r(seed) % 64;
    size_t changed = 77;
    snprintf(name, sizeof name, "field%02d", i);
    mlkv_slice field = slice_of_text(name);
    bool was = expected->value[i] >= 0;
    if (what == 0) {
        OK(mlkv_key_delete(view, &(mlkv_slice){"h", 1}, 1, NULL));
        for (int k = 0; k < FIELDS; k++)
            expected->value[k] = -1, expected->at_ms[k] = 0;
    } else if (what < 14) {
        OK(mlkv_hash_delete(view, KEY, &field, 1, &changed));
        ck_assert_uint_eq(changed, was);
        expected->value[i] = -1;
        expected->at_ms[i] = 0;
    } else if (what < 20) {
        OK(mlkv_hash_add(view, KEY, field, 3, NULL));
        expected->value[i] = was ? expected->value[i] + 3 : 3;
    } else if (what < 24) {
        ck_assert_int_eq(persist(view, field), !was ? -2 : expected->at_ms[i] == 0 ? -1 : 1);
        expected->at_ms[i] = 0;
    } else if (what < 36) {
        int value = rand_r(seed) % 1000;
        snprintf(text, sizeof text, "%d", value);
        OK(mlkv_hash_set(view, KEY, &(mlkv_pair){field, slice_of_text(text)}, 1, &changed));
        ck_assert_uint_eq(changed, !was);
        expected->value[i] = value;
        expected->at_ms[i] = 0;
    } else {
        step_expire(view, expected, i, field, seed);
    }
}

static void random_round(mlkv *db, oracle *now, unsigned *seed)
{
    mlkv *tx = NULL;
    oracle inside = *now;
    OK(mlkv_begin(db, &tx));
    for (int i = 0; i < 8; i++)
        random_step(tx, &inside, seed);
    check_oracle(tx, &inside);
    check_oracle(db, now);
    bool keeps = rand_r(seed) % 3 != 0;
    OK(keeps ? mlkv_commit(tx) : mlkv_abort(tx));
    *now = keeps ? inside : *now;
    for (int i = 0; i < 8; i++)
        random_step(db, now, seed);
    check_oracle(db, now);
    tick(now, rand_r(seed) % 4 == 0 ? HOUR / 2 + 7 : 90000);
    check_oracle(db, now);
    if (rand_r(seed) % 4 == 0)
        expire_all(db);
    if (rand_r(seed) % 16 == 0)
        clean_all(db);
}

/* Times are hours apart and the test takes seconds: nothing expires while it looks, but by its own ticks. */
START_TEST(random_operations)
{
    const char *folder = harness_folder(), *rounds_wanted = getenv("MLKV_TEST_ROUNDS");
    int rounds = rounds_wanted != NULL ? atoi(rounds_wanted) : 240;
    mlkv *db = folder_store(folder);
    oracle now;
    unsigned seed = 4711;
    for (int i = 0; i < FIELDS; i++)
        now.value[i] = -1, now.at_ms[i] = 0;
    for (int round = 0; round < rounds; round++) {
        random_round(db, &now, &seed);
        if (round % 40 == 39) {
            mlkv *snapshot = NULL;
            OK(mlkv_snapshot(db, &snapshot));
            oracle then = now;
            random_step(db, &now, &seed);
            check_oracle(snapshot, &then);
            OK(mlkv_close(snapshot));
            verify_all(db);
            OK(mlkv_close(db));
            db = folder_store(folder);
            check_oracle(db, &now);
        }
    }
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("types/hash_expiry");
    TCase *tcase = harness_case(suite, "hash_expiry");
    tcase_add_test(tcase, a_field_is_gone_to_every_reader);
    tcase_add_test(tcase, conditions_and_outcomes_are_those_of_redis);
    tcase_add_test(tcase, misuse_changes_nothing);
    tcase_add_test(tcase, setting_ends_an_expiry_and_adding_keeps_it);
    tcase_add_test(tcase, the_last_field_takes_the_key_along);
    tcase_add_test(tcase, the_key_goes_though_its_bounds_are_stale);
    tcase_add_test(tcase, long_names_and_large_values_expire);
    tcase_add_test(tcase, snapshots_and_transactions_stand_still);
    tcase_add_test(tcase, random_operations);
    return harness_run(suite);
}
