/* whole_numpy.c - numpy as a peer: a python3 that runs numpy_peer.py, told by lines what to do, which answers with the seconds it took.
 *
 * It ends when its standard input does. Debian's python3 is asked first: that is the one that python3-numpy belongs to.
 */
#include "tensors/tensors.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct numpy_peer {
    pid_t child;
    FILE *to, *from;
    char line[256];
};

static void become_python(const char *script, int in, int out)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (dup2(in, 0) == 0 && dup2(out, 1) == 1) {
        execl("/usr/bin/python3", "python3", "-B", script, (char *)NULL);
        execlp("python3", "python3", "-B", script, (char *)NULL);
    }
    _exit(127);
}

/* The next answer, without its newline; "" at the end. */
static const char *answer(numpy_peer *self)
{
    if (fgets(self->line, sizeof self->line, self->from) == NULL)
        self->line[0] = '\0';
    self->line[strcspn(self->line, "\n")] = '\0';
    return self->line;
}

numpy_peer *numpy_begin(const tensors_bench *bench)
{
    char script[PATH_MAX_BYTES];
    int in[2] = {-1, -1}, out[2] = {-1, -1};
    numpy_peer *self = calloc(1, sizeof *self);
    if (self == NULL || pipe(in) != 0 || pipe(out) != 0)
        abort(); /* nothing can be measured on such a machine */
    snprintf(script, sizeof script, "%s/numpy_peer.py", bench->scripts);
    self->child = fork();
    if (self->child == 0) {
        (void)close(in[1]);
        (void)close(out[0]);
        become_python(script, in[0], out[1]);
    }
    (void)close(in[0]);
    (void)close(out[1]);
    self->to = fdopen(in[1], "w");
    self->from = fdopen(out[0], "r");
    (void)signal(SIGPIPE, SIG_IGN);
    if (strncmp(answer(self), "ready", 5) == 0)
        return self;
    printf("# numpy is left out: python3 has none\n");
    numpy_end(self);
    return NULL;
}

void numpy_end(numpy_peer *self)
{
    if (self == NULL)
        return;
    (void)fclose(self->to);
    (void)fclose(self->from);
    (void)waitpid(self->child, NULL, 0);
    free(self);
}

static double tell(numpy_peer *self, const char *command, const char *path)
{
    char *end;
    (void)fprintf(self->to, "%s %s\n", command, path);
    (void)fflush(self->to);
    const char *said = answer(self);
    double seconds = strtod(said, &end);
    if (end != said && *end == '\0')
        return seconds;
    fprintf(stderr, "bench: numpy: %s\n", *said != '\0' ? said : "it died");
    return -1;
}

int numpy_data(numpy_peer *self, const char *path)
{
    return tell(self, "data", path) < 0 ? -1 : 0;
}

double numpy_save(numpy_peer *self, const char *path)
{
    return tell(self, "save", path);
}

double numpy_load(numpy_peer *self, const char *path)
{
    return tell(self, "load", path);
}
