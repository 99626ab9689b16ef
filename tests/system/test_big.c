/* test_big.c - a hash, a set and a sorted set that are far larger than the cache and the ring: every operation against a model (big.h).
 *
 * Each test writes n elements in a scrambled order, reads them one by one, by rank, by range, by chance and all of them, takes some away
 * at the ends and everywhere in between, and does all this again after a transaction larger than the ring and after a reopening. The
 * deletion at the end leaves nothing, once the cleaner has had its time.
 *
 * n is 20,000; 5,000,000 if MLKV_LONG is set; MLKV_BIG sets it. test_big_list.c is the same of lists.
 */
#include "big.h"

enum { READS = 400, RANKS = 20, WINDOW = 25, TAKEN = 64 };

/* --- hash --- */

/* The first `bumped` fields have been given another value. */
typedef struct {
    big b;
    unsigned bumped;
} big_hash;

static const mlkv_slice hash_key = {"hash", 4};

static int64_t number_at(const big_hash *self, unsigned r)
{
    return (int64_t)r * 3 + (r < self->bumped);
}

/* Sets fields in a scrambled order, those below `limit`, to their numbers. */
static void set_fields(big_hash *self, mlkv *view, unsigned limit)
{
    static char names[BATCH][NAME_BYTES], values[BATCH][NAME_BYTES];
    mlkv_pair pairs[BATCH];
    size_t n = 0;
    for (unsigned i = 0; i < self->b.n; i++) {
        unsigned r = scrambled(&self->b, i);
        if (r < limit) {
            int size = snprintf(values[n], NAME_BYTES, "%lld", (long long)number_at(self, r));
            pairs[n].name = name_in(names[n], r);
            pairs[n].value = slice_of(values[n], (size_t)size);
            n++;
        }
        if (n == BATCH || i + 1 == self->b.n) {
            OK(mlkv_hash_set(view, hash_key, pairs, n, NULL));
            n = 0;
        }
    }
}

static void field_is(big_hash *self, unsigned r, mlkv_buffer *value)
{
    char room[NAME_BYTES], expected[NAME_BYTES];
    mlkv_slice field = name_in(room, r);
    int want = is_there(&self->b, r) ? MLKV_OK : MLKV_ABSENT;
    uint64_t length = 0;
    MUST(want, mlkv_hash_get(self->b.db, hash_key, field, value));
    MUST(want, mlkv_hash_exists(self->b.db, hash_key, field));
    MUST(want, mlkv_hash_value_length(self->b.db, hash_key, field, &length));
    if (want != MLKV_OK)
        return;
    int size = snprintf(expected, sizeof expected, "%lld", (long long)number_at(self, r));
    ck_assert_uint_eq(length, (size_t)size);
    ck_assert(slice_equal(slice_of(expected, (size_t)size), slice_of(value->data, value->size)));
}

static void hash_is_right(big_hash *self)
{
    big *b = &self->b;
    mlkv_buffer value = {0};
    mlkv_rows rows = {0};
    uint64_t length;
    OK(mlkv_hash_length(b->db, hash_key, &length));
    ck_assert_uint_eq(length, big_count(b));
    for (int i = 0; i < READS; i++)
        field_is(self, any_below(b, b->n + b->n / 50), &value);
    for (unsigned i = 0; i < HOLE_EVERY; i++)
        field_is(self, i, &value);
    big_step(b, "hash: get, exists, strlen");
    OK(mlkv_hash_random(b->db, hash_key, TAKEN, 1, 0, &rows));
    rows_are_there(b, &rows, TAKEN);
    big_step(b, "hash: random");
    OK(mlkv_hash_keys(b->db, hash_key, &rows));
    rows_are(b, &rows, big_count(b), b->lo);
    big_step(b, "hash: all keys");
    walk_is(b, MLKV_SCAN_HASH, hash_key, is_there);
    mlkv_buffer_free(&value);
    mlkv_rows_free(&rows);
}

