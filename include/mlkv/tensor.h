/* tensor.h - arrays of numbers under a key, in chunks of whole rows.
 *
 * A tensor has a dtype and up to 8 dimensions, row-major and dense. Its rows (the first dimension;
 * a scalar is one row) are kept in chunks, each of which is compressed, checked and replaced by
 * itself: reading or changing a few rows touches the chunks they lie in and nothing else.
 *
 * Data pointers need no alignment; numbers are in the machine's byte order (little-endian). Data is
 * borrowed for the call and must not change during it. Every function may be called by any thread
 * on a live view or a snapshot, and by its owner on a transaction; each call is atomic: other
 * threads and processes see all of a write or nothing of it, and a read is of one moment.
 *
 * Results that any of these functions may give, beside those at each: MLKV_E_ARGUMENT (NULL where
 * there must be something), MLKV_E_TYPE (the key holds another type), MLKV_E_SIZE (key over 16
 * MiB), MLKV_E_MEMORY, MLKV_E_IO, MLKV_E_CORRUPT (naming tensor and chunk), MLKV_E_OWNER,
 * MLKV_E_POISONED, MLKV_E_BUSY; writes also MLKV_E_READONLY (snapshot, read-only opening),
 * MLKV_E_FULL and MLKV_E_DURABILITY. After a failure nothing was written to the store, but for the
 * last: then the write is visible, and whether it is durable is not known.
 *
 * Redis has no such type; the nearest is a string with GETRANGE and SETRANGE, or RedisAI's
 * AI.TENSORSET and AI.TENSORGET. Since 0.1.0.
 */
#ifndef MLKV_TENSOR_H
#define MLKV_TENSOR_H

#include <mlkv/base.h>

MLKV_BEGIN_DECLS

/* What an element is. The values stand in files and never change. */
typedef enum {
    MLKV_F64 = 1,
    MLKV_F32 = 2,
    MLKV_F16 = 3,    /* IEEE binary16 */
    MLKV_BF16 = 4,   /* the upper half of an f32 */
    MLKV_F8E4M3 = 5, /* OCP 8-bit, "fn": no infinities, largest 448 */
    MLKV_F8E5M2 = 6, /* OCP 8-bit, with infinities, largest 57344 */
    MLKV_I64 = 7,
    MLKV_I32 = 8,
    MLKV_I16 = 9,
    MLKV_I8 = 10,
    MLKV_U64 = 11,
    MLKV_U32 = 12,
    MLKV_U16 = 13,
    MLKV_U8 = 14,
    MLKV_BOOL = 15, /* one byte; 0 is false, 1 true */
    MLKV_C64 = 16,  /* complex of two f32 */
    MLKV_C128 = 17, /* complex of two f64 */
} mlkv_dtype;

enum { MLKV_DIMENSIONS_MAX = 8 };

/* A tensor's description. Dimensions of size 0 are legal: such a tensor has a shape and no bytes.
 * The product of all dimensions that are not 0, times the dtype's size, must be below 2^62; a row
 * may have at most 0xf0000000 bytes (3.75 GiB). */
typedef struct {
    int32_t dtype;       /* mlkv_dtype */
    uint32_t dimensions; /* 0 (a scalar) to 8 */
    uint64_t shape[8]; /* row-major; unused ones are not looked at; 0 where the library fills it */
} mlkv_tensor;

/* How a tensor is stored. Zero means the default; unknown non-zero bytes past a known size are
 * refused. */
typedef struct {
    size_t size;        /* sizeof(mlkv_tensor_options) */
    size_t chunk_bytes; /* raw bytes of a chunk, rounded down to whole rows, at least one; default
                           256 KiB, max 1 GiB. Smaller: cheaper changes of few rows. Larger: better
                           compression, fewer records */
    size_t
        contiguous; /* 1: stored uncompressed, so that it can be lent without a copy (mlkv_tensor_borrow).
                          Chunks are then about 1 MiB by default, and have whole pages: so many rows as that
                          takes, at most 3.75 GiB. Each takes a page more. Since 0.1 */
} mlkv_tensor_options;

typedef struct {
    size_t size; /* in: sizeof(mlkv_tensor_info); the library fills at most this much */
    mlkv_tensor tensor;
    uint64_t raw_bytes;
    uint64_t stored_bytes; /* of all chunks after compression, and of rows beside them; what holds
                              the records together is not counted */
    uint64_t rows;         /* shape[0], 1 for a scalar */
    uint64_t row_bytes;
    uint64_t chunk_rows; /* rows of a chunk; the last one may have fewer */
    uint64_t chunks;
    uint64_t version; /* 1 at the first put; grows by one with each put or other change, until the
                         key is deleted or put with another form */
    uint64_t contiguous; /* 1: stored so that it can be lent */
} mlkv_tensor_info;

