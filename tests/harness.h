/* harness.h - what the Check programs share: a main, temporary folders, short assertions. */
#ifndef MLKV_TESTS_HARNESS_H
#define MLKV_TESTS_HARNESS_H

#include "base/bytes.h"

#include <check.h>
#include <fcntl.h>
#include <mlkv/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Asserts a call's result and shows the error detail if it differs. Says nothing to Check
 * otherwise: Check notes each assertion that holds in a buffered file that forked children share,
 * and a child that is killed half-way through one breaks it. */
#define MUST(expected, call)                                                         \
    do {                                                                             \
        int must_got = (call), must_want = (expected);                               \
        if (must_got != must_want)                                                   \
            ck_abort_msg("%s: got %d (%s: %s), want %d", #call, must_got,            \
                         mlkv_error_name(must_got), mlkv_error_detail(), must_want); \
    } while (0)
#define OK(call) MUST(0, call)

#define TEXT(literal) slice_of("" literal, sizeof(literal) - 1)

/* A new folder under MLKV_TEST_FOLDER, TMPDIR or /tmp; static storage, removed by harness_main's
 * cleanup of the whole run. */
static inline const char *harness_folder(void)
{
    static char folder[512];
    const char *base = getenv("MLKV_TEST_FOLDER");
    if (base == NULL)
        base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/mlkv-test-XXXXXX", base != NULL ? base : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    return folder;
}

/* fork() for tests. Check hears of every assertion through an unlinked file whose offset a child would
 * share: what both write is mixed, and a child killed in the middle of a message garbles the rest. So
 * a child's goes nowhere: it reports by its exit status. */
static inline pid_t harness_fork(void)
{
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 3; fd < 256; fd++) {
        struct stat status;
        if (fd != nowhere && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_nlink == 0)
            (void)dup2(nowhere, fd);
    }
    return 0;
}

/* Removes a folder made by harness_folder: tests call it at their end. */
static inline void harness_remove(const char *folder)
{
    char command[700];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}

static inline TCase *harness_case(Suite *suite, const char *name)
{
    TCase *tcase = tcase_create(name);
    tcase_set_timeout(
        tcase, 300); /* Check's default of 4 s is too short under sanitizers on a loaded machine */
    suite_add_tcase(suite, tcase);
    return tcase;
}

static inline int harness_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}

#endif
