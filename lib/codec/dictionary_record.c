/* dictionary_record.c - records of class D, as dictionary_record.h lays their bytes out.
 *
 * Invariants
 *   1. What is read was checked: layout, zeros, sizes, order of the entries, ids below the next one. Nothing is allocated by its claims.
 *   2. Entries stand in the order of their prefixes. So the longest prefix of a name is the last entry that is not behind it, or a prefix
 *      of that one: whoever looks for it goes back by ever shorter prefixes, not by entries.
 *
 * No state, no locks.
 */
#include "codec/dictionary_record.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/record.h"
#include "codec/dictionary.h"

enum { LAYOUT = 1 };
enum {
    AT_PREFIX_SIZE = 2,
    AT_VERSION = 4,
    AT_CREATED = 8,
    AT_SAMPLES = 16,
    AT_TRIED = 24,
    AT_WITHOUT = 32,
    AT_WITH = 40
};
enum { AT_NEXT_ID = 4, AT_COUNT = 8, TABLE_HEAD_SIZE = 12 };
enum { AT_ENTRY_VERSION = 4, AT_ENTRY_PREFIX_SIZE = 8, ENTRY_HEAD_SIZE = 10 };

_Static_assert(AT_WITH + 8 == DICTIONARY_HEAD_SIZE, "dictionary_record.h");

static void store_le16(unsigned char *to, size_t value)
{
    to[0] = (unsigned char)value;
    to[1] = (unsigned char)(value >> 8);
}

static size_t load_le16(const unsigned char *from)
{
    return from[0] | (size_t)from[1] << 8;
}

void dictionary_key(uint32_t id, unsigned char ret_key[DICTIONARY_KEY_SIZE])
{
    ret_key[0] = RECORD_DICTIONARY;
    store_be32(ret_key + 1, id);
}

int dictionary_key_read(mlkv_slice key, uint32_t *ret_id)
{
    const unsigned char *bytes = key.data;
    if (key.size != DICTIONARY_KEY_SIZE || bytes[0] != RECORD_DICTIONARY)
        return error_set(MLKV_E_CORRUPT, "a dictionary's record key has %zu bytes", key.size);
    *ret_id = load_be32(bytes + 1);
    return MLKV_OK;
}

int dictionary_record_write(const dictionary_record *self, mlkv_buffer *out)
{
    unsigned char head[DICTIONARY_HEAD_SIZE] = {LAYOUT};
    size_t start = out->size;
    store_le16(head + AT_PREFIX_SIZE, self->prefix.size);
    store_le32(head + AT_VERSION, self->version);
    store_le64(head + AT_CREATED, (uint64_t)self->created_ms);
    store_le64(head + AT_SAMPLES, self->samples);
    store_le64(head + AT_TRIED, self->tried);
    store_le64(head + AT_WITHOUT, self->without);
    store_le64(head + AT_WITH, self->with);
    int result = buffer_append(out, head, sizeof head);
    if (result == MLKV_OK)
        result = buffer_append(out, self->prefix.data, self->prefix.size);
    if (result == MLKV_OK)
        result = buffer_append(out, self->bytes.data, self->bytes.size);
    if (result != MLKV_OK)
        out->size = start;
    return result;
}

int dictionary_record_read(uint32_t id, mlkv_slice value, dictionary_record *ret_self)
{
    const unsigned char *bytes = value.data;
    if (value.size < DICTIONARY_HEAD_SIZE || bytes[0] != LAYOUT || bytes[1] != 0)
        return error_set(MLKV_E_CORRUPT, "the record of dictionary %u has no known form",
                         (unsigned)id);
    size_t prefix_size = load_le16(bytes + AT_PREFIX_SIZE),
           rest = value.size - DICTIONARY_HEAD_SIZE;
    if (prefix_size > DICTIONARY_PREFIX_SIZE_MAX || prefix_size > rest)
        return error_set(MLKV_E_CORRUPT, "the record of dictionary %u says a prefix of %zu bytes",
                         (unsigned)id, prefix_size);
    dictionary_record self = {
        .version = load_le32(bytes + AT_VERSION),
        .created_ms = (int64_t)load_le64(bytes + AT_CREATED),
        .samples = load_le64(bytes + AT_SAMPLES),
        .tried = load_le64(bytes + AT_TRIED),
        .without = load_le64(bytes + AT_WITHOUT),
        .with = load_le64(bytes + AT_WITH),
        .prefix = slice_of(bytes + DICTIONARY_HEAD_SIZE, prefix_size),
        .bytes = slice_of(bytes + DICTIONARY_HEAD_SIZE + prefix_size, rest - prefix_size),
    };
    int result = dictionary_check(id, self.bytes);
    if (result == MLKV_OK)
        *ret_self = self;
    return result;
}

