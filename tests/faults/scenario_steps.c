/* scenario_steps.c - the steps of the scenario: what each writes, and what must be there afterwards.
 *
 * Steps write keys of their own, so that what a step must have done hangs on no other, but for the
 * counter: it must show a sum that the successful additions and none, or some, of the failed ones
 * make. Sizes are chosen for a ring of 64 KiB: frames end at 16 KiB, values of 4 KiB are blobs.
 *
 * No locks, no state of its own.
 */
#include "scenario_steps.h"

#include "base/error.h"

#include "harness.h"

#include <string.h>

enum {
    PIECES_SIZE = 1100000, /* a blob of two pieces */
    FIELDS = 20,
    ROWS = 64,
    COLUMNS = 64,
    ROW_SIZE = 100000, /* of a tensor of which a chunk has two */
    LONG_NAME_SIZE = 700,
    ELEMENTS = 140, /* of a list: read by a scan */
};

/* --- content --- */

static void fill(unsigned char *to, size_t size, unsigned seed)
{
    uint64_t state = seed * 0x9e3779b97f4a7c15U + 1;
    for (size_t i = 0; i < size; i++) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        to[i] = (unsigned char)(state >> 56);
    }
}

static unsigned char big[PIECES_SIZE];

mlkv_slice scenario_value(size_t size, unsigned seed)
{
    fill(big, size, seed);
    return slice_of(big, size);
}

static mlkv_slice long_name(void)
{
    static unsigned char name[LONG_NAME_SIZE];
    fill(name, sizeof name, 99);
    return slice_of(name, sizeof name);
}

/* The string under the key must be this value, or the key absent. */
static int look_string(mlkv *view, mlkv_slice key, mlkv_slice value)
{
    mlkv_buffer got = {0};
    int result = mlkv_string_get(view, key, &got);
    if (result == MLKV_OK)
        REQUIRE(got.size == value.size && memcmp(got.data, value.data, got.size) == 0,
                "key %.20s: wrong value of %zu bytes", (const char *)key.data, got.size);
    mlkv_buffer_free(&got);
    return result < 0 ? result : result == MLKV_OK ? LOOK_DONE : LOOK_ABSENT;
}

/* n names "<prefix>000" ...; texts and slices are the caller's. */
static void make_names(char prefix, char (*texts)[8], mlkv_slice *slices, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int size = snprintf(texts[i], sizeof texts[i], "%c%03u", prefix, (unsigned)(i % 1000));
        slices[i] = slice_of(texts[i], (size_t)size);
    }
}

/* --- strings --- */

static int set_small(scenario *self, mlkv *view)
{
    (void)self;
    return mlkv_string_set(view, TEXT("small"), TEXT("a value of some bytes"), MLKV_SET_ALWAYS);
}

static int look_small(mlkv *view)
{
    return look_string(view, TEXT("small"), TEXT("a value of some bytes"));
}

static int set_long(scenario *self, mlkv *view)
{
    (void)self;
    return mlkv_string_set(view, long_name(), TEXT("of the long name"), MLKV_SET_ALWAYS);
}

static int look_long(mlkv *view)
{
    return look_string(view, long_name(), TEXT("of the long name"));
}

static mlkv_slice text_value(void)
{
    static char text[3000];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = "compressible "[i % 13];
    return slice_of(text, sizeof text);
}

static int set_text(scenario *self, mlkv *view)
{
    (void)self;
    return mlkv_string_set(view, TEXT("text"), text_value(), MLKV_SET_ALWAYS);
}

static int look_text(mlkv *view)
{
    return look_string(view, TEXT("text"), text_value());
}

static int set_blob(scenario *self, mlkv *view)
{
    (void)self;
    return mlkv_string_set(view, TEXT("blob"), scenario_value(BLOB_SIZE, 1), MLKV_SET_ALWAYS);
}

static int look_blob(mlkv *view)
{
    return look_string(view, TEXT("blob"), scenario_value(BLOB_SIZE, 1));
}

static int set_pieces(scenario *self, mlkv *view)
{
    (void)self;
    return mlkv_string_set(view, TEXT("pieces"), scenario_value(PIECES_SIZE, 2), MLKV_SET_ALWAYS);
}

