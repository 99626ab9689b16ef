/* dictionaries.c - the dictionaries of a store, as one process has them ready: which one the values of a key are coded with, and what
 * decodes those of an id.
 *
 * State: the table of the prefixes that have a dictionary, as of some position of the journal; a hash from ids to
 * decoders; for each entry of the table a coder, made when it is first asked for. All of it is immutable once others
 * can see it, and stays until the engine is closed: so a look needs no lock and no count. Tables that were replaced
 * wait for that too; that happens as often as somebody trains.
 *
 * Invariants
 *   1. A record of class D that names an id never changes and never goes. So what was read of it, at whatever position, holds; and it
 *      was written in the frame of the table that names it, before any value that needs it.
 *   2. `stale` is raised after the record can be read here, and lowered before the table is read: a change is not missed for longer
 *      than until it is taken in here. What is used meanwhile is the dictionary before, which is as good.
 *   3. Writing can do without: what fails on the way to a coder leaves the value plain, and reading is tried again when D changes.
 *      Reading cannot: it loads what it meets, and says which dictionary is missing.
 *
 * Locks: `refreshing` while the table is read, for which nobody waits; `lock` for moments, to link what was made. Two
 * threads that need the same dictionary at once make it twice, and one of them throws his away.
 */
#include "engine/engine.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/lock.h"
#include "base/record.h"
#include "codec/dictionary_record.h"

#include <stdlib.h>

enum { BUCKETS = 64, TRIES_MAX = 1000 };

typedef struct decoder_node {
    dictionary_decoder *decoder;
    struct decoder_node *next;
} decoder_node;

typedef struct dictionaries_table {
    struct dictionaries_table *next; /* of all that there were, the newest first */
    mlkv_buffer bytes;               /* of the record */
    dictionary_table content;        /* entries in use only */
    dictionary_coder *_Atomic coders[DICTIONARY_PREFIXES_MAX];
    _Atomic bool failed[DICTIONARY_PREFIXES_MAX]; /* not to be tried again */
} dictionaries_table;

struct dictionaries {
    _Atomic bool stale; /* records of class D may have changed since the table was read */
    dictionaries_table *_Atomic table; /* NULL: no prefix has a dictionary */
    pthread_mutex_t
        refreshing; /* held by who reads the table: a table is never replaced by an older one */
    pthread_mutex_t lock;
    dictionaries_table *tables; /* all that there were; under `refreshing` */
    decoder_node *_Atomic buckets[BUCKETS];
    _Atomic size_t size;
};

int dictionaries_create(dictionaries **ret_self)
{
    dictionaries *self = calloc(1, sizeof *self);
    if (self == NULL)
        return error_set_memory("dictionaries");
    lock_init(&self->lock);
    lock_init(&self->refreshing);
    atomic_init(&self->stale, true);
    *ret_self = self;
    return MLKV_OK;
}

static void table_destroy(dictionaries_table *table)
{
    for (size_t i = 0; table != NULL && i < table->content.count; i++)
        dictionary_coder_destroy(atomic_load(&table->coders[i]));
    if (table != NULL)
        mlkv_buffer_free(&table->bytes);
    free(table);
}

void dictionaries_destroy(dictionaries *self)
{
    if (self == NULL)
        return;
    for (dictionaries_table *table = self->tables, *next; table != NULL; table = next) {
        next = table->next;
        table_destroy(table);
    }
    for (size_t i = 0; i < BUCKETS; i++) {
        for (decoder_node *node = atomic_load(&self->buckets[i]), *next; node != NULL;
             node = next) {
            next = node->next;
            dictionary_decoder_destroy(node->decoder);
            free(node);
        }
    }
    lock_destroy(&self->lock);
    lock_destroy(&self->refreshing);
    free(self);
}

void dictionaries_change(dictionaries *self)
{
    atomic_store_explicit(&self->stale, true, memory_order_release);
}

size_t dictionaries_size(dictionaries *self)
{
    return atomic_load_explicit(&self->size, memory_order_relaxed);
}

static void add_size(dictionaries *self, size_t size)
{
    atomic_fetch_add_explicit(&self->size, size, memory_order_relaxed);
}

