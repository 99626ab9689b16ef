/* wait.c - blocking forms of operations that find nothing to do: they are tried again when one of their keys changes.
 *
 * A key's elements come and go with its own record (K): its count, its ends. So that record is what is waited for. Each turn says first
 * that it waits, and looks then, so no change between looking and sleeping is missed (journal/watch.c).
 *
 * Locks: none while it sleeps.
 */
#include "types/wait.h"

#include <mlkv/wait.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "types/argument.h"
#include "types/layout.h"

#include <stdlib.h>

enum { HASHES_ON_STACK = 16 };

uint32_t wait_left_ms(uint64_t begun_ns, int64_t timeout_ms)
{
    if (timeout_ms < 0)
        return UINT32_MAX;
    uint64_t spent_ms = (clock_monotonic_ns() - begun_ns) / 1000000;
    if (spent_ms >= (uint64_t)timeout_ms)
        return 0;
    uint64_t left = (uint64_t)timeout_ms - spent_ms;
    return left < UINT32_MAX ? (uint32_t)left : UINT32_MAX;
}

static int hash_keys(const mlkv_slice *keys, size_t n, uint64_t *ret_hashes)
{
    int result = MLKV_OK;
    record_key key;
    for (size_t i = 0; i < n && result == MLKV_OK; i++) {
        result = layout_key(keys[i], &key);
        if (result == MLKV_OK)
            ret_hashes[i] = op_watch_hash(record_key_slice(&key));
    }
    return result;
}

static int wait_for_hashes(mlkv *view, const uint64_t *hashes, size_t n, int64_t timeout_ms,
                           int (*try_once)(mlkv *, void *), void *context)
{
    uint64_t begun_ns = clock_monotonic_ns();
    for (;;) {
        uint32_t round, left_ms;
        int result = op_watch_begin(view, hashes, n, false, &round);
        if (result == MLKV_OK)
            result = try_once(view, context);
        if (result != MLKV_ABSENT)
            return result;
        left_ms = wait_left_ms(begun_ns, timeout_ms);
        if (left_ms == 0)
            return MLKV_ABSENT;
        result = op_watch_wait(view, round, hashes, n, false, left_ms);
        if (result != MLKV_OK)
            return result;
    }
}

int wait_for_keys(mlkv *view, const mlkv_slice *keys, size_t n, int64_t timeout_ms,
                  int (*try_once)(mlkv *, void *), void *context)
{
    uint64_t on_stack[HASHES_ON_STACK], *hashes = on_stack;
    if (timeout_ms == 0 || !op_watch_possible(view))
        return try_once(view, context);
    if (n > HASHES_ON_STACK && (hashes = calloc(n, sizeof *hashes)) == NULL)
        return error_set_memory("keys to wait for");
    int result = hash_keys(keys, n, hashes);
    if (result == MLKV_OK)
        result = wait_for_hashes(view, hashes, n, timeout_ms, try_once, context);
    if (hashes != on_stack)
        free(hashes);
    return result;
}

/* --- lists --- */

static int check_pop(const mlkv *view, const mlkv_slice *keys, size_t n, uint64_t count)
{
    int result = argument_pointer(view, "view");
    if (result == MLKV_OK)
        result = argument_slices(keys, n, "keys");
    if (result == MLKV_OK && (n == 0 || count == 0))
        result = error_set(MLKV_E_ARGUMENT, "there is nothing to wait for: %zu keys, count %llu", n,
                           (unsigned long long)count);
    return result;
}

typedef struct {
    const mlkv_slice *keys;
    size_t n;
    mlkv_list_end end;
    uint64_t count;
    size_t *which;
    mlkv_rows *values;
} pop_call;

static int try_pop(mlkv *view, void *context)
{
    const pop_call *call = context;
    return mlkv_list_pop_first(view, call->keys, call->n, call->end, call->count, call->which,
                               call->values);
}

int mlkv_view_waits(const mlkv *view)
{
    return view != NULL && op_watch_possible(view);
}

int mlkv_list_pop_wait(mlkv *view, const mlkv_slice *keys, size_t n, mlkv_list_end end,
                       uint64_t count, int64_t timeout_ms, size_t *ret_which, mlkv_rows *ret_values)
{
    pop_call call = {keys, n, end, count, ret_which, ret_values};
    int result = check_pop(view, keys, n, count);
    return result != MLKV_OK ? result : wait_for_keys(view, keys, n, timeout_ms, try_pop, &call);
}

typedef struct {
    mlkv_slice source, destination;
    mlkv_list_end from, to;
    mlkv_buffer *value;
} move_call;

static int try_move(mlkv *view, void *context)
{
    const move_call *call = context;
    return mlkv_list_move(view, call->source, call->destination, call->from, call->to, call->value);
}

int mlkv_list_move_wait(mlkv *view, mlkv_slice source, mlkv_slice destination, mlkv_list_end from,
                        mlkv_list_end to, int64_t timeout_ms, mlkv_buffer *ret_value)
{
    move_call call = {source, destination, from, to, ret_value};
    int result = argument_view_key(view, source);
    return result != MLKV_OK ? result
                             : wait_for_keys(view, &source, 1, timeout_ms, try_move, &call);
}

/* --- sorted sets --- */

typedef struct {
    const mlkv_slice *keys;
    size_t key_count;
    uint64_t n;
    int highest;
    size_t *key;
    mlkv_rows *members;
    mlkv_buffer *scores;
} zset_pop_call;

static int try_zset_pop(mlkv *view, void *context)
{
    const zset_pop_call *call = context;
    return mlkv_zset_pop_first(view, call->keys, call->key_count, call->n, call->highest, call->key,
                               call->members, call->scores);
}

int mlkv_zset_pop_wait(mlkv *view, const mlkv_slice *keys, size_t key_count, uint64_t n,
                       int highest, int64_t timeout_ms, size_t *ret_key, mlkv_rows *ret_members,
                       mlkv_buffer *ret_scores)
{
    zset_pop_call call = {keys, key_count, n, highest, ret_key, ret_members, ret_scores};
    int result = check_pop(view, keys, key_count, n);
    return result != MLKV_OK
               ? result
               : wait_for_keys(view, keys, key_count, timeout_ms, try_zset_pop, &call);
}
