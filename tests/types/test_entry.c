/* test_entry.c - a key's own record: lives, counter, expiry, hostile records. Rules are run through the waist as the types do. */
#include "types/stores.h"

#include "types/entry.h"

typedef struct {
    const char *name;
    int type, opened;
    int64_t expiry_ms;
    entry found;
    int (*then)(op *, entry *);
} trial;

static int open_rule(op *o, void *context)
{
    trial *self = context;
    self->opened = entry_open(o, slice_of_text(self->name), self->type, &self->found);
    return self->opened;
}

static int store(op *o, entry *self)
{
    return entry_store(o, self, slice_of("head", 4), slice_of("body", 4));
}

static int write_rule(op *o, void *context)
{
    trial *self = context;
    self->opened = entry_open(o, slice_of_text(self->name), TYPE_ANY, &self->found);
    int result = self->opened == MLKV_ABSENT && self->then == store
                     ? entry_create(o, &self->found, self->type)
                     : self->opened;
    self->found.header.expiry_ms = self->expiry_ms;
    return result != MLKV_OK ? result : self->then(o, &self->found);
}

START_TEST(lives)
{
    mlkv *db = memory_store();
    trial hash = {.name = "k", .type = TYPE_HASH, .then = store};
    OK(op_write(db, write_rule, &hash));
    ck_assert_int_eq(hash.opened, MLKV_ABSENT);
    uint64_t first = hash.found.header.id;
    ck_assert_uint_ne(first, 0);
    ck_assert_uint_eq(key_count(db), 1);
    OK(op_read(db, open_rule, &hash));
    ck_assert_uint_eq(hash.found.header.id, first);
    ck_assert_uint_eq(hash.found.rest.size, 8);
    trial wrong = {.name = "k", .type = TYPE_SET};
    MUST(MLKV_E_TYPE, op_read(db, open_rule, &wrong));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "hash"));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "set"));
    hash.then = entry_remove;
    OK(op_write(db, write_rule, &hash));
    ck_assert_uint_eq(key_count(db), 0);
    MUST(MLKV_ABSENT, op_read(db, open_rule, &hash));
    hash.then = store;
    OK(op_write(db, write_rule, &hash));
    ck_assert_uint_gt(hash.found.header.id, first);
    hash.then = entry_vanish;
    OK(op_write(db, write_rule, &hash));
    ck_assert_uint_eq(key_count(db), 0);
    clean_all(db);
    ck_assert_uint_eq(count_records(db, "G"), 0);
    OK(mlkv_close(db));
}
END_TEST

/* A key whose time is over is missing to everybody, and makes way for a new life. */
START_TEST(expiry)
{
    mlkv *db = memory_store();
    mlkv_buffer value = {0};
    mlkv_slice key = TEXT("k");
    mlkv_type type;
    size_t count;
    trial hash = {.name = "k", .type = TYPE_HASH, .then = store, .expiry_ms = 1};
    OK(op_write(db, write_rule, &hash));
    uint64_t first = hash.found.header.id;
    MUST(MLKV_ABSENT, op_read(db, open_rule, &hash));
    ck_assert(hash.found.expired);
    MUST(MLKV_ABSENT, mlkv_hash_get(db, key, TEXT("f"), &value));
    OK(mlkv_key_exists(db, &key, 1, &count));
    ck_assert_uint_eq(count, 0);
    OK(mlkv_key_type(db, key, &type));
    ck_assert_int_eq(type, MLKV_TYPE_NONE);
    mlkv_query query = {.size = sizeof query};
    mlkv_cursor *cursor = NULL;
    mlkv_slice name;
    OK(mlkv_cursor_open(db, &query, &cursor));
    MUST(MLKV_ABSENT, mlkv_cursor_next(cursor, &name, NULL));
    mlkv_cursor_close(cursor);
    hash.expiry_ms = INT64_MAX;
    OK(op_write(db, write_rule, &hash));
    ck_assert_uint_gt(hash.found.header.id, first);
    ck_assert_uint_eq(key_count(db), 1);
    OK(op_read(db, open_rule, &hash));
    hash.expiry_ms = 1;
    OK(op_write(db, write_rule, &hash));
    OK(mlkv_string_set(db, key, TEXT("v"), MLKV_SET_IF_ABSENT));
    ck_assert_uint_eq(key_count(db), 1);
    trial string = {.name = "k", .type = TYPE_STRING, .then = store, .expiry_ms = 1};
    OK(op_write(db, write_rule, &string));
    MUST(MLKV_ABSENT, mlkv_string_get(db, key, &value));
    OK(mlkv_key_delete(db, &key, 1, &count)); /* not counted, but gone */
    ck_assert_uint_eq(count, 0);
    ck_assert_uint_eq(key_count(db), 0);
    ck_assert_uint_eq(count_records(db, "K"), 0);
    clean_all(db);
    ck_assert_uint_eq(count_records(db, "G"), 0);
    mlkv_buffer_free(&value);
    OK(mlkv_close(db));
}
END_TEST

