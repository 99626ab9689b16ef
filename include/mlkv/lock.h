/* lock.h - locks for programs, by name: of one holder at a time over all threads and processes of a store.
 *
 * A lock is a key. Who acquires it gets a token, which nobody else can guess, and a fencing number, which is larger than that of every
 * holder before, whatever became of them: give it along with what the lock guards, and refuse a smaller one than the last. The lock is
 * free again when it is released, when its lease ends, when the process that acquired it dies, or when somebody deletes the key.
 *
 * A forked child does not hold its parent's locks: they last as long as the parent lives. Views, threads and the errors that every call
 * may return are those of string.h; a key of another type, or a string that is no lock, is MLKV_E_TYPE.
 */
#ifndef MLKV_LOCK_H
#define MLKV_LOCK_H

#include <mlkv/base.h>

MLKV_BEGIN_DECLS

/* What its holder knows of a lock. Plain bytes: it may be copied, sent, stored. */
typedef struct {
    char token[32]; /* hexadecimal digits, without a zero byte behind */
    uint64_t fence;
} mlkv_lock;

/* Acquires the lock, waiting for it for timeout_ms (0: not at all; negative: for ever). lease_ms: it is free again so many milliseconds
 * later unless it is renewed; 0: no such end. It does not poll: releases wake the waiters, one of whom gets it; a death is seen within
 * three seconds. In a transaction nothing is waited for. Returns MLKV_OK; MLKV_ABSENT: others hold it; MLKV_E_RANGE: lease_ms is
 * negative or too large. Mirrors SET key token NX PX. Since 0.1. */
MLKV_API int mlkv_lock_acquire(mlkv *view, mlkv_slice key, int64_t lease_ms, int64_t timeout_ms,
                               mlkv_lock *ret_lock);

/* The lease ends lease_ms from now; 0: it has no end any more. Returns MLKV_OK; MLKV_ABSENT: it is not held with this token (any
 * more); MLKV_E_RANGE. Mirrors the usual script of GET and PEXPIRE. Since 0.1. */
MLKV_API int mlkv_lock_renew(mlkv *view, mlkv_slice key, const mlkv_lock *lock, int64_t lease_ms);

/* Releases it. Returns MLKV_OK; MLKV_ABSENT: it is not held with this token (any more), and nothing was changed. Mirrors the usual
 * script of GET and DEL. Since 0.1. */
MLKV_API int mlkv_lock_release(mlkv *view, mlkv_slice key, const mlkv_lock *lock);

/* Who holds it. Returns MLKV_OK; MLKV_ABSENT: it is free. Since 0.1. */
MLKV_API int mlkv_lock_holder(mlkv *view, mlkv_slice key, mlkv_lock *ret_lock);

MLKV_END_DECLS

#endif
