/* lists.h - what commands of lists share, whether they wait or not (lists.c). */
#ifndef MLKV_COMMAND_LISTS_H
#define MLKV_COMMAND_LISTS_H

#include "command/call.h"

/* LEFT or RIGHT at word i, else a syntax error. */
int lists_read_end(call *c, size_t i, mlkv_list_end *ret_end);

/* The words of LMPOP and BLMPOP. */
typedef struct {
    const mlkv_slice *keys;
    size_t key_count;
    mlkv_list_end end;
    uint64_t count; /* at least 1 */
} list_pop_words;

/* numkeys at word i, and all that follows. */
int lists_read_pop(call *c, size_t i, list_pop_words *ret_words);
/* 0: the key and the elements c->reply->rows; MLKV_ABSENT: a nil array; negative: refused. */
int lists_answer_pop(call *c, int result, mlkv_slice key);

#endif
