/* test_model.c - models: publish, load, list, roll back, drop, wait; what is shared; names of any bytes.
 * Misuse and hostile records: test_model_misuse.c; several processes: test_model_processes.c. */
#include "types/model.h"

#include "models.h"

#include "base/buffer.h"

#include <pthread.h>

#define M TEXT("m")

/* --- versions --- */

typedef struct {
    mlkv_model_info infos[8];
    size_t count, stop_after;
} listing;

static int note_info(void *context, const mlkv_model_info *info)
{
    listing *self = context;
    ck_assert_uint_lt(self->count, 8);
    self->infos[self->count++] = *info;
    return self->count == self->stop_after ? 77 : 0;
}

START_TEST(versions)
{
    mlkv *db = memory_store();
    uint64_t version = 0;
    listing list = {.count = 0};
    MUST(MLKV_ABSENT, mlkv_model_current(db, M, &version));
    MUST(MLKV_ABSENT, mlkv_model_rollback(db, M, 0, &version));
    MUST(MLKV_ABSENT, mlkv_model_drop(db, M, 0));
    ck_assert_uint_eq(version, 0);
    for (uint64_t i = 1; i <= 4; i++) {
        OK(save_filled(db, M, (float)i, 0, &version));
        ck_assert_uint_eq(version, i);
        ck_assert_uint_eq(current_of(db, M), i);
        verify_all(db);
    }
    for (uint64_t i = 1; i <= 4; i++)
        expect_filled(db, M, i, (float)i);
    expect_filled(db, M, 0, 4);
    OK(mlkv_model_list(db, M, note_info, &list));
    ck_assert_uint_eq(list.count, 4);
    for (size_t i = 0; i < 4; i++) {
        const mlkv_model_info *info = &list.infos[i];
        ck_assert_uint_eq(info->version, i + 1);
        ck_assert_uint_eq(info->current, i == 3);
        ck_assert_uint_eq(info->tensors, FILLED_TENSORS);
        ck_assert_uint_eq(info->raw_bytes,
                          4 * (2 * FILLED_ROWS * FILLED_COLUMNS + FILLED_SMALL + 1));
        ck_assert_int_gt(info->published_ms, INT64_C(1600000000000));
        ck_assert_uint_gt(info->stored_bytes, 0);
        ck_assert_uint_le(info->new_bytes, info->stored_bytes);
    }
    list = (listing){.stop_after = 2};
    MUST(77, mlkv_model_list(db, M, note_info, &list));
    ck_assert_uint_eq(list.count, 2);
    OK(mlkv_model_rollback(db, M, 0, &version));
    ck_assert_uint_eq(version, 3);
    OK(mlkv_model_rollback(db, M, 1, &version));
    ck_assert_uint_eq(version, 1);
    expect_filled(db, M, 0, 1);
    MUST(MLKV_ABSENT, mlkv_model_rollback(db, M, 0, &version));
    MUST(MLKV_ABSENT, mlkv_model_rollback(db, M, 9, &version));
    OK(mlkv_model_rollback(db, M, 1, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_model_drop(db, M, 1));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "current"));
    OK(mlkv_model_drop(db, M, 3));
    MUST(MLKV_ABSENT, mlkv_model_drop(db, M, 3));
    MUST(MLKV_ABSENT, mlkv_model_get_info(db, M, 3, &list.infos[0]));
    OK(mlkv_model_rollback(db, M, 4, NULL));
    OK(mlkv_model_rollback(db, M, 0, &version));
    ck_assert_uint_eq(version, 2);
    OK(save_filled(db, M, 5, 0, &version));
    ck_assert_uint_eq(version, 5);
    ck_assert_uint_eq(versions_of(db, M), 4);
    OK(mlkv_model_drop(db, M, 0));
    ck_assert_uint_eq(current_of(db, M), 0);
    ck_assert_uint_eq(versions_of(db, M), 0);
    nothing_is_left(db);
    OK(save_filled(db, M, 6, 0, &version)); /* numbers begin anew */
    ck_assert_uint_eq(version, 1);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(keep_last)
{
    mlkv *db = memory_store();
    uint64_t version;
    for (unsigned i = 1; i <= 3; i++)
        OK(save_filled(db, M, (float)i, 0, NULL));
    OK(mlkv_model_rollback(db, M, 1, NULL)); /* dropped too: what counts is the number */
    OK(save_filled(db, M, 4, 3, NULL));
    ck_assert_uint_eq(versions_of(db, M), 3);
    MUST(MLKV_ABSENT, mlkv_model_rollback(db, M, 1, NULL));
    for (unsigned i = 2; i <= 4; i++)
        expect_filled(db, M, i, (float)i);
    OK(save_filled(db, M, 5, 1, &version));
    ck_assert_uint_eq(versions_of(db, M), 1);
    ck_assert_uint_eq(version, 5);
    expect_filled(db, M, 0, 5);
    OK(mlkv_model_drop(db, M, 0));
    nothing_is_left(db);
    OK(mlkv_close(db));
}
END_TEST

