/* test_sets.c - the commands of sets and hashes that draw: how many, which, and never more than memory holds. What is not random stands in
 * transcripts/.
 */
#include "command/fixture.h"

enum { MEMBERS = 20 };

/* Of a line that ends in a number. */
static void run_numbered(mlkv *db, const char *format, int number, mlkv_reply *reply)
{
    static command_line words;
    char line[200];
    snprintf(line, sizeof line, format, number);
    read_line(&words, line);
    OK(mlkv_command(db, words.words, words.count, reply));
}

/* A set "s" of the numbers 0 to 19, and a hash "h" of the same with themselves as values. */
static mlkv *store(void)
{
    mlkv *db = memory_store();
    for (int i = 0; i < MEMBERS; i++) {
        char line[100];
        snprintf(line, sizeof line, "SADD s %d", i);
        SAYS_NUMBER(db, line, 1);
        snprintf(line, sizeof line, "HSET h %d %d", i, i);
        SAYS_NUMBER(db, line, 1);
    }
    return db;
}

/* The number that an element is; each stands in `seen`. */
static unsigned number_of(const mlkv_reply_node *node, unsigned *seen)
{
    char text[10] = "";
    ck_assert_int_eq(node->kind, MLKV_REPLY_BYTES);
    ck_assert_uint_lt(node->bytes.size, sizeof text);
    memcpy(text, node->bytes.data, node->bytes.size);
    unsigned number = (unsigned)atoi(text);
    ck_assert_uint_lt(number, MEMBERS);
    *seen |= 1u << number;
    return number;
}

static void has_members(const mlkv_reply *reply, mlkv_reply_kind kind, size_t n, bool distinct)
{
    unsigned seen = 0;
    ck_assert_int_eq(reply->nodes[0].kind, kind);
    ck_assert_int_eq(reply->nodes[0].integer, (int64_t)n);
    ck_assert_uint_eq(reply->count, n + 1);
    for (size_t i = 1; i <= n; i++)
        (void)number_of(&reply->nodes[i], &seen);
    if (distinct)
        ck_assert_int_eq(__builtin_popcount(seen), (int)n);
}

START_TEST(members_are_drawn)
{
    mlkv *db = store();
    mlkv_reply reply = {0};
    for (int n = 0; n <= MEMBERS + 5; n++) {
        run_numbered(db, "SRANDMEMBER s %d", n, &reply);
        has_members(&reply, MLKV_REPLY_ARRAY, n < MEMBERS ? (size_t)n : MEMBERS, true);
        run_numbered(db, "SRANDMEMBER s %d", -n, &reply);
        has_members(&reply, MLKV_REPLY_ARRAY, (size_t)n, false);
        run_numbered(db, "HRANDFIELD h %d", n, &reply);
        has_members(&reply, MLKV_REPLY_ARRAY, n < MEMBERS ? (size_t)n : MEMBERS, true);
    }
    mlkv_reply_free(&reply);
    SAYS_NUMBER(db, "SCARD s", 20);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(fields_come_with_their_values)
{
    mlkv *db = store();
    mlkv_reply reply = {0};
    for (int n = -30; n <= 30; n += 10) {
        unsigned seen = 0, values = 0;
        size_t expected = n < 0 ? (size_t)-n : n < MEMBERS ? (size_t)n : MEMBERS;
        run_numbered(db, "HRANDFIELD h %d WITHVALUES", n, &reply);
        ck_assert_int_eq(reply.nodes[0].kind, MLKV_REPLY_PAIRS);
        ck_assert_int_eq(reply.nodes[0].integer, (int64_t)(2 * expected));
        for (size_t i = 1; i < reply.count; i += 2)
            ck_assert_uint_eq(number_of(&reply.nodes[i], &seen),
                              number_of(&reply.nodes[i + 1], &values));
        if (n > 0)
            ck_assert_int_eq(__builtin_popcount(seen), (int)expected);
    }
    mlkv_reply_free(&reply);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(members_are_taken)
{
    mlkv *db = store();
    mlkv_reply reply = {0};
    unsigned seen = 0;
    for (int n = 1; n <= 3; n++) {
        run_numbered(db, "SPOP s %d", n, &reply);
        has_members(&reply, MLKV_REPLY_SET, (size_t)n, true);
        for (size_t i = 1; i < reply.count; i++)
            (void)number_of(&reply.nodes[i], &seen);
    }
    SAYS_NUMBER(db, "SCARD s", 14);
    run_numbered(db, "SPOP s %d", 1000, &reply);
    has_members(&reply, MLKV_REPLY_SET, 14, true);
    for (size_t i = 1; i < reply.count; i++)
        (void)number_of(&reply.nodes[i], &seen);
    ck_assert_uint_eq(seen, (1u << MEMBERS) - 1); /* each once */
    SAYS_NUMBER(db, "EXISTS s", 0);
    mlkv_reply_free(&reply);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

/* Redis would send these until it ends the connection. */
START_TEST(a_reply_stands_in_memory)
{
    mlkv *db = store();
    const char *out_of_range = "-ERR value is out of range\r\n";
    const char *lines[] = {"SRANDMEMBER s -9223372036854775807", "SRANDMEMBER s -16777217",
                           "HRANDFIELD h -9223372036854775807",
                           "HRANDFIELD h -1099511627776 WITHVALUES"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        says(db, lines[i], 3, slice_of_text(out_of_range), __FILE__, __LINE__);
    SAYS_ERROR(db, "SRANDMEMBER h -9223372036854775807", WRONG_TYPE);
    SAYS_ERROR(db, "HRANDFIELD s -9223372036854775807", WRONG_TYPE);
    SAYS(db, "SRANDMEMBER nokey -9223372036854775807", "*0\r\n");
    SAYS(db, "HRANDFIELD nokey -1099511627776 WITHVALUES", "*0\r\n");
    OK(mlkv_close(db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sets");
    TCase *tcase = harness_case(suite, "sets");
    tcase_add_test(tcase, members_are_drawn);
    tcase_add_test(tcase, fields_come_with_their_values);
    tcase_add_test(tcase, members_are_taken);
    tcase_add_test(tcase, a_reply_stands_in_memory);
    return harness_run(suite);
}
