/* dictionary.c - training, listing and dropping dictionaries.
 *
 * Bytes: records of class D (codec/dictionary_record.h): each dictionary under its id, which is never changed; and the table, under id 0.
 *
 * Invariants
 *   1. An id is given in the rule that stores the dictionary, from the table, whose next id only grows. Both records are in one frame.
 *   2. A dictionary is stored only if it was tried on values that it was not learned from, and saves at least a 16th of what they take.
 *   3. Everything that takes long (sampling, learning, trying) is done before the rule, without a lock. Two who train the same prefix at
 *      once both store theirs; the later one is current.
 *   4. No D record but the table is ever replaced or deleted: some value may name it.
 * Locks: none but the writer lock in the rules.
 */
#include "types/dictionary.h"

#include <mlkv/dictionary.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "codec/dictionary_record.h"
#include "types/argument.h"

#include <stdlib.h>

enum {
    BYTES_DEFAULT =
        64 << 10, /* more saves little, and takes more of the processor's second cache */
    SAMPLE_DEFAULT = 8 << 20,
    SAMPLE_MAX = 256 << 20,
    SAMPLE_PART =
        8, /* a dictionary is no larger than this part of its sample, or it learns by heart */
    TRIED_PART = 8,  /* every so-manieth value is tried, not learned from */
    SAVED_PART = 16, /* what a dictionary must save at least */
    TRIAL_ID = 1,
};

/* --- the table --- */

