/* payload.h - a key's content as bytes, for key_dump.c, which writes them, and key_restore.c, which reads them from anybody. */
#ifndef MLKV_TYPES_PAYLOAD_H
#define MLKV_TYPES_PAYLOAD_H

#include "types/tensor.h"

#include <string.h>

enum { PAYLOAD_VERSION = 1, PAYLOAD_HEAD_SIZE = 16, PAYLOAD_CHECKSUM_SIZE = 8 };

/* --- writing: begin; then for each element payload_add_name, _number, _value, as far as its type has them; end --- */

typedef struct {
    mlkv_buffer *out;
    size_t begin; /* of the payload in *out */
    int type;
    uint64_t count;
    size_t name_at; /* of the last element's name in *out; 0: none yet */
    size_t name_size;
    bool disordered; /* the names did not come in the order of their bytes */
} payload_writer;

/* Appends to *out. All: MLKV_E_MEMORY. */
int payload_begin(payload_writer *self, mlkv_buffer *out, int type);
int payload_add_name(payload_writer *self, mlkv_slice name);
int payload_add_number(payload_writer *self, uint64_t number);
/* Bytes behind their size; the caller appends them to *out between the two. */
int payload_open_value(payload_writer *self, size_t *ret_at);
void payload_close_value(payload_writer *self, size_t at);
void payload_count_element(payload_writer *self);
/* What a tensor's data follows. */
int payload_add_form(payload_writer *self, const tensor_form *form);
int payload_end(payload_writer *self);

/* --- reading --- */

typedef struct {
    int type;
    size_t count; /* elements; of a string 1, of a tensor 0 */
    mlkv_pair *
        pairs; /* of each its name (hash, set, sorted set) and value (hash, list, string); in the payload's bytes */
    uint64_t *
        numbers; /* of a hash's fields: when they expire (0: never); of a sorted set's members: bits of the scores */
    tensor_form form; /* of a tensor: version 1, nothing stored */
    mlkv_slice data;  /* its bytes */
} payload;

/* Start *ret_payload as {0}, free it in any case. MLKV_E_CORRUPT names what is wrong; MLKV_E_MEMORY. What is accepted is whole: names
 * are of legal size and each is there once, expiries and scores are legal, a tensor's data has the size of its shape. */
int payload_read(mlkv_slice bytes, payload *ret_payload);
void payload_done(payload *self);

static inline double payload_score(uint64_t bits)
{
    double score;
    memcpy(&score, &bits, sizeof score);
    return score;
}

#endif
