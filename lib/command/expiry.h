/* expiry.h - times to live as commands have them: EX, PX, EXAT, PXAT and their limits. */
#ifndef MLKV_COMMAND_EXPIRY_H
#define MLKV_COMMAND_EXPIRY_H

#include "command/call.h"

/* What the words say of an expiry. {0}: nothing. */
typedef struct {
    size_t at;     /* the word with the number; 0: there is none */
    bool seconds;  /* and not milliseconds */
    bool absolute; /* since 1970, and not from now on */
    bool keeps;    /* the expiry stays as it is */
} expiry_words;

/* Takes EX n, PX n, EXAT n or PXAT n at word *i, moving *i to n, if that is what stands there, n is there, and neither another one of these
 * was taken before nor KEEPTTL said. The same one may be said again; the last counts. */
bool expiry_take(const call *c, size_t *i, expiry_words *words);

/* As the typed functions want it. Not a number, or one that no expiry can be: refused. */
int expiry_read(call *c, const expiry_words *words, mlkv_expiry *ret_expiry);

/* A time in seconds (or milliseconds) of EXPIRE and its relatives, in milliseconds; they may be negative. `absolute` as above. */
int expiry_read_time(call *c, size_t i, bool seconds, bool absolute, int64_t *ret_ms);

/* ERR invalid expire time in 'x' command */
int expiry_invalid(call *c);

/* As call_refuse; MLKV_E_RANGE is an invalid expire time. */
int expiry_refuse(call *c, int result);

#endif
