/* cursor.c - walking over keys (all, or those that are tensors), fields, members or a list's elements, in the order of their record
 * keys, as of the moment of the cursor's opening. A tensor is described from its key's record, which is all that is read of it.
 *
 * A cursor owns a scan (view/op.h), which holds a snapshot of its own: no lock is held between calls, and nothing that others
 * write shows. What
 * it needs besides is where it stands, so that it can hand out a token:
 *   offset size
 *   0      1    version, 1
 *   1      1    kind (mlkv_scan_kind)
 *   2      0..  the last record key returned, without its head (class, and the id of a life)
 * Because the id is left out, a token outlives the life of its hash or set: it says only "after this name". Of a list it says "after
 * the element with this number" (list.c): pushes and pops keep the numbers of the others, edits in the middle don't.
 *
 * Invariants
 *   1. Names come in the order of record keys: short names by bytes; long names (layout.h) by their first bytes, then by digest.
 *   2. Every name that begins with the prefix is found, however long: record keys are scanned by as much of the prefix as they
 * can
 *      hold, and full names are compared.
 *   3. Hash, set and list: the life that is scanned was the key's at the moment of the scan's opening (ids are unique in a store for
 * ever, so
 *      the same id before and after the opening proves it; at most it had another name in between, renamed away and back).
 * Locks: none; a cursor belongs to one thread at a time.
 */
#include <mlkv/key.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "types/argument.h"
#include "types/element.h"
#include "types/entry.h"
#include "types/number.h"
#include "types/tensor.h"
#include "types/zset.h"

#include <stdlib.h>

enum {
    TOKEN_VERSION = 1,
    TOKEN_HEAD_SIZE = 2,
    KEY_HEAD_SIZE = 1,
    SEQ_SIZE = 8,          /* of a list's element in its record key */
    OPEN_MAX = 1000,       /* tries to open a scan on a key that somebody replaces all the time */
    QUERY_SIZE_MAX = 4096, /* of a newer caller's struct; more is no struct of ours */
};

struct mlkv_cursor {
    scan *walk; /* NULL: nothing to walk over */
    int kind;
    size_t head_size;
    int64_t now_ms;     /* of the opening: keys and fields whose time was over are left out */
    mlkv_buffer prefix; /* of names */
    mlkv_buffer value;  /* a decoded one; of a list: the element, which is the name */
    char score[NUMBER_TEXT_MAX];
    mlkv_tensor_info info; /* of the tensor returned last */
    bool stands;           /* position is set */
    size_t position_size;
    unsigned char position[RECORD_KEY_SIZE_MAX]; /* record key without its head */
};

/* Whether it walks over K records; any other kind walks over the elements of one key. */
static bool is_of_keys(int kind)
{
    return kind == MLKV_SCAN_KEYS || kind == MLKV_SCAN_TENSORS;
}

/* --- opening --- */

static int check_size(const mlkv_query *query)
{
    if (query->size < sizeof *query || query->size > QUERY_SIZE_MAX)
        return error_set(MLKV_E_ARGUMENT, "query->size is %zu, not %zu", query->size,
                         sizeof *query);
    for (size_t i = sizeof *query; i < query->size; i++)
        if (((const unsigned char *)query)[i] != 0)
            return error_set(MLKV_E_ARGUMENT,
                             "query has a member at byte %zu that this library does not know", i);
    return MLKV_OK;
}

static int check_token(const mlkv_query *query, size_t head_size)
{
    const unsigned char *bytes = query->token.data;
    size_t size = query->token.size;
    if (size == 0)
        return MLKV_OK;
    if (size < TOKEN_HEAD_SIZE || size - TOKEN_HEAD_SIZE > RECORD_KEY_SIZE_MAX - head_size ||
        bytes[0] != TOKEN_VERSION)
        return error_set(MLKV_E_ARGUMENT, "query->token is not a token of this library");
    if (bytes[1] != query->kind)
        return error_set(MLKV_E_ARGUMENT, "query->token is of a cursor of kind %u, not %d",
                         bytes[1], (int)query->kind);
    if (query->kind == MLKV_SCAN_LIST && size != TOKEN_HEAD_SIZE + SEQ_SIZE)
        return error_set(MLKV_E_ARGUMENT, "query->token is not a token of a list");
    return MLKV_OK;
}

