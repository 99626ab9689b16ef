/* test_salvage.c - mlkv_salvage on stores whose records do not fit each other: single records are taken
 * out or put in by hand, and the new store is looked at. Damaged files are tests/faults/test_salvage.c. */
#include "types/stores.h"

#include "base/buffer.h"
#include "types/field.h"

typedef struct {
    mlkv *db;
    char folder[512], fresh[600];
    mlkv_salvage_report report;
    char sentences[4000];
} bench;

static void open_bench(bench *self)
{
    *self = (bench){.report.size = sizeof self->report};
    snprintf(self->folder, sizeof self->folder, "%s", harness_folder());
    snprintf(self->fresh, sizeof self->fresh, "%s-new", self->folder);
    self->db = folder_store(self->folder);
}

static int note(void *context, int lost, const char *sentence)
{
    bench *self = context;
    size_t used = strlen(self->sentences);
    snprintf(self->sentences + used, sizeof self->sentences - used, "%s %s\n",
             lost ? "lost" : "note", sentence);
    return 0;
}

/* From here on db is the new store. */
static void salvage(bench *self)
{
    OK(mlkv_close(self->db));
    OK(mlkv_salvage(self->folder, self->fresh, note, self, &self->report));
    self->db = folder_store(self->fresh);
    verify_all(self->db);
}

static void close_bench(bench *self)
{
    OK(mlkv_close(self->db));
    harness_remove(self->folder);
    harness_remove(self->fresh);
}

static void told(const bench *self, const char *part)
{
    ck_assert_msg(strstr(self->sentences, part) != NULL, "no '%s' in:\n%s", part, self->sentences);
}

/* --- records by hand --- */

typedef struct {
    mlkv_slice key, value;
    bool is_delete;
} hand;

static int hand_rule(op *o, void *context)
{
    const hand *self = context;
    return self->is_delete ? op_delete(o, self->key) : op_put(o, self->key, self->value);
}

static void take_out(mlkv *db, const record_key *key)
{
    hand call = {.key = record_key_slice(key), .is_delete = true};
    OK(op_write(db, hand_rule, &call));
}

static void put_in(mlkv *db, mlkv_slice key, mlkv_slice value)
{
    hand call = {.key = key, .value = value};
    OK(op_write(db, hand_rule, &call));
}

typedef struct {
    mlkv_slice name;
    uint64_t id;
} id_call;

static int id_rule(op *o, void *context)
{
    id_call *self = context;
    entry found;
    int result = entry_open(o, self->name, TYPE_ANY, &found);
    self->id = found.header.id;
    return result;
}

static uint64_t id_of(mlkv *db, const char *name)
{
    id_call call = {.name = slice_of_text(name)};
    OK(op_read(db, id_rule, &call));
    return call.id;
}

static void lose_key(mlkv *db, const char *name)
{
    record_key key;
    OK(layout_key(slice_of_text(name), &key));
    take_out(db, &key);
}

static void lose_element(mlkv *db, const char *name, mlkv_slice part)
{
    record_key key;
    OK(layout_element(id_of(db, name), part, &key));
    take_out(db, &key);
}

static void lose_indexed(mlkv *db, int record_class, const char *name, uint64_t index)
{
    record_key key;
    layout_indexed(record_class, id_of(db, name), index, &key);
    take_out(db, &key);
}

static mlkv_slice member(int i)
{
    static char names[8][16];
    char *name = names[i % 8];
    return slice_of(name, (size_t)snprintf(name, 16, "member %d", i));
}

/* --- hashes --- */

static void make_hash(mlkv *db, const char *name, int n)
{
    for (int i = 0; i < n; i++) {
        mlkv_pair pair = {member(i), member(i)};
        OK(mlkv_hash_set(db, slice_of_text(name), &pair, 1, NULL));
    }
}

