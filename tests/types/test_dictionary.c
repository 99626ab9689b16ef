/* test_dictionary.c - dictionaries: learned, used without being asked for by everything that writes small values, kept for what was
 * written with them; versions, prefixes, other processes, what is refused, damage.
 *
 * Every value read is compared with the one written. That a value was really coded is seen by the first byte of its cell.
 */
#include "small_values.h"
#include "types/stores.h"

#include "base/buffer.h"
#include "codec/cell.h"
#include "codec/dictionary_record.h"

#include <mlkv/dictionary.h>
#include <signal.h>

enum { VALUES = 3000, KIND_AT = 32 };

static mlkv_slice name_of(const char *prefix, unsigned number)
{
    static char names[4][64];
    static unsigned next;
    char *name = names[next++ % 4];
    return slice_of(name, (size_t)snprintf(name, sizeof names[0], "%s%07u", prefix, number));
}

static mlkv_slice json(uint64_t number)
{
    static char texts[4][SMALL_VALUE_MAX];
    static unsigned next;
    char *text = texts[next++ % 4];
    return slice_of(text, small_json(number, text));
}

static void fill(mlkv *db, const char *prefix, unsigned first, unsigned n)
{
    for (unsigned i = first; i < first + n; i++)
        OK(mlkv_string_set(db, name_of(prefix, i), json(i), MLKV_SET_ALWAYS));
}

/* Whole, and as a range: all of it, and of a longer one what is within. */
static void check_string(mlkv *view, mlkv_slice key, mlkv_slice expected)
{
    mlkv_buffer got = {0};
    OK(mlkv_string_get_range(view, key, 0, -1, &got));
    IS(expected, got);
    OK(mlkv_string_get_range(view, key, 1, -2, &got));
    IS(expected.size < 2 ? slice_of(NULL, 0)
                         : slice_of((const char *)expected.data + 1, expected.size - 2),
       got);
    OK(mlkv_string_get(view, key, &got));
    ck_assert(slice_equal(slice_of_buffer(&got), expected));
    mlkv_buffer_free(&got);
}

static void check_filled(mlkv *view, const char *prefix, unsigned first, unsigned n)
{
    for (unsigned i = first; i < first + n; i++)
        check_string(view, name_of(prefix, i), json(i));
}

static mlkv_dictionary_info train(mlkv *db, mlkv_slice prefix)
{
    mlkv_dictionary_info info = {.size = sizeof info};
    OK(mlkv_dictionary_train(db, prefix, NULL, &info));
    ck_assert_uint_ge(info.id, 1);
    ck_assert_uint_gt(info.tried_bytes, 0);
    ck_assert_uint_lt(info.with_bytes, info.without_bytes);
    return info;
}

/* --- what stands in the records --- */

typedef struct {
    mlkv_slice key;
    mlkv_buffer value;
} raw_record;

static int get_rule(op *o, void *context)
{
    raw_record *self = context;
    return op_get(o, self->key, &self->value);
}

static mlkv_buffer record_of(mlkv *view, mlkv_slice key)
{
    raw_record self = {.key = key};
    OK(op_read(view, get_rule, &self));
    return self.value;
}

/* The dictionary that a string was coded with; 0: none. */
static uint32_t dictionary_of(mlkv *view, mlkv_slice name)
{
    record_key key;
    OK(layout_key(name, &key));
    mlkv_buffer value = record_of(view, record_key_slice(&key));
    ck_assert_uint_gt(value.size, KIND_AT);
    mlkv_slice cell = slice_of((char *)value.data + KIND_AT, value.size - KIND_AT);
    uint32_t id = *(const unsigned char *)cell.data == CELL_DICTIONARY ? cell_dictionary(cell) : 0;
    mlkv_buffer_free(&value);
    return id;
}

/* --- tests --- */