static int look_pieces(mlkv *view)
{
    return look_string(view, TEXT("pieces"), scenario_value(PIECES_SIZE, 2));
}

/* --- hashes, sets --- */

static int set_hash(scenario *self, mlkv *view)
{
    char texts[FIELDS][8];
    mlkv_slice names[FIELDS];
    mlkv_pair pairs[FIELDS];
    (void)self;
    make_names('f', texts, names, FIELDS);
    for (size_t i = 0; i < FIELDS; i++)
        pairs[i] = (mlkv_pair){names[i], names[FIELDS - 1 - i]};
    return mlkv_hash_set(view, TEXT("hash"), pairs, FIELDS, NULL);
}

static int look_hash(mlkv *view)
{
    char texts[FIELDS][8];
    mlkv_slice names[FIELDS];
    mlkv_rows rows = {0};
    make_names('f', texts, names, FIELDS);
    int result = mlkv_hash_get_all(view, TEXT("hash"), &rows);
    size_t count = rows.count;
    if (result >= 0 && count != 0) {
        REQUIRE(count == (size_t)2 * FIELDS, "%zu items of a hash", count);
        for (size_t i = 0; i < FIELDS; i++) {
            REQUIRE(slice_equal(rows.items[2 * i], names[i]), "a field's name");
            REQUIRE(slice_equal(rows.items[2 * i + 1], names[FIELDS - 1 - i]), "a field's value");
        }
    }
    mlkv_rows_free(&rows);
    return result < 0 ? result : count != 0 ? LOOK_DONE : LOOK_ABSENT;
}

static int add_members(scenario *self, mlkv *view)
{
    char texts[FIELDS][8];
    mlkv_slice names[FIELDS];
    (void)self;
    make_names('m', texts, names, FIELDS);
    return mlkv_set_add(view, TEXT("set"), names, FIELDS, NULL);
}

static int look_members(mlkv *view)
{
    char texts[FIELDS][8];
    mlkv_slice names[FIELDS];
    uint8_t present[FIELDS];
    size_t count = 0;
    make_names('m', texts, names, FIELDS);
    int result = mlkv_set_contains(view, TEXT("set"), names, FIELDS, present);
    if (result < 0)
        return result;
    for (size_t i = 0; i < FIELDS; i++)
        count += present[i];
    REQUIRE(count == 0 || count == FIELDS, "%zu of %d members", count, (int)FIELDS);
    return count != 0 ? LOOK_DONE : LOOK_ABSENT;
}

static int end_transaction(mlkv *tx, int result)
{
    char detail[300];
    if (result == MLKV_OK)
        return mlkv_commit(tx);
    snprintf(detail, sizeof detail, "%s", mlkv_error_detail());
    (void)mlkv_abort(tx);
    REQUIRE(detail[0] != '\0', "an error without a detail");
    return result;
}

/* Fields that expire much later, and what asks for them. */
static int expire_fields(scenario *self, mlkv *view)
{
    char texts[FIELDS][8];
    mlkv_slice names[FIELDS];
    int64_t outcomes[FIELDS];
    mlkv *tx = NULL;
    (void)self;
    make_names('e', texts, names, FIELDS);
    int result = mlkv_begin(view, &tx);
    if (result != MLKV_OK)
        return result;
    for (size_t i = 0; i < FIELDS && result == MLKV_OK; i++) {
        mlkv_pair pair = {names[i], TEXT("value")};
        result = mlkv_hash_set(tx, TEXT("expiring"), &pair, 1, NULL);
    }
    if (result == MLKV_OK)
        result = mlkv_hash_expire(tx, TEXT("expiring"), names, FIELDS, INT64_C(1) << 40,
                                  MLKV_EXPIRE_ALWAYS, outcomes);
    if (result == MLKV_OK)
        result = mlkv_hash_add_float(tx, TEXT("expiring"), TEXT("number"), 0.5, NULL);
    return end_transaction(tx, result);
}

