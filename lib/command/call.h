/* call.h - one command being run: its words, its reply, and what all commands need to read words and to refuse them.
 *
 * A command is a function `int command_NAME(call *c)`. It reads its words, calls the typed functions of include/mlkv/, and fills the reply;
 * it returns 0 or what call_fail, call_syntax, call_refuse ... returned, and nothing else: these put the error into the reply, in Redis's
 * words. Number and name of the words were checked before by the table. All words are checked before anything is written.
 *
 * reply_* (reply.h) cannot fail: a lack of memory is remembered in the reply and becomes the result of mlkv_command.
 * Scratch: c->reply->value, ->numbers and ->rows are free for the command; what the reply says is copied out of them.
 * No locks: a call belongs to one thread.
 */
#ifndef MLKV_COMMAND_CALL_H
#define MLKV_COMMAND_CALL_H

#include "command/reply.h"
#include "command/table.h"

#include <mlkv/mlkv.h>
#include <stdbool.h>

typedef struct call {
    mlkv *view;
    const mlkv_slice *words; /* words[0] is the name */
    size_t count;
    mlkv_reply *reply;
    const command_row *row;
} call;

/* --- refusing (call.c); each returns a negative result --- */
/* This text is the reply. It begins with a word in capitals: "ERR value is not an integer or out of range". `code` becomes the result. */
int call_fail(call *c, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));
int call_syntax(call *c);      /* ERR syntax error */
int call_not_integer(call *c); /* ERR value is not an integer or out of range */
int call_not_float(call *c);   /* ERR value is not a valid float */
int call_wrong_arity(call *c); /* ERR wrong number of arguments for 'x' command */
/* A negative result of a typed function in Redis's words, where they follow from the result alone: WRONGTYPE, READONLY, OOM ...; otherwise
 * ERR and the library's detail. Commands turn MLKV_E_NUMBER, MLKV_E_RANGE and the like into their own texts before. */
int call_refuse(call *c, int result);

/* --- reading words (call.c): 0, or a negative result after the error was put into the reply --- */
/* Redis's string2ll: "-1", "17"; ERR value is not an integer or out of range. */
int call_integer(call *c, size_t i, int64_t *ret_value);
/* The same within min and max; another number is refused with `text` (a whole error), or as above if that is NULL. */
int call_integer_within(call *c, size_t i, int64_t min, int64_t max, const char *text,
                        int64_t *ret_value);
/* ERR value is not a valid float; NaN too. */
int call_double(call *c, size_t i, double *ret_value);
/* Whether word i is there and is this token, in letters of any case. */
bool call_is(const call *c, size_t i, const char *token);
/* numkeys at word i, then so many words: at least 1 (ERR numkeys should be greater than 0), and not more than there are (syntax error). */
int call_key_count(call *c, size_t i, size_t *ret_count);
/* The words from i on as names and values, in c->reply->numbers: an odd number of them is the wrong number of arguments. */
int call_pairs(call *c, size_t i, mlkv_pair **ret_pairs, size_t *ret_count);
/* A time to wait in seconds, as text with a fraction: ERR timeout is not a float or out of range; ERR timeout is negative. Rounded up to
 * milliseconds as mlkv/wait.h wants them: -1 for ever (0 in Redis), never 0. */
int call_timeout(call *c, size_t i, int64_t *ret_timeout_ms);

/* Adds to a table of options: bytes equal to a token in any case. */
bool word_is(mlkv_slice word, const char *token);

/* --- the end of many commands --- */
/* 0: the integer; negative: refused. */
int call_answer_count(call *c, int result, uint64_t count);
/* OK; negative: refused. */
int call_answer_ok(call *c, int result);
/* 0: 1; MLKV_ABSENT: 0; negative: refused. */
int call_answer_whether(call *c, int result);
/* 0: the content of c->reply->value; MLKV_ABSENT: nil; negative: refused. */
int call_answer_value(call *c, int result);
/* 0: the rows c->reply->rows as a collection of this kind; negative: refused. */
int call_answer_rows(call *c, int result, mlkv_reply_kind kind);

#endif
