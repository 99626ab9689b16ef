/* clean.c - blobs that nobody needs any more.
 *
 * Waste (W): a blob whose reference count reached 0, which is final (R8). Its pieces and its note
 * are deleted from LMDB directly, then W by an ordinary write. A crash in between repeats it. A
 * reader that still holds the reference finds the piece missing, and reads the record again. Notes
 * (N): of a session that is dead (its liveness lock is free). All its frames are visible then, so
 * after catching up: R or W known: the note alone goes. Neither: an orphan, pieces and note go. Of
 * this session: only notes whose blob has R, when asked for at the last close. Work is bounded per
 * call, and each LMDB transaction by IDS_MAX blobs' pieces. Locks: LMDB's write lock; the writer
 * lock for the deletion of W records, never both.
 */
#include "engine/engine.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/fault.h"
#include "base/hash.h"
#include "base/record.h"

enum { ID_KEY_SIZE = 9, IDS_MAX = 512, KEYS_MAX = 4096 };

static void id_key(int class, uint64_t id, unsigned char ret_key[ID_KEY_SIZE])
{
    ret_key[0] = (unsigned char)class;
    store_be64(ret_key + 1, id);
}

/* The ids of LMDB's records of a class, from `from` on, at most IDS_MAX; with the sessions of
 * notes. */
