/* lease.h - what others do with a lock by name in a rule of their own. */
#ifndef MLKV_TYPES_LEASE_H
#define MLKV_TYPES_LEASE_H

#include "view/op.h"

#include <mlkv/lock.h>

/* Releases the lock. MLKV_OK; MLKV_ABSENT: it is not held with this token any more, and nothing was put. */
int lease_end(op *o, mlkv_slice key, const mlkv_lock *lock);

#endif
