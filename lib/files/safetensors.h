/* safetensors.h - the header of a safetensors file: read and checked, or written.
 *
 *   offset size
 *   0      8    size of the header, n (LE)
 *   8      n    the header: one JSON object, then blanks
 *   8 + n       the tensors' bytes, without gaps
 *
 * A member of the header: "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [first, end]}, the offsets from 8 + n on; or
 * "__metadata__": {"name": "text", ...}.
 */
#ifndef MLKV_FILES_SAFETENSORS_H
#define MLKV_FILES_SAFETENSORS_H

#include "files/files.h"
#include "files/json.h"

enum {
    SAFETENSORS_SIZE = 8,               /* of the header's size */
    SAFETENSORS_HEADER_MAX = 100000000, /* the reference implementation's */
};

typedef struct {
    json_string name;
    mlkv_tensor tensor;
    uint64_t first, end; /* of its bytes in the data */
} safetensors_entry;

typedef struct {
    json_string name, text;
} safetensors_text;

typedef struct {
    mlkv_buffer strings;
    mlkv_buffer entries;  /* safetensors_entry, in the header's order */
    mlkv_buffer metadata; /* safetensors_text, likewise */
} safetensors_header;

/* Start *self as {0}; header_done is due whatever comes. text: the header; data_size: the bytes behind it. MLKV_E_FORMAT says what is
 * wrong; what is accepted covers the data exactly, without doubles. */
int safetensors_read(mlkv_slice text, uint64_t data_size, safetensors_header *self);
void safetensors_done(safetensors_header *self);
size_t safetensors_count(const safetensors_header *self);
const safetensors_entry *safetensors_entry_at(const safetensors_header *self, size_t i);
mlkv_slice safetensors_slice(const safetensors_header *self, json_string string);

/* The format's name of a dtype, NULL: it has none. *ret_rank: tensors of a higher one stand before those of a lower one. */
const char *safetensors_dtype(int dtype, int *ret_rank);

/* One tensor to be written. */
typedef struct {
    mlkv_slice name;
    mlkv_tensor tensor;
    uint64_t bytes;
} safetensors_row;
/* The beginning of a file: size, header, blanks. MLKV_E_ARGUMENT: too large. */
int safetensors_write(const safetensors_row *rows, size_t n, const mlkv_pair *metadata,
                      size_t metadata_n, mlkv_buffer *ret_bytes);

#endif
