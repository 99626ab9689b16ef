/* compute.c - get or compute (mlkv_get_or_compute): a string, a lock by name beside it, and what is remembered of its absence.
 *
 * States of a key, as the clock and its expiry say (compute.h of the public headers has the picture):
 *   expiry - stale_ms - refresh_ahead_ms <= now: AGING;  expiry - stale_ms <= now: STALE;  expiry <= now: MISSING, or ABSENT
 * So all that is stored beside the value is its expiry; whoever asks brings the policy that says what it means.
 *
 *   look -- fresh ------------------------------------------------------------> answer
 *     |---- aging, stale -- a refresher: leave it to that ---------------------> answer
 *     |                 \-- lock held: another computes -----------------------> answer
 *     \---- missing ------- lock held: wait for the lock's key to change, look again
 *   lock free: take it, look once more (somebody may have been faster), call the function, and in one rule: end the lock, set the value
 *
 * Invariants
 *   1. A value is stored by who holds the lock, in the rule that ends the lock: a computation that was forgotten, or
 *      outlived its lease, stores nothing, and nobody sees a lock that is free beside a value that is on its way.
 *   2. Whatever becomes of the function, the lock does not stay with who has returned.
 *   3. The caller's buffer holds its old bytes in front of what a look found, until the call is known to succeed (values.h).
 * Locks: none while the function runs, and none while it waits.
 */
#include "types/compute.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/random.h"
#include "types/argument.h"
#include "types/entry.h"
#include "types/expiry.h"
#include "types/lease.h"
#include "types/string_set.h"
#include "types/values.h"
#include "types/wait.h"

#include <stdio.h>
#include <stdlib.h>

enum { PERCENT = 100, DETAIL_SIZE = 512 };

static const char lock_prefix[] = "mlkv:computing:", absent_prefix[] = "mlkv:absent:";

/* --- the policy --- */

static int check_time(int64_t ms, const char *name)
{
    return ms >= 0 ? MLKV_OK
                   : error_set(MLKV_E_ARGUMENT, "policy->%s is %lld", name, (long long)ms);
}

/* The longest expiry that the policy can lead to must be one. */
static int check_sum(const mlkv_compute_policy *policy)
{
    int64_t sum, twice;
    if (__builtin_mul_overflow(policy->ttl_ms, 2, &twice) ||
        __builtin_add_overflow(twice, policy->stale_ms, &sum) ||
        __builtin_mul_overflow(policy->absent_ms, 2, &twice))
        return error_set(MLKV_E_RANGE, "policy: times of %lld, %lld and %lld ms",
                         (long long)policy->ttl_ms, (long long)policy->stale_ms,
                         (long long)policy->absent_ms);
    return MLKV_OK;
}

static int check_policy(const mlkv_compute_policy *policy)
{
    if (policy->size != sizeof *policy)
        return error_set(MLKV_E_ARGUMENT, "policy->size is %zu, not %zu", policy->size,
                         sizeof *policy);
    int result = check_time(policy->ttl_ms, "ttl_ms");
    if (result == MLKV_OK)
        result = check_time(policy->stale_ms, "stale_ms");
    if (result == MLKV_OK)
        result = check_time(policy->refresh_ahead_ms, "refresh_ahead_ms");
    if (result == MLKV_OK)
        result = check_time(policy->absent_ms, "absent_ms");
    if (result == MLKV_OK)
        result = check_time(policy->lease_ms, "lease_ms");
    if (result == MLKV_OK && policy->ttl_ms != 0 && policy->refresh_ahead_ms >= policy->ttl_ms)
        result = error_set(MLKV_E_ARGUMENT, "policy->refresh_ahead_ms is not below ttl_ms");
    if (result == MLKV_OK && policy->jitter_percent > PERCENT)
        result = error_set(MLKV_E_ARGUMENT, "policy->jitter_percent is %u", policy->jitter_percent);
    return result == MLKV_OK ? check_sum(policy) : result;
}

/* A time that varies as the policy says; at least 1 ms. */
static int64_t vary(const mlkv_compute_policy *policy, int64_t ms)
{
    uint64_t most = (uint64_t)ms / PERCENT * policy->jitter_percent +
                    (uint64_t)ms % PERCENT * policy->jitter_percent / PERCENT;
    if (most == 0)
        return ms;
    int64_t varied = ms - (int64_t)most + (int64_t)random_below(2 * most + 1);
    return varied > 0 ? varied : 1;
}

