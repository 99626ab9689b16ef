/* test_verify.c - mlkv_verify on stores that are right, and on stores into which one wrong thing
 * was put, below the library. */
#include "base/hash.h"
#include "base/random.h"
#include "base/record.h"
#include "codec/cell.h"
#include "harness.h"
#include "store/store.h"
#include "types/tensor.h"

#include <lmdb.h>
#include <mlkv/mlkv.h>

enum { FIELDS = 10, MEMBERS = 20, LARGE = 3 << 20 };

static void fill(mlkv *db)
{
    static unsigned char large[LARGE];
    static char long_name[900];
    memset(long_name, 'x', sizeof long_name);
    for (size_t i = 0; i < sizeof large; i += 8) {
        uint64_t word = random_u64();
        memcpy(large + i, &word, 8);
    }
    OK(mlkv_string_set(db, TEXT("small"), TEXT("value"), MLKV_SET_ALWAYS));
    OK(mlkv_string_set(db, TEXT("large"), slice_of(large, LARGE), MLKV_SET_ALWAYS));
    OK(mlkv_string_set(db, slice_of(long_name, sizeof long_name), TEXT("long"), MLKV_SET_ALWAYS));
    for (uint32_t i = 0; i < FIELDS; i++)
        OK(mlkv_hash_set(db, TEXT("hash"), &(mlkv_pair){slice_of(&i, 4), slice_of(large, 100 * i)},
                         1, NULL));
    OK(mlkv_hash_set(db, TEXT("hash"), &(mlkv_pair){TEXT("big"), slice_of(large, 1 << 20)}, 1,
                     NULL));
    for (uint32_t i = 0; i < MEMBERS; i++)
        OK(mlkv_set_add(db, TEXT("set"), (mlkv_slice[]){slice_of(&i, 4)}, 1, NULL));
    OK(mlkv_set_add(db, TEXT("set"), (mlkv_slice[]){slice_of(long_name, sizeof long_name)}, 1,
                    NULL));
    mlkv_tensor tensor = {MLKV_F32, 2, {64, 1000}};
    mlkv_tensor_options options = {.size = sizeof options, .chunk_bytes = 16 << 10};
    OK(mlkv_tensor_put(db, TEXT("tensor"), &tensor, large, &options));
    options.chunk_bytes = 1 << 20;
    OK(mlkv_tensor_put(db, TEXT("weights"), &(mlkv_tensor){MLKV_U8, 2, {3, 1 << 20}}, large,
                       &options));
}

typedef struct {
    char text[2000];
    int count, stop_at;
} problems;

static int collect(void *context, const char *problem)
{
    problems *self = context;
    size_t used = strlen(self->text);
    snprintf(self->text + used, sizeof self->text - used, "%s\n", problem);
    return ++self->count == self->stop_at;
}

static char
    original[512]; /* a store that each test copies: making one costs a dozen syncs of the disk */

static void make_original(void)
{
    mlkv *db = NULL;
    snprintf(original, sizeof original, "%s", harness_folder());
    OK(mlkv_open(original, NULL, &db));
    fill(db);
    OK(mlkv_close(db));
}

static void remove_original(void)
{
    harness_remove(original);
}

