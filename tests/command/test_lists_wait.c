/* test_lists_wait.c - commands of lists that wait: woken by another thread's command, and not waiting in transactions and snapshots. */
#include "command/waiting.h"

START_TEST(a_push_ends_the_wait)
{
    is_woken(2, "BLPOP a b 0", "RPUSH b 1 2", "*2\r\n$1\r\nb\r\n$1\r\n1\r\n");
    is_woken(2, "BRPOP a b 0", "RPUSH b 1 2", "*2\r\n$1\r\nb\r\n$1\r\n2\r\n");
    is_woken(2, "BLMPOP 0 2 a b RIGHT COUNT 2", "RPUSH a 1 2 3",
             "*2\r\n$1\r\na\r\n*2\r\n$1\r\n3\r\n$1\r\n2\r\n");
    is_woken(2, "BLMOVE a b LEFT LEFT 0", "RPUSH a 1 2", "$1\r\n1\r\n");
    is_woken(2, "BRPOPLPUSH a b 0", "RPUSH a 1 2", "$1\r\n2\r\n");
}
END_TEST

/* What these say that find nothing and must not wait: those of a transaction of Redis. */
static void all_find_nothing(mlkv *view)
{
    SAYS(view, "BLPOP nokey 0", "*-1\r\n");
    SAYS(view, "BRPOP nokey other 1000000", "*-1\r\n");
    SAYS(view, "BLMPOP 0 1 nokey LEFT", "*-1\r\n");
    SAYS(view, "BLMOVE nokey other LEFT RIGHT 0", "$-1\r\n");
    SAYS(view, "BLMOVE nokey other LEFT RIGHT 1000000", "$-1\r\n");
    SAYS(view, "BRPOPLPUSH nokey other 0", "$-1\r\n");
    SAYS3(view, "BRPOPLPUSH nokey other 0", "_\r\n");
}

START_TEST(transactions_do_not_wait)
{
    mlkv *db = memory_store(), *transaction = NULL;
    SAYS_NUMBER(db, "RPUSH l 1 2 3", 3);
    OK(mlkv_begin(db, &transaction));
    all_find_nothing(transaction);
    SAYS(transaction, "BLPOP nokey l 0", "*2\r\n$1\r\nl\r\n$1\r\n1\r\n");
    SAYS(transaction, "BLMOVE l m RIGHT LEFT 0", "$1\r\n3\r\n");
    OK(mlkv_commit(transaction));
    SAYS(db, "LRANGE l 0 -1", "*1\r\n$1\r\n2\r\n");
    SAYS(db, "LRANGE m 0 -1", "*1\r\n$1\r\n3\r\n");
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(snapshots_refuse)
{
    mlkv *db = memory_store(), *snapshot = NULL;
    mlkv_buffer wire = {0};
    SAYS_NUMBER(db, "RPUSH l 1", 1);
    OK(mlkv_snapshot(db, &snapshot));
    ck_assert_int_lt(run_line(snapshot, "BLPOP nokey l 0", 2, &wire), 0);
    ck_assert_int_lt(run_line(snapshot, "BLMOVE l m LEFT LEFT 0", 2, &wire), 0);
    mlkv_buffer_free(&wire);
    OK(mlkv_close(snapshot));
    SAYS_NUMBER(db, "LLEN l", 1);
    OK(mlkv_close(db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lists_wait");
    TCase *tcase = harness_case(suite, "lists_wait");
    tcase_add_test(tcase, a_push_ends_the_wait);
    tcase_add_test(tcase, transactions_do_not_wait);
    tcase_add_test(tcase, snapshots_refuse);
    return harness_run(suite);
}
