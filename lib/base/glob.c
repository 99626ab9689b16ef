/* glob.c - matching names with Redis's patterns, byte for byte as its stringmatchlen does, without its exponential worst case.
 *
 *   *       any bytes, also none             ?       one byte
 *   [...]   one byte of these: x itself, \x the same, a-z from one to the other, whichever is lower; ^ at the begin: none of these
 *   \x      x itself; a backslash at the end: itself
 *
 * What follows from how Redis reads, and is kept: a [ that is not closed ends with the pattern; the end of a range may be the ]; []
 * matches nothing and [^] anything; bytes in a range are signed (char of x86), so [\x01-\xff] holds ff, 00 and 01; a name
 * without bytes matches only the pattern without bytes and "*" (Redis's callers see to that one), but not "**".
 *
 * Every item but * takes exactly one byte. So when the rest of a pattern behind the last * fails, only that * can take more: an earlier
 * one could but repeat what was tried. One place to go back to is enough.
 *
 * Pure functions, no state, no locks. Nothing is read outside both slices.
 */
#include "base/glob.h"

#include "base/buffer.h"

#include <mlkv/error.h>

typedef struct {
    const unsigned char *bytes;
    size_t size;
} glob;

static bool in_range(unsigned char from, unsigned char to, unsigned char byte)
{
    signed char low = (signed char)from, high = (signed char)to, at = (signed char)byte;
    return low <= high ? at >= low && at <= high : at >= high && at <= low;
}

/* Whether the class behind the [ at *at holds the byte; *at moves behind it. */
static bool match_class(const glob *self, size_t *at, unsigned char byte)
{
    size_t i = *at + 1;
    bool matches = false, inverted = i < self->size && self->bytes[i] == '^';
    i += inverted;
    while (i < self->size && self->bytes[i] != ']') {
        const unsigned char *item = self->bytes + i;
        size_t left = self->size - i;
        if (left >= 2 && item[0] == '\\') {
            matches = matches || item[1] == byte;
            i += 2;
        } else if (left >= 3 && item[1] == '-') {
            matches = matches || in_range(item[0], item[2], byte);
            i += 3;
        } else {
            matches = matches || item[0] == byte;
            i++;
        }
    }
    *at = i < self->size ? i + 1 : i;
    return matches != inverted;
}

/* Whether the item at *at, which is no *, takes the byte; *at moves behind it. */
static bool match_one(const glob *self, size_t *at, unsigned char byte)
{
    switch (self->bytes[*at]) {
    case '?':
        ++*at;
        return true;
    case '[':
        return match_class(self, at, byte);
    case '\\':
        *at += self->size - *at >= 2;
        break;
    default:
        break;
    }
    return self->bytes[(*at)++] == byte;
}

static size_t skip_stars(const glob *self, size_t at)
{
    while (at < self->size && self->bytes[at] == '*')
        at++;
    return at;
}

bool glob_matches(mlkv_slice pattern, mlkv_slice name)
{
    const glob self = {pattern.data, pattern.size};
    const unsigned char *bytes = name.data;
    size_t at = 0, i = 0, behind_star = SIZE_MAX, taken = 0;
    if (pattern.size == 1 && self.bytes[0] == '*')
        return true;
    if (name.size == 0)
        return pattern.size == 0;
    while (i < name.size) {
        if (at < self.size && self.bytes[at] == '*') {
            at = behind_star = skip_stars(&self, at);
            taken = i;
            if (at == self.size)
                return true;
        } else if (at < self.size && match_one(&self, &at, bytes[i])) {
            i++;
        } else if (behind_star == SIZE_MAX) {
            return false;
        } else {
            at = behind_star;
            i = ++taken;
        }
    }
    return skip_stars(&self, at) == self.size;
}

int glob_prefix(mlkv_slice pattern, mlkv_buffer *ret_prefix)
{
    const unsigned char *bytes = pattern.data;
    int result = buffer_assign(ret_prefix, NULL, 0);
    for (size_t i = 0; i < pattern.size && result == MLKV_OK; i++) {
        if (bytes[i] == '*' || bytes[i] == '?' || bytes[i] == '[')
            break;
        if (bytes[i] == '\\' && i + 1 < pattern.size)
            i++;
        result = buffer_append(ret_prefix, bytes + i, 1);
    }
    return result;
}
