/* tensors.c - the commands of tensors: TENSOR.SET, TENSOR.GET, TENSOR.INFO, TENSOR.ADD, and those of rows: TENSOR.GETROWS, TENSOR.SETROWS,
 * TENSOR.ADDROWS. Redis has none of them; their words follow RedisAI's AI.TENSORSET and AI.TENSORGET.
 *
 * A tensor in words is: a dtype by name (mlkv_dtype_name, in letters of any case), its dimensions, BLOB, its bytes. No dimension is a
 * scalar. The bytes are as many as dtype and dimensions say, row-major, little-endian.
 *
 * Invariants:
 *  1. No data pointer is handed on before its size was compared with what the typed function will read from it.
 *  2. TENSOR.GET shows dtype, shape and bytes of one moment.
 *
 * Scratch: the bytes stand in the reply's `value`.
 * No locks, no state.
 */
#include "command/call.h"

#include "base/buffer.h"
#include "base/bytes.h"

#include <inttypes.h>

enum { TRIES_MAX = 100 /* of reading rows between which others change the tensor's form */ };

/* --- words --- */

static int read_dtype(call *c, size_t i, int32_t *ret_dtype)
{
    mlkv_slice word = c->words[i];
    for (int32_t dtype = MLKV_F64; dtype <= MLKV_C128; dtype++)
        if (word_is(word, mlkv_dtype_name((mlkv_dtype)dtype))) {
            *ret_dtype = dtype;
            return 0;
        }
    return call_fail(c, MLKV_E_ARGUMENT, "ERR unknown dtype '%.*s'",
                     word.size > 32 ? 32 : (int)word.size,
                     word.size == 0 ? "" : (const char *)word.data);
}

/* Bytes of a tensor; refused if no number says them. */
static int compute_size(call *c, const mlkv_tensor *tensor, uint64_t *ret_size)
{
    uint64_t size = mlkv_dtype_size((mlkv_dtype)tensor->dtype);
    bool empty = false;
    for (uint32_t i = 0; i < tensor->dimensions; i++) {
        empty = empty || tensor->shape[i] == 0;
        if (tensor->shape[i] != 0 && __builtin_mul_overflow(size, tensor->shape[i], &size))
            return call_fail(c, MLKV_E_SIZE, "ERR the tensor is too large");
    }
    *ret_size = empty ? 0 : size;
    return 0;
}

/* A tensor from word i to the end: dtype, dimensions, BLOB, bytes. */
static int read_tensor(call *c, size_t i, mlkv_tensor *ret_tensor, mlkv_slice *ret_data)
{
    mlkv_tensor tensor = {0};
    size_t blob = c->count - 2;
    uint64_t size = 0;
    int result = read_dtype(c, i, &tensor.dtype);
    if (result != 0)
        return result;
    if (blob <= i || !call_is(c, blob, "BLOB"))
        return call_fail(c, MLKV_E_ARGUMENT,
                         "ERR BLOB and the tensor's bytes must stand at the end");
    if (blob - i - 1 > MLKV_DIMENSIONS_MAX)
        return call_fail(c, MLKV_E_ARGUMENT, "ERR a tensor has at most %d dimensions",
                         MLKV_DIMENSIONS_MAX);
    for (i++; i < blob; i++) {
        int64_t dimension = 0;
        result = call_integer_within(c, i, 0, INT64_MAX,
                                     "ERR a dimension must be an integer that is not negative",
                                     &dimension);
        if (result != 0)
            return result;
        tensor.shape[tensor.dimensions++] = (uint64_t)dimension;
    }
    result = compute_size(c, &tensor, &size);
    if (result != 0)
        return result;
    *ret_tensor = tensor;
    *ret_data = c->words[blob + 1];
    if (ret_data->size == size)
        return 0;
    return call_fail(c, MLKV_E_SHAPE,
                     "ERR the blob has %zu bytes, and this dtype and shape %" PRIu64,
                     ret_data->size, size);
}