static int look_expiring(mlkv *view)
{
    char texts[FIELDS][8];
    mlkv_slice names[FIELDS];
    int64_t left[FIELDS];
    mlkv_rows rows = {0};
    make_names('e', texts, names, FIELDS);
    int result = mlkv_hash_ttl(view, TEXT("expiring"), names, FIELDS, left);
    if (result < 0)
        return result;
    for (size_t i = 0; i < FIELDS; i++)
        REQUIRE(left[0] == MLKV_FIELD_ABSENT ? left[i] == left[0] : left[i] > INT64_C(1) << 39,
                "field %zu has %lld ms", i, (long long)left[i]);
    result = mlkv_hash_random(view, TEXT("expiring"), 2, 1, 1, &rows);
    REQUIRE(result < 0 || rows.count == (left[0] == MLKV_FIELD_ABSENT ? 0 : 4), "%zu items",
            rows.count);
    mlkv_rows_free(&rows);
    return result < 0 ? result : left[0] == MLKV_FIELD_ABSENT ? LOOK_ABSENT : LOOK_DONE;
}

/* Sets of which others are made. */
static int combine_sets(scenario *self, mlkv *view)
{
    char texts[FIELDS][8];
    mlkv_slice names[FIELDS], keys[] = {TEXT("set-a"), TEXT("set-b")};
    mlkv_rows rows = {0};
    mlkv *tx = NULL;
    (void)self;
    make_names('s', texts, names, FIELDS);
    int result = mlkv_begin(view, &tx);
    if (result != MLKV_OK)
        return result;
    result = mlkv_set_add(tx, keys[0], names, FIELDS - 1, NULL);
    if (result == MLKV_OK)
        result = mlkv_set_add(tx, keys[1], names + 1, FIELDS - 1, NULL);
    if (result == MLKV_OK)
        result = mlkv_set_union_store(tx, TEXT("union"), keys, 2, NULL);
    if (result == MLKV_OK)
        result = mlkv_set_intersection_store(tx, keys[0], keys, 2, NULL);
    if (result == MLKV_OK)
        result = mlkv_set_pop(tx, keys[0], 1, &rows);
    if (result == MLKV_OK)
        result = mlkv_set_move(tx, keys[1], keys[0], names[FIELDS - 1]);
    mlkv_rows_free(&rows);
    return end_transaction(tx, result);
}

static int look_combined(mlkv *view)
{
    mlkv_slice keys[] = {TEXT("union"), TEXT("set-a"), TEXT("set-b")};
    mlkv_rows rows = {0};
    uint64_t count = 0;
    int result = mlkv_set_union(view, keys, 3, &rows);
    size_t all = rows.count;
    mlkv_rows_free(&rows);
    if (result >= 0)
        result = mlkv_set_intersection_count(view, keys, 2, 0, &count);
    if (result < 0)
        return result;
    REQUIRE(all == 0 ? count == 0 : all == FIELDS && count == FIELDS - 2, "%zu and %llu members",
            all, (unsigned long long)count);
    return all != 0 ? LOOK_DONE : LOOK_ABSENT;
}

/* --- tensors --- */

static void fill_tensor(float *numbers, size_t n)
{
    for (size_t i = 0; i < n; i++)
        numbers[i] = (float)i * 0.37F;
}

static int put_tensor(mlkv *view, mlkv_slice key, uint64_t rows, size_t chunk_bytes)
{
    static float numbers[ROWS * COLUMNS];
    mlkv_tensor shape = {.dtype = MLKV_F32, .dimensions = 2, .shape = {rows, COLUMNS}};
    mlkv_tensor_options options = {.size = sizeof options, .chunk_bytes = chunk_bytes};
    fill_tensor(numbers, (size_t)ROWS * COLUMNS);
    return mlkv_tensor_put(view, key, &shape, numbers, &options);
}

static int look_tensor(mlkv *view, mlkv_slice key, uint64_t rows)
{
    static float numbers[ROWS * COLUMNS], wanted[ROWS * COLUMNS];
    size_t size = rows * COLUMNS * sizeof(float);
    fill_tensor(wanted, (size_t)ROWS * COLUMNS);
    int result = mlkv_tensor_get(view, key, numbers, size);
    if (result == MLKV_OK)
        REQUIRE(memcmp(numbers, wanted, size) == 0, "tensor %.6s", (const char *)key.data);
    return result < 0 ? result : result == MLKV_OK ? LOOK_DONE : LOOK_ABSENT;
}

