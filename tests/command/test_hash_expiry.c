/* test_hash_expiry.c - HEXPIRE and its relatives: replies, the order of complaints, the limits of time.
 *
 * redis-server 7.0 has none of these: what is expected here is what 7.4 says.
 */
#include "command/fixture.h"

#include "base/buffer.h"

#define POSITION   "ERR Mandatory argument FIELDS is missing or not at the right position"
#define NOT_COUNT  "ERR Parameter `numFields` should be greater than 0"
#define NOT_NUMBER "ERR Number of fields must be a positive integer"
#define NO_MATCH   "ERR The `numfields` parameter must match the number of arguments"

/* 2100-01-01, in seconds */
#define FAR "4102444800"

static mlkv *store(void)
{
    mlkv *db = memory_store();
    SAYS_OK(db, "SET s text");
    SAYS_NUMBER(db, "HSET h a 1 b 2 c 3", 3);
    return db;
}

/* The first number of the array that this line says. */
static long long first_number(mlkv *db, const char *line)
{
    mlkv_buffer wire = {0};
    long long number = 0;
    OK(run_line(db, line, 2, &wire));
    ck_assert_int_eq(buffer_append(&wire, "", 1), 0);
    ck_assert_int_eq(sscanf(wire.data, "*1\r\n:%lld\r\n", &number), 1);
    mlkv_buffer_free(&wire);
    return number;
}

