/* cursors.c - the numbers of SCAN, HSCAN, SSCAN and ZSCAN.
 *
 * The library's cursors are decimal numbers without limit that say all there is to say; clients of Redis expect 64 bits. So a long one
 * is kept here, and a number of 63 bits is handed out for it. The latest CURSORS_KEPT are known, for all clients together; an older one
 * is an invalid cursor, and its client begins anew. Short ones are handed out as they are.
 *
 * Invariants
 *   1. What has more than 18 digits is a number of ours; the library's are handed out as they are up to that length.
 *   2. ids[id % CURSORS_KEPT] is the only place of an id. Ids grow, from a random beginning: those of an earlier server are not known.
 */
#include "server.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { CURSORS_KEPT = 65536, PLAIN_DIGITS_MAX = 18 };

#define FIRST_ID \
    (UINT64_C(1) \
     << 62) /* larger than any number of 18 digits, and positive for those who read it with a sign */

struct cursors {
    uint64_t next;
    uint64_t ids[CURSORS_KEPT];
    mlkv_slice texts[CURSORS_KEPT]; /* in memory of their own */
};

cursors *cursors_open(void)
{
    cursors *self = calloc(1, sizeof *self);
    uint64_t random = 0;
    if (self == NULL)
        return NULL;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        random = (uint64_t)time(NULL) << 20;
    self->next = FIRST_ID + random % (FIRST_ID / 2);
    return self;
}

void cursors_close(cursors *self)
{
    if (self == NULL)
        return;
    for (size_t i = 0; i < CURSORS_KEPT; i++)
        free((void *)(uintptr_t)self->texts[i].data);
    free(self);
}

mlkv_slice cursors_give(cursors *self, mlkv_slice cursor, char text[24])
{
    if (cursor.size <= PLAIN_DIGITS_MAX)
        return cursor;
    char *copy = malloc(cursor.size);
    if (copy == NULL)
        return (mlkv_slice){NULL, 0};
    memcpy(copy, cursor.data, cursor.size);
    uint64_t id = self->next++;
    size_t place = (size_t)(id % CURSORS_KEPT);
    free((void *)(uintptr_t)self->texts[place].data);
    self->texts[place] = (mlkv_slice){copy, cursor.size};
    self->ids[place] = id;
    int size = snprintf(text, 24, "%" PRIu64, id);
    return (mlkv_slice){text, (size_t)size};
}

bool cursors_take(const cursors *self, mlkv_slice number, mlkv_slice *ret_cursor)
{
    char text[24];
    *ret_cursor = number;
    if (number.size <= PLAIN_DIGITS_MAX)
        return true;
    if (number.size >= sizeof text)
        return false;
    memcpy(text, number.data, number.size);
    text[number.size] = 0;
    if (strspn(text, "0123456789") != number.size)
        return true; /* the library says what is wrong with it */
    uint64_t id = strtoull(text, NULL, 10);
    size_t place = (size_t)(id % CURSORS_KEPT);
    if (id < FIRST_ID || self->ids[place] != id)
        return false;
    *ret_cursor = self->texts[place];
    return true;
}
