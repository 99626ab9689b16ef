/* zset_model.h - a sorted array that says what a sorted set should, and random steps that go to both. */
#ifndef MLKV_TESTS_TYPES_ZSET_MODEL_H
#define MLKV_TESTS_TYPES_ZSET_MODEL_H

#include "types/zsets.h"

enum { MODEL_NAMES_MAX = 2000, MODEL_NAME_SIZE_MAX = 800 };

/* The names that steps choose from: number i of the model. */
typedef struct {
    unsigned names;  /* how many there are */
    bool long_names; /* some of them are tied: they differ only far behind */
    unsigned scores; /* different scores; few of them make many equal ones */
} model_kind;

typedef struct {
    const model_kind *kind;
    bool present[MODEL_NAMES_MAX];
    double score[MODEL_NAMES_MAX];
} zset_model;

/* A kind's names are made once and kept: a test program uses few kinds. */
static inline mlkv_slice model_name(const model_kind *kind, unsigned number)
{
    static const model_kind *kept;
    static char(*memory)[MODEL_NAME_SIZE_MAX];
    static size_t kept_size[MODEL_NAMES_MAX];
    /* around the sizes at which keys become tied and long (478, 494), ending alike or not */
    static const size_t sizes[] = {3, 477, 478, 479, 480, 493, 494, 495, 700};
    if (kept != kind) {
        free(memory);
        memory = calloc(kind->names, sizeof *memory);
        ck_assert_ptr_nonnull(memory);
        for (unsigned i = 0; i < kind->names; i++) {
            char *name = memory[i];
            size_t size = kind->long_names ? sizes[i % 9] : 1;
            memset(name, !kind->long_names ? 'm' : i % 4 < 2 ? 'x' : 0xff, size);
            kept_size[i] = size;
            if (!kind->long_names || i >= 9)
                kept_size[i] += (size_t)snprintf(name + size, 16, "%u", i * 7919 % 10007);
        }
        kept = kind;
    }
    return slice_of(memory[number], kept_size[number]);
}

static const zset_model *model_sorted; /* by qsort */

static inline int model_compare(const void *left, const void *right)
{
    const unsigned *a = left, *b = right;
    const double *scores = model_sorted->score;
    if (scores[*a] != scores[*b])
        return scores[*a] < scores[*b] ? -1 : 1;
    return slice_compare(model_name(model_sorted->kind, *a), model_name(model_sorted->kind, *b));
}

/* Numbers of the members that are there, in their order. */
static inline unsigned model_order(const zset_model *model, unsigned *ret_numbers)
{
    unsigned n = 0;
    for (unsigned i = 0; i < model->kind->names; i++)
        if (model->present[i])
            ret_numbers[n++] = i;
    model_sorted = model;
    qsort(ret_numbers, n, sizeof *ret_numbers, model_compare);
    return n;
}

static inline void model_same(const zset_model *model, const unsigned *numbers, unsigned n,
                              bool reverse, const mlkv_rows *rows, const mlkv_buffer *scores)
{
    ck_assert_uint_eq(rows->count, n);
    for (unsigned i = 0; i < n; i++) {
        unsigned number = numbers[reverse ? n - 1 - i : i];
        if (!slice_equal(rows->items[i], model_name(model->kind, number)))
            ck_abort_msg("another member at %u of %u", i, n);
        if (((const double *)scores->data)[i] != model->score[number])
            ck_abort_msg("another score at %u of %u", i, n);
    }
}

