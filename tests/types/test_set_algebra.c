/* test_set_algebra.c - intersections, unions and differences of sets: against a table of bits, in every view, with every way of going
 * about it (aside, inside, probing, in rounds), and what is stored of them.
 */
#include "types/stores.h"

#include <pthread.h>

enum { UNIVERSE = 160 };
typedef struct {
    uint8_t has[UNIVERSE];
} oracle;

/* Members of some lengths, long ones too, of which some differ only far behind; member i of the universe. */
static mlkv_slice member_of(unsigned i)
{
    static char text[8][16];
    static unsigned next;
    if (i % 10 == 9)
        return long_name(480 + i, i);
    char *to = text[next++ % 8];
    return slice_of(to, (size_t)snprintf(to, sizeof text[0], i % 2 == 0 ? "m%03u" : "member%u", i));
}

static void put(mlkv *view, mlkv_slice key, const oracle *set)
{
    OK(mlkv_key_delete(view, &key, 1, NULL));
    for (unsigned i = 0; i < UNIVERSE; i++) {
        mlkv_slice member = member_of(i);
        if (set->has[i])
            OK(mlkv_set_add(view, key, &member, 1, NULL));
    }
}

static size_t size_of(const oracle *set)
{
    size_t count = 0;
    for (unsigned i = 0; i < UNIVERSE; i++)
        count += set->has[i];
    return count;
}

/* Each member once, none else, in one order. */
static void check_rows(const mlkv_rows *rows, const oracle *expected)
{
    size_t found = 0;
    ck_assert_uint_eq(rows->count, size_of(expected));
    for (unsigned i = 0; i < UNIVERSE; i++)
        for (size_t k = 0; k < rows->count; k++)
            if (slice_equal(rows->items[k], member_of(i))) {
                ck_assert(expected->has[i]);
                found++;
            }
    ck_assert_uint_eq(found, rows->count);
}

typedef int (*show_call)(mlkv *, const mlkv_slice *, size_t, mlkv_rows *);
typedef int (*store_call)(mlkv *, mlkv_slice, const mlkv_slice *, size_t, uint64_t *);
static const show_call shows[] = {mlkv_set_intersection, mlkv_set_union, mlkv_set_difference};
static const store_call stores[] = {mlkv_set_intersection_store, mlkv_set_union_store,
                                    mlkv_set_difference_store};

static oracle combine(int operation, const oracle *const *sets, size_t n)
{
    oracle result = *sets[0];
    for (size_t k = 1; k < n; k++)
        for (unsigned i = 0; i < UNIVERSE; i++) {
            uint8_t other = sets[k]->has[i];
            result.has[i] = (uint8_t)(operation == 0   ? result.has[i] & other
                                      : operation == 1 ? result.has[i] | other
                                                       : result.has[i] & !other);
        }
    return result;
}

