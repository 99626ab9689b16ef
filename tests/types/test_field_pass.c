/* test_field_pass.c - the pass that removes fields that have expired: how much, only what is due, by itself, with clocks that are set and
 * processes that die; what is left of deleted hashes; and that mlkv_verify finds expiries that do not fit.
 */
#include "types/fields.h"

#include <sys/wait.h>

START_TEST(deleted_hashes_leave_nothing)
{
    enum { FIELDS = 10000 };
    mlkv *db = memory_store();
    mlkv *transaction = NULL;
    char name[16];
    OK(mlkv_begin(db, &transaction));
    for (int i = 0; i < FIELDS; i++) {
        int n = snprintf(name, sizeof name, "f%d", i);
        set(transaction, slice_of(name, (size_t)n), TEXT("v"));
        expire(transaction, slice_of(name, (size_t)n), HOUR + i);
    }
    OK(mlkv_commit(transaction));
    ck_assert_uint_eq(count_records(db, "Y"), FIELDS);
    verify_all(db);
    OK(mlkv_key_delete(db, &(mlkv_slice){"h", 1}, 1, NULL));
    no_records(db, "F");
    verify_all(db);
    clean_all(db);
    no_records(db, "EYGKF");
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

/* More than a batch and more than a step of one hash; many hashes; what is not due stays. */
START_TEST(the_pass_removes_many_and_only_what_is_due)
{
    enum { DUE = 9000, LATER = 3000, HASHES = 400 };
    mlkv *db = memory_store();
    mlkv *transaction = NULL;
    char name[16], key[16];
    OK(mlkv_begin(db, &transaction));
    for (int i = 0; i < DUE + LATER; i++) {
        int n = snprintf(name, sizeof name, "f%d", i);
        set(transaction, slice_of(name, (size_t)n), TEXT("v"));
        expire(transaction, slice_of(name, (size_t)n), i < DUE ? HOUR : 3 * HOUR);
    }
    for (int i = 0; i < HASHES; i++) {
        mlkv_slice hash = slice_of(key, (size_t)snprintf(key, sizeof key, "hash%d", i));
        mlkv_pair pairs[] = {
            {TEXT("a"), TEXT("1")}, {TEXT("b"), TEXT("2")}, {TEXT("c"), TEXT("3")}};
        mlkv_slice fields[] = {TEXT("a"), TEXT("b")};
        int64_t outcomes[2];
        OK(mlkv_hash_set(transaction, hash, pairs, i % 2 == 0 ? 3 : 2, NULL));
        OK(mlkv_hash_expire(transaction, hash, fields, 2, HOUR, MLKV_EXPIRE_ALWAYS, outcomes));
    }
    OK(mlkv_commit(transaction));
    expire_all(db);
    ck_assert_uint_eq(count_records(db, "Y"), DUE + LATER + 2 * HASHES);
    fault_clock_shift(2 * HOUR);
    ck_assert_uint_eq(length(db), LATER);
    expire_all(db);
    ck_assert_uint_eq(length(db), LATER);
    ck_assert_uint_eq(key_count(db), 1 + HASHES / 2);
    clean_all(db);
    ck_assert_uint_eq(count_records(db, "E"), LATER + HASHES / 2);
    ck_assert_uint_eq(count_records(db, "Y"), LATER);
    ck_assert_uint_eq(count_records(db, "F"), 1);
    expiry_times times;
    expire_all(db);
    OK(op_expiry_times(db, &times));
    ck_assert_int_gt(times.due_ms, times.now_ms); /* until then a step looks at nothing */
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

/* A field that the pass found due is made anew before it is removed: at every release of the writer lock. */
static mlkv *observed_db;
static _Thread_local int unlocked;
static _Thread_local bool observed;

static void make_anew(fault_point point)
{
    if (observed && point == FAULT_WRITE_UNLOCKED &&
        ++unlocked == 3) { /* settled in part; draining */
        set(observed_db, TEXT("f2999"), TEXT("new"));
        expire(observed_db, TEXT("f2888"), HOUR);
    }
}

START_TEST(a_removal_reads_its_field_again)
{
    enum { FIELDS = 3000 };
    mlkv *db = memory_store();
    mlkv *transaction = NULL;
    char name[16];
    OK(mlkv_begin(db, &transaction));
    for (int i = 0; i < FIELDS; i++) {
        int n = snprintf(name, sizeof name, "f%d", i);
        set(transaction, slice_of(name, (size_t)n), TEXT("v"));
        expire(transaction, slice_of(name, (size_t)n), HOUR + i);
    }
    set(transaction, TEXT("stays"), TEXT("v"));
    OK(mlkv_commit(transaction));
    observed_db = db;
    expire_all(db);
    observed = true;
    fault_observe(make_anew);
    fault_clock_shift(2 * HOUR);
    expire_all(db);
    fault_observe(NULL);
    ck_assert_int_gt(unlocked, 3);
    ck_assert(there(db, TEXT("f2999")));
    ck_assert_uint_eq(length(db), 2);
    no_records(db, "YF");
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

/* The keeper does it by itself; also what was due while the store was closed. */
START_TEST(fields_go_in_the_background)
{
    const char *folder = harness_folder();
    mlkv *db = folder_store(folder);
    set(db, TEXT("a"), TEXT("1"));
    set(db, TEXT("b"), TEXT("1"));
    set(db, TEXT("c"), TEXT("1"));
    expire(db, TEXT("a"), 50);
    expire(db, TEXT("b"), HOUR);
    for (int i = 0; i < 2000 && count_records(db, "E") != 2; i++)
        clock_sleep_us(10000);
    ck_assert_uint_eq(count_records(db, "E"), 2);
    OK(mlkv_close(db));
    fault_clock_shift(2 * HOUR);
    db = folder_store(folder);
    ck_assert(!there(db, TEXT("b")));
    ck_assert_uint_eq(length(db), 1);
    for (int i = 0; i < 2000 && count_records(db, "E") != 1; i++)
        clock_sleep_us(10000);
    ck_assert_uint_eq(count_records(db, "E"), 1);
    verify_all(db);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

START_TEST(a_clock_set_back_revives_nothing)
{
    mlkv_rows rows = {0};
    for (int look = 0; look < 6; look++) { /* whichever way it was seen */
        const char *folder = harness_folder();
        fault_clock_shift(0);
        mlkv *db = folder_store(folder);
        mlkv_slice names[] = {TEXT("a"), TEXT("b"), TEXT("c")};
        set(db, names[0], TEXT("1"));
        set(db, names[1], TEXT("1"));
        set(db, names[2], TEXT("1"));
        expire(db, names[0], HOUR);
        expire(db, names[1], 3 * HOUR);
        fault_clock_shift(HOUR + 1);
        if (look == 0)
            ck_assert(!there(db, names[0]));
        else if (look == 1)
            ck_assert_uint_eq(length(db), 2);
        else if (look == 2)
            OK(mlkv_hash_get_all(db, KEY, &rows));
        else if (look == 3)
            OK(mlkv_hash_random(db, KEY, 1, 1, 0, &rows));
        else if (look == 4)
            set(db, names[0], TEXT("2"));
        else {
            mlkv_cursor *cursor = NULL;
            mlkv_query query = {.size = sizeof query, .kind = MLKV_SCAN_HASH, .key = KEY};
            OK(mlkv_cursor_open(db, &query, &cursor));
            mlkv_cursor_close(cursor);
        }
        fault_clock_shift(0);
        ck_assert_int_eq(there(db, names[0]), look == 4);
        ck_assert_uint_eq(length(db), look == 4 ? 3 : 2);
        ck_assert(there(db, names[1]));
        OK(mlkv_close(db));
        db = folder_store(folder);
        ck_assert_int_eq(there(db, names[0]), look == 4);
        ck_assert(there(db, names[1]));
        /* time goes on from the clock as it is now */
        expire(db, names[2], 60000);
        ck_assert_int_le(expiry(db, names[2]), clock_wall_ms() + 60000);
        verify_all(db);
        OK(mlkv_close(db));
        harness_remove(folder);
    }
    mlkv_rows_free(&rows);
}
END_TEST

/* All processes are killed in the pass, at one of its writes, and the clock is set back. */
START_TEST(a_death_in_the_pass_loses_nothing)
{
    static const fault_point points[] = {FAULT_WRITE_LOCKED, FAULT_APPEND_RESERVED,
                                         FAULT_APPEND_VISIBLE, FAULT_WRITE_UNLOCKED};
    for (unsigned round = 0; round < 4; round++) {
        const char *folder = harness_folder();
        fault_clock_shift(0);
        pid_t pid = harness_fork();
        if (pid == 0) {
            mlkv *db = folder_store(folder);
            set(db, TEXT("a"), TEXT("1"));
            set(db, TEXT("b"), TEXT("1"));
            expire(db, TEXT("a"), HOUR);
            OK(mlkv_string_set(db, TEXT("k"), TEXT("v"),
                               MLKV_SET_ALWAYS)); /* the pass's first removal */
            OK(mlkv_key_expire(db, TEXT("k"), HOUR / 2, MLKV_EXPIRE_ALWAYS));
            expire_all(db);
            fault_arm(points[round], FAULT_KILL, 2, 0);
            fault_clock_shift(2 * HOUR);
            if (!there(db, TEXT("a")))
                for (int i = 0; i < 2000 && expiry_step(db) >= 0; i++)
                    clock_sleep_us(10000);
            _exit(1);
        }
        int status;
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert(WIFSIGNALED(status));
        mlkv *db = folder_store(folder);
        ck_assert(!there(db, TEXT("a")));
        ck_assert(there(db, TEXT("b")));
        ck_assert_uint_eq(length(db), 1);
        expire_all(db);
        for (int i = 0; i < 2000 && count_records(db, "E") != 1; i++) /* the keeper was at it */
            clock_sleep_us(10000);
        ck_assert_uint_eq(count_records(db, "E"), 1);
        no_records(db, "YF");
        ck_assert_uint_eq(key_count(db), 1);
        verify_all(db);
        OK(mlkv_close(db));
        harness_remove(folder);
    }
}
END_TEST

/* --- verify --- */

typedef struct {
    char class;
    int64_t at_ms;
    bool deletes;
} break_call;

static int break_rule(op *o, void *context)
{
    const break_call *call = context;
    entry hash;
    record_key key;
    OK(entry_open(o, KEY, TYPE_HASH, &hash));
    if (call->class == RECORD_FIELDS_DUE)
        return field_move_first(o, KEY, call->deletes ? call->at_ms : 0,
                                call->deletes ? 0 : call->at_ms);
    OK(layout_field_expiry(hash.header.id, call->at_ms, TEXT("a"), &key));
    return call->deletes ? op_delete(o, record_key_slice(&key))
                         : op_put(o, record_key_slice(&key), slice_of(NULL, 0));
}

static uint64_t problems_after(mlkv *db, char class, int64_t at_ms, bool deletes)
{
    mlkv_report report = {.size = sizeof report};
    OK(op_write(db, break_rule, &(break_call){class, at_ms, deletes}));
    MUST(MLKV_E_CORRUPT, mlkv_verify(db, NULL, NULL, &report));
    OK(op_write(db, break_rule, &(break_call){class, at_ms, !deletes}));
    verify_all(db);
    return report.problems;
}

START_TEST(verify_tells_of_expiries_that_do_not_fit)
{
    mlkv *db = memory_store();
    set(db, TEXT("a"), TEXT("1"));
    set(db, TEXT("b"), TEXT("1"));
    expire(db, TEXT("a"), HOUR);
    int64_t at_ms = expiry(db, TEXT("a"));
    ck_assert_uint_eq(problems_after(db, RECORD_FIELDS_DUE, at_ms, true), 1);
    ck_assert_uint_eq(problems_after(db, RECORD_FIELDS_DUE, at_ms + 1, false), 1);
    ck_assert_uint_eq(problems_after(db, RECORD_FIELD_EXPIRY, at_ms, true), 2); /* and the count */
    ck_assert_uint_eq(problems_after(db, RECORD_FIELD_EXPIRY, at_ms + 1, false), 2);
    /* the pass puts what does not fit out of the way */
    OK(op_write(db, break_rule, &(break_call){RECORD_FIELDS_DUE, at_ms - 5, false}));
    OK(op_write(db, break_rule, &(break_call){RECORD_FIELD_EXPIRY, at_ms - 5, false}));
    fault_clock_shift(2 * HOUR);
    expire_all(db);
    no_records(db, "YF");
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("types/field_pass");
    TCase *tcase = harness_case(suite, "field_pass");
    tcase_add_test(tcase, deleted_hashes_leave_nothing);
    tcase_add_test(tcase, the_pass_removes_many_and_only_what_is_due);
    tcase_add_test(tcase, a_removal_reads_its_field_again);
    tcase_add_test(tcase, fields_go_in_the_background);
    tcase_add_test(tcase, a_clock_set_back_revives_nothing);
    tcase_add_test(tcase, a_death_in_the_pass_loses_nothing);
    tcase_add_test(tcase, verify_tells_of_expiries_that_do_not_fit);
    return harness_run(suite);
}
