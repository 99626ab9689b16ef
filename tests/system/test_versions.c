/* test_versions.c - two versions of the library on one folder: one that differs in the protocol of
 * the journal, or in the format of LMDB's records, is refused with both versions named, while the
 * other is there and after its death; after a clean end the journal's protocol does not matter. One
 * that differs in nothing but its number is as good as the same.
 *
 * The other versions are real: visitor.c linked with the library's files that know the number,
 * compiled with another one (meson.build). This program's library speaks 1 of both.
 */
#include "visitors.h"

/* Runs a visitor to its end. Its first line of output and errors, its status as pclose gives it. */
static int run(const char *variable, const char *arguments, char *ret_line, size_t size)
{
    char command[1500];
    const char *program = getenv(variable);
    ck_assert_msg(program != NULL, "%s is not set: run the tests through meson", variable);
    snprintf(command, sizeof command, "'%s' %s 2>&1", program, arguments);
    FILE *output = popen(command, "r");
    ck_assert_ptr_nonnull(output);
    ret_line[0] = '\0';
    if (fgets(ret_line, (int)size, output) == NULL)
        ret_line[0] = '\0';
    return pclose(output);
}

/* The same with `visitor WHAT FOLDER REST`, which must succeed, or be refused with these words. */
static void visit(const char *variable, const char *what, const char *folder, const char *rest,
                  const char *refusal, const char *own, const char *other)
{
    char arguments[1000], line[1000];
    snprintf(arguments, sizeof arguments, "%s '%s' %s", what, folder, rest);
    int status = run(variable, arguments, line, sizeof line);
    if (refusal == NULL)
        ck_assert_msg(status == 0, "%s: status %x, '%s'", variable, (unsigned)status, line);
    else
        ck_assert_msg(status != 0 && strstr(line, refusal) != NULL && strstr(line, own) != NULL &&
                          strstr(line, other) != NULL,
                      "%s: status %x, '%s'", variable, (unsigned)status, line);
}

#define IN_PROTOCOL_2(what, folder, rest) \
    visit("MLKV_VISITOR_PROTOCOL", what, folder, rest, NULL, NULL, NULL)
#define REFUSED_IN_PROTOCOL_2(what, folder, rest) \
    visit("MLKV_VISITOR_PROTOCOL", what, folder, rest, "version", "protocol 2", "protocol 1")

static process start(const char *variable, const char *what, const char *folder)
{
    const char *arguments[] = {what, folder, NULL};
    uint64_t ready;
    ck_assert_int_eq(setenv("MLKV_VICTIM", getenv(variable), 1), 0);
    process started = process_start(arguments);
    ck_assert(process_hear(&started, &ready));
    return started;
}

static void end(process *self)
{
    int status = process_end(self);
    ck_assert_msg(status == 0, "a visitor ended with status %x", (unsigned)status);
}

static void end_by_death(process *self)
{
    ck_assert_int_eq(kill(self->pid, SIGKILL), 0);
    ck_assert(WIFSIGNALED(process_end(self)));
}

static int open_store(const char *folder, uint32_t flags, mlkv **ret_db)
{
    mlkv_options options = steps_options(MLKV_JOURNAL);
    options.flags = flags;
    return mlkv_open(folder, &options, ret_db);
}

static void check_refusal(const char *folder, uint32_t flags, const char *own, const char *other)
{
    mlkv *db = NULL;
    MUST(MLKV_E_VERSION, open_store(folder, flags, &db));
    ck_assert_ptr_null(db);
    ck_assert_msg(strstr(mlkv_error_detail(), own) != NULL &&
                      strstr(mlkv_error_detail(), other) != NULL,
                  "'%s'", mlkv_error_detail());
}

static void check_store(const char *folder, const char *key, int64_t value)
{
    mlkv *db = NULL;
    OK(open_store(folder, 0, &db));
    ck_assert_int_eq(number_of(db, key), value);
    OK(mlkv_verify(db, NULL, NULL, &(mlkv_report){.size = sizeof(mlkv_report)}));
    OK(mlkv_close(db));
}

