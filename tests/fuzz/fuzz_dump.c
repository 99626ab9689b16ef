/* fuzz_dump.c - arbitrary bytes as a payload of DUMP.
 *
 * Input: a payload without its checksum. It is read twice: as it is (the last bytes are its checksum then, hardly ever a right one), and
 * with the right one behind it. What is accepted is restored into a store of this process.
 *
 * What must hold for any input:
 *  1. Nothing is read outside (sanitizers watch); each result is 0 or a corruption error.
 *  2. What is accepted has names that rise, and as many of all as it says.
 *  3. Restored and dumped again it is the same bytes: one content has one payload (but for fields that have expired).
 */
#define FUZZ_MUTATIONS_EACH 4000
#include "fuzz.h"

#include "base/hash.h"
#include "types/payload.h"

#include <mlkv/mlkv.h>

static uint64_t accepted[TYPE_TENSOR + 1], refused, restored;

static mlkv *store_of_process(void)
{
    static mlkv *db;
    if (db == NULL) {
        mlkv_options options = {.size = sizeof options, .ring_bytes = 1 << 20};
        REQUIRE(mlkv_open(NULL, &options, &db) == 0);
    }
    return db;
}

static bool fields_last(const payload *content)
{
    for (size_t i = 0; content->type == TYPE_HASH && i < content->count; i++)
        if (content->numbers[i] != 0 && content->numbers[i] < INT64_MAX / 2)
            return false;
    return true;
}

static void check_content(const payload *content)
{
    if (content->type == TYPE_TENSOR) {
        REQUIRE(content->count == 0 && content->data.size == content->form.raw_bytes);
        return;
    }
    REQUIRE(content->count != 0);
    bool named =
        content->type == TYPE_HASH || content->type == TYPE_SET || content->type == TYPE_ZSET;
    for (size_t i = 1; named && i < content->count; i++)
        REQUIRE(slice_compare(content->pairs[i - 1].name, content->pairs[i].name) < 0);
}

static void restore(mlkv_slice bytes, bool lasting)
{
    static mlkv_buffer again;
    mlkv *db = store_of_process();
    mlkv_slice key = slice_of_text("key");
    REQUIRE(mlkv_key_restore(db, key, bytes, 0, MLKV_RESTORE_REPLACE) == 0);
    int result = mlkv_key_dump(db, key, &again);
    REQUIRE(result == 0 || (result == MLKV_ABSENT && !lasting));
    REQUIRE(!lasting || slice_equal(bytes, slice_of_buffer(&again)));
    restored++;
}

static void try_payload(mlkv_slice bytes)
{
    payload content = {0};
    int result = payload_read(bytes, &content);
    REQUIRE(result == 0 || result == MLKV_E_CORRUPT);
    *(result == 0 ? &accepted[content.type] : &refused) += 1;
    if (result == 0) {
        check_content(&content);
        restore(bytes, fields_last(&content));
    }
    payload_done(&content);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_payload(slice_of(data, size));
    unsigned char *sealed = malloc(size + PAYLOAD_CHECKSUM_SIZE);
    REQUIRE(sealed != NULL);
    bytes_copy(sealed, data, size);
    store_le64(sealed + size, hash_checksum(sealed, size, 0));
    try_payload(slice_of(sealed, size + PAYLOAD_CHECKSUM_SIZE));
    free(sealed);
    return 0;
}

#ifndef FUZZ_WITH_LIBFUZZER

static void make_key(mlkv *db, unsigned number)
{
    mlkv_slice key = slice_of_text("seed"), names[] = {{"a", 1}, {"", 0}, {"bcd", 3}};
    mlkv_slice values[] = {{"one", 3}, {"", 0}, {"three", 5}};
    const float data[6] = {1, 2, 3, 4, 5, 6};
    const mlkv_tensor tensor = {.dtype = MLKV_F32, .dimensions = 2, .shape = {3, 2}};
    int64_t outcome;
    REQUIRE(mlkv_key_delete(db, &key, 1, NULL) == 0);
    if (number == 0)
        REQUIRE(mlkv_string_set(db, key, values[2], MLKV_SET_ALWAYS) == 0);
    if (number == 1)
        REQUIRE(mlkv_list_push(db, key, MLKV_LIST_RIGHT, values, 3, NULL) == 0);
    if (number == 2)
        REQUIRE(mlkv_set_add(db, key, names, 3, NULL) == 0);
    if (number == 3)
        REQUIRE(mlkv_tensor_put(db, key, &tensor, data, NULL) == 0);
    for (int i = 0; i < 3 && number >= 4; i++) {
        mlkv_pair pair = {names[i], values[i]};
        mlkv_scored scored = {names[i], i - 1.5};
        if (number == 4)
            REQUIRE(mlkv_hash_set(db, key, &pair, 1, NULL) == 0);
        else
            REQUIRE(mlkv_zset_add(db, key, &scored, 1, 0, NULL, NULL) == 0);
    }
    if (number == 4)
        REQUIRE(mlkv_hash_expire_at(db, key, names, 1, INT64_MAX - 1, MLKV_EXPIRE_ALWAYS,
                                    &outcome) == 0);
}

static bool make_seed(unsigned number, mlkv_buffer *seed)
{
    mlkv *db = store_of_process();
    if (number >= 6)
        return false;
    make_key(db, number);
    REQUIRE(mlkv_key_dump(db, slice_of_text("seed"), seed) == 0);
    seed->size -= PAYLOAD_CHECKSUM_SIZE;
    return true;
}

static void check_reached(void)
{
    uint64_t all = 0;
    for (int type = TYPE_STRING; type <= TYPE_TENSOR; type++) {
        REQUIRE(accepted[type] > 100);
        all += accepted[type];
    }
    fprintf(stderr, "fuzz_dump: %llu accepted, %llu refused\n", (unsigned long long)all,
            (unsigned long long)refused);
    REQUIRE(restored == all && refused > 10000);
    REQUIRE(mlkv_close(store_of_process()) == 0);
}

#endif
