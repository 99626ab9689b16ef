/* field.h - one field of a hash: found, written and deleted, with its expiry; and what expiries say about the hash as a whole.
 *
 * A field with an expiry is gone to every reader at that millisecond; its records stand until something overwrites them or the
 * pass (field_pass.c) removes them. So a field may stand and be gone.
 */
#ifndef MLKV_TYPES_FIELD_H
#define MLKV_TYPES_FIELD_H

#include "types/element.h"
#include "types/entry.h"
#include "types/expiry.h"

typedef struct {
    element element;
    bool stands;     /* its record is there; gone or not */
    int64_t at_ms;   /* of the record that stands: when it expires; 0: never */
    mlkv_slice cell; /* likewise; borrowed until the next op_ call */
} hash_field;

/* Finds a field of a hash that entry_open found, or entry_create made. 0; MLKV_ABSENT: there is none, or it is gone (field_put may
 * follow); negative. One record read. */
int field_open(op *o, const entry *hash, mlkv_slice name, hash_field *ret_field);
/* How a record of a hash reads now. MLKV_ABSENT: it is gone, and that is noted. */
int field_look(op *o, mlkv_slice value, int64_t *ret_at_ms, mlkv_slice *ret_cell);

/* Writes the cell (head and body, joined; a head of more than 16 bytes must be all there is), with this expiry (0: none). What stood
 * there is replaced, its cell not released. The hash's header follows; field_store must, in the same rule. */
int field_put(op *o, entry *hash, hash_field *self, int64_t at_ms, mlkv_slice head,
              mlkv_slice body);
/* Deletes a field that stands, and releases its cell; the same holds. */
int field_delete(op *o, entry *hash, hash_field *self);
/* Writes the hash's own record if its header differs from `before`; without a field the key goes. */
int field_store(op *o, entry *hash, const key_header *before);

/* How many fields of the hash stand and are gone. Reads these only, mostly none. */
int field_count_gone(op *o, const key_header *hash, uint64_t *ret_count);
/* Whether all of them are: then the key is gone too. Used by entry_open. O(1), at most one step of a scan. */
int field_all_gone(op *o, const key_header *hash, bool *ret_gone);

/* A scan of the Y records of a life, in order of time; those behind after_ms, 0: all. */
int field_open_expiries(op *o, uint64_t id, int64_t after_ms, scan **ret_walk);
/* What a Y record says. MLKV_E_CORRUPT. */
int field_split_expiry(mlkv_slice key, mlkv_slice value, int64_t *ret_at_ms, mlkv_slice *ret_name);

/* The F record of a hash moves: its key is found there when the first of its fields expires. */
int field_move_first(op *o, mlkv_slice key_name, int64_t from_ms, int64_t to_ms);

/* Removes what is due of the fields of these hashes (their keys' names). 0; MLKV_ABSENT: there is more. */
int field_pass(mlkv *view, int64_t now_ms, const due_list *hashes);

#endif