START_TEST(hash_fields)
{
    bench b;
    uint64_t n = 0;
    open_bench(&b);
    make_hash(b.db, "hash", 10);
    make_hash(b.db, "all gone", 2);
    make_hash(b.db, "no key", 7);
    lose_element(b.db, "hash", member(3));
    lose_element(b.db, "all gone", member(0));
    lose_element(b.db, "all gone", member(1));
    lose_key(b.db, "no key");
    salvage(&b);
    OK(mlkv_hash_length(b.db, TEXT("hash"), &n));
    ck_assert_uint_eq(n, 9);
    MUST(MLKV_ABSENT, mlkv_hash_exists(b.db, TEXT("hash"), member(3)));
    OK(mlkv_hash_exists(b.db, TEXT("hash"), member(4)));
    ck_assert_uint_eq(key_count(b.db), 1);
    ck_assert_uint_eq(b.report.keys, 1);
    ck_assert_uint_eq(b.report.keys_lost, 1);
    ck_assert_uint_eq(b.report.elements, 9);
    ck_assert_uint_eq(b.report.elements_lost, 1 + 2 + 7);
    ck_assert_uint_eq(b.report.losses, 3);
    told(&b, "hash 'hash': 1 of its 10 fields");
    told(&b, "key 'all gone' is lost");
    told(&b, "7 records of elements with id 3");
    close_bench(&b);
}
END_TEST

START_TEST(field_expiries)
{
    bench b;
    record_key key;
    int64_t at = 0, outcome;
    uint64_t n = 0;
    open_bench(&b);
    make_hash(b.db, "hash", 6);
    make_hash(b.db, "other", 6);
    make_hash(b.db, "third", 6);
    for (int i = 0; i < 4; i++) {
        static const char *const names[] = {"hash", "other", "third"};
        mlkv_slice field_name = member(i);
        for (int j = 0; j < 3; j++)
            OK(mlkv_hash_expire_at(b.db, slice_of_text(names[j]), &field_name, 1,
                                   INT64_C(4000000000000) + i, MLKV_EXPIRE_ALWAYS, &outcome));
    }
    lose_element(b.db, "hash", member(0)); /* its Y record is too many then */
    OK(layout_field_expiry(id_of(b.db, "other"), INT64_C(4000000000002), member(2), &key));
    take_out(b.db, &key);
    for (int i = 0; i < 4; i++)
        lose_element(b.db, "third", member(i)); /* no field expires any more */
    salvage(&b);
    OK(mlkv_hash_length(b.db, TEXT("hash"), &n));
    ck_assert_uint_eq(n, 5);
    mlkv_slice field_name = member(2);
    OK(mlkv_hash_expiry(b.db, TEXT("other"), &field_name, 1, &at));
    ck_assert_int_eq(at, INT64_C(4000000000002));
    OK(mlkv_hash_length(b.db, TEXT("third"), &n));
    ck_assert_uint_eq(n, 2);
    ck_assert_uint_eq(count_records(b.db, "F"), 2);
    ck_assert_uint_eq(count_records(b.db, "Y"), 3 + 4);
    ck_assert_uint_eq(b.report.elements_lost, 5);
    close_bench(&b);
}
END_TEST

/* --- sets and sorted sets: either record of a member is enough --- */

START_TEST(set_members)
{
    bench b;
    uint64_t n = 0;
    uint8_t present[12];
    open_bench(&b);
    for (int i = 0; i < 10; i++) {
        mlkv_slice one = member(i);
        OK(mlkv_set_add(b.db, TEXT("set"), &one, 1, NULL));
    }
    mlkv_slice long_one = long_name(600, 1), long_two = long_name(600, 2);
    OK(mlkv_set_add(b.db, TEXT("set"), &long_one, 1, NULL));
    OK(mlkv_set_add(b.db, TEXT("set"), &long_two, 1, NULL));
    lose_element(b.db, "set", member(2));
    lose_indexed(b.db, RECORD_LIST, "set", 5);
    lose_element(b.db, "set", member(7)); /* both of it */
    lose_indexed(b.db, RECORD_LIST, "set", 7);
    lose_element(b.db, "set", long_one);
    salvage(&b);
    OK(mlkv_set_count(b.db, TEXT("set"), &n));
    ck_assert_uint_eq(n, 11);
    for (int i = 0; i < 10; i++) {
        mlkv_slice one = member(i);
        OK(mlkv_set_contains(b.db, TEXT("set"), &one, 1, &present[i]));
        ck_assert_uint_eq(present[i], i != 7);
    }
    OK(mlkv_set_contains(b.db, TEXT("set"), &long_one, 1, &present[10]));
    ck_assert_uint_eq(present[10], 1);
    ck_assert_uint_eq(count_records(b.db, "L"), 11);
    ck_assert_uint_eq(b.report.elements_lost, 1);
    told(&b, "set 'set': 1 of its 12 members");
    close_bench(&b);
}
END_TEST