/* One field in ten goes, in a scrambled order. */
static void delete_fields(big_hash *self)
{
    static char names[BATCH][NAME_BYTES];
    mlkv_slice fields[BATCH];
    size_t n = 0, deleted = 0;
    for (unsigned i = 0; i < self->b.n; i++) {
        unsigned r = scrambled(&self->b, i);
        if (is_hole(r))
            fields[n] = name_in(names[n], r), n++;
        if (n == BATCH || i + 1 == self->b.n) {
            OK(mlkv_hash_delete(self->b.db, hash_key, fields, n, &deleted));
            ck_assert_uint_eq(deleted, n);
            n = 0;
        }
    }
    self->b.holes = true;
    big_step(&self->b, "hash: delete a tenth");
}

/* A transaction of half of the fields, which is larger than the ring: given up, it has not been; committed, it is there whole. */
static void change_in_a_transaction(big_hash *self)
{
    mlkv *transaction;
    for (int commit = 0; commit < 2; commit++) {
        OK(mlkv_begin(self->b.db, &transaction));
        self->bumped = self->b.n / 2;
        set_fields(self, transaction, self->bumped);
        if (commit) {
            OK(mlkv_commit(transaction));
        } else {
            OK(mlkv_abort(transaction));
            self->bumped = 0;
        }
        big_step(&self->b, commit ? "hash: large transaction" : "hash: the same, given up");
        hash_is_right(self);
    }
}

START_TEST(hash)
{
    big_hash self = {.bumped = 0};
    int64_t number;
    char room[NAME_BYTES];
    big_begin(&self.b);
    set_fields(&self, self.b.db, self.b.n);
    big_step(&self.b, "hash: set");
    hash_is_right(&self);
    change_in_a_transaction(&self);
    delete_fields(&self);
    hash_is_right(&self);
    for (int i = 0; i < READS; i++) {
        unsigned r = any_below(&self.b, self.b.n / HOLE_EVERY) * HOLE_EVERY;
        OK(mlkv_hash_add(self.b.db, hash_key, name_in(room, r), 5, &number));
        ck_assert_int_eq(number, number_at(&self, r) + 5);
        OK(mlkv_hash_add(self.b.db, hash_key, name_in(room, r), -5, NULL));
    }
    big_step(&self.b, "hash: incrby");
    big_reopen(&self.b);
    hash_is_right(&self);
    big_verify(&self.b);
    big_end(&self.b, &hash_key, 1);
}
END_TEST

/* --- set --- */

static const mlkv_slice set_key = {"set", 3}, other_key = {"other", 5}, result_key = {"result", 6};

static int set_add(mlkv *view, mlkv_slice key, const mlkv_scored *members, size_t n)
{
    size_t added = 0;
    int result = mlkv_set_add(view, key, names_of(members, n), n, &added);
    ck_assert_uint_eq(added, n);
    return result;
}

static int set_remove(mlkv *view, mlkv_slice key, const mlkv_scored *members, size_t n)
{
    size_t removed = 0;
    int result = mlkv_set_remove(view, key, names_of(members, n), n, &removed);
    ck_assert_uint_eq(removed, n);
    return result;
}

static void set_is_right(big *b)
{
    char room[NAME_BYTES];
    mlkv_rows rows = {0};
    uint64_t count;
    uint8_t present;
    OK(mlkv_set_count(b->db, set_key, &count));
    ck_assert_uint_eq(count, big_count(b));
    for (unsigned i = 0; i < READS; i++) {
        unsigned r = i < HOLE_EVERY ? i : any_below(b, b->n + b->n / 50);
        mlkv_slice member = name_in(room, r);
        OK(mlkv_set_contains(b->db, set_key, &member, 1, &present));
        ck_assert_int_eq(present, is_there(b, r));
    }
    big_step(b, "set: contains");
    OK(mlkv_set_random(b->db, set_key, TAKEN, 1, &rows));
    rows_are_there(b, &rows, TAKEN);
    big_step(b, "set: random");
    OK(mlkv_set_members(b->db, set_key, &rows));
    rows_are(b, &rows, big_count(b), b->lo);
    big_step(b, "set: all members");
    walk_is(b, MLKV_SCAN_SET, set_key, is_there);
    mlkv_rows_free(&rows);
}