static int put_small_tensor(scenario *self, mlkv *view)
{
    (void)self;
    return put_tensor(view, TEXT("tensor"), 4, 512); /* two chunks that travel in the frame */
}

static int look_small_tensor(mlkv *view)
{
    return look_tensor(view, TEXT("tensor"), 4);
}

static int put_large_tensor(scenario *self, mlkv *view)
{
    (void)self;
    return put_tensor(view, TEXT("Tensor"), ROWS, 8192); /* two chunks that are blobs */
}

static int look_large_tensor(mlkv *view)
{
    int result = look_tensor(view, TEXT("Tensor"), ROWS);
    for (int i = 0; i < 3 && result == LOOK_DONE; i++) { /* a part, decoded to be kept, and kept */
        float row[COLUMNS], wanted[COLUMNS];
        fill_tensor(wanted, COLUMNS);
        int read = mlkv_tensor_read_rows(view, TEXT("Tensor"), 0, 1, row, sizeof row);
        if (read != MLKV_OK)
            return read;
        REQUIRE(memcmp(row, wanted, sizeof row) == 0, "a row of a tensor, look %d", i);
    }
    return result;
}

/* --- several records at once --- */

static int set_transaction(scenario *self, mlkv *view)
{
    mlkv *tx = NULL;
    mlkv_slice member = TEXT("member");
    (void)self;
    int result = mlkv_begin(view, &tx);
    if (result != MLKV_OK)
        return result;
    result = mlkv_string_set(tx, TEXT("tx-a"), TEXT("1"), MLKV_SET_ALWAYS);
    if (result == MLKV_OK)
        result = mlkv_string_set(tx, TEXT("tx-b"), scenario_value(BLOB_SIZE, 3), MLKV_SET_ALWAYS);
    if (result == MLKV_OK)
        result = mlkv_set_add(tx, TEXT("tx-c"), &member, 1, NULL);
    if (result == MLKV_OK)
        return mlkv_commit(tx);
    char detail[300];
    snprintf(detail, sizeof detail, "%s", mlkv_error_detail());
    (void)mlkv_abort(tx);
    REQUIRE(detail[0] != '\0', "an error without a detail");
    return result;
}

static int look_transaction(mlkv *view)
{
    uint8_t present = 0;
    mlkv_slice member = TEXT("member");
    int a = look_string(view, TEXT("tx-a"), TEXT("1"));
    int b = look_string(view, TEXT("tx-b"), scenario_value(BLOB_SIZE, 3));
    int c = mlkv_set_contains(view, TEXT("tx-c"), &member, 1, &present);
    if (a < 0 || b < 0 || c < 0)
        return a < 0 ? a : b < 0 ? b : c;
    REQUIRE(a == b && a == present, "half a transaction: %d %d %d", a, b, (int)present);
    return a;
}

/* A list: pushed, edited in the middle, moved about, cut to what the look expects. */
static int edit_list(mlkv *tx)
{
    static char texts[ELEMENTS][8];
    static mlkv_slice names[ELEMENTS];
    mlkv_slice list = TEXT("list"), large = scenario_value(BLOB_SIZE, 4), third = TEXT("e003");
    mlkv_rows rows = {0};
    make_names('e', texts, names, ELEMENTS);
    int result = mlkv_list_push(tx, list, MLKV_LIST_RIGHT, names, ELEMENTS, NULL);
    if (result == MLKV_OK)
        result = mlkv_list_push(tx, list, MLKV_LIST_LEFT, &large, 1, NULL);
    if (result == MLKV_OK)
        result = mlkv_list_insert(tx, list, MLKV_LIST_AFTER, third, third, NULL);
    if (result == MLKV_OK)
        result = mlkv_list_move(tx, list, TEXT("list2"), MLKV_LIST_RIGHT, MLKV_LIST_LEFT, NULL);
    if (result == MLKV_OK)
        result = mlkv_list_remove(tx, list, 0, third, NULL);
    if (result == MLKV_OK)
        result = mlkv_list_pop_many(tx, TEXT("list2"), MLKV_LIST_LEFT, 9, &rows);
    if (result == MLKV_OK)
        result = mlkv_list_trim(tx, list, 0, ELEMENTS - 5);
    mlkv_rows_free(&rows);
    return result;
}

