/* test_ranks.c - the table of counted trees by itself: making, changes meanwhile, forgetting, the budget, who was asked last. */
#include "engine/ranks.h"

#include "base/record.h"
#include "harness.h"

#include <pthread.h>

static ranks_budget budget;

static ranks *create(size_t bytes_max, bool gives_back)
{
    budget.bytes_max = bytes_max;
    atomic_store(&budget.bytes, 0);
    ranks *self = ranks_create(&budget, gives_back);
    ck_assert_ptr_nonnull(self);
    return self;
}

static mlkv_slice key_of(uint64_t id, uint64_t number)
{
    static _Thread_local unsigned char memory[4][17];
    static _Thread_local unsigned next;
    unsigned char *key = memory[next++ % 4];
    key[0] = RECORD_ORDER;
    store_be64(key + 1, id);
    store_be64(key + 9, number);
    return slice_of(key, 17);
}

static mlkv_slice prefix_of(uint64_t id)
{
    return slice_of(key_of(id, 0).data, RANKS_PREFIX_SIZE);
}

static counted *tree_of(uint64_t n)
{
    counted *tree = counted_create();
    ck_assert_ptr_nonnull(tree);
    for (uint64_t i = 0; i < n; i++)
        OK(counted_insert(tree,
                          slice_of((const unsigned char *)key_of(0, i * 2654435761u).data + 9, 8)));
    return tree;
}

static void begin(ranks *self, uint64_t id, ranks_state expected)
{
    ranks_state state = RANKS_READY;
    OK(ranks_begin(self, prefix_of(id), 100, &state));
    ck_assert_int_eq(state, expected);
}

static void finish(ranks *self, uint64_t id, uint64_t n)
{
    counted *tree = tree_of(n); /* before the prefix: keys stand in one place */
    ranks_finish(self, prefix_of(id), tree);
}

static void make(ranks *self, uint64_t id, uint64_t n)
{
    begin(self, id, RANKS_NONE);
    finish(self, id, n);
}

static ranks_state look(ranks *self, uint64_t id)
{
    return ranks_look(self, prefix_of(id), 100);
}

static void change(ranks *self, uint64_t id, uint64_t number, bool is_delete)
{
    bool held = false;
    ranks_change(self, key_of(id, number), is_delete, &held);
    ranks_changed(self, held);
}

static uint64_t count_of(ranks *self, uint64_t id)
{
    const counted *tree = ranks_use(self, prefix_of(id));
    ck_assert_ptr_nonnull(tree);
    uint64_t count = counted_count(tree);
    ranks_unuse(self);
    return count;
}

START_TEST(making)
{
    ranks *self = create(1 << 20, true);
    ck_assert(!ranks_watch(self));
    ck_assert_int_eq(look(self, 1), RANKS_NONE);
    ck_assert_ptr_null(ranks_use(self, prefix_of(1)));
    begin(self, 1, RANKS_NONE);
    ck_assert(ranks_watch(self));
    begin(self, 1, RANKS_MAKING);
    ck_assert_ptr_null(ranks_use(self, prefix_of(1)));
    change(self, 1, 7, false); /* noted, and added at the end */
    change(self, 1, 0, true);
    change(self, 2, 8, false); /* another's */
    finish(self, 1, 10);
    ck_assert_int_eq(look(self, 1), RANKS_READY);
    begin(self, 1, RANKS_READY);
    ck_assert_uint_eq(count_of(self, 1), 10);
    change(self, 1, 7, false);
    change(self, 1, 9, false);
    ck_assert_uint_eq(count_of(self, 1), 11);
    ck_assert_uint_ne(atomic_load(&budget.bytes), 0);
    ranks_reset(self);
    ck_assert(look(self, 1) == RANKS_NONE && !ranks_watch(self));
    ck_assert_uint_eq(atomic_load(&budget.bytes), 0);
    ranks_destroy(self);
    ranks_destroy(NULL);
}
END_TEST

START_TEST(lost_while_made)
{
    ranks *self = create(1 << 20, true);
    begin(self, 1, RANKS_NONE);
    change(self, 1, 7, false);
    ranks_reset(self);
    change(self, 1, 8, false);
    finish(self, 1, 10);
    ck_assert_int_eq(look(self, 1), RANKS_NONE);
    begin(self, 1, RANKS_NONE);
    ranks_abandon(self, prefix_of(1), 0);
    ck_assert_int_eq(look(self, 1), RANKS_NONE);
    ck_assert(!ranks_watch(self));
    ck_assert_uint_eq(atomic_load(&budget.bytes), 0);
    ranks_destroy(self);
}
END_TEST

