/* pending_runs.c - pending records in key order, for scans.
 *
 * Nothing is kept while nobody scans. A scan reads the frames that came since the last one, sorts
 * their records into a run, and merges runs until each is at least twice as long as the next: so
 * there are O(log n) of them, and a record is merged O(log n) times. A query searches each run for
 * its first key and merges the runs, the newest position winning. Items hold the first bytes of
 * keys (internal.h); the rest, and the values, are read from the ring.
 *
 * Invariants
 *
 * Q1 Within a run keys rise strictly. All positions of a run lie below those of the next run.
 *
 * Q2 Records of the frames in [trimmed, indexed_to) are in the runs. Items below trimmed are dead:
 *    their keys may be overwritten and are never read.
 *
 * Q3 indexed_to is the end of a frame; so is trimmed.
 *
 * Locks: the caller holds the engine's catch-up lock, so that cursor and trimmed stand still; the
 * runs' lock is taken here.
 */
#include "pending/internal.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/fault.h"
#include "base/lock.h"
#include "base/record.h"

#include <stdlib.h>

enum {
    RUN_ITEMS_MAX =
        1 << 19, /* of one sort: bounds the memory that it takes beside the run to some 40 MiB */
    RUN_KEY_BYTES_MAX = 64 << 20, /* of long keys, likewise */
};

/* --- keys --- */

static void make_words(mlkv_slice key, uint64_t ret_words[3])
{
    unsigned char bytes[24] = {0};
    bytes_copy(bytes, key.data, key.size < PENDING_KEY_BYTES ? key.size : PENDING_KEY_BYTES);
    bytes[PENDING_KEY_BYTES] =
        (unsigned char)(key.size < PENDING_KEY_LONG ? key.size : PENDING_KEY_LONG);
    for (unsigned i = 0; i < 3; i++)
        ret_words[i] = load_be64(bytes + 8 * i);
}

static int compare_words(const uint64_t a[3], const uint64_t b[3])
{
    for (unsigned i = 0; i < 3; i++) {
        if (a[i] != b[i])
            return a[i] < b[i] ? -1 : 1;
    }
    return 0;
}

static bool is_long(const uint64_t words[3])
{
    return (words[2] & 0xff) == PENDING_KEY_LONG;
}

/* One run's place in a merge: its items in order, and the current one's key once somebody wanted
 * it. */
typedef struct {
    const pending_run_item *at, *end;
    bool key_known;
    size_t key_size;
    unsigned char key[RECORD_KEY_SIZE_MAX];
} run_head;

/* Q2: dead items are passed over unread. */
static void skip_dead(run_head *head, uint64_t trimmed)
{
    while (head->at < head->end && head->at->position < trimmed)
        head->at++;
}

static void advance(run_head *head, uint64_t trimmed)
{
    head->at++;
    head->key_known = false;
    skip_dead(head, trimmed);
}

/* Makes the current key known. 0, JOURNAL_LOST, negative. */
static int load_key(const pending *self, run_head *head)
{
    if (head->key_known)
        return 0;
    int result = 0;
    if (is_long(head->at->words)) {
        result = journal_get_record_key(self->source, head->at->position, head->key,
                                        &head->key_size, NULL);
    } else {
        for (unsigned i = 0; i < 3; i++)
            store_be64(head->key + 8 * i, head->at->words[i]);
        head->key_size = head->at->words[2] & 0xff;
    }
    head->key_known = result == 0;
    return result;
}

static int compare_heads(const pending *self, run_head *a, run_head *b, int *ret_order)
{
    int result = 0, order = compare_words(a->at->words, b->at->words);
    if (order == 0 && is_long(a->at->words)) {
        result = load_key(self, a);
        if (result == 0)
            result = load_key(self, b);
        if (result == 0)
            order = slice_compare(slice_of(a->key, a->key_size), slice_of(b->key, b->key_size));
    }
    if (result == 0)
        *ret_order = order;
    return result;
}

/* --- the list of runs --- */

static void count_run_bytes(pending *self)
{
    size_t bytes = 0;
    for (size_t i = 0; i < self->run_count; i++)
        bytes += self->runs[i].count * sizeof(pending_run_item);
    __atomic_store_n(&self->run_bytes, bytes, __ATOMIC_RELAXED);
}

