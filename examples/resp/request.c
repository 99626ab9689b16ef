/* request.c - the bytes that a client sent, cut into requests of words.
 *
 * A request is an array of bulk strings ("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n") or a line for people (`GET k`), with Redis's quotes. Bytes are
 * read into one buffer, words are places in it: nothing is copied. What was read of a request is remembered, so that one that comes byte by
 * byte costs no more than one that comes at once.
 *
 * Invariants
 *   1. Offsets of words count from the request's begin, so that the buffer may move and be shifted while a request is incomplete.
 *   2. What a client declares is no reason to allocate: the buffer doubles as bytes come, and ends at what the request needs.
 *   3. Only bytes before `size` are looked at; no zero stands behind them.
 */
#include "request.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NO_NUMBER = -1, WORDS_KEPT_MAX = 64, WORDS_FIRST = 8 };

void request_init(request *self)
{
    *self = (request){.words_left = NO_NUMBER, .word_bytes = NO_NUMBER};
}

void request_done(request *self)
{
    free(self->data);
    free(self->words);
    request_init(self);
}

size_t request_waiting(const request *self)
{
    return self->size - self->start;
}

size_t request_memory(const request *self)
{
    return self->capacity + self->word_capacity * sizeof *self->words;
}

/* --- the buffer --- */

/* How large the buffer must be for the word that is coming, if that is known. */
static size_t wanted_capacity(const request *self)
{
    size_t doubled = self->capacity * 2, needed;
    if (self->word_bytes == NO_NUMBER)
        return doubled;
    needed = self->position + (size_t)self->word_bytes + REQUEST_READ_BYTES;
    if (needed > doubled || needed < self->size + REQUEST_READ_BYTES)
        return doubled;
    return needed;
}

char *request_room(request *self, size_t *ret_size)
{
    if (self->capacity - self->size < REQUEST_READ_BYTES && self->start != 0) {
        memmove(self->data, self->data + self->start, self->size - self->start);
        self->size -= self->start;
        self->start = 0;
    }
    if (self->capacity - self->size < REQUEST_READ_BYTES) {
        size_t capacity = wanted_capacity(self);
        if (capacity < self->size + REQUEST_READ_BYTES)
            capacity = self->size + REQUEST_READ_BYTES;
        char *data = realloc(self->data, capacity);
        if (data == NULL)
            return NULL;
        self->data = data;
        self->capacity = capacity;
    }
    *ret_size = self->capacity - self->size;
    return self->data + self->size;
}

void request_add(request *self, size_t size)
{
    self->size += size;
}

static void begin_request(request *self)
{
    self->position = 0;
    self->searched = 0;
    self->words_left = NO_NUMBER;
    self->word_bytes = NO_NUMBER;
    self->count = 0;
    self->ready = false;
}

void request_consume(request *self)
{
    self->start += self->position;
    if (self->start == self->size)
        self->start = self->size = 0;
    begin_request(self);
    if (self->word_capacity > WORDS_KEPT_MAX) {
        free(self->words);
        self->words = NULL;
        self->word_capacity = 0;
    }
}

void request_trim(request *self)
{
    if (self->start != self->size || self->words_left != NO_NUMBER)
        return;
    request_done(self);
}

/* --- parts --- */

static bool add_word(request *self, size_t offset, size_t size)
{
    if (self->count == self->word_capacity) {
        size_t capacity = self->word_capacity == 0 ? WORDS_FIRST : self->word_capacity * 2;
        request_word *words = realloc(self->words, capacity * sizeof *words);
        if (words == NULL)
            return false;
        self->words = words;
        self->word_capacity = capacity;
    }
    self->words[self->count++] = (request_word){offset, size};
    return true;
}

static request_state broken(char error[128], const char *text)
{
    (void)snprintf(error, 128, "ERR Protocol error: %s", text);
    return REQUEST_BROKEN;
}

/* Looks for `end` from position on. READY: *ret_size bytes stand before it. */
static request_state find_end(request *self, char end, const char *too_big, size_t *ret_size,
                              char error[128])
{
    const char *base = self->data + self->start + self->position;
    size_t there = self->size - self->start - self->position;
    const char *found = memchr(base + self->searched, end, there - self->searched);
    if (found != NULL) {
        *ret_size = (size_t)(found - base);
        return REQUEST_READY;
    }
    self->searched = there;
    return there > REQUEST_LINE_BYTES_MAX ? broken(error, too_big) : REQUEST_PARTIAL;
}

/* A decimal number without anything else, as Redis reads it: "-5", "0", "17"; no "+1", no "01". */
static bool read_number(const char *text, size_t size, int64_t *ret_value)
{
    bool negative = size > 1 && text[0] == '-';
    int64_t value = 0;
    if (size == 1 && text[0] == '0') {
        *ret_value = 0;
        return true;
    }
    text += negative;
    size -= negative;
    if (size == 0 || size > 18 || text[0] < '1' || text[0] > '9')
        return false;
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (text[i] - '0');
    }
    *ret_value = negative ? -value : value;
    return true;
}

/* Reads the number that stands behind a mark of one byte, up to the line's end. READY: it was taken. */
static request_state take_number(request *self, const char *too_big, const char *invalid,
                                 int64_t *ret_value, char error[128])
{
    size_t line;
    request_state state = find_end(self, '\r', too_big, &line, error);
    if (state != REQUEST_READY)
        return state;
    if (self->start + self->position + line + 2 > self->size) {
        self->searched = line;
        return REQUEST_PARTIAL; /* the line feed is still to come */
    }
    if (line < 1 ||
        !read_number(self->data + self->start + self->position + 1, line - 1, ret_value))
        return broken(error, invalid);
    self->position += line + 2;
    self->searched = 0;
    return REQUEST_READY;
}

