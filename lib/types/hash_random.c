/* hash_random.c - random fields of a hash, each equally likely.
 *
 * A hash has no dense index as a set has: it would cost every new field another record. So places in the order of record keys are drawn
 * first (without repetition by draw.h), sorted, and then found on the way up: by rank where the view knows ranks (view/op.h: a counted
 * tree in memory), or by one walk over all fields where most are wanted, or where some stand that are gone, for then a rank among the
 * records is not one among the fields.
 *
 * Invariants
 *   1. Drawing, finding and reading happen in one read operation: count and fields belong to one state.
 *   2. Fields come in the order in which they were drawn, so that the first of several is as likely any as one alone would be.
 * Locks: none.
 */
#include <mlkv/hash.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/random.h"
#include "types/argument.h"
#include "types/draw.h"
#include "types/field.h"
#include "types/values.h"

#include <stdlib.h>

enum {
    KEY_SIZE_SIZE = 2,
    WALK_SHARE = 16 /* from a 16th of the fields on a walk costs less than finding each */
};

/* One field to be found: its rank among those that are there, and which one it was of those drawn. */
typedef struct {
    uint64_t rank;
    size_t number;
} place;

typedef struct {
    mlkv_slice key;
    size_t n;
    bool distinct, wants_values;
    mlkv_rows *rows;
    mlkv_buffer places;    /* place[] */
    mlkv_buffer key_bytes; /* what a ranking gives */
    mlkv_buffer decoded;
} random_call;

static int compare_places(const void *left, const void *right)
{
    const place *a = left, *b = right;
    return a->rank != b->rank ? (a->rank > b->rank) - (a->rank < b->rank)
                              : (a->number > b->number) - (a->number < b->number);
}

/* Draws `n` ranks below `count`, and sorts them. */
static int draw_places(random_call *call, uint64_t count, size_t n)
{
    draw numbers = {0};
    if (n > SIZE_MAX / sizeof(place))
        return error_set(MLKV_E_SIZE, "%zu random fields", n);
    int result = call->distinct && n != 0 ? draw_create(&numbers, count, n) : MLKV_OK;
    call->places.size = 0;
    if (result == MLKV_OK && buffer_extend(&call->places, n * sizeof(place)) == NULL)
        result = error_set_memory("random fields");
    place *places = call->places.data;
    for (size_t i = 0; i < n && result == MLKV_OK; i++)
        places[i] = (place){call->distinct ? draw_next(&numbers) : random_below(count), i};
    draw_destroy(&numbers);
    if (result == MLKV_OK && n != 0)
        qsort(places, n, sizeof *places, compare_places);
    return result;
}

/* --- what is found --- */

static int append_value(op *o, scan *walk, random_call *call, mlkv_slice cell)
{
    mlkv_slice raw;
    if (cell_borrow(cell, &raw))
        return rows_append(call->rows, raw);
    call->decoded.size = 0;
    int result = walk != NULL ? scan_cell_append(walk, cell, &call->decoded)
                              : op_cell_append(o, cell, &call->decoded);
    return result != MLKV_OK ? result : rows_append(call->rows, slice_of_buffer(&call->decoded));
}

static int append_field(op *o, scan *walk, random_call *call, mlkv_slice name, mlkv_slice cell)
{
    int result = rows_append(call->rows, name);
    return result != MLKV_OK || !call->wants_values ? result : append_value(o, walk, call, cell);
}

static int too_few(const random_call *call)
{
    return error_set(MLKV_E_CORRUPT, "hash \"%s\" has fewer fields than it counts",
                     error_quote(call->key.data, call->key.size));
}

/* --- by a walk --- */

/* The next field that is there; MLKV_ABSENT at the end. */
static int next_field(op *o, scan *walk, mlkv_slice *ret_name, mlkv_slice *ret_cell)
{
    mlkv_slice key, value;
    int64_t at_ms;
    for (;;) {
        int result = scan_next(walk, &key, &value);
        if (result == MLKV_OK)
            result = layout_split_name(key, ELEMENT_HEAD_SIZE, value, ret_name, &value);
        if (result != MLKV_OK)
            return result;
        result = field_look(o, value, &at_ms, ret_cell);
        if (result != MLKV_ABSENT)
            return result;
    }
}

