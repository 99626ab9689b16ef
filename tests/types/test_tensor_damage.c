/* test_tensor_damage.c - a damaged chunk is found by whoever reads it, and by verify, and named: the tensor and the number of the chunk.
 *
 * The chunk stands in each way that there is: raw, a frame, planes, each in its T record or as a blob. What is damaged is its bytes, with
 * the record's seal made anew (as if the damage had been before the seal), or its checksum, or any byte of the record as it is on the
 * disk. The other chunks of the tensor stay readable.
 */
#include "stores.h"
#include "system/golden_tensors.h"
#include "types/tensor.h"

#include "codec/cell.h"
#include "store/env.h"

#include <lmdb.h>

enum { CHUNKS = 3, BAD = 1, BLOB_CHUNK = 20 << 10, INLINE_CHUNK = 3600, ROW = 8 };

/* How the chunks stand. */
static const struct {
    const char *name;
    int dtype;
    golden_content content;
    size_t chunk;
    int cell, piece; /* the kinds that come of it; piece -1: not a blob */
} ways[] = {
    {"raw", MLKV_F32, GOLDEN_NOISE, INLINE_CHUNK, CELL_RAW, -1},
    {"frame", MLKV_I64, GOLDEN_REPEATS, 1600, CELL_ZSTD, -1},
    {"planes", MLKV_F32, GOLDEN_NUMBERS, INLINE_CHUNK, CELL_PLANES, -1},
    {"raw blob", MLKV_F32, GOLDEN_NOISE, BLOB_CHUNK, CELL_BLOB, CELL_RAW},
    {"blob of a frame", MLKV_U16, GOLDEN_REPEATS, BLOB_CHUNK, CELL_BLOB, CELL_ZSTD},
    {"blob of planes", MLKV_F32, GOLDEN_NUMBERS, BLOB_CHUNK, CELL_BLOB, CELL_PLANES},
};
enum { WAYS = sizeof ways / sizeof *ways, DAMAGES = 3 };
enum { DAMAGE_BYTES, DAMAGE_CHECKSUM, DAMAGE_SEALED };

static unsigned char data[CHUNKS * BLOB_CHUNK], got[sizeof data];

static mlkv *open_store(const char *folder, uint32_t flags)
{
    mlkv_options options = {.size = sizeof options, .ring_bytes = GOLDEN_RING, .flags = flags};
    mlkv *db = NULL;
    OK(mlkv_open(folder, &options, &db));
    return db;
}

static void make(const char *folder, int way)
{
    mlkv *db = open_store(folder, 0);
    size_t size = CHUNKS * ways[way].chunk;
    mlkv_tensor tensor = {.dtype = ways[way].dtype, .dimensions = 2, .shape = {size / ROW, 0}};
    tensor.shape[1] = ROW / mlkv_dtype_size((mlkv_dtype)tensor.dtype);
    mlkv_tensor_options options = {.size = sizeof options, .chunk_bytes = ways[way].chunk};
    golden_tensor one = {.tensor = tensor, .size = size, .content = ways[way].content};
    golden_tensor_fill(1, &one, data);
    OK(mlkv_tensor_put(db, TEXT("weights"), &tensor, data, &options));
    OK(mlkv_close(db));
}

/* --- below the library --- */

typedef struct {
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi tree;
    MDB_cursor *cursor;
    MDB_val key, value; /* of the record, with its seal */
} disk;

static void disk_begin(disk *self, const char *folder)
{
    ck_assert_int_eq(mdb_env_create(&self->env), 0);
    ck_assert_int_eq(mdb_env_set_mapsize(self->env, (size_t)1 << 30), 0);
    ck_assert_int_eq(mdb_env_open(self->env, folder, 0, 0600), 0);
    ck_assert_int_eq(mdb_txn_begin(self->env, NULL, 0, &self->txn), 0);
    ck_assert_int_eq(mdb_dbi_open(self->txn, NULL, 0, &self->tree), 0);
    ck_assert_int_eq(mdb_cursor_open(self->txn, self->tree, &self->cursor), 0);
}

/* The n-th record of a class. */
static void disk_find(disk *self, char class, int n)
{
    self->key = (MDB_val){1, &class};
    ck_assert_int_eq(mdb_cursor_get(self->cursor, &self->key, &self->value, MDB_SET_RANGE), 0);
    while (n-- > 0)
        ck_assert_int_eq(mdb_cursor_get(self->cursor, &self->key, &self->value, MDB_NEXT), 0);
    ck_assert_int_eq(*(const char *)self->key.mv_data, class);
}

/* Writes the record back with one byte flipped; anew: its seal is made to fit. */
static void disk_flip(disk *self, size_t offset, bool anew)
{
    static unsigned char bytes[BLOB_CHUNK + 1000];
    MDB_val value = {self->value.mv_size, bytes};
    ck_assert_uint_le(value.mv_size, sizeof bytes);
    memcpy(bytes, self->value.mv_data, value.mv_size);
    bytes[offset] ^= 0x10;
    size_t size = value.mv_size - 4;
    if (anew)
        store_le32(bytes + size,
                   store_seal(slice_of(self->key.mv_data, self->key.mv_size), bytes, size));
    ck_assert_int_eq(mdb_cursor_put(self->cursor, &self->key, &value, MDB_CURRENT), 0);
}

