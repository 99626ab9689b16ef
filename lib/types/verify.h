/* verify.h - what the parts of the walk over a whole store share: what is known of lives and blobs,
 * and how problems are told.
 *
 * Results inside: 0 go on; MLKV_ABSENT the caller's callback wants no more; negative: the walk
 * itself failed.
 */
#ifndef MLKV_TYPES_VERIFY_H
#define MLKV_TYPES_VERIFY_H

#include "types/layout.h"
#include "view/op.h"

#include <mlkv/db.h>

/* One life of a key, found through its K or its G record. */
typedef struct {
    uint64_t id;
    uint8_t type;
    bool deleted; /* G: its elements wait for the cleaner */
    bool broken;  /* its K record is wrong: nothing is said of its elements */
    uint64_t expected;
    uint64_t elements; /* E records, of a list L, of a tensor T */
    uint64_t indexed;  /* L records of a set, O records of a sorted set, Y records of a hash */
    uint64_t expiring, expiring_found;            /* fields of a hash that expire */
    int64_t first_ms, last_ms;                    /* when */
    uint64_t head;                                /* of a list: number of its first element */
    uint64_t rows, row_bytes, chunk_rows, chunks; /* of a tensor */
    uint64_t stored_bytes, stored_bytes_found;
    uint64_t beside, beside_found;   /* rows beside its chunks */
    uint64_t damaged, first_damaged; /* chunks of a tensor: how many, and the number of one */
} verify_life;

/* One blob, found through any record that has its id. */
typedef struct {
    uint64_t id;
    uint64_t size;       /* raw bytes of the pieces found */
    uint64_t references; /* cells that name it */
    uint64_t counted;    /* what R says */
    uint32_t pieces;     /* found, from 0 on without a gap */
    uint32_t piece_size; /* of the first */
    uint32_t last_size;  /* of the last one found */
    bool broken;         /* a piece is missing or bad */
    bool has_pieces, has_count, is_waste, is_noted;
} verify_blob;

/* --- verify_map.c: a hash from ids to fixed-size items that begin with their id --- */
typedef struct {
    size_t item_size;
    unsigned char *items; /* count of them, in order of insertion */
    uint32_t *table;      /* item + 1; open addressing */
    size_t count, capacity, table_size;
} id_map;

/* The item, or NULL. */
void *id_map_find(const id_map *self, uint64_t id);
/* The item, made with zeros if it is not there. NULL: out of memory. Moves all items. */
void *id_map_take(id_map *self, uint64_t id);
void id_map_done(id_map *self);

/* --- verify.c --- */
typedef struct {
    mlkv *view;
    mlkv_verify_callback callback;
    void *context;
    mlkv_report report;
    char first_problem[400];
    id_map lives, blobs;
    scan *records; /* the one being walked: cells are decoded from its snapshot */
    mlkv_buffer raw;
    mlkv_buffer last_key;
    uint64_t counted_keys;    /* what the counter says */
    uint32_t next_dictionary; /* as the table says; 0: there is none */
    bool partial;             /* records were skipped: nothing that needs all of them can be said */
} verifier;

/* Tells of a problem, in a sentence. 0 or MLKV_ABSENT. */
int verify_problem(verifier *self, const char *format, ...)
    __attribute__((format(printf, 2, 3), cold));
/* The same for a result: a problem if it is MLKV_E_CORRUPT (with its detail); other errors go on
 * up. */
int verify_result(verifier *self, mlkv_slice key, int result);

/* --- verify_blobs.c --- */
int verify_blob_piece(verifier *self, mlkv_slice key, mlkv_slice value);
int verify_blob_id(verifier *self, mlkv_slice key, mlkv_slice value); /* R, W, N */
/* A cell inside the record `key`: form, references; inline ones are decoded (to self->raw).
 * *ret_good may be NULL. */
int verify_cell(verifier *self, mlkv_slice key, mlkv_slice cell, bool *ret_good);
int verify_blobs_end(verifier *self);

/* --- verify_dictionaries.c --- */
int verify_dictionary(verifier *self, mlkv_slice key, mlkv_slice value); /* D */

/* --- verify_lives.c --- */
/* Before the walk: all lives. */
int verify_lives_begin(verifier *self);
int verify_key(verifier *self, mlkv_slice key, mlkv_slice value);
/* The life that a record belongs to by the id behind its class; size_fits: whether the key has a size that such records have. NULL:
 * there is none, which is told of unless it cannot be known; the caller returns the result then. */
int verify_life_of(verifier *self, mlkv_slice key, bool size_fits, verify_life **ret_life);
int verify_element(verifier *self, mlkv_slice key, mlkv_slice value); /* E, L, T */
int verify_ordered(verifier *self, mlkv_slice key, mlkv_slice value); /* O */
int verify_lives_end(verifier *self);

/* --- verify_expiry.c --- */
int verify_expiry(verifier *self, mlkv_slice key, mlkv_slice value); /* X */
int verify_key_expiry(verifier *self, mlkv_slice name, int64_t at_ms);

/* --- verify_fields.c --- */
/* A hash's element, `value` behind its name. */
int verify_field(verifier *self, mlkv_slice key, verify_life *life, mlkv_slice name,
                 mlkv_slice value);
int verify_field_expiry(verifier *self, mlkv_slice key, mlkv_slice value); /* Y */
int verify_fields_due(verifier *self, mlkv_slice key, mlkv_slice value);   /* F */
int verify_hash(verifier *self, mlkv_slice name, const key_header *header);
bool verify_fields_counted(const verify_life *life);

/* --- verify_rows.c --- */
int verify_row(verifier *self, mlkv_slice key, mlkv_slice value);     /* P */
int verify_rows_of(verifier *self, mlkv_slice key, mlkv_slice value); /* Q */
int verify_tensor_rows(verifier *self, mlkv_slice name, const key_header *header);
/* After the walk: a life whose rows beside its chunks are not as many as it says. */
int verify_rows_counted(verifier *self, mlkv_slice name, const verify_life *life);

#endif