/* Ranges of all three kinds, ranks and counts, a few by chance. */
static inline void model_check(mlkv *view, mlkv_slice key, const zset_model *model, unsigned *seed,
                               int questions)
{
    unsigned numbers[MODEL_NAMES_MAX];
    unsigned n = model_order(model, numbers);
    mlkv_rows rows = {0};
    mlkv_buffer scores = {0};
    mlkv_zset_range_spec range = {.size = sizeof range, .stop = -1};
    uint64_t count;
    OK(mlkv_zset_count(view, key, &count));
    ck_assert_uint_eq(count, n);
    OK(mlkv_zset_range(view, key, &range, &rows, &scores));
    model_same(model, numbers, n, false, &rows, &scores);
    for (int i = 0; i < questions && n != 0; i++) {
        unsigned a = (unsigned)rand_r(seed) % n, b = (unsigned)rand_r(seed) % n;
        bool reverse = rand_r(seed) % 2;
        if (a > b) {
            unsigned swap = a;
            a = b;
            b = swap;
        }
        uint64_t rank;
        double score;
        OK(mlkv_zset_rank(view, key, model_name(model->kind, numbers[a]), reverse, &rank, &score));
        ck_assert_uint_eq(rank, reverse ? n - 1 - a : a);
        ck_assert(score == model->score[numbers[a]]);
        b = b - a > 40 ? a + 40 : b;
        range = (mlkv_zset_range_spec){.size = sizeof range,
                                       .reverse = reverse,
                                       .start = reverse ? n - 1 - b : a,
                                       .stop = reverse ? n - 1 - a : b};
        OK(mlkv_zset_range(view, key, &range, &rows, &scores));
        model_same(model, numbers + a, b - a + 1, reverse, &rows, &scores);
        double low = model->score[numbers[a]], high = model->score[numbers[b]];
        unsigned first = a, last = b;
        while (first != 0 && model->score[numbers[first - 1]] == low)
            first--;
        while (last + 1 < n && model->score[numbers[last + 1]] == high)
            last++;
        range = (mlkv_zset_range_spec){.size = sizeof range,
                                       .by = MLKV_ZSET_BY_SCORE,
                                       .reverse = reverse,
                                       .min = low,
                                       .max = high};
        OK(mlkv_zset_range_count(view, key, &range, &count));
        ck_assert_uint_eq(count, last - first + 1);
        range.limited = 1;
        range.offset = rand_r(seed) % 3;
        range.limit = rand_r(seed) % 30;
        OK(mlkv_zset_range(view, key, &range, &rows, &scores));
        unsigned skipped =
            (unsigned)range.offset < last - first + 1 ? (unsigned)range.offset : last - first + 1;
        unsigned left = last - first + 1 - skipped;
        left = left < (unsigned)range.limit ? left : (unsigned)range.limit;
        model_same(model, numbers + (reverse ? last + 1 - skipped - left : first + skipped), left,
                   reverse, &rows, &scores);
        if (model->score[numbers[0]] != model->score[numbers[n - 1]])
            continue;
        range = (mlkv_zset_range_spec){.size = sizeof range,
                                       .by = MLKV_ZSET_BY_MEMBER,
                                       .reverse = reverse,
                                       .min_bound = rand_r(seed) % 2,
                                       .max_bound = rand_r(seed) % 2};
        range.min_member = model_name(model->kind, numbers[a]);
        range.max_member = model_name(model->kind, numbers[b]);
        OK(mlkv_zset_range_count(view, key, &range, &count));
        uint64_t all = b - a + 1, cut = (uint64_t)(range.min_bound + range.max_bound);
        ck_assert_uint_eq(count, all > cut ? all - cut : 0);
    }
    mlkv_rows_free(&rows);
    mlkv_buffer_free(&scores);
}

static inline double model_score(const model_kind *kind, unsigned *seed)
{
    return (double)((unsigned)rand_r(seed) % kind->scores) - kind->scores / 2;
}

static inline void model_add(mlkv *view, mlkv_slice key, zset_model *model, unsigned number,
                             double score)
{
    mlkv_scored pair = {model_name(model->kind, number), score};
    size_t added, changed;
    OK(mlkv_zset_add(view, key, &pair, 1, 0, &added, &changed));
    ck_assert_uint_eq(added, !model->present[number]);
    ck_assert_uint_eq(changed, !model->present[number] || model->score[number] != score);
    model->present[number] = true;
    model->score[number] = score;
}

static inline void model_remove_range(mlkv *view, mlkv_slice key, zset_model *model, unsigned *seed)
{
    unsigned numbers[MODEL_NAMES_MAX];
    unsigned n = model_order(model, numbers);
    if (n == 0)
        return;
    unsigned a = (unsigned)rand_r(seed) % n, size = (unsigned)rand_r(seed) % 5;
    unsigned taken = size < n - a ? size : n - a;
    uint64_t removed;
    if (rand_r(seed) % 2) {
        mlkv_zset_range_spec range = {
            .size = sizeof range, .start = a, .stop = (int64_t)a + size - 1};
        OK(mlkv_zset_range_remove(view, key, &range, &removed));
        ck_assert_uint_eq(removed, size == 0 && a == 0 ? n : taken);
        if (size == 0 && a == 0) {
            memset(model->present, 0, sizeof model->present);
            return;
        }
    } else {
        bool highest = rand_r(seed) % 2;
        mlkv_rows rows = {0};
        mlkv_buffer scores = {0};
        a = highest ? n - (size < n ? size : n) : 0;
        taken = size < n ? size : n;
        OK(mlkv_zset_pop(view, key, size, highest, &rows, &scores));
        model_same(model, numbers + a, taken, highest, &rows, &scores);
        mlkv_rows_free(&rows);
        mlkv_buffer_free(&scores);
    }
    for (unsigned i = a; i < a + taken; i++)
        model->present[numbers[i]] = false;
}

/* One random change to both. */
static inline void model_step(mlkv *view, mlkv_slice key, zset_model *model, unsigned *seed)
{
    unsigned number = (unsigned)rand_r(seed) % model->kind->names;
    switch (rand_r(seed) % 8) {
    case 0: {
        mlkv_slice name = model_name(model->kind, number);
        size_t removed;
        OK(mlkv_zset_remove(view, key, &name, 1, &removed));
        ck_assert_uint_eq(removed, model->present[number]);
        model->present[number] = false;
        break;
    }
    case 1:
        model_remove_range(view, key, model, seed);
        break;
    case 2: {
        double sum;
        OK(mlkv_zset_add_score(view, key, model_name(model->kind, number), 1, 0, &sum));
        model->score[number] = model->present[number] ? model->score[number] + 1 : 1;
        model->present[number] = true;
        ck_assert(sum == model->score[number]);
        break;
    }
    default:
        model_add(view, key, model, number, model_score(model->kind, seed));
    }
}

#endif