START_TEST(fields_end_and_stay)
{
    mlkv *db = store();
    SAYS(db, "HEXPIREAT h " FAR " FIELDS 2 a nothere", "*2\r\n:1\r\n:-2\r\n");
    SAYS3(db, "HEXPIRETIME h FIELDS 3 a b nothere", "*3\r\n:" FAR "\r\n:-1\r\n:-2\r\n");
    SAYS(db, "HPEXPIRETIME h FIELDS 1 a", "*1\r\n:" FAR "000\r\n");
    SAYS(db, "HPEXPIREAT h " FAR "001 FIELDS 1 a", "*1\r\n:1\r\n");
    SAYS(db, "HPEXPIRETIME h FIELDS 1 a", "*1\r\n:" FAR "001\r\n");
    SAYS(db, "hexpiretime h fields 1 a", "*1\r\n:4102444801\r\n"); /* rounded up */
    SAYS(db, "HPERSIST h FIELDS 3 a b nothere", "*3\r\n:1\r\n:-1\r\n:-2\r\n");
    SAYS(db, "HTTL h FIELDS 2 a nothere", "*2\r\n:-1\r\n:-2\r\n");
    SAYS(db, "HPTTL h FIELDS 2 a nothere", "*2\r\n:-1\r\n:-2\r\n");
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(times_from_now_on)
{
    mlkv *db = store();
    SAYS(db, "HEXPIRE h 1000000 FIELDS 1 a", "*1\r\n:1\r\n");
    long long left = first_number(db, "HTTL h FIELDS 1 a");
    ck_assert(left > 900000 && left <= 1000000);
    SAYS(db, "HPEXPIRE h 500000000 FIELDS 1 a", "*1\r\n:1\r\n");
    left = first_number(db, "HPTTL h FIELDS 1 a");
    ck_assert(left > 400000000 && left <= 500000000);
    left = first_number(db, "HTTL h FIELDS 1 a");
    ck_assert(left > 400000 && left <= 500000);
    SAYS(db, "HEXPIRE h 0 FIELDS 2 a nothere", "*2\r\n:2\r\n:-2\r\n");
    SAYS(db, "HPEXPIREAT h 1 FIELDS 1 b", "*1\r\n:2\r\n");
    SAYS(db, "HKEYS h", "*1\r\n$1\r\nc\r\n");
    SAYS(db, "HEXPIREAT h 0 FIELDS 1 c", "*1\r\n:2\r\n");
    SAYS_NUMBER(db, "EXISTS h", 0); /* with the last field the key goes */
    SAYS(db, "HEXPIRE h 10 FIELDS 2 a b", "*2\r\n:-2\r\n:-2\r\n");
    SAYS(db, "HTTL h FIELDS 2 a b", "*2\r\n:-2\r\n:-2\r\n");
    SAYS(db, "HPERSIST h FIELDS 1 a", "*1\r\n:-2\r\n");
    SAYS_NUMBER(db, "EXISTS h", 0);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(conditions)
{
    mlkv *db = store();
    SAYS(db, "HPEXPIREAT h " FAR "000 XX FIELDS 1 a", "*1\r\n:0\r\n");
    SAYS(db, "HPEXPIREAT h " FAR "000 GT FIELDS 1 a", "*1\r\n:0\r\n");
    SAYS(db, "HPEXPIREAT h " FAR "000 nx FIELDS 1 a", "*1\r\n:1\r\n");
    SAYS(db, "HPEXPIREAT h " FAR "001 NX FIELDS 2 a b", "*2\r\n:0\r\n:1\r\n");
    SAYS(db, "HPEXPIREAT h " FAR "001 GT FIELDS 2 a b", "*2\r\n:1\r\n:0\r\n");
    SAYS(db, "HPEXPIREAT h " FAR "000 LT FIELDS 3 a b c", "*3\r\n:1\r\n:1\r\n:1\r\n");
    SAYS(db, "HPEXPIREAT h " FAR "002 Xx FIELDS 1 a", "*1\r\n:1\r\n");
    SAYS(db, "HPEXPIREAT h 1 GT FIELDS 1 a", "*1\r\n:0\r\n"); /* also of a time that is over */
    SAYS(db, "HPEXPIREAT h 1 NX FIELDS 1 a", "*1\r\n:0\r\n");
    SAYS_NUMBER(db, "HLEN h", 3);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(complaints)
{
    mlkv *db = store();
    SAYS_ERROR(db, "HEXPIRE h 10 FIELDS 1", "ERR wrong number of arguments for 'hexpire' command");
    SAYS_ERROR(db, "HTTL h FIELDS 1", "ERR wrong number of arguments for 'httl' command");
    SAYS_ERROR(db, "HEXPIRE s x NO x f", WRONG_TYPE); /* the key first */
    SAYS_ERROR(db, "HTTL s NO x f", WRONG_TYPE);
    SAYS_ERROR(db, "HPERSIST s NO x f", WRONG_TYPE);
    SAYS_ERROR(db, "HEXPIRE h x NO x f", NOT_INTEGER);
    SAYS_ERROR(db, "HEXPIRE nokey x FIELDS 1 f", NOT_INTEGER);
    SAYS_ERROR(db, "HEXPIRE h -1 NO x f", "ERR invalid expire time, must be >= 0");
    SAYS_ERROR(db, "HPEXPIREAT h -1 FIELDS 1 f", "ERR invalid expire time, must be >= 0");
    SAYS_ERROR(db, "HEXPIRE h 10 NO 1 f", POSITION);
    SAYS_ERROR(db, "HEXPIRE h 10 NX XX FIELDS 1 f", POSITION);
    SAYS_ERROR(db, "HEXPIRE h 10 FIELDS 0 f", NOT_COUNT);
    SAYS_ERROR(db, "HEXPIRE h 10 FIELDS -1 f", NOT_COUNT);
    SAYS_ERROR(db, "HEXPIRE h 10 NX FIELDS x f", NOT_COUNT);
    SAYS_ERROR(db, "HEXPIRE h 10 NX FIELDS 1", NO_MATCH);
    SAYS_ERROR(db, "HEXPIRE h 10 FIELDS 1 a b", NO_MATCH);
    SAYS_ERROR(db, "HEXPIRE h 10 FIELDS 2 a", NO_MATCH);
    SAYS_ERROR(db, "HEXPIRE nokey 10 FIELDS 9223372036854775807 a", NO_MATCH);
    SAYS_ERROR(db, "HTTL h NO 1 f", POSITION);
    SAYS_ERROR(db, "HTTL nokey FIELDS 0 f", NOT_NUMBER);
    SAYS_ERROR(db, "HPERSIST h FIELDS x f", NOT_NUMBER);
    SAYS_ERROR(db, "HPTTL h FIELDS 1 a b", NO_MATCH);
    SAYS_ERROR(db, "HPEXPIRETIME h FIELDS 3 a b", NO_MATCH);
    SAYS(db, "HTTL h FIELDS 3 a b c", "*3\r\n:-1\r\n:-1\r\n:-1\r\n");
    OK(mlkv_close(db));
}
END_TEST

START_TEST(the_end_of_time)
{
    mlkv *db = store();
    SAYS(db, "HPEXPIREAT h 70368744177663 FIELDS 1 a", "*1\r\n:1\r\n"); /* 46 bits */
    SAYS(db, "HPEXPIRETIME h FIELDS 1 a", "*1\r\n:70368744177663\r\n");
    SAYS(db, "HEXPIREAT h 70368744177 FIELDS 1 a", "*1\r\n:1\r\n");
    SAYS_ERROR(db, "HPEXPIREAT h 70368744177664 NO 1 a",
               "ERR invalid expire time in 'hpexpireat' command");
    SAYS_ERROR(db, "HEXPIREAT h 70368744178 FIELDS 1 a",
               "ERR invalid expire time in 'hexpireat' command");
    SAYS_ERROR(db, "HPEXPIRE h 70368744177663 FIELDS 1 a",
               "ERR invalid expire time in 'hpexpire' command");
    SAYS_ERROR(db, "HEXPIRE h 70368744177 FIELDS 1 a",
               "ERR invalid expire time in 'hexpire' command");
    SAYS_ERROR(db, "HEXPIRE h 9223372036854775807 FIELDS 1 a",
               "ERR invalid expire time in 'hexpire' command");
    SAYS_ERROR(db, "HPEXPIRE h 9223372036854775807 FIELDS 1 a",
               "ERR invalid expire time in 'hpexpire' command");
    SAYS(db, "HPEXPIRETIME h FIELDS 1 a", "*1\r\n:70368744177000\r\n");
    OK(mlkv_close(db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hash_expiry");
    TCase *tcase = harness_case(suite, "hash_expiry");
    tcase_add_test(tcase, fields_end_and_stay);
    tcase_add_test(tcase, times_from_now_on);
    tcase_add_test(tcase, conditions);
    tcase_add_test(tcase, complaints);
    tcase_add_test(tcase, the_end_of_time);
    return harness_run(suite);
}
