/* read.c - snapshots: a pool of read transactions, gets, cursors, and the check of every value's
 * seal.
 *
 * A read transaction costs a slot in lock.mdb and a lock to get it (1.3 us with four threads), but
 * 25 ns to renew. So ended ones are reset and kept: each in the slot of the thread that ended it,
 * else in the next one, else in a list under a lock, else really ended.
 *
 *   none -- begin --> out -- end --> idle (slot or list) -- begin: renewed --> out ...
 *                      \-- pool full --> none
 *
 * Invariants:
 * 1. A transaction is in one slot, or in the list, or out, or gone: it moves by an exchange of a
 *    pointer or under the lock.
 * 2. Idle ones hold no snapshot, so they keep no pages from reuse.
 * 3. Of a lasting record the seal was looked at by this process, with this key and in this store.
 * 4. A slot of lock.mdb that LMDB says is not ours any more (MDB_BAD_RSLOT: another process took
 *    us for dead) is never written to again: its transaction is given up, not aborted.
 *
 * After a process died between writing LMDB's meta page and the number in lock.mdb that tells
 * readers of it, new snapshots show the commit before that one, until the next write transaction
 * begins. Who must know the newest position asks in a write transaction.
 *
 * LMDB takes the newest commit's number from lock.mdb and then copies that commit's meta page. A
 * thread that loses the processor in between may copy what the commit after the next one is just
 * writing there: a newer tree than a snapshot begun later may show, or half of each. So a
 * snapshot counts only if its number is still the newest of the meta pages (settle_read).
 *
 * Locks: store.lock for the list only; nothing is called under it.
 */
#include "base/error.h"
#include "base/fault.h"
#include "base/hash.h"
#include "base/lock.h"
#include "base/record.h"
#include "store/env.h"

#include <stdlib.h>

enum { SETTLE_TRIES = 16 };

struct store_cursor {
    store *owner;
    MDB_cursor *cursor;
};

uint32_t store_seal(mlkv_slice key, const void *value, size_t size)
{
    return (uint32_t)hash_checksum(value, size, hash_checksum(key.data, key.size, 0));
}

int store_unseal(mlkv_slice key, const MDB_val *stored, mlkv_slice *ret_value)
{
    if (stored->mv_size < SEAL_SIZE)
        return error_set(MLKV_E_CORRUPT, "record '%s' is too short",
                         error_quote(key.data, key.size));
    size_t size = stored->mv_size - SEAL_SIZE;
    if (load_le32((const char *)stored->mv_data + size) != store_seal(key, stored->mv_data, size))
        return error_set(MLKV_E_CORRUPT, "record '%s' has a wrong checksum",
                         error_quote(key.data, key.size));
    *ret_value = slice_of(stored->mv_data, size);
    return 0;
}

/* A broken length must not send the checksum out of the map. Values of less than a page cannot
 * leave it. */
static int bound_value(store *self, mlkv_slice key, const MDB_val *stored)
{
    MDB_envinfo info;
    if (stored->mv_size <= self->page_size)
        return 0;
    int code = mdb_env_info(self->env, &info);
    if (code != 0)
        return store_error(code, "asking for sizes");
    if (stored->mv_size / self->page_size > info.me_last_pgno)
        return error_set(MLKV_E_CORRUPT, "record '%s' is longer than its file",
                         error_quote(key.data, key.size));
    return 0;
}

int store_fetch(store *self, MDB_txn *txn, mlkv_slice key, mlkv_slice *ret_value)
{
    if (key.size == 0)
        return MLKV_ABSENT;
    MDB_val name = store_val(key), stored;
    int code = mdb_get(txn, self->dbi, &name, &stored);
    if (code == MDB_NOTFOUND)
        return MLKV_ABSENT;
    if (code != 0)
        return store_error(code, "reading a record");
    return store_unseal(key, &stored, ret_value);
}

