/* mend.h - what the files of mlkv_salvage share: what is known of lives and blobs of a store whose
 * records need not fit each other, and the batch of changes that make them fit.
 *
 * Results inside: 0 go on; MLKV_ABSENT the caller's callback wants no more; negative: a failure.
 */
#ifndef MLKV_TYPES_MEND_H
#define MLKV_TYPES_MEND_H

#include "codec/dictionary_record.h"
#include "types/tensor.h"
#include "types/verify.h"

#include <mlkv/salvage.h>

/* One life, found through its K record, its G record, or an element. */
typedef struct {
    uint64_t id;
    uint64_t owner;    /* hash of its K record's key; of several that say this id the first */
    uint8_t type;      /* 0: neither K nor G was found */
    bool has_key;      /* K is there; without it G, or nothing */
    bool deleted;      /* G: its elements wait for the cleaner */
    bool has_bad;      /* some elements cannot be understood or lack their blob */
    bool sound;        /* decided: nothing of it needs to be changed */
    bool doomed;       /* decided: K and all elements go */
    uint64_t expected; /* elements, as K says */
    uint64_t elements; /* good ones: E, of a list L, of a tensor T */
    uint64_t others;   /* good ones of the other order: a set's L, a sorted set's O */
    uint64_t sum;      /* over elements, minus the same over others: 0 if they pair */
    uint64_t highest;  /* index of a set's member */
    uint64_t head,
        next; /* of a list: number of the first element, and of the next one when renumbered */
    uint64_t rows, row_bytes, chunk_rows, chunks; /* of a tensor */
    uint64_t stored_bytes, stored_bytes_found;
    uint64_t beside, beside_found; /* rows beside its chunks: as K says, and good ones */
    int64_t beside_ms;
    bool has_bad_rows;
    uint64_t expiring, expiring_found; /* fields of a hash that expire: as K says, and good ones */
    uint64_t dues;                     /* their Y records */
    uint64_t due_sum;                  /* over fields that expire, minus the same over Y records */
    int64_t first_ms, last_ms;         /* as K says; from when on it is corrected, what was found */
    int64_t first_found, last_found;
} mend_life;

typedef struct {
    mlkv *db;       /* changes go here */
    mlkv *view;     /* a snapshot of it before the first change: what is walked */
    verifier check; /* knows blobs; decodes cells from the walk's scan */
    id_map lives;
    bool counting;    /* bytes, in the survey */
    bool must_sweep;  /* some element has to go, or to be moved */
    uint64_t keys;    /* kept */
    uint64_t counted; /* what Ckeys says */
    bool has_counter;
    struct {
        dictionary_table *table; /* NULL: none was needed so far */
        mlkv_buffer bytes;       /* of the stored one */
        mlkv_buffer prefixes;    /* unsigned char *[], of entries that were made anew */
        bool has_table, changed;
        bool there[DICTIONARY_ID_MAX + 1]; /* dictionaries, by id */
    } dictionaries;
    mlkv_buffer items; /* changes not made yet */
    size_t item_count;
    mlkv_salvage_callback callback;
    void *context;
    mlkv_salvage_report report;
} mender;

/* --- mend.c --- */
int mend_tell(mender *self, bool loss, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));
/* Changes are gathered and made by some thousand. */
int mend_put(mender *self, mlkv_slice key, mlkv_slice value);
/* A record of a name: the full one stands in front of the rest if it is long. */
int mend_put_named(mender *self, const record_key *key, mlkv_slice name, mlkv_slice rest);
int mend_delete(mender *self, mlkv_slice key);
int mend_flush(mender *self);
typedef int (*mend_visit)(mender *self, mlkv_slice key, mlkv_slice value);
/* All records of the snapshot that begin with prefix. */
int mend_each(mender *self, mlkv_slice prefix, mend_visit visit);
int mend_each_class(mender *self, int record_class, mend_visit visit);
/* The life; NULL: out of memory. */
mend_life *mend_take(mender *self, uint64_t id);
/* Counts what the cell of a record that stays refers to. */
void mend_refer(mender *self, mlkv_slice cell);
/* Whether a cell can be read to its end. */
int mend_check_cell(mender *self, mlkv_slice key, mlkv_slice cell, bool *ret_good);

/* --- mend_survey.c: looks, changes nothing --- */
int mend_survey(mender *self);
/* A row beside a tensor's chunk: whether it is good. */
bool mend_check_row(const mend_life *life, mlkv_slice key, mlkv_slice value);
/* A K record, split. MLKV_E_CORRUPT says why not. value_head: bytes of the value before the header. */
typedef struct {
    mlkv_slice name, rest;
    key_header header;
    tensor_form form;
    size_t value_head;
} mend_key;
int mend_split_key(mlkv_slice key, mlkv_slice value, mend_key *ret_key);
/* Whether an element is good. *ret_cell: what it refers with; *ret_other: of the other order. */
int mend_check_element(mender *self, mend_life *life, mlkv_slice key, mlkv_slice value,
                       bool *ret_good, mlkv_slice *ret_cell);

/* --- mend_sweep.c: makes elements and keys fit --- */
int mend_sweep(mender *self);

/* --- mend_pairs.c: sets and sorted sets, whose members stand in two orders --- */
int mend_pairs(mender *self, mend_life *life);

/* --- mend_dictionaries.c --- */
int mend_dictionaries(mender *self);
void mend_dictionaries_done(mender *self);

/* --- mend_rest.c: reference counts, expiries, the number of keys, strange records --- */
int mend_rest(mender *self);

#endif