static int find_walking(op *o, random_call *call, const entry *hash, size_t n)
{
    record_key prefix;
    scan *walk = NULL;
    mlkv_slice name, cell;
    uint64_t rank = 0;
    const place *places = call->places.data;
    layout_id(RECORD_ELEMENT, hash->header.id, &prefix);
    int result = op_scan_open(o, record_key_slice(&prefix), slice_of(NULL, 0), &walk);
    for (size_t i = 0; i < n && result == MLKV_OK; rank++) {
        result = next_field(o, walk, &name, &cell);
        for (; i < n && places[i].rank == rank && result == MLKV_OK; i++)
            result = append_field(o, walk, call, name, cell);
    }
    scan_close(walk);
    return result == MLKV_ABSENT ? too_few(call) : result;
}

/* --- by rank --- */

static int find_ranked(op *o, random_call *call, ranking *order, uint64_t rank)
{
    mlkv_slice value, name, cell;
    int64_t at_ms;
    size_t count = 0;
    call->key_bytes.size = 0;
    int result = ranking_select(order, rank, 1, &call->key_bytes, &count);
    if (result != MLKV_OK || count != 1 || call->key_bytes.size <= KEY_SIZE_SIZE)
        return result != MLKV_OK ? result : too_few(call);
    mlkv_slice key = slice_of((const unsigned char *)call->key_bytes.data + KEY_SIZE_SIZE,
                              call->key_bytes.size - KEY_SIZE_SIZE);
    result = op_borrow(o, key, &value);
    if (result == MLKV_OK)
        result = layout_split_name(key, ELEMENT_HEAD_SIZE, value, &name, &cell);
    if (result == MLKV_OK)
        result = field_look(o, cell, &at_ms, &cell);
    return result == MLKV_ABSENT ? too_few(call)
           : result != MLKV_OK   ? result
                                 : append_field(o, NULL, call, name, cell);
}

static int find_by_rank(op *o, random_call *call, const entry *hash, size_t n)
{
    record_key prefix;
    ranking *order = NULL;
    const place *places = call->places.data;
    layout_id(RECORD_ELEMENT, hash->header.id, &prefix);
    int result = op_ranking_open(o, record_key_slice(&prefix), hash->header.count, false, &order);
    for (size_t i = 0; i < n && result == MLKV_OK; i++)
        result = find_ranked(o, call, order, places[i].rank);
    ranking_close(order);
    return result;
}

/* --- together --- */

/* Puts what was found into the order in which it was drawn. */
static int arrange(random_call *call, size_t n)
{
    size_t width = call->wants_values ? 2 : 1;
    const place *places = call->places.data;
    mlkv_slice *items = call->rows->items;
    mlkv_slice *found = n == 0 ? NULL : calloc(n, width * sizeof *found);
    if (found == NULL)
        return n == 0 ? MLKV_OK : error_set_memory("random fields");
    memcpy(found, items, n * width * sizeof *found);
    for (size_t i = 0; i < n * width; i++)
        items[places[i / width].number * width + i % width] = found[i];
    free(found);
    return MLKV_OK;
}

static int random_rule(op *o, void *context)
{
    random_call *call = context;
    entry hash;
    uint64_t gone = 0;
    rows_clear(call->rows);
    int result = entry_open(o, call->key, TYPE_HASH, &hash);
    if (result == MLKV_OK)
        result = field_count_gone(o, &hash.header, &gone);
    if (result != MLKV_OK)
        return result == MLKV_ABSENT ? MLKV_OK : result;
    if (gone >= hash.header.count)
        return too_few(call);
    uint64_t count = hash.header.count - gone;
    size_t n = call->distinct && call->n > count ? (size_t)count : call->n;
    result = draw_places(call, count, n);
    if (result == MLKV_OK && n != 0)
        result = gone != 0 || n >= count / WALK_SHARE ? find_walking(o, call, &hash, n)
                                                      : find_by_rank(o, call, &hash, n);
    return result != MLKV_OK ? result : arrange(call, n);
}

int mlkv_hash_random(mlkv *view, mlkv_slice key, size_t n, int distinct, int with_values,
                     mlkv_rows *ret_fields)
{
    random_call call = {.key = key,
                        .n = n,
                        .distinct = distinct != 0,
                        .wants_values = with_values != 0,
                        .rows = ret_fields};
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = argument_pointer(ret_fields, "ret_fields");
    if (result != MLKV_OK)
        return result;
    result = op_read(view, random_rule, &call);
    mlkv_buffer_free(&call.places);
    mlkv_buffer_free(&call.key_bytes);
    mlkv_buffer_free(&call.decoded);
    return values_end_rows(result, ret_fields);
}
