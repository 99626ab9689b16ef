/* top_k.c - the nearest rows of a tensor (mlkv_tensor_top_k): all rows against all queries, block by block.
 *
 *   a block of rows is read --> the threads score its parts --> the threads, a query each, take over what is better than their worst
 *
 * State of a call: the block, the floats that it becomes if it holds other numbers, a score for each row of the block and each query, and a
 * heap of k entries a query with the worst at its top.
 *
 * Invariants
 *   1. An entry is better than another by its score, then by its lower row: results do not depend on blocks or threads.
 *   2. Rows come in the order of their numbers; each is looked at once, or all of them again from the start if the tensor turned out
 *      to be another one than the call began with.
 *   3. Tasks write where no other does: a part's scores, a query's heap.
 * Locks: none.
 */
#include <stdbool.h>

#include <mlkv/tensor.h>
#include <mlkv/top_k.h>

#include "base/error.h"
#include "types/argument.h"
#include "types/top_k_score.h"
#include "view/op.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK_BYTES = 4 << 20, /* of floats: read and left again before it leaves the cache */
    PART_BYTES = 256 << 10,
    SCORES_MAX = 4 << 20, /* of one block, all queries: fewer rows if there are many of these */
    RESTARTS_MAX = 8,
};

typedef struct {
    float score;
    uint64_t row;
} entry;

typedef struct {
    const mlkv_top_k *query;
    mlkv_tensor_info info;
    size_t width;      /* numbers in a row */
    size_t block_rows; /* at most */
    size_t part_rows;
    float *queries, *lengths; /* aligned copies, and for the cosine their lengths */
    unsigned char *raw;       /* the block as stored; NULL: floats are what is stored */
    float *floats, *scores;   /* scores: of query q from q * block_rows on */
    entry *heaps;             /* of query q from q * k on */
    size_t *counts;
    uint64_t first; /* row of the block */
    size_t rows;    /* in it */
} search;

/* --- heaps --- */

static bool is_better(entry a, entry b)
{
    return a.score > b.score || (a.score == b.score && a.row < b.row);
}

/* Puts an entry where there is a hole at `at`, below which the heap is in order. */
static void sink(entry *heap, size_t count, size_t at, entry moved)
{
    for (;;) {
        size_t worse = 2 * at + 1;
        if (worse >= count)
            break;
        if (worse + 1 < count && is_better(heap[worse], heap[worse + 1]))
            worse++;
        if (!is_better(moved, heap[worse]))
            break;
        heap[at] = heap[worse];
        at = worse;
    }
    heap[at] = moved;
}

static void rise(entry *heap, size_t at, entry moved)
{
    while (at != 0 && is_better(heap[(at - 1) / 2], moved)) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = moved;
}

static void offer(search *self, size_t q, entry offered)
{
    size_t k = self->query->k;
    entry *heap = self->heaps + q * k;
    if (self->counts[q] < k)
        rise(heap, self->counts[q]++, offered);
    else if (is_better(offered, heap[0]))
        sink(heap, k, 0, offered);
}

/* --- a block --- */

static bool may_be_found(const mlkv_top_k *query, uint64_t row)
{
    return query->filter == NULL ||
           (row / 8 < query->filter_bytes && (query->filter[row / 8] >> row % 8 & 1) != 0);
}

/* Task: the scores of a part of the block with all queries. */
static int score_part(void *context, size_t i)
{
    const search *self = context;
    size_t at = i * self->part_rows,
           rows = self->rows - at < self->part_rows ? self->rows - at : self->part_rows;
    float *floats = self->floats + at * self->width;
    if (self->raw != NULL)
        score_floats(self->info.tensor.dtype, self->raw + at * (size_t)self->info.row_bytes,
                     rows * self->width, floats);
    for (size_t q = 0; q < self->query->n; q++)
        score_rows((mlkv_metric)self->query->metric, floats, rows, self->width,
                   self->queries + q * self->width, self->lengths[q],
                   self->scores + q * self->block_rows + at);
    return MLKV_OK;
}

/* Task: what the block has for one query. A NaN is not better than anything. */
static int take_best(void *context, size_t q)
{
    search *self = context;
    const float *scores = self->scores + q * self->block_rows;
    size_t k = self->query->k;
    const entry *heap = self->heaps + q * k;
    for (size_t i = 0; i < self->rows; i++) {
        bool full = self->counts[q] == k;
        if (full ? scores[i] > heap[0].score : !isnan(scores[i]))
            if (may_be_found(self->query, self->first + i))
                offer(self, q, (entry){scores[i], self->first + i});
    }
    return MLKV_OK;
}