/* --- arrays of bulk strings --- */

static request_state take_word(request *self, bool trusted, uint64_t word_bytes_max,
                               char error[128])
{
    static const char invalid[] = "invalid bulk length";
    if (self->word_bytes == NO_NUMBER) {
        size_t at = self->start + self->position;
        int64_t bytes;
        if (at == self->size)
            return REQUEST_PARTIAL;
        if (self->data[at] != '$') {
            char mark = self->data[at], text[32];
            (void)snprintf(text, sizeof text, "expected '$', got '%c'",
                           mark == '\r' || mark == '\n' || mark == 0 ? ' ' : mark);
            return broken(error, text);
        }
        request_state state =
            take_number(self, "too big bulk count string", invalid, &bytes, error);
        if (state != REQUEST_READY)
            return state;
        if (bytes < 0 || (uint64_t)bytes > word_bytes_max)
            return broken(error, invalid);
        if (!trusted && bytes > REQUEST_UNKNOWN_BYTES_MAX)
            return broken(error, "unauthenticated bulk length");
        self->word_bytes = bytes;
    }
    size_t size = (size_t)self->word_bytes;
    if (self->size - self->start - self->position < size + 2)
        return REQUEST_PARTIAL;
    if (!add_word(self, self->position, size))
        return REQUEST_MEMORY;
    self->position += size + 2;
    self->word_bytes = NO_NUMBER;
    return REQUEST_READY;
}

static request_state next_array(request *self, bool trusted, uint64_t word_bytes_max,
                                char error[128])
{
    request_state state;
    if (self->words_left == NO_NUMBER) {
        int64_t words;
        state = take_number(self, "too big mbulk count string", "invalid multibulk length", &words,
                            error);
        if (state != REQUEST_READY)
            return state;
        if (words > REQUEST_WORDS_MAX)
            return broken(error, "invalid multibulk length");
        if (!trusted && words > REQUEST_UNKNOWN_WORDS_MAX)
            return broken(error, "unauthenticated multibulk length");
        if (words <= 0) {
            request_consume(self);
            return REQUEST_NOTHING;
        }
        self->words_left = words;
    }
    for (; self->words_left != 0; self->words_left--) {
        state = take_word(self, trusted, word_bytes_max, error);
        if (state != REQUEST_READY)
            return state;
    }
    return REQUEST_READY;
}

/* --- lines --- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* What a backslash in double quotes stands for; *ret_used: bytes after the backslash. */
static char unescape(const char *text, const char *end, size_t *ret_used)
{
    *ret_used = 1;
    if (*text == 'x' && end - text >= 3 && hex_digit(text[1]) >= 0 && hex_digit(text[2]) >= 0) {
        *ret_used = 3;
        return (char)(hex_digit(text[1]) * 16 + hex_digit(text[2]));
    }
    switch (*text) {
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'b':
        return '\b';
    case 'a':
        return '\a';
    default:
        return *text;
    }
}

static bool is_blank(char c)
{
    return isspace((unsigned char)c) != 0;
}

/* One word of a line, made plain where it stands: that only makes it shorter. *text is moved behind it. False: quotes do not fit. */
static bool plain_word(char **text, char *end, size_t *ret_size)
{
    char *from = *text, *to = *text, quote = 0;
    for (; from < end; from++) {
        size_t used;
        if (quote == 0) {
            if (is_blank(*from))
                break;
            if (*from == '"' || *from == '\'')
                quote = *from;
            else
                *to++ = *from;
        } else if (*from == quote) {
            quote = 0;
            if (from + 1 < end && !is_blank(from[1]))
                return false;
        } else if (quote == '"' && *from == '\\' && from + 1 < end) {
            *to++ = unescape(from + 1, end, &used);
            from += used;
        } else if (quote == '\'' && *from == '\\' && from + 1 < end && from[1] == '\'') {
            *to++ = '\'';
            from++;
        } else {
            *to++ = *from;
        }
    }
    *ret_size = (size_t)(to - *text);
    *text = from;
    return quote == 0;
}

static request_state next_line(request *self, char error[128])
{
    size_t line, size;
    request_state state = find_end(self, '\n', "too big inline request", &line, error);
    if (state != REQUEST_READY)
        return state;
    char *begin = self->data + self->start, *end = begin + line, *text = begin;
    if (line != 0 && end[-1] == '\r')
        end--;
    char *zero = memchr(begin, 0, (size_t)(end - begin));
    end = zero != NULL ? zero : end;
    for (;;) {
        while (text < end && is_blank(*text))
            text++;
        if (text == end)
            break;
        char *word = text;
        if (!plain_word(&text, end, &size))
            return broken(error, "unbalanced quotes in request");
        if (!add_word(self, (size_t)(word - begin), size))
            return REQUEST_MEMORY;
    }
    self->position = line + 1;
    if (self->count != 0)
        return REQUEST_READY;
    request_consume(self);
    return REQUEST_NOTHING;
}

request_state request_next(request *self, bool trusted, uint64_t word_bytes_max, char error[128])
{
    request_state state = REQUEST_READY;
    if (self->ready)
        return state;
    if (self->start == self->size)
        return REQUEST_PARTIAL;
    if (self->data[self->start] == '*')
        state = next_array(self, trusted, word_bytes_max, error);
    else
        state = next_line(self, error);
    self->ready = state == REQUEST_READY;
    return state;
}
