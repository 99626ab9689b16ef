/* scan.c - SCAN, HSCAN, SSCAN, ZSCAN.
 *
 * Redis's cursor is a number. Here a position is a name (mlkv_cursor_token), so the number is the position's bytes behind a leading 1, as
 * one large number in decimal: without state, good for ever and in any process, and without a limit of 64 bits. 0 is the begin and the
 * end. A server whose clients know only 64 bits keeps a table (MLKV_COMMAND_SCANS).
 *
 * Invariants:
 *  1. A number from outside is bounded before it is converted: positions have at most POSITION_MAX bytes.
 *  2. A part looks at COUNT names at most, and says 0 only behind the last one.
 *
 * No locks, no state; a position is converted in a buffer on the stack.
 */
#include "command/expects.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/glob.h"

enum {
    POSITION_MAX = 1024, /* bytes; tokens have some 520 */
    LIMB_DIGITS = 9,
    LIMBS_MAX = (POSITION_MAX + 1) * 8 / 29 + 2, /* 9 digits are 29.9 bits */
    DIGITS_MAX = LIMBS_MAX * LIMB_DIGITS,
    COUNT_DEFAULT = 10,
};

static const uint32_t LIMB = 1000000000; /* 10^LIMB_DIGITS */

/* --- positions as numbers --- */

typedef struct {
    uint32_t limbs[LIMBS_MAX]; /* lowest first, each below LIMB */
    size_t count;
} decimal;

static void decimal_add_byte(decimal *self, unsigned char byte)
{
    uint64_t carry = byte;
    for (size_t i = 0; i < self->count || carry != 0; i++) {
        if (i == self->count)
            self->limbs[self->count++] = 0;
        carry += (uint64_t)self->limbs[i] * 256;
        self->limbs[i] = (uint32_t)(carry % LIMB);
        carry /= LIMB;
    }
}

/* The remainder of a division by 256, which the number becomes. */
static unsigned char decimal_take_byte(decimal *self)
{
    uint64_t rest = 0;
    for (size_t i = self->count; i-- > 0;) {
        rest = rest * LIMB + self->limbs[i];
        self->limbs[i] = (uint32_t)(rest / 256);
        rest %= 256;
    }
    while (self->count > 0 && self->limbs[self->count - 1] == 0)
        self->count--;
    return (unsigned char)rest;
}

/* false: no number of ours. */
static bool read_position(mlkv_slice word, mlkv_buffer *position)
{
    const char *digits = word.data;
    unsigned char bytes[POSITION_MAX + 1];
    decimal number = {.count = 0};
    size_t size = 0;
    position->size = 0;
    if (word.size > DIGITS_MAX - LIMB_DIGITS) /* no digit at all is 0, as in Redis */
        return false;
    for (size_t end = word.size; end > 0; end -= end < LIMB_DIGITS ? end : LIMB_DIGITS) {
        uint32_t limb = 0;
        for (size_t i = end < LIMB_DIGITS ? 0 : end - LIMB_DIGITS; i < end; i++) {
            if (digits[i] < '0' || digits[i] > '9')
                return false;
            limb = limb * 10 + (uint32_t)(digits[i] - '0');
        }
        number.limbs[number.count++] = limb;
    }
    while (number.count > 0 && number.limbs[number.count - 1] == 0)
        number.count--;
    while (number.count > 0) {
        if (size == sizeof bytes)
            return false;
        bytes[size++] = decimal_take_byte(&number);
    }
    if (size == 0)
        return true;
    for (size_t i = 0; i + 1 < size; i++) { /* all but the leading 1, highest first */
        unsigned char *to = buffer_extend(position, 1);
        if (to == NULL)
            return false;
        *to = bytes[size - 2 - i];
    }
    return bytes[size - 1] == 1;
}

static void reply_position(mlkv_reply *reply, mlkv_slice position)
{
    char text[DIGITS_MAX + 1] = {0};
    const unsigned char *bytes = position.data;
    decimal number = {.limbs = {1}, .count = 1};
    size_t size = 0;
    for (size_t i = 0; i < position.size; i++)
        decimal_add_byte(&number, bytes[i]);
    for (size_t i = number.count; i-- > 0;)
        for (uint32_t part = LIMB / 10; part > 0; part /= 10)
            text[size++] = (char)('0' + number.limbs[i] / part % 10);
    size_t zeros = 0;
    while (zeros < size && text[zeros] == '0')
        zeros++;
    reply_bytes(reply, slice_of(text + zeros, size - zeros));
}

/* --- a part --- */

typedef struct {
    mlkv_scan_kind kind;
    mlkv_slice key;
    mlkv_slice pattern;
    mlkv_slice type;
    bool typed, matches; /* type, pattern are given */
    int64_t count;
} scan_words;

