/* write.c - the one write transaction that a store can have at a time, over all processes.
 *
 * LMDB's writer lock is a robust mutex in lock.mdb that belongs to a thread: begin and commit or
 * abort happen on the same one. A dead owner's lock is recovered by LMDB at the next begin; what
 * the dead one wrote was not committed, so it is not there.
 *
 * A value is written in place: MDB_RESERVE makes the room in the page, and head, body and seal go
 * there without a copy in between. The room is valid until the next update, so it is filled at
 * once. What comes in must not be something that store_write_get lent from the same transaction:
 * making room may move or overwrite it.
 *
 * Puts go through one kept cursor: LMDB looks in the cursor's page first, which saves the way down
 * from the root for sorted keys. A delete may merge pages, and the cursor is dropped then, so that
 * correctness never hangs on LMDB's adjusting of it.
 *
 * Invariants:
 * 1. After a failed update nothing more is done, and commit fails with the same result.
 * 2. Commit and abort end the handle. LMDB frees the cursor with its transaction.
 * 3. A full disk is MLKV_E_FULL, and the store goes on with the commit before: LMDB writes the page
 * that makes a commit valid last, where the file has room for it since its creation.
 *
 * Locks: LMDB's writer lock, from begin to commit or abort.
 */
#include "base/error.h"
#include "base/random.h"
#include "base/record.h"
#include "store/env.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

struct store_write {
    store *owner;
    MDB_txn *txn;
    MDB_cursor *cursor; /* NULL: none at the moment */
    int failed;         /* the result of the first update that failed */
    bool changed;       /* something was put or deleted, or tried to be */
};

int store_write_begin(store *self, store_write **ret_write)
{
    if (self->read_only)
        return error_set(MLKV_E_READONLY, "the store was opened for reading only");
    store_write *write = malloc(sizeof *write);
    if (write == NULL)
        return error_set_memory("a write transaction");
    *write = (store_write){.owner = self};
    int code = mdb_txn_begin(self->env, NULL, 0, &write->txn);
    if (code != 0) {
        free(write);
        return store_error(code, "beginning a write transaction");
    }
    *ret_write = write;
    return 0;
}

MDB_txn *store_write_txn(store_write *write)
{
    return write->txn;
}

bool store_write_is_fresh(const store_write *write)
{
    return !write->changed;
}

int store_write_position(store_write *write, store_position *ret_position)
{
    return store_fetch_position(write->owner, write->txn, ret_position);
}

int store_write_identity(store_write *write, store_identity *ret_identity)
{
    return store_fetch_identity(write->owner, write->txn, ret_identity);
}

int store_write_get(store_write *write, mlkv_slice key, mlkv_slice *ret_value)
{
    if (key.size > RECORD_KEY_SIZE_MAX)
        return MLKV_ABSENT;
    return store_fetch(write->owner, write->txn, key, ret_value);
}

static int check_key(mlkv_slice key)
{
    if (key.size == 0)
        return error_set(MLKV_E_ARGUMENT, "a record key is empty");
    if (key.size > RECORD_KEY_SIZE_MAX)
        return error_set(MLKV_E_SIZE, "a record key has %zu bytes, more than %d", key.size,
                         RECORD_KEY_SIZE_MAX);
    return 0;
}

static int already_failed(const store_write *write)
{
    return error_set(write->failed, "the write transaction failed before");
}

static int update_failed(store_write *write, int code)
{
    write->failed = store_error(code, "changing a record");
    return write->failed;
}

int store_write_put(store_write *write, mlkv_slice key, mlkv_slice head, mlkv_slice body)
{
    if (write->failed != 0)
        return already_failed(write);
    int result = check_key(key);
    if (result != 0)
        return result;
    if (head.size > STORE_VALUE_SIZE_MAX || body.size > STORE_VALUE_SIZE_MAX - head.size)
        return error_set(MLKV_E_SIZE, "record '%s': a value has more than %zu bytes",
                         error_quote(key.data, key.size), STORE_VALUE_SIZE_MAX);
    size_t size = head.size + body.size;
    write->changed = true;
    MDB_val name = store_val(key), room = {size + SEAL_SIZE, NULL};
    int code = 0;
    if (write->cursor == NULL)
        code = mdb_cursor_open(write->txn, write->owner->dbi, &write->cursor);
    if (code == 0)
        code = mdb_cursor_put(write->cursor, &name, &room, MDB_RESERVE);
    if (code != 0)
        return update_failed(write, code);
    char *to = room.mv_data;
    bytes_copy(to, head.data, head.size);
    bytes_copy(to + head.size, body.data, body.size);
    store_le32(to + size, store_seal(key, to, size));
    return 0;
}

