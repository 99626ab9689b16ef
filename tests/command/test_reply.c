/* test_reply.c - replies as trees and as bytes of both protocols, also when memory ends. */
#include "command/fixture.h"

#include "base/fault.h"
#include "command/reply.h"

#include <math.h>

static void is_on_wire(mlkv_reply *reply, int protocol, const char *expected)
{
    mlkv_buffer wire = {0};
    OK(mlkv_reply_encode(reply, protocol, &wire));
    ck_assert_msg(slice_equal(slice_of_buffer(&wire), slice_of_text(expected)),
                  "RESP%d: \"%.*s\", not \"%s\"", protocol, (int)wire.size, (char *)wire.data,
                  expected);
    mlkv_buffer_free(&wire);
}

static void ends_as(mlkv_reply *reply, const char *old, const char *new)
{
    OK(reply_finish(reply));
    is_on_wire(reply, 2, old);
    is_on_wire(reply, 3, new);
    reply_restart(reply);
}

START_TEST(each_kind)
{
    mlkv_reply r = {0};
    reply_nil(&r);
    ends_as(&r, "$-1\r\n", "_\r\n");
    reply_nil_array(&r);
    ends_as(&r, "*-1\r\n", "_\r\n");
    reply_ok(&r);
    ends_as(&r, "+OK\r\n", "+OK\r\n");
    reply_integer(&r, INT64_MIN);
    ends_as(&r, ":-9223372036854775808\r\n", ":-9223372036854775808\r\n");
    reply_count(&r, UINT64_MAX);
    ends_as(&r, ":9223372036854775807\r\n", ":9223372036854775807\r\n");
    reply_double(&r, 0.5);
    ends_as(&r, "$3\r\n0.5\r\n", ",0.5\r\n");
    reply_double(&r, (double)-INFINITY);
    ends_as(&r, "$4\r\n-inf\r\n", ",-inf\r\n");
    reply_bytes(&r, TEXT("a\r\n\0b"));
    OK(reply_finish(&r));
    ck_assert_uint_eq(r.nodes[0].bytes.size, 5);
    reply_restart(&r);
    reply_bytes(&r, slice_of(NULL, 0));
    ends_as(&r, "$0\r\n\r\n", "$0\r\n\r\n");
    reply_text(&r, TEXT("# a\r\n"));
    ends_as(&r, "$5\r\n# a\r\n\r\n", "=9\r\ntxt:# a\r\n\r\n");
    reply_integer(&r, 1);
    reply_error(&r, "ERR two\r\nlines"); /* and what was said before is forgotten */
    ends_as(&r, "-ERR two  lines\r\n", "-ERR two  lines\r\n");
    mlkv_reply_free(&r);
}
END_TEST

START_TEST(collections)
{
    mlkv_reply r = {0};
    (void)reply_array(&r, 2);
    (void)reply_collection(&r, MLKV_REPLY_SET, 1);
    reply_string(&r, "m");
    (void)reply_collection(&r, MLKV_REPLY_MAP, 2);
    reply_string(&r, "k");
    reply_nil(&r);
    ends_as(&r, "*2\r\n*1\r\n$1\r\nm\r\n*2\r\n$1\r\nk\r\n$-1\r\n",
            "*2\r\n~1\r\n$1\r\nm\r\n%1\r\n$1\r\nk\r\n_\r\n");
    (void)reply_array(&r, 2);
    (void)reply_collection(&r, MLKV_REPLY_PAIRS, 4);
    reply_string(&r, "a");
    reply_double(&r, 1);
    reply_string(&r, "b");
    reply_double(&r, 2);
    reply_integer(&r, 7);
    ends_as(&r, "*2\r\n*4\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\n2\r\n:7\r\n",
            "*2\r\n*2\r\n*2\r\n$1\r\na\r\n,1\r\n*2\r\n$1\r\nb\r\n,2\r\n:7\r\n");
    (void)reply_collection(&r, MLKV_REPLY_PAIRS, 0);
    ends_as(&r, "*0\r\n", "*0\r\n");
    size_t first = reply_array(&r, 2);
    size_t place = reply_array(&r, 0);
    reply_string(&r, "x");
    reply_set_count(&r, place, 1);
    reply_string(&r, "17");
    reply_last_to(&r, first + 1);
    ends_as(&r, "*2\r\n$2\r\n17\r\n*1\r\n$1\r\nx\r\n", "*2\r\n$2\r\n17\r\n*1\r\n$1\r\nx\r\n");
    mlkv_reply_free(&r);
}
END_TEST

START_TEST(many_nodes)
{
    mlkv_reply r = {0};
    enum { N = 100000 };
    (void)reply_array(&r, N);
    for (unsigned i = 0; i < N; i++)
        reply_bytes(&r, slice_of(&i, sizeof i));
    OK(reply_finish(&r));
    ck_assert_uint_eq(r.count, N + 1);
    for (unsigned i = 0; i < N; i++)
        ck_assert(memcmp(r.nodes[i + 1].bytes.data, &i, sizeof i) == 0);
    mlkv_reply_free(&r);
}
END_TEST

/* Words that come out of the reply's own scratch, once more: the same reply serves many commands. */
START_TEST(used_again)
{
    mlkv *db = memory_store();
    mlkv_reply r = {0};
    mlkv_slice set[] = {TEXT("set"), TEXT("k"), TEXT("value")}, get[] = {TEXT("get"), TEXT("k")},
               bad[] = {TEXT("nothing")};
    for (unsigned i = 0; i < 100; i++) {
        OK(mlkv_command(db, set, 3, &r));
        OK(mlkv_command(db, get, 2, &r));
        ck_assert(slice_equal(r.nodes[0].bytes, TEXT("value")));
        MUST(MLKV_E_ARGUMENT, mlkv_command(db, bad, 1, &r));
        ck_assert_int_eq(r.nodes[0].kind, MLKV_REPLY_ERROR);
    }
    mlkv_reply_free(&r);
    OK(mlkv_close(db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reply");
    TCase *tcase = harness_case(suite, "reply");
    tcase_add_test(tcase, each_kind);
    tcase_add_test(tcase, collections);
    tcase_add_test(tcase, many_nodes);
    tcase_add_test(tcase, used_again);
    return harness_run(suite);
}
