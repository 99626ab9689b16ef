/* big.h - what the tests of big values share: a store whose cache and ring are far smaller than what is in it, and a model that needs no
 * copy: element r, for r from 0 below n, has the name m00000123 and a value that is computed from r.
 *
 * What is there: every r in [lo, hi), but, once there are holes, none with r % 10 == 7.
 * Elements are written in a scrambled order, in blocks of 50,000.
 */
#ifndef MLKV_TESTS_SYSTEM_BIG_H
#define MLKV_TESTS_SYSTEM_BIG_H

#include "harness.h"

#include <mlkv/mlkv.h>
#include <time.h>

enum {
    NAME_BYTES = 16,
    BATCH = 500,
    BLOCK = 50000,
    HOLE_EVERY = 10,
    HOLE_AT = 7,
    BIG_DEFAULT = 20000,
    BIG_LONG = 5000000
};

typedef struct {
    mlkv *db;
    char folder[512];
    unsigned n, lo, hi;
    bool holes, is_long;
    unsigned seed;
    double begun;
} big;

static inline unsigned big_size(void)
{
    const char *size = getenv("MLKV_BIG");
    if (size != NULL)
        return (unsigned)strtoul(size, NULL, 10);
    return getenv("MLKV_LONG") != NULL ? BIG_LONG : harness_rounds(BIG_DEFAULT);
}

static inline double big_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* In the long form: what took how long. Nothing depends on it. */
static inline void big_step(big *self, const char *what)
{
    double now = big_seconds();
    if (self->is_long)
        fprintf(stderr, "%8.2f s  %s\n", now - self->begun, what);
    self->begun = big_seconds();
}

/* Some 8 bytes of cache and of ring for each element, which takes some 60. */
static inline void big_open(big *self)
{
    size_t ring_bytes = 64 << 10;
    while (ring_bytes < self->n * (size_t)8)
        ring_bytes *= 2;
    mlkv_options options = {.size = sizeof options,
                            .cache_bytes = self->n * (size_t)8,
                            .ring_bytes = ring_bytes,
                            .batch_bytes = 32 << 20,
                            .lock_timeout_ms = 120000}; /* the machine may be busy with others */
    OK(mlkv_open(self->folder, &options, &self->db));
}

static inline void big_begin(big *self)
{
    *self = (big){.n = big_size(), .seed = 20261121, .begun = big_seconds()};
    self->is_long = self->n > BIG_DEFAULT;
    snprintf(self->folder, sizeof self->folder, "%s", harness_folder());
    self->hi = self->n;
    big_open(self);
}

static inline void big_reopen(big *self)
{
    OK(mlkv_close(self->db));
    big_open(self);
    big_step(self, "reopen");
}

static inline void big_verify(big *self)
{
    mlkv_report report = {.size = sizeof report};
    OK(mlkv_verify(self->db, NULL, NULL, &report));
    ck_assert_uint_eq(report.problems, 0);
    big_step(self, "verify");
}

/* All keys go; the cleaner has its time, and then nothing is left. */
static inline void big_end(big *self, const mlkv_slice *keys, size_t count)
{
    enum { TRIES = 1200, TRY_US = 50000 };
    size_t deleted;
    uint64_t left;
    mlkv_report report = {.size = sizeof report, .unclaimed = 1};
    OK(mlkv_key_delete(self->db, keys, count, &deleted));
    ck_assert_uint_eq(deleted, count);
    OK(mlkv_key_count(self->db, &left));
    ck_assert_uint_eq(left, 0);
    big_step(self, "delete");
    for (int i = 0; i < TRIES && report.unclaimed != 0; i++) {
        (void)usleep(TRY_US);
        OK(mlkv_verify(self->db, NULL, NULL, &report));
    }
    ck_assert_uint_eq(report.unclaimed, 0);
    ck_assert_uint_eq(report.elements, 0);
    big_step(self, "cleaned");
    OK(mlkv_close(self->db));
    harness_remove(self->folder);
}

/* --- the model --- */

/* In blocks, so that the long form is no measure of LMDB's splitting of pages at random. */
static inline unsigned scrambled(const big *self, unsigned i)
{
    unsigned begin = i / BLOCK * BLOCK, size = self->n - begin < BLOCK ? self->n - begin : BLOCK;
    return begin + (unsigned)((uint64_t)(i - begin) * 2654435761u % size); /* a prime */
}

static inline unsigned any_below(big *self, unsigned limit)
{
    self->seed = self->seed * 1664525 + 1013904223;
    return (unsigned)(((uint64_t)self->seed * limit) >> 32);
}

static inline bool is_hole(unsigned r)
{
    return r % HOLE_EVERY == HOLE_AT;
}

static inline bool is_there(const big *self, unsigned r)
{
    return r >= self->lo && r < self->hi && !(self->holes && is_hole(r));
}

/* How many below r are there: r's rank, if it is. */
static inline unsigned rank_of(const big *self, unsigned r)
{
    unsigned end = r < self->lo ? self->lo : r < self->hi ? r : self->hi;
    unsigned holes_end = (end + HOLE_EVERY - 1 - HOLE_AT) / HOLE_EVERY;
    unsigned holes_begin = (self->lo + HOLE_EVERY - 1 - HOLE_AT) / HOLE_EVERY;
    return end - self->lo - (self->holes ? holes_end - holes_begin : 0);
}