/* --- what is shared --- */

enum { CHUNKS = 100, CHUNK = 48 << 10 };

static uint64_t blob_bytes(mlkv *db)
{
    scan *walk = NULL;
    mlkv_slice key, value;
    uint64_t bytes = 0;
    OK(scan_open(db, TEXT("B"), slice_of(NULL, 0), &walk));
    while (scan_next(walk, &key, &value) == MLKV_OK)
        bytes += value.size;
    scan_close(walk);
    return bytes;
}

/* A change of one chunk in a hundred costs one chunk: of records, of bytes, of work. */
START_TEST(chunks_are_shared)
{
    mlkv *db = memory_store();
    static unsigned char data[CHUNKS * CHUNK];
    const mlkv_tensor tensor = {MLKV_U8, 2, {CHUNKS, CHUNK}};
    const mlkv_tensor_options options = {.size = sizeof options, .chunk_bytes = CHUNK};
    uint64_t written, version, before = 0, first = 0;
    fill_noise(data, sizeof data, 1);
    for (unsigned i = 0; i < 5; i++) {
        mlkv_publication *p = NULL;
        mlkv_model_info info = {.size = sizeof info};
        data[(size_t)i * 17 * CHUNK] ^= (unsigned char)(i != 0);
        OK(mlkv_model_begin(db, M, &p));
        OK(mlkv_model_put(p, TEXT("t"), &tensor, data, &options, &written));
        ck_assert_uint_eq(written, i == 0 ? CHUNKS : 1);
        OK(mlkv_model_publish(p, NULL, &version));
        ck_assert_uint_eq(count_records(db, "R"), CHUNKS + i);
        OK(mlkv_model_get_info(db, M, 0, &info));
        uint64_t bytes = blob_bytes(db);
        first = i == 0 ? bytes : first;
        ck_assert_uint_le(i == 0 ? 0 : bytes - before, first / CHUNKS + 100);
        ck_assert_uint_ge(bytes, info.stored_bytes - (uint64_t)CHUNKS * 64);
        ck_assert_uint_le(info.new_bytes, i == 0 ? bytes + CHUNKS * 64 : first / CHUNKS + 200);
        before = bytes;
    }
    verify_all(db);
    OK(mlkv_model_save(
        db, M, &(mlkv_model_item){TEXT("t"), tensor, data, 0}, 1, &options,
        &(mlkv_publish_options){.size = sizeof(mlkv_publish_options), .keep_last = 1}, NULL));
    clean_all(db);
    ck_assert_uint_eq(count_records(db, "R"), CHUNKS);
    OK(mlkv_model_drop(db, M, 0));
    nothing_is_left(db);
    OK(mlkv_close(db));
}
END_TEST