/* first and count, from word i on. */
static int read_rows(call *c, size_t i, uint64_t *ret_first, uint64_t *ret_count)
{
    int64_t first = 0, count = 0;
    int result = call_integer_within(
        c, i, 0, INT64_MAX, "ERR the first row must be an integer that is not negative", &first);
    if (result == 0)
        result = call_integer_within(
            c, i + 1, 0, INT64_MAX,
            "ERR the number of rows must be an integer that is not negative", &count);
    *ret_first = (uint64_t)first;
    *ret_count = (uint64_t)count;
    return result;
}

/* --- writing --- */

/* A change of a tensor that must be there. */
static int answer_change(call *c, int result)
{
    if (result == MLKV_ABSENT)
        return call_fail(c, MLKV_E_ARGUMENT, "ERR no such key");
    return call_answer_ok(c, result);
}

int command_tensor_set(call *c)
{
    mlkv_tensor tensor = {0};
    mlkv_slice data = {0};
    int result = read_tensor(c, 2, &tensor, &data);
    if (result != 0)
        return result;
    return answer_change(c, mlkv_tensor_put(c->view, c->words[1], &tensor, data.data, NULL));
}

int command_tensor_add(call *c)
{
    double factor = 0;
    mlkv_tensor tensor = {0};
    mlkv_slice data = {0};
    int result = call_double(c, 2, &factor);
    if (result == 0)
        result = read_tensor(c, 3, &tensor, &data);
    if (result != 0)
        return result;
    return answer_change(c, mlkv_tensor_add(c->view, c->words[1], factor, &tensor, data.data));
}

int command_tensor_setrows(call *c)
{
    uint64_t first = 0, count = 0;
    int result = read_rows(c, 2, &first, &count);
    if (result != 0)
        return result;
    return answer_change(c, mlkv_tensor_write_rows(c->view, c->words[1], first, count,
                                                   c->words[4].data, c->words[4].size));
}

int command_tensor_addrows(call *c)
{
    double factor = 0;
    uint64_t first = 0, count = 0;
    int result = call_double(c, 2, &factor);
    if (result == 0)
        result = read_rows(c, 3, &first, &count);
    if (result != 0)
        return result;
    return answer_change(c, mlkv_tensor_add_rows(c->view, c->words[1], factor, first, count,
                                                 c->words[5].data, c->words[5].size));
}

/* --- reading --- */

/* The description of the tensor. MLKV_ABSENT was answered with nil, an error is the reply. */
static int describe(call *c, mlkv_tensor_info *info)
{
    *info = (mlkv_tensor_info){.size = sizeof *info};
    int result = mlkv_tensor_get_info(c->view, c->words[1], info);
    if (result < 0)
        return call_refuse(c, result);
    if (result == MLKV_ABSENT)
        reply_nil(c->reply);
    return result;
}

static void reply_form(call *c, const mlkv_tensor *tensor)
{
    reply_string(c->reply, "dtype");
    reply_string(c->reply, mlkv_dtype_name((mlkv_dtype)tensor->dtype));
    reply_string(c->reply, "shape");
    (void)reply_array(c->reply, tensor->dimensions);
    for (uint32_t i = 0; i < tensor->dimensions; i++)
        reply_count(c->reply, tensor->shape[i]);
}

static void reply_named(call *c, const char *name, uint64_t value)
{
    reply_string(c->reply, name);
    reply_count(c->reply, value);
}

int command_tensor_info(call *c)
{
    mlkv_tensor_info info = {.size = sizeof info};
    int result = describe(c, &info);
    if (result != 0)
        return result < 0 ? result : 0;
    (void)reply_collection(c->reply, MLKV_REPLY_MAP, 18);
    reply_form(c, &info.tensor);
    reply_named(c, "raw_bytes", info.raw_bytes);
    reply_named(c, "stored_bytes", info.stored_bytes);
    reply_named(c, "rows", info.rows);
    reply_named(c, "row_bytes", info.row_bytes);
    reply_named(c, "chunk_rows", info.chunk_rows);
    reply_named(c, "chunks", info.chunks);
    reply_named(c, "version", info.version);
    return 0;
}

