/* processes.h - starting victims from Check tests, and hearing from them. */
#ifndef MLKV_TESTS_SYSTEM_PROCESSES_H
#define MLKV_TESTS_SYSTEM_PROCESSES_H

#include "harness.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

typedef struct {
    pid_t pid;
    int from; /* its stdout */
    int to;   /* its stdin */
} process;

/* Starts the victim (its path is in MLKV_VICTIM, set by meson) with these arguments,
 * NULL-terminated. */
static inline process process_start(const char *const *arguments)
{
    const char *program = getenv("MLKV_VICTIM");
    int out[2], in[2];
    char *argv[16] = {0};
    ck_assert_msg(program != NULL, "MLKV_VICTIM is not set: run the tests through meson");
    ck_assert_int_eq(pipe(out), 0);
    ck_assert_int_eq(pipe(in), 0);
    argv[0] = (char *)(uintptr_t)program;
    for (int i = 0; arguments[i] != NULL; i++) {
        ck_assert_int_lt(i, 14);
        argv[i + 1] = (char *)(uintptr_t)arguments[i];
    }
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        (void)dup2(out[1], STDOUT_FILENO);
        (void)dup2(in[0], STDIN_FILENO);
        for (int i = 0; i < 2; i++) {
            (void)close(out[i]);
            (void)close(in[i]);
        }
        (void)execv(program, argv);
        _exit(127);
    }
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
