/* lease.c - locks by name (mlkv_lock_...): strings that say who holds them.
 *
 * Bytes owned: the value of a lock's key, text that ends with its size:
 *   "mlkv-lock " token (32 hexadecimal digits) " " fence (20 digits) " " session (20 digits)
 * The lease is the key's expiry. The session is the one whose liveness lock the holder's process holds (journal/liveness.c).
 *
 *   free --acquire--> held --release, expiry, death of the session, deletion--> free
 *
 * Invariants
 *   1. The fence is a life id: a counter that every frame carries and that never goes back, so it grows from holder to holder.
 *   2. Acquiring, renewing and releasing look and write in one rule.
 *   3. A waiter says that it waits before it looks (wait.c), so a release is not missed. A death writes nothing: a wait lasts no
 *      longer than some seconds, and then looks again.
 * Locks: the writer lock, in each call that writes.
 */
#include "types/lease.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/random.h"
#include "types/argument.h"
#include "types/entry.h"
#include "types/expiry.h"
#include "types/integer.h"
#include "types/values.h"
#include "types/wait.h"

#include <stdio.h>

enum {
    TOKEN_SIZE = 32,
    PREFIX_SIZE = 10,
    NUMBER_SIZE = 20,
    TEXT_SIZE = PREFIX_SIZE + TOKEN_SIZE + 2 * (1 + NUMBER_SIZE)
};

static const char prefix[] = "mlkv-lock ";

typedef struct {
    mlkv_lock lock;
    uint64_t session;
} holder;

_Static_assert(sizeof(((mlkv_lock *)0)->token) == TOKEN_SIZE && sizeof prefix == PREFIX_SIZE + 1,
               "a lock's text");

/* --- text --- */

static void write_text(const holder *self, unsigned char ret_cell[1 + TEXT_SIZE + 1])
{
    ret_cell[0] = CELL_RAW;
    (void)snprintf((char *)ret_cell + 1, TEXT_SIZE + 1, "%s%.*s %020llu %020llu", prefix,
                   TOKEN_SIZE, self->lock.token, (unsigned long long)self->lock.fence,
                   (unsigned long long)self->session);
}

static bool read_number(const char *text, uint64_t *ret_number)
{
    uint64_t number = 0;
    for (int i = 0; i < NUMBER_SIZE; i++) {
        unsigned digit = (unsigned)text[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, digit, &number))
            return false;
    }
    *ret_number = number;
    return true;
}

static bool read_text(const char *text, holder *ret_holder)
{
    const char *token = text + PREFIX_SIZE, *fence = token + TOKEN_SIZE + 1,
               *session = fence + NUMBER_SIZE + 1;
    if (memcmp(text, prefix, PREFIX_SIZE) != 0 || fence[-1] != ' ' || session[-1] != ' ')
        return false;
    memcpy(ret_holder->lock.token, token, TOKEN_SIZE);
    return read_number(fence, &ret_holder->lock.fence) &&
           read_number(session, &ret_holder->session);
}

/* --- finding --- */

static int no_lock(const entry *found)
{
    return error_set(MLKV_E_TYPE, "key \"%s\" holds a string that is no lock",
                     error_quote(found->name.data, found->name.size));
}

/* The lock as it stands: MLKV_OK: held, and the entry is open; MLKV_ABSENT: nobody has it (*ret_stands: a dead holder's key is there). */
static int open_lock(op *o, mlkv_slice key, entry *found, holder *ret_holder, bool *ret_stands)
{
    char text[TEXT_SIZE];
    int kind;
    uint64_t size;
    cell_blob blob;
    *ret_stands = false;
    int result = entry_open(o, key, TYPE_STRING, found);
    if (result != MLKV_OK)
        return result;
    *ret_stands = true;
    result = cell_inspect(found->rest, &kind, &size, &blob);
    if (result == MLKV_OK && size != TEXT_SIZE)
        return no_lock(found);
    if (result == MLKV_OK)
        result = op_cell_read(o, found->rest, 0, TEXT_SIZE, text);
    if (result == MLKV_OK && !read_text(text, ret_holder))
        return no_lock(found);
    if (result != MLKV_OK)
        return result;
    return op_session_lives(o, ret_holder->session) ? MLKV_OK : MLKV_ABSENT;
}

static int check_lease(int64_t lease_ms)
{
    return lease_ms >= 0 ? MLKV_OK
                         : error_set(MLKV_E_RANGE, "a lease of %lld ms", (long long)lease_ms);
}

static int set_lease(op *o, entry *found, int64_t lease_ms)
{
    found->header.expiry_ms = 0;
    return lease_ms == 0 ? MLKV_OK : expiry_at(op_now_ms(o), lease_ms, &found->header.expiry_ms);
}

static int store(op *o, entry *found, const holder *self)
{
    unsigned char cell[1 + TEXT_SIZE + 1];
    write_text(self, cell);
    return entry_store(o, found, slice_of(cell, 1 + TEXT_SIZE), slice_of(NULL, 0));
}

