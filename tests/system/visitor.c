/* visitor.c - a second program for system tests: it stops itself, or comes and goes.
 *
 *   visitor stop FOLDER DURABILITY POINT
 *       adds 1 to "stopped" with this durability, and stops itself at fault point POINT on the way
 *   visitor enter FOLDER DURABILITY POINT
 *       the same, but stops itself at POINT on its way in
 *   visitor snapshot FOLDER
 *       opens a snapshot, stops itself, looks again and ends
 *   visitor many FOLDER SEED THREADS ROUNDS
 *       THREADS threads open, read, write and close at random; each adds 1 to "sum" ROUNDS times
 *   visitor get FOLDER KEY
 *       prints the string
 *   visitor add FOLDER KEY COUNT
 *       adds 1 to the string, COUNT times
 *   visitor idle FOLDER
 *       says that it has the store open, adds 1 to "idle", and waits until stdin ends
 *   visitor hold FOLDER
 *       the same, in a transaction, and does not end: it is to be killed
 *   visitor version
 *       prints the library's version
 */
#include "steps.h"

#include "base/fault.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int complain(const char *what, int result)
{
    fprintf(stderr, "visitor: %s: %d %s: %s\n", what, result, mlkv_error_name(result),
            mlkv_error_detail());
    return 3;
}

static int run_stop(char **arguments, bool on_the_way_in)
{
    mlkv *db = NULL;
    int64_t value;
    mlkv_options options = steps_options(atoi(arguments[1]));
    if (on_the_way_in)
        fault_arm((fault_point)atoi(arguments[2]), FAULT_STOP, 1, 0);
    int result = mlkv_open(arguments[0], &options, &db);
    if (result != MLKV_OK)
        return complain("open", result);
    if (!on_the_way_in)
        fault_arm((fault_point)atoi(arguments[2]), FAULT_STOP, 1, 0);
    result = mlkv_string_add(db, (mlkv_slice){"stopped", 7}, 1, &value);
    if (result != MLKV_OK)
        return complain("add", result);
    result = mlkv_close(db);
    return result == MLKV_OK ? 0 : complain("close", result);
}

static int run_snapshot(mlkv *db)
{
    mlkv *snapshot = NULL;
    mlkv_buffer before = {0}, after = {0};
    mlkv_slice key = {"key", 3};
    int result = mlkv_snapshot(db, &snapshot);
    if (result != MLKV_OK)
        return complain("snapshot", result);
    result = mlkv_string_get(snapshot, key, &before);
    (void)raise(SIGSTOP);
    if (result == MLKV_OK)
        result = mlkv_string_get(snapshot, key, &after);
    if (result != MLKV_OK)
        return complain("get", result);
    bool same = before.size == after.size && memcmp(before.data, after.data, before.size) == 0;
    mlkv_buffer_free(&before);
    mlkv_buffer_free(&after);
    result = mlkv_close(snapshot);
    return result == MLKV_OK && same ? 0 : complain("the snapshot changed", result);
}

static int run_get(mlkv *db, const char *key)
{
    mlkv_buffer value = {0};
    int result = mlkv_string_get(db, (mlkv_slice){key, strlen(key)}, &value);
    if (result != MLKV_OK)
        return complain("get", result);
    (void)printf("%.*s\n", (int)value.size, (const char *)value.data);
    (void)fflush(stdout);
    mlkv_buffer_free(&value);
    return 0;
}

static int run_add(mlkv *db, const char *key, int count)
{
    for (int i = 0; i < count; i++) {
        int64_t value;
        int result = mlkv_string_add(db, (mlkv_slice){key, strlen(key)}, 1, &value);
        if (result != MLKV_OK)
            return complain("add", result);
    }
    return 0;
}

static int run_idle(mlkv *db)
{
    char byte;
    int status = run_add(db, "idle", 1);
    (void)printf("1\n");
    (void)fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    return status;
}

static int run_hold(mlkv *db)
{
    mlkv *tx;
    int status = run_add(db, "idle", 1), result = mlkv_begin(db, &tx);
    if (result != MLKV_OK || status != 0)
        return complain("begin", result);
    (void)printf("1\n");
    (void)fflush(stdout);
    for (;;)
        (void)pause();
}

typedef struct {
    const char *folder;
    unsigned seed;
    int rounds, status;
} visitor;

