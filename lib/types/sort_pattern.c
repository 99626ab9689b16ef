/* sort_pattern.c - the patterns of SORT: BY and GET.
 *
 *   before*after           the string at key: before, element, after
 *   before*after->field    that field of the hash at this key
 *   #                      the element
 * As Redis reads them: `*` is the first one, and "->" the first behind it, neither behind a zero byte; "->" with nothing (or a zero byte)
 * behind it belongs to the key. What has no `*` names nothing.
 *
 * State: none. Locks: none; finding happens inside a rule.
 */
#include "types/sort.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "types/entry.h"
#include "types/field.h"

void sort_pattern_read(mlkv_slice text, sort_pattern *ret_pattern)
{
    static const char arrow[] = {'-', '>'};
    const char *begin = text.data, *end;
    size_t visible = text.size == 0 ? 0 : strnlen(begin, text.size);
    const char *star = visible == 0 ? NULL : memchr(begin, '*', visible), *found;
    *ret_pattern =
        (sort_pattern){.itself = visible == 1 && *begin == '#', .constant = star == NULL};
    if (star == NULL)
        return;
    end = begin + text.size;
    star++;
    ret_pattern->before = slice_of(begin, (size_t)(star - 1 - begin));
    ret_pattern->after = slice_of(star, (size_t)(end - star));
    found = memmem(star, visible - (size_t)(star - begin), arrow, sizeof arrow);
    if (found == NULL || found + 2 == end || found[2] == '\0')
        return;
    ret_pattern->after.size = (size_t)(found - star);
    ret_pattern->field = slice_of(found + 2, (size_t)(end - found - 2));
}

/* MLKV_ABSENT: no key has such a name. */
static int make_key(const sort_pattern *self, mlkv_slice name, mlkv_buffer *key)
{
    key->size = 0;
    if (name.size > NAME_SIZE_MAX || self->field.size > NAME_SIZE_MAX ||
        self->before.size + self->after.size > NAME_SIZE_MAX - name.size)
        return MLKV_ABSENT;
    int result = buffer_append(key, self->before.data, self->before.size);
    if (result == MLKV_OK)
        result = buffer_append(key, name.data, name.size);
    return result != MLKV_OK ? result : buffer_append(key, self->after.data, self->after.size);
}

int sort_pattern_find(op *o, const sort_pattern *self, mlkv_slice name, mlkv_buffer *key,
                      mlkv_slice *ret_cell)
{
    entry found;
    hash_field field;
    int result = make_key(self, name, key);
    if (result == MLKV_OK)
        result = entry_open(o, slice_of_buffer(key), TYPE_ANY, &found);
    if (result != MLKV_OK)
        return result;
    if (found.header.type != (self->field.data != NULL ? TYPE_HASH : TYPE_STRING))
        return MLKV_ABSENT;
    if (self->field.data == NULL) {
        *ret_cell = found.rest;
        return MLKV_OK;
    }
    result = field_open(o, &found, self->field, &field);
    if (result == MLKV_OK)
        *ret_cell = field.cell;
    return result;
}

int sort_pattern_prefetch(op *o, const sort_pattern *self, mlkv_slice name, mlkv_buffer *key)
{
    int result = make_key(self, name, key);
    if (result == MLKV_OK)
        entry_prefetch(o, slice_of_buffer(key));
    return result == MLKV_ABSENT ? MLKV_OK : result;
}