int store_write_delete(store_write *write, mlkv_slice key)
{
    if (write->failed != 0)
        return already_failed(write);
    int result = check_key(key);
    if (result != 0)
        return result;
    MDB_val name = store_val(key);
    write->changed = true;
    int code = mdb_del(write->txn, write->owner->dbi, &name, NULL);
    if (code == MDB_NOTFOUND)
        return 0;
    if (code != 0)
        return update_failed(write, code);
    if (write->cursor != NULL) {
        mdb_cursor_close(write->cursor);
        write->cursor = NULL;
    }
    return 0;
}

static int put_own(store_write *write, const char *name, const void *value, size_t size)
{
    return store_write_put(write, slice_of_text(name), slice_of(value, size), (mlkv_slice){0});
}

int store_write_set_position(store_write *write, store_position position)
{
    char bytes[POSITION_SIZE];
    store_le64(bytes, position.applied);
    store_le64(bytes + 8, position.next_id);
    store_le64(bytes + 16, position.chain);
    return put_own(write, KEY_POSITION, bytes, sizeof bytes);
}

int store_write_set_identity(store_write *write, const store_identity *identity)
{
    unsigned char bytes[IDENTITY_SIZE];
    memcpy(bytes, identity->uuid, sizeof identity->uuid);
    store_le64(bytes + 16, identity->generation);
    bytes[24] = identity->clean ? 1 : 0;
    return put_own(write, KEY_IDENTITY, bytes, sizeof bytes);
}

int store_write_take_blob_ids(store_write *write, uint64_t n, uint64_t *ret_first)
{
    mlkv_slice value;
    uint64_t first = 1;
    int result = store_write_get(write, slice_of_text(KEY_BLOB), &value);
    if (result < 0)
        return result;
    if (result == 0) {
        if (value.size != BLOB_COUNTER_SIZE || (first = load_le64(value.data)) == 0)
            return error_set(MLKV_E_CORRUPT, "record '%s' is not a counter", KEY_BLOB);
    }
    if (n > UINT64_MAX - first)
        return error_set(MLKV_E_RANGE, "%llu blob ids are more than there are",
                         (unsigned long long)n);
    char bytes[BLOB_COUNTER_SIZE];
    store_le64(bytes, first + n);
    result = put_own(write, KEY_BLOB, bytes, sizeof bytes);
    if (result == 0)
        *ret_first = first;
    return result;
}

int store_write_first(store_write *write)
{
    char format[FORMAT_SIZE] = "MLKV";
    store_identity identity = {.clean = true};
    store_le32(format + 4, STORE_FORMAT_VERSION);
    int result = random_system(identity.uuid, sizeof identity.uuid);
    if (result == 0)
        result = put_own(write, KEY_FORMAT, format, sizeof format);
    if (result == 0)
        result = store_write_set_identity(write, &identity);
    if (result == 0)
        result = store_write_set_position(write, (store_position){0});
    return result;
}

/* Whether the file cannot grow any more. What the attempt reserves behind its end LMDB uses later. */
static bool cannot_grow(store *self)
{
    enum { ROOM_MIN = 64 << 10 }; /* less than that left is as good as full */
    int file;
    struct stat status;
    struct rlimit limit;
    if (mdb_env_get_fd(self->env, &file) != 0 || fstat(file, &status) != 0)
        return false;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        (rlim_t)status.st_size + ROOM_MIN > limit.rlim_cur)
        return true;
    if (fallocate(file, FALLOC_FL_KEEP_SIZE, status.st_size, ROOM_MIN) == 0)
        return false;
    return errno == ENOSPC || errno == EDQUOT || errno == EFBIG;
}

static int commit_failed(store *self, int code)
{
    if (code == EIO && cannot_grow(self))
        code =
            ENOSPC; /* LMDB calls a write that came out short an EIO, and that is how a disk fills */
    return store_error(code, "committing");
}

int store_write_commit(store_write *write)
{
    int result = 0;
    if (write->failed != 0) {
        result = already_failed(write);
        mdb_txn_abort(write->txn);
    } else {
        int code = mdb_txn_commit(write->txn);
        if (code != 0)
            result = commit_failed(write->owner, code);
    }
    free(write);
    return result;
}

void store_write_abort(store_write *write)
{
    if (write == NULL)
        return;
    mdb_txn_abort(write->txn);
    free(write);
}