/* --- reading records --- */

/* A record of class D, as of now or later. Outside the cache, which has better use for its room. */
static int read_record(engine *self, uint32_t id, mlkv_buffer *ret_value)
{
    unsigned char bytes[DICTIONARY_KEY_SIZE];
    mlkv_slice key = slice_of(bytes, sizeof bytes), value;
    dictionary_key(id, bytes);
    uint64_t hash = hash_key(key.data, key.size);
    for (int i = 0; i < TRIES_MAX; i++) {
        pending *above = atomic_load_explicit(&self->pending, memory_order_acquire);
        int found = above == NULL ? JOURNAL_OTHER : pending_get(above, hash, key, ret_value);
        if (found == JOURNAL_FOUND || found < 0)
            return found == JOURNAL_FOUND ? MLKV_OK : found;
        if (found == JOURNAL_DELETED)
            return MLKV_ABSENT;
        store_read *read = NULL;
        int result = engine_snapshot_at(self, UINT64_MAX, &read); /* what is ahead does no harm */
        if (result == MLKV_OK)
            result = store_read_get(read, key, &value);
        if (result == MLKV_OK)
            result = buffer_assign(ret_value, value.data, value.size);
        store_read_end(read);
        if (result != ENGINE_AGAIN)
            return result;
    }
    return error_set(MLKV_E_BUSY, "the record of dictionary %u is not to be had now", (unsigned)id);
}

static int read_dictionary(engine *self, uint32_t id, mlkv_buffer *value,
                           dictionary_record *ret_record)
{
    int result = read_record(self, id, value);
    if (result == MLKV_ABSENT)
        return error_set(MLKV_E_CORRUPT,
                         "dictionary %u, with which a value was coded, is not there", (unsigned)id);
    return result != MLKV_OK ? result
                             : dictionary_record_read(id, slice_of_buffer(value), ret_record);
}

/* --- decoders --- */

static const dictionary_decoder *find_decoder(dictionaries *self, uint32_t id)
{
    decoder_node *node = atomic_load_explicit(&self->buckets[id % BUCKETS], memory_order_acquire);
    while (node != NULL && dictionary_decoder_id(node->decoder) != id)
        node = node->next;
    return node == NULL ? NULL : node->decoder;
}

/* Links it, or takes what somebody else linked meanwhile. */
static const dictionary_decoder *link_decoder(dictionaries *self, decoder_node *node)
{
    uint32_t id = dictionary_decoder_id(node->decoder);
    decoder_node *_Atomic *bucket = &self->buckets[id % BUCKETS];
    lock_take(&self->lock);
    const dictionary_decoder *known = find_decoder(self, id);
    if (known == NULL) {
        node->next = atomic_load(bucket);
        atomic_store_explicit(bucket, node, memory_order_release);
        add_size(self, sizeof *node + dictionary_decoder_size(node->decoder));
    }
    lock_release(&self->lock);
    if (known == NULL)
        return node->decoder;
    dictionary_decoder_destroy(node->decoder);
    free(node);
    return known;
}

int engine_dictionary(engine *self, uint32_t id, const dictionary_decoder **ret_decoder)
{
    const dictionary_decoder *known = find_decoder(self->dictionaries, id);
    if (known != NULL) {
        *ret_decoder = known;
        return MLKV_OK;
    }
    mlkv_buffer value = {0};
    dictionary_record record;
    decoder_node *node = calloc(1, sizeof *node);
    int result = node == NULL ? error_set_memory("a dictionary")
                              : read_dictionary(self, id, &value, &record);
    if (result == MLKV_OK)
        result = dictionary_decoder_create(id, record.bytes, &node->decoder);
    if (result == MLKV_OK)
        *ret_decoder = link_decoder(self->dictionaries, node);
    else
        free(node);
    mlkv_buffer_free(&value);
    return result;
}

/* --- coders --- */

static void keep_entries_in_use(dictionary_table *content)
{
    size_t kept = 0;
    for (size_t i = 0; i < content->count; i++)
        if (content->entries[i].id != 0)
            content->entries[kept++] = content->entries[i];
    content->count = kept;
}