void pending_drop_runs(pending *self)
{
    uint64_t trimmed = pending_trimmed(self);
    size_t kept = 0;
    for (size_t i = 0; i < self->run_count; i++) {
        if (self->runs[i].newest < trimmed)
            free(self->runs[i].items);
        else
            self->runs[kept++] = self->runs[i];
    }
    self->run_count = kept;
    count_run_bytes(self);
}

/* Two neighbours into one, without what is dead or outdated. */
static int merge_runs(const pending *self, const pending_run *older, const pending_run *newer,
                      pending_run *ret_run)
{
    uint64_t trimmed = pending_trimmed(self);
    run_head a = {.at = older->items, .end = older->items + older->count},
             b = {.at = newer->items, .end = newer->items + newer->count};
    pending_run_item *items = malloc((older->count + newer->count) * sizeof *items);
    if (items == NULL)
        return error_set_memory("the order of pending records");
    size_t count = 0;
    skip_dead(&a, trimmed);
    skip_dead(&b, trimmed);
    while (a.at < a.end || b.at < b.end) {
        int order = a.at == a.end ? 1 : -1, result = 0;
        if (a.at < a.end && b.at < b.end)
            result = compare_heads(self, &a, &b, &order);
        if (result != 0) {
            free(items);
            return result;
        }
        items[count++] = order < 0 ? *a.at : *b.at;
        if (order <= 0)
            advance(&a, trimmed);
        if (order >= 0)
            advance(&b, trimmed);
    }
    pending_run_item *smaller = count > 0 ? realloc(items, count * sizeof *items) : items;
    *ret_run = (pending_run){smaller != NULL ? smaller : items, count, newer->newest};
    return 0;
}

/* Restores the proportions after a run was added at the end. */
static int merge_where_due(pending *self)
{
    while (self->run_count >= 2) {
        pending_run *older = &self->runs[self->run_count - 2],
                    *newer = &self->runs[self->run_count - 1], merged;
        if (older->count / 2 >= newer->count)
            break;
        int result = merge_runs(self, older, newer, &merged);
        if (result != 0)
            return result;
        free(older->items);
        free(newer->items);
        *older = merged;
        self->run_count--;
    }
    return 0;
}

/* --- from frames to runs --- */

typedef struct {
    pending_run_item item;
    size_t key_offset; /* of a long key's bytes after the 23rd, in `keys` */
    size_t key_size;
} staged_item;

typedef struct {
    staged_item *items;
    size_t count, capacity;
    mlkv_buffer keys;
} staging;

static int stage(staging *self, const journal_record *record)
{
    if (self->count == self->capacity) {
        size_t capacity = self->capacity == 0 ? 64 : self->capacity * 2;
        staged_item *items = realloc(self->items, capacity * sizeof *items);
        if (items == NULL)
            return error_set_memory("the order of pending records");
        self->items = items;
        self->capacity = capacity;
    }
    staged_item *staged = &self->items[self->count];
    *staged = (staged_item){.item.position = record->position,
                            .key_offset = self->keys.size,
                            .key_size = record->key.size};
    make_words(record->key, staged->item.words);
    if (record->key.size > PENDING_KEY_BYTES) {
        const unsigned char *rest = (const unsigned char *)record->key.data + PENDING_KEY_BYTES;
        int result = buffer_append(&self->keys, rest, record->key.size - PENDING_KEY_BYTES);
        if (result != 0)
            return result;
    }
    self->count++;
    return 0;
}

static int compare_staged_keys(const staged_item *a, const staged_item *b,
                               const unsigned char *keys)
{
    int order = compare_words(a->item.words, b->item.words);
    if (order != 0 || !is_long(a->item.words))
        return order;
    return slice_compare(slice_of(keys + a->key_offset, a->key_size - PENDING_KEY_BYTES),
                         slice_of(keys + b->key_offset, b->key_size - PENDING_KEY_BYTES));
}

/* By key, the newest first among equals. */
static int compare_staged(const void *left, const void *right, void *keys)
{
    const staged_item *a = left, *b = right;
    int order = compare_staged_keys(a, b, keys);
    return order != 0
               ? order
               : (a->item.position < b->item.position) - (a->item.position > b->item.position);
}

