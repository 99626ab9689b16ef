/* test_error.c - results have pinned values and names; the detail is the thread's own, cut, and
 * survives quoting itself. */
#include "base/error.h"

#include "harness.h"

#include <errno.h>
#include <pthread.h>

START_TEST(table)
{
    /* pinned for ever: a change here is a change of the ABI */
    static const struct {
        int result;
        const char *name;
    } pinned[] = {
        {0, "ok"},         {1, "absent"},         {-1, "argument"},  {-2, "memory"},
        {-3, "io"},        {-4, "corrupt"},       {-5, "type"},      {-6, "number"},
        {-7, "range"},     {-8, "readonly"},      {-9, "busy"},      {-10, "full"},
        {-11, "version"},  {-12, "mismatch"},     {-13, "recovery"}, {-14, "owner"},
        {-15, "poisoned"}, {-16, "absent_store"}, {-17, "shape"},    {-18, "size"},
        {-19, "platform"}, {-20, "permission"},
    };
    for (size_t i = 0; i < sizeof pinned / sizeof pinned[0]; i++)
        ck_assert_str_eq(mlkv_error_name(pinned[i].result), pinned[i].name);
    ck_assert_str_eq(mlkv_error_name(-4711), "unknown");
    ck_assert_str_ne(mlkv_error_message(-4711), "");
}
END_TEST

START_TEST(rows_of_the_table)
{
    size_t n = 0;
    int result = 0;
    const char *name = NULL;
    const char *message = NULL;
    for (; mlkv_error_row(n, &result, &name, &message) == 0; n++) {
        ck_assert_str_eq(mlkv_error_name(result), name);
        ck_assert_str_eq(mlkv_error_message(result), message);
        ck_assert_str_ne(message, "");
        for (size_t other = 0; other < n; other++) {
            int result_other = 0;
            OK(mlkv_error_row(other, &result_other, NULL, NULL));
            ck_assert_int_ne(result, result_other);
        }
    }
    ck_assert_uint_ge(n, 22);
    int kept = result;
    MUST(MLKV_ABSENT, mlkv_error_row(n, &result, &name, &message));
    MUST(MLKV_ABSENT, mlkv_error_row(SIZE_MAX, &result, &name, &message));
    ck_assert_int_eq(result, kept);
}
END_TEST

START_TEST(detail)
{
    ck_assert_str_eq(mlkv_error_detail(), "");
    errno = EBADF;
    MUST(MLKV_E_TYPE, error_set(MLKV_E_TYPE, "key %s is a %d", "k", 7));
    ck_assert_int_eq(errno, EBADF);
    ck_assert_str_eq(mlkv_error_detail(), "key k is a 7");
    MUST(MLKV_E_IO, error_set(MLKV_E_IO, "outer (%s)", mlkv_error_detail()));
    ck_assert_str_eq(mlkv_error_detail(), "outer (key k is a 7)");
    MUST(MLKV_E_MEMORY, error_set_memory("a test"));
    ck_assert_str_eq(mlkv_error_detail(), "out of memory for a test");
    error_clear();
    ck_assert_str_eq(mlkv_error_detail(), "");
}
END_TEST

START_TEST(long_details_are_cut)
{
    char text[2000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    MUST(MLKV_E_SIZE, error_set(MLKV_E_SIZE, "%s", text));
    ck_assert_uint_eq(strlen(mlkv_error_detail()), 511);
    MUST(MLKV_E_FULL, error_set_system(ENOSPC, "%s", text));
    ck_assert_uint_eq(strlen(mlkv_error_detail()), 511);
    const char *reason = strerror(ENOSPC);
    ck_assert_str_eq(mlkv_error_detail() + 511 - strlen(reason), reason);
}
END_TEST

START_TEST(system_errors)
{
    static const struct {
        int number;
        int result;
    } mapped[] = {
        {ENOSPC, MLKV_E_FULL},      {EDQUOT, MLKV_E_FULL},
        {EFBIG, MLKV_E_FULL},       {EACCES, MLKV_E_PERMISSION},
        {EPERM, MLKV_E_PERMISSION}, {EROFS, MLKV_E_PERMISSION},
        {ENOMEM, MLKV_E_MEMORY},    {EAGAIN, MLKV_E_MEMORY},
        {ETIMEDOUT, MLKV_E_BUSY},   {EIO, MLKV_E_IO},
        {4711, MLKV_E_IO},
    };
    for (size_t i = 0; i < sizeof mapped / sizeof mapped[0]; i++) {
        MUST(mapped[i].result, error_set_system(mapped[i].number, "writing %s", "file"));
        char want[256];
        snprintf(want, sizeof want, "writing file: %s", strerror(mapped[i].number));
        ck_assert_str_eq(mlkv_error_detail(), want);
    }
}
END_TEST

static void *other_thread(void *unused)
{
    (void)unused;
    ck_assert_str_eq(mlkv_error_detail(), "");
    (void)error_set(MLKV_E_IO, "other");
    return strcmp(mlkv_error_detail(), "other") == 0 ? NULL : "its own detail is not there";
}

START_TEST(detail_is_the_threads_own)
{
    (void)error_set(MLKV_E_IO, "mine");
    pthread_t thread;
    void *failed = NULL;
    ck_assert_int_eq(pthread_create(&thread, NULL, other_thread, NULL), 0);
    ck_assert_int_eq(pthread_join(thread, &failed), 0);
    ck_assert_ptr_null(failed);
    ck_assert_str_eq(mlkv_error_detail(), "mine");
}
END_TEST

START_TEST(quoting)
{
    ck_assert_str_eq(error_quote(NULL, 0), "");
    ck_assert_str_eq(error_quote("plain name", 10), "plain name");
    ck_assert_str_eq(error_quote("a\0b\n\x7f\xff\\'\"", 9), "a\\x00b\\x0a\\x7f\\xff\\\\\\'\\\"");
    unsigned char bytes[200];
    memset(bytes, 0xab, sizeof bytes);
    const char *text = error_quote(bytes, sizeof bytes);
    ck_assert_uint_eq(strlen(text), 64 * 4 + 3);
    ck_assert_str_eq(text + 64 * 4, "...");
    ck_assert_uint_eq(strlen(error_quote(bytes, 64)), 64 * 4);
    /* four at a time */
    const char *a = error_quote("a", 1);
    const char *b = error_quote("b", 1);
    const char *c = error_quote("c", 1);
    const char *d = error_quote("d", 1);
    (void)error_set(MLKV_E_TYPE, "%s%s%s%s", a, b, c, d);
    ck_assert_str_eq(mlkv_error_detail(), "abcd");
}
END_TEST

START_TEST(test_kept_while_tidying_up)
{
    error_kept kept;
    char large[2000];
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = 0;
    (void)error_set(MLKV_E_IO, "%s", large);
    error_keep(&kept);
    error_clear();
    (void)error_set(MLKV_E_IO, "another");
    error_restore(&kept);
    ck_assert_uint_eq(strlen(mlkv_error_detail()), sizeof kept.text - 1);
    ck_assert(strncmp(mlkv_error_detail(), large, sizeof kept.text - 1) == 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("error");
    TCase *tcase = harness_case(suite, "error");
    tcase_add_test(tcase, table);
    tcase_add_test(tcase, rows_of_the_table);
    tcase_add_test(tcase, detail);
    tcase_add_test(tcase, long_details_are_cut);
    tcase_add_test(tcase, system_errors);
    tcase_add_test(tcase, detail_is_the_threads_own);
    tcase_add_test(tcase, quoting);
    tcase_add_test(tcase, test_kept_while_tidying_up);
    return harness_run(suite);
}
