/* entry.h - a key's own record (K): find it, begin a life, store it, end it. What every type is built on.
 *
 * A typed operation opens the entry of its key inside a rule, and then:
 *   reads:   entry_open; 0: header and rest are there. MLKV_ABSENT: no such key (or its time is over). MLKV_E_TYPE: another type.
 *   writes:  the same; on MLKV_ABSENT entry_create begins a new life (new id, count 0) in the same struct; then entry_store
 * writes it.
 *   moves:   entry_rename.
 *   ends:    entry_remove (elements, if any, are left to the cleaner: O(1)), or entry_vanish when the last element was just
 * deleted.
 * The number of keys in the store (record "Ckeys") is kept here: +1 in entry_create, -1 in entry_remove and entry_vanish. So is the
 * X record of a key with an expiry (expiry.h).
 */
#ifndef MLKV_TYPES_ENTRY_H
#define MLKV_TYPES_ENTRY_H

#include "types/layout.h"
#include "view/op.h"

enum { TYPE_ANY = 0 };

typedef struct {
    record_key key;  /* of the K record */
    mlkv_slice name; /* the key's name, the caller's bytes */
    key_header
        header; /* after entry_open == 0 as stored; after entry_create that of the new life. Change count and expiry_ms at will */
    mlkv_slice
        rest; /* the type's own part as stored, from op_borrow: lives until the next op_ call (entry_ calls are such) */
    bool
        expired; /* entry_open said MLKV_ABSENT because the time is over: a life stands there that entry_create puts away first */
    int64_t stored_expiry_ms; /* of the K record that stands: where its X record is; 0: none */
    int64_t stored_first_ms;  /* likewise of a hash's fields: where its F record is (field.h) */
    bool stored_rows_beside;  /* the K record that stands has a Q record (tensor_rows_fold.h) */
    bool has_blob;            /* a string whose cell is a blob: blob_cell is a copy of it */
    unsigned char blob_cell[CELL_BLOB_SIZE];
} entry;

/* Finds the key. type: TYPE_ANY or one of TYPE_*. 0; MLKV_ABSENT (entry_create may follow); MLKV_E_TYPE naming the key and both
 * types;
 * MLKV_E_SIZE for a name over NAME_SIZE_MAX; MLKV_E_CORRUPT. One record read. */
int entry_open(op *o, mlkv_slice name, int type, entry *ret_entry);

/* The same from a K record that a scan returned, whether its time is over or not: name and rest live as long as that. MLKV_E_CORRUPT. */
int entry_of_record(mlkv_slice key, mlkv_slice value, entry *ret_entry);

/* Hints that the entry of this key will be opened soon. */
void entry_prefetch(op *o, mlkv_slice name);
/* The same for the next NAMED_BATCH of n names, when `i` stands at the first of them; otherwise nothing. */
void entry_prefetch_batch(op *o, const mlkv_slice *names, size_t n, size_t i);

/* After MLKV_ABSENT from entry_open, or after entry_remove/entry_vanish of the same struct: a new life of this type, with a new
 * id (a string has no elements and gets
 * id 0), count 0, no expiry. Writes the counter, not yet the K record: entry_store must follow in the same rule. */
int entry_create(op *o, entry *self, int type);

/* Writes the K record: name (if long), header, then head and body of the type's own part, joined; and the X record, if the expiry
 * changed. A head of more than 160 bytes must be all there is. */
int entry_store(op *o, entry *self, mlkv_slice head, mlkv_slice body);

/* Writes the K record with the own part that entry_open read, and the header as it is now. No op_ call may come in between. */
int entry_store_again(op *o, entry *self);

/* The life of `self`, which entry_open found just now (no op_ call in between), gets the name of `to`, which entry_open looked for
 * before. stands: a life stands there, expired or not; it is put away. Both names differ. O(1), but for a string's cell. */
int entry_rename(op *o, entry *self, entry *to, bool stands);

/* The key is gone: deletes K, counter - 1; a string's blob is released, other types leave G id -> {type} for the cleaner. */
int entry_remove(op *o, entry *self);

/* The same when no element is left: no G record. */
int entry_vanish(op *o, entry *self);

/* A string's cell is about to be replaced: releases what the old one referred to. */
int entry_release_string(op *o, entry *self);

/* Keys in the store, from the counter record. */
int entry_count(op *o, uint64_t *ret_count);

#endif
