/* file.h - tensors from and into files: safetensors and numpy's .npy.
 *
 * Files are read and written piece by piece: memory is bounded by block_bytes (32 MiB by default, or
 * one chunk if that is more), as much again for what is compressed, some 200 bytes a chunk and 700 a
 * tensor, and the header of a safetensors file, which is at most 100 MB, twice. A tensor of any size can
 * be imported and exported. (Chunks of less than 32 KiB are held in memory, compressed, until the end.)
 *
 * Import. The bytes are those of strangers: the whole header is checked before the store is touched,
 * and nothing in it is believed that does not agree with the file's size. All tensors of a file become
 * visible at once, to every process, or, if anything is wrong, none does; a process that is killed has
 * imported all or nothing, and leaves nothing behind that the store does not clean up. A tensor of the
 * same dtype and shape that stands under a key is changed as by mlkv_tensor_put: only chunks that
 * differ are written. Keys that are imported have no expiry afterwards. A file that somebody writes to
 * or cuts meanwhile is refused, as far as its size, its time of change or the bytes say so (it is read,
 * not mapped: no signal). In a transaction the import is a part of it.
 *
 * Export. All is of one moment (of a live view a snapshot is taken). The file is written beside its
 * place under no name, or a hidden one (.NAME.XXXXXXXX) where the file system does not know
 * files without one; it is synced, and then takes the place of what is at path. After a failure path is
 * untouched, and a killed process leaves at most the hidden file. A program that limits the size of its
 * files (RLIMIT_FSIZE) ignores SIGXFSZ.
 *
 * BOOL elements are 0 or 1; a file with any other byte there is refused.
 *
 * Any thread; none of these functions may be cancelled. Results, beside those at each: MLKV_E_ARGUMENT,
 * MLKV_E_FORMAT (the file is not as it must be, and the detail says where), MLKV_E_IO (also a file that
 * is not there, ends early, or was changed), MLKV_E_PERMISSION, MLKV_E_FULL, MLKV_E_TYPE (a key holds
 * another type), MLKV_E_SIZE, MLKV_E_READONLY, MLKV_E_BUSY, MLKV_E_MEMORY, MLKV_E_CORRUPT, MLKV_E_OWNER,
 * MLKV_E_POISONED; from an import MLKV_E_DURABILITY (it is visible then). After any other failure the
 * store is as it was, and outputs are untouched. Redis has nothing of the kind. Since 0.1.
 */
#ifndef MLKV_FILE_H
#define MLKV_FILE_H

#include <mlkv/base.h>

MLKV_BEGIN_DECLS

/* Zero means the default; unknown non-zero bytes past a known size are refused. */
typedef struct {
    size_t size;        /* sizeof(mlkv_file_options) */
    size_t chunk_bytes; /* of what is imported: as in mlkv_tensor_options */
    size_t
        block_bytes; /* of a file that are held in memory at once; default 32 MiB, at most 1 GiB */
    size_t contiguous; /* 1: tensors are imported as mlkv_tensor_options says of it, to be lent */
} mlkv_file_options;

/* What was done. Start it as {.size = sizeof info}. */
typedef struct {
    size_t size;             /* in: sizeof(mlkv_file_info) */
    uint64_t tensors;        /* in the file */
    uint64_t bytes;          /* of their elements, uncompressed */
    uint64_t chunks_written; /* by an import: as mlkv_tensor_put_counted says */
} mlkv_file_info;

/* Stores all tensors of a safetensors file, each under prefix + its name (the bytes of its UTF-8).
 * options, and every output, may be NULL. *ret_keys: the keys, in the order of the file's header.
 * *ret_metadata: the texts of its "__metadata__": name, text, name, text ...; it is not stored.
 *
 * Dtypes: F64 F32 F16 BF16 F8_E4M3 F8_E5M2 I64 I32 I16 I8 U64 U32 U16 U8 BOOL C64; up to 8 dimensions.
 * Refused are a header that is longer than the file or 100 MB, does not begin with '{', is no JSON of the
 * format's own grammar (nothing else nests, so nothing is skipped), has a name twice, or texts
 * that are not UTF-8; tensors whose data overlap, leave bytes to nobody, or are not as many as dtype and
 * shape say.
 *
 * Cost: reads the file once, O(bytes) to checksum, O(changed bytes) to compress and write; at the end
 * the writer lock is held for some 2 us a changed chunk.
 * Returns MLKV_OK. */
MLKV_API int mlkv_safetensors_import(mlkv *view, const char *path, mlkv_slice prefix,
                                     const mlkv_file_options *options, mlkv_rows *ret_keys,
                                     mlkv_rows *ret_metadata, mlkv_file_info *ret_info);

/* Writes all tensors whose keys begin with prefix into a new safetensors file, under what follows the
 * prefix; other keys are passed over. metadata: n texts for "__metadata__", each name once. options, and
 * every output, may be NULL. *ret_keys: the keys, in the order of the file.
 *
 * The data begin at a multiple of 64; tensors stand in the order of the reference implementation (by
 * dtype, the largest elements first, then by name), so each begins at a multiple of its elements' size.
 *
 * Cost: O(bytes), and 100 ns a key that begins with prefix.
 * Returns MLKV_OK; MLKV_ABSENT (no tensor is there: no file is written); MLKV_E_ARGUMENT: also a tensor
 * of a dtype that the format does not have (c128), a key or metadata that are not UTF-8, a header of
 * more than 100 MB. */
MLKV_API int mlkv_safetensors_export(mlkv *view, const char *path, mlkv_slice prefix,
                                     const mlkv_pair *metadata, size_t n,
                                     const mlkv_file_options *options, mlkv_rows *ret_keys,
                                     mlkv_file_info *ret_info);

/* Stores the array of a .npy file (version 1.0, 2.0 or 3.0) under a key. options and ret_info may be
 * NULL. dtype: 0, or what the elements are in truth: an mlkv_dtype that the file must have, or bf16 or
 * f8, which numpy lacks, for unsigned ('u') or raw ('V') elements of their size.
 *
 * Big-endian elements are turned round. Elements in Fortran's order are put into rows in memory, so up
 * to block_bytes only. Refused are headers of more than 10,000 bytes (numpy's own limit) or that are no
 * dict of 'descr', 'fortran_order' and 'shape'; structured elements, texts, times, and objects: nothing
 * is ever unpickled.
 *
 * Cost: as mlkv_safetensors_import.
 * Returns MLKV_OK. */
MLKV_API int mlkv_npy_import(mlkv *view, mlkv_slice key, const char *path, int dtype,
                             const mlkv_file_options *options, mlkv_file_info *ret_info);

/* Writes a tensor into a new .npy file of version 1.0, which numpy.load reads. bf16 and f8, which numpy
 * lacks, are written as unsigned numbers of their size. options and ret_info may be NULL.
 *
 * Cost: O(bytes).
 * Returns MLKV_OK, MLKV_ABSENT (no such key: no file is written). */
MLKV_API int mlkv_npy_export(mlkv *view, mlkv_slice key, const char *path,
                             const mlkv_file_options *options, mlkv_file_info *ret_info);

MLKV_END_DECLS

#endif
