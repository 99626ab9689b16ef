/* set.c - sets: distinct members under a key, with O(1) random members (set_random.c draws them). set_algebra.c joins sets.
 *
 * Bytes owned, of a set's life:
 *   E id member  -> [name] index (8 LE)      finds a member, and where it stands in
 *   L id index   -> the member's bytes       the dense index, 0 .. count-1 without holes
 * Removing a member moves the last one of the dense index into its place.
 *
 * Invariants
 *   1. header.count is the number of E records and the number of L records; E's index and L's member point at each other.
 *   2. With the last member the key goes: an empty set does not exist. A missing key reads as an empty set.
 */
#include <mlkv/set.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "types/argument.h"
#include "types/measure.h"
#include "types/set.h"
#include "types/values.h"

#include <stdlib.h>

enum { INDEX_SIZE = 8 };

static const mlkv_slice nothing = {NULL, 0};

static int corrupt_set(mlkv_slice key, const char *what)
{
    return error_set(MLKV_E_CORRUPT, "set \"%s\": %s", error_quote(key.data, key.size), what);
}

static int put_member(op *o, uint64_t id, const element *member, uint64_t index)
{
    unsigned char bytes[INDEX_SIZE];
    record_key key;
    store_le64(bytes, index);
    int result = element_put(o, member, slice_of(bytes, sizeof bytes), nothing);
    layout_indexed(RECORD_LIST, id, index, &key);
    return result != MLKV_OK ? result : op_put(o, record_key_slice(&key), member->name);
}

int set_append(op *o, entry *set, mlkv_slice name)
{
    element member = {.name = name};
    int result = layout_element(set->header.id, name, &member.key);
    return result != MLKV_OK ? result : put_member(o, set->header.id, &member, set->header.count++);
}

int set_insert(op *o, entry *set, mlkv_slice name)
{
    element member;
    int result = element_open(o, set->header.id, name, &member);
    if (result != MLKV_ABSENT)
        return result == MLKV_OK ? MLKV_ABSENT : result;
    return put_member(o, set->header.id, &member, set->header.count++);
}

/* --- add --- */

typedef struct {
    mlkv_slice key;
    const mlkv_slice *members;
    size_t n, changed;
    mlkv_buffer moved; /* bytes of a member that changes its place */
} members_call;

static int add_rule(op *o, void *context)
{
    members_call *call = context;
    entry set;
    call->changed = 0;
    if (call->n == 0) {
        int result = entry_open(o, call->key, TYPE_SET, &set);
        return result == MLKV_ABSENT ? MLKV_OK : result;
    }
    int result = entry_open(o, call->key, TYPE_SET, &set);
    if (result == MLKV_ABSENT)
        result = entry_create(o, &set, TYPE_SET);
    for (size_t i = 0; i < call->n && result == MLKV_OK; i++) {
        element_prefetch_batch(o, set.header.id, call->members, call->n, i);
        result = set_insert(o, &set, call->members[i]);
        call->changed += result == MLKV_OK;
        result = result == MLKV_ABSENT ? MLKV_OK : result;
    }
    return result != MLKV_OK || call->changed == 0 ? result
                                                   : entry_store(o, &set, nothing, nothing);
}

/* --- remove --- */

/* Moves the last member of the dense index to `index`, and deletes the last place. */
static int fill_hole(op *o, const entry *set, uint64_t index, mlkv_buffer *moved)
{
    uint64_t last = set->header.count - 1;
    record_key key;
    element mover;
    layout_indexed(RECORD_LIST, set->header.id, last, &key);
    if (index == last)
        return op_delete(o, record_key_slice(&key));
    int result = op_get(o, record_key_slice(&key), moved);
    if (result == MLKV_ABSENT)
        return corrupt_set(set->name, "the last member is missing in its dense index");
    if (result == MLKV_OK)
        result = op_delete(o, record_key_slice(&key));
    if (result == MLKV_OK)
        result = element_open(o, set->header.id, slice_of_buffer(moved), &mover);
    if (result == MLKV_ABSENT)
        return corrupt_set(set->name, "its dense index has a member that is not in the set");
    return result != MLKV_OK ? result : put_member(o, set->header.id, &mover, index);
}