int dictionary_table_write(const dictionary_table *self, mlkv_buffer *out)
{
    unsigned char head[TABLE_HEAD_SIZE] = {LAYOUT}, entry[ENTRY_HEAD_SIZE];
    size_t start = out->size;
    store_le32(head + AT_NEXT_ID, self->next_id);
    store_le32(head + AT_COUNT, (uint32_t)self->count);
    int result = buffer_append(out, head, sizeof head);
    for (size_t i = 0; i < self->count && result == MLKV_OK; i++) {
        const dictionary_entry *from = &self->entries[i];
        store_le32(entry, from->id);
        store_le32(entry + AT_ENTRY_VERSION, from->version);
        store_le16(entry + AT_ENTRY_PREFIX_SIZE, from->prefix.size);
        result = buffer_append(out, entry, sizeof entry);
        if (result == MLKV_OK)
            result = buffer_append(out, from->prefix.data, from->prefix.size);
    }
    if (result != MLKV_OK)
        out->size = start;
    return result;
}

/* One entry from the begin of *rest. False: there is none. */
static bool read_entry(mlkv_slice *rest, dictionary_entry *ret_entry)
{
    const unsigned char *bytes = rest->data;
    if (rest->size < ENTRY_HEAD_SIZE)
        return false;
    size_t prefix_size = load_le16(bytes + AT_ENTRY_PREFIX_SIZE),
           size = ENTRY_HEAD_SIZE + prefix_size;
    if (prefix_size > DICTIONARY_PREFIX_SIZE_MAX || rest->size < size)
        return false;
    *ret_entry = (dictionary_entry){load_le32(bytes), load_le32(bytes + AT_ENTRY_VERSION),
                                    slice_of(bytes + ENTRY_HEAD_SIZE, prefix_size)};
    *rest = slice_of(bytes + size, rest->size - size);
    return true;
}

int dictionary_table_read(mlkv_slice value, dictionary_table *ret_self)
{
    static const unsigned char begin[4] = {LAYOUT};
    const unsigned char *bytes = value.data;
    dictionary_table *self = ret_self;
    self->count = 0;
    if (value.size < TABLE_HEAD_SIZE || memcmp(bytes, begin, sizeof begin) != 0)
        return error_set(MLKV_E_CORRUPT, "the table of dictionaries has no known form");
    uint32_t count = load_le32(bytes + AT_COUNT);
    mlkv_slice rest = slice_of(bytes + TABLE_HEAD_SIZE, value.size - TABLE_HEAD_SIZE);
    self->next_id = load_le32(bytes + AT_NEXT_ID);
    bool good = count <= DICTIONARY_PREFIXES_MAX && self->next_id != 0 &&
                self->next_id <= DICTIONARY_ID_MAX + 1;
    for (uint32_t i = 0; i < count && good; i++) {
        dictionary_entry *entry = &self->entries[i];
        good = read_entry(&rest, entry) && entry->id < self->next_id &&
               (i == 0 || slice_compare(entry[-1].prefix, entry->prefix) < 0);
    }
    if (!good || rest.size != 0)
        return error_set(MLKV_E_CORRUPT, "the table of dictionaries is broken");
    self->count = count;
    return MLKV_OK;
}

/* The first entry behind `name`. */
static size_t find_behind(const dictionary_table *self, mlkv_slice name)
{
    size_t low = 0, high = self->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slice_compare(self->entries[middle].prefix, name) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static size_t common_size(mlkv_slice a, mlkv_slice b)
{
    size_t shorter = a.size < b.size ? a.size : b.size, i = 0;
    while (i < shorter && ((const char *)a.data)[i] == ((const char *)b.data)[i])
        i++;
    return i;
}

const dictionary_entry *dictionary_table_match(const dictionary_table *self, mlkv_slice name)
{
    for (;;) {
        size_t behind = find_behind(self, name);
        if (behind == 0)
            return NULL;
        const dictionary_entry *last = &self->entries[behind - 1];
        size_t common = common_size(last->prefix, name);
        if (common == last->prefix.size)
            return last;
        name.size =
            common; /* no entry between this prefix of the name and `last` is a prefix of it */
    }
}

int dictionary_table_take(dictionary_table *self, mlkv_slice prefix, dictionary_entry **ret_entry)
{
    size_t at = find_behind(self, prefix);
    if (at != 0 && slice_equal(self->entries[at - 1].prefix, prefix)) {
        *ret_entry = &self->entries[at - 1];
        return MLKV_OK;
    }
    if (self->count == DICTIONARY_PREFIXES_MAX)
        return error_set(MLKV_E_SIZE, "%d prefixes have had a dictionary: that is the limit",
                         DICTIONARY_PREFIXES_MAX);
    memmove(&self->entries[at + 1], &self->entries[at], (self->count - at) * sizeof *self->entries);
    self->count++;
    self->entries[at] = (dictionary_entry){.prefix = prefix};
    *ret_entry = &self->entries[at];
    return MLKV_OK;
}
