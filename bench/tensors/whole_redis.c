/* whole_redis.c - Redis as a peer: a redis-server of the benchmark's own, without persistence, asked through hiredis over a unix socket.
 *
 * It is there if libhiredis-dev was when this was built, and a redis-server is in the path. The server dies with the benchmark (it is told
 * so by the kernel) or at redis_end.
 */
#include "measure.h"
#include "tensors/tensors.h"

#ifdef HAVE_HIREDIS
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct redis_peer {
    pid_t server;
    redisContext *context;
};

static const char *const server_arguments[] = {
    "redis-server",      "--port", "0",         "--save", "",
    "--appendonly",      "no",     "--logfile", "",       "--unixsocket",
    NULL /* the path */, NULL};

static void become_server(const char *path)
{
    const char *arguments[sizeof server_arguments / sizeof *server_arguments];
    memcpy(arguments, server_arguments, sizeof arguments);
    arguments[sizeof server_arguments / sizeof *server_arguments - 2] = path;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (freopen("/dev/null", "w", stdout) != NULL)
        execvp(arguments[0], (char *const *)arguments);
    _exit(127);
}

redis_peer *redis_begin(const char *folder)
{
    char path[PATH_MAX_BYTES];
    redis_peer *self = calloc(1, sizeof *self);
    if (self == NULL)
        return NULL;
    snprintf(path, sizeof path, "%s/redis.socket", folder);
    self->server = fork();
    if (self->server == 0)
        become_server(path);
    for (int i = 0; i < 200 && self->server > 0; i++) { /* ten seconds to begin */
        self->context = redisConnectUnix(path);
        if (self->context != NULL && self->context->err == 0)
            return self;
        if (self->context != NULL)
            redisFree(self->context);
        self->context = NULL;
        if (waitpid(self->server, NULL, WNOHANG) != 0)
            self->server = 0; /* it could not be run */
        usleep(50000);
    }
    printf("# redis is left out: redis-server does not run\n");
    redis_end(self);
    return NULL;
}

void redis_end(redis_peer *self)
{
    if (self == NULL)
        return;
    if (self->context != NULL)
        redisFree(self->context);
    if (self->server > 0) {
        (void)kill(self->server, SIGKILL);
        (void)waitpid(self->server, NULL, 0);
    }
    free(self);
}

static redisReply *ask(redis_peer *self, int count, const char *const *words, const size_t *sizes)
{
    redisReply *reply =
        redisCommandArgv(self->context, count, (const char **)(uintptr_t)words, sizes);
    if (reply == NULL || reply->type == REDIS_REPLY_ERROR) {
        fprintf(stderr, "bench: redis: %s\n", reply == NULL ? self->context->errstr : reply->str);
        if (reply != NULL)
            freeReplyObject(reply);
        return NULL;
    }
    return reply;
}

double redis_set(redis_peer *self, const char *key, const void *data, size_t size)
{
    const char *const words[] = {"SET", key, data};
    const size_t sizes[] = {3, strlen(key), size};
    double begun = measure_seconds();
    redisReply *reply = ask(self, 3, words, sizes);
    double ended = measure_seconds();
    if (reply != NULL)
        freeReplyObject(reply);
    return reply == NULL ? -1 : ended - begun;
}

double redis_get(redis_peer *self, const char *key, const void *data, size_t size)
{
    const char *const words[] = {"GET", key};
    const size_t sizes[] = {3, strlen(key)};
    double begun = measure_seconds();
    redisReply *reply = ask(self, 2, words, sizes);
    double ended = measure_seconds();
    bool same = reply != NULL && reply->type == REDIS_REPLY_STRING && (size_t)reply->len == size &&
                memcmp(reply->str, data, size) == 0;
    if (reply != NULL && !same)
        fprintf(stderr, "bench: redis gives other bytes\n");
    if (reply != NULL)
        freeReplyObject(reply);
    return same ? ended - begun : -1;
}

int redis_delete(redis_peer *self, const char *key)
{
    const char *const words[] = {"DEL", key};
    const size_t sizes[] = {3, strlen(key)};
    redisReply *reply = ask(self, 2, words, sizes);
    if (reply != NULL)
        freeReplyObject(reply);
    return reply == NULL ? -1 : 0;
}
#else
redis_peer *redis_begin(const char *folder)
{
    (void)folder;
    printf("# redis is left out: hiredis was not there when this was built\n");
    return NULL;
}

void redis_end(redis_peer *self)
{
    (void)self;
}

double redis_set(redis_peer *self, const char *key, const void *data, size_t size)
{
    (void)self, (void)key, (void)data, (void)size;
    return -1;
}

double redis_get(redis_peer *self, const char *key, const void *data, size_t size)
{
    (void)self, (void)key, (void)data, (void)size;
    return -1;
}

int redis_delete(redis_peer *self, const char *key)
{
    (void)self, (void)key;
    return -1;
}
#endif
