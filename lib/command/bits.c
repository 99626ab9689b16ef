/* bits.c - the commands of bitmaps, and LCS, which like them looks into values.
 *
 * Redis's order of complaints: SETBIT and GETBIT read their words first; BITCOUNT looks at the key first, so a missing one is 0 whatever
 * the words say; BITPOS reads the bit, then looks at the key, then reads the range.
 * No locks, no state.
 */
#include "command/expects.h"

#include "base/bytes.h"

/* A value has at most 512 MiB. */
static const int64_t BIT_OFFSET_MAX = (int64_t)512 * 1024 * 1024 * 8 - 1;

static int read_offset(call *c, size_t i, int64_t *ret_offset)
{
    return call_integer_within(c, i, 0, BIT_OFFSET_MAX,
                               "ERR bit offset is not an integer or out of range", ret_offset);
}

int command_setbit(call *c)
{
    int64_t offset = 0, bit = 0;
    int old = 0;
    int result = read_offset(c, 2, &offset);
    if (result == 0)
        result = call_integer_within(c, 3, 0, 1, "ERR bit is not an integer or out of range", &bit);
    if (result != 0)
        return result;
    result = mlkv_bits_set(c->view, c->words[1], (uint64_t)offset, (int)bit, &old);
    return call_answer_count(c, result, (uint64_t)old);
}

int command_getbit(call *c)
{
    int64_t offset = 0;
    int bit = 0;
    int result = read_offset(c, 2, &offset);
    if (result != 0)
        return result;
    result = mlkv_bits_get(c->view, c->words[1], (uint64_t)offset, &bit);
    return call_answer_count(c, result, (uint64_t)bit);
}

static int read_unit(call *c, size_t i, mlkv_bit_unit *ret_unit)
{
    if (call_is(c, i, "BIT"))
        *ret_unit = MLKV_UNIT_BIT;
    else if (i < c->count && !call_is(c, i, "BYTE"))
        return call_syntax(c);
    return 0;
}

int command_bitcount(call *c)
{
    int64_t start = 0, stop = -1;
    mlkv_bit_unit unit = MLKV_UNIT_BYTE;
    uint64_t bits = 0;
    int result = expects_type(c, 1, MLKV_TYPE_STRING);
    if (result == MLKV_ABSENT)
        return call_answer_count(c, 0, 0);
    if (result == 0 && (c->count == 3 || c->count > 5))
        result = call_syntax(c);
    if (result == 0 && c->count > 3)
        result = call_integer(c, 2, &start);
    if (result == 0 && c->count > 3)
        result = call_integer(c, 3, &stop);
    if (result == 0 && start < 0 && stop < 0 &&
        start > stop) /* Redis does not read the unit then */
        return call_answer_count(c, 0, 0);
    if (result == 0)
        result = read_unit(c, 4, &unit);
    if (result != 0)
        return result;
    result = mlkv_bits_count(c->view, c->words[1], start, stop, unit, &bits);
    return call_answer_count(c, result, bits);
}

int command_bitpos(call *c)
{
    int64_t bit = 0, start = 0, stop = 0, position = -1;
    mlkv_bit_unit unit = MLKV_UNIT_BYTE;
    int result = call_integer(c, 2, &bit);
    if (result == 0 && bit != 0 && bit != 1)
        result = call_fail(c, MLKV_E_ARGUMENT, "ERR The bit argument must be 1 or 0.");
    if (result == 0)
        result = expects_type(c, 1, MLKV_TYPE_STRING);
    if (result == MLKV_ABSENT) {
        reply_integer(c->reply, bit == 0 ? 0 : -1);
        return 0;
    }
    if (result == 0 && c->count > 6)
        result = call_syntax(c);
    if (result == 0 && c->count > 3)
        result = call_integer(c, 3, &start);
    if (result == 0)
        result = read_unit(c, 5, &unit);
    if (result == 0 && c->count > 4)
        result = call_integer(c, 4, &stop);
    if (result != 0)
        return result;
    result = mlkv_bits_find(c->view, c->words[1], (int)bit, start, c->count > 4 ? &stop : NULL,
                            unit, &position);
    if (result < 0)
        return call_refuse(c, result);
    reply_integer(c->reply, position);
    return 0;
}