static int read_options(call *c, size_t i, scan_words *words)
{
    for (; i < c->count; i += 2) {
        int result = 0;
        if (i + 1 == c->count)
            return call_syntax(c);
        if (call_is(c, i, "COUNT")) {
            result = call_integer(c, i + 1, &words->count);
            if (result == 0 && words->count < 1)
                result = call_syntax(c);
        } else if (call_is(c, i, "MATCH")) {
            words->pattern = c->words[i + 1];
            words->matches = true;
        } else if (call_is(c, i, "TYPE") && words->kind == MLKV_SCAN_KEYS) {
            words->type = c->words[i + 1];
            words->typed = true;
        } else {
            result = call_syntax(c);
        }
        if (result != 0)
            return result;
    }
    return 0;
}

static bool is_wanted(const scan_words *words, mlkv_slice name, mlkv_slice value)
{
    if (words->typed) {
        char type[16];
        if (value.size >= sizeof type)
            return false;
        memcpy(type, value.data, value.size);
        type[value.size] = '\0';
        if (!word_is(words->type, type))
            return false;
    }
    return !words->matches || glob_matches(words->pattern, name);
}

/* Up to `count` names of a cursor. *ret_ended: there are no more. */
static int reply_names(call *c, const scan_words *words, mlkv_cursor *cursor, size_t place,
                       bool *ret_ended)
{
    bool paired = words->kind == MLKV_SCAN_HASH || words->kind == MLKV_SCAN_ZSET;
    uint64_t shown = 0;
    int result = 0;
    for (int64_t i = 0; i < words->count && result == 0; i++) {
        mlkv_slice name, value;
        result = mlkv_cursor_next(cursor, &name, &value);
        if (result != 0 || !is_wanted(words, name, value))
            continue;
        reply_bytes(c->reply, name);
        if (paired)
            reply_bytes(c->reply, value);
        shown += paired ? 2 : 1;
    }
    *ret_ended = result == MLKV_ABSENT;
    reply_set_count(c->reply, place, shown);
    return result < 0 ? result : 0;
}

static void reply_nothing(call *c)
{
    (void)reply_array(c->reply, 2);
    reply_string(c->reply, "0");
    (void)reply_array(c->reply, 0);
}

/* The cursor's number comes first, and is known last: the names are put aside in the reply's order. */
static int reply_part(call *c, const scan_words *words, mlkv_cursor *cursor)
{
    mlkv_buffer *token = &c->reply->value;
    bool ended = false;
    size_t first = reply_array(c->reply, 2);
    size_t place = reply_array(c->reply, 0);
    int result = reply_names(c, words, cursor, place, &ended);
    if (result == 0 && !ended)
        result = mlkv_cursor_token(cursor, token);
    if (result < 0)
        return result;
    if (ended)
        reply_string(c->reply, "0");
    else
        reply_position(c->reply, slice_of_buffer(token));
    reply_last_to(c->reply, first + 1);
    return 0;
}

static int run(call *c, const scan_words *words)
{
    mlkv_buffer *position = &c->reply->value, *prefix = &c->reply->numbers;
    mlkv_query query = {.size = sizeof query, .kind = (int32_t)words->kind, .key = words->key};
    mlkv_cursor *cursor = NULL;
    prefix->size = 0;
    if (words->matches && glob_prefix(words->pattern, prefix) != 0)
        return call_refuse(c, MLKV_E_MEMORY);
    query.prefix = slice_of_buffer(prefix);
    query.token = slice_of_buffer(position);
    int result = mlkv_cursor_open(c->view, &query, &cursor);
    if (result == MLKV_E_ARGUMENT && position->size > 0)
        return call_fail(c, result, "ERR invalid cursor");
    if (result == MLKV_OK)
        result = reply_part(c, words, cursor);
    mlkv_cursor_close(cursor);
    return result < 0 ? call_refuse(c, result) : 0;
}

static int scan_elements(call *c, mlkv_scan_kind kind, mlkv_type wanted)
{
    scan_words words = {.kind = kind, .key = c->words[1], .count = COUNT_DEFAULT};
    if (!read_position(c->words[2], &c->reply->value))
        return call_fail(c, MLKV_E_ARGUMENT, "ERR invalid cursor");
    int result = expects_type(c, 1, wanted);
    if (result == MLKV_ABSENT) { /* before the options are read, as in Redis */
        reply_nothing(c);
        return 0;
    }
    if (result == 0)
        result = read_options(c, 3, &words);
    return result != 0 ? result : run(c, &words);
}

int command_scan(call *c)
{
    scan_words words = {.kind = MLKV_SCAN_KEYS, .count = COUNT_DEFAULT};
    if (!read_position(c->words[1], &c->reply->value))
        return call_fail(c, MLKV_E_ARGUMENT, "ERR invalid cursor");
    int result = read_options(c, 2, &words);
    return result != 0 ? result : run(c, &words);
}

int command_hscan(call *c)
{
    return scan_elements(c, MLKV_SCAN_HASH, MLKV_TYPE_HASH);
}

int command_sscan(call *c)
{
    return scan_elements(c, MLKV_SCAN_SET, MLKV_TYPE_SET);
}

int command_zscan(call *c)
{
    return scan_elements(c, MLKV_SCAN_ZSET, MLKV_TYPE_ZSET);
}