/* Bytes of an element; 0 for an unknown dtype. Cost O(1). */
MLKV_API size_t mlkv_dtype_size(mlkv_dtype dtype);

/* "f32", "bf16", ...; "unknown" for an unknown dtype. Static storage. */
MLKV_API const char *mlkv_dtype_name(mlkv_dtype dtype);

/* Stores a whole tensor, creating the key or replacing the tensor that it holds.
 * data: all bytes, row-major; may be NULL if there are none. options may be NULL.
 *
 * Over a tensor of the same dtype, shape and chunk size only the chunks whose checksum (xxh3, 64
 * bits) differs are written, and its life and version go on; any other tensor is replaced by a new
 * one with version 1. Compression, and the writing of large data to LMDB, happen outside every
 * lock. Above 8 MiB of changed chunks memory use stays bounded (32 MiB at a time are encoded), as
 * long as chunks have 32 KiB or more.
 *
 * Cost: O(bytes) to checksum, O(changed bytes) to compress and write.
 * Returns MLKV_OK; MLKV_E_ARGUMENT (dtype, dimensions, options, data), MLKV_E_SIZE (too large),
 * MLKV_E_TYPE; see the top. */
MLKV_API int mlkv_tensor_put(mlkv *view, mlkv_slice key, const mlkv_tensor *tensor,
                             const void *data, const mlkv_tensor_options *options);

/* The same, and says what it cost: *ret_chunks_written (NULL: not wanted) becomes the number of chunks
 * that were encoded and written. All of them for a new tensor or one of another form; over one of the
 * same form those that differ, 0 if none does: then only the version grew. If others write to the key
 * meanwhile, chunks that they have just written alike may be among them. A checkpoint in which 1 % of
 * the chunks changed writes 1 %. Since 0.1.
 *
 * Cost, returns: as mlkv_tensor_put; on failure *ret_chunks_written is untouched. */
MLKV_API int mlkv_tensor_put_counted(mlkv *view, mlkv_slice key, const mlkv_tensor *tensor,
                                     const void *data, const mlkv_tensor_options *options,
                                     uint64_t *ret_chunks_written);

/* Describes a tensor: *ret_info, whose size the caller has set, is filled.
 *
 * Cost: O(1), one record.
 * Returns MLKV_OK, MLKV_ABSENT (no such key), MLKV_E_ARGUMENT (the size is not one that this
 * library knows). */
MLKV_API int mlkv_tensor_get_info(mlkv *view, mlkv_slice key, mlkv_tensor_info *ret_info);

/* To list tensors with their sizes, open a cursor (key.h) of kind MLKV_SCAN_TENSORS:
 *
 *     mlkv_query query = {.size = sizeof query, .kind = MLKV_SCAN_TENSORS, .prefix = prefix};
 *     mlkv_cursor *cursor;
 *     mlkv_slice name, value;
 *     int result = mlkv_cursor_open(view, &query, &cursor);
 *     while (result == MLKV_OK && (result = mlkv_cursor_next(cursor, &name, &value)) == MLKV_OK) {
 *         const mlkv_tensor_info *info = value.data;
 *         ...
 *     }
 *
 * It walks over the keys that begin with the prefix, passing over those that hold anything else, in the
 * order and as of the one moment that mlkv_cursor_open tells of: so the bytes of all tensors of a model
 * can be summed while others write. value is an mlkv_tensor_info of value.size bytes, aligned
 * as one, and lives until the next call on the cursor. Keys of any length are found by a prefix of any
 * length; those of more than about 480 bytes come in the order of their first bytes only.
 *
 * Cost: one record for each key that begins with the prefix, whatever it holds, 60-110 ns; no chunk is
 * read. MLKV_E_CORRUPT names a tensor whose description cannot be; the next call goes on behind it. */

/* Reads a whole tensor into data, which has `size` bytes; size must be the tensor's raw_bytes.
 * Every chunk is compared with its checksum. On failure data may have been partly written.
 * A tensor that others change all the time while more than 4 MiB of it are read makes the read
 * begin anew, and after a few times holds writers back.
 *
 * Cost: O(bytes).
 * Returns MLKV_OK, MLKV_ABSENT (no such key), MLKV_E_SHAPE (size), MLKV_E_CORRUPT. */
MLKV_API int mlkv_tensor_get(mlkv *view, mlkv_slice key, void *data, size_t size);

/* Where a tensor's memory comes from. Both functions are called by the thread that called the library,
 * between its operations: they may call it themselves, and hold nobody up. */