/* --- acquire --- */

typedef struct {
    mlkv_slice key;
    int64_t lease_ms;
    holder mine;
} acquire_call;

static int acquire_rule(op *o, void *context)
{
    acquire_call *call = context;
    entry found;
    holder other;
    bool stands;
    int result = open_lock(o, call->key, &found, &other, &stands);
    if (result != MLKV_ABSENT)
        return result == MLKV_OK ? MLKV_ABSENT : result;
    if (!stands)
        result = entry_create(o, &found, TYPE_STRING);
    else
        result = MLKV_OK;
    if (result == MLKV_OK)
        result = set_lease(o, &found, call->lease_ms);
    if (result == MLKV_OK)
        result = op_take_id(o, &call->mine.lock.fence);
    call->mine.session = op_session(o);
    return result != MLKV_OK ? result : store(o, &found, &call->mine);
}

static int try_acquire(mlkv *view, void *context)
{
    return op_write(view, acquire_rule, context);
}

static int make_token(char token[TOKEN_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char bytes[TOKEN_SIZE / 2];
    int result = random_system(bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++) {
        token[2 * i] = digits[bytes[i] >> 4];
        token[2 * i + 1] = digits[bytes[i] & 15];
    }
    return result;
}

int mlkv_lock_acquire(mlkv *view, mlkv_slice key, int64_t lease_ms, int64_t timeout_ms,
                      mlkv_lock *ret_lock)
{
    acquire_call call = {.key = key, .lease_ms = lease_ms};
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = argument_pointer(ret_lock, "ret_lock");
    if (result == MLKV_OK)
        result = check_lease(lease_ms);
    if (result == MLKV_OK)
        result = make_token(call.mine.lock.token);
    if (result == MLKV_OK)
        result = expiry_settle(view);
    if (result == MLKV_OK)
        result = wait_for_keys(view, &key, 1, timeout_ms, try_acquire, &call);
    if (result == MLKV_OK)
        *ret_lock = call.mine.lock;
    return result;
}

/* --- renew, release, ask --- */

typedef struct {
    mlkv_slice key;
    const mlkv_lock *lock;
    int64_t lease_ms;
    bool releases;
} held_call;

/* MLKV_OK: it is held with this token, and the entry is open. */
static int open_held(op *o, mlkv_slice key, const mlkv_lock *lock, entry *found, holder *ret_holder)
{
    bool stands;
    int result = open_lock(o, key, found, ret_holder, &stands);
    if (result != MLKV_OK)
        return result;
    bool same = memcmp(ret_holder->lock.token, lock->token, TOKEN_SIZE) == 0 &&
                ret_holder->lock.fence == lock->fence;
    return same ? MLKV_OK : MLKV_ABSENT;
}

int lease_end(op *o, mlkv_slice key, const mlkv_lock *lock)
{
    entry found;
    holder self;
    int result = open_held(o, key, lock, &found, &self);
    return result != MLKV_OK ? result : entry_remove(o, &found);
}

static int held_rule(op *o, void *context)
{
    const held_call *call = context;
    entry found;
    holder self;
    if (call->releases)
        return lease_end(o, call->key, call->lock);
    int result = open_held(o, call->key, call->lock, &found, &self);
    if (result == MLKV_OK)
        result = set_lease(o, &found, call->lease_ms);
    return result != MLKV_OK ? result : store(o, &found, &self);
}

static int check_held(const mlkv *view, mlkv_slice key, const mlkv_lock *lock)
{
    int result = argument_view_key(view, key);
    return result != MLKV_OK ? result : argument_pointer(lock, "lock");
}

int mlkv_lock_renew(mlkv *view, mlkv_slice key, const mlkv_lock *lock, int64_t lease_ms)
{
    held_call call = {.key = key, .lock = lock, .lease_ms = lease_ms};
    int result = check_held(view, key, lock);
    if (result == MLKV_OK)
        result = check_lease(lease_ms);
    if (result == MLKV_OK)
        result = expiry_settle(view);
    return result != MLKV_OK ? result : op_write(view, held_rule, &call);
}

int mlkv_lock_release(mlkv *view, mlkv_slice key, const mlkv_lock *lock)
{
    held_call call = {.key = key, .lock = lock, .releases = true};
    int result = check_held(view, key, lock);
    return result != MLKV_OK ? result : op_write(view, held_rule, &call);
}

typedef struct {
    mlkv_slice key;
    holder found;
} holder_call;

static int holder_rule(op *o, void *context)
{
    holder_call *call = context;
    entry found;
    bool stands;
    return open_lock(o, call->key, &found, &call->found, &stands);
}

int mlkv_lock_holder(mlkv *view, mlkv_slice key, mlkv_lock *ret_lock)
{
    holder_call call = {.key = key};
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = argument_pointer(ret_lock, "ret_lock");
    if (result == MLKV_OK)
        result = op_read(view, holder_rule, &call);
    if (result == MLKV_OK)
        *ret_lock = call.found.lock;
    return result;
}
