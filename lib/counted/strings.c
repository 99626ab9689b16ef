/* strings.c - sorted byte strings, their common beginning stored once.
 *
 *   text:  | common | beyond 0 | beyond 1 | ... | beyond count - 1 |
 *   ends:    of beyond 0, 1 ... in text; what is beyond string i begins where i - 1 ends, or behind the common bytes
 *
 * A string that does not share the common bytes makes them fewer (widen). They become more only when the strings are packed: when a node
 * is split, merged or left full behind an ascending load. So the common bytes are common to all, but may not be all that is common.
 *
 * Invariants
 *   1. Strings ascend, no two are equal; each has at most STRING_SIZE_MAX bytes.
 *   2. The last end is at most STRINGS_MAX * STRING_SIZE_MAX, which fits 16 bits, and at most capacity.
 * Locks: none; the tree's owner has them.
 */
#include "counted/strings.h"

#include "base/bytes.h"
#include "base/error.h"

#include <stdlib.h>

_Static_assert(STRINGS_MAX *STRING_SIZE_MAX <= UINT16_MAX, "ends are 16 bits");

enum { GROW_BYTES = 32 }; /* room for one more short string */

static unsigned begin_of(const strings *self, unsigned at)
{
    return at == 0 ? self->prefix_size : self->ends[at - 1];
}

static unsigned used(const strings *self)
{
    return begin_of(self, self->count);
}

static mlkv_slice beyond(const strings *self, unsigned at)
{
    unsigned begin = begin_of(self, at);
    return slice_of(self->text + begin, (size_t)self->ends[at] - begin);
}

void strings_done(strings *self)
{
    free(self->text);
    self->text = NULL;
    self->count = self->prefix_size = 0;
    self->capacity = 0;
}

static size_t common_size(mlkv_slice a, mlkv_slice b)
{
    const unsigned char *left = a.data, *right = b.data;
    size_t size = 0;
    while (size < a.size && size < b.size && left[size] == right[size])
        size++;
    return size;
}

unsigned strings_find(const strings *self, mlkv_slice key, bool *ret_equal)
{
    *ret_equal = false;
    if (self->count == 0)
        return 0;
    size_t shared = key.size < self->prefix_size ? key.size : self->prefix_size;
    int order = shared == 0 ? 0 : memcmp(key.data, self->text, shared);
    if (order != 0 || shared < self->prefix_size)
        return order > 0 ? self->count : 0;
    mlkv_slice rest = slice_of((const unsigned char *)key.data + shared, key.size - shared);
    unsigned low = 0, high = self->count;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        order = slice_compare(beyond(self, middle), rest);
        if (order == 0)
            *ret_equal = true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int reserve(strings *self, size_t size)
{
    if (size <= self->capacity)
        return MLKV_OK;
    size_t capacity = size + size / 8 + GROW_BYTES;
    unsigned char *text = realloc(self->text, capacity);
    if (text == NULL)
        return error_set_memory("a counted tree");
    self->text = text;
    self->capacity = (uint32_t)capacity;
    return MLKV_OK;
}

/* Rewrites text with other common bytes, all of which the strings share. */
static int rewrite(strings *self, size_t prefix_size)
{
    unsigned char whole[STRING_SIZE_MAX];
    size_t size = prefix_size;
    for (unsigned i = 0; i < self->count; i++)
        size += self->prefix_size + beyond(self, i).size - prefix_size;
    unsigned char *text = malloc(size + GROW_BYTES);
    if (text == NULL)
        return error_set_memory("a counted tree");
    size_t at = prefix_size;
    for (unsigned i = 0, from = self->prefix_size; i < self->count; i++) {
        size_t whole_size = self->prefix_size + (size_t)self->ends[i] - from;
        bytes_copy(whole, self->text, self->prefix_size);
        bytes_copy(whole + self->prefix_size, self->text + from, (size_t)self->ends[i] - from);
        from = self->ends[i];
        memcpy(text, whole, prefix_size);
        memcpy(text + at, whole + prefix_size, whole_size - prefix_size);
        at += whole_size - prefix_size;
        self->ends[i] = (uint16_t)at;
    }
    free(self->text);
    self->text = text;
    self->prefix_size = (uint16_t)prefix_size;
    self->capacity = (uint32_t)(size + GROW_BYTES);
    return MLKV_OK;
}

/* Leaves no more common bytes than the key shares. */
static int widen(strings *self, mlkv_slice key)
{
    if (self->count == 0) {
        self->prefix_size = 0;
        return MLKV_OK;
    }
    size_t shared = common_size(slice_of(self->text, self->prefix_size), key);
    return shared == self->prefix_size ? MLKV_OK : rewrite(self, shared);
}

int strings_insert(strings *self, unsigned at, mlkv_slice key)
{
    int result = widen(self, key);
    if (result != MLKV_OK)
        return result;
    unsigned size = (unsigned)(key.size - self->prefix_size), total = used(self);
    result = reserve(self, total + size);
    if (result != MLKV_OK)
        return result;
    unsigned begin = begin_of(self, at);
    if (total != begin)
        memmove(self->text + begin + size, self->text + begin, total - begin);
    bytes_copy(self->text + begin, (const unsigned char *)key.data + self->prefix_size, size);
    for (unsigned i = self->count; i > at; i--)
        self->ends[i] = (uint16_t)(self->ends[i - 1] + size);
    self->ends[at] = (uint16_t)(begin + size);
    self->count++;
    return MLKV_OK;
}

void strings_remove(strings *self, unsigned at)
{
    unsigned begin = begin_of(self, at), end = self->ends[at], total = used(self);
    memmove(self->text + begin, self->text + end, total - end);
    self->count--;
    for (unsigned i = at; i < self->count; i++)
        self->ends[i] = (uint16_t)(self->ends[i + 1] - (end - begin));
}

bool strings_full(const strings *self)
{
    enum { SOME = 8 };
    return self->count >= STRINGS_MAX || (self->count >= SOME && used(self) >= STRINGS_TEXT_FULL);
}

size_t strings_get(const strings *self, unsigned at, unsigned char *to)
{
    mlkv_slice rest = beyond(self, at);
    bytes_copy(to, self->text, self->prefix_size);
    bytes_copy(to + self->prefix_size, rest.data, rest.size);
    return self->prefix_size + rest.size;
}

int strings_append(strings *self, const strings *other, unsigned from, unsigned n)
{
    unsigned char key[STRING_SIZE_MAX];
    unsigned before = self->count;
    for (unsigned i = from; i < from + n; i++) {
        int result = strings_insert(self, self->count, slice_of(key, strings_get(other, i, key)));
        if (result != MLKV_OK) {
            strings_truncate(self, before);
            return result;
        }
    }
    return MLKV_OK;
}

void strings_truncate(strings *self, unsigned from)
{
    self->count = (uint16_t)from;
}

void strings_pack(strings *self)
{
    unsigned char first[STRING_SIZE_MAX], last[STRING_SIZE_MAX];
    if (self->count == 0) {
        strings_done(self);
        return;
    }
    size_t first_size = strings_get(self, 0, first),
           last_size = strings_get(self, self->count - 1u, last);
    size_t shared = common_size(slice_of(first, first_size), slice_of(last, last_size));
    if (shared != self->prefix_size || used(self) + 2u * GROW_BYTES < self->capacity)
        (void)rewrite(self, shared);
}