static bool block_has_any(const search *self)
{
    if (self->query->filter == NULL)
        return true;
    for (size_t i = 0; i < self->rows; i++)
        if (may_be_found(self->query, self->first + i))
            return true;
    return false;
}

static int do_block(mlkv *view, mlkv_slice key, search *self)
{
    size_t bytes = self->rows * (size_t)self->info.row_bytes;
    if (!block_has_any(self))
        return MLKV_OK;
    int result = mlkv_tensor_read_rows(view, key, self->first, self->rows,
                                       self->raw != NULL ? (void *)self->raw : self->floats, bytes);
    size_t parts = (self->rows + self->part_rows - 1) / self->part_rows;
    uint64_t work = (uint64_t)self->rows * self->width * sizeof(float) * self->query->n;
    if (result == MLKV_OK)
        result = op_share(view, work, score_part, self, parts);
    if (result == MLKV_OK)
        result = op_share(view, (uint64_t)self->rows * self->query->n * sizeof(float), take_best,
                          self, self->query->n);
    return result;
}

/* --- a call --- */

static int make_queries(search *self)
{
    const mlkv_top_k *query = self->query;
    self->queries = malloc(query->query_bytes + 1);
    self->lengths = calloc(query->n + 1, sizeof *self->lengths);
    self->counts = calloc(query->n + 1, sizeof *self->counts);
    self->heaps = reallocarray(NULL, query->n * query->k + 1, sizeof *self->heaps);
    if (self->queries == NULL || self->lengths == NULL || self->counts == NULL ||
        self->heaps == NULL)
        return error_set_memory("the best rows");
    if (query->query_bytes != 0)
        memcpy(self->queries, query->queries, query->query_bytes);
    for (size_t q = 0; q < query->n; q++)
        self->lengths[q] = score_length(self->queries + q * self->width, self->width);
    return MLKV_OK;
}

static int make_block(search *self)
{
    size_t row_floats = self->width * sizeof(float);
    size_t rows = row_floats == 0 ? BLOCK_BYTES : BLOCK_BYTES / row_floats;
    if (self->query->n != 0 && rows > SCORES_MAX / self->query->n)
        rows = SCORES_MAX / self->query->n;
    rows = rows == 0 ? 1 : rows;
    self->block_rows = rows > self->info.rows ? (size_t)self->info.rows : rows;
    self->part_rows = row_floats == 0 || PART_BYTES / row_floats == 0 ? 1 : PART_BYTES / row_floats;
    bool is_float = self->info.tensor.dtype == MLKV_F32;
    self->floats = reallocarray(NULL, self->block_rows + 1, row_floats + 1);
    self->scores = reallocarray(NULL, self->block_rows * self->query->n + 1, sizeof(float));
    if (!is_float)
        self->raw = reallocarray(NULL, self->block_rows + 1, (size_t)self->info.row_bytes + 1);
    if (self->floats == NULL || self->scores == NULL || (!is_float && self->raw == NULL))
        return error_set_memory("a block of rows");
    return MLKV_OK;
}

static void free_search(search *self)
{
    free(self->queries);
    free(self->lengths);
    free(self->counts);
    free(self->heaps);
    free(self->raw);
    free(self->floats);
    free(self->scores);
    *self = (search){.query = self->query};
}

static int check_table(mlkv_slice key, search *self)
{
    const mlkv_tensor *tensor = &self->info.tensor;
    size_t element = mlkv_dtype_size((mlkv_dtype)tensor->dtype), wanted;
    const char *name = error_quote(key.data, key.size);
    if (tensor->dimensions == 0 || !score_known(tensor->dtype))
        return error_set(MLKV_E_SHAPE, "tensor '%s' is no table of vectors: %u dimensions of %s",
                         name, tensor->dimensions, mlkv_dtype_name((mlkv_dtype)tensor->dtype));
    self->width = (size_t)(self->info.row_bytes / element);
    if (__builtin_mul_overflow(self->query->n, self->width, &wanted) ||
        __builtin_mul_overflow(wanted, sizeof(float), &wanted) ||
        wanted != self->query->query_bytes)
        return error_set(
            MLKV_E_SHAPE,
            "%zu queries of %zu bytes in all for tensor '%s', whose rows have %zu numbers",
            self->query->n, self->query->query_bytes, name, self->width);
    return MLKV_OK;
}

static bool is_same_table(const mlkv_tensor_info *a, const mlkv_tensor_info *b)
{
    return a->tensor.dtype == b->tensor.dtype && a->row_bytes == b->row_bytes;
}

