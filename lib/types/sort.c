/* sort.c - SORT: what is sorted, what is shown of it, what is stored.
 *
 *   collect   the elements; of a list or sorted set that is not to be sorted, only those that are shown
 *   weigh     what `by` names for each of them (sort_order.c, sort_pattern.c)
 *   order
 *   show      the range's elements, or what `gets` name for them; or keep their cells, and put these as a list
 * A read looks at other keys in one rule, so that all is of one moment. Without `gets` that do, it orders and shows after the rule: no
 * writer waits for that, nor is it done again.
 *
 * Bytes owned: none; what is stored is a new list (list.c).
 *
 * Invariants
 *   1. Everything is read before anything is written: the destination may be the key, or what a pattern names.
 *   2. A stored element shares a blob with what it comes from: all of these are retained before the destination, which may hold the last
 *      other reference to one, is let go.
 * Locks: none of its own.
 */
#include <mlkv/sort.h>

#include "types/sort.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "types/argument.h"
#include "types/list.h"
#include "types/values.h"
#include "types/zset.h"

#include <mlkv/key.h>
#include <stdlib.h>

typedef struct {
    mlkv_slice key;
    mlkv_sort_options options;
    sort_pattern by;
    sort_pattern *gets;
    bool looks; /* some of `gets` name other keys */
    bool stores;
    mlkv_slice destination;
    /* of one run */
    list source; /* its entry: of any type */
    bool sorts;
    size_t first, n; /* what is shown, of the items */
    sort_items items;
    mlkv_rows *rows;
    mlkv_buffer cells;   /* to be stored: size (8) and bytes of each */
    mlkv_buffer scratch; /* a list's cell */
    uint64_t count;
} sorting;

static const mlkv_slice nothing = {NULL, 0};
static const unsigned char raw_kind = CELL_RAW;

/* --- collect --- */

static int collect_list_item(op *o, const list_item *item, void *context)
{
    sort_items *to = context;
    mlkv_slice raw;
    size_t at = to->names.size;
    int result = list_item_append(o, item, &to->names);
    return result != MLKV_OK ? result
                             : sort_items_add(to, at, item->seq, cell_borrow(item->cell, &raw));
}

static int collect_member(sort_items *to, mlkv_slice name)
{
    size_t at = to->names.size;
    int result = buffer_append(&to->names, name.data, name.size);
    return result != MLKV_OK ? result : sort_items_add(to, at, 0, true);
}

static int collect_scored(void *context, mlkv_slice member, double score)
{
    (void)score;
    return collect_member(context, member);
}

