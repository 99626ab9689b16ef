/* test_format.c - reads the files of a store as docs/FORMAT.md says, with LMDB and xxhash alone:
 * none of the library's headers for bytes is used to read. */
#include "harness.h"

#include <fcntl.h>
#include <lmdb.h>
#include <mlkv/mlkv.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

static const unsigned char *at(const void *bytes, size_t offset)
{
    return (const unsigned char *)bytes + offset;
}

static uint64_t u64(const void *bytes, size_t offset)
{
    return load_le64(at(bytes, offset));
}

static uint32_t u32(const void *bytes, size_t offset)
{
    return load_le32(at(bytes, offset));
}

/* --- data.mdb --- */

typedef struct {
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi tree;
} reader;

static reader open_lmdb(const char *folder)
{
    reader self;
    ck_assert_int_eq(mdb_env_create(&self.env), 0);
    ck_assert_int_eq(mdb_env_set_mapsize(self.env, (size_t)1 << 30), 0);
    ck_assert_int_eq(mdb_env_open(self.env, folder, MDB_RDONLY, 0600), 0);
    ck_assert_int_eq(mdb_txn_begin(self.env, NULL, MDB_RDONLY, &self.txn), 0);
    ck_assert_int_eq(mdb_dbi_open(self.txn, NULL, 0, &self.tree), 0);
    return self;
}

static void close_lmdb(reader *self)
{
    mdb_txn_abort(self->txn);
    mdb_env_close(self->env);
}

/* The value without its seal, which must hold. */
static mlkv_slice get(reader *self, mlkv_slice key)
{
    MDB_val k = {key.size, (void *)(uintptr_t)key.data}, v;
    ck_assert_msg(mdb_get(self->txn, self->tree, &k, &v) == 0, "no record %.*s", (int)key.size,
                  (const char *)key.data);
    ck_assert_uint_ge(v.mv_size, 4);
    size_t size = v.mv_size - 4;
    XXH64_hash_t seal =
        XXH3_64bits_withSeed(v.mv_data, size, XXH3_64bits_withSeed(key.data, key.size, 0));
    ck_assert_uint_eq(u32(v.mv_data, size), (uint32_t)seal);
    return slice_of(v.mv_data, size);
}

static mlkv_slice numbered(char class, uint64_t id, const void *more, size_t size)
{
    static unsigned char key[511];
    key[0] = (unsigned char)class;
    store_be64(key + 1, id);
    bytes_copy(key + 9, more, size);
    return slice_of(key, 9 + size);
}

static void check_header(mlkv_slice value, int type, uint64_t count)
{
    ck_assert_uint_ge(value.size, 32);
    ck_assert_uint_eq(*at(value.data, 0), (unsigned)type);
    ck_assert_uint_eq(*at(value.data, 1), 1);
    for (size_t i = 2; i < 8; i++)
        ck_assert_uint_eq(*at(value.data, i), 0);
    ck_assert_uint_eq(u64(value.data, 8) == 0, type == 1);
    ck_assert_uint_eq(u64(value.data, 16), count);
    ck_assert_uint_eq(u64(value.data, 24), 0);
}

static void check_system(reader *self)
{
    mlkv_slice value = get(self, TEXT("Sformat"));
    ck_assert_uint_eq(value.size, 8);
    ck_assert(memcmp(value.data, "MLKV", 4) == 0);
    ck_assert_uint_eq(u32(value.data, 4), 1);
    value = get(self, TEXT("Sidentity"));
    ck_assert_uint_eq(value.size, 25);
    ck_assert_uint_eq(*at(value.data, 24), 1);
    value = get(self, TEXT("Sposition"));
    ck_assert_uint_eq(value.size, 24);
    ck_assert_uint_gt(u64(value.data, 0), 0);
    ck_assert_uint_eq(u64(value.data, 0) % 8, 0);
    ck_assert_uint_gt(u64(value.data, 8), 3);
    ck_assert_uint_eq(u64(get(self, TEXT("Ckeys")).data, 0), 7);
}