typedef struct {
    size_t size; /* sizeof(mlkv_allocator) */
    /* `bytes` (never 0) of memory, of any alignment; NULL: there is none. */
    void *(*allocate)(void *context, size_t bytes);
    /* Takes back what allocate gave, when it turned out to be too small, or the read failed. NULL:
       nothing is taken back (an arena). */
    void (*release)(void *context, void *memory);
    void *context; /* of both; the caller's */
} mlkv_allocator;

/* Reads a whole tensor into memory that is allocated for it. *ret_info, whose size the caller has set,
 * describes what was read: it is of the same moment as the data, whatever others put meanwhile.
 * *ret_data becomes raw_bytes of data, the caller's; NULL if there are none, and then nothing was
 * allocated that was not released. allocator may be NULL: then it is memory aligned to 64 bytes, to be
 * freed by free().
 *
 * If the tensor is replaced by a larger one during the call, the memory is released and more is asked
 * for, from the second time on a quarter more than is needed. On failure, and for an absent key, all
 * memory is released and *ret_info and *ret_data are untouched. Since 0.1.
 *
 * Cost: O(bytes), as mlkv_tensor_get, and one record.
 * Returns MLKV_OK, MLKV_ABSENT (no such key), MLKV_E_ARGUMENT (a size that this library does not know),
 * MLKV_E_MEMORY (allocate gave NULL), MLKV_E_CORRUPT. */
MLKV_API int mlkv_tensor_get_allocated(mlkv *view, mlkv_slice key, const mlkv_allocator *allocator,
                                       mlkv_tensor_info *ret_info, void **ret_data);

/* Reads rows [first, first + count) into data; size must be count * row_bytes. count may be 0.
 * Chunks that are read whole are compared with their checksums. On failure data may have been
 * partly written.
 *
 * Cost: O(bytes), and the decompression of the chunks at both ends; some microseconds more for a chunk
 * of a tensor some of whose rows stand beside their chunks.
 * Returns MLKV_OK, MLKV_ABSENT (no such key), MLKV_E_SHAPE (rows that are not there, size),
 * MLKV_E_CORRUPT. */
MLKV_API int mlkv_tensor_read_rows(mlkv *view, mlkv_slice key, uint64_t first, uint64_t count,
                                   void *data, size_t size);

/* Writes over rows [first, first + count); size must be count * row_bytes. The tensor must exist.
 * count may be 0; the version grows in any case.
 *
 * Where few rows of a chunk are touched (up to a quarter of its bytes, rows of up to 64 KiB, chunks of
 * 4 KiB and more), the rows alone are written, and stand beside the chunk: 40 bytes more than a row's
 * own go through the journal. Readers see them in its place. They are folded into the chunk, compressed,
 * by the background once nobody has changed the tensor for 5 s, by whoever writes the chunk whole, and
 * by writers when some quarter of a chunk stands beside it. Any other chunk that is touched is written
 * whole, uncompressed until the next mlkv_tensor_put.
 *
 * Cost: O(bytes of the rows), and of the chunks written whole. The first addition to a row of a
 * compressed chunk decodes it.
 * Returns MLKV_OK, MLKV_ABSENT (no such key), MLKV_E_SHAPE (rows that are not there, size). */
MLKV_API int mlkv_tensor_write_rows(mlkv *view, mlkv_slice key, uint64_t first, uint64_t count,
                                    const void *data, size_t size);

/* Reads rows by an array of their numbers, the lookup of embeddings: row rows[i] is written to data
 * at i * row_bytes. The same row may be asked for several times. size must be n * row_bytes; n may be
 * 0. All rows are of one moment. On failure data may have been partly written.
 *
 * Cost: O(n), and one visit to each chunk that has such rows, in each 4194304 of the n numbers (they
 * are sorted, in 32 bytes of memory a number, so that is the most that is taken). Of a chunk stored
 * uncompressed only the rows are copied; all of it is compared with its seal when this process meets it
 * first in LMDB (the last 10,000 or so are remembered, of tensors over 8 MiB). Any other chunk is decoded and compared with its checksum.
 * Returns MLKV_OK, MLKV_ABSENT (no such key), MLKV_E_SHAPE (a row that is not there, which the detail
 * names, a negative number taken for an unsigned one too; size), MLKV_E_CORRUPT. */
MLKV_API int mlkv_tensor_gather(mlkv *view, mlkv_slice key, const uint64_t *rows, size_t n,
                                void *data, size_t size);