static int64_t number_in(const mlkv_buffer *value)
{
    char text[24] = {0};
    memcpy(text, value->data, value->size < 23 ? value->size : 23);
    return strtoll(text, NULL, 10);
}

/* One key is read or written: its value is its name. */
static int touch(mlkv *db, unsigned *seed, mlkv_buffer *value)
{
    char key[32];
    int size = snprintf(key, sizeof key, "key %d", rand_r(seed) % 50);
    mlkv_slice name = {key, (size_t)size};
    if (rand_r(seed) % 2 == 0)
        return mlkv_string_set(db, name, name, MLKV_SET_ALWAYS);
    int result = mlkv_string_get(db, name, value);
    if (result == MLKV_OK && (value->size != name.size || memcmp(value->data, key, name.size) != 0))
        return complain("a key holds another's value", MLKV_E_CORRUPT);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

static int visit(mlkv *db, visitor *self)
{
    mlkv_buffer value = {0};
    mlkv_slice key = {"sum", 3};
    int64_t sum = 0;
    int result = mlkv_string_add(db, key, 1, &sum);
    for (int i = rand_r(&self->seed) % 8; i > 0 && result == MLKV_OK; i--)
        result = touch(db, &self->seed, &value);
    if (result == MLKV_OK)
        result = mlkv_string_get(db, key, &value);
    if (result != MLKV_OK)
        result = complain("a visit", result);
    else if (number_in(&value) < sum)
        result = complain("the sum went back", MLKV_E_CORRUPT);
    mlkv_buffer_free(&value);
    return result;
}

static void *visit_often(void *argument)
{
    visitor *self = argument;
    mlkv_options options = steps_options(MLKV_JOURNAL);
    options.lock_timeout_ms = 200000;
    for (int i = 0; i < self->rounds && self->status == 0;) {
        mlkv *db = NULL;
        int result = mlkv_open(self->folder, &options, &db);
        if (result != MLKV_OK) {
            self->status = complain("open", result);
            break;
        }
        for (int n = 1 + rand_r(&self->seed) % 5; n > 0 && i < self->rounds && self->status == 0;
             n--, i++)
            self->status = visit(db, self);
        result = mlkv_close(db);
        if (result != MLKV_OK)
            self->status = complain("close", result);
    }
    return NULL;
}

static int run_many(char **arguments)
{
    enum { THREADS_MAX = 64 };
    visitor visitors[THREADS_MAX];
    pthread_t threads[THREADS_MAX];
    int count = atoi(arguments[2]), status = 0;
    if (count < 1 || count > THREADS_MAX)
        return 2;
    for (int i = 0; i < count; i++) {
        visitors[i] = (visitor){arguments[0], (unsigned)atoi(arguments[1]) * 1000U + (unsigned)i,
                                atoi(arguments[3]), 0};
        if (pthread_create(&threads[i], NULL, visit_often, &visitors[i]) != 0)
            return complain("thread", -1);
    }
    for (int i = 0; i < count; i++) {
        (void)pthread_join(threads[i], NULL);
        status |= visitors[i].status;
    }
    return status;
}

int main(int count, char **arguments)
{
    if (count == 5 && strcmp(arguments[1], "stop") == 0)
        return run_stop(arguments + 2, false);
    if (count == 5 && strcmp(arguments[1], "enter") == 0)
        return run_stop(arguments + 2, true);
    if (count == 2 && strcmp(arguments[1], "version") == 0)
        return puts(mlkv_version()) < 0;
    if (count == 6 && strcmp(arguments[1], "many") == 0)
        return run_many(arguments + 2);
    if (count < 3)
        return 2;
    mlkv *db = NULL;
    mlkv_options options = steps_options(MLKV_JOURNAL);
    int status = 2, result = mlkv_open(arguments[2], &options, &db);
    if (result != MLKV_OK)
        return complain("open", result);
    if (count == 3 && strcmp(arguments[1], "snapshot") == 0)
        status = run_snapshot(db);
    else if (count == 4 && strcmp(arguments[1], "get") == 0)
        status = run_get(db, arguments[3]);
    else if (count == 5 && strcmp(arguments[1], "add") == 0)
        status = run_add(db, arguments[3], atoi(arguments[4]));
    else if (count == 3 && strcmp(arguments[1], "idle") == 0)
        status = run_idle(db);
    else if (count == 3 && strcmp(arguments[1], "hold") == 0)
        status = run_hold(db);
    result = mlkv_close(db);
    return result == MLKV_OK ? status : complain("close", result);
}
