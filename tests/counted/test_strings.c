/* test_strings.c - sorted strings of a node against an array: common beginnings come and go. */
#include "counted/strings.h"
#include "harness.h"

typedef struct {
    unsigned char bytes[STRING_SIZE_MAX];
    size_t size;
} text;

static text array[STRINGS_MAX];
static unsigned count;

static mlkv_slice slice_of_item(unsigned i)
{
    return slice_of(array[i].bytes, array[i].size);
}

static void check(const strings *self)
{
    unsigned char bytes[STRING_SIZE_MAX];
    ck_assert_uint_eq(self->count, count);
    for (unsigned i = 0; i < count; i++) {
        bool equal;
        size_t size = strings_get(self, i, bytes);
        ck_assert(slice_equal(slice_of(bytes, size), slice_of_item(i)));
        ck_assert_uint_eq(strings_find(self, slice_of(bytes, size), &equal), i);
        ck_assert(equal);
    }
}

static void put(strings *self, mlkv_slice key)
{
    bool equal;
    unsigned at = strings_find(self, key, &equal), wanted = 0;
    while (wanted < count && slice_compare(slice_of_item(wanted), key) < 0)
        wanted++;
    ck_assert_uint_eq(at, wanted);
    ck_assert_int_eq(equal, wanted < count && slice_equal(slice_of_item(wanted), key));
    if (equal || count == STRINGS_MAX)
        return;
    OK(strings_insert(self, at, key));
    memmove(&array[at + 1], &array[at], (count - at) * sizeof *array);
    count++;
    bytes_copy(array[at].bytes, key.data, key.size);
    array[at].size = key.size;
}

static void take(strings *self, unsigned at)
{
    strings_remove(self, at);
    count--;
    memmove(&array[at], &array[at + 1], (count - at) * sizeof *array);
}

/* Names that share much, little or nothing. */
static mlkv_slice name(unsigned *seed)
{
    static unsigned char bytes[STRING_SIZE_MAX];
    static const size_t shared[] = {0, 1, 5, 40, 300};
    size_t size = shared[(unsigned)rand_r(seed) % 5], more = (unsigned)rand_r(seed) % 6;
    memset(bytes, 'p', size);
    for (size_t i = 0; i < more; i++)
        bytes[size + i] = (unsigned char)(rand_r(seed) % 3 == 0 ? rand_r(seed) : 'p');
    return slice_of(bytes, size + more);
}

START_TEST(against_an_array)
{
    for (unsigned seed = 1; seed < 60; seed++) {
        strings self = {0};
        unsigned state = seed;
        count = 0;
        for (int i = 0; i < 400; i++) {
            if (count != 0 && rand_r(&state) % 3 == 0)
                take(&self, (unsigned)rand_r(&state) % count);
            else
                put(&self, name(&state));
            if (rand_r(&state) % 20 == 0)
                strings_pack(&self);
            if (i % 10 == 0)
                check(&self);
        }
        check(&self);
        strings_done(&self);
    }
}
END_TEST

START_TEST(append_truncate_pack)
{
    strings from = {0}, to = {0};
    unsigned char bytes[STRING_SIZE_MAX];
    for (unsigned i = 0; i < 100; i++) {
        char key[40];
        int size = snprintf(key, sizeof key, "a long common beginning %03u", i);
        OK(strings_insert(&from, i, slice_of(key, (size_t)size)));
    }
    OK(strings_append(&to, &from, 60, 40));
    strings_truncate(&from, 60);
    size_t before = strings_bytes(&from);
    strings_pack(&from);
    strings_pack(&to);
    ck_assert_uint_lt(strings_bytes(&from),
                      before / 4); /* only the last digits are stored for each */
    ck_assert(from.count == 60 && to.count == 40);
    size_t size = strings_get(&to, 0, bytes);
    ck_assert(slice_equal(slice_of(bytes, size), TEXT("a long common beginning 060")));
    OK(strings_append(&from, &to, 0, 40));
    size = strings_get(&from, 99, bytes);
    ck_assert(slice_equal(slice_of(bytes, size), TEXT("a long common beginning 099")));
    ck_assert(!strings_full(&from));
    strings_done(&from);
    strings_done(&to);
}
END_TEST

START_TEST(the_largest)
{
    strings self = {0};
    unsigned char bytes[STRING_SIZE_MAX], got[STRING_SIZE_MAX];
    for (unsigned i = 0; i < STRINGS_MAX; i++) {
        memset(bytes, (int)i, sizeof bytes);
        OK(strings_insert(&self, i, slice_of(bytes, sizeof bytes)));
        ck_assert_int_eq(strings_full(&self), i >= 8);
    }
    for (unsigned i = 0; i < STRINGS_MAX; i++) {
        memset(bytes, (int)i, sizeof bytes);
        ck_assert_uint_eq(strings_get(&self, i, got), sizeof got);
        ck_assert_int_eq(memcmp(bytes, got, sizeof got), 0);
    }
    strings_done(&self);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("strings");
    TCase *tcase = harness_case(suite, "strings");
    tcase_add_test(tcase, against_an_array);
    tcase_add_test(tcase, append_truncate_pack);
    tcase_add_test(tcase, the_largest);
    return harness_run(suite);
}
