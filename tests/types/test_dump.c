/* test_dump.c - DUMP and RESTORE: each type there and back, in every view; what is in the way; expiries; bytes that are no payload.
 */
#include "types/stores.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/hash.h"

#include <pthread.h>
#include <stdatomic.h>

#define HOUR INT64_C(3600000)

enum { REPLACE = MLKV_RESTORE_REPLACE, AT = MLKV_RESTORE_AT };

static const mlkv_tensor small = {.dtype = MLKV_F32, .dimensions = 2, .shape = {10, 3}};
static const char *const names[] = {"string", "list", "hash", "set", "zset", "tensor"};
enum { KEYS = sizeof names / sizeof names[0] };

static int64_t expiry(mlkv *view, mlkv_slice key)
{
    int64_t at = -7;
    OK(mlkv_key_expiry(view, key, &at));
    return at;
}

static bool exists(mlkv *view, mlkv_slice key)
{
    size_t count = 7;
    OK(mlkv_key_exists(view, &key, 1, &count));
    return count == 1;
}

/* One key of each type, with large values, long names, empty ones, fields that expire. */
static void fill(mlkv *db)
{
    static char large[300000];
    float data[30];
    int64_t outcome;
    fill_noise(large, sizeof large, 1);
    memset(large + 1000, 'x', 5000);
    for (int i = 0; i < 30; i++)
        data[i] = (float)i;
    mlkv_slice values[] = {TEXT("one"), TEXT(""), slice_of(large, sizeof large), TEXT("one"),
                           slice_of(large, 6000)};
    mlkv_slice members[] = {TEXT("b"),         TEXT(""),          TEXT("a"),
                            long_name(600, 1), long_name(600, 2), long_name(485, 3)};
    OK(mlkv_string_set(db, TEXT("string"), values[2], MLKV_SET_ALWAYS));
    OK(mlkv_list_push(db, TEXT("list"), MLKV_LIST_RIGHT, values, 5, NULL));
    for (unsigned i = 0; i < 5; i++) {
        mlkv_pair pair = {members[i], values[i]};
        mlkv_scored scored = {members[i], (double)i / 3 - 1};
        OK(mlkv_hash_set(db, TEXT("hash"), &pair, 1, NULL));
        OK(mlkv_zset_add(db, TEXT("zset"), &scored, 1, 0, NULL, NULL));
    }
    OK(mlkv_hash_expire(db, TEXT("hash"), &members[3], 1, HOUR, MLKV_EXPIRE_ALWAYS, &outcome));
    OK(mlkv_set_add(db, TEXT("set"), members, 6, NULL));
    OK(mlkv_tensor_put(
        db, TEXT("tensor"), &small, data,
        &(mlkv_tensor_options){.size = sizeof(mlkv_tensor_options), .chunk_bytes = 36}));
}

/* What has one payload is the same. */
static void check_same(mlkv *view, mlkv_slice a, mlkv_slice b)
{
    mlkv_buffer first = {0}, second = {0};
    mlkv_type type_a, type_b;
    OK(mlkv_key_type(view, a, &type_a));
    OK(mlkv_key_type(view, b, &type_b));
    ck_assert_int_eq(type_a, type_b);
    OK(mlkv_key_dump(view, a, &first));
    OK(mlkv_key_dump(view, b, &second));
    ck_assert(slice_equal(slice_of_buffer(&first), slice_of_buffer(&second)));
    mlkv_buffer_free(&first);
    mlkv_buffer_free(&second);
}

static void check_hash_value(mlkv *view, mlkv_slice key, mlkv_slice field, mlkv_slice expected)
{
    mlkv_buffer value = {0};
    OK(mlkv_hash_get(view, key, field, &value));
    IS(expected, value);
    mlkv_buffer_free(&value);
}