/* Random members are taken out, and come back. */
static void pop_and_return(big *b)
{
    mlkv_rows rows = {0};
    uint64_t count;
    OK(mlkv_set_pop(b->db, set_key, TAKEN, &rows));
    rows_are_there(b, &rows, TAKEN);
    OK(mlkv_set_count(b->db, set_key, &count));
    ck_assert_uint_eq(count, big_count(b) - TAKEN);
    OK(mlkv_set_add(b->db, set_key, rows.items, TAKEN, NULL));
    mlkv_rows_free(&rows);
    big_step(b, "set: pop, add again");
}

/* Each result is larger than the ring. */
static void set_algebra(big *b)
{
    static const struct {
        int (*store)(mlkv *, mlkv_slice, const mlkv_slice *, size_t, uint64_t *);
        bool (*there)(const big *, unsigned);
        const char *what;
    } cases[] = {{mlkv_set_union_store, in_union, "set: store a union"},
                 {mlkv_set_intersection_store, in_intersection, "set: store an intersection"},
                 {mlkv_set_difference_store, in_difference, "set: store a difference"}};
    mlkv_slice keys[] = {set_key, other_key};
    mlkv_rows rows = {0};
    uint64_t count;
    with_members(b, other_key, in_upper_half, set_add);
    big_step(b, "set: add another");
    for (size_t i = 0; i < 3; i++) {
        OK(cases[i].store(b->db, result_key, keys, 2, &count));
        ck_assert_uint_eq(count, count_of(b, cases[i].there));
        big_step(b, cases[i].what);
        walk_is(b, MLKV_SCAN_SET, result_key, cases[i].there);
    }
    OK(mlkv_set_union(b->db, keys, 2, &rows));
    ck_assert_uint_eq(rows.count, count_of(b, in_union));
    OK(mlkv_set_intersection_count(b->db, keys, 2, 0, &count));
    ck_assert_uint_eq(count, count_of(b, in_intersection));
    mlkv_rows_free(&rows);
    big_step(b, "set: union, count of the intersection");
}

START_TEST(set)
{
    big b;
    big_begin(&b);
    with_members(&b, set_key, in_all, set_add);
    big_step(&b, "set: add");
    set_is_right(&b);
    with_members(&b, set_key, in_holes, set_remove);
    b.holes = true;
    big_step(&b, "set: remove a tenth");
    set_is_right(&b);
    pop_and_return(&b);
    set_algebra(&b);
    big_reopen(&b);
    set_is_right(&b);
    big_verify(&b);
    big_end(&b, (mlkv_slice[]){set_key, other_key, result_key}, 3);
}
END_TEST

/* --- sorted set: member r has the score r / 4, so its rank is that of its name --- */

static const mlkv_slice zset_key = {"zset", 4};

static int zset_add(mlkv *view, mlkv_slice key, const mlkv_scored *members, size_t n)
{
    size_t added = 0;
    int result = mlkv_zset_add(view, key, members, n, 0, &added, NULL);
    ck_assert_uint_eq(added, n);
    return result;
}

static int zset_remove(mlkv *view, mlkv_slice key, const mlkv_scored *members, size_t n)
{
    size_t removed = 0;
    int result = mlkv_zset_remove(view, key, names_of(members, n), n, &removed);
    ck_assert_uint_eq(removed, n);
    return result;
}

static void member_is(big *b, unsigned r)
{
    char room[NAME_BYTES];
    mlkv_slice member = name_in(room, r);
    int want = is_there(b, r) ? MLKV_OK : MLKV_ABSENT;
    double score = 0;
    MUST(want, mlkv_zset_score(b->db, zset_key, member, &score));
    if (want == MLKV_OK)
        ck_assert(score == r / 4);
}

static void rank_is(big *b, unsigned r)
{
    char room[NAME_BYTES];
    mlkv_slice member = name_in(room, r);
    int want = is_there(b, r) ? MLKV_OK : MLKV_ABSENT;
    uint64_t rank = 0;
    MUST(want, mlkv_zset_rank(b->db, zset_key, member, 0, &rank, NULL));
    ck_assert_uint_eq(rank, want == MLKV_OK ? rank_of(b, r) : 0);
    rank = 0;
    MUST(want, mlkv_zset_rank(b->db, zset_key, member, 1, &rank, NULL));
    ck_assert_uint_eq(rank, want == MLKV_OK ? big_count(b) - 1 - rank_of(b, r) : 0);
}