/* Writes over rows by an array of their numbers: row rows[i] gets what stands in data at
 * i * row_bytes; if a row is named several times, the last one. size must be n * row_bytes. n may be
 * 0; the version grows in any case. All of it becomes visible at once. What is written is said at
 * mlkv_tensor_write_rows.
 *
 * Cost: O(n) to sort the numbers, before the lock is taken, in 32 bytes of memory a number; then as
 * mlkv_tensor_write_rows.
 * Returns as mlkv_tensor_gather. */
MLKV_API int mlkv_tensor_scatter(mlkv *view, mlkv_slice key, const uint64_t *rows, size_t n,
                                 const void *data, size_t size);

/* Row rows[i] += alpha * (what stands in delta at i * row_bytes): the sparse update of embeddings,
 * atomic across threads and processes: no sum is lost. Numbers are computed as by mlkv_tensor_add; of a
 * row that is named several times each sum is rounded by itself, in the order of the array.
 *
 * Cost: as mlkv_tensor_scatter; many or large chunks as in mlkv_tensor_add.
 * Returns as mlkv_tensor_gather; MLKV_E_NUMBER as mlkv_tensor_add. */
MLKV_API int mlkv_tensor_scatter_add(mlkv *view, mlkv_slice key, double alpha, const uint64_t *rows,
                                     size_t n, const void *delta, size_t size);

/* Appends `count` rows behind the last one, so that shape[0] grows: a data set that grows. size must be
 * count * row_bytes. The tensor must exist: put one with shape[0] == 0 to begin with. A scalar has no
 * rows to append to. count may be 0; the version grows in any case. *ret_rows (NULL: not wanted)
 * becomes the number of rows, of which the new ones are the last. Others see all of the rows with the
 * new shape, or neither.
 *
 * Only the last chunk, if it has room, and new chunks are written. As long as all rows are in one chunk,
 * its size is the default or what it is, whichever is more, whatever was said when it was put; from two
 * chunks on it stays. A chunk that the rows fill is compressed, outside the lock; one with room left is
 * stored uncompressed.
 *
 * Cost: O(bytes of the rows, and of the last chunk): rows had better be appended many at a time. If
 * others append meanwhile, rows that fill chunks are encoded again, at last within a transaction.
 * Returns MLKV_OK, MLKV_ABSENT (no such key), MLKV_E_SHAPE (a scalar; size), MLKV_E_SIZE (the tensor
 * would become too large). */
MLKV_API int mlkv_tensor_append_rows(mlkv *view, mlkv_slice key, uint64_t count, const void *data,
                                     size_t size, uint64_t *ret_rows);

/* t += alpha * delta, atomic across threads and processes: no sum is lost. `tensor` describes delta
 * and must equal the stored tensor's dtype and shape.
 *
 *   f64, c128      computed in double; the product is rounded, then the sum
 *   f32, c64       the same in float, alpha rounded to float first
 *   f16, bf16, f8  computed as f32, the sum rounded to the nearest, ties to even; what is too large
 *                  becomes infinity, in f8e4m3 NaN
 *   whole numbers  exact if alpha is whole; otherwise alpha * delta is rounded to the nearest whole
 *                  number, halves away from zero; a sum out of range becomes the range's end
 *   bool           old or (delta and alpha != 0)
 *
 * The chunks touched are stored uncompressed until the next mlkv_tensor_put.
 *
 * Cost: O(bytes): four passes over the tensor under the writer lock. Above 64 MiB, or with chunks
 * above 1 MiB, it is computed outside the lock, again if others changed the same chunks meanwhile,
 * at last within a transaction.
 * Returns MLKV_OK, MLKV_ABSENT (no such key), MLKV_E_SHAPE (the detail shows both), MLKV_E_NUMBER
 * (a whole-number or bool tensor and an alpha that is infinite or NaN). */
MLKV_API int mlkv_tensor_add(mlkv *view, mlkv_slice key, double alpha, const mlkv_tensor *tensor,
                             const void *delta);

/* The same for rows [first, first + count) only: delta has `size` = count * row_bytes bytes of the
 * tensor's dtype.
 *
 * Cost: as mlkv_tensor_write_rows.
 * Returns as mlkv_tensor_add; MLKV_E_SHAPE: rows that are not there, size. */
MLKV_API int mlkv_tensor_add_rows(mlkv *view, mlkv_slice key, double alpha, uint64_t first,
                                  uint64_t count, const void *delta, size_t size);

/* t *= factor, the whole tensor, atomic across threads and processes. Computed as the product in
 * mlkv_tensor_add, and rounded once to the tensor's dtype; bool: old and factor != 0. (t += alpha * x
 * is mlkv_tensor_add.)
 *
 * Cost: O(bytes), as mlkv_tensor_add.
 * Returns MLKV_OK, MLKV_ABSENT (no such key), MLKV_E_NUMBER (a whole-number or bool tensor and a factor
 * that is infinite or NaN). */