/* Some of what stands in the copies, read by other functions than those that wrote it. */
static void check_copies(mlkv *view)
{
    mlkv_rows rows = {0}, scored = {0};
    mlkv_buffer scores = {0};
    mlkv_tensor_info info = {.size = sizeof info};
    mlkv_slice field = long_name(600, 1);
    int64_t at = 0;
    float data[30];
    OK(mlkv_list_range(view, TEXT("copy-list"), 0, -1, &rows));
    ck_assert_uint_eq(rows.count, 5);
    ck_assert(slice_equal(rows.items[3], TEXT("one")) && rows.items[2].size == 300000);
    OK(mlkv_set_members(view, TEXT("copy-set"), &rows));
    ck_assert_uint_eq(rows.count, 6);
    OK(mlkv_zset_range(view, TEXT("copy-zset"),
                       &(mlkv_zset_range_spec){.size = sizeof(mlkv_zset_range_spec), .stop = -1},
                       &scored, &scores));
    ck_assert_uint_eq(scored.count, 5);
    ck_assert(slice_equal(scored.items[0], TEXT("b")) && ((double *)scores.data)[0] == -1);
    check_hash_value(view, TEXT("copy-hash"), TEXT("b"), TEXT("one"));
    OK(mlkv_hash_expiry(view, TEXT("copy-hash"), &field, 1, &at));
    ck_assert_int_gt(at, clock_wall_ms());
    OK(mlkv_tensor_get_info(view, TEXT("copy-tensor"), &info));
    ck_assert_uint_eq(info.chunk_rows, 3);
    OK(mlkv_tensor_get(view, TEXT("copy-tensor"), data, sizeof data));
    ck_assert(data[29] == 29);
    mlkv_rows_free(&rows);
    mlkv_rows_free(&scored);
    mlkv_buffer_free(&scores);
}

static void copy_all(mlkv *from, mlkv *to)
{
    mlkv_buffer payload = {0};
    for (int i = 0; i < KEYS; i++) {
        char name[32];
        mlkv_slice copy = slice_of(name, (size_t)snprintf(name, sizeof name, "copy-%s", names[i]));
        OK(mlkv_key_dump(from, slice_of_text(names[i]), &payload));
        OK(mlkv_key_restore(to, copy, slice_of_buffer(&payload), 0, REPLACE));
    }
    mlkv_buffer_free(&payload);
}

static void check_all_same(mlkv *view)
{
    for (int i = 0; i < KEYS; i++) {
        char name[32];
        mlkv_slice copy = slice_of(name, (size_t)snprintf(name, sizeof name, "copy-%s", names[i]));
        check_same(view, slice_of_text(names[i]), copy);
        ck_assert_int_eq(expiry(view, copy), MLKV_NO_EXPIRY);
    }
    check_copies(view);
}