static void check_strings(reader *self, const char *long_name, size_t long_size)
{
    mlkv_slice value = get(self, TEXT("Kstring"));
    check_header(value, 1, 0);
    ck_assert_uint_eq(value.size, 32 + 1 + 5);
    ck_assert(memcmp(at(value.data, 32), "\0value", 6) == 0);

    unsigned char key[511] = {'K'};
    XXH128_canonical_t digest;
    XXH128_canonicalFromHash(&digest, XXH3_128bits(long_name, long_size));
    memcpy(key + 1, long_name, 494);
    memcpy(key + 495, digest.digest, 16);
    value = get(self, slice_of(key, 511));
    ck_assert_uint_eq(u32(value.data, 0), long_size);
    ck_assert(memcmp(at(value.data, 4), long_name, long_size) == 0);
    value = slice_of(at(value.data, 4 + long_size), value.size - 4 - long_size);
    check_header(value, 1, 0);
    ck_assert_uint_eq(*at(value.data, 32), 1); /* compressed */
    ck_assert_uint_eq(u64(value.data, 33), 5000);
    ck_assert_uint_eq(u32(value.data, 41), 0xfd2fb528); /* zstd's magic */
}

static void check_hash_and_set(reader *self)
{
    mlkv_slice value = get(self, TEXT("Khash"));
    check_header(value, 2, 1);
    ck_assert_uint_eq(value.size, 32);
    value = get(self, numbered('E', u64(value.data, 8), "field", 5));
    ck_assert_uint_eq(value.size, 4);
    ck_assert(memcmp(value.data, "\0one", 4) == 0);

    value = get(self, TEXT("Kset"));
    check_header(value, 4, 1);
    uint64_t id = u64(value.data, 8);
    value = get(self, numbered('E', id, "member", 6));
    ck_assert_uint_eq(value.size, 8);
    ck_assert_uint_eq(u64(value.data, 0), 0);
    value = get(self, numbered('L', id, "\0\0\0\0\0\0\0", 8));
    ck_assert_uint_eq(value.size, 6);
    ck_assert(memcmp(value.data, "member", 6) == 0);
}

/* Pushed on the left, on the right, and once more on the right. */
static void check_list(reader *self)
{
    mlkv_slice value = get(self, TEXT("Klist"));
    check_header(value, 3, 3);
    uint64_t id = u64(value.data, 8), head = u64(value.data, 32);
    ck_assert_uint_eq(value.size, 32 + 16);
    ck_assert_uint_eq(head, (1ULL << 63) - 1);
    ck_assert_uint_eq(u64(value.data, 40), head + 3);
    for (uint64_t i = 0; i < 3; i++) {
        unsigned char number[8];
        store_be64(number, head + i);
        value = get(self, numbered('L', id, number, 8));
        ck_assert_uint_eq(value.size, 2);
        ck_assert(memcmp(value.data, &"\0a\0b\0c"[2 * i], 2) == 0);
    }
}

/* A short member at -1.5, and a long one at 2. */
static void check_sorted_set(reader *self, const char *long_name, size_t long_size)
{
    mlkv_slice value = get(self, TEXT("Ksorted"));
    check_header(value, 5, 2);
    ck_assert_uint_eq(value.size, 32);
    uint64_t id = u64(value.data, 8);
    value = get(self, numbered('E', id, "low", 3));
    ck_assert_uint_eq(value.size, 8);
    ck_assert_uint_eq(u64(value.data, 0), 0xbff8000000000000); /* -1.5 */
    ck_assert_uint_eq(get(self, numbered('O', id, "\x40\x07\xff\xff\xff\xff\xff\xfflow", 11)).size,
                      0);
    unsigned char more[8 + 478 + 16] = {0xc0};
    XXH128_canonical_t digest;
    memcpy(more + 8, long_name, 478);
    XXH128_canonicalFromHash(&digest, XXH3_128bits(long_name, long_size));
    memcpy(more + 8 + 478, &digest, 16);
    value = get(self, numbered('O', id, more, sizeof more));
    ck_assert_uint_eq(value.size, 4 + long_size);
    ck_assert_uint_eq(u32(value.data, 0), long_size);
    ck_assert(memcmp(at(value.data, 4), long_name, long_size) == 0);
}

enum { ROWS = 5, ROW = 512 << 10 };

