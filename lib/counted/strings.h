/* strings.h - a few sorted byte strings in little memory: what the nodes of a counted tree hold. No locks. */
#ifndef MLKV_COUNTED_STRINGS_H
#define MLKV_COUNTED_STRINGS_H

#include <mlkv/base.h>
#include <stdbool.h>

enum {
    STRINGS_MAX = 128, /* strings of a node: few enough that one is inserted by moving the others */
    STRING_SIZE_MAX = 511,    /* STRINGS_MAX of them are addressed by 16 bits */
    STRINGS_TEXT_FULL = 4096, /* bytes from which a node counts as full, if it has some strings */
};

/* text: the bytes that all have in common, then what each has beyond them. ends[i]: where string i ends in text. */
typedef struct {
    uint16_t count, prefix_size;
    uint32_t capacity; /* of text */
    unsigned char *text;
    uint16_t ends[STRINGS_MAX];
} strings;

/* Start it as {0}. */
void strings_done(strings *self);
/* How many are below key; *ret_equal: the next one is key. */
unsigned strings_find(const strings *self, mlkv_slice key, bool *ret_equal);
/* Puts it at number `at`, where the order wants it; count < STRINGS_MAX. MLKV_E_MEMORY: nothing has changed. */
int strings_insert(strings *self, unsigned at, mlkv_slice key);
void strings_remove(strings *self, unsigned at);
/* Whether another string should go elsewhere. */
bool strings_full(const strings *self);
/* Copies string `at` to `to`, which has room for STRING_SIZE_MAX; returns its size. */
size_t strings_get(const strings *self, unsigned at, unsigned char *to);
/* Adds numbers [from, from + n) of another, in order, behind its own. MLKV_E_MEMORY: nothing has changed. */
int strings_append(strings *self, const strings *other, unsigned from, unsigned n);
/* Lets go of all from number `from` on. */
void strings_truncate(strings *self, unsigned from);
/* Brings it into the least memory. Does nothing if there is none to do it in. */
void strings_pack(strings *self);
/* Bytes allocated. */
static inline size_t strings_bytes(const strings *self)
{
    return self->capacity;
}

#endif
