/* tensor_form.c - the form of a tensor: dtype, shape, chunks; from the caller, from stored bytes,
 * and back.
 *
 * Bytes owned: the descriptor (tensor.h has its table).
 *
 * Invariants of every tensor_form that leaves this file:
 *  1. dtype is known, dimensions <= 8, unused dimensions are 0.
 *  2. The product of all non-zero dimensions times the dtype's size is below 2^62, so no product of
 *     some of them overflows.
 *  3. raw_bytes == 0: chunks == 0 and chunk_rows == 1. Otherwise 1 <= chunk_rows <= rows, and a
 *     whole chunk is at most TENSOR_ROW_BYTES_MAX.
 *  4. rows = shape[0], 1 for a scalar; chunks = ceil(rows / chunk_rows).
 *
 * Stored bytes are not trusted: what breaks these is MLKV_E_CORRUPT, not undefined behaviour.
 * Locks: none.
 */
#include "types/tensor.h"

#include "base/bytes.h"
#include "base/error.h"
#include "types/dtype.h"

#include <stdio.h>

enum { FLAG_CONTIGUOUS = 1 };

#define TENSOR_BYTES_MAX ((uint64_t)1 << 62) /* sums of two sizes never overflow */

_Static_assert(TENSOR_DESCRIPTOR_SIZE_MAX == 96, "a descriptor with 8 dimensions");
_Static_assert(sizeof(((mlkv_tensor *)0)->shape) == 8 * MLKV_DIMENSIONS_MAX,
               "the shape's bytes are copied as they stand");
_Static_assert(TENSOR_CHUNK_BYTES_MAX < TENSOR_ROW_BYTES_MAX, "any chunk's size fits 32 bits");

/* Invariants 1, 2 and the derived sizes; chunk_rows and chunks are the callers'. A text if it
 * cannot be. */
static const char *derive(tensor_form *form)
{
    const mlkv_tensor *tensor = &form->tensor;
    if (!dtype_known(tensor->dtype))
        return "its dtype is unknown";
    if (tensor->dimensions > MLKV_DIMENSIONS_MAX)
        return "it has more than 8 dimensions";
    uint64_t product = mlkv_dtype_size((mlkv_dtype)tensor->dtype);
    bool empty = false, empty_row = false;
    form->row_bytes = product;
    for (uint32_t i = tensor->dimensions; i-- > 0;) {
        uint64_t size = tensor->shape[i];
        if (size != 0 && product > (TENSOR_BYTES_MAX - 1) / size)
            return "it has 2^62 bytes or more";
        product *= size != 0 ? size : 1;
        empty = empty || size == 0;
        if (i > 0) {
            empty_row = empty;
            form->row_bytes = empty_row ? 0 : product;
        }
    }
    form->rows = tensor->dimensions == 0 ? 1 : tensor->shape[0];
    form->raw_bytes = empty ? 0 : product;
    return NULL;
}

static void derive_chunks(tensor_form *form)
{
    form->chunks = form->raw_bytes == 0
                       ? 0
                       : form->rows / form->chunk_rows + (form->rows % form->chunk_rows != 0);
}

size_t tensor_chunk_default(bool contiguous)
{
    /* With the page before it a chunk that is lent fits one piece of a blob. */
    return contiguous ? BLOB_PIECE_SIZE_MAX - op_page_bytes() : TENSOR_CHUNK_BYTES_DEFAULT;
}

/* The fewest rows that have whole pages: pages are powers of two. */
static uint64_t page_rows(uint64_t row_bytes)
{
    uint64_t page_bytes = op_page_bytes(), power = row_bytes & (~row_bytes + 1);
    return power < page_bytes ? page_bytes / power : 1;
}