/* Bytes that no library wrote are an error, never a crash, and name what is wrong. */
START_TEST(hostile_records)
{
    mlkv *db = memory_store();
    mlkv_buffer value = {0};
    uint64_t count;
    const mlkv_slice values[] = {
        TEXT(""),
        TEXT("x"),
        TEXT("\1\1\0\0\0\0\0\0 0123456789"),
        TEXT("\7\1\0\0\0\0\0\0aaaaaaaabbbbbbbb\0\0\0\0\0\0\0\0"), /* unknown type */
        TEXT("\1\2\0\0\0\0\0\0aaaaaaaabbbbbbbb\0\0\0\0\0\0\0\0"), /* unknown version */
        TEXT("\1\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), /* no cell */
        TEXT(
            "\1\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\2"), /* half a blob */
        TEXT("\1\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1zzzz")};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        record bad = {TEXT("Kk"), values[i]};
        OK(op_write(db, put_record, &bad));
        MUST(MLKV_E_CORRUPT, mlkv_string_get(db, TEXT("k"), &value));
        ck_assert_str_ne(mlkv_error_detail(), "");
        ck_assert_int_lt(mlkv_string_add(db, TEXT("k"), 1, NULL), 0);
    }
    record counter = {TEXT("Ckeys"), TEXT("short")};
    OK(op_write(db, put_record, &counter));
    MUST(MLKV_E_CORRUPT, mlkv_key_count(db, &count));
    MUST(MLKV_E_CORRUPT, mlkv_string_set(db, TEXT("new"), TEXT("v"), MLKV_SET_ALWAYS));
    MUST(MLKV_ABSENT, mlkv_string_get(db, TEXT("new"), &value));
    mlkv_buffer_free(&value);
    OK(mlkv_close(db));
}
END_TEST

/* Two long names with one digest are told apart by the name in the value. */
START_TEST(colliding_long_names_are_refused)
{
    mlkv *db = memory_store();
    mlkv_buffer value = {0};
    record_key key;
    static unsigned char bytes[4 + 600 + LAYOUT_KEY_HEADER_SIZE + 2];
    mlkv_slice name = long_name(600, 1), other = long_name(600, 2);
    key_header header = {.type = TYPE_STRING};
    OK(layout_key(name, &key));
    store_le32(bytes, 600);
    memcpy(bytes + 4, other.data, 600);
    layout_write_header(&header, bytes + 604);
    bytes[4 + 600 + LAYOUT_KEY_HEADER_SIZE] = CELL_RAW;
    record collision = {record_key_slice(&key), slice_of(bytes, sizeof bytes)};
    OK(op_write(db, put_record, &collision));
    MUST(MLKV_E_CORRUPT, mlkv_string_get(db, name, &value));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "digest"));
    MUST(MLKV_E_CORRUPT, mlkv_string_set(db, name, TEXT("v"), MLKV_SET_ALWAYS));
    MUST(MLKV_ABSENT, mlkv_string_get(db, other, &value));
    OK(mlkv_close(db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("entry");
    TCase *tcase = harness_case(suite, "entry");
    tcase_add_test(tcase, lives);
    tcase_add_test(tcase, expiry);
    tcase_add_test(tcase, hostile_records);
    tcase_add_test(tcase, colliding_long_names_are_refused);
    return harness_run(suite);
}
