/* test_expiry.c - keys that end by themselves: times, conditions, every type, the pass that removes them, and clocks that are set.
 *
 * The clock is shifted (fault_clock_shift) rather than waited for. R11: one time for an operation, frozen in snapshots and
 * transactions; a removal reads its record again.
 */
#include "types/stores.h"

#include "base/clock.h"
#include "base/fault.h"
#include "types/expiry.h"

#include <sys/wait.h>

#define HOUR INT64_C(3600000)

static void set(mlkv *db, mlkv_slice key)
{
    OK(mlkv_string_set(db, key, TEXT("value"), MLKV_SET_ALWAYS));
}

static bool exists(mlkv *view, mlkv_slice key)
{
    size_t count = 7;
    OK(mlkv_key_exists(view, &key, 1, &count));
    return count == 1;
}

static int64_t ttl(mlkv *view, mlkv_slice key)
{
    int64_t ms = -7;
    OK(mlkv_key_ttl(view, key, &ms));
    return ms;
}

static int64_t expiry(mlkv *view, mlkv_slice key)
{
    int64_t at = -7;
    OK(mlkv_key_expiry(view, key, &at));
    return at;
}

/* Runs the pass until nothing is due. */
static void expire_all(mlkv *db)
{
    int result = MLKV_OK;
    for (int i = 0; i < 10000 && result == MLKV_OK; i++)
        result = expiry_step(db);
    MUST(MLKV_ABSENT, result);
}

START_TEST(a_key_ends_at_its_time)
{
    mlkv *db = memory_store();
    int64_t before = clock_wall_ms(), at;
    set(db, TEXT("k"));
    ck_assert_int_eq(ttl(db, TEXT("k")), MLKV_NO_EXPIRY);
    ck_assert_int_eq(expiry(db, TEXT("k")), MLKV_NO_EXPIRY);
    OK(mlkv_key_expire(db, TEXT("k"), HOUR, MLKV_EXPIRE_ALWAYS));
    at = expiry(db, TEXT("k"));
    ck_assert_int_ge(at, before + HOUR);
    ck_assert_int_le(at, clock_wall_ms() + HOUR);
    ck_assert_int_le(ttl(db, TEXT("k")), HOUR);
    ck_assert_int_gt(ttl(db, TEXT("k")), HOUR / 2);
    ck_assert_uint_eq(count_records(db, "X"), 1);
    verify_all(db);
    fault_clock_shift(HOUR);
    ck_assert(!exists(db, TEXT("k")));
    MUST(MLKV_ABSENT, mlkv_key_ttl(db, TEXT("k"), &at));
    MUST(MLKV_ABSENT, mlkv_key_expiry(db, TEXT("k"), &at));
    MUST(MLKV_ABSENT, mlkv_key_expire(db, TEXT("k"), HOUR, MLKV_EXPIRE_ALWAYS));
    MUST(MLKV_ABSENT, mlkv_key_persist(db, TEXT("k")));
    expire_all(db);
    ck_assert_uint_eq(key_count(db), 0);
    ck_assert_uint_eq(count_records(db, "X"), 0);
    ck_assert_uint_eq(count_records(db, "K"), 0);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(conditions_are_those_of_redis)
{
    static const struct {
        mlkv_expire_condition condition;
        int64_t old, new;
        int expected;
    } cases[] = {
        {MLKV_EXPIRE_ALWAYS, 0, 10, MLKV_OK},
        {MLKV_EXPIRE_ALWAYS, 20, 10, MLKV_OK},
        {MLKV_EXPIRE_IF_NONE, 0, 10, MLKV_OK},
        {MLKV_EXPIRE_IF_NONE, 20, 10, MLKV_ABSENT},
        {MLKV_EXPIRE_IF_ANY, 0, 10, MLKV_ABSENT},
        {MLKV_EXPIRE_IF_ANY, 20, 10, MLKV_OK},
        {MLKV_EXPIRE_IF_LATER, 0, 10, MLKV_ABSENT},
        {MLKV_EXPIRE_IF_LATER, 20, 10, MLKV_ABSENT},
        {MLKV_EXPIRE_IF_LATER, 20, 30, MLKV_OK},
        {MLKV_EXPIRE_IF_LATER, 20, 20, MLKV_ABSENT},
        {MLKV_EXPIRE_IF_SOONER, 0, 10, MLKV_OK},
        {MLKV_EXPIRE_IF_SOONER, 20, 10, MLKV_OK},
        {MLKV_EXPIRE_IF_SOONER, 20, 30, MLKV_ABSENT},
        {MLKV_EXPIRE_IF_SOONER, 20, 20, MLKV_ABSENT},
        {MLKV_EXPIRE_IF_ANY_SOONER, 0, 10, MLKV_ABSENT},
        {MLKV_EXPIRE_IF_ANY_SOONER, 20, 10, MLKV_OK},
        {MLKV_EXPIRE_IF_ANY_SOONER, 20, 30, MLKV_ABSENT},
        {MLKV_EXPIRE_IF_ANY_SOONER, 20, 20, MLKV_ABSENT},
    };
    mlkv *db = memory_store();
    int64_t base = clock_wall_ms() + HOUR;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        set(db, TEXT("k"));
        if (cases[i].old != 0)
            OK(mlkv_key_expire_at(db, TEXT("k"), base + cases[i].old, MLKV_EXPIRE_ALWAYS));
        MUST(cases[i].expected,
             mlkv_key_expire_at(db, TEXT("k"), base + cases[i].new, cases[i].condition));
        int64_t want = cases[i].expected == MLKV_OK ? cases[i].new : cases[i].old;
        ck_assert_int_eq(expiry(db, TEXT("k")), want == 0 ? MLKV_NO_EXPIRY : base + want);
        verify_all(db);
    }
    MUST(MLKV_E_ARGUMENT, mlkv_key_expire(db, TEXT("k"), 5, (mlkv_expire_condition)6));
    MUST(MLKV_E_ARGUMENT, mlkv_key_expire(NULL, TEXT("k"), 5, MLKV_EXPIRE_ALWAYS));
    MUST(MLKV_E_ARGUMENT, mlkv_key_ttl(db, TEXT("k"), NULL));
    MUST(MLKV_E_RANGE, mlkv_key_expire(db, TEXT("k"), INT64_MAX, MLKV_EXPIRE_ALWAYS));
    OK(mlkv_close(db));
}
END_TEST

