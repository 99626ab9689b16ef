/* tensor.h - what the tensor files share: the descriptor, the chunks, and changes prepared outside
 * the lock.
 *
 * A tensor is a K record whose own part is its descriptor, and a T record for each chunk of whole
 * rows. The header's count is the number of chunks.
 *
 * Descriptor, after the 32 bytes of the K header (LE):
 *   offset size
 *   0      1    dtype (mlkv_dtype)
 *   1      1    dimensions, 0..8
 *   2      1    flags: 1 contiguous: chunks that are blobs can be lent, see tensor_loan.c
 *   3      5    zero
 *   8      8    rows of a chunk; the last one may have fewer. 1 if the tensor has no bytes
 *   16     8    version: 1 at creation, + 1 with each put, write, add; not with folding
 *   24     8    stored bytes: the sum of the T records' third field
 *   32     8 n  shape, one number a dimension
 *
 * T value, key id(8) chunk(8):
 *   0      8    xxh3 of the chunk's raw bytes (LE), seed 0
 *   8      4    raw bytes
 *   12     4    stored bytes: the cell's size, for a blob with that of its B values; accounting
 *   16          cell of the raw bytes
 *
 * Rows that were changed by few stand beside their chunks until they are folded into them
 * (tensor_rows.c, tensor_rows_fold.c): P records, key id(8) chunk(8) row in the chunk(8), value the row's
 * bytes, which count in place of those in the chunk. The K record says how many there are
 * (types/layout.h), and a Q record names the key.
 *
 * A tensor without bytes (some dimension is 0) has no T records. The product of all dimensions that
 * are not 0, times the dtype's size, is below 2^62. A row is at most TENSOR_ROW_BYTES_MAX.
 */
#ifndef MLKV_TYPES_TENSOR_H
#define MLKV_TYPES_TENSOR_H

#include "types/entry.h"

#include <mlkv/tensor.h>

enum {
    TENSOR_DESCRIPTOR_SIZE = 32, /* without the shape */
    TENSOR_DESCRIPTOR_SIZE_MAX = TENSOR_DESCRIPTOR_SIZE + 8 * MLKV_DIMENSIONS_MAX,
    TENSOR_CHUNK_HEAD_SIZE = 16,
    TENSOR_CHUNK_BYTES_DEFAULT = 256 << 10, /* a frame for a changed chunk stays small, and its copy
                                               stays in a core's own cache */
    TENSOR_CHUNK_BYTES_MAX = 1 << 30,
    /* Up to here a chunk that was changed in place goes through the journal uncompressed; a larger
       one is prepared outside the lock. */
    TENSOR_INLINE_CHUNK_MAX = 1 << 20,
    /* The same for all chunks of one call: a batch of this size is still held in memory gladly. */
    TENSOR_INLINE_TOTAL_MAX = 64 << 20,
    /* A row beside its chunk takes this much more than its bytes: key, seal, LMDB's and the frame's. */
    TENSOR_ROW_OVERHEAD = 64,
    TENSOR_ROW_BESIDE_MAX = 64 << 10, /* a larger one gains nothing from not being in its chunk */
    TENSOR_ROW_BESIDE_PART =
        4, /* no more stand beside a chunk than this part of its bytes, about */
    TENSOR_ROW_BESIDE_CHUNK_MIN = 4 << 10, /* a smaller chunk is written as fast as looked for */
};
#define TENSOR_ROW_BYTES_MAX ((uint64_t)0xf0000000) /* so that a chunk's size fits 32 bits */

/* A descriptor with everything that follows from it. */
typedef struct {
    mlkv_tensor tensor; /* unused dimensions are 0 */
    uint64_t version;
    uint64_t stored_bytes; /* of the chunks */
    uint64_t beside;       /* rows beside them; 0: nobody need look for any */
    uint64_t chunk_rows;
    uint64_t rows, row_bytes, raw_bytes; /* derived */
    uint64_t chunks;                     /* derived */
    bool contiguous;
} tensor_form;

/* --- tensor_form.c --- */
/* From a caller's tensor: MLKV_E_ARGUMENT (dtype, dimensions), MLKV_E_SIZE (too large). version,
 * stored_bytes and beside are 0. contiguous: a chunk is made larger until it has whole pages. */
int tensor_form_make(const mlkv_tensor *tensor, size_t chunk_bytes, bool contiguous,
                     tensor_form *ret_form);