static int check_query(const mlkv_query *query)
{
    int result = argument_pointer(query, "query");
    if (result == MLKV_OK)
        result = check_size(query);
    if (result != MLKV_OK)
        return result;
    if (query->kind < MLKV_SCAN_KEYS || query->kind > MLKV_SCAN_TENSORS)
        return error_set(MLKV_E_ARGUMENT, "query->kind %d is unknown", (int)query->kind);
    if (query->reserved != 0)
        return error_set(MLKV_E_ARGUMENT, "query->reserved is %u, not 0", query->reserved);
    result = is_of_keys(query->kind) ? MLKV_OK : argument_slice(query->key, "query->key");
    if (result == MLKV_OK)
        result = argument_slice(query->prefix, "query->prefix");
    if (result == MLKV_OK)
        result = argument_slice(query->token, "query->token");
    return result != MLKV_OK
               ? result
               : check_token(query, is_of_keys(query->kind) ? KEY_HEAD_SIZE : ELEMENT_HEAD_SIZE);
}

typedef struct {
    const mlkv_query *query;
    int64_t now_ms;
    bool exists;
    uint64_t id;
} lookup_call;

static const uint8_t type_of_kind[] = {[MLKV_SCAN_HASH] = TYPE_HASH,
                                       [MLKV_SCAN_SET] = TYPE_SET,
                                       [MLKV_SCAN_LIST] = TYPE_LIST,
                                       [MLKV_SCAN_ZSET] = TYPE_ZSET};
static const char class_of_kind[] = {
    [MLKV_SCAN_KEYS] = RECORD_KEY,     [MLKV_SCAN_HASH] = RECORD_ELEMENT,
    [MLKV_SCAN_SET] = RECORD_ELEMENT,  [MLKV_SCAN_LIST] = RECORD_LIST,
    [MLKV_SCAN_ZSET] = RECORD_ELEMENT, [MLKV_SCAN_TENSORS] = RECORD_KEY};