static mlkv_expiry ends_in(int64_t ms)
{
    return (mlkv_expiry){.kind = ms == 0 ? MLKV_EXPIRY_NONE : MLKV_EXPIRY_IN, .ms = ms};
}

/* --- looking --- */

static compute_state state_at(const mlkv_compute_policy *policy, int64_t now_ms, int64_t expiry_ms)
{
    if (expiry_ms == 0 || policy->ttl_ms == 0)
        return COMPUTE_FRESH;
    int64_t fresh_ms = expiry_ms - now_ms - policy->stale_ms;
    return fresh_ms <= 0                          ? COMPUTE_STALE
           : fresh_ms <= policy->refresh_ahead_ms ? COMPUTE_AGING
                                                  : COMPUTE_FRESH;
}

static int look_rule(op *o, void *context)
{
    compute_call *call = context;
    entry found;
    call->value->size = call->old_size;
    call->state = COMPUTE_MISSING;
    int result = entry_open(o, call->key, TYPE_STRING, &found);
    if (result == MLKV_OK) {
        call->state = state_at(&call->policy, op_now_ms(o), found.header.expiry_ms);
        return values_append_cell(o, found.rest, call->value);
    }
    if (result != MLKV_ABSENT || call->absent_name.size == 0)
        return result == MLKV_ABSENT ? MLKV_OK : result;
    result = entry_open(o, call->absent_name, TYPE_ANY, &found);
    if (result == MLKV_OK)
        call->state = COMPUTE_ABSENT;
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

static int look(compute_call *call)
{
    return op_read(call->view, look_rule, call);
}

static int make_names(compute_call *call)
{
    size_t lock_size = sizeof lock_prefix - 1, absent_size = sizeof absent_prefix - 1;
    mlkv_buffer *names = &call->names;
    int result = buffer_append(names, lock_prefix, lock_size);
    if (result == MLKV_OK)
        result = buffer_append(names, call->key.data, call->key.size);
    if (result == MLKV_OK)
        result = buffer_append(names, absent_prefix, absent_size);
    if (result == MLKV_OK)
        result = buffer_append(names, call->key.data, call->key.size);
    if (result != MLKV_OK)
        return result;
    lock_size += call->key.size;
    call->lock_name = slice_of(names->data, lock_size);
    call->absent_name =
        slice_of((const char *)names->data + lock_size, absent_size + call->key.size);
    return MLKV_OK;
}

/* --- whose turn it is --- */

static bool is_due(const compute_call *call)
{
    return call->state != COMPUTE_FRESH && call->state != COMPUTE_ABSENT;
}

/* MLKV_OK: the lock is in hand and the value as of now, or it is not due; MLKV_ABSENT: another computes it. */
static int take_turn(compute_call *call)
{
    mlkv_lock other;
    int result = look(call);
    if (result != MLKV_OK || !is_due(call))
        return result;
    result = mlkv_lock_holder(call->view, call->lock_name, &other); /* asked by reading: many ask */
    if (result == MLKV_ABSENT)
        result =
            mlkv_lock_acquire(call->view, call->lock_name, call->policy.lease_ms, 0, &call->lock);
    else if (result == MLKV_OK)
        result = MLKV_ABSENT;
    call->waited = call->waited || result == MLKV_ABSENT;
    if (result != MLKV_OK)
        return result;
    call->has_lock = true;
    return look(call);
}

static int try_turn(mlkv *view, void *context)
{
    (void)view;
    return take_turn(context);
}

/* Gives the lock back if we have it; a lost one, or one that cannot be written now, ends with its lease or its process. Returns
 * result, with the detail that stands. */
static int drop_lock(compute_call *call, int result)
{
    char detail[DETAIL_SIZE];
    if (!call->has_lock)
        return result;
    call->has_lock = false;
    (void)snprintf(detail, sizeof detail, "%s", mlkv_error_detail());
    (void)mlkv_lock_release(call->view, call->lock_name, &call->lock);
    if (detail[0] != 0)
        return error_set(result, "%s", detail);
    error_clear();
    return result;
}

/* --- computing --- */

/* Ends the lock, which must be ours, and what was remembered of an absence. */
static int end_rule(op *o, void *context)
{
    compute_call *call = context;
    entry found;
    int result = lease_end(o, call->lock_name, &call->lock);
    if (result != MLKV_OK)
        return result;
    result = entry_open(o, call->absent_name, TYPE_ANY, &found);
    if (result == MLKV_OK || (result == MLKV_ABSENT && found.expired))
        return entry_remove(o, &found);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

/* Ends the lock and the value that the key held. */
static int end_absent_rule(op *o, void *context)
{
    compute_call *call = context;
    entry found;
    int result = end_rule(o, call);
    if (result != MLKV_OK)
        return result;
    result = entry_open(o, call->key, TYPE_STRING, &found);
    if (result == MLKV_OK)
        return entry_remove(o, &found);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

static int keep_value(compute_call *call, const mlkv_buffer *computed)
{
    const mlkv_compute_policy *policy = &call->policy;
    int64_t ttl_ms = policy->ttl_ms == 0 ? 0 : vary(policy, policy->ttl_ms) + policy->stale_ms;
    return string_set_guarded(call->view, call->key, slice_of_buffer(computed), ends_in(ttl_ms),
                              end_rule, call);
}

static int keep_absence(compute_call *call)
{
    const mlkv_compute_policy *policy = &call->policy;
    if (policy->absent_ms == 0)
        return op_write(call->view, end_absent_rule, call);
    return string_set_guarded(call->view, call->absent_name, slice_of(NULL, 0),
                              ends_in(vary(policy, policy->absent_ms)), end_absent_rule, call);
}

/* The function failed: the old value if the policy says so, else what the function said, with what it left as the detail. */
static int give_failure(compute_call *call, int failure)
{
    compute_add(&call->policy.counts->failures, 1);
    (void)drop_lock(call, failure);
    if (call->policy.stale_on_failure != 0 && call->state != COMPUTE_MISSING)
        return MLKV_OK;
    if (mlkv_error_detail()[0] == 0)
        return error_set(failure, "computing '%s' failed: %d",
                         error_quote(call->key.data, call->key.size), failure);
    return failure;
}

/* With the lock in hand. MLKV_OK: *computed is the value (*ret_new), or the old one stands for it; MLKV_ABSENT; negative, or what the
 * function said. */
static int compute(compute_call *call, mlkv_buffer *computed, bool *ret_new)
{
    mlkv_compute_counts *counts = call->policy.counts;
    uint64_t begun_ns = clock_monotonic_ns();
    int found = call->fn(call->context, call->key, computed);
    compute_add(&counts->compute_ns, clock_monotonic_ns() - begun_ns);
    compute_add(&counts->computations, 1);
    if (found != MLKV_OK && found != MLKV_ABSENT)
        return give_failure(call, found);
    int kept = found == MLKV_OK ? keep_value(call, computed) : keep_absence(call);
    if (kept < 0)
        return drop_lock(call, kept);
    call->has_lock = false;
    compute_add(&counts->absences, found == MLKV_ABSENT);
    compute_add(&counts->unwanted, kept == MLKV_ABSENT);
    *ret_new = found == MLKV_OK;
    return found;
}

int compute_anew(compute_call *call)
{
    mlkv_buffer computed = {0};
    bool is_new = false;
    int result = make_names(call);
    if (result == MLKV_OK)
        result = take_turn(call);
    if (result == MLKV_OK && call->has_lock && is_due(call)) {
        compute_add(&call->policy.counts->refreshes, 1);
        result = compute(call, &computed, &is_new);
    }
    result = drop_lock(call, result);
    mlkv_buffer_free(&computed);
    mlkv_buffer_free(&call->names);
    return result;
}

/* --- the answer --- */

static void count_saved(const compute_call *call)
{
    mlkv_compute_counts *counts = call->policy.counts;
    uint64_t n = __atomic_load_n(&counts->computations, __ATOMIC_RELAXED);
    if (n != 0)
        compute_add(&counts->saved_ns, __atomic_load_n(&counts->compute_ns, __ATOMIC_RELAXED) / n);
}

/* What was found without computing. */
static int answer_found(compute_call *call, bool waited, mlkv_compute_how *ret_how)
{
    mlkv_compute_counts *counts = call->policy.counts;
    bool stale = call->state == COMPUTE_STALE, absent = call->state == COMPUTE_ABSENT;
    compute_add(waited   ? &counts->waits
                : absent ? &counts->absent_hits
                : stale  ? &counts->stale_hits
                         : &counts->hits,
                1);
    count_saved(call);
    *ret_how = waited ? MLKV_COMPUTE_WAITED : stale ? MLKV_COMPUTE_STALE : MLKV_COMPUTE_HIT;
    return absent ? MLKV_ABSENT : MLKV_OK;
}

static int answer_by_computing(compute_call *call, mlkv_compute_how *ret_how)
{
    mlkv_compute_counts *counts = call->policy.counts;
    mlkv_buffer computed = {0};
    bool is_new = false, ahead = call->state != COMPUTE_MISSING;
    compute_add(ahead ? &counts->refreshes : &counts->misses, 1);
    int result = compute(call, &computed, &is_new);
    *ret_how = is_new || result != MLKV_OK ? MLKV_COMPUTE_COMPUTED : MLKV_COMPUTE_STALE;
    if (is_new) {
        mlkv_buffer_free(call->value);
        *call->value = computed;
        call->replaced = true;
    } else {
        mlkv_buffer_free(&computed);
    }
    return result;
}

/* The key holds no value, or one that is due, and no refresher takes it. */
static int go_on(compute_call *call, mlkv_compute_how *ret_how)
{
    bool missing = call->state == COMPUTE_MISSING;
    int result = make_names(call);
    if (result == MLKV_OK)
        result = wait_for_keys(call->view, &call->lock_name, 1, missing ? call->policy.wait_ms : 0,
                               try_turn, call);
    if (result == MLKV_OK && call->has_lock && is_due(call))
        return answer_by_computing(call, ret_how);
    result = drop_lock(call, result);
    if (result == MLKV_ABSENT && call->state != COMPUTE_MISSING)
        result = MLKV_OK; /* another is at it: the old value */
    if (result == MLKV_ABSENT)
        return error_set(MLKV_E_BUSY, "another computes '%s' for longer than %lld ms",
                         error_quote(call->key.data, call->key.size),
                         (long long)call->policy.wait_ms);
    if (result != MLKV_OK)
        return result;
    bool waited = missing && call->waited;
    if (waited)
        compute_add(&call->policy.counts->misses, 1);
    return answer_found(call, waited, ret_how);
}

static int check_call(const compute_call *call, const mlkv_compute_policy *policy)
{
    int result = argument_view_key(call->view, call->key);
    if (result == MLKV_OK && call->fn == NULL)
        result = error_set(MLKV_E_ARGUMENT, "fn is NULL");
    if (result == MLKV_OK)
        result = argument_pointer(call->value, "ret_value");
    if (result == MLKV_OK && policy != NULL)
        result = check_policy(policy);
    if (result == MLKV_OK && !op_watch_possible(call->view))
        result = error_set(MLKV_E_ARGUMENT, "computing needs a live view");
    return result;
}

static int run(compute_call *call, mlkv_compute_how *ret_how)
{
    int result = look(call);
    if (result != MLKV_OK)
        return result;
    bool old = call->state == COMPUTE_AGING || call->state == COMPUTE_STALE;
    if (call->state == COMPUTE_FRESH ||
        (old && call->policy.refresher != NULL && refresher_take(call->policy.refresher, call)))
        return answer_found(call, false, ret_how);
    return go_on(call, ret_how);
}

int mlkv_get_or_compute(mlkv *view, mlkv_slice key, const mlkv_compute_policy *policy,
                        mlkv_compute_fn fn, void *context, mlkv_buffer *ret_value,
                        mlkv_compute_how *ret_how)
{
    mlkv_compute_how how = MLKV_COMPUTE_HIT;
    compute_call call = {
        .view = view, .key = key, .fn = fn, .context = context, .value = ret_value};
    int result = check_call(&call, policy);
    if (result != MLKV_OK)
        return result;
    error_clear();
    call.policy = policy != NULL ? *policy : (mlkv_compute_policy)MLKV_COMPUTE_POLICY;
    if (call.policy.counts == NULL)
        call.policy.counts = &call.nobodys;
    call.old_size = ret_value->size;
    result = run(&call, &how);
    mlkv_buffer_free(&call.names);
    if (result >= 0 && ret_how != NULL)
        *ret_how = how;
    if (!call.replaced)
        (void)values_end_get(result, call.old_size, ret_value);
    return result;
}

int mlkv_compute_forget(mlkv *view, mlkv_slice key)
{
    compute_call call = {.view = view, .key = key};
    size_t count = 0;
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = make_names(&call);
    if (result == MLKV_OK)
        result =
            mlkv_key_delete(view, (mlkv_slice[]){key, call.lock_name, call.absent_name}, 3, &count);
    mlkv_buffer_free(&call.names);
    return result == MLKV_OK && count == 0 ? MLKV_ABSENT : result;
}