/* Small chunks are copied, not encoded again; another form shares nothing. */
START_TEST(what_is_not_shared)
{
    mlkv *db = memory_store();
    static unsigned char data[20000];
    mlkv_tensor tensor = {MLKV_U8, 2, {200, 100}};
    mlkv_tensor_options options = {.size = sizeof options, .chunk_bytes = 1000};
    mlkv_publication *p = NULL;
    uint64_t written;
    fill_noise(data, sizeof data, 1);
    for (unsigned i = 0; i < 3; i++) {
        OK(mlkv_model_begin(db, M, &p));
        tensor.shape[0] = i == 2 ? 100 : 200;
        OK(mlkv_model_put(p, TEXT("t"), &tensor, data, &options, &written));
        ck_assert_uint_eq(written, i == 1 ? 0 : i == 2 ? 10 : 20);
        OK(mlkv_model_publish(p, NULL, NULL));
    }
    ck_assert_uint_eq(count_records(db, "R"), 0);
    ck_assert_uint_eq(count_records(db, "T"), 50);
    OK(mlkv_close(db));
}
END_TEST

/* --- publications --- */

static void put_number(mlkv_publication *p, mlkv_slice name, float value)
{
    const mlkv_tensor scalar = {MLKV_F32, 0, {0}};
    OK(mlkv_model_put(p, name, &scalar, &value, NULL, NULL));
}

static float number_of(mlkv *view, uint64_t version, mlkv_slice name)
{
    mlkv_buffer key = {0};
    float value = -1;
    if (version == 0)
        OK(mlkv_model_current_key(view, M, name, &key, &version));
    OK(mlkv_model_key(M, version, name, &key));
    OK(mlkv_tensor_get(view, slice_of_buffer(&key), &value, sizeof value));
    mlkv_buffer_free(&key);
    return value;
}

static void expect_names(mlkv *view, uint64_t version, const char *expected)
{
    mlkv_rows rows = {0};
    mlkv_buffer text = {0};
    OK(mlkv_model_tensors(view, M, version, &rows, NULL));
    for (size_t i = 0; i < rows.count; i++) {
        OK(buffer_append(&text, rows.items[i].data, rows.items[i].size));
        OK(buffer_append(&text, " ", 1));
    }
    IS(slice_of_text(expected), text);
    mlkv_buffer_free(&text);
    mlkv_rows_free(&rows);
}

