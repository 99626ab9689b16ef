/* test_table.c - the table of commands: its rows are whole and found by their names. */
#include "command/fixture.h"

static mlkv_command_info row_of(size_t i)
{
    mlkv_command_info info = {.size = sizeof info};
    OK(mlkv_command_row(i, &info));
    return info;
}

static size_t count_rows(void)
{
    mlkv_command_info info = {.size = sizeof info};
    size_t n = 0;
    while (mlkv_command_row(n, &info) == MLKV_OK)
        n++;
    MUST(MLKV_ABSENT, mlkv_command_row(n, &info));
    return n;
}

START_TEST(rows_are_whole)
{
    size_t n = count_rows();
    ck_assert_uint_ge(n, 160);
    for (size_t i = 0; i < n; i++) {
        mlkv_command_info row = row_of(i);
        bool writes = (row.flags & MLKV_COMMAND_WRITE) != 0,
             reads = (row.flags & MLKV_COMMAND_READ) != 0;
        ck_assert_msg(writes != reads, "%s neither reads nor writes, or both", row.name);
        ck_assert_msg(writes || (row.flags & MLKV_COMMAND_GROWS) == 0, "%s", row.name);
        ck_assert_msg(row.arity != 0 && row.name[0] != '\0' && row.summary[0] != '\0', "%s",
                      row.name);
        ck_assert_msg(row.first_key == 0 || row.key_step > 0, "%s", row.name);
        ck_assert_msg(i == 0 || strcmp(row_of(i - 1).name, row.name) < 0, "%s", row.name);
        for (const char *c = row.name; *c != '\0'; c++)
            ck_assert_msg((*c >= 'a' && *c <= 'z') || *c == '.' || *c == '_', "%s", row.name);
    }
}
END_TEST

START_TEST(found_by_name)
{
    mlkv_command_info info = {.size = sizeof info};
    for (size_t i = 0; i < count_rows(); i++) {
        char name[32];
        const char *known = row_of(i).name;
        size_t size = strlen(known);
        for (size_t j = 0; j < size; j++)
            name[j] = (char)(j % 2 == 0 && known[j] >= 'a' ? known[j] - 32 : known[j]);
        OK(mlkv_command_find(slice_of(name, size), &info));
        ck_assert_str_eq(info.name, known);
        MUST(MLKV_ABSENT, mlkv_command_find(slice_of(name, size - 1), &info) == MLKV_OK
                              ? (strlen(info.name) == size - 1 ? MLKV_ABSENT : MLKV_OK)
                              : MLKV_ABSENT);
    }
    MUST(MLKV_ABSENT, mlkv_command_find(slice_of(NULL, 0), &info));
    MUST(MLKV_ABSENT, mlkv_command_find(TEXT("getx"), &info));
    MUST(MLKV_ABSENT, mlkv_command_find(TEXT("get\0"), &info));
    MUST(MLKV_ABSENT, mlkv_command_find(TEXT("\xff"), &info));
    MUST(MLKV_E_ARGUMENT, mlkv_command_find(slice_of(NULL, 3), &info));
    MUST(MLKV_E_ARGUMENT, mlkv_command_find(TEXT("get"), NULL));
    info.size--;
    MUST(MLKV_E_ARGUMENT, mlkv_command_find(TEXT("get"), &info));
    MUST(MLKV_E_ARGUMENT, mlkv_command_row(0, &info));
}
END_TEST

/* One word less than the least, and one more than the most, is refused, by the check and by the run. */
START_TEST(numbers_of_words)
{
    mlkv *db = memory_store();
    mlkv_slice words[WORDS_MAX];
    mlkv_reply reply = {0};
    for (size_t i = 0; i < count_rows(); i++) {
        mlkv_command_info row = row_of(i);
        size_t least = (size_t)(row.arity < 0 ? -row.arity : row.arity);
        for (size_t j = 0; j < WORDS_MAX; j++)
            words[j] = TEXT("1");
        words[0] = slice_of_text(row.name);
        OK(mlkv_command_check(words, least, &reply));
        ck_assert_int_eq(reply.nodes[0].kind, MLKV_REPLY_STATUS);
        if (least > 1) {
            MUST(MLKV_E_ARGUMENT, mlkv_command_check(words, least - 1, &reply));
            MUST(MLKV_E_ARGUMENT, mlkv_command(db, words, least - 1, &reply));
            ck_assert_int_eq(reply.nodes[0].kind, MLKV_REPLY_ERROR);
        }
        MUST(row.arity < 0 ? MLKV_OK : MLKV_E_ARGUMENT,
             mlkv_command_check(words, least + 1, &reply));
        if (row.arity > 0)
            MUST(MLKV_E_ARGUMENT, mlkv_command(db, words, least + 1, &reply));
    }
    mlkv_reply_free(&reply);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(hostile_arguments)
{
    mlkv *db = memory_store();
    mlkv_reply reply = {0};
    mlkv_slice words[] = {TEXT("get"), slice_of(NULL, 5)};
    MUST(MLKV_E_ARGUMENT, mlkv_command(db, words, 2, &reply));
    MUST(MLKV_E_ARGUMENT, mlkv_command(db, words, 2, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_command(db, words, 0, &reply));
    MUST(MLKV_E_ARGUMENT, mlkv_command(db, NULL, 2, &reply));
    words[1] = TEXT("key");
    MUST(MLKV_E_ARGUMENT, mlkv_command(NULL, words, 2, &reply));
    ck_assert_int_eq(reply.nodes[0].kind, MLKV_REPLY_ERROR);
    mlkv_buffer wire = {0};
    MUST(MLKV_E_ARGUMENT, mlkv_reply_encode(NULL, 2, &wire));
    MUST(MLKV_E_ARGUMENT, mlkv_reply_encode(&reply, 2, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_reply_encode(&reply, 4, &wire));
    words[0] = slice_of(NULL, 0);
    MUST(MLKV_E_ARGUMENT, mlkv_command(db, words, 1, &reply));
    mlkv_reply_free(&reply);
    mlkv_reply_free(&reply);
    mlkv_reply_free(NULL);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(views)
{
    mlkv *db = memory_store(), *snapshot = NULL, *transaction = NULL;
    SAYS_OK(db, "set k 1");
    OK(mlkv_snapshot(db, &snapshot));
    OK(mlkv_begin(db, &transaction));
    SAYS_NUMBER(transaction, "incr k", 2);
    SAYS(transaction, "get k", "$1\r\n2\r\n");
    SAYS(db, "get k", "$1\r\n1\r\n");
    SAYS(transaction, "blpop nothing 0", "*-1\r\n"); /* nobody else could push */
    OK(mlkv_commit(transaction));
    SAYS(db, "get k", "$1\r\n2\r\n");
    SAYS(snapshot, "get k", "$1\r\n1\r\n");
    SAYS_ERROR(snapshot, "incr k", "READONLY You can't write against a read only replica.");
    OK(mlkv_close(snapshot));
    OK(mlkv_close(db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("table");
    TCase *tcase = harness_case(suite, "table");
    tcase_add_test(tcase, rows_are_whole);
    tcase_add_test(tcase, found_by_name);
    tcase_add_test(tcase, numbers_of_words);
    tcase_add_test(tcase, hostile_arguments);
    tcase_add_test(tcase, views);
    return harness_run(suite);
}