static inline unsigned big_count(const big *self)
{
    return rank_of(self, self->hi);
}

/* The element of that rank. */
static inline unsigned at_rank(const big *self, unsigned rank)
{
    unsigned low = self->lo, high = self->hi;
    while (high - low > 1) {
        unsigned middle = low + (high - low) / 2;
        if (rank_of(self, middle) <= rank)
            low = middle;
        else
            high = middle;
    }
    while (!is_there(self, low)) /* a hole has the rank of the next one */
        low++;
    return low;
}

/* --- names --- */

static inline mlkv_slice name_in(char room[NAME_BYTES], unsigned r)
{
    return slice_of(room, (size_t)snprintf(room, NAME_BYTES, "m%08u", r));
}

/* Asserts nothing where all is well: Check writes each assertion down, and this is asked for every element. */
static inline unsigned number_in(mlkv_slice name)
{
    const char *digits = name.data;
    unsigned number = 0;
    bool good = name.size == 9 && digits[0] == 'm';
    for (size_t i = 1; good && i < 9; i++) {
        good = digits[i] >= '0' && digits[i] <= '9';
        number = number * 10 + (unsigned)(digits[i] - '0');
    }
    if (!good)
        ck_abort_msg("\"%.*s\" is no name", (int)name.size, digits);
    return number;
}

/* Every name that a walk in the order of names gives: all that are to be there, and no other. */
static inline void walk_is(big *self, int kind, mlkv_slice key,
                           bool (*there)(const big *self, unsigned r))
{
    mlkv_query query = {.size = sizeof query, .kind = kind, .key = key};
    mlkv_cursor *cursor = NULL;
    mlkv_slice name;
    unsigned next = 0;
    int result;
    OK(mlkv_cursor_open(self->db, &query, &cursor));
    while ((result = mlkv_cursor_next(cursor, &name, NULL)) == MLKV_OK) {
        while (next < self->n && !there(self, next))
            next++;
        if (number_in(name) != next)
            ck_abort_msg("the walk gives %u, not %u", number_in(name), next);
        next++;
    }
    MUST(MLKV_ABSENT, result);
    while (next < self->n && !there(self, next))
        next++;
    ck_assert_uint_eq(next, self->n);
    mlkv_cursor_close(cursor);
    big_step(self, "walk over all");
}

/* --- two values: the one of the model, and another that holds all of the upper half, holes too --- */

static inline bool in_upper_half(const big *self, unsigned r)
{
    return r >= self->n / 2;
}

static inline bool in_union(const big *self, unsigned r)
{
    return is_there(self, r) || in_upper_half(self, r);
}

static inline bool in_intersection(const big *self, unsigned r)
{
    return is_there(self, r) && in_upper_half(self, r);
}

static inline bool in_difference(const big *self, unsigned r)
{
    return is_there(self, r) && !in_upper_half(self, r);
}

static inline unsigned count_of(const big *self, bool (*there)(const big *self, unsigned r))
{
    unsigned count = 0;
    for (unsigned r = 0; r < self->n; r++)
        count += there(self, r);
    return count;
}

/* Calls a function of many members with every r that is to be in it, in a scrambled order. */
static inline void with_members(big *self, mlkv_slice key, bool (*wanted)(const big *, unsigned),
                                int (*call)(mlkv *view, mlkv_slice key, const mlkv_scored *members,
                                            size_t n))
{
    static char names[BATCH][NAME_BYTES];
    mlkv_scored members[BATCH];
    size_t n = 0;
    for (unsigned i = 0; i < self->n; i++) {
        unsigned r = scrambled(self, i);
        if (wanted(self, r)) {
            members[n] = (mlkv_scored){name_in(names[n], r), r / 4};
            n++;
        }
        if (n == BATCH || (i + 1 == self->n && n > 0)) {
            OK(call(self->db, key, members, n));
            n = 0;
        }
    }
}

static inline bool in_all(const big *self, unsigned r)
{
    (void)self;
    (void)r;
    return true;
}

static inline bool in_holes(const big *self, unsigned r)
{
    (void)self;
    return is_hole(r);
}

/* Only the names. */
static inline const mlkv_slice *names_of(const mlkv_scored *members, size_t n)
{
    static mlkv_slice names[BATCH];
    for (size_t i = 0; i < n; i++)
        names[i] = members[i].member;
    return names;
}

/* The members of rows are the `count` ones from `first` on. */
static inline void rows_are(const big *self, const mlkv_rows *rows, size_t count, unsigned first)
{
    ck_assert_uint_eq(rows->count, count);
    for (size_t i = 0; i < count; i++, first++) {
        while (!is_there(self, first))
            first++;
        if (number_in(rows->items[i]) != first)
            ck_abort_msg("item %zu is %u, not %u", i, number_in(rows->items[i]), first);
    }
}

/* Rows of distinct members that are there. */
static inline void rows_are_there(const big *self, const mlkv_rows *rows, size_t count)
{
    bool *seen = calloc(self->n, sizeof *seen);
    ck_assert_ptr_nonnull(seen);
    ck_assert_uint_eq(rows->count, count);
    for (size_t i = 0; i < count; i++) {
        unsigned r = number_in(rows->items[i]);
        ck_assert(is_there(self, r) && !seen[r]);
        seen[r] = true;
    }
    free(seen);
}

#endif