/* More notes than are added under the lock at once. */
START_TEST(many_changes_while_made)
{
    ranks *self = create(64 << 20, true);
    begin(self, 1, RANKS_NONE);
    for (uint64_t i = 0; i < 50000; i++)
        change(self, 1, i, i % 3 == 2);
    for (uint64_t i = 0; i < 50000; i += 2)
        change(self, 1, i, true);
    finish(self, 1, 0);
    uint64_t wanted = 0;
    for (uint64_t i = 0; i < 50000; i++)
        wanted += i % 3 != 2 && i % 2 != 0;
    ck_assert_uint_eq(count_of(self, 1), wanted);
    ranks_destroy(self);
}
END_TEST

START_TEST(the_oldest_goes)
{
    ranks *self = create(1 << 20, true);
    make(self, 1, 1000);
    size_t one = atomic_load(&budget.bytes);
    budget.bytes_max = one * 3 + one / 2;
    for (uint64_t id = 2; id <= 3; id++)
        make(self, id, 1000);
    for (uint64_t id = 1; id <= 3; id++)
        (void)count_of(self, id);
    (void)count_of(self, 1);
    make(self, 4, 1000);
    ck_assert(look(self, 1) == RANKS_READY && look(self, 2) == RANKS_NONE);
    ck_assert(look(self, 3) == RANKS_READY && look(self, 4) == RANKS_READY);
    for (uint64_t i = 0; i < 2000; i++) /* one grows, and others make room */
        change(self, 4, i, false);
    ck_assert_int_eq(look(self, 4), RANKS_READY);
    ck_assert_uint_le(atomic_load(&budget.bytes), budget.bytes_max);
    for (uint64_t i = 0; i < 20000; i++) /* until it does not fit alone */
        change(self, 4, i * 1000003, false);
    ck_assert_int_eq(ranks_look(self, prefix_of(4), 20000), RANKS_REFUSED);
    ck_assert_int_eq(ranks_look(self, prefix_of(4), 10),
                     RANKS_NONE); /* it would, if it were small again */
    ck_assert_uint_eq(atomic_load(&budget.bytes), 0);
    ranks_bury(self);
    ranks_destroy(self);
}
END_TEST

START_TEST(refused)
{
    ranks *self = create(1 << 20, true);
    ck_assert_int_eq(ranks_look(self, prefix_of(1), 1 << 30), RANKS_REFUSED);
    begin(self, 1, RANKS_NONE);
    ranks_abandon(self, prefix_of(1), 100);
    ck_assert_int_eq(look(self, 1), RANKS_REFUSED);
    ck_assert_int_eq(ranks_look(self, prefix_of(1), 49), RANKS_NONE);
    begin(self, 1, RANKS_REFUSED);
    ck_assert(!ranks_watch(self));
    ranks_reset(self);
    ck_assert_int_eq(look(self, 1), RANKS_NONE);
    for (uint64_t id = 0; id < 40000; id++) { /* the table stays within its bounds */
        begin(self, id, RANKS_NONE);
        ranks_abandon(self, prefix_of(id), 100);
    }
    ck_assert_int_eq(look(self, 39999), RANKS_REFUSED);
    ranks_destroy(self);
}
END_TEST

/* A snapshot's give nothing back: what does not fit beside the others is not made. */
START_TEST(shared_budget)
{
    ranks *self = create(1 << 20, true);
    make(self, 1, 1000);
    size_t one = atomic_load(&budget.bytes);
    budget.bytes_max = one + one / 2;
    ranks *other = ranks_create(&budget, false);
    ck_assert_uint_lt(ranks_room(other), one);
    begin(other, 2, RANKS_NONE);
    finish(other, 2, 1000);
    ck_assert_int_eq(ranks_look(other, prefix_of(2), 1000), RANKS_REFUSED);
    ck_assert_int_eq(look(self, 1), RANKS_READY);
    ranks_destroy(other);
    ck_assert_uint_eq(atomic_load(&budget.bytes), one);
    ranks_destroy(self);
    ck_assert_uint_eq(atomic_load(&budget.bytes), 0);
}
END_TEST

static _Atomic bool finished;

static void *wait_for_it(void *argument)
{
    ranks_wait(argument, prefix_of(1));
    ck_assert(atomic_load(&finished));
    ck_assert_uint_eq(count_of(argument, 1), 500);
    return NULL;
}

START_TEST(waiting)
{
    ranks *self = create(1 << 20, true);
    pthread_t thread;
    begin(self, 1, RANKS_NONE);
    ck_assert_int_eq(pthread_create(&thread, NULL, wait_for_it, self), 0);
    counted *tree = tree_of(500);
    atomic_store(&finished, true);
    ranks_finish(self, prefix_of(1), tree);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ranks_destroy(self);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ranks");
    TCase *tcase = harness_case(suite, "ranks");
    tcase_add_test(tcase, making);
    tcase_add_test(tcase, lost_while_made);
    tcase_add_test(tcase, many_changes_while_made);
    tcase_add_test(tcase, the_oldest_goes);
    tcase_add_test(tcase, refused);
    tcase_add_test(tcase, shared_budget);
    tcase_add_test(tcase, waiting);
    return harness_run(suite);
}