static int fetch_own(store *self, MDB_txn *txn, const char *name, size_t size,
                     mlkv_slice *ret_value)
{
    mlkv_slice value = {0};
    int result = store_fetch(self, txn, slice_of_text(name), &value);
    if (result == MLKV_ABSENT)
        return error_set(MLKV_E_CORRUPT, "record '%s' is missing", name);
    if (result != 0)
        return result;
    if (value.size != size)
        return error_set(MLKV_E_CORRUPT, "record '%s' has %zu bytes instead of %zu", name,
                         value.size, size);
    *ret_value = value;
    return 0;
}

int store_fetch_position(store *self, MDB_txn *txn, store_position *ret_position)
{
    mlkv_slice value = {0};
    int result = fetch_own(self, txn, KEY_POSITION, POSITION_SIZE, &value);
    if (result != 0)
        return result;
    const char *bytes = value.data;
    *ret_position = (store_position){load_le64(bytes), load_le64(bytes + 8), load_le64(bytes + 16)};
    return 0;
}

int store_fetch_identity(store *self, MDB_txn *txn, store_identity *ret_identity)
{
    mlkv_slice value = {0};
    int result = fetch_own(self, txn, KEY_IDENTITY, IDENTITY_SIZE, &value);
    if (result != 0)
        return result;
    const unsigned char *bytes = value.data;
    if (bytes[24] > 1)
        return error_set(MLKV_E_CORRUPT, "record '%s' is neither clean nor unclean", KEY_IDENTITY);
    memcpy(ret_identity->uuid, bytes, sizeof ret_identity->uuid);
    ret_identity->generation = load_le64(bytes + 16);
    ret_identity->clean = bytes[24] == 1;
    return 0;
}

/* The thread's first slot. */
static unsigned home_slot(void)
{
    static atomic_uint threads;
    static _Thread_local unsigned home; /* 0: none yet */
    if (home == 0)
        home = atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) % POOL_SLOTS + 1;
    return home - 1;
}

static store_read *take_from_slot(store_slot *slot)
{
    if (atomic_load_explicit(&slot->idle, memory_order_relaxed) == NULL)
        return NULL;
    return atomic_exchange_explicit(&slot->idle, NULL, memory_order_acquire);
}

static store_read *take_from_list(store *self)
{
    if (atomic_load_explicit(&self->idle_count, memory_order_relaxed) == 0)
        return NULL;
    lock_take(&self->lock);
    store_read *read = self->idle_list;
    if (read != NULL) {
        self->idle_list = read->next;
        atomic_fetch_sub_explicit(&self->idle_count, 1, memory_order_relaxed);
    }
    lock_release(&self->lock);
    return read;
}

/* An idle transaction from the first `probes` slots or the list, or NULL. */
static store_read *pool_take(store *self, unsigned probes)
{
    unsigned home = home_slot();
    for (unsigned i = 0; i < probes; i++) {
        store_read *read = take_from_slot(&self->slots[(home + i) % POOL_SLOTS]);
        if (read != NULL)
            return read;
    }
    return take_from_list(self);
}

static void end_read(store_read *read)
{
    mdb_txn_abort(read->txn);
    free(read);
}

static void pool_give(store *self, store_read *read)
{
    unsigned home = home_slot();
    for (unsigned i = 0; i < POOL_PROBES; i++) {
        store_slot *slot = &self->slots[(home + i) % POOL_SLOTS];
        store_read *none = NULL;
        if (atomic_load_explicit(&slot->idle, memory_order_relaxed) == NULL &&
            atomic_compare_exchange_strong_explicit(&slot->idle, &none, read, memory_order_release,
                                                    memory_order_relaxed))
            return;
    }
    lock_take(&self->lock);
    bool kept = self->idle_count < POOL_LIST_MAX;
    if (kept) {
        read->next = self->idle_list;
        self->idle_list = read;
        atomic_fetch_add_explicit(&self->idle_count, 1, memory_order_relaxed);
    }
    lock_release(&self->lock);
    if (!kept)
        end_read(read);
}

void store_pool_drain(store *self)
{
    store_read *read;
    while ((read = pool_take(self, POOL_SLOTS)) != NULL)
        end_read(read);
}

/* Begins a snapshot again while a commit passes it; an LMDB code. After such a death as above the
 * numbers never agree, and nobody writes: what LMDB gives is taken. */
