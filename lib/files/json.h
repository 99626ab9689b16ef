/* json.h - the tokens of a JSON text whose grammar the caller knows, and texts written as JSON. No state beyond the reader, no locks. */
#ifndef MLKV_FILES_JSON_H
#define MLKV_FILES_JSON_H

#include <mlkv/base.h>
#include <stdbool.h>

typedef struct {
    const char *text;
    size_t size, at;
    mlkv_buffer *strings; /* where strings are decoded to, one after another */
} json_reader;

/* A string that was read: its place in the reader's strings. */
typedef struct {
    size_t at, size;
} json_string;

void json_skip(json_reader *self);
/* Passes over blanks, and over the letter if it is there. */
bool json_take(json_reader *self, char letter);
/* MLKV_E_FORMAT unless it is there. */
int json_need(json_reader *self, char letter);
/* A string, as UTF-8. MLKV_E_FORMAT: none, or not valid UTF-8 (half of a surrogate pair is not either). */
int json_read_string(json_reader *self, json_string *ret_string);
mlkv_slice json_slice(const json_reader *self, json_string string);
/* A list of up to `most` whole numbers of 64 bits. */
int json_read_numbers(json_reader *self, size_t most, uint64_t *ret_numbers, size_t *ret_count);
/* Members of an object: before the first (*first is true, and becomes false) and each further name. MLKV_ABSENT: it is at its end.
 * The caller reads the value before the next call. */
int json_next_member(json_reader *self, bool *first, json_string *ret_name);

/* Valid UTF-8: no surrogates, nothing longer than it need be. */
bool json_is_utf8(mlkv_slice text);
/* Appends text as a JSON string, in quotes. */
int json_append_string(mlkv_buffer *out, mlkv_slice text);

#endif
