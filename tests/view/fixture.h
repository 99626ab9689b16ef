/* fixture.h - what the view's tests share: small stores, rules that put, get and delete one record,
 * children, records counted in LMDB. */
#ifndef MLKV_TESTS_VIEW_FIXTURE_H
#define MLKV_TESTS_VIEW_FIXTURE_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/fault.h"
#include "base/record.h"
#include "harness.h"
#include "view/view.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { TEST_RING = 64 << 10 };

static inline mlkv_options small_options(void)
{
    return (mlkv_options){.size = sizeof(mlkv_options),
                          .ring_bytes = TEST_RING,
                          .cache_bytes = 256 << 10,
                          .batch_bytes = 1 << 20,
                          .lock_timeout_ms = 120000};
}

static inline mlkv *open_with(const char *folder, uint32_t flags)
{
    mlkv_options options = small_options();
    mlkv *db = NULL;
    options.flags = flags;
    OK(mlkv_open(folder, &options, &db));
    return db;
}

/* Without background threads: nothing is applied or cleaned but by the test. */
static inline mlkv *open_still(const char *folder)
{
    mlkv *db = open_with(folder, 0);
    engine_background_stop(atomic_load(&db->engine));
    return db;
}

static inline void apply_all(mlkv *db)
{
    OK(mlkv_flush(db, MLKV_STORE));
}

typedef struct {
    mlkv_slice key, value;
    mlkv_buffer *into;
    int result; /* the rule's own, after it has done its work */
} one_record;

static inline int put_rule(op *o, void *context)
{
    one_record *call = context;
    int result = op_put(o, call->key, call->value);
    return result != MLKV_OK ? result : call->result;
}

static inline int get_rule(op *o, void *context)
{
    one_record *call = context;
    return op_get(o, call->key, call->into);
}

static inline int delete_rule(op *o, void *context)
{
    one_record *call = context;
    return op_delete(o, call->key);
}

static inline int put(mlkv *view, mlkv_slice key, mlkv_slice value)
{
    one_record call = {.key = key, .value = value};
    return op_write(view, put_rule, &call);
}

static inline int drop(mlkv *view, mlkv_slice key)
{
    one_record call = {.key = key};
    return op_write(view, delete_rule, &call);
}

static inline int get(mlkv *view, mlkv_slice key, mlkv_buffer *into)
{
    one_record call = {.key = key, .into = into};
    return op_read(view, get_rule, &call);
}

static inline bool holds(mlkv *view, mlkv_slice key, mlkv_slice value)
{
    mlkv_buffer got = {0};
    int result = get(view, key, &got);
    bool same = result == MLKV_OK && slice_equal(slice_of_buffer(&got), value);
    if (result < 0)
        fprintf(stderr, "reading: %d %s\n", result, mlkv_error_detail());
    mlkv_buffer_free(&got);
    return same;
}

static inline bool lacks(mlkv *view, mlkv_slice key)
{
    mlkv_buffer got = {0};
    int result = get(view, key, &got);
    mlkv_buffer_free(&got);
    return result == MLKV_ABSENT;
}

/* Records of a class that LMDB holds now. */
static inline size_t count_class(mlkv *db, int record_class)
{
    engine *self = atomic_load(&db->engine);
    store_read *read = NULL;
    store_cursor *cursor = NULL;
    unsigned char first = (unsigned char)record_class;
    mlkv_slice key, value;
    size_t count = 0;
    OK(store_read_begin(self->store, &read));
    OK(store_cursor_open(read, &cursor));
    int result = store_cursor_seek(cursor, slice_of(&first, 1), &key, &value);
    while (result == MLKV_OK && ((const unsigned char *)key.data)[0] == record_class) {
        count++;
        result = store_cursor_next(cursor, &key, &value);
    }
    ck_assert_int_ge(result, 0);
    store_cursor_close(cursor);
    store_read_end(read);
    return count;
}

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
        fflush(NULL);                           \
        pid_t child_pid = harness_fork();               \
        ck_assert_int_ge(child_pid, 0);         \
        if (child_pid == 0) {                   \
            body;                               \
            _exit(0);                           \
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

/* Runs a function in a thread of its own, to its end. */
static inline void in_thread(void *(*run)(void *), void *argument)
{
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, run, argument), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

#endif
