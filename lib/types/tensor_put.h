/* tensor_put.h - the steps of putting a whole tensor, for those who put it from memory (tensor_put.c)
 * and from a stream (tensor_stream.c), where they are explained. */
#ifndef MLKV_TYPES_TENSOR_PUT_H
#define MLKV_TYPES_TENSOR_PUT_H

#include "types/tensor.h"

enum { PUTTING_ROUNDS_MAX = 3 }; /* then everything is encoded, whoever else writes */

typedef struct {
    mlkv_slice key;
    const unsigned char *data; /* not in a stream */
    tensor_form form;
    bool persist;      /* the key's expiry goes */
    chunk_head *heads; /* of the new bytes */
    chunk_head *noted; /* of what stood there; raw_size 0: not known */
    bool *encoded;
    bool *wanted; /* the rule found that it must be encoded */
    uint64_t note_from, note_end;
    bool noted_life; /* all notes are of this id and version */
    uint64_t noted_id, noted_version;
    prepared_chunks prepared;
    bool again;
    bool shareable; /* as blobs, where they are large enough: a copy of the tensor shares them */
} tensor_putting;

/* key and form are set, the rest is 0. Afterwards heads have their sizes; putting_done is due in any case. */
int putting_open(tensor_putting *self);
/* Notes what stands there. */
int putting_note(mlkv *view, tensor_putting *self);
/* Whether the chunk, whose checksum is known, must be encoded. */
bool putting_must_encode(const tensor_putting *self, uint64_t chunk, bool all);
/* The rule. If it sets again it has put nothing: the chunks that are wanted are to be encoded, and it is to be run again. */
int putting_rule(op *o, void *context);
/* Frees; what was not put is deleted. */
void putting_done(mlkv *view, tensor_putting *self);

/* mlkv_tensor_put_counted of a tensor that will be copied: what is written becomes blobs where that is worth it, so that copies share it.
 * Also says how many bytes the written chunks take. After a failure neither means anything. */
int tensor_put_shareable(mlkv *view, mlkv_slice key, const mlkv_tensor *tensor, const void *data,
                         const mlkv_tensor_options *options, uint64_t *ret_chunks_written,
                         uint64_t *ret_bytes_written);

#endif