static int set_list(scenario *self, mlkv *view)
{
    mlkv *tx = NULL;
    (void)self;
    int result = mlkv_begin(view, &tx);
    if (result != MLKV_OK)
        return result;
    result = edit_list(tx);
    if (result == MLKV_OK)
        return mlkv_commit(tx);
    char detail[300];
    snprintf(detail, sizeof detail, "%s", mlkv_error_detail());
    (void)mlkv_abort(tx);
    REQUIRE(detail[0] != '\0', "an error without a detail");
    return result;
}

/* The large element, then the others but number 3 and the last four. */
static int look_list(mlkv *view)
{
    mlkv_rows rows = {0};
    mlkv_slice large = scenario_value(BLOB_SIZE, 4);
    int result = mlkv_list_range(view, TEXT("list"), 0, -1, &rows);
    size_t count = rows.count;
    if (result >= 0 && count != 0) {
        REQUIRE(count == ELEMENTS - 4, "%zu elements of a list", count);
        REQUIRE(slice_equal(rows.items[0], large), "a list's large element");
        for (unsigned i = 1; i < count; i++) {
            char text[8];
            int size = snprintf(text, sizeof text, "e%03u", (i <= 3 ? i - 1 : i) % 1000);
            REQUIRE(slice_equal(rows.items[i], slice_of(text, (size_t)size)), "element %u", i);
        }
    }
    mlkv_rows_free(&rows);
    return result < 0 ? result : count != 0 ? LOOK_DONE : LOOK_ABSENT;
}

static int set_many(scenario *self, mlkv *view)
{
    static char texts[MANY][8];
    static mlkv_slice names[MANY];
    static mlkv_pair pairs[MANY];
    (void)self;
    make_names('z', texts, names, MANY);
    for (size_t i = 0; i < MANY; i++)
        pairs[i] = (mlkv_pair){names[i], TEXT("one of the many values")};
    return mlkv_string_set_many(view, pairs, MANY);
}

static int look_many(mlkv *view)
{
    static char texts[MANY][8];
    static mlkv_slice names[MANY];
    size_t count = 0;
    make_names('z', texts, names, MANY);
    int result = mlkv_key_exists(view, names, MANY, &count);
    if (result < 0)
        return result;
    REQUIRE(count == 0 || count == MANY, "%zu of %d keys", count, (int)MANY);
    return count != 0 ? LOOK_DONE : LOOK_ABSENT;
}

/* Several keys of which the reader sees some only: a delete after a set. */
static int set_and_delete(scenario *self, mlkv *view)
{
    mlkv_slice gone = TEXT("gone");
    (void)self;
    int result = mlkv_string_set(view, TEXT("gone"), TEXT("soon"), MLKV_SET_IF_ABSENT);
    if (result == MLKV_OK)
        result = mlkv_key_delete(view, &gone, 1, NULL);
    return result;
}

static int look_deleted(mlkv *view)
{
    int state = look_string(view, TEXT("gone"), TEXT("soon"));
    return state < 0 ? state : state == LOOK_ABSENT ? LOOK_DONE : LOOK_ABSENT;
}

/* A hash with a blob and a field of a long name goes from name to name, and leaves a copy behind; another key is replaced. */
static int rename_keys(scenario *self, mlkv *view)
{
    mlkv_slice first = TEXT("name-first"), copy = TEXT("name-copy"), last = TEXT("name-last");
    mlkv_pair pairs[] = {{long_name(), TEXT("v")}, {TEXT("f"), scenario_value(BLOB_SIZE, 8)}};
    mlkv *tx = NULL;
    (void)self;
    int result = mlkv_begin(view, &tx);
    if (result != MLKV_OK)
        return result;
    result = mlkv_hash_set(tx, first, pairs, 2, NULL);
    if (result == MLKV_OK)
        result = mlkv_string_set(tx, last, TEXT("replaced"), MLKV_SET_ALWAYS);
    if (result == MLKV_OK)
        result = mlkv_key_copy(tx, first, copy, 0, NULL);
    if (result == MLKV_OK)
        result = mlkv_key_rename(tx, first, last);
    return end_transaction(tx, result);
}

