/* compress.h - zstd, behind one border: the only folder that includes <zstd.h>. Contexts are kept per thread and freed at its end. */
#ifndef MLKV_CODEC_COMPRESS_H
#define MLKV_CODEC_COMPRESS_H

#include "codec/dictionary.h"

#include <mlkv/base.h>
#include <stdbool.h>

/* Appends one zstd frame (content size in it) of raw to *out if it is smaller than limit bytes.
 * 0, MLKV_ABSENT (not smaller), MLKV_E_MEMORY. A parameter that this libzstd refuses falls away: then it is plain zstd at the
 * default level. */
int compress_append(mlkv_slice raw, int level, size_t limit, mlkv_buffer *out);

/* The same without looking for matches: only the frequencies of bytes count, Huffman codes in an ordinary frame. Several times faster, both
 * ways, and as small where there are no matches. */
int compress_append_entropy(mlkv_slice raw, size_t limit, mlkv_buffer *out);

/* One frame coded with a dictionary, without its magic number (4 bytes, always the same) and without the dictionary's, which a cell says.
 * limit: of what is appended. 0, MLKV_ABSENT, MLKV_E_MEMORY. */
int compress_append_with(const dictionary_coder *with, mlkv_slice raw, size_t limit,
                         mlkv_buffer *out);
/* Decodes such a frame into exactly raw_size bytes, not 0, at `to`. MLKV_E_CORRUPT, MLKV_E_MEMORY. */
int decompress_with(const dictionary_decoder *with, mlkv_slice frame, void *to, size_t raw_size);
/* Whether these bytes begin as such a frame of raw_size bytes does, as decompress_check. */
int decompress_check_with(mlkv_slice frame, uint64_t raw_size);

/* Decodes a frame into exactly raw_size bytes at `to`. MLKV_E_CORRUPT if it is no such frame. */
int decompress_into(mlkv_slice frame, void *to, size_t raw_size);

/* Whether `frame` begins an ordinary zstd frame that says it holds exactly raw_size bytes, and can: zstd's densest block is
 * 128 KiB in 4 bytes. Looks at the frame's header only; to be asked before memory of raw_size bytes is allocated.
 * 0 or MLKV_E_CORRUPT. */
int decompress_check(mlkv_slice frame, uint64_t raw_size);

/* At least `size` bytes of this thread's, until its next call; NULL: out of memory (said). Up to 4 MiB are kept until the thread ends. */
void *compress_scratch(size_t size);

/* Tests only: from now on the parameters beyond the level are refused, as an older libzstd would. */
void compress_refuse_parameters(bool refuse);

#endif
