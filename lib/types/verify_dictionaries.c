/* verify_dictionaries.c - the part of mlkv_verify that knows dictionaries (D): each by itself, and the table against them.
 *
 * In key order the table (id 0) comes first, then the dictionaries, then every cell that may need one: cells are
 * decoded, so that each one's dictionary is there is checked with them. A dictionary that no prefix uses is no problem:
 * values may.
 *
 * Locks: none.
 */
#include "types/verify.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "codec/dictionary_record.h"

#include <stdlib.h>

typedef struct {
    uint32_t id;
    mlkv_buffer value;
} lookup;

static int lookup_rule(op *o, void *context)
{
    lookup *self = context;
    unsigned char key[DICTIONARY_KEY_SIZE];
    dictionary_key(self->id, key);
    return op_get(o, slice_of(key, sizeof key), &self->value);
}

/* An entry of the table that is in use. */
static int verify_entry(verifier *self, const dictionary_entry *entry)
{
    lookup found = {.id = entry->id};
    dictionary_record record = {0};
    int result = op_read(self->view, lookup_rule, &found);
    if (result == MLKV_OK)
        result = dictionary_record_read(entry->id, slice_of_buffer(&found.value), &record);
    bool fits = result == MLKV_OK && slice_equal(record.prefix, entry->prefix) &&
                record.version == entry->version;
    mlkv_buffer_free(&found.value);
    if (fits || (result < 0 && result != MLKV_E_CORRUPT))
        return result;
    return verify_problem(self, "prefix '%s' uses dictionary %u, which is not there or another's",
                          error_quote(entry->prefix.data, entry->prefix.size), (unsigned)entry->id);
}

static int verify_table(verifier *self, mlkv_slice key, mlkv_slice value)
{
    dictionary_table *table = calloc(1, sizeof *table);
    int result = table == NULL ? error_set_memory("the table of dictionaries")
                               : dictionary_table_read(value, table);
    bool good = result == MLKV_OK;
    if (good)
        self->next_dictionary = table->next_id;
    else
        result = verify_result(self, key, result);
    for (size_t i = 0; good && i < table->count && result == MLKV_OK; i++)
        if (table->entries[i].id != 0)
            result = verify_entry(self, &table->entries[i]);
    free(table);
    return result;
}

int verify_dictionary(verifier *self, mlkv_slice key, mlkv_slice value)
{
    uint32_t id = 0;
    dictionary_record record;
    int result = dictionary_key_read(key, &id);
    if (result == MLKV_OK && id == 0)
        return verify_table(self, key, value);
    if (result == MLKV_OK)
        result = dictionary_record_read(id, value, &record);
    if (result != MLKV_OK)
        return verify_result(self, key, result);
    return id < self->next_dictionary || self->partial
               ? MLKV_OK
               : verify_problem(self, "dictionary %u is there, but the next one would be %u",
                                (unsigned)id, (unsigned)self->next_dictionary);
}
