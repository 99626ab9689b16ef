/* reply.h - making a reply (reply.c). What commands use of it stands in call.h. */
#ifndef MLKV_COMMAND_REPLY_H
#define MLKV_COMMAND_REPLY_H

#include <mlkv/command.h>
#include <stdbool.h>

/* These cannot fail: a lack of memory is remembered in the reply, and reply_finish says it. Bytes are copied. */

void reply_nil(mlkv_reply *reply);
void reply_nil_array(mlkv_reply *reply);
void reply_status(mlkv_reply *reply, const char *text);
void reply_ok(mlkv_reply *reply);
void reply_integer(mlkv_reply *reply, int64_t value);
void reply_count(mlkv_reply *reply, uint64_t value); /* an integer */
void reply_double(mlkv_reply *reply, double value);
void reply_bytes(mlkv_reply *reply, mlkv_slice bytes);
void reply_buffer(mlkv_reply *reply, const mlkv_buffer *buffer); /* its content as bytes */
void reply_text(mlkv_reply *reply, mlkv_slice text);
void reply_string(mlkv_reply *reply, const char *text); /* bytes up to a zero */
/* An item of rows: bytes, or nil if it is absent. */
void reply_item(mlkv_reply *reply, mlkv_slice item);
/* A collection of `count` elements (of a map or pairs: names and values), which must follow. Returns its place for reply_set_count. */
size_t reply_collection(mlkv_reply *reply, mlkv_reply_kind kind, uint64_t count);
size_t reply_array(mlkv_reply *reply, uint64_t count);
/* How many there are, where that was not known. */
void reply_set_count(mlkv_reply *reply, size_t place, uint64_t count);
/* Moves the last node, which is no collection, in front of the one at `place`. */
void reply_last_to(mlkv_reply *reply, size_t place);
/* A collection of all items of rows. */
void reply_rows(mlkv_reply *reply, mlkv_reply_kind kind, const mlkv_rows *rows);
/* The same, each followed by its score: kind is MLKV_REPLY_PAIRS, or MLKV_REPLY_ARRAY for one flat array in both protocols. */
void reply_scored(mlkv_reply *reply, mlkv_reply_kind kind, const mlkv_rows *members,
                  const mlkv_buffer *scores);

/* Forgets what was said, to say something else. */
void reply_restart(mlkv_reply *reply);
/* The whole reply is this error. */
void reply_error(mlkv_reply *reply, const char *text);
/* Ends the making: 0 or MLKV_E_MEMORY (the reply is empty then). */
int reply_finish(mlkv_reply *reply);

#endif