/* The table as it is in the store by now. NULL, with result MLKV_OK: no prefix has a dictionary. */
static int load_table(engine *self, dictionaries_table **ret_table)
{
    mlkv_buffer bytes = {0};
    dictionaries_table *table = NULL;
    int result = read_record(self, 0, &bytes);
    if (result == MLKV_OK && (table = calloc(1, sizeof *table)) == NULL)
        result = error_set_memory("the table of dictionaries");
    if (result == MLKV_OK) {
        table->bytes = bytes;
        bytes = (mlkv_buffer){0};
        result = dictionary_table_read(slice_of_buffer(&table->bytes), &table->content);
    }
    if (result == MLKV_OK)
        keep_entries_in_use(&table->content);
    if (result != MLKV_OK || table->content.count == 0) {
        table_destroy(table);
        table = NULL;
    }
    mlkv_buffer_free(&bytes);
    *ret_table = table;
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

static bool is_same(const dictionaries_table *a, const dictionaries_table *b)
{
    return a != NULL && b != NULL &&
           slice_equal(slice_of_buffer(&a->bytes), slice_of_buffer(&b->bytes));
}

/* Shows it to everybody, unless it says what the one that they have says. */
static void install(dictionaries *self, dictionaries_table *table)
{
    if (is_same(table, atomic_load(&self->table))) {
        table_destroy(table);
        return;
    }
    if (table != NULL) {
        table->next = self->tables;
        self->tables = table;
        add_size(self, sizeof *table + table->bytes.capacity);
    }
    atomic_store_explicit(&self->table, table, memory_order_release);
}

/* Reads the table anew. Whoever comes meanwhile goes on with the one before. */
static void refresh(engine *self)
{
    dictionaries *all = self->dictionaries;
    dictionaries_table *table = NULL;
    if (!lock_try(&all->refreshing))
        return;
    int state = cancel_disable();
    atomic_store(&all->stale, false);
    int result = load_table(self, &table);
    if (result == MLKV_OK)
        install(all, table);
    else
        error_clear();
    if (result != MLKV_OK && result != MLKV_E_CORRUPT)
        dictionaries_change(all);
    cancel_restore(state);
    lock_release(&all->refreshing);
}

/* The coder of an entry, made and linked. NULL if that fails. */
static const dictionary_coder *make_coder(engine *self, dictionaries_table *table, size_t at)
{
    mlkv_buffer value = {0};
    dictionary_record record;
    dictionary_coder *fresh = NULL, *known = NULL;
    uint32_t id = table->content.entries[at].id;
    int state = cancel_disable();
    int result = read_dictionary(self, id, &value, &record);
    if (result == MLKV_OK)
        result = dictionary_coder_create(id, record.bytes, self->options.cells.level, &fresh);
    mlkv_buffer_free(&value);
    if (result != MLKV_OK) {
        error_clear();
        if (result == MLKV_E_CORRUPT)
            atomic_store(&table->failed[at], true);
    } else if (atomic_compare_exchange_strong(&table->coders[at], &known, fresh)) {
        add_size(self->dictionaries, dictionary_coder_size(fresh));
        known = fresh;
    } else {
        dictionary_coder_destroy(fresh);
    }
    cancel_restore(state);
    return known;
}

const dictionary_coder *engine_dictionary_for(engine *self, mlkv_slice name)
{
    dictionaries *all = self->dictionaries;
    if (__builtin_expect(atomic_load_explicit(&all->stale, memory_order_acquire), 0))
        refresh(self);
    dictionaries_table *table = atomic_load_explicit(&all->table, memory_order_acquire);
    if (table == NULL)
        return NULL;
    const dictionary_entry *entry = dictionary_table_match(&table->content, name);
    if (entry == NULL)
        return NULL;
    size_t at = (size_t)(entry - table->content.entries);
    const dictionary_coder *coder = atomic_load_explicit(&table->coders[at], memory_order_acquire);
    if (coder != NULL || atomic_load_explicit(&table->failed[at], memory_order_relaxed))
        return coder;
    return make_coder(self, table, at);
}
