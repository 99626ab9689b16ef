/* layout.h - the bytes of typed records: how names become record keys, what a K record's value
 * holds. Pure functions, no locks.
 *
 * Record keys. A name that fits is appended to its head (class, id ...) as it is. If the whole
 * would reach RECORD_KEY_SIZE_MAX (511) bytes, the record key is exactly 511 bytes: head, the first
 * bytes of the name, 16 bytes of digest (hash_digest of the whole name); and the value begins with
 * the full name:
 *   offset size
 *   0      4   name size (LE)
 *   4      n   name
 * and goes on as described below. Two names with one digest: the second is refused (MLKV_E_CORRUPT,
 * naming both), never mixed up. A name may be at most NAME_SIZE_MAX bytes (16 MiB), so that it fits
 * a frame of the default ring.
 *
 * K value, after the name (if long), 32 bytes, then the type's own part:
 *   0   1  type: 1 string, 2 hash, 3 list, 4 set, 5 zset, 6 tensor
 *   1   1  layout version of the type, 1; 2: a hash some of whose fields expire, or a tensor some of
 *          whose rows stand beside their chunks
 *   2   2  zero
 *   4   4  zero (flags)
 *   8   8  id of this life (LE)
 *   16  8  count of elements (LE)
 *   24  8  expiry, ms since 1970 (LE), 0: never
 *   32     string: the cell of its value. hash, set: nothing. tensor: its descriptor
 *          (types/tensor.h). list: head and tail seq (list.c).
 *
 * The own part of a hash with layout version 2, 24 bytes:
 *   0   8  fields that have an expiry (LE), not 0
 *   8   8  no field expires earlier than this (LE, ms since 1970)
 *   16  8  no field expires later (LE)
 *
 * The own part of a tensor with layout version 2 begins with 16 bytes, in front of its descriptor:
 *   0   8  rows that stand beside their chunks (LE), not 0: so many P records
 *   8   8  when one last came or was changed (LE, ms since 1970)
 *
 * E value (hash field, set member), after the name (if long): hash: cell, and in front of it, if the
 *         field expires, a byte 16 and the expiry (8 LE, ms since 1970); set: 8 bytes index in the
 *         dense index (LE); zset: 8 bytes score (a double, LE).
 * O value of a zset, key id(8) score(8) member: empty, after the name (if long).
 * L value of a set's dense index, key id(8) index(8): the member's bytes. Of a list's element, key id(8) seq(8): its cell.
 * G value, key id(8): type (1), then, once the cleaner has begun, the last record key that it
 *         reclaimed (types/clean.c).
 * P value of a tensor's row, key id(8) chunk(8) row in the chunk(8): the row's bytes. Q value, key name:
 *         empty, after the name (if long).
 * C value, key "Ckeys": number of K records (8 LE).
 */
#ifndef MLKV_TYPES_LAYOUT_H
#define MLKV_TYPES_LAYOUT_H

#include "base/record.h"

#include <mlkv/base.h>
#include <stdbool.h>

enum {
    TYPE_STRING = 1,
    TYPE_HASH = 2,
    TYPE_LIST = 3,
    TYPE_SET = 4,
    TYPE_ZSET = 5,
    TYPE_TENSOR = 6
};
enum { LAYOUT_KEY_HEADER_SIZE = 32, NAME_SIZE_MAX = 16 << 20 };
/* What stands in front of the own part in layout version 2: of a hash, of a tensor. */
enum { LAYOUT_FIELDS_SIZE = 24, LAYOUT_ROWS_SIZE = 16, LAYOUT_FIELD_HEAD_SIZE = 9 };

/* A record key being built. */
typedef struct {
    unsigned char bytes[RECORD_KEY_SIZE_MAX];
    uint16_t size;
    bool is_long;
} record_key;