START_TEST(another_protocol_beside_this_one)
{
    const char *folder = harness_folder();
    mlkv *db = NULL;
    int64_t value;
    OK(open_store(folder, 0, &db));
    OK(mlkv_string_add(db, TEXT("n"), 1, &value));
    REFUSED_IN_PROTOCOL_2("get", folder, "n");
    REFUSED_IN_PROTOCOL_2("add", folder, "n 1");
    OK(mlkv_string_add(db, TEXT("n"), 1, &value)); /* it harmed nothing */
    ck_assert_int_eq(value, 2);
    OK(mlkv_close(db));
    process other = start("MLKV_VISITOR_PROTOCOL", "idle", folder);
    check_refusal(folder, 0, "protocol 1", "protocol 2");
    check_refusal(folder, MLKV_READ_ONLY, "protocol 1", "protocol 2");
    check_refusal(folder, MLKV_ACCEPT_LOSS, "protocol 1", "protocol 2");
    end(&other);
    check_store(folder, "n", 2);
    harness_remove(folder);
}
END_TEST

START_TEST(another_protocol_after_a_clean_end)
{
    const char *folder = harness_folder();
    mlkv *db = NULL;
    int64_t value;
    for (int i = 1; i <= 3; i++) {
        OK(open_store(folder, 0, &db));
        OK(mlkv_string_add(db, TEXT("n"), 1, &value));
        ck_assert_int_eq(value, 2 * i - 1);
        OK(mlkv_close(db));
        IN_PROTOCOL_2("add", folder, "n 1");
        OK(open_store(folder, MLKV_READ_ONLY, &db));
        ck_assert_int_eq(number_of(db, "n"), 2 * i);
        OK(mlkv_close(db));
    }
    check_store(folder, "n", 6);
    harness_remove(folder);
}
END_TEST

START_TEST(another_protocol_after_a_death)
{
    const char *folder = harness_folder();
    check_store(folder, "idle", 0);
    process other = start("MLKV_VISITOR_PROTOCOL", "hold", folder);
    end_by_death(&other);
    check_refusal(folder, 0, "protocol 1", "protocol 2");
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "not closed"));
    mlkv *db = NULL;
    MUST(MLKV_E_RECOVERY, open_store(folder, MLKV_READ_ONLY, &db));
    IN_PROTOCOL_2("get", folder,
                  "idle"); /* who knows the journal recovers it, and nothing is lost */
    check_store(folder, "idle", 1);
    use_visitor();
    other = start("MLKV_VISITOR", "hold", folder);
    end_by_death(&other);
    REFUSED_IN_PROTOCOL_2("get", folder, "idle");
    check_store(folder, "idle", 2);
    harness_remove(folder);
}
END_TEST

/* A backup that is put back beside a journal that holds more is found out across versions, too. */
START_TEST(another_protocol_and_an_older_backup)
{
    const char *folder = harness_folder();
    char command[1500];
    check_store(folder, "n", 0);
    IN_PROTOCOL_2("add", folder, "n 1");
    snprintf(command, sizeof command, "cp '%s/data.mdb' '%s/kept'", folder, folder);
    ck_assert_int_eq(system(command), 0);
    IN_PROTOCOL_2("add", folder, "n 1");
    snprintf(command, sizeof command, "cp '%s/kept' '%s/data.mdb'", folder, folder);
    ck_assert_int_eq(system(command), 0);
    mlkv *db = NULL;
    MUST(MLKV_E_MISMATCH, open_store(folder, 0, &db));
    OK(open_store(folder, MLKV_ACCEPT_LOSS, &db));
    ck_assert_int_eq(number_of(db, "n"), 1);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* A reader of this version has the store open all the time. */
START_TEST(a_reader_is_told_when_another_protocol_takes_over)
{
    const char *folder = harness_folder();
    mlkv *db = NULL, *reader = NULL;
    mlkv_buffer value = {0};
    int64_t n;
    OK(open_store(folder, 0, &db));
    OK(mlkv_string_add(db, TEXT("idle"), 1, &n));
    OK(mlkv_close(db));
    OK(open_store(folder, MLKV_READ_ONLY, &reader));
    ck_assert_int_eq(number_of(reader, "idle"), 1);
    process other = start("MLKV_VISITOR_PROTOCOL", "idle", folder);
    MUST(MLKV_E_VERSION, mlkv_string_get(reader, TEXT("idle"), &value));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "protocol 2"));
    end(&other);
    ck_assert_int_eq(number_of(reader, "idle"), 2); /* LMDB is all there is now */
    mlkv_buffer_free(&value);
    OK(mlkv_close(reader));
    harness_remove(folder);
}
END_TEST