static void lose_order(mlkv *db, const char *name, double score, mlkv_slice one)
{
    record_key key;
    OK(layout_ordered(id_of(db, name), layout_score_bits(score), one, &key));
    take_out(db, &key);
}

START_TEST(zset_members)
{
    bench b;
    uint64_t n = 0;
    double score = 0;
    open_bench(&b);
    for (int i = 0; i < 10; i++) {
        mlkv_scored one = {.member = member(i), .score = i - 4.5};
        OK(mlkv_zset_add(b.db, TEXT("zset"), &one, 1, 0, NULL, NULL));
    }
    mlkv_scored long_one = {.member = long_name(700, 1), .score = 17};
    OK(mlkv_zset_add(b.db, TEXT("zset"), &long_one, 1, 0, NULL, NULL));
    lose_element(b.db, "zset", member(1));
    lose_order(b.db, "zset", -2.5, member(2));
    lose_element(b.db, "zset", member(3));
    lose_order(b.db, "zset", -1.5, member(3));
    lose_element(b.db, "zset", long_one.member);
    salvage(&b);
    OK(mlkv_zset_count(b.db, TEXT("zset"), &n));
    ck_assert_uint_eq(n, 10);
    OK(mlkv_zset_score(b.db, TEXT("zset"), member(1), &score));
    ck_assert(score == -3.5);
    MUST(MLKV_ABSENT, mlkv_zset_score(b.db, TEXT("zset"), member(3), &score));
    OK(mlkv_zset_score(b.db, TEXT("zset"), long_one.member, &score));
    ck_assert(score == 17);
    ck_assert_uint_eq(count_records(b.db, "O"), 10);
    ck_assert_uint_eq(b.report.elements_lost, 1);
    close_bench(&b);
}
END_TEST

/* --- lists, tensors, blobs --- */

START_TEST(list_elements)
{
    bench b;
    mlkv_rows rows = {0};
    open_bench(&b);
    for (int i = 0; i < 20; i++) {
        mlkv_slice one = member(i);
        OK(mlkv_list_push(b.db, TEXT("list"), MLKV_LIST_RIGHT, &one, 1, NULL));
    }
    scan *walk = NULL; /* the numbers begin somewhere */
    mlkv_slice key, value;
    OK(scan_open(b.db, TEXT("L"), slice_of(NULL, 0), &walk));
    OK(scan_next(walk, &key, &value));
    uint64_t head = load_be64((const char *)key.data + 9);
    scan_close(walk);
    lose_indexed(b.db, RECORD_LIST, "list", head);
    lose_indexed(b.db, RECORD_LIST, "list", head + 7);
    lose_indexed(b.db, RECORD_LIST, "list", head + 19);
    salvage(&b);
    OK(mlkv_list_range(b.db, TEXT("list"), 0, -1, &rows));
    ck_assert_uint_eq(rows.count, 17);
    size_t at = 0;
    for (int i = 0; i < 20; i++) {
        if (i != 0 && i != 7 && i != 19)
            ck_assert(slice_equal(rows.items[at++], member(i)));
    }
    mlkv_rows_free(&rows);
    ck_assert_uint_eq(count_records(b.db, "L"), 17);
    mlkv_slice more = TEXT("more");
    OK(mlkv_list_push(b.db, TEXT("list"), MLKV_LIST_RIGHT, &more, 1, NULL));
    verify_all(b.db);
    close_bench(&b);
}
END_TEST

