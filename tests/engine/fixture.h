/* fixture.h - what the engine's tests share: small stores, single puts and gets below the views,
 * children that die or report, records counted in LMDB. */
#ifndef MLKV_TESTS_ENGINE_FIXTURE_H
#define MLKV_TESTS_ENGINE_FIXTURE_H

#include "base/error.h"
#include "base/fault.h"
#include "base/hash.h"
#include "base/record.h"
#include "engine/engine.h"
#include "small.h"

#include <signal.h>
#include <sys/resource.h>

static inline int try_open(const char *folder, const mlkv_options *given, engine **ret_engine)
{
    engine_options options;
    OK(engine_check_options(given, false, &options));
    return engine_acquire(folder, &options, ret_engine);
}

/* With its threads running. */
static inline engine *open_running(const char *folder, const mlkv_options *given)
{
    engine *self = NULL;
    OK(try_open(folder, given, &self));
    return self;
}

/* Without its threads: nothing is applied, synced or caught up but by the test. */
static inline engine *open_still(const char *folder)
{
    mlkv_options options = small_options();
    engine *self = open_running(folder, &options);
    engine_background_stop(self);
    return self;
}

static inline int commit(engine *self, batch *records, uint64_t *ret_end)
{
    int result = engine_write_begin(self);
    if (result != MLKV_OK)
        return result;
    result = engine_commit(self, records, ret_end);
    engine_write_end(self);
    return result;
}

static inline void add_put(batch *records, mlkv_slice key, mlkv_slice value)
{
    unsigned char *to;
    OK(batch_put(records, hash_key(key.data, key.size), key, value.size, &to));
    bytes_copy(to, value.data, value.size);
}

static inline void add_delete(batch *records, mlkv_slice key)
{
    OK(batch_delete(records, hash_key(key.data, key.size), key));
}

static inline uint64_t put(engine *self, mlkv_slice key, mlkv_slice value)
{
    batch records = {0};
    uint64_t end = 0;
    add_put(&records, key, value);
    OK(commit(self, &records, &end));
    batch_done(&records);
    return end;
}

static inline uint64_t delete_one(engine *self, mlkv_slice key)
{
    batch records = {0};
    uint64_t end = 0;
    add_delete(&records, key);
    OK(commit(self, &records, &end));
    batch_done(&records);
    return end;
}

/* As a live view reads one record. */
static inline int get(engine *self, mlkv_slice key, mlkv_buffer *ret_value)
{
    for (int i = 0;; i++) {
        uint64_t cursor;
        int result = engine_read_begin(self, &cursor);
        if (result == MLKV_OK)
            result = engine_get(self, cursor, hash_key(key.data, key.size), key, ret_value);
        if (result != ENGINE_AGAIN)
            return result;
        if (i > 8)
            OK(engine_settle(self));
    }
}

static inline bool holds(engine *self, mlkv_slice key, mlkv_slice value)
{
    mlkv_buffer got = {0};
    int result = get(self, key, &got);
    bool same = result == MLKV_OK && slice_equal(slice_of_buffer(&got), value);
    if (result < 0)
        fprintf(stderr, "reading: %d %s\n", result, mlkv_error_detail());
    mlkv_buffer_free(&got);
    return same;
}

static inline bool lacks(engine *self, mlkv_slice key)
{
    mlkv_buffer got = {0};
    int result = get(self, key, &got);
    mlkv_buffer_free(&got);
    return result == MLKV_ABSENT;
}

/* "K<number>" -> `size` bytes made of the number and the round. */
typedef struct {
    char key[32];
    unsigned char value[TEST_RING];
    mlkv_slice key_slice, value_slice;
} numbered;

static inline numbered *number_of(unsigned number, unsigned round, size_t size)
{
    static _Thread_local numbered made;
    int length = snprintf(made.key, sizeof made.key, "K%06u", number);
    if (size > sizeof made.value)
        ck_abort_msg("a value of %zu bytes", size);
    memset(made.value, (int)((number * 31 + round * 7) & 0xff), size);
    made.key_slice = slice_of(made.key, (size_t)length);
    made.value_slice = slice_of(made.value, size);
    return &made;
}

static inline uint64_t put_number(engine *self, unsigned number, unsigned round, size_t size)
{
    const numbered *made = number_of(number, round, size);
    return put(self, made->key_slice, made->value_slice);
}

static inline bool holds_number(engine *self, unsigned number, unsigned round, size_t size)
{
    const numbered *made = number_of(number, round, size);
    return holds(self, made->key_slice, made->value_slice);
}

/* Records of a class that LMDB holds now. */
static inline size_t count_class(engine *self, int record_class)
{
    return count_records(self->store, record_class);
}

static inline void apply_all(engine *self)
{
    OK(engine_apply_until(self, journal_tail(engine_journal(self))));
}

static inline void die(void)
{
    (void)kill(getpid(), SIGKILL);
    for (;;)
        (void)pause();
}

/* Fault counters that a parent sees, too. */
static inline uint64_t *shared_counters(void)
{
    return shared_page();
}

static inline void wait_until_passed(const uint64_t *counters, fault_point point)
{
    while (__atomic_load_n(&counters[point], __ATOMIC_ACQUIRE) == 0)
        (void)usleep(500);
}

static inline void path_in(char ret_path[700], const char *folder, const char *name)
{
    snprintf(ret_path, 700, "%s/%s", folder, name);
}

static inline void copy_file(const char *from_folder, const char *to_folder, const char *name)
{
    char command[1600];
    snprintf(command, sizeof command, "cp -f '%s/%s' '%s/%s'", from_folder, name, to_folder, name);
    ck_assert_int_eq(system(command), 0);
}

static inline void overwrite(const char *folder, const char *name, off_t offset, const void *bytes,
                             size_t size)
{
    char path[700];
    path_in(path, folder, name);
    int file = open(path, O_WRONLY | O_CLOEXEC);
    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(pwrite(file, bytes, size, offset), (ssize_t)size);
    (void)close(file);
}

/* Files may not grow beyond this from here on: a full disk. */
static inline void limit_files(rlim_t size)
{
    struct rlimit limit;
    (void)signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = size < limit.rlim_max ? size : limit.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

#endif
