/* test_key_match.c - KEYS: which names match, in every view; what has expired does not. The patterns themselves: test_glob.c. */
#include "types/kinds.h"

#include "base/fault.h"
#include "base/glob.h"

#define HOUR INT64_C(3600000)

static void set(mlkv *view, mlkv_slice key)
{
    OK(mlkv_string_set(view, key, TEXT("v"), MLKV_SET_ALWAYS));
}

/* The names found, joined by blanks. */
static void matching_is(mlkv *view, mlkv_slice pattern, const char *expected)
{
    mlkv_rows rows = {0};
    char text[1000] = "";
    size_t used = 0;
    OK(mlkv_key_matching(view, pattern, &rows));
    for (size_t i = 0; i < rows.count; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%.*s", i == 0 ? "" : " ",
                                 (int)rows.items[i].size, (const char *)rows.items[i].data);
    ck_assert_str_eq(text, expected);
    mlkv_rows_free(&rows);
}

START_TEST(patterns)
{
    mlkv *db = memory_store(), *inside = NULL, *snapshot = NULL;
    matching_is(db, TEXT("*"), "");
    static const char *const names[] = {"hello", "hallo", "hxllo", "hllo", "heello", "h*llo"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        set(db, slice_of_text(names[i]));
    matching_is(db, TEXT("*"), "h*llo hallo heello hello hllo hxllo");
    matching_is(db, TEXT("h?llo"), "h*llo hallo hello hxllo");
    matching_is(db, TEXT("h*llo"), "h*llo hallo heello hello hllo hxllo");
    matching_is(db, TEXT("h[ae]llo"), "hallo hello");
    matching_is(db, TEXT("h[^e]llo"), "h*llo hallo hxllo");
    matching_is(db, TEXT("h[a-b]llo"), "hallo");
    matching_is(db, TEXT("h\\*llo"), "h*llo");
    matching_is(db, TEXT("hello"), "hello");
    matching_is(db, TEXT("hell"), "");
    matching_is(db, TEXT(""), "");
    OK(mlkv_snapshot(db, &snapshot));
    OK(mlkv_begin(db, &inside));
    set(inside, TEXT("hey"));
    OK(mlkv_key_rename(inside, TEXT("hello"), TEXT("hullo")));
    matching_is(inside, TEXT("h[eu]*"), "heello hey hullo");
    OK(mlkv_commit(inside));
    matching_is(db, TEXT("h[eu]*"), "heello hey hullo");
    matching_is(snapshot, TEXT("h[eu]*"), "heello hello");
    OK(mlkv_close(snapshot));
    mlkv_rows rows = {0};
    mlkv_slice bad = {NULL, 1};
    set(db, TEXT(""));
    OK(mlkv_key_matching(db, TEXT("*"), &rows));
    ck_assert_uint_eq(rows.count, 8);
    OK(mlkv_key_matching(db, TEXT("**"), &rows)); /* Redis has it that this is not the empty name */
    ck_assert_uint_eq(rows.count, 7);
    OK(mlkv_key_matching(db, TEXT(""), &rows));
    ck_assert_uint_eq(rows.count, 1);
    MUST(MLKV_E_ARGUMENT, mlkv_key_matching(NULL, TEXT("*"), &rows));
    MUST(MLKV_E_ARGUMENT, mlkv_key_matching(db, bad, &rows));
    MUST(MLKV_E_ARGUMENT, mlkv_key_matching(db, TEXT("*"), NULL));
    mlkv_rows_free(&rows);
    OK(mlkv_close(db));
}
END_TEST

/* Names that differ behind what their record keys hold; patterns whose literal begin is longer than that. */
START_TEST(long_names)
{
    mlkv *db = memory_store();
    mlkv_rows rows = {0};
    char name[900], pattern[901];
    memset(name, 'a', sizeof name);
    for (int i = 0; i < 10; i++) {
        name[sizeof name - 1] = (char)('0' + i);
        set(db, slice_of(name, sizeof name));
    }
    memcpy(pattern, name, sizeof name);
    memcpy(pattern + sizeof name - 1, "?", 2);
    OK(mlkv_key_matching(db, slice_of_text(pattern), &rows));
    ck_assert_uint_eq(rows.count, 10);
    pattern[sizeof name - 1] = '7';
    OK(mlkv_key_matching(db, slice_of_text(pattern), &rows));
    ck_assert_uint_eq(rows.count, 1);
    pattern[sizeof name - 2] = 'b';
    OK(mlkv_key_matching(db, slice_of_text(pattern), &rows));
    ck_assert_uint_eq(rows.count, 0);
    OK(mlkv_key_matching(db, TEXT("a*9"), &rows));
    ck_assert_uint_eq(rows.count, 1);
    mlkv_rows_free(&rows);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(expired_ones)
{
    mlkv *db = memory_store(), *snapshot = NULL;
    mlkv_slice fields[] = {TEXT("f"), TEXT("g")};
    mlkv_pair pairs[] = {{fields[0], TEXT("v")}, {fields[1], TEXT("w")}};
    int64_t outcomes[2];
    set(db, TEXT("a"));
    set(db, TEXT("b"));
    OK(mlkv_hash_set(db, TEXT("c"), pairs, 2, NULL));
    OK(mlkv_hash_expire(db, TEXT("c"), fields, 1, 3 * HOUR, MLKV_EXPIRE_ALWAYS, outcomes));
    OK(mlkv_hash_expire(db, TEXT("c"), fields + 1, 1, HOUR, MLKV_EXPIRE_ALWAYS, outcomes));
    /* the last of its expiries is a bound that stays when its field goes */
    OK(mlkv_hash_delete(db, TEXT("c"), fields, 1, NULL));
    OK(mlkv_key_expire(db, TEXT("b"), HOUR, MLKV_EXPIRE_ALWAYS));
    matching_is(db, TEXT("?"), "a b c");
    OK(mlkv_snapshot(db, &snapshot));
    fault_clock_shift(2 * HOUR);
    matching_is(db, TEXT("?"), "a");
    matching_is(snapshot, TEXT("?"), "a b c");
    OK(mlkv_close(snapshot));
    OK(mlkv_close(db));
    fault_clock_shift(0);
}
END_TEST

START_TEST(a_read_only_opening)
{
    const char *folder = harness_folder();
    mlkv *db = folder_store(folder), *reader = NULL;
    mlkv_options options = {.size = sizeof options, .flags = MLKV_READ_ONLY};
    mlkv_buffer key = {0};
    set(db, TEXT("a"));
    OK(mlkv_close(db));
    OK(mlkv_open(folder, &options, &reader));
    matching_is(reader, TEXT("*"), "a");
    OK(mlkv_key_random(reader, &key));
    IS(TEXT("a"), key);
    MUST(MLKV_E_READONLY, mlkv_key_rename(reader, TEXT("a"), TEXT("b")));
    MUST(MLKV_E_READONLY, mlkv_key_copy(reader, TEXT("a"), TEXT("b"), 0, NULL));
    MUST(MLKV_E_READONLY, mlkv_key_delete_all(reader));
    mlkv_buffer_free(&key);
    OK(mlkv_close(reader));
    harness_remove(folder);
}
END_TEST

START_TEST(touch_is_exists)
{
    mlkv *db = memory_store();
    mlkv_slice keys[] = {TEXT("a"), TEXT("b"), TEXT("a")};
    size_t count = 77;
    set(db, TEXT("a"));
    OK(mlkv_key_touch(db, keys, 3, &count));
    ck_assert_uint_eq(count, 2);
    OK(mlkv_key_touch(db, NULL, 0, &count));
    ck_assert_uint_eq(count, 0);
    MUST(MLKV_E_ARGUMENT, mlkv_key_touch(db, keys, 3, NULL));
    OK(mlkv_close(db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("key_match");
    TCase *tcase = harness_case(suite, "key_match");
    tcase_add_test(tcase, patterns);
    tcase_add_test(tcase, long_names);
    tcase_add_test(tcase, expired_ones);
    tcase_add_test(tcase, a_read_only_opening);
    tcase_add_test(tcase, touch_is_exists);
    return harness_run(suite);
}