static void disk_end(disk *self)
{
    mdb_cursor_close(self->cursor);
    ck_assert_int_eq(mdb_txn_commit(self->txn), 0);
    mdb_env_close(self->env);
}

static void damage(const char *folder, int way, int kind)
{
    disk self;
    bool blob = ways[way].piece >= 0;
    disk_begin(&self, folder);
    disk_find(&self, 'T', BAD);
    ck_assert_int_eq(((unsigned char *)self.value.mv_data)[TENSOR_CHUNK_HEAD_SIZE], ways[way].cell);
    if (blob && kind != DAMAGE_CHECKSUM) {
        disk_find(&self, 'B', BAD);
        ck_assert_int_eq(((unsigned char *)self.value.mv_data)[4], ways[way].piece);
    }
    size_t offset = kind == DAMAGE_CHECKSUM ? 3 : self.value.mv_size - 4 - 50;
    disk_flip(&self, offset, kind != DAMAGE_SEALED);
    disk_end(&self);
}

/* --- what is said --- */

static void must_name(int result, const char *call, int way)
{
    const char *detail = mlkv_error_detail();
    ck_assert_msg(result == MLKV_E_CORRUPT, "%s, %s: %s", ways[way].name, call,
                  mlkv_error_name(result));
    ck_assert_msg(strstr(detail, "tensor 'weights'") != NULL && strstr(detail, "chunk 1") != NULL,
                  "%s, %s: %s", ways[way].name, call, detail);
}

static void check_reads(mlkv *db, int way, int kind)
{
    size_t chunk = ways[way].chunk;
    uint64_t chunk_rows = chunk / ROW, row = BAD * chunk_rows + 7;
    mlkv_tensor_info info = {.size = sizeof info};
    void *memory = NULL;
    mlkv_buffer payload = {0};
    must_name(mlkv_tensor_get(db, TEXT("weights"), got, CHUNKS * chunk), "get", way);
    must_name(mlkv_tensor_get_allocated(db, TEXT("weights"), NULL, &info, &memory), "get_allocated",
              way);
    must_name(mlkv_tensor_read_rows(db, TEXT("weights"), BAD * chunk_rows, chunk_rows, got, chunk),
              "read_rows", way);
    must_name(mlkv_key_dump(db, TEXT("weights"), &payload), "dump", way);
    mlkv_buffer_free(&payload);
    bool frame = ways[way].cell == CELL_ZSTD || ways[way].piece == CELL_ZSTD;
    bool packed = frame || ways[way].cell == CELL_PLANES || ways[way].piece == CELL_PLANES;
    int first_time = mlkv_tensor_gather(db, TEXT("weights"), &row, 1, got, ROW);
    if (frame || kind == DAMAGE_SEALED) /* of raw bytes and of planes it reads a part */
        must_name(first_time, "gather", way);
    if (packed) /* what is asked for again is decoded whole, to be kept */
        must_name(mlkv_tensor_gather(db, TEXT("weights"), &row, 1, got, ROW), "second gather", way);
    for (int good = 0; good < CHUNKS; good += 2) {
        uint64_t first = (uint64_t)good * chunk_rows;
        OK(mlkv_tensor_read_rows(db, TEXT("weights"), first, chunk_rows, got, chunk));
        ck_assert(memcmp(got, data + (size_t)good * chunk, chunk) == 0);
        OK(mlkv_tensor_gather(db, TEXT("weights"), &first, 1, got, ROW));
        ck_assert(memcmp(got, data + (size_t)good * chunk, ROW) == 0);
    }
}

static int collect(void *context, const char *problem)
{
    char *text = context;
    size_t used = strlen(text);
    snprintf(text + used, 4000 - used, "%s\n", problem);
    return 0;
}

START_TEST(found_and_named)
{
    const char *folder = harness_folder();
    static char text[4000];
    int way = _i % WAYS;
    mlkv_report report = {.size = sizeof report};
    make(folder, way);
    damage(folder, way, _i / WAYS);
    mlkv *db = open_store(folder, MLKV_READ_ONLY);
    check_reads(db, way, _i / WAYS);
    MUST(MLKV_E_CORRUPT, mlkv_verify(db, collect, text, &report));
    /* a class of records ends where one cannot be read; what is said of that names the record */
    const char *expected = _i / WAYS == DAMAGE_SEALED
                               ? "cannot be read"
                               : "tensor 'weights' has 1 damaged chunks, the first is chunk 1\n";
    ck_assert_msg(strstr(text, expected) != NULL, "%s: %s", ways[way].name, text);
    ck_assert_uint_le(report.problems, 3);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tensor_damage");
    TCase *tcase = harness_case(suite, "tensor_damage");
    tcase_add_loop_test(tcase, found_and_named, 0, WAYS * DAMAGES);
    return harness_run(suite);
}