START_TEST(putting_and_carrying)
{
    mlkv *db = memory_store();
    mlkv_publication *p = NULL, *q = NULL;
    mlkv_publish_options rest = {.size = sizeof rest, .carry_rest = 1};
    uint64_t version;
    OK(mlkv_model_begin(db, M, &p));
    MUST(MLKV_ABSENT, mlkv_model_carry(p, TEXT("b")));
    put_number(p, TEXT("b"), 1);
    put_number(p, TEXT("a"), 2);
    put_number(p, TEXT("c"), 3);
    put_number(p, TEXT("b"), 4); /* keeps its place */
    ck_assert_uint_eq(current_of(db, M), 0);
    ck_assert_uint_eq(mlkv_publication_version(p), 1);
    OK(mlkv_model_publish(p, NULL, &version));
    expect_names(db, 0, "b a c ");
    ck_assert_float_eq(number_of(db, 0, TEXT("b")), 4);
    OK(mlkv_model_begin(db, M, &p));
    OK(mlkv_model_begin(db, M, &q)); /* beside the other */
    put_number(q, TEXT("c"), 30);
    OK(mlkv_model_carry(p, TEXT("a")));
    put_number(p, TEXT("b"), 10);
    OK(mlkv_model_carry(p, TEXT("b"))); /* instead of what was put */
    OK(mlkv_model_carry(p, TEXT("c")));
    put_number(p, TEXT("c"), 20); /* instead of what was to be carried */
    mlkv_buffer key = {0};
    OK(mlkv_model_current_key(db, M, TEXT("a"), &key, &version));
    ck_assert_uint_eq(version, 1);
    const mlkv_tensor scalar = {MLKV_F32, 0, {0}};
    OK(mlkv_tensor_add(db, slice_of_buffer(&key), 1, &scalar, &(float){100}));
    OK(mlkv_model_publish(p, NULL, &version)); /* takes a as it is now */
    ck_assert_uint_eq(version, 2);
    expect_names(db, 2, "a b c ");
    ck_assert_float_eq(number_of(db, 2, TEXT("a")), 102);
    ck_assert_float_eq(number_of(db, 2, TEXT("b")), 4);
    ck_assert_float_eq(number_of(db, 2, TEXT("c")), 20);
    OK(mlkv_model_publish(q, &rest, &version)); /* what it has itself, and the rest of version 2 */
    ck_assert_uint_eq(version, 3);
    expect_names(db, 0, "c a b ");
    ck_assert_float_eq(number_of(db, 3, TEXT("c")), 30);
    ck_assert_float_eq(number_of(db, 3, TEXT("a")), 102);
    verify_all(db);
    OK(mlkv_model_drop(db, M, 0));
    nothing_is_left(db);
    mlkv_buffer_free(&key);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(a_carried_tensor_that_goes)
{
    mlkv *db = memory_store();
    mlkv_publication *p = NULL, *q = NULL;
    OK(mlkv_model_begin(db, M, &p));
    put_number(p, TEXT("a"), 1);
    OK(mlkv_model_publish(p, NULL, NULL));
    OK(mlkv_model_begin(db, M, &p));
    OK(mlkv_model_carry(p, TEXT("a")));
    OK(mlkv_model_begin(db, M, &q));
    put_number(q, TEXT("b"), 2);
    OK(mlkv_model_publish(q, NULL, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_model_publish(p, NULL, NULL));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "\"a\""));
    ck_assert_uint_eq(current_of(db, M), 3);
    put_number(p, TEXT("a"), 3); /* it goes on */
    OK(mlkv_model_publish(p, NULL, NULL));
    ck_assert_uint_eq(current_of(db, M), 2); /* the last that was published */
    ck_assert_float_eq(number_of(db, 0, TEXT("a")), 3);
    OK(mlkv_model_drop(db, M, 0));
    nothing_is_left(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(aborting_and_failing)
{
    mlkv *db = memory_store();
    mlkv_publication *p = NULL;
    mlkv_tensor bad = {99, 1, {4}}, wild = {MLKV_F32, 99, {1}}, good = {MLKV_F32, 1, {20000}};
    static float numbers[20000];
    uint64_t written = 77, version = 77;
    OK(mlkv_model_begin(db, M, &p));
    OK(mlkv_model_put(p, TEXT("a"), &good, numbers, NULL, NULL));
    OK(mlkv_model_abort(p));
    nothing_is_left(db);
    OK(mlkv_model_abort(NULL));
    OK(save_filled(db, M, 1, 0, NULL));
    uint64_t keys = key_count(db);
    OK(mlkv_model_begin(db, M, &p));
    MUST(MLKV_E_ARGUMENT, mlkv_model_put(p, TEXT("a"), &bad, numbers, NULL, &written));
    MUST(MLKV_E_ARGUMENT, mlkv_model_put(p, TEXT("a"), &wild, numbers, NULL, &written));
    MUST(MLKV_E_ARGUMENT, mlkv_model_put(p, TEXT("a"), &good, NULL, NULL, &written));
    MUST(MLKV_E_ARGUMENT, mlkv_model_put(p, TEXT("a"), NULL, numbers, NULL, &written));
    mlkv_model_item items[FILLED_TENSORS];
    static float filled[FILLED_ROWS * FILLED_COLUMNS];
    fill_items(items, filled, 1);
    MUST(MLKV_E_ARGUMENT, mlkv_model_put(p, items[0].name, &items[0].tensor, NULL, NULL, &written));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "NULL")); /* told after it was tidied up */
    ck_assert_uint_eq(written, 77);
    ck_assert_uint_eq(key_count(db), keys);
    OK(mlkv_model_put(p, TEXT("a"), &good, numbers, NULL, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_model_put(p, TEXT("a"), &good, NULL, NULL, &written));
    OK(mlkv_model_publish(p, NULL, NULL)); /* with what was put before */
    expect_names(db, 0, "a ");
    items[3].name = items[1].name;
    MUST(MLKV_E_ARGUMENT, mlkv_model_save(db, M, items, FILLED_TENSORS, NULL, NULL, &version));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "small"));
    ck_assert_uint_eq(version, 77);
    ck_assert_uint_eq(current_of(db, M), 2);
    OK(mlkv_model_save(db, M, NULL, 0, NULL, NULL, &version)); /* no tensors at all */
    expect_names(db, 0, "");
    OK(mlkv_model_drop(db, M, 0));
    nothing_is_left(db);
    OK(mlkv_close(db));
}
END_TEST