START_TEST(a_time_that_is_over_deletes)
{
    mlkv *db = memory_store();
    static const int64_t over[] = {0, -1, INT64_MIN / 2};
    for (size_t i = 0; i < 3; i++) {
        set(db, TEXT("k"));
        OK(mlkv_key_expire(db, TEXT("k"), over[i], MLKV_EXPIRE_ALWAYS));
        ck_assert(!exists(db, TEXT("k")));
        set(db, TEXT("k"));
        OK(mlkv_key_expire_at(db, TEXT("k"), over[i], MLKV_EXPIRE_ALWAYS));
        ck_assert(!exists(db, TEXT("k")));
    }
    ck_assert_uint_eq(key_count(db), 0);
    set(db, TEXT("k"));
    OK(mlkv_key_expire_at(db, TEXT("k"), INT64_MAX, MLKV_EXPIRE_ALWAYS));
    ck_assert_int_eq(expiry(db, TEXT("k")), INT64_MAX);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

static void make_each_type(mlkv *db, int64_t ttl_ms)
{
    mlkv_pair pair = {TEXT("f"), TEXT("v")};
    mlkv_slice member = TEXT("m"), keys[] = {TEXT("s"), TEXT("h"), TEXT("set"), TEXT("t")};
    mlkv_tensor tensor = {.dtype = MLKV_F32, .dimensions = 1, .shape = {4}};
    float numbers[4] = {1, 2, 3, 4};
    set(db, keys[0]);
    OK(mlkv_hash_set(db, keys[1], &pair, 1, NULL));
    OK(mlkv_set_add(db, keys[2], &member, 1, NULL));
    OK(mlkv_tensor_put(db, keys[3], &tensor, numbers, NULL));
    for (size_t i = 0; i < 4; i++)
        OK(mlkv_key_expire(db, keys[i], ttl_ms, MLKV_EXPIRE_ALWAYS));
}

START_TEST(every_type_expires_and_leaves_nothing)
{
    mlkv *db = memory_store();
    static const char *const classes[] = {"K", "E", "L", "T", "G", "R", "X"};
    mlkv_pair pair = {TEXT("f2"), TEXT("v")};
    mlkv_slice member = TEXT("m2");
    uint64_t count = 7;
    make_each_type(db, HOUR);
    OK(mlkv_hash_set(db, TEXT("h"), &pair, 1, NULL)); /* keeps the expiry */
    OK(mlkv_set_add(db, TEXT("set"), &member, 1, NULL));
    ck_assert_int_gt(ttl(db, TEXT("h")), 0);
    ck_assert_int_gt(ttl(db, TEXT("set")), 0);
    verify_all(db);
    fault_clock_shift(2 * HOUR);
    OK(mlkv_hash_length(db, TEXT("h"), &count));
    ck_assert_uint_eq(count, 0);
    OK(mlkv_set_add(db, TEXT("set"), &member, 1, NULL)); /* a new life: nothing of the old one */
    OK(mlkv_set_count(db, TEXT("set"), &count));
    ck_assert_uint_eq(count, 1);
    ck_assert_int_eq(ttl(db, TEXT("set")), MLKV_NO_EXPIRY);
    verify_all(db);
    expire_all(db);
    ck_assert_uint_eq(key_count(db), 1);
    OK(mlkv_key_delete(db, &(mlkv_slice){"set", 3}, 1, NULL));
    clean_all(db);
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        ck_assert_uint_eq(count_records(db, classes[i]), 0);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(replacing_ends_an_expiry_and_counting_keeps_it)
{
    mlkv *db = memory_store();
    set(db, TEXT("k"));
    OK(mlkv_key_expire(db, TEXT("k"), HOUR, MLKV_EXPIRE_ALWAYS));
    set(db, TEXT("k"));
    ck_assert_int_eq(ttl(db, TEXT("k")), MLKV_NO_EXPIRY);
    ck_assert_uint_eq(count_records(db, "X"), 0);
    OK(mlkv_string_add(db, TEXT("n"), 1, NULL));
    OK(mlkv_key_expire(db, TEXT("n"), HOUR, MLKV_EXPIRE_ALWAYS));
    OK(mlkv_string_add(db, TEXT("n"), 1, NULL));
    ck_assert_int_gt(ttl(db, TEXT("n")), 0);
    OK(mlkv_key_persist(db, TEXT("n")));
    MUST(MLKV_ABSENT, mlkv_key_persist(db, TEXT("n")));
    ck_assert_uint_eq(count_records(db, "X"), 0);
    OK(mlkv_key_expire(db, TEXT("n"), HOUR, MLKV_EXPIRE_ALWAYS));
    OK(mlkv_key_delete(db, &(mlkv_slice){"n", 1}, 1, NULL));
    ck_assert_uint_eq(count_records(db, "X"), 0);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(large_values_and_long_names_expire)
{
    mlkv *db = memory_store();
    size_t size = 3 << 20;
    char *large = malloc(size);
    fill_noise(large, size, 1);
    for (unsigned i = 0; i < 5; i++) {
        mlkv_slice name = long_name(500 + 3 * i, i);
        OK(mlkv_string_set(db, name, slice_of(large, size), MLKV_SET_ALWAYS));
        OK(mlkv_key_expire(db, name, HOUR, MLKV_EXPIRE_ALWAYS));
        ck_assert_int_gt(ttl(db, name), 0);
    }
    verify_all(db);
    fault_clock_shift(HOUR + 1);
    expire_all(db);
    ck_assert_uint_eq(count_records(db, "X"), 0);
    ck_assert_uint_eq(count_records(db, "R"), 0);
    ck_assert_uint_eq(key_count(db), 0);
    verify_all(db);
    free(large);
    OK(mlkv_close(db));
}
END_TEST

/* R11: fails if a snapshot or a transaction asks for the time again (tests/broken). */
START_TEST(snapshots_and_transactions_stand_still)
{
    mlkv *db = memory_store(), *snapshot = NULL, *transaction = NULL;
    set(db, TEXT("k"));
    OK(mlkv_key_expire(db, TEXT("k"), HOUR, MLKV_EXPIRE_ALWAYS));
    OK(mlkv_snapshot(db, &snapshot));
    fault_clock_shift(2 * HOUR);
    ck_assert(!exists(db, TEXT("k")));
    ck_assert(exists(snapshot, TEXT("k")));
    expire_all(db);
    ck_assert(exists(snapshot, TEXT("k")));
    OK(mlkv_close(snapshot));
    set(db, TEXT("k"));
    OK(mlkv_key_expire(db, TEXT("k"), HOUR, MLKV_EXPIRE_ALWAYS));
    OK(mlkv_begin(db, &transaction));
    ck_assert(exists(transaction, TEXT("k")));
    fault_clock_shift(4 * HOUR);
    ck_assert(exists(transaction, TEXT("k")));
    ck_assert(!exists(db, TEXT("k")));
    OK(mlkv_commit(transaction));
    ck_assert(!exists(db, TEXT("k")));
    OK(mlkv_close(db));
}
END_TEST

START_TEST(cursors_leave_out_what_has_expired)
{
    mlkv *db = memory_store();
    mlkv_cursor *cursor = NULL;
    mlkv_query query = {.size = sizeof query};
    mlkv_slice name, value;
    set(db, TEXT("a"));
    set(db, TEXT("b"));
    set(db, TEXT("c"));
    OK(mlkv_key_expire(db, TEXT("b"), HOUR, MLKV_EXPIRE_ALWAYS));
    fault_clock_shift(2 * HOUR);
    OK(mlkv_cursor_open(db, &query, &cursor));
    fault_clock_shift(0); /* seen as gone: it stays gone */
    OK(mlkv_cursor_next(cursor, &name, &value));
    ck_assert(slice_equal(name, TEXT("a")));
    OK(mlkv_cursor_next(cursor, &name, &value));
    ck_assert(slice_equal(name, TEXT("c")));
    MUST(MLKV_ABSENT, mlkv_cursor_next(cursor, &name, &value));
    mlkv_cursor_close(cursor);
    ck_assert(!exists(db, TEXT("b")));
    OK(mlkv_close(db));
}
END_TEST

/* R11: fails if the removal does not read its record again. A key that the pass's scan found due is made anew before it is removed:
 * the first batch of removals has just released the writer lock. */
static mlkv *observed_db;
static _Thread_local int unlocked; /* the keeper's passings are not meant */
static _Thread_local bool observed;

static void make_anew(fault_point point)
{
    if (observed && point == FAULT_WRITE_UNLOCKED &&
        ++unlocked == 2) /* the first was the pass's beginning */
        set(observed_db, TEXT("z"));
}

/* Fails under R11-expired-removed-unread of tests/broken. */
START_TEST(a_removal_reads_its_key_again)
{
    mlkv *db = memory_store();
    char name[16];
    for (int i = 0; i < 130; i++) { /* more than one batch: z is in the second */
        snprintf(name, sizeof name, "k%d", i);
        set(db, slice_of_text(name));
        OK(mlkv_key_expire(db, slice_of_text(name), HOUR, MLKV_EXPIRE_ALWAYS));
    }
    set(db, TEXT("z"));
    OK(mlkv_key_expire(db, TEXT("z"), HOUR + 60000, MLKV_EXPIRE_ALWAYS));
    observed_db = db;
    expire_all(db); /* the hint is known now: the keeper has nothing to do either */
    observed = true;
    fault_observe(make_anew);
    fault_clock_shift(2 * HOUR);
    expire_all(db);
    fault_observe(NULL);
    ck_assert_int_gt(unlocked, 2);
    ck_assert(exists(db, TEXT("z")));
    ck_assert_uint_eq(key_count(db), 1);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(the_pass_removes_many_and_reads_what_is_due_only)
{
    enum { DUE = 20000, LATER = 20000 };
    mlkv *db = memory_store();
    mlkv *transaction = NULL;
    char name[32];
    OK(mlkv_begin(db, &transaction));
    for (int i = 0; i < DUE + LATER; i++) {
        int n = snprintf(name, sizeof name, "k%d", i);
        OK(mlkv_string_set(transaction, slice_of(name, (size_t)n), TEXT("v"), MLKV_SET_ALWAYS));
        OK(mlkv_key_expire(transaction, slice_of(name, (size_t)n), i < DUE ? HOUR : 3 * HOUR,
                           MLKV_EXPIRE_ALWAYS));
    }
    OK(mlkv_commit(transaction));
    expire_all(db);
    ck_assert_uint_eq(key_count(db), DUE + LATER);
    fault_clock_shift(2 * HOUR);
    expire_all(db);
    ck_assert_uint_eq(key_count(db), LATER);
    ck_assert_uint_eq(count_records(db, "X"), LATER);
    expiry_times times;
    OK(op_expiry_times(db, &times));
    ck_assert_int_gt(times.due_ms,
                     times.now_ms + HOUR / 2); /* until then a step looks at nothing */
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

/* The keeper does it by itself. */
START_TEST(keys_go_in_the_background)
{
    const char *folder = harness_folder();
    mlkv *db = folder_store(folder);
    set(db, TEXT("k"));
    OK(mlkv_key_expire(db, TEXT("k"), 50, MLKV_EXPIRE_ALWAYS));
    for (int i = 0; i < 2000 && key_count(db) != 0; i++)
        clock_sleep_us(10000);
    ck_assert_uint_eq(key_count(db), 0);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

START_TEST(what_was_due_while_the_store_was_closed_goes_after_opening)
{
    const char *folder = harness_folder();
    mlkv *db = folder_store(folder);
    set(db, TEXT("k"));
    set(db, TEXT("l"));
    OK(mlkv_key_expire(db, TEXT("k"), HOUR, MLKV_EXPIRE_ALWAYS));
    OK(mlkv_key_expire(db, TEXT("l"), 3 * HOUR, MLKV_EXPIRE_ALWAYS));
    OK(mlkv_close(db));
    fault_clock_shift(2 * HOUR);
    db = folder_store(folder);
    ck_assert(!exists(db, TEXT("k")));
    ck_assert(exists(db, TEXT("l")));
    for (int i = 0; i < 2000 && key_count(db) != 1; i++)
        clock_sleep_us(10000);
    ck_assert_uint_eq(key_count(db), 1);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* Fails under R11-clock-goes-back of tests/broken. */
START_TEST(a_clock_set_back_revives_nothing)
{
    const char *folder = harness_folder();
    mlkv *db = folder_store(folder);
    fault_clock_shift(10 * HOUR);
    set(db, TEXT("seen"));
    set(db, TEXT("unseen"));
    set(db, TEXT("later"));
    OK(mlkv_key_expire(db, TEXT("unseen"), HOUR - 1000, MLKV_EXPIRE_ALWAYS));
    OK(mlkv_key_expire(db, TEXT("seen"), HOUR, MLKV_EXPIRE_ALWAYS));
    OK(mlkv_key_expire(db, TEXT("later"), 3 * HOUR, MLKV_EXPIRE_ALWAYS));
    fault_clock_shift(11 * HOUR + 1);
    ck_assert(!exists(db, TEXT("seen")));
    fault_clock_shift(0);
    ck_assert(!exists(db, TEXT("seen")));
    ck_assert(!exists(db, TEXT("unseen")));
    ck_assert(exists(db, TEXT("later")));
    OK(mlkv_close(db));
    db = folder_store(folder); /* nor does opening it anew */
    ck_assert(!exists(db, TEXT("seen")));
    ck_assert(!exists(db, TEXT("unseen")));
    /* and time goes on from the clock as it is now: what is counted from now is right */
    set(db, TEXT("new"));
    OK(mlkv_key_expire(db, TEXT("new"), 60000, MLKV_EXPIRE_ALWAYS));
    ck_assert_int_le(expiry(db, TEXT("new")), clock_wall_ms() + 60000);
    ck_assert_uint_eq(key_count(db), 2);
    ck_assert(exists(db, TEXT("later")));
    verify_all(db);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* All processes are killed right after something was seen to be gone, and the clock is set back. */
START_TEST(a_clock_set_back_after_a_death_revives_nothing)
{
    const char *folder = harness_folder();
    pid_t pid = harness_fork();
    if (pid == 0) {
        mlkv *db = folder_store(folder);
        set(db, TEXT("k"));
        OK(mlkv_key_expire(db, TEXT("k"), HOUR, MLKV_EXPIRE_ALWAYS));
        fault_arm(FAULT_WRITE_LOCKED, FAULT_KILL, 1, 0); /* the keeper's removal dies */
        fault_clock_shift(2 * HOUR);
        if (!exists(db, TEXT("k")))
            for (int i = 0; i < 2000; i++)
                clock_sleep_us(10000);
        _exit(1);
    }
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status));
    mlkv *db = folder_store(folder);
    ck_assert(!exists(db, TEXT("k")));
    for (int i = 0; i < 2000 && key_count(db) != 0; i++)
        clock_sleep_us(10000);
    ck_assert_uint_eq(key_count(db), 0);
    verify_all(db);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

START_TEST(a_small_step_back_is_waited_for)
{
    mlkv *db = memory_store();
    set(db, TEXT("k"));
    set(db, TEXT("l"));
    OK(mlkv_key_expire(db, TEXT("k"), HOUR, MLKV_EXPIRE_ALWAYS));
    OK(mlkv_key_expire(db, TEXT("l"), HOUR + 60000, MLKV_EXPIRE_ALWAYS));
    fault_clock_shift(HOUR + 1);
    ck_assert(!exists(db, TEXT("k")));
    fault_clock_shift(HOUR - 400);
    ck_assert(!exists(db, TEXT("k")));
    ck_assert(exists(db, TEXT("l")));
    OK(mlkv_close(db));
}
END_TEST

typedef struct {
    mlkv_slice name;
    int64_t from_ms, to_ms;
} break_call;

static int break_rule(op *o, void *context)
{
    const break_call *call = context;
    return expiry_move(o, call->name, call->from_ms, call->to_ms);
}

static void break_expiry(mlkv *db, mlkv_slice name, int64_t from_ms, int64_t to_ms)
{
    OK(op_write(db, break_rule, &(break_call){name, from_ms, to_ms}));
}

START_TEST(verify_tells_of_expiries_that_do_not_fit)
{
    mlkv *db = memory_store();
    set(db, TEXT("k"));
    OK(mlkv_key_expire(db, TEXT("k"), HOUR, MLKV_EXPIRE_ALWAYS));
    int64_t at = expiry(db, TEXT("k"));
    mlkv_report report = {.size = sizeof report};
    break_expiry(db, TEXT("k"), at, 0);
    MUST(MLKV_E_CORRUPT, mlkv_verify(db, NULL, NULL, &report));
    ck_assert_uint_eq(report.problems, 1);
    break_expiry(db, TEXT("k"), 0, at);
    verify_all(db);
    break_expiry(db, TEXT("k"), 0, at + 1);
    report = (mlkv_report){.size = sizeof report};
    MUST(MLKV_E_CORRUPT, mlkv_verify(db, NULL, NULL, &report));
    ck_assert_uint_eq(report.problems, 1);
    fault_clock_shift(2 * HOUR); /* the pass puts such a record away */
    expire_all(db);
    ck_assert_uint_eq(count_records(db, "X"), 0);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("types/expiry");
    TCase *tcase = harness_case(suite, "expiry");
    tcase_add_test(tcase, a_key_ends_at_its_time);
    tcase_add_test(tcase, conditions_are_those_of_redis);
    tcase_add_test(tcase, a_time_that_is_over_deletes);
    tcase_add_test(tcase, every_type_expires_and_leaves_nothing);
    tcase_add_test(tcase, replacing_ends_an_expiry_and_counting_keeps_it);
    tcase_add_test(tcase, large_values_and_long_names_expire);
    tcase_add_test(tcase, snapshots_and_transactions_stand_still);
    tcase_add_test(tcase, cursors_leave_out_what_has_expired);
    tcase_add_test(tcase, a_removal_reads_its_key_again);
    tcase_add_test(tcase, the_pass_removes_many_and_reads_what_is_due_only);
    tcase_add_test(tcase, keys_go_in_the_background);
    tcase_add_test(tcase, what_was_due_while_the_store_was_closed_goes_after_opening);
    tcase_add_test(tcase, a_clock_set_back_revives_nothing);
    tcase_add_test(tcase, a_clock_set_back_after_a_death_revives_nothing);
    tcase_add_test(tcase, a_small_step_back_is_waited_for);
    tcase_add_test(tcase, verify_tells_of_expiries_that_do_not_fit);
    return harness_run(suite);
}