static int look_renamed(mlkv *view)
{
    mlkv_rows rows = {0};
    mlkv_buffer key = {0};
    int result = mlkv_key_matching(view, TEXT("name-[^f]*"), &rows);
    size_t count = rows.count;
    mlkv_rows_free(&rows);
    if (result == MLKV_OK)
        result = mlkv_key_random(view, &key);
    mlkv_buffer_free(&key);
    if (result < 0)
        return result;
    REQUIRE(count == 0 || count == 2, "%zu keys of two", count);
    return count != 0 ? LOOK_DONE : LOOK_ABSENT;
}

/* Rows appended in a frame and as blobs, written over and added to by their numbers. */
static int change_rows(scenario *self, mlkv *view)
{
    (void)self;
    static const uint64_t numbers[] = {4, 0, 4};
    mlkv *tx = NULL;
    mlkv_tensor shape = {.dtype = MLKV_U8, .dimensions = 2, .shape = {0, ROW_SIZE}};
    int result = mlkv_begin(view, &tx);
    if (result != MLKV_OK)
        return result;
    mlkv_slice key = TEXT("rows"), data = scenario_value(5 * ROW_SIZE, 9);
    const unsigned char *bytes = data.data;
    result = mlkv_tensor_put(tx, key, &shape, NULL, NULL);
    if (result == MLKV_OK)
        result = mlkv_tensor_append_rows(tx, key, 1, bytes, ROW_SIZE, NULL);
    if (result == MLKV_OK)
        result = mlkv_tensor_append_rows(tx, key, 4, bytes, 4 * ROW_SIZE, NULL);
    if (result == MLKV_OK)
        result = mlkv_tensor_scatter(tx, key, numbers, 3, bytes, 3 * ROW_SIZE);
    if (result == MLKV_OK)
        result = mlkv_tensor_scatter_add(tx, key, 0, numbers, 3, bytes, 3 * ROW_SIZE);
    return end_transaction(tx, result);
}

static int look_rows(mlkv *view)
{
    static const uint64_t numbers[] = {0, 4};
    static unsigned char got[2 * ROW_SIZE];
    int result = mlkv_tensor_gather(view, TEXT("rows"), numbers, 2, got, sizeof got);
    if (result == MLKV_OK)
        REQUIRE(memcmp(got, (const unsigned char *)scenario_value(5 * ROW_SIZE, 9).data + ROW_SIZE,
                       sizeof got) == 0,
                "rows of a tensor");
    return result < 0 ? result : result == MLKV_OK ? LOOK_DONE : LOOK_ABSENT;
}

/* Few rows of a tensor, which stand beside its chunks; one chunk is then written whole. */
static int change_few(scenario *self, mlkv *view)
{
    (void)self;
    static const uint64_t numbers[] = {1, 40, 33};
    static float zeros[ROWS * COLUMNS], numbers_of_rows[ROWS * COLUMNS];
    mlkv *tx = NULL;
    mlkv_tensor shape = {.dtype = MLKV_F32, .dimensions = 2, .shape = {ROWS, COLUMNS}};
    mlkv_tensor_options options = {.size = sizeof options, .chunk_bytes = 8192};
    const size_t row = COLUMNS * sizeof *zeros;
    mlkv_slice key = TEXT("few");
    int result = mlkv_begin(view, &tx);
    if (result != MLKV_OK)
        return result;
    fill_tensor(numbers_of_rows, (size_t)ROWS * COLUMNS);
    result = mlkv_tensor_put(tx, key, &shape, zeros, &options);
    if (result == MLKV_OK)
        result = mlkv_tensor_scatter(tx, key, numbers, 3, numbers_of_rows, 3 * row);
    if (result == MLKV_OK)
        result = mlkv_tensor_scatter_add(tx, key, 1, numbers, 3, numbers_of_rows, 3 * row);
    if (result == MLKV_OK)
        result = mlkv_tensor_write_rows(tx, key, 0, 32, numbers_of_rows, 32 * row);
    return end_transaction(tx, result);
}