int command_bitop(call *c)
{
    static const char *const names[] = {"AND", "OR", "XOR", "NOT"};
    size_t operation = 0;
    uint64_t length = 0;
    while (operation < 4 && !call_is(c, 1, names[operation]))
        operation++;
    if (operation == 4)
        return call_syntax(c);
    if (operation == MLKV_BITS_NOT && c->count != 4)
        return call_fail(c, MLKV_E_ARGUMENT,
                         "ERR BITOP NOT must be called with a single source key.");
    int result = mlkv_bits_combine(c->view, (mlkv_bits_operation)operation, c->words[2],
                                   c->words + 3, c->count - 3, &length);
    return call_answer_count(c, result, length);
}

/* --- LCS --- */

typedef struct {
    bool length, indexes, lengths;
    uint64_t min_match;
} lcs_options;

static int read_lcs_options(call *c, lcs_options *ret_options)
{
    lcs_options o = {0};
    for (size_t i = 3; i < c->count; i++) {
        if (call_is(c, i, "LEN"))
            o.length = true;
        else if (call_is(c, i, "IDX"))
            o.indexes = true;
        else if (call_is(c, i, "WITHMATCHLEN"))
            o.lengths = true;
        else if (call_is(c, i, "MINMATCHLEN") && i + 1 < c->count) {
            int64_t least = 0;
            int result = call_integer(c, ++i, &least);
            if (result != 0)
                return result;
            o.min_match = least < 0 ? 0 : (uint64_t)least;
        } else
            return call_syntax(c);
    }
    if (o.length && o.indexes)
        return call_fail(c, MLKV_E_ARGUMENT,
                         "ERR If you want both the length and indexes, please just use IDX.");
    *ret_options = o;
    return 0;
}

static void reply_span(mlkv_reply *reply, uint64_t begin, uint64_t length)
{
    (void)reply_array(reply, 2);
    reply_count(reply, begin);
    reply_count(reply, begin + length - 1);
}

static void reply_matches(mlkv_reply *reply, const mlkv_buffer *found, uint64_t length,
                          bool lengths)
{
    const mlkv_match *matches = found->data;
    size_t n = found->size / sizeof *matches;
    (void)reply_collection(reply, MLKV_REPLY_MAP, 4);
    reply_string(reply, "matches");
    (void)reply_array(reply, n);
    for (size_t i = 0; i < n; i++) {
        (void)reply_array(reply, lengths ? 3 : 2);
        reply_span(reply, matches[i].a_begin, matches[i].length);
        reply_span(reply, matches[i].b_begin, matches[i].length);
        if (lengths)
            reply_count(reply, matches[i].length);
    }
    reply_string(reply, "len");
    reply_count(reply, length);
}

static int refuse_lcs(call *c, int result)
{
    if (result == MLKV_E_TYPE)
        return call_fail(c, result, "ERR The specified keys must contain string values");
    if (result == MLKV_E_SIZE)
        return call_fail(c, result,
                         "ERR Insufficient memory, transient memory for LCS exceeds "
                         "proto-max-bulk-len");
    return call_refuse(c, result);
}

int command_lcs(call *c)
{
    lcs_options options = {0};
    uint64_t length = 0;
    mlkv_buffer *text = &c->reply->value, *matches = &c->reply->numbers;
    int result = 0;
    for (size_t i = 1; i <= 2 && result == 0; i++) { /* keys are looked at before the words */
        mlkv_type type = MLKV_TYPE_NONE;
        result = mlkv_key_type(c->view, c->words[i], &type);
        if (result == 0 && type != MLKV_TYPE_NONE && type != MLKV_TYPE_STRING)
            result = MLKV_E_TYPE;
    }
    if (result < 0)
        return refuse_lcs(c, result);
    result = read_lcs_options(c, &options);
    if (result != 0)
        return result;
    bool whole = !options.length && !options.indexes;
    text->size = matches->size = 0;
    result = mlkv_string_lcs(c->view, c->words[1], c->words[2], options.min_match, &length,
                             whole ? text : NULL, options.indexes ? matches : NULL);
    if (result < 0)
        return refuse_lcs(c, result);
    if (options.indexes)
        reply_matches(c->reply, matches, length, options.lengths);
    else if (options.length)
        reply_count(c->reply, length);
    else
        reply_buffer(c->reply, text);
    return 0;
}
