/* test_zset_pops.c - commands of sorted sets that wait or are random: woken by another thread's command, not waiting in transactions and
 * snapshots; random members are members. */
#include "command/waiting.h"

START_TEST(an_add_ends_the_wait)
{
    is_woken(3, "BZPOPMIN a b 0", "ZADD b 1 x 2 y", "*3\r\n$1\r\nb\r\n$1\r\nx\r\n,1\r\n");
    is_woken(3, "BZPOPMAX a b 100000", "ZADD a 1 x 2.5 y", "*3\r\n$1\r\na\r\n$1\r\ny\r\n,2.5\r\n");
    is_woken(3, "BZMPOP 0 2 a b MAX COUNT 2", "ZADD b 1 x 2 y 3 z",
             "*2\r\n$1\r\nb\r\n*2\r\n*2\r\n$1\r\nz\r\n,3\r\n*2\r\n$1\r\ny\r\n,2\r\n");
}
END_TEST

static void all_find_nothing(mlkv *view)
{
    SAYS(view, "BZPOPMIN nokey 0", "*-1\r\n");
    SAYS(view, "BZPOPMAX nokey other 1000000", "*-1\r\n");
    SAYS3(view, "BZPOPMAX nokey other 1000000", "_\r\n");
    SAYS(view, "BZMPOP 0 1 nokey MIN", "*-1\r\n");
}

START_TEST(transactions_do_not_wait)
{
    mlkv *db = memory_store(), *transaction = NULL;
    SAYS_NUMBER(db, "ZADD z 1 a 2 b 3 c", 3);
    OK(mlkv_begin(db, &transaction));
    all_find_nothing(transaction);
    SAYS(transaction, "BZPOPMIN nokey z 0", "*3\r\n$1\r\nz\r\n$1\r\na\r\n$1\r\n1\r\n");
    SAYS(transaction, "BZMPOP 0 1 z MAX", "*2\r\n$1\r\nz\r\n*1\r\n*2\r\n$1\r\nc\r\n$1\r\n3\r\n");
    OK(mlkv_commit(transaction));
    SAYS(db, "ZRANGE z 0 -1", "*1\r\n$1\r\nb\r\n");
    OK(mlkv_close(db));
}
END_TEST

START_TEST(snapshots_cannot_take)
{
    mlkv *db = memory_store(), *snapshot = NULL;
    SAYS_NUMBER(db, "ZADD z 1 a", 1);
    OK(mlkv_snapshot(db, &snapshot));
    SAYS_ERROR(snapshot, "ZPOPMIN z", "READONLY You can't write against a read only replica.");
    SAYS_ERROR(snapshot, "BZPOPMIN z 0", "READONLY You can't write against a read only replica.");
    SAYS_ERROR(snapshot, "ZADD z 1 b", "READONLY You can't write against a read only replica.");
    SAYS_ERROR(snapshot, "ZADD z x b", NOT_FLOAT);
    SAYS_NUMBER(snapshot, "ZCARD z", 1);
    OK(mlkv_close(snapshot));
    OK(mlkv_close(db));
}
END_TEST

/* --- by chance --- */

/* The reply is `count` times one of a, b, c, each followed by its score if `scored`. Returns which came, as bits. */
static unsigned drawn(mlkv *db, const char *line, int64_t count, bool scored)
{
    static _Thread_local command_line words;
    mlkv_reply reply = {0};
    unsigned seen = 0;
    read_line(&words, line);
    OK(mlkv_command(db, words.words, words.count, &reply));
    ck_assert_int_eq(reply.nodes[0].kind, scored ? MLKV_REPLY_PAIRS : MLKV_REPLY_ARRAY);
    ck_assert_int_eq(reply.nodes[0].integer, scored ? 2 * count : count);
    for (int64_t i = 0; i < count; i++) {
        const mlkv_reply_node *node = &reply.nodes[1 + (scored ? 2 * i : i)];
        ck_assert_uint_eq(node->bytes.size, 1);
        int which = *(const char *)node->bytes.data - 'a';
        ck_assert(which >= 0 && which < 3);
        if (scored)
            ck_assert_double_eq(node[1].number, which + 1);
        seen |= 1u << which;
    }
    mlkv_reply_free(&reply);
    return seen;
}

START_TEST(random_members_are_members)
{
    mlkv *db = memory_store();
    SAYS_NUMBER(db, "ZADD z 1 a 2 b 3 c", 3);
    ck_assert_uint_eq(drawn(db, "ZRANDMEMBER z 3", 3, false), 7);
    ck_assert_uint_eq(drawn(db, "ZRANDMEMBER z 9223372036854775807", 3, false), 7);
    ck_assert_uint_eq(drawn(db, "ZRANDMEMBER z 100 WITHSCORES", 3, true), 7);
    ck_assert_uint_eq((unsigned)__builtin_popcount(drawn(db, "ZRANDMEMBER z 2", 2, false)), 2);
    ck_assert_uint_eq(drawn(db, "ZRANDMEMBER z -200 WITHSCORES", 200, true), 7);
    SAYS_ERROR(db, "ZRANDMEMBER z -4611686018427387903 WITHSCORES", "ERR value is out of range");
    SAYS_NUMBER(db, "ZCARD z", 3);
    OK(mlkv_close(db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("zset_pops");
    TCase *test = harness_case(suite, "zset_pops");
    tcase_add_test(test, an_add_ends_the_wait);
    tcase_add_test(test, transactions_do_not_wait);
    tcase_add_test(test, snapshots_cannot_take);
    tcase_add_test(test, random_members_are_members);
    return harness_run(suite);
}