START_TEST(another_format)
{
    const char *folder = harness_folder();
    mlkv *db = NULL;
    char other_folder[700];
    OK(open_store(folder, 0, &db));
    visit("MLKV_VISITOR_FORMAT", "get", folder, "n", "version", "format 1", "format 2");
    OK(mlkv_close(db));
    visit("MLKV_VISITOR_FORMAT", "add", folder, "n 1", "version", "format 1", "format 2");
    check_store(folder, "n", 0);
    snprintf(other_folder, sizeof other_folder, "%s/other", folder);
    process other = start("MLKV_VISITOR_FORMAT", "idle", other_folder);
    check_refusal(other_folder, 0, "format 1", "format 2");
    check_refusal(other_folder, MLKV_READ_ONLY, "format 1", "format 2");
    end(&other);
    check_refusal(other_folder, 0, "format 1", "format 2");
    harness_remove(folder);
}
END_TEST

START_TEST(another_patch_is_the_same)
{
    enum { ADDS = 2000 };
    const char *folder = harness_folder();
    char mine[100], others[100];
    mlkv *db = NULL;
    int64_t value;
    ck_assert_int_eq(run("MLKV_VISITOR", "version", mine, sizeof mine), 0);
    ck_assert_int_eq(run("MLKV_VISITOR_PATCH", "version", others, sizeof others), 0);
    ck_assert_str_ne(mine, others); /* it is another one */
    ck_assert_int_eq(strncmp(mine, mlkv_version(), strlen(mlkv_version())), 0);
    OK(open_store(folder, 0, &db));
    ck_assert_int_eq(setenv("MLKV_VICTIM", getenv("MLKV_VISITOR_PATCH"), 1), 0);
    const char *arguments[] = {"add", folder, "n", "2000", NULL};
    process other = process_start(arguments);
    for (int i = 0; i < ADDS; i++)
        OK(mlkv_string_add(db, TEXT("n"), 1, &value));
    end(&other);
    ck_assert_int_eq(number_of(db, "n"), 2 * ADDS);
    other = start("MLKV_VISITOR_PATCH", "hold", folder); /* its death is mended by this one */
    end_by_death(&other);
    OK(mlkv_string_add(db, TEXT("n"), 1, &value));
    OK(mlkv_close(db));
    check_store(folder, "n", 2 * ADDS + 1);
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("versions");
    TCase *tcase = harness_case(suite, "versions");
    tcase_add_test(tcase, another_protocol_beside_this_one);
    tcase_add_test(tcase, another_protocol_after_a_clean_end);
    tcase_add_test(tcase, another_protocol_after_a_death);
    tcase_add_test(tcase, another_protocol_and_an_older_backup);
    tcase_add_test(tcase, a_reader_is_told_when_another_protocol_takes_over);
    tcase_add_test(tcase, another_format);
    tcase_add_test(tcase, another_patch_is_the_same);
    return harness_run(suite);
}
