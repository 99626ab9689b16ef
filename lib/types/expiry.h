/* expiry.h - keys that end by themselves: their X records, and the pass that removes what is due, fields of hashes included. */
#ifndef MLKV_TYPES_EXPIRY_H
#define MLKV_TYPES_EXPIRY_H

#include "types/layout.h"
#include "view/op.h"

#include <mlkv/key.h>

/* The X record of key `name` moves from one time to another (ms since 1970); 0: there is none. */
int expiry_move(op *o, mlkv_slice name, int64_t from_ms, int64_t to_ms);

/* The same for another class of records with this form: expiry, name. */
int expiry_move_in(op *o, int record_class, mlkv_slice name, int64_t from_ms, int64_t to_ms);

/* Whether that record is there. 0, MLKV_ABSENT. */
int expiry_find(op *o, mlkv_slice name, int64_t at_ms);
int expiry_find_in(op *o, int record_class, mlkv_slice name, int64_t at_ms);
/* What an X record says. MLKV_E_CORRUPT. */
int expiry_split(mlkv_slice key, mlkv_slice value, int64_t *ret_at_ms, mlkv_slice *ret_name,
                 mlkv_slice *ret_rest);

/* ms from now as a point in time. MLKV_E_RANGE. */
int expiry_at(int64_t now_ms, int64_t ttl_ms, int64_t *ret_at_ms);

/* What a step found to be due: times and names. */
typedef struct {
    mlkv_buffer bytes;
    size_t count;
} due_list;
/* Number i = 0, 1 ... in this order; *at is the walk's own, at first 0. */
mlkv_slice due_next(const due_list *self, size_t *at, int64_t *ret_at_ms);
int due_add(due_list *self, int64_t at_ms, mlkv_slice name);

/* One bounded step of removing what is due: up to some thousand keys and fields. 0: removed something, come
 * again; MLKV_ABSENT: nothing is
 * due; negative: error. Reads only what is due. */
int expiry_step(mlkv *view);

/* Whether an expiry (0: none) may be replaced by a new one. */
bool expiry_holds(mlkv_expire_condition condition, int64_t old_ms, int64_t new_ms);

/* To be called before an operation that counts from now. If the machine's clock was set back, removes what was
 * due by the old one, so that time
 * goes on (view/time.c). Costs two loads and a clock otherwise. In a transaction nothing is done. */
int expiry_settle(mlkv *view);

#endif