static int look_few(mlkv *view)
{
    static const uint64_t numbers[] = {40, 31, 32};
    static float wanted[ROWS * COLUMNS], got[3 * COLUMNS];
    int result = mlkv_tensor_gather(view, TEXT("few"), numbers, 3, got, sizeof got);
    fill_tensor(wanted, (size_t)ROWS * COLUMNS);
    for (size_t i = 0; result == MLKV_OK && i < COLUMNS; i++)
        REQUIRE(got[i] == 2 * wanted[COLUMNS + i] && got[COLUMNS + i] == wanted[31 * COLUMNS + i] &&
                    got[2 * COLUMNS + i] == 0,
                "few rows of a tensor");
    return result < 0 ? result : result == MLKV_OK ? LOOK_DONE : LOOK_ABSENT;
}

static int compute_text(void *context, mlkv_slice key, mlkv_buffer *ret_value)
{
    (void)context;
    (void)key;
    mlkv_slice text = text_value();
    return mlkv_buffer_assign(ret_value, text.data, text.size);
}

static int get_or_compute(scenario *self, mlkv *view)
{
    mlkv_compute_policy policy = MLKV_COMPUTE_POLICY;
    mlkv_buffer value = {0};
    (void)self;
    policy.wait_ms = 0; /* what failed may have left the lock to the lease */
    policy.ttl_ms = INT64_C(1) << 40;
    int result =
        mlkv_get_or_compute(view, TEXT("computed"), &policy, compute_text, NULL, &value, NULL);
    mlkv_buffer_free(&value);
    return result;
}

static int look_computed(mlkv *view)
{
    return look_string(view, TEXT("computed"), text_value());
}

/* --- models --- */

static int save_model(mlkv *view, mlkv_slice name, uint32_t keep_last)
{
    static float numbers[ROWS * COLUMNS];
    mlkv_model_item items[] = {
        {TEXT("large"), {.dtype = MLKV_F32, .dimensions = 2, .shape = {ROWS, COLUMNS}}, numbers, 0},
        {TEXT("small"), {.dtype = MLKV_F32, .dimensions = 1, .shape = {7}}, numbers, 0}};
    mlkv_publish_options options = {
        .size = sizeof options, .keep_last = keep_last, .metadata = text_value()};
    fill_tensor(numbers, (size_t)ROWS * COLUMNS);
    return mlkv_model_save(view, name, items, 2, NULL, &options, NULL);
}

static int look_at_model(mlkv *view, mlkv_slice name)
{
    static float wanted[ROWS * COLUMNS];
    mlkv_model_contents contents = {0};
    fill_tensor(wanted, (size_t)ROWS * COLUMNS);
    int result = mlkv_model_load(view, name, 0, &contents);
    if (result == MLKV_OK)
        REQUIRE(contents.count == 2 && contents.items[0].bytes == sizeof wanted &&
                    memcmp(contents.items[0].data, wanted, sizeof wanted) == 0 &&
                    memcmp(contents.items[1].data, wanted, contents.items[1].bytes) == 0,
                "the tensors of model %.9s", (const char *)name.data);
    mlkv_model_contents_free(&contents);
    return result < 0 ? result : result == MLKV_OK ? LOOK_DONE : LOOK_ABSENT;
}

static int publish_model(scenario *self, mlkv *view)
{
    (void)self;
    return save_model(view, TEXT("published"), 2);
}

static int look_published(mlkv *view)
{
    return look_at_model(view, TEXT("published"));
}