int set_remove(op *o, entry *set, mlkv_slice name, mlkv_buffer *moved)
{
    element member;
    int result = element_open(o, set->header.id, name, &member);
    if (result != MLKV_OK)
        return result;
    if (member.rest.size != INDEX_SIZE)
        return corrupt_set(set->name, "a member's index does not have 8 bytes");
    uint64_t index = load_le64(member.rest.data);
    if (index >= set->header.count)
        return corrupt_set(set->name, "a member's index is not below the count");
    result = element_delete(o, &member);
    if (result == MLKV_OK)
        result = fill_hole(o, set, index, moved);
    set->header.count--;
    return result;
}

int set_store_rest(op *o, entry *set)
{
    return set->header.count == 0 ? entry_vanish(o, set) : entry_store(o, set, nothing, nothing);
}

static int remove_rule(op *o, void *context)
{
    members_call *call = context;
    entry set;
    call->changed = 0;
    int result = entry_open(o, call->key, TYPE_SET, &set);
    if (result == MLKV_ABSENT)
        return MLKV_OK;
    for (size_t i = 0; i < call->n && result == MLKV_OK; i++) {
        element_prefetch_batch(o, set.header.id, call->members, call->n, i);
        result = set_remove(o, &set, call->members[i], &call->moved);
        call->changed += result == MLKV_OK;
        result = result == MLKV_ABSENT ? MLKV_OK : result;
    }
    return result != MLKV_OK || call->changed == 0 ? result : set_store_rest(o, &set);
}

static int run_change(mlkv *view, op_rule rule, members_call *call, size_t *ret_changed)
{
    int result = argument_view_key(view, call->key);
    if (result == MLKV_OK)
        result = argument_slices(call->members, call->n, "members");
    if (result == MLKV_OK)
        result = op_write(view, rule, call);
    mlkv_buffer_free(&call->moved);
    if (result == MLKV_OK && ret_changed != NULL)
        *ret_changed = call->changed;
    return result;
}

int mlkv_set_add(mlkv *view, mlkv_slice key, const mlkv_slice *members, size_t n, size_t *ret_added)
{
    members_call call = {.key = key, .members = members, .n = n};
    return run_change(view, add_rule, &call, ret_added);
}

int mlkv_set_remove(mlkv *view, mlkv_slice key, const mlkv_slice *members, size_t n,
                    size_t *ret_removed)
{
    members_call call = {.key = key, .members = members, .n = n};
    return run_change(view, remove_rule, &call, ret_removed);
}

/* --- move --- */

typedef struct {
    mlkv_slice source, destination, member;
    mlkv_buffer moved;
} move_call;

static int move_between(op *o, move_call *call, entry *from, entry *to, bool to_is_new)
{
    int result = set_remove(o, from, call->member, &call->moved);
    if (result == MLKV_OK)
        result = set_store_rest(o, from);
    if (result == MLKV_OK && to_is_new)
        result = entry_create(o, to, TYPE_SET);
    if (result != MLKV_OK)
        return result;
    result = set_insert(o, to, call->member);
    if (result != MLKV_OK) /* it stood there already */
        return result == MLKV_ABSENT ? MLKV_OK : result;
    return entry_store(o, to, nothing, nothing);
}

static int move_rule(op *o, void *context)
{
    move_call *call = context;
    entry from, to;
    element member;
    int result = entry_open(o, call->source, TYPE_SET, &from);
    if (result != MLKV_OK)
        return result;
    result = entry_open(o, call->destination, TYPE_SET, &to);
    if (result < 0)
        return result;
    if (slice_equal(call->source, call->destination))
        return element_open(o, from.header.id, call->member, &member);
    return move_between(o, call, &from, &to, result == MLKV_ABSENT);
}

