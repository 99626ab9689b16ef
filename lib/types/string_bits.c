/* string_bits.c - bits of strings: set and get one, count and find them in a range, combine values.
 *
 * Bytes owned: those of string.c. Bit i is bit 7 - i % 8 of byte i / 8.
 *
 * Invariants
 *   1. A range in bits is read as the bytes that it touches, of which the first and the last are masked.
 *   2. Combining reads its sources and writes its destination in one transaction.
 * Locks: the writer lock in calls that write (string_change.c).
 */
#include <mlkv/bits.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "types/argument.h"
#include "types/entry.h"
#include "types/range.h"
#include "types/string_change.h"
#include "types/values.h"

#include <mlkv/key.h>
#include <mlkv/string.h>

#define BIT_OFFSET_MAX ((UINT64_C(1) << 35) - 1)

/* --- one bit --- */

static int check_offset(uint64_t offset)
{
    return offset <= BIT_OFFSET_MAX ? MLKV_OK
                                    : error_set(MLKV_E_RANGE, "bit offset %llu is above 2^35 - 1",
                                                (unsigned long long)offset);
}

static int check_bit(int bit)
{
    return bit == 0 || bit == 1 ? MLKV_OK
                                : error_set(MLKV_E_ARGUMENT, "a bit is 0 or 1, not %d", bit);
}

static unsigned char mask_of(uint64_t offset)
{
    return (unsigned char)(0x80u >> (offset % 8));
}

typedef struct {
    mlkv_slice key;
    uint64_t offset;
    int bit, old;
} bit_call;

static int change_bit(void *context, mlkv_buffer *raw, bool exists)
{
    bit_call *call = context;
    size_t at = (size_t)(call->offset / 8);
    (void)exists;
    if (at >= raw->size) {
        size_t more = at + 1 - raw->size;
        void *zeros = buffer_extend(raw, more);
        if (zeros == NULL)
            return MLKV_E_MEMORY;
        memset(zeros, 0, more);
    }
    unsigned char *byte = (unsigned char *)raw->data + at, mask = mask_of(call->offset);
    call->old = (*byte & mask) != 0;
    *byte = (unsigned char)(call->bit ? *byte | mask : *byte & ~mask);
    return MLKV_OK;
}

int mlkv_bits_set(mlkv *view, mlkv_slice key, uint64_t offset, int bit, int *ret_old)
{
    bit_call call = {.offset = offset, .bit = bit};
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = check_offset(offset);
    if (result == MLKV_OK)
        result = check_bit(bit);
    if (result == MLKV_OK)
        result = string_change(view, key, change_bit, &call);
    if (result == MLKV_OK && ret_old != NULL)
        *ret_old = call.old;
    return result;
}