/* The second chunk (rows 2 and 3) is one blob of one piece. */
static void check_tensor(reader *self, const unsigned char *data)
{
    mlkv_slice value = get(self, TEXT("Ktensor"));
    check_header(value, 6, 3);
    uint64_t id = u64(value.data, 8), stored = u64(value.data, 56);
    ck_assert_uint_eq(value.size, 32 + 32 + 16);
    ck_assert_uint_eq(*at(value.data, 32), 13); /* u16 */
    ck_assert_uint_eq(*at(value.data, 33), 2);
    ck_assert_uint_eq(u64(value.data, 40), 2);
    ck_assert_uint_eq(u64(value.data, 48), 1);
    ck_assert_uint_eq(u64(value.data, 64), ROWS);
    ck_assert_uint_eq(u64(value.data, 72), ROW / 2);
    for (uint64_t chunk = 0; chunk < 3; chunk++) {
        unsigned char number[8], piece[12] = {0};
        size_t size = chunk == 2 ? ROW : 2 * ROW;
        store_be64(number, chunk);
        value = get(self, numbered('T', id, number, 8));
        ck_assert_uint_eq(value.size, 16 + 25);
        ck_assert_uint_eq(u64(value.data, 0),
                          XXH3_64bits_withSeed(data + chunk * 2 * ROW, size, 0));
        ck_assert_uint_eq(u32(value.data, 8), size);
        stored -= u32(value.data, 12);
        mlkv_slice cell = slice_of(at(value.data, 16), 25);
        uint64_t blob = u64(cell.data, 1);
        ck_assert_uint_eq(*at(cell.data, 0), 2);
        ck_assert_uint_eq(u64(cell.data, 9), size);
        ck_assert_uint_eq(u32(cell.data, 17), 1);
        ck_assert_uint_eq(u32(cell.data, 21), 1 << 20);
        ck_assert_uint_eq(u64(get(self, numbered('R', blob, NULL, 0)).data, 0), 1);
        store_be64(piece, blob);
        value = get(self, numbered('B', blob, piece + 8, 4));
        ck_assert(memcmp(value.data, "MLKB\0\0\0\0", 8) == 0);
        ck_assert_uint_eq(u64(value.data, 8), blob);
        ck_assert_uint_eq(u32(value.data, 16), 0);
        ck_assert_uint_eq(u32(value.data, 20), size);
        ck_assert_uint_eq(u64(value.data, 24),
                          XXH3_64bits_withSeed(data + chunk * 2 * ROW, size, blob));
        ck_assert_uint_eq(value.size, 32 + size);
        ck_assert(memcmp(at(value.data, 32), data + chunk * 2 * ROW, size) == 0);
    }
    ck_assert_uint_eq(stored, 0);
}

static unsigned char *make_data(void)
{
    unsigned char *data = malloc(ROWS * ROW);
    uint64_t state = 1;
    ck_assert_ptr_nonnull(data);
    for (size_t i = 0; i < ROWS * ROW; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        data[i] = (unsigned char)(state >> 56);
    }
    return data;
}

START_TEST(test_records)
{
    const char *folder = harness_folder();
    char long_name[600], zeros[5000] = {0};
    unsigned char *data = make_data();
    mlkv *db = NULL;
    mlkv_tensor tensor = {MLKV_U16, 2, {ROWS, ROW / 2}};
    mlkv_tensor_options options = {.size = sizeof options, .chunk_bytes = 1 << 20};
    memset(long_name, 'n', sizeof long_name);
    OK(mlkv_open(folder, NULL, &db));
    OK(mlkv_string_set(db, TEXT("string"), TEXT("value"), MLKV_SET_ALWAYS));
    OK(mlkv_string_set(db, slice_of(long_name, sizeof long_name), slice_of(zeros, sizeof zeros),
                       MLKV_SET_ALWAYS));
    OK(mlkv_hash_set(db, TEXT("hash"), &(mlkv_pair){TEXT("field"), TEXT("one")}, 1, NULL));
    OK(mlkv_set_add(db, TEXT("set"), (mlkv_slice[]){TEXT("member")}, 1, NULL));
    OK(mlkv_list_push(db, TEXT("list"), MLKV_LIST_LEFT, (mlkv_slice[]){TEXT("a")}, 1, NULL));
    OK(mlkv_list_push(db, TEXT("list"), MLKV_LIST_RIGHT, (mlkv_slice[]){TEXT("b"), TEXT("c")}, 2,
                      NULL));
    mlkv_scored scored[] = {{TEXT("low"), -1.5}, {slice_of(long_name, sizeof long_name), 2}};
    OK(mlkv_zset_add(db, TEXT("sorted"), scored, 2, 0, NULL, NULL));
    OK(mlkv_tensor_put(db, TEXT("tensor"), &tensor, data, &options));
    OK(mlkv_close(db));
    reader self = open_lmdb(folder);
    check_system(&self);
    check_strings(&self, long_name, sizeof long_name);
    check_hash_and_set(&self);
    check_list(&self);
    check_sorted_set(&self, long_name, sizeof long_name);
    check_tensor(&self, data);
    close_lmdb(&self);
    free(data);
    harness_remove(folder);
}
END_TEST