static int list_ids(engine *self, int class, uint64_t from, uint64_t *ret_ids,
                    uint64_t *ret_sessions, size_t *ret_count)
{
    store_read *read = NULL;
    store_cursor *cursor = NULL;
    unsigned char start[ID_KEY_SIZE];
    mlkv_slice key, value;
    size_t count = 0;
    int result = store_read_begin(self->store, &read);
    if (result == MLKV_OK)
        result = store_cursor_open(read, &cursor);
    id_key(class, from, start);
    if (result == MLKV_OK)
        result = store_cursor_seek(cursor, slice_of(start, sizeof start), &key, &value);
    while (result == MLKV_OK && count < IDS_MAX && key.size == ID_KEY_SIZE &&
           ((const unsigned char *)key.data)[0] == class) {
        ret_ids[count] = load_be64((const unsigned char *)key.data + 1);
        if (ret_sessions != NULL)
            ret_sessions[count] = value.size == 8 ? load_le64(value.data) : 0;
        count++;
        result = store_cursor_next(cursor, &key, &value);
    }
    store_cursor_close(cursor);
    store_read_end(read);
    *ret_count = count;
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

/* Record keys to be deleted from LMDB directly, in this order. */
typedef struct {
    engine *engine;
    mlkv_buffer keys; /* doomed_key[] */
} doomed;
typedef struct {
    unsigned char bytes[ID_KEY_SIZE + 4];
    unsigned char size;
} doomed_key;

static int doomed_flush(doomed *self)
{
    const doomed_key *keys = self->keys.data;
    size_t count = self->keys.size / sizeof *keys;
    store_write *write = NULL;
    int result = count == 0 ? MLKV_ABSENT
                            : engine_store_begin(self->engine,
                                                 self->engine->options.lock_timeout_ms, &write);
    if (result != MLKV_OK)
        return result == MLKV_ABSENT ? MLKV_OK : result;
    for (size_t i = 0; i < count && result == MLKV_OK; i++)
        result = store_write_delete(write, slice_of(keys[i].bytes, keys[i].size));
    self->keys.size = 0;
    if (result == MLKV_OK)
        return engine_store_commit(self->engine, write);
    engine_store_abort(self->engine, write);
    return result;
}

static int doomed_add(doomed *self, mlkv_slice key)
{
    doomed_key copy = {.size = (unsigned char)key.size};
    memcpy(copy.bytes, key.data, key.size);
    int result = buffer_append(&self->keys, &copy, sizeof copy);
    return result == MLKV_OK && self->keys.size / sizeof copy >= KEYS_MAX ? doomed_flush(self)
                                                                          : result;
}

/* Flushes and frees; `result` so far, or the flush's. */
static int doomed_done(doomed *self, int result)
{
    if (result == MLKV_OK)
        result = doomed_flush(self);
    mlkv_buffer_free(&self->keys);
    return result;
}

static int doom_note(doomed *list, uint64_t id)
{
    unsigned char key[ID_KEY_SIZE];
    id_key(RECORD_NOTE, id, key);
    return doomed_add(list, slice_of(key, sizeof key));
}

/* All pieces of a blob that LMDB holds, then its note: while pieces are left, so is what tells of
 * them. */
static int doom_blob(doomed *list, uint64_t id)
{
    store_read *read = NULL;
    store_cursor *cursor = NULL;
    unsigned char start[ID_KEY_SIZE];
    mlkv_slice key, value, prefix = slice_of(start, sizeof start);
    int result = store_read_begin(list->engine->store, &read);
    if (result == MLKV_OK)
        result = store_cursor_open(read, &cursor);
    id_key(RECORD_BLOB, id, start);
    if (result == MLKV_OK)
        result = store_cursor_seek(cursor, prefix, &key, &value);
    while (result == MLKV_OK && key.size == ID_KEY_SIZE + 4 && slice_starts_with(key, prefix)) {
        result = doomed_add(list, key);
        if (result == MLKV_OK)
            result = store_cursor_next(cursor, &key, &value);
    }
    store_cursor_close(cursor);
    store_read_end(read);
    return result < 0 ? result : doom_note(list, id);
}

void engine_blobs_discard(engine *self, const uint64_t *ids, size_t n)
{
    doomed list = {.engine = self};
    int result = MLKV_OK;
    for (size_t i = 0; i < n && result == MLKV_OK; i++)
        result = doom_blob(&list, ids[i]);
    (void)doomed_done(&list, result);
}

/* Removes W records through the one door that ring records have. */
static int forget_waste(engine *self, const uint64_t *ids, size_t n)
{
    batch records = {0};
    uint64_t end;
    int result = MLKV_OK;
    for (size_t i = 0; i < n && result == MLKV_OK; i++) {
        unsigned char key[ID_KEY_SIZE];
        id_key(RECORD_WASTE, ids[i], key);
        result = batch_delete(&records, hash_key(key, sizeof key), slice_of(key, sizeof key));
    }
    if (result == MLKV_OK)
        result = engine_write_begin(self);
    if (result == MLKV_OK) {
        result = engine_commit(self, &records, &end);
        engine_write_end(self);
    }
    batch_done(&records);
    return result;
}

/* Whether the live store has a record of this class for the blob. 0 yes, MLKV_ABSENT no. */
static int has_record(engine *self, int class, uint64_t id)
{
    unsigned char key[ID_KEY_SIZE];
    mlkv_buffer value = {0};
    int result, tries = 0;
    id_key(class, id, key);
    do {
        uint64_t cursor;
        result = engine_read_begin(self, &cursor);
        if (result == MLKV_OK)
            result = engine_get(self, cursor, hash_key(key, sizeof key), slice_of(key, sizeof key),
                                &value);
    } while (result == ENGINE_AGAIN && ++tries < 100);
    mlkv_buffer_free(&value);
    return result == ENGINE_AGAIN ? MLKV_E_BUSY : result;
}

int engine_clean_waste(engine *self)
{
    uint64_t ids[IDS_MAX];
    size_t count, done = 0;
    int result = list_ids(self, RECORD_WASTE, 0, ids, NULL, &count);
    if (result != MLKV_OK || count == 0)
        return result != MLKV_OK ? result : MLKV_ABSENT;
    doomed list = {.engine = self};
    for (size_t i = 0; i < count && result == MLKV_OK; i++) {
        /* W stays in LMDB until its deletion is applied: what was cleaned a moment ago is listed
         * again, and known to be gone */
        int known = has_record(self, RECORD_WASTE, ids[i]);
        if (known < 0)
            result = known;
        if (known != MLKV_OK)
            continue;
        result = doom_blob(&list, ids[i]);
        ids[done++] = ids[i];
    }
    result = doomed_done(&list, result);
    if (result != MLKV_OK || done == 0)
        return result != MLKV_OK ? result : MLKV_ABSENT;
    FAULT_POINT(CLEAN_WASTE);
    return forget_waste(self, ids, done);
}

static int clean_note(engine *self, doomed *list, uint64_t id, uint64_t session, bool own)
{
    bool is_own = session == liveness_session(self->liveness);
    if (is_own ? !own : liveness_session_alive(self->liveness, session))
        return MLKV_OK;
    int known = has_record(self, RECORD_REFERENCE, id);
    if (known == MLKV_ABSENT)
        known = has_record(self, RECORD_WASTE, id);
    if (known == MLKV_OK)
        return doom_note(list, id);
    if (known == MLKV_ABSENT && !is_own)
        return doom_blob(list, id);
    return known < 0 ? known : MLKV_OK;
}

int engine_clean_notes(engine *self, bool own)
{
    uint64_t ids[IDS_MAX], sessions[IDS_MAX], from = 0;
    size_t count;
    doomed list = {.engine = self};
    int result;
    do {
        result = list_ids(self, RECORD_NOTE, from, ids, sessions, &count);
        for (size_t i = 0; i < count && result == MLKV_OK; i++)
            result = clean_note(self, &list, ids[i], sessions[i], own);
        from = count != 0 ? ids[count - 1] + 1 : 0;
    } while (result == MLKV_OK && count == IDS_MAX);
    return doomed_done(&list, result);
}