static int get_bit_rule(op *o, void *context)
{
    bit_call *call = context;
    entry found;
    int kind;
    cell_blob blob;
    uint64_t size;
    unsigned char byte = 0;
    int result = entry_open(o, call->key, TYPE_STRING, &found);
    if (result == MLKV_OK)
        result = cell_inspect(found.rest, &kind, &size, &blob);
    if (result == MLKV_OK && call->offset / 8 < size)
        result = op_cell_read(o, found.rest, call->offset / 8, 1, &byte);
    call->bit = (byte & mask_of(call->offset)) != 0;
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

int mlkv_bits_get(mlkv *view, mlkv_slice key, uint64_t offset, int *ret_bit)
{
    bit_call call = {.key = key, .offset = offset};
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = argument_pointer(ret_bit, "ret_bit");
    if (result == MLKV_OK)
        result = check_offset(offset);
    if (result == MLKV_OK)
        result = op_read(view, get_bit_rule, &call);
    if (result == MLKV_OK)
        *ret_bit = call.bit;
    return result;
}

/* --- a range of bits --- */

typedef struct {
    mlkv_slice key;
    int64_t start, stop;
    mlkv_bit_unit unit;
    bool is_count;     /* BITCOUNT's ranges differ in one point (range.h) */
    bool exists, some; /* the key; a bit of it in the range */
    uint64_t size;     /* of the value, in bytes */
    uint64_t first, n; /* in bits */
    mlkv_buffer bytes; /* those that the range touches */
} bits_call;

/* A negative end as one that is not: BITPOS looks at the first bit where BITCOUNT sees an empty range. */
static int64_t from_begin(int64_t end, uint64_t count)
{
    if (end >= 0)
        return end;
    uint64_t back = 0 - (uint64_t)end;
    return back > count ? 0 : (int64_t)(count - back);
}

static int read_bits_rule(op *o, void *context)
{
    bits_call *call = context;
    entry found;
    int kind;
    cell_blob blob;
    call->exists = call->some = false;
    call->bytes.size = 0;
    call->size = 0;
    int result = entry_open(o, call->key, TYPE_STRING, &found);
    if (result != MLKV_OK)
        return result == MLKV_ABSENT ? MLKV_OK : result;
    call->exists = true;
    result = cell_inspect(found.rest, &kind, &call->size, &blob);
    if (result != MLKV_OK)
        return result;
    uint64_t unit = call->unit == MLKV_UNIT_BIT ? 1 : 8, count = call->size * 8 / unit;
    int64_t start = call->start, stop = call->stop;
    if (!call->is_count) {
        start = from_begin(start, count);
        stop = from_begin(stop, count);
    }
    call->some = range_resolve_bytes(start, stop, count, &call->first, &call->n);
    if (!call->some)
        return MLKV_OK;
    call->first *= unit;
    call->n *= unit;
    uint64_t from = call->first / 8, to = (call->first + call->n + 7) / 8;
    void *bytes = buffer_extend(&call->bytes, (size_t)(to - from));
    return bytes == NULL ? MLKV_E_MEMORY
                         : op_cell_read(o, found.rest, from, (size_t)(to - from), bytes);
}

static int read_bits(mlkv *view, bits_call *call)
{
    int result = argument_view_key(view, call->key);
    if (result == MLKV_OK && call->unit != MLKV_UNIT_BYTE && call->unit != MLKV_UNIT_BIT)
        result = error_set(MLKV_E_ARGUMENT, "unit %d is unknown", (int)call->unit);
    return result != MLKV_OK ? result : op_read(view, read_bits_rule, call);
}

/* Byte i of those read, as if every bit outside the range were `outside`. */
static unsigned char masked(const bits_call *call, size_t i, bool outside)
{
    unsigned char byte = ((const unsigned char *)call->bytes.data)[i];
    unsigned before = i == 0 ? (unsigned)(call->first % 8) : 0;
    unsigned end = (unsigned)((call->first + call->n) % 8);
    unsigned mask = 0xffu >> before;
    if (i + 1 == call->bytes.size && end != 0)
        mask &= 0xff00u >> end;
    return (unsigned char)(outside ? byte | (~mask & 0xff) : byte & mask);
}

static uint64_t count_ones(const bits_call *call)
{
    const unsigned char *bytes = call->bytes.data;
    size_t size = call->bytes.size, i = 1;
    uint64_t ones = (uint64_t)__builtin_popcount(masked(call, 0, false)), word;
    if (size == 1)
        return ones;
    for (; i + 8 < size; i += 8) {
        memcpy(&word, bytes + i, sizeof word);
        ones += (uint64_t)__builtin_popcountll(word);
    }
    for (; i < size; i++)
        ones += (uint64_t)__builtin_popcount(masked(call, i, false));
    return ones;
}

int mlkv_bits_count(mlkv *view, mlkv_slice key, int64_t start, int64_t stop, mlkv_bit_unit unit,
                    uint64_t *ret_count)
{
    bits_call call = {.key = key, .start = start, .stop = stop, .unit = unit, .is_count = true};
    int result = argument_pointer(ret_count, "ret_count");
    if (result == MLKV_OK)
        result = read_bits(view, &call);
    if (result == MLKV_OK)
        *ret_count = call.some ? count_ones(&call) : 0;
    mlkv_buffer_free(&call.bytes);
    return result;
}

/* The first such bit, counted from the value's begin; -1: none in the range. */
static int64_t find_bit(const bits_call *call, int bit)
{
    const unsigned char *bytes = call->bytes.data;
    unsigned char none = bit ? 0x00 : 0xff;
    for (size_t i = 0; i < call->bytes.size; i++) {
        if (bytes[i] == none)
            continue;
        unsigned byte = masked(call, i, !bit) ^ none;
        if (byte != 0)
            return (int64_t)((call->first / 8 + i) * 8) + __builtin_clz(byte << 24);
    }
    return -1;
}

int mlkv_bits_find(mlkv *view, mlkv_slice key, int bit, int64_t start, const int64_t *stop,
                   mlkv_bit_unit unit, int64_t *ret_position)
{
    bits_call call = {.key = key, .start = start, .stop = stop == NULL ? -1 : *stop, .unit = unit};
    int result = argument_pointer(ret_position, "ret_position");
    if (result == MLKV_OK)
        result = check_bit(bit);
    if (result == MLKV_OK)
        result = read_bits(view, &call);
    if (result == MLKV_OK) {
        int64_t found = call.some ? find_bit(&call, bit) : -1;
        if (found < 0 && bit == 0 && !call.exists)
            found = 0; /* zeros without end, and a range does not matter */
        else if (found < 0 && bit == 0 && call.some && stop == NULL)
            found = (int64_t)(call.size * 8);
        *ret_position = found;
    }
    mlkv_buffer_free(&call.bytes);
    return result;
}

/* --- combining --- */

typedef struct {
    mlkv_bits_operation operation;
    mlkv_slice destination;
    const mlkv_slice *keys;
    size_t n;
    mlkv_buffer sum, next;
} combine_call;

static void combine(mlkv_bits_operation operation, unsigned char *sum, const unsigned char *other,
                    size_t size)
{
    for (size_t i = 0; i < size; i++)
        switch (operation) {
        case MLKV_BITS_AND:
            sum[i] &= other[i];
            break;
        case MLKV_BITS_OR:
            sum[i] |= other[i];
            break;
        default:
            sum[i] ^= other[i];
            break;
        }
}

/* Takes one more value in; both have the size of the longer one afterwards. */
static int take_value(combine_call *call)
{
    mlkv_buffer *shorter = call->sum.size < call->next.size ? &call->sum : &call->next;
    size_t size = call->sum.size < call->next.size ? call->next.size : call->sum.size,
           more = size - shorter->size;
    if (more != 0) {
        void *zeros = buffer_extend(shorter, more);
        if (zeros == NULL)
            return MLKV_E_MEMORY;
        memset(zeros, 0, more);
    }
    if (size != 0)
        combine(call->operation, call->sum.data, call->next.data, size);
    return MLKV_OK;
}

static int read_value(mlkv *inside, mlkv_slice key, mlkv_buffer *value)
{
    int result = mlkv_string_get(inside, key, value);
    if (result != MLKV_ABSENT)
        return result;
    value->size = 0;
    return MLKV_OK;
}

static int run_combine(mlkv *inside, void *context)
{
    combine_call *call = context;
    int result = read_value(inside, call->keys[0], &call->sum);
    for (size_t i = 1; i < call->n && result == MLKV_OK; i++) {
        result = read_value(inside, call->keys[i], &call->next);
        if (result == MLKV_OK)
            result = take_value(call);
    }
    if (result != MLKV_OK)
        return result;
    unsigned char *bytes = call->sum.data;
    for (size_t i = 0; call->operation == MLKV_BITS_NOT && i < call->sum.size; i++)
        bytes[i] = (unsigned char)~bytes[i];
    if (call->sum.size == 0)
        return mlkv_key_delete(inside, &call->destination, 1, NULL);
    return mlkv_string_set(inside, call->destination, slice_of_buffer(&call->sum), MLKV_SET_ALWAYS);
}

int mlkv_bits_combine(mlkv *view, mlkv_bits_operation operation, mlkv_slice destination,
                      const mlkv_slice *keys, size_t n, uint64_t *ret_length)
{
    combine_call call = {.operation = operation, .destination = destination, .keys = keys, .n = n};
    int result = argument_view_key(view, destination);
    if (result == MLKV_OK)
        result = argument_slices(keys, n, "keys");
    if (result == MLKV_OK && (unsigned)operation > MLKV_BITS_NOT)
        result = error_set(MLKV_E_ARGUMENT, "operation %d is unknown", (int)operation);
    if (result == MLKV_OK && (n == 0 || (n != 1 && operation == MLKV_BITS_NOT)))
        result = error_set(MLKV_E_ARGUMENT, "the operation does not take %zu keys", n);
    if (result == MLKV_OK)
        result = op_transact(view, run_combine, &call);
    if (result == MLKV_OK && ret_length != NULL)
        *ret_length = call.sum.size;
    mlkv_buffer_free(&call.sum);
    mlkv_buffer_free(&call.next);
    return result;
}
