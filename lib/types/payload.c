/* payload.c - the bytes of DUMP: written, and read as hostile input.
 *
 *   offset size
 *   0      4    "MLKD"
 *   4      1    version, 1
 *   5      1    type, as in a K record
 *   6      2    zero
 *   8      8    number of elements (LE): 1 of a string, 0 of a tensor, else at least 1
 *   16          the elements, one behind the other
 *   end-8  8    xxh3 of all before, seed 0
 *
 *   bytes are their size (8, LE) and themselves; an element is
 *   string, list: bytes          hash: name (bytes), expiry (8, LE; 0: none), value (bytes)
 *   set: name (bytes)            sorted set: name (bytes), score (8, LE, a double)
 *   A tensor: dtype (1), dimensions (1), flags (1) as in a descriptor, zero (5), rows of a chunk (8), shape (8 each), then its data,
 *   all the rest.
 *
 * Invariants
 *   1. One content has one payload: names rise strictly in the order of their bytes, so none is there twice; no -0.0.
 *   2. Nothing is believed before it was compared with what is left: an element takes at least MIN bytes of it, so what is allocated for
 *      a payload is at most some times its size.
 * Locks: none; pure functions.
 */
#include "types/payload.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/hash.h"

#include <math.h>
#include <stdlib.h>

enum { SIZE_SIZE = 8, NUMBER_SIZE = 8, TENSOR_HEAD_SIZE = 16 };

static const char magic[4] = {'M', 'L', 'K', 'D'};

/* What an element of each type consists of. */
static bool has_name(int type)
{
    return type == TYPE_HASH || type == TYPE_SET || type == TYPE_ZSET;
}

static bool has_number(int type)
{
    return type == TYPE_HASH || type == TYPE_ZSET;
}

static bool has_value(int type)
{
    return type == TYPE_STRING || type == TYPE_LIST || type == TYPE_HASH;
}

/* --- writing --- */

int payload_begin(payload_writer *self, mlkv_buffer *out, int type)
{
    unsigned char head[PAYLOAD_HEAD_SIZE] = {0};
    *self = (payload_writer){.out = out, .begin = out->size, .type = type};
    memcpy(head, magic, sizeof magic);
    head[4] = PAYLOAD_VERSION;
    head[5] = (unsigned char)type;
    return buffer_append(out, head, sizeof head);
}

int payload_add_number(payload_writer *self, uint64_t number)
{
    unsigned char bytes[NUMBER_SIZE];
    store_le64(bytes, number);
    return buffer_append(self->out, bytes, sizeof bytes);
}

static mlkv_slice last_name(const payload_writer *self)
{
    return slice_of((const unsigned char *)self->out->data + self->name_at, self->name_size);
}

int payload_add_name(payload_writer *self, mlkv_slice name)
{
    if (self->name_at != 0 && slice_compare(last_name(self), name) >= 0)
        self->disordered = true;
    int result = payload_add_number(self, name.size);
    self->name_at = self->out->size;
    self->name_size = name.size;
    return result != MLKV_OK ? result : buffer_append(self->out, name.data, name.size);
}

int payload_open_value(payload_writer *self, size_t *ret_at)
{
    *ret_at = self->out->size;
    return payload_add_number(self, 0);
}

void payload_close_value(payload_writer *self, size_t at)
{
    store_le64((unsigned char *)self->out->data + at, self->out->size - at - SIZE_SIZE);
}

void payload_count_element(payload_writer *self)
{
    self->count++;
}

int payload_add_form(payload_writer *self, const tensor_form *form)
{
    const mlkv_tensor *tensor = &form->tensor;
    unsigned char descriptor[TENSOR_DESCRIPTOR_SIZE_MAX];
    (void)tensor_form_write(form, descriptor);
    int result = buffer_append(self->out, descriptor, TENSOR_HEAD_SIZE);
    for (uint32_t i = 0; i < tensor->dimensions && result == MLKV_OK; i++)
        result = payload_add_number(self, tensor->shape[i]);
    return result;
}

/* An element in the bytes between head and checksum. */
typedef struct {
    const unsigned char *at;
    size_t size;
    mlkv_slice name;
} placed;