/* rows of a chunk are known; a tensor that is all in one chunk needs no whole pages. */
static int fit_pages(tensor_form *form)
{
    uint64_t unit = page_rows(form->row_bytes), rows = form->chunk_rows;
    rows += (unit - rows % unit) % unit;
    form->chunk_rows = rows < form->rows ? rows : form->rows;
    if (form->chunk_rows <= TENSOR_ROW_BYTES_MAX / form->row_bytes)
        return MLKV_OK;
    return error_set(MLKV_E_SIZE,
                     "%s cannot be stored contiguous: the fewest of its rows that have whole pages "
                     "(%llu) take more than %llu bytes",
                     tensor_text(&form->tensor), (unsigned long long)unit,
                     (unsigned long long)TENSOR_ROW_BYTES_MAX);
}

int tensor_form_make(const mlkv_tensor *tensor, size_t chunk_bytes, bool contiguous,
                     tensor_form *ret_form)
{
    tensor_form form = {.tensor = *tensor, .contiguous = contiguous};
    for (uint32_t i = tensor->dimensions; i < MLKV_DIMENSIONS_MAX; i++)
        form.tensor.shape[i] = 0;
    const char *problem = derive(&form);
    if (problem != NULL) {
        int result = !dtype_known(tensor->dtype) || tensor->dimensions > MLKV_DIMENSIONS_MAX
                         ? MLKV_E_ARGUMENT
                         : MLKV_E_SIZE;
        return error_set(result, "the tensor (dtype %d, %u dimensions) cannot be: %s",
                         tensor->dtype, tensor->dimensions, problem);
    }
    form.chunk_rows = 1;
    if (form.raw_bytes != 0) {
        if (form.row_bytes > TENSOR_ROW_BYTES_MAX)
            return error_set(MLKV_E_SIZE, "a row of %s has %llu bytes, more than %llu",
                             tensor_text(tensor), (unsigned long long)form.row_bytes,
                             (unsigned long long)TENSOR_ROW_BYTES_MAX);
        uint64_t rows = chunk_bytes / form.row_bytes;
        form.chunk_rows = rows == 0 ? 1 : rows > form.rows ? form.rows : rows;
        int result = contiguous ? fit_pages(&form) : MLKV_OK;
        if (result != MLKV_OK)
            return result;
    }
    derive_chunks(&form);
    *ret_form = form;
    return MLKV_OK;
}

static int corrupt(const char *what)
{
    return error_set(MLKV_E_CORRUPT, "a tensor's descriptor is wrong: %s", what);
}

int tensor_form_read(mlkv_slice descriptor, tensor_form *ret_form)
{
    static const unsigned char zeros[5];
    const unsigned char *bytes = descriptor.data;
    if (descriptor.size < TENSOR_DESCRIPTOR_SIZE)
        return corrupt("it is too short");
    tensor_form form = {.tensor = {.dtype = bytes[0], .dimensions = bytes[1]},
                        .chunk_rows = load_le64(bytes + 8),
                        .version = load_le64(bytes + 16),
                        .stored_bytes = load_le64(bytes + 24),
                        .contiguous = (bytes[2] & FLAG_CONTIGUOUS) != 0};
    if ((bytes[2] & ~FLAG_CONTIGUOUS) != 0 || memcmp(bytes + 3, zeros, sizeof zeros) != 0)
        return corrupt("bytes that must be 0 are not");
    if (form.tensor.dimensions <= MLKV_DIMENSIONS_MAX) {
        if (descriptor.size != TENSOR_DESCRIPTOR_SIZE + 8 * (size_t)form.tensor.dimensions)
            return corrupt("its size does not fit its dimensions");
        for (uint32_t i = 0; i < form.tensor.dimensions; i++)
            form.tensor.shape[i] = load_le64(bytes + TENSOR_DESCRIPTOR_SIZE + 8 * i);
    }
    const char *problem = derive(&form);
    if (problem != NULL)
        return corrupt(problem);
    if (form.raw_bytes == 0 ? form.chunk_rows != 1
                            : form.chunk_rows == 0 || form.chunk_rows > form.rows)
        return corrupt("the rows of a chunk are not between 1 and its rows");
    if (form.raw_bytes != 0 && form.chunk_rows > TENSOR_ROW_BYTES_MAX / form.row_bytes)
        return corrupt("a chunk is too large");
    derive_chunks(&form);
    *ret_form = form;
    return MLKV_OK;
}