/* For mlkv_tensor_get_allocated: room in a buffer. */
static void *allocate_in(void *context, size_t bytes)
{
    mlkv_buffer *buffer = context;
    return buffer_reserve(buffer, bytes) == 0 ? buffer->data : NULL;
}

/* Description and bytes of one moment. As describe. */
static int read_whole(call *c, mlkv_tensor_info *info)
{
    mlkv_buffer *value = &c->reply->value;
    const mlkv_allocator room = {
        .size = sizeof room, .allocate = allocate_in, .context = value}; /* which keeps it */
    void *data = NULL;
    int result = mlkv_tensor_get_allocated(c->view, c->words[1], &room, info, &data);
    if (result < 0)
        return call_refuse(c, result);
    value->size = result == MLKV_OK ? (size_t)info->raw_bytes : 0;
    if (result == MLKV_ABSENT)
        reply_nil(c->reply);
    return result;
}

static int answer_form(call *c)
{
    mlkv_tensor_info info = {.size = sizeof info};
    int result = describe(c, &info);
    if (result != 0)
        return result < 0 ? result : 0;
    (void)reply_array(c->reply, 4);
    reply_form(c, &info.tensor);
    return 0;
}

int command_tensor_get(call *c)
{
    mlkv_tensor_info info = {.size = sizeof info};
    bool form = false, blob = false;
    for (size_t i = 2; i < c->count; i++)
        if (call_is(c, i, "META"))
            form = true;
        else if (call_is(c, i, "BLOB"))
            blob = true;
        else
            return call_syntax(c);
    if (form && !blob)
        return answer_form(c);
    int result = read_whole(c, &info);
    if (result != 0)
        return result < 0 ? result : 0;
    if (form || !blob) {
        (void)reply_array(c->reply, 6);
        reply_form(c, &info.tensor);
        reply_string(c->reply, "blob");
    }
    reply_buffer(c->reply, &c->reply->value);
    return 0;
}

/* Rows as long as the description says. MLKV_E_SHAPE: it had changed; the reply is not yet the error. */
static int get_rows(call *c, uint64_t first, uint64_t count)
{
    mlkv_buffer *value = &c->reply->value;
    mlkv_tensor_info info = {.size = sizeof info};
    int result = describe(c, &info);
    if (result != 0)
        return result;
    if (first > info.rows || count > info.rows - first)
        return call_fail(c, MLKV_E_RANGE, "ERR rows %" PRIu64 " to %" PRIu64 " of %" PRIu64, first,
                         first + count, info.rows);
    if (buffer_reserve(value, (size_t)(count * info.row_bytes) + 1) != 0)
        return call_refuse(c, MLKV_E_MEMORY);
    value->size = (size_t)(count * info.row_bytes);
    result = mlkv_tensor_read_rows(c->view, c->words[1], first, count, value->data, value->size);
    if (result == MLKV_ABSENT)
        reply_nil(c->reply);
    return result < 0 && result != MLKV_E_SHAPE ? call_refuse(c, result) : result;
}

int command_tensor_getrows(call *c)
{
    uint64_t first = 0, count = 0;
    int result = read_rows(c, 2, &first, &count);
    if (result != 0)
        return result;
    result = MLKV_E_SHAPE;
    for (int tries = 0; tries < TRIES_MAX && result == MLKV_E_SHAPE; tries++)
        result = get_rows(c, first, count);
    if (result == MLKV_E_SHAPE)
        return call_refuse(c, result);
    if (result != 0)
        return result < 0 ? result : 0;
    reply_buffer(c->reply, &c->reply->value);
    return 0;
}
