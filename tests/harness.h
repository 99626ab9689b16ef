/* harness.h - what the Check programs share: a main, temporary folders, short assertions. */
#ifndef MLKV_TESTS_HARNESS_H
#define MLKV_TESTS_HARNESS_H

#include "base/bytes.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mlkv/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h> /* costs nothing where valgrind does not run */
#else
#define RUNNING_ON_VALGRIND         0
#define VALGRIND_CLO_CHANGE(option) ((void)0)
#endif

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

#ifdef __SANITIZE_ADDRESS__
/* Whether all other threads of the process sleep. */
static inline int harness_others_sleep(void)
{
    DIR *tasks = opendir("/proc/self/task");
    int asleep = 1;
    for (struct dirent *entry; tasks != NULL && (entry = readdir(tasks)) != NULL;) {
        char path[64], text[128] = "";
        if (entry->d_name[0] == '.' || atoi(entry->d_name) == (int)gettid())
            continue;
        (void)snprintf(path, sizeof path, "/proc/self/task/%.16s/stat", entry->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0 && read(fd, text, sizeof text - 1) > 0) {
            const char *state = strrchr(text, ')');
            asleep = asleep && (state == NULL || state[1] == 0 || state[2] == 'S');
        }
        if (fd >= 0)
            (void)close(fd);
    }
    if (tasks != NULL)
        (void)closedir(tasks);
    return asleep;
}

/* gcc 12's AddressSanitizer does not look after its allocator's locks when a process forks: a child whose parent had a
 * thread in malloc at that moment waits for it for ever. Threads that sleep are not in it. */
static inline void harness_calm(void)
{
    for (int looks = 0, calm = 0; looks < 5000 && calm < 3; looks++) {
        calm = harness_others_sleep() ? calm + 1 : 0;
        if (calm < 3)
            (void)usleep(500);
    }
}
#else
static inline void harness_calm(void)
{
}
#endif

/* fork() for tests. Check hears of every assertion through an unlinked file whose offset a child would
 * share: what both write is mixed, and a child killed in the middle of a message garbles the rest. So
 * a child's goes nowhere: it reports by its exit status. */
static inline pid_t harness_fork(void)
{
    (void)fflush(NULL);
    harness_calm();
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 3; fd < 256; fd++) {
        struct stat status;
        if (fd != nowhere && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
            status.st_nlink == 0)
            (void)dup2(nowhere, fd);
    }
    VALGRIND_CLO_CHANGE("--leak-check=no"); /* it leaves by _exit, in the middle of a test */
    return 0;
}

/* How a child leaves: without its parent's exit handlers, but in a build that counts coverage with its counts. */
#ifdef MLKV_COVERAGE
void __gcov_dump(void);
static inline void harness_exit(int status)
{
    __gcov_dump();
    _exit(status);
}
#else
static inline void harness_exit(int status)
{
    _exit(status);
}
#endif

/* The exit status of a child, or minus the signal that ended it. */
static inline int child_status(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        ck_assert_int_eq(errno, EINTR);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* Runs `body` in a forked child; its exit status, or minus the signal that ended it. */
#define IN_CHILD(ret_status, body)              \
    do {                                        \
        pid_t child_pid = harness_fork();       \
        ck_assert_int_ge(child_pid, 0);         \
        if (child_pid == 0) {                   \
            body;                               \
            harness_exit(0);                    \
        }                                       \
        (ret_status) = child_status(child_pid); \
    } while (0)

/* In a child or a thread, where Check's assertions would not reach the test. */
#define CHILD_MUST(condition)                                                   \
    do {                                                                        \
        if (!(condition)) {                                                     \
            fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, \
                    mlkv_error_detail());                                       \
            _exit(99);                                                          \
        }                                                                       \
    } while (0)

/* A page of zeros that children share. */
static inline void *shared_page(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(page, MAP_FAILED);
    return page;
}

/* How often a test that tries something `rounds` times does: a tenth of it under valgrind, which takes
 * thirty times as long and runs one thread at a time. */
static inline unsigned harness_rounds(unsigned rounds)
{
    return RUNNING_ON_VALGRIND && rounds > 10 ? rounds / 10 : rounds;
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