/* What is staged becomes the newest run. */
static int add_run(pending *self, staging *staged)
{
    if (staged->count == 0)
        return 0;
    if (self->run_count == PENDING_RUNS_MAX) { /* merges failed again and again */
        int result = merge_where_due(self);
        if (result != 0)
            return result;
    }
    pending_run run = {.items = malloc(staged->count * sizeof(pending_run_item))};
    if (run.items == NULL || self->run_count == PENDING_RUNS_MAX) {
        free(run.items);
        return error_set_memory("the order of pending records");
    }
    qsort_r(staged->items, staged->count, sizeof *staged->items, compare_staged, staged->keys.data);
    for (size_t i = 0; i < staged->count; i++) {
        const staged_item *item = &staged->items[i];
        if (i > 0 && compare_staged_keys(item - 1, item, staged->keys.data) == 0)
            continue;
        run.items[run.count++] = item->item;
        if (item->item.position > run.newest)
            run.newest = item->item.position;
    }
    self->runs[self->run_count++] = run;
    staged->count = 0;
    staged->keys.size = 0;
    return 0;
}

static int stage_frame(staging *staged, const journal_frame *frame)
{
    size_t offset = 0;
    journal_record record;
    int result;
    while ((result = journal_next_record(frame, &offset, &record)) == 0) {
        result = stage(staged, &record);
        if (result != 0)
            return result;
    }
    return result == MLKV_ABSENT ? 0 : result;
}

/* Q2: brings indexed_to up to the cursor. On failure the runs are as they were, or have grown by
 * whole frames. */
static int index_frames(pending *self, uint64_t cursor)
{
    uint64_t trimmed = pending_trimmed(self),
             position = self->indexed_to > trimmed ? self->indexed_to : trimmed;
    staging staged = {0};
    mlkv_buffer bytes = {0};
    int result = merge_where_due(self); /* if the last call could not */
    while (result == 0 && position < cursor) {
        journal_frame frame;
        result = journal_read_frame(self->source, position, cursor, &bytes,
                                    &frame); /* MLKV_ABSENT is JOURNAL_LOST */
        if (result == 0)
            result = stage_frame(&staged, &frame);
        if (result != 0)
            break;
        position = frame.end;
        if (position < cursor && staged.count < RUN_ITEMS_MAX &&
            staged.keys.size < RUN_KEY_BYTES_MAX)
            continue;
        result = add_run(self, &staged);
        if (result == 0) {
            self->indexed_to = position;
            result = merge_where_due(self);
        }
    }
    count_run_bytes(self);
    mlkv_buffer_free(&bytes);
    mlkv_buffer_free(&staged.keys);
    free(staged.items);
    return result;
}

/* --- queries --- */

/* Whether an item stands before a query's first key: *ret_before. The item is live or its words
 * decide. */
static int item_before(const pending *self, const pending_run_item *item, mlkv_slice key,
                       const uint64_t words[3], bool inclusive, bool *ret_before)
{
    int order = compare_words(item->words, words);
    if (order == 0 && is_long(words)) {
        unsigned char bytes[RECORD_KEY_SIZE_MAX];
        size_t size = 0;
        int result = journal_get_record_key(self->source, item->position, bytes, &size, NULL);
        if (result != 0)
            return result;
        order = slice_compare(slice_of(bytes, size), key);
    }
    *ret_before = inclusive ? order < 0 : order <= 0;
    return 0;
}

/* The first item with a key >= key (inclusive) or > key. Dead items whose words do not decide are
 * stepped over: they are not asked for their keys. */
static int find_first(const pending *self, const pending_run *run, mlkv_slice key, bool inclusive,
                      uint64_t trimmed, const pending_run_item **ret_item)
{
    uint64_t words[3];
    make_words(key, words);
    size_t low = 0, high = run->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2, probe = middle;
        while (probe < high && run->items[probe].position < trimmed && is_long(words) &&
               compare_words(run->items[probe].words, words) == 0)
            probe++;
        bool before = false;
        if (probe < high) {
            int result = item_before(self, &run->items[probe], key, words, inclusive, &before);
            if (result != 0)
                return result;
        }
        if (before)
            low = probe + 1;
        else
            high = middle;
    }
    *ret_item = run->items + low;
    return 0;
}

typedef struct {
    run_head *heads;
    size_t head_count;
    uint64_t trimmed;
    mlkv_buffer arena, value;
    pending_item *items; /* data: offsets into the arena until the end */
    size_t count, capacity;
} query;

/* Leaves *ret_best at the smallest key's newest version, all outdated ones passed; NULL at the end.
 */
