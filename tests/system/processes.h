/* processes.h - starting victims from Check tests, and hearing from them. */
#ifndef MLKV_TESTS_SYSTEM_PROCESSES_H
#define MLKV_TESTS_SYSTEM_PROCESSES_H

#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

typedef struct {
    pid_t pid;
    int from; /* its stdout */
    int to;   /* its stdin */
} process;

/* Starts the victim (its path is in MLKV_VICTIM, set by meson) with these arguments,
 * NULL-terminated. Spawned, not
 * forked: no handler of fork runs in between, where a sanitizer's allocator may be locked. */
static inline process process_start(const char *const *arguments)
{
    const char *program = getenv("MLKV_VICTIM");
    int out[2], in[2];
    char *argv[16] = {0};
    pid_t pid;
    posix_spawn_file_actions_t actions;
    ck_assert_msg(program != NULL, "MLKV_VICTIM is not set: run the tests through meson");
    ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(in, O_CLOEXEC), 0);
    argv[0] = (char *)(uintptr_t)program;
    for (int i = 0; arguments[i] != NULL; i++) {
        ck_assert_int_lt(i, 14);
        argv[i + 1] = (char *)(uintptr_t)arguments[i];
    }
    ck_assert_int_eq(posix_spawn_file_actions_init(&actions), 0);
    ck_assert_int_eq(posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO), 0);
    ck_assert_int_eq(posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO), 0);
    ck_assert_int_eq(posix_spawn(&pid, program, &actions, NULL, argv, environ), 0);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)close(out[1]);
    (void)close(in[0]);
    return (process){pid, out[0], in[1]};
}

/* Reads one line's number; false when the process said its last. */
static inline bool process_hear(process *self, uint64_t *ret_number)
{
    char line[32];
    size_t size = 0;
    while (size < sizeof line - 1) {
        ssize_t got = read(self->from, line + size, 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        if (line[size++] == '\n')
            break;
    }
    line[size] = '\0';
    *ret_number = strtoull(line, NULL, 10);
    return line[size - 1] == '\n';
}

/* Waits for its end; the status as waitpid gives it. */
static inline int process_end(process *self)
{
    int status;
    pid_t got;
    (void)close(self->to);
    do
        got = waitpid(self->pid, &status, 0);
    while (got < 0 && errno == EINTR);
    ck_assert_int_eq(got, self->pid);
    (void)close(self->from);
    return status;
}

#endif
