/* test_glob.c - patterns: what Redis's documentation and its source say of them, and random ones against a slow matcher. */
#include "harness.h"

#include "base/buffer.h"
#include "base/glob.h"
#include "base/random.h"

/* In memory of just its size, so that a sanitizer sees what is read behind it. */
static bool matches(mlkv_slice pattern, mlkv_slice name)
{
    void *exact[2] = {malloc(pattern.size + (pattern.size == 0)),
                      malloc(name.size + (name.size == 0))};
    ck_assert(exact[0] != NULL && exact[1] != NULL);
    bytes_copy(exact[0], pattern.data, pattern.size);
    bytes_copy(exact[1], name.data, name.size);
    bool result = glob_matches(slice_of(exact[0], pattern.size), slice_of(exact[1], name.size));
    free(exact[0]);
    free(exact[1]);
    return result;
}

/* Each case was asked of redis-server 7.0.15, too. */
static const struct {
    mlkv_slice pattern, name;
    bool expected;
} said[] = {
#define CASE(pattern, name, expected)                                             \
    {                                                                             \
        {pattern, sizeof(pattern) - 1}, {name, sizeof(name) - 1}, expected == 'y' \
    }
    CASE("h?llo", "hello", 'y'),
    CASE("h?llo", "hllo", 'n'),
    CASE("h*llo", "hllo", 'y'),
    CASE("h[ae]llo", "hallo", 'y'),
    CASE("h[ae]llo", "hillo", 'n'),
    CASE("h[^e]llo", "hallo", 'y'),
    CASE("h[^e]llo", "hello", 'n'),
    CASE("h[a-b]llo", "hbllo", 'y'),
    CASE("h[b-a]llo", "hbllo", 'y'),
    CASE("h[a-b]llo", "hcllo", 'n'),
    CASE("\\*", "*", 'y'),
    CASE("\\*", "x", 'n'),
    CASE("\\", "\\", 'y'),
    CASE("a\\", "a\\", 'y'),
    CASE("\\a", "a", 'y'),
    CASE("\\a", "\\a", 'n'),
    CASE("", "", 'y'),
    CASE("", "a", 'n'),
    CASE("*", "", 'y'),
    CASE("**", "", 'n'),
    CASE("**", "a", 'y'),
    CASE("a*", "a", 'y'),
    CASE("a**", "a", 'y'),
    CASE("a\\*", "a", 'n'),
    CASE("*?", "a", 'y'),
    CASE("?*?", "a", 'n'),
    CASE("[", "[", 'n'),
    CASE("[a", "a", 'y'),
    CASE("[a", "b", 'n'),
    CASE("[]", "]", 'n'),
    CASE("[]a]", "a]", 'n'),
    CASE("[^]", "a", 'y'),
    CASE("[^", "a", 'y'),
    CASE("[^", "^", 'y'),
    CASE("[\\]]", "]", 'y'),
    CASE("[\\", "\\", 'y'),
    CASE("[a-", "-", 'y'),
    CASE("[a-]", "]", 'y'),
    CASE("[a-]", "^", 'y'),
    CASE("[a-]x", "a", 'y'),
    CASE("[a-]x", "ax", 'n'),
    CASE("[--0]", ".", 'y'),
    CASE("[a^]", "^", 'y'),
    CASE("[*]", "*", 'y'),
    CASE("[?]", "a", 'n'),
    CASE("[a-c]*[x-z]", "bz", 'y'),
    CASE("[\\a-c]", "b", 'n'),
    CASE("[\\a-c]", "-", 'y'),
    CASE("\xff", "\xff", 'y'),
    CASE("?", "\xff", 'y'),
    CASE("[\x01-\xff]", "a", 'n'),
    CASE("[\x01-\xff]", "\x01", 'y'),
    CASE("[\x01-\xff]", "\xff", 'y'),
    CASE("[\x80-\xff]", "\xa0", 'y'),
    CASE("a\0b", "a\0b", 'y'),
    CASE("a\0b", "a\0c", 'n'),
    CASE("a?b", "a\0b", 'y'),
    CASE("a\nb*", "a\nb\n", 'y'),
    CASE("*a*b*c", "xaxbxbxcxc", 'y'),
    CASE("*a*b*c", "xaxbxbxcx", 'n'),
};

START_TEST(what_redis_says)
{
    for (size_t i = 0; i < sizeof said / sizeof *said; i++)
        ck_assert_msg(matches(said[i].pattern, said[i].name) == said[i].expected,
                      "\"%s\" and \"%s\": not %d", (const char *)said[i].pattern.data,
                      (const char *)said[i].name.data, said[i].expected);
}
END_TEST

/* --- a slow matcher, made another way: the pattern becomes a row of tables, tried by recursion --- */

enum { ITEMS_MAX = 16 };

typedef struct {
    bool is_star;
    bool takes[256];
} slow_item;