/* A table is too large for a stack. Start *ret_table as NULL, free it. */
static int read_table(op *o, mlkv_buffer *bytes, dictionary_table **ret_table)
{
    unsigned char key[DICTIONARY_KEY_SIZE];
    dictionary_key(0, key);
    bytes->size = 0;
    if (*ret_table == NULL)
        *ret_table = calloc(1, sizeof **ret_table);
    if (*ret_table == NULL)
        return error_set_memory("the table of dictionaries");
    **ret_table = (dictionary_table){.next_id = 1};
    int result = op_get(o, slice_of(key, sizeof key), bytes);
    if (result == MLKV_OK)
        return dictionary_table_read(slice_of_buffer(bytes), *ret_table);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

static int put_table(op *o, const dictionary_table *table)
{
    unsigned char key[DICTIONARY_KEY_SIZE];
    mlkv_buffer bytes = {0};
    dictionary_key(0, key);
    int result = dictionary_table_write(table, &bytes);
    if (result == MLKV_OK)
        result = op_put(o, slice_of(key, sizeof key), slice_of_buffer(&bytes));
    mlkv_buffer_free(&bytes);
    return result;
}

/* --- training --- */

typedef struct {
    mlkv *view;
    mlkv_slice prefix;
    size_t bytes_max, sample_max;
    cell_options cells; /* of the store */
    value_samples samples, tried;
    mlkv_buffer dictionary, record, table_bytes;
    dictionary_table *table;
    mlkv_dictionary_info info;
} training;

/* The entry that the prefix would have. */
static int take_entry(op *o, training *self, dictionary_entry **ret_entry)
{
    int result = read_table(o, &self->table_bytes, &self->table);
    if (result == MLKV_OK && self->table->next_id > DICTIONARY_ID_MAX)
        return error_set(MLKV_E_SIZE, "the store has had %d dictionaries: that is the limit",
                         DICTIONARY_ID_MAX);
    return result != MLKV_OK ? result : dictionary_table_take(self->table, self->prefix, ret_entry);
}

/* Before anything that takes long: whether it can be stored at all. */
static int ready_rule(op *o, void *context)
{
    training *self = context;
    dictionary_entry *entry;
    self->cells = *op_cell_options(o);
    return take_entry(o, self, &entry);
}

static int store_rule(op *o, void *context)
{
    training *self = context;
    unsigned char key[DICTIONARY_KEY_SIZE];
    dictionary_entry *entry = NULL;
    int result = take_entry(o, self, &entry);
    if (result != MLKV_OK)
        return result;
    mlkv_dictionary_info *info = &self->info;
    entry->id = info->id = self->table->next_id++;
    entry->version = info->version = entry->version + 1;
    info->created_ms = op_now_ms(o);
    info->current = 1;
    dictionary_set_id(self->dictionary.data, entry->id);
    dictionary_record record = {.version = info->version,
                                .created_ms = info->created_ms,
                                .samples = info->samples,
                                .tried = info->tried_bytes,
                                .without = info->without_bytes,
                                .with = info->with_bytes,
                                .prefix = self->prefix,
                                .bytes = slice_of_buffer(&self->dictionary)};
    self->record.size = 0;
    result = dictionary_record_write(&record, &self->record);
    dictionary_key(entry->id, key);
    if (result == MLKV_OK)
        result = op_put(o, slice_of(key, sizeof key), slice_of_buffer(&self->record));
    return result != MLKV_OK ? result : put_table(o, self->table);
}

/* Every TRIED_PART-th value moves from the samples to those that are tried. */
static int set_aside(training *self)
{
    value_samples *from = &self->samples, *to = &self->tried;
    unsigned char *bytes = from->bytes.data, *kept = bytes;
    size_t *sizes = from->sizes.data, n = 0;
    for (size_t i = 0; i < from->count; i++) {
        size_t size = sizes[i];
        int result = MLKV_OK;
        if (i % TRIED_PART == TRIED_PART / 2) {
            result = buffer_append(&to->bytes, bytes, size);
            if (result == MLKV_OK)
                result = buffer_append(&to->sizes, &size, sizeof size);
            to->count++;
        } else {
            memmove(kept, bytes, size);
            kept += size;
            sizes[n++] = size;
        }
        if (result != MLKV_OK)
            return result;
        bytes += size;
    }
    from->count = n;
    from->bytes.size = (size_t)(kept - (unsigned char *)from->bytes.data);
    return MLKV_OK;
}

static int learn(training *self)
{
    size_t part = self->samples.bytes.size / SAMPLE_PART;
    self->info.samples = self->samples.count;
    if (self->tried.count == 0)
        return MLKV_ABSENT;
    return dictionary_learn(slice_of_buffer(&self->samples.bytes), self->samples.sizes.data,
                            self->samples.count, part < self->bytes_max ? part : self->bytes_max,
                            &self->dictionary);
}

/* What the values set aside take with and without. MLKV_ABSENT: it does not pay. */
static int try_out(training *self, const dictionary_coder *coder)
{
    mlkv_buffer cell = {0};
    const unsigned char *at = self->tried.bytes.data;
    const size_t *sizes = self->tried.sizes.data;
    mlkv_dictionary_info *info = &self->info;
    int result = MLKV_OK;
    for (size_t i = 0; i < self->tried.count && result == MLKV_OK; at += sizes[i++]) {
        mlkv_slice raw = slice_of(at, sizes[i]);
        cell.size = 0;
        result = cell_encode(&self->cells, raw, &cell);
        size_t without = cell.size;
        cell.size = 0;
        if (result == MLKV_OK)
            result = cell_encode_with(coder, raw, &cell);
        info->tried_bytes += raw.size;
        info->without_bytes += without;
        info->with_bytes += result == MLKV_OK ? cell.size : without;
        result = result == MLKV_ABSENT ? MLKV_OK : result;
    }
    mlkv_buffer_free(&cell);
    if (result != MLKV_OK)
        return result;
    return info->with_bytes <= info->without_bytes - info->without_bytes / SAVED_PART - 1
               ? MLKV_OK
               : MLKV_ABSENT;
}

static int train(training *self)
{
    dictionary_coder *coder = NULL;
    int result = op_write(self->view, ready_rule, self);
    if (result == MLKV_OK)
        result = value_samples_take(self->view, self->prefix, self->sample_max, &self->samples);
    if (result == MLKV_OK)
        result = set_aside(self);
    if (result == MLKV_OK)
        result = learn(self);
    if (result == MLKV_OK) {
        dictionary_set_id(self->dictionary.data, TRIAL_ID);
        self->info.bytes = self->dictionary.size;
        result = dictionary_coder_create(TRIAL_ID, slice_of_buffer(&self->dictionary),
                                         self->cells.level, &coder);
    }
    if (result == MLKV_OK)
        result = try_out(self, coder);
    dictionary_coder_destroy(coder);
    return result != MLKV_OK ? result : op_write(self->view, store_rule, self);
}

static void training_done(training *self)
{
    value_samples_done(&self->samples);
    value_samples_done(&self->tried);
    mlkv_buffer_free(&self->dictionary);
    mlkv_buffer_free(&self->record);
    mlkv_buffer_free(&self->table_bytes);
    free(self->table);
}

static int check_prefix(const mlkv *view, mlkv_slice prefix)
{
    int result = argument_pointer(view, "view");
    if (result == MLKV_OK)
        result = argument_slice(prefix, "prefix");
    if (result == MLKV_OK && prefix.size > DICTIONARY_PREFIX_SIZE_MAX)
        result = error_set(MLKV_E_SIZE, "a dictionary's prefix has at most %d bytes, not %zu",
                           DICTIONARY_PREFIX_SIZE_MAX, prefix.size);
    return result;
}

static int check_info(const mlkv_dictionary_info *info)
{
    return info == NULL || info->size == sizeof *info
               ? MLKV_OK
               : error_set(MLKV_E_ARGUMENT,
                           "the size of the mlkv_dictionary_info is not one that this "
                           "library knows");
}

static int take_options(const mlkv_dictionary_options *options, training *self)
{
    self->bytes_max = BYTES_DEFAULT;
    self->sample_max = SAMPLE_DEFAULT;
    if (options == NULL)
        return MLKV_OK;
    if (options->size != sizeof *options)
        return error_set(MLKV_E_ARGUMENT, "the size of the mlkv_dictionary_options is not one that "
                                          "this library knows");
    if (options->dictionary_bytes != 0)
        self->bytes_max = options->dictionary_bytes;
    if (options->sample_max_bytes != 0)
        self->sample_max = options->sample_max_bytes;
    if (self->bytes_max < DICTIONARY_SIZE_MIN || self->bytes_max > DICTIONARY_SIZE_MAX)
        return error_set(MLKV_E_ARGUMENT, "dictionary_bytes: %zu is not from %d to %d",
                         self->bytes_max, DICTIONARY_SIZE_MIN, DICTIONARY_SIZE_MAX);
    return self->sample_max <= SAMPLE_MAX
               ? MLKV_OK
               : error_set(MLKV_E_ARGUMENT, "sample_max_bytes: %zu is above %d", self->sample_max,
                           SAMPLE_MAX);
}

int mlkv_dictionary_train(mlkv *db, mlkv_slice prefix, const mlkv_dictionary_options *options,
                          mlkv_dictionary_info *ret_info)
{
    training self = {.view = db, .prefix = prefix, .info.size = sizeof self.info};
    int result = check_prefix(db, prefix);
    if (result == MLKV_OK)
        result = check_info(ret_info);
    if (result == MLKV_OK)
        result = take_options(options, &self);
    if (result == MLKV_OK && !op_watch_possible(db))
        result = error_set(MLKV_E_ARGUMENT, "a dictionary is learned from the live store, not in a "
                                            "transaction or a snapshot");
    if (result != MLKV_OK)
        return result;
    result = train(&self);
    training_done(&self);
    if (result >= 0 && ret_info != NULL)
        *ret_info = self.info;
    return result;
}

/* --- the list --- */

typedef struct {
    uint32_t after_id;
    mlkv_dictionary_info info;
    mlkv_buffer *prefix;
    mlkv_buffer table_bytes, record;
    dictionary_table *table;
} next_call;

static int give(next_call *call, uint32_t id)
{
    dictionary_record record;
    int result = dictionary_record_read(id, slice_of_buffer(&call->record), &record);
    if (result != MLKV_OK)
        return result;
    const dictionary_entry *entry = NULL;
    for (size_t i = 0; i < call->table->count && entry == NULL; i++)
        if (call->table->entries[i].id == id)
            entry = &call->table->entries[i];
    call->info = (mlkv_dictionary_info){.size = sizeof call->info,
                                        .id = id,
                                        .version = record.version,
                                        .bytes = record.bytes.size,
                                        .created_ms = record.created_ms,
                                        .samples = record.samples,
                                        .tried_bytes = record.tried,
                                        .without_bytes = record.without,
                                        .with_bytes = record.with,
                                        .current = entry != NULL};
    return call->prefix == NULL
               ? MLKV_OK
               : buffer_assign(call->prefix, record.prefix.data, record.prefix.size);
}

static int next_rule(op *o, void *context)
{
    next_call *call = context;
    unsigned char key[DICTIONARY_KEY_SIZE];
    int result = read_table(o, &call->table_bytes, &call->table);
    for (uint32_t id = call->after_id; result == MLKV_OK && ++id < call->table->next_id;) {
        dictionary_key(id, key);
        result = op_get(o, slice_of(key, sizeof key), &call->record);
        if (result == MLKV_OK)
            return give(call, id);
        result = result == MLKV_ABSENT ? MLKV_OK : result; /* a salvaged store may lack some */
    }
    return result == MLKV_OK ? MLKV_ABSENT : result;
}

int mlkv_dictionary_next(mlkv *view, uint32_t after_id, mlkv_dictionary_info *ret_info,
                         mlkv_buffer *ret_prefix)
{
    mlkv_buffer prefix = {0};
    next_call call = {.after_id = after_id, .prefix = &prefix};
    int result = argument_pointer(view, "view");
    if (result == MLKV_OK)
        result = argument_pointer(ret_info, "ret_info");
    if (result == MLKV_OK)
        result = check_info(ret_info);
    if (result != MLKV_OK)
        return result;
    result = after_id >= DICTIONARY_ID_MAX ? MLKV_ABSENT : op_read(view, next_rule, &call);
    if (result == MLKV_OK && ret_prefix != NULL)
        result = buffer_assign(ret_prefix, prefix.data, prefix.size);
    if (result == MLKV_OK)
        *ret_info = call.info;
    mlkv_buffer_free(&prefix);
    mlkv_buffer_free(&call.table_bytes);
    mlkv_buffer_free(&call.record);
    free(call.table);
    return result;
}

/* --- dropping --- */

typedef struct {
    mlkv_slice prefix;
    mlkv_buffer table_bytes;
    dictionary_table *table;
} drop_call;

static int drop_rule(op *o, void *context)
{
    drop_call *call = context;
    dictionary_entry *entry = NULL;
    int result = read_table(o, &call->table_bytes, &call->table);
    for (size_t i = 0; i < (result == MLKV_OK ? call->table->count : 0) && entry == NULL; i++)
        if (slice_equal(call->table->entries[i].prefix, call->prefix))
            entry = &call->table->entries[i];
    if (result != MLKV_OK || entry == NULL || entry->id == 0)
        return result != MLKV_OK ? result : MLKV_ABSENT;
    entry->id = 0;
    return put_table(o, call->table);
}

int mlkv_dictionary_drop(mlkv *view, mlkv_slice prefix)
{
    drop_call call = {.prefix = prefix};
    int result = check_prefix(view, prefix);
    if (result != MLKV_OK)
        return result;
    result = op_write(view, drop_rule, &call);
    mlkv_buffer_free(&call.table_bytes);
    free(call.table);
    return result;
}