static int settle_read(store *self, MDB_txn *txn)
{
    for (int tries = 0; tries < SETTLE_TRIES; tries++) {
        MDB_envinfo info;
        if (mdb_env_info(self->env, &info) != 0 || info.me_last_txnid == mdb_txn_id(txn))
            return 0;
        mdb_txn_reset(txn);
        int code = mdb_txn_renew(txn);
        if (code != 0)
            return code;
    }
    return 0;
}

/* Makes a pooled transaction current. NULL comes back in *read if its slot in lock.mdb is lost. */
static int renew_read(store *self, store_read **read)
{
    int code = mdb_txn_renew((*read)->txn);
    if (code == 0)
        code = settle_read(self, (*read)->txn);
    if (code == 0)
        return 0;
    if (code == MDB_BAD_RSLOT) {
        free(*read);
        *read = NULL;
        return 0;
    }
    pool_give(self, *read); /* LMDB leaves it as it was: reset */
    *read = NULL;
    return store_error(code, "renewing a read transaction");
}

int store_begin_reading(store *self, MDB_txn **ret_txn)
{
    int result = self->gate.enter != NULL ? self->gate.enter(self->gate.context) : 0;
    if (result != 0)
        return result;
    FAULT_POINT(READER_SLOT);
    int code = mdb_txn_begin(self->env, NULL, MDB_RDONLY, ret_txn);
    if (code == MDB_READERS_FULL) {
        int dead = 0;
        if (mdb_reader_check(self->env, &dead) == 0)
            code = mdb_txn_begin(self->env, NULL, MDB_RDONLY, ret_txn);
    }
    if (self->gate.enter != NULL)
        self->gate.leave(self->gate.context);
    if (code == MDB_READERS_FULL)
        return error_set(MLKV_E_BUSY, "all slots for readers in lock.mdb are taken");
    if (code != 0)
        return store_error(code, "beginning a read transaction");
    code = settle_read(self, *ret_txn);
    if (code == 0)
        return 0;
    if (code != MDB_BAD_RSLOT)
        mdb_txn_abort(*ret_txn);
    return store_error(code, "beginning a read transaction");
}

static int make_read(store *self, store_read **ret_read)
{
    store_read *read = malloc(sizeof *read);
    if (read == NULL)
        return error_set_memory("a read transaction");
    *read = (store_read){.owner = self};
    int result = store_begin_reading(self, &read->txn);
    if (result != 0) {
        free(read);
        return result;
    }
    *ret_read = read;
    return 0;
}

int store_read_begin(store *self, store_read **ret_read)
{
    store_read *read = pool_take(self, POOL_PROBES);
    int result = 0;
    if (read != NULL)
        result = renew_read(self, &read);
    if (read == NULL && result == 0)
        result = make_read(self, &read);
    if (result == MLKV_E_BUSY && read == NULL) {
        /* No new slot of lock.mdb is to be had: perhaps one is idle in another thread's slot of
         * ours. */
        read = pool_take(self, POOL_SLOTS);
        if (read == NULL)
            return result;
        result = renew_read(self, &read);
        if (result == 0 && read == NULL)
            return error_set(MLKV_E_BUSY,
                             "this process's slot for readers in lock.mdb was taken away");
    }
    if (result != 0)
        return result;
    read->position_known = false;
    *ret_read = read;
    return 0;
}

void store_read_end(store_read *read)
{
    if (read == NULL)
        return;
    mdb_txn_reset(read->txn);
    pool_give(read->owner, read);
}

int store_read_position(store_read *read, store_position *ret_position)
{
    if (!read->position_known) {
        int result = store_fetch_position(read->owner, read->txn, &read->position);
        if (result != 0)
            return result;
        read->position_known = true;
    }
    *ret_position = read->position;
    return 0;
}

int store_read_identity(store_read *read, store_identity *ret_identity)
{
    return store_fetch_identity(read->owner, read->txn, ret_identity);
}

