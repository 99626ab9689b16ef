/* json.c - reading JSON by a grammar that the caller walks, and writing its strings.
 *
 * A reader of any JSON would build a tree of what strangers wrote: 100 MB of "[0,0,0" become gigabytes, and libraries refuse what
 * safetensors allows (a NUL in a name). Here nothing nests by itself: the caller asks for the token that must come, and whatever else
 * stands there is an error that names the place. So the stack is bounded by the caller's grammar, and memory by the text.
 *
 * Strings are decoded into one buffer, and named by their places in it, because it moves when it grows.
 *
 * Invariants:
 *  1. at <= size; each step takes at least a byte or fails.
 *  2. What is decoded is valid UTF-8, and never longer than the text it was read from.
 *
 * State: the reader's. Locks: none.
 */
#include "files/json.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"

#include <stdio.h>

/* The letter that stands next, -1 at the end. */
static int peek(const json_reader *self)
{
    return self->at < self->size ? (unsigned char)self->text[self->at] : -1;
}

static int fail(const json_reader *self, const char *wanted)
{
    if (self->at >= self->size)
        return error_set(MLKV_E_FORMAT, "%s was expected at byte %zu, where it ends", wanted,
                         self->at);
    return error_set(MLKV_E_FORMAT, "%s was expected at byte %zu, and '%s' is there", wanted,
                     self->at, error_quote(self->text + self->at, 1));
}

void json_skip(json_reader *self)
{
    while (peek(self) > 0 && strchr(" \t\n\r", peek(self)) != NULL)
        self->at++;
}

bool json_take(json_reader *self, char letter)
{
    json_skip(self);
    if (self->at == self->size || self->text[self->at] != letter)
        return false;
    self->at++;
    return true;
}

int json_need(json_reader *self, char letter)
{
    const char wanted[] = {'\'', letter, '\'', '\0'};
    return json_take(self, letter) ? MLKV_OK : fail(self, wanted);
}

/* --- UTF-8 --- */

/* Bytes of the character that begins here, 0 if none does. */
static size_t utf8_length(const unsigned char *bytes, size_t size)
{
    unsigned char first = bytes[0];
    size_t length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (length == 0 || first > 0xf4 || length > size)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
    bool wrong = (first == 0xe0 && bytes[1] < 0xa0) ||  /* two bytes would do */
                 (first == 0xed && bytes[1] >= 0xa0) || /* a surrogate */
                 (first == 0xf0 && bytes[1] < 0x90) ||  /* three would do */
                 (first == 0xf4 && bytes[1] >= 0x90);   /* past the last character */
    return wrong ? 0 : length;
}

bool json_is_utf8(mlkv_slice text)
{
    const unsigned char *bytes = text.data;
    for (size_t at = 0, length; at < text.size; at += length) {
        length = utf8_length(bytes + at, text.size - at);
        if (length == 0)
            return false;
    }
    return true;
}

static int append_character(mlkv_buffer *out, uint32_t code)
{
    unsigned char bytes[4];
    size_t size = 0;
    if (code < 0x80) {
        bytes[size++] = (unsigned char)code;
    } else if (code < 0x800) {
        bytes[size++] = (unsigned char)(0xc0 | code >> 6);
    } else if (code < 0x10000) {
        bytes[size++] = (unsigned char)(0xe0 | code >> 12);
        bytes[size++] = (unsigned char)(0x80 | (code >> 6 & 0x3f));
    } else {
        bytes[size++] = (unsigned char)(0xf0 | code >> 18);
        bytes[size++] = (unsigned char)(0x80 | (code >> 12 & 0x3f));
        bytes[size++] = (unsigned char)(0x80 | (code >> 6 & 0x3f));
    }
    if (code >= 0x80)
        bytes[size++] = (unsigned char)(0x80 | (code & 0x3f));
    return buffer_append(out, bytes, size);
}

/* --- strings --- */

/* Four hexadecimal digits. */
static int read_unit(json_reader *self, uint32_t *ret_unit)
{
    *ret_unit = 0;
    for (int i = 0; i < 4; i++) {
        int letter = peek(self);
        int digit = letter >= '0' && letter <= '9'   ? letter - '0'
                    : letter >= 'a' && letter <= 'f' ? letter - 'a' + 10
                    : letter >= 'A' && letter <= 'F' ? letter - 'A' + 10
                                                     : -1;
        if (digit < 0)
            return fail(self, "a hexadecimal digit");
        *ret_unit = *ret_unit << 4 | (uint32_t)digit;
        self->at++;
    }
    return MLKV_OK;
}

/* Behind "\u". */
static int read_code(json_reader *self, uint32_t *ret_code)
{
    uint32_t low;
    size_t start = self->at;
    int result = read_unit(self, ret_code);
    if (result != MLKV_OK || *ret_code < 0xd800 || *ret_code > 0xdfff)
        return result;
    bool pair = *ret_code < 0xdc00 && self->size - self->at >= 2 && self->text[self->at] == '\\' &&
                self->text[self->at + 1] == 'u';
    if (pair) {
        self->at += 2;
        result = read_unit(self, &low);
        if (result != MLKV_OK)
            return result;
        *ret_code = 0x10000 + ((*ret_code - 0xd800) << 10) + (low - 0xdc00);
        pair = low >= 0xdc00 && low <= 0xdfff;
    }
    return pair ? MLKV_OK
                : error_set(MLKV_E_FORMAT, "half of a surrogate pair at byte %zu", start - 2);
}