START_TEST(a_few_by_hand)
{
    mlkv *db = memory_store();
    mlkv_rows rows = {0};
    mlkv_slice abc[] = {TEXT("a"), TEXT("b"), TEXT("c")}, cd[] = {TEXT("c"), TEXT("d")};
    mlkv_slice keys[] = {TEXT("x"), TEXT("y")}, some[] = {TEXT("x"), TEXT("none")};
    uint64_t count = 77;
    OK(mlkv_set_add(db, keys[0], abc, 3, NULL));
    OK(mlkv_set_add(db, keys[1], cd, 2, NULL));
    OK(mlkv_set_intersection(db, keys, 2, &rows));
    ck_assert_uint_eq(rows.count, 1);
    ck_assert(slice_equal(rows.items[0], TEXT("c")));
    OK(mlkv_set_union(db, keys, 2, &rows));
    ck_assert_uint_eq(rows.count, 4);
    ck_assert(slice_equal(rows.items[3], TEXT("d")));
    OK(mlkv_set_difference(db, keys, 2, &rows));
    ck_assert_uint_eq(rows.count, 2);
    ck_assert(slice_equal(rows.items[1], TEXT("b")));
    OK(mlkv_set_intersection(db, some, 2, &rows));
    ck_assert_uint_eq(rows.count, 0);
    OK(mlkv_set_difference(db, some, 2, &rows));
    ck_assert_uint_eq(rows.count, 3);
    OK(mlkv_set_difference(db, some + 1, 1, &rows));
    ck_assert_uint_eq(rows.count, 0);
    OK(mlkv_set_union(db, some, 2, &rows));
    ck_assert_uint_eq(rows.count, 3);
    OK(mlkv_set_intersection_count(db, keys, 2, 0, &count));
    ck_assert_uint_eq(count, 1);
    OK(mlkv_set_intersection_count(db, keys, 1, 2, &count));
    ck_assert_uint_eq(count, 2);
    OK(mlkv_set_intersection_count(db, some, 2, 0, &count));
    ck_assert_uint_eq(count, 0);
    OK(mlkv_set_union_store(db, TEXT("z"), keys, 2, &count));
    ck_assert_uint_eq(count, 4);
    OK(mlkv_set_count(db, TEXT("z"), &count));
    ck_assert_uint_eq(count, 4);
    verify_all(db);
    mlkv_rows_free(&rows);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(destinations)
{
    mlkv *db = memory_store();
    mlkv_slice abc[] = {TEXT("a"), TEXT("b"), TEXT("c")}, keys[] = {TEXT("x"), TEXT("y")};
    uint64_t count = 77;
    mlkv_type type;
    OK(mlkv_set_add(db, keys[0], abc, 3, NULL));
    OK(mlkv_set_add(db, keys[1], abc + 1, 2, NULL));
    /* it replaces any type, and an expiry */
    OK(mlkv_string_set(db, TEXT("s"), TEXT("v"), MLKV_SET_ALWAYS));
    OK(mlkv_key_expire(db, TEXT("s"), 1000000, MLKV_EXPIRE_ALWAYS));
    OK(mlkv_set_intersection_store(db, TEXT("s"), keys, 2, &count));
    ck_assert_uint_eq(count, 2);
    int64_t ttl = 0;
    OK(mlkv_key_ttl(db, TEXT("s"), &ttl));
    ck_assert_int_eq(ttl, MLKV_NO_EXPIRY);
    /* it is a source too */
    OK(mlkv_set_difference_store(db, keys[0], keys, 2, &count));
    ck_assert_uint_eq(count, 1);
    OK(mlkv_set_union_store(db, keys[0], keys, 2, NULL));
    OK(mlkv_set_count(db, keys[0], &count));
    ck_assert_uint_eq(count, 3);
    OK(mlkv_set_union_store(db, keys[0], (mlkv_slice[]){keys[0], keys[0]}, 2, &count));
    ck_assert_uint_eq(count, 3);
    verify_all(db);
    /* an empty result deletes it */
    OK(mlkv_set_difference_store(db, keys[0], (mlkv_slice[]){keys[0], keys[0]}, 2, &count));
    ck_assert_uint_eq(count, 0);
    OK(mlkv_key_type(db, keys[0], &type));
    ck_assert_int_eq(type, MLKV_TYPE_NONE);
    OK(mlkv_set_intersection_store(db, TEXT("s"), (mlkv_slice[]){TEXT("none"), keys[1]}, 2,
                                   &count));
    ck_assert_uint_eq(count, 0);
    ck_assert_uint_eq(key_count(db), 1);
    OK(mlkv_set_union_store(db, TEXT("none"), (mlkv_slice[]){TEXT("nothing")}, 1, &count));
    ck_assert_uint_eq(count, 0);
    clean_all(db);
    ck_assert_uint_eq(count_records(db, "E"), 2);
    ck_assert_uint_eq(count_records(db, "L"), 2);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(misuse_and_wrong_types_change_nothing)
{
    mlkv *db = memory_store(), *snapshot = NULL;
    mlkv_rows rows = {0};
    uint64_t count = 77;
    mlkv_slice member = TEXT("m"), bad = {NULL, 1};
    mlkv_slice keys[] = {TEXT("none"), TEXT("x"), TEXT("string")};
    OK(mlkv_set_add(db, TEXT("x"), &member, 1, NULL));
    OK(mlkv_string_set(db, TEXT("string"), TEXT("v"), MLKV_SET_ALWAYS));
    for (int i = 0; i < 3; i++) { /* a missing key before it excuses nothing */
        MUST(MLKV_E_TYPE, shows[i](db, keys, 3, &rows));
        MUST(MLKV_E_TYPE, stores[i](db, TEXT("d"), keys, 3, &count));
        MUST(MLKV_E_ARGUMENT, shows[i](db, keys, 0, &rows));
        MUST(MLKV_E_ARGUMENT, shows[i](db, NULL, 1, &rows));
        MUST(MLKV_E_ARGUMENT, shows[i](db, &bad, 1, &rows));
        MUST(MLKV_E_ARGUMENT, shows[i](db, keys, 2, NULL));
        MUST(MLKV_E_ARGUMENT, shows[i](NULL, keys, 2, &rows));
        MUST(MLKV_E_ARGUMENT, stores[i](db, bad, keys, 2, &count));
        MUST(MLKV_E_ARGUMENT, stores[i](db, TEXT("d"), keys, 0, &count));
    }
    MUST(MLKV_E_TYPE, mlkv_set_intersection_count(db, keys, 3, 0, &count));
    MUST(MLKV_E_ARGUMENT, mlkv_set_intersection_count(db, keys, 2, 0, NULL));
    ck_assert_uint_eq(count, 77);
    OK(mlkv_snapshot(db, &snapshot));
    MUST(MLKV_E_READONLY, mlkv_set_union_store(snapshot, TEXT("d"), keys, 2, &count));
    OK(mlkv_set_union(snapshot, keys, 2, &rows));
    ck_assert_uint_eq(rows.count, 1);
    OK(mlkv_close(snapshot));
    ck_assert_uint_eq(key_count(db), 2);
    mlkv_rows_free(&rows);
    OK(mlkv_close(db));
}
END_TEST

/* Sets of many sizes, so that some are walked over and some looked into; up to 70 of them, so that there are rounds. */
enum { SETS = 12, KEYS_MAX = 70 };

static mlkv_slice set_key(unsigned number)
{
    static char names[SETS + 2][8];
    snprintf(names[number], sizeof names[0], "set%u", number);
    return slice_of_text(names[number]);
}

static void make_sets(mlkv *db, oracle *sets, unsigned *seed)
{
    for (unsigned k = 0; k < SETS; k++) {
        int one_in = 1 + rand_r(seed) % (k % 3 == 0 ? 60 : 4);
        for (unsigned i = 0; i < UNIVERSE; i++)
            sets[k].has[i] = k != 7 && rand_r(seed) % one_in == 0;
        put(db, set_key(k), &sets[k]);
    }
}

static void check_once(mlkv *view, oracle *sets, unsigned *seed, bool stores_too)
{
    mlkv_slice keys[KEYS_MAX];
    const oracle *chosen[KEYS_MAX];
    mlkv_rows rows = {0};
    size_t n =
        rand_r(seed) % 8 == 0 ? 30 + (size_t)rand_r(seed) % 41 : 1 + (size_t)rand_r(seed) % 4;
    int operation = rand_r(seed) % 3;
    for (size_t k = 0; k < n; k++) {
        unsigned which = (unsigned)rand_r(seed) % SETS;
        keys[k] = set_key(which);
        chosen[k] = &sets[which];
    }
    oracle expected = combine(operation, chosen, n);
    uint64_t count = 77, limit = (uint64_t)rand_r(seed) % 5, all = size_of(&expected);
    OK(shows[operation](view, keys, n, &rows));
    check_rows(&rows, &expected);
    if (operation == 0) {
        OK(mlkv_set_intersection_count(view, keys, n, limit, &count));
        ck_assert_uint_eq(count, limit != 0 && limit < all ? limit : all);
    }
    if (stores_too) {
        unsigned to = (unsigned)rand_r(seed) % SETS;
        OK(stores[operation](view, set_key(to), keys, n, &count));
        ck_assert_uint_eq(count, all);
        sets[to] = expected;
        OK(mlkv_set_members(view, set_key(to), &rows));
        check_rows(&rows, &expected);
    }
    mlkv_rows_free(&rows);
}

START_TEST(random_operations)
{
    const char *folder = harness_folder(), *rounds_wanted = getenv("MLKV_TEST_ROUNDS");
    int rounds = rounds_wanted != NULL ? atoi(rounds_wanted) : 12;
    mlkv *db = folder_store(folder);
    static oracle sets[SETS], inside[SETS];
    unsigned seed = 99;
    for (int round = 0; round < rounds; round++) {
        mlkv *tx = NULL, *snapshot = NULL;
        make_sets(db, sets, &seed);
        for (int i = 0; i < 20; i++)
            check_once(db, sets, &seed, i % 3 == 0);
        memcpy(inside, sets, sizeof sets);
        OK(mlkv_begin(db, &tx));
        for (int i = 0; i < 10; i++)
            check_once(tx, inside, &seed, true);
        if (round % 2 == 0) {
            memcpy(sets, inside, sizeof sets);
            OK(mlkv_commit(tx));
        } else {
            OK(mlkv_abort(tx));
        }
        OK(mlkv_snapshot(db, &snapshot));
        memcpy(inside, sets, sizeof sets);
        check_once(db, sets, &seed, true);
        for (int i = 0; i < 5; i++)
            check_once(snapshot, inside, &seed, false);
        OK(mlkv_close(snapshot));
        verify_all(db);
        OK(mlkv_close(db));
        db = folder_store(folder);
        check_once(db, sets, &seed, true);
    }
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* Larger than the ring (1 MiB): what is stored goes to LMDB directly. */
START_TEST(larger_than_the_ring)
{
    enum { EACH = 12000 };
    mlkv *db = memory_store();
    mlkv_slice keys[] = {TEXT("a"), TEXT("b")}, members[100];
    static char names[100][16];
    uint64_t count = 0;
    for (unsigned i = 0; i < 2 * EACH;
         i += 100) { /* a: all even, b: all that 3 divides, from the same 24,000 */
        size_t n[2] = {0, 0};
        for (unsigned set = 0; set < 2; set++) {
            for (unsigned k = i; k < i + 100; k++)
                if (k % (set + 2) == 0) {
                    char *name = names[n[set]];
                    members[n[set]++] =
                        slice_of(name, (size_t)snprintf(name, sizeof names[0], "%08u", k));
                }
            OK(mlkv_set_add(db, keys[set], members, n[set], NULL));
        }
    }
    OK(mlkv_set_union_store(db, TEXT("u"), keys, 2, &count));
    ck_assert_uint_eq(count, EACH + 2 * EACH / 3 - 2 * EACH / 6);
    OK(mlkv_set_intersection_store(db, TEXT("i"), keys, 2, &count));
    ck_assert_uint_eq(count, 2 * EACH / 6);
    OK(mlkv_set_difference_store(db, TEXT("d"), keys, 2, &count));
    ck_assert_uint_eq(count, EACH - 2 * EACH / 6);
    OK(mlkv_set_union_store(db, TEXT("u"), (mlkv_slice[]){TEXT("u"), keys[0]}, 2, &count));
    ck_assert_uint_eq(count, EACH + 2 * EACH / 3 - 2 * EACH / 6);
    OK(mlkv_set_intersection_count(db, (mlkv_slice[]){TEXT("u"), keys[0], TEXT("d")}, 3, 0,
                                   &count));
    ck_assert_uint_eq(count, EACH - 2 * EACH / 6);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

/* A member is moved to and fro between two sets by somebody else: every answer has it exactly once. */
static _Atomic bool stop;

static void *move_to_and_fro(void *argument)
{
    mlkv *db = argument;
    mlkv_slice keys[] = {TEXT("a"), TEXT("b")};
    for (unsigned i = 0; !stop; i++)
        OK(mlkv_set_move(db, keys[i % 2], keys[1 - i % 2], TEXT("moves")));
    return NULL;
}

START_TEST(all_sets_are_of_one_moment)
{
    mlkv *db = memory_store();
    mlkv_slice keys[] = {TEXT("a"), TEXT("b")}, member;
    mlkv_rows rows = {0};
    uint64_t count = 0;
    char name[16];
    for (int i = 0; i < 400; i++) {
        member = slice_of(name, (size_t)snprintf(name, sizeof name, "%d", i));
        OK(mlkv_set_add(db, keys[i % 2], &member, 1, NULL));
    }
    member = TEXT("moves");
    OK(mlkv_set_add(db, keys[0], &member, 1, NULL));
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, move_to_and_fro, db), 0);
    for (int i = 0; i < 300; i++) {
        OK(mlkv_set_union(db, keys, 2, &rows));
        ck_assert_uint_eq(rows.count, 401);
        OK(mlkv_set_intersection_count(db, keys, 2, 0, &count));
        ck_assert_uint_eq(count, 0);
        if (i % 10 == 0) {
            OK(mlkv_set_union_store(db, TEXT("c"), keys, 2, &count));
            ck_assert_uint_eq(count, 401);
        }
    }
    stop = true;
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    verify_all(db);
    mlkv_rows_free(&rows);
    OK(mlkv_close(db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("types/set_algebra");
    TCase *tcase = harness_case(suite, "set_algebra");
    tcase_add_test(tcase, a_few_by_hand);
    tcase_add_test(tcase, destinations);
    tcase_add_test(tcase, misuse_and_wrong_types_change_nothing);
    tcase_add_test(tcase, random_operations);
    tcase_add_test(tcase, larger_than_the_ring);
    tcase_add_test(tcase, all_sets_are_of_one_moment);
    return harness_run(suite);
}