static int compare_placed(const void *a, const void *b)
{
    return slice_compare(((const placed *)a)->name, ((const placed *)b)->name);
}

static size_t measure_element(int type, const unsigned char *at)
{
    size_t name_size = (size_t)load_le64(at), size = SIZE_SIZE + name_size;
    size += has_number(type) ? NUMBER_SIZE : 0;
    return has_value(type) ? size + SIZE_SIZE + (size_t)load_le64(at + size) : size;
}

/* Records of long names stand in the order of their first bytes and a digest: then the elements are sorted here. */
static int put_in_order(const payload_writer *self)
{
    unsigned char *first = (unsigned char *)self->out->data + self->begin + PAYLOAD_HEAD_SIZE;
    size_t size = self->out->size - self->begin - PAYLOAD_HEAD_SIZE, n = 0;
    placed *elements = calloc((size_t)self->count, sizeof *elements);
    unsigned char *copy = malloc(size);
    if (elements == NULL || copy == NULL) {
        free(elements);
        free(copy);
        return error_set_memory("a payload");
    }
    memcpy(copy, first, size);
    for (const unsigned char *at = copy; n < self->count; at += elements[n++].size)
        elements[n] = (placed){at, measure_element(self->type, at),
                               slice_of(at + SIZE_SIZE, (size_t)load_le64(at))};
    qsort(elements, n, sizeof *elements, compare_placed);
    for (size_t i = 0; i < n; first += elements[i++].size)
        memcpy(first, elements[i].at, elements[i].size);
    free(elements);
    free(copy);
    return MLKV_OK;
}

int payload_end(payload_writer *self)
{
    int result = self->disordered ? put_in_order(self) : MLKV_OK;
    if (result != MLKV_OK)
        return result;
    unsigned char *bytes = (unsigned char *)self->out->data + self->begin;
    store_le64(bytes + 8, self->count);
    return payload_add_number(self, hash_checksum(bytes, self->out->size - self->begin, 0));
}

/* --- reading --- */

typedef struct {
    const unsigned char *at;
    size_t left;
} reader;

static int corrupt(const char *what)
{
    return error_set(MLKV_E_CORRUPT, "payload: %s", what);
}

static int read_number(reader *self, uint64_t *ret_number)
{
    if (self->left < NUMBER_SIZE)
        return corrupt("it ends within an element");
    *ret_number = load_le64(self->at);
    self->at += NUMBER_SIZE;
    self->left -= NUMBER_SIZE;
    return MLKV_OK;
}

static int read_bytes(reader *self, mlkv_slice *ret_bytes)
{
    uint64_t size = 0;
    int result = read_number(self, &size);
    if (result != MLKV_OK)
        return result;
    if (size > self->left)
        return corrupt("an element is larger than what is left");
    *ret_bytes = slice_of(self->at, (size_t)size);
    self->at += size;
    self->left -= (size_t)size;
    return MLKV_OK;
}

static int check_number(int type, uint64_t number)
{
    double score = payload_score(number);
    if (type == TYPE_HASH && number > INT64_MAX)
        return corrupt("a field's expiry is below 0");
    if (type == TYPE_ZSET && (isnan(score) || (score == 0 && signbit(score))))
        return corrupt("a score is NaN or -0.0");
    return MLKV_OK;
}

static int read_element(reader *from, payload *self, size_t i)
{
    mlkv_pair *pair = &self->pairs[i];
    int result = MLKV_OK;
    if (has_name(self->type)) {
        result = read_bytes(from, &pair->name);
        if (result == MLKV_OK && pair->name.size > NAME_SIZE_MAX)
            result = corrupt("a name has more than 16 MiB");
        if (result == MLKV_OK && i != 0 && slice_compare(pair[-1].name, pair->name) >= 0)
            result = corrupt("its names do not rise");
    }
    if (result == MLKV_OK && has_number(self->type))
        result = read_number(from, &self->numbers[i]);
    if (result == MLKV_OK && has_number(self->type))
        result = check_number(self->type, self->numbers[i]);
    if (result == MLKV_OK && has_value(self->type))
        result = read_bytes(from, &pair->value);
    return result;
}