START_TEST(values_are_coded_after_the_training_and_all_are_read)
{
    mlkv *db = memory_store(), *snapshot = NULL;
    fill(db, "e:", 0, VALUES);
    ck_assert_uint_eq(dictionary_of(db, name_of("e:", 5)), 0);
    mlkv_dictionary_info info = train(db, TEXT("e:"));
    ck_assert_uint_eq(info.id, 1);
    ck_assert_uint_eq(info.version, 1);
    ck_assert_int_eq(info.current, 1);
    ck_assert_uint_lt(info.with_bytes * 2, info.without_bytes);
    fill(db, "e:", VALUES, VALUES);
    ck_assert_uint_eq(dictionary_of(db, name_of("e:", VALUES)), 1);
    fill(db, "f:", 0, 10);
    ck_assert_uint_eq(dictionary_of(db, name_of("f:", 1)), 0);
    check_filled(db, "e:", 0, 2 * VALUES);
    OK(mlkv_snapshot(db, &snapshot));
    check_filled(snapshot, "e:", VALUES - 10, 20);
    OK(mlkv_close(snapshot));
    mlkv_stats stats = {.size = sizeof stats};
    OK(mlkv_stats_get(db, &stats));
    ck_assert_uint_gt(stats.dictionary_bytes, info.bytes);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

/* Binary values too, of all sizes around the limits. */
START_TEST(values_of_every_size_come_back)
{
    mlkv *db = memory_store();
    static unsigned char value[70000];
    unsigned char binary[SMALL_VALUE_MAX];
    for (unsigned i = 0; i < VALUES; i++)
        OK(mlkv_string_set(db, name_of("b:", i), slice_of(binary, small_binary(i, binary)),
                           MLKV_SET_ALWAYS));
    (void)train(db, TEXT("b:"));
    for (size_t i = 0; i < sizeof value;)
        for (size_t n = small_binary(i, binary), k = 0; k < n && i < sizeof value;)
            value[i++] = binary[k++];
    static const size_t sizes[] = {0,    1,    31,    32,    33,    100,   255,  256,
                                   1023, 1024, 16384, 32767, 32768, 32769, 70000};
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        mlkv_slice name = name_of("b:s", i);
        OK(mlkv_string_set(db, name, slice_of(value, sizes[i]), MLKV_SET_ALWAYS));
        check_string(db, name, slice_of(value, sizes[i]));
        bool tried = sizes[i] >= CELL_DICTIONARY_RAW_MIN && sizes[i] <= CELL_DICTIONARY_RAW_MAX;
        if (!tried || sizes[i] >= 255)
            ck_assert_msg((dictionary_of(db, name) != 0) == tried, "%zu bytes", sizes[i]);
    }
    fill_noise(value, 500, 3); /* nothing helps here: it stays as it is */
    OK(mlkv_string_set(db, TEXT("b:noise"), slice_of(value, 500), MLKV_SET_ALWAYS));
    ck_assert_uint_eq(dictionary_of(db, TEXT("b:noise")), 0);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(every_way_of_writing_uses_it)
{
    mlkv *db = memory_store();
    mlkv_buffer got = {0};
    mlkv_rows rows = {0};
    int64_t length = 0;
    size_t added;
    fill(db, "k", 0, VALUES);
    (void)train(db, TEXT("k"));
    mlkv_pair pairs[40];
    char names[40][16], texts[40][SMALL_VALUE_MAX];
    memset(texts, 't', sizeof texts);
    for (unsigned i = 0; i < 40; i++) {
        pairs[i].name =
            slice_of(names[i], (size_t)snprintf(names[i], sizeof names[i], "k-many%u", i));
        pairs[i].value = slice_of(texts[i], i % 3 == 2 ? i % 30 : small_json(9000 + i, texts[i]));
    }
    OK(mlkv_string_set_many(db, pairs, 40));
    for (unsigned i = 0; i < 40; i++) {
        check_string(db, pairs[i].name, pairs[i].value);
        ck_assert_int_eq(dictionary_of(db, pairs[i].name) != 0, i % 3 != 2);
    }
    OK(mlkv_hash_set(db, TEXT("khash"), pairs, 40, &added));
    for (unsigned i = 0; i < 40; i++) {
        OK(mlkv_hash_get(db, TEXT("khash"), pairs[i].name, &got));
        ck_assert(slice_equal(slice_of_buffer(&got), pairs[i].value));
    }
    mlkv_slice values[40];
    for (unsigned i = 0; i < 40; i++)
        values[i] = pairs[i].value;
    OK(mlkv_list_push(db, TEXT("klist"), MLKV_LIST_RIGHT, values, 40, NULL));
    OK(mlkv_list_set(db, TEXT("klist"), 3, values[7]));
    OK(mlkv_list_insert(db, TEXT("klist"), MLKV_LIST_BEFORE, values[10], values[9], &length));
    ck_assert_int_eq(length, 41);
    OK(mlkv_list_get(db, TEXT("klist"), 3, &got));
    ck_assert(slice_equal(slice_of_buffer(&got), values[7]));
    OK(mlkv_string_set(db, TEXT("kgrows"), values[0], MLKV_SET_ALWAYS));
    OK(mlkv_string_append(db, TEXT("kgrows"), values[1], NULL));
    ck_assert_uint_ne(dictionary_of(db, TEXT("kgrows")), 0);
    uint64_t grown = 0;
    OK(mlkv_string_length(db, TEXT("kgrows"), &grown));
    ck_assert_uint_eq(grown, values[0].size + values[1].size);
    OK(mlkv_string_get_range(db, TEXT("kgrows"), (int64_t)values[0].size, -1, &got));
    ck_assert(slice_equal(slice_of_buffer(&got), values[1]));
    mlkv *inside = NULL;
    OK(mlkv_begin(db, &inside));
    OK(mlkv_string_set(inside, TEXT("kinside"), values[4], MLKV_SET_ALWAYS));
    check_string(inside, TEXT("kinside"), values[4]);
    OK(mlkv_commit(inside));
    ck_assert_uint_ne(dictionary_of(db, TEXT("kinside")), 0);
    verify_all(db);
    mlkv_buffer_free(&got);
    mlkv_rows_free(&rows);
    OK(mlkv_close(db));
}
END_TEST

/* A cell goes with its record wherever that is put, also where no dictionary is in use. */
START_TEST(copies_names_and_payloads)
{
    mlkv *db = memory_store(), *other = memory_store();
    mlkv_buffer payload = {0};
    fill(db, "p:", 0, VALUES);
    (void)train(db, TEXT("p:"));
    fill(db, "p:", 0, VALUES);
    OK(mlkv_key_copy(db, TEXT("p:0000007"), TEXT("elsewhere"), 0, NULL));
    ck_assert_uint_eq(dictionary_of(db, TEXT("elsewhere")), 1);
    check_string(db, TEXT("elsewhere"), json(7));
    OK(mlkv_key_rename(db, TEXT("p:0000008"), TEXT("moved")));
    check_string(db, TEXT("moved"), json(8));
    OK(mlkv_key_dump(db, TEXT("moved"), &payload));
    OK(mlkv_key_restore(other, TEXT("there"), slice_of_buffer(&payload), 0, 0));
    check_string(other, TEXT("there"), json(8));
    OK(mlkv_key_restore(db, TEXT("p:back"), slice_of_buffer(&payload), 0, 0));
    ck_assert_uint_eq(dictionary_of(db, TEXT("p:back")), 1);
    check_string(db, TEXT("p:back"), json(8));
    verify_all(db);
    verify_all(other);
    mlkv_buffer_free(&payload);
    OK(mlkv_close(other));
    OK(mlkv_close(db));
}
END_TEST

START_TEST(versions_prefixes_and_the_list)
{
    mlkv *db = memory_store();
    mlkv_buffer prefix = {0};
    mlkv_dictionary_info info = {.size = sizeof info};
    MUST(MLKV_ABSENT, mlkv_dictionary_next(db, 0, &info, &prefix));
    MUST(MLKV_ABSENT, mlkv_dictionary_drop(db, TEXT("a:")));
    fill(db, "a:", 0, VALUES);
    fill(db, "a:b:", 0, VALUES);
    ck_assert_uint_eq(train(db, TEXT("a:")).version, 1);
    ck_assert_uint_eq(train(db, TEXT("a:b:")).version, 1);
    ck_assert_uint_eq(train(db, TEXT("a:")).version, 2);
    static const struct {
        const char *prefix;
        uint32_t version;
        int32_t current;
    } expected[] = {{"a:", 1, 0}, {"a:b:", 1, 1}, {"a:", 2, 1}};
    for (uint32_t i = 0; i < 3; i++) {
        OK(mlkv_dictionary_next(db, i, &info, &prefix));
        ck_assert_uint_eq(info.id, i + 1);
        ck_assert_uint_eq(info.version, expected[i].version);
        ck_assert_int_eq(info.current, expected[i].current);
        ck_assert_uint_gt(info.bytes, 1000);
        ck_assert_uint_gt(info.samples, 1000);
        ck_assert(slice_equal(slice_of_buffer(&prefix), slice_of_text(expected[i].prefix)));
    }
    MUST(MLKV_ABSENT, mlkv_dictionary_next(db, 3, &info, &prefix));
    fill(db, "a:c:", 0, 10);
    fill(db, "a:b:", 0, 10);
    fill(db, "a", 0, 10);
    ck_assert_uint_eq(dictionary_of(db, name_of("a:c:", 1)), 3);
    ck_assert_uint_eq(dictionary_of(db, name_of("a:b:", 1)), 2); /* the longest counts */
    ck_assert_uint_eq(dictionary_of(db, name_of("a", 1)), 0);
    OK(mlkv_dictionary_drop(db, TEXT("a:b:")));
    MUST(MLKV_ABSENT, mlkv_dictionary_drop(db, TEXT("a:b:")));
    fill(db, "a:b:", 5, 10);
    ck_assert_uint_eq(dictionary_of(db, name_of("a:b:", 1)), 2);
    ck_assert_uint_eq(dictionary_of(db, name_of("a:b:", 6)), 3);
    check_filled(db, "a:b:", 0, VALUES);
    OK(mlkv_dictionary_drop(db, TEXT("a:")));
    fill(db, "a:b:", 5, 10);
    ck_assert_uint_eq(dictionary_of(db, name_of("a:b:", 6)), 0);
    ck_assert_uint_eq(train(db, TEXT("a:b:")).version, 2);
    check_filled(db, "a:b:", 0, VALUES);
    verify_all(db);
    mlkv_buffer_free(&prefix);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(what_does_not_pay_is_not_kept)
{
    mlkv *db = memory_store();
    char noise[200];
    mlkv_dictionary_info info = {.size = sizeof info};
    MUST(MLKV_ABSENT, mlkv_dictionary_train(db, TEXT("n:"), NULL, &info));
    ck_assert_uint_eq(info.id, 0);
    ck_assert_uint_eq(info.samples, 0);
    for (unsigned i = 0; i < VALUES; i++) {
        fill_noise(noise, sizeof noise, i);
        OK(mlkv_string_set(db, name_of("n:", i), slice_of(noise, sizeof noise), MLKV_SET_ALWAYS));
    }
    MUST(MLKV_ABSENT, mlkv_dictionary_train(db, TEXT("n:"), NULL, &info));
    ck_assert_uint_eq(info.id, 0);
    MUST(MLKV_ABSENT, mlkv_dictionary_next(db, 0, &info, NULL));
    ck_assert_uint_eq(count_records(db, "D"), 0);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(what_is_refused)
{
    mlkv *db = memory_store(), *inside = NULL, *snapshot = NULL;
    mlkv_dictionary_info info = {.size = sizeof info}, wrong = {.size = 3};
    mlkv_dictionary_options options = {.size = sizeof options};
    char prefix[300] = {0};
    MUST(MLKV_E_ARGUMENT, mlkv_dictionary_train(NULL, TEXT("a"), NULL, &info));
    MUST(MLKV_E_ARGUMENT, mlkv_dictionary_train(db, slice_of(NULL, 3), NULL, &info));
    MUST(MLKV_E_ARGUMENT, mlkv_dictionary_train(db, TEXT("a"), NULL, &wrong));
    MUST(MLKV_E_SIZE, mlkv_dictionary_train(db, slice_of(prefix, 256), NULL, &info));
    options.dictionary_bytes = 255;
    MUST(MLKV_E_ARGUMENT, mlkv_dictionary_train(db, TEXT("a"), &options, &info));
    options.dictionary_bytes = (1 << 20) + 1;
    MUST(MLKV_E_ARGUMENT, mlkv_dictionary_train(db, TEXT("a"), &options, &info));
    options =
        (mlkv_dictionary_options){.size = sizeof options, .sample_max_bytes = (256 << 20) + 1};
    MUST(MLKV_E_ARGUMENT, mlkv_dictionary_train(db, TEXT("a"), &options, &info));
    options.size = 7;
    MUST(MLKV_E_ARGUMENT, mlkv_dictionary_train(db, TEXT("a"), &options, &info));
    MUST(MLKV_E_ARGUMENT, mlkv_dictionary_next(db, 0, NULL, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_dictionary_next(db, 0, &wrong, NULL));
    MUST(MLKV_ABSENT, mlkv_dictionary_next(db, UINT32_MAX, &info, NULL));
    OK(mlkv_begin(db, &inside));
    MUST(MLKV_E_ARGUMENT, mlkv_dictionary_train(inside, TEXT("a"), NULL, &info));
    OK(mlkv_abort(inside));
    OK(mlkv_snapshot(db, &snapshot));
    MUST(MLKV_E_ARGUMENT, mlkv_dictionary_train(snapshot, TEXT("a"), NULL, &info));
    MUST(MLKV_E_READONLY, mlkv_dictionary_drop(snapshot, TEXT("a")));
    OK(mlkv_close(snapshot));
    OK(mlkv_close(db));
}
END_TEST

/* A sample is drawn from all of a large prefix, and small limits are kept. */
START_TEST(hashes_lists_and_limits)
{
    mlkv *db = memory_store();
    char field[16];
    mlkv_dictionary_info info = {.size = sizeof info};
    mlkv_dictionary_options options = {
        .size = sizeof options, .dictionary_bytes = 4096, .sample_max_bytes = 100000};
    for (unsigned i = 0; i < VALUES; i++) {
        mlkv_pair pair = {slice_of(field, (size_t)snprintf(field, sizeof field, "f%u", i)),
                          json(i)};
        mlkv_slice value = json(i + VALUES);
        OK(mlkv_hash_set(db, TEXT("x:hash"), &pair, 1, NULL));
        OK(mlkv_list_push(db, TEXT("x:list"), MLKV_LIST_RIGHT, &value, 1, NULL));
    }
    OK(mlkv_dictionary_train(db, TEXT("x:"), &options, &info));
    ck_assert_uint_le(info.bytes, 4096);
    ck_assert_uint_ge(info.samples, 100);
    ck_assert_uint_le(info.samples, 100000 / 100);
    mlkv_slice value = json(1);
    OK(mlkv_list_push(db, TEXT("x:list"), MLKV_LIST_RIGHT, &value, 1, NULL));
    mlkv_buffer got = {0};
    OK(mlkv_list_get(db, TEXT("x:list"), -1, &got));
    ck_assert(slice_equal(slice_of_buffer(&got), value));
    mlkv_buffer_free(&got);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(reopened_and_read_only)
{
    const char *folder = harness_folder();
    mlkv *db = folder_store(folder);
    fill(db, "r:", 0, VALUES);
    (void)train(db, TEXT("r:"));
    fill(db, "r:", 0, VALUES);
    OK(mlkv_close(db));
    db = folder_store(folder);
    check_filled(db, "r:", 0, 100);
    fill(db, "r:", 0, 5);
    ck_assert_uint_eq(dictionary_of(db, name_of("r:", 1)), 1);
    OK(mlkv_close(db));
    mlkv_options options = {.size = sizeof options, .flags = MLKV_READ_ONLY};
    mlkv_dictionary_info info = {.size = sizeof info};
    OK(mlkv_open(folder, &options, &db));
    check_filled(db, "r:", 0, VALUES);
    MUST(MLKV_E_READONLY, mlkv_dictionary_train(db, TEXT("r:"), NULL, &info));
    OK(mlkv_dictionary_next(db, 0, &info, NULL));
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* --- several processes --- */

/* One trains, others read what was written with it and write with it themselves. */
START_TEST(other_processes_use_it)
{
    const char *folder = harness_folder();
    int status, to_child[2], to_parent[2];
    char byte = 'x';
    ck_assert_int_eq(pipe(to_child), 0);
    ck_assert_int_eq(pipe(to_parent), 0);
    pid_t pid = harness_fork();
    if (pid == 0) {
        mlkv *db = NULL;
        mlkv_options options = {.size = sizeof options, .ring_bytes = 1 << 20};
        CHILD_MUST(read(to_child[0], &byte, 1) == 1); /* the store is there */
        CHILD_MUST(mlkv_open(folder, &options, &db) == MLKV_OK);
        CHILD_MUST(mlkv_string_set(db, TEXT("o:child"), json(1), MLKV_SET_ALWAYS) == MLKV_OK);
        CHILD_MUST(write(to_parent[1], &byte, 1) == 1);
        CHILD_MUST(read(to_child[0], &byte, 1) == 1); /* trained, and written with it */
        mlkv_buffer got = {0};
        CHILD_MUST(mlkv_string_get(db, TEXT("o:parent"), &got) == MLKV_OK);
        CHILD_MUST(slice_equal(slice_of_buffer(&got), json(2)));
        for (uint64_t i = 0; i < 10; i++)
            CHILD_MUST(mlkv_string_set(db, TEXT("o:child"), json(i), MLKV_SET_ALWAYS) == MLKV_OK);
        CHILD_MUST(dictionary_of(db, TEXT("o:child")) == 1);
        mlkv_buffer_free(&got);
        CHILD_MUST(mlkv_close(db) == MLKV_OK);
        harness_exit(0);
    }
    mlkv *db = folder_store(folder);
    fill(db, "o:", 0, VALUES);
    ck_assert_int_eq(write(to_child[1], &byte, 1), 1);
    ck_assert_int_eq(read(to_parent[0], &byte, 1), 1);
    (void)train(db, TEXT("o:"));
    OK(mlkv_string_set(db, TEXT("o:parent"), json(2), MLKV_SET_ALWAYS));
    ck_assert_uint_eq(dictionary_of(db, TEXT("o:parent")), 1);
    ck_assert_int_eq(write(to_child[1], &byte, 1), 1);
    ck_assert_int_eq(child_status(pid), 0);
    check_string(db, TEXT("o:child"), json(9));
    /* a child made by fork opens the store anew and finds the dictionaries again */
    IN_CHILD(status, {
        mlkv_buffer got = {0};
        CHILD_MUST(mlkv_string_get(db, TEXT("o:parent"), &got) == MLKV_OK);
        CHILD_MUST(slice_equal(slice_of_buffer(&got), json(2)));
        CHILD_MUST(mlkv_string_set(db, TEXT("o:fork"), json(3), MLKV_SET_ALWAYS) == MLKV_OK);
        CHILD_MUST(dictionary_of(db, TEXT("o:fork")) == 1);
        mlkv_buffer_free(&got);
        (void)mlkv_close(db);
    });
    ck_assert_int_eq(status, 0);
    check_string(db, TEXT("o:fork"), json(3));
    verify_all(db);
    OK(mlkv_close(db));
    for (int i = 0; i < 2; i++) {
        close(to_child[i]);
        close(to_parent[i]);
    }
    harness_remove(folder);
}
END_TEST

/* Killed at any moment, a process that trains and writes leaves a store in which every value can be read. */
START_TEST(killed_while_training)
{
    const char *folder = harness_folder();
    mlkv *db = folder_store(folder);
    fill(db, "d:", 0, VALUES);
    OK(mlkv_close(db));
    unsigned rounds = harness_rounds(10);
    for (unsigned round = 0; round < rounds; round++) {
        pid_t pid = harness_fork();
        if (pid == 0) {
            mlkv *own = NULL;
            mlkv_options options = {.size = sizeof options, .ring_bytes = 1 << 20};
            mlkv_dictionary_options small = {.size = sizeof small, .sample_max_bytes = 200000};
            CHILD_MUST(mlkv_open(folder, &options, &own) == MLKV_OK);
            for (unsigned i = 0;; i++) {
                CHILD_MUST(mlkv_dictionary_train(own, TEXT("d:"), &small, NULL) >= 0);
                for (unsigned k = 0; k < 50; k++)
                    CHILD_MUST(mlkv_string_set(own, name_of("d:", k), json(k), MLKV_SET_ALWAYS) ==
                               MLKV_OK);
            }
        }
        usleep(30000 + round * 23456);
        ck_assert_int_eq(kill(pid, SIGKILL), 0);
        ck_assert_int_eq(child_status(pid), -SIGKILL);
        db = folder_store(folder);
        check_filled(db, "d:", 0, 100);
        verify_all(db);
        OK(mlkv_close(db));
    }
    harness_remove(folder);
}
END_TEST

/* --- damage --- */

static void put(mlkv *db, mlkv_slice key, mlkv_slice value)
{
    record it = {key, value};
    OK(op_write(db, put_record, &it));
}

static int delete_rule(op *o, void *context)
{
    return op_delete(o, *(const mlkv_slice *)context);
}

static int count_problem(void *context, const char *problem)
{
    (void)problem;
    ++*(unsigned *)context;
    return 0;
}

static unsigned problems(mlkv *db)
{
    unsigned count = 0;
    mlkv_report report = {.size = sizeof report};
    int result = mlkv_verify(db, count_problem, &count, &report);
    ck_assert(result == MLKV_OK || result == MLKV_E_CORRUPT);
    return count;
}

/* A store with coded values, closed, so that no process has a dictionary ready. */
static const char *coded_store(void)
{
    const char *folder = harness_folder();
    mlkv *db = folder_store(folder);
    fill(db, "s:", 0, 600);
    (void)train(db, TEXT("s:"));
    (void)train(db, TEXT("s:"));
    fill(db, "s:", 100, 500);
    OK(mlkv_close(db));
    return folder;
}

START_TEST(a_missing_dictionary_is_named)
{
    const char *folder = coded_store();
    static const unsigned char key[] = {'D', 0, 0, 0, 2};
    mlkv_slice d2 = slice_of(key, sizeof key);
    mlkv_buffer got = {0};
    mlkv *db = folder_store(folder);
    OK(op_write(db, delete_rule, &d2));
    MUST(MLKV_E_CORRUPT, mlkv_string_get(db, name_of("s:", 300), &got));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "dictionary 2"));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "s:0000300"));
    check_string(db, name_of("s:", 50), json(50));
    ck_assert_uint_ge(problems(db), 500);
    /* writing goes on, plainly */
    OK(mlkv_string_set(db, name_of("s:", 300), json(300), MLKV_SET_ALWAYS));
    check_string(db, name_of("s:", 300), json(300));
    ck_assert_uint_eq(dictionary_of(db, name_of("s:", 300)), 0);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

START_TEST(broken_records_and_cells_are_found)
{
    const char *folder = coded_store();
    mlkv *db = folder_store(folder);
    static const unsigned char table[] = {'D', 0, 0, 0, 0}, first[] = {'D', 0, 0, 0, 1},
                               second[] = {'D', 0, 0, 0, 2}, ninth[] = {'D', 0, 0, 0, 9};
    mlkv_buffer one = record_of(db, slice_of(first, 5)), two = record_of(db, slice_of(second, 5)),
                index = record_of(db, slice_of(table, 5));
    ck_assert_uint_eq(problems(db), 0);
    put(db, slice_of(ninth, 5), slice_of_buffer(&one)); /* says that it is 1 */
    ck_assert_uint_eq(problems(db), 1);
    OK(op_write(db, delete_rule, &(mlkv_slice){ninth, 5}));
    put(db, slice_of(first, 5), slice_of_buffer(&two));
    ck_assert_uint_eq(problems(db), 1); /* no value needs it */
    put(db, slice_of(first, 5), slice_of_buffer(&one));
    for (size_t cut = 0; cut < index.size; cut++) {
        put(db, slice_of(table, 5), slice_of(index.data, cut));
        ck_assert_uint_ge(problems(db), 1);
        if (cut % 16 == 0) {
            mlkv_dictionary_info info = {.size = sizeof info};
            MUST(MLKV_E_CORRUPT, mlkv_dictionary_next(db, 0, &info, NULL));
            MUST(MLKV_E_CORRUPT, mlkv_dictionary_train(db, TEXT("s:"), NULL, NULL));
            MUST(MLKV_E_CORRUPT, mlkv_dictionary_drop(db, TEXT("s:")));
            OK(mlkv_string_set(db, TEXT("s:new"), json(cut), MLKV_SET_ALWAYS));
            check_string(db, TEXT("s:new"), json(cut));
        }
    }
    put(db, slice_of(table, 5), slice_of_buffer(&index));
    ck_assert_uint_eq(problems(db), 0);
    record_key key;
    OK(layout_key(name_of("s:", 200), &key));
    mlkv_buffer good = record_of(db, record_key_slice(&key)), got = {0};
    unsigned char *cell = (unsigned char *)good.data + KIND_AT;
    for (size_t size = KIND_AT + 1; size < good.size; size++) {
        put(db, record_key_slice(&key), slice_of(good.data, size));
        MUST(MLKV_E_CORRUPT, mlkv_string_get(db, name_of("s:", 200), &got));
    }
    cell[5]++; /* another size */
    put(db, record_key_slice(&key), slice_of_buffer(&good));
    MUST(MLKV_E_CORRUPT, mlkv_string_get(db, name_of("s:", 200), &got));
    cell[5]--;
    cell[1] = 77; /* no such dictionary */
    put(db, record_key_slice(&key), slice_of_buffer(&good));
    MUST(MLKV_E_CORRUPT, mlkv_string_get(db, name_of("s:", 200), &got));
    ck_assert_uint_eq(problems(db), 1);
    mlkv_buffer_free(&one);
    mlkv_buffer_free(&two);
    mlkv_buffer_free(&index);
    mlkv_buffer_free(&good);
    mlkv_buffer_free(&got);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* What the salvage keeps of a store whose dictionary or table is gone; a store without damage comes whole. */
START_TEST(salvage_keeps_what_can_be_decoded)
{
    static const unsigned char keys[][5] = {
        {'D', 0, 0, 0, 9}, {'D', 0, 0, 0, 0}, {'D', 0, 0, 0, 2}};
    for (unsigned which = 0; which < 3; which++) {
        char folder[520], fresh[540];
        snprintf(folder, sizeof folder, "%s", coded_store());
        snprintf(fresh, sizeof fresh, "%s.new", folder);
        mlkv_slice gone = slice_of(keys[which], 5);
        mlkv_salvage_report report = {.size = sizeof report};
        mlkv_dictionary_info info = {.size = sizeof info};
        mlkv *db = folder_store(folder);
        OK(op_write(db, delete_rule, &gone));
        OK(mlkv_close(db));
        OK(mlkv_salvage(folder, fresh, NULL, NULL, &report));
        db = folder_store(fresh);
        verify_all(db);
        check_filled(db, "s:", 0, 100);
        ck_assert_uint_eq(report.keys, which == 2 ? 100 : 600);
        ck_assert_uint_eq(report.keys_lost, which == 2 ? 500 : 0);
        if (which != 2)
            check_filled(db, "s:", 0, 600);
        OK(mlkv_dictionary_next(db, 0, &info, NULL));
        ck_assert_int_eq(info.current, 0);
        if (which != 2) {
            OK(mlkv_dictionary_next(db, 1, &info, NULL));
            ck_assert_int_eq(info.current, 1);
        }
        fill(db, "s:", 0, 600);
        ck_assert_uint_eq(train(db, TEXT("s:")).id, 3);
        OK(mlkv_close(db));
        harness_remove(folder);
        harness_remove(fresh);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("types/dictionary");
    TCase *tcase = harness_case(suite, "dictionary");
    tcase_add_test(tcase, values_are_coded_after_the_training_and_all_are_read);
    tcase_add_test(tcase, values_of_every_size_come_back);
    tcase_add_test(tcase, every_way_of_writing_uses_it);
    tcase_add_test(tcase, copies_names_and_payloads);
    tcase_add_test(tcase, versions_prefixes_and_the_list);
    tcase_add_test(tcase, what_does_not_pay_is_not_kept);
    tcase_add_test(tcase, what_is_refused);
    tcase_add_test(tcase, hashes_lists_and_limits);
    tcase_add_test(tcase, reopened_and_read_only);
    tcase_add_test(tcase, other_processes_use_it);
    tcase_add_test(tcase, killed_while_training);
    tcase_add_test(tcase, a_missing_dictionary_is_named);
    tcase_add_test(tcase, broken_records_and_cells_are_found);
    tcase_add_test(tcase, salvage_keeps_what_can_be_decoded);
    return harness_run(suite);
}
