/* test_scan.c - SCAN and its relatives: cursors as numbers, parts, patterns, types. */
#include "command/fixture.h"

enum { CURSOR_MAX = 2000 };

typedef struct {
    char cursor[CURSOR_MAX];
    mlkv_buffer names; /* each with a zero behind */
    unsigned seen, parts;
} walk;

/* One part: `head` and `tail` are the words before and behind the cursor. Whether there is more. */
static bool go_on(mlkv *db, walk *self, const mlkv_slice *head, size_t heads,
                  const mlkv_slice *tail, size_t tails)
{
    mlkv_slice words[WORDS_MAX];
    mlkv_reply reply = {0};
    size_t n = 0;
    for (size_t i = 0; i < heads; i++)
        words[n++] = head[i];
    words[n++] = slice_of_text(self->cursor);
    for (size_t i = 0; i < tails; i++)
        words[n++] = tail[i];
    OK(mlkv_command(db, words, n, &reply));
    ck_assert_int_eq(reply.nodes[2].kind, MLKV_REPLY_ARRAY);
    ck_assert_uint_eq(reply.count, 3 + (size_t)reply.nodes[2].integer);
    for (size_t i = 3; i < reply.count; i++) {
        mlkv_slice name = reply.nodes[i].bytes;
        char *to = realloc(self->names.data, self->names.size + name.size + 1);
        ck_assert_ptr_nonnull(to);
        memcpy(to + self->names.size, name.data, name.size);
        to[self->names.size + name.size] = '\0';
        self->names.data = to;
        self->names.size += name.size + 1;
        self->seen++;
    }
    mlkv_slice cursor = reply.nodes[1].bytes;
    ck_assert_uint_lt(cursor.size, CURSOR_MAX);
    memcpy(self->cursor, cursor.data, cursor.size);
    self->cursor[cursor.size] = '\0';
    mlkv_reply_free(&reply);
    self->parts++;
    return strcmp(self->cursor, "0") != 0;
}

static walk walk_all(mlkv *db, const mlkv_slice *head, size_t heads, const mlkv_slice *tail,
                     size_t tails)
{
    walk all = {.cursor = "0"};
    while (go_on(db, &all, head, heads, tail, tails))
        ck_assert_uint_lt(all.parts, 100000);
    return all;
}

START_TEST(every_key_once)
{
    mlkv *db = memory_store();
    enum { N = 500 };
    for (unsigned i = 0; i < N; i++) {
        mlkv_slice name = long_name(i % 3 == 0 ? 600 : 20 + i % 40, i);
        OK(mlkv_string_set(db, name, TEXT("v"), MLKV_SET_ALWAYS));
    }
    mlkv_slice head[] = {TEXT("SCAN")}, tail[] = {TEXT("COUNT"), TEXT("7")};
    walk all = walk_all(db, head, 1, tail, 2);
    ck_assert_uint_eq(all.seen, N);
    ck_assert_uint_ge(all.parts, N / 7);
    mlkv_buffer_free(&all.names);
    all = walk_all(db, head, 1, NULL, 0); /* parts of ten */
    ck_assert_uint_eq(all.seen, N);
    mlkv_buffer_free(&all.names);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(patterns_and_types)
{
    mlkv *db = memory_store();
    for (unsigned i = 0; i < 100; i++) {
        char line[64];
        mlkv_buffer wire = {0};
        snprintf(line, sizeof line, i % 2 == 0 ? "set user:%02u x" : "sadd job:%02u x", i);
        OK(run_line(db, line, 2, &wire));
        mlkv_buffer_free(&wire);
    }
    mlkv_slice head[] = {TEXT("scan")};
    mlkv_slice users[] = {TEXT("match"), TEXT("user:?[0-4]"), TEXT("count"), TEXT("3")};
    walk all = walk_all(db, head, 1, users, 4);
    ck_assert_uint_eq(all.seen, 30); /* 0, 2, 4 of ten decades */
    mlkv_buffer_free(&all.names);
    mlkv_slice sets[] = {TEXT("TYPE"), TEXT("SET")};
    all = walk_all(db, head, 1, sets, 2);
    ck_assert_uint_eq(all.seen, 50);
    mlkv_buffer_free(&all.names);
    mlkv_slice none[] = {TEXT("TYPE"), TEXT("")};
    all = walk_all(db, head, 1, none, 2);
    ck_assert_uint_eq(all.seen, 0);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(elements)
{
    mlkv *db = memory_store();
    SAYS_NUMBER(db, "hset h a 1 b 2 c 3", 3);
    SAYS_NUMBER(db, "zadd z 1.5 a -inf b 3 c", 3);
    SAYS_NUMBER(db, "sadd s a b c", 3);
    SAYS(db, "hscan h 0",
         "*2\r\n$1\r\n0\r\n*6\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\n2\r\n$1\r\nc\r\n$"
         "1\r\n3\r\n");
    SAYS3(db, "zscan z 0",
          "*2\r\n$1\r\n0\r\n*6\r\n$1\r\na\r\n$3\r\n1.5\r\n$1\r\nb\r\n$4\r\n-inf\r\n$1\r\nc\r\n$"
          "1\r\n3\r\n");
    SAYS(db, "sscan s 0 match [bc]", "*2\r\n$1\r\n0\r\n*2\r\n$1\r\nb\r\n$1\r\nc\r\n");
    SAYS_ERROR(db, "sscan h 0", WRONG_TYPE);
    SAYS_ERROR(db, "sscan s 0 type set", SYNTAX);
    mlkv_slice head[] = {TEXT("zscan"), TEXT("z")}, tail[] = {TEXT("count"), TEXT("1")};
    walk all = walk_all(db, head, 2, tail, 2);
    ck_assert_uint_eq(all.seen, 6);
    ck_assert(memcmp(all.names.data, "a\0001.5\0b\0-inf\0c\0003", all.names.size) == 0);
    mlkv_buffer_free(&all.names);
    OK(mlkv_close(db));
}
END_TEST

/* A number that none of our replies is: refused, or a place like any other; never a crash, never too long. */
START_TEST(cursors_from_outside)
{
    mlkv *db = memory_store();
    static char line[LINE_MAX_SIZE];
    SAYS_OK(db, "set k v");
    SAYS_ERROR(db, "scan -1", "ERR invalid cursor");
    SAYS_ERROR(db, "scan 1x", "ERR invalid cursor");
    SAYS(db, "scan ''", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nk\r\n"); /* as Redis */
    SAYS_ERROR(db, "scan 5", "ERR invalid cursor");            /* no leading 1 */
    SAYS(db, "scan 000", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nk\r\n");
    for (unsigned digits = 1; digits < 4000; digits += digits < 40 ? 1 : 97) {
        mlkv_buffer wire = {0};
        memcpy(line, "scan ", 5);
        for (unsigned i = 0; i < digits; i++)
            line[5 + i] = (char)('1' + (digits * 7 + i * i) % 9);
        line[5 + digits] = '\0';
        (void)run_line(db, line, 2, &wire);
        ck_assert_uint_gt(wire.size, 0);
        mlkv_buffer_free(&wire);
    }
    OK(mlkv_close(db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("scan");
    TCase *tcase = harness_case(suite, "scan");
    tcase_add_test(tcase, every_key_once);
    tcase_add_test(tcase, patterns_and_types);
    tcase_add_test(tcase, elements);
    tcase_add_test(tcase, cursors_from_outside);
    return harness_run(suite);
}