static size_t slow_parse_class(const unsigned char *at, size_t size, slow_item *ret_item)
{
    size_t i = 0;
    bool inverted = size != 0 && at[0] == '^';
    if (inverted)
        i++;
    for (; i < size && at[i] != ']'; i++) {
        if (at[i] == '\\' && size - i > 1) {
            ret_item->takes[at[++i]] = true;
        } else if (size - i > 2 && at[i + 1] == '-') {
            for (int c = -128; c < 128; c++) {
                int a = (signed char)at[i], b = (signed char)at[i + 2];
                ret_item->takes[(unsigned char)c] |= (a <= c && c <= b) || (b <= c && c <= a);
            }
            i += 2;
        } else {
            ret_item->takes[at[i]] = true;
        }
    }
    for (int c = 0; c < 256 && inverted; c++)
        ret_item->takes[c] = !ret_item->takes[c];
    return i < size ? i + 1 : i;
}

static size_t slow_parse(mlkv_slice pattern, slow_item *items)
{
    const unsigned char *at = pattern.data;
    size_t count = 0;
    for (size_t i = 0; i < pattern.size; count++) {
        slow_item *item = &items[count];
        memset(item, 0, sizeof *item);
        unsigned char c = at[i++];
        item->is_star = c == '*';
        if (c == '[')
            i += slow_parse_class(at + i, pattern.size - i, item);
        else if (c == '?')
            memset(item->takes, true, sizeof item->takes);
        else if (c == '\\' && i < pattern.size)
            item->takes[at[i++]] = true;
        else
            item->takes[c] = true;
    }
    return count;
}

static bool slow_from(const slow_item *items, size_t count, const unsigned char *name, size_t size)
{
    if (count == 0)
        return size == 0;
    if (items->is_star)
        return slow_from(items + 1, count - 1, name, size) ||
               (size != 0 && slow_from(items, count, name + 1, size - 1));
    return size != 0 && items->takes[*name] && slow_from(items + 1, count - 1, name + 1, size - 1);
}

static bool slow_matches(mlkv_slice pattern, mlkv_slice name)
{
    slow_item items[ITEMS_MAX];
    size_t count = slow_parse(pattern, items);
    if (name.size == 0)
        return pattern.size == 0 || slice_equal(pattern, TEXT("*"));
    return slow_from(items, count, name.data, name.size);
}

static mlkv_slice random_text(unsigned char *memory, size_t most, const char *letters, size_t n)
{
    size_t size = (size_t)random_below(most + 1);
    for (size_t i = 0; i < size; i++)
        memory[i] = (unsigned char)letters[random_below(n)];
    return slice_of(memory, size);
}

START_TEST(random_patterns)
{
    static const char special[] = "ab*?[]^-\\\x01\xff", plain[] = "aabb]^-\\\x01\xff*";
    unsigned char memory[2][32];
    unsigned matched = 0, rounds = harness_rounds(300000);
    mlkv_buffer prefix = {0};
    for (unsigned i = 0; i < rounds; i++) {
        mlkv_slice pattern = random_text(memory[0], ITEMS_MAX - 1, special, sizeof special - 1);
        if (i % 2 == 0 && pattern.size > 5)
            pattern.size = 5;
        mlkv_slice name = random_text(memory[1], 1 + i % 8, plain, sizeof plain - 1);
        bool expected = slow_matches(pattern, name);
        matched += expected;
        ck_assert_msg(matches(pattern, name) == expected, "\"%.*s\" and \"%.*s\": not %d",
                      (int)pattern.size, (const char *)pattern.data, (int)name.size,
                      (const char *)name.data, expected);
        OK(glob_prefix(pattern, &prefix));
        if (expected)
            ck_assert(slice_starts_with(name, slice_of_buffer(&prefix)));
    }
    ck_assert_uint_gt(matched, rounds / 50);
    mlkv_buffer_free(&prefix);
}
END_TEST

/* Where going back to every star would take for ever. */
START_TEST(no_exponential_case)
{
    char pattern[2000], name[20000];
    for (size_t i = 0; i < sizeof pattern; i += 2)
        memcpy(pattern + i, "*a", 2);
    memset(name, 'a', sizeof name);
    ck_assert(matches(slice_of(pattern, sizeof pattern), slice_of(name, sizeof name)));
    name[sizeof name - 1] = 'b';
    ck_assert(!matches(slice_of(pattern, sizeof pattern), slice_of(name, sizeof name)));
}
END_TEST

START_TEST(prefixes)
{
    static const char *const cases[][2] = {{"abc", "abc"},     {"ab*c", "ab"}, {"?b", ""},
                                           {"a[b]", "a"},      {"", ""},       {"a\\*b?", "a*b"},
                                           {"a\\\\b", "a\\b"}, {"a\\", "a\\"}, {"*", ""}};
    mlkv_buffer prefix = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        OK(glob_prefix(slice_of_text(cases[i][0]), &prefix));
        ck_assert(slice_equal(slice_of_buffer(&prefix), slice_of_text(cases[i][1])));
    }
    mlkv_buffer_free(&prefix);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("glob");
    TCase *tcase = harness_case(suite, "glob");
    tcase_add_test(tcase, what_redis_says);
    tcase_add_test(tcase, random_patterns);
    tcase_add_test(tcase, no_exponential_case);
    tcase_add_test(tcase, prefixes);
    return harness_run(suite);
}