static void turn_around(mlkv_rows *rows)
{
    for (size_t i = 0, j = rows->count; i + 1 < j; i++) {
        mlkv_slice item = rows->items[i];
        rows->items[i] = rows->items[--j];
        rows->items[j] = item;
    }
}

/* A window of ranks, and one of scores. */
static void ranges_are(big *b, unsigned rank, mlkv_rows *rows)
{
    unsigned count = big_count(b), r = at_rank(b, rank);
    mlkv_zset_range_spec by_rank = {
        .size = sizeof by_rank, .start = rank, .stop = rank + WINDOW - 1};
    unsigned wanted = count - rank < WINDOW ? count - rank : WINDOW;
    OK(mlkv_zset_range(b->db, zset_key, &by_rank, rows, NULL));
    rows_are(b, rows, wanted, r);
    by_rank.reverse = 1;
    by_rank.start = count - rank - wanted;
    by_rank.stop = count - rank - 1;
    OK(mlkv_zset_range(b->db, zset_key, &by_rank, rows, NULL));
    turn_around(rows);
    rows_are(b, rows, wanted, r);

    unsigned score = r / 4, first = score * 4 < b->lo ? b->lo : score * 4;
    mlkv_zset_range_spec by_score = {.size = sizeof by_score,
                                     .by = MLKV_ZSET_BY_SCORE,
                                     .min = score,
                                     .max = score + 5,
                                     .max_bound = MLKV_ZSET_EXCLUDED};
    uint64_t found;
    unsigned want = rank_of(b, score * 4 + 20) - rank_of(b, score * 4);
    OK(mlkv_zset_range(b->db, zset_key, &by_score, rows, NULL));
    rows_are(b, rows, want, first);
    OK(mlkv_zset_range_count(b->db, zset_key, &by_score, &found));
    ck_assert_uint_eq(found, want);
}

static void zset_is_right(big *b)
{
    mlkv_rows rows = {0};
    mlkv_buffer scores = {0};
    mlkv_zset_range_spec all = {.size = sizeof all, .stop = -1};
    uint64_t count;
    OK(mlkv_zset_count(b->db, zset_key, &count));
    ck_assert_uint_eq(count, big_count(b));
    for (unsigned i = 0; i < READS; i++)
        member_is(b, i < HOLE_EVERY ? i : any_below(b, b->n + b->n / 50));
    big_step(b, "zset: score");
    for (unsigned i = 0; i < RANKS; i++)
        rank_is(b, i < 2 ? HOLE_AT + i : any_below(b, b->n + b->n / 50));
    big_step(b, "zset: rank");
    for (unsigned i = 0; i < RANKS; i++)
        ranges_are(b, i == 0 ? 0 : i == 1 ? big_count(b) - 1 : any_below(b, big_count(b)), &rows);
    big_step(b, "zset: ranges");
    OK(mlkv_zset_random(b->db, zset_key, TAKEN, 1, &rows, NULL));
    rows_are_there(b, &rows, TAKEN);
    big_step(b, "zset: random");
    OK(mlkv_zset_range(b->db, zset_key, &all, &rows, &scores));
    rows_are(b, &rows, big_count(b), b->lo);
    for (size_t i = 0; i < rows.count; i++)
        if (((const double *)scores.data)[i] != number_in(rows.items[i]) / 4)
            ck_abort_msg("member %zu has another's score", i);
    big_step(b, "zset: all members");
    walk_is(b, MLKV_SCAN_ZSET, zset_key, is_there);
    mlkv_rows_free(&rows);
    mlkv_buffer_free(&scores);
}

