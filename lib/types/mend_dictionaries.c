/* mend_dictionaries.c - the part of the salvage that knows dictionaries: broken ones go, and the table says what is there.
 *
 * Values whose dictionary is lost are lost with it: the survey found that they cannot be decoded. So whatever id the table goes on with, no
 * value is left that means an older dictionary of that number.
 *
 *   table readable       entries of dictionaries that are gone are no longer in use
 *   lost or broken       made anew: of each prefix the highest version is in use, also if it had been dropped
 *
 * Nothing is written where it is right already. Locks: none.
 */
#include "types/mend.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "codec/dictionary_record.h"

#include <stdlib.h>

static dictionary_table *table_of(mender *self)
{
    dictionary_table *table = self->dictionaries.table;
    if (table != NULL)
        return table;
    table = self->dictionaries.table = calloc(1, sizeof *table);
    if (table != NULL)
        table->next_id = 1;
    else
        error_set_memory("the table of dictionaries");
    return table;
}

static int drop_broken(mender *self, mlkv_slice key)
{
    self->dictionaries.changed = true;
    int result = mend_tell(self, true, "record '%s' is left out: %s",
                           error_quote(key.data, key.size), mlkv_error_detail());
    return result != MLKV_OK ? result : mend_delete(self, key);
}

static int keep_table(mender *self, mlkv_slice key, mlkv_slice value)
{
    dictionary_table *table = table_of(self);
    int result = table == NULL ? MLKV_E_MEMORY
                               : buffer_assign(&self->dictionaries.bytes, value.data, value.size);
    if (result == MLKV_OK)
        result = dictionary_table_read(slice_of_buffer(&self->dictionaries.bytes), table);
    self->dictionaries.has_table = result == MLKV_OK;
    return result == MLKV_E_CORRUPT ? drop_broken(self, key) : result;
}

/* What the table has to say of a dictionary that is there. */
static int note(mender *self, uint32_t id, const dictionary_record *record)
{
    dictionary_table *table = table_of(self);
    dictionary_entry *place = NULL;
    if (table == NULL)
        return MLKV_E_MEMORY;
    if (id >= table->next_id) {
        table->next_id = id + 1;
        self->dictionaries.changed = true;
    }
    self->dictionaries.there[id] = true;
    if (self->dictionaries.has_table)
        return MLKV_OK;
    unsigned char *prefix = malloc(record->prefix.size + 1);
    if (prefix == NULL)
        return error_set_memory("the table of dictionaries");
    bytes_copy(prefix, record->prefix.data, record->prefix.size);
    size_t before = table->count;
    int result = dictionary_table_take(table, slice_of(prefix, record->prefix.size), &place);
    if (result == MLKV_OK && (place->version < record->version || before != table->count)) {
        place->id = id;
        place->version = record->version;
    }
    self->dictionaries.changed = true;
    if (result == MLKV_OK && before != table->count)
        return buffer_append(&self->dictionaries.prefixes, &prefix, sizeof prefix);
    free(prefix);
    return result == MLKV_E_SIZE ? MLKV_OK : result; /* too many: it stays readable */
}

static int look(mender *self, mlkv_slice key, mlkv_slice value)
{
    uint32_t id = 0;
    dictionary_record record;
    int result = dictionary_key_read(key, &id);
    if (result == MLKV_OK && id == 0)
        return keep_table(self, key, value);
    if (result == MLKV_OK && id > DICTIONARY_ID_MAX)
        result =
            error_set(MLKV_E_CORRUPT, "no dictionary has a number above %d", DICTIONARY_ID_MAX);
    if (result == MLKV_OK)
        result = dictionary_record_read(id, value, &record);
    if (result == MLKV_OK)
        return note(self, id, &record);
    return result == MLKV_E_CORRUPT ? drop_broken(self, key) : result;
}

static int put_table(mender *self)
{
    unsigned char key[DICTIONARY_KEY_SIZE];
    dictionary_table *table = self->dictionaries.table;
    mlkv_buffer bytes = {0};
    for (size_t i = 0; i < table->count; i++) {
        dictionary_entry *place = &table->entries[i];
        if (place->id != 0 && !self->dictionaries.there[place->id]) {
            place->id = 0;
            self->dictionaries.changed = true;
        }
    }
    if (!self->dictionaries.changed)
        return MLKV_OK;
    dictionary_key(0, key);
    int result = dictionary_table_write(table, &bytes);
    if (result == MLKV_OK)
        result = mend_put(self, slice_of(key, sizeof key), slice_of_buffer(&bytes));
    mlkv_buffer_free(&bytes);
    return result != MLKV_OK ? result
                             : mend_tell(self, false, "the table of dictionaries was made anew");
}

int mend_dictionaries(mender *self)
{
    int result = mend_each_class(self, RECORD_DICTIONARY, look);
    if (result == MLKV_OK && self->dictionaries.table != NULL)
        result = put_table(self);
    return result;
}

void mend_dictionaries_done(mender *self)
{
    unsigned char **prefixes = self->dictionaries.prefixes.data;
    for (size_t i = 0; i < self->dictionaries.prefixes.size / sizeof *prefixes; i++)
        free(prefixes[i]);
    mlkv_buffer_free(&self->dictionaries.prefixes);
    mlkv_buffer_free(&self->dictionaries.bytes);
    free(self->dictionaries.table);
}