/* Versions that share, are carried over, rolled back and dropped. */
static int change_model(scenario *self, mlkv *view)
{
    (void)self;
    mlkv *tx = NULL;
    mlkv_publication *p = NULL;
    mlkv_rows rows = {0};
    mlkv_publish_options options = {.size = sizeof options, .carry_rest = 1};
    int result = mlkv_begin(view, &tx);
    if (result != MLKV_OK)
        return result;
    mlkv_slice name = TEXT("in versions");
    result = save_model(tx, name, 0);
    if (result == MLKV_OK)
        result = save_model(tx, name, 1);
    if (result == MLKV_OK)
        result = mlkv_model_begin(tx, name, &p);
    if (result == MLKV_OK && (result = mlkv_model_carry(p, TEXT("small"))) == MLKV_OK &&
        (result = mlkv_model_publish(p, &options, NULL)) == MLKV_OK)
        p = NULL;
    if (p != NULL) {
        error_kept kept;
        error_keep(&kept);
        (void)mlkv_model_abort(p);
        error_restore(&kept);
    }
    if (result == MLKV_OK)
        result = mlkv_model_rollback(tx, name, 0, NULL);
    if (result == MLKV_OK)
        result = mlkv_model_drop(tx, name, 3);
    if (result == MLKV_OK)
        result = mlkv_model_names(tx, &rows);
    mlkv_rows_free(&rows);
    return end_transaction(tx, result);
}

static int look_changed_model(mlkv *view)
{
    return look_at_model(view, TEXT("in versions"));
}

static int add_one(scenario *self, mlkv *view)
{
    (void)self;
    return mlkv_string_add(view, TEXT("number"), 1, NULL);
}

/* Lent where it stands, in two mappings. */
static int put_lent_tensor(scenario *self, mlkv *view)
{
    static float numbers[ROWS * COLUMNS];
    mlkv_tensor shape = {.dtype = MLKV_F32, .dimensions = 2, .shape = {ROWS, COLUMNS}};
    mlkv_tensor_options options = {.size = sizeof options, .chunk_bytes = 8192, .contiguous = 1};
    (void)self;
    fill_tensor(numbers, (size_t)ROWS * COLUMNS);
    return mlkv_tensor_put(view, TEXT("lent"), &shape, numbers, &options);
}

static int look_lent_tensor(mlkv *view)
{
    static float wanted[ROWS * COLUMNS];
    mlkv_loan *loan = NULL;
    void *data = NULL;
    int result = look_tensor(view, TEXT("lent"), ROWS);
    if (result != LOOK_DONE)
        return result;
    result = mlkv_tensor_borrow(view, TEXT("lent"), MLKV_LOAN_PRIVATE, NULL, &data, &loan);
    if (result < 0)
        return result;
    REQUIRE(result == MLKV_OK, "a tensor that is there is not lent");
    fill_tensor(wanted, (size_t)ROWS * COLUMNS);
    REQUIRE(memcmp(data, wanted, sizeof wanted) == 0, "a lent tensor");
    result = mlkv_loan_return(loan);
    return result < 0 ? result : LOOK_DONE;
}

/* --- the table --- */

const scenario_step scenario_steps[SCENARIO_STEPS] = {
    {"small", set_small, look_small},
    {"long name", set_long, look_long},
    {"text", set_text, look_text},
    {"hash", set_hash, look_hash},
    {"set", add_members, look_members},
    {"blob", set_blob, look_blob},
    {"pieces", set_pieces, look_pieces},
    {"small tensor", put_small_tensor, look_small_tensor},
    {"large tensor", put_large_tensor, look_large_tensor},
    {"transaction", set_transaction, look_transaction},
    {"many", set_many, look_many},
    {"add", add_one, NULL},
    {"add", add_one, NULL},
    {"add", add_one, NULL},
    {"add", add_one, NULL},
    {"delete", set_and_delete, look_deleted},
    {"list transaction", set_list, look_list},
    {"transaction of fields that expire", expire_fields, look_expiring},
    {"transaction of sets", combine_sets, look_combined},
    {"transaction of names", rename_keys, look_renamed},
    {"transaction of rows", change_rows, look_rows},
    {"transaction of few rows", change_few, look_few},
    {"get or compute", get_or_compute, look_computed},
    {"model", publish_model, look_published},
    {"transaction of versions", change_model, look_changed_model},
    {"lent tensor", put_lent_tensor, look_lent_tensor},
};