START_TEST(every_type_there_and_back)
{
    mlkv *db = memory_store(), *snapshot = NULL, *tx = NULL;
    mlkv_buffer payload = {0};
    fill(db);
    copy_all(db, db);
    check_all_same(db);
    ck_assert_uint_eq(key_count(db), 2 * KEYS);
    OK(mlkv_snapshot(db, &snapshot));
    check_all_same(snapshot);
    OK(mlkv_begin(db, &tx));
    copy_all(snapshot, tx);
    check_all_same(tx);
    copy_all(tx, tx);
    check_all_same(tx);
    OK(mlkv_commit(tx));
    check_all_same(db);
    OK(mlkv_key_dump(snapshot, TEXT("set"), &payload));
    MUST(MLKV_E_READONLY, mlkv_key_restore(snapshot, TEXT("x"), slice_of_buffer(&payload), 0, 0));
    mlkv_buffer_free(&payload);
    OK(mlkv_close(snapshot));
    clean_all(db);
    verify_all(db);
    ck_assert_uint_eq(count_records(db, "G"), 0);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(into_another_store_and_after_a_reopen)
{
    const char *folder = harness_folder();
    mlkv *db = memory_store(), *other = folder_store(folder);
    mlkv_buffer payload = {0};
    fill(db);
    copy_all(db, other);
    for (int i = 0; i < KEYS; i++) {
        OK(mlkv_key_dump(db, slice_of_text(names[i]), &payload));
        OK(mlkv_key_restore(other, slice_of_text(names[i]), slice_of_buffer(&payload), 0, 0));
    }
    OK(mlkv_close(other));
    other = folder_store(folder);
    check_all_same(other);
    verify_all(other);
    OK(mlkv_close(other));
    OK(mlkv_close(db));
    harness_remove(folder);
    mlkv_buffer_free(&payload);
}
END_TEST

/* docs/FORMAT.md, by hand. */
START_TEST(the_bytes_are_those_of_the_format)
{
    static const char expected[] = "MLKD\1\5\0\0"
                                   "\2\0\0\0\0\0\0\0"
                                   "\0\0\0\0\0\0\0\0"
                                   "\0\0\0\0\0\0\0\0"
                                   "\1\0\0\0\0\0\0\0"
                                   "a"
                                   "\0\0\0\0\0\0\xf8\x3f";
    enum { SIZE = sizeof expected - 1 };
    mlkv *db = memory_store();
    mlkv_buffer payload = {0};
    mlkv_scored members[] = {{TEXT("a"), 1.5}, {TEXT(""), -0.0}};
    OK(mlkv_zset_add(db, TEXT("z"), members, 2, 0, NULL, NULL));
    OK(buffer_assign(&payload, "old", 3));
    OK(mlkv_key_dump(db, TEXT("z"), &payload));
    ck_assert_uint_eq(payload.size, SIZE + 8);
    ck_assert_mem_eq(payload.data, expected, SIZE);
    ck_assert_uint_eq(load_le64((unsigned char *)payload.data + SIZE),
                      hash_checksum(expected, SIZE, 0));
    mlkv_buffer_free(&payload);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(a_missing_key_leaves_the_buffer)
{
    mlkv *db = memory_store();
    mlkv_buffer payload = {0};
    OK(buffer_assign(&payload, "old", 3));
    MUST(MLKV_ABSENT, mlkv_key_dump(db, TEXT("none"), &payload));
    IS(TEXT("old"), payload);
    MUST(MLKV_E_ARGUMENT, mlkv_key_dump(db, TEXT("none"), NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_key_dump(NULL, TEXT("none"), &payload));
    mlkv_buffer_free(&payload);
    OK(mlkv_close(db));
}
END_TEST

/* Redis looks for the key first, then at the ttl, then at the payload. */
START_TEST(what_is_in_the_way)
{
    mlkv *db = memory_store();
    mlkv_buffer payload = {0}, value = {0};
    OK(mlkv_string_set(db, TEXT("a"), TEXT("1"), MLKV_SET_ALWAYS));
    OK(mlkv_string_set(db, TEXT("b"), TEXT("2"), MLKV_SET_ALWAYS));
    OK(mlkv_key_dump(db, TEXT("a"), &payload));
    mlkv_slice good = slice_of_buffer(&payload);
    MUST(MLKV_ABSENT, mlkv_key_restore(db, TEXT("b"), TEXT("bad"), -1, 0));
    MUST(MLKV_ABSENT, mlkv_key_restore(db, TEXT("b"), good, 0, 0));
    MUST(MLKV_E_ARGUMENT, mlkv_key_restore(db, TEXT("b"), TEXT("bad"), -1, REPLACE));
    MUST(MLKV_E_ARGUMENT, mlkv_key_restore(db, TEXT("c"), good, -1, AT));
    MUST(MLKV_E_CORRUPT, mlkv_key_restore(db, TEXT("b"), TEXT("bad"), 0, REPLACE));
    MUST(MLKV_E_RANGE, mlkv_key_restore(db, TEXT("b"), good, INT64_MAX, REPLACE));
    MUST(MLKV_E_ARGUMENT, mlkv_key_restore(db, TEXT("b"), good, 0, 4));
    MUST(MLKV_E_ARGUMENT, mlkv_key_restore(db, TEXT("b"), slice_of(NULL, 3), 0, REPLACE));
    OK(mlkv_string_get(db, TEXT("b"), &value));
    IS(TEXT("2"), value);
    OK(mlkv_key_restore(db, TEXT("b"), good, 0, REPLACE));
    OK(mlkv_string_get(db, TEXT("b"), &value));
    IS(TEXT("1"), value);
    ck_assert_uint_eq(key_count(db), 2);
    mlkv_buffer_free(&payload);
    mlkv_buffer_free(&value);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(when_the_key_ends)
{
    mlkv *db = memory_store();
    mlkv_buffer payload = {0};
    int64_t now = clock_wall_ms();
    OK(mlkv_string_set(db, TEXT("a"), TEXT("1"), MLKV_SET_ALWAYS));
    OK(mlkv_key_expire(db, TEXT("a"), HOUR, MLKV_EXPIRE_ALWAYS));
    OK(mlkv_key_dump(db, TEXT("a"), &payload));
    mlkv_slice good = slice_of_buffer(&payload);
    OK(mlkv_key_restore(db, TEXT("b"), good, HOUR, 0));
    ck_assert_int_ge(expiry(db, TEXT("b")), now + HOUR);
    OK(mlkv_key_restore(db, TEXT("b"), good, now + 2 * HOUR, AT | REPLACE));
    ck_assert_int_eq(expiry(db, TEXT("b")), now + 2 * HOUR);
    OK(mlkv_key_restore(db, TEXT("b"), good, 0, AT | REPLACE));
    ck_assert_int_eq(expiry(db, TEXT("b")), MLKV_NO_EXPIRY);
    OK(mlkv_key_restore(db, TEXT("c"), good, 1, AT));
    ck_assert(!exists(db, TEXT("c")));
    ck_assert_uint_eq(key_count(db), 2);
    OK(mlkv_key_restore(db, TEXT("b"), good, now - 1, AT | REPLACE));
    ck_assert(!exists(db, TEXT("b")));
    ck_assert_uint_eq(key_count(db), 1);
    fault_clock_shift(2 * HOUR); /* "a" has expired: it is in nobody's way */
    OK(mlkv_key_restore(db, TEXT("a"), good, 0, 0));
    ck_assert_int_eq(expiry(db, TEXT("a")), MLKV_NO_EXPIRY);
    verify_all(db);
    fault_clock_shift(0);
    mlkv_buffer_free(&payload);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(fields_that_have_expired)
{
    mlkv *db = memory_store();
    mlkv_buffer payload = {0};
    uint64_t length = 0;
    int64_t outcomes[2];
    mlkv_slice fields[] = {TEXT("f"), TEXT("g")};
    static char large[5000];
    mlkv_pair pairs[] = {{fields[0], slice_of(large, sizeof large)}, {fields[1], TEXT("2")}};
    OK(mlkv_hash_set(db, TEXT("h"), pairs, 2, NULL));
    OK(mlkv_hash_expire(db, TEXT("h"), fields, 1, HOUR, MLKV_EXPIRE_ALWAYS, outcomes));
    OK(mlkv_key_dump(db, TEXT("h"), &payload));
    fault_clock_shift(2 * HOUR);
    OK(mlkv_key_restore(db, TEXT("i"), slice_of_buffer(&payload), 0, 0));
    OK(mlkv_hash_length(db, TEXT("i"), &length));
    ck_assert_uint_eq(length, 1);
    check_hash_value(db, TEXT("i"), fields[1], TEXT("2"));
    check_same(db, TEXT("h"), TEXT("i"));
    OK(mlkv_hash_expire(db, TEXT("i"), fields + 1, 1, HOUR, MLKV_EXPIRE_ALWAYS, outcomes));
    OK(mlkv_key_dump(db, TEXT("i"), &payload));
    fault_clock_shift(4 * HOUR);
    uint64_t before = key_count(db);
    OK(mlkv_key_restore(db, TEXT("new"), slice_of_buffer(&payload), 0, 0));
    ck_assert(!exists(db, TEXT("new")));
    ck_assert_uint_le(key_count(db), before);
    OK(mlkv_key_restore(db, TEXT("h"), slice_of_buffer(&payload), 0, REPLACE));
    ck_assert(!exists(db, TEXT("h")));
    verify_all(db);
    fault_clock_shift(0);
    mlkv_buffer_free(&payload);
    OK(mlkv_close(db));
}
END_TEST

/* --- bytes that are no payload --- */

static void seal(mlkv_buffer *payload)
{
    size_t size = payload->size - 8;
    store_le64((unsigned char *)payload->data + size, hash_checksum(payload->data, size, 0));
}

static void refuse(mlkv *db, const mlkv_buffer *payload)
{
    MUST(MLKV_E_CORRUPT, mlkv_key_restore(db, TEXT("x"), slice_of_buffer(payload), 0, REPLACE));
    ck_assert(!exists(db, TEXT("x")));
}

START_TEST(each_byte_counts)
{
    mlkv *db = memory_store();
    mlkv_buffer payload = {0}, cut = {0};
    mlkv_slice members[] = {TEXT("a"), TEXT("bb")};
    OK(mlkv_set_add(db, TEXT("s"), members, 2, NULL));
    OK(mlkv_key_dump(db, TEXT("s"), &payload));
    unsigned char *bytes = payload.data;
    for (size_t i = 0; i < payload.size; i++) {
        bytes[i] ^= 1;
        refuse(db, &payload);
        bytes[i] ^= 1;
        OK(buffer_assign(&cut, bytes, i));
        refuse(db, &cut);
        if (i >= 8) {
            seal(&cut);
            refuse(db, &cut);
        }
    }
    OK(mlkv_key_restore(db, TEXT("x"), slice_of_buffer(&payload), 0, REPLACE));
    mlkv_buffer_free(&payload);
    mlkv_buffer_free(&cut);
    OK(mlkv_close(db));
}
END_TEST

/* A byte of a payload of this key is set, the checksum is right: refused. */
static void refuse_changed(mlkv *db, const char *key, size_t at, unsigned char byte)
{
    mlkv_buffer payload = {0};
    OK(mlkv_key_dump(db, slice_of_text(key), &payload));
    ck_assert_uint_lt(at, payload.size - 8);
    ((unsigned char *)payload.data)[at] = byte;
    seal(&payload);
    refuse(db, &payload);
    mlkv_buffer_free(&payload);
}

START_TEST(what_a_right_checksum_does_not_help)
{
    mlkv *db = memory_store();
    mlkv_slice members[] = {TEXT("a"), TEXT("b")};
    mlkv_scored scored = {TEXT("a"), 0};
    mlkv_pair pair = {TEXT("f"), TEXT("v")};
    float data[30] = {0};
    OK(mlkv_string_set(db, TEXT("string"), TEXT("abcdefgh"), MLKV_SET_ALWAYS));
    OK(mlkv_list_push(db, TEXT("list"), MLKV_LIST_LEFT, members, 2, NULL));
    OK(mlkv_set_add(db, TEXT("set"), members, 2, NULL));
    OK(mlkv_zset_add(db, TEXT("zset"), &scored, 1, 0, NULL, NULL));
    OK(mlkv_hash_set(db, TEXT("hash"), &pair, 1, NULL));
    OK(mlkv_tensor_put(db, TEXT("tensor"), &small, data, NULL));
    refuse_changed(db, "set", 4, 2);        /* version */
    refuse_changed(db, "set", 5, 0);        /* type */
    refuse_changed(db, "set", 5, 7);        /* type */
    refuse_changed(db, "set", 6, 1);        /* zero */
    refuse_changed(db, "set", 8, 0);        /* no elements */
    refuse_changed(db, "set", 8, 1);        /* bytes behind the last */
    refuse_changed(db, "set", 15, 0x80);    /* very many */
    refuse_changed(db, "set", 23, 0xff);    /* a very long name */
    refuse_changed(db, "set", 24, 'b');     /* the same twice */
    refuse_changed(db, "set", 24, 'c');     /* falling */
    refuse_changed(db, "string", 8, 2);     /* two strings */
    refuse_changed(db, "list", 16, 200);    /* an element beyond the end */
    refuse_changed(db, "hash", 32, 0x80);   /* expiry below 0 */
    refuse_changed(db, "zset", 32, 0x80);   /* -0.0 */
    refuse_changed(db, "tensor", 8, 1);     /* elements of a tensor */
    refuse_changed(db, "tensor", 16, 99);   /* dtype */
    refuse_changed(db, "tensor", 17, 9);    /* dimensions */
    refuse_changed(db, "tensor", 17, 1);    /* another size */
    refuse_changed(db, "tensor", 24, 0);    /* rows of a chunk */
    refuse_changed(db, "tensor", 24, 11);   /* more than there are */
    refuse_changed(db, "tensor", 32, 11);   /* more rows than data */
    refuse_changed(db, "tensor", 39, 0x7f); /* very many */
    ck_assert_uint_eq(key_count(db), 6);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

/* --- size --- */

/* Names of which only the first bytes and a digest stand in the record key come in another order than their bytes. */
START_TEST(long_names_rise_in_the_payload)
{
    enum { N = 60 };
    mlkv *db = memory_store();
    mlkv_buffer payload = {0};
    for (unsigned i = 0; i < N; i++) {
        mlkv_slice name = long_name(490 + 7 * (i % 13), i * 77);
        mlkv_pair pair = {name, slice_of(&i, sizeof i)};
        OK(mlkv_hash_set(db, TEXT("h"), &pair, 1, NULL));
        OK(mlkv_set_add(db, TEXT("s"), &name, 1, NULL));
        OK(mlkv_zset_add(db, TEXT("z"), &(mlkv_scored){name, 7}, 1, 0, NULL, NULL));
    }
    const char *keys[] = {"h", "s", "z"};
    for (int k = 0; k < 3; k++) {
        OK(mlkv_key_dump(db, slice_of_text(keys[k]), &payload));
        OK(mlkv_key_restore(db, TEXT("copy"), slice_of_buffer(&payload), 0, REPLACE));
        check_same(db, slice_of_text(keys[k]), TEXT("copy"));
    }
    clean_all(db);
    verify_all(db);
    mlkv_buffer_free(&payload);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(what_is_larger_than_the_ring)
{
    enum { N = 30000 };
    mlkv *db = memory_store();
    mlkv_buffer payload = {0};
    mlkv_slice *members = calloc(N, sizeof *members);
    char *texts = calloc(N, 16);
    ck_assert(members != NULL && texts != NULL);
    for (unsigned i = 0; i < N; i++)
        members[i] = slice_of(texts + 16 * i, (size_t)snprintf(texts + 16 * i, 16, "m%u", i));
    OK(mlkv_set_add(db, TEXT("s"), members, N, NULL));
    OK(mlkv_list_push(db, TEXT("l"), MLKV_LIST_RIGHT, members, N, NULL));
    for (int round = 0; round < 2; round++) {
        mlkv_slice key = round == 0 ? TEXT("s") : TEXT("l");
        OK(mlkv_key_dump(db, key, &payload));
        OK(mlkv_key_restore(db, TEXT("copy"), slice_of_buffer(&payload), 0, REPLACE));
        check_same(db, key, TEXT("copy"));
    }
    verify_all(db);
    free(members);
    free(texts);
    mlkv_buffer_free(&payload);
    OK(mlkv_close(db));
}
END_TEST

/* Refused or replaced: no blob stays behind. */
START_TEST(no_blob_is_left)
{
    mlkv *db = memory_store();
    mlkv_buffer payload = {0};
    fill(db);
    ck_assert_uint_ne(count_records(db, "R"), 0);
    mlkv_slice key = TEXT("copy");
    for (int i = 0; i < KEYS; i++) {
        OK(mlkv_key_dump(db, slice_of_text(names[i]), &payload));
        OK(mlkv_key_restore(db, key, slice_of_buffer(&payload), 0, REPLACE));
        MUST(MLKV_E_RANGE,
             mlkv_key_restore(db, key, slice_of_buffer(&payload), INT64_MAX, REPLACE));
        OK(mlkv_key_restore(db, TEXT("gone"), slice_of_buffer(&payload), 1, AT));
    }
    OK(mlkv_key_delete(db, &key, 1, NULL));
    for (int i = 0; i < KEYS; i++) {
        mlkv_slice name = slice_of_text(names[i]);
        OK(mlkv_key_delete(db, &name, 1, NULL));
    }
    clean_all(db);
    OK(mlkv_flush(db, MLKV_STORE));
    verify_all(db);
    ck_assert_uint_eq(count_records(db, "R"), 0);
    mlkv_buffer_free(&payload);
    OK(mlkv_close(db));
}
END_TEST

/* --- a tensor that changes while it is dumped --- */

enum {
    LARGE_ROWS = 3000,
    LARGE_COLUMNS = 1000
}; /* 12 MB: read in several groups, written as blobs */

typedef struct {
    mlkv *db;
    atomic_bool stop;
} changing;

static void *change(void *context)
{
    changing *self = context;
    float *data = calloc((size_t)LARGE_ROWS * LARGE_COLUMNS, sizeof *data);
    for (int round = 0; data != NULL && !atomic_load(&self->stop); round++) {
        mlkv_tensor tensor = {.dtype = MLKV_F32,
                              .dimensions = 2,
                              .shape = {LARGE_ROWS - (unsigned)round % 2, LARGE_COLUMNS}};
        for (size_t i = 0; i < (size_t)LARGE_ROWS * LARGE_COLUMNS; i++)
            data[i] = (float)round;
        if (mlkv_tensor_put(self->db, TEXT("t"), &tensor, data, NULL) != MLKV_OK)
            break;
    }
    free(data);
    return NULL;
}

START_TEST(a_tensor_is_of_one_moment)
{
    changing self = {.db = memory_store()};
    pthread_t thread;
    mlkv_buffer payload = {0};
    float *data = calloc((size_t)LARGE_ROWS * LARGE_COLUMNS, sizeof *data);
    mlkv_tensor_info info = {.size = sizeof info};
    ck_assert_ptr_nonnull(data);
    ck_assert_int_eq(pthread_create(&thread, NULL, change, &self), 0);
    int result;
    while ((result = mlkv_key_dump(self.db, TEXT("t"), &payload)) == MLKV_ABSENT)
        sched_yield();
    for (int i = 0; i < 5; i++) {
        OK(mlkv_key_dump(self.db, TEXT("t"), &payload));
        OK(mlkv_key_restore(self.db, TEXT("u"), slice_of_buffer(&payload), 0, REPLACE));
        OK(mlkv_tensor_get_info(self.db, TEXT("u"), &info));
        OK(mlkv_tensor_get(self.db, TEXT("u"), data, (size_t)info.raw_bytes));
        for (size_t k = 1; k < info.raw_bytes / sizeof *data; k++)
            if (data[k] != data[0])
                ck_abort_msg("two states in one payload");
        ck_assert_uint_eq(info.rows, LARGE_ROWS - (unsigned)data[0] % 2);
    }
    atomic_store(&self.stop, true);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    verify_all(self.db);
    free(data);
    mlkv_buffer_free(&payload);
    OK(mlkv_close(self.db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("types/dump");
    TCase *tcase = harness_case(suite, "dump");
    tcase_add_test(tcase, every_type_there_and_back);
    tcase_add_test(tcase, into_another_store_and_after_a_reopen);
    tcase_add_test(tcase, the_bytes_are_those_of_the_format);
    tcase_add_test(tcase, a_missing_key_leaves_the_buffer);
    tcase_add_test(tcase, what_is_in_the_way);
    tcase_add_test(tcase, when_the_key_ends);
    tcase_add_test(tcase, fields_that_have_expired);
    tcase_add_test(tcase, each_byte_counts);
    tcase_add_test(tcase, what_a_right_checksum_does_not_help);
    tcase_add_test(tcase, long_names_rise_in_the_payload);
    tcase_add_test(tcase, what_is_larger_than_the_ring);
    tcase_add_test(tcase, no_blob_is_left);
    tcase_add_test(tcase, a_tensor_is_of_one_moment);
    return harness_run(suite);
}
