/* named.h - records whose key is made from a name (K and E): reading and writing them with the full name of a long one in the
 * value. */
#ifndef MLKV_TYPES_NAMED_H
#define MLKV_TYPES_NAMED_H

#include "types/layout.h"
#include "view/op.h"

enum {
    NAMED_BATCH = 32
}; /* names whose records are prefetched together: enough to hide memory latency, few enough to stay in a core's cache */

/* Reads the record of this name. *ret_rest: the value after the name; lives until the next op_ call. 0; MLKV_ABSENT;
 * MLKV_E_CORRUPT, also when
 * another name with the same digest stands there. */
int named_borrow(op *o, const record_key *key, size_t head_size, mlkv_slice name,
                 mlkv_slice *ret_rest);

/* Writes it: name (if long), head, body. */
int named_put(op *o, const record_key *key, mlkv_slice name, mlkv_slice head, mlkv_slice body);

#endif
