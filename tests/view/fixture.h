/* fixture.h - what the view's tests share: small stores, rules that put, get and delete one record,
 * children, records counted in LMDB. */
#ifndef MLKV_TESTS_VIEW_FIXTURE_H
#define MLKV_TESTS_VIEW_FIXTURE_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/fault.h"
#include "base/record.h"
#include "small.h"
#include "view/view.h"

#include <signal.h>
#include <sys/resource.h>

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
    return count_records(atomic_load(&db->engine)->store, record_class);
}

/* Runs a function in a thread of its own, to its end. */
static inline void in_thread(void *(*run)(void *), void *argument)
{
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, run, argument), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

#endif
