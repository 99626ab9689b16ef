/* test_zset_verify.c - mlkv_verify on sorted sets that are right, and into which one wrong thing was put, below the library. */
#include "store/store.h"
#include "types/zsets.h"

enum { MEMBERS = 20, ID_AT = 8 };

typedef struct {
    store_write *write;
    uint64_t id;
} damage;

static void fill(mlkv *db)
{
    for (unsigned i = 0; i < MEMBERS; i++) {
        mlkv_scored pair = {i % 5 == 0 ? long_name(600, i) : slice_of(&i, sizeof i), i / 3};
        OK(mlkv_zset_add(db, TEXT("z"), &pair, 1, 0, NULL, NULL));
    }
}

static void key_of(damage *self, int class, double score, mlkv_slice member, record_key *ret_key)
{
    OK(class == 'E' ? layout_element(self->id, member, ret_key)
                    : layout_ordered(self->id, layout_score_bits(score), member, ret_key));
}

static void put(damage *self, const record_key *key, const void *bytes, size_t size)
{
    OK(store_write_put(self->write, record_key_slice(key), slice_of(bytes, size),
                       slice_of(NULL, 0)));
}

static mlkv_slice member(unsigned number)
{
    static unsigned memory;
    memory = number;
    return slice_of(&memory, sizeof memory);
}

static void order_missing(damage *self)
{
    record_key key;
    key_of(self, 'O', 2, member(7), &key);
    OK(store_write_delete(self->write, record_key_slice(&key)));
}

static void order_elsewhere(damage *self)
{
    record_key key;
    order_missing(self);
    key_of(self, 'O', 3, member(7), &key);
    put(self, &key, NULL, 0);
}

static void order_surplus(damage *self)
{
    record_key key;
    key_of(self, 'O', 100, member(7), &key);
    put(self, &key, NULL, 0);
}

static void order_with_value(damage *self)
{
    record_key key;
    key_of(self, 'O', 2, member(7), &key);
    put(self, &key, "x", 1);
}

static void order_short(damage *self)
{
    record_key key;
    layout_id('O', self->id, &key);
    put(self, &key, NULL, 0);
}

static void order_of_nobody(damage *self)
{
    record_key key;
    self->id = 55555;
    key_of(self, 'O', 2, member(7), &key);
    put(self, &key, NULL, 0);
}

static void long_name_other(damage *self)
{
    record_key key;
    unsigned char value[4 + 600];
    store_le32(value, 600);
    memset(value + 4, 'q', 600);
    key_of(self, 'O', 1, long_name(600, 5), &key);
    put(self, &key, value, sizeof value);
}

static void put_score(damage *self, double score, size_t size)
{
    record_key key;
    key_of(self, 'E', 0, member(7), &key);
    put(self, &key, &score, size);
}

static void score_other(damage *self)
{
    put_score(self, 7, 8);
}
static void score_nan(damage *self)
{
    put_score(self, NAN, 8);
}
static void score_minus_zero(damage *self)
{
    put_score(self, -0.0, 8);
}
static void score_short(damage *self)
{
    put_score(self, 2, 7);
}

static void member_missing(damage *self)
{
    record_key key;
    key_of(self, 'E', 0, member(7), &key);
    OK(store_write_delete(self->write, record_key_slice(&key)));
}

static const struct {
    void (*apply)(damage *);
    const char *expected;
} damages[] = {
    {order_missing, "does not stand at its score, 2"},
    {order_elsewhere, "does not stand at its score, 2"},
    {order_surplus, "sorted set 'z' has 20 members, but 21 in its order"},
    {order_with_value, "1 bytes too many"},
    {order_short, "has a wrong size"},
    {order_of_nobody, "belongs to no key"},
    {long_name_other, "holds another name"},
    {score_other, "does not stand at its score, 7"},
    {score_nan, "a score is NaN"},
    {score_minus_zero, "a score is NaN or -0.0"},
    {score_short, "a score has 7 bytes"},
    {member_missing, "key 'z' counts 20 elements, 19 are there"},
};

typedef struct {
    char text[2000];
    int count;
} problems;

static int collect(void *context, const char *problem)
{
    problems *self = context;
    size_t used = strlen(self->text);
    snprintf(self->text + used, sizeof self->text - used, "%s\n", problem);
    self->count++;
    return 0;
}

static uint64_t id_of(store *self)
{
    store_read *read = NULL;
    mlkv_slice value;
    OK(store_read_begin(self, &read));
    OK(store_read_get(read, TEXT("Kz"), &value));
    uint64_t id = load_le64((const unsigned char *)value.data + ID_AT);
    store_read_end(read);
    return id;
}

static void apply(const char *folder, void (*change)(damage *))
{
    store *opened = NULL;
    damage self;
    OK(store_open(folder, false, false, &opened));
    self.id = id_of(opened);
    OK(store_write_begin(opened, &self.write));
    change(&self);
    OK(store_write_commit(self.write));
    store_close(opened);
}

START_TEST(damaged)
{
    const char *folder = harness_folder();
    mlkv *db = folder_store(folder);
    problems found = {.count = 0};
    mlkv_report report = {.size = sizeof report};
    mlkv_options options = {.size = sizeof options, .flags = MLKV_READ_ONLY};
    fill(db);
    OK(mlkv_verify(db, NULL, NULL, &report));
    ck_assert(report.problems == 0 && report.elements == MEMBERS);
    OK(mlkv_close(db));
    apply(folder, damages[_i].apply);
    OK(mlkv_open(folder, &options, &db));
    MUST(MLKV_E_CORRUPT, mlkv_verify(db, collect, &found, &report));
    ck_assert_msg(strstr(found.text, damages[_i].expected) != NULL, "expected '%s', found:\n%s",
                  damages[_i].expected, found.text);
    ck_assert_int_le(found.count, 2); /* one thing is wrong: not everything is blamed */
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* What a deleted sorted set left behind is no problem, whatever part of it the cleaner has reached. */
START_TEST(deleted)
{
    mlkv *db = memory_store();
    mlkv_slice key = TEXT("z");
    mlkv_report report = {.size = sizeof report};
    fill(db);
    OK(mlkv_key_delete(db, &key, 1, NULL));
    OK(mlkv_verify(db, NULL, NULL, &report));
    ck_assert_uint_eq(report.problems, 0);
    clean_all(db);
    verify_all(db);
    ck_assert_uint_eq(count_records(db, "E") + count_records(db, "O"), 0);
    OK(mlkv_close(db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("zset_verify");
    TCase *tcase = harness_case(suite, "zset_verify");
    tcase_add_loop_test(tcase, damaged, 0, sizeof damages / sizeof *damages);
    tcase_add_test(tcase, deleted);
    return harness_run(suite);
}