/* --- the journal --- */

static void *read_whole(const char *folder, const char *name, size_t size)
{
    char path[700];
    unsigned char *bytes = malloc(size);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int file = open(path, O_RDONLY);
    ck_assert_int_ge(file, 0);
    ck_assert_ptr_nonnull(bytes);
    for (size_t done = 0; done < size;) {
        ssize_t got = read(file, bytes + done, size - done);
        ck_assert_int_gt(got, 0);
        done += (size_t)got;
    }
    close(file);
    return bytes;
}

static void check_frame(const unsigned char *ring, size_t ring_bytes, uint64_t position,
                        uint64_t generation)
{
    const unsigned char *frame = ring + position % ring_bytes;
    ck_assert(memcmp(frame, "MLKF", 4) == 0);
    ck_assert_uint_eq(u32(frame, 4), 0);
    ck_assert_uint_eq(u64(frame, 8), position);
    uint64_t size = u64(frame, 16);
    ck_assert_uint_eq(size % 8, 0);
    ck_assert_uint_ge(u32(frame, 24), 2); /* the key's record and the counter */
    ck_assert_uint_eq(u32(frame, 28), 0);
    ck_assert_uint_eq(u64(frame, 32), generation);
    ck_assert_uint_eq(u64(frame, 40), 0);
    uint64_t payload = XXH3_64bits_withSeed(frame + 64, size - 64, generation);
    ck_assert_uint_eq(u64(frame, 56), XXH3_64bits_withSeed(frame, 56, payload));
    bool found = false;
    size_t offset = 64;
    for (uint32_t i = 0; i < u32(frame, 24); i++) {
        const unsigned char *record = frame + offset;
        size_t key_size = u32(record, 0) & 0xffff, value_size = u32(record, 4);
        found = found || (key_size == 7 && memcmp(record + 8, "Kstring", 7) == 0 &&
                          value_size == 38 && memcmp(record + 15 + 32, "\0value", 6) == 0);
        offset += (8 + key_size + value_size + 7) / 8 * 8;
    }
    ck_assert_uint_eq(offset, size);
    ck_assert(found);
}

START_TEST(test_journal)
{
    const char *folder = harness_folder();
    mlkv *db = NULL;
    enum { RING = 1 << 20 };
    mlkv_options options = {.size = sizeof options, .ring_bytes = RING};
    OK(mlkv_open(folder, &options, &db));
    OK(mlkv_string_set(db, TEXT("string"), TEXT("value"), MLKV_SET_ALWAYS));
    OK(mlkv_flush(db, MLKV_SYNC));
    unsigned char *head = read_whole(folder, "journal.head", 4096),
                  *ring = read_whole(folder, "journal.ring", RING);
    ck_assert(memcmp(head, "mlkvjrnl", 8) == 0);
    ck_assert_uint_eq(u32(head, 8), 1);
    ck_assert_uint_eq(u32(head, 12), sizeof(pthread_mutex_t));
    ck_assert_uint_eq(u32(head, 16), (uint32_t)sysconf(_SC_PAGESIZE));
    ck_assert_uint_eq(u32(head, 20), 4096);
    uint64_t generation = u64(head, 56), base = u64(head, 64);
    ck_assert_uint_eq(u64(head, 72), RING);
    ck_assert_uint_eq(u64(head, 80), XXH3_64bits_withSeed(head, 80, 0x6c6e726a766b6c6d));
    ck_assert_uint_eq(u32(head, 128), 0);
    ck_assert_uint_gt(u64(head, 384), base);
    ck_assert_uint_ge(u64(head, 512), u64(head, 384));
    ck_assert_uint_le(u64(head, 640), u64(head, 384));
    check_frame(ring, RING, base, generation);
    free(ring);
    ring = read_whole(folder, "journal.log", RING);
    check_frame(ring, RING, base, generation);
    free(ring);
    free(head);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("format");
    TCase *tcase = harness_case(suite, "format");
    tcase_add_test(tcase, test_records);
    tcase_add_test(tcase, test_journal);
    return harness_run(suite);
}
