/* fixture.h - commands as lines of text, and their replies as bytes on the wire.
 *
 * SAYS(db, "SET key 'a value'", "+OK\r\n") runs a line and compares what a RESP2 client would be sent; SAYS3 the same for RESP3. Words
 * are separated by spaces; '...' holds a word with spaces or none at all; \xNN is a byte. What the tests expect was said by redis-server
 * 7.0.15.
 */
#ifndef MLKV_TESTS_COMMAND_FIXTURE_H
#define MLKV_TESTS_COMMAND_FIXTURE_H

#include "types/stores.h"

#include <mlkv/command.h>

enum { WORDS_MAX = 64, LINE_MAX_SIZE = 4096 };

typedef struct {
    mlkv_slice words[WORDS_MAX];
    size_t count;
    char bytes[LINE_MAX_SIZE];
    size_t used;
} command_line;

static inline unsigned hex_digit(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a') + 10;
}

/* One word from *at on. */
static inline void read_word(command_line *self, const char **at)
{
    bool quoted = **at == '\'';
    const char *text = *at + quoted;
    char *begin = self->bytes + self->used;
    for (; *text != '\0' && *text != (quoted ? '\'' : ' '); self->used++) {
        ck_assert_uint_lt(self->used, sizeof self->bytes);
        if (text[0] == '\\' && text[1] == 'x') {
            self->bytes[self->used] = (char)(hex_digit(text[2]) << 4 | hex_digit(text[3]));
            text += 4;
        } else
            self->bytes[self->used] = *text++;
    }
    ck_assert_uint_lt(self->count, WORDS_MAX);
    self->words[self->count++] = slice_of(begin, (size_t)(self->bytes + self->used - begin));
    *at = text + (quoted && *text == '\'');
}

static inline void read_line(command_line *self, const char *line)
{
    self->count = self->used = 0;
    while (*line != '\0')
        if (*line == ' ')
            line++;
        else
            read_word(self, &line);
}

/* Runs a line; the reply's bytes are the caller's. Returns what mlkv_command returned. */
static inline int run_line(mlkv *view, const char *line, int protocol, mlkv_buffer *ret_wire)
{
    static _Thread_local command_line words;
    mlkv_reply reply = {0};
    read_line(&words, line);
    int result = mlkv_command(view, words.words, words.count, &reply);
    ret_wire->size = 0;
    OK(mlkv_reply_encode(&reply, protocol, ret_wire));
    mlkv_reply_free(&reply);
    return result;
}

static inline void says(mlkv *view, const char *line, int protocol, mlkv_slice expected,
                        const char *file, int at)
{
    mlkv_buffer wire = {0};
    int result = run_line(view, line, protocol, &wire);
    bool is_error = wire.size > 0 && *(char *)wire.data == '-';
    if (!slice_equal(slice_of_buffer(&wire), expected) || is_error != (result < 0))
        ck_abort_msg("%s:%d: %s\n  says     \"%.*s\" (%d)\n  expected \"%.*s\"", file, at, line,
                     (int)wire.size, (const char *)wire.data, result, (int)expected.size,
                     (const char *)expected.data);
    mlkv_buffer_free(&wire);
}

#define SAYS(view, line, expected)  says(view, line, 2, TEXT(expected), __FILE__, __LINE__)
#define SAYS3(view, line, expected) says(view, line, 3, TEXT(expected), __FILE__, __LINE__)

/* What most replies are. */
#define BULK(text)                   "$" text "\r\n" /* BULK("3\r\nabc") */
#define SAYS_OK(view, line)          SAYS(view, line, "+OK\r\n")
#define SAYS_NUMBER(view, line, n)   SAYS(view, line, ":" #n "\r\n")
#define SAYS_NIL(view, line)         SAYS(view, line, "$-1\r\n")
#define SAYS_ERROR(view, line, text) SAYS(view, line, "-" text "\r\n")
#define WRONG_TYPE                   "WRONGTYPE Operation against a key holding the wrong kind of value"
#define NOT_INTEGER                  "ERR value is not an integer or out of range"
#define NOT_FLOAT                    "ERR value is not a valid float"
#define SYNTAX                       "ERR syntax error"

#endif
