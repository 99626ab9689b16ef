/* test_fork.c - a handle opened before fork() works in the child; what does not cross a fork says
 * so.
 *
 * Under sanitizers a process with threads may not go on after fork() in a child (gcc's ASan keeps
 * its allocator's lock), and an open store has threads: there these tests do nothing but say so.
 */
#include "processes.h"
#include "steps.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { CAN_FORK = 0 };
#else
enum { CAN_FORK = 1 };
#endif

static int64_t add(mlkv *db, const char *key, int64_t delta)
{
    int64_t value = -1;
    OK(mlkv_string_add(db, slice_of_text(key), delta, &value));
    return value;
}

static void wait_for(pid_t pid)
{
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a child ended with status %x",
                  (unsigned)status);
}

/* In children: no Check assertions, an exit status instead. */
static int child_adds(mlkv *db, int count)
{
    for (int i = 0; i < count; i++) {
        int64_t value;
        if (mlkv_string_add(db, TEXT("n"), 1, &value) != MLKV_OK)
            return 1;
    }
    return mlkv_close(db) == MLKV_OK ? 0 : 2;
}

static void share(const char *path)
{
    enum { CHILDREN = 4, ADDS = 500 };
    mlkv_options options = {.size = sizeof options, .ring_bytes = 1 << 20, .cache_bytes = 1 << 20};
    mlkv *db = NULL;
    pid_t children[CHILDREN];
    OK(mlkv_open(path, &options, &db));
    add(db, "n", 10);
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = harness_fork();
        if (children[i] == 0)
            _exit(child_adds(db, ADDS));
    }
    for (int i = 0; i < ADDS; i++)
        add(db, "n", 1);
    for (int i = 0; i < CHILDREN; i++)
        wait_for(children[i]);
    ck_assert_int_eq(add(db, "n", 0), 10 + (CHILDREN + 1) * ADDS);
    OK(mlkv_close(db));
}

START_TEST(children_share_the_handle)
{
    const char *folder = harness_folder();
    if (CAN_FORK)
        share(folder);
    harness_remove(folder);
}
END_TEST

START_TEST(children_share_an_in_memory_store)
{
    if (CAN_FORK)
        share(NULL);
}
END_TEST

START_TEST(grandchildren_and_leaving_without_closing)
{
    const char *folder = harness_folder();
    mlkv *db = NULL;
    if (CAN_FORK) {
        OK(mlkv_open(folder, NULL, &db));
        add(db, "n", 1);
        pid_t child = harness_fork();
        if (child == 0) {
            int64_t value;
            if (mlkv_string_add(db, TEXT("n"), 1, &value) != MLKV_OK || value != 2)
                _exit(1);
            pid_t grandchild = harness_fork();
            if (grandchild == 0)
                _exit(mlkv_string_add(db, TEXT("n"), 1, &value) == MLKV_OK && value == 3
                          ? 0
                          : 1); /* no close */
            int status;
            _exit(waitpid(grandchild, &status, 0) == grandchild && status == 0 ? 0 : 2);
        }
        wait_for(child);
        ck_assert_int_eq(add(db, "n", 1), 4);
        OK(mlkv_close(db));
    }
    harness_remove(folder);
}
END_TEST

START_TEST(transactions_snapshots_and_cursors_stay_behind)
{
    const char *folder = harness_folder();
    if (CAN_FORK) {
        mlkv *db = NULL, *tx = NULL, *snapshot = NULL;
        mlkv_cursor *cursor = NULL;
        mlkv_query query = {.size = sizeof query, .kind = MLKV_SCAN_KEYS};
        OK(mlkv_open(folder, NULL, &db));
        add(db, "n", 5);
        OK(mlkv_snapshot(db, &snapshot));
        OK(mlkv_cursor_open(db, &query, &cursor));
        OK(mlkv_begin(db, &tx));
        add(tx, "n", 1);
        pid_t child = harness_fork();
        if (child == 0) {
            int64_t value;
            mlkv_slice name, content;
            mlkv_buffer buffer = {0};
            int bad = 0;
            bad |= mlkv_string_add(tx, TEXT("n"), 1, &value) != MLKV_E_OWNER;
            bad |= (mlkv_commit(tx) != MLKV_E_OWNER) << 1;
            bad |= (mlkv_string_get(snapshot, TEXT("n"), &buffer) != MLKV_E_OWNER) << 2;
            bad |= (mlkv_cursor_next(cursor, &name, &content) != MLKV_E_OWNER) << 3;
            mlkv_cursor_close(cursor);
            bad |= (mlkv_close(snapshot) != MLKV_OK) << 4;
            bad |= (mlkv_abort(tx) != MLKV_OK) << 5;
            bad |= (mlkv_string_get(db, TEXT("n"), &buffer) != MLKV_OK)
                   << 6; /* the parent's transaction is not visible */
            bad |= (buffer.size != 1 || ((char *)buffer.data)[0] != '5') << 7;
            mlkv_buffer_free(&buffer);
            _exit(bad);
        }
        wait_for(child);
        OK(mlkv_commit(tx));
        ck_assert_int_eq(add(db, "n", 0), 6);
        mlkv_slice name, content;
        OK(mlkv_cursor_next(cursor, &name, &content));
        mlkv_cursor_close(cursor);
        OK(mlkv_close(snapshot));
        OK(mlkv_close(db));
    }
    harness_remove(folder);
}
END_TEST

START_TEST(a_killed_child_leaves_the_parent_at_work)
{
    const char *folder = harness_folder();
    mlkv *db = NULL;
    if (CAN_FORK) {
        OK(mlkv_open(folder, NULL, &db));
        for (int i = 0; i < 10; i++) {
            pid_t child = harness_fork();
            int status;
            if (child == 0) {
                mlkv *tx;
                int64_t value;
                if (mlkv_begin(db, &tx) == MLKV_OK &&
                    mlkv_string_add(tx, TEXT("lost"), 1, &value) == MLKV_OK)
                    (void)raise(SIGKILL);
                _exit(1);
            }
            add(db, "n", 1);
            ck_assert_int_eq(waitpid(child, &status, 0), child);
            ck_assert(WIFSIGNALED(status));
        }
        ck_assert_int_eq(add(db, "n", 0), 10);
        ck_assert_int_eq(add(db, "lost", 0), 0);
        OK(mlkv_close(db));
    }
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fork");
    TCase *tcase = harness_case(suite, "fork");
    tcase_add_test(tcase, children_share_the_handle);
    tcase_add_test(tcase, children_share_an_in_memory_store);
    tcase_add_test(tcase, grandchildren_and_leaving_without_closing);
    tcase_add_test(tcase, transactions_snapshots_and_cursors_stay_behind);
    tcase_add_test(tcase, a_killed_child_leaves_the_parent_at_work);
    return harness_run(suite);
}