/* At most n members of a set or sorted set, in the order of their records. */
static int collect_members(op *o, sorting *self, uint64_t n)
{
    record_key prefix;
    scan *walk = NULL;
    mlkv_slice key, value, name, rest;
    layout_id(RECORD_ELEMENT, self->source.entry.header.id, &prefix);
    int result = op_scan_open(o, record_key_slice(&prefix), nothing, &walk);
    for (uint64_t i = 0; i < n && result == MLKV_OK; i++) {
        result = scan_next(walk, &key, &value);
        if (result == MLKV_OK)
            result = layout_split_name(key, ELEMENT_HEAD_SIZE, value, &name, &rest);
        if (result == MLKV_OK)
            result = collect_member(&self->items, name);
    }
    scan_close(walk);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

static int collect_by_score(op *o, sorting *self, uint64_t first, uint64_t n)
{
    ranking *by = NULL;
    const entry *set = &self->source.entry;
    int result = n == 0 ? MLKV_OK : zset_order_open(o, set, n > set->header.count / 4, &by);
    if (result == MLKV_OK && n != 0)
        result = zset_visit(o, by, first, n, collect_scored, &self->items);
    ranking_close(by);
    return result;
}

/* As Redis cuts: below 0 the offset is 0, and the count all. */
static void resolve_limit(sorting *self, uint64_t length)
{
    const mlkv_sort_options *options = &self->options;
    uint64_t first = 0, n = length;
    if ((options->flags & MLKV_SORT_LIMIT) != 0) {
        first = options->offset < 0 ? 0 : (uint64_t)options->offset;
        first = first > length ? length : first;
        n = length - first;
        if (options->count >= 0 && (uint64_t)options->count < n)
            n = (uint64_t)options->count;
    }
    self->first = (size_t)first;
    self->n = (size_t)n;
}

/* A list or sorted set in its own order: only what is shown. */
static int collect_range(op *o, sorting *self, uint64_t length)
{
    bool descending = (self->options.flags & MLKV_SORT_DESCENDING) != 0;
    uint64_t first = descending ? length - self->first - self->n : self->first;
    int result = self->source.entry.header.type == TYPE_ZSET
                     ? collect_by_score(o, self, first, self->n)
                     : list_walk(o, &self->source, self->source.head + first, self->n,
                                 collect_list_item, &self->items);
    if (descending)
        sort_items_reverse(&self->items);
    self->first = 0;
    return result;
}

static int open_source(op *o, sorting *self)
{
    entry *source = &self->source.entry;
    int result = entry_open(o, self->key, TYPE_ANY, source);
    if (result != MLKV_OK)
        return result;
    if (source->header.type == TYPE_LIST)
        return list_read_part(source->rest, source->header.count, &self->source.head,
                              &self->source.tail);
    if (source->header.type == TYPE_SET || source->header.type == TYPE_ZSET)
        return MLKV_OK;
    return error_set(MLKV_E_TYPE, "key \"%s\" holds a %s, not a list, set or sorted set",
                     error_quote(self->key.data, self->key.size),
                     mlkv_type_name((mlkv_type)source->header.type));
}

/* Whether and how it is sorted: a set that is stored always is, so that its order is one. */
static void choose(sorting *self, int type)
{
    uint32_t flags = self->options.flags;
    bool has_by = (flags & MLKV_SORT_BY) != 0, forced = self->stores && type == TYPE_SET;
    self->sorts = !has_by || !self->by.constant || forced;
    self->items.by = has_by && !self->by.constant ? &self->by : NULL;
    self->items.alpha = (flags & MLKV_SORT_ALPHA) != 0 || (has_by && self->by.constant);
    self->items.descending = (flags & MLKV_SORT_DESCENDING) != 0;
    self->items.whole = self->stores;
}

static int collect(op *o, sorting *self)
{
    sort_items_clear(&self->items);
    self->sorts = false;
    self->first = self->n = 0;
    int result = open_source(o, self);
    if (result != MLKV_OK)
        return result == MLKV_ABSENT ? MLKV_OK : result;
    int type = self->source.entry.header.type;
    uint64_t length = self->source.entry.header.count;
    choose(self, type);
    resolve_limit(self, length);
    if (!self->sorts && type != TYPE_SET)
        result = collect_range(o, self, length);
    else if (type == TYPE_LIST)
        result =
            list_walk(o, &self->source, self->source.head, length, collect_list_item, &self->items);
    else
        result = collect_members(o, self, self->sorts ? length : self->first + self->n);
    if (result == MLKV_OK && sort_items_count(&self->items) < self->first + self->n)
        result = error_set(MLKV_E_CORRUPT, "key \"%s\" counts more elements than there are",
                           error_quote(self->key.data, self->key.size));
    return result == MLKV_OK && self->sorts ? sort_items_weigh(&self->items, o) : result;
}

/* --- show --- */

static int show_other(op *o, sorting *self, const sort_pattern *get, mlkv_slice name)
{
    mlkv_slice cell, raw;
    mlkv_buffer *decoded = &self->items.decoded;
    int result =
        get->constant ? MLKV_ABSENT : sort_pattern_find(o, get, name, &self->items.key, &cell);
    if (result == MLKV_ABSENT)
        return rows_append_absent(self->rows);
    if (result != MLKV_OK)
        return result;
    if (cell_borrow(cell, &raw))
        return rows_append(self->rows, raw);
    decoded->size = 0;
    result = op_cell_append(o, cell, decoded);
    return result != MLKV_OK ? result : rows_append(self->rows, slice_of_buffer(decoded));
}

static int show(op *o, sorting *self)
{
    int result = MLKV_OK;
    if (self->sorts)
        sort_items_order(&self->items);
    for (size_t i = 0; i < self->n && result == MLKV_OK; i++) {
        mlkv_slice name =
            sort_items_name(&self->items, sort_items_at(&self->items, self->first + i));
        if (self->options.gets_count == 0)
            result = rows_append(self->rows, name);
        for (size_t k = 0; k < self->options.gets_count && result == MLKV_OK; k++)
            result = self->gets[k].itself ? rows_append(self->rows, name)
                                          : show_other(o, self, &self->gets[k], name);
    }
    return result;
}

static int show_rule(op *o, void *context)
{
    sorting *self = context;
    rows_clear(self->rows);
    int result = collect(o, self);
    return result == MLKV_OK && self->looks ? show(o, self) : result;
}

/* --- store --- */

static int keep(sorting *self, mlkv_slice head, mlkv_slice body)
{
    unsigned char size[8];
    store_le64(size, head.size + body.size);
    int result = buffer_append(&self->cells, size, sizeof size);
    if (result == MLKV_OK)
        result = buffer_append(&self->cells, head.data, head.size);
    self->count++;
    return result != MLKV_OK ? result : buffer_append(&self->cells, body.data, body.size);
}

static int keep_element(op *o, sorting *self, const sort_item *item)
{
    if (item->plain)
        return keep(self, slice_of(&raw_kind, 1), sort_items_name(&self->items, item));
    int result = list_read(o, &self->source, item->seq, &self->scratch);
    return result != MLKV_OK ? result : keep(self, slice_of_buffer(&self->scratch), nothing);
}

static int keep_other(op *o, sorting *self, const sort_pattern *get, mlkv_slice name)
{
    mlkv_slice cell;
    int result =
        get->constant ? MLKV_ABSENT : sort_pattern_find(o, get, name, &self->items.key, &cell);
    if (result == MLKV_ABSENT)
        return keep(self, slice_of(&raw_kind, 1), nothing);
    return result != MLKV_OK ? result : keep(self, cell, nothing);
}

static int keep_all(op *o, sorting *self)
{
    int result = MLKV_OK;
    if (self->sorts)
        sort_items_order(&self->items);
    for (size_t i = 0; i < self->n && result == MLKV_OK; i++) {
        const sort_item *item = sort_items_at(&self->items, self->first + i);
        mlkv_slice name = sort_items_name(&self->items, item);
        if (self->options.gets_count == 0)
            result = keep_element(o, self, item);
        for (size_t k = 0; k < self->options.gets_count && result == MLKV_OK; k++)
            result = self->gets[k].itself ? keep_element(o, self, item)
                                          : keep_other(o, self, &self->gets[k], name);
    }
    return result;
}

/* Visits the cells that were kept: retains them, or puts them behind the last element. */
static int each_kept(op *o, sorting *self, list *to)
{
    const unsigned char *at = self->cells.data;
    record_key key;
    int result = MLKV_OK;
    for (uint64_t i = 0; i < self->count && result == MLKV_OK; i++) {
        mlkv_slice cell = slice_of(at + 8, (size_t)load_le64(at));
        at += 8 + cell.size;
        if (to == NULL) {
            result = op_cell_retain(o, cell);
        } else {
            list_element_key(to, to->tail++, &key);
            result = op_put(o, record_key_slice(&key), cell);
        }
    }
    return result;
}

static int store_rule(op *o, void *context)
{
    sorting *self = context;
    list to;
    self->cells.size = 0;
    self->count = 0;
    int result = collect(o, self);
    if (result == MLKV_OK)
        result = keep_all(o, self);
    if (result == MLKV_OK)
        result = each_kept(o, self, NULL);
    if (result == MLKV_OK)
        result = zset_replace(o, self->destination, &to.entry);
    if (result != MLKV_OK || self->count == 0)
        return result;
    result = list_create(o, &to);
    if (result == MLKV_OK)
        result = each_kept(o, self, &to);
    return result != MLKV_OK ? result : list_store(o, &to);
}

/* --- the calls --- */

static int read_options(const mlkv_sort_options *options, mlkv_sort_options *ret_options)
{
    const uint32_t all = MLKV_SORT_DESCENDING | MLKV_SORT_ALPHA | MLKV_SORT_BY | MLKV_SORT_LIMIT;
    const unsigned char *bytes = (const unsigned char *)options;
    if (options == NULL) {
        *ret_options = (mlkv_sort_options){.size = sizeof *options};
        return MLKV_OK;
    }
    if (options->size < sizeof *options)
        return error_set(MLKV_E_ARGUMENT, "mlkv_sort_options has size %zu, at least %zu is needed",
                         options->size, sizeof *options);
    for (size_t i = sizeof *options; i < options->size; i++)
        if (bytes[i] != 0)
            return error_set(
                MLKV_E_ARGUMENT,
                "mlkv_sort_options sets an option that this library does not know (byte %zu)", i);
    if ((options->flags & ~all) != 0 || options->reserved != 0)
        return error_set(MLKV_E_ARGUMENT, "mlkv_sort_options: flags 0x%x are unknown",
                         options->flags & ~all);
    *ret_options = *options;
    int result = (options->flags & MLKV_SORT_BY) != 0 ? argument_slice(options->by, "by") : MLKV_OK;
    return result != MLKV_OK ? result : argument_slices(options->gets, options->gets_count, "gets");
}

static int begin(mlkv *view, sorting *self, const mlkv_sort_options *options)
{
    int result = argument_view_key(view, self->key);
    if (result == MLKV_OK)
        result = argument_slice(self->destination, "destination");
    if (result == MLKV_OK)
        result = read_options(options, &self->options);
    if (result != MLKV_OK)
        return result;
    if ((self->options.flags & MLKV_SORT_BY) != 0)
        sort_pattern_read(self->options.by, &self->by);
    if (self->options.gets_count == 0)
        return MLKV_OK;
    self->gets = calloc(self->options.gets_count, sizeof *self->gets);
    if (self->gets == NULL)
        return error_set_memory("the patterns of a sort");
    for (size_t i = 0; i < self->options.gets_count; i++) {
        sort_pattern_read(self->options.gets[i], &self->gets[i]);
        self->looks = self->looks || !self->gets[i].constant;
    }
    return MLKV_OK;
}

static void done(sorting *self)
{
    free(self->gets);
    sort_items_done(&self->items);
    mlkv_buffer_free(&self->cells);
    mlkv_buffer_free(&self->scratch);
}

int mlkv_sort(mlkv *view, mlkv_slice key, const mlkv_sort_options *options, mlkv_rows *ret_values)
{
    sorting self = {.key = key, .rows = ret_values};
    int result = argument_pointer(ret_values, "ret_values");
    if (result != MLKV_OK)
        return result;
    result = begin(view, &self, options);
    if (result == MLKV_OK)
        result = op_read(view, show_rule, &self);
    if (result == MLKV_OK && !self.looks)
        result = show(NULL, &self);
    done(&self);
    return values_end_rows(result, ret_values);
}

int mlkv_sort_store(mlkv *view, mlkv_slice key, const mlkv_sort_options *options,
                    mlkv_slice destination, uint64_t *ret_count)
{
    sorting self = {.key = key, .destination = destination, .stores = true};
    int result = begin(view, &self, options);
    if (result == MLKV_OK)
        result = op_write(view, store_rule, &self);
    if (result == MLKV_OK && ret_count != NULL)
        *ret_count = self.count;
    done(&self);
    return result;
}
