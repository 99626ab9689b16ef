/* key_match.c - all keys whose names match a pattern.
 *
 * One scan of K records, from the pattern's literal begin on, gives all of them as of one moment. No state, no locks.
 *
 * Invariants
 *   1. A key whose time is over is left out, by the operation's one time; a hash all of whose fields may be gone is looked at.
 *   2. The caller's rows are complete, or empty.
 */
#include <mlkv/key.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/glob.h"
#include "types/argument.h"
#include "types/entry.h"
#include "types/field.h"
#include "types/values.h"

enum { KEY_HEAD_SIZE = 1 };

typedef struct {
    mlkv_slice pattern, prefix;
    mlkv_rows *rows;
} match_call;

/* MLKV_ABSENT: its time is over. */
static int look_at_time(op *o, const key_header *header)
{
    bool gone = false;
    int result = MLKV_OK;
    if (header->expiry_ms != 0 && header->expiry_ms <= op_now_ms(o)) {
        op_saw_expired(o, header->expiry_ms);
        return MLKV_ABSENT;
    }
    if (header->fields_expire)
        result = field_all_gone(o, header, &gone);
    return result == MLKV_OK && gone ? MLKV_ABSENT : result;
}

static int match_one(op *o, const match_call *call, mlkv_slice key, mlkv_slice value)
{
    mlkv_slice name, rest;
    key_header header;
    int result = layout_split_name(key, KEY_HEAD_SIZE, value, &name, &rest);
    if (result != MLKV_OK)
        return result;
    if (!slice_starts_with(name, call->prefix) || !glob_matches(call->pattern, name))
        return MLKV_OK;
    result = layout_read_header(rest, &header, &rest);
    if (result == MLKV_OK)
        result = layout_read_fields(&header, &rest);
    if (result == MLKV_OK)
        result = look_at_time(o, &header);
    if (result != MLKV_OK)
        return result == MLKV_ABSENT ? MLKV_OK : result;
    return rows_append(call->rows, name);
}

static int match_rule(op *o, void *context)
{
    const match_call *call = context;
    record_key prefix = {.bytes = {RECORD_KEY}};
    scan *walk = NULL;
    mlkv_slice key, value;
    rows_clear(call->rows);
    size_t begin = layout_name_begin(KEY_HEAD_SIZE, call->prefix);
    bytes_copy(prefix.bytes + KEY_HEAD_SIZE, call->prefix.data, begin);
    prefix.size = (uint16_t)(KEY_HEAD_SIZE + begin);
    int result = op_scan_open(o, record_key_slice(&prefix), slice_of(NULL, 0), &walk);
    while (result == MLKV_OK) {
        result = scan_next(walk, &key, &value);
        if (result == MLKV_OK)
            result = match_one(o, call, key, value);
    }
    scan_close(walk);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

int mlkv_key_matching(mlkv *view, mlkv_slice pattern, mlkv_rows *ret_keys)
{
    mlkv_buffer prefix = {0};
    match_call call = {.pattern = pattern, .rows = ret_keys};
    int result = argument_pointer(view, "view");
    if (result == MLKV_OK)
        result = argument_slice(pattern, "pattern");
    if (result == MLKV_OK)
        result = argument_pointer(ret_keys, "ret_keys");
    if (result != MLKV_OK)
        return result;
    result = glob_prefix(pattern, &prefix);
    call.prefix = slice_of_buffer(&prefix);
    if (result == MLKV_OK)
        result = op_read(view, match_rule, &call);
    mlkv_buffer_free(&prefix);
    return values_end_rows(result, ret_keys);
}
