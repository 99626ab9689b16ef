/* test_key_random.c - RANDOMKEY: every key at times, none that is not there, likelihoods within wide bounds. */
#include "types/kinds.h"

#include "base/fault.h"

#define HOUR INT64_C(3600000)

static void set(mlkv *view, const char *key)
{
    OK(mlkv_string_set(view, slice_of_text(key), TEXT("v"), MLKV_SET_ALWAYS));
}

/* One draw, as a text. */
static const char *drawn(mlkv *view)
{
    static char text[1000];
    mlkv_buffer key = {0};
    OK(mlkv_key_random(view, &key));
    ck_assert_uint_lt(key.size, sizeof text);
    bytes_copy(text, key.data, key.size);
    text[key.size] = '\0';
    mlkv_buffer_free(&key);
    return text;
}

START_TEST(few_keys)
{
    mlkv *db = memory_store(), *inside = NULL;
    mlkv_buffer key = {0};
    unsigned seen[10] = {0};
    char name[20];
    MUST(MLKV_ABSENT, mlkv_key_random(db, &key));
    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof name, "%s%d", i < 3 ? "abc" : "", i);
        set(db, name);
    }
    for (int i = 0; i < 4000; i++) {
        const char *found = drawn(db);
        seen[found[strlen(found) - 1] - '0']++;
    }
    for (int i = 0; i < 10; i++) { /* 400 are expected, with a deviation of 19 */
        ck_assert_uint_gt(seen[i], 200);
        ck_assert_uint_lt(seen[i], 600);
    }
    OK(mlkv_begin(db, &inside));
    OK(mlkv_key_delete_all(inside));
    MUST(MLKV_ABSENT, mlkv_key_random(inside, &key));
    set(inside, "");
    OK(mlkv_key_random(inside, &key));
    ck_assert_uint_eq(key.size, 0);
    OK(mlkv_abort(inside));
    MUST(MLKV_E_ARGUMENT, mlkv_key_random(NULL, &key));
    MUST(MLKV_E_ARGUMENT, mlkv_key_random(db, NULL));
    mlkv_buffer_free(&key);
    OK(mlkv_close(db));
}
END_TEST

enum { MANY = 5000 };

/* Numbers with leading zeros behind a common begin: the ways down are alike. */
START_TEST(many_keys)
{
    mlkv *db = memory_store();
    enum { ROUNDS = 500, PARTS = 10 };
    unsigned seen[PARTS] = {0};
    char name[60];
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "a/common/begin/of/names:%08u", i);
        set(db, name);
    }
    unsigned rounds = harness_rounds(ROUNDS);
    for (unsigned i = 0; i < rounds; i++) {
        unsigned number = 77777;
        ck_assert_int_eq(sscanf(drawn(db), "a/common/begin/of/names:%u", &number), 1);
        ck_assert_uint_lt(number, MANY);
        seen[number * PARTS / MANY]++;
    }
    for (unsigned i = 0; i < PARTS && rounds == ROUNDS; i++) { /* of few rounds nothing follows */
        ck_assert_uint_gt(seen[i], rounds / PARTS / 5);
        ck_assert_uint_lt(seen[i], rounds / PARTS * 3);
    }
    OK(mlkv_close(db));
}
END_TEST

/* A lopsided tree: a few names that begin like no others, prefixes of each other, one beside thousands. */
START_TEST(a_lopsided_store)
{
    mlkv *db = memory_store();
    char name[300];
    unsigned alone = 0, chain = 0;
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "user:%x", i * 2654435761u);
        set(db, name);
    }
    set(db, "alone");
    memset(name, 'z', sizeof name);
    for (unsigned i = 1; i <= 250; i++) {
        name[i] = '\0';
        set(db, name);
        name[i] = 'z';
    }
    enum { ROUNDS = 300 };
    unsigned rounds = harness_rounds(ROUNDS);
    for (unsigned i = 0; i < rounds; i++) {
        const char *found = drawn(db);
        alone += strcmp(found, "alone") == 0;
        chain += found[0] == 'z';
        ck_assert(is_there(db, slice_of_text(found)));
    }
    ck_assert(rounds < ROUNDS || alone < 7);  /* fairly one in 5251 */
    ck_assert(rounds < ROUNDS || chain < 60); /* fairly one in 21 */
    OK(mlkv_close(db));
}
END_TEST

/* More keys than are listed: of so many draws fairly 920 are different ones. MLKV_LONG: until every key was drawn. */
START_TEST(every_key_is_drawn_at_times)
{
    mlkv *db = memory_store();
    enum { KEYS = 1100, DRAWN = 2000, DIFFERENT = 700 };
    static bool seen[KEYS];
    bool is_long = getenv("MLKV_LONG") != NULL;
    unsigned left = KEYS, draws = is_long ? 1000000 : harness_rounds(DRAWN);
    char name[20];
    for (unsigned i = 0; i < KEYS; i++) {
        snprintf(name, sizeof name, "%u", i);
        set(db, name);
    }
    for (unsigned i = 0; i < draws && left != 0; i++) {
        unsigned number = (unsigned)atoi(drawn(db));
        left -= !seen[number];
        seen[number] = true;
    }
    if (is_long)
        ck_assert_uint_eq(left, 0);
    else if (draws == DRAWN)
        ck_assert_uint_lt(left, KEYS - DIFFERENT);
    OK(mlkv_close(db));
}
END_TEST

/* Nearly all of a snapshot's keys have expired: what is left is found all the same. */
START_TEST(expired_keys_are_never_drawn)
{
    mlkv *db = memory_store(), *snapshot = NULL;
    mlkv_buffer key = {0};
    mlkv_slice field = TEXT("f");
    mlkv_pair pair = {field, TEXT("v")};
    int64_t outcome;
    char name[20];
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "%05u", i);
        set(db, name);
        OK(mlkv_key_expire(db, slice_of_text(name), HOUR, MLKV_EXPIRE_ALWAYS));
    }
    OK(mlkv_hash_set(db, TEXT("h"), &pair, 1, NULL));
    OK(mlkv_hash_expire(db, TEXT("h"), &field, 1, HOUR, MLKV_EXPIRE_ALWAYS, &outcome));
    set(db, "03000x");
    OK(mlkv_begin(db, &snapshot)); /* keeps the cleaner away */
    fault_clock_shift(2 * HOUR);
    OK(mlkv_abort(snapshot));
    OK(mlkv_begin(db, &snapshot));
    for (int i = 0; i < 20; i++)
        ck_assert_str_eq(drawn(snapshot), "03000x");
    OK(mlkv_key_delete(snapshot, &(mlkv_slice){"03000x", 6}, 1, NULL));
    MUST(MLKV_ABSENT, mlkv_key_random(snapshot, &key));
    OK(mlkv_abort(snapshot));
    mlkv_buffer_free(&key);
    OK(mlkv_close(db));
    fault_clock_shift(0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("key_random");
    TCase *tcase = harness_case(suite, "key_random");
    tcase_add_test(tcase, few_keys);
    tcase_add_test(tcase, many_keys);
    tcase_add_test(tcase, a_lopsided_store);
    tcase_add_test(tcase, every_key_is_drawn_at_times);
    tcase_add_test(tcase, expired_keys_are_never_drawn);
    return harness_run(suite);
}
