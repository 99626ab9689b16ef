/* dictionary.h - zstd dictionaries: what many small values have in common, learned once, so that each of them is coded as what is its own.
 *
 * A dictionary is bytes in zstd's own form ("\x37\xa4\x30\xec", id u32 LE, entropy tables, content) and a number that is in them. What is
 * made of it for use (tables for coding, tables for decoding) is immutable, may be used by any threads at once, and lives until it is
 * destroyed. The bytes are untrusted.
 */
#ifndef MLKV_CODEC_DICTIONARY_H
#define MLKV_CODEC_DICTIONARY_H

#include <mlkv/base.h>

enum {
    DICTIONARY_SIZE_MIN = 256,     /* zstd learns into no less room */
    DICTIONARY_SIZE_MAX = 1 << 20, /* larger ones cost the processor's caches more than they save */
    DICTIONARY_SAMPLES_MIN = 16
};

typedef struct dictionary_coder dictionary_coder;
typedef struct dictionary_decoder dictionary_decoder;

/* Learns at most `capacity` bytes from n samples that stand one behind the other. What is in *ret_bytes is replaced.
 * 0; MLKV_ABSENT: there is nothing to be learned from them; MLKV_E_MEMORY. Takes about a second for 8 MiB. */
int dictionary_learn(mlkv_slice samples, const size_t *sizes, size_t n, size_t capacity,
                     mlkv_buffer *ret_bytes);
/* Writes its number into the bytes of one that was learned. */
void dictionary_set_id(void *bytes, uint32_t id);

/* Whether bytes have a dictionary's form and this number. 0, MLKV_E_CORRUPT. */
int dictionary_check(uint32_t id, mlkv_slice bytes);

/* bytes are copied. MLKV_E_CORRUPT, MLKV_E_MEMORY. */
int dictionary_coder_create(uint32_t id, mlkv_slice bytes, int level, dictionary_coder **ret_coder);
int dictionary_decoder_create(uint32_t id, mlkv_slice bytes, dictionary_decoder **ret_decoder);
void dictionary_coder_destroy(dictionary_coder *self);
void dictionary_decoder_destroy(dictionary_decoder *self);
uint32_t dictionary_coder_id(const dictionary_coder *self);
uint32_t dictionary_decoder_id(const dictionary_decoder *self);
/* Bytes of memory. */
size_t dictionary_coder_size(const dictionary_coder *self);
size_t dictionary_decoder_size(const dictionary_decoder *self);

/* For compress.c, where the frames are made: zstd's own tables. */
const void *dictionary_coder_tables(const dictionary_coder *self);
const void *dictionary_decoder_tables(const dictionary_decoder *self);

#endif