int mlkv_set_move(mlkv *view, mlkv_slice source, mlkv_slice destination, mlkv_slice member)
{
    move_call call = {.source = source, .destination = destination, .member = member};
    int result = argument_pointer(view, "view");
    if (result == MLKV_OK)
        result = argument_slice(source, "source");
    if (result == MLKV_OK)
        result = argument_slice(destination, "destination");
    if (result == MLKV_OK)
        result = argument_slice(member, "member");
    if (result == MLKV_OK)
        result = op_write(view, move_rule, &call);
    mlkv_buffer_free(&call.moved);
    return result;
}

/* --- contains, count --- */

typedef struct {
    mlkv_slice key;
    const mlkv_slice *members;
    size_t n;
    uint8_t *present;
} contains_call;

static int contains_rule(op *o, void *context)
{
    contains_call *call = context;
    entry set;
    element member;
    memset(call->present, 0, call->n);
    int result = entry_open(o, call->key, TYPE_SET, &set);
    if (result == MLKV_ABSENT)
        return MLKV_OK;
    for (size_t i = 0; i < call->n && result == MLKV_OK; i++) {
        element_prefetch_batch(o, set.header.id, call->members, call->n, i);
        result = element_open(o, set.header.id, call->members[i], &member);
        call->present[i] = result == MLKV_OK;
        result = result == MLKV_ABSENT ? MLKV_OK : result;
    }
    return result;
}

int mlkv_set_contains(mlkv *view, mlkv_slice key, const mlkv_slice *members, size_t n,
                      uint8_t *ret_present)
{
    enum { STACK_MAX = 256 };
    uint8_t few[STACK_MAX];
    contains_call call = {.key = key, .members = members, .n = n, .present = few};
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = argument_slices(members, n, "members");
    if (result == MLKV_OK && n != 0)
        result = argument_pointer(ret_present, "ret_present");
    if (result == MLKV_OK && n > STACK_MAX && (call.present = malloc(n)) == NULL)
        return error_set_memory("the answers of a set");
    if (result == MLKV_OK)
        result = op_read(view, contains_rule, &call);
    if (result == MLKV_OK)
        bytes_copy(ret_present, call.present, n);
    if (call.present != few)
        free(call.present);
    return result;
}

static int read_count(op *o, mlkv_slice key, uint64_t *ret_count)
{
    return measure_count(o, key, TYPE_SET, ret_count);
}

int mlkv_set_count(mlkv *view, mlkv_slice key, uint64_t *ret_count)
{
    return measure_key(view, key, read_count, ret_count, "ret_count");
}

/* --- all members --- */

typedef struct {
    mlkv_slice key;
    mlkv_rows *rows;
} all_call;

static int all_rule(op *o, void *context)
{
    all_call *call = context;
    entry set;
    record_key prefix;
    scan *walk = NULL;
    mlkv_slice key, value, name, rest;
    rows_clear(call->rows);
    int result = entry_open(o, call->key, TYPE_SET, &set);
    if (result != MLKV_OK)
        return result == MLKV_ABSENT ? MLKV_OK : result;
    layout_id(RECORD_ELEMENT, set.header.id, &prefix);
    result = op_scan_open(o, record_key_slice(&prefix), nothing, &walk);
    while (result == MLKV_OK) {
        result = scan_next(walk, &key, &value);
        if (result == MLKV_OK)
            result = layout_split_name(key, ELEMENT_HEAD_SIZE, value, &name, &rest);
        if (result == MLKV_OK)
            result = rows_append(call->rows, name);
    }
    scan_close(walk);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

int mlkv_set_members(mlkv *view, mlkv_slice key, mlkv_rows *ret_members)
{
    all_call call = {key, ret_members};
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = argument_pointer(ret_members, "ret_members");
    if (result != MLKV_OK)
        return result;
    return values_end_rows(op_read(view, all_rule, &call), ret_members);
}
