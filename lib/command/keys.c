/* keys.c - the commands of keys of any type, but their expiry (key_expiry.c), SCAN (scan.c) and SORT (sorting.c).
 * No locks, no state.
 */
#include "command/call.h"

#include "base/bytes.h"

/* --- whether, what, how many --- */

int command_exists(call *c)
{
    size_t count = 0;
    int result = mlkv_key_exists(c->view, c->words + 1, c->count - 1, &count);
    return call_answer_count(c, result, count);
}

int command_touch(call *c)
{
    size_t count = 0;
    int result = mlkv_key_touch(c->view, c->words + 1, c->count - 1, &count);
    return call_answer_count(c, result, count);
}

int command_del(call *c)
{
    size_t count = 0;
    int result = mlkv_key_delete(c->view, c->words + 1, c->count - 1, &count);
    return call_answer_count(c, result, count);
}

int command_unlink(call *c)
{
    return command_del(c);
}

int command_type(call *c)
{
    mlkv_type type = MLKV_TYPE_NONE;
    int result = mlkv_key_type(c->view, c->words[1], &type);
    if (result < 0)
        return call_refuse(c, result);
    reply_status(c->reply, mlkv_type_name(type));
    return 0;
}

int command_dbsize(call *c)
{
    uint64_t count = 0;
    int result = mlkv_key_count(c->view, &count);
    return call_answer_count(c, result, count);
}

int command_keys(call *c)
{
    return call_answer_rows(c, mlkv_key_matching(c->view, c->words[1], &c->reply->rows),
                            MLKV_REPLY_ARRAY);
}

int command_randomkey(call *c)
{
    return call_answer_value(c, mlkv_key_random(c->view, &c->reply->value));
}

/* FLUSHALL and FLUSHDB: elements are reclaimed in the background in any case. */
static int flush(call *c)
{
    if (c->count > 2 || (c->count == 2 && !call_is(c, 1, "ASYNC") && !call_is(c, 1, "SYNC")))
        return call_syntax(c);
    int result = mlkv_key_delete_all(c->view);
    return call_answer_ok(c, result);
}

int command_flushall(call *c)
{
    return flush(c);
}

int command_flushdb(call *c)
{
    return flush(c);
}

/* --- another name --- */

static int no_such_key(call *c)
{
    return call_fail(c, MLKV_E_ARGUMENT, "ERR no such key");
}

int command_rename(call *c)
{
    int result = mlkv_key_rename(c->view, c->words[1], c->words[2]);
    if (result == MLKV_ABSENT)
        return no_such_key(c);
    return call_answer_ok(c, result);
}

int command_renamenx(call *c)
{
    int renamed = 0;
    int result = mlkv_key_rename_if_absent(c->view, c->words[1], c->words[2], &renamed);
    if (result == MLKV_ABSENT)
        return no_such_key(c);
    return call_answer_count(c, result, (uint64_t)renamed);
}

int command_copy(call *c)
{
    bool replaces = false;
    int copied = 0;
    for (size_t i = 3; i < c->count; i++) {
        int64_t db = 0;
        if (call_is(c, i, "REPLACE")) {
            replaces = true;
        } else if (call_is(c, i, "DB") && i + 1 < c->count) {
            int result = call_integer_within(c, ++i, INT32_MIN, INT32_MAX, NULL, &db);
            if (result == 0 && db != 0)
                result = call_fail(c, MLKV_E_RANGE, "ERR DB index is out of range");
            if (result != 0)
                return result;
        } else {
            return call_syntax(c);
        }
    }
    if (slice_equal(c->words[1], c->words[2]))
        return call_fail(c, MLKV_E_ARGUMENT, "ERR source and destination objects are the same");
    int result = mlkv_key_copy(c->view, c->words[1], c->words[2], replaces, &copied);
    return call_answer_count(c, result, (uint64_t)copied);
}

/* --- out and in --- */

int command_dump(call *c)
{
    return call_answer_value(c, mlkv_key_dump(c->view, c->words[1], &c->reply->value));
}

static int read_restore_options(call *c, uint32_t *ret_flags)
{
    uint32_t flags = 0;
    bool idle_said = false, frequency_said = false; /* of which only one may be */
    for (size_t i = 4; i < c->count; i++) {
        int64_t ignored = 0;
        bool idle = call_is(c, i, "IDLETIME"), frequency = call_is(c, i, "FREQ");
        int result = 0;
        if (call_is(c, i, "REPLACE"))
            flags |= MLKV_RESTORE_REPLACE;
        else if (call_is(c, i, "ABSTTL"))
            flags |= MLKV_RESTORE_AT;
        else if (!((idle && !frequency_said) || (frequency && !idle_said)) || i + 1 >= c->count)
            return call_syntax(c); /* what the server does not keep is read and forgotten */
        else if ((result = call_integer(c, ++i, &ignored)) != 0)
            return result;
        else if (idle && ignored < 0)
            return call_fail(c, MLKV_E_RANGE, "ERR Invalid IDLETIME value, must be >= 0");
        else if (frequency && (ignored < 0 || ignored > 255))
            return call_fail(c, MLKV_E_RANGE, "ERR Invalid FREQ value, must be >= 0 and <= 255");
        idle_said |= idle;
        frequency_said |= frequency;
    }
    *ret_flags = flags;
    return 0;
}

/* Redis says that the key is there before it reads the time. */
static int refuse_busy(call *c, uint32_t flags)
{
    size_t count = 0;
    if ((flags & MLKV_RESTORE_REPLACE) != 0)
        return 0;
    int result = mlkv_key_exists(c->view, c->words + 1, 1, &count);
    if (result < 0)
        return call_refuse(c, result);
    return count == 0 ? 0
                      : call_fail(c, MLKV_E_ARGUMENT, "BUSYKEY Target key name already exists.");
}

int command_restore(call *c)
{
    uint32_t flags = 0;
    int64_t ttl_ms = 0;
    int result = read_restore_options(c, &flags);
    if (result == 0)
        result = refuse_busy(c, flags);
    if (result == 0)
        result = call_integer(c, 2, &ttl_ms);
    if (result == 0 && ttl_ms < 0)
        result = call_fail(c, MLKV_E_RANGE, "ERR Invalid TTL value, must be >= 0");
    if (result != 0)
        return result;
    result = mlkv_key_restore(c->view, c->words[1], c->words[3], ttl_ms, flags);
    if (result == MLKV_ABSENT)
        return call_fail(c, MLKV_E_ARGUMENT, "BUSYKEY Target key name already exists.");
    if (result == MLKV_E_CORRUPT)
        return call_fail(c, result, "ERR DUMP payload version or checksum are wrong");
    return call_answer_ok(c, result);
}