/* The size of a chunk if nothing is said of it. */
size_t tensor_chunk_default(bool contiguous);
/* From stored bytes: MLKV_E_CORRUPT names what is wrong. beside, of which they say nothing, is 0. */
int tensor_form_read(mlkv_slice descriptor, tensor_form *ret_form);
size_t tensor_form_write(const tensor_form *form,
                         unsigned char ret_bytes[TENSOR_DESCRIPTOR_SIZE_MAX]);
/* dtype and shape are equal. */
bool tensor_same(const mlkv_tensor *a, const mlkv_tensor *b);
/* dtype, shape, chunk_rows and contiguous are equal. */
bool tensor_form_same(const tensor_form *a, const tensor_form *b);
/* "f32[3, 4]" in one of two per-thread buffers. */
const char *tensor_text(const mlkv_tensor *tensor);
/* Raw bytes of a chunk, which is below form->chunks. */
size_t tensor_chunk_size(const tensor_form *form, uint64_t chunk);
/* MLKV_E_SHAPE unless rows [first, first + count) are there and take `size` bytes. */
int tensor_check_rows(mlkv_slice key, const tensor_form *form, uint64_t first, uint64_t count,
                      size_t size);

/* --- tensor.c --- */
/* The form from a K record's own part, which must agree with the header. MLKV_E_CORRUPT names the tensor. */
int tensor_read_own(mlkv_slice name, const key_header *header, mlkv_slice rest,
                    tensor_form *ret_form);
/* What callers are told of a form: as much as ret_info->size says. */
void tensor_describe(const tensor_form *form, mlkv_tensor_info *ret_info);
/* entry_open for a tensor, and its form. */
int tensor_open(op *o, mlkv_slice key, entry *ret_entry, tensor_form *ret_form);
/* entry_store with the form's descriptor; the header's count becomes the number of chunks. */
int tensor_store(op *o, entry *self, const tensor_form *form);
int tensor_check_arguments(mlkv *view, mlkv_slice key);
int tensor_check_info(const mlkv_tensor_info *info);

/* --- tensor_chunk.c --- */
typedef struct {
    uint64_t checksum;
    uint32_t raw_size;
    uint32_t stored_size;
    /* Not stored with them, and 0 until rows_note: the rows beside the chunk, how many and a checksum. */
    uint64_t beside, beside_checksum;
} chunk_head;

/* Scratch of this thread, freed at its end: [0] takes T values, [1] decoded chunks, [2] rows. NULL:
 * out of memory. */
mlkv_buffer *chunk_scratch(void);
/* Gives memory back if it has grown beyond what is worth keeping. */
void chunk_scratch_trim(void);
/* The record as stored: head and cell, borrowed from *value. MLKV_E_CORRUPT if it is missing or not
 * that chunk of the form. */
int chunk_get(op *o, const tensor_form *form, uint64_t id, uint64_t chunk, mlkv_buffer *value,
              chunk_head *ret_head, mlkv_slice *ret_cell);
/* The result; of MLKV_E_CORRUPT the detail then begins with the chunk's number. */
int chunk_named(int result, uint64_t chunk);
/* Splits and checks a T value. */
int chunk_split(const tensor_form *form, uint64_t id, uint64_t chunk, mlkv_slice value,
                chunk_head *ret_head, mlkv_slice *ret_cell);
/* The same of a chunk that is to be compared: with what stands beside it. */
int chunk_note(op *o, const tensor_form *form, uint64_t id, uint64_t chunk, mlkv_buffer *value,
               chunk_head *ret_head, mlkv_slice *ret_cell);
/* Bytes [offset, offset + size), which are whole rows, of a chunk and what stands beside it into `to`;
 * compared with the checksum if that is all of it, when *ret_head is as of chunk_note. */
int chunk_read(op *o, const tensor_form *form, uint64_t id, uint64_t chunk, uint64_t offset,
               size_t size, void *to, chunk_head *ret_head);
/* MLKV_E_CORRUPT unless these are the chunk's own raw bytes, without what stands beside it. */
int chunk_check(const chunk_head *head, uint64_t id, uint64_t chunk, const void *raw);
/* All raw bytes, without what stands beside it, of a chunk whose cell cannot be borrowed, into *buffer, compared with the checksum. */
int chunk_decode(op *o, const chunk_head *head, uint64_t id, uint64_t chunk, mlkv_slice cell,
                 mlkv_buffer *buffer);