START_TEST(tensor_chunks)
{
    bench b;
    float numbers[64] = {1, 2, 3};
    const mlkv_tensor form = {.dtype = MLKV_F32, .dimensions = 2, .shape = {8, 8}};
    mlkv_tensor_options options = {.size = sizeof options, .chunk_bytes = 64};
    open_bench(&b);
    OK(mlkv_tensor_put(b.db, TEXT("whole"), &form, numbers, &options));
    OK(mlkv_tensor_put(b.db, TEXT("broken"), &form, numbers, &options));
    lose_indexed(b.db, RECORD_TENSOR, "broken", 2);
    salvage(&b);
    OK(mlkv_tensor_get(b.db, TEXT("whole"), numbers, sizeof numbers));
    ck_assert(numbers[1] == 2);
    MUST(MLKV_ABSENT, mlkv_tensor_get(b.db, TEXT("broken"), numbers, sizeof numbers));
    ck_assert_uint_eq(count_records(b.db, "T"), 4);
    ck_assert_uint_eq(b.report.keys_lost, 1);
    told(&b, "key 'broken' is lost: 1 of its 4 chunks are");
    close_bench(&b);
}
END_TEST

START_TEST(blobs)
{
    enum { SIZE = 300000 };
    bench b;
    record_key key;
    mlkv_buffer got = {0};
    char *bytes = malloc(SIZE);
    ck_assert_ptr_nonnull(bytes);
    open_bench(&b); /* its blobs begin at 64 KiB */
    for (unsigned i = 0; i < 3; i++) {
        char name[] = {'b', (char)('0' + i)};
        fill_noise(bytes, SIZE, i);
        OK(mlkv_string_set(b.db, slice_of(name, 2), slice_of(bytes, SIZE), MLKV_SET_ALWAYS));
    }
    fill_noise(bytes, SIZE, 3);
    mlkv_pair pair = {TEXT("field"), slice_of(bytes, SIZE)};
    OK(mlkv_hash_set(b.db, TEXT("hash"), &pair, 1, NULL));
    ck_assert_uint_eq(count_records(b.db, "R"), 4);
    layout_id(RECORD_BLOB, 1, &key); /* piece 0 of the first */
    key.size = 13;
    memset(key.bytes + 9, 0, 4);
    take_out(b.db, &key);
    layout_id(RECORD_REFERENCE, 2, &key);
    take_out(b.db, &key);
    layout_id(RECORD_REFERENCE, 3, &key);
    put_in(b.db, record_key_slice(&key), TEXT("\7\0\0\0\0\0\0\0"));
    layout_id(RECORD_REFERENCE, 77, &key);
    put_in(b.db, record_key_slice(&key), TEXT("\1\0\0\0\0\0\0\0"));
    lose_key(b.db, "hash"); /* and with it goes what its field referred to */
    salvage(&b);
    MUST(MLKV_ABSENT, mlkv_string_get(b.db, TEXT("b0"), &got));
    for (unsigned i = 1; i < 3; i++) {
        char name[] = {'b', (char)('0' + i)};
        fill_noise(bytes, SIZE, i);
        OK(mlkv_string_get(b.db, slice_of(name, 2), &got));
        ck_assert(got.size == SIZE && memcmp(got.data, bytes, SIZE) == 0);
    }
    ck_assert_uint_eq(b.report.blobs, 2);
    ck_assert_uint_eq(count_records(b.db, "R"), 2);
    ck_assert_uint_eq(count_records(b.db, "B"), 2);
    told(&b, "key 'b0' is lost");
    mlkv_buffer_free(&got);
    free(bytes);
    close_bench(&b);
}
END_TEST

/* --- the rest --- */