static int read_elements(reader *from, payload *self, uint64_t count)
{
    size_t least = (size_t)(has_name(self->type) + has_number(self->type) + has_value(self->type));
    if (count == 0 || count > from->left / (least * SIZE_SIZE))
        return corrupt("it has another number of elements");
    if (self->type == TYPE_STRING && count != 1)
        return corrupt("a string is not one");
    self->count = (size_t)count;
    self->pairs = calloc(self->count, sizeof *self->pairs);
    self->numbers = calloc(has_number(self->type) ? self->count : 1, sizeof *self->numbers);
    if (self->pairs == NULL || self->numbers == NULL)
        return error_set_memory("a payload");
    int result = MLKV_OK;
    for (size_t i = 0; i < self->count && result == MLKV_OK; i++)
        result = read_element(from, self, i);
    if (result == MLKV_OK && from->left != 0)
        result = corrupt("bytes follow its last element");
    return result;
}

/* The form is put together as a stored descriptor, whose reader knows all that must hold. */
static int read_tensor(reader *from, payload *self, uint64_t count)
{
    unsigned char descriptor[TENSOR_DESCRIPTOR_SIZE_MAX] = {0};
    if (count != 0 || from->left < TENSOR_HEAD_SIZE)
        return corrupt("a tensor is too short, or has elements");
    size_t shape_size = 8 * (size_t)from->at[1];
    if (from->at[1] > MLKV_DIMENSIONS_MAX || from->left - TENSOR_HEAD_SIZE < shape_size)
        return corrupt("a tensor's shape is not there");
    memcpy(descriptor, from->at, TENSOR_HEAD_SIZE);
    descriptor[TENSOR_HEAD_SIZE] = 1; /* its version; then what is stored: nothing */
    memcpy(descriptor + TENSOR_DESCRIPTOR_SIZE, from->at + TENSOR_HEAD_SIZE, shape_size);
    int result =
        tensor_form_read(slice_of(descriptor, TENSOR_DESCRIPTOR_SIZE + shape_size), &self->form);
    if (result != MLKV_OK)
        return result;
    self->data = slice_of(from->at + TENSOR_HEAD_SIZE + shape_size,
                          from->left - TENSOR_HEAD_SIZE - shape_size);
    return self->data.size == self->form.raw_bytes
               ? MLKV_OK
               : corrupt("a tensor's data does not have the size of its shape");
}

static int read_head(mlkv_slice bytes, payload *self, uint64_t *ret_count)
{
    const unsigned char *at = bytes.data;
    if (bytes.size < PAYLOAD_HEAD_SIZE + PAYLOAD_CHECKSUM_SIZE ||
        memcmp(at, magic, sizeof magic) != 0)
        return corrupt("it is none");
    if (at[4] != PAYLOAD_VERSION)
        return error_set(MLKV_E_CORRUPT, "payload: version %d is not known", at[4]);
    size_t size = bytes.size - PAYLOAD_CHECKSUM_SIZE;
    if (hash_checksum(at, size, 0) != load_le64(at + size))
        return corrupt("its checksum does not hold");
    if (at[5] < TYPE_STRING || at[5] > TYPE_TENSOR)
        return error_set(MLKV_E_CORRUPT, "payload: type %d is not known", at[5]);
    if (at[6] != 0 || at[7] != 0)
        return corrupt("bytes that must be 0 are not");
    self->type = at[5];
    *ret_count = load_le64(at + 8);
    return MLKV_OK;
}

int payload_read(mlkv_slice bytes, payload *ret_payload)
{
    uint64_t count = 0;
    int result = read_head(bytes, ret_payload, &count);
    if (result != MLKV_OK)
        return result;
    reader from = {(const unsigned char *)bytes.data + PAYLOAD_HEAD_SIZE,
                   bytes.size - PAYLOAD_HEAD_SIZE - PAYLOAD_CHECKSUM_SIZE};
    return ret_payload->type == TYPE_TENSOR ? read_tensor(&from, ret_payload, count)
                                            : read_elements(&from, ret_payload, count);
}

void payload_done(payload *self)
{
    free(self->pairs);
    free(self->numbers);
    *self = (payload){0};
}