/* Whether a part of it is had by decoding all of it: it is compressed, and no larger than a piece of a
 * blob. */
bool chunk_is_packed(const chunk_head *head, mlkv_slice cell);
/* Such a chunk. What follows is for tasks, too; outside one a result goes through op_judge. */
typedef struct {
    uint64_t id, chunk;
    chunk_head head;
    mlkv_slice cell;
} packed_chunk;
/* Copies a few parts of it: those of a chunk that was read lately from memory, where it is kept decoded, those of another for as little as
 * its form allows. A part alone is covered by other checksums than the chunk's. */
int chunk_copy(const op *o, const packed_chunk *self, const blob_part *parts, size_t n);
/* All its raw bytes, kept from before, or decoded into this thread's scratch [1] and compared with the
 * checksum. To be given back. */
typedef struct {
    const unsigned char *raw;
    kept_bytes *kept;
} chunk_loan;
int chunk_borrow(const op *o, const packed_chunk *self, chunk_loan *ret_loan);
void chunk_return(const op *o, const chunk_loan *loan);
/* In a rule that puts the chunk anew: its bytes in this thread's scratch, decoded only if they are
 * needed (else *ret_raw may be NULL); what its cell refers to is let go of, and the rows beside it are
 * deleted. The form follows by chunk_forget. */
int chunk_take(op *o, const tensor_form *form, uint64_t id, uint64_t chunk, bool needed,
               chunk_head *ret_head, const unsigned char **ret_raw);
/* Puts a chunk that is stored raw: `size` bytes are to be written at *ret_raw before the next op_
 * call, and then chunk_finish_raw is told of them, which returns the stored size. */
int chunk_reserve_raw(op *o, uint64_t id, uint64_t chunk, size_t size, unsigned char **ret_raw);
uint32_t chunk_finish_raw(unsigned char *raw, size_t size);
void chunk_write_head(const chunk_head *head, unsigned char ret_bytes[TENSOR_CHUNK_HEAD_SIZE]);
/* The form without what a chunk, and the rows that were beside it, took. */
static inline void chunk_forget(tensor_form *form, const chunk_head *head)
{
    form->stored_bytes -=
        head->stored_size < form->stored_bytes ? head->stored_size : form->stored_bytes;
    form->beside -= head->beside < form->beside ? head->beside : form->beside;
}
/* Whether a put of the same bytes may leave it as it is stored: as it is, a contiguous tensor must be lent. */
static inline bool chunk_is_settled(const tensor_form *form, mlkv_slice cell)
{
    return !form->contiguous || *(const unsigned char *)cell.data == CELL_BLOB;
}
static inline bool chunk_head_same(const chunk_head *a, const chunk_head *b)
{
    return a->checksum == b->checksum && a->raw_size == b->raw_size &&
           a->beside_checksum == b->beside_checksum;
}

/* --- tensor_rows.c: rows that stand beside their chunks --- */
/* Where to look for rows: of life `id`, as the form says. */
typedef struct {
    op *o;
    const tensor_form *form;
    uint64_t id, chunk;
} rows_at;

enum { ROWS_FEW = 8 }; /* are looked up one by one */
/* A row of the chunk, by its number in it: borrowed until the next op_ call. 0; MLKV_ABSENT: it is in
 * the chunk; MLKV_E_CORRUPT. */
int rows_get(const rows_at *at, uint64_t row, mlkv_slice *ret_bytes);
/* Calls `visit` with each row from `first` on, in their order; what it says other than 0 ends it, and
 * MLKV_ABSENT is no more than that. The record key is borrowed. */
typedef int (*rows_visit)(op *o, void *context, mlkv_slice key, uint64_t row,
                          const unsigned char *bytes);
int rows_each(const rows_at *at, uint64_t first, rows_visit visit, void *context);
/* Copies those of rows [first, first + count) over the chunk's, which are at `to`. *ret_found (NULL:
 * not wanted): how many. */
int rows_lay(const rows_at *at, uint64_t first, uint64_t count, unsigned char *to,
             uint64_t *ret_found);
/* All of a chunk: says in *head what they are, lays them over its bytes (NULL: not wanted), and deletes
 * their records if `remove`. */
int rows_note(const rows_at *at, unsigned char *to, bool remove, chunk_head *head);
/* What a P record says. MLKV_E_CORRUPT. */
int rows_split(const tensor_form *form, mlkv_slice key, mlkv_slice value, uint64_t *ret_chunk,
               uint64_t *ret_row);