static void make_store(const char *folder)
{
    char command[1800];
    snprintf(command, sizeof command, "cp '%s'/data.mdb '%s'/journal.lock '%s'", original, original,
             folder);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(test_good)
{
    const char *folder = harness_folder();
    mlkv *db = NULL, *view = NULL;
    mlkv_report report = {.size = sizeof report}, again = {.size = sizeof again};
    problems found = {.stop_at = 0};
    OK(mlkv_open(folder, NULL, &db));
    OK(mlkv_verify(db, collect, &found, &report));
    ck_assert_uint_eq(report.keys, 0);
    fill(db);
    OK(mlkv_verify(db, collect, &found, &report));
    ck_assert_uint_eq(report.keys, 7);
    ck_assert_uint_eq(report.elements, FIELDS + 1 + MEMBERS + 1 + 16 + 3);
    ck_assert_uint_eq(report.blobs, 5);
    ck_assert_uint_eq(report.problems, 0);
    ck_assert_uint_gt(report.bytes, 7 << 20);
    ck_assert_uint_gt(report.records, report.keys + report.elements + MEMBERS);
    OK(mlkv_snapshot(db, &view));
    OK(mlkv_verify(view, NULL, NULL, &again));
    ck_assert_uint_eq(again.keys, 7);
    ck_assert_uint_eq(again.blobs, 5);
    OK(mlkv_close(view));
    OK(mlkv_begin(db, &view));
    OK(mlkv_string_set(view, TEXT("more"), TEXT("value"), MLKV_SET_ALWAYS));
    OK(mlkv_verify(view, collect, &found, &again));
    ck_assert_uint_eq(again.keys, 8);
    OK(mlkv_abort(view));
    report.size--;
    MUST(MLKV_E_ARGUMENT, mlkv_verify(db, NULL, NULL, &report));
    MUST(MLKV_E_ARGUMENT, mlkv_verify(NULL, NULL, NULL, NULL));
    ck_assert_str_eq(found.text, "");
    OK(mlkv_key_delete(
        db, (mlkv_slice[]){TEXT("hash"), TEXT("large"), TEXT("tensor"), TEXT("weights")}, 4, NULL));
    OK(mlkv_verify(db, NULL, NULL, &again)); /* whatever the cleaner has done by now */
    ck_assert_uint_eq(again.keys, 3);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* --- damage --- */

typedef struct {
    store *store;
    store_write *write;
    unsigned char key[RECORD_KEY_SIZE_MAX];
    mlkv_buffer value; /* of the record found */
    mlkv_slice found;
} damage;

/* Finds the n-th record that begins with prefix and contains `text` in its key. */
static void find(damage *self, mlkv_slice prefix, const char *text, int n)
{
    store_read *read;
    store_cursor *cursor;
    mlkv_slice key, value;
    OK(store_read_begin(self->store, &read));
    OK(store_cursor_open(read, &cursor));
    int result = store_cursor_seek(cursor, prefix, &key, &value);
    while (result == 0 && (memmem(key.data, key.size, text, strlen(text)) == NULL || n-- > 0))
        result = store_cursor_next(cursor, &key, &value);
    MUST(0, result);
    ck_assert(slice_starts_with(key, prefix));
    memcpy(self->key, key.data, key.size);
    self->found = slice_of(self->key, key.size);
    mlkv_buffer_free(&self->value);
    self->value.data = malloc(value.size + 1);
    ck_assert_ptr_nonnull(self->value.data);
    bytes_copy(self->value.data, value.data, value.size);
    self->value.size = self->value.capacity = value.size;
    store_cursor_close(cursor);
    store_read_end(read);
}

static unsigned char *bytes_of(damage *self)
{
    return self->value.data;
}

static void put(damage *self, mlkv_slice key, mlkv_slice value)
{
    OK(store_write_put(self->write, key, value, slice_of(NULL, 0)));
}

static void put_back(damage *self)
{
    put(self, self->found, slice_of(self->value.data, self->value.size));
}

static void drop(damage *self)
{
    OK(store_write_delete(self->write, self->found));
}

static uint64_t id_of(damage *self, const char *name)
{
    find(self, TEXT("K"), name, 0);
    return load_le64(bytes_of(self) + 8);
}

/* The n-th E, L or T record of a key. */
static void find_element(damage *self, int class, const char *name, int n)
{
    record_key prefix;
    layout_id(class, id_of(self, name), &prefix);
    find(self, record_key_slice(&prefix), "", n);
}

static void add(damage *self, size_t offset, uint64_t difference)
{
    store_le64(bytes_of(self) + offset, load_le64(bytes_of(self) + offset) + difference);
    put_back(self);
}

static void put_piece(damage *self, uint64_t id, uint32_t piece)
{
    unsigned char key[13] = {'B'};
    mlkv_buffer stored = {0};
    store_be64(key + 1, id);
    store_be32(key + 9, piece);
    OK(blob_piece_encode(&(cell_options){SIZE_MAX, 1}, (planes_form){0}, id, piece,
                         TEXT("some bytes"), &stored));
    put(self, slice_of(key, sizeof key), slice_of(stored.data, stored.size));
    mlkv_buffer_free(&stored);
}

static void missing_field(damage *self)
{
    find_element(self, 'E', "hash", 3);
    drop(self);
}
static void missing_member(damage *self)
{
    find_element(self, 'E', "set", 3);
    drop(self);
}
static void missing_index(damage *self)
{
    find_element(self, 'L', "set", 3);
    drop(self);
}
static void surplus_index(damage *self)
{
    record_key key;
    layout_indexed('L', id_of(self, "set"), 21, &key);
    put(self, record_key_slice(&key), TEXT("nobody"));
}
static void swapped_index(damage *self)
{
    find_element(self, 'L', "set", 3);
    memcpy(bytes_of(self), "\xff\xff\xff\xff", 4);
    put_back(self);
}
static void wrong_index(damage *self)
{
    find_element(self, 'E', "set", 3);
    add(self, 0, 1000);
}
static void orphan_element(damage *self)
{
    record_key key;
    OK(layout_element(987654321, TEXT("field"), &key));
    put(self, record_key_slice(&key), slice_of("\0value", 6));
}
static void list_of_hash(damage *self)
{
    record_key key;
    layout_indexed('L', id_of(self, "hash"), 0, &key);
    put(self, record_key_slice(&key), TEXT("value"));
}
static void field_of_tensor(damage *self)
{
    record_key key;
    OK(layout_element(id_of(self, "tensor"), TEXT("field"), &key));
    put(self, record_key_slice(&key), slice_of("\0value", 6));
}
static void bad_cell(damage *self)
{
    find_element(self, 'E', "hash", 4);
    bytes_of(self)[0] = 77;
    put_back(self);
}
static void bad_string(damage *self)
{
    find(self, TEXT("Ksmall"), "", 0);
    bytes_of(self)[32] = CELL_ZSTD;
    put_back(self);
}
static void missing_chunk(damage *self)
{
    find_element(self, 'T', "tensor", 3);
    drop(self);
}
static void surplus_chunk(damage *self)
{
    find_element(self, 'T', "tensor", 3);
    store_be64(self->key + 9, 16);
    put_back(self);
}
static void chunk_checksum(damage *self)
{
    find_element(self, 'T', "tensor", 3);
    add(self, 0, 1);
}
static void blob_chunk_checksum(damage *self)
{
    find_element(self, 'T', "weights", 1);
    add(self, 0, 1);
}
static void chunk_size(damage *self)
{
    find_element(self, 'T', "tensor", 3);
    add(self, 8, 1);
}
static void chunk_stored(damage *self)
{
    find_element(self, 'T', "tensor", 3);
    add(self, 8, (uint64_t)1 << 32);
}
static void chunk_short(damage *self)
{
    find_element(self, 'T', "tensor", 3);
    self->value.size = 16;
    put_back(self);
}
static void count_wrong(damage *self)
{
    find(self, TEXT("Khash"), "", 0);
    add(self, 16, 1);
}
static void type_unknown(damage *self)
{
    find(self, TEXT("Khash"), "", 0);
    bytes_of(self)[0] = 9;
    put_back(self);
}
static void layout_unknown(damage *self)
{
    find(self, TEXT("Ksmall"), "", 0);
    bytes_of(self)[1] = 2;
    put_back(self);
}
static void dtype_unknown(damage *self)
{
    find(self, TEXT("Ktensor"), "", 0);
    bytes_of(self)[32] = 99;
    put_back(self);
}
static void shape_other(damage *self)
{
    find(self, TEXT("Ktensor"), "", 0);
    add(self, 64, 5);
}
static void same_id(damage *self)
{
    find(self, TEXT("Khash"), "", 0);
    put(self, TEXT("Khash2"), slice_of(self->value.data, self->value.size));
}
static void long_name_short(damage *self)
{
    find(self, TEXT("Kxxx"), "", 0);
    store_le32(bytes_of(self), 899);
    put_back(self);
}
static void piece_missing(damage *self)
{
    find(self, TEXT("B"), "", 1);
    drop(self);
}
static void piece_flipped(damage *self)
{
    find(self, TEXT("B"), "", 1);
    bytes_of(self)[5000] ^= 4;
    put_back(self);
}
static void piece_header(damage *self)
{
    find(self, TEXT("B"), "", 1);
    bytes_of(self)[20] ^= 1;
    put_back(self);
}
static void piece_short(damage *self)
{
    find(self, TEXT("B"), "", 1);
    self->value.size = 20;
    put_back(self);
}
static void piece_surplus(damage *self)
{
    find(self, TEXT("B"), "", 0);
    put_piece(self, load_be64(self->key + 1), 50);
}
static void nobody_s_blob(damage *self)
{
    put_piece(self, 77777, 0);
}
static void references_more(damage *self)
{
    find(self, TEXT("R"), "", 0);
    add(self, 0, 1);
}
static void references_zero(damage *self)
{
    find(self, TEXT("R"), "", 0);
    add(self, 0, (uint64_t)-1);
}
static void references_missing(damage *self)
{
    find(self, TEXT("R"), "", 0);
    drop(self);
}
static void references_size(damage *self)
{
    find(self, TEXT("R"), "", 0);
    self->value.size = 7;
    put_back(self);
}
static void waste_in_use(damage *self)
{
    find(self, TEXT("R"), "", 0);
    self->key[0] = 'W';
    put(self, self->found, slice_of(NULL, 0));
}
static void keys_more(damage *self)
{
    find(self, TEXT("Ckeys"), "", 0);
    add(self, 0, 1);
}
static void counter_unknown(damage *self)
{
    put(self, TEXT("Cother"), TEXT("12345678"));
}
static void class_unknown(damage *self)
{
    put(self, TEXT("Zebra"), TEXT("value"));
}
static void class_unused(damage *self)
{
    put(self, TEXT("Z12345678"), TEXT(""));
}
static void garbage_short(damage *self)
{
    put(self, TEXT("G123"), TEXT("\2"));
}

static const struct {
    void (*apply)(damage *);
    const char *expected;
} damages[] = {
    {missing_field, "key 'hash' counts 11 elements, 10 are there"},
    {missing_member, "key 'set' counts 21 elements, 20 are there"},
    {missing_index, "does not stand at its index"},
    {surplus_index, "set 'set' has 21 members, but 22 in its index"},
    {swapped_index, "does not stand at its index"},
    {wrong_index, "but the set counts 21"},
    {orphan_element, "belongs to no key"},
    {list_of_hash, "has no such elements"},
    {field_of_tensor, "has no such elements"},
    {bad_cell, "record 'E"},
    {bad_string, "record 'Ksmall'"},
    {missing_chunk, "key 'tensor' counts 16 elements, 15 are there"},
    {surplus_chunk, "has a size that does not fit the shape"},
    {chunk_checksum, "does not have the bytes that its checksum was made of"},
    {blob_chunk_checksum, "does not have the bytes that its checksum was made of"},
    {chunk_size, "has a size that does not fit the shape"},
    {chunk_stored, "bytes are stored, its chunks say"},
    {chunk_short, "is too short"},
    {count_wrong, "key 'hash' counts 12 elements, 11 are there"},
    {type_unknown, "unknown type 9"},
    {layout_unknown, "unknown layout version 2"},
    {dtype_unknown, "its dtype is unknown"},
    {shape_other, "its shape needs"},
    {same_id, "which another key or a deleted one has too"},
    {long_name_short, "record 'Kxxx"},
    {piece_missing, "refers to blob"},
    {piece_flipped, "piece"},
    {piece_header, "piece"},
    {piece_short, "piece"},
    {piece_surplus, "refers to blob"},
    {nobody_s_blob, "blob 77777 belongs to nobody"},
    {references_more, "counts 2 references, 1 are there"},
    {references_zero, "is 0"},
    {references_missing, "but has no reference count"},
    {references_size, "has a wrong size"},
    {waste_in_use, "at the same time"},
    {keys_more, "the store counts 8 keys, 7 are there"},
    {counter_unknown, "no counter that this version knows"},
    {class_unknown, "record 'Zebra' has a class"},
    {class_unused, "has a class that this version does not write"},
    {garbage_short, "has a wrong size"},
};

static void apply(const char *folder, void (*change)(damage *))
{
    damage self = {.store = NULL};
    OK(store_open(folder, false, false, &self.store));
    OK(store_write_begin(self.store, &self.write));
    change(&self);
    OK(store_write_commit(self.write));
    store_close(self.store);
    mlkv_buffer_free(&self.value);
}

/* Read-only, so that the cleaner does not meet the damage first. */
static int verify_folder(const char *folder, problems *found, mlkv_report *report)
{
    mlkv *db = NULL;
    mlkv_options options = {.size = sizeof options, .flags = MLKV_READ_ONLY};
    OK(mlkv_open(folder, &options, &db));
    int result = mlkv_verify(db, collect, found, report);
    if (result != MLKV_OK)
        ck_assert_ptr_nonnull(strstr(found->text, mlkv_error_detail()));
    OK(mlkv_close(db));
    return result;
}

START_TEST(test_damage)
{
    const char *folder = harness_folder();
    problems found = {.stop_at = 0};
    mlkv_report report = {.size = sizeof report};
    make_store(folder);
    apply(folder, damages[_i].apply);
    MUST(MLKV_E_CORRUPT, verify_folder(folder, &found, &report));
    ck_assert_msg(strstr(found.text, damages[_i].expected) != NULL, "expected '%s', found:\n%s",
                  damages[_i].expected, found.text);
    ck_assert_int_eq((int)report.problems, found.count);
    ck_assert_int_le(found.count, 4); /* one thing is wrong: not everything is blamed */
    harness_remove(folder);
}
END_TEST

/* --- what looks odd and is no problem --- */

static void garbage(damage *self)
{
    record_key key;
    layout_id('G', 55555, &key);
    put(self, record_key_slice(&key), slice_of("\2", 1));
    OK(layout_element(55555, TEXT("field"), &key));
    put(self, record_key_slice(&key), slice_of("\0value", 6));
}
static void half_written_blob(damage *self)
{
    unsigned char key[9] = {'N'};
    store_be64(key + 1, 77777);
    put(self, slice_of(key, 9), TEXT("12345678"));
    put_piece(self, 77777, 0);
}
static void half_deleted_blob(damage *self)
{
    unsigned char key[9] = {'W'};
    store_be64(key + 1, 77777);
    put(self, slice_of(key, 9), slice_of(NULL, 0));
    put_piece(self, 77777, 3);
}

START_TEST(test_unclaimed)
{
    static void (*const changes[])(damage *) = {garbage, half_written_blob, half_deleted_blob};
    const char *folder = harness_folder();
    problems found = {.stop_at = 0};
    mlkv_report report = {.size = sizeof report};
    make_store(folder);
    apply(folder, changes[_i]);
    int result = verify_folder(folder, &found, &report);
    ck_assert_str_eq(found.text, "");
    MUST(MLKV_OK, result);
    ck_assert_uint_eq(report.unclaimed, 1);
    harness_remove(folder);
}
END_TEST

static void much(damage *self)
{
    orphan_element(self);
    nobody_s_blob(self);
    keys_more(self);
}

START_TEST(test_stop)
{
    const char *folder = harness_folder();
    mlkv_report report = {.size = sizeof report};
    make_store(folder);
    apply(folder, much);
    for (int stop = 1; stop <= 4; stop++) {
        problems found = {.stop_at = stop};
        MUST(MLKV_E_CORRUPT, verify_folder(folder, &found, &report));
        ck_assert_int_eq(found.count, stop < 3 ? stop : 3);
    }
    harness_remove(folder);
}
END_TEST

/* A record whose seal is wrong: the store cannot read it, the walk goes on behind its class. */
START_TEST(test_unreadable)
{
    const char *folder = harness_folder();
    problems found = {.stop_at = 0};
    mlkv_report report = {.size = sizeof report};
    make_store(folder);
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi tree;
    MDB_val key = {6, "Ksmall"}, value = {30, "thirty bytes without their seal"};
    ck_assert_int_eq(mdb_env_create(&env), 0);
    ck_assert_int_eq(mdb_env_set_mapsize(env, (size_t)1 << 30), 0);
    ck_assert_int_eq(mdb_env_open(env, folder, 0, 0600), 0);
    ck_assert_int_eq(mdb_txn_begin(env, NULL, 0, &txn), 0);
    ck_assert_int_eq(mdb_dbi_open(txn, NULL, 0, &tree), 0);
    ck_assert_int_eq(mdb_put(txn, tree, &key, &value, 0), 0);
    key = (MDB_val){5, "Zebra"};
    ck_assert_int_eq(mdb_put(txn, tree, &key, &value, 0), 0);
    ck_assert_int_eq(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
    MUST(MLKV_E_CORRUPT, verify_folder(folder, &found, &report));
    ck_assert_msg(strstr(found.text, "cannot be read") != NULL &&
                      strstr(found.text, "Ksmall") != NULL,
                  "%s", found.text);
    ck_assert_msg(strstr(found.text, "Zebra") != NULL, "%s", found.text);
    ck_assert_int_eq(found.count, 2);
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("verify");
    TCase *tcase = harness_case(suite, "verify");
    tcase_add_unchecked_fixture(tcase, make_original, remove_original);
    tcase_add_test(tcase, test_good);
    tcase_add_loop_test(tcase, test_damage, 0, sizeof damages / sizeof *damages);
    tcase_add_loop_test(tcase, test_unclaimed, 0, 3);
    tcase_add_test(tcase, test_stop);
    tcase_add_test(tcase, test_unreadable);
    return harness_run(suite);
}