typedef struct {
    uint8_t type;
    uint64_t id;
    uint64_t count;
    int64_t expiry_ms;
    bool fields_expire; /* layout version 2: the own part begins with the three below */
    uint64_t expiring;  /* fields of a hash that have an expiry */
    int64_t first_ms;  /* no field expires earlier: exact when set, may lag behind when fields go */
    int64_t last_ms;   /* and none later, likewise */
    bool rows_beside;  /* layout version 2 of a tensor: the two below are not 0 */
    uint64_t beside;   /* rows that stand beside their chunks */
    int64_t beside_ms; /* when one last came or was changed */
} key_header;

/* 0, or MLKV_E_SIZE for a name over the limit. */
int layout_key(mlkv_slice name, record_key *ret_key);                  /* K name */
int layout_element(uint64_t id, mlkv_slice name, record_key *ret_key); /* E id name */
/* Q name: a tensor some of whose rows stand beside their chunks. */
int layout_rows_of(mlkv_slice name, record_key *ret_key);
/* O id score name: a sorted set's members in their order. score: layout_score_bits. */
int layout_ordered(uint64_t id, uint64_t score_bits, mlkv_slice name, record_key *ret_key);
enum { LAYOUT_ORDER_HEAD_SIZE = 17 }; /* class, id, score */
/* Y id expiry name: a hash's fields in the order of their expiries; the head has the same size. */
int layout_field_expiry(uint64_t id, int64_t at_ms, mlkv_slice name, record_key *ret_key);
/* A score as a number whose big-endian bytes sort as the scores do: -inf lowest, inf highest; -0.0 is 0.0. Not for NaN. And back. */
uint64_t layout_score_bits(double score);
double layout_bits_score(uint64_t bits);
void layout_indexed(int record_class, uint64_t id, uint64_t index,
                    record_key *ret_key); /* L, T: id index */
/* P id chunk row: one of them; the number is that in the chunk. */
void layout_row(uint64_t id, uint64_t chunk, uint64_t row, record_key *ret_key);
enum { LAYOUT_ROW_KEY_SIZE = 25 };
void layout_id(
    int record_class, uint64_t id,
    record_key *ret_key); /* G, R, W ...: id; also a prefix of E, L, T records of that id */
static inline mlkv_slice record_key_slice(const record_key *key)
{
    return (mlkv_slice){key->bytes, key->size};
}

void layout_write_header(const key_header *header, unsigned char ret_bytes[LAYOUT_KEY_HEADER_SIZE]);
/* Splits a K value (after the name) into header and the type's own part. MLKV_E_CORRUPT. */
int layout_read_header(mlkv_slice value, key_header *ret_header, mlkv_slice *ret_rest);
/* What stands in front of the own part of a hash whose fields expire, or of a tensor with rows beside its chunks: to be called with
 * the rest that layout_read_header gave, for every type. *rest becomes what is behind it. MLKV_E_CORRUPT. */
int layout_read_fields(key_header *header, mlkv_slice *rest);
/* The same bytes. Returns their number: 0 for a header of layout version 1. */
size_t layout_write_fields(const key_header *header, unsigned char ret_bytes[LAYOUT_FIELDS_SIZE]);

/* A hash field's value after the name: *ret_at_ms: when it expires, 0: never; *ret_cell: its cell. MLKV_E_CORRUPT. */
int layout_split_field(mlkv_slice value, int64_t *ret_at_ms, mlkv_slice *ret_cell);
/* What stands in front of the cell of a field that expires then; nothing for 0. Returns its size. */
size_t layout_write_field(int64_t at_ms, unsigned char ret_bytes[LAYOUT_FIELD_HEAD_SIZE]);

/* Splits a value whose record key is long into name and rest; for a short one the name is what
 * follows head_size bytes of the record key. MLKV_E_CORRUPT. */
int layout_split_name(mlkv_slice record_key_bytes, size_t head_size, mlkv_slice value,
                      mlkv_slice *ret_name, mlkv_slice *ret_rest);

/* How many first bytes of a name stand in its record key whether it is long or not: what a scan for
 * a prefix may use. */
size_t layout_name_begin(size_t head_size, mlkv_slice name);

#endif