/* Whether so many rows of this chunk may stand beside it. */
bool rows_may_stand(const tensor_form *form, uint64_t chunk, uint64_t count);

/* --- tensor_group.c: many chunks, read by several threads --- */
struct plan_entry;
typedef struct {
    uint64_t chunk;
    chunk_head head;
    mlkv_slice cell;   /* in `value` */
    mlkv_buffer value; /* the T value */
    /* group_read: these raw bytes are wanted, there */
    uint64_t offset;
    size_t size;
    unsigned char *to;
    /* gathering: these rows */
    const struct plan_entry *entries;
    size_t n;
} chunk_part;

typedef struct {
    op *o;
    uint64_t id;
    chunk_part *parts;
    size_t count, capacity;
    uint64_t bytes; /* of raw chunks */
} chunk_group;      /* start as {0}, or with group_begin in a new op */

/* Whether reading so many bytes of such chunks is worth several threads. */
bool group_pays(const tensor_form *form, uint64_t bytes);
/* Nothing is in it; its memory is kept. */
void group_begin(chunk_group *self);
/* Adds a part, whose cell is in *value; that buffer is exchanged for another. */
int group_take(chunk_group *self, op *o, uint64_t id, const chunk_part *part, mlkv_buffer *value);
/* It should be run before more is added. */
bool group_is_full(const chunk_group *self);
/* Runs a task for each part, by its number, and empties the group. */
int group_run(chunk_group *self, op_task task, void *context);
/* The same: reads each part to where it is wanted; whole chunks are compared with their checksums. */
int group_read(chunk_group *self);
void group_done(chunk_group *self);

/* --- tensor_prepared.c: chunks encoded outside the lock --- */
typedef struct {
    uint64_t chunk;
    chunk_head noted; /* what stood there when it was prepared; raw_size 0: nothing known */
    chunk_head head;  /* of the new bytes */
} prepared_chunk;

typedef struct {
    prepared_chunk *items;
    op_value *values; /* one an item */
    size_t count, capacity;
} prepared_chunks;

/* Encodes the raw bytes of n more chunks (stored_size is filled in); of a contiguous tensor as blobs that
 * can be lent. After a failure the list can only be freed. */
int prepared_add(mlkv *view, prepared_chunks *self, const tensor_form *form,
                 const prepared_chunk *chunks, const mlkv_slice *raws, size_t n, bool as_blobs);
/* Whether chunks of which so many bytes are to be prepared should all be blobs. */
bool prepared_as_blobs(const tensor_form *form, uint64_t total_bytes);
/* Items [first, first + n) become those of another list; what stays in their place holds nothing. */
int prepared_move(prepared_chunks *self, size_t first, size_t n, prepared_chunks *to);
/* Whether its chunks are large enough to be blobs, which copies share, however few there are. */
bool prepared_shareable(const tensor_form *form);
/* Takes the items out for which drop[chunk - *first] is set; first NULL: drop[place of the item]. */
void prepared_drop(mlkv *view, prepared_chunks *self, const bool *drop, const uint64_t *first);
/* In the rule: puts all of them as chunks of life `id`. replace: chunks stand there, whose cells are
 * released, and the rows beside them deleted. Keeps form->stored_bytes and form->beside right. */
int prepared_put(op *o, prepared_chunks *self, tensor_form *form, uint64_t id, bool replace);
/* Frees; blobs that no committed operation adopted are deleted. */
void prepared_done(mlkv *view, prepared_chunks *self);

/* --- tensor_read.c: many chunks of one state --- */
/* A pass over a tensor in several operations, all of which see the same id and version; if they do
 * not, it begins anew, and at last does everything in one. The caller's own state begins with it. */
typedef struct tensor_pass {
    mlkv_slice key;
    /* Goes on from `at`, by about group_bytes of chunks: sets reached, and done at the end. It may be
       run again with the same `at`. */
    int (*step)(op *o, struct tensor_pass *self, const tensor_form *form);
    uint64_t group_bytes;
    uint64_t id, version; /* of the life that is open */
    uint64_t at, reached; /* in the step's own measure, from 0 */
    bool begun, moved, done;
} tensor_pass;
/* MLKV_E_CORRUPT names the tensor. */
int tensor_pass_run(mlkv *view, tensor_pass *self);

/* --- tensor_loan.c --- */
/* One more holder, who also ends by mlkv_loan_return. Returns whether its memory is private. */
bool loan_share(mlkv_loan *loan, const mlkv_tensor **ret_tensor, void **ret_data);