MLKV_API int mlkv_tensor_scale(mlkv *view, mlkv_slice key, double factor);

/* --- lending: a tensor's data where they stand in the store, without a copy --- */

typedef struct mlkv_loan mlkv_loan;

/* How memory is lent. */
enum {
    MLKV_LOAN_PRIVATE =
        1, /* it may be written to: a page that is becomes a copy, which this process alone sees, and the store
                              never. Without it a write is a fault (SIGSEGV) */
};

/* Lends the data of a tensor that was put with the option contiguous. *ret_data becomes its raw_bytes, row-major, aligned to the machine's
 * pages (4096 bytes): pages of data.mdb mapped a second time, so that nothing is copied, and what is not in memory is read when it is
 * touched. *ret_info (NULL: not wanted), whose size the caller has set, describes them. Of a tensor without bytes *ret_data is an
 * address that is not to be looked at.
 *
 * The loan keeps the state of the store at its beginning, and nothing else, until mlkv_loan_return:
 * overwriting and deleting the tensor, and mlkv_compact, leave the lent bytes as they were. As a
 * snapshot does it keeps pages that were in use then from being used again, so the file grows by
 * what is overwritten meanwhile; mlkv_stats shows loans. All handles may be closed before it is
 * returned: the store then stays open in this process until the last loan is. A forked child may
 * read the memory as long as the parent has not returned the loan (and return its own copy of it,
 * which touches nothing of the parent's).
 *
 * flags: 0 or MLKV_LOAN_PRIVATE. view: live, a snapshot, or a transaction of this thread. Each loan
 * of a live view takes a slot of 4096 that the processes share for readers; those of a snapshot use
 * the snapshot's. Each MiB is a mapping of its own, of which Linux allows a process 65530
 * (vm.max_map_count): about 60 GiB.
 *
 * Chunks that were changed or appended since the put are not where they can be lent. A live view
 * that can write brings them there first, in which it writes them anew; other views are refused.
 *
 * Cost: O(chunks), 2-3 us a MiB, no copy; all of it is compared with the store's seals when this
 * process meets it first (the last 10,000 chunks or so are remembered), which reads it. Any thread.
 * Returns MLKV_OK, MLKV_ABSENT (no such key), MLKV_E_CONTIGUOUS (the tensor is not stored
 * contiguous, or for pages of another size, or was changed and the view cannot write: put it with
 * the option, or again), MLKV_E_MEMORY (also: too many mappings), MLKV_E_BUSY (no slot for a
 * reader; others changed it again and again). Since 0.1. */
MLKV_API int mlkv_tensor_borrow(mlkv *view, mlkv_slice key, unsigned flags,
                                mlkv_tensor_info *ret_info, void **ret_data, mlkv_loan **ret_loan);

/* Ends a loan: its memory is gone. Any thread, also after all handles were closed, and in a forked
 * child. NULL is accepted. Results are those of mlkv_close, if the loan was the last that kept the
 * store open. */
MLKV_API int mlkv_loan_return(mlkv_loan *loan);

/* Lends a tensor to any library that takes DLPack: *ret_managed becomes a DLManagedTensor
 * (versioned == 0) or a DLManagedTensorVersioned (1.0; versioned == 1), as dlpack.h declares them,
 * on device kDLCPU with strides. Whoever takes it calls its deleter, which returns the loan; so
 * does the caller if nobody takes it.
 *
 * The older struct cannot say that memory is read-only, and its consumers write to it: it is always
 * lent with MLKV_LOAN_PRIVATE. The newer one has the flag READ_ONLY unless MLKV_LOAN_PRIVATE is
 * set. f8 types have codes of DLPack 1.1 (10 and 12), bool that of 0.8 (6).
 *
 * Cost, returns: as mlkv_tensor_borrow. Since 0.1. */
MLKV_API int mlkv_tensor_to_dlpack(mlkv *view, mlkv_slice key, unsigned flags, int versioned,
                                   void **ret_managed);

/* The same of a loan that the caller has, whose memory it shares: that lasts until the loan was returned and
 * all deleters were called, in any order. MLKV_E_ARGUMENT: versioned == 0, and the loan is not private.
 *
 * Cost: O(1). Returns MLKV_OK, MLKV_E_ARGUMENT, MLKV_E_MEMORY. Any thread. Since 0.1. */
MLKV_API int mlkv_loan_to_dlpack(mlkv_loan *loan, int versioned, void **ret_managed);

MLKV_END_DECLS

#endif