/* A tensor in pieces, by the functions of tensor.h. */
START_TEST(including)
{
    mlkv *db = memory_store();
    mlkv_publication *p = NULL;
    mlkv_buffer key = {0};
    mlkv_tensor none = {MLKV_F32, 2, {0, 64}};
    float rows[10 * 64];
    OK(mlkv_model_begin(db, M, &p));
    MUST(MLKV_ABSENT, mlkv_model_include(p, TEXT("table")));
    OK(mlkv_model_key(M, mlkv_publication_version(p), TEXT("table"), &key));
    OK(mlkv_tensor_put(db, slice_of_buffer(&key), &none, NULL, NULL));
    for (unsigned i = 0; i < 100; i++) {
        for (size_t k = 0; k < 640; k++)
            rows[k] = (float)i;
        OK(mlkv_tensor_append_rows(db, slice_of_buffer(&key), 10, rows, sizeof rows, NULL));
    }
    OK(mlkv_model_include(p, TEXT("table")));
    OK(mlkv_string_set(db, TEXT("s"), TEXT("v"), MLKV_SET_ALWAYS));
    OK(mlkv_model_key(M, mlkv_publication_version(p), TEXT("text"), &key));
    OK(mlkv_key_rename(db, TEXT("s"), slice_of_buffer(&key)));
    MUST(MLKV_E_TYPE, mlkv_model_include(p, TEXT("text")));
    OK(mlkv_model_publish(p, NULL, NULL));
    mlkv_model_contents contents = {0};
    OK(mlkv_model_load(db, M, 0, &contents));
    ck_assert_uint_eq(contents.count, 1);
    ck_assert_uint_eq(contents.items[0].tensor.shape[0], 1000);
    ck_assert_float_eq(((float *)contents.items[0].data)[999 * 64], 99);
    mlkv_model_contents_free(&contents);
    OK(mlkv_model_drop(db, M, 0));
    nothing_is_left(db);
    mlkv_buffer_free(&key);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(metadata)
{
    mlkv *db = memory_store();
    static unsigned char large[300000];
    mlkv_publish_options options = {.size = sizeof options, .metadata = TEXT("{}")};
    mlkv_model_contents contents = {0};
    fill_noise(large, sizeof large, 1);
    OK(mlkv_model_save(db, M, NULL, 0, NULL, &options, NULL));
    OK(mlkv_model_load(db, M, 0, &contents));
    IS(TEXT("{}"), contents.metadata);
    options.metadata = slice_of(large, sizeof large); /* a blob */
    OK(mlkv_model_save(db, M, NULL, 0, NULL, &options, NULL));
    OK(mlkv_model_load(db, M, 0, &contents));
    IS(slice_of(large, sizeof large), contents.metadata);
    mlkv_buffer text = {0};
    OK(mlkv_model_metadata(db, M, 0, &text));
    IS(slice_of(large, sizeof large), text);
    OK(mlkv_model_metadata(db, M, 1, &text));
    IS(TEXT("{}"), text);
    MUST(MLKV_ABSENT, mlkv_model_metadata(db, M, 3, &text));
    MUST(MLKV_E_ARGUMENT, mlkv_model_metadata(db, M, 1, NULL));
    IS(TEXT("{}"), text);
    mlkv_buffer_free(&text);
    OK(save_filled(db, M, 3, 0, NULL));
    OK(mlkv_model_load(db, M, 0, &contents));
    ck_assert_uint_eq(contents.metadata.size, 0);
    ck_assert(is_filled(&contents, 3));
    MUST(MLKV_ABSENT, mlkv_model_load(db, M, 9, &contents));
    ck_assert(is_filled(&contents, 3)); /* untouched */
    mlkv_model_contents_free(&contents);
    mlkv_model_contents_free(&contents);
    mlkv_model_contents_free(NULL);
    OK(mlkv_model_drop(db, M, 0));
    nothing_is_left(db);
    OK(mlkv_close(db));
}
END_TEST

/* --- names --- */

START_TEST(names_of_any_bytes)
{
    mlkv *db = memory_store();
    static const char bytes[] = ":1:\0a%1:1";
    mlkv_slice names[] = {TEXT(""),          TEXT("a"),        TEXT("a:1"), TEXT("1"),
                          TEXT("1:a"),       TEXT("1:1:1"),    TEXT(":"),   TEXT("a:"),
                          TEXT("\0"),        TEXT("\xff\xfe"), {bytes, 9},  {bytes, 10},
                          long_name(600, 1), long_name(600, 2)};
    enum { NAMES = sizeof names / sizeof *names };
    mlkv_rows rows = {0};
    mlkv_buffer keys[2] = {{0}, {0}};
    for (size_t a = 0; a < NAMES; a++)
        for (size_t b = 0; b < NAMES; b++)
            for (unsigned v = 1; v <= 111; v = v * 10 + 1)
                for (unsigned i = 0; i < NAMES * NAMES * 3; i++) {
                    static const unsigned numbers[] = {1, 11, 111};
                    size_t c = i / 3 / NAMES, d = i / 3 % NAMES;
                    unsigned w = numbers[i % 3];
                    if (i % 97 != v % 97 && c != a && d != b) /* a part of them, or it takes long */
                        continue;
                    OK(mlkv_model_key(names[a], v, names[b], &keys[0]));
                    OK(mlkv_model_key(names[c], w, names[d], &keys[1]));
                    ck_assert_int_eq(
                        slice_equal(slice_of_buffer(&keys[0]), slice_of_buffer(&keys[1])),
                        a == c && b == d && v == w);
                }
    for (size_t a = 0; a < NAMES; a++) {
        mlkv_publication *p = NULL;
        OK(mlkv_model_begin(db, names[a], &p));
        for (size_t b = 0; b < NAMES; b++)
            put_number(p, names[b], (float)(a * 100 + b));
        OK(mlkv_model_publish(p, NULL, NULL));
    }
    OK(mlkv_model_names(db, &rows));
    ck_assert_uint_eq(rows.count, NAMES);
    verify_all(db);
    for (size_t a = 0; a < NAMES; a++) {
        mlkv_model_contents contents = {0};
        OK(mlkv_model_load(db, names[a], 0, &contents));
        ck_assert_uint_eq(contents.count, NAMES);
        for (size_t b = 0; b < NAMES; b++) {
            ck_assert(slice_equal(contents.items[b].name, names[b]));
            ck_assert_float_eq(*(float *)contents.items[b].data, (float)(a * 100 + b));
        }
        mlkv_model_contents_free(&contents);
        OK(mlkv_model_drop(db, names[a], 0)); /* and no other's */
        ck_assert_uint_eq(key_count(db), (NAMES - 1 - a) * (NAMES + 2));
    }
    nothing_is_left(db);
    mlkv_buffer_free(&keys[0]);
    mlkv_buffer_free(&keys[1]);
    mlkv_rows_free(&rows);
    OK(mlkv_close(db));
}
END_TEST

/* --- views --- */

START_TEST(transactions_and_snapshots)
{
    mlkv *db = memory_store(), *tx = NULL, *snapshot = NULL;
    mlkv_publication *p = NULL;
    uint64_t version;
    OK(save_filled(db, M, 1, 0, NULL));
    OK(mlkv_snapshot(db, &snapshot));
    OK(mlkv_begin(db, &tx));
    OK(save_filled(tx, M, 2, 0, &version));
    OK(save_filled(tx, TEXT("other"), 2, 0, NULL));
    expect_filled(tx, M, 0, 2);
    OK(mlkv_model_wait(tx, M, 1, -1, &version));
    MUST(MLKV_ABSENT, mlkv_model_wait(tx, M, 2, -1, &version)); /* waits for nothing */
    OK(mlkv_abort(tx));
    expect_filled(db, M, 0, 1);
    ck_assert_uint_eq(current_of(db, TEXT("other")), 0);
    OK(mlkv_begin(db, &tx));
    OK(mlkv_model_begin(tx, M, &p));
    OK(mlkv_model_abort(p));
    OK(save_filled(tx, M, 2, 0, &version));
    OK(save_filled(tx, TEXT("other"), 2, 0, NULL));
    OK(mlkv_model_rollback(tx, M, 1, NULL));
    OK(mlkv_model_rollback(tx, M, version, NULL));
    OK(mlkv_commit(tx));
    expect_filled(db, M, 0, 2);
    expect_filled(db, TEXT("other"), 0, 2);
    expect_filled(snapshot, M, 0, 1);
    OK(mlkv_model_drop(db, M, 0));
    expect_filled(snapshot, M, 1, 1);
    MUST(MLKV_E_READONLY, save_filled(snapshot, M, 3, 0, NULL));
    MUST(MLKV_E_READONLY, mlkv_model_rollback(snapshot, M, 1, NULL));
    MUST(MLKV_E_READONLY, mlkv_model_drop(snapshot, M, 0));
    MUST(MLKV_ABSENT, mlkv_model_wait(snapshot, M, 1, 1000000, &version));
    OK(mlkv_close(snapshot));
    OK(mlkv_model_drop(db, TEXT("other"), 0));
    nothing_is_left(db);
    OK(mlkv_close(db));
}
END_TEST

/* --- reading while it changes --- */

typedef struct {
    mlkv *db;
    float *memory[FILLED_TENSORS];
    uint64_t version;
    unsigned begun, change_up_to, action;
    bool failed;
} disturbed;

static void disturbed_begin(void *context, uint64_t version, uint64_t tensors)
{
    disturbed *self = context;
    self->version = version;
    self->failed = self->failed || tensors != FILLED_TENSORS;
    self->begun++;
}

/* Changes both large tensors at once, or publishes, when the first one has been read. */
static void disturb(disturbed *self)
{
    mlkv *tx = NULL;
    mlkv_buffer key = {0};
    static const char *const names[] = {"z/first", "a/last", "small", ""};
    if (self->action == 1) {
        OK(save_filled(self->db, M, 50 + (float)self->begun, 1, NULL));
        return;
    }
    OK(mlkv_begin(self->db, &tx));
    for (size_t i = 0; i < 4; i++) {
        OK(mlkv_model_current_key(tx, M, slice_of_text(names[i]), &key, NULL));
        OK(mlkv_tensor_scale(tx, slice_of_buffer(&key), 2));
    }
    OK(mlkv_commit(tx));
    mlkv_buffer_free(&key);
}

static void *disturbed_place(void *context, size_t index, mlkv_slice name,
                             const mlkv_tensor_info *info)
{
    disturbed *self = context;
    (void)name;
    if (index == 4 && self->begun <= self->change_up_to)
        disturb(self);
    self->memory[index] = realloc(self->memory[index], info->raw_bytes + 1);
    return self->memory[index];
}

static void read_disturbed(mlkv *db, unsigned action, unsigned up_to, unsigned want_begun)
{
    disturbed self = {.db = db, .action = action, .change_up_to = up_to};
    mlkv_model_reader reader = {.size = sizeof reader,
                                .begin = disturbed_begin,
                                .place = disturbed_place,
                                .context = &self};
    uint64_t version = 0;
    OK(mlkv_model_read(db, M, 0, &reader, &version));
    ck_assert(!self.failed);
    ck_assert_uint_eq(version, self.version);
    ck_assert_uint_eq(self.begun, want_begun);
    for (size_t i = 0; i < FILLED_ROWS * FILLED_COLUMNS; i++) {
        ck_assert(self.memory[0][i] == self.memory[0][0]);
        ck_assert(self.memory[4][i] == self.memory[0][0]);
    }
    ck_assert(self.memory[1][0] == self.memory[0][0] && self.memory[2][0] == self.memory[0][0]);
    for (size_t i = 0; i < FILLED_TENSORS; i++)
        free(self.memory[i]);
}

START_TEST(reading_while_it_changes)
{
    mlkv *db = memory_store(), *tx = NULL;
    OK(save_filled(db, M, 1, 0, NULL));
    for (unsigned action = 0; action < 2; action++) {
        read_disturbed(db, action, 0, 1);
        read_disturbed(db, action, 1, 2);
        read_disturbed(db, action, 3, 4);
        read_disturbed(db, action, 1000, 5); /* a snapshot, in which nothing changes */
    }
    OK(mlkv_begin(db, &tx));
    read_disturbed(tx, 1, 2, 3); /* its own writes */
    OK(mlkv_abort(tx));
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

static void *no_place(void *context, size_t index, mlkv_slice name, const mlkv_tensor_info *info)
{
    (void)context, (void)index, (void)name, (void)info;
    return NULL;
}

static void *dropping_place(void *context, size_t index, mlkv_slice name,
                            const mlkv_tensor_info *info)
{
    static float memory[FILLED_ROWS * FILLED_COLUMNS];
    (void)name, (void)info;
    if (index == 1 && versions_of(context, M) == 2)
        OK(mlkv_model_drop(context, M, 1));
    return memory;
}

START_TEST(dropped_while_it_is_read)
{
    mlkv *db = memory_store();
    uint64_t version = 77;
    mlkv_model_reader reader = {.size = sizeof reader, .place = dropping_place, .context = db};
    OK(save_filled(db, M, 1, 0, NULL));
    OK(save_filled(db, M, 2, 0, NULL));
    MUST(MLKV_ABSENT, mlkv_model_read(db, M, 1, &reader, &version));
    ck_assert_uint_eq(version, 77);
    reader.place = no_place;
    MUST(MLKV_E_MEMORY, mlkv_model_read(db, M, 0, &reader, &version));
    OK(mlkv_close(db));
}
END_TEST

/* --- waiting --- */

static void *publish_later(void *context)
{
    mlkv *db = context;
    for (unsigned i = 2; i <= 4; i++) {
        (void)usleep(20000);
        CHILD_MUST(save_filled(db, M, (float)i, 2, NULL) == MLKV_OK);
    }
    (void)usleep(20000);
    CHILD_MUST(mlkv_model_rollback(db, M, 3, NULL) == MLKV_OK);
    return NULL;
}

START_TEST(waiting)
{
    mlkv *db = memory_store();
    pthread_t thread;
    uint64_t version = 0, seen = 1;
    MUST(MLKV_ABSENT, mlkv_model_wait(db, M, 0, 0, &version));
    MUST(MLKV_ABSENT, mlkv_model_wait(db, M, 0, 10, &version));
    OK(save_filled(db, M, 1, 0, NULL));
    OK(mlkv_model_wait(db, M, 0, -1, &version));
    OK(mlkv_model_wait(db, M, 9, -1, &version));
    MUST(MLKV_ABSENT, mlkv_model_wait(db, M, 1, 10, &version));
    ck_assert_int_eq(pthread_create(&thread, NULL, publish_later, db), 0);
    while (seen < 4) {
        OK(mlkv_model_wait(db, M, seen, -1, &version));
        ck_assert_uint_gt(version, seen);
        seen = version;
    }
    OK(mlkv_model_wait(db, M, 4, -1, &version));
    ck_assert_uint_eq(version, 3);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    OK(mlkv_close(db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model");
    TCase *tcase = harness_case(suite, "model");
    tcase_add_test(tcase, versions);
    tcase_add_test(tcase, keep_last);
    tcase_add_test(tcase, chunks_are_shared);
    tcase_add_test(tcase, what_is_not_shared);
    tcase_add_test(tcase, putting_and_carrying);
    tcase_add_test(tcase, a_carried_tensor_that_goes);
    tcase_add_test(tcase, aborting_and_failing);
    tcase_add_test(tcase, including);
    tcase_add_test(tcase, metadata);
    tcase_add_test(tcase, names_of_any_bytes);
    tcase_add_test(tcase, transactions_and_snapshots);
    tcase_add_test(tcase, reading_while_it_changes);
    tcase_add_test(tcase, dropped_while_it_is_read);
    tcase_add_test(tcase, waiting);
    return harness_run(suite);
}