/* --- tensor_fold.c --- */
/* Brings the chunks of a contiguous tensor that stand in records to where they can be lent; the data stay, and so does the
 * version. MLKV_ABSENT: there is no such tensor any more. MLKV_E_READONLY. */
int tensor_fold(mlkv *view, mlkv_slice key);

/* --- tensor_plan.c: row numbers in the order of the rows --- */
typedef struct plan_entry {
    uint64_t row;
    size_t at; /* its place in the caller's array */
} plan_entry;

typedef struct {
    plan_entry *entries; /* by row, then by place */
    size_t first, n;     /* places [first, first + n) */
} row_plan;

/* What can be said before the numbers are looked at: MLKV_E_ARGUMENT. */
int plan_check_arguments(const uint64_t *rows, size_t n);
/* MLKV_E_SHAPE unless n rows take `size` bytes. */
int plan_check_size(mlkv_slice key, const tensor_form *form, size_t n, size_t size);
/* MLKV_E_SHAPE unless all rows are there; names one that is not. */
int plan_check_rows(mlkv_slice key, const tensor_form *form, const row_plan *self);
/* Of rows[first, first + n). Start *self as {0}; what it held before is freed. */
int plan_make(const uint64_t *rows, size_t first, size_t n, row_plan *self);
/* The first entry whose row is not below this one, or n. */
size_t plan_find(const row_plan *self, uint64_t row);
void plan_done(row_plan *self);

/* --- tensor_change.c, tensor_change_large.c --- */
typedef enum {
    CHANGE_WRITE, /* written over; alpha is unused */
    CHANGE_ADD,   /* += alpha * data */
    CHANGE_SCALE, /* *= alpha, the whole tensor; data is unused */
} change_kind;

/* A change of rows. */
typedef struct {
    change_kind kind;
    mlkv_slice key;
    const mlkv_tensor *expected; /* the whole of such a tensor; NULL: the row range */
    const row_plan *plan;        /* these rows, `count` of them; NULL: the row range */
    uint64_t first, count;       /* rows */
    const unsigned char *data;
    size_t size;
    double alpha;
    bool large; /* set by the rule: too much to do under the lock */
} tensor_change;

/* Opens the tensor, checks the change against it, and completes first and count. */
int change_open(op *o, tensor_change *change, entry *ret_entry, tensor_form *ret_form);
/* All chunks that it touches are in [*ret_first, *ret_end). */
void change_chunks(const tensor_change *change, const tensor_form *form, uint64_t *ret_first,
                   uint64_t *ret_end);
/* The first one from this chunk on that it touches, or end. */
uint64_t change_next(const tensor_change *change, const tensor_form *form, uint64_t chunk,
                     uint64_t end);
/* Whether the chunk's new bytes depend on its old ones. */
bool change_needs_old(const tensor_change *change, const tensor_form *form, uint64_t chunk);
/* row = data, or row += alpha * data: of a change of such a kind. */
void change_row(const tensor_change *change, const tensor_form *form, unsigned char *row,
                const unsigned char *data);
/* The chunk's new raw bytes. old may be NULL if it is not needed. */
void change_apply(const tensor_change *change, const tensor_form *form, uint64_t chunk,
                  const unsigned char *old, unsigned char *restrict to);
/* What of a chunk a change of a range touches. */
typedef struct {
    size_t offset, size;       /* in the chunk's raw bytes */
    const unsigned char *data; /* size bytes */
} change_part;
change_part change_part_of(const tensor_change *change, const tensor_form *form, uint64_t chunk);
/* Does it, in whichever way. */
int change_run(mlkv *view, tensor_change *change);
int change_run_large(mlkv *view, tensor_change *change);

/* --- tensor_change_rows.c: the few rows of a chunk, put beside it --- */
/* Whether what the change touches of the chunk is to be put so, by its number alone. */
bool change_is_few(const tensor_change *change, const tensor_form *form, uint64_t chunk);
/* Whether by now too much stands beside the chunk, which had better be written whole. Looks now and
 * then. */
int change_find_full(op *o, const tensor_form *form, uint64_t id, uint64_t chunk, bool *ret_full);
/* Puts the new bytes of the rows, and counts in form->beside those that did not stand there. */
int change_put_rows(op *o, const tensor_change *change, tensor_form *form, uint64_t id,
                    uint64_t chunk);

#endif
