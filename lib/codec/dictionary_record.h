/* dictionary_record.h - how dictionaries stand in records of class D: each by itself, for ever, and the table of those
 * in use. Bytes to bytes.
 *
 *   key   'D', id u32 BE; id 0 is the table
 *
 *   dictionary:  0  1 layout, 1 | 1 1 zero | 2 2 size of the prefix (LE) | 4 4 version: how many dictionaries the prefix has had (LE)
 *                8  8 when it was made, ms since 1970 (LE) | 16 8 samples that it was learned from (LE) | 24 8 bytes of values that it was
 *                tried on (LE) | 32 8 what these take without it (LE) | 40 8 and with it (LE) | 48 the prefix, then the dictionary
 *   table:       0  1 layout, 1 | 1 3 zero | 4 4 next id: no dictionary has it or a higher one (LE) | 8 4 entries (LE)
 *                12 entries, in the order of their prefixes, which all differ: id u32 LE (0: none in use any more), version u32 LE,
 *                size of the prefix u16 LE, prefix
 */
#ifndef MLKV_CODEC_DICTIONARY_RECORD_H
#define MLKV_CODEC_DICTIONARY_RECORD_H

#include <mlkv/base.h>

enum {
    DICTIONARY_KEY_SIZE = 5,
    DICTIONARY_HEAD_SIZE = 48,
    DICTIONARY_PREFIX_SIZE_MAX = 255,
    DICTIONARY_PREFIXES_MAX = 1024,
    DICTIONARY_ID_MAX =
        4096, /* each that is used takes memory in each process, until it closes the store */
};

typedef struct {
    uint32_t version;
    int64_t created_ms;
    uint64_t samples, tried, without, with; /* tried and on: bytes */
    mlkv_slice prefix, bytes;               /* where they were read from */
} dictionary_record;

typedef struct {
    uint32_t id; /* 0: none */
    uint32_t version;
    mlkv_slice prefix;
} dictionary_entry;

/* The entries borrow what they were read from, or whatever was put into them. Start as {.next_id = 1}. */
typedef struct {
    uint32_t next_id;
    size_t count;
    dictionary_entry entries[DICTIONARY_PREFIXES_MAX];
} dictionary_table;

void dictionary_key(uint32_t id, unsigned char ret_key[DICTIONARY_KEY_SIZE]);
/* The id; MLKV_E_CORRUPT: no such key. */
int dictionary_key_read(mlkv_slice key, uint32_t *ret_id);

/* Appends a record's value. MLKV_E_MEMORY. */
int dictionary_record_write(const dictionary_record *self, mlkv_buffer *out);
/* Checks the form, of the dictionary's bytes also that they are one with this id. MLKV_E_CORRUPT. */
int dictionary_record_read(uint32_t id, mlkv_slice value, dictionary_record *ret_self);

int dictionary_table_write(const dictionary_table *self, mlkv_buffer *out);
int dictionary_table_read(mlkv_slice value, dictionary_table *ret_self);
/* The entry of the longest prefix of `name`, in use or not, or NULL. O(log entries) and the prefixes of the prefix. */
const dictionary_entry *dictionary_table_match(const dictionary_table *self, mlkv_slice name);
/* The entry of exactly this prefix; made, with version 0 and in its place, if it is not there. MLKV_E_SIZE: too many. */
int dictionary_table_take(dictionary_table *self, mlkv_slice prefix, dictionary_entry **ret_entry);

#endif