size_t tensor_form_write(const tensor_form *form,
                         unsigned char ret_bytes[TENSOR_DESCRIPTOR_SIZE_MAX])
{
    memset(ret_bytes, 0, 8);
    ret_bytes[0] = (unsigned char)form->tensor.dtype;
    ret_bytes[1] = (unsigned char)form->tensor.dimensions;
    ret_bytes[2] = form->contiguous ? FLAG_CONTIGUOUS : 0;
    store_le64(ret_bytes + 8, form->chunk_rows);
    store_le64(ret_bytes + 16, form->version);
    store_le64(ret_bytes + 24, form->stored_bytes);
    for (uint32_t i = 0; i < form->tensor.dimensions; i++)
        store_le64(ret_bytes + TENSOR_DESCRIPTOR_SIZE + 8 * i, form->tensor.shape[i]);
    return TENSOR_DESCRIPTOR_SIZE + 8 * (size_t)form->tensor.dimensions;
}

bool tensor_same(const mlkv_tensor *a, const mlkv_tensor *b)
{
    return a->dtype == b->dtype && a->dimensions == b->dimensions &&
           a->dimensions <= MLKV_DIMENSIONS_MAX &&
           memcmp(a->shape, b->shape, a->dimensions * sizeof a->shape[0]) == 0;
}

bool tensor_form_same(const tensor_form *a, const tensor_form *b)
{
    return a->chunk_rows == b->chunk_rows && a->contiguous == b->contiguous &&
           tensor_same(&a->tensor, &b->tensor);
}

const char *tensor_text(const mlkv_tensor *tensor)
{
    enum { TEXT_SIZE = 224 }; /* a name, 8 numbers of 20 digits, brackets */
    static __thread char texts[2][TEXT_SIZE];
    static __thread unsigned turn;
    char *text = texts[turn++ % 2];
    size_t at =
        (size_t)snprintf(text, TEXT_SIZE, "%s[", mlkv_dtype_name((mlkv_dtype)tensor->dtype));
    for (uint32_t i = 0; i < tensor->dimensions && i < MLKV_DIMENSIONS_MAX; i++)
        at += (size_t)snprintf(text + at, TEXT_SIZE - at, "%s%llu", i == 0 ? "" : ", ",
                               (unsigned long long)tensor->shape[i]);
    snprintf(text + at, TEXT_SIZE - at, "]");
    return text;
}

size_t tensor_chunk_size(const tensor_form *form, uint64_t chunk)
{
    uint64_t first = chunk * form->chunk_rows;
    uint64_t rows = form->rows - first < form->chunk_rows ? form->rows - first : form->chunk_rows;
    return (size_t)(rows * form->row_bytes);
}

int tensor_check_rows(mlkv_slice key, const tensor_form *form, uint64_t first, uint64_t count,
                      size_t size)
{
    if (first > form->rows || count > form->rows - first)
        return error_set(MLKV_E_SHAPE,
                         "rows %llu to %llu are asked for of tensor '%s', which is %s",
                         (unsigned long long)first, (unsigned long long)(first + count),
                         error_quote(key.data, key.size), tensor_text(&form->tensor));
    if (count * form->row_bytes != size)
        return error_set(MLKV_E_SHAPE,
                         "%zu bytes are given for %llu rows of tensor '%s', which take %llu (%s)",
                         size, (unsigned long long)count, error_quote(key.data, key.size),
                         (unsigned long long)(count * form->row_bytes), tensor_text(&form->tensor));
    return MLKV_OK;
}