static int lookup_rule(op *o, void *context)
{
    lookup_call *call = context;
    entry found;
    call->now_ms = op_now_ms(o);
    if (is_of_keys(call->query->kind))
        op_saw_expired(o, call->now_ms); /* what was due by then will be left out */
    call->exists = is_of_keys(call->query->kind);
    call->id = 0;
    if (call->exists)
        return MLKV_OK;
    int result = entry_open(o, call->query->key, type_of_kind[call->query->kind], &found);
    if (result == MLKV_OK) {
        call->exists = true;
        call->id = found.header.id;
        if (found.header.fields_expire && found.header.first_ms <= call->now_ms)
            op_saw_expired(o, call->now_ms); /* likewise fields of a hash */
    }
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

static int open_walk(mlkv_cursor *self, mlkv *view, const mlkv_query *query, uint64_t id)
{
    record_key prefix, after;
    layout_id(class_of_kind[query->kind], id, &prefix);
    memcpy(after.bytes, prefix.bytes, self->head_size);
    size_t begin =
        query->kind == MLKV_SCAN_LIST ? 0 : layout_name_begin(self->head_size, query->prefix);
    bytes_copy(prefix.bytes + self->head_size, query->prefix.data, begin);
    prefix.size = (uint16_t)(self->head_size + begin);
    after.size = 0;
    if (self->stands) {
        bytes_copy(after.bytes + self->head_size, self->position, self->position_size);
        after.size = (uint16_t)(self->head_size + self->position_size);
    }
    return scan_open(view, record_key_slice(&prefix), record_key_slice(&after), &self->walk);
}

static int open_stable(mlkv_cursor *self, mlkv *view, const mlkv_query *query)
{
    lookup_call before = {.query = query}, after = {.query = query};
    int result = op_read(view, lookup_rule, &before);
    self->now_ms = before.now_ms;
    for (int i = 0; i < OPEN_MAX && result == MLKV_OK && before.exists; i++) {
        result = open_walk(self, view, query, before.id);
        if (result == MLKV_OK && !is_of_keys(query->kind))
            result = op_read(view, lookup_rule, &after);
        if (result != MLKV_OK || is_of_keys(query->kind) || (after.exists && after.id == before.id))
            return result;
        scan_close(self->walk);
        self->walk = NULL;
        before = after;
    }
    if (result == MLKV_OK && before.exists)
        return error_set(MLKV_E_BUSY, "key \"%s\" is replaced all the time",
                         error_quote(query->key.data, query->key.size));
    return result;
}

int mlkv_cursor_open(mlkv *view, const mlkv_query *query, mlkv_cursor **ret_cursor)
{
    int result = argument_pointer(view, "view");
    if (result == MLKV_OK)
        result = argument_pointer(ret_cursor, "ret_cursor");
    if (result == MLKV_OK)
        result = check_query(query);
    if (result != MLKV_OK)
        return result;
    mlkv_cursor *self = calloc(1, sizeof *self);
    if (self == NULL)
        return error_set_memory("a cursor");
    self->kind = query->kind;
    self->head_size = is_of_keys(query->kind) ? KEY_HEAD_SIZE : ELEMENT_HEAD_SIZE;
    if (query->token.size != 0) {
        self->stands = true;
        self->position_size = query->token.size - TOKEN_HEAD_SIZE;
        bytes_copy(self->position, (const unsigned char *)query->token.data + TOKEN_HEAD_SIZE,
                   self->position_size);
    }
    result = buffer_assign(&self->prefix, query->prefix.data, query->prefix.size);
    if (result == MLKV_OK)
        result = open_stable(self, view, query);
    if (result != MLKV_OK) {
        mlkv_cursor_close(self);
        return result;
    }
    *ret_cursor = self;
    return MLKV_OK;
}

/* --- walking --- */

static int decode(mlkv_cursor *self, mlkv_slice cell, mlkv_slice *ret_value)
{
    if (cell_borrow(cell, ret_value))
        return MLKV_OK;
    self->value.size = 0;
    int result = scan_cell_append(self->walk, cell, &self->value);
    *ret_value = slice_of_buffer(&self->value);
    return result;
}

/* What is said of a key. MLKV_ABSENT: its time is over, or tensors are looked for and it is none. */
static int value_of_key(mlkv_cursor *self, mlkv_slice name, mlkv_slice rest, mlkv_slice *ret_value)
{
    key_header header;
    tensor_form form;
    int result = layout_read_header(rest, &header, &rest);
    if (result == MLKV_OK)
        result = layout_read_fields(&header, &rest);
    if (result != MLKV_OK)
        return result;
    if (header.expiry_ms != 0 && header.expiry_ms <= self->now_ms)
        return MLKV_ABSENT;
    if (header.fields_expire && header.expiring == header.count &&
        header.last_ms <= self->now_ms) /* all fields of a hash have expired */
        return MLKV_ABSENT;
    if (self->kind == MLKV_SCAN_KEYS) {
        *ret_value = slice_of_text(mlkv_type_name((mlkv_type)header.type));
        return MLKV_OK;
    }
    if (header.type != TYPE_TENSOR)
        return MLKV_ABSENT;
    result = tensor_read_own(name, &header, rest, &form);
    self->info.size = sizeof self->info;
    if (result == MLKV_OK)
        tensor_describe(&form, &self->info);
    *ret_value = slice_of(&self->info, sizeof self->info);
    return result;
}

/* The value of a record that is to be returned. MLKV_ABSENT: it is passed over. */
static int value_of(mlkv_cursor *self, mlkv_slice name, mlkv_slice rest, mlkv_slice *ret_value)
{
    if (is_of_keys(self->kind))
        return value_of_key(self, name, rest, ret_value);
    if (self->kind == MLKV_SCAN_SET) {
        *ret_value = slice_of("", 0);
        return MLKV_OK;
    }
    if (self->kind == MLKV_SCAN_ZSET) {
        double score;
        int result = zset_score(rest, &score);
        if (result == MLKV_OK)
            *ret_value = slice_of(self->score, number_format(score, self->score));
        return result;
    }
    int64_t at_ms; /* of a hash's field */
    int result = layout_split_field(rest, &at_ms, &rest);
    if (result == MLKV_OK && at_ms != 0 && at_ms <= self->now_ms)
        return MLKV_ABSENT;
    return result != MLKV_OK ? result : decode(self, rest, ret_value);
}

/* Name and value of a record. MLKV_ABSENT: it is passed over. */
static int read_record(mlkv_cursor *self, mlkv_slice key, mlkv_slice stored, mlkv_slice *ret_name,
                       mlkv_slice *ret_value)
{
    mlkv_slice rest = {0};
    int result;
    *ret_value = slice_of("", 0);
    if (self->kind == MLKV_SCAN_LIST)
        result = decode(self, stored, ret_name);
    else
        result = layout_split_name(key, self->head_size, stored, ret_name, &rest);
    if (result != MLKV_OK)
        return result;
    if (!slice_starts_with(*ret_name, slice_of_buffer(&self->prefix)))
        return MLKV_ABSENT;
    return self->kind == MLKV_SCAN_LIST ? MLKV_OK : value_of(self, *ret_name, rest, ret_value);
}

int mlkv_cursor_next(mlkv_cursor *cursor, mlkv_slice *ret_name, mlkv_slice *ret_value)
{
    int result = argument_pointer(cursor, "cursor");
    if (result == MLKV_OK)
        result = argument_pointer(ret_name, "ret_name");
    if (result != MLKV_OK)
        return result;
    mlkv_slice key, stored, name, value;
    do {
        result = cursor->walk == NULL ? MLKV_ABSENT : scan_next(cursor->walk, &key, &stored);
        if (result != MLKV_OK)
            return result;
        result = read_record(cursor, key, stored, &name, &value);
    } while (result == MLKV_ABSENT);
    if (result != MLKV_OK)
        return result;
    cursor->stands = true;
    cursor->position_size = key.size - cursor->head_size;
    bytes_copy(cursor->position, (const unsigned char *)key.data + cursor->head_size,
               cursor->position_size);
    *ret_name = name;
    if (ret_value != NULL)
        *ret_value = value;
    return MLKV_OK;
}

int mlkv_cursor_token(mlkv_cursor *cursor, mlkv_buffer *ret_token)
{
    unsigned char bytes[TOKEN_HEAD_SIZE + RECORD_KEY_SIZE_MAX];
    int result = argument_pointer(cursor, "cursor");
    if (result == MLKV_OK)
        result = argument_pointer(ret_token, "ret_token");
    if (result != MLKV_OK)
        return result;
    if (!cursor->stands)
        return buffer_assign(ret_token, bytes, 0);
    bytes[0] = TOKEN_VERSION;
    bytes[1] = (unsigned char)cursor->kind;
    bytes_copy(bytes + TOKEN_HEAD_SIZE, cursor->position, cursor->position_size);
    return buffer_assign(ret_token, bytes, TOKEN_HEAD_SIZE + cursor->position_size);
}

void mlkv_cursor_close(mlkv_cursor *cursor)
{
    if (cursor == NULL)
        return;
    scan_close(cursor->walk);
    mlkv_buffer_free(&cursor->prefix);
    mlkv_buffer_free(&cursor->value);
    free(cursor);
}