START_TEST(counters_and_expiries)
{
    bench b;
    int64_t left = 0;
    open_bench(&b);
    OK(mlkv_string_set(b.db, TEXT("a"), TEXT("1"), MLKV_SET_ALWAYS));
    OK(mlkv_string_set(b.db, TEXT("expires"), TEXT("2"), MLKV_SET_ALWAYS));
    OK(mlkv_string_set(b.db, TEXT("too"), TEXT("3"), MLKV_SET_ALWAYS));
    OK(mlkv_key_expire_at(b.db, TEXT("expires"), INT64_C(4000000000000), MLKV_EXPIRE_ALWAYS));
    OK(mlkv_key_expire_at(b.db, TEXT("too"), INT64_C(4000000000000), MLKV_EXPIRE_ALWAYS));
    record_key key;
    OK(layout_element(UINT64_C(4000000000000), TEXT("expires"), &key));
    key.bytes[0] = RECORD_EXPIRY;
    take_out(b.db, &key);
    lose_key(b.db, "too"); /* its X record is too many then */
    put_in(b.db, TEXT("Ckeys"), TEXT("\x63\0\0\0\0\0\0\0"));
    put_in(b.db, TEXT("Cother"), TEXT("what"));
    put_in(b.db, TEXT("Zstrange"), TEXT("what"));
    salvage(&b);
    ck_assert_uint_eq(key_count(b.db), 2);
    ck_assert_uint_eq(count_records(b.db, "X"), 1);
    ck_assert_uint_eq(count_records(b.db, "Z"), 0);
    ck_assert_uint_eq(count_records(b.db, "C"), 1);
    OK(mlkv_key_expiry(b.db, TEXT("expires"), &left));
    ck_assert_int_eq(left, INT64_C(4000000000000));
    told(&b, "record 'Zstrange' is left out");
    close_bench(&b);
}
END_TEST

/* Two keys that say the same id, a key that cannot be read, elements that wait for the cleaner. */
START_TEST(strange_keys)
{
    bench b;
    uint64_t n = 0;
    mlkv_buffer got = {0};
    open_bench(&b);
    make_hash(b.db, "first", 5);
    OK(mlkv_string_set(b.db, TEXT("string"), TEXT("value"), MLKV_SET_ALWAYS));
    unsigned char copy[LAYOUT_KEY_HEADER_SIZE];
    key_header header = {.type = TYPE_HASH, .id = id_of(b.db, "first"), .count = 5};
    layout_write_header(&header, copy);
    put_in(b.db, TEXT("Ksecond"), slice_of(copy, sizeof copy));
    copy[0] = 99;
    put_in(b.db, TEXT("Kwrong"), slice_of(copy, sizeof copy));
    make_hash(b.db, "deleted", 50);
    unsigned char type = TYPE_HASH;
    record_key key;
    layout_id(RECORD_GARBAGE, id_of(b.db, "deleted"), &key);
    put_in(b.db, record_key_slice(&key), slice_of(&type, 1));
    lose_key(b.db, "deleted");
    salvage(&b);
    OK(mlkv_hash_length(b.db, TEXT("first"), &n));
    ck_assert_uint_eq(n, 5);
    ck_assert_uint_eq(key_count(b.db), 2);
    ck_assert_uint_eq(b.report.keys_lost, 2);
    ck_assert_uint_eq(count_records(b.db, "E"), 5);
    ck_assert_uint_eq(count_records(b.db, "G"), 0);
    told(&b, "key 'second' is lost");
    told(&b, "key 'wrong' is lost");
    OK(mlkv_string_get(b.db, TEXT("string"), &got));
    mlkv_buffer_free(&got);
    uint64_t before = id_of(b.db, "first");
    make_hash(b.db, "new", 1); /* ids go on */
    ck_assert_uint_gt(id_of(b.db, "new"), before);
    close_bench(&b);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("salvage");
    TCase *tcase = harness_case(suite, "records");
    tcase_add_test(tcase, hash_fields);
    tcase_add_test(tcase, field_expiries);
    tcase_add_test(tcase, set_members);
    tcase_add_test(tcase, zset_members);
    tcase_add_test(tcase, list_elements);
    tcase_add_test(tcase, tensor_chunks);
    tcase_add_test(tcase, blobs);
    tcase_add_test(tcase, counters_and_expiries);
    tcase_add_test(tcase, strange_keys);
    return harness_run(suite);
}