/* Over the table as it is: MLKV_OK; MLKV_E_SHAPE, and *ret_moved: it is another one by now. */
static int search_once(mlkv *view, mlkv_slice key, search *self, bool *ret_moved)
{
    self->info.size = sizeof self->info;
    int result = mlkv_tensor_get_info(view, key, &self->info);
    if (result == MLKV_OK)
        result = check_table(key, self);
    *ret_moved = result == MLKV_OK;
    if (result == MLKV_OK)
        result = make_queries(self);
    if (result == MLKV_OK)
        result = make_block(self);
    for (self->first = 0; self->first < self->info.rows && result == MLKV_OK;
         self->first += self->rows) {
        uint64_t left = self->info.rows - self->first;
        self->rows = left < self->block_rows ? (size_t)left : self->block_rows;
        result = do_block(view, key, self);
    }
    mlkv_tensor_info now = {.size = sizeof now};
    if (result == MLKV_OK)
        result = mlkv_tensor_get_info(view, key, &now);
    if (result == MLKV_OK && !is_same_table(&now, &self->info))
        result = error_set(MLKV_E_SHAPE, "tensor '%s' is replaced again and again",
                           error_quote(key.data, key.size));
    return result;
}

static int compare_entries(const void *a, const void *b)
{
    const entry *left = a, *right = b;
    return is_better(*left, *right) ? -1 : is_better(*right, *left);
}

static void give(search *self, uint64_t *ret_rows, float *ret_scores, size_t *ret_counts)
{
    size_t k = self->query->k;
    float sign = self->query->metric == MLKV_L2 ? -1 : 1;
    for (size_t q = 0; q < self->query->n; q++) {
        entry *found = self->heaps + q * k;
        qsort(found, self->counts[q], sizeof *found, compare_entries);
        for (size_t i = 0; i < k; i++) {
            bool there = i < self->counts[q];
            ret_rows[q * k + i] = there ? found[i].row : UINT64_MAX;
            if (ret_scores != NULL)
                ret_scores[q * k + i] = there ? sign * found[i].score : NAN;
        }
        if (ret_counts != NULL)
            ret_counts[q] = self->counts[q];
    }
}

static int check_call(const mlkv *view, mlkv_slice key, const mlkv_top_k *query,
                      const uint64_t *ret_rows)
{
    size_t bytes;
    int result = argument_view_key(view, key);
    if (result == MLKV_OK)
        result = argument_pointer(query, "query");
    if (result == MLKV_OK && query->size != sizeof *query)
        return error_set(MLKV_E_ARGUMENT, "query->size is %zu, not %zu", query->size,
                         sizeof *query);
    if (result == MLKV_OK && (query->metric < MLKV_INNER_PRODUCT || query->metric > MLKV_L2))
        return error_set(MLKV_E_ARGUMENT, "query->metric %d is unknown", query->metric);
    if (result == MLKV_OK && (query->reserved != 0 || query->k == 0))
        return error_set(MLKV_E_ARGUMENT, "query->%s",
                         query->k == 0 ? "k is 0" : "reserved is not 0");
    if (result == MLKV_OK && query->query_bytes != 0)
        result = argument_pointer(query->queries, "query->queries");
    if (result == MLKV_OK && query->filter_bytes != 0)
        result = argument_pointer(query->filter, "query->filter");
    if (result == MLKV_OK && query->n != 0)
        result = argument_pointer(ret_rows, "ret_rows");
    if (result == MLKV_OK &&
        (__builtin_mul_overflow(query->n, query->k, &bytes) ||
         __builtin_mul_overflow(bytes, sizeof(entry), &bytes) || bytes > SIZE_MAX / 4))
        result = error_set(MLKV_E_SIZE, "%zu rows for each of %zu queries", query->k, query->n);
    return result;
}

int mlkv_tensor_top_k(mlkv *view, mlkv_slice key, const mlkv_top_k *query, uint64_t *ret_rows,
                      float *ret_scores, size_t *ret_counts)
{
    search self = {.query = query};
    bool moved = false;
    int result = check_call(view, key, query, ret_rows);
    if (result != MLKV_OK)
        return result;
    for (int i = 0; i < RESTARTS_MAX; i++) {
        result = search_once(view, key, &self, &moved);
        if (result != MLKV_E_SHAPE || !moved)
            break;
        free_search(&self);
    }
    if (result == MLKV_OK)
        give(&self, ret_rows, ret_scores, ret_counts);
    free_search(&self);
    return result;
}