static int choose(const pending *self, query *q, run_head **ret_best)
{
    run_head *best = NULL;
    for (size_t i = 0; i < q->head_count; i++) {
        run_head *head = &q->heads[i];
        if (head->at == head->end)
            continue;
        int order = -1;
        if (best != NULL) {
            int result = compare_heads(self, head, best, &order);
            if (result != 0)
                return result;
        }
        if (order == 0) /* Q1: the later run has the newer version */
            advance(best, q->trimmed);
        if (order <= 0)
            best = head;
    }
    *ret_best = best;
    return 0;
}

static int append_item(query *q, mlkv_slice key, bool is_delete)
{
    if (q->count == q->capacity) {
        size_t capacity = q->capacity == 0 ? 16 : q->capacity * 2;
        pending_item *items = realloc(q->items, capacity * sizeof *items);
        if (items == NULL)
            return error_set_memory("pending records");
        q->items = items;
        q->capacity = capacity;
    }
    size_t value_size = is_delete ? 0 : q->value.size, offset = q->arena.size;
    int result = buffer_append(&q->arena, key.data, key.size);
    if (result == 0)
        result = buffer_append(&q->arena, q->value.data, value_size);
    if (result != 0)
        return result;
    q->items[q->count++] = (pending_item){
        .key = {(const void *)offset, key.size},
        .value = {(const void *)(offset + key.size), value_size},
        .is_delete = is_delete,
    };
    return 0;
}

static int emit(const pending *self, query *q, const run_head *head)
{
    mlkv_slice key = slice_of(head->key, head->key_size);
    int result = journal_get_record(self->source, head->at->position, key, &q->value);
    if (result == JOURNAL_OTHER)
        return error_set(MLKV_E_CORRUPT, "journal: another key than %s at position %llu",
                         error_quote(key.data, key.size), (unsigned long long)head->at->position);
    if (result == JOURNAL_FOUND || result == JOURNAL_DELETED)
        return append_item(q, key, result == JOURNAL_DELETED);
    return result;
}

static int run_query(const pending *self, query *q, mlkv_slice prefix, mlkv_slice after)
{
    bool inclusive = after.size == 0 || slice_compare(after, prefix) < 0;
    for (size_t i = 0; i < self->run_count; i++) {
        const pending_run *run = &self->runs[i];
        run_head *head = &q->heads[q->head_count++];
        head->end = run->items + run->count;
        int result =
            find_first(self, run, inclusive ? prefix : after, inclusive, q->trimmed, &head->at);
        if (result != 0)
            return result;
        skip_dead(head, q->trimmed);
    }
    for (;;) {
        run_head *best = NULL;
        int result = choose(self, q, &best);
        if (result != 0 || best == NULL)
            return result;
        result = load_key(self, best);
        if (result != 0)
            return result;
        if (!slice_starts_with(slice_of(best->key, best->key_size), prefix))
            return 0;
        result = emit(self, q, best);
        if (result != 0)
            return result;
        advance(best, q->trimmed);
    }
}

static void finish(query *q, pending_copy *ret_copy)
{
    unsigned char *arena = q->arena.data;
    for (size_t i = 0; i < q->count; i++) {
        q->items[i].key.data = arena + (uintptr_t)q->items[i].key.data;
        q->items[i].value.data = arena + (uintptr_t)q->items[i].value.data;
    }
    *ret_copy = (pending_copy){q->items, q->count, arena};
    q->items = NULL;
    q->arena = (mlkv_buffer){0};
}

int pending_collect(pending *self, uint64_t cursor, mlkv_slice prefix, mlkv_slice after,
                    pending_copy *ret_copy)
{
    query q = {0};
    lock_take(&self->runs_lock);
    WATCH_POINT(HELD_RUNS);
    uint64_t applied = journal_applied(self->source);
    pending_raise_trimmed(self, applied < cursor ? applied : cursor);
    pending_drop_runs(self);
    q.trimmed = pending_trimmed(self);
    int result = index_frames(self, cursor);
    if (result == 0 && self->run_count > 0) {
        q.heads = calloc(self->run_count, sizeof *q.heads);
        result = q.heads == NULL ? error_set_memory("pending records")
                                 : run_query(self, &q, prefix, after);
    }
    if (result == 0)
        finish(&q, ret_copy);
    lock_release(&self->runs_lock);
    free(q.heads);
    free(q.items);
    mlkv_buffer_free(&q.value);
    mlkv_buffer_free(&q.arena);
    return result;
}

void pending_copy_free(pending_copy *copy)
{
    if (copy == NULL)
        return;
    free(copy->items);
    free(copy->arena);
    *copy = (pending_copy){0};
}
