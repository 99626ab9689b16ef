/* request.h - the bytes that a client sent, cut into requests. See request.c. */
#ifndef RESP_REQUEST_H
#define RESP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    REQUEST_WORDS_MAX = 1048576,    /* of a request; a client's slip of the pen costs no memory */
    REQUEST_LINE_BYTES_MAX = 65536, /* of an inline request, or of a number: as in Redis */
    REQUEST_READ_BYTES = 16384,     /* room for one read from a socket */
    REQUEST_UNKNOWN_WORDS_MAX = 10, /* of a client that has not told the password: as in Redis */
    REQUEST_UNKNOWN_BYTES_MAX = 16384,
};

typedef struct {
    size_t offset; /* from the request's first byte */
    size_t size;
} request_word;

typedef struct {
    char *data;
    size_t start, size, capacity; /* [start, size) has not been consumed */
    /* Of the request that begins at start, as far as it has been read: */
    size_t position;    /* where the next part begins, from start */
    size_t searched;    /* how far behind it no end of a line stands */
    int64_t words_left; /* NO_NUMBER: how many is not known yet */
    int64_t word_bytes; /* NO_NUMBER: the same of the next word */
    request_word *words;
    size_t count, word_capacity;
    bool ready; /* it was told that the request is ready */
} request;

typedef enum {
    REQUEST_PARTIAL, /* more bytes are needed */
    REQUEST_READY,   /* words[0 .. count) are there, until request_consume */
    REQUEST_NOTHING, /* an empty request was skipped */
    REQUEST_BROKEN,  /* the text of the error is told; the client must go */
    REQUEST_MEMORY,
} request_state;

void request_init(request *self);
void request_done(request *self);
/* Room for at least REQUEST_READ_BYTES behind what is there; NULL: no memory. */
char *request_room(request *self, size_t *ret_size);
/* So many bytes were put there. */
void request_add(request *self, size_t size);
/* Reads on. trusted: the client has told the password, or need not. error: 128 bytes for the text. */
request_state request_next(request *self, bool trusted, uint64_t word_bytes_max, char error[128]);
/* The request that was ready is done with. */
void request_consume(request *self);
/* Gives memory back that is not needed just now. */
void request_trim(request *self);
/* Bytes that wait, and bytes that are held for them. */
size_t request_waiting(const request *self);
size_t request_memory(const request *self);

#endif
