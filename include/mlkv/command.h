/* command.h - every operation as a command of words, as Redis has it: for servers, shells and bindings.
 *
 * mlkv_command takes the words that a Redis client would send ("SET", "key", "value", "EX", "10") and gives the reply that Redis would
 * give, error texts included. All commands stand in one table, which mlkv_command_row shows: bindings, help and servers are made from it.
 * Programs in C that know what they want call the typed functions instead: they save the words.
 *
 * A reply is a tree, stored flat: a node of a collection is followed by the nodes of its elements, each with all that is below it. The
 * reply is the caller's: start it as {0}, use it again for the next command, end it with mlkv_reply_free. One thread at a time.
 */
#ifndef MLKV_COMMAND_H
#define MLKV_COMMAND_H

#include <mlkv/base.h>

MLKV_BEGIN_DECLS

/* What a node is. Values are pinned for ever. In brackets: RESP2, RESP3 where they differ. */
typedef enum {
    MLKV_REPLY_NIL = 0,       /* nothing there [$-1, _] */
    MLKV_REPLY_NIL_ARRAY = 1, /* no collection there [*-1, _] */
    MLKV_REPLY_STATUS = 2,    /* "OK" */
    MLKV_REPLY_ERROR = 3,     /* "WRONGTYPE Operation against ...": the first word is the kind */
    MLKV_REPLY_INTEGER = 4,
    MLKV_REPLY_DOUBLE = 5, /* [bulk string, ,] */
    MLKV_REPLY_BYTES = 6,
    MLKV_REPLY_TEXT = 7,   /* lines for people [bulk string, =txt:] */
    MLKV_REPLY_ARRAY = 8,  /* of `integer` elements */
    MLKV_REPLY_SET = 9,    /* of `integer` elements, in no order [array, ~] */
    MLKV_REPLY_MAP = 10,   /* of `integer` / 2 names, each followed by its value [array, %] */
    MLKV_REPLY_PAIRS = 11, /* the same, with an order [array, array of arrays of two] */
} mlkv_reply_kind;

typedef struct {
    int32_t kind; /* mlkv_reply_kind */
    uint32_t reserved;
    int64_t
        integer; /* INTEGER: the number; collections: how many elements (of a map: names and values) */
    double number; /* DOUBLE */
    mlkv_slice
        bytes; /* STATUS, ERROR, BYTES, TEXT: in the reply's own memory, until it is filled again or freed */
} mlkv_reply_node;

typedef struct {
    mlkv_reply_node *nodes; /* nodes[0] is the reply */
    size_t count;
    size_t capacity; /* from here on the library's */
    mlkv_buffer bytes;
    mlkv_buffer value;
    mlkv_buffer numbers;
    mlkv_rows rows;
    int32_t failed;
    uint32_t reserved;
} mlkv_reply;

/* Frees what a reply holds, and resets it to {0}. NULL is accepted. Since 0.1. */
MLKV_API void mlkv_reply_free(mlkv_reply *reply);

/* Runs a command. words[0] is its name, in letters of any case; n is at least 1. The words are borrowed for the call and must not stand in
 * the reply's memory. A command that would wait for something waits in this call; in a transaction and in a snapshot it does not, as in
 * Redis. Atomic, each by itself; several as one: in a transaction. Connections, MULTI, WATCH and the like are the server's, not here.
 *
 * The reply is filled in any case, with an error if the result is negative; only after MLKV_E_ARGUMENT for a missing pointer and after
 * MLKV_E_MEMORY it may be empty (count 0). MLKV_E_MEMORY may also mean that the command was done and its reply is lost. Cost: that of the
 * typed function, some 0.2 us, and a copy of what is returned. Returns MLKV_OK (also where the reply is nil); MLKV_E_ARGUMENT: no such
 * command, or arguments that it does not take; else as the typed function. Since 0.1. */
MLKV_API int mlkv_command(mlkv *view, const mlkv_slice *words, size_t n, mlkv_reply *ret_reply);

/* Whether there is such a command and takes so many words, without running it; the same errors. What MULTI asks before it queues. Since
 * 0.1. */
MLKV_API int mlkv_command_check(const mlkv_slice *words, size_t n, mlkv_reply *ret_reply);

/* Appends the reply to *wire as bytes of protocol 2 (RESP2) or 3 (RESP3). Returns MLKV_OK; MLKV_E_ARGUMENT: another protocol;
 * MLKV_E_MEMORY: nothing was appended. Since 0.1. */
MLKV_API int mlkv_reply_encode(const mlkv_reply *reply, int protocol, mlkv_buffer *wire);

/* --- the table --- */

enum {
    MLKV_COMMAND_WRITE = 1u << 0,
    MLKV_COMMAND_READ = 1u << 1,
    MLKV_COMMAND_GROWS = 1u << 2,   /* may need more room (denyoom) */
    MLKV_COMMAND_FAST = 1u << 3,    /* O(1) or O(log n) */
    MLKV_COMMAND_BLOCKS = 1u << 4,  /* may wait, outside of a transaction */
    MLKV_COMMAND_MOVABLE = 1u << 5, /* keys elsewhere than first_key ... say, too (movablekeys) */
    MLKV_COMMAND_SCANS =
        1u
        << 6, /* its cursor is a number without limit; the second word if first_key is 0, else the third */
    MLKV_COMMAND_RANDOM = 1u << 7, /* its reply has no fixed order, or is random */
};

typedef struct {
    size_t size;      /* in: sizeof(mlkv_command_info) */
    const char *name; /* "zadd"; lower case. All texts have static storage */
    const char *
        group; /* "string", "bitmap", "list", "hash", "set", "sorted-set", "generic", "tensor", "server" */
    const char *summary;  /* a sentence */
    const char *synopsis; /* its words after the name, separated by a space:
                           *   name:kind       one word; kinds: key string integer float cursor pattern bytes
                           *   name:kind...    one or more words; (a b)...  one or more times these
                           *   TOKEN           this word
                           *   [...]           may be left out; A|B|C one of these, also in brackets */
    uint32_t flags;       /* MLKV_COMMAND_... */
    int32_t arity;        /* words, its name included; negative: at least so many */
    int32_t first_key, last_key, key_step; /* as in Redis's COMMAND: 1, -1, 1: all words are keys */
} mlkv_command_info;

/* The i-th row of the table, i from 0, in the order of names. Returns MLKV_OK; MLKV_ABSENT past the end; MLKV_E_ARGUMENT: a size that this
 * library does not know. Since 0.1. */
MLKV_API int mlkv_command_row(size_t i, mlkv_command_info *ret_info);

/* The row of this name, in letters of any case. Returns MLKV_OK; MLKV_ABSENT: no such command; MLKV_E_ARGUMENT. Since 0.1. */
MLKV_API int mlkv_command_find(mlkv_slice name, mlkv_command_info *ret_info);

MLKV_END_DECLS

#endif