static int read_escape(json_reader *self)
{
    static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    if (self->at == self->size)
        return fail(self, "the rest of an escape");
    char letter = self->text[self->at];
    const char *found = memchr(letters, letter, sizeof letters - 1);
    uint32_t code;
    if (found == NULL && letter != 'u')
        return fail(self, "an escape that JSON has");
    self->at++;
    if (found != NULL)
        return buffer_append(self->strings, &meant[found - letters], 1);
    int result = read_code(self, &code);
    return result != MLKV_OK ? result : append_character(self->strings, code);
}

/* Bytes that stand for themselves, up to a quote, an escape or the end. */
static int read_plain(json_reader *self)
{
    size_t start = self->at;
    while (self->at < self->size) {
        unsigned char letter = (unsigned char)self->text[self->at];
        if (letter == '"' || letter == '\\')
            break;
        size_t length = letter < 0x20 ? 0
                                      : utf8_length((const unsigned char *)self->text + self->at,
                                                    self->size - self->at);
        if (length == 0)
            return fail(self, letter < 0x20 ? "an escaped control character" : "UTF-8");
        self->at += length;
    }
    return buffer_append(self->strings, self->text + start, self->at - start);
}

int json_read_string(json_reader *self, json_string *ret_string)
{
    size_t start = self->strings->size;
    int result = json_take(self, '"') ? MLKV_OK : fail(self, "a text");
    while (result == MLKV_OK) {
        result = read_plain(self);
        if (result != MLKV_OK)
            break;
        if (self->at == self->size)
            return fail(self, "'\"'");
        if (self->text[self->at++] == '"')
            break;
        result = read_escape(self);
    }
    if (result == MLKV_OK)
        *ret_string = (json_string){start, self->strings->size - start};
    return result;
}

mlkv_slice json_slice(const json_reader *self, json_string string)
{
    return string.size == 0 ? slice_of(NULL, 0)
                            : slice_of((const char *)self->strings->data + string.at, string.size);
}

/* --- numbers, members --- */

static int read_number(json_reader *self, uint64_t *ret_number)
{
    json_skip(self);
    size_t start = self->at;
    uint64_t number = 0;
    for (; self->at < self->size; self->at++) {
        char letter = self->text[self->at];
        if (letter < '0' || letter > '9')
            break;
        if (self->at > start && number == 0)
            return error_set(MLKV_E_FORMAT, "a number at byte %zu begins with 0", start);
        if (__builtin_mul_overflow(number, 10U, &number) ||
            __builtin_add_overflow(number, (uint64_t)(letter - '0'), &number))
            return error_set(MLKV_E_FORMAT, "the number at byte %zu is out of range", start);
    }
    if (self->at == start)
        return fail(self, "a whole number");
    *ret_number = number;
    return MLKV_OK;
}

int json_read_numbers(json_reader *self, size_t most, uint64_t *ret_numbers, size_t *ret_count)
{
    int result = json_need(self, '[');
    *ret_count = 0;
    if (result != MLKV_OK || json_take(self, ']'))
        return result;
    for (;;) {
        if (*ret_count == most)
            return error_set(MLKV_E_FORMAT, "more than %zu numbers in the list at byte %zu", most,
                             self->at);
        result = read_number(self, &ret_numbers[*ret_count]);
        if (result != MLKV_OK)
            return result;
        ++*ret_count;
        if (json_take(self, ']'))
            return MLKV_OK;
        result = json_need(self, ',');
        if (result != MLKV_OK)
            return result;
    }
}

int json_next_member(json_reader *self, bool *first, json_string *ret_name)
{
    bool begins = *first;
    int result = begins ? json_need(self, '{') : MLKV_OK;
    *first = false;
    if (result == MLKV_OK && json_take(self, '}'))
        return MLKV_ABSENT;
    if (result == MLKV_OK && !begins)
        result = json_need(self, ',');
    if (result == MLKV_OK)
        result = json_read_string(self, ret_name);
    return result != MLKV_OK ? result : json_need(self, ':');
}

/* --- writing --- */

int json_append_string(mlkv_buffer *out, mlkv_slice text)
{
    static const char letters[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
    const unsigned char *bytes = text.data;
    int result = buffer_append(out, "\"", 1);
    for (size_t i = 0; i < text.size && result == MLKV_OK; i++) {
        char escape[8];
        const char *found = memchr(letters, bytes[i], sizeof letters - 1);
        size_t size = 0;
        if (found != NULL)
            size = (size_t)snprintf(escape, sizeof escape, "\\%c", names[found - letters]);
        else if (bytes[i] < 0x20)
            size = (size_t)snprintf(escape, sizeof escape, "\\u%04x", bytes[i]);
        result = size != 0 ? buffer_append(out, escape, size) : buffer_append(out, &bytes[i], 1);
    }
    return result != MLKV_OK ? result : buffer_append(out, "\"", 1);
}