/* A record as LMDB has it, with its seal. */
static int get_sealed(store_read *read, mlkv_slice key, MDB_val *ret_stored)
{
    if (key.size == 0 || key.size > RECORD_KEY_SIZE_MAX)
        return MLKV_ABSENT;
    MDB_val name = store_val(key);
    int code = mdb_get(read->txn, read->owner->dbi, &name, ret_stored);
    if (code == MDB_NOTFOUND)
        return MLKV_ABSENT;
    if (code != 0)
        return store_error(code, "reading a record");
    return bound_value(read->owner, key, ret_stored);
}

int store_read_get(store_read *read, mlkv_slice key, mlkv_slice *ret_value)
{
    MDB_val stored;
    int result = get_sealed(read, key, &stored);
    return result != 0 ? result : store_unseal(key, &stored, ret_value);
}

static bool was_seen(const seal_line *line, uint32_t mark)
{
    for (unsigned i = 0; i < SEAL_WAYS; i++)
        if (atomic_load_explicit(&line->marks[i], memory_order_relaxed) == mark)
            return true;
    return false;
}

/* In the first way that is free, or in the place of another: that one is looked at again. */
static void note_seen(seal_line *line, uint32_t mark)
{
    unsigned way = 0;
    while (way < SEAL_WAYS && atomic_load_explicit(&line->marks[way], memory_order_relaxed) != 0)
        way++;
    atomic_store_explicit(&line->marks[way < SEAL_WAYS ? way : mark / 2 % SEAL_WAYS], mark,
                          memory_order_relaxed);
}

int store_read_get_lasting(store_read *read, mlkv_slice key, mlkv_slice *ret_value)
{
    MDB_val stored;
    int result = get_sealed(read, key, &stored);
    if (result != 0)
        return result;
    uint64_t hash = hash_key(key.data, key.size);
    uint32_t mark = (uint32_t)(hash >> 32) | 1;
    seal_line *line = &read->owner->seals_seen[hash & (SEAL_LINES - 1)];
    if (stored.mv_size >= SEAL_SIZE && was_seen(line, mark)) {
        *ret_value = slice_of(stored.mv_data, stored.mv_size - SEAL_SIZE);
        return 0;
    }
    result = store_unseal(key, &stored, ret_value);
    if (result == 0)
        note_seen(line, mark);
    return result;
}

int store_cursor_open(store_read *read, store_cursor **ret_cursor)
{
    store_cursor *cursor = malloc(sizeof *cursor);
    if (cursor == NULL)
        return error_set_memory("a cursor");
    cursor->owner = read->owner;
    int code = mdb_cursor_open(read->txn, read->owner->dbi, &cursor->cursor);
    if (code != 0) {
        free(cursor);
        return store_error(code, "opening a cursor");
    }
    *ret_cursor = cursor;
    return 0;
}

static int cursor_move(store_cursor *cursor, MDB_cursor_op move, mlkv_slice from,
                       mlkv_slice *ret_key, mlkv_slice *ret_value)
{
    MDB_val name = store_val(from), stored;
    int code = mdb_cursor_get(cursor->cursor, &name, &stored, move);
    if (code == MDB_NOTFOUND)
        return MLKV_ABSENT;
    if (code != 0)
        return store_error(code, "moving a cursor");
    mlkv_slice key = slice_of(name.mv_data, name.mv_size);
    int result = bound_value(cursor->owner, key, &stored);
    if (result == 0)
        result = store_unseal(key, &stored, ret_value);
    if (result == 0)
        *ret_key = key;
    return result;
}

int store_cursor_seek(store_cursor *cursor, mlkv_slice key, mlkv_slice *ret_key,
                      mlkv_slice *ret_value)
{
    /* LMDB knows no empty key. */
    return cursor_move(cursor, key.size == 0 ? MDB_FIRST : MDB_SET_RANGE, key, ret_key, ret_value);
}

int store_cursor_next(store_cursor *cursor, mlkv_slice *ret_key, mlkv_slice *ret_value)
{
    return cursor_move(cursor, MDB_NEXT, (mlkv_slice){0}, ret_key, ret_value);
}

void store_cursor_close(store_cursor *cursor)
{
    if (cursor == NULL)
        return;
    mdb_cursor_close(cursor->cursor);
    free(cursor);
}