/* Both ends by popping, and by ranges. */
static void shorten_zset(big *b)
{
    mlkv_rows rows = {0};
    mlkv_zset_range_spec range = {.size = sizeof range, .stop = TAKEN - 1};
    uint64_t removed;
    for (int i = 0; i < 4; i++) {
        OK(mlkv_zset_pop(b->db, zset_key, TAKEN, i % 2, &rows, NULL));
        if (i % 2 == 0) {
            rows_are(b, &rows, TAKEN, b->lo);
            b->lo = number_in(rows.items[TAKEN - 1]) + 1;
        } else {
            b->hi = number_in(rows.items[TAKEN - 1]);
            turn_around(&rows);
            big taken = {.lo = b->hi, .hi = b->n, .holes = b->holes};
            rows_are(&taken, &rows, TAKEN, b->hi);
        }
    }
    big_step(b, "zset: pop");
    unsigned lo = at_rank(b, TAKEN);
    OK(mlkv_zset_range_remove(b->db, zset_key, &range, &removed));
    ck_assert_uint_eq(removed, TAKEN);
    b->lo = lo;
    unsigned first = (b->hi - TAKEN) / 4; /* the members of these scores go */
    mlkv_zset_range_spec scores = {.size = sizeof scores,
                                   .by = MLKV_ZSET_BY_SCORE,
                                   .min = first,
                                   .max_bound = MLKV_ZSET_HIGHEST};
    unsigned left = rank_of(b, first * 4), before = big_count(b);
    OK(mlkv_zset_range_remove(b->db, zset_key, &scores, &removed));
    ck_assert_uint_eq(removed, before - left);
    b->hi = first * 4;
    mlkv_rows_free(&rows);
    big_step(b, "zset: remove ranges");
}

/* The scores of a union of both are added up; each result is larger than the ring. */
static void zset_algebra(big *b)
{
    mlkv_slice keys[] = {zset_key, other_key};
    mlkv_zset_range_spec all = {.size = sizeof all, .stop = -1};
    mlkv_rows rows = {0};
    mlkv_buffer scores = {0};
    uint64_t count;
    with_members(b, other_key, in_upper_half, zset_add);
    big_step(b, "zset: add another");
    OK(mlkv_zset_union_store(b->db, result_key, keys, 2, (double[]){1, 2}, MLKV_ZSET_SUM, &count));
    ck_assert_uint_eq(count, count_of(b, in_union));
    big_step(b, "zset: store a union");
    walk_is(b, MLKV_SCAN_ZSET, result_key, in_union);
    OK(mlkv_zset_range(b->db, result_key, &all, &rows, &scores));
    ck_assert_uint_eq(rows.count, count);
    for (size_t i = 0; i < rows.count; i++) {
        unsigned r = number_in(rows.items[i]);
        unsigned want = (is_there(b, r) ? 1u : 0u) + (in_upper_half(b, r) ? 2u : 0u);
        if (((const double *)scores.data)[i] != (double)want * (r / 4))
            ck_abort_msg("the sum of %u is wrong", r);
    }
    OK(mlkv_zset_intersection_store(b->db, result_key, keys, 2, NULL, MLKV_ZSET_MIN, &count));
    ck_assert_uint_eq(count, count_of(b, in_intersection));
    big_step(b, "zset: store an intersection");
    walk_is(b, MLKV_SCAN_ZSET, result_key, in_intersection);
    OK(mlkv_zset_difference_store(b->db, result_key, keys, 2, &count));
    ck_assert_uint_eq(count, count_of(b, in_difference));
    big_step(b, "zset: store a difference");
    walk_is(b, MLKV_SCAN_ZSET, result_key, in_difference);
    OK(mlkv_zset_intersection_count(b->db, keys, 2, 0, &count));
    ck_assert_uint_eq(count, count_of(b, in_intersection));
    big_step(b, "zset: count of the intersection");
    mlkv_rows_free(&rows);
    mlkv_buffer_free(&scores);
}

START_TEST(zset)
{
    big b;
    big_begin(&b);
    with_members(&b, zset_key, in_all, zset_add);
    big_step(&b, "zset: add");
    zset_is_right(&b);
    with_members(&b, zset_key, in_holes, zset_remove);
    b.holes = true;
    big_step(&b, "zset: remove a tenth");
    shorten_zset(&b);
    zset_is_right(&b);
    zset_algebra(&b);
    big_reopen(&b);
    zset_is_right(&b);
    big_verify(&b);
    big_end(&b, (mlkv_slice[]){zset_key, other_key, result_key}, 3);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("system/big");
    TCase *tcase = harness_case(suite, "big");
    tcase_set_timeout(tcase, 3600);
    tcase_add_test(tcase, hash);
    tcase_add_test(tcase, set);
    tcase_add_test(tcase, zset);
    return harness_run(suite);
}
